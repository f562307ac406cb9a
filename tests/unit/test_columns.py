"""Which columns of a dataset are written."""

from typing import Any

import pytest
from datasets import Array2D, ClassLabel, Image, Sequence, Value

from mnist_idx import IdxError
from mnist_idx.tools.columns import choose_columns, element_type, empty_shape

PICTURE, ARRAY, CLASS, NUMBER = Image(), Array2D((2, 2), "int16"), ClassLabel(2), Value("int64")


@pytest.mark.parametrize(
    ("features", "image_column", "label_columns"),
    [
        pytest.param({"image": PICTURE}, "image", (), id="pictures-alone"),
        pytest.param({"x": PICTURE, "y": CLASS}, "x", ("y",), id="pictures-and-classes"),
        pytest.param({"x": ARRAY, "y": PICTURE}, "y", (), id="pictures-before-arrays"),
        pytest.param({"x": ARRAY, "y": NUMBER}, "x", (), id="numbers-are-no-classes"),
        pytest.param({"x": ARRAY, "label": NUMBER}, "x", ("label",), id="numbers-called-label"),
        pytest.param({"x": ARRAY, "labels": NUMBER}, "x", ("labels",), id="numbers-called-labels"),
        pytest.param(
            {"x": ARRAY, "label": NUMBER, "y": CLASS},
            "x",
            ("y",),
            id="classes-before-numbers-called-label",
        ),
    ],
)
def test_columns_are_chosen_by_their_features(
    features: dict[str, Any], image_column: str, label_columns: tuple[str, ...]
) -> None:
    assert choose_columns(features) == (image_column, label_columns)


@pytest.mark.parametrize(
    ("features", "named", "image_column", "label_columns"),
    [
        pytest.param(
            {"x": PICTURE, "y": PICTURE}, {"image_column": "y"}, "y", (), id="one-of-two-pictures"
        ),
        pytest.param(
            {"x": PICTURE, "y": CLASS, "z": CLASS},
            {"label_column": "z"},
            "x",
            ("z",),
            id="one-of-two-classes",
        ),
        pytest.param(
            {"x": PICTURE, "y": CLASS, "z": NUMBER},
            {"label_column": ["y", "z"]},
            "x",
            ("y", "z"),
            id="two-columns-of-labels",
        ),
        pytest.param(
            {"x": None}, {"image_column": "x"}, "x", (), id="images-of-an-undeclared-feature"
        ),
    ],
)
def test_named_columns_are_taken(
    features: dict[str, Any],
    named: dict[str, Any],
    image_column: str,
    label_columns: tuple[str, ...],
) -> None:
    assert choose_columns(features, **named) == (image_column, label_columns)


@pytest.mark.parametrize(
    ("features", "named", "said"),
    [
        pytest.param({}, {}, r"\(none\)", id="no-columns"),
        pytest.param({"a": NUMBER}, {}, "the columns a,", id="no-images"),
        pytest.param({"x": PICTURE, "y": PICTURE}, {}, "x, y,", id="two-of-pictures"),
        pytest.param({"x": PICTURE, "y": CLASS, "z": CLASS}, {}, "x, y, z,", id="two-of-classes"),
        pytest.param(
            {"x": PICTURE}, {"image_column": "y"}, "the columns x,", id="named-images-not-there"
        ),
        pytest.param(
            {"x": PICTURE}, {"label_column": ["y"]}, "the columns x,", id="named-labels-not-there"
        ),
    ],
)
def test_a_doubtful_choice_is_an_error_that_lists_the_columns(
    features: dict[str, Any], named: dict[str, Any], said: str
) -> None:
    with pytest.raises(IdxError, match=f"^some title: found .*{said}.*image_column=") as caught:
        choose_columns(features, **named, title="some title")
    assert "--image-column and --label-column" in caught.value.for_command_line()


@pytest.mark.parametrize(
    ("feature", "dtype", "shape"),
    [
        pytest.param(ARRAY, "int16", (2, 2), id="array"),
        pytest.param(Sequence(Value("float32"), length=3), "float32", (3,), id="list-of-a-length"),
        pytest.param(Sequence(Sequence(Value("uint8"))), "uint8", (0, 0), id="lists-of-any-length"),
    ],
)
def test_a_feature_tells_the_type_and_shape_of_its_records(
    feature: Any, dtype: str, shape: tuple[int, ...]
) -> None:
    assert element_type(feature) == dtype
    assert empty_shape(feature) == shape
