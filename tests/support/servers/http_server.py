"""A real HTTP/1.1 server on 127.0.0.1 that counts what it sends and fails on request."""

from __future__ import annotations

import dataclasses
import os
import random
import select
import socket
import ssl
import struct
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

CHUNK = 64 * 1024
HTML = (
    b"<!DOCTYPE html><html><head><title>Sign in</title></head>"
    b"<body>Please accept our terms.</body></html>"
)
Content = bytes | str | os.PathLike[str]


@dataclasses.dataclass
class Reply:
    """What a server is about to answer; `Behaviour.change` may make it another."""

    status: int
    headers: dict[str, str]
    # Pieces are sent in chunked encoding unless `headers` have a length.
    body: bytes | memoryview | Iterable[bytes]
    start: int  # the first byte of the range that was asked for
    stop: int  # the byte after its last
    total: int  # bytes of the file


@dataclasses.dataclass
class Behaviour:
    """How a path fails. Offsets count bytes of the body of one response."""

    ranges: bool = True  # False: ignore `Range`, answer every GET with the whole file
    status: int | None = None  # answer with this status
    html: bool = False  # answer 200 with an HTML page
    # Full Content-Length, but a clean end of the connection after so many bytes.
    close_after: int | None = None
    reset_after: int | None = None  # the same with a TCP reset
    stall_after: int | None = None  # so many bytes, then silence until the client disconnects
    bandwidth: float | None = None  # bytes per second
    trickle: float | None = None  # seconds between single bytes of the body
    slow_headers: float | None = None  # seconds between single bytes of the headers
    early_hints: float | None = None  # seconds between responses "103 Early Hints", without end
    silent: bool = False  # take the request and say nothing until the client disconnects
    change: Callable[[Reply], None] | None = None  # change what would be answered
    before: Callable[[], None] | None = None  # what happens before the request is looked at
    part: range = range(1 << 62)  # only for ranges that start in this part of the file
    head: bool = True  # False: refuse HEAD with 403, as servers with signed URLs do
    length: bool = True  # False: send no Content-Length, close the connection at the end
    times: int | None = None  # fail only this many requests (None: all)
    skip: int = 0  # answer this many requests well before failing
    methods: tuple[str, ...] = ("GET", "HEAD")

    def stop_of_body(self, size: int) -> int:
        """How many of the bytes of a body are sent."""
        stops = (self.close_after, self.reset_after, self.stall_after)
        return min([size, *[stop for stop in stops if stop is not None]])


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
    headers: Mapping[str, str] = {}  # with their names in lower case
    # As on the request line: a proxy is given a whole URL, or a host to connect to.
    target: str = ""


class Server(ThreadingHTTPServer):
    """Serves a mapping from paths to bytes or files. Use as a context manager.

    As a proxy, it answers for every host that it is asked for.
    """

    request_queue_size = 128

    def __init__(self, content: Mapping[str, Content] | None = None, host: str = "127.0.0.1"):
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, 0), _Handler)
        # A small send buffer keeps the bytes that count as sent close to those that the client has
        # received.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)
        self._lock = threading.Lock()
        self.content: dict[str, bytes] = {}
        self.headers: dict[str, dict[str, str]] = {}  # by path, for example an ETag
        self.tls: ssl.SSLContext | None = None  # with it, a proxy for https
        self._behaviours: defaultdict[str, list[Behaviour]] = defaultdict(list)
        self.handlers: list[_Handler] = []  # of unfinished responses
        self.requests: list[Request] = []
        self.misbehaved = 0  # how many requests a behaviour was chosen for
        self.faults: RandomFaults | None = None
        for path, data in (content or {}).items():
            self.put(path, data)

    def put(self, path: str, data: Content, **headers: str) -> str:
        """Serve `data` (bytes, or the path of a file) at `path`. Returns the URL.

        Headers are given as `ETag='"1"'` or `Last_Modified="Thu, 01 …"`.
        """
        self.headers[path] = {name.replace("_", "-"): value for name, value in headers.items()}
        self.content[path] = data if isinstance(data, bytes) else Path(data).read_bytes()
        return self.url(path)

    def validators(self, path: str) -> tuple[str | None, str | None]:
        """The ETag and the date of a file, as far as it has them."""
        headers = self.headers.get(path, {})
        return headers.get("ETag"), headers.get("Last-Modified")

    def url(self, path: str = "/", host: str | None = None) -> str:
        address, port = self.server_address[:2]
        host = host or (f"[{address!s}]" if ":" in str(address) else str(address))
        return f"http://{host}:{port}{quote(path)}"

    def behave(self, path: str = "*", **options: Any) -> None:
        """Make `path`, or every path, fail as in `Behaviour`.

        The latest behaviour that applies wins.
        """
        self._behaviours[path].insert(0, Behaviour(**options))

    def heal(self) -> None:
        self._behaviours.clear()
        self.faults = None

    def choose(self, path: str, method: str, start: int = 0) -> Behaviour:
        with self._lock:
            for behaviour in (*self._behaviours[path], *self._behaviours["*"]):
                if (
                    method not in behaviour.methods
                    or behaviour.times == 0
                    or start not in behaviour.part
                ):
                    continue
                if behaviour.skip > 0:
                    behaviour.skip -= 1
                    continue
                if behaviour.times is not None:
                    behaviour.times -= 1
                self.misbehaved += 1
                return behaviour
            return Behaviour() if self.faults is None else self.faults.draw()

    def _matching(self, path: str | None, method: str | None) -> list[Request]:
        return [
            r for r in list(self.requests) if path in (None, r.path) and method in (None, r.method)
        ]

    def count(self, path: str | None = None, method: str | None = None) -> int:
        """Number of requests."""
        return len(self._matching(path, method))

    def sent(self, path: str | None = None, method: str | None = None) -> int:
        """Bytes of all bodies."""
        return sum(request.sent for request in self._matching(path, method))

    def under_way(self, path: str) -> int:
        """Bytes sent so far by the longest unfinished response for `path`."""
        return max(
            (handler.sent for handler in list(self.handlers) if handler.requested == path),
            default=0,
        )

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
            self._record(self.requested, self.sent)
            self.server.handlers.remove(self)

    do_HEAD = do_GET

    def do_CONNECT(self) -> None:
        self._record(self.path, 0)
        if self.server.tls is None:
            self._page(403)
            return
        self._headers(200, {})
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)

    def finish(self) -> None:
        super().finish()
        # The server itself closes only the socket that was wrapped.
        if isinstance(self.connection, ssl.SSLSocket):
            self.connection.close()

    def _record(self, path: str, sent: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, path, self.headers.get("Range"), sent, headers, self.path)
        self.server.requests.append(request)

    def _answer(self, path: str) -> None:
        behaviour = self.server.choose(path, self.command, first_byte(self.headers.get("Range")))
        if behaviour.before is not None:
            behaviour.before()
        if behaviour.silent:
            self._wait()
            return
        if behaviour.early_hints is not None:
            self._hint(behaviour.early_hints)
        refusal = self._refusal(path, behaviour)
        if refusal is not None:
            self._page(refusal)
            return
        reply = self._reply(path, behaviour.ranges)
        if reply.start >= reply.stop and reply.status == 206:
            self._page(416)
            return
        if behaviour.change is not None:
            behaviour.change(reply)
        self._send(reply, behaviour)

    def _refusal(self, path: str, behaviour: Behaviour) -> int | None:
        """The status of the page that is sent in place of a file, None if the file is sent."""
        if behaviour.status is not None:
            return behaviour.status
        if behaviour.html:
            return 200
        if self.command == "HEAD" and not behaviour.head:
            return 403
        if path not in self.server.content:
            return 404
        if not self._is_unchanged(path):
            return 412
        return None

    def _is_unchanged(self, path: str) -> bool:
        """Whether a file is still the one that the client wants, if it names one."""
        tag, modified = self.server.validators(path)
        if self.headers.get("If-Match", tag) not in (tag, "*"):
            return False
        return self.headers.get("If-Unmodified-Since", modified) == modified

    def _reply(self, path: str, ranges: bool) -> Reply:
        """The file, or the range of it that was asked for, which may be empty."""
        body = self.server.content[path]
        total = len(body)
        reply = Reply(200, dict(self.server.headers.get(path, {})), body, 0, total, total)
        if not ranges:
            return reply
        reply.headers["Accept-Ranges"] = "bytes"
        is_current = self.headers.get("If-Range") in (None, *self.server.validators(path))
        asked = self.headers.get("Range")
        if asked is None or not is_current:
            return reply
        reply.start, reply.stop = byte_range(asked, total)
        reply.status = 206
        reply.body = memoryview(body)[reply.start : reply.stop]
        reply.headers["Content-Range"] = f"bytes {reply.start}-{reply.stop - 1}/{total}"
        return reply

    def _send(self, reply: Reply, behaviour: Behaviour) -> None:
        is_whole = isinstance(reply.body, (bytes, memoryview))
        is_chunked = not is_whole and "Content-Length" not in reply.headers
        if is_chunked:
            reply.headers["Transfer-Encoding"] = "chunked"
        elif not behaviour.length:
            self.close_connection = True
        elif is_whole and reply.status != 204:
            reply.headers.setdefault("Content-Length", str(len(reply.body)))
        self._headers(reply.status, reply.headers, behaviour.slow_headers)
        if self.command == "HEAD":
            return
        if is_whole:
            self._body(memoryview(reply.body), behaviour)
        else:
            self._pieces(reply.body, is_chunked)

    def _headers(self, status: int, headers: Mapping[str, str], pause: float | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if pause is None:
            self.end_headers()
        else:
            lines = b"".join([*self._headers_buffer, b"\r\n"])
            self._headers_buffer = []
            self._trickle(lines, pause)

    def _hint(self, pause: float) -> None:
        """Until the client disconnects, which is an error."""
        while True:
            self.connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
            time.sleep(pause)

    def _trickle(self, data: bytes | memoryview, pause: float) -> None:
        for offset in range(len(data)):
            self.connection.sendall(data[offset : offset + 1])
            time.sleep(pause)

    def _wait(self) -> None:
        """Until the client disconnects."""
        self.close_connection = True
        select.select([self.connection], [], [])

    def _page(self, status: int) -> None:
        self._headers(status, {"Content-Type": "text/html", "Content-Length": str(len(HTML))})
        if self.command != "HEAD":
            self.wfile.write(HTML)
            self.sent += len(HTML)

    def _pieces(self, pieces: Iterable[bytes], is_chunked: bool) -> None:
        for piece in pieces:
            if is_chunked:
                self.connection.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            else:
                self.connection.sendall(piece)
            self.sent += len(piece)
        if is_chunked:
            self.connection.sendall(b"0\r\n\r\n")

    def _body(self, body: memoryview, behaviour: Behaviour) -> None:
        if behaviour.trickle is not None:
            self._trickle(body, behaviour.trickle)
            return
        stop = behaviour.stop_of_body(len(body))
        self._paced(body[:stop], behaviour.bandwidth)
        if stop < len(body):
            self._break_off(behaviour)

    def _paced(self, data: memoryview, bandwidth: float | None) -> None:
        """Send data, with so many bytes per second."""
        size = CHUNK
        if bandwidth is not None:
            size = max(1024, min(CHUNK, int(bandwidth / 50)))
        for offset in range(0, len(data), size):
            piece = data[offset : offset + size]
            self.connection.sendall(piece)
            self.sent += len(piece)
            if bandwidth is not None:
                time.sleep(len(piece) / bandwidth)

    def _break_off(self, behaviour: Behaviour) -> None:
        """Send no more of a body."""
        self.close_connection = True
        if behaviour.stall_after is not None:
            self._wait()
        elif behaviour.reset_after is not None:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()


def first_byte(asked: str | None) -> int:
    """The first byte that a header `Range` asks for, as far as it says."""
    if asked is None:
        return 0
    first, _, _ = asked.removeprefix("bytes=").partition("-")
    return int(first) if first else 0


def byte_range(asked: str, total: int) -> tuple[int, int]:
    """Start and stop of a header "bytes=FIRST-LAST", "bytes=FIRST-" or "bytes=-COUNT"."""
    first, _, last = asked.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, total - int(last)), total
    if not last:
        return int(first), total
    return int(first), min(int(last) + 1, total)
