"""What `mnist-idx preview` reads and keeps: the first images, all labels, and nothing."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import numpy as np
import pytest
from clients import run_client
from conftest import ARCHIVE, Arrays
from http_server import Server
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from PIL import Image
from sources import MortalServer, built_in_sources

from mnist_idx import contact_sheet
from mnist_idx.tools.cli import main
from mnist_idx.tools.preview import summarize

Capsys = pytest.CaptureFixture[str]
Serve = Callable[..., Server]
TRAIN = random_images(300, 9, 7), random_labels(300)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, classes=3)
MANY = random_images(20_000, 28, 28), random_labels(20_000)  # 16 MB
WIDTH = 80  # of a terminal that nobody sees


def counted(printed: str, split: str) -> dict[str, int]:
    """The records of each class, as they are printed below a split."""
    _, _, below = printed.partition(f"{split}: ")
    lines = re.match(r".*\n((?:  .*\n)*)", below)
    assert lines is not None
    pairs = re.findall(r"(\S+):\s+([\d,]*\d)", lines[1])
    return {name: int(count.replace(",", "")) for name, count in pairs}


def counts(labels: np.ndarray) -> dict[str, int]:
    """How many labels there are of each class that has some."""
    classes, numbers = np.unique(labels, return_counts=True)
    return dict(zip(map(str, classes.tolist()), numbers.tolist(), strict=True))


# What is printed


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def as_one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(10, dtype=np.uint8)[labels]


def with_details(labels: np.ndarray) -> np.ndarray:
    return np.column_stack([labels, np.arange(len(labels))]).astype(np.int32)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        pytest.param(*TRAIN, id="classes"),
        pytest.param(TRAIN[0], as_one_hot(TRAIN[1]), id="one-hot-labels"),
        pytest.param(TRAIN[0], with_details(TRAIN[1]), id="labels-of-two-parts"),
        pytest.param(TRAIN[0], None, id="no-labels"),
        pytest.param(random_images(4, 6, 5, 3), random_labels(4), id="few-records-in-color"),
        pytest.param(random_images(4, 1, 6, 5), random_labels(4), id="channels-first"),
        pytest.param(random_images(4, 6, 5).astype(np.int16), random_labels(4), id="wide-integers"),
    ],
)
def test_what_is_printed_is_that_of_the_prepared_dataset(
    images: np.ndarray, labels: np.ndarray | None, place: Path, capsys: Capsys
) -> None:
    files = {TRAIN_IMAGES: to_idx(images)}
    if labels is not None:
        files[TRAIN_LABELS] = to_idx(labels)
    write_archive(Path("set"), files)
    prepared = datasets.load_dataset("idxfolder", data_dir="set", as_array=True)
    assert main(["preview", "set"]) == 0
    expected = f"set (idxfolder): {summarize(prepared, WIDTH)}\n"
    assert capsys.readouterr().out == f"{expected}wrote set.png: the first records of train\n"


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("name", ["tiny", "subset", "mnist"])
def test_a_config_is_drawn_as_it_is_prepared(
    name: str, mnist_tar: Path, mirror: Callable[[Path], None], capsys: Capsys
) -> None:
    mirror(mnist_tar)
    prepared = datasets.load_dataset("mnist_idx", name)
    assert main(["preview", name, "--split", "test"]) == 0
    assert capsys.readouterr().out.startswith(f"{name} (mnist_idx): {summarize(prepared, WIDTH)}\n")
    with Image.open(f"{name}.png") as sheet:
        assert sheet.tobytes() == contact_sheet(prepared["test"]).tobytes()


@pytest.mark.usefixtures("place")
def test_text_has_the_names_of_classes(monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> None:
    from mnist_idx.catalog import DATASETS

    names = tuple(f"digit{number}" for number in range(10))
    monkeypatch.setitem(DATASETS, "tiny", DATASETS["tiny"]._replace(class_names=names))
    assert main(["preview", "tiny", "--num", "1", "--ascii"]) == 0
    assert "\n\ndigit5\n" in capsys.readouterr().out


# What is read


def test_a_local_preview_keeps_nothing(hf_home: Path, tmp_path: Path) -> None:
    path = write_archive(tmp_path / "set.tar", four_files(TRAIN, TEST))
    args = {
        "function": "mnist_idx.tools.cli:main",
        "arguments": [["preview", str(path)]],
        "options": {},
        "modules": ["datasets"],
    }
    answer = run_client("use_local_files", home=hf_home, args=args, cwd=tmp_path).result
    assert answer == {"result": 0, "imported": []}
    assert list(hf_home.rglob("*")) == []


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_of_a_remote_set_the_first_images_are_fetched_and_kept_nowhere(
    serve: Serve, hf_home: Path, tmp_path: Path
) -> None:
    images, labels = map(to_idx, MANY)
    server = serve({"/set.tar": make_tar({TRAIN_IMAGES: images, TRAIN_LABELS: labels})})
    url = server.url("/set.tar")
    args = {
        "function": "mnist_idx.tools.cli:main",
        "arguments": [["preview", url, "--output", "set.png"]],
        "options": {},
        "modules": [],
    }
    answer = run_client("use_local_files", home=hf_home, args=args, cwd=tmp_path).result
    assert answer["result"] == 0
    assert server.sent() < len(images) / 10
    with Image.open(tmp_path / "set.png") as sheet:
        assert sheet.tobytes() == contact_sheet(*MANY, num=25).tobytes()
    written = [path for path in files_below(hf_home) if path.stat().st_size > 0]
    assert written == []


# Sources that fail


@pytest.mark.usefixtures("place")
def test_an_earlier_download_is_drawn_without_network(serve: Serve, capsys: Capsys) -> None:
    server = serve({"/set.tar": make_tar(four_files(TRAIN, TEST))})
    url = server.url("/set.tar")
    datasets.load_dataset("idxfolder", data_dir=url)
    server.behave(status=404)
    assert main(["preview", url]) == 0
    assert counted(capsys.readouterr().out, "train") == counts(TRAIN[1])


@pytest.fixture
def mirrored(mnist_tar: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MortalServer]:
    """A mirror of MNIST that may go away. The built-in sources have it, too."""
    with contextlib.ExitStack() as stack:
        built_in = stack.enter_context(MortalServer({ARCHIVE: mnist_tar}))
        stack.enter_context(built_in_sources(built_in))
        server = stack.enter_context(MortalServer({ARCHIVE: mnist_tar}))
        monkeypatch.setenv("MNIST_IDX_MIRROR", server.url(ARCHIVE))
        yield server


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("lifetime", [0, 20_000, 40_000, 80_000, 110_000])
def test_labels_are_counted_once_where_a_source_goes_away(
    lifetime: int, mirrored: MortalServer, mnist_arrays: Arrays, capsys: Capsys
) -> None:
    mirrored.die_after(ARCHIVE, lifetime)
    assert main(["preview", "mnist"]) == 0
    printed = capsys.readouterr().out
    mirrored.settle()
    assert mirrored.is_dead(ARCHIVE)
    assert counted(printed, "train") == counts(mnist_arrays["train"][1])
    assert counted(printed, "test") == counts(mnist_arrays["test"][1])
