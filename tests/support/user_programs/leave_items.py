"""A program that ends while items are read ahead for it."""

import itertools
from collections.abc import Iterator

from mnist_idx.prefetch import prefetch


def read_items() -> Iterator[int]:
    try:
        yield from itertools.count()
    finally:
        print("closed")


if __name__ == "__main__":
    items = prefetch(read_items(), lambda item: 1)
    print(next(items), next(items))
