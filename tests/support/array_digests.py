"""Arrays as JSON takes them from one process to another."""

import hashlib
from typing import Any

import numpy as np


def digest_array(array: np.ndarray | None) -> list[Any] | None:
    """What tells an array from others: type, shape and SHA-256."""
    if array is None:
        return None
    content = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return [str(array.dtype), list(array.shape), content]
