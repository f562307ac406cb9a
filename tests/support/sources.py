"""Sources of MNIST that a test serves, also at the built-in URLs, and that go away for good."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import fsspec
from fsspec.implementations.http import HTTPFileSystem
from http_server import Behaviour, Content, Server


class MortalServer(Server):
    """A server on which paths go away for good."""

    def __init__(self, content: Mapping[str, Content]) -> None:
        super().__init__(content)
        self._deaths: dict[str, tuple[int, Behaviour]] = {}

    def die_after(self, path: str, lifetime: int, **death: Any) -> None:
        """Once `lifetime` bytes of a path are sent, answer each request for it as `death` says."""
        self._deaths[path] = lifetime, Behaviour(**(death or {"status": 404}))

    def choose(self, path: str, method: str, start: int = 0) -> Behaviour:
        return self._deaths[path][1] if self.is_dead(path) else super().choose(path, method, start)

    def is_dead(self, path: str) -> bool:
        return path in self._deaths and self.sent(path) >= self._deaths[path][0]


@contextlib.contextmanager
def built_in_sources(server: Server) -> Iterator[None]:
    """Have `fsspec` fetch each `https://` URL from the server of a test, at the same path.

    A proxy of the environment would need certificates of the real hosts.
    """

    class Redirected(HTTPFileSystem):  # type: ignore[misc]
        @classmethod
        def _strip_protocol(cls, path: str) -> str:
            return server.url(urlsplit(path).path)

    fsspec.register_implementation("https", Redirected, clobber=True)
    try:
        yield
    finally:
        fsspec.register_implementation("https", HTTPFileSystem, clobber=True)
