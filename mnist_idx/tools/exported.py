"""What is exported of a dataset: its splits, or parts of them, batch by batch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from ..record_layout import Layout
from ..records import Batch
from .opening import Opened, open_dataset
from .progress import Advance, is_switched_off
from .split_spec import Part, parse_parts


class ExportedSplits:
    """The splits of a dataset that are exported. Their records are read when they are asked for."""

    def __init__(self, opened: Opened, parts: list[Part]) -> None:
        self._opened = opened
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

    def title(self, split: str) -> str:
        """What errors call the images of a split."""
        return self._opened.splits[split].images.title

    def batches(self, split: str) -> Iterator[Batch]:
        """The records of a split, in at least one batch, which may be empty."""
        ranges = [(part.start, part.stop) for part in self._parts[split]]
        files = self._opened.splits[split]
        for placed in self._opened.source.read(split, files, ranges, self._opened.class_names):
            yield placed.batch


def open_exported(
    path: str, name: str | None, split: str | None, as_array: bool, **options: Any
) -> ExportedSplits:
    """Find what is exported. Local files are found without importing `datasets`.

    Args:
        path: "mnist_idx" or "idxfolder".
        name: of the config.
        split: for example "train" or "test[:100]+train"; None for all. Each part stays in its
            split.
        as_array: whether records of any type and shape are taken, not only pictures.
        **options: those of `load_dataset_builder`.

    Raises:
        IdxError: the files cannot be found, or an option is wrong.
    """
    opened = open_dataset(path, name, split, False, {"as_array": as_array, **options})
    if split is None:
        parts = [Part(known, 0, size) for known, size in opened.sizes.items()]
    else:
        parts = parse_parts(split, opened.sizes)
    return ExportedSplits(opened, parts)


@contextmanager
def progress_bar(splits: ExportedSplits) -> Iterator[Advance]:
    """Show a bar on stderr, unless bars are switched off. Yields what is told of each batch."""
    total = sum(splits.sizes.values())
    with tqdm(total=total, desc="Exporting", unit=" records", disable=is_switched_off()) as bar:

        def advance(count: int) -> None:
            bar.update(count)

        yield advance
