#!/usr/bin/env python3
"""Holds configs/run.schema.json against a JSON Schema validator and against forge-dist.

The schema must be a valid one, every file in configs/ valid by it, and every setting of a wrong type or beyond its range refused
both by the validator and by the program. Needs jsonschema and PyYAML. Exit code 1 when something differs.
"""

import copy
import json
import os
import pathlib
import subprocess
import sys

import jsonschema
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("FORGE_BIN", ROOT / ".build/release")) / "forge-dist"
SCHEMA = json.loads((ROOT / "configs/run.schema.json").read_text())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

passed = failed = 0


def check(name, ok, detail=""):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print(f"FAILED {name}\n{detail}".rstrip())


def changed(settings, key, value):
    settings = copy.deepcopy(settings)
    section, name = key.split(".")
    settings.setdefault(section, {})[name] = value
    return settings


def wrong_values(setting):
    """Values that the schema of one setting refuses, at the ends of its range and of other types."""
    for part in [setting, *setting.get("anyOf", [])]:
        if "minimum" in part:
            yield part["minimum"] - 1
        if "exclusiveMinimum" in part:
            yield part["exclusiveMinimum"]
        if "maximum" in part:
            yield part["maximum"] + 1 if part["maximum"] < 1e30 else 1e39
        if "exclusiveMaximum" in part:
            yield part["exclusiveMaximum"]
    if not setting.get("type") == "object" and "object" not in setting.get("type", []):
        yield {}
    if "string" not in setting.get("type", []):
        yield "surely not"


def main():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    check("the schema is valid", True)
    files = sorted((ROOT / "configs").glob("*.yaml"))
    for path in files:
        errors = [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))]
        check(f"{path.name} is valid", not errors, errors)
    check("there are configurations", len(files) >= 6)

    base = yaml.safe_load((ROOT / "configs/quickstart.yaml").read_text())
    checked = 0
    for section, part in SCHEMA["properties"].items():
        for name, setting in part["properties"].items():
            # What a model's keys may be, and which count at all, its family decides.
            if section == "model" and name != "from":
                continue
            for value in wrong_values(setting):
                key = f"{section}.{name}"
                allowed = VALIDATOR.is_valid(changed(base, key, value))
                # A number outside of one form may be within another.
                if allowed and "anyOf" in setting:
                    continue
                ended = subprocess.run([PROGRAM, "--set", f"{key}={json.dumps(value)}"], capture_output=True, text=True)
                check(f"{key}={value!r}: refused by both", not allowed and ended.returncode == 64 and key in ended.stderr,
                      f"the schema {'allows' if allowed else 'refuses'} it\n{ended.returncode} {ended.stderr}")
                checked += 1
    check("settings are checked", checked > 100, checked)
    print(f"{checked} wrong values of {sum(len(part['properties']) for part in SCHEMA['properties'].values())} keys")


main()
print(f"{passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
