"""What file names stand for."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from idx_files import TEST_IMAGES, TEST_LABELS, TRAIN_IMAGES, TRAIN_LABELS

from mnist_idx.errors import IdxError
from mnist_idx.filenames import (
    FoundFiles,
    find_splits,
    is_same_name,
    parse_filename,
    split_files,
)
from mnist_idx.members import Member

MNIST = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS]
DIGITS = [f"gzip/emnist-digits-{name}" for name in MNIST]
LETTERS = [f"gzip/emnist-letters-{name}" for name in MNIST]


def in_tar(*names: str) -> list[Member]:
    """The members of a tar, "set.tar", with these names."""
    return [Member("set.tar", name, offset) for offset, name in enumerate(names)]


def names_of_splits(
    members: list[Member], prefix: str | None = None, root: str = ""
) -> dict[str, list[str]]:
    """Split -> names of images and labels below `root`."""
    names = {}
    for split, files in find_splits(members, prefix, root).items():
        names[split] = [member.name.removeprefix("root/") for member in files.members]
    return names


def splits_of(names: list[str], prefix: str | None = None) -> dict[str, list[str]]:
    """Split -> names of images and labels, which are the same in a tar and in a folder."""
    of_tar = names_of_splits(in_tar(*names), prefix)
    in_folder = [Member(f"root/{name}", f"root/{name}") for name in names]
    assert names_of_splits(in_folder, prefix, "root") == of_tar
    return of_tar


# One name


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
            "my_train/labels.idx", "my_train", "train", "labels", id="split-in-the-name-of-a-folder"
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
    ],
)
def test_a_name_tells_dataset_split_and_role(
    name: str, prefix: str, split: str | None, role: str
) -> None:
    assert parse_filename(name) == (prefix, split, role)


# What says nothing, and may stand beside the files of a dataset.
OTHER_NAMES = [
    "train.csv",
    "emnist-letters-mapping.txt",
    ".DS_Store",
    "__MACOSX/train-images-idx3-ubyte",
    "a.idx3-ubyte",
    "README.md",
    ".x/train-images",
    "train-images-idx3-ubyte.sha256",
    "preview/train-images.png",
]
# What looks like the images of MNIST, and is something else.
LEFTOVERS = [
    f"{TRAIN_IMAGES}(1).gz",
    f"{TRAIN_IMAGES}.zip",
    f"{TRAIN_IMAGES}.zst",
    f"{TRAIN_IMAGES}.part",
    f"{TRAIN_IMAGES}-copy",
    f"train-test-{TRAIN_IMAGES}",
]


@pytest.mark.parametrize("name", ["", "train-images-test", *OTHER_NAMES, *LEFTOVERS])
def test_a_name_that_is_no_images_or_labels_tells_nothing(name: str) -> None:
    assert parse_filename(name) is None


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


# The names of a dataset


@pytest.mark.parametrize(
    "pattern",
    [
        "{split}-{role}-idx3-ubyte",
        "{split}_{role}.idx",
        "{Split}-{Role}-idx3-ubyte.GZ",
        "{split}.{role}.idx",
        "my-set-{split}-{role}-idx3-ubyte",
        "qmnist-{split}-{role}-idx2-int.gz",
        "{role}-{split}.idx3-ubyte",
        "{split}/{role}-idx3-ubyte",
        "deep/er/{split}-{role}.idx3-ubyte",
    ],
)
@pytest.mark.parametrize("roles", [("images", "labels"), ("image", "label"), ("img", "label")])
@pytest.mark.parametrize(
    "words",
    [
        pytest.param({"train": "train", "t10k": "test"}, id="train-t10k"),
        pytest.param(
            {"training": "train", "Validation": "validation", "test": "test"},
            id="training-Validation-test",
        ),
        pytest.param({"valid": "validation", "testing": "test"}, id="valid-testing"),
    ],
)
def test_names_in_the_wild_are_understood_in_any_order(
    pattern: str, roles: tuple[str, str], words: dict[str, str]
) -> None:
    expected = {}
    backwards: list[str] = []
    for word, split in words.items():
        expected[split] = [
            pattern.format(split=word, Split=word.title(), role=role, Role=role.title())
            for role in roles
        ]
        backwards = [*reversed(expected[split]), *backwards]
    assert list(splits_of(backwards).items()) == list(expected.items())


WORDS = ["train", "t10k", "test", "valid", "images", "labels", "image", "idx3", "ubyte", "idx2"]
WORDS += ["int", "emnist", "my", "extra", "-", ".", "_", "/", "\\", ".gz", "__MACOSX/", " "]
any_name = st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join)


@given(names=st.lists(any_name, max_size=8), prefix=st.one_of(st.none(), any_name), root=any_name)
@example(names=["train-images", "train-labels", "extra-images"], prefix=None, root="")
def test_any_names_are_matched_or_refused(names: list[str], prefix: str | None, root: str) -> None:
    members = in_tar(*names)
    try:
        splits = find_splits(members, prefix, root)
    except IdxError:
        return
    assert FoundFiles(members, root).prefixes
    used: list[Member] = []
    for files in splits.values():
        used += files.members
    assert len(set(used)) == len(used)
    assert set(used) <= set(members)


def test_files_that_say_nothing_are_ignored_beside_a_dataset() -> None:
    assert splits_of([*OTHER_NAMES, *MNIST]) == {
        "train": [TRAIN_IMAGES, TRAIN_LABELS],
        "test": [TEST_IMAGES, TEST_LABELS],
    }


@pytest.mark.parametrize("name", LEFTOVERS)
def test_a_leftover_in_place_of_a_file_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(IdxError, match=re.escape(f"{name} in set.tar")):
        splits_of([name, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])


def test_a_leftover_of_another_dataset_is_ignored() -> None:
    names = ["digits-train-images", "letters-train-images", "letters-train-labels.zip"]
    assert splits_of(names, "digits") == {"train": ["digits-train-images"]}
    with pytest.raises(IdxError, match=r"letters-train-labels\.zip"):
        splits_of(names, "letters")


@pytest.mark.parametrize(
    ("names", "listed"),
    [
        pytest.param(["one.idx", "two.idx"], "one.idx, two.idx.", id="names-that-say-nothing"),
        pytest.param(
            ["images-idx3-ubyte", TRAIN_IMAGES],
            f"images-idx3-ubyte, {TRAIN_IMAGES}.",
            id="images-with-and-without-a-split",
        ),
        pytest.param(
            ["train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-labels-idx1-ubyte"],
            "train-images-idx3-ubyte, train-images.idx3-ubyte, train-labels-idx1-ubyte.",
            id="images-of-a-split-in-two-spellings",
        ),
        pytest.param(
            [f"file{number}" for number in range(25)],
            ", ".join(f"file{number}" for number in range(20)) + " and 5 more.",
            id="25-names-of-which-20-are-listed",
        ),
    ],
)
def test_ambiguous_names_are_listed(names: list[str], listed: str) -> None:
    with pytest.raises(IdxError, match=r"set\.tar: .*data_files=\{") as error:
        splits_of(names)
    assert listed in str(error.value)


def test_labels_without_images_are_refused() -> None:
    with pytest.raises(IdxError, match=rf"{TRAIN_LABELS} in set\.tar: .*no images"):
        find_splits(in_tar(TRAIN_LABELS))


def test_a_member_that_cannot_be_read_is_refused_with_its_problem() -> None:
    images, labels = in_tar(TRAIN_IMAGES, TRAIN_LABELS)
    link = labels._replace(problem="found a link")
    with pytest.raises(IdxError, match=rf"{TRAIN_LABELS} in set\.tar: .*found a link"):
        find_splits([images, link])


# The files of one split, which the user has named


@pytest.mark.parametrize(
    ("names", "images", "labels"),
    [
        pytest.param(["a", "b"], "a", "b", id="in-their-order-where-names-say-nothing"),
        pytest.param(["labels", "other"], "labels", "other", id="in-their-order-for-one-role"),
        pytest.param(
            ["x/images-idx3", "x/labels-idx1"],
            "x/images-idx3",
            "x/labels-idx1",
            id="by-their-roles",
        ),
        pytest.param(
            ["x/labels-idx1", "x/images-idx3"],
            "x/images-idx3",
            "x/labels-idx1",
            id="by-roles-in-the-other-order",
        ),
    ],
)
def test_names_tell_the_roles_in_a_split_else_the_order(
    names: list[str], images: str, labels: str
) -> None:
    files = split_files(in_tar(*names))
    assert [member.name for member in files.members] == [images, labels]


def test_one_file_is_the_images_of_a_split() -> None:
    (labels,) = in_tar("x/labels-idx1")
    files = split_files([labels])
    assert files.images == labels
    assert files.labels is None


def test_three_files_are_too_many_for_a_split() -> None:
    with pytest.raises(IdxError, match="a, b, c: found 3 files"):
        split_files(in_tar("a", "b", "c"))


# Several datasets in one place


@pytest.mark.parametrize("prefix", ["emnist-digits", "EMNIST-d"])
def test_one_of_several_datasets_is_chosen_by_the_start_of_its_name(prefix: str) -> None:
    names = [*LETTERS, *DIGITS]
    assert FoundFiles(in_tar(*names)).prefixes == ["emnist-digits", "emnist-letters"]
    assert splits_of(names, prefix) == {"train": DIGITS[:2], "test": DIGITS[2:]}


def test_one_of_several_datasets_is_chosen_by_its_folder() -> None:
    mnist = [f"MNIST/raw/{name}" for name in MNIST]  # as torchvision stores them
    fashion = [f"FashionMNIST/raw/{name}" for name in MNIST]
    assert FoundFiles(in_tar(*mnist, *fashion)).prefixes == ["FashionMNIST", "MNIST"]
    assert splits_of([*mnist, *fashion], "mnist") == {"train": mnist[:2], "test": mnist[2:]}


def test_one_of_several_datasets_is_chosen_by_nested_folders() -> None:
    names = ["a/b/train-images", "c/train-images"]
    assert splits_of(names, "a/b") == {"train": ["a/b/train-images"]}


def test_the_exact_name_of_a_dataset_comes_first() -> None:
    names = ["mnist-train-images", "mnist-c-train-images"]
    assert splits_of(names, "mnist") == {"train": ["mnist-train-images"]}


@pytest.mark.parametrize(
    ("prefix", "named"),
    [
        pytest.param(None, "", id="none-given"),
        pytest.param("emnist", "'emnist'", id="start-of-both"),
        pytest.param("digits", "'digits'", id="start-of-none"),
    ],
)
def test_the_choice_between_datasets_is_explained(prefix: str | None, named: str) -> None:
    choice = r"set\.tar: .*'emnist-digits', 'emnist-letters'.*prefix=\"emnist-"
    with pytest.raises(IdxError, match=choice) as error:
        splits_of([*LETTERS, *DIGITS], prefix)
    assert named in str(error.value)


# Several copies of one file


@pytest.mark.parametrize("compressed_first", [True, False])
def test_a_plain_file_is_taken_before_its_compressed_copy(compressed_first: bool) -> None:
    compressed = [f"{name}.gz" for name in MNIST]
    names = [*compressed, *MNIST] if compressed_first else [*MNIST, *compressed]
    assert splits_of(names) == {
        "train": [TRAIN_IMAGES, TRAIN_LABELS],
        "test": [TEST_IMAGES, TEST_LABELS],
    }


def test_a_file_in_a_folder_of_its_own_name_is_found() -> None:
    nested = f"{TRAIN_IMAGES}/{TRAIN_IMAGES}"
    assert splits_of([nested]) == {"train": [nested]}


def test_a_later_member_of_a_tar_replaces_an_earlier_one() -> None:
    splits = find_splits(in_tar(TRAIN_IMAGES, "other", TRAIN_IMAGES))
    assert splits["train"].images.offset == 2
