"""`mnist-idx convert` shows how far it is, where somebody can see it."""

import io
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import random_images
from pictures import pictures

from mnist_idx import write_idx
from mnist_idx.tools.cli import main

SWITCH = "HF_DATASETS_DISABLE_PROGRESS_BARS"
IMAGES = random_images(30, 4, 4)


class Screen(io.StringIO):
    """A stderr that may be a terminal."""

    def __init__(self, is_terminal: bool) -> None:
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.delenv(SWITCH, raising=False)
    return Screen(is_terminal=True)


def convert(folder: Path, screen: Screen) -> None:
    np.savez(folder / "set.npz", x_train=IMAGES, x_test=IMAGES[:12])
    with redirect_stderr(screen):
        assert main(["convert", str(folder / "set.npz"), str(folder / "idx")]) == 0


def test_convert_counts_the_records_of_all_splits(terminal: Screen, tmp_path: Path) -> None:
    convert(tmp_path, terminal)
    assert "42/42" in terminal.getvalue()


def test_no_bar_is_shown_if_bars_are_switched_off(
    terminal: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(SWITCH, "1")
    convert(tmp_path, terminal)
    assert terminal.getvalue() == ""


@pytest.mark.usefixtures("terminal")
def test_no_bar_is_shown_where_stderr_is_no_terminal(tmp_path: Path) -> None:
    file = Screen(is_terminal=False)
    convert(tmp_path, file)
    assert file.getvalue() == ""


def test_write_idx_shows_no_bar_unless_asked(terminal: Screen, tmp_path: Path) -> None:
    with redirect_stderr(terminal):
        write_idx(pictures(IMAGES), tmp_path / "quiet")
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        pytest.param(pictures(IMAGES), "30/30", id="dataset"),
        pytest.param(pictures(IMAGES).to_iterable_dataset(), "30 records", id="stream"),
        pytest.param((IMAGES, None), "30/30", id="arrays"),
    ],
)
def test_write_idx_shows_a_bar_if_asked(
    source: Any, shown: str, terminal: Screen, tmp_path: Path
) -> None:
    with redirect_stderr(terminal):
        write_idx(source, tmp_path / "shown", progress=True)
    assert shown in terminal.getvalue()
