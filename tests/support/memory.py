"""Large files that take little disk space."""

import struct
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 2048
RECORD_BYTES = SIDE * SIDE  # of a large image
PLACES = (0, RECORD_BYTES // 2 + 10, RECORD_BYTES - 4)  # of an image's number in it


def write_large_images(path: Path, count: int, fill: bytes = b"") -> Path:
    """Write images `(count, SIDE, SIDE)`, black but for their numbers: the file has holes.

    With `fill`, its bytes are their content, from another place on in each image.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(">HBBIII", 0, 8, 3, count, SIDE, SIDE)
    with open(path, "wb") as file:
        file.write(header)
        for number in range(count):
            start = len(header) + number * RECORD_BYTES
            if fill:
                file.seek(start)
                file.write(fill[number : number + RECORD_BYTES])
            for place in PLACES:
                file.seek(start + place)
                file.write(struct.pack(">I", number))
        file.truncate(len(header) + count * RECORD_BYTES)
    return path


def number_of_large(image: Any) -> int:
    """The number that is in all places of an image, or -1."""
    flat = np.asarray(image, np.uint8).reshape(-1)
    found = {int.from_bytes(flat[place : place + 4].tobytes(), "big") for place in PLACES}
    return found.pop() if len(found) == 1 else -1
