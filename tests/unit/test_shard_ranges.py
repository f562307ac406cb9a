"""Ranges of records, one for each process or worker."""

import pytest

from mnist_idx.builder import shard_ranges


@pytest.mark.parametrize(
    ("start", "stop", "count", "ranges"),
    [
        pytest.param(0, 10, 1, [(0, 10)], id="one-range-is-the-whole"),
        pytest.param(5, 15, 3, [(5, 8), (8, 11), (11, 15)], id="10-records-in-3-ranges"),
        pytest.param(0, 2, 5, [(0, 1), (1, 2)], id="no-more-ranges-than-records"),
        pytest.param(7, 7, 3, [(7, 7)], id="no-records-in-one-range"),
    ],
)
def test_ranges_cover_all_records_in_order(
    start: int, stop: int, count: int, ranges: list[tuple[int, int]]
) -> None:
    assert shard_ranges(start, stop, count) == ranges
