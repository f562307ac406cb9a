"""What a file is that is no IDX file, by its first bytes, and what to do about it."""

import contextlib
import string
import tarfile
from collections.abc import Iterator
from typing import NamedTuple

from .compressions import COMPRESSIONS

MAGIC_BYTES = 4  # that every IDX file starts with
HEAD_BYTES = 512  # of a file, which tell what it is
WRITE_IT = "write the arrays with mnist_idx.write_idx"
DOWNLOAD_IT = "Download it again, in binary mode"
SHOWN_BYTES = 8
MIN_TEXT_BYTES = 4  # fewer letters may be pixels


class Foreign(NamedTuple):
    """What a file is that is no IDX file.

    >>> find_foreign(b"<!DOCTYPE html>").what
    'an HTML or XML page'
    """

    what: str  # with its article, as in "found a zip"
    advice: str  # what works next: a sentence without its full stop
    is_archive: bool = False  # whether IDX files may be in it

    def explain(self, title: str) -> str:
        """The message of an error: what was found, what was expected, and what works next."""
        return f"{title}: found {self.what}, expected an IDX file. {self.advice}."


class _Signature(NamedTuple):
    """How files of a kind start."""

    starts: tuple[bytes, ...]
    foreign: Foreign


EMPTY = Foreign("an empty file", "Copy or download it again")
ZIP = Foreign("a zip", "Load it by its own path, or unpack it", is_archive=True)
TAR = Foreign("a tar", "Load it by its own path, or unpack it", is_archive=True)
NPZ = Foreign(
    "a NumPy archive (.npz)", "Convert it with mnist_idx.write_idx(PATH, FOLDER), or use numpy.load"
)


def _twice_compressed() -> Iterator[_Signature]:
    """How what was inside of a compressed file starts, if it is compressed again."""
    for row in COMPRESSIONS.values():
        what = f"{row.name} data inside of a compressed file"
        yield _Signature(row.magic, Foreign(what, "Decompress the file once"))


# The table is read from its top: what is special stands before what is general.
SIGNATURES = (
    _Signature(
        (b"<",),
        Foreign(
            "an HTML or XML page", "It was saved in place of the data: download the file again"
        ),
    ),
    _Signature(
        (b"version https://git-lfs",),
        Foreign("a pointer of Git LFS, not the data", "Fetch the data: git lfs pull"),
    ),
    _Signature(
        (b"\x93numpy",),
        Foreign("a NumPy array (.npy)", f"Read it with numpy.load, and {WRITE_IT}"),
    ),
    _Signature((b"pk\x03\x04", b"pk\x05\x06"), ZIP),
    *_twice_compressed(),
    _Signature((b"\x28\xb5\x2f\xfd",), Foreign("Zstandard data", "Decompress it with unzstd")),
    _Signature((b"\x1f\x9d",), Foreign("data of `compress`", "Decompress it with gunzip")),
    _Signature((b"\x04\x22\x4d\x18",), Foreign("LZ4 data", "Decompress it with unlz4")),
    _Signature(
        (b"\x5d\0\0",), Foreign("data of LZMA, the old format", "Decompress it with unlzma")
    ),
    _Signature((b"7z\xbc\xaf\x27\x1c",), Foreign("a 7z archive", "Unpack it with 7z x")),
    _Signature((b"rar!",), Foreign("a RAR archive", "Unpack it with unrar x")),
    _Signature(
        (b"\xef\xbb\xbf\0\0", b"\xef\xbb\xbf"),
        Foreign("a byte-order mark, as of a text", f"{DOWNLOAD_IT}, or write it again as bytes"),
    ),
    _Signature(
        (b"\xff\xfe", b"\xfe\xff"),
        Foreign("UTF-16 text", f"{DOWNLOAD_IT}, or write it again as bytes"),
    ),
    _Signature(
        (b"\x89png", b"\xff\xd8\xff", b"gif8", b"bm", b"ii*\0", b"mm\0*"),
        Foreign("a picture", 'Load a folder of pictures with load_dataset("imagefolder", …)'),
    ),
    _Signature((b"\x89hdf",), Foreign("an HDF5 file", f"Read it with h5py, and {WRITE_IT}")),
    _Signature(
        (b"par1",),
        Foreign("a Parquet file", 'Load it with load_dataset("parquet", data_files=…)'),
    ),
    _Signature(
        (b"matlab 5.0",), Foreign("a MATLAB file", f"Read it with scipy.io.loadmat, and {WRITE_IT}")
    ),
    _Signature((b"%pdf",), Foreign("a PDF", "Name the IDX file")),
    _Signature(
        tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6)),
        Foreign("a Python pickle", f"Read it with pickle.load if you trust it, and {WRITE_IT}"),
    ),
)
LITTLE_ENDIAN = Foreign(
    "a little-endian header",
    'IDX is big-endian: write the file again, with mnist_idx.write_idx or struct.pack(">4B…I", …)',
)
WIDE = Foreign(
    "a header of 16-bit numbers",
    "IDX has one byte for each pixel and four for each size: write the file again, "
    'with mnist_idx.write_idx or array.array("B", …)',
)
ANNEX = Foreign("a pointer of git-annex, not the data", "Fetch the data: git annex get")
LINK = Foreign("the text of a symbolic link, not the data", "Put the file itself in its place")
TEXT = Foreign(
    "text",
    "Convert a table of pixels with mnist-idx convert csv FOLDER --data-files FILE",
)
IDX_TYPES = (0x08, 0x09, 0x0B, 0x0C, 0x0D, 0x0E)
MAX_SMALL_DIMENSIONS = 32
TEXT_BYTES = string.printable.encode("ascii")


def is_idx(head: bytes) -> bool:
    """Whether a file may be an IDX file by its first bytes."""
    return len(head) >= 4 and head.startswith(b"\0\0") and any(head[2:4])


def find_foreign(head: bytes) -> Foreign:
    """What a file is, by its first bytes, which are not those of an IDX file."""
    if not head:
        return EMPTY
    if _is_little_endian(head):
        return LITTLE_ENDIAN
    if _is_wide(head):
        return WIDE
    if is_tar(head):
        return TAR
    if b"annex/objects/" in head:
        return ANNEX
    if _is_link(head):
        return LINK
    start = head.lstrip(b" \t\r\n")
    for signature in SIGNATURES:
        if start.startswith(signature.starts) or start.lower().startswith(signature.starts):
            return NPZ if signature.foreign == ZIP and _is_npz(head) else signature.foreign
    if len(head) >= MIN_TEXT_BYTES and not head.translate(None, TEXT_BYTES):
        return TEXT
    return _headerless(head)


def _is_npz(head: bytes) -> bool:
    """Whether a zip is one of NumPy, by the name of its first member."""
    name_length = int.from_bytes(head[26:28], "little")
    return head[30 : 30 + name_length].endswith(b".npy")


def _is_little_endian(head: bytes) -> bool:
    """Whether a file starts with the four bytes of an IDX file in reverse order."""
    if len(head) < 4 or head[2:4] != b"\0\0":
        return False
    return head[1] in IDX_TYPES and 1 <= head[0] <= MAX_SMALL_DIMENSIONS


def _is_wide(head: bytes) -> bool:
    """Whether each byte of a header has become a little-endian 16-bit number."""
    return head[:4] == bytes(4) and head[5:8:2] == bytes(2) and is_idx(head[:8:2])


def _is_link(head: bytes) -> bool:
    """Whether a file holds a path, as a symbolic link that was checked out as text."""
    is_line = len(head) < HEAD_BYTES and b"\n" not in head.rstrip(b"\r\n")
    return (
        is_line and head.startswith((b"../", b"./", b"/")) and not head.translate(None, TEXT_BYTES)
    )


def is_tar(head: bytes) -> bool:
    """Whether a file starts with the header of a member of a tar."""
    with contextlib.suppress(tarfile.HeaderError):
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
        return True
    return False


def _headerless(head: bytes) -> Foreign:
    found = f"data without an IDX header, which starts with {head[:SHOWN_BYTES]!r}"
    if not any(head):
        found = "data without an IDX header, which starts with zeros"
    return Foreign(
        found,
        "Is it the name of another file? If it is pixels without a header, read them with "
        f'numpy.fromfile(PATH, "uint8").reshape(-1, ROWS, COLUMNS), and {WRITE_IT}',
    )
