"""A real HTTP/1.1 server on 127.0.0.1 that counts what it sends and fails on request.

with Server({"/mnist.tar": path_or_bytes}) as server:
    server.behave("/mnist.tar", status=503, times=2)      # twice unavailable, then fine
    ...
    assert server.sent("/mnist.tar") < 1_800_000
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

CHUNK = 64 * 1024
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please accept our terms.</body></html>"
Content = bytes | str | os.PathLike[str]


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """How a path fails. Offsets count bytes of the body of one response."""

    ranges: bool = True  # False: ignore `Range`, answer every GET with the whole file
    status: int | None = None  # answer with this status
    html: bool = False  # answer 200 with an HTML page
    close_after: int | None = None  # full Content-Length, but a clean end of the connection after so many bytes
    reset_after: int | None = None  # the same with a TCP reset
    stall_after: int | None = None  # so many bytes, then silence until the client disconnects
    delay: float = 0.0  # seconds before the answer
    bandwidth: float | None = None  # bytes per second
    head: bool = True  # False: refuse HEAD with 403, as servers with signed URLs do
    length: bool = True  # False: send no Content-Length, close the connection at the end
    times: int | None = None  # fail only this many requests (None: all)
    skip: int = 0  # answer this many requests well before failing
    methods: tuple[str, ...] = ("GET", "HEAD")


@dataclasses.dataclass
class RandomFaults:
    """One request in `one_in` fails. The same seed repeats a run."""

    seed: int
    one_in: int = 20
    delay: float = 0.05

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()

    def draw(self) -> Behaviour | None:
        with self._lock:
            if self._random.randrange(self.one_in):
                return None
            faults = {"reset_after": self._random.randrange(1 << 16), "status": 503, "delay": self.delay}
            faults["close_after"] = self._random.randrange(1 << 16)
            kind = self._random.choice(list(faults))
            self.injected[kind] += 1
        return Behaviour(**{kind: faults[kind]})  # type: ignore[arg-type]


class Request(NamedTuple):
    method: str
    path: str
    range: str | None
    status: int
    sent: int  # body bytes handed to the socket


class Server:
    """Serves a mapping from paths to bytes or files. Use as a context manager."""

    def __init__(self, content: Mapping[str, Content] | None = None):
        self._lock = threading.Lock()
        self._content: dict[str, tuple[bytes, str]] = {}
        self._behaviours: dict[str, list[list[Any]]] = {}
        self._handlers: set[_Handler] = set()
        self.requests: list[Request] = []
        self.faults: RandomFaults | None = None
        self._http = _Http(self)
        for path, data in (content or {}).items():
            self.put(path, data)

    def put(self, path: str, data: Content) -> str:
        """Serve `data` (bytes, or the path of a file) at `path`. Returns the URL."""
        body = data if isinstance(data, bytes) else Path(data).read_bytes()
        self._content[path] = body, f'"{hashlib.md5(body).hexdigest()}"'
        return self.url(path)

    def get(self, path: str) -> tuple[bytes, str] | None:
        return self._content.get(path)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{quote(path)}"

    @property
    def port(self) -> int:
        return int(self._http.server_address[1])

    def behave(self, path: str = "*", **options: Any) -> None:
        """Make `path`, or every path, fail as in `Behaviour`. The latest behaviour that applies wins."""
        behaviour = Behaviour(**options)
        with self._lock:
            self._behaviours.setdefault(path, []).append([behaviour, behaviour.skip, behaviour.times])

    def heal(self) -> None:
        """Stop failing."""
        with self._lock:
            self._behaviours.clear()
        self.faults = None

    def choose(self, path: str, method: str) -> Behaviour:
        with self._lock:
            for state in (*reversed(self._behaviours.get(path, [])), *reversed(self._behaviours.get("*", []))):
                behaviour, skip, times = state
                if method not in behaviour.methods:
                    continue
                if skip > 0:
                    state[1] -= 1
                elif times is None:
                    return behaviour
                elif times > 0:
                    state[2] -= 1
                    return behaviour
        return (self.faults.draw() if self.faults is not None else None) or Behaviour()

    def begin(self, handler: _Handler) -> None:
        with self._lock:
            self._handlers.add(handler)

    def end(self, handler: _Handler, request: Request) -> None:
        with self._lock:
            self._handlers.discard(handler)
            self.requests.append(request)

    def _matching(self, path: str | None, method: str | None) -> list[Request]:
        with self._lock:
            return [r for r in self.requests if path in (None, r.path) and method in (None, r.method)]

    def count(self, path: str | None = None, method: str | None = None) -> int:
        """Number of requests."""
        return len(self._matching(path, method))

    def sent(self, path: str | None = None, method: str | None = None) -> int:
        """Bytes of all bodies."""
        return sum(request.sent for request in self._matching(path, method))

    def under_way(self, path: str) -> int:
        """Bytes sent so far by the longest unfinished response for `path`."""
        with self._lock:
            return max((handler.sent for handler in self._handlers if handler.requested == path), default=0)

    def forget(self) -> None:
        """Reset the counters, once no response is under way."""
        self.settle()
        with self._lock:
            self.requests.clear()

    @contextmanager
    def counting(self) -> Iterator[Server]:
        self.forget()
        yield self
        self.settle()

    def settle(self, seconds: float = 2.0) -> None:
        """Wait until no response is under way, so that the counters are complete."""
        until = time.monotonic() + seconds
        while self._handlers and time.monotonic() < until:
            time.sleep(0.01)

    def __enter__(self) -> Server:
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: Server):
        self.owner = owner
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that disconnect are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http
    timeout = 60  # seconds until an idle connection is closed

    def setup(self) -> None:
        # A small send buffer keeps the bytes that count as sent close to those that the client has received.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def finish(self) -> None:
        with suppress(OSError):  # the client may have reset the connection
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.sent = self._status = 0
        self.requested = unquote(urlsplit(self.path).path)
        self.server.owner.begin(self)
        try:
            self._answer(self.requested)
        except OSError:
            self.close_connection = True
        finally:
            span = self.headers.get("Range")
            self.server.owner.end(self, Request(self.command, self.requested, span, self._status, self.sent))

    do_HEAD = do_GET

    def _answer(self, path: str) -> None:
        behaviour = self.server.owner.choose(path, self.command)
        if behaviour.delay:
            self.server.closing.wait(behaviour.delay)
        found = self.server.owner.get(path)
        if behaviour.html:
            return self._page(200, HTML)
        if behaviour.status is not None:
            return self._page(behaviour.status, b"<html><body>unavailable</body></html>")
        if self.command == "HEAD" and not behaviour.head:
            return self._page(403, b"")
        if found is None:
            return self._page(404, b"<html><body>no such file</body></html>")
        body, etag = found
        start, stop, status = 0, len(body), 200
        headers = {"Content-Type": "application/octet-stream", "ETag": etag}
        if behaviour.ranges:
            headers["Accept-Ranges"] = "bytes"
        if behaviour.ranges and "Range" in self.headers:
            span = _parse_range(self.headers["Range"], len(body))
            if span is None:
                return self._headers(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
            (start, stop), status = span, 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        if behaviour.length:
            headers["Content-Length"] = str(stop - start)
        else:
            self.close_connection = True
        self._headers(status, headers)
        if self.command == "GET":
            self._body(memoryview(body)[start:stop], behaviour)

    def _headers(self, status: int, headers: Mapping[str, str]) -> None:
        self._status = status
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _page(self, status: int, page: bytes) -> None:
        self._headers(status, {"Content-Type": "text/html", "Content-Length": str(len(page))})
        if self.command == "GET":
            self.wfile.write(page)
            self.sent += len(page)

    def _body(self, body: memoryview, behaviour: Behaviour) -> None:
        stops = [o for o in (behaviour.close_after, behaviour.reset_after, behaviour.stall_after) if o is not None]
        end = min([len(body), *stops])
        began = time.monotonic()
        chunk = CHUNK if behaviour.bandwidth is None else max(1024, min(CHUNK, int(behaviour.bandwidth / 50)))
        for offset in range(0, end, chunk):
            piece = body[offset : min(offset + chunk, end)]
            self.connection.sendall(piece)
            self.sent += len(piece)
            if behaviour.bandwidth is not None:
                self.server.closing.wait(max(0, began + self.sent / behaviour.bandwidth - time.monotonic()))
        if end == len(body):
            return
        self.close_connection = True
        if behaviour.stall_after is not None:
            select.select([self.connection], [], [])  # until the client disconnects
        elif behaviour.reset_after is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _parse_range(header: str, size: int) -> tuple[int, int] | None:
    """`bytes=a-b`, `bytes=a-` or `bytes=-n` as (start, stop); None if it is outside the file."""
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    start, stop = int(first), min(int(last) + 1, size) if last else size
    return (start, stop) if start < stop else None
