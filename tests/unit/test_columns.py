"""Which columns of a dataset are written."""

from typing import Any

import pytest
from datasets import Array2D, ClassLabel, Image, Sequence, Value

from mnist_idx import IdxError
from mnist_idx.tools.columns import choose_columns, element_type, empty_shape

PICTURE, ARRAY, CLASS, NUMBER = Image(), Array2D((2, 2), "int16"), ClassLabel(2), Value("int64")
REAL, TEXT, NUMBERS = Value("float32"), Value("string"), Sequence(NUMBER)
ROWS = Sequence(Sequence(Value("uint8")))


@pytest.mark.parametrize(
    ("features", "named", "expected"),
    [
        pytest.param({"image": PICTURE}, {}, ("image", ()), id="no-labels"),
        pytest.param({"x": PICTURE, "y": CLASS}, {}, ("x", ("y",)), id="any-names"),
        pytest.param({"x": ARRAY, "y": PICTURE}, {}, ("y", ()), id="pictures-before-arrays"),
        pytest.param({"x": ARRAY, "y": NUMBER}, {}, ("x", ("y",)), id="the-only-integers"),
        pytest.param({"x": ARRAY, "y": REAL, "z": TEXT}, {}, ("x", ()), id="no-integers"),
        pytest.param({"x": ARRAY, "y": NUMBER}, {"label_column": []}, ("x", ()), id="none-wanted"),
        pytest.param({"x": ROWS, "y": NUMBERS}, {}, ("x", ()), id="lists-in-lists-are-images"),
        pytest.param({"x": ROWS, "y": ARRAY}, {}, ("y", ()), id="arrays-before-lists"),
        pytest.param({"x": ARRAY, "label": NUMBER}, {}, ("x", ("label",)), id="named-label"),
        pytest.param({"x": ARRAY, "labels": NUMBER}, {}, ("x", ("labels",)), id="named-labels"),
        pytest.param(
            {"x": ARRAY, "label": NUMBER, "y": CLASS}, {}, ("x", ("y",)), id="classes-first"
        ),
        pytest.param(
            {"x": PICTURE, "y": PICTURE}, {"image_column": "y"}, ("y", ()), id="named-images"
        ),
        pytest.param(
            {"x": PICTURE, "y": CLASS, "z": CLASS},
            {"label_column": "z"},
            ("x", ("z",)),
            id="one-named",
        ),
        pytest.param(
            {"x": PICTURE, "y": CLASS, "z": NUMBER},
            {"label_column": ["y", "z"]},
            ("x", ("y", "z")),
            id="labels-of-several-parts",
        ),
        pytest.param({"x": None}, {"image_column": "x"}, ("x", ()), id="undeclared"),
    ],
)
def test_columns_are_chosen_by_their_features(
    features: dict[str, Any], named: dict[str, Any], expected: tuple[str, tuple[str, ...]]
) -> None:
    assert choose_columns(features, **named) == expected


@pytest.mark.parametrize(
    ("features", "named", "said"),
    [
        pytest.param({}, {}, r"\(none\)", id="no-columns"),
        pytest.param({"a": NUMBER}, {}, "the columns a,", id="no-images"),
        pytest.param({"x": PICTURE, "y": PICTURE}, {}, "x, y,", id="two-of-pictures"),
        pytest.param({"x": PICTURE, "y": CLASS, "z": CLASS}, {}, "x, y, z,", id="two-of-classes"),
        pytest.param(
            {"x": PICTURE, "y": NUMBER, "z": NUMBER}, {}, "x, y, z,", id="two-of-integers"
        ),
        pytest.param({"x": PICTURE}, {"image_column": "y"}, "the columns x,", id="no-such-images"),
        pytest.param(
            {"x": PICTURE}, {"label_column": ["y"]}, "the columns x,", id="no-such-labels"
        ),
    ],
)
def test_a_doubtful_choice_is_an_error_that_lists_the_columns(
    features: dict[str, Any], named: dict[str, Any], said: str
) -> None:
    with pytest.raises(IdxError, match=f"^some title: found .*{said}.*image_column=") as caught:
        choose_columns(features, **named, title="some title")
    assert "--image-column and --label-column" in caught.value.for_command_line()


LISTS = [
    pytest.param(ARRAY, "int16", (2, 2), id="array"),
    pytest.param(Sequence(Value("float32"), length=3), "float32", (3,), id="list"),
    pytest.param(Sequence(Sequence(Value("uint8"))), "uint8", (0, 0), id="lists"),
]


@pytest.mark.parametrize(("feature", "dtype", "shape"), LISTS)
def test_a_feature_tells_the_type_and_shape_of_its_records(
    feature: Any, dtype: str, shape: tuple[int, ...]
) -> None:
    assert (element_type(feature), empty_shape(feature)) == (dtype, shape)
