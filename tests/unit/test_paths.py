"""What paths mean, also where they are those of Windows."""

import ntpath
import os
from types import SimpleNamespace

import pytest

from mnist_idx import paths


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let paths be those of Windows."""
    system = SimpleNamespace(name="nt", path=ntpath, fspath=os.fspath)
    monkeypatch.setattr(paths, "os", system)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("url", "path"),
    [
        pytest.param("file:///C:/data/a%20b.tar", "C:/data/a b.tar", id="url"),
        pytest.param("file://localhost/C:/data", "C:/data", id="url-with-a-host"),
        pytest.param("file://C:/data", "C:/data", id="url-without-a-host"),
        pytest.param(r"C:\data\set.tar", r"C:\data\set.tar", id="path"),
    ],
)
def test_a_url_of_a_local_file_of_windows(url: str, path: str) -> None:
    assert paths.local_path(url) == path
    assert not paths.is_remote(url)


@pytest.mark.usefixtures("windows")
@pytest.mark.parametrize(
    ("given", "below"),
    [
        pytest.param([r"C:\set\train\a", r"C:\set\test\b"], [r"train\a", r"test\b"], id="a-drive"),
        pytest.param(["C:/set/train/a", r"C:\set\b"], [r"train\a", "b"], id="both-slashes"),
        pytest.param([r"C:\set\a", r"D:\set\b"], [r"C:\set\a", r"D:\set\b"], id="two-drives"),
    ],
)
def test_paths_of_windows_below_their_common_folder(given: list[str], below: list[str]) -> None:
    assert paths.below_common_folder(given) == below


@pytest.mark.parametrize(
    ("given", "below"),
    [
        pytest.param(["set/train/a", "set/test/b"], ["train/a", "test/b"], id="a-folder"),
        pytest.param(["set/train/a"], ["set/train/a"], id="single-path"),
        pytest.param(["set/a", "set/a"], ["", ""], id="the-same-path-twice"),
        pytest.param(["https://host/a", "set/b"], ["https://host/a", "set/b"], id="url-and-path"),
    ],
)
def test_paths_below_their_common_folder(given: list[str], below: list[str]) -> None:
    assert [path.replace(os.sep, "/") for path in paths.below_common_folder(given)] == below
