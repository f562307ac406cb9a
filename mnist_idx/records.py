"""The records of a split: any range of them, or a selection, in batches.

A *record* is the number of a record in the file, a *place* its position in a selection.
"""

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from .compression import SeekPoints
from .errors import IdxError, TransferError
from .idx import IdxFile, closed_on_error
from .ranges import Version
from .storage import LEVELS, Access, SplitFiles, open_member

MAX_PARKED = 4
# The selected records that are read in one pass, and kept until they have been yielded.
WINDOW_BYTES = 96 << 20
# Before memory is taken for more records than this, the file must prove that it has as many as its
# header announces.
MAX_UNPROVEN_RECORDS = 1 << 20


class Batch(NamedTuple):
    images: np.ndarray  # (k, *record_shape), in the element type of the file
    labels: np.ndarray | None = None  # integers (k,), or (k, parts) if a label has several parts

    @property
    def num_bytes(self) -> int:
        return self.images.nbytes + (0 if self.labels is None else self.labels.nbytes)


class _Window(NamedTuple):
    """A part of a selection that has been read."""

    numbers: np.ndarray  # of all selected records
    first: int  # place of the first record of the window
    batch: Batch


class SplitReader:
    """Reads the records of one split. Sequential ranges continue without refetching."""

    def __init__(
        self, files: SplitFiles, access: Access, seek_points: Mapping[str, SeekPoints] = {}
    ) -> None:
        self._reached = -1
        self._window: _Window | None = None
        self.images = IdxFile(open_member(files.images, access, seek_points), files.images.title)
        self.labels: IdxFile | None = None
        self._files = [self.images]
        with closed_on_error(self):
            if files.labels is not None:
                self.labels = IdxFile(open_member(files.labels, access), files.labels.title)
                self._files.append(self.labels)
            self._check_headers(files.num_records)
        self.num_records = self.images.header.num_records
        self.batch_size = min(file.header.batch_size for file in self._files)

    @property
    def identities(self) -> list[str]:
        """What tells the files from others that take their places."""
        return [file.stream.identity for file in self._files]

    @property
    def record_bytes(self) -> int:
        """Bytes of an image and its label."""
        return sum(file.header.record_size for file in self._files)

    def close(self) -> None:
        for file in self._files:
            file.stream.close()

    def batches(
        self, start: int = 0, stop: int | None = None, first: int | None = None
    ) -> Iterator[Batch]:
        """Read the records `start` to `stop`, in at least one batch, the first of at most `first`
        records.
        """
        stop = self.num_records if stop is None else stop
        # A read that continues the last one probably continues to the end.
        expected = self.num_records if start == self._reached else stop
        self._reached = stop
        for file in self._files:
            file.stream.expect_end(file.header.offset_of(expected))
        size = min(self.batch_size, first or self.batch_size)
        record = start
        while True:
            end = min(record + size, stop)
            batch = Batch(self.images.read(record, end), self._read_labels(record, end))
            if end == stop:  # before the last records are out of reach
                for file in self._files:
                    file.stream.check_unchanged()
            yield batch
            record, size = end, self.batch_size
            if record >= stop:
                return

    def selected_batches(self, numbers: np.ndarray, start: int, stop: int) -> Iterator[Batch]:
        """Read the records with the given numbers, in this order: of these, the places `start` to
        `stop`.
        """
        window_size = max(self.batch_size, WINDOW_BYTES // max(1, self.record_bytes))
        place = start
        while True:
            window = self._read_window(numbers, place - place % window_size, window_size)
            end = min(place + self.batch_size, stop, window.first + window_size)
            part = slice(place - window.first, end - window.first)
            images, labels = window.batch
            yield Batch(images[part], None if labels is None else labels[part])
            place = end
            if place >= stop:
                return

    def check_selectable(self, count: int) -> None:
        """Prove that the file is as long as its header announces, before `count` of its records
        take memory.
        """
        if count > MAX_UNPROVEN_RECORDS:
            self.images.read(self.num_records - 1, self.num_records)

    def _read_labels(self, start: int, stop: int) -> np.ndarray | None:
        if self.labels is None:
            return None
        labels = self.labels.read(start, stop)
        is_column = labels.shape[1:] == (1,)
        return labels[:, 0] if is_column else labels

    def _read_window(self, numbers: np.ndarray, first: int, size: int) -> _Window:
        """Read the places `first` to `first + size` of a selection, or return them as they were
        read last.
        """
        window = self._window
        if window is not None and window.first == first and window.numbers is numbers:
            return window
        self._window = window = None  # before memory is taken for the next one
        self._window = _Window(numbers, first, self._gather(numbers[first : first + size]))
        return self._window

    def _gather(self, numbers: np.ndarray) -> Batch:
        """Read the records with the given numbers in ascending order, and put each at its place."""
        images = np.empty(
            (len(numbers), *self.images.header.record_shape), self.images.header.dtype
        )
        labels = self._empty_labels(len(numbers))
        places = np.argsort(numbers, kind="stable")
        ascending = numbers[places]
        # Records between two selected ones are read and dropped, unless going to the next one costs
        # less.
        max_gap = max(1, self.images.stream.seek_cost // max(1, self.images.header.record_size))
        breaks = np.flatnonzero(np.diff(ascending) > max_gap) + 1
        for run in np.split(np.arange(len(ascending)), breaks) if len(ascending) else []:
            record = int(ascending[run[0]])
            for batch in self.batches(record, int(ascending[run[-1]]) + 1):
                low, high = np.searchsorted(ascending, (record, record + len(batch.images)))
                targets, sources = places[low:high], ascending[low:high] - record
                images[targets] = batch.images[sources]
                if labels is not None and batch.labels is not None:
                    labels[targets] = batch.labels[sources]
                record += len(batch.images)
        return Batch(images, labels)

    def _empty_labels(self, count: int) -> np.ndarray | None:
        if self.labels is None:
            return None
        header = self.labels.header
        record_shape = () if header.record_shape == (1,) else header.record_shape
        return np.empty((count, *record_shape), header.dtype)

    def _check_headers(self, num_records: int) -> None:
        shape, title = self.images.header.shape, self.images.title
        if len(shape) < 2:
            raise IdxError(
                f"{title}: found the shape {shape}, expected (records, rows, …). Are these the labels?"
            )
        if num_records not in (0, shape[0]):
            raise IdxError(
                f"{title}: found {shape[0]:,} records, expected {num_records:,} as in the published file."
            )
        if self.labels is None:
            return
        labels, found = self.labels.header, f"{self.labels.title}: found {self.labels.header.dtype}"
        if (
            labels.dtype.kind not in "iu"
            or len(labels.shape) not in (1, 2)
            or 0 in labels.record_shape
        ):
            expected = "integers (records,) or (records, parts)"
            raise IdxError(f"{found} {labels.shape}, expected {expected}. Are these the images?")
        if labels.num_records != shape[0]:
            expected = f"a label for each of the {shape[0]:,} records in {title}"
            raise IdxError(
                f"{found} {labels.shape}, expected {expected}. The files do not belong together."
            )


def pin(files: SplitFiles, identities: Sequence[str]) -> SplitFiles:
    """The same files, so that every process finds those with these identities, and no others at
    their places.
    """
    pinned = []
    for member, identity in zip(files.members, identities, strict=True):
        is_known = member.version is not None or not identity
        pinned.append(
            member if is_known else member._replace(version=Version(identity, has_ranges=True))
        )
    return files._replace(images=pinned[0], labels=pinned[1] if files.labels else None)


class _Parked:
    """The readers of a split that are open, but not in use."""

    def __init__(self) -> None:
        self.readers: list[SplitReader] = []
        self.seek_points = {level: SeekPoints() for level in LEVELS}
        self.identities: list[str] | None = None  # of the files that were opened first


class ReaderPool:
    """Keeps the readers of splits open between ranges, so that adjacent ranges are read in one
    pass.

    Readers at different positions of a split share seek points. A pickled pool is an empty pool,
    and a reader stays in the process that opened it: file handles, connections and locks survive
    neither. Threads can share a pool.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._splits: dict[tuple[int, SplitFiles], _Parked] = {}
        # `__del__` would not do: its order is undefined in a reference cycle.
        weakref.finalize(self, _close_readers, self._splits)

    def __reduce__(self) -> Any:
        return ReaderPool, (self._access,)

    @contextmanager
    def borrow(self, files: SplitFiles) -> Iterator[SplitReader]:
        """A reader of the split for one user at a time. One that fails is closed for good."""
        key = (os.getpid(), files)
        if key not in self._splits:
            self._splits[key] = _Parked()
        parked = self._splits[key]
        try:
            reader = parked.readers.pop()
        except IndexError:
            reader = self._open(files, parked)
        with closed_on_error(reader):
            yield reader
        parked.readers.append(reader)
        while len(parked.readers) > MAX_PARKED:
            parked.readers.pop(0).close()

    def _open(self, files: SplitFiles, parked: _Parked) -> SplitReader:
        reader = SplitReader(files, self._access, parked.seek_points)
        if parked.identities is None:
            parked.identities = reader.identities
        if reader.identities != parked.identities:
            reader.close()
            raise TransferError(
                f"{files.images.title}: the file has changed since it was first read. Load it again."
            )
        return reader


def _close_readers(splits: dict[tuple[int, SplitFiles], _Parked]) -> None:
    for (process, _), parked in splits.items():
        if process == os.getpid():
            for reader in parked.readers:
                reader.close()


def too_large(title: str, count: int) -> IdxError:
    way_out = "Set num_samples= to fewer, or stream them with streaming=True, without num_samples= and seed=."
    return IdxError(f"{title}: {count:,} records do not fit into memory. {way_out}")
