"""What the package asks of classes by a `Protocol` or promises of them, tested alike for each.

Streams have a module of their own, `test_streams`.
"""

import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import dill
import fsspec
import pytest
from http_server import Server
from idx_files import four_files, random_images, random_labels, write_archive

import mnist_idx
from mnist_idx import IdxError, IdxFolder, MnistIdx, TransferError
from mnist_idx.byte_ranges import ByteRanges, UnexpectedAnswer, Version
from mnist_idx.catalog import DATASETS
from mnist_idx.copies import UnverifiableError
from mnist_idx.downloads import Downloader
from mnist_idx.errors import DamagedError, wrong_option
from mnist_idx.failover import SplitSource, YieldedRecords
from mnist_idx.fetching import NO_OPTIONS, Fetcher, InPlace
from mnist_idx.folder import Folder
from mnist_idx.http_ranges import HttpRanges
from mnist_idx.members import Access, Member, SplitFiles, open_file, open_member
from mnist_idx.mirrors import Mirrors, Source, WayOut, published_mirrors
from mnist_idx.records import ReaderPool
from mnist_idx.remote import FsspecRanges, open_ranges
from mnist_idx.selection import Selection
from mnist_idx.tools.opening import LocalFirst

FILES = four_files(
    (random_images(70, 9, 7), random_labels(70)),
    (random_images(30, 9, 7, seed=1), random_labels(30, seed=1)),
)
TINY_TAR = Path(mnist_idx.__file__).with_name("data") / "mnist_tiny.tar"
ALL = Selection(None, None, "first")


def classes_with(*names: str) -> set[type]:
    """The classes of the package that have attributes of these names, and are no protocols."""
    found = set()
    for info in pkgutil.walk_packages(mnist_idx.__path__, "mnist_idx."):
        if info.name.endswith("__main__"):
            continue
        for kind in vars(importlib.import_module(info.name)).values():
            if inspect.isclass(kind) and kind.__module__ == info.name:
                is_protocol = getattr(kind, "_is_protocol", False)
                if not is_protocol and all(hasattr(kind, name) for name in names):
                    found.add(kind)
    return found


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> str:
    """IDX files in a tar that can only be read forwards."""
    return str(write_archive(tmp_path_factory.mktemp("data") / "set.tar.bz2", FILES))


# What survives pickling


def read(source: SplitSource, files: SplitFiles) -> list[Any]:
    records = []
    for place, batch in source.read("train", files, [(0, 50)], 10):
        records.append((place, batch.images.tolist(), batch.labels.tolist()))
    return records


def locate(locator: Any) -> tuple[dict[str, SplitFiles], list[Any]]:
    located = locator.locate(InPlace())
    source = SplitSource(locator, Access(), ALL, transpose=False)
    return located, read(source, located.splits["train"])


def find(tar: str) -> SplitFiles:
    return Folder(tar, None, Access()).locate(InPlace()).splits["train"]


def content_of(member: Member, access: Access) -> bytes:
    with open_member(member, access) as stream:
        return stream.readall()


def read_pool(pool: ReaderPool, tar: str) -> list[Any]:
    with pool.borrow(find(tar)) as reader:
        return [batch.images.tolist() for batch in reader.batches(0, 20)]


def read_builder(builder: Any) -> list[Any]:
    located = builder.locate(InPlace())
    return read(builder.source, located.splits["train"])


def words(error: IdxError) -> tuple[Any, ...]:
    return type(error), error.args, str(error), error.for_command_line()


def source_of(tar: str) -> SplitSource:
    return SplitSource(Folder(tar, None, Access()), Access(), Selection(60, 1, "first"), False)


class Promised(NamedTuple):
    """What can be pickled, and what it gives before and after."""

    make: Callable[[str], Any]  # from the path of the tar
    use: Callable[[Any, str], Any]


PICKLED = {
    "Access": Promised(
        lambda tar: Access(),
        lambda access, tar: content_of(find(tar).images, access),
    ),
    "Member": Promised(lambda tar: find(tar).images, lambda member, tar: {member: member.title}),
    "SplitFiles": Promised(find, lambda files, tar: {files: files.members}),
    "ReaderPool": Promised(lambda tar: ReaderPool(Access()), read_pool),
    "SplitSource": Promised(source_of, lambda source, tar: read(source, find(tar))),
    "YieldedRecords": Promised(
        lambda tar: YieldedRecords(), lambda yielded, tar: (yielded.has_any, vars(yielded))
    ),
    "Mirrors": Promised(
        lambda tar: published_mirrors("tiny", Access()), lambda mirrors, tar: locate(mirrors)
    ),
    "Folder": Promised(lambda tar: Folder(tar, None, Access()), lambda folder, tar: locate(folder)),
    "MnistIdx": Promised(
        lambda tar: MnistIdx(config_name="tiny", as_array=True),
        lambda builder, tar: read_builder(builder),
    ),
    "IdxFolder": Promised(
        lambda tar: IdxFolder(data_dir=tar), lambda builder, tar: read_builder(builder)
    ),
    "IdxError": Promised(
        lambda tar: IdxError("one", "two", command_line="zwei"), lambda error, tar: words(error)
    ),
    "wrong option": Promised(
        lambda tar: wrong_option("num_samples", 0, "more"), lambda error, tar: words(error)
    ),
    "DamagedError": Promised(lambda tar: DamagedError("damaged"), lambda error, tar: words(error)),
    "TransferError": Promised(
        lambda tar: TransferError("failed", command_line="x"), lambda error, tar: words(error)
    ),
    "UnverifiableError": Promised(
        lambda tar: UnverifiableError("unknown", command_line="x"), lambda error, tar: words(error)
    ),
    "UnexpectedAnswer": Promised(
        lambda tar: UnexpectedAnswer("odd"), lambda error, tar: (type(error), str(error))
    ),
}


@pytest.mark.parametrize("pickler", [pickle, dill], ids=["pickle", "dill"])
@pytest.mark.parametrize("when", ["before use", "after use"])
@pytest.mark.parametrize("name", PICKLED)
def test_what_was_pickled_gives_the_same(
    name: str, when: str, pickler: ModuleType, tar: str
) -> None:
    make, use = PICKLED[name]
    original = make(tar)
    if when == "after use":
        use(original, tar)
    again = pickler.loads(pickler.dumps(original))
    assert type(again) is type(original)
    assert again is not original
    assert use(again, tar) == use(original, tar)


def test_a_pickled_reader_has_yielded_nothing(tar: str) -> None:
    yielded = YieldedRecords()
    yielded.has_any = True
    yielded.begin(0).length = 5
    again = pickle.loads(pickle.dumps(yielded))
    assert not again.has_any
    assert again.are_in(lambda start, stop: iter(()))


def test_all_errors_are_tested() -> None:
    kinds = {kind for kind in classes_with("for_command_line") if issubclass(kind, IdxError)}
    assert kinds == {IdxError, DamagedError, TransferError, UnverifiableError}


# Fetchers


@pytest.fixture
def http(serve: Callable[..., Server]) -> Server:
    return serve({"/one": b"first", "/two": b"second"})


FETCHERS: dict[type[Fetcher], Callable[[str], Fetcher]] = {
    InPlace: lambda cache: InPlace(),
    Downloader: lambda cache: MnistIdx(config_name="tiny", cache_dir=cache).make_fetcher(False),
    LocalFirst: lambda cache: LocalFirst("mnist_idx", "tiny", {"cache_dir": cache}),
}


def test_each_fetcher_has_a_case() -> None:
    assert classes_with("keeps_copies", "fetch", "fetch_together") == set(FETCHERS)


@pytest.fixture(params=FETCHERS)
def fetcher(request: pytest.FixtureRequest, tmp_path: Path) -> Fetcher:
    made = FETCHERS[request.param](str(tmp_path / "cache"))
    assert type(made) is request.param
    return made


def fetch_all(fetcher: Fetcher, urls: dict[str, str]) -> Iterator[dict[str, str]]:
    """What each way to fetch returns."""
    given = dict(urls)
    yield fetcher.fetch(urls)
    yield fetcher.fetch(urls, is_named=False)
    yield fetcher.fetch(urls, force=True)
    yield fetcher.fetch_together(urls)
    yield fetcher.fetch_together(urls, force=True)
    assert urls == given


def test_local_paths_stay_as_they_are(fetcher: Fetcher, tmp_path: Path) -> None:
    for urls in ({}, {"a": str(tmp_path), "b": "/nowhere"}):
        for found in fetch_all(fetcher, urls):
            assert found == urls
            assert found is not urls


def test_what_is_fetched_can_be_read(fetcher: Fetcher, http: Server, tmp_path: Path) -> None:
    (tmp_path / "three").write_bytes(b"third")
    urls = {"1": http.url("/one"), "2": http.url("/two"), "3": str(tmp_path / "three")}
    for found in fetch_all(fetcher, urls):
        assert list(found) == list(urls)
        for path, content in zip(found.values(), (b"first", b"second", b"third"), strict=True):
            with open_file(path) as stream:
                assert stream.readall() == content
        assert found["3"] == urls["3"]


def test_copies_are_what_a_fetcher_says_it_keeps(fetcher: Fetcher, http: Server) -> None:
    url = http.url("/one")
    for found in fetch_all(fetcher, {"": url}):
        assert Path(found[""]).is_file() == fetcher.keeps_copies
        assert (found[""] == url) != fetcher.keeps_copies


def test_force_fetches_what_has_changed(fetcher: Fetcher, http: Server) -> None:
    urls = {"1": http.url("/one"), "2": http.url("/two")}
    for fetch in (fetcher.fetch, fetcher.fetch_together):
        fetch(urls)
        for content in (b"fresh", b"again"):
            http.put("/one", content)
            with open_file(fetch(urls, force=True)["1"]) as stream:
                assert stream.readall() == content


def test_what_is_not_there_is_a_failed_transfer(fetcher: Fetcher, http: Server) -> None:
    urls = {"1": http.url("/one"), "2": http.url("/nothing")}
    for fetch in (fetcher.fetch, fetcher.fetch_together):
        with pytest.raises(TransferError):
            open_file(fetch(urls)["2"])


# Locators


def two_sources(folder: Path) -> Mirrors:
    (folder / "copy.tar").write_bytes(TINY_TAR.read_bytes())
    sources = [Source(str(path), True) for path in (TINY_TAR, folder / "copy.tar")]
    return Mirrors("tiny", DATASETS["tiny"], sources, Access(), WayOut("Stop.", "Halt."))


class Located(NamedTuple):
    """A locator, and one of files that are not there."""

    kind: type
    find: Callable[[Path], Any]
    fail: Callable[[Path], Any]


def missing_copy(folder: Path) -> Mirrors:
    return published_mirrors("mnist", Access(), str(folder / "missing"))


def missing_folder(folder: Path) -> Folder:
    return Folder(str(folder / "missing"), None, Access())


def own_files(folder: Path) -> Folder:
    return Folder(str(write_archive(folder / "stored.zip", FILES)), None, Access())


def named_files(folder: Path) -> Folder:
    write_archive(folder / "folder", FILES)
    data_files = {"train": [str(folder / "folder" / name) for name in list(FILES)[:2]]}
    return Folder(None, data_files, Access())


LOCATORS = {
    "one source": Located(
        Mirrors, lambda folder: published_mirrors("tiny", Access()), missing_copy
    ),
    "two sources": Located(Mirrors, two_sources, missing_copy),
    "own files": Located(Folder, own_files, missing_folder),
    "named files": Located(Folder, named_files, missing_folder),
}


def test_each_locator_has_a_case() -> None:
    kinds = classes_with("locate", "next_source", "must_remember")
    assert kinds == {case.kind for case in LOCATORS.values()}


@pytest.fixture(params=LOCATORS)
def locator(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = LOCATORS[request.param].find(tmp_path)
    assert type(made) is LOCATORS[request.param].kind
    return made


@pytest.fixture(params=[InPlace, Downloader])
def any_fetcher(request: pytest.FixtureRequest, tmp_path: Path) -> Fetcher:
    return FETCHERS[request.param](str(tmp_path / "cache"))


def test_what_is_located_can_be_read(locator: Any, any_fetcher: Fetcher) -> None:
    located = locator.locate(any_fetcher)
    assert located.splits.keys() == located.layouts.keys()
    layout = located.common_layout(transpose=False, as_array=False)
    source = SplitSource(locator, Access(), ALL, transpose=False)
    for split, files in located.splits.items():
        batches = list(source.read(split, files, [(0, files.num_records)], 10))
        assert sum(len(batch.images) for _, batch in batches) == files.num_records > 0
        assert {batch.images.shape[1:] for _, batch in batches} == {layout.shape}
        hash(files)


def test_locating_again_finds_the_same(locator: Any, any_fetcher: Fetcher) -> None:
    located = locator.locate(any_fetcher)
    assert locator.locate(any_fetcher) == located
    assert pickle.loads(pickle.dumps(locator)).locate(any_fetcher) == located


def test_the_next_source_holds_the_same_or_the_error_is_raised(locator: Any) -> None:
    error = TransferError("it broke off")
    source = SplitSource(locator, Access(), ALL, transpose=False)
    for split, files in locator.locate(InPlace()).splits.items():
        assert files.source_number == 0
        if locator.must_remember(files):
            following = locator.next_source(split, files, error)
            assert following.source_number == 1
            assert "it broke off" in following.failures[0]
            assert read(source, following) == read(source, files)
            files = following
        assert not locator.must_remember(files)
        with pytest.raises(IdxError, match="it broke off"):
            locator.next_source(split, files, error)


@pytest.mark.parametrize("name", LOCATORS)
def test_what_is_not_there_is_an_error_that_names_it(
    name: str, any_fetcher: Fetcher, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=str(tmp_path / "missing")):
        LOCATORS[name].fail(tmp_path).locate(any_fetcher)


# Byte ranges

CONTENT = bytes(range(256)) * 40
SIZE = len(CONTENT)


class Remote(NamedTuple):
    """A file behind a server, and how it is replaced."""

    kind: type[ByteRanges]
    put: Callable[[Server, bytes, int], str]  # content, number of the version -> URL


def put_http(server: Server, content: bytes, version: int) -> str:
    return server.put("/file", content, ETag=f'"{version}"')


def put_http_without_ranges(server: Server, content: bytes, version: int) -> str:
    server.behave("/file", ranges=False)
    return server.put("/file", content, ETag=f'"{version}"')


def put_in_memory(server: Server, content: bytes, version: int) -> str:
    fsspec.filesystem("memory").pipe("/protocols/file", content)
    return "memory://protocols/file"


REMOTES = {
    "HTTP": Remote(HttpRanges, put_http),
    "HTTP without ranges": Remote(HttpRanges, put_http_without_ranges),
    "memory": Remote(FsspecRanges, put_in_memory),
}


def test_each_kind_of_ranges_has_a_case() -> None:
    kinds = classes_with("fetch", "check_unchanged", "close")
    assert kinds == {remote.kind for remote in REMOTES.values()}


class Ranges:
    """Opens ranges of a remote file, and replaces it."""

    def __init__(self, remote: Remote, server: Server) -> None:
        self._remote = remote
        self._server = server
        self._opened: list[ByteRanges] = []
        self.replace(CONTENT, 1)

    def replace(self, content: bytes, number: int) -> None:
        self._url = self._remote.put(self._server, content, number)

    def open(self, size: int | None = None, version: Version | None = None) -> ByteRanges:
        """Open the file, of which a size and a version may be known."""
        ranges = open_ranges(self._url, NO_OPTIONS, size, version)
        assert type(ranges) is self._remote.kind
        self._opened.append(ranges)
        return ranges

    def close(self) -> None:
        for ranges in self._opened:
            ranges.close()


@pytest.fixture(params=REMOTES)
def file(request: pytest.FixtureRequest, serve: Callable[..., Server]) -> Iterator[Ranges]:
    with closing(Ranges(REMOTES[request.param], serve())) as file:
        yield file


def fetch_fully(ranges: ByteRanges, start: int, stop: int) -> bytes:
    content = b""
    while len(content) < stop - start:
        data = ranges.fetch(start + len(content), stop)
        assert type(data) is bytes
        assert len(data) <= stop - start - len(content)
        if not data:
            break
        content += data
    return content


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([(0, SIZE)], id="whole"),
        pytest.param([(0, 100), (100, 101), (101, 5000)], id="in order"),
        pytest.param([(5000, 6000), (10, 20), (SIZE - 1, SIZE), (0, 1)], id="in any order"),
    ],
)
def test_ranges_hold_the_bytes_of_the_file(parts: list[tuple[int, int]], file: Ranges) -> None:
    ranges = file.open()
    for start, stop in parts:
        assert fetch_fully(ranges, start, stop) == CONTENT[start:stop]
        assert ranges.size == SIZE
        ranges.check_unchanged()


def test_there_is_nothing_behind_the_end(file: Ranges) -> None:
    ranges = file.open()
    assert fetch_fully(ranges, SIZE - 10, SIZE + 10) == CONTENT[-10:]
    assert ranges.fetch(SIZE, SIZE + 10) == b""
    assert ranges.fetch(SIZE + 5, SIZE + 10) == b""
    assert ranges.size == SIZE


def test_an_empty_file_is_no_error(file: Ranges) -> None:
    file.replace(b"", 2)
    ranges = file.open()
    assert ranges.fetch(0, 100) == b""
    assert ranges.size == 0


def test_closed_ranges_fetch_by_a_new_connection(file: Ranges) -> None:
    ranges = file.open()
    for _ in range(2):
        assert fetch_fully(ranges, 10, 2000) == CONTENT[10:2000]
        ranges.close()
        ranges.close()


def test_the_version_tells_the_file_from_another(file: Ranges) -> None:
    first = file.open()
    assert first.version.validator == ""
    first.fetch(0, 10)
    version = first.version
    assert version.validator
    first.fetch(20, 30)
    assert first.version == version
    file.replace(CONTENT[::-1], 2)
    second = file.open()
    second.fetch(0, 10)
    assert second.version.validator != version.validator


def test_what_is_known_of_a_file_may_be_right(file: Ranges) -> None:
    first = file.open()
    first.fetch(0, 10)
    again = file.open(first.size, first.version)
    assert fetch_fully(again, 100, 200) == CONTENT[100:200]
    assert again.version == first.version
    again.check_unchanged()


@pytest.mark.parametrize("content", [CONTENT[::-1], CONTENT[:-1]], ids=["same size", "shorter"])
def test_a_replaced_file_is_noticed(content: bytes, file: Ranges) -> None:
    first = file.open()
    first.fetch(0, 10)
    first.close()
    file.replace(content, 2)
    for ranges in (first, file.open(first.size, first.version)):
        with pytest.raises(UnexpectedAnswer):
            ranges.fetch(SIZE - 100, SIZE - 50)


def read_to_the_end_and_again(ranges: ByteRanges) -> None:
    """Each server notices at some point that the file is another one."""
    fetch_fully(ranges, 5, SIZE)
    ranges.check_unchanged()
    ranges.fetch(0, 10)


def test_a_file_that_is_replaced_while_it_is_open_is_noticed(file: Ranges) -> None:
    ranges = file.open()
    ranges.fetch(0, 10)
    file.replace(CONTENT[::-1], 2)
    with pytest.raises(UnexpectedAnswer, match="changed"):
        read_to_the_end_and_again(ranges)


def test_a_wrong_size_is_noticed(file: Ranges) -> None:
    with pytest.raises(UnexpectedAnswer, match="changed"):
        file.open(SIZE + 1).fetch(0, 10)
