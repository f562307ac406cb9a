"""Images for people to look at: a contact sheet, or text for a terminal."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np

from ..errors import IdxError, wrong_option
from .staged import staged

if TYPE_CHECKING:
    from PIL import Image

PAPER, FRAME, INK = (255, 255, 255), (208, 208, 208), (32, 32, 32)
MARGIN, GAP, CAPTION_HEIGHT = 16, 12, 26  # pixels
MAX_SHEET_PIXELS = 64 << 20
MIN_TILE = 48  # a caption needs room even under an image of one pixel
SHADES = " .:-=+*#%@"  # from the background to the middle of a stroke


def contact_sheet(
    source: Any,
    labels: Any = None,
    names: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    cell: int = 112,
    num: int | None = None,
) -> "Image.Image":
    """Draw images side by side, each with its label under it. Returns an RGB image.

    Small images are enlarged by a whole factor, so that every pixel is a sharp square; images
    larger than `cell` are reduced to it.

    Args:
        source: a `Dataset` or `IterableDataset`, of which only the first records are read; a pair
            of arrays `(images, labels)`; or images alone, (N, rows, cols) of gray or (N, rows,
            cols, 3) of RGB. `uint8` is drawn as it is, other types from their smallest to their
            largest value, or from 0 to 1 if they are within.
        labels: N class numbers, or (N, parts) of which the first part is the class.
        names: of the classes, by default those of the dataset. A class without a name in ASCII is
            drawn as its number.
        columns: images per row; by default the sheet is about square.
        cell: pixels of the longer side of an image on the sheet.
        num: most images to draw; by default 25 of a dataset and all of an array.

    Raises:
        IdxError: the images cannot be drawn, or there is not one label for each.
    """
    from PIL import Image, ImageDraw, ImageFont  # takes long to import

    for option, value in (("cell", cell), ("columns", columns), ("num", num)):
        if value is not None and not (isinstance(value, int | np.integer) and value > 0):
            raise IdxError(f"{option}={value!r}: expected an integer, at least 1.")
    if num is not None and num > MAX_SHEET_PIXELS // MIN_TILE**2:  # before so many are read
        raise wrong_option("num", num, f"at most {MAX_SHEET_PIXELS // MIN_TILE**2:,}")
    pixels, captions = _read(source, labels, names, num)
    if not len(pixels):
        pixels, captions = np.full((1, 1, 1), 255, np.uint8), ["no records"]
    longer = max(pixels.shape[1:3])
    scale = cell // longer if longer <= cell else cell / longer
    height, width = (max(1, int(side * scale)) for side in pixels.shape[1:3])
    pitch = max(width, MIN_TILE) + GAP, height + GAP + (CAPTION_HEIGHT if captions else 0)
    columns = min(
        columns or math.ceil(math.sqrt(len(pixels) * height / (pitch[0] - GAP))), len(pixels)
    )
    rows = math.ceil(len(pixels) / columns)
    size = 2 * MARGIN - GAP + columns * pitch[0], 2 * MARGIN - GAP + rows * pitch[1]
    if size[0] * size[1] > MAX_SHEET_PIXELS:
        found = f"A picture of {size[0]:,} x {size[1]:,} pixels, expected at most {MAX_SHEET_PIXELS:,} in all"
        advice = f"{found}. Draw fewer images with"
        raise IdxError(
            f"{advice} num=, or smaller ones with cell=.", command_line=f"{advice} --num."
        )
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(min(max(10, cell // 5), 16))
    for index, image in enumerate(pixels):
        left = MARGIN + index % columns * pitch[0] + (pitch[0] - GAP - width) // 2
        top = MARGIN + index // columns * pitch[1]
        # The frame shows where a white image ends.
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=FRAME)
        resampling = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.BOX
        sheet.paste(Image.fromarray(image).resize((width, height), resampling), (left, top))
        if captions:
            text, room = captions[index], pitch[0] - 4
            while font.getlength(text) > room:
                text = text[:-2] + "…"
            draw.text((left + width / 2, top + height + 5), text, fill=INK, font=font, anchor="ma")
    return sheet


def save_picture(picture: "Image.Image", target: Path, overwrite: bool) -> None:
    """Write a picture to a file, in the format that the ending of its name says.

    A file that is there stays whole.
    """
    from PIL import Image

    kind = Image.registered_extensions().get(target.suffix.lower(), "")
    if kind not in Image.SAVE:
        raise IdxError(
            f"{target}: a picture of unknown format. Choose a name that ends in .png with --output."
        )
    if not target.absolute().parent.is_dir():
        raise IdxError(f"{target.absolute()}: there is no such folder. Choose another --output.")
    with staged(target, overwrite, is_folder=False) as path:
        try:
            picture.save(path, kind)
        except (OSError, ValueError) as error:
            raise IdxError(
                f"{target}: cannot be written: {error}. Choose another --output."
            ) from error


def text_sheet(source: Any, num: int) -> str:
    """The first `num` images of a source of `contact_sheet` as text, each below its label."""
    pixels, captions = _read(source, None, None, num)
    if pixels.ndim == 4:
        pixels = pixels.mean(axis=3).astype(np.uint8)
    step = math.ceil(pixels.shape[2] / 80)  # columns of a terminal
    drawn = []
    for image, caption in zip(
        pixels[:, ::step, ::step].tolist(), captions or [""] * len(pixels), strict=True
    ):
        lines = ["".join(SHADES[pixel // 26] for pixel in row).rstrip() for row in image]
        drawn.append("\n".join([caption, *filter(None, lines)]))
    return "\n\n".join(drawn) or "no records"


def summarize(splits: Mapping[str, datasets.Dataset], width: int) -> str:
    """The description of a dataset, and of each split its size and its classes, in lines of at most
    `width`.
    """
    lines = [next(iter(splits.values())).info.description]
    for split, dataset in splits.items():
        shape = "x".join(map(str, np.shape(dataset[0]["image"]))) if len(dataset) else "nothing"
        lines.append(f"{split}: {len(dataset):,} records of {shape}")
        if "label" in dataset.features:
            counts = np.bincount(dataset.data.column("label").to_numpy())
            names = dataset.features["label"].int2str(range(len(counts)))
            classes = ", ".join(
                f"{name}: {count:,}" for name, count in zip(names, counts, strict=True) if count
            )
            lines += textwrap.wrap(classes, width, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def displayable(images: np.ndarray) -> np.ndarray:
    """Images of any element type as `uint8` of shape (N, rows, cols) or (N, rows, cols, 3)."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3)):
        raise IdxError(
            f"Expected images of shape (N, rows, cols) or (N, rows, cols, 3), found {images.shape}."
        )
    if images.dtype.kind not in "biuf" or (len(images) and not images.size):
        raise IdxError(
            f"Expected images with pixels that are numbers, found {images.dtype} {images.shape}."
        )
    if images.dtype == np.uint8:
        return images
    values = images.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if images.dtype.kind in "bf" and 0 <= low and high <= 1:
        low, high = 0.0, 1.0  # the usual range of floats
    # Halved: the difference of two numbers can overflow. A single value is black.
    scaled = np.interp(
        values / 2, (low / 2, max(high / 2, np.nextafter(low / 2, np.inf))), (0, 255)
    )
    return np.nan_to_num(scaled).round().astype(np.uint8)


def _read(
    source: Any, labels: Any, names: Sequence[str] | None, num: int | None
) -> tuple[np.ndarray, list[str]]:
    """Pixels as uint8, and a caption for each image; no captions without labels."""
    if isinstance(source, Mapping):
        raise IdxError(
            f'Expected one split, found {", ".join(source)}. Pick one: dataset["{next(iter(source), "")}"].'
        )
    if isinstance(source, datasets.Dataset | datasets.IterableDataset):
        features = source.features or {}
        column = next(
            (name for name, kind in features.items() if isinstance(kind, datasets.Image)), "image"
        )
        classes = next(
            (name for name, kind in features.items() if isinstance(kind, datasets.ClassLabel)),
            "label",
        )
        names = getattr(features.get(classes), "names", None) if names is None else names
        rows = list(islice(source.with_format(None), 25 if num is None else num))
        if labels is None and rows and classes in rows[0]:
            labels = [row[classes] for row in rows]
        images = [row.get(column) for row in rows]
        dtype = getattr(features.get(column), "dtype", None)
        if images and hasattr(images[0], "convert"):
            # Gray, floats ("F") and integers ("I", "I;16") are drawn as they are.
            images = [
                image if image.mode in "LF" or "I" in image.mode else image.convert("RGB")
                for image in images
            ]
            dtype = None
        try:
            source = (
                np.stack([np.asarray(image, dtype) for image in images])
                if images
                else np.zeros((0, 1, 1))
            )
        except ValueError as error:
            raise IdxError("The images differ in size or mode. Convert them first.") from error
    elif isinstance(source, tuple) and len(source) == 2 and labels is None:
        source, labels = source
    pixels = displayable(np.atleast_1d(np.asarray(source))[:num])
    captions = (
        [] if labels is None else [_caption(label, names) for label in np.asarray(labels)[:num]]
    )
    if labels is not None and len(captions) != len(pixels):
        raise IdxError(
            f"Expected a label for each image, found {len(pixels)} images and {len(captions)} labels."
        )
    return pixels, captions


def _caption(label: Any, names: Sequence[str] | None) -> str:
    number = np.ravel(label)[0] if np.size(label) else ""
    if names is not None and isinstance(number, np.integer) and 0 <= number < len(names):
        name = " ".join(str(names[int(number)]).split())
        if (
            name and name.isascii() and name.isprintable()
        ):  # the font of Pillow has few other letters
            return name
    return str(number)
