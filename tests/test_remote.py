"""Remote files: which requests are made, which failures are retried, and what they are called."""

import errno
import io
import re
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import huggingface_hub
import pytest
from http_server import Server

from mnist_idx import remote
from mnist_idx.idx import TransferError, read_fully

CONTENT = bytes(range(256)) * 1500  # 384,000 bytes
KIB = 1 << 10


Open = Callable[..., remote.RemoteFile]


@pytest.fixture
def server(serve: Callable[..., Server]) -> Server:
    return serve({"/file": CONTENT})


@pytest.fixture
def open_remote(server: Server) -> Open:
    return lambda size=None, stop=None: remote.RemoteFile(server.url("/file"), None, size, stop, (32 * KIB, 128 * KIB))


def requested(server: Server) -> list[tuple[int, int]]:
    """First byte and number of bytes of each range that was requested since the last time."""
    server.settle()
    ranges = [re.fullmatch(r"bytes=(\d+)-(\d+)", request.range or "") for request in server.requests]
    server.forget()
    return [(int(found[1]), int(found[2]) + 1 - int(found[1])) for found in ranges if found]


def test_requests_double_while_reading_is_sequential(server: Server, open_remote: Open) -> None:
    with open_remote() as file:
        assert file.size == len(CONTENT)
        assert read_fully(file, 200 * KIB) == CONTENT[: 200 * KIB]
        assert requested(server) == [(0, 32 * KIB), (32 * KIB, 64 * KIB), (96 * KIB, 128 * KIB)]
        file.seek(10)
        assert file.read(5) == CONTENT[10:15], "not in the buffer any more"
        assert requested(server) == [(10, 32 * KIB)]
        file.seek(-3, io.SEEK_CUR)
        assert (file.read(2), file.tell()) == (CONTENT[12:14], 14)
        assert requested(server) == []
        assert (file.read(0), file.seek(-1_000_000, io.SEEK_CUR), file.tell()) == (b"", 0, 0)
        file.seek(-100, io.SEEK_END)
        assert file.read() == CONTENT[-100:]
        assert file.read(1) == b""
        assert requested(server) == [(len(CONTENT) - 100, 100)]


def test_requests_end_where_reading_is_expected_to_end(server: Server, open_remote: Open) -> None:
    with open_remote(size=len(CONTENT), stop=20_000) as file:
        assert server.count() == 0, "the size is known"
        file.expect_end(1_000)
        assert read_fully(file, 900) == CONTENT[:900]
        assert requested(server) == [(0, 1_000)]
        file.seek(5_000)  # beyond what was expected
        assert file.read() == CONTENT[5_000:20_000]
        assert requested(server) == [(5_000, 15_000)]


def test_a_server_without_ranges_is_read_once_from_the_start(server: Server, open_remote: Open) -> None:
    server.behave(ranges=False)
    with open_remote() as file:
        for position in (0, 100_000, 300_000):
            file.seek(position)
            assert read_fully(file, 50_000) == CONTENT[position : position + 50_000]
        opened = server.count(method="GET")
        file.seek(10)
        assert file.read(5) == CONTENT[10:15]
    server.settle()
    assert server.count(method="GET") - opened <= 2
    assert server.count(method="HEAD") == 1


def test_a_file_whose_end_is_lost_is_an_error(server: Server, open_remote: Open) -> None:
    with open_remote(size=len(CONTENT) + 10) as file:
        file.seek(len(CONTENT) - 10)
        assert file.read(10) == CONTENT[-10:]
        with pytest.raises(TransferError, match=re.escape(server.url("/file"))):
            file.read(10)


@pytest.mark.parametrize("url", ["nosuchprotocol://x/y", "s3://bucket/file"])
def test_a_file_system_that_is_not_installed(url: str) -> None:
    with pytest.raises(TransferError, match=rf"^{url}: cannot be opened: .*\.$"):
        remote.file_system(url, None)


def test_nothing_is_fetched_offline(server: Server, open_remote: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(TransferError, match=r"/file: not fetched, because HF_HUB_OFFLINE is set\.$"):
        open_remote()
    assert server.count() == 0


def test_local_paths() -> None:
    assert remote.local_path("file:///a/b") == "/a/b"
    assert remote.local_path("hf://a/b") == "hf://a/b"
    paths = ["/a", "file:///a", "C:\\a", "hf://a", "https://a"]
    assert [remote.is_remote(path) for path in paths] == [False, False, False, True, True]
    assert remote.download(None, {"a": "/a", "b": "file:///b"}, "title") == {"a": "/a", "b": "file:///b"}


def caused_by(error: BaseException, cause: BaseException) -> BaseException:
    error.__cause__ = cause
    return error


def answered(status: int, **attributes: Any) -> BaseException:
    error = caused_by(ValueError("wrapped"), OSError())
    for name, value in {"status": status, **attributes}.items():
        setattr(error.__cause__, name, value)
    return error


STALLED = "nothing arrived for 10 seconds (HF_HUB_DOWNLOAD_TIMEOUT sets the limit)"
# The error, what it is called, whether the same request may succeed a moment later.
FAILURES: list[tuple[BaseException, str, bool]] = [
    *((answered(status), f"the server answered {status}", False) for status in (400, 401, 403, 404, 410, 499)),
    *((answered(status), f"the server answered {status}", True) for status in (408, 425, 429, 500, 503, 599)),
    (answered(404, message="Gone away"), "the server answered 404 Gone away", False),
    (TimeoutError(), STALLED, True),
    (caused_by(OSError("wrapped"), aiohttp.ServerTimeoutError()), STALLED, True),
    (caused_by(OSError("wrapped"), socket.gaierror(-2, "unknown")), "host not found", False),
    (caused_by(OSError("wrapped"), ConnectionRefusedError()), "connection refused", False),
    (huggingface_hub.errors.OfflineModeIsEnabled(), "not fetched, because HF_HUB_OFFLINE is set", False),
    (aiohttp.ClientPayloadError("x"), "the connection ended before all the announced bytes had come", True),
    (FileNotFoundError("a/b"), "not found", False),
    (FileNotFoundError(2, "No such file"), "FileNotFoundError: [Errno 2] No such file", False),
    (PermissionError("private bucket"), "PermissionError: private bucket", False),
    (ImportError("No module named 's3fs'."), "ImportError: No module named 's3fs'", False),
    (ConnectionResetError("reset\n by peer."), "ConnectionResetError: reset by peer", True),
]


@pytest.mark.parametrize(("error", "reason", "may_pass"), FAILURES, ids=lambda value: str(value)[:40])
def test_failures_are_named_and_retried_if_they_may_pass(
    error: BaseException, reason: str, may_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 10)
    monkeypatch.setattr(remote, "RETRY_DELAYS", (0.1, 0.3))
    monkeypatch.setattr(remote.time, "sleep", waited.append)

    def fail() -> None:
        raise error

    with pytest.raises(TransferError) as caught:
        remote.retry(fail, "title")
    assert str(caught.value) == f"title: {reason}."
    assert caught.value.__cause__ is error
    assert waited == ([0.1, 0.3] if may_pass else [])


@pytest.mark.parametrize("number", ["ENOSPC", "EDQUOT", "EROFS", "EMFILE", "EFBIG", "EACCES"])
def test_errors_of_the_local_disk_are_raised_at_once(number: str) -> None:
    errors = [OSError(getattr(errno, number), "wrong", "/disk/file")]
    assert remote.is_local_failure(errors[0])

    def write() -> None:
        raise errors.pop()

    with pytest.raises(OSError, match="/disk/file"):
        remote.retry(write, "title")


def test_other_errors_are_not_of_the_local_disk() -> None:
    for error in (PermissionError("private bucket"), OSError(errno.EIO, "x"), ValueError("x")):
        assert not remote.is_local_failure(error)
