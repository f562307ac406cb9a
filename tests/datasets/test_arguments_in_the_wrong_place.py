"""Arrays where something else is expected are never printed, and the answer shows the order."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from mnist_idx import IdxError, load_dataset, write_idx

X = np.arange(30 * 28 * 28, dtype=np.uint8).reshape(30, 28, 28)
Y = np.arange(30)
WORKS = "expected write_idx(data, target). Images and labels are one tuple: "
WORKS += "write_idx((images, labels), target)."
# As a caller without a checker of types.
write: Any = write_idx
load: Any = load_dataset
SPLIT = Dataset.from_dict({"image": X.tolist(), "label": Y})


@pytest.mark.parametrize(
    ("call", "said"),
    [
        pytest.param(
            lambda: write("w1", (X, Y)), f"Found the path 'w1' before the data, {WORKS}", id="swap"
        ),
        pytest.param(lambda: write(Path("w1"), X.tolist()), WORKS, id="path and lists"),
        pytest.param(
            lambda: write(X, Y, "w1"),
            "Found write_idx(ndarray of the shape (30, 28, 28), ndarray of the shape (30,), 'w1'), "
            + WORKS,
            id="images, labels and target",
        ),
        pytest.param(lambda: write(X.tolist(), Y.tolist(), "w1"), WORKS, id="lists and target"),
        pytest.param(lambda: write(X, Y), WORKS, id="images and labels without a target"),
        pytest.param(lambda: write("w1", SPLIT), "Found the path 'w1'", id="path and a dataset"),
        pytest.param(
            lambda: write((X, Y), "w1", size=X), "size=ndarray of the shape (30, 28, 28)", id="size"
        ),
        pytest.param(lambda: write((X, Y), X), "shape (30, 28, 28)", id="array as target"),
        pytest.param(lambda: load("mnist_idx", X.tolist()), "as the name of a config", id="config"),
        pytest.param(lambda: load("mnist_idx", "tiny", split=X.tolist()), "split=", id="split"),
    ],
)
def test_no_array_is_printed(call: Callable[[], object], said: str) -> None:
    with pytest.raises(IdxError) as caught:
        call()
    message = str(caught.value)
    assert said in message
    assert len(message) < 500
