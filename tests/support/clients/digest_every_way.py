"""Read every record of MNIST in each of the ways there are."""

import os
from typing import Any

import datasets
from clients import digest, digest_arrays, digest_table

import mnist_idx


def main() -> list[Any]:
    """The digests of train, then of test in four ways."""
    data = datasets.load_dataset("mnist_idx")
    in_processes = datasets.load_dataset(
        "mnist_idx", split="test", num_proc=2, cache_dir=os.environ["TMPDIR"]
    )
    stream = datasets.load_dataset("mnist_idx", split="test", streaming=True)
    images, labels = mnist_idx.load_arrays("mnist_idx", split="test")
    return [
        digest_table(data["train"]),
        digest_table(data["test"]),
        digest_table(in_processes),
        digest(stream),
        digest_arrays(images, labels),
    ]
