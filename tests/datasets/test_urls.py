"""Odd URLs and file systems: what can be read is read, and the rest is an error that names the URL
once.
"""

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import datasets
import fsspec
import pytest
from datasets.distributed import split_dataset_by_node
from http_server import Server
from idx_files import make_tar, to_idx, write_archive
from loading import Arrays
from remote_sets import IMAGES, LABELS, WAYS, make_set, publish, read, read_or_refuse, stack, which

import mnist_idx

RECORDS = make_set(0, 40)
FILES = dict(zip((IMAGES[1:], LABELS[1:]), map(to_idx, RECORDS["train"]), strict=True))
TAR = make_tar(FILES)
each_way = pytest.mark.parametrize("way", WAYS)
two_ways = pytest.mark.parametrize("way", ["streamed", "prepared"])
odd_urls = pytest.mark.parametrize(
    "url",
    [
        # File systems that connect when they are made, or lack their library.
        pytest.param("ftp://127.0.0.1:1/x.tar", id="ftp"),
        pytest.param("hdfs://127.0.0.1:1/x.tar", id="hdfs"),
        pytest.param("webhdfs://127.0.0.1:1/x.tar", id="webhdfs"),
        pytest.param("smb://127.0.0.1:1/x.tar", id="smb"),
        pytest.param("sftp://127.0.0.1:1/x.tar", id="sftp"),
        pytest.param("ssh://127.0.0.1:1/x.tar", id="ssh"),
        pytest.param("foo://x", id="unknown protocol"),
        pytest.param("memory://nothere.tar", id="not in memory"),
        pytest.param("zip://f::", id="chain without an end"),
        pytest.param("zip://f::folder", id="chain to a folder"),
        pytest.param("zip://f::nothere.zip", id="chain to no file"),
        pytest.param("zip://f::foo://x.zip", id="chain to an unknown protocol"),
        pytest.param("zip://nothere.tar::local.zip", id="chain to no member"),
        pytest.param("zip://set.tar::broken.zip", id="chain to no zip"),
        pytest.param("tar://set.tar::local.zip", id="chain to a zip as a tar"),
        pytest.param("gzip://set.tar::local.zip", id="chain to a zip as gzip"),
        pytest.param("zip://f::http://127.0.0.1:1/x.zip", id="chain to no server"),
        pytest.param("http://127.0.0.1:1/\udcff.tar", id="lone surrogate"),
        pytest.param("http://127.0.0.1:99999/x.tar", id="port out of range"),
        pytest.param("http://127.0.0.1:-1/x.tar", id="negative port"),
        pytest.param("http://127.0.0.1:port/x.tar", id="port of letters"),
        pytest.param("http:///x.tar", id="no host"),
        pytest.param("http://:80/x.tar", id="port without host"),
        pytest.param("http://[::1/x.tar", id="bracket left open"),
        pytest.param("http://[::g]:1/x.tar", id="no address in brackets"),
        pytest.param("http://[::1]:1/x.tar", id="IPv6"),
        pytest.param("http://127.0.0.1 :1/x.tar", id="space in the host"),
        pytest.param(f"http://{'a' * 64}.invalid/x.tar", id="label of 64 letters"),
        pytest.param("http://a..invalid/x.tar", id="empty label"),
        pytest.param("http://127.0.0.1:1/%zz.tar", id="no escape"),
    ],
)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with some files."""
    path = tmp_path / "place"
    write_archive(path / "folder", FILES)
    write_archive(path / "set.tar", FILES)
    write_archive(
        path / "local.zip",
        {"set.tar": TAR, **{f"folder/{name}": data for name, data in FILES.items()}},
    )
    (path / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    monkeypatch.chdir(path)
    return path


def content(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def times_named(url: str, message: str) -> int:
    """As it is, with escapes in place of what cannot be printed, or with the whole path of a file
    in a chain.
    """
    first, _, inner = url.rpartition("::")
    forms = {url, repr(url)[1:-1]}
    if first and "/" not in inner:
        forms.add(f"{first}::{Path(inner).resolve()}")
    return sum(message.count(form) for form in forms)


@two_ways
@odd_urls
def test_an_odd_url_is_named_once(url: str, way: str, place: Path, tmp_path: Path) -> None:
    before = content(place)
    with pytest.raises(mnist_idx.IdxError) as caught:
        read(way, data_dir=url, cache_dir=str(tmp_path / "cache"))
    assert times_named(url, str(caught.value)) == 1, str(caught.value)
    assert content(place) == before


@odd_urls
@two_ways
def test_the_source_after_an_odd_mirror_is_used(
    url: str,
    way: str,
    place: Path,
    tmp_path: Path,
    mirror: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "HTTPS_PROXY", "http://127.0.0.1:1"
    )  # the built-in sources cannot be reached
    mirror(url)
    with pytest.raises(
        mnist_idx.IdxError, match="None of the sources of mnist_idx/mnist"
    ) as caught:
        read(way, "mnist_idx", cache_dir=str(tmp_path / "cache"))
    message = str(caught.value)
    assert message.count("\n- ") == 4, message
    assert times_named(url, message) == 1, message


@each_way
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("zip://folder::local.zip", id="folder"),
        pytest.param("zip://folder/::local.zip", id="folder with a slash"),
        pytest.param("zip://::local.zip", id="root"),
        pytest.param("zip://set.tar::local.zip", id="tar"),
        pytest.param("zip://set.tar::file://{}/local.zip", id="tar in a file URL"),
        pytest.param("zip://set.tar::local://{}/local.zip", id="tar in a local URL"),
    ],
)
def test_a_chain_is_read_or_refused(url: str, way: str, place: Path, tmp_path: Path) -> None:
    before = content(place)
    found = read_or_refuse(way, data_dir=url.format(place), cache_dir=str(tmp_path / "cache"))
    assert found is None or which(found, RECORDS) == 0
    assert content(place) == before


@each_way
@pytest.mark.parametrize("form", ["tar", "files.gz"])
def test_ipv6(way: str, form: str, tmp_path: Path) -> None:
    try:
        server = Server(host="::1")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6: {error}")
    with server:
        found = read_or_refuse(way, **publish(server, form, RECORDS), cache_dir=str(tmp_path))
    assert found is None or which(found, RECORDS) == 0


local_urls = pytest.mark.parametrize(
    "url",
    [
        pytest.param("file://{}", id="file://"),
        pytest.param("file://localhost{}", id="file://localhost"),
        pytest.param("local://{}", id="local://"),
    ],
)


@each_way
@local_urls
@pytest.mark.parametrize("name", ["set.tar", "folder"])
def test_local_urls(url: str, name: str, way: str, place: Path, tmp_path: Path) -> None:
    before = content(place)
    found = read(way, data_dir=url.format(place / name), cache_dir=str(tmp_path / "cache"))
    assert which(found, RECORDS) == 0
    assert content(place) == before


@each_way
@local_urls
def test_a_damaged_file_of_the_user_is_not_removed(
    url: str, way: str, place: Path, tmp_path: Path
) -> None:
    damaged = [place / name for name in FILES]
    for path in damaged:
        path.write_bytes(FILES[path.name][:-1])
    (place / "set.tar").write_bytes(TAR[:5000])
    before = content(place)
    urls = [url.format(path) for path in damaged]
    if "localhost" not in url:  # `datasets` itself looks for these files
        with pytest.raises(mnist_idx.IdxError):
            read(way, data_files={"train": urls}, cache_dir=str(tmp_path / "cache"))
        assert content(place) == before
    with pytest.raises(mnist_idx.IdxError):
        read(way, data_dir=url.format(place / "set.tar"), cache_dir=str(tmp_path / "cache"))
    assert content(place) == before


@local_urls
@two_ways
def test_a_damaged_mirror_of_the_user_is_not_removed(
    url: str,
    way: str,
    place: Path,
    tmp_path: Path,
    mirror: Callable[[Any], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    before = content(place)
    mirror(url.format(place / "set.tar"))  # of other records than the published ones
    with pytest.raises(mnist_idx.IdxError, match="None of the sources of mnist_idx/mnist"):
        read(way, "mnist_idx", cache_dir=str(tmp_path / "cache"))
    assert content(place) == before


@two_ways
@pytest.mark.parametrize(
    "name", ["a b.tar", "ü.tar", "100%.tar", "%41.tar", "x#y.tar", "x?y.tar", "a+b.tar"]
)
def test_file_urls_are_percent_decoded(name: str, way: str, place: Path, tmp_path: Path) -> None:
    (place / name).write_bytes(TAR)
    for prefix in ("file://", "file://localhost"):
        found = read(
            way, data_dir=prefix + quote(f"{place}/{name}"), cache_dir=str(tmp_path / "cache")
        )
        assert which(found, RECORDS) == 0


@two_ways
@pytest.mark.parametrize("url", ["FILE://{}", "file:{}", "file://otherhost{}", "LOCAL://{}"])
def test_unusual_local_urls_are_read_or_refused(
    url: str, way: str, place: Path, tmp_path: Path
) -> None:
    found = read_or_refuse(
        way, data_dir=url.format(place / "set.tar"), cache_dir=str(tmp_path / "cache")
    )
    assert found is None or which(found, RECORDS) == 0
    assert (place / "set.tar").read_bytes() == TAR


class Boom(fsspec.AbstractFileSystem):
    """A file system of the user with one file, in which a method fails."""

    protocol = "boom"
    cachable = False
    failing = ""
    error: Exception = KeyError("region")
    times: int | None = None  # None: always
    calls = 0

    def fail(self, name: str) -> None:
        if name != Boom.failing or Boom.times == 0:
            return
        Boom.calls += 1
        if Boom.times is not None:
            Boom.times -= 1
        raise Boom.error

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        self.fail("info")
        return {"name": "set.tar", "size": len(TAR), "type": "file"}

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        self.fail("info")
        return [{"name": "set.tar", "size": len(TAR), "type": "file"}] if detail else ["set.tar"]

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **options: Any
    ) -> bytes:
        self.fail("open")
        return TAR[start:end]

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        self.fail("open")
        return io.BytesIO(TAR)


@pytest.fixture
def boom(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    fsspec.register_implementation("boom", Boom, clobber=True)

    def set_up(failing: str, error: Exception, times: int | None = None) -> None:
        Boom.failing, Boom.error, Boom.times, Boom.calls = failing, error, times, 0

    yield set_up
    set_up("", KeyError())


@two_ways
@pytest.mark.parametrize("failing", ["info", "open"])
@pytest.mark.parametrize(
    "error",
    [KeyError("region"), TypeError("an argument too many"), AttributeError("no such method")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_of_a_program_is_not_repeated(
    error: Exception, failing: str, way: str, boom: Callable[..., None], tmp_path: Path
) -> None:
    boom(failing, error)
    with pytest.raises((type(error), mnist_idx.IdxError)) as caught:
        read(way, data_dir="boom://set.tar", cache_dir=str(tmp_path))
    assert Boom.calls == 1
    assert not isinstance(caught.value, getattr(mnist_idx, "TransferError", ()))


@each_way
@pytest.mark.parametrize("failing", ["info", "open"])
def test_a_failure_of_a_transfer_is_repeated(
    failing: str, way: str, boom: Callable[..., None], tmp_path: Path
) -> None:
    boom(failing, ConnectionResetError("by peer"), 1)
    found = read(way, data_dir="boom://set.tar", cache_dir=str(tmp_path))
    assert which(found, RECORDS) == 0


def put_into_memory(arrays: Arrays) -> None:
    for path, array in zip((IMAGES, LABELS), arrays["train"], strict=True):
        fsspec.filesystem("memory").pipe_file(f"/replaced{path}", to_idx(array))


def test_files_replaced_in_memory_are_not_mixed() -> None:
    """Two workers of a stream read before and after it."""
    old, new = make_set(1), make_set(2)
    put_into_memory(old)
    options = {
        "data_dir": "memory://replaced",
        "streaming": True,
        "as_array": True,
        "num_shards": 2,
    }
    rows = datasets.load_dataset("idxfolder", split="train", **options)
    parts = [split_dataset_by_node(rows, rank, 2) for rank in range(2)]
    taken = list(parts[0])
    put_into_memory(new)
    try:
        taken += list(pickle.loads(pickle.dumps(parts[1])))
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), old, new) >= 0


def test_files_replaced_in_memory_while_they_are_streamed_are_not_mixed() -> None:
    old, new = make_set(1, 4000), make_set(2, 4000)
    put_into_memory(old)
    options = {"data_dir": "memory://replaced", "streaming": True, "as_array": True}
    rows = iter(datasets.load_dataset("idxfolder", split="train", **options))
    taken = [next(rows)]
    put_into_memory(new)
    try:
        taken += list(rows)
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), old, new) >= 0
