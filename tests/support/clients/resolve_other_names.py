"""Resolve names that are not ours, before the package is imported and afterwards."""

from pathlib import Path
from typing import Any

import datasets

LOADED: list[tuple[str, dict[str, Any]]] = [
    ("csv", {"data_files": "mnist/table.csv"}),
    ("mnist", {}),
    ("someone/mnist_idx", {}),
]


def outcomes() -> list[str]:
    """The first row, or the error, of each."""
    found = []
    for path, options in LOADED:
        try:
            row = datasets.load_dataset(path, split="train", **options)[0]
            found.append(repr(row))
        except Exception as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


def main() -> list[list[str]]:
    Path("mnist").mkdir()
    Path("mnist/table.csv").write_text("a,b\n1,2\n")
    before = outcomes()
    import mnist_idx

    return [before, outcomes()]
