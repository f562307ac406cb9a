"""Batches of records as columns of Arrow tables, and the features that describe them."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from idx_files import random_images, to_idx, write_archive

from mnist_idx.arrow import array_column, make_features
from mnist_idx.idx import IdxError


def test_array_columns_of_non_contiguous_images() -> None:
    images = random_images(5, 6, 7).swapaxes(1, 2)
    column = array_column(images)
    column.validate(full=True)
    np.testing.assert_array_equal(column.to_pylist(), images)
    assert len(array_column(images[:0])) == 0


@pytest.mark.parametrize("parts", [0, 1, 3])
@pytest.mark.parametrize(("label", "valid"), [(0, True), (9, True), (10, False), (-1, False)])
def test_labels_and_their_columns(label: int, valid: bool, parts: int, tmp_path: Path) -> None:
    classes = np.array([1, label, 2], np.int32)
    labels = np.stack([classes, classes + 99, classes + 999], axis=1)[:, :parts] if parts else classes
    files = {"train-images-idx3-ubyte": to_idx(random_images(3, 4, 5)), "train-labels-idx1-ubyte": to_idx(labels)}
    options = {"data_dir": str(write_archive(tmp_path / "data", files)), "label_names": list("abcdefghij")}
    rows = datasets.load_dataset("idxfolder", split="train", streaming=True, **options)
    if not valid:
        with pytest.raises(IdxError, match=f"train-labels-idx1-ubyte: record 1 has the label {label}, expected 0 to 9"):
            list(rows)
        return
    assert [row["label"] for row in rows] == [1, label, 2]
    expected = labels[:, 1:].tolist() if parts > 1 else [None] * 3
    assert [row.get("label_details") for row in rows] == expected


ARRAYS = "as_array=True"
# Shape, type, as_array -> the feature, or what the error says.
FEATURES: dict[tuple[tuple[int, ...], str, bool], object] = {
    ((28, 28), "uint8", False): datasets.Image(),
    ((28, 28, 3), "uint8", False): datasets.Image(),
    ((28, 28), "int16", True): datasets.Array2D((28, 28), "int16"),
    ((0, 28), "uint8", True): datasets.Array2D((0, 28), "uint8"),
    ((2, 3, 4), "float64", True): datasets.Array3D((2, 3, 4), "float64"),
    ((2, 3, 4, 5), "int8", True): datasets.Array4D((2, 3, 4, 5), "int8"),
    ((2, 3, 4, 5, 6), "uint8", True): datasets.Array5D((2, 3, 4, 5, 6), "uint8"),
    ((784,), "uint8", True): datasets.Sequence(datasets.Value("uint8"), length=784),
    ((28, 28), "int8", False): ARRAYS,
    ((28, 28, 4), "uint8", False): ARRAYS,
    ((28, 28, 3, 1), "uint8", False): ARRAYS,
    ((784,), "uint8", False): ARRAYS,
    ((0, 28), "uint8", False): ARRAYS,
    ((28, 0, 3), "uint8", False): ARRAYS,
    ((1, 1, 1, 1, 1, 1), "uint8", True): "at most five dimensions",
}


@pytest.mark.parametrize(("shape", "dtype", "as_array"), FEATURES)
def test_features_of_images(shape: tuple[int, ...], dtype: str, as_array: bool) -> None:
    expected = FEATURES[shape, dtype, as_array]
    if not isinstance(expected, str):
        assert make_features("file", shape, dtype, None, 0, as_array) == {"image": expected}
        return
    with pytest.raises(IdxError) as error:
        make_features("file", shape, dtype, None, 0, as_array)
    assert str(error.value).startswith(f"file: found {dtype} records of shape {shape}, expected ")
    assert expected in str(error.value)
