"""Features: streams keep them, also in Parquet, and those that do not fit the files are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clients import run_client
from datasets import (
    Array2D,
    Array3D,
    ClassLabel,
    Features,
    Image,
    IterableDataset,
    Sequence,
    Value,
    concatenate_datasets,
    interleave_datasets,
)
from hub_server import HubServer
from idx_files import random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all

from mnist_idx import IdxError, load_arrays

# Of two dimensions that differ, so that an exchange shows.
GRAY, LABELS = random_images(6, 28, 20), random_labels(6, classes=3)
RGB = random_images(6, 4, 5, 3)
FLOATS = GRAY.astype(np.float32) / 8
VECTORS = GRAY[:, 0]
# Labels of three parts: a class and two more numbers each.
PARTS = np.arange(18, dtype=np.int32).reshape(6, 3) // 2 % 3
CLASSES = ClassLabel(names=["a", "b", "c"])  # the feature of the labels
GRAY_ARRAYS = Array2D((28, 20), "uint8")  # the feature of the gray images as arrays

each_mode = pytest.mark.parametrize("mode", MODES)
prepared_and_streamed = pytest.mark.parametrize(
    "streaming", [pytest.param(False, id="prepared"), pytest.param(True, id="streamed")]
)


def write_folder(folder: Path, images: np.ndarray, labels: np.ndarray | None = LABELS) -> str:
    """The path of a new folder with training images and their labels, if any."""
    files = {"train-images": to_idx(images)}
    if labels is not None:
        files["train-labels"] = to_idx(labels)
    return str(write_archive(folder, files))


def load_train(path: str, name: str | None = None, **options: Any) -> Any:
    """The split "train" of a dataset."""
    return datasets.load_dataset(path, name, split="train", **options)


def noted_features(file: Path) -> Any:
    """The features that the schema of a Parquet file notes."""
    return json.loads(pq.read_schema(file).metadata[b"huggingface"])["info"]["features"]


def write_parquet_and_compare(
    stream: IterableDataset, prepared: datasets.Dataset, folder: Path
) -> datasets.Dataset:
    """Write both as Parquet, and compare features. Returns the stream's records, read back."""
    file = folder / "stream.parquet"
    other = folder / "prepared.parquet"
    stream.to_parquet(file)
    prepared.to_parquet(other)
    back = datasets.load_dataset("parquet", data_files=str(file), split="train")
    assert back.features == prepared.features == stream.features
    assert noted_features(file) == noted_features(other)
    return back


def assert_same_rows(found: datasets.Dataset, expected: datasets.Dataset) -> None:
    """The same columns, with the same values, in the same order."""
    assert found.column_names == expected.column_names
    for row, wanted in zip(found, expected, strict=True):
        image, wanted_image = row.pop("image"), wanted.pop("image")
        np.testing.assert_array_equal(np.asarray(image), np.asarray(wanted_image))
        assert row == wanted


def test_a_stream_as_parquet_is_a_struct_and_an_integer(tmp_path: Path) -> None:
    stream = load_train("mnist_idx", "tiny", streaming=True)
    prepared = load_train("mnist_idx", "tiny")
    back = write_parquet_and_compare(stream, prepared, tmp_path)
    schema = pq.read_schema(tmp_path / "stream.parquet")
    assert schema.names == ["image", "label"]
    png_file = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    assert schema.types == [png_file, pa.int64()]
    assert back.features["image"] == Image()
    assert back.features["label"] == ClassLabel(names=list("0123456789"))
    assert_same_rows(back.select(range(50)), prepared.select(range(50)))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda stream: stream.shuffle(seed=1, buffer_size=100), id="shuffled"),
        pytest.param(
            lambda stream: concatenate_datasets([stream, stream]), id="two-streams-joined"
        ),
        pytest.param(lambda stream: interleave_datasets([stream, stream]), id="interleaved"),
        pytest.param(lambda stream: stream.take(120), id="the-first-of-two-batches"),
        pytest.param(lambda stream: stream.skip(990), id="the-last-records"),
        pytest.param(lambda stream: stream.shard(2, 1), id="a-shard"),
        pytest.param(lambda stream: stream.with_format("arrow"), id="as-Arrow-tables"),
    ],
)
def test_a_changed_stream_keeps_its_features(
    change: Callable[[IterableDataset], IterableDataset],
    tmp_path: Path,
) -> None:
    stream = load_train("mnist_idx", "tiny", streaming=True, num_shards=3)
    write_parquet_and_compare(change(stream), load_train("mnist_idx", "tiny"), tmp_path)


def test_a_column_of_a_stream_keeps_its_feature(tmp_path: Path) -> None:
    stream = load_train("mnist_idx", "tiny", streaming=True, num_samples=70)
    prepared = load_train("mnist_idx", "tiny", num_samples=70).select_columns(["label"])
    back = write_parquet_and_compare(stream.select_columns(["label"]), prepared, tmp_path)
    assert list(back) == list(prepared)


@pytest.mark.parametrize(
    ("images", "labels", "options"),
    [
        pytest.param(GRAY, LABELS, {}, id="gray-pictures"),
        pytest.param(RGB, LABELS, {}, id="RGB-pictures"),
        pytest.param(GRAY, LABELS, {"as_array": True}, id="gray-arrays"),
        pytest.param(RGB, LABELS, {"as_array": True}, id="RGB-arrays"),
        pytest.param(FLOATS, LABELS, {"as_array": True}, id="arrays-of-floats"),
        pytest.param(VECTORS, LABELS, {"as_array": True}, id="vectors"),
        pytest.param(GRAY, PARTS, {}, id="labels-of-three-parts"),
        pytest.param(GRAY, LABELS[:, None], {}, id="labels-of-one-part"),
        pytest.param(GRAY, None, {}, id="no-labels"),
        pytest.param(GRAY, LABELS, {"label_names": ["x", "y", "z"]}, id="named-classes"),
        pytest.param(GRAY, LABELS, {"transpose": True, "as_array": True}, id="transposed"),
        pytest.param(GRAY, LABELS, {"seed": 3, "num_samples": 4}, id="a-selection"),
        pytest.param(
            GRAY,
            LABELS,
            {"features": Features({"image": Image(), "label": Value("int32")})},
            id="features-of-the-user",
        ),
    ],
)
def test_streams_of_own_files_as_parquet(
    images: np.ndarray,
    labels: np.ndarray | None,
    options: dict[str, Any],
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path / "x", images, labels)
    stream = load_train("idxfolder", data_dir=folder, streaming=True, **options)
    prepared = load_train("idxfolder", data_dir=folder, **options)
    back = write_parquet_and_compare(stream, prepared, tmp_path)
    assert_same_rows(back, prepared)


@pytest.mark.slow
def test_a_stream_on_the_hub(tmp_path: Path, hf_home: Path) -> None:
    with HubServer() as hub:
        run_client("push_a_stream", home=hf_home, env=hub.environment("writer"))
        files = hub.repos["alice/digits"].files()
    shards = [files[name] for name in sorted(files) if name.endswith(".parquet")]
    assert len(shards) == 2
    for number, content in enumerate(shards):  # without the card, which says more
        (tmp_path / f"{number}.parquet").write_bytes(content)
        assert noted_features(tmp_path / f"{number}.parquet") == {
            "image": {"_type": "Image"},
            "label": {"_type": "ClassLabel", "names": list("0123456789")},
        }
    data = datasets.load_dataset("parquet", data_files=str(tmp_path / "*.parquet"), split="train")
    assert data.features == load_train("mnist_idx", "tiny").features


@each_mode
@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        pytest.param("uint8", {}, id="uint8"),
        pytest.param("int32", {}, id="int32"),
        pytest.param("uint8", {"num_samples": 6, "seed": 1}, id="shuffled"),
        pytest.param("uint8", {"as_array": True, "num_shards": 3}, id="three-shards"),
    ],
)
def test_labels_of_one_part_are_numbers(
    dtype: str,
    options: dict[str, Any],
    mode: str,
    tmp_path: Path,
) -> None:
    labels = LABELS.astype(dtype)
    wide = write_folder(tmp_path / "wide", GRAY, labels[:, None])
    plain = write_folder(tmp_path / "plain", GRAY, labels)
    found = read_all(mode, "idxfolder", splits=["train"], data_dir=wide, **options)
    assert found["train"][1].shape == (6,)
    assert_same(found, read_all(mode, "idxfolder", splits=["train"], data_dir=plain, **options))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        pytest.param("train[:0]", LABELS[:0], id="no-records"),
        pytest.param("train[4:]+train[:2]", LABELS[[4, 5, 0, 1]], id="two-parts-joined"),
    ],
)
def test_labels_of_one_part_in_parts_of_a_split_are_numbers(
    split: str, expected: np.ndarray, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "x", GRAY, LABELS[:, None])
    _, labels = load_arrays("idxfolder", data_dir=folder, split=split)
    np.testing.assert_array_equal(labels, expected)


# Features that the user asks for


def load_with_features(folder: str, features: dict[str, Any], **options: Any) -> Any:
    """The split "train" of a folder, with the features that are asked for."""
    return load_train("idxfolder", data_dir=folder, features=Features(features), **options)


def columns(image: Any, label: Any = CLASSES, **more: Any) -> dict[str, Any]:
    """Features of an image, of a label, and of further columns."""
    return {"image": image, "label": label, **more}


@prepared_and_streamed
@pytest.mark.parametrize(
    ("images", "feature", "shape"),
    [
        pytest.param(
            GRAY, Array2D((14, 40), "uint8"), "(14, 40)", id="as-many-pixels-in-other-rows"
        ),
        pytest.param(GRAY, Array2D((20, 28), "uint8"), "(20, 28)", id="rows-and-columns-exchanged"),
        pytest.param(GRAY, Array2D((14, 20), "uint8"), "(14, 20)", id="fewer-pixels"),
        pytest.param(GRAY, Array2D((28, 21), "uint8"), "(28, 21)", id="more-pixels"),
        pytest.param(GRAY, Array3D((28, 20, 1), "uint8"), "(28, 20, 1)", id="one-channel-more"),
        pytest.param(
            RGB, Array3D((5, 4, 3), "uint8"), "(5, 4, 3)", id="rows-and-columns-of-RGB-exchanged"
        ),
        pytest.param(RGB, Array3D((3, 4, 5), "uint8"), "(3, 4, 5)", id="RGB-with-channels-first"),
        pytest.param(RGB, Array2D((4, 15), "uint8"), "(4, 15)", id="RGB-as-rows"),
        pytest.param(VECTORS, Array2D((4, 5), "uint8"), "(4, 5)", id="rows-of-a-vector"),
    ],
)
def test_arrays_of_another_shape_are_refused(
    images: np.ndarray,
    feature: Any,
    shape: str,
    streaming: bool,
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path / "x", images)
    with pytest.raises(IdxError, match="train-images") as caught:
        list(load_with_features(folder, columns(feature), as_array=True, streaming=streaming))
    assert shape in str(caught.value)
    assert str(images.shape[1:]) in str(caught.value)


@prepared_and_streamed
def test_transposed_arrays_of_the_transposed_shape_are_loaded(
    streaming: bool, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "x", GRAY)
    features = columns(Array2D((20, 28), "uint8"))
    options = {"as_array": True, "transpose": True, "streaming": streaming}
    rows = list(load_with_features(folder, features, **options))
    np.testing.assert_array_equal([row["image"] for row in rows], GRAY.swapaxes(1, 2))


@prepared_and_streamed
def test_transposed_arrays_of_the_shape_in_the_file_are_refused(
    streaming: bool, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "x", GRAY)
    options = {"as_array": True, "transpose": True, "streaming": streaming}
    with pytest.raises(IdxError, match="train-images"):
        list(load_with_features(folder, columns(GRAY_ARRAYS), **options))


@prepared_and_streamed
@pytest.mark.parametrize(
    ("feature", "as_array"),
    [
        pytest.param(Array2D((14, 56), "uint8"), True, id="as-many-pixels-in-other-rows"),
        pytest.param(Array2D((28, 28), "uint8"), False, id="arrays-for-pictures"),
    ],
)
def test_features_that_do_not_fit_a_published_dataset_are_refused(
    feature: Any, as_array: bool, streaming: bool
) -> None:
    features = Features(columns(feature, Value("int64")))
    with pytest.raises(IdxError):
        list(
            load_train(
                "mnist_idx", "tiny", features=features, as_array=as_array, streaming=streaming
            )
        )


LISTS_OF_FIVE = Sequence(Value("int64"), length=5)


@prepared_and_streamed
@pytest.mark.parametrize(
    ("images", "labels", "features", "as_array"),
    [
        pytest.param(FLOATS, LABELS, columns(Image()), True, id="pictures-of-floats"),
        pytest.param(GRAY, LABELS, columns(GRAY_ARRAYS), False, id="arrays-for-pictures"),
        pytest.param(
            GRAY, LABELS, columns(Array2D((28, 20), "int8")), True, id="arrays-of-a-type-too-small"
        ),
        pytest.param(GRAY, LABELS, columns(Value("int64")), True, id="numbers-for-arrays"),
        pytest.param(GRAY, LABELS, columns(Value("string")), False, id="texts-for-pictures"),
        pytest.param(GRAY, LABELS, columns(Image(), Image()), False, id="labels-as-pictures"),
        pytest.param(GRAY, LABELS, columns(Image(), LISTS_OF_FIVE), False, id="labels-as-lists"),
        pytest.param(GRAY, LABELS, {"image": Image()}, False, id="no-column-for-the-labels"),
        pytest.param(GRAY, None, columns(Image()), False, id="no-labels-for-the-column"),
        pytest.param(
            GRAY,
            LABELS,
            {"picture": Image(), "label": CLASSES},
            False,
            id="another-name-for-the-image",
        ),
        pytest.param(GRAY, LABELS, columns(Image(), more=CLASSES), False, id="one-column-more"),
        pytest.param(GRAY, PARTS, columns(Image()), False, id="no-column-for-the-details"),
        pytest.param(
            GRAY,
            PARTS,
            columns(Image(), label_details=LISTS_OF_FIVE),
            False,
            id="more-details-than-the-labels-have",
        ),
        pytest.param(VECTORS, LABELS, columns(LISTS_OF_FIVE), True, id="shorter-vectors"),
    ],
)
def test_columns_that_the_files_do_not_have_are_refused(
    images: np.ndarray,
    labels: np.ndarray | None,
    features: dict[str, Any],
    as_array: bool,
    streaming: bool,
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path / "x", images, labels)
    with pytest.raises(IdxError, match=r"train-|feature"):
        list(load_with_features(folder, features, as_array=as_array, streaming=streaming))


@prepared_and_streamed
@pytest.mark.parametrize(
    ("features", "as_array"),
    [
        pytest.param(
            columns(Image(), ClassLabel(names=list("xyz"))), False, id="other-names-of-classes"
        ),
        pytest.param(
            columns(GRAY_ARRAYS, ClassLabel(names=list("vwxyz"))),
            True,
            id="more-classes-than-labels",
        ),
        pytest.param(columns(Image(), Value("int64")), False, id="numbers-of-int64"),
        pytest.param(columns(GRAY_ARRAYS, Value("int32")), True, id="numbers-of-int32"),
    ],
)
def test_right_features_are_those_of_the_dataset(
    features: dict[str, Any],
    as_array: bool,
    streaming: bool,
    tmp_path: Path,
) -> None:
    folder = write_folder(tmp_path / "x", GRAY)
    data = load_with_features(folder, features, as_array=as_array, streaming=streaming)
    assert data.features == Features(features)
    rows = list(data)
    np.testing.assert_array_equal([np.asarray(row["image"]) for row in rows], GRAY)
    assert [row["label"] for row in rows] == LABELS.tolist()
