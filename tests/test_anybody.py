"""Anybody's IDX files through the real `load_dataset`: every form of source, odd shapes, names in the wild."""

from __future__ import annotations

import numpy as np
import pytest
from clients import run_client
from datasets import Features, Image, Value, load_dataset
from hub_server import HubServer
from idx_files import ARCHIVES, PACKINGS, random_images, random_labels, to_idx, write_archive

import mnist_idx
from mnist_idx import IdxError, load_arrays

TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
FOUR = {
    "train-images-idx3-ubyte": to_idx(TRAIN[0]),
    "train-labels-idx1-ubyte": to_idx(TRAIN[1]),
    "t10k-images-idx3-ubyte": to_idx(TEST[0]),
    "t10k-labels-idx1-ubyte": to_idx(TEST[1]),
}


@pytest.fixture
def load(tmp_path):
    """`load_dataset("mnist_idx", …)` with a cache of its own."""
    return lambda **options: load_dataset("mnist_idx", cache_dir=str(tmp_path / "cache"), **options)


def check(split, images, labels=None):
    """A split has exactly these records, in this order."""
    rows = list(split)
    assert len(rows) == len(images)
    for row, image in zip(rows, images, strict=True):
        np.testing.assert_array_equal(np.asarray(row["image"]), image)
    if labels is None:
        assert not rows or "label" not in rows[0]
    else:
        assert [row["label"] for row in rows] == list(labels)


def check_four(data):
    assert list(data) == ["train", "test"]
    check(data["train"], *TRAIN)
    check(data["test"], *TEST)


# --- forms of source -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ARCHIVES)
@pytest.mark.parametrize("packing", PACKINGS)
def test_folders_and_archives(load, tmp_path, form, packing):
    files = {f"{name}{packing}": PACKINGS[packing](content) for name, content in FOUR.items()}
    path = write_archive(tmp_path / form, files)
    check_four(load(data_dir=str(path)))
    check_four(load(data_dir=str(path), streaming=True))


@pytest.mark.parametrize("form", ARCHIVES[1:])
@pytest.mark.parametrize("ranges", [True, False])
def test_archives_at_a_url(load, tmp_path, serve, form, ranges):
    files = {f"data/{name}.gz": PACKINGS[".gz"](content) for name, content in FOUR.items()}
    server = serve({f"/{form}": write_archive(tmp_path / form, files)})
    server.behave(f"/{form}", ranges=ranges)
    check_four(load(data_dir=server.url("/" + form)))
    check_four(load(data_dir=server.url("/" + form), streaming=True))


def test_packing_is_told_by_content(load, tmp_path):
    """Endings lie: packed without saying so, and plain under a packed name."""
    wrong = {"": ".gz", ".gz": "", ".bz2": ".gz", ".xz": ".bz2"}
    for number, (packing, ending) in enumerate(wrong.items()):
        files = {f"{name}{ending}": PACKINGS[packing](content) for name, content in FOUR.items()}
        check_four(load(data_dir=str(write_archive(tmp_path / f"folder{number}", files))))
    archive = write_archive(tmp_path / "set.tar.gz", FOUR)
    check_four(load(data_dir=str(archive.rename(tmp_path / "no ending"))))


HUB = """
from datasets import Features, Image, Value, load_dataset
import mnist_idx
result = []
for streaming in (False, True):
    for source in args["sources"]:
        data = load_dataset("mnist_idx", data_dir=source, streaming=streaming)
        result.append([[row["label"] for row in data[split]] for split in ("train", "test")])
    data = load_dataset("mnist_idx", data_files={"train": args["sources"][1]}, streaming=streaming, split="train")
    result.append([row["label"] for row in data])
"""


def test_hub_paths(tmp_path, hf_home):
    with HubServer() as hub:
        run_client(
            """
            import huggingface_hub
            huggingface_hub.create_repo("alice/letters", repo_type="dataset")
            huggingface_hub.upload_folder(repo_id="alice/letters", folder_path=args["folder"], repo_type="dataset")
            """.replace("\n            ", "\n"),
            home=hf_home,
            args={
                "folder": str(
                    write_archive(
                        tmp_path / "repo",
                        {
                            "set.tar": write_archive(tmp_path / "set.tar", FOUR).read_bytes(),
                            **{f"idx/{n}": c for n, c in FOUR.items()},
                        },
                    )
                )
            },
            env=hub.environment("writer"),
        )
        sources = ["hf://datasets/alice/letters/idx", "hf://datasets/alice/letters/set.tar"]
        found = run_client(HUB, home=hf_home, args={"sources": sources}, env=hub.environment("writer")).result
    both = [TRAIN[1].tolist(), TEST[1].tolist()]
    assert found == [both, both, both[0]] * 2


def test_files_named_one_by_one(load, tmp_path):
    folder = write_archive(tmp_path / "folder", FOUR)
    images, labels, test_images, test_labels = (str(folder / name) for name in FOUR)
    check_four(load(data_files={"train": [images, labels], "test": [test_images, test_labels]}))
    check_four(load(data_files={"train": [labels, images], "test": [test_labels, test_images]}, streaming=True))
    check(load(data_files=[images, labels], split="train"), *TRAIN)
    check(load(data_files={"train": [images]}, split="train"), TRAIN[0])
    check(load(data_files=images, split="train"), TRAIN[0])
    swapped = load(data_files={"test": [images, labels], "other": [test_images, test_labels]})
    check(swapped["test"], *TRAIN)
    check(swapped["other"], *TEST)


def test_names_that_tell_nothing(load, tmp_path):
    """The order tells: first the images, then the labels."""
    files = {"a": FOUR["train-images-idx3-ubyte"], "b.bin": FOUR["train-labels-idx1-ubyte"]}
    folder = write_archive(tmp_path / "folder", files)
    check(load(data_files={"train": [str(folder / "a"), str(folder / "b.bin")]}, split="train"), *TRAIN)
    with pytest.raises(IdxError, match=r"b\.bin.*expected images"):
        load(data_files={"train": [str(folder / "b.bin"), str(folder / "a")]})


def test_files_at_a_url(load, serve):
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    urls = [server.url(f"/{name}") for name in FOUR]
    for streaming in (False, True):
        check_four(load(data_files={"train": urls[:2], "test": urls[2:]}, streaming=streaming))


@pytest.mark.parametrize("form", ARCHIVES[1:])
def test_archives_as_data_files(load, tmp_path, form):
    path = str(write_archive(tmp_path / form, FOUR))
    alone = load(data_files=path)
    assert list(alone) == ["train"]
    check(alone["train"], *TRAIN)
    check_four(load(data_files={"train": path, "test": path}))
    check_four(load(data_files={"train": path, "test": path}, streaming=True))
    assert list(load(data_files={"test": path})) == ["test"]


def test_an_archive_without_the_split(load, tmp_path):
    path = str(write_archive(tmp_path / "set.tar", dict(list(FOUR.items())[:2])))
    with pytest.raises(IdxError, match="test"):
        load(data_files={"train": path, "test": path})
    # What has no name is what it is said to be.
    unnamed = {"images.idx": FOUR["t10k-images-idx3-ubyte"], "labels.idx": FOUR["t10k-labels-idx1-ubyte"]}
    check(load(data_files={"test": str(write_archive(tmp_path / "unnamed.tar", unnamed))}, split="test"), *TEST)


# --- names ---------------------------------------------------------------------------------------------------------

WILD = [
    ("{train}-images-idx3-ubyte", "{train}-labels-idx1-ubyte"),
    ("{train}-images.idx3-ubyte", "{train}-labels.idx1-ubyte"),
    ("{train}_images.idx", "{train}_labels.idx"),
    ("{Train}-Images-idx3-ubyte.GZ", "{Train}-Labels-idx1-ubyte.GZ"),
    ("my-set-{train}-images-idx3-ubyte", "my-set-{train}-labels-idx1-ubyte"),
    ("emnist-letters-{train}-images-idx3-ubyte.gz", "emnist-letters-{train}-labels-idx1-ubyte.gz"),
    ("qmnist-{train}-images-idx3-ubyte.gz", "qmnist-{train}-labels-idx2-int.gz"),
    ("{train}/images-idx3-ubyte", "{train}/labels-idx1-ubyte"),
    ("deep/er/{train}-images-idx3-ubyte", "deep/er/{train}-labels-idx1-ubyte"),
    ("images-{train}.idx3-ubyte", "labels-{train}.idx1-ubyte"),
    ("{train}.images.idx", "{train}.labels.idx"),
    ("{train}-image.idx3", "{train}-label.idx1"),
]


@pytest.mark.parametrize(("images", "labels"), WILD)
@pytest.mark.parametrize(
    ("train", "test", "split"),
    [
        ("train", "t10k", "test"),
        ("training", "test", "test"),
        ("train", "valid", "validation"),
        ("Train", "validation", "validation"),
    ],
)
def test_names_in_the_wild(load, tmp_path, images, labels, train, test, split):
    files = {}
    for name, (pixels, classes) in ((train, TRAIN), (test, TEST)):
        files[images.format(train=name, Train=name.title())] = to_idx(pixels)
        files[labels.format(train=name, Train=name.title())] = to_idx(classes)
    data = load(data_dir=str(write_archive(tmp_path / "folder", files)))
    assert list(data) == ["train", split]
    check(data["train"], *TRAIN)
    check(data[split], *TEST)


def test_a_split_of_its_own_name_that_we_wrote(load, tmp_path):
    mnist_idx.write_idx({"train": TRAIN, "extra": TEST}, tmp_path / "folder")
    data = load(data_dir=str(tmp_path / "folder"))
    assert list(data) == ["train", "extra"]
    check(data["extra"], *TEST)


def test_other_files_do_not_matter(load, tmp_path):
    others = {
        "README.md": b"# my alphabet",
        "emnist-letters-mapping.txt": b"1 65 97",
        ".DS_Store": b"\0\0\0\1Bud1",
        "__MACOSX/._train-images-idx3-ubyte": b"\0\5\x16\7",
        "._train-images-idx3-ubyte": b"\0\5\x16\7",
        "train-images-idx3-ubyte.sha256": b"0" * 64,
        "preview/train-images.png": b"\x89PNG",
    }
    for form in ("folder", "set.tar", "stored.zip"):
        check_four(load(data_dir=str(write_archive(tmp_path / form, FOUR | others))))


def test_several_data_sets_in_one_archive(load, tmp_path):
    files = {}
    for number, name in enumerate(("letters", "digits")):
        for split, count in (("train", 20), ("test", 10)):
            images = random_images(count, 4, 4, seed=number)
            files[f"gzip/emnist-{name}-{split}-images-idx3-ubyte.gz"] = PACKINGS[".gz"](to_idx(images))
            files[f"gzip/emnist-{name}-{split}-labels-idx1-ubyte.gz"] = PACKINGS[".gz"](to_idx(random_labels(count)))
    path = str(write_archive(tmp_path / "deflated.zip", files))
    with pytest.raises(IdxError, match=r"emnist-digits.*emnist-letters.*data_set="):
        load(data_dir=path)
    data = load(data_dir=path, data_set="emnist-digits")
    check(data["train"], random_images(20, 4, 4, seed=1), random_labels(20))
    check(load(data_dir=path, data_set="letters", split="test"), random_images(10, 4, 4), random_labels(10))
    check(load(data_files={"test": path}, data_set="letters", split="test"), random_images(10, 4, 4), random_labels(10))
    with pytest.raises(IdxError, match=r"emnist-digits, emnist-letters.*'hiragana' is none of them"):
        load(data_dir=path, data_set="hiragana")


def test_a_packed_copy_beside_a_file_is_that_file(load, tmp_path):
    """As torchvision leaves them."""
    packed = {f"{name}.gz": PACKINGS[".gz"](content) for name, content in FOUR.items()}
    for form in ("folder", "set.tar"):
        check_four(load(data_dir=str(write_archive(tmp_path / form, packed | FOUR))))


def test_several_data_sets_in_folders(load, tmp_path):
    """As torchvision lays them out."""
    files = {f"MNIST/raw/{name}": content for name, content in FOUR.items()}
    files |= {f"FashionMNIST/raw/{name}": content for name, content in FOUR.items()}
    path = str(write_archive(tmp_path / "root", files))
    with pytest.raises(IdxError, match=r"FashionMNIST, MNIST\. .*data_set="):
        load(data_dir=path)
    check_four(load(data_dir=path, data_set="MNIST"))
    check_four(load(data_dir=path, data_set="fashionmnist", streaming=True))


@pytest.mark.parametrize(
    "names",
    [
        ["one.idx", "two.idx"],
        ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-labels-idx1-ubyte"],
        ["train-test-images-idx3-ubyte", "train-test-labels-idx1-ubyte"],
    ],
)
def test_names_that_cannot_be_told_apart_are_listed(load, tmp_path, names):
    files = dict.fromkeys(names, FOUR["train-images-idx3-ubyte"])
    with pytest.raises(IdxError) as error:
        load(data_dir=str(write_archive(tmp_path / "folder", files)))
    message = str(error.value)
    assert all(name in message for name in names)
    assert 'data_files={"train": [' in message


def test_missing_files(load, tmp_path):
    rest = {name: content for name, content in FOUR.items() if name != "train-images-idx3-ubyte"}
    with pytest.raises(IdxError, match=r"train-labels-idx1-ubyte.*no images"):
        load(data_dir=str(write_archive(tmp_path / "no_images", rest)))
    rest = {name: content for name, content in FOUR.items() if name != "t10k-labels-idx1-ubyte"}
    with pytest.raises(IdxError, match=r"'train' has labels, 'test' has none"):
        load(data_dir=str(write_archive(tmp_path / "some_labels", rest)))
    with pytest.raises(IdxError, match=r"found README\.md"):
        load(data_dir=str(write_archive(tmp_path / "set.tar", {"README.md": b""})))
    (tmp_path / "empty").mkdir()
    with pytest.raises(IdxError, match="nothing"):
        load(data_dir=str(tmp_path / "empty"))


# --- shapes and types ----------------------------------------------------------------------------------------------


def one(tmp_path, images, labels=None, name="folder"):
    files = {"train-images-idx3-ubyte": to_idx(images)}
    if labels is not None:
        files["train-labels-idx1-ubyte"] = to_idx(labels)
    return str(write_archive(tmp_path / name, files))


@pytest.mark.parametrize(
    "shape", [(1, 1), (50, 50), (28, 1), (513, 3), (28, 28), (5, 6, 3), (1, 1, 3), (3, 3), (600, 2)]
)
@pytest.mark.parametrize("count", [1, 23])
def test_odd_shapes(load, tmp_path, shape, count):
    images, labels = random_images(count, *shape), random_labels(count, classes=3)
    path = one(tmp_path, images, labels)
    data = load(data_dir=path, split="train")
    assert data.features["label"].names == ["0", "1", "2"]
    check(data, images, labels)
    assert data[0]["image"].mode == ("RGB" if len(shape) == 3 else "L")
    check(load(data_dir=path, split="train", streaming=True), images, labels)
    arrays = load(data_dir=path, split="train", as_array=True).with_format("numpy")
    np.testing.assert_array_equal(arrays[:]["image"], images)
    found, classes = load_arrays(data_dir=path)
    np.testing.assert_array_equal(found, images)
    np.testing.assert_array_equal(classes, labels)


@pytest.mark.parametrize("labelled", [True, False])
def test_the_empty_data_set(load, tmp_path, labelled):
    path = one(tmp_path, random_images(0, 28, 28), random_labels(0) if labelled else None)
    data = load(data_dir=path, split="train")
    assert len(data) == 0
    assert data.column_names == (["image", "label"] if labelled else ["image"])
    assert list(load(data_dir=path, split="train", streaming=True)) == []
    named = load(data_dir=path, split="train", label_names=["a", "b"]) if labelled else data
    assert len(named) == 0
    images, labels = load_arrays(data_dir=path)
    assert images.shape == (0, 28, 28)
    assert (labels is not None) == labelled


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_labels_of_any_integer_type(load, tmp_path, dtype):
    labels = np.arange(30).astype(dtype)
    data = load(data_dir=one(tmp_path, random_images(30, 3, 3), labels), split="train")
    assert data["label"][:] == list(range(30))
    assert data.features["label"].num_classes == 30


def test_wide_labels(load, tmp_path):
    labels = np.array([3, 1200, 0], dtype=np.int16)
    data = load(data_dir=one(tmp_path, random_images(3, 3, 3), labels), split="train")
    assert data.features["label"].num_classes == 1201
    check(data, random_images(3, 3, 3), labels)


def test_labels_that_are_plain_numbers(load, tmp_path):
    """A name for each of two billion classes would fill the memory."""
    labels = np.array([3, 2_000_000_000, -5], dtype=np.int32)
    path = one(tmp_path, random_images(3, 3, 3), labels)
    with pytest.raises(IdxError, match=r"largest label is 2,000,000,000.*features="):
        load(data_dir=path)
    plain = Features({"image": Image(), "label": Value("int64")})
    check(load(data_dir=path, split="train", features=plain), random_images(3, 3, 3), labels)


def test_labels_of_several_parts(load, tmp_path):
    """QMNIST's: the class, and where the digit is from."""
    parts = np.random.default_rng(0).integers(0, 300_000, (40, 8)).astype(np.int32)
    parts[:, 0] %= 10
    parts[0, 0] = 9
    path = one(tmp_path, random_images(40, 3, 3), parts)
    for streaming in (False, True):
        rows = list(load(data_dir=path, split="train", streaming=streaming))
        assert [[row["label"], *row["label_details"]] for row in rows] == parts.tolist()
    single = load(data_dir=one(tmp_path, random_images(40, 3, 3), parts[:, :1], name="single"), split="train")
    assert single.column_names == ["image", "label"]


def test_images_without_labels(load, tmp_path):
    data = load(data_dir=one(tmp_path, random_images(5, 3, 3)), split="train")
    assert data.column_names == ["image"]
    check(data, random_images(5, 3, 3))


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(7, 4, 5), (7, 4, 5, 3), (7, 2, 3, 4, 5)])
def test_other_element_types(load, tmp_path, dtype, shape):
    images = np.random.default_rng(0).normal(scale=50, size=shape).astype(dtype)
    path = one(tmp_path, images, random_labels(7))
    with pytest.raises(IdxError, match=rf"{dtype}.*as_array=True"):
        load(data_dir=path)
    data = load(data_dir=path, split="train", as_array=True)
    assert data.features["image"].dtype == dtype
    np.testing.assert_array_equal(np.array(data.with_format("arrow")[:]["image"].to_pylist(), dtype=dtype), images)
    found, _ = load_arrays(data_dir=path)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, images)


def test_shapes_that_are_no_images(load, tmp_path):
    for name, shape in {"vectors": (5, 7), "four": (5, 4, 4, 4), "nothing": (5, 0, 4)}.items():
        path = one(tmp_path, random_images(*shape), random_labels(5), name=name)
        with pytest.raises(IdxError, match=r"train-images-idx3-ubyte"):
            load(data_dir=path)


def test_splits_of_different_shapes(load, tmp_path):
    files = FOUR | {"t10k-images-idx3-ubyte": to_idx(random_images(30, 5, 5))}
    data = load(data_dir=str(write_archive(tmp_path / "folder", files)))
    check(data["test"], random_images(30, 5, 5), TEST[1])
    with pytest.raises(IdxError, match=r"\(9, 7\).*\(5, 5\)"):
        load(data_dir=str(tmp_path / "folder"), as_array=True)


# --- names of classes ----------------------------------------------------------------------------------------------


def test_label_names(load, tmp_path):
    path = str(write_archive(tmp_path / "folder", FOUR))
    names = list("abcdefghij")
    for streaming in (False, True):
        data = load(data_dir=path, label_names=names, streaming=streaming)
        assert data["train"].features["label"].names == names
        check_four(data)


def test_labels_beyond_the_names_are_errors(load, tmp_path):
    labels = np.array([0, 1, 2, 1, 3], dtype=np.uint8)
    path = one(tmp_path, random_images(5, 3, 3), labels)
    with pytest.raises(IdxError, match="record 4 has the label 3"):
        load(data_dir=path, label_names=["a", "b", "c"])
    with pytest.raises(IdxError, match="record 4 has the label 3"):
        list(load(data_dir=path, label_names=["a", "b", "c"], split="train", streaming=True))
    negative = one(tmp_path, random_images(2, 3, 3), np.array([0, -1], dtype=np.int8), name="negative")
    with pytest.raises(IdxError, match="record 1 has the label -1"):
        list(load(data_dir=negative, split="train", streaming=True))


def test_the_largest_label_of_all_splits_counts(load, tmp_path):
    files = FOUR | {"t10k-labels-idx1-ubyte": to_idx(np.full(30, 17, dtype=np.uint8))}
    data = load(data_dir=str(write_archive(tmp_path / "folder", files)))
    assert data["train"].features["label"].num_classes == 18
    assert data["train"].features == data["test"].features


# --- options -------------------------------------------------------------------------------------------------------


def test_transposed_images_are_turned(load, tmp_path):
    for shape in ((6, 9, 7), (6, 9, 7, 3)):
        images = random_images(*shape)
        path = one(tmp_path, images.swapaxes(1, 2), random_labels(6), name=f"folder{len(shape)}")
        check(load(data_dir=path, split="train"), images.swapaxes(1, 2), random_labels(6))
        check(load(data_dir=path, split="train", transpose=True), images, random_labels(6))
        check(load(data_dir=path, split="train", transpose=True, streaming=True), images, random_labels(6))
        arrays = load(data_dir=path, split="train", transpose=True, as_array=True).with_format("numpy")
        np.testing.assert_array_equal(arrays[:]["image"], images)
        np.testing.assert_array_equal(load_arrays(data_dir=path, transpose=True)[0], images)
        subset = load(data_dir=path, split="train", transpose=True, num_samples=3, seed=1)
        assert {np.asarray(row["image"]).tobytes() for row in subset} == {image.tobytes() for image in images[:3]}


@pytest.mark.parametrize("sampling", ["first", "uniform"])
def test_subsets(load, tmp_path, sampling):
    path = str(write_archive(tmp_path / "set.tar", FOUR))
    options = {"data_dir": path, "num_samples": 12, "seed": 5, "sampling": sampling}
    data = load(**options)
    assert {name: len(split) for name, split in data.items()} == {"train": 12, "test": 12}
    streamed = load(**options, streaming=True)
    for split in data:
        images, labels = load_arrays(split, 12, 5, sampling, data_dir=path)
        check(data[split], images, labels)
        check(streamed[split], images, labels)
    assert len(load(data_dir=path, num_samples=50)["test"]) == 30


def test_num_proc_and_shards(load, tmp_path):
    path = str(write_archive(tmp_path / "set.tar", FOUR))
    check_four(load(data_dir=path, num_proc=2))
    streamed = load(data_dir=path, num_shards=4, streaming=True)
    assert streamed["train"].num_shards == 4
    check_four(streamed)


def test_changed_files_are_loaded_anew(load, tmp_path):
    path = one(tmp_path, *TRAIN)
    check(load(data_dir=path, split="train"), *TRAIN)
    one(tmp_path, *TEST)
    check(load(data_dir=path, split="train"), *TEST)


# --- wrong content -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train-labels-idx1-ubyte": to_idx(random_labels(69))}, "70 .*69"),
        ({"train-images-idx3-ubyte": FOUR["train-images-idx3-ubyte"][:-1]}, "cut short"),
        ({"train-images-idx3-ubyte": FOUR["train-images-idx3-ubyte"] + b"\0"}, "more data follows"),
        ({"train-images-idx3-ubyte": b"<html>not found</html>"}, "not an IDX file"),
        ({"train-images-idx3-ubyte": b""}, "train-images-idx3-ubyte"),
        ({"train-labels-idx1-ubyte": FOUR["train-images-idx3-ubyte"]}, "train-labels-idx1-ubyte"),
        ({"train-labels-idx1-ubyte": to_idx(np.zeros(70, "float32"))}, "whole numbers"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True])
def test_wrong_content_is_named(load, tmp_path, changed, message, streaming):
    path = str(write_archive(tmp_path / "folder", FOUR | changed))

    def read():
        data = load(data_dir=path, streaming=streaming)
        return [list(data[split]) for split in data]

    with pytest.raises(IdxError, match=message):
        read()


# --- on every supported version of datasets ------------------------------------------------------------------------

EVERYWHERE = """
import datasets
import mnist_idx
from clients import digest
result = {}
for name, options in args.items():
    for streaming in (False, True):
        data = datasets.load_dataset("mnist_idx", streaming=streaming, **options)
        result[f"{name} {streaming}"] = {
            split: [[bytes(row["image"].tobytes()).hex(), row.get("label")] for row in data[split]] for split in data
        }
"""


@pytest.mark.compat
def test_every_form_on_every_version(python, tmp_path, hf_home):
    sources = {}
    for form in ARCHIVES:
        packing = ".xz" if "zip" in form else ".gz"
        files = {f"{name}{packing}": PACKINGS[packing](content) for name, content in FOUR.items()}
        sources[form] = {"data_dir": str(write_archive(tmp_path / form, files))}
    folder = write_archive(tmp_path / "plain", FOUR)
    paths = [str(folder / name) for name in FOUR]
    sources["files"] = {"data_files": {"train": paths[:2], "test": paths[2:]}}
    sources["archive twice"] = {"data_files": dict.fromkeys(["train", "test"], str(tmp_path / "set.tar"))}
    found = run_client(EVERYWHERE, home=hf_home, args=sources, python=python).result
    expected = {
        split: [[image.tobytes().hex(), int(label)] for image, label in zip(*arrays, strict=True)]
        for split, arrays in (("train", TRAIN), ("test", TEST))
    }
    assert len(found) == 2 * len(sources)
    for name, data in found.items():
        assert data == expected, name


@pytest.mark.compat
def test_odd_data_on_every_version(python, tmp_path, hf_home):
    cases = {
        "parts": (random_images(9, 3, 3), np.arange(72, dtype=np.int32).reshape(9, 8)),
        "colour": (random_images(9, 3, 4, 3), random_labels(9)),
        "pixel": (random_images(1, 1, 1), random_labels(1, classes=1)),
        "empty": (random_images(0, 28, 28), random_labels(0)),
        "alone": (random_images(9, 513, 3), None),
    }
    sources = {name: {"data_dir": one(tmp_path, *arrays, name=name)} for name, arrays in cases.items()}
    found = run_client(EVERYWHERE, home=hf_home, args=sources, python=python).result
    for name, (images, labels) in cases.items():
        classes = (
            [None] * len(images)
            if labels is None
            else labels.reshape(len(images), -1)[:, 0].tolist()
            if len(images)
            else []
        )
        expected = [[image.tobytes().hex(), label] for image, label in zip(images, classes, strict=True)]
        for streaming in (False, True):
            assert found[f"{name} {streaming}"] == {"train": expected}, name


@pytest.mark.compat
def test_processes_forked_after_streaming(python, tmp_path, hf_home, serve):
    """fsspec's thread is not in a forked process; older versions of it wait for it there for ever."""
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    urls = [server.url(f"/{name}") for name in FOUR]
    code = """
import datasets
import mnist_idx
streamed = list(datasets.load_dataset("mnist_idx", data_files=args["files"], split="test", streaming=True))
data = datasets.load_dataset("mnist_idx", data_files=args["files"], num_proc=2)
result = [len(streamed), {name: len(split) for name, split in data.items()}]
"""
    args = {"files": {"train": urls[:2], "test": urls[2:]}}
    assert run_client(code, home=hf_home, args=args, python=python).result == [30, {"train": 70, "test": 30}]
