"""What the package promises, tried from outside: the real library, the real archive, served over HTTP.

What takes `python` runs in a process of its own, with an empty `HF_HOME`, once for each version of `datasets` there is.
"""

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from clients import ROOT, digest, digest_arrays, fingerprint, run_client
from conftest import ARCHIVE, MEMBERS, Arrays
from http_server import Server
from idx_files import write_archive
from loading import MODES, read_all

import mnist_idx
from mnist_idx import builder, registry

COUNTS = {"train": 60000, "test": 10000}
each_mode = pytest.mark.parametrize("mode", MODES)
Mirror = Callable[[Any], None]


def head(arrays: Arrays, split: str, stop: int) -> list[Any]:
    """The digest of the first records of a split."""
    return digest_arrays(*(part[:stop] for part in arrays[split]))


def epynn(arrays: Arrays, split: str, count: int, seed: int) -> list[Any]:
    """The digest of what EpyNN's `prepare_dataset` returns: the first images, paired with their labels, shuffled."""
    pairs = list(zip(*(part[:count] for part in arrays[split]), strict=True))
    random.seed(seed)
    random.shuffle(pairs)
    images, labels = zip(*pairs, strict=True)
    return digest_arrays(np.stack(images), labels)


INSPECT = """
import os, sys
from pathlib import Path
import datasets
known = set(sys.modules)
import mnist_idx
result = {"imports": sorted({name.partition(".")[0] for name in sys.modules} & {"aiohttp", "torch"} - known)}
for folder in args["folders"]:
    os.chdir(folder)
    before = sorted(Path().iterdir())
    result[folder] = [
        datasets.get_dataset_config_names("mnist_idx") == list(datasets.get_dataset_infos("mnist_idx")),
        datasets.get_dataset_default_config_name("mnist_idx"),
        sorted(datasets.get_dataset_split_names("mnist_idx")),
        type(datasets.load_dataset_builder("mnist_idx")).__name__,
        type(datasets.load_dataset_builder("idxfolder", data_dir=".")).__name__,
        datasets.get_dataset_config_names("idxfolder"),
        datasets.load_dataset("mnist_idx", "tiny").num_rows,
        sorted(Path().iterdir()) == before,
    ]
info = datasets.get_dataset_config_info("mnist_idx", config_name="mnist")
result["about"] = [info.license, info.citation, info.description, info.homepage]
result["counts"] = {name: split.num_examples for name, split in info.splits.items()}
result["features"] = str(info.features)
"""


@pytest.mark.compat
def test_the_names_resolve_from_any_folder(python: str, tmp_path: Path, hf_home: Path) -> None:
    for table in ("csv/a.csv", "namesake/mnist_idx/b.csv", "namesake/idxfolder/c.csv"):
        (tmp_path / table).parent.mkdir(parents=True)
        (tmp_path / table).write_text("a,b\n1,2\n")
    folders = [str(tmp_path / "csv"), str(tmp_path / "namesake"), str(ROOT)]
    found = run_client(INSPECT, home=hf_home, python=python, args={"folders": folders}).result
    names = ["mnist", ["test", "train"], "MnistIdx", "IdxFolder", ["default"], {"train": 1000, "test": 200}]
    for folder in folders:
        assert found[folder] == [True, *names, True]
    about, features = found["about"], found["features"]
    assert ["cc-by-sa" in about[0], "LeCun" in about[1], all(about)] == [True] * 3
    assert found["counts"] == COUNTS
    assert "'image': Image(" in features
    assert "ClassLabel(names=['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']" in features
    assert found["imports"] == []


OTHERS = """
import os
import datasets
def outcome(call):
    try:
        return repr(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"
def outcomes():
    return [
        outcome(lambda: datasets.load_dataset("csv", data_files="mnist/table.csv", split="train")[0]),
        outcome(lambda: datasets.load_dataset("mnist", split="train")[0]),
        outcome(lambda: datasets.load_dataset("no_such_dataset_anywhere")),
        outcome(lambda: datasets.load_dataset("someone/mnist_idx")),
        outcome(lambda: datasets.get_dataset_config_names("mnist")),
    ]
os.makedirs("mnist")
open("mnist/table.csv", "w").write("a,b\\n1,2\\n")
result = [outcomes()]
import mnist_idx
result.append(outcomes())
"""


@pytest.mark.compat
def test_other_names_resolve_as_before(python: str, hf_home: Path) -> None:
    without, registered = run_client(OTHERS, home=hf_home, python=python, env={"HF_HUB_OFFLINE": "1"}).result
    assert without == registered
    assert without[0] == "{'a': 1, 'b': 2}"


def test_a_second_registration_does_nothing() -> None:
    before = datasets.load.dataset_module_factory
    registry.register()
    assert datasets.load.dataset_module_factory is before


def test_a_future_version_without_the_seam_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(datasets.load, "dataset_module_factory")
    with pytest.raises(ImportError, match=r"datasets \d+\..*MnistIdx\(\)"):
        registry.register()


EVERYTHING = """
import datasets, mnist_idx
from clients import digest, digest_arrays, digest_table
data = datasets.load_dataset("mnist_idx")
item = data["train"][0]
workers = datasets.load_dataset("mnist_idx", split="test", num_proc=2, cache_dir=args["cache"])
stream = datasets.load_dataset("mnist_idx", split="test", streaming=True)
result = {
    "counts": data.num_rows,
    "ends": [digest_table(data["train"].take(1000)), digest_table(data["train"].skip(59_000))],
    "test": digest_table(data["test"]),
    "item": [item["image"].mode, item["image"].size, item["label"]],
    "num_proc": digest_table(workers),
    "cached": all(file["filename"].startswith(args["cache"]) for file in workers.cache_files),
    "streamed": digest(stream),
    "arrays": digest_arrays(*mnist_idx.load_arrays("mnist_idx", split="test")),
    "subsets": [
        [digest(datasets.load_dataset("mnist_idx", "subset", split="train", streaming=streaming, **options))
         for streaming in (False, True)] for options in args["subsets"]
    ],
}
"""


@pytest.mark.slow
@pytest.mark.compat
def test_every_record_equals_the_archive(
    python: str, server: Server, hf_home: Path, tmp_path: Path, mirror: Mirror, mnist_arrays: Arrays
) -> None:
    subsets: list[dict[str, Any]] = [
        {"num_samples": 1200, "seed": 7},
        {"num_samples": 300, "seed": 1, "sampling": "uniform"},
    ]
    args = {"cache": str(tmp_path / "cache"), "subsets": subsets}
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    found = run_client(EVERYTHING, home=hf_home, python=python, args=args, env=env).result
    images, labels = mnist_arrays["train"]
    assert found["counts"] == COUNTS
    assert found["ends"] == [head(mnist_arrays, "train", 1000), digest_arrays(images[59_000:], labels[59_000:])]
    assert found["test"] == digest_arrays(*mnist_arrays["test"])
    assert found["item"] == ["L", [28, 28], int(labels[0])]
    assert found["num_proc"] == found["streamed"] == found["arrays"] == found["test"]
    assert found["cached"]
    mirror(server.url(ARCHIVE))
    uniform = digest_arrays(*mnist_idx.load_arrays("mnist_idx", **subsets[1]))
    assert found["subsets"] == [[epynn(mnist_arrays, "train", 1200, 7)] * 2, [uniform] * 2]


def test_split_sizes_are_declared(mirror: Mirror, tmp_path: Path, mnist_tar: Path) -> None:
    mirror(mnist_tar)
    for name, counts in (("mnist", COUNTS), ("tiny", {"train": 1000, "test": 200})):
        builder = datasets.load_dataset_builder("mnist_idx", name, cache_dir=str(tmp_path))
        assert {split: info.num_examples for split, info in builder.info.splits.items()} == counts
        declared = {split: info.num_bytes for split, info in builder.info.splits.items()}
        builder.download_and_prepare()
        for split, info in builder.info.splits.items():  # the number of batches makes a few bytes
            assert info.num_bytes == pytest.approx(declared[split], rel=2e-3)


def test_arrays(server: Server, mirror: Mirror, mnist_arrays: Arrays) -> None:
    mirror(server.url(ARCHIVE))
    for split, (images, labels) in mnist_arrays.items():
        found, found_labels = mnist_idx.load_arrays("mnist_idx", split=split)
        assert found_labels is not None
        assert (found.dtype, found_labels.dtype) == (np.uint8, np.uint8)
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(found_labels, labels)
        assert found.flags.writeable and found_labels.flags.writeable
    parts = mnist_idx.load_arrays("mnist_idx", "mnist", split="test[9990:]+train[:1%]")
    expected = [np.concatenate([a[9990:], b[:600]]) for a, b in zip(*(mnist_arrays[s] for s in ("test", "train")))]  # noqa: B905
    assert digest_arrays(*parts) == digest_arrays(*expected)
    assert server.count(ARCHIVE, "GET") == 1
    with pytest.raises(mnist_idx.IdxError, match='expected "mnist_idx" or "idxfolder"'):
        mnist_idx.load_arrays("mnist")
    with pytest.raises(mnist_idx.IdxError, match=r"split=\['train'\]"):
        mnist_idx.load_arrays("mnist_idx", split=["train"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        *((mode, options) for mode in MODES for options in ({}, {"num_samples": 750, "seed": 0})),
        ("streamed", {"num_samples": 1, "seed": 12345}),
        ("arrays", {"num_samples": 20000, "seed": 12345}),
    ],
)
def test_subset_is_the_procedure_of_epynn(
    mode: str, options: dict[str, Any], mnist_tar: Path, mirror: Mirror, tmp_path: Path, mnist_arrays: Arrays
) -> None:
    mirror(mnist_tar)
    found = read_all(mode, "mnist_idx", "subset", cache_dir=str(tmp_path), **options)
    for split, size in COUNTS.items():
        count = min(options.get("num_samples", 100), size)
        assert digest_arrays(*found[split]) == epynn(mnist_arrays, split, count, options.get("seed", 1))


@each_mode
def test_uniform_draws_without_replacement(
    mode: str, mnist_tar: Path, mirror: Mirror, tmp_path: Path, mnist_arrays: Arrays
) -> None:
    mirror(mnist_tar)
    images, labels = mnist_arrays["test"]
    positions = {image.tobytes(): position for position, image in enumerate(images)}  # no two images are the same
    drawn = []
    for seed in (1, 2, 1):
        options = {"num_samples": 500, "seed": seed, "sampling": "uniform", "cache_dir": str(tmp_path)}
        found, found_labels = read_all(mode, "mnist_idx", "subset", **options)["test"]
        drawn.append([positions[image.tobytes()] for image in found])
        np.testing.assert_array_equal(labels[drawn[-1]], found_labels)
    assert drawn[0] == drawn[2] != drawn[1]
    assert set(drawn[0]) != set(drawn[1])
    assert len(set(drawn[0])) == 500
    assert drawn[0] != sorted(drawn[0])
    assert min(drawn[0]) < 200 < 9800 < max(drawn[0])


def test_other_options_or_other_code_are_other_cache_entries(
    tmp_path: Path, mirror: Mirror, mnist_tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(mnist_tar)

    def load(**options: Any) -> str:
        rows = datasets.load_dataset("mnist_idx", "subset", split="test", cache_dir=str(tmp_path / "cache"), **options)
        return rows.cache_files[0]["filename"]

    options = [{}, {"num_samples": 101}, {"seed": 2}, {"sampling": "uniform"}, {"as_array": True}, {"transpose": True}]
    files = [load(**chosen) for chosen in options]
    assert len(set(files)) == len(files)
    assert load() == files[0]

    copy = shutil.copytree(ROOT / "mnist_idx", tmp_path / "copy")
    monkeypatch.setattr(builder, "__file__", str(copy / "builder.py"))

    def changed(name: str) -> str:
        (copy / name).write_text((copy / name).read_text() + "\n# changed\n")
        return builder.code_hash.__wrapped__()

    code = builder.code_hash.__wrapped__()
    assert changed("tools/cli.py") == code, "tools make no records"
    hashes = [code, changed("idx.py"), changed("catalog.py"), changed("mnist_idx.py")]
    assert len(set(hashes)) == 4
    monkeypatch.setattr(registry, "code_hash", lambda: hashes[1])
    assert load() not in files


LIMITS = [
    # config, split, options, bytes, requests
    ("mnist", "test", {}, 1_800_000, 20),
    ("subset", "train", {"num_samples": 100}, 150_000, 14),
    ("mnist", "train", {}, 10_100_000, 30),
]


@pytest.mark.parametrize("order", [None, [*MEMBERS["train"], *MEMBERS["test"]]], ids=["as published", "train first"])
def test_streaming_fetches_what_is_asked_for(
    order: list[str] | None, serve: Any, mnist_tar: Path, mnist_files: Any, mirror: Mirror, tmp_path: Path
) -> None:
    tar = write_archive(tmp_path / "set.tar", {name: mnist_files[name] for name in order}) if order else mnist_tar
    server = serve({ARCHIVE: tar})
    mirror(server.url(ARCHIVE))
    for config, split, options, most_bytes, most_requests in LIMITS:
        with server.counting():
            rows = datasets.load_dataset("mnist_idx", config, split=split, streaming=True, **options)
            count = sum(map(len, rows.with_format("arrow").iter(1000)))
        assert count == options.get("num_samples", COUNTS[split])
        assert server.sent() <= most_bytes
        assert server.count() <= most_requests
    with server.counting():
        mnist_idx.load_arrays("mnist_idx", num_samples=100, seed=1, streaming=True)
    assert (server.sent() <= 150_000, server.count() <= 14) == (True, True)


@pytest.mark.parametrize("behaviour", [{"ranges": False}, {"head": False}], ids=str)
def test_servers_without_ranges_or_head(
    behaviour: dict[str, Any], server: Server, mirror: Mirror, tmp_path: Path, mnist_arrays: Arrays, prepared: Any
) -> None:
    server.behave(**behaviour)
    mirror(server.url(ARCHIVE))
    streams = datasets.load_dataset("mnist_idx", streaming=True)
    assert digest(streams["train"].take(3000)) == head(mnist_arrays, "train", 3000)
    assert digest(streams["test"].take(500)) == head(mnist_arrays, "test", 500)
    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared


NOTHING_WRITTEN = """
import os, datasets, mnist_idx
from clients import tree
data = datasets.load_dataset("mnist_idx", streaming=True)
counts = {name: sum(map(len, split.with_format("arrow").iter(1000))) for name, split in data.items()}
mnist_idx.load_arrays("mnist_idx", split="test", streaming=True)
result = [counts, tree(os.environ["HF_HOME"]), tree(os.environ["TMPDIR"])]
"""


@pytest.mark.compat
def test_streaming_writes_nothing(python: str, server: Server, hf_home: Path) -> None:
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    counts, home, temporary = run_client(NOTHING_WRITTEN, home=hf_home, python=python, env=env).result
    assert counts == COUNTS
    assert [name for name, size in home.items() if size or not name.endswith(".lock")] == []
    assert temporary == {}


def test_streaming_in_any_order(server: Server, mirror: Mirror, mnist_arrays: Arrays) -> None:
    mirror(server.url(ARCHIVE))
    streams = datasets.load_dataset("mnist_idx", streaming=True)
    images, labels = mnist_arrays["test"]
    for count in (10_000, 1500):
        assert digest(streams["test"].take(count)) == head(mnist_arrays, "test", count)
        assert digest(streams["train"].take(1500)) == head(mnist_arrays, "train", 1500)
    assert digest(streams["test"].skip(9990)) == digest_arrays(images[9990:], labels[9990:])
    shuffled = [row["label"] for row in streams["test"].select_columns("label").shuffle(seed=1, buffer_size=500)]
    assert sorted(shuffled) == sorted(labels.tolist())
    row = next(iter(streams["test"].with_format("numpy")))
    assert np.array_equal(row["image"], images[0])
    table = next(iter(streams["test"].with_format("arrow").iter(batch_size=100)))
    assert digest(table.to_pylist()) == head(mnist_arrays, "test", 100)
