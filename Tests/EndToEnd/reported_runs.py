#!/usr/bin/env python3
"""What is the same data and the same tokenizer, and wishes that cannot be granted: situations that people reported.

Data, models and tokenizers are known by their content: at another path they are the same, and replaced in place they are
refused by name.
"""

import json
import os
import pathlib
import re
import shutil

import corpus
import harness
from harness import check, run

WORK = harness.folder()
VOCABULARY = 300
MODEL = harness.QWEN3 | {"vocab_size": VOCABULARY, "num_hidden_layers": 1, "bos_token_id": 1, "eos_token_id": 2}


def configured(name, train, model=MODEL, steps=2, **sections):
    """A configuration file for a run in a directory of this name, two steps at first; returns both."""
    settings = harness.configuration(WORK / name, model, train, steps=steps, sequences=4, sequence_length=16, **sections)
    return harness.write_configuration(WORK / f"{name}.yaml", settings), WORK / name


def changed(config, edit):
    """The same configuration with an edit, in the same file."""
    settings = json.loads(config.read_text())
    edit(settings)
    return harness.write_configuration(config, settings)


def begin(config, name, *arguments):
    ended = run("forge-dist", config, *arguments)
    check(f"{name}: the run begins", ended.code == 0, ended)
    return ended


def go_on(config, *arguments, ranks=None):
    return run("forge-dist", config, "--set", "run.steps=4", *arguments, ranks=ranks)


def refused(name, ended, *patterns):
    """Checks for exit code 64 and one sentence with every pattern."""
    said = harness.sentences(ended.err)
    check(name, ended.code == 64 and len(said) == 1 and all(re.search(pattern, said[0]) for pattern in patterns),
          f"expected exit code 64 and one sentence with {patterns}\n{ended}")


def pair(name, seed, tokens=400):
    return harness.write_dataset(WORK / name, harness.documents(tokens, VOCABULARY, seed), dtype="uint16")


def copy_pair(source, target):
    for ending in [".bin", ".idx"]:
        shutil.copy(f"{source}{ending}", f"{target}{ending}")


def prepare(output, *inputs, tokenizer="tokenizer", arguments=("--held-out", 0.3)):
    ended = run("forge", "data", "prepare", "--input", *inputs, "--output", WORK / output, "--tokenizer",
                WORK / tokenizer, *arguments)
    check(f"forge data prepare --output {output}", ended.code == 0, ended)
    return ended


# §4: the same data

def pairs_by_content():
    """m11, for the .bin/.idx pairs of others."""
    first, second = pair("first", 1), pair("second", 2)
    if os.path.getsize(f"{first}.bin") != os.path.getsize(f"{second}.bin"):
        raise AssertionError("the test needs two datasets of one size")
    train = pair("train", 1)
    config, directory = configured("pairs", train)
    begin(config, "a pair")
    shutil.copytree(directory, WORK / "whole")
    reference = go_on(config, "--set", f"run.directory={WORK / 'whole'}")

    times = os.stat(f"{train}.bin").st_mtime_ns
    copy_pair(second, train)
    refused("m11: a pair replaced in place", go_on(config), "train", "replaced")
    refused("m11: a pair replaced in place, on two ranks", go_on(config, ranks=2), "train", "replaced")
    os.utime(f"{train}.bin", ns=(times, times))
    os.utime(f"{train}.idx", ns=(times, times))
    refused("m11: a pair replaced in place, with its former times", go_on(config), "train")
    copy_pair(first, train)

    (WORK / "moved").mkdir()
    for ending in [".bin", ".idx"]:
        pathlib.Path(f"{train}{ending}").rename(WORK / f"moved/other{ending}")
    ended = go_on(config, "--set", f"data.train.0.path={WORK / 'moved/other'}", ranks=2)
    check("m11: the same pair at another path goes on, with the same bits",
          ended.code == 0 and ended.weights == reference.weights, f"{ended}\n{reference}")
    check("m11: and this is said", "has the same content" in ended.err, ended)

    two = [(first, 1.0), (second, 1.0)]
    config, directory = configured("two-pairs", two)
    begin(config, "two pairs")
    changed(config, lambda settings: settings["data"]["train"].reverse())
    refused("m11: two datasets that changed places", go_on(config), r"data\.train\.0")


def remembered_pairs():
    """A pair is read whole once, and known again by size, time and inode."""
    train = pair("known", 3)
    config, directory = configured("remembered", train)
    begin(config, "a pair to remember")
    memory = directory / "sources.json"
    known = json.loads(memory.read_text())["datasets"][0] if memory.exists() else {}
    check("a run remembers what it read", known.get("data", {}).get("inode") == os.stat(f"{train}.bin").st_ino, known)
    os.utime(f"{train}.bin")
    ended = go_on(config)
    check("a pair that was only touched goes on", ended.code == 0, ended)
    starts = [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]
    starts = [line for line in starts if line["kind"] == "start"]
    check("the ledger has the data's hash", len(starts) == 2 and len(starts[0].get("data", [])) == 1
          and starts[0]["data"] == starts[1]["data"], starts)


def prepared_by_content():
    """m11, for folders of `forge data prepare`, and their validation part."""
    for name in ["data", "again"]:
        prepare(name, WORK / "docs/chapter-0", WORK / "docs/chapter-1")
    prepare("others", WORK / "docs/chapter-2", WORK / "docs/chapter-3")
    check("the digest depends on the content alone",
          digest("data") and digest("data") == digest("again") != digest("others"), digest("data"))
    config, directory = configured("prepared", WORK / "data", validation={"every": 2, "sequences": 4})
    begin(config, "a prepared dataset")
    shutil.move(WORK / "data", WORK / "kept")
    refused("m11: a dataset that is gone", go_on(config), "there is no dataset at '.*data'")
    shutil.copytree(WORK / "others", WORK / "data")
    refused("m11: a prepared dataset replaced in place", go_on(config), "'.*data'", "replaced")
    shutil.rmtree(WORK / "data")
    ended = go_on(config, "--set", f"data.train.0.path={WORK / 'kept'}")
    check("m11: a prepared dataset at another path goes on", ended.code == 0, ended)

    config, directory = configured("files", WORK / "kept")
    flip(WORK / "kept/train.bin", 100)
    for seed in range(1, 7):
        refused(f"m11: a damaged file of a new run's dataset, seed {seed}",
                run("forge-dist", config, "--set", f"run.seed={seed}"), r"kept/train\.bin")
    flip(WORK / "kept/train.bin", 100)
    shutil.copytree(WORK / "kept", WORK / "mixture")
    for ending in ["bin", "idx"]:
        shutil.copy(WORK / f"others/train.{ending}", WORK / f"mixture/train.{ending}")
    config, directory = configured("mixture-run", WORK / "mixture")
    refused("m11: the files of another dataset below this one's description", run("forge-dist", config),
            r"mixture/train\.(bin|idx)")


def digest(name):
    return json.loads((WORK / name / "dataset.json").read_text())["train"].get("sha256")


def flip(path, offset):
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def validation_by_content():
    held, other = pair("held", 5), pair("unheld", 6)
    copy_pair(held, WORK / "held-copy")
    train = pair("for-validation", 4)
    config, directory = configured("validated", train, validation={"every": 2, "sequences": 4})
    changed(config, lambda settings: settings["data"].update(validation=[{"path": str(held)}]))
    begin(config, "a validated run")
    copy_pair(other, held)
    refused("m11: a validation set replaced in place", go_on(config), "held", "replaced")
    ended = go_on(config, "--set", f"data.validation.0.path={WORK / 'held-copy'}")
    check("m11: the same validation set at another path", ended.code == 0, ended)


def models_by_content():
    """The run has its model: the folder it began with may be gone, but not be another."""
    folder = harness.write_model(WORK / "folder")
    train = harness.write_dataset(WORK / "small", harness.documents(400, 96, 7))
    config, directory = configured("from", train, {"from": str(folder)})
    begin(config, "a run from a folder")
    shutil.copytree(directory, WORK / "from-whole")
    reference = go_on(config, "--set", f"run.directory={WORK / 'from-whole'}")

    def other(tensors, config):
        shape, values = tensors["model.norm.weight"]
        tensors["model.norm.weight"] = (shape, [value + 1 for value in values])

    folder.rename(WORK / "folder-kept")
    harness.write_model(folder, edit=other)
    refused("m11: model.from replaced in place", go_on(config), "'.*folder'", "replaced")
    shutil.rmtree(folder)
    ended = go_on(config)
    check("a continued run does not need the folder of model.from",
          ended.code == 0 and ended.weights == reference.weights, f"{ended}\n{reference}")
    config, _ = configured("from-new", train, {"from": str(folder)})
    refused("a new run needs it", run("forge-dist", config), "folder")


def validate_command():
    prepare("sound", WORK / "docs/chapter-0", WORK / "docs/chapter-1")
    sound = WORK / "sound"
    ended = run("forge", "data", "validate", sound)
    check("forge data validate: a sound dataset", ended.code == 0 and digest("sound") in ended.out, ended)
    ended = run("forge", "data", "validate", pair("valid", 8))
    check("forge data validate: a sound pair", ended.code == 0 and "SHA-256" in ended.out, ended)
    for name, file, offset in [("the tokens", "train.bin", 7), ("the index", "train.idx", 60),
                               ("held-out tokens", "validation.bin", 7), ("the digest", "train.digest.json", 200),
                               ("the documents' list", "documents.jsonl", 90), ("the tokenizer", "tokenizer/tokenizer.json", 400)]:
        if not (sound / file).exists():
            check(f"forge data validate: {name}", False, f"there is no {file}")
            continue
        flip(sound / file, offset)
        ended = run("forge", "data", "validate", sound)
        check(f"forge data validate: a changed byte of {name}",
              ended.code == 64 and re.search(file.split("/")[-1], ended.err) and len(harness.sentences(ended.err)) == 1, ended)
        flip(sound / file, offset)
    with open(sound / "train.bin", "ab") as file:
        file.write(b"\0\0")
    ended = run("forge", "data", "validate", sound, WORK / "valid")
    check("forge data validate: a longer file, beside a sound pair",
          ended.code == 64 and "train.bin" in ended.out and "valid: sound" in ended.out, ended)


    refused("forge data validate: what is not there", run("forge", "data", "validate", WORK / "nowhere"), "there is no dataset at .*nowhere")


def overwriting():
    prepare("used", WORK / "docs/chapter-0", WORK / "docs/chapter-1")
    config, directory = configured("user", WORK / "used")
    begin(config, "a run that uses a dataset")
    ended = prepare("used", WORK / "docs/chapter-2", arguments=("--overwrite",))
    check("--overwrite of a dataset that a run uses warns", str(directory) in ended.err and "warning" in ended.err, ended)
    ended = prepare("used", WORK / "docs/chapter-3", arguments=("--overwrite",))
    check("--overwrite of one that no run uses any more does not", "warning" not in ended.err, ended)
    ended = run("forge", "data", "validate", WORK / "used")
    check("an overwritten dataset is sound", ended.code == 0, ended)
    config, directory = configured("old-user", WORK / "used")
    begin(config, "a run that uses an older dataset")
    description = json.loads((WORK / "used/dataset.json").read_text())
    for part in ["train", "validation"]:
        description[part].pop("sha256", None)
    (WORK / "used/dataset.json").write_text(json.dumps(description))
    ended = prepare("used", WORK / "docs/chapter-2", arguments=("--overwrite",))
    check("--overwrite of a dataset of an earlier version, which has no digest, warns", str(directory) in ended.err, ended)


# §3: whose tokens these are

def tokenizers():
    """m23, m24."""
    for name, tokenizer in [("one", "tokenizer"), ("two", "other-tokenizer"), ("three", "spaced/tokenizer.json")]:
        prepare(name, WORK / "docs/chapter-0", WORK / "docs/chapter-1", tokenizer=tokenizer)
    one, two, three = (WORK / name for name in ["one", "two", "three"])
    copied = one / "tokenizer/tokenizer.json"
    check("m23: a dataset keeps a copy of its tokenizer",
          copied.exists() and copied.read_bytes() == (WORK / "tokenizer/tokenizer.json").read_bytes())
    config, _ = configured("mixed", [(one, 1), (two, 1)])
    refused("m23: datasets of two tokenizers in one run", run("forge-dist", config), "one'", "two'", "tokenizer")
    config, _ = configured("mixed-validation", one, validation={"every": 2, "sequences": 4})
    changed(config, lambda settings: settings["data"].update(validation=[{"path": str(two)}]))
    refused("m23: a validation set of another tokenizer", run("forge-dist", config), "one'", "two'", "tokenizer")
    config, _ = configured("spaced-run", [(one, 1), (three, 1)])
    begin(config, "m23: a tokenizer.json that differs in white space only")

    shutil.copytree(WORK / "tokenizer", WORK / "unmarked")
    path = WORK / "unmarked/tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"add_bos_token": False}))
    prepare("four", WORK / "docs/chapter-0", WORK / "docs/chapter-1", tokenizer="unmarked")
    config, _ = configured("mixed-beginnings", [(one, 1), (WORK / "four", 1)])
    refused("m23: documents of one tokenizer that begin differently", run("forge-dist", config), "one'", "four'", "begin")

    config, directory = configured("owner", one)
    begin(config, "a run with a tokenizer")
    other = run("forge-dist", configured("other-owner", two)[0])
    ended = run("forge", "export", directory, WORK / "model")
    same = (WORK / "model/tokenizer.json").exists() and (
        (WORK / "model/tokenizer.json").read_bytes() == (WORK / "tokenizer/tokenizer.json").read_bytes())
    check("m24: export takes the data's tokenizer", ended.code == 0 and other.code == 0 and same, ended)
    config, _ = configured("foreign-tokenizer", two, {"from": str(WORK / "model")})
    refused("m23: data of another tokenizer than the model's", run("forge-dist", config), "two'", "model'", "tokenizer")
    config, _ = configured("own-tokenizer", one, {"from": str(WORK / "model")})
    begin(config, "m23: data of the model's own tokenizer")

    # Neighbours of the run, where it was looked for before, and no data any more.
    (WORK / "short.txt").write_text("A package must be read by its own tokenizer.\n")
    ids = run("forge", "score", "--model", directory, "--text", WORK / "short.txt").out
    for name in ["one", "tokenizer"]:
        shutil.move(WORK / name, WORK / f"{name}-kept")
    shutil.copytree(WORK / "other-tokenizer", WORK / "tokenizer")
    shutil.copytree(WORK / "other-tokenizer", WORK / "one/tokenizer")
    for name, model in [("a run", directory), ("a checkpoint", directory / "checkpoints/latest")]:
        ended = run("forge", "score", "--model", model, "--text", WORK / "short.txt")
        check(f"m24: {name} is used with its own tokenizer, not a neighbour's", ended.out == ids != "", ended)
    ended = run("forge", "generate", "--model", directory, "--prompt", "A package", "--max-tokens", 5)
    check("m24: generate works when data and tokenizer are gone", ended.code == 0, ended)
    refused("m24: generate with another tokenizer by name",
            run("forge", "generate", "--model", directory, "--prompt", "A", "--max-tokens", 5, "--tokenizer",
                WORK / "other-tokenizer"), "other-tokenizer", "made with")
    shutil.rmtree(WORK / "one")
    shutil.rmtree(WORK / "tokenizer")
    for name in ["one", "tokenizer"]:
        shutil.move(WORK / f"{name}-kept", WORK / name)

    (WORK / "elsewhere").mkdir()
    foreign = harness.write_dataset(WORK / "elsewhere/train", harness.documents(300, VOCABULARY, 9))
    shutil.copytree(WORK / "tokenizer", WORK / "elsewhere/tokenizer")
    config, directory = configured("unknown", foreign)
    begin(config, "data of an unknown tokenizer")
    ended = run("forge", "generate", "--model", directory, "--prompt", "A", "--max-tokens", 5)
    check("m24: no neighbour's tokenizer is taken for data of an unknown one",
          ended.code == 64 and "--tokenizer" in ended.err, ended)
    ended = run("forge", "generate", "--model", directory, "--prompt", "A", "--max-tokens", 5, "--tokenizer",
                WORK / "tokenizer")
    check("one that is named is", ended.code == 0, ended)


# §4: wishes

def other_settings():
    train = pair("settings", 10)
    config, directory = configured("changes", train)
    begin(config, "a run to change")
    ended = go_on(config, "--set", "optimizer.betas=[0.8, 0.9]", "--set", "optimizer.epsilon=1e-6", "--set",
                  "optimizer.weight_decay=0.01")
    check("betas, epsilon and weight decay may change", ended.code == 0, ended)
    lines = [json.loads(line) for line in (directory / "ledger.jsonl").read_text().splitlines()]
    said = [text for line in lines if line["kind"] == "change" for text in line["settings"]]
    check("and the ledger says so", sorted(text.partition(":")[0] for text in said) == [
        "optimizer.betas.0", "optimizer.betas.1", "optimizer.epsilon", "optimizer.weight_decay", "run.steps"], lines)
    ended = run("forge-dist", config, "--set", "run.steps=4", "--set", "optimizer.name=muon")
    refused("the optimizer may not", ended, r"optimizer\.name")
    config, directory = configured("longer", train)
    begin(config, "a run to go on")
    ended = go_on(config)
    check("what changed is said as it was written", "run.steps: 2 → 4" in ended.err, ended)
    ended = run("forge-dist", "replay", directory, "--from-step", 1, "--to-step", 4)
    check("a run whose settings changed is replayed", ended.code == 0 and "identical" in ended.out, ended)


def recorded_values():
    """What is refused of new runs, and was taken of the run that goes on."""
    values = {"checkpoint.every": 2**63 - 1, "validation.sequences": 2**63 - 1, "optimizer.clip_norm": 1e300,
              "watchdog.pause_seconds": 1e12, "spikes.window": 100_000_000}
    config, directory = configured("recorded", pair("values", 12), checkpoint={"every": 2}, validation={"every": 0},
                                   optimizer={"learning_rate": 1e-3, "clip_norm": 1.0})
    begin(config, "a run whose values were taken then")

    def absurd(settings):
        for key, value in values.items():
            section, _, name = key.partition(".")
            settings.setdefault(section, {})[name] = value
    changed(config, absurd)
    refused("which new runs may not have", go_on(config), "at most")
    shutil.copy(config, directory / "config.yaml")
    ended = go_on(config)
    check("they are only warned of where the run was started with them", ended.code == 0 and all(
        re.search(f"warning: .*{key} .*goes on", ended.err) for key in values), ended)
    refused("but not others", go_on(config, "--set", "spikes.window=100000001"), r"spikes\.window .*at most")


def validation_that_cannot_be():
    """m08."""
    train, tiny = pair("plain", 11), harness.write_dataset(WORK / "tiny", [[5] * 9])
    every = {"every": 2, "sequences": 4}
    config, _ = configured("nothing", train, validation=every)
    refused("m08: nothing was held out", run("forge-dist", config), r"nothing\.yaml:\d+: validation\.every", "held out")
    config, _ = configured("best", train, validation=every, checkpoint={"every": 2, "keep_best": 1})
    refused("m08: nothing was held out, with keep_best", run("forge-dist", config), "held out")
    prepare("none-held", WORK / "docs/chapter-0", arguments=("--held-out", 0))
    config, _ = configured("unheld-run", WORK / "none-held", validation=every)
    refused("m08: a dataset prepared without", run("forge-dist", config, ranks=2), "held out")
    for name, sets in [("too short a set", [tiny]), ("too short a set beside another", [train, tiny])]:
        config, _ = configured("short", train, validation=every)
        changed(config, lambda settings: settings["data"].update(validation=[{"path": str(path)} for path in sets]))
        refused(f"m08: {name}", run("forge-dist", config), r"short\.yaml:\d+: data\.validation\.\d\.path", "tiny")
    config, _ = configured("sectionless", train)
    changed(config, lambda settings: settings["data"].update(validation=[{"path": str(train)}]))
    refused("m08: sets without a section", run("forge-dist", config), r"data\.validation", "section")


def void():
    """Keys that another choice in their section makes void, text that looks like a number, and nothing at all."""
    train = pair("void", 12)
    for name, key, sections in [
            ("cosine", "decay_steps", {"schedule": {"name": "cosine", "decay_steps": 2}}),
            ("constant", "minimum_ratio", {"schedule": {"name": "constant", "minimum_ratio": 0.5}}),
            ("constant by default", "decay_steps", {"schedule": {"decay_steps": 2}}),
            ("wsd", "decay_steps", {"schedule": {"name": "wsd", "warmup_steps": 3, "decay_steps": 3}}),
            ("spikes", "window", {"spikes": {"window": 64}}),
            ("adamw", "momentum", {"optimizer": {"learning_rate": 1e-3, "momentum": 0.9}})]:
        config, _ = configured(f"void-{name}", train, **sections)
        line = next(number for number, text in enumerate(config.read_text().splitlines(), 1) if key in text)
        refused(f"m09: a key or combination made void, {name}", run("forge-dist", config), rf"yaml:{line}: .*{key}")
    config, _ = configured("void-fits", train, steps=4, schedule={"name": "wsd", "warmup_steps": 1, "decay_steps": 3})
    check("m09: warm-up and descent that fit", run("forge-dist", config).code == 0)

    for written in ["4711", "007", "1e3", "true", "0x10"]:
        config, _ = configured("text", train)
        text, count = re.subn(r'("run": \{[^}]*"name": )"[^"]*"', rf"\g<1>{written}", config.read_text())
        assert count == 1
        config.write_text(text)
        changed_directory = WORK / "text-run"
        shutil.rmtree(changed_directory, ignore_errors=True)
        ended = run("forge-dist", config, "--set", f"run.directory={changed_directory}")
        recorded = (changed_directory / "config.yaml").read_text() if ended.code == 0 else ""
        check(f"m15: a name that looks like a number, {written}",
              ended.code == 0 and re.search(rf'name: "?{written}"?$', recorded, re.M), f"{ended}\n{recorded}")
        check("m15: and the run goes on", run("forge-dist", config, "--set", f"run.directory={changed_directory}", "--set",
                                              "run.steps=5").code == 0)
    config, _ = configured("empty-value", train)
    for value in ["", " "]:
        refused("m15: an empty value on the command line",
                run("forge-dist", config, "--set", f"optimizer.weight_decay={value}"),
                r"--set optimizer\.weight_decay= ?: there is no value.*null")
    check("m15: null is the default", run("forge-dist", config, "--set", "optimizer.weight_decay=null").code == 0)
    for key, path, part in [("data.train.0.path", "$DATA/train", r"\$DATA"), ("run.directory", "${HOME}/run", r"\$\{HOME\}"),
                            ("run.directory", "~/run", "~"), ("checkpoint.local", "$TMP/copies", r"\$TMP")]:
        refused(f"m15: a variable in {key}", run("forge-dist", config, "--set", f"{key}={path}"),
                rf"'{part}' is not expanded.*--set")
    config, _ = configured("from-variable", train, model={"from": "$MODELS/x"})
    refused("m15: a variable in model.from", run("forge-dist", config), r"yaml:\d+: .*'\$MODELS' is not expanded.*--set")


def validation_sets():
    """m38: sequences are spread over all validation sets and within each, and every set has a loss of its own."""
    length, train = 16, pair("for-sets", 20)
    tokens = {name: sum(harness.documents(40 * length + 1, VOCABULARY, seed), [])[:40 * length + 1]
              for name, seed in [("easy", 21), ("hard", 22)]}
    weights = {"easy": 3.0, "hard": 1.0}
    (WORK / "sets").mkdir()
    for name, ids in tokens.items():
        harness.write_dataset(WORK / "sets" / name, [ids], dtype="uint16")

    def validated(name, sets, sequences, *arguments, ranks=None, **sections):
        config, directory = configured(name, train, validation={"every": 2, "sequences": sequences}, **sections)
        changed(config, lambda settings: settings["data"].update(
            validation=[{"path": str(path), "weight": weight} for path, weight in sets]))
        ended = run("forge-dist", config, *arguments, ranks=ranks)
        check(f"m38: {name}", ended.code == 0, ended)
        return ended, directory, [line for line in harness.metrics(directory) if "validation_loss" in line]

    sets = [(WORK / "sets" / name, weight) for name, weight in weights.items()]
    ended, directory, lines = validated("two-sets", sets, 8)
    losses = lines[-1].get("validation_losses", {})
    check("m38: a validation loss for each set", list(losses) == list(weights), lines)
    # The sequences that must be those, each as a set of its own.
    single = []
    for name, picked in [("easy", [3, 10, 16, 23, 30, 36]), ("hard", [10, 30])]:
        for index in picked:
            path = WORK / "sets" / f"{name}-{index}"
            harness.write_dataset(path, [tokens[name][index * length:(index + 1) * length + 1]], dtype="uint16")
            single.append((path, 1.0))
    _, _, alone = validated("single-sequences", single, len(single))
    alone = alone[-1].get("validation_losses", {})
    for name in weights:
        parts = [loss for key, loss in alone.items() if key.startswith(f"{name}-")]
        mean = sum(parts) / len(parts) if parts else 0
        check(f"m38: the sequences of '{name}' are its share of the weights, spread over all of it",
              parts and abs(losses.get(name, 0) - mean) < 1e-5, f"{losses}\n{alone}")
    overall = sum(weights[name] * losses.get(name, 0) for name in weights) / sum(weights.values())
    check("m38: the validation loss is the mean of the sets' losses by weight",
          abs(lines[-1]["validation_loss"] - overall) < 1e-12, f"{lines[-1]}")
    check("m38: people and TensorBoard are told of each", re.search(r"validation loss .* \(easy \d.*, hard \d", ended.err)
          and all(f"validation_loss/{name}".encode() in path.read_bytes() for name in weights
                  for path in directory.glob("events.out.*")), ended)
    for ranks in [2, 3]:
        _, _, again = validated(f"two-sets-{ranks}", sets, 8, ranks=ranks)
        check(f"m38: the same bits on {ranks} ranks", [line.get("validation_losses") for line in again]
              == [line.get("validation_losses") for line in lines] != [None], f"{again}\n{lines}")
    _, _, few = validated("few-sequences", sets, 1)
    check("m38: fewer sequences than sets: one of each", len(few[-1].get("validation_losses", {})) == 2, few)

    config, directory = configured("other-sequences", train, validation={"every": 1, "sequences": 4},
                                   checkpoint={"every": 1, "keep_last": 1, "keep_best": 1})
    changed(config, lambda settings: settings["data"].update(validation=[{"path": str(WORK / "sets/easy")}]))
    begin(config, "a run that keeps its best")
    best = re.findall(r"^ *(\d+) .*best", run("forge", "checkpoint", "list", directory).out, re.M)
    ended = go_on(config, "--set", "validation.sequences=5")
    kept = [path.name for path in (directory / "checkpoints").glob("step-*")]
    check("m38: losses of other sequences are not compared", ended.code == 0 and "not comparable" in ended.err and best
          and f"step-{int(best[0]):08}" in kept, f"{best} {kept}\n{ended}")
    check("m38: nor are they told to be others while they are the same",
          "not comparable" not in go_on(config, "--set", "validation.sequences=5", "--set", "run.steps=5").err)


def branches():
    """m27: a branch has the tokenizer of its trunk; Tests/EndToEnd/branching.py has the rest."""
    config, directory = configured("trunk", WORK / "one")
    begin(config, "a run to branch off from")
    branch = ["--set", f"run.branch_from={directory}", "--set", "run.steps=4", "--set"]
    for name in ["two", "three"]:
        arguments = [*branch, f"run.directory={WORK / f'branch-{name}'}", "--set", f"data.train.0.path={WORK / name}"]
        ended = run("forge-dist", config, *arguments)
        if name == "two":
            refused("m27: a branch on data of another tokenizer", ended, r"run\.branch_from .*trunk.*two'.*one'.*tokenizer")
        else:
            check("m27: a run that branches off on other data", ended.code == 0, ended)
    shutil.rmtree(WORK / "branch-three/checkpoints")
    pairs = [*branch, f"run.directory={WORK / 'branch-pair'}", "--set", f"data.train.0.path={pair('branch-pair-data', 23)}"]
    ended = run("forge-dist", config, *pairs)
    check("m27: a branch on data of an unknown tokenizer keeps its trunk's", ended.code == 0
          and (WORK / "branch-pair/tokenizer/tokenizer.json").exists(), ended)


def events():
    """m10."""
    config, directory = configured("events", pair("for-events", 12), steps=4, checkpoint={"every": 2})
    begin(config, "a run with events")
    shutil.rmtree(directory / "checkpoints/step-00000004")
    run("forge-dist", config)
    steps = harness.event_steps(directory)
    check("TensorBoard events can be read here", set(steps) == {1, 2, 3, 4}, steps)
    check("m10: TensorBoard shows every step once", sorted(steps) == [1, 2, 3, 4], steps)


corpus.write(WORK / "docs")
for name, documents in [("tokenizer", "docs"), ("other-tokenizer", "docs/chapter-1")]:
    run("forge", "tokenizer", "train", "--input", WORK / documents, "--output", WORK / name, "--vocabulary-size",
        VOCABULARY)
(WORK / "spaced").mkdir()
for path in (WORK / "tokenizer").iterdir():
    shutil.copy(path, WORK / "spaced")
spaced = json.loads((WORK / "tokenizer/tokenizer.json").read_text())
(WORK / "spaced/tokenizer.json").write_text(json.dumps(dict(reversed(spaced.items())), separators=(", ", " : ")))
for group in [pairs_by_content, remembered_pairs, prepared_by_content, validation_by_content, models_by_content,
              validate_command, overwriting, tokenizers, other_settings, recorded_values, validation_that_cannot_be,
              validation_sets, void, branches, events]:
    group()
harness.finish()
