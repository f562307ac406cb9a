"""Crafted files end in an `IdxError`, soon and with little memory, or are read as they are."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crafted
import pytest
from checks import check, refusing
from clients import traced_memory
from hypothesis import given
from hypothesis import strategies as st
from idx_files import make_tar, random_images, to_idx, write_archive
from loading import MODES, refusal

import mnist_idx
from mnist_idx import storage

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
GOOD = {"images": to_idx(random_images(3, 4, 5)), "labels": to_idx(random_images(3) % 3)}
# A hostile file must not take more than an ordinary one, and a margin.
MEMORY = 30 << 20
MANY_LABELS = struct.pack(">HBBI", 0, 8, 1, (1 << 32) - 1)
MANY_IMAGES = struct.pack(">HBB3I", 0, 8, 3, (1 << 32) - 1, 28, 28)
each_mode = pytest.mark.parametrize("mode", MODES)


def write(folder: Path, images: bytes, labels: bytes) -> str:
    return str(write_archive(folder / "data", {IMAGES: images, LABELS: labels}))


@each_mode
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("images", [MANY_IMAGES, GOOD["images"]], ids=["images", "labels"])
def test_announced_records_take_no_memory(
    images: bytes, compress: Callable[[bytes], bytes], mode: str, tmp_path: Path
) -> None:
    path = write(tmp_path, compress(images + bytes(100)), compress(MANY_LABELS + bytes(100)))
    with traced_memory(MEMORY):
        assert path in refusal(mode, "idxfolder", data_dir=path)


@each_mode
@pytest.mark.parametrize("role", GOOD)
def test_bombs_behind_the_last_record_are_not_decompressed(
    role: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decompressed = 0
    read = storage.DecompressedFile.read

    def counting(self: Any, size: int = -1, /) -> bytes:
        nonlocal decompressed
        data = read(self, size)
        decompressed += len(data)
        return data

    monkeypatch.setattr(storage.DecompressedFile, "read", counting)
    files = GOOD | {role: GOOD[role] + bytes(100 << 20)}
    path = write(tmp_path, *(gzip.compress(content, 1) for content in files.values()))
    with traced_memory(MEMORY):
        assert "more data follows" in refusal(mode, "idxfolder", data_dir=path)
    assert decompressed < 1 << 20


class Drawn:
    """Lets `crafted` draw from hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def number(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def bytes(self, most: int) -> bytes:
        return self._data.draw(st.binary(max_size=min(most, 200)))


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "file.tar"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(data=st.data())
def test_any_file_is_read_or_refused(scratch: Path, data: st.DataObject) -> None:
    scratch.write_bytes(crafted.file(Drawn(data)))
    check(scratch)


@given(data=st.data())
def test_any_pair_of_members_is_read_or_refused(scratch: Path, data: st.DataObject) -> None:
    source = Drawn(data)
    scratch.write_bytes(make_tar({IMAGES: crafted.member(source), LABELS: crafted.member(source)}))
    with refusing(scratch):
        images, labels = mnist_idx.load_arrays("idxfolder", data_dir=str(scratch))
        assert labels is not None
        assert len(images) == len(labels)
