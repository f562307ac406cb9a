"""The bytes of one member as a seekable stream: local or remote, packed or plain, verified on the way."""

from __future__ import annotations

from typing import NamedTuple

from datasets import DownloadConfig

from .idx import IdxError
from .layers import Layer, LocalFile, Verified, Window
from .transfer import FIRST_REQUEST, LARGEST_REQUEST, RemoteFile, is_remote
from .unpack import PIECE_BYTES, Checkpoints, Unpacker, detect_packing


class Locator(NamedTuple):
    """Where the bytes of a member are, in plain values that can be pickled and sent to another machine.

    Attributes:
        path: local path or URL of the file that holds the member.
        name: the member's name in the archive; the path itself where it is a file of its own.
        offset: where the member starts in the file, in bytes; in the unpacked file if that is packed as a whole.
        size: bytes of the member as it is stored; to the end of the file when None.
        file_size: bytes of the file, where known: spares a request.
        container: how the file is packed as a whole: "", "gzip", "bzip2" or "xz".
        inflated_size: bytes of the member where a zip archive has deflated it; None where it has not.
        packed_size: bytes of the published, packed member; if `size` agrees, `packed` is its digest.
        packed: digest of the published, packed member as "algorithm:hex".
        unpacked: digest of the member's unpacked content as "algorithm:hex".
    """

    path: str
    name: str
    offset: int = 0
    size: int | None = None
    file_size: int | None = None
    container: str = ""
    inflated_size: int | None = None
    packed_size: int | None = None
    packed: str | None = None
    unpacked: str | None = None

    @property
    def title(self) -> str:
        """What messages call the member."""
        return self.path if self.name == self.path else f"{self.name} in {self.path}"


def open_member(
    locator: Locator,
    download_config: DownloadConfig | None = None,
    checkpoints: dict[str, Checkpoints] | None = None,
) -> Layer:
    """Open the unpacked content of a member.

    How the member is packed is told by its first bytes, not by its name. A known digest is checked when the reading
    has come from the start to the end without a gap.

    Args:
        locator: where the member is.
        download_config: token and storage options for remote files.
        checkpoints: shared by those who have the same member open, empty for the first of them.

    Raises:
        TransferError: the file cannot be reached.
        IdxError: the member is damaged, or packed in a way that is not supported. Also later, while reading.
    """
    stored = open_stored(locator, download_config, checkpoints)
    try:
        as_published = locator.packed is not None and stored.size == locator.packed_size
        if as_published and locator.packed is not None:
            stored = Verified(stored, locator.packed, stored.size, locator.title)
        content = unpack(stored, locator.title, checkpoints)
        if locator.unpacked is not None and not as_published:
            content = Verified(content, locator.unpacked, None, locator.title)
        return content
    except BaseException:
        stored.close()
        raise


def open_stored(
    locator: Locator,
    download_config: DownloadConfig | None = None,
    checkpoints: dict[str, Checkpoints] | None = None,
) -> Layer:
    """Open a member as it was before it was put into an archive: packed, if it was. Arguments as for `open_member`."""
    stop = None if locator.size is None or locator.container else locator.offset + locator.size
    file = open_file(locator.path, download_config, size=locator.file_size, stop=stop)
    name = locator.title
    try:
        # Only a file of its own starts at 0; in an archive, a header comes first.
        if locator.offset == 0 and locator.size is not None and file.size not in (None, locator.size):
            raise IdxError(
                f"{name}: found a file of {file.size:,} bytes, expected {locator.size:,}: it is another file."
            )
        if locator.container:
            file = _unpacker(file, locator.container, locator.path, "container", checkpoints)
        window: Layer = Window(file, locator.offset, locator.size, name)
        if locator.inflated_size is None:
            return window
        inflated = _unpacker(window, "deflate", name, "zip", checkpoints)
        inflated.size = locator.inflated_size
        return inflated
    except BaseException:
        file.close()
        raise


def unpack(stored: Layer, name: str, checkpoints: dict[str, Checkpoints] | None = None) -> Layer:
    """The content of a stored member: unpacked, if it is packed."""
    packing = detect_packing(stored)
    return _unpacker(stored, packing, name, "member", checkpoints) if packing else stored


def _unpacker(
    below: Layer, packing: str, name: str, level: str, checkpoints: dict[str, Checkpoints] | None
) -> Unpacker:
    shared = Checkpoints() if checkpoints is None else checkpoints.setdefault(level, Checkpoints())
    return Unpacker(below, packing, name, shared)


def verify_member(locator: Locator, download_config: DownloadConfig | None = None) -> None:
    """Read a whole member and compare its digest with the known one; without unpacking, if that of the packed is known.

    Raises:
        IdxError: they differ, or the member is damaged.
    """
    content = open_stored(locator, download_config)
    if locator.packed is not None and content.size == locator.packed_size:
        content = Verified(content, locator.packed, content.size, locator.title)
    else:
        content.close()
        content = open_member(locator, download_config)
    try:
        while content.read(PIECE_BYTES):
            pass
    finally:
        content.close()


def open_file(
    path: str,
    download_config: DownloadConfig | None = None,
    size: int | None = None,
    stop: int | None = None,
    first_request: int = FIRST_REQUEST,
    largest_request: int = LARGEST_REQUEST,
) -> Layer:
    """Open a local or remote file as it is stored."""
    if is_remote(path):
        return RemoteFile(path, download_config, size, stop, first_request, largest_request)
    return LocalFile(path)
