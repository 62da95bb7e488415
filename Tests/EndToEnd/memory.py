#!/usr/bin/env python3
"""The peak memory that a rank measures is what the layout predicted, within 15 %."""

import re

import harness

# 13.4 M parameters: large enough that the layout, not the program, is most of the memory.
MODEL = {
    "model_type": "mixtral", "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 384, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 6, "num_experts_per_tok": 2,
    "max_position_embeddings": 256}

work = harness.folder()
data = harness.write_dataset(work / "data", harness.documents(20000, MODEL["vocab_size"], seed=1, longest=400))
for ranks in [1, 2]:
    settings = harness.configuration(
        work / f"run-{ranks}", MODEL, data, steps=3, sequences=8, micro_batch=4, sequence_length=256)
    ended = harness.run("forge-dist", harness.write_configuration(work / "run.yaml", settings), ranks=ranks)
    told = re.search(r"peak memory of a rank: (\d+) MiB measured, (\d+) MiB predicted", ended.out + ended.err)
    measured, predicted = map(int, told.groups()) if told else (0, 1)
    harness.check(f"{ranks} rank{'s'[:ranks - 1]}: {measured} MiB measured, {predicted} MiB predicted",
                  ended.code == 0 and 0.85 <= measured / predicted <= 1.15, ended)
harness.finish()
