"""What was read of a file never becomes part of the file that takes its place."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from http_server import Server
from idx_files import (
    PACKINGS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import assert_same, read_all

from mnist_idx import IdxError, load_arrays
from mnist_idx.archive import Location, list_members
from mnist_idx.members import Access

IMAGES, LABELS = random_images(800, 28, 28), random_labels(800)
TAR = make_tar({TRAIN_IMAGES: to_idx(IMAGES), TRAIN_LABELS: to_idx(LABELS)})
PACKINGS_OF_TARS = [packing for packing in PACKINGS if packing]  # ".gz", for example
each_packing = pytest.mark.parametrize("packing", PACKINGS_OF_TARS, ids="tar{}".format)


def damaged(content: bytes) -> bytes:
    """The same bytes but for one in the middle, which is a pixel where pixels are stored."""
    changed = bytearray(content)
    changed[len(content) // 2] ^= 0xFF
    return bytes(changed)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["prepared", "arrays"])
@each_packing
def test_a_download_after_a_damaged_one_is_read_from_its_start(
    packing: str, mode: str, serve: Callable[..., Server], tmp_path: Path
) -> None:
    good = PACKINGS[packing](TAR)
    path = f"/set.tar{packing}"
    server = serve({path: damaged(good)})

    def heal_after_the_first_download() -> None:
        if any(request.sent > len(good) // 2 for request in list(server.requests)):
            server.put(path, good)

    server.behave(path, before=heal_after_the_first_download)
    options = {"data_dir": server.url(path), "cache_dir": str(tmp_path / "cache")}
    found = read_all(mode, "idxfolder", splits=["train"], **options)
    assert_same(found, {"train": (IMAGES, LABELS)})
    again = read_all("arrays", "idxfolder", splits=["train"], **options)
    assert_same(again, {"train": (IMAGES, LABELS)})


@each_packing
def test_an_archive_that_takes_the_place_of_another_is_listed_anew(
    packing: str, tmp_path: Path
) -> None:
    access = Access()
    path = tmp_path / f"set.tar{packing}"
    for name in ("one", "two"):
        new = tmp_path / "new"
        new.write_bytes(PACKINGS[packing](make_tar({name: to_idx(LABELS)})))
        new.replace(path)
        members = list_members(Location(str(path)), access)
        assert [member.name for member in members] == [name]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="all-in-order"),
        pytest.param({"seed": 3}, id="all-shuffled"),
        pytest.param({"num_samples": 5, "sampling": "uniform"}, id="five-of-them"),
    ],
)
def test_an_error_has_the_number_of_the_record_in_the_file(
    options: dict[str, Any], tmp_path: Path
) -> None:
    images, labels = IMAGES[:20], np.full(20, 2, np.uint8)
    files = {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(labels)}
    folder = str(write_archive(tmp_path / "folder", files))
    with pytest.raises(IdxError) as caught:
        load_arrays("idxfolder", data_dir=folder, label_names=["a", "b"], **options)
    match = re.search(r"record (\d+) has the label 2, expected 0 to 1", str(caught.value))
    assert match is not None, str(caught.value)
    selected, _ = load_arrays("idxfolder", data_dir=folder, **options)
    assert np.array_equal(selected[0], images[int(match[1])])
