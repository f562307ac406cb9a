"""Remote files over `fsspec`: byte ranges, checked, with retries."""

import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, TypeVar, cast

import fsspec
import fsspec.asyn
import huggingface_hub.constants
import huggingface_hub.errors

from .byte_ranges import LARGEST_REQUEST, ByteRanges, UnexpectedAnswer, Version, stall_seconds
from .errors import (
    IdxError,
    TransferError,
    is_local_failure,
    offline_variable,
    without_secrets,
)
from .fetching import RemoteOptions, StorageOptions
from .http_ranges import HttpRanges, http_options
from .paths import is_http
from .prefetch import pause
from .streams import Stream

if TYPE_CHECKING:
    from fsspec.implementations.http import HTTPFileSystem

T = TypeVar("T")

FIRST_REQUEST = 32 << 10  # bytes; requests double as long as reading is sequential
RETRY_DELAYS: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)  # seconds
PASSING_STATUS_CODES = {408, 425, 429}  # and those from 500 on
# What the file systems of `fsspec` tell of a file that changes when the file does.
VALIDATORS = (
    "ETag",
    "etag",
    "generation",
    "version_id",
    "blob_id",
    "md5Hash",
    "checksum",
    "Last-Modified",
    "LastModified",
    "last_modified",
    "updated",
    "modified",
    "mtime",
    "created",
    "size",
)
# What `fsspec` and its file systems raise for URLs and options that they do not understand.
CANNOT_BE_OPENED = (
    ImportError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    NotImplementedError,
)

# fsspec sends requests from a thread that a forked process lacks. Older versions wait for it
# forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fsspec.asyn.reset_lock)


class RemoteFile(Stream):
    """A remote file, read by ranges that grow as long as reading is sequential.

    Where it is certain what is read, they are as large as they may be at once.
    """

    def __init__(
        self,
        path: str,
        options: RemoteOptions,
        size: int | None = None,
        version: Version | None = None,
        largest_request: int = LARGEST_REQUEST,
    ) -> None:
        self._path = path
        self._largest_request = largest_request
        self._request_size = 0
        self._position = 0
        self._buffer_start = 0
        self._buffer = b""
        self._expected_end = 0
        self._is_range_certain = False  # whether all up to the expected end is read
        self._furthest_end = 0
        self._ranges = open_ranges(path, options, size, version)
        self.size = size
        if size is None:
            self._fill()  # The first answer tells the size.

    @property
    def version(self) -> Version:
        return self._ranges.version

    @property
    def identity(self) -> str:
        return self._ranges.version.validator

    def read_some(self, size: int) -> bytes:
        begin = self._position - self._buffer_start
        if not 0 <= begin < len(self._buffer):
            self._fill()
            begin = 0
        data = self._buffer[begin : begin + size]
        self._position += len(data)
        return data

    def go_to(self, position: int) -> None:
        self._position = position

    def tell(self) -> int:
        self.check_open()
        return self._position

    def expect_end(self, position: int) -> None:
        self._expected_end = position
        self._is_range_certain = False
        self._furthest_end = max(self._furthest_end, position)

    def expect_range(self, position: int) -> None:
        self.expect_end(position)
        self._is_range_certain = True

    def check_unchanged(self) -> None:
        retry(self._ranges.check_unchanged, self._path)

    def close(self) -> None:
        if hasattr(self, "_ranges"):  # else the file could not be opened
            self._ranges.close()
        super().close()

    def expect_whole(self) -> None:
        """Make the largest requests at once."""
        self._largest_request = LARGEST_REQUEST
        self._request_size = LARGEST_REQUEST

    def _fill(self) -> None:
        """Fetch the bytes that follow the current position into the buffer."""
        start = self._position
        is_sequential = self._buffer and start == self._buffer_start + len(self._buffer)
        wanted = FIRST_REQUEST
        if self._is_range_certain and start < self._expected_end:
            wanted = self._largest_request
        elif is_sequential:
            wanted = 2 * self._request_size
        self._request_size = min(wanted, self._largest_request)
        limits = [start + self._request_size]
        limits += [end for end in (self._expected_end, self._furthest_end) if end > start]
        if self.size is not None:
            limits.append(self.size)
        stop = min(limits)
        self._buffer_start = start
        self._buffer = b""
        if stop > start:
            self._buffer = retry(lambda: self._fetch(start, stop), self._path)

    def _fetch(self, start: int, stop: int) -> bytes:
        try:
            data = self._ranges.fetch(start, stop)
            if self._ranges.size is not None:
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
        self._file: BinaryIO | None = None

    def fetch(self, start: int, stop: int) -> bytes:
        if self._file is None:
            self._file = self._open()
        self._file.seek(start)
        return bytes(self._file.read(stop - start)[: stop - start])

    def check_unchanged(self) -> None:
        if self._file is not None and ask(self._fs, self._path) != (self.size, self.version):
            raise UnexpectedAnswer("the file has changed since it was opened")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def _open(self) -> BinaryIO:
        size, version = ask(self._fs, self._path)
        if self.size not in (None, size) or self.version.validator not in ("", version.validator):
            raise UnexpectedAnswer("the file has changed since it was found")
        self.size, self.version = size, version
        file: BinaryIO = self._fs.open(
            self._path, "rb", block_size=LARGEST_REQUEST, cache_type="none"
        )
        return file


class FileInfo(NamedTuple):
    """What a file system says of a file."""

    size: int | None
    version: Version


def ask(fs: fsspec.AbstractFileSystem, path: str) -> FileInfo:
    """Ask a file system for the size of a file, and for what tells it from another one."""
    fs.invalidate_cache()  # of listings, which would tell what was there before
    info = fs.info(path)
    facts = [f"{name}={info[name]}" for name in VALIDATORS if info.get(name) is not None]
    return FileInfo(info.get("size"), Version("\n".join(facts), has_ranges=True))


def open_ranges(
    path: str, options: RemoteOptions, size: int | None, version: Version | None
) -> ByteRanges:
    """The byte ranges of a remote file. `size` and `version` are what is known of it."""
    fs, fs_path = file_system(path, options)
    if is_http(fs_path):
        return HttpRanges(cast("HTTPFileSystem", fs), fs_path, size, version)
    return FsspecRanges(fs, fs_path, size, version)


def file_system(path: str, options: RemoteOptions) -> tuple[fsspec.AbstractFileSystem, str]:
    """The `fsspec` file system of a URL and the path in it, opened with the user's options.

    Raises:
        TransferError: the URL cannot be understood, or its file system cannot be reached.
    """
    is_offline = huggingface_hub.constants.HF_HUB_OFFLINE
    if is_offline and path.startswith(("http://", "https://", "hf://")):
        raise TransferError(
            f"{path}: not fetched, because {offline_variable()} is set. Unset it to fetch the file."
        )
    return retry(lambda: _connect(path, options), path)


def _connect(path: str, options: RemoteOptions) -> tuple[fsspec.AbstractFileSystem, str]:
    try:
        path.encode()  # A lone surrogate is part of no URL.
        safe = safe_storage_options(options.storage_options, path)
        resolve = options.resolve or _resolve
        url, by_protocol = resolve(path, options._replace(storage_options=safe))
        if is_http(url) and "::" in url:  # an IPv6 address, no chain
            protocol = url.partition("://")[0]
            return fsspec.filesystem(protocol, **by_protocol[protocol]), url
        fs, fs_path = fsspec.core.url_to_fs(url, **by_protocol)
        return fs, fs_path
    except CANNOT_BE_OPENED as error:
        reason = f"{type(error).__name__}: {error}".rstrip(": .")
        raise TransferError(f"{path}: cannot be opened: {reason}.") from without_secrets(error)


def _resolve(path: str, options: RemoteOptions) -> tuple[str, StorageOptions]:
    """The storage options of each protocol in a chain of URLs."""
    given = options.storage_options
    by_protocol: dict[str, Any] = {}
    for link in path.split("::"):
        protocol = link.partition("://")[0] if "://" in link else "file"
        by_protocol[protocol] = given.get(protocol, _for_any_protocol(given))
    return path, by_protocol


def _for_any_protocol(storage_options: StorageOptions) -> dict[str, Any]:
    """The storage options that are not given by protocol."""
    protocols = fsspec.available_protocols()
    return {name: value for name, value in storage_options.items() if name not in protocols}


def safe_storage_options(storage_options: StorageOptions, url: str = "https://") -> dict[str, Any]:
    """Storage options whose HTTP sessions do not wait for ever, nor tell secrets to other hosts.

    Args:
        url: what is opened with them. In a chain, another file system opens a URL of HTTP.
    """
    given = dict(storage_options)
    for_any = _for_any_protocol(given)
    for protocol in ("http", "https"):
        given[protocol] = http_options(given.get(protocol, for_any), in_chain=not is_http(url))
    return given


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
            if isinstance(error, IdxError) or not is_transfer_failure(error):
                raise
            failure = explain(error)
            if delay is None or not failure.may_pass:
                raise TransferError(f"{title}: {failure.reason}.") from without_secrets(error)
        pause(delay)
    raise AssertionError("the last attempt returns or raises")


def is_transfer_failure(error: BaseException) -> bool:
    """Whether a transfer has failed, rather than the program or the local disk.

    Each file system of `fsspec` raises the errors of its own client. Any exception that Python
    does not define itself is taken for one of these.
    """
    if is_local_failure(error):
        return False
    if isinstance(error, OSError | EOFError | ValueError | ImportError | NotImplementedError):
        return True
    return type(error).__module__ != "builtins"


class Failure(NamedTuple):
    """Why a request has failed, in words that a user can act on."""

    reason: str
    may_pass: bool  # whether the same request may succeed a moment later


# The names of errors of HTTP clients: importing the clients takes long.
PASSING_ERRORS = {
    "TimeoutError": "nothing arrived for {seconds:.0f} seconds (HF_HUB_DOWNLOAD_TIMEOUT sets the "
    "limit)",
    "ClientPayloadError": "the connection ended before all the announced bytes had come",
}
LASTING_ERRORS = {
    "InvalidUrl": "not a URL that can be fetched",
    "InvalidURL": "not a URL that can be fetched",
}
PERMANENT = (FileNotFoundError, PermissionError, ImportError, ValueError, NotImplementedError)


def explain(error: BaseException) -> Failure:
    """Why a request has failed with `error`, or with what that was raised from."""
    chain = _causes(error)
    for one in chain:
        if isinstance(one, UnexpectedAnswer):
            return Failure(str(one), may_pass=True)
        status = _status(one)
        if status is not None:
            reason = f"the server answered {status} {getattr(one, 'message', '')}".rstrip()
            return Failure(reason, status >= 500 or status in PASSING_STATUS_CODES)
    names = {base.__name__ for one in chain for base in type(one).__mro__}
    for name, reason in PASSING_ERRORS.items():
        if name in names:
            return Failure(reason.format(seconds=stall_seconds()), may_pass=True)
    for name, reason in LASTING_ERRORS.items():
        if name in names:
            return Failure(reason, may_pass=False)
    cause = chain[-1]
    words = _words_for(cause)
    if words is not None:
        return Failure(words, may_pass=False)
    reason = " ".join(f"{type(cause).__name__}: {cause}".rstrip(": .").split())
    is_permanent = isinstance(error, PERMANENT) or "ClientConnectorError" in names
    return Failure(reason, not is_permanent)


def _causes(error: BaseException) -> list[BaseException]:
    """The error, its cause, the cause of that, …"""
    chain = [error]
    cause = error.__cause__
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__
    return chain


def _status(error: BaseException) -> int | None:
    """The status code of the HTTP answer that an error is about."""
    response = getattr(error, "response", None)
    for status in (getattr(error, "status", None), getattr(response, "status_code", None)):
        if isinstance(status, int):
            return status
    return None


def _words_for(cause: BaseException) -> str | None:
    """What to call a failure that does not pass."""
    if isinstance(cause, huggingface_hub.errors.OfflineModeIsEnabled):
        return f"not fetched, because {offline_variable()} is set"
    if isinstance(cause, socket.gaierror):
        return "host not found"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused"
    # With more arguments it is an error of the local disk.
    if isinstance(cause, FileNotFoundError) and not cause.args[1:]:
        return "not found"
    return None
