"""The members of archives and folders: well-formed, odd and hostile."""

import gzip
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import crafted
import fsspec
import pytest
from clients import traced_memory, tree
from http_server import Server
from idx_files import make_tar, random_images, to_idx, write_archive

from mnist_idx import archive
from mnist_idx.archive import Location, list_folder, list_members
from mnist_idx.errors import IdxError, TransferError
from mnist_idx.members import Access, Member, open_member
from mnist_idx.streams import read_fully

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
CONTENT = {
    IMAGES: to_idx(random_images(30, 20, 20)),
    f"data/{LABELS}": b"\0\0\x08\x01\0\0\0\x02\1\2",
    "empty": b"",
}
THREE = make_tar({"a": bytes(500), "b": bytes(501), "c": b""})
Patch, Serve = pytest.MonkeyPatch, Callable[..., Server]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def read_all(file: Path, name: str = "") -> dict[str, bytes]:
    contents = {}
    for member in list_members(Location(str(file), url=name), Access()):
        with open_member(member, Access()) as stream:
            contents[member.name] = bytes(read_fully(stream, 1 << 20))
            stream.finish()
    return contents


def test_single_files(file: Path) -> None:
    file.write_bytes(CONTENT[IMAGES])
    assert list_members(Location(str(file)), Access()) == [
        Member(str(file), str(file), file_size=len(CONTENT[IMAGES]))
    ]
    file.write_bytes(gzip.compress(CONTENT[IMAGES]))
    assert read_all(file, name="other") == {"other": CONTENT[IMAGES]}


def test_folders(tmp_path: Path, monkeypatch: Patch) -> None:
    write_archive(tmp_path, {"b/x": b"", "a": b"", "b/c/y": b""})
    fsspec.filesystem("memory").pipe({"/a_folder/x": b"", "/a_folder/b/y": b""})
    folders = {str(tmp_path): ["a", "b/c/y", "b/x"], "memory:///a_folder": ["b/y", "x"]}
    for folder, names in folders.items():
        assert [member.name for member in list_folder(folder, Access())] == [
            f"{folder}/{name}" for name in names
        ]
    for other in (
        f"{tmp_path}/a",
        f"{tmp_path}/nowhere",
        "memory:///a_folder/x",
        "http://127.0.0.1/folder/",
    ):
        assert list_folder(other, Access()) is None
    denied = PermissionError(13, "Permission denied", str(tmp_path))
    monkeypatch.setattr(os, "scandir", mock.Mock(side_effect=denied))
    with pytest.raises(TransferError, match=f"{tmp_path}: cannot be read: Permission denied"):
        list_folder(str(tmp_path), Access())


def test_names_are_never_used_as_paths(tmp_path: Path, monkeypatch: Patch) -> None:
    prefixes = ["../../", "/", "/etc/../", "..\\..\\", "C:\\", "a\n", "\x1b[2J", "\udcff"]
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    files = {prefix + name: data for prefix in prefixes for name, data in CONTENT.items()}
    Path("file.tar").write_bytes(make_tar(files))
    before = tree(tmp_path)
    assert read_all(Path("file.tar")) == files
    assert tree(tmp_path) == before


def test_folders_in_archives_are_left_out(file: Path, tmp_path: Path) -> None:
    with tarfile.open(file, "w") as tar:
        tar.add(tmp_path, "folder", recursive=False)
        tar.addfile(tarfile.TarInfo("n"))
    assert read_all(file) == {"n": b""}
    pipe = type(
        "Pipe", (io.BytesIO,), {"seekable": lambda self: False}
    )()  # sizes come behind the members
    file.write_bytes(make_zip({"n": b"content", "folder/": b""}, buffer=pipe))
    assert read_all(file) == {"n": b"content"}


# Too much


def many_members(form: str, count: int) -> bytes:
    if form == "zip":
        return make_zip({str(number): b"" for number in range(count)})
    content = crafted.tar_header(b"a", crafted.octal(0), b"0") * count + bytes(1024)
    return gzip.compress(content) if form == "tar.gz" else content


def make_zip(
    files: dict[str, bytes], method: int = zipfile.ZIP_STORED, buffer: io.BytesIO | None = None
) -> bytes:
    buffer = buffer or io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        zipped.comment = b"a comment"
        for name, content in files.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("form", "count"),
    [
        ("tar", 1_001),
        ("tar.gz", 1_001),
        ("zip", 1_001),
        pytest.param("tar", 70_000, marks=pytest.mark.slow),
        pytest.param("tar.gz", 70_000, marks=pytest.mark.slow),
    ],
)
def test_the_number_of_members_is_bounded(form: str, count: int, file: Path, serve: Serve) -> None:
    file.write_bytes(many_members(form, archive.MAX_MEMBERS))
    assert {member.name for member in list_members(Location(str(file)), Access())} >= (
        {"0", "999"} if form == "zip" else {"a"}
    )
    file.write_bytes(many_members(form, count))
    server = serve({"/file": file})
    with traced_memory(60 << 20):
        for path in (str(file), server.url("/file")):
            with pytest.raises(IdxError, match=r"/file: .*members"):
                list_members(Location(path), Access())
    assert server.sent() < 6 << 20


@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_the_size_of_names_is_bounded(form: str, tmp_path: Path, monkeypatch: Patch) -> None:
    assert (
        len(
            list_members(
                Location(str(write_archive(tmp_path / form, {"a" * 3_500: b""}))), Access()
            )
        )
        == 1
    )
    for length in (5_000, 20_000):
        with pytest.raises(IdxError, match=rf"/{form}: .* at most (4,096|16,384)"):
            list_members(
                Location(str(write_archive(tmp_path / form, {"a" * length: b""}))), Access()
            )
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 20_000)
    many = {f"{number}{'a' * 3_500}": b"" for number in range(9)}
    with pytest.raises(IdxError, match=rf"/{form}: .* 20,000 bytes"):
        list_members(Location(str(write_archive(tmp_path / form, many))), Access())


def test_what_is_skipped_in_a_compressed_tar_is_bounded(file: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(archive, "MAX_SKIPPED_BYTES", 2560)
    small = make_tar({"a": bytes(500), "b": bytes(500), "c": b""})[
        :3584
    ]  # without what fills it up to 10 kB
    for content in (small, gzip.compress(small)):
        file.write_bytes(content)
        assert list(read_all(file)) == ["a", "b", "c"]
    long = make_tar({"a": b""}) + bytes(20_000)
    larger = make_tar({"a": bytes(500), "b": bytes(500), "c": b"1"})
    for tar, message in (
        (larger, "'c' .* byte 2,561, .*2,560"),
        (long, "more than 2,560 bytes follow"),
    ):
        file.write_bytes(gzip.compress(tar))
        with pytest.raises(IdxError, match=f"/file: .*{message}"):
            list_members(Location(str(file)), Access())


# Crafted tars and zips


def tar_of(kind: bytes, size: bytes, body: bytes = b"") -> bytes:
    """A tar that starts with a special header."""
    return crafted.tar_header(IMAGES.encode(), size, kind) + body + bytes(-len(body) % 512) + THREE


def zip_with(marker: bytes, offset: int, value: int, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with one byte changed."""
    data = bytearray(make_zip({"n": b"long content"}, method))
    data[data.rindex(marker) + offset] = value
    return bytes(data)


ENTRY, LOCAL = b"PK\x01\x02", b"PK\x03\x04"
TRICKS = {
    "GNU sparse": tar_of(b"S", crafted.octal(0)),
    "pax sparse": tar_of(b"x", crafted.octal(22), b"22 GNU.sparse.map=0,5\n"),
    "pax size": tar_of(b"x", crafted.octal(20), b"20 size=99999999999\n"),
    "pax length": tar_of(b"x", crafted.octal(20), b"0 path=xxxxxxxxxxxx\n"),
    "pax header of gigabytes": tar_of(b"x", crafted.octal(1 << 33), b"x" * 2000),
    "long name of gigabytes": tar_of(b"L", crafted.octal(1 << 33), b"x" * 2000),
    "size beyond the file": tar_of(b"0", crafted.octal(1 << 40)),
    "size beyond any file": tar_of(b"0", b"\x80" + b"\x7f" * 11),
    "negative size": tar_of(b"0", b"\xff" * 12),
    "zip member without a name": zip_with(ENTRY, 46, 0),
    "encrypted zip": zip_with(ENTRY, 8, 1),
    "zip of another method": zip_with(ENTRY, 0, ord("P"), zipfile.ZIP_BZIP2),
    "zip of two names for a member": zip_with(LOCAL, 30, ord("m")),
    "zip of another size, with the checksum of the whole member": zip_with(
        ENTRY, 24, 8, zipfile.ZIP_DEFLATED
    ),
}


NOT_ARCHIVES = {
    "empty file": (b"", "an empty file"),
    "page": (b"  \n<html></html>", "an HTML or XML page"),
    "text": (b"hello", "b'hello'"),
    "zeros": (bytes(10240), r"b'(\\x00){8}'"),
    "cut gzip": (b"\x1f\x8b\x08", "gzip data is damaged"),
    "cut zip": (b"PK\x03\x04", "zip is damaged"),
    "compressed zip": (gzip.compress(b"PK\x03\x04" + bytes(600)), r"b'PK\\x03\\x04"),
    "cut tar": (make_tar({IMAGES: bytes(600)})[:700], "tar is damaged"),
    **{trick: (content, "") for trick, content in TRICKS.items()},
    **{f"compressed {trick}": (gzip.compress(content), "") for trick, content in TRICKS.items()},
}


@pytest.mark.parametrize("kind", NOT_ARCHIVES)
def test_other_files_and_tricks_are_refused(kind: str, file: Path) -> None:
    content, found = NOT_ARCHIVES[kind]
    file.write_bytes(content)
    with traced_memory(20 << 20), pytest.raises(IdxError, match=f"/file.*{found}"):
        read_all(file)
