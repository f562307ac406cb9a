"""What a program imports: whoever has arrays and local files does not wait for `datasets`."""

from pathlib import Path

import pytest
from clients import run_client

SLOW = ("datasets", "pyarrow", "aiohttp", "fsspec", "pandas", "torch")  # to import

WRITE_ARRAYS = """
import numpy as np
import mnist_idx
images, labels = np.zeros((3, 4, 4), np.uint8), np.zeros(3, np.uint8)
mnist_idx.write_idx((images, labels), "folder")
mnist_idx.write_idx({"train": (images, labels), "test": images}, "set.tar", overwrite=True)
"""
DRAW_ARRAYS = """
import numpy as np
import mnist_idx
images, labels = np.zeros((3, 4, 4), np.uint8), [0, 1, 2]
mnist_idx.contact_sheet(images, labels).save("sheet.png")
mnist_idx.contact_sheet((images, labels), num=2)
"""

PROGRAMS = [
    pytest.param(WRITE_ARRAYS, id="write_idx of arrays"),
    pytest.param(DRAW_ARRAYS, id="contact_sheet of arrays"),
]
IMPORTED = """
result = [name for name in args["modules"] if name in sys.modules]
"""


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_without_datasets_does_not_import_it(program: str, hf_home: Path) -> None:
    assert run_client(program + IMPORTED, home=hf_home, args={"modules": SLOW}).result == []
