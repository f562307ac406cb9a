"""IDX files as people really name, head and pack them: nothing is lost without a word."""

import lzma
import os
import re
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import MODES, assert_same, read_all, refusal

import mnist_idx

TRAIN = random_images(40, 9, 7), random_labels(40)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
IMAGES, LABELS, TEST_IMAGES_FILE, TEST_LABELS_FILE = four_files(TRAIN, TEST).values()

each_mode = pytest.mark.parametrize("mode", MODES)


def write_both(folder: Path, **names: str) -> str:
    """Write both splits, some of the four files under other names. Returns the folder's path."""
    contents = {
        names.get("train_images", TRAIN_IMAGES): IMAGES,
        names.get("train_labels", TRAIN_LABELS): LABELS,
        names.get("test_images", TEST_IMAGES): TEST_IMAGES_FILE,
        names.get("test_labels", TEST_LABELS): TEST_LABELS_FILE,
    }
    return str(write_archive(folder, contents))


def write_train(folder: Path, images: Any, labels: Any = None) -> str:
    """Write a train split. Returns the folder's path."""
    files = {TRAIN_IMAGES: to_idx(images)}
    if labels is not None:
        files[TRAIN_LABELS] = to_idx(labels)
    return str(write_archive(folder, files))


# Names


@each_mode
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("train-lables-idx1-ubyte", id="misspelt-labels"),
        pytest.param("trian-labels-idx1-ubyte", id="misspelt-train"),
        pytest.param("train-targets-idx1-ubyte", id="targets"),
        pytest.param("train-lbl-idx1-ubyte", id="lbl"),
        pytest.param("y_train-idx1-ubyte", id="y"),
        pytest.param("classes_of_train.bin", id="classes"),
    ],
)
def test_labels_under_any_name_are_loaded(name: str, mode: str, tmp_path: Path) -> None:
    folder = write_both(tmp_path / "set", train_labels=name)
    assert_same(read_all(mode, "idxfolder", data_dir=folder), BOTH)


@each_mode
@pytest.mark.parametrize("name", ["train-lables-idx1-ubyte", "y_train-idx1-ubyte"])
def test_labels_under_any_name_are_loaded_from_a_named_archive(
    name: str, mode: str, tmp_path: Path
) -> None:
    path = write_both(tmp_path / "set.tar", train_labels=name)
    options = {"data_files": {"train": path, "test": path}}
    assert_same(read_all(mode, "idxfolder", **options), BOTH)


@each_mode
@pytest.mark.parametrize("suffix", [".bin", ".dat", ".raw", ".data", ".idx", " (1)", " copy"])
def test_files_with_any_suffix_are_loaded(suffix: str, mode: str, tmp_path: Path) -> None:
    names = {
        "train_images": f"train-images{suffix}",
        "train_labels": f"train-labels{suffix}",
        "test_images": f"test-images{suffix}",
        "test_labels": f"test-labels{suffix}",
    }
    folder = write_both(tmp_path / "set", **names)
    assert_same(read_all(mode, "idxfolder", data_dir=folder), BOTH)


@each_mode
@pytest.mark.parametrize(
    ("train", "test"),
    [
        pytest.param("train_digits_{}.idx", "test_digits_{}.idx", id="dataset-after-the-split"),
        pytest.param("dev-kit-train-{}-idx", "dev-kit-test-{}-idx", id="two-words-for-splits"),
        pytest.param("my_train/{}.idx", "my_test/{}.idx", id="split-in-the-name-of-a-folder"),
        pytest.param("train{}.bin", "test{}.bin", id="words-run-together"),
    ],
)
def test_names_of_one_dataset_are_one_dataset(
    train: str, test: str, mode: str, tmp_path: Path
) -> None:
    folder = write_both(
        tmp_path / "set",
        train_images=train.format("images"),
        train_labels=train.format("labels"),
        test_images=test.format("images"),
        test_labels=test.format("labels"),
    )
    assert_same(read_all(mode, "idxfolder", data_dir=folder), BOTH)


@each_mode
def test_two_datasets_whose_names_differ_in_case_can_be_told_apart(
    mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "set.tar"
    files = {"MNIST/train-images": IMAGES, "mnist/train-images": TEST_IMAGES_FILE}
    path.write_bytes(make_tar(files))
    for prefix, images in (("MNIST", TRAIN[0]), ("mnist", TEST[0])):
        found = read_all(mode, "idxfolder", data_dir=str(path), splits=["train"], prefix=prefix)
        assert_same(found, {"train": (images, None)})


@each_mode
def test_an_empty_prefix_means_the_dataset_without_a_name(mode: str, tmp_path: Path) -> None:
    files = {"train-images": IMAGES, "extra-train-images": TEST_IMAGES_FILE}
    folder = str(write_archive(tmp_path / "set", files))
    found = read_all(mode, "idxfolder", data_dir=folder, splits=["train"], prefix="")
    assert_same(found, {"train": (TRAIN[0], None)})


# Archives


@each_mode
@pytest.mark.parametrize(
    "place",
    [
        pytest.param("set.tar", id="tar"),
        pytest.param("set.tar.gz", id="tar-gz"),
        pytest.param("stored.zip", id="stored-zip"),
        pytest.param("deflated.zip", id="deflated-zip"),
    ],
)
def test_a_folder_with_nothing_but_an_archive_is_loaded(
    place: str, mode: str, tmp_path: Path
) -> None:
    folder = tmp_path / "download"
    folder.mkdir()
    write_both(folder / place)
    assert_same(read_all(mode, "idxfolder", data_dir=str(folder)), BOTH)


@each_mode
@pytest.mark.parametrize("outer", ["outer.tar", "outer.tar.gz", "stored.zip", "deflated.zip"])
@pytest.mark.parametrize("inner", ["set.tar", "set.tar.gz", "set.tar.xz", "deflated.zip"])
def test_an_archive_in_an_archive_is_loaded(
    inner: str, outer: str, mode: str, tmp_path: Path
) -> None:
    content = Path(write_both(tmp_path / inner)).read_bytes()
    path = write_archive(tmp_path / outer, {inner: content})
    assert_same(read_all(mode, "idxfolder", data_dir=str(path)), BOTH)


@each_mode
def test_an_archive_for_each_split_is_loaded(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    folder.mkdir()
    write_archive(folder / "train.tar", {"images": IMAGES, "labels": LABELS})
    write_archive(folder / "test.zip", {"images": TEST_IMAGES_FILE, "labels": TEST_LABELS_FILE})
    assert_same(read_all(mode, "idxfolder", data_dir=str(folder)), BOTH)


@each_mode
@pytest.mark.parametrize("as_list", [False, True], ids=["alone", "in-a-list"])
def test_all_splits_of_an_archive_in_data_files_are_loaded(
    as_list: bool, mode: str, tmp_path: Path
) -> None:
    path = write_both(tmp_path / "set.tar")
    data_files = [path] if as_list else path
    assert_same(read_all(mode, "idxfolder", data_files=data_files), BOTH)


@each_mode
def test_all_archives_in_data_files_are_loaded(mode: str, tmp_path: Path) -> None:
    train = write_archive(tmp_path / "train.tar", {"images": IMAGES, "labels": LABELS})
    test_files = {"images": TEST_IMAGES_FILE, "labels": TEST_LABELS_FILE}
    test = write_archive(tmp_path / "test.tar", test_files)
    found = read_all(mode, "idxfolder", data_files=[str(train), str(test)])
    assert_same(found, BOTH)


@each_mode
def test_all_splits_of_single_files_in_data_files_are_loaded(mode: str, tmp_path: Path) -> None:
    folder = write_both(tmp_path)
    names = [TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES]
    data_files = [f"{folder}/{name}" for name in names]
    assert_same(read_all(mode, "idxfolder", data_files=data_files), BOTH)


@each_mode
def test_the_same_files_by_name_and_without_are_not_confused_in_the_cache(
    mode: str, tmp_path: Path
) -> None:
    path = write_both(tmp_path / "set.tar")
    options = {"cache_dir": str(tmp_path / "cache")}
    named = read_all(mode, "idxfolder", splits=["train"], data_files={"train": path}, **options)
    assert_same(named, {"train": TRAIN})
    assert_same(read_all(mode, "idxfolder", data_files=path, **options), BOTH)


@each_mode
@pytest.mark.parametrize("name", ["extra", "holdout", "my_train", "unlabeled.1"])
def test_a_split_of_an_unusual_name_is_found_in_an_archive(
    name: str, mode: str, tmp_path: Path
) -> None:
    files = {f"{name}-images-idx3-ubyte": IMAGES, f"{name}-labels-idx1-ubyte": LABELS}
    files |= {TEST_IMAGES: TEST_IMAGES_FILE, TEST_LABELS: TEST_LABELS_FILE}
    path = str(write_archive(tmp_path / "set.tar", files))
    options = {"data_files": {name: path, "test": path}}
    found = read_all(mode, "idxfolder", splits=[name, "test"], **options)
    assert_same(found, {name: TRAIN, "test": TEST})


@each_mode
def test_a_pair_in_any_order_is_told_apart_by_its_content(mode: str, tmp_path: Path) -> None:
    write_archive(tmp_path, {"a": LABELS, "b": IMAGES})
    files = [str(tmp_path / "a"), str(tmp_path / "b")]
    found = read_all(mode, "idxfolder", splits=["train"], data_files={"train": files})
    assert_same(found, {"train": TRAIN})


# Labels


@each_mode
@pytest.mark.parametrize(
    ("num_classes", "dtype"),
    [
        pytest.param(2, "uint8", id="2-classes"),
        pytest.param(10, "uint8", id="10-classes"),
        pytest.param(300, "uint8", id="300-classes"),
        pytest.param(10, "int32", id="as-int32"),
        pytest.param(10, "float32", id="as-float32-of-keras"),
    ],
)
def test_one_hot_labels_are_classes(
    num_classes: int, dtype: str, mode: str, tmp_path: Path
) -> None:
    classes = np.arange(40) % num_classes
    one_hot = np.zeros((40, num_classes), dtype)
    one_hot[np.arange(40), classes] = 1
    folder = write_train(tmp_path / "set", TRAIN[0], one_hot)
    found = read_all(mode, "idxfolder", splits=["train"], data_dir=folder)
    assert_same(found, {"train": (TRAIN[0], classes)})
    features = datasets.load_dataset("idxfolder", data_dir=folder, split="train").features
    assert list(features) == ["image", "label"]
    assert features["label"].num_classes == num_classes


@each_mode
def test_one_hot_labels_are_shuffled_with_their_images(mode: str, tmp_path: Path) -> None:
    images = np.zeros((40, 3, 3), np.uint8)
    images[:, 0, 0] = np.arange(40) % 10
    one_hot = np.eye(10, dtype=np.uint8)[np.arange(40) % 10]
    folder = write_train(tmp_path / "set", images, one_hot)
    found = read_all(mode, "idxfolder", splits=["train"], data_dir=folder, seed=7)
    shuffled, labels = found["train"]
    np.testing.assert_array_equal(np.asarray(shuffled)[:, 0, 0], labels)
    assert labels.tolist() != sorted(labels.tolist())


@each_mode
def test_rows_of_which_one_is_not_one_hot_stay_labels_of_several_parts(
    mode: str, tmp_path: Path
) -> None:
    rows = np.eye(10, dtype=np.uint8)[np.arange(40) % 10]
    rows[-1] = 0
    folder = write_train(tmp_path / "set", TRAIN[0], rows)
    found = read_all(mode, "idxfolder", splits=["train"], data_dir=folder)["train"][1]
    expected = rows if mode == "arrays" else rows[:, 0]
    np.testing.assert_array_equal(found, expected)


def test_one_hot_labels_stay_parts_where_features_ask_for_them(tmp_path: Path) -> None:
    one_hot = np.eye(3, dtype=np.uint8)[np.arange(40) % 3]
    folder = write_train(tmp_path / "set", TRAIN[0], one_hot)
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.Value("int64"),
            "label_details": datasets.Sequence(datasets.Value("int64"), length=2),
        }
    )
    rows = datasets.load_dataset("idxfolder", data_dir=folder, split="train", features=features)
    assert rows["label"][:] == one_hot[:, 0].tolist()
    assert rows["label_details"][:] == one_hot[:, 1:].tolist()


@each_mode
def test_labels_in_a_column_are_labels(mode: str, tmp_path: Path) -> None:
    folder = write_train(tmp_path / "set", TRAIN[0], TRAIN[1].reshape(-1, 1))
    found = read_all(mode, "idxfolder", splits=["train"], data_dir=folder)
    assert_same(found, {"train": TRAIN})


@each_mode
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_labels_that_are_measured_are_numbers(dtype: str, mode: str, tmp_path: Path) -> None:
    labels = np.linspace(-1, 1, 40).astype(dtype)
    folder = write_train(tmp_path / "set", TRAIN[0], labels)
    found = read_all(mode, "idxfolder", splits=["train"], data_dir=folder)
    assert_same(found, {"train": (TRAIN[0], labels)})
    features = datasets.load_dataset("idxfolder", data_dir=folder, split="train").features
    assert features["label"] == datasets.Value(dtype)


@pytest.mark.parametrize("as_array", [False, True], ids=["pictures", "arrays"])
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.arange(-1, 39).astype(np.int32), id="below-zero"),
        pytest.param(np.arange(40).astype(np.int32) * 5000, id="too-large"),
        pytest.param(np.full((40, 3), -1, np.int32), id="of-three-parts"),
    ],
)
def test_the_features_that_are_advised_for_other_integers_load_them(
    labels: np.ndarray, as_array: bool, tmp_path: Path
) -> None:
    folder = write_train(tmp_path / "set", TRAIN[0], labels)
    options: dict[str, Any] = {"data_dir": folder, "split": "train", "as_array": as_array}
    with pytest.raises(mnist_idx.IdxError, match="expected 0 to 99,999") as caught:
        datasets.load_dataset("idxfolder", **options)
    advised = re.search(r"pass features=(.*)\.$", str(caught.value))
    assert advised is not None
    features = eval(advised[1], {"datasets": datasets})
    rows = datasets.load_dataset("idxfolder", features=features, **options)
    assert rows["label"][:] == labels.reshape(40, -1)[:, 0].tolist()


@pytest.mark.parametrize("streaming", [False, True])
def test_load_arrays_takes_any_integers_as_they_are(streaming: bool, tmp_path: Path) -> None:
    labels = np.arange(-1, 39).astype(np.int32)
    folder = write_train(tmp_path / "set", TRAIN[0], labels)
    _, found = mnist_idx.load_arrays("idxfolder", data_dir=folder, streaming=streaming)
    assert found is not None
    np.testing.assert_array_equal(found, labels)


@each_mode
def test_the_advice_about_labels_that_start_at_one_names_them(mode: str, tmp_path: Path) -> None:
    labels = (np.arange(40) % 3 + 1).astype(np.uint8)
    folder = write_train(tmp_path / "set", TRAIN[0], labels)
    options: dict[str, Any] = {"data_dir": folder, "splits": ["train"]}
    message = refusal(mode, "idxfolder", label_names=["a", "b", "c"], **options)
    assert (
        "record 2 has the label 3, expected 0 to 2, the places of the names 'a', 'b', 'c'"
        in message
    )
    assert 'put an unused name first: label_names=["", …]' in message
    found = read_all(mode, "idxfolder", label_names=["", "a", "b", "c"], **options)
    assert_same(found, {"train": (TRAIN[0], labels)})


# Shapes


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("shape", "as_picture"),
    [
        pytest.param((40, 9, 7, 1), (9, 7), id="gray-channel-last"),
        pytest.param((40, 1, 9, 7), (9, 7), id="gray-channel-first"),
        pytest.param((40, 3, 9, 7), (9, 7, 3), id="colors-first"),
        pytest.param((40, 9, 7, 3), (9, 7, 3), id="colors-last"),
    ],
)
def test_images_with_channels_are_pictures(
    shape: tuple[int, ...], as_picture: tuple[int, ...], streaming: bool, tmp_path: Path
) -> None:
    images = random_images(*shape)
    folder = write_train(tmp_path / "set", images)
    rows = datasets.load_dataset("idxfolder", data_dir=folder, split="train", streaming=streaming)
    found = np.stack([np.asarray(row["image"]) for row in rows])
    expected = images
    if shape[1] in (1, 3):
        expected = images.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(found, expected.reshape(40, *as_picture))
    np.testing.assert_array_equal(mnist_idx.load_arrays("idxfolder", data_dir=folder)[0], images)


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
@pytest.mark.parametrize("form", ["data_dir", "data_files", "folder"])
def test_a_file_of_one_dimension_is_an_array(form: str, dtype: str, tmp_path: Path) -> None:
    weights = np.arange(40).astype(dtype)
    path = tmp_path / "set" / "weights-idx1"
    write_archive(path.parent, {path.name: to_idx(weights)})
    place = path.parent if form == "folder" else path
    option = "data_files" if form == "data_files" else "data_dir"
    options = {option: str(place)}
    found, labels = mnist_idx.load_arrays("idxfolder", **options)
    np.testing.assert_array_equal(found, weights)
    assert (found.dtype, labels) == (weights.dtype, None)
    rows = datasets.load_dataset("idxfolder", split="train", as_array=True, **options)
    assert rows["image"][:] == weights.tolist()
    with pytest.raises(mnist_idx.IdxError, match="Load arrays with as_array=True"):
        datasets.load_dataset("idxfolder", split="train", **options)


# What is beside the files


@pytest.fixture
def unreadable_neighbour() -> Iterator[Path]:
    """A folder with both splits and a subfolder that cannot be read, not even by root."""
    folder = Path(tempfile.mkdtemp())
    write_both(folder)
    (folder / "lost+found").mkdir(mode=0)
    folder.chmod(0o755)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)  # nobody
    try:
        if not os.access(folder, os.R_OK):
            pytest.skip("only root can see the folder of temporary files")
        yield folder
    finally:
        if user == 0:
            os.seteuid(user)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other permissions")
def test_a_neighbour_that_cannot_be_read_is_named_in_a_warning(unreadable_neighbour: Path) -> None:
    with pytest.warns(UserWarning, match=r"lost\+found: cannot be read"):
        images, _ = mnist_idx.load_arrays("idxfolder", data_dir=str(unreadable_neighbour))
    np.testing.assert_array_equal(images, TRAIN[0])


def test_another_file_in_the_folder_does_not_change_the_cache_key(tmp_path: Path) -> None:
    folder = write_both(tmp_path / "set")
    first = datasets.load_dataset_builder("idxfolder", data_dir=folder).cache_dir
    (tmp_path / "set" / "notes.txt").write_text("mine")
    (tmp_path / "set" / "backup.zip").write_bytes(b"PK\x03\x04")
    assert datasets.load_dataset_builder("idxfolder", data_dir=folder).cache_dir == first
    (tmp_path / "set" / TRAIN_LABELS).write_bytes(LABELS)
    os.utime(tmp_path / "set" / TRAIN_LABELS, (1, 1))
    assert datasets.load_dataset_builder("idxfolder", data_dir=folder).cache_dir != first


@each_mode
def test_nothing_is_said_of_files_that_are_right(mode: str, tmp_path: Path) -> None:
    folder = write_both(tmp_path / "set")
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module="mnist_idx")
        assert_same(read_all(mode, "idxfolder", data_dir=folder), BOTH)


# What is wrong, and what to do


@each_mode
@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(b"", "an empty file.*again", id="empty"),
        pytest.param(b"<!DOCTYPE html>", "HTML or XML page.*download", id="html"),
        pytest.param(b"\xef\xbb\xbf" + IMAGES, "byte-order mark.*binary mode", id="utf-8-mark"),
        pytest.param(IMAGES[16:], "without an IDX header.*numpy.fromfile", id="no-header"),
        pytest.param(IMAGES[3::-1] + IMAGES[4:], "little-endian header", id="magic-reversed"),
        pytest.param(
            IMAGES[:4] + IMAGES[4:16][::-1] + IMAGES[16:], "little-endian", id="sizes-reversed"
        ),
        pytest.param(IMAGES[:16], "data ends after 16", id="header-alone"),
        pytest.param(IMAGES + b"\n", "1 byte follows the last record", id="a-line-break-more"),
    ],
)
def test_what_a_broken_file_is_and_what_to_do_is_said(
    content: bytes, said: str, mode: str, tmp_path: Path
) -> None:
    folder = write_both(tmp_path / "set")
    (tmp_path / "set" / TRAIN_IMAGES).write_bytes(content)
    message = refusal(mode, "idxfolder", data_dir=folder, splits=["train"])
    assert re.search(f"{TRAIN_IMAGES}: .*{said}", message)
    assert message.count(TRAIN_IMAGES) == 1
    assert "etch it again" not in message


@each_mode
@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(
            b".git/annex/objects/4k/Jj/MD5E-s9-x.gz",
            "pointer of git-annex.*git annex get",
            id="annex",
        ),
        pytest.param(b"../data/train-images-idx3-ubyte", "symbolic link", id="link-as-text"),
        pytest.param(
            np.frombuffer(IMAGES, np.uint8).astype("<u2").tobytes(), "16-bit", id="two-bytes-each"
        ),
        pytest.param(
            to_idx(random_images(40, 16, 16)).replace(b"\n", b"\r\n"),
            'text mode: open the file with "wb"',
            id="text-mode",
        ),
        pytest.param(
            to_idx(random_images(10, 16, 16)).replace(b"\n", b"\r\n"),
            'text mode: open the file with "wb"',
            id="text-mode-of-ten-records",
        ),
        pytest.param(
            IMAGES[:3] + b"\x01" + IMAGES[4:],
            "40 × 9 × 7 would fit: write 3 as the fourth byte",
            id="magic-of-labels",
        ),
        pytest.param(
            IMAGES[:4] + bytes(4) + IMAGES[8:], "40 records of 9 × 7 would fit", id="count-of-zero"
        ),
    ],
)
def test_what_has_gone_wrong_on_the_way_is_said(
    content: bytes, said: str, mode: str, tmp_path: Path
) -> None:
    files = {TRAIN_IMAGES: content, TRAIN_LABELS: LABELS}
    folder = str(write_archive(tmp_path / "set", files))
    message = refusal(mode, "idxfolder", data_files={"train": f"{folder}/{TRAIN_IMAGES}"})
    assert re.search(said, message)
    assert "without them" not in message


@each_mode
def test_images_and_labels_with_swapped_names_are_told_apart(mode: str, tmp_path: Path) -> None:
    folder = str(write_archive(tmp_path / "set", {TRAIN_IMAGES: LABELS, TRAIN_LABELS: IMAGES}))
    found = read_all(mode, "idxfolder", splits=["train"], data_dir=folder)
    assert_same(found, {"train": TRAIN})


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        pytest.param("mnist.pkl.gz", "pickle.load", id="pickle"),
        pytest.param("processed/training.pt", "torch.load", id="torch"),
        pytest.param("digits.mat", "scipy.io.loadmat", id="matlab"),
    ],
)
def test_files_of_other_libraries_are_named_with_what_reads_them(
    name: str, reader: str, tmp_path: Path
) -> None:
    folder = write_archive(tmp_path / "set", {name: b"something"})
    message = refusal("prepared", "idxfolder", data_dir=str(folder))
    assert re.search(f"no IDX files, 1 .*Read it with {reader}.*write_idx", message)


@each_mode
@pytest.mark.parametrize(
    ("header", "content", "said"),
    [
        pytest.param(
            (240, 56, 56), (240, 112, 112), r"Records of 112 × 112 would fit", id="other-sides"
        ),
        pytest.param((60, 28, 28), (20, 28, 28), "20 records of 28 × 28", id="another-count"),
        pytest.param((20, 28, 28), (60, 28, 28), "60 records of 28 × 28", id="a-smaller-count"),
    ],
)
def test_the_sizes_that_would_fit_are_named(
    header: tuple[int, ...], content: tuple[int, ...], said: str, mode: str, tmp_path: Path
) -> None:
    right = to_idx(random_images(*content))
    wrong = to_idx(np.zeros(header, np.uint8))[:16] + right[16:]
    write_archive(tmp_path / "set", {TRAIN_IMAGES: wrong})
    message = refusal(mode, "idxfolder", data_dir=str(tmp_path / "set"), splits=["train"])
    assert re.search(said, message)
    assert "Write the file again" in message


@each_mode
def test_the_advice_about_missing_images_loads_the_other_split(mode: str, tmp_path: Path) -> None:
    folder = write_both(tmp_path / "set")
    (tmp_path / "set" / TRAIN_IMAGES).unlink()
    message = refusal(mode, "idxfolder", data_dir=folder, splits=["train"])
    assert f"expected {TRAIN_IMAGES}" in message
    data_files = eval(message.partition("data_files=")[2].rstrip("."))
    found = read_all(mode, "idxfolder", splits=["test"], data_files=data_files)
    assert_same(found, {"test": TEST})


@each_mode
def test_a_folder_that_is_not_there_is_named_with_the_working_folder(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refusal(mode, "idxfolder", data_dir="nothere", splits=["train"])
    assert "nothere: no such file or folder" in message
    assert f"working folder, {Path.cwd()}" in message


@pytest.mark.parametrize(
    ("names", "line"),
    [
        pytest.param(
            ["photos/cat/1.png", "photos/dog/2.png"],
            r'load_dataset\("imagefolder", data_dir=".*?"\)',
            id="pictures",
        ),
    ],
)
def test_the_line_that_is_advised_for_other_files_loads_them(
    names: list[str], line: str, tmp_path: Path
) -> None:
    encoded = datasets.Image().encode_example(TRAIN[0][0])["bytes"]
    write_archive(tmp_path, dict.fromkeys(names, encoded))
    message = refusal("prepared", "idxfolder", data_dir=str(tmp_path / "photos"))
    assert "no IDX files, 2 .png files" in message
    advised = re.search(line, message)
    assert advised is not None
    assert eval(advised[0], {"load_dataset": datasets.load_dataset})["train"].num_rows == 2


def test_a_limit_of_memory_is_not_called_damage(tmp_path: Path) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 << 20}]
    files = {f"{TRAIN_IMAGES}.xz": lzma.compress(IMAGES, filters=filters)}
    folder = str(write_archive(tmp_path / "set", files))
    for mode in MODES:
        message = refusal(mode, "idxfolder", data_dir=folder, splits=["train"])
        assert "limit of 128 MiB. Decompress it with unxz" in message
        assert "damaged" not in message
    (tmp_path / "set" / TRAIN_IMAGES).write_bytes(lzma.decompress(files[f"{TRAIN_IMAGES}.xz"]))
    found = read_all("prepared", "idxfolder", splits=["train"], data_dir=folder)
    assert_same(found, {"train": (TRAIN[0], None)})
