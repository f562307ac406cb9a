"""What is measured: each task runs in a process of its own, `python tasks.py NAME JSON`.

A task is a generator: what comes before its `yield` is preparation, what comes after is measured. Its value tells how
much was done: it is the same for all tasks that are compared. `path` is "mnist_idx", "idxfolder" or "parquet".
"""

import functools
import gzip
import json
import struct
import sys
import tarfile
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

Running = Generator[None, None, int]
TASKS: dict[str, Callable[..., Running]] = {}


def task(function: Callable[..., Running]) -> Callable[..., Running]:
    TASKS[function.__name__] = function
    return function


def rows(data: Any) -> int:
    return sum(split.num_rows for split in data.values())


def loader(path: str) -> Callable[..., Any]:
    """`load_dataset` of a path, with the imports that it takes."""
    from datasets import load_dataset

    if path != "parquet":
        import mnist_idx  # noqa: F401
    return functools.partial(load_dataset, path)


def turn_verification_off() -> None:
    """Forget the published digests of MNIST."""
    from mnist_idx.catalog import DATASETS

    def plain(file: Any) -> Any:
        return file._replace(sha256="", content_sha256="")

    splits = DATASETS["mnist"].splits.items()
    changed = {name: split._replace(images=plain(split.images), labels=plain(split.labels)) for name, split in splits}
    DATASETS["mnist"] = DATASETS["mnist"]._replace(splits=changed)


@task
def prepare(path: str, cache: str, verified: bool = True, **options: Any) -> Running:
    load = loader(path)
    if not verified:
        turn_verification_off()
    yield
    return rows(load(cache_dir=cache, **options))


@task
def generate(cache: str, data_dir: str) -> Running:
    """Prepare without opening the result: what is mapped into memory then is not what preparing takes."""
    from datasets import load_dataset_builder

    import mnist_idx  # noqa: F401

    yield
    builder = load_dataset_builder("idxfolder", data_dir=data_dir, cache_dir=cache)
    builder.download_and_prepare()
    return sum(split.num_examples for split in builder.info.splits.values())


@task
def prepare_stock(cache: str, archive: str) -> Running:
    from peers import Stock

    yield
    builder = Stock(cache_dir=cache, data_dir=archive)
    builder.download_and_prepare()
    return rows(builder.as_dataset())


@task
def prepare_floor(cache: str, archive: str) -> Running:
    from peers import floor

    Path(cache).mkdir(exist_ok=True)
    yield
    return floor(archive, cache)


@task
def first_batch(path: str, cache: str, **options: Any) -> Running:
    """All of a script that takes one batch of a prepared dataset: what counts is the time of the process."""
    yield
    return len(next(loader(path)(split="train", cache_dir=cache, **options).iter(256))["label"])


@task
def stream(path: str, form: str, most: int | None = None, verified: bool = True, **options: Any) -> Running:
    """Read a stream in a form, at most so many records of it; with `num_shards`, in shuffled order."""
    load = loader(path)
    if not verified:
        turn_verification_off()
    yield
    data, done = load(streaming=True, **options), 0
    if "num_shards" in options:
        data = data.shuffle(seed=0)
    for batch in data if form == "python" else data.with_format(form).iter(1000):
        if form == "python":
            batch["image"].load()
        done += {"python": 1, "arrow": getattr(batch, "num_rows", 0)}.get(form) or len(batch["label"])
        if most is not None and done >= most:
            break
    return done


@task
def arrays(split: str, verified: bool = True) -> Running:
    from mnist_idx import load_arrays

    if not verified:
        turn_verification_off()
    yield
    return len(load_arrays("mnist_idx", split=split)[0])


@task
def arrays_idx2numpy(images: str, labels: str) -> Running:
    import idx2numpy

    yield
    with gzip.open(images) as file, gzip.open(labels) as other:
        found = idx2numpy.convert_from_file(file), idx2numpy.convert_from_file(other)
    return len(found[0])


@task
def arrays_plain(images: str, labels: str) -> Running:
    import numpy as np

    yield
    with gzip.open(images) as file, gzip.open(labels) as other:
        found = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28).copy()
        np.frombuffer(other.read(), np.uint8, offset=8).copy()
    return len(found)


@task
def epoch(path: str, cache: str, **options: Any) -> Running:
    """One pass over the prepared train split in NumPy batches of 256."""
    data = loader(path)(split="train", cache_dir=cache, **options).with_format("numpy", dtype="uint8")
    yield
    return sum(len(batch["image"]) for batch in data.iter(256))


@task
def make_parquet(archive: str, folder: str) -> Running:
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
def make_records(archive: str, folder: str, counts: list[int]) -> Running:
    """IDX files of so many records, which are those of the archive over and over, compressed by gzip."""
    from peers import MEMBERS
    from zlib_ng import gzip_ng, zlib_ng

    yield
    with tarfile.open(archive) as tar:
        images, labels = (gzip_ng.decompress(tar.extractfile(name).read()) for name in MEMBERS["train"])  # type: ignore[union-attr]
    for count in counts:
        place = Path(folder, str(count))
        place.mkdir()
        for name, content, start, size, shape in (
            ("train-images-idx3-ubyte.gz", images, 16, 784, (count, 28, 28)),
            ("train-labels-idx1-ubyte.gz", labels, 8, 1, (count,)),
        ):
            compressor = zlib_ng.compressobj(6, zlib_ng.DEFLATED, 31)
            with open(place / name, "wb") as file:
                file.write(compressor.compress(struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)))
                for first in range(0, count, 10_000):
                    begin = start + first % 60_000 * size
                    file.write(compressor.compress(content[begin : begin + 10_000 * size]))
                file.write(compressor.flush())
    return sum(counts)


def memory() -> int:
    """The most memory that this process has held, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    running = TASKS[name](**arguments)
    next(running)
    before, value = memory(), None
    began = time.perf_counter()
    try:
        next(running)
    except StopIteration as end:
        value = end.value
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "memory": memory() - before, "value": value}))


if __name__ == "__main__":
    main()
