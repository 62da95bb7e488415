"""What PyTorch and transformers compute, in fp32 with the plain ("eager") attention."""

import dataclasses
import pathlib

import torch

import models

torch.set_num_threads(1)


def load(folder: pathlib.Path) -> torch.nn.Module:
    """The model of a Hugging Face folder in fp32; refuses weights that are missing, left over or mis-shaped."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    model, loading = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.float32,
        attn_implementation="eager",
        experts_implementation="eager",
        output_loading_info=True,
    )
    problems = {kind: names for kind, names in loading.items() if names}
    if problems:
        raise SystemExit(f"{folder}: transformers does not load these weights whole: {problems}")
    return model.train()  # no dropout in these families: the same arithmetic, with gradients


def log_probabilities(model: torch.nn.Module, ids: torch.Tensor) -> torch.Tensor:
    """log p(ids[:, 1:] | before), [sequences, tokens - 1]."""
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    return torch.log_softmax(logits, dim=-1).gather(-1, ids[:, 1:, None]).squeeze(-1)


@dataclasses.dataclass
class Losses:
    """One micro-batch: token losses [sequences, tokens] and the load-balancing loss before its coefficient."""

    tokens: torch.Tensor
    auxiliary: torch.Tensor | None


def losses(model: torch.nn.Module, ids: torch.Tensor) -> Losses:
    """Token losses of whole sequences; the load-balancing loss as well if the config asks for router logits."""
    auxiliary = getattr(model.config, "output_router_logits", False)
    keys = {"output_router_logits": True} if auxiliary else {}
    output = model(input_ids=ids[:, :-1], use_cache=False, **keys)
    tokens = -torch.log_softmax(output.logits, dim=-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    return Losses(tokens, output.aux_loss if auxiliary else None)


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter's .grad under its name in the file; an expert that no token reached has zeros."""
    named = {
        name: torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        for name, parameter in model.named_parameters()
    }
    return models.checkpoint_tensors(model, named)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter under its name in the file."""
    return {
        name: tensor.detach().clone()
        for name, tensor in models.checkpoint_tensors(model, dict(model.named_parameters())).items()
    }
