"""Batches of records as columns of Arrow tables, and the features that describe them."""

import re

import datasets
import numpy as np
import pytest

from mnist_idx.arrow import label_columns, make_features
from mnist_idx.errors import IdxError
from mnist_idx.record_layout import Layout, common_layout, find_wrong_class, wrong_class

CLASSES = np.array([0, 9, 10, -1], np.int32)
# The same classes as labels of the shapes that files have.
NUMBERS = CLASSES
ONE_PART = CLASSES[:, None]
THREE_PARTS = np.stack([CLASSES, CLASSES + 99, CLASSES + 999], axis=1)

each_shape_of_labels = pytest.mark.parametrize(
    "labels",
    [
        pytest.param(NUMBERS, id="numbers"),
        pytest.param(ONE_PART, id="one-part"),
        pytest.param(THREE_PARTS, id="three-parts"),
    ],
)


def layout_of(shape: tuple[int, ...], dtype: str, as_array: bool) -> Layout:
    """The layout of a dataset whose only split has such records, in a file called "file"."""
    return common_layout({"train": Layout(shape, dtype)}, {"train": "file"}, as_array)


@each_shape_of_labels
def test_labels_that_are_classes_are_right(labels: np.ndarray) -> None:
    zero_and_nine = labels[:2]
    assert find_wrong_class(zero_and_nine, 10) is None


@each_shape_of_labels
@pytest.mark.parametrize(
    ("wrong", "label"),
    [pytest.param(2, 10, id="one-too-large"), pytest.param(3, -1, id="one-below-zero")],
)
def test_a_label_that_is_no_class_is_found_and_named(
    wrong: int, label: int, labels: np.ndarray
) -> None:
    assert find_wrong_class(labels[[0, wrong]], 10) == 1
    error = wrong_class("file", 1001, labels[wrong], "0123456789")
    assert str(error).startswith(f"file: record 1,001 has the label {label}, expected 0 to 9")


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        pytest.param(NUMBERS, {"label": [0, 9, 10, -1]}, id="numbers"),
        pytest.param(ONE_PART, {"label": [0, 9, 10, -1]}, id="one-part"),
        pytest.param(
            THREE_PARTS,
            {
                "label": [0, 9, 10, -1],
                "label_details": [[99, 999], [108, 1008], [109, 1009], [98, 998]],
            },
            id="three-parts",
        ),
    ],
)
def test_the_first_part_of_a_label_is_its_class_and_others_are_details(
    labels: np.ndarray, expected: dict[str, list[object]]
) -> None:
    columns = label_columns(labels)
    assert {name: column.to_pylist() for name, column in columns.items()} == expected


@pytest.mark.parametrize(
    ("shape", "dtype", "as_array", "feature"),
    [
        pytest.param((28, 28), "uint8", False, datasets.Image(), id="pictures"),
        pytest.param((28, 28), "int16", True, datasets.Array2D((28, 28), "int16"), id="arrays"),
        pytest.param(
            (0, 28), "uint8", True, datasets.Array2D((0, 28), "uint8"), id="arrays-without-rows"
        ),
        pytest.param(
            (784,),
            "uint8",
            True,
            datasets.Sequence(datasets.Value("uint8"), length=784),
            id="rows-of-numbers",
        ),
    ],
)
def test_the_feature_of_images(
    shape: tuple[int, ...], dtype: str, as_array: bool, feature: object
) -> None:
    layout = layout_of(shape, dtype, as_array)
    assert make_features(layout, as_array) == {"image": feature}


@pytest.mark.parametrize(
    ("shape", "dtype", "as_array", "expected"),
    [
        pytest.param((28, 28, 4), "uint8", False, "as_array=True", id="four-channels"),
        pytest.param((28, 28, 3, 1), "uint8", False, "as_array=True", id="four-dimensions"),
        pytest.param((784,), "uint8", False, "as_array=True", id="one-dimension"),
        pytest.param((0, 28), "uint8", False, "as_array=True", id="no-rows"),
        pytest.param((28, 0, 3), "uint8", False, "as_array=True", id="no-columns"),
        pytest.param((28, 28), "int8", False, "as_array=True", id="other-element-type"),
        pytest.param(
            (1,) * 6, "uint8", True, "at most five dimensions", id="arrays-of-six-dimensions"
        ),
    ],
)
def test_records_that_are_no_images_are_refused(
    shape: tuple[int, ...], dtype: str, as_array: bool, expected: str
) -> None:
    found = re.escape(f"file: found {dtype} records of shape {shape}, expected ")
    with pytest.raises(IdxError, match=f"^{found}.*{expected}"):
        layout_of(shape, dtype, as_array)


def test_records_of_too_many_lists_are_refused() -> None:
    """Arrow would need gigabytes for the places of the lists of a record of 64 MB."""
    layout_of((4096, 4096), "uint8", as_array=True)
    with pytest.raises(IdxError, match="rows in a record"):
        layout_of((1 << 26, 1, 1, 1, 1), "uint8", as_array=True)


PICTURES = Layout((28, 28), "uint8")
CLASSES_0_AND_1 = PICTURES._replace(class_names=("0", "1"))


@pytest.mark.parametrize(
    ("test", "number"),
    [
        pytest.param(PICTURES, 0, id="no-labels"),
        pytest.param(CLASSES_0_AND_1._replace(label_parts=8), 8, id="eight-parts"),
    ],
)
def test_splits_with_other_labels_are_refused(test: Layout, number: int) -> None:
    layouts = {"train": CLASSES_0_AND_1, "test": test}
    titles = {"train": "first", "test": "second"}
    found = f"found splits with different numbers per label: 1 in 'train', {number} in 'test'"
    with pytest.raises(IdxError, match=f"^first: {found}. Load the splits one by one: data_files="):
        common_layout(layouts, titles, as_array=False)
