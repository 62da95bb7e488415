#!/usr/bin/env bash
# transformers 5.24.0, tokenizers 0.23.3: AutoTokenizer judges a tokenizer.json by its SIZE and by another file's version:
# with model_type mistral, more than 100,000 tokens and no transformers_version >= 5 in config.json, every tokenizer is
# called one "with an incorrect regex pattern", whatever its pattern; the advice then changes its ids.
#
# Expected: the pattern in tokenizer.json is looked at.
# Seen (a byte-level tokenizer that never had the pattern in question):
#   100,000 tokens                                    silent
#   100,001 tokens                                    "incorrect regex pattern … set the `fix_mistral_regex=True` flag"
#   100,001 tokens, "transformers_version": "4.57.0"  the same
#   100,001 tokens, "transformers_version": "5.0.0"   silent
#   '1234' -> [100000] as made; -> [16, 17, 18, 19] after following the advice, which replaces the pre-tokenizer
# Matters to whoever writes such a folder with another program: config.json needs a transformers_version >= 5.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet transformers==5.24.0 tokenizers==0.23.3
cat >"$work/look.py" <<'PYTHON'
import io, json, logging, sys, tempfile
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

def folder(tokens, version=None):
    vocabulary = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merged = ["12", "34", "1234"]
    while len(vocabulary) < tokens - len(merged):
        vocabulary[f"<{len(vocabulary)}>"] = len(vocabulary)
    vocabulary |= {text: len(vocabulary) + index for index, text in enumerate(merged)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("1", "2"), ("3", "4"), ("12", "34")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    path = tempfile.mkdtemp(dir=sys.argv[1])
    tokenizer.save(f"{path}/tokenizer.json")
    config = {"model_type": "mistral", "vocab_size": tokens} | ({"transformers_version": version} if version else {})
    for name, content in [("config", config), ("tokenizer_config", {"tokenizer_class": "PreTrainedTokenizerFast"})]:
        with open(f"{path}/{name}.json", "w") as file:
            json.dump(content, file)
    return path

def load(path, **settings):
    said = io.StringIO()
    handler = logging.StreamHandler(said)
    logging.getLogger("transformers").addHandler(handler)
    tokenizer = AutoTokenizer.from_pretrained(path, **settings)
    logging.getLogger("transformers").removeHandler(handler)
    return tokenizer, "incorrect regex pattern" in said.getvalue()

judged = [load(folder(*case))[1] for case in [(100_000,), (100_001,), (100_001, "4.57.0"), (100_001, "5.0.0")]]
large = folder(100_001)
ids = [load(large)[0]("1234")["input_ids"], load(large, fix_mistral_regex=True)[0]("1234")["input_ids"]]
print("called incorrect:", judged)
print("ids of '1234' as made and as advised:", ids)
assert judged == [False, True, True, False] and ids == [[100_000], [16, 17, 18, 19]], "this has changed"
PYTHON
"$work/venv/bin/python" "$work/look.py" "$work" 2>/dev/null
