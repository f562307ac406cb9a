"""Write an image dataset as IDX files: a folder of them, or a tar."""

import os
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from ..errors import IdxError, wrong_option
from ..idx import MAX_RECORD_BYTES, Header
from .dataset_types import is_class_label, is_dataset
from .idx_writer import IdxWriter, WrittenFile, is_written, write_file
from .input_records import Records, read_records
from .pictures import Conversion
from .staged import resolve_target, staged

if TYPE_CHECKING:
    from datasets import ClassLabel, DatasetDict, IterableDatasetDict

    from .input_records import SplitSource

    Source: TypeAlias = SplitSource | DatasetDict | IterableDatasetDict | Mapping[str, SplitSource]

# Programs that read MNIST look for a test split of this name.
FILE_PREFIXES = {"test": "t10k"}
LABEL_TYPES = ("uint8", "int8", "int16", "int32")  # the narrowest first
MAX_SPLIT_NAME = 100  # letters
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
COMPRESSED_ARCHIVE = re.compile(r"\.(tar\.\w+|tgz|zip|gz)$")


def write_idx(
    dataset: "Source",
    target: str | os.PathLike[str],
    *,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    mode: str | None = None,
    size: tuple[int, int] | None = None,
    compress: bool = True,
    overwrite: bool = False,
) -> dict[str, Header]:
    """Write images and labels as IDX files, named as MNIST's are: `train-images-idx3-ubyte.gz`, …

    One batch of images is in memory at a time. The target appears whole or not at all. IDX does not
    store the names of classes: pass them as `label_names` when loading. Returns the header of each
    file by its name.

    Args:
        dataset: a `Dataset`, an `IterableDataset`, or a tuple of arrays `(images, labels)`; or a
            mapping of them by the name of their split. Arrays keep their element type: images (N,
            rows, cols), (N, rows, cols, 3) or of any other shape, and integer labels (N,) or (N,
            parts), or None.
        target: a folder to create, or a path that ends in `.tar`.
        split: name of a single split. By default the name that `dataset` has, or "train".
        image_column: by default the only column of images.
        label_column: by default the only column of classes, else `label`, if there is one. Several
            columns make labels of several parts, as in QMNIST: `["label", "label_details"]`.
        mode: "L" (gray) or "RGB": convert all pictures. By default, pictures that are not gray are
            an error.
        size: (rows, cols): resize all pictures. By default, pictures of different sizes are an
            error.
        compress: compress each file with gzip. Equal data gives equal bytes.
        overwrite: replace a tar, or a folder that holds nothing but IDX files.

    Raises:
        IdxError: there is something at the target already, or a record cannot be written.
    """
    conversion = _check_conversion(mode, size)
    _refuse_compressed_archive(target)
    _check_classes(dataset)
    splits = _name_splits(dataset, split)
    is_tar = Path(target).suffix == ".tar"
    files: list[WrittenFile] = []
    with staged(target, overwrite, is_written, is_folder=not is_tar) as path:
        folder = path.with_name("files") if is_tar else path
        folder.mkdir()
        for name, source in splits.items():
            title = f"split {name!r}"
            records = read_records(source, image_column, label_column, conversion, title)
            files += _write_split(records, folder, _file_prefix(name), compress, title)
        files = _shape_empty_splits(files, folder, compress)
        if is_tar:
            _pack(folder, path)
    return {file.name: file.header for file in files}


# Arguments


def _check_conversion(mode: str | None, size: tuple[int, int] | None) -> Conversion:
    if mode not in (None, "L", "RGB"):
        raise wrong_option("mode", mode, '"L" for gray or "RGB" for color')
    if size is not None:
        if not _is_size(size):
            raise wrong_option("size", size, "(rows, cols), both at least 1")
        if 3 * size[0] * size[1] > MAX_RECORD_BYTES:
            raise wrong_option(
                "size", size, f"pictures of at most {MAX_RECORD_BYTES // 3:,} pixels"
            )
    return Conversion(mode, size)


def _is_size(size: object) -> bool:
    if not isinstance(size, tuple | list) or len(size) != 2:
        return False
    return all(isinstance(number, int | np.integer) and number > 0 for number in size)


def _refuse_compressed_archive(target: str | os.PathLike[str]) -> None:
    if COMPRESSED_ARCHIVE.search(str(resolve_target(target))):
        expected = "expected a folder or a .tar. The files in it are compressed one by one."
        raise IdxError(f"{target}: {expected}")


# Classes


class _KnownClasses(NamedTuple):
    split: str  # the first one that has the column
    names: list[str]


def _check_classes(dataset: "Source") -> None:
    """Check that numbers of classes mean the same in all splits: IDX keeps nothing else of them."""
    if not isinstance(dataset, Mapping):
        return
    known: dict[str, _KnownClasses] = {}  # by column
    for split, source in dataset.items():
        for column, classes in _class_columns(source).items():
            if column not in known:
                known[column] = _KnownClasses(str(split), classes.names)
            first = known[column]
            if classes.names != first.names:
                found = f"split {split!r} has other classes in {column!r} than {first.split!r}"
                way_out = "Align them: dataset.align_labels_with_mapping(…)."
                raise IdxError(f"{found}, or in another order. {way_out}")


def class_names(dataset: "Source", column: str | None = None) -> list[str] | None:
    """The names of the classes that `write_idx` writes; None if they are plain numbers.

    Args:
        column: of classes, by default the only one.
    """
    first = next(iter(dataset.values())) if isinstance(dataset, Mapping) else dataset
    classes = _class_columns(first)
    if column is not None:
        classes = {name: feature for name, feature in classes.items() if name == column}
    if len(classes) != 1:
        return None
    (feature,) = classes.values()
    names = list(feature.names)
    numbers = [str(number) for number in range(len(names))]
    return None if names == numbers else names


def _class_columns(source: "SplitSource") -> "dict[str, ClassLabel]":
    """The columns of classes that a dataset declares, by their names. Arrays have none."""
    if not is_dataset(source) or source.features is None:
        return {}
    return {name: feature for name, feature in source.features.items() if is_class_label(feature)}


# Splits


def _name_splits(dataset: "Source", split: str | None) -> "dict[str, SplitSource]":
    """The splits by their names, which are fit for files."""
    if isinstance(dataset, Mapping):
        splits: dict[str, SplitSource] = {str(name): part for name, part in dataset.items()}
        if split is not None:
            names = ", ".join(splits)
            expected = f"expected none, since the splits have names: {names}"
            raise IdxError(f"split={split!r}: {expected}.")
    else:
        splits = {split or _own_name(dataset): dataset}
    _check_split_names(list(splits))
    return splits


def _own_name(dataset: "SplitSource") -> str:
    """The name of the split that a dataset is, or is a part of, as in "test[:50]"."""
    if is_dataset(dataset) and dataset.split is not None:
        return str(dataset.split).partition("[")[0]
    return "train"


def _check_split_names(names: Sequence[str]) -> None:
    if any(len(name) > MAX_SPLIT_NAME for name in names):
        expected = f"Expected names of splits of at most {MAX_SPLIT_NAME} letters"
        raise IdxError(f"{expected}, found longer ones. Rename them.")
    prefixes = {_file_prefix(name) for name in names if SPLIT_NAME.fullmatch(name)}
    if not names or len(prefixes) < len(names):
        expected = "Expected splits whose names are words and give different files"
        raise IdxError(f"{expected}, found {', '.join(names) or 'none'}. Rename them.")


def _file_prefix(split: str) -> str:
    return FILE_PREFIXES.get(split, split)


# Files


def _write_split(
    records: Iterable[Records], folder: Path, prefix: str, compress: bool, title: str
) -> list[WrittenFile]:
    """Write the files of a split: images, and labels if there are any."""
    labels: list[np.ndarray] = []
    with IdxWriter(folder, f"{prefix}-images", title) as images:
        for part in records:
            images.write(part.images)
            if part.labels is not None:
                labels.append(part.labels)
        files = [images.finish(compress)]
    if labels:
        narrow = _narrowest(_join_labels(labels, title))
        files.append(write_file(narrow, folder, f"{prefix}-labels", compress, title))
    return files


def _join_labels(labels: Sequence[np.ndarray], title: str) -> np.ndarray:
    shapes = {part.shape[1:] for part in labels}
    if len(shapes) > 1:
        found = f"{title}: found labels of the shapes {', '.join(map(str, sorted(shapes)))}"
        raise IdxError(f"{found}, expected one shape. Filter the others out.")
    return np.concatenate(labels)


def _narrowest(labels: np.ndarray) -> np.ndarray:
    """Labels in the narrowest type that holds them all: bytes if possible, as in MNIST."""
    low, high = labels.min(initial=0), labels.max(initial=0)
    for name in LABEL_TYPES:
        limits = np.iinfo(name)
        if limits.min <= low and high <= limits.max:
            return labels.astype(name)
    raise ValueError(f"labels from {low} to {high} fit no type of IDX")


def _shape_empty_splits(
    files: Sequence[WrittenFile], folder: Path, compress: bool
) -> list[WrittenFile]:
    """Give splits without records the shape of the others: a dataset has one."""
    like = next((file.header for file in files if _has_images(file)), None)
    if like is None:
        return list(files)
    empty = np.zeros((0, *like.record_shape), like.dtype)
    result: list[WrittenFile] = []
    for file in files:
        if _is_shapeless(file):
            (folder / file.name).unlink()
            stem = file.name.partition("-idx")[0]
            file = write_file(empty, folder, stem, compress, file.name)
        result.append(file)
    return result


def _is_images(file: WrittenFile) -> bool:
    return "-images-idx" in file.name


def _has_images(file: WrittenFile) -> bool:
    return _is_images(file) and file.header.num_records > 0


def _is_shapeless(file: WrittenFile) -> bool:
    """Whether a file has no images, and nothing told how large they would be."""
    is_empty = file.header.num_records == 0 and 0 in file.header.record_shape
    return _is_images(file) and is_empty


def _pack(folder: Path, path: Path) -> None:
    """Write a tar of the files of a folder. Equal files give equal bytes."""
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.iterdir()):
            # In a folder of this name, as in MNIST's archive. Neither owner nor time.
            info = tarfile.TarInfo(f"data/{file.name}")
            info.size = file.stat().st_size
            with open(file, "rb") as content:
                tar.addfile(info, content)
