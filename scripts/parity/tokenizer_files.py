#!/usr/bin/env python3
"""Checks `forge tokenizer encode` against Hugging Face `tokenizers` on variants of tokenizer files.

    scripts/parity/tokenizer_files.py [--forge .build/release/forge] [--megabytes 10] [--only NAME]

Each variant (normalizers, added tokens with their flags, post-processors, patterns, ways to write the vocabulary) is
tried on text of this machine's documentation and sources and on made-up Unicode, with the added tokens strewn in:
--special-tokens must give the ids of encode(text, add_special_tokens=False); and without it, after the text of the
special tokens was taken out of the input, the ids must be the same again. At the end: every character of Unicode through
every normalizer, and between two words; and what transformers makes of a tokenizer that forge trained. Exit code 1 when
anything differs. Needs `pip install tokenizers==0.23.* transformers==5.*`.
"""

import argparse
import gzip
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from tokenizers import Regex

MODERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA, QWEN = MODERN.replace("DIGITS", r"\p{N}{1,3}"), MODERN.replace("DIGITS", r"\p{N}")
GPT2 = r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
SPECIAL = ["<s>", "</s>", "<|user|>", "<|end of turn|>"]
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def texts_of_machine(rng, size):
    """Documentation and sources that any Debian machine with Python has."""
    roots = ["/usr/share/doc", "/usr/share/perl", os.path.dirname(os.__file__), "/usr/share/i18n", "/usr/share/common-licenses"]
    found = []
    for root in map(Path, roots):
        paths, taken = sorted(root.rglob("*")) if root.is_dir() else [], 0
        rng.shuffle(paths)
        for path in paths:
            try:
                if not path.is_file() or path.stat().st_size > 400_000:
                    continue
                data = path.read_bytes()
                text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
            except (OSError, UnicodeDecodeError, EOFError):
                continue
            found.append(text)
            taken += len(text)
            if taken > size // 3:
                break
    rng.shuffle(found)
    return "\n".join(found)


def made_up(rng, size):
    """Text of all scripts: letters with marks, white space of every kind, contractions, any scalar."""
    scalars = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    groups = [[c for c in scalars if low <= c < high] for low, high in [
        (0, 0x80), (0x80, 0x250), (0x250, 0x900), (0x900, 0x1100), (0x1100, 0x1200), (0x1200, 0x3000),
        (0x3000, 0xA000), (0xA000, 0xD800), (0xF900, 0x10000), (0x10000, 0x20000), (0x20000, 0x40000), (0x40000, 0x110000)]]
    marks = [0x300, 0x301, 0x308, 0x323, 0x327, 0x338, 0x345, 0x5B0, 0x64B, 0x93C, 0x1161, 0x11A8, 0x3099, 0x1DF6, 0x898]
    spaces = " \t\n\r\v\f\x85\xa0\u1680\u2003\u2028\u3000\u200b\ufeff"
    pieces, length = [], 0
    while length < size:
        kind = rng.randrange(6)
        if kind == 0:
            piece = "".join(map(chr, rng.choices(rng.choice(groups), k=200)))
        elif kind == 1:
            piece = "".join(chr(rng.choice(scalars[0x41:0x3400])) + "".join(map(chr, rng.choices(marks, k=rng.randrange(4))))
                            for _ in range(100))
        elif kind == 2:
            piece = "".join(rng.choices(spaces + "   \n\n", k=rng.randrange(1, 40)))
        elif kind == 3:
            piece = rng.choice(["'s", "'T", "'re", "'VE", "don't", "it'ſ", "12345", "١٢٣٤", "ǅ", "İI", "ΣΑΣ", "ﬁ"])
        else:
            piece = " ".join(rng.choice(["the", "THE", "café", "cafe\u0301", "Straße", "x", "##", "return", "=", "1"])
                             for _ in range(rng.randrange(1, 60)))
        pieces.append(piece)
        length += len(piece.encode())
    return "".join(pieces)


def strewn(rng, text, words):
    """`text` with words put between, at word ends and within words."""
    pieces, start = [], 0
    while start < len(text):
        end = start + rng.randrange(1, 1500)
        pieces.append(text[start:end])
        word = rng.choice(words)
        pieces.append(rng.choice(["{}", " {} ", "\n{}\n", "{}{}", "  {}", "{}\t ", "a{}", "{}b", ".{}."]).replace("{}", word))
        start = end
    return "".join(pieces)


def added(content, id, **flags):
    token = {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": False}
    return token | flags


class Variants:
    """Edits of one trained tokenizer file, by name."""

    def __init__(self, base):
        self.base, self.size = base, len(base["model"]["vocab"])

    def new(self, **parts):
        file = json.loads(json.dumps(self.base))
        model = parts.pop("model", {})
        file.update(parts)
        file["model"].update(model)
        return file

    def with_tokens(self, *tokens, **parts):
        """Adds (content, flags): those that the vocabulary has with their ids, the others behind it."""
        more, next_id = [], itertools.count(self.size)
        for content, flags in tokens:
            id = self.base["model"]["vocab"].get(content)
            more.append(added(content, next(next_id) if id is None else id, **flags))
        return self.new(added_tokens=self.base["added_tokens"] + more, **parts)

    def split(self, expression, behavior="Isolated", invert=False):
        step = {"type": "Split", "pattern": {"Regex": expression}, "behavior": behavior, "invert": invert}
        return {"type": "Sequence", "pretokenizers": [step, BYTE_LEVEL]}

    def template(self, single):
        pieces = {"<s>": {"SpecialToken": {"id": "<s>", "type_id": 0}}, "A": {"Sequence": {"id": "A", "type_id": 0}},
                  "</s>": {"SpecialToken": {"id": "</s>", "type_id": 0}}}
        tokens = {name: {"id": name, "ids": [SPECIAL.index(name)], "tokens": [name]} for name in SPECIAL[:2]}
        pair = [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}]
        return {"type": "TemplateProcessing", "single": [pieces[name] for name in single], "pair": pair,
                "special_tokens": tokens}

    def without(self, *symbols):
        """The model without the tokens that have these characters."""
        old = self.base["model"]
        keep = lambda text: not any(symbol in text for symbol in symbols)
        vocab = {token: id for token, id in old["vocab"].items() if keep(token)}
        vocab = {token: index for index, token in enumerate(sorted(vocab, key=vocab.get))}
        merges = [merge for merge in old["merges"] if keep("".join(merge))]
        return {"vocab": vocab, "merges": merges}

    def all(self):
        sequence = lambda *steps: {"type": "Sequence", "normalizers": list(steps)}
        nfc, nfd, nfkc, nfkd, lower = ({"type": name} for name in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase"])
        strip = lambda left, right: {"type": "Strip", "strip_left": left, "strip_right": right}
        replace = lambda old, new: {"type": "Replace", "pattern": {"String": old}, "content": new}
        prepend = {"type": "Prepend", "prepend": "▁"}
        words = [("café", {"normalized": True}), ("return", {}), ("Straße", {"normalized": True}), ("x<|", {"normalized": True})]
        yield "llama pattern", self.new()
        yield "qwen pattern", self.new(pre_tokenizer=self.split(QWEN))
        yield "gpt-2 pattern", self.new(pre_tokenizer=BYTE_LEVEL | {"use_regex": True})
        yield "gpt-2 pattern as tiktoken spells it, removed inverted", self.new(
            pre_tokenizer=self.split(GPT2, "Removed", True))
        yield "merges as strings", self.new(model={"merges": [" ".join(m) for m in self.base["model"]["merges"]]})
        yield "no merges", self.new(model={"merges": []})
        yield "NFC", self.new(normalizer=nfc)
        yield "NFD", self.new(normalizer=nfd)
        yield "NFKC", self.new(normalizer=nfkc)
        yield "NFKD", self.new(normalizer=nfkd)
        yield "Lowercase", self.new(normalizer=lower)
        yield "NFD, StripAccents, Lowercase", self.new(normalizer=sequence(nfd, {"type": "StripAccents"}, lower))
        yield "Strip", self.new(normalizer=strip(True, True))
        yield "Strip on the left", self.new(normalizer=sequence(strip(True, False), nfkc))
        yield "Strip on the right", self.new(normalizer=strip(False, True))
        yield "Prepend", self.new(normalizer=prepend)
        yield "Replace", self.new(normalizer=replace(" ", "▁"))
        yield "Prepend, Replace, Replace, NFC", self.new(
            normalizer=sequence(prepend, replace(" ", "▁"), replace("''", '"'), nfc))
        yield "added words, some normalized, NFC", self.with_tokens(*words, normalizer=nfc)
        yield "added words, some normalized, NFD and Lowercase", self.with_tokens(*words, normalizer=sequence(nfd, lower))
        yield "added words, some normalized, Prepend", self.with_tokens(*words, normalizer=prepend)
        yield "runs of spaces as added tokens, NFC", self.with_tokens(
            *((" " * count, {"normalized": True}) for count in range(2, 25)), normalizer=nfc)
        yield "single_word", self.with_tokens(
            ("the", {"single_word": True}), ("<|x|>", {"single_word": True, "special": True}), ("é", {"single_word": True}))
        yield "lstrip", self.with_tokens(("<mask>", {"lstrip": True, "special": True}), ("=", {"lstrip": True}))
        yield "rstrip", self.with_tokens(("<mask>", {"rstrip": True, "special": True}), ("=", {"rstrip": True}))
        yield "lstrip and rstrip, side by side, with single_word, normalized", self.with_tokens(
            ("<mask>", {"lstrip": True, "rstrip": True, "special": True, "normalized": True}),
            ("the", {"lstrip": True, "rstrip": True, "single_word": True, "normalized": True}),
            ("  ", {"normalized": True}), ("\n\n", {}), normalizer=lower)
        yield "tokens that begin and contain one another", self.with_tokens(
            *((text, {}) for text in ["##", "###", "####", "# #", "return", "returns", "turn", "</", "s>"]))
        yield "special tokens that are normalized", self.with_tokens(
            ("[CAFÉ]", {"special": True, "normalized": True}), ("[Sep]", {"special": True, "normalized": True}),
            normalizer=sequence(nfd, lower))
        vocab = self.base["model"]["vocab"]
        whole = {token: self.size + index for index, token in enumerate(["Ġdocumentation", "ĠCAFÃī", "â", "ĠÂ"])
                 if token not in vocab}
        whole = {token: self.size + index for index, token in enumerate(whole)}
        yield "ignore_merges", self.new(model={"ignore_merges": True, "vocab": vocab | whole})
        yield "ignore_merges, names outside the alphabet", self.new(
            model={"ignore_merges": True, "vocab": vocab | {"“": self.size, "é́": self.size + 1, "人": self.size + 2}})
        yield "byte_fallback that is never needed", self.new(model={"byte_fallback": True})
        unknown = {"unk_token": "?"}
        yield "bytes that are unknown", self.new(model=self.without("Ķ", "Ġ=", "Ċ", "ĥ") | unknown)
        yield "bytes that are unknown and fuse", self.new(
            model=self.without("Ķ", "¸", "Ċ", "ĥ", "ł", "Į") | unknown | {"fuse_unk": True})
        yield "begin in a template", self.new(post_processor=self.template(["<s>", "A"]))
        yield "begin and end in a template in a sequence", self.new(post_processor={
            "type": "Sequence", "processors": [BYTE_LEVEL, self.template(["<s>", "A", "</s>"])]})
        yield "RobertaProcessing", self.new(post_processor={
            "type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True,
            "add_prefix_space": False})
        yield "BertProcessing", self.new(post_processor={"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]})
        word = next(token for token in vocab if len(token) == 3 and token.isascii() and token.isalpha())
        yield "a special token that is a word of the vocabulary", self.new(
            added_tokens=self.base["added_tokens"] + [added(word, vocab[word], special=True)])


class Checker:
    def __init__(self, forge, folder):
        self.forge, self.folder, self.failed, self.passed = forge, folder, 0, 0

    def report(self, name, ok, detail=""):
        self.failed, self.passed = self.failed + (not ok), self.passed + bool(ok)
        print(f"{'ok    ' if ok else 'FAILED'} {name}{': ' + detail if detail else ''}", flush=True)

    def encode(self, tokenizer, paths, *options):
        ended = subprocess.run([self.forge, "tokenizer", "encode", "--tokenizer", tokenizer, *options, "--input", *paths],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if ended.returncode:
            return ended.stderr
        return [json.loads(line)["ids"] for line in ended.stdout.splitlines()]

    def compare(self, name, tokenizer, reference, texts, *options):
        paths = [self.folder / f"{index:04}.txt" for index in range(len(texts))]
        for path, text in zip(paths, texts):
            path.write_bytes(text.encode())
        ours = self.encode(tokenizer, paths, *options)
        theirs = [encoding.ids for encoding in reference.encode_batch(texts, add_special_tokens=False)]
        detail = f"{sum(map(len, theirs))} ids"
        if isinstance(ours, str):
            self.report(name, False, ours)
            return
        for text, left, right in zip(texts, ours, theirs, strict=True):
            if left != right:
                place = next((i for i, pair in enumerate(itertools.zip_longest(left, right)) if pair[0] != pair[1]))
                start = max(0, place - 3)
                detail = (f"ours {left[start:place + 5]} theirs {right[start:place + 5]}, "
                          f"which is {reference.decode(right[start:place + 5], skip_special_tokens=False)!r}")
                break
        self.report(name, ours == theirs, detail)

    def variant(self, name, file, texts):
        folder = self.folder / "tokenizer"
        folder.mkdir(exist_ok=True)
        (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False))
        reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
        start = time.time()
        self.compare(f"{name}: with special tokens", folder, reference, texts, "--special-tokens")
        special = {token["id"] for token in file["added_tokens"] if token["special"]}
        cleaned = [taken_out(reference, text, special) for text in texts]
        self.compare(f"{name}: without ({time.time() - start:.0f} s)", folder, reference, cleaned)


def taken_out(reference, text, special):
    """`text` without what becomes special tokens."""
    while True:
        encoding = reference.encode(text, add_special_tokens=False)
        spans = [offsets for id, offsets in zip(encoding.ids, encoding.offsets) if id in special]
        if not spans:
            return text
        kept, start = [], 0
        for first, last in spans:
            kept.append(text[start:first])
            start = max(start, last)
        text = "".join(kept) + text[start:]


def characters(checker, variants):
    """Every scalar by itself through every normalizer, and beside a token that stands alone."""
    scalars = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    folder = checker.folder / "tokenizer"
    path = checker.folder / "characters.txt"
    for name, normalizer, text in [
        *((form, {"type": form}, "{}") for form in ["NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents"]),
        ("marks in order", {"type": "NFD"}, "a\u0301{}\u0323\u0334"), ("marks composed", {"type": "NFC"}, "q{}\u0301\u0323"),
        ("white space", {"type": "Strip", "strip_left": True, "strip_right": True}, "{}x{}"),
    ]:  # fmt: skip
        file = variants.new(normalizer=normalizer)
        (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False))
        reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
        lines = [text.replace("{}", scalar) for scalar in scalars if scalar not in "\r\n"]
        path.write_bytes("\n".join(lines).encode())
        ours = checker.encode(folder, [path], "--lines")
        theirs = [encoding.ids for encoding in reference.encode_batch(lines, add_special_tokens=False)]
        wrong = [f"U+{ord(scalar):04X}" for scalar, left, right in zip((s for s in scalars if s not in "\r\n"), ours, theirs)
                 if left != right]
        checker.report(f"every character: {name}", not wrong and len(ours) == len(theirs), " ".join(wrong[:20]))
    for name, flags in [("single_word", {"single_word": True}), ("lstrip and rstrip", {"lstrip": True, "rstrip": True})]:
        file = variants.with_tokens(("#@#", flags))
        (folder / "tokenizer.json").write_text(json.dumps(file, ensure_ascii=False))
        reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
        for text in ["{}#@#", "#@#{}", " {} #@# {} "]:
            lines = [text.replace("{}", scalar) for scalar in scalars if scalar not in "\r\n"]
            path.write_bytes("\n".join(lines).encode())
            ours = checker.encode(folder, [path], "--lines")
            theirs = [encoding.ids for encoding in reference.encode_batch(lines, add_special_tokens=False)]
            wrong = [f"U+{ord(s):04X}" for s, left, right in zip((s for s in scalars if s not in "\r\n"), ours, theirs)
                     if left != right]
            checker.report(f"every character beside a token with {name}, {text}", not wrong, " ".join(wrong[:20]))


def transformers(checker, text):
    """A text and a chat that transformers encodes with a tokenizer that forge trained begin with one <s>."""
    from transformers import AutoTokenizer

    path, folder = checker.folder / "corpus.txt", checker.folder / "trained"
    path.write_text(text)
    subprocess.run([checker.forge, "tokenizer", "train", "--input", path, "--output", folder, "--vocabulary-size", "600"],
                   check=True, stdout=subprocess.DEVNULL)
    for backend in [AutoTokenizer.from_pretrained(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))]:
        ids = backend.encode("Some text.")
        ids, kind = getattr(ids, "ids", ids), type(backend).__name__
        checker.report(f"{kind}: a text begins with one <s>", ids[0] == 1 and ids.count(1) == 1 and 2 not in ids, str(ids))
    loaded = AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}, {"role": "user", "content": "Oh"}]
    rendered = loaded.apply_chat_template(turns, tokenize=False)
    ids = loaded.encode(rendered, add_special_tokens=False)
    direct = loaded.apply_chat_template(turns, return_dict=False)
    checker.report("transformers: a chat begins with one <s>", ids[0] == 1 and ids.count(1) == 1 and direct == ids, str(ids))
    (checker.folder / "some.txt").write_text("Some text.")
    ours = checker.encode(folder, [checker.folder / "some.txt"], "--begin-of-sequence")
    checker.report("transformers: a text has the ids of --begin-of-sequence", ours == [loaded.encode("Some text.")])
    again = checker.folder / "saved"
    loaded.save_pretrained(again)
    ours = checker.encode(again, [checker.folder / "some.txt"], "--begin-of-sequence")
    checker.report("transformers: saved and read back", ours == [AutoTokenizer.from_pretrained(again).encode("Some text.")],
                   str(ours))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--forge", default=".build/release/forge", type=Path)
    parser.add_argument("--megabytes", default=10, type=float)
    parser.add_argument("--only", help="only this variant; or only 'variants', 'characters' or 'transformers'")
    arguments = parser.parse_args()
    rng, size = random.Random(1), int(arguments.megabytes * 1e6)
    machine = texts_of_machine(rng, size).encode()[: size * 3 // 4].decode(errors="ignore")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(LLAMA), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = trainers.BpeTrainer(vocab_size=2000, special_tokens=SPECIAL, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([machine[:2_000_000]], trainer)
    variants = Variants(json.loads(tokenizer.to_str()))
    words = [*SPECIAL, "<mask>", "the", "<|x|>", "###", "return", "café", "cafe\u0301", "CAFÉ", "[CAFÉ]", "[cafe\u0301]",
             "[SEP]", "x<|", "x<|user|>", "=", "  ", "\n\n", "documentation", "</s", "s>", "é", "“", "人"]
    text = strewn(rng, machine + made_up(rng, size // 4), words)
    texts = [text[start : start + 200_000] for start in range(0, len(text), 200_000)]
    total = sum(len(text.encode()) for text in texts)
    with tempfile.TemporaryDirectory() as folder:
        checker = Checker(arguments.forge.resolve(), Path(folder))
        (checker.folder / "tokenizer").mkdir()
        chosen = [(name, file) for name, file in variants.all() if arguments.only in (None, "variants", name)]
        print(f"{len(chosen)} variants on {total / 1e6:.1f} MB each", flush=True)
        for name, file in chosen:
            checker.variant(name, file, texts)
        if arguments.only in (None, "characters"):
            characters(checker, variants)
        if arguments.only in (None, "transformers"):
            transformers(checker, machine[:300_000])
        print(f"{checker.passed} passed, {checker.failed} failed")
        sys.exit(1 if checker.failed else 0)


if __name__ == "__main__":
    main()
