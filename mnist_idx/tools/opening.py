"""Find the files of a dataset: without `datasets` if they are local, else through a builder.

`datasets` takes more than a second to import, and reading local files needs nothing of it.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ..catalog import DATASETS
from ..errors import IdxError
from ..failover import Located, Locator, SplitSource
from ..fetching import Fetcher, InPlace
from ..folder import Folder
from ..members import Access, SplitFiles
from ..mirrors import published_mirrors, published_options
from ..options import IdxFolderOptions, IdxOptions, check_options, options_of
from ..paths import DataFiles, absolute_path, find_data_files, is_downloaded, is_remote
from ..record_layout import Layout
from .split_spec import parse_parts, split_names

if TYPE_CHECKING:
    from ..builder import IdxBuilder

# What else a user may pass for local files. Nothing of them is kept in the cache.
OTHER_ARGUMENTS = {"data_dir", "data_files", "cache_dir"}
Arguments = Mapping[str, Any]  # of `load_dataset_builder`, by name


class Opened(NamedTuple):
    """A dataset whose files were found."""

    splits: dict[str, SplitFiles]
    source: SplitSource
    sizes: dict[str, int]  # records of each split that are selected
    class_names: Sequence[str] | None  # None if labels are no classes
    layout: Layout  # of its records


def open_dataset(
    path: str, name: str | None, split: object, streaming: bool, arguments: Arguments
) -> Opened:
    """Find the files of a dataset, of those splits that will be read.

    Args:
        path: "mnist_idx" or "idxfolder".
        name: of the config.
        split: what will be read. It is checked before the network is touched, if it can be. Other
            splits are not looked at. None if that is all.
        arguments: those of `load_dataset_builder`. None is as good as left out.

    Raises:
        IdxError: the files cannot be found, or an option is wrong.
    """
    given = {key: value for key, value in arguments.items() if value is not None}
    wanted = None if split is None else split_names(split)
    data_files = given.get("data_files")
    if wanted is not None and isinstance(data_files, Mapping) and wanted <= data_files.keys():
        given["data_files"] = {name: data_files[name] for name in data_files if name in wanted}
    local = _find_local(path, name or "mnist", given)
    if local is None:
        return _open_with_builder(path, name, split, streaming, given, wanted)
    check_options(local.options)
    fetcher: Fetcher = InPlace()
    if not streaming:
        fetcher = LocalFirst(path, name, given)
    transpose = local.options.transpose
    source = SplitSource(local.locator, local.access, local.options.selection, transpose)
    located = locate_wanted(lambda names: local.locator.locate(fetcher, names), source, wanted)
    layout = located.common_layout(transpose, local.options.as_array)
    sizes = source.count(located.splits)
    return Opened(located.splits, source, sizes, layout.class_names, layout)


def locate_wanted(
    locate: Callable[[Collection[str] | None], Located],
    source: SplitSource,
    wanted: set[str] | None,
) -> Located:
    """Find the files of the wanted splits, or of all if it takes these to say what is wrong.

    Args:
        locate: finds the splits of the given names.
        wanted: names of splits; None for all.
    """
    if wanted is None:
        return locate(None)
    located = locate(wanted)
    if wanted - located.splits.keys():  # The error lists the splits that there are.
        return locate(None)
    try:
        source.count(located.splits)
    except IdxError:
        return locate(None)  # Another split may have as many records as are asked for.
    return located


def _open_with_builder(
    path: str,
    name: str | None,
    split: object,
    streaming: bool,
    arguments: Arguments,
    wanted: set[str] | None,
) -> Opened:
    """Find the files of a dataset as `load_dataset` would, but of no other splits."""
    builder = _make_builder(path, name, arguments)
    known = builder.info.splits
    if known is not None and split is not None:
        # So that wrong arguments are found before the network is touched.
        parse_parts(split, {part: info.num_examples for part, info in known.items()})
    fetcher = builder.make_fetcher(streaming, arguments.get("download_mode"))
    return open_builder(builder, fetcher, wanted)


def open_builder(builder: "IdxBuilder", fetcher: Fetcher, wanted: set[str] | None = None) -> Opened:
    """Find the files of the dataset of a builder, and check them as far as they are fetched.

    Args:
        wanted: names of splits; None for all.
    """

    def locate(names: Collection[str] | None) -> Located:
        return builder.locate(fetcher, names, takes_any_integers=True)

    located = locate_wanted(locate, builder.source, wanted)
    sizes = builder.source.count(located.splits)
    layout = located.common_layout(builder.config.transpose, builder.config.as_array)
    return Opened(located.splits, builder.source, sizes, builder.class_names, layout)


def _make_builder(path: str, name: str | None, arguments: Arguments) -> "IdxBuilder":
    import datasets  # takes long, and local files do without

    return cast("IdxBuilder", datasets.load_dataset_builder(path, name, **arguments))


class LocalFirst:
    """A fetcher for local files. If they fail, published files are downloaded after all."""

    keeps_copies = True

    def __init__(self, path: str, name: str | None, arguments: Arguments) -> None:
        self._path = path
        self._name = name
        self._arguments = arguments

    def fetch(
        self, urls: Mapping[str, str], is_named: bool = True, force: bool = False
    ) -> dict[str, str]:
        if not any(map(is_downloaded, urls.values())):
            return dict(urls)
        builder = _make_builder(self._path, self._name, self._arguments)
        return builder.make_fetcher(streaming=False).fetch(urls, is_named, force)

    def fetch_together(self, urls: Mapping[str, str], force: bool = False) -> dict[str, str]:
        return self.fetch(urls, force=force)


class _Local(NamedTuple):
    """A dataset of local files."""

    locator: Locator
    access: Access
    options: IdxOptions


def _find_local(path: str, name: str, given: Arguments) -> _Local | None:
    """The dataset, if its files are local and all options are our own; else None.

    None as well for what a builder refuses: it has the words for that.
    """
    kind = IdxOptions if path == "mnist_idx" else IdxFolderOptions
    options = {key: value for key, value in given.items() if key in options_of(kind)}
    if given.keys() - options.keys() - OTHER_ARGUMENTS:
        return None
    data_dir = given.get("data_dir")
    if data_dir is not None:
        data_dir = absolute_path(data_dir)
        if is_remote(data_dir):
            return None
    if path == "mnist_idx":
        return _find_local_copy(name, options, data_dir, "data_files" in given)
    return _find_local_folder(options, data_dir, given.get("data_files"))


def _find_local_copy(
    name: str, given: Arguments, data_dir: str | None, has_data_files: bool
) -> _Local | None:
    """The published dataset in `data_dir`, in the package or in the mirror of the user."""
    is_refused = has_data_files or (name == "tiny" and data_dir is not None)
    if name not in DATASETS or is_refused:
        return None
    access = Access()
    mirrors = published_mirrors(name, access, data_dir)
    if mirrors.is_remote:
        return None
    options = IdxOptions(**{**published_options(DATASETS[name]), **given})
    return _Local(mirrors, access, options)


def _find_local_folder(given: Arguments, data_dir: str | None, data_files: object) -> _Local | None:
    """The dataset of the user's own files."""
    by_split: DataFiles | None = None
    if data_files is not None:
        by_split = find_data_files(data_files, data_dir or os.getcwd())
        if by_split is None:
            return None
    if not by_split and not data_dir:
        return None
    options = IdxFolderOptions(**given)
    access = Access()
    folder = Folder(
        data_dir,
        by_split,
        access,
        prefix=options.prefix,
        label_names=options.label_names,
        are_splits_named=isinstance(data_files, Mapping),
    )
    return _Local(folder, access, options)
