"""What file names stand for."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mnist_idx.errors import IdxError
from mnist_idx.filenames import (
    FoundFiles,
    ParsedName,
    find_splits,
    is_same_name,
    parse_filename,
    split_files,
)
from mnist_idx.members import Member

WORDS = ["train", "t10k", "test", "valid", "images", "labels", "image"]
WORDS += ["idx3", "ubyte", "idx2", "int", "emnist", "my", "extra"]
WORDS += ["-", ".", "_", "/", "\\", ".gz", "__MACOSX/", " "]
NAMES = st.text(max_size=30) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
FOUR = [
    f"{split}-{role}-ubyte"
    for split in ("train", "t10k")
    for role in ("images-idx3", "labels-idx1")
]
SPLITS = {"train": FOUR[:2], "test": FOUR[2:]}


def in_tar(*names: str) -> list[Member]:
    return [Member("set.tar", name, offset) for offset, name in enumerate(names)]


def found(names: list[str], prefix: str | None = None) -> dict[str, list[str]]:
    """Split -> names of images and labels, the same in a tar and in a folder."""
    in_folder = [Member(f"root/{name}", f"root/{name}") for name in names]
    tar, folder = (
        {
            split: [one.name.removeprefix("root/") for one in files[:2] if one]
            for split, files in splits.items()
        }
        for splits in (find_splits(in_tar(*names), prefix), find_splits(in_folder, prefix, "root"))
    )
    assert tar == folder
    return tar


PARSED: dict[str, tuple[str, str | None, str]] = {
    "train-images-idx3-ubyte": ("", "train", "images"),
    "data/t10k-labels.idx1-ubyte.gz": ("", "test", "labels"),
    "gzip/emnist-letters-test-images-idx3-ubyte.gz": ("gzip/emnist-letters", "test", "images"),
    "qmnist-train-labels-idx2-int.xz": ("qmnist", "train", "labels"),
    "validation/images.idx3-ubyte": ("", "validation", "images"),
    "validation\\images.idx3-ubyte": ("", "validation", "images"),
    "MNIST/raw/train-images-idx3-ubyte": ("MNIST", "train", "images"),
    "test/train-images": ("", "train", "images"),
    "train/test/images": ("", "test", "images"),
    "my_train/labels.idx": ("my_train", "train", "labels"),
    "train_labels.idx": ("", "train", "labels"),
    "train-image-labels-idx1-ubyte": ("", "train", "labels"),
    "images-dev.short.bz2": ("", "validation", "images"),
    "images-idx3-ubyte": ("", None, "images"),
    "../a/train-images": ("a", "train", "images"),
}
OTHERS = [
    "train.csv",
    "emnist-letters-mapping.txt",
    ".DS_Store",
    "__MACOSX/train-images-idx3-ubyte",
    "a.idx3-ubyte",
]
OTHERS += [
    "README.md",
    ".x/train-images",
    "train-images-idx3-ubyte.sha256",
    "preview/train-images.png",
]
UNUSABLE = [f"{FOUR[0]}{end}" for end in ("(1).gz", ".zip", ".zst", ".part", "-copy")] + [
    f"train-test-{FOUR[0]}"
]


@pytest.mark.parametrize("name", [*PARSED, "", "train-images-test", *OTHERS, *UNUSABLE])
def test_parse_filename(name: str) -> None:
    assert parse_filename(name) == (ParsedName(*PARSED[name]) if name in PARSED else None)


def test_is_same_name() -> None:
    published = "train-images-idx3-ubyte"
    same = [published, "data/train-images.idx3-ubyte.gz", "a\\Train_images idx3-ubyte.XZ"]
    others = [f"my-{published}", f"{published}.zip", "train-labels-idx1-ubyte"]
    assert [name for name in same + others if is_same_name(name, published)] == same


PATTERNS = [
    "{split}-{role}-idx3-ubyte",
    "{split}_{role}.idx",
    "{Split}-{Role}-idx3-ubyte.GZ",
    "{split}.{role}.idx",
]
PATTERNS += [
    "my-set-{split}-{role}-idx3-ubyte",
    "qmnist-{split}-{role}-idx2-int.gz",
    "{role}-{split}.idx3-ubyte",
]
PATTERNS += ["{split}/{role}-idx3-ubyte", "deep/er/{split}-{role}.idx3-ubyte"]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("roles", [("images", "labels"), ("image", "label"), ("img", "label")])
@pytest.mark.parametrize(
    "words", [("train", "t10k"), ("training", "Validation", "test"), ("valid", "testing")]
)
def test_names_in_the_wild(pattern: str, roles: tuple[str, str], words: tuple[str, ...]) -> None:
    expected = {}
    for word in words:
        split = {"tr": "train", "va": "validation"}.get(word[:2].lower(), "test")
        names = [
            pattern.format(split=word, Split=word.title(), role=role, Role=role.title())
            for role in roles
        ]
        expected[split] = names
    shuffled = [name for names in reversed(expected.values()) for name in names[::-1]]
    assert list(found(shuffled).items()) == list(expected.items())


@given(st.lists(NAMES, max_size=8), st.one_of(st.none(), NAMES), NAMES)
@example(["train-images", "train-labels", "extra-images"], None, "")
def test_any_names_are_matched_or_refused(names: list[str], prefix: str | None, root: str) -> None:
    members = in_tar(*names)
    try:
        splits = find_splits(members, prefix, root)
    except IdxError:
        return
    assert FoundFiles(members, root).prefixes
    used = [member for files in splits.values() for member in files[:2] if member is not None]
    assert len(set(used)) == len(used)
    assert set(used) <= set(members)


def test_names_tell_the_roles_in_a_split_else_the_order() -> None:
    for names in (["a", "b"], ["x/images-idx3", "x/labels-idx1"], ["labels", "other"]):
        assert [member.name for member in split_files(in_tar(*names))[:2]] == names
    images, labels = in_tar("x/images-idx3", "x/labels-idx1")
    assert split_files([labels, images])[:2] == (images, labels)
    assert split_files([labels])[:2] == (labels, None)
    with pytest.raises(IdxError, match="a, b, c: found 3 files"):
        split_files(in_tar("a", "b", "c"))


@pytest.mark.parametrize("name", UNUSABLE)
def test_names_that_almost_match_are_refused(name: str) -> None:
    with pytest.raises(IdxError, match=re.escape(f"{name} in set.tar")):
        found([name, *FOUR[1:]])


def test_other_files_are_ignored() -> None:
    assert found([*OTHERS, *FOUR]) == SPLITS
    names = ["digits-train-images", "letters-train-images", "letters-train-labels.zip"]
    assert found(names, "digits") == {"train": ["digits-train-images"]}
    with pytest.raises(IdxError, match=r"letters-train-labels\.zip"):
        found(names, "letters")


AMBIGUOUS = [
    ["one.idx", "two.idx"],
    ["images-idx3-ubyte", FOUR[0]],
    [f"file{number}" for number in range(25)],
]
AMBIGUOUS += [["train-images-idx3-ubyte", "train-images.idx3-ubyte", "train-labels-idx1-ubyte"]]


@pytest.mark.parametrize("names", AMBIGUOUS)
def test_ambiguous_names_are_listed(names: list[str]) -> None:
    with pytest.raises(IdxError, match=r"set\.tar: .*data_files=\{") as error:
        found(names)
    assert ", ".join(names[:20]) + (" and 5 more." if names[20:] else ".") in str(error.value)


def test_unusable_members_are_named() -> None:
    images, labels = in_tar(*FOUR[:2])
    link = labels._replace(problem="found a link")
    for members, problem in (([labels], "no images"), ([images, link], "found a link")):
        with pytest.raises(IdxError, match=rf"train-labels-idx1-ubyte in set\.tar: .*{problem}"):
            find_splits(members)


LETTERS, DIGITS = (
    [f"gzip/emnist-{which}-{name}" for name in FOUR] for which in ("letters", "digits")
)


def test_one_of_several_datasets_is_chosen_by_the_start_of_its_name() -> None:
    assert FoundFiles(in_tar(*LETTERS, *DIGITS)).prefixes == ["emnist-digits", "emnist-letters"]
    for prefix in ("emnist-digits", "EMNIST-d"):
        assert found([*LETTERS, *DIGITS], prefix) == {"train": DIGITS[:2], "test": DIGITS[2:]}
    assert found(["mnist-train-images", "mnist-c-train-images"], "mnist") == {
        "train": ["mnist-train-images"]
    }
    # As torchvision stores them.
    names = [f"{folder}/raw/{name}" for folder in ("MNIST", "FashionMNIST") for name in FOUR]
    assert FoundFiles(in_tar(*names)).prefixes == ["FashionMNIST", "MNIST"]
    assert found(names, "mnist") == {"train": names[:2], "test": names[2:4]}
    assert found(["a/b/train-images", "c/train-images"], "a/b") == {"train": ["a/b/train-images"]}


@pytest.mark.parametrize("prefix", [None, "emnist", "digits"])
def test_the_choice_between_datasets_is_explained(prefix: str | None) -> None:
    with pytest.raises(
        IdxError, match=r"set\.tar: .*'emnist-digits', 'emnist-letters'.*prefix=\"emnist-"
    ) as error:
        found([*LETTERS, *DIGITS], prefix)
    assert prefix is None or repr(prefix) in str(error.value)


def test_one_of_several_copies_is_chosen() -> None:
    compressed = [f"{name}.gz" for name in FOUR]
    assert found([*compressed, *FOUR]) == found([*FOUR, *compressed]) == SPLITS
    nested = f"{FOUR[0]}/{FOUR[0]}"
    assert found([nested]) == {"train": [nested]}
    # In a tar, a later member replaces an earlier one.
    assert find_splits(in_tar(FOUR[0], "other", FOUR[0]))["train"].images.offset == 2
