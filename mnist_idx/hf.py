"""What we rely on of `datasets` that it does not document, in one place.

When a new version of `datasets` breaks something, it is mended here. `registry` has the one other
reach: how names become builders. It stands apart since it must not import `datasets`.
"""

import glob
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

import datasets
import multiprocess  # type: ignore[import-untyped]  # what `datasets` starts processes with
import numpy as np
import pyarrow as pa
from datasets.data_files import DataFilesDict, DataFilesList
from datasets.utils.file_utils import _prepare_path_and_storage_options

from .errors import IdxError, disk_advice, shown_value
from .fetching import RemoteOptions, StorageOptions
from .paths import (
    check_exists,
    clean_pattern,
    escape_existing,
    is_remote,
    match_files,
    split_data_files,
)
from .suggestions import alternatives, unknown_split

# Skip the streaming patches that `datasets` applies to the modules of builders: they import SciPy,
# and none of the patched functions is called there. Each module with a builder needs this line.
_patched_for_streaming = True

# How `datasets` refuses a split that is not there: of what is prepared, and of a stream.
UNKNOWN_SPLIT = re.compile(r'Unknown split "(?P<split>[^"]*)"')
BAD_SPLIT = re.compile(r"Bad split: (?P<split>.*)\. Available splits: (?P<names>\[.*\])", re.DOTALL)
QUOTED = re.compile(r"'([^']*)'")
GenKwargs = dict[str, Any]  # whatever `_split_generators` puts into them
# What `Split("train")` makes is a `NamedSplit`.
SplitChoice = datasets.ReadInstruction | datasets.Split | datasets.NamedSplit
DownloadMode = datasets.DownloadMode | str | None  # as users give it


def resolve_url(url: str, options: RemoteOptions) -> tuple[str, StorageOptions]:
    """A URL and the storage options by protocol, as `datasets` opens them.

    It knows the URLs of the Hub, and which token belongs to them.
    """
    config = datasets.DownloadConfig(
        token=options.token, storage_options=dict(options.storage_options)
    )
    return _prepare_path_and_storage_options(url, config)


def remote_options(
    token: str | bool | None, storage_options: StorageOptions | None
) -> RemoteOptions:
    """The options of a user of `datasets` for remote files."""
    return RemoteOptions(token, storage_options or {}, resolve_url)


def resolve_data_files(data_files: object, base: str, options: RemoteOptions) -> DataFilesDict:
    """The files that `data_files` means, as a builder of `datasets` takes them.

    Paths are taken literally first, as patterns second.

    Args:
        base: folder or URL that paths are relative to.
        options: with which remote files are found.

    Raises:
        IdxError: there is no such file, or `data_files` is nothing that means files.
    """
    if isinstance(data_files, DataFilesDict):
        return data_files
    by_split = split_data_files(data_files)
    if by_split is None:
        expected = 'a path, a list of paths, or {"train": PATHS, "test": PATHS}'
        raise IdxError(f"data_files={shown_value(data_files)}: expected {expected}.")
    resolved = DataFilesDict()
    for split, patterns in by_split.items():
        files = DataFilesList([], [])
        for pattern in patterns:
            files += _resolve_pattern(clean_pattern(pattern), base, options)
        resolved[split] = files
    return resolved


def _resolve_pattern(pattern: object, base: str, options: RemoteOptions) -> DataFilesList:
    """The files that a path, a URL or a pattern means."""
    if not isinstance(pattern, str):
        raise IdxError(
            f"data_files: found {shown_value(pattern)}, expected a path, a URL or a pattern."
        )
    found = match_files(pattern, base)
    if found is not None:
        return DataFilesList(found, [])  # Their state is part of the cache key, see `builder`.
    if not is_remote(pattern) and not is_remote(base) and "::" not in pattern:
        path = os.path.join(base, pattern)
        if not glob.has_magic(path):
            check_exists(path)
        pattern = escape_existing(path)
    config = datasets.DownloadConfig(
        token=options.token, storage_options=dict(options.storage_options)
    )
    return DataFilesList.from_patterns([pattern], base_path=base, download_config=config)


def disk_error(found: str, error: OSError) -> IdxError:
    """The error of a disk that `datasets` cannot write to."""
    variable = "the environment variable HF_HOME to a folder on another disk"
    return IdxError(
        f"{found} {disk_advice(error, f'set cache_dir= or {variable}')}",
        command_line=f"{found} {disk_advice(error, f'set {variable}')}",
    )


def _no_split_of_stream(split: str, names: Sequence[str]) -> IdxError:
    """The error of what is no split of a stream: it has another name, or is a part of a split."""
    for part in split.split("+"):
        name = part.partition("[")[0].strip()
        if name not in names:
            return unknown_split(split, name, dict.fromkeys(names), takes_parts=False)
    found = f"split={split!r}: a stream has whole splits: {alternatives(names)}"
    return IdxError(f"{found}. Use take or skip of the stream, or leave out streaming=True.")


def row_numbers(dataset: datasets.Dataset, start: int, stop: int) -> np.ndarray:
    """Where the records of a dataset from `start` to `stop` are in the table behind it."""
    selection = dataset._indices
    if selection is None:
        return np.arange(start, stop)
    stored = selection.column(0).slice(start, stop - start).to_numpy()
    return np.asarray(stored, np.int64)


def forks() -> bool:
    """Whether the processes of `num_proc` inherit the memory of this one."""
    return bool(multiprocess.get_context().get_start_method() == "fork")


class TableBuilder(datasets.GeneratorBasedBuilder):
    """A `GeneratorBasedBuilder` that makes tables: its examples are a view of them by rows.

    `datasets` calls both `_split_generators` and `_generate_examples` of such a builder. A
    subclass implements the first, and `generate_tables`, which takes the same `gen_kwargs`. Lists
    in them are what workers of a stream divide among themselves.
    """

    _writer_batch_size: int | None  # rows that `datasets` writes at once; None for its own default

    def generate_tables(self, **gen_kwargs: Any) -> Iterator[tuple[int, pa.Table]]:
        """Make tables, each with a key that no other one has."""
        raise NotImplementedError

    def divide(self, gen_kwargs: GenKwargs) -> list[GenKwargs]:
        """Divide a shard into more of them, for `IterableDataset.reshard`."""
        return [gen_kwargs]

    def _generate_examples(self, **gen_kwargs: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
        """The rows of the tables, each with its number as its key."""
        number = 0
        for _, table in self.generate_tables(**gen_kwargs):
            for row in table.to_pylist():
                yield number, row
                number += 1

    def _generate_tables(self, **gen_kwargs: Any) -> Iterator[tuple[int, pa.Table]]:
        """What an `ArrowBasedBuilder` has in place of `_generate_examples`."""
        return self.generate_tables(**gen_kwargs)

    def _generate_more_gen_kwargs(self, **gen_kwargs: Any) -> Iterator[GenKwargs]:
        """What `IterableDataset.reshard` calls."""
        yield from self.divide(gen_kwargs)

    def _make_split_generators_kwargs(self, prepare_split_kwargs: GenKwargs) -> GenKwargs:
        """What `_split_generators` is called with, in addition to the download manager."""
        return {"num_proc": prepare_split_kwargs.get("num_proc")}

    # One table at a time, not one example. Deriving from `ArrowBasedBuilder`, too, does not work
    # before `datasets` 5.
    _get_examples_iterable_for_split = datasets.ArrowBasedBuilder._get_examples_iterable_for_split

    def _prepare_split_single(  # type: ignore[override]  # the arguments of an ArrowBasedBuilder
        self, *, split_info: object = None, check_duplicate_keys: object = None, **kwargs: object
    ) -> Iterator[object]:
        """Write a shard, and yield how far it got.

        `split_info` and `check_duplicate_keys` are about examples: `ArrowBasedBuilder` takes
        neither.
        """
        prepare = datasets.ArrowBasedBuilder._prepare_split_single
        try:
            yield from prepare(self, **kwargs)  # type: ignore[arg-type]
            return
        except datasets.exceptions.DatasetGenerationError as error:
            failure = error
        # It only says that something went wrong. Its cause is raised outside of the `except` block:
        # inside, the chain of causes and contexts would be circular.
        cause = failure.__cause__
        if isinstance(cause, IdxError):
            raise cause
        if isinstance(cause, OSError):
            found = f"{self._output_dir}: cannot be written: {cause}."
            raise disk_error(found, cause) from cause
        raise failure

    def _as_dataset(
        self, split: SplitChoice = datasets.Split.TRAIN, in_memory: bool = False
    ) -> datasets.Dataset:
        """Open a prepared split. `datasets` refuses to open one without records."""
        splits, features = self.info.splits, self.info.features
        info = None if splits is None else splits.get(str(split))
        if info is not None and info.num_examples == 0 and features is not None:
            nothing: dict[str, list[object]] = {name: [] for name in features}
            return datasets.Dataset.from_dict(
                nothing, features, self.info, datasets.NamedSplit(info.name)
            )
        try:
            return super()._as_dataset(split, in_memory)  # type: ignore[arg-type]
        except ValueError as error:
            unknown = UNKNOWN_SPLIT.match(str(error))
            if unknown is None or splits is None:
                raise
            sizes = {name: part.num_examples for name, part in splits.items()}
            name = unknown["split"]
            raise unknown_split(str(split), name, sizes) from error

    def as_streaming_dataset(
        self, split: str | None = None, base_path: str | None = None
    ) -> dict[str, datasets.IterableDataset] | datasets.IterableDataset:
        """What `load_dataset` calls for a stream."""
        try:
            return super().as_streaming_dataset(split, base_path)
        except ValueError as error:
            bad = BAD_SPLIT.match(str(error))
            if bad is None:
                raise
            raise _no_split_of_stream(bad["split"], QUOTED.findall(bad["names"])) from error

    def make_download_manager(self, download_mode: DownloadMode = None) -> datasets.DownloadManager:
        """The download manager that `load_dataset` gives to this builder."""
        config = datasets.DownloadConfig(token=self.token, storage_options=self.storage_options)
        config.use_etag = False
        config.cache_dir = self._cache_downloaded_dir
        forced = ("force_redownload", datasets.DownloadMode.FORCE_REDOWNLOAD)
        config.force_download = download_mode in forced
        return datasets.DownloadManager(self.dataset_name, download_config=config)
