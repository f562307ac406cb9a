"""Files that mean harm, or are merely wrong: each ends in an `IdxError`, soon, with little memory, touching nothing."""

from __future__ import annotations

import gzip
import io
import itertools
import lzma
import os
import re
import struct
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import digest_arrays, run_client, tree
from conftest import ROOT
from http_server import Server
from hypothesis import example, given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent / "fuzz"))

import crafted

import mnist_idx
from mnist_idx import archive, idx, stream

TINY = (ROOT / "mnist_idx" / "data" / "mnist_tiny.tar").read_bytes()
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
# What a client takes that loads the same number of good records, and a margin; a hostile file must not take more.
MEMORY = 60 << 20


def header(*shape: int, code: int = 8) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


def images(count: int = 3, rows: int = 4, columns: int = 5) -> bytes:
    return header(count, rows, columns) + bytes(i % 256 for i in range(count * rows * columns))


def labels(count: int = 3) -> bytes:
    return header(count) + bytes(i % 3 for i in range(count))


def make_tar(members: Iterable[tuple[str, bytes]], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def write(place: Path, **members: bytes) -> Path:
    """A folder of IDX files; `images` and `labels` are those of the split `train`."""
    names = {"images": IMAGES, "labels": LABELS}
    for name, data in members.items():
        (place / names.get(name, name)).write_bytes(data)
    return place


# In processes of their own, with their memory measured


LOAD = """
import time, datasets, mnist_idx
mnist_idx.load_arrays("test", config_name="tiny")  # so that all is imported before memory is measured
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def outcome(load):
    began = time.monotonic()
    try:
        message = "loaded " + repr(load())
    except mnist_idx.IdxError as error:
        message = str(error)
    growth = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - base) * 1024
    return [message, growth, time.monotonic() - began]
def stream():
    return sum(1 for _ in datasets.load_dataset("mnist_idx", data_dir=args["data"], split="train", streaming=True))
ways = {
    "arrays": lambda: mnist_idx.load_arrays("train", data_dir=args["data"], streaming=True)[0].shape,
    "head": lambda: len(mnist_idx.load_arrays("train", data_dir=args["data"], num_samples=1)[0]),
    "streaming": stream,
    "prepared": lambda: len(datasets.load_dataset("mnist_idx", data_dir=args["data"], split="train")),
}
result = {way: outcome(load) for way, load in ways.items() if way in args["ways"]}
"""
ALL_WAYS = ("arrays", "head", "streaming", "prepared")


def load_all_ways(data: Path | str, home: Path, ways: tuple[str, ...] = ALL_WAYS) -> Any:
    """Way -> [message, growth of memory in bytes, seconds]."""
    return run_client(LOAD, home=home, args={"data": str(data), "ways": ways}, memory=4 << 30).result


def assert_refused(found: Any, match: str, ways: tuple[str, ...] = ("arrays", "streaming", "prepared")) -> None:
    for way, (message, growth, seconds) in found.items():
        if way in ways:
            assert re.search(match, message), (way, message)
            assert not message.startswith("loaded"), (way, message)
        assert growth < MEMORY, (way, growth)
        assert seconds < 20, (way, seconds)


HUGE = [
    (header((1 << 32) - 1, 1 << 16, 1 << 16), header((1 << 32) - 1)),
    (header((1 << 32) - 1, 28, 28), header((1 << 32) - 1)),
    (header((1 << 32) - 1, 0, 28), header((1 << 32) - 1)),
    (header((1 << 32) - 1, 1, 1), header((1 << 32) - 1)),
    (header(3, (1 << 32) - 1, (1 << 32) - 1), header(3)),
    (header(1, 1 << 16, 1 << 10), header(1)),
    (header(*[1 << 31] * 255), header(1 << 31)),
    (header(3, 4, 5), header((1 << 32) - 1)),
    (header(0, 1 << 31, 1 << 31), header(0)),
]


@pytest.mark.parametrize(
    ("image_header", "label_header"), HUGE, ids=lambda data: str(struct.unpack_from(">3I", data + bytes(8), 4))
)
def test_headers_that_promise_too_much(image_header: bytes, label_header: bytes, place: Path, hf_home: Path) -> None:
    data = write(place, images=image_header + bytes(100), labels=label_header + bytes(100))
    assert_refused(load_all_ways(data, hf_home), "expected|announces|hold")


def zeros(gigabytes: float) -> Iterable[bytes]:
    return itertools.repeat(bytes(1 << 20), int(gigabytes * 1024))


def bomb(start: bytes, gigabytes: float) -> bytes:
    packer = zlib.compressobj(1, wbits=31)
    return b"".join([packer.compress(start), *map(packer.compress, zeros(gigabytes)), packer.flush()])


def test_promises_that_a_bomb_seems_to_keep(place: Path, hf_home: Path) -> None:
    """The header's number of records is that of nobody's memory, and there is data for very many of them."""
    shape = ((1 << 32) - 1, 28, 28)
    data = write(place, images=bomb(header(*shape), 0.02), labels=bomb(header(shape[0]), 0.02))
    assert_refused(load_all_ways(data, hf_home), "announces|memory", ways=("arrays", "prepared"))


def test_members_that_unpack_to_gigabytes(place: Path, hf_home: Path) -> None:
    data = write(place, images=bomb(images(), 1), labels=labels())
    found = load_all_ways(data, hf_home)
    assert_refused(found, "more data")
    assert all(seconds < 1 for _, _, seconds in found.values())


def test_labels_that_unpack_to_gigabytes(place: Path, hf_home: Path) -> None:
    found = load_all_ways(write(place, images=images(), labels=bomb(labels(), 1)), hf_home)
    assert_refused(found, "more data")
    assert all(seconds < 1 for _, _, seconds in found.values())


def test_an_archive_that_unpacks_to_half_a_gigabyte(place: Path, hf_home: Path) -> None:
    """A packed tar whose first member is huge and of no interest."""
    packer = zlib.compressobj(1, wbits=31)
    parts = [
        packer.compress(crafted.tar_header(b"junk", crafted.octal(2 << 30), b"0")),
        *map(packer.compress, zeros(2)),
    ]
    rest = make_tar([(IMAGES, images()), (LABELS, labels())])
    (place / "bomb.tar.gz").write_bytes(b"".join([*parts, packer.compress(rest), packer.flush()]))
    found = load_all_ways(place / "bomb.tar.gz", hf_home, ways=("arrays", "prepared"))
    for message, growth, seconds in found.values():
        assert growth < MEMORY
        assert seconds < 30, message


def xz_of_large_dictionary(data: bytes) -> bytes:
    """The same xz data, but its header asks for a dictionary of 4 GiB."""
    packed = bytearray(lzma.compress(data, lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}]))
    size = (packed[12] + 1) * 4
    assert packed[14:16] == b"\x21\x01"
    packed[16] = 40
    packed[12 + size - 4 : 12 + size] = struct.pack("<I", zlib.crc32(packed[12 : 12 + size - 4]))
    return bytes(packed)


def test_packed_data_that_asks_for_memory(place: Path, hf_home: Path) -> None:
    data = write(place, images=xz_of_large_dictionary(images()), labels=labels())
    assert_refused(load_all_ways(data, hf_home), "[Mm]emory", ways=ALL_WAYS)


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


SPECIAL = {
    "symbolic link": special(IMAGES, tarfile.SYMTYPE, "/etc/passwd"),
    "symbolic link within": special(IMAGES, tarfile.SYMTYPE, "other"),
    "hard link": special(IMAGES, tarfile.LNKTYPE, "/etc/passwd"),
    "hard link within": special(IMAGES, tarfile.LNKTYPE, "other"),
    "character device": special(IMAGES, tarfile.CHRTYPE),
    "block device": special(IMAGES, tarfile.BLKTYPE),
    "pipe": special(IMAGES, tarfile.FIFOTYPE),
    "folder": special(IMAGES, tarfile.DIRTYPE),
}


@pytest.mark.parametrize("kind", SPECIAL)
def test_members_that_are_no_files(kind: str, place: Path) -> None:
    with tarfile.open(place / "x.tar", "w") as tar:
        for name, data in ((LABELS, labels()), ("other", images())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        tar.addfile(SPECIAL[kind])
    with pytest.raises(mnist_idx.IdxError, match=r"(?i)images"):
        mnist_idx.load_arrays("train", data_dir=str(place / "x.tar"))


@pytest.mark.parametrize("prefix", ["../../", "/", "/etc/../", "..\\..\\", "C:\\", "a\n", "\x1b[2J", "\udcff"])
def test_names_are_only_names(prefix: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (place / "x.tar").write_bytes(make_tar([(prefix + IMAGES, images()), (prefix + LABELS, labels())]))
    before = tree(place.parent)
    try:
        got, got_labels = mnist_idx.load_arrays("train", data_dir=str(place / "x.tar"))
        assert got.tobytes() == images()[16:]
        assert got_labels is not None and got_labels.tobytes() == labels()[8:]
    except mnist_idx.IdxError:
        pass
    assert tree(place.parent) == before


def repeated_header(count: int) -> bytes:
    return crafted.tar_header(b"a", crafted.octal(0), b"0") * count


@pytest.mark.parametrize("packed", [False, True])
def test_a_million_members(packed: bool, place: Path, hf_home: Path) -> None:
    path = place / "million.tar"
    if packed:
        packer = zlib.compressobj(1, wbits=31)
        path.write_bytes(packer.compress(repeated_header(1_000_000)) + packer.flush())
    else:
        with open(path, "wb") as file:
            for _ in range(100):
                file.write(repeated_header(10_000))
    assert_refused(load_all_ways(path, hf_home), "members", ways=ALL_WAYS)


def test_a_million_members_behind_a_server(serve: Callable[..., Server]) -> None:
    server = serve({"/x.tar": repeated_header(20_000)})
    with pytest.raises(mnist_idx.IdxError, match="members"):
        mnist_idx.load_arrays("train", data_dir=server.url("/x.tar"), streaming=True)
    assert server.sent() < 2 << 20


def test_a_zip_of_very_many_members(place: Path, hf_home: Path) -> None:
    with zipfile.ZipFile(place / "x.zip", "w") as many:
        for i in range(70_000):
            many.writestr(str(i), b"")
    assert_refused(
        load_all_ways(place / "x.zip", hf_home), "directory|members", ways=("arrays", "streaming", "prepared")
    )


def test_a_zip_whose_member_has_no_name(place: Path) -> None:
    """`zipfile` itself stumbles over it, which fuzzing found."""
    with zipfile.ZipFile(place / "x.zip", "w") as one:
        one.writestr("n", b"")
    data = bytearray((place / "x.zip").read_bytes())
    data[data.rindex(b"PK\x01\x02") + 46] = 0  # a name ends at a zero byte
    (place / "x.zip").write_bytes(data)
    with pytest.raises(mnist_idx.IdxError):
        mnist_idx.load_arrays("train", data_dir=str(place / "x.zip"))


def tar_of(kind: bytes, size: bytes, body: bytes = b"") -> bytes:
    good = make_tar([(IMAGES, images()), (LABELS, labels())])
    return crafted.tar_header(IMAGES.encode(), size, kind) + body + bytes(-len(body) % 512) + good


TRICKS = {
    "GNU sparse": tar_of(b"S", crafted.octal(0)),
    "pax sparse": tar_of(b"x", crafted.octal(31), b"31 GNU.sparse.realsize=1000000\n"),
    "pax size": tar_of(b"x", crafted.octal(20), b"20 size=99999999999\n"),
    "long name": tar_of(b"L", crafted.octal(5000), b"x" * 5000),
    "long name of gigabytes": tar_of(b"L", crafted.octal(1 << 33), b"x" * 2000),
    "pax header of gigabytes": tar_of(b"x", crafted.octal(1 << 33), b"x" * 2000),
    "pax lengths": tar_of(b"x", crafted.octal(20), b"99999999999999 path=x\n"),
    "pax length zero": tar_of(b"x", crafted.octal(20), b"0 path=xxxxxxxxxxxx\n"),
    "pax without end": tar_of(b"x", crafted.octal(512), b"9" * 512),
    "size beyond the file": tar_of(b"0", crafted.octal(1 << 40)),
    "size beyond any file": tar_of(b"0", b"\x80" + b"\x7f" * 11),
    "negative size": tar_of(b"0", b"\xff" * 12),
    "signed size": tar_of(b"0", b"-0000001000\0"),
    "size that is no number": tar_of(b"0", b"zzzzzzzzzzz\0"),
}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("packed", [False, True])
def test_tricks_with_tar(trick: str, packed: bool, place: Path) -> None:
    data = TRICKS[trick]
    (place / "x.tar").write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(mnist_idx.IdxError):
        mnist_idx.load_arrays("train", data_dir=str(place / "x.tar"))


def test_folders_with_things_that_are_no_files(place: Path) -> None:
    write(place, images=images(), labels=labels())
    os.mkfifo(place / "t10k-images-idx3-ubyte")
    os.symlink("/dev/zero", place / "t10k-labels-idx1-ubyte")
    os.symlink(place, place / "loop")
    os.symlink("nowhere", place / "test-images-idx3-ubyte")
    got, _ = mnist_idx.load_arrays("train", data_dir=str(place))
    assert got.tobytes() == images()[16:]


# Bad, but not hostile


def error_of(place: Path, **options: Any) -> str:
    with pytest.raises(mnist_idx.IdxError) as caught:
        mnist_idx.load_arrays("train", data_dir=str(place), **options)
    return str(caught.value)


def test_messages_say_which_file_what_was_found_and_what_was_expected(place: Path) -> None:
    write(place, images=images(3), labels=labels(4))
    message = error_of(place)
    assert IMAGES in message and LABELS in message and "3" in message and "4" in message
    write(place, images=b"\x89PNG\r\n\x1a\n" + bytes(100), labels=labels())
    assert IMAGES in error_of(place) and "PNG" in error_of(place)
    write(place, images=header(3, 4, 5, code=0x0A) + bytes(60), labels=labels())
    assert IMAGES in error_of(place) and "0x0A" in error_of(place)
    write(place, images=images()[:-1], labels=labels())
    assert IMAGES in error_of(place) and "76" in error_of(place) and "75" in error_of(place)
    write(place, images=images() + b"\0", labels=labels())
    assert IMAGES in error_of(place) and "more" in error_of(place)
    write(place, images=images(), labels=labels()[:-1])
    assert LABELS in error_of(place)
    write(place, images=images(), labels=images())
    assert LABELS in error_of(place)
    write(place, images=labels(), labels=labels())
    assert IMAGES in error_of(place)
    write(place, images=images(), labels=header(3) + bytes([0, 7, 1]))
    message = error_of(place, label_names=["a", "b"])
    assert LABELS in message and "7" in message
    (place / LABELS).unlink()
    (place / IMAGES).unlink()
    assert str(place) in error_of(place)


@pytest.mark.parametrize(
    "content", [b"", b"<html></html>", b"hello", bytes(512), bytes(10240), b"\x1f\x8b\x08", b"PK\x03\x04"]
)
def test_things_that_are_no_archive(content: bytes, place: Path) -> None:
    (place / "x.tar").write_bytes(content)
    with pytest.raises(mnist_idx.IdxError, match=r"x\.tar"):
        mnist_idx.load_arrays("train", data_dir=str(place / "x.tar"))
    with pytest.raises(mnist_idx.IdxError, match="nowhere"):
        mnist_idx.load_arrays("train", data_dir=str(place / "nowhere.tar"))


# Properties


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "file.tar"


@pytest.fixture(scope="module")
def tiny_digest() -> Any:
    with tarfile.open(fileobj=io.BytesIO(TINY)) as tar:
        files = {Path(m.name).name: gzip.decompress(tar.extractfile(m).read()) for m in tar if m.isfile()}  # type: ignore[union-attr]
    x = np.frombuffer(files["t10k-images-idx3-ubyte.gz"], np.uint8, offset=16).reshape(-1, 28, 28)
    return digest_arrays(x, np.frombuffer(files["t10k-labels-idx1-ubyte.gz"], np.uint8, offset=8))


def load_tiny(path: Path) -> Any:
    """The digest of the test split, or None for an `IdxError`. Anything else is raised."""
    try:
        got, got_labels = mnist_idx.load_arrays("test", data_dir=str(path))
    except mnist_idx.IdxError:
        return None
    if got_labels is None:  # the tar ends before the labels, at a whole member: nobody can tell that there were any
        return None
    return digest_arrays(got, got_labels)


@given(where=st.integers(0, len(TINY) - 1), change=st.integers(1, 255))
def test_a_changed_byte_is_noticed_or_changes_nothing(scratch: Path, tiny_digest: Any, where: int, change: int) -> None:
    data = bytearray(TINY)
    data[where] ^= change
    scratch.write_bytes(data)
    assert load_tiny(scratch) in (None, tiny_digest)


@given(length=st.integers(0, len(TINY)))
@example(512)
@example(len(TINY) - 1)
def test_a_cut_is_noticed_or_changes_nothing(scratch: Path, tiny_digest: Any, length: int) -> None:
    scratch.write_bytes(TINY[:length])
    assert load_tiny(scratch) in (None, tiny_digest)


@given(where=st.integers(0, len(TINY)), inserted=st.binary(min_size=1, max_size=1024))
def test_an_insertion_is_noticed_or_changes_nothing(
    scratch: Path, tiny_digest: Any, where: int, inserted: bytes
) -> None:
    scratch.write_bytes(TINY[:where] + inserted + TINY[where:])
    assert load_tiny(scratch) in (None, tiny_digest)


class Drawn:
    """What `crafted` draws from: hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def number(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def bytes(self, most: int) -> bytes:
        return self._data.draw(st.binary(max_size=min(most, 200)))


@given(data=st.data())
def test_any_file_is_read_or_refused(scratch: Path, data: st.DataObject) -> None:
    scratch.write_bytes(crafted.file(Drawn(data)))
    try:
        for locator in archive.list_members(str(scratch)):
            try:
                member = stream.open_member(locator)
            except mnist_idx.IdxError:
                continue
            try:
                found = idx.read_header(member, locator.name)
                for _ in idx.iter_blocks(member, found, locator.name):
                    pass
            except mnist_idx.IdxError:
                pass
            finally:
                member.close()
    except mnist_idx.IdxError as error:
        message = str(error)
        assert str(scratch) in message


@given(data=st.data())
def test_any_pair_of_members_is_read_or_refused(scratch: Path, data: st.DataObject) -> None:
    source = Drawn(data)
    members = [(IMAGES, crafted.member(source)), (LABELS, crafted.member(source))]
    scratch.write_bytes(make_tar(members))
    try:
        got, got_labels = mnist_idx.load_arrays("train", data_dir=str(scratch), as_array=True)
        assert got_labels is None or len(got) == len(got_labels)
    except mnist_idx.IdxError:
        pass


@given(
    shape=st.tuples(st.integers(0, 40), st.integers(1, 9), st.integers(1, 9)),
    code=st.sampled_from([8, 9, 11, 12, 13, 14]),
    random=st.randoms(use_true_random=False),
    packed=st.booleans(),
)
def test_any_element_type_and_shape(scratch: Path, shape: Any, code: int, random: Any, packed: bool) -> None:
    dtype = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}[code]
    expected = np.array([random.randint(0, 127) for _ in range(int(np.prod(shape)))], dtype).reshape(shape)
    classes = np.array([random.randint(0, 9) for _ in range(shape[0])], np.uint8)
    image_file = header(*shape, code=code) + expected.tobytes()
    members = [
        (IMAGES, gzip.compress(image_file) if packed else image_file),
        (LABELS, header(shape[0]) + classes.tobytes()),
    ]
    scratch.write_bytes(make_tar(members))
    got, got_labels = mnist_idx.load_arrays("train", data_dir=str(scratch), as_array=True)
    assert got.dtype == expected.dtype.newbyteorder("=")
    assert got.shape == expected.shape
    assert np.array_equal(got, expected)
    assert np.array_equal(got_labels, classes)
