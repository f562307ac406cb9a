"""What the package promises, tried from outside: the real library, the real archive, served over HTTP.

What takes `python` runs in a process of its own, with an empty `HF_HOME`, once for each version of `datasets` there is.
"""

import itertools
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
TINY = {"train": 1000, "test": 200}
Mirror = Callable[[Any], None]


def head(arrays: Arrays, split: str, stop: int) -> list[Any]:
    """The digest of the first records of a split."""
    return digest_arrays(*(part[:stop] for part in arrays[split]))


def subset(arrays: Arrays, split: str, num_samples: int = 100, seed: int = 1, sampling: str = "first") -> list[Any]:
    """The digest of a subset: that of EpyNN's `prepare_dataset`, or one drawn from the whole split."""
    images, labels = arrays[split]
    order = list(range(min(num_samples, len(labels))))
    random.seed(seed)
    random.shuffle(order)
    if sampling == "uniform":
        random.seed(seed)
        order = random.sample(range(len(labels)), num_samples)
    return digest_arrays(images[order], labels[order])


INSPECT = """
from pathlib import Path
import datasets
known = set(sys.modules)
import mnist_idx
imported = sorted({name.partition(".")[0] for name in set(sys.modules) - known} & {"aiohttp", "torch"})
found = []
for folder in args["folders"]:
    os.chdir(folder)
    before = sorted(Path().iterdir())
    found.append([
        datasets.get_dataset_config_names("mnist_idx") == list(datasets.get_dataset_infos("mnist_idx")),
        datasets.get_dataset_default_config_name("mnist_idx"),
        sorted(datasets.get_dataset_split_names("mnist_idx")),
        type(datasets.load_dataset_builder("mnist_idx")).__name__,
        type(datasets.load_dataset_builder("idxfolder", data_dir=".")).__name__,
        datasets.get_dataset_config_names("idxfolder"),
        datasets.load_dataset("mnist_idx", "tiny").num_rows,
        sorted(Path().iterdir()) == before,
    ])
info = datasets.get_dataset_config_info("mnist_idx", config_name="mnist")
about = [info.license, info.citation, info.description, info.homepage]
result = [imported, found, about, {name: split.num_examples for name, split in info.splits.items()}, str(info.features)]
"""


@pytest.mark.compat
def test_the_names_resolve_from_any_folder(python: str, tmp_path: Path, hf_home: Path) -> None:
    for table in ("csv/a.csv", "namesake/mnist_idx/b.csv", "namesake/idxfolder/c.csv"):
        (tmp_path / table).parent.mkdir(parents=True)
        (tmp_path / table).write_text("a,b\n1,2\n")
    args = {"folders": [str(tmp_path / "csv"), str(tmp_path / "namesake"), str(ROOT)]}
    imported, found, about, counts, features = run_client(INSPECT, home=hf_home, python=python, args=args).result
    assert found == [[True, "mnist", ["test", "train"], "MnistIdx", "IdxFolder", ["default"], TINY, True]] * 3
    assert "cc-by-sa" in about[0] and "LeCun" in about[1] and all(about)
    assert (counts, imported) == (COUNTS, [])
    assert "'image': Image(" in features
    assert "ClassLabel(names=['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']" in features


OTHERS = """
import datasets
def outcome(call, *args):
    try:
        return repr(call(*args))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
def outcomes():
    return [
        outcome(lambda: datasets.load_dataset("csv", data_files="mnist/table.csv", split="train")[0]),
        outcome(lambda: datasets.load_dataset("mnist", split="train")[0]),
        outcome(datasets.load_dataset, "no_such_dataset_anywhere"),
        outcome(datasets.load_dataset, "someone/mnist_idx"),
        outcome(datasets.get_dataset_config_names, "mnist"),
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


def test_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    before = datasets.load.dataset_module_factory
    registry.register()
    assert datasets.load.dataset_module_factory is before
    monkeypatch.delattr(datasets.load, "dataset_module_factory")  # as a future version may
    with pytest.raises(ImportError, match=r"datasets \d+\..*MnistIdx\(\)"):
        registry.register()


EVERYTHING = """
import datasets, mnist_idx
from clients import digest, digest_arrays, digest_table
data = datasets.load_dataset("mnist_idx")
item = data["train"][0]
workers = datasets.load_dataset("mnist_idx", split="test", num_proc=2, cache_dir=args["cache"])
result = {
    "counts": data.num_rows,
    "ends": [digest_table(data["train"].take(1000)), digest_table(data["train"].skip(59_000))],
    "item": [item["image"].mode, item["image"].size, item["label"]],
    "cached": all(file["filename"].startswith(args["cache"]) for file in workers.cache_files),
    "test": [
        digest_table(data["test"]),
        digest_table(workers),
        digest(datasets.load_dataset("mnist_idx", split="test", streaming=True)),
        digest_arrays(*mnist_idx.load_arrays("mnist_idx", split="test")),
    ],
    "subsets": [
        [digest(datasets.load_dataset("mnist_idx", "subset", split="train", streaming=streaming, **options))
         for streaming in (False, True)] for options in args["subsets"]
    ],
}
"""


@pytest.mark.slow
@pytest.mark.compat
def test_every_record(python: str, server: Server, hf_home: Path, tmp_path: Path, mnist_arrays: Arrays) -> None:
    subsets: list[Any] = [{"num_samples": 1200, "seed": 7}, {"num_samples": 300, "seed": 1, "sampling": "uniform"}]
    args = {"cache": str(tmp_path / "cache"), "subsets": subsets}
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    images, labels = mnist_arrays["train"]
    assert run_client(EVERYTHING, home=hf_home, python=python, args=args, env=env).result == {
        "counts": COUNTS,
        "ends": [head(mnist_arrays, "train", 1000), digest_arrays(images[59_000:], labels[59_000:])],
        "item": ["L", [28, 28], int(labels[0])],
        "cached": True,
        "test": [digest_arrays(*mnist_arrays["test"])] * 4,
        "subsets": [[subset(mnist_arrays, "train", **options)] * 2 for options in subsets],
    }


def test_split_sizes_are_declared(mirror: Mirror, tmp_path: Path, mnist_tar: Path) -> None:
    mirror(mnist_tar)
    for name, counts in (("mnist", COUNTS), ("tiny", TINY)):
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
        assert (found.dtype, found_labels.dtype) == (np.uint8, np.uint8)
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(found_labels, labels)
        assert found.flags.writeable and found_labels.flags.writeable
    parts = mnist_idx.load_arrays("mnist_idx", "mnist", split="test[9990:]+train[:1%]")
    test, train = mnist_arrays["test"], mnist_arrays["train"]
    assert digest_arrays(*parts) == digest_arrays(*(np.concatenate([test[n][9990:], train[n][:600]]) for n in (0, 1)))
    assert server.count(ARCHIVE, "GET") == 1
    for options, said in (({"path": "mnist"}, '"mnist_idx" or "idxfolder"'), ({"split": ["train"]}, r"\['train'\]")):
        with pytest.raises(mnist_idx.IdxError, match=said):
            mnist_idx.load_arrays(**{"path": "mnist_idx", **options})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mode", "options"),
    [
        *itertools.product(MODES, [{}, {"num_samples": 750, "seed": 0}, {"num_samples": 500, "sampling": "uniform"}]),
        ("streamed", {"num_samples": 1, "seed": 12345}),
        ("arrays", {"num_samples": 20000, "seed": 12345}),
    ],
)
def test_subset(mode: str, options: Any, mnist_tar: Path, mirror: Mirror, tmp_path: Path, mnist_arrays: Arrays) -> None:
    mirror(mnist_tar)
    found = read_all(mode, "mnist_idx", "subset", cache_dir=str(tmp_path), **options)
    for split in COUNTS:
        assert digest_arrays(*found[split]) == subset(mnist_arrays, split, **options)


def test_cache_entries(tmp_path: Path, mirror: Mirror, mnist_tar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    hashes = [builder.code_hash.__wrapped__()]
    for name in ("tools/cli.py", "idx.py", "catalog.py", "mnist_idx.py"):
        (copy / name).write_text((copy / name).read_text() + "\n# changed\n")
        hashes.append(builder.code_hash.__wrapped__())
    assert hashes[0] == hashes[1], "tools make no records"
    assert len(set(hashes)) == 4
    monkeypatch.setattr(registry, "code_hash", lambda: hashes[2])
    assert load() not in files


LIMITS = [  # config, split, options, bytes, requests
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
        assert (server.sent() <= most_bytes, server.count() <= most_requests) == (True, True)
    with server.counting():
        mnist_idx.load_arrays("mnist_idx", num_samples=100, seed=1, streaming=True)
    assert (server.sent() <= 150_000, server.count() <= 14) == (True, True)


NOTHING_WRITTEN = """
import datasets, mnist_idx
from clients import tree
data = datasets.load_dataset("mnist_idx", streaming=True)
counts = {name: sum(map(len, split.with_format("arrow").iter(1000))) for name, split in data.items()}
mnist_idx.load_arrays("mnist_idx", split="test", streaming=True)
left = {name: size for name, size in tree(os.environ["HF_HOME"]).items() if size or not name.endswith(".lock")}
result = [counts, left, tree(os.environ["TMPDIR"])]
"""


@pytest.mark.compat
def test_streaming_writes_nothing(python: str, server: Server, hf_home: Path) -> None:
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    assert run_client(NOTHING_WRITTEN, home=hf_home, python=python, env=env).result == [COUNTS, {}, {}]


@pytest.mark.parametrize("behaviour", [{}, {"ranges": False}, {"head": False}], ids=str)
def test_any_order_from_any_server(
    behaviour: Any, server: Server, mirror: Mirror, tmp_path: Path, mnist_arrays: Arrays, prepared: Any
) -> None:
    server.behave(**behaviour)
    mirror(server.url(ARCHIVE))
    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared
    streams = datasets.load_dataset("mnist_idx", streaming=True)
    images, labels = mnist_arrays["test"]
    for count in (10_000, 1500):
        assert digest(streams["test"].take(count)) == head(mnist_arrays, "test", count)
        assert digest(streams["train"].take(1500)) == head(mnist_arrays, "train", 1500)
    assert digest(streams["test"].skip(9990)) == digest_arrays(images[9990:], labels[9990:])
    shuffled = [row["label"] for row in streams["test"].select_columns("label").shuffle(seed=1, buffer_size=500)]
    assert sorted(shuffled) == sorted(labels.tolist())
    assert np.array_equal(next(iter(streams["test"].with_format("numpy")))["image"], images[0])
    table = next(iter(streams["test"].with_format("arrow").iter(batch_size=100)))
    assert digest(table.to_pylist()) == head(mnist_arrays, "test", 100)
