"""Remote files: which requests are made, which failures are retried, and what they are called."""

import errno
import io
import re
import socket
from collections.abc import Callable
from unittest import mock

import aiohttp
import huggingface_hub.constants
import huggingface_hub.errors
import pytest
from http_server import Server

from mnist_idx import remote
from mnist_idx.errors import TransferError
from mnist_idx.fetching import NO_OPTIONS
from mnist_idx.members import Access, Member, open_file, open_member
from mnist_idx.paths import is_remote
from mnist_idx.streams import read_fully

CONTENT = bytes(range(256)) * 16_000  # 4,000 KiB
KIB = 1 << 10


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve({"/file": CONTENT})


def requested(server: Server) -> list[tuple[int, int]]:
    """First byte and number of bytes of each range that was requested since the last time."""
    server.settle()
    ranges = [
        re.fullmatch(r"bytes=(\d+)-(\d+)", request.range or "") for request in server.requests
    ]
    server.forget()
    return [(int(found[1]), int(found[2]) + 1 - int(found[1])) for found in ranges if found]


def test_requests_double_while_reading_is_sequential(server: Server) -> None:
    with open_file(server.url("/file")) as file:
        assert file.size == len(CONTENT)
        assert read_fully(file, 3_900 * KIB) == CONTENT[: 3_900 * KIB]
        sizes = [32, 64, 128, 256, 512, 1024, 1024, 960]
        assert requested(server) == [
            (sum(sizes[:n]) * KIB, size * KIB) for n, size in enumerate(sizes)
        ]
        file.seek(10)
        assert file.read(5) == CONTENT[10:15], "not in the buffer any more"
        assert requested(server) == [(10, 32 * KIB)]
        file.seek(-3, io.SEEK_CUR)
        assert (file.read(2), file.tell()) == (CONTENT[12:14], 14)
        assert requested(server) == []
        assert file.read(0) == b""
        with pytest.raises(OSError, match="before the start"):
            file.seek(-10_000_000, io.SEEK_CUR)
        file.seek(-100, io.SEEK_END)
        assert (file.read(), file.read(1)) == (CONTENT[-100:], b"")
        assert requested(server) == [(len(CONTENT) - 100, 100)]


def test_requests_end_where_reading_is_expected_to_end(server: Server) -> None:
    with open_file(server.url("/file"), size=len(CONTENT)) as file:
        assert server.count() == 0, "the size is known"
        file.expect_end(1_000)
        assert read_fully(file, 900) == CONTENT[:900]
        assert requested(server) == [(0, 1_000)]
        file.seek(5_000)  # beyond what was expected
        assert file.read(10) == CONTENT[5_000:5_010]
        assert requested(server) == [(5_000, 32 * KIB)]
    with open_member(
        Member(server.url("/file"), "member", 100, 500, len(CONTENT)), Access()
    ) as member:
        assert read_fully(member, 1_000) == CONTENT[100:600]
    assert requested(server) == [(100, 500)]


def test_a_server_without_ranges_is_read_once_from_the_start(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "RETRY_DELAYS", ())
    server.behave(ranges=False)
    with open_file(server.url("/file")) as file:
        for position in (0, 100_000, 300_000):
            file.seek(position)
            assert read_fully(file, 50_000) == CONTENT[position : position + 50_000]
        opened = server.count(method="GET")
        file.seek(10)
        assert file.read(5) == CONTENT[10:15]
    server.settle()
    assert server.count(method="GET") - opened <= 2
    assert server.count(method="HEAD") == 0


def test_a_file_of_another_size_than_expected_is_an_error(server: Server) -> None:
    with open_file(server.url("/file"), size=len(CONTENT) + 10) as file:
        file.seek(len(CONTENT) - 10)
        with pytest.raises(
            TransferError, match=re.escape(server.url("/file")) + ": the file has changed"
        ):
            file.read(10)


def test_what_is_not_fetched(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("nosuchprotocol://x/y", "s3://bucket/file"):  # their file systems are not installed
        with pytest.raises(TransferError, match=rf"^{url}: cannot be opened: .*\.$"):
            remote.file_system(url, NO_OPTIONS)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        TransferError,
        match=r"/file: not fetched, because HF_HUB_OFFLINE is set\. Unset it to fetch the file\.$",
    ):
        open_file(server.url("/file"))
    assert server.count() == 0


def test_local_paths() -> None:
    paths = ["/a", "file:///a", "C:\\a", "hf://a", "https://a"]
    assert [is_remote(path) for path in paths] == [False, False, False, True, True]


def wrapping(cause: BaseException) -> BaseException:
    error = OSError("wrapped")
    error.__cause__ = cause
    return error


def answered(status: int, message: str = "") -> BaseException:
    return wrapping(type("Answer", (OSError,), {"status": status, "message": message})())


STALLED = "nothing arrived for 10 seconds (HF_HUB_DOWNLOAD_TIMEOUT sets the limit)"
# The error, what it is called, whether the same request may succeed a moment later.
FAILURES: list[tuple[BaseException, str, bool]] = [
    *(
        (answered(status), f"the server answered {status}", False)
        for status in (400, 401, 403, 404, 410, 499)
    ),
    *(
        (answered(status), f"the server answered {status}", True)
        for status in (408, 425, 429, 500, 503, 599)
    ),
    (answered(404, "Gone away"), "the server answered 404 Gone away", False),
    (TimeoutError(), STALLED, True),
    (wrapping(aiohttp.ServerTimeoutError()), STALLED, True),
    (wrapping(socket.gaierror(-2, "unknown")), "host not found", False),
    (wrapping(ConnectionRefusedError()), "connection refused", False),
    (
        huggingface_hub.errors.OfflineModeIsEnabled(),
        "not fetched, because HF_HUB_OFFLINE is set",
        False,
    ),
    (
        aiohttp.ClientPayloadError("x"),
        "the connection ended before all the announced bytes had come",
        True,
    ),
    (FileNotFoundError("a/b"), "not found", False),
    (
        FileNotFoundError(2, "No such file", "a"),
        "FileNotFoundError: [Errno 2] No such file: 'a'",
        False,
    ),
    (PermissionError("private bucket"), "PermissionError: private bucket", False),
    (ImportError("No module named 's3fs'."), "ImportError: No module named 's3fs'", False),
    (ConnectionResetError("reset\n by peer."), "ConnectionResetError: reset by peer", True),
    (OSError(errno.EIO, "x"), "OSError: [Errno 5] x", True),
]


@pytest.mark.parametrize(
    ("error", "reason", "may_pass"), FAILURES, ids=lambda value: str(value)[:40]
)
def test_failures_are_named_and_retried_if_they_may_pass(
    error: BaseException, reason: str, may_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 10)
    monkeypatch.setattr(remote, "RETRY_DELAYS", (0.1, 0.3))
    with mock.patch.object(remote, "pause") as sleep, pytest.raises(TransferError) as caught:
        remote.retry(mock.Mock(side_effect=error), "title")
    assert str(caught.value) == f"title: {reason}."
    assert caught.value.__cause__ is error
    assert [call.args for call in sleep.call_args_list] == ([(0.1,), (0.3,)] if may_pass else [])


def test_errors_of_the_local_disk_are_raised_at_once() -> None:
    for number in (
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EROFS,
        errno.EMFILE,
        errno.EFBIG,
        errno.EACCES,
    ):
        write = mock.Mock(side_effect=OSError(number, "wrong", "/disk/file"))
        with pytest.raises(OSError, match="/disk/file"):
            remote.retry(write, "title")
        assert write.call_count == 1
