"""Byte ranges over HTTP.

An answer is believed only if it is the range asked for, of the file that it was before.

The session is that of `fsspec`, made by `make_session`, so that the downloads of `datasets`, which
go through `fsspec`, too, have the same rules: a transfer must not stand still, nor trickle, and
options do not follow to another host.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import re
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .byte_ranges import UnexpectedAnswer, Version, stall_seconds
from .fetching import StorageOptions
from .prefetch import result_of

if TYPE_CHECKING:  # `aiohttp` takes long to import, and not every remote file needs it.
    from types import SimpleNamespace

    import aiohttp
    from aiohttp.connector import Connection
    from fsspec.implementations.http import HTTPFileSystem

CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")
EMPTY_RANGE = re.compile(r"bytes \*/([0-9]{1,19})")  # of an answer 416, with the size of the file
LEAST_BYTES = 4 << 10  # that must arrive within `stall_seconds()`
SKIPPED_AT_ONCE = 1 << 20
# The headers of a request that may follow a redirect to another host. Others may hold a secret.
HARMLESS_HEADERS = {"accept", "accept-encoding", "if-range", "range", "user-agent"}
SENT_AS_HEADERS = {"auth", "cookies", "headers"}  # options of `fsspec` and of the client


async def make_session(**options: Any) -> aiohttp.ClientSession:
    """A session that neither waits for ever nor passes options on to another host.

    Args:
        **options: of the session. The client has no type for them together.
    """
    import aiohttp  # takes long

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_keep_secrets)
    defaults = {
        # A file is what it is, whatever the server says of its encoding.
        "auto_decompress": False,
        "response_class": _paced_response_class(),
        "trace_configs": [tracing],
    }
    return aiohttp.ClientSession(**{**defaults, **options})


def http_options(options: StorageOptions, in_chain: bool) -> dict[str, Any]:
    """Options of `fsspec` for HTTP, with credentials as headers.

    `make_session` keeps headers from other hosts. Cookies and `auth` of a session would be sent to
    every host.

    Args:
        in_chain: whether another file system opens the URL, which understands the options of the
            client only.
    """
    import aiohttp  # takes long

    seconds = stall_seconds()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    client = {"timeout": timeout, "trust_env": True, **options.get("client_kwargs", {})}
    of_client = {name: client.pop(name, None) for name in SENT_AS_HEADERS}
    headers = {
        "Accept-Encoding": "identity",
        **(of_client["headers"] or {}),
        **(options.get("headers") or {}),
    }
    cookies = {**(of_client["cookies"] or {}), **(options.get("cookies") or {})}
    if cookies:
        headers["Cookie"] = _cookie_header(cookies)
    auth = options.get("auth") or of_client["auth"]
    if auth is not None:
        headers["Authorization"] = _basic_auth(*auth)
    others = {name: value for name, value in options.items() if name not in SENT_AS_HEADERS}
    if in_chain:
        return {**others, "client_kwargs": {**client, "headers": headers}}
    return {"get_client": make_session, **others, "headers": headers, "client_kwargs": client}


def _cookie_header(cookies: Mapping[str, object]) -> str:
    """The header of cookies, whose values are texts, or the morsels of `http.cookies`."""
    pairs = []
    for name, value in cookies.items():
        pairs.append(f"{name}={getattr(value, 'value', value)}")
    return "; ".join(pairs)


def _basic_auth(user: str, password: str = "", encoding: str = "latin1") -> str:
    """The header of a user and a password, as RFC 7617 has it."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode("ascii")


async def _keep_secrets(
    session: aiohttp.ClientSession,
    context: SimpleNamespace,
    redirect: aiohttp.TraceRequestRedirectParams,
) -> None:
    """Remove what another host must not see from the headers of the next request."""
    import yarl  # belongs to `aiohttp`, and takes long as well

    answer = redirect.response
    try:
        target = answer.url.join(yarl.URL(answer.headers.get("Location", "")))
        stays = target.origin() == answer.url.origin()
    except ValueError:  # not a URL
        stays = False
    if stays:
        return
    secret = {name for name in redirect.headers if name.lower() not in HARMLESS_HEADERS}
    for name in secret:
        redirect.headers.popall(name, None)


@functools.cache
def _paced_response_class() -> type[aiohttp.ClientResponse]:
    """The class of responses. It is made when `aiohttp` is first needed."""
    import aiohttp  # takes long

    class PacedResponse(aiohttp.ClientResponse):
        """A response that fails when it trickles.

        Its headers have `stall_seconds()`, as has each `LEAST_BYTES` of its body.
        """

        async def start(self, connection: Connection) -> aiohttp.ClientResponse:
            started = await asyncio.wait_for(super().start(connection), stall_seconds())
            self.content = _PacedContent(self.content)  # type: ignore[assignment]
            return started

    return PacedResponse


class _PacedContent:
    """The body of a response, whose `read` demands a least rate.

    Time that the reader takes does not count.
    """

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content
        self._arrived = 0  # bytes since `_seconds_left` was set
        self._seconds_left = stall_seconds()

    def __getattr__(self, name: str) -> object:
        return getattr(self._content, name)

    async def read(self, size: int = -1) -> bytes:
        if size >= 0:
            return await self._read_some(size)
        chunks = []
        while chunk := await self._read_some(SKIPPED_AT_ONCE):
            chunks.append(chunk)
        return b"".join(chunks)

    async def _read_some(self, size: int) -> bytes:
        data = self._content.read_nowait(size)
        if not data and size > 0 and not self._content.at_eof():
            data = await self._wait_for_some(size)
        self._arrived += len(data)
        if self._arrived >= LEAST_BYTES:
            self._arrived = 0
            self._seconds_left = stall_seconds()
        return data

    async def _wait_for_some(self, size: int) -> bytes:
        loop = asyncio.get_running_loop()
        before = loop.time()
        try:
            data = await asyncio.wait_for(self._content.read(size), max(0.0, self._seconds_left))
        except asyncio.TimeoutError:
            has_stood_still = loop.time() - before > stall_seconds() / 2
            if has_stood_still:
                raise
            found = f"{self._arrived:,} bytes arrived in {stall_seconds():.0f} seconds"
            way_out = "HF_HUB_DOWNLOAD_TIMEOUT sets the time"
            raise UnexpectedAnswer(f"{found}, expected {LEAST_BYTES:,} ({way_out})") from None
        self._seconds_left -= loop.time() - before
        return data


class ContentRange(NamedTuple):
    """The bytes `start` to `stop` of a file, as a server says what it sends."""

    start: int
    stop: int
    size: int | None  # of the file; None if the server does not tell


def parse_content_range(header: str) -> ContentRange | None:
    """Parse the header `Content-Range` of an answer; None if it is not a range.

    >>> parse_content_range("bytes 0-99/1000")
    ContentRange(start=0, stop=100, size=1000)
    """
    match = CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        return None
    size = None if match[3] == "*" else int(match[3])
    return ContentRange(int(match[1]), int(match[2]) + 1, size)


class HttpRanges:
    """A file on an HTTP server, by byte ranges.

    A server that ignores ranges is read from the start.

    Attributes:
        size: of the file in bytes; None as long as it is unknown.
        version: of the file, as the first answer tells it. Each later answer must agree.
    """

    def __init__(
        self,
        fs: HTTPFileSystem,
        url: str,
        size: int | None = None,
        version: Version | None = None,
    ) -> None:
        self.size = size
        self.version = version or Version()
        self._fs = fs
        self._url = url
        # The whole file, from a server that ignores ranges.
        self._body: aiohttp.ClientResponse | None = None
        self._body_position = 0

    def fetch(self, start: int, stop: int) -> bytes:
        """The bytes `start` to `stop`; fewer where the file ends."""
        if self._body is not None and self._body_position > start:
            self.close()
        if self._body is None:
            return self._run(self._request(start, stop))
        return self._run(self._read_body(self._body, start, stop))

    def check_unchanged(self) -> None:
        """Do nothing: each answer is compared with the first."""

    def close(self) -> None:
        if self._body is not None:
            self._fs.loop.call_soon_threadsafe(self._body.close)
        self._body = None

    def _run(self, request: Coroutine[object, None, bytes]) -> bytes:
        return result_of(asyncio.run_coroutine_threadsafe(request, self._fs.loop))

    async def _request(self, start: int, stop: int) -> bytes:
        response = await self._send(start, stop)
        try:
            return await self._read_answer(response, start, stop)
        finally:
            if response is not self._body:
                response.close()

    async def _send(self, start: int, stop: int) -> aiohttp.ClientResponse:
        session: aiohttp.ClientSession = await self._fs.set_session()
        headers = {**self._fs.kwargs.get("headers", {}), "Range": f"bytes={start}-{stop - 1}"}
        if self.version.validator.startswith('"'):  # a strong ETag; no other validator may be sent
            headers["If-Range"] = self.version.validator
        options = {**self._fs.kwargs, "headers": headers}
        return await session.get(self._fs.encode_url(self._url), **options)

    async def _read_answer(self, response: aiohttp.ClientResponse, start: int, stop: int) -> bytes:
        if response.status == 416:
            return self._behind_the_end(response, start)
        response.raise_for_status()
        if response.status == 206:
            return await self._read_range(response, start, stop)
        if response.status == 200:
            self._check_whole_file(response)
            self._body = response
            self._body_position = 0
            return await self._read_body(response, start, stop)
        found = f"the server answered {response.status}"
        raise UnexpectedAnswer(f"{found}, expected 206, a part of the file")

    async def _read_range(self, response: aiohttp.ClientResponse, start: int, stop: int) -> bytes:
        """The bytes of an answer 206. A server may send fewer than were asked for."""
        header = response.headers.get("Content-Range", "")
        sent = parse_content_range(header)
        if sent is None or not _is_begin_of(sent, start, stop):
            found = f"the server answered with the range {header!r}"
            raise UnexpectedAnswer(f"{found}, expected bytes {start}-{stop - 1}")
        self._check_version(response, sent.size)
        self.version = self.version._replace(has_ranges=True)
        length = sent.stop - sent.start
        data = bytearray()
        while len(data) < length:
            chunk = await response.content.read(length - len(data))
            if not chunk:
                ended = f"the transfer ended after {start + len(data):,} of {sent.stop:,} bytes"
                raise EOFError(ended)
            data += chunk
        if not response.content.at_eof() and await response.content.read(1):
            raise UnexpectedAnswer(f"the server sent more than the range {header!r}")
        return bytes(data)

    def _check_whole_file(self, response: aiohttp.ClientResponse) -> None:
        """Tell a server that ignores ranges from one that sends a page in place of the file."""
        size = response.content_length
        is_known_file = size == self.size and self.version.validator != ""
        if self.version.has_ranges and not is_known_file:
            sent = "a page" if size is None else f"{size:,} bytes"
            found = f"the server answered 200 with {sent}"
            raise UnexpectedAnswer(f"{found}, expected 206, a part of the file")
        self._check_version(response, size)

    def _check_version(self, response: aiohttp.ClientResponse, size: int | None) -> None:
        """Compare the file of an answer with that of the first answer, which is remembered."""
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if self.version.validator and validator != self.version.validator:
            found = validator or "neither ETag nor Last-Modified"
            raise _has_changed(found, self.version.validator)
        if self.size is not None and size is not None and size != self.size:
            raise _has_changed(f"{size:,} bytes", f"{self.size:,}")
        self.version = self.version._replace(validator=validator)
        if self.size is None:
            self.size = size

    def _behind_the_end(self, response: aiohttp.ClientResponse, start: int) -> bytes:
        """No bytes, for an answer 416: the file ends at or before `start`."""
        match = EMPTY_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if self.size is None and match is not None:
            self.size = int(match[1])
        elif self.size is None and start == 0:
            self.size = 0
        if self.size is not None and start < self.size:
            raise UnexpectedAnswer(f"the server answered 416: it has no byte {start:,}")
        return b""

    async def _read_body(self, body: aiohttp.ClientResponse, start: int, stop: int) -> bytes:
        """Some of the bytes `start` to `stop` of the whole file. What comes before is skipped."""
        while self._body_position < start:
            missing = start - self._body_position
            skipped = await body.content.read(min(missing, SKIPPED_AT_ONCE))
            if not skipped:
                return b""
            self._body_position += len(skipped)
        data = await body.content.read(stop - self._body_position)
        self._body_position += len(data)
        return data


def _is_begin_of(sent: ContentRange, start: int, stop: int) -> bool:
    """Whether what a server sends is the range `start` to `stop` from its first byte on."""
    limit = stop if sent.size is None else min(stop, sent.size)
    return sent.start == start and start < sent.stop <= limit


def _has_changed(found: str, expected: str) -> UnexpectedAnswer:
    changed = "the file has changed on the server"
    return UnexpectedAnswer(f"{changed}: found {found}, expected {expected}")
