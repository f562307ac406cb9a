"""Seconds to load one epoch of MNIST for PyTorch, by several ways: `python
tests/benchmarks/epochs.py [--runs 3]`.

The ways take turns in one process; the table gives the slowest run of each. Nothing is trained.
Needs PyTorch.
"""

import argparse
import gc
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import idx2numpy
import numpy as np
import pyarrow as pa
import torch
from peers import opened
from PIL import Image
from torch.utils.data import DataLoader

import mnist_idx

ARCHIVE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist_database.tar"
BATCH_SIZE = 256
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
shuffled = partial(DataLoader, batch_size=BATCH_SIZE, shuffle=True)


def permuted(images: torch.Tensor, labels: torch.Tensor) -> Batches:
    return (
        (images[batch], labels[batch]) for batch in torch.randperm(len(images)).split(BATCH_SIZE)
    )


def pairs(batches: Iterable[dict[str, torch.Tensor]]) -> Batches:
    return ((batch["image"], batch["label"]) for batch in batches)


def transform(batch: dict[str, list[Any]]) -> dict[str, Any]:
    images = torch.from_numpy(np.stack([np.asarray(image) for image in batch["image"]]))
    return {"image": images[:, None] / 255, "label": torch.tensor(batch["label"])}


def as_torchvision(
    images: np.ndarray, labels: np.ndarray, indices: list[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """What `torchvision.datasets.MNIST` with `ToTensor` does: an image object and a float tensor
    for each record.
    """
    items = [
        torch.from_numpy(np.array(Image.fromarray(images[index])))[None].float().div(255)
        for index in indices
    ]
    return torch.stack(items), torch.tensor([int(labels[index]) for index in indices])


def to_tensors(table: pa.Table) -> list[torch.Tensor]:
    return [
        torch.tensor(table[name].combine_chunks().values.to_numpy()) for name in ("image", "label")
    ]


def make_epochs(folder: str, archive: str) -> dict[str, Callable[[], Batches]]:
    """Load the train split in every way. Returns, by way, the function that starts an epoch."""
    load = partial(datasets.load_dataset, split="train", cache_dir=f"{folder}/cache")
    arrays = mnist_idx.load_arrays("mnist_idx", split="train", cache_dir=f"{folder}/cache")
    images = load("mnist_idx")
    images.to_parquet(f"{folder}/train.parquet")
    transformed = images.with_transform(transform)
    parquet = load("parquet", data_files=f"{folder}/train.parquet").with_format("torch")
    table = load("mnist_idx", as_array=True).with_format("torch", dtype=torch.uint8)
    stream = load("mnist_idx", as_array=True, streaming=True, num_shards=64).with_format("arrow")
    batches = stream.shuffle(seed=0, buffer_size=1000).batch(BATCH_SIZE)
    indices, one_by_one = range(len(arrays[0])), partial(as_torchvision, *arrays)
    others = map(torch.from_numpy, map(idx2numpy.convert_from_file, opened(archive)))
    return {
        "in memory: `load_arrays`": partial(permuted, *map(torch.from_numpy, arrays)),
        "in memory: `idx2numpy`": partial(permuted, *others),
        "prepared, `as_array=True`, taken whole with `[:]`": partial(permuted, *table[:].values()),
        "prepared, `as_array=True`, in order with `.iter()`": lambda: pairs(table.iter(BATCH_SIZE)),
        "prepared, `Image` column, `with_transform`, shuffled": lambda: pairs(
            shuffled(transformed)
        ),
        "streamed, shuffled, two workers": lambda: DataLoader(
            batches, None, num_workers=2, collate_fn=to_tensors
        ),
        "PIL images one by one, as in `torchvision.datasets.MNIST`": lambda: shuffled(
            indices, collate_fn=one_by_one
        ),
        "Parquet as in `ylecun/mnist`, shuffled": lambda: pairs(shuffled(parquet)),
    }


def measure(epoch: Callable[[], Batches]) -> tuple[float, tuple[int, int]]:
    """Seconds, and how many records with which sum of labels."""
    gc.collect()
    start, count, total = time.perf_counter(), 0, 0
    for images, labels in epoch():
        count += len(images)
        total += int(labels.sum())
    return time.perf_counter() - start, (count, total)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    options = parser.parse_args()
    os.environ["MNIST_IDX_MIRROR"] = str(options.archive)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        epochs = make_epochs(folder, str(options.archive))
        runs = [
            {name: measure(epoch) for name, epoch in epochs.items()} for _ in range(options.runs)
        ]
    if len(seen := {records for run in runs for _, records in run.values()}) > 1:
        raise SystemExit(f"not the same records everywhere: {seen}")
    slowest = {name: max(run[name][0] for run in runs) for name in epochs}
    print("| loading 60,000 records in batches of 256 | seconds per epoch | times the first |")
    print("|---|---|---|")
    for name, seconds in slowest.items():
        print(f"| {name} | {seconds:.2f} | {seconds / next(iter(slowest.values())):.1f} |")


if __name__ == "__main__":
    main()
