"""What is known about the published datasets is well-formed and consistent."""

import datasets
import pytest
from conftest import Arrays
from idx_files import from_idx

import mnist_idx.mirrors
from mnist_idx import IdxError, load_arrays
from mnist_idx.catalog import DATASETS, File, PublishedDataset
from mnist_idx.fetching import InPlace
from mnist_idx.members import Access, open_member, verify_member
from mnist_idx.mirrors import published_mirrors
from mnist_idx.tools.cli import main

EMNIST = [name for name in DATASETS if name.startswith("emnist")]
# From the publications of each: records of each split, and classes.
COUNTS = {
    "mnist": ({"train": 60_000, "test": 10_000}, 10),
    "tiny": ({"train": 1_000, "test": 200}, 10),
    "fashion_mnist": ({"train": 60_000, "test": 10_000}, 10),
    "kmnist": ({"train": 60_000, "test": 10_000}, 10),
    "qmnist": ({"train": 60_000, "test": 60_000}, 10),
    "qmnist_nist": ({"train": 402_953}, 10),
    "emnist_byclass": ({"train": 697_932, "test": 116_323}, 62),
    "emnist_bymerge": ({"train": 697_932, "test": 116_323}, 47),
    "emnist_balanced": ({"train": 112_800, "test": 18_800}, 47),
    "emnist_letters": ({"train": 124_800, "test": 20_800}, 26),
    "emnist_digits": ({"train": 240_000, "test": 40_000}, 10),
    "emnist_mnist": ({"train": 60_000, "test": 10_000}, 10),
}


def files_of(name: str) -> list[File]:
    return [
        file for split in DATASETS[name].splits.values() for file in (split.images, split.labels)
    ]


def names_of(name: str) -> list[str]:
    """The names of the published files, images and labels of each split."""
    if name == "qmnist_nist":
        return ["xnist-images-idx3-ubyte.xz", "xnist-labels-idx2-int.xz"]
    labels = "labels-idx2-int" if name == "qmnist" else "labels-idx1-ubyte"
    if name == "qmnist" or name in EMNIST:
        stems = [f"{name.replace('_', '-')}-{split}" for split in ("train", "test")]
    else:
        stems = ["train", "t10k"]
    return [f"{stem}-{role}.gz" for stem in stems for role in ("images-idx3-ubyte", labels)]


def digests_of(file: File) -> list[str]:
    return [digest for digest in (file.sha256, file.content_sha256) if digest is not None]


@pytest.mark.parametrize("name", COUNTS)
def test_facts(name: str) -> None:
    known, (counts, classes) = DATASETS[name], COUNTS[name]
    assert {split: found.num_records for split, found in known.splits.items()} == counts
    assert len(set(known.class_names) - {"N/A"}) == classes
    assert known.citation.startswith("@")
    assert known.citation.count("{") == known.citation.count("}")
    assert [file.name + file.suffix for file in files_of(name)] == names_of(name)
    for split in known.splits.values():
        for file in (split.images, split.labels):
            assert {len(bytes.fromhex(digest)) for digest in digests_of(file)} == {32}
        # Labels are compressed to at most 8 bytes each, images to more than that.
        assert split.num_records // 200 < split.labels.size < 10 * split.num_records
        assert split.images.size > 100 * split.num_records


def test_digests_differ_and_one_archive_holds_all_of_emnist() -> None:
    assert {*DATASETS} - {"subset"} == {*COUNTS}
    digests = [digest for name in COUNTS for file in files_of(name) for digest in digests_of(file)]
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


def test_images_have_the_shape_of_the_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "kmnist", DATASETS["kmnist"]._replace(shape=(5, 7)))
    builder = datasets.load_dataset_builder("mnist_idx", "kmnist", as_array=True)
    assert builder.info.features["image"].shape == (5, 7)


def test_tiny_has_the_first_records_of_mnist(real_arrays: Arrays) -> None:
    for split, files in published_mirrors("tiny", Access()).locate(InPlace()).splits.items():
        for member, array in zip((files.images, files.labels), real_arrays[split], strict=True):
            verify_member(member._replace(sha256=None), Access())  # the digest of the content
            with open_member(member, Access()) as stream:
                assert (from_idx(stream.readall()) == array[: files.num_records]).all()


def test_a_script_that_runs_from_a_copy_reads_the_data_of_the_original(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (
        published_mirrors("tiny", Access(), base_path="/script").sources
        == published_mirrors("tiny", Access()).sources
    )
    monkeypatch.setattr(mnist_idx.mirrors, "__file__", "/copy/mirrors.py")
    for base_path in ("/script", "https://host/script"):
        assert published_mirrors("tiny", Access(), base_path=base_path).sources == [
            (f"{base_path}/data/mnist_tiny.tar", "://" in base_path)
        ]
    assert published_mirrors("tiny", Access()).sources == [("/copy/data/mnist_tiny.tar", False)]


@pytest.mark.parametrize("source", ["qmnist_nist", "tiny"])
def test_a_split_that_a_dataset_lacks_is_refused(
    source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = " or ".join(DATASETS[source].splits)
    assert main(["preview", source, "--split", "extra"]) == 1
    assert f"--split extra: expected {expected}." in capsys.readouterr().err
    quoted = ", ".join(map(repr, DATASETS[source].splits))
    with pytest.raises(IdxError, match=f"split='extra': expected one of {quoted}, "):
        load_arrays("mnist_idx", source, split="extra")


@pytest.mark.parametrize("name", COUNTS)
def test_every_dataset_is_a_config(name: str) -> None:
    known, (counts, _) = DATASETS[name], COUNTS[name]
    assert name in datasets.get_dataset_config_names("mnist_idx")
    info = datasets.get_dataset_config_info("mnist_idx", name)
    assert (str(info.version), info.features["label"].names) == ("1.0.0", list(known.class_names))
    assert {split: found.num_examples for split, found in info.splits.items()} == counts
    for fact in ("license", "citation", "homepage", "description"):
        assert getattr(info, fact) == getattr(known, fact) != ""
    has_details = known.family == "qmnist"
    details = datasets.Sequence(datasets.Value("int64"), length=7) if has_details else None
    assert info.features.get("label_details") == details
