#!/usr/bin/env python3
"""What people reported about machines and launchers: a shell in a Slurm step, byte order marks, absurd numbers,
containers that allow no further thread, and the share of the peak on a busy machine.
"""

import json
import os
import re
import shutil
import subprocess

import harness
from harness import check

WORK = harness.folder()
WORK.chmod(0o755)  # a run as another user reads it
DATA = harness.write_dataset(WORK / "data", harness.documents(2000, 96, seed=1))
SOUND = harness.configuration(WORK / "run", harness.QWEN3, DATA, steps=2, sequences=4)
CONFIG = harness.write_configuration(WORK / "run.yaml", SOUND)


def run(program, *arguments, prefix=(), timeout=60, **environment):
    """Runs a program without mpirun, behind another that starts it, with variables of its own."""
    started = subprocess.Popen([*map(str, prefix), harness.BIN / program, *map(str, arguments)], text=True,
                               env=harness.ENVIRONMENT | environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return harness.end(started, timeout)


def refused(name, ended, pattern, code=64):
    """Checks for one sentence with a pattern, and the exit code."""
    sentences = harness.sentences(ended.err)
    return check(name, ended.code == code and len(sentences) == 1 and re.search(pattern, sentences[0]),
                 f"wanted {code} and one sentence with {pattern}\n{ended}")


def slurm_steps():
    """Which launcher the sentence names: that of somebody who types in a shell of a step, or srun's own option."""
    step = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURM_LOCALID": "0",
            "SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"}
    ended = run("forge-dist", CONFIG, "--set", "run.name=a b", **step)
    refused("m32: in a shell of a Slurm step the sentence is what to type", ended,
            rf"mpirun -n 1 {re.escape(str(harness.BIN))}/forge-dist {re.escape(str(CONFIG))} --set 'run.name=a b'$")
    check("m32: and it does not speak of an option of srun, which nobody typed", "--mpi" not in ended.err, ended)
    ended = run("forge-dist", CONFIG, **step | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "4"})
    refused("control: a script that srun starts four times is told the option", ended, "--mpi=pmix")


def marks():
    """Byte order marks before YAML and JSON, and UTF-16 by its mark."""
    text = CONFIG.read_text()
    sound = run("forge-dist", CONFIG)
    forms = {"UTF-8 with a mark": b"\xef\xbb\xbf" + text.encode(),
             "UTF-16, little-endian": b"\xff\xfe" + text.encode("utf-16-le"),
             "UTF-16, big-endian": b"\xfe\xff" + text.encode("utf-16-be")}
    for name, data in forms.items():
        shutil.rmtree(WORK / "run", ignore_errors=True)
        path = WORK / "marked.yaml"
        path.write_bytes(data)
        ended = run("forge-dist", path)
        check(f"m34: a configuration in {name}", ended.code == 0 and ended.weights == sound.weights, ended)
    path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le") + b"\0")
    refused("m34: UTF-16 that ends within a character", run("forge-dist", path), "marked.yaml' is not UTF-8")
    model = harness.write_model(WORK / "model")
    config = model / "config.json"
    config.write_bytes(b"\xef\xbb\xbf" + config.read_bytes())
    ended = scored(model)
    check("m34: a mark before a folder's config.json", ended.code == 0 and ended.out, ended)


def scored(model, **options):
    tokens = WORK / "tokens.jsonl"
    tokens.write_text("".join(json.dumps({"ids": [1, 5 + place, 9, 30, 2]}) + "\n" for place in range(3)))
    return run("forge", "score", "--model", model, "--tokens", tokens, "--threads", 4, **options)


def absurd_numbers():
    """Values that no machine has: refused with the line, not a crash, not a run that is meaningless."""
    for key, value in {
            "run.threads": 2**63 - 1, "run.steps": 2**62, "batch.sequences": 2**63 - 1,
            "validation.sequences": 2**63 - 1, "checkpoint.keep_last": 2**63 - 1, "spikes.window": 2**60,
            "optimizer.learning_rate": 1e308, "optimizer.weight_decay": 1e308, "optimizer.clip_norm": 1e308,
            "watchdog.minimum_seconds": 1e308, "watchdog.factor": 1e308, "optimizer.epsilon": 1e308}.items():
        ended = run("forge-dist", CONFIG, "--set", f"{key}={value}", "--set", "run.directory=" + str(WORK / "absurd"))
        refused(f"d22: {key} = {value:.4g}", ended, rf"{key} .*at most")
    ended = run("forge-dist", CONFIG, "--set", "optimizer.clip_norm=.nan")
    refused("d22: optimizer.clip_norm = .nan", ended, "clip_norm")


def texts():
    """Texts for a model, with marks and from pipes, and prompts that look like options."""
    folder = WORK / "texts"
    folder.mkdir()
    (folder / "source.txt").write_text("hi there, hello world. " * 50)
    os.chdir(WORK)
    data = harness.write_dataset(WORK / "few", harness.documents(400, 280, seed=3))
    model = WORK / "m"
    settings = harness.configuration("m", harness.QWEN3 | {"vocab_size": 280}, data, steps=2)
    ended = run("forge-dist", harness.write_configuration(WORK / "m.yaml", settings))
    check("a run directory of one letter", ended.code == 0, ended)
    run("forge", "tokenizer", "train", "--input", folder, "--output", model / "tokenizer", "--vocabulary-size", 280)
    forms = {"plain": b"hi there", "a mark": b"\xef\xbb\xbfhi there", "UTF-16": "\ufeffhi there".encode("utf-16-le"),
             "UTF-16, big-endian": "\ufeffhi there".encode("utf-16-be")}
    said = {}
    for name, text in forms.items():
        (folder / "text").write_bytes(text)
        said[name] = [run("forge", command, "--model", model, option, folder / "text", *more).out for command, option, more in [
            ("score", "--text", []), ("generate", "--prompt-file", ["--max-tokens", 3, "--greedy"])]]
        check(f"d11, m34: {name}: the same text", all(said[name]) and said[name] == said["plain"], said)
    for prompt in ["--- front matter", "---", "-=x", "--prompt", "--", "-1"]:
        ended = run("forge", "generate", "--model", model, "--prompt", prompt, "--max-tokens", 1)
        check(f"d22: the prompt {prompt!r}", ended.code == 0, ended)
    generate = ["--prompt", "x", "--max-tokens", 1]
    for place, command in [
            (".", ["export", "m", "o"]), (".", ["export", "o", "p"]), ("o", ["export", ".", "../q"]),
            (".", ["generate", "--model", "m", *generate]), ("m", ["generate", "--model", ".", *generate]),
            ("m/checkpoints/step-00000002", ["generate", "--model", ".", *generate])]:
        os.makedirs(WORK / place, exist_ok=True)  # an older build may have written nothing
        os.chdir(WORK / place)
        ended = run("forge", *command)
        check(f"a name of one letter: in {place}, forge {' '.join(map(str, command))}", ended.code == 0, ended)
    os.chdir(WORK)
    ended = run("forge", "export", "m", CONFIG)
    refused("an export in the place of a file", ended, "exists and is not a folder")
    for command in [["curve", "/dev/stdin"], ["curve", "-"]]:
        done = subprocess.run([harness.BIN / "forge", *command], input=harness.contents("m/metrics.jsonl") or b"",
                              capture_output=True)
        check(f"d20: forge {' '.join(command)}", done.returncode == 0 and b"loss" in done.stdout, done)
    for command in [["verify", "m"], ["diff", "m", "m"]]:
        ended = run("forge", "checkpoint", *command, "--threads", 2**63 - 1)
        refused(f"d22: forge checkpoint {command[0]} with absurd threads", ended, "--threads must be between 1 and")


def limits():
    """Where the system starts no further thread."""
    model = harness.write_model(WORK / "small")
    whole = scored(model)
    # Of root, processes are not counted.
    limited = ["prlimit", "--nproc=1"]
    if os.getuid() == 0:
        limited = ["setpriv", "--reuid=65534", "--clear-groups", *limited]
    ended = scored(model, prefix=limited)
    check("d22: forge score goes on with one thread, and to the same scores",
          whole.code == 0 and ended.code == 0 and ended.out == whole.out, f"{whole}\n{ended}")
    check("d22: and says nothing of OpenBLAS's threads", not ended.err, ended)
    ended = run("forge", "plan", CONFIG, "--ranks", 2, prefix=limited)
    refused("d22: forge plan, which measures ranks at the same time, says that it cannot", ended,
            "starts no further thread .*ulimit -u", code=75)
    shutil.rmtree(WORK / "run", ignore_errors=True)
    os.makedirs(WORK / "open", exist_ok=True)
    (WORK / "open").chmod(0o777)
    for threads in ["1", "5", "11"]:
        limited[-1] = f"--nproc={threads}"
        ended = run("forge-dist", CONFIG, "--set", f"run.directory={WORK}/open/run", prefix=limited)
        refused(f"d22: forge-dist, where {threads} may run", ended, "starts no further thread .*ulimit -u", code=75)


def peak_share():
    """A machine that is busy while a run begins does not make its later steps faster than is possible."""
    model = harness.QWEN3 | {"hidden_size": 512, "intermediate_size": 1408, "num_attention_heads": 8,
                             "num_key_value_heads": 4, "head_dim": 64, "vocab_size": 512}
    data = harness.write_dataset(WORK / "more", harness.documents(20000, 512, seed=2, longest=300))
    settings = harness.configuration(WORK / "busy", model, data, steps=8, sequences=4, micro_batch=2,
                                     sequence_length=128)
    settings["run"]["threads"] = max(1, min(4, os.cpu_count() or 1))
    config = harness.write_configuration(WORK / "busy.yaml", settings)
    others = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(8 * (os.cpu_count() or 1))]
    try:
        process = harness.launch("forge-dist", config)
        harness.wait_for(lambda: harness.last_step(WORK / "busy") >= 1, process, timeout=60)
    finally:
        for other in others:
            other.kill()
            other.wait()
    ended = harness.end(process, timeout=60)
    shares = [int(share) for share in re.findall(r"(\d+) % of peak", ended.err)]
    check(f"§6: {shares} % of the peak", ended.code == 0 and shares and 0 < shares[-1] <= 100, ended)


for test in (slurm_steps, marks, absurd_numbers, texts, limits, peak_share):
    test()
harness.finish()
