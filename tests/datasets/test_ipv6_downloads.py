"""`datasets` cannot download from an IPv6 address: the error says so, and what works."""

from pathlib import Path

import datasets
import pytest

import mnist_idx


def test_an_ipv6_address_is_refused_with_a_way_out(tmp_path: Path) -> None:
    url = "http://[::1]:1/set.tar"
    with pytest.raises(mnist_idx.IdxError, match=r"IPv6 address.*streaming=True"):
        datasets.load_dataset("idxfolder", data_dir=url, cache_dir=str(tmp_path))
