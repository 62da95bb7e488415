#!/usr/bin/env python3
"""forge-dist --help-config: every setting as text, by section or alone, and as the JSON Schema that is committed."""

import json

import harness
from harness import check, run

CONFIGS = harness.ROOT / "configs"


def told(name, *arguments, ranks=None):
    """What --help-config prints."""
    ended = run("forge-dist", "--help-config", *arguments, ranks=ranks)
    check(name, ended.code == 0 and ended.out and not ended.err, ended)
    return ended.out


def refused(name, *arguments, expected):
    ended = run("forge-dist", *arguments)
    # With --json the error is on standard output too.
    check(name, ended.code == 64 and bool(ended.out) == ("--json" in arguments) and expected in ended.err, ended)


def main():
    text = told("every setting")
    schema = json.loads((CONFIGS / "run.schema.json").read_text())
    keys = [f"{section}.{key}" for section, part in schema["properties"].items() for key in part["properties"]
            if part["properties"][key].get("description") != "Accepted and ignored."]
    check("each has its lines", len(keys) > 90 and all(f"\n  {key}  (" in text for key in keys),
          [key for key in keys if f"\n  {key}  (" not in text])
    check("lines fit a terminal", max(map(len, text.splitlines())) <= 80, text)
    check("two ranks print it once", told("every setting, on two ranks", ranks=2) == text)
    check("a section is a part", told("a section", "optimizer") in text)
    one = told("one setting", "optimizer.betas")
    check("with its type, default and meaning", one.startswith(
        "optimizer.betas  (list of 2 numbers in [0, 1); default: [0.9, 0.95])\n    "), one)
    check("an item of a list", told("an item", "data.train.0.weight").startswith("data.train.N.weight  (number > 0; default: 1)"))
    check("the committed JSON Schema is the program's",
          told("JSON Schema", "--json") == (CONFIGS / "run.schema.json").read_text())
    refused("a misspelt setting", "--help-config", "optimizer.learning_rte",
            expected="there is no setting 'optimizer.learning_rte'; did you mean 'optimizer.learning_rate'?")
    refused("--json of one setting", "--help-config", "run.steps", "--json", expected="leave 'run.steps' out")
    ended = run("forge-dist", "--help")
    check("--help names it", ended.code == 0 and "--help-config" in ended.out, ended)


main()
harness.finish()
