"""Images for people to look at: a contact sheet, or text for a terminal."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import IdxError, shown_value, wrong_option
from .pixels import Pictures, read_pictures
from .staged import staged

if TYPE_CHECKING:
    from datasets import Dataset
    from numpy.typing import ArrayLike
    from PIL import Image, ImageFont

    from .pixels import PictureSource

PAPER, FRAME, INK = (255, 255, 255), (208, 208, 208), (32, 32, 32)
MARK_KEY, MARK = "Software", "mnist-idx preview"  # a text in a PNG file
MARGIN, GAP, CAPTION_HEIGHT = 16, 12, 26  # pixels
MAX_SHEET_PIXELS = 64 << 20
MIN_TILE = 48  # a caption needs room even under an image of one pixel
MAX_IMAGES = MAX_SHEET_PIXELS // MIN_TILE**2
SHADES = " .:-=+*#%@"  # from the background to the middle of a stroke
SHADE_STEP = 26  # of 256 values, for each of the ten shades
TERMINAL_COLUMNS = 80


def contact_sheet(
    source: "PictureSource",
    labels: "ArrayLike | None" = None,
    names: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    cell: int = 112,
    num: int | None = None,
) -> "Image.Image":
    """Draw images side by side, the first 25, each with its label under it.

    Small images are enlarged by a whole factor, so that every pixel is a sharp square; images
    larger than `cell` are reduced to it.

    >>> from mnist_idx import contact_sheet, load_arrays, load_dataset
    >>> sheet = contact_sheet(load_dataset("mnist_idx", "tiny", split="train"), num=12)
    >>> sheet.save("digits.png")
    >>> images, labels = load_arrays("mnist_idx", "tiny")
    >>> contact_sheet(images[:4], labels[:4], columns=2).size
    (268, 320)

    Args:
        source: a `Dataset` or `IterableDataset`, of which only the first records are read; some of
            its records, as `dataset[:5]`, or one of them; a pair of arrays `(images, labels)`; or
            images alone, (N, rows, cols) of gray or (N, rows, cols, 3) of RGB, also with channels
            first. Arrays may be those of NumPy or tensors of PyTorch. `uint8` is drawn as it is,
            other types from their smallest to their largest value, or from 0 to 1 if they are
            within.
        labels: N class numbers, or (N, parts) of which the first part is the class. A single
            integer is `num`.
        names: of the classes, by default those of the dataset. A class without a name in ASCII is
            drawn as its number.
        columns: images per row; by default the sheet is about square.
        cell: pixels of the longer side of an image on the sheet.
        num: most images to draw.

    Returns:
        A `PIL.Image.Image`, which notebooks show, and which `.save("sheet.png")` writes.

    Raises:
        IdxError: the images cannot be drawn, or there is not one label for each.
    """
    if isinstance(labels, int | np.integer) and num is None:
        num, labels = int(labels), None
    _check_options(columns, cell, num)
    pictures = read_pictures(source, labels, names, num)
    if len(pictures.pixels) == 0:
        white = np.full((1, 1, 1), 255, np.uint8)
        pictures = Pictures(white, ["no records"])
    layout = lay_out(pictures, columns, cell)
    _check_sheet_size(layout)
    return _draw(pictures, layout, font_size=min(max(10, cell // 5), 16))


def check_num(num: int) -> None:
    """Refuse to draw more images than fit a sheet, before they are read."""
    if num > MAX_IMAGES:
        raise wrong_option("num", num, f"at most {MAX_IMAGES:,}")


def _check_options(columns: int | None, cell: int, num: int | None) -> None:
    for option, value in (("cell", cell), ("columns", columns), ("num", num)):
        is_positive = isinstance(value, int | np.integer) and value > 0
        if value is not None and not is_positive:
            raise IdxError(f"{option}={shown_value(value)}: expected an integer, at least 1.")
    if num is not None:
        check_num(num)


class Layout(NamedTuple):
    """Where the images of a contact sheet are. All lengths are in pixels."""

    columns: int
    rows: int
    width: int  # of an image
    height: int
    tile_width: int  # room for an image and its caption
    tile_height: int
    is_enlarged: bool  # images are drawn larger than they are, or as large

    @property
    def sheet_size(self) -> tuple[int, int]:
        """The width and the height of the sheet."""
        width = 2 * MARGIN - GAP + self.columns * (self.tile_width + GAP)
        height = 2 * MARGIN - GAP + self.rows * (self.tile_height + GAP)
        return width, height

    def position(self, index: int) -> tuple[int, int]:
        """The left and the upper edge of an image."""
        row, column = divmod(index, self.columns)
        left = MARGIN + column * (self.tile_width + GAP)
        top = MARGIN + row * (self.tile_height + GAP)
        return left + (self.tile_width - self.width) // 2, top


def lay_out(pictures: Pictures, columns: int | None, cell: int) -> Layout:
    """Lay out at least one image; see `contact_sheet`."""
    count, rows, cols = pictures.pixels.shape[:3]
    longer = max(rows, cols)
    is_enlarged = longer <= cell
    scale = cell // longer if is_enlarged else cell / longer
    width = max(1, int(cols * scale))
    height = max(1, int(rows * scale))
    tile_width = max(width, MIN_TILE)
    tile_height = height
    if pictures.captions is not None:
        tile_height += CAPTION_HEIGHT
    if columns is None:
        columns = math.ceil(math.sqrt(count * height / tile_width))
    columns = min(columns, count)
    return Layout(
        columns=columns,
        rows=math.ceil(count / columns),
        width=width,
        height=height,
        tile_width=tile_width,
        tile_height=tile_height,
        is_enlarged=is_enlarged,
    )


def _check_sheet_size(layout: Layout) -> None:
    width, height = layout.sheet_size
    if width * height > MAX_SHEET_PIXELS:
        found = f"A picture of {width:,} x {height:,} pixels"
        advice = f"{found}, expected at most {MAX_SHEET_PIXELS:,} in all. Draw fewer images with"
        raise IdxError(
            f"{advice} num=, or smaller ones with cell=.", command_line=f"{advice} --num."
        )


def _draw(pictures: Pictures, layout: Layout, font_size: int) -> "Image.Image":
    from PIL import Image, ImageDraw, ImageFont  # takes long to import

    sheet = Image.new("RGB", layout.sheet_size, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(font_size)
    width, height = layout.width, layout.height
    resampling = Image.Resampling.NEAREST if layout.is_enlarged else Image.Resampling.BOX
    for index, image in enumerate(pictures.pixels):
        left, top = layout.position(index)
        # The frame shows where a white image ends.
        draw.rectangle((left - 1, top - 1, left + width, top + height), outline=FRAME)
        sheet.paste(Image.fromarray(image).resize((width, height), resampling), (left, top))
        if pictures.captions is not None:
            room = layout.tile_width + GAP - 4
            text = _shorten(pictures.captions[index], font, room)
            middle = left + width / 2
            draw.text((middle, top + height + 5), text, fill=INK, font=font, anchor="ma")
    return sheet


def _shorten(text: str, font: "ImageFont.FreeTypeFont | ImageFont.ImageFont", room: int) -> str:
    """A text that is at most `room` pixels wide."""
    while font.getlength(text) > room:
        text = text[:-2] + "…"
    return text


def is_drawn(path: Path) -> bool:
    """Whether a file is a picture that `save_picture` has written, as PNG."""
    from PIL import Image, PngImagePlugin

    try:
        with Image.open(path) as picture:
            is_png = isinstance(picture, PngImagePlugin.PngImageFile)
            return is_png and picture.info.get(MARK_KEY) == MARK
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def check_target(target: Path) -> str:
    """The format of a picture that can be written to a file, as Pillow calls it.

    Raises:
        IdxError: its name has an unknown ending, or its folder is not there.
    """
    from PIL import Image

    kind = Image.registered_extensions().get(target.suffix.lower())
    if kind is None or kind not in Image.SAVE:
        advice = "Choose a name that ends in .png with --output."
        raise IdxError(f"{target}: a picture of unknown format. {advice}")
    if not target.absolute().parent.is_dir():
        raise IdxError(f"{target.absolute()}: there is no such folder. Choose another --output.")
    return kind


def save_picture(picture: "Image.Image", target: Path, overwrite: bool) -> None:
    """Write a picture to a file, in the format that the ending of its name says.

    A PNG file gets a mark, see `is_drawn`. A file that is there stays whole.
    """
    from PIL import PngImagePlugin

    kind = check_target(target)
    options = {}
    if kind == "PNG":
        mark = PngImagePlugin.PngInfo()
        mark.add_text(MARK_KEY, MARK)
        options["pnginfo"] = mark
    with staged(target, overwrite, is_folder=False) as path:
        try:
            picture.save(path, kind, **options)
        except (OSError, ValueError) as error:
            found = f"{target}: cannot be written: {error}"
            raise IdxError(f"{found}. Choose another --output.") from error


def text_sheet(source: "PictureSource", num: int, names: Sequence[str] | None = None) -> str:
    """The first `num` images of a source of `contact_sheet` as text, each below its label.

    Args:
        names: of the classes, by default those of the dataset.
    """
    pixels, captions = read_pictures(source, names=names, num=num)
    if len(pixels) == 0:
        return "no records"
    if pixels.ndim == 4:
        pixels = pixels.mean(axis=3).astype(np.uint8)
    step = math.ceil(pixels.shape[2] / TERMINAL_COLUMNS)
    drawn: list[str] = []
    for index, image in enumerate(pixels[:, ::step, ::step]):
        caption = "" if captions is None else captions[index]
        drawn.append("\n".join([caption, *_text_lines(image)]))
    return "\n\n".join(drawn)


def _text_lines(image: np.ndarray) -> list[str]:
    """The rows of a gray image as text, without those that are empty."""
    lines: list[str] = []
    for row in image.tolist():
        line = "".join(SHADES[pixel // SHADE_STEP] for pixel in row).rstrip()
        if line:
            lines.append(line)
    return lines


class SplitSummary(NamedTuple):
    """What is told of a split."""

    num_records: int
    shape: tuple[int, ...]  # of an image
    class_counts: Mapping[str, int]  # records of each class, by its name; empty without classes


def describe(description: str, splits: Mapping[str, SplitSummary], width: int) -> str:
    """Describe a dataset, and of each split its size and its classes.

    Args:
        description: of the dataset.
        width: most characters of a line.
    """
    lines = [description]
    for name, summary in splits.items():
        shape = "nothing"
        if summary.num_records > 0:
            shape = "x".join(map(str, summary.shape))
        lines.append(f"{name}: {summary.num_records:,} records of {shape}")
        counts = [f"{name}: {count:,}" for name, count in summary.class_counts.items() if count]
        classes = ", ".join(counts)
        lines += textwrap.wrap(classes, width, initial_indent="  ", subsequent_indent="  ")
    return "\n".join(lines)


def summarize(splits: "Mapping[str, Dataset]", width: int) -> str:
    """Describe prepared splits, as `describe` does."""
    summaries: dict[str, SplitSummary] = {}
    for name, dataset in splits.items():
        shape = np.shape(dataset[0]["image"]) if len(dataset) > 0 else ()
        summaries[name] = SplitSummary(len(dataset), shape, _count_classes(dataset))
    return describe(next(iter(splits.values())).info.description, summaries, width)


def _count_classes(dataset: "Dataset") -> dict[str, int]:
    """How many records each class has; empty without classes."""
    if "label" not in dataset.features:
        return {}
    counts = np.bincount(dataset.data.column("label").to_numpy())
    names = dataset.features["label"].int2str(range(len(counts)))
    return dict(zip(names, counts.tolist(), strict=True))
