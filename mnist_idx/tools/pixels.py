"""Images of a dataset or of arrays as pixels that can be shown, each with a caption."""

import math
import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np

from ..errors import IdxError
from ..record_layout import arrange_channels
from .dataset_types import is_class_label, is_dataset, is_image, is_picture
from .input_forms import are_arrays_with_names, read_split
from .pictures import WHITE, WIDE_MODES, without_transparency

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from numpy.typing import ArrayLike
    from PIL.Image import Image

    from .input_forms import SplitSource

    # Beside splits: mappings of one of them, or of images and labels by their names; pictures.
    PictureSource: TypeAlias = SplitSource | Mapping[str, Any] | Image

NUM_SHOWN = 25  # images, unless told
FORMS = (
    'a split such as dataset["train"], some of its records (dataset["train"][:5]), arrays or '
    "tensors of images (N, rows, cols) or (N, rows, cols, 3), with labels as (images, labels), or "
    "pictures"
)
LOAD_FIRST = 'load_dataset("mnist_idx", "tiny", split="train")'
LEAST_SQUARE = 49  # pixels in a row from which on it may be a whole image: 7 x 7


class Pictures(NamedTuple):
    """Images to show."""

    pixels: np.ndarray  # uint8, (n, rows, cols) or (n, rows, cols, 3)
    captions: list[str] | None  # one for each image; None without labels


class _Found(NamedTuple):
    """What a source holds."""

    images: object  # a sequence of them
    labels: object | None
    names: Sequence[str] | None = None  # of the classes


def read_pictures(
    source: "PictureSource",
    labels: "ArrayLike | None" = None,
    names: Sequence[str] | None = None,
    num: int | None = None,
) -> Pictures:
    """Read the first images of a source of `contact_sheet`, whose arguments these are.

    Raises:
        IdxError: the images cannot be shown, or there is not one label for each.
    """
    num = NUM_SHOWN if num is None else num
    found = _find_images(source, num)
    if labels is not None:
        found = found._replace(labels=labels)
    if names is None:
        names = found.names
    num_images = _count(found.images)
    pixels = displayable(_first_images(found.images, num))
    if found.labels is None:
        return Pictures(pixels, None)
    num_labels = _count(found.labels)
    is_first_part = is_dataset(source) and labels is not None  # of the images, not of the labels
    captions = [_caption(label, names) for label in _first_values(found.labels, num)]
    if (num_images != num_labels and not is_first_part) or len(captions) != len(pixels):
        found_counts = f"found {num_images} images and {num_labels} labels"
        raise IdxError(f"Expected a label for each image, {found_counts}.")
    return Pictures(pixels, captions)


def _find_images(source: object, num: int) -> _Found:
    """The images of a source of `contact_sheet`; of a dataset only as many as will be shown."""
    if isinstance(source, str | os.PathLike):
        found = f"Expected images, found the text {os.fspath(source)!r}"
        raise IdxError(f"{found}. Load them first, for example with {LOAD_FIRST}.")
    if isinstance(source, Mapping) and not are_arrays_with_names(source):
        return _find_images(_only_split(source), num)
    if is_picture(source):
        return _Found([source], None)
    if isinstance(source, Sequence) and not isinstance(source, list | tuple):
        return _Found(source, None)  # A column of a dataset.
    split = read_split(source, "The images", FORMS)
    if is_dataset(split):
        return _read_dataset(split, num)
    images, labels = split
    if is_picture(images):  # A single record.
        return _Found([images], None if labels is None else [labels])
    return _Found(images, labels)


def _only_split(splits: Mapping[str, object]) -> object:
    """The split of a mapping of one."""
    if len(splits) == 1:
        return next(iter(splits.values()))
    found = f"Expected one split, found {', '.join(map(str, splits)) or 'nothing'}"
    raise IdxError(f'{found}. Pick one: dataset["{next(iter(splits), "train")}"].')


def _count(values: object) -> int:
    """The number of images or labels; 0 of what is no sequence."""
    try:
        return len(cast("Sequence[object]", values))
    except TypeError:
        return 0


def _first_values(values: object, num: int) -> np.ndarray:
    """The first values of a sequence, an array, or a tensor of PyTorch, on any device."""
    first: Any = values
    if _count(first) > num:
        first = first[:num]
    if hasattr(first, "detach"):
        first = first.detach().cpu()
    try:
        return np.atleast_1d(np.asarray(first))
    except (ValueError, TypeError, RuntimeError) as error:
        found = f"The images cannot be made an array: {str(error).rstrip('.')}"
        raise IdxError(f"{found}. Expected {FORMS}.") from error


def _first_images(images: object, num: int) -> np.ndarray:
    first: Any = images
    if _count(first) > 0 and is_picture(first[0]):
        return _stack(list(first[:num]), None)
    has_two_dimensions = getattr(images, "ndim", None) == 2  # The error shows all of its shape.
    return _first_values(images, len(first) if has_two_dimensions else num)


def _read_dataset(dataset: "Dataset | IterableDataset", num: int) -> _Found:
    """Read the first records: the first column of pictures, and the first one of classes.

    Where the features declare none, the columns are called `image` and `label`.
    """
    features: Mapping[str, object] = dataset.features or {}
    pictures = [name for name, feature in features.items() if is_image(feature)]
    classes = [name for name, feature in features.items() if is_class_label(feature)]
    image_column = pictures[0] if pictures else "image"
    label_column = classes[0] if classes else "label"
    rows = list(islice(dataset.with_format(None), num))
    labels = None
    if rows and label_column in rows[0]:
        labels = [row[label_column] for row in rows]
    names = getattr(features.get(label_column), "names", None)
    dtype = None if pictures else getattr(features.get(image_column), "dtype", None)
    images = _stack([row.get(image_column) for row in rows], dtype)
    return _Found(images, labels, names)


def _stack(images: Sequence[object], dtype: str | None) -> np.ndarray:
    """Pictures or arrays of one size as an array, (n, rows, cols, …)."""
    if not images:
        return np.zeros((0, 1, 1))
    try:
        return np.stack([_image_array(image, dtype) for image in images])
    except ValueError as error:
        raise IdxError("The images differ in size or mode. Convert them first.") from error


def _image_array(image: object, dtype: str | None) -> np.ndarray:
    from PIL import Image  # takes long to import

    if not isinstance(image, Image.Image):
        return np.asarray(image, dtype)
    image = without_transparency(image, WHITE)
    # Gray, floats and wide integers are drawn as they are.
    if image.mode != "L" and not image.mode.startswith(WIDE_MODES):
        image = image.convert("RGB")
    return np.asarray(image)


def displayable(images: np.ndarray) -> np.ndarray:
    """Images of any element type as `uint8` of shape (N, rows, cols) or (N, rows, cols, 3).

    Raises:
        IdxError: they have another shape, or their pixels are no numbers.
    """
    images = arrange_channels(images)
    is_color = images.ndim == 4 and images.shape[3] == 3
    if images.ndim != 3 and not is_color:
        expected = "Expected images of shape (N, rows, cols) or (N, rows, cols, 3)"
        raise IdxError(f"{expected}, found {images.shape}.{_advice_for(images.shape)}")
    has_no_pixels = len(images) > 0 and images.size == 0
    if images.dtype.kind not in "biuf" or has_no_pixels:
        expected = "Expected images with pixels that are numbers"
        raise IdxError(f"{expected}, found {images.dtype} {images.shape}.")
    return images if images.dtype == np.uint8 else _scale(images)


def _advice_for(shape: tuple[int, ...]) -> str:
    """What to do about images of two dimensions, with a space before it; "" of others."""
    if len(shape) != 2:
        return ""
    side = math.isqrt(shape[1])
    if shape[1] >= LEAST_SQUARE and side * side == shape[1]:
        return f" Give each its rows and columns: images.reshape(-1, {side}, {side})."
    return " Of a single image, pass image[None]."


def _scale(images: np.ndarray) -> np.ndarray:
    """Scale numbers from their smallest to their largest as 0 to 255. A single value is black."""
    values = images.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = 0.0, 0.0
    if finite.size:
        low, high = np.min(finite), np.max(finite)
    if images.dtype.kind in "bf" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0  # the usual range of floats
    # Halve first: high - low can overflow.
    half_low = low / 2
    half_high = max(high / 2, np.nextafter(half_low, np.inf))
    scaled = np.interp(values / 2, (half_low, half_high), (0, 255))
    pixels: np.ndarray = np.nan_to_num(scaled).round().astype(np.uint8)
    return pixels


def _caption(label: np.ndarray, names: Sequence[str] | None) -> str:
    """The name of a class, its number if it has no name; "" if the label has no parts.

    Args:
        label: a number, or its parts, the first of which is the class.
    """
    parts = np.ravel(label)
    if not parts.size:
        return ""
    number = parts[0]
    if names is not None and isinstance(number, np.integer) and 0 <= number < len(names):
        name = " ".join(str(names[int(number)]).split())
        # The font of Pillow has few other letters.
        if name and name.isascii() and name.isprintable():
            return name
    return str(number)
