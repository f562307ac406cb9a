"""Streams on top of streams: a local file, a window on a file, a check of what passes through.

Each layer has `read`, `seek`, `tell` and `close`. A `read` returns at least one byte unless the stream has ended;
positions count from the start of the layer.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor

from .idx import IdxError, TransferError

# Bytes whose hashing takes longer than to hand them over.
WORTH_A_THREAD = 64 << 10


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

    def until(self, position: int) -> None:
        """Say that nothing from a position on will be asked for soon."""

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

    def until(self, position: int) -> None:
        self._below.until(self._offset + position)


class Hashed(Layer):
    """Computes the digest of what is read from the start without a gap, in a thread beside whoever uses the data."""

    def __init__(self, below: Layer, algorithm: str = "sha256") -> None:
        super().__init__(below)
        self._algorithm = algorithm
        self._hashed = 0
        self._thread: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        self._restart()

    def read(self, size: int, /) -> bytes:
        start = self._below.tell()
        data = self._below.read(size)
        end = start + len(data)
        if start <= self._hashed < end:
            self._update(memoryview(data)[self._hashed - start :])
            self._hashed = end
        return data

    def seek(self, position: int, /) -> object:
        if position == 0:
            self._restart()
        return self._below.seek(position)

    def until(self, position: int) -> None:
        self._below.until(position)

    def hexdigest(self) -> str:
        self._settle()
        return self._hash.hexdigest()

    def close(self) -> None:
        self._settle()
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        super().close()

    def _update(self, data: memoryview) -> None:
        self._settle()
        if len(data) < WORTH_A_THREAD:
            self._hash.update(data)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "mnist_idx-hash")
        self._pending = self._thread.submit(self._hash.update, data)

    def _settle(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _restart(self) -> None:
        self._settle()
        self._hash = hashlib.new(self._algorithm, usedforsecurity=False)
        self._hashed = 0


class Verified(Hashed):
    """Checks a stream against its digest, as far as it is read from the start without a gap."""

    def __init__(self, below: Layer, digest: str, size: int | None, name: str) -> None:
        algorithm, _, self._expected = digest.partition(":")
        super().__init__(below, algorithm)
        self._name = name
        self.size = size

    def read(self, size: int, /) -> bytes:
        data = super().read(size)
        if self._hashed == self.size or (not data and self._below.tell() == self._hashed):
            self._check()
        return data

    def _check(self) -> None:
        found = self.hexdigest()
        if found != self._expected:
            raise IdxError(
                f"{self._name}: the content is not the published one: found {self._algorithm} {found}, expected "
                f'{self._expected}. Fetch it again (download_mode="force_redownload").'
            )
