"""Reading a split from sources that may fail: where one breaks off, the next one goes on.

Whether a streamed file is the published one shows at its end only. If it breaks off before, its
records have been yielded unverified. The next source must hold the same ones, or the stream ends
in an error.
"""

import secrets
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
import xxhash

from .errors import IdxError, TransferError
from .fetching import Fetcher
from .idx import BATCH_BYTES
from .members import Access, SplitFiles
from .record_layout import (
    Layout,
    common_layout,
    find_wrong_class,
    not_classes,
    wrong_class,
)
from .records import Batch, ReaderPool, SplitReader
from .selection import MAX_DRAWN, Selection

T = TypeVar("T")

# All records of a stream are hashed: SHA-256 would take as long as decompressing them. Nobody who
# does not know the seed can make other records of the same hash.
SEED = secrets.randbits(64)

Range = tuple[int, int]  # from the place of a first record to the one to stop before
ReadRange = Callable[[SplitReader, int, int], Iterator[Batch]]  # from a place to another one
# Gives arrays for so many records, of the shape and type of those in a batch.
MakeRoom = Callable[[int, Batch], Batch]


class Located(NamedTuple):
    """What was found at the sources of a dataset: of each split the files, and their layout."""

    splits: dict[str, SplitFiles]
    layouts: dict[str, Layout]  # as the files have them, not transposed

    @property
    def title(self) -> str:
        """What errors call the dataset: the images of its first split."""
        return next(iter(self.splits.values())).images.title

    def common_layout(self, transpose: bool, as_array: bool) -> Layout:
        """The layout of all splits, as they are loaded.

        Raises:
            IdxError: splits differ, or their images cannot be loaded.
        """
        titles = {name: files.images.title for name, files in self.splits.items()}
        layouts = self.layouts
        if transpose:
            layouts = {name: layout.transposed() for name, layout in layouts.items()}
        return common_layout(layouts, titles, as_array)

    def check_classes(self, transpose: bool, as_array: bool) -> None:
        """Refuse labels that are no classes, though they are integers.

        Raises:
            IdxError: it says which features load them.
        """
        for name, layout in self.layouts.items():
            labels = self.splits[name].labels
            if layout.not_classes is not None and labels is not None:
                loaded = layout.transposed() if transpose else layout
                raise not_classes(labels.title, loaded, as_array)


class Locator(Protocol):
    """Finds the files of a dataset, in the first of its sources that works. Picklable."""

    def locate(self, fetcher: Fetcher, wanted: Collection[str] | None = None) -> Located:
        """Find the files of each split. Copies that `fetcher` makes are verified.

        Args:
            wanted: the splits to look at, those that there are; None for all.

        Raises:
            IdxError: no source can be used.
        """

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """The files of a split in the source after that of `files`, which has failed.

        Raises:
            IdxError: there is none.
        """

    def must_remember(self, files: SplitFiles) -> bool:
        """Whether what is read must be remembered: unverified, and another source may go on."""


class Stretch:
    """Adjacent records, remembered by their digests."""

    def __init__(self) -> None:
        self.length = 0
        self._images = xxhash.xxh3_128(seed=SEED)
        self._labels = xxhash.xxh3_128(seed=SEED)

    def add(self, batch: Batch) -> None:
        self.length += len(batch.images)
        self._images.update(np.ascontiguousarray(batch.images).data)
        if batch.labels is not None:
            self._labels.update(np.ascontiguousarray(batch.labels).data)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stretch) and self.digests == other.digests

    __hash__ = None  # type: ignore[assignment]  # It changes.

    @property
    def digests(self) -> tuple[int, bytes, bytes]:
        return self.length, self._images.digest(), self._labels.digest()


class YieldedRecords:
    """The records of a split that were yielded, as the stretches in which they were requested."""

    def __init__(self) -> None:
        self.has_any = False
        self._stretches: dict[int, Stretch] = {}  # by the place of the first record

    def __reduce__(self) -> "tuple[type[YieldedRecords], tuple[()]]":
        return YieldedRecords, ()  # Another process has yielded nothing yet.

    def begin(self, start: int) -> Stretch:
        """Begin a stretch, in place of an earlier one from the same record on."""
        self._stretches[start] = Stretch()
        return self._stretches[start]

    def are_in(self, read: Callable[[int, int], Iterator[Batch]]) -> bool:
        """Whether `read(start, stop)` gives the same records."""
        for start, stretch in self._stretches.items():
            found = Stretch()
            if stretch.length > 0:
                for batch in read(start, start + stretch.length):
                    found.add(batch)
            if found != stretch:
                return False
        return True


def read_with_failover(
    attempt: Callable[[SplitFiles], Iterator[T]],
    files: SplitFiles,
    next_files: Callable[[SplitFiles, IdxError], SplitFiles],
) -> Iterator[T]:
    """Yield what `attempt(files)` yields. Where it fails, go on with the files of another source.

    Args:
        attempt: goes on where the last attempt has failed.
        next_files: the files of the next source. It raises the error if there is none.
    """
    while True:
        try:
            yield from attempt(files)
            return
        except IdxError as error:
            files = next_files(files, error)


class PlacedBatch(NamedTuple):
    """A batch of selected records."""

    place: int  # of its first record in the selection
    batch: Batch


def transpose_in_place(images: np.ndarray) -> np.ndarray:
    """Exchange rows and columns of images `(k, rows, columns, …)`, without a second copy of all."""
    count, rows, columns, *rest = images.shape
    transposed = images.reshape(count, columns, rows, *rest)  # the same memory
    step = max(1, BATCH_BYTES // max(1, images[:1].nbytes))
    for start in range(0, count, step):
        part = slice(start, start + step)
        transposed[part] = images[part].swapaxes(1, 2).copy()
    return transposed


class SplitSource:
    """The selected records of the splits of a dataset, from the first source that works.

    Picklable: in another process it opens files of its own, and has yielded nothing.
    """

    def __init__(
        self, locator: Locator, access: Access, selection: Selection, transpose: bool
    ) -> None:
        self._locator = locator
        self._selection = selection
        self._transpose = transpose
        self._pool = ReaderPool(access)
        self._yielded: dict[str, YieldedRecords] = {}  # by split

    @property
    def selects(self) -> bool:
        """Whether it has a selection of the records, not all in the order of the file."""
        return not self._selection.is_everything

    def check_memory(self, splits: Mapping[str, SplitFiles]) -> None:
        """Refuse selections of more records than an order can be kept of.

        Raises:
            IdxError: the order of the records of a split does not fit into memory.
        """
        for files in splits.values():
            self._selection.check_memory(files.num_records or 0, files.images.title)

    def count(self, splits: Mapping[str, SplitFiles]) -> dict[str, int]:
        """How many records of each split are selected.

        Raises:
            IdxError: no split has as many records as are asked for.
        """
        sizes = {name: files.num_records or 0 for name, files in splits.items()}
        return self._selection.counts(sizes)

    def record_at(self, place: int, num_records: int, title: str) -> int:
        """The number in the file of the record at a place in the selection.

        Args:
            num_records: of the file.
            title: what errors call it.
        """
        if self._selection.is_everything:
            return place
        return int(self._selection.numbers(num_records, title)[place])

    def read(
        self,
        split: str,
        files: SplitFiles,
        ranges: Iterable[Range],
        class_names: Sequence[str] | None,
        first_size: int | None = None,
    ) -> Generator[PlacedBatch, None, None]:
        """Read ranges of the selected records of a split.

        Args:
            ranges: of places in the selection.
            class_names: what labels are compared with; None if they are no classes.
            first_size: most records of the first batch of each range.
        """

        def read_range(reader: SplitReader, start: int, stop: int) -> Iterator[Batch]:
            return self._read_range(reader, start, stop, first_size)

        yield from self._read(split, files, ranges, class_names, read_range)

    def gather(
        self,
        split: str,
        files: SplitFiles,
        places: Range,
        class_names: Sequence[str] | None,
        make_room: MakeRoom,
    ) -> Iterator[Batch]:
        """Read a range of a seeded selection as a single batch, in one pass.

        Args:
            places: in the selection.
            class_names: what labels are compared with; None if they are no classes.
            make_room: gives the arrays that the records are written to. Where a source breaks off,
                it is asked again, and all records are written again.
        """

        def read_range(reader: SplitReader, start: int, stop: int) -> Iterator[Batch]:
            yield self._gather(reader, start, stop, make_room)

        for _, batch in self._read(split, files, [places], class_names, read_range):
            yield batch

    def _read(
        self,
        split: str,
        files: SplitFiles,
        ranges: Iterable[Range],
        class_names: Sequence[str] | None,
        read_range: ReadRange,
    ) -> Iterator[PlacedBatch]:
        """Read ranges of a split, from the first source that works."""
        yielded = self._yielded.setdefault(split, YieldedRecords())
        rest = deque(ranges)

        def attempt(files: SplitFiles) -> Iterator[PlacedBatch]:
            return self._read_rest(rest, files, yielded, class_names, read_range)

        def next_files(failed: SplitFiles, error: IdxError) -> SplitFiles:
            if yielded.has_any and not isinstance(error, TransferError):
                raise error  # Too late to switch sources: the bad records were already yielded.
            return self._next_confirmed(split, failed, error)

        yield from read_with_failover(attempt, files, next_files)

    def count_classes(
        self, split: str, files: SplitFiles, class_names: Sequence[str]
    ) -> np.ndarray:
        """How many of the selected records have each class, integers `(classes,)`.

        The labels are read from start to end, and no images.
        """

        def attempt(files: SplitFiles) -> Iterator[np.ndarray]:
            with self._pool.borrow(files) as reader:
                yield self._count_classes(reader, class_names)

        def next_files(failed: SplitFiles, error: IdxError) -> SplitFiles:
            return self._locator.next_source(split, failed, error)

        return next(read_with_failover(attempt, files, next_files))

    def _count_classes(self, reader: SplitReader, class_names: Sequence[str]) -> np.ndarray:
        counts = np.zeros(len(class_names), np.int64)
        place = 0
        for labels in self._selected_labels(reader):
            self._check_labels(labels, class_names, reader, place)
            classes = labels if labels.ndim == 1 else labels[:, 0]
            counts += np.bincount(classes, minlength=len(class_names))
            place += len(labels)
        return counts

    def _selected_labels(self, reader: SplitReader) -> Iterator[np.ndarray]:
        """The labels of the selected records, in batches."""
        if self._selection.is_everything:
            yield from reader.label_batches()
            return
        labels = np.concatenate(list(reader.label_batches()))
        yield labels[self._selection.numbers(reader.num_records, reader.images.title)]

    def _read_rest(
        self,
        rest: deque[Range],
        files: SplitFiles,
        yielded: YieldedRecords,
        class_names: Sequence[str] | None,
        read_range: ReadRange,
    ) -> Iterator[PlacedBatch]:
        """Read ranges from one source. What was yielded is taken out of `rest`."""
        while rest:
            place, stop = rest[0]
            stretch = yielded.begin(place)
            with self._pool.borrow(files) as reader:
                for batch in read_range(reader, place, stop):
                    self._check_labels(batch.labels, class_names, reader, place)
                    if self._locator.must_remember(files):
                        stretch.add(batch)
                    yielded.has_any = True
                    yield PlacedBatch(place, batch)
                    place += len(batch.images)
                    rest[0] = (place, stop)
            rest.popleft()

    def _next_confirmed(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """The files of the next source that holds the records which were yielded so far."""
        while True:
            failed = files
            files = self._locator.next_source(split, files, error)
            try:
                is_same = self._has_yielded_records(split, files)
            except IdxError as failure:
                error = failure
                continue
            if is_same:
                return files
            broken, other = failed.images.title, files.images.title
            found = f"{broken}: the transfer broke off, and {other} has other records"
            way_out = "One of the two is damaged. Load without streaming."
            raise IdxError(f"{found} than those read so far. {way_out}")

    def _has_yielded_records(self, split: str, files: SplitFiles) -> bool:
        with self._pool.borrow(files) as reader:
            return self._yielded[split].are_in(
                lambda start, stop: self._read_range(reader, start, stop)
            )

    def _read_range(
        self, reader: SplitReader, start: int, stop: int, first_size: int | None = None
    ) -> Iterator[Batch]:
        if not self.selects:
            batches = reader.batches(start, stop, first_size)
        else:
            batches = reader.selected_batches(self._draw(reader), start, stop)
        for batch in batches:
            yield self._loaded(batch)

    def _gather(self, reader: SplitReader, start: int, stop: int, make_room: MakeRoom) -> Batch:
        """The selected records of a range as one batch, in the arrays that `make_room` gives."""
        numbers = self._draw(reader)[start:stop]
        stored = reader.empty(0)
        room = make_room(len(numbers), self._loaded(stored))
        as_stored = room.images.reshape(len(numbers), *stored.images.shape[1:])
        batch = reader.gather(numbers, room._replace(images=as_stored))
        if self._transpose and batch.images.ndim >= 3:
            return batch._replace(images=transpose_in_place(batch.images))
        return batch

    def draw(self, splits: Mapping[str, SplitFiles]) -> None:
        """Draw what is selected, so that processes that are forked off have it already.

        Raises:
            IdxError: the order of the records does not fit into memory.
        """
        if not self.selects or len(splits) > MAX_DRAWN:  # Some would be drawn again.
            return
        for files in splits.values():
            with self._pool.borrow(files) as reader:
                self._draw(reader)

    def _draw(self, reader: SplitReader) -> np.ndarray:
        """The numbers of all selected records of a split."""
        selection = self._selection
        selection.check_memory(reader.num_records, reader.images.title)
        reader.check_selectable(selection.count(reader.num_records))
        return selection.numbers(reader.num_records, reader.images.title)

    def _check_labels(
        self,
        labels: np.ndarray | None,
        class_names: Sequence[str] | None,
        reader: SplitReader,
        place: int,
    ) -> None:
        if labels is None or class_names is None or reader.labels is None:
            return
        wrong = find_wrong_class(labels, len(class_names))
        if wrong is None:
            return
        title = reader.labels.title
        record = self.record_at(place + wrong, reader.num_records, title)
        raise wrong_class(title, record, labels[wrong], class_names)

    def _loaded(self, batch: Batch) -> Batch:
        """A batch of the file as it is loaded: transposed, if the user wants that."""
        if not self._transpose or batch.images.ndim < 3:
            return batch
        return batch._replace(images=batch.images.swapaxes(1, 2))
