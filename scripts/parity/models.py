"""Tiny random models of all families, in every form a Hugging Face folder takes.

A `Variant` is a config.json in the form that transformers 4 writes, kept small and awkward on purpose: grouped-query
attention, a head_dim that is not hidden_size / heads, a sliding window shorter than the sequences, biases and norm
weights that are neither ones nor zeros, sizes that are no multiple of a vector register.
"""

import dataclasses
import json
import pathlib
import zlib

import torch
from safetensors.torch import save_file

VOCABULARY = 100
SHARDS = 3
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclasses.dataclass(frozen=True)
class Variant:
    """One model: `config` is its config.json in the form of transformers 4."""

    name: str
    config: dict

    def config_json(self, form: int, dtype: str) -> dict:
        """The config.json that transformers 4 or 5 (`form`) would write."""
        config = dict(self.config)
        if form == 4:
            return config | {"torch_dtype": dtype, "transformers_version": "4.57.1"}
        rope = dict(config.pop("rope_scaling", None) or {"rope_type": "default"})
        if "type" in rope:  # the name that releases before 4.45 used
            rope["rope_type"] = rope.pop("type")
        rope["rope_theta"] = config.pop("rope_theta")
        return config | {"rope_parameters": rope, "dtype": dtype, "transformers_version": "5.0.0"}


def _family(keys: dict) -> dict:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 52,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "hidden_act": "silu",
        "initializer_range": 0.02,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "attention_dropout": 0.0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "use_cache": True,
    } | keys


def _llama(**keys) -> dict:
    common = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "attention_bias": False, "mlp_bias": False}
    return _family(common | keys)


def _mistral(**keys) -> dict:
    return _family({"model_type": "mistral", "architectures": ["MistralForCausalLM"]} | keys)


def _mixtral(**keys) -> dict:
    experts = {
        "model_type": "mixtral",
        "architectures": ["MixtralForCausalLM"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "intermediate_size": 28,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.02,
        "router_jitter_noise": 0.0,
        "sliding_window": None,
        "rope_theta": 1000000.0,
    }
    return _family(experts | keys)


def _qwen3(**keys) -> dict:
    common = {
        "model_type": "qwen3",
        "architectures": ["Qwen3ForCausalLM"],
        "head_dim": 12,
        "attention_bias": False,
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 2,
        "rms_norm_eps": 1e-06,
    }
    return _family(common | keys)


def _qwen3_moe(**keys) -> dict:
    experts = {
        "model_type": "qwen3_moe",
        "architectures": ["Qwen3MoeForCausalLM"],
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 20,
        "norm_topk_prob": True,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
        "output_router_logits": False,
        "router_aux_loss_coef": 0.01,
    }
    return _qwen3(**(experts | keys))


def _dots1(**keys) -> dict:
    experts = {
        "model_type": "dots1",
        "architectures": ["Dots1ForCausalLM"],
        "head_dim": 12,
        "attention_bias": False,
        "num_hidden_layers": 3,
        "sliding_window": None,
        "max_window_layers": 3,
        "rms_norm_eps": 1e-06,
        "n_routed_experts": 9,
        "num_experts_per_tok": 3,
        "moe_intermediate_size": 12,
        "n_shared_experts": 2,
        "n_group": 3,
        "topk_group": 2,
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.5,
        "first_k_dense_replace": 1,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.01,
    }
    return _family(experts | keys)


def _olmoe(**keys) -> dict:
    experts = {
        "model_type": "olmoe",
        "architectures": ["OlmoeForCausalLM"],
        "intermediate_size": 20,
        "attention_bias": False,
        "clip_qkv": None,
        "num_experts": 6,
        "num_experts_per_tok": 3,
        "norm_topk_prob": False,
        "output_router_logits": False,
        "router_aux_loss_coef": 0.01,
        "pad_token_id": None,  # whose embedding PyTorch would not train
    }
    return _family(experts | keys)


def _ministral3(rope: dict, **keys) -> dict:
    common = {
        "model_type": "ministral3",
        "architectures": ["Ministral3ForCausalLM"],
        "head_dim": 16,
        "rope_theta": 500.0,
        "rope_scaling": rope,
        "sliding_window": None,
        "pad_token_id": None,
    }
    return _family(common | keys)


def _qwen2(**keys) -> dict:
    common = {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "use_sliding_window": False,
        "sliding_window": None,
        "max_window_layers": 2,
        "rms_norm_eps": 1e-06,
    }
    return _family(common | keys)


_LLAMA3_SCALING = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
# The original context is shorter than the sequences, so that queries are scaled by their positions.
_MINISTRAL3_SCALING = {
    "rope_type": "yarn",
    "factor": 16.0,
    "original_max_position_embeddings": 16,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.3,
}
_YARN_SCALING = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}

VARIANTS = [
    Variant("llama", _llama(head_dim=12, attention_bias=True)),
    Variant("llama-tied", _llama(tie_word_embeddings=True, num_key_value_heads=1)),
    Variant("llama-rope-llama3", _llama(head_dim=16, rope_theta=500.0, rope_scaling=_LLAMA3_SCALING)),
    Variant("mistral", _mistral(head_dim=12, sliding_window=11)),
    Variant("mistral-full", _mistral(sliding_window=None, num_key_value_heads=4)),
    Variant("mixtral", _mixtral()),
    Variant("mixtral-window", _mixtral(head_dim=12, sliding_window=9, tie_word_embeddings=True)),
    Variant(
        "qwen3",
        _qwen3(
            attention_bias=True, num_hidden_layers=3, use_sliding_window=True, sliding_window=11, max_window_layers=1
        ),
    ),
    Variant(
        "qwen3-layer-types",
        _qwen3(
            num_hidden_layers=3,
            tie_word_embeddings=True,
            use_sliding_window=True,
            sliding_window=7,
            layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        ),
    ),
    Variant("qwen3-rope-yarn", _qwen3(head_dim=16, rope_theta=500.0, rope_scaling=_YARN_SCALING)),
    Variant(
        "qwen3-rope-yarn-keys",
        _qwen3(
            rope_theta=500.0,
            rope_scaling={
                "type": "yarn",
                "factor": 8.0,
                "original_max_position_embeddings": 64,
                "beta_fast": 4.0,
                "beta_slow": 0.5,
                "attention_factor": 0.9,
            },
        ),
    ),
    Variant("qwen3_moe", _qwen3_moe()),
    Variant("qwen3_moe-raw", _qwen3_moe(norm_topk_prob=False, num_hidden_layers=3, mlp_only_layers=[1])),
    Variant(
        "qwen3_moe-step",
        _qwen3_moe(
            num_hidden_layers=3,
            decoder_sparse_step=2,
            attention_bias=True,
            use_sliding_window=True,
            sliding_window=11,
        ),
    ),
    Variant("dots1", _dots1()),
    Variant(
        "dots1-raw",
        _dots1(
            norm_topk_prob=False,
            n_group=1,
            topk_group=1,
            num_hidden_layers=2,
            n_shared_experts=1,
            first_k_dense_replace=0,
            attention_bias=True,
            tie_word_embeddings=True,
            sliding_window=11,
            max_window_layers=1,
        ),
    ),
    Variant("olmoe", _olmoe(clip_qkv=0.8)),
    Variant(
        "olmoe-plain", _olmoe(norm_topk_prob=True, attention_bias=True, num_key_value_heads=4, tie_word_embeddings=True)
    ),
    Variant("ministral3", _ministral3(_MINISTRAL3_SCALING)),
    Variant(
        "ministral3-mscale",
        _ministral3(_MINISTRAL3_SCALING | {"mscale": 0.7, "mscale_all_dim": 1.3}, sliding_window=11, tie_word_embeddings=True),
    ),
    Variant(
        "ministral3-attention-factor", _ministral3(_MINISTRAL3_SCALING | {"attention_factor": 0.9}, num_key_value_heads=4)
    ),
    Variant(
        "ministral3-rope-default",
        _ministral3({"rope_type": "default", "original_max_position_embeddings": 40, "llama_4_scaling_beta": 0.5}),
    ),
    Variant("qwen2", _qwen2()),
    Variant(
        "qwen2-window",
        _qwen2(
            num_hidden_layers=3, tie_word_embeddings=True, use_sliding_window=True, sliding_window=11, max_window_layers=1
        ),
    ),
]


def variant(name: str) -> Variant:
    return next(candidate for candidate in VARIANTS if candidate.name == name)


def named_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """All that `model`'s file holds: its parameters, and the selection biases, which have no gradient."""
    biases = {name: tensor for name, tensor in model.named_buffers() if name.endswith("e_score_correction_bias")}
    return dict(model.named_parameters()) | biases


def checkpoint_tensors(model: torch.nn.Module, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of `model`'s parameters under the names that Hugging Face files use.

    transformers 5 keeps the experts of a layer in two fused tensors; files have one matrix for each.
    """
    mixtral = model.config.model_type == "mixtral"
    gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    result = {}
    for name, tensor in tensors.items():
        if mixtral:
            name = name.replace(".mlp.", ".block_sparse_moe.")
        if name.endswith(".experts.gate_up_proj"):
            prefix = name.removesuffix("gate_up_proj")
            for expert, fused in enumerate(tensor):
                gate_matrix, up_matrix = fused.chunk(2, dim=0)
                result[f"{prefix}{expert}.{gate}.weight"] = gate_matrix.contiguous()
                result[f"{prefix}{expert}.{up}.weight"] = up_matrix.contiguous()
        elif name.endswith(".experts.down_proj"):
            prefix = name.removesuffix("down_proj")
            for expert, matrix in enumerate(tensor):
                result[f"{prefix}{expert}.{down}.weight"] = matrix.contiguous()
        else:
            result[name] = tensor.contiguous()
    return result


def random_tensors(variant: Variant) -> dict[str, torch.Tensor]:
    """fp32 weights under their names in the file: every parameter random, the same on every machine."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.for_model(**variant.config_json(5, "float32"))
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    shapes = checkpoint_tensors(model, named_tensors(model))
    generator = torch.Generator().manual_seed(zlib.crc32(variant.name.encode()))
    return {name: _random(name, tuple(shapes[name].shape), generator) for name in sorted(shapes)}


def _random(name: str, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    values = torch.randn(shape, generator=generator)
    if name.endswith("norm.weight"):
        return 1 + 0.25 * values
    if len(shape) == 1:
        return 0.25 * values
    if "embed_tokens" in name:
        return 0.3 * values
    return values * 1.4 / shape[1] ** 0.5


def write_model(folder: pathlib.Path, variant: Variant, form: int, dtype: str, sharded: bool) -> None:
    """Writes one Hugging Face folder: config.json and the weights in one file or in shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(variant.config_json(form, dtype), indent=2) + "\n")
    tensors = {name: tensor.to(DTYPES[dtype]) for name, tensor in random_tensors(variant).items()}
    if not sharded:
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        return
    names = sorted(tensors)
    weight_map = {}
    for shard in range(SHARDS):
        file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
        part = {name: tensors[name] for name in names[shard::SHARDS]}
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= {name: file for name in part}
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def folder_forms() -> list[tuple[int, str, bool]]:
    """Every (transformers form, dtype, sharded) that parity is checked in."""
    return [(form, dtype, sharded) for form in (4, 5) for dtype in DTYPES for sharded in (False, True)]


def folder_name(variant: Variant, form: int, dtype: str, sharded: bool) -> str:
    return f"{variant.name}/transformers{form}-{dtype}-{'sharded' if sharded else 'single'}"
