#!/usr/bin/env python3
"""Branches: a new run that begins with the weights, the optimizer's state and the step of another one's checkpoint, on other
data, sequence lengths or batches; it is the trunk's to the bit where it reads the trunk's data, on any layout over ranks.
"""

import json
import re
import shutil

import harness
from harness import check, run

WORK = harness.folder()
LENGTH, SEQUENCES, AT, STEPS = 16, 6, 4, 6
TOKENS = sum(harness.documents(3000, 96, seed=1), [])
DATA = harness.write_dataset(WORK / "data", [TOKENS])
# What the trunk reads from its fifth step on, when nothing is shuffled.
REST = harness.write_dataset(WORK / "rest", [TOKENS[AT * SEQUENCES * LENGTH:]])
OTHER = harness.write_dataset(WORK / "other", harness.documents(3000, 96, seed=2))
MODELS = {"dense": (harness.QWEN3, {}), "router": (harness.DOTS1, {}), "muon": (harness.MIXTRAL, {"optimizer": harness.MUON})}


def configured(name, model="dense", data=DATA, branch_from=None, steps=STEPS, edit=lambda settings: None):
    kind, sections = MODELS[model]
    settings = harness.configuration(
        WORK / name, kind, data, steps=steps, sequences=SEQUENCES, sequence_length=LENGTH,
        checkpoint={"every": 2, "keep_last": 10}, **sections)
    settings["data"] |= {"shuffle": False}
    if branch_from:
        settings["run"]["branch_from"] = str(branch_from)
    edit(settings)
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def started(name, *arguments, ranks=None, **options):
    config, directory = configured(name, **options)
    ended = run("forge-dist", config, *arguments, ranks=ranks)
    check(f"{name}: exit code 0", ended.code == 0, ended)
    return ended, directory


def refused(name, ended, *patterns):
    said = harness.sentences(ended.err)
    check(f"refused: {name}", ended.code == 64 and len(said) == 1 and all(re.search(pattern, said[0]) for pattern in patterns),
          f"expected exit code 64 and one sentence with {patterns}\n{ended}")


def ledger(directory, kind):
    lines = [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


def checkpoint(directory, step=AT):
    return directory / f"checkpoints/step-{step:08}"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def same_bits():
    """On what the trunk would have read, a branch is the trunk's continuation: weights, moments, updates, schedule."""
    for model, layouts in {"dense": [(None, {}), (3, {"sharding": "full"})], "router": [(2, {"expert": 2}), (4, {"expert": 2})],
                           "muon": [(2, {"sharding": "none"})]}.items():
        trunk, directory = started(f"trunk-{model}", model=model)
        expected = [line for line in harness.curve(directory) if dict(line)["step"] > AT]
        for ranks, parallelism in layouts:
            name = f"branch-{model}-{ranks}"
            ended, branch = started(name, model=model, data=REST, branch_from=checkpoint(directory), ranks=ranks,
                                    edit=lambda settings: settings.update(parallelism=parallelism))
            check(f"{name}: the bits of the trunk on its data", ended.weights == trunk.weights and harness.curve(branch) == expected,
                  f"{harness.curve(branch)}\nand not\n{expected}\n{ended}")


def records():
    """What a branch says of its beginning."""
    trunk, branch = WORK / "trunk-dense", WORK / "branch-dense-None"
    entries = ledger(branch, "branch")
    manifest = (checkpoint(trunk) / "manifest.json").read_bytes()
    check("the ledger names the checkpoint by its root hash", len(entries) == 1 and entries[0]["step"] == AT
          and entries[0]["root"].encode() == manifest[-67:-3], entries)
    hashes = [json.loads(line)["hash"] for line in (trunk / "ledger.jsonl").read_text().splitlines()]
    check("and its place in the trunk's ledger", entries and entries[0].get("ledger_hash") in hashes, entries)
    steps = ledger(branch, "step")
    check("the data begin at their beginning", [line["step"] for line in steps] == [5, 6] and steps[0]["first_sequence"] == 0, steps)
    for directory in [trunk, branch]:
        ended = run("forge", "ledger", "verify", directory)
        check(f"forge ledger verify {directory.name}", ended.code == 0, ended)
    ended = run("forge", "runs", WORK)
    check("forge runs", re.search(r"branch-dense-None +finished +6", ended.out), ended)
    ended, longer = started("longer", data=OTHER, branch_from=trunk, steps=8, edit=lambda settings: (
        settings["data"].update(sequence_length=32), settings["batch"].update(sequences=8, micro_batch=4)))
    check("a run is its last checkpoint; other length and batch", [line["step"] for line in harness.metrics(longer)] == [7, 8]
          and "after step 6" in ended.err, ended)
    check("tokens count on", [line["tokens"] for line in harness.metrics(longer)] == [
        6 * SEQUENCES * LENGTH + batches * 8 * 32 for batches in [1, 2]], harness.metrics(longer))


def going_on():
    """A branch continues from its own checkpoints, whatever became of the trunk."""
    trunk = WORK / "trunk"
    shutil.copytree(WORK / "trunk-dense", trunk)
    constant = {"edit": lambda settings: settings.update(schedule={"name": "constant"})}
    whole, _ = started("whole", data=OTHER, branch_from=checkpoint(trunk), steps=9, **constant)
    first, branch = started("branch", data=OTHER, branch_from=checkpoint(trunk), steps=6, **constant)
    config = WORK / "branch.yaml"
    refused("branch_from of another run", run("forge-dist", config, "--set", f"run.branch_from={checkpoint(WORK / 'trunk-dense', 2)}"),
            "was branched off from .*trunk.* at step 4, not from .*step-00000002")
    own, _ = configured("trunk", branch_from=checkpoint(WORK / "trunk-dense"))
    ended = run("forge-dist", config, "--set", f"run.directory={WORK / 'rolls-back'}", "--set", "spikes.policy=rollback", "--set",
                "spikes.maximum_gradient_norm=1e-6")
    check("a rollback goes to the branch's beginning", ended.code == 64 and "back to step 4" in ended.err
          and [line["first_sequence"] for line in ledger(WORK / "rolls-back", "step")] == [], ended)
    refused("a run that was not branched off", run("forge-dist", own), "trunk' was not branched off.*run.directory")
    ended = run("forge-dist", "replay", branch, "--from-step", 5, "--to-step", 6, ranks=2)
    check("replay from its first checkpoint", ended.code == 0 and "identical" in ended.out, ended)
    shutil.rmtree(checkpoint(branch))
    ended = run("forge-dist", "replay", branch, "--from-step", 5, "--to-step", 6)
    check("replay from the trunk's checkpoint", ended.code == 0 and "identical" in ended.out, ended)
    trunk.rename(WORK / "trunk-moved")
    refused("replay without either", run("forge-dist", "replay", branch, "--from-step", 5, "--to-step", 6),
            "trunk/checkpoints/step-00000004.*step 7")
    ended = run("forge-dist", config, "--set", "run.steps=9", ranks=2)
    check("a branch goes on without its trunk, with the same bits", ended.code == 0 and "continuing after step 6" in ended.err
          and ended.weights == whole.weights, f"{ended}\n{whole}")
    moved = checkpoint(WORK / "trunk-moved")
    ended = run("forge-dist", config, "--set", "run.steps=10", "--set", f"run.branch_from={moved}")
    check("the trunk's checkpoint at another place", ended.code == 0, ended)
    ended = run("forge-dist", "replay", branch, "--from-step", 7, "--to-step", 9)
    check("replay of what came after", ended.code == 0 and "identical" in ended.out, ended)
    ended = run("forge", "ledger", "verify", branch)
    check("forge ledger verify", ended.code == 0, ended)


def refusals():
    trunk = WORK / "trunk-dense"

    def branched(name, *patterns, source=checkpoint(trunk), ranks=None, **options):
        config, directory = configured("refused", data=OTHER, branch_from=source, **options)
        refused(name, run("forge-dist", config, ranks=ranks), *patterns)
        check(f"{name}: nothing was begun", not (directory / "checkpoints").exists() and not (directory / "ledger.jsonl").exists())

    line = r"refused\.yaml:\d+: run\.branch_from "
    branched("nothing there", line, "there is no run or checkpoint '.*nowhere'", source=WORK / "nowhere", ranks=2)
    branched("no run of ours", line, "there are no checkpoints", source=WORK)
    for key, value in [("hidden_size", 48), ("tie_word_embeddings", False), ("vocab_size", 97)]:
        branched(f"another {key}", line, key, edit=lambda settings: settings["model"].update({key: value}))
    branched("another family", line, "model_type is qwen3, not mixtral", model="muon")
    branched("another optimizer", line, "optimizer.name = adamw, not muon", ranks=2,
             edit=lambda settings: settings.update(optimizer=harness.MUON))
    branched("no step left", line, "step 4 already", steps=4)
    folder = harness.write_model(WORK / "folder")
    started("from-folder", edit=lambda settings: settings.update(model={"from": str(folder)}))
    other = harness.write_model(WORK / "other-folder",
                                edit=lambda tensors, config: tensors["model.norm.weight"][1].__setitem__(0, 3.0))
    from_folder = checkpoint(WORK / "from-folder")
    branched("model.from of other weights", line, "model.from names other weights", source=from_folder,
             edit=lambda settings: settings.update(model={"from": str(other)}))
    for name, source in [("folder of the trunk", folder), ("trunk", WORK / "from-folder")]:
        ended, branch = started(f"from the {name}", data=OTHER, branch_from=from_folder,
                                edit=lambda settings: settings.update(model={"from": str(source)}))
        check("a branch keeps what its trunk kept for exports", (branch / "pretrained/config.json").exists())

    shutil.copytree(trunk, WORK / "damaged")
    flip(max(checkpoint(WORK / "damaged", 6).iterdir(), key=lambda path: path.stat().st_size))
    branched("a damaged checkpoint", line, "damaged", source=checkpoint(WORK / "damaged", 6), ranks=2, steps=8)
    ended, branch = started("sound", data=OTHER, branch_from=WORK / "damaged", ranks=2, steps=8)
    check("of a run the last sound checkpoint is taken", "skipping a damaged checkpoint" in ended.err
          and ledger(branch, "branch")[0]["step"] == 4, ended)


for group in [same_bits, records, going_on, refusals]:
    group()
harness.finish()
