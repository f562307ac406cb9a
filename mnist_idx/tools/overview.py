"""What a dataset holds, and its first records, read where it is: nothing is kept in the cache."""

from typing import NamedTuple

import numpy as np

from ..catalog import DATASETS
from ..errors import IdxError, TransferError
from ..folder import DESCRIPTION
from .arrays import read_parts
from .opening import Arguments, Opened, open_dataset
from .preview import SplitSummary
from .split_spec import Part


class Overview:
    """A dataset whose files were found, to be looked at. Images are read only if they are shown."""

    def __init__(self, description: str, opened: Opened) -> None:
        self.description = description
        self._opened = opened

    @property
    def split_names(self) -> list[str]:
        return list(self._opened.splits)

    def summarize(self) -> dict[str, SplitSummary]:
        """What is told of each split. Its labels are counted."""
        opened = self._opened
        summaries = {}
        for name in opened.splits:
            counts = self._count_classes(name)
            summaries[name] = SplitSummary(opened.sizes[name], opened.layout.shape, counts)
        return summaries

    def first_records(self, split: str, num: int) -> "FirstRecords":
        """The first records of a split, at most `num`."""
        part = Part(split, 0, min(num, self._opened.sizes[split]))
        images, labels = read_parts(self._opened, [part])
        return FirstRecords(images, labels, self._opened.layout.class_names)

    def _count_classes(self, split: str) -> dict[str, int]:
        """How many records each class has, by its name; empty without classes."""
        opened = self._opened
        files, names = opened.splits[split], opened.layout.class_names
        if files.labels is None or names is None:
            return {}
        counts = opened.source.count_classes(split, files, names)
        return dict(zip(names, counts.tolist(), strict=True))


class FirstRecords(NamedTuple):
    """Records of a split to be drawn."""

    images: np.ndarray
    labels: np.ndarray | None
    class_names: tuple[str, ...] | None

    @property
    def source(self) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """What `contact_sheet` takes."""
        return self.images if self.labels is None else (self.images, self.labels)


def look_at_config(name: str) -> Overview:
    """Find the files of a published dataset."""
    return Overview(DATASETS[name].description, _open("mnist_idx", name, {}))


def look_at_files(arguments: Arguments) -> Overview:
    """Find the user's own IDX files.

    Args:
        arguments: those of `load_dataset_builder`.
    """
    return Overview(DESCRIPTION, _open("idxfolder", None, {"as_array": True, **arguments}))


def _open(path: str, name: str | None, arguments: Arguments) -> Opened:
    try:
        return open_dataset(path, name, None, streaming=True, arguments=arguments)
    except IdxError as error:
        # Of a published dataset, that no source can be reached is no `TransferError`.
        is_out_of_reach = path == "mnist_idx" or isinstance(error, TransferError)
        if not is_out_of_reach:
            raise
    # Without network, an earlier download may do.
    return open_dataset(path, name, None, streaming=False, arguments=arguments)
