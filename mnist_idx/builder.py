"""What both builders share: the options, the shards, and the way from batches to Arrow tables."""

import math
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import datasets

from .archive import list_folder
from .arrow import check_classes, check_features, make_table
from .errors import IdxError, TransferError, wrong_option
from .places import absolute_path, clean_token, local_part, place_hash
from .prefetch import prefetch
from .records import Batch, ReaderPool, SplitReader
from .registry import code_hash
from .remote import disk_error, safe_options
from .selection import Selection
from .sources import YieldedRecords
from .storage import Access, SplitFiles

# `datasets` patches `open` and others in the module of a builder, and imports SciPy for that. Ours
# uses none of them.
_patched_for_streaming = True

Ranges = Sequence[tuple[int, int]]  # each from a first record to the one to stop before
NumberedBatches = Generator[tuple[int, Batch], None, None]
RESHARD_RANGES = 64  # into which `IterableDataset.reshard()` splits each range
FIRST_STREAMED_BATCH = 100  # records: small, so that the first arrives sooner
# `datasets` writes rows in groups of 100 or 1,000. Of records larger than this, it writes groups of
# so many bytes.
LARGE_RECORD_BYTES = 64 << 10
WRITER_BYTES = 16 << 20


def is_integer(value: object, least: float = -math.inf) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least


@dataclass
class IdxConfig(datasets.BuilderConfig):
    """Options of both builders.

    Attributes:
        num_samples: most records per split; None keeps all.
        seed: for shuffling. By default 1 with `num_samples`; without both, records keep the order
            of the file.
        sampling: "first" takes the first records of a split and shuffles them, "uniform" draws them
            from all.
        as_array: the image column holds arrays (`Array2D`, or `Array3D` for RGB) instead of
            `Image`.
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
        """Check the options.

        `__post_init__` cannot do it, since `datasets` sets the options later.
        """
        options = {
            "num_samples": (
                self.num_samples is None or is_integer(self.num_samples, 1),
                "an integer, at least 1",
            ),
            "seed": (self.seed is None or is_integer(self.seed), "an integer"),
            "sampling": (self.sampling in ("first", "uniform"), '"first" or "uniform"'),
            "as_array": (isinstance(self.as_array, bool), "True or False"),
            "num_shards": (is_integer(self.num_shards, 1), "an integer, at least 1"),
            "transpose": (isinstance(self.transpose, bool), "True or False"),
        }
        for name, (is_valid, expected) in options.items():
            if not is_valid:
                raise wrong_option(name, getattr(self, name), expected)

    @property
    def selection(self) -> Selection:
        return Selection(self.num_samples, self.seed, self.sampling)

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: Any = None) -> str:
        """The options are set by now, so validate them.

        The cache key covers the state of local files.
        """
        self.validate()
        if self.data_dir is not None or self.data_files is not None:
            stamps = [_stamp(path) for path in self._local_files()]
            config_kwargs = {
                **config_kwargs,
                "files": [stamp for stamp in stamps if stamp is not None],
            }
        return super().create_config_id(config_kwargs, custom_features)

    def _local_files(self) -> list[str]:
        """The local files that may take part."""
        if self.data_dir is not None and self.data_files is None:
            paths = _files_in(self.data_dir)
        else:
            paths = [
                local_part(str(path))
                for paths in (self.data_files or {}).values()
                for path in paths
            ]
        return paths


def _files_in(place: str) -> list[str]:
    """The local files of a place: those in a folder, an archive, or the one that a chain of URLs
    ends in.
    """
    local = local_part(place)
    members = list_folder(local, Access()) if local else []
    return [local] if members is None else [member.path for member in members]


def _stamp(path: str) -> tuple[str, int, int, int, int] | None:
    """What changes when another file takes the place of this one, or it is written to, even if it
    looks the same.

    None if there is no such file.
    """
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return path, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino


class IdxBuilder(datasets.GeneratorBasedBuilder):
    """A `GeneratorBasedBuilder` that makes its examples in batches: `_generate_examples` is a view
    of them by rows.
    """

    found_features: datasets.Features  # as the files have them, once they are located
    _writer_batch_size: int | None  # rows that `datasets` writes at once; None for its own default

    def __init__(
        self, *args: Any, hash: str | None = None, data_dir: Any = None, **kwargs: Any
    ) -> None:
        if data_dir is not None:
            data_dir = absolute_path(data_dir)
            kwargs.setdefault(
                "base_path", data_dir
            )  # As for `imagefolder`, `data_files` are relative to the folder.
        if kwargs.get("token") is not None:
            kwargs["token"] = clean_token(kwargs["token"])
        if kwargs.get("features") is not None and not isinstance(
            kwargs["features"], datasets.Features
        ):
            raise IdxError(f"features={kwargs['features']!r}: expected a datasets.Features.")
        hash = (hash or code_hash()) + place_hash(kwargs.get("storage_options"))
        if "://" in str(kwargs.get("data_files")):  # `datasets` itself asks whether they exist
            kwargs["storage_options"] = safe_options(kwargs.get("storage_options"))
        try:
            super().__init__(*args, hash=hash, data_dir=data_dir, **kwargs)
        except OSError as error:
            if error.filename is None:  # not of the cache folder
                raise
            raise disk_error(f"{error.filename}: cannot be created: {error.strerror}.") from error
        except ValueError as error:
            if "IPv6" not in str(error):
                raise
            way_out = "`datasets` takes it for a chain of URLs. Use the name of the host."
            raise IdxError(
                f"data_files={kwargs.get('data_files')}: found an IPv6 address. {way_out}"
            ) from error
        self.access = Access(
            datasets.DownloadConfig(token=self.token, storage_options=self.storage_options)
        )
        self._pool = ReaderPool(self.access)
        self._yielded: dict[str, YieldedRecords] = {}  # by split

    def locate_splits(self, dl_manager: Any) -> dict[str, SplitFiles]:
        """Find the files of each split, downloaded unless `dl_manager` is a streaming one."""
        raise NotImplementedError

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """The files of a split in the source after the one that failed with `error`."""
        raise error

    def has_next_source(self, files: SplitFiles) -> bool:
        """Whether there is another source, so that what `files` yield must be remembered."""
        return False

    def read_batches(
        self, split: str, files: SplitFiles, ranges: Ranges, first_batch: int | None = None
    ) -> NumberedBatches:
        """Read ranges of the selected records of a split: each batch with the place of its first
        record.
        """
        yielded = self._yielded.setdefault(split, YieldedRecords())
        for start, stop in ranges:
            place = start
            is_done = False
            while not is_done:
                stretch = yielded.begin(place)
                try:
                    with self._pool.borrow(files) as reader:
                        for batch in self._read_range(reader, place, stop, first_batch):
                            self._check_labels(batch, files, place)
                            if self.has_next_source(files):
                                stretch.add(batch)
                            yielded.has_any = True
                            yield place, batch
                            place += len(batch.images)
                    is_done = True
                except IdxError as error:
                    # Too late to switch sources: the bad records were already yielded.
                    if yielded.has_any and not isinstance(error, TransferError):
                        raise
                    files = self._next_confirmed_source(split, files, error)

    def _next_confirmed_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """The files of the next source, once it has proven to hold the records that were yielded so
        far.
        """
        while True:
            failed = files
            files = self.next_source(split, files, error)
            try:
                with self._pool.borrow(files) as reader:
                    is_same = self._yielded[split].are_in(
                        lambda start, stop: self._read_range(reader, start, stop, None)
                    )
            except IdxError as failure:
                error = failure
                continue
            if not is_same:
                found = f"{failed.images.title}: the transfer broke off, and {files.images.title} has other records"
                raise IdxError(
                    f"{found} than those read so far. One of the two is damaged. Load without streaming."
                )
            return files

    def _check_labels(self, batch: Batch, files: SplitFiles, place: int) -> None:
        if batch.labels is not None:
            title = (files.labels or files.images).title
            check_classes(batch.labels, self.info.features.get("label"), title, place)

    def _read_range(
        self, reader: SplitReader, start: int, stop: int, first_batch: int | None = None
    ) -> Iterator[Batch]:
        selection = self.config.selection
        if selection.is_everything:
            batches = reader.batches(start, stop, first_batch)
        else:
            reader.check_selectable(selection.count(reader.num_records))
            batches = reader.selected_batches(
                selection.numbers(reader.num_records, reader.images.title), start, stop
            )
        for batch in batches:
            swaps = self.config.transpose and batch.images.ndim > 2
            yield batch._replace(images=batch.images.swapaxes(1, 2)) if swaps else batch

    def download_manager(self, streaming: bool, download_mode: Any = None) -> Any:
        """The download manager that `load_dataset` gives to this builder."""
        config = datasets.DownloadConfig(token=self.token, storage_options=self.storage_options)
        config.use_etag, config.cache_dir = False, self._cache_downloaded_dir
        config.force_download = download_mode in (
            "force_redownload",
            datasets.DownloadMode.FORCE_REDOWNLOAD,
        )
        manager = datasets.StreamingDownloadManager if streaming else datasets.DownloadManager
        return manager(dataset_name=self.dataset_name, download_config=config)

    def _make_split_generators_kwargs(self, prepare_split_kwargs: dict[str, Any]) -> dict[str, Any]:
        return {"num_proc": prepare_split_kwargs.get("num_proc")}

    def _split_generators(
        self, dl_manager: Any, num_proc: int | None = None
    ) -> list[datasets.SplitGenerator]:
        splits = self.locate_splits(dl_manager)
        counts = self.config.selection.counts(
            {name: files.num_records for name, files in splits.items()}
        )
        check_features(
            self.info.features, self.found_features, next(iter(splits.values())).images.title
        )
        self._limit_writer(splits)
        generators = []
        for name, files in splits.items():
            ranges = shard_ranges(0, counts[name], max(self.config.num_shards, num_proc or 1))
            gen_kwargs = {
                "split": name,
                "files": files,
                "ranges": ranges,
                "streaming": dl_manager.is_streaming,
            }
            generators.append(datasets.SplitGenerator(name, gen_kwargs=gen_kwargs))
        return generators

    def _limit_writer(self, splits: Mapping[str, SplitFiles]) -> None:
        """Let `datasets` keep few rows in memory before it writes them, where records are large."""
        record_bytes = max((files.record_bytes for files in splits.values()), default=0)
        if self._writer_batch_size is None and record_bytes > LARGE_RECORD_BYTES:
            self._writer_batch_size = max(1, WRITER_BYTES // record_bytes)

    def _generate_tables(
        self, split: str, files: SplitFiles, ranges: Ranges, streaming: bool
    ) -> Iterator[Any]:
        batches = self.read_batches(
            split, files, ranges, FIRST_STREAMED_BATCH if streaming else None
        )
        schema, title = self.info.features.arrow_schema, (files.labels or files.images).title
        for place, batch in prefetch(batches, lambda item: item[1].num_bytes):
            # Streamed images are decoded at once: compressing them costs more than it saves.
            yield place, make_table(batch, schema, not streaming, title)

    def _generate_examples(self, **gen_kwargs: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        yield from enumerate(
            row for _, table in self._generate_tables(**gen_kwargs) for row in table.to_pylist()
        )

    def _generate_more_gen_kwargs(self, ranges: Ranges, **gen_kwargs: Any) -> Iterator[Any]:
        """`IterableDataset.reshard()` calls it to split a shard."""
        parts = [
            part for start, stop in ranges for part in shard_ranges(start, stop, RESHARD_RANGES)
        ]
        yield from ({**gen_kwargs, "ranges": [part]} for part in parts)

    # One table at a time, not one example: `split_info` and `check_duplicate_keys` serve examples
    # only.
    _get_examples_iterable_for_split = datasets.ArrowBasedBuilder._get_examples_iterable_for_split

    def _prepare_split_single(
        self, *, split_info: Any = None, check_duplicate_keys: Any = None, **kwargs: Any
    ) -> Any:
        try:
            yield from datasets.ArrowBasedBuilder._prepare_split_single(self, **kwargs)
            return
        except (
            datasets.exceptions.DatasetGenerationError
        ) as error:  # only says that something went wrong
            failure, cause = error, error.__cause__
        # Raised outside the `except` block: inside, the chain of causes and contexts would be
        # circular.
        if isinstance(cause, IdxError):
            raise cause
        if isinstance(cause, OSError):
            raise disk_error(f"{self._output_dir}: cannot be written: {cause}.") from cause
        raise failure

    def _as_dataset(
        self, split: Any = datasets.Split.TRAIN, in_memory: bool = False
    ) -> datasets.Dataset:
        info = self.info.splits.get(str(split))
        if (
            info is not None and info.num_examples == 0
        ):  # `datasets` refuses to open a split without records
            features = self.info.features
            return datasets.Dataset.from_dict(
                {name: [] for name in features}, features, self.info, split
            )
        return super()._as_dataset(split, in_memory)


def shard_ranges(start: int, stop: int, num_shards: int) -> list[tuple[int, int]]:
    """Divide a range of records into ranges of nearly equal length.

    No range is empty, unless there are no records.
    """
    count = stop - start
    num_shards = max(1, min(num_shards, count))
    return [
        (start + count * k // num_shards, start + count * (k + 1) // num_shards)
        for k in range(num_shards)
    ]
