"""Which files are the images and the labels of each split: content and names together."""

import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    make_tar,
    to_idx,
    write_archive,
)

from mnist_idx.archive import Location, list_members
from mnist_idx.errors import IdxError
from mnist_idx.matching import FoundFiles, Listed, find_pair, name_relative, read_listed
from mnist_idx.members import Access

MNIST = [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS]
BOTH_SPLITS = {"train": [TRAIN_IMAGES, TRAIN_LABELS], "test": [TEST_IMAGES, TEST_LABELS]}
DIGITS = [f"gzip/emnist-digits-{name}" for name in MNIST]
LETTERS = [f"gzip/emnist-letters-{name}" for name in MNIST]

IMAGES = to_idx(np.zeros((2, 3, 3), np.uint8))
LABELS = to_idx(np.zeros(2, np.uint8))
VECTORS = to_idx(np.zeros((2, 4), np.uint8))


def content_of(name: str) -> bytes:
    """Labels, if the name says so; else images."""
    is_labels = re.search("label|lable|lbl|target|y_", name) is not None
    return LABELS if is_labels else IMAGES


def find_files(path: Path) -> FoundFiles:
    """The files in a folder or an archive."""
    access = Access()
    listed = name_relative(list_members(Location(str(path)), access), str(path))
    return FoundFiles(listed, access, str(path))


def names_of_splits(
    path: Path, prefix: str | None = None, wanted: list[str] | None = None
) -> dict[str, list[str]]:
    """Split -> names of images and labels in a folder or an archive."""
    names = {}
    for split, files in find_files(path).splits(prefix, wanted).items():
        names[split] = [member.name.removeprefix(f"{path}/") for member in files.members]
    return names


def write_files(path: Path, *names: str, **contents: bytes) -> Path:
    """Write a folder or an archive of IDX files, whose names say what they hold."""
    return write_archive(path, {name: content_of(name) for name in names})


@pytest.fixture(params=["folder", "set.tar", "set.zip"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where files are written: a folder, a tar or a zip."""
    path: Path = tmp_path / request.param
    return path


# One dataset


@pytest.mark.parametrize(
    "pattern",
    [
        "{split}-{role}-idx3-ubyte",
        "{split}_{role}.idx",
        "{Split}-{Role}-idx3-ubyte",
        "{split}.{role}.bin",
        "my-set-{split}-{role}-idx3-ubyte",
        "{split}_my_{role}.raw",
        "{role}-{split}.idx3-ubyte",
        "{split}/{role}-idx3-ubyte",
        "deep/er/{split}-{role}.idx3-ubyte",
    ],
)
@pytest.mark.parametrize("roles", [("images", "labels"), ("image", "label"), ("img", "lbl")])
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
    pattern: str, roles: tuple[str, str], words: dict[str, str], tmp_path: Path
) -> None:
    expected = {}
    backwards: list[str] = []
    for word, split in words.items():
        expected[split] = [
            pattern.format(split=word, Split=word.title(), role=role, Role=role.title())
            for role in roles
        ]
        backwards = [*reversed(expected[split]), *backwards]
    contents = {}
    for name in backwards:
        is_labels = re.search("label|lbl", name, re.IGNORECASE) is not None
        contents[name] = LABELS if is_labels else IMAGES
    path = write_archive(tmp_path / "set.tar", contents)
    assert list(names_of_splits(path).items()) == list(expected.items())


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param("train-lables-idx1-ubyte", id="misspelt-role"),
        pytest.param("trian-labels-idx1-ubyte", id="misspelt-split"),
        pytest.param("training-set-labels-idx1-ubyte", id="a-word-more"),
        pytest.param("y_train-idx1-ubyte", id="y"),
        pytest.param("train-targets.bin", id="targets"),
        pytest.param("train.bin", id="no-role"),
    ],
)
def test_labels_are_found_by_their_content_whatever_their_name(labels: str, place: Path) -> None:
    files = {TRAIN_IMAGES: IMAGES, labels: LABELS, TEST_IMAGES: IMAGES, TEST_LABELS: LABELS}
    assert names_of_splits(write_archive(place, files)) == {
        "train": [TRAIN_IMAGES, labels],
        "test": [TEST_IMAGES, TEST_LABELS],
    }


def test_images_with_a_misspelt_name_keep_their_labels(place: Path) -> None:
    files = {"train-imges": IMAGES, TRAIN_LABELS: LABELS, TEST_IMAGES: IMAGES, TEST_LABELS: LABELS}
    assert names_of_splits(write_archive(place, files))["train"] == ["train-imges", TRAIN_LABELS]


def test_labels_that_are_paired_take_the_place_of_no_other_files(tmp_path: Path) -> None:
    three_images = to_idx(np.zeros((3, 3, 3), np.uint8))
    three_labels = to_idx(np.zeros(3, np.uint8))
    files = {TRAIN_IMAGES: IMAGES, TRAIN_LABELS: LABELS}
    files |= {"extra-train-images": three_images, "labels-idx1": three_labels}
    path = write_archive(tmp_path / "folder", files)
    assert names_of_splits(path, "") == {"train": [TRAIN_IMAGES, TRAIN_LABELS]}
    assert names_of_splits(path, "extra") == {"train": ["extra-train-images", "labels-idx1"]}


def test_labels_of_another_number_of_records_belong_to_no_images(tmp_path: Path) -> None:
    three = to_idx(np.zeros(3, np.uint8))
    path = write_archive(tmp_path / "folder", {TRAIN_IMAGES: IMAGES, "trian-labels-idx1": three})
    with pytest.raises(IdxError, match="trian-labels-idx1: found labels, but no images"):
        names_of_splits(path)


def test_labels_of_no_images_are_named_in_a_warning(tmp_path: Path) -> None:
    path = write_files(tmp_path / "folder", *MNIST, "train-coarse-labels")
    with pytest.warns(UserWarning, match="train-coarse-labels: found labels, but no images"):
        assert names_of_splits(path) == BOTH_SPLITS


OTHER_FILES = {
    "train.csv": b"label,pixel0",
    "README.md": b"# Digits",
    ".DS_Store": b"Bud1",
    "__MACOSX/train-images-idx3-ubyte": b"Mac",
    ".x/train-images": b"x",
    "train-images-idx3-ubyte.sha256": b"0123",
    "preview/train-images.png": b"\x89PNG",
    "huge.bin": b"no header",
}


def test_files_of_another_kind_are_ignored(place: Path) -> None:
    files = {name: content_of(name) for name in MNIST}
    assert names_of_splits(write_archive(place, {**OTHER_FILES, **files})) == BOTH_SPLITS


def test_files_that_their_names_exclude_are_not_even_opened(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "folder", *MNIST)
    (folder / "gone.png").symlink_to("nowhere")
    assert names_of_splits(folder) == BOTH_SPLITS


# What claims to be an IDX file, and is none


@pytest.mark.parametrize(
    ("end", "content", "found"),
    [
        pytest.param(".zip", b"PK\x03\x04" + bytes(30), "found a zip", id="zip"),
        pytest.param(".zst", b"\x28\xb5\x2f\xfd", "found Zstandard data.*unzstd", id="zstd"),
        pytest.param(".part", IMAGES, "left behind.*Move it away", id="part-of-a-download"),
        pytest.param("", b"", "found an empty file", id="empty"),
        pytest.param("", b"<!DOCTYPE html>", "found an HTML or XML page", id="page"),
        pytest.param(".bin", bytes(100), "without an IDX header", id="no-header"),
    ],
)
def test_a_file_that_claims_to_be_an_idx_file_is_an_error(
    end: str, content: bytes, found: str, place: Path
) -> None:
    name = f"{TRAIN_IMAGES}{end}"
    files = {name: content, TRAIN_LABELS: LABELS, TEST_IMAGES: IMAGES, TEST_LABELS: LABELS}
    with pytest.raises(IdxError, match=f"{re.escape(name)}.*{found}"):
        names_of_splits(write_archive(place, files))


def test_a_broken_file_of_another_dataset_is_ignored(tmp_path: Path) -> None:
    files = {"digits-train-images": IMAGES, "letters-train-images": IMAGES}
    path = write_archive(tmp_path / "folder", {**files, "letters-train-labels.zip": b"PK\x03\x04"})
    assert names_of_splits(path, "digits") == {"train": ["digits-train-images"]}
    with pytest.raises(IdxError, match=r"letters-train-labels\.zip"):
        names_of_splits(path, "letters")


# What is doubtful


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param(
            ["images-idx3-ubyte", TRAIN_IMAGES],
            "cannot tell the split of .*images-idx3-ubyte",
            id="images-with-and-without-a-split",
        ),
        pytest.param(
            ["train-images-idx3-ubyte", "train-images.idx3-ubyte", TRAIN_LABELS],
            "train-images-idx3-ubyte.* and .*train-images.idx3-ubyte.*: found two files",
            id="images-of-a-split-in-two-spellings",
        ),
        pytest.param(
            [TRAIN_IMAGES, f"{TRAIN_IMAGES} (1)", TRAIN_LABELS],
            "found two files for the images of 'train'",
            id="copy-of-a-browser-beside-the-file",
        ),
    ],
)
def test_doubtful_files_are_named(names: list[str], said: str, place: Path) -> None:
    with pytest.raises(IdxError, match=rf"{said}.*data_files=\{{"):
        names_of_splits(write_files(place, *names))


def test_missing_images_are_named_and_the_other_splits_can_be_loaded(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "folder", *MNIST[1:])
    with pytest.raises(IdxError, match=f"{TRAIN_LABELS}: .*expected {TRAIN_IMAGES}") as caught:
        names_of_splits(folder)
    way_out = str(caught.value).partition("data_files=")[2].rstrip(".")
    assert eval(way_out) == {"test": [f"{folder}/{TEST_IMAGES}", f"{folder}/{TEST_LABELS}"]}


def test_a_split_that_is_asked_for_alone_needs_no_other(tmp_path: Path) -> None:
    folder = write_files(tmp_path / "folder", *MNIST[1:])
    assert names_of_splits(folder, wanted=["test"]) == {"test": BOTH_SPLITS["test"]}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        pytest.param([], "nothing is in it", id="empty-folder"),
        pytest.param(["1.png", "2.png"], '2 .png files.*"imagefolder"', id="pictures"),
        pytest.param(["train.csv"], "1 .csv file .*convert csv", id="table"),
        pytest.param(["set.npz"], "1 .npz file .*numpy.load.*write_idx", id="numpy"),
        pytest.param(["a.parquet"], '1 .parquet file .*load_dataset."parquet"', id="parquet"),
    ],
)
def test_a_folder_of_something_else_says_what_is_there(
    names: list[str], said: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in names:
        (folder / name).write_bytes(b"something")
    with pytest.raises(IdxError, match=f"folder: no IDX files, .*{said}"):
        names_of_splits(folder)


@pytest.mark.slow
def test_at_most_five_names_are_listed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number}.png").write_bytes(b"")
    with pytest.raises(IdxError) as caught:
        names_of_splits(folder)
    assert "1,000 .png files" in str(caught.value)
    assert "1.png" not in str(caught.value)


# Archives in a folder, and in archives


def zip_of(files: dict[str, bytes]) -> bytes:
    """A zip with these files, as bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [make_tar, zip_of])
def test_an_archive_alone_is_looked_into(pack: object, place: Path) -> None:
    inner = pack({name: content_of(name) for name in MNIST})  # type: ignore[operator]
    names = names_of_splits(write_archive(place, {"archive.bin": inner}))
    assert names == BOTH_SPLITS


def test_the_names_of_several_archives_tell_the_splits(tmp_path: Path) -> None:
    one = {"images": IMAGES, "labels": LABELS}
    folder = write_archive(
        tmp_path / "folder", {"train.zip": zip_of(one), "test.tar": make_tar(one)}
    )
    files = find_files(folder).splits()
    assert [member.path.rpartition("/")[2] for member in files["train"].members] == [
        "train.zip"
    ] * 2
    assert [member.path.rpartition("/")[2] for member in files["test"].members] == ["test.tar"] * 2


def test_archives_beside_idx_files_are_not_looked_into(tmp_path: Path) -> None:
    other = make_tar({"other-train-images": IMAGES})
    folder = write_files(tmp_path / "folder", *MNIST)
    (folder / "backup.tar").write_bytes(other)
    assert names_of_splits(folder) == BOTH_SPLITS


# Several datasets in one place


@pytest.mark.parametrize("prefix", ["emnist-digits", "EMNIST-d"])
def test_one_of_several_datasets_is_chosen_by_the_start_of_its_name(
    prefix: str, place: Path
) -> None:
    path = write_files(place, *LETTERS, *DIGITS)
    assert find_files(path).prefixes == ["emnist-digits", "emnist-letters"]
    assert names_of_splits(path, prefix) == {"train": DIGITS[:2], "test": DIGITS[2:]}


def test_one_of_several_datasets_is_chosen_by_its_folder(place: Path) -> None:
    mnist = [f"MNIST/raw/{name}" for name in MNIST]  # as torchvision stores them
    fashion = [f"FashionMNIST/raw/{name}" for name in MNIST]
    path = write_files(place, *mnist, *fashion)
    assert find_files(path).prefixes == ["FashionMNIST", "MNIST"]
    assert names_of_splits(path, "mnist") == {"train": mnist[:2], "test": mnist[2:]}


def test_names_that_differ_in_their_case_are_different_datasets(tmp_path: Path) -> None:
    path = write_files(tmp_path / "set.tar", "MNIST/train-images", "mnist/train-images")
    assert names_of_splits(path, "mnist") == {"train": ["mnist/train-images"]}
    assert names_of_splits(path, "MNIST") == {"train": ["MNIST/train-images"]}


def test_the_dataset_without_a_name_is_chosen_by_an_empty_prefix(place: Path) -> None:
    path = write_files(place, "train-images", "extra-train-images")
    assert names_of_splits(path, "") == {"train": ["train-images"]}


def test_the_exact_name_of_a_dataset_comes_first(place: Path) -> None:
    path = write_files(place, "mnist-train-images", "mnist-c-train-images")
    assert names_of_splits(path, "mnist") == {"train": ["mnist-train-images"]}


@pytest.mark.parametrize(
    ("prefix", "named"),
    [
        pytest.param(None, "", id="none-given"),
        pytest.param("emnist", "'emnist'", id="start-of-both"),
        pytest.param("digits", "'digits'", id="start-of-none"),
    ],
)
def test_the_choice_between_datasets_is_explained(
    prefix: str | None, named: str, place: Path
) -> None:
    path = write_files(place, *LETTERS, *DIGITS)
    choice = r"'emnist-digits', 'emnist-letters'.*prefix=\"emnist-"
    with pytest.raises(IdxError, match=choice) as error:
        names_of_splits(path, prefix)
    assert named in str(error.value)


# Several copies of one file


@pytest.mark.parametrize("compressed_first", [True, False])
def test_a_plain_file_is_taken_before_its_compressed_copy(
    compressed_first: bool, tmp_path: Path
) -> None:
    compressed = [f"{name}.gz" for name in MNIST]
    names = [*compressed, *MNIST] if compressed_first else [*MNIST, *compressed]
    assert names_of_splits(write_files(tmp_path / "set.tar", *names)) == BOTH_SPLITS


def test_a_file_in_a_folder_of_its_own_name_is_found(place: Path) -> None:
    nested = f"{TRAIN_IMAGES}/{TRAIN_IMAGES}"
    assert names_of_splits(write_files(place, nested)) == {"train": [nested]}


def test_a_file_beside_a_folder_of_its_own_name_is_taken(place: Path) -> None:
    nested = [f"{name}/{name}" for name in MNIST]
    direct = [name.replace("-idx", ".idx") for name in MNIST]
    splits = names_of_splits(write_files(place, *nested, *direct))
    assert splits == {"train": direct[:2], "test": direct[2:]}


# Any files


WORDS = ["train", "t10k", "test", "images", "labels", "image", "idx3", "ubyte", "emnist", "my"]
WORDS += ["extra", "-", ".", "_", "/", ".gz", "__MACOSX/", " "]
any_name = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map("".join)


@given(
    files=st.dictionaries(any_name, st.sampled_from([IMAGES, LABELS, VECTORS, b"x"]), max_size=8),
    prefix=st.one_of(st.none(), any_name),
)
@pytest.mark.filterwarnings("ignore:.*no images with names like theirs")
def test_any_files_are_matched_or_refused(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], prefix: str | None
) -> None:
    path = tmp_path_factory.mktemp("any") / "set.tar"
    path.write_bytes(make_tar(files))
    try:
        splits = find_files(path).splits(prefix)
    except IdxError:
        return
    used = []
    for found in splits.values():
        used += found.members
    if len(used) > 1:  # a single file is images, even if it is a vector of numbers
        for found in splits.values():
            assert files[found.images.name] in (IMAGES, VECTORS)
    assert len({member.name for member in used}) == len(used)


# The files of one split, which the user has named


@pytest.mark.parametrize(
    ("names", "images", "labels"),
    [
        pytest.param({"a": IMAGES, "b": LABELS}, "a", "b", id="in-their-order"),
        pytest.param({"b": LABELS, "a": IMAGES}, "a", "b", id="labels-first"),
        pytest.param({"b": VECTORS, "a": IMAGES}, "a", "b", id="labels-of-several-parts-first"),
        pytest.param({"labels": VECTORS, "a": VECTORS}, "a", "labels", id="named-labels-first"),
        pytest.param({"a": VECTORS, "b": VECTORS}, "a", "b", id="in-their-order-if-nothing-tells"),
    ],
)
def test_contents_and_names_tell_the_roles_of_a_pair(
    names: dict[str, bytes], images: str, labels: str, tmp_path: Path
) -> None:
    folder = write_archive(tmp_path / "folder", names)
    access = Access()
    files = []
    for name in names:
        (member,) = list_members(Location(str(folder / name)), access)
        files.append(read_listed(Listed(name, member), access))
    pair = find_pair(files)
    assert [Path(member.name).name for member in pair.members] == [images, labels]
