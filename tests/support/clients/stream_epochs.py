"""Stream the test split many times, and see what it takes."""

import gc
import os
from typing import Any

import datasets
from clients import digest
from process_memory import resident_memory

import mnist_idx


def main(epochs: int) -> list[Any]:
    """The digest of the images; then by epoch that of their files, memory, and open files."""
    mnist_idx.remote.RETRY_DELAYS = (0.01,) * 4
    stream = datasets.load_dataset("mnist_idx", split="test", streaming=True).with_format("arrow")
    hashes, memory, files = [], [], []
    for epoch in range(epochs):
        rows = [row for table in stream.iter(batch_size=1000) for row in table.to_pylist()]
        if epoch == 0:
            # This decodes the images: later epochs have to have the same bytes.
            first = digest(rows)
        hashes.append(digest(rows, lambda image: image["bytes"]))
        del rows
        gc.collect()
        memory.append(resident_memory())
        files.append(len(os.listdir("/proc/self/fd")))
    return [first, hashes, memory, files]
