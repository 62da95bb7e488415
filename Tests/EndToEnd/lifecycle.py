#!/usr/bin/env python3
"""A model's life: documents, tokenizer, data, training, curve, export, scores, samples, and training on from there."""

import array
import hashlib
import json
import math
import re
import xml.etree.ElementTree

import corpus
import harness
from harness import check, run

WORK = harness.folder()
DOCUMENTS, TOKENIZER, DATA, RUN, EXPORT = (WORK / name for name in ["docs", "tokenizer", "data", "run", "export"])
STEPS = 60


def forge(name, *arguments):
    """Runs a command that has to end with 0."""
    ended = run("forge", *arguments)
    check(name, ended.code == 0, ended)
    return ended


def prepare():
    corpus.write(DOCUMENTS)
    forge("forge tokenizer train",
          "tokenizer", "train", "--input", DOCUMENTS, "--output", TOKENIZER, "--vocabulary-size", 400)
    forge("forge data prepare", "data", "prepare", "--input", DOCUMENTS, "--tokenizer", TOKENIZER, "--output", DATA,
          "--held-out", 0.2)
    return json.loads((DATA / "dataset.json").read_text())["tokenizer"]["vocabulary_size"]


def train(vocabulary):
    """Trains on two ranks; returns the hash of the final weights."""
    model = harness.MIXTRAL | {"vocab_size": vocabulary, "hidden_size": 64, "bos_token_id": 1, "eos_token_id": 2}
    settings = harness.configuration(
        RUN, model, DATA, steps=STEPS, sequences=8, micro_batch=4, sequence_length=64,
        validation={"every": STEPS // 2, "sequences": 16}, checkpoint={"every": STEPS // 2})
    ended = run("forge-dist", harness.write_configuration(WORK / "run.yaml", settings), ranks=2)
    check("forge-dist on 2 ranks", ended.code == 0, ended)
    lines = harness.metrics(RUN)
    steps = [line for line in lines if "loss" in line]
    wanted = {"step", "loss", "grad_norm", "learning_rate", "tokens_per_second", "step_seconds"}
    check("metrics.jsonl has every step with its numbers", all(wanted <= line.keys() for line in steps)
          and [line["step"] for line in steps] == list(range(1, STEPS + 1)), steps)
    held_out = [line["validation_loss"] for line in lines if "validation_loss" in line]
    check(f"it learns: validation loss {held_out}",
          len(held_out) == 2 and max(held_out) < 0.5 * steps[0]["loss"] and max(held_out) < 0.5 * math.log(vocabulary))
    check("TensorBoard events and a log", list(RUN.glob("events.out.tfevents.*")) and (RUN / "train.log").exists())
    return ended.weights


def curve():
    shown = forge("forge curve", "curve", RUN)
    check("the curve in the terminal is several lines", len(shown.out.splitlines()) > 5, shown)
    picture = WORK / "loss.svg"
    forge("forge curve --output", "curve", RUN, "--output", picture)
    check("the picture is well-formed SVG", xml.etree.ElementTree.parse(picture).getroot().tag.endswith("svg"))


def export(weights):
    forge("forge export", "export", RUN, EXPORT)
    header, body = harness.read_safetensors(EXPORT / "model.safetensors")
    check("the exported weights are the final ones", hashlib.sha256(body).hexdigest() == weights, weights)
    config = json.loads((EXPORT / "config.json").read_text())
    check("config.json and the tokenizer are with them", config["architectures"] == ["MixtralForCausalLM"]
          and config["hidden_size"] == 64 and (EXPORT / "tokenizer.json").exists(), config)

    shards = WORK / "shards"
    forge("forge export in shards of bf16", "export", RUN, shards, "--dtype", "bf16", "--max-shard-size", "100kB")
    places = json.loads((shards / "model.safetensors.index.json").read_text())["weight_map"]
    held = {name: shard for shard in set(places.values()) for name in harness.read_safetensors(shards / shard)[0]}
    check("the index names every tensor's shard", held == places and held.keys() == header.keys()
          and len(set(held.values())) > 1, places)


def score():
    tokens = WORK / "tokens.jsonl"
    held_out = array.array("H", (DATA / "validation.bin").read_bytes()).tolist()
    sequences = [held_out[:100], held_out[100:130], [1, 5]]
    tokens.write_text("".join(json.dumps({"ids": ids}) + "\n" for ids in sequences))
    scored = forge("forge score", "score", "--model", RUN, "--tokens", tokens)
    lines = [json.loads(line) for line in scored.out.splitlines()]
    check("a line each, with n − 1 log-probabilities and their mean as loss", len(lines) == 3 and all(
        len(line["logprobs"]) == len(ids) - 1 and max(line["logprobs"]) <= 0
        and abs(line["loss"] + sum(line["logprobs"]) / len(line["logprobs"])) < 1e-5
        for line, ids in zip(lines, sequences)), scored)
    newest = RUN / f"checkpoints/step-{STEPS:08}"
    for name, model, *more in [("the export", EXPORT), ("a checkpoint", newest), ("one thread", RUN, "--threads", 1)]:
        again = run("forge", "score", "--model", model, "--tokens", tokens, *more)
        check(f"the same scores: {name}", again.out == scored.out, again)
    tokens.write_text(json.dumps({"ids": sequences[1]}) + "\n")
    alone = run("forge", "score", "--model", RUN, "--tokens", tokens)
    check("a sequence's score does not depend on its neighbours",
          [alone.out] == scored.out.splitlines(True)[1:2], alone)


def generate():
    def sample(*arguments):
        return run("forge", "generate", "--model", RUN, "--prompt", "The maintainer", "--max-tokens", 40, *arguments)

    first = sample("--seed", 1, "--temperature", 1)
    if not check("forge generate", first.code == 0 and len(first.out) > 20, first):
        return
    again, other = sample("--seed", 1, "--temperature", 1), sample("--seed", 2, "--temperature", 1)
    check("the same seed, the same text", again.out == first.out, f"{first}\n{again}")
    check("another seed, another text", other.code == 0 and other.out != first.out, other)
    greedy, seeded = sample("--temperature", 0), sample("--temperature", 0, "--seed", 5)
    check("greedy does not depend on the seed", greedy.code == 0 and seeded.out == greedy.out, f"{greedy}\n{seeded}")
    check("it speaks the documents' language", re.search(r"must|should|may", greedy.out), greedy)


def go_on(vocabulary):
    settings = harness.configuration(WORK / "tuned", {"from": str(EXPORT)}, DATA, steps=1, sequence_length=64)
    ended = run("forge-dist", harness.write_configuration(WORK / "tuned.yaml", settings), ranks=2)
    losses = [line["loss"] for line in harness.metrics(WORK / "tuned")]
    check("training goes on from the exported folder",
          ended.code == 0 and losses[0] < 0.8 * math.log(vocabulary), ended)


vocabulary = prepare()
weights = train(vocabulary)
curve()
export(weights)
score()
generate()
go_on(vocabulary)
harness.finish()
