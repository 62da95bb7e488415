#!/usr/bin/env python3
"""The step ledger: a resumed, re-ranked run is computed again with the same bits; what was altered is named."""

import hashlib
import json
import re
import shutil

import harness

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(6000, 96, seed=1))
STEPS, EVERY = 24, 6


def configured(name, steps=STEPS):
    settings = harness.configuration(WORK / name, harness.MIXTRAL, DATA, steps=steps,
                                     checkpoint={"every": EVERY, "keep_last": 10})
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def replay(directory, first, last, ranks=1, *more):
    return harness.run("forge-dist", "replay", directory, "--from-step", first, "--to-step", last, *more, ranks=ranks)


config, directory = configured("run")
process = harness.launch("forge-dist", config, ranks=3)
harness.wait_for(lambda: harness.last_step(directory) >= 9, process)
harness.kill(process)
harness.end(process)
ended = harness.run("forge-dist", config, ranks=2)
harness.check("a run, killed and continued on other ranks", ended.code == 0, ended)
harness.check("what was computed twice is the same in the ledger", "differs from what" not in ended.err, ended)

# The chain, by the description in docs/formats.md.
previous, kinds = "0" * 64, []
for line in (directory / "ledger.jsonl").read_bytes().splitlines():
    entry = json.loads(line)
    body = line[:line.rindex(b', "hash"')]
    assert hashlib.sha256(body).hexdigest() == entry["hash"] and entry["previous"] == previous, entry
    previous = entry["hash"]
    kinds.append(entry["kind"])
steps = [json.loads(line)["step"] for line in (directory / "ledger.jsonl").read_text().splitlines()
         if '"kind": "step"' in line]
harness.check("its lines are chained", kinds.count("start") == 2 and kinds[-1] == "end" and set(steps) == set(range(1, STEPS + 1)),
              kinds)

before = harness.tree_digest(directory)
for first, last, ranks in [(4, 15, 1), (8, 14, 2), (1, 5, 4), (STEPS, STEPS, 1)]:
    ended = replay(directory, first, last, ranks)
    harness.check(f"steps {first} to {last} on {ranks} ranks: identical",
                  ended.code == 0 and "identical, bit for bit" in ended.out, ended)
harness.check("a replay leaves the run as it is", harness.tree_digest(directory) == before)

# One sample of the data is another: find the step whose batch has it.
for name in ["data.bin", "data.idx"]:
    shutil.copy(WORK / name, WORK / f"original-{name}")
altered = bytearray((WORK / "data.bin").read_bytes())
altered[4 * 2000] ^= 1
(WORK / "data.bin").write_bytes(altered)
ended = replay(directory, 1, STEPS, 2)
found = re.search(r"step (\d+) is the first that differs: the data of step \1 are not those trained on", ended.out)
harness.check("with one token altered, the first step whose data differ is named", ended.code == 1 and found, ended)
if found:
    step = int(found[1])
    ended = replay(directory, 1, step - 1, 1) if step > 1 else None
    harness.check(f"the steps before step {step} are identical", not ended or ended.code == 0, ended)
    shutil.copytree(directory, WORK / "bare")
    shutil.rmtree(WORK / "bare/checkpoints")
    ended = replay(WORK / "bare", STEPS, STEPS, 3)
    harness.check(f"a replay of step {STEPS} from the beginning blames the data of step {step}, on the way there",
                  ended.code == 1 and f"step {step} is the first that differs: the data" in ended.out, ended)


def without_batches(text):
    """The ledger as versions before wrote it, which did not name batches by their content."""
    previous, lines = "0" * 64, []
    for line in text.splitlines():
        entry = json.loads(line)
        body = line[:line.rindex(', "previous"')]
        body = re.sub(r' "batch_sha256": "[0-9a-f]*",', "", body) + f', "previous": "{previous}"'
        previous = hashlib.sha256(body.encode()).hexdigest()
        lines.append(f'{body}, "hash": "{previous}"}}\n')
    return "".join(lines)


if found:
    text = (directory / "ledger.jsonl").read_text()
    (directory / "ledger.jsonl").write_text(without_batches(text))
    ended = replay(directory, 1, STEPS, 2)
    harness.check("by a ledger of a version before, the first step that comes out differently is named", ended.code == 1
                  and re.search(rf"step {step} is the first that differs: loss .* is recorded, .* came out", ended.out), ended)
    (directory / "ledger.jsonl").write_text(text)
shutil.copy(WORK / "original-data.bin", WORK / "data.bin")
if found:
    shutil.copytree(directory, WORK / "before")
    (WORK / "before/ledger.jsonl").write_text(without_batches(text))
    ended = replay(WORK / "before", 4, STEPS, 2)
    harness.check("a ledger of a version before is replayed", ended.code == 0 and "identical" in ended.out, ended)


def forget_sources(checkpoint):
    """Makes a checkpoint one of the first versions, which know the data by its path only."""
    path = checkpoint / "manifest.json"
    body = path.read_text().rpartition('"root":')[0]
    lines = body.splitlines(keepends=True)
    metadata = json.loads("{" + lines[1].rstrip().rstrip(",") + "}")["metadata"]
    del metadata["sources"]
    lines[1] = '"metadata":' + json.dumps(metadata) + ",\n"
    body = "".join(lines)
    path.write_text(f'{body}"root":"{hashlib.sha256(body.encode()).hexdigest()}"}}\n')


# A run that computes steps again after data was altered says so itself, where it does not know the data by content.
shutil.rmtree(directory / f"checkpoints/step-{STEPS:08}")
shutil.rmtree(directory / f"checkpoints/step-{STEPS - EVERY:08}")
shutil.rmtree(directory / f"checkpoints/step-{STEPS - 2 * EVERY:08}")
for place in range(0, len(altered), 4 * 7):
    altered[place] ^= 1
(WORK / "data.bin").write_bytes(altered)
ended = harness.run("forge-dist", config, ranks=2)
harness.check("altered data is refused by name", ended.code == 64 and re.search("'.*/data'.* has been replaced", ended.err), ended)
forget_sources(directory / f"checkpoints/step-{EVERY:08}")
ended = harness.run("forge-dist", config, ranks=2)
harness.check("a continued run notices that steps come out differently",
              ended.code == 0 and re.search(r"step \d+: computed again, this step differs from what", ended.err), ended)

ledger = directory / "ledger.jsonl"
for name, change, pattern in [
        ("a changed line", lambda text: text.replace('"applied": true', '"applied": false', 1), r"line \d+ does not match"),
        ("a missing line", lambda text: "".join(text.splitlines(True)[:3] + text.splitlines(True)[4:]),
         r"line 4 does not follow")]:
    text = ledger.read_text()
    ledger.write_text(change(text))
    ended = replay(directory, 2, 3)
    harness.check(f"{name} of the ledger is named", ended.code == 64 and re.search(pattern, ended.err), ended)
    ledger.write_text(text)
ended = replay(directory, 20, STEPS + 1)
harness.check("a step that is not in the ledger", ended.code == 64 and f"has no step {STEPS + 1}" in ended.err, ended)
ended = replay(directory, 5, 4)
harness.check("an empty interval", ended.code == 64 and "there are no steps from 5 to 4" in ended.err, ended)
harness.finish()
