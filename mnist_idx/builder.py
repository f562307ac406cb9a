"""What both builders share: the options, the shards, and the way from batches to Arrow tables."""

import functools
import hashlib
import math
import os
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from .archive import list_folder
from .arrow import array_column, check_classes, label_columns, png_column
from .idx import IdxError, TransferError
from .records import Batch, ReaderPool, SplitReader, count_selected, prefetch, select
from .remote import MAKE_ROOM, evict, is_remote
from .storage import SplitFiles

# `datasets` patches `open` and others in the module of a builder, and imports SciPy for that. Ours uses none of them.
_patched_for_streaming = True

Ranges = Sequence[tuple[int, int]]  # each from a first record to the one to stop before
NumberedBatches = Generator[tuple[int, Batch], None, None]
RESHARD_RANGES = 64  # into which `IterableDataset.reshard()` splits each range
FIRST_STREAMED_BATCH = 100  # records: small, so that the first arrives sooner


def is_integer(value: object, least: float = -math.inf) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


@dataclass
class IdxConfig(datasets.BuilderConfig):
    """Options of both builders.

    Attributes:
        num_samples: most records per split; None keeps all.
        seed: for shuffling. By default 1 with `num_samples`; without both, records keep the order of the file.
        sampling: "first" takes the first records of a split and shuffles them, "uniform" draws them from all.
        as_array: the image column holds arrays (`Array2D`, or `Array3D` for RGB) instead of `Image`.
        num_shards: ranges into which a split is divided, for the workers of a stream.
        transpose: exchange rows and columns of the images.
    """

    num_samples: int | None = None
    seed: int | None = None
    sampling: str = "first"
    as_array: bool = False
    num_shards: int = 1
    transpose: bool = False

    def validate(self) -> None:
        """Check the options. `__post_init__` cannot do it, since `datasets` sets the options later."""
        options = {
            "num_samples": (self.num_samples is None or is_integer(self.num_samples, 1), "an integer, at least 1"),
            "seed": (self.seed is None or is_integer(self.seed), "an integer"),
            "sampling": (self.sampling in ("first", "uniform"), '"first" or "uniform"'),
            "as_array": (isinstance(self.as_array, bool), "True or False"),
            "num_shards": (is_integer(self.num_shards, 1), "an integer, at least 1"),
            "transpose": (isinstance(self.transpose, bool), "True or False"),
        }
        for name, (is_valid, expected) in options.items():
            if not is_valid:
                raise IdxError(f"{name}={getattr(self, name)!r}: expected {expected}.")

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The options are set by now, so validate them. The cache key covers sizes and times of local files."""
        self.validate()
        if self.data_dir is not None and not is_remote(self.data_dir):
            paths = [member.path for member in list_folder(self.data_dir) or []] or [self.data_dir]
            stats = [(path, os.stat(path)) for path in paths if os.path.exists(path)]
            config_kwargs = {**config_kwargs, "files": [(path, s.st_size, s.st_mtime_ns) for path, s in stats]}
        return super().create_config_id(config_kwargs, custom_features)


class IdxBuilder(datasets.GeneratorBasedBuilder):
    """A `GeneratorBasedBuilder` that makes its examples in batches: `_generate_examples` is a view of them by rows."""

    def __init__(self, *args: Any, hash: str | None = None, data_dir: Any = None, **kwargs: Any) -> None:
        if data_dir is not None:
            data_dir = os.path.expanduser(os.fspath(data_dir).removeprefix("file://"))
            kwargs.setdefault("base_path", data_dir)  # As for `imagefolder`, `data_files` are relative to the folder.
        try:
            super().__init__(*args, hash=hash or code_hash(), data_dir=data_dir, **kwargs)
        except OSError as error:
            if error.filename is None:  # not of the cache folder
                raise
            raise IdxError(f"{error.filename}: cannot be created: {error.strerror}. {MAKE_ROOM}") from error
        self.download_config = datasets.DownloadConfig(token=self.token, storage_options=self.storage_options)
        self._pool = ReaderPool(self.download_config)
        self._used: set[SplitFiles] = set()  # of which records were yielded
        self._downloads: dict[str, str] = {}  # the URL of each downloaded path, to evict invalid ones

    def locate_splits(self, dl_manager: Any) -> dict[str, SplitFiles]:
        """Find the files of each split, downloaded unless `dl_manager` is a streaming one."""
        raise NotImplementedError

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """The files of a split in the source after the one that failed with `error`."""
        evict(self._downloads, error)
        raise error

    def read_batches(self, split: str, files: SplitFiles, ranges: Ranges, first_batch: int = 0) -> NumberedBatches:
        """Read ranges of the selected records of a split: each batch with the number of its first record."""
        for start, stop in ranges:
            position = start
            while True:
                try:
                    with self._pool.borrow(files) as reader:
                        for batch in self._read_range(reader, position, stop, first_batch):
                            if batch.labels is not None:
                                title = (files.labels or files.images).title
                                check_classes(batch.labels, self.info.features.get("label"), title, position)
                            self._used.add(files)
                            yield position, batch
                            position += len(batch.images)
                    break
                except IdxError as error:
                    # A checksum fails at the end of a file, after its records: no other source can take them back.
                    if files in self._used and not isinstance(error, TransferError):
                        evict(self._downloads, error)
                        raise
                    files = self.next_source(split, files, error)

    def _read_range(self, reader: SplitReader, start: int, stop: int, first_batch: int) -> Iterator[Batch]:
        config = self.config
        if (config.num_samples, config.seed, config.sampling) == (None, None, "first"):
            batches = reader.batches(start, stop, first_batch)
        else:
            reader.check_selectable(config.num_samples)
            indices = select(reader.num_records, config.num_samples, config.seed, config.sampling)
            batches = reader.selected_batches(indices, start, stop)
        for batch in batches:
            swaps = config.transpose and batch.images.ndim > 2
            yield batch._replace(images=batch.images.swapaxes(1, 2)) if swaps else batch

    def download_manager(self, streaming: bool, download_mode: Any = None) -> Any:
        """The download manager that `load_dataset` gives to this builder."""
        config = self.download_config.copy()
        config.use_etag, config.cache_dir = False, self._cache_downloaded_dir
        config.force_download = download_mode in ("force_redownload", datasets.DownloadMode.FORCE_REDOWNLOAD)
        manager = datasets.StreamingDownloadManager if streaming else datasets.DownloadManager
        return manager(dataset_name=self.dataset_name, download_config=config)

    def _make_split_generators_kwargs(self, prepare_split_kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"num_proc": prepare_split_kwargs.get("num_proc")}

    def _split_generators(self, dl_manager: Any, num_proc: int | None = None) -> list[datasets.SplitGenerator]:
        splits = self.locate_splits(dl_manager)
        counts = count_selected(self.config.num_samples, {name: files.num_records for name, files in splits.items()})
        generators = []
        for name, files in splits.items():
            ranges = shard_ranges(0, counts[name], max(self.config.num_shards, num_proc or 1))
            gen_kwargs = {"split": name, "files": files, "ranges": ranges, "streaming": dl_manager.is_streaming}
            generators.append(datasets.SplitGenerator(name, gen_kwargs=gen_kwargs))
        return generators

    def _generate_tables(self, split: str, files: SplitFiles, ranges: Ranges, streaming: bool) -> Iterator[Any]:
        batches = self.read_batches(split, files, ranges, FIRST_STREAMED_BATCH if streaming else 0)
        for start, batch in prefetch(batches):
            columns = {} if batch.labels is None else label_columns(batch.labels)
            # Streamed images are decoded at once: compressing them costs more than it saves.
            image = array_column(batch.images) if self.config.as_array else png_column(batch.images, not streaming)
            yield start, pa.table({"image": image, **columns})

    def _generate_examples(self, **gen_kwargs: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        yield from enumerate(row for _, table in self._generate_tables(**gen_kwargs) for row in table.to_pylist())

    def _generate_more_gen_kwargs(self, ranges: Ranges, **gen_kwargs: Any) -> Iterator[Any]:
        """`IterableDataset.reshard()` calls it to split a shard."""
        parts = [part for start, stop in ranges for part in shard_ranges(start, stop, RESHARD_RANGES)]
        yield from ({**gen_kwargs, "ranges": [part]} for part in parts)

    # One table at a time, not one example: `split_info` and `check_duplicate_keys` serve examples only.
    _get_examples_iterable_for_split = datasets.ArrowBasedBuilder._get_examples_iterable_for_split

    def _prepare_split_single(self, *, split_info: Any = None, check_duplicate_keys: Any = None, **kwargs: Any) -> Any:
        try:
            yield from datasets.ArrowBasedBuilder._prepare_split_single(self, **kwargs)
            return
        except datasets.exceptions.DatasetGenerationError as error:  # only says that something went wrong
            failure, cause = error, error.__cause__
        # Raised outside the `except` block: inside, the chain of causes and contexts would be circular.
        if isinstance(cause, IdxError):
            raise cause
        if isinstance(cause, OSError):
            raise IdxError(f"{self._output_dir}: cannot be written: {cause}. {MAKE_ROOM}") from cause
        raise failure

    def _as_dataset(self, split: Any = datasets.Split.TRAIN, in_memory: bool = False) -> datasets.Dataset:
        info = self.info.splits.get(str(split))
        if info is not None and info.num_examples == 0:  # `datasets` refuses to open a split without records
            features = self.info.features
            return datasets.Dataset.from_dict({name: [] for name in features}, features, self.info, split)
        return super()._as_dataset(split, in_memory)


def shard_ranges(start: int, stop: int, num_shards: int) -> list[tuple[int, int]]:
    """Divide a range of records into ranges of nearly equal length. No range is empty, unless there are no records."""
    count = stop - start
    num_shards = max(1, min(num_shards, count))
    return [(start + count * k // num_shards, start + count * (k + 1) // num_shards) for k in range(num_shards)]


@functools.cache
def code_hash() -> str:
    """A hash of the code that makes records, part of the cache key. `tools` is excluded: it makes no records."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
