#!/usr/bin/env python3
"""Copies on the nodes' own disks: after a node is lost the run continues from what the others have, without the shared
disk; when too much is lost or damaged, from the shared disk. Nodes are namespaces with host names of their own.
"""

import atexit
import os
import re
import shutil
import subprocess

import harness

if os.geteuid() != 0 or subprocess.run(["unshare", "--uts", "hostname", "n0"], capture_output=True).returncode:
    print("skipped: making hosts of other names needs root and UTS namespaces")
    harness.finish()

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(6000, 96, seed=1))
STEPS = 60
NODE = WORK / "on-node"
NODE.write_text("""#!/bin/sh
# usage: on-node HOSTS COMMAND…: runs a rank's command on the host of its place in the list.
hosts=$1; shift
set -- "$(echo "$hosts" | cut -d, -f$((OMPI_COMM_WORLD_RANK + 1)))" "$@"
exec unshare --uts sh -c 'hostname "$1"; shift; exec "$@"' sh "$@"
""")
NODE.chmod(0o755)


def configured(name, **checkpoint):
    checkpoint = {"every": 25, "keep_last": 2, "local": str(WORK / "disks/%h"), "local_every": 4} | checkpoint
    settings = harness.configuration(
        WORK / name, harness.MIXTRAL, DATA, steps=STEPS,
        checkpoint={key: value for key, value in checkpoint.items() if value is not None})
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def launch(config, hosts, *arguments):
    """Starts a run with a rank on each of the hosts, of which several may be the same."""
    command = ["mpirun", "--oversubscribe", "-n", str(len(hosts)), NODE, ",".join(hosts),
               harness.BIN / "forge-dist", config, *arguments]
    return subprocess.Popen(list(map(str, command)), env=harness.ENVIRONMENT, text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def disk(host, name):
    """The folder of a run's copies on a host."""
    return next((WORK / "disks" / host).glob(f"test-{lease(name)}"), WORK / "none")


def lease(name):
    return re.search(r'"run":"(.{8})', (WORK / name / ".lock").read_text())[1]


def steps(folder):
    return sorted(int(path.name[5:]) for path in folder.glob("step-????????"))


def interrupted(name, hosts, **checkpoint):
    """Runs until the copies are well ahead of the shared disk, kills every rank, and says how far both were."""
    config, directory = configured(name, **checkpoint)
    process = launch(config, hosts)
    shared = directory / "checkpoints"
    harness.wait_for(lambda: harness.last_step(directory) >= 40, process)
    harness.kill(process)
    ended = harness.end(process, timeout=30)
    found = [steps(disk(host, name)) for host in sorted(set(hosts))]
    # Every node has it, so the commit is over, wherever it was cut.
    newest = max(set.intersection(*map(set, found)), default=0)
    harness.check(f"{name}: killed with copies of step {newest} on {len(found)} nodes, {steps(shared)} on the shared disk",
                  ended.code == 137 and newest > max(steps(shared), default=0), f"{found}\n{ended}")
    return config, newest


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def resumed(name, config, hosts, *patterns, absent=None):
    ended = harness.end(launch(config, hosts), timeout=60)
    harness.check(f"{name} ({ended.seconds:.1f} s)",
                  ended.code == 0 and ended.weights == whole.weights
                  and "were not deleted" not in ended.err
                  and all(re.search(pattern, ended.err) for pattern in patterns)
                  and not (absent and re.search(absent, ended.err)), ended)
    return ended


config, directory = configured("whole")
whole = harness.end(launch(config, ["n0", "n0", "n1", "n1"]), timeout=60)
harness.check("undisturbed; the copies go when the run is complete",
              whole.code == 0 and whole.weights and "the nodes keep a copy of the state" in whole.err
              and not disk("n0", "whole").exists() and not disk("n1", "whole").exists(), whole)
plain, _ = configured("plain")
without = harness.run("forge-dist", plain, "--set", f"checkpoint.local={WORK}/disks/plain",
                      "--set", "checkpoint.asynchronous=false", ranks=2)
harness.check("one node keeps copies without a partner, also when it saves without a snapshot", without.code == 0 and without.weights == whole.weights
              and "there is one node, so no partner" in without.err, without)

THREE = ["n0", "n1", "n2"]
COPIES = r"step (\d+) is restored from the nodes' own copies; the shared disk has step 25"
config, newest = interrupted("one-lost", THREE)
before = {path: path.stat().st_size for path in disk("n2", "one-lost").rglob("shard-*")}
harness.check("a node has its own shards and one neighbour's",
              {path.name for path in before if f"{newest:08}" in path.parent.name} == {"shard-00001.forge", "shard-00002.forge"},
              before)
shutil.rmtree(WORK / "disks/n1")
ended = resumed("one node lost, a new one takes its place", config, ["n0", "n3", "n2"], COPIES)
harness.check(f"from step {newest}", f"step {newest} is restored" in ended.err, ended)
rest = WORK / "disks/n0" / f"test-{lease('one-lost')}" / "step-00000099.partial"
rest.mkdir(parents=True)
(rest / "shard-00000.forge").touch()
resumed("what an interrupted copy left goes, too", config, ["n0"])
harness.check("nothing of it is left", not rest.parent.exists())

config, newest = interrupted("fewer", ["n0", "n0", "n1", "n1"])
shutil.rmtree(WORK / "disks/n1")
resumed("one of two nodes lost, three ranks go on on the other", config, ["n0"] * 3, f"step {newest} is restored")

config, newest = interrupted("neighbours", THREE)
for host in ["n0", "n1"]:
    shutil.rmtree(WORK / "disks" / host)
resumed("two neighbours lost: from the shared disk", config, THREE,
        rf"leaving out the nodes' copies of step {newest}: shard-00000\.forge is on none of the nodes",
        "continuing after step 25", absent="is restored from the nodes")

config, newest = interrupted("flipped", THREE)
own = disk("n1", "flipped") / f"step-{newest:08}" / "shard-00001.forge"
flip(own)
resumed("a byte flipped in a shard: named, the partner's copy is read", config, THREE,
        rf"node n1: removed a damaged copy: .*{own.parent.name}.*shard-00001\.forge, tensor", f"step {newest} is restored")

config, newest = interrupted("both", THREE)
older = [step for step in steps(disk("n1", "both")) if step < newest]
for host in ["n1", "n2"]:
    flip(disk(host, "both") / f"step-{newest:08}" / "shard-00001.forge")
resumed("flipped in the partner's too: the copies before, or the shared disk", config, ["n0", "n1", "n2", "n2"],
        "node n1: removed a damaged copy", "node n2: removed a damaged copy",
        f"continuing after step {max([25, *older])}")

config, newest = interrupted("undone", THREE[:2])
shutil.rmtree(WORK / "undone/checkpoints/step-00000025")
resumed("the checkpoint that they followed was removed: so they are left out", config, THREE[:2],
        "step 25, which they followed, was removed", absent="is restored from the nodes")
config, _ = interrupted("without", THREE[:2])
once = harness.end(launch(configured("without", local=None, local_every=None)[0], THREE[:2]), timeout=60)
harness.check("a start without copies takes the shared disk's checkpoint", once.code == 0 and once.weights == whole.weights
              and "continuing after step 25" in once.err and '"run"' not in (WORK / "without/.lock").read_text(), once)
config, _ = interrupted("anew", THREE[:2])
shutil.rmtree(WORK / "anew")
resumed("a new run in the same place does not find them", config, THREE[:2], absent="is restored from the nodes|continuing")

# A node whose disk is full keeps all of them from copying, and nobody from training.
small = WORK / "disks/n5"
small.mkdir(parents=True)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96k", "tmpfs", small], check=True)
atexit.register(subprocess.run, ["umount", small])
config, directory = configured("full")
full = harness.end(launch(config, ["n4", "n5"]), timeout=60)
harness.check("a full disk on one node: told, and training goes on",
              full.code == 0 and full.weights == whole.weights
              and re.search("the nodes kept no copy, training goes on: .*n5.*No space left on device", full.err), full)

same = harness.end(launch(configured("same", local=str(WORK / "disks/same"))[0], THREE[:2]), timeout=30)
harness.check("one folder for two nodes is refused",
              same.code == 64 and "is one folder on the nodes n" in same.err and "put %h" in same.err, same)
harness.finish()
