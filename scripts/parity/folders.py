#!/usr/bin/env python3
"""Saves tiny models of all families by transformers, exports each by `forge export`, and reads the export back by
transformers: configuration, generation settings, chat templates, tokens and weights must be equal, and the scores of
`forge score` those of transformers.

Every form that transformers writes counts: number formats, one file and shards, tied and untied embeddings, kinds of rope,
lists of end tokens, several chat templates; and from the same folders the form of config.json that transformers 4 wrote.
Of models of images and text the language model is exported, and scores as it does within the whole.
What the program does not compute must be refused by name. Exit code 1 when something differs.
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

RELEASE = "5.24.0"
TEMPLATES = {"default": "{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}",
             "tool_use": "{{ bos_token }}tools {% for m in messages %}{{ m.content }}{% endfor %}"}
# Sliding windows, tied embeddings, layer types, biases and rope kinds are those of the variants.
FORMS = [("float32", False, 5), ("bfloat16", True, 5), ("float16", False, 5), ("float32", True, 4)]
REFUSED = {"linear": {"factor": 2.0}, "dynamic": {"factor": 2.0}, "proportional": {},
           "longrope": {"factor": 2.0, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
                        "original_max_position_embeddings": 64}}
IGNORED = {"_name_or_path", "dtype", "torch_dtype", "transformers_version", "use_cache"}
LOG_PROBABILITY_LIMIT = 3e-5


def tokenizer(templates):
    """Words, not bytes: forge cannot read it, and need not."""
    from tokenizers import Tokenizer, models as kinds, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {word: index for index, word in enumerate(["<unk>", "<s>", "</s>", "hello", "world", "<eot>", "tools", "x"])}
    made = Tokenizer(kinds.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
                                   pad_token="x", additional_special_tokens=["<eot>"])
    fast.chat_template = templates
    return fast


def save(folder, variant, dtype, sharded, templates):
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    config = AutoConfig.for_model(**variant.config_json(5, dtype))
    config.eos_token_id, config.pad_token_id = [2, 5, 7], 7
    model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, tensor in models.named_tensors(model).items():
            tensor.copy_(models._random(name, tuple(tensor.shape), generator))
    model.to(models.DTYPES[dtype])
    model.generation_config = GenerationConfig(
        bos_token_id=1, eos_token_id=[2, 5, 7], pad_token_id=7, do_sample=True, temperature=0.6, top_p=0.9)
    model.save_pretrained(folder, max_shard_size="20KB" if sharded else "5GB")
    tokenizer(templates).save_pretrained(folder)


def as_four(folder):
    """Rewrites config.json in the form of transformers 4."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope == {"rope_type": "default"} else rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.57.1"
    if "num_local_experts" in config and config["model_type"] == "qwen3_moe":
        config["num_experts"] = config.pop("num_local_experts")
    path.write_text(json.dumps(config, indent=2))


def facts(folder):
    """What transformers says of a folder, apart from its weights."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    def plain(settings):
        return {key: value for key, value in settings.to_dict().items() if key not in IGNORED}

    fast = AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "hello world <eot>"}]
    names = fast.chat_template if isinstance(fast.chat_template, dict) else {None: fast.chat_template}
    return {
        "configuration": plain(AutoConfig.from_pretrained(folder)),
        "generation settings": plain(GenerationConfig.from_pretrained(folder)),
        "templates": fast.chat_template,
        "tokens": [fast.apply_chat_template(messages, chat_template=name, return_dict=False) for name in names],
        "special tokens": {key: str(value) for key, value in fast.special_tokens_map.items()},
    }


def differences(source, exported):
    """The names of what is not equal; weights are compared by their bits, in the numbers that files hold."""
    before, after = facts(source), facts(exported)
    found = [f"{name}: {before[name]} is now {after[name]}" for name in before if before[name] != after[name]]
    weights, others = (reference.weights(reference.load(folder)) for folder in (source, exported))
    if weights.keys() != others.keys() or not all(torch.equal(weights[name], others[name]) for name in weights):
        found.append("weights")
    return found


def score_difference(forge, folder, tokens, ids):
    model = reference.load(folder)
    with torch.no_grad():
        expected = [reference.log_probabilities(model, row[None])[0].double() for row in ids]
    ended = subprocess.run([forge, "score", "--model", folder, "--tokens", tokens], capture_output=True, text=True)
    lines = [json.loads(line)["logprobs"] for line in ended.stdout.splitlines()]
    if ended.returncode or len(lines) != len(expected):
        return float("inf")
    return max((torch.tensor(ours, dtype=torch.float64) - row).abs().max().item() for ours, row in zip(lines, expected))


def in_memory(forge, work, variant, tokens, ids):
    """What is wrong with folders whose tensors have the names that transformers has in memory: fused experts, and a body
    alone."""
    source, fused, body = (work / f"{variant.name}-{form}" for form in ("names", "fused", "body"))
    save(source, variant, "float32", False, TEMPLATES["default"])
    model = reference.load(source)
    model.save_pretrained(fused, save_original_format=False)
    folders = [fused]
    if model.config.tie_word_embeddings:
        model.model.save_pretrained(body)
        folders.append(body)
    problems = []
    for folder in folders:
        (folder / "config.json").write_text((source / "config.json").read_text())
        difference = score_difference(forge, folder, tokens, ids)
        if not difference <= LOG_PROBABILITY_LIMIT:
            problems.append(f"{folder.name}: scores differ by {difference:.1e}")
    return problems


def save_wrapped(folder, variant):
    """Saves a model of images and text around a tiny language model; returns log-probabilities of ids by the whole."""
    from transformers import AutoConfig, Mistral3Config, Mistral3ForConditionalGeneration

    text = AutoConfig.for_model(**variant.config_json(5, "float32"))
    vision = {"model_type": "pixtral", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "head_dim": 8,
              "num_attention_heads": 2, "image_size": 28, "patch_size": 14}
    model = Mistral3ForConditionalGeneration(Mistral3Config(
        text_config=text.to_dict(), vision_config=vision, tie_word_embeddings=text.tie_word_embeddings,
        image_token_index=models.VOCABULARY - 1))
    generator = torch.Generator().manual_seed(13)
    with torch.no_grad():
        for name, tensor in sorted(model.named_parameters()):
            tensor.copy_(models._random(name, tuple(tensor.shape), generator))
    model.save_pretrained(folder)
    return lambda ids: reference.log_probabilities(model.eval(), ids[None])[0].double()


def wrapped(forge, work, variant):
    """What is wrong with the export of a language model within a model of images and text."""
    source, exported = work / f"{variant.name}-wrapped", work / f"{variant.name}-unwrapped"
    log_probabilities = save_wrapped(source, variant)
    ended = subprocess.run([forge, "export", source, exported], capture_output=True, text=True)
    if ended.returncode or "images and text" not in ended.stderr:
        return [f"export: {ended.stderr.strip()}"]
    ids = torch.randint(models.VOCABULARY - 1, (130,), generator=torch.Generator().manual_seed(5))
    tokens = work / "wrapped.jsonl"
    tokens.write_text(json.dumps({"ids": ids.tolist()}) + "\n")
    with torch.no_grad():
        whole = log_probabilities(ids)
        alone = reference.log_probabilities(reference.load(exported), ids[None])[0].double()
    ours = [json.loads(subprocess.run([forge, "score", "--model", folder, "--tokens", tokens], capture_output=True,
                                      text=True).stdout)["logprobs"] for folder in (source, exported)]
    found = [torch.tensor(row, dtype=torch.float64) for row in ours] + [alone]
    largest = max((row - whole).abs().max().item() for row in found)
    return [] if largest <= LOG_PROBABILITY_LIMIT else [f"scores differ by {largest:.1e}"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    root = pathlib.Path(__file__).resolve().parents[2]
    parser.add_argument("variants", nargs="*", default=[variant.name for variant in models.VARIANTS])
    parser.add_argument("--forge", type=pathlib.Path, default=root / ".build" / "release" / "forge")
    options = parser.parse_args()
    import transformers

    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    if transformers.__version__ != RELEASE:
        print(f"note: transformers {transformers.__version__}; the folders were settled with {RELEASE}")
    passed = failed = 0

    def check(name, problems):
        nonlocal passed, failed
        passed, failed = passed + (not problems), failed + bool(problems)
        print(f"{'ok    ' if not problems else 'FAILED'} {name}" + "".join(f"\n       {line}" for line in problems),
              flush=True)

    generator = torch.Generator().manual_seed(7)
    ids = [torch.randint(models.VOCABULARY, (length,), generator=generator) for length in (2, 33, 130)]
    with tempfile.TemporaryDirectory() as temporary:
        work = pathlib.Path(temporary)
        tokens = work / "tokens.jsonl"
        tokens.write_text("".join(json.dumps({"ids": row.tolist()}) + "\n" for row in ids))
        for variant in map(models.variant, options.variants):
            for number, (dtype, sharded, form) in enumerate(FORMS):
                source, exported = work / f"{variant.name}-{number}", work / f"{variant.name}-{number}-out"
                save(source, variant, dtype, sharded, TEMPLATES if number % 2 else TEMPLATES["default"])
                if form == 4:
                    as_four(source)
                precision = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}[dtype]
                ended = subprocess.run(
                    [options.forge, "export", source, exported, "--dtype", precision]
                    + (["--max-shard-size", "20KB"] if not sharded else []), capture_output=True, text=True)
                problems = [] if ended.returncode == 0 and not ended.stderr else [f"export: {ended.stderr.strip()}"]
                if not ended.returncode:
                    problems += differences(source, exported)
                    difference = score_difference(options.forge, exported, tokens, ids)
                    if not difference <= LOG_PROBABILITY_LIMIT:
                        problems.append(f"scores differ by {difference:.1e}")
                check(f"{variant.name}: {dtype}, {'shards' if sharded else 'one file'}, form of transformers {form}", problems)
        for name in ["mixtral", "mixtral-window", "qwen3_moe", "dots1", "dots1-raw", "olmoe", "olmoe-plain", "llama-tied"]:
            check(f"{name}: names as in memory", in_memory(options.forge, work, models.variant(name), tokens, ids))
        for name in ["mistral", "ministral3", "ministral3-mscale"]:
            check(f"{name} within a mistral3 model", wrapped(options.forge, work, models.variant(name)))
        for kind, keys in REFUSED.items():
            source = work / f"rope-{kind}"
            save(source, models.variant("mistral-full"), "float32", False, TEMPLATES["default"])
            config = json.loads((source / "config.json").read_text())
            config["rope_parameters"] |= keys | {"rope_type": kind}
            (source / "config.json").write_text(json.dumps(config))
            ended = subprocess.run([options.forge, "export", source, work / "none"], capture_output=True, text=True)
            refused = ended.returncode == 64 and f"'{kind}' is not supported" in ended.stderr
            check(f"rope of kind {kind} is refused by name", [] if refused else [ended.stderr.strip()])
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
