"""What is measured: each task runs in a process of its own, `python tasks.py NAME JSON`.

A task is a generator: what comes before its `yield` is preparation, what comes after is measured. Its value tells how
much was done: it is the same for all tasks that are compared.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

Task = Callable[..., Generator[None, None, Any]]
TASKS: dict[str, Task] = {}


def task(function: Task) -> Task:
    TASKS[function.__name__] = function
    return function


def rows(data: Any) -> int:
    return sum(split.num_rows for split in data.values())


def turn_verification_off() -> None:
    """Forget the published digests of MNIST."""
    from mnist_idx.catalog import DATASETS

    splits = {
        name: split._replace(
            images=split.images._replace(sha256="", content_sha256=""),
            labels=split.labels._replace(sha256="", content_sha256=""),
        )
        for name, split in DATASETS["mnist"].splits.items()
    }
    DATASETS["mnist"] = DATASETS["mnist"]._replace(splits=splits)


@task
def prepare(cache: str, verified: bool = True) -> Generator[None, None, int]:
    from datasets import load_dataset

    import mnist_idx  # noqa: F401

    if not verified:
        turn_verification_off()
    yield
    return rows(load_dataset("mnist_idx", cache_dir=cache))


@task
def generate(cache: str, data_dir: str) -> Generator[None, None, int]:
    """Prepare without opening the result: what is mapped into memory then is not what preparing takes."""
    from datasets import load_dataset_builder

    import mnist_idx  # noqa: F401

    yield
    builder = load_dataset_builder("idxfolder", data_dir=data_dir, cache_dir=cache)
    builder.download_and_prepare()
    return sum(split.num_examples for split in builder.info.splits.values())


@task
def prepare_stock(cache: str, archive: str) -> Generator[None, None, int]:
    from peers import Stock

    yield
    builder = Stock(cache_dir=cache, data_dir=archive)
    builder.download_and_prepare()
    return rows(builder.as_dataset())


@task
def prepare_parquet(cache: str, files: dict[str, str]) -> Generator[None, None, int]:
    from datasets import load_dataset

    yield
    return rows(load_dataset("parquet", data_files=files, cache_dir=cache))


@task
def prepare_floor(cache: str, archive: str) -> Generator[None, None, int]:
    from peers import floor

    Path(cache).mkdir(exist_ok=True)
    yield
    return floor(archive, cache)


def consume(data: Any, form: str, most: int | None) -> int:
    """Read a stream in a form, at most so many records of it. Returns how many were read."""
    done = 0
    if form == "python":
        for row in data:
            row["image"].load()
            done += 1
            if done == most:
                break
        return done
    for batch in data.with_format(form).iter(1000):
        done += batch.num_rows if form == "arrow" else len(batch["label"])
        if most is not None and done >= most:
            break
    return done


@task
def stream(form: str, split: str, most: int | None = None, verified: bool = True) -> Generator[None, None, int]:
    from datasets import load_dataset

    import mnist_idx  # noqa: F401

    if not verified:
        turn_verification_off()
    yield
    return consume(load_dataset("mnist_idx", split=split, streaming=True), form, most)


@task
def stream_shuffled(split: str) -> Generator[None, None, int]:
    from datasets import load_dataset

    import mnist_idx  # noqa: F401

    yield
    data = load_dataset("mnist_idx", split=split, streaming=True, num_shards=64)
    return consume(data.shuffle(seed=0), "arrow", None)


@task
def stream_parquet(form: str, split: str, files: dict[str, str], most: int | None = None) -> Generator[None, None, int]:
    from datasets import load_dataset

    yield
    return consume(load_dataset("parquet", data_files=files, split=split, streaming=True), form, most)


@task
def arrays(split: str, verified: bool = True) -> Generator[None, None, int]:
    from mnist_idx import load_arrays

    if not verified:
        turn_verification_off()
    yield
    return len(load_arrays("mnist_idx", split=split)[0])


@task
def arrays_idx2numpy(images: str, labels: str) -> Generator[None, None, int]:
    import gzip

    import idx2numpy

    yield
    with gzip.open(images) as file, gzip.open(labels) as other:
        found = idx2numpy.convert_from_file(file), idx2numpy.convert_from_file(other)
    return len(found[0])


@task
def arrays_plain(images: str, labels: str) -> Generator[None, None, int]:
    import gzip

    import numpy as np

    yield
    with gzip.open(images) as file, gzip.open(labels) as other:
        found = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28).copy()
        np.frombuffer(other.read(), np.uint8, offset=8).copy()
    return len(found)


@task
def epoch(cache: str, **options: Any) -> Generator[None, None, int]:
    """One pass over the prepared train split in NumPy batches of 256."""
    from datasets import load_dataset

    import mnist_idx  # noqa: F401

    data = load_dataset("mnist_idx", split="train", cache_dir=cache, **options).with_format("numpy", dtype="uint8")
    yield
    return sum(len(batch["image"]) for batch in data.iter(256))


@task
def epoch_parquet(cache: str, files: dict[str, str]) -> Generator[None, None, int]:
    from datasets import load_dataset

    data = load_dataset("parquet", data_files=files, split="train", cache_dir=cache).with_format("numpy", dtype="uint8")
    yield
    return sum(len(batch["image"]) for batch in data.iter(256))


@task
def make_parquet(archive: str, folder: str) -> Generator[None, None, int]:
    """The dataset as it is found on the Hub: PNG files made by Pillow, in Parquet files made by `datasets`."""
    from peers import Stock

    yield
    builder = Stock(cache_dir=f"{folder}/stock", data_dir=archive)
    builder.download_and_prepare()
    data = builder.as_dataset()
    for split, part in data.items():
        part.to_parquet(f"{folder}/{split}.parquet")
    return rows(data)


@task
def make_records(archive: str, folder: str, counts: list[int]) -> Generator[None, None, int]:
    """IDX files of so many records, which are those of the archive over and over, compressed by gzip."""
    import struct
    import tarfile

    from peers import MEMBERS
    from zlib_ng import gzip_ng, zlib_ng

    yield
    with tarfile.open(archive) as tar:
        images, labels = (gzip_ng.decompress(tar.extractfile(name).read()) for name in MEMBERS["train"])
    for count in counts:
        place = Path(folder, str(count))
        place.mkdir()
        for name, content, start, size, shape in (
            ("train-images-idx3-ubyte.gz", images, 16, 784, (count, 28, 28)),
            ("train-labels-idx1-ubyte.gz", labels, 8, 1, (count,)),
        ):
            packer = zlib_ng.compressobj(6, zlib_ng.DEFLATED, 31)
            with open(place / name, "wb") as file:
                file.write(packer.compress(struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)))
                for first in range(0, count, 10_000):
                    begin = start + first % 60_000 * size
                    file.write(packer.compress(content[begin : begin + 10_000 * size]))
                file.write(packer.flush())
    return sum(counts)


def memory() -> int:
    """The most memory that this process has held, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell how much memory a process has held")


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    running = TASKS[name](**arguments)
    next(running)
    before = memory()
    value = None
    began = time.perf_counter()
    try:
        next(running)
    except StopIteration as end:
        value = end.value
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "memory": memory() - before, "value": value}))


if __name__ == "__main__":
    main()
