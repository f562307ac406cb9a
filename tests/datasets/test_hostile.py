"""Crafted files end in an `IdxError`, soon and with little memory, or are read as they are."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path

import crafted
import pytest
from checks import check
from clients import traced_memory
from hypothesis import given
from hypothesis import strategies as st
from idx_files import TRAIN_IMAGES, TRAIN_LABELS, random_images, to_idx, write_archive
from loading import MODES, refusal

MIB = 1 << 20
IMAGES = to_idx(random_images(3, 4, 5))
LABELS = to_idx(random_images(3) % 3)


def gzip_with_bomb(content: bytes) -> bytes:
    """Gzip of content, and of 100 MiB of zeros behind it."""
    return gzip.compress(content + bytes(100 * MIB), 1)


def gzip_with_trap(content: bytes) -> bytes:
    """Gzip of content, and of a part of 1 MiB of zeros behind it: what then follows is damaged.

    Who decompresses as far as that gets an error that says so.
    """
    deflate = zlib.compressobj(wbits=31)
    start = deflate.compress(content + bytes(MIB)) + deflate.flush(zlib.Z_FULL_FLUSH)
    return start + b"\xff" * 1000  # a block of a type that does not exist


def test_the_trap_is_sprung_by_who_decompresses_it() -> None:
    trap = gzip_with_trap(IMAGES)
    assert zlib.decompressobj(wbits=31).decompress(trap, MIB) == IMAGES + bytes(MIB - len(IMAGES))
    with pytest.raises(zlib.error):
        zlib.decompressobj(wbits=31).decompress(trap)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "pack",
    [
        pytest.param(gzip_with_bomb, id="bomb"),
        pytest.param(gzip_with_trap, id="damage-behind-1-MiB"),
    ],
)
@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param(TRAIN_IMAGES, IMAGES, id="behind-the-images"),
        pytest.param(TRAIN_LABELS, LABELS, id="behind-the-labels"),
    ],
)
def test_what_follows_the_last_record_is_not_decompressed(
    name: str, content: bytes, pack: Callable[[bytes], bytes], mode: str, tmp_path: Path
) -> None:
    files = {TRAIN_IMAGES: gzip.compress(IMAGES), TRAIN_LABELS: gzip.compress(LABELS)}
    folder = write_archive(tmp_path / "data", {**files, name: pack(content)})
    with traced_memory(30 * MIB):
        message = refusal(mode, "idxfolder", data_dir=str(folder))
    assert "more data follows" in message


class Drawn:
    """Lets `crafted` draw from Hypothesis."""

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
