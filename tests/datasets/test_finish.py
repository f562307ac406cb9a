"""Checksums are checked at the end of what they cover, by `finish`: not earlier, and not never."""

import hashlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from idx_files import TEST_IMAGES, four_files, random_images, random_labels, write_archive
from loading import MODES, refusal
from packers import PACKERS, deflate

from mnist_idx import load_arrays
from mnist_idx.archive import Location, list_members
from mnist_idx.catalog import DATASETS
from mnist_idx.compressions import COMPRESSIONS, DEFLATE
from mnist_idx.errors import DamagedError
from mnist_idx.idx import IdxFile
from mnist_idx.members import Access, open_member, open_stored, read_to_end, verify_member
from mnist_idx.streams import (
    DecompressedFile,
    FileSlice,
    HashedFile,
    LocalFile,
    Stream,
    WrappedFile,
    read_fully,
)

CONTENT = bytes(range(256)) * 40
GZIP = PACKERS["gzip"].pack(CONTENT)
WRONG_SHA256 = "0" * 64
FILES = four_files(
    (random_images(7, 5, 4), random_labels(7)),
    (random_images(6, 5, 4, seed=1), random_labels(6, seed=1)),
)
Open = Callable[[bytes], LocalFile]


def flipped(data: bytes, position: int) -> bytes:
    position %= len(data)
    return data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :]


# One stream


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    def opened(data: bytes) -> LocalFile:
        (tmp_path / "file").write_bytes(data)
        return LocalFile(str(tmp_path / "file"))

    return opened


def gunzipped(file: Stream) -> Stream:
    return DecompressedFile(file, COMPRESSIONS["gzip"], "file")


def inflated(file: Stream) -> Stream:
    return DecompressedFile(file, DEFLATE, "file")


def hashed(file: Stream, algorithm: str, digest: str) -> Stream:
    return HashedFile(file, algorithm, digest, "file")


def as_crc32(content: bytes) -> str:
    return f"{zlib.crc32(content):08x}"


# What a file holds, and the layers on top of it that find it to be wrong.
WRONG: dict[str, tuple[bytes, Callable[[Stream], Stream], str]] = {
    "sha256": (CONTENT, lambda file: hashed(file, "sha256", WRONG_SHA256), "sha256"),
    "crc32": (CONTENT, lambda file: hashed(file, "crc32", as_crc32(b"")), "crc32"),
    "checksum of gzip": (flipped(GZIP, -5), gunzipped, "incorrect data check"),
    "length in gzip": (flipped(GZIP, -1), gunzipped, "incorrect length check"),
    "end of gzip": (GZIP[:-1], gunzipped, "too early"),
    "something behind gzip": (GZIP + b"more", gunzipped, "after 10,240 decompressed bytes"),
    "something behind deflate": (deflate(CONTENT) + b"more", inflated, "more data"),
    "below a digest": (
        flipped(GZIP, -5),
        lambda file: hashed(gunzipped(file), "sha256", hashlib.sha256(CONTENT).hexdigest()),
        "gzip",
    ),
    "below a compression": (
        GZIP,
        lambda file: gunzipped(hashed(file, "sha256", WRONG_SHA256)),
        "sha256",
    ),
    "below what changes nothing": (
        CONTENT,
        lambda file: WrappedFile(hashed(file, "sha256", WRONG_SHA256)),
        "sha256",
    ),
}


def read_last_byte(stream: Stream) -> None:
    """Read what is there, and nothing behind it: where it ends, only `finish` looks."""
    assert stream.read(1) == CONTENT[-1:]
    stream.finish()


@pytest.mark.parametrize("case", WRONG)
def test_only_the_end_tells_what_is_wrong(case: str, opened: Open) -> None:
    data, layers, message = WRONG[case]
    with layers(opened(data)) as stream:
        assert read_fully(stream, len(CONTENT) - 1) == CONTENT[:-1]
        with pytest.raises(DamagedError, match=f"^file: .*{message}"):
            read_last_byte(stream)


@pytest.mark.parametrize("case", WRONG)
def test_reading_to_the_end_finds_it(case: str, opened: Open) -> None:
    data, layers, message = WRONG[case]
    with layers(opened(data)) as stream, pytest.raises(DamagedError, match=message):
        read_to_end(stream)


@pytest.mark.parametrize("algorithm", ["sha256", "crc32"])
def test_a_digest_says_nothing_of_a_part(algorithm: str, opened: Open) -> None:
    with hashed(opened(CONTENT), algorithm, "0") as stream:
        stream.seek(1)
        read_to_end(stream)
        stream.seek(0)
        with pytest.raises(DamagedError):
            read_to_end(stream)


def test_a_part_says_nothing_of_the_file_that_it_is_in(opened: Open) -> None:
    content = hashed(opened(CONTENT), "sha256", WRONG_SHA256)
    with FileSlice(content, 0, len(CONTENT), "part") as part:
        read_to_end(part)


class Counted(WrappedFile):
    """Counts how often it is finished."""

    def __init__(self, file: Stream) -> None:
        super().__init__(file)
        self.count = 0

    def finish(self) -> None:
        self.count += 1
        super().finish()


def test_the_last_record_finishes_a_file(opened: Open) -> None:
    with Counted(opened(FILES[TEST_IMAGES])) as stream:
        file = IdxFile(stream, "file")
        for start, stop, count in ((0, 2, 0), (2, 5, 0), (5, 6, 1), (0, 6, 2), (6, 6, 3)):
            file.read(start, stop)
            assert stream.count == count, (start, stop)
        for _ in file.batches():
            pass
        assert stream.count == 4


# What users load


def write_zip(form: str) -> Callable[[Path], Path]:
    """A zip that has a wrong checksum of the images."""

    def write(folder: Path) -> Path:
        path = write_archive(folder / form, FILES)
        with zipfile.ZipFile(path) as archive:
            checksum = struct.pack("<L", archive.getinfo(TEST_IMAGES).CRC)
        content = path.read_bytes()
        assert content.count(checksum) == 2, "before the member, and in the directory"
        path.write_bytes(content.replace(checksum, flipped(checksum, 0)))
        return path

    return write


def write_packed(form: str, name: str, position: int) -> Callable[[Path], Path]:
    """Images that are compressed, and damaged somewhere near the end."""

    def write(folder: Path) -> Path:
        packed = flipped(PACKERS[name].pack(FILES[TEST_IMAGES]), position)
        suffix = PACKERS[name].suffixes[0]
        files = {file: content for file, content in FILES.items() if file != TEST_IMAGES}
        return write_archive(folder / form, {**files, TEST_IMAGES + suffix: packed})

    return write


def write_packed_tar(name: str, position: int) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = write_archive(folder / f"set.tar{PACKERS[name].suffixes[0]}", FILES)
        path.write_bytes(flipped(path.read_bytes(), position))
        return path

    return write


DAMAGED_FILES = {
    "stored in a zip": write_zip("stored.zip"),
    "deflated in a zip": write_zip("deflated.zip"),
    "checksum of a gzip file": write_packed("folder", "gzip", -5),
    "length in a gzip file": write_packed("folder", "gzip", -1),
    "checksum of gzip in a tar": write_packed("set.tar", "gzip", -5),
    "checksum of gzip in a tar.xz": write_packed("set.tar.xz", "gzip", -5),
    "checksum of a bzip2 file": write_packed("folder", "bzip2", -3),
    "index of an xz file": write_packed("folder", "xz", -16),
    "footer of an xz file": write_packed("folder", "xz", -1),
}
DAMAGED = {
    **DAMAGED_FILES,
    "checksum of a tar.gz": write_packed_tar("gzip", -5),
    "length in a tar.gz": write_packed_tar("gzip", -1),
    "footer of a tar.xz": write_packed_tar("xz", -1),
    "checksum of a tar.bz2": write_packed_tar("bzip2", -3),
}
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


@each_way
@pytest.mark.parametrize("case", DAMAGED)
def test_a_wrong_checksum_is_refused(case: str, way: str, tmp_path: Path) -> None:
    path = DAMAGED[case](tmp_path)
    message = refusal(way, "idxfolder", data_dir=str(path), splits=["test"])
    assert str(path) in message
    assert "Fetch it again" in message or "fetch it again" in message


@pytest.mark.parametrize("case", DAMAGED_FILES)
def test_what_is_streamed_in_part_is_not_checked(case: str, tmp_path: Path) -> None:
    path = DAMAGED[case](tmp_path)
    images, _ = load_arrays("idxfolder", data_dir=str(path), split="test[:2]", streaming=True)
    assert images.tobytes() == FILES[TEST_IMAGES][16 : 16 + images.nbytes]


PUBLISHED = {
    "the file": {"sha256": WRONG_SHA256},
    "its content": {"content_sha256": WRONG_SHA256, "size": 1},
}


@pytest.fixture(params=PUBLISHED)
def wrong_digest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog has another digest of the test images of "tiny"."""
    tiny = DATASETS["tiny"]
    test = tiny.splits["test"]
    changes: dict[str, Any] = PUBLISHED[request.param]
    test = test._replace(images=test.images._replace(**changes))
    changed = tiny._replace(splits={**tiny.splits, "test": test})
    monkeypatch.setitem(DATASETS, "tiny", changed)


@each_way
@pytest.mark.usefixtures("wrong_digest")
def test_another_file_than_the_published_one_is_refused(way: str, tmp_path: Path) -> None:
    options = {"cache_dir": str(tmp_path)} if way == "prepared" else {}
    message = refusal(way, "mnist_idx", "tiny", splits=["test"], **options)
    assert f"expected {WRONG_SHA256}" in message
    assert "not the published file" in message
    assert TEST_IMAGES in message


@pytest.mark.usefixtures("wrong_digest")
def test_a_part_of_another_file_than_the_published_one_is_not_checked() -> None:
    images, _ = load_arrays("mnist_idx", "tiny", split="test[:100]", streaming=True)
    assert len(images) == 100


def test_a_member_is_verified_to_its_end(tmp_path: Path) -> None:
    """Also by what does not look at its records."""
    path = DAMAGED["deflated in a zip"](tmp_path)
    (member,) = [
        one for one in list_members(Location(str(path)), Access()) if one.name == TEST_IMAGES
    ]
    with pytest.raises(DamagedError, match="crc32"):
        verify_member(member, Access())
    for open_it in (open_member, open_stored):
        with open_it(member, Access()) as stream, pytest.raises(DamagedError, match="crc32"):
            read_to_end(stream)
