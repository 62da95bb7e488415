#!/usr/bin/env python3
"""Interrupted runs, continued on other numbers of ranks, end with the bits of one that was never interrupted.

usage: Tests/EndToEnd/resume.py [SEED]     the seed of the moments at which ranks are killed; printed otherwise
"""

import random
import re
import shutil
import signal
import sys
import time

import harness

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
STEPS, EVERY = 40, 5
MODEL = harness.MIXTRAL | {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4}
WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(6000, MODEL["vocab_size"], seed=1))
HELD_OUT = harness.write_dataset(WORK / "held-out", harness.documents(500, MODEL["vocab_size"], seed=2))


def configured(name, steps=STEPS, every=EVERY):
    """A configuration file for a run in a directory of this name; returns both."""
    settings = harness.configuration(
        WORK / name, MODEL, DATA, steps=steps, sequences=8, micro_batch=2, sequence_length=64,
        schedule={"name": "constant", "warmup_steps": 5}, validation={"every": 8, "sequences": 8},
        checkpoint={"every": every, "keep_last": 3})
    settings["data"]["validation"] = [{"path": str(HELD_OUT)}]
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def same_end(name, ended, directory, reference):
    """Checks that a run ended with the weights and the metrics of the uninterrupted one."""
    harness.check(f"{name}: the uninterrupted run's weights",
                  ended.code == 0 and ended.weights == reference["weights"], f"{ended}\nnot {reference['weights']}")
    curve = harness.curve(directory)
    different = sorted(set(curve) ^ set(reference["curve"])) or curve
    harness.check(f"{name}: each step once in metrics.jsonl, with the same numbers", curve == reference["curve"],
                  f"{len(curve)} lines, not {len(reference['curve'])}:\n" + "\n".join(map(str, different)))


def killed_at_random(reference):
    """SIGKILL to all ranks at random moments of random steps; with checkpoints so close, often while one is written."""
    print(f"seed {SEED}", flush=True)
    generator = random.Random(SEED)
    config, directory = configured("killed", every=2)
    for ranks in [2, 3, 1]:
        process = harness.launch("forge-dist", config, ranks=ranks)
        step = harness.last_step(directory) + generator.randrange(STEPS // 3)
        harness.wait_for(lambda: harness.last_step(directory) >= step, process)
        time.sleep(generator.uniform(0, reference["step_seconds"]))
        harness.kill(process)
        harness.end(process)
        print(f"       killed on {ranks} ranks after step {harness.last_step(directory)}", flush=True)
    same_end("killed three times, then on 4 ranks", harness.run("forge-dist", config, ranks=4), directory, reference)
    left = sorted(path.name for path in (directory / "checkpoints").iterdir())
    expected = ["latest", *(f"step-{step:08}" for step in range(STEPS - 4, STEPS + 1, 2))]
    harness.check("killed three times: nothing unfinished is left", left == expected, left)


def killed_before_the_end(reference):
    """SIGKILL to one rank some steps after a checkpoint: the job ends, and the steps since are computed again."""
    config, directory = configured("one-killed")
    process = harness.launch("forge-dist", config, ranks=2)
    harness.wait_for(lambda: harness.last_step(directory) >= 3 * EVERY + 2, process)
    harness.kill(process, only=1)
    ended = harness.end(process)
    harness.check(f"one rank killed: the job ends ({ended.seconds:.1f} s)",
                  ended.code == 137 and ended.seconds < 5, ended)
    ended = harness.run("forge-dist", config, ranks=3)
    harness.check("one rank killed: goes on from the last checkpoint",
                  re.search(rf"continuing after step ({3 * EVERY}|{4 * EVERY}|{5 * EVERY}) ", ended.err), ended)
    same_end("one rank killed, then on 3 ranks", ended, directory, reference)


def asked_to_stop(name, ask, reference):
    config, directory = configured(name.replace(" ", "-"))
    process = harness.launch("forge-dist", config, ranks=2)
    harness.wait_for(lambda: harness.last_step(directory) >= 7, process)
    ask(process)
    ended = harness.end(process)
    step = harness.last_step(directory)
    saved = (directory / "checkpoints" / f"step-{step:08}" / "manifest.json").exists()
    harness.check(f"{name}: a checkpoint and exit code 75", ended.code == 75 and saved and step < STEPS,
                  f"step {step}, saved {saved}\n{ended}")
    complaint = re.search(r"forge-dist:|MPI_ABORT|Primary job", ended.err)
    harness.check(f"{name}: said without a complaint",
                  f"stopped on request after step {step}" in ended.err and not complaint, ended)
    same_end(f"{name}, then the same line", harness.run("forge-dist", config, ranks=2), directory, reference)


def damaged(reference):
    """The newest checkpoint damaged in several ways: it is named, and the run goes on from the one before."""
    short, directory = configured("damaged", steps=3 * EVERY)
    ended = harness.run("forge-dist", short, ranks=2)
    kept = list(directory.glob("checkpoints/step-*/manifest.json"))
    harness.check("three checkpoints are kept", len(kept) == 3, f"{kept}\n{ended}")
    whole = WORK / "whole"
    shutil.copytree(directory, whole)

    def flip(path):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 16
        path.write_bytes(data)

    def last(pattern, of=3 * EVERY):
        return max((directory / f"checkpoints/step-{of:08}").glob(pattern))

    config, directory = configured("damaged")
    for name, damage in [
            ("a bit flipped in a shard", lambda: flip(last("shard-*.forge"))),
            ("a truncated shard", lambda: last("shard-*.forge").write_bytes(last("shard-*.forge").read_bytes()[:-9])),
            ("a missing shard", lambda: last("shard-*.forge").unlink()),
            ("a bit flipped in the manifest", lambda: flip(last("manifest.json"))),
            ("no manifest", lambda: last("manifest.json").unlink())]:
        shutil.rmtree(directory)
        shutil.copytree(whole, directory)
        damage()
        ended = harness.run("forge-dist", config, ranks=3)
        told = re.search(rf"damaged.*step-{3 * EVERY:08}", ended.out + ended.err)
        older = f"continuing after step {2 * EVERY} " in ended.out + ended.err
        harness.check(f"{name}: named, and the older checkpoint used", older and (told or name == "no manifest"), ended)
        same_end(name, ended, directory, reference)

    shutil.rmtree(directory)
    shutil.copytree(whole, directory)
    for step in range(EVERY, 3 * EVERY + 1, EVERY):
        flip(last("manifest.json", of=step))
    before = harness.tree_digest(directory)
    ended = harness.run("forge-dist", config, ranks=2)
    harness.check("all checkpoints damaged: refused, nothing overwritten",
                  ended.code == 64 and harness.tree_digest(directory) == before, ended)


config, directory = configured("uninterrupted")
ended = harness.run("forge-dist", config, ranks=2)
harness.check(f"uninterrupted ({ended.seconds:.1f} s)", ended.code == 0 and ended.weights, ended)
reference = {"curve": harness.curve(directory), "weights": ended.weights,
             "step_seconds": ended.seconds / STEPS}
killed_at_random(reference)
killed_before_the_end(reference)
asked_to_stop("SIGUSR1 to mpirun", lambda process: process.send_signal(signal.SIGUSR1), reference)
asked_to_stop("SIGTERM to a rank", lambda process: harness.kill(process, signal.SIGTERM, only=1), reference)
damaged(reference)
harness.finish()
