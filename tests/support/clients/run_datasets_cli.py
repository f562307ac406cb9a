"""Run a line of the command `datasets-cli`."""

import runpy
import sys


def main(line: list[str]) -> None:
    sys.argv = ["datasets-cli", *line]
    runpy.run_module("datasets.commands.datasets_cli", run_name="__main__")
