"""What names mean, taken by themselves; through `load_dataset` they are tested in test_anybody.py."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mnist_idx.idx import IdxError
from mnist_idx.names import Meaning, data_sets_of, pair_files, pair_members, read_name
from mnist_idx.stream import Locator

WORDS = [
    "train",
    "t10k",
    "test",
    "valid",
    "images",
    "labels",
    "image",
    "idx3",
    "ubyte",
    "idx2",
    "int",
    "emnist",
    "my",
    "extra",
]
NAMES = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from([*WORDS, *"-._/ \\", ".gz", "__MACOSX/"]), max_size=12).map("".join),
)


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("train-images-idx3-ubyte", ("", "train", "images")),
        ("data/t10k-labels.idx1-ubyte.gz", ("", "test", "labels")),
        ("gzip/emnist-letters-test-images-idx3-ubyte.gz", ("gzip/emnist-letters", "test", "images")),
        ("qmnist-train-labels-idx2-int.xz", ("qmnist", "train", "labels")),
        ("validation/images.idx3-ubyte", ("", "validation", "images")),
        ("MNIST/raw/train-images-idx3-ubyte", ("MNIST", "train", "images")),
        ("test/train-images", ("", "train", "images")),
        ("train_labels.idx", ("", "train", "labels")),
        ("train-image-labels-idx1-ubyte", ("", "train", "labels")),
        ("images-idx3-ubyte", ("", "", "images")),
    ],
)
def test_names_that_say_something(name, meaning):
    assert read_name(name) == Meaning(*meaning)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "README.md",
        "train.csv",
        "train-images.png",
        "train-images-idx3-ubyte.md5",
        "emnist-letters-mapping.txt",
        "._train-images-idx3-ubyte",
        "__MACOSX/train-images-idx3-ubyte",
        "train-test-images-idx3-ubyte",
        "a.idx3-ubyte",
    ],
)
def test_names_that_say_nothing(name):
    assert read_name(name) is None


@given(st.lists(NAMES, max_size=8), st.one_of(st.none(), NAMES), NAMES)
@example(["train-images", "train-labels", "extra-images"], None, "")
def test_any_names_are_paired_or_refused(names, data_set, root):
    members = [Locator("set.tar", name, number) for number, name in enumerate(names)]
    try:
        pairs = pair_members(members, data_set, root)
    except IdxError as error:
        assert "data_files=" in str(error) or "data_set=" in str(error)
        return
    assert data_sets_of(members, root)
    for images, labels in pairs.values():
        assert images in members
        assert labels is None or labels in members
    used = [member for pair in pairs.values() for member in pair if member is not None]
    assert len(set(used)) == len(used)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_any_files_of_a_split_are_paired_or_refused(names):
    files = [Locator(name, name) for name in names]
    try:
        pair = pair_files(files)
    except IdxError:
        assert len(names) > 2
    else:
        assert sorted(file.name for file in pair if file) == sorted(names)


def test_what_comes_later_in_a_tar_replaces():
    members = [Locator("set.tar", "train-images-idx3-ubyte", offset) for offset in (512, 4096)]
    assert pair_members(members)["train"][0].offset == 4096
