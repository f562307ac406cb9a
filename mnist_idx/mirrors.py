"""The published files: found in the first source that works, and verified."""

import logging
import os
from collections.abc import Collection
from contextlib import closing
from typing import Any, NamedTuple

from .archive import Location, list_archive, list_folder
from .catalog import DATASETS, File, PublishedDataset
from .copies import Search, UnverifiableError, choose_copy
from .errors import IdxError, TransferError, is_of_disk, offline_variable, printable
from .failover import Located
from .fetching import Fetcher, InPlace
from .members import Access, Member, SplitFiles, pin, verify_member
from .paths import absolute_path, is_archive_name, is_http, is_remote, quoted
from .record_layout import Layout
from .records import SplitReader

logger = logging.getLogger(__name__)

MIRROR_VARIABLE = "MNIST_IDX_MIRROR"
TINY_WORKS = 'load the miniature "tiny", which needs no network'
OWN_FILES = 'To load your own IDX files, use load_dataset("idxfolder", {option}).'
WHOLE = "archive"  # what the fetcher calls an archive, which is fetched as a whole


class Source(NamedTuple):
    """A location that has the files of a published dataset."""

    url: str  # or path, of an archive or a folder; that of a folder on HTTP ends in "/"
    is_named: bool  # whether the user named it: options and tokens are meant for it, for no other

    @property
    def has_single_files(self) -> bool:
        """Whether the files are fetched by their published names: HTTP lists no folders."""
        return is_http(self.url) and self.url.endswith("/")


class Visit(NamedTuple):
    """One attempt to use a source."""

    source: Source
    fetcher: Fetcher
    force: bool = False  # whether to fetch even what was fetched earlier

    def fetch(self, urls: dict[str, str]) -> dict[str, str]:
        """The paths at which files can be read, by the keys of `urls`."""
        return self.fetcher.fetch(urls, self.source.is_named, self.force)


class WayOut(NamedTuple):
    """What errors advise when no source works."""

    advice: str
    typed_advice: str  # in the words of the command line


class Mirrors:
    """The sources of a published dataset. One that fails is replaced by the next. Picklable.

    In every process, `SplitFiles.source_number` is an index into `sources`.
    """

    def __init__(
        self,
        title: str,
        dataset: PublishedDataset,
        sources: list[Source],
        access: Access,
        way_out: WayOut,
    ) -> None:
        self._title = title  # what errors call the dataset
        self._dataset = dataset
        self.sources = sources
        self._access = access
        self._way_out = way_out

    @property
    def is_remote(self) -> bool:
        """Whether the first source is remote."""
        return is_remote(self.sources[0].url)

    def locate(self, fetcher: Fetcher, wanted: Collection[str] | None = None) -> Located:
        """Find the splits in the first usable source, and verify them unless they are streamed.

        Args:
            wanted: the splits to look at; None for all.

        Raises:
            IdxError: no source can be used.
        """
        layout = published_layout(self._dataset)
        splits = self._locate_from(0, fetcher, (), wanted)
        return Located(splits, dict.fromkeys(splits, layout))

    def must_remember(self, files: SplitFiles) -> bool:
        """Whether what is read must be remembered: unverified, and another source may go on."""
        # `verify_member` has taken the digests out of what it has verified.
        is_verified = files.images.sha256 is None and files.images.content_sha256 is None
        return not is_verified and files.source_number + 1 < len(self.sources)

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """The files of a split in the next source, after `error` in the one of `files`."""
        failures = self._add_failure(files.failures, files.source_number, error)
        next_number = files.source_number + 1
        return self._locate_from(next_number, InPlace(), failures, [split])[split]

    def _locate_from(
        self,
        first_source: int,
        fetcher: Fetcher,
        failures: tuple[str, ...],
        wanted: Collection[str] | None,
    ) -> dict[str, SplitFiles]:
        """Find the splits in the first usable source, from number `first_source` on.

        Args:
            failures: why the sources before it cannot be used.
        """
        for number in range(first_source, len(self.sources)):
            try:
                splits = self._try_source(self.sources[number], fetcher, wanted)
            except IdxError as error:
                if is_of_disk(error) or isinstance(error, UnverifiableError):
                    raise
                failures = self._add_failure(failures, number, error)
                continue
            found = {}
            for name, files in splits.items():
                found[name] = files._replace(source_number=number, failures=failures)
            return found
        raise self._no_source(failures)

    def _no_source(self, failures: tuple[str, ...]) -> IdxError:
        """The error of sources all of which have failed."""
        advice, typed_advice = self._way_out
        if len(self.sources) == 1:
            url = self.sources[0].url
            if not is_remote(url) and not os.path.lexists(url):
                return TransferError(failures[0])  # There is nothing to load in another way.
            return IdxError(f"{failures[0]} {advice}", command_line=f"{failures[0]} {typed_advice}")
        title = f"None of the sources of {self._title} can be used:"
        listed = [f"- {failure}" for failure in failures]
        variable = offline_variable()
        if any(f"because {variable} is set" in failure for failure in failures):
            advice = f"Unset {variable}, which keeps this offline. {advice}"
            typed_advice = f"Unset {variable}, which keeps this offline. {typed_advice}"
        return IdxError(title, *listed, advice, command_line=typed_advice)

    def _add_failure(
        self, failures: tuple[str, ...], number: int, error: IdxError
    ) -> tuple[str, ...]:
        """Add why a source cannot be used, and log it if another one follows."""
        url = printable(self.sources[number].url)
        failure = str(error) if url in str(error) else f"{url}: {error}"
        if number + 1 < len(self.sources):
            following = printable(self.sources[number + 1].url)
            logger.warning("%s Trying %s next.", failure, following)
        return (*failures, failure)

    def _try_source(
        self, source: Source, fetcher: Fetcher, wanted: Collection[str] | None
    ) -> dict[str, SplitFiles]:
        """Find the splits in a source. A wrong file that was fetched earlier is fetched again."""
        if not fetcher.keeps_copies:
            return self._stream(Visit(source, fetcher), wanted)
        try:
            return self._fetch(Visit(source, fetcher), wanted)
        except IdxError as error:
            is_final = isinstance(error, TransferError | UnverifiableError) or is_of_disk(error)
            if is_final or not is_remote(source.url):
                raise
        return self._fetch(Visit(source, fetcher, force=True), wanted)

    def _stream(self, visit: Visit, wanted: Collection[str] | None) -> dict[str, SplitFiles]:
        """Find the splits in a source, without fetching it."""
        try:
            return self._match(visit, wanted)
        except OSError as error:  # of the local disk, where streams keep what they decompress
            raise IdxError(f"{visit.source.url}: cannot be read: {error}.") from error

    def _fetch(self, visit: Visit, wanted: Collection[str] | None) -> dict[str, SplitFiles]:
        """Fetch a source, and verify its files."""
        splits = {}
        for name, files in self._match(visit, wanted).items():
            labels = None if files.labels is None else verify_member(files.labels, self._access)
            images = verify_member(files.images, self._access)
            verified = files._replace(images=images, labels=labels)
            with closing(SplitReader(verified, self._access)) as reader:
                splits[name] = pin(verified, reader.identities)
        return splits

    def _match(self, visit: Visit, wanted: Collection[str] | None) -> dict[str, SplitFiles]:
        """Find the published files in a source.

        If they are not in a folder, or cannot be verified there, they may be in an archive there.
        """
        names = [name for name in self._dataset.splits if wanted is None or name in wanted]
        members = self._list(visit, names)
        try:
            return self._choose(members, names, visit)
        except TransferError:
            raise
        except IdxError:
            in_archives = self._list_archives(members, visit)
            if not in_archives:
                raise
        return self._choose([*members, *in_archives], names, visit)

    def _list(self, visit: Visit, names: Collection[str]) -> list[Member]:
        """The members of a source, for the splits of these names. An archive is fetched."""
        source = visit.source
        if source.has_single_files:
            return self._single_files(visit, names)
        if not is_remote(source.url) or not is_archive_name(source.url):
            members = list_folder(source.url, self._access)
            if members is not None:
                return members
        if is_remote(source.url) and source.url.endswith("/"):  # a folder that is not listed
            return self._single_files(visit, names)
        return self._list_archive(source.url, visit)

    def _single_files(self, visit: Visit, names: Collection[str]) -> list[Member]:
        """The files of splits in a folder that is not listed, by their published names."""
        urls = {}
        for name in names:
            split = self._dataset.splits[name]
            for file in (split.images, split.labels):
                urls[file.name] = f"{visit.source.url}{file.name}{file.suffix}"
        members = []
        for name, path in visit.fetch(urls).items():
            members.append(Member(path, name, url=urls[name]))
        return members

    def _list_archives(self, members: list[Member], visit: Visit) -> list[Member]:
        """The members of the archives in a folder."""
        found = []
        for member in members:
            if member.name != member.path or not is_archive_name(member.path):
                continue
            try:
                found += self._list_archive(member.path, visit)
            except TransferError:
                raise
            except IdxError as error:
                logger.warning("%s", error)
        return found

    def _list_archive(self, url: str, visit: Visit) -> list[Member]:
        """The members of an archive, which is fetched."""
        path = visit.fetch({WHOLE: url})[WHOLE]
        location = Location(path, url if path != url else None, visit.source.is_named)
        return list_archive(location, self._access)

    def _choose(
        self, members: list[Member], names: Collection[str], visit: Visit
    ) -> dict[str, SplitFiles]:
        """Find the files of splits among the members of a source, and fetch them if need be."""
        splits = {}
        for name in names:
            split = self._dataset.splits[name]
            images = self._find(split.images, members, visit)
            labels = self._find(split.labels, members, visit)
            splits[name] = SplitFiles(images, labels, split.num_records)
        return splits

    def _find(self, file: File, members: list[Member], visit: Visit) -> Member:
        """The member that is a published file, with what is known of that."""
        source = visit.source
        search = Search(
            file,
            title=self._title,
            is_transposed=self._dataset.transposed,
            location=source.url,
            access=self._access,
        )
        chosen = choose_copy(search, members)
        path = visit.fetch({file.name: chosen.path})[file.name]
        if path != chosen.path:
            chosen = chosen._replace(path=path, url=chosen.path, version=None)
        if source.has_single_files and is_remote(chosen.path):
            # Tells another file apart before its first record.
            chosen = chosen._replace(size=file.size)
        return chosen._replace(is_named=source.is_named)


def published_layout(dataset: PublishedDataset) -> Layout:
    """The layout that all splits of a published dataset have."""
    return Layout(dataset.shape, "uint8", dataset.class_names, dataset.label_parts)


def published_options(dataset: PublishedDataset) -> dict[str, Any]:
    """The options of a published dataset, unless the user gives others."""
    return {
        "num_samples": dataset.num_samples,
        "seed": dataset.seed,
        "transpose": dataset.transposed,
    }


def published_mirrors(
    name: str, access: Access, data_dir: str | None = None, base_path: str | None = None
) -> Mirrors:
    """The sources of a published dataset, or a copy of its files in `data_dir`.

    Args:
        base_path: folder of the loading script, if this runs from a copy of it.
    """
    dataset = DATASETS[name]
    title = f"mnist_idx/{name}"
    if data_dir is not None:
        own = OWN_FILES.format(option=f"data_dir={quoted(data_dir)}")
        advice = f"Expected a copy of {title}. {own}"
        source = Source(absolute_path(data_dir), is_named=True)
        return Mirrors(title, dataset, [source], access, WayOut(advice, advice))
    sources = _published_sources(dataset, base_path)
    ways = ["pass data_dir= with a copy of the files", TINY_WORKS]
    typed_ways = [TINY_WORKS]
    mirror = os.environ.get(MIRROR_VARIABLE)
    if _can_be_mirrored(dataset) and mirror:
        sources.insert(0, Source(absolute_path(mirror), is_named=True))
    elif _can_be_mirrored(dataset):
        set_variable = f"set {MIRROR_VARIABLE} to a URL or path of the archive"
        ways.insert(0, set_variable)
        typed_ways.insert(0, set_variable)
    way_out = WayOut(f"Ways out: {', or '.join(ways)}.", f"Ways out: {', or '.join(typed_ways)}.")
    return Mirrors(title, dataset, sources, access, way_out)


def _can_be_mirrored(dataset: PublishedDataset) -> bool:
    """Whether the mirror of the user has the files: those of MNIST that are not in the package."""
    return dataset.family == "mnist" and all(map(is_remote, dataset.sources))


def _published_sources(dataset: PublishedDataset, base_path: str | None) -> list[Source]:
    """The sources of the catalog. Those of a relative path are in the package."""
    sources = []
    for url in dataset.sources:
        if is_remote(url):
            sources.append(Source(url, is_named=False))
        else:
            root = _package_folder(base_path)
            path = f"{root.rstrip('/')}/{url}" if is_remote(root) else os.path.join(root, url)
            # The user has named the folder of a remote script, and nothing else of this.
            sources.append(Source(path, is_named=is_remote(root)))
    return sources


def _package_folder(base_path: str | None) -> str:
    """Where the data files of the package are.

    A script of `datasets` 3.x runs from a copy of the code, without them: they are in `base_path`.
    """
    folder = os.path.dirname(__file__)
    if base_path is None or os.path.exists(os.path.join(folder, "data")):
        return folder
    return base_path if is_remote(base_path) else os.path.abspath(base_path)
