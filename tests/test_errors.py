"""What users read when something is wrong: true, complete, with a way out that works. And what is refused at once."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from clients import run_client
from conftest import ARCHIVE
from http_server import Server
from idx_files import random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal

import mnist_idx
from mnist_idx import catalog
from mnist_idx.tools import cli

TRAIN = random_images(7, 5, 4), random_labels(7)
TEST = random_images(6, 5, 4, seed=1), random_labels(6, seed=1)
FILES = {
    "train-images-idx3-ubyte": to_idx(TRAIN[0]),
    "train-labels-idx1-ubyte": to_idx(TRAIN[1]),
    "t10k-images-idx3-ubyte": to_idx(TEST[0]),
    "t10k-labels-idx1-ubyte": to_idx(TEST[1]),
}
# How Python spells options, which the command line spells otherwise.
PYTHON_OPTION = re.compile(r"\b(overwrite|image_column|label_column|data_files|data_dir|prefix|data_set|as_array)=")

each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


# Sources


@pytest.fixture
def use_sources(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Replace the built-in sources of MNIST."""

    def use(*urls: str) -> None:
        sources = tuple(catalog.Source(url, 0) for url in urls)
        monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.DATASETS["mnist"]._replace(sources=sources))

    return use


@pytest.fixture
def dead(serve: Callable[..., Server], use_sources: Any, mirror: Callable[[str], None]) -> tuple[Server, list[str]]:
    """A server that has nothing, and the sources on it: a mirror, a tar, two folders of files."""
    server = serve()
    server.behave(status=404)
    server.behave("/mnist_database.tar", status=403)
    urls = [server.url(path) for path in ("/mirror.tar", "/mnist_database.tar", "/first/", "/second/")]
    mirror(urls[0])
    use_sources(*urls[1:])
    return server, urls


@each_way
def test_the_final_error_lists_every_source_once_with_its_reason(
    way: str, dead: tuple[Server, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    message = refusal(way, "mnist_idx")
    bullets = [line for line in message.splitlines() if line.startswith("- ")]
    assert [line.removeprefix("- ").startswith(url) for line, url in zip(bullets, dead[1], strict=True)] == [True] * 4
    assert [re.findall("answered (403|404)", line) for line in bullets] == [["404"], ["403"], ["404"], ["404"]]
    assert [message.count(url) for url in dead[1]] == [1] * 4
    # All but the last one go on to the next.
    warnings = [record.getMessage() for record in caplog.records]
    assert [sum(text.startswith(url) for text in warnings) for url in dead[1]] == [1, 1, 1, 0]


def test_the_final_error_in_the_middle_of_a_stream_lists_every_source_once(
    server: Server, serve: Callable[..., Server], use_sources: Callable[..., None], mirror: Callable[[str], None]
) -> None:
    other = serve()
    urls = [other.url("/mirror.tar"), server.url(ARCHIVE), other.url("/folder/")]
    server.behave(ARCHIVE, skip=16, status=404)
    mirror(urls[0])
    use_sources(*urls[1:])
    rows = iter(datasets.load_dataset("mnist_idx", split="train", streaming=True))
    assert next(rows)
    with pytest.raises(mnist_idx.IdxError) as caught:
        list(rows)
    assert [str(caught.value).count(url) for url in urls] == [1, 1, 1]


@each_way
def test_warnings_and_errors_about_sources_read_well(
    way: str, dead: tuple[Server, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    message = refusal(way, "mnist_idx")
    assert "set MNIST_IDX_MIRROR" not in message, "the mirror is set, and is what failed"
    assert way != "verify" or not PYTHON_OPTION.search(message)
    for line in [*(record.getMessage() for record in caplog.records), *message.splitlines()]:
        assert all(line.count(url) <= 1 for url in dead[1])
        assert not re.search(r"[^.:?!] (Going|Trying|Ways|Set|Pass|Load) ", line), "a sentence has no end"


@each_way
def test_the_mirror_is_a_way_out_where_there_is_none(
    way: str, serve: Callable[..., Server], use_sources: Callable[..., None]
) -> None:
    use_sources(serve().url("/mnist_database.tar"))
    assert "set MNIST_IDX_MIRROR" in refusal(way, "mnist_idx")


@each_way
def test_a_folder_that_lacks_a_file_is_named(
    way: str, tmp_path: Path, dead: tuple[Server, list[str]], mirror: Callable[[Any], None]
) -> None:
    folder = write_archive(tmp_path / "folder", {name: FILES[name] for name in list(FILES)[:3]})
    mirror(folder)
    (bullet,) = [line for line in refusal(way, "mnist_idx").splitlines() if "t10k-labels" in line and "404" not in line]
    assert bullet.startswith(f"- {folder}: ")


@pytest.mark.parametrize("damage", ["member", "archive"])
@pytest.mark.parametrize(
    ("place", "way"),
    [("file", "prepared"), *((place, way) for place in ("file", "url") for way in ("streamed", "arrays", "verify"))],
)
def test_a_new_download_is_not_advised_where_nothing_was_downloaded(
    place: str, way: str, damage: str, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    name = "train-images-idx3-ubyte"
    path = write_archive(tmp_path / "set.tar", FILES | {name: gzip.compress(FILES[name])[:-4]})
    if damage == "archive":
        path.write_bytes(b"<html></html>")
    location = str(path) if place == "file" else serve({"/set.tar": path}).url("/set.tar")
    options = {"streaming": True} if way == "arrays" else {}
    assert "force_redownload" not in refusal(way, "idxfolder", data_dir=location, **options)


def test_a_bad_download_is_fetched_again_or_the_error_says_how(tmp_path: Path, serve: Callable[..., Server]) -> None:
    path = write_archive(tmp_path / "set.tar", FILES)
    server = serve({"/set.tar": path.read_bytes()[:-9000]})
    options = {"data_dir": server.url("/set.tar"), "cache_dir": str(tmp_path / "cache")}
    if "force_redownload" in refusal("prepared", "idxfolder", **options):
        options["download_mode"] = "force_redownload"
    server.put("/set.tar", path)
    assert_same(read_all("prepared", "idxfolder", **options), {"train": TRAIN, "test": TEST})


def errors_of(error: BaseException | None) -> list[BaseException]:
    """An error and what it came from, as error reporters collect it."""
    chain: list[BaseException] = []
    while error is not None:
        assert all(error is not earlier for earlier in chain), f"{error!r} comes from itself"
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


@pytest.mark.parametrize(
    ("mode", "options"), [("prepared", {}), ("prepared", {"num_proc": 2}), ("streamed", {}), ("arrays", {})]
)
def test_no_chain_of_errors_is_circular(mode: str, options: dict[str, Any], tmp_path: Path) -> None:
    cut = FILES | {"train-images-idx3-ubyte": FILES["train-images-idx3-ubyte"][:-1]}
    with pytest.raises(mnist_idx.IdxError) as caught:
        read_all(mode, "idxfolder", data_dir=str(write_archive(tmp_path / "folder", cut)), **options)
    errors_of(caught.value)


@each_mode
def test_no_chain_of_errors_about_sources_is_circular(mode: str, dead: tuple[Server, list[str]]) -> None:
    with pytest.raises(mnist_idx.IdxError) as caught:
        read_all(mode, "mnist_idx")
    errors_of(caught.value)


# Arguments

BAD_VALUES = {"as_array": "no", "transpose": "no", "num_shards": "2"}
BAD_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((path, {name: value}) for path in ("mnist_idx", "idxfolder") for name, value in BAD_VALUES.items()),
    ("idxfolder", {"label_names": "zero"}),
    ("idxfolder", {"label_names": range(10)}),
    ("idxfolder", {"label_names": ["a", 3]}),
    ("idxfolder", {"prefix": 3}),
]


@each_mode
@pytest.mark.parametrize(("path", "options"), BAD_OPTIONS, ids=str)
def test_options_of_the_wrong_type_are_refused_before_anything_is_fetched(
    path: str, options: dict[str, Any], mode: str, dead: tuple[Server, list[str]]
) -> None:
    server, urls = dead
    (name,) = options
    place = {"data_dir": urls[0]} if path == "idxfolder" else {}
    assert name in refusal(mode, path, **options, **place)
    assert server.count() == 0


def test_an_unknown_split_is_refused_before_anything_is_fetched(dead: tuple[Server, list[str]]) -> None:
    with pytest.raises(mnist_idx.IdxError, match=r"'validation'.*'train'.*'test'"):
        mnist_idx.load_arrays("mnist_idx", split="validation")
    assert dead[0].count() == 0


@pytest.mark.parametrize("options", [["--num-samples", "0"], ["--num-samples", "60001"]])
def test_export_checks_its_options_before_anything_is_fetched(
    options: list[str], dead: tuple[Server, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", str(tmp_path / "out"), *options]) == 1
    assert "num" in (printed := capsys.readouterr().err)
    assert "404" not in printed
    assert dead[0].count() == 0


# Places that cannot be written

NO_HOME = """
import mnist_idx
try:
    mnist_idx.load_arrays("mnist_idx")
except mnist_idx.IdxError as error:
    result = str(error)
"""


def test_load_arrays_where_hf_home_cannot_be_created(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    home = str(tmp_path / "file" / "home")
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE), "HF_HOME": home}
    message = run_client(NO_HOME, home=tmp_path / "other", env=env).result
    assert home in message
    assert "HF_HOME" in message


def test_preview_in_a_folder_that_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir("/proc")
    assert cli.main(["preview", "tiny"]) == 1
    printed = capsys.readouterr().err
    assert "/proc" in printed
    assert "--output" in printed


# The command line


def test_preview_replaces_no_file_that_it_has_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("digits.png").write_bytes(b"mine")
    cli.main(["preview", "tiny"])
    assert Path("digits.png").read_bytes() == b"mine"


@pytest.mark.parametrize("form", ["letters", "letters.tar"])
def test_preview_says_what_was_loaded(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_archive(tmp_path / form, FILES)
    assert cli.main(["preview", form]) == 0
    title = capsys.readouterr().out.splitlines()[0]
    assert form in title
    assert "mnist_idx/mnist" not in title


COMMANDS = {
    "export to a folder": ["export", "full"],
    "convert to a folder": ["convert", "imagefolder", "--data-dir", "pictures", "full"],
    "convert two columns": ["convert", "parquet", "--data-files", "two.parquet", "out"],
    "preview of unclear names": ["preview", "unclear"],
    "verify unclear names": ["verify", "unclear"],
    "preview of several": ["preview", "several"],
    "preview of vectors": ["preview", "vectors"],
    "verify images that lack": ["verify", "lacking"],
    "preview of images that lack": ["preview", "lacking"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_speaks_of_its_own_options(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_archive(tmp_path / "full", {"README.md": b"---\n---\n", "tiny/x": b""})
    write_archive(tmp_path / "unclear", {"one.idx": FILES["train-images-idx3-ubyte"], "two.idx": b""})
    several = {f"{name}/{file}": content for name in ("a", "b") for file, content in FILES.items()}
    write_archive(tmp_path / "several", several)
    write_archive(tmp_path / "vectors", {"train-images-idx2-ubyte": to_idx(random_images(7, 5))})
    write_archive(tmp_path / "lacking", {"train-labels-idx1-ubyte": FILES["train-labels-idx1-ubyte"]})
    images = [datasets.Image().encode_example(image) for image in TRAIN[0]]
    features = datasets.Features({"a": datasets.Image(), "b": datasets.Image()})
    datasets.Dataset.from_dict({"a": images, "b": images}, features=features).to_parquet("two.parquet")
    for label in "ab":
        (tmp_path / "pictures" / label).mkdir(parents=True)
        (tmp_path / "pictures" / label / "0.png").write_bytes(images[0]["bytes"])
    capsys.readouterr()
    assert cli.main(COMMANDS[command]) == 1
    printed = capsys.readouterr().err
    assert not PYTHON_OPTION.search(printed), printed
    options = {"full": "--overwrite", "out": "--image-column", "several": "--prefix"}
    assert options.get(COMMANDS[command][-1], "") in printed


# What verify and loading agree on

SPLITS_DIFFER = {name: content for name, content in FILES.items() if name != "t10k-labels-idx1-ubyte"}
BAD_LABELS = {
    "negative": FILES | {"train-labels-idx1-ubyte": to_idx(np.array([0, 1, 2, -1, 1, 2, 0], np.int8))},
    "no classes": FILES | {"train-labels-idx1-ubyte": to_idx(np.array([0, 1, 2, 3, 1, 2, 100_000], np.int32))},
    "only in one split": SPLITS_DIFFER,
    "of other parts": FILES | {"t10k-labels-idx2-int": to_idx(np.zeros((6, 8), np.int32))},
}
del BAD_LABELS["of other parts"]["t10k-labels-idx1-ubyte"]


@each_way
@pytest.mark.parametrize("labels", BAD_LABELS)
def test_verify_refuses_the_labels_that_loading_refuses(labels: str, way: str, tmp_path: Path) -> None:
    folder = str(write_archive(tmp_path / "folder", BAD_LABELS[labels]))
    assert "label" in refusal(way, "idxfolder", data_dir=folder)


@each_mode
def test_advice_about_records_of_one_dimension_works(mode: str, tmp_path: Path) -> None:
    files = {"train-images-idx2-ubyte": to_idx(random_images(7, 5)), "train-labels-idx1-ubyte": to_idx(TRAIN[1])}
    options: dict[str, Any] = {"data_dir": str(write_archive(tmp_path / "folder", files)), "splits": ["train"]}
    advice = "as_array=True"
    try:
        found = read_all(mode, "idxfolder", **options)
    except mnist_idx.IdxError as error:
        if advice not in str(error):
            return
        found = read_all(mode, "idxfolder", as_array=True, **options)
    assert_same(found, {"train": (random_images(7, 5), TRAIN[1])})


@each_mode
@pytest.mark.parametrize("form", ["folder", "set.tar", "deflated.zip"])
def test_files_that_are_there_twice_as_kaggle_unpacks_them(form: str, mode: str, tmp_path: Path) -> None:
    twice = {name.replace("-idx", ".idx"): content for name, content in FILES.items()}
    twice |= {f"{name}/{name}": content for name, content in FILES.items()}
    path = write_archive(tmp_path / form, twice)
    assert_same(read_all(mode, "idxfolder", data_dir=str(path)), {"train": TRAIN, "test": TEST})
    assert cli.main(["verify", str(path)]) == 0


# Files named by URLs of the local disk


@each_mode
@pytest.mark.parametrize("form", ["set.tar", "folder"])
def test_changed_files_at_a_file_url_are_loaded_anew(form: str, mode: str, tmp_path: Path) -> None:
    path = write_archive(tmp_path / form, FILES)
    options = {"data_dir": path.as_uri(), "splits": ["train", "test"]}
    assert_same(read_all(mode, "idxfolder", **options), {"train": TRAIN, "test": TEST})
    assert_same(read_all(mode, "idxfolder", **options), {"train": TRAIN, "test": TEST})
    (train, train_labels), (test, test_labels) = (list(FILES.values())[:2], list(FILES.values())[2:])
    write_archive(path, dict(zip(FILES, [test, test_labels, train, train_labels], strict=True)))
    assert_same(read_all(mode, "idxfolder", **options), {"train": TEST, "test": TRAIN})


# Files left open

READ = """
import gc, datasets, mnist_idx
for path in args["paths"]:
    for way, options in {"prepared": {}, "streamed": {"streaming": True}, "num_proc": {"num_proc": 2}}.items():
        data = datasets.load_dataset("idxfolder", data_dir=path, cache_dir=f"{path}-{way}", **options)
        result = [len(list(data[split])) for split in data]
        del data
        gc.collect()
    mnist_idx.load_arrays("idxfolder", data_dir=path)
    gc.collect()
"""


@pytest.mark.compat
def test_no_file_is_left_open(python: str, tmp_path: Path, hf_home: Path) -> None:
    args = {"paths": [str(write_archive(tmp_path / form, FILES)) for form in ("folder", "set.tar.gz", "deflated.zip")]}
    env = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error::ResourceWarning"}
    outcome = run_client(READ, home=hf_home, args=args, env=env, python=python)
    assert outcome.result == [7, 6]
    assert "ResourceWarning" not in outcome.stderr
