"""Writing IDX: what is written is read back by `idx2numpy` and by a plain NumPy reader, never by
our own code.
"""

import gzip
import re
import tarfile
from collections.abc import Iterator, Mapping
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
from idx_files import CODES, from_idx, random_images, write_archive
from pictures import pictures
from PIL import Image
from written import contents, read

from mnist_idx import IdxError, write_idx
from mnist_idx.tools.staged import staged
from mnist_idx.tools.write import class_names

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
PAIR = (random_images(2, 3, 3), [0, 1])
IMAGE_ARRAYS = npst.arrays(
    st.sampled_from([*CODES, ">i2"]),
    st.tuples(st.integers(0, 7), npst.array_shapes(max_dims=4, max_side=7)).map(
        lambda drawn: (drawn[0], *drawn[1])
    ),
)


def test_mnist_written_again_is_mnist(
    mnist_arrays: Arrays, mnist_files: Mapping[str, bytes], tmp_path: Path
) -> None:
    write_idx(mnist_arrays, tmp_path / "set.tar", compress=False)
    assert contents(tmp_path / "set.tar") == {
        Path(n).stem: gzip.decompress(data) for n, data in mnist_files.items()
    }


@settings(max_examples=settings().max_examples // 2)
@given(IMAGE_ARRAYS, st.data())
def test_arrays_of_any_shape_and_type(
    tmp_path_factory: pytest.TempPathFactory, images: np.ndarray, data: Any
) -> None:
    shape = (len(images), *data.draw(st.sampled_from([(), (1,), (8,)])))
    labels = data.draw(
        npst.arrays(st.sampled_from(["int8", "uint8", "int16", "int32", "bool"]), shape)
    )
    path = tmp_path_factory.mktemp("idx") / data.draw(st.sampled_from(["folder", "set.tar"]))
    headers = write_idx((images, labels), path, compress=data.draw(st.booleans()))
    arrays = read(path)
    found = {name.split("-")[1]: array for name, array in arrays.items()}
    expected = images
    if images.ndim == 4 and images.shape[3] == 1:
        expected = images[..., 0]
    elif images.ndim == 4 and images.shape[3] != 3 and images.shape[1] in (1, 3):  # channels first
        expected = images[:, 0] if images.shape[1] == 1 else images.transpose(0, 2, 3, 1)
    labels = labels[:, 0] if shape[1:] == (1,) else labels
    assert found["images"].dtype.newbyteorder("=") == images.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found["images"], expected)
    np.testing.assert_array_equal(found["labels"], labels)
    shapes = {name.removesuffix(".gz"): header.shape for name, header in headers.items()}
    assert shapes == {name: array.shape for name, array in arrays.items()}


NARROWEST = [
    (0, 255, "ubyte"),
    (0, 256, "short"),
    (-1, 127, "byte"),
    (-1, 128, "short"),
    (-128, 0, "byte"),
]
NARROWEST += [
    (-129, 0, "short"),
    (0, 32767, "short"),
    (0, 32768, "int"),
    (-(2**31), 2**31 - 1, "int"),
]


@pytest.mark.parametrize(("low", "high", "name"), NARROWEST)
def test_labels_get_the_narrowest_type_that_holds_them(
    low: int, high: int, name: str, tmp_path: Path
) -> None:
    labels = [0, low, 3, *[0] * 500, high]  # more than a batch
    images = random_images(504, 2, 2)
    for source in ((images, np.array(labels)), pictures(images).add_column("label", labels)):
        write_idx(source, tmp_path / "idx", overwrite=True)
        assert read(tmp_path / "idx")[f"train-labels-idx1-{name}"].tolist() == labels


def test_labels_of_several_parts(tmp_path: Path) -> None:
    parts = np.arange(24, dtype=np.int32).reshape(3, 8) * 10_000
    parts[:, 0] = [3, 1, 2]
    images = random_images(3, 4, 4)
    write_idx({"train": (images, parts)}, tmp_path / "arrays")
    np.testing.assert_array_equal(read(tmp_path / "arrays")["train-labels-idx2-int"], parts)
    write_idx(pictures(images).add_column("label", parts.tolist()), tmp_path / "lists")
    data = datasets.load_dataset(
        "idxfolder", data_dir=str(tmp_path / "arrays"), cache_dir=str(tmp_path / "cache")
    )
    write_idx(data, tmp_path / "columns", label_column=["label", "label_details"])
    assert (
        contents(tmp_path / "lists")
        == contents(tmp_path / "columns")
        == contents(tmp_path / "arrays")
    )


def test_names_of_splits(tmp_path: Path) -> None:
    def written(source: Any, **options: Any) -> set[str]:
        files = write_idx(source, tmp_path / "set.tar", compress=False, overwrite=True, **options)
        return {name.removesuffix("-images-idx3-ubyte") for name in files if "images" in name}

    data = pictures(*PAIR, split="test")
    names = ["train", "test", "validation", "extra.one"]
    assert written(dict.fromkeys(names, PAIR)) == {"train", "t10k", "validation", "extra.one"}
    for test in (data, pictures(*PAIR, split="test[:50%]"), datasets.DatasetDict(test=data)):
        assert written(test) == {"t10k"}
    assert written(datasets.IterableDatasetDict(test=data.to_iterable_dataset())) == {"t10k"}
    assert written(data, split="dev") == {"dev"}


def test_names_of_classes() -> None:
    data = pictures(*PAIR, names=["cat", "dog"])
    assert (
        class_names(data)
        == class_names({"train": data})
        == class_names(data, "label")
        == ["cat", "dog"]
    )
    two = data.add_column("other", [0, 1]).cast_column("other", ClassLabel(names=["a", "b"]))
    assert (class_names(two), class_names(two, "other")) == (None, ["a", "b"])
    assert class_names(pictures(*PAIR)) is class_names(pictures(PAIR[0])) is None


def test_columns_are_found_or_named(tmp_path: Path) -> None:
    images, first, second = random_images(600, 4, 5), [n % 10 for n in range(600)], [*range(600)]
    data = pictures(images, first).add_column("name", ["a"] * 600).add_column("second", second)
    arrays = images.astype(np.float32) / 255
    features = Features({"image": Array2D((4, 5), "float32"), "label": Value("int64")})
    of_arrays = Dataset.from_dict({"image": arrays, "label": first}, features=features)
    undeclared = IterableDataset.from_generator(
        lambda: iter(data.rename_column("image", "picture"))
    )
    for source, options, labels in (
        (images, {}, None),
        ((images[..., None], None), {}, None),
        (pictures(images), {}, None),
        (data, {}, first),
        (data, {"image_column": "image", "label_column": "second"}, second),
        (data.with_format("numpy"), {}, first),
        (data.cast_column("image", ImageFeature(decode=False)), {}, first),
        (data.remove_columns("label").rename_column("second", "labels"), {}, second),
        (data.to_iterable_dataset(num_shards=3), {}, first),
        (undeclared, {}, first),
        (of_arrays, {}, first),
        (of_arrays.to_iterable_dataset(), {}, first),
    ):
        write_idx(source, tmp_path / "set.tar", overwrite=True, **options)
        pixels, *found = read(tmp_path / "set.tar").values()
        assert [values.tolist() for values in found] == ([] if labels is None else [labels])
        np.testing.assert_array_equal(pixels, images if pixels.dtype == np.uint8 else arrays)


def test_nothing_to_write_is_a_dataset_too(tmp_path: Path) -> None:
    empty = pictures(random_images(1, 4, 4), [0]).select([])
    for source, options, shape in (
        ((random_images(0, 28, 28), np.zeros(0, int)), {}, (0, 28, 28)),
        (empty, {"size": (28, 20)}, (0, 28, 20)),
        (
            IterableDataset.from_generator(lambda: iter(()), features=empty.features),
            {"mode": "RGB"},
            (0, 0, 0, 3),
        ),
    ):
        write_idx(source, tmp_path / "set.tar", overwrite=True, **options)
        found = {
            name: from_idx(content).shape
            for name, content in contents(tmp_path / "set.tar").items()
        }
        assert found == {f"train-images-idx{len(shape)}-ubyte": shape, LABELS: (0,)}


@pytest.mark.parametrize("mode", ["RGB", "1", "LA", "P", "RGBA", "CMYK"])
def test_modes_are_refused_or_converted(mode: str, tmp_path: Path) -> None:
    images = [
        Image.fromarray(random_images(6, 4)),
        Image.fromarray(random_images(6, 4, 3)).convert(mode),
    ]
    with pytest.raises(
        IdxError, match=rf"'train', record 1 .*\"{mode}\".*mode=\"L\".*mode=\"RGB\""
    ):
        write_idx(pictures(images), tmp_path / "error")
    for target, name in (("L", IMAGES), ("RGB", "train-images-idx4-ubyte")):
        write_idx(pictures(images), tmp_path / target, mode=target)
        expected = [np.asarray(image.convert(target)) for image in images]
        np.testing.assert_array_equal(read(tmp_path / target)[name], expected)


def test_sizes_are_refused_or_made_equal(tmp_path: Path) -> None:
    images = [Image.fromarray(random_images(28, 28))] * 400 + [
        Image.fromarray(random_images(14, 20))
    ]
    with pytest.raises(IdxError, match=r"'train', record 400 .*\(14, 20\).*\(28, 28\).*size="):
        write_idx(pictures(images), tmp_path / "error")
    write_idx(pictures(images), tmp_path / "sized", size=(10, 12))
    expected = [np.asarray(image.resize((12, 10), Image.Resampling.LANCZOS)) for image in images]
    np.testing.assert_array_equal(read(tmp_path / "sized")[IMAGES], expected)


PICTURES = pictures(*PAIR)
TWO_CLASSES = PICTURES.add_column("other", [0, 1]).cast_column("other", ClassLabel(num_classes=2))
GOOD = ImageFeature().encode_example(random_images(30, 30))
ROWS = {"image": [*[GOOD] * 290, {"bytes": GOOD["bytes"][:200], "path": "cat.png"}]}
UNEVEN = pictures(random_images(300, 2, 2)).add_column("label", [[1]] * 256 + [[1, 2]] * 44)
BROKEN = Dataset.from_dict(ROWS, features=Features({"image": ImageFeature()}))
WIDE = [
    pictures([Image.fromarray(np.full((3, 3), 1000, dtype))])
    for dtype in ("uint16", "float32", "int32")
]
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    ({}, {}, "none"),
    ({"train": 3}, {}, "int"),
    ({"a/b": PAIR}, {}, "a/b"),
    ({"..": PAIR}, {}, r"\.\."),
    ({"test": PAIR, "t10k": PAIR}, {}, "test, t10k"),
    ({"train": PAIR}, {"split": "x"}, "split='x'"),
    ((PAIR[0], [1]), {}, r"2 images .*\(1,\)"),
    ((PAIR[0], np.zeros((2, 1, 1), int)), {}, "record 0 has the label"),
    ((PAIR[0], [1.5, 2]), {}, r"record 0 has the label 1\.5"),
    ((PAIR[0], [1, 2**31]), {}, "record 1 has the label 2147483648"),
    ((PAIR[0], [[1, 2], [3, -(2**31) - 1]]), {}, "record 1 has the label .*-2147483649"),
    ((PAIR[0].astype("uint16"), [1, 2]), {}, "uint16"),
    ((["a", "b"], None), {}, "pair of arrays"),
    ((np.zeros((1, 1 << 13, 1 << 13), np.int16), None), {}, "at most"),  # could not be read back
    (PAIR, {"mode": "L"}, "Convert the arrays"),
    (PAIR, {"size": (3, 3)}, "Convert the arrays"),
    (PAIR, {"mode": "CMYK"}, "mode='CMYK'"),
    *((PAIR, {"size": size}, re.escape(f"size={size}")) for size in ((28,), (0, 28), (2.5, 3))),
    (PICTURES.remove_columns("image"), {}, "the columns label"),
    (TWO_CLASSES, {}, "label, other.*label_column="),
    (PICTURES, {"image_column": "picture"}, "the columns image, label"),
    (PICTURES, {"label_column": "class"}, "the columns image, label"),
    (PICTURES.map(lambda row: {"again": row["image"]}), {}, "image, label, again.*image_column="),
    (
        PICTURES.cast_column("label", Value("string")),
        {},
        "record 0 has the label .*class_encode_column",
    ),
    (pictures(PAIR[0], [0, None]), {}, "record 1 has the label None"),
    (pictures([PAIR[0][0], None], [0, 1]), {}, "record 1 has no image"),
    (pictures(PAIR[0]).add_column("label", [[1], [1, 2]]), {}, "record . has the label"),
    (UNEVEN, {}, r"labels of the shapes \(1,\), \(2,\)"),
    (BROKEN, {}, r"'train', record 290 \(cat\.png\)"),
    *((data, {"mode": "L"}, "record 0 .*8 bits") for data in WIDE),
    *(
        (PAIR, {"target": name}, r"a \.tar")
        for name in ("set.tar.gz", "set.tgz", "set.zip", f"{IMAGES}.gz")
    ),
]


@pytest.mark.parametrize(("source", "options", "message"), REFUSED)
def test_what_cannot_be_written(
    source: Any, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(source, **{"target": tmp_path / "idx", **options})
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["folder", "set.tar"])
def test_the_target_appears_whole_or_not_at_all(target: str, tmp_path: Path) -> None:
    def records() -> Iterator[dict[str, Any]]:
        yield from [{"image": Image.fromarray(random_images(4, 4)), "label": 0}] * 600
        assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        raise RuntimeError("the source broke off")

    stream = IterableDataset.from_generator(records, features=PICTURES.features)
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


def test_only_idx_files_are_replaced(tmp_path: Path) -> None:
    for path, message in (
        ("home/thesis.tex", "thesis"),
        ("note.txt", "is a file"),
        ("folder.tar/x", "is a folder"),
    ):
        write_archive(tmp_path, {path: b"years of work"})
        with pytest.raises(IdxError, match=message):
            write_idx(PAIR, tmp_path / path.partition("/")[0], overwrite=True)
        assert (tmp_path / path).read_bytes() == b"years of work"
    (tmp_path / "own/void").mkdir(parents=True)
    with pytest.raises(IdxError, match="holds void"):
        write_idx(PAIR, tmp_path / "own", overwrite=True)


def test_the_target_is_checked_before_and_after(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(IdxError, match="exists already"), staged(target, False):
        target.write_text("of somebody else, meanwhile")
    with pytest.raises(IdxError, match="exists already"), staged(target, False):
        pytest.fail("built for nothing")
    assert target.read_text() == "of somebody else, meanwhile"
    assert list(tmp_path.iterdir()) == [target]


def test_equal_data_gives_equal_bytes(tmp_path: Path) -> None:
    for target in ("folder", "set.tar"):
        write_idx(PAIR, tmp_path / target)
    for path in (tmp_path / "folder").iterdir():
        assert path.read_bytes()[3:10] == bytes(6) + b"\xff", "neither name nor time"
    with tarfile.open(tmp_path / "set.tar") as tar:
        assert {(info.mtime, info.uid, info.uname, info.mode) for info in tar} == {
            (0, 0, "", 0o644)
        }


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
