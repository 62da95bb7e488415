#!/usr/bin/env python3
"""Model folders made by others, what an export writes back, and what generate, score and curve do with odd input: the
situations that users of other programs reported."""

import json
import math
import random
import re
import shutil
import struct
import subprocess

import harness

WORK = harness.folder()
IDS = WORK / "ids.jsonl"
IDS.write_text('{"ids":[1,2,3,90,5,6,44,8]}\n')


def note(ended):
    return harness.sentences(ended.err)


def refused(name, pattern, *arguments, program="forge"):
    """Checks that a command ends with 64 and one sentence of this pattern."""
    ended = harness.run(program, *arguments)
    lines = note(ended)
    harness.check(name, ended.code == 64 and len(lines) == 1 and re.search(pattern, lines[0]),
                  f"expected exit code 64 and one sentence with {pattern}\n{ended}")


def model(name, edit=lambda tensors, config: None):
    shutil.rmtree(WORK / name, ignore_errors=True)
    return harness.write_model(WORK / name, edit=edit)


def with_keys(name, **keys):
    """A model whose config.json has these keys; None removes one, `null` is null."""
    def edit(tensors, config):
        for key, value in keys.items():
            config.pop(key, None)
            if value is not None:
                config[key] = None if value == "null" else value
    return model(name, edit)


def scores(folder):
    ended = harness.run("forge", "score", "--model", folder, "--tokens", IDS)
    return json.loads(ended.out)["logprobs"] if ended.code == 0 else str(ended)


def export(source, name, *arguments):
    shutil.rmtree(WORK / name, ignore_errors=True)
    return harness.run("forge", "export", source, WORK / name, *arguments)


def config_of(name):
    path = WORK / name / "config.json"
    return json.loads(path.read_text()) if path.exists() else {}


def train(name, section, directory, steps=2, **sections):
    prefix = WORK / "data"
    if not prefix.with_suffix(".bin").exists():
        harness.write_dataset(prefix, harness.documents(4000, 96, seed=3))
    settings = harness.configuration(WORK / directory, section, prefix, steps=steps, **sections)
    return harness.run("forge-dist", harness.write_configuration(WORK / f"{name}.yaml", settings))


# What a folder holds beside its weights

COMPANIONS = {
    "generation_config.json": '{"bos_token_id": 1, "eos_token_id": [2, 5, 7], "temperature": 0.6, "do_sample": true}',
    "chat_template.jinja": "{% for m in messages %}{{ m.content }}\u00e9{% endfor %}\n",
    "additional_chat_templates/tool.jinja": "tools",
    "chat_templates/rag.jinja": "rag",
    "special_tokens_map.json": '{"eos_token": {"content": "</s>"}}',
    "added_tokens.json": '{"<pad>": 9}',
    "tokenizer_config.json": '{ "bos_token" : "<s>", "chat_template": "x" }',
    # Nothing that this program could read: it only copies it.
    "tokenizer.json": '{"version":"1.0","model":{"type":"Unigram","vocab":[["a",-1.5]]}}',
    "tokenizer.model": "\x00\x01 not text \x02",
    "LICENSE": "may be used",
}


def with_companions(name):
    folder = with_keys(name, eos_token_id=[2, 5, 7], bos_token_id=1, pad_token_id=9, sep_token_id="null",
                       id2label={"0": "\U0001f600"}, transformers_version="5.30.1", rope_theta=None,
                       rope_parameters={"rope_type": "default", "rope_theta": 50000.0})
    for path, text in COMPANIONS.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    return folder


def companions(name):
    """What of them a folder lacks or has changed."""
    def same(path, text):
        file = WORK / name / path
        return file.exists() and file.read_text() == text
    return [path for path, text in COMPANIONS.items() if not same(path, text)]


def complete(name, folder, ended):
    config = config_of(folder)
    harness.check(f"{name}: every file beside the weights", ended.code == 0 and not companions(folder),
                  f"{companions(folder)}\n{ended}")
    harness.check(f"{name}: all end tokens, the padding token and what we do not use",
                  config.get("eos_token_id") == [2, 5, 7] and config.get("pad_token_id") == 9
                  and config.get("id2label") == {"0": "\U0001f600"} and "sep_token_id" in config
                  and config.get("rope_parameters", {}).get("rope_theta", config.get("rope_theta")) == 50000.0, config)
    harness.check(f"{name}: the source's newer transformers_version", config.get("transformers_version") == "5.30.1")


def folders():
    source = with_companions("source")
    complete("export of a folder", "exported", export(source, "exported"))
    harness.check("an export scores as its source", scores(WORK / "exported") == scores(source))
    complete("export of an export", "again", export(WORK / "exported", "again", "--dtype", "bf16"))
    harness.check("dtype of the export", config_of("again").get("torch_dtype") == "bfloat16")

    ended = train("from", {"from": str(source)}, "run")
    harness.check("a run starts from the folder", ended.code == 0, ended)
    shutil.move(source, WORK / "elsewhere")  # the run has what it needs
    complete("export of a run", "of-run", export(WORK / "run", "of-run"))
    checkpoint = next((WORK / "run/checkpoints").glob("step-*"), WORK / "no checkpoint")
    complete("export of a checkpoint", "of-checkpoint", export(checkpoint, "of-checkpoint"))
    shutil.move(WORK / "elsewhere", source)
    ended = train("next", {"from": str(WORK / "run")}, "run-2")
    complete("export of a run that starts from a run", "of-run-2", export(WORK / "run-2", "of-run-2"))
    ended = train("plain", {"from": str(model("bare"))}, "run")  # the same directory: refused, and nothing is lost
    harness.check("another model in the same run is refused", ended.code == 64 or not companions("run/pretrained"), ended)


def replaced_tokenizers():
    """Which of two tokenizers' files an export has."""
    (WORK / "words.txt").write_text("one two three " * 20)
    trained = WORK / "words"
    harness.run("forge", "tokenizer", "train", "--input", WORK / "words.txt", "--output", trained, "--vocabulary-size", 280)
    file = json.loads((trained / "tokenizer.json").read_text())
    config = json.loads((trained / "tokenizer_config.json").read_text())
    vocabulary = max(file["model"]["vocab"].values()) + 1

    def edit(tensors, settings):
        settings["vocab_size"] = vocabulary
        for name in ["model.embed_tokens.weight", "lm_head.weight"]:
            shape, values = tensors[name]
            tensors[name] = ([vocabulary, shape[1]], (values * 3)[:vocabulary * shape[1]])

    own = {"tokenizer.json": json.dumps(file), "tokenizer_config.json": json.dumps(config | {"mine": 1}),
           "special_tokens_map.json": '{"eos_token": "</s>"}', "added_tokens.json": "{}", "vocab.json": "{}",
           "merges.txt": "#version", "tokenizer.model": "\0", "chat_template.jinja": "{{ bos_token }}mine"}
    source = model("with-tokenizer", edit)
    for name, text in own.items():
        (source / name).write_text(text)

    def texts(folder):
        return {name: (folder / name).read_text() for name in own if (folder / name).exists()}

    data, run = WORK / "words-data", WORK / "words-run"
    ended = harness.run("forge", "data", "prepare", "--input", WORK / "words.txt", "--output", data, "--tokenizer", trained,
                        "--held-out", 0)
    ended = harness.run("forge-dist", harness.write_configuration(
        WORK / "words.yaml", harness.configuration(run, {"from": str(source)}, data, steps=1)))
    export(run, "words-out")
    found = texts(WORK / "words-out")
    harness.check("a run on data of the same tokenizer in another layout keeps the folder's files", found == own,
                  f"{[name for name in own if found.get(name) != own[name]]}\n{ended}")
    other = WORK / "other-words"
    shutil.copytree(trained, other)
    (other / "tokenizer.json").write_text(json.dumps(file | {"normalizer": {"type": "NFC"}}))
    export(source, "words-out", "--tokenizer", other)
    harness.check("the template of a tokenizer that is named counts, and nothing of the old one stays",
                  texts(WORK / "words-out") == texts(other), sorted(texts(WORK / "words-out")))
    del config["chat_template"]
    (other / "tokenizer_config.json").write_text(json.dumps(config))
    export(source, "words-out", "--tokenizer", other)
    harness.check("where it has none the old template stays", texts(WORK / "words-out") == texts(other)
                  | {"chat_template.jinja": own["chat_template.jinja"]}, sorted(texts(WORK / "words-out")))


def other_files():
    """Every small text file of a folder is kept, in subfolders too; what is not kept is said."""
    source = model("others")
    texts = ["params.yaml", "vocab.bpe", "custom_generate/generate.py", "original/params.json", "notes", "a.toml", "README.rst"]
    others = ["pytorch_model.bin", "model.gguf", "picture.png", "pytorch_model.bin.index.json", "adapter_config.json"]
    for name in texts + others + ["checkpoint-5/config.json", "original/tokenizer.model", ".hidden"]:
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text("{}" if name in texts or name.endswith(".json") else "\0")
    ended = export(source, "others-out")
    found = {str(path.relative_to(WORK / "others-out")) for path in (WORK / "others-out").rglob("*") if path.is_file()}
    harness.check("every small text file survives", found == {*texts, "original/tokenizer.model", "config.json", "model.safetensors"},
                  found)
    harness.check("and what does not is said in one line", len(note(ended)) == 1
                  and all(name in ended.err for name in [*others, "checkpoint-5/"]), ended)
    ended = train("others", {"from": str(source)}, "others-run")
    harness.check("so it is of model.from", "pytorch_model.bin" in ended.out + ended.err, ended)
    export(WORK / "others-run", "others-out")
    harness.check("and the export of such a run has them", all((WORK / "others-out" / name).exists() for name in texts))


def overwriting():
    source = model("small")
    target = WORK / "target"
    shutil.rmtree(target, ignore_errors=True)
    ended = harness.run("forge", "export", source, target, "--max-shard-size", "5KB")
    harness.check("shards", ended.code == 0 and len(list(target.glob("*.safetensors"))) > 2, ended)
    (target / "mine.txt").write_text("mine")
    refused("a folder that is not empty", "target' is not empty", "export", source, target)
    ended = harness.run("forge", "export", source, target, "--overwrite", "--dtype", "fp16")
    left = sorted(path.name for path in target.iterdir())
    harness.check("no weights of the former export stay", ended.code == 0
                  and left == ["config.json", "mine.txt", "model.safetensors"], f"{left}\n{ended}")
    harness.run("forge", "export", source, target, "--overwrite", "--max-shard-size", "5KB")
    harness.check("not even those that others would read first", not (target / "model.safetensors").exists()
                  and scores(target) == scores(source))
    ended = harness.run("forge", "export", target, target, "--overwrite")
    harness.check("a folder is exported onto itself", ended.code == 0 and scores(target) == scores(source), ended)


# Tied embeddings

def tied():
    def tie(tensors, config):
        config["tie_word_embeddings"] = True

    untied = model("untied")
    own = model("own-head", tie)
    ended = harness.run("forge", "score", "--model", own, "--tokens", IDS)
    harness.check("tied in the config, another head in the file: the head is used, and it is said",
                  ended.code == 0 and scores(own) == scores(untied) and len(note(ended)) == 1
                  and "lm_head.weight" in ended.err and "tied" in ended.err, ended)
    export(own, "own-exported")
    harness.check("such a head survives an export", config_of("own-exported").get("tie_word_embeddings") is False
                  and scores(WORK / "own-exported") == scores(untied))
    train("head", {"from": str(own)}, "head-run", optimizer={"name": "adamw", "learning_rate": 1e-30, "weight_decay": 0})
    harness.check("and a run that starts from it", scores(WORK / "head-run") == scores(untied), scores(WORK / "head-run"))

    def same_head(tensors, config):
        tie(tensors, config)
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]

    def only_embedding(tensors, config):
        tie(tensors, config)
        del tensors["lm_head.weight"]

    def only_head(tensors, config):
        same_head(tensors, config)
        del tensors["model.embed_tokens.weight"]

    expected = scores(model("only-embedding", only_embedding))
    ended = harness.run("forge", "score", "--model", model("same-head", same_head), "--tokens", IDS)
    harness.check("the same head twice is tied, without a word", not note(ended)
                  and scores(WORK / "same-head") == expected, ended)
    harness.check("the head alone is both", scores(model("only-head", only_head)) == expected)

    # A shard's tensor that the index leaves out.
    sharded = WORK / "sharded"
    shutil.rmtree(sharded, ignore_errors=True)
    harness.run("forge", "export", untied, sharded, "--max-shard-size", "5KB")
    path = sharded / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    # Norms are small, and so share their files with larger tensors.
    left_out = next(name for name, file in index["weight_map"].items()
                    if name.endswith("norm.weight") and list(index["weight_map"].values()).count(file) > 1)
    del index["weight_map"][left_out]
    path.write_text("\ufeff" + json.dumps(index))
    harness.check("a tensor that the index leaves out is read", scores(sharded) == scores(untied), scores(sharded))


# config.json

def configurations():
    plain = scores(model("plain"))
    keys = {"unsloth_version": "2025.9.7", "is_llama_config": True, "rope_interleaved": False, "logit_scale": 1.0,
            "tokenizer_class": "PreTrainedTokenizerFast", "_attn_implementation_autoset": True, "sep_token_id": "null",
            "quantization_config": "null", "sliding_window": 4, "num_nextn_predict_layers": 1, "temperature": 0.7,
            "attention_multiplier": 12 ** -0.5, "attn_logit_softcapping": "null", "partial_rotary_factor": 1.0,
            "attention_dropout": 0.1}
    folder = with_keys("extra", **keys)
    ended = harness.run("forge", "score", "--model", folder, "--tokens", IDS)
    named = ["unsloth_version", "is_llama_config", "tokenizer_class", "num_nextn_predict_layers", "sliding_window"]
    harness.check("unknown keys of a folder are named in one line and left alone",
                  ended.code == 0 and scores(folder) == plain and len(note(ended)) == 1
                  and all(key in ended.err for key in named), ended)
    export(folder, "extra-exported")
    harness.check("and survive", config_of("extra-exported").get("unsloth_version") == "2025.9.7"
                  and config_of("extra-exported").get("attention_dropout") == 0.1, config_of("extra-exported"))
    for key, value in {
            "attention_multiplier": 0.5, "logit_scale": 0.0625, "logits_scaling": 8, "embedding_multiplier": 12.0,
            "residual_multiplier": 0.2, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0,
            "query_pre_attn_scalar": 256, "partial_rotary_factor": 0.5, "mlp_bias": True, "hidden_act": "gelu",
            "quantization_config": {"bits": 4}, "quantization": {"group_size": 64}, "use_qk_norm": True, "clip_qkv": 8,
            "rope_interleaved": True, "is_causal": False, "no_rope_layers": [1, 0], "attention_chunk_size": 16,
            "num_key_value_heads": 0, "rms_norm_eps": "null", "max_position_embeddings": "null"}.items():
        refused(f"refused: {key} = {value}", rf"config\.json:\d+: {key} ", "score", "--tokens", IDS, "--model",
                with_keys("wrong", **{key: value}))
    refused("refused in training: dropout", r"attention_dropout", harness.write_configuration(
        WORK / "drop.yaml", harness.configuration(WORK / "drop", {"from": str(folder)}, WORK / "data")),
        program="forge-dist")
    refused("a run's own section stays strict", r"unsloth_version", harness.write_configuration(
        WORK / "strict.yaml", harness.configuration(
            WORK / "strict", harness.MIXTRAL | {"unsloth_version": 1}, WORK / "data")), program="forge-dist")

    mistral = {"model_type": "mistral", "sliding_window": "null"}
    harness.check("a null says as many key heads as heads",
                  isinstance(scores(with_keys("heads", num_key_value_heads=2, **mistral)), str)
                  and "shape" in scores(with_keys("heads", num_key_value_heads="null", **mistral)))
    layer_types(mistral | {"num_key_value_heads": 1, "sliding_window": 4})
    refused("qwen3: a head_dim that is null", "head_dim is null", "score", "--tokens", IDS, "--model",
            with_keys("null", model_type="qwen3", head_dim="null"))
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "rope_theta": 10000.0}
    given = scores(with_keys("yarn", rope_parameters=yarn | {"truncate": False}))
    harness.check("yarn's truncate: null is false, as in transformers",
                  isinstance(given, list) and given == scores(with_keys("yarn", rope_parameters=yarn | {"truncate": None})))
    refused("rope_scaling contradicts rope_parameters", "rope_scaling contradicts rope_parameters", "score", "--tokens",
            IDS, "--model", with_keys("both", rope_parameters=yarn, rope_scaling={"rope_type": "default"}))
    old = {key: value for key, value in yarn.items() if key != "rope_theta"}
    harness.check("both forms that agree", isinstance(scores(with_keys(
        "both", rope_parameters=yarn, rope_scaling=old, rope_theta=10000.0)), list))
    refused("rope settings for each kind of layer", "full_attention", "score", "--tokens", IDS, "--model",
            with_keys("nested", rope_parameters={"full_attention": yarn}))

    text = json.dumps(config_of("plain"), indent="\t") + "\n"
    text = text.replace("{", '{\n\t"id2label": {"0": "\\ud83d\\ude00"},', 1)
    (WORK / "plain/config.json").write_bytes(b"\xef\xbb\xbf" + text.encode())
    harness.check("config.json with tabs, surrogates and a byte order mark", scores(WORK / "plain") == plain,
                  scores(WORK / "plain"))
    (WORK / "plain/config.json").write_text(text.replace("\n}", ',\n\t"vocab_size": 96\n}'))
    refused("a key twice", r"config\.json:\d+: key 'vocab_size' appears twice", "score", "--tokens", IDS, "--model",
            WORK / "plain")


def layer_types(mistral):
    """transformers takes a mistral model with layer_types for a ministral one, whose layers may differ."""
    full, sliding = "full_attention", "sliding_attention"
    def of(*types, **keys):
        return with_keys("types", **mistral | {"layer_types": list(types)} | keys)

    windowed, unlimited = scores(with_keys("types", **mistral)), scores(with_keys("types", **mistral | {"sliding_window": "null"}))
    harness.check("mistral: layer_types that are all full", scores(of(full, full)) == unlimited != windowed)
    harness.check("mistral: layer_types that are all sliding", scores(of(sliding, sliding)) == windowed)
    harness.check("mistral: layer_types that are null", scores(with_keys("types", **mistral, layer_types="null")) == windowed)
    mixed = scores(of(sliding, full))
    harness.check("mistral: layer_types that differ", isinstance(mixed, list) and mixed not in (windowed, unlimited), mixed)
    export(WORK / "types", "types-out")
    harness.check("and survive", scores(WORK / "types-out") == mixed
                  and config_of("types-out").get("layer_types") == [sliding, full], config_of("types-out"))
    export(of(full, full, sliding_window="null"), "types-out")
    harness.check("without a window they are left out, since transformers refuses them",
                  scores(WORK / "types-out") == unlimited and "layer_types" not in config_of("types-out"))
    for name, folder in [("a mistral model", of(sliding, full, sliding_window="null")),
                         ("a family without windows", with_keys("types", layer_types=[sliding, full], sliding_window=4))]:
        refused(f"layer_types without a window: {name}", r"config\.json:\d+: layer_types names sliding_attention", "score",
                "--tokens", IDS, "--model", folder)


def refused_by_others():
    """What older versions of transformers wrote and version 5 refuses."""
    for family, keys, written in [
        ("llama", ["tie_word_embeddings", "initializer_range", "use_cache", "attention_bias", "mlp_bias", "chunk_size_feed_forward"],
         {"tie_word_embeddings": False, "initializer_range": 0.02, "attention_bias": False}),
        ("mistral", ["attention_dropout", "use_cache"], {"attention_dropout": 0.0}),
    ]:  # fmt: skip
        folder = with_keys("nulls", model_type=family, sliding_window="null", **dict.fromkeys(keys, "null"))
        ended = export(folder, "nulls-out")
        config = config_of("nulls-out")
        harness.check(f"{family}: nulls are read as defaults and not written", ended.code == 0 and not [
            key for key in keys if key in config and config[key] is None]
            and all(config.get(key, value) == value for key, value in written.items()), f"{config}\n{ended}")
        said = [line for line in note(ended) if "null is read as the default" in line]
        harness.check(f"{family}: and it is said in one line", len(said) == 1 and all(key in said[0] for key in keys), ended)
    export(with_keys("numbers", rms_norm_eps=1, num_hidden_layers=2.0, bos_token_id=[1], eos_token_id=[2.0, 3], pad_token_id=[]),
           "numbers-out")
    text = (WORK / "numbers-out/config.json").read_text()
    config = config_of("numbers-out")
    harness.check("numbers are written as transformers wants them", '"rms_norm_eps": 1.0' in text and '"num_hidden_layers": 2,' in text
                  and (config["bos_token_id"], config["eos_token_id"]) == (1, [2, 3]) and config.get("pad_token_id") is None
                  and "2.0" not in text, text)
    run = train("zero", harness.MIXTRAL | {"router_aux_loss_coef": 0, "output_router_logits": True}, "zero")
    export(WORK / "zero", "zero-out")
    path = WORK / "zero-out/config.json"
    settings = json.loads(path.read_text()) | {"router_aux_loss_coef": 0, "router_jitter_noise": 0, "output_router_logits": None}
    path.write_text(json.dumps(settings))
    export(WORK / "zero-out", "zero-again")
    text = (WORK / "zero-again/config.json").read_text()
    harness.check("also those of routers", all(piece in text for piece in [
        '"router_aux_loss_coef": 0.0', '"router_jitter_noise": 0.0', '"output_router_logits": false']), f"{text}{run}")
    for name, rope in [("rope_type is null", {"rope_type": None, "rope_theta": 1e4}),
                       ("factor is missing", {"rope_type": "yarn", "rope_theta": 1e4, "original_max_position_embeddings": 32})]:
        for key in ["rope_parameters", "rope_scaling"]:
            refused(f"{key}: {name}", name, "score", "--tokens", IDS, "--model", with_keys("rope", **{key: rope}))


def versions_and_losses():
    for version, expected in [(None, "5"), ("4.57.1", "5"), ("5.99.0.dev0", "5.99.0.dev0")]:
        export(with_keys("version", transformers_version=version), "version-out")
        found = config_of("version-out").get("transformers_version") or ""
        harness.check(f"transformers_version {version} → {expected}…", found.startswith(expected), found)
    run = train("mixtral", harness.MIXTRAL, "mixtral")
    export(WORK / "mixtral", "mixtral-out")
    config = config_of("mixtral-out")
    harness.check("a run's router loss is in its export", (config.get("output_router_logits"),
                  config.get("router_aux_loss_coef")) == (True, 0.02), f"{config}\n{run}")
    (WORK / "mixtral-out/config.json").write_text(json.dumps(config | {"output_router_logits": False,
                                                                       "router_aux_loss_coef": 0.07}))
    export(WORK / "mixtral-out", "mixtral-again")
    config = config_of("mixtral-again")
    harness.check("the coefficient of a loss that is off survives", (config.get("output_router_logits"),
                  config.get("router_aux_loss_coef")) == (False, 0.07), config)


def weights_that_do_not_fit():
    def put(value):
        def edit(tensors, config):
            tensors["model.layers.1.mlp.up_proj.weight"][1][7] = value
        return edit

    name = r"model\.layers\.1\.mlp\.up_proj\.weight"
    for value, dtype, expected in [(70000.0, "fp16", 64), (65519.0, "fp16", 0), (-65520.0, "fp16", 64),
                                   (3.4e38, "bf16", 64), (3.38e38, "bf16", 0), (3.4e38, "fp32", 0),
                                   (math.inf, "fp32", 64), (math.nan, "bf16", 64)]:
        source = model("big", put(value))
        shutil.rmtree(WORK / "big-out", ignore_errors=True)
        before = sorted(WORK.iterdir())
        ended = export(source, "big-out", "--dtype", dtype)
        ok = ended.code == expected and (expected == 0 or re.search(name, ended.err) and len(note(ended)) == 1
                                         and sorted(WORK.iterdir()) == before)
        harness.check(f"export of {value} as {dtype}: {expected}", ok, ended)


# Generating and scoring

def chain_model(folder, tokenizer, **keys):
    """A model that follows every token with the one of the next id."""
    vocabulary = max(json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"].values()) + 1
    hidden = 64
    generator = random.Random(5)
    rows = []
    for _ in range(vocabulary):
        row = [generator.gauss(0, 1) for _ in range(hidden)]
        length = math.sqrt(sum(value * value for value in row))
        rows.append([value / length for value in row])
    config = {"model_type": "llama", "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": 8,
              "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "rms_norm_eps": 1e-6,
              "max_position_embeddings": 128, "eos_token_id": None, "bos_token_id": None} | keys
    prefix = "model.layers.0."
    tensors = {"model.embed_tokens.weight": ([vocabulary, hidden], sum(rows, [])),
               "lm_head.weight": ([vocabulary, hidden], [10 * value for row in rows[-1:] + rows[:-1] for value in row]),
               "model.norm.weight": ([hidden], [1.0] * hidden)}
    for name, shape in {"input_layernorm": [hidden], "post_attention_layernorm": [hidden],
                        "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [hidden, hidden],
                        "self_attn.v_proj": [hidden, hidden], "self_attn.o_proj": [hidden, hidden],
                        "mlp.gate_proj": [8, hidden], "mlp.up_proj": [8, hidden], "mlp.down_proj": [hidden, 8]}.items():
        tensors[f"{prefix}{name}.weight"] = (shape, [0.0] * math.prod(shape))
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    harness.write_safetensors(folder / "model.safetensors", tensors)
    for path in tokenizer.glob("*"):
        shutil.copy(path, folder)
    return folder


def generate(folder, *arguments, stdin=b""):
    return subprocess.run([harness.BIN / "forge", "generate", "--model", folder, "--greedy", *map(str, arguments)],
                          env=harness.ENVIRONMENT, input=stdin, capture_output=True)


def generating():
    (WORK / "text.txt").write_text("one two three " * 20)
    tokenizer = WORK / "tokenizer"
    harness.run("forge", "tokenizer", "train", "--input", WORK / "text.txt", "--output", tokenizer,
                "--vocabulary-size", 270)
    vocabulary = json.loads((tokenizer / "tokenizer.json").read_text())["model"]["vocab"]
    ids = {letter: vocabulary[letter] for letter in "dgkz"}

    def text(folder, *arguments, prompt=("--prompt", "ka"), **options):
        return generate(folder, *prompt, *arguments, **options).stdout

    plain = chain_model(WORK / "chain", tokenizer)
    harness.check("the chain model counts", text(plain, "--max-tokens", 5) == b"kabcdef\n", generate(plain, "--prompt", "ka"))
    ends = chain_model(WORK / "ends", tokenizer, eos_token_id=[ids["z"], ids["g"]])
    harness.check("generation stops at any end token of config.json", text(ends) == b"kabcdef\n", text(ends))
    (ends / "generation_config.json").write_text("\ufeff" + json.dumps({"eos_token_id": [ids["z"], ids["d"]]}))
    harness.check("and at any of generation_config.json", text(ends) == b"kabc\n", text(ends))
    (ends / "generation_config.json").write_text(json.dumps({"eos_token_id": ids["d"]}))
    harness.check("also where it is one", text(ends) == b"kabc\n", text(ends))

    harness.check("a prompt may begin with a dash", text(plain, "--max-tokens", 3, prompt=("--prompt", "--a"))
                  == b"--abcd\n", generate(plain, "--prompt", "--a"))
    (WORK / "prompt.txt").write_bytes(b"\xef\xbb\xbf-\xffka\r\n")
    expected = b"-\xffkabc\n"
    harness.check("a prompt from a file, of any bytes", text(
        plain, "--max-tokens", 2, prompt=("--prompt-file", WORK / "prompt.txt")) == expected)
    harness.check("a prompt from standard input", text(
        plain, "--max-tokens", 2, prompt=("--prompt-file", "-"), stdin=b"-\xffka\n") == expected)
    short = chain_model(WORK / "short", tokenizer, max_position_embeddings=20)
    harness.check("the default length is what fits", text(short, prompt=("--prompt", "a")) ==
                  text(plain, "--max-tokens", 18, prompt=("--prompt", "a")) != b"", generate(short, "--prompt", "a"))
    arguments = ["generate", "--model", short, "--prompt"]
    refused("a prompt that fills the model", "20 positions", *arguments, "a" * 30)
    refused("a length that does not fit", "20 positions", *arguments, "a", "--max-tokens", 20)
    for option, value in [("--max-tokens", 9223372036854775807), ("--max-tokens", 10**30), ("--max-tokens", -1),
                          ("--top-k", 9223372036854775807), ("--top-k", 0), ("--temperature", "nan"),
                          ("--temperature", "inf"), ("--temperature", "1e300"), ("--top-p", "nan"), ("--top-p", 1.5),
                          ("--seed", -1), ("--seed", 10**20), ("--threads", 10**12), ("--threads", 0)]:
        ended = harness.run("forge", *arguments, "a", f"{option}={value}")
        harness.check(f"{option} {value} is refused", ended.code == 64 and not ended.out and option in ended.err, ended)
    harness.check("--prompt and --prompt-file exclude each other",
                  generate(plain, "--prompt", "a", "--prompt-file", "-").returncode == 64)


def scoring():
    folder = model("positions")
    long = WORK / "long.jsonl"
    long.write_text('\ufeff{"ids":[1,2,3]}\n' + json.dumps({"ids": [i % 96 for i in range(129)]}) + "\n")
    refused("score: more ids than positions", r"long\.jsonl:2: has 129 ids, more than the 128 positions", "score", "--model",
            folder, "--tokens", long)
    long.write_text('\ufeff{"ids":[1,2,3]}\n' + json.dumps({"ids": [i % 96 for i in range(128)]}) + "\n")
    ended = harness.run("forge", "score", "--model", folder, "--tokens", long)
    harness.check("score: as many as positions, behind a byte order mark", ended.code == 0, ended)

    def nan(tensors, config):
        tensors["model.norm.weight"][1][3] = math.nan

    ended = harness.run("forge", "score", "--model", model("nan", nan), "--tokens", IDS)
    harness.check("score: a number that is not finite is null", ended.code == 0
                  and re.sub(r"\s", "", ended.out) == '{"loss":null,"logprobs":[' + ",".join(["null"] * 7) + "]}", ended)
    (WORK / "long.txt").write_text("abc " * 200)
    refused("score: a text beyond the positions", "128 positions", "score", "--model", WORK / "chain", "--text",
            WORK / "long.txt")


def curves():
    path = WORK / "metrics.jsonl"

    def curve(text):
        path.write_text(text)
        return harness.run("forge", "curve", path), harness.run("forge", "curve", path, "--output", WORK / "loss.svg")

    sound = '{"step":1,"loss":5.0}\n{"step":2,"loss":4.5}\n'
    expected = curve(sound)[0].out
    for name, text in {"a half-written last line": sound + '{"step":3,"lo', "one cut in a number": sound + '{"step":3',
                       "one cut in a character": sound + '{"step":3,"loss":4.25,"x":"'}.items():
        ended, picture = curve(text)
        harness.check(f"curve: {name}", ended.code == 0 and ended.out == expected and picture.code == 0, ended)
    for value in ["1e308", "-1e308", "NaN", "Infinity", "-Infinity", "1e400", "null"]:
        ended, picture = curve(sound + f'{{"step":3,"loss":{value}}}\n{{"step":4,"loss":-1e308}}\n')
        harness.check(f"curve: a loss of {value}", ended.code == 0 and ended.out == expected and picture.code == 0
                      and len(note(ended)) == 1 and "not drawn" in ended.err, ended)
    for text in ['{"step":1,"loss":1e99}\n{"step":9223372036854775807,"loss":-1e99}\n',
                 '{"step":1,"loss":1e-300}\n{"step":2,"loss":2e-300}\n',
                 '{"step":1,"loss":1e16}\n{"step":2,"loss":1.0000000000000002e16}\n']:
        ended, picture = curve(text)
        harness.check(f"curve: {text.splitlines()[-1]}", ended.code == 0 and picture.code == 0
                      and max(map(len, ended.out.splitlines())) <= 80, ended)
    path.write_text('{"step":1,"loss":1e308}\n')
    refused("curve: nothing but divergence", "diverged", "curve", path)
    path.write_text('{"step":1,"lo\n' + sound)
    refused("curve: a broken line within", r"metrics\.jsonl:1", "curve", path)


# Families

def families():
    mixtral = WORK / "mixtral-out"
    if not mixtral.exists():
        return
    header, body = harness.read_safetensors(mixtral / "model.safetensors")

    def values(name):
        first, last = header[name]["data_offsets"]
        return header[name]["shape"], list(struct.unpack(f"<{(last - first) // 4}f", body[first:last]))

    tensors = {name: values(name) for name in header if ".experts." not in name}
    for layer in range(2):
        prefix = f"model.layers.{layer}.block_sparse_moe.experts"
        for fused, parts, shape in [("gate_up_proj", ["w1", "w3"], [4, 96, 32]), ("down_proj", ["w2"], [4, 32, 48])]:
            tensors[f"model.layers.{layer}.mlp.experts.{fused}"] = (shape, sum((
                values(f"{prefix}.{expert}.{part}.weight")[1] for expert in range(4) for part in parts), []))
    tensors = {name.replace("block_sparse_moe", "mlp"): tensor for name, tensor in tensors.items()}
    fused = WORK / "fused"
    fused.mkdir(exist_ok=True)
    shutil.copy(mixtral / "config.json", fused)
    harness.write_safetensors(fused / "model.safetensors", tensors)
    harness.check("m05: fused experts as transformers 5 keeps them", scores(fused) == scores(mixtral), scores(fused))
    section = {key: value for key, value in harness.MIXTRAL.items() if key != "num_local_experts"} | {"num_experts": 4}
    ended = train("alias", section, "alias")
    harness.check("m04: a key that the family does not use is refused in a run's section", ended.code == 64
                  and re.search(r"alias\.yaml:\d+: model\.num_experts is not for mixtral", ended.err), ended)


for group in [folders, replaced_tokenizers, other_files, overwriting, tied, configurations, refused_by_others, versions_and_losses, weights_that_do_not_fit, generating, scoring,
              curves, families]:
    group()
harness.finish()
