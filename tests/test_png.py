"""PNG files: Pillow reads back what was encoded."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from mnist_idx.png import encode_png

SHAPES = st.tuples(st.integers(0, 4), st.integers(1, 60), st.integers(1, 60), st.sampled_from([None, 3]))


@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape if shape[3] else shape[:3])))
def test_pillow_reads_what_was_encoded(images: np.ndarray) -> None:
    files = encode_png(images)
    assert len(files) == len(images)
    for file, image in zip(files, images, strict=True):
        with Image.open(io.BytesIO(file)) as decoded:
            decoded.verify()  # the checksums
        with Image.open(io.BytesIO(file)) as decoded:
            assert decoded.format == "PNG"
            assert decoded.mode == ("L" if images.ndim == 3 else "RGB")
            assert np.array_equal(np.asarray(decoded), image)


def test_large_images_of_noise_and_blocks_that_are_not_contiguous() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 513, 700), dtype=np.uint8)
    for images in (noise, noise[:, ::2, ::-1], noise.swapaxes(1, 2)):
        for file, image in zip(encode_png(images), images, strict=True):
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(file))), image)
