"""Sources that fail: the next one is used, the reason said, and nothing wrong loaded or kept."""

import gzip
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from clients import ROOT, digest_arrays, run_client
from http_server import Server
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    from_idx,
    make_tar,
)
from loading import MODES, Arrays, assert_same, read_all, refusal

from mnist_idx import catalog

PATH = "/mnist_database.tar"
TINY_TAR = ROOT / "mnist_idx" / "data" / "mnist_tiny.tar"


def files_of_tiny() -> dict[str, bytes]:
    """The four compressed files of the miniature, by their names without `.gz`."""
    files = {}
    with tarfile.open(TINY_TAR) as tar:
        for info in tar:
            member = tar.extractfile(info)
            assert member is not None
            files[Path(info.name).name.removesuffix(".gz")] = member.read()
    return files


FILES = files_of_tiny()
PACKED_FILES = {f"{name}.gz": content for name, content in FILES.items()}
RECORDS = {name: from_idx(gzip.decompress(content)) for name, content in FILES.items()}
ARRAYS: Arrays = {
    "train": (RECORDS[TRAIN_IMAGES], RECORDS[TRAIN_LABELS]),
    "test": (RECORDS[TEST_IMAGES], RECORDS[TEST_LABELS]),
}
WHOLE_TAR = make_tar(PACKED_FILES)

each_mode = pytest.mark.parametrize("mode", MODES)


def have_mnist_be_tiny_at(monkeypatch: pytest.MonkeyPatch, *urls: str) -> None:
    """Have the dataset "mnist" be the miniature, at the given URLs.

    They are facts of the catalog, which no option changes.
    """
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.TINY._replace(sources=urls))


@pytest.fixture
def start_sources(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> Callable[[int], list[Server]]:
    """Starts servers that have the miniature, and are the sources of "mnist", in this order."""
    # A failure is for good and a stall is short, so that no test waits.
    monkeypatch.setattr("mnist_idx.remote.RETRY_DELAYS", ())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)

    def start(count: int) -> list[Server]:
        servers = [serve({PATH: TINY_TAR}) for _ in range(count)]
        have_mnist_be_tiny_at(monkeypatch, *(server.url(PATH) for server in servers))
        return servers

    return start


def allow_two_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again what may pass, twice and at once."""
    monkeypatch.setattr("mnist_idx.remote.RETRY_DELAYS", (0, 0))


def load(mode: str, cache: Path, **options: Any) -> Arrays:
    """All records of "mnist": split -> (images, labels)."""
    return read_all(mode, "mnist_idx", cache_dir=str(cache), **options)


def failure(mode: str, cache: Path, **options: Any) -> str:
    """The message of the error that loading "mnist" ends in."""
    return refusal(mode, "mnist_idx", cache_dir=str(cache), **options)


def assert_the_next_source_is_used(
    bad: Server,
    good: Server,
    reason: str,
    mode: str,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Loading gives all records, with one warning that says what is wrong with the bad source."""
    # Each call of `load_arrays` warns: one split is enough, that in which the fault is.
    expected = {"test": ARRAYS["test"]} if mode == "arrays" else ARRAYS
    assert_same(load(mode, cache, splits=list(expected)), expected)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.count(bad.url(PATH)) == 1
    assert re.search(reason, warning)
    assert warning.endswith(f". Trying {good.url(PATH)} next.")
    assert str(cache) not in warning
    if mode == "prepared":
        assert good.count(PATH, "GET") == 1


@each_mode
@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        pytest.param({"status": 404}, "the server answered 404", id="404"),
        pytest.param({"stall_after": 2_000}, "nothing arrived for 1 seconds", id="stalls"),
        pytest.param(
            {"close_after": 20_000, "ranges": False},
            "before all the announced bytes",
            id="closes-the-connection-too-early",
        ),
        pytest.param({"html": True}, "found an HTML or XML page, expected a tar", id="HTML-page"),
    ],
)
def test_the_next_source_is_used_after_a_server_that_fails(
    behaviour: dict[str, Any],
    reason: str,
    mode: str,
    start_sources: Callable[[int], list[Server]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = start_sources(2)
    bad.behave(**behaviour)
    assert_the_next_source_is_used(bad, good, reason, mode, tmp_path, caplog)


PICTURE = b"\x89PNG\r\n\x1a\n" + bytes(999)
NOTES = {f"{number:02}.md": b"hi" for number in range(30)}
WITHOUT_TEST_IMAGES = {
    name: content for name, content in PACKED_FILES.items() if name != f"{TEST_IMAGES}.gz"
}


@each_mode
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "found an empty file, expected a tar", id="empty-file"),
        pytest.param(PICTURE, "found a picture, expected a tar", id="picture"),
        pytest.param(
            make_tar(NOTES), "found 00.md, .*04.md and 25 more, expected", id="tar-of-other-files"
        ),
        pytest.param(
            make_tar(WITHOUT_TEST_IMAGES),
            f"expected {TEST_IMAGES} of mnist_idx/mnist",
            id="tar-without-the-test-images",
        ),
        pytest.param(WHOLE_TAR[:120_000], "cut short", id="tar-cut-short"),
    ],
)
def test_the_next_source_is_used_after_another_file(
    content: bytes,
    reason: str,
    mode: str,
    start_sources: Callable[[int], list[Server]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = start_sources(2)
    bad.put(PATH, content)
    assert_the_next_source_is_used(bad, good, reason, mode, tmp_path, caplog)


def tar_with_a_flipped_bit() -> bytes:
    content = bytearray(WHOLE_TAR)
    middle = len(FILES[TEST_IMAGES]) // 2
    content[WHOLE_TAR.index(FILES[TEST_IMAGES]) + middle] ^= 1
    return bytes(content)


def tar_with_another_last_byte(name: str) -> bytes:
    """A tar in which the last byte of one file differs; that file is compressed properly."""
    content = bytearray(gzip.decompress(FILES[name]))
    content[-1] ^= 1
    return make_tar({**PACKED_FILES, f"{name}.gz": gzip.compress(bytes(content), 1)})


FLIPPED_TAR = tar_with_a_flipped_bit()
# What only the end of a file tells to be wrong, and what is said of it.
WRONG_AT_THE_END = [
    pytest.param(FLIPPED_TAR, "not the published file|data is damaged", id="flipped-bit"),
    pytest.param(
        tar_with_another_last_byte(TEST_IMAGES), "not the published file", id="other-test-images"
    ),
    pytest.param(
        tar_with_another_last_byte(TEST_LABELS), "not the published file", id="other-test-labels"
    ),
]


@pytest.mark.parametrize("mode", ["prepared", "arrays"])
@pytest.mark.parametrize(("content", "reason"), WRONG_AT_THE_END)
def test_the_next_source_is_used_after_wrong_records(
    content: bytes,
    reason: str,
    mode: str,
    start_sources: Callable[[int], list[Server]],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = start_sources(2)
    bad.put(PATH, content)
    assert_the_next_source_is_used(bad, good, reason, mode, tmp_path, caplog)


@pytest.mark.slow
@pytest.mark.parametrize("num_shards", [1, 7, 500])
@pytest.mark.parametrize(("content", "reason"), WRONG_AT_THE_END)
def test_a_stream_of_wrong_records_ends_in_an_error(
    content: bytes,
    reason: str,
    num_shards: int,
    start_sources: Callable[[int], list[Server]],
    tmp_path: Path,
) -> None:
    bad, _ = start_sources(2)
    bad.put(PATH, content)
    message = failure("streamed", tmp_path, num_shards=num_shards)
    assert re.search(f"{bad.url(PATH)}.*({reason})", message)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        pytest.param("127.0.0.1:9", "connection refused", id="port-that-nobody-listens-at"),
        pytest.param("no.invalid", "host not found", id="host-that-does-not-exist"),
    ],
)
def test_hosts_that_are_not_there_are_named_and_passed_over(
    host: str,
    reason: str,
    start_sources: Callable[[int], list[Server]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    (good,) = start_sources(1)
    dead_url = f"http://{host}/mnist.tar"
    have_mnist_be_tiny_at(monkeypatch, dead_url)
    assert failure("streamed", tmp_path).startswith(f"{dead_url}: {reason}. ")
    have_mnist_be_tiny_at(monkeypatch, dead_url, good.url(PATH))
    assert_same(load("prepared", tmp_path), ARRAYS)


# Sources of single files

SINGLE_FILES = {f"/mnist/{name}": content for name, content in PACKED_FILES.items()}
SINGLE_IMAGES, SINGLE_LABELS = f"/mnist/{TEST_IMAGES}.gz", f"/mnist/{TEST_LABELS}.gz"


@each_mode
def test_the_next_source_is_used_after_folders_of_other_files(
    mode: str,
    serve: Callable[..., Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    without_labels = {path: data for path, data in SINGLE_FILES.items() if path != SINGLE_LABELS}
    # The size tells another file apart, before the first record.
    other_images = gzip.compress(tar_with_another_last_byte(TEST_IMAGES))
    urls = [
        serve({}).url("/mnist/"),
        serve(without_labels).url("/mnist/"),
        serve({**SINGLE_FILES, SINGLE_IMAGES: other_images}).url("/mnist/"),
        serve(SINGLE_FILES).url("/mnist/"),
    ]
    have_mnist_be_tiny_at(monkeypatch, *urls)
    assert_same(load(mode, tmp_path), ARRAYS)
    warned = " ".join(record.getMessage() for record in caplog.records)
    for url in urls:  # the last one is the next to try
        assert url in warned


def test_a_streamed_split_requests_no_files_of_the_other(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(SINGLE_FILES)
    have_mnist_be_tiny_at(monkeypatch, server.url("/mnist/"))
    rows = list(datasets.load_dataset("mnist_idx", split="test", streaming=True))
    assert len(rows) == 200
    assert {request.path for request in server.requests} == {SINGLE_IMAGES, SINGLE_LABELS}


# Files that are kept


def test_a_damaged_download_of_earlier_is_replaced(
    start_sources: Callable[[int], list[Server]], tmp_path: Path
) -> None:
    (server,) = start_sources(1)
    load("prepared", tmp_path)
    (download,) = [path for path in tmp_path.rglob("downloads/*") if path.stat().st_size > 100_000]
    download.write_bytes(FLIPPED_TAR)
    shutil.rmtree(tmp_path / "mnist_idx")  # what was prepared
    assert_same(load("prepared", tmp_path), ARRAYS)
    assert server.count(PATH, "GET") == 2


def test_a_bad_file_of_the_user_is_kept(
    start_sources: Callable[[int], list[Server]], tmp_path: Path, mirror: Callable[[Any], None]
) -> None:
    start_sources(1)
    own = tmp_path / "own.tar"
    own.write_bytes(FLIPPED_TAR)
    mirror(own)
    assert_same(load("prepared", tmp_path / "cache"), ARRAYS)
    assert own.read_bytes() == FLIPPED_TAR


# Failures that may pass


@each_mode
def test_failures_that_may_pass_are_retried(
    mode: str,
    start_sources: Callable[[int], list[Server]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (server,) = start_sources(1)
    allow_two_retries(monkeypatch)
    server.behave(status=503, times=2)
    assert_same(load(mode, tmp_path), ARRAYS)
    assert not caplog.records


# Whether a server answers ranges, and how many of its answers are right before it fails.
with_and_without_ranges = pytest.mark.parametrize(
    ("ranges", "right_answers"),
    [pytest.param(True, 6, id="with-ranges"), pytest.param(False, 1, id="without-ranges")],
)


@with_and_without_ranges
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"status": 503}, id="503"),
        pytest.param({"reset_after": 5_000}, id="connection-reset"),
        pytest.param({"close_after": 5_000}, id="connection-closed"),
        pytest.param({"stall_after": 5_000}, id="stall"),
    ],
)
def test_a_stream_that_breaks_off_once_continues_from_the_same_source(
    fault: dict[str, Any],
    ranges: bool,
    right_answers: int,
    start_sources: Callable[[int], list[Server]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    breaking, spare = start_sources(2)
    allow_two_retries(monkeypatch)
    breaking.behave(ranges=ranges)
    breaking.behave(PATH, skip=right_answers, times=1, methods=("GET",), ranges=ranges, **fault)
    assert_same(load("streamed", tmp_path), ARRAYS)
    assert not caplog.records
    assert spare.count() == 0


@pytest.mark.slow
@with_and_without_ranges
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param({"reset_after": 0}, id="connections-reset"),
        pytest.param({"status": 404}, id="404"),
    ],
)
def test_a_stream_that_breaks_off_for_good_continues_from_the_next_source(
    fault: dict[str, Any],
    ranges: bool,
    right_answers: int,
    start_sources: Callable[[int], list[Server]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    breaking, spare = start_sources(2)
    allow_two_retries(monkeypatch)
    breaking.behave(ranges=ranges)
    breaking.behave(PATH, skip=right_answers, methods=("GET",), ranges=ranges, **fault)
    assert_same(load("streamed", tmp_path), ARRAYS)
    assert caplog.records
    assert spare.count() > 0


@pytest.mark.slow
@pytest.mark.compat
def test_failover_on_every_version(
    python: str, start_sources: Callable[[int], list[Server]], hf_home: Path
) -> None:
    dead, alive = start_sources(2)
    dead.behave(status=404)
    args = {"urls": [dead.url(PATH), alive.url(PATH)]}
    outcome = run_client("load_from_sources", home=hf_home, python=python, args=args)
    assert outcome.result == [digest_arrays(*ARRAYS["train"])] * 2
    assert outcome.stderr.count(dead.url(PATH)) == 2
