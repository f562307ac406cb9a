"""The records of a split: any range of them, or a selection, in batches.

A *record* is the number of a record in the file, a *place* its position in a selection.
"""

import itertools
import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from .errors import IdxError, TransferError
from .idx import BATCH_BYTES, Header, IdxFile
from .members import Access, MemberSeekPoints, SplitFiles, open_member
from .streams import closed_on_error

MAX_PARKED = 4
# The selected records that are read in one pass, and kept until they have been yielded.
WINDOW_BYTES = 96 << 20
# Fewer are read at once where each is read by itself.
FAR_BYTES = 8 << 20
# More records than these take memory only once the file has proven to have them.
MAX_UNPROVEN_RECORDS = 1 << 20


class Batch(NamedTuple):
    """Adjacent records, or records that are adjacent in a selection."""

    images: np.ndarray  # (k, *record_shape), in the element type of the file
    labels: np.ndarray | None = None  # integers (k,), or (k, parts) if a label has several parts

    @property
    def num_bytes(self) -> int:
        return self.images.nbytes + (0 if self.labels is None else self.labels.nbytes)

    def take(self, part: slice) -> "Batch":
        return Batch(self.images[part], None if self.labels is None else self.labels[part])


class _Window(NamedTuple):
    """A part of a selection that has been read."""

    numbers: np.ndarray  # of all selected records
    first: int  # place of the first record of the window
    batch: Batch


class SplitReader:
    """Reads the records of one split. Adjacent ranges are read in one pass."""

    def __init__(
        self, files: SplitFiles, access: Access, seek_points: MemberSeekPoints | None = None
    ) -> None:
        self._last_stop: int | None = None  # of the range that was read last
        self._window: _Window | None = None
        self._has_one_hot_labels = files.has_one_hot_labels
        images = open_member(files.images, access, seek_points)
        self.images = IdxFile(images, files.images.title)
        self.labels: IdxFile | None = None
        with closed_on_error(self):
            if files.labels is not None:
                labels = open_member(files.labels, access)
                self.labels = IdxFile(labels, files.labels.title)
            self._check_headers(files.num_records)
        self.num_records = self.images.header.num_records
        self.batch_size = min(file.header.batch_size for file in self._files)

    @property
    def _files(self) -> list[IdxFile]:
        return [self.images] if self.labels is None else [self.images, self.labels]

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
        self, start: int = 0, stop: int | None = None, first_size: int | None = None
    ) -> Iterator[Batch]:
        """Read the records `start` to `stop`, in at least one batch.

        Args:
            first_size: most records of the first batch. A small one arrives soon.
        """
        if stop is None:
            stop = self.num_records
        end = start
        for batch in self._read_range(start, stop, first_size):
            end += len(batch.images)
            if end == stop:  # before the last records are out of reach
                self._check_unchanged()
            yield batch

    def label_batches(self) -> Iterator[np.ndarray]:
        """Read the labels of all records, in at least one batch, and no images."""
        if self.labels is None:
            raise AssertionError("the split has labels")
        header = self.labels.header
        self.labels.stream.expect_range(header.offset_of(header.num_records))
        size = max(1, BATCH_BYTES // max(1, header.record_size))
        for start in range(0, max(1, self.num_records), size):
            stop = min(start + size, self.num_records)
            yield self._convert_labels(self.labels.read(start, stop))

    def selected_batches(self, numbers: np.ndarray, start: int, stop: int) -> Iterator[Batch]:
        """Read the records with the given numbers, in this order.

        Args:
            numbers: of all selected records, integers `(count,)`. The same array each time: what
                was read for one is not used for another.
            start, stop: the places of those that are read.
        """
        window_size = max(self.batch_size, WINDOW_BYTES // max(1, self.record_bytes))
        # Of a large file, each window would take most of a pass.
        if _are_far_apart(self.images, numbers, min(window_size, len(numbers))):
            yield from self._far_batches(numbers, start, stop)
            return
        place = start
        while True:
            window_number = place // window_size
            window = self._read_window(numbers, window_number * window_size, window_size)
            end = min(place + self.batch_size, stop, window.first + window_size)
            yield window.batch.take(slice(place - window.first, end - window.first))
            place = end
            if place >= stop:
                return

    def _far_batches(self, numbers: np.ndarray, start: int, stop: int) -> Iterator[Batch]:
        """Read selected records that are far apart, and nothing but these."""
        # A few batches at once: labels, which are small, are read with what lies between them.
        step = max(self.batch_size, FAR_BYTES // max(1, self.record_bytes))
        for place in range(start, max(start + 1, stop), step):
            gathered = self.gather(numbers[place : min(place + step, stop)])
            for first in range(0, max(1, len(gathered.images)), self.batch_size):
                yield gathered.take(slice(first, first + self.batch_size))

    def gather(self, numbers: np.ndarray, target: Batch | None = None) -> Batch:
        """Read the records with the given numbers in one pass, each straight to its place.

        Args:
            target: the arrays that they are written to, see `empty`. Otherwise memory is taken for
                all of them at once.
        """
        gathered = self.empty(len(numbers)) if target is None else target
        places = np.argsort(numbers, kind="stable")
        ascending = numbers[places]
        _put_records(self.images, ascending, places, gathered.images)
        if self.labels is not None and gathered.labels is not None:
            _put_records(self.labels, ascending, places, gathered.labels, self._convert_labels)
        self._check_unchanged()
        return gathered

    def check_selectable(self, count: int) -> None:
        """Prove that the file has all its records, before `count` of them take memory."""
        if count > MAX_UNPROVEN_RECORDS:
            self.images.read(self.num_records - 1, self.num_records)

    def _read_range(self, start: int, stop: int, first_size: int | None = None) -> Iterator[Batch]:
        self._announce(start, stop)
        record = start
        size = min(self.batch_size, first_size or self.batch_size)
        while True:
            end = min(record + size, stop)
            yield self._read(record, end)
            if end == stop:
                return
            record = end
            size = self.batch_size

    def _check_unchanged(self) -> None:
        for file in self._files:
            file.stream.check_unchanged()

    def _announce(self, start: int, stop: int) -> None:
        """Tell the streams which records will be read."""
        # A read that continues the last one probably continues to the end.
        expected = self.num_records if start == self._last_stop else stop
        self._last_stop = stop
        for file in self._files:
            file.stream.expect_end(file.header.offset_of(expected))

    def _read(self, start: int, stop: int) -> Batch:
        images = self.images.read(start, stop)
        if self.labels is None:
            return Batch(images)
        return Batch(images, self._convert_labels(self.labels.read(start, stop)))

    def _convert_labels(self, labels: np.ndarray) -> np.ndarray:
        """Labels of a batch, from those of the file."""
        if self.labels is None:
            raise AssertionError("the split has labels")
        header = self.labels.header
        if not self._has_one_hot_labels:
            return labels.reshape(len(labels), *self._label_shape(header))
        classes: np.ndarray = labels.argmax(axis=1).astype(self._label_dtype(header))
        return classes

    def _label_shape(self, header: Header) -> tuple[int, ...]:
        """The shape of a label. One part is a number, not a row of one number."""
        is_number = self._has_one_hot_labels or header.record_shape == (1,)
        return () if is_number else header.record_shape

    def _label_dtype(self, header: Header) -> np.dtype:
        """The element type of labels. One-hot labels become the smallest type of IDX that fits."""
        if not self._has_one_hot_labels:
            return header.dtype
        num_classes = header.record_shape[0]
        return np.dtype("uint8" if num_classes <= 256 else "int16")

    def _read_window(self, numbers: np.ndarray, first: int, size: int) -> _Window:
        """Read the places `first` to `first + size` of a selection, unless they were read last."""
        window = self._window
        if window is not None and window.first == first and window.numbers is numbers:
            return window
        self._window = window = None  # before memory is taken for the next one
        self._window = _Window(numbers, first, self.gather(numbers[first : first + size]))
        return self._window

    def empty(self, count: int) -> Batch:
        """A batch of `count` records whose content is arbitrary."""
        header = self.images.header
        images = np.empty((count, *header.record_shape), header.dtype)
        if self.labels is None:
            return Batch(images)
        header = self.labels.header
        labels = np.empty((count, *self._label_shape(header)), self._label_dtype(header))
        return Batch(images, labels)

    def _check_headers(self, num_records: int | None) -> None:
        """Refuse files that are no images and labels, or do not belong together."""
        shape, title = self.images.header.shape, self.images.title
        if len(shape) < 2 and (self.labels is not None or not shape):
            expected = "expected (records, rows, …). Are these the labels?"
            raise IdxError(f"{title}: found the shape {shape}, {expected}")
        if num_records is not None and num_records != shape[0]:
            expected = f"expected {num_records:,} as in the published file"
            raise IdxError(f"{title}: found {shape[0]:,} records, {expected}.")
        if self.labels is not None:
            self._check_label_header(self.labels)

    def _check_label_header(self, labels: IdxFile) -> None:
        header = labels.header
        found = f"{labels.title}: found {header.dtype} {header.shape}"
        is_label_shape = len(header.shape) in (1, 2) and 0 not in header.record_shape
        if not is_label_shape:
            expected = "integers or floats of shape (records,) or (records, parts)"
            raise IdxError(f"{found}, expected {expected}. Are these the images?")
        num_records = self.images.header.num_records
        if header.num_records != num_records:
            expected = f"a label for each of the {num_records:,} records in {self.images.title}"
            raise IdxError(f"{found}, expected {expected}. The files do not belong together.")


def _are_far_apart(file: IdxFile, numbers: np.ndarray, count: int) -> bool:
    """Whether to read records one by one takes less than to read what lies between them, too.

    Args:
        numbers: of records, in any order.
        count: how many of them are read in one pass.
    """
    if count == 0 or not file.stream.reads_pieces:
        return False
    record_size = file.header.record_size
    num_passed = int(numbers.max()) - int(numbers.min()) + 1
    return num_passed * record_size > count * (record_size + file.stream.seek_cost)


def _put_records(
    file: IdxFile,
    ascending: np.ndarray,
    places: np.ndarray,
    target: np.ndarray,
    convert: Callable[[np.ndarray], np.ndarray] | None = None,
) -> None:
    """Read the records with the numbers `ascending` in one pass, to `places` of `target`.

    Args:
        convert: makes what is in `target` of the records of the file.
    """
    read = _each if _are_far_apart(file, ascending, len(ascending)) else _runs
    for part, found in read(file, ascending):
        target[places[part]] = found if convert is None else convert(found)


# Which of the records that are looked for, and the records themselves.
Found = tuple[slice, np.ndarray]


def _each(file: IdxFile, ascending: np.ndarray) -> Iterator[Found]:
    """Read records with ascending numbers, and nothing but these."""
    header = file.header
    for start in range(0, len(ascending), header.batch_size):
        part = slice(start, start + header.batch_size)
        found = np.empty((len(ascending[part]), *header.record_shape), header.dtype)
        file.read_each(ascending[part], found)
        yield part, found


def _runs(file: IdxFile, ascending: np.ndarray) -> Iterator[Found]:
    """Read records with ascending numbers.

    What lies between two of them is read and dropped, unless going to the next one costs less.
    """
    record_size = max(1, file.header.record_size)
    max_gap = max(1, file.stream.seek_cost // record_size)
    batch_size = max(1, BATCH_BYTES // record_size)
    breaks = np.flatnonzero(np.diff(ascending) > max_gap) + 1
    for low, high in itertools.pairwise([0, *breaks.tolist(), len(ascending)]):
        if low == high:  # There are no records at all.
            return
        run = ascending[low:high]
        end = int(run[-1]) + 1
        file.stream.expect_range(file.header.offset_of(end))
        for record in range(int(run[0]), end, batch_size):
            stop = min(record + batch_size, end)
            first, last = np.searchsorted(run, np.array([record, stop], run.dtype))
            found = file.read(record, stop)[run[first:last] - record]
            yield slice(low + int(first), low + int(last)), found


class _Parked:
    """The readers of a split that are open, but not in use."""

    def __init__(self) -> None:
        self.readers: list[SplitReader] = []
        self.seek_points = MemberSeekPoints()
        self.identities: list[str] | None = None  # of the files that were opened first


ParkedSplits = dict[tuple[int, SplitFiles], _Parked]  # by process


class ReaderPool:
    """Keeps the readers of splits open between ranges, so that adjacent ranges take one pass.

    Readers at different positions of a split share seek points. A pickled pool is an empty pool,
    and a reader stays in the process that opened it: file handles, connections and locks survive
    neither. Threads can share a pool.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._splits: ParkedSplits = {}
        # `__del__` would not do: its order is undefined in a reference cycle.
        weakref.finalize(self, _close_readers, self._splits)

    def __reduce__(self) -> "tuple[type[ReaderPool], tuple[Access]]":
        return ReaderPool, (self._access,)

    @contextmanager
    def borrow(self, files: SplitFiles) -> Iterator[SplitReader]:
        """A reader of the split for one user at a time. One that fails is closed for good."""
        # One step, since several threads may be here.
        parked = self._splits.setdefault((os.getpid(), files), _Parked())
        try:
            reader = parked.readers.pop()
        except IndexError:  # another thread may have taken the last one
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
            found = "the file has changed since it was first read"
            raise TransferError(f"{files.images.title}: {found}. Load it again.")
        return reader


def _close_readers(splits: ParkedSplits) -> None:
    for (process, _), parked in splits.items():
        if process == os.getpid():
            for reader in parked.readers:
                reader.close()


def too_large(title: str, count: int, sizes: str = "") -> IdxError:
    """The error of records that do not fit into memory. `sizes` says what they take, if known."""
    found = f"{count:,} records do not fit into memory"
    if sizes:
        found += f": they take {sizes}"
    way_out = "Set num_samples= to fewer, or stream them with streaming=True"
    return IdxError(f"{title}: {found}. {way_out}, without num_samples= and seed=.")
