"""The records of a split: any range, any selection, prefetched."""

import gzip
import pickle
import random
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from idx_files import random_images, random_labels, to_idx

from mnist_idx import idx, records
from mnist_idx.errors import IdxError
from mnist_idx.members import Access, Member, SplitFiles
from mnist_idx.records import ReaderPool, SplitReader

COUNT = 50
IMAGES, LABELS = random_images(COUNT, 6, 5), random_labels(COUNT)
Patch = pytest.MonkeyPatch


def files(folder: Path, images: bytes, labels: bytes | None, **facts: int) -> SplitFiles:
    members = []
    for name, content in (("images", images), ("labels", labels)):
        (folder / name).write_bytes(content or b"")
        members.append(None if content is None else Member(str(folder / name), str(folder / name)))
    return SplitFiles(*members, **facts)


@pytest.fixture(params=[bytes, gzip.compress], ids=["plain", "gzip"])
def split(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: Patch) -> SplitFiles:
    """Batches of at most 7 records."""
    monkeypatch.setattr(idx, "BATCH_RECORDS", 7)
    return files(tmp_path, request.param(to_idx(IMAGES)), request.param(to_idx(LABELS)))


@pytest.fixture
def reader(split: SplitFiles) -> Iterator[SplitReader]:
    with closing(SplitReader(split, Access())) as reader:
        yield reader


def test_ranges_in_any_order(reader: SplitReader) -> None:
    assert reader.num_records == COUNT
    np.testing.assert_array_equal(
        np.concatenate([batch.images for batch in reader.batches()]), IMAGES
    )
    np.testing.assert_array_equal(np.concatenate(list(reader.labels.batches())), LABELS)
    places = random.Random(0)
    for _ in range(50):
        start, stop = sorted(places.choices(range(COUNT + 1), k=2))
        first = places.choice([None, 1, 3, 20])
        batches = list(reader.batches(start, stop, first))
        np.testing.assert_array_equal(
            np.concatenate([batch.images for batch in batches]), IMAGES[start:stop]
        )
        np.testing.assert_array_equal(
            np.concatenate([batch.labels for batch in batches]), LABELS[start:stop]
        )
        lengths = [len(batch.images) for batch in batches]
        assert lengths[0] == min(stop - start, first or 7, 7)
        assert lengths[1:-1] == [7] * (len(lengths) - 2)
        assert all(1 <= length <= 7 for length in lengths[1:])


@pytest.mark.parametrize("seek_cost", [1, 200, 1 << 20])
@pytest.mark.parametrize("window", [1, 500, 1 << 20])
def test_selections_in_any_order(
    seek_cost: int, window: int, reader: SplitReader, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(records, "WINDOW_BYTES", window)
    reader.images.stream.seek_cost = seek_cost
    places = random.Random(0)
    for count in (1, 2, 21, COUNT):
        numbers = np.array(places.sample(range(COUNT), count))
        for start, stop in ((0, count), (0, count // 2), (count // 2, count)):
            batches = list(reader.selected_batches(numbers, start, stop))
            assert all(min(1, stop - start) <= len(batch.images) <= 7 for batch in batches)
            for column, expected in enumerate((IMAGES, LABELS)):
                found = np.concatenate([batch[column] for batch in batches])
                np.testing.assert_array_equal(found, expected[numbers[start:stop]])


def test_a_selection_is_read_once_without_its_gaps(reader: SplitReader) -> None:
    reader.images.stream.seek_cost = 4 * 30
    numbers = np.array([40, 3, 7, 12, 30])
    with mock.patch.object(reader.images, "read", side_effect=reader.images.read) as read:
        parts = [*reader.selected_batches(numbers, 0, 2), *reader.selected_batches(numbers, 2, 5)]
    np.testing.assert_array_equal(
        np.concatenate([batch.images for batch in parts]), IMAGES[numbers]
    )
    assert [call.args for call in read.call_args_list] == [(3, 8), (12, 13), (30, 31), (40, 41)]


def test_labels_of_one_part_are_a_column(tmp_path: Path) -> None:
    with closing(
        SplitReader(files(tmp_path, to_idx(IMAGES), to_idx(LABELS[:, None])), Access())
    ) as reader:
        (first, *_) = reader.batches()
        np.testing.assert_array_equal(first.labels, LABELS[: len(first.images)])
        (first, *_) = reader.selected_batches(np.array([9, 2]), 0, 2)
        np.testing.assert_array_equal(first.labels, LABELS[[9, 2]])


@pytest.mark.parametrize("parts", [0, 8])
def test_splits_without_records(parts: int, tmp_path: Path) -> None:
    images, labels = IMAGES[:0, :0], np.zeros((0, parts), np.int32)
    with closing(
        SplitReader(files(tmp_path, to_idx(images), to_idx(labels) if parts else None), Access())
    ) as reader:
        for (batch,) in (reader.batches(), reader.selected_batches(np.zeros(0, int), 0, 0)):
            np.testing.assert_array_equal(batch.images, images)
            assert parts == (0 if batch.labels is None else batch.labels.shape[1])


def test_files_that_do_not_match_are_refused(tmp_path: Path) -> None:
    for images, labels, message in (
        (IMAGES, to_idx(LABELS[1:]), r"labels: .*\(49,\).*the 50 records in .*images"),
        (IMAGES, to_idx(IMAGES), r"labels: .*uint8 \(50, 6, 5\), expected integers"),
        (IMAGES, to_idx(np.zeros(COUNT, np.float32)), "labels: .*float32.*expected integers"),
        (IMAGES, to_idx(np.array(3, np.uint8)), r"labels: .*\(\)"),
        (
            IMAGES[:0],
            to_idx(np.zeros((0, 0), np.uint8)),
            r"labels: .*uint8 \(0, 0\), expected integers",
        ),
        (IMAGES, to_idx(LABELS)[:-1], "labels: .*ends after 57"),
        (IMAGES, to_idx(LABELS) + b"x", "labels: .*more data follows"),
        (LABELS, to_idx(LABELS), r"images: found the shape \(50,\), expected \(records, rows"),
    ):
        with pytest.raises(IdxError, match=message):
            SplitReader(files(tmp_path, to_idx(images), labels), Access())
    with pytest.raises(IdxError, match="images: found 50 records, expected 49"):
        SplitReader(files(tmp_path, to_idx(IMAGES), to_idx(LABELS), num_records=49), Access())


def test_a_large_selection_must_be_proven_first(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(records, "MAX_UNPROVEN_RECORDS", 40)
    with closing(
        SplitReader(files(tmp_path, gzip.compress(to_idx(IMAGES)), None), Access())
    ) as reader:
        reader.check_selectable(41)
    with closing(
        SplitReader(files(tmp_path, gzip.compress(to_idx(IMAGES)[:-1]), None), Access())
    ) as reader:
        reader.check_selectable(40)
        with pytest.raises(IdxError, match="data ends after"):
            reader.check_selectable(41)


def take(pool: ReaderPool, split: SplitFiles) -> SplitReader:
    with pool.borrow(split) as reader:
        return reader


def test_the_pool_keeps_readers(split: SplitFiles, monkeypatch: Patch) -> None:
    pool = ReaderPool(Access())
    first = take(pool, split)
    assert take(pool, split) is first
    with pool.borrow(split) as one, pool.borrow(split) as other:
        assert one is first
        others = [
            other,
            take(pool, split._replace(labels=None)),
            take(pickle.loads(pickle.dumps(pool)), split),
        ]
    monkeypatch.setattr("os.getpid", lambda: -1)  # as in a forked process
    assert first not in [*others, take(pool, split)]


def test_the_pool_closes_readers(split: SplitFiles, monkeypatch: Patch) -> None:
    closed: list[SplitReader] = []
    close = SplitReader.close
    monkeypatch.setattr(
        SplitReader, "close", lambda reader: [closed.append(reader), close(reader)][1]
    )

    def own() -> list[SplitReader]:  # the collector may close those of earlier tests now
        return [reader for reader in closed if reader.images.title == split.images.title]

    pool = ReaderPool(Access())
    with pytest.raises(KeyError), pool.borrow(split) as failing:
        raise KeyError
    assert own() == [failing]
    with ExitStack() as stack:
        readers = [stack.enter_context(pool.borrow(split)) for _ in range(records.MAX_PARKED + 2)]
    assert failing not in readers
    assert own() == [failing, *readers[:-3:-1]]
    del pool, stack
    assert len(own()) == 1 + len(readers)
