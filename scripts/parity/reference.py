"""What PyTorch and transformers compute, in fp32 with the plain ("eager") attention."""

import contextlib
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
    """One micro-batch: token losses [sequences, tokens], the load-balancing loss before its coefficient, and what
    every router with sigmoids made of it: logits, weights and experts, [tokens, …]."""

    tokens: torch.Tensor
    auxiliary: torch.Tensor | None
    routings: list[tuple[torch.Tensor, ...]] = dataclasses.field(default_factory=list)


def losses(model: torch.nn.Module, ids: torch.Tensor) -> Losses:
    """Token losses of whole sequences; the load-balancing loss as well if the config asks for router logits."""
    auxiliary = getattr(model.config, "output_router_logits", False)
    keys = {"output_router_logits": True} if auxiliary else {}
    with routers_watched(model) as routings:
        output = model(input_ids=ids[:, :-1], use_cache=False, **keys)
    tokens = -torch.log_softmax(output.logits, dim=-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    if not auxiliary:
        return Losses(tokens, None, routings)
    return Losses(tokens, sigmoid_balancing_loss(routings) if routings else output.aux_loss, routings)


def sigmoid_routers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The routers that select by score and bias, layer by layer."""
    return [module for module in model.modules() if hasattr(module, "e_score_correction_bias")]


@contextlib.contextmanager
def routers_watched(model: torch.nn.Module):
    """Collects (logits, weights, experts) of every router with sigmoids in a forward pass, layer by layer."""
    routings = []
    routers = sigmoid_routers(model)
    hooks = [router.register_forward_hook(lambda _, inputs, output: routings.append(output)) for router in routers]
    try:
        yield routings
    finally:
        for hook in hooks:
            hook.remove()


def sigmoid_balancing_loss(routings: list[tuple[torch.Tensor, ...]]) -> torch.Tensor:
    """transformers has no balancing loss for dots1: this is the one it has for softmax routers, with each token's
    sigmoids divided by their sum in place of the softmax (DeepSeek-V3, arXiv 2412.19437, equations 17 to 20)."""
    scores = torch.cat([logits for logits, _, _ in routings]).sigmoid()
    chosen = torch.nn.functional.one_hot(torch.cat([experts for _, _, experts in routings]), scores.shape[1])
    shares = chosen.sum(dim=1).float().mean(dim=0)
    return scores.shape[1] * (shares * (scores / scores.sum(dim=1, keepdim=True)).mean(dim=0)).sum()


def gradients(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every tensor's .grad under its name in the file; zeros for an expert that no token reached, and for what has
    no gradient."""
    named = {
        name: torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        for name, tensor in models.named_tensors(model).items()
    }
    return models.checkpoint_tensors(model, named)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every tensor under its name in the file."""
    return {
        name: tensor.detach().clone()
        for name, tensor in models.checkpoint_tensors(model, models.named_tensors(model)).items()
    }
