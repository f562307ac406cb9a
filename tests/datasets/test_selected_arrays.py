"""`load_arrays` of a selection: the records of the selection, in arrays as NumPy makes them."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import four_files, random_images, random_labels, write_archive
from selections import selected

from mnist_idx import load_arrays

TRAIN = random_images(2_300, 9, 5), random_labels(2_300)
TEST = random_images(40, 9, 5, seed=1), random_labels(40, seed=1)


@pytest.fixture(
    params=[pytest.param(bytes, id="plain"), pytest.param(gzip.compress, id="gzip")],
)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The files of both splits, plain and compressed."""
    pack: Callable[[bytes], bytes] = request.param
    files = {name: pack(content) for name, content in four_files(TRAIN, TEST).items()}
    return str(write_archive(tmp_path / "x", files))


def check_arrays(found: tuple[np.ndarray, Any], images: np.ndarray, labels: np.ndarray) -> None:
    """The arrays are these, in one piece, and the caller's own."""
    for array, expected in zip(found, (images, labels), strict=True):
        np.testing.assert_array_equal(array, expected)
        assert array.dtype == expected.dtype
        assert array.flags.c_contiguous
        assert array.flags.writeable


@pytest.mark.parametrize("transpose", [False, True], ids=["as-they-are", "transposed"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"seed": 4}, id="all"),
        pytest.param({"num_samples": 1_500, "seed": 2}, id="the-first"),
        pytest.param({"num_samples": 31, "sampling": "uniform"}, id="drawn-from-all"),
    ],
)
@pytest.mark.parametrize(
    ("split", "part"),
    [
        pytest.param("train", slice(None), id="whole"),
        pytest.param("train[7:25]", slice(7, 25), id="a-part"),
        pytest.param("train[3:3]", slice(3, 3), id="nothing"),
    ],
)
def test_selected_records(
    split: str, part: slice, options: dict[str, Any], transpose: bool, folder: str
) -> None:
    found = load_arrays("idxfolder", split=split, data_dir=folder, transpose=transpose, **options)
    order = selected(2_300, **options)[part]
    images = TRAIN[0][order]
    check_arrays(found, images.swapaxes(1, 2) if transpose else images, TRAIN[1][order])


def test_selected_records_of_two_splits(folder: str) -> None:
    found = load_arrays("idxfolder", split="test+train[:50]", data_dir=folder, seed=9)
    of_test, of_train = selected(40, seed=9), selected(2_300, seed=9)[:50]
    images = np.concatenate([TEST[0][of_test], TRAIN[0][of_train]])
    check_arrays(found, images, np.concatenate([TEST[1][of_test], TRAIN[1][of_train]]))


def test_what_was_loaded_is_nobody_elses(folder: str) -> None:
    first = load_arrays("idxfolder", data_dir=folder, seed=4)[0]
    first[:] = 0
    order = selected(2_300, seed=4)
    check_arrays(
        load_arrays("idxfolder", data_dir=folder, seed=4), TRAIN[0][order], TRAIN[1][order]
    )
