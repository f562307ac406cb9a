"""Write records as PNG files in class folders, as `imagefolder` of `datasets` loads them.

```text
digits/README.md             how to load it
digits/train/5/00000.png     the first record, of class "5"
digits/train/0/00001.png
```

Where class folders alone cannot tell everything, there is also `digits/train/metadata.jsonl`, from
which `imagefolder` takes class numbers and the order of records: names of classes that are no names
of folders, such as "T-shirt/top", and labels of several parts.
"""

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

from ..errors import IdxError
from ..png import SIGNATURE, encode_png
from ..record_layout import Layout
from ..records import Batch
from .exported import ExportedSplits, progress_bar
from .progress import Advance
from .staged import resolve_target, staged

README = "README.md"
README_START = "# Pictures of IDX records\n"
README_TEXT = """
Written by `mnist-idx export`. A file has the number of its record, from 0 on. The folder loads with

```python
{code}
```
"""
# A README that nobody has changed.
README_FORM = re.compile(
    re.escape(README_START + README_TEXT).replace(re.escape("{code}"), r"[^\n]*")
)
METADATA = "metadata.jsonl"
METADATA_START = b'{"file_name": '
# What an earlier export has beside its README.
OWN_FILE = re.compile(r"[^/]+/(?:[^/]+/)?[0-9]+\.png|[^/]+/metadata\.jsonl")

# Names of folders on every system.
SAFE_NAME = re.compile(r"[^\W_](?:[\w ,.+=()&'@!-]*[\w)+=&'@!-])?")
MAX_NAME_BYTES = 200
RESERVED = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
MAX_SHORT_NAME = 40  # letters

# What `imagefolder` does with names: these splits it finds by itself, and it takes a folder with
# one of these words in its name for a split.
KNOWN_SPLITS = {"train", "validation", "test"}
SPLIT_WORD = re.compile(
    r"(?:^|[-._ 0-9])"
    r"(?:train|training|validation|valid|dev|val|test|testing|eval|evaluation)"
    r"(?:[-._ 0-9]|$)",
    re.IGNORECASE,
)
# What it takes for a pattern, or for a chain of URLs, in the path of a folder.
PATTERN = re.compile(r"[*?\[\]]|::")


def write_image_folder(
    splits: ExportedSplits, target: str | os.PathLike[str], overwrite: bool
) -> str:
    """Write pictures to a folder, which appears whole or not at all. Returns code that loads it.

    One batch of records is in memory at a time.

    Args:
        splits: opened with `as_array=False`, so that their records are pictures.
        overwrite: replace an earlier export. A folder that holds anything else is never replaced,
            nor is a `README.md` that somebody has changed.

    Raises:
        IdxError: `imagefolder` could not load the result, or the folder cannot be written.
    """
    check_no_pattern(target)
    _check_splits(splits)
    arrangement = arrange(splits.layout)
    found_classes: dict[str, set[int]] = {}  # by split
    is_own = EarlierExport()
    with (
        staged(target, overwrite, is_own, can_move=False) as folder,
        progress_bar(splits) as advance,
    ):
        folder.mkdir()
        for split, size in splits.sizes.items():
            digits = len(str(size - 1))
            with _SplitWriter(folder / split, arrangement, digits) as writer:
                _write_batches(splits.batches(split), writer, advance)
            found_classes[split] = writer.found_classes
        code = load_code(target, arrangement, found_classes)
        text = README_START + README_TEXT.format(code=code)
        (folder / README).write_text(text, encoding="utf-8", newline="\n")
    return code


def _write_batches(batches: Iterable[Batch], writer: "_SplitWriter", advance: Advance) -> None:
    for batch in batches:
        writer.write(batch)
        advance(len(batch.images))


class EarlierExport:
    """Tells whether a file in a folder is from an earlier export: by its name and its first bytes.

    The README of each folder, without which nothing in it is, is read once.
    """

    def __init__(self) -> None:
        self._has_readme: dict[Path, bool] = {}

    def __call__(self, folder: Path, name: str) -> bool:
        if folder not in self._has_readme:
            self._has_readme[folder] = _starts_with(folder / README, README_START.encode())
        if not self._has_readme[folder]:
            return False
        if name == README:
            return _is_as_written(folder / README)
        if OWN_FILE.fullmatch(name) is None:
            return False
        start = METADATA_START if name.endswith(METADATA) else SIGNATURE
        return _starts_with(folder / name, start)


def _is_as_written(readme: Path) -> bool:
    """Whether nobody has changed a README."""
    try:
        return README_FORM.fullmatch(readme.read_text(encoding="utf-8")) is not None
    except UnicodeDecodeError:
        return False


def _starts_with(path: Path, start: bytes) -> bool:
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return file.read(len(start)) == start


# What cannot be a folder


def check_no_pattern(target: str | os.PathLike[str]) -> None:
    """Refuse a folder that `load_dataset` would take for a pattern of paths."""
    path = resolve_target(target)
    found = PATTERN.search(str(path))
    if found is not None:
        reason = f"load_dataset takes {found[0]} in a path for a pattern"
        raise IdxError(f"{path}: {reason}. Choose another target.")


def _check_splits(splits: ExportedSplits) -> None:
    """Refuse splits that cannot be folders of pictures."""
    way_out = "Write arrays: mnist-idx export SOURCE arrays.npz --as npz."
    known: set[str] = set()
    for split, size in splits.sizes.items():
        title = f"{splits.title(split)}: the split {split!r}"
        if size == 0:
            raise IdxError(f"{title} has no records, and imagefolder loads no empty one. {way_out}")
        if not is_safe(split):
            raise IdxError(f"{title} cannot be the name of a folder everywhere. {way_out}")
        if split.casefold() in known:
            raise IdxError(f"{title} differs from another one in case only. {way_out}")
        known.add(split.casefold())


def is_safe(name: str) -> bool:
    """Whether a name can be that of a folder, on every system and for `imagefolder`.

    >>> [is_safe(name) for name in ("shoe", "N/A", "..", "", "shoe.", ".shoe", "__shoe", "CON")]
    [True, False, False, False, False, False, False, False]
    """
    if len(name.encode("utf-8", "replace")) > MAX_NAME_BYTES:
        return False
    return SAFE_NAME.fullmatch(name) is not None and RESERVED.fullmatch(name) is None


# Where records go


class Arrangement(NamedTuple):
    """In which folder the records of each class are, and what metadata tells about them."""

    class_names: tuple[str, ...] | None  # None without labels
    folders: tuple[str, ...]  # one for each class
    has_metadata: bool
    num_details: int  # parts of a label behind the class

    @property
    def has_numbered_classes(self) -> bool:
        """Whether the names of the classes are their numbers."""
        names = self.class_names or ()
        return names == tuple(str(number) for number in range(len(names)))


def arrange(layout: Layout) -> Arrangement:
    """Choose the folders of the classes.

    Folders have the names of the classes. If any of those cannot be a folder, or if two differ in
    case only, all have their number in front, and metadata tells the class.

    >>> arrange(Layout((28, 28), "uint8", ("cat", "N/A"))).folders
    ('0_cat', '1_N_A')
    """
    names = layout.class_names
    if names is None:
        return Arrangement(None, (), has_metadata=False, num_details=0)
    num_details = layout.label_parts - 1
    if _are_safe(names):
        return Arrangement(names, names, num_details > 0, num_details)
    digits = len(str(len(names) - 1))
    folders = tuple(f"{number:0{digits}}_{shorten(name)}" for number, name in enumerate(names))
    return Arrangement(names, folders, True, num_details)


def _are_safe(names: Sequence[str]) -> bool:
    different = {name.casefold() for name in names}
    return len(different) == len(names) and all(map(is_safe, names))


def shorten(name: str) -> str:
    """What a name of a folder can have of the name of a class, which may be nothing."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)[:MAX_SHORT_NAME].strip("_")


class _SplitWriter:
    """Writes the pictures of one split, and their metadata."""

    def __init__(self, folder: Path, arrangement: Arrangement, digits: int) -> None:
        self.found_classes: set[int] = set()
        self._folder = folder
        self._arrangement = arrangement
        self._digits = digits
        self._num_written = 0
        self._metadata: TextIO | None = None
        self._open_files = ExitStack()

    def __enter__(self) -> "_SplitWriter":
        self._folder.mkdir()
        if self._arrangement.has_metadata:
            file = open(self._folder / METADATA, "w", encoding="utf-8", newline="\n")
            self._metadata = self._open_files.enter_context(file)
        return self

    def __exit__(self, *error: object) -> None:
        self._open_files.close()

    def write(self, batch: Batch) -> None:
        if len(batch.images) == 0:
            return
        if batch.labels is None:
            self._write_unlabeled(batch.images)
        else:
            self._write_labeled(batch.images, batch.labels)

    def _write_unlabeled(self, images: np.ndarray) -> None:
        for content in encode_png(images):
            (self._folder / self._next_name()).write_bytes(content)

    def _write_labeled(self, images: np.ndarray, labels: np.ndarray) -> None:
        parts = labels.reshape(len(labels), -1).tolist()
        for content, label in zip(encode_png(images), parts, strict=True):
            number, *details = label
            folder = self._arrangement.folders[number]
            if number not in self.found_classes:
                (self._folder / folder).mkdir()
                self.found_classes.add(number)
            name = f"{folder}/{self._next_name()}"
            (self._folder / name).write_bytes(content)
            self._describe(name, number, details)

    def _next_name(self) -> str:
        name = f"{self._num_written:0{self._digits}}.png"
        self._num_written += 1
        return name

    def _describe(self, name: str, number: int, details: list[int]) -> None:
        """Write the metadata of a picture."""
        if self._metadata is None:
            return
        # Class numbers: some names, such as dates, would be taken for something else.
        row: dict[str, object] = {"file_name": name, "label": number}
        if details:
            row["label_details"] = details
        self._metadata.write(json.dumps(row) + "\n")


# How to load it


def load_code(
    target: str | os.PathLike[str],
    arrangement: Arrangement,
    found_classes: Mapping[str, set[int]],
) -> str:
    """Python code, in one line, that loads what was written.

    Args:
        found_classes: of each split; empty without labels.
    """
    path = os.path.expanduser(os.fspath(target)) or "."
    arguments = ['"imagefolder"', _location(path, arrangement, list(found_classes))]
    imported = ["load_dataset"]
    if arrangement.class_names is None:
        # The folders of splits would be taken for classes.
        arguments.append("drop_labels=True")
    elif arrangement.has_metadata or not _finds_classes(arrangement, found_classes):
        imported = ["ClassLabel", "Features", "Image", "load_dataset"]
        if arrangement.num_details > 0:
            imported += ["Sequence", "Value"]
        arguments.append(f"features={_features(arrangement)}")
        if not arrangement.has_metadata:
            arguments.append("drop_labels=False")
    names = ", ".join(imported)
    return f"from datasets import {names}; ds = load_dataset({', '.join(arguments)})"


def _location(path: str, arrangement: Arrangement, splits: Sequence[str]) -> str:
    """The argument that says where the files of each split are."""
    looks_like_split = any(SPLIT_WORD.search(name) for name in arrangement.folders)
    if set(splits) <= KNOWN_SPLITS and not looks_like_split:
        return f"data_dir={quoted(path)}"
    patterns: list[str] = []
    for split in splits:
        pattern = os.path.join(path, split, "**")
        patterns.append(f"{quoted(split)}: {quoted(pattern)}")
    return f"data_files={{{', '.join(patterns)}}}"


def _finds_classes(arrangement: Arrangement, found_classes: Mapping[str, set[int]]) -> bool:
    """Whether `imagefolder` finds all classes by itself, and gives them the same numbers."""
    names = arrangement.class_names or ()
    if len(names) < 2 or list(names) != sorted(names):
        return False
    return all(len(found) == len(names) for found in found_classes.values())


def _features(arrangement: Arrangement) -> str:
    """Code of the features of the dataset."""
    names = arrangement.class_names or ()
    if arrangement.has_numbered_classes:
        classes = f"num_classes={len(names)}"
    else:
        classes = f"names=[{', '.join(map(quoted, names))}]"
    columns = ['"image": Image()', f'"label": ClassLabel({classes})']
    if arrangement.num_details > 0:
        details = f'Sequence(Value("int64"), length={arrangement.num_details})'
        columns.append(f'"label_details": {details}')
    return f"Features({{{', '.join(columns)}}})"


def quoted(text: str) -> str:
    """A text as Python code, in double quotes if that is plain.

    >>> print(quoted("a"), quoted("a's"), quoted("\\n"))
    "a" "a's" "\\n"
    """
    shown = repr(text)
    is_plain = '"' not in text and "'" not in text
    return f'"{shown[1:-1]}"' if is_plain else shown
