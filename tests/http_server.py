"""A real HTTP/1.1 server on 127.0.0.1 that counts what it sends and misbehaves on request.

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


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """What a path does instead of answering well. Offsets count bytes of one response's body."""

    ranges: bool = True  # False: `Range` is ignored and not offered, every GET is a 200 with everything
    status: int | None = None  # answer with this status
    html: bool = False  # answer 200 with a page, whatever was asked for
    announce: int | None = None  # announce only so many bytes of the file, consistently: a shortened file
    close_after: int | None = None  # full Content-Length, but a clean end of the connection after so many bytes
    reset_after: int | None = None  # the same with a TCP reset
    stall_after: int | None = None  # so many bytes, then silence until the client goes away
    delay: float = 0.0  # seconds before the answer
    flip: tuple[int, ...] = ()  # offsets in the file whose bytes are inverted
    bandwidth: float | None = None  # bytes per second
    head: bool = True  # False: HEAD is refused with 403, as servers with signed URLs do
    etag: bool = True
    times: int | None = None  # only for so many requests, then as if never set (None: for ever)
    skip: int = 0  # only after so many requests have been answered well
    methods: tuple[str, ...] = ("GET", "HEAD")


@dataclasses.dataclass
class RandomFaults:
    """One request in `one_in` fails, drawn from a generator of its own so that a seed repeats a run."""

    seed: int
    one_in: int = 20
    delay: float = 0.05
    kinds: tuple[str, ...] = ("reset", "503", "short", "delay")

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self._lock = threading.Lock()
        self.injected: Counter[str] = Counter()

    def draw(self) -> Behaviour | None:
        with self._lock:
            if self._random.randrange(self.one_in):
                return None
            kind = self._random.choice(self.kinds)
            where = self._random.randrange(1 << 16)
            self.injected[kind] += 1
        if kind == "reset":
            return Behaviour(reset_after=where)
        if kind == "short":
            return Behaviour(close_after=where)
        if kind == "503":
            return Behaviour(status=503)
        return Behaviour(delay=self.delay)


class Request(NamedTuple):
    method: str
    path: str
    range: str | None
    status: int
    sent: int  # body bytes handed to the socket


class Server:
    """Serves a folder, or a mapping from path to bytes or a file. Use as a context manager."""

    def __init__(self, content: Mapping[str, bytes | str | os.PathLike[str]] | str | os.PathLike[str] | None = None):
        self._lock = threading.Lock()
        self._content: dict[str, bytes] = {}
        self._etags: dict[str, str] = {}
        self._behaviours: dict[str, list[list[Any]]] = {}
        self.requests: list[Request] = []
        self._handlers: set[_Handler] = set()
        self.faults: RandomFaults | None = None
        self.open_connections = 0
        self.most_connections = 0
        self.connections = 0
        if isinstance(content, Mapping):
            for path, data in content.items():
                self.put(path, data)
        elif content is not None:
            root = Path(content)
            for file in sorted(p for p in root.rglob("*") if p.is_file()):
                self.put("/" + file.relative_to(root).as_posix(), file)

    # content

    def put(self, path: str, data: bytes | str | os.PathLike[str]) -> str:
        """Serve `data` (bytes, or the path of a file) at `path`, replacing what was there. Returns the URL."""
        body = data if isinstance(data, bytes) else Path(data).read_bytes()
        with self._lock:
            self._content[path] = body
            self._etags[path] = f'"{hashlib.md5(body).hexdigest()}"'
        return self.url(path) if hasattr(self, "_http") else path

    def remove(self, path: str) -> None:
        with self._lock:
            del self._content[path]

    def get(self, path: str) -> tuple[bytes, str] | None:
        with self._lock:
            return (self._content[path], self._etags[path]) if path in self._content else None

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{quote(path)}"

    @property
    def port(self) -> int:
        return self._http.server_address[1]

    # behaviour

    def behave(self, path: str = "*", **options: Any) -> None:
        """Make `path` (or every path) misbehave; see `Behaviour`. The latest behaviour that applies wins."""
        behaviour = Behaviour(**options)
        with self._lock:
            self._behaviours.setdefault(path, []).append([behaviour, behaviour.skip, behaviour.times])

    def heal(self) -> None:
        """Forget every misbehaviour."""
        with self._lock:
            self._behaviours.clear()
        self.faults = None

    def choose(self, path: str, method: str) -> Behaviour:
        with self._lock:
            for key in (path, "*"):
                for state in reversed(self._behaviours.get(key, [])):
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

    # counters

    def begin(self, handler: _Handler) -> None:
        with self._lock:
            self._handlers.add(handler)

    def end(self, handler: _Handler, request: Request) -> None:
        with self._lock:
            self._handlers.discard(handler)
            self.requests.append(request)

    def connection(self, change: int) -> None:
        with self._lock:
            self.open_connections += change
            self.connections += change > 0
            self.most_connections = max(self.most_connections, self.open_connections)

    def count(self, path: str | None = None, method: str | None = None) -> int:
        with self._lock:
            return sum((path in (None, r.path)) and (method in (None, r.method)) for r in self.requests)

    def sent(self, path: str | None = None, method: str | None = None) -> int:
        with self._lock:
            return sum(r.sent for r in self.requests if (path in (None, r.path)) and (method in (None, r.method)))

    def under_way(self, path: str) -> int:
        """Bytes handed to the socket so far by the longest response for `path` that is not finished."""
        with self._lock:
            return max((handler.sent for handler in self._handlers if handler.asked_for == path), default=0)

    def forget(self) -> None:
        """Set the counters back to nothing. Responses still under way are counted when they end."""
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
        while time.monotonic() < until:
            with self._lock:
                if not self._handlers:
                    return
            time.sleep(0.01)

    # life

    def __enter__(self) -> Server:
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._http.closing.set()
        self._http.wakeup_send.close()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
        self._http.wakeup.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, owner: Server):
        self.owner = owner
        self.closing = threading.Event()
        self.wakeup, self.wakeup_send = socket.socketpair()
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away in the middle are the point of the tests, not news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http
    timeout = 60  # an idle connection is let go

    def setup(self) -> None:
        # A small send buffer, so that what is counted as sent is close to what the client has taken.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()
        self.server.owner.connection(+1)

    def finish(self) -> None:
        self.server.owner.connection(-1)
        with suppress(OSError):  # the client may have reset the connection
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._respond()

    def do_HEAD(self) -> None:
        self._respond()

    def _respond(self) -> None:
        self.sent = 0
        self._status = 0
        self.asked_for = unquote(urlsplit(self.path).path)
        self.server.owner.begin(self)
        try:
            self._answer(self.asked_for)
        except OSError:
            self.close_connection = True
        finally:
            span = self.headers.get("Range")
            self.server.owner.end(self, Request(self.command, self.asked_for, span, self._status, self.sent))

    def _answer(self, path: str) -> None:
        owner = self.server.owner
        behaviour = owner.choose(path, self.command)
        if behaviour.delay:
            self.server.closing.wait(behaviour.delay)
        found = owner.get(path)
        if behaviour.html:
            return self._page(200, HTML)
        if behaviour.status is not None:
            return self._page(behaviour.status, b"<html><body>unavailable</body></html>")
        if self.command == "HEAD" and not behaviour.head:
            return self._page(403, b"")
        if found is None:
            return self._page(404, b"<html><body>no such file</body></html>")
        body, etag = found
        if behaviour.flip:
            spoiled = bytearray(body)
            for offset in behaviour.flip:
                spoiled[offset] ^= 0xFF
            body = bytes(spoiled)
        if behaviour.announce is not None:
            body = body[: behaviour.announce]
        start, stop, status = 0, len(body), 200
        if behaviour.ranges and "Range" in self.headers:
            wanted = _parse_range(self.headers["Range"], len(body))
            if wanted is None:
                self._headers(416, {"Content-Range": f"bytes */{len(body)}", "Content-Length": "0"})
                return
            start, stop = wanted
            status = 206
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(stop - start)}
        if behaviour.etag:
            headers["ETag"] = etag
        if behaviour.ranges:
            headers["Accept-Ranges"] = "bytes"
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
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
                ahead = began + self.sent / behaviour.bandwidth - time.monotonic()
                if ahead > 0:
                    self.server.closing.wait(ahead)
        if end == len(body):
            return
        self.close_connection = True
        if behaviour.stall_after is not None:
            select.select([self.connection, self.server.wakeup], [], [])
        elif behaviour.reset_after is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def _parse_range(header: str, size: int) -> tuple[int, int] | None:
    """One `bytes=a-b`, `bytes=a-` or `bytes=-n` as (start, stop); None if nothing of it is in the file."""
    unit, _, spec = header.partition("=")
    first, _, last = spec.partition("-")
    if unit.strip() != "bytes" or "," in spec:
        return 0, size
    if not first:
        return (max(0, size - int(last)), size) if int(last) else None
    start = int(first)
    stop = min(int(last) + 1, size) if last.strip() else size
    return (start, stop) if start < stop else None
