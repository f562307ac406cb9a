"""The options of both builders: what is accepted, what is refused."""

import numpy as np
import pytest

from mnist_idx import IdxError, MnistIdxConfig, load_arrays


def test_what_is_accepted() -> None:
    MnistIdxConfig(num_samples=np.int64(5), seed=np.uint8(3)).validate()  # type: ignore[arg-type]
    lengths = [
        len(load_arrays("mnist_idx", "tiny", split="test", num_samples=n)[0])
        for n in (None, 1, 200, 1000)
    ]
    assert lengths == [200, 1, 200, 200]  # a split may have fewer, if another one has as many


def test_errors_say_what_was_found() -> None:
    for name, values, expected in (
        ("num_samples", (0, 1.0, True), "an integer, at least 1"),
        ("num_shards", (0, None), "an integer, at least 1"),
        ("seed", ("1",), "an integer"),
        ("sampling", ("last",), '"first" or "uniform"'),
        ("as_array", ("no",), "True or False"),
        ("transpose", (1,), "True or False"),
    ):
        for value in values:
            with pytest.raises(IdxError) as caught:
                MnistIdxConfig(**{name: value}).validate()  # type: ignore[arg-type]
            assert str(caught.value) == f"{name}={value!r}: expected {expected}."
    with pytest.raises(IdxError, match=r"num_samples=1001: .*train 1,000, test 200"):
        load_arrays("mnist_idx", "tiny", num_samples=1001)
