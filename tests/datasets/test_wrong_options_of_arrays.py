"""`load_arrays` refuses a wrong option of local files, as it does where it asks `datasets`."""

from pathlib import Path
from typing import Any

import pytest
from idx_files import random_images, random_labels, to_idx, write_archive

from mnist_idx import IdxError, load_arrays


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images, labels = random_images(5, 4, 4), random_labels(5)
    files = {"train-images": to_idx(images), "train-labels": to_idx(labels)}
    return write_archive(tmp_path / "set", files)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        pytest.param("num_samples", 0, id="no-records"),
        pytest.param("num_samples", 2.5, id="half-a-record"),
        pytest.param("seed", 1.5, id="half-a-seed"),
        pytest.param("sampling", "last", id="unknown-sampling"),
        pytest.param("transpose", "yes", id="word-for-transpose"),
        pytest.param("label_names", ["cat", "cat"], id="same-name-twice"),
    ],
)
def test_a_wrong_option_is_named(option: str, value: Any, folder: Path) -> None:
    with pytest.raises(IdxError, match=option):
        load_arrays("idxfolder", data_dir=str(folder), **{option: value})


def test_an_unknown_config_is_refused_with_a_list_of_those_that_there_are() -> None:
    with pytest.raises(IdxError, match=r'no config "nosuch"\. The configs are mnist, '):
        load_arrays("mnist_idx", "nosuch")


def test_the_miniature_takes_no_folder(folder: Path) -> None:
    with pytest.raises(IdxError, match=r"^mnist_idx/tiny takes no data_dir=."):
        load_arrays("mnist_idx", "tiny", data_dir=str(folder))
