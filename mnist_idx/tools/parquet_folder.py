"""Write anyone's records as a folder of Parquet files, which `load_dataset` loads by its path.

```text
digits/README.md                            the card: features, sizes, where the files are
digits/preview.png                          the first pictures
digits/data/train-00000-of-00012.parquet    some 500 MB of records
```
"""

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pyarrow

from .. import __version__
from ..catalog import DATASETS
from ..errors import IdxError, wrong_option
from ..record_layout import arrange_channels
from .card_facts import Options, gather_facts
from .card_owner import is_stamped
from .card_place import Place
from .card_sections import CardFacts
from .exported import ExportedSplits, progress_bar
from .image_folder import check_no_pattern, quoted
from .parquet_card import CardConfig, make_card, set_sizes
from .parquet_shards import (
    Shard,
    ShardWriter,
    Written,
    estimate_num_shards,
    features_of,
    is_shard,
    plan_shards,
)
from .preview import contact_sheet
from .shard_workers import Workers
from .staged import resolve_target, staged
from .unfinished import link_files, unfinished

README, PREVIEW = "README.md", "preview.png"
UNTITLED = "IDX records"
CARD_START, PNG_START, PARQUET_START = b"---\n", b"\x89PNG", b"PAR1"
DATA = "data"  # folder of the files
# The Parquet files of an export: those of published datasets, and those of other records.
FILE_NAME = r"\w+(?:\.\w+)*-\d{5}-of-\d{5}\.parquet"
PUBLISHED_PATH = re.compile(rf"(?:{'|'.join(DATASETS)})/{FILE_NAME}")
DATA_PATH = re.compile(rf"{DATA}/{FILE_NAME}")


class ParquetOptions(NamedTuple):
    """How Parquet files are written."""

    num_shards: int | None = None  # of the largest split; None for files of about 500 MB
    workers: Workers = Workers()

    def check(self) -> None:
        """Refuse wrong values, before anything is read."""
        if self.num_shards is not None:
            is_number = isinstance(self.num_shards, int) and not isinstance(self.num_shards, bool)
            if not is_number or self.num_shards < 1:
                raise wrong_option("num_shards", self.num_shards, "an integer, at least 1")
        self.workers.check()

    def plan(self, splits: ExportedSplits, folder: str, as_array: bool) -> list[Shard]:
        """The shards of a dataset.

        Args:
            folder: of the files.
        """
        num_shards = self.num_shards
        if num_shards is None:
            num_shards = estimate_num_shards(splits, as_array)
        return plan_shards(splits.sizes, folder, num_shards, splits.record_bytes)

    def write(self, splits: ExportedSplits, writer: ShardWriter, shards: list[Shard]) -> Written:
        """Write shards, with a progress bar."""
        with progress_bar(splits) as advance:
            written = self.workers.write(writer, shards, advance)
        return {shard: written[shard] for shard in shards}  # in their order


class WrittenFolder(NamedTuple):
    """What was written."""

    path: Path
    num_files: dict[str, int]  # Parquet files by split
    load_code: str  # Python code, in one line, that loads them


def write_parquet_folder(
    splits: ExportedSplits,
    target: str | os.PathLike[str],
    overwrite: bool,
    as_array: bool = False,
    options: ParquetOptions | None = None,
) -> WrittenFolder:
    """Write records to a folder, which appears whole or not at all.

    A few batches of records are in memory at a time, for each worker. When this is killed, the
    files that are finished stay in a hidden folder, see `unfinished`: the same call goes on.

    Args:
        splits: opened with the same `as_array`.
        overwrite: replace an earlier export. A folder that holds anything else is never replaced.

    Raises:
        IdxError: the records cannot be read, or the folder cannot be written.
    """
    options = options or ParquetOptions()
    options.check()
    check_no_pattern(target)
    _check_splits(splits)
    path = resolve_target(target)
    shards = options.plan(splits, DATA, as_array)
    plan = _describe_plan(splits, shards, as_array)
    with unfinished(path, plan) as kept, staged(path, overwrite, is_replaceable) as folder:
        writer = ShardWriter(splits, kept.new, kept.notes, as_array)
        written = options.write(splits, writer, shards)
        folder.mkdir()
        link_files(kept.new, folder)
        _write_card(folder, splits, written, as_array, target)
    num_files: dict[str, int] = {}
    for shard in shards:
        num_files[shard.split] = num_files.get(shard.split, 0) + 1
    return WrittenFolder(path, num_files, load_code(target))


def load_code(target: str | os.PathLike[str], config: str | None = None) -> str:
    """Python code, in one line, that loads what was written.

    Args:
        config: one of several; None for the only one.
    """
    arguments = quoted(Place.of_folder(target).path)
    if config is not None:
        arguments += f", {quoted(config)}"
    return f"from datasets import load_dataset; ds = load_dataset({arguments})"


def _check_splits(splits: ExportedSplits) -> None:
    for split, size in splits.sizes.items():
        if size == 0:
            found = f"{splits.title(split)}: the split {split!r} has no records"
            way_out = "Leave it out with --split, or write arrays: mnist-idx export SOURCE"
            reason = "load_dataset loads no Parquet files without any"
            raise IdxError(f"{found}, and {reason}. {way_out} arrays.npz --as npz.")


def _describe_plan(splits: ExportedSplits, shards: list[Shard], as_array: bool) -> dict[str, Any]:
    """What decides which files are written, and every byte of them."""
    return {
        "mnist_idx": __version__,
        "pyarrow": pyarrow.__version__,
        "files": splits.identities(),
        "selection": splits.selection(),
        "features": str(features_of(splits.layout, as_array)),
        "shards": [list(shard) for shard in shards],
    }


def _write_card(
    folder: Path,
    splits: ExportedSplits,
    written: Written,
    as_array: bool,
    target: str | os.PathLike[str],
) -> None:
    info = datasets.DatasetInfo(features=features_of(splits.layout, as_array))
    info.config_name = "default"
    set_sizes(info, written)
    picture = None
    if splits.layout.is_picture and not as_array:
        draw_preview(splits, folder / PREVIEW)
        picture = PREVIEW
    options = Options(as_array, splits.records_selected, splits.is_transposed)
    config = gather_facts(splits, written, options)
    facts = CardFacts(resolve_target(target).name or UNTITLED, [config], picture)
    card = make_card(facts, [CardConfig(info, DATA)], Place.of_folder(target))
    write_card(folder, card)


def write_card(folder: Path, card: str) -> None:
    (folder / README).write_text(card, encoding="utf-8", newline="\n")


def read_card(folder: Path) -> str:
    return (folder / README).read_bytes().decode("utf-8")


def draw_preview(splits: ExportedSplits, target: Path) -> None:
    """Draw the first pictures of the first split."""
    split = next(iter(splits.sizes))
    num = min(48, splits.sizes[split])
    batch = next(splits.batches(split, 0, num))
    labels = batch.labels if splits.layout.class_names is not None else None
    names = splits.layout.class_names
    picture = contact_sheet(
        arrange_channels(batch.images), labels, names, columns=12, cell=56, num=num
    )
    picture.save(target, optimize=True)


def is_replaceable(folder: Path, name: str) -> bool:
    """Whether a file in a folder is from an earlier export, and nobody has written in it since."""
    if name != README:
        return is_exported(folder, name)
    try:
        return is_stamped(read_card(folder))
    except UnicodeDecodeError:
        return False


def is_exported(folder: Path, name: str) -> bool:
    """Whether a file in a folder is from an earlier export: by its name, and by what is in it."""
    if name == README:
        return _starts_with(folder / name, CARD_START)
    if name == PREVIEW:
        return _starts_with(folder / name, PNG_START)
    if PUBLISHED_PATH.fullmatch(name):
        return _starts_with(folder / name, PARQUET_START)
    return DATA_PATH.fullmatch(name) is not None and is_shard(folder / name)


def _starts_with(path: Path, start: bytes) -> bool:
    with open(path, "rb") as file:
        return file.read(len(start)) == start
