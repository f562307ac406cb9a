"""What is no array of numbers is not written, and the error names the record."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Value

from mnist_idx import IdxError, write_idx

WHOLE = [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param([[1, 2], [3]], id="lists-of-different-lengths"),
        pytest.param([[1, 2], [3, None]], id="pixel-that-is-missing"),
    ],
)
def test_images_that_are_no_arrays_are_refused(image: Any, tmp_path: Path) -> None:
    features = Features({"image": [[Value("int32")]]})
    rows = Dataset.from_dict({"image": [WHOLE, image]}, features=features)
    with pytest.raises(IdxError, match=r"record 1 is no array"):
        write_idx(rows, tmp_path / "out", image_column="image")
    assert not (tmp_path / "out").exists()
