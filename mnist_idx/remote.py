"""Remote files over `fsspec`: byte ranges, with retries."""

import errno
import io
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import fsspec.asyn
import huggingface_hub
from datasets import DownloadConfig
from datasets.utils.file_utils import _prepare_path_and_storage_options

from .idx import IdxError, Stream, TransferError

# Too large a request wastes bandwidth, too small a one wastes round trips: start small, then double. In bytes.
FIRST_REQUEST = 32 << 10
MAX_REQUEST = 1 << 20
RETRY_DELAYS: tuple[float, ...] = (0.1, 0.3, 1.0, 3.0)  # seconds
MAKE_ROOM = "Make room there, or set cache_dir= or the environment variable HF_HOME to another disk."
LOCAL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EFBIG}

# fsspec sends requests from a thread that a forked process lacks. Older versions wait for it forever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fsspec.asyn.reset_lock)


def is_remote(path: str) -> bool:
    return "://" in path and not path.startswith("file://")


class RemoteFile(Stream):
    """A file behind any `fsspec` file system, read by ranges that grow as long as reading is sequential.

    A server that ignores ranges is read from the start, without keeping the bytes before the range.
    """

    def __init__(self, path: str, config: Any, size: int | None = None, max_request: int = MAX_REQUEST) -> None:
        self._path = path
        self._max_request = max_request
        self._request_size = self._position = self._buffer_start = 0
        self._expected_end = self._furthest_end = 0
        self._buffer = b""
        self._handle: Any = None
        self._fs, self._fs_path = file_system(path, config)
        self.size = retry(lambda: self._fs.info(self._fs_path)["size"], path) if size is None else size
        self._sequential = self.size is None

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
        if whence == io.SEEK_END and self.size is None:  # the server does not tell it: read all once
            self._position = 0
            while self.read(MAX_REQUEST):
                pass
            self.size = self._position
        self._position = max(0, (0, self._position, self.size or 0)[whence] + position)
        return self._position

    def tell(self) -> int:
        return self._position

    def expect_end(self, position: int) -> None:
        self._expected_end = position
        self._furthest_end = max(self._furthest_end, position)

    def close(self) -> None:
        self._close_handle()
        super().close()

    def _close_handle(self) -> None:
        if self._handle is not None:
            self._handle.close()
        self._handle = None

    def _fill(self) -> None:
        """Fetch the bytes that follow the current position into the buffer."""
        sequential = self._buffer and self._position == self._buffer_start + len(self._buffer)
        self._request_size = min(2 * self._request_size if sequential else FIRST_REQUEST, self._max_request)
        ends = [end for end in (self._expected_end, self._furthest_end) if end > self._position]
        stop = min([self._position + self._request_size, *ends])
        if self.size is not None:
            stop = min(stop, self.size)
        self._buffer_start, self._buffer = self._position, b""
        if stop > self._position:
            self._buffer = retry(lambda: self._request(self._position, stop), self._path)

    def _request(self, start: int, stop: int) -> bytes:
        try:
            data = self._request_sequential(start, stop) if self._sequential else self._request_range(start, stop)
        except Exception:
            self._close_handle()
            raise
        if not data and self.size is not None:
            raise EOFError(f"the transfer ended after {start:,} of {self.size:,} bytes")
        return data

    def _request_range(self, start: int, stop: int) -> bytes:
        if self._handle is None:
            options = {"block_size": stop - start, "cache_type": "none", "size": self.size}
            self._handle = self._fs.open(self._fs_path, "rb", **options)
        try:
            self._handle.seek(start)
            return self._handle.read(stop - start)[: stop - start]
        except ValueError:  # fsspec raises it if the server ignores ranges
            self._close_handle()
            self._sequential = True
            return self._request_sequential(start, stop)

    def _request_sequential(self, start: int, stop: int) -> bytes:
        if self._handle is not None and self._handle.tell() > start:
            self._close_handle()
        if self._handle is None:
            self._handle = self._fs.open(self._fs_path, "rb", block_size=0, size=self.size)
        while self._handle.tell() < start:
            if not self._handle.read(min(start - self._handle.tell(), MAX_REQUEST)):
                return b""
        return self._handle.read(stop - start)


def file_system(path: str, config: Any) -> tuple[Any, str]:
    """The `fsspec` file system of a URL and the path in it, with the token and storage options that belong to it."""
    if huggingface_hub.constants.HF_HUB_OFFLINE and path.startswith(("http://", "https://", "hf://")):
        raise TransferError(f"{path}: not fetched, because HF_HUB_OFFLINE is set.")
    try:
        url, options = _prepare_path_and_storage_options(path, _with_stall_limit(config))
        return fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise TransferError(f"{path}: cannot be opened: {error}.") from error


def _with_stall_limit(config: DownloadConfig | None) -> DownloadConfig:
    """A copy of `config` with a limit on how long HTTP may stand still, but none on how long a transfer takes."""
    import aiohttp  # takes long to import, and local files do not need it

    seconds = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    config = config.copy() if config else DownloadConfig()
    given = config.storage_options  # by protocol, or for any
    for_any = {name: value for name, value in given.items() if name not in fsspec.available_protocols()}
    for protocol in ("http", "https"):
        options = given.get(protocol, for_any)
        given[protocol] = {**options, "client_kwargs": {"timeout": timeout, **options.get("client_kwargs", {})}}
    return config


def download(dl_manager: Any, urls: dict[str, str], title: str) -> dict[str, str]:
    """Download URLs by `datasets`' download manager, and return their local paths. Local paths stay as they are."""
    if not any(map(is_remote, urls.values())):
        return urls
    dl_manager.download_config = _with_stall_limit(dl_manager.download_config)
    return retry(lambda: dl_manager.download(urls), title)


def evict(downloads: dict[str, str], error: IdxError) -> None:
    """Remove invalid downloads, the URL of each path, which `datasets` would reuse forever. `error` gets the URLs."""
    for path, url in downloads.items():
        # Downloads from the Hub are links into its own cache.
        for file in (os.path.realpath(path), path, f"{path}.json"):
            Path(file).unlink(missing_ok=True)
        error.args = (str(error).replace(path, url),)


def retry(action: Callable[[], Any], title: str) -> Any:
    """Call `action`, again after a while if the failure may pass. Errors of the local disk are raised as they are."""
    for delay in (*RETRY_DELAYS, None):
        try:
            return action()
        except Exception as error:  # each of fsspec's file systems raises the errors of its own client
            if isinstance(error, IdxError) or is_local_failure(error):
                raise
            reason, may_pass = explain(error)
            if delay is None or not may_pass:
                raise TransferError(f"{title}: {reason}.") from error
            time.sleep(delay)


def is_local_failure(error: BaseException) -> bool:
    """Whether the local disk is the reason: full, read-only, no permission."""
    is_forbidden = isinstance(error, PermissionError) and error.filename is not None
    return is_forbidden or (isinstance(error, OSError) and error.errno in LOCAL_ERRORS)


def explain(error: BaseException) -> tuple[str, bool]:
    """An error in words that a user can act on, and whether the same request may succeed a moment later."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    cause, names = chain[-1], " ".join(type(one).__name__ for one in chain)  # aiohttp may not be imported
    for one in chain:
        status = getattr(one, "status", None) or getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            message = f"the server answered {status} {getattr(one, 'message', '')}".rstrip()
            return message, status >= 500 or status in {408, 425, 429}
    if isinstance(cause, TimeoutError) or "TimeoutError" in names:
        seconds = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
        return f"nothing arrived for {seconds} seconds (HF_HUB_DOWNLOAD_TIMEOUT sets the limit)", True
    if "ClientPayloadError" in names:
        return "the connection ended before all the announced bytes had come", True
    permanent: dict[type[BaseException], str] = {
        huggingface_hub.errors.OfflineModeIsEnabled: "not fetched, because HF_HUB_OFFLINE is set",
        socket.gaierror: "host not found",
        ConnectionRefusedError: "connection refused",
        FileNotFoundError: "not found",
    }
    for kind, words in permanent.items():
        if isinstance(cause, kind) and not (kind is FileNotFoundError and cause.args[1:]):  # then it is a local error
            return words, False
    is_permanent = isinstance(error, FileNotFoundError | PermissionError | ImportError) or "ClientConnector" in names
    return " ".join(f"{type(cause).__name__}: {cause}".rstrip(": .").split()), not is_permanent
