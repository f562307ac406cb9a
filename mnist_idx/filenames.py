"""Infer dataset, split and role (images or labels) from file names."""

import itertools
import json
import os
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from .compressions import SUFFIXES, is_compressed_name, strip_suffix
from .errors import IdxError
from .members import Member, SplitFiles
from .record_layout import NAME_THEM_ALIKE

SEPARATORS = re.compile(r"[/\\]")  # of a path, on any system
# The words of `datasets` for splits, in the order in which splits are listed, and that of MNIST.
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation", "t10k"),
}
SPLITS = {word: split for split, words in SPLIT_WORDS.items() for word in words}
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
    """What the name of an IDX file tells."""

    prefix: str  # start of the name, with the folders before it: which of several datasets
    split: str | None  # "train", "test" or "validation"; None if the name does not tell
    role: str  # "images" or "labels"


def base_name(name: str) -> str:
    """The file name without folders and without the suffix of a compression."""
    if "://" in name:
        # The first link of a chain is the file. What follows a question mark is not its name.
        name = name.partition("::")[0].partition("?")[0]
    return strip_suffix(SEPARATORS.split(name)[-1])


def _normalized(name: str) -> str:
    return re.sub(r"[._ ]", "-", name.lower())


def _words(name: str) -> list[str]:
    return _normalized(name).split("-")


def is_same_name(name: str, published: str) -> bool:
    """Whether a member has the name of a published file, in any spelling of its separators.

    >>> is_same_name("data/train-images.idx3-ubyte.gz", "train-images-idx3-ubyte")
    True
    """
    return _normalized(base_name(name)) == _normalized(published)


def parse_filename(name: str) -> ParsedName | None:
    """Parse the name of an IDX file; None if it is not one.

    >>> parse_filename("gzip/emnist-letters-test-images-idx3-ubyte.gz")
    ParsedName(prefix='gzip/emnist-letters', split='test', role='images')
    """
    *folders, file = SEPARATORS.split(name)
    file = base_name(file)
    parts = _parse_words(_words(file))
    if parts is None or _is_hidden(name):
        return None
    prefix = file[: len("-".join(parts.prefix))]
    if parts.prefix and not prefix:  # The name starts with a separator.
        return None
    splits = _find_splits([*parts.splits, *_words(prefix)], folders)
    if len(splits) > 1:
        return None
    prefixes = [folder for folder in folders if not _is_common(folder)]
    if prefix:
        prefixes.append(prefix)
    return ParsedName("/".join(prefixes), next(iter(splits), None), parts.role)


def _find_splits(words: Sequence[str], folders: Sequence[str]) -> set[str]:
    """The splits that the words of a file name tell, or else those of the nearest folder."""
    words_by_nearness = [words, *map(_words, reversed(folders))]
    for candidates in words_by_nearness:
        splits = {SPLITS[word] for word in candidates if word in SPLITS}
        if splits:
            return splits
    return set()


class _NameParts(NamedTuple):
    """The words of a file name, by what they stand for."""

    prefix: list[str]
    splits: list[str]
    role: str


def _parse_words(words: Sequence[str]) -> _NameParts | None:
    """Parse the words of a name from its end; None if they do not tell a role.

    They are, for example, those of my-letters-train-images-idx3-ubyte or images-train.idx3.
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
    return _NameParts(rest, splits, role)


def _is_type(word: str) -> bool:
    return word in TYPE_WORDS or word.rstrip("0123456789") in NUMBERED_TYPE_WORDS


def _is_common(folder: str) -> bool:
    """Whether the name of a folder says nothing about the dataset, such as "train" or "raw"."""
    return all(word in COMMON_WORDS or _is_type(word) for word in _words(folder))


def _looks_like_idx(file: str) -> bool:
    """Whether a name is that of an IDX file, a copy of one, or of what has become of one."""
    words = _words(file)
    if _parse_words(words) is not None:
        return True
    last = words[-1]
    if last in OTHER_WORDS:
        return False
    pairs = list(itertools.pairwise(words))
    for role, kind in pairs:
        if role in ROLE_WORDS and kind.startswith("idx") and kind[3:4].isdigit():
            return True
    is_copy = last.endswith(("copy", ")"))
    if not is_copy and last not in LEFTOVER_WORDS:
        return False
    return any(split in SPLITS and role.partition("(")[0] in ROLE_WORDS for split, role in pairs)


def _is_hidden(name: str) -> bool:
    """Whether a file is hidden, as those that macOS adds: `._train-images`, `__MACOSX/…`."""
    for part in SEPARATORS.split(name):
        is_dotted = part.startswith(".") and part.strip(".") != ""
        if is_dotted or part == "__MACOSX":
            return True
    return False


# By split, None if names do not tell it, and by role: the members that may be meant.
Candidates = dict[str | None, dict[str, list[Member]]]


class FoundFiles:
    """The members of one location, by what their names say.

    Args:
        root: the folder that they are in, which is not part of their names.
    """

    def __init__(self, members: Sequence[Member], root: str = "") -> None:
        self._members = members
        self._title = root  # what errors call the location
        if not root and members:
            self._title = members[0].location
        self._candidates: dict[str, Candidates] = {}  # by prefix
        for parsed, member in _parse_members(members, root):
            splits = self._candidates.setdefault(parsed.prefix, {})
            splits.setdefault(parsed.split, {}).setdefault(parsed.role, []).append(member)
        # Members that look like IDX files, but whose names do not tell what they are.
        self._unusable = [member for member in members if _is_unusable(member, root)]
        self._root = root

    @property
    def prefixes(self) -> list[str]:
        """Which datasets there are, by the start of the names of their files."""
        return sorted(self._candidates)

    def splits(
        self, prefix: str | None = None, wanted: Collection[str] | None = None
    ) -> dict[str, SplitFiles]:
        """The images and the labels of each split of a dataset, "train" first.

        Args:
            wanted: the splits to look at; None for all.

        Raises:
            IdxError: there is not one such dataset, or a file that looks like an IDX file cannot be
                used.
        """
        candidates = self._candidates[self._choose_prefix(prefix)]
        self._refuse_unusable(prefix or "")
        if None in candidates:
            if len(candidates) > 1:
                raise self._ambiguous()
            return {"train": self._choose_files(candidates[None])}
        splits = {}
        for split in SPLIT_WORDS:
            if split in candidates and (wanted is None or split in wanted):
                splits[split] = self._choose_files(candidates[split])
        return splits

    def _choose_prefix(self, prefix: str | None) -> str:
        """The prefix of the dataset that the user means."""
        if not self._candidates:
            raise self._ambiguous()
        if prefix in self._candidates:
            return str(prefix)
        matching = self._matching_prefixes(prefix)
        if len(matching) == 1:
            return matching[0]
        expected = "one dataset" if prefix is None else f"one that starts with {prefix!r}"
        found = _listed(map(repr, self.prefixes))
        examples = [name for name in matching or self.prefixes if name]
        example = examples[0] if examples else ""
        choose = f"{self._title}: found {found}, expected {expected}. Choose one:"
        raise IdxError(
            f"{choose} prefix={json.dumps(example, ensure_ascii=False)}.",
            command_line=f"{choose} --prefix {shlex.quote(example)}.",
        )

    def _matching_prefixes(self, prefix: str | None) -> list[str]:
        """The prefixes that are `prefix` but for their case, or else those that start with it."""
        if prefix is None:
            return self.prefixes
        wanted = prefix.lower()
        same = [name for name in self.prefixes if name.lower() == wanted]
        if same:
            return same
        return [name for name in self.prefixes if name.lower().startswith(wanted)]

    def _refuse_unusable(self, prefix: str) -> None:
        """Refuse a file that seems to belong to the dataset, but cannot be used."""
        for member in self._unusable:
            if _may_have_prefix(_relative_name(member, self._root).lower(), prefix.lower()):
                found = f"{member.title}: looks like an IDX file by its name, but cannot be used"
                way_out = "Move it away, or rename it as train-images-idx3-ubyte, or …-ubyte.gz"
                raise IdxError(f"{found}. {way_out}.")

    def _choose_files(self, candidates: dict[str, list[Member]]) -> SplitFiles:
        """The files of a split, of those that may be meant for each role."""
        prefers_plain = _prefers_plain(candidates.values())
        chosen = {role: _choose(members, prefers_plain) for role, members in candidates.items()}
        files = {role: member for role, member in chosen.items() if member is not None}
        if len(files) < len(chosen):
            raise self._ambiguous()
        if "images" not in files:
            raise _unclear(f"{files['labels'].title}: found labels, but no images beside them.")
        return SplitFiles(files["images"], files.get("labels"))

    def _ambiguous(self) -> IdxError:
        listed = _listed(member.name for member in self._members)
        return _unclear(f"{self._title}: cannot tell which file is which: {listed}.")


def _may_have_prefix(name: str, prefix: str) -> bool:
    """Whether the name of a file, or a part of it from a folder on, starts with a prefix."""
    return f"/{name}".replace("\\", "/").find(f"/{prefix}") >= 0


def find_splits(
    members: Sequence[Member],
    prefix: str | None = None,
    root: str = "",
    wanted: Collection[str] | None = None,
) -> dict[str, SplitFiles]:
    """Find the images and the labels of each split by their names, as `FoundFiles` does."""
    return FoundFiles(members, root).splits(prefix, wanted)


def _unclear(found: str) -> IdxError:
    """The error of names that do not tell what the files are."""
    return IdxError(f"{found} {NAME_THEM}", command_line=f"{found} {NAME_THEM_ALIKE}")


def split_files(members: Sequence[Member]) -> SplitFiles:
    """The files of one split, named by the user.

    Their names tell images from labels. If they do not, images come first.
    """
    if len(members) > 2:
        listed = _listed(member.name for member in members)
        raise _unclear(f"{listed}: found {len(members)} files, expected images and labels.")
    roles = [_role_by_name(member) for member in members]
    if roles == ["labels", "images"]:
        members = members[::-1]
    return SplitFiles(members[0], members[1] if len(members) == 2 else None)


def _role_by_name(member: Member) -> str | None:
    parsed = parse_filename(base_name(member.name))
    return None if parsed is None else parsed.role


class _ParsedMember(NamedTuple):
    """A member whose name is that of an IDX file."""

    parsed: ParsedName
    member: Member


def _parse_members(members: Sequence[Member], root: str) -> list[_ParsedMember]:
    """The members whose names are those of IDX files.

    A folder that all of them are in is no part of the prefixes.
    """
    found = []
    for member in members:
        parsed = parse_filename(_relative_name(member, root))
        if parsed is not None:
            found.append(_ParsedMember(parsed, member))
    folders = {parsed.prefix.rpartition("/")[0] for parsed, _ in found}
    if len(folders) != 1:
        return found
    without_folder = []
    for parsed, member in found:
        prefix = parsed.prefix.rpartition("/")[2]
        without_folder.append(_ParsedMember(parsed._replace(prefix=prefix), member))
    return without_folder


def _is_unusable(member: Member, root: str) -> bool:
    """Whether a member looks like an IDX file, but its name does not tell what it is."""
    name = _relative_name(member, root)
    if parse_filename(name) is not None or _is_hidden(name):
        return False
    return _looks_like_idx(base_name(name))


def _relative_name(member: Member, root: str) -> str:
    """The name of a member, without the folder `root`. Names in an archive are relative already."""
    if member.name != member.path:
        return member.name
    return member.name.removeprefix(root).lstrip("/\\")


def _is_compressed(member: Member) -> bool:
    return is_compressed_name(member.name)


def _prefers_plain(roles: Collection[Sequence[Member]]) -> bool:
    """Whether to read plain files rather than compressed copies of them.

    Not if only the compressed ones are there for each role.
    """
    has_plain = [not all(map(_is_compressed, members)) for members in roles]
    has_compressed = [any(map(_is_compressed, members)) for members in roles]
    return all(has_plain) or not all(has_compressed)


def _choose(candidates: Sequence[Member], prefers_plain: bool) -> Member | None:
    """The member to read, of several with the same meaning; None if they are different files."""
    # Kaggle's MNIST has each file twice: raw, and in a folder of the file's own name.
    nested = [member for member in candidates if _is_in_namesake(member)]
    direct = [member for member in candidates if member not in nested]
    copies = direct or nested
    if len({_uncompressed(member) for member in copies}) > 1:
        return None
    wanted = [member for member in copies if _is_compressed(member) != prefers_plain]
    # In a tar, a later member replaces an earlier one.
    chosen = (wanted or copies)[-1]
    if chosen.problem:
        raise IdxError(f"{chosen.title}: {chosen.problem}")
    return chosen


def _is_in_namesake(member: Member) -> bool:
    """Whether a member is in a folder of its own name."""
    return is_same_name(os.path.dirname(member.name), base_name(member.name))


def _uncompressed(member: Member) -> tuple[str | None, str]:
    """The archive of a member, None if there is none, and its name without compression."""
    archive = None if member.name == member.path else member.path
    return archive, strip_suffix(member.name)


def _listed(names: Iterable[str]) -> str:
    """Names for a message: not too many, and none too long."""
    shown = [name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…" for name in names]
    listed = ", ".join(shown[:MAX_LISTED]) or "nothing"
    if len(shown) > MAX_LISTED:
        listed += f" and {len(shown) - MAX_LISTED} more"
    return listed
