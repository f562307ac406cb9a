"""Writing IDX: what is written is read back by `idx2numpy` and by a plain NumPy reader, never by our own code."""

from __future__ import annotations

import gzip
import hashlib
import io
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

import datasets
import idx2numpy
import numpy as np
import pytest
from datasets import Array2D, ClassLabel, Dataset, DatasetDict, Features, IterableDataset, Value
from datasets import Image as ImageFeature
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from idx_files import from_idx
from PIL import Image

from mnist_idx import load_arrays
from mnist_idx.cli import main
from mnist_idx.convert import write_idx
from mnist_idx.idx import IdxError

IDX_TYPES = ["uint8", "int8", "int16", "int32", "float32", "float64"]


def content_of(folder: Path) -> dict[str, bytes]:
    """File name without `.gz` -> unpacked content, of a folder or a tar."""
    if folder.suffix == ".tar":
        with tarfile.open(folder) as tar:
            packed = {Path(member.name).name: tar.extractfile(member).read() for member in tar}
    else:
        packed = {path.name: path.read_bytes() for path in folder.iterdir()}
    return {name.removesuffix(".gz"): gzip.decompress(d) if name.endswith(".gz") else d for name, d in packed.items()}


def read(folder: Path) -> dict[str, np.ndarray]:
    arrays = {}
    for name, content in content_of(folder).items():
        arrays[name] = from_idx(content)
        # idx2numpy cannot reshape what holds nothing.
        if arrays[name].size:
            again = idx2numpy.convert_from_string(content)
            assert again.dtype == arrays[name].dtype
            np.testing.assert_array_equal(again, arrays[name])
    return arrays


def picture_set(images, labels=None, names=None, split=None) -> Dataset:
    """A data set of pictures; images are arrays or Pillow images."""
    content = {"image": [Image.fromarray(image) if isinstance(image, np.ndarray) else image for image in images]}
    features = {"image": ImageFeature()}
    if labels is not None:
        content["label"] = labels
        features["label"] = ClassLabel(names=names or [str(n) for n in range(10)])
    return Dataset.from_dict(content, features=Features(features), split=split)


def gray(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# --- MNIST itself --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["folder", "set.tar"])
@pytest.mark.parametrize("compress", [True, False])
def test_mnist_written_again_is_mnist(mnist_arrays, mnist_files, tmp_path, target, compress):
    write_idx(mnist_arrays, tmp_path / target, compress=compress)
    official = {Path(name).stem: gzip.decompress(packed) for name, packed in mnist_files.items()}
    assert content_of(tmp_path / target) == official
    digest = hashlib.sha256(content_of(tmp_path / target)["train-images-idx3-ubyte"]).hexdigest()
    assert digest == "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"


def test_mnist_as_a_data_set_of_pictures(mnist_arrays, mnist_files, tmp_path):
    images, labels = mnist_arrays["test"]
    data = DatasetDict({"test": picture_set(images, labels)})
    write_idx(data, tmp_path / "prepared")
    streamed = data["test"].to_iterable_dataset(num_shards=3)
    write_idx(datasets.IterableDatasetDict({"test": streamed}), tmp_path / "streamed.tar")
    official = {
        f"t10k-{role}": gzip.decompress(mnist_files[f"data/t10k-{role}.gz"])
        for role in ("images-idx3-ubyte", "labels-idx1-ubyte")
    }
    assert content_of(tmp_path / "prepared") == official
    assert content_of(tmp_path / "streamed.tar") == official


# --- any shape, any type -------------------------------------------------------------------------------------------


@given(
    images=npst.arrays(
        dtype=st.sampled_from(IDX_TYPES), shape=npst.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=7)
    ),
    labels=st.data(),
    target=st.sampled_from(["folder", "set.tar"]),
    compress=st.booleans(),
)
def test_arrays_of_any_shape_and_type(tmp_path_factory, images, labels, target, compress):
    parts = labels.draw(st.sampled_from([(), (1,), (8,)]))
    wide = labels.draw(
        npst.arrays(dtype=st.sampled_from(["int8", "uint8", "int16", "int32", "bool"]), shape=(len(images), *parts))
    )
    path = tmp_path_factory.mktemp("idx") / target
    headers = write_idx((images, wide), path, compress=compress)
    arrays = read(path)
    found = {name.split("-")[1]: array for name, array in arrays.items()}
    expected = images[..., 0] if images.ndim == 4 and images.shape[3] == 1 else images
    assert found["images"].dtype.newbyteorder("=") == images.dtype
    np.testing.assert_array_equal(found["images"], expected)
    np.testing.assert_array_equal(found["labels"], wide)
    assert {name.removesuffix(".gz"): header.shape for name, header in headers.items()} == {
        name: array.shape for name, array in arrays.items()
    }


@settings(max_examples=40)
@given(
    images=npst.arrays(
        dtype=st.sampled_from(IDX_TYPES),
        shape=st.integers(0, 5).flatmap(
            lambda count: st.lists(st.integers(1, 6), min_size=2, max_size=4).map(lambda rest: (count, *rest))
        ),
    ),
    labels=st.data(),
    target=st.sampled_from(["folder", "set.tar"]),
    compress=st.booleans(),
)
def test_we_read_what_we_write(tmp_path_factory, images, labels, target, compress):
    parts = labels.draw(st.sampled_from([(), (3,)]))
    classes = labels.draw(npst.arrays(dtype="int32", shape=(len(images), *parts), elements=st.integers(0, 70_000)))
    path = tmp_path_factory.mktemp("idx") / target
    write_idx({"train": (images, classes), "extra": (images[:1], classes[:1])}, path, compress=compress)
    for split, count in (("train", len(images)), ("extra", 1)):
        found, found_classes = load_arrays(split, data_dir=str(path))
        expected = images[:count, ..., 0] if images.ndim == 4 and images.shape[3] == 1 else images[:count]
        assert found.dtype == images.dtype
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(found_classes, classes[:count])


@given(
    pictures=npst.arrays(dtype="uint8", shape=st.tuples(st.integers(0, 300), st.integers(1, 9), st.integers(1, 9))),
    seed=st.integers(0, 1000),
)
def test_data_sets_of_any_size(tmp_path_factory, pictures, seed):
    labels = np.random.default_rng(seed).integers(0, 10, len(pictures))
    path = tmp_path_factory.mktemp("idx")
    data = picture_set(pictures, labels)
    write_idx(data, path / "known")

    def records():
        yield from data

    stream = IterableDataset.from_generator(records, features=data.features)
    write_idx(stream, path / "unknown", split="train")
    assert content_of(path / "known") == content_of(path / "unknown")
    arrays = read(path / "known")
    if len(pictures):
        np.testing.assert_array_equal(arrays["train-images-idx3-ubyte"], pictures)
    np.testing.assert_array_equal(arrays["train-labels-idx1-ubyte"], labels)


@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 50, 50), (7, 28, 1), (3, 513, 3), (1, 28, 28)])
def test_odd_shapes(tmp_path, shape):
    images = gray(*shape)
    write_idx(picture_set(images, np.zeros(len(images), int)), tmp_path / "idx")
    np.testing.assert_array_equal(read(tmp_path / "idx")["train-images-idx3-ubyte"], images)


@pytest.mark.parametrize(
    ("low", "high", "name"),
    [
        (0, 255, "idx1-ubyte"),
        (0, 256, "idx1-short"),
        (-1, 9, "idx1-byte"),
        (-1, 128, "idx1-short"),
        (0, 32767, "idx1-short"),
        (0, 32768, "idx1-int"),
        (-(2**31), 2**31 - 1, "idx1-int"),
    ],
)
def test_labels_get_the_narrowest_type_that_holds_them(tmp_path, low, high, name):
    labels = np.array([0, low, 3, high], dtype=np.int64)
    write_idx((gray(4, 2, 2), labels), tmp_path / "idx")
    np.testing.assert_array_equal(read(tmp_path / "idx")[f"train-labels-{name}"], labels)


def test_wide_labels_are_found_late(tmp_path):
    names = [f"class {n}" for n in range(70_000)]
    labels = [0] * 5000 + [69_999]
    write_idx(picture_set(gray(5001, 1, 1), labels, names), tmp_path / "idx")
    assert read(tmp_path / "idx")["train-labels-idx1-int"][-1] == 69_999


def test_labels_of_several_parts(tmp_path):
    parts = np.arange(24, dtype=np.int64).reshape(3, 8) * 10_000
    data = picture_set(gray(3, 4, 4)).add_column("label", parts.tolist())
    write_idx(data, tmp_path / "idx")
    np.testing.assert_array_equal(read(tmp_path / "idx")["train-labels-idx2-int"], parts)


def test_labels_of_several_columns(tmp_path):
    """As QMNIST's are loaded: the class, and the rest."""
    parts = np.arange(24, dtype=np.int32).reshape(3, 8) * 10_000
    parts[:, 0] = [3, 1, 2]
    source = {"train": (gray(3, 4, 4), parts)}
    write_idx(source, tmp_path / "idx")
    data = datasets.load_dataset("mnist_idx", data_dir=str(tmp_path / "idx"))
    write_idx(data, tmp_path / "again", label_column=["label", "label_details"])
    assert content_of(tmp_path / "again") == content_of(tmp_path / "idx")
    write_idx(data, tmp_path / "class")
    assert read(tmp_path / "class")["train-labels-idx1-ubyte"].tolist() == [3, 1, 2]


# --- what is given -------------------------------------------------------------------------------------------------


def test_names_of_splits(tmp_path):
    pair = gray(2, 3, 3), [1, 0]
    write_idx({"train": pair, "test": pair, "validation": pair, "extra.one": pair}, tmp_path / "idx", compress=False)
    prefixes = {name.rsplit("-", 3)[0] for name in content_of(tmp_path / "idx")}
    assert prefixes == {"train", "t10k", "validation", "extra.one"}


def test_the_split_of_a_data_set_is_known(tmp_path):
    data = picture_set(gray(2, 3, 3), [1, 0], split="test")
    assert list(write_idx(data, tmp_path / "a")) == ["t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"]
    assert "dev-images-idx3-ubyte.gz" in write_idx(data, tmp_path / "b", split="dev")


def test_images_alone(tmp_path):
    images = gray(3, 4, 5)
    for number, source in enumerate([images, (images, None), picture_set(images)]):
        assert list(write_idx(source, tmp_path / str(number))) == ["train-images-idx3-ubyte.gz"]
        np.testing.assert_array_equal(read(tmp_path / str(number))["train-images-idx3-ubyte"], images)


def test_columns_are_found_or_named(tmp_path):
    images = gray(3, 4, 5)
    data = picture_set(images, [1, 2, 3]).add_column("name", ["a", "b", "c"]).add_column("second", [7, 8, 9])
    write_idx(data, tmp_path / "found")
    assert read(tmp_path / "found")["train-labels-idx1-ubyte"].tolist() == [1, 2, 3]
    write_idx(data, tmp_path / "named", image_column="image", label_column="second")
    assert read(tmp_path / "named")["train-labels-idx1-ubyte"].tolist() == [7, 8, 9]
    formatted = data.with_format("numpy")
    write_idx(formatted, tmp_path / "formatted")
    assert content_of(tmp_path / "formatted") == content_of(tmp_path / "found")


def test_columns_of_arrays(tmp_path):
    arrays = np.random.default_rng(0).normal(size=(600, 4, 5)).astype(np.float32)
    features = Features({"image": Array2D((4, 5), "float32"), "label": Value("int64")})
    data = Dataset.from_dict({"image": arrays, "label": range(600)}, features=features)
    write_idx(data, tmp_path / "prepared")
    np.testing.assert_array_equal(read(tmp_path / "prepared")["train-images-idx3-float"], arrays)
    write_idx(data.to_iterable_dataset(), tmp_path / "streamed")
    assert content_of(tmp_path / "streamed") == content_of(tmp_path / "prepared")


def test_streams_that_declare_nothing(tmp_path):
    images = gray(600, 4, 5)

    def records():
        for number, image in enumerate(images):
            yield {"number": number, "picture": Image.fromarray(image), "label": number % 10}

    write_idx(IterableDataset.from_generator(records), tmp_path / "idx")
    arrays = read(tmp_path / "idx")
    np.testing.assert_array_equal(arrays["train-images-idx3-ubyte"], images)
    assert arrays["train-labels-idx1-ubyte"].tolist() == [n % 10 for n in range(600)]


def test_pictures_that_are_not_decoded(tmp_path):
    data = picture_set(gray(3, 4, 5), [1, 2, 3])
    write_idx(data.cast_column("image", ImageFeature(decode=False)), tmp_path / "idx")
    np.testing.assert_array_equal(read(tmp_path / "idx")["train-images-idx3-ubyte"], gray(3, 4, 5))


def test_nothing_to_write_is_a_data_set_too(tmp_path):
    write_idx((gray(0, 28, 28), np.zeros(0, int)), tmp_path / "arrays")
    assert from_idx(content_of(tmp_path / "arrays")["train-images-idx3-ubyte"]).shape == (0, 28, 28)
    data = picture_set(gray(1, 4, 4), [0]).select([])
    write_idx(data, tmp_path / "pictures", size=(28, 28))
    assert from_idx(content_of(tmp_path / "pictures")["train-images-idx3-ubyte"]).shape == (0, 28, 28)
    assert from_idx(content_of(tmp_path / "pictures")["train-labels-idx1-ubyte"]).shape == (0,)


# --- colour, sizes, modes ------------------------------------------------------------------------------------------


def test_colour_is_an_error_or_converted(tmp_path):
    images = gray(3, 6, 4, 3)
    data = picture_set(images, [0, 1, 2])
    with pytest.raises(IdxError, match=r"split 'train', record 0 .* mode \"RGB\".*mode=\"L\".*mode=\"RGB\""):
        write_idx(data, tmp_path / "error")
    write_idx(data, tmp_path / "colour", mode="RGB")
    np.testing.assert_array_equal(read(tmp_path / "colour")["train-images-idx4-ubyte"], images)
    write_idx((images, None), tmp_path / "arrays")
    assert read(tmp_path / "arrays").keys() == {"train-images-idx4-ubyte"}
    write_idx(data, tmp_path / "gray", mode="L")
    write_idx((images, None), tmp_path / "gray_arrays", mode="L")
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in images]
    for folder in ("gray", "gray_arrays"):
        np.testing.assert_array_equal(read(tmp_path / folder)["train-images-idx3-ubyte"], expected)


def test_sizes_are_an_error_or_made_equal(tmp_path):
    pictures = [Image.fromarray(gray(28, 28))] * 400 + [Image.fromarray(gray(14, 20))]
    data = picture_set(pictures)
    with pytest.raises(
        IdxError, match=r"split 'train', record 400 is .*\(14, 20\), the first record is .*\(28, 28\).*size="
    ):
        write_idx(data, tmp_path / "error")
    write_idx(data, tmp_path / "sized", size=(10, 12))
    images = read(tmp_path / "sized")["train-images-idx3-ubyte"]
    assert images.shape == (401, 10, 12)
    np.testing.assert_array_equal(images[400], pictures[400].resize((12, 10), Image.Resampling.LANCZOS))
    write_idx((gray(2, 28, 28), None), tmp_path / "arrays", size=(7, 9))
    assert read(tmp_path / "arrays")["train-images-idx3-ubyte"].shape == (2, 7, 9)


@pytest.mark.parametrize("mode", ["1", "LA", "P", "RGBA", "CMYK"])
def test_modes(tmp_path, mode):
    data = picture_set([Image.fromarray(gray(4, 5)), Image.fromarray(gray(4, 5, 3)).convert(mode)])
    with pytest.raises(IdxError, match=f'record 1 is an image of mode "{mode}"'):
        write_idx(data, tmp_path / "error")
    write_idx(data, tmp_path / "gray", mode="L")
    write_idx(data, tmp_path / "colour", mode="RGB")
    assert read(tmp_path / "colour")["train-images-idx4-ubyte"].shape == (2, 4, 5, 3)


def test_sixteen_bits_are_never_cut_to_eight(tmp_path):
    data = picture_set([Image.fromarray(np.full((3, 3), 1000, dtype=np.uint16))])
    with pytest.raises(IdxError, match="do not fit 8 bits"):
        write_idx(data, tmp_path / "idx", mode="L")


# --- bad input -----------------------------------------------------------------------------------------------------

PAIR = (gray(2, 3, 3), [0, 1])


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ({}, {}, "no split"),
        ({"train": 3}, {}, "found int"),
        ("mnist", {}, "found str"),
        ({"a/b": PAIR}, {}, "'a/b' cannot give its name"),
        ({"..": PAIR}, {}, "cannot give its name"),
        ({"test": PAIR, "t10k": PAIR}, {}, "same file names"),
        ({"train": PAIR}, {"split": "x"}, "for a single split"),
        ((gray(2, 3, 3), [1]), {}, "2 images need labels"),
        ((gray(2, 3, 3), [1.5, 2]), {}, "labels are integers"),
        ((gray(2, 3, 3), [1, 2**31]), {}, r"record 1 has the label 2147483648"),
        ((gray(2, 3, 3).astype("uint16"), [1, 2]), {}, "no element type uint16"),
        ((gray(2, 3, 3).astype("int64"), [1, 2]), {}, "no element type int64"),
        ((np.uint8(3), None), {}, "expected an array of images"),
        ((gray(2, 3, 3).astype("float32"), None), {"mode": "L"}, r"record 0 is an array of float32"),
        (PAIR, {"mode": "CMYK"}, "mode is"),
        (PAIR, {"size": (28,)}, "size is"),
        (PAIR, {"size": (0, 28)}, "size is"),
    ],
)
def test_what_cannot_be_written_is_said(tmp_path, source, options, message):
    with pytest.raises(IdxError, match=message):
        write_idx(source, tmp_path / "idx", **options)
    assert not any(tmp_path.iterdir())


def test_columns_that_cannot_be_told_apart_are_said(tmp_path):
    data = picture_set(gray(2, 3, 3), [0, 1])
    for broken, options, message in [
        (data.remove_columns("image"), {}, "none among label"),
        (
            data.add_column("other", [0, 1]).cast_column("other", ClassLabel(num_classes=2)),
            {},
            r"several .*\(label, other\)",
        ),
        (data, {"image_column": "picture"}, "no column 'picture'; it has image, label"),
        (data, {"label_column": "class"}, "no column 'class'"),
        (data.map(lambda r: {"again": r["image"]}), {}, r"several \(image, again\)"),
        (data.cast_column("label", Value("string")), {}, "record 0 has the label '0'.*class_encode_column"),
    ]:
        with pytest.raises(IdxError, match=message):
            write_idx(broken, tmp_path / "idx", **options)


def test_records_without_image_or_label_are_named(tmp_path):
    data = picture_set(gray(2, 3, 3), [0, None])
    with pytest.raises(IdxError, match="record 1 has the label None"):
        write_idx(data, tmp_path / "idx")
    data = picture_set([Image.fromarray(gray(3, 3)), None], [0, 1])
    with pytest.raises(IdxError, match="record 1 has no image"):
        write_idx(data, tmp_path / "idx")


def test_a_broken_picture_is_named(tmp_path):
    good = io.BytesIO()
    Image.fromarray(gray(30, 30)).save(good, "PNG")
    values = [{"bytes": good.getvalue(), "path": None}] * 300
    values[290] = {"bytes": good.getvalue()[:200], "path": "cat.png"}
    data = Dataset.from_dict({"image": values}, features=Features({"image": ImageFeature()}))
    with pytest.raises(IdxError, match=r"split 'train', record 290 \(cat.png\) cannot be read as an image"):
        write_idx(data, tmp_path / "idx")


# --- the target ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["folder", "set.tar"])
def test_the_target_appears_whole_or_not_at_all(tmp_path, target):
    def records():
        for number in range(600):
            yield {"image": Image.fromarray(gray(4, 4)), "label": 0}
            if number == 500:
                assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == []
        raise RuntimeError("the source broke off")

    features = Features({"image": ImageFeature(), "label": Value("int64")})
    stream = IterableDataset.from_generator(records, features=features)
    with pytest.raises(RuntimeError, match="broke off"):
        write_idx(stream, tmp_path / target)
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["folder", "set.tar"])
def test_nothing_is_overwritten_unasked(tmp_path, target):
    write_idx(PAIR, tmp_path / target)
    before = content_of(tmp_path / target)
    other = gray(5, 2, 2), [1, 2, 3, 4, 5]
    with pytest.raises(IdxError, match=r"exists.*overwrite=True"):
        write_idx(other, tmp_path / target)
    assert content_of(tmp_path / target) == before
    with pytest.raises(IdxError):
        write_idx((gray(2, 3, 3), [1]), tmp_path / target, overwrite=True)
    assert content_of(tmp_path / target) == before, "what was there stays if the new does not succeed"
    write_idx(other, tmp_path / target, overwrite=True)
    assert read(tmp_path / target)["train-images-idx3-ubyte"].shape == (5, 2, 2)
    assert [path.name for path in tmp_path.iterdir()] == [target]


def test_only_idx_files_are_replaced(tmp_path):
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(IdxError, match=r"thesis\.tex"):
        write_idx(PAIR, tmp_path / "home", overwrite=True)
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(IdxError, match="is a file"):
        write_idx(PAIR, tmp_path / "note.txt", overwrite=True)
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "folder.tar" / "x").touch()
    with pytest.raises(IdxError, match="is a folder"):
        write_idx(PAIR, tmp_path / "folder.tar", overwrite=True)
    assert (tmp_path / "home" / "thesis.tex").read_text() == "years of work"


def test_an_empty_folder_is_nothing(tmp_path):
    (tmp_path / "idx").mkdir()
    write_idx(PAIR, tmp_path / "idx")
    assert len(read(tmp_path / "idx")) == 2


def test_parents_are_made_and_permissions_are_ordinary(tmp_path):
    write_idx(PAIR, tmp_path / "a" / "b" / "idx")
    write_idx(PAIR, tmp_path / "a" / "set.tar")
    (tmp_path / "ordinary").mkdir()
    (tmp_path / "file").touch()
    folder, file = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("ordinary", "file"))
    assert stat.S_IMODE((tmp_path / "a" / "b" / "idx").stat().st_mode) == folder
    for path in [*(tmp_path / "a" / "b" / "idx").iterdir(), tmp_path / "a" / "set.tar"]:
        assert stat.S_IMODE(path.stat().st_mode) == file


@pytest.mark.parametrize("name", ["set.tar.gz", "set.tgz", "set.zip", "train-images-idx3-ubyte.gz"])
def test_other_archives_are_refused(tmp_path, name):
    with pytest.raises(IdxError, match=r"a folder or a \.tar"):
        write_idx(PAIR, tmp_path / name)


def test_equal_data_gives_equal_bytes(tmp_path):
    for target in ("one", "two"):
        write_idx({"train": PAIR}, tmp_path / target)
        write_idx({"train": PAIR}, tmp_path / f"{target}.tar")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:
        assert tar.getnames() == ["data/train-images-idx3-ubyte.gz", "data/train-labels-idx1-ubyte.gz"]


MEASURE = """
import resource, sys
import numpy as np
from datasets import Features, Image, IterableDataset, Value
from mnist_idx import load_arrays
from mnist_idx.cli import main
from mnist_idx.convert import write_idx
image = np.zeros((256, 256), dtype=np.uint8)

def records(count):
    import PIL.Image
    for number in range(count):
        yield {"image": PIL.Image.fromarray(image), "label": number % 10}

features = Features({"image": Image(), "label": Value("int64")})
peaks = []
for count in (600, 6000):
    stream = IterableDataset.from_generator(records, features=features, gen_kwargs={"count": count})
    write_idx(stream, f"{sys.argv[1]}/{count}.tar", split="train")
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print(peaks[1] - peaks[0])
"""


def test_memory_is_constant(tmp_path):
    """393 MB of images where 39 MB were before: the peak may not grow by more than a few of them."""
    root = Path(__file__).resolve().parent.parent
    result = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, cwd=root, check=True
    )
    assert int(result.stdout) < 20_000, "KiB"


# --- the command line ----------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """A folder of pictures for each class: PNG and JPEG, in colour, of several sizes."""
    for number, name in enumerate(["cat", "dog", "eel"]):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for index in range(3):
            colour = Image.fromarray(gray(30 + index, 40 + number, 3))
            colour.save(tmp_path / "photos" / name / f"{index}.{'png' if index else 'jpg'}")
    return tmp_path / "photos"


def test_a_folder_of_pictures_becomes_idx_in_one_line(photos, tmp_path, capsys):
    target = tmp_path / "idx"
    options = ["--mode", "L", "--size", "28x20"]
    assert main(["convert", "imagefolder", "--data-dir", str(photos), str(target), *options]) == 0
    arrays = read(target)
    assert arrays["train-images-idx3-ubyte"].shape == (9, 28, 20)
    assert arrays["train-labels-idx1-ubyte"].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    printed = capsys.readouterr().out
    assert "train-images-idx3-ubyte.gz: 9 x 28 x 20 uint8" in printed
    # What is printed as the way to read it, reads it.
    command = next(line for line in printed.splitlines() if line.startswith("Read with "))
    data = eval(command.removeprefix("Read with "), {"load_dataset": datasets.load_dataset})
    assert data["train"].features["label"].names == ["cat", "dog", "eel"]
    for row, image in zip(data["train"], arrays["train-images-idx3-ubyte"], strict=True):
        np.testing.assert_array_equal(np.asarray(row["image"]), image)


def test_pictures_that_differ_are_named(photos, tmp_path, capsys):
    assert main(["convert", "imagefolder", "--data-dir", str(photos), str(tmp_path / "idx")]) == 1
    assert "split 'train', record 0" in capsys.readouterr().err
    assert main(["convert", "imagefolder", "--data-dir", str(photos), str(tmp_path / "idx"), "--mode", "L"]) == 1
    assert "record 1 is uint8 (31, 40), the first record is uint8 (30, 40)" in capsys.readouterr().err
    assert not (tmp_path / "idx").exists()


def test_options_of_the_command_line(tmp_path, capsys):
    tiny = ["convert", "mnist_idx", "--name", "tiny"]
    assert main([*tiny, str(tmp_path / "all"), "--plain"]) == 0
    whole = content_of(tmp_path / "all")
    assert {len(content) for content in whole.values()} == {16 + 784000, 8 + 1000, 16 + 156800, 8 + 200}
    assert all((tmp_path / "all" / name).exists() for name in whole)
    assert main([*tiny, str(tmp_path / "streamed.tar"), "--streaming"]) == 0
    assert content_of(tmp_path / "streamed.tar") == whole
    assert main([*tiny, str(tmp_path / "part"), "--split", "test[:50]"]) == 0
    assert read(tmp_path / "part")["t10k-images-idx3-ubyte"].shape == (50, 28, 28)
    assert main([*tiny, str(tmp_path / "part")]) == 1
    assert "overwrite" in capsys.readouterr().err
    assert main([*tiny, str(tmp_path / "part"), "--overwrite", "--mode", "RGB"]) == 0
    assert read(tmp_path / "part")["train-images-idx4-ubyte"].shape == (1000, 28, 28, 3)


def test_files_of_splits_on_the_command_line(tmp_path):
    for name, seed in (("a", 1), ("b", 2)):
        picture_set(gray(4, 3, 3, seed=seed), [0, 1, 2, 3]).to_parquet(tmp_path / f"{name}.parquet")
    files = [f"--data-files={split}={tmp_path / name}.parquet" for split, name in (("train", "a"), ("test", "b"))]
    assert main(["convert", "parquet", *files, str(tmp_path / "idx")]) == 0
    np.testing.assert_array_equal(read(tmp_path / "idx")["t10k-images-idx3-ubyte"], gray(4, 3, 3, seed=2))
    assert main(["convert", "parquet", f"--data-files={tmp_path / 'b.parquet'}", str(tmp_path / "one")]) == 0
    np.testing.assert_array_equal(read(tmp_path / "one")["train-images-idx3-ubyte"], gray(4, 3, 3, seed=2))


@pytest.mark.parametrize(
    "arguments", [["out", "--size", "28"], ["out", "--size", "0x4"], ["out", "--mode", "CMYK"], []]
)
def test_wrong_usage(arguments):
    with pytest.raises(SystemExit) as stop:
        main(["convert", "mnist_idx", *arguments])
    assert stop.value.code == 2


def test_a_source_that_is_not_there(tmp_path, capsys):
    for source in (
        ["imagefolder", "--data-dir", str(tmp_path / "no")],
        ["csv", "--data-files", str(tmp_path / "no.csv")],
    ):
        assert main(["convert", *source, str(tmp_path / "idx")]) == 1
        assert capsys.readouterr().err.startswith("mnist-idx: ")
    mixed = ["csv", "--data-files", "train=a.csv", "--data-files", "b.csv"]
    assert main(["convert", *mixed, str(tmp_path / "idx")]) == 1
    assert "SPLIT=PATH each time" in capsys.readouterr().err
