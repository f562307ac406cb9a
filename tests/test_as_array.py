"""`as_array=True`: the image column holds arrays in place of PNG files; the same records in the same order.

By itself, the library's "numpy" format widens whole numbers to 64 bits and narrows real ones to 32: hence `dtype=`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT, digest_arrays, run_client
from datasets import load_dataset
from idx_files import random_images, to_idx

import mnist_idx  # noqa: F401  (makes the name known)

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]

LOAD = """
import datasets
from clients import digest_arrays
if int(datasets.__version__.partition(".")[0]) < 4:
    name, more = args["script"], {"trust_remote_code": True}
else:
    import mnist_idx
    name, more = "mnist_idx", {}
"""


@pytest.mark.compat
def test_the_whole(python: str, mnist_tar: Path, mnist_arrays: Arrays, hf_home: Path) -> None:
    code = """
result = {}
for split, rows in datasets.load_dataset(name, as_array=True, **more).items():
    batch = rows.with_format("numpy", dtype="uint8")[:]
    image = rows.features["image"]
    result[split] = [digest_arrays(batch["image"], batch["label"]), str(batch["image"].dtype),
                     type(image).__name__, list(image.shape), image.dtype, rows.features["label"].names]
"""
    answer = run_client(
        LOAD + code,
        python=python,
        home=hf_home,
        args={"script": str(ROOT / "mnist_idx")},
        env={"MNIST_IDX_MIRROR": str(mnist_tar)},
    )
    names = [str(digit) for digit in range(10)]
    for split, arrays in mnist_arrays.items():
        assert answer.result[split] == [digest_arrays(*arrays), "uint8", "Array2D", [28, 28], "uint8", names]


@pytest.mark.compat
def test_a_stream(python: str, mnist_tar: Path, mnist_arrays: Arrays, hf_home: Path) -> None:
    code = """
import numpy as np
rows = datasets.load_dataset(name, split="test", streaming=True, as_array=True, **more)
batches = list(rows.with_format("numpy").iter(300))
result = [digest_arrays(np.concatenate([batch["image"] for batch in batches]),
                        np.concatenate([batch["label"] for batch in batches])),
          list(batches[0]["image"].shape), np.shape(next(iter(rows))["image"])]
"""
    answer = run_client(
        LOAD + code,
        python=python,
        home=hf_home,
        args={"script": str(ROOT / "mnist_idx")},
        env={"MNIST_IDX_MIRROR": str(mnist_tar)},
    )
    assert answer.result == [digest_arrays(*mnist_arrays["test"]), [300, 28, 28], [28, 28]]


@pytest.mark.parametrize("config", ["tiny", "subset"])
@pytest.mark.parametrize("streaming", [False, True])
def test_the_same_records_as_pictures(
    config: str, streaming: bool, mnist_tar: Path, mirror: Any, tmp_path: Path
) -> None:
    mirror(mnist_tar)
    options: dict[str, Any] = {"num_samples": 300, "seed": 2, "sampling": "uniform"} if config == "subset" else {}
    options |= {"split": "train", "streaming": streaming, "cache_dir": tmp_path}
    pictures = load_dataset("mnist_idx", config, **options)
    arrays = load_dataset("mnist_idx", config, as_array=True, **options)
    count = 0
    for picture, array in zip(pictures, arrays.with_format("numpy"), strict=True):
        assert np.array_equal(np.asarray(picture["image"]), array["image"])
        assert picture["label"] == array["label"]
        count += 1
    assert count == (300 if config == "subset" else 1000)


@pytest.mark.parametrize("shape", [(7, 9), (5, 4, 3), (3, 2, 5, 4)])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "float64"])
def test_other_shapes_and_types(shape: tuple[int, ...], dtype: str, tmp_path: Path) -> None:
    images = random_images(1_203, *shape).astype(dtype) * (1 if dtype == "uint8" else -1)
    (tmp_path / "train-images-idx3-ubyte").write_bytes(to_idx(images))
    data = load_dataset("mnist_idx", data_dir=str(tmp_path), split="train", as_array=True, cache_dir=tmp_path / "cache")
    found = data.with_format("numpy", dtype=dtype)[:]["image"]
    assert found.dtype == dtype
    assert np.array_equal(found, images)
