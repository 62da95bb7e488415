#!/usr/bin/env bash
# transformers 5.24.0: a Ministral3Config with the plain rotary embedding is made, saved and read again without a word, and the
# model of it is built; its first forward pass fails, because queries are scaled by two rope settings that only YaRN's have.
#
# Expected: rope_type "default" runs, as in Mistral, or the configuration is refused.
# Seen, with rope_parameters {rope_type default, rope_theta 10000}:
#   ministral3                                          TypeError: 'Tensor' and 'NoneType'
#   ministral3 with llama_4_scaling_beta 0 and
#   original_max_position_embeddings in rope_parameters runs
#   mistral                                             runs
# Matters to whoever writes such a folder: both keys have to be in rope_parameters even where nothing is scaled.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0 torch==2.15.0
cat >"$work/look.py" <<'PYTHON'
import sys, tempfile, torch
from transformers import AutoConfig, AutoModelForCausalLM, Ministral3Config, MistralConfig

def run(kind, **more):
    config = kind(vocab_size=64, hidden_size=32, intermediate_size=16, num_hidden_layers=1, num_attention_heads=4,
                  num_key_value_heads=4, head_dim=8, pad_token_id=None,
                  rope_parameters={"rope_type": "default", "rope_theta": 10000.0, **more})
    path = tempfile.mkdtemp(dir=sys.argv[1])
    config.save_pretrained(path)
    model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(path))
    try:
        return "runs" if model(torch.tensor([[1, 2, 3]])).logits.isfinite().all() else "not finite"
    except TypeError as error:
        return "TypeError: " + str(error).split(": ")[-1]

seen = [run(Ministral3Config), run(Ministral3Config, llama_4_scaling_beta=0.0, original_max_position_embeddings=64),
        run(MistralConfig)]
print(*seen, sep="\n")
assert seen == ["TypeError: 'Tensor' and 'NoneType'", "runs", "runs"], "this has changed"
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
