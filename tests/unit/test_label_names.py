"""Which values `label_names=` may have."""

from typing import Any

import numpy as np
import pytest

from mnist_idx import IdxError, IdxFolderConfig
from mnist_idx.options import check_options


@pytest.mark.parametrize(
    "names",
    [
        pytest.param(None, id="none"),
        pytest.param(["cat"], id="one"),
        pytest.param(["cat", "dog", "cow"], id="several"),
        pytest.param(("cat", "dog"), id="tuple"),
        pytest.param(np.array(["cat", "dog"]), id="array"),
    ],
)
def test_names_that_label_names_takes(names: Any) -> None:
    check_options(IdxFolderConfig(label_names=names))


@pytest.mark.parametrize(
    "names",
    [
        pytest.param([], id="none-at-all"),
        pytest.param(np.array([], dtype=str), id="empty-array"),
        pytest.param("cat", id="string"),
        pytest.param({"cat", "dog"}, id="set-without-an-order"),
        pytest.param(["cat", "dog", "cat"], id="twice"),
        pytest.param(["cat", 3], id="number"),
        pytest.param(7, id="no-list"),
    ],
)
def test_names_that_label_names_refuses(names: Any) -> None:
    with pytest.raises(IdxError, match="label_names"):
        check_options(IdxFolderConfig(label_names=names))
