#!/usr/bin/env bash
# transformers 5.24.0: the same config.json is two models. With model_type mistral and a layer_types list, AutoConfig makes a
# ministral of it (each layer its own kind of attention), and saves it as one; MistralConfig keeps a mistral, whose sliding
# window counts in every layer, and carries layer_types along unread.
#
# Expected: model_type alone names the architecture, as for every other family.
# Seen with sliding_window 8 and layer_types [full_attention, full_attention]:
#   AutoConfig     MinistralConfig, saved with model_type ministral: no layer has a window
#   MistralConfig  MistralConfig, saved with model_type mistral and the layer_types: every layer has the window
#   llama with the same list stays llama by either way
# Matters to whoever reads such a folder with another program: the list changes the computation, although the model that
# model_type names has no such setting. Only an info line, which is not shown by default, speaks of it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0
cat >"$work/look.py" <<'PYTHON'
import json, sys, tempfile
from transformers import AutoConfig, LlamaConfig, MistralConfig

def read(kind, way):
    path = tempfile.mkdtemp(dir=sys.argv[1])
    with open(f"{path}/config.json", "w") as file:
        json.dump({"model_type": kind, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 2,
                   "num_key_value_heads": 1, "intermediate_size": 64, "vocab_size": 100, "sliding_window": 8,
                   "layer_types": ["full_attention", "full_attention"]}, file)
    config = way.from_pretrained(path)
    config.save_pretrained(path)
    with open(f"{path}/config.json") as file:
        saved = json.load(file)
    return type(config).__name__, saved["model_type"], saved.get("layer_types")

full = ["full_attention"] * 2
seen = [read("mistral", AutoConfig), read("mistral", MistralConfig), read("llama", AutoConfig), read("llama", LlamaConfig)]
for line in seen:
    print(*line)
assert seen == [("MinistralConfig", "ministral", full), ("MistralConfig", "mistral", full),
                ("LlamaConfig", "llama", full), ("LlamaConfig", "llama", full)], "this has changed"
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
