"""Seconds to load one epoch of MNIST for PyTorch, road by road: `python tests/benchmarks/epochs.py [--runs 3]`.

Every road runs in turn, in one process, on the real archive; the table gives the slowest run. Nothing is trained: an
epoch only hands out its 60,000 records in batches of 256. Needs PyTorch and idx2numpy.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import os
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import idx2numpy
import numpy as np
import pyarrow as pa
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, TensorDataset

import mnist_idx

ARCHIVE = Path(__file__).resolve().parents[3] / "shared" / "data" / "mnist_database.tar"
BATCH_SIZE = 256
WORKERS = 2

Batches = Iterator[tuple[torch.Tensor, torch.Tensor]]


class Files(NamedTuple):
    """The same train split in every form that a road starts from."""

    cache: str  # folder of prepared datasets
    parquet: str  # PNG images and labels, as `ylecun/mnist`
    images: Path  # IDX file, compressed by gzip
    labels: Path


def make_files(archive: Path, folder: Path) -> Files:
    files = Files(str(folder / "cache"), str(folder / "train.parquet"), folder / "images.gz", folder / "labels.gz")
    with tarfile.open(archive) as tar:
        for role, path in (("images-idx3", files.images), ("labels-idx1", files.labels)):
            member = tar.extractfile(f"data/train-{role}-ubyte.gz")
            assert member is not None
            path.write_bytes(member.read())
    prepared(files, as_array=True)
    prepared(files).to_parquet(files.parquet)
    parquet(files)
    return files


def prepared(files: Files, **options: Any) -> datasets.Dataset:
    return datasets.load_dataset("mnist_idx", split="train", cache_dir=files.cache, **options)


def parquet(files: Files) -> datasets.Dataset:
    return datasets.load_dataset("parquet", data_files=files.parquet, split="train", cache_dir=files.cache)


def streamed(**options: Any) -> datasets.IterableDataset:
    return datasets.load_dataset("mnist_idx", split="train", streaming=True, num_shards=64, **options)


def permuted(images: torch.Tensor, labels: torch.Tensor) -> Batches:
    for batch in torch.randperm(len(images)).split(BATCH_SIZE):
        yield images[batch], labels[batch]


def pairs(batches: Iterable[dict[str, torch.Tensor]]) -> Batches:
    for batch in batches:
        yield batch["image"], batch["label"]


class PerItem(Dataset[Any]):
    """What `torchvision.datasets.MNIST` with `ToTensor` does: an image object and a float tensor for each record."""

    def __init__(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = Image.fromarray(self.images[index].numpy())
        pixels = torch.from_numpy(np.array(image)).view(image.height, image.width, 1).permute(2, 0, 1)
        return pixels.contiguous().float().div(255), int(self.labels[index])


def transform(batch: dict[str, list[Any]]) -> dict[str, Any]:
    images = torch.from_numpy(np.stack([np.asarray(image) for image in batch["image"]]))
    return {"image": images[:, None] / 255, "label": torch.tensor(batch["label"])}


def to_tensors(table: pa.Table) -> tuple[torch.Tensor, torch.Tensor]:
    """A row of an Arrow table, which holds a batch, as `.batch()` makes it."""
    images, labels = (table[name].combine_chunks().values.to_numpy() for name in ("image", "label"))
    return torch.tensor(images), torch.tensor(labels)


# Each road loads, and returns the function that starts an epoch.


def in_memory(files: Files) -> Callable[[], Batches]:
    images, labels = map(torch.from_numpy, mnist_idx.load_arrays("mnist_idx", split="train", cache_dir=files.cache))
    return lambda: permuted(images, labels)


def in_memory_loader(files: Files) -> Callable[[], Batches]:
    arrays = mnist_idx.load_arrays("mnist_idx", split="train", cache_dir=files.cache)
    data = TensorDataset(*map(torch.from_numpy, arrays))
    return lambda: iter(DataLoader(data, BATCH_SIZE, shuffle=True))


def prepared_whole(files: Files) -> Callable[[], Batches]:
    data = prepared(files, as_array=True).with_format("torch", dtype=torch.uint8)[:]
    return lambda: permuted(data["image"], data["label"])


def prepared_in_order(files: Files) -> Callable[[], Batches]:
    data = prepared(files, as_array=True).with_format("torch", dtype=torch.uint8)
    return lambda: pairs(data.iter(BATCH_SIZE))


def prepared_shuffled(files: Files) -> Callable[[], Batches]:
    data = prepared(files, as_array=True).with_format("torch", dtype=torch.uint8)
    return lambda: pairs(DataLoader(data, BATCH_SIZE, shuffle=True))


def prepared_images(files: Files) -> Callable[[], Batches]:
    data = prepared(files).with_transform(transform)
    return lambda: pairs(DataLoader(data, BATCH_SIZE, shuffle=True))


def streamed_batches(files: Files) -> Callable[[], Batches]:
    data = streamed(as_array=True).with_format("arrow").shuffle(seed=0, buffer_size=1000).batch(BATCH_SIZE)
    return lambda: iter(DataLoader(data, batch_size=None, num_workers=WORKERS, collate_fn=to_tensors))


def streamed_rows(files: Files) -> Callable[[], Batches]:
    data = streamed().shuffle(seed=0, buffer_size=1000).with_format("torch")
    return lambda: pairs(DataLoader(data, BATCH_SIZE, num_workers=WORKERS))


def torchvision_style(files: Files) -> Callable[[], Batches]:
    data = PerItem(*read_idx(files))
    return lambda: iter(DataLoader(data, BATCH_SIZE, shuffle=True))


def parquet_shuffled(files: Files) -> Callable[[], Batches]:
    data = parquet(files).with_format("torch")
    return lambda: pairs(DataLoader(data, BATCH_SIZE, shuffle=True))


def idx2numpy_in_memory(files: Files) -> Callable[[], Batches]:
    images, labels = read_idx(files)
    return lambda: permuted(images, labels)


def read_idx(files: Files) -> Sequence[torch.Tensor]:
    return [torch.tensor(idx2numpy.convert_from_file(gzip.open(path))) for path in (files.images, files.labels)]


ROADS: dict[str, Callable[[Files], Callable[[], Batches]]] = {
    "in memory: `load_arrays`, batches by `torch.randperm`": in_memory,
    "in memory: `load_arrays`, `DataLoader(shuffle=True)`": in_memory_loader,
    "prepared, taken whole with `[:]`, batches by `torch.randperm`": prepared_whole,
    "prepared, in order: `as_array=True`, `.iter()`": prepared_in_order,
    "prepared, shuffled: `Image`, `with_transform`, `DataLoader`": prepared_images,
    "prepared, shuffled: `as_array=True`, `DataLoader`": prepared_shuffled,
    "streamed, shuffled: Arrow batches, 2 workers": streamed_batches,
    "streamed, shuffled: rows, 2 workers": streamed_rows,
    "`idx2numpy`, batches by `torch.randperm`": idx2numpy_in_memory,
    "as `torchvision.datasets.MNIST`: PIL and `ToTensor` per item": torchvision_style,
    "Parquet as `ylecun/mnist`, `DataLoader(shuffle=True)`": parquet_shuffled,
}


def measure(road: Callable[[Files], Callable[[], Batches]], files: Files) -> tuple[float, float, tuple[int, int]]:
    """Seconds to load, seconds of an epoch, and how many records and which sum of labels the epoch had."""
    gc.collect()
    start = time.perf_counter()
    epoch = road(files)
    loaded = time.perf_counter()
    count = total = 0
    for images, labels in epoch():
        count += len(images)
        total += int(labels.sum())
    return loaded - start, time.perf_counter() - loaded, (count, total)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--archive", type=Path, default=ARCHIVE)
    options = parser.parse_args()
    os.environ["MNIST_IDX_MIRROR"] = str(options.archive)
    datasets.disable_progress_bars()
    with tempfile.TemporaryDirectory() as folder:
        files = make_files(options.archive, Path(folder))
        runs = [{name: measure(road, files) for name, road in ROADS.items()} for _ in range(options.runs)]
    epochs = {seen for run in runs for _, _, seen in run.values()}
    if len(epochs) > 1:
        raise SystemExit(f"The roads did not load the same records: {epochs}")
    slowest = {name: tuple(max(run[name][part] for run in runs) for part in (0, 1)) for name in ROADS}
    base = slowest[next(iter(ROADS))][1]
    print("| road | load once | an epoch | times the first |")
    print("|---|---|---|---|")
    for name, (load, epoch) in slowest.items():
        print(f"| {name} | {load:.2f} s | {epoch:.2f} s | {epoch / base:.0f} |")


if __name__ == "__main__":
    main()
