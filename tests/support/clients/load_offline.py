"""Load without a network what is in the cache, and what is not."""

from typing import Any

import datasets
from clients import fingerprint

import mnist_idx


def load_subset() -> None:
    datasets.load_dataset("mnist_idx", "subset")


def stream() -> None:
    next(iter(datasets.load_dataset("mnist_idx", split="test", streaming=True)))


def stream_arrays() -> None:
    mnist_idx.load_arrays("mnist_idx", streaming=True)


def main() -> list[Any]:
    """The fingerprint of MNIST, the counts of the miniature, and the error of each other call."""
    result: list[Any] = [fingerprint(datasets.load_dataset("mnist_idx"))]
    result.append(datasets.load_dataset("mnist_idx", "tiny").num_rows)
    for load in (load_subset, stream, stream_arrays):
        try:
            load()
        except mnist_idx.IdxError as error:
            result.append(str(error))
    return result
