"""Write an image dataset as IDX files: a folder of them, or a tar."""

import contextlib
import gzip
import itertools
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np

from ..errors import IdxError, wrong_option
from ..idx import CHUNK_BYTES, MAX_RECORD_BYTES, TYPE_CODES, Header
from .staged import resolve_target, staged

# Programs that read MNIST look for a test split of this name.
FILE_PREFIXES = {"test": "t10k"}
TYPE_NAMES = dict(
    zip(TYPE_CODES, ("ubyte", "byte", "short", "int", "float", "double"), strict=True)
)
OWN_FILE = re.compile(rf"[^/]+-(images|labels)-idx[0-9]+-({'|'.join(TYPE_NAMES.values())})(\.gz)?")
LABEL_TYPES = ("uint8", "int8", "int16", "int32")
BATCH_SIZE = 256
MAX_SPLIT_NAME = 100  # letters
# Level 9 takes fifteen times as long and makes the images of MNIST 2 % smaller.
GZIP_LEVEL = 6


def write_idx(
    dataset: Any,
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
    store the names of
    classes: pass them as `label_names` when loading. Returns the header of each file by its name.

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
    if mode not in (None, "L", "RGB"):
        raise wrong_option("mode", mode, '"L" for gray or "RGB" for color')
    if size is not None and not _is_size(size):
        raise wrong_option("size", size, "(rows, cols), both at least 1")
    if size is not None and 3 * size[0] * size[1] > MAX_RECORD_BYTES:
        raise wrong_option("size", size, f"pictures of at most {MAX_RECORD_BYTES // 3:,} pixels")
    if re.search(r"\.(tar\.\w+|tgz|zip|gz)$", str(resolve_target(target))):
        raise IdxError(
            f"{target}: expected a folder or a .tar. The files in it are compressed one by one."
        )
    _check_classes(dataset)
    convert = partial(_to_array, mode, size)
    splits = _name_splits(dataset, split)
    written: dict[str, Header] = {}
    is_tar = Path(target).suffix == ".tar"
    with staged(target, overwrite, is_written, is_folder=not is_tar) as path:
        folder = path.with_name("files") if is_tar else path
        folder.mkdir()
        for name, source in splits.items():
            title, prefix = f"split {name!r}", FILE_PREFIXES.get(name, name)
            labels: list[np.ndarray] = []  # filled while the images are read
            if isinstance(source, datasets.Dataset | datasets.IterableDataset):
                images = _read_dataset(source, image_column, label_column, convert, labels, title)
            else:
                images = _read_arrays(source, convert, labels, title)
            written |= _write_file(images, folder, f"{prefix}-images", compress, title)
            if labels:
                values = np.concatenate(labels)
                low, high = values.min(initial=0), values.max(initial=0)
                # The narrowest type that holds all labels: bytes if possible, as in MNIST.
                dtype = next(
                    t for t in LABEL_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max
                )
                written |= _write_file(
                    iter([values.astype(dtype)]), folder, f"{prefix}-labels", compress, title
                )
        written = _shape_empty_splits(written, folder, compress)
        if is_tar:
            with tarfile.open(path, "w") as tar:
                for file in sorted(folder.iterdir()):
                    # In a folder of this name, as in MNIST's archive. Neither owner nor time: equal
                    # data, equal bytes.
                    info = tarfile.TarInfo(f"data/{file.name}")
                    info.size = file.stat().st_size
                    with open(file, "rb") as stream:
                        tar.addfile(info, stream)
    return written


def _is_size(size: object) -> bool:
    if not isinstance(size, tuple | list) or len(size) != 2:
        return False
    return all(isinstance(number, int | np.integer) and number > 0 for number in size)


def _check_classes(dataset: Any) -> None:
    """IDX keeps the numbers of classes only: they must mean the same in all splits."""
    splits = dataset if isinstance(dataset, Mapping) else {}
    known: dict[
        str, tuple[str, list[str]]
    ] = {}  # by column: the first split that has it, and its classes
    for name, source in splits.items():
        for column, feature in (getattr(source, "features", None) or {}).items():
            if isinstance(feature, datasets.ClassLabel):
                first, names = known.setdefault(column, (str(name), feature.names))
                if feature.names != names:
                    found = f"split {name!r} has other classes in {column!r} than {first!r}, or in another order"
                    raise IdxError(f"{found}. Align them: dataset.align_labels_with_mapping(…).")


def _shape_empty_splits(
    written: dict[str, Header], folder: Path, compress: bool
) -> dict[str, Header]:
    """Give splits without records the shape of the others: a dataset has one."""
    images = {name: header for name, header in written.items() if "-images-idx" in name}
    like = next((header for header in images.values() if header.num_records > 0), None)
    if like is None:
        return written
    result: dict[str, Header] = {}
    for name, header in written.items():
        if name in images and header.num_records == 0 and 0 in header.record_shape:
            (folder / name).unlink()
            empty = np.zeros((0, *like.record_shape), like.dtype)
            result |= _write_file(iter([empty]), folder, name.partition("-idx")[0], compress, name)
        else:
            result[name] = header
    return result


def is_written(folder: Path, name: str) -> bool:
    """Whether a file in a folder is from an earlier `write_idx`: by its name, and by its header."""
    if OWN_FILE.fullmatch(name) is None:
        return False
    try:
        open_it = gzip.open if name.endswith(".gz") else open
        with open_it(folder / name, "rb") as file:
            magic = file.read(4)
    except (OSError, EOFError, zlib.error):  # not what its name says
        return False
    return magic[:2] == b"\0\0" and name.partition("-idx")[2].startswith(f"{magic[3]}-")


def class_names(dataset: Any, column: str | None = None) -> list[str] | None:
    """The names of the classes that `write_idx` writes; None if they are plain numbers."""
    features = (
        next(iter(dataset.values())) if isinstance(dataset, Mapping) else dataset
    ).features or {}
    classes = [
        f
        for name, f in features.items()
        if isinstance(f, datasets.ClassLabel) and column in (None, name)
    ]
    names = classes[0].names if len(classes) == 1 else []
    return None if names == [str(number) for number in range(len(names))] else names


def _name_splits(dataset: Any, split: str | None) -> dict[str, Any]:
    if not isinstance(dataset, Mapping):
        own = (
            dataset.split
            if isinstance(dataset, datasets.Dataset | datasets.IterableDataset)
            else None
        )
        # A part of a split, "test[:50]", is named after the split.
        dataset = {split or str(own or "train").partition("[")[0]: dataset}
    elif split is not None:
        raise IdxError(
            f"split={split!r}: expected none, since the splits have names: {', '.join(dataset)}."
        )
    splits = {str(name): source for name, source in dataset.items()}
    files = {FILE_PREFIXES.get(name, name) for name in splits if re.fullmatch(r"\w+(\.\w+)*", name)}
    if any(len(name) > MAX_SPLIT_NAME for name in splits):
        raise IdxError(
            f"Expected names of splits of at most {MAX_SPLIT_NAME} letters, found longer ones. Rename them."
        )
    if not splits or len(files) < len(splits):
        names = ", ".join(splits) or "none"
        raise IdxError(
            f"Expected splits whose names are words and give different files, found {names}. Rename them."
        )
    return splits


def _read_arrays(
    source: Any, convert: Any, labels: list[np.ndarray], title: str
) -> Iterator[np.ndarray]:
    images, values = source if isinstance(source, tuple) and len(source) == 2 else (source, None)
    images = convert(images, None, title)
    if not images.ndim or images.dtype.kind not in "biuf":
        raise IdxError(
            f"{title}: found {type(source).__name__}, expected a Dataset or a pair of arrays."
        )
    if values is not None:
        values = _as_array(values, None, f"{title}, labels")
    if values is not None and np.shape(values)[:1] != images.shape[:1]:
        raise IdxError(
            f"{title}: {len(images)} images need as many labels, found the shape {np.shape(values)}."
        )
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.dtype == bool:
        images = images.view(np.uint8)
    if values is not None:
        labels.append(_to_labels(values, 0, title))
    step = max(1, CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, max(1, len(images)), step):
        yield images[start : start + step]


def _read_dataset(
    dataset: Any,
    image_column: str | None,
    label_column: Any,
    convert: Any,
    labels: list[np.ndarray],
    title: str,
) -> Iterator[np.ndarray]:
    from PIL import Image  # takes long to import

    dataset = dataset.with_format(None)
    features = dataset.features
    if features is None:  # a stream that does not declare its columns
        first: dict[str, Any] = next(iter(dataset), {})
        features = {
            n: datasets.Image() if isinstance(v, Image.Image | np.ndarray) else None
            for n, v in first.items()
        }
    pictures = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    arrays = [
        name for name, feature in features.items() if type(feature).__name__.startswith("Array")
    ]  # Array2D, …
    classes = [
        name for name, feature in features.items() if isinstance(feature, datasets.ClassLabel)
    ]
    images = [image_column] if image_column else pictures or arrays
    chosen = [label_column] if isinstance(label_column, str) else list(label_column or ())
    columns = chosen or classes or [name for name in ("label", "labels") if name in features]
    if (
        len(images) != 1
        or (len(columns) > 1 and not chosen)
        or not {*images, *columns} <= set(features)
    ):
        found = f"{title}: found the columns {', '.join(features) or '(none)'}"
        advice = (
            f"{found}, expected one column of images and at most one of classes. Name them with"
        )
        raise IdxError(
            f"{advice} image_column=… and label_column=….",
            command_line=f"{advice} --image-column and --label-column.",
        )
    (column,) = images
    is_picture = isinstance(features[column], datasets.Image)
    dtype = None if is_picture else _element_type(features[column])
    if is_picture and dataset.features is not None:
        # Decoded one by one: an error names the record.
        dataset = dataset.cast_column(column, datasets.Image(decode=False))
    position = 0
    for batch in dataset.select_columns([column, *columns]).iter(batch_size=BATCH_SIZE):
        parts = [_to_labels(batch[name], position, title) for name in columns]
        if parts:
            labels.append(np.column_stack(parts) if len(parts) > 1 else parts[0])
        for value in batch[column]:
            yield convert(value, dtype, f"{title}, record {position}")[None]
            position += 1
    if position == 0:
        labels += [np.zeros(0, np.int32)] if columns else []
        if is_picture:
            yield convert(Image.new("L", (0, 0)), None, title)[None][:0]
        else:
            yield np.zeros((0, *_empty_shape(features[column])), dtype)


def _empty_shape(feature: Any) -> tuple[int, ...]:
    """The shape of the records of a column without records, as far as its feature tells."""
    shape = getattr(feature, "shape", None)
    length = getattr(feature, "length", None)
    if shape is not None:
        return tuple(shape)
    return (length,) if length is not None and length > 0 else (0, 0)


def _element_type(feature: Any) -> str | None:
    """The element type of a column of arrays, or of lists of numbers."""
    while getattr(feature, "feature", None) is not None:
        feature = feature.feature
    return getattr(feature, "dtype", None)


def _to_array(
    mode: str | None, size: tuple[int, int] | None, value: Any, dtype: Any, title: str
) -> np.ndarray:
    """An image of a dataset as an array.

    Pictures are uint8 of shape (rows, cols) or (rows, cols, 3).
    """
    from PIL import Image

    if value is None:
        raise IdxError(f"{title} has no image. Filter such records out.")
    if isinstance(value, dict):
        try:
            value = datasets.Image().decode_example(value)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            path = f" ({value['path']})" if value.get("path") else ""
            raise IdxError(f"{title}{path} cannot be read as an image: {error}") from error
    if not isinstance(value, Image.Image):
        if mode or size:
            raise IdxError(
                f"{title} is an array; mode= and size= are for pictures. Convert the arrays first.",
                command_line=f"{title} is an array; --mode and --size are for pictures. Leave them out.",
            )
        return _as_array(value, dtype, title)
    if value.mode != (mode or "L") and (mode is None or value.mode.startswith(("I", "F"))):
        found = f'{title} is an image of mode "{value.mode}", expected "{mode or "L"}". Convert all with'
        way_out = "Scale those whose values do not fit 8 bits first."
        raise IdxError(
            f'{found} mode="L" or mode="RGB". {way_out}',
            command_line=f"{found} --mode L or --mode RGB. {way_out}",
        )
    try:
        value = value.convert(mode or "L")
    except ValueError as error:
        raise IdxError(
            f"{title} is an image of mode {value.mode!r}: {error}. Convert it to RGB first."
        ) from error
    return np.asarray(value.resize(size[::-1], Image.Resampling.LANCZOS) if size else value)


def _as_array(value: Any, dtype: Any, title: str) -> np.ndarray:
    try:
        return np.asarray(value, dtype)
    except (
        ValueError,
        TypeError,
        OverflowError,
    ) as error:  # lists of different lengths, or no numbers
        raise IdxError(
            f"{title} is no array: {error}. Pass images as arrays of one shape."
        ) from error


def _to_labels(values: Any, position: int, title: str) -> np.ndarray:
    """Labels as int32, (k,) or (k, parts). `position` is the number of the first record."""
    with contextlib.suppress(ValueError):  # raised by lists of different lengths
        labels = np.asarray(values)
        is_integral = labels.ndim < 3 and labels.dtype.kind in "biu"
        if not len(labels) or (is_integral and (labels.astype(np.int32) == labels).all()):
            return labels.astype(np.int32)
    if len(values) > 1:  # The error names the record.
        for number in range(len(values)):
            _to_labels(values[number : number + 1], position + number, title)
    expected = "integers of at most 32 bits, as many as other records have"
    way_out = "Filter records without a label out; class_encode_column(…) numbers names."
    raise IdxError(
        f"{title}, record {position} has the label {values[0]}, expected {expected}. {way_out}"
    )


def _write_file(
    batches: Iterator[np.ndarray], folder: Path, name: str, compress: bool, title: str
) -> dict[str, Header]:
    """Write one IDX file.

    The first batch, which may be empty, settles the element type and the shape of a record.
    """
    first = next(batches)
    header = Header(first.dtype.newbyteorder("="), (0, *first.shape[1:]))
    plain, num_records = folder / ".plain", 0
    with open(plain, "wb") as file:
        file.write(header.pack())
        for batch in itertools.chain([first], batches):
            if (
                batch.shape[1:] != header.record_shape
                or batch.dtype.newbyteorder("=") != header.dtype
            ):
                found = f"{title}, record {num_records} is {batch.dtype} {batch.shape[1:]}"
                expected = f"{header.dtype} {header.record_shape}, like the first record"
                advice = f"{found}, expected {expected}. Resize pictures with"
                raise IdxError(f"{advice} size=….", command_line=f"{advice} --size.")
            file.write(np.ascontiguousarray(batch, header.dtype.newbyteorder(">")).data)
            num_records += len(batch)
        header = header._replace(shape=(num_records, *header.record_shape))
        file.seek(0)
        file.write(header.pack())  # now with the number of records
    path = (
        folder
        / f"{name}-idx{len(header.shape)}-{TYPE_NAMES[header.dtype]}{'.gz' if compress else ''}"
    )
    if compress:
        # Neither name nor time in the header: equal data gives equal bytes.
        with (
            open(plain, "rb") as data,
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as out,
        ):
            shutil.copyfileobj(data, out, CHUNK_BYTES)
        plain.unlink()
    else:
        plain.rename(path)
    return {path.name: header}
