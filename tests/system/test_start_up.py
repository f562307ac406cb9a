"""What a program imports: whoever has arrays and local files does not wait for `datasets`."""

import gzip
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from array_digests import digest_array
from clients import ROOT, run_client, run_snippet
from conftest import ARCHIVE, Arrays
from http_server import Server
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    from_idx,
    random_images,
    random_labels,
    write_archive,
)
from representatives import slow_but_first
from selections import selected

from mnist_idx.tools.cli import COMMANDS

# To import.
SLOW = ("datasets", "pyarrow", "aiohttp", "fsspec", "pandas", "torch", "huggingface_hub")
LOAD = "mnist_idx:load_arrays"
VERIFY = "mnist_idx.tools.verify:verify"
MAIN = "mnist_idx.tools.cli:main"
TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
FILES = four_files(TRAIN, TEST)
TINY_TAR = ROOT / "mnist_idx" / "data" / "mnist_tiny.tar"


@pytest.mark.parametrize(
    "use",
    [
        pytest.param("write", id="write_idx of arrays"),
        pytest.param("draw", id="contact_sheet of arrays"),
    ],
)
def test_a_program_without_datasets_does_not_import_it(use: str, hf_home: Path) -> None:
    args = {"use": use, "modules": SLOW}
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
        "modules": SLOW,
        "sources": sources,
    }
    answer = run_client("use_local_files", home=home, args=args, **of_client).result
    return answer["result"], answer["imported"]


def digests(*arrays: np.ndarray | None) -> list[Any]:
    return [digest_array(array) for array in arrays]


def joined(*parts: tuple[np.ndarray, np.ndarray]) -> list[Any]:
    images, labels = zip(*parts, strict=True)
    return digests(np.concatenate(images), np.concatenate(labels))


class Load(NamedTuple):
    """Options of `load_arrays` for files in a folder, and the arrays that it returns."""

    options: Callable[[Path], dict[str, Any]]
    expected: list[Any]


def place(name: str, **options: Any) -> Callable[[Path], dict[str, Any]]:
    """Write the files in one of the forms, and name their place."""

    def named(folder: Path) -> dict[str, Any]:
        return {"data_dir": str(write_archive(folder / name, FILES)), **options}

    return named


def single_files(data_files: Any, **options: Any) -> Callable[[Path], dict[str, Any]]:
    """Write the files into the working folder."""

    def named(folder: Path) -> dict[str, Any]:
        write_archive(folder, FILES)
        return {"data_files": data_files, **options}

    return named


ALL_TRAIN = digests(*TRAIN)
SELECTED = selected(70, num_samples=20, seed=3)
OWN_FILES = {
    "folder": Load(place("folder"), ALL_TRAIN),
    "tar": Load(place("set.tar"), ALL_TRAIN),
    "tar.gz": Load(place("set.tar.gz"), ALL_TRAIN),
    "tar.xz": Load(place("set.tar.xz"), ALL_TRAIN),
    "zip": Load(place("deflated.zip"), ALL_TRAIN),
    "streamed": Load(place("stored.zip", streaming=True), ALL_TRAIN),
    "other split": Load(place("set.tar", split="test"), digests(*TEST)),
    "parts": Load(
        place("set.tar", split="test[:10%]+train"), joined((TEST[0][:3], TEST[1][:3]), TRAIN)
    ),
    "selection": Load(
        place("set.tar", num_samples=20, seed=3), digests(TRAIN[0][SELECTED], TRAIN[1][SELECTED])
    ),
    "all options": Load(
        place("folder", transpose=True, label_names=list("abcdefghij"), prefix="", num_shards=2),
        digests(TRAIN[0].swapaxes(1, 2), TRAIN[1]),
    ),
    "dict of lists": Load(single_files({"train": [TRAIN_LABELS, TRAIN_IMAGES]}), ALL_TRAIN),
    "dict": Load(single_files({"test": TEST_IMAGES}, split="test"), digests(TEST[0], None)),
    "list": Load(single_files([TRAIN_IMAGES, TRAIN_LABELS]), ALL_TRAIN),
    "name": Load(single_files(TRAIN_IMAGES), digests(TRAIN[0], None)),
    "pattern": Load(single_files("train-*"), ALL_TRAIN),
    "dict of patterns": Load(
        single_files({"train": "train-*", "test": "t10k-*"}, split="test"), digests(*TEST)
    ),
}


@pytest.mark.parametrize("case", slow_but_first(OWN_FILES))
def test_own_local_files_are_loaded_without_datasets(
    case: str, hf_home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    options = OWN_FILES[case].options(folder)
    found = run(hf_home, LOAD, ["idxfolder"], options, cwd=folder)
    assert found == (OWN_FILES[case].expected, [])


def read_tiny(split: str) -> tuple[np.ndarray, np.ndarray]:
    names = {"train": (TRAIN_IMAGES, TRAIN_LABELS), "test": (TEST_IMAGES, TEST_LABELS)}
    with tarfile.open(TINY_TAR) as tar:
        members = {Path(info.name).name: info for info in tar}
        images, labels = (
            from_idx(gzip.decompress(tar.extractfile(members[f"{name}.gz"]).read()))  # type: ignore[union-attr]
            for name in names[split]
        )
    return images, labels


def test_the_miniature_is_loaded_without_datasets(hf_home: Path) -> None:
    images, labels = read_tiny("train")
    found = run(hf_home, LOAD, ["mnist_idx", "tiny"])
    assert found == (digests(images, labels), [])
    numbers = selected(1000, num_samples=50, seed=7, sampling="uniform")
    options = {"num_samples": 50, "seed": 7, "sampling": "uniform"}
    found = run(hf_home, LOAD, ["mnist_idx", "tiny"], options)
    assert found == (digests(images[numbers], labels[numbers]), [])


@pytest.mark.parametrize("way", slow_but_first(["mirror", "data_dir", "streamed", "subset"]))
def test_a_local_copy_is_loaded_without_datasets(
    way: str, hf_home: Path, mnist_tar: Path, mnist_arrays: Arrays
) -> None:
    env = {"MNIST_IDX_MIRROR": str(mnist_tar)}
    arguments, options = ["mnist_idx"], {"split": "test[:10%]+train"}
    test, train = mnist_arrays["test"], mnist_arrays["train"]
    expected = joined((test[0][:1000], test[1][:1000]), train)
    if way == "data_dir":
        env, options["data_dir"] = {}, str(mnist_tar)
    elif way == "streamed":
        options["streaming"] = True  # type: ignore[assignment]
    elif way == "subset":
        arguments, options = ["mnist_idx", "subset"], {}
        numbers = selected(60_000, num_samples=100, seed=1)
        expected = digests(train[0][numbers], train[1][numbers])
    assert run(hf_home, LOAD, arguments, options, env=env) == (expected, [])


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


def test_load_dataset_is_that_of_datasets(tmp_path: Path) -> None:
    """An import that a linter would not take for unused."""
    code = "from mnist_idx import load_dataset\nimport datasets\n"
    code += "is_same = load_dataset is datasets.load_dataset\n"
    code += "result = [is_same, load_dataset('mnist_idx', 'tiny').num_rows]"
    found = run_snippet(code, home=tmp_path / "home").result
    assert found == [True, {"train": 1000, "test": 200}]
