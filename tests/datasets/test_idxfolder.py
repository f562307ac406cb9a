"""Anyone's IDX files through `load_dataset("idxfolder", …)` and `load_arrays`: every place, shape
and option.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import numpy as np
import pytest
from clients import run_client
from datasets import Features, Image, Value, load_dataset
from http_server import Server
from hub_server import HubServer
from idx_files import (
    ARCHIVES,
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
from loading import MODES, Arrays, assert_same, read_all, refusal
from packers import PACKINGS
from selections import selected

from mnist_idx import load_arrays
from mnist_idx.tools import cli

TRAIN = random_images(70, 9, 7), random_labels(70)
TEST = random_images(30, 9, 7, seed=1), random_labels(30, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
FOUR = four_files(TRAIN, TEST)  # the files of BOTH, by the names of MNIST
PLAIN = Features({"image": Image(), "label": Value("int64")})  # without names of classes

each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.fixture
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder, which is the working folder."""
    path = tmp_path / "work"
    path.mkdir()
    monkeypatch.chdir(path)
    return path


@pytest.fixture
def both_splits(working_folder: Path) -> str:
    """The path of a folder with the files of BOTH."""
    return str(write_archive(working_folder / "both", FOUR))


def compressed(packing: str) -> dict[str, bytes]:
    """The files of BOTH, each compressed: "" leaves them as they are."""
    files = {}
    for name, content in FOUR.items():
        files[f"{name}{packing}"] = PACKINGS[packing](content)
    return files


def train_files(images: np.ndarray, labels: np.ndarray | None) -> dict[str, bytes]:
    """The files of a split "train", by the names of MNIST."""
    files = {TRAIN_IMAGES: to_idx(images)}
    if labels is not None:
        files[TRAIN_LABELS] = to_idx(labels)
    return files


def write_train(images: np.ndarray, labels: np.ndarray | None = None) -> str:
    """Write a folder with the split "train" into the working folder. Returns its path."""
    return str(write_archive(Path("pair"), train_files(images, labels)))


def urls_by_split(server: Server) -> dict[str, list[str]]:
    """`data_files` of the files of BOTH on a server."""
    return {
        "train": [server.url(f"/{TRAIN_IMAGES}"), server.url(f"/{TRAIN_LABELS}")],
        "test": [server.url(f"/{TEST_IMAGES}"), server.url(f"/{TEST_LABELS}")],
    }


def assert_loads(mode: str, expected: Arrays, **options: Any) -> None:
    """Assert that the expected splits are loaded, in this order, with all of their records."""
    found = read_all(mode, "idxfolder", splits=expected, **options)
    assert list(found) == list(expected)
    assert_same(found, expected)


# Places


@each_mode
@pytest.mark.parametrize("packing", PACKINGS, ids="files{}".format)  # "files.gz", for example
def test_a_folder_of_compressed_files_is_loaded(
    packing: str, mode: str, working_folder: Path
) -> None:
    write_archive(Path("set"), compressed(packing))
    assert_loads(mode, BOTH, data_dir="set")


@each_mode
@pytest.mark.parametrize("archive", ARCHIVES[1:])  # "set.tar.gz", for example
def test_an_archive_of_compressed_files_is_loaded(
    archive: str, mode: str, working_folder: Path
) -> None:
    write_archive(Path(archive), compressed(".gz"))
    assert_loads(mode, BOTH, data_dir=archive)


@each_mode
@pytest.mark.parametrize("container", ["folder", "set.tar", "deflated.zip"])
def test_files_that_are_there_twice_are_loaded_once(
    container: str, mode: str, working_folder: Path
) -> None:
    """As Kaggle unpacks MNIST: each file raw, and in a folder of its own name."""
    files = {}
    for name, content in FOUR.items():
        files[name.replace("-idx", ".idx")] = content
        files[f"{name}/{name}"] = content
    write_archive(Path(container), files)
    assert_loads(mode, BOTH, data_dir=container)


@each_mode
@pytest.mark.parametrize(
    ("data_dir", "expected"),
    [
        pytest.param(Path("set"), BOTH, id="pathlib-path"),
        pytest.param("~/set_at_home/", BOTH, id="folder-at-home"),
        pytest.param(f"set/{TEST_IMAGES}", {"test": (TEST[0], None)}, id="file-named-as-test"),
        # The name of a single file tells the split, those of the folders above do not.
        pytest.param("test/.x/digits", {"train": (TRAIN[0], None)}, id="file-in-a-folder-test"),
    ],
)
def test_a_data_dir_is_found(
    data_dir: str | Path,
    expected: Arrays,
    mode: str,
    working_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_archive(Path("set"), FOUR)
    write_archive(Path("test/.x"), {"digits": FOUR[TRAIN_IMAGES]})
    write_archive(working_folder.parent / "home/set_at_home", FOUR)
    monkeypatch.setenv("HOME", str(working_folder.parent / "home"))
    assert_loads(mode, expected, data_dir=data_dir)


@each_mode
@pytest.mark.parametrize(
    ("data_files", "expected"),
    [
        pytest.param(
            {"train": [TRAIN_IMAGES, TRAIN_LABELS], "test": [TEST_IMAGES, TEST_LABELS]},
            BOTH,
            id="files-of-both-splits",
        ),
        pytest.param([TRAIN_IMAGES, TRAIN_LABELS], {"train": TRAIN}, id="files-of-one-split"),
        pytest.param(
            {"test": [TRAIN_IMAGES, TRAIN_LABELS], "other": "t10k*"},
            {"test": TRAIN, "other": TEST},
            id="files-under-other-names-of-splits",
        ),
        pytest.param({"train": "train-*", "test": "t10k*"}, BOTH, id="patterns"),
        pytest.param("set.tar", BOTH, id="tar-of-both-splits"),
        pytest.param({"train": "set.tar", "test": "set.tar"}, BOTH, id="tar-named-for-each-split"),
        pytest.param({"Testing": "set.tar"}, {"Testing": TEST}, id="tar-for-a-split-like-test"),
        pytest.param({"test": "unnamed.tar"}, {"test": TEST}, id="tar-whose-files-tell-no-split"),
    ],
)
def test_data_files_are_found(
    data_files: Any, expected: Arrays, mode: str, working_folder: Path
) -> None:
    write_archive(Path(), FOUR)
    write_archive(Path("set.tar"), FOUR)
    unnamed = {"images.idx": FOUR[TEST_IMAGES], "labels.idx": FOUR[TEST_LABELS]}
    write_archive(Path("unnamed.tar"), unnamed)
    assert_loads(mode, expected, data_files=data_files)


@each_mode
def test_patterns_are_found_in_a_data_dir(mode: str, working_folder: Path) -> None:
    write_archive(Path("set"), FOUR)
    patterns = {"train": "train-*", "test": "t10k*"}
    assert_loads(mode, BOTH, data_dir="set", data_files=patterns)


@each_mode
@pytest.mark.parametrize(
    ("archive", "options", "expected"),
    [
        pytest.param(
            "deflated.zip",
            {"data_dir": "deflated.zip", "prefix": "emnist-letters"},
            BOTH,
            id="letters-of-a-zip",
        ),
        pytest.param(
            "set.tar",
            {"data_files": {"test": "set.tar"}, "prefix": "emnist-d"},
            {"test": (TRAIN[0], None)},
            id="a-split-of-digits-of-a-tar",
        ),
    ],
)
def test_a_prefix_chooses_one_dataset_of_several(
    archive: str, options: dict[str, Any], expected: Arrays, mode: str, working_folder: Path
) -> None:
    """As EMNIST has them in one archive."""
    files = {f"gzip/emnist-letters-{name}": content for name, content in FOUR.items()}
    files[f"gzip/emnist-digits-{TRAIN_IMAGES}"] = FOUR[TRAIN_IMAGES]
    files["gzip/emnist-digits-test-images-idx3-ubyte"] = FOUR[TRAIN_IMAGES]
    write_archive(Path(archive), files)
    assert_loads(mode, expected, **options)


@each_mode
def test_num_samples_is_of_each_split(mode: str, both_splits: str) -> None:
    """The test split has fewer."""
    expected = {}
    for split, (images, labels) in BOTH.items():
        order = selected(len(images), 70, 1)
        expected[split] = (images[order], labels[order])
    assert_loads(mode, expected, data_dir=both_splits, num_samples=70)


@each_mode
@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({}, "data_dir=", id="no-place"),
        pytest.param({"data_dir": "nowhere"}, "/nowhere: ", id="folder-that-is-not-there"),
        pytest.param(
            {"data_files": {"validation": "set.tar"}},
            "set.tar: .* train.*'validation'",
            id="split-that-is-not-in-the-tar",
        ),
        pytest.param(
            {"data_dir": "set", "num_samples": 71}, "num_samples=71: ", id="too-many-samples"
        ),
    ],
)
def test_what_cannot_be_loaded_is_refused(
    options: dict[str, Any], message: str, mode: str, working_folder: Path
) -> None:
    write_archive(Path("set"), FOUR)
    write_archive(Path("set.tar"), FOUR)
    assert re.search(message, refusal(mode, "idxfolder", **options))


@pytest.mark.parametrize("mode", ["prepared", "streamed"])
def test_two_billion_classes_are_refused(mode: str, working_folder: Path) -> None:
    labels = np.array([3, 2_000_000_000, 1], np.int32)
    write_archive(working_folder / "set", train_files(random_images(3, 3, 3), labels))
    message = refusal(mode, "idxfolder", data_dir="set")
    assert re.search("0 to 2,000,000,000.*99,999.*features=", message)


@pytest.mark.parametrize(
    ("data_files", "message"),
    [
        pytest.param("nothing", "nothing", id="a-name"),
        pytest.param(
            {"test": "nothing*", "train": "*.gz"}, "no file.*'test'", id="a-pattern-for-a-split"
        ),
    ],
)
def test_data_files_that_are_not_there_are_refused(
    data_files: Any, message: str, both_splits: str
) -> None:
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        load_dataset("idxfolder", data_dir=both_splits, data_files=data_files)


# Remote places


@each_mode
@pytest.mark.parametrize(
    "lacks",
    [
        pytest.param({}, id="any-server"),
        pytest.param({"ranges": False}, id="server-without-ranges"),
        pytest.param({"ranges": False, "length": False}, id="server-without-ranges-and-lengths"),
    ],
)
@pytest.mark.parametrize("archive", ["set.tar", "set.tar.bz2", "stored.zip", "deflated.zip"])
def test_an_archive_at_a_url_is_verified_and_loaded(
    archive: str, lacks: dict[str, bool], mode: str, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve({f"/{archive}": write_archive(tmp_path / archive, compressed(".gz"))})
    server.behave(**lacks)
    url = server.url(f"/{archive}")
    assert cli.main(["verify", url]) == 0
    options = {}
    if mode == "arrays" and lacks:  # by default, the arrays are those of a download
        options["streaming"] = True
    assert_same(read_all(mode, "idxfolder", data_dir=url, **options), BOTH)


@each_mode
def test_of_a_remote_folder_only_idx_files_are_downloaded(mode: str, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe({f"/set/{name}": content for name, content in FOUR.items()})
    memory.pipe("/set/huge.bin", b"x")
    assert_same(read_all(mode, "idxfolder", data_dir="memory://set", cache_dir=str(tmp_path)), BOTH)
    stored = [path.read_bytes() for path in tmp_path.glob("downloads/*") if path.is_file()]
    assert b"x" not in stored
    assert (FOUR[TRAIN_IMAGES] in stored) == (mode != "streamed")


@each_mode
def test_files_at_urls_are_loaded(mode: str, serve: Callable[..., Server]) -> None:
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    assert_same(read_all(mode, "idxfolder", data_files=urls_by_split(server)), BOTH)


@each_mode
def test_an_invalid_file_is_fetched_again(
    mode: str, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve({"/images": to_idx(TRAIN[0])[:-1]})
    options = {
        "splits": ["train"],
        "data_files": {"train": [server.url("/images")]},
        "cache_dir": str(tmp_path),
    }
    assert "the data ends after" in refusal(mode, "idxfolder", **options)
    server.put("/images", to_idx(TRAIN[0]))
    assert_same(read_all(mode, "idxfolder", **options), {"train": (TRAIN[0], None)})


@pytest.mark.slow
def test_files_and_an_archive_on_the_hub_are_loaded(tmp_path: Path, hf_home: Path) -> None:
    write_archive(tmp_path / "repo/files", FOUR)
    write_archive(tmp_path / "repo/set.tar", FOUR)
    with HubServer() as hub:
        environment = hub.environment("writer")
        found = run_client("load_from_hub", home=hf_home, cwd=tmp_path, env=environment).result
    labels_of_both_splits = [TRAIN[1].tolist(), TEST[1].tolist()]
    assert found == [labels_of_both_splits] * 6  # two places, each in three modes


# Shapes, types and labels


@each_mode
@pytest.mark.parametrize(
    ("images", "labels"),
    [
        pytest.param(random_images(1, 1, 1), random_labels(1, classes=1), id="one-pixel"),
        pytest.param(random_images(23, 28, 1), None, id="one-column-without-labels"),
        pytest.param(random_images(23, 513, 3), random_labels(23), id="513-rows"),
        pytest.param(random_images(23, 5, 6, 3), random_labels(23), id="color"),
        pytest.param(random_images(23, 3, 3, 3), random_labels(23), id="color-3-by-3"),
        pytest.param(random_images(23, 3, 3), random_labels(23), id="gray-3-by-3"),
        pytest.param(random_images(3, 3, 3), np.array([3, 120, 0], "int8"), id="int8-labels"),
        pytest.param(random_images(3, 3, 3), np.array([3, 120, 0], "int16"), id="int16-labels"),
        pytest.param(random_images(3, 3, 3), np.array([3, 120, 0], "int32"), id="int32-labels"),
    ],
)
def test_pictures_and_labels_are_loaded(
    images: np.ndarray, labels: np.ndarray | None, mode: str, working_folder: Path
) -> None:
    data_dir = write_train(images, labels)
    assert_loads(mode, {"train": (images, labels)}, data_dir=data_dir)


@each_mode
@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.array([3, 2_000_000_000, 1], np.int32), id="up-to-two-billion"),
        pytest.param(np.array([3, 0, -5], np.int32), id="negative"),
    ],
)
def test_labels_that_are_no_classes_are_loaded_as_numbers(
    labels: np.ndarray, mode: str, working_folder: Path
) -> None:
    """A name for each of two billion classes would fill the memory."""
    images = random_images(3, 3, 3)
    data_dir = write_train(images, labels)
    assert_loads(mode, {"train": (images, labels)}, data_dir=data_dir, features=PLAIN)


@pytest.mark.parametrize(
    ("labels", "columns"),
    [
        pytest.param(None, ["image"], id="images"),
        pytest.param(random_labels(0), ["image", "label"], id="images-and-labels"),
    ],
)
def test_a_split_without_records_is_empty(
    labels: np.ndarray | None, columns: list[str], working_folder: Path
) -> None:
    images = random_images(0, 28, 28)
    data_dir = write_train(images, labels)
    prepared = load_dataset("idxfolder", data_dir=data_dir, split="train")
    assert len(prepared) == 0
    assert prepared.column_names == columns
    streamed = load_dataset("idxfolder", data_dir=data_dir, split="train", streaming=True)
    assert list(streamed) == []
    assert_loads("arrays", {"train": (images, labels)}, data_dir=data_dir)


def test_an_empty_slice_of_a_split_is_empty(both_splits: str) -> None:
    no_records = (TRAIN[0][:0], TRAIN[1][:0])
    assert_loads("arrays", {"train[:0]": no_records}, data_dir=both_splits)


each_shape = pytest.mark.parametrize(
    "shape",
    [
        pytest.param((5,), id="rows"),
        pytest.param((4, 5), id="gray"),
        pytest.param((4, 5, 3), id="color"),
        pytest.param((2, 3, 4, 5), id="4-axes"),
        pytest.param((1, 2, 3, 2, 2), id="5-axes"),
    ],
)


def numbers_of(shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Random records of a shape, of more than a batch."""
    values = np.random.default_rng(0).normal(scale=50, size=(1_003, *shape))
    return values.astype(dtype)


@pytest.mark.slow
@each_shape
@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_arrays_of_any_type_are_loaded_as_arrays(
    dtype: str, shape: tuple[int, ...], working_folder: Path
) -> None:
    images, labels = numbers_of(shape, dtype), random_labels(1_003)
    data_dir = write_train(images, labels)
    for mode in MODES:
        found = read_all(mode, "idxfolder", splits=["train"], data_dir=data_dir, as_array=True)
        assert_same(found, {"train": (images, labels)})
    assert found["train"][0].dtype == dtype  # of `load_arrays`, the last of the modes


@each_shape
@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "float32", "float64"])
def test_numbers_that_are_no_bytes_are_refused_as_pictures(
    dtype: str, shape: tuple[int, ...], working_folder: Path
) -> None:
    data_dir = write_train(numbers_of(shape, dtype), random_labels(1_003))
    assert_refused_as_pictures(data_dir, f"{TRAIN_IMAGES}: found {dtype} records of shape {shape}")


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((5,), id="rows"),
        pytest.param((2, 3, 4, 5), id="4-axes"),
        pytest.param((1, 2, 3, 2, 2), id="5-axes"),
    ],
)
def test_bytes_that_are_neither_gray_nor_color_are_refused_as_pictures(
    shape: tuple[int, ...], working_folder: Path
) -> None:
    data_dir = write_train(numbers_of(shape, "uint8"), random_labels(1_003))
    assert_refused_as_pictures(data_dir, f"{TRAIN_IMAGES}: found uint8 records of shape {shape}")


def assert_refused_as_pictures(data_dir: str, message: str) -> None:
    """Assert that images are refused, also by features, which do not cut values to bytes."""
    for mode in ("prepared", "streamed"):
        for features in (None, PLAIN):
            assert message in refusal(mode, "idxfolder", data_dir=data_dir, features=features)


def test_splits_of_different_shapes_are_loaded_as_pictures_and_refused_as_arrays(
    both_splits: str,
) -> None:
    small = random_images(30, 5, 5), TEST[1]
    write_archive(Path(both_splits), {TEST_IMAGES: to_idx(small[0])})
    assert_loads("prepared", {"train": TRAIN, "test": small}, data_dir=both_splits)
    message = refusal("prepared", "idxfolder", data_dir=both_splits, as_array=True)
    assert "(9, 7)" in message
    assert "(5, 5)" in message
    assert "t10k-images" in message


EIGHTEEN_NUMBERS = ["0", "1", "2", "3", "4", "5", "6", "7", "8"]
EIGHTEEN_NUMBERS += ["9", "10", "11", "12", "13", "14", "15", "16", "17"]
EIGHTEEN_LETTERS = list("abcdefghijklmnopqr")


@pytest.mark.parametrize("streaming", [False, True], ids=["prepared", "streamed"])
@pytest.mark.parametrize(
    ("label_names", "expected"),
    [
        pytest.param(None, EIGHTEEN_NUMBERS, id="numbers-by-default"),
        pytest.param(EIGHTEEN_LETTERS, EIGHTEEN_LETTERS, id="given-names"),
    ],
)
def test_all_splits_have_the_classes_of_the_largest_label_of_any(
    label_names: list[str] | None, expected: list[str], streaming: bool, both_splits: str
) -> None:
    write_archive(Path(both_splits), {TEST_LABELS: to_idx(np.full(30, 17, np.uint8))})
    data = load_dataset(
        "idxfolder", data_dir=both_splits, streaming=streaming, label_names=label_names
    )
    assert sorted(data) == ["test", "train"]
    assert data["train"].features["label"].names == expected
    assert data["test"].features["label"].names == expected


@each_mode
@pytest.mark.parametrize(
    ("record", "label"),
    [
        pytest.param(2_400, 7, id="too-large"),
        pytest.param(1_200, -1, id="negative"),
    ],
)
def test_labels_without_a_name_are_refused(
    record: int, label: int, mode: str, working_folder: Path
) -> None:
    labels = np.zeros(2_500, np.int8)
    labels[record] = label
    data_dir = write_train(random_images(2_500, 3, 3), labels)
    parts = ["train", "train[1100:]"] if mode == "arrays" else ["train"]
    for part in parts:
        options = {"splits": [part], "data_dir": data_dir, "label_names": ["a", "b"]}
        message = refusal(mode, "idxfolder", **options)
        # The number of the record is that in the file.
        assert re.search(rf"{TRAIN_LABELS}: .*{record:,} .*label {label}\b.*0 to 1", message)


@each_mode
@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((6, 9, 7), id="gray"),
        pytest.param((6, 9, 7, 3), id="color"),
    ],
)
@pytest.mark.parametrize(
    ("options", "order"),
    [
        pytest.param({}, [0, 1, 2, 3, 4, 5], id="as-pictures"),
        pytest.param({"as_array": True}, [0, 1, 2, 3, 4, 5], id="as-arrays"),
        pytest.param({"num_samples": 3}, selected(6, 3, 1), id="some-of-them"),
    ],
)
def test_transpose_swaps_rows_and_columns(
    options: dict[str, Any],
    order: list[int],
    shape: tuple[int, ...],
    mode: str,
    working_folder: Path,
) -> None:
    images, labels = random_images(*shape), random_labels(6)
    data_dir = write_train(images.swapaxes(1, 2), labels)
    expected = {"train": (images[order], labels[order])}
    assert_loads(mode, expected, data_dir=data_dir, transpose=True, **options)


# Other versions of `datasets`


class Layout(NamedTuple):
    """Files in a folder of its own, in which `options` are those of loading them."""

    container: str
    files: dict[str, bytes]
    options: dict[str, Any]
    expected: Arrays


COLOR = random_images(23, 5, 6, 3), random_labels(23)
ONE_PIXEL = random_images(1, 1, 1), random_labels(1, classes=1)
ONE_COLUMN = random_images(23, 28, 1), None
FILES_BY_SPLIT = {"train": [TRAIN_IMAGES, TRAIN_LABELS], "test": [TEST_IMAGES, TEST_LABELS]}
GZIPPED = compressed(".gz")
LAYOUTS: dict[str, Layout] = {
    "tar": Layout("set.tar", GZIPPED, {"data_dir": "set.tar"}, BOTH),
    "tar.gz": Layout("set.tar.gz", GZIPPED, {"data_dir": "set.tar.gz"}, BOTH),
    "tar.bz2": Layout("set.tar.bz2", GZIPPED, {"data_dir": "set.tar.bz2"}, BOTH),
    "tar.xz": Layout("set.tar.xz", GZIPPED, {"data_dir": "set.tar.xz"}, BOTH),
    "stored zip": Layout("stored.zip", GZIPPED, {"data_dir": "stored.zip"}, BOTH),
    "deflated zip": Layout("deflated.zip", GZIPPED, {"data_dir": "deflated.zip"}, BOTH),
    "patterns": Layout(".", FOUR, {"data_files": {"train": "train-*", "test": "t10k*"}}, BOTH),
    "files": Layout(".", FOUR, {"data_files": FILES_BY_SPLIT}, BOTH),
    "tar for each split": Layout(
        "set.tar", FOUR, {"data_files": {"train": "set.tar", "test": "set.tar"}}, BOTH
    ),
    "color": Layout("pair", train_files(*COLOR), {"data_dir": "pair"}, {"train": COLOR}),
    "pixel": Layout("pair", train_files(*ONE_PIXEL), {"data_dir": "pair"}, {"train": ONE_PIXEL}),
    "column": Layout("pair", train_files(*ONE_COLUMN), {"data_dir": "pair"}, {"train": ONE_COLUMN}),
}


def labels_and_details(count: int) -> np.ndarray:
    """Labels as QMNIST has them: the class, and where the digit is from."""
    labels = np.random.default_rng(0).integers(0, 300_000, (count, 8)).astype(np.int32)
    labels[:, 0] = np.arange(count) % 10
    return labels


def loaded_in(layout: str, results: Sequence[tuple[str, Any]]) -> list[Any]:
    """What was loaded of a layout, once for each mode."""
    return [found for name, found in results if name == layout]


@pytest.mark.slow
@pytest.mark.compat
def test_every_version_of_datasets_loads_the_same(
    python: str, hf_home: Path, working_folder: Path, serve: Callable[..., Server]
) -> None:
    for name, layout in LAYOUTS.items():
        Path(name).mkdir()
        write_archive(Path(name) / layout.container, layout.files)
    labels = labels_and_details(40)
    write_archive(Path("parts"), train_files(random_images(40, 3, 3), labels))
    write_archive(Path("empty"), train_files(random_images(0, 28, 28), random_labels(0)))
    server = serve({f"/{name}": content for name, content in FOUR.items()})
    args = {
        "urls": urls_by_split(server),
        "cases": {name: layout.options for name, layout in LAYOUTS.items()},
    }
    result = run_client("load_folders", home=hf_home, args=args, python=python, cwd=".").result
    assert result["empty"] == [[], []]  # prepared and streamed
    assert result["parts"] == [labels.tolist(), labels.tolist()]
    assert result["forked"] == {"train": 70, "test": 30}
    for name, layout in LAYOUTS.items():
        found = loaded_in(name, result["loaded"])
        assert len(found) == 2
        assert_same(found[0], layout.expected)
        assert_same(found[1], layout.expected)


def test_labels_with_details_are_loaded_as_rows(working_folder: Path) -> None:
    labels = labels_and_details(40)
    data_dir = write_train(random_images(40, 3, 3), labels)
    np.testing.assert_array_equal(load_arrays("idxfolder", data_dir=data_dir)[1], labels)
