"""What the end-to-end tests share: running the programs, making their data, and telling what passed.

The programs are those of the release build, or of the folder that FORGE_BIN names.
"""

import atexit
import contextlib
import hashlib
import json
import math
import os
import pathlib
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("FORGE_BIN", ROOT / ".build/release")).resolve()
ENVIRONMENT = os.environ | {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

MIXTRAL = {
    "model_type": "mixtral", "vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2,
    "router_aux_loss_coef": 0.02, "sliding_window": 20, "max_position_embeddings": 128}
QWEN3 = {
    "model_type": "qwen3", "vocab_size": 96, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 3,
    "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16, "tie_word_embeddings": True,
    "max_position_embeddings": 128}
DOTS1 = {
    "model_type": "dots1", "vocab_size": 96, "hidden_size": 32, "intermediate_size": 40, "moe_intermediate_size": 24,
    "num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "n_routed_experts": 8,
    "num_experts_per_tok": 3, "n_shared_experts": 1, "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1,
    "norm_topk_prob": True, "routed_scaling_factor": 1.5, "router_bias_update_rate": 0.01,
    "max_position_embeddings": 128}
OLMOE = {
    "model_type": "olmoe", "vocab_size": 96, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "num_experts": 4, "num_experts_per_tok": 2, "clip_qkv": 1.0,
    "router_aux_loss_coef": 0.02, "max_position_embeddings": 128}
# The original context is shorter than documents, so that queries are scaled.
MINISTRAL3 = {
    "model_type": "ministral3", "vocab_size": 96, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 3, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 128,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 16.0, "llama_4_scaling_beta": 0.2,
                        "original_max_position_embeddings": 8}}
MUON = {"name": "muon", "learning_rate": 0.01, "weight_decay": 0.1, "clip_norm": 1.0}

# Judging

passed = failed = known = 0


def check(name, ok, detail=""):
    """Counts a check and prints its line; the detail only when it failed."""
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    print(f"{'ok    ' if ok else 'FAILED'} {name}" + ("" if ok else f"\n{detail}".rstrip()), flush=True)
    return bool(ok)


def check_later(name, ok, reason):
    """A check of what is right but not built yet, with the reason: its failure is known and not counted, and its success
    fails the test, so that the mark goes when the thing is built."""
    global known
    if ok:
        return check(name, False, f"this works now: make it a plain check (it waited for: {reason})")
    known += 1
    print(f"known  {name} ({reason})", flush=True)
    return False


def finish():
    """Prints the sums and ends the test."""
    if known:
        print(f"{known} known to fail until they are built")
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def folder():
    """A new folder that goes when the test ends."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="forge-test-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


# Programs

class Ended:
    """How a program ended."""

    def __init__(self, code, out, err, seconds):
        self.code, self.out, self.err, self.seconds = code, out, err, seconds

    def __str__(self):
        return f"exit code {self.code} after {self.seconds:.1f} s\n{self.out}{self.err}"

    @property
    def weights(self):
        """The hash of the final weights that a complete run prints."""
        found = re.search(r"final weights SHA-256 ([0-9a-f]{64})", self.out + self.err)
        return found and found[1]


def run(program, *arguments, ranks=None, timeout=300):
    """Runs `forge` or `forge-dist` to its end: on so many ranks, or without mpirun."""
    return end(launch(program, *arguments, ranks=ranks), timeout)


def end(process, timeout=60):
    """Waits for the end of a program that runs; kills it when that takes too long."""
    start = time.monotonic()
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        kill(process)
        process.kill()
        out, err = process.communicate()
        err += f"(killed by the test after {timeout} s)\n"
    return Ended(process.returncode, out, err, time.monotonic() - start)


def output_bytes(program, *arguments):
    """What a program writes to standard output, which need not be text."""
    return subprocess.run([BIN / program, *map(str, arguments)], env=ENVIRONMENT, stdout=subprocess.PIPE).stdout


def launch(program, *arguments, ranks=None):
    """Starts `forge` or `forge-dist` and leaves it running."""
    mpirun = ["mpirun", "--oversubscribe", "-n", str(ranks)] if ranks else []
    return subprocess.Popen([*mpirun, BIN / program, *map(str, arguments)], env=ENVIRONMENT, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def sentences(err):
    """The lines of standard error, mpirun's own among them; blank ones do not count, nor does what libevent says inside
    mpirun when a rank's end overtakes the closing of the pipe to its standard input (seen once in thousands of runs)."""
    return [line for line in err.splitlines() if line.strip() and not line.startswith("[warn] Epoll MOD(1) on fd ")]


def contents(path):
    """A file's bytes; None when there is none, as where an older build has written nothing."""
    path = pathlib.Path(path)
    return path.read_bytes() if path.is_file() else None


def kernel_families():
    """The kernel families of this CPU that a configuration may name."""
    flags = pathlib.Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    return [family for family, flag in [("haswell", "avx2"), ("skylakex", "avx512dq")] if flag in flags]


def slow_down(process, rank, directory, stopped=0.03, running=0.01):
    """Slows a rank of a run down once its third step is done: stops and continues it by turns, until the run ends."""
    def brake():
        wait_for(lambda: last_step(directory) > 2, process)
        pid = rank_processes(process)[rank]
        with contextlib.suppress(ProcessLookupError):
            while process.poll() is None:
                for what, seconds in [(signal.SIGSTOP, stopped), (signal.SIGCONT, running)]:
                    os.kill(pid, what)
                    time.sleep(seconds)

    threading.Thread(target=brake, daemon=True).start()


def wait_for(condition, process, timeout=60):
    """Waits until a condition holds while a process runs; returns whether it came to hold."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline and process.poll() is None:
        if condition():
            return True
        time.sleep(0.01)
    return False


def rank_processes(mpirun):
    """Process ids of the ranks on this machine: the children of mpirun, oldest first."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = stat.read_text().rpartition(")")[2].split()[1]
            if int(parent) == mpirun.pid:
                found.append(int(stat.parent.name))
    return sorted(found)


def kill(mpirun, signal=9, only=None):
    """Sends a signal to every rank, or to the one that started so many places after the first."""
    ranks = rank_processes(mpirun)
    for rank in ranks if only is None else ranks[only:only + 1]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(rank, signal)


# Configurations and what a run leaves

def configuration(directory, model, train, *, steps=4, sequences=6, micro_batch=2, sequence_length=32, **sections):
    """A run's configuration; `train` is a list of (path, weight), or one path."""
    sources = train if isinstance(train, list) else [(train, 1.0)]
    return {
        "run": {"name": "test", "directory": str(directory), "seed": 1, "steps": steps, "threads": 1},
        "model": dict(model),
        "data": {"sequence_length": sequence_length,
                 "train": [{"path": str(path), "weight": weight} for path, weight in sources]},
        "batch": {"sequences": sequences, "micro_batch": micro_batch},
        "optimizer": {"name": "adamw", "learning_rate": 0.01, "betas": [0.9, 0.95], "epsilon": 1e-8,
                      "weight_decay": 0.1, "clip_norm": 1.0},
        "schedule": {"name": "cosine", "warmup_steps": 2},
        **sections}


def write_configuration(path, settings):
    """Writes settings as YAML, of which JSON is a part, a setting a line."""
    path.write_text(json.dumps(settings, indent=2) + "\n")
    return path


def metrics(directory):
    """The complete lines of a run's metrics.jsonl, in order; none before there is one."""
    path = directory / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def last_step(directory):
    """The last step of a run that is in its metrics.jsonl; 0 before the first."""
    return max((line["step"] for line in metrics(directory)), default=0)


def curve(directory):
    """What must be the same wherever a run is computed: steps, losses and norms as they are printed."""
    kept = ("step", "loss", "auxiliary_loss", "grad_norm", "learning_rate", "validation_loss")
    return [tuple((key, line[key]) for key in kept if key in line) for line in metrics(directory)]


def event_steps(directory):
    """The steps of the scalar `loss` in a run's TensorBoard files, in the order of the files' names."""
    return [step for path in sorted(directory.glob("events.out.*")) for step in _event_steps(path.read_bytes())]


def _event_steps(data):
    place, steps = 0, []
    while place + 12 <= len(data):
        length, = struct.unpack_from("<Q", data, place)
        event = _fields(data[place + 12:place + 12 + length])
        place += 16 + length
        for value in [value for number, value in event if number == 5]:
            tags = [_fields(entry) for number, entry in _fields(value) if number == 1]
            if any((1, b"loss") in tag for tag in tags):
                steps += [step for number, step in event if number == 2]
    return steps


def _fields(data):
    """The fields of a protocol buffer message: number and value."""
    def varint():
        nonlocal place
        value = shift = 0
        while True:
            byte = data[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    place, found = 0, []
    while place < len(data):
        key = varint()
        kind = key & 7
        if kind == 0:
            found.append((key >> 3, varint()))
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        found.append((key >> 3, data[place:place + size]))
        place += size
    return found


def tree_digest(path):
    """One hash over the names, kinds and contents of everything below a folder, but for what every start leaves in a run
    directory, be it refused or not: whose it was (.lock), and what each rank did last (blackbox)."""
    digest = hashlib.sha256()
    for entry in sorted(pathlib.Path(path).rglob("*")):
        if entry.name in (".lock", "blackbox") or entry.parent.name == "blackbox":
            continue
        digest.update(f"{entry.relative_to(path)} {entry.is_dir()}\n".encode())
        if entry.is_file():
            digest.update(hashlib.sha256(entry.read_bytes()).digest())
    return digest.hexdigest()


# Data

TYPES = {"int32": (4, "i"), "uint16": (8, "H"), "int64": (5, "q")}


def write_dataset(prefix, documents, dtype="int32"):
    """Writes documents (lists of token ids) as a Megatron-LM indexed dataset, PREFIX.bin and PREFIX.idx."""
    code, letter = TYPES[dtype]
    width, lengths = struct.calcsize(letter), [len(document) for document in documents]
    offsets = [width * sum(lengths[:index]) for index in range(len(lengths))]
    with open(f"{prefix}.bin", "wb") as binary:
        for document in documents:
            binary.write(struct.pack(f"<{len(document)}{letter}", *document))
    with open(f"{prefix}.idx", "wb") as index:
        count = len(documents)
        index.write(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, code, count, count + 1))
        index.write(struct.pack(f"<{count}i{count}q{count + 1}q", *lengths, *offsets, *range(count + 1)))
    return prefix


def documents(tokens, vocabulary, seed, longest=90):
    """Documents of uneven lengths in which some tokens tend to follow others, so that there is something to learn."""
    generator = random.Random(seed)
    made = []
    while tokens > 0:
        document = [generator.randrange(vocabulary)]
        for _ in range(min(tokens, generator.randrange(2, longest)) - 1):
            document.append((3 * document[-1] + generator.randrange(8)) % vocabulary)
        made.append(document)
        tokens -= len(document)
    return made


def write_model(folder, edit=lambda tensors, config: None):
    """Writes a Hugging Face folder with a random tiny llama; `edit` may change its tensors and its config.json."""
    hidden, inner, vocabulary, layers = 24, 40, 96, 2
    config = {"model_type": "llama", "vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": inner,
              "num_hidden_layers": layers, "num_attention_heads": 2, "num_key_value_heads": 1, "rms_norm_eps": 1e-5,
              "max_position_embeddings": 128, "tie_word_embeddings": False}
    shapes = {"model.embed_tokens.weight": [vocabulary, hidden], "model.norm.weight": [hidden],
              "lm_head.weight": [vocabulary, hidden]}
    for layer in range(layers):
        shapes |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in {
            "input_layernorm": [hidden], "post_attention_layernorm": [hidden],
            "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [hidden // 2, hidden],
            "self_attn.v_proj": [hidden // 2, hidden], "self_attn.o_proj": [hidden, hidden],
            "mlp.gate_proj": [inner, hidden], "mlp.up_proj": [inner, hidden], "mlp.down_proj": [hidden, inner]}.items()}
    generator = random.Random(1)
    tensors = {name: (shape, [generator.gauss(0, 0.2) for _ in range(math.prod(shape))])
               for name, shape in shapes.items()}
    edit(tensors, config)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def read_safetensors(path):
    """The header of a safetensors file by tensor name, and the bytes after it."""
    data = path.read_bytes()
    length, = struct.unpack_from("<Q", data)
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    return header, data[8 + length:]


def write_safetensors(path, tensors):
    """Writes fp32 tensors, given as name: (shape, values), to a safetensors file."""
    header, body = {}, b""
    for name, (shape, values) in tensors.items():
        data = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
