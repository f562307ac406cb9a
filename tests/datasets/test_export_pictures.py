"""`mnist-idx export --as png` and `--as npz`: what `imagefolder` and `np.load` give is what the
files hold. Each is loaded with the line that the command prints.
"""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pytest
from clients import ROOT, Client, run_client, start_client
from hypothesis import given
from hypothesis import strategies as st
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)

from mnist_idx import catalog, load_dataset
from mnist_idx.tools import npz
from mnist_idx.tools.cli import main
from mnist_idx.tools.exported import open_exported
from mnist_idx.tools.image_folder import write_image_folder

Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
TRAIN = random_images(30, 5, 4), random_labels(30)
TEST = random_images(20, 5, 4, seed=1), random_labels(20, seed=1)
# As many classes in each split as there are.
FULL_TRAIN = TRAIN[0], np.arange(30, dtype=np.uint8)[::-1] % 10
FULL_TEST = TEST[0], np.arange(20, dtype=np.uint8) % 10


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: Patch) -> Path:
    """An empty working folder, and a cache of its own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run_code(code: str, name: str) -> Any:
    """What a line of code calls `name`."""
    variables: dict[str, Any] = {}
    exec(code, variables)
    return variables[name]


def export(line: list[str], capsys: Capsys) -> Any:
    """Run the command, then the line that it says what was written is loaded with."""
    capsys.readouterr()
    assert main(["export", *line]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    code = last.removeprefix("Load with: ")
    return run_code(code, "ds" if "load_dataset" in code else "arrays")


def refused(line: list[str], capsys: Capsys) -> str:
    """The error of a command that writes nothing."""
    before = sorted(Path().rglob("*"))
    capsys.readouterr()
    assert main(["export", *line]) == 1
    assert sorted(Path().rglob("*")) == before
    return capsys.readouterr().err


def pixels(split: datasets.Dataset) -> np.ndarray:
    return np.stack([np.asarray(image) for image in split["image"]])


def class_by_class(labels: np.ndarray, names: list[str]) -> np.ndarray:
    """The order in which `imagefolder` lists class folders: by name, then by number."""
    return np.array(sorted(range(len(labels)), key=lambda place: (names[labels[place]], place)))


def assert_holds(
    split: datasets.Dataset, images: np.ndarray, labels: np.ndarray, order: np.ndarray
) -> None:
    np.testing.assert_array_equal(pixels(split), images[order])
    assert split["label"] == labels[order].tolist()


# PNG


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3)], ids=["gray", "RGB"])
@pytest.mark.parametrize("source", ["set", "set.tar", "deflated.zip"])
def test_class_folders(source: str, shape: tuple[int, ...], capsys: Capsys) -> None:
    train = random_images(30, *shape), FULL_TRAIN[1]
    test = random_images(20, *shape, seed=1), FULL_TEST[1]
    write_archive(Path(source), four_files(train, test))
    loaded = export([source, "out", "--as", "png"], capsys)
    assert set(loaded) == {"train", "test"}
    expected = load_dataset("idxfolder", data_dir=source)
    names = [str(number) for number in range(10)]
    for split, (images, labels) in {"train": train, "test": test}.items():
        assert loaded[split].features == expected[split].features
        assert_holds(loaded[split], images, labels, class_by_class(labels, names))
    assert Path("out/train/9/00.png").is_file()
    assert Path("out/train/0/29.png").is_file()


@pytest.mark.slow
def test_a_config_loads_without_more_than_the_folder(place: Path, capsys: Capsys) -> None:
    loaded = export(["tiny", "digits", "--as", "png"], capsys)
    assert 'load_dataset("imagefolder", data_dir="digits")' in Path("digits/README.md").read_text()
    expected = load_dataset("mnist_idx", "tiny")
    for split in ("train", "test"):
        labels = np.array(expected[split]["label"])
        order = class_by_class(labels, list("0123456789"))
        assert loaded[split].features == expected[split].features
        assert_holds(loaded[split], pixels(expected[split]), labels, order)


@pytest.mark.parametrize(
    ("labels", "num_classes"),
    [
        pytest.param(np.arange(30) % 12, 12, id="more than ten classes, whose names sort as text"),
        pytest.param(np.arange(30) % 2 * 3, 4, id="classes without records"),
        pytest.param(np.zeros(30), 1, id="one class"),
    ],
)
def test_numbers_of_classes_are_kept(labels: np.ndarray, num_classes: int, capsys: Capsys) -> None:
    labels = labels.astype(np.uint8)
    files = {TRAIN_IMAGES: to_idx(TRAIN[0]), TRAIN_LABELS: to_idx(labels)}
    write_archive(Path("set"), files)
    loaded = export(["set", "out", "--as", "png"], capsys)
    names = [str(number) for number in range(num_classes)]
    assert loaded["train"].features["label"].names == names
    assert_holds(loaded["train"], TRAIN[0], labels, class_by_class(labels, names))


def test_classes_that_only_a_later_split_has(capsys: Capsys) -> None:
    train = TRAIN[0], np.zeros(30, np.uint8)
    write_archive(Path("set"), four_files(train, FULL_TEST))
    loaded = export(["set", "out", "--as", "png"], capsys)
    assert loaded["train"]["label"] == [0] * 30
    assert_holds(loaded["test"], *FULL_TEST, class_by_class(FULL_TEST[1], list("0123456789")))


@pytest.mark.parametrize("names", [("train", "test"), ("train",), ("train", "extra")])
def test_records_without_labels(names: tuple[str, ...], capsys: Capsys) -> None:
    files = {f"{name}-images-idx3-ubyte": to_idx(TRAIN[0]) for name in names}
    write_archive(Path("set"), files)
    by_split: list[str] = []
    for name in names:
        by_split += ["--data-files", f"{name}=set/{name}-images-idx3-ubyte"]
    loaded = export(["out", "--as", "png", *by_split], capsys)
    assert set(loaded) == set(names)
    for split in loaded.values():
        assert list(split.features) == ["image"]
        np.testing.assert_array_equal(pixels(split), TRAIN[0])
    assert Path("out/train/00.png").is_file()


def test_splits_that_imagefolder_does_not_know(capsys: Capsys) -> None:
    line = ["out", "--as", "png"]
    for name, (images, labels) in {"train": TRAIN, "extra": TEST, "dev_1": TRAIN}.items():
        files = {"images-idx3-ubyte": to_idx(images), "labels-idx1-ubyte": to_idx(labels)}
        write_archive(Path(name), files)
        for file in files:
            line += ["--data-files", f"{name}={name}/{file}"]
    loaded = export(line, capsys)
    names = list("0123456789")
    assert set(loaded) == {"train", "extra", "dev_1"}
    assert_holds(loaded["extra"], *TEST, class_by_class(TEST[1], names))
    assert_holds(loaded["dev_1"], *TRAIN, class_by_class(TRAIN[1], names))


class Hostile(NamedTuple):
    """Names of classes that are no names of folders, or that `imagefolder` misunderstands."""

    names: list[str]
    keeps_order: bool


HOSTILE = [
    pytest.param(Hostile(["N/A", "a", "b"], True), id="slash, as in EMNIST letters"),
    pytest.param(Hostile(["T-shirt/top", "Trouser", "Bag"], True), id="slash, as in Fashion-MNIST"),
    pytest.param(Hostile(["..", ".", ""], True), id="dots and nothing"),
    pytest.param(Hostile(["A", "a", "b"], True), id="twins"),
    pytest.param(Hostile(["ß", "SS", "b"], True), id="twins in another script"),
    pytest.param(Hostile(["x.", "y ", "z"], True), id="trailing dot and space"),
    pytest.param(Hostile([".x", "__y", "_z"], True), id="hidden"),
    pytest.param(Hostile(["con", "Nul.txt", "LPT1"], True), id="reserved"),
    pytest.param(Hostile(["x" * 300, "y", "z"], True), id="long"),
    pytest.param(Hostile(["a\nb", "\x1b[2J", "\0"], True), id="control characters"),
    pytest.param(Hostile(["*", "[a]", "?"], True), id="patterns"),
    pytest.param(Hostile(["a::b", "http://b", "c:"], True), id="URLs"),
    pytest.param(Hostile(["2020-01-01", "nan", "null"], False), id="dates and missing values"),
    pytest.param(Hostile(["test", "train", "validation"], False), id="splits"),
    pytest.param(Hostile(["a test", "dev-kit", "x"], False), id="words of splits"),
    pytest.param(Hostile(["zebra", "ape", "it's"], False), id="not sorted"),
    pytest.param(Hostile(['say "x"', "b", "c"], True), id="quotes"),
    pytest.param(Hostile(["ネコ", "Größe", "é"], False), id="other letters"),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_names_of_classes(hostile: Hostile) -> None:
    names = hostile.names
    labels = np.arange(30, dtype=np.uint8) % 3
    test_labels = np.arange(20, dtype=np.uint8) % 2
    files = four_files((TRAIN[0], labels), (TEST[0], test_labels))
    write_archive(Path("set"), files)
    given = {"data_dir": "set", "label_names": names}
    splits = open_exported("idxfolder", None, None, as_array=False, **given)
    loaded = run_code(write_image_folder(splits, "out", overwrite=False), "ds")
    assert loaded["train"].features == load_dataset("idxfolder", **given)["train"].features
    assert loaded["train"].num_rows == 30
    orders = np.arange(30), np.arange(20)
    if not hostile.keeps_order:
        orders = class_by_class(labels, names), class_by_class(test_labels, names)
    assert_holds(loaded["train"], TRAIN[0], labels, orders[0])
    assert_holds(loaded["test"], TEST[0], test_labels, orders[1])


def test_labels_of_several_parts(capsys: Capsys) -> None:
    parts = np.stack([TRAIN[1], np.arange(30) * 1000, -np.arange(30)], axis=1).astype(np.int32)
    files = {TRAIN_IMAGES: to_idx(TRAIN[0]), TRAIN_LABELS: to_idx(parts)}
    write_archive(Path("set"), files)
    loaded = export(["set", "out", "--as", "png"], capsys)["train"]
    assert loaded.features == load_dataset("idxfolder", data_dir="set")["train"].features
    assert_holds(loaded, TRAIN[0], TRAIN[1], np.arange(30))
    assert loaded["label_details"] == parts[:, 1:].tolist()


def test_letters_as_in_emnist() -> None:
    """Transposed, with a class "N/A" that no record has."""
    labels = 1 + np.arange(30, dtype=np.uint8) % 26
    write_archive(Path("set"), {TRAIN_IMAGES: to_idx(TRAIN[0]), TRAIN_LABELS: to_idx(labels)})
    names = list(catalog.DATASETS["emnist_letters"].class_names)
    given = {"data_dir": "set", "label_names": names, "transpose": True}
    splits = open_exported("idxfolder", None, None, as_array=False, **given)
    loaded = run_code(write_image_folder(splits, "out", overwrite=False), "ds")["train"]
    assert loaded.features["label"].names == ["N/A", *"abcdefghijklmnopqrstuvwxyz"]
    assert_holds(loaded, TRAIN[0].swapaxes(1, 2), labels, np.arange(30))
    assert Path("out/train/01_a/00.png").is_file()


def test_pictures_of_different_sizes(capsys: Capsys) -> None:
    large = random_images(20, 7, 9), FULL_TEST[1]
    write_archive(Path("set"), four_files(FULL_TRAIN, large))
    loaded = export(["set", "out", "--as", "png"], capsys)
    assert_holds(loaded["test"], *large, class_by_class(large[1], list("0123456789")))


@st.composite
def hostile_sets(draw: st.DrawFn) -> tuple[list[str], list[int], int]:
    """Names of classes, labels, and how many numbers a label has."""
    letters = st.characters(exclude_categories=["Cs"])
    plain = st.sampled_from(["a", "B", "b", "test", "10", "9", "con", "N/A", "a b", "x.y"])
    names = draw(st.lists(st.text(letters, max_size=4) | plain, min_size=1, unique=True))
    labels = draw(st.lists(st.integers(0, len(names) - 1), min_size=1, max_size=8))
    return names, labels, draw(st.sampled_from([1, 1, 3]))


@pytest.mark.slow
@given(hostile=hostile_sets())
def test_any_classes(
    hostile: tuple[list[str], list[int], int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    names, labels, num_parts = hostile
    place = tmp_path_factory.mktemp("any")
    images = random_images(len(labels), 3, 2)
    # Pictures carry their numbers, since class folders change the order.
    images[:, 0, 0] = np.arange(len(labels))
    parts = np.repeat(np.array(labels, np.uint8)[:, None], num_parts, axis=1)
    files = {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(parts)}
    write_archive(place / "set", files)
    given = {"data_dir": str(place / "set"), "label_names": names}
    splits = open_exported("idxfolder", None, None, as_array=False, **given)
    code = write_image_folder(splits, place / "out", overwrite=False)
    loaded = run_code(code, "ds")["train"]
    assert loaded.features["label"].names == names
    assert len(loaded) == len(labels)
    numbers = pixels(loaded)[:, 0, 0]
    np.testing.assert_array_equal(pixels(loaded), images[numbers])
    assert loaded["label"] == parts[numbers, 0].tolist()
    if num_parts > 1:
        assert loaded["label_details"] == parts[numbers, 1:].tolist()


# NumPy


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        pytest.param("uint8", (28, 28), id="pictures"),
        pytest.param("uint8", (5, 4, 4), id="RGBA"),
        pytest.param("float32", (5, 4), id="float"),
        pytest.param("int16", (7,), id="vectors"),
        pytest.param("float64", (2, 3, 4, 5), id="four dimensions"),
    ],
)
def test_arrays_of_any_type(dtype: str, shape: tuple[int, ...], capsys: Capsys) -> None:
    train, test = (random_images(count, *shape).astype(dtype) for count in (30, 20))
    write_archive(Path("set"), four_files((train, TRAIN[1]), (test, TEST[1])))
    arrays = export(["set", "set.npz", "--as", "npz"], capsys)
    assert list(arrays) == ["x_train", "y_train", "x_test", "y_test"]
    expected = {"x_train": train, "y_train": TRAIN[1], "x_test": test, "y_test": TEST[1]}
    for name, array in expected.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


def test_arrays_as_keras_reads_them(capsys: Capsys) -> None:
    """With the lines of `keras.datasets.mnist.load_data`."""
    export(["tiny", "mnist.npz", "--as", "npz"], capsys)
    with np.load("mnist.npz", allow_pickle=False) as f:
        x_train, y_train = f["x_train"], f["y_train"]
        x_test, y_test = f["x_test"], f["y_test"]
    assert (x_train.shape, y_train.shape) == ((1000, 28, 28), (1000,))
    assert (x_test.shape, y_test.shape) == ((200, 28, 28), (200,))
    expected = load_dataset("mnist_idx", "tiny")
    np.testing.assert_array_equal(x_test, pixels(expected["test"]))
    assert y_train.tolist() == expected["train"]["label"]


def test_arrays_of_other_splits_labels_and_names(capsys: Capsys) -> None:
    parts = np.stack([TRAIN[1], np.arange(30)], axis=1).astype(np.int32)
    files = {TRAIN_IMAGES: to_idx(TRAIN[0]), TRAIN_LABELS: to_idx(parts)}
    write_archive(Path("set"), files)
    by_split = ["--data-files", "extra=set/train-*"]
    arrays = export(["set.npz", "--as", "npz", *by_split], capsys)
    assert list(arrays) == ["x_extra", "y_extra"]
    np.testing.assert_array_equal(arrays["y_extra"], parts)
    write_archive(Path("plain"), {TEST_IMAGES: to_idx(TEST[0])})
    assert list(export(["plain", "plain.npz", "--as", "npz"], capsys)) == ["x_test"]
    names = ["N/A", *"abcdefghi"]
    splits = open_exported(
        "idxfolder", None, None, as_array=True, data_dir="set", label_names=names
    )
    npz.write_npz(splits, "named.npz", overwrite=False)
    with np.load("named.npz", allow_pickle=False) as file:
        assert file["class_names"].tolist() == names


def test_arrays_of_no_records(capsys: Capsys) -> None:
    none = TEST[0][:0], TEST[1][:0]
    write_archive(Path("set"), four_files(TRAIN, none))
    arrays = export(["set", "set.npz", "--as", "npz"], capsys)
    assert arrays["x_test"].shape == (0, 5, 4)
    assert arrays["y_test"].shape == (0,)


def test_equal_records_give_equal_files(capsys: Capsys) -> None:
    for name in ("a", "b"):
        export(["tiny", f"{name}.npz", "--as", "npz"], capsys)
    assert Path("a.npz").read_bytes() == Path("b.npz").read_bytes()


# Options


def test_parts_of_splits(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    line = ["set", "set.npz", "--as", "npz", "--split", "test[:5]+train[-3:]+test[-1:]"]
    arrays = export(line, capsys)
    np.testing.assert_array_equal(arrays["x_test"], TEST[0][[0, 1, 2, 3, 4, 19]])
    np.testing.assert_array_equal(arrays["y_train"], TRAIN[1][-3:])
    loaded = export(["set", "out", "--as", "png", "--split", "test[:5]"], capsys)
    assert set(loaded) == {"test"}
    assert sorted(loaded["test"]["label"]) == sorted(TEST[1][:5].tolist())


def test_selections(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    options = ["--num-samples", "7", "--seed", "3", "--sampling", "uniform"]
    arrays = export(["set", "set.npz", "--as", "npz", *options], capsys)
    expected = load_dataset("idxfolder", data_dir="set", num_samples=7, seed=3, sampling="uniform")
    for split in ("train", "test"):
        np.testing.assert_array_equal(arrays[f"x_{split}"], pixels(expected[split]))
        assert arrays[f"y_{split}"].tolist() == expected[split]["label"]
    capsys.readouterr()
    assert main(["export", "subset", "out.npz", "--as", "npz", "--num-samples", "0"]) == 1
    assert capsys.readouterr().err.startswith("mnist-idx: --num-samples 0: expected")


def test_files_by_split_and_prefix(capsys: Capsys) -> None:
    files = {}
    for prefix, (images, labels) in {"one-": TRAIN, "two-": TEST}.items():
        files[prefix + TRAIN_IMAGES] = to_idx(images)
        files[prefix + TRAIN_LABELS] = to_idx(labels)
    write_archive(Path("set"), files)
    arrays = export(["set", "two.npz", "--as", "npz", "--prefix", "two"], capsys)
    np.testing.assert_array_equal(arrays["x_train"], TEST[0])
    by_split = ["--data-files", "test=set/one-train-*"]
    arrays = export(["one.npz", "--as", "npz", *by_split], capsys)
    np.testing.assert_array_equal(arrays["x_test"], TRAIN[0])
    without_split = ["--data-files", "set/one-train-*"]
    arrays = export(["three.npz", "--as", "npz", *without_split], capsys)
    np.testing.assert_array_equal(arrays["y_train"], TRAIN[1])


@pytest.mark.parametrize("form", ["png", "npz"])
def test_local_files_are_exported_without_datasets(form: str, hf_home: Path) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    args = {
        "function": "mnist_idx.tools.cli:main",
        "arguments": [["export", "set", "out.npz", "--as", form]],
        "options": {},
        "modules": ["datasets", "pyarrow", "aiohttp", "pandas", "huggingface_hub"],
        "sources": None,
    }
    answer = run_client("use_local_files", home=hf_home, args=args, cwd=Path.cwd()).result
    assert answer == {"result": 0, "imported": []}


@pytest.mark.slow
def test_progress_is_shown_on_stderr() -> None:
    command = [sys.executable, "-m", "mnist_idx", "export", "tiny", "tiny.npz", "--as", "npz"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for switch, is_shown in (("0", True), ("1", False)):
        environment["HF_DATASETS_DISABLE_PROGRESS_BARS"] = switch
        line = [*command, "--overwrite"]
        outcome = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
        assert ("1200/1200" in outcome.stderr) == is_shown
        assert "1200/1200" not in outcome.stdout


# What is refused


def test_wrong_use_is_refused_with_advice(capsys: Capsys) -> None:
    for line, said in (
        ("out --split test", "add --as png or --as npz"),
        ("out --as png", "mnist-idx export tiny out --as png"),
        ("out --as png --config tiny", "mnist-idx export tiny out --as png"),
        ("tiny out --as npz", "ends in .npz"),
        ("tiny out --as png --split extra", "--split extra: expected train or test, or a part"),
        ("tiny out --as png --prefix x", "Leave out --prefix"),
        ("tiny out --as png --data-files x", "expected SOURCE or --data-files, found both"),
        ("nowhere out --as png", "nowhere: no such file"),
        ("tiny out[1] --as png", "for a pattern"),
        ("tiny out --as png --split test[:0]", "--as npz"),
    ):
        assert said in refused(line.split(), capsys)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(random_images(20, 5, 4).astype(np.float32), id="float"),
        pytest.param(random_images(20, 5, 4, 4), id="RGBA"),
        pytest.param(random_images(20, 7), id="vectors"),
    ],
)
def test_arrays_that_are_no_pictures(images: np.ndarray, capsys: Capsys) -> None:
    write_archive(Path("set"), {TEST_IMAGES: to_idx(images), TEST_LABELS: to_idx(TEST[1])})
    advice = re.search(r"mnist-idx export (.*)\.$", refused(["set", "out", "--as", "png"], capsys))
    assert advice is not None
    line = advice[1].replace("SOURCE", "set").split()
    np.testing.assert_array_equal(export(line, capsys)["x_test"], images)


@pytest.mark.parametrize(("form", "target"), [("png", "out"), ("npz", "out.npz")])
def test_a_target_is_replaced_only_if_it_is_an_export(
    form: str, target: str, capsys: Capsys
) -> None:
    line = ["tiny", target, "--as", form, "--split", "test[:60]"]
    export(line, capsys)
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    assert "--overwrite" in refused(line, capsys)
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before
    again = export(["tiny", target, "--as", form, "--overwrite", "--split", "test[:70]"], capsys)
    assert len(again["test"] if form == "png" else again["x_test"]) == 70


@pytest.mark.parametrize(
    ("form", "target", "file"),
    [
        ("png", "out", "out/train/0/mine.png"),
        ("png", "out", "out/notes.txt"),
        ("png", "out", "out/train/0/00.png"),
        ("png", "out", "out"),
        ("npz", "out.npz", "out.npz"),
        ("npz", "out.npz", "out.npz/a.npy"),
    ],
)
def test_files_of_the_user_are_kept(form: str, target: str, file: str, capsys: Capsys) -> None:
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Path(file).write_bytes(b"\x89PNG\r\n\x1a\n of the user")
    line = ["tiny", target, "--as", form, "--overwrite"]
    assert "Choose another target" in refused(line, capsys)
    assert Path(file).read_bytes() == b"\x89PNG\r\n\x1a\n of the user"


def test_pictures_of_the_user_in_an_export_are_kept(capsys: Capsys) -> None:
    line = ["tiny", "out", "--as", "png", "--split", "test[:60]"]
    export(line, capsys)
    for name in ("out/test/0/mine.png", "out/test/0/99.png", "out/test/0/cat/1.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(b"of the user")
        assert name.removeprefix("out/") in refused([*line, "--overwrite"], capsys)
        assert Path(name).read_bytes() == b"of the user"
        Path(name).unlink()


@pytest.mark.parametrize(("form", "target"), [("png", "out"), ("npz", "out.npz")])
def test_nothing_is_left_of_an_export_that_fails(form: str, target: str, capsys: Capsys) -> None:
    files = four_files(FULL_TRAIN, FULL_TEST)
    files[TEST_LABELS] = files[TEST_LABELS][:-1] + b"\xff"  # found when the test split is read
    write_archive(Path("set"), files)
    options = {"data_dir": "set", "label_names": list("0123456789")}
    splits = open_exported("idxfolder", None, None, as_array=form == "npz", **options)
    write = write_image_folder if form == "png" else npz.write_npz
    with pytest.raises(ValueError, match="record 19 has the label 255"):
        write(splits, target, overwrite=False)
    assert os.listdir() == ["set"]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="this system ends processes in other ways")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGTERM"])
@pytest.mark.parametrize(("form", "target"), [("png", "out"), ("npz", "out.npz")])
def test_nothing_is_left_of_a_killed_export(
    form: str, target: str, name: str, hf_home: Path, capsys: Capsys
) -> None:
    many = random_images(100_000, 28, 28), random_labels(100_000)
    write_archive(Path("set"), {TRAIN_IMAGES: to_idx(many[0]), TRAIN_LABELS: to_idx(many[1])})
    Path("place").mkdir()
    line = ["export", "set", f"place/{target}", "--as", form]
    client = start_client("run_commands", home=hf_home, args={"lines": [line]}, cwd=Path.cwd())
    wait_until_half_written(client)
    os.kill(client.process.pid, getattr(signal, name))
    client.process.wait(60)
    client.temporary.cleanup()
    assert not Path("place", target).exists()
    export(["tiny", f"place/{target}", "--as", form], capsys)
    assert os.listdir("place") == [target]


def wait_until_half_written(client: Client) -> None:
    until = time.monotonic() + 60
    written = 0
    while written < 2:
        assert client.process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.01)
        files = [path for path in Path("place").rglob("*") if path.suffix != ".md"]
        written = len(files)
