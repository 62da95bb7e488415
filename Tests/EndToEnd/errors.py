#!/usr/bin/env python3
"""Bad input to forge-dist: one clear sentence, exit code 64, nothing overwritten; alone and on two ranks.

Each case changes one thing of a sound configuration. Unless it says otherwise, the run directory is that of an earlier
run, which has to stay as it was.
"""

import copy
import json
import re
import shutil
import struct
import subprocess

import harness

WORK = harness.folder()
DATA = harness.write_dataset(WORK / "data", harness.documents(2000, 96, seed=1))
SOUND = harness.configuration(WORK / "run", harness.QWEN3, DATA, steps=2, sequences=4)
CONFIG = WORK / "run.yaml"


def refused(name, pattern, settings, *arguments, ranks=(None, 2)):
    """Checks that a run ends with 64, this pattern in its only sentence, and every file as before."""
    harness.write_configuration(CONFIG, settings)
    for count in ranks:
        before = harness.tree_digest(WORK)
        ended = harness.run("forge-dist", CONFIG, *arguments, ranks=count, timeout=60)
        sentences = harness.sentences(ended.err)
        place = f"{name} ({f'{count} ranks' if count else 'alone'})"
        ok = (ended.code == 64 and len(sentences) == 1 and sentences[0].startswith("forge-dist: ")
              and re.search(pattern, sentences[0]) is not None)
        harness.check(place, ok, f"expected exit code 64 and one sentence with {pattern}\n{ended}")
        shutil.rmtree(WORK / "new", ignore_errors=True)  # a run directory may be made, but nothing lost
        if harness.tree_digest(WORK) != before:
            harness.check(f"{place}: every file as before", False, ended)


def changed(path, value, directory="run"):
    """The sound configuration with one setting changed, such as "batch.sequences"."""
    settings = copy.deepcopy(SOUND)
    settings["run"] |= {"directory": str(WORK / directory), "steps": 4}
    *sections, key = path.split(".")
    section = settings
    for name in sections:
        section = section[name]
    section[key] = value
    return settings


def located(settings, path):
    """What a message about a setting begins with: the file and the setting's line."""
    lines = json.dumps(settings, indent=2).splitlines()
    line = 0
    for key in path.split("."):
        line = next(number for number in range(line, len(lines)) if f'"{key}":' in lines[number])
    return rf"run\.yaml:{line + 1}: "


def wrong_settings():
    for path, value, message in [
            ("optimizer.learning_rte", 1e-3, "unknown key 'optimizer.learning_rte'; did you mean 'learning_rate'"),
            ("model.hiden_size", 32, "unknown key 'model.hiden_size'; did you mean 'hidden_size'"),
            ("chekpoint", {"every": 1}, "unknown key 'chekpoint'; did you mean 'checkpoint'"),
            ("data.train", [{"path": str(DATA), "wieght": 1}], "'data.train.0.wieght'; did you mean 'weight'"),
            ("optimizer.learning_rate", "fast", "optimizer.learning_rate must be a number"),
            ("run.steps", 2.5, "run.steps must be a whole number|run.steps must be an integer"),
            ("data.shuffle", "perhaps", "data.shuffle must be"),
            ("batch.micro_batch", 3, "batch.sequences is 4, not a multiple of micro_batch = 3"),
            ("data.sequence_length", 256, "more than the model's max_position_embeddings = 128"),
            ("model.num_key_value_heads", 2, "does not divide num_attention_heads = 3"),
            ("model.model_type", "gpt2", "'gpt2' is not supported"),
            ("optimizer.name", "sgd", "'sgd' is not supported"),
            ("schedule.name", "linear", "'linear' is not a schedule"),
            ("optimizer.betas", [0.9, 1.5], "betas must be two numbers")]:
        settings = changed(path, value)
        told = {"data.train": "data.wieght", "batch.micro_batch": "batch.sequences"}.get(path, path)
        name = path if isinstance(value, (list, dict)) else f"{path}: {json.dumps(value)}"
        refused(name, rf"{located(settings, told)}.*({message})", settings)
    settings = changed("run.name", "again")
    del settings["model"]["hidden_size"]
    refused("no model.hidden_size", "model.hidden_size is missing", settings)
    refused("--set with an unknown key", "unknown key 'optimizer.learning_rte'; did you mean 'learning_rate'", SOUND,
            "--set", "optimizer.learning_rte=1", ranks=[2])
    refused("--set without a value", "optimizer.learning_rate", SOUND, "--set", "optimizer.learning_rate", ranks=[2])


def wrong_data():
    def case(name, pattern, path):
        refused(name, pattern, changed("data.train", [{"path": str(path), "weight": 1.0}]))

    def copied(name, suffix, edit):
        for ending in [".bin", ".idx"]:
            shutil.copy(f"{DATA}{ending}", WORK / f"{name}{ending}")
        path = WORK / f"{name}{suffix}"
        path.write_bytes(edit(path.read_bytes()))
        return WORK / name

    case("data that is not there", "there is no dataset at '.*nowhere'", WORK / "nowhere")
    case("a truncated .bin", r"truncated\.bin.*truncated", copied("truncated", ".bin", lambda data: data[:-6]))
    case("a truncated .idx", r"short\.idx.*truncated", copied("short", ".idx", lambda data: data[:-6]))
    case("an .idx of another dtype", r"narrow\.(idx|bin)",
         copied("narrow", ".idx", lambda data: data[:17] + b"\x08" + data[18:]))
    case("an .idx that is something else", r"foreign\.idx.* is not the index",
         copied("foreign", ".idx", lambda data: b"hello" * 100))
    case("a token id beyond the vocabulary", "96.*vocabulary|vocabulary.*96",
         copied("large", ".bin", lambda data: data[:4000] + struct.pack("<i", 96) + data[4004:]))
    case("a negative token id", "-1.*vocabulary|vocabulary.*-1",
         copied("negative", ".bin", lambda data: data[:4000] + struct.pack("<i", -1) + data[4004:]))
    case("fewer tokens than a sequence", "20 tokens, fewer than the 33",
         harness.write_dataset(WORK / "few", [[5] * 20]))
    (WORK / "empty").mkdir()
    case("an empty folder as data", "there is no dataset at '.*empty'", WORK / "empty")


def wrong_weights():
    def case(name, pattern, edit):
        """Starts from a model folder that `edit` has damaged."""
        folder = WORK / "model"
        shutil.rmtree(folder, ignore_errors=True)
        harness.write_model(folder, edit=edit)
        settings = changed("model", {"from": str(folder)}, directory="new/run")
        refused(name, pattern, settings)

    def rename(tensors, config):
        tensors["model.layers.1.mlp.up_prof.weight"] = tensors.pop("model.layers.1.mlp.up_proj.weight")

    def reshape(tensors, config):
        shape, values = tensors["model.layers.1.mlp.up_proj.weight"]
        tensors["model.layers.1.mlp.up_proj.weight"] = ([shape[1], shape[0]], values)

    case("safetensors without a tensor", r"model\.layers\.1\.mlp\.up_proj\.weight",
         lambda tensors, config: tensors.pop("model.layers.1.mlp.up_proj.weight"))
    case("safetensors with a misnamed tensor", r"model\.layers\.1\.mlp\.up_pro", rename)
    case("safetensors with a mis-shaped tensor", r"model\.layers\.1\.mlp\.up_proj\.weight.*(24|40).*(24|40)", reshape)
    case("a config.json of an unknown family", r"config\.json:\d+: model_type 'bert' is not supported",
         lambda tensors, config: config.update(model_type="bert"))
    weights = WORK / "model/model.safetensors"
    harness.write_model(WORK / "model")
    weights.write_bytes(weights.read_bytes()[:-100])
    refused("truncated safetensors", r"model\.safetensors", changed("model", {"from": str(WORK / "model")}, "new/run"))
    refused("an empty folder as model", "empty", changed("model", {"from": str(WORK / "empty")}, "new/run"))
    refused("a model folder that is not there", "nowhere",
            changed("model", {"from": str(WORK / "nowhere")}, "new/run"))


def wrong_places():
    (WORK / "file").write_text("mine\n")
    refused("a run directory below a file", "cannot make the run directory '.*file/run': Not a directory",
            changed("run.directory", str(WORK / "file/run")))
    refused("a run directory that cannot be written", "run directory '/proc/forge/run'",
            changed("run.directory", "/proc/forge/run"))
    for name, text, pattern in [
            ("a configuration that is not YAML", "run: [1, 2", r"broken\.yaml:\d+"),
            ("an empty configuration", "", r"broken\.yaml"),
            ("a configuration that is a list", "[1, 2]", r"broken\.yaml")]:
        path = WORK / "broken.yaml"
        path.write_text(text)
        ended = harness.run("forge-dist", path, ranks=2)
        harness.check(name, ended.code == 64 and len(harness.sentences(ended.err)) == 1
                      and re.search(pattern, ended.err), ended)
    ended = harness.run("forge-dist", WORK / "nowhere.yaml", ranks=2)
    harness.check("a configuration that is not there", ended.code == 64 and "nowhere.yaml" in ended.err
                  and len(harness.sentences(ended.err)) == 1, ended)


def no_memory():
    """More than the system lets a process map, though most of it would never be used."""
    settings = changed("model.intermediate_size", 1 << 21, directory="new/run")
    harness.write_configuration(CONFIG, settings)
    ended = harness.end(subprocess.Popen(
        ["sh", "-c", 'ulimit -v 4000000; exec "$@"', "sh", harness.BIN / "forge-dist", CONFIG], env=harness.ENVIRONMENT,
        text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    harness.check("memory that cannot be mapped", ended.code == 64 and len(harness.sentences(ended.err)) == 1
                  and re.search(r"refuses a process \d+ MiB of memory .*vm.overcommit_memory", ended.err), ended)
    shutil.rmtree(WORK / "new", ignore_errors=True)


def wrong_continuations():
    for path, value in [
            ("batch.sequences", 6), ("batch.micro_batch", 1), ("data.sequence_length", 16), ("run.seed", 2),
            ("data.shuffle", False), ("data.document_mask", False)]:
        settings = changed(path, value)
        refused(f"continuing with another {path}", rf"started with {re.escape(path)} = \S+, not {json.dumps(value)}",
                settings)
    refused("continuing with another model", "another model", changed("model.intermediate_size", 64))

    busy = harness.write_configuration(WORK / "busy.yaml", changed("run.steps", 1_000_000, directory="busy"))
    first = harness.launch("forge-dist", busy, ranks=2)
    harness.wait_for(lambda: harness.last_step(WORK / "busy") > 0, first)
    second = harness.run("forge-dist", busy, ranks=2)
    harness.check("a second job in the same run directory", second.code == 64 and "another job is writing" in second.err
                  and len(harness.sentences(second.err)) == 1, second)
    harness.kill(first)
    harness.end(first)


ended = harness.run("forge-dist", harness.write_configuration(CONFIG, SOUND), ranks=2)
harness.check("the sound configuration runs", ended.code == 0, ended)
for group in [wrong_settings, wrong_data, wrong_weights, wrong_places, no_memory, wrong_continuations]:
    group()
harness.finish()
