#!/usr/bin/env python3
"""Writes tiny random Hugging Face models of all families, in every form: OUT/<variant>/<form>/."""

import argparse
import pathlib

import models


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=pathlib.Path, help="folder to write to")
    out = parser.parse_args().out
    forms = models.folder_forms()
    for variant in models.VARIANTS:
        for form in forms:
            models.write_model(out / models.folder_name(variant, *form), variant, *form)
    print(f"{len(models.VARIANTS)} variants × {len(forms)} forms in {out}")


if __name__ == "__main__":
    main()
