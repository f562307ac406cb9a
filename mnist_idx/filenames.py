"""Infer dataset, split and role (images or labels) from file names."""

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

from datasets.data_files import SPLIT_KEYWORDS

from .idx import IdxError
from .storage import Member, SplitFiles

COMPRESSION_SUFFIX = re.compile(r"\.(gz|gzip|bz2|xz)$", re.IGNORECASE)
SPLITS = {word: str(split) for split, words in SPLIT_KEYWORDS.items() for word in words} | {"t10k": "test"}
SPLIT_ORDER = [*map(str, SPLIT_KEYWORDS)]  # "train" first
MAX_LISTED = 20
NAME_THEM = 'Name the files of each split: data_files={"train": [IMAGES, LABELS], "test": [IMAGES, LABELS]}.'

_SPLIT = "|".join(SPLITS)
_ROLE = "images?|imgs?|labels?"
_TYPE = r"idx\d*|u?byte|u?int\d*|short|long|float\d*|double"
# my-letters-train-images-idx3-ubyte, images-train.idx3, train_labels.idx, images-idx3-ubyte
NAME = re.compile(
    rf"((?P<prefix>.+?)-)??((?P<split>{_SPLIT})-)?(images?-)?(?P<role>{_ROLE})(-(?P<late_split>{_SPLIT}))?(-({_TYPE}))*"
)
# Folders that say nothing about the dataset: train, raw, data, train-images-idx3-ubyte.
COMMON_FOLDER = re.compile(rf"({_SPLIT}|{_ROLE}|{_TYPE}|data|raw|-)*")
# Names of what may have been an IDX file, though `NAME` does not match: copies, archives, partial downloads.
UNUSABLE = re.compile(
    rf"(^|.*-)({_ROLE})-idx\d.*|(^|.*-)({_SPLIT})-({_ROLE})\b.*(\(\d+\)|copy|-(zip|zst|zstd|7z|rar|lz4|lzma|z|br|part|tmp|bak|crdownload))"
)
OTHER_FILE = re.compile(r".*-(md5|sha\d+|sha\d+sum|asc|sig|txt|md|json|csv|html?|ya?ml|npy|npz|png|jpe?g|gif|pdf|log)")


class ParsedName(NamedTuple):
    prefix: str  # start of the name, with the folders before it: which of several datasets
    split: str  # "train", "test" or "validation"; "" if the name does not tell
    role: str  # "images" or "labels"


def base_name(name: str) -> str:
    """The file name without folders and without the suffix of a compression."""
    return COMPRESSION_SUFFIX.sub("", re.split(r"[/\\]", name.partition("?")[0])[-1])


def _normalized(name: str) -> str:
    return re.sub(r"[._ ]", "-", name.lower())


def is_same_name(name: str, published: str) -> bool:
    """Whether a member has the name of a published file: `train-images.idx3-ubyte` is `train-images-idx3-ubyte`."""
    return _normalized(base_name(name)) == published


def parse_filename(name: str) -> ParsedName | None:
    """Parse the name of an IDX file; None if it is not one.

    >>> parse_filename("gzip/emnist-letters-test-images-idx3-ubyte.gz")
    ParsedName(prefix='gzip/emnist-letters', split='test', role='images')
    """
    *folders, file = re.split(r"[/\\]", name)
    file = base_name(file)
    match = NAME.fullmatch(_normalized(file))
    if match is None or _is_hidden(name):
        return None
    prefix = file[: match.end("prefix")] if match["prefix"] else ""
    splits = {match["split"], match["late_split"], *re.split("-", _normalized(prefix))} & SPLITS.keys()
    # The file name tells the split, or the folder nearest to it.
    for folder in reversed(folders):
        splits = splits or set(re.split("-", _normalized(folder))) & SPLITS.keys()
    if len({SPLITS[split] for split in splits}) > 1:
        return None
    places = [folder for folder in folders if not COMMON_FOLDER.fullmatch(_normalized(folder))]
    role = "labels" if match["role"].startswith("label") else "images"
    return ParsedName("/".join([*places, prefix] if prefix else places), SPLITS[splits.pop()] if splits else "", role)


def _is_hidden(name: str) -> bool:
    """Whether macOS made the file: `._train-images-idx3-ubyte`, `__MACOSX/…`."""
    return any((part.startswith(".") and part.strip(".")) or part == "__MACOSX" for part in re.split(r"[/\\]", name))


def find_prefixes(members: Sequence[Member], root: str = "") -> list[str]:
    return sorted({parsed.prefix for parsed, _ in _parse_members(members, root)})


def find_splits(members: Sequence[Member], prefix: str | None = None, root: str = "") -> dict[str, SplitFiles]:
    """Find the images and the labels of each split by their names, "train" first.

    `prefix` is the start of the names in one of several datasets; `root`, a folder, is not part of the names. A file
    that looks like an IDX file but cannot be used is an error.
    """
    place = root or (members[0].path if members else "")
    ambiguous = IdxError(f"{place}: cannot tell which file is which: {_listed(members)}. {NAME_THEM}")
    prefixes, wanted = find_prefixes(members, root), (prefix or "").lower()
    chosen = [name for name in prefixes if name.lower() == wanted and prefix is not None]
    chosen = chosen or [name for name in prefixes if name.lower().startswith(wanted)]
    if not prefixes:
        raise ambiguous
    if len(chosen) != 1:
        expected = "one dataset" if prefix is None else f"one that starts with {prefix!r}"
        found, example = ", ".join(map(repr, prefixes)), next(filter(None, chosen or prefixes), "")
        raise IdxError(f'{place}: found {found}, expected {expected}. Choose one: prefix="{example}".')
    for member in members:
        name = _relative_name(member, root)
        file = _normalized(base_name(name))
        is_like_idx = NAME.fullmatch(file) or (UNUSABLE.fullmatch(file) and not OTHER_FILE.fullmatch(file))
        if is_like_idx and wanted in name.lower() and parse_filename(name) is None and not _is_hidden(name):
            found = f"{member.title}: looks like an IDX file by its name, but cannot be used"
            raise IdxError(f"{found}. Move it away, or rename it as train-images-idx3-ubyte, or …-ubyte.gz.")
    roles: dict[str, dict[str, list[Member]]] = {}
    for parsed, member in _parse_members(members, root):
        if parsed.prefix == chosen[0]:
            roles.setdefault(parsed.split, {}).setdefault(parsed.role, []).append(member)
    if "" in roles and len(roles) > 1:
        raise ambiguous
    splits = {}
    for split in sorted(roles, key=lambda split: SPLIT_ORDER.index(split) if split else 0):
        found_members = {role: _choose(candidates) for role, candidates in roles[split].items()}
        if None in found_members.values():
            raise ambiguous
        images, labels = found_members.get("images"), found_members.get("labels")
        if images is None:
            raise IdxError(f"{labels and labels.title}: found labels, but no images beside them. {NAME_THEM}")
        splits[split or "train"] = SplitFiles(images, labels)
    return splits


def split_files(members: Sequence[Member]) -> SplitFiles:
    """The files of one split, named by the user: images and labels by their names, else in this order."""
    if len(members) > 2:
        raise IdxError(f"{_listed(members)}: found {len(members)} files, expected images and labels. {NAME_THEM}")
    parsed = [parse_filename(base_name(member.name)) for member in members]
    if [name and name.role for name in parsed] == ["labels", "images"]:
        members = members[::-1]
    return SplitFiles(members[0], members[1] if len(members) == 2 else None)


def _parse_members(members: Sequence[Member], root: str) -> list[tuple[ParsedName, Member]]:
    """The members whose names are those of IDX files. A folder that all of them are in is no part of the prefixes."""
    names = [(parse_filename(_relative_name(member, root)), member) for member in members]
    parsed = [(name, member) for name, member in names if name]
    if len({name.prefix.rpartition("/")[0] for name, _ in parsed}) == 1:
        parsed = [(name._replace(prefix=name.prefix.rpartition("/")[2]), member) for name, member in parsed]
    return parsed


def _relative_name(member: Member, root: str) -> str:
    """The name of a member, without the folder `root`. Names in an archive are relative already."""
    return member.name.removeprefix(root).lstrip("/\\") if member.name == member.path else member.name


def _choose(candidates: list[Member]) -> Member | None:
    """The member to read, of several with the same meaning; None if they are different files."""
    # Kaggle's MNIST has each file twice: raw, and in a folder of the file's own name.
    nested = [one for one in candidates if is_same_name(os.path.dirname(one.name), _normalized(base_name(one.name)))]
    direct = [member for member in candidates if member not in nested] or nested
    if len({COMPRESSION_SUFFIX.sub("", member.name) for member in direct}) > 1:
        return None
    # Prefer a plain file to a compressed copy of it. In a tar, a later member replaces an earlier one.
    chosen = min(reversed(direct), key=lambda member: COMPRESSION_SUFFIX.search(member.name) is not None)
    if chosen.problem:
        raise IdxError(f"{chosen.title}: {chosen.problem}")
    return chosen


def _listed(members: Sequence[Member]) -> str:
    more = f" and {len(members) - MAX_LISTED} more" if len(members) > MAX_LISTED else ""
    return (", ".join(member.name for member in members[:MAX_LISTED]) or "nothing") + more
