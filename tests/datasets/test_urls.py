"""Odd URLs and file systems: what can be read is read, and the rest is an error that names the URL
once.
"""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import datasets
import fsspec
import pytest
from datasets.distributed import split_dataset_by_node
from http_server import Server
from idx_files import make_tar, to_idx, write_archive
from remote_sets import IMAGES, LABELS, WAYS, make_set, publish, read, read_or_refuse, stack, which

import mnist_idx

RECORDS = make_set(0, 40)
FILES = {
    IMAGES.removeprefix("/"): to_idx(RECORDS["train"][0]),
    LABELS.removeprefix("/"): to_idx(RECORDS["train"][1]),
}
TAR = make_tar(FILES)

each_way = pytest.mark.parametrize("way", WAYS)
two_ways = pytest.mark.parametrize("way", ["streamed", "prepared"])
each_odd_url = pytest.mark.parametrize(
    "url",
    [
        # File systems that connect when they are made, or lack their library.
        pytest.param("ftp://127.0.0.1:1/x.tar", id="ftp"),
        pytest.param("hdfs://127.0.0.1:1/x.tar", id="hdfs"),
        pytest.param("webhdfs://127.0.0.1:1/x.tar", id="webhdfs"),
        pytest.param("smb://127.0.0.1:1/x.tar", id="smb"),
        pytest.param("sftp://127.0.0.1:1/x.tar", id="sftp"),
        pytest.param("ssh://127.0.0.1:1/x.tar", id="ssh"),
        pytest.param("foo://x", id="unknown-protocol"),
        pytest.param("memory://nothere.tar", id="not-in-memory"),
        pytest.param("zip://f::", id="chain-without-an-end"),
        pytest.param("zip://f::folder", id="chain-to-a-folder"),
        pytest.param("zip://f::nothere.zip", id="chain-to-no-file"),
        pytest.param("zip://f::foo://x.zip", id="chain-to-an-unknown-protocol"),
        pytest.param("zip://nothere.tar::local.zip", id="chain-to-no-member"),
        pytest.param("zip://set.tar::broken.zip", id="chain-to-no-zip"),
        pytest.param("tar://set.tar::local.zip", id="chain-to-a-zip-as-a-tar"),
        pytest.param("gzip://set.tar::local.zip", id="chain-to-a-zip-as-gzip"),
        pytest.param("zip://f::http://127.0.0.1:1/x.zip", id="chain-to-no-server"),
        pytest.param("http://127.0.0.1:1/\udcff.tar", id="lone-surrogate"),
        pytest.param("http://127.0.0.1:99999/x.tar", id="port-out-of-range"),
        pytest.param("http://127.0.0.1:-1/x.tar", id="negative-port"),
        pytest.param("http://127.0.0.1:port/x.tar", id="port-of-letters"),
        pytest.param("http:///x.tar", id="no-host"),
        pytest.param("http://:80/x.tar", id="port-without-host"),
        pytest.param("http://[::1/x.tar", id="bracket-left-open"),
        pytest.param("http://[::g]:1/x.tar", id="no-address-in-brackets"),
        pytest.param("http://[::1]:1/x.tar", id="IPv6"),
        pytest.param("http://127.0.0.1 :1/x.tar", id="space-in-the-host"),
        pytest.param(f"http://{'a' * 64}.invalid/x.tar", id="label-of-64-letters"),
        pytest.param("http://a..invalid/x.tar", id="empty-label"),
        pytest.param("http://127.0.0.1:1/%zz.tar", id="no-escape"),
    ],
)


@pytest.fixture
def local_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with RECORDS as a folder, as a tar and in a zip, and a broken zip."""
    path = tmp_path / "local_files"
    write_archive(path / "folder", FILES)
    write_archive(path / "set.tar", FILES)
    members = {f"folder/{name}": content for name, content in FILES.items()}
    write_archive(path / "local.zip", {"set.tar": TAR, **members})
    (path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def no_built_in_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """The built-in sources cannot be reached."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")


def contents_of(folder: Path) -> dict[Path, bytes]:
    """The content of every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times_named(url: str, message: str) -> int:
    """How often a message names a URL: as it is, with escapes in place of what cannot be printed,
    or with the whole path of the local file at the end of a chain.
    """
    forms = {url, repr(url)[1:-1]}
    chain, _, inner = url.rpartition("::")
    if chain and "/" not in inner:
        forms.add(f"{chain}::{Path(inner).resolve()}")
    return sum(message.count(form) for form in forms)


@two_ways
@each_odd_url
def test_an_odd_url_is_named_once(url: str, way: str, local_files: Path, tmp_path: Path) -> None:
    before = contents_of(local_files)
    with pytest.raises(mnist_idx.IdxError) as caught:
        read(way, data_dir=url, cache_dir=str(tmp_path / "cache"))
    assert times_named(url, str(caught.value)) == 1, str(caught.value)
    assert contents_of(local_files) == before


@each_odd_url
@two_ways
@pytest.mark.usefixtures("local_files", "no_built_in_source")
def test_the_source_after_an_odd_mirror_is_used(
    url: str, way: str, tmp_path: Path, mirror: Callable[[Any], None]
) -> None:
    mirror(url)
    with pytest.raises(mnist_idx.IdxError) as caught:
        read(way, "mnist_idx", cache_dir=str(tmp_path / "cache"))
    message = str(caught.value)
    assert "None of the sources of mnist_idx/mnist" in message
    assert message.count("\n- ") == 4, message  # the mirror, and the three built-in sources
    assert times_named(url, message) == 1, message


@each_way
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("zip://folder::local.zip", id="folder"),
        pytest.param("zip://folder/::local.zip", id="folder-with-a-slash"),
        pytest.param("zip://::local.zip", id="root"),
        pytest.param("zip://set.tar::local.zip", id="tar"),
        pytest.param("zip://set.tar::file://{}/local.zip", id="tar-in-a-file-URL"),
        pytest.param("zip://set.tar::local://{}/local.zip", id="tar-in-a-local-URL"),
    ],
)
def test_a_chain_is_read_or_refused(url: str, way: str, local_files: Path, tmp_path: Path) -> None:
    before = contents_of(local_files)
    found = read_or_refuse(way, data_dir=url.format(local_files), cache_dir=str(tmp_path / "cache"))
    assert found is None or which(found, RECORDS) == 0
    assert contents_of(local_files) == before


@each_way
@pytest.mark.parametrize("form", ["tar", "files.gz"])
def test_an_ipv6_address_is_read_or_refused(way: str, form: str, tmp_path: Path) -> None:
    try:
        server = Server(host="::1")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with server:
        found = read_or_refuse(way, **publish(server, form, RECORDS), cache_dir=str(tmp_path))
    assert found is None or which(found, RECORDS) == 0


each_local_url = pytest.mark.parametrize(
    "url",
    [
        pytest.param("file://{}", id="file-url"),
        pytest.param("file://localhost{}", id="file-url-with-localhost"),
        pytest.param("local://{}", id="local-url"),
    ],
)


@each_way
@each_local_url
@pytest.mark.parametrize("name", ["set.tar", "folder"])
def test_a_local_url_is_read(
    url: str, name: str, way: str, local_files: Path, tmp_path: Path
) -> None:
    before = contents_of(local_files)
    found = read(way, data_dir=url.format(local_files / name), cache_dir=str(tmp_path / "cache"))
    assert which(found, RECORDS) == 0
    assert contents_of(local_files) == before


@each_way
@each_local_url
def test_a_damaged_tar_of_the_user_is_not_removed(
    url: str, way: str, local_files: Path, tmp_path: Path
) -> None:
    path = local_files / "set.tar"
    path.write_bytes(TAR[:5000])
    before = contents_of(local_files)
    with pytest.raises(mnist_idx.IdxError):
        read(way, data_dir=url.format(path), cache_dir=str(tmp_path / "cache"))
    assert contents_of(local_files) == before


@each_way
@pytest.mark.parametrize(
    "url",  # not with localhost: `datasets` itself looks for `data_files`, and finds none there
    [pytest.param("file://{}", id="file-url"), pytest.param("local://{}", id="local-url")],
)
def test_damaged_files_of_the_user_are_not_removed(
    url: str, way: str, local_files: Path, tmp_path: Path
) -> None:
    urls = []
    for name, content in FILES.items():
        (local_files / name).write_bytes(content[:-1])
        urls.append(url.format(local_files / name))
    before = contents_of(local_files)
    with pytest.raises(mnist_idx.IdxError):
        read(way, data_files={"train": urls}, cache_dir=str(tmp_path / "cache"))
    assert contents_of(local_files) == before


@each_local_url
@two_ways
@pytest.mark.usefixtures("no_built_in_source")
def test_a_mirror_of_the_user_that_has_other_records_is_not_removed(
    url: str, way: str, local_files: Path, tmp_path: Path, mirror: Callable[[Any], None]
) -> None:
    mirror(url.format(local_files / "set.tar"))
    before = contents_of(local_files)
    with pytest.raises(mnist_idx.IdxError, match="None of the sources of mnist_idx/mnist"):
        read(way, "mnist_idx", cache_dir=str(tmp_path / "cache"))
    assert contents_of(local_files) == before


@two_ways
@pytest.mark.parametrize("prefix", ["file://", "file://localhost"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a b.tar", id="space"),
        pytest.param("ü.tar", id="umlaut"),
        pytest.param("100%.tar", id="percent"),
        pytest.param("%41.tar", id="what-looks-like-an-escape"),
        pytest.param("x#y.tar", id="hash"),
        pytest.param("x?y.tar", id="question-mark"),
        pytest.param("a+b.tar", id="plus"),
    ],
)
def test_a_file_url_is_percent_decoded(
    name: str, prefix: str, way: str, local_files: Path, tmp_path: Path
) -> None:
    path = local_files / name
    path.write_bytes(TAR)
    found = read(way, data_dir=prefix + quote(str(path)), cache_dir=str(tmp_path / "cache"))
    assert which(found, RECORDS) == 0


@two_ways
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("FILE://{}", id="capitals"),
        pytest.param("file:{}", id="no-slashes"),
        pytest.param("file://otherhost{}", id="other-host"),
        pytest.param("LOCAL://{}", id="local-in-capitals"),
    ],
)
def test_an_unusual_local_url_is_read_or_refused(
    url: str, way: str, local_files: Path, tmp_path: Path
) -> None:
    path = local_files / "set.tar"
    found = read_or_refuse(way, data_dir=url.format(path), cache_dir=str(tmp_path / "cache"))
    assert found is None or which(found, RECORDS) == 0
    assert path.read_bytes() == TAR


class UserFileSystem(fsspec.AbstractFileSystem):
    """A file system of the user with one file, `set.tar`, in which an operation fails.

    `fsspec` makes instances of it where it likes, so that what fails is set on the class.
    """

    protocol = "users"
    cachable = False
    failing: str | None = None  # "info" or "open"
    error = Exception()
    failures_left: int | None = None  # None: it fails always
    failures = 0  # so far

    def fail_if_asked_to(self, operation: str) -> None:
        if operation != UserFileSystem.failing or UserFileSystem.failures_left == 0:
            return
        UserFileSystem.failures += 1
        if UserFileSystem.failures_left is not None:
            UserFileSystem.failures_left -= 1
        raise UserFileSystem.error

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        self.fail_if_asked_to("info")
        return {"name": "set.tar", "size": len(TAR), "type": "file"}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        self.fail_if_asked_to("info")
        if not detail:
            return ["set.tar"]
        return [{"name": "set.tar", "size": len(TAR), "type": "file"}]

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **options: Any
    ) -> bytes:
        self.fail_if_asked_to("open")
        return TAR[start:end]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        self.fail_if_asked_to("open")
        return io.BytesIO(TAR)


@pytest.fixture
def users_files(monkeypatch: pytest.MonkeyPatch) -> type[UserFileSystem]:
    """The file system at `users://`, in which nothing fails yet."""
    fsspec.register_implementation("users", UserFileSystem, clobber=True)
    monkeypatch.setattr(UserFileSystem, "failing", None)
    monkeypatch.setattr(UserFileSystem, "error", Exception())
    monkeypatch.setattr(UserFileSystem, "failures_left", None)
    monkeypatch.setattr(UserFileSystem, "failures", 0)
    return UserFileSystem


@two_ways
@pytest.mark.parametrize("operation", ["info", "open"])
@pytest.mark.parametrize(
    "error",
    [
        pytest.param(KeyError("region"), id="KeyError"),
        pytest.param(TypeError("an argument too many"), id="TypeError"),
        pytest.param(AttributeError("no such method"), id="AttributeError"),
    ],
)
def test_an_error_of_a_program_is_not_repeated(
    error: Exception,
    operation: str,
    way: str,
    users_files: type[UserFileSystem],
    tmp_path: Path,
) -> None:
    users_files.failing = operation
    users_files.error = error
    with pytest.raises((type(error), mnist_idx.IdxError)) as caught:
        read(way, data_dir="users://set.tar", cache_dir=str(tmp_path))
    assert users_files.failures == 1
    assert not isinstance(caught.value, mnist_idx.TransferError)


@each_way
@pytest.mark.parametrize("operation", ["info", "open"])
def test_a_failure_of_a_transfer_is_repeated(
    operation: str, way: str, users_files: type[UserFileSystem], tmp_path: Path
) -> None:
    users_files.failing = operation
    users_files.error = ConnectionResetError("by peer")
    users_files.failures_left = 1
    found = read(way, data_dir="users://set.tar", cache_dir=str(tmp_path))
    assert users_files.failures == 1
    assert which(found, RECORDS) == 0


def put_into_memory(version: int, count: int) -> str:
    """Put a set into the memory of `fsspec`, in place of another. Returns its URL."""
    images, labels = make_set(version, count)["train"]
    memory = fsspec.filesystem("memory")
    memory.pipe_file(f"/replaced{IMAGES}", to_idx(images))
    memory.pipe_file(f"/replaced{LABELS}", to_idx(labels))
    return "memory://replaced"


def test_files_replaced_in_memory_between_two_workers_are_not_mixed() -> None:
    url = put_into_memory(1, 400)
    rows = datasets.load_dataset(
        "idxfolder", data_dir=url, split="train", streaming=True, as_array=True, num_shards=2
    )
    first = split_dataset_by_node(rows, 0, 2)
    second = split_dataset_by_node(rows, 1, 2)
    taken = list(first)
    put_into_memory(2, 400)
    try:
        taken += list(pickle.loads(pickle.dumps(second)))  # as in another process
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), make_set(1, 400), make_set(2, 400)) >= 0


@pytest.mark.slow
def test_files_replaced_in_memory_while_they_are_streamed_are_not_mixed() -> None:
    url = put_into_memory(1, 4000)
    rows = datasets.load_dataset(
        "idxfolder", data_dir=url, split="train", streaming=True, as_array=True
    )
    reading = iter(rows)
    taken = [next(reading)]
    put_into_memory(2, 4000)
    try:
        taken += list(reading)
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), make_set(1, 4000), make_set(2, 4000)) >= 0
