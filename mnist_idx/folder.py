"""The user's own files: which of them are the images and the labels of each split."""

import itertools
import logging
import math
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from typing import NamedTuple

import numpy as np

from .archive import Location, list_archive, list_folder
from .errors import DamagedError, IdxError
from .failover import Located
from .fetching import Fetcher
from .filenames import parse_filename, split_of_word, strip_archive_suffix
from .idx import Header, IdxFile
from .matching import (
    FoundFiles,
    IdxMember,
    Listed,
    find_pair,
    name_relative,
    read_listed,
)
from .members import Access, Member, SplitFiles, pin, verify_member
from .paths import DataFiles, below_common_folder, is_remote
from .record_layout import Layout
from .records import SplitReader

DESCRIPTION = "A dataset of IDX files."

logger = logging.getLogger(__name__)

MAX_CLASSES = 100_000  # each gets a name
MAX_ONE_HOT = 1000  # classes, of labels that are rows of zeros with a one


class LabelFacts(NamedTuple):
    """What the labels of a split tell."""

    dtype: str
    parts: int  # numbers per label
    is_one_hot: bool | None = None  # None if there are no records to tell
    smallest: int | None = None  # class; None if it is not known, or there are no records
    largest: int | None = None


class Facts(NamedTuple):
    """What the files of a split tell when they are opened."""

    images: Header
    identities: list[str]  # of the files that were opened
    record_bytes: int  # of an image and its label
    labels: LabelFacts | None  # None without labels


class Folder:
    """The files of a folder, of an archive, or those that the user names for each split.

    It has one source, so that it never goes on with another one. Picklable.

    Args:
        data_dir: a folder, a tar or a zip, local or remote, with all splits.
        data_files: instead of it, paths and URLs for each split.
        prefix: which of several datasets in one location.
        label_names: names of the classes, by default the numbers up to the largest label.
        reads_labels: whether the labels are read to find how many classes there are.
        are_splits_named: whether the user named the splits of `data_files`. If not, names and
            contents of the files tell them.
        keeps_parts: whether labels of several parts stay as they are, even if they are one-hot.
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
        are_splits_named: bool = True,
        keeps_parts: bool = False,
    ) -> None:
        self._data_dir = data_dir
        self._data_files = data_files
        self._access = access
        self._prefix = prefix
        self._label_names = label_names
        self._reads_labels = reads_labels and label_names is None
        self._are_splits_named = are_splits_named
        self._keeps_parts = keeps_parts

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
        has_one_hot_labels = are_one_hot(facts) and not self._keeps_parts
        splits = {}
        for name, files in found.items():
            if not has_one_hot_labels:
                self._check_label_names(files, facts[name])
            pinned = pin(files, facts[name].identities)
            splits[name] = pinned._replace(
                num_records=facts[name].images.num_records,
                record_bytes=facts[name].record_bytes,
                has_one_hot_labels=has_one_hot_labels,
            )
            if has_one_hot_labels and files.labels is not None:
                logger.info("%s: one-hot labels are loaded as classes.", files.labels.title)
        return Located(splits, find_layouts(facts, self._label_names, has_one_hot_labels))

    def _check_label_names(self, files: SplitFiles, facts: Facts) -> None:
        """Refuse names of classes for labels that are measured values."""
        if self._label_names is None or files.labels is None or facts.labels is None:
            return
        if facts.labels.dtype.startswith("float"):
            found = f"{files.labels.title}: found {facts.labels.dtype} labels, expected integers"
            raise IdxError(
                f"{found}. Leave out label_names=.",
                command_line=f"{found}. Leave out --label-names.",
            )

    def local_files(self) -> list[str]:
        """The local files that take part, if it is clear which they are; else all that may.

        They are part of the cache key.
        """
        listed: dict[str, list[Member]] = {}
        for path in self._paths:
            if is_remote(path):
                return []
            members = list_folder(path, self._access)
            if members is None:
                return [path]
            listed[path] = members
        try:
            splits = self._match_files(listed, wanted=None)
        except IdxError:  # for which there is a better place to be raised
            return [member.path for members in listed.values() for member in members]
        return [member.path for files in splits.values() for member in files.members]

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
        if not self._data_files:
            (path,) = self._paths
            return self._match_place(path, listed[path], wanted)
        if self._are_splits_named:
            return {
                split: self._match_split(split, paths, listed)
                for split, paths in self._data_files.items()
            }
        return self._match_unnamed(self._paths, listed)

    def _match_place(
        self, path: str, members: list[Member], wanted: Collection[str] | None
    ) -> dict[str, SplitFiles]:
        """The splits in a folder or an archive; or a single file, which holds images."""
        if _is_single_file(path, members):
            found = read_listed(Listed(os.path.basename(path), members[0]), self._access)
            return {found.parsed.split or "train": find_pair([found])}
        files = FoundFiles(name_relative(members, path), self._access, path)
        return files.splits(self._prefix, wanted)

    def _match_split(
        self, split: str, paths: Sequence[str], listed: Mapping[str, list[Member]]
    ) -> SplitFiles:
        """The files of a split for which the user names `paths`."""
        if not paths:
            found = f"data_files: found no file for the split {split!r}"
            raise IdxError(f"{found}. Correct the path or pattern.")
        if all(_is_single_file(path, listed[path]) for path in paths):
            return find_pair(self._read_single_files(paths, listed))
        files = FoundFiles(_name_together(paths, listed), self._access, ", ".join(paths))
        return self._pick_split(files, split)

    def _match_unnamed(
        self, paths: Sequence[str], listed: Mapping[str, list[Member]]
    ) -> dict[str, SplitFiles]:
        """The splits of files that the user names without telling their splits.

        A single split is called "train", as `datasets` does.
        """
        if not paths:
            raise IdxError("data_files: found no file. Correct the path or pattern.")
        if len(paths) <= 2 and all(_is_single_file(path, listed[path]) for path in paths):
            files = self._read_single_files(paths, listed)
            if len({found.parsed.split for found in files}) == 1 or _is_pair(files):
                return {"train": find_pair(files)}
        found_files = FoundFiles(_name_together(paths, listed), self._access, ", ".join(paths))
        splits = found_files.splits(self._prefix)
        if len(splits) == 1:
            return {"train": next(iter(splits.values()))}
        return splits

    def _read_single_files(
        self, paths: Sequence[str], listed: Mapping[str, list[Member]]
    ) -> list[IdxMember]:
        """What names and contents of files tell, each of which is an IDX file by itself."""
        files = []
        for path in paths:
            files.append(read_listed(Listed(os.path.basename(path), listed[path][0]), self._access))
        return files

    def _pick_split(self, files: FoundFiles, split: str) -> SplitFiles:
        """The split of archives and folders that the user asks for by name."""
        called = files.called(split) if self._prefix is None else None
        if called is not None:
            return called
        name = split_of_word(split)
        splits = files.splits(self._prefix, wanted=[name])
        if files.split_names == {None}:  # a lone pair
            return splits["train"]
        if name not in splits:
            found = f"{files.title}: found the splits {', '.join(splits)}"
            raise IdxError(f"{found}, expected {split!r}. Ask for another.")
        return splits[name]

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
        member = _moved(member, copies)
        if member.crc32 is not None or member.holder is not None:
            # With `num_proc`, no process reads a whole member, which checks its checksum.
            verify_member(member, self._access)
        return member


def _moved(member: Member, copies: Mapping[str, str]) -> Member:
    """A member at the local copy of the file that holds it."""
    copy = copies[member.path]
    if copy == member.path:
        return member
    holder = None if member.holder is None else _moved(member.holder, copies)
    return member._replace(path=copy, url=member.path, version=None, holder=holder)


def _is_single_file(path: str, members: Sequence[Member]) -> bool:
    """Whether there is a single file at a path, which is listed as a member named by its path."""
    return len(members) == 1 and members[0].name == path


def _is_pair(files: Sequence[IdxMember]) -> bool:
    """Whether two files are images and labels."""
    return len({found.role for found in files}) == 2


def _name_together(paths: Sequence[str], listed: Mapping[str, list[Member]]) -> list[Listed]:
    """Name the files at several paths. The name of an archive tells the split if nothing else."""
    named = []
    for path, short in zip(paths, below_common_folder(paths), strict=True):
        if _is_single_file(path, listed[path]):
            named.append(Listed(short, listed[path][0]))
            continue
        for name, member in name_relative(listed[path], path):
            if parse_filename(name).split is None:
                name = f"{strip_archive_suffix(os.path.basename(path))}/{name}"
            named.append(Listed(name, member))
    return named


def read_facts(
    splits: Mapping[str, SplitFiles], access: Access, reads_labels: bool
) -> dict[str, Facts]:
    """Open the files of each split, and read all labels if their classes are to be found.

    Raises:
        IdxError: the files cannot be loaded.
    """
    facts = {}
    for name, files in splits.items():
        with closing(SplitReader(files, access)) as reader:
            labels = None if reader.labels is None else _read_labels(reader.labels, reads_labels)
            facts[name] = Facts(
                reader.images.header,
                reader.identities,
                reader.record_bytes,
                labels,
            )
    return facts


def _read_labels(labels: IdxFile, reads_classes: bool) -> LabelFacts:
    """What the labels of a file tell.

    Args:
        reads_classes: whether they are read to find the smallest and the largest class.
    """
    header = labels.header
    facts = LabelFacts(str(header.dtype), math.prod(header.record_shape))
    may_be_one_hot = len(header.record_shape) == 1 and 2 <= facts.parts <= MAX_ONE_HOT
    are_integers = header.dtype.kind in "iu"
    if not may_be_one_hot and not (reads_classes and are_integers):
        return facts
    is_one_hot = may_be_one_hot
    smallest, largest = 0, -1
    for batch in labels.batches():
        rows = batch.reshape(len(batch), facts.parts)
        is_one_hot = is_one_hot and _are_rows_one_hot(rows)
        if not are_integers:
            continue
        classes = rows[:, 0].astype(np.int64)
        smallest = int(np.min(classes, initial=smallest))
        largest = int(np.max(classes, initial=largest))
    if header.num_records == 0:
        return facts._replace(is_one_hot=None if may_be_one_hot else False)
    if not reads_classes or not are_integers:
        return facts._replace(is_one_hot=is_one_hot)
    return facts._replace(is_one_hot=is_one_hot, smallest=smallest, largest=largest)


def _are_rows_one_hot(rows: np.ndarray) -> bool:
    """Whether each row has a single one, and zeros."""
    num_ones = np.count_nonzero(rows == 1, axis=1)
    num_others = np.count_nonzero(rows, axis=1) - num_ones
    return bool(np.all(num_ones == 1) and not np.any(num_others))


def are_one_hot(facts: Mapping[str, Facts]) -> bool:
    """Whether the labels of all splits are rows of zeros with a one at their class."""
    known = [of_split.labels.is_one_hot for of_split in facts.values() if of_split.labels]
    return any(known) and False not in known


def find_layouts(
    facts: Mapping[str, Facts], label_names: Sequence[str] | None, has_one_hot_labels: bool
) -> dict[str, Layout]:
    """The layout of each split. All have the same classes."""
    layouts = {}
    of_labels = {name: of_split.labels for name, of_split in facts.items() if of_split.labels}
    are_classes = all(_why_not_classes(labels) is None for labels in of_labels.values())
    class_names: tuple[str, ...] = ()
    if are_classes:
        class_names = _class_names(of_labels, label_names, has_one_hot_labels)
    for split, of_split in facts.items():
        layout = Layout(of_split.images.record_shape, str(of_split.images.dtype))
        labels = of_split.labels
        if labels is not None:
            parts = 1 if has_one_hot_labels else labels.parts
            layout = layout._replace(label_parts=parts)
            if labels.dtype.startswith("float") and not has_one_hot_labels:
                layout = layout._replace(label_dtype=labels.dtype)
            elif are_classes:
                layout = layout._replace(class_names=class_names)
            else:
                why = _why_not_classes(labels)
                layout = layout._replace(label_dtype="int64", not_classes=why)
        layouts[split] = layout
    return layouts


def _why_not_classes(labels: LabelFacts) -> str | None:
    """Why integers are no classes; None if they are, or if it is not known."""
    if labels.smallest is None or labels.largest is None:
        return None
    if labels.smallest >= 0 and labels.largest < MAX_CLASSES:
        return None
    found = f"found labels from {labels.smallest:,} to {labels.largest:,}"
    return f"{found}, expected 0 to {MAX_CLASSES - 1:,}"


def _class_names(
    labels: Mapping[str, LabelFacts], label_names: Sequence[str] | None, are_one_hot: bool
) -> tuple[str, ...]:
    """The names of the classes: those of the user, or the numbers up to the largest label."""
    if label_names is not None:
        return tuple(str(name) for name in label_names)
    num_classes = 0
    for of_split in labels.values():
        if are_one_hot:
            num_classes = max(num_classes, of_split.parts)
        elif of_split.largest is not None:
            num_classes = max(num_classes, of_split.largest + 1)
    return tuple(str(number) for number in range(num_classes))
