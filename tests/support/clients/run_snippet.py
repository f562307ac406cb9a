"""Run a few lines of Python as a program of their own."""

from typing import Any


def main(code: str) -> Any:
    """What they call `result` in the end, None if they don't."""
    namespace = {"__name__": "__main__"}
    exec(code, namespace)
    return namespace.get("result")
