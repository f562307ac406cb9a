"""Write an image data set as IDX files: a folder of them, or a tar."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from datasets import ClassLabel, Dataset, Features, IterableDataset
from datasets import Image as ImageFeature
from PIL import Image

from .idx import Header, IdxError
from .writer import LabelSpool, Spool, appearing, file_name, pack_file

# MNIST calls its test split t10k, and whatever reads MNIST looks for that name.
FILE_PREFIXES = {"test": "t10k"}
MODES = ("L", "RGB")
BATCH_RECORDS = 256
BLOCK_BYTES = 1 << 20


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

    A batch of records is in memory at a time, and nobody needs to know how many there will be. The target appears
    whole or not at all. IDX has no place for the names of classes: give them as `label_names` when reading.

    Args:
        dataset: a `Dataset`, an `IterableDataset`, or a pair of arrays `(images, labels)`; or several of them by the
            name of their split, as a `DatasetDict`, an `IterableDatasetDict` or a `dict`. Arrays of images have the
            shape (N, rows, cols) for gray, (N, rows, cols, 3) for colour, or any other, and keep their element type;
            labels are integers (N,) or (N, parts), or `None`.
        target: a folder to create, or a path that ends in `.tar`.
        split: name of the split, where `dataset` is only one and does not tell.
        image_column: by default the only column of images.
        label_column: by default the only column of classes, else `label`. Without either, images are written alone.
            Several columns make labels of several parts, as QMNIST has: `["label", "label_details"]`.
        mode: "L" (gray) or "RGB": convert all images. By default images that are not gray are an error.
        size: (rows, cols): resize all images. By default images of different sizes are an error.
        compress: pack each file with gzip. The same data gives the same bytes.
        overwrite: replace what is there: a tar, or a folder that holds nothing but IDX files.

    Returns:
        The names of the files, with what their headers say.

    Raises:
        IdxError: something is at the target already, or a record, which the message names, cannot be written.
    """
    label_columns = (label_column,) if isinstance(label_column, str) else tuple(label_column or ())
    form = Form(image_column, label_columns, mode, size)
    form.check()
    splits = _named_splits(dataset, split)
    written: dict[str, Header] = {}
    with appearing(Path(target), overwrite) as folder:
        for name, source in splits.items():
            written |= _write_split(name, source, folder, form, compress)
    return written


class Records(NamedTuple):
    """Some records: images (k, …), and labels (k,) or (k, parts) if there are any."""

    images: np.ndarray
    labels: np.ndarray | None


class Form(NamedTuple):
    """The form in which records are wanted: see `write_idx`."""

    image_column: str | None = None
    label_columns: tuple[str, ...] = ()
    mode: str | None = None
    size: tuple[int, int] | None = None

    def check(self) -> None:
        if self.mode is not None and self.mode not in MODES:
            raise IdxError(f'mode is "L" for gray or "RGB" for colour, not {self.mode!r}.')
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise IdxError(f"size is (rows, cols), both at least 1, not {self.size!r}.")

    def apply(self, image: Image.Image, where: str) -> np.ndarray:
        """The image in the wanted mode and size: (rows, cols) or (rows, cols, 3)."""
        mode = self.mode or "L"
        if image.mode != mode and self.mode is None:
            raise IdxError(
                f'{where} is an image of mode "{image.mode}", not gray ("L"). '
                'Pass mode="L" to make all images gray, or mode="RGB" to write colour.'
            )
        if image.mode != mode and image.mode.startswith(("I", "F")):
            raise IdxError(
                f'{where} is an image of mode "{image.mode}", whose values do not fit 8 bits. '
                "Scale it first, or pass arrays, which keep their values."
            )
        image = image.convert(mode)
        if self.size is not None:
            image = image.resize((self.size[1], self.size[0]), Image.Resampling.LANCZOS)
        return np.asarray(image)

    def apply_array(self, image: np.ndarray, where: str) -> np.ndarray:
        """The same for an array, which stays as it is unless something is wanted."""
        if self.mode is None and self.size is None:
            return image
        if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
            raise IdxError(
                f"{where} is an array of {image.dtype} {image.shape}: mode and size work on uint8 (rows, cols) or "
                "(rows, cols, 3). Convert it first."
            )
        picture = Image.fromarray(np.ascontiguousarray(image))
        return self._replace(mode=self.mode or picture.mode).apply(picture, where)


def _named_splits(dataset: Any, split: str | None) -> dict[str, Any]:
    if isinstance(dataset, Mapping):
        if split is not None:
            raise IdxError(f"split={split!r} is for a single split; these have names: {', '.join(map(str, dataset))}.")
        splits = {str(name): source for name, source in dataset.items()}
    else:
        own = dataset.split if isinstance(dataset, (Dataset, IterableDataset)) else None
        # A part of a split, "test[:50]", is still of that split.
        splits = {split or re.sub(r"\[[^]]*]$", "", str(own or "train")): dataset}
    if not splits:
        raise IdxError("There is no split to write.")
    for name in splits:
        if not re.fullmatch(r"\w+(\.\w+)*", name):  # as `datasets` has it
            raise IdxError(f"A split called {name!r} cannot give its name to files. Say with split=… what to call it.")
    if len({FILE_PREFIXES.get(name, name) for name in splits}) < len(splits):
        raise IdxError(f"Two of the splits {', '.join(splits)} would get the same file names. Rename one.")
    return splits


def _write_split(name: str, source: Any, folder: Path, form: Form, compress: bool) -> dict[str, Header]:
    where = f"split {name!r}"
    prefix = FILE_PREFIXES.get(name, name)
    written: dict[str, Header] = {}
    with closing(Spool(folder / ".images")) as images, closing(LabelSpool(folder / ".labels")) as labels:
        for records in _iter_records(source, form, where):
            images.append(records.images, where)
            if records.labels is not None:
                labels.append(records.labels, where)
        for spool, role in ((images, "images"), (labels, "labels")):
            if spool.header is not None:
                header = spool.finish()
                file = file_name(prefix, role, header, compress)
                pack_file(spool.path, folder / file, compress)
                written[file] = header
    # Nothing but finished files may appear at the target.
    labels.path.unlink(missing_ok=True)
    return written


def _iter_records(source: Any, form: Form, where: str) -> Iterator[Records]:
    if isinstance(source, (Dataset, IterableDataset)):
        return _iter_dataset(source, form, where)
    if isinstance(source, np.ndarray):
        return _iter_arrays(source, None, form, where)
    if isinstance(source, (tuple, list)) and len(source) == 2:
        images, labels = source
        return _iter_arrays(np.asanyarray(images), None if labels is None else np.asanyarray(labels), form, where)
    raise IdxError(
        f"{where}: expected a Dataset, an IterableDataset or a pair of arrays (images, labels), "
        f"found {type(source).__name__}."
    )


def _iter_arrays(images: np.ndarray, labels: np.ndarray | None, form: Form, where: str) -> Iterator[Records]:
    if not images.ndim:
        raise IdxError(f"{where}: expected an array of images, found a single {images.dtype}.")
    if labels is not None and (labels.ndim not in (1, 2) or len(labels) != len(images)):
        raise IdxError(f"{where}: {len(images)} images need labels (N,) or (N, parts), found the shape {labels.shape}.")
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.dtype == bool:
        images = images.view(np.uint8)
    step = max(1, BLOCK_BYTES // max(1, images[:1].nbytes))
    # Where there are no records, an empty block still tells their shape.
    for start in range(0, max(1, len(images)), step):
        block = images[start : start + step]
        if form.mode or form.size:
            rows, cols = form.size or (*images.shape[1:], 0, 0)[:2]
            shaped = [form.apply_array(image, f"{where}, record {start + k}") for k, image in enumerate(block)]
            block = np.stack(shaped) if shaped else _no_images(form, (rows, cols))
        yield Records(block, None if labels is None else labels[start : start + step])


def _no_images(form: Form, size: tuple[int, int] = (0, 0)) -> np.ndarray:
    return np.zeros((0, *(form.size or size), *((3,) if form.mode == "RGB" else ())), dtype=np.uint8)


def _iter_dataset(dataset: Dataset | IterableDataset, form: Form, where: str) -> Iterator[Records]:
    features: Features | None = dataset.features
    columns = None if features is None else _find_columns(features, form, where)
    dataset = dataset.with_format(None)
    if features is not None and columns is not None:
        dataset = dataset.select_columns([columns[0], *columns[1]])
        if isinstance(features[columns[0]], ImageFeature):
            # Decoded here, one by one, so that a message can name the one that is broken.
            dataset = dataset.cast_column(columns[0], ImageFeature(decode=False))
    position = 0
    first: np.ndarray | None = None
    for batch in dataset.iter(batch_size=BATCH_RECORDS):
        if columns is None:
            columns = _find_columns(_guess_features(batch), form, where)
        image_column, label_columns = columns
        dtype = getattr((features or {}).get(image_column), "dtype", None)
        images = []
        for offset, value in enumerate(batch[image_column]):
            image = _as_array(value, dtype, form, f"{where}, record {position + offset}")
            first = image if first is None else first
            _check_alike(image, first, f"{where}, record {position + offset}")
            images.append(image)
        parts = [_as_labels(batch[column], column, position, where) for column in label_columns]
        position += len(images)
        yield Records(np.stack(images), np.column_stack(parts) if len(parts) > 1 else parts[0] if parts else None)
    if first is None:
        yield Records(_no_images(form), np.zeros(0, np.uint8) if columns and columns[1] else None)


def _find_columns(features: Mapping[str, Any], form: Form, where: str) -> tuple[str, tuple[str, ...]]:
    """The names of the column of images and of the columns of labels, of which there may be none."""
    for given in (form.image_column, *form.label_columns):
        if given is not None and given not in features:
            raise IdxError(f"{where} has no column {given!r}; it has {', '.join(features)}.")
    images = [form.image_column] if form.image_column else _columns_of_images(features)
    if len(images) != 1:
        found = f"several ({', '.join(images)})" if images else f"none among {', '.join(features) or 'no columns'}"
        raise IdxError(f"{where}: expected one column of images, found {found}. Say with image_column=… which it is.")
    if form.label_columns:
        return images[0], form.label_columns
    labels = [column for column, feature in features.items() if isinstance(feature, ClassLabel)]
    labels = labels or [column for column in ("label", "labels") if column in features]
    if len(labels) > 1:
        raise IdxError(
            f"{where}: found several columns of labels ({', '.join(labels)}). Say with label_column=… which."
        )
    return images[0], tuple(labels)


def _columns_of_images(features: Mapping[str, Any]) -> list[str]:
    pictures = [column for column, feature in features.items() if isinstance(feature, ImageFeature)]
    # Array2D, Array3D, …: arrays of one shape, which is what IDX holds.
    return pictures or [column for column, feature in features.items() if type(feature).__name__.startswith("Array")]


def _guess_features(batch: Mapping[str, list[Any]]) -> dict[str, Any]:
    """What the columns hold, as far as it matters here, of a stream that does not say."""
    return {
        column: ImageFeature() if values and isinstance(values[0], (Image.Image, np.ndarray)) else None
        for column, values in batch.items()
    }


def _as_array(value: Any, dtype: str | None, form: Form, where: str) -> np.ndarray:
    if value is None:
        raise IdxError(f"{where} has no image. Filter such records out.")
    if isinstance(value, dict):
        try:
            value = ImageFeature().decode_example(value)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            path = f" ({value['path']})" if value.get("path") else ""
            raise IdxError(f"{where}{path} cannot be read as an image: {error}") from error
    return (
        form.apply(value, where)
        if isinstance(value, Image.Image)
        else form.apply_array(np.asarray(value, dtype), where)
    )


def _check_alike(image: np.ndarray, first: np.ndarray, where: str) -> None:
    if image.shape != first.shape or image.dtype != first.dtype:
        raise IdxError(
            f"{where} is {image.dtype} {image.shape}, the first record is {first.dtype} {first.shape}: "
            "IDX holds images of one size. Pass size=(rows, cols) to resize all."
        )


def _as_labels(values: list[Any], column: str, position: int, where: str) -> np.ndarray:
    for offset, value in enumerate(values):
        if value is None or isinstance(value, str):
            way = "Filter such records out" if value is None else f"Call class_encode_column({column!r}) before"
            raise IdxError(f"{where}, record {position + offset} has the label {value!r}, IDX holds numbers. {way}.")
    try:
        return np.asarray(values)
    except ValueError as error:
        last = position + len(values) - 1
        raise IdxError(f"{where}: the labels of records {position} to {last} differ in length.") from error
