#!/usr/bin/env python3
"""Tokenizer files made by others: which tokens begin, end and control, what becomes of text that spells them, and what is
refused. Every expected id is worked out here: most of these tokenizers have no merges, so a byte is a token."""

import array
import json
import os
import struct
import subprocess
import unicodedata

import harness

WORK = harness.folder()
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
FIRST_BYTE = 4  # the id of byte 0; before it is room for other tokens


def symbols():
    """The character that stands for each byte (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(others)}


SYMBOLS = symbols()


def spell(text):
    return "".join(SYMBOLS[byte] for byte in text.encode())


def ids(text):
    """The ids of a text in a tokenizer without merges."""
    return [FIRST_BYTE + byte for byte in text.encode()]


def token(content, id, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": False} | flags


def tokenizer_file(first=(), merges=(), lacking=(), added=(), normalizer=None, post_processor=None, **model):
    """A tokenizer.json: the tokens `first` have the ids from 0, then come the bytes, then what the merges make."""
    vocab = {name: id for id, name in enumerate([*first, *(f"nothing {id}" for id in range(len(first), FIRST_BYTE))])}
    vocab |= {SYMBOLS[byte]: FIRST_BYTE + byte for byte in range(256) if byte not in lacking}
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    split = {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": list(added), "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, BYTE_LEVEL]}, "post_processor": post_processor,
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": [list(merge) for merge in merges]} | model}


count = 0


def write(file, config=None, tokens_map=None, mark=b"", added=None):
    """Writes a tokenizer's folder; a file may be given as text."""
    global count
    count += 1
    folder = WORK / f"tokenizer-{count}"
    folder.mkdir()
    for name, content in [("tokenizer.json", file), ("tokenizer_config.json", config), ("special_tokens_map.json", tokens_map),
                          ("added_tokens.json", added)]:
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            (folder / name).write_bytes(mark + text.encode())
    return folder


def encode(folder, text, *options):
    """The ids of a text, or how the command ended."""
    path = WORK / "text.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    ended = harness.run("forge", "tokenizer", "encode", "--tokenizer", folder, "--input", path, *options)
    return json.loads(ended.out)["ids"] if ended.code == 0 else ended


def prepare(folder, *texts):
    """What `data prepare` makes of documents: their ids in the order of their names, or how it ended; and how it ended."""
    global count
    count += 1
    documents, data = WORK / f"documents-{count}", WORK / f"data-{count}"
    documents.mkdir()
    for index, text in enumerate(texts):
        (documents / f"{index}.txt").write_bytes(text.encode())
    ended = harness.run("forge", "data", "prepare", "--input", documents, "--output", data, "--tokenizer", folder,
                        "--held-out", 0)
    if ended.code != 0:
        return ended, ended
    index = (data / "train.idx").read_bytes()
    documents_count, = struct.unpack_from("<Q", index, 18)
    lengths = struct.unpack_from(f"<{documents_count}i", index, 34)
    stored = array.array("H", (data / "train.bin").read_bytes()).tolist()
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    return [stored[start:start + length] for start, length in zip(starts, lengths)], ended


def equal(name, actual, expected):
    harness.check(name, actual == expected, f"expected {expected}\ngot {actual}")


def refused(name, ended, *words):
    """Checks for exit code 64 and one sentence with these words."""
    if not isinstance(ended, harness.Ended):
        return harness.check(name, False, f"was not refused: {ended}")
    said = harness.sentences(ended.err)
    ok = ended.code == 64 and len(said) == 1 and said[0].startswith("forge: ") and all(str(word) in said[0] for word in words)
    harness.check(name, ok, f"expected exit code 64 and one sentence with {words}\n{ended}")


def template(single, specials):
    pieces = [{"Sequence": {"id": "A", "type_id": 0}} if name == "A" else {"SpecialToken": {"id": name, "type_id": 0}}
              for name in single]
    return {"type": "TemplateProcessing", "single": pieces, "pair": pieces,
            "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in specials.items()}}


def named_tokens():
    names = ["<s>", "</s>", "<|x|>"]
    both = [token("<s>", 0, special=True), token("</s>", 1, special=True)]
    vocabulary = tokenizer_file(names)
    texts, plain = ["First.\n", "Second </s> text.\n"], [ids("First.\n"), ids("Second </s> text.\n")]
    end, both_ends = [row + [1] for row in plain], [[0, *row, 1] for row in plain]
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
    around = template(["<s>", "A", "</s>"], {"<s>": 0, "</s>": 1})
    eos, bos = {"eos_token": "</s>"}, {"bos_token": "<s>", "eos_token": "</s>"}
    for name, folder, expected in [
        ("in the vocabulary only", write(vocabulary, eos), end),
        ("added, not special", write(tokenizer_file(names, added=[token("</s>", 1)]), eos), end),
        ("added, not special, normalized", write(tokenizer_file(names, added=[token("</s>", 1, normalized=True)]), eos), end),
        ("as an object", write(vocabulary, {"eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False}}), end),
        ("in special_tokens_map.json", write(vocabulary, {"bos_token": None}, bos), both_ends),
        ("in special_tokens_map.json alone", write(vocabulary, None, {"eos_token": {"content": "</s>"}}), end),
        ("by a template", write(tokenizer_file(names, added=both, post_processor=around)), both_ends),
        ("by a template in a sequence beside a silent configuration", write(
            tokenizer_file(names, post_processor={"type": "Sequence", "processors": [BYTE_LEVEL, around]}),
            {"model_max_length": 8}), both_ends),
        ("by RobertaProcessing", write(tokenizer_file(names, post_processor=roberta)), both_ends),
        ("by BertProcessing", write(tokenizer_file(
            names, post_processor={"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]})), both_ends),
        ("with add_bos_token false", write(tokenizer_file(names, added=both), bos | {"add_bos_token": False}), end),
        ("with add_bos_token true", write(tokenizer_file(names, added=both), bos | {"add_bos_token": True}), both_ends),
        ("by the map beside an older configuration", write(vocabulary, {"eos_token": "<|x|>"}, eos), end),
        ("not by a map that says null", write(tokenizer_file(names, post_processor=around), {"eos_token": "<|x|>"}, {"eos_token": None}),
         both_ends),
        ("by a configuration of transformers 5 beside the map", write(
            vocabulary, eos | {"added_tokens_decoder": {"1": {"content": "</s>"}}}, {"eos_token": "<|x|>"}), end),
        ("beside numbers that only Python reads", write(
            vocabulary, '{"eos_token": "</s>", "x": NaN, "y": [-Infinity, Infinity, 1e400]}'), end),
        ("by added_tokens_decoder alone", write(vocabulary, {"eos_token": "<end>", "added_tokens_decoder": {
            "261": {"content": "<end>", "special": True}, "260": {"content": "<pad>"}}}), [row + [261] for row in plain]),
        ("by added_tokens.json alone", write(vocabulary, {"eos_token": "<end>"}, added={"<end>": 260}), [row + [260] for row in plain]),
        ("behind a byte order mark", write(vocabulary, bos, mark=b"\xef\xbb\xbf"), both_ends),
    ]:  # fmt: skip
        documents, ended = prepare(folder, *texts)
        equal(f"documents have the tokens that are named {name}", documents, expected)
        harness.check(f"nothing is said of tokens that are named {name}", "end-of-document" not in ended.out + ended.err, ended)
    for name, file, config in [
        ("no files but tokenizer.json", tokenizer_file(names[2:]), None), ("a silent configuration", vocabulary, {}),
        ("ByteLevel as post-processor", tokenizer_file(names, post_processor=BYTE_LEVEL), {"bos_token": "<s>"}),
    ]:  # fmt: skip
        documents, ended = prepare(write(file, config), "First.\n")
        said = [line for line in (ended.out + ended.err).splitlines() if "end-of-document" in line]
        harness.check(f"no end of document is named ({name}): said in one line", ended.code == 0 and len(said) == 1, ended)
    for name, folder, *words in [
        ("tokenizer_config.json", write(vocabulary, {"eos_token": "<|im_end|>"}), "<|im_end|>", "tokenizer_config.json"),
        ("tokenizer_config.json, to begin", write(vocabulary, eos | {"bos_token": "<bos>"}), "<bos>", "bos_token"),
        ("special_tokens_map.json", write(vocabulary, {}, {"eos_token": "<|im_end|>"}), "<|im_end|>", "special_tokens_map"),
        ("added_tokens_decoder with an id that it would not get", write(vocabulary, {
            "eos_token": "<end>", "added_tokens_decoder": {"300": {"content": "<end>"}}}), "<end>", 300, 260),
        ("a template", write(tokenizer_file(names, post_processor=template(["A", "<e>"], {"<e>": 9000}))), "<e>", 9000),
        ("RobertaProcessing", write(tokenizer_file(names, post_processor=roberta | {"sep": ["</s>", 7]})), "</s>", 7),
    ]:  # fmt: skip
        refused(f"a token named by {name} that does not exist", prepare(folder, "x")[0], *words)


def never_from_text():
    """The letters of the tokens around documents are text, however the tokenizer could make these tokens of them."""
    merges = [("#", "#"), ("##", "#"), ("#", "=")]
    merged = {name: FIRST_BYTE + 256 + place for place, name in enumerate(["##", "###", "#="])}
    end = {"eos_token": "###"}
    made = tokenizer_file(merges=merges)
    text = "one ### two ####\n"
    for name, file in [
        ("by merges", made),
        ("as a whole word", made | {"model": made["model"] | {"ignore_merges": True}}),
        ("added, special", made | {"added_tokens": [token("###", merged["###"], special=True)]}),
        ("added, not special, normalized", made | {"added_tokens": [token("###", merged["###"], normalized=True)],
                                                   "normalizer": {"type": "NFC"}}),
    ]:  # fmt: skip
        folder = write(file, end)
        documents, ended = prepare(folder, text)
        if not harness.check(f"a document that spells its end, made {name}, is prepared", ended.code == 0, ended):
            continue
        document = documents[0]
        path = WORK / "ids.jsonl"
        path.write_text(json.dumps({"ids": document[:-1]}))
        decoded = harness.output_bytes("forge", "tokenizer", "decode", "--tokenizer", folder, "--input", path)
        harness.check(f"no end of document within one, made {name}",
                      document.count(merged["###"]) == 1 and document[-1] == merged["###"] and decoded == text.encode(),
                      f"{document} is {decoded}")
    equal("--special-tokens reads the merged token as tokenizers does", encode(write(made, end), "###", "--special-tokens"),
          [merged["###"]])
    equal("the beginning is kept out of text that does not begin with it",
          encode(write(made, {"bos_token": "##", "eos_token": "###", "add_bos_token": False}), "##"), ids("##"))
    single = write(tokenizer_file(merges=[("!", "!")]), {"eos_token": "!"})
    refused("a document that can only be written with its end", prepare(single, "fine\n", "so\nwhat!\n")[0], "1.txt", "line 2", "'!'")
    equal("another way is found where there is one", encode(single, "a!!"), [*ids("a"), FIRST_BYTE + 256])


    special = {"added": [token("<", FIRST_BYTE + 60, special=True)]}
    lone = write(tokenizer_file(**special), {"eos_token": "!"})
    refused("a byte that only a special token can write", prepare(lone, "fine\n", "so\na < b\n")[0], "1.txt", "line 2", "'<'", "special")
    equal("with --special-tokens it is that token", encode(lone, "a<b", "--special-tokens"), ids("a<b"))
    equal("a merge is another way to write it", encode(write(tokenizer_file(merges=[("<", "b")], **special)), "a<b"),
          [*ids("a"), FIRST_BYTE + 256])
    unknown = tokenizer_file(["<unk>"], lacking=[0xFF], added=[token("<unk>", 0, special=True)], unk_token="<unk>")
    equal("the unknown token stands for text although it is special", encode(write(unknown), b"a\xff"), [*ids("a"), 0])


def added_tokens():
    composed, decomposed = "caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")
    nfc = {"type": "NFC"}
    first = FIRST_BYTE + 256
    words = write(tokenizer_file(
        ["<|end|>"], added=[token("<|end|>", 0, special=True), token(composed, first, normalized=True),
                            token("x<|", first + 1, normalized=True)], normalizer=nfc), {"eos_token": "<|end|>"})
    equal("a normalized token is found in normalized text", encode(words, f"un {decomposed} noir"), [*ids("un "), first, *ids(" noir")])
    equal("tokens of the text as it is are found first", encode(words, "a x<|end|> b", "--special-tokens"),
          [*ids("a x"), 0, *ids(" b")])
    equal("and without them the others", encode(words, "a x<|end|> b"), [*ids("a "), first + 1, *ids("end|> b")])
    raw = write(tokenizer_file(added=[token(composed, first)], normalizer=nfc))
    equal("a token that is not normalized is not found in other letters", encode(raw, decomposed), ids(composed))
    for name, flags, text, expected in [
        ("single_word", {"single_word": True}, "ab abc .ab\u0301 ab", [first, *ids(" abc .ab\u0301 "), first]),
        ("lstrip", {"lstrip": True}, "x \n\u3000ab ab", [*ids("x"), first, first]),
        ("rstrip", {"rstrip": True}, "x ab \n\u3000ab y", [*ids("x "), first, first, *ids("y")]),
        ("both", {"lstrip": True, "rstrip": True}, "x ab  y", [*ids("x"), first, *ids("y")]),
        ("all", {"lstrip": True, "rstrip": True, "single_word": True, "special": True}, "x ab  abc", [*ids("x"), first, *ids("abc")]),
    ]:  # fmt: skip
        folder = write(tokenizer_file(added=[token("ab", first, **flags)]))
        equal(f"an added token with {name}", encode(folder, text, "--special-tokens"), expected)
    cuts = write(tokenizer_file(added=[token("ab", first, lstrip=True)]))
    # Longer than the pieces that threads share, with a place to cut before each token.
    long = encode(cuts, "x\nab" * 300_000, "--threads", "2")
    equal("white space is taken in across the pieces of a long text", long, [*ids("x"), first] * 300_000)


def normalizers():
    for name, normalizer, text, expected in [
        ("NFD", {"type": "NFD"}, "\u00e9", "e\u0301"), ("NFKC", {"type": "NFKC"}, "\ufb01\u00a0\u0f77\u3099", "fi \u0fb2\u3099\u0f71\u0f80"),
        ("NFKD", {"type": "NFKD"}, "\u1e9b\u0323", "s\u0323\u0307"), ("Lowercase", {"type": "Lowercase"}, "ΑΣ İ", "ας i̇".replace("ς", "σ")),
        ("Strip", {"type": "Strip", "strip_left": True, "strip_right": False}, " \u3000 a ", "a "),
        ("StripAccents", {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}]}, "é", "e"),
        ("Prepend", {"type": "Prepend", "prepend": "▁"}, "a b", "▁a b"),
        ("Replace", {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}, " a b", "▁a▁b"),
        ("a character newer than the tables of tokenizers", {"type": "NFD"}, "a\u0898\u0323", "a\u0898\u0323"),
    ]:  # fmt: skip
        equal(f"normalizer: {name}", encode(write(tokenizer_file(normalizer=normalizer)), text), ids(expected))
    invalid = b"e\xcc\x81 \xff e\xcc\x81"
    equal("normalizer: a stray byte does not switch it off", encode(write(tokenizer_file(normalizer={"type": "NFC"})), invalid),
          [FIRST_BYTE + byte for byte in b"\xc3\xa9 \xff \xc3\xa9"])
    for normalizer in [{"type": "Precompiled", "precompiled_charsmap": ""}, {"type": "BertNormalizer"}, {"type": "ByteLevel"},
                       {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Nmt"}]}]:
        name = normalizer.get("normalizers", [normalizer])[-1]["type"]
        refused(f"normalizer: {name} is refused by name", encode(write(tokenizer_file(normalizer=normalizer)), "x"), name)
    refused("normalizer: a regular expression to replace", encode(write(tokenizer_file(
        normalizer={"type": "Replace", "pattern": {"Regex": " +"}, "content": ""})), "x"), "regular expression")


def contradictions():
    text = json.dumps(tokenizer_file(["<s>"]))
    for name, old, new, *words in [
        ("a token that stands twice in the vocabulary", '"!": ', '"!": 5, "!": ', "'!'", "twice"),
        ("two tokens of one id", '"!": 37', '"!": 38', "'!'", "'\"'", "38", "same id"),
        ("a key that stands twice in the model", '"dropout": null', '"dropout": null, "dropout": 0.5', "'dropout'", "twice"),
        ("a key that stands twice at the top", '"normalizer": null', '"normalizer": {"type": "NFC"}, "normalizer": null',
         "'normalizer'", "twice"),
        ("half a surrogate pair", '"<s>": ', '"\\ud800": ', "surrogate"),
        ("an added token that stands twice", '"added_tokens": []',
         f'"added_tokens": {json.dumps([token("<s>", 0), token("<s>", 0)])}', "'<s>'", "twice"),
        ("an added token with another id than in the vocabulary", '"added_tokens": []',
         f'"added_tokens": {json.dumps([token("<s>", 3)])}', "'<s>'", "3", "0"),
        ("an added token with an id that does not follow", '"added_tokens": []',
         f'"added_tokens": {json.dumps([token("<t>", 3000)])}', "'<t>'", "3000"),
    ]:  # fmt: skip
        assert old in text, old
        refused(f"tokenizer.json: {name}", encode(write(text.replace(old, new, 1)), "x"), *words)
    hole = text.replace('"!": 37', '"!": 260', 1).replace('"added_tokens": []', f'"added_tokens": {json.dumps([token("<t>", 260)])}')
    refused("tokenizer.json: an added token with the id of another", encode(write(hole), "x"), "'!'", "'<t>'", 260, "same id")
    refused("tokenizer_config.json: a key that stands twice", encode(write(
        tokenizer_file(["<s>", "</s>"]), '{"eos_token": "<s>", "eos_token": "</s>"}'), "x"), "'eos_token'", "twice")
    # Two tokens that are equal to a Unicode-aware comparison are still two.
    first, second = "\u1ec7", "\u1eb9\u0302"
    folder = write(tokenizer_file([first, second], added=[token(first, 0), token(second, 1)]))
    equal("tokens that differ only in normalisation are two", encode(folder, first + second), [0, 1])


def missing_bytes():
    lacking = [ord("\n"), 0xFF]
    folder = write(tokenizer_file(["<s>", "</s>"], lacking=lacking), {"eos_token": "</s>"})
    documents, _ = prepare(folder, "no line end")
    equal("a vocabulary without some bytes does for text without them", documents, [[*ids("no line end"), 1]])
    refused("a byte that the vocabulary lacks is refused when it occurs: data prepare",
            prepare(folder, "no line end", "one\ntwo")[0], "1.txt", "line 1", "0x0A", "Ċ")
    refused("a byte that the vocabulary lacks is refused when it occurs: encode", encode(folder, b"x\xff"), "text.txt", "line 1", "0xFF")
    (WORK / "lines.txt").write_bytes(b"fine\nalso\nnot \xff\n")
    ended = harness.run("forge", "tokenizer", "encode", "--tokenizer", folder, "--lines", "--input", WORK / "lines.txt")
    refused("a byte that the vocabulary lacks is refused when it occurs: --lines", ended, "line 3 of", "lines.txt")
    unknown = tokenizer_file(["<unk>"], lacking=lacking, unk_token="<unk>")
    equal("unk_token stands for a byte without a token", encode(write(unknown), b"a\n\nb"), [*ids("a"), 0, 0, *ids("b")])
    unknown["model"]["fuse_unk"] = True
    equal("fuse_unk makes one of them", encode(write(unknown), b"a\n\nb"), [*ids("a"), 0, *ids("b")])
    refused("unk_token is not used where it ends documents", encode(write(unknown, {"eos_token": "<unk>"}), b"a\n"), "0x0A")


def encoding_lines():
    folder = write(tokenizer_file())
    (WORK / "dos.txt").write_bytes(b"one\r\ntwo\r\n\r\nthree\rmore\nfour\r")
    ended = harness.run("forge", "tokenizer", "encode", "--tokenizer", folder, "--lines", "--input", WORK / "dos.txt")
    equal("--lines takes \\r\\n off", [json.loads(line)["ids"] for line in ended.out.splitlines()],
          [ids(line) for line in ["one", "two", "", "three\rmore", "four"]])
    for number in ["9223372036854775807", "0", "-1", "1000000"]:
        ended = harness.run("forge", "tokenizer", "encode", "--tokenizer", folder, "--input", WORK / "dos.txt", f"--threads={number}")
        harness.check(f"--threads={number} is refused", ended.code == 64 and "threads" in ended.err, ended)
        ended = harness.run("forge", "tokenizer", "train", "--input", WORK / "dos.txt", "--output", WORK / "none", f"--threads={number}")
        harness.check(f"tokenizer train --threads={number} is refused", ended.code == 64 and "threads" in ended.err, ended)
    command = [harness.BIN / "forge", "tokenizer", "encode", "--tokenizer", folder, "--input"]
    for name in ["-", "/dev/stdin"]:
        ended = subprocess.run([*command, name], input=b"piped", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        equal(f"--input {name} reads a pipe", ended.stdout.decode(), json.dumps({"ids": ids("piped")}, separators=(",", ":")) + "\n")
    ended = subprocess.run(["bash", "-c", '"$@" <(printf hello)', "bash", *command], stdout=subprocess.PIPE)
    equal("--input <(…) is read", ended.stdout.decode(), json.dumps({"ids": ids("hello")}, separators=(",", ":")) + "\n")


def trained():
    """A text that others encode with a tokenizer of ours, and a chat that they render, begin with one <s> as in training."""
    (WORK / "corpus.txt").write_text("A text to learn from, a text to learn from again.\n" * 20)
    folder = WORK / "trained"
    ended = harness.run("forge", "tokenizer", "train", "--input", WORK / "corpus.txt", "--output", folder, "--vocabulary-size", 290)
    file, config = (json.loads((folder / name).read_text()) for name in ["tokenizer.json", "tokenizer_config.json"])
    single = file["post_processor"].get("single", [])
    equal("a trained tokenizer puts <s> before a text", [list(piece.values())[0]["id"] for piece in single], ["<s>", "A"])
    equal("and knows its id", file["post_processor"].get("special_tokens"), {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}})
    harness.check("and says so in tokenizer_config.json", config.get("add_bos_token") is True and config.get("add_eos_token") is False)
    harness.check("its chat template begins with <s> itself", "bos_token" in config["chat_template"].split("[INST]")[0])
    plain = encode(folder, "A text")
    documents, _ = prepare(folder, "A text")
    harness.check("ids without --begin-of-sequence have none", isinstance(plain, list) and 1 not in plain, plain)
    equal("a document has one", documents, [[1, *plain, 2]])
    equal("so has --begin-of-sequence", encode(folder, "A text", "--begin-of-sequence"), [1, *plain])
    harness.check("training ended well", ended.code == 0, ended)


def beginning(file):
    """The ids that a tokenizer.json puts before a text."""
    def before(step):
        if step is None:
            return []
        if step["type"] == "Sequence":
            return sum((before(part) for part in reversed(step["processors"])), [])
        if step["type"] == "RobertaProcessing":
            return [step["cls"][1]]
        pieces = step.get("single", [])
        names = [piece["SpecialToken"]["id"] for piece in pieces[:[*map(list, pieces)].index(["Sequence"])]] if pieces else []
        return sum((step["special_tokens"][name]["ids"] for name in names), [])
    return before(file["post_processor"])


def exported():
    """Texts and chats begin, by the export of a run, as the documents of its data do."""
    bos = {"bos_token": "<s>", "eos_token": "</s>"}
    plain, spelled, silent = "{{ messages[0].content }}", "{{ bos_token }}{{ messages[0].content }}", "{%- set bos_token = '' -%}"
    around = template(["<s>", "A"], {"<s>": 0})
    roberta = {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False}
    for name, post_processor, config, expected, chat in [
        ("none is named", None, {"eos_token": "</s>", "chat_template": plain}, None, plain),
        ("it has no post-processor", None, bos | {"chat_template": plain}, [0], "{{ bos_token }}" + plain),
        ("an older version trained it", BYTE_LEVEL, bos | {"chat_template": spelled}, [0], spelled),
        ("it puts it already", around, bos | {"chat_template": spelled, "x": 1e400}, None, spelled),
        ("it puts it twice", template(["<s>", "<s>", "A"], {"<s>": 0}), bos, [0], None),
        ("in a sequence", {"type": "Sequence", "processors": [BYTE_LEVEL, around]}, bos, None, None),
        ("add_bos_token is false", around, bos | {"add_bos_token": False, "chat_template": spelled}, [], silent + spelled),
        ("add_bos_token is false beside RobertaProcessing", roberta, bos | {"add_bos_token": False, "chat_template": plain}, [], plain),
        ("the template is a list", BYTE_LEVEL, bos | {"chat_template": [{"name": "default", "template": plain}]}, [0],
         [{"name": "default", "template": "{{ bos_token }}" + plain}]),
    ]:  # fmt: skip
        source = write(tokenizer_file(["<s>", "</s>"], post_processor=post_processor), config)
        documents, _ = prepare(source, "A text. " * 20)
        data, run, folder = (WORK / f"{kind}-{count}" for kind in ["data", "run", "exported"])
        section = harness.QWEN3 | {"vocab_size": 300}
        settings = harness.write_configuration(WORK / "run.yaml", harness.configuration(run, section, data, steps=1))
        trained = harness.run("forge-dist", settings)
        ended = harness.run("forge", "export", run, folder)
        exported = trained.code == 0 == ended.code and harness.contents(folder / "tokenizer.json") is not None
        if not harness.check(f"export: {name}", exported, f"{trained}{ended}"):
            continue
        before, after = (json.loads((path / "tokenizer.json").read_text()) for path in [source, folder])
        wanted = documents[0][:1] if documents[0][0] == 0 else []
        equal(f"export: a text begins as documents did: {name}", beginning(after), wanted)
        changed = expected is not None
        harness.check(f"export: and nothing else is changed: {name}", after | {"post_processor": None}
                      == before | {"post_processor": None} and (changed or after == before), after["post_processor"])
        found = json.loads((folder / "tokenizer_config.json").read_text()).get("chat_template")
        equal(f"export: a chat begins as documents did: {name}", found, chat)
        said = harness.sentences(ended.err)
        harness.check(f"export: what is changed is said in one line: {name}", len(said) == (changed or chat != config.get("chat_template")),
                      ended)
        again = WORK / f"again-{count}"
        harness.run("forge", "export", folder, again)
        harness.check(f"export: a folder stays as it is: {name}", None is not harness.contents(again / "tokenizer.json")
                      == harness.contents(folder / "tokenizer.json"))


def main():
    named_tokens()
    never_from_text()
    added_tokens()
    normalizers()
    contradictions()
    missing_bytes()
    encoding_lines()
    trained()
    exported()
    harness.finish()


if __name__ == "__main__":
    main()
