"""Memory and time depend on what is asked for, not on what a header announces or a file holds."""

import bz2
import gzip
import os
import random
import re
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import run_client, run_snippet
from idx_files import numbered_images, random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all
from memory import RECORD_BYTES, write_large_images
from representatives import slow_but_first

pytestmark = [
    pytest.mark.measures,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status"),
]

SLOW = pytest.mark.slow
MB = 1 << 20
LIMIT = 6 << 30  # of address space: what needs more must fail, not take the machine with it
MOST = (1 << 32) - 1  # records that a header can announce


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not outlive the test, with an empty `HF_HOME`."""
    (tmp_path / "scratch" / "hf_home").mkdir(parents=True)
    yield tmp_path / "scratch"
    shutil.rmtree(tmp_path / "scratch")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The memory of a client that only imports."""
    home = tmp_path_factory.mktemp("imported") / "hf_home"
    home.mkdir()
    return run_snippet("import datasets, mnist_idx, PIL.Image", home=home).peak


def shuffled(seed: int, count: int) -> list[int]:
    order = list(range(count))
    random.Random(seed).shuffle(order)
    return order


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "form", "pack"),
    [
        pytest.param("streamed", "folder", gzip.compress, id="streamed from gzip"),
        pytest.param("prepared", "folder", gzip.compress, id="prepared from gzip"),
        pytest.param("arrays", "folder", gzip.compress, id="arrays from gzip"),
        pytest.param("streamed", "deflated.zip", gzip.compress, id="gzip in a zip"),
        pytest.param("streamed", "folder", bz2.compress, id="streamed from bzip2"),
    ],
)
def test_labels_that_are_larger_than_images(
    mode: str,
    form: str,
    pack: Any,
    scratch: Path,
    imported: int,
) -> None:
    """A few kilobytes become a gigabyte: batches that suit the images do not suit the labels."""
    # `datasets` stores eight bytes for each part, and maps the whole file into its address space.
    count, parts = 40 if mode == "prepared" else 200, 4 << 20
    header, zeros = struct.pack(">HBBII", 0, 8, 2, count, parts), pack(bytes(parts))
    files = {"train-images": to_idx(random_images(count, 4, 4)), "train-labels": b""}
    files["train-labels"] = pack(header) + count * zeros
    place = write_archive(scratch / form, files)
    args = {"mode": mode, "place": str(place)}
    found = run_client("count_labels", home=scratch / "hf_home", args=args, memory=LIMIT)
    asked = 0
    if mode == "arrays" and found.result == count:  # the only way that asks for all labels at once
        asked = count * parts
    assert found.result == count or "train-labels" in found.result
    assert found.peak < imported + asked + 400 * MB


@pytest.fixture
def announced(scratch: Path) -> Path:
    """A folder of as many images, of one pixel each, as a header can announce."""
    (scratch / "x").mkdir()
    with open(scratch / "x" / "train-images", "wb") as file:
        file.write(struct.pack(">HBBIII", 0, 8, 3, MOST, 1, 1) + bytes(range(200)))
    os.truncate(scratch / "x" / "train-images", 16 + MOST)
    return scratch / "x"


@pytest.mark.slow
@pytest.mark.parametrize("mode", slow_but_first(MODES))
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"seed": 1}, id="shuffled"),
        pytest.param({"seed": 1, "num_shards": 8}, id="shuffled in shards", marks=SLOW),
        pytest.param(
            {"sampling": "uniform", "num_samples": 3_000_000_000}, id="most of them", marks=SLOW
        ),
    ],
)
def test_an_order_of_four_billion_records_is_refused(
    options: dict[str, Any],
    mode: str,
    announced: Path,
) -> None:
    args = {"mode": mode, "options": {"data_dir": str(announced), **options}}
    home = announced.parent / "hf_home"
    found = run_client("load_or_refuse", home=home, args=args, memory=LIMIT, timeout=30)
    assert "train-images" in found.result
    assert found.peak < 1 << 30


def test_an_order_that_is_too_large_is_refused_before_anything_is_prepared(
    announced: Path,
) -> None:
    damaged = announced.parent / "test-images.gz"
    damaged.write_bytes(gzip.compress(to_idx(random_images(3_000, 32, 32)))[:-9])
    files = {"test": [str(damaged)], "train": [str(announced / "train-images")]}
    args = {"mode": "prepared", "options": {"data_files": files, "seed": 1}}
    home = announced.parent / "hf_home"
    found = run_client("load_or_refuse", home=home, args=args, memory=LIMIT, timeout=30)
    assert "train-images: an order of 4,294,967,295 records" in found.result


@SLOW
def test_an_order_that_finds_no_memory_is_refused(scratch: Path) -> None:
    code = """
from mnist_idx.errors import IdxError
from mnist_idx.selection import Selection
try:
    Selection(seed=1).numbers(130_000_000, "title")
except IdxError as error:
    result = str(error)
"""
    found = run_snippet(code, home=scratch / "hf_home", memory=450 * MB)
    assert "title: an order of 130,000,000 records does not fit into memory" in found.result


@pytest.mark.parametrize("mode", slow_but_first(["arrays", "streamed"]))
def test_shuffled_records_of_twice_the_memory(mode: str, scratch: Path) -> None:
    """As arrays they are refused, before memory is taken for them. A stream reads them."""
    record_bytes = 64 << 20
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) * 1024
    count = 2 * memory // record_bytes
    (scratch / "x").mkdir()
    with open(scratch / "x" / "train-images", "wb") as raw:
        raw.write(struct.pack(">HBBIII", 0, 8, 3, count, 8 << 10, 8 << 10))
        raw.truncate(16 + count * record_bytes)
    options = {"data_dir": str(scratch / "x"), "seed": 1, "as_array": True}
    args = {"mode": mode, "options": options}
    found = run_client("load_or_refuse", home=scratch / "hf_home", args=args, timeout=60)
    if mode == "arrays":
        assert f"train-images: {count:,} records do not fit into memory" in found.result
        assert "GB of memory are free" in found.result
    else:
        assert found.result == "loaded"
    assert found.peak is not None
    assert found.peak < 1 << 30


@pytest.mark.parametrize("split", ["train", "train+train"])
def test_shuffled_records_of_more_than_the_process_may_take(split: str, scratch: Path) -> None:
    """They are refused before memory is taken for them, each part or all together."""
    limit, record_bytes = 2 << 30, 1 << 20
    count = (3 << 30) // record_bytes // len(split.split("+"))
    (scratch / "x").mkdir()
    with open(scratch / "x" / "train-images", "wb") as raw:
        raw.write(struct.pack(">HBBIII", 0, 8, 3, count, 1 << 10, 1 << 10))
        raw.truncate(16 + count * record_bytes)
    code = f"""
import mnist_idx
try:
    mnist_idx.load_arrays("idxfolder", data_dir={str(scratch / "x")!r}, seed=1, split={split!r})
except mnist_idx.IdxError as error:
    result = str(error)
"""
    found = run_snippet(code, home=scratch / "hf_home", memory=limit)
    assert "train-images: 3,072 records do not fit into memory: they take 3.2 GB" in found.result
    assert re.search(r"and [012]\.\d GB of memory are free", found.result)
    assert found.peak is not None
    assert found.peak < 300 * MB


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "order"),
    [
        pytest.param({"num_samples": 100}, shuffled(1, 100), id="the first", marks=SLOW),
        pytest.param(
            {"num_samples": 100, "seed": 7}, shuffled(7, 100), id="another seed", marks=SLOW
        ),
        pytest.param(
            {"num_samples": 100, "seed": 1, "sampling": "uniform"},
            random.Random(1).sample(range(MOST), 100),
            id="drawn from all",
        ),
    ],
)
def test_a_few_of_four_billion_records(
    options: dict[str, Any],
    order: list[int],
    announced: Path,
) -> None:
    with open(announced / "train-images", "r+b") as file:
        for value, number in enumerate(order):
            file.seek(16 + number)
            file.write(bytes([value]))
    args = {"modes": MODES, "options": {"data_dir": str(announced), **options}}
    home = announced.parent / "hf_home"
    found = run_client("read_pixels", home=home, args=args, memory=LIMIT, timeout=30)
    assert found.result == [list(range(100))] * 3
    assert found.peak < 1 << 30


COUNT = 1203
UNIFORM = {"seed": 9, "num_samples": 400, "sampling": "uniform"}
SAMPLED = random.Random(9).sample(range(COUNT), 400)


@pytest.mark.parametrize(
    ("packing", "num_shards"),
    [pytest.param(bytes, 7, id="plain-in-shards"), pytest.param(gzip.compress, 1, id="gzip")],
)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("options", "order"),
    [
        pytest.param({"seed": 5}, shuffled(5, COUNT), id="all"),
        pytest.param({"seed": 0, "num_samples": 400}, shuffled(0, 400), id="the first"),
        pytest.param({"num_samples": 400}, shuffled(1, 400), id="no seed"),
        pytest.param(UNIFORM, SAMPLED, id="drawn from all"),
    ],
)
def test_selections_have_the_order_of_the_standard_library(
    packing: Any,
    options: dict[str, Any],
    order: list[int],
    mode: str,
    num_shards: int,
    tmp_path: Path,
) -> None:
    images, labels = numbered_images(COUNT, 6), random_labels(COUNT)
    files = {"train-images": packing(to_idx(images)), "train-labels": packing(to_idx(labels))}
    place = str(write_archive(tmp_path / "x", files))
    options = {"as_array": True, "num_shards": num_shards, "splits": ["train"], **options}
    found = read_all(mode, "idxfolder", data_dir=place, **options)
    assert_same(found, {"train": (images[order], labels[order])})


ARRAY = {"as_array": True}


@SLOW
@pytest.mark.parametrize(
    ("mode", "count", "options"),
    [
        pytest.param("prepared", 250, ARRAY, id="prepared"),
        pytest.param("prepared", 150, {**ARRAY, "seed": 1}, id="prepared, shuffled"),
        pytest.param("streamed", 150, {**ARRAY, "seed": 1}, id="streamed, shuffled"),
        pytest.param("streamed", 150, {**ARRAY, "seed": 1, "num_shards": 8}, id="in shards"),
        pytest.param("streamed", 150, {"seed": 1}, id="streamed pictures, shuffled"),
        pytest.param("prepared", 150, {"seed": 1}, id="prepared pictures, shuffled"),
        pytest.param("streamed", 150, ARRAY, id="streamed"),
    ],
)
def test_large_images_are_not_kept_in_memory(
    mode: str,
    count: int,
    options: dict[str, Any],
    scratch: Path,
    imported: int,
) -> None:
    place = str(write_large_images(scratch / "x" / "train-images", count))
    form = "numpy" if "as_array" in options else None
    args = {"mode": mode, "options": {"data_dir": place, **options}, "row_format": form}
    found = run_client(
        "load_large_images", home=scratch / "hf_home", args=args, memory=LIMIT
    ).result
    expected = shuffled(1, count) if "seed" in options else list(range(count))
    assert found["numbers"] == expected
    assert found["peak"] < imported + 300 * MB


@SLOW
@pytest.mark.compat
@pytest.mark.parametrize(
    "options", [pytest.param({}, id="pictures"), pytest.param(ARRAY, id="arrays")]
)
def test_every_version_of_datasets_writes_large_images_as_they_come(
    options: dict[str, Any], python: str, scratch: Path
) -> None:
    place = str(write_large_images(scratch / "x" / "train-images", 250))
    home = scratch / "hf_home"
    base = run_snippet("import datasets, mnist_idx, PIL.Image", home=home, python=python).peak
    assert base is not None
    form = "numpy" if options else None
    args = {"mode": "prepared", "options": {"data_dir": place, **options}, "row_format": form}
    found = run_client("load_large_images", home=home, args=args, memory=LIMIT, python=python)
    assert found.result["numbers"] == list(range(250))
    assert found.result["peak"] < base + 300 * MB


@SLOW
def test_pictures_that_do_not_compress_are_not_kept_in_memory(scratch: Path, imported: int) -> None:
    noise = np.random.default_rng(0).bytes(RECORD_BYTES + 200)
    place = str(write_large_images(scratch / "x" / "train-images", 110, noise))
    args = {"mode": "prepared", "options": {"data_dir": place}, "row_format": None}
    found = run_client(
        "load_large_images", home=scratch / "hf_home", args=args, memory=LIMIT
    ).result
    assert found["numbers"] == list(range(110))
    assert found["peak"] < imported + 300 * MB


@SLOW
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"seed": 1}, id="shuffled"),
        pytest.param({"seed": 1, "streaming": True}, id="shuffled-and-streamed"),
        pytest.param({}, id="in-order"),
    ],
)
def test_arrays_are_in_memory_once(options: dict[str, Any], scratch: Path, imported: int) -> None:
    count = 150
    place = str(write_large_images(scratch / "x" / "train-images", count))
    args = {"mode": "arrays", "options": {"data_dir": place, **options}, "row_format": None}
    found = run_client(
        "load_large_images", home=scratch / "hf_home", args=args, memory=LIMIT
    ).result
    assert found["numbers"] == (shuffled(1, count) if "seed" in options else list(range(count)))
    assert found["peak"] < imported + count * RECORD_BYTES + 70 * MB


@SLOW
@pytest.mark.parametrize(
    ("split", "places"),
    [
        pytest.param("train+test", [("train", 0, 90), ("test", 0, 60)], id="two splits"),
        pytest.param(
            "test[10:]+train[:50]+test[:30]",
            [("test", 10, 60), ("train", 0, 50), ("test", 0, 30)],
            id="parts of splits",
        ),
    ],
)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="in order"),
        pytest.param({"seed": 1}, id="shuffled"),
        pytest.param({"seed": 1, "transpose": True}, id="shuffled and transposed"),
    ],
)
def test_arrays_of_several_parts_are_in_memory_once(
    options: dict[str, Any],
    split: str,
    places: list[tuple[str, int, int]],
    scratch: Path,
    imported: int,
) -> None:
    sizes = {"train": 90, "test": 60}
    for name, size in sizes.items():
        write_large_images(scratch / "x" / f"{name}-images", size)
    expected: list[int] = []
    for name, start, stop in places:
        order = shuffled(1, sizes[name]) if "seed" in options else list(range(sizes[name]))
        expected += order[start:stop]
    args = {
        "mode": "arrays",
        "options": {"data_dir": str(scratch / "x"), **options},
        "row_format": None,
        "split": split,
    }
    home = scratch / "hf_home"
    found = run_client("load_large_images", home=home, args=args, memory=LIMIT).result
    if "transpose" not in options:  # The numbers are elsewhere in transposed images.
        assert found["numbers"] == expected
    assert found["peak"] < imported + len(expected) * RECORD_BYTES + 70 * MB


@SLOW
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="as many at once as suits"),
        pytest.param({"writer_batch_size": 1000}, id="more at once than Arrow can hold"),
    ],
)
def test_more_arrays_than_fit_into_a_batch_of_arrow(options: dict[str, Any], scratch: Path) -> None:
    """2.4 GB: offsets of lists have 31 bits."""
    if shutil.disk_usage(scratch).free < 6 << 30:
        pytest.skip("needs 6 GB of disk space")
    place = str(write_large_images(scratch / "x" / "train-images", 600))
    options = {"data_dir": place, **ARRAY, **options}
    args = {"mode": "prepared", "options": options, "row_format": "numpy"}
    found = run_client("load_large_images", home=scratch / "hf_home", args=args, memory=10 << 30)
    assert found.result["numbers"] == list(range(600))
