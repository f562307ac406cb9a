"""The protocol of locators: each finds the splits, from published sources or the user's files.

A new class of `Locator` needs a row in `EACH_LOCATOR`.
"""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clients import ROOT
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    random_images,
    random_labels,
    write_archive,
)
from package_classes import classes_with

from mnist_idx import IdxError, MnistIdx, TransferError
from mnist_idx.catalog import DATASETS
from mnist_idx.failover import Locator, SplitSource
from mnist_idx.fetching import Fetcher, InPlace
from mnist_idx.folder import Folder
from mnist_idx.members import Access, SplitFiles
from mnist_idx.mirrors import Mirrors, Source, WayOut, published_mirrors
from mnist_idx.selection import Selection

FILES = four_files(
    (random_images(70, 9, 7), random_labels(70)),
    (random_images(30, 9, 7, seed=1), random_labels(30, seed=1)),
)
TINY_TAR = ROOT / "mnist_idx" / "data" / "mnist_tiny.tar"
ALL = Selection(None, None, "first")


def one_source(folder: Path) -> Locator:
    return published_mirrors("tiny", Access())


def two_sources(folder: Path) -> Locator:
    """A copy in `folder` comes after the miniature of the package."""
    copy = folder / "copy.tar"
    copy.write_bytes(TINY_TAR.read_bytes())
    sources = [Source(str(TINY_TAR), True), Source(str(copy), True)]
    return Mirrors("tiny", DATASETS["tiny"], sources, Access(), WayOut("Stop.", "Halt."))


def files_in_an_archive(folder: Path) -> Locator:
    path = write_archive(folder / "stored.zip", FILES)
    return Folder(str(path), None, Access())


def files_by_their_names(folder: Path) -> Locator:
    path = write_archive(folder / "folder", FILES)
    data_files = {"train": [str(path / TRAIN_IMAGES), str(path / TRAIN_LABELS)]}
    return Folder(None, data_files, Access())


EACH_LOCATOR = [
    pytest.param((Mirrors, one_source), id="one-source"),
    pytest.param((Mirrors, two_sources), id="two-sources"),
    pytest.param((Folder, files_in_an_archive), id="files-in-an-archive"),
    pytest.param((Folder, files_by_their_names), id="files-by-their-names"),
]


@pytest.fixture(params=EACH_LOCATOR)
def locator(request: pytest.FixtureRequest, tmp_path: Path) -> Locator:
    """Each kind of locator, of files that are there."""
    kind, make = request.param
    locator = make(tmp_path)
    assert type(locator) is kind
    return locator


def downloader(cache: str) -> Fetcher:
    return MnistIdx(config_name="tiny", cache_dir=cache).make_fetcher(streaming=False)


@pytest.fixture(params=["in place", "downloader"])
def fetcher_of_locator(request: pytest.FixtureRequest, tmp_path: Path) -> Fetcher:
    """A fetcher that keeps no copies, and one that does."""
    return InPlace() if request.param == "in place" else downloader(str(tmp_path / "cache"))


def read_records(source: SplitSource, files: SplitFiles) -> list[Any]:
    """Places, images and labels of the first 50 records, as lists."""
    records = []
    for place, batch in source.read("train", files, [(0, 50)], "0123456789"):
        records.append((place, batch.images.tolist(), batch.labels.tolist()))
    return records


def test_each_kind_of_locator_is_tested() -> None:
    tested = {Mirrors, Folder}
    assert classes_with("locate", "next_source", "must_remember") == tested
    assert {param.values[0][0] for param in EACH_LOCATOR} == tested


def test_what_is_located_can_be_read(locator: Locator, fetcher_of_locator: Fetcher) -> None:
    located = locator.locate(fetcher_of_locator)
    assert located.splits.keys() == located.layouts.keys()
    layout = located.common_layout(transpose=False, as_array=False)
    source = SplitSource(locator, Access(), ALL, transpose=False)
    for split, files in located.splits.items():
        batches = list(source.read(split, files, [(0, files.num_records)], "0123456789"))
        assert sum(len(batch.images) for _, batch in batches) == files.num_records > 0
        assert {batch.images.shape[1:] for _, batch in batches} == {layout.shape}
        hash(files)


def test_locating_again_finds_the_same(locator: Locator, fetcher_of_locator: Fetcher) -> None:
    located = locator.locate(fetcher_of_locator)
    assert locator.locate(fetcher_of_locator) == located
    assert pickle.loads(pickle.dumps(locator)).locate(fetcher_of_locator) == located


def test_the_next_source_holds_the_same_or_the_error_is_raised(locator: Locator) -> None:
    error = TransferError("it broke off")
    source = SplitSource(locator, Access(), ALL, transpose=False)
    for split, files in locator.locate(InPlace()).splits.items():
        assert files.source_number == 0
        last = files
        if locator.must_remember(files):
            last = locator.next_source(split, files, error)
            assert last.source_number == 1
            assert "it broke off" in last.failures[0]
            assert read_records(source, last) == read_records(source, files)
        assert not locator.must_remember(last)
        with pytest.raises(IdxError, match="it broke off"):
            locator.next_source(split, last, error)


def mirrors_of_a_missing_copy(missing: str) -> Locator:
    return published_mirrors("mnist", Access(), missing)


def missing_folder(missing: str) -> Locator:
    return Folder(missing, None, Access())


@pytest.mark.parametrize(
    "make_locator",
    [
        pytest.param(mirrors_of_a_missing_copy, id="copy-of-a-published-dataset"),
        pytest.param(missing_folder, id="folder-of-the-user"),
    ],
)
def test_what_is_not_there_is_an_error_that_names_it(
    make_locator: Callable[[str], Locator], fetcher_of_locator: Fetcher, tmp_path: Path
) -> None:
    missing = str(tmp_path / "missing")
    with pytest.raises(IdxError, match=missing):
        make_locator(missing).locate(fetcher_of_locator)


# The mirror of the user


def source_urls(name: str) -> list[str]:
    """The sources of a published dataset, in their order."""
    return [source.url for source in published_mirrors(name, Access()).sources]


@pytest.mark.parametrize("name", ["mnist", "subset"])
def test_the_mirror_of_the_user_is_the_first_source(
    name: str, mirror: Callable[[Any], None], tmp_path: Path
) -> None:
    mirror(tmp_path / "nowhere")
    first = published_mirrors(name, Access()).sources[0]
    assert first == Source(str(tmp_path / "nowhere"), is_named=True)
    assert source_urls(name)[1:] == list(DATASETS[name].sources)


def test_a_mirror_is_for_mnist_alone(mirror: Callable[[Any], None], tmp_path: Path) -> None:
    mirror(tmp_path / "nowhere")
    assert source_urls("fashion_mnist") == list(DATASETS["fashion_mnist"].sources)
    assert source_urls("tiny") == [str(TINY_TAR)]
