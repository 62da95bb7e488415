#!/usr/bin/env python3
"""Two ranks share the work: at least 1.8 times the tokens per second of one, each with one thread.

Needs two cores with nothing else to do. The runs take turns, the best step of each count is kept, and after two rounds
more are added while the ratio is too low.
"""

import harness

# The layers of configs/dense-32m.yaml, fewer of them.
MODEL = {
    "model_type": "llama", "vocab_size": 8192, "hidden_size": 512, "intermediate_size": 1408, "num_hidden_layers": 3,
    "num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 512}
ROUNDS, NEEDED = 8, 1.8

work = harness.folder()
data = harness.write_dataset(work / "data", harness.documents(30000, MODEL["vocab_size"], seed=1, longest=900))
best = {1: 0.0, 2: 0.0}
for number in range(1, ROUNDS + 1):
    for ranks in best:
        directory = work / f"run-{ranks}-{number}"
        settings = harness.configuration(
            directory, MODEL, data, steps=3, sequences=4, micro_batch=2, sequence_length=512)
        ended = harness.run("forge-dist", harness.write_configuration(work / "run.yaml", settings), ranks=ranks)
        if not harness.metrics(directory):
            harness.check(f"{ranks} ranks", False, ended)
            harness.finish()
        speeds = [line["tokens_per_second"] for line in harness.metrics(directory)]
        best[ranks] = max(best[ranks], *speeds)
    ratio = best[2] / best[1]
    print(f"       round {number}: {best[1]:.0f} and {best[2]:.0f} tokens/s, ratio {ratio:.2f}", flush=True)
    if number >= 2 and ratio >= NEEDED:
        break
harness.check(f"2 ranks do {ratio:.2f} times the work of 1 in the same time", ratio >= NEEDED, "the rounds are above")
harness.finish()
