"""The card of a folder of Parquet files: it tells people what is there, and `load_dataset`, too."""

import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import datasets
import numpy as np
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from ..record_layout import Layout
from .exported import ExportedSplits
from .parquet_shards import Written, add_counts

WIDTH = 100  # characters of a line


class CardConfig(NamedTuple):
    """A config, as the card describes it."""

    info: datasets.DatasetInfo  # with the sizes of its splits
    folder: str  # of its files


def add_metadata(text: str, configs: Sequence[CardConfig]) -> str:
    """A card with metadata that tells `load_dataset` the features, and where the files are.

    Args:
        text: of the card, which may have other metadata.
        configs: the first is the default.
    """
    infos, places = DatasetInfosDict(), MetadataConfigs()
    for info, folder in configs:
        name = str(info.config_name)
        infos[name] = info
        splits = [str(split) for split in info.splits or {}]
        data_files = [{"split": split, "path": f"{folder}/{split}-*"} for split in splits]
        places[name] = {"data_files": data_files}
    if len(configs) > 1 or configs[0].info.config_name != "default":
        places[str(configs[0].info.config_name)]["default"] = True
    card = DatasetCard(text)
    assert isinstance(card.data, DatasetCardData)
    places.to_dataset_card_data(card.data)
    infos.to_dataset_card_data(card.data)
    return str(card)


def set_sizes(info: datasets.DatasetInfo, written: Written) -> None:
    """Set the numbers of records and of bytes, in the order in which splits were written."""
    num_examples: dict[str, int] = {}
    num_bytes: dict[str, int] = {}
    for shard, facts in written.items():
        split = shard.split
        num_examples[split] = num_examples.get(split, 0) + facts.num_rows
        num_bytes[split] = num_bytes.get(split, 0) + facts.num_bytes
    info.splits = datasets.SplitDict()
    for split, count in num_examples.items():
        info.splits.add(datasets.SplitInfo(split, num_bytes[split], count))
    info.dataset_size = sum(num_bytes.values())
    info.download_size = sum(facts.file_bytes for facts in written.values())


def describe_splits(splits: ExportedSplits, written: Written) -> str:
    """The size of each split, and how many records each class has, as lines of text."""
    lines: list[str] = []
    for split, size in splits.sizes.items():
        shape = "x".join(map(str, splits.layout.shape)) or "one number"
        lines.append(f"{split}: {size:,} records of {shape}")
        classes = _describe_classes(splits.layout, split, written)
        lines += textwrap.wrap(classes, WIDTH, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def _describe_classes(layout: Layout, split: str, written: Written) -> str:
    """How many records each class has, as text; "" without classes."""
    counts = np.zeros(0, np.int64)
    for shard, facts in written.items():
        if shard.split == split:
            counts = add_counts(counts, np.array(facts.class_counts, np.int64))
    names = layout.class_names or ()
    described: list[str] = []
    for number, count in enumerate(counts.tolist()):
        if count > 0:
            described.append(f"{names[number]}: {count:,}")
    return ", ".join(described)
