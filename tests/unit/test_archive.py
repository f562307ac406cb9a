"""The members of archives and folders: well-formed, odd and hostile."""

import gzip
import io
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import crafted
import fsspec
import pytest
from clients import traced_memory, tree
from http_server import Server
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)

from mnist_idx import archive
from mnist_idx.archive import Location, list_folder, list_members
from mnist_idx.errors import IdxError, TransferError
from mnist_idx.members import Access, Member, open_member
from mnist_idx.streams import read_fully

IMAGES, LABELS = to_idx(random_images(30, 20, 20)), to_idx(random_labels(2))
Patch, Serve = pytest.MonkeyPatch, Callable[..., Server]


def list_of(path: Path | str) -> list[Member]:
    """The members of what is at a path or a URL."""
    return list_members(Location(str(path)), Access())


def read_members(path: Path, url: str | None = None) -> dict[str, bytes]:
    """Name -> content, read to the end and checked, of all members of what is at a path."""
    contents = {}
    for member in list_members(Location(str(path), url=url), Access()):
        with open_member(member, Access()) as stream:
            contents[member.name] = bytes(read_fully(stream, 1 << 20))
            stream.finish()
    return contents


def make_zip(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """A zip, with a comment at its end."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as zipped:
        zipped.comment = b"a comment"
        for name, content in files.items():
            zipped.writestr(name, content)
    return buffer.getvalue()


class Pipe(io.BytesIO):
    """Where a zip is written in one go: sizes come behind the members."""

    def seekable(self) -> bool:
        return False


# Files and folders


def test_a_file_that_is_no_archive_is_its_only_member(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(IMAGES)
    assert list_of(path) == [Member(str(path), str(path), file_size=len(IMAGES))]


def test_a_compressed_file_is_called_what_the_user_calls_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(IMAGES))
    assert read_members(path, url="other") == {"other": IMAGES}


def test_the_files_of_a_local_folder_are_listed_in_order(tmp_path: Path) -> None:
    write_archive(tmp_path, {"b/x": b"", "a": b"", "b/c/y": b""})
    members = list_folder(str(tmp_path), Access())
    assert members is not None
    expected = [f"{tmp_path}/a", f"{tmp_path}/b/c/y", f"{tmp_path}/b/x"]
    assert [member.name for member in members] == expected


def test_the_files_of_a_remote_folder_are_listed_in_order() -> None:
    fsspec.filesystem("memory").pipe({"/a_folder/x": b"", "/a_folder/b/y": b""})
    members = list_folder("memory:///a_folder", Access())
    assert members is not None
    expected = ["memory:///a_folder/b/y", "memory:///a_folder/x"]
    assert [member.name for member in members] == expected


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("{folder}/file", id="local-file"),
        pytest.param("{folder}/nowhere", id="local-path-where-nothing-is"),
        pytest.param("memory:///with_a_file/x", id="remote-file"),
        pytest.param("http://127.0.0.1/folder/", id="http-which-has-no-folders"),
    ],
)
def test_what_is_no_folder_is_not_listed_as_one(path: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    fsspec.filesystem("memory").pipe({"/with_a_file/x": b""})
    assert list_folder(path.format(folder=tmp_path), Access()) is None


@pytest.fixture
def unreadable_folder() -> Iterator[Path]:
    """A folder that this process may not read, not even as root: it becomes "nobody"."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        if not folder.is_dir():
            pytest.skip("only root can see the folder of temporary files")
        yield folder
    finally:
        os.seteuid(user)
        folder.rmdir()


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="this system has other permissions")
def test_a_folder_that_cannot_be_read_is_an_error(unreadable_folder: Path) -> None:
    folder = str(unreadable_folder)
    with pytest.raises(TransferError, match=f"{folder}: cannot be read: Permission denied"):
        list_folder(folder, Access())


# Names


@pytest.mark.parametrize(
    "prefix",
    [
        pytest.param("../../", id="folder-above"),
        pytest.param("/", id="absolute"),
        pytest.param("/etc/../", id="absolute-and-up"),
        pytest.param("..\\..\\", id="folder-above-on-windows"),
        pytest.param("C:\\", id="drive"),
        pytest.param("a\n", id="line-break"),
        pytest.param("\x1b[2J", id="escape-sequence"),
        pytest.param("\udcff", id="undecodable-byte"),
    ],
)
def test_names_of_members_are_never_used_as_paths(
    prefix: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    files = {
        f"{prefix}{TRAIN_IMAGES}": IMAGES,
        f"{prefix}data/{TRAIN_LABELS}": LABELS,
        f"{prefix}empty": b"",
    }
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path / "data")
    Path("file.tar").write_bytes(make_tar(files))
    before = tree(tmp_path)
    assert read_members(Path("file.tar")) == files
    assert tree(tmp_path) == before


def test_folders_in_a_tar_are_left_out(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "set.tar", "w") as tar:
        tar.add(tmp_path, "folder", recursive=False)
        tar.addfile(tarfile.TarInfo("n"))
    assert read_members(tmp_path / "set.tar") == {"n": b""}


@pytest.mark.parametrize(
    ("kind", "link", "found"),
    [
        pytest.param(tarfile.SYMTYPE, "n", "a link", id="symbolic-link"),
        pytest.param(tarfile.LNKTYPE, "nowhere", "a link", id="dangling-hard-link"),
        pytest.param(tarfile.FIFOTYPE, "", "a sparse file or a device", id="pipe"),
        pytest.param(tarfile.GNUTYPE_SPARSE, "", "a sparse file or a device", id="sparse-file"),
    ],
)
def test_the_error_says_what_a_member_is_that_is_no_file(
    kind: bytes, link: str, found: str, tmp_path: Path
) -> None:
    info = tarfile.TarInfo("m")
    info.type, info.linkname = kind, link
    (tmp_path / "set.tar").write_bytes(info.tobuf() + make_tar({"n": b"content"}))
    with pytest.raises(IdxError, match=f": found {found}, expected a file. Pack the archive"):
        read_members(tmp_path / "set.tar")


def test_folders_in_a_zip_are_left_out(tmp_path: Path) -> None:
    buffer = Pipe()
    with zipfile.ZipFile(buffer, "w") as zipped:
        zipped.writestr("n", b"content")
        zipped.writestr("folder/", b"")
    (tmp_path / "set.zip").write_bytes(buffer.getvalue())
    assert read_members(tmp_path / "set.zip") == {"n": b"content"}


# Too much


def tar_of_members(count: int) -> bytes:
    """A tar of so many empty members, all of them called "a"."""
    return crafted.tar_header(b"a", crafted.octal(0), b"0") * count + bytes(1024)


def compressed_tar_of_members(count: int) -> bytes:
    """The same, compressed by gzip."""
    return gzip.compress(tar_of_members(count))


def zip_of_members(count: int) -> bytes:
    """A zip of so many empty members, called by their numbers."""
    return make_zip({str(number): b"" for number in range(count)})


@pytest.mark.parametrize(
    ("make", "first_and_last"),
    [
        pytest.param(tar_of_members, {"a"}, id="tar"),
        pytest.param(compressed_tar_of_members, {"a"}, id="compressed-tar"),
        pytest.param(zip_of_members, {"0", "999"}, id="zip"),
    ],
)
def test_as_many_members_as_allowed_are_listed(
    make: Callable[[int], bytes], first_and_last: set[str], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(make(archive.MAX_MEMBERS))
    names = {member.name for member in list_of(tmp_path / "file")}
    assert names >= first_and_last


@pytest.mark.parametrize("place", ["local", "served"])
@pytest.mark.parametrize(
    ("make", "count"),
    [
        pytest.param(tar_of_members, 1_001, id="one-more-in-a-tar"),
        pytest.param(compressed_tar_of_members, 1_001, id="one-more-in-a-compressed-tar"),
        pytest.param(zip_of_members, 1_001, id="one-more-in-a-zip"),
        pytest.param(tar_of_members, 70_000, id="70,000-in-a-tar", marks=pytest.mark.slow),
        pytest.param(
            compressed_tar_of_members,
            70_000,
            id="70,000-in-a-compressed-tar",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_more_members_than_allowed_are_refused_at_little_cost(
    make: Callable[[int], bytes], count: int, place: str, tmp_path: Path, serve: Serve
) -> None:
    (tmp_path / "file").write_bytes(make(count))
    server = serve({"/file": tmp_path / "file"})
    path = str(tmp_path / "file") if place == "local" else server.url("/file")
    with traced_memory(60 << 20), pytest.raises(IdxError, match=r"/file: .*members"):
        list_of(path)
    server.settle()
    assert server.sent() < 6 << 20


@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_a_name_of_3500_characters_is_allowed(form: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / form, {"a" * 3_500: b""})
    assert len(list_of(path)) == 1


@pytest.mark.parametrize("length", [5_000, 20_000])
@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_a_longer_name_is_refused(form: str, length: int, tmp_path: Path) -> None:
    path = write_archive(tmp_path / form, {"a" * length: b""})
    with pytest.raises(IdxError, match=rf"/{form}: .* at most (4,096|16,384)"):
        list_of(path)


@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_the_size_of_all_names_is_bounded(form: str, tmp_path: Path, monkeypatch: Patch) -> None:
    # The real limit needs hundreds of names; which limit it is, makes no difference.
    monkeypatch.setattr(archive, "MAX_DIRECTORY_BYTES", 20_000)
    files = {f"{number}{'a' * 3_500}": b"" for number in range(9)}
    path = write_archive(tmp_path / form, files)
    with pytest.raises(IdxError, match=rf"/{form}: .* 20,000 bytes"):
        list_of(path)


@pytest.fixture
def at_most_2560_bytes_are_skipped(monkeypatch: Patch) -> None:
    """The real limit, 4 GiB, takes minutes to reach."""
    monkeypatch.setattr(archive, "MAX_SKIPPED_BYTES", 2560)


@pytest.mark.usefixtures("at_most_2560_bytes_are_skipped")
@pytest.mark.parametrize(
    "pack", [pytest.param(bytes, id="plain"), pytest.param(gzip.compress, id="compressed")]
)
def test_a_tar_with_as_much_to_skip_as_allowed_is_read(
    pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    tar = make_tar({"a": bytes(500), "b": bytes(500), "c": b""})
    without_filling = tar[:3584]  # which takes it to 10 kB
    (tmp_path / "file").write_bytes(pack(without_filling))
    assert list(read_members(tmp_path / "file")) == ["a", "b", "c"]


@pytest.mark.usefixtures("at_most_2560_bytes_are_skipped")
@pytest.mark.parametrize(
    ("tar", "message"),
    [
        pytest.param(
            make_tar({"a": bytes(500), "b": bytes(500), "c": b"1"}),
            "'c' .* byte 2,561, .*2,560",
            id="a-byte-more-before-the-end-of-a-member",
        ),
        pytest.param(
            make_tar({"a": b""}) + bytes(20_000),
            "more than 2,560 bytes follow",
            id="zeros-behind-the-members",
        ),
    ],
)
def test_a_compressed_tar_with_more_to_skip_is_refused(
    tar: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(gzip.compress(tar))
    with pytest.raises(IdxError, match=f"/file: .*{message}"):
        list_of(tmp_path / "file")


# Crafted tars and zips


def tar_that_starts_with(kind: bytes, size: bytes, body: bytes = b"") -> bytes:
    """A tar of a special header, with its body, and three members."""
    header = crafted.tar_header(TRAIN_IMAGES.encode(), size, kind)
    members = make_tar({"a": bytes(500), "b": bytes(501), "c": b""})
    return crafted.padded(header, body) + members


DIRECTORY_ENTRY, OWN_HEADER = b"PK\x01\x02", b"PK\x03\x04"


def changed_zip(
    signature: bytes, offset: int, value: int, method: int = zipfile.ZIP_STORED
) -> bytes:
    """A zip of one member, with one byte changed behind the last of these signatures."""
    data = bytearray(make_zip({"n": b"long content"}, method))
    data[data.rindex(signature) + offset] = value
    return bytes(data)


OTHER_FILES = [
    pytest.param(b"", "an empty file", id="empty-file"),
    pytest.param(b"  \n<html></html>", "an HTML or XML page", id="page"),
    pytest.param(b"hello", "found text, expected a tar", id="text"),
    pytest.param(bytes(10240), "starts with zeros", id="zeros"),
    pytest.param(b"\x1f\x8b\x08", "gzip data is damaged", id="gzip-that-is-cut-short"),
    pytest.param(b"PK\x03\x04", "zip is damaged", id="zip-that-is-cut-short"),
    pytest.param(
        gzip.compress(b"PK\x03\x04" + bytes(600)), "found a zip", id="zip-that-is-compressed"
    ),
    pytest.param(
        make_tar({TRAIN_IMAGES: bytes(600)})[:700], "tar is damaged", id="tar-that-is-cut-short"
    ),
]


@pytest.mark.parametrize(("content", "found"), OTHER_FILES)
def test_what_is_no_archive_is_refused_and_named(
    content: bytes, found: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)
    with traced_memory(20 << 20), pytest.raises(IdxError, match=f"/file.*{found}"):
        read_members(tmp_path / "file")


@pytest.mark.parametrize(
    "pack", [pytest.param(bytes, id="plain"), pytest.param(gzip.compress, id="compressed")]
)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(tar_that_starts_with(b"S", crafted.octal(0)), id="gnu-sparse-file"),
        pytest.param(
            tar_that_starts_with(b"x", crafted.octal(22), b"22 GNU.sparse.map=0,5\n"),
            id="pax-sparse-file",
        ),
        pytest.param(
            tar_that_starts_with(b"x", crafted.octal(20), b"20 size=99999999999\n"),
            id="pax-header-with-another-size",
        ),
        pytest.param(
            tar_that_starts_with(b"x", crafted.octal(20), b"0 path=xxxxxxxxxxxx\n"),
            id="pax-header-with-a-wrong-length",
        ),
        pytest.param(
            tar_that_starts_with(b"x", crafted.octal(1 << 33), b"x" * 2000),
            id="pax-header-of-gigabytes",
        ),
        pytest.param(
            tar_that_starts_with(b"L", crafted.octal(1 << 33), b"x" * 2000),
            id="long-name-of-gigabytes",
        ),
        pytest.param(
            tar_that_starts_with(b"0", crafted.octal(1 << 40)), id="tar-size-beyond-the-file"
        ),
        pytest.param(
            tar_that_starts_with(b"0", b"\x80" + b"\x7f" * 11), id="tar-size-beyond-any-file"
        ),
        pytest.param(tar_that_starts_with(b"0", b"\xff" * 12), id="tar-size-negative"),
        pytest.param(changed_zip(DIRECTORY_ENTRY, 46, 0), id="zip-member-without-a-name"),
        pytest.param(changed_zip(DIRECTORY_ENTRY, 8, 1), id="zip-member-encrypted"),
        pytest.param(
            changed_zip(DIRECTORY_ENTRY, 0, ord("P"), zipfile.ZIP_BZIP2),
            id="zip-member-packed-by-bzip2",
        ),
        pytest.param(changed_zip(OWN_HEADER, 30, ord("m")), id="zip-member-of-two-names"),
        pytest.param(
            changed_zip(DIRECTORY_ENTRY, 24, 8, zipfile.ZIP_DEFLATED),
            id="zip-member-of-another-size-with-the-checksum-of-the-whole",
        ),
    ],
)
def test_a_trick_is_refused_in_little_memory(
    content: bytes, pack: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(pack(content))
    with traced_memory(20 << 20), pytest.raises(IdxError, match="/file"):
        read_members(tmp_path / "file")
