"""The protocol of byte ranges: whatever fetches ranges of a remote file does it alike.

A new class of `ByteRanges` needs a row in `EACH_REMOTE`.
"""

from collections.abc import Callable, Iterator

import fsspec
import pytest
from http_server import Server
from package_classes import classes_with

from mnist_idx.byte_ranges import ByteRanges, UnexpectedAnswer, Version
from mnist_idx.fetching import NO_OPTIONS
from mnist_idx.http_ranges import HttpRanges
from mnist_idx.remote import FsspecRanges, open_ranges

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)

# Puts a version of the file where it is read, with its content and number. Returns the URL.
Put = Callable[[Server, bytes, int], str]


def put_on_server(server: Server, content: bytes, version: int) -> str:
    return server.put("/file", content, ETag=f'"{version}"')


def put_on_server_without_ranges(server: Server, content: bytes, version: int) -> str:
    server.behave("/file", ranges=False)
    return server.put("/file", content, ETag=f'"{version}"')


def put_in_memory(server: Server, content: bytes, version: int) -> str:
    fsspec.filesystem("memory").pipe("/byte_ranges/file", content)
    return "memory://byte_ranges/file"


class RemoteContent:
    """A remote file, which can be replaced and opened."""

    def __init__(self, kind: type[ByteRanges], put: Put, server: Server) -> None:
        self._kind = kind
        self._put = put
        self._server = server
        self._opened: list[ByteRanges] = []
        self.replace(CONTENT, 1)

    def replace(self, content: bytes, number: int) -> None:
        """Put another version of the file there."""
        self._url = self._put(self._server, content, number)

    def open(self, size: int | None = None, version: Version | None = None) -> ByteRanges:
        """Open ranges of the file, of which a size and a version may be known."""
        ranges = open_ranges(self._url, NO_OPTIONS, size, version)
        assert type(ranges) is self._kind
        self._opened.append(ranges)
        return ranges

    def close(self) -> None:
        for ranges in self._opened:
            ranges.close()


EACH_REMOTE = [
    pytest.param((HttpRanges, put_on_server), id="HTTP"),
    pytest.param((HttpRanges, put_on_server_without_ranges), id="HTTP-without-ranges"),
    pytest.param((FsspecRanges, put_in_memory), id="memory"),
]


@pytest.fixture(params=EACH_REMOTE)
def remote(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Iterator[RemoteContent]:
    """The file `CONTENT` in its first version, on each kind of server."""
    kind, put = request.param
    remote = RemoteContent(kind, put, serve())
    yield remote
    remote.close()


def fetch_fully(ranges: ByteRanges, start: int, stop: int) -> bytes:
    """Bytes of the file, as many as there are, fetched in one piece or several."""
    content = b""
    while len(content) < stop - start:
        data = ranges.fetch(start + len(content), stop)
        assert type(data) is bytes
        assert len(data) <= stop - start - len(content)
        if not data:
            break
        content += data
    return content


def test_each_kind_of_ranges_is_tested() -> None:
    tested = {HttpRanges, FsspecRanges}
    assert classes_with("fetch", "check_unchanged", "close") == tested
    assert {param.values[0][0] for param in EACH_REMOTE} == tested


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([(0, SIZE)], id="whole"),
        pytest.param([(0, 100), (100, 101), (101, 5000)], id="in-order"),
        pytest.param([(5000, 6000), (10, 20), (SIZE - 1, SIZE), (0, 1)], id="in-any-order"),
    ],
)
def test_ranges_hold_the_bytes_of_the_file(
    parts: list[tuple[int, int]], remote: RemoteContent
) -> None:
    ranges = remote.open()
    for start, stop in parts:
        assert fetch_fully(ranges, start, stop) == CONTENT[start:stop]
        assert ranges.size == SIZE
        ranges.check_unchanged()


def test_there_is_nothing_behind_the_end(remote: RemoteContent) -> None:
    ranges = remote.open()
    assert fetch_fully(ranges, SIZE - 10, SIZE + 10) == CONTENT[-10:]
    assert ranges.fetch(SIZE, SIZE + 10) == b""
    assert ranges.fetch(SIZE + 5, SIZE + 10) == b""
    assert ranges.size == SIZE


def test_an_empty_file_is_no_error(remote: RemoteContent) -> None:
    remote.replace(b"", 2)
    ranges = remote.open()
    assert ranges.fetch(0, 100) == b""
    assert ranges.size == 0


def test_closed_ranges_fetch_by_a_new_connection(remote: RemoteContent) -> None:
    ranges = remote.open()
    assert fetch_fully(ranges, 10, 2000) == CONTENT[10:2000]
    ranges.close()
    ranges.close()
    assert fetch_fully(ranges, 10, 2000) == CONTENT[10:2000]


def test_the_version_is_known_after_the_first_answer_and_stays(remote: RemoteContent) -> None:
    ranges = remote.open()
    assert ranges.version.validator == ""
    ranges.fetch(0, 10)
    version = ranges.version
    assert version.validator != ""
    ranges.fetch(20, 30)
    assert ranges.version == version


def test_the_version_tells_the_file_from_another(remote: RemoteContent) -> None:
    first = remote.open()
    first.fetch(0, 10)
    remote.replace(CONTENT[::-1], 2)
    second = remote.open()
    second.fetch(0, 10)
    assert second.version.validator != first.version.validator


def test_a_file_of_the_known_size_and_version_is_read(remote: RemoteContent) -> None:
    first = remote.open()
    first.fetch(0, 10)
    again = remote.open(first.size, first.version)
    assert fetch_fully(again, 100, 200) == CONTENT[100:200]
    assert again.version == first.version
    again.check_unchanged()


each_replacement = pytest.mark.parametrize(
    "replacement",
    [
        pytest.param(CONTENT[::-1], id="by-one-of-the-same-size"),
        pytest.param(CONTENT[:-1], id="by-a-shorter-one"),
    ],
)


@each_replacement
def test_ranges_that_were_closed_notice_that_the_file_was_replaced(
    replacement: bytes, remote: RemoteContent
) -> None:
    ranges = remote.open()
    ranges.fetch(0, 10)
    ranges.close()
    remote.replace(replacement, 2)
    with pytest.raises(UnexpectedAnswer):
        ranges.fetch(SIZE - 100, SIZE - 50)


@each_replacement
def test_ranges_of_a_known_version_notice_that_the_file_was_replaced(
    replacement: bytes, remote: RemoteContent
) -> None:
    first = remote.open()
    first.fetch(0, 10)
    remote.replace(replacement, 2)
    of_first_version = remote.open(first.size, first.version)
    with pytest.raises(UnexpectedAnswer):
        of_first_version.fetch(SIZE - 100, SIZE - 50)


def test_a_file_that_is_replaced_while_it_is_open_is_noticed(remote: RemoteContent) -> None:
    ranges = remote.open()
    ranges.fetch(0, 10)
    remote.replace(CONTENT[::-1], 2)
    with pytest.raises(UnexpectedAnswer, match="changed"):
        read_to_the_end_and_again(ranges)


def read_to_the_end_and_again(ranges: ByteRanges) -> None:
    """Each kind of server tells at one of these steps that the file is another one."""
    fetch_fully(ranges, 5, SIZE)
    ranges.check_unchanged()
    ranges.fetch(0, 10)


def test_a_wrong_size_is_noticed(remote: RemoteContent) -> None:
    ranges = remote.open(size=SIZE + 1)
    with pytest.raises(UnexpectedAnswer, match="changed"):
        ranges.fetch(0, 10)
