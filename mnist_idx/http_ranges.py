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
from typing import TYPE_CHECKING, Any

from .prefetch import result_of
from .ranges import UnexpectedAnswer, Version, stall_seconds

if TYPE_CHECKING:  # takes long to import, and only remote files need it
    import aiohttp

CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19}|\*)")
EMPTY_RANGE = re.compile(r"bytes \*/([0-9]{1,19})")  # of an answer 416, with the size of the file
LEAST_BYTES = 4 << 10  # that must arrive within `stall_seconds()`
SKIPPED_AT_ONCE = 1 << 20
# The headers of a request that may follow a redirect to another host. Others may hold a secret.
HARMLESS_HEADERS = {"accept", "accept-encoding", "if-range", "range", "user-agent"}


async def make_session(**options: Any) -> aiohttp.ClientSession:
    """A session that neither waits for ever nor passes options on to another host."""
    import aiohttp

    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_keep_secrets)
    defaults = {
        # A file is what it is, whatever the server says of its encoding.
        "auto_decompress": False,
        "response_class": _paced_response_class(),
        "trace_configs": [tracing],
    }
    return aiohttp.ClientSession(**{**defaults, **options})


def http_options(options: Mapping[str, Any], in_chain: bool) -> dict[str, Any]:
    """Options of `fsspec` for HTTP, with credentials as headers, which `make_session` keeps from
    other hosts.

    The client would send cookies and `auth` of a session to every host.

    Args:
        in_chain: whether another file system opens the URL, which understands the options of the
            client only.
    """
    import aiohttp

    seconds = stall_seconds()
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds)
    client = {"timeout": timeout, "trust_env": True, **options.get("client_kwargs", {})}
    cookies = {**(client.pop("cookies", None) or {}), **(options.get("cookies") or {})}
    client_auth = client.pop("auth", None)
    auth = options.get("auth") or client_auth
    headers = {
        "Accept-Encoding": "identity",
        **(client.pop("headers", None) or {}),
        **(options.get("headers") or {}),
    }
    if cookies:
        headers["Cookie"] = "; ".join(
            f"{name}={getattr(value, 'value', value)}" for name, value in cookies.items()
        )
    if auth is not None:
        headers["Authorization"] = _basic_auth(*auth)
    others = {
        name: value for name, value in options.items() if name not in ("auth", "cookies", "headers")
    }
    if in_chain:
        return {**others, "client_kwargs": {**client, "headers": headers}}
    return {"get_client": make_session, **others, "headers": headers, "client_kwargs": client}


def _basic_auth(user: str, password: str = "", encoding: str = "latin1") -> str:
    """The header of a user and a password, as RFC 7617 has it."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode("ascii")


async def _keep_secrets(
    session: Any, context: Any, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    """Remove what another host must not see from the headers of the next request."""
    import yarl

    answer = redirect.response
    try:
        target = answer.url.join(yarl.URL(answer.headers.get("Location", "")))
        stays = target.origin() == answer.url.origin()
    except ValueError:  # not a URL
        stays = False
    if not stays:
        for name in {name for name in redirect.headers if name.lower() not in HARMLESS_HEADERS}:
            redirect.headers.popall(name)


@functools.cache
def _paced_response_class() -> type[aiohttp.ClientResponse]:
    import aiohttp

    class PacedResponse(aiohttp.ClientResponse):
        """A response that fails when it trickles: its headers and each few kB of its body have
        `stall_seconds()`.
        """

        async def start(self, connection: Any) -> aiohttp.ClientResponse:
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

    def __getattr__(self, name: str) -> Any:
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
            if loop.time() - before > stall_seconds() / 2:
                raise
            found = f"{self._arrived:,} bytes arrived in {stall_seconds():.0f} seconds"
            way_out = "HF_HUB_DOWNLOAD_TIMEOUT sets the time"
            raise UnexpectedAnswer(f"{found}, expected {LEAST_BYTES:,} ({way_out})") from None
        self._seconds_left -= loop.time() - before
        return data


class HttpRanges:
    """A file on an HTTP server, by byte ranges.

    A server that ignores ranges is read from the start.

    Attributes:
        size: of the file in bytes; None as long as it is unknown.
        version: of the file, as the first answer tells it. Each later answer must agree.
    """

    def __init__(
        self, fs: Any, url: str, size: int | None = None, version: Version | None = None
    ) -> None:
        self.size = size
        self.version = version or Version()
        self._fs = fs
        self._url = url
        self._body: aiohttp.ClientResponse | None = (
            None  # the whole file, from a server that ignores ranges
        )
        self._body_position = 0

    def fetch(self, start: int, stop: int) -> bytes:
        """The bytes `start` to `stop`; fewer where the file ends."""
        if self._body is not None and self._body_position > start:
            self.close()
        if self._body is None:
            data = self._run(self._request(start, stop))
        else:
            data = self._run(self._read_body(self._body, start, stop))
        return data

    def check_unchanged(self) -> None:
        """Nothing to do: each answer is compared with the first."""

    def close(self) -> None:
        if self._body is not None:
            self._fs.loop.call_soon_threadsafe(self._body.close)
        self._body = None

    def _run(self, request: Coroutine[Any, Any, bytes]) -> bytes:
        return result_of(asyncio.run_coroutine_threadsafe(request, self._fs.loop))

    async def _request(self, start: int, stop: int) -> bytes:
        session = await self._fs.set_session()
        headers = {**self._fs.kwargs.get("headers", {}), "Range": f"bytes={start}-{stop - 1}"}
        if self.version.validator.startswith('"'):  # a strong ETag; no other validator may be sent
            headers["If-Range"] = self.version.validator
        response = await session.get(
            self._fs.encode_url(self._url), **{**self._fs.kwargs, "headers": headers}
        )
        try:
            if response.status == 416:
                return self._behind_the_end(response, start)
            response.raise_for_status()
            if response.status == 206:
                return await self._read_range(response, start, stop)
            if response.status == 200:
                self._check_whole_file(response)
                self._body, self._body_position = response, 0
                return await self._read_body(response, start, stop)
            raise UnexpectedAnswer(
                f"the server answered {response.status}, expected 206, a part of the file"
            )
        finally:
            if response is not self._body:
                response.close()

    async def _read_range(self, response: aiohttp.ClientResponse, start: int, stop: int) -> bytes:
        found = response.headers.get("Content-Range", "")
        match = CONTENT_RANGE.fullmatch(found.strip())
        if match is None:
            raise UnexpectedAnswer(
                f"the server answered with the range {found!r}, expected bytes {start}-{stop - 1}"
            )
        size = None if match[3] == "*" else int(match[3])
        first, end = int(match[1]), int(match[2]) + 1
        if first != start or not start < end <= min(stop, size or stop):
            raise UnexpectedAnswer(
                f"the server answered with the range {found!r}, expected bytes {start}-{stop - 1}"
            )
        stop = end  # A server may send less than was asked for.
        self._check_version(response, size)
        self.version = self.version._replace(has_ranges=True)
        data = bytearray()
        while len(data) < stop - start and (
            chunk := await response.content.read(stop - start - len(data))
        ):
            data += chunk
        if len(data) < stop - start:
            raise EOFError(f"the transfer ended after {start + len(data):,} of {stop:,} bytes")
        if not response.content.at_eof() and await response.content.read(1):
            raise UnexpectedAnswer(f"the server sent more than the range {found!r}")
        return bytes(data)

    def _check_whole_file(self, response: aiohttp.ClientResponse) -> None:
        """Tell a server that ignores ranges from one that sends a page in place of the file."""
        size = response.content_length
        if self.version.has_ranges and not (size == self.size and self.version.validator):
            found = "a page" if size is None else f"{size:,} bytes"
            raise UnexpectedAnswer(
                f"the server answered 200 with {found}, expected 206, a part of the file"
            )
        self._check_version(response, size)

    def _check_version(self, response: aiohttp.ClientResponse, size: int | None) -> None:
        """Compare the file of an answer with that of the first answer, which is remembered."""
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if self.version.validator and validator != self.version.validator:
            found, expected = validator or "neither ETag nor Last-Modified", self.version.validator
            raise UnexpectedAnswer(
                f"the file has changed on the server: found {found}, expected {expected}"
            )
        if self.size is not None and size not in (None, self.size):
            raise UnexpectedAnswer(
                f"the file has changed on the server: found {size:,} bytes, expected {self.size:,}"
            )
        self.version = self.version._replace(validator=validator)
        if self.size is None:
            self.size = size

    def _behind_the_end(self, response: aiohttp.ClientResponse, start: int) -> bytes:
        """An answer 416: the file ends at or before `start`."""
        match = EMPTY_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if self.size is None and match is not None:
            self.size = int(match[1])
        elif self.size is None and start == 0:
            self.size = 0
        if self.size is not None and start < self.size:
            raise UnexpectedAnswer(f"the server answered 416: it has no byte {start:,}")
        return b""

    async def _read_body(self, body: aiohttp.ClientResponse, start: int, stop: int) -> bytes:
        while self._body_position < stop:
            skipped = max(0, start - self._body_position)
            data = await body.content.read(
                min(skipped, SKIPPED_AT_ONCE) or stop - self._body_position
            )
            self._body_position += len(data)
            if not data or not skipped:
                return data
        return b""
