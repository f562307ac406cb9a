"""A real HTTP/1.1 server on 127.0.0.1 that counts what it sends and fails on request."""

from __future__ import annotations

import dataclasses
import os
import random
import select
import socket
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

CHUNK = 64 * 1024
HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please accept our terms.</body></html>"
Content = bytes | str | os.PathLike[str]


@dataclasses.dataclass
class Behaviour:
    """How a path fails. Offsets count bytes of the body of one response."""

    ranges: bool = True  # False: ignore `Range`, answer every GET with the whole file
    status: int | None = None  # answer with this status
    html: bool = False  # answer 200 with an HTML page
    close_after: int | None = None  # full Content-Length, but a clean end of the connection after so many bytes
    reset_after: int | None = None  # the same with a TCP reset
    stall_after: int | None = None  # so many bytes, then silence until the client disconnects
    bandwidth: float | None = None  # bytes per second
    head: bool = True  # False: refuse HEAD with 403, as servers with signed URLs do
    length: bool = True  # False: send no Content-Length, close the connection at the end
    times: int | None = None  # fail only this many requests (None: all)
    skip: int = 0  # answer this many requests well before failing
    methods: tuple[str, ...] = ("GET", "HEAD")


class RandomFaults:
    """One request in `one_in` fails. The same seed repeats a run."""

    def __init__(self, seed: int, one_in: int = 20):
        self._random, self._one_in = random.Random(seed), one_in
        self.injected: Counter[str] = Counter()

    def draw(self) -> Behaviour:
        if self._random.randrange(self._one_in):
            return Behaviour()
        kind = self._random.choice(["reset_after", "close_after", "status"])
        self.injected[kind] += 1
        return Behaviour(**{kind: 503 if kind == "status" else self._random.randrange(1 << 16)})


class Request(NamedTuple):
    method: str
    path: str
    range: str | None
    sent: int  # body bytes handed to the socket


class Server(ThreadingHTTPServer):
    """Serves a mapping from paths to bytes or files. Use as a context manager."""

    request_queue_size = 128

    def __init__(self, content: Mapping[str, Content] | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        # A small send buffer keeps the bytes that count as sent close to those that the client has received.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        self._lock = threading.Lock()
        self.content: dict[str, bytes] = {}
        self._behaviours: defaultdict[str, list[Behaviour]] = defaultdict(list)
        self.handlers: list[_Handler] = []  # of unfinished responses
        self.requests: list[Request] = []
        self.faults: RandomFaults | None = None
        for path, data in (content or {}).items():
            self.put(path, data)

    def put(self, path: str, data: Content) -> str:
        """Serve `data` (bytes, or the path of a file) at `path`. Returns the URL."""
        self.content[path] = data if isinstance(data, bytes) else Path(data).read_bytes()
        return self.url(path)

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{quote(path)}"

    def behave(self, path: str = "*", **options: Any) -> None:
        """Make `path`, or every path, fail as in `Behaviour`. The latest behaviour that applies wins."""
        self._behaviours[path].insert(0, Behaviour(**options))

    def heal(self) -> None:
        self._behaviours.clear()
        self.faults = None

    def choose(self, path: str, method: str) -> Behaviour:
        with self._lock:
            for behaviour in (*self._behaviours[path], *self._behaviours["*"]):
                if method not in behaviour.methods or behaviour.times == 0:
                    continue
                if behaviour.skip > 0:
                    behaviour.skip -= 1
                    continue
                if behaviour.times is not None:
                    behaviour.times -= 1
                return behaviour
            return Behaviour() if self.faults is None else self.faults.draw()

    def _matching(self, path: str | None, method: str | None) -> list[Request]:
        return [r for r in list(self.requests) if path in (None, r.path) and method in (None, r.method)]

    def count(self, path: str | None = None, method: str | None = None) -> int:
        """Number of requests."""
        return len(self._matching(path, method))

    def sent(self, path: str | None = None, method: str | None = None) -> int:
        """Bytes of all bodies."""
        return sum(request.sent for request in self._matching(path, method))

    def under_way(self, path: str) -> int:
        """Bytes sent so far by the longest unfinished response for `path`."""
        return max((handler.sent for handler in list(self.handlers) if handler.requested == path), default=0)

    def forget(self) -> None:
        """Reset the counters, once no response is under way."""
        self.settle()
        self.requests.clear()

    @contextmanager
    def counting(self) -> Iterator[Server]:
        self.forget()
        yield self
        self.settle()

    def settle(self) -> None:
        """Wait until no response is under way, so that the counters are complete."""
        until = time.monotonic() + 2
        while self.handlers and time.monotonic() < until:
            time.sleep(0.01)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that disconnect are part of the tests."""

    def __enter__(self) -> Server:
        threading.Thread(target=self.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60  # seconds until an idle connection is closed
    server: Server

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.sent = 0
        self.requested = unquote(urlsplit(self.path).path)
        self.server.handlers.append(self)
        try:
            self._answer(self.requested)
        except OSError:
            self.close_connection = True
        finally:
            self.server.requests.append(Request(self.command, self.requested, self.headers.get("Range"), self.sent))
            self.server.handlers.remove(self)

    do_HEAD = do_GET

    def _answer(self, path: str) -> None:
        behaviour = self.server.choose(path, self.command)
        if behaviour.html or behaviour.status is not None:
            return self._page(behaviour.status or 200)
        if self.command == "HEAD" and not behaviour.head:
            return self._page(403)
        if path not in self.server.content:
            return self._page(404)
        body, status = self.server.content[path], 200
        start, stop = 0, len(body)
        headers = {"Accept-Ranges": "bytes"} if behaviour.ranges else {}
        if behaviour.ranges and "Range" in self.headers:  # "bytes=FIRST-LAST" or "bytes=FIRST-"
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            start, stop, status = int(first), min(int(last or stop) + 1, stop), 206
            if start >= stop:
                return self._page(416)
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(body)}"
        if behaviour.length:
            headers["Content-Length"] = str(stop - start)
        else:
            self.close_connection = True
        self._headers(status, headers)
        if self.command == "GET":
            self._body(memoryview(body)[start:stop], behaviour)

    def _headers(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _page(self, status: int) -> None:
        self._headers(status, {"Content-Type": "text/html", "Content-Length": str(len(HTML))})
        if self.command == "GET":
            self.wfile.write(HTML)
            self.sent += len(HTML)

    def _body(self, body: memoryview, behaviour: Behaviour) -> None:
        stops = [o for o in (behaviour.close_after, behaviour.reset_after, behaviour.stall_after) if o is not None]
        end = min([len(body), *stops])
        chunk = CHUNK if behaviour.bandwidth is None else max(1024, min(CHUNK, int(behaviour.bandwidth / 50)))
        for offset in range(0, end, chunk):
            piece = body[offset : min(offset + chunk, end)]
            self.connection.sendall(piece)
            self.sent += len(piece)
            if behaviour.bandwidth is not None:
                time.sleep(len(piece) / behaviour.bandwidth)
        if end == len(body):
            return
        self.close_connection = True
        if behaviour.stall_after is not None:
            select.select([self.connection], [], [])  # until the client disconnects
        elif behaviour.reset_after is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
