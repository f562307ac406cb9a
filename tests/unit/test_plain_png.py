"""Plain gray PNG files, read without Pillow: those that are, and those that only look like it."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image
from png_files import END, gray_file, header, png_file
from png_lookalikes import GRAY, OTHER, PIXELS, PLAIN, TRANSPARENT

from mnist_idx.png import encode_png, store_png
from mnist_idx.tools.plain_png import MAX_PIXELS, PlainPngReader

images = npst.arrays("uint8", npst.array_shapes(min_dims=2, max_dims=2, max_side=40))


@given(images)
def test_files_of_our_encoder_are_read_as_pillow_reads_them(image: np.ndarray) -> None:
    for file in (encode_png(image[None])[0], store_png(image[None])[0].tobytes()):
        found = PlainPngReader().read([file])
        assert found is not None and found.dtype == np.uint8
        np.testing.assert_array_equal(found, image[None])
        np.testing.assert_array_equal(found[0], np.asarray(Image.open(io.BytesIO(file))))


@given(npst.arrays("uint8", npst.array_shapes(min_dims=3, max_dims=3, max_side=20)))
def test_files_of_one_size_are_read_at_once(drawn: np.ndarray) -> None:
    found = PlainPngReader().read([gray_file(image) for image in drawn])
    np.testing.assert_array_equal(found, drawn)


@given(st.lists(images, max_size=6))
def test_one_reader_reads_files_of_any_sizes(drawn: list[np.ndarray]) -> None:
    reader = PlainPngReader()
    for image in drawn:
        np.testing.assert_array_equal(reader.read([gray_file(image)]), image[None])


LOOK_ALIKES = {**GRAY, **OTHER, "transparent": TRANSPARENT}


@pytest.mark.parametrize("kind", sorted(LOOK_ALIKES))
def test_files_that_look_like_plain_ones_are_left_to_pillow(kind: str) -> None:
    reader = PlainPngReader()
    file = LOOK_ALIKES[kind]
    assert reader.read([file]) is None
    np.testing.assert_array_equal(reader.read([PLAIN]), PIXELS[None])
    assert reader.read([file]) is None  # also where the header is known
    for files in ([PLAIN, file], [file, PLAIN], [PLAIN, file, PLAIN]):
        assert reader.read(files) is None


def test_files_of_several_sizes_are_not_read_at_once() -> None:
    other = gray_file(np.zeros((PIXELS.shape[1], PIXELS.shape[0] + 1), np.uint8))
    assert PlainPngReader().read([PLAIN, other]) is None


def test_files_that_are_cut_short_are_left_to_pillow() -> None:
    reader = PlainPngReader()
    read = [size for size in range(len(PLAIN)) if reader.read([PLAIN[:size]]) is not None]
    assert read == []


def test_large_pictures_are_left_to_pillow() -> None:
    reader = PlainPngReader()
    columns = MAX_PIXELS // 16
    assert reader.read([gray_file(np.zeros((16, columns), np.uint8))]) is not None
    assert reader.read([gray_file(np.zeros((16, columns + 1), np.uint8))]) is None
    huge = header(2**31 - 1, 2**31 - 1)
    assert reader.read([png_file((b"IHDR", huge), (b"IDAT", b""), END)]) is None
