"""How remote files are opened: what the user says of them, and who brings them here."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from .errors import IdxError, hide_secrets

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
