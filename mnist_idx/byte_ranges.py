"""A remote file as byte ranges: what every kind of server is asked, and may fail at."""

from typing import NamedTuple, Protocol

# Too large a request costs memory, too small a one a round trip. In bytes.
LARGEST_REQUEST = 1 << 20


class Version(NamedTuple):
    """What tells a remote file from another one that takes its place."""

    validator: str = ""  # its ETag, the time of its last change or alike; "" if there is none
    has_ranges: bool = False  # whether the server has answered with a part of the file


class ByteRanges(Protocol):
    """A remote file, of which any range of bytes can be fetched.

    An attempt that fails may be repeated.
    """

    size: int | None  # bytes; None as long as it is unknown
    version: Version

    def fetch(self, start: int, stop: int) -> bytes:
        """The bytes `start` to `stop`; fewer where the file or the answer ends.

        There are none only behind the end of the file.
        """

    def check_unchanged(self) -> None:
        """Raise `UnexpectedAnswer` if the file is another one by now."""

    def close(self) -> None:
        """Release connections. Another `fetch` makes new ones."""


class UnexpectedAnswer(OSError):
    """The server answers with something else than what was asked for.

    It may do better a moment later.
    """


def stall_seconds() -> float:
    """How long a transfer may stand still."""
    import huggingface_hub.constants  # takes long to import, and only remote files need it

    return float(huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT)
