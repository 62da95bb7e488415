#!/usr/bin/env python3
"""The same losses, norms and weights to the last bit at any number of ranks and threads.

The batch has three micro-batches: too few for 4 and 8 ranks, and dealt unevenly to 2.
"""

import harness


def compare(name, model):
    work = harness.folder()
    sources = [(harness.write_dataset(work / "a", harness.documents(3000, model["vocab_size"], seed=1)), 0.7),
               (harness.write_dataset(work / "b", harness.documents(1000, model["vocab_size"], seed=2), "uint16"), 0.3)]
    held_out = harness.write_dataset(work / "v", harness.documents(500, model["vocab_size"], seed=3))
    reference = None
    for ranks in [1, 2, 3, 4, 8]:
        for threads in [1, 2]:
            directory = work / f"run-{ranks}-{threads}"
            settings = harness.configuration(directory, model, sources, validation={"every": 3, "sequences": 8})
            settings["data"] |= {"shuffle": True, "document_mask": True, "validation": [{"path": str(held_out)}]}
            settings["run"]["threads"] = threads
            ended = harness.run("forge-dist", harness.write_configuration(work / "run.yaml", settings), ranks=ranks)
            place = f"{name} on {ranks} ranks × {threads} threads"
            if ended.code != 0 or not ended.weights:
                harness.check(place, False, ended)
                continue
            result = {"curve": harness.curve(directory), "weights": ended.weights}
            if reference is None:
                reference = result
                validations = [line for line in harness.metrics(directory) if "validation_loss" in line]
                losses = [line["loss"] for line in harness.metrics(directory) if "loss" in line]
                harness.check(f"{name} learns: loss {losses[0]:.3f} to {losses[-1]:.3f}, validated twice",
                              losses[-1] < losses[0] and len(losses) == 4 and len(validations) == 2, ended)
            else:
                harness.check(f"{place}: the bits of 1 rank × 1 thread", result == reference,
                              f"{result}\nand not\n{reference}")


compare("mixtral", harness.MIXTRAL)
compare("qwen3", harness.QWEN3)
harness.finish()
