"""The records of a split as NumPy arrays."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import IdxError
from ..failover import PlacedBatch
from ..records import Batch, too_large
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

    >>> images, labels = load_arrays("mnist_idx", split="train")
    >>> images, labels = load_arrays("idxfolder", data_dir="my_idx", split="test[:100]")

    Args:
        name: of the config, for example "tiny".
        split: for example "train", "test[:10%]", "train+test" or "all". The files of other splits
            are not looked at.
        streaming: fetch only the bytes that are needed, keep nothing on disk. Otherwise a download
            is kept and reused.
        **options: those of `load_dataset_builder`: `num_samples`, `seed`, `data_dir`,
            `data_files`, `cache_dir`, …

    Returns:
        Images, uint8 `(N, 28, 28)`, and labels, uint8 `(N,)`; other types and shapes if the files
        have them. Labels are None if there are none.

    Raises:
        IdxError: the data is invalid or unavailable, or an argument is out of range.
    """
    if path not in ("mnist_idx", "idxfolder"):
        raise IdxError(f'{path!r}: expected "mnist_idx" or "idxfolder".')
    opened = open_dataset(path, name, split, streaming, {"as_array": True, **options})
    parts = [_read(opened, part) for part in parse_parts(split, opened.sizes)]
    if len(parts) == 1:
        return parts[0]
    images = np.concatenate([part.images for part in parts])
    labels = [part.labels for part in parts if part.labels is not None]
    return images, np.concatenate(labels) if labels else None


def _read(opened: Opened, part: Part) -> Batch:
    """A part of a split as one batch."""
    files = opened.splits[part.split]
    ranges = [(part.start, part.stop)]
    batches = opened.source.read(part.split, files, ranges, opened.num_classes)
    count = part.stop - part.start
    try:
        return _join(batches, part.start, count)
    except MemoryError:
        raise too_large(files.images.title, count) from None


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
    if target is None:
        target = np.empty((min(count, RECORDS_AT_ONCE), *values.shape[1:]), values.dtype)
    if done + len(values) > len(target):
        target.resize((min(count, 2 * len(target)), *values.shape[1:]), refcheck=False)
    target[done : done + len(values)] = values
    return target
