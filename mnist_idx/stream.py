"""The bytes of one member as a seekable stream: local or remote, packed or plain, verified on the way.

A stream is built of layers, each with `read`, `seek`, `tell` and `close`:
the file (`LocalFile`, `RemoteFile`), a `Window` on it, an `Unpacker`, and `Verified` around what has a known digest.
A `read` returns at least one byte unless the stream has ended; positions count from the start of the layer.
"""

from __future__ import annotations

import asyncio
import bz2
import errno
import hashlib
import lzma
import socket
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import aiohttp
import fsspec
import huggingface_hub
from datasets import DownloadConfig
from datasets.utils.file_utils import _prepare_path_and_storage_options
from zlib_ng import zlib_ng

from .idx import IdxError, TransferError

T = TypeVar("T")

# A server asked for more than is needed wastes the link, asked for less wastes round trips: start small, then double.
FIRST_REQUEST = 32 << 10
LARGEST_REQUEST = 1 << 20
PIECE_BYTES = 1 << 18
RETRY_DELAYS = (0.1, 0.3, 1.0, 3.0)  # seconds
# Where in a packed file unpacking can start again: at least so many bytes apart, at most so many of them.
CHECKPOINT_BYTES = 1 << 20
MAX_CHECKPOINTS = 64
XZ_MEMORY_LIMIT = 128 << 20
MAGIC_NUMBERS = {b"\x1f\x8b\x08": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}


class Locator(NamedTuple):
    """Where the bytes of a member are, in plain values that can be pickled and sent to another machine.

    Attributes:
        path: local path or URL of the file that holds the member.
        name: the member's name in the archive; the path itself where it is a file of its own.
        offset: where the member starts in the file, in bytes; in the unpacked file if that is packed as a whole.
        size: bytes of the member as it is stored; to the end of the file when None.
        file_size: bytes of the file, where known: spares a request.
        container: how the file is packed as a whole: "", "gzip", "bzip2" or "xz".
        deflated: whether a zip archive has deflated the member.
        packed_size: bytes of the published, packed member; if `size` agrees, `packed` is its digest.
        packed: digest of the published, packed member as "algorithm:hex".
        unpacked: digest of the member's unpacked content as "algorithm:hex".
    """

    path: str
    name: str
    offset: int = 0
    size: int | None = None
    file_size: int | None = None
    container: str = ""
    deflated: bool = False
    packed_size: int | None = None
    packed: str | None = None
    unpacked: str | None = None

    @property
    def title(self) -> str:
        """What messages call the member."""
        return self.path if self.name == self.path else f"{self.name} in {self.path}"


def open_member(locator: Locator, download_config: DownloadConfig | None = None) -> Layer:
    """Open the unpacked content of a member.

    How the member is packed is told by its first bytes, not by its name. A known digest is checked when the reading
    has come from the start to the end without a gap.

    Args:
        locator: where the member is.
        download_config: token and storage options for remote files.

    Raises:
        TransferError: the file cannot be reached.
        IdxError: the member is damaged, or packed in a way that is not supported. Also later, while reading.
    """
    stop = None if locator.size is None or locator.container else locator.offset + locator.size
    file = open_file(locator.path, download_config, size=locator.file_size, stop=stop)
    name = locator.title
    try:
        # Only a file of its own starts at 0; in an archive, a header comes first.
        if locator.offset == 0 and locator.size is not None and file.size not in (None, locator.size):
            raise IdxError(
                f"{name}: found a file of {file.size:,} bytes, expected {locator.size:,}: it is another file."
            )
        if locator.container:
            file = Unpacker(file, locator.container, locator.path)
        window: Layer = Window(file, locator.offset, locator.size, name)
        size = locator.size if locator.size is not None else window.size
        if locator.packed is not None and size == locator.packed_size:
            window = Verified(window, locator.packed, size, name)
        content = Unpacker(window, "deflate", name) if locator.deflated else window
        packing = detect_packing(content)
        if packing:
            content = Unpacker(content, packing, name)
        if locator.unpacked is not None and not isinstance(window, Verified):
            content = Verified(content, locator.unpacked, None, name)
        return content
    except BaseException:
        file.close()
        raise


def verify_member(locator: Locator, download_config: DownloadConfig | None = None) -> None:
    """Read a whole member and compare its digest with the known one; without unpacking, if that of the packed is known.

    Raises:
        IdxError: they differ, or the member is damaged.
    """
    if locator.packed is not None and not locator.container and not locator.deflated:
        file = open_file(locator.path, download_config, size=locator.file_size)
        window = Window(file, locator.offset, locator.size, locator.title)
        if window.size == locator.packed_size:
            content: Layer = Verified(window, locator.packed, window.size, locator.title)
        else:
            file.close()
            content = open_member(locator, download_config)
    else:
        content = open_member(locator, download_config)
    try:
        while content.read(PIECE_BYTES):
            pass
    finally:
        content.close()


def open_file(
    path: str,
    download_config: DownloadConfig | None = None,
    size: int | None = None,
    stop: int | None = None,
    first_request: int = FIRST_REQUEST,
    largest_request: int = LARGEST_REQUEST,
) -> Layer:
    """Open a local or remote file as it is stored."""
    if is_remote(path):
        return RemoteFile(path, download_config, size, stop, first_request, largest_request)
    return LocalFile(path)


def is_remote(path: str) -> bool:
    return "://" in path and not path.startswith("file://")


def detect_packing(stream: Layer) -> str:
    """How the content of a stream is packed: "gzip", "bzip2", "xz", or "" for not at all. The stream is rewound."""
    head = b""
    while len(head) < 6 and (data := stream.read(6 - len(head))):
        head += data
    stream.seek(0)
    return next((packing for magic, packing in MAGIC_NUMBERS.items() if head.startswith(magic)), "")


class Layer:
    """A stream on top of another."""

    size: int | None = None

    def __init__(self, below: Layer) -> None:
        self._below = below

    def read(self, size: int, /) -> bytes:
        return self._below.read(size)

    def seek(self, position: int, /) -> object:
        return self._below.seek(position)

    def tell(self) -> int:
        return self._below.tell()

    def close(self) -> None:
        self._below.close()


class LocalFile(Layer):
    def __init__(self, path: str) -> None:
        path = path.removeprefix("file://")
        try:
            self._file = open(path, "rb")
        except OSError as error:
            raise TransferError(f"{path}: cannot be read: {error.strerror}.") from error
        self.size = self._file.seek(0, 2)
        self._file.seek(0)
        self.read = self._file.read  # type: ignore[method-assign]  # spares a call for each block
        self.seek = self._file.seek  # type: ignore[method-assign]
        self.tell = self._file.tell  # type: ignore[method-assign]

    def close(self) -> None:
        self._file.close()


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


class Window(Layer):
    """A stretch of a stream as a stream of its own."""

    def __init__(self, below: Layer, offset: int, size: int | None, name: str) -> None:
        super().__init__(below)
        if below.size is not None:
            available = max(0, below.size - offset)
            if size is not None and size > available:
                raise IdxError(
                    f"{name}: expected {size:,} bytes from position {offset:,} on, but the file has only "
                    f"{below.size:,} bytes. It is cut short: fetch it again."
                )
            size = available if size is None else size
        self.size = size
        self._offset = offset
        below.seek(offset)

    def read(self, size: int, /) -> bytes:
        if self.size is not None:
            size = min(size, self.size - self.tell())
        return self._below.read(size) if size > 0 else b""

    def seek(self, position: int, /) -> object:
        return self._below.seek(self._offset + position)

    def tell(self) -> int:
        return self._below.tell() - self._offset


class Verified(Layer):
    """Checks a stream against its digest, as far as it is read from the start without a gap."""

    def __init__(self, below: Layer, digest: str, size: int | None, name: str) -> None:
        super().__init__(below)
        self._algorithm, _, self._expected = digest.partition(":")
        self._name = name
        self.size = size
        self._hashed = 0
        self._restart()

    def read(self, size: int, /) -> bytes:
        start = self._below.tell()
        data = self._below.read(size)
        end = start + len(data)
        if start <= self._hashed < end:
            self._hash.update(memoryview(data)[self._hashed - start :])
            self._hashed = end
        if self._hashed == self.size or (not data and start == self._hashed):
            self._check()
        return data

    def seek(self, position: int, /) -> object:
        if position == 0:
            self._restart()
        return self._below.seek(position)

    def _restart(self) -> None:
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)
        self._hashed = 0

    def _check(self) -> None:
        found = self._hash.hexdigest()
        if found != self._expected:
            raise IdxError(
                f"{self._name}: the content is not the published one: found {self._algorithm} {found}, expected "
                f'{self._expected}. Fetch it again (download_mode="force_redownload").'
            )


# What decompressors raise on damaged data.
DAMAGE: tuple[type[Exception], ...] = (zlib_ng.error, lzma.LZMAError, OSError, EOFError)  # type: ignore[assignment]


class Inflater:
    """`zlib_ng`'s decompressor with the interface that those of `bz2` and `lzma` have."""

    def __init__(self, wbits: int) -> None:
        self._inflate = zlib_ng.decompressobj(wbits)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    @property
    def needs_input(self) -> bool:
        return not (self._full or self._inflate.unconsumed_tail)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        content = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self._full = len(content) == max_length
        return content

    def copy(self) -> Inflater:
        twin = Inflater.__new__(Inflater)
        twin._inflate, twin._full = self._inflate.copy(), self._full  # type: ignore[attr-defined]  # it is there
        return twin


DECOMPRESSORS: dict[str, Callable[[], Any]] = {
    "gzip": lambda: Inflater(31),
    "deflate": lambda: Inflater(-15),
    "bzip2": bz2.BZ2Decompressor,
    "xz": lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_LIMIT),
}


class Checkpoint(NamedTuple):
    """The state of an `Unpacker`."""

    position: int
    below: int
    decompressor: Any


class Unpacker(Layer):
    """The unpacked content of a packed stream, a bounded piece at a time.

    It remembers how to go on from some of the places it has been at, so that records can be read in any order at the
    cost of unpacking little more than the records themselves. The decompressors of bzip2 and xz cannot be copied:
    there, going back means starting again.
    """

    def __init__(self, below: Layer, packing: str, name: str) -> None:
        super().__init__(below)
        self._packing = packing
        self._name = name
        self._new = DECOMPRESSORS[packing]
        self._position = 0
        self._decompressor = self._new()
        self._checkpoints: list[Checkpoint] = []
        self._spacing = CHECKPOINT_BYTES

    def tell(self) -> int:
        return self._position

    def seek(self, position: int, /) -> None:
        start = next((mark for mark in reversed(self._checkpoints) if mark.position <= position), None)
        if position < self._position or (start is not None and start.position > self._position):
            self._resume(start)
        while self._position < position:
            if not self.read(min(position - self._position, PIECE_BYTES)):
                break

    def read(self, size: int, /) -> bytes:
        try:
            content = self._unpack(size)
        except DAMAGE as error:
            raise IdxError(
                f"{self._name}: the {self._packing} data is damaged after {self._position:,} unpacked bytes ({error}). "
                'Fetch it again (download_mode="force_redownload").'
            ) from error
        self._position += len(content)
        if self._position >= (self._checkpoints[-1].position if self._checkpoints else 0) + self._spacing:
            self._remember()
        return content

    def _unpack(self, size: int) -> bytes:
        while size > 0:
            if self._decompressor.eof and not self._next_part():
                break
            data = b""
            if self._decompressor.needs_input:
                data = self._below.read(PIECE_BYTES)
                if not data:
                    raise EOFError("it ends too early")
            content = self._decompressor.decompress(data, size)
            if content:
                return content
        return b""

    def _next_part(self) -> bool:
        """Go on to the next of the parts that a packed file may be made of; False where there is none."""
        rest = self._decompressor.unused_data
        while not rest.strip(b"\0"):  # gzip files may be padded with zeros
            rest = self._below.read(PIECE_BYTES)
            if not rest:
                return False
        rest = rest.lstrip(b"\0")
        if self._packing == "deflate":
            raise EOFError("more data follows its end")
        self._below.seek(self._below.tell() - len(rest))
        self._decompressor = self._new()
        return True

    def _resume(self, start: Checkpoint | None) -> None:
        self._position, below = (start.position, start.below) if start else (0, 0)
        self._decompressor = start.decompressor.copy() if start else self._new()
        self._below.seek(below)

    def _remember(self) -> None:
        if not hasattr(self._decompressor, "copy"):
            return
        self._checkpoints.append(Checkpoint(self._position, self._below.tell(), self._decompressor.copy()))
        if len(self._checkpoints) > MAX_CHECKPOINTS:
            self._checkpoints = self._checkpoints[1::2]
            self._spacing *= 2


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
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__


def _causes(error: BaseException) -> list[BaseException]:
    chain = [error]
    while chain[-1].__cause__ is not None:
        chain.append(chain[-1].__cause__)
    return chain


def _http_status(error: BaseException) -> int | None:
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None
