"""The records of a split: any range of them, or a selection, in batches."""

import itertools
import os
import random
import weakref
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np

from .compression import SeekPoints
from .idx import IdxError, IdxFile, closed_on_error
from .storage import LEVELS, SplitFiles, open_member

T = TypeVar("T")

MAX_GAP_BYTES = 256 << 10  # of records between two selected ones: read and dropped; a larger gap is skipped
MAX_PARKED = 4
PREFETCH_DEPTH = 4
DEFAULT_SEED = 1
# Before memory is taken for more records than this, the file must prove that it has as many as its header announces.
MAX_UNPROVEN_RECORDS = 1 << 20


class Batch(NamedTuple):
    images: np.ndarray  # (k, *record_shape), in the element type of the file
    labels: np.ndarray | None = None  # integers (k,), or (k, parts) if a label has several parts


class SplitReader:
    """Reads the records of one split. Sequential ranges continue without refetching."""

    def __init__(self, files: SplitFiles, config: Any = None, seek_points: Mapping[str, SeekPoints] = {}) -> None:
        self._reached = -1
        self._selected: tuple[Sequence[int], Batch] | None = None
        self.images = IdxFile(open_member(files.images, config, seek_points), files.images.title)
        self.labels: IdxFile | None = None
        self._files = [self.images]
        with closed_on_error(self):
            if files.labels is not None:
                self.labels = IdxFile(open_member(files.labels, config), files.labels.title)
                self._files.append(self.labels)
            self._check_headers(files.num_records)
        self.num_records = self.images.header.num_records

    def close(self) -> None:
        for file in self._files:
            file.stream.close()

    def batches(self, start: int = 0, stop: int | None = None, first: int = 0) -> Iterator[Batch]:
        """Read the records `start` to `stop`, in at least one batch, the first of at most `first` records."""
        stop = self.num_records if stop is None else stop
        # A read that continues the last one probably continues to the end.
        expected = self.num_records if start == self._reached else stop
        self._reached = stop
        for file in self._files:
            file.stream.expect_end(file.header.offset_of(expected))
        yield from map(Batch, *(f.batches(start, stop, self.images.header.batch_size, first) for f in self._files))

    def selected_batches(self, indices: Sequence[int], start: int, stop: int) -> Iterator[Batch]:
        """Read the records with the given numbers, in the given order: of these, positions `start` to `stop`.

        All of them are read in one pass and kept in memory, as long as not all are requested at once.
        """
        if self._selected is None or self._selected[0] != indices:
            self._selected = (indices, self._select(indices))
        images, labels = self._selected[1]
        if start == 0 and stop == len(indices):
            self._selected = None
        size = self.images.header.batch_size
        for first in range(start, max(stop, start + 1), size):
            part = slice(first, min(stop, first + size))
            yield Batch(images[part], None if labels is None else labels[part])

    def check_selectable(self, num_samples: int | None) -> None:
        """Prove that the file is as long as its header announces, before a selection of its records takes memory."""
        if min(num_samples or self.num_records, self.num_records) > MAX_UNPROVEN_RECORDS:
            self.images.read(self.num_records - 1, self.num_records)

    def _select(self, indices: Sequence[int]) -> Batch:
        numbers = np.asarray(indices, dtype=np.int64)
        order = np.argsort(numbers)
        gap = max(1, MAX_GAP_BYTES // max(1, self.images.header.record_size))
        try:
            selected = Batch(*(np.empty((len(numbers), *f.header.record_shape), f.header.dtype) for f in self._files))
        except (MemoryError, ValueError) as error:
            raise too_large(self.images.title, len(numbers)) from error
        for run in np.split(order, np.flatnonzero(np.diff(numbers[order]) > gap) + 1) if indices else []:
            ascending = numbers[run]
            start = int(ascending[0])
            for batch in self.batches(start, int(ascending[-1]) + 1):
                inside = slice(*np.searchsorted(ascending, (start, start + len(batch.images))))
                for target, source in zip(selected, batch, strict=True):
                    if target is not None and source is not None:
                        target[run[inside]] = source[ascending[inside] - start]
                start += len(batch.images)
        return selected

    def _check_headers(self, num_records: int) -> None:
        shape, title = self.images.header.shape, self.images.title
        if len(shape) < 2:
            raise IdxError(f"{title}: found the shape {shape}, expected (records, rows, …). Are these the labels?")
        if num_records not in (0, shape[0]):
            raise IdxError(f"{title}: found {shape[0]:,} records, expected {num_records:,} as in the published file.")
        if self.labels is None:
            return
        labels, found = self.labels.header, f"{self.labels.title}: found {self.labels.header.dtype}"
        if labels.dtype.kind not in "iu" or len(labels.shape) not in (1, 2) or 0 in labels.record_shape:
            expected = "integers (records,) or (records, parts)"
            raise IdxError(f"{found} {labels.shape}, expected {expected}. Are these the images?")
        if labels.num_records != shape[0]:
            expected = f"a label for each of the {shape[0]:,} records in {title}"
            raise IdxError(f"{found} {labels.shape}, expected {expected}. The files do not belong together.")


def too_large(title: str, count: int) -> IdxError:
    way_out = "Set num_samples= to fewer, or stream them with streaming=True, without num_samples= and seed=."
    return IdxError(f"{title}: {count:,} records do not fit into memory. {way_out}")


def count_selected(num_samples: int | None, split_sizes: dict[str, int]) -> dict[str, int]:
    """How many records of each split are selected. At least one split must have `num_samples` records."""
    if num_samples is None:
        return split_sizes
    if num_samples > max(split_sizes.values(), default=0):
        sizes = ", ".join(f"{split} {size:,}" for split, size in split_sizes.items())
        raise IdxError(f"num_samples={num_samples}: expected at most the records of the largest split: {sizes}.")
    return {split: min(int(num_samples), size) for split, size in split_sizes.items()}


def select(num_records: int, num_samples: int | None, seed: int | None, sampling: str) -> Sequence[int]:
    """Select records of a split by their numbers.

    "first" takes the first `num_samples` and shuffles them, in the order of `random.seed(seed)` and `random.shuffle`;
    "uniform" draws them from the whole split without replacement. Every machine selects the same records.
    """
    count = num_records if num_samples is None else min(int(num_samples), num_records)
    generator = random.Random(DEFAULT_SEED if seed is None else int(seed))
    if sampling == "uniform":
        return generator.sample(range(num_records), count)
    order = list(range(count))
    generator.shuffle(order)
    return order


class ReaderPool:
    """Keeps the readers of splits open between ranges, so that adjacent ranges are read in one pass.

    Readers at different positions of a split share seek points. A pickled pool is an empty pool, and a reader stays in
    the process that opened it: file handles, connections and locks survive neither. Threads can share a pool.
    """

    def __init__(self, download_config: Any = None) -> None:
        self._config = download_config
        self._splits: dict[tuple[int, SplitFiles], tuple[list[SplitReader], Mapping[str, SeekPoints]]] = {}
        weakref.finalize(self, _close_readers, self._splits)  # earlier than `__del__`, whose order in a cycle is open

    def __reduce__(self) -> Any:
        return ReaderPool, (self._config,)

    @contextmanager
    def borrow(self, files: SplitFiles) -> Iterator[SplitReader]:
        """A reader of the split for one user at a time. One that fails is closed for good."""
        parked, points = self._splits.setdefault((os.getpid(), files), ([], {level: SeekPoints() for level in LEVELS}))
        try:
            reader = parked.pop()
        except IndexError:
            reader = SplitReader(files, self._config, points)
        with closed_on_error(reader):
            yield reader
        parked.append(reader)
        while len(parked) > MAX_PARKED:
            parked.pop(0).close()


def _close_readers(splits: dict[tuple[int, SplitFiles], Any]) -> None:
    for (process, _), (parked, _) in splits.items():
        for reader in parked if process == os.getpid() else ():
            reader.close()


def prefetch(items: Generator[T, None, None], depth: int = PREFETCH_DEPTH) -> Iterator[T]:
    """Iterate `items` in a background thread, up to `depth` items ahead, and close it at the end.

    The depth grows from 1 with each item taken, so reading a single item prefetches little.
    """
    pending: deque[Future[T | None]] = deque()
    thread = ThreadPoolExecutor(1, "mnist_idx-prefetch")
    try:
        for taken in itertools.count():
            while len(pending) <= min(taken, depth):
                pending.append(thread.submit(next, items, None))
            item = pending.popleft().result()
            if item is None:
                return
            yield item
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
        items.close()
