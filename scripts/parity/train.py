#!/usr/bin/env python3
"""Compares ten AdamW steps of `forge-dist` from a Hugging Face folder with PyTorch in fp32.

Every step's loss within 1e-5 relative and gradient norm within 3e-5; every parameter's gradient at step 1 within 1e-4
(relative L2); the exported weights' change over the run within 2e-4 (relative L2 over all parameters: AdamW turns a
rounding error of a gradient near zero into a whole step). Exit code 1 beyond.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy
import torch
from safetensors.torch import load_file

import indexed_dataset
import models
import reference

STEPS, SEQUENCES, MICRO_BATCH, LENGTH = 10, 8, 2, 64
LEARNING_RATE, BETAS, EPSILON, WEIGHT_DECAY, CLIP_NORM = 1.0e-3, (0.9, 0.95), 1.0e-8, 0.1, 1.0
LIMITS = {"loss": 1e-5, "norm": 3e-5, "gradient": 1e-4, "update": 2e-4}
VARIANTS = ["llama", "llama-tied", "mistral", "mixtral", "qwen3", "qwen3_moe", "qwen3_moe-raw", "dots1", "dots1-raw", "olmoe",
            "olmoe-plain", "ministral3", "ministral3-mscale", "qwen2"]
BALANCED = ["mixtral", "qwen3_moe-raw", "dots1", "olmoe"]  # again with the load-balancing loss
BIAS_UPDATE_RATE = 0.01  # of dots1's selection biases: within ten steps they change who is chosen

CONFIG = """\
run: {{ name: parity, directory: {run}, seed: 1, steps: {steps} }}
model: {{ from: {folder}{wishes} }}
data: {{ sequence_length: {length}, shuffle: false, document_mask: false, train: [ {{ path: {data}, weight: 1.0 }} ] }}
batch: {{ sequences: {sequences}, micro_batch: {micro_batch} }}
optimizer: {{ name: adamw, learning_rate: 1.0e-3, betas: [0.9, 0.95], epsilon: 1.0e-8, weight_decay: 0.1, clip_norm: 1.0 }}
schedule: {{ name: constant, warmup_steps: 0 }}
"""


@dataclasses.dataclass
class Run:
    """What a run of ten steps leaves: numbers by step, step 1's gradients before clipping, the final weights."""

    losses: list[float]
    norms: list[float]
    gradients: dict[str, torch.Tensor]
    weights: dict[str, torch.Tensor]


def pytorch_run(folder: pathlib.Path, tokens: numpy.ndarray) -> Run:
    model = reference.load(folder)
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    vectors = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": matrices, "weight_decay": WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=BETAS, eps=EPSILON)
    routers = reference.sigmoid_routers(model)
    run = Run([], [], {}, {})
    for step in range(STEPS):
        optimizer.zero_grad()
        loss = 0.0
        loads = [torch.zeros_like(router.e_score_correction_bias) for router in routers]
        for first in range(step * SEQUENCES, (step + 1) * SEQUENCES, MICRO_BATCH):
            rows = [tokens[i * LENGTH : (i + 1) * LENGTH + 1] for i in range(first, first + MICRO_BATCH)]
            losses = reference.losses(model, torch.from_numpy(numpy.stack(rows).astype(numpy.int64)))
            for load, (_, _, experts) in zip(loads, losses.routings, strict=True):
                load += torch.bincount(experts.flatten(), minlength=len(load))
            part = losses.tokens.sum() / (SEQUENCES * LENGTH)
            loss += losses.tokens.double().sum().item() / (SEQUENCES * LENGTH)
            if losses.auxiliary is not None:
                part = part + model.config.router_aux_loss_coef * losses.auxiliary * MICRO_BATCH / SEQUENCES
            part.backward()
        if step == 0:
            run.gradients = {name: tensor.clone() for name, tensor in reference.gradients(model).items()}
        run.losses.append(loss)
        run.norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM).item())
        optimizer.step()
        for router, load in zip(routers, loads, strict=True):  # DeepSeek-V3, arXiv 2412.19437, §2.1.2
            router.e_score_correction_bias += BIAS_UPDATE_RATE * torch.sign(load.mean() - load)
    run.weights = reference.weights(model)
    return run


def forge_run(folder: pathlib.Path, data: pathlib.Path, scratch: pathlib.Path, options: argparse.Namespace) -> Run:
    has_biases = json.loads((folder / "config.json").read_text())["model_type"] == "dots1"

    def config(name: str) -> pathlib.Path:
        file = scratch / f"{name}.yaml"
        text = CONFIG.format(
            run=scratch / name,
            folder=folder,
            wishes=f", router_bias_update_rate: {BIAS_UPDATE_RATE}" if has_biases else "",
            data=data,
            steps=STEPS,
            length=LENGTH,
            sequences=SEQUENCES,
            micro_batch=MICRO_BATCH,
        )
        file.write_text(text)
        return file

    def call(*command: object) -> None:
        world = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        subprocess.run(command, env=os.environ | world, stdout=subprocess.DEVNULL, check=True)

    forge_dist, forge = options.bin / "forge-dist", options.bin / "forge"
    gradients = scratch / "gradients.safetensors"
    call(forge_dist, "train", config("gradients"), "--dump-gradients", gradients)
    call("mpirun", "--oversubscribe", "-n", options.ranks, forge_dist, config("run"))
    call(forge, "export", scratch / "run", scratch / "export")
    metrics = [json.loads(line) for line in (scratch / "run" / "metrics.jsonl").read_text().splitlines()]
    return Run(
        [step["loss"] for step in metrics],
        [step["grad_norm"] for step in metrics],
        load_file(gradients),
        reference.weights(reference.load(scratch / "export")),
    )


def relative(ours: float, expected: float) -> float:
    return abs(ours - expected) / abs(expected)


def l2_error(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """‖ours − expected‖ / ‖expected‖, where 0 / 0 is 0; infinite for another shape."""
    if ours.shape != expected.shape:
        return float("inf")
    if torch.equal(ours, expected):
        return 0.0
    return ((ours - expected).double().norm() / expected.double().norm()).item()


def compare(forge: Run, pytorch: Run, start: dict[str, torch.Tensor]) -> tuple[dict[str, float], str]:
    """The largest errors, and the parameter with the worst gradient."""
    for what, ours, expected in [
        ("gradients", forge.gradients, pytorch.gradients),
        ("weights", forge.weights, pytorch.weights),
    ]:
        if ours.keys() != expected.keys():
            raise SystemExit(f"{what} have other names than PyTorch's: {sorted(ours.keys() ^ expected.keys())}")
    if len(forge.losses) != STEPS:
        raise SystemExit(f"metrics.jsonl has {len(forge.losses)} steps, not {STEPS}")
    gradients = {name: l2_error(forge.gradients[name], expected) for name, expected in pytorch.gradients.items()}
    worst = max(gradients, key=gradients.get)
    changes = [torch.cat([(run.weights[name] - start[name]).flatten() for name in start]) for run in (forge, pytorch)]
    errors = {
        "loss": max(map(relative, forge.losses, pytorch.losses)),
        "norm": max(map(relative, forge.norms, pytorch.norms)),
        "gradient": gradients[worst],
        "update": l2_error(*changes),
    }
    return errors, worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("variants", nargs="*", default=VARIANTS + [f"{name}+balanced" for name in BALANCED])
    parser.add_argument("--bin", type=pathlib.Path, default=root / ".build" / "release", help="folder of the programs")
    parser.add_argument("--ranks", default="2")
    options = parser.parse_args()

    within = True
    print(f"{'variant':<24}" + "".join(f"{name:>10}" for name in LIMITS) + "   first norm, worst gradient")
    for label in options.variants:
        name, _, balanced = label.partition("+")
        with tempfile.TemporaryDirectory() as temporary:
            scratch = pathlib.Path(temporary)
            variant = models.variant(name)
            if balanced:
                variant = dataclasses.replace(variant, config=variant.config | {"output_router_logits": True})
            models.write_model(scratch / "model", variant, form=5, dtype="float32", sharded=False)
            tokens = indexed_dataset.write_random(scratch / "data", STEPS * SEQUENCES * LENGTH + 1, models.VOCABULARY)
            pytorch = pytorch_run(scratch / "model", tokens)
            forge = forge_run(scratch / "model", scratch / "data", scratch, options)
            errors, worst = compare(forge, pytorch, models.random_tensors(variant))
        over = [what for what, error in errors.items() if not error <= LIMITS[what]]
        within = within and not over
        print(
            f"{label:<24}" + "".join(f"{error:>10.1e}" for error in errors.values()),
            f"  {pytorch.norms[0]:.3f}, {worst}" + (f"  OVER: {', '.join(over)}" if over else ""),
        )
    print(f"{'limits':<24}" + "".join(f"{limit:>10.1e}" for limit in LIMITS.values()), end="")
    print("   passed" if within else "   FAILED")
    sys.exit(not within)


if __name__ == "__main__":
    main()
