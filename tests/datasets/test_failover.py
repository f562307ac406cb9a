"""A stream goes on in the next source: with the very same records, or not without an error."""

import gzip
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from conftest import ARCHIVE, MEMBERS, Arrays
from http_server import Server
from idx_files import make_tar, random_images, to_idx
from sources import MortalServer, built_in_sources

from mnist_idx import IdxError, load_arrays

IMAGES, LABELS = MEMBERS["test"]
RECORD = 10  # that is wrong in a bad source
COUNT = 10_000
PACKINGS = {"plain": bytes, "gzip": lambda content: gzip.compress(content, 1)}
Files = dict[str, bytes]
Change = Callable[[bytearray], None]
Read = Callable[..., Any]


class Sources:
    """The published files, the built-in sources that have them, and the source before those."""

    def __init__(self, stack: ExitStack, files: Files, arrays: Arrays, tar: Path) -> None:
        self._stack = stack
        self.files = files
        self._arrays = arrays["test"]
        single = {f"/mnist/{Path(name).name}": content for name, content in files.items()}
        self.built_in = stack.enter_context(MortalServer({ARCHIVE: tar, **single}))
        stack.enter_context(built_in_sources(self.built_in))
        self._patch = stack.enter_context(pytest.MonkeyPatch.context())

    def start(self, files: Files) -> MortalServer:
        """Start the first source, an archive of the given files."""
        server = self._stack.enter_context(MortalServer({ARCHIVE: make_tar(files)}))
        self._patch.setenv("MNIST_IDX_MIRROR", server.url(ARCHIVE))
        return server

    def packed(self, packing: str, **changes: Change) -> Files:
        """The files, those of the test split packed anew after changes of their content."""
        found = dict(self.files)
        for name, part in ((IMAGES, "images"), (LABELS, "labels")):
            content = bytearray(gzip.decompress(found[name]))
            if part in changes:
                changes[part](content)
            found[name] = PACKINGS[packing](bytes(content))
        return found

    def assert_exact(self, found: Any, order: Any = slice(None)) -> None:
        for part, expected in zip(found, self._arrays, strict=True):
            np.testing.assert_array_equal(part, expected[order])

    def assert_exact_or_refused(self, read: Read, order: Any = slice(None), **options: Any) -> None:
        try:
            found = read(**options)
        except IdxError:
            return
        self.assert_exact(found, order)


@pytest.fixture
def sources(mnist_files: Files, mnist_arrays: Arrays, mnist_tar: Path) -> Iterator[Sources]:
    with ExitStack() as stack:
        yield Sources(stack, mnist_files, mnist_arrays, mnist_tar)


def change_pixel(content: bytearray) -> None:
    content[16 + RECORD * 784 + 400] ^= 255


def change_label(content: bytearray) -> None:
    content[8 + RECORD] = (content[8 + RECORD] + 1) % 10


def read_rows(**options: Any) -> tuple[np.ndarray, np.ndarray]:
    options = {"split": "test", "as_array": True, **options}
    stream = datasets.load_dataset("mnist_idx", streaming=True, **options)
    batches = list(stream.with_format("numpy").iter(1000))
    images = np.concatenate([np.asarray(batch["image"], np.uint8) for batch in batches])
    return images, np.concatenate([batch["label"] for batch in batches])


def read_arrays(split: str = "test", **options: Any) -> Any:
    return load_arrays("mnist_idx", split=split, streaming=True, **options)


@pytest.mark.parametrize(
    ("read", "changes", "packing", "num_shards"),
    [
        pytest.param(read_rows, {"images": change_pixel}, "plain", 1, id="a pixel"),
        pytest.param(read_rows, {"images": change_pixel}, "plain", 8, id="another shard"),
        pytest.param(read_rows, {"images": change_pixel}, "gzip", 1, id="a pixel, gzip"),
        pytest.param(read_rows, {"images": change_pixel}, "gzip", 8, id="another shard, gzip"),
        pytest.param(read_rows, {"labels": change_label}, "plain", 1, id="a label"),
        pytest.param(read_rows, {"labels": change_label}, "gzip", 8, id="a label, gzip"),
        pytest.param(read_arrays, {"images": change_pixel}, "plain", 1, id="a pixel of arrays"),
        pytest.param(read_arrays, {"labels": change_label}, "gzip", 8, id="a label of arrays"),
    ],
)
def test_no_wrong_record_of_a_source_that_goes_away(
    read: Read,
    changes: dict[str, Change],
    packing: str,
    num_shards: int,
    sources: Sources,
) -> None:
    files = sources.packed(packing, **changes)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) * 2 // 3)
    sources.assert_exact_or_refused(read, num_shards=num_shards)


@pytest.mark.parametrize(
    "death",
    [
        pytest.param({"reset_after": 0}, id="resets connections"),
        pytest.param({"status": 403}, id="forbids"),
    ],
)
def test_no_wrong_record_however_the_source_goes_away(
    death: dict[str, Any],
    sources: Sources,
) -> None:
    files = sources.packed("plain", images=change_pixel)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 2, **death)
    sources.assert_exact_or_refused(read_rows)


def flip_a_bit(published: bytes, length: int) -> bytes:
    """Flip a bit of a gzip file that changes early content, and is not noticed before `length`."""
    right = zlib.decompressobj(31).decompress(published[:length])
    for position in range(2000, 4000):
        flipped = bytearray(published)
        flipped[position] ^= 1
        try:
            content = zlib.decompressobj(31).decompress(flipped[:length])
        except zlib.error:
            continue
        if content[:100_000] != right[:100_000]:
            return bytes(flipped)
    raise AssertionError("no such bit")


def test_no_wrong_record_of_a_damaged_published_file(sources: Sources) -> None:
    half = len(sources.files[IMAGES]) // 2
    flipped = flip_a_bit(sources.files[IMAGES], half + (1 << 19))
    sources.start({**sources.files, IMAGES: flipped}).die_after(ARCHIVE, half)
    sources.assert_exact_or_refused(read_rows)


def test_no_wrong_record_of_a_part_of_a_split(sources: Sources) -> None:
    files = sources.packed("plain", images=change_pixel)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact_or_refused(read_arrays, slice(9000), split="test[:9000]")


def test_no_wrong_record_of_the_second_source(sources: Sources) -> None:
    """The first one is empty, the second one is bad and goes away, the third one is good."""
    sources.start({})
    files = sources.packed("plain", images=change_pixel)
    sources.built_in.put(ARCHIVE, make_tar(files))
    sources.built_in.die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact_or_refused(read_rows)


def test_no_wrong_record_after_two_sources(sources: Sources) -> None:
    """A bad source goes away, then a good one, and the third one ends the stream."""
    files = sources.packed("plain", images=change_pixel)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 3)
    sources.built_in.die_after(ARCHIVE, len(sources.files[IMAGES]) * 2 // 3)
    sources.assert_exact_or_refused(read_rows)


def shuffled(seed: int, count: int) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


UNIFORM = {"seed": 1, "num_samples": 9000, "sampling": "uniform"}
DRAWN = random.Random(1).sample(range(COUNT), 9000)


@pytest.mark.parametrize(("packing", "num_shards"), [("plain", 8), ("gzip", 1)])
@pytest.mark.parametrize(
    ("options", "order"),
    [
        pytest.param({"seed": 1}, shuffled(1, COUNT), id="all"),
        pytest.param({"seed": 4, "num_samples": 9000}, shuffled(4, 9000), id="the first"),
        pytest.param(UNIFORM, DRAWN, id="drawn from all"),
    ],
)
def test_no_wrong_record_in_a_selection(
    options: dict[str, Any],
    order: list[int],
    packing: str,
    num_shards: int,
    sources: Sources,
) -> None:
    assert RECORD in order
    files = sources.packed(packing, images=change_pixel)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact_or_refused(read_rows, order, num_shards=num_shards, **options)


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize(
    ("read", "options", "order"),
    [
        pytest.param(read_rows, {}, slice(None), id="one shard"),
        pytest.param(read_rows, {"num_shards": 8}, slice(None), id="eight shards"),
        pytest.param(read_rows, {"seed": 1}, shuffled(1, COUNT), id="shuffled"),
        pytest.param(read_arrays, {}, slice(None), id="arrays"),
        pytest.param(read_arrays, {"seed": 1}, shuffled(1, COUNT), id="shuffled arrays"),
    ],
)
def test_a_right_source_that_goes_away_is_continued(
    read: Read,
    options: dict[str, Any],
    order: Any,
    packing: str,
    sources: Sources,
) -> None:
    files = sources.packed(packing)
    server = sources.start(files)
    server.die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact(read(**options), order)
    assert server.is_dead(ARCHIVE)


def test_two_right_sources_that_go_away_are_continued(sources: Sources) -> None:
    sources.start(sources.files).die_after(ARCHIVE, len(sources.files[IMAGES]) // 3)
    sources.built_in.die_after(ARCHIVE, len(sources.files[IMAGES]) * 2 // 3)
    sources.assert_exact(read_rows())


@pytest.mark.parametrize("before", range(2, 8))
def test_a_page_in_the_middle_of_a_file_is_not_its_content(
    before: int,
    serve: Callable[..., Server],
) -> None:
    """As of a proxy whose session has ended, until somebody has signed in again."""
    images = random_images(1200, 28, 28)
    server = serve({"/images": to_idx(images)})
    server.behave("/images", methods=("GET",), skip=before, times=3, html=True)
    try:
        found = load_arrays("idxfolder", data_files=server.url("/images"), streaming=True)
    except IdxError:
        return
    np.testing.assert_array_equal(found[0], images)
