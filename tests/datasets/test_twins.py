"""Files that could stand for one another: what is read is of one place, or nothing is."""

import gzip
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from idx_files import make_tar, random_images, to_idx, write_archive
from loading import MODES, read_all

import mnist_idx
from mnist_idx import IdxError, write_idx

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
each_mode = pytest.mark.parametrize("mode", MODES)


def content(seed: int, count: int = 5) -> dict[str, bytes]:
    return {
        IMAGES: to_idx(random_images(count, 3, 3, seed=seed)),
        LABELS: to_idx(np.full(count, seed, np.uint8)),
    }


def seeds(mode: str, **options: Any) -> set[int]:
    """Which contents are loaded; their images and labels agree."""
    images, labels = read_all(mode, "idxfolder", splits=["train"], **options)["train"]
    assert labels is not None
    for seed in set(labels.tolist()):
        found = images[labels == seed]
        np.testing.assert_array_equal(found, random_images(len(found), 3, 3, seed=seed))
    return set(labels.tolist())


@each_mode
@pytest.mark.parametrize("forms", [("a.tar", "b.tar"), ("a.tar", "stored.zip")])
def test_several_archives_for_one_split_are_refused(
    forms: tuple[str, str], mode: str, tmp_path: Path
) -> None:
    places = [str(write_archive(tmp_path / form, content(seed))) for seed, form in enumerate(forms)]
    with pytest.raises(IdxError, match="cannot tell which file is which"):
        seeds(mode, data_files={"train": places})


@each_mode
def test_a_plain_file_is_not_paired_with_labels_of_another_copy(mode: str, tmp_path: Path) -> None:
    packed = {f"{name}.gz": gzip.compress(data) for name, data in content(1).items()}
    folder = write_archive(tmp_path / "folder", packed | {IMAGES: content(2)[IMAGES]})
    assert seeds(mode, data_dir=str(folder)) == {1}


@each_mode
@pytest.mark.parametrize("form", ["zip://a.tar::{}", "zip://a.tar::file://{}"])
def test_an_archive_in_a_local_archive_is_loaded_anew_when_it_changes(
    form: str, mode: str, tmp_path: Path
) -> None:
    for seed in (1, 2):
        path = write_archive(tmp_path / "stored.zip", {"a.tar": make_tar(content(seed))})
        assert seeds(mode, data_dir=form.format(path), cache_dir=str(tmp_path / "cache")) == {seed}


@each_mode
def test_a_relative_archive_in_a_chain_is_that_of_the_working_folder(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        (tmp_path / str(seed)).mkdir()
        write_archive(tmp_path / str(seed) / "stored.zip", {"a.tar": make_tar(content(seed))})
        monkeypatch.chdir(tmp_path / str(seed))
        assert seeds(
            mode, data_dir="zip://a.tar::stored.zip", cache_dir=str(tmp_path / "cache")
        ) == {seed}


def test_names_that_differ_in_case_only_are_chosen_as_they_are_written(tmp_path: Path) -> None:
    files = {
        f"{name}-{file}": data
        for name, seed in (("A", 1), ("a", 2))
        for file, data in content(seed).items()
    }
    folder = write_archive(tmp_path / "folder", files)
    for name, seed in (("A", 1), ("a", 2)):
        assert seeds("arrays", data_dir=str(folder), prefix=name) == {seed}


def classes(*names: str) -> datasets.Dataset:
    features = datasets.Features(
        {"image": datasets.Image(), "label": datasets.ClassLabel(names=list(names))}
    )
    return datasets.Dataset.from_dict(
        {"image": [random_images(1, 3, 3)[0]], "label": [0]}, features
    )


def test_splits_whose_classes_have_other_numbers_are_not_written(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="other classes in 'label' than 'train'"):
        write_idx({"train": classes("cat", "dog"), "test": classes("dog", "cat")}, tmp_path / "out")
    write_idx({"train": classes("cat", "dog"), "test": classes("cat", "dog")}, tmp_path / "out")


@pytest.mark.parametrize("kind", ["bool", "float16", "binary", "date32", "time32[s]"])
def test_features_that_lose_labels_are_refused(kind: str, tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "folder", content(1))
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value(kind)})
    for streaming in (False, True):
        options = {"data_dir": str(folder), "features": features, "streaming": streaming}
        with pytest.raises(IdxError, match="features="):
            datasets.load_dataset("idxfolder", **options)
    with pytest.raises(IdxError, match="features="):
        datasets.load_dataset("idxfolder", data_dir=str(folder), features=dict(features))


def test_an_empty_split_has_the_shape_of_the_others(tmp_path: Path) -> None:
    data = classes("cat", "dog")
    write_idx({"train": data, "test": data.select([])}, tmp_path / "out")
    images, labels = mnist_idx.load_arrays(
        "idxfolder", data_dir=str(tmp_path / "out"), split="test"
    )
    assert (images.shape, labels.shape) == ((0, 3, 3), (0,))  # type: ignore[union-attr]
    assert (
        len(datasets.load_dataset("idxfolder", data_dir=str(tmp_path / "out"), split="train")) == 1
    )
