#!/usr/bin/env python3
"""The order of the house: every import of one of our targets, or of another package's, is declared in the manifest, and
nothing is declared that is not imported; no room imports from a floor above its own; unsafe pointers are only where docs/architecture.md names them; pages of symbols
name what there is; forge prints in one place; docs/errors.md has the codes that errors have.

Reads sources and manifests; runs none of the programs.
"""

import json
import os
import pathlib
import re
import subprocess

import harness

PACKAGES = [harness.ROOT, harness.ROOT / "Benchmarks"]
IMPORT = re.compile(r"^\s*(?:@\w+(?:\(\w+\))?\s+)*(?:(?:public|package|internal|fileprivate|private)\s+)?"
                    r"import\s+(?:(?:typealias|struct|class|enum|protocol|let|var|func)\s+)?(\w+)", re.MULTILINE)
UNSAFE = re.compile(r"\bUnsafe\w*Pointer|\bwithUnsafe\w+|\bUnmanaged\b|\bunsafe(?:BitCast|Downcast)\b")


def sources(folder):
    """The Swift files below a folder, those behind symbolic links too."""
    return sorted(pathlib.Path(at) / name for at, _, names in os.walk(folder, followlinks=True)
                  for name in names if name.endswith(".swift"))


def place(path):
    """A file's room and its name there: Kernels/Buffer.swift."""
    return "/".join(path.relative_to(harness.ROOT / "Sources").parts[1:])


def code(path):
    """A file's text without its comments of a line."""
    return "\n".join(line.partition("//")[0] for line in path.read_text().splitlines())


def manifest(package):
    """What a Package.swift says, with the targets that exist only for development and fuzzing."""
    environment = os.environ | {"FORGE_DEVELOPMENT": "1", "FORGE_FUZZ": "1"}
    ended = subprocess.run(["swift", "package", "dump-package"], cwd=package, env=environment, capture_output=True, text=True)
    harness.check(f"{package.name}: the manifest is read", ended.returncode == 0, ended.stderr)
    return json.loads(ended.stdout)


def names(dependency):
    """The target or product that a dependency names."""
    return next(iter(dependency.values()))[0]


def imports():
    """What targets import against what they declare."""
    for package in PACKAGES:
        targets = [target for target in manifest(package)["targets"] if target["type"] != "system"]
        declared = {target["name"]: set(map(names, target["dependencies"])) for target in targets}
        modules = {module for dependencies in declared.values() for module in dependencies} | declared.keys()
        modules |= {path.name for path in (harness.ROOT / "Sources").glob("*/*")}
        missing, idle = [], []
        for target in targets:
            folder = package / target.get("path", f"{'Tests' if target['type'] == 'test' else 'Sources'}/{target['name']}")
            files = sources(folder)
            imported = {module: path for path in files for module in IMPORT.findall(code(path)) if module in modules}
            missing += [f"{path.relative_to(package)}: {module}" for module, path in sorted(imported.items())
                        if module not in declared[target["name"]]]
            idle += [f"{target['name']}: {module}" for module in sorted(declared[target["name"]] - imported.keys())]
        harness.check(f"{len(targets)} targets declare what they import", targets and not missing, "\n".join(missing))
        harness.check("and import what they declare", not idle, "\n".join(idle))


def floors():
    """Rooms by floor, whose names begin with its number: what a room depends on is not above it."""
    rooms = {path.name: int(path.parent.name[0]) for path in (harness.ROOT / "Sources").glob("*/*")}
    above = [f"{target['name']} -> {module}" for target in manifest(harness.ROOT)["targets"] if target["name"] in rooms
             for module in map(names, target["dependencies"]) if rooms.get(module, 0) > rooms[target["name"]]]
    harness.check(f"{len(rooms)} rooms on {len(set(rooms.values()))} floors depend on none above them",
                  len(set(rooms.values())) == 7 and not above, "\n".join(above))


def unsafe_code():
    """Files with unsafe pointers, against the list in docs/architecture.md: rooms end with a slash, files with .swift."""
    page = (harness.ROOT / "docs/architecture.md").read_text()
    section = page.partition("### Where unsafe code is")[2].partition("\n#")[0]
    rooms = set(re.findall(r"`(\w+/)`", section))
    files = set(re.findall(r"`(\w[\w/+]*\.swift)`", section))
    found = {place(path) for path in sources(harness.ROOT / "Sources") if UNSAFE.search(code(path))}
    entered = {room for room in rooms if any(path.startswith(room) for path in found)}
    outside = {path for path in found if not path.startswith(tuple(rooms))}
    harness.check("unsafe pointers are where docs/architecture.md says, and nowhere else",
                  found and outside == files and entered == rooms,
                  f"not listed: {sorted(outside - files)}\nlisted only: {sorted(files - outside) + sorted(rooms - entered)}")


def catalogues():
    """Symbols that the DocC pages of a room name, against what it declares."""
    pages = sorted((harness.ROOT / "Sources").glob("*/*/*.docc/*.md"))
    for page in pages:
        room = page.parents[1]
        text = "\n".join(map(code, sources(room)))
        declared = set(re.findall(r"^public (?:final )?(?:class|struct|enum|protocol|typealias) (\w+)", text, re.MULTILINE))
        named = set(re.findall(r"``(\w+)``", page.read_text())) - {room.name}
        harness.check(f"{page.name} names what is public in its room", named and named <= declared, named - declared)
    harness.check("three rooms have pages", len(pages) == 3, pages)


def printing():
    """One file of each program writes to a terminal, and none of Commands."""
    pattern = re.compile(r"(?<![\w.])(?:print|debugPrint|dump|fputs|puts|printf)\(|FileHandle\.standard(?:Output|Error)"
                         r"|STD(?:OUT|ERR)_FILENO|(?<!\w)std(?:out|err)\b")
    for room in ["Commands", "forge", "forge-dist"]:
        found = {path.name for path in sources(harness.ROOT / "Sources/6-Doors" / room) if pattern.search(code(path))}
        harness.check(f"{room} prints {'nowhere' if room == 'Commands' else 'in one place'}",
                      found == (set() if room == "Commands" else {"Printing.swift"}), found)


def error_codes():
    """The table of codes, against the enumeration and its first words."""
    declared = re.findall(r'/// (.+)\n +case (\w+)(?: = "(\w+)")?\n',
                          (harness.ROOT / "Sources/0-Support/Support/ForgeError+Code.swift").read_text())
    table = (harness.ROOT / "docs/errors.md").read_text().partition("\n## Codes")[2]
    told = [(code, meaning) for code, meaning, what in re.findall(r"^\| `(\w+)` \| (.+?) \| (.+) \|$", table, re.MULTILINE)
            if what.strip()]
    expected = [(value or name, meaning) for meaning, name, value in declared]
    harness.check(f"docs/errors.md has the {len(expected)} codes of errors", len(expected) > 20 and told == expected,
                  set(told) ^ set(expected))


imports()
floors()
unsafe_code()
catalogues()
printing()
error_codes()
harness.finish()
