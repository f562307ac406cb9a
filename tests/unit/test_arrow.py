"""Batches of records as columns of Arrow tables, and the features that describe them."""

import re

import datasets
import numpy as np
import pytest

from mnist_idx.arrow import label_columns, make_features
from mnist_idx.errors import IdxError
from mnist_idx.record_layout import Layout, common_layout, find_wrong_class, wrong_class


def check(shape: tuple[int, ...], dtype: str, as_array: bool) -> Layout:
    return common_layout({"train": Layout(shape, dtype)}, {"train": "file"}, as_array)


@pytest.mark.parametrize("parts", [0, 1, 3])
def test_labels_and_their_columns(parts: int) -> None:
    classes = np.array([0, 9, 10, -1], np.int32)
    labels = (
        np.stack([classes, classes + 99, classes + 999], axis=1)[:, :parts] if parts else classes
    )
    assert find_wrong_class(labels[:2], 10) is None
    for wrong in (2, 3):
        assert find_wrong_class(labels[[0, wrong]], 10) == 1
        message = f"file: record 1,001 has the label {classes[wrong]}, expected 0 to 9"
        assert str(wrong_class("file", 1001, labels[wrong], 10)).startswith(message)
    columns = {name: column.to_pylist() for name, column in label_columns(labels).items()}
    assert columns == {"label": classes.tolist()} | (
        {"label_details": labels[:, 1:].tolist()} if parts > 1 else {}
    )


def test_features_of_images() -> None:
    for shape, dtype, as_array, feature in (
        ((28, 28), "uint8", False, datasets.Image()),
        ((28, 28), "int16", True, datasets.Array2D((28, 28), "int16")),
        ((0, 28), "uint8", True, datasets.Array2D((0, 28), "uint8")),
        ((784,), "uint8", True, datasets.Sequence(datasets.Value("uint8"), length=784)),
    ):
        assert make_features(check(shape, dtype, as_array), as_array) == {"image": feature}


def test_other_images_are_refused() -> None:
    shapes = ((28, 28, 4), (28, 28, 3, 1), (784,), (0, 28), (28, 0, 3))
    cases = [(shape, "uint8", False, "as_array=True") for shape in shapes]
    cases += [
        ((28, 28), "int8", False, "as_array=True"),
        ((1,) * 6, "uint8", True, "at most five dimensions"),
    ]
    for shape, dtype, as_array, expected in cases:
        message = (
            rf"^file: found {dtype} records of shape {re.escape(str(shape))}, expected .*{expected}"
        )
        with pytest.raises(IdxError, match=message):
            check(shape, dtype, as_array)


def test_records_of_too_many_lists_are_refused() -> None:
    """Arrow would need gigabytes for the places of the lists of a record of 64 MB."""
    check((4096, 4096), "uint8", as_array=True)
    with pytest.raises(IdxError, match="rows in a record"):
        check((1 << 26, 1, 1, 1, 1), "uint8", as_array=True)
