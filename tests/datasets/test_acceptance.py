"""What the package promises, tried from outside: the real library, the real archive, served over
HTTP.

What takes `python` runs in a process of its own, with an empty `HF_HOME`, once for each version of
`datasets` there is.
"""

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
from representatives import slow_but_first
from selections import selected

import mnist_idx
from mnist_idx import registry

COUNTS = {"train": 60000, "test": 10000}
TINY = {"train": 1000, "test": 200}
Mirror = Callable[[Any], None]


def head(arrays: Arrays, split: str, stop: int) -> list[Any]:
    """The digest of the first records of a split."""
    return digest_arrays(*(part[:stop] for part in arrays[split]))


def subset(
    arrays: Arrays, split: str, num_samples: int = 100, seed: int = 1, sampling: str = "first"
) -> list[Any]:
    """The digest of a subset."""
    indices = selected(len(arrays[split][1]), num_samples, seed, sampling)
    return digest_arrays(*(part[indices] for part in arrays[split]))


@pytest.mark.compat
def test_the_names_resolve_from_any_folder(python: str, tmp_path: Path, hf_home: Path) -> None:
    for table in ("csv/a.csv", "namesake/mnist_idx/b.csv", "namesake/idxfolder/c.csv"):
        (tmp_path / table).parent.mkdir(parents=True)
        (tmp_path / table).write_text("a,b\n1,2\n")
    args = {"folders": [str(tmp_path / "csv"), str(tmp_path / "namesake"), str(ROOT)]}
    imported, found, counts, features = run_client(
        "resolve_our_names", home=hf_home, python=python, args=args
    ).result
    assert (
        found
        == [[True, "mnist", ["test", "train"], "MnistIdx", "IdxFolder", ["default"], TINY, True]]
        * 3
    )
    assert (counts, imported) == (COUNTS, [])
    assert "'image': Image(" in features
    assert "ClassLabel(names=['0', '1', '2', '3', '4', '5', '6', '7', '8', '9']" in features


@pytest.mark.slow
@pytest.mark.compat
def test_other_names_resolve_as_before(python: str, hf_home: Path) -> None:
    without, registered = run_client(
        "resolve_other_names", home=hf_home, python=python, env={"HF_HUB_OFFLINE": "1"}
    ).result
    assert without == registered
    assert without[0] == "{'a': 1, 'b': 2}"


def test_registration(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (datasets.load, datasets.inspect):
        monkeypatch.setattr(
            module, "dataset_module_factory", lambda *args, **kwargs: (args, kwargs)
        )
    registry.register()
    for module in (datasets.load, datasets.inspect):
        assert module.dataset_module_factory("other", "main", data_dir="d") == (
            ("other", "main"),
            {"data_dir": "d"},
        )
        assert (
            module.dataset_module_factory("mnist_idx", "main").module_path == "mnist_idx.mnist_idx"
        )


@pytest.mark.parametrize(
    "name", ["dataset_module_factory", pytest.param("DatasetModule", marks=pytest.mark.slow)]
)
def test_the_way_out_where_names_resolve_in_another_way(name: str, hf_home: Path) -> None:
    assert run_client("load_as_advised", home=hf_home, args={"missing": name}).result == TINY


@pytest.mark.slow
@pytest.mark.compat
def test_every_record(
    python: str, serve: Any, hf_home: Path, real_tar: Path, real_arrays: Arrays
) -> None:
    env = {"MNIST_IDX_MIRROR": serve({ARCHIVE: real_tar}).url(ARCHIVE)}
    train, test = (digest_arrays(*real_arrays[split]) for split in COUNTS)
    assert run_client("digest_every_way", home=hf_home, python=python, env=env).result == [
        train,
        *[test] * 4,
    ]


def test_arrays(server: Server, mirror: Mirror, mnist_arrays: Arrays) -> None:
    mirror(server.url(ARCHIVE))
    for split, (images, labels) in mnist_arrays.items():
        found, found_labels = mnist_idx.load_arrays("mnist_idx", split=split)
        assert (found.dtype, found_labels.dtype) == (np.uint8, np.uint8)
        np.testing.assert_array_equal(found, images)
        np.testing.assert_array_equal(found_labels, labels)
        assert found.flags.writeable and found_labels.flags.writeable
    parts = mnist_idx.load_arrays("mnist_idx", "mnist", split="test[9990:]+train[:1%]+test[5:2]")
    test, train = mnist_arrays["test"], mnist_arrays["train"]
    assert digest_arrays(*parts) == digest_arrays(
        *(np.concatenate([test[n][9990:], train[n][:600]]) for n in (0, 1))
    )
    assert server.count(ARCHIVE, "GET") == 1
    for options, said in (
        ({"path": "mnist"}, '"mnist_idx" or "idxfolder"'),
        ({"split": ["train"]}, r"\['train'\]"),
    ):
        with pytest.raises(mnist_idx.IdxError, match=said):
            mnist_idx.load_arrays(**{"path": "mnist_idx", **options})  # type: ignore[arg-type]


SUBSETS = [{}, {"num_samples": 20_000, "seed": 0}, {"num_samples": 500, "sampling": "uniform"}]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", slow_but_first(SUBSETS), ids=str)
def test_subset(
    mode: str, options: Any, mnist_tar: Path, mirror: Mirror, tmp_path: Path, mnist_arrays: Arrays
) -> None:
    mirror(mnist_tar)
    found = read_all(mode, "mnist_idx", "subset", cache_dir=str(tmp_path), **options)
    for split in COUNTS:
        assert digest_arrays(*found[split]) == subset(mnist_arrays, split, **options)


def test_cache_entries(
    tmp_path: Path, mirror: Mirror, mnist_tar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror(mnist_tar)

    def load(**options: Any) -> str:
        rows = datasets.load_dataset(
            "mnist_idx", "subset", split="test", cache_dir=str(tmp_path / "cache"), **options
        )
        return rows.cache_files[0]["filename"]

    options = [
        {},
        {"num_samples": 101},
        {"seed": 2},
        {"sampling": "uniform"},
        {"as_array": True},
        {"transpose": True},
    ]
    files = [load(**chosen) for chosen in options]
    assert len(set(files)) == len(files)
    assert load() == files[0]

    copy = shutil.copytree(ROOT / "mnist_idx", tmp_path / "copy")
    monkeypatch.setattr(registry, "__file__", str(copy / "registry.py"))
    hashes = [registry.code_hash.__wrapped__()]
    for name in ("tools/cli.py", "idx.py", "catalog.py"):
        (copy / name).write_text((copy / name).read_text() + "\n# changed\n")
        hashes.append(registry.code_hash.__wrapped__())
    assert hashes[0] == hashes[1], "tools make no records"
    assert len(set(hashes)) == 3
    monkeypatch.setattr(registry, "code_hash", lambda: hashes[2])
    assert load() not in files


LIMITS = [  # config, split, options, bytes, requests
    ("mnist", "test", {}, 1_800_000, 20),
    ("subset", "train", {"num_samples": 100}, 150_000, 14),
    ("mnist", "train", {}, 10_100_000, 30),
]


@pytest.mark.parametrize(
    "order", [None, [*MEMBERS["train"], *MEMBERS["test"]]], ids=["as published", "train first"]
)
def test_streaming_fetches_what_is_asked_for(
    order: list[str] | None,
    serve: Any,
    mnist_tar: Path,
    mnist_files: Any,
    mirror: Mirror,
    tmp_path: Path,
) -> None:
    tar = (
        write_archive(tmp_path / "set.tar", {name: mnist_files[name] for name in order})
        if order
        else mnist_tar
    )
    server = serve({ARCHIVE: tar})
    mirror(server.url(ARCHIVE))
    for config, split, options, most_bytes, most_requests in LIMITS:
        with server.counting():
            rows = datasets.load_dataset(
                "mnist_idx", config, split=split, streaming=True, **options
            )
            count = sum(map(len, rows.with_format("arrow").iter(1000)))
        assert count == options.get("num_samples", COUNTS[split])
        assert (server.sent() <= most_bytes, server.count() <= most_requests) == (True, True)
    with server.counting():
        mnist_idx.load_arrays("mnist_idx", num_samples=100, seed=1, streaming=True)
    assert (server.sent() <= 150_000, server.count() <= 14) == (True, True)


@pytest.mark.slow
@pytest.mark.compat
def test_streaming_writes_nothing(python: str, server: Server, hf_home: Path) -> None:
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    assert run_client("stream_and_list_files", home=hf_home, python=python, env=env).result == [
        COUNTS,
        {},
        {},
    ]


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [{}, {"ranges": False}, {"head": False}], ids=str)
def test_any_order_from_any_server(
    behaviour: Any,
    server: Server,
    mirror: Mirror,
    tmp_path: Path,
    mnist_arrays: Arrays,
    prepared: Any,
) -> None:
    server.behave(**behaviour)
    mirror(server.url(ARCHIVE))
    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared
    streams = datasets.load_dataset("mnist_idx", streaming=True)
    for count in (10_000, 1500):
        assert digest(streams["test"].take(count)) == head(mnist_arrays, "test", count)
        assert digest(streams["train"].take(1500)) == head(mnist_arrays, "train", 1500)
    assert digest(streams["test"].skip(9990)) == digest_arrays(
        *(part[9990:] for part in mnist_arrays["test"])
    )
