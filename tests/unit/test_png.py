"""PNG files: Pillow decodes what was encoded."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from idx_files import random_images
from PIL import Image

from mnist_idx.png import encode_png, store_png

Encode = Callable[[np.ndarray], list[bytes]]
NOISE = random_images(3, 513, 700)


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
