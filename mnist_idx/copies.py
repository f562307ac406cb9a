"""Copies of published files: which of several files of one name is the published one."""

import os
from collections.abc import Sequence
from typing import NamedTuple

from .catalog import File
from .errors import IdxError, TransferError, listed_names
from .filenames import base_name, is_same_name, parse_filename
from .members import Access, Member, open_stored, verify_member
from .paths import is_remote, quoted
from .streams import detect_compression


class UnverifiableError(IdxError):
    """A copy of a published file may be right, but nothing is known that would show it."""


class Search(NamedTuple):
    """A published file, and where it is looked for."""

    file: File
    title: str  # what errors call the dataset
    is_transposed: bool  # whether rows and columns are exchanged in its images
    location: str  # what errors call the place
    access: Access


def choose_copy(search: Search, members: Sequence[Member]) -> Member:
    """The member that is a published file, with what is known of that.

    If several have its name, as in a folder of several datasets, size and digest tell which it is.

    Raises:
        UnverifiableError: there are copies, of which it cannot be told whether they are right.
        IdxError: there is no such member, or none of several is the published file.
    """
    file = search.file
    candidates = []
    for member in members:
        if is_same_name(member.name, file.name):
            candidates.append(_describe(member, file))
    if not candidates:
        names = sorted({base_name(member.name) for member in members})
        expected = f"expected {file.name} of {search.title}"
        raise IdxError(f"{search.location}: found {listed_names(names)}, {expected}.")
    candidates.reverse()  # In a tar, a later member replaces an earlier one.
    verifiable = [member for member in candidates if _is_verifiable(member)]
    if not verifiable:
        raise _unverifiable(search, _most_likely(candidates, search.title))
    if len(candidates) == 1:
        return candidates[0]
    chosen = _choose_by_digest(search, verifiable)
    if chosen is None:
        names = [member.name for member in reversed(candidates)]
        expected = f"none of them is {file.name} of {search.title}, or a decompressed copy of it"
        found = f"{search.location}: found {listed_names(names)}: {expected}"
        raise IdxError(f"{found}. Put the published file there.")
    return chosen


def stored_size(member: Member) -> int | None:
    """Bytes of a member as it was put into its archive or folder; None if that is not known yet."""
    for size in (member.inflated_size, member.size, member.file_size):
        if size is not None:
            return size
    if is_remote(member.path):
        return None
    try:
        return os.stat(member.path).st_size
    except OSError:  # It says more when it is opened.
        return None


def _describe(member: Member, file: File) -> Member:
    """A member with what is known of the published file."""
    return member._replace(
        sha256=file.sha256, content_sha256=file.content_sha256, published_size=file.size
    )


def _is_verifiable(member: Member) -> bool:
    """Whether a digest is known that a member must have, if it is the published file."""
    size = stored_size(member)
    return size in (None, member.published_size) or member.content_sha256 is not None


def _choose_by_digest(search: Search, members: Sequence[Member]) -> Member | None:
    """The first of several members that has a digest of the published file; None if none has."""
    of_size = [member for member in members if stored_size(member) == search.file.size]
    if len(of_size) == 1 and is_remote(of_size[0].path):
        return of_size[0]  # It is verified when it is read: a transfer is saved.
    others = [member for member in members if member not in of_size]
    for member in [*of_size, *others]:
        if _is_published(member, search.access):
            return member
    return None


def _is_published(member: Member, access: Access) -> bool:
    """Whether a member has one of the digests of the published file."""
    try:
        verify_member(member, access)
    except TransferError:
        raise
    except IdxError:
        return False
    return True


def _most_likely(candidates: Sequence[Member], title: str) -> Member:
    """The member in a folder that is named like the dataset, else the first."""
    wanted = _plain(title.rpartition("/")[2])
    for member in candidates:
        folders = member.name.replace("\\", "/").split("/")[:-1]
        if wanted in map(_plain, folders):
            return member
    return candidates[0]


def _plain(name: str) -> str:
    """A name without what differs in its spellings: `FashionMNIST`, `fashion_mnist`."""
    return "".join(char for char in name.lower() if char.isalnum())


def _unverifiable(search: Search, member: Member) -> UnverifiableError:
    """The error of a copy of which no digest is known. It says how to load it nevertheless."""
    file = search.file
    with open_stored(member, search.access) as stored:
        is_plain = detect_compression(stored) is None
    found = "a decompressed copy"
    if not is_plain:
        found = f"a copy of {stored_size(member):,} bytes, compressed in another way or cut short"
    expected = f"expected {file.name}{file.suffix} of {file.size:,} bytes"
    reason = "Only that compressed file can be verified: no digest of its content is known"
    advice = f"{member.title}: found {found}, {expected}. {reason}. Put it there, or load yours"
    folder = search.location
    if member.name == member.path:
        folder = os.path.dirname(member.path)
    line = _line_that_loads(file, folder, search.is_transposed)
    typed = f"the source idxfolder with --data-dir {folder}"
    return UnverifiableError(f"{advice} unverified: {line}", command_line=f"{advice} as {typed}.")


def _line_that_loads(file: File, folder: str, is_transposed: bool) -> str:
    """The line of Python that loads copies of published files unverified."""
    parsed = parse_filename(file.name)
    options = [f"data_dir={quoted(folder)}"]
    if parsed.dataset:
        options.append(f"prefix={quoted(parsed.dataset)}")
    if is_transposed:
        options.append("transpose=True")
    return f'load_dataset("idxfolder", {", ".join(options)})'
