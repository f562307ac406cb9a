"""What is published, as a folder: Parquet files, the card, a preview picture. `export` makes it for the user."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard

from .idx import IdxError
from .mnist_idx import MnistIdx
from .preview import contact_sheet
from .transfer import is_local_failure

# The card speaks of these; data that it does not describe is not published under it.
CONFIGS = ("mnist", "subset", "tiny")
DEFAULT_CONFIGS = ("mnist", "subset")
CARD, README, PREVIEW = "dataset_card.md", "README.md", "preview.png"
# Small enough that the first records of a stream arrive at once, large enough that the whole is read in few requests.
ROW_GROUP = 1000
PREVIEW_RECORDS, PREVIEW_COLUMNS, PREVIEW_CELL = 48, 12, 56

Configs = Iterable[str] | Mapping[str, Mapping[str, Any]]


def export(folder: str | os.PathLike[str], configs: Configs = DEFAULT_CONFIGS, *, overwrite: bool = False) -> Path:
    """Write the data set to a folder as Parquet files with a card, as `push_to_hub` publishes it.

    `load_dataset(folder)` loads it, with or without this package; `hf upload` publishes it. The folder appears whole or
    not at all.

    Args:
        folder: the folder to create. It must be empty or not exist.
        configs: names of configurations, or a mapping of them to their options, `{"subset": {"num_samples": 750}}`.
            The default configuration is `mnist`, where it is among them, else the first.
        overwrite: replace an earlier export. A folder that holds anything else is never replaced.

    Returns:
        The folder.

    Raises:
        IdxError: a configuration is unknown, the data is not what it should be, the folder cannot be written.
    """
    options = checked_configs(configs)
    target = Path(folder).expanduser().absolute()
    _check_target(target, overwrite)
    with explained_build(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as staging:
            content = Path(staging) / "content"
            build(content, options)
            _move(content, target, Path(staging) / "replaced")
    return target


def checked_configs(configs: Configs) -> dict[str, dict[str, Any]]:
    """Each configuration with its options, in the order of the card."""
    if isinstance(configs, str):
        configs = (configs,)
    named = configs if isinstance(configs, Mapping) else {name: {} for name in configs}
    unknown = [name for name in named if name not in CONFIGS]
    if unknown or not named:
        raise IdxError(
            f"configs={list(named)!r}: expected one or more of {', '.join(CONFIGS)}. To publish other IDX files, load "
            "them with load_dataset and call push_to_hub of what it returns: the card here describes MNIST."
        )
    return {name: dict(named[name]) for name in CONFIGS if name in named}


def build(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Everything that is published, in a new folder: Parquet files, preview picture, card."""
    folder.mkdir()
    infos, layout = DatasetInfosDict(), MetadataConfigs()
    for name, options in configs.items():
        # A cache of its own: what is published has been read and verified now.
        with TemporaryDirectory(prefix="cache-", dir=folder.parent) as cache:
            builder = MnistIdx(config_name=name, cache_dir=cache, **options)
            builder.download_and_prepare()
            splits = builder.as_dataset()
            (folder / name).mkdir()
            paths = {split: folder / name / f"{split}-00000-of-00001.parquet" for split in splits}
            for split, path in paths.items():
                _write_parquet(splits[split], path)
            if not infos:
                _draw_preview(splits["train"], folder / PREVIEW)
            infos[name] = DatasetInfo(
                features=builder.info.features,
                splits=builder.info.splits,
                download_size=sum(path.stat().st_size for path in paths.values()),
                dataset_size=builder.info.dataset_size,
            )
        layout[name] = {"data_files": [{"split": split, "path": f"{name}/{split}-*"} for split in paths]}
        if len(infos) == 1:
            layout[name]["default"] = True
    card = DatasetCard(_card_text())
    layout.to_dataset_card_data(card.data)
    infos.to_dataset_card_data(card.data)
    (folder / README).write_text(str(card), encoding="utf-8", newline="\n")


def _card_text() -> str:
    """The card as it is kept: beside the package in a checkout, in it once installed."""
    package = Path(__file__).resolve().parent
    for folder in (package, package.parent):
        if (folder / CARD).is_file():
            return (folder / CARD).read_text(encoding="utf-8")
    raise IdxError(f"{CARD} is in neither {package} nor {package.parent}: install the package anew.")


def _write_parquet(dataset: Dataset, path: Path) -> None:
    """The records with their images inside and, in the schema, what `datasets` needs to know of their features."""
    schema = dataset.features.arrow_schema
    # No image occurs twice, so that a dictionary of them would only be searched in vain.
    with pq.ParquetWriter(
        path, schema, compression="snappy", use_dictionary=["label"], write_page_index=True
    ) as writer:
        for table in dataset.with_format("arrow").iter(ROW_GROUP):
            writer.write_table(table.cast(schema), row_group_size=ROW_GROUP)


def _draw_preview(dataset: Dataset, path: Path) -> None:
    head = dataset.select(range(min(PREVIEW_RECORDS, len(dataset))))
    images = np.stack([np.asarray(image) for image in head["image"]])
    names = dataset.features["label"].names
    sheet = contact_sheet(images, list(head["label"]), names, columns=PREVIEW_COLUMNS, cell=PREVIEW_CELL)
    sheet.save(path, optimize=True)


def files_in(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


def _check_target(target: Path, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise IdxError(f"{target}: is not a folder. Name one that does not exist yet.")
    found = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if not found:
        return
    if not overwrite:
        raise IdxError(
            f"{target}: the folder is not empty. Name another one, or replace it with overwrite=True (--overwrite)."
        )
    foreign = sorted(found - {README, PREVIEW, *CONFIGS})
    if foreign or README not in found:
        held = f"{foreign[0]!r}" if foreign else "no card"
        raise IdxError(f"{target}: not replaced, since it is not an earlier export: it holds {held}. Name another.")


def _move(content: Path, target: Path, aside: Path) -> None:
    """Put a finished folder in its place, and what was there aside."""
    try:
        if target.exists():
            target.rename(aside)
        content.rename(target)
    except BaseException:
        if aside.exists() and not target.exists():
            aside.rename(target)
        raise


@contextmanager
def explained_build(folder: Path) -> Iterator[None]:
    """Errors while files are made, freed of what `datasets` wraps around them, those of the disk with the way out."""
    try:
        yield
    except (OSError, IdxError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, OSError):
            cause = cause.__cause__
        if cause is None or (isinstance(error, IdxError) and not is_local_failure(cause)):
            raise
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT) or "disk space" in str(cause)
        reason, way_out = ("no space is left", "Free some") if full else (str(cause), "Make it writable")
        raise IdxError(
            f"{folder}: writing files failed: {reason}. Nothing was published. {way_out}, or choose another place (the "
            "environment variable TMPDIR says where temporary files go, HF_HOME where downloads go)."
        ) from error
