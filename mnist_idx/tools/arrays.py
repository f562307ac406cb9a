"""The records of a split as NumPy arrays."""

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import IdxError
from ..failover import PlacedBatch
from ..members import SplitFiles
from ..paths import quoted
from ..records import Batch, too_large
from ..suggestions import BUILDERS, alternatives, calls_of, check_config_name, did_you_mean
from .opening import Opened, open_dataset
from .split_spec import Part, parse_parts

RECORDS_AT_ONCE = 1 << 17  # for which memory is taken at once; more as they arrive


def load_arrays(
    path: str,
    name: str | None = None,
    *,
    split: str = "train",
    streaming: bool = False,
    **options: Any,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Load a split as arrays, without the cache of Arrow files.

    >>> from mnist_idx import load_arrays
    >>> images, labels = load_arrays("mnist_idx", "tiny", split="train")
    >>> images.shape, images.dtype, labels.shape, labels.dtype
    ((1000, 28, 28), dtype('uint8'), (1000,), dtype('uint8'))
    >>> few, _ = load_arrays("mnist_idx", "tiny", split="test[:10%]")
    >>> len(few)
    20

    Without "tiny" it is all of MNIST: `load_arrays("mnist_idx", split="train")`. Your own files:
    `load_arrays("idxfolder", data_dir="my_idx")`.

    Args:
        path: "mnist_idx", the published datasets, or "idxfolder", your own files.
        name: of the config, for example "tiny"; by default "mnist".
        split: for example "train", "test[:10%]", "train+test" or "all". The files of other splits
            are not looked at.
        streaming: fetch only the bytes that are needed, keep nothing on disk. Otherwise a download
            is kept and reused.
        **options: those of `load_dataset_builder`: `num_samples`, `seed`, `data_dir`,
            `data_files`, `cache_dir`, …

    Returns:
        Images, uint8 `(N, 28, 28)` from 0 (background) to 255, and labels, uint8 `(N,)`, the
        numbers of the classes; other types and shapes if the files have them. Labels are None if
        there are none.

    Raises:
        IdxError: the data is invalid or unavailable, or an argument is wrong.
        TransferError: a file cannot be reached.
    """
    _check_path(path)
    if path == "mnist_idx" and name is not None:
        check_config_name(name)
    opened = open_dataset(path, name, split, streaming, {"as_array": True, **options})
    parts = [read_part(opened, part) for part in parse_parts(split, opened.sizes)]
    if len(parts) == 1:
        return parts[0]
    images = np.concatenate([part.images for part in parts])
    labels = [part.labels for part in parts if part.labels is not None]
    return images, np.concatenate(labels) if labels else None


def _check_path(path: object) -> None:
    """Refuse what is neither of the builders: mostly the name of a config, or a folder."""
    if path in BUILDERS:
        return
    calls = []
    if isinstance(path, str | os.PathLike):
        text = os.fspath(path)
        calls = calls_of("load_arrays", text)
        if not calls and ("://" in text or os.path.exists(text)):
            calls = [f'load_arrays("idxfolder", data_dir={quoted(text)})']
    expected = alternatives([quoted(name) for name in BUILDERS])
    raise IdxError(f"{path!r}: expected {expected}.{did_you_mean(calls)}")


def read_part(opened: Opened, part: Part) -> Batch:
    """Read a part of a split as one batch."""
    files = opened.splits[part.split]
    ranges = [(part.start, part.stop)]
    count = part.stop - part.start
    if opened.source.selects:
        _check_memory(files, count)
    batches = opened.source.read(part.split, files, ranges, opened.class_names, gathers=True)
    try:
        return _join(batches, part.start, count)
    except MemoryError:
        raise too_large(files.images.title, count) from None


def _check_memory(files: SplitFiles, count: int) -> None:
    """Refuse selected records that do not fit into the memory that is free.

    They take it at once. Of others it is taken as they arrive.
    """
    free = free_memory()
    needed = count * (files.record_bytes or 0)
    if free is not None and needed > free:
        found = f"{needed / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB of memory are free"
        raise too_large(files.images.title, count, found)


def free_memory() -> int | None:
    """Bytes of memory that this process may take, as Linux estimates it; None elsewhere."""
    try:
        with open("/proc/meminfo") as file:
            lines = [line.split() for line in file]
    except OSError:
        return None
    kilobytes = {line[0]: int(line[1]) for line in lines if len(line) > 1}
    if "MemAvailable:" not in kilobytes:
        return None
    return 1024 * (kilobytes["MemAvailable:"] + kilobytes.get("SwapFree:", 0))


def _join(batches: Iterable[PlacedBatch], start: int, count: int) -> Batch:
    """Join batches of `count` records, the first of which has the place `start`."""
    images: np.ndarray | None = None
    labels: np.ndarray | None = None
    for place, batch in batches:
        done = place - start
        images = _put(batch.images, images, done, count)
        if batch.labels is not None:
            labels = _put(batch.labels, labels, done, count)
    if images is None:
        raise AssertionError("there is at least one batch, an empty one")
    return Batch(images, labels)


def _put(values: np.ndarray, target: np.ndarray | None, done: int, count: int) -> np.ndarray:
    """Put values into an array that has `done` of `count` already. It grows as they arrive."""
    flags = values.flags
    if len(values) == count and flags.writeable and flags.c_contiguous:
        return values  # All came at once, in arrays of their own.
    if target is None:
        target = np.empty((min(count, RECORDS_AT_ONCE), *values.shape[1:]), values.dtype)
    if done + len(values) > len(target):
        target.resize((min(count, 2 * len(target)), *values.shape[1:]), refcheck=False)
    target[done : done + len(values)] = values
    return target
