"""Stream all splits of IDX files as arrays."""

import datasets

import mnist_idx


def main(url: str) -> int:
    """The number of their records."""
    data = datasets.load_dataset("idxfolder", data_dir=url, as_array=True, streaming=True)
    return sum(1 for split in data.values() for _ in split)
