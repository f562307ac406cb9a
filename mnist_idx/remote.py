"""Remote files over `fsspec`: byte ranges, checked, with retries."""

import io
import os
import socket
from collections.abc import Callable
from typing import Any, TypeVar

import fsspec
import fsspec.asyn
import huggingface_hub
from datasets import DownloadConfig
from datasets.utils.file_utils import _prepare_path_and_storage_options

from .errors import IdxError, TransferError, is_local_failure, without_secrets
from .http_ranges import HttpRanges, http_options
from .idx import Stream
from .places import is_http
from .prefetch import pause
from .ranges import ByteRanges, UnexpectedAnswer, Version, stall_seconds

T = TypeVar("T")

# Too large a request wastes bandwidth, too small a one wastes round trips: start small, then
# double. In bytes.
FIRST_REQUEST = 32 << 10
MAX_REQUEST = 1 << 20
RETRY_DELAYS: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)  # seconds
PASSING_STATUS_CODES = {408, 425, 429}  # and those from 500 on
# What the file systems of `fsspec` tell of a file that changes when the file does.
VALIDATORS: tuple[str, ...] = (
    "ETag",
    "etag",
    "generation",
    "version_id",
    "blob_id",
    "md5Hash",
    "checksum",
)
VALIDATORS += (
    "Last-Modified",
    "LastModified",
    "last_modified",
    "updated",
    "modified",
    "mtime",
    "created",
    "size",
)

# fsspec sends requests from a thread that a forked process lacks. Older versions wait for it
# forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fsspec.asyn.reset_lock)


class RemoteFile(Stream):
    """A remote file, read by ranges that grow as long as reading is sequential."""

    def __init__(
        self,
        path: str,
        config: DownloadConfig | None,
        size: int | None = None,
        version: Version | None = None,
        max_request: int = MAX_REQUEST,
    ) -> None:
        self._max_request = max_request
        self._path = path
        self._request_size = self._position = self._buffer_start = 0
        self._expected_end = self._furthest_end = 0
        self._buffer = b""
        self._ranges = open_ranges(path, config, size, version)
        self.size = size
        if size is None:
            self._fill()  # The first answer tells the size.

    @property
    def version(self) -> Version:
        return self._ranges.version

    @property
    def identity(self) -> str:
        return self._ranges.version.validator

    def read(self, size: int = -1, /) -> bytes:
        if size < 0:
            return self.readall()
        begin = self._position - self._buffer_start
        if not 0 <= begin < len(self._buffer):
            self._fill()
            begin = 0
        data = self._buffer[begin : begin + size]
        self._position += len(data)
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        if whence == io.SEEK_END and self.size is None:
            self._find_size()
        bases = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size or 0}
        self._position = max(0, bases[whence] + position)
        return self._position

    def tell(self) -> int:
        return self._position

    def expect_end(self, position: int) -> None:
        self._expected_end = position
        self._furthest_end = max(self._furthest_end, position)

    def check_unchanged(self) -> None:
        retry(self._ranges.check_unchanged, self._path)

    def close(self) -> None:
        self._ranges.close()
        super().close()

    def expect_whole(self) -> None:
        """Hint that the file is read from here to its end: make the largest requests at once."""
        self._max_request = self._request_size = MAX_REQUEST

    def _find_size(self) -> None:
        """Read to the end of a file whose server does not tell its size."""
        self._position = 0
        while self.read(MAX_REQUEST):
            pass
        self.size = self._position

    def _fill(self) -> None:
        """Fetch the bytes that follow the current position into the buffer."""
        is_sequential = self._buffer and self._position == self._buffer_start + len(self._buffer)
        self._request_size = min(
            2 * self._request_size if is_sequential else FIRST_REQUEST, self._max_request
        )
        ends = [end for end in (self._expected_end, self._furthest_end) if end > self._position]
        stop = min([self._position + self._request_size, *ends])
        if self.size is not None:
            stop = min(stop, self.size)
        start = self._position
        self._buffer_start, self._buffer = start, b""
        if stop > start:
            self._buffer = retry(lambda: self._fetch(start, stop), self._path)

    def _fetch(self, start: int, stop: int) -> bytes:
        try:
            data = self._ranges.fetch(start, stop)
            self.size = self._ranges.size
            if not data and self.size is not None and start < self.size:
                raise EOFError(f"the transfer ended after {start:,} of {self.size:,} bytes")
        except BaseException:
            self._ranges.close()
            raise
        return data


class FsspecRanges:
    """A file behind any file system of `fsspec` but HTTP."""

    def __init__(
        self, fs: fsspec.AbstractFileSystem, path: str, size: int | None, version: Version | None
    ) -> None:
        self.size = size
        self.version = version or Version()
        self._fs = fs
        self._path = path
        self._file: Any = None

    def fetch(self, start: int, stop: int) -> bytes:
        if self._file is None:
            self._open()
        self._file.seek(start)
        return bytes(self._file.read(stop - start)[: stop - start])

    def check_unchanged(self) -> None:
        if self._file is not None and ask(self._fs, self._path) != (self.size, self.version):
            raise UnexpectedAnswer("the file has changed since it was opened")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self) -> None:
        size, version = ask(self._fs, self._path)
        if self.size not in (None, size) or self.version.validator not in ("", version.validator):
            raise UnexpectedAnswer("the file has changed since it was found")
        self.size, self.version = size, version
        self._file = self._fs.open(self._path, "rb", block_size=MAX_REQUEST, cache_type="none")


def ask(fs: fsspec.AbstractFileSystem, path: str) -> tuple[int | None, Version]:
    """What a file system says of a file: its size, and what tells it from another one."""
    fs.invalidate_cache()  # of listings, which would tell what was there before
    info = fs.info(path)
    facts = [f"{name}={info[name]}" for name in VALIDATORS if info.get(name) is not None]
    return info.get("size"), Version("\n".join(facts), has_ranges=True)


def open_ranges(
    path: str, config: DownloadConfig | None, size: int | None, version: Version | None
) -> ByteRanges:
    fs, fs_path = file_system(path, config)
    if is_http(fs_path):
        return HttpRanges(fs, fs_path, size, version)
    return FsspecRanges(fs, fs_path, size, version)


def file_system(path: str, config: DownloadConfig | None) -> tuple[fsspec.AbstractFileSystem, str]:
    """The `fsspec` file system of a URL and the path in it, with the token and storage options that
    belong to it.

    Raises:
        TransferError: the URL cannot be understood, or its file system cannot be reached.
    """
    if huggingface_hub.constants.HF_HUB_OFFLINE and path.startswith(
        ("http://", "https://", "hf://")
    ):
        raise TransferError(
            f"{path}: not fetched, because HF_HUB_OFFLINE is set. Unset it to fetch the file."
        )
    return retry(lambda: _connect(path, config), path)


def _connect(path: str, config: DownloadConfig | None) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        path.encode()  # A lone surrogate is part of no URL.
        url, options = _prepare_path_and_storage_options(path, with_http_options(config, path))
        if is_http(url) and "::" in url:  # an IPv6 address, no chain
            protocol = url.partition("://")[0]
            return fsspec.filesystem(protocol, **options[protocol]), url
        fs, fs_path = fsspec.core.url_to_fs(url, **options)
        return fs, fs_path
    except (
        ImportError,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        NotImplementedError,
    ) as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": .")
        raise TransferError(f"{path}: cannot be opened: {reason}.") from without_secrets(error)


def with_http_options(config: DownloadConfig | None, path: str) -> DownloadConfig:
    """A copy of `config` whose HTTP sessions neither wait for ever nor tell other hosts what they
    must not know.
    """
    config = config.copy() if config else DownloadConfig()
    given = config.storage_options  # by protocol, or for any
    for_any = {
        name: value for name, value in given.items() if name not in fsspec.available_protocols()
    }
    for protocol in ("http", "https"):
        given[protocol] = http_options(given.get(protocol, for_any), in_chain=not is_http(path))
    return config


def safe_options(storage_options: dict[str, Any] | None) -> dict[str, Any]:
    """Storage options with those of HTTP as `with_http_options` has them."""
    config = with_http_options(DownloadConfig(storage_options=storage_options or {}), "https://")
    return dict(config.storage_options)


def without_options(config: DownloadConfig) -> DownloadConfig:
    """A copy of `config` for a source that the user did not name: without token and storage
    options.
    """
    config = config.copy()
    config.token = None
    config.storage_options = {}
    return config


def retry(action: Callable[[], T], title: str) -> T:
    """Call `action`, again after a while if the failure may pass.

    Errors of the local disk and of the program are raised as they are.

    Raises:
        TransferError: all attempts have failed. `title` is used in the message.
    """
    for delay in (*RETRY_DELAYS, None):
        try:
            return action()
        except Exception as error:
            if (
                isinstance(error, IdxError)
                or is_local_failure(error)
                or not is_transfer_failure(error)
            ):
                raise
            reason, may_pass = explain(error)
            if delay is None or not may_pass:
                raise TransferError(f"{title}: {reason}.") from without_secrets(error)
        pause(delay)
    raise AssertionError("the last attempt returns or raises")


def disk_error(found: str) -> IdxError:
    """The error of a disk that `datasets` cannot write to."""
    return IdxError(
        f"{found} Make room there, or set cache_dir= or the environment variable HF_HOME to another disk.",
        command_line=f"{found} Make room there, or set the environment variable HF_HOME to another disk.",
    )


def is_transfer_failure(error: BaseException) -> bool:
    """Whether a transfer has failed, rather than the program.

    Each file system of `fsspec` raises the errors of its own client. Whatever is no exception of
    Python itself is one.
    """
    if isinstance(error, OSError | EOFError | ValueError | ImportError | NotImplementedError):
        return True
    return type(error).__module__ != "builtins"


def explain(error: BaseException) -> tuple[str, bool]:
    """An error in words that a user can act on, and whether the same request may succeed a moment
    later.
    """
    chain = _causes(error)
    cause = chain[-1]
    for one in chain:
        if isinstance(one, UnexpectedAnswer):
            return str(one), True
        status = _status(one)
        if status is not None:
            reason = f"the server answered {status} {getattr(one, 'message', '')}".rstrip()
            return reason, status >= 500 or status in PASSING_STATUS_CODES
    # By name, since importing aiohttp takes long.
    names = " ".join(type(one).__name__ for one in chain)
    if isinstance(cause, TimeoutError) or "TimeoutError" in names:
        return (
            f"nothing arrived for {stall_seconds():.0f} seconds (HF_HUB_DOWNLOAD_TIMEOUT sets the limit)",
            True,
        )
    if "ClientPayloadError" in names:
        return "the connection ended before all the announced bytes had come", True
    if "InvalidUrl" in names or "InvalidURL" in names:
        return "not a URL that can be fetched", False
    words = _words_for(cause)
    if words is not None:
        return words, False
    is_permanent = isinstance(
        error, FileNotFoundError | PermissionError | ImportError | ValueError | NotImplementedError
    )
    reason = " ".join(f"{type(cause).__name__}: {cause}".rstrip(": .").split())
    return reason, not is_permanent and "ClientConnector" not in names


def _causes(error: BaseException) -> list[BaseException]:
    """The error, its cause, the cause of that, …"""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    return chain


def _status(error: BaseException) -> int | None:
    """The status code of the HTTP answer that an error is about."""
    status = getattr(error, "status", None) or getattr(
        getattr(error, "response", None), "status_code", None
    )
    return status if isinstance(status, int) else None


def _words_for(cause: BaseException) -> str | None:
    """What to call a failure that does not pass."""
    if isinstance(cause, huggingface_hub.errors.OfflineModeIsEnabled):
        return "not fetched, because HF_HUB_OFFLINE is set"
    if isinstance(cause, socket.gaierror):
        return "host not found"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    # With more arguments it is an error of the local disk.
    if isinstance(cause, FileNotFoundError) and not cause.args[1:]:
        return "not found"
    return None
