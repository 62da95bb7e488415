"""An organisation's documents, made up: the input of the tests of tokenizer, data and training."""

import gzip
import random

INVALID_UTF8 = b"caf\xe9 au lait \xff\xfe\x80 " * 20
# Files whose text has to be found again, byte for byte.
VERBATIM = ["rule-7.txt", "README.md", "guide.rst", "tool.py"]
COUNT = 65

WHO = ["A package", "The maintainer", "Every upload", "A source tree", "Jürgen's build", "変更履歴"]
MUST = ["must", "should", "may", "must not", "should never"]
DO = ["install", "depend on", "replace", "describe", "sign", "remove", "translate"]
WHAT = ["a manual page", "its configuration", "shared libraries", "the changelog", "42 test suites", "/usr/share/doc"]


def write(folder):
    """Writes `COUNT` documents in several formats, and a duplicate, an empty and a binary file beside them."""
    generator = random.Random(7)

    def text(sentences):
        return " ".join(" ".join(map(generator.choice, [WHO, MUST, DO, WHAT])) + "." for _ in range(sentences)) + "\n"

    folder.mkdir()
    for number in range(60):
        chapter = folder / f"chapter-{number % 5}"
        chapter.mkdir(exist_ok=True)
        (chapter / f"rule-{number}.txt").write_text(text(generator.randrange(5, 40)))
    (folder / "README.md").write_text("# Rules\n\n" + text(20))
    (folder / "guide.rst").write_text("Guide\n=====\n\n" + text(20))
    (folder / "page.html").write_text(f"<html><script>var hidden = 1;</script><h1>Page</h1><p>{text(20)}</html>")
    (folder / "packed.txt.gz").write_bytes(gzip.compress(text(20).encode()))
    (folder / "tool.py").write_text("def rule(number):\n    return number + 1\n" * 9)
    (folder / "invalid.txt").write_bytes(INVALID_UTF8)
    (folder / "copy-of-README.md").write_bytes((folder / "README.md").read_bytes())
    (folder / "empty.txt").write_bytes(b"")
    (folder / "binary.dat").write_bytes(bytes(range(256)) * 20)
