"""Read archives whose members have names that Hypothesis draws, made of words that mean something.

They are drawn here so that the processor time of all of them together is bounded.
"""

from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from idx_files import make_tar, to_idx

import mnist_idx

PLAIN_WORDS = ["/", ".", " ", "train", "test", "images", "1"]


def drawn_names(words: list[str], length: int) -> st.SearchStrategy[str]:
    """Names of up to three runs, in each of which some words are repeated."""
    some_words = st.lists(st.sampled_from([*words, *PLAIN_WORDS]), min_size=1, max_size=4)
    run = st.builds(lambda parts, count: "".join(parts) * count, some_words, st.integers(1, 3000))
    return st.lists(run, min_size=1, max_size=3).map(lambda runs: "".join(runs)[:length])


def good_files(names: list[str]) -> dict[str, bytes]:
    """One image of one pixel, and its label."""
    files = {}
    for name in names:
        shape = (1, 1, 1) if "images" in name else (1,)
        files[name] = to_idx(np.ones(shape, np.uint8))
    return files


def main(words: list[str], names: list[str], length: int) -> int:
    """How many archives were read or refused. Each has the files `names`, too."""
    good = good_files(names)
    several_names = st.lists(drawn_names(words, length), min_size=1, max_size=5)
    seen = 0

    @settings(
        max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(drawn=several_names, tail=st.sampled_from(["", "!", "x", "\n"]))
    def read(drawn: list[str], tail: str) -> None:
        nonlocal seen
        seen += 1
        empty = {name + tail: b"" for name in drawn}
        Path("set.tar").write_bytes(make_tar({**empty, **good}))
        try:
            images, labels = mnist_idx.load_arrays("idxfolder", data_dir="set.tar")
        except mnist_idx.IdxError:
            return
        assert images.tolist() == [[[1]]] and labels.tolist() == [1]

    read()
    return seen
