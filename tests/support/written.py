"""What was written as IDX, read without the code of the package."""

import gzip
import tarfile
from pathlib import Path

import idx2numpy
import numpy as np
from idx_files import from_idx


def contents(target: Path) -> dict[str, bytes]:
    """File name without `.gz` -> decompressed content, of a folder or a tar."""
    if target.suffix == ".tar":
        with tarfile.open(target) as tar:
            # type: ignore[union-attr]
            files = {Path(info.name).name: tar.extractfile(info).read() for info in tar}
    else:
        files = {path.name: path.read_bytes() for path in target.iterdir()}
    return {
        name.removesuffix(".gz"): gzip.decompress(d) if name.endswith(".gz") else d
        for name, d in files.items()
    }


def read(target: Path) -> dict[str, np.ndarray]:
    """File name without `.gz` -> array."""
    arrays = {}
    for name, content in contents(target).items():
        arrays[name] = from_idx(content)
        if arrays[name].size:  # idx2numpy cannot reshape what holds nothing
            again = idx2numpy.convert_from_string(content)
            assert again.dtype == arrays[name].dtype
            np.testing.assert_array_equal(again, arrays[name])
    return arrays
