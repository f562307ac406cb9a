"""Batches of records as columns of Arrow tables, and the features that describe them."""

import io

import datasets
import numpy as np
import PIL.Image
import pytest
from idx_files import random_images

from mnist_idx.arrow import array_column, check_classes, label_columns, make_features, png_column
from mnist_idx.idx import IdxError
from mnist_idx.png import encode_png, store_png


def test_png_columns() -> None:
    images = random_images(5, 6, 7)
    for files in (encode_png(images), store_png(images)):
        column = png_column(files)
        column.validate(full=True)
        assert column.type == datasets.Image().pa_type
        for row, image in zip(column.to_pylist(), images, strict=True):
            assert row["path"] is None
            np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(row["bytes"]))), image)


def test_array_columns_of_non_contiguous_images() -> None:
    images = random_images(5, 6, 7).swapaxes(1, 2)
    column = array_column(images)
    column.validate(full=True)
    np.testing.assert_array_equal(column.to_pylist(), images)
    assert len(array_column(images[:0])) == 0


def test_label_columns() -> None:
    (column,) = label_columns(np.array([3, 0], np.uint8), 4, "file", 0).values()
    assert (str(column.type), column.to_pylist()) == ("int64", [3, 0])
    assert list(label_columns(np.array([[3], [0]], np.uint8), 4, "file", 0)) == ["label"]
    parts = np.arange(12, dtype=np.int32).reshape(4, 3)[:, ::-1]
    columns = label_columns(parts, None, "file", 0)
    assert columns["label"].to_pylist() == parts[:, 0].tolist()
    assert columns["label_details"].to_pylist() == parts[:, 1:].tolist()
    assert columns["label_details"].type.list_size == 2


@pytest.mark.parametrize(("label", "valid"), [(0, True), (9, True), (10, False), (-1, False)])
def test_classes_are_checked(label: int, valid: bool) -> None:
    for labels in (np.array([1, label, 2], np.int8), np.array([[1, 99], [label, 99], [2, 99]], np.int32)):
        assert check_classes(labels, None, "file", 1000).tolist() == [1, label, 2]
        if valid:
            assert check_classes(labels, 10, "file", 1000).tolist() == [1, label, 2]
        else:
            with pytest.raises(IdxError, match=f"file: record 1,001 has the label {label}, expected 0 to 9"):
                check_classes(labels, 10, "file", 1000)


FEATURES: dict[tuple[tuple[int, ...], str, bool], object] = {
    ((28, 28), "uint8", False): datasets.Image(),
    ((28, 28, 3), "uint8", False): datasets.Image(),
    ((28, 28), "int16", True): datasets.Array2D((28, 28), "int16"),
    ((0, 28), "uint8", True): datasets.Array2D((0, 28), "uint8"),
    ((2, 3, 4), "float64", True): datasets.Array3D((2, 3, 4), "float64"),
    ((2, 3, 4, 5), "int8", True): datasets.Array4D((2, 3, 4, 5), "int8"),
    ((2, 3, 4, 5, 6), "uint8", True): datasets.Array5D((2, 3, 4, 5, 6), "uint8"),
    ((784,), "uint8", True): datasets.Sequence(datasets.Value("uint8"), length=784),
}


@pytest.mark.parametrize(("shape", "dtype", "as_array"), FEATURES)
def test_features_of_images(shape: tuple[int, ...], dtype: str, as_array: bool) -> None:
    expected = FEATURES[shape, dtype, as_array]
    assert make_features("file", shape, dtype, None, 0, as_array) == {"image": expected}


REFUSED: dict[tuple[tuple[int, ...], str, bool], str] = {
    ((28, 28), "int8", False): "as_array=True",
    ((28, 28, 4), "uint8", False): "as_array=True",
    ((28, 28, 3, 1), "uint8", False): "as_array=True",
    ((784,), "uint8", False): "as_array=True",
    ((0, 28), "uint8", False): "as_array=True",
    ((28, 0, 3), "uint8", False): "as_array=True",
    ((1, 1, 1, 1, 1, 1), "uint8", True): "at most five dimensions",
}


@pytest.mark.parametrize(("shape", "dtype", "as_array"), REFUSED)
def test_features_of_other_shapes_are_refused(shape: tuple[int, ...], dtype: str, as_array: bool) -> None:
    with pytest.raises(IdxError) as error:
        make_features("file", shape, dtype, None, 0, as_array)
    assert str(error.value).startswith(f"file: found {dtype} records of shape {shape}, expected ")
    assert REFUSED[shape, dtype, as_array] in str(error.value)


def test_features_of_labels() -> None:
    names = ("cat", "dog")
    details = datasets.Sequence(datasets.Value("int64"), length=2)
    for parts, expected in ((1, {}), (3, {"label_details": details})):
        features = make_features("file", (28, 28), "uint8", names, parts, False)
        assert features == {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"]), **expected}
