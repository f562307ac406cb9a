"""What is known about the published datasets is well-formed and consistent."""

from __future__ import annotations

import datasets
import pytest
from idx_files import from_idx

import mnist_idx
from mnist_idx.catalog import DATASETS, File
from mnist_idx.mnist_idx import MnistIdx
from mnist_idx.storage import open_member, verify_member

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
LABELS = {"qmnist": "labels-idx2-int"}
PREFIXES = {"qmnist": ("qmnist-train", "qmnist-test")} | {
    name: (f"emnist-{name[7:]}-train", f"emnist-{name[7:]}-test") for name in EMNIST
}


def files_of(name: str) -> list[File]:
    return [file for split in DATASETS[name].splits.values() for file in (split.images, split.labels)]


@pytest.mark.parametrize("name", COUNTS)
def test_facts(name: str) -> None:
    known = DATASETS[name]
    train, test, classes = COUNTS[name]
    assert {split: found.num_records for split, found in known.splits.items()} == {"train": train, "test": test}
    assert len(known.class_names) - known.class_names.count("N/A") == classes
    assert len(set(known.class_names)) == len(known.class_names)
    assert known.description
    assert known.license
    assert known.citation.startswith("@")
    assert known.citation.count("{") == known.citation.count("}")
    assert known.label_parts == (8 if name == "qmnist" else 1)
    assert known.transposed == (name in EMNIST)
    roles = ("images-idx3-ubyte", LABELS.get(name, "labels-idx1-ubyte"))
    names = [f"{prefix}-{role}" for prefix in PREFIXES.get(name, ("train", "t10k")) for role in roles]
    assert [file.name for file in files_of(name)] == names
    for file, records in zip(files_of(name), (train, train, test, test), strict=True):
        assert {len(bytes.fromhex(digest)) for digest in (file.sha256, file.content_sha256)} <= {32, 0}
        assert file.sha256
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


def test_the_miniature_is_the_start_of_mnist(mnist_arrays: dict) -> None:
    splits = MnistIdx(config_name="tiny")._mirrors().locate()
    for split, files in splits.items():
        for member, array in zip(files[:2], mnist_arrays[split], strict=True):
            assert member.content_sha256
            for known in (member, member._replace(sha256="")):
                verify_member(known)
            with open_member(member) as stream:
                content = stream.readall()
            assert (from_idx(content) == array[: COUNTS["tiny"][split == "test"]]).all()


@pytest.mark.parametrize("name", COUNTS)
def test_every_dataset_is_a_config(name: str) -> None:
    known = DATASETS[name]
    assert name in datasets.get_dataset_config_names("mnist_idx")
    info = datasets.get_dataset_config_info("mnist_idx", name)
    assert info.features["label"].names == list(known.class_names)
    counts = dict(zip(("train", "test"), COUNTS[name], strict=False))
    assert {split: found.num_examples for split, found in info.splits.items()} == counts
    assert (info.license, info.citation, info.homepage) == (known.license, known.citation, known.homepage)
    assert info.description == known.description
    assert info.download_size == known.sources[0].size
    details = info.features.get("label_details")
    assert details == (datasets.Sequence(datasets.Value("int64"), length=7) if name == "qmnist" else None)
    assert str(info.version) == "1.0.0"
    assert mnist_idx.__version__ >= "2"
