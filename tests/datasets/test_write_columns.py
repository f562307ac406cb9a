"""Columns of any kind are written as Pillow and NumPy have them, however they are stored."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import (
    Array2D,
    Array3D,
    Dataset,
    Features,
    LargeList,
    Sequence,
    Value,
    concatenate_datasets,
)
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from idx_files import random_images
from PIL import Image
from png_files import gray_file
from png_lookalikes import GRAY, LEVEL, OTHER, PIXELS, PLAIN, TRANSPARENT
from written import read

from mnist_idx import IdxError, write_idx

TYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def lists(shape: tuple[int, ...], number: Value) -> Any:
    feature: Any = number
    for _ in shape:
        feature = Sequence(feature)
    return feature


def large_lists(shape: tuple[int, ...], number: Value) -> Any:
    feature: Any = number
    for _ in shape:
        feature = LargeList(feature)
    return feature


def lists_of_known_length(shape: tuple[int, ...], number: Value) -> Any:
    feature: Any = number
    for length in reversed(shape):
        feature = Sequence(feature, length=length)
    return feature


def arrays(shape: tuple[int, ...], number: Value) -> Any:
    return {2: Array2D, 3: Array3D}[len(shape)](shape, number.dtype)


KINDS = {"lists": lists, "large": large_lists, "fixed": lists_of_known_length, "arrays": arrays}


@pytest.mark.slow
@settings(max_examples=settings().max_examples * 2, deadline=None)
@given(data=st.data(), kind=st.sampled_from(sorted(KINDS)), dtype=st.sampled_from(TYPES))
def test_arrays_of_a_dataset_are_what_numpy_has(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, kind: str, dtype: str
) -> None:
    shape = data.draw(npst.array_shapes(min_dims=2, max_dims=3, min_side=4, max_side=6))
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))  # of the chunks
    images = data.draw(npst.arrays(dtype, (sum(sizes), *shape)))
    features = Features({"image": KINDS[kind](shape, Value(dtype)), "label": Value("uint8")})
    chunks = []
    stop = 0
    for size in sizes:
        start, stop = stop, stop + size
        content = {"image": images[start:stop].tolist(), "label": list(range(start, stop))}
        chunks.append(Dataset.from_dict(content, features=features))
    dataset = concatenate_datasets(chunks)
    rows = np.arange(len(images))
    if data.draw(st.booleans(), label="slice"):
        start = data.draw(st.integers(0, len(rows) - 1))
        dataset, rows = dataset.select(range(start, len(rows))), rows[start:]
    if data.draw(st.booleans(), label="selection"):
        chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=9))
        dataset, rows = dataset.select(chosen), rows[chosen]

    target = tmp_path_factory.mktemp("idx") / "set"
    write_idx(dataset, target, compress=False)
    found = {name.split("-")[1]: array for name, array in read(target).items()}
    np.testing.assert_array_equal(found["images"], images[rows])
    assert found["images"].dtype.newbyteorder("=") == dtype
    assert found["labels"].tolist() == rows.tolist()


MANY = random_images(700, 5, 4)


@pytest.mark.parametrize(
    ("feature", "bad", "message"),
    [
        pytest.param(Array2D((5, 4), "uint8"), None, "record 600 has no image", id="array"),
        pytest.param(Sequence(Sequence(Value("uint8"))), None, "600 has no image", id="list"),
        pytest.param(
            Sequence(Sequence(Value("uint8"))), [[1, None]], "record 600 is no array", id="number"
        ),
        pytest.param(
            Sequence(Sequence(Value("uint8"))), [[1, 2], [3]], "record 600 is no array", id="uneven"
        ),
        pytest.param(
            Sequence(Sequence(Value("uint8"))), [[1, 2]], r"record 600 .*\(1, 2\)", id="other-size"
        ),
        pytest.param(
            Sequence(Sequence(Value("int64"))), [[256] * 4] * 5, "record 600 .*256", id="no-byte"
        ),
    ],
)
def test_the_record_that_is_no_image_is_named(
    feature: Any, bad: Any, message: str, tmp_path: Path
) -> None:
    images = MANY.tolist()
    images[600] = bad
    dataset = Dataset.from_dict({"image": images}, features=Features({"image": feature}))
    with pytest.raises(IdxError, match=message):
        write_idx(dataset, tmp_path / "idx")
    assert not any(tmp_path.iterdir())


# Pictures


def dataset_of_files(files: list[bytes]) -> Dataset:
    encoded = [{"bytes": file, "path": None} for file in files]
    return Dataset.from_dict({"image": encoded}, features=Features({"image": ImageFeature()}))


def decoded_by_pillow(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def written_images(dataset: Any, target: Path, **options: Any) -> np.ndarray:
    write_idx(dataset, target, compress=False, **options)
    (images,) = read(target).values()
    return images


@pytest.mark.parametrize("is_stream", [False, True], ids=["dataset", "stream"])
def test_gray_files_of_any_kind_are_what_pillow_has(is_stream: bool, tmp_path: Path) -> None:
    files = []
    for file in GRAY.values():
        files += [PLAIN, file, file]
    dataset: Any = dataset_of_files(files)
    if is_stream:
        dataset = dataset.to_iterable_dataset()
    found = written_images(dataset, tmp_path / "idx")
    np.testing.assert_array_equal(found, [decoded_by_pillow(file) for file in files])


@pytest.mark.parametrize("kind", sorted(OTHER))
def test_files_of_another_kind_are_refused_by_name(kind: str, tmp_path: Path) -> None:
    files = [PLAIN] * 300 + [OTHER[kind]] + [PLAIN] * 300
    with pytest.raises(IdxError, match="'train', record 300"):
        write_idx(dataset_of_files(files), tmp_path / "idx")


def test_transparent_pixels_of_gray_files_have_the_background(tmp_path: Path) -> None:
    found = written_images(dataset_of_files([PLAIN, TRANSPARENT]), tmp_path / "idx")
    np.testing.assert_array_equal(found, [PIXELS, np.where(PIXELS == LEVEL, 255, PIXELS)])


def test_plain_files_are_converted_if_that_is_asked_for(tmp_path: Path) -> None:
    dataset = dataset_of_files([PLAIN, PLAIN])
    in_color = written_images(dataset, tmp_path / "color", mode="RGB")
    np.testing.assert_array_equal(in_color, [np.stack([PIXELS] * 3, axis=-1)] * 2)
    resized = Image.fromarray(PIXELS).resize((9, 7), Image.Resampling.LANCZOS)
    sized = written_images(dataset, tmp_path / "sized", size=(7, 9))
    np.testing.assert_array_equal(sized, [np.asarray(resized)] * 2)


def test_large_pictures_stand_in_their_order(tmp_path: Path) -> None:
    images = random_images(40, 200, 150)
    files = []
    for number, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG" if number % 2 else "BMP")
        files.append(file.getvalue())
    np.testing.assert_array_equal(written_images(dataset_of_files(files), tmp_path / "idx"), images)


def test_pictures_in_files_of_their_own(tmp_path: Path) -> None:
    images = random_images(30, 6, 5)
    paths = []
    for number, image in enumerate(images):
        path = tmp_path / f"{number}.png"
        path.write_bytes(gray_file(image))
        paths.append(str(path))
    dataset = Dataset.from_dict({"image": paths}, features=Features({"image": ImageFeature()}))
    np.testing.assert_array_equal(written_images(dataset, tmp_path / "idx"), images)


@pytest.mark.parametrize("missing", [0, 300, 599])
def test_a_record_without_a_picture_is_named(missing: int, tmp_path: Path) -> None:
    encoded: list[Any] = [{"bytes": PLAIN, "path": None}] * 600
    encoded[missing] = None
    dataset = Dataset.from_dict({"image": encoded}, features=Features({"image": ImageFeature()}))
    with pytest.raises(IdxError, match=f"'train', record {missing} has no image"):
        write_idx(dataset, tmp_path / "idx")


def test_a_selection_of_pictures_is_written_in_its_order(tmp_path: Path) -> None:
    images = random_images(600, 4, 5)
    files = [gray_file(image) for image in images]
    parts = [dataset_of_files(files[:250]), dataset_of_files(files[250:])]
    order = np.random.default_rng(1).permutation(600)[:500]
    selected = concatenate_datasets(parts).select(order)
    np.testing.assert_array_equal(written_images(selected, tmp_path / "idx"), images[order])
