"""What is measured, each in a process of its own: `python tasks.py NAME JSON` prints seconds and
records.
"""

import gzip
import io
import itertools
import json
import sys
import tarfile
import time
from typing import Any

import datasets
import idx2numpy
import numpy as np
from peers import MEMBERS, Stock, prepare_floor

import mnist_idx

# Imported now, as the peers are: what counts is the work. `program` and `warm` count imports, too.
load_arrays, _ = mnist_idx.load_arrays, mnist_idx.MnistIdx


def prepare(path: str, **options: Any) -> int:
    return sum(split.num_rows for split in datasets.load_dataset(path, **options).values())


def prepare_stock(archive: str) -> int:
    builder = Stock(data_dir=archive)
    builder.download_and_prepare()
    return sum(split.num_rows for split in builder.as_dataset().values())


def make_parquet(archive: str, files: dict[str, str]) -> int:
    """The dataset as the Hub has it: PNG made by Pillow, in Parquet files made by `datasets`."""
    builder = Stock(data_dir=archive)
    builder.download_and_prepare()
    return sum(builder.as_dataset(split).to_parquet(file) for split, file in files.items())


def stream(path: str, form: str, most: int, **options: Any) -> int:
    """Read the first `most` records of the train split, in batches unless the form is "python"."""
    data = datasets.load_dataset(path, split="train", streaming=True, **options)
    if form == "python":
        return sum(row["image"].load() is not None for row in itertools.islice(data, most))
    return sum(
        len(batch["label"])
        for batch in itertools.islice(data.with_format(form).iter(1000), most // 1000)
    )


def arrays() -> int:
    return len(load_arrays("mnist_idx", split="train")[0])


def opened(archive: str) -> list[gzip.GzipFile]:
    with tarfile.open(archive) as tar:
        return [gzip.open(io.BytesIO(tar.extractfile(name).read())) for name in MEMBERS["train"]]


def arrays_idx2numpy(archive: str) -> int:
    images, labels = map(idx2numpy.convert_from_file, opened(archive))
    return len(images) if len(images) == len(labels) else 0


def arrays_plain(archive: str) -> int:
    pixels, classes = (file.read() for file in opened(archive))
    images = np.frombuffer(pixels, np.uint8, offset=16).reshape(-1, 28, 28).copy()
    labels = np.frombuffer(classes, np.uint8, offset=8).copy()
    return len(images) if len(images) == len(labels) else 0


TASKS = [prepare, prepare_stock, prepare_floor, make_parquet, stream]
TASKS += [arrays, arrays_idx2numpy, arrays_plain]

if __name__ == "__main__":
    tasks = {task.__name__: task for task in TASKS}
    name, arguments = sys.argv[1:]
    began = time.perf_counter()
    records = tasks[name](**json.loads(arguments))
    print(json.dumps({"seconds": time.perf_counter() - began, "records": records}))
