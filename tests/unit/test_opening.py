"""Local files are found as `datasets` finds them, or it is asked for them."""

import os
import re
from collections import UserDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets.data_files import FILES_TO_IGNORE, DataFilesList, sanitize_patterns
from hypothesis import given
from hypothesis import strategies as st
from idx_files import random_images, random_labels, to_idx

import mnist_idx
from mnist_idx import IdxError
from mnist_idx.fetching import InPlace
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
    "a::b",
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
    """The files as `datasets` finds them, but for names that are there: these are no patterns."""
    try:
        by_split = sanitize_patterns(data_files)
        return {
            split: [file for pattern in patterns for file in files_of(pattern, base)]
            for split, patterns in by_split.items()
        }
    except Exception:
        return None


def files_of(pattern: str, base: Path) -> list[str]:
    if (base / pattern).is_file():
        return [os.path.join(base, pattern)]
    if "[" in base.name:  # which `datasets` takes for a pattern
        return [str(path) for path in sorted(base.glob(pattern)) if path.is_file()]
    return list(DataFilesList.from_patterns([pattern], base_path=str(base)))


def assert_same_or_left(data_files: Any, base: Path) -> None:
    found = find_data_files(data_files, str(base))
    assert found is None or found == found_by_datasets(data_files, base)


# What needs nothing of `datasets`.
FOUND: dict[str, Callable[[Path], Any]] = {
    "name": lambda base: "train-images",
    "list": lambda base: ["train-labels", "train-images"],
    "tuple": lambda base: ("train-labels", "train-images"),
    "dict of names": lambda base: {"train": "train-images", "test": "test-images"},
    "dict of lists": lambda base: {"test": ["test-labels", "test-images"], "train": ["train-ü"]},
    "twice the same": lambda base: ["train-images", "train-images"],
    "pattern": lambda base: "train-*",
    "patterns": lambda base: ["test-*", "train-image*"],
    "dict of patterns": lambda base: {"train": "train-l*", "test": ["test-i*", "test-l*"]},
    "question marks": lambda base: "te??-[il]*s",
    "not one of these letters": lambda base: "[!TX]est-[!l]*",
    "hidden file": lambda base: ".train-hidden",
    "pattern of hidden files": lambda base: ".train-*",
    "hidden folder": lambda base: ".hidden/*",
    "special folder": lambda base: "__special__/train-*",
    "in a folder": lambda base: "folder/train-*",
    "all in a folder": lambda base: "folder/*",
    "up and down": lambda base: "folder/../train-images",
    "dots": lambda base: "./train-images",
    "two slashes": lambda base: "folder//train-images",
    "folder that is a link": lambda base: "linked/train-*",
    "link": lambda base: "train-link",
    "links": lambda base: "train-[clf]*",
    "spaces": lambda base: "train-images (copy)",
    "pattern with spaces": lambda base: "*(copy)",
    "absolute": lambda base: str(base / "train-images"),
    "absolute pattern": lambda base: str(base / "folder" / "*"),
    "absolute and relative": lambda base: [str(base / "train-images"), "train-labels"],
    "file to ignore, by its name": lambda base: "README.md",
    "nothing in a split": lambda base: {"train": "train-images", "test": []},
    "brackets": lambda base: "train-images[1]",
    "folder with brackets": lambda base: "folder [a]/train-images",
    "what may be a scheme": lambda base: "train:images",
}
# What `datasets` does not understand, and the same as it does.
UNDERSTOOD: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    "URL of a file": lambda base: ((base / "train-ü").as_uri(), str(base / "train-ü")),
    "path": lambda base: (base / "train-images", str(base / "train-images")),
    "paths": lambda base: ([Path("train-images")], ["train-images"]),
    "dict of paths": lambda base: ({"train": Path("train-ü")}, {"train": "train-ü"}),
    "dict of tuples": lambda base: (
        {"train": ("train-images", "train-labels")},
        {"train": ["train-images", "train-labels"]},
    ),
    "mapping that is no dict": lambda base: (
        UserDict({"test": "train-labels"}),
        {"test": "train-labels"},
    ),
    "list of dicts": lambda base: (
        [{"split": "test", "path": "train-images"}],
        {"test": "train-images"},
    ),
    "pattern in a folder with brackets": lambda base: (
        "folder [a]/*",
        "folder [a]/train-images",
    ),
}
# What is left to `datasets`, which refuses some of it.
LEFT: dict[str, Callable[[Path], Any]] = {
    "URL": lambda base: "https://host/train-images",
    "chain": lambda base: "zip://train-images::set.zip",
    "two colons": lambda base: "a::b",
    "pattern of folders": lambda base: "*/train-images",
    "any folders": lambda base: "**",
    "any folders above": lambda base: "**/train-images",
    "broken link": lambda base: "train-broken",
    "folder": lambda base: "folder",
    "pipe": lambda base: "train-pipe",
    "missing": lambda base: "extra",
    "missing beside others": lambda base: ["train-images", "extra"],
    "pattern of nothing": lambda base: "extra-*",
    "empty": lambda base: "",
    "nothing": lambda base: None,
    "number": lambda base: 7,
    "numbers": lambda base: [7],
    "bytes": lambda base: b"train-images",
}


@pytest.mark.parametrize("case", FOUND)
def test_what_is_found_without_datasets(case: str, base: Path) -> None:
    data_files = FOUND[case](base)
    expected = found_by_datasets(data_files, base)
    assert expected is not None
    assert find_data_files(data_files, str(base)) == expected


@pytest.mark.parametrize("case", UNDERSTOOD)
def test_what_is_understood_beyond_datasets(case: str, base: Path) -> None:
    given, same = UNDERSTOOD[case](base)
    expected = found_by_datasets(same, base)
    assert expected is not None
    assert find_data_files(given, str(base)) == expected


@pytest.mark.parametrize("case", LEFT)
def test_what_is_left_to_datasets(case: str, base: Path) -> None:
    assert find_data_files(LEFT[case](base), str(base)) is None


@pytest.mark.parametrize("name", [*NAMES, *LINKS])
def test_each_file_is_found_by_its_name_or_left(name: str, base: Path) -> None:
    assert_same_or_left(name, base)
    assert_same_or_left(str(base / name), base)


@pytest.mark.parametrize("folder", ["folder", ".hidden", "__special__", "linked", "folder [a]"])
def test_the_base_may_be_any_folder(folder: str, base: Path) -> None:
    for data_files in ("train-images", "*", "train-*", ".*", "../train-*"):
        assert_same_or_left(data_files, base / folder)


@pytest.mark.parametrize("name", FILES_TO_IGNORE)
def test_patterns_pass_over_what_describes_a_dataset(name: str, tmp_path: Path) -> None:
    for file in (name, "images"):
        (tmp_path / file).touch()
    assert find_data_files("*", str(tmp_path)) == {"train": [str(tmp_path / "images")]}
    assert_same_or_left("*", tmp_path)
    assert_same_or_left(f"{name[:-1]}?", tmp_path)


PIECES = ["train", "-", "images", "labels", "*", "?", "[", "]", "!", "^", "i", "1", ".", "/", " "]
PIECES += ["folder", "hidden", "__", "special", "..", "README.md", "link", "(copy)", "a-z", "ü"]
patterns = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)
# `datasets` takes two slashes at the start for the start of a URL.
relative = patterns.filter(lambda pattern: not pattern.startswith("/"))
names = st.sampled_from(NAMES).map(lambda name: re.sub("[aeg]", "?", name, count=1))
given_files = relative | names | st.sampled_from([*NAMES, *LINKS])


@given(
    data_files=st.one_of(
        given_files,
        st.lists(given_files, max_size=3),
        st.dictionaries(
            st.sampled_from(["train", "test", "a b"]),
            given_files | st.lists(given_files, max_size=2),
            max_size=2,
        ),
    )
)
def test_any_pattern_means_what_it_means_to_datasets(data_files: Any, base: Path) -> None:
    assert_same_or_left(data_files, base)


def test_a_file_is_loaded_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = random_images(5, 4, 3), random_labels(5)
    folder = tmp_path / "my files, 50%"
    folder.mkdir()
    (folder / "images").write_bytes(to_idx(images))
    (folder / "labels").write_bytes(to_idx(labels))
    names = ["images", "labels"]
    relative = [f"my files, 50%/{name}" for name in names]
    absolute = [str(folder / name) for name in names]
    patterns = [f"my [f]iles, 50%/{name}" for name in names]
    for data_files, working_folder in (
        (names, folder),
        ({"train": names}, folder),
        (relative, tmp_path),
        (absolute, tmp_path),
        (patterns, tmp_path),
        ("my files, 50%/*", tmp_path),
    ):
        monkeypatch.chdir(working_folder)
        found = mnist_idx.load_arrays("idxfolder", data_files=data_files)
        assert (found[0] == images).all()
        assert (found[1] == labels).all()


@pytest.mark.parametrize("data_files", [{}, [], {"train": []}])
def test_no_files_are_an_error(data_files: Any) -> None:
    with pytest.raises(IdxError, match="data_files"):
        mnist_idx.load_arrays("idxfolder", data_files=data_files)
    with pytest.raises(IdxError, match="data_files"):
        mnist_idx.IdxFolder(data_files=data_files).locate(InPlace())


def test_files_of_no_split_leave_those_of_the_folder(tmp_path: Path) -> None:
    images = random_images(5, 4, 3)
    for count in (3, 4):
        (tmp_path / "train-images").write_bytes(to_idx(images[:count]))
        options: dict[str, Any] = {"data_dir": str(tmp_path), "data_files": {}}
        assert (mnist_idx.load_arrays("idxfolder", **options)[0] == images[:count]).all()
        builder = mnist_idx.IdxFolder(**options, as_array=True, cache_dir=str(tmp_path / "cache"))
        builder.download_and_prepare()
        assert builder.as_dataset("train").num_rows == count
