"""What is exported of a dataset: its splits, or parts of them, batch by batch."""

import math
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from ..failover import Range
from ..record_layout import Layout
from ..records import Batch
from ..selection import Selection
from .opening import Opened, open_dataset
from .progress import Advance, show_progress
from .split_spec import Part, parse_parts

# Options that decide which records there are, in which order, and how they lie.
SELECTING = ("num_samples", "seed", "sampling", "transpose")


class ExportedSplits:
    """The splits of a dataset that are exported. Their records are read when they are asked for."""

    def __init__(
        self, opened: Opened, parts: list[Part], options: Mapping[str, Any] | None = None
    ) -> None:
        self._opened = opened
        self._options = options or {}
        self._parts: dict[str, list[Part]] = {}
        self.sizes: dict[str, int] = {}  # records by the name of the split
        for part in parts:
            self._parts.setdefault(part.split, []).append(part)
            size = part.stop - part.start
            self.sizes[part.split] = self.sizes.get(part.split, 0) + size

    @property
    def layout(self) -> Layout:
        """Shape and labels of the records. Pictures of other splits may have other sizes."""
        return self._opened.layout

    @property
    def record_bytes(self) -> int:
        """Bytes of an image, of the split that has the largest."""
        layout = self._opened.layout
        in_files = [files.record_bytes or 0 for files in self._opened.splits.values()]
        return max(math.prod(layout.shape) * np.dtype(layout.dtype).itemsize, *in_files)

    def identities(self) -> list[list[str]]:
        """What tells the files from others that take their places: names, and states."""
        listed: list[list[str]] = []
        for split in self._parts:
            for member in self._opened.splits[split].members:
                state = "" if member.version is None else member.version.validator
                listed.append([split, member.title, state])
        return listed

    def selection(self) -> dict[str, Any]:
        """What tells the records from others of the same files: parts, and options."""
        chosen = {name: self._options.get(name) for name in SELECTING if name in self._options}
        return {"parts": self._parts, **chosen}

    def parts(self, split: str) -> list[Part]:
        """Which of the selected records of a split are exported."""
        return self._parts[split]

    @property
    def records_selected(self) -> Selection:
        """Which records of each split are selected; `parts` are some of them."""
        given = {name: self._options.get(name) for name in Selection._fields}
        return Selection(**{name: value for name, value in given.items() if value is not None})

    @property
    def is_transposed(self) -> bool:
        """Whether rows and columns of the images are exchanged."""
        return bool(self._options.get("transpose"))

    def num_selected(self, split: str) -> int:
        """How many records of a split are selected; `parts` are some of them."""
        return self._opened.sizes[split]

    def title(self, split: str) -> str:
        """What errors call the images of a split."""
        return self._opened.splits[split].images.title

    def batches(
        self, split: str, start: int = 0, stop: int | None = None
    ) -> Generator[Batch, None, None]:
        """The records of a split, in at least one batch, which may be empty.

        Args:
            start, stop: only these of the records that are exported.
        """
        ranges = cut(self._parts[split], start, self.sizes[split] if stop is None else stop)
        files = self._opened.splits[split]
        for placed in self._opened.source.read(split, files, ranges, self._opened.class_names):
            yield placed.batch


def cut(parts: Sequence[Part], start: int, stop: int) -> list[Range]:
    """The records `start` to `stop` of parts that follow each other: at least one range.

    >>> cut([Part("train", 5, 8), Part("train", 0, 4)], 1, 5)
    [(6, 8), (0, 2)]
    """
    ranges: list[Range] = []
    passed = 0  # records of the parts before
    for part in parts:
        first = part.start + max(0, start - passed)
        end = min(part.stop, part.start + stop - passed)
        if first < end:
            ranges.append((first, end))
        passed += part.stop - part.start
    return ranges or [(parts[0].start, parts[0].start)]


def open_exported(
    path: str,
    name: str | None,
    split: str | None,
    as_array: bool,
    streaming: bool = False,
    **options: Any,
) -> ExportedSplits:
    """Find what is exported. Local files are found without importing `datasets`.

    Args:
        path: "mnist_idx" or "idxfolder".
        name: of the config.
        split: for example "train" or "test[:100]+train"; None for all. Each part stays in its
            split.
        as_array: whether records of any type and shape are taken, not only pictures.
        streaming: whether remote files are read where they are, not downloaded first.
        **options: those of `load_dataset_builder`.

    Raises:
        IdxError: the files cannot be found, or an option is wrong.
    """
    opened = open_dataset(path, name, split, streaming, {"as_array": as_array, **options})
    if split is None:
        return whole_splits(opened, options)
    return ExportedSplits(opened, parse_parts(split, opened.sizes), options)


def whole_splits(opened: Opened, options: Mapping[str, Any] | None = None) -> ExportedSplits:
    """All records of a dataset that are selected.

    Args:
        options: that have selected them.
    """
    parts = [Part(name, 0, size) for name, size in opened.sizes.items()]
    return ExportedSplits(opened, parts, options)


def progress_bar(splits: ExportedSplits) -> AbstractContextManager[Advance]:
    """Show a bar on stderr, unless bars are switched off. Gives what is told of each batch."""
    total = sum(splits.sizes.values())
    return show_progress("Exporting", total, only_on_terminal=False)
