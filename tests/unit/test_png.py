"""PNG files: Pillow decodes what was encoded."""

import io
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import random_images
from PIL import Image

from mnist_idx.png import Encoding, choose_encoding, encode_png, store_png

Encode = Callable[[np.ndarray], list[bytes]]
NOISE = random_images(3, 513, 700)


def photographs(count: int, *shape: int) -> np.ndarray:
    """Images whose pixels differ a little from their neighbours, as those of a camera do."""
    rng = np.random.default_rng(0)
    rows, columns = shape[:2]
    steps = rng.normal(0, 3, (count, *shape)).cumsum(axis=1).cumsum(axis=2)
    shades = steps / max(rows, columns) + 128 + rng.normal(0, 2, (count, *shape))
    return shades.clip(0, 255).astype(np.uint8)


def drawings(count: int, *shape: int) -> np.ndarray:
    """Images of a few even areas, whose edges differ."""
    coarse = random_images(count, *[-(-size // 16) for size in shape[:2]], *shape[2:])
    return coarse.repeat(16, 1).repeat(16, 2)[:, : shape[0], : shape[1]]


def pixel_data(file: bytes) -> bytes:
    """The pixels of a PNG file as they are stored, each row behind the number of its filter."""
    start = file.index(b"IDAT")
    length = int.from_bytes(file[start - 4 : start], "big")
    return zlib.decompress(file[start + 4 : start + 4 + length])


def stored(images: np.ndarray) -> list[bytes]:
    """PNG files without compression."""
    return [bytes(file) for file in store_png(images)]


each_encoder = pytest.mark.parametrize(
    "encode", [pytest.param(encode_png, id="compressed"), pytest.param(stored, id="stored")]
)


@st.composite
def any_images(draw: st.DrawFn) -> np.ndarray:
    """Up to four gray or colored images of up to 60 x 60."""
    sides = st.integers(1, 60)
    shape = (draw(st.integers(0, 4)), draw(sides), draw(sides))
    channels = draw(st.sampled_from([(), (3,)]))
    return draw(hnp.arrays(np.uint8, shape + channels))


@st.composite
def large_images(draw: st.DrawFn) -> np.ndarray:
    """Up to four images, gray or colored, of which some are photographs, drawings and noise."""
    kinds = draw(st.lists(st.sampled_from([photographs, drawings, random_images]), max_size=4))
    sides = st.integers(1, 400)
    shape = (draw(sides), draw(sides), *draw(st.sampled_from([(), (3,)])))
    images = np.empty((len(kinds), *shape), np.uint8)
    for number, kind in enumerate(kinds):
        images[number] = kind(1, *shape)[0]
    return images


def assert_pillow_decodes(files: list[bytes], images: np.ndarray) -> None:
    """Each file is a PNG with right checksums that shows its image."""
    mode = "L" if images.ndim == 3 else "RGB"
    for file, image in zip(files, images, strict=True):
        with Image.open(io.BytesIO(file)) as decoded:
            decoded.verify()  # the checksums
        with Image.open(io.BytesIO(file)) as decoded:
            assert (decoded.format, decoded.mode) == ("PNG", mode)
            np.testing.assert_array_equal(np.asarray(decoded), image)


@each_encoder
@given(images=any_images())
def test_pillow_decodes_what_was_encoded(encode: Encode, images: np.ndarray) -> None:
    assert_pillow_decodes(encode(images), images)


@each_encoder
@pytest.mark.parametrize(
    "images",
    [
        pytest.param(NOISE, id="large"),
        pytest.param(NOISE[:, ::2, ::-1], id="every-other-row-backwards"),
        pytest.param(NOISE.swapaxes(1, 2), id="transposed"),
    ],
)
def test_pillow_decodes_large_images_of_any_strides(images: np.ndarray, encode: Encode) -> None:
    assert_pillow_decodes(encode(images), images)


@pytest.mark.parametrize("size", [28, 300])
def test_only_encoded_images_are_compressed(size: int) -> None:
    image = np.zeros((1, size, size), np.uint8)
    assert len(encode_png(image)[0]) < image.size / 5
    assert store_png(image).nbytes > image.size


@each_encoder
@given(images=large_images())
def test_pillow_decodes_photographs_drawings_and_noise(encode: Encode, images: np.ndarray) -> None:
    assert_pillow_decodes(encode(images), images)


@given(images=st.one_of(any_images(), large_images()))
def test_no_file_is_larger_than_without_compression(images: np.ndarray) -> None:
    for file, without in zip(encode_png(images), store_png(images), strict=True):
        assert len(file) <= len(without)


@pytest.mark.parametrize(
    ("images", "encoding"),
    [
        pytest.param(photographs(3, 200, 300, 3), Encoding.DIFFERENCES, id="photographs"),
        pytest.param(photographs(1, 1000, 900), Encoding.DIFFERENCES, id="a-gray-photograph"),
        pytest.param(photographs(9, 32, 32, 3), Encoding.REPEATS, id="small-photographs"),
        pytest.param(drawings(3, 200, 300, 3), Encoding.REPEATS, id="drawings"),
        pytest.param(np.zeros((2, 300, 300), np.uint8), Encoding.REPEATS, id="black"),
        pytest.param(photographs(0, 200, 300), Encoding.REPEATS, id="no-images"),
        pytest.param(photographs(1, 1, 40_000), Encoding.DIFFERENCES, id="a-single-row"),
    ],
)
def test_first_images_tell_the_encoding(images: np.ndarray, encoding: Encoding) -> None:
    assert choose_encoding(images) is encoding


def test_digits_are_stored_without_a_filter() -> None:
    digits = drawings(5, 28, 28)
    expected = np.pad(digits, ((0, 0), (0, 0), (1, 0)))
    for file, rows in zip(encode_png(digits), expected, strict=True):
        assert pixel_data(file) == rows.tobytes()


def test_photographs_become_much_smaller() -> None:
    images = photographs(2, 300, 400, 3)
    without_filter = [zlib.compress(image.tobytes(), 9) for image in images]
    for file, other in zip(encode_png(images), without_filter, strict=True):
        assert len(file) < len(other)


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param([drawings, random_images], id="noise behind drawings"),
        pytest.param([random_images, drawings], id="drawings behind noise"),
        pytest.param([random_images], id="noise alone"),
    ],
)
def test_a_batch_of_several_kinds(kinds: list[Callable[..., np.ndarray]]) -> None:
    images = np.concatenate([kind(20, 32, 32, 3) for kind in kinds])
    files = encode_png(images)
    assert max(map(len, files)) <= len(stored(images)[0])
    for file, image in zip(files, images, strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), image)
