"""Write an image dataset as IDX files: a folder of them, or a tar."""

import gzip
import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import ClassLabel, Dataset, IterableDataset
from datasets import Image as ImageFeature
from PIL import Image

from ..idx import TYPE_CODES, Header, IdxError
from .staged import staged

# Images (k, …), and labels int32 (n,) or (n, parts), which may be those of later images, too.
Records = tuple[np.ndarray, np.ndarray | None]

# Programs that read MNIST look for a test split of this name.
FILE_PREFIXES = {"test": "t10k"}
TYPE_NAMES = dict(zip(TYPE_CODES, ("ubyte", "byte", "short", "int", "float", "double"), strict=True))
OWN_NAME = re.compile(r".+-(images|labels)-idx\d+-[a-z]+(\.gz)?")
LABEL_TYPES = ("uint8", "int8", "int16", "int32")
BATCH_SIZE = 256
CHUNK_BYTES = 1 << 20
# Level 9 takes fifteen times as long and makes the images of MNIST 2 % smaller.
GZIP_LEVEL = 6


class ImageOptions(NamedTuple):
    """What `write_idx` takes from the records of a dataset."""

    image_column: str | None
    label_columns: tuple[str, ...]
    mode: str | None
    size: tuple[int, int] | None

    def find_columns(self, features: Mapping[str, Any], title: str) -> tuple[str, list[str]]:
        """The column of images and the columns of labels, of which there may be none."""
        classes = [name for name, feature in features.items() if isinstance(feature, ClassLabel)]
        pictures = [name for name, feature in features.items() if isinstance(feature, ImageFeature)]
        # Array2D, Array3D, …
        arrays = [name for name, feature in features.items() if type(feature).__name__.startswith("Array")]
        images = [self.image_column] if self.image_column else pictures or arrays
        labels = list(self.label_columns) or classes or [name for name in ("label", "labels") if name in features]
        ambiguous = len(images) != 1 or (len(labels) > 1 and not self.label_columns)
        if ambiguous or not {*images, *labels} <= set(features):
            raise IdxError(
                f"{title}: expected one column of images and at most one of classes, found the columns "
                f"{', '.join(features) or '(none)'}. Name them with image_column=… and label_column=…."
            )
        return images[0], labels

    def to_array(self, value: Any, dtype: str | None, title: str) -> np.ndarray:
        """An image of a dataset as an array. Pictures are uint8 of shape (rows, cols) or (rows, cols, 3)."""
        if value is None:
            raise IdxError(f"{title} has no image. Filter such records out.")
        if isinstance(value, dict):
            try:
                value = ImageFeature().decode_example(value)
            except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
                path = f" ({value['path']})" if value.get("path") else ""
                raise IdxError(f"{title}{path} cannot be read as an image: {error}") from error
        if not isinstance(value, Image.Image):
            if self.mode or self.size:
                raise IdxError(f"{title} is an array; mode= and size= are for pictures. Convert the arrays first.")
            return np.asarray(value, dtype)
        mode = self.mode or "L"
        if value.mode != mode and (self.mode is None or value.mode.startswith(("I", "F"))):
            raise IdxError(
                f'{title} is an image of mode "{value.mode}", expected "{mode}". Convert all to gray with mode="L" or '
                'to color with mode="RGB". Values that do not fit 8 bits are not converted: scale them first.'
            )
        value = value.convert(mode)
        return np.asarray(value.resize(self.size[::-1], Image.Resampling.LANCZOS) if self.size else value)


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

    One batch of images is in memory at a time. The target appears whole or not at all. IDX does not store the names of
    classes: pass them as `label_names` when loading. Returns the header of each file by its name.

    Args:
        dataset: a `Dataset`, an `IterableDataset`, or a pair of arrays `(images, labels)`; or several by the name of
            their split, as a `DatasetDict`, `IterableDatasetDict` or `dict`. Arrays keep their element type: images
            (N, rows, cols), (N, rows, cols, 3) or of any other shape, and integer labels (N,) or (N, parts), or None.
        target: a folder to create, or a path that ends in `.tar`.
        split: name of a single split. By default the name that `dataset` has, or "train".
        image_column: by default the only column of images.
        label_column: by default the only column of classes, else `label`. Without either, only images are written.
            Several columns make labels of several parts, as in QMNIST: `["label", "label_details"]`.
        mode: "L" (gray) or "RGB": convert all pictures. By default, pictures that are not gray are an error.
        size: (rows, cols): resize all pictures. By default, pictures of different sizes are an error.
        compress: compress each file with gzip. Equal data gives equal bytes.
        overwrite: replace a tar, or a folder that holds nothing but IDX files.

    Raises:
        IdxError: there is something at the target already, or a record cannot be written.
    """
    if mode not in (None, "L", "RGB"):
        raise IdxError(f'mode={mode!r}: expected "L" for gray or "RGB" for color.')
    if size is not None and (len(size) != 2 or min(size) < 1):
        raise IdxError(f"size={size!r}: expected (rows, cols), both at least 1.")
    if re.search(r"\.(tar\.\w+|tgz|zip|gz)$", os.fspath(target)):
        raise IdxError(f"{target}: expected a folder or a .tar. The files in it are compressed one by one.")
    label_columns = (label_column,) if isinstance(label_column, str) else tuple(label_column or ())
    options = ImageOptions(image_column, label_columns, mode, size)
    splits = _name_splits(dataset, split)
    written: dict[str, Header] = {}
    with staged(target, overwrite, _obstacle) as path:
        folder = path.with_name("files") if path.suffix == ".tar" else path
        folder.mkdir()
        for name, source in splits.items():
            written |= _write_split(name, source, folder, options, compress)
        if folder != path:
            _write_tar(folder, path)
    return written


def class_names(dataset: Any, column: str | None = None) -> list[str] | None:
    """The names of the classes that `write_idx` writes; None if they are plain numbers."""
    features = (next(iter(dataset.values())) if isinstance(dataset, Mapping) else dataset).features or {}
    classes = [f for name, f in features.items() if isinstance(f, ClassLabel) and column in (None, name)]
    names = classes[0].names if len(classes) == 1 else []
    return None if names == [str(number) for number in range(len(names))] else names


def _name_splits(dataset: Any, split: str | None) -> dict[str, Any]:
    if isinstance(dataset, Mapping):
        if split is not None:
            raise IdxError(f"split={split!r}: expected none, since the splits have names: {', '.join(dataset)}.")
        splits = {str(name): source for name, source in dataset.items()}
    else:
        own = dataset.split if isinstance(dataset, Dataset | IterableDataset) else None
        # A part of a split, "test[:50]", is named after the split.
        splits = {split or re.sub(r"\[[^]]*]$", "", str(own or "train")): dataset}
    prefixes = {FILE_PREFIXES.get(name, name) for name in splits}
    if not splits or len(prefixes) < len(splits) or not all(re.fullmatch(r"\w+(\.\w+)*", name) for name in splits):
        raise IdxError(
            f"Expected splits whose names are words and give different file names, found {', '.join(splits) or 'none'}."
            " Rename them, or name a single one with split=…."
        )
    return splits


def _obstacle(target: Path) -> str:
    if target.is_dir() != (target.suffix != ".tar"):
        return f"is a {'folder' if target.is_dir() else 'file'}"
    found = sorted(target.iterdir()) if target.is_dir() else []
    others = [path.name for path in found if path.is_dir() or not OWN_NAME.fullmatch(path.name)]
    return f"holds more than IDX files ({', '.join(others[:3])})" if others else ""


def _write_tar(folder: Path, path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        for file in sorted(folder.iterdir()):
            # In a folder of this name, as in MNIST's archive. Neither owner nor time: equal data gives equal bytes.
            info = tarfile.TarInfo(f"data/{file.name}")
            info.size, info.mode = file.stat().st_size, 0o644
            with open(file, "rb") as stream:
                tar.addfile(info, stream)


def _write_split(name: str, source: Any, folder: Path, options: ImageOptions, compress: bool) -> dict[str, Header]:
    title = f"split {name!r}"
    prefix = FILE_PREFIXES.get(name, name)
    labels: list[np.ndarray] = []

    def images() -> Iterator[np.ndarray]:
        is_dataset = isinstance(source, Dataset | IterableDataset)
        records = _iter_dataset(source, options, title) if is_dataset else _iter_arrays(source, options, title)
        for batch, batch_labels in records:
            if batch_labels is not None:
                labels.append(batch_labels)
            yield batch

    written = _write_file(images(), folder, f"{prefix}-images", compress, title)
    if labels:
        values = np.concatenate(labels)
        low, high = (values.min(), values.max()) if values.size else (0, 0)
        # The narrowest type that holds all labels: bytes if possible, as in MNIST.
        dtype = next(t for t in LABEL_TYPES if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
        written |= _write_file(iter([values.astype(dtype)]), folder, f"{prefix}-labels", compress, title)
    return written


def _write_file(
    batches: Iterator[np.ndarray], folder: Path, name: str, compress: bool, title: str
) -> dict[str, Header]:
    """Write one IDX file. The first batch, which may be empty, settles the element type and the shape of a record."""
    plain = folder / ".plain"
    header: Header | None = None
    with open(plain, "wb") as file:
        for batch in batches:
            if header is None:
                header = Header(batch.dtype.newbyteorder("="), (0, *batch.shape[1:]))
                file.write(header.pack())
            if batch.shape[1:] != header.record_shape or batch.dtype.newbyteorder("=") != header.dtype:
                raise IdxError(
                    f"{title}, record {header.num_records} is {batch.dtype} {batch.shape[1:]}, the first record is "
                    f"{header.dtype} {header.record_shape}, expected images of one size. Resize all with size=…."
                )
            file.write(np.ascontiguousarray(batch, header.dtype.newbyteorder(">")).data)
            header = header._replace(shape=(header.num_records + len(batch), *header.record_shape))
        assert header is not None
        file.seek(0)
        file.write(header.pack())  # now with the number of records
    target = folder / f"{name}-idx{len(header.shape)}-{TYPE_NAMES[header.dtype]}"
    if compress:
        target = target.with_name(f"{target.name}.gz")
        # Neither name nor time in the header: equal data gives equal bytes.
        with (
            open(plain, "rb") as content,
            open(target, "wb") as file,
            gzip.GzipFile("", "wb", GZIP_LEVEL, file, mtime=0) as compressed,
        ):
            shutil.copyfileobj(content, compressed, CHUNK_BYTES)
        plain.unlink()
    else:
        plain.rename(target)
    return {target.name: header}


def _iter_arrays(source: Any, options: ImageOptions, title: str) -> Iterator[Records]:
    images, labels = source if isinstance(source, tuple | list) and len(source) == 2 else (source, None)
    images = np.asanyarray(images)
    if not images.ndim or images.dtype.kind not in "biuf":
        raise IdxError(
            f"{title}: expected a Dataset, an IterableDataset or a pair of arrays (images, labels), found "
            f"{type(source).__name__}."
        )
    if options.mode or options.size:
        raise IdxError(f"{title}: mode= and size= are for pictures in a dataset. Convert the arrays first.")
    if labels is not None and np.shape(labels)[:1] != images.shape[:1]:
        raise IdxError(f"{title}: {len(images)} images need as many labels, found the shape {np.shape(labels)}.")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.dtype == bool:
        images = images.view(np.uint8)
    step = max(1, CHUNK_BYTES // max(1, images[:1].nbytes))
    for start in range(0, max(1, len(images)), step):
        chunk = slice(start, start + step)
        yield images[chunk], None if labels is None else _to_labels(labels[chunk], start, title)


def _iter_dataset(dataset: Dataset | IterableDataset, options: ImageOptions, title: str) -> Iterator[Records]:
    dataset = dataset.with_format(None)
    features = dataset.features
    if features is None:  # a stream that does not declare its columns
        types = {name: type(value) for name, value in next(iter(dataset), {}).items()}
        features = {
            name: ImageFeature() if issubclass(t, Image.Image | np.ndarray) else None for name, t in types.items()
        }
    image_column, label_columns = options.find_columns(features, title)
    dataset = dataset.select_columns([image_column, *label_columns])
    if dataset.features is not None and isinstance(features[image_column], ImageFeature):
        # Decoded below, one by one: an error names the record.
        dataset = dataset.cast_column(image_column, ImageFeature(decode=False))
    feature = features[image_column]
    dtype = None if isinstance(feature, ImageFeature) else getattr(feature, "dtype", None)
    position = 0
    for batch in dataset.iter(batch_size=BATCH_SIZE):
        columns = [_to_labels(batch[column], position, title) for column in label_columns]
        labels = np.column_stack(columns) if len(columns) > 1 else columns[0] if columns else None
        for value in batch[image_column]:
            yield options.to_array(value, dtype, f"{title}, record {position}")[None], labels
            labels = None  # the first image of a batch brings the labels of all
            position += 1
    if position == 0:
        shape = (0, *(options.size or (0, 0)), *((3,) if options.mode == "RGB" else ()))
        yield np.zeros(shape, np.uint8), np.zeros(0, np.int32) if label_columns else None


def _to_labels(values: Any, position: int, title: str) -> np.ndarray:
    """Labels as int32, (k,) or (k, parts)."""
    try:
        labels = np.asarray(values)
        if labels.ndim < 3 and (_are_labels(labels) or not labels.size):
            return labels.astype(np.int32)
    except ValueError:  # lists of different lengths
        pass
    number = next((n for n, value in enumerate(values) if not _are_labels(np.asarray(value))), 0)
    raise IdxError(
        f"{title}, record {position + number} has the label {values[number]}, expected integers of at most 32 bits, as "
        "many as other records have. Filter records without a label out; class_encode_column(…) numbers names."
    )


def _are_labels(values: np.ndarray) -> bool:
    return values.dtype.kind in "biu" and bool((values.astype(np.int32) == values).all())
