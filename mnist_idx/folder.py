"""The user's own files: which of them are the images and the labels of each split."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from .archive import Location, list_archive, list_folder
from .errors import DamagedError, IdxError
from .failover import Located
from .fetching import Fetcher
from .filenames import SPLITS, base_name, find_splits, parse_filename, split_files
from .idx import Header, IdxFile
from .members import Access, Member, SplitFiles, pin, verify_member
from .paths import is_remote
from .record_layout import Layout
from .records import SplitReader

MAX_CLASSES = 100_000  # each gets a name
DataFiles = Mapping[str, Sequence[str]]  # paths and URLs by split


class Facts(NamedTuple):
    """What the files of a split tell when they are opened."""

    images: Header
    identities: list[str]  # of the files that were opened
    record_bytes: int  # of an image and its label
    label_parts: int | None  # numbers per label; None without labels
    largest_label: int | None  # None without labels, or if the classes are known


class Folder:
    """The files of a folder, of an archive, or those that the user names for each split.

    It has one source, so that it never goes on with another one. Picklable.

    Args:
        data_dir: a folder, a tar or a zip, local or remote, with all splits.
        data_files: instead of it, paths and URLs for each split.
        prefix: which of several datasets in one location.
        label_names: names of the classes, by default the numbers up to the largest label.
        reads_labels: whether the labels are read to find how many classes there are.
    """

    def __init__(
        self,
        data_dir: str | None,
        data_files: DataFiles | None,
        access: Access,
        *,
        prefix: str | None = None,
        label_names: Sequence[str] | None = None,
        reads_labels: bool = True,
    ) -> None:
        self._data_dir = data_dir
        self._data_files = data_files
        self._access = access
        self._prefix = prefix
        self._label_names = label_names
        self._reads_labels = reads_labels and label_names is None

    def locate(self, fetcher: Fetcher, wanted: Collection[str] | None = None) -> Located:
        """Find the files of each split. Their headers and labels tell the layout.

        Args:
            wanted: the splits to look at, those that there are; None for all.

        Raises:
            IdxError: it is not clear which file is which, or what they hold cannot be loaded.
        """
        try:
            return self._locate(fetcher, wanted, force=False)
        except DamagedError:
            # `datasets` reuses what was downloaded earlier for ever, a wrong file, too.
            if not fetcher.keeps_copies or not any(map(is_remote, self._paths)):
                raise
        return self._locate(fetcher, wanted, force=True)

    def match(self, fetcher: Fetcher) -> dict[str, SplitFiles]:
        """Which files are those of each split. They are not opened."""
        return self._match_files(self._list_paths(fetcher, force=False), wanted=None)

    def must_remember(self, files: SplitFiles) -> bool:
        """Whether there is another source: never."""
        return False

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """Raise the error: there is no other source."""
        if isinstance(error, DamagedError) and files.images.url is not None:
            way_out = 'For another download, pass download_mode="force_redownload".'
            raise DamagedError(f"{error} {way_out}") from error
        raise error

    @property
    def _paths(self) -> list[str]:
        """The paths and URLs that the user names, of folders, archives and files."""
        if self._data_files:
            return list(itertools.chain.from_iterable(self._data_files.values()))
        return [] if self._data_dir is None else [self._data_dir]

    def _locate(self, fetcher: Fetcher, wanted: Collection[str] | None, force: bool) -> Located:
        listed = self._list_paths(fetcher, force)
        matched = self._match_files(listed, wanted)
        if wanted is not None:
            matched = {name: files for name, files in matched.items() if name in wanted}
        found = self._fetch_members(matched, fetcher, force)
        facts = read_facts(found, self._access, self._reads_labels)
        splits = {}
        for name, files in found.items():
            pinned = pin(files, facts[name].identities)
            splits[name] = pinned._replace(
                num_records=facts[name].images.num_records,
                record_bytes=facts[name].record_bytes,
            )
        return Located(splits, find_layouts(facts, self._label_names))

    def _list_paths(self, fetcher: Fetcher, force: bool) -> dict[str, list[Member]]:
        """The members at each path. Archives and single files are fetched."""
        listed = {}
        files = {}
        for path in self._paths:
            members = list_folder(path, self._access)
            if members is None:
                files[path] = path
            else:
                listed[path] = members
        for path, copy in fetcher.fetch_together(files, force).items():
            url = path if copy != path else None
            listed[path] = list_archive(Location(copy, url), self._access)
        return listed

    def _match_files(
        self, listed: Mapping[str, list[Member]], wanted: Collection[str] | None
    ) -> dict[str, SplitFiles]:
        """Which of the listed members are the files of each split."""
        if self._data_files:
            return {
                split: self._match_split(split, paths, listed)
                for split, paths in self._data_files.items()
            }
        (path,) = self._paths
        members = listed[path]
        if _is_single_file(path, members):
            split = _split_in_name(base_name(members[0].name))
            return {split or "train": split_files(members)}
        return find_splits(members, self._prefix, root=path, wanted=wanted)

    def _match_split(
        self, split: str, paths: Sequence[str], listed: Mapping[str, list[Member]]
    ) -> SplitFiles:
        """The files of a split for which the user names `paths`."""
        if not paths:
            found = f"data_files: found no file for the split {split!r}"
            raise IdxError(f"{found}. Correct the path or pattern.")
        members = [member for path in paths for member in listed[path]]
        if all(_is_single_file(path, listed[path]) for path in paths):
            return split_files(members)
        return _pick_split(find_splits(members, self._prefix), split, members)

    def _fetch_members(
        self, splits: Mapping[str, SplitFiles], fetcher: Fetcher, force: bool
    ) -> dict[str, SplitFiles]:
        """The same files, with those of a remote folder fetched, and those of a zip verified."""
        if not fetcher.keeps_copies:
            return dict(splits)
        paths = {member.path for files in splits.values() for member in files.members}
        copies = fetcher.fetch_together({path: path for path in paths}, force)
        fetched = {}
        for name, files in splits.items():
            labels = files.labels
            fetched[name] = files._replace(
                images=self._copy_of(files.images, copies),
                labels=None if labels is None else self._copy_of(labels, copies),
            )
        return fetched

    def _copy_of(self, member: Member, copies: Mapping[str, str]) -> Member:
        copy = copies[member.path]
        if copy != member.path:
            member = member._replace(path=copy, url=member.path, version=None)
        if member.crc32 is not None:
            # With `num_proc`, no process reads a whole member, which checks its checksum.
            verify_member(member, self._access)
        return member


def _is_single_file(path: str, members: Sequence[Member]) -> bool:
    """Whether there is a single file at a path, which is listed as a member named by its path."""
    return len(members) == 1 and members[0].name == path


def _split_in_name(name: str) -> str | None:
    """The split that the name of a file tells."""
    parsed = parse_filename(name)
    return None if parsed is None else parsed.split


def _pick_split(splits: Mapping[str, SplitFiles], split: str, members: list[Member]) -> SplitFiles:
    """The split of an archive or a folder that the user asks for by name."""
    names_tell = any(_split_in_name(member.name) is not None for member in members)
    if len(splits) == 1 and not names_tell:  # a lone pair
        return next(iter(splits.values()))
    name = SPLITS.get(split.lower(), split)
    if name not in splits:
        found = f"{members[0].location}: found the splits {', '.join(splits)}"
        raise IdxError(f"{found}, expected {split!r}. Ask for another.")
    return splits[name]


def read_facts(
    splits: Mapping[str, SplitFiles], access: Access, reads_labels: bool
) -> dict[str, Facts]:
    """Open the files of each split, and read all labels if their classes are to be found.

    Raises:
        IdxError: the files cannot be loaded, or their labels are no classes.
    """
    facts = {}
    for name, files in splits.items():
        with closing(SplitReader(files, access)) as reader:
            label_parts = None
            largest_label = None
            if reader.labels is not None:
                label_parts = math.prod(reader.labels.header.record_shape)
                if reads_labels:
                    largest_label = _largest_label(reader.labels)
            facts[name] = Facts(
                reader.images.header,
                reader.identities,
                reader.record_bytes,
                label_parts,
                largest_label,
            )
    return facts


def find_layouts(
    facts: Mapping[str, Facts], label_names: Sequence[str] | None
) -> dict[str, Layout]:
    """The layout of each split. All have the same classes."""
    if label_names is None:
        label_names = _class_numbers([of_split.largest_label for of_split in facts.values()])
    class_names = tuple(str(name) for name in label_names)
    layouts = {}
    for split, of_split in facts.items():
        layout = Layout(of_split.images.record_shape, str(of_split.images.dtype))
        if of_split.label_parts is not None:
            layout = layout._replace(class_names=class_names, label_parts=of_split.label_parts)
        layouts[split] = layout
    return layouts


def _class_numbers(largest_labels: Sequence[int | None]) -> list[str]:
    """The numbers from 0 to the largest label of all splits, as names of the classes."""
    known = [label for label in largest_labels if label is not None]
    num_classes = max(known) + 1 if known else 0
    return [str(number) for number in range(num_classes)]


def _largest_label(labels: IdxFile) -> int | None:
    """The largest class, None if there are no records."""
    smallest, largest = 0, -1
    for batch in labels.batches():
        parts = batch.reshape(len(batch), math.prod(batch.shape[1:]))
        classes = parts[:, 0].astype(np.int64)
        smallest = min(smallest, int(classes.min(initial=0)))
        largest = max(largest, int(classes.max(initial=-1)))
    if smallest < 0 or largest >= MAX_CLASSES:
        found = f"found labels from {smallest:,} to {largest:,}"
        advice = f"{labels.title}: {found}, expected 0 to {MAX_CLASSES - 1:,}"
        way_out = 'For labels that are no classes, pass features= with "label": Value("int64").'
        raise IdxError(f"{advice}. {way_out}", command_line=f"{advice}.")
    return largest if largest >= 0 else None
