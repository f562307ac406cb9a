"""A stream goes on in the next source: with the very same records, or not without an error."""

import gzip
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
from selections import selected
from sources import MortalServer, built_in_sources

from mnist_idx import IdxError, load_arrays

IMAGES, LABELS = MEMBERS["test"]
COUNT = 10_000  # of records of the test split
WRONG_RECORD = 10  # in a bad source
Records = tuple[np.ndarray, np.ndarray]
Read = Callable[..., Records]


def gzip_fast(content: bytes) -> bytes:
    return gzip.compress(content, 1)


each_packing = pytest.mark.parametrize(
    "pack", [pytest.param(bytes, id="plain"), pytest.param(gzip_fast, id="gzip")]
)


class Sources:
    """The published files, the built-in sources that have them, and the source before those."""

    def __init__(
        self, stack: ExitStack, files: dict[str, bytes], arrays: Arrays, tar: Path
    ) -> None:
        self._stack = stack
        self.files = files
        self._arrays = arrays["test"]
        single = {f"/mnist/{Path(name).name}": content for name, content in files.items()}
        self.built_in = stack.enter_context(MortalServer({ARCHIVE: tar, **single}))
        stack.enter_context(built_in_sources(self.built_in))
        self._patch = stack.enter_context(pytest.MonkeyPatch.context())

    def start(self, files: dict[str, bytes]) -> MortalServer:
        """Start the first source, an archive of the given files."""
        server = self._stack.enter_context(MortalServer({ARCHIVE: make_tar(files)}))
        self._patch.setenv("MNIST_IDX_MIRROR", server.url(ARCHIVE))
        return server

    def right_files(self, pack: Callable[[bytes], bytes]) -> dict[str, bytes]:
        """The published files, those of the test split packed anew."""
        files = dict(self.files)
        for name in (IMAGES, LABELS):
            files[name] = pack(gzip.decompress(files[name]))
        return files

    def files_with_a_wrong_pixel(self, pack: Callable[[bytes], bytes]) -> dict[str, bytes]:
        """As `right_files`, but for one pixel of `WRONG_RECORD`."""
        content = bytearray(gzip.decompress(self.files[IMAGES]))
        content[16 + WRONG_RECORD * 784 + 400] ^= 255
        return {**self.right_files(pack), IMAGES: pack(bytes(content))}

    def files_with_a_wrong_label(self, pack: Callable[[bytes], bytes]) -> dict[str, bytes]:
        """As `right_files`, but for the label of `WRONG_RECORD`."""
        content = bytearray(gzip.decompress(self.files[LABELS]))
        content[8 + WRONG_RECORD] = (content[8 + WRONG_RECORD] + 1) % 10
        return {**self.right_files(pack), LABELS: pack(bytes(content))}

    def assert_exact(self, found: Records, order: Any = slice(None)) -> None:
        """What was read are the published records, in an order."""
        images, labels = self._arrays
        np.testing.assert_array_equal(found[0], images[order])
        np.testing.assert_array_equal(found[1], labels[order])

    def assert_exact_or_refused(self, read: Read, order: Any = slice(None), **options: Any) -> None:
        """A read ends in an `IdxError`, or gives the published records, in an order."""
        try:
            found = read(**options)
        except IdxError:
            return
        self.assert_exact(found, order)


@pytest.fixture
def sources(
    mnist_files: dict[str, bytes], mnist_arrays: Arrays, mnist_tar: Path
) -> Iterator[Sources]:
    """The sources of MNIST, of which a test starts the first one."""
    with ExitStack() as stack:
        yield Sources(stack, mnist_files, mnist_arrays, mnist_tar)


def stream_rows(**options: Any) -> Records:
    """The test split as `load_dataset` streams it."""
    options = {"split": "test", "as_array": True, **options}
    stream = datasets.load_dataset("mnist_idx", streaming=True, **options)
    images = []
    labels = []
    for batch in stream.with_format("numpy").iter(1000):
        images.append(np.asarray(batch["image"], np.uint8))
        labels.append(batch["label"])
    return np.concatenate(images), np.concatenate(labels)


def stream_arrays(split: str = "test", **options: Any) -> Records:
    """The test split as `load_arrays` streams it."""
    return load_arrays("mnist_idx", split=split, streaming=True, **options)


# A wrong source


@pytest.mark.parametrize(
    ("read", "pack", "num_shards"),
    [
        pytest.param(stream_rows, bytes, 1, id="rows-plain"),
        pytest.param(stream_rows, bytes, 8, id="rows-plain-going-away-in-another-shard"),
        pytest.param(stream_rows, gzip_fast, 1, id="rows-gzip"),
        pytest.param(stream_rows, gzip_fast, 8, id="rows-gzip-going-away-in-another-shard"),
        pytest.param(stream_arrays, bytes, 1, id="arrays-plain"),
    ],
)
def test_no_wrong_pixel_of_a_source_that_goes_away(
    read: Read, pack: Callable[[bytes], bytes], num_shards: int, sources: Sources
) -> None:
    files = sources.files_with_a_wrong_pixel(pack)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) * 2 // 3)
    sources.assert_exact_or_refused(read, num_shards=num_shards)


@pytest.mark.parametrize(
    ("read", "pack", "num_shards"),
    [
        pytest.param(stream_rows, bytes, 1, id="rows-plain"),
        pytest.param(stream_rows, gzip_fast, 8, id="rows-gzip-going-away-in-another-shard"),
        pytest.param(stream_arrays, gzip_fast, 8, id="arrays-gzip-going-away-in-another-shard"),
    ],
)
def test_no_wrong_label_of_a_source_that_goes_away(
    read: Read, pack: Callable[[bytes], bytes], num_shards: int, sources: Sources
) -> None:
    files = sources.files_with_a_wrong_label(pack)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) * 2 // 3)
    sources.assert_exact_or_refused(read, num_shards=num_shards)


@pytest.mark.parametrize(
    "death",
    [
        pytest.param({"reset_after": 0}, id="resets-connections"),
        pytest.param({"status": 403}, id="answers-403"),
    ],
)
def test_no_wrong_record_however_the_source_goes_away(
    death: dict[str, Any], sources: Sources
) -> None:
    files = sources.files_with_a_wrong_pixel(bytes)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 2, **death)
    sources.assert_exact_or_refused(stream_rows)


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
    sources.assert_exact_or_refused(stream_rows)


def test_no_wrong_record_of_a_part_of_a_split(sources: Sources) -> None:
    files = sources.files_with_a_wrong_pixel(bytes)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact_or_refused(stream_arrays, slice(9000), split="test[:9000]")


def test_no_wrong_record_of_the_second_source(sources: Sources) -> None:
    """The first one is empty, the second one is bad and goes away, the third one is good."""
    sources.start({})
    files = sources.files_with_a_wrong_pixel(bytes)
    sources.built_in.put(ARCHIVE, make_tar(files))
    sources.built_in.die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact_or_refused(stream_rows)


def test_no_wrong_record_after_two_sources(sources: Sources) -> None:
    """A bad source goes away, then a good one, and the third one ends the stream."""
    files = sources.files_with_a_wrong_pixel(bytes)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 3)
    sources.built_in.die_after(ARCHIVE, len(sources.files[IMAGES]) * 2 // 3)
    sources.assert_exact_or_refused(stream_rows)


@pytest.mark.parametrize(
    ("pack", "num_shards"),
    [
        pytest.param(bytes, 8, id="plain-eight-shards"),
        pytest.param(gzip_fast, 1, id="gzip-one-shard"),
    ],
)
@pytest.mark.parametrize(
    "selection",
    [
        pytest.param({"seed": 1}, id="all-shuffled"),
        pytest.param({"seed": 4, "num_samples": 9000}, id="the-first-shuffled"),
        pytest.param({"seed": 1, "num_samples": 9000, "sampling": "uniform"}, id="drawn-from-all"),
    ],
)
def test_no_wrong_record_in_a_selection(
    selection: dict[str, Any], pack: Callable[[bytes], bytes], num_shards: int, sources: Sources
) -> None:
    order = selected(COUNT, **selection)
    assert WRONG_RECORD in order
    files = sources.files_with_a_wrong_pixel(pack)
    sources.start(files).die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact_or_refused(stream_rows, order, num_shards=num_shards, **selection)


# A right source


@each_packing
@pytest.mark.parametrize(
    ("read", "num_shards"),
    [
        pytest.param(stream_rows, 1, id="rows-of-one-shard"),
        pytest.param(stream_rows, 8, id="rows-of-eight-shards"),
        pytest.param(stream_arrays, 1, id="arrays"),
    ],
)
def test_a_right_source_that_goes_away_is_continued(
    read: Read, num_shards: int, pack: Callable[[bytes], bytes], sources: Sources
) -> None:
    files = sources.right_files(pack)
    server = sources.start(files)
    server.die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact(read(num_shards=num_shards))
    assert server.is_dead(ARCHIVE)


@each_packing
@pytest.mark.parametrize(
    "read", [pytest.param(stream_rows, id="rows"), pytest.param(stream_arrays, id="arrays")]
)
def test_a_right_source_that_goes_away_is_continued_in_a_shuffled_stream(
    read: Read, pack: Callable[[bytes], bytes], sources: Sources
) -> None:
    files = sources.right_files(pack)
    server = sources.start(files)
    server.die_after(ARCHIVE, len(files[IMAGES]) // 2)
    sources.assert_exact(read(seed=1), selected(COUNT, seed=1))
    assert server.is_dead(ARCHIVE)


def test_two_right_sources_that_go_away_are_continued(sources: Sources) -> None:
    sources.start(sources.files).die_after(ARCHIVE, len(sources.files[IMAGES]) // 3)
    sources.built_in.die_after(ARCHIVE, len(sources.files[IMAGES]) * 2 // 3)
    sources.assert_exact(stream_rows())


@pytest.mark.parametrize("right_answers", range(2, 8))
def test_a_page_in_the_middle_of_a_file_is_not_its_content(
    right_answers: int, serve: Callable[..., Server]
) -> None:
    """As of a proxy whose session has ended, until somebody has signed in again."""
    images = random_images(1200, 28, 28)
    server = serve({"/images": to_idx(images)})
    server.behave("/images", methods=("GET",), skip=right_answers, times=3, html=True)
    try:
        found = load_arrays("idxfolder", data_files=server.url("/images"), streaming=True)
    except IdxError:
        return
    np.testing.assert_array_equal(found[0], images)
