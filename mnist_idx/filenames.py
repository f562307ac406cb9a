"""What the name of a file says: which dataset, which split, images or labels.

Names only tell what content cannot: see `matching`.
"""

import mimetypes
import re
from collections.abc import Sequence
from typing import NamedTuple

from .compressions import strip_suffix

SEPARATORS = re.compile(r"[/\\]")  # of a path, on any system
# The words of `datasets` for splits, in the order in which splits are listed, and that of MNIST.
SPLIT_WORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "dev", "val"),
    "test": ("test", "testing", "eval", "evaluation", "t10k"),
}
SPLITS = {word: split for split, words in SPLIT_WORDS.items() for word in words}

IMAGES = "images"
LABELS = "labels"
# What says whether a file holds images or labels. Weak words mean something else, too.
STRONG_ROLES = {
    "image": IMAGES,
    "images": IMAGES,
    "img": IMAGES,
    "imgs": IMAGES,
    "label": LABELS,
    "labels": LABELS,
    "lbl": LABELS,
    "lbls": LABELS,
    "target": LABELS,
    "targets": LABELS,
}
WEAK_ROLES = {"x": IMAGES, "y": LABELS, "class": LABELS, "classes": LABELS}
IMAGE_NOUNS = {"image", "images", "img"}  # "image-labels" are the labels of images
# Endings that say nothing but "these are bytes".
TYPE_WORDS = {"ubyte", "byte", "short", "long", "double", "bin", "dat", "raw", "data"}
NUMBERED_TYPE_WORDS = {"idx", "int", "uint", "float"}  # idx3, int32
# Folders of these words say nothing about the dataset.
COMMON_WORDS = {"", "data", "raw", "rawdata", "traindata", "testdata", "archive", "mnt"}
COMMON_WORDS |= {*SPLITS, *STRONG_ROLES, *TYPE_WORDS}
# What downloads and editors put behind the name of a file that they leave behind.
LEFTOVER_MARK = re.compile(r"\.(part|partial|tmp|bak|crdownload|download)$|~$", re.IGNORECASE)
# Last words of what stands beside an IDX file, and is none, whatever it contains.
OTHER_WORDS = {"md5", "asc", "sig", "md", "jsonl", "yml", "yaml", "log", "toml", "lock", "cfg"}
OTHER_WORDS |= {f"sha{bits}{end}" for bits in (1, 224, 256, 384, 512) for end in ("", "sum")}
OTHER_WORDS |= {"npy", "npz", "parquet", "arrow", "h5", "hdf5", "pkl", "pickle", "mat", "pt"}
OTHER_WORDS |= {"pth", "ipynb", "ini", "webp"}
OTHER_KINDS = ("image/", "text/", "audio/", "video/", "font/")  # of `mimetypes`
OTHER_TYPES = {"application/json", "application/pdf", "application/javascript"}
# Not `mimetypes.guess_type`, which knows other types on each system.
KNOWN_TYPES = mimetypes.MimeTypes()
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tgz", ".tbz2", ".tbz", ".txz", ".tzst", ".taz", ".tlz")
# Compressions and archives that are not read, so that content says what to do with them.
UNREAD_SUFFIXES = (".zst", ".zstd", ".7z", ".rar", ".lz4", ".lz", ".lzma", ".z", ".br")

WORD = re.compile(r"[^-._ ]+")
COPY_MARK = re.compile(r"(\(\d{1,4}\)|\bcopy( \d{1,4})?)$", re.IGNORECASE)
SPLIT_AND_ROLE = re.compile(
    rf"({'|'.join(SPLITS)})({'|'.join([*STRONG_ROLES, 'x', 'y', 'data'])})", re.IGNORECASE
)
ROLE_AND_SPLIT = re.compile(
    rf"({'|'.join([*STRONG_ROLES, 'x', 'y'])})({'|'.join(SPLITS)})", re.IGNORECASE
)


class ParsedName(NamedTuple):
    """What the name of a file tells. It need not be the name of an IDX file."""

    dataset: str  # what is left of the name, with the folders before it; often ""
    split: str | None  # "train", "test" or "validation"; None if the name does not tell
    role: str | None  # "images" or "labels"; None if the name does not tell
    claims_idx: bool  # whether the name says that the file is an IDX file
    is_leftover: bool = False  # whether it is what a download or an editor leaves behind
    says_all: bool = False  # whether the name says role and format, as train-images-idx3-ubyte


def base_name(name: str) -> str:
    """The file name without folders and without the suffix of a compression."""
    if "://" in name:
        name = name.partition("::")[0]  # the first link of a chain is the file
        name = name.partition("?")[0]
    return strip_suffix(SEPARATORS.split(name)[-1])


def is_same_name(name: str, published: str) -> bool:
    """Whether a member has the name of a published file, in any spelling of its separators.

    >>> is_same_name("data/train-images.idx3-ubyte.gz", "train-images-idx3-ubyte")
    True
    """
    return _normalized(base_name(name)) == _normalized(published)


def is_hidden(name: str) -> bool:
    """Whether a file is hidden, as those that macOS adds: `._train-images`, `__MACOSX/…`."""
    for part in SEPARATORS.split(name):
        is_dotted = part.startswith(".") and part.strip(".") != ""
        if is_dotted or part == "__MACOSX":
            return True
    return False


def is_of_another_kind(name: str) -> bool:
    """Whether a name says that a file is no IDX file: a picture, a text, a table, a checksum.

    >>> is_of_another_kind("photos/train-images.png"), is_of_another_kind("train-images.bin")
    (True, False)
    """
    file = SEPARATORS.split(name)[-1].lower()
    if file.rpartition(".")[2] in OTHER_WORDS and "." in file:
        return True
    kind = KNOWN_TYPES.guess_type(strip_suffix(file).replace(":", "-"))[0]
    return kind is not None and (kind.startswith(OTHER_KINDS) or kind in OTHER_TYPES)


def strip_archive_suffix(name: str) -> str:
    """The name of an archive without what says that it is one.

    >>> strip_archive_suffix("digits/train.tar.gz"), strip_archive_suffix("data.zip")
    ('digits/train', 'data')
    """
    plain = strip_suffix(name)
    for suffix in ARCHIVE_SUFFIXES:
        if plain.lower().endswith(suffix):
            return plain[: -len(suffix)]
    return plain


def parse_filename(name: str) -> ParsedName:
    """What the name of a file tells, relative to the folder or archive that it is in.

    >>> parse_filename("gzip/emnist-letters-test-images-idx3-ubyte.gz")[:3]
    ('gzip/emnist-letters', 'test', 'images')
    >>> parse_filename("dev-kit-train-lbl.bin")[:3]
    ('dev-kit', 'train', 'labels')
    """
    *folders, file = SEPARATORS.split(name)
    without_leftover = LEFTOVER_MARK.sub("", file)
    words = _Words(_without_copy_mark(without_leftover))
    names_format = words.drop_types()
    role = words.take_role()
    split = words.take_split(near=role.position)
    kept_folders = []
    for folder in reversed(folders):
        if is_same_name(folder, base_name(file)):  # Kaggle puts each file into such a folder
            continue
        folder_words = _Words(folder)
        is_common = folder_words.are_common()
        if split is None:
            split = folder_words.take_split(near=None)
        if not is_common:
            kept_folders.append(folder_words.text())
    dataset = "/".join(part for part in [*reversed(kept_folders), words.text()] if part)
    return ParsedName(
        dataset,
        split,
        role.name,
        claims_idx=names_format or role.is_strong,
        is_leftover=without_leftover != file,
        says_all=names_format and role.is_strong,
    )


def split_of_word(word: str) -> str:
    """The split that a word of a user means: "Testing" is "test"."""
    return SPLITS.get(word.lower(), word)


def word_in_files(split: str) -> str:
    """What the files of a split are called: programs that read MNIST look for "t10k"."""
    return "t10k" if split == "test" else split


def _normalized(name: str) -> str:
    return re.sub(r"[._ ]", "-", name.lower())


def _without_copy_mark(file: str) -> str:
    """A file name without its suffixes, and without what marks a copy: `images (1).gz`."""
    plain = strip_suffix(_strip_copy_mark(file))
    for suffix in (*ARCHIVE_SUFFIXES, *UNREAD_SUFFIXES):
        if plain.lower().endswith(suffix):
            plain = plain[: -len(suffix)]
    return _strip_copy_mark(plain)


def _strip_copy_mark(file: str) -> str:
    match = COPY_MARK.search(file)
    return file if match is None else file[: match.start()].rstrip("-_ ")


class _Role(NamedTuple):
    """The word of a name that says whether a file holds images or labels."""

    name: str | None = None
    position: int | None = None  # among the words that are left
    is_strong: bool = False


class _Word(NamedTuple):
    """A word of a name."""

    separator: str  # what stands before it
    text: str

    @property
    def key(self) -> str:
        return self.text.lower()


class _Words:
    """The words of a name. Those that have been understood are taken out."""

    def __init__(self, name: str) -> None:
        self._words: list[_Word] = []
        end = 0
        for match in WORD.finditer(name):
            separator = name[end : match.start()]
            end = match.end()
            for part in _divide(match[0]):
                self._words.append(_Word(separator, part))
                separator = ""

    def text(self) -> str:
        """The words that are left, as they were written."""
        joined = ""
        for word in self._words:
            if joined:
                joined += word.separator or "-"
            joined += word.text
        return joined

    def are_common(self) -> bool:
        """Whether the words say nothing about a dataset, such as "train" or "raw"."""
        return all(word.key in COMMON_WORDS or _is_numbered_type(word.key) for word in self._words)

    def drop_types(self) -> bool:
        """Take out the words for the type of the elements. Whether one says "IDX" is returned."""
        names_format = any(_claims_idx(word.key) for word in self._words)
        while self._words and _is_type(self._words[-1].key):
            self._words.pop()
        self._words = [word for word in self._words if not _claims_idx(word.key)]
        return names_format

    def take_role(self) -> _Role:
        """Take out the last word that says images or labels; a strong one rather than a weak."""
        for roles in (STRONG_ROLES, WEAK_ROLES):
            for position in reversed(range(len(self._words))):
                name = roles.get(self._words[position].key)
                if name is not None:
                    del self._words[position]
                    position = self._drop_noun(name, position)
                    return _Role(name, position, roles is STRONG_ROLES)
        return _Role()

    def _drop_noun(self, role: str, position: int) -> int:
        """Take out the "image" before "labels". Returns where the role stands then."""
        before = position - 1
        if role == LABELS and before >= 0 and self._words[before].key in IMAGE_NOUNS:
            del self._words[before]
            return before
        return position

    def take_split(self, near: int | None) -> str | None:
        """Take out the word for a split that is nearest to a position, or the last one."""
        found = [number for number, word in enumerate(self._words) if word.key in SPLITS]
        if not found:
            return None
        if near is None:
            nearest = found[-1]
        else:
            # Of two words around the role, the one before it.
            nearest = min(found, key=lambda number: _distance(number, near))
        return SPLITS[self._words.pop(nearest).key]


def _distance(number: int, role: int) -> tuple[int, bool]:
    """How far a word is from where the role was taken out; a word before it is the nearer one."""
    is_behind = number >= role
    return (number - role + 1 if is_behind else role - number), is_behind


def _divide(word: str) -> Sequence[str]:
    """A word as its parts: trainlabels, xtest."""
    for pattern in (SPLIT_AND_ROLE, ROLE_AND_SPLIT):
        match = pattern.fullmatch(word)
        if match is not None:
            return match.groups()
    return [word]


def _claims_idx(word: str) -> bool:
    return word == "ubyte" or word.rstrip("0123456789") == "idx"


def _is_numbered_type(word: str) -> bool:
    return word.rstrip("0123456789") in NUMBERED_TYPE_WORDS


def _is_type(word: str) -> bool:
    return word in TYPE_WORDS or _is_numbered_type(word)
