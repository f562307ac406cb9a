"""The Python code that loads what `write_idx` has written."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..folder import MAX_CLASSES
from ..idx import Header
from ..record_layout import Layout
from .idx_writer import WrittenFile

# Splits of these names are told by the names of their files.
TOLD_SPLITS = {"train", "validation", "test"}


class ClassRange(NamedTuple):
    """The classes in the labels of a split."""

    smallest: int
    largest: int


class WrittenSplit(NamedTuple):
    """The files of a split."""

    name: str
    images: WrittenFile
    labels: WrittenFile | None = None
    classes: ClassRange | None = None  # None without labels, or without records

    @property
    def files(self) -> list[WrittenFile]:
        return [self.images] if self.labels is None else [self.images, self.labels]

    @property
    def label_parts(self) -> int:
        """How many numbers a label has: none without labels."""
        return 0 if self.labels is None else math.prod(self.labels.header.record_shape)


class _Kind(NamedTuple):
    """What the splits that are loaded together have in common."""

    label_parts: int
    array: Header | None  # of images that are loaded as arrays, without their number; None: others


def loading_code(
    splits: Sequence[WrittenSplit],
    target: str,
    is_tar: bool,
    class_names: Sequence[str] | None = None,
) -> str:
    """The code that loads a dataset as `ds`, a `DatasetDict`.

    Splits that differ in what they hold, such as one without labels, are loaded one after another,
    since a dataset has the same columns in all splits.

    Args:
        target: the folder or tar that the splits are in, as the user names it.
        class_names: None if classes have no other names than their numbers.
    """
    groups: dict[_Kind, list[WrittenSplit]] = {}
    for split in splits:
        groups.setdefault(_kind_of(split), []).append(split)
    names_tell = {split.name for split in splits} <= TOLD_SPLITS
    imports: set[str] = set()
    calls: list[str] = []
    for kind, group in groups.items():
        if names_tell and len(groups) == 1:
            where = f"data_dir={_literal(target)}"
        elif is_tar:
            where = _data_files({split.name: _literal(target) for split in group})
        else:
            where = _files_in_folder(group, target)
        options = [where, *_options(kind, group, class_names, imports)]
        calls.append(f'load_dataset("idxfolder", {", ".join(options)})')
    lines = ["from mnist_idx import load_dataset"]
    if imports:
        lines.append(f"from datasets import {', '.join(sorted(imports))}")
    lines.append(f"ds = {calls[0]}")
    lines += [f"ds.update({call})" for call in calls[1:]]
    return "\n".join(lines)


def _kind_of(split: WrittenSplit) -> _Kind:
    header = split.images.header
    if Layout(header.record_shape, str(header.dtype)).is_picture:
        return _Kind(split.label_parts, None)
    return _Kind(split.label_parts, header._replace(shape=header.record_shape))


def _files_in_folder(splits: Sequence[WrittenSplit], target: str) -> str:
    """The arguments that name the files of each split in a folder."""
    files = {split.name: _literals([file.name for file in split.files]) for split in splits}
    return f"data_dir={_literal(target)}, {_data_files(files)}"


def _data_files(files: Mapping[str, str]) -> str:
    """The argument `data_files`, of code by the name of each split."""
    entries = [f"{_literal(name)}: {code}" for name, code in files.items()]
    return f"data_files={{{', '.join(entries)}}}"


def _literals(texts: Sequence[str]) -> str:
    """A list of strings in code."""
    return f"[{', '.join(map(_literal, texts))}]"


def _literal(text: str) -> str:
    """A string in code, in double quotes. Nothing in it is obeyed by a terminal.

    >>> print(_literal('a "b" \\n'))
    "a \\"b\\" \\n"
    """
    escaped = ""
    for char in text:
        if char in '"\\':
            escaped += f"\\{char}"
        elif char.isprintable():
            escaped += char
        else:
            escaped += char.encode("unicode_escape").decode("ascii")
    return f'"{escaped}"'


def _options(
    kind: _Kind,
    splits: Sequence[WrittenSplit],
    class_names: Sequence[str] | None,
    imports: set[str],
) -> list[str]:
    """The other arguments of a call. What they need is added to `imports`."""
    options = [] if kind.array is None else ["as_array=True"]
    if kind.label_parts == 0:
        return options
    num_classes = MAX_CLASSES if class_names is None else len(class_names)
    found = [split.classes for split in splits if split.classes is not None]
    if any(classes.smallest < 0 or classes.largest >= num_classes for classes in found):
        features = _features(kind, imports)
        options.append(f"features=Features({{{', '.join(features)}}})")
    elif class_names is not None:
        options.append(f"label_names={_literals(class_names)}")
    return options


def _features(kind: _Kind, imports: set[str]) -> list[str]:
    """The columns of a dataset whose labels are no classes, in code."""
    imports |= {"Features", "Value"}
    columns = [f'"image": {_image_feature(kind.array, imports)}', '"label": Value("int64")']
    if kind.label_parts > 1:
        imports.add("Sequence")
        details = f'Sequence(Value("int64"), length={kind.label_parts - 1})'
        columns.append(f'"label_details": {details}')
    return columns


def _image_feature(array: Header | None, imports: set[str]) -> str:
    if array is None:
        imports.add("Image")
        return "Image()"
    if len(array.shape) == 1:
        imports.add("Sequence")
        return f'Sequence(Value("{array.dtype}"), length={array.shape[0]})'
    name = f"Array{len(array.shape)}D"
    imports.add(name)
    return f'{name}({array.shape}, "{array.dtype}")'
