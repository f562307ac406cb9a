"""Paths and URLs as users give them: what they mean, whatever the working folder is."""

import glob
import json
import os
import re
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from .errors import IdxError, TransferError

DataFiles = Mapping[str, Sequence[str]]  # paths and URLs by split
LOCAL_SCHEMES = ("file://", "local://")
ARCHIVE_NAME = re.compile(r"\.(?:tar(?:\.\w+)?|tgz|tbz2?|txz|zip)", re.IGNORECASE)
# What patterns do not match for `datasets`: files that describe a dataset.
PASSED_OVER = {
    "README.md",
    "config.json",
    "dataset_info.json",
    "dataset_infos.json",
    "dummy_data.zip",
    "dataset_dict.json",
}


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
    """A path or URL that a user gives, as it stays valid when the working folder changes.

    Raises:
        IdxError: it cannot be a path.
    """
    path = local_path(os.fspath(path))
    if not path:
        raise IdxError('data_dir="": expected a path or URL. "." is the working folder.')
    inner = local_part(path)
    if inner and inner != path and os.path.exists(inner):  # a chain of URLs over a local file
        outer_links, separator, _ = path.rpartition("::")
        if separator:
            return f"{outer_links}::{absolute_path(inner)}"
    if is_remote(path):
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


def is_archive_name(path: str) -> bool:
    """Whether the name of a file is that of an archive.

    >>> is_archive_name("copy/mnist.tar.gz"), is_archive_name("train-images-idx3-ubyte.gz")
    (True, False)
    """
    name = re.split(r"[/\\]", path)[-1]
    ending = ARCHIVE_NAME.search(name)
    return ending is not None and ending.end() == len(name)


def check_exists(path: str) -> None:
    """Refuse a local path at which there is nothing.

    Raises:
        TransferError: there is no such file or folder.
    """
    if os.path.lexists(path):
        return
    found = f"{path}: no such file or folder"
    raise TransferError(f"{found}. Relative paths start at the working folder, {os.getcwd()}.")


def quoted(path: str) -> str:
    """A path as it is written in a program."""
    return json.dumps(path, ensure_ascii=False)


# What users pass as `data_files`


def split_data_files(data_files: object) -> dict[str, list[object]] | None:
    """The paths and patterns of each split, as `datasets` understands them; None if it must tell.

    >>> split_data_files(["a", "b"]), split_data_files({"test": "c"})
    ({'train': ['a', 'b']}, {'test': ['c']})
    """
    if isinstance(data_files, str | os.PathLike):
        return {"train": [data_files]}
    if isinstance(data_files, Mapping):
        return {str(split): _as_list(paths) for split, paths in data_files.items()}
    if not isinstance(data_files, list | tuple):
        return None
    if not any(isinstance(item, dict) for item in data_files):
        return {"train": list(data_files)}
    by_split = {}
    for item in data_files:
        is_pair = isinstance(item, dict) and set(item) == {"split", "path"}
        if not is_pair or str(item["split"]) in by_split:
            return None
        by_split[str(item["split"])] = _as_list(item["path"])
    return by_split


def _as_list(paths: object) -> list[object]:
    return list(paths) if isinstance(paths, list | tuple) else [paths]


def expand_home(path: str) -> str:
    """A path in which `~` is the home folder. A URL stays as it is.

    >>> expand_home("https://host/~me/mnist.tar")
    'https://host/~me/mnist.tar'
    """
    return path if is_remote(path) else os.path.expanduser(path)


def clean_pattern(pattern: object) -> object:
    """A path or a pattern as text, a local one without its scheme and without `~`.

    >>> clean_pattern("file:///data/train%20images")
    '/data/train images'
    """
    if isinstance(pattern, os.PathLike):
        pattern = os.fspath(pattern)
    if not isinstance(pattern, str):
        return pattern
    return expand_home(local_path(pattern))


def match_files(pattern: object, base: str) -> list[str] | None:
    """The local files that a path or a pattern means; None if it takes `datasets` to find them.

    What is there stands for itself: `*`, `?` and `[1]` are wildcards only where there is no such
    file or folder.

    Args:
        pattern: as `clean_pattern` returns it. Only its last part may have wildcards.
        base: the folder that it is relative to.
    """
    if not isinstance(pattern, str) or not pattern or is_remote(base):
        return None
    path = os.path.join(base, pattern)
    if "::" in path or is_remote(pattern):  # `datasets` takes "::" for a chain of URLs
        return None
    if os.path.isfile(path):
        return [path]
    folder, name = os.path.split(path)
    is_plain_folder = os.path.isdir(folder) or not glob.has_magic(folder)
    if os.path.lexists(path) or not is_plain_folder or not glob.has_magic(name) or "**" in name:
        return None
    matched = []
    for file in sorted(glob.glob(os.path.join(glob.escape(folder), name))):
        if os.path.isfile(file) and os.path.basename(file) not in PASSED_OVER:
            matched.append(file)
    return matched or None


def escape_existing(path: str) -> str:
    """A path as a pattern, in which the folders that are there stand for themselves.

    >>> escape_existing("/nothing [here]/*.gz")
    '/nothing [here]/*.gz'
    """
    existing = path
    rest: list[str] = []
    while not os.path.lexists(existing) and existing != os.path.dirname(existing):
        existing, name = os.path.split(existing)
        rest.insert(0, name)
    return os.path.join(glob.escape(existing), *rest)


def find_data_files(data_files: object, base: str) -> DataFiles | None:
    """The local files of each split; None if it takes `datasets` to find them.

    >>> find_data_files({"train": "https://host/images.gz"}, "/data") is None
    True

    Args:
        data_files: a path or a pattern, a list of them, or a dict of either by split.
        base: the folder that paths are relative to.
    """
    by_split = split_data_files(data_files)
    if by_split is None:
        return None
    found = {}
    for split, patterns in by_split.items():
        files: list[str] = []
        for pattern in patterns:
            matched = match_files(clean_pattern(pattern), base)
            if matched is None:
                return None
            files += matched
        found[split] = files
    return found
