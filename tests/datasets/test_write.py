"""Writing IDX: what is written is read back by `idx2numpy` and by a plain NumPy reader, never by
our own code.
"""

import gzip
import os
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from clients import traced_memory
from conftest import Arrays
from datasets import Array2D, ClassLabel, Dataset, Features, IterableDataset, Value
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from idx_files import CODES, TRAIN_IMAGES, TRAIN_LABELS, from_idx, random_images, write_archive
from pictures import pictures
from PIL import Image
from written import contents, read

from mnist_idx import IdxError, write_idx
from mnist_idx.tools.staged import staged
from mnist_idx.tools.write import class_names

IMAGES, LABELS = TRAIN_IMAGES, TRAIN_LABELS
PAIR = (random_images(2, 3, 3), [0, 1])
# In the byte order of files as well.
any_images = npst.arrays(
    st.sampled_from([*CODES, ">i2"]),
    st.tuples(st.integers(0, 7), npst.array_shapes(max_dims=4, max_side=7)).map(
        lambda drawn: (drawn[0], *drawn[1])
    ),
)


@pytest.mark.slow
def test_mnist_written_again_is_mnist(
    mnist_arrays: Arrays, mnist_files: Mapping[str, bytes], tmp_path: Path
) -> None:
    write_idx(mnist_arrays, tmp_path / "set.tar", compress=False)
    published = {Path(name).stem: gzip.decompress(data) for name, data in mnist_files.items()}
    assert contents(tmp_path / "set.tar") == published


@st.composite
def any_labels(draw: st.DrawFn, count: int) -> np.ndarray:
    """Labels of so many records, of one part or eight."""
    parts = draw(st.sampled_from([(), (1,), (8,)]))
    dtype = draw(st.sampled_from(["int8", "uint8", "int16", "int32", "bool"]))
    return draw(npst.arrays(dtype, (count, *parts)))


@settings(max_examples=settings().max_examples // 2)
@given(any_images, st.data(), st.sampled_from(["folder", "set.tar"]), st.booleans())
def test_arrays_of_any_shape_and_type(
    tmp_path_factory: pytest.TempPathFactory,
    images: np.ndarray,
    data: Any,
    target: str,
    compress: bool,
) -> None:
    labels = data.draw(any_labels(len(images)))
    path = tmp_path_factory.mktemp("idx") / target
    headers = write_idx((images, labels), path, compress=compress)
    arrays = read(path)
    found = {name.split("-")[1]: array for name, array in arrays.items()}
    expected = images
    if images.ndim == 4 and images.shape[3] == 1:
        expected = images[..., 0]
    elif images.ndim == 4 and images.shape[3] != 3 and images.shape[1] in (1, 3):  # channels first
        expected = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    assert found["images"].dtype.newbyteorder("=") == images.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found["images"], expected)
    np.testing.assert_array_equal(found["labels"], labels)
    shapes = {name.removesuffix(".gz"): header.shape for name, header in headers.items()}
    assert shapes == {name: array.shape for name, array in arrays.items()}


@pytest.mark.parametrize("source", ["arrays", "dataset"])
@pytest.mark.parametrize(
    ("low", "high", "name"),
    [
        pytest.param(0, 255, "ubyte", id="0-to-255"),
        pytest.param(0, 256, "short", id="0-to-256"),
        pytest.param(-1, 127, "byte", id="minus-1-to-127"),
        pytest.param(-1, 128, "short", id="minus-1-to-128"),
        pytest.param(-128, 0, "byte", id="minus-128-to-0"),
        pytest.param(-129, 0, "short", id="minus-129-to-0"),
        pytest.param(0, 32767, "short", id="0-to-32767"),
        pytest.param(0, 32768, "int", id="0-to-32768"),
        pytest.param(-(2**31), 2**31 - 1, "int", id="all-of-32-bits"),
    ],
)
def test_labels_get_the_narrowest_type_that_holds_them(
    low: int, high: int, name: str, source: str, tmp_path: Path
) -> None:
    labels = [0, low, 3, *[0] * 500, high]  # more than a batch
    images = random_images(504, 2, 2)
    if source == "arrays":
        write_idx((images, np.array(labels)), tmp_path / "idx")
    else:
        write_idx(pictures(images).add_column("label", labels), tmp_path / "idx")
    assert read(tmp_path / "idx")[f"train-labels-idx1-{name}"].tolist() == labels


LABELS_OF_PARTS = np.arange(24, dtype=np.int32).reshape(3, 8) * 10_000
LABELS_OF_PARTS[:, 0] = [3, 1, 2]


def test_labels_of_several_parts_are_written_as_they_are(tmp_path: Path) -> None:
    write_idx({"train": (random_images(3, 4, 4), LABELS_OF_PARTS)}, tmp_path / "arrays")
    found = read(tmp_path / "arrays")["train-labels-idx2-int"]
    np.testing.assert_array_equal(found, LABELS_OF_PARTS)


def test_a_column_of_lists_is_labels_of_several_parts(tmp_path: Path) -> None:
    images = random_images(3, 4, 4)
    write_idx((images, LABELS_OF_PARTS), tmp_path / "arrays")
    data = pictures(images).add_column("label", LABELS_OF_PARTS.tolist())
    write_idx(data, tmp_path / "lists")
    assert contents(tmp_path / "lists") == contents(tmp_path / "arrays")


def test_two_columns_are_labels_of_several_parts(tmp_path: Path) -> None:
    write_idx((random_images(3, 4, 4), LABELS_OF_PARTS), tmp_path / "arrays")
    cache = str(tmp_path / "cache")
    data = datasets.load_dataset("idxfolder", data_dir=str(tmp_path / "arrays"), cache_dir=cache)
    write_idx(data, tmp_path / "columns", label_column=["label", "label_details"])
    assert contents(tmp_path / "columns") == contents(tmp_path / "arrays")


TEST_SPLIT = pictures(*PAIR, split="test")


@pytest.mark.parametrize(
    ("source", "options", "names"),
    [
        pytest.param(
            {"train": PAIR, "test": PAIR, "validation": PAIR, "extra.one": PAIR},
            {},
            {"train", "t10k", "validation", "extra.one"},
            id="dict-of-arrays",
        ),
        pytest.param(TEST_SPLIT, {}, {"t10k"}, id="split-of-a-dataset"),
        pytest.param(
            pictures(*PAIR, split="test[:50%]"), {}, {"t10k"}, id="part-of-a-split-of-a-dataset"
        ),
        pytest.param(datasets.DatasetDict(test=TEST_SPLIT), {}, {"t10k"}, id="dataset-dict"),
        pytest.param(
            datasets.IterableDatasetDict(test=TEST_SPLIT.to_iterable_dataset()),
            {},
            {"t10k"},
            id="dict-of-streams",
        ),
        pytest.param(TEST_SPLIT, {"split": "dev"}, {"dev"}, id="split-that-the-user-names"),
    ],
)
def test_files_are_named_by_their_splits(
    source: Any, options: dict[str, Any], names: set[str], tmp_path: Path
) -> None:
    files = write_idx(source, tmp_path / "set.tar", compress=False, **options)
    images = {name for name in files if "images" in name}
    assert images == {f"{name}-images-idx3-ubyte" for name in names}


CATS_AND_DOGS = pictures(*PAIR, names=["cat", "dog"])
TWO_COLUMNS_OF_CLASSES = CATS_AND_DOGS.add_column("other", [0, 1]).cast_column(
    "other", ClassLabel(names=["a", "b"])
)


@pytest.mark.parametrize(
    ("source", "label_column", "names"),
    [
        pytest.param(CATS_AND_DOGS, None, ["cat", "dog"], id="the-only-column"),
        pytest.param({"train": CATS_AND_DOGS}, None, ["cat", "dog"], id="of-a-split"),
        pytest.param(CATS_AND_DOGS, "label", ["cat", "dog"], id="the-named-column"),
        pytest.param(TWO_COLUMNS_OF_CLASSES, None, None, id="one-of-two-columns"),
        pytest.param(TWO_COLUMNS_OF_CLASSES, "other", ["a", "b"], id="the-named-one-of-two"),
        pytest.param(pictures(*PAIR), None, None, id="classes-named-by-their-numbers"),
        pytest.param(pictures(PAIR[0]), None, None, id="no-labels"),
    ],
)
def test_names_of_classes_are_those_of_the_labels(
    source: Any, label_column: str | None, names: list[str] | None
) -> None:
    assert class_names(source, label_column) == names


# Columns

MANY_IMAGES = random_images(600, 4, 5)
FIRST = [number % 10 for number in range(600)]
SECOND = list(range(600))
MANY = pictures(MANY_IMAGES, FIRST).add_column("name", ["a"] * 600).add_column("second", SECOND)
FLOATS = MANY_IMAGES.astype(np.float32) / 255
DATASET_OF_ARRAYS = Dataset.from_dict(
    {"image": FLOATS, "label": FIRST},
    features=Features({"image": Array2D((4, 5), "float32"), "label": Value("int64")}),
)


def undeclared_stream() -> IterableDataset:
    """A stream that does not say which columns it has."""
    renamed = MANY.rename_column("image", "picture")
    return IterableDataset.from_generator(lambda: iter(renamed))


@pytest.mark.parametrize(
    ("source", "options", "images", "labels"),
    [
        pytest.param(MANY_IMAGES, {}, MANY_IMAGES, None, id="array"),
        pytest.param(
            (MANY_IMAGES[..., None], None), {}, MANY_IMAGES, None, id="array-of-one-channel"
        ),
        pytest.param(pictures(MANY_IMAGES), {}, MANY_IMAGES, None, id="pictures-alone"),
        pytest.param(MANY, {}, MANY_IMAGES, FIRST, id="pictures-and-classes"),
        pytest.param(
            MANY,
            {"image_column": "image", "label_column": "second"},
            MANY_IMAGES,
            SECOND,
            id="named-columns",
        ),
        pytest.param(MANY.with_format("numpy"), {}, MANY_IMAGES, FIRST, id="dataset-as-numpy"),
        pytest.param(
            MANY.cast_column("image", ImageFeature(decode=False)),
            {},
            MANY_IMAGES,
            FIRST,
            id="pictures-that-are-not-decoded",
        ),
        pytest.param(
            MANY.remove_columns("label").rename_column("second", "labels"),
            {},
            MANY_IMAGES,
            SECOND,
            id="numbers-called-labels",
        ),
        pytest.param(
            MANY.to_iterable_dataset(num_shards=3), {}, MANY_IMAGES, FIRST, id="stream-of-shards"
        ),
        pytest.param(undeclared_stream(), {}, MANY_IMAGES, FIRST, id="stream-without-features"),
        pytest.param(DATASET_OF_ARRAYS, {}, FLOATS, FIRST, id="dataset-of-arrays"),
        pytest.param(
            DATASET_OF_ARRAYS.to_iterable_dataset(), {}, FLOATS, FIRST, id="stream-of-arrays"
        ),
    ],
)
def test_columns_are_found_or_named(
    source: Any,
    options: dict[str, Any],
    images: np.ndarray,
    labels: list[int] | None,
    tmp_path: Path,
) -> None:
    write_idx(source, tmp_path / "set.tar", **options)
    found_images, *found_labels = read(tmp_path / "set.tar").values()
    np.testing.assert_array_equal(found_images, images)
    expected = [] if labels is None else [labels]
    assert [values.tolist() for values in found_labels] == expected


NO_PICTURES = pictures(random_images(1, 4, 4), [0]).select([])
NO_ROWS = IterableDataset.from_generator(lambda: iter(()), features=NO_PICTURES.features)


@pytest.mark.parametrize(
    ("source", "options", "name", "shape"),
    [
        pytest.param(
            (random_images(0, 28, 28), np.zeros(0, int)), {}, IMAGES, (0, 28, 28), id="arrays"
        ),
        pytest.param(NO_PICTURES, {"size": (28, 20)}, IMAGES, (0, 28, 20), id="dataset"),
        pytest.param(
            NO_ROWS, {"mode": "RGB"}, "train-images-idx4-ubyte", (0, 0, 0, 3), id="stream"
        ),
    ],
)
def test_nothing_to_write_is_a_dataset_too(
    source: Any, options: dict[str, Any], name: str, shape: tuple[int, ...], tmp_path: Path
) -> None:
    write_idx(source, tmp_path / "set.tar", **options)
    files = contents(tmp_path / "set.tar")
    assert files.keys() == {name, LABELS}
    assert from_idx(files[name]).shape == shape
    assert from_idx(files[LABELS]).shape == (0,)


# Modes and sizes


def pictures_of_two_modes(mode: str) -> list[Image.Image]:
    """A gray picture, and one of the given mode."""
    gray = Image.fromarray(random_images(6, 4))
    return [gray, Image.fromarray(random_images(6, 4, 3)).convert(mode)]


each_mode_but_gray = pytest.mark.parametrize("mode", ["RGB", "1", "LA", "P", "RGBA", "CMYK"])


@each_mode_but_gray
def test_pictures_of_several_modes_are_refused(mode: str, tmp_path: Path) -> None:
    message = rf"'train', record 1 .*\"{mode}\".*mode=\"L\".*mode=\"RGB\""
    with pytest.raises(IdxError, match=message):
        write_idx(pictures(pictures_of_two_modes(mode)), tmp_path / "error")


@pytest.mark.parametrize(("target", "name"), [("L", IMAGES), ("RGB", "train-images-idx4-ubyte")])
@each_mode_but_gray
def test_pictures_of_several_modes_are_converted(
    mode: str, target: str, name: str, tmp_path: Path
) -> None:
    images = pictures_of_two_modes(mode)
    write_idx(pictures(images), tmp_path / "idx", mode=target)
    expected = [np.asarray(image.convert(target)) for image in images]
    np.testing.assert_array_equal(read(tmp_path / "idx")[name], expected)


# More than a batch.
OF_TWO_SIZES = [Image.fromarray(random_images(28, 28))] * 400
OF_TWO_SIZES += [Image.fromarray(random_images(14, 20))]


def test_pictures_of_several_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=r"'train', record 400 .*\(14, 20\).*\(28, 28\).*size="):
        write_idx(pictures(OF_TWO_SIZES), tmp_path / "error")


def test_pictures_of_several_sizes_are_made_equal(tmp_path: Path) -> None:
    write_idx(pictures(OF_TWO_SIZES), tmp_path / "sized", size=(10, 12))
    expected = []
    for image in OF_TWO_SIZES:
        expected.append(np.asarray(image.resize((12, 10), Image.Resampling.LANCZOS)))
    np.testing.assert_array_equal(read(tmp_path / "sized")[IMAGES], expected)


# What is refused

PICTURES = pictures(*PAIR)
TWO_PICTURES = PICTURES.map(lambda row: {"again": row["image"]})
# More than a batch.
UNEVEN = pictures(random_images(300, 2, 2)).add_column("label", [[1]] * 256 + [[1, 2]] * 44)
UNEVEN_STREAM = UNEVEN.to_iterable_dataset()  # It is read in smaller batches.
GOOD_PNG = ImageFeature().encode_example(random_images(30, 30))
CUT_PNG = {"bytes": GOOD_PNG["bytes"][:200], "path": "cat.png"}
CUT_SHORT = Dataset.from_dict(
    {"image": [*[GOOD_PNG] * 290, CUT_PNG]}, features=Features({"image": ImageFeature()})
)


def wide_picture(dtype: str) -> Dataset:
    """A picture of more than 8 bits."""
    return pictures([Image.fromarray(np.full((3, 3), 1000, dtype))])


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        pytest.param({}, {}, "none", id="no-splits"),
        pytest.param({"train": 3}, {}, "int", id="split-that-is-a-number"),
        pytest.param({"a/b": PAIR}, {}, "a/b", id="split-with-a-slash"),
        pytest.param({"..": PAIR}, {}, r"\.\.", id="split-that-is-the-folder-above"),
        pytest.param({"test": PAIR, "t10k": PAIR}, {}, "test, t10k", id="two-splits-of-one-name"),
        pytest.param(
            {"train": PAIR}, {"split": "x"}, "split='x'", id="split-that-the-source-has-not"
        ),
    ],
)
def test_splits_that_cannot_be_written(
    source: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(source, tmp_path / "idx", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param((PAIR[0], [1]), r"2 images .*\(1,\)", id="one-less-than-images"),
        pytest.param(
            (PAIR[0], np.zeros((2, 1, 1), int)), "record 0 has the label", id="of-three-dimensions"
        ),
        pytest.param((PAIR[0], [1.5, 2]), r"record 0 has the label 1\.5", id="one-and-a-half"),
        pytest.param((PAIR[0], [1, 2**31]), "record 1 has the label 2147483648", id="too-large"),
        pytest.param(
            (PAIR[0], [[1, 2], [3, -(2**31) - 1]]),
            "record 1 has the label .*-2147483649",
            id="part-too-small",
        ),
        pytest.param((PAIR[0].astype("uint16"), [1, 2]), "uint16", id="of-images-of-another-type"),
        pytest.param((["a", "b"], None), "pair of arrays", id="none-of-texts-as-images"),
        pytest.param(
            PICTURES.cast_column("label", Value("string")),
            "record 0 has the label .*class_encode_column",
            id="texts",
        ),
        pytest.param(pictures(PAIR[0], [0, None]), "record 1 has the label None", id="missing"),
        pytest.param(
            pictures(PAIR[0]).add_column("label", [[1], [1, 2]]),
            "record . has the label",
            id="of-one-and-two-parts",
        ),
        pytest.param(
            UNEVEN_STREAM,
            r"labels of the shapes \(1,\), \(2,\)",
            id="of-one-and-two-parts-in-two-batches",
        ),
    ],
)
def test_labels_that_cannot_be_written(source: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(source, tmp_path / "idx")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        pytest.param(  # could not be read back
            (np.zeros((1, 1 << 13, 1 << 13), np.int16), None), {}, "at most", id="record-too-large"
        ),
        pytest.param(
            pictures([PAIR[0][0], None], [0, 1]), {}, "record 1 has no image", id="missing"
        ),
        pytest.param(CUT_SHORT, {}, r"'train', record 290 \(cat\.png\)", id="png-cut-short"),
        pytest.param(
            wide_picture("uint16"), {"mode": "L"}, "record 0 .*8 bits", id="picture-of-16-bits"
        ),
        pytest.param(
            wide_picture("float32"), {"mode": "L"}, "record 0 .*8 bits", id="picture-of-floats"
        ),
        pytest.param(
            wide_picture("int32"), {"mode": "L"}, "record 0 .*8 bits", id="picture-of-32-bits"
        ),
    ],
)
def test_images_that_cannot_be_written(
    source: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(source, tmp_path / "idx", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        pytest.param(PICTURES.remove_columns("image"), {}, "the columns label", id="no-images"),
        pytest.param(
            TWO_COLUMNS_OF_CLASSES, {}, "label, other.*label_column=", id="two-columns-of-classes"
        ),
        pytest.param(
            TWO_PICTURES, {}, "image, label, again.*image_column=", id="two-columns-of-pictures"
        ),
        pytest.param(
            PICTURES,
            {"image_column": "picture"},
            "the columns image, label",
            id="no-such-column-of-images",
        ),
        pytest.param(
            PICTURES,
            {"label_column": "class"},
            "the columns image, label",
            id="no-such-column-of-labels",
        ),
    ],
)
def test_columns_that_cannot_be_written(
    source: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(source, tmp_path / "idx", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"mode": "L"}, "Convert the arrays", id="mode-of-arrays"),
        pytest.param({"size": (3, 3)}, "Convert the arrays", id="size-of-arrays"),
        pytest.param({"mode": "CMYK"}, "mode='CMYK'", id="unknown-mode"),
        pytest.param({"size": (28,)}, r"size=\(28,\)", id="size-of-one-number"),
        pytest.param({"size": (0, 28)}, r"size=\(0, 28\)", id="size-of-no-rows"),
        pytest.param({"size": (2.5, 3)}, r"size=\(2\.5, 3\)", id="size-of-half-rows"),
    ],
)
def test_options_that_are_refused(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(PAIR, tmp_path / "idx", **options)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["set.tar.gz", "set.tgz", "set.zip", f"{IMAGES}.gz"])
def test_targets_that_are_refused(target: str, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=r"a \.tar"):
        write_idx(PAIR, tmp_path / target)
    assert not any(tmp_path.iterdir())


# The target


@pytest.mark.parametrize("target", ["folder", "set.tar"])
def test_the_target_appears_whole_or_not_at_all(target: str, tmp_path: Path) -> None:
    def breaking_off() -> Iterator[dict[str, Any]]:
        yield from [{"image": Image.fromarray(random_images(4, 4)), "label": 0}] * 600
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        raise RuntimeError("the source broke off")

    stream = IterableDataset.from_generator(breaking_off, features=PICTURES.features)
    with pytest.raises(RuntimeError, match="broke off"):
        write_idx(stream, tmp_path / target)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["folder", "set.tar"])
def test_nothing_is_overwritten_unless_asked(target: str, tmp_path: Path) -> None:
    write_idx(PAIR, tmp_path / target)
    before = contents(tmp_path / target)
    other = random_images(5, 2, 2), [1, 2, 3, 4, 5]
    with pytest.raises(IdxError, match=r"exists already.*overwrite=True"):
        write_idx(other, tmp_path / target)
    with pytest.raises(IdxError, match="need as many labels"):
        write_idx((PAIR[0], [1]), tmp_path / target, overwrite=True)
    assert contents(tmp_path / target) == before, "what was there stays if the new one fails"
    write_idx(other, tmp_path / target, overwrite=True)
    assert read(tmp_path / target)[IMAGES].shape == (5, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == [target]


@pytest.mark.parametrize(
    ("path", "target", "message"),
    [
        pytest.param("home/thesis.tex", "home", "thesis", id="folder-with-another-file"),
        pytest.param("note.txt", "note.txt", "is a file", id="file-that-is-no-tar"),
        pytest.param("folder.tar/x", "folder.tar", "is a folder", id="folder-called-as-a-tar"),
    ],
)
def test_other_files_are_not_replaced(path: str, target: str, message: str, tmp_path: Path) -> None:
    write_archive(tmp_path, {path: b"years of work"})
    with pytest.raises(IdxError, match=message):
        write_idx(PAIR, tmp_path / target, overwrite=True)
    assert (tmp_path / path).read_bytes() == b"years of work"


def test_a_folder_with_folders_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "own/void").mkdir(parents=True)
    with pytest.raises(IdxError, match="holds void"):
        write_idx(PAIR, tmp_path / "own", overwrite=True)
    assert (tmp_path / "own/void").is_dir()


def test_a_target_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(IdxError, match="exists already"), staged(target, False):
        target.write_text("of somebody else, meanwhile")
    assert target.read_text() == "of somebody else, meanwhile"
    assert list(tmp_path.iterdir()) == [target]


def test_nothing_is_built_for_a_target_that_is_there(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("of somebody else")
    with pytest.raises(IdxError, match="exists already"), staged(target, False):
        pytest.fail("built for nothing")
    assert target.read_text() == "of somebody else"
    assert list(tmp_path.iterdir()) == [target]


OWN_NAMES = ["own/1", "own/2", "3"]
LONG_AGO = 10**9


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """A folder of files that were written long ago."""
    folder = tmp_path / "earlier"
    write_archive(folder, dict.fromkeys(OWN_NAMES, b"own"))
    for name in OWN_NAMES:
        os.utime(folder / name, (LONG_AGO, LONG_AGO))
    return folder


class OwnIfItSaysSo:
    """Takes files for own ones by their content, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, folder: Path, name: str) -> bool:
        self.asked.append(name)
        return (folder / name).read_bytes() == b"own"


def test_each_file_that_is_replaced_is_read_once(earlier: Path) -> None:
    is_own = OwnIfItSaysSo()
    with staged(earlier, True, is_own) as path:
        write_archive(path, {"new": b"new"})
    assert sorted(is_own.asked) == sorted(OWN_NAMES)
    assert [path.name for path in earlier.iterdir()] == ["new"]


def replace_while(target: Path, happens: Callable[[], object]) -> None:
    """Replace a folder, and let something happen when its files are checked already."""
    with staged(target, True, OwnIfItSaysSo()) as path:
        write_archive(path, {"new": b"new"})
        happens()


def files_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", OWN_NAMES)
@pytest.mark.parametrize(
    "content", [pytest.param(b"his", id="of-the-same-size"), pytest.param(b"work", id="longer")]
)
@pytest.mark.parametrize("has_old_time", [False, True], ids=["new-time", "old-time"])
def test_a_file_that_is_replaced_meanwhile_is_kept(
    has_old_time: bool, content: bytes, name: str, earlier: Path
) -> None:
    other = earlier.parent / "other"
    other.write_bytes(content)
    if has_old_time:
        os.utime(other, (LONG_AGO, LONG_AGO))
    with pytest.raises(IdxError, match=name):
        replace_while(earlier, lambda: other.replace(earlier / name))
    assert (earlier / name).read_bytes() == content
    assert files_in(earlier) == set(OWN_NAMES)


def test_a_file_that_is_changed_meanwhile_is_kept(earlier: Path) -> None:
    with pytest.raises(IdxError, match="own/1"):
        replace_while(earlier, lambda: (earlier / "own/1").write_bytes(b"his"))
    assert (earlier / "own/1").read_bytes() == b"his"


def test_a_file_that_was_just_written_is_read_again(earlier: Path) -> None:
    """Its time does not tell whether it is changed once more."""
    now = time.time()
    os.utime(earlier / "3", (now, now))

    def change() -> None:
        (earlier / "3").write_bytes(b"his")
        os.utime(earlier / "3", (now, now))

    with pytest.raises(IdxError, match="holds 3"):
        replace_while(earlier, change)
    assert (earlier / "3").read_bytes() == b"his"


def test_compressed_files_have_neither_name_nor_time(tmp_path: Path) -> None:
    """So that equal data gives equal bytes."""
    write_idx(PAIR, tmp_path / "folder")
    for path in (tmp_path / "folder").iterdir():
        flags_and_time = path.read_bytes()[3:10]
        assert flags_and_time == bytes(6) + b"\xff"


def test_members_of_a_tar_have_neither_time_nor_owner(tmp_path: Path) -> None:
    """So that equal data gives equal bytes."""
    write_idx(PAIR, tmp_path / "set.tar")
    with tarfile.open(tmp_path / "set.tar") as tar:
        for info in tar:
            assert (info.mtime, info.uid, info.uname, info.mode) == (0, 0, "", 0o644)


@pytest.mark.measures
@pytest.mark.slow
def test_memory_is_constant(tmp_path: Path) -> None:
    row = {"image": Image.fromarray(np.zeros((256, 256), np.uint8)), "label": 0}
    stream = IterableDataset.from_generator(lambda: iter([row] * 3000), features=PICTURES.features)
    with traced_memory(60 << 20):
        write_idx(stream, tmp_path / "set.tar")
        write_idx(
            (np.broadcast_to(np.float32(1), (30_000, 28, 28)), None),
            tmp_path / "floats",
            compress=False,
        )
