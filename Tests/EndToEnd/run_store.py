#!/usr/bin/env python3
"""What a run leaves behind, and who reads it: `forge ledger verify` and `forge runs`, the batch's hash in the ledger, which
is the same however the work is divided, and the names of a run's files, which are written once.
"""

import datetime
import hashlib
import json
import os
import re
import shutil
import struct
import tarfile
import time

import harness
from harness import check, run

WORK = harness.folder()
DOCUMENTS = harness.documents(6000, 96, seed=1)
DATA = harness.write_dataset(WORK / "data", DOCUMENTS)
SEQUENCES, LENGTH = 6, 32


def configured(name, steps=8, every=2, **sections):
    settings = harness.configuration(WORK / name, harness.MIXTRAL, DATA, steps=steps, sequences=SEQUENCES,
                                     sequence_length=LENGTH, checkpoint={"every": every, "keep_last": 10}, **sections)
    settings["data"]["shuffle"] = False
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def ledger(directory):
    return [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]


def batches(directory):
    """By step, the hash of its batch."""
    return {line["step"]: line["batch_sha256"] for line in ledger(directory) if line["kind"] == "step"}


# The batch's hash

def expected_batch(step):
    """By the description in docs/formats.md."""
    tokens = [token for document in DOCUMENTS for token in document]
    owner = [number for number, document in enumerate(DOCUMENTS) for _ in document]
    digests = []
    for sequence in range(SEQUENCES * (step - 1), SEQUENCES * step):
        first = LENGTH * sequence
        inputs, targets = tokens[first:first + LENGTH], tokens[first + 1:first + LENGTH + 1]
        starts, positions, weights = [], [], [1.0] * LENGTH
        for place in range(LENGTH):
            begins = place > 0 and owner[first + place] != owner[first + place - 1]
            starts.append(place if begins else starts[-1] if starts else 0)
            positions.append(place - starts[-1])
            if begins:
                weights[place - 1] = 0.0
        text = b""
        for name, column in [("inputs", inputs), ("targets", targets), ("document_starts", starts), ("positions", positions)]:
            text += f"{name} int32 {LENGTH}\n".encode() + struct.pack(f"<{LENGTH}i", *column)
        text += f"loss_weights float32 {LENGTH}\n".encode() + struct.pack(f"<{LENGTH}f", *weights)
        digests.append(hashlib.sha256(text).digest())
    return hashlib.sha256(f"sequences {SEQUENCES}\n".encode() + b"".join(digests)).hexdigest()


def batch_hash():
    config, directory = configured("one")
    ended = run("forge-dist", config)
    found = batches(directory)
    check("the ledger names each batch by its content", ended.code == 0 and found == {
        step: expected_batch(step) for step in range(1, 9)}, f"{ended}\n{found}")
    for name, ranks, sections in [
            ("two, experts spread", 2, {"parallelism": {"expert": 2}}), ("three, everything sharded", 3, {
                "parallelism": {"sharding": "full", "expert": 1}}), ("four, one of them without a micro-batch", 4, {}),
            ("four, two by two experts", 4, {"parallelism": {"expert": 2, "sharding": "full"}})]:
        config, other = configured(name.replace(" ", "-"), **sections)
        ended = run("forge-dist", config, ranks=ranks)
        check(f"and by the same on {name}", ended.code == 0 and batches(other) == found, f"{ended}\n{batches(other)}")
    return directory


# forge ledger verify

def verified(name, directory, code, *patterns):
    ended = run("forge", "ledger", "verify", directory)
    said = ended.err if code == 64 else ended.out
    check(f"forge ledger verify: {name}", ended.code == code and len(said.splitlines()) == 1 and all(
        re.search(pattern, said) for pattern in patterns), f"expected {code} and {patterns}\n{ended}")
    return ended


def verify(directory):
    verified("a run", directory, 0, r"ledger\.jsonl: sound", "8 steps up to step 8, 1 start;", "4 checkpoints as recorded")
    config, killed = configured("killed", steps=30, every=5)
    process = harness.launch("forge-dist", config, ranks=3)
    harness.wait_for(lambda: harness.last_step(killed) >= 12, process)
    harness.kill(process)
    harness.end(process)
    path = killed / "ledger.jsonl"
    path.write_bytes(path.read_bytes() + b'{"kind": "step", "st')
    verified("a line cut short is no damage", killed, 0, "1 start;", "cut short")
    ended = run("forge-dist", config, ranks=2)
    check("a run, killed and continued", ended.code == 0, ended)
    verified("a run that was continued", killed, 0, "up to step 30, 2 starts", "computed again, 0 of them with other bits")

    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    fifth = next(number for number, line in enumerate(lines) if '"step": 5,' in line)
    for name, edited, pattern in [
            ("a changed line", lines[:fifth] + [lines[fifth].replace("true", "false")] + lines[fifth + 1:], "does not match its hash"),
            ("a line left out", lines[:fifth] + lines[fifth + 1:], "does not follow the line before it"),
            ("the end left out", lines[:fifth], "first .* bytes ended in another line")]:
        path.write_text("".join(edited))
        place = rf"ledger\.jsonl:{fifth + 1}: " if "end" not in name else "step-00000005: "
        ended = verified(name, killed, 3, place, pattern)
        machine = run("forge", "ledger", "verify", killed, "--json")
        found = json.loads(machine.out)
        check(f"{name}, for machines", machine.code == 3 and not found["sound"] and found["finding"]["what"] in ended.out
              and found["finding"]["meaning"] in ended.out and found["finding"]["line"] in (fifth + 1, None), machine)
    path.write_text(whole)
    machine = run("forge", "ledger", "verify", killed, "--json")
    check("a sound one, for machines", machine.code == 0 and json.loads(machine.out)["finding"] is None, machine)
    shutil.move(killed / "checkpoints/step-00000010", killed / "checkpoints/step-00000011")
    verified("a checkpoint under another name", killed, 3, "step-00000011: ")
    shutil.rmtree(killed / "checkpoints/step-00000011")
    verified("what is no run", WORK, 64, "it has no ledger.jsonl")
    verified("what is not there", WORK / "nowhere", 64, "nowhere' is not a run")

    with tarfile.open(harness.ROOT / "Tests/EndToEnd/Fixtures/earlier-runs.tar.xz") as archive:
        archive.extractall(WORK / "earlier", filter="data")
    for earlier in sorted((WORK / "earlier/runs").iterdir()):
        verified(f"{earlier.name}, of an earlier version", earlier, 0, "sound")
    ended = run("forge", "runs", WORK / "earlier/runs")
    check("forge runs: runs of an earlier version", ended.code == 0 and "unreadable" not in ended.out
          and len(ended.out.splitlines()) == 1 + len(list((WORK / "earlier/runs").iterdir())), ended)


# forge runs

def listed(folder, *arguments):
    ended = run("forge", "runs", folder, *arguments)
    return ended, {row["name"]: row for row in json.loads(run("forge", "runs", folder, "--json").out or "[]")}


def runs():
    folder = WORK / "all"
    folder.mkdir()
    ended = run("forge", "runs", folder)
    check("forge runs: an empty folder", ended.code == 0 and "there are no runs" in ended.out, ended)
    config, directory = configured("all/finished")
    done = run("forge-dist", config)
    config, stopped = configured("all/stopped", steps=100000)
    process = harness.launch("forge-dist", config, ranks=2)
    harness.wait_for(lambda: harness.last_step(stopped) >= 3, process)
    ended, rows = listed(folder)
    check("forge runs: a run that is under way", rows["stopped"]["state"] == "running" and rows["stopped"]["steps"] == 100000
          and rows["stopped"]["step"] >= 1, ended)
    harness.kill(process, signal=15, only=0)
    end = harness.end(process)
    ended, rows = listed(folder)
    check("forge runs: and that was asked to stop", end.code == 75 and rows["stopped"]["state"] == "stopped", f"{end}{ended}")
    check("forge runs: a run that is complete", done.code == 0 and rows["finished"]["state"] == "finished"
          and rows["finished"]["step"] == rows["finished"]["steps"] == 8 and "8 of 8" in ended.out, ended)
    last = harness.metrics(directory)[-1]
    check("forge runs: its last loss and speed", rows["finished"]["loss"] == last["loss"]
          and rows["finished"]["tokens_per_second"] == last["tokens_per_second"], rows)
    seen = datetime.datetime.fromisoformat(rows["finished"]["last_seen"])
    check("forge runs: times as people read them, and as ISO 8601", re.search(r"\d+ s ago|\d min ago", ended.out)
          and abs(seen.timestamp() - (directory / "metrics.jsonl").stat().st_mtime) < 60, rows)
    killed = folder / "killed"
    shutil.copytree(stopped, killed)
    lease = json.loads((killed / ".lock").read_text()) | {"isReleased": False}
    (killed / ".lock").write_text(json.dumps(lease))
    check("forge runs: a fresh lease is a running job", listed(folder)[1]["killed"]["state"] == "running")
    os.utime(killed / ".lock", times=(time.time() - 20,) * 2)
    check("forge runs: a job that is silent has failed", listed(folder)[1]["killed"]["state"] == "failed")

    odd = folder / "a\x1b[31mred\nrun"
    shutil.copytree(directory, odd)
    os.mkdir(os.fsencode(folder) + b"/no\xff")
    (folder / "half").mkdir()
    (folder / "half/.lock").write_text('{"epoch": ')
    ended, rows = listed(folder)
    check("forge runs: control characters of names are shown, not obeyed",
          "\x1b" not in ended.out and r"a\x1b[31mred\x0arun" in ended.out and odd.name in rows, ended)
    check("forge runs: what cannot be read is a row that says so", ended.code == 0 and rows["half"]["state"] == "unreadable"
          and "no lease" in rows["half"]["problem"] and any("not UTF-8" in (row["problem"] or "") for row in rows.values()), rows)
    ended = run("forge", "runs", directory)
    check("forge runs: one run", ended.code == 0 and "finished" in ended.out and len(ended.out.splitlines()) == 2, ended)
    ended = run("forge", "runs", WORK / "nowhere")
    check("forge runs: a folder that is not there", ended.code == 64 and len(harness.sentences(ended.err)) == 1, ended)


def many_runs(count=10_000):
    folder = WORK / "many"
    line = json.dumps({"step": 7, "loss": 2.5, "tokens_per_second": 100.0})
    before = "".join(json.dumps({"step": step, "loss": 3.0}) + "\n" for step in range(1, 7))
    lease = json.dumps({"epoch": 1, "holder": "h", "host": "n", "job": "", "attempt": 0, "restarts": 0, "checkpoint": 0,
                        "isReleased": True, "steps": 10})
    for number in range(count):
        directory = folder / f"run-{number:05}"
        directory.mkdir(parents=True)
        (directory / "metrics.jsonl").write_text(before + line + "\n")
        (directory / ".lock").write_text(lease)
    ended = run("forge", "runs", folder)
    lines = ended.out.splitlines()
    check(f"forge runs: {count} runs in {ended.seconds:.1f} s, under 20 s",
          ended.code == 0 and len(lines) == count + 1 and ended.seconds < 20 and all("stopped" in line for line in lines[1:]),
          str(ended)[:2000])


# The names

def names():
    """The files of a run are named in one place: paths elsewhere do not spell them. (Sentences for people do.)"""
    files = ["metrics.jsonl", "ledger.jsonl", "train.log", ".lock", "sources.json", "config.yaml"]
    folders = ["checkpoints", "blackbox"]
    spelt = re.compile("|".join(
        [rf'"([^" ]*/)?{re.escape(name)}"' for name in files] + [rf'("[^" ]*/|== "){name}"' for name in folders]))
    found = {}
    for path in sorted((harness.ROOT / "Sources").rglob("*.swift")):
        lines = [line.partition("//")[0] for line in path.read_text().splitlines()]
        if named := [line.strip() for line in lines if spelt.search(line)]:
            found["/".join(path.parts[-2:])] = named
    own = found.pop("Support/RunDirectory.swift", [])
    check("the names of a run's files are written once", len(own) == len(files) + 1 and not found, f"{own}\n{found}")


names()
verify(batch_hash())
runs()
many_runs()
harness.finish()
