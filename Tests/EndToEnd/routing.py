#!/usr/bin/env python3
"""Adversarial routing: exact and without a hang wherever the experts are.

A router of zeros ties everywhere, so every token goes to the experts of the lowest index: one expert gets all tokens and
the others starve, and the ranks that hold those have nothing to do, unless they borrow it. With 8 ranks and 3
micro-batches most ranks have no tokens of their own either.
"""

import harness

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(2000, 96, seed=1))
STEPS = 3


def model(folder, router, chosen):
    """A tiny mixture of experts whose router rows are given by `router(layer, expert)`."""
    hidden, inner, experts = 24, 20, 4

    def edit(tensors, config):
        config |= {"model_type": "mixtral", "num_local_experts": experts, "num_experts_per_tok": chosen,
                   "intermediate_size": inner}
        generator = harness.random.Random(2)
        for layer in range(config["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            for name in ["gate_proj", "up_proj", "down_proj"]:
                del tensors[f"{prefix}mlp.{name}.weight"]
            rows = [router(layer, expert) for expert in range(experts)]
            tensors[f"{prefix}block_sparse_moe.gate.weight"] = ([experts, hidden], sum(rows, []))
            for expert in range(experts):
                for name, shape in {"w1": [inner, hidden], "w3": [inner, hidden], "w2": [hidden, inner]}.items():
                    values = [generator.gauss(0, 0.2) for _ in range(inner * hidden)]
                    tensors[f"{prefix}block_sparse_moe.experts.{expert}.{name}.weight"] = (shape, values)

    return harness.write_model(folder, edit)


def settings(directory, source, degree, sharding, shadows):
    made = harness.configuration(directory, {"from": str(source)}, DATA, steps=STEPS)
    return made | {"parallelism": {"expert": degree, "sharding": sharding, "shadow_experts": shadows}}


CASES = {
    "all tokens to one expert": (lambda layer, expert: [0.0] * 24, 1),
    "two experts starved": (lambda layer, expert: [0.0] * 24, 2),
    "a router that hardly decides": (lambda layer, expert: [0.0 if expert < 3 else -1e-3 * (1 + i % 3) for i in range(24)], 3),
}
for name, (router, chosen) in CASES.items():
    source = model(WORK / f"model-{chosen}", router, chosen)
    reference = gradients = None
    for ranks, degree, sharding, shadows in [
            (1, 1, "none", "auto"), (2, 2, "optimizer", "always"), (3, 3, "full", "always"), (4, 2, "none", "never"),
            (4, 4, "none", "always"), (8, 4, "full", "always")]:
        directory = WORK / f"{chosen}-{ranks}-{degree}"
        configuration = harness.write_configuration(
            WORK / "run.yaml", settings(directory, source, degree, sharding, shadows))
        dump = WORK / "gradients.safetensors"
        dumped = harness.run("forge-dist", configuration, "--dump-gradients", dump, ranks=ranks, timeout=60)
        found = dump.read_bytes() if dumped.code == 0 else None
        ended = harness.run("forge-dist", configuration, ranks=ranks, timeout=60)
        result = (ended.weights, harness.curve(directory))
        if reference is None:
            reference, gradients = result, found
            loads = harness.metrics(directory)[0]["tokens_per_expert"]
            tokens = 6 * 32
            expected = [[tokens] * chosen + [0] * (4 - chosen)] * 2
            harness.check(f"{name}: the router does what the test is about", chosen == 3 or loads == expected, f"{loads}\n{ended}")
            harness.check(f"{name}: gradients and a run on one rank", found and ended.code == 0, f"{dumped}\n{ended}")
        else:
            place = f"{name}: {ranks} ranks, expert {degree}, sharding {sharding}, experts lent {shadows}"
            harness.check(f"{place}: the same gradients", found is not None and found == gradients, dumped)
            harness.check(f"{place}: the same run", ended.code == 0 and result == reference, ended)
harness.finish()
