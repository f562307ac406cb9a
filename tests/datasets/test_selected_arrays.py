"""`load_arrays` of a selection: the records of the selection, in arrays as NumPy makes them."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import four_files, random_images, random_labels, write_archive
from selections import selected

from mnist_idx import IdxError, load_arrays

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


@pytest.mark.parametrize("transpose", [False, True], ids=["as-they-are", "transposed"])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="in-order"),
        pytest.param({"seed": 9}, id="shuffled"),
        pytest.param({"num_samples": 1_500, "seed": 2}, id="the-first-shuffled"),
        pytest.param({"num_samples": 31, "sampling": "uniform"}, id="drawn-from-all"),
    ],
)
@pytest.mark.parametrize(
    ("split", "of_test", "of_train"),
    [
        pytest.param("test+train", slice(None), slice(None), id="two-splits"),
        pytest.param("test[3:3]+train[5:25]", slice(3, 3), slice(5, 25), id="nothing-and-a-part"),
        pytest.param("test[5:8]+train[9:9]", slice(5, 8), slice(9, 9), id="a-part-and-nothing"),
        pytest.param("test[:0]+train[:0]", slice(0), slice(0), id="nothing"),
    ],
)
def test_records_of_two_splits(
    split: str,
    of_test: slice,
    of_train: slice,
    options: dict[str, Any],
    transpose: bool,
    folder: str,
) -> None:
    found = load_arrays("idxfolder", split=split, data_dir=folder, transpose=transpose, **options)
    parts = []
    for (images, labels), part in ((TEST, of_test), (TRAIN, of_train)):
        order = np.arange(len(images))
        if options:
            order = np.array(selected(len(images), **options))
        parts.append((images[order][part], labels[order][part]))
    joined = np.concatenate([images for images, _ in parts])
    expected = joined.swapaxes(1, 2) if transpose else joined
    check_arrays(found, expected, np.concatenate([labels for _, labels in parts]))


@pytest.mark.parametrize("options", [{}, {"seed": 9}], ids=["in-order", "shuffled"])
@pytest.mark.parametrize("split", ["train+test", "test+train"])
def test_labels_of_two_types(split: str, options: dict[str, Any], tmp_path: Path) -> None:
    """They get the type that holds both."""
    wide = np.arange(40, dtype=np.int32) + 1_000
    files = four_files(TRAIN, (TEST[0], wide))
    place = str(write_archive(tmp_path / "x", files))
    features = {"label_names": [str(number) for number in range(1_040)]}
    _, labels = load_arrays("idxfolder", split=split, data_dir=place, **options, **features)
    of_test = wide[selected(40, **options)] if options else wide
    of_train = TRAIN[1][selected(2_300, **options)] if options else TRAIN[1]
    expected = [of_train, of_test] if split == "train+test" else [of_test, of_train]
    assert labels is not None
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, np.concatenate(expected))


@pytest.mark.parametrize("options", [{}, {"seed": 9}], ids=["in-order", "shuffled"])
def test_pictures_of_two_sizes_are_refused_together(
    options: dict[str, Any], tmp_path: Path
) -> None:
    other = random_images(40, 7, 7), TEST[1]
    place = str(write_archive(tmp_path / "x", four_files(TRAIN, other)))
    with pytest.raises(IdxError, match=r"shapes \(9, 5\) and \(7, 7\)\. Load the splits one by"):
        load_arrays("idxfolder", split="train+test", data_dir=place, as_array=False, **options)


def test_what_was_loaded_is_nobody_elses(folder: str) -> None:
    first = load_arrays("idxfolder", data_dir=folder, seed=4)[0]
    first[:] = 0
    order = selected(2_300, seed=4)
    check_arrays(
        load_arrays("idxfolder", data_dir=folder, seed=4), TRAIN[0][order], TRAIN[1][order]
    )
