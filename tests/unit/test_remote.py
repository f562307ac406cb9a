"""Remote files: which requests are made, which failures are retried, and what they are called."""

import errno
import io
import re
import socket
import time
from collections.abc import Callable

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
ATTEMPTS = 5


@pytest.fixture
def served(serve: Callable[..., Server]) -> Server:
    """A server that has `CONTENT` at "/file"."""
    return serve({"/file": CONTENT})


def requested(server: Server) -> list[tuple[int, int]]:
    """First byte and number of bytes of each range that was requested since the last time."""
    server.settle()
    ranges = []
    for request in server.requests:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", request.range or "")
        if found:
            first, last = int(found[1]), int(found[2])
            ranges.append((first, last + 1 - first))
    server.forget()
    return ranges


# Requests


def test_requests_double_while_reading_is_sequential(served: Server) -> None:
    with open_file(served.url("/file")) as file:
        assert file.size == len(CONTENT)
        assert read_fully(file, 3_900 * KIB) == CONTENT[: 3_900 * KIB]
    assert requested(served) == [
        (0 * KIB, 32 * KIB),
        (32 * KIB, 64 * KIB),
        (96 * KIB, 128 * KIB),
        (224 * KIB, 256 * KIB),
        (480 * KIB, 512 * KIB),
        (992 * KIB, 1024 * KIB),
        (2016 * KIB, 1024 * KIB),
        (3040 * KIB, 960 * KIB),
    ]


def test_requests_are_small_again_after_a_seek(served: Server) -> None:
    with open_file(served.url("/file")) as file:
        read_fully(file, 500 * KIB)
        requested(served)
        file.seek(10)
        assert file.read(5) == CONTENT[10:15], "not in the buffer any more"
        assert requested(served) == [(10, 32 * KIB)]


def test_what_is_in_the_buffer_is_not_requested_again(served: Server) -> None:
    with open_file(served.url("/file")) as file:
        file.read(15)
        requested(served)
        file.seek(-3, io.SEEK_CUR)
        assert file.read(2) == CONTENT[12:14]
        assert file.tell() == 14
        assert file.read(0) == b""
        assert requested(served) == []


def test_a_seek_before_the_start_is_refused(served: Server) -> None:
    with open_file(served.url("/file")) as file, pytest.raises(OSError, match="before the start"):
        file.seek(-10_000_000, io.SEEK_CUR)


def test_no_more_is_requested_than_there_is(served: Server) -> None:
    with open_file(served.url("/file")) as file:
        requested(served)
        file.seek(-100, io.SEEK_END)
        assert file.read() == CONTENT[-100:]
        assert file.read(1) == b""
        assert requested(served) == [(len(CONTENT) - 100, 100)]


def test_a_file_of_known_size_is_opened_without_a_request(served: Server) -> None:
    with open_file(served.url("/file"), size=len(CONTENT)):
        assert served.count() == 0


def test_requests_end_where_reading_is_expected_to_end(served: Server) -> None:
    with open_file(served.url("/file"), size=len(CONTENT)) as file:
        file.expect_end(1_000)
        assert read_fully(file, 900) == CONTENT[:900]
        assert requested(served) == [(0, 1_000)]
        file.seek(5_000)  # beyond what was expected
        assert file.read(10) == CONTENT[5_000:5_010]
        assert requested(served) == [(5_000, 32 * KIB)]


def test_a_range_that_is_certain_is_requested_whole(served: Server) -> None:
    with open_file(served.url("/file"), size=len(CONTENT)) as file:
        file.seek(100 * KIB)
        file.expect_range(2_500 * KIB)
        assert read_fully(file, 2_400 * KIB) == CONTENT[100 * KIB : 2_500 * KIB]
    assert requested(served) == [
        (100 * KIB, 1024 * KIB),
        (1124 * KIB, 1024 * KIB),
        (2148 * KIB, 352 * KIB),
    ]


@pytest.mark.parametrize(
    ("position", "expects_end"),
    [
        pytest.param(600 * KIB, False, id="behind-its-end"),
        pytest.param(10, True, id="where-another-end-is-expected"),
    ],
)
def test_requests_are_small_again_after_a_certain_range(
    position: int, expects_end: bool, served: Server
) -> None:
    with open_file(served.url("/file"), size=len(CONTENT)) as file:
        file.seek(100 * KIB)
        file.expect_range(500 * KIB)
        assert read_fully(file, 400 * KIB) == CONTENT[100 * KIB : 500 * KIB]
        assert requested(served) == [(100 * KIB, 400 * KIB)]
        if expects_end:
            file.expect_end(len(CONTENT))
        file.seek(position)
        assert file.read(5) == CONTENT[position : position + 5]
    assert requested(served) == [(position, 32 * KIB)]


def test_a_certain_range_of_a_member_is_one_in_its_file(served: Server) -> None:
    url = served.url("/file")
    member = Member(url, "member", offset=100 * KIB, size=900 * KIB, file_size=len(CONTENT))
    with open_member(member, Access()) as stream:
        requested(served)  # The first bytes tell how a member is compressed.
        stream.seek(50 * KIB)
        stream.expect_range(250 * KIB)
        assert read_fully(stream, 200 * KIB) == CONTENT[150 * KIB : 350 * KIB]
    assert requested(served) == [(150 * KIB, 200 * KIB)]


def test_requests_end_where_a_member_ends(served: Server) -> None:
    member = Member(served.url("/file"), "member", offset=100, size=500, file_size=len(CONTENT))
    with open_member(member, Access()) as stream:
        assert read_fully(stream, 1_000) == CONTENT[100:600]
    assert requested(served) == [(100, 500)]


@pytest.mark.slow
def test_a_server_without_ranges_is_read_once_from_the_start(served: Server) -> None:
    served.behave(ranges=False)
    with open_file(served.url("/file")) as file:
        for position in (0, 100_000, 300_000):
            file.seek(position)
            assert read_fully(file, 50_000) == CONTENT[position : position + 50_000]
        served.settle()
        forwards = served.count(method="GET")
        file.seek(10)
        assert file.read(5) == CONTENT[10:15]
    served.settle()
    assert served.count(method="GET") - forwards <= 2
    assert served.count(method="HEAD") == 0


def test_a_file_of_another_size_than_expected_is_an_error(served: Server) -> None:
    url = served.url("/file")
    with open_file(url, size=len(CONTENT) + 10) as file:
        file.seek(len(CONTENT) - 10)
        with pytest.raises(TransferError, match=re.escape(url) + ": the file has changed"):
            file.read(10)


# What is not fetched


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("nosuchprotocol://x/y", id="unknown-protocol"),
        pytest.param("s3://bucket/file", id="protocol-whose-package-is-not-installed"),
    ],
)
def test_a_url_without_a_file_system_is_refused(url: str) -> None:
    with pytest.raises(TransferError, match=rf"^{url}: cannot be opened: .*\.$"):
        remote.file_system(url, NO_OPTIONS)


def test_nothing_is_fetched_where_the_user_is_offline(
    served: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A setting of the environment, which `huggingface_hub` has read when it was imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    advice = r"/file: not fetched, because HF_HUB_OFFLINE is set\. Unset it to fetch the file\.$"
    with pytest.raises(TransferError, match=advice):
        open_file(served.url("/file"))
    assert served.count() == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("/a", False, id="absolute-path"),
        pytest.param("file:///a", False, id="file-url"),
        pytest.param("C:\\a", False, id="windows-path"),
        pytest.param("hf://a", True, id="hub-url"),
        pytest.param("https://a", True, id="http-url"),
    ],
)
def test_urls_but_for_those_of_files_are_remote(path: str, expected: bool) -> None:
    assert is_remote(path) is expected


# Failures


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 499])
def test_an_answer_that_stays_the_same_is_asked_for_once(status: int, served: Server) -> None:
    served.behave(status=status)
    url = re.escape(served.url("/file"))
    with pytest.raises(TransferError, match=f"^{url}: the server answered {status}"):
        open_file(served.url("/file"))
    served.settle()
    assert served.count() == 1


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
def test_an_answer_that_may_pass_is_asked_for_again(status: int, served: Server) -> None:
    served.behave(status=status)
    url = re.escape(served.url("/file"))
    with pytest.raises(TransferError, match=f"^{url}: the server answered {status}"):
        open_file(served.url("/file"))
    served.settle()
    assert served.count() == ATTEMPTS


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 599])
def test_an_answer_that_passes_does_no_harm(status: int, served: Server) -> None:
    served.behave(status=status, times=ATTEMPTS - 1)
    with open_file(served.url("/file")) as file:
        assert file.read(10) == CONTENT[:10]


class Failing:
    """An action that raises an error, and notes when."""

    def __init__(self, error: BaseException) -> None:
        self.times: list[float] = []
        self._error = error

    def __call__(self) -> None:
        self.times.append(time.monotonic())
        raise self._error


def raised_from(cause: BaseException) -> OSError:
    """An error with a cause, as `fsspec` raises them."""
    error = OSError("wrapped")
    error.__cause__ = cause
    return error


def answered(status: int, message: str) -> OSError:
    """An error that a client raises for an answer."""
    answer = OSError()
    answer.status = status  # type: ignore[attr-defined]
    answer.message = message  # type: ignore[attr-defined]
    return raised_from(answer)


STALLED = "nothing arrived for 10 seconds (HF_HUB_DOWNLOAD_TIMEOUT sets the limit)"


@pytest.mark.parametrize(
    ("error", "reason", "may_pass"),
    [
        pytest.param(
            answered(404, "Gone away"), "the server answered 404 Gone away", False, id="404"
        ),
        pytest.param(answered(503, "Busy"), "the server answered 503 Busy", True, id="503"),
        pytest.param(TimeoutError(), STALLED, True, id="timeout"),
        pytest.param(
            raised_from(aiohttp.ServerTimeoutError()), STALLED, True, id="timeout-of-the-client"
        ),
        pytest.param(
            raised_from(socket.gaierror(-2, "unknown")), "host not found", False, id="no-such-host"
        ),
        pytest.param(
            raised_from(ConnectionRefusedError()), "connection refused", False, id="refused"
        ),
        pytest.param(
            huggingface_hub.errors.OfflineModeIsEnabled(),
            "not fetched, because HF_HUB_OFFLINE is set",
            False,
            id="offline",
        ),
        pytest.param(
            aiohttp.ClientPayloadError("x"),
            "the connection ended before all the announced bytes had come",
            True,
            id="early-end",
        ),
        pytest.param(FileNotFoundError("a/b"), "not found", False, id="no-such-remote-file"),
        pytest.param(
            FileNotFoundError(2, "No such file", "a"),
            "FileNotFoundError: [Errno 2] No such file: 'a'",
            False,
            id="no-such-local-file",
        ),
        pytest.param(
            PermissionError("private bucket"),
            "PermissionError: private bucket",
            False,
            id="no-permission",
        ),
        pytest.param(
            ImportError("No module named 's3fs'."),
            "ImportError: No module named 's3fs'",
            False,
            id="missing-package",
        ),
        pytest.param(
            ConnectionResetError("reset\n by peer."),
            "ConnectionResetError: reset by peer",
            True,
            id="reset-in-two-lines",
        ),
        pytest.param(OSError(errno.EIO, "x"), "OSError: [Errno 5] x", True, id="input-or-output"),
    ],
)
def test_a_failure_is_named_and_tried_again_if_it_may_pass(
    error: BaseException, reason: str, may_pass: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A setting of the environment, which `huggingface_hub` has read when it was imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 10)
    action = Failing(error)
    with pytest.raises(TransferError) as caught:
        remote.retry(action, "title")
    assert str(caught.value) == f"title: {reason}."
    assert caught.value.__cause__ is error
    assert len(action.times) == (ATTEMPTS if may_pass else 1)


def test_the_next_attempt_waits_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real delays take 4 seconds.
    monkeypatch.setattr(remote, "RETRY_DELAYS", (0.02, 0.1))
    action = Failing(TimeoutError())
    with pytest.raises(TransferError):
        remote.retry(action, "title")
    first, second, third = action.times
    assert second - first >= 0.02
    assert third - second >= 0.1


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(errno.ENOSPC, id="disk-is-full"),
        pytest.param(errno.EDQUOT, id="quota-is-used-up"),
        pytest.param(errno.EROFS, id="disk-is-read-only"),
        pytest.param(errno.EMFILE, id="too-many-open-files"),
        pytest.param(errno.EFBIG, id="file-is-too-large"),
        pytest.param(errno.EACCES, id="no-permission"),
    ],
)
def test_an_error_of_the_local_disk_is_raised_at_once(number: int) -> None:
    action = Failing(OSError(number, "wrong", "/disk/file"))
    with pytest.raises(OSError, match="/disk/file"):
        remote.retry(action, "title")
    assert len(action.times) == 1
