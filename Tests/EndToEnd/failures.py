#!/usr/bin/env python3
"""What goes wrong between ranks: another program or configuration on one of them, and ranks that die at work."""

import os
import re
import shutil
import subprocess

import harness

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(4000, 96, seed=1))


def configuration(name, steps=4, **sections):
    made = harness.configuration(WORK / name, harness.MIXTRAL, DATA, steps=steps, **sections)
    return harness.write_configuration(WORK / f"{name}.yaml", made)


def refused(name, command, pattern):
    ended = subprocess.run(command, env=harness.ENVIRONMENT, capture_output=True, text=True, timeout=60)
    sentences = harness.sentences(ended.stderr)
    harness.check(name, ended.returncode == 64 and len(sentences) == 1 and re.search(pattern, sentences[0]),
                  f"exit code {ended.returncode}\n{ended.stdout}{ended.stderr}")


def mpirun(*contexts):
    """One mpirun of several programs: (ranks, program, arguments…) each."""
    command = ["mpirun", "--oversubscribe"]
    for number, (ranks, *program) in enumerate(contexts):
        command += [":"] * (number > 0) + ["-n", str(ranks), *map(str, program)]
    return command


PROGRAM = harness.BIN / "forge-dist"
sound, other = configuration("sound"), configuration("other", steps=5)
refused("another configuration on rank 2", mpirun((2, PROGRAM, sound), (1, PROGRAM, other)),
        "rank 2 read another configuration than rank 0")
changed = WORK / "forge-dist"
shutil.copy(PROGRAM, changed)
with changed.open("ab") as program:
    program.write(b"another build")
refused("another build on rank 1", mpirun((1, PROGRAM, sound), (1, changed, sound), (1, PROGRAM, sound)),
        "rank 1 runs another build of forge-dist than rank 0")
for path, value, pattern in [
        ("expert", 3, r"parallelism\.expert is 3, which does not divide the 4 ranks"),
        ("expert", 8, r"parallelism\.expert is 8, which does not divide the 4 ranks"),
        ("expert", 0, r"parallelism\.expert must be 'auto' or"),
        ("expert", "some", r"parallelism\.expert must be 'auto' or"),
        ("sharding", "half", r"parallelism\.sharding 'half' is not supported; use one of none, optimizer, full"),
        ("balance", "never", r"parallelism\.balance 'never' is not supported; use auto or even"),
        ("experts", 2, r"unknown key 'parallelism\.experts'; did you mean 'expert'\?")]:
    refused(f"parallelism.{path} = {value}",
            mpirun((4, PROGRAM, configuration("wrong", parallelism={path: value}))), rf"wrong\.yaml:\d+: {pattern}")
refused("more ranks than experts share them",
        mpirun((8, PROGRAM, configuration("wrong", parallelism={"expert": 8}))), r"more than the model's 4 experts")

# A rank that dies while the others are in an all-to-all.
for launcher, code in [(["mpirun"], 137), ([harness.ROOT / "cluster/launch"], 75)]:
    for sharding in ["optimizer", "full"]:
        name = f"killed-{launcher[0] if code == 137 else 'launch'}-{sharding}"
        endless = configuration(name, steps=1_000_000, parallelism={"expert": 4, "sharding": sharding})
        process = subprocess.Popen([*launcher, "--oversubscribe", "-n", "4", PROGRAM, endless], env=harness.ENVIRONMENT,
                                   text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        started = harness.wait_for(lambda: harness.last_step(WORK / name) > 3, process)
        ranks = [int(pid) for pid in subprocess.run(["pgrep", "-f", f"{PROGRAM} {endless}$"], capture_output=True,
                                                    text=True).stdout.split()]
        ranks = [pid for pid in ranks if os.path.realpath(f"/proc/{pid}/exe") == str(PROGRAM)]
        if ranks:
            os.kill(sorted(ranks)[2], 9)
        ended = harness.end(process, timeout=20)
        harness.check(f"{name}: exit code {code} within seconds", started and ended.code == code and ended.seconds < 10,
                      ended)
harness.finish()
