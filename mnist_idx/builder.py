"""What both builders share: their config, and how files become tables."""

import dataclasses
import functools
import inspect
import itertools
import os
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import datasets
import pyarrow as pa

from .archive import list_folder
from .arrow import check_features, make_features, make_table
from .downloads import Downloader
from .errors import IdxError, shown_value
from .failover import Located, Locator, PlacedBatch, SplitSource
from .fetching import Fetcher, InPlace, clean_token, location_hash
from .hf import (
    DownloadMode,
    GenKwargs,
    TableBuilder,
    disk_error,
    forks,
    remote_options,
    resolve_data_files,
)
from .members import Access, SplitFiles
from .options import IdxOptions, check_option_names, check_options
from .paths import absolute_path, local_part
from .prefetch import prefetch
from .registry import code_hash
from .remote import safe_storage_options
from .suggestions import check_config_name

_patched_for_streaming = True  # as in `hf`

RESHARD_RANGES = 64  # into which `IterableDataset.reshard()` divides each range
FIRST_STREAMED_BATCH = 100  # records: small, so that the first arrives sooner
# `datasets` writes rows in groups of 100 or 1,000. Of records larger than this, it writes groups
# of so many bytes.
LARGE_RECORD_BYTES = 64 << 10
WRITER_BYTES = 16 << 20
# What each builder of `datasets` takes, beside the fields of its config.
ARGUMENTS_OF_BUILDERS = {*inspect.signature(datasets.DatasetBuilder.__init__).parameters}
ARGUMENTS_OF_BUILDERS.add("config_id")
# What an array of Arrow can hold, with room for PNG files that are larger than their pixels.
MAX_WRITER_BYTES = 1 << 30


@dataclass
class IdxConfig(IdxOptions, datasets.BuilderConfig):
    """Options of both builders, see `IdxOptions`, in addition to those of `datasets`."""

    def validate(self) -> None:
        """Check the options. `__post_init__` cannot: `datasets` sets the options later.

        Raises:
            IdxError: an option has a value that it cannot have.
        """
        check_options(self)

    def create_config_id(
        self, config_kwargs: dict[str, object], custom_features: datasets.Features | None = None
    ) -> str:
        """The key of the cache. It covers the state of local files.

        This is where `datasets` has set all options, so that they are checked here.
        """
        self.validate()
        if self.data_dir is not None or self.data_files is not None:
            stamps = [_stamp_file(path) for path in self._local_files()]
            present = [tuple(stamp) for stamp in stamps if stamp is not None]
            config_kwargs = {**config_kwargs, "files": present}
        config_id: str = super().create_config_id(config_kwargs, custom_features)
        return config_id

    def _local_files(self) -> list[str]:
        """The local files that may take part."""
        if not self.data_files:
            return self.files_in(str(self.data_dir))
        files = []
        for paths in self.data_files.values():
            for path in paths:
                local = local_part(str(path))
                if local:
                    files.append(local)
        return files

    def files_in(self, data_dir: str) -> list[str]:
        """The local files in a folder, or an archive, which a chain of URLs may end in."""
        local = local_part(data_dir)
        if not local:
            return []
        members = list_folder(local, Access())
        return [local] if members is None else [member.path for member in members]


class _FileStamp(NamedTuple):
    """What changes when a file is written to, or another one takes its place."""

    path: str
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int


def _stamp_file(path: str) -> _FileStamp | None:
    """The stamp of a file, None if there is no such file."""
    try:
        facts = os.stat(path)
    except (OSError, ValueError):
        return None
    return _FileStamp(path, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino)


class IdxBuilder(TableBuilder):
    """Base of both builders: options, shards, and the way from batches to Arrow tables.

    It is pickled into the processes that `num_proc` starts, and into the workers of a stream.
    """

    config: IdxConfig
    found_features: datasets.Features  # as the files have them, once they are located

    def __init__(
        self,
        *args: Any,
        hash: str | None = None,
        data_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Take the arguments of a builder of `datasets`, checked, and `data_dir` as any path."""
        self._check_names(args, kwargs)
        if data_dir in ("train", "test") and not os.path.exists(data_dir):
            found = f"data_dir={data_dir!r}: there is no such folder"
            raise IdxError(f'{found}. Did you mean split="{data_dir}"?')
        arguments = _clean_arguments(kwargs)
        arguments["data_dir"] = None
        if data_dir is not None:
            arguments["data_dir"] = absolute_path(data_dir)
            # As for `imagefolder`, `data_files` are relative to the folder.
            arguments.setdefault("base_path", arguments["data_dir"])
        self.are_splits_named = isinstance(kwargs.get("data_files"), Mapping)
        key = hash or code_hash()
        if kwargs.get("data_files") is not None and not self.are_splits_named:
            key += "unnamed"  # other splits than those of the same files by name
        arguments["hash"] = key + location_hash(kwargs.get("storage_options"))
        try:
            if arguments.get("data_files") is not None:
                base = arguments.get("base_path") or os.getcwd()
                options = remote_options(arguments.get("token"), arguments.get("storage_options"))
                files = resolve_data_files(arguments["data_files"], str(base), options)
                arguments["data_files"] = files
            super().__init__(*args, **arguments)
        except OSError as error:
            if error.filename is None:  # not of the cache folder
                raise
            found = f"{error.filename}: cannot be created: {error.strerror}."
            raise disk_error(found, error) from error
        except ValueError as error:
            if "IPv6" not in str(error):
                raise
            found = f"data_files={kwargs.get('data_files')}: found an IPv6 address"
            way_out = "`datasets` takes it for a chain of URLs. Use the name of the host"
            raise IdxError(f"{found}. {way_out}.") from error
        self.access = Access(remote_options(self.token, self.storage_options))

    def _check_names(self, args: Sequence[object], arguments: Mapping[str, object]) -> None:
        """Refuse configs and options that there are not: `datasets` would print the whole config.

        Raises:
            IdxError: the message says what may have been meant.
        """
        name = arguments.get("config_name")
        if name is not None and self.builder_configs:
            check_config_name(name)
        if args and args[0] in self.builder_configs:
            way_out = f"{type(self).__name__}(config_name={args[0]!r})"
            raise IdxError(f"{args[0]!r}: the first argument is the cache. Use {way_out}.")
        given = [option for option, value in arguments.items() if value is not None]
        kind = cast("type[IdxConfig]", self.BUILDER_CONFIG_CLASS)
        fields = [field.name for field in dataclasses.fields(kind)]
        others = [*ARGUMENTS_OF_BUILDERS, *fields]
        title = type(self).__module__.rpartition(".")[2]  # as users load it
        check_option_names(given, title, kind, others)

    @functools.cached_property
    def locator(self) -> Locator:
        """What finds the files."""
        return self.make_locator()

    @functools.cached_property
    def source(self) -> SplitSource:
        """The selected records."""
        config = self.config
        return SplitSource(self.locator, self.access, config.selection, config.transpose)

    def make_locator(self) -> Locator:
        """Make what finds the files, as the config says."""
        raise NotImplementedError

    def make_fetcher(self, streaming: bool, download_mode: DownloadMode = None) -> Fetcher:
        """The fetcher that `load_dataset` would use for this builder."""
        if streaming:
            return InPlace()
        return Downloader(self.make_download_manager(download_mode), self.access.options)

    def _split_generators(
        self,
        dl_manager: "datasets.DownloadManager | datasets.StreamingDownloadManager",
        num_proc: int | None = None,
    ) -> list[datasets.SplitGenerator]:
        fetcher: Fetcher = InPlace()
        if isinstance(dl_manager, datasets.DownloadManager):
            fetcher = Downloader(dl_manager, self.access.options)
        located = self.locate(fetcher)
        if self.info.features is not None:
            check_features(self.info.features, self.found_features, located.title)
        counts = self.source.count(located.splits)
        if fetcher.keeps_copies:  # All splits are prepared.
            self.source.check_memory(located.splits)
            self._limit_writer(located.splits)
        if num_proc is not None and num_proc > 1 and forks():
            self.source.draw(located.splits)
        num_shards = max(self.config.num_shards, num_proc or 1)
        generators = []
        for name, files in located.splits.items():
            # A list in `gen_kwargs` is what `datasets` divides among processes and workers.
            gen_kwargs = {
                "split": name,
                "files": files,
                "ranges": shard_ranges(0, counts[name], num_shards),
                "streaming": not fetcher.keeps_copies,
            }
            generators.append(datasets.SplitGenerator(name, gen_kwargs=gen_kwargs))
        return generators

    def locate(
        self,
        fetcher: Fetcher,
        wanted: Collection[str] | None = None,
        takes_any_integers: bool = False,
    ) -> Located:
        """Find the files of each split. Set the features, unless the user gives them.

        Args:
            wanted: the splits to look at, those that there are; None for all.
            takes_any_integers: whether labels may be integers that are no classes.
        """
        located = self.locator.locate(fetcher, wanted)
        if not located.splits:  # None of the wanted ones is there.
            return located
        layout = located.common_layout(self.config.transpose, self.config.as_array)
        self.found_features = make_features(layout, self.config.as_array)
        if self.info.features is None:
            if not takes_any_integers:
                located.check_classes(self.config.transpose, self.config.as_array)
            self.info.features = self.found_features
        return located

    def _limit_writer(self, splits: Mapping[str, SplitFiles]) -> None:
        """Let `datasets` keep few rows in memory before it writes them, if records are large."""
        record_bytes = max((files.record_bytes or 0 for files in splits.values()), default=0)
        if record_bytes == 0:
            return
        given = self._writer_batch_size
        most = max(1, MAX_WRITER_BYTES // record_bytes)
        if given is None:
            if record_bytes > LARGE_RECORD_BYTES:
                self._writer_batch_size = max(1, WRITER_BYTES // record_bytes)
        elif given > most:
            found = f"writer_batch_size={given:,}: the records have up to {record_bytes:,} bytes"
            reason = "Arrow keeps at most 2 GB of them in one array"
            warnings.warn(f"{found}, and {reason}. Writing {most:,} at once.", stacklevel=2)
            self._writer_batch_size = most

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes that labels may be of; None if they are no classes."""
        features = self.info.features
        label = None if features is None else features.get("label")
        return list(label.names) if isinstance(label, datasets.ClassLabel) else None

    def generate_tables(  # type: ignore[override]  # the `gen_kwargs` of `_split_generators`
        self,
        split: str,
        files: SplitFiles,
        ranges: list[tuple[int, int]],
        streaming: bool,
    ) -> Iterator[tuple[int, pa.Table]]:
        """The tables of ranges of a split, each with the place of its first record as its key."""
        if self.info.features is None:
            raise AssertionError("locating the files sets the features")
        schema = self.info.features.arrow_schema
        title = (files.labels or files.images).title
        first_size = FIRST_STREAMED_BATCH if streaming else None
        batches = self.source.read(split, files, ranges, self.class_names, first_size)
        for place, batch in prefetch(batches, size_of=_num_bytes):
            # Streamed images are decoded at once: compressing them costs more than it saves.
            record_at = functools.partial(self._record_at, files, place, title)
            yield place, make_table(batch, schema, not streaming, title, record_at)

    def _record_at(self, files: SplitFiles, place: int, title: str, index: int) -> int:
        """The number in the file of a record of the batch at a place in the selection."""
        if files.num_records is None:
            raise AssertionError("locating the files tells their records")
        return self.source.record_at(place + index, files.num_records, title)

    def divide(self, gen_kwargs: GenKwargs) -> list[GenKwargs]:
        """Divide each range of a shard into `RESHARD_RANGES`, a shard each."""
        divided = []
        for start, stop in gen_kwargs["ranges"]:
            for part in shard_ranges(start, stop, RESHARD_RANGES):
                divided.append({**gen_kwargs, "ranges": [part]})
        return divided


def _clean_arguments(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a builder, checked, with a token and options that may be handed on."""
    cleaned = dict(arguments)
    features = arguments.get("features")
    if features is not None and not isinstance(features, datasets.Features):
        raise IdxError(f"features={shown_value(features)}: expected a datasets.Features.")
    if arguments.get("token") is not None:
        cleaned["token"] = clean_token(arguments["token"])
    if "://" in str(arguments.get("data_files")):  # `datasets` itself asks whether they exist
        cleaned["storage_options"] = safe_storage_options(arguments.get("storage_options") or {})
    return cleaned


def _num_bytes(item: PlacedBatch) -> int:
    return item.batch.num_bytes


def shard_ranges(start: int, stop: int, num_shards: int) -> list[tuple[int, int]]:
    """Divide a range of records into ranges of nearly equal length.

    No range is empty, unless there are no records.
    """
    count = stop - start
    num_shards = max(1, min(num_shards, count))
    bounds = [start + count * number // num_shards for number in range(num_shards + 1)]
    return list(itertools.pairwise(bounds))
