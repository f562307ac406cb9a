"""What a program imports: whoever has arrays and local files does not wait for `datasets`."""

from pathlib import Path

import pytest
from clients import run_client

SLOW = ("datasets", "pyarrow", "aiohttp", "fsspec", "pandas", "torch")  # to import


@pytest.mark.parametrize(
    "use",
    [
        pytest.param("write", id="write_idx of arrays"),
        pytest.param("draw", id="contact_sheet of arrays"),
    ],
)
def test_a_program_without_datasets_does_not_import_it(use: str, hf_home: Path) -> None:
    args = {"use": use, "modules": SLOW}
    assert run_client("use_arrays", home=hf_home, args=args).result == []
