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

SHAPES = st.tuples(
    st.integers(0, 4), st.integers(1, 60), st.integers(1, 60), st.sampled_from([None, 3])
)
Encode = Callable[[np.ndarray], list[bytes]]
each_encoder = pytest.mark.parametrize(
    "encode", [encode_png, lambda images: list(map(bytes, store_png(images)))]
)


def check(encode: Encode, images: np.ndarray) -> None:
    for file, image in zip(encode(images), images, strict=True):
        with Image.open(io.BytesIO(file)) as decoded:
            decoded.verify()  # the checksums
        with Image.open(io.BytesIO(file)) as decoded:
            assert (decoded.format, decoded.mode) == ("PNG", "L" if images.ndim == 3 else "RGB")
            np.testing.assert_array_equal(np.asarray(decoded), image)


@each_encoder
@given(images=SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape if shape[3] else shape[:3])))
def test_pillow_decodes_what_was_encoded(encode: Encode, images: np.ndarray) -> None:
    check(encode, images)


@each_encoder
def test_large_and_non_contiguous_images(encode: Encode) -> None:
    noise = random_images(3, 513, 700)
    for images in (noise, noise[:, ::2, ::-1], noise.swapaxes(1, 2)):
        check(encode, images)


@pytest.mark.parametrize("size", [28, 300])
def test_only_encoded_images_are_compressed(size: int) -> None:
    image = np.zeros((1, size, size), np.uint8)
    assert len(encode_png(image)[0]) < image.size / 5 < image.size < store_png(image).nbytes
