"""No dead server gets through: whatever is wrong with a source, the next one is used, and the user hears why."""

from __future__ import annotations

import gzip
import io
import re
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import numpy as np
import pytest
from clients import (
    ROOT,
    Client,
    Outcome,
    datasets_version,
    digest,
    digest_arrays,
    fingerprint,
    run_client,
    start_client,
    tree,
)
from conftest import ARCHIVE, MEMBERS
from http_server import HTML, Server

import mnist_idx
from mnist_idx import sources

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
Files = dict[str, bytes]

TIMEOUT = "1"  # seconds until a stalled transfer is given up, in these tests

# The client's built-in sources are replaced by ours; everything else is as it is for users.
REDIRECT = """
import json, os, re, sys, warnings
import datasets
import mnist_idx
from mnist_idx import sources
from clients import digest, digest_arrays, fingerprint
def redirect(addresses):
    entries = tuple(sources.Source(url, 11_601_920) for url in addresses)
    sources.DATA_SETS["mnist"] = sources.MNIST._replace(sources=entries)
if args.get("sources"):
    redirect(args["sources"])
"""

LOAD = """
def load(way):
    if way == "prepared":
        return fingerprint(datasets.load_dataset("mnist_idx"))
    if way == "streaming":
        rows = datasets.load_dataset("mnist_idx", streaming=True)
        return {split: digest(rows[split]) for split in args["splits"]}
    return {split: digest_arrays(*mnist_idx.load_arrays(split)) for split in args["splits"]}
result = {}
for way in args["ways"]:
    try:
        result[way] = load(way)
    except mnist_idx.IdxError as error:
        result[way] = f"IdxError: {error}"
"""


def start(
    sources: list[str],
    home: Path,
    ways: tuple[str, ...] = ("prepared", "streaming", "arrays"),
    splits: tuple[str, ...] = ("test",),
    mirror: str | None = None,
    code: str = REDIRECT + LOAD,
    **options: Any,
) -> Client:
    env = {"HF_HUB_DOWNLOAD_TIMEOUT": TIMEOUT} | ({"MNIST_IDX_MIRROR": mirror} if mirror else {})
    args = {"sources": sources, "ways": ways, "splits": splits}
    return start_client(code, home=home, args=args, env=env, **options)


def load(sources: list[str], home: Path, timeout: float = 120, **options: Any) -> Outcome:
    return start(sources, home, **options).wait(timeout)


def expected(arrays: Arrays, *splits: str) -> dict[str, Any]:
    return {split: digest_arrays(*arrays[split]) for split in splits}


def everything(prepared: dict[str, Any], arrays: Arrays) -> dict[str, Any]:
    test = digest_arrays(*arrays["test"])
    return {"prepared": prepared, "streaming": test, "arrays": test}


def load_all(cache: Path) -> dict[str, Any]:
    """Load in every way, in this process."""
    rows = datasets.load_dataset("mnist_idx", split="test", streaming=True)
    return {
        "prepared": fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(cache))),
        "streaming": digest(rows),
        "arrays": digest_arrays(*mnist_idx.load_arrays("test", cache_dir=str(cache))),
    }


UseSources = Callable[..., None]


@pytest.fixture
def use_sources(monkeypatch: pytest.MonkeyPatch) -> UseSources:
    """Replace the built-in sources, in this process, by other addresses."""

    def use(*addresses: str) -> None:
        places = tuple(sources.Source(url, 11_601_920) for url in addresses)
        monkeypatch.setitem(sources.DATA_SETS, "mnist", sources.MNIST._replace(sources=places))

    return use


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_HUB_DOWNLOAD_TIMEOUT does, in a process that has already read it."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DOWNLOAD_TIMEOUT", int(TIMEOUT))


def make_tar(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def with_other_content(files: Files, name: str) -> Files:
    """The same files but for one record of one member, which is packed properly again."""
    content = bytearray(gzip.decompress(files[name]))
    content[-1] ^= 1
    return {**files, name: gzip.compress(bytes(content), 1)}


def spoil(kind: str, server: Server, files: Files) -> str:
    """Make the archive of a server bad in one way. Returns what the warning has to say about it."""
    images = MEMBERS["test"][0]
    if kind.isdigit():
        server.behave(status=int(kind))
        return kind
    if kind == "stall at once":
        server.behave(stall_after=0)
        return f"nothing arrived for {TIMEOUT} s"
    if kind == "stall later":
        server.behave(stall_after=300_000, methods=("GET",))
        return f"nothing arrived for {TIMEOUT} s"
    if kind == "html":
        server.behave(html=True)
        return "HTML"
    if kind == "broken off":
        server.behave(close_after=400_000, methods=("GET",), ranges=False)
        return "ended before|broke|cut short"
    if kind == "cut short":
        whole = make_tar(files)
        server.put(ARCHIVE, whole[: len(whole) // 2])
        return "cut short"
    if kind == "empty":
        server.put(ARCHIVE, b"")
        return "empty"
    if kind == "wrong file":
        server.put(ARCHIVE, b"\x89PNG\r\n\x1a\n" + bytes(1000))
        return "PNG|expected"
    if kind == "other archive":
        server.put(ARCHIVE, make_tar({"README": b"hello"}))
        return "images|member"
    if kind == "missing member":
        server.put(ARCHIVE, make_tar({name: data for name, data in files.items() if name != images}))
        return "t10k-images"
    if kind == "other content":
        server.put(ARCHIVE, make_tar(with_other_content(files, images)))
        return "sha256|digest|published"
    if kind == "flipped bit":
        whole = make_tar(files)
        server.put(ARCHIVE, whole)
        server.behave(flip=(whole.index(files[images]) + 800_000,))
        return "sha256|damaged|published"
    raise AssertionError(kind)


KINDS = [
    "403",
    "404",
    "429",
    "500",
    "503",
    "stall at once",
    "stall later",
    "html",
    "broken off",
    "cut short",
    "empty",
    "wrong file",
    "other archive",
    "missing member",
    "other content",
    "flipped bit",
    "refused",
    "no DNS",
]
TRIED_AGAIN = {"429", "500", "503", "stall at once", "stall later", "broken off"}
# Streaming finds out only at the end that a whole file is not the published one: an error then, never a silent end.
FOUND_AT_THE_END = {"other content", "flipped bit"}


def bad_source(kind: str, server: Server, files: Files) -> tuple[str, str]:
    """An address that fails in this way, and what the warning has to say."""
    if kind == "refused":
        with Server({}) as gone:
            return gone.url(ARCHIVE), "refused|[Cc]onnect"
    if kind == "no DNS":
        return "http://no-such-host.invalid/mnist_database.tar", "resolve|Name|DNS|[Cc]onnect"
    return server.url(ARCHIVE), spoil(kind, server, files)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in TRIED_AGAIN])
def test_the_next_source_is_used(
    kind: str,
    serve: Callable[..., Server],
    mnist_tar: Path,
    tmp_path: Path,
    mnist_files: Files,
    mnist_arrays: Arrays,
    prepared: dict[str, Any],
    use_sources: UseSources,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad, good = serve({ARCHIVE: mnist_tar}), serve({ARCHIVE: mnist_tar})
    address, reason = bad_source(kind, bad, mnist_files)
    use_sources(address, good.url(ARCHIVE))

    def warned() -> list[str]:
        lines = [record.getMessage() for record in caplog.records if address in record.getMessage()]
        caplog.clear()
        return lines

    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared
    (line,) = warned()
    assert re.search(reason, line)
    assert good.count(ARCHIVE, "GET") == 1

    rows = datasets.load_dataset("mnist_idx", split="test", streaming=True)
    if kind in FOUND_AT_THE_END:
        with pytest.raises(mnist_idx.IdxError, match=re.escape(address)):
            digest(rows)
    else:
        assert digest(rows) == expected(mnist_arrays, "test")["test"]
        (line,) = warned()
        assert re.search(reason, line)

    caplog.clear()
    arrays = mnist_idx.load_arrays("test", cache_dir=str(tmp_path))
    assert digest_arrays(*arrays) == expected(mnist_arrays, "test")["test"]
    (line,) = warned()
    assert re.search(reason, line)


@pytest.mark.parametrize("kind", sorted(TRIED_AGAIN))
def test_the_next_source_is_used_when_trying_again_does_not_help(
    kind: str,
    serve: Callable[..., Server],
    mnist_tar: Path,
    tmp_path: Path,
    mnist_files: Files,
    mnist_arrays: Arrays,
    prepared: dict[str, Any],
) -> None:
    bad, good = serve({ARCHIVE: mnist_tar}), serve({ARCHIVE: mnist_tar})
    address, reason = bad_source(kind, bad, mnist_files)
    # Trying again takes seconds of waiting: the two ways do that side by side.
    clients = [start([address, good.url(ARCHIVE)], tmp_path / way, ways=(way,)) for way in ("prepared", "streaming")]
    outcomes = [client.wait() for client in clients]
    assert outcomes[0].result["prepared"] == prepared
    assert outcomes[1].result["streaming"] == expected(mnist_arrays, "test")
    for outcome in outcomes:
        (line,) = warnings_about(outcome.stderr, address)
        assert re.search(reason, line)


def warnings_about(stderr: str, address: str) -> list[str]:
    return [line for line in stderr.splitlines() if address in line]


@pytest.mark.parametrize("kind", ["404", "html", "cut short"])
def test_the_mirror_comes_first_and_is_verified_alike(
    kind: str,
    serve: Callable[..., Server],
    mnist_tar: Path,
    tmp_path: Path,
    mnist_files: Files,
    mnist_arrays: Arrays,
    prepared: dict[str, Any],
    use_sources: UseSources,
    mirror: Callable[[Any], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, official = serve({ARCHIVE: mnist_tar}), serve({ARCHIVE: mnist_tar})
    use_sources(official.url(ARCHIVE))
    mirror(first.url(ARCHIVE))
    assert load_all(tmp_path / "fine") == everything(prepared, mnist_arrays)
    assert (first.count() > 0, official.count(), len(caplog.records)) == (True, 0, 0)
    spoil(kind, first, mnist_files)
    assert load_all(tmp_path / "spoiled") == everything(prepared, mnist_arrays)
    assert len([record for record in caplog.records if first.url(ARCHIVE) in record.getMessage()]) == 3


def test_the_single_files_of_the_mirrors(
    serve: Callable[..., Server],
    tmp_path: Path,
    mnist_files: Files,
    mnist_arrays: Arrays,
    prepared: dict[str, Any],
    use_sources: UseSources,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The last sources are folders of four packed files; the first of them is dead, the tar has vanished."""
    dead = serve({})
    alive = serve({f"/mnist/{Path(name).name}": data for name, data in mnist_files.items()})
    use_sources(dead.url(ARCHIVE), dead.url("/mnist/"), alive.url("/mnist/"))
    assert load_all(tmp_path) == everything(prepared, mnist_arrays)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 6
    for place in (dead.url(ARCHIVE), dead.url("/mnist/")):
        assert len([message for message in messages if message.startswith(place)]) == 3


@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"])
def test_a_mirror_that_lacks_one_of_the_single_files(
    name: str,
    serve: Callable[..., Server],
    tmp_path: Path,
    mnist_tar: Path,
    mnist_files: Files,
    mnist_arrays: Arrays,
    prepared: dict[str, Any],
    use_sources: UseSources,
) -> None:
    files = {f"/mnist/{Path(path).name}": data for path, data in mnist_files.items() if Path(path).name != name}
    partial, alive = serve(files), serve({ARCHIVE: mnist_tar})
    use_sources(partial.url("/mnist/"), alive.url(ARCHIVE))
    assert load_all(tmp_path) == everything(prepared, mnist_arrays)
    rows = datasets.load_dataset("mnist_idx", split="train", streaming=True)
    assert digest(rows.take(10)) == digest_arrays(*(part[:10] for part in mnist_arrays["train"]))


def test_when_all_sources_fail_the_error_lists_them(serve: Callable[..., Server], hf_home: Path) -> None:
    dead = serve({})
    forbidden = serve({})
    forbidden.behave(status=403)
    page = serve({})
    page.behave(html=True)
    addresses = [dead.url(ARCHIVE), forbidden.url(ARCHIVE), page.url(ARCHIVE)]
    outcome = load(addresses[1:], hf_home, mirror=addresses[0])
    for way in ("prepared", "streaming", "arrays"):
        message = outcome.result[way]
        assert message.startswith("IdxError")
        for part in (*addresses, "404", "403", "HTML", "MNIST_IDX_MIRROR", "data_dir", "tiny"):
            assert part in message, (way, part, message)
    assert "Traceback" not in outcome.stderr
    assert not [name for name in tree(hf_home) if name.endswith(".arrow")]


@pytest.mark.parametrize("kind", ["html", "cut short", "wrong file", "missing member", "other content", "broken off"])
def test_a_bad_download_does_not_poison_the_next_run(
    kind: str,
    server: Server,
    tmp_path: Path,
    mnist_tar: Path,
    mnist_files: Files,
    prepared: dict[str, Any],
    use_sources: UseSources,
) -> None:
    use_sources(server.url(ARCHIVE))
    spoil(kind, server, mnist_files)
    size = len(HTML) if kind == "html" else len(server.get(ARCHIVE)[0])  # type: ignore[index]
    with pytest.raises(mnist_idx.IdxError):
        datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))
    left = {name for name, stored in tree(tmp_path).items() if "downloads" in name and stored == size}
    assert not left, "the bad file stayed in the download cache"
    assert not [name for name in tree(tmp_path) if name.endswith(".arrow")]
    server.heal()
    server.put(ARCHIVE, mnist_tar)
    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared


def test_a_poisoned_download_from_before_is_replaced(
    server: Server, tmp_path: Path, prepared: dict[str, Any], use_sources: UseSources
) -> None:
    """What other means have left in the download cache under the same address is not trusted either."""
    use_sources(server.url(ARCHIVE))
    datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))
    (download,) = [path for path in tmp_path.rglob("downloads/*") if path.stat().st_size > 1_000_000]
    data = bytearray(download.read_bytes())
    data[len(data) // 2] ^= 0xFF
    download.write_bytes(data)
    shutil.rmtree(tmp_path / "mnist_idx")
    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared
    assert server.count(ARCHIVE, "GET") == 2


# A source that fails in the middle of a stream


def collect(split: str) -> tuple[list[Any], str]:
    """The rows of a stream as far as it goes, and the message of the error that ended it."""
    rows = []
    try:
        for row in datasets.load_dataset("mnist_idx", split=split, streaming=True):
            rows.append(row)
    except mnist_idx.IdxError as error:
        return rows, str(error)
    return rows, ""


@pytest.mark.parametrize(
    "fault", [{"reset_after": 100_000}, {"close_after": 100_000}, {"status": 503}, {"stall_after": 9}], ids=str
)
@pytest.mark.parametrize("ranges", [True, False])
def test_a_stream_that_breaks_off_is_resumed(
    fault: dict[str, Any], ranges: bool, server: Server, mnist_arrays: Arrays, use_sources: UseSources, impatient: None
) -> None:
    use_sources(server.url(ARCHIVE))
    server.behave(ranges=ranges)
    server.behave(ARCHIVE, skip=6 if ranges else 1, times=2, methods=("GET",), ranges=ranges, **fault)
    rows, error = collect("test")
    assert not error
    assert digest(rows) == digest_arrays(*mnist_arrays["test"])


@pytest.mark.parametrize("fault", [{"reset_after": 0}, {"status": 404}], ids=str)
def test_a_stream_that_cannot_be_resumed_goes_on_elsewhere_or_ends_in_an_error(
    fault: dict[str, Any], serve: Callable[..., Server], mnist_tar: Path, mnist_arrays: Arrays, use_sources: UseSources
) -> None:
    dying, spare = serve({ARCHIVE: mnist_tar}), serve({ARCHIVE: mnist_tar})
    dying.behave(ARCHIVE, skip=16, **fault)
    use_sources(dying.url(ARCHIVE))
    rows, error = collect("train")
    assert 0 < len(rows) < 60000
    assert dying.url(ARCHIVE) in error
    assert digest(rows) == digest_arrays(*(part[: len(rows)] for part in mnist_arrays["train"]))

    dying.heal()
    dying.behave(ARCHIVE, skip=16, **fault)
    use_sources(dying.url(ARCHIVE), spare.url(ARCHIVE))
    rows, error = collect("train")
    assert not error
    assert digest(rows) == digest_arrays(*mnist_arrays["train"])
    assert spare.count() > 0


@pytest.mark.compat
def test_failover_on_every_version(
    python: str,
    serve: Callable[..., Server],
    mnist_tar: Path,
    hf_home: Path,
    mnist_arrays: Arrays,
    prepared: dict[str, Any],
) -> None:
    if datasets_version(python).startswith("3."):
        pytest.skip("datasets 3.x runs a copy of the script, whose sources cannot be replaced from outside")
    dead, alive = serve({}), serve({ARCHIVE: mnist_tar})
    outcome = load([dead.url(ARCHIVE), alive.url(ARCHIVE)], hf_home, python=python)
    assert outcome.result["prepared"] == prepared
    assert outcome.result["streaming"] == outcome.result["arrays"] == expected(mnist_arrays, "test")


SCRIPT = """
import datasets
from clients import digest, digest_table
rows = datasets.load_dataset(args["script"], trust_remote_code=True)
streams = datasets.load_dataset(args["script"], trust_remote_code=True, streaming=True)
result = [digest_table(rows["train"]), digest_table(rows["test"]), digest(streams["test"])]
"""


@pytest.mark.compat
def test_failover_of_the_script(
    python: str,
    serve: Callable[..., Server],
    mnist_tar: Path,
    hf_home: Path,
    tmp_path: Path,
    mnist_arrays: Arrays,
) -> None:
    """A copy of the package with other addresses in its data, run as a script by datasets 3.x."""
    if not datasets_version(python).startswith("3."):
        pytest.skip("datasets 4 and later run no scripts")
    dead, alive = serve({}), serve({ARCHIVE: mnist_tar})
    script = tmp_path / "mnist_idx"
    shutil.copytree(ROOT / "mnist_idx", script)
    text = (script / "sources.py").read_text()
    text = text.replace("https://synthase.s3.us-west-2.amazonaws.com/mnist_database.tar", dead.url(ARCHIVE))
    text = text.replace("https://ossci-datasets.s3.amazonaws.com/mnist/", alive.url(ARCHIVE))
    (script / "sources.py").write_text(text)
    outcome = run_client(SCRIPT, home=hf_home, python=python, args={"script": str(script)}, installed=True)
    train, test = (digest_arrays(*mnist_arrays[split]) for split in ("train", "test"))
    assert outcome.result == [train, test, test]
    assert warnings_about(outcome.stderr, dead.url(ARCHIVE))
