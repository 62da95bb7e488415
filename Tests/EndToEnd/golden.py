#!/usr/bin/env python3
"""The golden numbers: losses, gradient norms and final weights that no change of the program may change by a bit.

    Tests/EndToEnd/golden.py              checks every line of Fixtures/golden.json that this machine can
    Tests/EndToEnd/golden.py --write      makes the lines that this machine can anew, and keeps the others
    Tests/EndToEnd/golden.py --write NAME...      the same for the lines of these models alone

A line is for a model and a kernel family, and names the CPU, OpenBLAS and glibc it was made with. The bits depend on the
kernel family and on the versions of the two libraries (docs/arithmetic.md), so lines of other versions are not checked, and
the test says so. Half of the lines are computed by one rank, half by two, which makes no difference.
"""

import json
import pathlib
import platform
import re
import struct
import sys

import harness

FIXTURES = pathlib.Path(__file__).resolve().parent / "Fixtures"
GOLDEN = FIXTURES / "golden.json"

COMMON = {"vocab_size": 256, "hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 6,
          "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "initializer_range": 0.05}
DENSE = COMMON | {"model_type": "qwen3", "intermediate_size": 200, "tie_word_embeddings": True}
SOFTMAX = COMMON | {"model_type": "mixtral", "intermediate_size": 120, "num_local_experts": 8, "num_experts_per_tok": 2,
                    "router_aux_loss_coef": 0.02, "sliding_window": 200}
SIGMOID = COMMON | {
    "model_type": "dots1", "intermediate_size": 160, "moe_intermediate_size": 64, "n_routed_experts": 8,
    "num_experts_per_tok": 3, "n_shared_experts": 1, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1,
    "norm_topk_prob": True, "routed_scaling_factor": 1.5, "router_bias_update_rate": 0.01}
OLMOE = COMMON | {
    "model_type": "olmoe", "intermediate_size": 96, "num_experts": 8, "num_experts_per_tok": 3, "clip_qkv": 1.5,
    "router_aux_loss_coef": 0.02}
MINISTRAL3 = COMMON | {
    "model_type": "ministral3", "intermediate_size": 200, "rope_parameters": {
        "rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0, "original_max_position_embeddings": 64,
        "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1}}
QWEN2 = COMMON | {"model_type": "qwen2", "intermediate_size": 200, "tie_word_embeddings": True, "use_sliding_window": True,
                  "sliding_window": 200, "max_window_layers": 1}
ADAMW = {"name": "adamw", "learning_rate": 0.003, "betas": [0.9, 0.95], "epsilon": 1e-8, "weight_decay": 0.1,
         "clip_norm": 1.0}
# The model, its optimizer, and the ranks that compute it.
MODELS = {"dense": (DENSE, ADAMW, None), "softmax router": (SOFTMAX, ADAMW, 2), "sigmoid router": (SIGMOID, ADAMW, None),
          "muon": (SOFTMAX, harness.MUON, 2), "olmoe": (OLMOE, ADAMW, 2), "ministral3": (MINISTRAL3, ADAMW, None),
          "qwen2": (QWEN2, ADAMW, 2)}
STEPS = 16

WORK = harness.folder()
# The first six sequences of the data, all of which are validated on.
HELD_OUT = harness.write_dataset(
    WORK / "held-out", [struct.unpack("<3073H", (FIXTURES / "golden.bin").read_bytes()[:2 * 3073])], dtype="uint16")


def machine():
    """What the bits depend on besides the kernel family, and the CPU, for people who look for a difference."""
    version = harness.run("forge-dist", "--version").out
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {"cpu": cpu[1] if cpu else platform.machine(), "openblas": re.search(r"OpenBLAS ([\w.]+)", version)[1],
            "glibc": platform.libc_ver()[1]}


def computed(name, family):
    """The numbers of a model with a kernel family, as they are printed, or how the program ended instead."""
    model, optimizer, ranks = MODELS[name]
    directory = WORK / f"{name}-{family}".replace(" ", "-")
    settings = harness.configuration(directory, model, FIXTURES / "golden", steps=STEPS, sequences=6, micro_batch=2,
                                     sequence_length=512, optimizer=optimizer,
                                     validation={"every": 8, "sequences": 6})
    settings["run"] |= {"kernel_family": family}
    settings["data"] |= {"validation": [{"path": str(HELD_OUT)}]}
    ended = harness.run("forge-dist", harness.write_configuration(WORK / "run.yaml", settings), ranks=ranks)
    if ended.code != 0:
        return ended
    lines = harness.metrics(directory)
    return {"losses": [line["loss"] for line in lines],
            "auxiliary losses": [line["auxiliary_loss"] for line in lines if "auxiliary_loss" in line],
            "norms": [line["grad_norm"] for line in lines],
            "validation losses": [line["validation_loss"] for line in lines if "validation_loss" in line],
            "weights": ended.weights}


def write(names):
    here = machine()
    lines = [line for line in (json.loads(GOLDEN.read_text()) if GOLDEN.exists() else [])
             if line["kernel family"] not in harness.kernel_families() or line["model"] not in names]
    for family in harness.kernel_families():
        for name in names:
            numbers = computed(name, family)
            if not isinstance(numbers, dict):
                sys.exit(f"golden.py: {name} with {family} failed\n{numbers}")
            lines.append({"model": name, "kernel family": family} | here | numbers)
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(line) for line in lines) + "\n]\n")


def check():
    here = machine()
    lines = json.loads(GOLDEN.read_text())
    for line in lines:
        name = f"{line['model']} with {line['kernel family']}"
        if line["kernel family"] not in harness.kernel_families():
            print(f"       {name}: this CPU ({here['cpu']}) has not got these kernels, not checked")
        elif any(line[library] != here[library] for library in ("openblas", "glibc")):
            print(f"       {name}: made with OpenBLAS {line['openblas']} and glibc {line['glibc']}, here are "
                  f"{here['openblas']} and {here['glibc']}, not checked")
        else:
            found = computed(line["model"], line["kernel family"])
            expected = {key: line[key] for key in ("losses", "auxiliary losses", "norms", "validation losses", "weights")}
            harness.check(name, found == expected,
                          f"{found}\nand not, as on {line['cpu']},\n{expected}\n(this is {here['cpu']})")
    harness.check("there is a line for every model",
                  all(name in {line["model"] for line in lines} for name in MODELS), sorted(MODELS))
    harness.finish()


write(sys.argv[2:] or list(MODELS)) if sys.argv[1:2] == ["--write"] else check()
