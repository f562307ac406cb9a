"""Local files are found as `datasets` finds them, or it is asked for them."""

import os
import re
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest
from datasets.data_files import FILES_TO_IGNORE, DataFilesList, sanitize_patterns
from hypothesis import given
from hypothesis import strategies as st

from mnist_idx.paths import find_data_files

NAMES = (
    "train-images",
    "train-labels",
    "test-images",
    "test-labels",
    "train-images (copy)",
    "Train-images",
    "train-images[1]",
    "train-images1",
    "train-ü",
    "train-?",
    ".train-hidden",
    "__train__",
    "README.md",
    "config.json",
    "folder/train-images",
    "folder/README.md",
    "folder/.hidden",
    "folder [a]/train-images",
    ".hidden/train-images",
    ".hidden/.train-images",
    "__special__/train-images",
    "__special__/.hidden/train-images",
    "deep/er/train-images",
    "train:images",
)
LINKS = {
    "train-link": "train-images",
    "train-broken": "nowhere",
    "train-folder": "folder",
    "linked": "folder",
    "train-chain": "train-link",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of empty files, links, a pipe and a folder with odd names."""
    base = tmp_path_factory.mktemp("base")
    for name in NAMES:
        (base / name).parent.mkdir(parents=True, exist_ok=True)
        (base / name).touch()
    for name, target in LINKS.items():
        (base / name).symlink_to(target)
    os.mkfifo(base / "train-pipe")
    (base / "train-directory").mkdir()
    return base


def found_by_datasets(data_files: Any, base: Path) -> dict[str, list[str]] | None:
    """The files of each split that `datasets` finds; None if it refuses them.

    Names of files that are there stand for themselves, whatever `datasets` takes them for.
    """
    found = {}
    try:
        for split, patterns in sanitize_patterns(data_files).items():
            found[split] = [file for pattern in patterns for file in files_of(pattern, base)]
    except Exception:
        return None
    return found


def files_of(pattern: str, base: Path) -> list[str]:
    """The files that one pattern means."""
    if (base / pattern).is_file():
        return [os.path.join(base, pattern)]
    if "[" in base.name:  # which `datasets` takes for a pattern
        return [str(path) for path in sorted(base.glob(pattern)) if path.is_file()]
    return list(DataFilesList.from_patterns([pattern], base_path=str(base)))


def assert_same_or_left(data_files: Any, base: Path) -> None:
    """We find what `datasets` finds, or leave it to `datasets`."""
    found = find_data_files(data_files, str(base))
    assert found is None or found == found_by_datasets(data_files, base)


def in_base(data_files: Any, base: Path) -> Any:
    """The same with "{base}" replaced by the folder, in each text of a list or a dict."""
    if isinstance(data_files, str):
        return data_files.replace("{base}", str(base))
    if isinstance(data_files, list):
        return [in_base(one, base) for one in data_files]
    return data_files


@pytest.mark.parametrize(
    "data_files",
    [
        pytest.param("train-images", id="name"),
        pytest.param(["train-labels", "train-images"], id="list"),
        pytest.param(("train-labels", "train-images"), id="tuple"),
        pytest.param({"train": "train-images", "test": "test-images"}, id="dict-of-names"),
        pytest.param(
            {"test": ["test-labels", "test-images"], "train": ["train-ü"]}, id="dict-of-lists"
        ),
        pytest.param(["train-images", "train-images"], id="twice-the-same"),
        pytest.param("train-*", id="pattern"),
        pytest.param(["test-*", "train-image*"], id="list-of-patterns"),
        pytest.param({"train": "train-l*", "test": ["test-i*", "test-l*"]}, id="dict-of-patterns"),
        pytest.param("te??-[il]*s", id="question-marks-and-letters"),
        pytest.param("[!TX]est-[!l]*", id="not-one-of-these-letters"),
        pytest.param(".train-hidden", id="hidden-file"),
        pytest.param(".train-*", id="pattern-of-hidden-files"),
        pytest.param(".hidden/*", id="in-a-hidden-folder"),
        pytest.param("__special__/train-*", id="in-a-special-folder"),
        pytest.param("folder/train-*", id="some-in-a-folder"),
        pytest.param("folder/*", id="all-in-a-folder"),
        pytest.param("folder/../train-images", id="up-and-down"),
        pytest.param("./train-images", id="dot-at-the-start"),
        pytest.param("folder//train-images", id="two-slashes"),
        pytest.param("linked/train-*", id="in-a-folder-that-is-a-link"),
        pytest.param("train-link", id="link"),
        pytest.param("train-[clf]*", id="pattern-of-links"),
        pytest.param("train-images (copy)", id="name-with-spaces"),
        pytest.param("*(copy)", id="pattern-of-names-with-spaces"),
        pytest.param("{base}/train-images", id="absolute-path"),
        pytest.param("{base}/folder/*", id="absolute-pattern"),
        pytest.param(["{base}/train-images", "train-labels"], id="absolute-and-relative"),
        pytest.param("README.md", id="file-to-ignore-by-its-name"),
        pytest.param({"train": "train-images", "test": []}, id="no-files-of-a-split"),
    ],
)
def test_local_files_are_found_without_datasets(data_files: Any, base: Path) -> None:
    data_files = in_base(data_files, base)
    expected = found_by_datasets(data_files, base)
    assert expected is not None
    assert find_data_files(data_files, str(base)) == expected


# The files are written out: some of it `datasets` refuses, some it takes for something else.
@pytest.mark.parametrize(
    ("data_files", "found"),
    [
        pytest.param("train-images[1]", {"train": ["train-images[1]"]}, id="name-with-brackets"),
        pytest.param("train-?", {"train": ["train-?"]}, id="name-with-a-question-mark"),
        pytest.param("train:images", {"train": ["train:images"]}, id="what-may-be-a-scheme"),
        pytest.param(
            "folder [a]/train-images",
            {"train": ["folder [a]/train-images"]},
            id="folder-with-brackets",
        ),
        pytest.param(
            "folder [a]/*",
            {"train": ["folder [a]/train-images"]},
            id="pattern-in-a-folder-with-brackets",
        ),
        pytest.param("file://{base}/train-%C3%BC", {"train": ["train-ü"]}, id="url-of-a-file"),
        pytest.param(Path("train-images"), {"train": ["train-images"]}, id="path-object"),
        pytest.param([Path("train-images")], {"train": ["train-images"]}, id="path-objects"),
        pytest.param({"test": Path("train-ü")}, {"test": ["train-ü"]}, id="dict-of-path-objects"),
        pytest.param(
            {"test": ("train-images", "train-labels")},
            {"test": ["train-images", "train-labels"]},
            id="dict-of-tuples",
        ),
        pytest.param(
            UserDict({"test": "train-labels"}),
            {"test": ["train-labels"]},
            id="mapping-that-is-no-dict",
        ),
        pytest.param(
            [{"split": "test", "path": "train-images"}],
            {"test": ["train-images"]},
            id="list-of-dicts",
        ),
        pytest.param(
            [
                {"split": "test", "path": ["train-labels", "train-images"]},
                {"split": "train", "path": "test-*"},
            ],
            {"test": ["train-labels", "train-images"], "train": ["test-images", "test-labels"]},
            id="list-of-dicts-of-two-splits",
        ),
    ],
)
def test_more_is_understood_than_by_datasets(
    data_files: Any, found: dict[str, list[str]], base: Path
) -> None:
    expected = {split: [str(base / name) for name in names] for split, names in found.items()}
    assert find_data_files(in_base(data_files, base), str(base)) == expected


def test_a_name_with_two_colons_is_found_by_a_pattern(tmp_path: Path) -> None:
    """`datasets` takes such a name for a chain of URLs."""
    (tmp_path / "a::b").touch()
    assert find_data_files("a*", str(tmp_path)) == {"train": [str(tmp_path / "a::b")]}
    assert find_data_files("a::b", str(tmp_path)) is None


# Some of it `datasets` finds, some it refuses.
@pytest.mark.parametrize(
    "data_files",
    [
        pytest.param("https://host/train-images", id="url"),
        pytest.param("zip://train-images::set.zip", id="chain-of-urls"),
        pytest.param("a::b", id="two-colons"),
        pytest.param(
            [{"split": "test", "path": "train-images"}, {"split": "test", "path": "train-ü"}],
            id="list-of-dicts-that-name-a-split-twice",
        ),
        pytest.param([{"path": "train-images"}], id="list-of-dicts-without-a-split"),
        pytest.param("*/train-images", id="pattern-of-folders"),
        pytest.param("**", id="any-folders"),
        pytest.param("**/train-images", id="any-folders-above"),
        pytest.param("train-broken", id="broken-link"),
        pytest.param("folder", id="folder"),
        pytest.param("train-pipe", id="pipe"),
        pytest.param("extra", id="missing"),
        pytest.param(["train-images", "extra"], id="missing-beside-another"),
        pytest.param("extra-*", id="pattern-of-nothing"),
        pytest.param("", id="empty-text"),
        pytest.param(None, id="none"),
        pytest.param(7, id="number"),
        pytest.param([7], id="list-of-numbers"),
        pytest.param(b"train-images", id="bytes"),
    ],
)
def test_what_else_may_be_meant_is_left_to_datasets(data_files: Any, base: Path) -> None:
    assert find_data_files(in_base(data_files, base), str(base)) is None


@pytest.mark.parametrize("name", [*NAMES, *LINKS])
def test_each_file_is_found_by_its_name_or_left(name: str, base: Path) -> None:
    assert_same_or_left(name, base)


@pytest.mark.parametrize("name", [*NAMES, *LINKS])
def test_each_file_is_found_by_its_path_or_left(name: str, base: Path) -> None:
    assert_same_or_left(str(base / name), base)


@pytest.mark.parametrize("data_files", ["train-images", "*", "train-*", ".*", "../train-*"])
@pytest.mark.parametrize("folder", ["folder", ".hidden", "__special__", "linked", "folder [a]"])
def test_the_base_may_be_any_folder(folder: str, data_files: str, base: Path) -> None:
    assert_same_or_left(data_files, base / folder)


@pytest.mark.parametrize("name", FILES_TO_IGNORE)
def test_patterns_pass_over_what_describes_a_dataset(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    (tmp_path / "images").touch()
    assert find_data_files("*", str(tmp_path)) == {"train": [str(tmp_path / "images")]}
    assert_same_or_left("*", tmp_path)
    assert_same_or_left(f"{name[:-1]}?", tmp_path)


PIECES = ["train", "-", "images", "labels", "*", "?", "[", "]", "!", "^", "i", "1", ".", "/", " "]
PIECES += ["folder", "hidden", "__", "special", "..", "README.md", "link", "(copy)", "a-z", "ü"]
patterns = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
# `datasets` takes two slashes at the start for the start of a URL.
relative_patterns = patterns.filter(lambda pattern: not pattern.startswith("/"))
names_with_a_wildcard = st.sampled_from(NAMES).map(lambda name: re.sub("[aeg]", "?", name, count=1))
one_file = relative_patterns | names_with_a_wildcard | st.sampled_from([*NAMES, *LINKS])
files_by_split = st.dictionaries(
    st.sampled_from(["train", "test", "a b"]),
    one_file | st.lists(one_file, max_size=2),
    max_size=2,
)


@given(data_files=one_file | st.lists(one_file, max_size=3) | files_by_split)
def test_any_pattern_means_what_it_means_to_datasets(data_files: Any, base: Path) -> None:
    assert_same_or_left(data_files, base)
