"""Stream MNIST, and list what is on the disk afterwards."""

import os
from typing import Any

import datasets
from clients import tree

import mnist_idx


def main() -> list[Any]:
    """The counts of the splits, the files in `HF_HOME` but for empty locks, and those in TMPDIR."""
    counts = {}
    for name, split in datasets.load_dataset("mnist_idx", streaming=True).items():
        counts[name] = sum(len(table) for table in split.with_format("arrow").iter(1000))
    mnist_idx.load_arrays("mnist_idx", split="test", streaming=True)
    left = {}
    for name, size in tree(os.environ["HF_HOME"]).items():
        if size > 0 or not name.endswith(".lock"):
            left[name] = size
    return [counts, left, tree(os.environ["TMPDIR"])]
