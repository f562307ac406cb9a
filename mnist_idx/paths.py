"""Paths and URLs as users give them: what they mean, whatever the working folder is."""

import os
import re
from collections.abc import Sequence
from urllib.parse import unquote

from .errors import IdxError

LOCAL_SCHEMES = ("file://", "local://")
# `file:///C:/data` is `C:/data` on Windows.
SLASH_BEFORE_DRIVE = re.compile(r"\A/(?=[A-Za-z]:[/\\])")


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
    if os.name == "nt":
        local = SLASH_BEFORE_DRIVE.sub("", local)
    return local if os.path.exists(local) else unquote(local)


def is_remote(path: str) -> bool:
    """Whether a path is a URL that `fsspec` opens, not a local file."""
    return "://" in path and (not path.startswith(LOCAL_SCHEMES) or "::" in path)


def absolute_path(path: str | os.PathLike[str]) -> str:
    """A path or URL that a user gives, as it stays valid when the working folder changes."""
    path = local_path(os.fspath(path))
    inner = local_part(path)
    if inner and inner != path and os.path.exists(inner):  # a chain of URLs over a local file
        outer_links, separator, _ = path.rpartition("::")
        if separator:
            return f"{outer_links}::{absolute_path(inner)}"
    if is_remote(path) or not path:
        return path
    try:
        return os.path.realpath(os.path.expanduser(path))
    except ValueError as error:  # characters that no path has
        raise IdxError(f"{path}: cannot be a path: {error}.") from error


def below_common_folder(paths: Sequence[str]) -> list[str]:
    """Each path without the folder that all of them are in, if they are local.

    >>> below_common_folder(["/data/train-images", "/data/train-labels"])
    ['train-images', 'train-labels']
    """
    local = [path if is_remote(path) else os.path.normpath(path) for path in paths]
    folder = ""
    if len(paths) > 1 and not any(is_remote(path) for path in paths):
        try:
            folder = os.path.commonpath(local)
        except ValueError:  # On Windows, they may be on several drives.
            folder = ""
    return [path.removeprefix(folder).lstrip("/\\") for path in local]


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
