#!/usr/bin/env python3
"""Reading documents as people reported it: encodings, pages, lists of what is left out, and the user's own files.

Everything is asked of `forge data prepare`: what it kept of a file is what its tokens decode to.
"""

import gzip
import json
import os
import pathlib
import resource
import subprocess

import harness
from harness import BIN, ENVIRONMENT, check, finish, folder, output_bytes, run

WORK = folder()
TOKENIZER = WORK / "tokenizer"
counter = 0


def fresh(name="case"):
    global counter
    counter += 1
    path = WORK / f"{name}{counter}"
    path.mkdir()
    return path


def write(files):
    """A folder with files, given as bytes or text."""
    source = fresh("source")
    for name, content in files.items():
        path = os.path.join(os.fsencode(source), name if isinstance(name, bytes) else name.encode())
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
    return source


def prepare(source, *options, output=None, **keywords):
    output = output or fresh("parent") / "data"
    ended = run("forge", "data", "prepare", "--input", source, "--output", output, "--tokenizer", TOKENIZER,
                "--held-out", 0, *options, **keywords)
    return ended, output


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def decoded(output):
    """What the documents' tokens stand for, a text each, in the order of documents.jsonl."""
    ids = (output / "train.bin").read_bytes()
    tokens = [int.from_bytes(ids[place:place + 2], "little") for place in range(0, len(ids), 2)]
    texts = []
    for record in lines(output / "documents.jsonl"):
        start, end = record["tokens"]
        path = WORK / "ids.jsonl"
        path.write_text(json.dumps({"ids": tokens[start + 1:end - 1]}) + "\n")
        texts.append(output_bytes("forge", "tokenizer", "decode", "--tokenizer", TOKENIZER, "--input", path))
    return texts


def read(files, *options):
    """The texts that are kept of files, by their paths; and how the program ended, and its output."""
    source = write(files)
    ended, output = prepare(source, *options)
    records = lines(output / "documents.jsonl")
    found = decoded(output) if ended.code == 0 else []
    prefix = len(os.fsencode(source)) + 1
    names = [record["path"].encode()[prefix:].decode() + (f":{record['line']}" if record.get("line") else "")
             for record in records]
    return dict(zip(names, (text.decode(errors="surrogateescape") for text in found))), ended, output


def reads(name, files, expected, *options):
    """Checks what is kept of each file; None where nothing may be."""
    files = files if isinstance(files, dict) else {"page.html": files}
    expected = expected if isinstance(expected, dict) else {"page.html": expected}
    kept, ended, _ = read(files | {"other.txt": "another document\n"}, *options)
    kept.pop("other.txt", None)
    wanted = {key: value for key, value in expected.items() if value is not None}
    check(name, kept == wanted, f"kept   {kept}\nwanted {wanted}\n{ended}")


def page(body, head=""):
    return f"<!DOCTYPE html>\n<html><head>{head}</head><body>{body}</body></html>"


def charset(label, text, codec):
    return page(f"<p>{text}</p><p>the end</p>", f'<meta charset="{label}">').encode(codec)


def encodings():
    cases = {
        "gb2312": ("朱镕基与喆 结㈱", "gbk"), "Shift_JIS": ("①髙橋 ﾊﾟｽ 表示 ㈱", "cp932"), "x-sjis": ("纊褜 ～", "cp932"),
        "euc-kr": ("똠방각하 펲시콜라", "cp949"), "ks_c_5601-1987": ("똠방각하", "cp949"),
        "iso-8859-1": ("“Tea” costs 5 € – it’s", "cp1252"), "iso-8859-9": ("“ğ” ışık…", "cp1254"),
        "tis-620": ("“ภาษาไทย” …", "cp874"), "EUC-JP": ("漢字 仮名", "euc_jp"), "big5": ("中文 漢字", "big5"),
        "koi8-r": ("Привет", "koi8_r"), "windows-1251": ("Привет «мир»", "cp1251"), "macintosh": ("Größe", "mac_roman"),
        "iso-2022-jp": ("これはJISです", "iso2022_jp"), "gb18030": ("龦䶮 中", "gb18030"),
        "latin2": ("Příliš žluťoučký", "iso8859_2")}
    files = {f"{label}.html": charset(label, text, codec) for label, (text, codec) in cases.items()}
    reads("d01: pages in the encodings that browsers take labels for", files,
          {f"{label}.html": f"{text}\n\nthe end\n" for label, (text, _) in cases.items()})
    declared = ('<?xml version="1.0" encoding="windows-1251"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body>'
                '<p>Привет</p></body></html>').encode("cp1251")
    http = page("<p>Żółć</p>", '<META HTTP-EQUIV=Content-Type CONTENT="text/html; charset=ISO-8859-2">')
    reads("d01: an XML declaration and the old meta element count",
          {"a.xhtml": declared, "b.html": http.encode("iso8859_2")}, {"a.xhtml": "Привет\n", "b.html": "Żółć\n"})
    long = page("<p>日本語の長い文章。</p>" * 60, '<meta charset="utf-8">').encode()
    stray = long.replace("長い".encode(), "長".encode() + b"\xff", 1)
    expected = "\n\n".join(["日本語の長い文章。"] * 60) + "\n"
    reads("d02: one bad byte costs one U+FFFD", {"page.html": stray}, expected.replace("長い", "長\ufffd", 1))
    cut = page("<p>Žluťoučký — 日本", '<meta charset="utf-8">').encode()
    cut = cut.replace("本".encode(), "本".encode()[:-1])
    reads("d02: half a character in the middle costs one U+FFFD", cut + b"<p>after</p>",
          "Žluťoučký — 日\ufffd\n\nafter\n")
    reads("d03: numeric references from 128 to 159, and all names of the standard",
          page("<p>It&#146;s 5 &#128; &#150; &#x93;q&#x94;&#133; &lbrace;a&rbrace; &check; &langle;x&rangle; &apos; "
               "AT&T &copy2024 &notit; &#x110000; &#55357;</p>"),
          "It’s 5 € – “q”… {a} ✓ ⟨x⟩ ' AT&T ©2024 ¬it; \ufffd \ufffd\n")


def plain_text():
    text = "Grüße, 世界\n"
    files = {"le.txt": b"\xff\xfe" + text.encode("utf-16-le"), "be.txt": b"\xfe\xff" + (text + "b").encode("utf-16-be"),
             "le.html": b"\xff\xfe" + page("<p>UTF-16 läuft</p>").encode("utf-16-le"),
             "bom.md": b"\xef\xbb\xbf# Title\n", "u32.txt": b"\xff\xfe\0\0" + "vier\n".encode("utf-32-le")}
    reads("d11, d12: marks of UTF-8, UTF-16 and UTF-32 are read and dropped", files,
          {"le.txt": text, "be.txt": text + "b", "le.html": "UTF-16 läuft\n", "bom.md": "# Title\n", "u32.txt": "vier\n"})
    kept, ended, output = read({"bom.md": b"\xef\xbb\xbfsame\n", "plain.md": "same\n"})
    check("m34: with and without the mark is the same document", list(kept) == ["bom.md"], ended)
    legacy = {"gbk.txt": "这是国标文件。".encode("gbk"), "latin.txt": "Der Käse kostet fünf Franken für Größe\n".encode("latin1"),
              "jis.txt": "これはJIS".encode("iso2022_jp"), "good.txt": "gut\n"}
    kept, ended, output = read(legacy)
    skipped = {pathlib.Path(line["path"]).name: line["reason"] for line in lines(output / "skipped.jsonl")}
    check("d13: text in another encoding is left out and listed", kept == {"good.txt": "gut\n"} and skipped ==
          dict.fromkeys(["gbk.txt", "jis.txt", "latin.txt"], "encoding"), f"{kept} {skipped} {ended}")
    check("d13: the last line counts them", "3 encoding" in ended.out.splitlines()[-1], ended)
    reads("d13: --encoding is for those files", {"gbk.txt": legacy["gbk.txt"], "good.txt": "gut: ü\n"},
          {"gbk.txt": "这是国标文件。", "good.txt": "gut: ü\n"}, "--encoding", "GB2312")
    stray = "Ein Satz mit Umläuten.\n" * 100
    kept, ended, output = read({"a.txt": stray.encode() + b"\xe4\n"})
    check("d13: a stray byte in UTF-8 costs a U+FFFD, and the last line says so",
          kept == {"a.txt": stray + "\ufffd\n"} and "1 stray byte" in ended.out.splitlines()[-1], ended)
    for name, files in {"a stray byte": {"a.txt": stray.encode() + b"\xe4\n"}, "an encoding": legacy}.items():
        ended, output = prepare(write(files), "--strict")
        check(f"d13: --strict refuses {name} by the file's name",
              ended.code == 64 and len(harness.sentences(ended.err)) == 1 and ".txt" in ended.err
              and not output.exists(), ended)
    ended, output = prepare(write({"only.txt": legacy["gbk.txt"], "x.bin": b"\0\1\2"}))
    check("'no document' says what was left out",
          ended.code == 64 and "1 encoding" in ended.err and "1 binary" in ended.err, ended)
    ended, _ = prepare(write({"a.txt": "a"}), "--encoding", "klingon")
    check("an encoding that there is not is refused", ended.code == 64 and "klingon" in ended.err, ended)


def markup():
    reads("d04: digits never touch",
          page("<p>6.022×10<sup>23</sup>; 5 m<sup>2</sup>; x<sub>1</sub><sup>2</sup>; 2<sup>10</sup>=1024; "
               "H<sub>2</sub>O; 10<sup>-3</sup>; a<sub>2</sub>3; x<sup>n + 1</sup>; 1<sup>st</sup>; said[<sup>[4]</sup>]"
               " 3<del>10</del><ins>12</ins></p>"),
          "6.022×10^23; 5 m^2; x_1^2; 2^10=1024; H_2O; 10^-3; a_{2}3; x^{n + 1}; 1st; said[[4]] 3 10 12\n")
    reads("d04: formulas and pronunciations keep their parts apart",
          page("<p><math><msup><mn>10</mn><mn>23</mn></msup><mo>+</mo><mfrac><mn>1</mn><mn>2</mn></mfrac></math> "
               "<ruby>漢<rp>(</rp><rt>kan</rt><rp>)</rp></ruby> <q>so</q></p>"),
          "10^23+1/2 漢(kan) “so”\n")
    reads("d08: line breaks in preformatted text, and two in text",
          page("<pre><code>def f():<br>    a = 1<br><br>    return a</code></pre><p>one<br><br>two<br>three</p>"),
          "def f():\n    a = 1\n\n    return a\n\none\n\ntwo\nthree\n")
    reads("d09: what is hidden is left out",
          page('<p>Born <span style="display: none">(1977-08-21)</span>August.</p><div hidden>SECRET</div>'
               '<div style="Visibility:HIDDEN">INVISIBLE</div><dialog>CLOSED</dialog><dialog open>opened</dialog>'
               "<details><summary>More</summary>folded</details>"),
          "Born August.\n\nopened\n\nMore\nfolded\n")
    reads("d17: the title, CDATA and no-break spaces in code",
          {"page.html": page("<p>Press the button.</p>", "<title>How to reset</title>"),
           "a.xhtml": '<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><head><title/>'
                      '<script src="x"/></head><body><p><![CDATA[a < b && c]]></p></body></html>',
           "code.html": page("<p><code>if x:<br>&nbsp;&nbsp;&nbsp;&nbsp;return 1</code></p>")},
          {"page.html": "How to reset\n\nPress the button.\n", "a.xhtml": "a < b && c\n",
           "code.html": "if x:\n    return 1\n"})
    reads("d17: declarative shadow roots and their slots",
          page('<my-card><template shadowrootmode="open"><h2><slot name="t">none</slot></h2><p>Shown</p><slot></slot>'
               '</template><b slot="t">Card</b>inside</my-card><template><p>never</p></template>'),
          "Card\n\nShown\n\ninside\n")
    reads("d17: lists begin where they say",
          page('<ol start="5"><li>a<li>b<li value="9">c</ol><ol type="a" start="3"><li>x<li>y</ol>'
               '<ol reversed><li>p<li>q</ol><ol type="I"><li>r<li>s</ol>'),
          "5. a\n6. b\n9. c\n\nc. x\nd. y\n\n2. p\n1. q\n\nI. r\nII. s\n")
    reads("frames: what is for browsers without them is all there is",
          "<html><head><title>t</title></head><frameset cols='*,*'><frame src=a><noframes><body><p>No frames</p></body>"
          "</noframes></frameset></html>", "t\n\nNo frames\n")


def names():
    body = page("<p>Hello</p>", "<script>var a = 1;</script>")
    found = ["index.html?id=3", "page.php", "v1.2", "noext", "a.shtml", "b.xht", "c.HTM", "saved.mht", "view.asp"]
    files = {name: body.replace("Hello", f"Hello {name}") for name in found}
    files |= {"comment": "<!-- saved -->\n" + body.replace("Hello", "Hello comment"),
              "bom": "\ufeff" + body.replace("Hello", "Hello bom"),
              "xml": '<?xml version="1.0"?>\n' + body.replace("Hello", "Hello xml"),
              "packed.bin": gzip.compress(body.replace("Hello", "Hello packed.bin").encode())}
    expected = {name: f"Hello {name}\n" for name in files}
    files |= {"Node.js": body, "source.php": "<!DOCTYPE html><html><?php echo 1; ?></html>\n"}
    reads("d10: pages and gzip by content, but not source code",
          files, expected | {"Node.js": body, "source.php": files["source.php"]})


def records():
    objects = [{"id": 0, "text": "Document 0.\n“quotes” \ud83d\ude00"}, {"id": 1, "text": "one"}, {"id": 2, "body": "two"}]
    text = "\n".join(json.dumps(item) for item in objects) + "\n"
    kept, ended, output = read({"corpus.jsonl": text + "{broken\n", "packed.jsonl.gz": gzip.compress(text.encode() + b'{"text":"z"}')})
    # A pair of escapes is one character.
    check("d14: JSON Lines by their text field, a document a line",
          list(kept) == ["corpus.jsonl:1", "corpus.jsonl:2", "packed.jsonl.gz:4"] and kept["corpus.jsonl:1"] ==
          "Document 0.\n“quotes” 😀", f"{kept} {ended}")
    skipped = [(pathlib.Path(line["path"]).name, line["line"], line["reason"]) for line in lines(output / "skipped.jsonl")]
    check("d14: lines without it are listed", skipped == [
        ("corpus.jsonl", 3, "no_text"), ("corpus.jsonl", 4, "damaged"), ("packed.jsonl.gz", 3, "no_text")], skipped)
    reads("d14: --text-field", {"corpus.jsonl": text}, {"corpus.jsonl:3": "two"}, "--text-field", "body")
    texts = '{"text":"läuft"}\n{"text":"zwei"}\n'
    reads("d14: JSON Lines in UTF-16, gzipped or not, and in another encoding",
          {"a.jsonl": texts.encode("utf-16"), "b.ndjson.gz": gzip.compress(texts.replace("zwei", "drei").replace("läuft", "rollt")
           .encode("utf-16")), "c.jsonl": texts.replace("läuft", "fährt").encode("latin1")},
          {"a.jsonl:1": "läuft", "a.jsonl:2": "zwei", "b.ndjson.gz:1": "rollt", "b.ndjson.gz:2": "drei", "c.jsonl:1": "fährt"},
          "--encoding", "latin1")
    kept, ended, output = read({"c.jsonl": texts.encode("latin1")})
    skipped = [(line["line"], line["reason"]) for line in lines(output / "skipped.jsonl")]
    check("d14: lines in an unknown encoding are listed", kept == {"c.jsonl:2": "zwei"} and skipped == [(1, "encoding")],
          f"{kept} {skipped} {ended}")
    mine = {"id": "1", "path": "a.py", "split": "train", "tokens": 3, "bytes": 9}
    reads("JSON Lines with a text are the user's, whatever else they have",
          {"own.jsonl": json.dumps(mine | {"text": "mine"}), "own2.jsonl": json.dumps(mine) + "\n" +
           json.dumps(mine | {"text": "mine too"})}, {"own.jsonl:1": "mine", "own2.jsonl:2": "mine too"})
    reads("JSON Lines with a text of another name are the user's too", {"own.jsonl": json.dumps(mine | {"body": "mine"})},
          {"own.jsonl:1": "mine"}, "--text-field", "body")
    cells = [{"cell_type": "markdown", "source": ["# Notebook\n", "text"]},
             {"cell_type": "code", "source": "print(1)\n", "outputs": [{"text": ["OUTPUT"]}]}]
    notebook = {"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4, "nbformat_minor": 5}
    reads("d15: notebooks without outputs", {"nb.ipynb": json.dumps(notebook)},
          {"nb.ipynb": "# Notebook\ntext\n\n```python\nprint(1)\n```\n"})
    source = write({"a.txt": "document a\n", "b.txt": "document b\n"})
    prepare(source, output=source / "renamed")
    (source / "renamed/documents.jsonl").rename(source / "other.json")
    (source / "tok.txt").write_bytes((TOKENIZER / "tokenizer.json").read_bytes())
    ended, output = prepare(source)
    paths = [pathlib.Path(record["path"]).name for record in lines(output / "documents.jsonl")]
    check("our own outputs are no documents", paths == ["a.txt", "b.txt"], f"{paths} {ended}")
    source = write({".gitignore": "*.log\nbuild/\n!keep.log\n", "a.log": "log a", "keep.log": "kept", "build/x.txt": "x",
                    "src/b.log": "log b", "src/c.txt": "c", "src/d.tmp": "d"})
    ended, output = prepare(source, "--exclude", "*.tmp", ".gitignore")
    paths = sorted(pathlib.Path(record["path"]).name for record in lines(output / "documents.jsonl"))
    reasons = {pathlib.Path(line["path"]).name: line["reason"] for line in lines(output / "skipped.jsonl")}
    check("what .gitignore and --exclude name is left out and listed", paths == ["c.txt", "keep.log"] and reasons ==
          {".gitignore": "excluded", "a.log": "ignored", "b.log": "ignored", "build": "ignored", "d.tmp": "excluded"},
          f"{paths} {reasons} {ended}")


def user_files():
    parent = fresh()
    (parent / "dump.partial").mkdir()
    (parent / "dump.partial/a.txt").write_text("precious\n")
    ended, output = prepare(parent / "dump.partial", output=parent / "dump")
    check("d22: NAME.partial is the user's", ended.code == 0 and (parent / "dump.partial/a.txt").exists() and
          sorted(path.name for path in parent.iterdir()) == ["dump", "dump.partial"], ended)
    again = run("forge", "tokenizer", "train", "--input", parent / "dump.partial", "--output", TOKENIZER,
                "--vocabulary-size", 300)
    check("d22: tokenizer train does not replace a tokenizer unasked",
          again.code == 64 and "--overwrite" in again.err, again)
    again = run("forge", "tokenizer", "train", "--input", parent / "dump.partial", "--output", TOKENIZER,
                "--vocabulary-size", 300, "--overwrite")
    check("d22: and does when asked", again.code == 0, again)

    for name, content in {b"caf\xe9.txt": "one\n", b"caf\xe8.txt": "two\n"}.items():
        source = os.path.join(os.fsencode(parent), name)
        with open(source, "w") as file:
            file.write(content)
    output = os.path.join(os.fsencode(parent), b"out\xe9")
    process = subprocess.run(
        [os.fsencode(BIN / "forge"), b"data", b"prepare", b"--input", os.path.join(os.fsencode(parent), b"caf\xe9.txt"),
         os.path.join(os.fsencode(parent), b"caf\xe8.txt"), b"--output", output, b"--tokenizer",
         os.fsencode(TOKENIZER), b"--held-out", b"0"], env=ENVIRONMENT, capture_output=True)
    found = []
    if os.path.exists(output):
        with open(os.path.join(output, b"documents.jsonl")) as file:
            found = [json.loads(line) for line in file]
    import base64
    check("d22: paths that are not UTF-8 lead to the files that were meant",
          process.returncode == 0 and [base64.b64decode(record["path_base64"])[-8:] for record in found] ==
          [b"caf\xe9.txt", b"caf\xe8.txt"] and all("\ufffd" in record["path"] for record in found),
          (process, found))
    for name in ["-", "/dev/stdin"]:
        output = fresh() / "data"
        process = subprocess.run(
            [BIN / "forge", "data", "prepare", "--input", name, "--output", output, "--tokenizer", TOKENIZER, "--held-out", "0"],
            env=ENVIRONMENT, input=b"piped text\n", capture_output=True)
        check(f"d22: {name} is read", process.returncode == 0 and decoded(output) == [b"piped text\n"], process)
    output = fresh() / "data"
    process = subprocess.run(
        ["bash", "-c", '"$0" data prepare --input <(echo hello) --output "$1" --tokenizer "$2" --held-out 0',
         BIN / "forge", output, TOKENIZER], env=ENVIRONMENT, capture_output=True)
    check("d22: a pipe is read", process.returncode == 0 and decoded(output) == [b"hello\n"], process)


def numbers():
    source = write({"a.txt": "text\n"})
    for option in [("--threads", 2**63 - 1), ("--threads", 0), ("--held-out", "nan"), ("--held-out", 1)]:
        ended, _ = prepare(source, *option)
        check(f"absurd: {option[0]} {option[1]}", ended.code == 64 and len(harness.sentences(ended.err)) >= 1
              and "atal" not in ended.err, ended)
    for option in [("--vocabulary-size", 2**63 - 1), ("--threads", 2**63 - 1)]:
        ended = run("forge", "tokenizer", "train", "--input", source, "--output", fresh() / "t", *option)
        check(f"absurd: tokenizer train {option[0]} {option[1]}", ended.code == 64 and "atal" not in ended.err, ended)


def few_threads():
    """Where no thread can start, the work is done all the same."""
    source = write({f"{number}.txt": f"text number {number}\n" * 50 for number in range(40)})
    parent = fresh()
    commands = [["data", "prepare", "--input", source, "--output", parent / "data", "--tokenizer", TOKENIZER, "--threads", "4"],
                ["tokenizer", "train", "--input", source, "--output", parent / "tok", "--vocabulary-size", "300",
                 "--threads", "4"]]
    limit = ["prlimit", "--nproc=1"]
    if os.geteuid() == 0:
        # Limits do not bind the superuser.
        os.chmod(WORK, 0o755)
        os.chmod(parent, 0o777)
        limit += ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
    for command in commands:
        process = subprocess.Popen([*limit, BIN / "forge", *map(str, command)],
                                   env=ENVIRONMENT | {"OPENBLAS_NUM_THREADS": "1"}, text=True, cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        ended = harness.end(process, 20)
        check(f"forge {command[0]} {command[1]} without a thread to start", ended.code == 0, ended)


def hostile():
    """A megabyte of nesting ends at once, also on a small stack."""
    deep = {"div": "<div>", "b": "<b>", "table": "<table>", "cells": "<table><tr><td>", "font": "<p><font size=1>",
            "numbered": None, "attributes": None, "list": "<ul><li>", "svg": "<svg><g>", "select": "<select><option>",
            "ruby": "<rt>", "links": "<div><a>x", "blocks in links": "<a><div>x", "headings": "<div><h1>x",
            "forms": "<div><form>x", "ended forms": "<form><div></form>x", "nobr": "<table><nobr></table>x",
            "templates": "<b><template></b>x", "cells outside a table": "<div><td>x",
            "choices": "<div><select>x", "ends that mean nothing": "<span><div></span>x",
            "sections in items": "<li><section>x", "bodies": "<div></body>x",
            "reversed": "<ol reversed><li>", "shadows": "<x-a><template shadowrootmode=open><slot>",
            "dialogs": "<dialog><main>", "controls": "a\x85\ufdd0", "scripts": "<math><mmultiscripts><mn>1</mn>",
            "references": "&#99999999999", "styles": "<p style='(display:'>"}
    for kind, piece in deep.items():
        if kind == "attributes":
            body = "<p " + " ".join(f"a{number}" for number in range(140_000)) + ">x</p>"
        elif kind == "numbered":
            body = "".join(f"<p><b id={number}>" for number in range(70_000))
        else:
            body = piece * ((1 << 20) // len(piece))
        source = write({"page.html": "<p>before</p>" + body + "<p>after"})
        output = fresh() / "data"
        command = ["bash", "-c", 'ulimit -s 512; exec "$@"', "-", BIN / "forge", "data", "prepare", "--input", source,
                   "--output", output, "--tokenizer", TOKENIZER, "--held-out", "0"]
        name = f"a megabyte of {kind} on a stack of 512 kB ends within a second"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        try:
            process = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=30)
        except subprocess.TimeoutExpired:
            check(name, False, "killed by the test after 30 s")
            continue
        # Of the processor: other work on the machine does not count.
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        check(name, process.returncode == 0 and seconds < 1, f"{seconds} s\n{process.stdout}{process.stderr}")


corpus = write({"a.txt": "The quick brown fox jumps over the lazy dog. " * 20})
made = run("forge", "tokenizer", "train", "--input", corpus, "--output", TOKENIZER, "--vocabulary-size", 300)
check("a tokenizer for the tests", made.code == 0, made)
for part in [encodings, plain_text, markup, names, records, user_files, numbers, few_threads, hostile]:
    part()
finish()
