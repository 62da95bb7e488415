#!/usr/bin/env python3
"""Two ranks that a link of 1 Gbit/s connects: a step takes what `forge plan` predicts for it, within 15 %.

The ranks are in two network namespaces, as on two hosts, joined by a virtual cable that a token bucket slows down. Needs
root, `ip`, `tc`, and two cores with nothing else to do; says so and passes where it may not make namespaces.
"""

import atexit
import json
import math
import os
import shutil
import statistics
import subprocess
import sys

import harness

MODEL = {
    "model_type": "llama", "vocab_size": 8192, "hidden_size": 384, "intermediate_size": 1024, "num_hidden_layers": 7,
    "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 512}
# What Open MPI 4.1 takes for a short message over TCP on such a cable.
LATENCY_MICROSECONDS = 40
HOSTS = {"forge-a": "10.77.0.1", "forge-b": "10.77.0.2"}
ROUNDS = 3


def system(*command):
    subprocess.run(command, check=True, capture_output=True, text=True)


def remove():
    for name in HOSTS:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True)


def connect():
    """Makes the two hosts and the slow cable between them."""
    remove()
    first, second = HOSTS
    for name in HOSTS:
        system("ip", "netns", "add", name)
        atexit.register(remove)
    system("ip", "link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
    for name, address in HOSTS.items():
        inside = ["ip", "netns", "exec", name]
        system(*inside, "ip", "address", "add", f"{address}/24", "dev", "cable")
        system(*inside, "ip", "link", "set", "cable", "up")
        system(*inside, "ip", "link", "set", "lo", "up")
        system(*inside, "tc", "qdisc", "add", "dev", "cable", "root", "tbf", "rate", "1gbit", "burst", "256kb",
               "latency", "50ms")


def train(path):
    """A run across the cable; returns its steps' seconds."""
    shutil.rmtree(work / "run", ignore_errors=True)
    # Stands for ssh: enters the namespace of the host that is named, under a name of its own.
    agent = work / "agent"
    cases = "\n".join(f"{address}) name={name};;" for name, address in HOSTS.items())
    agent.write_text(f'#!/bin/sh\ncase $1 in\n{cases}\nesac\nshift\n'
                     'exec ip netns exec $name unshare --uts sh -c "hostname $name; $*"\n')
    agent.chmod(0o755)
    first = next(iter(HOSTS))
    command = ["ip", "netns", "exec", first, "unshare", "--uts", "sh", "-c", f'hostname {first}; exec "$@"', "sh",
               "mpirun", "--host", ",".join(HOSTS.values()), "--bind-to", "none", "-n", "2"]
    for key, value in {"plm_rsh_agent": agent, "btl": "tcp,self", "pml": "ob1", "btl_tcp_if_include": "10.77.0.0/24",
                       "oob_tcp_if_include": "10.77.0.0/24"}.items():
        command += ["--mca", key, str(value)]
    process = subprocess.Popen([*command, str(harness.BIN / "forge-dist"), str(path)], env=harness.ENVIRONMENT,
                               text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    ended = harness.end(process, timeout=300)
    if ended.code:
        print(ended, flush=True)
    return [(line["step_seconds"], line["exposed_communication_seconds"])
            for line in harness.metrics(work / "run")][2:] or [(math.inf, math.inf)]


work = harness.folder()
if os.geteuid() != 0 or not shutil.which("tc"):
    print("not tested: this needs root and tc")
    sys.exit(0)
connect()
data = harness.write_dataset(work / "data", harness.documents(40000, MODEL["vocab_size"], seed=1, longest=900))
for sharding in ["optimizer", "full"]:
    settings = harness.configuration(
        work / "run", MODEL, data, steps=8, sequences=8, micro_batch=2, sequence_length=256,
        parallelism={"sharding": sharding})
    settings["optimizer"]["learning_rate"] = 1e-4
    path = harness.write_configuration(work / "run.yaml", settings)
    predictions, steps = [], []
    for _ in range(ROUNDS):
        # Both hosts are this machine, so both measure it at the same time.
        plans = [harness.launch(
            "forge", "plan", path, "--ranks", 2, "--ranks-per-node", 1, "--threads", 1, "--cores", 1, "--network", 0.125,
            "--latency", LATENCY_MICROSECONDS, "--json") for _ in HOSTS]
        predictions += [json.loads(harness.end(plan).out)["configured"] for plan in plans]
        steps += train(path)
    predicted = statistics.median(plan["step_seconds"] for plan in predictions)
    measured, exposed = (statistics.median(values) for values in zip(*steps))
    harness.check(f"sharding {sharding}: a step takes {measured * 1e3:.0f} ms, {exposed * 1e3:.0f} ms of it waiting; "
                  f"{predicted * 1e3:.0f} ms predicted, ratio {predicted / measured:.2f}",
                  abs(predicted / measured - 1) <= 0.15, predictions[-1])
harness.finish()
