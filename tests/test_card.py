"""The card says what is true: every number in it against the builder, and against the archive read independently."""

from __future__ import annotations

import gzip
import hashlib
import re
from typing import Any

import numpy as np
import pytest
import yaml
from clients import ROOT, digest_arrays
from huggingface_hub import DatasetCard

from mnist_idx import MnistIdx
from mnist_idx.folder import CONFIGS, PREVIEW
from mnist_idx.sources import MNIST

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]

TEXT = (ROOT / "dataset_card.md").read_text(encoding="utf-8")
_, HEAD, PROSE = TEXT.split("---\n", 2)


def number(text: str) -> int:
    return int(text.replace(",", ""))


def rows(*cells: str) -> list[tuple[str, ...]]:
    """The rows of a table of the card, given a pattern for each cell."""
    pattern = r"^\| " + r" \| ".join(f"({cell})" for cell in cells) + r" \|$"
    return [match if isinstance(match, tuple) else (match,) for match in re.findall(pattern, PROSE, re.MULTILINE)]


@pytest.fixture(scope="module")
def counts(mnist_arrays: Arrays) -> dict[str, list[int]]:
    """Split -> how many records each class has."""
    return {split: np.bincount(labels, minlength=10).tolist() for split, (_, labels) in mnist_arrays.items()}


def test_metadata() -> None:
    metadata = yaml.safe_load(HEAD)
    wanted = {
        "pretty_name",
        "license",
        "task_categories",
        "task_ids",
        "size_categories",
        "annotations_creators",
        "source_datasets",
        "paperswithcode_id",
        "tags",
    }
    assert set(metadata) == wanted, "configs and dataset_info are added when it is published"
    assert metadata["license"] == MNIST.license
    assert metadata["task_categories"] == ["image-classification"]
    assert metadata["paperswithcode_id"] == "mnist"
    total = sum(split.num_records for split in MNIST.splits.values())
    assert metadata["size_categories"] == ["10K<n<100K"]
    assert 10_000 < total < 100_000
    assert DatasetCard(TEXT).data.to_dict() == metadata, "the Hub's own reader finds the same"


def test_configurations() -> None:
    listed = {
        name.split("`")[1]: {"train": number(train), "test": number(test)}
        for name, train, test, _ in rows(r"`\w+`[^|]*", r"[\d,]+", r"[\d,]+", r"[^\d|][^|]*")
    }
    assert tuple(listed) == CONFIGS
    for name, sizes in listed.items():
        splits = MnistIdx(config_name=name).info.splits
        assert {split: info.num_examples for split, info in splits.items()} == sizes
    assert f"`{MnistIdx.DEFAULT_CONFIG_NAME}` (the default)" in PROSE


def test_splits_and_classes(counts: dict[str, list[int]]) -> None:
    listed = {}
    for split, *cells in rows("`train`|`test`", r"[\d,]+", *[r"[\d,]+"] * 10):
        total, *classes = map(number, cells)
        assert sum(classes) == total == MNIST.splits[split.strip("`")].num_records
        listed[split.strip("`")] = classes
    assert listed == counts
    assert {int(np.argmax(found)) for found in counts.values()} == {1}
    assert {int(np.argmin(found)) for found in counts.values()} == {5}
    assert "`1` is the most frequent digit, `5` the rarest" in PROSE


def test_features() -> None:
    features = MnistIdx(config_name="mnist").info.features
    assert [name.strip("`") for name, kind, _ in rows("`image`|`label`", "`Image`|`ClassLabel`", ".*?")] == list(
        features
    )
    assert features["label"].names == list(MNIST.label_names) == [str(digit) for digit in range(10)]
    assert 'its names are `"0"` to `"9"`' in PROSE
    assert " \N{MULTIPLICATION SIGN} ".join(map(str, MNIST.record_shape)) + " pixels" in PROSE


def test_digests_of_the_files(mnist_files: dict[str, bytes]) -> None:
    digest = r"`[0-9a-f]{64}`"
    listed = {
        name.strip("`"): (number(packed_size), packed.strip("`"), number(size), unpacked.strip("`"))
        for name, packed_size, packed, size, unpacked in rows(r"`[\w-]+`", r"[\d,]+", digest, r"[\d,]+", digest)
    }
    files = {file.name: file for split in MNIST.splits.values() for file in (split.images, split.labels)}
    assert set(listed) == set(files)
    for name, (packed_size, packed, size, unpacked) in listed.items():
        file = files[name]
        assert (file.packed_size, file.packed, file.unpacked) == (packed_size, f"sha256:{packed}", f"sha256:{unpacked}")
        content = mnist_files[f"data/{name}.gz"]
        assert (len(content), hashlib.sha256(content).hexdigest()) == (packed_size, packed)
        content = gzip.decompress(content)
        assert (len(content), hashlib.sha256(content).hexdigest()) == (size, unpacked)


def test_digests_of_the_records(mnist_arrays: Arrays) -> None:
    listed = {split.strip("`"): digest.strip("`") for split, digest in rows("`train`|`test`", "`[0-9a-f]{64}`")}
    assert listed == {split: digest_arrays(*arrays)[1] for split, arrays in mnist_arrays.items()}


def test_facts_about_pixels(mnist_arrays: Arrays) -> None:
    images = mnist_arrays["train"][0]
    mean, deviation = re.findall(r"mean (0\.\d+) and the standard\s+deviation (0\.\d+)", PROSE)[0]
    assert (f"{images.mean() / 255:.4f}", f"{images.std() / 255:.4f}") == (mean, deviation)
    every = np.concatenate([images, mnist_arrays["test"][0]])
    assert len({image.tobytes() for image in every}) == len(every)
    assert "No two of the 70,000 images have the same pixels" in PROSE


def test_the_example_is_real(mnist_arrays: Arrays) -> None:
    images, labels = mnist_arrays["train"]
    shades = " .:-=+*#%@"
    drawn = ["".join(shades[pixel // 26] for pixel in row).rstrip() for row in images[0].tolist()]
    shown = re.findall(r"```text\n(.*?)\n```", PROSE, re.DOTALL)[0]
    assert shown.split("\n") == [line for line in drawn if line]
    assert f"'label': {labels[0]}}}" in PROSE


def test_the_subset() -> None:
    config: Any = MnistIdx.builder_configs["subset"]
    assert (config.num_samples, config.seed, config.sampling) == (100, 1, "first")
    assert "take the first 100 records and shuffle them with Python's generator, seeded with 1" in " ".join(
        PROSE.split()
    )
    assert "random.Random(1).shuffle(order)" in PROSE


def test_citation_and_licence() -> None:
    fields = re.compile(r"(\w+)\s*=\s*(\{.*\})")
    cited = dict(fields.findall(MNIST.citation))
    assert cited
    assert cited.items() <= dict(fields.findall(PROSE.split("@misc")[0])).items()
    assert MNIST.homepage in PROSE
    assert "Yann LeCun and Corinna Cortes hold the copyright" in PROSE
    assert "Creative Commons Attribution-Share Alike 3.0" in PROSE


def test_links() -> None:
    targets = re.findall(r"\]\((.*?)\)", PROSE)
    anchors = {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", PROSE, re.M)
    }
    local = [target for target in targets if not target.startswith("https://")]
    assert {target for target in local if not target.startswith("#")} == {PREVIEW}
    assert {target[1:] for target in local if target.startswith("#")} <= anchors
