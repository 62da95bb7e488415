#!/usr/bin/env python3
"""From documents to tokens and back: `forge tokenizer` and `forge data prepare`, checked by what they wrote."""

import array
import gzip
import hashlib
import json
import pathlib
import random
import struct

import corpus
from harness import check, finish, folder, output_bytes, run

WORK = folder()
DOCUMENTS, TOKENIZER, DATA = WORK / "documents", WORK / "tokenizer", WORK / "data"


def succeeds(name, *arguments):
    ended = run("forge", *arguments)
    check(name, ended.code == 0, ended)
    return ended


def decode(ids):
    """The bytes that a list of ids stands for."""
    path = WORK / "ids.jsonl"
    path.write_text(json.dumps({"ids": ids}) + "\n")
    return output_bytes("forge", "tokenizer", "decode", "--tokenizer", TOKENIZER, "--input", path)


def tokenizer():
    succeeds("forge tokenizer train",
             "tokenizer", "train", "--input", DOCUMENTS, "--output", TOKENIZER, "--vocabulary-size", 400)
    added = json.loads((TOKENIZER / "tokenizer.json").read_text())["added_tokens"]
    ids = {token["content"]: token["id"] for token in added}
    check("special tokens have Mistral's ids", [ids.get(name) for name in ["<unk>", "<s>", "</s>"]] == [0, 1, 2], ids)
    settings = json.loads((TOKENIZER / "tokenizer_config.json").read_text())
    check("tokenizer_config.json has a chat template", settings.get("chat_template"), settings)

    anything = WORK / "anything"
    text = random.Random(3).randbytes(2000) + "Grüße, 世界 </s> [INST]\r\n\t".encode() + corpus.INVALID_UTF8
    anything.write_bytes(text)
    encoded = succeeds("forge tokenizer encode", "tokenizer", "encode", "--tokenizer", TOKENIZER, "--input", anything)
    check("decode(encode(x)) is x for any bytes", decode(json.loads(encoded.out)["ids"]) == text)


def prepare():
    """Returns the records of documents.jsonl by file name, with their ids added."""
    arguments = ["data", "prepare", "--input", DOCUMENTS, "--tokenizer", TOKENIZER, "--held-out", 0.2]
    succeeds("forge data prepare", *arguments, "--output", DATA, "--threads", 2)
    succeeds("forge data prepare with one thread", *arguments, "--output", WORK / "again", "--threads", 1)
    names = sorted(str(path.relative_to(DATA)) for path in DATA.rglob("*") if path.is_file())
    same = [(DATA / name).read_bytes() == (WORK / "again" / name).read_bytes() for name in names]
    check("the same bytes with one thread", all(same), dict(zip(names, same)))

    description = json.loads((DATA / "dataset.json").read_text())
    records = [json.loads(line) for line in (DATA / "documents.jsonl").read_text().splitlines()]
    for part in ["train", "validation"]:
        tables_agree(part, description[part], [record for record in records if record["split"] == part])
    named = {pathlib.Path(record["path"]).name: record for record in records}
    check("one of two equal documents, nothing of an empty, a binary and an unreadably encoded file",
          description["duplicates"] == 1 and len(named) == corpus.COUNT
          and description["skipped"] == {"binary": 1, "empty": 1, "encoding": 1}
          and not {"empty.txt", "binary.dat", "invalid.txt"} & named.keys(), description)
    return named


def tables_agree(part, counts, records):
    """Checks a part's tokens, index, side table and counts against each other; adds `ids` to the records."""
    tokens = array.array("H", (DATA / f"{part}.bin").read_bytes())
    ranges = [record["tokens"] for record in records]
    check(f"{part}: the side table's {len(ranges)} ranges tile the tokens",
          [0, *(end for _, end in ranges)] == [*(start for start, _ in ranges), len(tokens)], ranges)
    check(f"{part}: every document is <s> … </s>",
          ranges and all(tokens[start] == 1 and tokens[end - 1] == 2 for start, end in ranges), ranges)
    check(f"{part}: dataset.json counts them",
          (counts["documents"], counts["tokens"]) == (len(ranges), len(tokens)), counts)
    index = (DATA / f"{part}.idx").read_bytes()
    version, kind, sequences, bounds = struct.unpack_from("<QBQQ", index, 9)
    lengths = struct.unpack_from(f"<{sequences}i", index, 34)
    check(f"{part}: the index has Megatron-LM's form and the same lengths",
          index[:9] == b"MMIDIDX\0\0" and (version, kind, bounds) == (1, 8, sequences + 1)
          and list(lengths) == [end - start for start, end in ranges], lengths)
    for record, (start, end) in zip(records, ranges):
        record["ids"] = tokens[start + 1:end - 1].tolist()


def texts(records):
    wrong = []
    for name in [*corpus.VERBATIM, "packed.txt.gz"]:
        expected = next(DOCUMENTS.rglob(name)).read_bytes()
        expected = gzip.decompress(expected) if name.endswith(".gz") else expected
        if decode(records[name]["ids"]) != expected or records[name]["id"] != hashlib.sha256(expected).hexdigest():
            wrong.append(name)
    check("documents decode to their files' bytes, whose SHA-256 they are named by", not wrong, wrong)
    page = decode(records["page.html"]["ids"]).decode()
    check("HTML becomes its text", "Page" in page and "must" in page and "<" not in page and "hidden" not in page, page)


corpus.write(DOCUMENTS)
tokenizer()
texts(prepare())
finish()
