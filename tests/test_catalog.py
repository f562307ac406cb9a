"""What is known about the published datasets is well-formed and consistent."""

import datasets
import pytest
from conftest import Arrays
from idx_files import from_idx

import mnist_idx.mnist_idx
from mnist_idx.catalog import DATASETS, File, PublishedDataset
from mnist_idx.mnist_idx import published_mirrors
from mnist_idx.storage import Access, open_member, verify_member

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


def files_of(name: str) -> list[File]:
    return [
        file for split in DATASETS[name].splits.values() for file in (split.images, split.labels)
    ]


@pytest.mark.parametrize("name", COUNTS)
def test_facts(name: str) -> None:
    known, files = DATASETS[name], files_of(name)
    train, test, classes = COUNTS[name]
    assert {split: found.num_records for split, found in known.splits.items()} == {
        "train": train,
        "test": test,
    }
    assert len(set(known.class_names) - {"N/A"}) == classes
    assert known.citation.startswith("@")
    assert known.citation.count("{") == known.citation.count("}")
    prefix, of_test = (
        (f"{name}-".replace("_", "-"), "test") if name in ("qmnist", *EMNIST) else ("", "t10k")
    )
    names = [
        f"{prefix}{split}-{role}"
        for split in ("train", of_test)
        for role in ("images-idx3", "labels-idx1")
    ]
    assert [file.name.replace("idx2-int", "idx1-ubyte") for file in files] == [
        f"{name}-ubyte" for name in names
    ]
    for file, records in zip(files, (train, train, test, test), strict=True):
        assert {len(bytes.fromhex(digest)) for digest in file[2:] if digest} == {32}
        # Labels are compressed to at most 8 bytes each, images to more than that.
        assert (
            records // 200 < file.size < 10 * records
            if "labels" in file.name
            else file.size > 100 * records
        )


def test_digests_differ_and_one_archive_holds_all_of_emnist() -> None:
    assert {*DATASETS} - {"subset"} == {*COUNTS}
    digests = [
        digest for name in COUNTS for file in files_of(name) for digest in file[2:] if digest
    ]
    assert len(set(digests)) == len(digests)
    files = {file for name in EMNIST for file in files_of(name)}
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


@pytest.mark.parametrize("name", COUNTS)
def test_images_have_the_shape_of_the_catalog(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, name, DATASETS[name]._replace(shape=(5, 7)))
    builder = datasets.load_dataset_builder("mnist_idx", name, as_array=True)
    assert builder.info.features["image"].shape == (5, 7)


def test_tiny_has_the_first_records_of_mnist(mnist_arrays: Arrays) -> None:
    for split, files in published_mirrors("tiny").locate().items():
        for member, array in zip((files.images, files.labels), mnist_arrays[split], strict=True):
            verify_member(member._replace(sha256=""), Access())  # the digest of the content
            with open_member(member, Access()) as stream:
                assert (from_idx(stream.readall()) == array[: files.num_records]).all()


def test_a_script_that_runs_from_a_copy_reads_the_data_of_the_original(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (
        published_mirrors("tiny", base_path="/script").sources == published_mirrors("tiny").sources
    )
    monkeypatch.setattr(mnist_idx.mnist_idx, "__file__", "/copy/mnist_idx.py")
    for base_path in ("/script", "https://host/script"):
        assert published_mirrors("tiny", base_path=base_path).sources == [
            (f"{base_path}/data/mnist_tiny.tar", "://" in base_path)
        ]
    assert published_mirrors("tiny").sources == [("/copy/data/mnist_tiny.tar", False)]


@pytest.mark.parametrize("name", COUNTS)
def test_every_dataset_is_a_config(name: str) -> None:
    known, (*counts, _) = DATASETS[name], COUNTS[name]
    assert name in datasets.get_dataset_config_names("mnist_idx")
    info = datasets.get_dataset_config_info("mnist_idx", name)
    assert (str(info.version), info.features["label"].names) == ("1.0.0", list(known.class_names))
    assert [info.splits[split].num_examples for split in ("train", "test")] == counts
    for fact in ("license", "citation", "homepage", "description"):
        assert getattr(info, fact) == getattr(known, fact) != ""
    details = datasets.Sequence(datasets.Value("int64"), length=7) if name == "qmnist" else None
    assert info.features.get("label_details") == details
