"""The loading script: the builder and its config.

Installed as a package, it is found by `load_dataset("mnist_idx")` after `import mnist_idx`. On `datasets` 3.x it is a
loading script, too: `load_dataset("<path of this folder>", trust_remote_code=True)`. For that it imports every sibling
that is needed, by itself or by another (`names`), since `datasets` 3.x copies only those that the script imports. And
no import line has a comment, since `datasets` 3.x takes that for an address.
"""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

from .ahead import read_ahead
from .archive import list_folder
from .columns import array_column, features_of, label_columns, png_column
from .idx import IdxError, TransferError
from .layers import Layer as Layer
from .locate import MAKE_ROOM, MIRROR_VARIABLE, Published
from .names import pair_members as pair_members
from .own import examine, locate_own, own_features, turned
from .png import encode_png, store_png
from .records import Block, ReaderPool, SplitFiles
from .sources import DATA_SETS, RELATIVES, DataSet, Source
from .stream import Locator
from .subset import check_num_samples, check_selection, select
from .transfer import is_remote
from .unpack import detect_packing as detect_packing

logger = datasets.utils.logging.get_logger(__name__)

VERSION = "1.0.0"
# How many ranges each range becomes in `IterableDataset.reshard()`.
RESHARD_RANGES = 64
# Records in the first block of a streamed range.
FIRST_STREAMED = 100


@dataclass
class MnistIdxConfig(datasets.BuilderConfig):
    """What to load.

    Attributes:
        num_samples: the most records that a split keeps; all when None.
        seed: seeds the order of the records kept; 1 when None and `num_samples` is given.
        sampling: "first" keeps the first records of the split, shuffled; "uniform" draws them from the whole split.
        as_array: the image column is `Array2D` (`Array3D` for RGB) in place of `Image`.
        num_shards: record ranges that a split is divided into, for workers of a streamed data set.
        label_names: names of the classes; by default those of the data set, or "0", "1", … up to the largest label.
        data_set: which of the data sets to take, where `data_dir` or `data_files` holds several.
        transpose: turn the images, which EMNIST stores with rows and columns exchanged.
    """

    num_samples: int | None = None
    seed: int | None = None
    sampling: str = "first"
    as_array: bool = False
    num_shards: int = 1
    label_names: Sequence[str] | None = None
    data_set: str | None = None
    transpose: bool = False

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The options are set by now, so this is the place to check them; the files of `data_dir` count as one."""
        check_selection(self.num_samples, self.seed, self.sampling)
        if isinstance(self.num_shards, bool) or not isinstance(self.num_shards, int) or self.num_shards < 1:
            raise IdxError(f"num_shards={self.num_shards!r}: expected a whole number, at least 1.")
        if self.data_dir is not None and not is_remote(str(self.data_dir)):
            config_kwargs = {**config_kwargs, "files": _fingerprint(str(self.data_dir))}
        return super().create_config_id(config_kwargs, custom_features)


def _fingerprint(path: str) -> list[tuple[str, int, int]]:
    """Names, sizes and times of the files of a local folder or archive: another content is another cache entry."""
    files = list_folder(path) or [Locator(path, path)]
    stats = [(file.path, os.stat(file.path)) for file in files if os.path.exists(file.path)]
    return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]


class MnistIdx(datasets.GeneratorBasedBuilder):
    """MNIST, subsets of it, and any other data set kept in IDX files.

    A `GeneratorBasedBuilder` whose examples are made by the thousand: `_generate_tables` is the one stream of records,
    `_generate_examples` its view by rows.
    """

    VERSION = datasets.Version(VERSION)
    BUILDER_CONFIG_CLASS = MnistIdxConfig
    BUILDER_CONFIGS = [
        MnistIdxConfig(name="mnist", version=VERSION, description="The MNIST database."),
        MnistIdxConfig(
            name="subset", version=VERSION, description="A seeded, shuffled subset of MNIST.", num_samples=100, seed=1
        ),
        MnistIdxConfig(name="tiny", version=VERSION, description="A miniature of MNIST that needs no network."),
        *(
            MnistIdxConfig(name=name, version=VERSION, description=known.description, transpose=known.transposed)
            for name, known in RELATIVES.items()
        ),
    ]
    DEFAULT_CONFIG_NAME = "mnist"

    def __init__(self, *args: Any, hash: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, hash=hash or code_hash(), **kwargs)
        config = datasets.DownloadConfig(token=self.token, storage_options=self.storage_options)
        self._pool = ReaderPool(config)
        self._verify_first = True  # nothing is written that turns out wrong in the end

    def _as_dataset(self, split: Any = datasets.Split.TRAIN, in_memory: bool = False) -> datasets.Dataset:
        info = self.info.splits.get(str(split))
        if info is not None and info.num_examples == 0:  # `datasets` refuses to open a split without records
            empty: dict[str, list[Any]] = {name: [] for name in self.info.features}
            return datasets.Dataset.from_dict(empty, self.info.features, self.info, split)
        return super()._as_dataset(split, in_memory)

    # What `GeneratorBasedBuilder` would do an example at a time, `ArrowBasedBuilder` does a table at a time.
    _get_examples_iterable_for_split = datasets.ArrowBasedBuilder._get_examples_iterable_for_split

    def _prepare_split_single(self, **kwargs: Any) -> Iterator[Any]:
        for only_for_rows in ("split_info", "check_duplicate_keys"):
            kwargs.pop(only_for_rows, None)
        try:
            yield from datasets.ArrowBasedBuilder._prepare_split_single(self, **kwargs)
        except datasets.exceptions.DatasetGenerationError as error:  # says that something went wrong, but not what
            if isinstance(error.__cause__, IdxError):
                raise error.__cause__ from None
            if isinstance(error.__cause__, OSError):
                raise IdxError(f"{self._output_dir}: cannot be written: {error.__cause__}. {MAKE_ROOM}") from error
            raise

    @property
    def _data_set(self) -> DataSet | None:
        """The published data set that is to be loaded; None for the user's own files."""
        config = self.config
        if config.data_files is not None or (config.data_dir is not None and config.name not in RELATIVES):
            return None
        return DATA_SETS.get(config.name, DATA_SETS["mnist"])

    def _info(self) -> datasets.DatasetInfo:
        data_set = self._data_set
        if data_set is None:
            return datasets.DatasetInfo(description="A data set in IDX files.")
        config = self.config
        check_num_samples(config.num_samples, {name: split.num_records for name, split in data_set.splits.items()})
        splits = datasets.SplitDict(dataset_name=self.dataset_name)
        for name, split in data_set.splits.items():
            count = min(split.num_records, config.num_samples or split.num_records)
            num_bytes = split.num_bytes * count // split.num_records
            splits.add(datasets.SplitInfo(name, num_bytes, count, dataset_name=self.dataset_name))
        return datasets.DatasetInfo(
            description=data_set.description,
            citation=data_set.citation,
            homepage=data_set.homepage,
            license=data_set.license,
            features=features_of(
                turned(data_set.record_shape) if config.transpose else data_set.record_shape,
                "uint8",
                config.label_names or data_set.label_names,
                data_set.label_parts,
                config.as_array,
            ),
            splits=splits,
            download_size=data_set.sources[0].size,
            dataset_size=sum(split.num_bytes for split in splits.values()),
        )

    def _make_split_generators_kwargs(self, prepare_split_kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"num_proc": prepare_split_kwargs.get("num_proc")}

    def _split_generators(self, dl_manager: Any, num_proc: int | None = None) -> list[datasets.SplitGenerator]:
        splits = self._locate_own(dl_manager) if self._data_set is None else self._published().locate(dl_manager)
        config = self.config
        sizes = {name: files.num_records or 0 for name, files in splits.items()}
        check_num_samples(config.num_samples, sizes)
        generators = []
        for name, files in splits.items():
            count = len(select(sizes[name], config.num_samples, config.seed, config.sampling))
            ranges = divide(0, count, max(config.num_shards, num_proc or 1))
            gen_kwargs = {"split": name, "files": files, "ranges": ranges, "streaming": dl_manager.is_streaming}
            generators.append(datasets.SplitGenerator(name, gen_kwargs=gen_kwargs))
        return generators

    def _published(self) -> Published:
        data_set = self._data_set
        assert data_set is not None
        sources = [source._replace(url=self._package_path(source.url)) for source in data_set.sources]
        mirror = os.environ.get(MIRROR_VARIABLE)
        if mirror and data_set is DATA_SETS["mnist"]:
            sources.insert(0, Source(mirror, 0))
        if self.config.data_dir is not None:  # somebody's copy of it
            sources = [Source(str(self.config.data_dir), 0)]
        title = f"{self.dataset_name}/{self.config.name}"
        return Published(title, data_set, sources, self._pool.download_config, self._verify_first)

    def _package_path(self, url: str) -> str:
        """Where a file that ships with the package is; a script of `datasets` 3.x runs from a copy without it."""
        beside = Path(__file__).parent / url
        return url if is_remote(url) else str(beside if beside.exists() else Path(self.base_path or ".", url))

    def _locate_own(self, dl_manager: Any) -> dict[str, SplitFiles]:
        """Locate the user's own files, and find out from their headers and labels what the features are."""
        config, download_config = self.config, self._pool.download_config
        pairs = locate_own(dl_manager, config.data_dir, config.data_files, config.data_set, download_config)
        contents = examine(pairs, download_config, bool(config.label_names or self.info.features))
        if self.info.features is None:
            self.info.features = own_features(contents, config.label_names, config.as_array, config.transpose)
        return {name: found.files for name, found in contents.items()}

    # The stream of records.

    def _generate_tables(
        self, split: str, files: SplitFiles, ranges: Sequence[tuple[int, int]], streaming: bool
    ) -> Iterator[tuple[Any, pa.Table]]:
        # The first of what is streamed is soon wanted.
        blocks = self._numbered_blocks(split, files, ranges, FIRST_STREAMED if streaming else None)
        for start, block in read_ahead(blocks):
            yield start, self._table(block, files, start, streaming)

    def _generate_examples(self, **gen_kwargs: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        key = 0
        for _, table in self._generate_tables(**gen_kwargs):
            for example in table.to_pylist():
                yield key, example
                key += 1

    def _generate_more_gen_kwargs(
        self, ranges: Sequence[tuple[int, int]], **gen_kwargs: Any
    ) -> Iterator[dict[str, Any]]:
        """How `IterableDataset.reshard()` divides a range."""
        for start, stop in ranges:
            for part in divide(start, stop, RESHARD_RANGES):
                yield {**gen_kwargs, "ranges": [part]}

    def _numbered_blocks(
        self, split: str, files: SplitFiles, ranges: Sequence[tuple[int, int]], first_records: int | None
    ) -> Generator[tuple[int, Block], None, None]:
        """Read ranges; each block comes with the number of its first record."""
        for start, stop in ranges:
            for block in self._blocks(split, files, start, stop, first_records):
                yield start, block
                start += len(block.images)

    def _blocks(
        self, split: str, files: SplitFiles, start: int, stop: int, first_records: int | None = None
    ) -> Iterator[Block]:
        """Read a range; when the source breaks down, go on from another one."""
        config = self.config
        failures: list[str] = []
        while True:
            opened = False
            try:
                with self._pool.borrow(files) as reader:
                    opened = True
                    wanted = select(reader.num_records, config.num_samples, config.seed, config.sampling)
                    if isinstance(wanted, range):
                        blocks = reader.blocks(start, stop, first_records)
                    else:
                        blocks = reader.selected_blocks(wanted, start, stop)
                    for block in blocks:
                        yield _turn(block) if config.transpose else block
                        start += len(block.images)
                return
            except IdxError as error:
                # Records that are found wrong after others have been handed out cannot be called back.
                found_late = opened and not isinstance(error, TransferError)
                if self._data_set is None or not self._verify_first or found_late:
                    raise
                published = self._published()
                source = published.sources[files.source].url
                failures.append(f"{source}: {error}")
                logger.warning(f"{source} cannot be used any more: {error} Going on with the next source.")
                files = published.locate(None, files.source + 1, failures)[split]

    def _table(self, block: Block, files: SplitFiles, start: int, streaming: bool) -> pa.Table:
        if self.config.as_array:
            images = array_column(block.images)
        else:
            # What is streamed is decoded in a moment: compressing it costs more than it spares.
            images = png_column(store_png(block.images) if streaming else encode_png(block.images))
        columns = {"image": images}
        if block.labels is not None and files.labels is not None:
            columns.update(label_columns(block.labels, self.num_classes, files.labels.title, start))
        return pa.table(columns)

    @property
    def num_classes(self) -> int | None:
        """How many classes there are; None if the user's own features leave that open."""
        return getattr(self.info.features.get("label"), "num_classes", None)


def _turn(block: Block) -> Block:
    """Exchange rows and columns of the images."""
    return block._replace(images=np.ascontiguousarray(block.images.swapaxes(1, 2)))


def divide(start: int, stop: int, parts: int) -> list[tuple[int, int]]:
    """Divide a range of records into ranges of nearly the same length, none of them empty if there are records."""
    count = stop - start
    parts = max(1, min(parts, count))
    return [(start + count * part // parts, start + count * (part + 1) // parts) for part in range(parts)]


@functools.cache
def code_hash() -> str:
    """A hash of this package's code and data: what other code has made is not taken for what this one makes."""
    hasher = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        hasher.update(path.read_bytes())
    return hasher.hexdigest()[:16]
