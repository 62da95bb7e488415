#!/usr/bin/env python3
"""Compares `forge score` with transformers on tiny models of all families, in every form of folder.

Largest difference of a log-probability at most 3e-5 and of a sequence's loss at most 5e-6; exit code 1 beyond.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch

import models
import reference

LENGTHS = [2, 3, 12, 33, 64, 65, 130, 300]
LOG_PROBABILITY_LIMIT, LOSS_LIMIT = 3e-5, 5e-6


def forge_scores(forge: pathlib.Path, folder: pathlib.Path, tokens: pathlib.Path) -> list[dict]:
    command = [forge, "score", "--model", folder, "--tokens", tokens]
    result = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in result.stdout.splitlines()]


def differences(forge: list[dict], expected: list[torch.Tensor]) -> tuple[float, float]:
    """The largest difference of a log-probability, and of a loss."""
    if [len(score["logprobs"]) for score in forge] != [len(row) for row in expected]:
        return float("inf"), float("inf")
    pairs = [(torch.tensor(score["logprobs"], dtype=torch.float64), row) for score, row in zip(forge, expected)]
    largest = max((ours - row).abs().max().item() for ours, row in pairs)
    loss = max(abs(score["loss"] + row.mean().item()) for score, row in zip(forge, expected))
    return largest, loss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("variants", nargs="*", default=[variant.name for variant in models.VARIANTS])
    parser.add_argument("--forge", type=pathlib.Path, default=root / ".build" / "release" / "forge")
    options = parser.parse_args()

    generator = torch.Generator().manual_seed(7)
    ids = [torch.randint(models.VOCABULARY, (length,), generator=generator) for length in LENGTHS]
    within = True
    print(f"{'variant':<24}{'forms':>6}{'log-probability':>18}{'loss':>12}")
    with tempfile.TemporaryDirectory() as temporary, torch.no_grad():
        tokens = pathlib.Path(temporary, "tokens.jsonl")
        tokens.write_text("".join(json.dumps({"ids": row.tolist()}) + "\n" for row in ids))
        for variant in map(models.variant, options.variants):
            worst, worst_loss, beyond = 0.0, 0.0, []
            for form in models.folder_forms():
                folder = pathlib.Path(temporary, models.folder_name(variant, *form))
                models.write_model(folder, variant, *form)
                model = reference.load(folder)
                expected = [reference.log_probabilities(model, row[None])[0].double() for row in ids]
                largest, loss = differences(forge_scores(options.forge, folder, tokens), expected)
                if not (largest <= LOG_PROBABILITY_LIMIT and loss <= LOSS_LIMIT):
                    beyond.append(folder.name)
                worst, worst_loss = max(worst, largest), max(worst_loss, loss)
            within = within and not beyond
            verdict = f"  OVER in {', '.join(beyond)}" if beyond else ""
            print(f"{variant.name:<24}{len(models.folder_forms()):>6}{worst:>18.1e}{worst_loss:>12.1e}{verdict}")
    print(f"limits{'':<24}{LOG_PROBABILITY_LIMIT:>18.1e}{LOSS_LIMIT:>12.1e}  {'passed' if within else 'FAILED'}")
    sys.exit(not within)


if __name__ == "__main__":
    main()
