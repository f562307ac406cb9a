"""PNG files: Pillow reads back what was encoded."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mnist_idx.png import encode_png, store_png

SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 60), st.integers(1, 60), st.sampled_from([None, 3]))


Encode = Callable[[np.ndarray], list[bytes]]


def stored(images: np.ndarray) -> list[bytes]:
    return [file.tobytes() for file in store_png(images)]


@pytest.mark.parametrize("encode", [encode_png, stored])
@given(images=SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape if shape[3] else shape[:3])))
def test_pillow_reads_what_was_encoded(encode: Encode, images: np.ndarray) -> None:
    files = encode(images)
    assert len(files) == len(images)
    for file, image in zip(files, images, strict=True):
        with Image.open(io.BytesIO(file)) as decoded:
            decoded.verify()  # the checksums
        with Image.open(io.BytesIO(file)) as decoded:
            assert decoded.format == "PNG"
            assert decoded.mode == ("L" if images.ndim == 3 else "RGB")
            assert np.array_equal(np.asarray(decoded), image)


@pytest.mark.parametrize("encode", [encode_png, stored])
def test_large_images_of_noise_and_blocks_that_are_not_contiguous(encode: Encode) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 513, 700), dtype=np.uint8)
    for images in (noise, noise[:, ::2, ::-1], noise.swapaxes(1, 2)):
        for file, image in zip(encode(images), images, strict=True):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), image)
