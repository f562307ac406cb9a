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


def validators(kind: str, version: int) -> dict[str, str]:
    """The headers by which a server tells a version of a file from others, as `publish` takes them.

    Versions are 1 to 9.
    """
    tag = f'"{version}"'
    date = f"Thu, 0{version} Jan 2026 00:00:00 GMT"
    kinds = {
        "ETag": {"ETag": tag},
        "weak-ETag": {"ETag": f"W/{tag}"},
        "Last-Modified": {"Last_Modified": date},
        "both": {"ETag": tag, "Last_Modified": date},
    }
    return kinds[kind]


# Bodies of answers that are not the range that was asked for


def wrong(reply: Reply) -> bytes:
    """As many bytes as were asked for, none of them right."""
    return bytes(byte ^ 0x55 for byte in reply.body)  # type: ignore[union-attr]


def nothing(reply: Reply) -> bytes:
    return b""


def page(reply: Reply) -> bytes:
    """An HTML page, shorter than the range."""
    return HTML


def page_as_long(reply: Reply) -> bytes:
    """An HTML page, padded or cut to the length of the range."""
    length = reply.stop - reply.start
    return HTML.ljust(length)[:length]


def page_longer(reply: Reply) -> bytes:
    """An HTML page, padded to more than the range."""
    length = reply.stop - reply.start
    return HTML.ljust(length + 1000)


def short(reply: Reply) -> bytes:
    """The first half of the range."""
    return bytes(reply.body)[: len(reply.body) // 2]  # type: ignore[arg-type]


def long(reply: Reply) -> bytes:
    """The range, and as many wrong bytes behind it."""
    return bytes(reply.body) + wrong(reply)  # type: ignore[arg-type]


def late(reply: Reply) -> bytes:
    """Two wrong bytes, and the range behind them."""
    return b"##" + bytes(reply.body)  # type: ignore[arg-type]


def parts(reply: Reply) -> bytes:
    """The range as the only part of a multipart message."""
    head = f"\r\n--x\r\nContent-Range: bytes {reply.start}-{reply.stop - 1}/{reply.total}\r\n\r\n"
    return head.encode() + bytes(reply.body) + b"\r\n--x--\r\n"  # type: ignore[arg-type]


def answer(
    status: int, body: Callable[[Reply], bytes], content_range: str | None = None, **headers: str
) -> Change:
    """What changes the answer to a request for a range.

    Args:
        status: of the answer.
        body: makes its body of the right answer.
        content_range: its header `Content-Range`, with the words of `range_words` in braces. None:
            it has none.
        headers: more of its headers, with underscores in place of hyphens.
    """

    def change(reply: Reply) -> None:
        if "Content-Range" not in reply.headers:
            return  # It answers another request.
        words = range_words(reply)
        reply.status = status
        reply.body = body(reply)
        del reply.headers["Content-Range"]
        if content_range is not None:
            reply.headers["Content-Range"] = content_range.format(**words)
        for name, value in headers.items():
            reply.headers[name.replace("_", "-")] = value

    return change


def range_words(reply: Reply) -> dict[str, int]:
    """The numbers of which a right or a wrong `Content-Range` is made."""
    return {
        "first": reply.start,
        "last": reply.stop - 1,
        "total": reply.total,
        "first_and_one": reply.start + 1,
        "last_and_one": reply.stop,
        "total_and_one": reply.total + 1,
        "last_from_0": reply.stop - reply.start - 1,
    }


RIGHT = "bytes {first}-{last}/{total}"
FROM_0 = "bytes 0-{last_from_0}/{total}"
SHIFTED = "bytes {first_and_one}-{last_and_one}/{total}"
OF_ANOTHER_TOTAL = "bytes {first}-{last}/{total_and_one}"
PARTS = {"Content_Type": "multipart/byteranges; boundary=x"}
WRONG_ANSWERS = [
    pytest.param(answer(200, page), id="200-with-a-page"),
    pytest.param(answer(200, page_as_long), id="200-with-a-page-as-long-as-the-range"),
    pytest.param(answer(200, page_longer), id="200-with-a-page-longer-than-the-range"),
    pytest.param(answer(200, wrong, RIGHT), id="200-with-the-header-of-206"),
    pytest.param(answer(203, page), id="203-with-a-page"),
    pytest.param(answer(202, page_as_long), id="202-with-a-page"),
    pytest.param(answer(204, nothing), id="204"),
    pytest.param(answer(300, page_as_long), id="300-with-a-page"),
    pytest.param(answer(302, page, Location="/sign_in"), id="302-to-a-page"),
    pytest.param(answer(206, wrong, FROM_0), id="206-with-the-range-from-byte-0"),
    pytest.param(answer(206, wrong, SHIFTED), id="206-with-the-range-shifted-by-one"),
    pytest.param(answer(206, wrong, OF_ANOTHER_TOTAL), id="206-of-another-total"),
    pytest.param(answer(206, wrong), id="206-without-its-header"),
    pytest.param(answer(206, wrong, "bytes {first}-{last}"), id="206-without-a-total"),
    pytest.param(answer(206, wrong, "bytes {last}-{first}/{total}"), id="206-last-before-first"),
    pytest.param(answer(206, wrong, "bytes */{total}"), id="206-without-a-range"),
    pytest.param(answer(206, wrong, "bytes a-b/c"), id="206-with-letters-for-numbers"),
    pytest.param(answer(206, wrong, "pixels {first}-{last}/{total}"), id="206-of-another-unit"),
    pytest.param(answer(206, short, RIGHT), id="206-shorter-than-its-header-says"),
    pytest.param(answer(206, long, RIGHT), id="206-longer-than-its-header-says"),
    pytest.param(answer(206, late, RIGHT), id="206-two-bytes-before-the-range"),
    pytest.param(answer(206, parts, **PARTS), id="206-multipart"),
    pytest.param(answer(206, parts, RIGHT, **PARTS), id="206-multipart-with-the-header-of-one"),
]
one_way_of_each_kind = pytest.mark.parametrize(
    ("way", "form"),
    [
        pytest.param("streamed", "tar", id="streamed-from-a-tar"),
        pytest.param("streamed arrays", "files", id="arrays-from-files"),
    ],
)


@pytest.fixture
def site(serve: Serve) -> Server:
    """A server for the sets that a test publishes, with a page to which it may redirect."""
    return serve({"/sign_in": HTML})


@pytest.mark.parametrize("change", WRONG_ANSWERS)
@one_way_of_each_kind
def test_a_wrong_answer_in_the_middle_is_never_data(
    change: Change, way: str, form: str, site: Server, tmp_path: Path
) -> None:
    options = publish(site, form, OLD)
    site.behave(change=change, part=MIDDLE)
    found = read_or_refuse(way, **options, cache_dir=str(tmp_path))
    assert found is None or which(found, OLD) == 0


@pytest.mark.parametrize("change", WRONG_ANSWERS)
@one_way_of_each_kind
def test_after_one_wrong_answer_the_request_is_repeated(
    change: Change, way: str, form: str, site: Server, tmp_path: Path
) -> None:
    options = publish(site, form, OLD)
    site.behave(change=change, part=MIDDLE, times=1)
    assert which(read(way, **options, cache_dir=str(tmp_path)), OLD) == 0


@pytest.mark.parametrize("content_range", [SHIFTED, OF_ANOTHER_TOTAL], ids=["shifted", "total"])
def test_the_first_range_is_checked_as_well(
    content_range: str, site: Server, tmp_path: Path
) -> None:
    options = publish(site, "files", OLD)
    site.behave(change=answer(206, late, content_range), methods=("GET",))
    found = read_or_refuse("streamed", **options, cache_dir=str(tmp_path))
    assert found is None or which(found, OLD) == 0


wrong_answers_of_a_mirror = pytest.mark.parametrize(
    "change",
    [
        pytest.param(answer(200, page), id="page"),
        pytest.param(answer(200, page_as_long), id="page-as-long-as-the-range"),
        pytest.param(answer(206, wrong, FROM_0), id="range-from-byte-0"),
    ],
)
# Within the images, which come first: the headers of other members lie beyond.
MIDDLE_OF_MNIST = range(300_000, 1_500_000)


@pytest.fixture
def only_mirror(
    server: Server, mirror: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> Server:
    """The server of the real archive, which is the mirror: no built-in source can be reached."""
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    mirror(server.url(ARCHIVE))
    return server


@wrong_answers_of_a_mirror
def test_a_mirror_that_answers_wrong_once_is_asked_again(
    change: Change, only_mirror: Server, mnist_arrays: Arrays, tmp_path: Path
) -> None:
    only_mirror.behave(change=change, part=MIDDLE_OF_MNIST, times=1)
    images, labels = mnist_idx.load_arrays(
        "mnist_idx", split="train[:10000]", streaming=True, cache_dir=str(tmp_path)
    )
    assert only_mirror.misbehaved == 1
    np.testing.assert_array_equal(images, mnist_arrays["train"][0][:10000])
    np.testing.assert_array_equal(labels, mnist_arrays["train"][1][:10000])


@wrong_answers_of_a_mirror
def test_a_mirror_that_always_answers_wrong_is_left_for_the_next_source(
    change: Change, only_mirror: Server, tmp_path: Path
) -> None:
    only_mirror.behave(change=change, part=MIDDLE_OF_MNIST)
    with pytest.raises(mnist_idx.IdxError) as caught:
        mnist_idx.load_arrays(
            "mnist_idx", split="train[:10000]", streaming=True, cache_dir=str(tmp_path)
        )
    assert "None of the sources of mnist_idx/mnist" in str(caught.value)
    assert str(caught.value).count(only_mirror.url(ARCHIVE)) == 1


each_validator = pytest.mark.parametrize("kind", ["ETag", "Last-Modified"])


@pytest.mark.parametrize(
    ("form", "kind", "head"),
    [
        pytest.param("tar", "ETag", True, id="tar"),
        pytest.param("files", "Last-Modified", True, id="files-without-ETags"),
        pytest.param("tar", "Last-Modified", True, id="tar-without-ETag", marks=pytest.mark.slow),
        pytest.param("tar.gz", "ETag", True, id="tar.gz", marks=pytest.mark.slow),
        pytest.param("files", "ETag", True, id="files", marks=pytest.mark.slow),
        pytest.param(
            "files", "weak-ETag", True, id="files-with-weak-ETags", marks=pytest.mark.slow
        ),
        pytest.param("files.gz", "both", True, id="gzip-files", marks=pytest.mark.slow),
        pytest.param("files", "both", False, id="files-without-HEAD", marks=pytest.mark.slow),
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
        way = "streamed arrays" if number % 3 == 0 else "streamed"
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
    first = split_dataset_by_node(rows, 0, 2)
    second = split_dataset_by_node(rows, 1, 2)
    taken = list(first)
    publish(site, form, NEW, **validators(kind, 2))
    try:
        taken += list(pickle.loads(pickle.dumps(second)))  # as in another process
    except mnist_idx.IdxError:
        return
    assert which(stack(taken), OLD, NEW) >= 0


@each_validator
@pytest.mark.parametrize("way", ["prepared", "arrays"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize(
    "path", [pytest.param(IMAGES, id="at-the-images"), pytest.param(LABELS, id="at-the-labels")]
)
def test_files_replaced_between_two_downloads_are_not_mixed(
    path: str, method: str, way: str, kind: str, site: Server, tmp_path: Path
) -> None:
    """At the first, the second and the third request for one of the files."""

    def replace() -> None:
        publish(site, "files", NEW, **validators(kind, 2))

    for number in range(3):
        site.heal()
        options = publish(site, "files", OLD, **validators(kind, 1))
        site.behave(path, before=replace, skip=number, times=1, methods=(method,))
        found = read_or_refuse(way, **options, cache_dir=str(tmp_path / str(number)))
        assert found is None or which(found, OLD, NEW) >= 0, f"replaced at request {number}"


@each_validator
@pytest.mark.parametrize("way", ["prepared", "arrays"])
def test_images_kept_by_an_earlier_load_are_not_mixed_with_new_labels(
    way: str, kind: str, site: Server, tmp_path: Path
) -> None:
    options = publish(site, "files", OLD, **validators(kind, 1))
    images, _ = options["data_files"]["train"]
    read(way, data_files={"train": [images]}, cache_dir=str(tmp_path))
    publish(site, "files", NEW, **validators(kind, 2))
    found = read_or_refuse(way, **options, cache_dir=str(tmp_path))
    assert found is None or which(found, OLD, NEW) >= 0


@each_validator
@pytest.mark.parametrize("way", ["prepared", "arrays"])
def test_labels_kept_by_an_earlier_load_are_not_mixed_with_new_images(
    way: str, kind: str, site: Server, tmp_path: Path
) -> None:
    """The earlier load was of the labels and other images, as labels alone are not loaded."""
    options = publish(site, "files", OLD, **validators(kind, 1))
    _, labels = options["data_files"]["train"]
    other_images = "/other-images-idx3-ubyte"
    other = site.put(other_images, site.content[IMAGES], **validators(kind, 1))
    read(way, data_files={"train": [other, labels]}, cache_dir=str(tmp_path))
    publish(site, "files", NEW, **validators(kind, 2))
    found = read_or_refuse(way, **options, cache_dir=str(tmp_path))
    assert found is None or which(found, OLD, NEW) >= 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("form", "headers"),
    [
        pytest.param("tar", validators("both", 1), id="tar-with-ETag-and-date"),
        pytest.param("files.gz", {}, id="gzip-files-without-ETag-and-date"),
    ],
)
@pytest.mark.parametrize(
    "lacks",
    [
        pytest.param({"ranges": False}, id="ranges"),
        pytest.param({"head": False}, id="HEAD"),
        pytest.param({"ranges": False, "length": False}, id="ranges-and-lengths"),
        pytest.param({"ranges": False, "head": False}, id="ranges-and-HEAD"),
        pytest.param(
            {"ranges": False, "head": False, "length": False}, id="ranges-and-HEAD-and-lengths"
        ),
    ],
)
def test_a_server_that_lacks_something_is_read(
    lacks: dict[str, bool],
    form: str,
    headers: dict[str, str],
    way: str,
    site: Server,
    tmp_path: Path,
) -> None:
    options = publish(site, form, OLD, **headers)
    site.behave(**lacks)
    assert which(read(way, **options, cache_dir=str(tmp_path)), OLD) == 0


def send_at_most(most: int, content_range: str) -> Change:
    """Answer a request for a range with its first bytes, and with a header that says so."""

    def change(reply: Reply) -> None:
        if "Content-Range" not in reply.headers:
            return
        body = bytes(reply.body)[:most]  # type: ignore[arg-type]
        last = reply.start + len(body) - 1
        reply.body = body
        reply.headers["Content-Length"] = str(len(body))
        reply.headers["Content-Range"] = content_range.format(
            first=reply.start, last=last, total=reply.total
        )

    return change


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(send_at_most(10_000, RIGHT), id="10-kB-of-each-range"),
        pytest.param(send_at_most(1 << 30, "bytes {first}-{last}/*"), id="no-total"),
        pytest.param(
            send_at_most(10_000, "bytes {first}-{last}/*"), id="10-kB-of-each-range-and-no-total"
        ),
    ],
)
@pytest.mark.parametrize("form", ["tar", "files", "files.gz"])
def test_a_server_that_sends_or_says_less_of_a_range_is_read(
    form: str, change: Change, site: Server, tmp_path: Path
) -> None:
    options = publish(site, form, OLD)
    site.behave(change=change)
    assert which(read("streamed arrays", **options, cache_dir=str(tmp_path)), OLD) == 0


@pytest.mark.parametrize("form", ["tar", "files"])
def test_a_node_that_ignores_ranges_is_never_misread(
    form: str, site: Server, tmp_path: Path
) -> None:
    """One or two requests in a row reach it, from the first, the second, … on."""
    options = publish(site, form, OLD, **validators("both", 1))
    for number in range(0, 10, 2):
        site.heal()
        site.behave(ranges=False, skip=number, times=1, methods=("GET",))
        found = read_or_refuse("streamed", **options, cache_dir=str(tmp_path))
        assert found is None or which(found, OLD) == 0, f"request {number}"
    for number in range(1, 10, 2):
        site.heal()
        site.behave(ranges=False, skip=number, times=2, methods=("GET",))
        found = read_or_refuse("streamed arrays", **options, cache_dir=str(tmp_path))
        assert found is None or which(found, OLD) == 0, f"requests {number} and {number + 1}"


ZEROS = bytes(1 << 20)
PIECES_IN_2_GIB = 2 << 10


def bomb() -> bytes:
    """Gzip data of 2 MB that inflates to 2 GiB of zeros.

    Each piece compresses to the same bytes.
    """
    deflate = zlib.compressobj(wbits=31)
    head = deflate.compress(ZEROS) + deflate.flush(zlib.Z_FULL_FLUSH)
    piece = deflate.compress(ZEROS) + deflate.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (PIECES_IN_2_GIB - 1)


def endless(
    status: int, *, header: bool = True, length: bool = False, compressed: bool = False
) -> Change:
    """Answer a request for a range with 2 GiB of zeros.

    Args:
        status: of the answer.
        header: whether it has `Content-Range`, that of the right answer.
        length: whether it has `Content-Length`, in place of chunks.
        compressed: whether it is sent as gzip, which its `Content-Encoding` says.
    """

    def zeros() -> Iterator[bytes]:
        for _ in range(PIECES_IN_2_GIB):
            yield ZEROS

    def change(reply: Reply) -> None:
        if "Content-Range" not in reply.headers:
            return
        reply.status = status
        reply.body = bomb() if compressed else zeros()
        if not header:
            del reply.headers["Content-Range"]
        if length:
            reply.headers["Content-Length"] = str(PIECES_IN_2_GIB * len(ZEROS))
        if compressed:
            reply.headers["Content-Encoding"] = "gzip"

    return change


@pytest.mark.slow  # starts a process
@pytest.mark.parametrize(
    "part",
    [
        pytest.param(range(10**9), id="from-the-first-request-on"),
        pytest.param(MIDDLE, id="in-the-middle"),
    ],
)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(endless(206), id="206-in-chunks"),
        pytest.param(endless(206, length=True), id="206-with-a-length"),
        pytest.param(endless(206, compressed=True), id="206-compressed"),
        pytest.param(endless(200, header=False), id="200-in-chunks"),
        pytest.param(endless(200, header=False, compressed=True), id="200-compressed"),
        pytest.param(endless(203, header=False, length=True), id="203-with-a-length"),
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
def test_compressed_files_that_a_server_calls_encoded_are_read_or_refused(
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
