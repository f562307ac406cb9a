"""Images of a dataset → arrays of several images each."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np

from ..errors import IdxError
from .column_values import ColumnValues
from .columns import element_type
from .dataset_types import is_image
from .pictures import Conversion, refuse_conversion, to_array
from .plain_png import PlainPngReader

# Of images that are in memory at once. The next ones may be larger than the last.
BLOCK_BYTES = 4 << 20
MAX_AT_ONCE = 256
MAX_THREADS = 8
# A smaller file is decoded before a thread has taken it.
SMALL_FILE_BYTES = 1 << 13


class ImageReader:
    """Makes arrays of the images of a column, whose records it is given one after the other.

    Args:
        feature: of the column, as far as it is known.
        conversion: of pictures.
        title: of the split, for errors.
    """

    def __init__(self, feature: object, conversion: Conversion, title: str) -> None:
        self._dtype = None if is_image(feature) else element_type(feature)
        self._conversion = conversion
        self._title = title
        self._png = PlainPngReader()
        self._takes_plain_png = conversion.mode in (None, "L") and conversion.size is None
        self._num_threads = min(MAX_THREADS, os.cpu_count() or 1)
        self._threads = ThreadPoolExecutor(self._num_threads)
        self._at_once = 1  # images; the first one tells how large they are

    def __enter__(self) -> "ImageReader":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._threads.shutdown(cancel_futures=True)

    def read(self, column: ColumnValues, first: int) -> Iterator[np.ndarray]:
        """The images of records, (n, …). Those of an array have one shape and type.

        Args:
            first: the number of the first record.

        Raises:
            IdxError: an image cannot be written. All before it are yielded first.
        """
        start = 0
        while start < len(column):
            stop = min(start + self._at_once, len(column))
            for images in self._read_part(column, start, stop, first):
                fitting = BLOCK_BYTES // max(1, images[0].nbytes)
                self._at_once = min(MAX_AT_ONCE, max(self._num_threads, fitting))
                yield images
            start = stop

    def _read_part(
        self, column: ColumnValues, start: int, stop: int, first: int
    ) -> Iterator[np.ndarray]:
        if self._dtype is not None:
            numbers = column.numbers(start, stop)
            if numbers is not None and numbers.dtype == self._dtype:
                refuse_conversion(self._conversion, f"{self._title}, record {first + start}")
                yield numbers
                return
        values = column.values(start, stop)
        pictures = self._read_plain_png(values)
        if pictures is not None:
            yield pictures
            return
        yield from _stack_alike(self._read_each(values, first + start))

    def _read_each(self, values: Sequence[object], first: int) -> Iterator[np.ndarray]:
        plain = [self._read_plain_png([value]) for value in values]
        others = [place for place, image in enumerate(plain) if image is None]

        def convert(place: int) -> np.ndarray:
            title = f"{self._title}, record {first + place}"
            return to_array(values[place], self._dtype, self._conversion, title)

        if any(_is_large_file(values[place]) for place in others):
            converted = self._threads.map(convert, others)
        else:
            converted = map(convert, others)
        for images in plain:
            yield next(converted) if images is None else images[0]

    def _read_plain_png(self, values: Sequence[object]) -> np.ndarray | None:
        """The pixels of files that need neither decoding by Pillow nor conversion, (n, …).

        None if one of them does, or has another size.
        """
        if not self._takes_plain_png:
            return None
        files = []
        for value in values:
            file = value.get("bytes") if isinstance(value, dict) else None
            if not isinstance(file, bytes):
                return None
            files.append(file)
        return self._png.read(files)


def _is_large_file(value: object) -> bool:
    """Whether a picture is worth a thread: encoded and large, or in a file of its own."""
    if not isinstance(value, dict):
        return False
    file = value.get("bytes")
    return file is None or len(file) >= SMALL_FILE_BYTES


def _stack_alike(images: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Join images that follow each other and have one shape and type."""
    alike: list[np.ndarray] = []
    try:
        for image in images:
            if alike and not _are_alike(alike[0], image):
                yield np.stack(alike)
                alike = []
            alike.append(image)
    except IdxError:
        if alike:
            yield np.stack(alike)
        raise
    if alike:
        yield np.stack(alike)


def _are_alike(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and one.dtype == other.dtype
