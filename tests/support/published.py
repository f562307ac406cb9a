"""The published datasets, from the publication of each, not from the code."""

import pytest

# Name of the config, records of each split, classes. `subset` is chosen from the files of `mnist`.
PUBLISHED = [
    pytest.param("mnist", {"train": 60_000, "test": 10_000}, 10, id="mnist"),
    pytest.param("tiny", {"train": 1_000, "test": 200}, 10, id="tiny"),
    pytest.param("fashion_mnist", {"train": 60_000, "test": 10_000}, 10, id="fashion_mnist"),
    pytest.param("kmnist", {"train": 60_000, "test": 10_000}, 10, id="kmnist"),
    pytest.param("qmnist", {"train": 60_000, "test": 60_000}, 10, id="qmnist"),
    pytest.param("qmnist_nist", {"train": 402_953}, 10, id="qmnist_nist"),
    pytest.param("emnist_byclass", {"train": 697_932, "test": 116_323}, 62, id="emnist_byclass"),
    pytest.param("emnist_bymerge", {"train": 697_932, "test": 116_323}, 47, id="emnist_bymerge"),
    pytest.param("emnist_balanced", {"train": 112_800, "test": 18_800}, 47, id="emnist_balanced"),
    pytest.param("emnist_letters", {"train": 124_800, "test": 20_800}, 26, id="emnist_letters"),
    pytest.param("emnist_digits", {"train": 240_000, "test": 40_000}, 10, id="emnist_digits"),
    pytest.param("emnist_mnist", {"train": 60_000, "test": 10_000}, 10, id="emnist_mnist"),
]
