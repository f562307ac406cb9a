"""`data_files=` of local files, loaded without `datasets` and with it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import random_images, random_labels, to_idx

import mnist_idx
from mnist_idx import IdxError
from mnist_idx.fetching import InPlace


@pytest.mark.parametrize(
    ("data_files", "working_folder"),
    [
        pytest.param(["images", "labels"], "my files, 50%", id="names"),
        pytest.param({"train": ["images", "labels"]}, "my files, 50%", id="names-of-a-split"),
        pytest.param(["my files, 50%/images", "my files, 50%/labels"], ".", id="relative-paths"),
        pytest.param(
            ["{here}/my files, 50%/images", "{here}/my files, 50%/labels"], ".", id="absolute-paths"
        ),
        pytest.param(
            ["my [f]iles, 50%/images", "my [f]iles, 50%/labels"], ".", id="pattern-of-the-folder"
        ),
        pytest.param("my files, 50%/*", ".", id="pattern-of-all-files"),
    ],
)
def test_a_file_is_loaded_however_it_is_named(
    data_files: Any, working_folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels = random_images(5, 4, 3), random_labels(5)
    folder = tmp_path / "my files, 50%"
    folder.mkdir()
    (folder / "images").write_bytes(to_idx(images))
    (folder / "labels").write_bytes(to_idx(labels))
    monkeypatch.chdir(tmp_path / working_folder)
    if isinstance(data_files, list):
        data_files = [path.format(here=tmp_path) for path in data_files]
    found = mnist_idx.load_arrays("idxfolder", data_files=data_files)
    np.testing.assert_array_equal(found[0], images)
    np.testing.assert_array_equal(found[1], labels)


@pytest.mark.parametrize(
    "data_files",
    [
        pytest.param({}, id="empty-dict"),
        pytest.param([], id="empty-list"),
        pytest.param({"train": []}, id="split-without-files"),
    ],
)
def test_no_files_are_an_error(data_files: Any) -> None:
    with pytest.raises(IdxError, match="data_files"):
        mnist_idx.load_arrays("idxfolder", data_files=data_files)
    with pytest.raises(IdxError, match="data_files"):
        mnist_idx.IdxFolder(data_files=data_files).locate(InPlace())


def test_files_of_no_split_leave_those_of_the_folder(tmp_path: Path) -> None:
    images = random_images(5, 4, 3)
    (tmp_path / "train-images").write_bytes(to_idx(images))
    options: dict[str, Any] = {"data_dir": str(tmp_path), "data_files": {}}
    found, _ = mnist_idx.load_arrays("idxfolder", **options)
    np.testing.assert_array_equal(found, images)
    builder = mnist_idx.IdxFolder(**options, cache_dir=str(tmp_path / "cache"))
    builder.download_and_prepare()
    assert builder.as_dataset("train").num_rows == 5


def test_the_folder_is_loaded_anew_when_its_files_change(tmp_path: Path) -> None:
    images = random_images(5, 4, 3)
    for count in (3, 4):
        (tmp_path / "train-images").write_bytes(to_idx(images[:count]))
        options: dict[str, Any] = {"data_dir": str(tmp_path), "data_files": {}, "as_array": True}
        builder = mnist_idx.IdxFolder(**options, cache_dir=str(tmp_path / "cache"))
        builder.download_and_prepare()
        assert builder.as_dataset("train").num_rows == count
