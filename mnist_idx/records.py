"""The records of a split: blocks of images and labels that belong together, for any range of record numbers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from datasets import DownloadConfig

from .idx import Header, IdxError, iter_blocks, read_header
from .layers import Layer
from .stream import Locator, open_member
from .unpack import Checkpoints

# Records that are to be left out but lie between wanted ones are read through, up to so many bytes of them.
GAP_BYTES = 256 << 10
MAX_PARKED = 4


class SplitFiles(NamedTuple):
    """Where the members of a split are; plain values that can be pickled.

    Attributes:
        images: the member that holds the images.
        labels: the member that holds the labels, if there are any.
        num_records: how many records the split must have, where that is known.
        source: number of the source that they are from, among those that can be tried.
    """

    images: Locator
    labels: Locator | None
    num_records: int | None = None
    source: int = 0


class Block(NamedTuple):
    """Consecutive records.

    Attributes:
        images: `(k, *record_shape)`.
        labels: `(k,)` or, where a label has several parts, `(k, parts)`; None where there are none.
    """

    images: np.ndarray
    labels: np.ndarray | None


class SplitReader:
    """Reads the records of one split. What it has read it need not fetch again to go on from there.

    Args:
        files: where the members are.
        download_config: token and storage options for remote files.
        checkpoints: of the images, shared by all readers of the split.

    Raises:
        IdxError: a header is not as it should be, or images and labels differ in number.
    """

    def __init__(
        self,
        files: SplitFiles,
        download_config: DownloadConfig | None = None,
        checkpoints: dict[str, Checkpoints] | None = None,
    ) -> None:
        self.files = files
        self._images = open_member(files.images, download_config, checkpoints)
        self._labels: Layer | None = None
        self._reached = -1
        self._selected: tuple[Sequence[int], Block] | None = None
        try:
            self.images_header = read_header(self._images, files.images.title)
            self.labels_header: Header | None = None
            if files.labels is not None:
                self._labels = open_member(files.labels, download_config)
                self.labels_header = read_header(self._labels, files.labels.title)
            self._check_headers()
        except BaseException:
            self.close()
            raise

    @property
    def num_records(self) -> int:
        return self.images_header.num_records

    @property
    def label_parts(self) -> int:
        """How many numbers a label is made of."""
        return (
            0
            if self.labels_header is None
            else max(1, self.labels_header.record_size // self.labels_header.dtype.itemsize)
        )

    def largest_label(self) -> int:
        """The largest class there is, -1 if there are no records; reads all the labels."""
        assert self._labels is not None and self.labels_header is not None and self.files.labels is not None
        blocks = iter_blocks(self._labels, self.labels_header, self.files.labels.title)
        return max((int(block.reshape(len(block), -1)[:, 0].max()) for block in blocks), default=-1)

    def close(self) -> None:
        self._images.close()
        if self._labels is not None:
            self._labels.close()

    def blocks(self, start: int = 0, stop: int | None = None, first_records: int | None = None) -> Iterator[Block]:
        """Read the records `start` to `stop`, a block at a time, of which the first can be a smaller one."""
        stop = self.num_records if stop is None else stop
        if start == 0:  # so that digests are checked in each pass
            self._images.seek(0)
            read_header(self._images, self.files.images.title)
        size = self.images_header.block_records
        middle = stop if first_records is None else min(stop, start + min(size, first_records))

        def read(stream: Layer, header: Header, name: str) -> Iterator[np.ndarray]:
            yield from iter_blocks(stream, header, name, start, middle, size)
            if middle < stop:
                yield from iter_blocks(stream, header, name, middle, stop, size)

        # Whoever goes on where the last range has ended is likely to go on for longer.
        until = self.num_records if start == self._reached else stop
        self._reached = stop
        self._images.until(self.images_header.offset_of(until))
        images = read(self._images, self.images_header, self.files.images.title)
        if self._labels is None or self.labels_header is None or self.files.labels is None:
            yield from (Block(block, None) for block in images)
            return
        if start == 0:
            self._labels.seek(0)
            read_header(self._labels, self.files.labels.title)
        self._labels.until(self.labels_header.offset_of(until))
        labels = read(self._labels, self.labels_header, self.files.labels.title)
        yield from map(Block, images, labels)

    def selected_blocks(self, indices: Sequence[int], start: int, stop: int) -> Iterator[Block]:
        """Read the records of the given numbers, in the given order; of these the ones at `start` to `stop`.

        All of them are read in one pass and held in memory; for as long as the reader is used, if not all are asked
        for at once.
        """
        if self._selected is None or self._selected[0] != indices:
            self._selected = (indices, self.select(indices))
        images, labels = self._selected[1]
        if start == 0 and stop == len(indices):
            self._selected = None
        for first in range(start, stop, self.images_header.block_records):
            piece = slice(first, min(stop, first + self.images_header.block_records))
            yield Block(images[piece], None if labels is None else labels[piece])

    def select(self, indices: Sequence[int]) -> Block:
        """Read the records of the given numbers, in the given order, in one pass."""
        places_of = np.argsort(np.asarray(indices, dtype=np.int64))
        wanted = np.asarray(indices, dtype=np.int64)[places_of]
        gap = max(1, GAP_BYTES // max(1, self.images_header.record_size))
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > gap) + 1) if len(wanted) else []
        images, labels = self.empty_block(len(wanted))
        done = 0
        for block in (block for run in runs for block in self._select_run(run)):
            places = places_of[done : done + len(block.images)]
            images[places] = block.images
            if labels is not None:
                labels[places] = block.labels
            done += len(block.images)
        return Block(images, labels)

    def empty_block(self, count: int) -> Block:
        """Room for so many records."""
        images, labels = self.images_header, self.labels_header
        return Block(
            np.empty((count, *images.record_shape), images.dtype),
            None if labels is None else np.empty((count, *labels.record_shape), labels.dtype),
        )

    def _select_run(self, wanted: np.ndarray) -> Iterator[Block]:
        """The records of ascending numbers that lie near each other."""
        start, stop = int(wanted[0]), int(wanted[-1]) + 1
        for block in self.blocks(start, stop):
            inside = wanted[(wanted >= start) & (wanted < start + len(block.images))] - start
            yield Block(block.images[inside], None if block.labels is None else block.labels[inside])
            start += len(block.images)

    def _check_headers(self) -> None:
        images, labels = self.images_header, self.labels_header
        if len(images.shape) < 2:
            raise IdxError(
                f"{self.files.images.title}: found the shape {images.shape}, expected images: (records, rows, columns) "
                "or (records, rows, columns, 3). Are these the labels?"
            )
        if self.files.num_records not in (None, images.num_records):
            raise IdxError(
                f"{self.files.images.title}: found {images.num_records:,} records, expected "
                f"{self.files.num_records:,}. It is not the published file."
            )
        if labels is None or self.files.labels is None:
            return
        if not labels.shape or labels.num_records != images.num_records:
            raise IdxError(
                f"{self.files.images.title} has {images.num_records:,} records, {self.files.labels.title} has the "
                f"shape {labels.shape}: expected a label for each image. The two do not belong together."
            )
        if labels.dtype.kind not in "iu" or len(labels.shape) > 2 or labels.record_size == 0:
            raise IdxError(
                f"{self.files.labels.title}: found {labels.dtype} of shape {labels.shape}, expected whole numbers of "
                "shape (records,) or (records, parts). Are these the images?"
            )


class ReaderPool:
    """Keeps the readers of splits open between ranges, so that adjacent ranges are read in one pass.

    Readers that are at different places of a split at the same time share what they know about it. A pickled pool is
    an empty pool, and a reader is used in the process that opened it only: file handles, connections and locks do not
    survive either way. Threads can use a pool together.
    """

    def __init__(self, download_config: DownloadConfig | None = None) -> None:
        self.download_config = download_config
        self._splits: dict[tuple[int, SplitFiles], tuple[list[SplitReader], dict[str, Checkpoints]]] = {}

    def __reduce__(self) -> tuple[type[ReaderPool], tuple[DownloadConfig | None]]:
        return ReaderPool, (self.download_config,)

    @contextmanager
    def borrow(self, files: SplitFiles) -> Iterator[SplitReader]:
        """A reader of the split, for one user at a time; one that fails is closed for good."""
        parked, checkpoints = self._splits.setdefault((os.getpid(), files), ([], {}))
        try:
            reader = parked.pop()
        except IndexError:
            reader = SplitReader(files, self.download_config, checkpoints)
        try:
            yield reader
        except BaseException:
            reader.close()
            raise
        parked.append(reader)
        while len(parked) > MAX_PARKED:
            parked.pop(0).close()
