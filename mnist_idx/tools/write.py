"""Write an image dataset as IDX files: a folder of them, or a tar."""

import os
import re
import tarfile
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import numpy as np

from ..compressions import SUFFIXES
from ..errors import IdxError, listed_names, printable, shown_value, wrong_option
from ..filenames import ARCHIVE_SUFFIXES, UNREAD_SUFFIXES, word_in_files
from ..idx import MAX_RECORD_BYTES, Header
from ..record_layout import MAX_ARRAY_DIMENSIONS, MAX_LISTS, Layout
from .dataset_types import is_class_label, is_dataset
from .idx_writer import IdxWriter, is_written, write_file
from .input_forms import SplitInput, count_records, read_input
from .input_records import Options, read_records
from .loading_code import ClassRange, WrittenSplit, loading_code
from .pictures import WHITE, Conversion
from .record_values import Records, narrowest
from .staged import resolve_target, staged

if TYPE_CHECKING:
    from datasets import ClassLabel

    from .input_forms import Source
    from .progress import Advance

MAX_SPLIT_NAME = 100  # letters
MAX_SPLIT_BYTES = 200  # of the name of a file, which has 255 with the rest
SPLIT_NAME = re.compile(r"\w+(\.\w+)*")
# Endings of what is neither a folder nor a plain tar.
OTHER_SUFFIXES = (*SUFFIXES, *ARCHIVE_SUFFIXES, *UNREAD_SUFFIXES, ".idx", ".idx1", ".idx3")
OTHER_SUFFIXES += (".npz", ".npy", ".csv", ".parquet", ".arrow", ".png", ".h5", ".hdf5")


class Written(dict[str, Header]):
    """The header of each file that was written, by its name.

    Attributes:
        splits: what was written of each split.
        left_out: columns, and arrays with names, that were not written.
        loading_code: Python code that loads the dataset.
    """

    def __init__(
        self, splits: Sequence[WrittenSplit], left_out: Sequence[str], loading_code: str
    ) -> None:
        super().__init__()
        for split in splits:
            self.update({file.name: file.header for file in split.files})
        self.splits = splits
        self.left_out = left_out
        self.loading_code = loading_code


class LeftOutWarning(UserWarning):
    """Something of a dataset was not written."""


def write_idx(
    dataset: "Source",
    target: str | os.PathLike[str],
    *others: NoReturn,
    split: str | None = None,
    image_column: str | None = None,
    label_column: str | Sequence[str] | None = None,
    mode: str | None = None,
    size: tuple[int, int] | None = None,
    background: int = WHITE,
    compress: bool = True,
    overwrite: bool = False,
    progress: bool = False,
) -> Written:
    """Write images and labels as IDX files, named as MNIST's are: `train-images-idx3-ubyte.gz`, …

    One batch of images is in memory at a time. The target appears whole or not at all. IDX does not
    store the names of classes: pass them as `label_names` when loading. Returns the header of each
    file by its name; the attribute `loading_code` of that is the code that loads the files.

    >>> import numpy as np
    >>> from mnist_idx import write_idx
    >>> images, labels = np.zeros((4, 28, 28), np.uint8), np.array([5, 0, 4, 1])
    >>> written = write_idx({"train": (images, labels)}, "my_idx", overwrite=True)
    >>> for name, header in written.items():
    ...     print(name, header.dtype, header.shape)
    train-images-idx3-ubyte.gz uint8 (4, 28, 28)
    train-labels-idx1-ubyte.gz uint8 (4,)
    >>> print(written.loading_code)
    from mnist_idx import load_dataset
    ds = load_dataset("idxfolder", data_dir="my_idx")

    Args:
        dataset: a `Dataset`, an `IterableDataset`, or a tuple of arrays `(images, labels)`; or a
            mapping of them by the name of their split. Train and test may be `((images, labels),
            (images, labels))`, as Keras has them. A dataset of torchvision with `data` and
            `targets`, arrays with names such as `x_train` or `train_images`, and the path of an
            `.npz` of them do, too. A dataset may have a column for each pixel, `pixel0` or `1x1`,
            …, as on Kaggle. Arrays keep their element type, but for int64, which becomes the
            narrowest that holds all: images (N, rows, cols), (N, rows, cols, 3) or of any other
            shape, and integer labels (N,) or (N, parts), or None. Channels that come first, as in
            (N, 1, rows, cols) and (N, 3, rows, cols), go to the end, and that of gray images is
            dropped.
        target: a folder to create, or a path that ends in `.tar`.
        others: none. Images and labels are one tuple.
        split: name of a single split. By default the name that `dataset` has, or "train".
        image_column: by default the only column of images, arrays or lists in lists.
        label_column: by default the only column of classes, else `label`, if there is one, else the
            only one of integers. Several columns make labels of several parts, as in QMNIST:
            `["label", "label_details"]`. None are written of `[]`. A warning names all columns that
            are left out.
        mode: "L" (gray) or "RGB": convert all pictures. By default, pictures that are not gray are
            an error.
        size: (rows, cols): resize all pictures. By default, pictures of different sizes are an
            error. Of a table of pixels it is the shape of an image, by default a square.
        background: the gray level, 0 (black) to 255 (white), that shows through the transparent
            parts of pictures.
        compress: compress each file with gzip. Equal data gives equal bytes.
        overwrite: replace a tar, or a folder that holds nothing but IDX files.
        progress: show a bar, if stderr is a terminal.

    Raises:
        IdxError: there is something at the target already, or a record cannot be written.
    """
    _check_order(dataset, target, others)
    conversion = _check_conversion(mode, size, background)
    _check_target(target)
    given = read_input(dataset, split)
    _check_classes(given.splits)
    _check_split_names(list(given.splits))
    options = Options(image_column, label_column, conversion)
    is_tar = _is_tar(target)
    splits: list[WrittenSplit] = []
    left_out = [*given.left_out]
    with (
        staged(target, overwrite, is_written, is_folder=not is_tar) as path,
        _progress(progress, given.splits) as advance,
    ):
        folder = path.with_name("files") if is_tar else path
        folder.mkdir()
        for name, source in given.splits.items():
            records = read_records(source, options, f"split {name!r}")
            splits.append(_write_split(records.records, folder, name, compress, advance))
            left_out += [column for column in records.left_out if column not in left_out]
        splits = _shape_empty_splits(splits, folder, compress)
        if is_tar:
            _pack(folder, path)
    if left_out:
        warnings.warn(_left_out_message(left_out), LeftOutWarning, stacklevel=2)
    names = class_names(given.splits, label_column)
    code = loading_code(splits, os.fspath(target), is_tar, names)
    return Written(splits, left_out, code)


def _progress(
    is_shown: bool, splits: Mapping[str, SplitInput]
) -> "AbstractContextManager[Advance]":
    """What is told of each batch that is written: a bar, or nobody."""
    if not is_shown:
        return nullcontext(_no_progress)
    from .progress import show_progress

    sizes = [count_records(split) for split in splits.values()]
    known = [size for size in sizes if size is not None]
    total = sum(known) if len(known) == len(sizes) else None
    return show_progress("Writing", total)


def _no_progress(num_records: int) -> None:
    pass


def _left_out_message(left_out: Sequence[str]) -> str:
    names = printable(listed_names(left_out))
    return f"Left out: {names}. Other columns are chosen with image_column= and label_column=."


# Arguments


def _check_order(dataset: object, target: object, others: Sequence[object]) -> None:
    """Refuse a target that comes first, and images and labels that are no tuple."""
    expected = "expected write_idx(data, target). Images and labels are one tuple"
    if _is_path(dataset) and not _is_path(target):
        found = f"Found the path {shown_value(dataset)} before the data"
        raise IdxError(f"{found}, {expected}: write_idx((images, labels), target).")
    if others or (not _is_path(target) and hasattr(target, "__len__")):
        given = [shown_value(argument) for argument in (dataset, target, *others)]
        found = f"Found write_idx({', '.join(given)})"
        raise IdxError(f"{found}, {expected}: write_idx((images, labels), target).")


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike)


def _check_conversion(
    mode: str | None, size: tuple[int, int] | None, background: int
) -> Conversion:
    if mode not in (None, "L", "RGB"):
        raise wrong_option("mode", mode, '"L" for gray or "RGB" for color')
    if size is not None:
        if not _is_size(size):
            raise wrong_option("size", size, "(rows, cols), both at least 1")
        if 3 * size[0] * size[1] > MAX_RECORD_BYTES:
            raise wrong_option(
                "size", size, f"pictures of at most {MAX_RECORD_BYTES // 3:,} pixels"
            )
    if not isinstance(background, int | np.integer) or not 0 <= background <= WHITE:
        raise wrong_option("background", background, "a gray level, 0 (black) to 255 (white)")
    return Conversion(mode, size, int(background))


def _is_size(size: object) -> bool:
    if not isinstance(size, tuple | list) or len(size) != 2:
        return False
    return all(isinstance(number, int | np.integer) and number > 0 for number in size)


def _is_tar(target: str | os.PathLike[str]) -> bool:
    return Path(target).suffix.lower() == ".tar"


def _check_target(target: str | os.PathLike[str]) -> None:
    """Refuse a target whose name says that it is something else than what is written."""
    name = Path(resolve_target(target)).name.lower()
    if name.endswith(OTHER_SUFFIXES) and not name.endswith(".tar"):
        expected = "expected a folder or a .tar. The files in it are compressed one by one."
        raise IdxError(f"{target}: {expected}")


# Classes


class _KnownClasses(NamedTuple):
    split: str  # the first one that has the column
    names: list[str]


def _check_classes(splits: Mapping[str, SplitInput]) -> None:
    """Check that numbers of classes mean the same in all splits: IDX keeps nothing else of them."""
    known: dict[str, _KnownClasses] = {}  # by column
    for split, source in splits.items():
        for column, classes in _class_columns(source).items():
            if column not in known:
                known[column] = _KnownClasses(split, classes.names)
            first = known[column]
            if classes.names != first.names:
                found = f"split {split!r} has other classes in {column!r} than {first.split!r}"
                way_out = "Align them: dataset.align_labels_with_mapping(…)."
                raise IdxError(f"{found}, or in another order. {way_out}")


def class_names(
    dataset: "SplitInput | Mapping[str, SplitInput]",
    label_column: str | Sequence[str] | None = None,
) -> list[str] | None:
    """The names of the classes that `write_idx` writes; None if they are plain numbers.

    Args:
        label_column: of classes, by default the only one. Of several, the first has the classes.
    """
    splits = dataset.values() if isinstance(dataset, Mapping) else [dataset]
    for source in splits:
        classes = _class_columns(source)
        if label_column is not None:
            chosen = [label_column] if isinstance(label_column, str) else list(label_column)[:1]
            classes = {name: feature for name, feature in classes.items() if name in chosen}
        if len(classes) == 1:
            (feature,) = classes.values()
            names = list(feature.names)
            numbers = [str(number) for number in range(len(names))]
            return None if names == numbers else names
    return None


def _class_columns(source: object) -> "dict[str, ClassLabel]":
    """The columns of classes that a dataset declares, by their names. Arrays have none."""
    if not is_dataset(source) or source.features is None:
        return {}
    return {name: feature for name, feature in source.features.items() if is_class_label(feature)}


# Splits


def _check_split_names(names: Sequence[str]) -> None:
    for name in names:
        if len(name) > MAX_SPLIT_NAME or len(name.encode(errors="replace")) > MAX_SPLIT_BYTES:
            expected = f"Expected names of splits of at most {MAX_SPLIT_NAME} letters"
            raise IdxError(f"{expected}, found longer ones. Rename them.")
        if name.lower() == "all":
            found = f"Found a split called {name!r}, which means all splits to load_dataset"
            raise IdxError(f'{found}. Rename it: split="train".')
    prefixes = {word_in_files(name) for name in names if SPLIT_NAME.fullmatch(name)}
    if not names or len(prefixes) < len(names):
        expected = "Expected splits whose names are words and give different files"
        raise IdxError(
            f"{expected}, found {listed_names(names) if names else 'none'}. Rename them."
        )


# Files


def _write_split(
    records: Iterable[Records], folder: Path, name: str, compress: bool, advance: "Advance"
) -> WrittenSplit:
    """Write the files of a split: images, and labels if there are any."""
    title, prefix = f"split {name!r}", word_in_files(name)
    labels: list[np.ndarray] = []
    with IdxWriter(folder, f"{prefix}-images", compress, title) as writer:
        for part in records:
            _check_loadable(part.images, title)
            writer.write(part.images)
            if part.labels is not None:
                labels.append(part.labels)
            advance(len(part.images))
        images = writer.finish()
    if not labels:
        return WrittenSplit(name, images)
    joined = narrowest(_join_labels(labels, title))
    file = write_file(joined, folder, f"{prefix}-labels", compress, title)
    return WrittenSplit(name, images, file, _class_range(joined))


def _class_range(labels: np.ndarray) -> ClassRange | None:
    """The smallest and the largest class of labels, (n,) or (n, parts). None without records."""
    if len(labels) == 0:
        return None
    classes = labels if labels.ndim == 1 else labels[:, 0]
    return ClassRange(int(classes.min()), int(classes.max()))


def _check_loadable(images: np.ndarray, title: str) -> None:
    """Refuse records that IDX can hold, but that no dataset can."""
    layout = Layout(images.shape[1:], str(images.dtype))
    found = f"{title}: found an array of the shape {images.shape}"
    if not layout.shape:
        raise IdxError(f"{found}, expected images: (N, rows, cols), or (N, length) of vectors.")
    if len(images) > 0 and 0 in layout.shape:
        raise IdxError(f"{found}, expected sides of at least 1. Leave out images without pixels.")
    if len(layout.shape) > MAX_ARRAY_DIMENSIONS:
        expected = f"expected at most {MAX_ARRAY_DIMENSIONS} dimensions of an image"
        raise IdxError(f"{found}, {expected}. Reshape the images.")
    if layout.num_lists > MAX_LISTS:
        expected = f"expected at most {MAX_LISTS:,} rows in an image"
        raise IdxError(f"{found}, {expected}. Reshape the images.")


def _join_labels(labels: Sequence[np.ndarray], title: str) -> np.ndarray:
    shapes = {part.shape[1:] for part in labels}
    if len(shapes) > 1:
        found = f"{title}: found labels of the shapes {', '.join(map(str, sorted(shapes)))}"
        raise IdxError(f"{found}, expected one shape. Filter the others out.")
    joined = np.concatenate(labels)
    has_one_part = joined.shape[1:] == (1,)
    return joined[:, 0] if has_one_part else joined


def _shape_empty_splits(
    splits: Sequence[WrittenSplit], folder: Path, compress: bool
) -> list[WrittenSplit]:
    """Give splits without records the shape of the others: a dataset has one."""
    filled = [split.images.header for split in splits if split.images.header.num_records > 0]
    if not filled:
        return list(splits)
    empty = np.zeros((0, *filled[0].record_shape), filled[0].dtype)
    result: list[WrittenSplit] = []
    for split in splits:
        if _is_shapeless(split.images.header):
            (folder / split.images.name).unlink()
            stem = split.images.name.partition("-idx")[0]
            images = write_file(empty, folder, stem, compress, split.images.name)
            split = split._replace(images=images)
        result.append(split)
    return result


def _is_shapeless(header: Header) -> bool:
    """Whether a file has no images, and nothing told how large they would be."""
    return header.num_records == 0 and 0 in header.record_shape


def _pack(folder: Path, path: Path) -> None:
    """Write a tar of the files of a folder. Equal files give equal bytes."""
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.iterdir()):
            # In a folder of this name, as in MNIST's archive. Neither owner nor time.
            info = tarfile.TarInfo(f"data/{file.name}")
            info.size = file.stat().st_size
            with open(file, "rb") as content:
                tar.addfile(info, content)
