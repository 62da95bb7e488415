#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3: which file names the end token depends on a third key. special_tokens_map.json wins
# over tokenizer_config.json, unless tokenizer_config.json also has added_tokens_decoder (whatever is in it): then it wins.
#
# Expected: one order of the two files.
# Seen, eos_token </s> in tokenizer_config.json and <|end|> in special_tokens_map.json:
#   without added_tokens_decoder                   <|end|>
#   with the decoder, of </s> alone                </s>
#   a null in tokenizer_config.json                <|end|>
#   saved again by transformers                    </s> or <|end|> as it was read, in tokenizer_config.json alone
# Matters to whoever puts a token's name right in the newer file of an older folder: nothing happens, without a word.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0 tokenizers==0.23.3
cat >"$work/look.py" <<'PYTHON'
import json, os, sys, tempfile
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

def read(config):
    tokenizer = Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.add_special_tokens([AddedToken("</s>"), AddedToken("<|end|>")])
    path = tempfile.mkdtemp(dir=sys.argv[1])
    tokenizer.save(f"{path}/tokenizer.json")
    for name, content in [("tokenizer_config", {"tokenizer_class": "PreTrainedTokenizerFast"} | config),
                          ("special_tokens_map", {"eos_token": "<|end|>"})]:
        with open(f"{path}/{name}.json", "w") as file:
            json.dump(content, file)
    loaded = AutoTokenizer.from_pretrained(path)
    again = tempfile.mkdtemp(dir=sys.argv[1])
    loaded.save_pretrained(again)
    with open(f"{again}/tokenizer_config.json") as file:
        return loaded.eos_token, json.load(file)["eos_token"], os.path.exists(f"{again}/special_tokens_map.json")

decoder = {"2": {"content": "</s>", "special": True}}
seen = [read({"eos_token": "</s>"}), read({"eos_token": "</s>", "added_tokens_decoder": decoder}), read({"eos_token": None})]
for line in seen:
    print(*line)
assert seen == [("<|end|>", "<|end|>", False), ("</s>", "</s>", False), ("<|end|>", "<|end|>", False)], "this has changed"
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
