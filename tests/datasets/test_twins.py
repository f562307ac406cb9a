"""Files that could stand for one another: what is read is of one place, or nothing is."""

import gzip
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    make_tar,
    random_images,
    to_idx,
    write_archive,
)
from loading import MODES, read_all

import mnist_idx
from mnist_idx import IdxError, write_idx

each_mode = pytest.mark.parametrize("mode", MODES)


def files_of(seed: int) -> dict[str, bytes]:
    """The files of a split of five records. Its labels are the seed."""
    return {
        TRAIN_IMAGES: to_idx(random_images(5, 3, 3, seed=seed)),
        TRAIN_LABELS: to_idx(np.full(5, seed, np.uint8)),
    }


def seeds_loaded(mode: str, **options: Any) -> set[int]:
    """The seeds of the records that are loaded; asserts that images and labels agree."""
    images, labels = read_all(mode, "idxfolder", splits=["train"], **options)["train"]
    assert labels is not None
    seeds = set(labels.tolist())
    for seed in seeds:
        found = images[labels == seed]
        np.testing.assert_array_equal(found, random_images(len(found), 3, 3, seed=seed))
    return seeds


@each_mode
@pytest.mark.parametrize("second", ["b.tar", "stored.zip"], ids=["two-tars", "a-tar-and-a-zip"])
def test_several_archives_for_one_split_are_refused(second: str, mode: str, tmp_path: Path) -> None:
    places = [
        str(write_archive(tmp_path / "a.tar", files_of(0))),
        str(write_archive(tmp_path / second, files_of(1))),
    ]
    with pytest.raises(IdxError, match="found two files for the images of 'train'"):
        read_all(mode, "idxfolder", data_files={"train": places})


@each_mode
def test_a_plain_file_is_not_paired_with_labels_of_another_copy(mode: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for name, content in files_of(1).items():
        write_archive(folder, {f"{name}.gz": gzip.compress(content)})
    write_archive(folder, {TRAIN_IMAGES: files_of(2)[TRAIN_IMAGES]})
    assert seeds_loaded(mode, data_dir=str(folder)) == {1}


@each_mode
@pytest.mark.parametrize(
    "chain",
    [
        pytest.param("zip://a.tar::{}", id="path"),
        pytest.param("zip://a.tar::file://{}", id="file-url"),
    ],
)
def test_an_archive_in_a_local_archive_is_loaded_anew_when_it_changes(
    chain: str, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "stored.zip"
    options = {"data_dir": chain.format(path), "cache_dir": str(tmp_path / "cache")}
    write_archive(path, {"a.tar": make_tar(files_of(1))})
    assert seeds_loaded(mode, **options) == {1}
    write_archive(path, {"a.tar": make_tar(files_of(2))})
    assert seeds_loaded(mode, **options) == {2}


@each_mode
def test_a_relative_archive_in_a_chain_is_that_of_the_working_folder(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"data_dir": "zip://a.tar::stored.zip", "cache_dir": str(tmp_path / "cache")}
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        folder.mkdir()
        write_archive(folder / "stored.zip", {"a.tar": make_tar(files_of(seed))})
        monkeypatch.chdir(folder)
        assert seeds_loaded(mode, **options) == {seed}


@pytest.mark.parametrize(
    ("prefix", "seed"),
    [pytest.param("A", 1, id="capital"), pytest.param("a", 2, id="small-letter")],
)
def test_names_that_differ_in_case_only_are_chosen_as_they_are_written(
    prefix: str, seed: int, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    for name, content in files_of(1).items():
        write_archive(folder, {f"A-{name}": content})
    for name, content in files_of(2).items():
        write_archive(folder, {f"a-{name}": content})
    assert seeds_loaded("arrays", data_dir=str(folder), prefix=prefix) == {seed}


def one_picture(*classes: str) -> datasets.Dataset:
    """A dataset of one picture, of the first of the classes."""
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(classes))}
    )
    content = {"image": [random_images(1, 3, 3)[0]], "label": [0]}
    return datasets.Dataset.from_dict(content, features)


def test_splits_whose_classes_have_other_numbers_are_not_written(tmp_path: Path) -> None:
    train, test = one_picture("cat", "dog"), one_picture("dog", "cat")
    with pytest.raises(IdxError, match="other classes in 'label' than 'train'"):
        write_idx({"train": train, "test": test}, tmp_path / "out")


def test_splits_whose_classes_have_the_same_numbers_are_written(tmp_path: Path) -> None:
    train, test = one_picture("cat", "dog"), one_picture("cat", "dog")
    write_idx({"train": train, "test": test}, tmp_path / "out")
    assert len(mnist_idx.load_arrays("idxfolder", data_dir=str(tmp_path / "out"))[0]) == 1


@pytest.mark.parametrize("kind", ["bool", "float16", "binary", "date32", "time32[s]"])
def test_features_that_lose_labels_are_refused(kind: str, tmp_path: Path) -> None:
    folder = str(write_archive(tmp_path / "folder", files_of(1)))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value(kind)})
    with pytest.raises(IdxError, match="features="):
        datasets.load_dataset("idxfolder", data_dir=folder, features=features)
    with pytest.raises(IdxError, match="features="):
        datasets.load_dataset("idxfolder", data_dir=folder, features=features, streaming=True)
    with pytest.raises(IdxError, match="features="):
        datasets.load_dataset("idxfolder", data_dir=folder, features=dict(features))


def test_an_empty_split_has_the_shape_of_the_others(tmp_path: Path) -> None:
    train = one_picture("cat", "dog")
    write_idx({"train": train, "test": train.select([])}, tmp_path / "out")
    data_dir = str(tmp_path / "out")
    images, labels = mnist_idx.load_arrays("idxfolder", data_dir=data_dir, split="test")
    assert labels is not None
    assert images.shape == (0, 3, 3)
    assert labels.shape == (0,)
    assert len(datasets.load_dataset("idxfolder", data_dir=data_dir, split="train")) == 1
