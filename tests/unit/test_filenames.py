"""What the name of a file stands for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.filenames import is_hidden, is_of_another_kind, is_same_name, parse_filename

WORDS = ["train", "t10k", "test", "valid", "images", "labels", "image", "idx3", "ubyte", "idx2"]
WORDS += ["int", "emnist", "my", "extra", "-", ".", "_", "/", "\\", ".gz", "__MACOSX/", " "]
any_name = st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join)


@pytest.mark.parametrize(
    ("name", "prefix", "split", "role"),
    [
        pytest.param("train-images-idx3-ubyte", "", "train", "images", id="as-of-mnist"),
        pytest.param(
            "data/t10k-labels.idx1-ubyte.gz", "", "test", "labels", id="dot-for-hyphen-in-a-folder"
        ),
        pytest.param(
            "gzip/emnist-letters-test-images-idx3-ubyte.gz",
            "gzip/emnist-letters",
            "test",
            "images",
            id="as-of-emnist",
        ),
        pytest.param(
            "qmnist-train-labels-idx2-int.xz", "qmnist", "train", "labels", id="as-of-qmnist"
        ),
        pytest.param(
            "validation/images.idx3-ubyte", "", "validation", "images", id="split-is-the-folder"
        ),
        pytest.param(
            "validation\\images.idx3-ubyte",
            "",
            "validation",
            "images",
            id="split-is-the-folder-on-windows",
        ),
        pytest.param(
            "MNIST/raw/train-images-idx3-ubyte", "MNIST", "train", "images", id="as-of-torchvision"
        ),
        pytest.param(
            "test/train-images", "", "train", "images", id="split-of-the-name-before-the-folder"
        ),
        pytest.param("train/test/images", "", "test", "images", id="split-of-the-nearest-folder"),
        pytest.param(
            "my_train/labels.idx", "my", "train", "labels", id="split-in-the-name-of-a-folder"
        ),
        pytest.param("train_labels.idx", "", "train", "labels", id="underscore-for-hyphen"),
        pytest.param(
            "train-image-labels-idx1-ubyte", "", "train", "labels", id="labels-of-images-are-labels"
        ),
        pytest.param(
            "images-dev.short.bz2", "", "validation", "images", id="split-behind-the-role"
        ),
        pytest.param("images-idx3-ubyte", "", None, "images", id="no-split"),
        pytest.param("../a/train-images", "a", "train", "images", id="folder-above"),
        pytest.param("train-targets-idx1-ubyte", "", "train", "labels", id="targets-are-labels"),
        pytest.param("train-lbl-idx1-ubyte", "", "train", "labels", id="lbl-is-short-for-labels"),
        pytest.param("y_train-idx1-ubyte", "", "train", "labels", id="y-is-labels"),
        pytest.param("X_test.dat", "", "test", "images", id="x-is-images"),
        pytest.param("y-train-images", "y", "train", "images", id="images-before-y"),
        pytest.param("trainlabels.bin", "", "train", "labels", id="two-words-in-one"),
        pytest.param(
            "dev-kit-train-images", "dev-kit", "train", "images", id="the-split-next-to-the-role"
        ),
        pytest.param(
            "train-images-test", "test", "train", "images", id="the-split-before-the-role"
        ),
        pytest.param(
            "test_digits_images.idx", "digits", "test", "images", id="dataset-between-the-words"
        ),
        pytest.param("train-lables-idx1", "lables", "train", None, id="misspelt-role"),
        pytest.param("trian-labels-idx1", "trian", None, "labels", id="misspelt-split"),
        pytest.param("train-images.raw", "", "train", "images", id="raw"),
        pytest.param("train-images.data", "", "train", "images", id="data"),
        pytest.param("train-images-idx3 (1).gz", "", "train", "images", id="copy-of-a-browser"),
        pytest.param("train-images-idx3 - copy", "", "train", "images", id="copy-of-a-desktop"),
        pytest.param("a.idx3-ubyte", "a", None, None, id="neither-split-nor-role"),
        pytest.param("", "", None, None, id="no-name"),
        pytest.param(
            "emnist-train-images/emnist-train-images",
            "emnist",
            "train",
            "images",
            id="folder-of-its-own-name",
        ),
    ],
)
def test_a_name_tells_dataset_split_and_role(
    name: str, prefix: str, split: str | None, role: str | None
) -> None:
    parsed = parse_filename(name)
    assert (parsed.dataset, parsed.split, parsed.role) == (prefix, split, role)


@pytest.mark.parametrize(
    ("name", "is_other"),
    [
        pytest.param("train.csv", True, id="table"),
        pytest.param("train.csv.gz", True, id="compressed-table"),
        pytest.param("emnist-letters-mapping.txt", True, id="text"),
        pytest.param("README.md", True, id="readme"),
        pytest.param("train-images-idx3-ubyte.sha256", True, id="checksum"),
        pytest.param("preview/train-images.png", True, id="picture"),
        pytest.param("train.npz", True, id="numpy"),
        pytest.param("train-images-idx3-ubyte", False, id="as-of-mnist"),
        pytest.param("train-images.bin", False, id="bin"),
        pytest.param("train-images.dat", False, id="dat"),
        pytest.param("train-images.raw", False, id="raw"),
        pytest.param("train-images.idx", False, id="idx"),
        pytest.param("set.tar.gz", False, id="archive"),
        pytest.param("LICENSE", False, id="no-suffix"),
    ],
)
def test_a_name_tells_what_is_no_idx_file(name: str, is_other: bool) -> None:
    assert is_of_another_kind(name) is is_other


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        pytest.param(".DS_Store", True, id="file"),
        pytest.param("__MACOSX/train-images", True, id="folder-of-macos"),
        pytest.param(".x/train-images", True, id="folder"),
        pytest.param("../train-images", False, id="folder-above"),
        pytest.param("train-images", False, id="other"),
    ],
)
def test_hidden_files_are_known(name: str, hidden: bool) -> None:
    assert is_hidden(name) is hidden


@pytest.mark.parametrize("end", [".part", ".crdownload", ".tmp", ".bak", "~", ".gz.part"])
def test_what_a_download_leaves_behind_is_known(end: str) -> None:
    parsed = parse_filename(f"train-images-idx3-ubyte{end}")
    assert (parsed.split, parsed.role, parsed.is_leftover) == ("train", "images", True)


@given(any_name)
def test_any_name_is_parsed(name: str) -> None:
    parsed = parse_filename(name)
    assert parsed.split in (None, "train", "validation", "test")
    assert parsed.role in (None, "images", "labels")


@pytest.mark.parametrize(
    ("name", "is_same"),
    [
        pytest.param("train-images-idx3-ubyte", True, id="the-same"),
        pytest.param("data/train-images.idx3-ubyte.gz", True, id="folder-dot-and-suffix"),
        pytest.param("a\\Train_images idx3-ubyte.XZ", True, id="other-case-and-separators"),
        pytest.param("my-train-images-idx3-ubyte", False, id="word-before-it"),
        pytest.param("train-images-idx3-ubyte.zip", False, id="suffix-of-an-archive"),
        pytest.param("train-labels-idx1-ubyte", False, id="other-role"),
    ],
)
def test_a_published_name_is_known_in_other_spellings(name: str, is_same: bool) -> None:
    assert is_same_name(name, "train-images-idx3-ubyte") is is_same
