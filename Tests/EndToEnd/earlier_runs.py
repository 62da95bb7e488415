#!/usr/bin/env python3
"""Runs, datasets, a tokenizer and a model folder that an earlier version made: they go on, export, generate and score as
before, with the same bits; whatever is refused of new runs is only warned of.

The fixtures are those of scripts/fixtures/old_runs.py, computed with the CPU kernels `haswell`. A machine without AVX2
has no such kernels, and the tests say so and check nothing.
"""

import hashlib
import json
import os
import pathlib
import shutil
import tarfile

import harness
from harness import check, run

ARCHIVE = pathlib.Path(__file__).resolve().parent / "Fixtures/earlier-runs.tar.xz"


def tensors(folder):
    """A hash over an exported folder's tensors by name."""
    header, body = harness.read_safetensors(pathlib.Path(folder) / "model.safetensors")
    digest = hashlib.sha256()
    for name in sorted(header):
        begin, end = header[name]["data_offsets"]
        digest.update(f"{name} {header[name]['dtype']} {header[name]['shape']}\n".encode() + body[begin:end])
    return digest.hexdigest()


def used(name, expected):
    """Scores, text and export of the run as it is."""
    ended = run("forge", "score", "--model", f"runs/{name}", "--tokens", "ids.jsonl")
    scores = [json.loads(line)["logprobs"] for line in ended.out.splitlines()]
    check(f"{name}: the same scores", ended.code == 0 and len(scores) == len(expected["scores"]) and all(
        abs(mine - theirs) < 1e-5 for left, right in zip(scores, expected["scores"]) for mine, theirs in zip(left, right)),
        f"{ended}\n{expected['scores']}")
    ended = run("forge", "generate", "--model", f"runs/{name}", "--prompt", "A package", "--greedy", "--max-tokens", 12)
    check(f"{name}: the same text", ended.code == 0 and ended.out == expected["text"], f"{ended}\n{expected['text']}")
    ended = run("forge", "export", f"runs/{name}", f"exported-{name}")
    before, after = (json.loads(pathlib.Path(folder, "tokenizer.json").read_text()) for folder in ["tokenizer", f"exported-{name}"])
    # Only a text begins as documents did, which the earlier version left to others.
    begins = after.pop("post_processor")["processors"][-1]["single"][0] == {"SpecialToken": {"id": "<s>", "type_id": 0}}
    del before["post_processor"]
    check(f"{name}: the same export", ended.code == 0 and tensors(f"exported-{name}") == expected["tensors"]
          and before == after and begins, ended)


def continued(name, expected, steps, ranks=None):
    """The second half, which ends with the weights that the earlier version came to."""
    ended = run("forge-dist", f"{name}.yaml", "--set", f"run.steps={steps}", ranks=ranks)
    check(f"{name}: goes on to the same weights", ended.code == 0 and ended.weights == expected["weights"],
          f"{ended}\n{expected['weights']}")
    return ended


def main():
    work = harness.folder()
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(work, filter="data")
    os.chdir(work)
    harness.ENVIRONMENT["OPENBLAS_CORETYPE"] = "Haswell"
    document = json.loads(pathlib.Path("expected.json").read_text())
    runs, steps = document["runs"], document["steps"]
    for name in ["from-folder", "dots1-muon"]:
        ended = run("forge-dist", f"{name}.yaml", "--set", f"run.directory=branch-{name}", "--set",
                    f"run.branch_from=runs/{name}", "--set", f"run.steps={steps}")
        check(f"{name}: a run branches off from it", ended.code == 0 and "branching off" in ended.err, ended)
    for number, (name, expected) in enumerate(runs.items()):
        if "text" in expected:
            used(name, expected)
        if name == "from-folder":
            # Not needed by a run that has a checkpoint.
            shutil.move("model", "model-kept")
        ended = continued(name, expected, steps, ranks=2 if number % 4 == 3 else None)
        if name in ["no-validation", "mixed"]:
            check(f"{name}: what is refused today is only warned of", "warning: " in ended.err, ended)
    later()
    for path in ["data", "other-data", "pair"]:
        ended = run("forge", "data", "validate", path)
        check(f"forge data validate {path}", ended.code == 0, ended)
    ended = run("forge", "score", "--model", "model-kept", "--tokens", "ids.jsonl")
    check("a model folder of the earlier version", ended.code == 0, ended)


def later():
    """A run that has continued knows its data by content."""
    name = "qwen3-adamw"
    check("a run that went on keeps its tokenizer", pathlib.Path(f"runs/{name}/tokenizer/tokenizer.json").exists())
    shutil.copytree("data", "moved")
    ended = run("forge-dist", f"{name}.yaml", "--set", "run.steps=8", "--set", "data.train.0.path=moved")
    check("a run that went on knows its data at another path", ended.code == 0, ended)
    for ending in ["bin", "idx"]:
        shutil.copy(f"other-data/train.{ending}", f"moved/train.{ending}")
    ended = run("forge-dist", f"{name}.yaml", "--set", "run.steps=9", "--set", "data.train.0.path=moved")
    check("and does not take other data for it", ended.code == 64 and "moved" in ended.err, ended)


if "avx2" in pathlib.Path("/proc/cpuinfo").read_text():
    main()
else:
    print("this machine has no AVX2, so it cannot compute with the kernels of the fixtures")
harness.finish()
