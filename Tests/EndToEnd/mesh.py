#!/usr/bin/env python3
"""A rank's place among those that see different data is not its rank of the job: with two ranks at every place of the mesh,
which compute the same thing along an axis whose parallelism is still to come, a run has the bits of one without them.

Training, validation, balance, dealing by speed, saving, resuming and replaying, at 2, 4 and 6 ranks; and the rank of the job
is asked for only in the files that docs/architecture.md names.
"""

import contextlib
import re

import harness

MODELS = {"dense": (harness.QWEN3, {}), "softmax": (harness.MIXTRAL, {}), "sigmoid": (harness.DOTS1, {}),
          "muon": (harness.MIXTRAL, {"optimizer": harness.MUON})}
WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(4000, 96, seed=1))
HELD_OUT = harness.write_dataset(WORK / "held-out", harness.documents(500, 96, seed=3))


@contextlib.contextmanager
def duplicates(count):
    """Starts programs with so many ranks that compute the same thing."""
    harness.ENVIRONMENT["FORGE_TEST_DUPLICATES"] = str(count)
    yield
    del harness.ENVIRONMENT["FORGE_TEST_DUPLICATES"]


def launch(model, directory, ranks, count, *, sharding="optimizer", steps=4, **sections):
    kind, extra = MODELS[model]
    settings = harness.configuration(WORK / directory, kind, DATA, steps=steps, **extra, **sections)
    settings["data"] |= {"validation": [{"path": str(HELD_OUT)}]}
    settings |= {"parallelism": {"sharding": sharding}, "validation": {"every": 3, "sequences": 8},
                 "checkpoint": {"every": 2, "keep_last": 5}, "schedule": {"name": "constant", "warmup_steps": 2}}
    path = harness.write_configuration(WORK / f"{directory}.yaml", settings)
    with duplicates(count) if count > 1 else contextlib.nullcontext():
        return harness.launch("forge-dist", path, ranks=ranks)


def run(*arguments, **options):
    ended = harness.end(launch(*arguments, **options), timeout=200)
    return ended, (ended.weights, harness.curve(WORK / arguments[1]))


def layouts():
    """2 × 1, 2 × 2 and 2 × 3 ranks against one rank, and continued from one to the other."""
    for model in MODELS:
        first, reference = run(model, model, None, 1)
        harness.check(f"{model} on one rank", first.code == 0 and first.weights, first)
        for places, sharding in [(1, "none"), (2, "optimizer"), (3, "full")] + [(2, "full"), (3, "none")] * (model == "softmax"):
            directory = f"{model}-{places}-{sharding}"
            ended, found = run(model, directory, 2 * places, 2, sharding=sharding)
            harness.check(f"{model}: 2 × {places} ranks, sharding {sharding}", ended.code == 0 and found == reference,
                          f"{ended}\n{found}\nand not\n{reference}")
        for before, after in [((4, 2), (3, 1)), ((2, 1), (6, 2))]:
            directory = f"{model}-{before[0]}-{after[0]}"
            half, _ = run(model, directory, *before, steps=2)
            ended, found = run(model, directory, *after)
            harness.check(f"{model}: saved by {before[0]} ranks, continued by {after[0]}",
                          half.code == 0 and "continuing after step 2" in ended.err and found[0] == reference[0],
                          f"{half}{ended}")
        with duplicates(2):
            ended = harness.run("forge-dist", "replay", WORK / f"{model}-2-optimizer", "--from-step", 1, "--to-step", 4, ranks=4)
        harness.check(f"{model}: 4 ranks replay it", ended.code == 0, ended)


def dealing_by_speed():
    """A rank that is slowed down gets fewer micro-batches, and so does its duplicate: both take part in the same rounds."""
    options = {"steps": 40, "sequences": 24, "sequence_length": 64}
    free, reference = run("dense", "free", 4, 2, **options)
    process = launch("dense", "slow", 4, 2, **options)
    harness.slow_down(process, 2, WORK / "slow", stopped=0.05)
    ended = harness.end(process, timeout=240)
    harness.check("2 × 2 ranks, one of them slow: the same bits",
                  free.code == 0 == ended.code and (ended.weights, harness.curve(WORK / "slow")) == reference,
                  f"{free}{ended}")
    harness.check("the slow one is named", re.search(r"rank [02] \(host .+\) is \d\.\d times slower", ended.err), ended)


def who_asks():
    """Files that ask for the rank of the job, against the list in docs/architecture.md."""
    page = (harness.ROOT / "docs/architecture.md").read_text()
    section = page.partition("### Who asks for the rank of the job")[2].partition("\n#")[0]
    listed = set(re.findall(r"`(\w[\w/+]*\.swift)`", section))
    found = set()
    for folder in ["Engine", "Parallelism", "Training"]:
        for path in (harness.ROOT / "Sources").glob(f"*/{folder}/**/*.swift"):
            code = "\n".join(line.partition("//")[0] for line in path.read_text().splitlines())
            if re.search(r"\b(communicator|world)\.(rank|size)\b", code):
                found.add(f"{folder}/{path.name}")
    harness.check("the rank of the job is asked for where docs/architecture.md says, and nowhere else", found == listed,
                  f"not listed: {sorted(found - listed)}\nlisted only: {sorted(listed - found)}")


who_asks()
layouts()
dealing_by_speed()
harness.finish()
