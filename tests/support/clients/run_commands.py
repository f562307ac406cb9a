"""Run lines of the command `mnist-idx`."""

from mnist_idx.tools import cli


def main(lines: list[list[str]]) -> list[int | str | None]:
    """The exit code of each."""
    codes: list[int | str | None] = []
    for line in lines:
        try:
            codes.append(cli.main(line))
        except SystemExit as error:
            codes.append(error.code)
    return codes
