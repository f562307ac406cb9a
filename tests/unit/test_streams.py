"""The protocol of streams: whatever is one, can be used as a file of the same content.

A new subclass of `Stream` needs a row in `CASES`, which says how one is opened.
"""

import bz2
import gzip
import hashlib
import importlib
import io
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from http_server import Server
from hypothesis import given
from hypothesis import strategies as st
from package_classes import module_names
from packers import PACKERS, deflate

from mnist_idx import archive, remote, streams
from mnist_idx.byte_ranges import Version
from mnist_idx.compressions import COMPRESSIONS, DEFLATE
from mnist_idx.fetching import NO_OPTIONS
from mnist_idx.members import Access
from mnist_idx.remote import RemoteFile
from mnist_idx.streams import (
    DecompressedFile,
    FileSlice,
    HashedFile,
    LocalFile,
    SpooledFile,
    Stream,
    WrappedFile,
)

# Of lines that compress to about half.
CONTENT = bytes(random.Random(0).choices(b"\n\0abcdefghijklmn", k=10_000))
SIZE = len(CONTENT)


class Place:
    """Where a test keeps files: a folder, and a server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.opened: list[Stream] = []  # the files that the stream of a case reads

    def file(self, content: bytes = CONTENT) -> LocalFile:
        """A local file, by the digest of its content."""
        path = self.folder / hashlib.sha256(content).hexdigest()
        if not path.exists():
            path.write_bytes(content)
        file = LocalFile(str(path))
        self.opened.append(file)
        return file

    def remote_file(self, path: str, version: Version | None = None) -> RemoteFile:
        """A remote file of `CONTENT`."""
        url = self.server.put(path, CONTENT)
        file = RemoteFile(url, NO_OPTIONS, None, version, largest_request=2000)
        self.opened.append(file)
        return file


def local_file(place: Place) -> Stream:
    return place.file()


def wrapped_file(place: Place) -> Stream:
    return WrappedFile(place.file())


def part_of_a_file(place: Place) -> Stream:
    return FileSlice(place.file(b"before" + CONTENT + b"after"), 6, SIZE, "part")


def end_of_a_file(place: Place) -> Stream:
    return FileSlice(place.file(b"before" + CONTENT), 6, None, "end")


def end_of_a_decompressed_file(place: Place) -> Stream:
    """A slice whose size nobody knows."""
    packed = place.file(gzip.compress(b"before" + CONTENT))
    return FileSlice(DecompressedFile(packed, COMPRESSIONS["gzip"], "file"), 6, None, "end")


def hashed_file(place: Place) -> Stream:
    return HashedFile(place.file(), "sha256", hashlib.sha256(CONTENT).hexdigest(), "hashed")


def hashed_decompressed_file(place: Place) -> Stream:
    packed = place.file(bz2.compress(CONTENT))
    content = DecompressedFile(packed, COMPRESSIONS["bzip2"], "file")
    return HashedFile(content, "sha256", hashlib.sha256(CONTENT).hexdigest(), "hashed")


def file_of_gzip(place: Place) -> Stream:
    packed = place.file(PACKERS["gzip"].pack(CONTENT))
    return DecompressedFile(packed, COMPRESSIONS["gzip"], "file")


def file_of_bzip2(place: Place) -> Stream:
    packed = place.file(PACKERS["bzip2"].pack(CONTENT))
    return DecompressedFile(packed, COMPRESSIONS["bzip2"], "file")


def file_of_xz(place: Place) -> Stream:
    packed = place.file(PACKERS["xz"].pack(CONTENT))
    return DecompressedFile(packed, COMPRESSIONS["xz"], "file")


def inflated_file(place: Place) -> Stream:
    packed = place.file(deflate(CONTENT))
    return DecompressedFile(packed, DEFLATE, "file", size=SIZE)


def concatenated_file(place: Place) -> Stream:
    """Several compressed files in a row, padded with zeros."""
    parts = [gzip.compress(CONTENT[:4000]), gzip.compress(b""), gzip.compress(CONTENT[4000:])]
    packed = place.file(b"".join(parts) + bytes(100))
    return DecompressedFile(packed, COMPRESSIONS["gzip"], "file")


def spooled_file(place: Place) -> Stream:
    packed = PACKERS["xz"].pack(CONTENT)
    with place.file(packed) as file:
        path = str(file.name)
    return Access().open_container(path, "xz", "file", lambda: place.file(packed))


def directory(place: Place) -> Stream:
    return archive._Directory(place.file(), "archive")


def directory_of_a_tar(place: Place) -> Stream:
    return archive._TarDirectory(place.file(), "archive")


def remote_file(place: Place) -> Stream:
    return place.remote_file("/ranges")


def remote_file_without_ranges(place: Place) -> Stream:
    return place.remote_file("/no ranges")


def remote_file_of_unknown_size(place: Place) -> Stream:
    return place.remote_file("/no length")


class Case(NamedTuple):
    """A stream of `CONTENT`."""

    kind: type[Stream]
    open: Callable[[Place], Stream]
    largest_read: int = 1 << 40  # bytes that may be asked for at once


CASES = {
    "local": Case(LocalFile, local_file),
    "wrapped": Case(WrappedFile, wrapped_file),
    "part": Case(FileSlice, part_of_a_file),
    "end": Case(FileSlice, end_of_a_file),
    "end-of-what-is-compressed": Case(FileSlice, end_of_a_decompressed_file),
    "hashed": Case(HashedFile, hashed_file),
    "hashed-and-compressed": Case(HashedFile, hashed_decompressed_file),
    "gzip": Case(DecompressedFile, file_of_gzip),
    "bzip2": Case(DecompressedFile, file_of_bzip2),
    "xz": Case(DecompressedFile, file_of_xz),
    "deflate": Case(DecompressedFile, inflated_file),
    "concatenated": Case(DecompressedFile, concatenated_file),
    "spooled": Case(SpooledFile, spooled_file),
    "directory": Case(archive._Directory, directory),
    "directory-of-a-tar": Case(
        archive._TarDirectory, directory_of_a_tar, archive.MAX_EXTENDED_HEADER
    ),
    "remote": Case(RemoteFile, remote_file),
    "remote-without-ranges": Case(RemoteFile, remote_file_without_ranges),
    "remote-of-unknown-size": Case(RemoteFile, remote_file_of_unknown_size),
}


def subclasses(kind: type) -> set[type]:
    """All classes that derive from a class."""
    found = set(kind.__subclasses__())
    for one in list(found):
        found |= subclasses(one)
    return found


def test_each_stream_of_the_package_has_a_case() -> None:
    for name in module_names():
        importlib.import_module(name)
    kinds = {kind for kind in subclasses(Stream) if kind.__module__.startswith("mnist_idx")}
    assert kinds == {case.kind for case in CASES.values()}


def test_each_compression_has_a_case() -> None:
    assert COMPRESSIONS.keys() <= CASES.keys()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A folder and a server, where content takes many steps."""
    with Server() as server, pytest.MonkeyPatch.context() as patch:
        server.behave("/no ranges", ranges=False)
        server.behave("/no length", ranges=False, length=False)
        # The real limits would need megabytes of content for each of thousands of reads.
        patch.setattr(streams, "CHUNK_BYTES", 700)
        patch.setattr(streams, "LARGEST_READ", 2500)
        patch.setattr(streams, "SEEK_POINT_BYTES", 1000)
        patch.setattr(streams, "MAX_SEEK_POINTS", 4)
        patch.setattr(streams, "SPOOL_BYTES", 4000)  # the rest is read from a stream of one's own
        patch.setattr(remote, "FIRST_REQUEST", 600)
        patch.setattr(remote, "LARGEST_REQUEST", 3000)
        yield Place(tmp_path_factory.mktemp("streams"), server)


Open = Callable[[], Stream]


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Each kind of stream."""
    return CASES[request.param]


@pytest.fixture(scope="module")
def open_stream(case: Case, place: Place) -> Open:
    """Open another stream of the case."""

    def opened() -> Stream:
        place.opened.clear()
        stream = case.open(place)
        assert type(stream) is case.kind
        return stream

    return opened


def read_to_the_end(stream: Stream, size: int) -> bytes:
    """What reads of at most `size` bytes give until one gives nothing."""
    content = b""
    while data := stream.read(size):
        assert len(data) <= size
        content += data
    return content


def test_a_buffered_reader_reads_it_as_a_file(open_stream: Open) -> None:
    with io.BufferedReader(open_stream(), 1000) as found:
        expected = io.BytesIO(CONTENT)
        assert found.read(3000) == expected.read(3000)
        assert found.readline() == expected.readline()
        assert found.seek(-20, io.SEEK_END) == expected.seek(-20, io.SEEK_END)
        assert found.read() == expected.read()
        assert found.seek(5) == expected.seek(5)
        assert found.readlines() == expected.readlines()


def test_it_starts_at_the_start(open_stream: Open) -> None:
    with open_stream() as stream:
        assert stream.tell() == 0
        assert CONTENT.startswith(stream.read(10))


@pytest.mark.parametrize("size", [1, 333, SIZE - 1, SIZE, SIZE + 1, 1 << 40])
def test_reads_give_at_most_what_they_ask_for_until_the_end(
    size: int, case: Case, open_stream: Open
) -> None:
    with open_stream() as stream:
        assert read_to_the_end(stream, min(size, case.largest_read)) == CONTENT
        assert stream.tell() == SIZE


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda stream: stream.read(), id="read()"),
        pytest.param(lambda stream: stream.read(-1), id="read(-1)"),
        pytest.param(lambda stream: stream.read(None), id="read(None)"),
        pytest.param(lambda stream: stream.readall(), id="readall()"),
        pytest.param(lambda stream: b"".join(stream), id="iteration"),
        pytest.param(lambda stream: b"".join(stream.readlines()), id="readlines()"),
    ],
)
def test_the_rest_can_be_read_at_once(read: Callable[[Stream], bytes], open_stream: Open) -> None:
    with open_stream() as stream:
        assert read(stream) == CONTENT
        assert read(stream) == b"", "behind the end"
        assert stream.seek(SIZE - 1234) == SIZE - 1234
        assert read(stream) == CONTENT[SIZE - 1234 :]
        assert stream.tell() == SIZE


def test_nothing_is_read_where_nothing_is_asked_for(open_stream: Open) -> None:
    with open_stream() as stream:
        stream.seek(10)
        assert stream.read(0) == b""
        assert stream.readinto(bytearray(0)) == 0
        assert stream.tell() == 10


def test_reading_into_a_buffer_leaves_the_rest_of_it(open_stream: Open) -> None:
    with open_stream() as stream:
        stream.seek(SIZE - 3)
        buffer = bytearray(b"-" * 8)
        count = stream.readinto(memoryview(buffer).cast("H"))
        assert 0 < count <= 3
        assert buffer == CONTENT[SIZE - 3 :][:count] + b"-" * (8 - count)


def test_lines_are_those_of_a_file(open_stream: Open) -> None:
    expected = io.BytesIO(CONTENT)
    with open_stream() as stream:
        assert stream.readline() == expected.readline()
        assert stream.readline(1) == expected.readline(1)
        assert list(stream) == list(expected)


@pytest.mark.parametrize(
    ("offset", "whence", "position"),
    [
        pytest.param(4321, io.SEEK_SET, 4321, id="from-the-start"),
        pytest.param(321, io.SEEK_CUR, 5321, id="forwards"),
        pytest.param(-321, io.SEEK_CUR, 4679, id="backwards"),
        pytest.param(0, io.SEEK_CUR, 5000, id="nowhere"),
        pytest.param(-321, io.SEEK_END, SIZE - 321, id="from-the-end"),
        pytest.param(0, io.SEEK_END, SIZE, id="to-the-end"),
        pytest.param(-SIZE, io.SEEK_END, 0, id="to-the-start"),
    ],
)
def test_seek_goes_to_a_position(
    offset: int, whence: int, position: int, open_stream: Open
) -> None:
    with open_stream() as stream:
        stream.seek(5000)
        assert stream.seek(offset, whence) == position
        assert stream.tell() == position
        assert stream.readall() == CONTENT[position:]


@pytest.mark.parametrize(
    ("offset", "whence"),
    [
        pytest.param(SIZE + 1, io.SEEK_SET, id="from-the-start"),
        pytest.param(SIZE, io.SEEK_CUR, id="forwards"),
        pytest.param(1, io.SEEK_END, id="from-the-end"),
        pytest.param(1 << 40, io.SEEK_SET, id="a-terabyte-from-the-start"),
    ],
)
def test_nothing_is_behind_the_end(offset: int, whence: int, open_stream: Open) -> None:
    with open_stream() as stream:
        stream.seek(5000)
        position = stream.seek(offset, whence)
        assert position >= SIZE
        assert stream.tell() == position
        assert stream.read(10) == stream.read() == stream.readline() == b""
        assert stream.readinto(bytearray(10)) == 0
        assert stream.seek(5000) == 5000
        assert stream.readall() == CONTENT[5000:]


@pytest.mark.parametrize(
    ("offset", "whence"),
    [
        pytest.param(-1, io.SEEK_SET, id="from-the-start"),
        pytest.param(-5001, io.SEEK_CUR, id="backwards"),
        pytest.param(-SIZE - 1, io.SEEK_END, id="from-the-end"),
        pytest.param(-(1 << 40), io.SEEK_END, id="a-terabyte-from-the-end"),
    ],
)
def test_before_the_start_is_an_error_as_for_files(
    offset: int, whence: int, open_stream: Open
) -> None:
    with open_stream() as stream:
        stream.seek(5000)
        with pytest.raises(OSError, match="before the start"):
            stream.seek(offset, whence)
        assert stream.tell() == 5000
        assert stream.readall() == CONTENT[5000:]


@pytest.mark.parametrize("whence", [-1, 3, 4, 5, 100])
def test_other_ways_to_seek_are_refused(whence: int, open_stream: Open) -> None:
    with open_stream() as stream:
        stream.seek(5000)
        with pytest.raises(ValueError, match=f"whence={whence}"):
            stream.seek(0, whence)
        assert stream.tell() == 5000


def test_the_size_is_right_where_it_is_known(open_stream: Open) -> None:
    with open_stream() as stream:
        assert stream.size in (None, SIZE)
        assert stream.readall() == CONTENT
        assert stream.size in (None, SIZE)
        assert stream.seek(0, io.SEEK_END) == SIZE
        assert stream.size == SIZE, "known from now on"
        stream.seek(0)
        assert stream.readall() == CONTENT
        assert stream.size == SIZE


def test_what_a_stream_can_do(open_stream: Open) -> None:
    with open_stream() as stream:
        assert stream.readable()
        assert stream.seekable()
        assert not stream.writable()
        with pytest.raises(io.UnsupportedOperation):
            stream.truncate(0)


def test_the_end_of_good_content_is_no_error(open_stream: Open) -> None:
    with open_stream() as stream:
        assert stream.readall() == CONTENT
        stream.finish()
        stream.finish()
        stream.check_unchanged()
        stream.seek(0)
        assert read_to_the_end(stream, 999) == CONTENT
        stream.finish()


def test_a_stream_is_closed_by_its_with_statement(open_stream: Open) -> None:
    stream = open_stream()
    with stream as entered:
        assert entered is stream
        assert not stream.closed
    assert stream.closed
    stream.close()


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda stream: stream.read(), id="read()"),
        pytest.param(lambda stream: stream.read(0), id="read(0)"),
        pytest.param(lambda stream: stream.read(1), id="read(1)"),
        pytest.param(lambda stream: stream.readall(), id="readall()"),
        pytest.param(lambda stream: stream.readinto(bytearray(1)), id="readinto()"),
        pytest.param(lambda stream: stream.readline(), id="readline()"),
        pytest.param(lambda stream: next(stream), id="next()"),
        pytest.param(lambda stream: stream.seek(0), id="seek(0)"),
        pytest.param(lambda stream: stream.tell(), id="tell()"),
        pytest.param(lambda stream: stream.__enter__(), id="with"),
    ],
)
def test_a_closed_stream_is_a_closed_file(use: Callable[[Stream], Any], open_stream: Open) -> None:
    stream = open_stream()
    stream.read(10)
    stream.close()
    with pytest.raises(ValueError, match="closed file"):
        use(stream)


def test_a_local_file_that_nobody_closes_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.warns(ResourceWarning, match="unclosed file"):
        LocalFile(str(tmp_path / "file"))


def test_a_stream_closes_what_it_reads(open_stream: Open, place: Place) -> None:
    stream = open_stream()
    assert place.opened
    stream.close()
    del stream  # What is decompressed for several readers goes with the last one.
    assert [file for file in place.opened if not file.closed] == []


Operation = tuple[Any, ...]  # the name, and arguments
OPERATIONS = st.one_of(
    st.tuples(st.just("read"), st.integers(0, 3000)),
    st.tuples(st.just("readinto"), st.integers(0, 3000)),
    st.tuples(st.sampled_from(["readall", "readline", "tell", "expect_whole"])),
    st.tuples(st.just("seek"), st.integers(-100, SIZE + 100), st.just(io.SEEK_SET)),
    st.tuples(st.just("seek"), st.integers(-3000, 3000), st.just(io.SEEK_CUR)),
    st.tuples(st.just("seek"), st.integers(-SIZE - 100, 100), st.just(io.SEEK_END)),
    st.tuples(st.sampled_from(["expect_end", "expect_range"]), st.integers(0, SIZE + 100)),
)


class Compared:
    """A stream and a file of the same content, which are used in the same way."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.model = io.BytesIO(CONTENT)

    def do(self, operation: str, *arguments: int) -> None:
        getattr(self, operation)(*arguments)
        assert self.stream.tell() == self.model.tell()

    def read(self, size: int) -> None:
        """A stream may give less than is asked for, but not nothing."""
        data = self.stream.read(size)
        assert data == self.model.read(len(data))
        assert data or size == 0 or self.model.tell() >= SIZE

    def readinto(self, size: int) -> None:
        buffer = bytearray(size)
        count = self.stream.readinto(buffer)
        assert buffer == self.model.read(count) + bytes(size - count)
        assert count or size == 0 or self.model.tell() >= SIZE

    def readall(self) -> None:
        assert self.stream.readall() == self.model.read()

    def readline(self) -> None:
        assert self.stream.readline() == self.model.readline()

    def tell(self) -> None:
        pass

    def expect_whole(self) -> None:
        self.stream.expect_whole()

    def expect_end(self, position: int) -> None:
        self.stream.expect_end(position)

    def expect_range(self, position: int) -> None:
        self.stream.expect_range(position)

    def seek(self, offset: int, whence: int) -> None:
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self.model.tell(), io.SEEK_END: SIZE}
        target = bases[whence] + offset
        if target < 0:
            with pytest.raises(OSError, match="before the start"):
                self.stream.seek(offset, whence)
            return
        position = self.stream.seek(offset, whence)
        # Streams of which nobody knows the size take a position behind the end for the end.
        assert position in (target, min(target, SIZE))
        self.model.seek(position)


@given(operations=st.lists(OPERATIONS, max_size=30))
def test_any_sequence_of_operations_is_that_of_a_file(
    operations: list[Operation], open_stream: Open
) -> None:
    with open_stream() as stream:
        compared = Compared(stream)
        for name, *arguments in operations:
            compared.do(name, *arguments)
