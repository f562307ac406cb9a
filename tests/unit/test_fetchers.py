"""The protocol of fetchers: each brings remote files here, or says where they can be read.

A new class of `Fetcher` needs a row in `EACH_FETCHER`.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from http_server import Server
from package_classes import classes_with

from mnist_idx import MnistIdx, TransferError
from mnist_idx.downloads import Downloader
from mnist_idx.fetching import Fetcher, InPlace
from mnist_idx.members import open_file
from mnist_idx.tools.opening import LocalFirst


def in_place(cache: str) -> Fetcher:
    return InPlace()


def downloader(cache: str) -> Fetcher:
    return MnistIdx(config_name="tiny", cache_dir=cache).make_fetcher(streaming=False)


def local_first(cache: str) -> Fetcher:
    return LocalFirst("mnist_idx", "tiny", {"cache_dir": cache})


EACH_FETCHER = [
    pytest.param((InPlace, in_place), id="in-place"),
    pytest.param((Downloader, downloader), id="downloader"),
    pytest.param((LocalFirst, local_first), id="local-first"),
]


@pytest.fixture(params=EACH_FETCHER)
def fetcher(request: pytest.FixtureRequest, tmp_path: Path) -> Fetcher:
    """Each kind of fetcher, with a cache of its own."""
    kind, make = request.param
    fetcher = make(str(tmp_path / "cache"))
    assert type(fetcher) is kind
    return fetcher


@pytest.fixture
def two_files(serve: Callable[..., Server]) -> Server:
    """A server that has two files."""
    return serve({"/one": b"first", "/two": b"second"})


def fetch_in_each_way(fetcher: Fetcher, urls: dict[str, str]) -> Iterator[dict[str, str]]:
    """Paths by the keys of the URLs, as each way to fetch returns them."""
    given = dict(urls)
    yield fetcher.fetch(urls)
    yield fetcher.fetch(urls, is_named=False)
    yield fetcher.fetch(urls, force=True)
    yield fetcher.fetch_together(urls)
    yield fetcher.fetch_together(urls, force=True)
    assert urls == given


def content_at(path: str) -> bytes:
    """What is read at a local path, or a URL."""
    with open_file(path) as stream:
        return stream.readall()


def test_each_kind_of_fetcher_is_tested() -> None:
    tested = {InPlace, Downloader, LocalFirst}
    assert classes_with("keeps_copies", "fetch", "fetch_together") == tested
    assert {param.values[0][0] for param in EACH_FETCHER} == tested


def test_local_paths_stay_as_they_are(fetcher: Fetcher, tmp_path: Path) -> None:
    urls = {"a": str(tmp_path), "b": "/nowhere"}
    for found in fetch_in_each_way(fetcher, urls):
        assert found == urls
        assert found is not urls


def test_nothing_is_fetched_where_nothing_is_asked_for(fetcher: Fetcher) -> None:
    for found in fetch_in_each_way(fetcher, {}):
        assert found == {}


def test_what_is_fetched_can_be_read(fetcher: Fetcher, two_files: Server, tmp_path: Path) -> None:
    local = tmp_path / "three"
    local.write_bytes(b"third")
    urls = {"1": two_files.url("/one"), "2": two_files.url("/two"), "3": str(local)}
    for found in fetch_in_each_way(fetcher, urls):
        assert list(found) == ["1", "2", "3"]
        assert content_at(found["1"]) == b"first"
        assert content_at(found["2"]) == b"second"
        assert content_at(found["3"]) == b"third"
        assert found["3"] == str(local)


def test_copies_are_what_a_fetcher_says_it_keeps(fetcher: Fetcher, two_files: Server) -> None:
    url = two_files.url("/one")
    for found in fetch_in_each_way(fetcher, {"1": url}):
        assert Path(found["1"]).is_file() == fetcher.keeps_copies
        assert (found["1"] != url) == fetcher.keeps_copies


@pytest.mark.parametrize("method", ["fetch", "fetch_together"])
def test_force_fetches_what_has_changed(method: str, fetcher: Fetcher, two_files: Server) -> None:
    fetch = getattr(fetcher, method)
    urls = {"1": two_files.url("/one"), "2": two_files.url("/two")}
    fetch(urls)
    for content in (b"fresh", b"again"):
        two_files.put("/one", content)
        assert content_at(fetch(urls, force=True)["1"]) == content


@pytest.mark.parametrize("method", ["fetch", "fetch_together"])
def test_what_is_not_there_is_a_failed_transfer(
    method: str, fetcher: Fetcher, two_files: Server
) -> None:
    fetch = getattr(fetcher, method)
    urls = {"1": two_files.url("/one"), "2": two_files.url("/nothing")}
    with pytest.raises(TransferError):
        open_file(fetch(urls)["2"])
