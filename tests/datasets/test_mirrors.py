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
from idx_files import from_idx, make_tar
from loading import MODES, Arrays, assert_same, read_all, refusal

from mnist_idx import catalog, remote
from mnist_idx.members import Access
from mnist_idx.mirrors import published_mirrors

PATH = "/mnist_database.tar"
TINY_TAR = ROOT / "mnist_idx" / "data" / "mnist_tiny.tar"
with tarfile.open(TINY_TAR) as tar:
    # type: ignore[union-attr]
    FILES = {Path(info.name).name: tar.extractfile(info).read() for info in tar}
TRAIN_IMAGES, TRAIN_LABELS, IMAGES, LABELS = FILES
RECORDS = [from_idx(gzip.decompress(content)) for content in FILES.values()]
ARRAYS: Arrays = {"train": (RECORDS[0], RECORDS[1]), "test": (RECORDS[2], RECORDS[3])}

Caplog, Patch = pytest.LogCaptureFixture, pytest.MonkeyPatch
Publish = Callable[..., list[Server]]
Mirror = Callable[[Any], None]
each_mode = pytest.mark.parametrize("mode", MODES)


def use_sources(patch: Patch, *urls: str) -> None:
    patch.setitem(catalog.DATASETS, "mnist", catalog.TINY._replace(sources=urls))


@pytest.fixture
def publish(serve: Callable[..., Server], monkeypatch: Patch) -> Publish:
    """Start servers that have the miniature, the sources of "mnist".

    No failure is retried, no stall lasts.
    """
    monkeypatch.setattr(remote, "RETRY_DELAYS", ())
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)

    def start(count: int = 1) -> list[Server]:
        servers = [serve({PATH: TINY_TAR}) for _ in range(count)]
        use_sources(monkeypatch, *(server.url(PATH) for server in servers))
        return servers

    return start


def load(mode: str, cache: Path, **options: Any) -> Arrays:
    return read_all(mode, "mnist_idx", cache_dir=str(cache), **options)


def failure(mode: str, cache: Path, **options: Any) -> str:
    return refusal(mode, "mnist_idx", cache_dir=str(cache), **options)


def other(name: str) -> bytes:
    """A tar in which the last byte of one file differs; that file is compressed properly."""
    content = bytearray(gzip.decompress(FILES[name]))
    content[-1] ^= 1
    return make_tar({**FILES, name: gzip.compress(bytes(content), 1)})


WHOLE = make_tar(FILES)
FLIPPED = bytearray(WHOLE)
FLIPPED[WHOLE.index(FILES[TRAIN_IMAGES]) + 150_000] ^= 1
LACKING = {name: content for name, content in FILES.items() if name != IMAGES}

# What is wrong with a server (how it behaves, or what it has), and what is said about it.
BAD: dict[str, tuple[dict[str, Any] | bytes, str]] = {
    "404": ({"status": 404}, "the server answered 404"),
    "stalls": ({"stall_after": 2_000}, r"nothing arrived for 1 seconds"),
    "breaks off": ({"close_after": 20_000, "ranges": False}, "before all the announced bytes"),
    "page": ({"html": True}, "found an HTML or XML page, expected a tar"),
    "empty file": (b"", "found an empty file, expected a tar"),
    "other file": (b"\x89PNG\r\n\x1a\n" + bytes(999), r"found data .*\\x89PNG"),
    "other archive": (
        make_tar({f"{n:02}.md": b"hi" for n in range(30)}),
        "found 00.md, .*04.md and 25 more, expected",
    ),
    "missing member": (make_tar(LACKING), f"expected {IMAGES[:-3]} of mnist_idx/mnist"),
    "cut short": (WHOLE[:120_000], "cut short"),
    "flipped bit": (bytes(FLIPPED), "not the published file|data is damaged"),
    "other images": (other(IMAGES), "not the published file"),
    "other labels": (other(LABELS), "not the published file"),
}
# A stream has yielded records before it can know: it ends in an error.
KNOWN_AT_THE_END = {"flipped bit", "other images", "other labels"}


def spoil(server: Server, kind: str) -> str:
    """Returns what is said about the server from now on."""
    change, reason = BAD[kind]
    if isinstance(change, bytes):
        server.put(PATH, change)
    else:
        server.behave(**change)
    return reason


@each_mode
@pytest.mark.parametrize("kind", BAD)
def test_the_next_source_is_used(
    kind: str, mode: str, publish: Publish, tmp_path: Path, caplog: Caplog
) -> None:
    bad, good = publish(2)
    reason = spoil(bad, kind)
    if mode == "streamed" and kind in KNOWN_AT_THE_END:
        for num_shards in (1, 7, 500):
            assert re.search(
                f"{bad.url(PATH)}.*({reason})", failure(mode, tmp_path, num_shards=num_shards)
            )
        return
    expected = ARRAYS
    if mode == "arrays":  # which looks at no other split
        split = "train" if kind == "flipped bit" else "test"
        expected = {split: ARRAYS[split]}
    assert_same(load(mode, tmp_path, splits=list(expected)), expected)
    (warning,) = [record.getMessage() for record in caplog.records]
    assert warning.count(bad.url(PATH)) == 1
    assert re.search(reason, warning)
    assert warning.endswith(f". Trying {good.url(PATH)} next.")
    assert str(tmp_path) not in warning
    if mode == "prepared":
        assert good.count(PATH, "GET") == 1


@pytest.mark.parametrize(
    ("host", "reason"), [("127.0.0.1:9", "connection refused"), ("no.invalid", "host not found")]
)
def test_hosts_that_are_not_there(
    host: str, reason: str, publish: Publish, monkeypatch: Patch, tmp_path: Path
) -> None:
    (good,) = publish()
    use_sources(monkeypatch, f"http://{host}/mnist.tar")
    assert failure("streamed", tmp_path).startswith(f"http://{host}/mnist.tar: {reason}. ")
    use_sources(monkeypatch, f"http://{host}/mnist.tar", good.url(PATH))
    assert_same(load("prepared", tmp_path), ARRAYS)


def test_a_mirror_is_for_mnist_alone(mirror: Mirror, tmp_path: Path) -> None:
    mirror(tmp_path / "nowhere")
    assert [source.url for source in published_mirrors("fashion_mnist", Access()).sources] == list(
        catalog.FASHION_MNIST.sources
    )
    assert [source.url for source in published_mirrors("tiny", Access()).sources] == [str(TINY_TAR)]
    for name in ("mnist", "subset"):
        assert published_mirrors(name, Access()).sources[0] == (str(tmp_path / "nowhere"), True)


@each_mode
def test_single_files(
    mode: str, serve: Any, tmp_path: Path, monkeypatch: Patch, caplog: Caplog
) -> None:
    files = {f"/mnist/{name}": content for name, content in FILES.items()}
    _, _, images, labels = files
    lacking = {path: content for path, content in files.items() if path != labels}
    # The size tells another file apart, before the first record.
    servers = [
        serve(files)
        for files in ({}, lacking, {**files, images: gzip.compress(other(IMAGES))}, files)
    ]
    urls = [server.url("/mnist/") for server in servers]
    use_sources(monkeypatch, *urls)
    assert_same(load(mode, tmp_path), ARRAYS)
    warned = " ".join(record.getMessage() for record in caplog.records)
    assert [url in warned for url in urls] == [True] * 4  # the last one as the next to try
    servers[3].forget()
    use_sources(monkeypatch, urls[3])
    assert len(list(datasets.load_dataset("mnist_idx", split="test", streaming=True))) == 200
    assert {request.path for request in servers[3].requests} == {images, labels}


def test_a_damaged_download_of_earlier_is_replaced(publish: Publish, tmp_path: Path) -> None:
    (server,) = publish()
    load("prepared", tmp_path)
    (download,) = [path for path in tmp_path.rglob("downloads/*") if path.stat().st_size > 100_000]
    download.write_bytes(FLIPPED)
    shutil.rmtree(tmp_path / "mnist_idx")
    assert_same(load("prepared", tmp_path), ARRAYS)
    assert server.count(PATH, "GET") == 2


def test_a_bad_file_of_the_user_is_kept(publish: Publish, tmp_path: Path, mirror: Mirror) -> None:
    publish()
    own = tmp_path / "own.tar"
    own.write_bytes(FLIPPED)
    mirror(own)
    assert_same(load("prepared", tmp_path / "cache"), ARRAYS)
    assert own.read_bytes() == FLIPPED


@each_mode
def test_failures_that_may_pass_are_retried(
    mode: str, publish: Publish, tmp_path: Path, monkeypatch: Patch, caplog: Caplog
) -> None:
    (server,) = publish()
    monkeypatch.setattr(remote, "RETRY_DELAYS", (0, 0))
    server.behave(status=503, times=2)
    assert_same(load(mode, tmp_path), ARRAYS)
    assert not caplog.records


PASSING = [{"status": 503}, *({f"{how}_after": 5_000} for how in ("reset", "close", "stall"))]
LASTING = [{"reset_after": 0}, {"status": 404}]


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("fault", PASSING + LASTING, ids=str)
def test_a_stream_that_breaks_off_continues(
    fault: dict[str, Any],
    ranges: bool,
    publish: Publish,
    tmp_path: Path,
    monkeypatch: Patch,
    caplog: Caplog,
) -> None:
    breaking, spare = publish(2)
    monkeypatch.setattr(remote, "RETRY_DELAYS", (0, 0))
    breaking.behave(ranges=ranges)
    times = 1 if fault in PASSING else None
    breaking.behave(
        PATH, skip=6 if ranges else 1, times=times, methods=("GET",), ranges=ranges, **fault
    )
    assert_same(load("streamed", tmp_path), ARRAYS)
    assert (len(caplog.records) > 0, spare.count() > 0) == (fault in LASTING,) * 2


@pytest.mark.slow
@pytest.mark.compat
def test_failover_on_every_version(python: str, publish: Publish, hf_home: Path) -> None:
    dead, alive = publish(2)
    dead.behave(status=404)
    outcome = run_client(
        "load_from_sources",
        home=hf_home,
        python=python,
        args={"urls": [dead.url(PATH), alive.url(PATH)]},
    )
    assert outcome.result == [digest_arrays(*ARRAYS["train"])] * 2
    assert outcome.stderr.count(dead.url(PATH)) == 2
