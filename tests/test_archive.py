"""The members of archives and folders: well-formed, odd and hostile."""

import gzip
import io
import os
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import crafted
import fsspec
import numpy as np
import pytest
from clients import traced_memory, tree
from http_server import Server
from idx_files import ARCHIVES, PACKINGS, make_tar, random_images, to_idx, write_archive

from mnist_idx import archive
from mnist_idx.archive import list_folder, list_members
from mnist_idx.idx import IdxError, TransferError, read_fully
from mnist_idx.storage import Member, open_member

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
CONTENT = {IMAGES: to_idx(random_images(30, 20, 20)), f"data/{LABELS}": b"\0\0\x08\x01\0\0\0\x02\1\2", "empty": b""}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file"


def read(member: Member) -> bytes:
    with open_member(member) as stream:
        return bytes(read_fully(stream, 1 << 20))


def read_all(file: Path) -> dict[str, bytes]:
    return {member.name: read(member) for member in list_members(str(file))}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", ARCHIVES)
def test_members_have_their_names_and_contents(form: str, packing: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / form, {name: PACKINGS[packing](data) for name, data in CONTENT.items()})
    root = f"{path}/" if path.is_dir() else ""
    assert read_all(path) == {root + name: data for name, data in CONTENT.items()}


@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_listing_a_remote_archive_fetches_no_content(form: str, tmp_path: Path, serve: Callable[..., Server]) -> None:
    files = {name: bytes(1_000_000) for name in (IMAGES, LABELS)}
    server = serve({f"/{form}": write_archive(tmp_path / form, files)})
    assert [member.name for member in list_members(server.url(f"/{form}"))] == [IMAGES, LABELS]
    server.settle()
    assert server.sent() < 30_000


def test_single_files(file: Path) -> None:
    file.write_bytes(CONTENT[IMAGES])
    assert list_members(str(file)) == [Member(str(file), str(file), file_size=len(CONTENT[IMAGES]))]
    file.write_bytes(gzip.compress(CONTENT[IMAGES]))
    (member,) = list_members(str(file), name="other")
    assert (member.name, read(member)) == ("other", CONTENT[IMAGES])


def test_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(tmp_path, {"b/x": b"", "a": b"", "b/c/y": b""})
    assert [member.name for member in list_folder(str(tmp_path))] == [f"{tmp_path}/{n}" for n in ("a", "b/c/y", "b/x")]
    fsspec.filesystem("memory").pipe({"/a_folder/x": b"", "/a_folder/b/y": b""})
    assert [member.name for member in list_folder("memory://a_folder")] == [
        "memory:///a_folder/b/y",
        "memory:///a_folder/x",
    ]
    for other in (f"{tmp_path}/a", f"{tmp_path}/nowhere", "memory:///a_folder/x", "http://127.0.0.1/folder/"):
        assert list_folder(other) is None

    def scandir(path: str) -> None:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(TransferError, match=f"{tmp_path}: cannot be read: Permission denied"):
        list_folder(str(tmp_path))


NOT_ARCHIVES = {
    "empty file": (b"", "an empty file"),
    "page": (b"  \n<html></html>", "an HTML or XML page"),
    "text": (b"hello", "b'hello'"),
    "zeros": (bytes(10240), r"b'(\\x00){8}'"),
    "cut gzip": (b"\x1f\x8b\x08", "gzip data is damaged"),
    "cut zip": (b"PK\x03\x04", "zip is damaged"),
    "compressed zip": (gzip.compress(b"PK\x03\x04" + bytes(600)), r"b'PK\\x03\\x04"),
    "cut tar": (make_tar({IMAGES: bytes(600)})[:700], "tar is damaged or cut short"),
}


@pytest.mark.parametrize("kind", NOT_ARCHIVES)
def test_other_files_are_refused(kind: str, file: Path) -> None:
    content, found = NOT_ARCHIVES[kind]
    file.write_bytes(content)
    with pytest.raises(IdxError, match=f"/file: .*{found}"):
        list_members(str(file))


@pytest.mark.parametrize("prefix", ["../../", "/", "/etc/../", "..\\..\\", "C:\\", "a\n", "\x1b[2J", "\udcff"])
def test_names_are_never_used_as_paths(prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    files = {prefix + name: data for name, data in CONTENT.items()}
    Path("file.tar").write_bytes(make_tar(files))
    before = tree(tmp_path)
    assert read_all(Path("file.tar")) == files
    assert tree(tmp_path) == before


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_folders_and_long_names_in_tars(format: int, file: Path) -> None:
    names = ["é" * 40 + "/" + "x" * 90, "folder"]
    with tarfile.open(file, "w", format=format) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type = tarfile.DIRTYPE if name == "folder" else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO())
    assert read_all(file) == {names[0]: b""}


# Too much


def many_members(form: str, count: int) -> bytes:
    if form == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as zipped:
            for number in range(count):
                zipped.writestr(str(number), b"")
        return buffer.getvalue()
    content = crafted.tar_header(b"a", crafted.octal(0), b"0") * count + bytes(1024)
    return gzip.compress(content) if form == "tar.gz" else content


@pytest.mark.parametrize(
    ("form", "count"),
    [("tar", 70_000), ("tar.gz", 70_000), ("zip", 1_001), pytest.param("zip", 70_000, marks=pytest.mark.slow)],
)
def test_the_number_of_members_is_bounded(form: str, count: int, file: Path, serve: Callable[..., Server]) -> None:
    file.write_bytes(many_members(form, archive.MAX_MEMBERS))
    assert len(list_members(str(file))) == archive.MAX_MEMBERS
    file.write_bytes(many_members(form, count))
    server = serve({"/file": file})
    with traced_memory(60 << 20):
        for path in (str(file), server.url("/file")):
            with pytest.raises(IdxError, match=r"/file: .*members"):
                list_members(path)
    assert server.sent() < 6 << 20


@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_the_size_of_names_is_bounded(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 20_000)
    assert len(list_members(str(write_archive(tmp_path / form, {"a" * 8_000: b""})))) == 1
    with pytest.raises(IdxError, match=rf"/{form}: .* 20,000 bytes"):
        list_members(str(write_archive(tmp_path / form, {"a" * 20_000: b""})))


def test_what_is_skipped_in_a_compressed_tar_is_bounded(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_SKIPPED_BYTES", 1000)
    monkeypatch.setattr(archive, "SKIP_CHUNK", 512)
    content = make_tar({"a": bytes(500), "b": bytes(501), "c": b""})
    for data, message in (
        (make_tar({"a": bytes(500), "b": bytes(500), "c": b""})[:3584], None),
        (content, r"'b'.* 1,001 bytes, expected at most 1,000"),
        (make_tar({"a": b""}) + bytes(20_000), "more than 1,000 bytes follow"),
    ):
        file.write_bytes(gzip.compress(data))
        if message is None:
            assert list(read_all(file)) == ["a", "b", "c"]
        else:
            with pytest.raises(IdxError, match=f"/file: .*{message}"):
                list_members(str(file))
    file.write_bytes(content)
    assert list(read_all(file)) == ["a", "b", "c"]


# Crafted tars and zips


def tar_of(kind: bytes, size: bytes, body: bytes = b"") -> bytes:
    """A tar that starts with a special header."""
    special = crafted.tar_header(IMAGES.encode(), size, kind) + body + bytes(-len(body) % 512)
    return special + make_tar(CONTENT)


def zip_with(marker: bytes, offset: int, value: int, method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip with one byte changed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        zipped.writestr("n", b"content")
    data = bytearray(buffer.getvalue())
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
    "signed size": tar_of(b"0", b"-0000001000\0"),
    "size that is no number": tar_of(b"0", b"zzzzzzzzzzz\0"),
    "zip member without a name": zip_with(ENTRY, 46, 0),
    "encrypted zip": zip_with(ENTRY, 8, 1),
    "zip of another method": zip_with(ENTRY, 0, ord("P"), zipfile.ZIP_BZIP2),
    "zip of two names for a member": zip_with(LOCAL, 30, ord("m")),
    "zip offset beyond the file": zip_with(ENTRY, 44, 200),
    "zip size beyond the file": zip_with(ENTRY, 22, 200),
}


@pytest.mark.parametrize("trick", TRICKS)
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_tricks_are_refused(trick: str, compress: Callable[[bytes], bytes], file: Path) -> None:
    file.write_bytes(compress(TRICKS[trick]))
    with traced_memory(20 << 20), pytest.raises(IdxError, match="/file"):
        read_all(file)


def test_zips_that_were_written_to_a_pipe(file: Path) -> None:
    """Sizes and checksums come behind the members."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.comment = b"a comment"
        zipped.writestr("n", b"content")
        zipped.writestr("folder/", b"")
    file.write_bytes(buffer.getvalue())
    assert read_all(file) == {"n": b"content"}


def test_a_zip_whose_directory_has_another_size_is_refused(tmp_path: Path) -> None:
    """The checksum alone does not tell: it is that of the whole member."""
    content = gzip.compress(to_idx(np.arange(60, dtype=np.uint8).reshape(3, 4, 5)))
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("train-images-idx3-ubyte.gz", content)
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 8)
    path.write_bytes(data)
    (member,) = list_members(str(path))
    with open_member(member) as stream, pytest.raises(IdxError, match="bytes, expected 8"):
        stream.read(1000)
