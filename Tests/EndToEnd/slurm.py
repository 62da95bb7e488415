#!/usr/bin/env python3
"""Runs under a real Slurm of four nodes on this machine, which lose nodes and meet their time limits.

usage: Tests/EndToEnd/slurm.py [--batch-node-losses N [--seed S]] [NAME]…     only these of: lost_node spare_node requeued
batch_node refused cancelled chain time_limit. With a count N it loses the node of the batch script N times instead, each
time of another job: at a random moment, during a save and right after a relaunch in turn. Skipped where Slurm is not
installed and may not be.
"""

import argparse
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import harness
from harness import check

WORK = harness.folder()
CLUSTER = harness.ROOT / "cluster"
LOCAL = [CLUSTER / "local-slurm", "--dir", WORK / "slurm"]
DATA = harness.write_dataset(WORK / "data", harness.documents(4000, 96, seed=1))
ENVIRONMENT = harness.ENVIRONMENT | {"FORGE_DIST": str(harness.BIN / "forge-dist"), "FORGE_RANKS_PER_NODE": "1"}


def slurm(*command, timeout=120):
    """Runs a command of Slurm, or of cluster/, to its end; returns what it printed."""
    ended = subprocess.run([*map(str, command)], env=ENVIRONMENT, cwd=WORK, capture_output=True, text=True,
                           timeout=timeout)
    return (ended.stdout + (ended.stderr if ended.returncode else "")).strip()


def start():
    """Starts Slurm, installing it if root may; ends the test with a message when there is none."""
    installed = subprocess.run([*LOCAL, "--install"], capture_output=True, text=True)
    if installed.returncode:
        print(f"skipped: Slurm is not installed: {installed.stderr.strip().splitlines()[-1]}")
        harness.finish()
    begun = subprocess.run([*LOCAL, "start"], capture_output=True, text=True)
    if not check("Slurm starts", begun.returncode == 0, begun.stderr):
        harness.finish()
    shown = subprocess.run([*LOCAL, "env"], capture_output=True, text=True).stdout
    for name, value in re.findall(r"(\w+)=(\S+)", shown):
        ENVIRONMENT[name] = value
    check("four nodes are ready", slurm(*LOCAL, "status").count(" idle") == 4, slurm(*LOCAL, "status"))


def configuration(name, steps, **sections):
    """A run whose steps may be changed on the way: nothing else depends on their number."""
    made = harness.configuration(WORK / name, harness.QWEN3, DATA, steps=steps, sequences=12,
                                 schedule={"name": "constant", "warmup_steps": 2}, **sections)
    path = harness.write_configuration(WORK / f"{name}.new", made)
    return path.rename(WORK / f"{name}.yaml")


class Job:
    """A job that was submitted: its log and what Slurm says about it."""

    def __init__(self, name, steps, *options, settings=(), every=20, **variables):
        self.name, self.directory, self.log_path = name, WORK / name, WORK / f"{name}.log"
        self.config = configuration(name, steps, checkpoint={"every": every})
        exported = ",".join(["ALL", *(f"{key}={value}" for key, value in variables.items())])
        self.id = slurm("sbatch", "--parsable", f"--output={self.log_path}", f"--export={exported}", *options,
                        CLUSTER / "forge.sbatch", self.config, *settings)

    @property
    def log(self):
        return self.log_path.read_text() if self.log_path.exists() else ""

    @property
    def weights(self):
        """The hash of the final weights, of which there must be one."""
        found = set(re.findall(r"final weights SHA-256 ([0-9a-f]{64})", self.log))
        return found.pop() if len(found) == 1 else None

    def says(self, field):
        """A field of `scontrol show job`."""
        found = re.search(rf"\b{field}=(\S+)", slurm("scontrol", "-o", "show", "job", self.id))
        return found[1] if found else None

    def wait(self, condition, timeout=90, pause=0.2):
        deadline = time.monotonic() + timeout
        while not (holds := condition()) and time.monotonic() < deadline:
            time.sleep(pause)
        return bool(holds)

    def reaches(self, step):
        return self.wait(lambda: harness.last_step(self.directory) >= step)

    def end(self, timeout=240):
        """Waits for the job's end; returns whether it came."""
        over = ("COMPLETED", "FAILED", "TIMEOUT", "NODE_FAIL", "CANCELLED")
        ended = self.wait(lambda: self.says("JobState") in over, timeout)
        if not ended:
            slurm("scancel", self.id)
        return ended

    def __str__(self):
        # What MPI says about a node that died is long.
        return f"{slurm('scontrol', 'show', 'job', self.id)}\n{self.log[-6000:]}"

    def ends_as(self, weights, name):
        """Whether the job is done, with the weights of an undisturbed run."""
        complete = self.end() and self.says("JobState") == "COMPLETED"
        check(f"{self.name}: {name}, and the final weights are those of an undisturbed run",
              complete and self.weights and self.weights == weights, f"wanted weights {weights}\n{self}")


undisturbed_runs = {}


def undisturbed(steps):
    """The final weights of a run of so many steps on one rank, outside Slurm."""
    if steps not in undisturbed_runs:
        undisturbed_runs[steps] = harness.run("forge-dist", configuration(f"undisturbed-{steps}", steps)).weights
    return undisturbed_runs[steps]


def kill_node(node):
    slurm(*LOCAL, "kill-node", node)


def revive(node):
    """Switches a node on again and waits until all four are there, for the next test."""
    slurm(*LOCAL, "revive-node", node)
    deadline = time.monotonic() + 60
    while slurm(*LOCAL, "status").count(" idle") < 4 and time.monotonic() < deadline:
        time.sleep(0.5)


def both_launchers():
    """Undisturbed jobs, two ranks a node; returns the steps a job does in a second."""
    for launcher in ("mpirun", "srun"):
        job = Job(launcher, 40, "--nodes=2", FORGE_LAUNCHER=launcher, FORGE_RANKS_PER_NODE="2")
        job.ends_as(undisturbed(40), "two nodes of two ranks")
        check(f"{launcher}: it ran on 4 ranks of two nodes", "4 ranks" in job.log and "(n1 n2)" in job.log, job)
    seconds = [line["step_seconds"] for line in harness.metrics(job.directory)[10:] if "step_seconds" in line]
    return len(seconds) / sum(seconds) if seconds else 10


def loses(job, node, what):
    """The node is killed in the middle of the run, which ends as if nothing had been."""
    job.reaches(STEPS // 4)
    kill_node(node)
    job.ends_as(undisturbed(STEPS), f"node {node} is lost, {what}")
    revive(node)


def lost_node():
    job = Job("lost_node", STEPS, "--nodes=3", "--nodelist=n1,n2,n3")
    loses(job, "n2", "the run goes on with two in the same allocation")
    check("lost_node: the loss is told, and Slurm has not restarted the job",
          "1 of 3 nodes are lost; left: n1 n3" in job.log and job.says("Restarts") == "0"
          and "continuing after step" in job.log, job)


def spare_node():
    job = Job("spare_node", STEPS, "--nodes=4", FORGE_SPARE_NODES="1", FORGE_LAUNCHER="srun")
    loses(job, "n3", "the spare node n4 steps in")
    check("spare_node: three nodes before and after",
          "3 nodes (n1 n2 n3)" in job.log and "3 nodes (n1 n2 n4)" in job.log, job)


def requeued():
    job = Job("requeued", STEPS, "--nodes=3", FORGE_LAUNCHER="srun", FORGE_MIN_NODES="3")
    loses(job, "n2", "three are wanted: requeued")
    check("requeued: Slurm restarted it once on the nodes left",
          job.says("Restarts") == "1" and "3 nodes (n1 n3 n4)" in job.log, job)


def batch_node():
    job = Job("batch_node", STEPS, "--nodes=3")
    job.reaches(STEPS // 4)
    first = job.says("BatchHost")
    kill_node(first)
    job.ends_as(undisturbed(STEPS), f"node {first}, which runs the batch script, is lost: requeued")
    check("batch_node: Slurm restarted it once on other nodes",
          job.says("Restarts") == "1" and job.says("BatchHost") != first, job)
    revive(first)


def rank_of(config):
    """The process number of a rank of the run; mpirun and the batch script are not ranks."""
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:  # it has ended
            continue
        if words[0].endswith("forge-dist") and str(config) in words:
            return int(path.parent.name)
    raise LookupError(f"no rank of {config}")


def lost_at(job, moment, generator):
    """Waits for the moment at which the job is to lose its batch node; returns whether it came, and what it was."""
    goal = generator.randint(1, STEPS * 3 // 2)
    if moment == "during a save":
        checkpoints = job.directory / "checkpoints"
        came = job.reaches(goal) and job.wait(lambda: any(checkpoints.glob("step-*.partial")), 20, pause=0.001)
        return came, f"during a save after step {goal}"
    if moment == "right after a relaunch":
        job.reaches(goal)
        os.kill(rank_of(job.config), signal.SIGKILL)
        came = job.wait(lambda: job.log.count(" ranks a node, ") >= 2, 60)
        delay = generator.uniform(0, 2)
        time.sleep(delay)
        return came, f"{delay:.1f} s after a relaunch after step {goal}"
    came = job.reaches(goal)
    delay = generator.uniform(0, 1)
    time.sleep(delay)
    return came, f"at a random moment, {delay:.2f} s after step {goal}"


def batch_node_losses(count, seed):
    """Loses the batch node of one job after the other; each is requeued and ends as if nothing had been."""
    generator = random.Random(seed)
    print(f"seed {seed}", flush=True)
    steps = 3 * STEPS  # so that the node is lost long before the end
    moments = ("at a random moment", "during a save", "right after a relaunch")
    for number in range(count):
        began = time.monotonic()
        job = Job(f"loss-{number + 1}", steps, "--nodes=2", every=3,
                  FORGE_LAUNCHER=generator.choice(["mpirun", "srun"]))
        came, moment = lost_at(job, moments[number % 3], generator)
        node = job.says("BatchHost")
        kill_node(node)
        job.ends_as(undisturbed(steps), f"node {node}, which runs the batch script, is lost {moment}: requeued")
        check(f"{job.name}: the moment came, and Slurm restarted the job once on other nodes",
              came and job.says("Restarts") == "1" and job.says("BatchHost") != node, job)
        revive(node)
        print(f"       {time.monotonic() - began:.0f} s", flush=True)


def refused():
    job = Job("refused", 10, "--nodes=2", settings=("--set", "parallelism.expert=7"), FORGE_LAUNCHER="srun")
    job.end()
    check("refused: exit code 64 ends the job for good",
          (job.says("JobState"), job.says("ExitCode"), job.says("Restarts")) == ("FAILED", "64:0", "0"), job)


def cancelled():
    job = Job("cancelled", 1_000_000, "--nodes=2")
    job.reaches(20)
    slurm("scancel", job.id)
    job.end()
    time.sleep(5)
    check("cancelled: the job stays cancelled and lets its nodes go",
          (job.says("JobState"), job.says("Restarts")) == ("CANCELLED", "0"), job)


def chain():
    def submit(name, *settings):
        job = Job(name, 20, "--nodes=1", "--hold")  # for its configuration
        slurm("scancel", job.id)
        ids = slurm(CLUSTER / "submit", job.config, "--chain", 3, "--nodes", 2, *settings, "--",
                    "--output=" + str(job.log_path)).split()
        links = []
        for number in ids:
            link = Job.__new__(Job)
            link.__dict__ |= job.__dict__ | {"id": number}
            links.append(link)
        for link in links:
            link.end()
        return links

    links = submit("chain")
    check("chain: all three jobs end with 0, the later ones at once",
          [link.says("ExitCode") for link in links] == ["0:0"] * 3 and links[0].weights == undisturbed(20), links[0])
    links = submit("broken_chain", "--set", "parallelism.expert=7")
    check("broken_chain: 64 cancels the jobs that wait", [link.says("JobState") for link in links]
          == ["FAILED", "CANCELLED", "CANCELLED"] and links[0].says("ExitCode") == "64:0", links[0])


def time_limit():
    # Slurm tests the limit every half minute. Until then the run goes on, however fast the machine is.
    job = Job("time_limit", 1_000_000, "--nodes=2", "--time=1", "--signal=B:USR1@1", every=0)
    stopped = job.wait(lambda: re.search(r"stopped on request after step (\d+)", job.log), 120)
    check("time_limit: the limit comes and the job goes back to the queue",
          stopped and job.wait(lambda: job.says("JobState") in ("PENDING", "COMPLETING")), job)
    steps = max((line["step"] for line in harness.metrics(job.directory)), default=0) + 100
    configuration(job.name, steps, checkpoint={"every": 0})
    job.ends_as(undisturbed(steps), f"requeued, it goes on to step {steps}")
    check("time_limit: it was requeued by itself and continued its checkpoint",
          int(job.says("Restarts") or 0) >= 1 and f"continuing after step {steps - 100} of" in job.log, job)


tests = {test.__name__: test
         for test in (lost_node, spare_node, requeued, batch_node, refused, cancelled, chain, time_limit)}
parser = argparse.ArgumentParser()
parser.add_argument("--batch-node-losses", type=int, metavar="N")
parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
parser.add_argument("names", nargs="*", metavar="NAME")
arguments = parser.parse_args()
start()
try:
    rate = both_launchers()
    # About ten seconds of work, whatever the machine.
    STEPS = min(1000, max(100, int(10 * rate)))
    if arguments.batch_node_losses:
        batch_node_losses(arguments.batch_node_losses, arguments.seed)
    else:
        for name in arguments.names or tests:
            began = time.monotonic()
            tests[name]()
            print(f"       {name}: {time.monotonic() - began:.0f} s")
finally:
    subprocess.run([*LOCAL, "stop"])
harness.finish()
