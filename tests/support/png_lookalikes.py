"""PNG files that are almost as plain as those that are read without Pillow."""

import io
import zlib

import numpy as np
from idx_files import random_images
from PIL import Image
from png_files import END, SIGNATURE, gray_file, header, lines, png_file

PIXELS = random_images(6, 5)
HEADER = (b"IHDR", header(6, 5))
DATA = zlib.compress(lines(PIXELS))
PLAIN = gray_file(PIXELS)


def filtered(kind: int) -> bytes:
    return png_file(HEADER, (b"IDAT", zlib.compress(lines(PIXELS, kind))), END)


def with_first_header(content: bytes, data: bytes = DATA) -> bytes:
    return png_file((b"IHDR", content), (b"IDAT", data), END)


def saved(picture: Image.Image, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", **options)
    return file.getvalue()


GRAY_PICTURE = Image.fromarray(PIXELS)
WIDE = np.arange(30, dtype=np.uint16).reshape(6, 5)
BEFORE_LAST_CHUNK = PLAIN[: -len(png_file(END)) + len(SIGNATURE)]

# Pillow reads them as gray pictures of this size.
GRAY = {
    "filter-sub": filtered(1),
    "filter-up": filtered(2),
    "filter-average": filtered(3),
    "filter-paeth": filtered(4),
    "two-chunks-of-data": png_file(HEADER, (b"IDAT", DATA[:9]), (b"IDAT", DATA[9:]), END),
    "empty-chunk-of-data": png_file(HEADER, (b"IDAT", DATA), (b"IDAT", b""), END),
    "gamma": png_file(HEADER, (b"gAMA", bytes([0, 0, 177, 143])), (b"IDAT", DATA), END),
    "text-behind-the-data": png_file(HEADER, (b"IDAT", DATA), (b"tEXt", b"a\0b"), END),
    "saved-by-pillow": saved(GRAY_PICTURE),
    "saved-by-pillow-optimized": saved(GRAY_PICTURE, optimize=True),
    "bytes-behind-the-end": PLAIN + b"more",
    "bytes-behind-the-data": png_file(HEADER, (b"IDAT", DATA + b"more"), END),
    "rows-behind-the-last": png_file(
        HEADER, (b"IDAT", zlib.compress(lines(PIXELS) + bytes(99))), END
    ),
    "too-few-rows": with_first_header(header(6, 5), zlib.compress(lines(PIXELS[:4]))),
}
LEVEL = int(PIXELS[0, 0])
TRANSPARENT = saved(GRAY_PICTURE, transparency=LEVEL)  # where pixels have this level
# Pillow reads them as something else, or refuses them.
OTHER = {
    "color": saved(Image.fromarray(random_images(6, 5, 3))),
    "palette": saved(GRAY_PICTURE.convert("P")),
    "gray-and-alpha": saved(GRAY_PICTURE.convert("LA")),
    "one-bit": saved(GRAY_PICTURE.convert("1")),
    "sixteen-bits": saved(Image.fromarray(WIDE)),
    "interlaced": with_first_header(header(6, 5, interlace=1)),
    "no-rows": with_first_header(header(0, 5)),
    "unknown-filter": filtered(9),
    "wrong-checksum-of-the-pixels": png_file(HEADER, (b"IDAT", DATA[:-1] + b"?"), END),
    "no-data": png_file(HEADER, (b"IDAT", b""), END),
    "data-that-is-not-compressed": with_first_header(header(6, 5), lines(PIXELS)),
    "no-end-of-data": with_first_header(header(6, 5), DATA[:-7]),
    "wrong-checksum-of-the-header": PLAIN[:29] + b"abcd" + PLAIN[33:],
    "nothing": b"",
    "signature-alone": SIGNATURE,
    "no-png": b"GIF89a" + PLAIN[6:],
}
