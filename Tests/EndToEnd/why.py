#!/usr/bin/env python3
"""`forge why` names the rank that was stopped or killed; the job ends within its limit and continues to the same bits."""

import os
import re
import signal
import struct
import subprocess
import time

import harness

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(4000, 96, seed=1))
RANKS, STEPS, LIMIT = 3, 500, 3


def configuration(name):
    made = harness.configuration(
        WORK / name, harness.MIXTRAL, DATA, steps=STEPS, checkpoint={"every": 40},
        watchdog={"factor": 20, "minimum_seconds": LIMIT})
    return harness.write_configuration(WORK / f"{name}.yaml", made)


def launch(config):
    """The job, with exit codes that a scheduler can act on."""
    return subprocess.Popen(
        [harness.ROOT / "cluster/launch", "--oversubscribe", "-n", str(RANKS), harness.BIN / "forge-dist", config],
        env=harness.ENVIRONMENT, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def pid(run, rank):
    """The process id in a rank's black box, by docs/blackbox.md; 0 before there is one."""
    path = run / f"blackbox/rank-{rank:05d}"
    return struct.unpack_from("<I", path.read_bytes(), 20)[0] if path.exists() else 0


def disturb(run, config, rank, number):
    """Starts the job, lets it train a while, sends a rank a signal; returns the job, the rank's process and the time."""
    before = harness.last_step(run)
    job = launch(config)
    started = harness.wait_for(lambda: harness.last_step(run) > before + 60, job)
    process = pid(run, rank)
    harness.check(f"rank {rank} is at work", started and process, job.poll())
    os.kill(process, number)
    return job, process, time.monotonic()


def why(run):
    return harness.run("forge", "why", run)


sound = harness.run("forge-dist", configuration("sound"), ranks=RANKS)
weights = sound.weights
harness.check("an undisturbed run", sound.code == 0 and weights, sound)
told = why(WORK / "sound")
harness.check("a complete run is told as such",
              told.code == 0 and "all ranks ended by themselves: the run is complete" in told.out, told)
told = why(WORK)
harness.check("a folder without records is refused",
              told.code == 64 and len(harness.sentences(told.err)) == 1 and "holds no black box" in told.err, told)

run, config = WORK / "run", configuration("run")

for rank, first, second in [(1, 0, 2), (0, 1, 2)]:
    job, process, stopped = disturb(run, config, rank, signal.SIGSTOP)
    time.sleep(1)
    named = rf"rank {rank} \(host \S+, pid {process}\) is stopped in step \d+, by SIGSTOP or a debugger; "
    told = why(run)
    where = r"in MPI_\w+ no\. \d+ of '[^']+' \(\d+ bytes, \w+/\w+\.swift:\d+\)"
    waiting = rf"ranks {first}, {second} wait for it {where}|rank [{first}{second}] waits for it {where}"
    harness.check(f"rank {rank} stopped: why names it and where others wait, while they do",
                  told.code == 0 and re.search(rf"^{named}({waiting})", told.out, re.M)
                  and re.search(rf"^ +{rank}  .*  stopped, ", told.out, re.M)
                  and re.search(rf"^ +{first}  .*  waits .*since .* in MPI_", told.out, re.M), told)
    ended = harness.end(job, timeout=30)
    seconds = time.monotonic() - stopped
    harness.check(f"rank {rank} stopped: the job ends within the limit with 75",
                  ended.code == 75 and LIMIT - 1 < seconds < LIMIT + 8, f"{seconds:.1f} s, {ended}")
    sentences = [line for line in harness.sentences(ended.err) if "takes longer than" in line]
    harness.check(f"rank {rank} stopped: one rank says why",
                  len(sentences) == 1 and re.search(rf"step \d+ takes longer than {LIMIT} s.*: {named}", sentences[0])
                  and sentences[0].removeprefix("forge-dist: ") in (run / "train.log").read_text(), ended)
    told = why(run)
    harness.check(f"rank {rank} stopped: why still says so when all are gone",
                  told.code == 0 and re.search(f"ended the job: .*{named}", told.out), told)

job, process, killed = disturb(run, config, 2, signal.SIGKILL)
ended = harness.end(job, timeout=30)
harness.check("rank 2 killed: exit code 75", ended.code == 75, ended)
told = why(run)
harness.check("rank 2 killed: why names it",
              told.code == 0 and re.search(rf"^rank 2 \(host \S+, pid {process}\) is dead: ended without a word in step ",
                                           told.out, re.M), told)

last = harness.end(launch(config), timeout=120)
harness.check("the run continues to the same weights", last.code == 0 and last.weights == weights, last)
told = why(run)
harness.check("and is complete", "all ranks ended by themselves: the run is complete" in told.out, told)
harness.finish()
