"""What is true of the records that are published: counts, and what programs print of them."""

import contextlib
import hashlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..catalog import PublishedDataset
from ..record_layout import Layout, arrange_channels
from ..records import Batch
from ..selection import DEFAULT_SEED, Selection
from .exported import ExportedSplits
from .parquet_shards import Written, add_counts
from .split_spec import Part

FIRST_RECORDS = 10


class Content(NamedTuple):
    """What is known of all records of a split, once they have been read."""

    sha256: str  # of the pixels and the label of each record, in order
    mean: float  # of the pixels, from 0 to 1
    deviation: float


class FirstRecords(NamedTuple):
    """The first records of a split."""

    images: np.ndarray  # channels last, and none if they are gray
    labels: list[object] | None  # as `datasets` gives them
    details: list[list[int]] | None  # of labels of several parts


class SplitFacts(NamedTuple):
    """What is true of a split."""

    num_records: int
    class_counts: list[int]  # records of each class; empty without classes
    first: FirstRecords
    content: Content | None  # None: nobody has read all records for it
    parts: list[Part]  # of what is selected, those that are published
    num_selected: int  # records of which these are parts

    @property
    def is_whole(self) -> bool:
        return self.parts == [Part(self.parts[0].split, 0, self.num_selected)]


class ConfigFacts(NamedTuple):
    """What is true of a config."""

    name: str | None  # None: a dataset without names of configs
    splits: dict[str, SplitFacts]
    layout: Layout
    as_array: bool
    selection: Selection
    transpose: bool  # rows and columns of the files are exchanged
    published: PublishedDataset | None  # None: records of the user

    @property
    def sizes(self) -> dict[str, int]:
        return {name: split.num_records for name, split in self.splits.items()}

    @property
    def is_part(self) -> bool:
        """Whether records of a published dataset are missing."""
        if self.published is None:
            return False
        return self.published.part_of is not None or self.selection.num_samples is not None

    @property
    def has_digests(self) -> bool:
        return all(split.content is not None for split in self.splits.values())


class Options(NamedTuple):
    """How records were selected, and how they lie."""

    as_array: bool = False
    selection: Selection = Selection()
    transpose: bool = False


def gather_facts(
    splits: ExportedSplits,
    written: Written,
    options: Options,
    name: str | None = None,
    published: PublishedDataset | None = None,
) -> ConfigFacts:
    """Find out what is true of records that were written.

    All records of a published dataset are read once more, and of others the first ones.
    """
    found: dict[str, SplitFacts] = {}
    reads_all = published is not None and not options.as_array
    for split, size in splits.sizes.items():
        found[split] = SplitFacts(
            num_records=size,
            class_counts=_count_classes(splits.layout, split, written),
            first=_read_first(splits, split),
            content=_read_content(splits, split) if reads_all else None,
            parts=splits.parts(split),
            num_selected=splits.num_selected(split),
        )
    return ConfigFacts(
        name=name,
        splits=found,
        layout=splits.layout,
        as_array=options.as_array,
        selection=options.selection,
        transpose=options.transpose,
        published=published,
    )


def _count_classes(layout: Layout, split: str, written: Written) -> list[int]:
    """How many records each class has; empty without classes."""
    counts = np.zeros(len(layout.class_names or ()), np.int64)
    for shard, facts in written.items():
        if shard.split == split:
            counts = add_counts(counts, np.array(facts.class_counts, np.int64))
    return [int(count) for count in counts]


def _read_first(splits: ExportedSplits, split: str) -> FirstRecords:
    stop = min(FIRST_RECORDS, splits.sizes[split])
    with contextlib.closing(splits.batches(split, 0, stop)) as batches:
        batch = next(batches)
    images = arrange_channels(batch.images)
    if batch.labels is None:
        return FirstRecords(images, None, None)
    if batch.labels.dtype.kind == "f":
        return FirstRecords(images, batch.labels.tolist(), None)
    parts = batch.labels.reshape(len(batch.labels), -1)
    details = parts[:, 1:].tolist() if parts.shape[1] > 1 else None
    return FirstRecords(images, parts[:, 0].tolist(), details)


def _read_content(splits: ExportedSplits, split: str) -> Content:
    """Read all records of a published dataset: gray images of 8 bits, and up to 256 classes."""
    hasher = hashlib.sha256()
    counts = np.zeros(256, np.int64)
    for batch in splits.batches(split):
        pixels = batch.images.reshape(len(batch.images), -1)
        hasher.update(np.column_stack([pixels, _classes(batch)]).data)
        counts += np.bincount(pixels.reshape(-1), minlength=256)
    values = np.arange(256) / 255
    mean = np.average(values, weights=counts)
    variance = np.average((values - mean) ** 2, weights=counts)
    return Content(hasher.hexdigest(), float(mean), float(np.sqrt(variance)))


def _classes(batch: Batch) -> np.ndarray:
    assert batch.labels is not None
    labels = batch.labels if batch.labels.ndim == 1 else batch.labels[:, 0]
    return labels.astype(np.uint8)


# In words


def describe_records(config: ConfigFacts) -> str:
    """Which records a config has, and in which order.

    "the first 100 records of each split, shuffled with the seed 1"
    """
    extent = "all records" if config.published is None else config.published.extent
    selection = config.selection
    if selection.is_everything:
        return f"{extent}, in the order of the IDX files"
    seed = DEFAULT_SEED if selection.seed is None else selection.seed
    if selection.num_samples is None:
        return f"{extent}, shuffled with the seed {seed}"
    selected = {split.num_selected for split in config.splits.values()}
    count = f"{selection.num_samples:,}"
    is_short = any(number < selection.num_samples for number in selected)
    if selection.sampling == "uniform":
        drawn = f"at most {count}" if is_short else count
        return f"{drawn} records of each split, drawn with the seed {seed} from {extent}"
    fewer = ", or all if it has fewer" if is_short else ""
    return f"the first {count} records of each split{fewer}, shuffled with the seed {seed}"


def describe_parts(splits: Mapping[str, SplitFacts]) -> list[str]:
    """Which parts of splits are published: a line for each split that is not whole."""
    lines: list[str] = []
    for name, split in splits.items():
        if split.is_whole:
            continue
        parts = [part for part in split.parts if part.start < part.stop]
        ranges = [f"{part.start:,} to {part.stop - 1:,}" for part in parts]
        records = f"those numbered {', then '.join(ranges)}"
        lines.append(f"`{name}` has of these {split.num_selected:,} records {records}.")
    return lines
