"""Which files are the images and the labels of each split of a dataset.

Content says what a file is, its name says to which split and dataset it belongs.
"""

import json
import logging
import os
import re
import shlex
import warnings
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from .archive import list_nested
from .compressions import is_compressed_name, strip_suffix
from .contents import Content, look_at
from .errors import MAX_LISTED, IdxError, listed_names
from .filenames import (
    IMAGES,
    LABELS,
    SPLIT_WORDS,
    ParsedName,
    base_name,
    is_hidden,
    is_of_another_kind,
    is_same_name,
    parse_filename,
    strip_archive_suffix,
    word_in_files,
)
from .idx import Header
from .members import Access, Member, SplitFiles
from .paths import is_remote, quoted
from .record_layout import NAME_THEM_TYPED

logger = logging.getLogger(__name__)

MAX_REMOTE = 1000  # remote files that are looked at: each takes a request
NAME_THEM = (
    "Name the files of each split: "
    'data_files={"train": [IMAGES, LABELS], "test": [IMAGES, LABELS]}.'
)
PICTURES = {"png", "jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff"}
NUMPY = {"npz", "npy"}
# What reads files of other libraries, by their suffixes.
FOREIGN_READERS = {
    "pkl": "pickle.load if you trust it",
    "pickle": "pickle.load if you trust it",
    "pt": "torch.load",
    "pth": "torch.load",
    "mat": "scipy.io.loadmat",
    "h5": "h5py",
    "hdf5": "h5py",
}


class Listed(NamedTuple):
    """A file that the user may mean."""

    name: str  # relative to the place that the user named
    member: Member


class IdxMember(NamedTuple):
    """An IDX file, and what its name and its content say."""

    name: str
    member: Member
    parsed: ParsedName
    header: Header | None  # None if the name of a remote file is believed
    role: str  # "images" or "labels"

    @property
    def place(self) -> "Place":
        """What the file is for."""
        return Place(self.parsed.dataset, self.parsed.split)


class Place(NamedTuple):
    """A split of a dataset."""

    dataset: str
    split: str | None  # None if names do not tell


class Claim(NamedTuple):
    """A file whose name says that it is an IDX file, though its content does not."""

    parsed: ParsedName
    error: IdxError


Files = dict[str, list[IdxMember]]  # by role: the files that may be meant


def name_relative(members: Iterable[Member], root: str) -> list[Listed]:
    """Name the files in a folder or an archive relative to it."""
    listed = []
    for member in members:
        name = member.name
        is_in_archive = name != member.path
        if not is_in_archive:
            name = _path_of(name).removeprefix(_path_of(root)).lstrip("/\\")
        listed.append(Listed(name, member))
    return listed


def _path_of(location: str) -> str:
    """A local path, or the path in a URL: of a chain of URLs, in its first link."""
    if not is_remote(location):
        return location
    return location.partition("::")[0].partition("://")[2].strip("/")


class FoundFiles:
    """The IDX files of one place, which may hold several datasets.

    A place without IDX files may have archives of them.

    Args:
        title: what errors call the place.
    """

    def __init__(self, listed: Sequence[Listed], access: Access, title: str) -> None:
        self.title = title
        self._listed = listed
        self._claims: list[Claim] = []
        contents = _look_at_all(listed, access, title)
        if all(content.error is not None for content in contents.values()):
            archives = [one for one, content in contents.items() if content.is_archive]
            if archives:
                contents = _look_at_all(_list_archives(archives, access), access, title)
        self._splits = _pair_orphans(self._sort(contents), access)

    def _sort(self, contents: Mapping[Listed, Content]) -> dict[Place, Files]:
        """The IDX files, by what they are for. Others are noted if their name claims to be one."""
        splits: dict[Place, Files] = {}
        valid = [one for one, content in contents.items() if content.error is None]
        names = {strip_suffix(name) for name, _ in valid}
        for (name, member), content in contents.items():
            parsed = parse_filename(name)
            if content.error is not None or parsed.is_leftover:
                if strip_suffix(name) not in names or parsed.is_leftover:
                    self._note_claim(member, parsed, content)
                continue
            role = find_role(parsed, content.header)
            if len(valid) == 1 and parsed.role != LABELS:  # perhaps a vector of numbers
                role = IMAGES
            found = IdxMember(name, member, parsed, content.header, role)
            splits.setdefault(found.place, {}).setdefault(role, []).append(found)
        return splits

    def _note_claim(self, member: Member, parsed: ParsedName, content: Content) -> None:
        """Remember a file that claims to be an IDX file. Others are skipped."""
        if not parsed.claims_idx:
            logger.debug("Skipped: %s", content.error)
            return
        error = content.error
        if error is None:
            found = "what a download or an editor has left behind"
            error = IdxError(f"{member.title}: found {found}, expected an IDX file. Move it away.")
        self._claims.append(Claim(parsed, error))

    @property
    def prefixes(self) -> list[str]:
        """Which datasets there are, by what their file names have in common."""
        return sorted({place.dataset for place in self._splits})

    def splits(
        self, prefix: str | None = None, wanted: Collection[str] | None = None
    ) -> dict[str, SplitFiles]:
        """The images and the labels of each split of a dataset, "train" first.

        Args:
            prefix: which of several datasets.
            wanted: the splits that are asked for; None for all. Others may be incomplete.

        Raises:
            IdxError: there is not one such dataset, or it is not clear which file is which.
        """
        dataset = self._choose_dataset(prefix, wanted)
        self._refuse_claims(None if prefix is None else dataset, wanted)
        found = {
            place.split: files for place, files in self._splits.items() if place.dataset == dataset
        }
        if prefix is None:
            self._warn_of_unused(dataset)
        if None in found and len(found) > 1:
            raise self._unknown_split(found[None])
        if None in found:
            return {"train": self._choose_files("train", found[None])}
        names = [name for name in SPLIT_WORDS if name in found]
        if wanted is not None and not found.keys().isdisjoint(wanted):
            names = [name for name in names if name in wanted]
        return {name: self._choose_files(name, found[name]) for name in names}

    @property
    def split_names(self) -> set[str | None]:
        """The splits of all datasets, None among them if names do not tell."""
        return {place.split for place in self._splits}

    def called(self, split: str) -> SplitFiles | None:
        """The only files that are called as a split, as extra-images; None if there are none.

        The split may have any name, as those that `write_idx` has written.
        """
        word = word_in_files(split)
        starts = (f"{word}-{IMAGES}", f"{word}-{LABELS}")
        called: Files = {}
        for files in self._splits.values():
            fitting = {}
            for role, found in files.items():
                fitting[role] = [one for one in found if base_name(one.name).startswith(starts)]
            if fitting.get(IMAGES) and not fitting.get(LABELS) and _has_other_labels(files):
                return None
            for role, found in fitting.items():
                if found:
                    called.setdefault(role, []).extend(found)
        if IMAGES not in called or any(len(found) > 1 for found in called.values()):
            return None
        self._refuse_claims(None, [split])
        return self._choose_files(split, called)

    def _choose_dataset(self, prefix: str | None, wanted: Collection[str] | None) -> str:
        """The dataset that the user means."""
        names = self._names_with_images()
        if not names:
            raise self._nothing_found()
        matching = _matching_names(names, prefix)
        if prefix is None and wanted is not None and len(matching) > 1:
            having = {place.dataset for place in self._splits if place.split in wanted}
            matching = [name for name in names if name in having] or matching
        if len(matching) == 1:
            return matching[0]
        expected = "one dataset" if prefix is None else f"one that starts with {prefix!r}"
        found = listed_names([repr(name) for name in names])
        examples = [name for name in matching or names if name][:1]
        if "" in names:
            examples.append("")
        choose = f"{self.title}: found {found}, expected {expected}. Choose one:"
        in_python = " or ".join(f"prefix={quoted(name)}" for name in examples)
        typed = " or ".join(f"--prefix {shlex.quote(name)}" for name in examples)
        raise IdxError(f"{choose} {in_python}.", command_line=f"{choose} {typed}.")

    def _names_with_images(self) -> list[str]:
        """The datasets that have images, or all if none has: an error says what they lack."""
        names = {place.dataset for place, files in self._splits.items() if IMAGES in files}
        return sorted(names) or self.prefixes

    def _refuse_claims(self, dataset: str | None, wanted: Collection[str] | None) -> None:
        """Refuse a file that claims to belong to the dataset, but is no IDX file.

        Args:
            dataset: None if there is only one, to which all files belong.
        """
        for parsed, error in self._claims:
            may_belong = dataset is None or parsed.dataset in (dataset, "")
            may_be_asked_for = wanted is None or parsed.split is None or parsed.split in wanted
            if may_belong and may_be_asked_for:
                raise error

    def _warn_of_unused(self, dataset: str) -> None:
        """Name the labels that belong to no images."""
        unused = []
        for place, files in self._splits.items():
            if place.dataset != dataset and IMAGES not in files:
                unused += [labels.member.title for labels in files[LABELS]]
        if not unused:
            return
        lacking = [
            files[IMAGES][0].member.title
            for place, files in self._splits.items()
            if place.dataset == dataset and IMAGES in files and LABELS not in files
        ]
        found = f"{listed_names(unused)}: found labels, but no images with names like theirs"
        if lacking:
            raise _unclear(f"{found}; {listed_names(lacking)} has no labels.")
        warnings.warn(f"{found}. They are not loaded.", stacklevel=2)

    def _unknown_split(self, files: Files) -> IdxError:
        names = [found.member.name for of_role in files.values() for found in of_role]
        return _unclear(f"{self.title}: cannot tell the split of {listed_names(names)}.")

    def _choose_files(self, split: str, files: Files) -> SplitFiles:
        """The files of a split, of those that may be meant for each role."""
        prefers_plain = _prefers_plain(files)
        chosen = {role: _choose(found, prefers_plain, split) for role, found in files.items()}
        if IMAGES not in chosen:
            raise self._missing_images(chosen[LABELS])
        return SplitFiles(chosen[IMAGES], chosen.get(LABELS))

    def _missing_images(self, labels: Member) -> IdxError:
        """The error of labels without images. It says how to load the splits that are complete."""
        expected = _images_named_like(base_name(labels.name))
        found = f"{labels.title}: found labels, but no images beside them"
        found += f", expected {expected}." if expected else "."
        complete = {}
        for place, files in self._splits.items():
            if IMAGES in files and place.split is not None:
                chosen = [of_role[0].member for of_role in files.values()]
                complete[place.split] = chosen
        if not complete:
            return _unclear(found)
        way_out = (
            f"{found} Add it, or load the other splits: data_files={_as_data_files(complete)}."
        )
        return IdxError(way_out, command_line=f"{found} Add it, or move its labels away.")

    def _nothing_found(self) -> IdxError:
        """The error of a place without IDX files: what is there, and how that is loaded."""
        if self._claims:
            return self._claims[0].error
        names = [name for name, _ in self._listed if not is_hidden(name)]
        if not names:
            return IdxError(f"{self.title}: no IDX files, nothing is in it. Name another folder.")
        kinds = Counter(_extension(name) for name in names)
        described = [_count_of(kind, number) for kind, number in kinds.most_common(3)]
        most_common = kinds.most_common(1)[0][0]
        found = f"{self.title}: no IDX files, {', '.join(described)}"
        if len(names) <= MAX_LISTED:
            found += f" ({listed_names(sorted(names))})"
        return IdxError(f"{found}. {_other_road(most_common, self.title)}.")


def _has_other_labels(files: Files) -> bool:
    """Whether there are labels that are not called as any of the images."""
    images = {base_name(found.name).partition(f"-{IMAGES}")[0] for found in files[IMAGES]}
    for labels in files.get(LABELS, []):
        if base_name(labels.name).partition(f"-{LABELS}")[0] not in images:
            return True
    return False


def find_role(parsed: ParsedName, header: Header | None) -> str:
    """Whether a file holds images or labels.

    One dimension means labels, three or more mean images. Of two, the name tells.
    """
    if header is not None and len(header.shape) != 2:
        return LABELS if len(header.shape) == 1 else IMAGES
    return LABELS if parsed.role == LABELS else IMAGES


def find_pair(files: Sequence[IdxMember]) -> SplitFiles:
    """The files of one split, which the user names in any order.

    Names and contents tell images from labels. If they do not, images come first.
    """
    if len(files) > 2:
        listed = listed_names([found.member.name for found in files])
        raise _unclear(f"{listed}: found {len(files)} files, expected images and labels.")
    if len(files) == 1:
        return SplitFiles(files[0].member)
    first, second = files
    if _are_swapped(first, second):
        first, second = second, first
    return SplitFiles(first.member, second.member)


def _are_swapped(first: IdxMember, second: IdxMember) -> bool:
    """Whether the first of two files holds the labels."""
    if first.role != second.role:
        return first.role == LABELS
    if first.header is None or second.header is None:
        return False
    # Neither name tells: labels have fewer dimensions.
    return len(first.header.shape) < len(second.header.shape)


def read_listed(listed: Listed, access: Access) -> IdxMember:
    """What the name and the content of one file say, which the user has named.

    Raises:
        IdxError: it is no IDX file.
    """
    content = _look_unless_told(listed, access)
    if content.error is not None:
        raise content.error
    parsed = parse_filename(listed.name)
    role = find_role(parsed, content.header)
    return IdxMember(listed.name, listed.member, parsed, content.header, role)


def _look_at_all(listed: Iterable[Listed], access: Access, title: str) -> dict[Listed, Content]:
    """Look at the files that may be IDX files by their names."""
    looked_at = {}
    num_remote = 0
    for one in listed:
        if is_hidden(one.name) or is_of_another_kind(one.name):
            continue
        num_remote += is_remote(one.member.path)
        if num_remote > MAX_REMOTE:
            found = f"found more than {MAX_REMOTE:,} files that may be IDX files"
            raise IdxError(f"{title}: {found}. {NAME_THEM}")
        looked_at[one] = _look_unless_told(one, access)
    return looked_at


def _look_unless_told(listed: Listed, access: Access) -> Content:
    """Look at a file, unless it is a remote one whose name says all: that saves a request."""
    member = listed.member
    if is_remote(member.path) and member.problem is None and parse_filename(listed.name).says_all:
        return Content(None)
    return look_at(member, access)


def _list_archives(archives: Iterable[Listed], access: Access) -> list[Listed]:
    """The files in archives. The name of an archive stands for a folder."""
    listed = []
    for archive in archives:
        folder = strip_archive_suffix(archive.name)
        for member in list_nested(archive.member, access):
            listed.append(Listed(f"{folder}/{member.name}", member))
    return listed


def _pair_orphans(splits: dict[Place, Files], access: Access) -> dict[Place, Files]:
    """Give labels whose names fit no images to the only images that they can belong to.

    A misspelt name must not cost the labels. They belong together if the numbers of their records
    are equal, and nothing else comes into question.
    """
    merged = {place: dict(files) for place, files in _without_common_folder(splits).items()}
    orphans = [place for place, files in merged.items() if IMAGES not in files]
    lacking = [place for place, files in merged.items() if LABELS not in files]
    for orphan in orphans:
        fitting = [place for place in lacking if _may_belong(merged, orphan, place, access)]
        if len(fitting) != 1:
            continue
        rivals = [other for other in orphans if _may_belong(merged, other, fitting[0], access)]
        if len(rivals) != 1:
            continue
        place = _better_name(merged, orphan, fitting[0])
        if place in merged and place not in (orphan, fitting[0]):
            place = fitting[0]  # Other files are called so.
        files = {**merged.pop(orphan), **merged.pop(fitting[0])}
        lacking.remove(fitting[0])
        merged[place] = files
        logger.info("Took %s for the labels of %s.", *_titles(files))
    return merged


def _titles(files: Files) -> tuple[str, str]:
    return files[LABELS][0].member.title, files[IMAGES][0].member.title


def _may_belong(
    splits: Mapping[Place, Files], orphan: Place, images: Place, access: Access
) -> bool:
    """Whether labels may be those of images."""
    if orphan not in splits or images not in splits:
        return False
    if orphan.split is not None and images.split is not None and orphan.split != images.split:
        return False
    num_labels = _count_records(splits[orphan][LABELS][0], access)
    num_images = _count_records(splits[images][IMAGES][0], access)
    return num_labels is not None and num_labels == num_images


def _count_records(found: IdxMember, access: Access) -> int | None:
    """How many records a file has; None if it is no IDX file after all."""
    header = found.header
    if header is None:
        header = look_at(found.member, access).header
    return None if header is None else header.num_records


def _better_name(splits: Mapping[Place, Files], orphan: Place, images: Place) -> Place:
    """The place of labels and images that were found apart: that with more files beside it."""

    def num_beside(place: Place) -> int:
        return sum(other.dataset == place.dataset for other in splits)

    dataset = max(images, orphan, key=num_beside).dataset
    return Place(dataset, images.split or orphan.split)


def _without_common_folder(splits: dict[Place, Files]) -> dict[Place, Files]:
    """The same places, if all are in one folder without it."""
    folders = {place.dataset.rpartition("/")[0] for place in splits}
    if len(folders) != 1:
        return splits
    shortened: dict[Place, Files] = {}
    for place, files in splits.items():
        name = place.dataset.rpartition("/")[2]
        shortened[place._replace(dataset=name)] = files
    return shortened


def _matching_names(names: Sequence[str], prefix: str | None) -> list[str]:
    """The datasets that are called `prefix`, in any case, or else those that start with it."""
    if prefix is None:
        return list(names)
    if prefix in names:
        return [prefix]
    wanted = prefix.lower()
    same = [name for name in names if name.lower() == wanted]
    return same or [name for name in names if name.lower().startswith(wanted)]


def _choose(candidates: Sequence[IdxMember], prefers_plain: bool, split: str) -> Member:
    """The member to read, of several with the same meaning."""
    # Kaggle's MNIST has each file twice: raw, and in a folder of the file's own name.
    nested = [found for found in candidates if _is_in_namesake(found.name)]
    direct = [found for found in candidates if found not in nested]
    copies = direct or nested
    different = {_without_compression(found): found for found in copies}
    if len(different) > 1:
        first, second, *_ = different.values()
        what = f"two files for the {first.role} of {split!r}"
        raise _unclear(f"{first.member.title} and {second.member.title}: found {what}.")
    wanted = [found for found in copies if is_compressed_name(found.name) != prefers_plain]
    # In a tar, a later member replaces an earlier one.
    return (wanted or copies)[-1].member


def _is_in_namesake(name: str) -> bool:
    """Whether a file is in a folder of its own name."""
    return is_same_name(os.path.dirname(name), base_name(name))


def _without_compression(found: IdxMember) -> tuple[str | None, str]:
    """The archive of a file, None if there is none, and its name without compression."""
    member = found.member
    archive = None if member.name == member.path else member.path
    return archive, strip_suffix(found.name)


def _prefers_plain(files: Files) -> bool:
    """Whether to read plain files rather than compressed copies of them.

    Not if only the compressed ones are there for each role.
    """
    names = [[found.name for found in of_role] for of_role in files.values()]
    has_plain = [not all(map(is_compressed_name, of_role)) for of_role in names]
    has_compressed = [any(map(is_compressed_name, of_role)) for of_role in names]
    return all(has_plain) or not all(has_compressed)


def _unclear(found: str) -> IdxError:
    """The error of names that do not tell what the files are."""
    return IdxError(f"{found} {NAME_THEM}", command_line=f"{found} {NAME_THEM_TYPED}")


def _images_named_like(labels: str) -> str | None:
    """The name that images beside labels of a name have; None if the name does not tell."""
    expected = labels.replace("labels", "images").replace("label", "image")
    if expected == labels:
        return None
    return re.sub(r"idx\d-\w+$", "idx3-ubyte", expected)


def _as_data_files(splits: Mapping[str, Sequence[Member]]) -> str:
    """What to pass as `data_files` to load splits, as Python writes it."""
    data_files: dict[str, list[str]] = {}
    for split, members in splits.items():
        paths = [member.location for member in members]
        data_files[split] = list(dict.fromkeys(paths))  # an archive once
    return json.dumps(data_files, ensure_ascii=False)


def _extension(name: str) -> str:
    file = strip_suffix(name).rpartition("/")[2].lower()
    return file.rpartition(".")[2] if "." in file else ""


def _count_of(extension: str, number: int) -> str:
    """How many files there are of a kind.

    >>> _count_of("png", 1000), _count_of("", 1)
    ('1,000 .png files', '1 file without a suffix')
    """
    noun = "file" if number == 1 else "files"
    if not extension:
        return f"{number:,} {noun} without a suffix"
    return f"{number:,} .{extension} {noun}"


def _other_road(extension: str, title: str) -> str:
    """How files of another kind are loaded or converted, as a sentence without its full stop."""
    place = quoted(title)
    typed = shlex.quote(title)
    if extension in PICTURES:
        convert = f"mnist-idx convert imagefolder OUT --data-dir {typed}"
        return f'Use load_dataset("imagefolder", data_dir={place}), or convert them: {convert}'
    if extension == "csv":
        convert = "mnist-idx convert csv OUT --data-files FILE"
        return f'Use load_dataset("csv", data_dir={place}), or convert rows of pixels: {convert}'
    if extension in NUMPY:
        return "Read them with numpy.load, and write IDX files with mnist_idx.write_idx"
    if extension in FOREIGN_READERS:
        reader = FOREIGN_READERS[extension]
        return f"Read it with {reader}, and write IDX files with mnist_idx.write_idx"
    if extension in ("parquet", "arrow", "json", "jsonl"):
        kind = "json" if extension == "jsonl" else extension
        return f'Use load_dataset("{kind}", data_dir={place})'
    return NAME_THEM.rstrip(".")
