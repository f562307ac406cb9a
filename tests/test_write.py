"""Writing IDX: what is written is read back by `idx2numpy` and by a plain NumPy reader, never by our own code."""

import gzip
import io
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import datasets
import idx2numpy
import numpy as np
import pytest
from clients import run_client
from conftest import MEMBERS, Arrays
from datasets import Array2D, ClassLabel, Dataset, DatasetDict, Features, IterableDataset, Value
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from idx_files import CODES, from_idx, random_images
from PIL import Image

from mnist_idx import IdxError, write_idx
from mnist_idx.tools.staged import staged
from mnist_idx.tools.write import class_names

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
PAIR = (random_images(2, 3, 3), [0, 1])


def contents(target: Path) -> dict[str, bytes]:
    """File name without `.gz` -> decompressed content, of a folder or a tar."""
    if target.suffix == ".tar":
        with tarfile.open(target) as tar:
            files = {Path(info.name).name: tar.extractfile(info).read() for info in tar}  # type: ignore[union-attr]
    else:
        files = {path.name: path.read_bytes() for path in target.iterdir()}
    return {name.removesuffix(".gz"): gzip.decompress(d) if name.endswith(".gz") else d for name, d in files.items()}


def read(target: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for name, content in contents(target).items():
        arrays[name] = from_idx(content)
        if arrays[name].size:  # idx2numpy cannot reshape what holds nothing
            again = idx2numpy.convert_from_string(content)
            assert again.dtype == arrays[name].dtype
            np.testing.assert_array_equal(again, arrays[name])
    return arrays


def pictures(images: Any, labels: Any = None, names: list[str] | None = None, split: Any = None) -> Dataset:
    """A dataset of images, which are given as arrays or Pillow images."""
    content = {"image": [Image.fromarray(image) if isinstance(image, np.ndarray) else image for image in images]}
    features: dict[str, Any] = {"image": ImageFeature()}
    if labels is not None:
        content["label"] = labels
        features["label"] = ClassLabel(names=names or list("0123456789"))
    return Dataset.from_dict(content, features=Features(features), split=split)


@pytest.mark.parametrize(
    ("target", "compress", "splits"), [("folder", True, ["test"]), ("a.tar", False, ["train", "test"])]
)
def test_mnist_written_again_is_mnist(
    target: str,
    compress: bool,
    splits: list[str],
    mnist_arrays: Arrays,
    mnist_files: Mapping[str, bytes],
    tmp_path: Path,
) -> None:
    write_idx({split: mnist_arrays[split] for split in splits}, tmp_path / target, compress=compress)
    names = [name for split in splits for name in MEMBERS[split]]
    assert contents(tmp_path / target) == {Path(name).stem: gzip.decompress(mnist_files[name]) for name in names}


def test_prepared_and_streamed_datasets(mnist_arrays: Arrays, tmp_path: Path) -> None:
    images, labels = (part[:700] for part in mnist_arrays["test"])
    data = DatasetDict({"test": pictures(images, labels)})
    streamed = datasets.IterableDatasetDict({"test": data["test"].to_iterable_dataset(num_shards=3)})
    for source in (data, streamed, {"test": data["test"].with_format("numpy")}):
        write_idx(source, tmp_path / "set.tar", overwrite=True)
        arrays = read(tmp_path / "set.tar")
        np.testing.assert_array_equal(arrays.pop("t10k-images-idx3-ubyte"), images)
        np.testing.assert_array_equal(arrays.pop("t10k-labels-idx1-ubyte"), labels)
        assert not arrays


@settings(max_examples=settings().max_examples // 2)
@given(
    images=npst.arrays(st.sampled_from(list(CODES)), npst.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=7)),
    data=st.data(),
    target=st.sampled_from(["folder", "set.tar"]),
    compress=st.booleans(),
)
def test_arrays_of_any_shape_and_type(
    tmp_path_factory: pytest.TempPathFactory, images: np.ndarray, data: Any, target: str, compress: bool
) -> None:
    shape = (len(images), *data.draw(st.sampled_from([(), (1,), (8,)])))
    labels = data.draw(npst.arrays(st.sampled_from(["int8", "uint8", "int16", "int32", "bool"]), shape))
    path = tmp_path_factory.mktemp("idx") / target
    headers = write_idx((images, labels), path, compress=compress)
    arrays = read(path)
    found = {name.split("-")[1]: array for name, array in arrays.items()}
    expected = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    assert found["images"].dtype.newbyteorder("=") == images.dtype
    np.testing.assert_array_equal(found["images"], expected)
    np.testing.assert_array_equal(found["labels"], labels)
    shapes = {name.removesuffix(".gz"): header.shape for name, header in headers.items()}
    assert shapes == {name: array.shape for name, array in arrays.items()}


@settings(max_examples=20)
@given(
    images=npst.arrays("uint8", st.tuples(st.integers(0, 300), st.integers(1, 9), st.integers(1, 9))),
    seed=st.integers(0, 1000),
)
def test_datasets_of_any_size(tmp_path_factory: pytest.TempPathFactory, images: np.ndarray, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 10, len(images))
    path = tmp_path_factory.mktemp("idx")
    data = pictures(images, labels)
    write_idx(data, path / "known")
    stream = IterableDataset.from_generator(lambda: iter(data), features=data.features)
    write_idx(stream, path / "unknown", split="train")
    assert contents(path / "known") == contents(path / "unknown")
    arrays = read(path / "known")
    if len(images):
        np.testing.assert_array_equal(arrays[IMAGES], images)
    np.testing.assert_array_equal(arrays[LABELS], labels)


NARROWEST = [(0, 255, "ubyte"), (0, 256, "short"), (-1, 127, "byte"), (-1, 128, "short"), (-128, 0, "byte")]
NARROWEST += [(-129, 0, "short"), (0, 32767, "short"), (0, 32768, "int"), (-(2**31), 2**31 - 1, "int")]


@pytest.mark.parametrize(("low", "high", "name"), NARROWEST)
def test_labels_get_the_narrowest_type_that_holds_them(low: int, high: int, name: str, tmp_path: Path) -> None:
    labels = [0, low, 3, *[0] * 500, high]  # more than a batch
    write_idx((random_images(504, 2, 2), np.array(labels)), tmp_path / "arrays")
    write_idx(pictures(random_images(504, 2, 2)).add_column("label", labels), tmp_path / "dataset")
    for target in ("arrays", "dataset"):
        assert read(tmp_path / target)[f"train-labels-idx1-{name}"].tolist() == labels


def test_labels_of_several_parts(tmp_path: Path) -> None:
    """As QMNIST's are loaded: the class, and the rest."""
    parts = np.arange(24, dtype=np.int32).reshape(3, 8) * 10_000
    parts[:, 0] = [3, 1, 2]
    images = random_images(3, 4, 4)
    write_idx({"train": (images, parts)}, tmp_path / "arrays")
    np.testing.assert_array_equal(read(tmp_path / "arrays")["train-labels-idx2-int"], parts)
    write_idx(pictures(images).add_column("label", parts.tolist()), tmp_path / "lists")
    data = datasets.load_dataset("idxfolder", data_dir=str(tmp_path / "arrays"), cache_dir=str(tmp_path / "cache"))
    write_idx(data, tmp_path / "columns", label_column=["label", "label_details"])
    assert contents(tmp_path / "lists") == contents(tmp_path / "columns") == contents(tmp_path / "arrays")
    write_idx(data, tmp_path / "class")
    assert read(tmp_path / "class")[LABELS].tolist() == [3, 1, 2]


def test_names_of_splits(tmp_path: Path) -> None:
    def written(source: Any, **options: Any) -> set[str]:
        files = write_idx(source, tmp_path / "set.tar", compress=False, overwrite=True, **options)
        return {name.removesuffix("-images-idx3-ubyte") for name in files if "images" in name}

    names = ["train", "test", "validation", "extra.one"]
    assert written(dict.fromkeys(names, PAIR)) == {"train", "t10k", "validation", "extra.one"}
    assert written(pictures(*PAIR, split="test")) == written(pictures(*PAIR, split="test[:50%]")) == {"t10k"}
    assert written(pictures(*PAIR, split="test"), split="dev") == {"dev"}


def test_names_of_classes() -> None:
    data = pictures(*PAIR, names=["cat", "dog"])
    assert class_names(data) == class_names({"train": data}) == class_names(data, "label") == ["cat", "dog"]
    for plain in (pictures(*PAIR), pictures(PAIR[0])):
        assert class_names(plain) is None


def test_images_alone(tmp_path: Path) -> None:
    images = random_images(3, 4, 5)
    for number, source in enumerate([images, (images, None), pictures(images)]):
        assert list(write_idx(source, tmp_path / str(number))) == [f"{IMAGES}.gz"]
        np.testing.assert_array_equal(read(tmp_path / str(number))[IMAGES], images)


def test_columns_are_found_or_named(tmp_path: Path) -> None:
    data = pictures(random_images(3, 4, 5), [1, 2, 3]).add_column("name", ["a", "b", "c"])
    data = data.add_column("second", [7, 8, 9])
    named = {"image_column": "image", "label_column": "second"}
    for source, options, labels in (
        (data, {}, [1, 2, 3]),
        (data, named, [7, 8, 9]),
        (data.with_format("numpy"), {}, [1, 2, 3]),
        (data.cast_column("image", ImageFeature(decode=False)), {}, [1, 2, 3]),
        (data.remove_columns("label").rename_column("second", "labels"), {}, [7, 8, 9]),
    ):
        write_idx(source, tmp_path / "set.tar", overwrite=True, **options)
        assert read(tmp_path / "set.tar")[LABELS].tolist() == labels
        np.testing.assert_array_equal(read(tmp_path / "set.tar")[IMAGES], random_images(3, 4, 5))


def test_columns_of_arrays(tmp_path: Path) -> None:
    arrays = np.random.default_rng(0).normal(size=(600, 4, 5)).astype(np.float32)
    features = Features({"image": Array2D((4, 5), "float32"), "label": Value("int64")})
    data = Dataset.from_dict({"image": arrays, "label": range(600)}, features=features)
    write_idx(data, tmp_path / "prepared")
    np.testing.assert_array_equal(read(tmp_path / "prepared")["train-images-idx3-float"], arrays)
    write_idx(data.to_iterable_dataset(), tmp_path / "streamed")
    assert contents(tmp_path / "streamed") == contents(tmp_path / "prepared")


def test_streams_that_declare_nothing(tmp_path: Path) -> None:
    images = random_images(600, 4, 5)

    rows = [{"number": n, "picture": Image.fromarray(image), "label": n % 10} for n, image in enumerate(images)]
    write_idx(IterableDataset.from_generator(lambda: iter(rows)), tmp_path / "idx")
    arrays = read(tmp_path / "idx")
    np.testing.assert_array_equal(arrays[IMAGES], images)
    assert arrays[LABELS].tolist() == [number % 10 for number in range(600)]


def test_nothing_to_write_is_a_dataset_too(tmp_path: Path) -> None:
    empty = pictures(random_images(1, 4, 4), [0]).select([])
    for source, options, shape in (
        ((random_images(0, 28, 28), np.zeros(0, int)), {}, (0, 28, 28)),
        (empty, {"size": (28, 20)}, (0, 28, 20)),
        (empty, {"mode": "RGB"}, (0, 0, 0, 3)),
    ):
        write_idx(source, tmp_path / "set.tar", overwrite=True, **options)
        found = {name: from_idx(content).shape for name, content in contents(tmp_path / "set.tar").items()}
        assert found == {f"train-images-idx{len(shape)}-ubyte": shape, LABELS: (0,)}


def test_colour_is_refused_or_converted(tmp_path: Path) -> None:
    images = random_images(3, 6, 4, 3)
    data = pictures(images, [0, 1, 2])
    with pytest.raises(IdxError, match=r"split 'train', record 0 .* mode \"RGB\".*mode=\"L\".*mode=\"RGB\""):
        write_idx(data, tmp_path / "error")
    for source, options in ((data, {"mode": "RGB"}), ((images, None), {})):
        write_idx(source, tmp_path / "colour", overwrite=True, **options)
        np.testing.assert_array_equal(read(tmp_path / "colour")["train-images-idx4-ubyte"], images)
    write_idx(data, tmp_path / "gray", mode="L")
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in images]
    np.testing.assert_array_equal(read(tmp_path / "gray")[IMAGES], expected)


def test_sizes_are_refused_or_made_equal(tmp_path: Path) -> None:
    images = [Image.fromarray(random_images(28, 28))] * 400 + [Image.fromarray(random_images(14, 20))]
    data = pictures(images)
    said = r"split 'train', record 400 is .*\(14, 20\), the first record is .*\(28, 28\).*size="
    with pytest.raises(IdxError, match=said):
        write_idx(data, tmp_path / "error")
    write_idx(data, tmp_path / "sized", size=(10, 12))
    found = read(tmp_path / "sized")[IMAGES]
    assert found.shape == (401, 10, 12)
    np.testing.assert_array_equal(found[400], images[400].resize((12, 10), Image.Resampling.LANCZOS))


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK"])
def test_other_modes_are_refused_or_converted(mode: str, tmp_path: Path) -> None:
    data = pictures([Image.fromarray(random_images(4, 5)), Image.fromarray(random_images(4, 5, 3)).convert(mode)])
    with pytest.raises(IdxError, match=f'record 1 is an image of mode "{mode}"'):
        write_idx(data, tmp_path / "error")
    for converted, shape in (("L", (2, 4, 5)), ("RGB", (2, 4, 5, 3))):
        write_idx(data, tmp_path / converted, mode=converted)
        assert [array.shape for array in read(tmp_path / converted).values()] == [shape]


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int32"])
def test_wide_pixels_are_never_cut_to_eight_bits(dtype: str, tmp_path: Path) -> None:
    data = pictures([Image.fromarray(np.full((3, 3), 1000, dtype=dtype))])
    with pytest.raises(IdxError, match=r"record 0 .* do not fit 8 bits"):
        write_idx(data, tmp_path / "idx", mode="L")


BAD_SOURCES: list[tuple[Any, dict[str, Any], str]] = [
    ({}, {}, "found none"),
    ({"train": 3}, {}, "found int"),
    ("mnist", {}, "found str"),
    ({"a/b": PAIR}, {}, "found a/b"),
    ({"..": PAIR}, {}, r"found \.\."),
    ({"test": PAIR, "t10k": PAIR}, {}, "found test, t10k"),
    ({"train": PAIR}, {"split": "x"}, "split='x': expected none"),
    ((PAIR[0], [1]), {}, "2 images need as many labels"),
    ((PAIR[0], np.zeros((2, 1, 1), int)), {}, "record 0 has the label"),
    ((PAIR[0], [1.5, 2]), {}, r"record 0 has the label 1\.5, expected integers"),
    ((PAIR[0], [1, 2**31]), {}, r"record 1 has the label 2147483648"),
    ((PAIR[0], [[1, 2], [3, -(2**31) - 1]]), {}, "record 1 has the label .*-2147483649"),
    ((PAIR[0].astype("uint16"), [1, 2]), {}, "no element type uint16"),
    ((PAIR[0].astype("int64"), [1, 2]), {}, "no element type int64"),
    ((np.uint8(3), None), {}, "expected .* a pair of arrays"),
    (PAIR, {"mode": "L"}, "Convert the arrays first"),
    (PAIR, {"size": (3, 3)}, "Convert the arrays first"),
    (PAIR, {"mode": "CMYK"}, "mode='CMYK'"),
    (PAIR, {"size": (28,)}, r"size=\(28,\)"),
    (PAIR, {"size": (0, 28)}, r"size=\(0, 28\)"),
]


@pytest.mark.parametrize(("source", "options", "message"), BAD_SOURCES)
def test_what_cannot_be_written(source: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(source, tmp_path / "idx", **options)
    assert not any(tmp_path.iterdir())


def broken_picture() -> Dataset:
    good = io.BytesIO()
    Image.fromarray(random_images(30, 30)).save(good, "PNG")
    values = [{"bytes": good.getvalue(), "path": None}] * 300
    values[290] = {"bytes": good.getvalue()[:200], "path": "cat.png"}
    return Dataset.from_dict({"image": values}, features=Features({"image": ImageFeature()}))


PICTURES = pictures(*PAIR)
TWO_CLASSES = PICTURES.add_column("other", [0, 1]).cast_column("other", ClassLabel(num_classes=2))
BAD_DATASETS: list[tuple[Any, dict[str, Any], str]] = [
    (PICTURES.remove_columns("image"), {}, "expected one column of images .* found the columns label"),
    (TWO_CLASSES, {}, "at most one of classes, found .* label, other.*label_column="),
    (PICTURES, {"image_column": "picture"}, "found the columns image, label"),
    (PICTURES, {"label_column": "class"}, "found the columns image, label"),
    (PICTURES.map(lambda row: {"again": row["image"]}), {}, "found .*image, label, again.*image_column="),
    (PICTURES.cast_column("label", Value("string")), {}, "record 0 has the label .*class_encode_column"),
    (pictures(PAIR[0], [0, None]), {}, "record 1 has the label None"),
    (pictures([PAIR[0][0], None], [0, 1]), {}, "record 1 has no image"),
    (pictures(PAIR[0]).add_column("label", [[1], [1, 2]]), {}, "record . has the label .*as many as other records"),
    (broken_picture(), {}, r"split 'train', record 290 \(cat.png\) cannot be read as an image"),
]


@pytest.mark.parametrize(("data", "options", "message"), BAD_DATASETS)
def test_datasets_that_cannot_be_written(data: Any, options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=message):
        write_idx(data, tmp_path / "idx", **options)


@pytest.mark.parametrize("target", ["folder", "set.tar"])
def test_the_target_appears_whole_or_not_at_all(target: str, tmp_path: Path) -> None:
    def records() -> Iterator[dict[str, Any]]:
        for number in range(600):
            yield {"image": Image.fromarray(random_images(4, 4)), "label": 0}
            if number == 500:
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
    with pytest.raises(IdxError):
        write_idx((PAIR[0], [1]), tmp_path / target, overwrite=True)
    assert contents(tmp_path / target) == before, "what was there stays if the new one fails"
    write_idx(other, tmp_path / target, overwrite=True)
    assert read(tmp_path / target)[IMAGES].shape == (5, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == [target]


def test_only_idx_files_are_replaced(tmp_path: Path) -> None:
    for target, inside, message in (
        ("home", "thesis.tex", r"thesis\.tex"),
        ("note.txt", "", "is a file"),
        ("folder.tar", "x", "is a folder"),
    ):
        path = tmp_path / target / inside
        path.parent.mkdir(exist_ok=True)
        path.write_text("years of work")
        with pytest.raises(IdxError, match=message):
            write_idx(PAIR, tmp_path / target, overwrite=True)
        assert path.read_text() == "years of work"


def test_the_target_is_checked_before_and_after(tmp_path: Path) -> None:
    target = tmp_path / "target"
    with pytest.raises(IdxError, match="exists already"), staged(target, False, lambda path: ""):
        target.write_text("of somebody else, meanwhile")
    with pytest.raises(IdxError, match="exists already"), staged(target, False, lambda path: ""):
        pytest.fail("built for nothing")
    assert target.read_text() == "of somebody else, meanwhile"
    assert list(tmp_path.iterdir()) == [target]


def test_the_target_may_be_an_empty_folder_and_may_lack_parents(tmp_path: Path) -> None:
    (tmp_path / "a" / "idx").mkdir(parents=True)
    for target in ("a/idx", "b/c/idx", "b/set.tar"):
        write_idx(PAIR, tmp_path / target)
        assert len(read(tmp_path / target)) == 2
    (tmp_path / "ordinary").mkdir()
    (tmp_path / "file").touch()
    for path in (tmp_path / "b").rglob("*"):  # permissions are ordinary
        like = tmp_path / ("ordinary" if path.is_dir() else "file")
        assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(like.stat().st_mode)


@pytest.mark.parametrize("name", ["set.tar.gz", "set.tgz", "set.zip", f"{IMAGES}.gz"])
def test_other_archives_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=r"a folder or a \.tar"):
        write_idx(PAIR, tmp_path / name)


def test_equal_data_gives_equal_bytes(tmp_path: Path) -> None:
    for target in ("one", "two", "one.tar", "two.tar"):
        write_idx({"train": PAIR}, tmp_path / target)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
        assert path.read_bytes()[4:10] == bytes(4) + b"\x00\xff", "neither time nor name"
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert {(info.mtime, info.uid, info.uname, info.mode) for info in tar} == {(0, 0, "", 0o644)}


MEASURE = """
import numpy as np
import PIL.Image
from datasets import Features, Image, IterableDataset, Value
from mnist_idx import write_idx
image = np.zeros((256, 256), dtype=np.uint8)
def records(count):
    for number in range(count):
        yield {"image": PIL.Image.fromarray(image), "label": number % 10}
features = Features({"image": Image(), "label": Value("int64")})
peaks = []
for count in (600, 3000):
    stream = IterableDataset.from_generator(records, features=features, gen_kwargs={"count": count})
    write_idx(stream, f"{count}.tar", split="train")
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
result = peaks[1] - peaks[0]
"""


@pytest.mark.slow
def test_memory_is_constant(hf_home: Path) -> None:
    """197 MB of images after 39 MB: the peak may not grow by more than a few of them."""
    assert run_client(MEASURE, home=hf_home).result < 20_000, "KiB"


def test_big_endian_arrays(tmp_path: Path) -> None:
    images = np.arange(24, dtype=">i2").reshape(2, 3, 4)
    write_idx((images, None), tmp_path / "idx", compress=False)
    np.testing.assert_array_equal(read(tmp_path / "idx")["train-images-idx3-short"], images)


def test_records_that_could_not_be_read_back_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="expected at most"):
        write_idx((np.zeros((1, 1 << 13, 1 << 13), np.int16), None), tmp_path / "idx")
