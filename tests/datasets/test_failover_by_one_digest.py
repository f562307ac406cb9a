"""A stream goes on in the next source, of files of which only one digest is published.

Of most published files only the SHA-256 of the compressed file is known, not that of its content.
"""

import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from conftest import ARCHIVE, MEMBERS, Arrays
from idx_files import make_tar
from sources import MortalServer, built_in_sources

from mnist_idx import IdxError, load_arrays
from mnist_idx.catalog import DATASETS, PublishedDataset, Split

IMAGES, _ = MEMBERS["test"]
FIRST_PIXEL = 16  # behind the header
RECORD = 10
PIXELS = 28 * 28


def without_content_digests(dataset: PublishedDataset) -> PublishedDataset:
    splits = {}
    for name, split in dataset.splits.items():
        images = split.images._replace(content_sha256=None)
        labels = split.labels._replace(content_sha256=None)
        splits[name] = Split(images, labels, split.num_records)
    return dataset._replace(splits=splits)


@pytest.fixture
def right_source(
    mnist_files: dict[str, bytes], mnist_tar: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[MortalServer]:
    """The built-in sources, which have the published files."""
    monkeypatch.setitem(DATASETS, "mnist", without_content_digests(DATASETS["mnist"]))
    single = {f"/mnist/{Path(name).name}": content for name, content in mnist_files.items()}
    with ExitStack() as stack:
        server = stack.enter_context(MortalServer({ARCHIVE: mnist_tar, **single}))
        stack.enter_context(built_in_sources(server))
        yield server


def start_source(
    files: dict[str, bytes], stack: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> MortalServer:
    """Start the source before the built-in ones. It goes away in the middle of the images."""
    server = stack.enter_context(MortalServer({ARCHIVE: make_tar(files)}))
    server.die_after(ARCHIVE, len(files[IMAGES]) * 2 // 3)
    monkeypatch.setenv("MNIST_IDX_MIRROR", server.url(ARCHIVE))
    return server


def test_no_wrong_record_of_a_source_that_goes_away(
    right_source: MortalServer, mnist_files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytearray(gzip.decompress(mnist_files[IMAGES]))
    content[FIRST_PIXEL + RECORD * PIXELS + 400] ^= 255
    files = {**mnist_files, IMAGES: gzip.compress(bytes(content), 1)}
    with ExitStack() as stack:
        start_source(files, stack, monkeypatch)
        with pytest.raises(IdxError):
            load_arrays("mnist_idx", split="test", streaming=True)


def test_a_right_source_that_goes_away_is_continued(
    right_source: MortalServer,
    mnist_files: dict[str, bytes],
    mnist_arrays: Arrays,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ExitStack() as stack:
        server = start_source(mnist_files, stack, monkeypatch)
        found = load_arrays("mnist_idx", split="test", streaming=True)
        assert server.is_dead(ARCHIVE)
    for part, expected in zip(found, mnist_arrays["test"], strict=True):
        np.testing.assert_array_equal(part, expected)
