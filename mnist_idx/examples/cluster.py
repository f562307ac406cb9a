"""Read a dataset with the tasks of a Ray cluster: here, the mean and the deviation of its pixels.

    python -m mnist_idx.examples.cluster --split train

Each task streams its own shard, a batch at a time. (`ray.data.from_huggingface` reads all shards in
a single task.) It needs `pip install "ray[data]"`.

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
    totals = {"records": len(pixels), "pixels": pixels.size}
    sums = {"sum": pixels.sum(), "sum_of_squares": (pixels**2).sum()}
    return {name: np.array([value]) for name, value in {**totals, **sums}.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the pixels of a dataset.")
    parser.add_argument("--config", default="mnist")
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
            yield from stream.shard(num_shards=num_shards, index=number).iter(batch_size=1000)

    shards = ray.data.range(num_shards, override_num_blocks=num_shards)
    records = shards.map_batches(read_shards, batch_size=1)
    rows = records.map_batches(measure, batch_size=1000).take_all()
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    mean = total["sum"] / total["pixels"]
    deviation = (total["sum_of_squares"] / total["pixels"] - mean**2) ** 0.5
    print(f"{total['records']} records, mean {mean:.4f}, deviation {deviation:.4f}", flush=True)


if __name__ == "__main__":
    main()
