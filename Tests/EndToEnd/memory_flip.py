#!/usr/bin/env python3
"""A bit of a parameter that changes in one rank's memory is noticed in the same step, named and mended."""

import os
import re
import struct
import subprocess

import harness

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(6000, 96, seed=1))
MODEL = harness.MIXTRAL | {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4}
STEPS = 200


def configured(name, sharding):
    # A learning rate that changes no bit, so that the first checkpoint tells what the memory holds.
    settings = harness.configuration(
        WORK / name, MODEL, DATA, steps=STEPS, sequences=8, micro_batch=2, sequence_length=64,
        parallelism={"sharding": sharding, "expert": 1, "balance": "even"}, schedule={"name": "constant"},
        checkpoint={"every": 10, "keep_last": 2, "asynchronous": False})
    settings["optimizer"] |= {"learning_rate": 1e-30, "weight_decay": 0.0}
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def tensor(directory, name):
    """Bytes of a tensor of the newest checkpoint."""
    for _ in range(20):  # the run may delete what is being read
        done = subprocess.run([harness.ROOT / "scripts/read-checkpoint", directory / "checkpoints", "--to", WORK / "state.npz"],
                              capture_output=True)
        if done.returncode == 0:
            break
    import numpy
    return numpy.load(WORK / "state.npz")[name].tobytes()


def flip(pid, pattern):
    """Changes one bit wherever these bytes are in a process's memory; returns how many times they were there."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
        for line in maps:
            bounds, permissions, _, _, inode = line.split()[:5]
            if "w" not in permissions or inode != "0" or "s" in permissions:
                continue
            start, end = (int(bound, 16) for bound in bounds.split("-"))
            for base in range(start, end, 1 << 24):
                try:
                    memory.seek(base)
                    block = memory.read(min(1 << 24, end - base))
                except OSError:
                    continue
                place = block.find(pattern)
                if place >= 0:
                    memory.seek(base + place)
                    memory.write(bytes([block[place] ^ 1]))
                    found += 1
    return found


try:
    import numpy  # noqa: F401
except ImportError:
    print("skipped: numpy, which reads the checkpoints here, is not installed")
    harness.finish()

for sharding in ["none", "optimizer", "full"]:
    config, directory = configured(f"whole-{sharding}", sharding)
    reference = harness.run("forge-dist", config, ranks=3)
    config, directory = configured(sharding, sharding)
    process = harness.launch("forge-dist", config, ranks=3)
    harness.wait_for(lambda: harness.last_step(directory) >= 15, process)
    pattern = tensor(directory, "model.layers.2.mlp.experts.1.up_proj.weight"
                     if sharding == "impossible" else "model.layers.1.self_attn.q_proj.weight")[4096:4096 + 64]
    victim = harness.rank_processes(process)[1]
    log = directory / "train.log"
    tries = 0
    # A change between a rank's update and the arrival of the owners' parameters is overwritten: try again.
    while tries < 30 and "changed by themselves" not in log.read_text():
        step = harness.last_step(directory)
        tries += flip(victim, pattern) > 0
        harness.wait_for(lambda: harness.last_step(directory) > step + 2, process, timeout=10)
        if process.poll() is not None:
            break
    ended = harness.end(process)
    told = re.search(r"step (\d+): (rank 1 \(host [^)]*\)): parameters in memory changed by themselves", ended.err)
    harness.check(f"sharding {sharding}: the rank is named ({tries} flips)", told, ended)
    harness.check(f"sharding {sharding}: the run ends as if nothing had been",
                  ended.code == 0 and ended.weights == reference.weights, ended)
    harness.check(f"sharding {sharding}: each step is once in metrics and TensorBoard events",
                  harness.event_steps(directory) == list(range(1, STEPS + 1)) == [line["step"] for line in harness.metrics(directory)],
                  harness.event_steps(directory))
    sound = harness.run("forge", "ledger", "verify", directory)
    harness.check(f"sharding {sharding}: the ledger of the mended run is sound", sound.code == 0, sound)
harness.finish()
