"""Nothing waits for ever, recurses without end or takes all memory; `verify` calls valid what can
be loaded.
"""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import run_client
from http_server import Server
from idx_files import make_tar, random_images, to_idx, write_archive

import mnist_idx
from mnist_idx import IdxError
from mnist_idx.tools.cli import main

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
GOOD = {IMAGES: to_idx(random_images(6, 3, 3)), LABELS: to_idx(np.arange(6, dtype=np.uint8))}
SLOW = pytest.mark.slow
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits memory, as Linux does")

# What never ends: each call has some seconds, see `timed_calls.outcome`


@pytest.mark.slow
@linux_only
def test_pipes_and_devices_are_refused_at_once(hf_home: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    args = {"place": str(tmp_path / "p"), "seconds": 2}
    env = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # of the mirrors, no other answers
    found = run_client(
        "read_pipes_and_devices", home=hf_home, args=args, env=env, memory=8 << 30
    ).result
    for title, outcome in found.items():
        is_command = title.startswith(("verify", "preview"))
        # What is no file is not found by `datasets` itself.
        is_not_found = "data_files" in title and "FileNotFoundError" in str(outcome)
        assert outcome == (1 if is_command else "IdxError") or is_not_found, title


@pytest.mark.slow
@linux_only
@pytest.mark.parametrize("place", ["local", pytest.param("remote", marks=SLOW)])
def test_a_stream_begun_before_a_fork_goes_on_or_is_refused(
    place: str, serve: Callable[..., Server], hf_home: Path, tmp_path: Path
) -> None:
    labels = np.arange(5000, dtype=np.int32)
    files = {IMAGES: to_idx(random_images(5000, 6, 6)), "train-labels-idx1-int": to_idx(labels)}
    path = str(write_archive(tmp_path / "data", files))
    if place == "remote":
        path = serve({"/set.tar": make_tar(files)}).url("/set.tar")
    options = {"path": "idxfolder", "data_dir": path, "label_names": [str(n) for n in range(5000)]}
    args = {"options": options, "count": 150, "answer": str(tmp_path / "answer")}
    begun, in_parent, in_child = run_client(
        "fork_a_stream", home=hf_home, args=args, timeout=60
    ).result
    assert begun == labels[:150].tolist()
    assert in_parent == labels[150:].tolist()
    assert in_child in ("IdxError", labels[150:].tolist())


LONG = {IMAGES: to_idx(random_images(9000, 20, 20)), LABELS: to_idx(np.zeros(9000, np.uint8))}


@pytest.mark.slow
@pytest.mark.parametrize(
    "num_shards",
    [
        pytest.param(1, id="one-shard"),
        pytest.param(4, id="four-shards", marks=SLOW),
    ],
)
def test_a_program_may_end_before_its_stream(num_shards: int, hf_home: Path) -> None:
    args = {"options": {"path": "mnist_idx", "name": "tiny", "num_shards": num_shards}}
    outcome = run_client("leave_a_stream_unread", home=hf_home, args=args, timeout=60)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert len(outcome.result) == 101


@pytest.mark.slow
def test_a_program_may_end_while_its_stream_waits_for_a_server(
    serve: Callable[..., Server], hf_home: Path
) -> None:
    server = serve()
    urls = [server.put(f"/{name}", data) for name, data in LONG.items()]
    # The first records arrive. While the program ends, more are waited for.
    server.behave(f"/{IMAGES}", stall_after=10, skip=7, methods=("GET",))
    args = {"options": {"path": "idxfolder", "data_files": {"train": urls}}}
    env = {"HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    outcome = run_client("leave_a_stream_unread", home=hf_home, args=args, env=env, timeout=60)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert len(outcome.result) == 101
    assert server.count(f"/{IMAGES}", "GET") > 7


@pytest.mark.slow
@pytest.mark.parametrize("place", ["local", "remote"])
def test_a_stream_may_be_collected_by_any_thread(
    place: str, serve: Callable[..., Server], hf_home: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"data_dir": str(write_archive(tmp_path / "data", LONG))}
    if place == "remote":
        server = serve()
        server.behave(bandwidth=2e6)
        options = {"data_files": {"train": [server.put(f"/{n}", data) for n, data in LONG.items()]}}
    args = {
        "options": {"path": "idxfolder", "as_array": True, **options},
        "times": 15 if place == "local" else 3,
    }
    outcome = run_client("collect_streams", home=hf_home, args=args, timeout=30)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="makes folders by mkdir and rm")
def test_nested_folders_are_read_or_refused(hf_home: Path, tmp_path: Path) -> None:
    deep = Path("nested", *["d"] * 1200)
    subprocess.run(["mkdir", "-p", str(deep)], cwd=tmp_path, check=True)
    for name, content in GOOD.items():
        (tmp_path / deep / name).write_bytes(content)
    try:
        args = {"seconds": 5}
        found = run_client("visit_nested_folders", home=hf_home, cwd=tmp_path, args=args).result
        assert sorted(os.listdir(tmp_path / deep)) == sorted(GOOD)
    finally:
        # The folders are deeper than Python removes.
        subprocess.run(["rm", "-rf", "nested"], cwd=tmp_path, check=True)
    assert found.pop("prepared") in ("<class 'NoneType'>", "IdxError")
    assert found.pop("streamed") in ("<class 'NoneType'>", "IdxError")
    assert found.pop("arrays") in (6, "IdxError")
    assert found.pop("verify") in (0, 1)
    assert found.pop("preview") in (0, 1)
    assert set(found.values()) == {"IdxError"}, "writing"


# Sizes


@pytest.mark.slow
@linux_only
def test_sizes_that_no_memory_holds_are_refused_at_once(hf_home: Path) -> None:
    outcome = run_client("ask_for_sizes", home=hf_home, memory=6 << 30, args={"seconds": 10})
    found = outcome.result
    assert found.pop("sane") == [2, 12, [3, 2000, 2000]]
    for name, ended in found.items():
        assert ended == (1 if name.startswith("convert") else "IdxError"), name
    assert outcome.peak < 2 << 30


# What `verify` calls valid is what can be loaded

GOOD_IMAGES, GOOD_LABELS = np.ones((3, 2, 2), np.uint8), np.arange(3, dtype=np.uint8)
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx", "train-labels-idx"


def verify_quietly(path: str) -> tuple[int, str]:
    """The exit code of `verify`, and what it prints on stdout."""
    with (
        contextlib.redirect_stdout(io.StringIO()) as table,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        code = main(["verify", path])
    return code, table.getvalue()


def assert_verify_says_whether_it_loads(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    """`verify` calls the files of the arrays valid if all splits are loaded from them."""
    files = {name: to_idx(array) for name, array in arrays.items()}
    path = str(write_archive(folder, files))
    code, printed = verify_quietly(path)
    try:
        images, labels = mnist_idx.load_arrays("idxfolder", data_dir=path, split="all")
    except IdxError as error:
        assert (code, "all valid" in printed) == (1, False), str(error)
        return
    assert (code, "INVALID" in printed) == (0, False)
    expected = arrays[TRAIN_IMAGES]
    np.testing.assert_array_equal(images[: len(expected)], expected)  # "train" comes first
    if TRAIN_LABELS in arrays:
        assert labels is not None
        np.testing.assert_array_equal(labels[: len(expected)], arrays[TRAIN_LABELS])


@pytest.mark.parametrize("dimensions", range(1, 9))
def test_verify_says_whether_images_of_any_dimensions_load(dimensions: int, tmp_path: Path) -> None:
    images = np.ones((3, *[2] * (dimensions - 1)), np.uint8)
    arrays = {TRAIN_IMAGES: images, TRAIN_LABELS: GOOD_LABELS}
    assert_verify_says_whether_it_loads(tmp_path / "data", arrays)


@pytest.mark.parametrize(
    "images",
    [
        pytest.param(np.ones((3, 2, 2, 1), np.uint8), id="one-channel"),
        pytest.param(np.ones((3, 2, 2, 3), np.uint8), id="RGB"),
        pytest.param(np.ones((3, 2, 2, 4), np.uint8), id="four-channels"),
        pytest.param(np.ones((3, 2, 2, 3), np.float32), id="RGB-of-floats"),
        pytest.param(np.ones((3, 2), np.float64), id="rows-of-floats"),
        pytest.param(np.ones((3, 0, 2), np.uint8), id="side-of-zero"),
        pytest.param(np.ones((0, 0, 2), np.uint8), id="no-records-and-side-of-zero"),
        pytest.param(np.ones((0, 2, 2), np.uint8), id="no-records"),
        pytest.param(np.ones(3, np.float32), id="numbers"),
        pytest.param(np.ones((3, 1, 1, 1, 1), np.int16), id="five-dimensions-of-int16"),
        pytest.param(np.ones((3, *[1] * 30), np.uint8), id="31-dimensions"),
        pytest.param(np.ones((3, *[1] * 31), np.uint8), id="32-dimensions"),
    ],
)
def test_verify_says_whether_odd_images_load(images: np.ndarray, tmp_path: Path) -> None:
    arrays = {TRAIN_IMAGES: images, TRAIN_LABELS: GOOD_LABELS}
    assert_verify_says_whether_it_loads(tmp_path / "data", arrays)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.arange(3, dtype=np.uint8), id="bytes"),
        pytest.param(np.arange(3, dtype=np.int32), id="integers"),
        pytest.param(np.arange(3, dtype=np.float32), id="floats"),
        pytest.param(np.array([0, 1, 99_999], np.int32), id="the-largest-class"),
        pytest.param(np.ones((3, 2), np.uint8), id="two-parts"),
        pytest.param(np.array([[0, -5]] * 3, np.int32), id="a-negative-second-part"),
        pytest.param(np.ones((3, 0), np.uint8), id="no-parts"),
        pytest.param(np.ones((3, 2, 2), np.uint8), id="three-dimensions"),
        pytest.param(np.ones((3, 1, 1, 1), np.uint8), id="four-dimensions"),
        pytest.param(np.arange(4, dtype=np.uint8), id="one-too-many"),
        pytest.param(np.arange(0, dtype=np.uint8), id="none-of-them"),
    ],
)
def test_verify_says_whether_odd_labels_load(labels: np.ndarray, tmp_path: Path) -> None:
    arrays = {TRAIN_IMAGES: GOOD_IMAGES, TRAIN_LABELS: labels}
    assert_verify_says_whether_it_loads(tmp_path / "data", arrays)


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(np.array([0, -1, 1], np.int8), id="a-negative-one"),
        pytest.param(np.array([0, 1, 100_000], np.int32), id="larger-than-the-largest-class"),
    ],
)
def test_verify_calls_labels_invalid_that_only_load_arrays_takes(
    labels: np.ndarray, tmp_path: Path
) -> None:
    files = {TRAIN_IMAGES: to_idx(GOOD_IMAGES), TRAIN_LABELS: to_idx(labels)}
    path = str(write_archive(tmp_path / "data", files))
    code, printed = verify_quietly(path)
    assert (code, "INVALID" in printed) == (1, True)
    with pytest.raises(IdxError, match="expected 0 to 99,999"):
        mnist_idx.load_dataset("idxfolder", data_dir=path, streaming=True)
    _, found = mnist_idx.load_arrays("idxfolder", data_dir=path)
    np.testing.assert_array_equal(found, labels)


def test_verify_says_whether_a_lone_file_loads(tmp_path: Path) -> None:
    assert_verify_says_whether_it_loads(tmp_path / "images", {TRAIN_IMAGES: GOOD_IMAGES})
    assert_verify_says_whether_it_loads(tmp_path / "labels", {TRAIN_LABELS: GOOD_LABELS})


@pytest.mark.parametrize("train_has_labels", [True, False])
@pytest.mark.parametrize(
    "test_images",
    [
        pytest.param(np.ones((2, 2, 2), np.uint8), id="of-the-same-kind"),
        pytest.param(np.ones((2, 3, 3), np.uint8), id="of-another-size"),
        pytest.param(np.ones((2, 2, 2), np.int16), id="of-integers"),
        pytest.param(np.ones((2, 2, 2), np.float32), id="of-floats"),
        pytest.param(np.ones((2, 2, 2, 3), np.uint8), id="of-RGB"),
    ],
)
def test_verify_says_whether_a_second_split_without_labels_loads(
    test_images: np.ndarray, train_has_labels: bool, tmp_path: Path
) -> None:
    arrays = {TRAIN_IMAGES: GOOD_IMAGES, "t10k-images-idx": test_images}
    if train_has_labels:
        arrays[TRAIN_LABELS] = GOOD_LABELS
    assert_verify_says_whether_it_loads(tmp_path / "data", arrays)
