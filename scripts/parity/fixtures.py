#!/usr/bin/env python3
"""Writes the numbers that `swift test` checks the model against, so that it needs no PyTorch.

FOLDER/<variant>/ holds config.json and model.safetensors, and for each case CASE.json (tokens, where each position's
document starts, losses) and CASE.safetensors ("log_probabilities" [sequences, tokens], "gradient.NAME" of every
parameter, for the loss named "total"):

- plain: whole sequences; total = mean token loss.
- documents: packed documents. Each is run on its own here; a target that starts a document is not trained on and has a
  log-probability of 0 in the file.
- balanced: total = mean token loss + router_aux_loss_coef × load-balancing loss.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

import models
import reference

SEQUENCES, LENGTH = 2, 45
DOCUMENT_STARTS = [[0, 1, 19, 32], [0, 14, 41]]
CASES = {
    "llama": ["plain"],
    "llama-tied": ["plain"],
    "llama-rope-llama3": ["plain"],
    "mistral": ["plain", "documents"],
    "mixtral": ["plain", "documents", "balanced"],
    "qwen3": ["plain"],
    "qwen3-rope-yarn": ["plain"],
    "qwen3_moe": ["plain", "balanced"],
    "qwen3_moe-raw": ["plain"],
    "dots1": ["plain", "balanced"],
    "dots1-raw": ["plain"],
    "olmoe": ["plain", "balanced"],
    "olmoe-plain": ["plain"],
    "ministral3": ["plain", "documents"],
    "qwen2": ["plain"],
}


def whole(model: torch.nn.Module, ids: torch.Tensor) -> tuple[reference.Losses, list[list[int]]]:
    return reference.losses(model, ids), [[0] * LENGTH for _ in range(SEQUENCES)]


def by_document(model: torch.nn.Module, ids: torch.Tensor) -> tuple[reference.Losses, list[list[int]]]:
    rows, starts = [], []
    for sequence, firsts in zip(ids, DOCUMENT_STARTS):
        ends = firsts[1:] + [LENGTH + 1]
        row = torch.zeros(LENGTH)
        for first, end in zip(firsts, ends):
            if end - first > 1:
                row[first : end - 1] = reference.losses(model, sequence[None, first:end]).tokens[0]
        rows.append(row)
        starts.append([max(first for first in firsts if first <= position) for position in range(LENGTH)])
    return reference.Losses(torch.stack(rows), None), starts


def write_case(folder: pathlib.Path, case: str) -> None:
    model = reference.load(folder)
    if case == "balanced":
        model.config.output_router_logits = True
    generator = torch.Generator().manual_seed(len(case))
    ids = torch.randint(models.VOCABULARY, (SEQUENCES, LENGTH + 1), generator=generator)
    losses, starts = (by_document if case == "documents" else whole)(model, ids)
    loss = losses.tokens.sum() / (losses.tokens != 0).sum()
    coefficient = model.config.router_aux_loss_coef if losses.auxiliary is not None else 0
    total = loss if losses.auxiliary is None else loss + coefficient * losses.auxiliary
    total.backward()
    numbers = {"loss": loss.item(), "total": total.item()}
    if losses.auxiliary is not None:
        numbers |= {"load_balancing_loss": losses.auxiliary.item(), "load_balancing_coefficient": coefficient}
    text = json.dumps({"tokens": ids.tolist(), "document_starts": starts} | numbers)
    (folder / f"{case}.json").write_text(text + "\n")
    tensors = {f"gradient.{name}": tensor for name, tensor in reference.gradients(model).items()}
    save_file(tensors | {"log_probabilities": -losses.tokens.detach()}, folder / f"{case}.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = pathlib.Path(__file__).parents[2] / "Tests" / "ModelsTests" / "Fixtures"
    parser.add_argument("folder", nargs="?", type=pathlib.Path, default=default)
    out = parser.parse_args().folder
    for number, (name, cases) in enumerate(CASES.items()):
        form = 4 + number % 2
        models.write_model(out / name, models.variant(name), form, "float32", sharded=False)
        for case in cases:
            write_case(out / name, case)
    print(f"{sum(map(len, CASES.values()))} cases in {out}")


if __name__ == "__main__":
    main()
