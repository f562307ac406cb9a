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
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")

# What never ends: each call has some seconds, see `timed_calls.outcome`


@linux_only
def test_pipes_and_devices_are_refused_at_once(hf_home: Path, tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    args = {"place": str(tmp_path / "p"), "seconds": 2}
    env = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # of the mirrors, no other answers
    found = run_client(
        "read_pipes_and_devices", home=hf_home, args=args, env=env, memory=8 << 30
    ).result
    refused = {
        title: 1 if title.startswith(("verify", "preview")) else "IdxError" for title in found
    }
    # What is no file is not found by the library itself.
    not_found = {
        title
        for title in found
        if "FileNotFoundError" in str(found[title]) and "data_files" in title
    }
    assert {
        title: found[title]
        for title in found
        if title not in not_found and found[title] != refused[title]
    } == {}


@linux_only
@pytest.mark.parametrize("place", ["local", pytest.param("remote", marks=pytest.mark.slow)])
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


@pytest.mark.parametrize(
    "kind",
    [
        "tiny",
        pytest.param("shards", marks=pytest.mark.slow),
        pytest.param("stalled server", marks=pytest.mark.slow),
    ],
)
def test_a_program_may_end_before_its_stream(
    kind: str, serve: Callable[..., Server], hf_home: Path
) -> None:
    options: dict[str, Any] = {"path": "mnist_idx", "name": "tiny"}
    if kind == "shards":
        options["num_shards"] = 4
    if kind == "stalled server":
        server = serve()
        urls = [server.put(f"/{name}", data) for name, data in LONG.items()]
        # The first records arrive. While the program ends, more are waited for.
        server.behave(f"/{IMAGES}", stall_after=10, skip=7, methods=("GET",))
        options = {"path": "idxfolder", "data_files": {"train": urls}}
    env = {"HF_HUB_DOWNLOAD_TIMEOUT": "2"}
    args = {"options": options}
    outcome = run_client("leave_a_stream_unread", home=hf_home, args=args, env=env, timeout=60)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert len(outcome.result) == 101
    if kind == "stalled server":
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
        subprocess.run(
            ["rm", "-rf", "nested"], cwd=tmp_path, check=True
        )  # deeper than Python removes
    for way in ("prepared", "streamed", "arrays", "verify", "preview"):
        expected = {"arrays": 6, "verify": 0, "preview": 0}.get(way, "<class 'NoneType'>")
        assert found.pop(way) in (expected, 1 if expected == 0 else "IdxError")
    assert set(found.values()) == {"IdxError"}


# Sizes


@linux_only
def test_sizes_that_no_memory_holds_are_refused_at_once(hf_home: Path) -> None:
    outcome = run_client("ask_for_sizes", home=hf_home, memory=6 << 30, args={"seconds": 10})
    assert outcome.result.pop("sane") == [2, 12, [3, 2000, 2000]]
    refused = {name: 1 if name.startswith("convert") else "IdxError" for name in outcome.result}
    assert {name: found for name, found in outcome.result.items() if found != refused[name]} == {}
    assert outcome.peak < 2 << 30


# What `verify` calls valid is what can be loaded

GOOD_PAIR = (np.ones((3, 2, 2), np.uint8), np.arange(3, dtype=np.uint8))

IMAGE_ARRAYS = [
    pytest.param(np.ones((3, *[2] * (n - 1)), np.uint8), id=f"{n} dimensions") for n in range(1, 9)
]
IMAGE_ARRAYS += [
    pytest.param(np.ones((3, 2, 2, 1), np.uint8), id="one channel"),
    pytest.param(np.ones((3, 2, 2, 3), np.uint8), id="RGB"),
    pytest.param(np.ones((3, 2, 2, 4), np.uint8), id="four channels"),
    pytest.param(np.ones((3, 2, 2, 3), np.float32), id="RGB of floats"),
    pytest.param(np.ones((3, 2), np.float64), id="rows of floats"),
    pytest.param(np.ones((3, 0, 2), np.uint8), id="side of zero"),
    pytest.param(np.ones((0, 0, 2), np.uint8), id="no records, side of zero"),
    pytest.param(np.ones((0, 2, 2), np.uint8), id="no records"),
    pytest.param(np.ones(3, np.float32), id="numbers"),
    pytest.param(np.ones((3, 1, 1, 1, 1), np.int16), id="five dimensions of int16"),
    pytest.param(np.ones((3, *[1] * 30), np.uint8), id="31 dimensions"),
    pytest.param(np.ones((3, *[1] * 31), np.uint8), id="32 dimensions"),
    pytest.param(None, id="no images"),
]
LABEL_ARRAYS = [
    pytest.param(None, id="none"),
    pytest.param(np.arange(3, dtype=np.uint8), id="bytes"),
    pytest.param(np.arange(3, dtype=np.int32), id="integers"),
    pytest.param(np.arange(3, dtype=np.float32), id="floats"),
    pytest.param(np.array([0, -1, 1], np.int8), id="negative"),
    pytest.param(np.array([0, 1, 99_999], np.int32), id="largest class"),
    pytest.param(np.array([0, 1, 100_000], np.int32), id="too large"),
    pytest.param(np.ones((3, 2), np.uint8), id="two parts"),
    pytest.param(np.array([[0, -5]] * 3, np.int32), id="negative second part"),
    pytest.param(np.ones((3, 0), np.uint8), id="no parts"),
    pytest.param(np.ones((3, 2, 2), np.uint8), id="3-D"),
    pytest.param(np.ones((3, 1, 1, 1), np.uint8), id="4-D"),
    pytest.param(np.arange(4, dtype=np.uint8), id="one too many"),
    pytest.param(np.arange(0, dtype=np.uint8), id="none of them"),
]


PAIRS = [
    pytest.param(p.values[0], LABEL_ARRAYS[1].values[0], {}, id=f"images: {p.id}")
    for p in IMAGE_ARRAYS
]
PAIRS += [
    pytest.param(IMAGE_ARRAYS[2].values[0], p.values[0], {}, id=f"labels: {p.id}")
    for p in LABEL_ARRAYS
]
TEST = "t10k-images-idx"
PAIRS += [
    pytest.param(*GOOD_PAIR, {TEST: np.ones((2, 2, 2), np.uint8)}, id="test split without labels"),
    pytest.param(*GOOD_PAIR, {TEST: np.ones((2, 3, 3), np.uint8)}, id="test split of another size"),
    pytest.param(*GOOD_PAIR, {TEST: np.ones((2, 2, 2), np.int16)}, id="test split of another type"),
    pytest.param(
        GOOD_PAIR[0], None, {TEST: np.ones((2, 2, 2), np.uint8)}, id="two splits without labels"
    ),
    pytest.param(
        GOOD_PAIR[0], None, {TEST: np.ones((2, 3, 3), np.uint8)}, id="two splits of two sizes"
    ),
    pytest.param(GOOD_PAIR[0], None, {TEST: np.ones((2, 2, 2, 3), np.uint8)}, id="gray and RGB"),
    pytest.param(
        GOOD_PAIR[0], None, {TEST: np.ones((2, 2, 2), np.float32)}, id="two splits of two types"
    ),
]


@pytest.mark.parametrize(("images", "labels", "others"), PAIRS)
def test_verify_calls_valid_what_can_be_loaded(
    images: Any, labels: Any, others: Any, tmp_path: Path
) -> None:
    arrays = {"train-images-idx": images, "train-labels-idx": labels, **others}
    files = {name: to_idx(array) for name, array in arrays.items() if array is not None}
    path = str(write_archive(tmp_path / "data", files))
    with (
        contextlib.redirect_stdout(io.StringIO()) as table,
        contextlib.redirect_stderr(io.StringIO()),
    ):
        code = main(["verify", path])
    try:
        found, values = mnist_idx.load_arrays("idxfolder", data_dir=path, split="all")
    except IdxError as error:
        assert (code, "all valid" in table.getvalue()) == (1, False), str(error)
        return
    assert (code, "INVALID" in table.getvalue()) == (0, False)
    np.testing.assert_array_equal(found[: len(images)], images)
    if labels is not None:
        assert values is not None
        np.testing.assert_array_equal(values[: len(labels)], labels)
