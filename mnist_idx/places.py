"""Paths, URLs and options as users give them: what they mean, whatever the working folder is."""

import hashlib
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from urllib.parse import unquote

from .errors import IdxError, hide_secrets

LOCAL_SCHEMES = ("file://", "local://")
# Parts of the names of storage options that hold secrets, or what is sent along with them.
SECRET_WORDS = (
    "secret",
    "token",
    "key",
    "passw",
    "auth",
    "credential",
    "cookie",
    "header",
    "signature",
    "sas",
)

# As `fsspec` takes them: by protocol, or for any protocol. It has no types for them.
StorageOptions = Mapping[str, Any]


class RemoteOptions(NamedTuple):
    """How the user wants remote files to be opened. Picklable."""

    token: str | bool | None = None  # for the Hugging Face Hub
    storage_options: StorageOptions = {}
    # The URL and the storage options that `datasets` makes of these, if it is to be asked.
    resolve: "Callable[[str, RemoteOptions], tuple[str, StorageOptions]] | None" = None


NO_OPTIONS = RemoteOptions()  # for sources that the user did not name


class Fetcher(Protocol):
    """Brings remote files to this machine, or lets them be read where they are."""

    keeps_copies: bool

    def fetch(
        self, urls: Mapping[str, str], is_named: bool = True, force: bool = False
    ) -> dict[str, str]:
        """The paths at which files can be read, by the keys of `urls`. Local paths stay.

        Args:
            is_named: whether the user named the source. Others do not get his options.
            force: fetch even what was fetched earlier.
        """

    def fetch_together(self, urls: Mapping[str, str], force: bool = False) -> dict[str, str]:
        """As `fetch`, for files that belong together: all are of the same time."""


class InPlace:
    """The fetcher that fetches nothing: remote files are streamed."""

    keeps_copies = False

    def fetch(
        self, urls: Mapping[str, str], is_named: bool = True, force: bool = False
    ) -> dict[str, str]:
        return dict(urls)

    def fetch_together(self, urls: Mapping[str, str], force: bool = False) -> dict[str, str]:
        return dict(urls)


def local_path(path: str) -> str:
    """A path or URL, without the scheme and the host that a local file may have.

    >>> local_path("file://localhost/data/a%20b.tar"), local_path("s3://bucket/a%20b.tar")
    ('/data/a b.tar', 's3://bucket/a%20b.tar')
    """
    scheme = next((scheme for scheme in LOCAL_SCHEMES if path.startswith(scheme)), None)
    if scheme is None or "::" in path:
        return path
    local = path.removeprefix(scheme)
    if local.startswith("localhost/"):
        local = local.removeprefix("localhost")
    return local if os.path.exists(local) else unquote(local)


def is_remote(path: str) -> bool:
    """Whether a path is a URL that `fsspec` opens, not a local file."""
    return "://" in path and (not path.startswith(LOCAL_SCHEMES) or "::" in path)


def absolute_path(path: str | os.PathLike[str]) -> str:
    """A path or URL that a user gives, as it stays valid when the working folder changes."""
    path = local_path(os.fspath(path))
    inner = local_part(path)
    if inner and inner != path and os.path.exists(inner):  # a chain of URLs over a local file
        return path[: len(path) - len(inner)] + absolute_path(inner)
    if is_remote(path) or not path:
        return path
    try:
        return os.path.realpath(os.path.expanduser(path))
    except ValueError as error:  # characters that no path has
        raise IdxError(f"{path}: cannot be a path: {error}.") from error


def local_part(path: str) -> str | None:
    """The local path that a path or a chain of URLs ends in; None if it ends in a URL.

    >>> local_part("zip://a.tar::data/b.zip"), local_part("s3://bucket/a.tar")
    ('data/b.zip', None)
    """
    if is_http(path):
        return None
    last = path.rpartition("::")[2] if "://" in path else path
    return None if is_remote(last) else local_path(last)


def is_downloaded(path: str) -> bool:
    """Whether the download manager has to fetch a file: a URL that does not lead to a local one."""
    return is_remote(path) and not local_part(path)


def is_http(path: str) -> bool:
    """Whether a path is a URL of HTTP."""
    return path.startswith(("http://", "https://"))


def clean_token(token: str | bool) -> str | bool:
    """An access token without the line break that files and pipes put behind it.

    Raises:
        IdxError: there are others in it. A client would print the whole token in its own error.
    """
    if not isinstance(token, str):
        return token
    token = token.strip()
    if not token.isprintable() or " " in token:
        raise IdxError(
            "token=: expected an access token, found line breaks or spaces inside. Copy it again."
        )
    return token


def location_hash(storage_options: StorageOptions | None) -> str:
    """A hash of those storage options that decide which file a URL means, "" if there are none.

    It is part of the cache key. Secrets are not: a new password does not mean new data.
    """
    options = _location_options(storage_options or {})
    if not options:
        return ""
    return hashlib.sha256(repr(options).encode()).hexdigest()[:16]


def _location_options(options: Mapping[str, object]) -> list[tuple[str, object]]:
    """The options that are no secrets and have a value that can be compared, sorted by name."""
    kept: list[tuple[str, object]] = []
    for name, value in sorted(options.items()):
        if any(word in name.lower() for word in SECRET_WORDS):
            continue
        if isinstance(value, Mapping):
            inner = _location_options(value)
            if inner:
                kept.append((name, inner))
        elif isinstance(value, str):
            kept.append((name, hide_secrets(value)))
        elif isinstance(value, int | float):
            kept.append((name, value))
    return kept
