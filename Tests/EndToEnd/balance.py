#!/usr/bin/env python3
"""A slow rank gets fewer micro-batches, is named in the log, and leaves no trace in the result.

A rank is slowed down from outside: it is stopped and continued by turns.
"""

import re

import harness

WORK = harness.folder()
MODEL = {"model_type": "llama", "vocab_size": 512, "hidden_size": 128, "intermediate_size": 384,
         "num_hidden_layers": 3, "num_attention_heads": 4, "max_position_embeddings": 128}
DATA = harness.write_dataset(WORK / "data", harness.documents(40000, 512, seed=1))


def run(name, balance, slow):
    settings = harness.configuration(WORK / name, MODEL, DATA, steps=60, sequences=12, micro_batch=1,
                                     sequence_length=128)
    settings["parallelism"] = {"balance": balance}
    process = harness.launch("forge-dist", harness.write_configuration(WORK / f"{name}.yaml", settings), ranks=2)
    if slow:
        harness.slow_down(process, 1, WORK / name)
    ended = harness.end(process, timeout=240)
    steps = [line["step_seconds"] for line in harness.metrics(WORK / name)]
    return ended, sorted(steps[-20:])[10] if len(steps) == 60 else float("nan")


free, _ = run("free", "auto", slow=False)
even, seconds_even = run("even", "even", slow=True)
auto, seconds_auto = run("auto", "auto", slow=True)
harness.check("three runs end with the same weights", free.weights and free.weights == even.weights == auto.weights,
              f"{free}\n{even}\n{auto}")
harness.check("the slow rank is named", re.search(r"rank 1 \(host .+\) is \d\.\d times slower", auto.err), auto)
harness.check(f"balanced steps are shorter: {seconds_auto:.3f} s against {seconds_even:.3f} s",
              seconds_auto < 0.9 * seconds_even, auto)
harness.finish()
