#!/usr/bin/env python3
"""Thirty SIGKILLs of random ranks at random moments of one run, which goes on each time with another number of ranks, expert
degree and sharding: it ends with the weights of a run that nobody disturbed, and its ledger holds every step with one value.

usage: Tests/EndToEnd/random_kills.py [SEED]
"""

import json
import random
import sys
import time

import harness

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
KILLS, STEPS, EVERY = 30, 320, 3
MODEL = harness.MIXTRAL | {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_local_experts": 8}
WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(9000, MODEL["vocab_size"], seed=1))


def configured(name, **parallelism):
    settings = harness.configuration(
        WORK / name, MODEL, DATA, steps=STEPS, sequences=8, micro_batch=1, sequence_length=64,
        schedule={"name": "cosine", "warmup_steps": 5}, checkpoint={"every": EVERY, "keep_last": 2},
        parallelism=parallelism)
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


config, directory = configured("whole")
whole = harness.run("forge-dist", config, ranks=2, timeout=240)
harness.check(f"undisturbed: {STEPS} steps in {whole.seconds:.0f} s", whole.code == 0 and whole.weights, whole)
curve = harness.curve(directory)

print(f"seed {SEED}", flush=True)
generator = random.Random(SEED)
layouts, reached = [], 0
directory = WORK / "killed"
for number in range(KILLS):
    ranks = generator.randint(1, 8)
    degree = generator.choice([degree for degree in (1, 2, 4, 8, "auto") if degree == "auto" or ranks % degree == 0])
    config, _ = configured("killed", expert=degree, sharding=generator.choice(["none", "optimizer", "full"]))
    process = harness.launch("forge-dist", config, ranks=ranks)
    goal = harness.last_step(directory) + generator.randint(1, STEPS // (KILLS + 5))
    harness.wait_for(lambda: harness.last_step(directory) >= goal, process)
    time.sleep(generator.uniform(0, 0.3))
    harness.kill(process, only=generator.randrange(ranks))
    ended = harness.end(process, timeout=30)
    layouts.append((ranks, degree))
    reached = harness.last_step(directory)
    if ended.code not in (0, 137):
        harness.check(f"kill {number + 1} on {ranks} ranks, expert degree {degree}, step {reached}", False, ended)
print(f"       {KILLS} kills up to step {reached}, (ranks, expert degree): {layouts}", flush=True)
config, _ = configured("killed")
ended = harness.run("forge-dist", config, ranks=3, timeout=240)
harness.check("the undisturbed run's weights", ended.code == 0 and ended.weights == whole.weights, ended)
harness.check("each step once in metrics.jsonl, with the same numbers", harness.curve(directory) == curve)
lines = [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]
values = {}
for line in lines:
    if line["kind"] == "step":
        values.setdefault(line["step"], set()).add((line["loss_bits"], line["gradient_norm_bits"], line["applied"]))
again = sum(line["kind"] == "step" for line in lines) - STEPS
harness.check(f"every step has one value in the ledger ({again} were computed more than once)",
              sorted(values) == list(range(1, STEPS + 1)) and all(len(found) == 1 for found in values.values()))
harness.check("none of the restarts was refused", sum(line["kind"] == "start" for line in lines) == KILLS + 1,
              [line for line in lines if line["kind"] == "start"])
harness.finish()
