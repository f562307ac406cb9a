"""The records of a split: any range, any selection, prefetched."""

import gzip
import os
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
import pytest
from http_server import Server
from idx_files import random_images, random_labels, to_idx

from mnist_idx import records
from mnist_idx.errors import IdxError, TransferError
from mnist_idx.members import Access, Member, SplitFiles
from mnist_idx.records import MAX_PARKED, MAX_UNPROVEN_RECORDS, Batch, ReaderPool, SplitReader

# Of images that are so large that a batch holds 7.
COUNT, BATCH = 50, 7
IMAGES, LABELS = random_images(COUNT, 374, 400), random_labels(COUNT)
IMAGE_BYTES = 374 * 400
SMALL_IMAGES = random_images(COUNT, 6, 5)
Patch = pytest.MonkeyPatch


def write_split(folder: Path, images: bytes, labels: bytes | None, **facts: int) -> SplitFiles:
    """Write the files "images" and "labels" of a split, and return what describes them."""
    image_file, label_file = folder / "images", folder / "labels"
    image_file.write_bytes(images)
    image_member = Member(str(image_file), str(image_file))
    if labels is None:
        return SplitFiles(image_member, None, **facts)
    label_file.write_bytes(labels)
    return SplitFiles(image_member, Member(str(label_file), str(label_file)), **facts)


def read_split(split: SplitFiles) -> "closing[SplitReader]":
    """A reader of a split, as a context manager that closes it."""
    return closing(SplitReader(split, Access()))


@pytest.fixture(scope="module", params=["plain", "gzip"])
def split(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SplitFiles:
    """The files of `IMAGES` and `LABELS`, plain and compressed."""
    images, labels = to_idx(IMAGES), to_idx(LABELS)
    if request.param == "gzip":
        images, labels = gzip.compress(images, 0), gzip.compress(labels)
    return write_split(tmp_path_factory.mktemp("split"), images, labels)


@pytest.fixture
def reader(split: SplitFiles) -> Iterator[SplitReader]:
    """An open reader of `split`."""
    with read_split(split) as reader:
        yield reader


def assert_records(batches: list[Batch], images: np.ndarray, labels: np.ndarray) -> None:
    """Together, batches are these records."""
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), images)
    np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), labels)


# Ranges


def test_all_records_are_read_in_batches(reader: SplitReader) -> None:
    assert reader.num_records == COUNT
    batches = list(reader.batches())
    assert_records(batches, IMAGES, LABELS)
    assert [len(batch.images) for batch in batches] == [7] * 7 + [1]


@pytest.mark.parametrize(
    ("first_size", "first_batch"),
    [
        pytest.param(None, 7, id="first-batch-as-the-others"),
        pytest.param(1, 1, id="first-batch-of-1"),
        pytest.param(3, 3, id="first-batch-of-3"),
        pytest.param(20, 7, id="first-batch-of-20-exceeds-a-batch"),
    ],
)
def test_ranges_in_any_order(first_size: int | None, first_batch: int, reader: SplitReader) -> None:
    places = random.Random(0)
    for _ in range(15):
        start, stop = sorted(places.choices(range(COUNT + 1), k=2))
        batches = list(reader.batches(start, stop, first_size))
        assert_records(batches, IMAGES[start:stop], LABELS[start:stop])
        first, *others = [len(batch.images) for batch in batches]
        assert first == min(stop - start, first_batch)
        assert all(size == BATCH for size in others[:-1])
        assert all(1 <= size <= BATCH for size in others[-1:])


# Selections


@pytest.mark.parametrize(
    "seek_cost",
    [
        pytest.param(1, id="cheap-seeks"),
        pytest.param(6 * IMAGE_BYTES, id="seeks-that-cost-6-records"),
        pytest.param(1 << 40, id="seeks-that-cost-more-than-all"),
    ],
)
@pytest.mark.parametrize(
    "window_bytes",
    [
        pytest.param(1, id="window-of-a-batch"),
        pytest.param(16 * IMAGE_BYTES, id="window-of-16-records"),
        pytest.param(1 << 40, id="window-of-all"),
    ],
)
@pytest.mark.parametrize("count", [1, 2, 21, COUNT])
def test_selections_in_any_order(
    count: int, window_bytes: int, seek_cost: int, reader: SplitReader, monkeypatch: Patch
) -> None:
    # The real window, 96 MiB, would hold all: which one it is, no result shows.
    monkeypatch.setattr(records, "WINDOW_BYTES", window_bytes)
    reader.images.stream.seek_cost = seek_cost
    numbers = np.array(random.Random(count).sample(range(COUNT), count))
    for start, stop in ((0, count), (0, count // 2), (count // 2, count)):
        batches = list(reader.selected_batches(numbers, start, stop))
        assert_records(batches, IMAGES[numbers[start:stop]], LABELS[numbers[start:stop]])
        for batch in batches:
            assert min(1, stop - start) <= len(batch.images) <= BATCH


def test_a_selection_is_fetched_once_without_its_gaps(serve: Callable[..., Server]) -> None:
    images = random_images(COUNT, 240, 250)  # a gap of four is fetched: it costs less than to seek
    server = serve({"/images": to_idx(images)})
    url = server.url("/images")
    numbers = np.array([40, 3, 7, 12, 30])
    with read_split(SplitFiles(Member(url, url))) as reader:
        server.forget()
        first = list(reader.selected_batches(numbers, 0, 2))
        second = list(reader.selected_batches(numbers, 2, 5))
        server.settle()
    found = np.concatenate([batch.images for batch in first + second])
    np.testing.assert_array_equal(found, images[numbers])
    fetched = [3, 4, 5, 6, 7, 12, 30, 40]
    assert server.sent("/images") == len(fetched) * 240 * 250


def test_the_runs_of_a_selection_take_a_request_each(serve: Callable[..., Server]) -> None:
    images = random_images(COUNT, 240, 250)
    server = serve({"/images": to_idx(images)})
    url = server.url("/images")
    numbers = np.array([33, 11, 3, 7, 48, 30])  # the runs 3 to 11, 30 to 33, and 48
    with read_split(SplitFiles(Member(url, url))) as reader:
        server.forget()
        (batch,) = reader.selected_batches(numbers, 0, 6)
        server.settle()
    np.testing.assert_array_equal(batch.images, images[numbers])
    assert server.count("/images") == 3


# Far apart: records of a large local file, which are read one by one


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(), (3,), (40, 30)], ids=str)
@pytest.mark.parametrize(
    "offset", [pytest.param(0, id="a-file"), pytest.param(517, id="within-a-file")]
)
def test_records_that_are_far_apart(
    offset: int, shape: tuple[int, ...], dtype: str, tmp_path: Path
) -> None:
    images = random_images(9_000, 1, 64).view(dtype).reshape(-1)
    images = np.resize(np.nan_to_num(images), (9_000, *shape))
    content = to_idx(images)
    file = tmp_path / "set.tar"
    file.write_bytes(bytes(offset) + content + bytes(offset))
    member = Member(str(file), "images", offset, len(content))
    numbers = np.array([8_999, 0, 4_000, 4_001, 17])
    with read_split(SplitFiles(member)) as reader:
        reader.images.stream.seek_cost = 1
        (batch,) = reader.selected_batches(numbers, 0, 5)
        (second,) = reader.selected_batches(numbers, 1, 3)
    assert batch.images.dtype == images.dtype
    np.testing.assert_array_equal(batch.images, images[numbers])
    np.testing.assert_array_equal(second.images, images[numbers[1:3]])


@pytest.mark.parametrize(
    ("labels", "facts"),
    [
        pytest.param(np.eye(250, dtype=np.uint8), {"has_one_hot_labels": True}, id="one-hot"),
        pytest.param(np.arange(250)[:, None].astype("int32"), {}, id="one-part"),
    ],
)
def test_labels_that_are_far_apart(
    labels: np.ndarray, facts: dict[str, int], tmp_path: Path
) -> None:
    split = write_split(tmp_path, to_idx(random_images(250, 9, 9)), to_idx(labels), **facts)
    numbers = np.array([249, 3, 100])
    with read_split(split) as reader:
        assert reader.labels is not None
        reader.labels.stream.seek_cost = 1
        (batch,) = reader.selected_batches(numbers, 0, 3)
    np.testing.assert_array_equal(batch.labels, numbers)


@pytest.fixture
def far_apart(tmp_path: Path) -> SplitFiles:
    """A file of 60 MB, which takes no space on the disk, of images of 60,000 bytes."""
    with open(tmp_path / "images", "wb") as file:
        file.write(to_idx(np.zeros((0, 200, 300), np.uint8))[:4])
        file.write(np.array([1000, 200, 300], ">u4").tobytes())
        file.truncate(16 + 1000 * 60_000)
    return SplitFiles(Member(str(tmp_path / "images"), str(tmp_path / "images")))


def read_by_this_process() -> int:
    """Bytes that this process has read from files, from their caches, too."""
    with open("/proc/self/io") as file:
        return int(file.readline().removeprefix("rchar:"))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/io")
def test_nothing_is_read_between_records_that_are_far_apart(
    far_apart: SplitFiles, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(records, "WINDOW_BYTES", 3_000_000)  # as if the file had 2 GB
    numbers = np.array(random.Random(1).sample(range(1000), 1000))
    with read_split(far_apart) as reader:
        before = read_by_this_process()
        for _ in reader.selected_batches(numbers, 300, 500):
            pass
        taken = read_by_this_process() - before
    assert 200 * 60_000 <= taken < 210 * 60_000


def test_a_file_that_is_cut_short_while_it_is_read(far_apart: SplitFiles) -> None:
    with read_split(far_apart) as reader:
        os.truncate(far_apart.images.path, 30_000_000)
        with pytest.raises(TransferError, match="images: the file has changed while it was read"):
            list(reader.selected_batches(np.array([2, 900]), 0, 2))


# All at once


@pytest.mark.parametrize("count", [0, 1, 30, COUNT])
def test_records_are_gathered_in_one_pass(count: int, reader: SplitReader) -> None:
    numbers = np.array(random.Random(count).sample(range(COUNT), count), int)
    gathered = reader.gather(numbers)
    assert_records([gathered], IMAGES[numbers], LABELS[numbers])


def test_a_range_that_may_be_left_early_is_not_requested_whole(
    serve: Callable[..., Server],
) -> None:
    images = random_images(COUNT, 240, 250)
    server = serve({"/images": to_idx(images)})
    url = server.url("/images")
    with read_split(SplitFiles(Member(url, url))) as reader:
        server.forget()
        first = next(reader.batches(0, COUNT, first_size=1))
        server.settle()
    np.testing.assert_array_equal(first.images, images[:1])
    assert server.sent("/images") < 3 * 240 * 250


# Labels


def test_labels_of_one_part_are_numbers(tmp_path: Path) -> None:
    with read_split(write_split(tmp_path, to_idx(SMALL_IMAGES), to_idx(LABELS[:, None]))) as reader:
        (whole,) = reader.batches()
        (selected,) = reader.selected_batches(np.array([9, 2]), 0, 2)
    np.testing.assert_array_equal(whole.labels, LABELS)
    np.testing.assert_array_equal(selected.labels, LABELS[[9, 2]])


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(None, id="no-labels"),
        pytest.param(np.zeros((0, 8), np.int32), id="labels-of-8-parts"),
    ],
)
def test_a_split_without_records_is_one_empty_batch(
    labels: np.ndarray | None, tmp_path: Path
) -> None:
    images = np.zeros((0, 0, 5), np.uint8)
    label_file = None if labels is None else to_idx(labels)
    with read_split(write_split(tmp_path, to_idx(images), label_file)) as reader:
        (whole,) = reader.batches()
        (selected,) = reader.selected_batches(np.zeros(0, int), 0, 0)
    for batch in (whole, selected):
        np.testing.assert_array_equal(batch.images, images)
        np.testing.assert_array_equal(batch.labels, labels)


# What is refused


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        pytest.param(
            SMALL_IMAGES,
            to_idx(LABELS[1:]),
            r"labels: .*\(49,\).*the 50 records in .*images",
            id="one-label-less-than-images",
        ),
        pytest.param(
            SMALL_IMAGES,
            to_idx(SMALL_IMAGES),
            r"labels: .*uint8 \(50, 6, 5\), expected integers",
            id="images-as-labels",
        ),
        pytest.param(
            SMALL_IMAGES, to_idx(np.array(3, np.uint8)), r"labels: .*\(\)", id="labels-are-a-number"
        ),
        pytest.param(
            SMALL_IMAGES[:0],
            to_idx(np.zeros((0, 0), np.uint8)),
            r"labels: .*uint8 \(0, 0\), expected integers",
            id="labels-of-no-parts",
        ),
        pytest.param(
            SMALL_IMAGES, to_idx(LABELS)[:-1], "labels: .*ends after 57", id="labels-cut-one-byte"
        ),
        pytest.param(
            SMALL_IMAGES,
            to_idx(LABELS) + b"x",
            "labels: .*more data follows",
            id="labels-with-a-byte-more",
        ),
        pytest.param(
            LABELS,
            to_idx(LABELS),
            r"images: found the shape \(50,\), expected \(records, rows",
            id="labels-as-images",
        ),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    images: np.ndarray, labels: bytes, message: str, tmp_path: Path
) -> None:
    split = write_split(tmp_path, to_idx(images), labels)
    with pytest.raises(IdxError, match=message):
        SplitReader(split, Access())


def test_another_number_of_records_than_published_is_refused(tmp_path: Path) -> None:
    split = write_split(tmp_path, to_idx(SMALL_IMAGES), to_idx(LABELS), num_records=49)
    with pytest.raises(IdxError, match="images: found 50 records, expected 49"):
        SplitReader(split, Access())


# Before memory is taken for many records, the file must have them.
MANY_IMAGES = to_idx(np.zeros((MAX_UNPROVEN_RECORDS + 1, 1, 1), np.uint8))


def test_a_large_selection_of_a_whole_file_is_allowed(tmp_path: Path) -> None:
    with read_split(write_split(tmp_path, gzip.compress(MANY_IMAGES), None)) as reader:
        reader.check_selectable(MAX_UNPROVEN_RECORDS + 1)


def test_a_large_selection_of_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    with read_split(write_split(tmp_path, gzip.compress(MANY_IMAGES[:-1]), None)) as reader:
        reader.check_selectable(MAX_UNPROVEN_RECORDS)
        with pytest.raises(IdxError, match="data ends after"):
            reader.check_selectable(MAX_UNPROVEN_RECORDS + 1)


# The pool of readers


def take(pool: ReaderPool, split: SplitFiles) -> SplitReader:
    """The reader that a pool lends, which is given back."""
    with pool.borrow(split) as reader:
        return reader


def test_a_reader_that_was_given_back_is_lent_again(split: SplitFiles) -> None:
    pool = ReaderPool(Access())
    first = take(pool, split)
    assert take(pool, split) is first


def test_a_reader_is_lent_to_one_user_at_a_time(split: SplitFiles) -> None:
    pool = ReaderPool(Access())
    with pool.borrow(split) as one, pool.borrow(split) as other:
        assert one is not other


def test_other_files_get_another_reader(split: SplitFiles) -> None:
    pool = ReaderPool(Access())
    first = take(pool, split)
    assert take(pool, split._replace(labels=None)) is not first


def test_a_pickled_pool_is_empty(split: SplitFiles) -> None:
    pool = ReaderPool(Access())
    first = take(pool, split)
    copy = pickle.loads(pickle.dumps(pool))
    assert take(copy, split) is not first
    assert take(pool, split) is first


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_gets_readers_of_its_own(split: SplitFiles) -> None:
    pool = ReaderPool(Access())
    first = take(pool, split)
    child = os.fork()
    if child == 0:
        os._exit(1 if take(pool, split) is first else 7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert take(pool, split) is first


def is_closed(reader: SplitReader) -> bool:
    """Whether the files of a reader are closed."""
    assert reader.labels is not None
    assert reader.images.stream.closed == reader.labels.stream.closed
    return reader.images.stream.closed


def test_a_reader_that_fails_is_closed_and_not_lent_again(split: SplitFiles) -> None:
    pool = ReaderPool(Access())
    with pytest.raises(KeyError), pool.borrow(split) as failing:
        raise KeyError
    assert is_closed(failing)
    assert take(pool, split) is not failing


def test_a_pool_keeps_few_readers_open_and_none_when_it_goes(split: SplitFiles) -> None:
    pool = ReaderPool(Access())
    with ExitStack() as stack:
        readers = [stack.enter_context(pool.borrow(split)) for _ in range(MAX_PARKED + 2)]
        assert [is_closed(reader) for reader in readers] == [False] * (MAX_PARKED + 2)
    given_back = readers[::-1]
    assert [is_closed(reader) for reader in given_back] == [True] * 2 + [False] * MAX_PARKED
    del pool, stack
    assert [is_closed(reader) for reader in given_back] == [True] * (MAX_PARKED + 2)
