"""What is known about the published datasets is well-formed and consistent."""

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from clients import ROOT
from conftest import Arrays
from idx_files import from_idx
from published import PUBLISHED

from mnist_idx.catalog import DATASETS, File, PublishedDataset
from mnist_idx.fetching import InPlace
from mnist_idx.members import Access, open_member, verify_member
from mnist_idx.mirrors import published_mirrors

# As published: the files of each dataset, images and labels of one split after the other.
AS_OF_MNIST = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]
OF_QMNIST = [
    "qmnist-train-images-idx3-ubyte.gz",
    "qmnist-train-labels-idx2-int.gz",
    "qmnist-test-images-idx3-ubyte.gz",
    "qmnist-test-labels-idx2-int.gz",
]
OF_NIST = ["xnist-images-idx3-ubyte.xz", "xnist-labels-idx2-int.xz"]


def files_of_emnist(name: str) -> list[str]:
    """The names of the published files of a part of EMNIST."""
    return [
        f"{name}-train-images-idx3-ubyte.gz",
        f"{name}-train-labels-idx1-ubyte.gz",
        f"{name}-test-images-idx3-ubyte.gz",
        f"{name}-test-labels-idx1-ubyte.gz",
    ]


def files_of(name: str) -> list[File]:
    """The files of a dataset in the catalog, images and labels of one split after the other."""
    files = []
    for split in DATASETS[name].splits.values():
        files += [split.images, split.labels]
    return files


def digests_of(name: str) -> list[str]:
    """All digests that the catalog has of the files of a dataset."""
    digests = []
    for file in files_of(name):
        digests += [file.sha256, file.content_sha256]
    return [digest for digest in digests if digest is not None]


# `subset` is chosen from the files of `mnist`.
DATASETS_WITH_FILES = [name for name in DATASETS if name != "subset"]
each_dataset = pytest.mark.parametrize("name", DATASETS_WITH_FILES)


@pytest.mark.parametrize(("name", "records", "classes"), PUBLISHED)
def test_numbers_of_records_and_classes_are_those_of_the_publication(
    name: str, records: dict[str, int], classes: int
) -> None:
    known = DATASETS[name]
    assert {split: files.num_records for split, files in known.splits.items()} == records
    assert len(set(known.class_names) - {"N/A"}) == classes


@pytest.mark.parametrize(
    ("name", "files"),
    [
        pytest.param("mnist", AS_OF_MNIST, id="mnist"),
        pytest.param("tiny", AS_OF_MNIST, id="tiny"),
        pytest.param("fashion_mnist", AS_OF_MNIST, id="fashion_mnist"),
        pytest.param("kmnist", AS_OF_MNIST, id="kmnist"),
        pytest.param("qmnist", OF_QMNIST, id="qmnist"),
        pytest.param("qmnist_nist", OF_NIST, id="qmnist_nist"),
        pytest.param("emnist_byclass", files_of_emnist("emnist-byclass"), id="emnist_byclass"),
        pytest.param("emnist_bymerge", files_of_emnist("emnist-bymerge"), id="emnist_bymerge"),
        pytest.param("emnist_balanced", files_of_emnist("emnist-balanced"), id="emnist_balanced"),
        pytest.param("emnist_letters", files_of_emnist("emnist-letters"), id="emnist_letters"),
        pytest.param("emnist_digits", files_of_emnist("emnist-digits"), id="emnist_digits"),
        pytest.param("emnist_mnist", files_of_emnist("emnist-mnist"), id="emnist_mnist"),
    ],
)
def test_files_have_their_published_names(name: str, files: list[str]) -> None:
    assert [file.name + file.suffix for file in files_of(name)] == files


def test_each_dataset_of_the_catalog_is_checked_here() -> None:
    assert DATASETS_WITH_FILES == [str(published.id) for published in PUBLISHED]


@each_dataset
def test_citations_are_entries_of_bibtex(name: str) -> None:
    citation = DATASETS[name].citation
    assert citation.startswith("@")
    assert citation.count("{") == citation.count("}")


@each_dataset
def test_each_file_has_a_digest_of_32_bytes(name: str) -> None:
    for file in files_of(name):
        digests = [digest for digest in (file.sha256, file.content_sha256) if digest is not None]
        assert {len(bytes.fromhex(digest)) for digest in digests} == {32}


@each_dataset
def test_sizes_of_files_fit_their_records(name: str) -> None:
    """Labels are compressed to at most 10 bytes each, images to more than 100."""
    for split in DATASETS[name].splits.values():
        assert split.num_records // 200 < split.labels.size < 10 * split.num_records
        assert split.images.size > 100 * split.num_records


def test_no_digest_is_there_twice() -> None:
    digests = []
    for name in DATASETS_WITH_FILES:
        digests += digests_of(name)
    assert len(set(digests)) == len(digests)


def test_one_archive_holds_all_24_files_of_emnist() -> None:
    files: set[File] = set()
    for name in DATASETS:
        if name.startswith("emnist"):
            files.update(files_of(name))
    assert len(files) == 24


def test_what_may_be_published_together_shares_what_the_card_says() -> None:
    families: dict[str, list[PublishedDataset]] = {}
    for known in DATASETS.values():
        families.setdefault(known.family, []).append(known)
    assert list(families) == ["mnist", "fashion_mnist", "kmnist", "qmnist", "emnist"]
    for of_one_card in families.values():
        facts = {(one.title, one.homepage, one.license, one.citation) for one in of_one_card}
        assert len(facts) == 1
        assert of_one_card[0].description.startswith(of_one_card[0].title + ": ")
    assert len({known.homepage for known in DATASETS.values()}) == len(families)


@pytest.mark.parametrize("split", ["train", "test"])
def test_tiny_has_the_first_records_of_mnist(split: str, real_arrays: Arrays) -> None:
    files = published_mirrors("tiny", Access()).locate(InPlace()).splits[split]
    images, labels = real_arrays[split]
    count = files.num_records
    for member, array in ((files.images, images), (files.labels, labels)):
        assert member is not None
        verify_member(member._replace(sha256=None), Access())  # the digest of the content
        with open_member(member, Access()) as stream:
            assert (from_idx(stream.readall()) == array[:count]).all()


# A script of `datasets` 3.x


@pytest.fixture
def copied_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The module `mirrors` in a copy of the modules, without data, as `datasets` 3.x makes it."""
    copy = tmp_path / "copied_script"
    copy.mkdir()
    for module in (ROOT / "mnist_idx").glob("*.py"):
        shutil.copy(module, copy)
    (copy / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("copied_script.mirrors")
    for name in [name for name in sys.modules if name.startswith("copied_script")]:
        del sys.modules[name]


@pytest.mark.parametrize("base_path", [None, "/script"])
def test_the_package_reads_its_own_data(base_path: str | None) -> None:
    (source,) = published_mirrors("tiny", Access(), base_path=base_path).sources
    assert source == (str(ROOT / "mnist_idx/data/mnist_tiny.tar"), False)


@pytest.mark.parametrize(
    ("base_path", "url", "is_named"),
    [
        pytest.param("/script", "/script/data/mnist_tiny.tar", False, id="local-script"),
        pytest.param(
            "https://host/script",
            "https://host/script/data/mnist_tiny.tar",
            True,
            id="remote-script",
        ),
        pytest.param(
            None, "{tmp_path}/copied_script/data/mnist_tiny.tar", False, id="no-script-is-known"
        ),
    ],
)
def test_a_copy_of_the_script_reads_the_data_of_the_original(
    base_path: str | None, url: str, is_named: bool, copied_mirrors: ModuleType, tmp_path: Path
) -> None:
    (source,) = copied_mirrors.published_mirrors("tiny", Access(), base_path=base_path).sources
    assert source == (url.format(tmp_path=tmp_path), is_named)
