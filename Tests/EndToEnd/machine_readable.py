#!/usr/bin/env python3
"""What programs read: with --json every command prints one document, and every error is a line with code, key path and hint,
beside the sentence on standard error and the exit code that are the same without."""

import json
import os
import re
import shutil
import subprocess

import harness
from harness import check, run

WORK = harness.folder()
MODEL = harness.write_model(WORK / "model")
DOCUMENTS, EMPTY, TOKENIZER, PREPARED = (WORK / name for name in ["docs", "empty", "tokens", "prepared"])
DATA = harness.write_dataset(WORK / "data", harness.documents(2000, 96, seed=1))
SETTINGS = harness.configuration(WORK / "run", harness.QWEN3, DATA, steps=4, sequences=4, checkpoint={"every": 2})
CONFIG = harness.write_configuration(WORK / "run.yaml", SETTINGS)
FIELDS = ["code", "message", "key_path", "hint", "exit_code"]


def document(ended):
    """The one JSON document of standard output; None when it is none."""
    try:
        return json.loads(ended.out)
    except ValueError:
        return None


def refused(name, code, *arguments, key_path=None, hint=None, program="forge", ranks=None, exit_code=64):
    """Checks an error's document, that its sentence is the one without --json, and the exit code of both. A hint is a pattern;
    None for an error that has none."""
    plain = run(program, *arguments, ranks=ranks, timeout=60)
    ended = run(program, *arguments, "--json", ranks=ranks, timeout=60)
    found = (document(ended) or {}).get("error") or {}
    sentence = harness.sentences(ended.err)[:1]
    told = re.sub(r"^(?:forge|forge-dist|Error): ", "", sentence[0]) if sentence else None
    same_hint = found.get("hint") is None if hint is None else re.search(hint, found.get("hint") or "")
    ok = (plain.code == ended.code == exit_code and plain.out == "" and harness.sentences(plain.err) == harness.sentences(ended.err)
          and ended.out.count("\n") == 1 and list(found) == FIELDS and found["message"] == told and found["exit_code"] == exit_code
          and found["code"] == code and found["key_path"] == key_path and same_hint and (found["hint"] or "") in told)
    check(f"{name}: {code}", ok, f"expected {code}, {key_path}, {hint}\n{plain}\n{ended}")


def wrong_settings():
    plan = ["plan", "--ranks", 2, "--set"]
    refused("a misspelt setting", "unknown_setting", *plan, "run.stpes=1", key_path="run.stpes", hint="^did you mean 'steps'")
    refused("a setting out of range", "invalid_setting", *plan, "optimizer.learning_rate=-1", key_path="optimizer.learning_rate")
    refused("a setting of another type", "invalid_setting", *plan, "run.steps=many", key_path="run.steps")
    refused("a choice that is none", "invalid_setting", *plan, "optimizer.name=sgd", key_path="optimizer.name", hint="^use ")
    refused("settings that contradict each other", "conflicting_settings", *plan, "batch.micro_batch=3",
            key_path="batch.sequences")
    refused("a setting of another schedule", "conflicting_settings", "plan", CONFIG, *plan[1:], "schedule.decay_steps=5",
            key_path="schedule.decay_steps", hint="^set schedule.name to wsd")
    refused("an override without a value", "invalid_argument", *plan, "run.steps=", key_path="run.steps", hint="^write null")
    dist = {"program": "forge-dist"}
    refused("a model that is not supported", "unsupported_model", CONFIG, "--set", "model.model_type=gpt2",
            key_path="model.model_type", hint="^use one of", **dist)
    refused("the same on two ranks", "unsupported_model", CONFIG, "--set", "model.model_type=gpt2",
            key_path="model.model_type", hint="^use one of", ranks=2, **dist)
    refused("an odd size", "conflicting_settings", CONFIG, "--set", "model.num_key_value_heads=2",
            key_path="model.num_key_value_heads", **dist)
    without = {**SETTINGS, "model": {key: value for key, value in harness.QWEN3.items() if key != "hidden_size"}}
    refused("a setting that is missing", "missing_setting", harness.write_configuration(WORK / "without.yaml", without),
            key_path="model.hidden_size", **dist)
    refused("an expert degree that ranks cannot have", "invalid_layout", CONFIG, "--set", "parallelism.expert=3",
            key_path="parallelism.expert", hint="^use a", ranks=2, **dist)
    (WORK / "broken.yaml").write_text("run: [\n")
    refused("YAML with an error", "malformed_file", WORK / "broken.yaml", **dist)
    refused("a configuration that is not there", "file_not_found", WORK / "nowhere.yaml", **dist)
    refused("data that are not there", "file_not_found", CONFIG, "--set", f"data.train.0.path={WORK / 'nowhere'}", "--set",
            f"run.directory={WORK / 'other'}", ranks=2, **dist)
    refused("a run that was started otherwise", "run_differs", CONFIG, "--set", "run.seed=2", "--set", "run.steps=6",
            key_path="run.seed", hint="^restore the setting", ranks=2, **dist)
    refused("steps that are none", "invalid_argument", "replay", WORK / "run", "--from-step", 3, "--to-step", 2,
            hint="^--from-step", **dist)
    refused("steps that were not computed", "invalid_argument", "replay", WORK / "run", "--from-step", 3, "--to-step", 20, **dist)
    refused("an option that is none", "invalid_argument", CONFIG, "--bogus", **dist)


def wrong_input():
    refused("an option that is none", "invalid_argument", "runs", "--bogus")
    refused("a number of threads", "invalid_argument", "checkpoint", "verify", WORK / "run", "--threads", 0)
    refused("the same of data", "invalid_argument", "data", "validate", DATA, "--threads", 0)
    refused("no folder of runs", "file_not_found", "runs", WORK / "nowhere")
    refused("no run", "file_not_found", "checkpoint", "list", WORK / "nowhere")
    refused("a run without checkpoints", "wrong_kind", "checkpoint", "list", EMPTY, hint="^name a run")
    refused("one checkpoint in place of a run", "wrong_kind", "checkpoint", "prune", WORK / "run/checkpoints/step-00000002",
            hint="^name the run")
    refused("a run without a ledger", "wrong_kind", "ledger", "verify", EMPTY)
    refused("a run without black boxes", "wrong_kind", "why", EMPTY, hint="^name the directory")
    refused("no metrics", "file_not_found", "curve", WORK / "nowhere")
    refused("metrics of nothing", "empty_input", "curve", "/dev/null")
    (WORK / "ids.jsonl").write_text('{"ids":[1,96]}\n')
    refused("ids beyond the vocabulary", "tokenizer_mismatch", "score", "--model", MODEL, "--tokens", WORK / "ids.jsonl")
    (WORK / "ids.jsonl").write_text(json.dumps({"ids": [1] * 200}) + "\n")
    refused("more ids than positions", "too_long", "score", "--model", MODEL, "--tokens", WORK / "ids.jsonl")
    (WORK / "ids.jsonl").write_text('{"ids":[1,2,3]}\n')
    refused("a model without a tokenizer", "file_not_found", "generate", "--model", MODEL, "--prompt", "A", hint="^name its folder")
    refused("an output that is there", "file_exists", "export", MODEL, DOCUMENTS, hint="^choose another folder")
    refused("an output below a file", "write_failed", "export", MODEL, WORK / "run.yaml/model")
    refused("no documents", "empty_input", "data", "prepare", "--input", EMPTY, "--output", WORK / "new", "--tokenizer", TOKENIZER)
    refused("no tokenizer", "file_not_found", "tokenizer", "decode", "--tokenizer", WORK / "nowhere", hint="^name a folder")
    refused("an encoding that is none", "invalid_argument", "data", "prepare", "--input", DOCUMENTS, "--output", WORK / "new",
            "--tokenizer", TOKENIZER, "--encoding", "klingon", hint="^name one")
    shutil.copytree(MODEL, WORK / "broken", dirs_exist_ok=True)
    (WORK / "broken/model.safetensors").write_bytes(b"\xff" * 100)
    refused("weights that are something else", "malformed_file", "export", WORK / "broken", WORK / "new")
    ended = run("forge", "generate", "--model", WORK / "nowhere", "--prompt", "--json")
    check("a prompt is no option", ended.code == 64 and ended.out == "", ended)
    if os.path.exists("/dev/full"):
        refused_by_a_full_disk()


def refused_by_a_full_disk():
    """Standard output itself may be full: the error is told on standard error."""
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([harness.BIN / "forge", "checkpoint", "list", WORK / "run", "--json"], stdout=full,
                               stderr=subprocess.PIPE, text=True)
    check("a standard output that is full", ended.returncode == 75 and "enough space" in ended.stderr, ended)


def both(*arguments, program="forge", ranks=None, code=0):
    """A command's text and its document."""
    plain = run(program, *arguments, ranks=ranks)
    ended = run(program, *arguments, "--json", ranks=ranks)
    found = document(ended)
    check(f"{program} {' '.join(map(str, arguments[:2]))}: one document", plain.code == ended.code == code and found is not None
          and ended.out.endswith("\n") and harness.sentences(plain.err) == harness.sentences(ended.err), f"{plain}\n{ended}")
    return plain.out, found if found is not None else {}


def results():
    tokenizer = run("forge", "tokenizer", "train", "--input", DOCUMENTS, "--output", TOKENIZER, "--vocabulary-size", 300, "--json")
    found = document(tokenizer) or {}
    check("tokenizer train", tokenizer.code == 0 and found.get("output") == str(TOKENIZER)
          and found["vocabulary_size"] <= found["requested_size"] == 300 and found["left_out"]["duplicates"] == 0, tokenizer)
    prepared = run("forge", "data", "prepare", "--input", DOCUMENTS, "--output", PREPARED, "--tokenizer", TOKENIZER, "--held-out",
                   0.5, "--json")
    found = document(prepared) or {}
    kept = json.loads((PREPARED / "dataset.json").read_text())
    check("data prepare", prepared.code == 0 and found["train"] == {key: kept["train"][key] for key in found["train"]}
          and found["marks_ends"] is True, prepared)
    text, found = both("data", "validate", PREPARED)
    check("data validate agrees", found["sound"] and all(
        f"{part['tokens']} tokens in {part['documents']} documents, SHA-256 {part['sha256']}" in text
        for part in found["datasets"][0]["parts"]), f"{text}\n{found}")
    text, found = both("tokenizer", "encode", "--tokenizer", TOKENIZER, "--input", DOCUMENTS / "a.txt", DOCUMENTS / "b.txt")
    check("tokenizer encode agrees", [line["ids"] for line in found["sequences"]] == [
        json.loads(line)["ids"] for line in text.splitlines()] and found["sequences"][1]["file"].endswith("b.txt"), found)
    (WORK / "encoded.jsonl").write_text(text)
    text, found = both("tokenizer", "decode", "--tokenizer", TOKENIZER, "--input", WORK / "encoded.jsonl")
    check("tokenizer decode agrees", "".join(found["texts"]) == text == "one two three four " * 50 + "five six seven " * 50, found)
    (WORK / "ids.jsonl").write_text('{"ids":[1,2,3]}\n{"ids":[4,5]}\n')
    text, found = both("score", "--model", MODEL, "--tokens", WORK / "ids.jsonl")
    check("score agrees", found["sequences"] == [json.loads(line) for line in text.splitlines()], f"{text}\n{found}")
    small = WORK / "small"
    harness.write_model(small, edit=widen)
    generate = ["generate", "--model", small, "--tokenizer", TOKENIZER, "--prompt", "one two", "--max-tokens", 8, "--greedy"]
    text, found = both(*generate)
    check("generate agrees", text == f"{found['prompt']}{found['text']}\n" and found["finish_reason"] in ("end", "length")
          and 0 < len(found["ids"]) <= 8, f"{text}\n{found}")
    text = run("forge", "export", MODEL, WORK / "exported").out
    ended = run("forge", "export", MODEL, WORK / "exported", "--overwrite", "--json")
    found = document(ended) or {}
    check("export", f"{found.get('folder')}: {found.get('parameters')} parameters in {found.get('dtype')}" in text, ended)
    text, found = both("plan", CONFIG, "--ranks", 2)
    check("plan agrees", f"{found['parameters'] / 1e6:.1f}" in text and found["ranks"] == 2, f"{text}\n{found}")


def widen(tensors, config):
    """As many ids as the tokenizer has."""
    config["vocab_size"] = 300
    for name in ["model.embed_tokens.weight", "lm_head.weight"]:
        (rows, width), values = tensors[name]
        tensors[name] = [300, width], (values * 4)[:300 * width]


def runs():
    ended = run("forge-dist", CONFIG, "--json")
    found = document(ended) or {}
    lines = harness.metrics(WORK / "run")
    check("a run's document agrees with its log", ended.code == 0 and found == {
        "run": "test", "directory": str(WORK / "run"), "step": 4, "loss": lines[-1]["loss"], "validation_loss": None,
        "weights_sha256": re.search(r"SHA-256 ([0-9a-f]{64})", ended.err)[1], "exit_reason": "complete"}, ended)
    again = run("forge-dist", CONFIG, "--json", ranks=2)
    check("and is one on two ranks, when there is nothing to do", document(again) == found | {"loss": None}, again)
    text, found = both("replay", WORK / "run", "--from-step", 1, "--to-step", 3, program="forge-dist")
    check("a replay's document", found == {"from_step": 1, "to_step": 3, "identical": True, "first_difference": None, "how": None}
          and "3 steps, 1 to 3: identical" in text, f"{text}\n{found}")
    text, found = both("runs", WORK / "run")
    check("runs agrees", [entry["name"] for entry in found] == ["test"] or found[0]["step"] == 4, f"{text}\n{found}")
    text, found = both("checkpoint", "list", WORK / "run")
    check("checkpoint list agrees", [entry["step"] for entry in found["checkpoints"]] == [
        int(line.split()[0]) for line in text.splitlines()[1:]] and found["latest_step"] == 4, f"{text}\n{found}")
    text, found = both("checkpoint", "show", WORK / "run")
    check("checkpoint show agrees", f"step {found['step']}, root hash {found['root']}" in text and all(
        tensor["name"] in text for tensor in found["tensors"]), f"{text[:2000]}\n{found}")
    text, found = both("checkpoint", "diff", WORK / "run/checkpoints/step-00000002", WORK / "run", code=1)
    check("checkpoint diff agrees", not found["equal"] and found["steps"] == [2, 4] and all(
        f"{change['tensor']}: {change['differing']} of {change['elements']} elements" in text for change in found["changed"]), text)
    text, found = both("checkpoint", "verify", WORK / "run")
    check("checkpoint verify agrees", found["sound"] and [entry["path"] for entry in found["checkpoints"]] == [
        line.partition(": sound")[0] for line in text.splitlines()], f"{text}\n{found}")
    text, found = both("checkpoint", "prune", WORK / "run", "--keep-last", 1, "--dry-run")
    check("checkpoint prune agrees", found["dry_run"] and found["deleted"] == text.split(), f"{text}\n{found}")
    text, found = both("ledger", "verify", WORK / "run")
    check("ledger verify agrees", found["sound"] and f"{found['lines']} lines" in text, f"{text}\n{found}")
    text, found = both("curve", WORK / "run")
    check("curve has the losses", [(point["step"], point["loss"]) for point in found["training"]] == [
        (line["step"], line["loss"]) for line in lines] and text, f"{text}\n{found}")
    text, found = both("why", WORK / "run")
    check("why agrees", found["sentence"] in text and found["kind"] == "complete" and [
        rank["exit_code"] for rank in found["ranks"]] == [0] * len(found["ranks"]), f"{text}\n{found}")


def damage():
    """What looks for damage tells of it in its document, which has the error too."""
    shutil.copytree(WORK / "run", WORK / "damaged")
    shard = next((WORK / "damaged/checkpoints/step-00000004").glob("*.forge"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    text, found = both("checkpoint", "verify", WORK / "damaged", code=64)
    check("a damaged checkpoint", not found["sound"] and found["error"]["code"] == "file_damaged"
          and found["error"]["message"] == "1 of 2 checkpoints is damaged"
          and [entry["sound"] for entry in found["checkpoints"]] == [True, False]
          and found["checkpoints"][1]["problems"][0] in text, f"{text}\n{found}")
    for ending in [".bin", ".idx"]:
        shutil.copy(f"{DATA}{ending}", WORK / f"short{ending}")
    (WORK / "short.bin").write_bytes((WORK / "short.bin").read_bytes()[:-8])
    text, found = both("data", "validate", WORK / "short", code=64)
    check("damaged data", not found["sound"] and found["error"]["message"] == found["datasets"][0]["problems"][0], found)
    ledger = WORK / "damaged/ledger.jsonl"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:2] + lines[3:]))
    text, found = both("ledger", "verify", WORK / "damaged", code=3)
    check("a damaged ledger", not found["sound"] and found["finding"]["what"] in text, f"{text}\n{found}")


DOCUMENTS.mkdir()
EMPTY.mkdir()
for name, words in [("a.txt", "one two three four "), ("b.txt", "five six seven ")]:
    (DOCUMENTS / name).write_text(words * 50)
for group in [results, runs, damage, wrong_settings, wrong_input]:
    group()
harness.finish()
