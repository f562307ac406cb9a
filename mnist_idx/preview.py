"""A contact sheet: many small images on one picture, each enlarged without blur, its label under it."""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .idx import IdxError

PAPER = (255, 255, 255)
FRAME = (208, 208, 208)
INK = (32, 32, 32)
MARGIN = 16
GAP = 12
CAPTION_SIZES = (16, 14, 12)
# A caption needs room even where an image is one pixel wide.
MIN_TILE = 48
ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def contact_sheet(
    images: Any,
    labels: Sequence[Any] | np.ndarray | None = None,
    names: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    cell: int = 112,
) -> Image.Image:
    """Draw images side by side, each with its label under it.

    Small images are enlarged by the largest whole factor that keeps them within `cell`, so that every pixel stays a
    sharp square. Images larger than `cell` are reduced to it.

    Args:
        images: array (N, rows, cols) of gray or (N, rows, cols, 3) of RGB images. `uint8` is drawn as it is; anything
            else is scaled so that its smallest value is black and its largest white (floats from 0 to 1: 0 and 1).
        labels: N class numbers, or rows of numbers of which the first is the class, or `None` for no captions.
        names: what to write for class 0, 1, …; a class without a name is written as its number.
        columns: images in a row; by default about as many as there are rows.
        cell: pixels that the longer side of an image gets on the sheet.

    Returns:
        An RGB image.

    Raises:
        IdxError: the arrays cannot be drawn, or their numbers differ.
    """
    pixels = displayable(np.asarray(images))
    captions = None if labels is None else [_caption(label, names) for label in np.asarray(labels)]
    if captions is not None and len(captions) != len(pixels):
        raise IdxError(f"A contact sheet needs a label for each image: {len(pixels)} images, {len(captions)} labels.")
    if cell < 1 or (columns is not None and columns < 1):
        raise IdxError(f"cell and columns must be at least 1, not {cell} and {columns}.")
    if not len(pixels):
        return _empty_sheet()

    drawn_width, drawn_height = _drawn_size(pixels.shape[2], pixels.shape[1], cell)
    tile_width = max(drawn_width, MIN_TILE)
    tile_height = drawn_height + (0 if captions is None else CAPTION_SIZES[0] + 10)
    columns = min(columns or math.ceil(math.sqrt(len(pixels) * drawn_height / tile_width)), len(pixels))
    rows = math.ceil(len(pixels) / columns)
    sheet = Image.new("RGB", (_extent(columns, tile_width), _extent(rows, tile_height)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, image in enumerate(pixels):
        row, column = divmod(index, columns)
        left = MARGIN + column * (tile_width + GAP) + (tile_width - drawn_width) // 2
        top = MARGIN + row * (tile_height + GAP)
        drawn = _resized(Image.fromarray(image), (drawn_width, drawn_height))
        # The frame shows where a white image ends.
        draw.rectangle((left - 1, top - 1, left + drawn_width, top + drawn_height), outline=FRAME)
        sheet.paste(drawn, (left, top))
        if captions is not None:
            text, font = _fitted(captions[index], tile_width + GAP - 4)
            draw.text((left + drawn_width / 2, top + drawn_height + 5), text, fill=INK, font=font, anchor="ma")
    return sheet


def displayable(images: np.ndarray) -> np.ndarray:
    """Images of any element type as `uint8`, contiguous, (N, rows, cols) or (N, rows, cols, 3)."""
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
        raise IdxError(
            f"Images to draw have the shape (N, rows, cols) or (N, rows, cols, 3), not {images.shape}. "
            "Pick or reshape the dimensions to draw."
        )
    if len(images) and not math.prod(images.shape[1:]):
        raise IdxError(f"Images of the shape {images.shape[1:]} have no pixels to draw.")
    if images.dtype == np.uint8:
        return np.ascontiguousarray(images)
    if images.dtype.kind not in "biuf":
        raise IdxError(f"Images to draw hold numbers, not {images.dtype}.")
    values = images.astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    if images.dtype.kind in "bf" and 0 <= low and high <= 1:
        low, high = 0.0, 1.0
    values = np.nan_to_num(values, nan=low, posinf=high, neginf=low)
    # Halved first: the difference of two finite numbers need not be finite.
    scaled = (values / 2 - low / 2) / (high / 2 - low / 2 or 1.0)
    return np.ascontiguousarray((scaled * 255).round().astype(np.uint8))


def _extent(count: int, tile: int) -> int:
    return 2 * MARGIN + count * tile + (count - 1) * GAP


def _drawn_size(width: int, height: int, cell: int) -> tuple[int, int]:
    longer = max(width, height)
    if longer <= cell:
        factor = cell // longer
        return width * factor, height * factor
    return max(1, width * cell // longer), max(1, height * cell // longer)


def _resized(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    enlarged = size[0] >= image.width and size[1] >= image.height
    return image.resize(size, Image.Resampling.NEAREST if enlarged else Image.Resampling.BOX)


def _empty_sheet() -> Image.Image:
    sheet = Image.new("RGB", (240, 64), PAPER)
    ImageDraw.Draw(sheet).text((120, 32), "no records", fill=INK, font=_font(CAPTION_SIZES[0]), anchor="mm")
    return sheet


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)


@functools.cache
def _has_glyph(character: str) -> bool:
    font = _font(CAPTION_SIZES[0])
    return bytes(font.getmask(character)) != bytes(font.getmask("\uffff"))


def _caption(label: Any, names: Sequence[str] | None) -> str:
    number = np.ravel(label)[0] if np.size(label) else ""
    text = ""
    if names is not None and isinstance(number, np.integer) and 0 <= number < len(names):
        # The font that comes with Pillow has few letters beyond ASCII: é is drawn as e, and what has no such
        # counterpart is left out. A name of which nothing remains is given by its number.
        spaced = " ".join(unicodedata.normalize("NFKD", str(names[int(number)])).split())
        text = "".join(character for character in spaced if _has_glyph(character)).strip(" -")
    return text or str(number)


def _fitted(text: str, width: int) -> tuple[str, Any]:
    """The text in the largest size that fits the width, shortened where even the smallest does not fit."""
    for size in CAPTION_SIZES:
        font = _font(size)
        if font.getlength(text) <= width:
            return text, font
    kept = len(text)
    while kept and font.getlength(text[:kept] + ELLIPSIS) > width:
        kept -= 1
    return text[:kept].rstrip() + ELLIPSIS, font
