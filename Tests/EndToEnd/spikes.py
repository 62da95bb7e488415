#!/usr/bin/env python3
"""A batch that makes the loss leap is left out of a run, by a skipped update or by going back, with the same bits
on any number of ranks and over a resume."""

import json
import re

import harness

WORK = harness.folder()
LENGTH, SEQUENCES, STEPS = 32, 6, 40


def data():
    """Tokens that follow a simple rule, and in the middle a stretch of noise that no model can know."""
    tokens, state = [], 1
    for place in range((STEPS + 10) * SEQUENCES * LENGTH + 1):
        noisy = 30 * SEQUENCES * LENGTH <= place < 31 * SEQUENCES * LENGTH
        state = (state * 7 + 3) % 11
        tokens.append((place * 7919 + place * place) % 96 if noisy else state)
    return harness.write_dataset(WORK / "data", [tokens[start:start + 200] for start in range(0, len(tokens), 200)])


DATA = data()


def configured(name, steps=STEPS, **spikes):
    settings = harness.configuration(
        WORK / name, harness.MIXTRAL, DATA, steps=steps, sequences=SEQUENCES, sequence_length=LENGTH,
        schedule={"name": "constant", "warmup_steps": 2}, checkpoint={"every": 8, "keep_last": 9},
        spikes={"z_score": 8, "window": 16, **spikes})
    settings["data"] |= {"shuffle": False, "document_mask": False}
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def events(directory, kind):
    lines = [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


config, directory = configured("skip")
one = harness.run("forge-dist", config, ranks=1)
skips = events(directory, "skip")
harness.check("the noise is skipped", one.code == 0 and [skip["step"] for skip in skips] == [31], f"{skips}\n{one}")
harness.check("its documents are on record", skips and len(skips[0]["documents"]) == SEQUENCES
              and all(re.fullmatch(r".*data:\d+(-\d+)?", entry) for entry in skips[0]["documents"]), skips)
lines = {line["step"]: line for line in harness.metrics(directory)}
harness.check("the metrics say so", lines[31].get("skipped") and not lines[30].get("skipped"), lines.get(31))

config, directory = configured("rollback", policy="rollback")
back = harness.run("forge-dist", config, ranks=2)
rollbacks = events(directory, "rollback")
harness.check("the run goes back and leaves the batch out", back.code == 0 and len(rollbacks) == 1
              and (rollbacks[0]["step"], rollbacks[0]["to_step"]) == (31, 24), f"{rollbacks}\n{back}")
recorded = [line["first_sequence"] for line in events(directory, "step")]
harness.check("its data goes on with the next one", 30 * SEQUENCES not in recorded and 31 * SEQUENCES in recorded, recorded)
curve = harness.curve(directory)
harness.check("each step is once in the metrics", [dict(line)["step"] for line in curve] == list(range(1, STEPS + 1)),
              curve)
harness.check("and in the TensorBoard events", harness.event_steps(directory) == list(range(1, STEPS + 1)),
              harness.event_steps(directory))
other, other_directory = configured("rollback-3", policy="rollback")
process = harness.launch("forge-dist", other, ranks=3)
harness.wait_for(lambda: harness.last_step(other_directory) >= 27, process)
harness.kill(process)
harness.end(process)
ended = harness.run("forge-dist", other, ranks=1)
harness.check("the same weights and curve on other ranks, killed and continued",
              ended.code == 0 and ended.weights == back.weights and harness.curve(other_directory) == curve, ended)
harness.check("each step once in the TensorBoard events of the killed one, too",
              harness.event_steps(other_directory) == list(range(1, STEPS + 1)), harness.event_steps(other_directory))
for run in [directory, other_directory]:
    ended = harness.run("forge", "ledger", "verify", run)
    harness.check("a ledger with a rollback is sound", ended.code == 0 and "sound" in ended.out, ended)
ended = harness.run("forge-dist", "replay", directory, "--from-step", 26, "--to-step", 36, ranks=1)
harness.check("a replay over it is identical", ended.code == 0, ended)

config, directory = configured("limit", steps=6, maximum_gradient_norm=1e-9)
ended = harness.run("forge-dist", config, ranks=2)
harness.check("gradients above the limit are skipped", ended.code == 0 and len(events(directory, "skip")) == 6
              and "is above spikes.maximum_gradient_norm" in ended.err, ended)
for key, value, pattern in [("policy", "ignore", "spikes.policy 'ignore' is not supported; use skip or rollback"), ("window", 3, "must be at least 16"),
                            ("z_score", -1, "must be positive"), ("zscore", 3, "did you mean 'z_score'")]:
    config, _ = configured("wrong", **{key: value})
    ended = harness.run("forge-dist", config)
    harness.check(f"spikes.{key} = {value} is refused", ended.code == 64 and pattern in ended.err, ended)
harness.finish()
