"""Answers of HTTP servers to requests for ranges: the right one is data, and anything else is a
failed transfer.
"""

import pickle
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from clients import run_client
from conftest import ARCHIVE, Arrays
from datasets.distributed import split_dataset_by_node
from http_server import HTML, Reply, Server
from remote_sets import (
    IMAGES,
    LABELS,
    STREAMED,
    WAYS,
    make_set,
    publish,
    read,
    read_or_refuse,
    stack,
    which,
)

import mnist_idx

Serve = Callable[..., Server]
Change = Callable[[Reply], None]
MIDDLE = range(100_000, 300_000)  # of the images, and nothing else
OLD, NEW = make_set(1), make_set(2)
VALIDATORS = {
    "ETag": {"ETag": '"{}"'},
    "weak ETag": {"ETag": 'W/"{}"'},
    "Last-Modified": {"Last_Modified": "Thu, 0{} Jan 2026 00:00:00 GMT"},
    "both": {"ETag": '"{}"', "Last_Modified": "Thu, 0{} Jan 2026 00:00:00 GMT"},
}


def validators(kind: str, version: int) -> dict[str, str]:
    return {name: value.format(version) for name, value in VALIDATORS[kind].items()}


def wrong(reply: Reply) -> bytes:
    """As many bytes as were asked for, none of them right."""
    return bytes(byte ^ 0x55 for byte in reply.body)  # type: ignore[union-attr]


def page(reply: Reply) -> bytes:
    return HTML


def page_as_long(reply: Reply) -> bytes:
    return HTML.ljust(reply.stop - reply.start)[: reply.stop - reply.start]


def page_longer(reply: Reply) -> bytes:
    return HTML.ljust(reply.stop - reply.start + 1000)


def short(reply: Reply) -> bytes:
    return bytes(reply.body)[: len(reply.body) // 2]  # type: ignore[arg-type]


def long(reply: Reply) -> bytes:
    return bytes(reply.body) + wrong(reply)  # type: ignore[arg-type]


def late(reply: Reply) -> bytes:
    return b"##" + bytes(reply.body)  # type: ignore[arg-type]


def parts(reply: Reply) -> bytes:
    head = f"\r\n--x\r\nContent-Range: bytes {reply.start}-{reply.stop - 1}/{reply.total}\r\n\r\n"
    return head.encode() + bytes(reply.body) + b"\r\n--x--\r\n"  # type: ignore[arg-type]


def answer(
    status: int, body: Callable[[Reply], bytes], content_range: str = "", **headers: str
) -> Change:
    """Answer a request for a range with something else. Pages have no such header."""

    def change(reply: Reply) -> None:
        if "Content-Range" not in reply.headers:
            return
        known = {"first": reply.start, "last": reply.stop - 1, "total": reply.total}
        known |= {"next": reply.start + 1, "stop": reply.stop, "more": reply.total + 1}
        known |= {"length": reply.stop - reply.start - 1}
        reply.body, reply.status = body(reply), status
        del reply.headers["Content-Range"]
        if content_range:
            reply.headers["Content-Range"] = content_range.format(**known)
        reply.headers |= {name.replace("_", "-"): value for name, value in headers.items()}

    return change


RIGHT = "bytes {first}-{last}/{total}"
PARTS = {"Content_Type": "multipart/byteranges; boundary=x"}
wrong_answers = pytest.mark.parametrize(
    "change",
    [
        pytest.param(answer(200, page), id="a page"),
        pytest.param(answer(200, page_as_long), id="a page as long as the range"),
        pytest.param(answer(200, page_longer), id="a page longer than the range"),
        pytest.param(answer(200, wrong, RIGHT), id="200 with the header of 206"),
        pytest.param(answer(203, page), id="203 and a page"),
        pytest.param(answer(202, page_as_long), id="202 and a page"),
        pytest.param(answer(204, lambda reply: b""), id="204"),
        pytest.param(answer(300, page_as_long), id="300 and a page"),
        pytest.param(answer(302, page, Location="/sign_in"), id="redirected to a page"),
        pytest.param(answer(206, wrong, "bytes 0-{length}/{total}"), id="the range from byte 0"),
        pytest.param(
            answer(206, wrong, "bytes {next}-{stop}/{total}"), id="the range shifted by one"
        ),
        pytest.param(answer(206, wrong, "bytes {first}-{last}/{more}"), id="of another total"),
        pytest.param(answer(206, wrong), id="206 without its header"),
        pytest.param(answer(206, wrong, "bytes {first}-{last}"), id="no total"),
        pytest.param(answer(206, wrong, "bytes {last}-{first}/{total}"), id="last before first"),
        pytest.param(answer(206, wrong, "bytes */{total}"), id="no range"),
        pytest.param(answer(206, wrong, "bytes a-b/c"), id="letters in place of numbers"),
        pytest.param(answer(206, wrong, "pixels {first}-{last}/{total}"), id="of another unit"),
        pytest.param(answer(206, short, RIGHT), id="shorter than its header says"),
        pytest.param(answer(206, long, RIGHT), id="longer than its header says"),
        pytest.param(answer(206, late, RIGHT), id="two bytes before the range"),
        pytest.param(answer(206, parts, **PARTS), id="multipart"),
        pytest.param(
            answer(206, parts, RIGHT, **PARTS), id="multipart with the header of one part"
        ),
    ],
)
one_way_each = pytest.mark.parametrize(
    ("way", "form"), [("streamed", "tar"), ("streamed arrays", "files")]
)


@pytest.fixture
def site(serve: Serve) -> Server:
    return serve({"/sign_in": HTML})


@wrong_answers
@one_way_each
def test_a_wrong_answer_in_the_middle_is_never_data(
    change: Change, way: str, form: str, site: Server, tmp_path: Path
) -> None:
    options = publish(site, form, OLD)
    site.behave(change=change, part=MIDDLE)
    found = read_or_refuse(way, **options, cache_dir=str(tmp_path))
    assert found is None or which(found, OLD) == 0


@wrong_answers
@one_way_each
def test_after_one_wrong_answer_the_request_is_repeated(
    change: Change, way: str, form: str, site: Server, tmp_path: Path
) -> None:
    options = publish(site, form, OLD)
    site.behave(change=change, part=MIDDLE, times=1)
    assert which(read(way, **options, cache_dir=str(tmp_path)), OLD) == 0


def test_the_first_range_is_checked_as_well(site: Server, tmp_path: Path) -> None:
    for content_range in ("bytes {next}-{stop}/{total}", "bytes {first}-{last}/{more}"):
        options = publish(site, "files", OLD)
        site.behave(change=answer(206, late, content_range), methods=("GET",))
        found = read_or_refuse("streamed", **options, cache_dir=str(tmp_path))
        assert found is None or which(found, OLD) == 0


@pytest.mark.parametrize(
    "body", [page, page_as_long, wrong], ids=["page", "page as long", "other range"]
)
def test_a_mirror_of_mnist_is_checked_and_replaced(
    body: Any,
    server: Server,
    mirror: Any,
    mnist_arrays: Arrays,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(
        "HTTPS_PROXY", "http://127.0.0.1:1"
    )  # the built-in sources cannot be reached
    mirror(server.url(ARCHIVE))
    options = {"split": "train[:10000]", "streaming": True, "cache_dir": str(tmp_path)}
    # Within the images, which come first: the headers of other members lie beyond.
    part = range(300_000, 1_500_000)
    wrong_answer = answer(
        206 if body is wrong else 200, body, "bytes 0-{length}/{total}" * (body is wrong)
    )
    server.behave(change=wrong_answer, part=part, times=1)
    images, labels = mnist_idx.load_arrays("mnist_idx", **options)
    np.testing.assert_array_equal(images, mnist_arrays["train"][0][:10000])
    np.testing.assert_array_equal(labels, mnist_arrays["train"][1][:10000])
    server.behave(change=wrong_answer, part=part)
    with pytest.raises(
        mnist_idx.IdxError, match="None of the sources of mnist_idx/mnist"
    ) as caught:
        mnist_idx.load_arrays("mnist_idx", **options)
    assert str(caught.value).count(server.url(ARCHIVE)) == 1


SLOW = pytest.mark.slow
each_validator = pytest.mark.parametrize("kind", ["ETag", "Last-Modified"])


@pytest.mark.parametrize(
    ("form", "kind", "head"),
    [
        pytest.param("tar", "ETag", True, id="a tar"),
        pytest.param("files", "Last-Modified", True, id="files without ETags"),
        pytest.param("tar", "Last-Modified", True, id="a tar without ETag", marks=SLOW),
        pytest.param("tar.gz", "ETag", True, id="a compressed tar", marks=SLOW),
        pytest.param("files", "ETag", True, id="files", marks=SLOW),
        pytest.param("files", "weak ETag", True, id="files with weak ETags", marks=SLOW),
        pytest.param("files.gz", "both", True, id="compressed files", marks=SLOW),
        pytest.param("files", "both", False, id="files without HEAD", marks=SLOW),
    ],
)
def test_files_replaced_while_they_are_streamed_are_not_mixed(
    form: str, kind: str, head: bool, serve: Serve, tmp_path: Path
) -> None:
    """At the first request, at the second, …: before, between and within the files."""
    for number in range(14):
        server = serve()
        options = publish(server, form, OLD, **validators(kind, 1))
        if not head:
            server.behave(head=False)

        def replace(server: Server = server) -> None:
            publish(server, form, NEW, **validators(kind, 2))

        server.behave(before=replace, skip=number, times=1, methods=("GET",))
        way = STREAMED[number % 3 == 0]
        found = read_or_refuse(way, **options, cache_dir=str(tmp_path))
        assert found is None or which(found, OLD, NEW) >= 0, f"replaced at request {number}"


@each_validator
def test_files_replaced_between_two_epochs_are_not_mixed(kind: str, site: Server) -> None:
    options = publish(site, "files", OLD, **validators(kind, 1))
    rows = datasets.load_dataset(
        "idxfolder", streaming=True, as_array=True, split="train", **options
    )

    assert which(stack(list(rows)), OLD) == 0
    assert len(list(rows.take(10))) == 10  # what is left of this epoch may be kept for the next
    publish(site, "files", NEW, **validators(kind, 2))
    try:
        found = stack(list(rows))
    except mnist_idx.IdxError:
        return
    assert which(found, OLD, NEW) >= 0


@each_validator
@pytest.mark.parametrize("form", ["tar", "files"])
def test_files_replaced_between_two_workers_are_not_mixed(
    form: str, kind: str, site: Server
) -> None:
    options = publish(site, form, OLD, **validators(kind, 1))
    options |= {"streaming": True, "as_array": True, "num_shards": 2}
    rows = datasets.load_dataset("idxfolder", split="train", **options)
    parts = [split_dataset_by_node(rows, rank, 2) for rank in range(2)]
    taken = list(parts[0])
    publish(site, form, NEW, **validators(kind, 2))
    try:
        taken += list(pickle.loads(pickle.dumps(parts[1])))
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), OLD, NEW) >= 0


@each_validator
@pytest.mark.parametrize("way", ["prepared", "arrays"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_files_replaced_between_two_downloads_are_not_mixed(
    way: str, kind: str, method: str, site: Server, tmp_path: Path
) -> None:
    def replace() -> None:
        publish(site, "files", NEW, **validators(kind, 2))

    for path in (IMAGES, LABELS):
        for number in range(3):
            site.heal()
            options = publish(site, "files", OLD, **validators(kind, 1))
            site.behave(path, before=replace, skip=number, times=1, methods=(method,))
            found = read_or_refuse(way, **options, cache_dir=str(tmp_path / f"{path[1:]}{number}"))
            assert found is None or which(found, OLD, NEW) >= 0, (
                f"replaced at request {number} of {path}"
            )


@each_validator
@pytest.mark.parametrize("way", ["prepared", "arrays"])
@pytest.mark.parametrize("kept", [0, 1], ids=["images kept", "labels kept"])
def test_a_file_kept_by_an_earlier_load_is_not_mixed_with_a_new_one(
    way: str, kind: str, kept: int, site: Server, tmp_path: Path
) -> None:
    options = publish(site, "files", OLD, **validators(kind, 1))
    urls = options["data_files"]["train"]
    if kept:  # labels of images that have gone: together with others of their number
        other_images = site.put(
            "/other-images-idx3-ubyte", site.content[IMAGES], **validators(kind, 1)
        )
        earlier = [other_images, urls[1]]
    else:
        earlier = [urls[0]]
    read(way, data_files={"train": earlier}, cache_dir=str(tmp_path))
    publish(site, "files", NEW, **validators(kind, 2))
    found = read_or_refuse(way, **options, cache_dir=str(tmp_path))
    assert found is None or which(found, OLD, NEW) >= 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["tar", "files.gz"])
@pytest.mark.parametrize(
    "lacks",
    [
        pytest.param({"ranges": False}, id="ranges"),
        pytest.param({"head": False}, id="HEAD"),
        pytest.param({"ranges": False, "length": False}, id="ranges and lengths"),
        pytest.param({"ranges": False, "head": False}, id="ranges and HEAD"),
        pytest.param(
            {"ranges": False, "head": False, "length": False}, id="ranges, HEAD and lengths"
        ),
    ],
)
def test_simple_servers_work(
    way: str, form: str, lacks: dict[str, Any], site: Server, tmp_path: Path
) -> None:
    headers = validators("both", 1) if form == "tar" else {}
    options = publish(site, form, OLD, **headers)
    site.behave(**lacks)
    assert which(read(way, **options, cache_dir=str(tmp_path)), OLD) == 0


@pytest.mark.parametrize(
    ("content_range", "most"),
    [
        pytest.param("bytes {first}-{last}/{total}", 10_000, id="parts of ranges"),
        pytest.param("bytes {first}-{last}/*", 1 << 30, id="an unknown total"),
        pytest.param("bytes {first}-{last}/*", 10_000, id="parts of ranges of an unknown total"),
    ],
)
@pytest.mark.parametrize("form", ["tar", "files", "stored.zip"])
def test_servers_that_send_less_than_a_range_work(
    form: str, content_range: str, most: int, site: Server, tmp_path: Path
) -> None:
    def change(reply: Reply) -> None:
        if "Content-Range" in reply.headers:
            reply.body = bytes(reply.body)[:most]  # type: ignore[arg-type]
            last = reply.start + len(reply.body) - 1
            found = content_range.format(first=reply.start, last=last, total=reply.total)
            reply.headers |= {"Content-Range": found, "Content-Length": str(len(reply.body))}

    options = publish(site, form, OLD)
    site.behave(change=change)
    assert which(read("streamed arrays", **options, cache_dir=str(tmp_path)), OLD) == 0


@pytest.mark.parametrize("form", ["tar", "files"])
def test_a_node_that_ignores_ranges_is_never_misread(
    form: str, site: Server, tmp_path: Path
) -> None:
    options = publish(site, form, OLD, **validators("both", 1))
    for number in range(10):
        site.heal()
        site.behave(ranges=False, skip=number, times=1 + number % 2, methods=("GET",))
        found = read_or_refuse(STREAMED[number % 2], **options, cache_dir=str(tmp_path))
        assert found is None or which(found, OLD) == 0


ZEROS = bytes(1 << 20)
GIGABYTES = 2 << 10  # in such pieces


def bomb() -> bytes:
    """Gzip data of 2 MB that inflates to 2 GiB of zeros.

    Each piece compresses to the same bytes.
    """
    deflate = zlib.compressobj(wbits=31)
    head = deflate.compress(ZEROS) + deflate.flush(zlib.Z_FULL_FLUSH)
    piece = deflate.compress(ZEROS) + deflate.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (GIGABYTES - 1)


def endless(
    status: int, *, header: bool = True, length: bool = False, compressed: bool = False
) -> Change:
    """Answer a request for a range with 2 GiB of zeros."""

    def zeros() -> Iterator[bytes]:
        for _ in range(GIGABYTES):
            yield ZEROS

    def change(reply: Reply) -> None:
        if "Content-Range" not in reply.headers:
            return
        reply.status, reply.body = status, bomb() if compressed else zeros()
        if not header:
            del reply.headers["Content-Range"]
        if length:
            reply.headers["Content-Length"] = str(GIGABYTES * len(ZEROS))
        if compressed:
            reply.headers["Content-Encoding"] = "gzip"

    return change


@pytest.mark.slow  # starts a process
@pytest.mark.parametrize("part", [range(10**9), MIDDLE], ids=["first", "in the middle"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(endless(206), id="206 in chunks"),
        pytest.param(endless(206, length=True), id="206 with a length"),
        pytest.param(endless(206, compressed=True), id="206 compressed"),
        pytest.param(endless(200, header=False), id="200 in chunks"),
        pytest.param(endless(200, header=False, compressed=True), id="200 compressed"),
        pytest.param(endless(203, header=False, length=True), id="203 with a length"),
    ],
)
def test_an_endless_answer_is_not_read(
    change: Change, part: range, site: Server, hf_home: Path
) -> None:
    options = publish(site, "tar", OLD)
    site.behave(change=change, part=part)
    outcome = run_client(
        "refuse_in_memory", home=hf_home, args={"options": options}, memory=8 << 30, timeout=60
    )
    message, memory = outcome.result
    assert options["data_dir"] in message
    assert memory < 300e6
    site.settle()
    assert site.sent() < 50e6


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", ["files.gz", "tar.gz"])
@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_compressed_files_that_a_server_calls_encoded(
    way: str, form: str, encoding: str, site: Server, tmp_path: Path
) -> None:
    """As Apache does for names in .gz: clients then decompress what they receive."""

    def label(reply: Reply) -> None:
        reply.headers["Content-Encoding"] = encoding

    options = publish(site, form, OLD, ETag='"1"')
    site.behave(change=label)
    found = read_or_refuse(way, **options, cache_dir=str(tmp_path))
    assert found is None or which(found, OLD) == 0


def test_a_compressed_tar_is_fetched_in_few_requests(site: Server, tmp_path: Path) -> None:
    options = publish(site, "tar.gz", make_set(1, 3400))  # 2.7 MB
    found = read("streamed arrays", **options, cache_dir=str(tmp_path))
    assert which(found, make_set(1, 3400)) == 0
    assert site.count(method="GET") <= 30
