"""The card says what is true: every number in it against the builder, and against the archive read
independently.
"""

import gzip
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from cards import parse_card
from clients import ROOT, digest_arrays
from conftest import Arrays

from mnist_idx import MnistIdx, export
from mnist_idx.catalog import MNIST, File

CONFIGS = ("mnist", "subset", "tiny")
_, HEAD, PROSE = (ROOT / "dataset_card.md").read_text(encoding="utf-8").split("---\n", 2)
COUNT, SHA256 = r"[\d,]+", "`[0-9a-f]{64}`"  # patterns of cells


def number(text: str) -> int:
    """The number in a cell, which has commas between thousands."""
    return int(text.replace(",", ""))


def rows(*cells: str) -> list[tuple[str, ...]]:
    """The rows of a table of the card that match a pattern for each cell."""
    pattern = r"^\| " + r" \| ".join(f"({cell})" for cell in cells) + r" \|$"
    found = re.findall(pattern, PROSE, re.MULTILINE)
    return [tuple(cell.strip("`") for cell in row) for row in found]


def test_the_metadata_are_those_of_the_dataset() -> None:
    metadata = yaml.safe_load(HEAD)
    assert metadata["license"] == MNIST.license
    assert metadata["task_categories"] == ["image-classification"]
    assert metadata["size_categories"] == ["10K<n<100K"]


@pytest.mark.parametrize(
    "name", ["pretty_name", "task_ids", "annotations_creators", "source_datasets", "tags"]
)
def test_the_metadata_have_what_the_hub_asks_for(name: str) -> None:
    assert name in yaml.safe_load(HEAD)


def test_the_table_of_configs_lists_them_with_their_records() -> None:
    listed = {}
    for cell, train, test, _ in rows(r"`\w+`[^|]*", COUNT, COUNT, r"\D[^|]*"):
        name, _, _ = cell.partition("`")  # without "(default)"
        listed[name] = [number(train), number(test)]
    found = {}
    for name in CONFIGS:
        splits = MnistIdx(config_name=name).info.splits
        found[name] = [split.num_examples for split in splits.values()]
    assert list(listed.items()) == list(found.items())


@pytest.mark.parametrize(("split", "column"), [("train", 1), ("test", 2)])
def test_the_table_of_classes_counts_the_records_of_each(
    split: str, column: int, real_arrays: Arrays
) -> None:
    listed = [[number(cell) for cell in row] for row in rows(r"\d", r"\d", *[COUNT] * 6)]
    _, labels = real_arrays[split]
    assert [row[0] for row in listed] == list(range(10))
    assert [row[1 + column] for row in listed] == np.bincount(labels).tolist()


@pytest.mark.parametrize("split", ["train", "test"])
def test_mean_and_deviation_are_right(split: str, real_arrays: Arrays) -> None:
    images, _ = real_arrays[split]
    ((count, mean, deviation),) = [
        row[2:]
        for row in rows("`mnist`", "`train`|`test`", COUNT, r"[\d.]+", r"[\d.]+")
        if row[1] == split
    ]
    assert number(count) == len(images)
    values = images / np.float32(255)
    assert (mean, deviation) == (f"{values.mean():.4f}", f"{values.std(dtype=np.float64):.4f}")


def test_the_table_of_features_is_that_of_the_builder() -> None:
    listed = {}
    for name, kind, _ in rows("`image`|`label`", "`Image`|`ClassLabel`", r"[^|]*"):
        listed[name] = kind
    features = MnistIdx(config_name="mnist").info.features
    assert listed == {name: type(feature).__name__ for name, feature in features.items()}


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_digest_of_the_records_is_right(split: str, real_arrays: Arrays) -> None:
    listed = {name: sha256 for _, name, sha256 in rows("`mnist`", "`train`|`test`", SHA256)}
    _, sha256 = digest_arrays(*real_arrays[split])
    assert listed[split] == sha256


def test_the_table_of_files_is_the_catalog() -> None:
    listed = []
    for name, size, sha256, content_sha256 in rows(r"`[\w-]+\.gz`", COUNT, SHA256, SHA256):
        listed.append(File(name.removesuffix(".gz"), number(size), sha256, content_sha256))
    files = []
    for split in MNIST.splits.values():
        files += [split.images, split.labels]
    assert listed == files


def test_sizes_and_digests_of_files_are_right(real_files: dict[str, bytes]) -> None:
    listed = rows(r"`[\w-]+\.gz`", COUNT, SHA256, SHA256)
    assert len(listed) == 4
    for name, size, sha256, content_sha256 in listed:
        stored = real_files[f"data/{name}"]
        assert number(size) == len(stored)
        assert sha256 == hashlib.sha256(stored).hexdigest()
        assert content_sha256 == hashlib.sha256(gzip.decompress(stored)).hexdigest()


def test_no_two_images_are_the_same(real_arrays: Arrays) -> None:
    """As the card says."""
    images = np.concatenate([real_arrays["train"][0], real_arrays["test"][0]])
    assert len({image.tobytes() for image in images}) == len(images)


def test_the_image_that_is_shown_is_the_first(real_arrays: Arrays) -> None:
    images, labels = real_arrays["train"]
    drawn = []
    for row in images[0].tolist():
        line = "".join(" .:-=+*#%@"[pixel // 26] for pixel in row).rstrip()
        if line:
            drawn.append(line)
    assert "```text\n" + "\n".join(drawn) + "\n```" in PROSE
    assert f"'label': {labels[0]}}}" in PROSE


def test_the_citation_is_that_of_the_catalog() -> None:
    field = re.compile(r"(\w+)\s*=\s*\{((?:[^{}]|\{[^}]*\})*)\}")
    cited = dict(field.findall(MNIST.citation))
    in_card = dict(field.findall(PROSE.split("@misc")[0]))
    assert cited
    assert {name: in_card.get(name) for name in cited} == cited
    assert MNIST.homepage in PROSE


def test_links_lead_to_titles_and_files() -> None:
    titles = re.findall(r"^#+ (.*)$", PROSE, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    missing = []
    for target in re.findall(r"\]\((.*?)\)", PROSE):
        is_there = target in anchors or (ROOT / target).is_file()
        if not target.startswith("https://") and not is_there:
            missing.append(target)
    assert missing == []


@pytest.mark.slow
def test_it_is_the_card_of_what_is_published(
    tmp_path: Path, real_tar: Path, mirror: Callable[[Any], None]
) -> None:
    """All but the picture and the places of programs, which are those of the repository.

    Where this fails because what cards say was changed, copy what the export has to
    `dataset_card.md`: its prose is what people write, all else is generated.
    """
    mirror(real_tar)
    folder = export(tmp_path / "digits", CONFIGS)
    card = parse_card((folder / "README.md").read_text(encoding="utf-8"))
    text = card.text.replace("preview.png", "mnist_idx/data/digits.png")
    text = text.replace(f'load_dataset("{folder}"', 'load_dataset("user/mnist_idx"')
    shown, _, _ = text.rpartition("\n<!--")
    assert shown == PROSE
    for name in ("configs", "dataset_info"):
        del card.metadata[name]
    assert card.metadata == yaml.safe_load(HEAD)
