"""The published datasets through `load_dataset("mnist_idx", …)`: archives of their layout, and
copies of them.

Small stand-ins of the same layout take their places on a local server, with digests of their own.
"""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import StreamingDownloadManager, load_dataset, load_dataset_builder
from http_server import Server
from idx_files import random_images, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal
from stand_ins import as_loaded, decompressed, stand_in, stand_in_dataset, stand_in_files

from mnist_idx import load_arrays
from mnist_idx.catalog import DATASETS

each_mode = pytest.mark.parametrize("mode", MODES)
Publish = Callable[[str], tuple[Server, dict[str, bytes]]]


@pytest.fixture
def publish(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Publish:
    """Serve a stand-in in place of a published dataset."""

    def publish(name: str) -> tuple[Server, dict[str, bytes]]:
        files = stand_in_files(name)
        url, served = "/set/", {f"/set/{n}": content for n, content in files.items()}
        if name.startswith("emnist"):
            others = {"mapping.txt": b"1 65 97\n"} | stand_in_files("emnist_byclass") | files
            archive = write_archive(
                tmp_path / "stored.zip", {f"gzip/{n}": data for n, data in others.items()}
            )
            url, served = "/gzip.zip", {"/gzip.zip": archive}
        server = serve(served)
        row = stand_in_dataset(name, (server.url(url),))
        for one in (name, "subset") if name == "mnist" else (name,):
            monkeypatch.setitem(DATASETS, one, row)
        return server, files

    return publish


@each_mode
@pytest.mark.parametrize(
    "name", [name for name in DATASETS if name not in ("mnist", "subset", "tiny")]
)
def test_relatives(name: str, mode: str, publish: Publish, tmp_path: Path) -> None:
    publish(name)
    cache = str(tmp_path / "cache")
    found = read_all(mode, "mnist_idx", name, DATASETS[name].splits, cache_dir=cache)
    has_all_parts = mode == "arrays" and DATASETS[name].family == "qmnist"
    assert_same(found, stand_in(name) if has_all_parts else as_loaded(name))
    if name == "emnist_digits":
        assert_same(
            read_all(mode, "mnist_idx", name, transpose=False, cache_dir=cache), stand_in(name)
        )


def test_a_stream_of_emnist_fetches_only_its_members(publish: Publish) -> None:
    server, files = publish("emnist_mnist")
    list(load_dataset("mnist_idx", "emnist_mnist", split="test", streaming=True))
    assert (
        server.sent("/gzip.zip")
        < sum(len(content) for name, content in files.items() if "test" in name) + 100_000
    )


@pytest.fixture
def copy(publish: Publish, serve: Callable[..., Server], tmp_path: Path) -> Callable[..., str]:
    """Make a copy of a stand-in whose sources are gone. Returns its place."""

    def copy(name: str, form: str, changed: dict[str, bytes] | None = None) -> str:
        server, files = publish(name)
        server.behave(status=404)
        files |= changed or {}
        if form == "decompressed":
            files = decompressed(files)
        if form == "url/":
            return serve({f"/copy/{n}": content for n, content in files.items()}).url("/copy/")
        path = write_archive(
            tmp_path / form, {f"data/{n}": content for n, content in files.items()}
        )
        return serve({"/set.tar": path}).url("/set.tar") if form == "set.tar" else str(path)

    return copy


COPIES = [("mnist", "decompressed")]
COPIES += [("kmnist", form) for form in ("set.tar", "deflated.zip", "set.tar.gz", "url/")]


@each_mode
@pytest.mark.parametrize(
    ("name", "form"), [("mnist", "folder"), ("emnist_letters", "folder"), *COPIES]
)
def test_copies(name: str, form: str, mode: str, copy: Callable[..., str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"data_dir": copy(name, form), "cache_dir": str(tmp_path / "cache")}
    assert_same(read_all(mode, "mnist_idx", name, **options), as_loaded(name))
    if name == "mnist":
        subset = read_all(mode, "mnist_idx", "subset", num_samples=1, **options)
        assert_same(subset, {split: (x[:1], y[:1]) for split, (x, y) in as_loaded(name).items()})


VERIFIED = [("mnist", "folder"), ("kmnist", "set.tar"), ("mnist", "decompressed")]
VERIFIED += [("emnist_mnist", "stored.zip"), ("emnist_mnist", "deflated.zip")]


@each_mode
@pytest.mark.parametrize(("name", "form"), VERIFIED)
def test_copies_are_verified(
    name: str, form: str, mode: str, copy: Callable[..., str], tmp_path: Path
) -> None:
    file, content = list(stand_in_files(name).items())[3]
    records, changed = gzip.decompress(content), form == "decompressed"
    # The same records, compressed at another time, are not the published file.
    wrong = gzip.compress(records[:-1] + b"\7" if changed else records, mtime=1)
    place = copy(name, form, {file: wrong})
    message = refusal(mode, "mnist_idx", name, data_dir=place, cache_dir=str(tmp_path / "cache"))
    assert all(
        part in message for part in (file.removesuffix(".gz"), "not the published file", place)
    )


OWN_FILES = [
    (name, "data_dir", "found train-images-idx-ubyte,") for name in ("mnist", "subset", "kmnist")
]
OWN_FILES += [
    ("tiny", "data_dir", "takes no data_dir="),
    ("mnist", "data_files", "takes no data_files="),
]


@each_mode
@pytest.mark.parametrize(("name", "option", "reason"), OWN_FILES)
def test_own_files_are_for_idxfolder(
    name: str, option: str, reason: str, mode: str, tmp_path: Path
) -> None:
    files = {
        f"train-{role}-idx-ubyte": to_idx(random_images(3, 4, 4)) for role in ("images", "labels")
    }
    place = str(
        write_archive(tmp_path / "my", files)
        / ("" if option == "data_dir" else "train-images-idx-ubyte")
    )
    message = refusal(mode, "mnist_idx", name, **{option: place})
    own = "…" if "takes no" in reason else f'"{place}"'
    way_out = f'load_dataset("idxfolder", {option}={own})'
    assert all(part in message for part in (f"mnist_idx/{name}", reason, way_out))


def test_examples_are_a_view_of_the_tables_by_rows() -> None:
    builder = load_dataset_builder("mnist_idx", "tiny", as_array=True)
    _, generator = builder._split_generators(StreamingDownloadManager())
    examples = dict(builder._generate_examples(**generator.gen_kwargs))
    assert list(examples) == list(range(200))
    found = (
        np.array([example[column] for example in examples.values()])
        for column in ("image", "label")
    )
    assert_same({"": tuple(found)}, {"": load_arrays("mnist_idx", "tiny", split="test")})
