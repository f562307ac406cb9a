"""What is measured of the package: functions that `timed.py` calls, each in a process of its own.

They use what versions 2 and 3 both have, so that one can be compared with the other. `datasets` and
the package are imported now: what counts is the work. Whole programs, in `programs`, count imports.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import datasets
import numpy as np
import pyarrow.compute as pc
from figures import FILES, RECORDS
from floors import read_idx, size_of_files

import mnist_idx
from mnist_idx.tools.cli import main as run_command
from mnist_idx.tools.verify import verify as verify_files

# These are imported when they are first used.
load_arrays, write_idx, _ = mnist_idx.load_arrays, mnist_idx.write_idx, mnist_idx.MnistIdx
BATCH = 1000
IMAGE_SHAPE = (28, 28)


def prepare(path: str, **options: Any) -> int:
    """Prepare all splits, and return how many records they have."""
    return sum(split.num_rows for split in datasets.load_dataset(path, **options).values())


def stream(path: str, form: str, most: int, **options: Any) -> int:
    """Read the first records of the train split, in batches unless the form is "python"."""
    data = datasets.load_dataset(path, split="train", streaming=True, **options)
    count = 0
    if form == "python":
        for row in itertools.islice(data, most):
            row["image"].load()
            count += 1
        return count
    for batch in data.with_format(form).iter(min(BATCH, most)):
        count += len(batch["label"])
        if count >= most:
            break
    return count


def skip(path: str, first: int, **options: Any) -> int:
    """Read what follows the first records of a stream."""
    data = datasets.load_dataset(path, split="train", streaming=True, **options)
    return sum(1 for _ in data.skip(first))


def encode(path: str, data_files: dict[str, list[str]]) -> dict[str, float]:
    """Prepare images, and count the bytes of their PNG files."""
    data = datasets.load_dataset(path, split="train", data_files=data_files)
    num_bytes = 0
    for chunk in data.data.column("image").chunks:
        num_bytes += pc.sum(pc.binary_length(chunk.field("bytes"))).as_py()
    return {RECORDS: len(data), FILES: num_bytes / 1e6}


def arrays(path: str = "mnist_idx", split: str = "train", **options: Any) -> int:
    images, labels = load_arrays(path, split=split, **options)
    if labels is None or len(images) != len(labels):
        raise SystemExit("each image has a label")
    return len(images)


def write_saved(folder: str) -> int:
    """Write a dataset that `save_to_disk` has saved, without compression."""
    data = datasets.load_from_disk(folder)
    write_idx(data, "written", compress=False)
    return len(data)


def write_compressed(images: str, labels: str) -> dict[str, float]:
    """Write the arrays of IDX files, compressed."""
    pixels, classes = read_idx(images), read_idx(labels)
    write_idx((pixels, classes), "written")
    return {RECORDS: len(pixels), FILES: size_of_files("written") / 1e6}


def verify(source: str) -> None:
    problems = [report.problem for report in verify_files(source) if report.problem]
    if problems:
        raise SystemExit(problems[0])


def command(arguments: Sequence[str]) -> None:
    """Run `mnist-idx` in this process."""
    code = run_command(arguments)
    if code:
        raise SystemExit(code)


def prepare_then_parquet(source: str) -> None:
    """Write IDX files as Parquet by way of the cache."""
    data = datasets.load_dataset("idxfolder", data_dir=source, split="train")
    data.to_parquet("train.parquet")


def epoch_in_memory(folder: str, batch: int, shuffled: bool) -> int:
    """Load the train split of raw files, and hand out its records once."""
    images, labels = load_arrays("idxfolder", split="train", data_dir=folder)
    order = np.arange(len(images))
    if shuffled:
        order = np.random.default_rng(0).permutation(len(images))
    count = 0
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        count += min(len(images[chosen]), len(labels[chosen]))
    return count


def epoch_streamed(folder: str, batch: int, shuffled: bool) -> int:
    """Hand out the records of the train split once, as arrays, with few of them in memory."""
    options = {"data_dir": folder, "as_array": True, "num_shards": 6}
    data = datasets.load_dataset("idxfolder", split="train", streaming=True, **options)
    if shuffled:
        data = data.shuffle(seed=0, buffer_size=1000)
    count = 0
    for table in data.with_format("arrow").iter(batch):
        lists = table["image"].combine_chunks().storage
        images = lists.flatten().flatten().to_numpy().reshape(len(lists), *IMAGE_SHAPE)
        count += min(len(images), len(table["label"].to_numpy()))
    return count
