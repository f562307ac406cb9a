"""Pictures of a dataset, and what stands in their place, as arrays."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ..errors import IdxError

if TYPE_CHECKING:
    from PIL import Image

# Modes of pictures whose values do not fit 8 bits start like this: "I;16", "F", …
WIDE_MODES = ("I", "F")
GRAY_MODES = ("1", "L", "LA", "La")
WHITE = 255


class Conversion(NamedTuple):
    """What to convert all pictures to."""

    mode: str | None  # "L" or "RGB"; None: pictures that are not gray are an error
    size: tuple[int, int] | None  # (rows, cols); None: they keep their size
    background: int = WHITE  # gray level that shows through transparent pixels


def to_array(value: object, dtype: str | None, conversion: Conversion, title: str) -> np.ndarray:
    """An image of a dataset as an array: a picture, encoded or not, or an array already.

    Args:
        dtype: of what is an array already; None for its own.

    Returns:
        Of pictures uint8, (rows, cols) or (rows, cols, 3); of others what they hold.

    Raises:
        IdxError: there is no image, it cannot be read, or it must be converted first.
    """
    from PIL import Image  # takes long to import

    if value is None:
        raise no_image(title)
    if isinstance(value, dict):
        return picture_to_array(_decode(value, title), conversion, title)
    if isinstance(value, Image.Image):
        return picture_to_array(value, conversion, title)
    refuse_conversion(conversion, title)
    return as_array(value, dtype, title)


def _decode(encoded: dict[str, object], title: str) -> "Image.Image":
    """Decode a picture that `datasets` has left encoded: its bytes, or the path of its file."""
    import datasets
    from PIL import Image

    try:
        return datasets.Image().decode_example(encoded)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        path = f" ({encoded['path']})" if encoded.get("path") else ""
        raise IdxError(f"{title}{path} cannot be read as an image: {error}") from error


def picture_to_array(picture: "Image.Image", conversion: Conversion, title: str) -> np.ndarray:
    """A picture as uint8, (rows, cols) or (rows, cols, 3), in the mode and size of `conversion`."""
    from PIL import Image

    mode = conversion.mode or "L"
    is_wide = picture.mode.startswith(WIDE_MODES)
    if picture.mode != mode and (conversion.mode is None or is_wide):
        raise _wrong_mode(picture, mode, title)
    try:
        converted = without_transparency(picture, conversion.background).convert(mode)
    except ValueError as error:
        found = f"{title} is an image of mode {picture.mode!r}"
        raise IdxError(f"{found}: {error}. Convert it to RGB first.") from error
    if conversion.size is not None:
        rows, cols = conversion.size
        converted = converted.resize((cols, rows), Image.Resampling.LANCZOS)
    return np.asarray(converted)


def without_transparency(picture: "Image.Image", background: int) -> "Image.Image":
    """A picture on a ground of one gray level, if parts of it are transparent.

    Without a ground, Pillow shows the colors that transparent pixels happen to have: mostly black.
    """
    from PIL import Image

    if not picture.has_transparency_data:
        return picture
    ground = Image.new("RGBA", picture.size, (background, background, background, 255))
    blended = Image.alpha_composite(ground, picture.convert("RGBA"))
    return blended.convert("L" if picture.mode in GRAY_MODES else "RGB")


def _wrong_mode(picture: "Image.Image", mode: str, title: str) -> IdxError:
    found = f'{title} is an image of mode "{picture.mode}", expected "{mode}". Convert all with'
    way_out = "Scale those whose values do not fit 8 bits first."
    return IdxError(
        f'{found} mode="L" or mode="RGB". {way_out}',
        command_line=f"{found} --mode L or --mode RGB. {way_out}",
    )


def no_image(title: str) -> IdxError:
    return IdxError(f"{title} has no image. Filter such records out.")


def refuse_conversion(conversion: Conversion, title: str) -> None:
    """Raise an error if what is an array already is to be converted."""
    if conversion.mode is None and conversion.size is None:
        return
    found = f"{title} is an array;"
    raise IdxError(
        f"{found} mode= and size= are for pictures. Convert the arrays first.",
        command_line=f"{found} --mode and --size are for pictures. Leave them out.",
    )


def as_array(value: object, dtype: str | None, title: str) -> np.ndarray:
    """`np.asarray`, whose error names the record."""
    try:
        return np.asarray(value, dtype)
    except (ValueError, TypeError, OverflowError) as error:
        # Lists of different lengths, or no numbers.
        way_out = "Pass images as arrays of one shape."
        raise IdxError(f"{title} is no array: {error}. {way_out}") from error
