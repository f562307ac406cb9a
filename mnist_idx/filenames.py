"""Infer dataset, split and role (images or labels) from file names."""

import itertools
import json
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .compressions import SUFFIXES, is_compressed_name, strip_suffix
from .errors import IdxError
from .layout import NAME_THEM_ALIKE
from .members import Member, SplitFiles

# The words of `datasets` for splits, "train" first, and that of MNIST.
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation", "t10k"),
}
SPLITS = {word: split for split, words in SPLIT_WORDS.items() for word in words}
SPLIT_ORDER = [*SPLIT_WORDS]
MAX_LISTED = 20  # names in a message
MAX_SHOWN = 200  # letters of each
NAME_THEM = (
    "Name the files of each split: "
    'data_files={"train": [IMAGES, LABELS], "test": [IMAGES, LABELS]}.'
)

IMAGE_WORDS = {"image", "images", "img", "imgs"}
LABEL_WORDS = {"label", "labels"}
ROLE_WORDS = IMAGE_WORDS | LABEL_WORDS
TYPE_WORDS = {"ubyte", "byte", "short", "long", "double"}
NUMBERED_TYPE_WORDS = {"idx", "int", "uint", "float"}  # idx3, int32
# Folders of these words say nothing about the dataset.
COMMON_WORDS = {
    "",
    "data",
    "raw",
    "rawdata",
    "traindata",
    "testdata",
    *SPLITS,
    *ROLE_WORDS,
    *TYPE_WORDS,
}
# Last words of what may have been an IDX file: archives, partial downloads.
LEFTOVER_WORDS = {
    "zip",
    "zst",
    "zstd",
    "7z",
    "rar",
    "lz4",
    "lzma",
    "z",
    "br",
    "part",
    "tmp",
    "bak",
    "crdownload",
}
LEFTOVER_WORDS -= {suffix[1:] for suffix in SUFFIXES}  # which are read
# Last words of what stands beside an IDX file: checksums, descriptions, pictures.
OTHER_WORDS = {"md5", "asc", "sig", "txt", "md", "json", "csv", "htm", "html", "yml", "yaml"}
OTHER_WORDS |= {"npy", "npz", "png", "jpg", "jpeg", "gif", "pdf", "log"}
OTHER_WORDS |= {f"sha{bits}{end}" for bits in (1, 224, 256, 384, 512) for end in ("", "sum")}


class ParsedName(NamedTuple):
    prefix: str  # start of the name, with the folders before it: which of several datasets
    split: str  # "train", "test" or "validation"; "" if the name does not tell
    role: str  # "images" or "labels"


def base_name(name: str) -> str:
    """The file name without folders and without the suffix of a compression."""
    if "://" in name:
        name = name.partition("::")[0]  # the first link of a chain is the file
    return strip_suffix(re.split(r"[/\\]", name.partition("?")[0])[-1])


def _normalized(name: str) -> str:
    return re.sub(r"[._ ]", "-", name.lower())


def is_same_name(name: str, published: str) -> bool:
    """Whether a member has the name of a published file: `train-images.idx3-ubyte` is
    `train-images-idx3-ubyte`.
    """
    return _normalized(base_name(name)) == _normalized(published)


def parse_filename(name: str) -> ParsedName | None:
    """Parse the name of an IDX file; None if it is not one.

    >>> parse_filename("gzip/emnist-letters-test-images-idx3-ubyte.gz")
    ParsedName(prefix='gzip/emnist-letters', split='test', role='images')
    """
    *folders, file = re.split(r"[/\\]", name)
    file = base_name(file)
    found = _parse_words(_normalized(file).split("-"))
    if found is None or _is_hidden(name):
        return None
    prefix = file[: len("-".join(found.prefix))]
    if found.prefix and not prefix:
        return None
    splits = {*found.splits, *_normalized(prefix).split("-")} & SPLITS.keys()
    # The file name tells the split, or the folder nearest to it.
    for folder in reversed(folders):
        splits = splits or set(_normalized(folder).split("-")) & SPLITS.keys()
    if len({SPLITS[split] for split in splits}) > 1:
        return None
    places = [folder for folder in folders if not _is_common(folder)]
    split = SPLITS[splits.pop()] if splits else ""
    return ParsedName("/".join([*places, prefix] if prefix else places), split, found.role)


class _Words(NamedTuple):
    prefix: list[str]
    splits: list[str]
    role: str


def _parse_words(words: list[str]) -> _Words | None:
    """Parse the words of a name, such as my-letters-train-images-idx3-ubyte or images-train.idx3,
    from its end.
    """
    rest = list(words)
    splits = []
    while rest and _is_type(rest[-1]):
        rest.pop()
    if rest and rest[-1] in SPLITS:
        splits.append(rest.pop())
    if not rest or rest[-1] not in ROLE_WORDS:
        return None
    role = "labels" if rest.pop() in LABEL_WORDS else "images"
    if rest and rest[-1] in ("image", "images"):  # "images-labels" are the labels of images
        rest.pop()
    if rest and rest[-1] in SPLITS:
        splits.append(rest.pop())
    return _Words(rest, splits, role)


def _is_type(word: str) -> bool:
    return word in TYPE_WORDS or word.rstrip("0123456789") in NUMBERED_TYPE_WORDS


def _is_common(folder: str) -> bool:
    """Whether the name of a folder says nothing about the dataset: train, raw, data,
    train-images-idx3-ubyte.
    """
    return all(word in COMMON_WORDS or _is_type(word) for word in _normalized(folder).split("-"))


def _looks_like_idx(file: str) -> bool:
    """Whether a name is that of an IDX file, a copy of one, or of what has become of one."""
    words = _normalized(file).split("-")
    last = words[-1]
    if _parse_words(words) is not None:
        return True
    if last in OTHER_WORDS:
        return False
    pairs = list(itertools.pairwise(words))
    if any(
        role in ROLE_WORDS and kind[:3] == "idx" and kind[3:4].isdigit() for role, kind in pairs
    ):
        return True
    has_role = any(
        split in SPLITS and role.partition("(")[0] in ROLE_WORDS for split, role in pairs
    )
    is_copy = last.endswith(("copy", ")"))
    return has_role and (is_copy or last in LEFTOVER_WORDS)


def _is_hidden(name: str) -> bool:
    """Whether macOS made the file: `._train-images-idx3-ubyte`, `__MACOSX/…`."""
    return any(
        (part.startswith(".") and part.strip(".")) or part == "__MACOSX"
        for part in re.split(r"[/\\]", name)
    )


# By split, "" if names do not tell it, and by role: the members that may be meant.
Candidates = dict[str, dict[str, list[Member]]]


class FoundFiles:
    """The members of one place, by what their names say.

    Args:
        root: the folder that they are in, which is not part of their names.
    """

    def __init__(self, members: Sequence[Member], root: str = "") -> None:
        self._members = members
        self._place = root or (members[0].url or members[0].path if members else "")
        self._candidates: dict[str, Candidates] = {}  # by prefix
        self._unusable: list[
            tuple[str, Member]
        ] = []  # which look like IDX files, by their lower-case names
        for parsed, member in _parse_members(members, root):
            splits = self._candidates.setdefault(parsed.prefix, {})
            splits.setdefault(parsed.split, {}).setdefault(parsed.role, []).append(member)
        for member in members:
            name = _relative_name(member, root)
            if (
                parse_filename(name) is None
                and not _is_hidden(name)
                and _looks_like_idx(base_name(name))
            ):
                self._unusable.append((name.lower(), member))

    @property
    def prefixes(self) -> list[str]:
        """Which datasets there are, by the start of the names of their files."""
        return sorted(self._candidates)

    def splits(self, prefix: str | None = None) -> dict[str, SplitFiles]:
        """The images and the labels of each split of a dataset, "train" first.

        Raises:
            IdxError: there is not one such dataset, or a file that looks like an IDX file cannot be
                used.
        """
        chosen = self._choose_prefix(prefix)
        for name, member in self._unusable:
            if _may_have_prefix(name, (prefix or "").lower()):
                found = f"{member.title}: looks like an IDX file by its name, but cannot be used"
                way_out = "Move it away, or rename it as train-images-idx3-ubyte, or …-ubyte.gz"
                raise IdxError(f"{found}. {way_out}.")
        candidates = self._candidates[chosen]
        if "" in candidates and len(candidates) > 1:
            raise self._ambiguous()
        splits = {}
        for split in sorted(candidates, key=lambda split: SPLIT_ORDER.index(split) if split else 0):
            splits[split or "train"] = self._choose_files(candidates[split])
        return splits

    def _choose_prefix(self, prefix: str | None) -> str:
        if not self._candidates:
            raise self._ambiguous()
        if prefix in self._candidates:
            return str(prefix)
        wanted = (prefix or "").lower()
        same = [name for name in self.prefixes if name.lower() == wanted and prefix is not None]
        chosen = same or [name for name in self.prefixes if name.lower().startswith(wanted)]
        if len(chosen) == 1:
            return chosen[0]
        expected = "one dataset" if prefix is None else f"one that starts with {prefix!r}"
        found, example = (
            _listed(map(repr, self.prefixes)),
            next(filter(None, chosen or self.prefixes), ""),
        )
        choose = f"{self._place}: found {found}, expected {expected}. Choose one:"
        raise IdxError(
            f"{choose} prefix={json.dumps(example, ensure_ascii=False)}.",
            command_line=f"{choose} --prefix {shlex.quote(example)}.",
        )

    def _choose_files(self, candidates: dict[str, list[Member]]) -> SplitFiles:
        prefers_plain = _is_plain_preferred(candidates.values())
        chosen = {role: _choose(members, prefers_plain) for role, members in candidates.items()}
        if None in chosen.values():
            raise self._ambiguous()
        images, labels = chosen.get("images"), chosen.get("labels")
        if images is None:
            raise _unclear(f"{labels and labels.title}: found labels, but no images beside them.")
        return SplitFiles(images, labels)

    def _ambiguous(self) -> IdxError:
        listed = _listed(member.name for member in self._members)
        return _unclear(f"{self._place}: cannot tell which file is which: {listed}.")


def _may_have_prefix(name: str, prefix: str) -> bool:
    """Whether the name of a file, or a part of it from a folder on, starts with a prefix."""
    return f"/{name}".replace("\\", "/").find(f"/{prefix}") >= 0


def find_splits(
    members: Sequence[Member], prefix: str | None = None, root: str = ""
) -> dict[str, SplitFiles]:
    """Find the images and the labels of each split by their names, as `FoundFiles` does."""
    return FoundFiles(members, root).splits(prefix)


def _unclear(found: str) -> IdxError:
    return IdxError(f"{found} {NAME_THEM}", command_line=f"{found} {NAME_THEM_ALIKE}")


def split_files(members: Sequence[Member]) -> SplitFiles:
    """The files of one split, named by the user: images and labels by their names, else in this
    order.
    """
    if len(members) > 2:
        listed = _listed(member.name for member in members)
        raise _unclear(f"{listed}: found {len(members)} files, expected images and labels.")
    parsed = [parse_filename(base_name(member.name)) for member in members]
    if [name and name.role for name in parsed] == ["labels", "images"]:
        members = members[::-1]
    return SplitFiles(members[0], members[1] if len(members) == 2 else None)


def _parse_members(members: Sequence[Member], root: str) -> list[tuple[ParsedName, Member]]:
    """The members whose names are those of IDX files.

    A folder that all of them are in is no part of the prefixes.
    """
    names = [(parse_filename(_relative_name(member, root)), member) for member in members]
    parsed = [(name, member) for name, member in names if name]
    if len({name.prefix.rpartition("/")[0] for name, _ in parsed}) == 1:
        parsed = [
            (name._replace(prefix=name.prefix.rpartition("/")[2]), member)
            for name, member in parsed
        ]
    return parsed


def _relative_name(member: Member, root: str) -> str:
    """The name of a member, without the folder `root`. Names in an archive are relative already."""
    return (
        member.name.removeprefix(root).lstrip("/\\") if member.name == member.path else member.name
    )


def _is_compressed(member: Member) -> bool:
    return is_compressed_name(member.name)


def _is_plain_preferred(roles: Iterable[Sequence[Member]]) -> bool:
    """Whether plain files are preferred to compressed copies: not if only the compressed ones are
    complete.
    """
    forms = [{_is_compressed(member) for member in members} for members in roles]
    in_all = set.intersection(*forms)
    return in_all != {True}


def _choose(candidates: Sequence[Member], prefers_plain: bool) -> Member | None:
    """The member to read, of several with the same meaning; None if they are different files."""
    # Kaggle's MNIST has each file twice: raw, and in a folder of the file's own name.
    nested = [
        one
        for one in candidates
        if is_same_name(os.path.dirname(one.name), _normalized(base_name(one.name)))
    ]
    direct = [member for member in candidates if member not in nested] or nested
    # The archive, if there is one, and the name in it.
    places = {
        (member.path if member.name != member.path else "", _plain_name(member))
        for member in direct
    }
    if len(places) > 1:
        return None
    # In a tar, a later member replaces an earlier one.
    chosen = min(reversed(direct), key=lambda member: _is_compressed(member) == prefers_plain)
    if chosen.problem:
        raise IdxError(f"{chosen.title}: {chosen.problem}")
    return chosen


def _plain_name(member: Member) -> str:
    return strip_suffix(member.name)


def _listed(names: Iterable[str]) -> str:
    """Names for a message: not too many, and none too long."""
    shown = [name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…" for name in names]
    more = f" and {len(shown) - MAX_LISTED} more" if len(shown) > MAX_LISTED else ""
    return (", ".join(shown[:MAX_LISTED]) or "nothing") + more
