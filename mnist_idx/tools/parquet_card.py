"""The card of a folder of Parquet files: it tells people what is there, and `load_dataset`, too."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import datasets
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from .card_owner import stamp
from .card_place import Place, fill_in
from .card_sections import CardFacts, compose
from .parquet_shards import Written

LARGEST_SIZE = "n>1T"
# The Hub names sizes by powers of ten: "n<1K", "1K<n<10K", …
SIZE_NAMES = {
    10**3: "1K",
    10**4: "10K",
    10**5: "100K",
    10**6: "1M",
    10**7: "10M",
    10**8: "100M",
    10**9: "1B",
    10**10: "10B",
    10**11: "100B",
    10**12: "1T",
}


class CardConfig(NamedTuple):
    """A config, as the card describes it."""

    info: datasets.DatasetInfo  # with the sizes of its splits
    folder: str  # of its files


def make_card(facts: CardFacts, configs: Sequence[CardConfig], place: Place) -> str:
    """The card of what was written.

    Args:
        configs: the first is the default.
        place: where its programs load from.
    """
    text = fill_in(compose(facts), place)
    return stamp(_add_metadata(text, describe_metadata(facts), configs))


def size_category(num_records: int) -> str:
    """What the Hub calls a dataset of so many records.

    >>> size_category(999), size_category(1000), size_category(70_200)
    ('n<1K', '1K<n<10K', '10K<n<100K')
    """
    smaller = "n"
    for limit, name in SIZE_NAMES.items():
        if num_records < limit:
            return f"n<{name}" if smaller == "n" else f"{smaller}<n<{name}"
        smaller = name
    return LARGEST_SIZE


def describe_metadata(facts: CardFacts) -> dict[str, Any]:
    """The metadata that people look for on the Hub."""
    config, published, about = facts.default, facts.published, facts.about
    class_names = config.layout.class_names
    metadata: dict[str, Any] = {"pretty_name": facts.name}
    if published is not None:
        metadata["license"] = published.license
    if class_names is not None and not config.as_array:
        metadata["task_categories"] = ["image-classification"]
        if len(class_names) > 2:
            metadata["task_ids"] = ["multi-class-image-classification"]
    num_records = sum(sum(config.sizes.values()) for config in facts.configs)
    metadata["size_categories"] = [size_category(num_records)]
    if about is None:
        metadata["tags"] = ["idx"]
        return metadata
    metadata["annotations_creators"] = ["expert-generated"]
    metadata["source_datasets"] = [about.source]
    if about.papers_with_code is not None:
        metadata["paperswithcode_id"] = about.papers_with_code
    metadata["tags"] = list(about.tags)
    return metadata


def _add_metadata(text: str, metadata: dict[str, Any], configs: Sequence[CardConfig]) -> str:
    """A card with metadata that tells `load_dataset` the features, and where the files are."""
    infos, places = DatasetInfosDict(), MetadataConfigs()
    for info, folder in configs:
        name = str(info.config_name)
        infos[name] = info
        splits = [str(split) for split in info.splits or {}]
        data_files = [{"split": split, "path": f"{folder}/{split}-*"} for split in splits]
        places[name] = {"data_files": data_files}
    if len(configs) > 1 or configs[0].info.config_name != "default":
        places[str(configs[0].info.config_name)]["default"] = True
    data = DatasetCardData(**metadata)
    places.to_dataset_card_data(data)
    infos.to_dataset_card_data(data)
    return str(DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}"))


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
