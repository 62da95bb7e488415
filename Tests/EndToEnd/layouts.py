#!/usr/bin/env python3
"""The same losses, norms and weights to the last bit however experts, optimizer state and parameters are spread.

A choice of layouts for each kind of model; with --all every combination of ranks, expert degrees, shardings and threads.
The batch has three micro-batches, so most ranks have none in some round; four experts do not divide evenly over three.
Where the CPU can, two of the models are computed with kernels that are pinned, each with another family's.
"""

import itertools
import shutil
import sys

import harness

MODELS = {"dense": (harness.QWEN3, {}), "softmax": (harness.MIXTRAL, {}), "sigmoid": (harness.DOTS1, {}),
          "muon": (harness.MIXTRAL, {"optimizer": harness.MUON}), "olmoe": (harness.OLMOE, {}), "ministral3": (harness.MINISTRAL3, {})}
FAMILIES = {model: family for model, family in [("softmax", "skylakex"), ("sigmoid", "haswell")]
            if family in harness.kernel_families()}

# Ranks, expert degree, sharding, threads.
CHOSEN = {
    "dense": [(2, "auto", "none", 2), (3, "auto", "full", 1), (4, "auto", "optimizer", 1), (8, "auto", "full", 1)],
    "softmax": [(2, 1, "none", 2), (2, 2, "optimizer", 1), (2, "auto", "full", 1), (3, 3, "optimizer", 2),
                (3, 1, "full", 1), (4, 2, "none", 1), (4, 4, "full", 2), (8, 4, "optimizer", 1), (64, "auto", "full", 1)],
    "sigmoid": [(2, 2, "full", 2), (3, "auto", "none", 1), (4, 2, "optimizer", 1), (8, 4, "full", 1), (8, 8, "none", 1)],
    "muon": [(2, 1, "none", 1), (2, 2, "full", 2), (3, 3, "optimizer", 1), (4, 4, "none", 2), (8, "auto", "full", 1),
             (64, 4, "optimizer", 1)],
    "olmoe": [(2, 2, "optimizer", 1), (3, "auto", "full", 2)],
    "ministral3": [(2, "auto", "full", 2), (3, "auto", "none", 1)],
}


def every(name):
    most = 1 if name in ("dense", "ministral3") else 4
    for ranks in [1, 2, 3, 4, 8, 64]:
        degrees = [degree for degree in range(1, most + 1) if ranks % degree == 0] + ["auto"]
        yield from itertools.product([ranks], degrees, ["none", "optimizer", "full"], [1, 2])


WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(4000, 96, seed=1))
HELD_OUT = harness.write_dataset(WORK / "held-out", harness.documents(500, 96, seed=3))


def settings(directory, name, degree, sharding, threads, steps=4):
    """With one thread busy ranks lend experts whenever they can; with two, when it is worth it, which it is not here."""
    model, sections = MODELS[name]
    made = harness.configuration(directory, model, DATA, steps=steps, **sections)
    made["data"] |= {"validation": [{"path": str(HELD_OUT)}]}
    made["run"] |= {"threads": threads} | ({"kernel_family": FAMILIES[name]} if name in FAMILIES else {})
    made["schedule"] = {"name": "constant", "warmup_steps": 2}
    return made | {"parallelism": {"expert": degree, "sharding": sharding,
                                      "shadow_experts": "always" if threads == 1 else "auto",
                                      "balance": "even" if sharding == "none" else "auto"},
                   "validation": {"every": 3, "sequences": 8}, "checkpoint": {"every": 2, "keep_last": 5}}


def result(name, layout, directory, steps=4):
    ranks, *rest = layout
    configuration = harness.write_configuration(WORK / "run.yaml", settings(directory, name, *rest, steps=steps))
    ended = harness.run("forge-dist", configuration, ranks=ranks)
    return ended, {"weights": ended.weights, "curve": harness.curve(directory)}


def compare(name, layouts):
    first, reference = result(name, (1, 1, "optimizer", 1), WORK / name)
    losses = [line["loss"] for line in harness.metrics(WORK / name)]
    harness.check(f"{name} learns on one rank", first.code == 0 and first.weights and losses[-1] < losses[0], first)
    for number, layout in enumerate(layouts):
        ended, found = result(name, layout, WORK / f"{name}-{number}")
        ranks, degree, sharding, threads = layout
        harness.check(f"{name}: {ranks} ranks, expert {degree}, sharding {sharding}, {threads} threads",
                      ended.code == 0 and found == reference, f"{ended}\n{found}\nand not\n{reference}")
    return reference


def resume(name, first, second):
    """A checkpoint of one layout is continued in another."""
    directory = WORK / f"{name}-resumed"
    half, _ = result(name, first, directory, steps=2)
    ended, found = result(name, second, directory)
    harness.check(f"{name}: a checkpoint of {first} is continued as {second}",
                  half.code == 0 and ended.code == 0 and "continuing after step 2" in ended.err, f"{half}\n{ended}")
    return found


for model in MODELS:
    layouts = every(model) if "--all" in sys.argv[1:] else CHOSEN[model]
    reference = compare(model, layouts)
    continued = [resume(model, (4, "auto", "full", 1), (3, 1, "none", 1))]
    shutil.rmtree(WORK / f"{model}-resumed")
    continued.append(resume(model, (1, 1, "none", 1), (4, "auto", "full", 1)))
    harness.check(f"{model}: both continued runs end as the one that was never interrupted",
                  all(found["weights"] == reference["weights"] for found in continued), f"{reference}\n{continued}")
harness.finish()
