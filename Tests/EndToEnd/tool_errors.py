#!/usr/bin/env python3
"""Bad input to forge: one clear sentence, exit code 64, nothing overwritten; invalid UTF-8, accepted."""

import contextlib
import json
import re
import shutil

import harness

WORK = harness.folder()
MODEL = harness.write_model(WORK / "model")
DOCUMENTS, EMPTY, TOKENIZER, FILE = (WORK / name for name in ["docs", "empty", "tokens", "file"])


def refused(name, pattern, *arguments):
    """Checks that a command ends with 64, this pattern in its only sentence, and every file as before."""
    before = harness.tree_digest(WORK)
    ended = harness.run("forge", *arguments)
    sentences = harness.sentences(ended.err)
    ok = (ended.code == 64 and ended.out == "" and len(sentences) == 1 and sentences[0].startswith("forge: ")
          and re.search(pattern, sentences[0]))
    harness.check(name, ok, f"expected exit code 64 and one sentence with {pattern}\n{ended}")
    with contextlib.suppress(OSError):
        (WORK / "new").rmdir()  # an output folder may be made, but nothing lost
    if harness.tree_digest(WORK) != before:
        harness.check(f"{name}: every file as before", False, ended)


def scoring():
    def tokens(text):
        path = WORK / "tokens.jsonl"
        path.write_text(text)
        return path

    sound = tokens('{"ids":[1,2,3]}\n')
    ended = harness.run("forge", "score", "--model", MODEL, "--tokens", sound)
    harness.check("the sound input is scored", ended.code == 0 and len(json.loads(ended.out)["logprobs"]) == 2, ended)
    score = ["score", "--model", MODEL, "--tokens"]
    refused("score: no such tokens", "nowhere", *score, WORK / "nowhere.jsonl")
    refused("score: a token id beyond the vocabulary", r"tokens\.jsonl:2: id 96 ", *score,
            tokens('{"ids":[1,2]}\n{"ids":[1,96]}\n'))
    refused("score: a negative token id", r"tokens\.jsonl:1: id -1 ", *score, tokens('{"ids":[-1,2]}\n'))
    refused("score: a line that is not JSON", r"tokens\.jsonl:2", *score, tokens('{"ids":[1,2]}\nhello\n'))
    refused("score: ids that are not whole numbers", r"tokens\.jsonl:1", *score, tokens('{"ids":[1,2.5]}\n'))
    refused("score: one id only", r"tokens\.jsonl:1.*at least 2", *score, tokens('{"ids":[1]}\n'))
    refused("score: an empty file", r"tokens\.jsonl", *score, tokens(""))
    sound = tokens('{"ids":[1,2,3]}\n')
    refused("score: no such model", "nowhere", "score", "--model", WORK / "nowhere", "--tokens", sound)
    refused("score: an empty folder as model", "empty", "score", "--model", EMPTY, "--tokens", sound)


def weights():
    def broken(edit):
        folder = WORK / "broken"
        shutil.rmtree(folder, ignore_errors=True)
        return harness.write_model(folder, edit=edit)

    def reshape(tensors, config):
        shape, values = tensors["model.layers.0.self_attn.k_proj.weight"]
        tensors["model.layers.0.self_attn.k_proj.weight"] = ([shape[1], shape[0]], values)

    score = ["score", "--tokens", WORK / "tokens.jsonl", "--model"]
    refused("a missing tensor", r"model\.norm\.weight", *score,
            broken(lambda tensors, config: tensors.pop("model.norm.weight")))
    refused("a mis-shaped tensor", r"layers\.0\.self_attn\.k_proj\.weight.*(12|24).*(12|24)", *score, broken(reshape))
    refused("an unknown family", r"config\.json:\d+: model_type 'bert'", *score,
            broken(lambda tensors, config: config.update(model_type="bert")))
    folder = broken(lambda tensors, config: None)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    refused("truncated weights", r"model\.safetensors", *score, folder)
    path.write_bytes(b"\xff" * 100)
    refused("weights that are something else", r"model\.safetensors", *score, folder)
    path.unlink()
    refused("no weights", "broken", *score, folder)
    (folder / "config.json").write_text("{ not JSON")
    refused("a config.json that is not JSON", r"config\.json", *score, folder)


def documents():
    prepare = ["data", "prepare", "--tokenizer", TOKENIZER, "--held-out", 0, "--input"]
    (DOCUMENTS / "invalid.txt").write_bytes(b"\xff\xfe caf\xe9 \xc3\x28 \xed\xa0\x80 " * 30)
    ended = harness.run("forge", *prepare, DOCUMENTS, "--output", WORK / "data")
    harness.check("prepare: invalid UTF-8 is accepted, as bytes", ended.code == 0
                  and "invalid.txt" in (WORK / "data/documents.jsonl").read_text(), ended)
    refused("prepare: an output folder that is not empty", "data", *prepare, DOCUMENTS, "--output", WORK / "data")
    refused("prepare: an empty folder", "there is no document in '.*empty'", *prepare, EMPTY, "--output", WORK / "new")
    refused("prepare: no such folder", "nowhere", *prepare, WORK / "nowhere", "--output", WORK / "new")
    refused("prepare: an output below a file", "file/data", *prepare, DOCUMENTS, "--output", FILE / "data")
    refused("prepare: an output that cannot be written", "/proc/forge", *prepare, DOCUMENTS, "--output", "/proc/forge")
    refused("prepare: a share that is none", "held-out.*1.5", "data", "prepare", "--tokenizer", TOKENIZER, "--input",
            DOCUMENTS, "--output", WORK / "new", "--held-out", 1.5)
    refused("prepare: no such tokenizer", "nowhere", "data", "prepare", "--tokenizer", WORK / "nowhere", "--input",
            DOCUMENTS, "--output", WORK / "new")
    train = ["tokenizer", "train", "--output", WORK / "new", "--input"]
    refused("tokenizer train: an empty folder", "empty", *train, EMPTY)
    refused("tokenizer train: no such folder", "nowhere", *train, WORK / "nowhere")
    refused("tokenizer train: too small a vocabulary", "100", *train, DOCUMENTS, "--vocabulary-size", 100)
    (WORK / "bad").mkdir()
    (WORK / "bad/tokenizer.json").write_text("{}")
    refused("a tokenizer.json of something else", r"tokenizer\.json",
            "tokenizer", "encode", "--tokenizer", WORK / "bad", "--input", DOCUMENTS / "a.txt")


def models():
    refused("export: no such run", "nowhere", "export", WORK / "nowhere", WORK / "new")
    refused("export: an empty folder", "empty", "export", EMPTY, WORK / "new")
    refused("export: an output that is not empty", "docs", "export", MODEL, DOCUMENTS)
    refused("export: an output below a file", "file/model.*: Not a directory", "export", MODEL, FILE / "model")
    refused("curve: a folder without metrics", "empty", "curve", EMPTY)
    (WORK / "metrics.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n')
    refused("curve: an output below a file", r"file/loss\.svg", "curve", WORK / "metrics.jsonl",
            "--output", FILE / "loss.svg")
    refused("curve: no such run", "nowhere", "curve", WORK / "nowhere")
    generate = ["generate", "--prompt", "A", "--model"]
    refused("generate: no such model", "nowhere", *generate, WORK / "nowhere")
    refused("generate: a model without a tokenizer", r"tokenizer", *generate, MODEL)
    refused("generate: more tokens than positions", "128 positions", *generate, MODEL, "--tokenizer", TOKENIZER,
            "--max-tokens", 200)


def plans():
    """Numbers that no cluster has."""
    for name, pattern, arguments in [
            ("ranks", "--ranks must be", ["--ranks", 99999999999999]),
            ("ranks below one", "--ranks must be", ["--ranks", 0]),
            ("threads", "--threads must be", ["--ranks", 2, "--threads", 9223372036854775807]),
            ("memory", "--memory must be", ["--ranks", 2, "--memory", 1e300]),
            ("hours", "--hours must be", ["--ranks", 2, "--hours", 1e300]),
            ("tokens", "--tokens must be", ["--ranks", 2, "--tokens", 1e300]),
            ("a latency that is no number", "--latency must be", ["--ranks", 2, "--latency", "nan"]),
            ("steps", r"run\.steps must be at most", ["--ranks", 2, "--set", "run.steps=9223372036854775807"]),
            ("sequences", r"batch\.sequences must be at most", ["--ranks", 2, "--set", "batch.sequences=9223372036854775807"]),
    ]:
        refused(f"plan: {name}", pattern, "plan", *arguments)
    ended = harness.run("forge", "plan", "--ranks", 2, "--set", f"run.steps={1 << 40}", "--hours", "1e-6")
    harness.check("plan: more steps than anyone can do", ended.code == 0, ended)


DOCUMENTS.mkdir()
EMPTY.mkdir()
FILE.write_text("mine\n")
for name, text in [("a.txt", "one two three four " * 50), ("b.txt", "five six seven " * 50)]:
    (DOCUMENTS / name).write_text(text)
ended = harness.run(
    "forge", "tokenizer", "train", "--input", DOCUMENTS, "--output", TOKENIZER, "--vocabulary-size", 300)
harness.check("a tokenizer is trained", ended.code == 0, ended)
for group in [scoring, weights, documents, models, plans]:
    group()
harness.finish()
