"""Crafted files end in an `IdxError`, soon and with little memory, or are read as they are."""

import gzip
from pathlib import Path
from typing import Any

import crafted
import pytest
from checks import check
from clients import traced_memory
from hypothesis import given
from hypothesis import strategies as st
from idx_files import random_images, to_idx, write_archive
from loading import MODES, refusal

from mnist_idx import streams

GOOD = {"images-idx3": to_idx(random_images(3, 4, 5)), "labels-idx1": to_idx(random_images(3) % 3)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("role", GOOD)
def test_bombs_behind_the_last_record_are_not_decompressed(
    role: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decompressed = 0
    read = streams.DecompressedFile.read_some

    def counting(self: Any, size: int) -> bytes:
        nonlocal decompressed
        data = read(self, size)
        decompressed += len(data)
        return data

    monkeypatch.setattr(streams.DecompressedFile, "read_some", counting)
    files = GOOD | {role: GOOD[role] + bytes(100 << 20)}
    packed = {f"train-{role}-ubyte": gzip.compress(content, 1) for role, content in files.items()}
    path = str(write_archive(tmp_path / "data", packed))
    with traced_memory(30 << 20):
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


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(data=st.data())
def test_any_file_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "file.tar"
    path.write_bytes(crafted.file(Drawn(data)))
    check(path)
