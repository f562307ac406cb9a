"""A program that says what Python tells it of itself. `mnist-idx run` runs it."""

import pickle
import sys


def double(number: int) -> int:
    return 2 * number


if __name__ == "__main__":
    print(sys.argv)
    print(sys.path[0])
    print(pickle.loads(pickle.dumps(double))(21))
