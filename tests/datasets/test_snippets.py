"""The snippets of the README keep what they are given, pasted as they are."""

import re
from pathlib import Path

import numpy as np
import pytest
from clients import ROOT
from idx_files import TRAIN_IMAGES, TRAIN_LABELS, random_images, to_idx, write_archive

README = (ROOT / "README.md").read_text(encoding="utf-8")
LOADED = 'ds = load_dataset("mnist_idx", split="train", as_array=True)'
CASTS = re.compile(r'with_format\("(?:torch|numpy)", dtype')


def snippet() -> list[str]:
    """The lines from the one that loads to the one that takes the labels."""
    lines = README.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(LOADED))
    stop = next(
        number
        for number, line in enumerate(lines)
        if line.startswith("stream = load_da") and number > start
    )
    return lines[start:stop]


def test_no_snippet_casts_all_columns_at_the_end() -> None:
    """Labels would be cast, too: class 299 became 43."""
    assert [line for line in snippet() if CASTS.search(line) and "[:]" in line] == []


@pytest.mark.beyond
def test_the_snippet_after_map_keeps_label_299(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    import datasets

    images = random_images(300, 5, 4)
    labels = np.arange(300, dtype=np.int16)
    files = {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(labels)}
    folder = write_archive(tmp_path / "set", files)

    def load_dataset(path: str, **options: object) -> object:
        assert path == "mnist_idx"
        return datasets.load_dataset(
            "idxfolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache"), **options
        )

    namespace = {"load_dataset": load_dataset, "torch": torch}
    exec("\n".join(snippet()), namespace)
    assert namespace["labels"].tolist() == labels.tolist()
    assert namespace["images"].dtype == torch.uint8
    np.testing.assert_array_equal(namespace["images"].numpy(), 255 - images)
