"""The records of a split: any range, any selection, prefetched."""

import gzip
import pickle
import random
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idx_files import random_images, random_labels, to_idx

from mnist_idx import idx, records
from mnist_idx.idx import IdxError
from mnist_idx.records import ReaderPool, SplitReader, prefetch
from mnist_idx.storage import Member, SplitFiles

COUNT = 50
IMAGES, LABELS = random_images(COUNT, 6, 5), random_labels(COUNT)


def files(folder: Path, images: bytes, labels: bytes | None, **facts: Any) -> SplitFiles:
    members = []
    for name, content in (("images", images), ("labels", labels)):
        if content is not None:
            (folder / name).write_bytes(content)
            members.append(Member(str(folder / name), str(folder / name)))
    return SplitFiles(members[0], members[1] if labels is not None else None, **facts)


@pytest.fixture(params=[bytes, gzip.compress], ids=["plain", "gzip"])
def split(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SplitFiles:
    """Batches of at most 7 records."""
    monkeypatch.setattr(idx, "BATCH_RECORDS", 7)
    return files(tmp_path, request.param(to_idx(IMAGES)), request.param(to_idx(LABELS)))


@pytest.fixture
def reader(split: SplitFiles) -> Any:
    reader = SplitReader(split)
    yield reader
    reader.close()


def test_ranges_in_any_order(reader: SplitReader) -> None:
    assert (reader.num_records, reader.label_parts) == (COUNT, 1)
    assert reader.labels is not None
    np.testing.assert_array_equal(np.concatenate([batch.images for batch in reader.batches()]), IMAGES)
    np.testing.assert_array_equal(np.concatenate(list(reader.labels.batches())), LABELS)
    places = random.Random(0)
    for _ in range(50):
        start = places.randrange(COUNT + 1)
        stop = places.randrange(start, COUNT + 1)
        first = places.choice([None, 1, 3, 20])
        batches = list(reader.batches(start, stop, first))
        np.testing.assert_array_equal(np.concatenate([batch.images for batch in batches]), IMAGES[start:stop])
        np.testing.assert_array_equal(np.concatenate([batch.labels for batch in batches]), LABELS[start:stop])
        lengths = [len(batch.images) for batch in batches]
        assert lengths[0] == min(stop - start, first or 7, 7)
        assert lengths[1:-1] == [7] * (len(lengths) - 2)
        assert all(1 <= length <= 7 for length in lengths[1:])


@pytest.mark.parametrize("max_gap", [1, 200, 1 << 20])
def test_selections_in_any_order(max_gap: int, reader: SplitReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_GAP_BYTES", max_gap)
    places = random.Random(0)
    for count in (1, 2, 21, COUNT):
        indices = places.sample(range(COUNT), count)
        for start, stop in ((0, count), (0, count // 2), (count // 2, count)):
            batches = list(reader.selected_batches(indices, start, stop))
            assert all(min(1, stop - start) <= len(batch.images) <= 7 for batch in batches)
            for column, expected in enumerate((IMAGES, LABELS)):
                found = np.concatenate([batch[column] for batch in batches])
                np.testing.assert_array_equal(found, expected[indices[start:stop]])


def test_gaps_in_a_selection_are_skipped(reader: SplitReader, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, int]] = []
    original = reader.batches
    monkeypatch.setattr(records, "MAX_GAP_BYTES", 4 * 30)
    monkeypatch.setattr(reader, "batches", lambda *bounds: [read.append(bounds), original(*bounds)][1])
    list(reader.selected_batches([40, 3, 7, 12, 30], 0, 5))
    assert read == [(3, 8), (12, 13), (30, 31), (40, 41)]


def test_a_selection_is_read_once_for_all_its_parts(reader: SplitReader, monkeypatch: pytest.MonkeyPatch) -> None:
    indices = [5, 3, 40]
    list(reader.selected_batches(indices, 0, 1))
    monkeypatch.setattr(reader, "batches", None)
    (batch,) = reader.selected_batches(indices, 1, 3)
    np.testing.assert_array_equal(batch.images, IMAGES[[3, 40]])


@pytest.mark.parametrize(("labels", "parts"), [(None, 0), (np.zeros((COUNT, 8), np.int32), 8)])
def test_label_parts(labels: np.ndarray | None, parts: int, tmp_path: Path) -> None:
    reader = SplitReader(files(tmp_path, to_idx(IMAGES), None if labels is None else to_idx(labels)))
    assert reader.label_parts == parts
    (batch,) = reader.selected_batches([1], 0, 1)
    assert (batch.labels is None) == (labels is None)
    reader.close()


def test_splits_without_records(tmp_path: Path) -> None:
    reader = SplitReader(files(tmp_path, to_idx(IMAGES[:0, :0]), None))
    for batches in (reader.batches(), reader.selected_batches([], 0, 0)):
        assert [batch.images.shape for batch in batches] == [(0, 0, 5)]
    reader.close()


@pytest.mark.parametrize(
    ("images", "labels", "num_records", "message"),
    [
        (IMAGES, LABELS[1:], None, r"labels: .*\(49,\).*the 50 records in .*images"),
        (IMAGES, IMAGES, None, r"labels: .*uint8 of shape \(50, 6, 5\), expected integers"),
        (IMAGES, np.zeros(COUNT, np.float32), None, "labels: .*float32.*expected integers"),
        (IMAGES, np.array(3, np.uint8), None, r"labels: .*\(\)"),
        (LABELS, LABELS, None, r"images: found the shape \(50,\), expected images"),
        (IMAGES, LABELS, 49, "images: found 50 records, expected 49"),
    ],
)
def test_headers_that_do_not_match_are_refused(
    images: np.ndarray, labels: np.ndarray, num_records: int | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=message):
        SplitReader(files(tmp_path, to_idx(images), to_idx(labels), num_records=num_records))


@pytest.mark.parametrize(("stop", "more", "message"), [(-1, b"", "cut short"), (None, b"x", "more data follows")])
def test_local_files_of_a_wrong_size_are_refused_at_once(
    stop: int | None, more: bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=f"labels: .*{message}"):
        SplitReader(files(tmp_path, to_idx(IMAGES), to_idx(LABELS)[:stop] + more))


def test_a_large_selection_must_be_proven_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "MAX_UNPROVEN_RECORDS", 40)
    reader = SplitReader(files(tmp_path, gzip.compress(to_idx(IMAGES)), None))
    reader.check_selectable(41)
    reader.close()
    reader = SplitReader(files(tmp_path, gzip.compress(to_idx(IMAGES)[:-1]), None))
    reader.check_selectable(40)
    with pytest.raises(IdxError, match="cut short"):
        reader.check_selectable(41)
    reader.close()


def test_what_does_not_fit_into_memory_is_an_error(reader: SplitReader) -> None:
    batch = reader.allocate(3)
    assert [array.shape for array in batch if array is not None] == [(3, 6, 5), (3,)]
    with pytest.raises(IdxError, match=r"images: .*records do not fit into memory.*num_samples="):
        reader.allocate(1 << 60)


# The pool


def take(pool: ReaderPool, split: SplitFiles) -> SplitReader:
    with pool.borrow(split) as reader:
        return reader


def test_the_pool_keeps_readers(split: SplitFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = ReaderPool()
    first = take(pool, split)
    assert take(pool, split) is first
    assert take(pool, split._replace(labels=None)) is not first
    with pool.borrow(split) as one, pool.borrow(split) as other:
        assert one is first
        assert other is not first
    assert take(pickle.loads(pickle.dumps(pool)), split) is not first
    monkeypatch.setattr("os.getpid", lambda: -1)  # as in a forked process
    assert take(pool, split) is not first


def test_the_pool_closes_readers(split: SplitFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[SplitReader] = []
    close = SplitReader.close
    monkeypatch.setattr(SplitReader, "close", lambda self: [closed.append(self), close(self)])
    pool = ReaderPool()
    borrowed = pool.borrow(split)
    failing = borrowed.__enter__()
    assert not borrowed.__exit__(KeyError, KeyError(), None)
    assert closed == [failing]
    with ExitStack() as stack:
        readers = [stack.enter_context(pool.borrow(split)) for _ in range(records.MAX_PARKED + 2)]
    assert failing not in readers
    assert closed == [failing, *readers[:-3:-1]]
    del pool, borrowed, stack
    assert len(closed) == 1 + len(readers)


# Prefetching


def numbers(count: int, made: list[int], closed: list[bool]) -> Generator[int, None, None]:
    try:
        for number in range(count):
            made.append(number)
            yield number
    finally:
        closed.append(True)


@given(st.integers(0, 20), st.integers(1, 6))
def test_prefetch_keeps_the_order(count: int, depth: int) -> None:
    closed: list[bool] = []
    assert list(prefetch(numbers(count, [], closed), depth)) == list(range(count))
    assert closed == [True]


def test_the_depth_of_prefetching_grows_with_use(monkeypatch: pytest.MonkeyPatch) -> None:
    submitted: list[Any] = []
    submit = ThreadPoolExecutor.submit
    monkeypatch.setattr(ThreadPoolExecutor, "submit", lambda *args: [submitted.append(args), submit(*args)][1])
    running = iter(prefetch(numbers(50, [], []), depth=3))
    assert [(next(running), len(submitted))[1] for _ in range(6)] == [1, 3, 5, 7, 8, 9]
    running.close()  # type: ignore[attr-defined]


def test_prefetch_ends_its_thread_and_its_items() -> None:
    def threads() -> list[str]:
        return [thread.name for thread in threading.enumerate() if thread.name.startswith("mnist_idx-prefetch")]

    made: list[int] = []
    closed: list[bool] = []
    running = prefetch(numbers(50, made, closed))
    assert [next(running), next(running)] == [0, 1]  # type: ignore[call-overload]
    assert threads()
    running.close()  # type: ignore[attr-defined]
    assert not threads()
    assert closed == [True]
    assert len(made) <= 5


def test_prefetch_raises_errors_in_their_place() -> None:
    def failing() -> Generator[int, None, None]:
        yield from range(1, 6)
        raise KeyError("after five")

    running = prefetch(failing())
    assert [next(running) for _ in range(5)] == [1, 2, 3, 4, 5]  # type: ignore[call-overload]
    with pytest.raises(KeyError, match="after five"):
        next(running)  # type: ignore[call-overload]
