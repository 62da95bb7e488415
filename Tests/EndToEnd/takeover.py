#!/usr/bin/env python3
"""One writer: a job that was given up and wakes up again writes nothing; restarts that lead nowhere come to an end."""

import json
import os
import re
import signal
import time

import harness

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(6000, 96, seed=1))


def configured(name, steps, **sections):
    settings = harness.configuration(WORK / name, harness.MIXTRAL, DATA, steps=steps,
                                     checkpoint={"every": 10, "keep_last": 2}, **sections)
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def lease(directory):
    """What the lease file says; an epoch of 0 before the first job has written it."""
    path = directory / ".lock"
    text = path.read_text() if path.exists() else ""
    return json.loads(text) if text else {"epoch": 0}


def files(directory):
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in directory.rglob("*")}


def stop(process, ranks):
    for pid in [process.pid, *ranks]:
        os.kill(pid, signal.SIGSTOP)


def wake(process, ranks):
    for pid in [*ranks, process.pid]:
        os.kill(pid, signal.SIGCONT)


# A job that stands still, on a machine that hangs for example, while the scheduler starts another one.
steps = 4000
whole, _ = configured("whole", 60)
reference = harness.run("forge-dist", whole, ranks=2)
config, directory = configured("stale", steps)
stale = harness.launch("forge-dist", config, ranks=3)
harness.wait_for(lambda: harness.last_step(directory) >= 12, stale)

refused = harness.run("forge-dist", config, ranks=2)
harness.check(f"a living job is left in peace ({refused.seconds:.1f} s)",
              refused.code == 64 and "another job is writing to the run directory" in refused.err
              and refused.seconds < 8, refused)

ranks = harness.rank_processes(stale)
stop(stale, ranks)
shorter, _ = configured("shorter", 60)
settings = json.loads(shorter.read_text())
settings["run"]["directory"] = str(directory)
harness.write_configuration(shorter, settings)
before = max(int(path.name[5:]) for path in (directory / "checkpoints").glob("step-????????"))
start = time.monotonic()
ended = harness.run("forge-dist", shorter, "--set", f"run.steps={before + 25}", ranks=2, timeout=90)
harness.check(f"a silent job is given up after a while ({time.monotonic() - start:.1f} s)",
              ended.code == 0 and "that holds the run directory is silent" in ended.err
              and lease(directory)["epoch"] == 2, ended)
contents = files(directory)
wake(stale, ranks)
woken = harness.end(stale, timeout=30)
now = files(directory)
harness.check("woken up, it writes nothing", now == contents,
              [path for path in sorted(now | contents) if now.get(path) != contents.get(path)])
harness.check("and ends", woken.code == 64 and re.search(r"another job has taken over .*\(epoch 2, on .*\); this one \(epoch 1\) writes nothing more",
                            woken.err), woken)

# The same Slurm job, started again: no need to wait.
config, directory = configured("requeued", steps)
environment = {"SLURM_JOB_ID": "4711", "SLURM_RESTART_COUNT": "0"}
harness.ENVIRONMENT.update(environment)
stale = harness.launch("forge-dist", config, ranks=2)
harness.wait_for(lambda: harness.last_step(directory) >= 12, stale)
ranks = harness.rank_processes(stale)
stop(stale, ranks)
harness.ENVIRONMENT["SLURM_RESTART_COUNT"] = "1"
again = harness.launch("forge-dist", config, ranks=3)
start = time.monotonic()
taken = harness.wait_for(lambda: lease(directory)["epoch"] == 2, again, timeout=10)
harness.check(f"a requeued job takes over at once ({time.monotonic() - start:.1f} s)", taken)
wake(stale, ranks)
woken = harness.end(stale, timeout=30)
harness.check("the start before it ends", woken.code == 64 and "another job has taken over" in woken.err, woken)
step = harness.last_step(directory)
going = harness.wait_for(lambda: harness.last_step(directory) >= step + 5, again)
harness.check("the new one is not disturbed", going)
harness.kill(again)
harness.end(again)

# Restarts that find no newer checkpoint.
config, directory = configured("loop", steps, validation={"every": 0})
settings = json.loads(config.read_text())
settings["checkpoint"]["every"] = 0
harness.write_configuration(config, settings)
for restart in range(5):
    harness.ENVIRONMENT["SLURM_RESTART_COUNT"] = str(restart)
    if restart == 2:
        ended = harness.run("forge-dist", config, "--set", "data.train.0.path=nowhere", ranks=2)
        harness.check("a start that cannot read its data is counted, too",
                      ended.code == 64 and "nowhere" in ended.err and lease(directory)["epoch"] == 3, ended)
        continue
    process = harness.launch("forge-dist", config, ranks=2)
    harness.wait_for(lambda: lease(directory)["epoch"] == restart + 1 and harness.last_step(directory) >= 2, process)
    harness.kill(process)
    ended = harness.end(process)
    if restart == 4:
        harness.check("the fourth restart without a new checkpoint is refused", ended.code == 64
                      and "was restarted 3 times after step 0 without saving a newer checkpoint" in ended.err, ended)
    else:
        harness.check(f"start {restart} works", ended.code == 137, ended)
for name in environment:
    del harness.ENVIRONMENT[name]
ended = harness.run("forge-dist", config, "--set", "run.steps=3", ranks=2)
harness.check("by hand it starts all the same", ended.code == 0, ended)
harness.finish()
