"""The published datasets through `load_dataset("mnist_idx", …)`: archives of their layout, and
copies of them.

Small stand-ins of the same layout take their places on a local server, with digests of their own.
"""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from http_server import Server
from idx_files import random_images, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal
from published import PUBLISHED
from stand_ins import as_loaded, decompressed, stand_in, stand_in_dataset, stand_in_files

from mnist_idx import IdxError, load_arrays
from mnist_idx.catalog import DATASETS
from mnist_idx.tools.cli import main

each_mode = pytest.mark.parametrize("mode", MODES)
Publish = Callable[[str], tuple[Server, dict[str, bytes]]]
Copy = Callable[..., str]


# Configs


@pytest.mark.parametrize(("name", "records", "classes"), PUBLISHED)
def test_every_dataset_is_a_config(name: str, records: dict[str, int], classes: int) -> None:
    known = DATASETS[name]
    assert name in datasets.get_dataset_config_names("mnist_idx")
    info = datasets.get_dataset_config_info("mnist_idx", name)
    assert str(info.version) == "1.0.0"
    assert {split: found.num_examples for split, found in info.splits.items()} == records
    assert info.features["label"].names == list(known.class_names)
    assert len(set(info.features["label"].names) - {"N/A"}) == classes


@pytest.mark.parametrize("fact", ["license", "citation", "homepage", "description"])
@pytest.mark.parametrize(("name", "records", "classes"), PUBLISHED)
def test_a_config_says_what_the_catalog_says(
    name: str, records: dict[str, int], classes: int, fact: str
) -> None:
    info = datasets.get_dataset_config_info("mnist_idx", name)
    assert getattr(info, fact) == getattr(DATASETS[name], fact)
    assert getattr(info, fact) != ""


@pytest.mark.parametrize(("name", "records", "classes"), PUBLISHED)
def test_only_qmnist_has_details_of_labels(
    name: str, records: dict[str, int], classes: int
) -> None:
    features = datasets.get_dataset_config_info("mnist_idx", name).features
    if name.startswith("qmnist"):
        details = datasets.Sequence(datasets.Value("int64"), length=7)
        assert features["label_details"] == details
    else:
        assert "label_details" not in features


def test_images_have_the_shape_of_the_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, "kmnist", DATASETS["kmnist"]._replace(shape=(5, 7)))
    builder = datasets.load_dataset_builder("mnist_idx", "kmnist", as_array=True)
    assert builder.info.features["image"].shape == (5, 7)


@pytest.mark.parametrize(
    ("name", "typed", "quoted"),
    [
        pytest.param("qmnist_nist", "train", '"train"', id="dataset-of-one-split"),
        pytest.param("tiny", "train or test", '"train" or "test"', id="dataset-of-two-splits"),
    ],
)
def test_a_split_that_a_dataset_lacks_is_refused(
    name: str, typed: str, quoted: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["preview", name, "--split", "extra"]) == 1
    assert f"--split extra: expected {typed}." in capsys.readouterr().err
    with pytest.raises(IdxError, match=f"split='extra': expected {quoted}, "):
        load_arrays("mnist_idx", name, split="extra")


# Stand-ins


@pytest.fixture
def publish_stand_in(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Publish:
    """Serve a stand-in in place of a published dataset. Returns the server, and the files."""

    def publish_stand_in(name: str) -> tuple[Server, dict[str, bytes]]:
        files = stand_in_files(name)
        if name.startswith("emnist"):
            others = {"mapping.txt": b"1 65 97\n", **stand_in_files("emnist_byclass")}
            members = {f"gzip/{one}": content for one, content in {**others, **files}.items()}
            server = serve({"/gzip.zip": write_archive(tmp_path / "stored.zip", members)})
            url = server.url("/gzip.zip")
        else:
            server = serve({f"/set/{one}": content for one, content in files.items()})
            url = server.url("/set/")
        replaced = stand_in_dataset(name, sources=(url,))
        monkeypatch.setitem(DATASETS, name, replaced)
        if name == "mnist":
            monkeypatch.setitem(DATASETS, "subset", replaced)
        return server, files

    return publish_stand_in


@each_mode
@pytest.mark.parametrize(
    "name",
    [
        "fashion_mnist",
        "kmnist",
        "qmnist",
        "qmnist_nist",
        "emnist_byclass",
        "emnist_bymerge",
        "emnist_balanced",
        "emnist_letters",
        "emnist_digits",
        "emnist_mnist",
    ],
)
def test_relatives_of_mnist_are_loaded(
    name: str, mode: str, publish_stand_in: Publish, tmp_path: Path
) -> None:
    publish_stand_in(name)
    splits = DATASETS[name].splits
    found = read_all(mode, "mnist_idx", name, splits, cache_dir=str(tmp_path / "cache"))
    has_all_parts_of_labels = mode == "arrays" and name.startswith("qmnist")
    assert_same(found, stand_in(name) if has_all_parts_of_labels else as_loaded(name))


@each_mode
def test_emnist_is_loaded_as_stored_if_the_user_says_so(
    mode: str, publish_stand_in: Publish, tmp_path: Path
) -> None:
    publish_stand_in("emnist_digits")
    cache = str(tmp_path / "cache")
    found = read_all(mode, "mnist_idx", "emnist_digits", transpose=False, cache_dir=cache)
    assert_same(found, stand_in("emnist_digits"))


def test_a_stream_of_emnist_fetches_only_its_members(publish_stand_in: Publish) -> None:
    server, files = publish_stand_in("emnist_mnist")
    list(datasets.load_dataset("mnist_idx", "emnist_mnist", split="test", streaming=True))
    size = sum(len(content) for name, content in files.items() if "test" in name)
    server.settle()
    assert server.sent("/gzip.zip") < size + 100_000


# Copies of the published files


@pytest.fixture
def copy_stand_in(publish_stand_in: Publish, serve: Callable[..., Server], tmp_path: Path) -> Copy:
    """Make a copy of a stand-in whose sources are gone, some files changed. Returns its place."""

    def copy_stand_in(name: str, form: str, changed: dict[str, bytes] | None = None) -> str:
        server, files = publish_stand_in(name)
        server.behave(status=404)
        files = {**files, **(changed or {})}
        if form == "url/":
            copies = serve({f"/copy/{one}": content for one, content in files.items()})
            return copies.url("/copy/")
        if form == "decompressed":
            files = decompressed(files)
        members = {f"data/{one}": content for one, content in files.items()}
        path = write_archive(tmp_path / form, members)
        return serve({"/set.tar": path}).url("/set.tar") if form == "set.tar" else str(path)

    return copy_stand_in


@each_mode
@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param("mnist", "folder", id="mnist-in-a-folder"),
        pytest.param("emnist_letters", "folder", id="emnist-in-a-folder"),
        pytest.param("mnist", "decompressed", id="mnist-decompressed-in-a-folder"),
        pytest.param("kmnist", "set.tar", id="kmnist-in-a-tar-on-a-server"),
        pytest.param("kmnist", "deflated.zip", id="kmnist-in-a-zip"),
        pytest.param("kmnist", "set.tar.gz", id="kmnist-in-a-compressed-tar"),
        pytest.param("kmnist", "url/", id="kmnist-in-a-folder-on-a-server"),
    ],
)
def test_a_copy_is_loaded(
    name: str, form: str, mode: str, copy_stand_in: Copy, tmp_path: Path
) -> None:
    place, cache = copy_stand_in(name, form), str(tmp_path / "cache")
    found = read_all(mode, "mnist_idx", name, data_dir=place, cache_dir=cache)
    assert_same(found, as_loaded(name))


@each_mode
def test_a_subset_of_a_copy_is_loaded(mode: str, copy_stand_in: Copy, tmp_path: Path) -> None:
    options: dict[str, Any] = {"data_dir": copy_stand_in("mnist", "folder"), "num_samples": 1}
    found = read_all(mode, "mnist_idx", "subset", cache_dir=str(tmp_path / "cache"), **options)
    first = {split: (x[:1], y[:1]) for split, (x, y) in as_loaded("mnist").items()}
    assert_same(found, first)


def assert_not_the_published_file(
    name: str, form: str, mode: str, file: str, content: bytes, copy_stand_in: Copy, cache: Path
) -> None:
    """A copy in which one file is replaced is refused, and the error names file and place."""
    place = copy_stand_in(name, form, {file: content})
    message = refusal(mode, "mnist_idx", name, data_dir=place, cache_dir=str(cache))
    assert file.removesuffix(".gz") in message
    assert "not the published file" in message
    assert place in message


@each_mode
@pytest.mark.parametrize(
    ("name", "form"),
    [
        pytest.param("mnist", "folder", id="mnist-in-a-folder"),
        pytest.param("kmnist", "set.tar", id="kmnist-in-a-tar-on-a-server"),
        pytest.param("emnist_mnist", "stored.zip", id="emnist-in-a-zip"),
        pytest.param("emnist_mnist", "deflated.zip", id="emnist-deflated-in-a-zip"),
    ],
)
def test_the_same_labels_compressed_at_another_time_are_not_the_published_file(
    name: str, form: str, mode: str, copy_stand_in: Copy, tmp_path: Path
) -> None:
    file, content = list(stand_in_files(name).items())[3]
    again = gzip.compress(gzip.decompress(content), mtime=1)
    cache = tmp_path / "cache"
    assert_not_the_published_file(name, form, mode, file, again, copy_stand_in, cache)


@each_mode
def test_decompressed_labels_of_which_one_is_changed_are_not_the_published_file(
    mode: str, copy_stand_in: Copy, tmp_path: Path
) -> None:
    file, content = list(stand_in_files("mnist").items())[3]
    changed = gzip.compress(gzip.decompress(content)[:-1] + b"\7")
    cache = tmp_path / "cache"
    assert_not_the_published_file(
        "mnist", "decompressed", mode, file, changed, copy_stand_in, cache
    )


# The user's own files


@pytest.fixture
def own_files(tmp_path: Path) -> Path:
    """A folder of IDX files that are not the published ones."""
    images = to_idx(random_images(3, 4, 4))
    files = {"train-images-idx-ubyte": images, "train-labels-idx-ubyte": images}
    return write_archive(tmp_path / "my", files)


@each_mode
@pytest.mark.parametrize("name", ["mnist", "subset", "kmnist"])
def test_a_folder_of_own_files_is_for_idxfolder(name: str, mode: str, own_files: Path) -> None:
    message = refusal(mode, "mnist_idx", name, data_dir=str(own_files))
    assert f"mnist_idx/{name}" in message
    assert "found train-images-idx-ubyte," in message
    assert f'load_dataset("idxfolder", data_dir="{own_files}")' in message


@each_mode
@pytest.mark.parametrize(
    ("name", "option", "path"),
    [
        pytest.param("tiny", "data_dir", "", id="folder-for-tiny"),
        pytest.param("mnist", "data_files", "train-images-idx-ubyte", id="file-for-mnist"),
    ],
)
def test_an_option_for_own_files_is_for_idxfolder(
    name: str, option: str, path: str, mode: str, own_files: Path
) -> None:
    message = refusal(mode, "mnist_idx", name, **{option: str(own_files / path)})
    assert f"mnist_idx/{name}" in message
    assert f"takes no {option}=" in message
    assert f'load_dataset("idxfolder", {option}=…)' in message


def test_examples_are_a_view_of_the_tables_by_rows() -> None:
    builder = datasets.load_dataset_builder("mnist_idx", "tiny", as_array=True)
    _, test = builder._split_generators(datasets.StreamingDownloadManager())
    examples = dict(builder._generate_examples(**test.gen_kwargs))
    assert list(examples) == list(range(200))
    images = np.array([example["image"] for example in examples.values()])
    labels = np.array([example["label"] for example in examples.values()])
    expected = load_arrays("mnist_idx", "tiny", split="test")
    assert_same({"test": (images, labels)}, {"test": expected})
