"""The llama / mixtral decoder written for PyTorch's speed on a CPU: what the benchmark compares with.

Flash attention through SDPA; one matrix product for q, k and v; experts as separate parameters, their tokens gathered
once per layer by a sort. As fast on one core as transformers' modules with SDPA and grouped experts.
"""

import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    def __init__(self, width: int, epsilon: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, self.weight.shape, self.weight, self.epsilon)


class Attention(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        self.heads, self.groups, self.width = (
            config["num_attention_heads"],
            config["num_key_value_heads"],
            config["head_dim"],
        )
        hidden = config["hidden_size"]
        self.qkv = nn.Linear(hidden, (self.heads + 2 * self.groups) * self.width, bias=False)
        self.output = nn.Linear(self.heads * self.width, hidden, bias=False)

    def forward(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        qkv = self.qkv(x).view(batch, length, self.heads + 2 * self.groups, self.width).transpose(1, 2)
        qk, v = qkv.split([self.heads + self.groups, self.groups], dim=1)
        first, second = qk.chunk(2, dim=-1)
        rotated = torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)
        q, k = rotated.split([self.heads, self.groups], dim=1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.output(y.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self, hidden: int, intermediate: int):
        super().__init__()
        self.gate_up = nn.Linear(hidden, 2 * intermediate, bias=False)
        self.down = nn.Linear(intermediate, hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)


class MixtureOfExperts(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        self.top_k, experts = config["num_experts_per_tok"], config["num_local_experts"]
        self.router = nn.Linear(config["hidden_size"], experts, bias=False)
        self.experts = nn.ModuleList(
            FeedForward(config["hidden_size"], config["intermediate_size"]) for _ in range(experts)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = x.view(-1, x.shape[-1])
        weights, chosen = torch.softmax(self.router(tokens), dim=-1).topk(self.top_k, dim=-1)
        weights = weights / weights.sum(dim=-1, keepdim=True)
        order = chosen.flatten().argsort(stable=True)
        counts = chosen.flatten().bincount(minlength=len(self.experts)).tolist()
        rows = order // self.top_k
        parts = tokens.index_select(0, rows).split(counts)
        results = torch.cat([expert(part) for expert, part in zip(self.experts, parts)])
        weighted = results * weights.flatten().index_select(0, order)[:, None]
        return torch.zeros_like(tokens).index_add(0, rows, weighted).view_as(x)


class Block(nn.Module):
    def __init__(self, config: dict):
        super().__init__()
        hidden, epsilon = config["hidden_size"], config["rms_norm_eps"]
        self.attention_norm, self.feed_forward_norm = Norm(hidden, epsilon), Norm(hidden, epsilon)
        self.attention = Attention(config)
        experts = "num_local_experts" in config
        self.feed_forward = MixtureOfExperts(config) if experts else FeedForward(hidden, config["intermediate_size"])

    def forward(self, x: torch.Tensor, cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.attention_norm(x), cosine, sine)
        return x + self.feed_forward(self.feed_forward_norm(x))


class Decoder(nn.Module):
    """Mean next-token loss of `ids` [sequences, tokens] against `targets`, the model given by Hugging Face keys."""

    def __init__(self, config: dict, length: int):
        super().__init__()
        hidden, vocabulary, width = config["hidden_size"], config["vocab_size"], config["head_dim"]
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.norm = Norm(hidden, config["rms_norm_eps"])
        self.head = nn.Linear(hidden, vocabulary, bias=False)
        frequencies = config["rope_theta"] ** (-torch.arange(0, width, 2) / width)
        angles = torch.outer(torch.arange(length), frequencies)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=config["initializer_range"])

    def forward(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        x = self.embedding(ids)
        for block in self.blocks:
            x = block(x, self.cosine, self.sine)
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1), targets.flatten())
