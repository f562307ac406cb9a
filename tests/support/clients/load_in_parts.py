"""Load numbered images in several processes, and stream them in shards."""

from typing import Any

import datasets
from idx_files import numbers

import mnist_idx


def load(folder: str, **options: Any) -> Any:
    return datasets.load_dataset(
        "idxfolder", data_dir=folder, split="train", as_array=True, **options
    )


def check_subsets(folder: str) -> None:
    """A subset is the same however many processes prepare it."""
    subset = {"num_samples": 3000, "seed": 3, "sampling": "uniform"}
    one, three = (
        numbers(load(folder, num_proc=count, cache_dir=f"cache{count}", **subset))
        for count in (1, 3)
    )
    assert len(set(one)) == 3000
    assert one == three


def main(folder: str) -> list[Any]:
    """The numbers of all images, and the length of each part: of processes, then of shards."""
    prepared = load(folder, num_proc=3)
    files = [datasets.Dataset.from_file(entry["filename"]) for entry in prepared.cache_files]
    check_subsets(folder)
    stream = load(folder, streaming=True, num_shards=7)
    shards = [numbers(stream.shard(num_shards=7, index=index)) for index in range(7)]
    return [
        [numbers(prepared), [len(file) for file in files]],
        [numbers(stream), [len(shard) for shard in shards]],
    ]
