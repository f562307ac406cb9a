"""What the package promises, tried from outside: the real library, the real archive, served over HTTP.

What takes `python` runs in a process of its own, with an empty `HF_HOME`, once for each version of `datasets` there is.
"""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
import os
import random
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients import ROOT, datasets_version, digest, digest_arrays, fingerprint, run_client, tree
from conftest import ARCHIVE, MEMBERS
from http_server import Server

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]

COUNTS = {"train": 60000, "test": 10000}


def major(python: str) -> int:
    return int(datasets_version(python).partition(".")[0])


def epynn(images: np.ndarray, labels: np.ndarray, count: int, seed: int) -> list[tuple[np.ndarray, int]]:
    """EpyNN's `prepare_dataset`: pair the first images with their labels, shuffle the pairs."""
    pairs = list(zip(images[:count], labels[:count].tolist(), strict=True))
    random.seed(seed)
    random.shuffle(pairs)
    return pairs


def epynn_digest(arrays: Arrays, split: str, count: int, seed: int) -> list[Any]:
    images, labels = zip(*epynn(*arrays[split], count, seed), strict=True)
    return digest_arrays(np.stack(images), labels)


@pytest.fixture(scope="session")
def positions(mnist_arrays: Arrays) -> dict[str, dict[bytes, int]]:
    """Split -> where an image stands in it. (No two images of a split are the same.)"""
    return {split: {image.tobytes(): i for i, image in enumerate(x)} for split, (x, _) in mnist_arrays.items()}


# The name


@pytest.fixture(params=["empty", "csv", "root", "namesake"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Folders that a program may run in."""
    if request.param == "root":
        return ROOT
    place = tmp_path / request.param
    place.mkdir()
    if request.param == "csv":
        for i in range(3):
            (place / f"table{i}.csv").write_text("a,b\n1,2\n")
    if request.param == "namesake":  # an unrelated folder that happens to have the data set's name
        (place / "mnist_idx").mkdir()
        (place / "mnist_idx" / "other.csv").write_text("a,b\n1,2\n")
    return place


INSPECT = """
import datasets, json
import mnist_idx
names = datasets.get_dataset_config_names("mnist_idx")
builder = datasets.load_dataset_builder("mnist_idx")
info = datasets.get_dataset_config_info("mnist_idx", config_name="mnist")
infos = datasets.get_dataset_infos("mnist_idx")
data = datasets.load_dataset("mnist_idx", "tiny")
result = {
    "names": names,
    "default": datasets.get_dataset_default_config_name("mnist_idx"),
    "splits": datasets.get_dataset_split_names("mnist_idx"),
    "info": {name: split.num_examples for name, split in info.splits.items()},
    "infos": sorted(infos),
    "builder": type(builder).__name__,
    "config": builder.config.name,
    "image": type(builder.info.features["image"]).__name__,
    "labels": builder.info.features["label"].names,
    "tiny": {name: len(split) for name, split in data.items()},
    "tiny streamed": sum(1 for _ in datasets.load_dataset("mnist_idx", "tiny", split="test", streaming=True)),
    "licence": builder.info.license,
    "citation": builder.info.citation,
    "description": builder.info.description,
}
"""


@pytest.mark.compat
def test_the_name_resolves_from_any_folder(python: str, folder: Path, hf_home: Path) -> None:
    if major(python) < 4:
        pytest.skip("datasets 3.x runs the script by its path")
    before = set(folder.iterdir())
    found = run_client(INSPECT, home=hf_home, python=python, cwd=folder).result
    assert set(folder.iterdir()) - before <= {folder / "__pycache__"}
    assert {"mnist", "subset", "tiny"} <= set(found["names"])
    assert set(found["infos"]) == set(found["names"])
    assert found["default"] == "mnist"
    assert found["config"] == "mnist"
    assert sorted(found["splits"]) == ["test", "train"]
    assert found["info"] == COUNTS
    assert found["builder"] == "MnistIdx"
    assert found["image"] == "Image"
    assert found["labels"] == [str(i) for i in range(10)]
    assert found["tiny"] == {"train": 1000, "test": 200}
    assert found["tiny streamed"] == 200
    assert "LeCun" in found["citation"]
    assert found["licence"]
    assert found["description"]


OTHERS = """
import os
if args["registered"]:
    import mnist_idx
import datasets
def outcome(call):
    try:
        return repr(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}".replace(os.environ["HF_HOME"], "HOME").replace(os.getcwd(), "CWD")
open("table.csv", "w").write("a,b\\n1,2\\n")
os.makedirs("mnist", exist_ok=True)
open("mnist/table.csv", "w").write("a,b\\n1,2\\n")
result = {
    "csv": outcome(lambda: datasets.load_dataset("csv", data_files="table.csv", split="train")[0]),
    "folder": outcome(lambda: datasets.load_dataset("mnist", split="train")[0]),
    "current": outcome(lambda: datasets.load_dataset(".", data_files="table.csv", split="train")[0]),
    "missing": outcome(lambda: datasets.load_dataset("no_such_dataset_anywhere")),
    "namespaced": outcome(lambda: datasets.load_dataset("someone/mnist_idx")),
    "names": outcome(lambda: datasets.get_dataset_config_names("mnist")),
}
"""


@pytest.mark.compat
def test_other_names_resolve_as_before(python: str, tmp_path: Path) -> None:
    answers = []
    for registered in (False, True):
        home = tmp_path / str(registered)
        home.mkdir()
        outcome = run_client(
            OTHERS, home=home, python=python, args={"registered": registered}, env={"HF_HUB_OFFLINE": "1"}
        )
        answers.append(outcome.result)
    assert answers[0] == answers[1]
    assert answers[0]["csv"] == "{'a': 1, 'b': 2}"


LOADS = """
import os, datasets
import mnist_idx
from clients import digest, tree
def load(**options):
    return datasets.load_dataset("mnist_idx", **options)
result = {}
data = load(split="train[:100]", cache_dir=args["cache"])
result["slice"] = digest(data)
result["cached"] = all(file["filename"].startswith(args["cache"]) for file in data.cache_files)
result["percent"] = digest(load(split="test[50%:51%]", cache_dir=args["cache"]))
result["memory"] = digest(load(split="train[-100:]", cache_dir=args["cache"], keep_in_memory=True))
result["two"] = [len(part) for part in load(split=["train", "test"], cache_dir=args["cache"])]
result["both"] = len(load(split="train+test", cache_dir=args["cache"]))
workers = load(split="train", num_proc=2)
result["num_proc"] = [len(workers), digest(workers.select(range(100)))]
result["elsewhere"] = [name for name in tree(args["cache"]) if name.endswith(".tar")]
"""


@pytest.mark.compat
def test_options_of_load_dataset(
    python: str, server: Server, hf_home: Path, tmp_path: Path, mnist_arrays: Arrays
) -> None:
    if major(python) < 4:
        pytest.skip("datasets 3.x runs the script by its path")
    images, labels = mnist_arrays["train"]
    found = run_client(
        LOADS,
        home=hf_home,
        python=python,
        args={"cache": str(tmp_path / "cache")},
        env={"MNIST_IDX_MIRROR": server.url(ARCHIVE)},
    ).result
    first = digest_arrays(images[:100], labels[:100])
    assert found["slice"] == first
    assert found["cached"]
    assert found["percent"] == digest_arrays(*(part[5000:5100] for part in mnist_arrays["test"]))
    assert found["memory"] == digest_arrays(images[-100:], labels[-100:])
    assert found["two"] == [60000, 10000]
    assert found["both"] == 70000
    assert found["num_proc"] == [60000, first]


# Every byte

EVERYTHING = """
import datasets
from clients import digest_table
if args["way"] == "name":
    import mnist_idx
    data = datasets.load_dataset("mnist_idx")
elif args["way"] == "script":
    data = datasets.load_dataset(args["script"], trust_remote_code=True)
else:
    import mnist_idx
    builder = mnist_idx.MnistIdx()
    builder.download_and_prepare()
    data = builder.as_dataset()
result = {
    "features": str(data["train"].features),
    "splits": {name: digest_table(split) for name, split in data.items()},
    "item": [data["train"][0]["image"].mode, data["train"][0]["image"].size, data["train"][0]["label"]],
}
"""


@pytest.mark.compat
@pytest.mark.parametrize("way", ["name", "script", "builder"])
def test_every_record_equals_the_archive(
    way: str, python: str, server: Server, hf_home: Path, mnist_arrays: Arrays
) -> None:
    if way == "script" and major(python) > 3:
        pytest.skip("datasets 4 and later run no scripts")
    if way == "name" and major(python) < 4:
        pytest.skip("datasets 3.x runs the script by its path")
    found = run_client(
        EVERYTHING,
        home=hf_home,
        python=python,
        args={"way": way, "script": str(ROOT / "mnist_idx")},
        env={"MNIST_IDX_MIRROR": server.url(ARCHIVE)},
        installed=way == "script",
    ).result
    assert found["splits"] == {split: digest_arrays(*mnist_arrays[split]) for split in COUNTS}
    assert found["item"] == ["L", [28, 28], int(mnist_arrays["train"][1][0])]
    assert server.count(ARCHIVE, "GET") == 1


def test_records_as_users_read_them(
    server: Server, mirror: Callable[[Any], None], tmp_path: Path, mnist_arrays: Arrays
):
    import datasets

    import mnist_idx  # noqa: F401

    mirror(server.url(ARCHIVE))
    data = datasets.load_dataset("mnist_idx", split="test", cache_dir=str(tmp_path))
    assert digest(data) == digest_arrays(*mnist_arrays["test"])
    batch = data.with_format("numpy")[:5]
    assert np.array_equal(batch["image"], mnist_arrays["test"][0][:5])
    assert batch["label"].tolist() == mnist_arrays["test"][1][:5].tolist()


def test_split_sizes_are_declared(mirror: Callable[[Any], None], tmp_path: Path, mnist_tar: Path) -> None:
    import datasets

    import mnist_idx  # noqa: F401

    mirror(mnist_tar)
    builder = datasets.load_dataset_builder("mnist_idx", cache_dir=str(tmp_path))
    assert {name: split.num_examples for name, split in builder.info.splits.items()} == COUNTS
    declared = {name: split.num_bytes for name, split in builder.info.splits.items()}
    builder.download_and_prepare()
    for name, split in builder.info.splits.items():  # how many blocks there are makes a few bytes
        assert split.num_bytes == pytest.approx(declared[name], rel=1e-3)


# Subsets


@pytest.mark.parametrize("seed", [0, 1, 12345])
@pytest.mark.parametrize("count", [1, 2, 100, 750])
def test_subset_is_epynn_procedure(
    count: int, seed: int, mnist_tar: Path, mirror: Callable[[Any], None], tmp_path: Path, mnist_arrays: Arrays
) -> None:
    import datasets

    import mnist_idx

    mirror(mnist_tar)
    options = {"num_samples": count, "seed": seed}
    prepared = datasets.load_dataset("mnist_idx", "subset", cache_dir=str(tmp_path), **options)
    streamed = datasets.load_dataset("mnist_idx", "subset", streaming=True, **options)
    for split in COUNTS:
        expected = epynn_digest(mnist_arrays, split, count, seed)
        assert digest(prepared[split]) == expected
        assert digest(streamed[split]) == expected
        assert digest_arrays(*mnist_idx.load_arrays(split, **options)) == expected


def test_subset_defaults(mnist_tar: Path, mirror: Callable[[Any], None], tmp_path: Path, mnist_arrays: Arrays) -> None:
    import datasets

    import mnist_idx  # noqa: F401

    mirror(mnist_tar)
    data = datasets.load_dataset("mnist_idx", "subset", split="train", cache_dir=str(tmp_path))
    assert digest(data) == epynn_digest(mnist_arrays, "train", 100, 1)


@pytest.mark.parametrize("count", [20000, 60000])
def test_subset_of_more_than_the_smaller_split(
    count: int, mnist_tar: Path, mirror: Callable[[Any], None], mnist_arrays: Arrays
) -> None:
    import datasets

    import mnist_idx

    mirror(mnist_tar)
    options = {"num_samples": count, "seed": 3}
    for split, size in COUNTS.items():
        expected = epynn_digest(mnist_arrays, split, min(count, size), 3)
        assert digest_arrays(*mnist_idx.load_arrays(split, **options)) == expected
    streamed = datasets.load_dataset("mnist_idx", "subset", split="test", streaming=True, **options)
    assert digest(streamed) == epynn_digest(mnist_arrays, "test", 10000, 3)


def test_uniform_draws_without_replacement(
    mnist_tar: Path, mirror: Callable[[Any], None], tmp_path: Path, mnist_arrays: Arrays, positions: Any
) -> None:
    import datasets

    import mnist_idx

    mirror(mnist_tar)
    drawn = {}
    for split, (images, labels) in mnist_arrays.items():
        for seed in (1, 2):
            options = {"num_samples": 500, "seed": seed, "sampling": "uniform"}
            got, got_labels = mnist_idx.load_arrays(split, **options)
            where = [positions[split][image.tobytes()] for image in got]
            assert np.array_equal(labels[where], got_labels)
            assert len(set(where)) == 500
            assert where != sorted(where)
            assert min(where) < len(images) / 50 < len(images) * 49 / 50 < max(where)
            again = mnist_idx.load_arrays(split, **options)
            assert np.array_equal(got, again[0])
            drawn[split, seed] = where
            prepared = datasets.load_dataset("mnist_idx", "subset", split=split, cache_dir=str(tmp_path), **options)
            streamed = datasets.load_dataset("mnist_idx", "subset", split=split, streaming=True, **options)
            assert digest(prepared) == digest(streamed) == digest_arrays(got, got_labels)
        assert set(drawn[split, 1]) != set(drawn[split, 2])


def test_uniform_of_everything_is_a_permutation(mnist_tar: Path, mirror: Callable[[Any], None], positions: Any) -> None:
    import mnist_idx

    mirror(mnist_tar)
    images, _ = mnist_idx.load_arrays("test", num_samples=10000, seed=1, sampling="uniform")
    assert sorted(positions["test"][image.tobytes()] for image in images) == list(range(10000))


SUBSETS = """
import datasets
from clients import digest, digest_arrays
if args["script"]:
    name, more = args["script"], {"trust_remote_code": True}
else:
    import mnist_idx
    name, more = "mnist_idx", {}
result = []
for options in args["options"]:
    prepared = datasets.load_dataset(name, "subset", **options, **more)
    streamed = datasets.load_dataset(name, "subset", streaming=True, **options, **more)
    result.append([{split: digest(rows) for split, rows in way.items()} for way in (prepared, streamed)])
"""


@pytest.mark.compat
def test_subsets_are_the_same_on_every_version(
    python: str, server: Server, hf_home: Path, mirror: Callable[[Any], None], mnist_arrays: Arrays
) -> None:
    import mnist_idx

    mirror(server.url(ARCHIVE))
    options: list[dict[str, Any]] = [
        {"num_samples": 50, "seed": 7},
        {"num_samples": 1200, "seed": 1},
        {"num_samples": 300, "seed": 1, "sampling": "uniform"},
    ]
    script = str(ROOT / "mnist_idx") if major(python) < 4 else None
    found = run_client(
        SUBSETS,
        home=hf_home,
        python=python,
        args={"options": options, "script": script},
        env={"MNIST_IDX_MIRROR": server.url(ARCHIVE)},
        installed=script is not None,
    ).result
    for chosen, (prepared, streamed) in zip(options, found, strict=True):
        expected = {split: digest_arrays(*mnist_idx.load_arrays(split, **chosen)) for split in COUNTS}
        assert prepared == streamed == expected
        if chosen.get("sampling") != "uniform":
            assert expected["train"] == epynn_digest(mnist_arrays, "train", chosen["num_samples"], chosen["seed"])


BAD_OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({"num_samples": 0}, "num_samples"),
    ({"num_samples": -5}, "num_samples"),
    ({"num_samples": 60001}, "60,?000"),
    ({"num_samples": 2.5}, "num_samples"),
    ({"num_samples": "100"}, "num_samples"),
    ({"sampling": "last"}, "sampling"),
    ({"seed": "one"}, "seed"),
]


@pytest.mark.parametrize(("options", "match"), BAD_OPTIONS, ids=str)
@pytest.mark.parametrize("way", ["prepared", "streaming", "arrays"])
def test_bad_options(
    way: str, options: dict[str, Any], match: str, mnist_tar: Path, mirror: Callable[[Any], None], tmp_path: Path
) -> None:
    import datasets

    import mnist_idx

    mirror(mnist_tar)

    def load() -> None:
        if way == "arrays":
            mnist_idx.load_arrays("train", **options)
        elif way == "streaming":
            next(iter(datasets.load_dataset("mnist_idx", "subset", split="train", streaming=True, **options)))
        else:
            datasets.load_dataset("mnist_idx", "subset", split="train", cache_dir=str(tmp_path), **options)

    with pytest.raises(mnist_idx.IdxError, match=match):
        load()
    assert not any(name.endswith(".arrow") for name in tree(tmp_path))


def test_unknown_split_and_config(mnist_tar: Path, mirror: Callable[[Any], None], tmp_path: Path) -> None:
    import datasets

    import mnist_idx

    mirror(mnist_tar)
    with pytest.raises(mnist_idx.IdxError, match=r"train.*test|test.*train"):
        mnist_idx.load_arrays("validation")
    with pytest.raises(ValueError, match="subset"):
        datasets.load_dataset("mnist_idx", "no_such_config", cache_dir=str(tmp_path))


# The cache

CACHE = """
import datasets, mnist_idx
loads = [datasets.load_dataset("mnist_idx", "subset", split="train", **options) for options in args["options"]]
result = [rows.cache_files[0]["filename"] for rows in loads]
"""


def test_other_options_or_other_code_are_other_cache_entries(mnist_tar: Path, hf_home: Path, tmp_path: Path) -> None:
    def load(package: Path, *options: dict[str, Any]) -> list[str]:
        env = {"MNIST_IDX_MIRROR": str(mnist_tar), "PYTHONPATH": f"{package}{os.pathsep}{ROOT / 'tests'}"}
        return run_client(CACHE, home=hf_home, args={"options": options}, env=env).result

    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "mnist_idx", copy / "mnist_idx", ignore=shutil.ignore_patterns("__pycache__"))
    files = load(copy, {}, {"num_samples": 101}, {"seed": 2}, {"sampling": "uniform"}, {"as_array": True})
    assert len(set(files)) == len(files)
    assert load(copy, {}) == files[:1]
    with open(copy / "mnist_idx" / "idx.py", "a") as file:
        file.write("\n# changed\n")
    assert load(copy, {})[0] not in files


# Streaming

STREAM = """
import datasets
from clients import digest, tree
if args["script"]:
    name, more = args["script"], {"trust_remote_code": True}
else:
    import mnist_idx
    name, more = "mnist_idx", {}
data = datasets.load_dataset(name, args["config"], split=args["split"], streaming=True, **args["options"], **more)
result = digest(data.take(args["take"]) if args["take"] else data)
"""

LIMITS = [
    # config, split, options, bytes, requests
    ("mnist", "test", {}, 1_800_000, 20),
    ("subset", "train", {"num_samples": 100}, 150_000, 14),
    ("mnist", "train", {}, 10_100_000, 30),
]


def stream(python: str, home: Path, mirror: str, config: str, split: str, take: int = 0, **options: Any) -> Any:
    script = str(ROOT / "mnist_idx") if major(python) < 4 else None
    args = {"config": config, "split": split, "options": options, "script": script, "take": take}
    env = {"MNIST_IDX_MIRROR": mirror}
    return run_client(STREAM, home=home, python=python, args=args, env=env, installed=script is not None).result


@pytest.mark.compat
@pytest.mark.parametrize(("config", "split", "options", "most_bytes", "most_requests"), LIMITS)
def test_streaming_fetches_what_is_asked_for(
    config: str,
    split: str,
    options: dict[str, Any],
    most_bytes: int,
    most_requests: int,
    python: str,
    server: Server,
    hf_home: Path,
    mnist_arrays: Arrays,
) -> None:
    with server.counting():
        found = stream(python, hf_home, server.url(ARCHIVE), config, split, **options)
    if config == "subset":
        assert found == epynn_digest(mnist_arrays, split, 100, 1)
    else:
        assert found == digest_arrays(*mnist_arrays[split])
    assert server.sent() <= most_bytes
    assert server.count() <= most_requests


@pytest.mark.parametrize("order", [["train-images", "train-labels", "t10k-images", "t10k-labels"], None])
def test_streaming_limits_hold_for_other_orders(
    order: list[str] | None,
    serve: Callable[..., Server],
    mnist_files: dict[str, bytes],
    mirror: Any,
    mnist_arrays: Arrays,
) -> None:
    import datasets

    import mnist_idx  # noqa: F401

    names = (
        sorted(mnist_files)
        if order is None
        else [f"data/{name}-idx{3 if 'im' in name else 1}-ubyte.gz" for name in order]
    )
    server = serve({ARCHIVE: make_tar((name, mnist_files[name]) for name in names)})
    mirror(server.url(ARCHIVE))
    for config, split, options, most_bytes, most_requests in LIMITS:
        with server.counting():
            rows = datasets.load_dataset("mnist_idx", config, split=split, streaming=True, **options)
            count = sum(map(len, rows.with_format("arrow").iter(1000)))
        assert count == options.get("num_samples", COUNTS[split])
        assert server.sent() <= most_bytes
        assert server.count() <= most_requests


@pytest.mark.compat
def test_streaming_from_a_server_without_ranges(
    python: str, server: Server, hf_home: Path, mnist_arrays: Arrays
) -> None:
    server.behave(ranges=False)
    assert stream(python, hf_home, server.url(ARCHIVE), "mnist", "test") == digest_arrays(*mnist_arrays["test"])
    head = tuple(part[:5000] for part in mnist_arrays["train"])
    assert stream(python, hf_home, server.url(ARCHIVE), "mnist", "train", take=5000) == digest_arrays(*head)


def test_a_server_that_refuses_head(
    server: Server, mirror: Any, tmp_path: Path, mnist_arrays: Arrays, prepared: dict[str, Any]
) -> None:
    import datasets

    import mnist_idx  # noqa: F401

    server.behave(head=False)
    mirror(server.url(ARCHIVE))
    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared
    data = datasets.load_dataset("mnist_idx", split="test", streaming=True)
    assert digest(data) == digest_arrays(*mnist_arrays["test"])


NOTHING_WRITTEN = """
import os, datasets
import mnist_idx
from clients import tree
before = tree(os.environ["HF_HOME"])
data = datasets.load_dataset("mnist_idx", streaming=True)
counts = {name: sum(map(len, split.with_format("arrow").iter(1000))) for name, split in data.items()}
result = [counts, before, tree(os.environ["HF_HOME"]), tree(os.environ["TMPDIR"])]
"""


@pytest.mark.compat
def test_streaming_writes_nothing(python: str, server: Server, hf_home: Path) -> None:
    if major(python) < 4:
        pytest.skip("datasets 3.x copies scripts into its cache")
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    counts, before, after, temporary = run_client(NOTHING_WRITTEN, home=hf_home, python=python, env=env).result
    assert counts == COUNTS
    assert [name for name, size in after.items() if size or not name.endswith(".lock")] == list(before)
    assert temporary == {}


@pytest.fixture
def streams(server: Server, mirror: Callable[[Any], None]) -> Any:
    import datasets

    import mnist_idx  # noqa: F401

    mirror(server.url(ARCHIVE))
    return datasets.load_dataset("mnist_idx", streaming=True)


def test_streaming_one_split_after_the_other_and_twice(streams: Any, mnist_arrays: Arrays) -> None:
    expected = digest_arrays(*mnist_arrays["test"])
    assert digest(streams["test"]) == expected
    assert digest(streams["train"].take(3000)) == digest_arrays(*(part[:3000] for part in mnist_arrays["train"]))
    assert digest(streams["test"]) == expected


def test_streaming_operations(streams: Any, mnist_arrays: Arrays, positions: Any) -> None:
    images, labels = mnist_arrays["test"]
    test = streams["test"]
    assert digest(test.take(5)) == digest_arrays(images[:5], labels[:5])
    assert digest(test.skip(9990)) == digest_arrays(images[9990:], labels[9990:])
    assert digest(test.skip(2500).take(10)) == digest_arrays(images[2500:2510], labels[2500:2510])
    where = [positions["test"][np.asarray(row["image"]).tobytes()] for row in test.shuffle(seed=1, buffer_size=500)]
    assert sorted(where) == list(range(10000))
    assert where != list(range(10000))
    sizes = [len(batch["label"]) for batch in test.iter(batch_size=999)]
    assert sizes == [999] * 10 + [10]
    assert [row["label"] for row in test.map(lambda row: {"label": row["label"]}).take(5)] == labels[:5].tolist()


def test_streaming_formats(streams: Any, mnist_arrays: Arrays) -> None:
    images, labels = mnist_arrays["test"]
    row = next(iter(streams["test"].with_format("numpy")))
    assert np.array_equal(row["image"], images[0])
    assert row["label"] == labels[0]
    table = next(iter(streams["test"].with_format("arrow").iter(batch_size=100)))
    assert table.column("label").to_pylist() == labels[:100].tolist()
    assert digest(table.to_pylist()) == digest_arrays(images[:100], labels[:100])
    batch = next(iter(streams["test"].with_format("numpy").iter(batch_size=10)))
    assert np.array_equal(np.stack(batch["image"]), images[:10])


@pytest.mark.beyond
def test_streaming_to_torch(streams: Any, mnist_arrays: Arrays) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch: pip install 'mnist-idx[beyond]'")
    images, labels = mnist_arrays["test"]
    row = next(iter(streams["test"].with_format("torch")))
    assert np.array_equal(np.squeeze(row["image"].numpy()), images[0])
    loader = torch.utils.data.DataLoader(streams["test"].with_format("torch"), batch_size=256, num_workers=2)
    assert sorted(int(label) for batch in loader for label in batch["label"]) == sorted(labels.tolist())


def test_stream_state_can_be_saved_and_resumed(streams: Any, mnist_arrays: Arrays) -> None:
    images, labels = mnist_arrays["test"]
    test = streams["test"]
    rows = iter(test)
    for _ in range(1500):
        next(rows)
    state = json.loads(json.dumps(test.state_dict()))
    rows.close()
    test.load_state_dict(state)
    assert digest(test) == digest_arrays(images[1500:], labels[1500:])


# Arrays


def test_arrays(server: Server, mirror: Callable[[Any], None], mnist_arrays: Arrays) -> None:
    import mnist_idx

    mirror(server.url(ARCHIVE))
    for split, (images, labels) in mnist_arrays.items():
        got, got_labels = mnist_idx.load_arrays(split)
        assert (got.dtype, got.shape) == (np.uint8, (COUNTS[split], 28, 28))
        assert (got_labels.dtype, got_labels.shape) == (np.uint8, (COUNTS[split],))
        assert np.array_equal(got, images)
        assert np.array_equal(got_labels, labels)
        assert got.flags.writeable and got_labels.flags.writeable
    assert np.array_equal(mnist_idx.load_arrays()[0], mnist_arrays["train"][0])


def test_arrays_of_a_head_fetch_a_head(server: Server, mirror: Callable[[Any], None], mnist_arrays: Arrays) -> None:
    import mnist_idx

    mirror(server.url(ARCHIVE))
    with server.counting():
        images, labels = mnist_idx.load_arrays("train", num_samples=100, seed=1, streaming=True)
    assert digest_arrays(images, labels) == epynn_digest(mnist_arrays, "train", 100, 1)
    assert server.sent() <= 150_000
    assert server.count() <= 14


# Archives


def make_tar(members: Iterable[tuple[str, bytes]], mode: str = "w", **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode, **options) as tar:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=lambda order: "".join(map(str, order)))
def test_any_order_of_members(
    order: tuple[int, ...], tmp_path: Path, mirror: Any, mnist_files: dict[str, bytes], mnist_arrays: Arrays
) -> None:
    import mnist_idx

    names = sorted(mnist_files)
    (tmp_path / "mnist.tar").write_bytes(make_tar((names[i], mnist_files[names[i]]) for i in order))
    mirror(tmp_path / "mnist.tar")
    assert digest_arrays(*mnist_idx.load_arrays("test")) == digest_arrays(*mnist_arrays["test"])
    images, labels = (part[:200] for part in mnist_arrays["train"])
    got = mnist_idx.load_arrays("train", num_samples=200, seed=9)
    assert digest_arrays(*got) == epynn_digest({"train": (images, labels)}, "train", 200, 9)


def dotted(name: str) -> str:
    return name.replace("-idx", ".idx")


NAMES: dict[str, Callable[[str], str]] = {
    "bare": lambda name: Path(name).name,
    "current folder": lambda name: f"./{name}",
    "deep": lambda name: f"a/b c/é/{name}",
    "dotted": dotted,
    "without suffix": lambda name: name.removesuffix(".gz"),
    "long": lambda name: f"{'folder/' * 40}{name}",
}


@pytest.mark.parametrize("naming", NAMES)
@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_member_names(
    naming: str, format: int, tmp_path: Path, mirror: Any, mnist_files: Any, mnist_arrays: Any
) -> None:
    import mnist_idx

    if naming == "long" and format == tarfile.USTAR_FORMAT:
        pytest.skip("ustar has no such long names")
    members = [("README.txt", b"hello")] + [(NAMES[naming](name), data) for name, data in mnist_files.items()]
    (tmp_path / "mnist.tar").write_bytes(make_tar(members, format=format))
    mirror(tmp_path / "mnist.tar")
    assert digest_arrays(*mnist_idx.load_arrays("test")) == digest_arrays(*mnist_arrays["test"])


PACKINGS: dict[str, Callable[[str, bytes], tuple[str, bytes]]] = {
    "plain": lambda name, data: (name.removesuffix(".gz"), gzip.decompress(data)),
    "plain called gz": lambda name, data: (name, gzip.decompress(data)),
    "gz called plain": lambda name, data: (name.removesuffix(".gz"), data),
    "several gzip members": lambda name, data: (name, two_gzip_members(gzip.decompress(data))),
    "bz2": lambda name, data: (name.removesuffix(".gz") + ".bz2", bz2.compress(gzip.decompress(data), 1)),
    "xz": lambda name, data: (name.removesuffix(".gz") + ".xz", lzma.compress(gzip.decompress(data), preset=0)),
}


def two_gzip_members(data: bytes) -> bytes:
    half = len(data) // 2
    return gzip.compress(data[:half], 1) + gzip.compress(data[half:], 1)


@pytest.mark.parametrize("packing", PACKINGS)
def test_member_compression_is_told_by_content(
    packing: str, serve: Callable[..., Server], mirror: Any, mnist_files: dict[str, bytes], mnist_arrays: Arrays
) -> None:
    import datasets

    import mnist_idx

    chosen = [PACKINGS[packing](name, mnist_files[name]) for name in MEMBERS["test"]]
    rest = [(name, mnist_files[name]) for name in MEMBERS["train"]]
    server = serve({ARCHIVE: make_tar(chosen + rest)})
    mirror(server.url(ARCHIVE))
    expected = digest_arrays(*mnist_arrays["test"])
    assert digest_arrays(*mnist_idx.load_arrays("test")) == expected
    assert digest(datasets.load_dataset("mnist_idx", split="test", streaming=True)) == expected


@pytest.mark.parametrize("mode", ["w:gz", "w:xz"])
def test_compressed_tar(mode: str, tmp_path: Path, mirror: Any, mnist_files: dict[str, bytes], mnist_arrays: Arrays):
    import mnist_idx

    options = {"preset": 0} if mode == "w:xz" else {"compresslevel": 1}
    (tmp_path / "mnist.tar").write_bytes(make_tar(mnist_files.items(), mode, **options))
    mirror(tmp_path / "mnist.tar")
    assert digest_arrays(*mnist_idx.load_arrays("test")) == digest_arrays(*mnist_arrays["test"])


# The package


def test_wheel(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "build", "dist", "*.egg-info"))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(out), str(source)]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"the wheel cannot be built here, perhaps for want of a network: {built.stderr[-500:]}")
    assert built.returncode == 0, built.stderr
    (found,) = out.iterdir()
    with zipfile.ZipFile(found) as wheel:
        names = wheel.namelist()
        metadata = wheel.read(next(name for name in names if name.endswith("/METADATA"))).decode()
    modules = {f"mnist_idx/{path.name}" for path in (ROOT / "mnist_idx").glob("*.py")}
    assert modules <= set(names)
    assert {"mnist_idx/py.typed", "mnist_idx/data/mnist_tiny.tar"} <= set(names)
    assert any(Path(name).name == "dataset_card.md" for name in names)
    assert not [name for name in names if name.startswith("tests") or "/tests/" in name or "conftest" in name]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"mnist_idx"}
    assert "Requires-Python: >=3.10" in metadata
    assert "fsspec[http]" in metadata
