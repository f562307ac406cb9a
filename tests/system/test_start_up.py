"""What a program imports: whoever has arrays and local files does not wait for `datasets`."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_digests import digest_array
from clients import ROOT, run_client, run_snippet
from conftest import ARCHIVE, Arrays
from http_server import Server
from idx_files import (
    TEST_IMAGES,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    random_images,
    random_labels,
    write_archive,
)
from representatives import slow_but_first
from selections import selected
from stand_in import read_archive, to_arrays

from mnist_idx.tools.cli import COMMANDS

SLOW_IMPORTS = ("datasets", "pyarrow", "aiohttp", "fsspec", "pandas", "torch", "huggingface_hub")
SLOW = pytest.mark.slow
LOAD = "mnist_idx:load_arrays"
VERIFY = "mnist_idx.tools.verify:verify"
MAIN = "mnist_idx.tools.cli:main"
TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
FILES = four_files(TRAIN, TEST)
TINY_TAR = ROOT / "mnist_idx" / "data" / "mnist_tiny.tar"


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        pytest.param("write", id="write_idx of arrays"),
        pytest.param("draw", id="contact_sheet of arrays"),
    ],
)
def test_a_program_without_datasets_does_not_import_it(use: str, hf_home: Path) -> None:
    args = {"use": use, "modules": SLOW_IMPORTS}
    assert run_client("use_arrays", home=hf_home, args=args).result == []


def run(
    home: Path,
    function: str,
    arguments: list[Any],
    options: dict[str, Any] | None = None,
    sources: list[str] | None = None,
    **of_client: Any,
) -> tuple[Any, list[str]]:
    """What a function returns in a new process, and what it has imported."""
    args = {
        "function": function,
        "arguments": arguments,
        "options": options or {},
        "modules": SLOW_IMPORTS,
        "sources": sources,
    }
    answer = run_client("use_local_files", home=home, args=args, **of_client).result
    return answer["result"], answer["imported"]


def digests(*arrays: np.ndarray | None) -> list[Any]:
    return [digest_array(array) for array in arrays]


def joined(*parts: tuple[np.ndarray, np.ndarray]) -> list[Any]:
    images, labels = zip(*parts, strict=True)
    return digests(np.concatenate(images), np.concatenate(labels))


Options = Callable[[Path], dict[str, Any]]


def place(name: str, **options: Any) -> Options:
    """Write the files in one of the forms. Returns what does it, and names their place."""

    def write(folder: Path) -> dict[str, Any]:
        return {"data_dir": str(write_archive(folder / name, FILES)), **options}

    return write


def single_files(data_files: Any, **options: Any) -> Options:
    """Write the files into the working folder. Returns what does it, and names them."""

    def write(folder: Path) -> dict[str, Any]:
        write_archive(folder, FILES)
        return {"data_files": data_files, **options}

    return write


ALL_TRAIN, ALL_TEST = digests(*TRAIN), digests(*TEST)
PARTS = joined((TEST[0][:3], TEST[1][:3]), TRAIN)
SELECTION = {"num_samples": 20, "seed": 3}
SELECTED = selected(70, **SELECTION)
OPTIONS = {"transpose": True, "label_names": list("abcdefghij"), "prefix": "", "num_shards": 2}
BOTH_SPLITS = {"train": "train-*", "test": "t10k-*"}
ONLY_IMAGES = digests(TRAIN[0], None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param(place("folder"), ALL_TRAIN, id="folder"),
        pytest.param(place("set.tar"), ALL_TRAIN, id="tar", marks=SLOW),
        pytest.param(place("set.tar.gz"), ALL_TRAIN, id="tar.gz", marks=SLOW),
        pytest.param(place("set.tar.xz"), ALL_TRAIN, id="tar.xz", marks=SLOW),
        pytest.param(place("deflated.zip"), ALL_TRAIN, id="zip", marks=SLOW),
        pytest.param(place("stored.zip", streaming=True), ALL_TRAIN, id="streamed", marks=SLOW),
        pytest.param(place("set.tar", split="test"), ALL_TEST, id="other-split", marks=SLOW),
        pytest.param(place("set.tar", split="test[:10%]+train"), PARTS, id="parts", marks=SLOW),
        pytest.param(
            place("set.tar", **SELECTION),
            digests(TRAIN[0][SELECTED], TRAIN[1][SELECTED]),
            id="selection",
            marks=SLOW,
        ),
        pytest.param(
            place("folder", **OPTIONS),
            digests(TRAIN[0].swapaxes(1, 2), TRAIN[1]),
            id="all-other-options",
            marks=SLOW,
        ),
        pytest.param(
            single_files({"train": [TRAIN_LABELS, TRAIN_IMAGES]}),
            ALL_TRAIN,
            id="dict-of-lists",
            marks=SLOW,
        ),
        pytest.param(
            single_files({"test": TEST_IMAGES}, split="test"),
            digests(TEST[0], None),
            id="dict",
            marks=SLOW,
        ),
        pytest.param(single_files([TRAIN_IMAGES, TRAIN_LABELS]), ALL_TRAIN, id="list", marks=SLOW),
        pytest.param(single_files(TRAIN_IMAGES), ONLY_IMAGES, id="name", marks=SLOW),
        pytest.param(single_files("train-*"), ALL_TRAIN, id="pattern", marks=SLOW),
        pytest.param(
            single_files(BOTH_SPLITS, split="test"),
            ALL_TEST,
            id="dict-of-patterns",
            marks=SLOW,
        ),
    ],
)
def test_own_local_files_are_loaded_without_datasets(
    options: Options, expected: list[Any], hf_home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    found = run(hf_home, LOAD, ["idxfolder"], options(folder), cwd=folder)
    assert found == (expected, [])


@pytest.mark.slow
def test_the_miniature_is_loaded_without_datasets(hf_home: Path) -> None:
    images, labels = to_arrays(read_archive(TINY_TAR))["train"]
    found = run(hf_home, LOAD, ["mnist_idx", "tiny"])
    assert found == (digests(images, labels), [])
    numbers = selected(1000, num_samples=50, seed=7, sampling="uniform")
    options = {"num_samples": 50, "seed": 7, "sampling": "uniform"}
    found = run(hf_home, LOAD, ["mnist_idx", "tiny"], options)
    assert found == (digests(images[numbers], labels[numbers]), [])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given_by", "streaming"),
    [
        pytest.param("variable", False, id="given-by-the-variable"),
        pytest.param("data_dir", False, id="given-as-data_dir", marks=SLOW),
        pytest.param("variable", True, id="streamed", marks=SLOW),
    ],
)
def test_a_local_copy_is_loaded_without_datasets(
    given_by: str, streaming: bool, hf_home: Path, mnist_tar: Path, mnist_arrays: Arrays
) -> None:
    env, options = {}, {"split": "test[:10%]+train", "streaming": streaming}
    if given_by == "variable":
        env["MNIST_IDX_MIRROR"] = str(mnist_tar)
    else:
        options["data_dir"] = str(mnist_tar)
    test_images, test_labels = mnist_arrays["test"]
    expected = joined((test_images[:1000], test_labels[:1000]), mnist_arrays["train"])
    assert run(hf_home, LOAD, ["mnist_idx"], options, env=env) == (expected, [])


@pytest.mark.slow
def test_a_subset_of_a_local_copy_is_loaded_without_datasets(
    hf_home: Path, mnist_tar: Path, mnist_arrays: Arrays
) -> None:
    images, labels = mnist_arrays["train"]
    numbers = selected(60_000, num_samples=100, seed=1)
    env = {"MNIST_IDX_MIRROR": str(mnist_tar)}
    found = run(hf_home, LOAD, ["mnist_idx", "subset"], env=env)
    assert found == (digests(images[numbers], labels[numbers]), [])


@pytest.mark.slow
@pytest.mark.parametrize("form", slow_but_first(["set.tar", "folder", "deflated.zip"]))
def test_local_files_are_verified_without_datasets(
    form: str, hf_home: Path, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / form, FILES)
    reports, imported = run(hf_home, VERIFY, [str(path)])
    assert imported == []
    assert reports == [
        ["train", "images", [70, 9, 7], ""],
        ["train", "labels", [70], ""],
        ["test", "images", [30, 9, 7], ""],
        ["test", "labels", [30], ""],
    ]


@pytest.mark.slow
def test_the_miniature_is_verified_without_datasets(hf_home: Path) -> None:
    reports, imported = run(hf_home, VERIFY, ["tiny"])
    assert imported == []
    assert [problem for *_, problem in reports] == [""] * 4
    assert run(hf_home, MAIN, [["verify", "tiny"]]) == (0, [])


@pytest.mark.parametrize(
    "command", slow_but_first(["", *(row.function.__name__ for row in COMMANDS)])
)
def test_help_comes_without_datasets(command: str, hf_home: Path) -> None:
    words = [command.replace("_", "-"), "--help"] if command else ["--help"]
    assert run(hf_home, MAIN, [words]) == (0, [])


def best_seconds(arguments: list[str]) -> float:
    """The shortest of ten runs of Python, each in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    taken = []
    for _ in range(10):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=env, check=True, stdout=subprocess.DEVNULL)
        taken.append(time.perf_counter() - start)
    return min(taken)


@pytest.mark.slow
@pytest.mark.measures
def test_help_comes_at_once() -> None:
    """It takes 0.07 seconds where Python itself takes 0.03, and `datasets` more than one."""
    assert best_seconds(["-m", "mnist_idx", "--help"]) < 6 * best_seconds(["-c", "pass"])


def damaged(path: Path, target: Path) -> Path:
    """A copy of an archive, with another byte in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    target.write_bytes(content)
    return target


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "streaming"),
    [
        pytest.param("damaged", False, id="damaged, downloaded"),
        pytest.param("missing", False, id="missing, downloaded"),
        pytest.param("other files", False, id="other files, downloaded"),
        # What is damaged shows at its end, where its records have been streamed.
        pytest.param("missing", True, id="missing, streamed"),
        pytest.param("other files", True, id="other files, streamed"),
    ],
)
def test_where_a_local_mirror_fails_the_published_files_are_fetched(
    fault: str,
    streaming: bool,
    hf_home: Path,
    tmp_path: Path,
    server: Server,
    mnist_tar: Path,
    mnist_arrays: Arrays,
) -> None:
    mirror = tmp_path / "mirror.tar"
    if fault == "damaged":
        damaged(mnist_tar, mirror)
    elif fault == "other files":
        write_archive(mirror, FILES)
    env = {"MNIST_IDX_MIRROR": str(mirror)}
    sources = [server.url(ARCHIVE)]
    options = {"streaming": streaming}
    found, imported = run(hf_home, LOAD, ["mnist_idx"], options, sources=sources, env=env)
    assert found == digests(*mnist_arrays["train"])
    assert "fsspec" in imported
    assert server.sent(ARCHIVE, "GET") > 9_000_000
    server.forget()
    found, _ = run(hf_home, LOAD, ["mnist_idx"], options, sources=sources, env=env)
    assert found == digests(*mnist_arrays["train"])
    assert (server.sent(ARCHIVE, "GET") == 0) != streaming, "a download is kept"


@pytest.mark.slow
def test_streams_do_not_import_scipy(tmp_path: Path) -> None:
    """As `datasets` does to patch a module of a builder. An empty one stands in for SciPy here."""
    (tmp_path / "site" / "scipy").mkdir(parents=True)
    (tmp_path / "site" / "scipy" / "__init__.py").touch()
    (tmp_path / "site" / "scipy" / "io.py").write_text("loadmat = None")
    data = write_archive(tmp_path / "set.tar", FILES)
    code = f"import sys\nsys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    code += "from mnist_idx import load_dataset\nresult = []\n"
    for name, options in (("mnist_idx", {"name": "tiny"}), ("idxfolder", {"data_dir": str(data)})):
        code += f"stream = load_dataset({name!r}, split='train', streaming=True, **{options!r})\n"
        code += "result.append([len(list(stream.take(2))), 'scipy' in sys.modules])\n"
    assert run_snippet(code, home=tmp_path / "home").result == [[2, False], [2, False]]


@pytest.mark.slow
def test_load_dataset_is_that_of_datasets(tmp_path: Path) -> None:
    """An import that a linter would not take for unused."""
    code = "from mnist_idx import load_dataset\nimport datasets\n"
    code += "is_same = load_dataset is datasets.load_dataset\n"
    code += "result = [is_same, load_dataset('mnist_idx', 'tiny').num_rows]"
    found = run_snippet(code, home=tmp_path / "home").result
    assert found == [True, {"train": 1000, "test": 200}]
