"""Read a part of a stream, and end while more of it is being read."""

import time
from collections.abc import Iterator
from typing import Any

import datasets

import mnist_idx

ENDLESS: list[Iterator[Any]] = []  # what is still there when the interpreter ends


def main(options: dict[str, Any]) -> list[int]:
    """The first labels."""
    rows = iter(datasets.load_dataset(**options, split="train", streaming=True))
    ENDLESS.append(rows)
    labels = [next(rows)["label"] for _ in range(101)]
    time.sleep(0.5)
    return labels
