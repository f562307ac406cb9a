"""Read all of the train split."""

from typing import Any

import datasets

import mnist_idx


def main(way: str, options: dict[str, Any]) -> None:
    if way == "arrays":
        mnist_idx.load_arrays("idxfolder", streaming=True, **options)
    elif way == "prepared":
        datasets.load_dataset("idxfolder", **options)
    else:
        for _ in datasets.load_dataset("idxfolder", streaming=True, split="train", **options):
            pass
