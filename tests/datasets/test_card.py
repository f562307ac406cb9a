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
from clients import ROOT, digest_arrays, run_snippet
from conftest import Arrays

from mnist_idx import MnistIdx, export
from mnist_idx.catalog import MNIST, File

CONFIGS = ("mnist", "subset", "tiny")
_, HEAD, PROSE = (ROOT / "dataset_card.md").read_text(encoding="utf-8").split("---\n", 2)
COUNT, SHA256 = r"[\d,]+", "`[0-9a-f]{64}`"


def number(text: str) -> int:
    return int(text.replace(",", ""))


def rows(*cells: str) -> list[tuple[str, ...]]:
    """The rows of a table of the card that match a pattern for each cell."""
    pattern = r"^\| " + r" \| ".join(f"({cell})" for cell in cells) + r" \|$"
    found = re.findall(pattern, PROSE, re.MULTILINE)
    return [tuple(cell.strip("`") for cell in row) for row in found]


def test_metadata() -> None:
    metadata = yaml.safe_load(HEAD)
    assert metadata["license"] == MNIST.license
    assert (metadata["task_categories"], metadata["size_categories"]) == (
        ["image-classification"],
        ["10K<n<100K"],
    )
    assert {"pretty_name", "task_ids", "annotations_creators", "source_datasets", "tags"} <= set(
        metadata
    )


def test_tables(real_arrays: Arrays) -> None:
    infos = {name: MnistIdx(config_name=name).info for name in CONFIGS}
    listed = {
        n.split("`")[0]: [*map(number, sizes)]
        for n, *sizes, _ in rows(r"`\w+`[^|]*", COUNT, COUNT, r"\D[^|]*")
    }
    sizes = {
        name: [split.num_examples for split in info.splits.values()] for name, info in infos.items()
    }
    assert list(listed.items()) == list(sizes.items())

    listed = {
        split: list(map(number, counts))
        for split, *counts in rows("`train`|`test`", COUNT, *[COUNT] * 10)
    }
    counted = {split: np.bincount(labels).tolist() for split, (_, labels) in real_arrays.items()}
    assert listed == {
        split: [MNIST.splits[split].num_records, *counts] for split, counts in counted.items()
    }

    features = {
        name: kind for name, kind, _ in rows("`image`|`label`", "`Image`|`ClassLabel`", ".*?")
    }
    assert features == {
        name: type(feature).__name__ for name, feature in infos["mnist"].features.items()
    }
    assert dict(rows("`train`|`test`", SHA256)) == {
        s: digest_arrays(*arrays)[1] for s, arrays in real_arrays.items()
    }


def test_digests_of_the_files(real_files: dict[str, bytes]) -> None:
    files = {
        file.name: file for split in MNIST.splits.values() for file in (split.images, split.labels)
    }
    listed = rows(r"`[\w-]+`", COUNT, SHA256, COUNT, SHA256)
    assert [name for name, *_ in listed] == list(files)
    for name, size, sha256, content_size, content_sha256 in listed:
        assert files[name] == File(name, number(size), sha256, content_sha256)
        stored = real_files[f"data/{name}.gz"]
        contents = stored, gzip.decompress(stored)
        assert [*map(len, contents)] == [number(size), number(content_size)]
        assert [hashlib.sha256(content).hexdigest() for content in contents] == [
            sha256,
            content_sha256,
        ]


def test_facts_about_pixels(real_arrays: Arrays) -> None:
    images, labels = real_arrays["train"]
    facts = re.findall(r"mean\s+(0\.\d+)\s+and\s+the\s+standard\s+deviation\s+(0\.\d+)", PROSE)
    assert facts == [(f"{images.mean() / 255:.4f}", f"{images.std() / 255:.4f}")]
    every = np.concatenate([images, real_arrays["test"][0]])
    assert len({image.tobytes() for image in every}) == len(every), (
        "the card says that no two are the same"
    )
    drawn = [
        "".join(" .:-=+*#%@"[pixel // 26] for pixel in row).rstrip() for row in images[0].tolist()
    ]
    (shown,) = re.findall(r"```text\n(.*?)\n```", PROSE, re.DOTALL)
    assert shown.split("\n") == [line for line in drawn if line]
    assert f"'label': {labels[0]}}}" in PROSE


def test_citation_and_links() -> None:
    fields = re.compile(r"(\w+)\s*=\s*\{((?:[^{}]|\{[^}]*\})*)\}")
    cited = dict(fields.findall(MNIST.citation))
    assert cited and cited.items() <= dict(fields.findall(PROSE.split("@misc")[0])).items()
    assert MNIST.homepage in PROSE
    titles = re.findall(r"^#+ (.*)$", PROSE, re.MULTILINE)
    anchors = {"#" + re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    local = {
        target for target in re.findall(r"\]\((.*?)\)", PROSE) if not target.startswith("https://")
    }
    assert [target for target in local - anchors if not (ROOT / target).is_file()] == []


@pytest.mark.slow
def test_its_code_runs(
    tmp_path: Path, hf_home: Path, real_tar: Path, mirror: Callable[[Any], None]
) -> None:
    """On the published files, without this package. What it prints is what the card says."""
    mirror(real_tar)
    folder = export(tmp_path / "digits", CONFIGS)
    programs = [
        block for block in re.findall(r"```python\n(.*?)```", PROSE, re.DOTALL) if "import" in block
    ]
    assert len(programs) >= 3
    code = "\n".join(programs).replace("user/mnist_idx", str(folder))
    code += "\nresult = [str(digits['train'][0]), subset.to_dict() == small['train'].to_dict()]"
    outcome = run_snippet(code, home=hf_home, installed=True)
    first, same_subset = outcome.result
    assert same_subset and re.sub(r" at 0x[0-9A-F]+", "", first) in PROSE
    assert f"| `test` | `{outcome.stdout.split()[-1]}` |" in PROSE
