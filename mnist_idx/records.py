"""The records of a split: any range of them, or a selection, in batches."""

import itertools
import math
import os
import weakref
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeVar

import numpy as np
from datasets import DownloadConfig

from .compression import SeekPoints
from .idx import IdxError, check_size, read_header, read_records
from .storage import Member, SeekPointsByLevel, SplitFiles, open_member

T = TypeVar("T")

# Records between two selected ones are read and dropped, up to this many bytes; a larger gap is skipped.
MAX_GAP_BYTES = 256 << 10
MAX_PARKED = 4
PREFETCH_DEPTH = 4
# A selection takes memory for each record. A longer file must prove first that it has as many as its header announces.
MAX_UNPROVEN_RECORDS = 1 << 20


class Batch(NamedTuple):
    """Consecutive records."""

    images: np.ndarray  # (k, *record_shape), in the element type of the file
    labels: np.ndarray | None = None  # integers (k,), or (k, parts) if a label has several parts


class IdxFile:
    """An open IDX file: its header, and any range of its records."""

    def __init__(
        self, member: Member, config: DownloadConfig | None, seek_points: SeekPointsByLevel | None = None
    ) -> None:
        self.title = member.title
        self._stream = open_member(member, config, seek_points)
        try:
            self.header = read_header(self._stream, self.title)
            if self._stream.size is not None:
                check_size(self.header, self._stream.size, self.title)
        except BaseException:
            self.close()
            raise

    def read(self, start: int, stop: int) -> np.ndarray:
        """The records `start` to `stop`, `(stop - start, *record_shape)`."""
        if start == 0:  # checksums cover the header, too
            self._stream.seek(0)
            read_header(self._stream, self.title)
        return read_records(self._stream, self.header, self.title, start, stop)

    def batches(self) -> Iterator[np.ndarray]:
        """All records, in batches."""
        for start in range(0, self.header.num_records, self.header.batch_size):
            yield self.read(start, min(start + self.header.batch_size, self.header.num_records))

    def expect_end(self, record: int) -> None:
        self._stream.expect_end(self.header.offset_of(record))

    def close(self) -> None:
        self._stream.close()


class SplitReader:
    """Reads the records of one split. Sequential ranges continue without refetching."""

    def __init__(
        self,
        files: SplitFiles,
        config: DownloadConfig | None = None,
        seek_points: SeekPointsByLevel | None = None,
    ) -> None:
        self._reached = -1
        self._selected: tuple[Sequence[int], Batch] | None = None
        self.images = IdxFile(files.images, config, seek_points)
        self.labels: IdxFile | None = None
        try:
            if files.labels is not None:
                self.labels = IdxFile(files.labels, config)
            self._check_headers(files.num_records)
        except BaseException:
            self.close()
            raise
        self.num_records = self.images.header.num_records
        self.batch_size = self.images.header.batch_size

    @property
    def label_parts(self) -> int:
        """Numbers per label; 0 without labels."""
        return math.prod(self.labels.header.record_shape) if self.labels is not None else 0

    def close(self) -> None:
        self.images.close()
        if self.labels is not None:
            self.labels.close()

    def batches(self, start: int = 0, stop: int | None = None, first_batch: int | None = None) -> Iterator[Batch]:
        """Read the records `start` to `stop`, in at least one batch. The first may be smaller than the others."""
        stop = self.num_records if stop is None else stop
        # A read that continues the last one probably continues to the end.
        expected = self.num_records if start == self._reached else stop
        self._reached = stop
        files = [file for file in (self.images, self.labels) if file is not None]
        for file in files:
            file.expect_end(expected)
        first_stop = start + min(first_batch or self.batch_size, self.batch_size)
        bounds = itertools.chain([start], range(first_stop, stop, self.batch_size), [stop])
        for first, last in itertools.pairwise(bounds):
            yield Batch(*(file.read(first, last) for file in files))

    def selected_batches(self, indices: Sequence[int], start: int, stop: int) -> Iterator[Batch]:
        """Read the records with the given numbers, in the given order: of these, positions `start` to `stop`.

        All of them are read in one pass and kept in memory, as long as not all are requested at once.
        """
        if self._selected is None or self._selected[0] != indices:
            self._selected = (indices, self._select(indices))
        images, labels = self._selected[1]
        if start == 0 and stop == len(indices):
            self._selected = None
        for first in range(start, max(stop, start + 1), self.batch_size):
            part = slice(first, min(stop, first + self.batch_size))
            yield Batch(images[part], None if labels is None else labels[part])

    def check_selectable(self, count: int) -> None:
        """Prove that the file is as long as its header announces, before `count` records take memory."""
        if count > MAX_UNPROVEN_RECORDS:
            self.images.read(self.num_records - 1, self.num_records)

    def allocate(self, count: int) -> Batch:
        """An uninitialized batch of `count` records."""
        headers = [file.header for file in (self.images, self.labels) if file is not None]
        try:
            return Batch(*(np.empty((count, *header.record_shape), header.dtype) for header in headers))
        except (MemoryError, ValueError) as error:
            raise too_large(self.images.title, count) from error

    def _select(self, indices: Sequence[int]) -> Batch:
        positions = np.argsort(np.asarray(indices, dtype=np.int64))
        ascending = np.asarray(indices, dtype=np.int64)[positions]
        gap = max(1, MAX_GAP_BYTES // max(1, self.images.header.record_size))
        runs = np.split(ascending, np.flatnonzero(np.diff(ascending) > gap) + 1) if len(ascending) else []
        selected = self.allocate(len(ascending))
        done = 0
        for batch in (batch for run in runs for batch in self._select_run(run)):
            targets = positions[done : done + len(batch.images)]
            selected.images[targets] = batch.images
            if selected.labels is not None:
                selected.labels[targets] = batch.labels
            done += len(batch.images)
        return selected

    def _select_run(self, ascending: np.ndarray) -> Iterator[Batch]:
        """The records with ascending numbers that lie close together."""
        start, stop = int(ascending[0]), int(ascending[-1]) + 1
        for batch in self.batches(start, stop):
            inside = ascending[(ascending >= start) & (ascending < start + len(batch.images))] - start
            yield Batch(batch.images[inside], None if batch.labels is None else batch.labels[inside])
            start += len(batch.images)

    def _check_headers(self, num_records: int | None) -> None:
        shape, title = self.images.header.shape, self.images.title
        if len(shape) < 2:
            raise IdxError(
                f"{title}: found the shape {shape}, expected images (records, rows, columns) or (records, rows, "
                "columns, 3). Are these the labels?"
            )
        if num_records not in (None, shape[0]):
            raise IdxError(f"{title}: found {shape[0]:,} records, expected {num_records:,} as in the published file.")
        if self.labels is None:
            return
        labels, found = self.labels.header, f"{self.labels.title}: found {self.labels.header.dtype}"
        if labels.dtype.kind not in "iu" or len(labels.shape) not in (1, 2):
            raise IdxError(
                f"{found} of shape {labels.shape}, expected integers of shape (records,) or (records, parts). Are "
                "these the images?"
            )
        if labels.num_records != shape[0]:
            raise IdxError(
                f"{found} of shape {labels.shape}, expected a label for each of the {shape[0]:,} records in {title}. "
                "The two files do not belong together."
            )


def too_large(title: str, count: int) -> IdxError:
    return IdxError(
        f"{title}: {count:,} records do not fit into memory. Set num_samples= to fewer, or stream them in the order of "
        "the file: load_dataset(…, streaming=True) without num_samples= and seed=."
    )


class ReaderPool:
    """Keeps the readers of splits open between ranges, so that adjacent ranges are read in one pass.

    Readers at different positions of a split share seek points. A pickled pool is an empty pool, and a reader stays in
    the process that opened it: file handles, connections and locks survive neither. Threads can share a pool.
    """

    def __init__(self, download_config: DownloadConfig | None = None) -> None:
        self._config = download_config
        self._splits: dict[tuple[int, SplitFiles], tuple[list[SplitReader], SeekPointsByLevel]] = {}
        weakref.finalize(self, _close_readers, self._splits)

    def __reduce__(self) -> Any:
        return ReaderPool, (self._config,)

    @contextmanager
    def borrow(self, files: SplitFiles) -> Iterator[SplitReader]:
        """A reader of the split for one user at a time. One that fails is closed for good."""
        parked, seek_points = self._splits.setdefault((os.getpid(), files), ([], SeekPointsByLevel(SeekPoints)))
        try:
            reader = parked.pop()
        except IndexError:
            reader = SplitReader(files, self._config, seek_points)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        parked.append(reader)
        while len(parked) > MAX_PARKED:
            parked.pop(0).close()


def _close_readers(splits: dict[tuple[int, SplitFiles], tuple[list[SplitReader], SeekPointsByLevel]]) -> None:
    for parked, _ in splits.values():
        for reader in parked:
            reader.close()


def prefetch(items: Generator[T, None, None], depth: int = PREFETCH_DEPTH) -> Iterator[T]:
    """Iterate `items` in a background thread, up to `depth` items ahead, and close it at the end.

    The depth grows from 1 with each item taken, so reading a single item prefetches little.
    """
    pending: deque[Future[T | None]] = deque()
    taken = 0
    thread = ThreadPoolExecutor(1, "mnist_idx-prefetch")
    try:
        while True:
            while len(pending) <= min(taken, depth):
                pending.append(thread.submit(next, items, None))
            item = pending.popleft().result()
            if item is None:
                return
            yield item
            taken += 1
    finally:
        thread.shutdown(wait=True, cancel_futures=True)
        items.close()
