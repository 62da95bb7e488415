#!/usr/bin/env bash
# transformers 5.24.0: a config.json with both `rope_parameters` (the key of version 5) and `rope_scaling` (the key of
# version 4) is read by the OLD key, and the new key's rope_theta goes with the rest of it.
#
# Expected: rope_parameters, which version 5 writes and documents, decides; or the contradiction is an error.
# Seen, without a message:
#   {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1000000.0, …}, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
#   -> {'factor': 2.0, 'rope_theta': 10000.0, 'rope_type': 'linear'}          (theta is the family's default)
# A theta beside them, `"rope_theta": 500.0`, is ignored next to rope_parameters and obeyed next to rope_scaling.
# Matters to whoever edits a folder of version 5 by a recipe of version 4 ("add rope_scaling to config.json").
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0
cat >"$work/look.py" <<'PYTHON'
import json, sys, tempfile
from transformers import AutoConfig

BASE = {"model_type": "mistral", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 4096}
NEW = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024, "rope_theta": 1000000.0}
OLD = {"rope_type": "linear", "factor": 2.0}

def read(**keys):
    folder = tempfile.mkdtemp(dir=sys.argv[1])
    with open(f"{folder}/config.json", "w") as file:
        json.dump(BASE | keys, file)
    return AutoConfig.from_pretrained(folder).rope_parameters

seen = [read(rope_parameters=NEW), read(rope_parameters=NEW, rope_scaling=OLD),
        read(rope_parameters=NEW, rope_scaling=OLD, rope_theta=500.0), read(rope_parameters=NEW, rope_theta=500.0)]
for parameters in seen:
    print(dict(sorted(parameters.items())))
assert seen == [NEW, OLD | {"rope_theta": 10000.0}, OLD | {"rope_theta": 500.0}, NEW], "this has changed"
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work"
