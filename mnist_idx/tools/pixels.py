"""Images of a dataset or of arrays as pixels that can be shown, each with a caption."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import IdxError
from ..record_layout import arrange_channels
from .dataset_types import is_class_label, is_dataset, is_image
from .pictures import WHITE, WIDE_MODES, without_transparency

if TYPE_CHECKING:
    from datasets import Dataset, IterableDataset
    from numpy.typing import ArrayLike

    from .input_forms import SplitSource

NUM_OF_A_DATASET = 25  # images to read, unless told


class Pictures(NamedTuple):
    """Images to show."""

    pixels: np.ndarray  # uint8, (n, rows, cols) or (n, rows, cols, 3)
    captions: list[str] | None  # one for each image; None without labels


class _Found(NamedTuple):
    """What a dataset holds."""

    images: np.ndarray
    labels: list[object] | None
    names: list[str] | None  # of the classes


def read_pictures(
    source: "SplitSource",
    labels: "ArrayLike | None" = None,
    names: Sequence[str] | None = None,
    num: int | None = None,
) -> Pictures:
    """Read the first images of a source of `contact_sheet`, whose arguments these are.

    Raises:
        IdxError: the images cannot be shown, or there is not one label for each.
    """
    if isinstance(source, Mapping):
        found = f"Expected one split, found {', '.join(source)}"
        raise IdxError(f'{found}. Pick one: dataset["{next(iter(source), "")}"].')
    given_images: object = source
    given_labels: object = labels
    if is_dataset(source):
        content = _read_dataset(source, NUM_OF_A_DATASET if num is None else num)
        given_images = content.images
        given_labels = content.labels if labels is None else labels
        names = content.names if names is None else names
    elif isinstance(source, tuple) and len(source) == 2 and labels is None:
        given_images, given_labels = source
    pixels = displayable(np.atleast_1d(np.asarray(given_images))[:num])
    if given_labels is None:
        return Pictures(pixels, None)
    captions = [_caption(label, names) for label in np.asarray(given_labels)[:num]]
    if len(captions) != len(pixels):
        found = f"found {len(pixels)} images and {len(captions)} labels"
        raise IdxError(f"Expected a label for each image, {found}.")
    return Pictures(pixels, captions)


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
        raise IdxError(f"{expected}, found {images.shape}.")
    has_no_pixels = len(images) > 0 and images.size == 0
    if images.dtype.kind not in "biuf" or has_no_pixels:
        expected = "Expected images with pixels that are numbers"
        raise IdxError(f"{expected}, found {images.dtype} {images.shape}.")
    return images if images.dtype == np.uint8 else _scale(images)


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
