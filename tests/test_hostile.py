"""Crafted files end in an `IdxError`, soon and with little memory, or are read as they are."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crafted
import pytest
from clients import traced_memory
from hypothesis import given
from hypothesis import strategies as st
from idx_files import make_tar, random_images, to_idx, write_archive
from loading import MODES, refusal

import mnist_idx
from mnist_idx import archive, idx, storage

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
# A hostile file must not take more than an ordinary one, and a margin.
MEMORY = 30 << 20
MOST = (1 << 32) - 1
each_mode = pytest.mark.parametrize("mode", MODES)
Write = Callable[[bytes, bytes], str]


def header(*shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


GOOD = to_idx(random_images(3, 4, 5)), to_idx(random_images(3) % 3)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(images: bytes, labels: bytes) -> str:
        return str(write_archive(tmp_path / "data", {IMAGES: images, LABELS: labels}))

    return write


HUGE = {"images": (header(MOST, 28, 28), header(MOST)), "labels": (GOOD[0], header(MOST))}


@each_mode
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("kind", HUGE)
def test_announced_records_take_no_memory(
    kind: str, compress: Callable[[bytes], bytes], mode: str, write: Write
) -> None:
    path = write(*(compress(content + bytes(100)) for content in HUGE[kind]))
    with traced_memory(MEMORY):
        assert path in refusal(mode, "idxfolder", data_dir=path)


@each_mode
@pytest.mark.parametrize("role", ["images", "labels"])
def test_bombs_behind_the_last_record_are_not_decompressed(
    role: str, mode: str, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    decompressed = 0
    read = storage.DecompressedFile.read

    def counting(self: Any, size: int = -1, /) -> bytes:
        nonlocal decompressed
        data = read(self, size)
        decompressed += len(data)
        return data

    monkeypatch.setattr(storage.DecompressedFile, "read", counting)
    files = [gzip.compress(content) for content in GOOD]
    files[role == "labels"] = gzip.compress(GOOD[role == "labels"] + bytes(100 << 20), 1)
    with traced_memory(MEMORY):
        assert "more data follows" in refusal(mode, "idxfolder", data_dir=write(*files))
    assert decompressed < 1 << 20


# Properties


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
    try:
        members = archive.list_members(str(scratch))
    except mnist_idx.IdxError as error:
        assert str(scratch) in str(error)
        return
    for member in members:
        try:
            with storage.open_member(member) as stream:
                for _ in idx.iter_batches(stream, idx.read_header(stream, member.title), member.title):
                    pass
        except mnist_idx.IdxError as error:
            assert str(scratch) in str(error)


@given(data=st.data())
def test_any_pair_of_members_is_read_or_refused(scratch: Path, data: st.DataObject) -> None:
    source = Drawn(data)
    scratch.write_bytes(make_tar({IMAGES: crafted.member(source), LABELS: crafted.member(source)}))
    try:
        images, labels = mnist_idx.load_arrays("idxfolder", data_dir=str(scratch))
        assert labels is not None
        assert len(images) == len(labels)
    except mnist_idx.IdxError as error:
        assert str(scratch) in str(error)
