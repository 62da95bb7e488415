#!/usr/bin/env python3
"""Checkpoints as people meet them: `forge checkpoint`, damage of every kind, and a disk that fills up.

What resume.py damages (bits, truncated and missing files) is not run again here, only told by `verify`.
"""

import os
import re
import shutil
import subprocess
import time

import harness

STEPS, EVERY = 12, 4
MODEL = harness.MIXTRAL | {"hidden_size": 64, "intermediate_size": 128}
WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(6000, MODEL["vocab_size"], seed=1))


def configured(name, model=MODEL, steps=STEPS, every=EVERY, keep_last=3):
    """A configuration file for a run in a directory of this name; returns both."""
    settings = harness.configuration(
        WORK / name, model, DATA, steps=steps, sequences=8, micro_batch=2, sequence_length=64,
        schedule={"name": "constant", "warmup_steps": 5}, checkpoint={"every": every, "keep_last": keep_last})
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def forge(*arguments):
    return harness.run("forge", "checkpoint", *arguments, timeout=60)


def says(name, ended, code, *patterns):
    """Checks an exit code and that both streams together match some patterns."""
    text = ended.out + ended.err
    harness.check(name, ended.code == code and all(re.search(pattern, text) for pattern in patterns),
                  f"{ended}\nexpected exit code {code} and {patterns}")


def checkpoint(directory, step):
    return directory / "checkpoints" / f"step-{step:08}"


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 16
    path.write_bytes(data)


def swap(left, right):
    """Exchanges two files."""
    aside = left.with_name("aside")
    left.rename(aside)
    right.rename(left)
    aside.rename(right)


def commands(directory):
    """list, show, diff and verify on a sound run."""
    newest = checkpoint(directory, STEPS)
    for path in [directory, directory / "checkpoints"]:
        ended = forge("list", path)
        says(f"list of {path.name}", ended, 0, *(rf"(?m)^{step} " for step in (4, 8)), rf"(?m)^{STEPS} .*latest$")
    says("verify names what it read", forge("verify", directory, "--threads", 2), 0,
         *(rf"step-{step:08}: sound, \d+ chunks" for step in (4, 8, 12)))
    says("verify of one", forge("verify", newest), 0, rf"\A\S*step-{STEPS:08}: sound.*\n\Z")
    says("show", forge("show", directory), 0, rf"step {STEPS}, root hash [0-9a-f]{{64}}", r"updates: \d+",
         r"model\.embed_tokens\.weight +f32 +\[96, 64\]", r"optimizer\.second\.")
    copy = WORK / "copy"
    shutil.copytree(directory, copy)
    says("diff of equal checkpoints", forge("diff", directory, copy), 0, r"\A\d+ tensors are equal\n\Z")
    says("diff of two steps", forge("diff", checkpoint(directory, 8), newest), 1, r"(?m)^step: 8, 12$",
         r"model\.norm\.weight: \d+ of 64 elements differ, at most by ", r"metadata updates: 8, 12")
    says("list of nothing", forge("list", WORK / "nowhere"), 64, r"there is no run or checkpoint '.*nowhere'")
    says("list of one checkpoint", forge("list", newest), 64, "is one checkpoint; name the run")

    (copy / "checkpoints" / "step-00000016.partial").mkdir()
    says("list tells what was left", forge("list", copy), 0, r"step-00000016\.partial: ")
    says("prune --dry-run", forge("prune", copy, "--keep-last", 1, "--keep-every", 8, "--dry-run"), 0,
         r"\Astep-00000004\nstep-00000016\.partial\n\Z")
    harness.check("a dry run deletes nothing", checkpoint(copy, 4).exists())
    says("prune", forge("prune", copy, "--keep-last", 1, "--keep-every", 8), 0, "deleted step-00000004",
         r"deleted step-00000016\.partial")
    left = sorted(path.name for path in (copy / "checkpoints").iterdir())
    harness.check("the others stay", left == ["latest", "step-00000008", "step-00000012"], left)
    checkpoint(copy, 8).rename(copy / "checkpoints" / "step-00000008.replaced")
    for dry, expected in [(["--dry-run"], "to restore: step-00000008.replaced\nnothing to delete\n"),
                          ([], "restored step-00000008.replaced\nnothing to delete\n")]:
        ended = forge("prune", copy, "--keep-last", 2, *dry)
        harness.check("a checkpoint whose replacement was not committed is restored, not deleted",
                      ended.out == expected and checkpoint(copy, 8).exists() == (not dry), ended)
    flip(checkpoint(copy, 12) / "shard-00000.forge")
    says("prune without a sound one to stay", forge("prune", copy, "--keep-last", 1), 64, "nothing was deleted",
         r"step-00000012' is damaged: shard-00000\.forge, tensor '.+', chunk \d+")
    shutil.rmtree(copy)


def damage(directory, reference):
    """Damage of every kind is named by `verify`; the kinds that resume.py has not are survived by a run."""
    config, _ = configured("run", steps=STEPS + EVERY)
    whole = WORK / "whole"
    shutil.copytree(directory, whole)
    newest, older = checkpoint(directory, STEPS), checkpoint(directory, STEPS - EVERY)
    shards = [newest / f"shard-0000{rank}.forge" for rank in range(2)]
    latest = directory / "checkpoints/latest"
    named = rf"step-{STEPS:08}' is (damaged|incomplete): "
    # What is done, what is said of it, and the step that a run goes on from.
    for name, harm, pattern, start in [
            ("a flipped byte in a chunk", lambda: flip(shards[1]),
             named + r"shard-00001\.forge, tensor '.+', chunk \d+ \(elements \d+ to \d+\)", None),
            ("a flipped byte in the manifest", lambda: flip(newest / "manifest.json"), named + r"manifest\.json", None),
            ("a flipped byte in latest", lambda: flip(latest), r"checkpoints/latest' ", STEPS),
            ("a truncated shard", lambda: os.truncate(shards[0], 1000),
             named + r"shard-00000\.forge has 1000 bytes instead of \d+", None),
            ("a missing shard", lambda: shards[1].unlink(), named + r"shard-00001\.forge: No such file", None),
            ("two shards swapped", lambda: swap(*shards), named + r"shard-0000[01]\.forge", STEPS - EVERY),
            ("the older checkpoint's shard", lambda: shutil.copy(older / "shard-00000.forge", shards[0]),
             named + r"shard-00000\.forge", STEPS - EVERY),
            ("two manifests swapped", lambda: swap(newest / "manifest.json", older / "manifest.json"),
             named + rf"manifest\.json: it is that of step {STEPS - EVERY}", STEPS - 2 * EVERY)]:
        shutil.rmtree(directory)
        shutil.copytree(whole, directory)
        harm()
        says(f"{name}: named", forge("verify", directory), 64, pattern)
        if start:
            ended = harness.run("forge-dist", config, ranks=3)
            harness.check(f"{name}: survived, with the same bits",
                          ended.code == 0 and ended.weights == reference, f"{ended}\nnot {reference}")
            says(f"{name}: what the run says", ended, 0, f"continuing after step {start} ", pattern)
            says(f"{name}: all is sound after the next saves", forge("verify", directory), 0)


def full_disk():
    """A small disk fills up during a run: it is told, the run goes on, and saves again when there is room."""
    model = MODEL | {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 4}
    steps = 240
    config, directory = configured("full", model, steps=steps, every=5, keep_last=2)
    reference = harness.run("forge-dist", configured("roomy", model, steps=steps, every=0)[0], ranks=2).weights
    directory.mkdir()
    disk = directory / "checkpoints"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", directory], capture_output=True)
    if mounted.returncode:
        print("       skipped: a full disk (only root can mount a small one)", flush=True)
        return
    try:
        process = harness.launch("forge-dist", config, ranks=2)
        log = directory / "train.log"

        def logged(text):
            return log.exists() and text in log.read_text()

        saved = harness.wait_for(lambda: (disk / "latest").exists(), process)
        says("prune is refused during a run", forge("prune", directory), 75, "a job is writing to the run")
        with open(directory / "ballast", "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1 << 16))
            except OSError:
                pass
        told = harness.wait_for(lambda: logged("no checkpoint was saved"), process)
        harness.check("a full disk is told, and the run goes on", saved and told and process.poll() is None,
                      log.read_text() if log.exists() else "no log")
        before = harness.last_step(directory)
        says("the earlier checkpoint is sound", forge("verify", disk / "latest"), 0, ": sound")
        os.remove(directory / "ballast")
        freed = harness.last_step(directory)
        again = harness.wait_for(
            lambda: any(int(path.name[5:]) > freed for path in disk.glob("step-????????")), process)
        harness.check("the next save succeeds when there is room again", again, log.read_text())
        ended = harness.end(process, timeout=120)
        harness.check("the run ends with the bits of an undisturbed one",
                      ended.code == 0 and ended.weights == reference and before > 0, f"{ended}\nnot {reference}")
        says("its checkpoints are sound", forge("verify", directory), 0, rf"step-{steps:08}: sound")
    finally:
        for _ in range(20):
            if not subprocess.run(["umount", directory], capture_output=True).returncode:
                break
            time.sleep(0.1)


config, directory = configured("run")
ended = harness.run("forge-dist", config, ranks=2)
harness.check(f"a run of {STEPS} steps", ended.code == 0 and ended.weights, ended)
commands(directory)
damage(directory, harness.run("forge-dist", configured("longer", steps=STEPS + EVERY)[0], ranks=1).weights)
full_disk()
harness.finish()
