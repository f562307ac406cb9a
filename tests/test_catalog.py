"""What is known about the published datasets is well-formed and consistent."""

from pathlib import Path

import datasets
import pytest
from conftest import Arrays
from idx_files import from_idx

import mnist_idx  # noqa: F401
from mnist_idx.catalog import DATASETS, File
from mnist_idx.mnist_idx import published_mirrors
from mnist_idx.storage import open_member, verify_member

SPLITS = ("train", "test")
EMNIST = [name for name in DATASETS if name.startswith("emnist")]
# From the publications of each: (train, test, classes).
COUNTS = {
    "mnist": (60_000, 10_000, 10),
    "tiny": (1_000, 200, 10),
    "fashion_mnist": (60_000, 10_000, 10),
    "kmnist": (60_000, 10_000, 10),
    "qmnist": (60_000, 60_000, 10),
    "emnist_byclass": (697_932, 116_323, 62),
    "emnist_bymerge": (697_932, 116_323, 47),
    "emnist_balanced": (112_800, 18_800, 47),
    "emnist_letters": (124_800, 20_800, 26),
    "emnist_digits": (240_000, 40_000, 10),
    "emnist_mnist": (60_000, 10_000, 10),
}
ROLES = ("images-idx3-ubyte", "labels-idx1-ubyte")


def files_of(name: str) -> list[File]:
    return [file for split in DATASETS[name].splits.values() for file in (split.images, split.labels)]


@pytest.mark.parametrize("name", COUNTS)
def test_facts(name: str) -> None:
    known = DATASETS[name]
    *counts, classes = COUNTS[name]
    assert [(split, found.num_records) for split, found in known.splits.items()] == list(
        zip(SPLITS, counts, strict=True)
    )
    assert len(set(known.class_names) - {"N/A"}) == classes
    assert len(set(known.class_names)) == len(known.class_names)
    assert known.description and known.license
    assert known.citation.startswith("@")
    assert known.citation.count("{") == known.citation.count("}")
    assert (known.label_parts, known.transposed) == (8 if name == "qmnist" else 1, name in EMNIST)
    prefix, test = (f"{name}-".replace("_", "-"), "test") if name in ("qmnist", *EMNIST) else ("", "t10k")
    names = [f"{prefix}{split}-{role}" for split in ("train", test) for role in ROLES]
    assert [file.name.replace("idx2-int", "idx1-ubyte") for file in files_of(name)] == names
    for file, records in zip(files_of(name), (counts[0], counts[0], counts[1], counts[1]), strict=True):
        assert {len(bytes.fromhex(digest)) for digest in file[2:] if digest} == {32}
        # Labels are compressed to at most 8 bytes each, images to more than that.
        assert records // 200 < file.size < 10 * records if "labels" in file.name else file.size > 100 * records
    sizes = {source.size for source in known.sources if source.url.endswith("/")}
    assert sizes <= {sum(file.size for file in files_of(name))}


def test_no_two_files_have_the_same_digest() -> None:
    digests = [digest for name in DATASETS for file in files_of(name) for digest in file[2:] if digest]
    assert len(set(digests)) == len(digests)
    assert set(DATASETS) == set(COUNTS)


def test_one_archive_holds_all_of_emnist() -> None:
    files = {file for name in EMNIST for file in files_of(name)}
    assert len(files) == 24
    ((url, size, _),) = {DATASETS[name].sources[0] for name in EMNIST}
    assert url.endswith(".zip")
    # Stored or deflated: compressed files do not shrink further. The mappings are in there, too.
    assert 0 <= size - sum(file.size for file in files) < 1_000_000


@pytest.mark.parametrize("name", ["mnist", "tiny"])
def test_digests(name: str, mnist_tar: Path, mnist_arrays: Arrays) -> None:
    splits = published_mirrors(name, data_dir=str(mnist_tar) if name == "mnist" else None).locate()
    for split, count in zip(SPLITS, COUNTS[name], strict=False):
        for member, array in zip(splits[split][:2], mnist_arrays[split], strict=True):
            assert member.content_sha256
            for known in (member, member._replace(sha256="")):
                verify_member(known)
            with open_member(member) as stream:
                assert (from_idx(stream.readall()) == array[:count]).all()


@pytest.mark.parametrize("name", COUNTS)
def test_every_dataset_is_a_config(name: str) -> None:
    known = DATASETS[name]
    assert name in datasets.get_dataset_config_names("mnist_idx")
    info = datasets.get_dataset_config_info("mnist_idx", name)
    assert info.features["label"].names == list(known.class_names)
    counts = dict(zip(SPLITS, COUNTS[name], strict=False))
    assert {split: found.num_examples for split, found in info.splits.items()} == counts
    facts = (known.license, known.citation, known.homepage, known.description, known.sources[0].size, "1.0.0")
    assert facts == (
        info.license,
        info.citation,
        info.homepage,
        info.description,
        info.download_size,
        str(info.version),
    )
    details = info.features.get("label_details")
    assert details == (datasets.Sequence(datasets.Value("int64"), length=7) if name == "qmnist" else None)
