"""Measure a dataset with the tasks of a Ray cluster.

    pip install "ray[data]"
    python cluster.py

That is this file, wherever it is saved; `python -m mnist_idx.examples.cluster` runs the installed
one. It starts a cluster on this machine, unless `RAY_ADDRESS` names one, and takes half a minute.
It prints the mean and the deviation of the pixels.

Each task streams its own shard, a batch at a time. (`ray.data.from_huggingface` reads all shards in
a single task.)

To write a large IDX file as Parquet once, which `load_dataset` and `ray.data.read_parquet` read:

    mnist-idx export SOURCE FOLDER --ray
"""

import argparse
from collections.abc import Iterator

import numpy as np
import ray.data

from mnist_idx import load_dataset

NUM_SHARDS = 16
Columns = dict[str, np.ndarray]


def measure(batch: Columns) -> Columns:
    """How many records of a batch there are, and the sums that mean and deviation take."""
    pixels = batch["image"].astype(np.float64) / 255
    return {
        "records": np.array([len(pixels)]),
        "pixels": np.array([pixels.size]),
        "sum": np.array([pixels.sum()]),
        "sum_of_squares": np.array([(pixels**2).sum()]),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the pixels of a dataset.")
    parser.add_argument("--config", default="mnist", help="mnist, fashion_mnist, kmnist or tiny")
    parser.add_argument("--split", default="train")
    options = parser.parse_args()
    stream = load_dataset(
        "mnist_idx",
        options.config,
        split=options.split,
        streaming=True,
        as_array=True,
        num_shards=NUM_SHARDS,
    ).with_format("numpy")
    num_shards = stream.num_shards

    def read_shards(numbers: Columns) -> Iterator[Columns]:
        for number in numbers["id"].tolist():
            shard = stream.shard(num_shards=num_shards, index=number)
            yield from shard.iter(batch_size=1000)

    shards = ray.data.range(num_shards, override_num_blocks=num_shards)
    records = shards.map_batches(read_shards, batch_size=1)
    rows = records.map_batches(measure, batch_size=1000).take_all()
    num_records = sum(row["records"] for row in rows)
    num_pixels = sum(row["pixels"] for row in rows)
    mean = sum(row["sum"] for row in rows) / num_pixels
    mean_square = sum(row["sum_of_squares"] for row in rows) / num_pixels
    deviation = (mean_square - mean**2) ** 0.5
    print(f"{num_records} records, mean {mean:.4f}, deviation {deviation:.4f}", flush=True)


if __name__ == "__main__":
    main()
