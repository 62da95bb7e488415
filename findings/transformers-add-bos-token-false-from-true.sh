#!/usr/bin/env bash
# transformers 5.24.0: `"add_bos_token": true` in tokenizer_config.json does nothing where there is a tokenizer.json, and
# the loaded tokenizer's attribute of that name then reads False; the same word as an argument of from_pretrained works.
#
# Expected: a key that save_pretrained writes is obeyed when read back, or refused.
# Seen, for model types llama and mistral and four values of tokenizer_class:
#   from_pretrained(folder)                        'a' -> [64],      add_bos_token False
#   from_pretrained(folder, add_bos_token=True)    'a' -> [256, 64], add_bos_token True
# Matters to whoever writes tokenizer folders: only a post-processor in tokenizer.json puts `<s>` before a text.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0 tokenizers==0.23.3
cat >"$work/look.py" <<'PYTHON'
import json, sys, tempfile
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

vocabulary = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.add_special_tokens(["<s>", "</s>"])
for model_type in ["llama", "mistral"]:
    for kind in ["LlamaTokenizer", "LlamaTokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"]:
        folder = tempfile.mkdtemp(dir=sys.argv[1])
        tokenizer.save(f"{folder}/tokenizer.json")
        with open(f"{folder}/config.json", "w") as file:
            json.dump({"model_type": model_type}, file)
        with open(f"{folder}/tokenizer_config.json", "w") as file:
            json.dump({"tokenizer_class": kind, "bos_token": "<s>", "eos_token": "</s>", "add_bos_token": True}, file)
        read, told = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(folder, add_bos_token=True)
        seen = [(each("a")["input_ids"], each.add_bos_token) for each in (read, told)]
        print(model_type, kind, seen)
        assert seen == [([64], False), ([256, 64], True)], "this has changed"
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
