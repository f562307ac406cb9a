"""What the package promises, tried from outside: the real library, the real archive, served over
HTTP.

What takes `python` runs in a process of its own, with an empty `HF_HOME`, once for each version of
`datasets` there is.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import datasets
import datasets.inspect
import datasets.load
import numpy as np
import pytest
from clients import ROOT, digest, digest_arrays, fingerprint, run_client, run_snippet
from conftest import ARCHIVE, MEMBERS, Arrays
from http_server import Server
from idx_files import write_archive
from loading import MODES, read_all
from selections import selected

import mnist_idx
from mnist_idx import registry

COUNTS = {"train": 60000, "test": 10000}
TINY = {"train": 1000, "test": 200}
Mirror = Callable[[Any], None]


def head(arrays: Arrays, split: str, stop: int) -> list[Any]:
    """The digest of the first records of a split."""
    images, labels = arrays[split]
    return digest_arrays(images[:stop], labels[:stop])


def subset(
    arrays: Arrays, split: str, num_samples: int = 100, seed: int = 1, sampling: str = "first"
) -> list[Any]:
    """The digest of the selected records of a split."""
    images, labels = arrays[split]
    numbers = selected(len(labels), num_samples, seed, sampling)
    return digest_arrays(images[numbers], labels[numbers])


# Names

# In each folder: the names are ours, whatever files are in a folder of the same name.
FOUND = [True, "mnist", ["test", "train"], "MnistIdx", "IdxFolder", ["default"], TINY, True]


@pytest.mark.slow
@pytest.mark.compat
def test_the_names_resolve_from_any_folder(python: str, tmp_path: Path, hf_home: Path) -> None:
    table = b"a,b\n1,2\n"
    write_archive(tmp_path / "csv", {"a.csv": table})
    namesakes = {"mnist_idx/b.csv": table, "idxfolder/c.csv": table}
    write_archive(tmp_path / "namesake", namesakes)
    args = {"folders": [str(tmp_path / "csv"), str(tmp_path / "namesake"), str(ROOT)]}
    outcome = run_client("resolve_our_names", home=hf_home, python=python, args=args)
    imported, found, counts, features = outcome.result
    assert found == [FOUND, FOUND, FOUND]
    assert counts == COUNTS
    assert imported == []
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


each_module_that_resolves_names = pytest.mark.parametrize(
    "module", [datasets.load, datasets.inspect], ids=["load", "inspect"]
)


@each_module_that_resolves_names
def test_our_names_resolve_to_our_builders(module: ModuleType) -> None:
    assert module.dataset_module_factory("mnist_idx").module_path == "mnist_idx.mnist_idx"
    assert module.dataset_module_factory("idxfolder").module_path == "mnist_idx.idxfolder"


@each_module_that_resolves_names
def test_other_names_are_resolved_with_their_arguments(module: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    of_datasets = module.dataset_module_factory.__wrapped__
    expected = of_datasets("csv", data_dir=str(tmp_path))
    assert module.dataset_module_factory("csv", data_dir=str(tmp_path)) == expected


@each_module_that_resolves_names
def test_to_register_again_changes_nothing(module: ModuleType) -> None:
    before = module.dataset_module_factory
    registry.register()
    assert module.dataset_module_factory is before


@pytest.mark.parametrize(
    "missing",
    [
        pytest.param("dataset_module_factory", id="no-dataset_module_factory"),
        pytest.param("DatasetModule", id="no-DatasetModule", marks=pytest.mark.slow),
    ],
)
def test_the_way_out_where_names_resolve_in_another_way(missing: str, hf_home: Path) -> None:
    outcome = run_client("load_as_advised", home=hf_home, args={"missing": missing})
    assert outcome.result == TINY


# Records


@pytest.mark.slow
@pytest.mark.compat
def test_every_record(
    python: str,
    serve: Callable[..., Server],
    hf_home: Path,
    real_tar: Path,
    real_arrays: Arrays,
) -> None:
    env = {"MNIST_IDX_MIRROR": serve({ARCHIVE: real_tar}).url(ARCHIVE)}
    outcome = run_client("digest_every_way", home=hf_home, python=python, env=env)
    train = digest_arrays(*real_arrays["train"])
    test = digest_arrays(*real_arrays["test"])
    assert outcome.result == [train, test, test, test, test]


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train", "test"])
def test_arrays_are_those_of_the_files(
    split: str, mnist_tar: Path, mirror: Mirror, mnist_arrays: Arrays
) -> None:
    mirror(mnist_tar)
    images, labels = mnist_idx.load_arrays("mnist_idx", split=split)
    assert (images.dtype, labels.dtype) == (np.uint8, np.uint8)
    np.testing.assert_array_equal(images, mnist_arrays[split][0])
    np.testing.assert_array_equal(labels, mnist_arrays[split][1])
    assert images.flags.writeable
    assert labels.flags.writeable


def test_parts_of_splits_are_joined(mnist_tar: Path, mirror: Mirror, mnist_arrays: Arrays) -> None:
    mirror(mnist_tar)
    split = "test[9990:]+train[:1%]+test[5:2]"
    images, labels = mnist_idx.load_arrays("mnist_idx", "mnist", split=split)
    train, test = mnist_arrays["train"], mnist_arrays["test"]
    np.testing.assert_array_equal(images, np.concatenate([test[0][9990:], train[0][:600]]))
    np.testing.assert_array_equal(labels, np.concatenate([test[1][9990:], train[1][:600]]))


def test_the_archive_is_fetched_once(server: Server, mirror: Mirror) -> None:
    mirror(server.url(ARCHIVE))
    mnist_idx.load_arrays("mnist_idx", split="train")
    mnist_idx.load_arrays("mnist_idx", split="test")
    server.settle()
    assert server.count(ARCHIVE, "GET") == 1


@pytest.mark.parametrize(
    ("path", "split", "said"),
    [
        pytest.param("mnist", "train", '"mnist_idx" or "idxfolder"', id="unknown-name"),
        pytest.param("mnist_idx", ("train",), r"\('train',\)", id="split-that-is-a-tuple"),
    ],
)
def test_wrong_arguments_of_load_arrays(path: str, split: Any, said: str) -> None:
    with pytest.raises(mnist_idx.IdxError, match=said):
        mnist_idx.load_arrays(path, split=split)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="defaults"),
        pytest.param(
            {"num_samples": 20_000, "seed": 0}, id="20,000-with-a-seed", marks=pytest.mark.slow
        ),
        pytest.param(
            {"num_samples": 500, "sampling": "uniform"}, id="500-of-all", marks=pytest.mark.slow
        ),
    ],
)
def test_subset_has_the_selected_records(
    mode: str, options: Any, mnist_tar: Path, mirror: Mirror, tmp_path: Path, mnist_arrays: Arrays
) -> None:
    mirror(mnist_tar)
    found = read_all(mode, "mnist_idx", "subset", cache_dir=str(tmp_path), **options)
    for split in COUNTS:
        assert digest_arrays(*found[split]) == subset(mnist_arrays, split, **options)


# Entries of the cache


@pytest.mark.slow
def test_each_option_of_a_config_has_a_cache_entry_of_its_own(
    tmp_path: Path, mirror: Mirror, mnist_tar: Path
) -> None:
    mirror(mnist_tar)

    def cache_file(**options: Any) -> str:
        rows = datasets.load_dataset(
            "mnist_idx", "subset", split="test", cache_dir=str(tmp_path), **options
        )
        return rows.cache_files[0]["filename"]

    files = [
        cache_file(),
        cache_file(num_samples=101),
        cache_file(seed=2),
        cache_file(sampling="uniform"),
        cache_file(as_array=True),
        cache_file(transpose=True),
    ]
    assert len(set(files)) == len(files)
    assert cache_file() == files[0], "the same options have the same entry"


@pytest.mark.parametrize(
    ("module", "makes_records"),
    [
        pytest.param("tools/cli.py", False, id="tools-make-no-records", marks=pytest.mark.slow),
        pytest.param("idx.py", True, id="idx"),
        pytest.param("catalog.py", True, id="catalog", marks=pytest.mark.slow),
    ],
)
def test_other_code_that_makes_records_has_a_cache_entry_of_its_own(
    module: str, makes_records: bool, tmp_path: Path, hf_home: Path
) -> None:
    copy = shutil.copytree(ROOT / "mnist_idx", tmp_path / "code" / "mnist_idx")
    code = f"""
import sys
sys.path.insert(0, {str(copy.parent)!r})
import datasets
import mnist_idx

assert mnist_idx.__file__.startswith({str(copy)!r})
rows = datasets.load_dataset("mnist_idx", "tiny", split="test")
result = rows.cache_files[0]["filename"]
"""
    before = run_snippet(code, home=hf_home, installed=True).result
    (copy / module).write_text((copy / module).read_text() + "\n# changed\n")
    after = run_snippet(code, home=hf_home, installed=True).result
    assert (after != before) == makes_records


# Streams

TRAIN_FIRST = [*MEMBERS["train"], *MEMBERS["test"]]
each_order_of_members = pytest.mark.parametrize(
    "order", [pytest.param(None, id="as-published"), pytest.param(TRAIN_FIRST, id="train-first")]
)


def serve_in_order(
    order: list[str] | None,
    serve: Any,
    mnist_tar: Path,
    mnist_files: dict[str, bytes],
    folder: Path,
) -> Server:
    """A server of the published tar, or of one with its members in another order."""
    if order is None:
        return serve({ARCHIVE: mnist_tar})
    members = {name: mnist_files[name] for name in order}
    return serve({ARCHIVE: write_archive(folder / "set.tar", members)})


@each_order_of_members
@pytest.mark.parametrize(
    ("config", "split", "options", "records", "most_bytes", "most_requests"),
    [
        pytest.param("mnist", "test", {}, 10_000, 1_800_000, 20, id="test"),
        pytest.param(
            "subset", "train", {"num_samples": 100}, 100, 150_000, 14, id="100-records-of-train"
        ),
        pytest.param("mnist", "train", {}, 60_000, 10_100_000, 30, id="train"),
    ],
)
def test_streaming_fetches_what_is_asked_for(
    config: str,
    split: str,
    options: dict[str, Any],
    records: int,
    most_bytes: int,
    most_requests: int,
    order: list[str] | None,
    serve: Any,
    mnist_tar: Path,
    mnist_files: dict[str, bytes],
    mirror: Mirror,
    tmp_path: Path,
) -> None:
    server = serve_in_order(order, serve, mnist_tar, mnist_files, tmp_path)
    mirror(server.url(ARCHIVE))
    rows = datasets.load_dataset("mnist_idx", config, split=split, streaming=True, **options)
    count = sum(len(batch) for batch in rows.with_format("arrow").iter(1000))
    server.settle()
    assert count == records
    assert server.sent() <= most_bytes
    assert server.count() <= most_requests


@each_order_of_members
def test_arrays_of_a_stream_fetch_what_is_asked_for(
    order: list[str] | None,
    serve: Any,
    mnist_tar: Path,
    mnist_files: dict[str, bytes],
    mirror: Mirror,
    tmp_path: Path,
) -> None:
    server = serve_in_order(order, serve, mnist_tar, mnist_files, tmp_path)
    mirror(server.url(ARCHIVE))
    mnist_idx.load_arrays("mnist_idx", num_samples=100, seed=1, streaming=True)
    server.settle()
    assert server.sent() <= 150_000
    assert server.count() <= 14


@pytest.mark.slow
@pytest.mark.compat
def test_streaming_writes_nothing(python: str, server: Server, hf_home: Path) -> None:
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    outcome = run_client("stream_and_list_files", home=hf_home, python=python, env=env)
    assert outcome.result == [COUNTS, {}, {}]


any_server = pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param({}, id="server-with-all"),
        pytest.param({"ranges": False}, id="server-without-ranges"),
        pytest.param({"head": False}, id="server-that-refuses-head"),
    ],
)


@pytest.mark.slow
@any_server
def test_any_server_will_do(
    behaviour: Any, server: Server, mirror: Mirror, tmp_path: Path, prepared: Any
) -> None:
    server.behave(**behaviour)
    mirror(server.url(ARCHIVE))
    assert fingerprint(datasets.load_dataset("mnist_idx", cache_dir=str(tmp_path))) == prepared


@pytest.mark.slow
@any_server
def test_streams_can_be_read_in_any_order(
    behaviour: Any, server: Server, mirror: Mirror, mnist_arrays: Arrays
) -> None:
    server.behave(**behaviour)
    mirror(server.url(ARCHIVE))
    streams = datasets.load_dataset("mnist_idx", streaming=True)
    for count in (10_000, 1500):
        assert digest(streams["test"].take(count)) == head(mnist_arrays, "test", count)
        assert digest(streams["train"].take(1500)) == head(mnist_arrays, "train", 1500)
    images, labels = mnist_arrays["test"]
    assert digest(streams["test"].skip(9990)) == digest_arrays(images[9990:], labels[9990:])
