"""Remote files, by way of `fsspec`: ranges of bytes, tried again where that may help."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import aiohttp
import fsspec
import huggingface_hub
from datasets import DownloadConfig
from datasets.utils.file_utils import _prepare_path_and_storage_options

from .idx import IdxError, TransferError
from .layers import Layer

T = TypeVar("T")

# A server asked for more than is needed wastes the link, asked for less wastes round trips: start small, then double.
FIRST_REQUEST = 32 << 10
LARGEST_REQUEST = 1 << 20
RETRY_DELAYS = (0.1, 0.3, 1.0, 3.0)  # seconds

# fsspec does its requests in a thread, which a forked process does not have: it would wait for it for ever. Newer
# versions see to that themselves.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fsspec.asyn.reset_lock)


def is_remote(path: str) -> bool:
    return "://" in path and not path.startswith("file://")


class RemoteFile(Layer):
    """A file behind any `fsspec` file system, read by ranges that grow as the reading goes on.

    A server that ignores ranges is read from the start, without keeping what is not asked for.
    """

    def __init__(
        self,
        path: str,
        download_config: DownloadConfig | None,
        size: int | None,
        stop: int | None,
        first_request: int,
        largest_request: int,
    ) -> None:
        self._path = path
        self._first_request = self._request_size = first_request
        self._largest_request = largest_request
        self._handle: Any = None
        self._sequential = False
        self._position = 0
        self._buffer = b""
        self._buffer_start = 0
        self._fs, self._fs_path = file_system(path, download_config)
        self.size = with_retries(lambda: self._fs.info(self._fs_path)["size"], path) if size is None else size
        if self.size is None:
            self._sequential = True
        self._stop = self.size if stop is None else stop if self.size is None else min(stop, self.size)
        self._until = 0

    def read(self, size: int, /) -> bytes:
        begin = self._position - self._buffer_start
        if not 0 <= begin < len(self._buffer):
            self._fill()
            begin = 0
        data = self._buffer[begin : begin + size]
        self._position += len(data)
        return data

    def seek(self, position: int, /) -> None:
        self._position = position

    def tell(self) -> int:
        return self._position

    def until(self, position: int) -> None:
        self._until = position

    def close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None

    def _fill(self) -> None:
        """Put into the buffer what follows from the current position."""
        goes_on = self._buffer and self._position == self._buffer_start + len(self._buffer)
        self._request_size = min(2 * self._request_size, self._largest_request) if goes_on else self._first_request
        stop = self._position + self._request_size
        if self._stop is not None:
            stop = min(stop, self._stop)
        if self._until > self._position:
            stop = min(stop, self._until)
        self._buffer_start = self._position
        self._buffer = b""
        if stop > self._position:
            self._buffer = with_retries(lambda: self._request(self._position, stop), self._path)

    def _request(self, start: int, stop: int) -> bytes:
        try:
            data = self._request_sequential(start, stop) if self._sequential else self._request_range(start, stop)
        except Exception:
            self.close()
            raise
        if not data and self.size is not None:
            raise EOFError(f"the transfer ended after {start:,} of {self.size:,} bytes")
        return data

    def _request_range(self, start: int, stop: int) -> bytes:
        if self._handle is None:
            self._handle = self._fs.open(
                self._fs_path, "rb", block_size=stop - start, cache_type="none", size=self.size
            )
        try:
            self._handle.seek(start)
            return self._handle.read(stop - start)[: stop - start]
        except ValueError:  # how fsspec says that the server ignores ranges
            self.close()
            self._sequential = True
            return self._request_sequential(start, stop)

    def _request_sequential(self, start: int, stop: int) -> bytes:
        if self._handle is not None and self._handle.tell() > start:
            self.close()
        if self._handle is None:
            self._handle = self._fs.open(self._fs_path, "rb", block_size=0, size=self.size)
        while self._handle.tell() < start:
            if not self._handle.read(min(start - self._handle.tell(), LARGEST_REQUEST)):
                return b""
        return self._handle.read(stop - start)


def file_system(path: str, download_config: DownloadConfig | None) -> tuple[Any, str]:
    """The `fsspec` file system of a URL, and the path in it, with the token and storage options that belong to it."""
    if huggingface_hub.constants.HF_HUB_OFFLINE and path.startswith(("http://", "https://", "hf://")):
        raise TransferError(f"{path}: not fetched: HF_HUB_OFFLINE is set. Unset it, or load from a local `data_dir`.")
    try:
        url, options = _prepare_path_and_storage_options(path, download_config)
        for protocol in ("http", "https"):
            if protocol in options or url.startswith(f"{protocol}://"):
                options = {**options, protocol: with_stall_limit(options.get(protocol, {}))}
        fs, fs_path = fsspec.core.url_to_fs(url, **options)
    except (ImportError, ValueError) as error:
        raise TransferError(f"{path}: cannot be opened: {error}") from error
    return fs, fs_path


def with_stall_limit(http_options: dict[str, Any]) -> dict[str, Any]:
    """Storage options for HTTP under which a transfer may take its time but not stand still."""
    seconds = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    return {**http_options, "client_kwargs": {"timeout": timeout, **http_options.get("client_kwargs", {})}}


def download(dl_manager: Any, addresses: Any, title: str) -> Any:
    """Have `datasets` download what is remote, with patience for a slow transfer but not for one that stands still.

    Args:
        dl_manager: the download manager.
        addresses: an address, or a list or dict of them.
        title: what messages call it.

    Returns:
        The local paths in place of the addresses.
    """
    config = dl_manager.download_config.copy()
    config.storage_options = dict(config.storage_options)
    for protocol in ("http", "https"):
        config.storage_options[protocol] = with_stall_limit(config.storage_options.get(protocol, {}))
    dl_manager.download_config = config
    return with_retries(lambda: dl_manager.download(addresses), title)


def with_retries(action: Callable[[], T], what: str) -> T:
    """Do something over the network, again where that may help.

    Raises:
        TransferError: it failed for good. Errors of the local disk pass as they are.
    """
    for delay in (*RETRY_DELAYS, None):
        try:
            return action()
        except IdxError:
            raise
        except Exception as error:  # each of fsspec's file systems raises the errors of its own client
            if is_local_failure(error):
                raise
            if delay is None or not is_transient(error):
                raise TransferError(f"{what}: {describe(error)}") from error
            time.sleep(delay)
    raise AssertionError("unreachable")


def is_local_failure(error: BaseException) -> bool:
    return isinstance(error, OSError) and (
        error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EFBIG}
        or (isinstance(error, PermissionError) and error.filename is not None)
    )


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later."""
    for cause in _causes(error):
        status = _http_status(cause)
        if status is not None:
            return status >= 500 or status in {408, 425, 429}
        if isinstance(cause, (socket.gaierror, ConnectionRefusedError, aiohttp.ClientConnectorError)):
            return False
        if isinstance(cause, huggingface_hub.errors.OfflineModeIsEnabled):
            return False
    return not isinstance(error, (FileNotFoundError, PermissionError, ImportError))


def describe(error: BaseException) -> str:
    """An error in words a person can act on."""
    cause = _causes(error)[-1]
    status = _http_status(cause)
    if status is not None:
        return f"the server answered {status} {getattr(cause, 'message', '')}".rstrip()
    if isinstance(cause, (TimeoutError, asyncio.TimeoutError)):
        seconds = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
        return f"nothing arrived for {seconds} seconds (HF_HUB_DOWNLOAD_TIMEOUT sets the limit)"
    if isinstance(cause, FileNotFoundError) and not cause.strerror:
        return "not found"
    if isinstance(cause, huggingface_hub.errors.OfflineModeIsEnabled):
        return "not fetched, because HF_HUB_OFFLINE is set"
    if any(isinstance(one, aiohttp.ClientPayloadError) for one in _causes(error)):
        return "the connection ended before all the announced bytes had come"
    return " ".join(f"{type(cause).__name__}: {cause}".split()) if str(cause) else type(cause).__name__


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    return chain


def _http_status(error: BaseException) -> int | None:
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
