"""Read IDX files in all ways, and collect what is left open after each."""

import gc
from typing import Any

import datasets

import mnist_idx

WAYS: dict[str, dict[str, Any]] = {
    "prepared": {},
    "streamed": {"streaming": True},
    "num_proc": {"num_proc": 2},
}


def main(paths: list[str]) -> list[int]:
    """The number of records of each split."""
    for path in paths:
        for way, options in WAYS.items():
            data = datasets.load_dataset(
                "idxfolder", data_dir=path, cache_dir=f"{path}-{way}", **options
            )
            counts = [len(list(data[split])) for split in data]
            del data
            gc.collect()
        mnist_idx.load_arrays("idxfolder", data_dir=path)
        gc.collect()
    return counts
