"""What belongs to the user: sources are never deleted, folders are filled, and a killed writer
leaves nothing.
"""

import contextlib
import itertools
import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import datasets
import fsspec
import numpy as np
import pytest
from clients import Client, run_client, run_snippet, start_client, tree
from hub_server import HubServer
from idx_files import make_tar, random_images, to_idx, write_archive
from loading import read_all

import mnist_idx
from mnist_idx import IdxError, export, write_idx
from mnist_idx.tools.cli import main

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
PAIR = (random_images(7, 5, 5), np.arange(7, dtype=np.uint8))
GOOD = {IMAGES: to_idx(PAIR[0]), LABELS: to_idx(PAIR[1])}
WRONG_FEATURES = datasets.Features(
    {"image": datasets.Image(), "label": datasets.ClassLabel(names=["a"])}
)
Patch = pytest.MonkeyPatch

# Sources are never deleted


@pytest.mark.parametrize("option", ["data_dir", "data_files"])
@pytest.mark.parametrize(
    ("files", "options"),
    [
        pytest.param({**GOOD, IMAGES: GOOD[IMAGES][:-1]}, {}, id="cut-short"),
        pytest.param(GOOD, {"label_names": ["a"]}, id="label-outside-the-classes"),
        pytest.param(GOOD, {"prefix": "nosuch"}, id="no-such-prefix"),
        pytest.param(GOOD, {"features": WRONG_FEATURES}, id="other-features"),
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("local://{path}", id="local"),
        pytest.param("file://localhost{path}", id="file-with-a-host"),
        pytest.param("memory://user/{name}", id="memory"),
    ],
)
def test_a_refused_source_is_kept(
    url: str, files: Any, options: Any, option: str, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / "set.tar", files)
    content = path.read_bytes()
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/user/set.tar", content)
    given = url.format(path=path, name=path.name)
    options = {option: {"train": [given]} if option == "data_files" else given, **options}
    for mode in ("prepared", "arrays", "streamed"):
        # What is no URL of a file is "not found".
        with pytest.raises((IdxError, FileNotFoundError)):
            read_all(
                mode, "idxfolder", splits=["train"], cache_dir=str(tmp_path / "cache"), **options
            )
        assert path.read_bytes() == content
        assert memory.cat_file("/user/set.tar") == content


@pytest.mark.parametrize("form", ["data_dir", "variable"])
@pytest.mark.parametrize(
    "files", [pytest.param(GOOD, id="other-data"), pytest.param({"a": b"b"}, id="no-data")]
)
def test_a_file_that_is_no_copy_of_mnist_is_kept(
    files: Any, form: str, mirror: Any, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")  # no other source answers
    path = write_archive(tmp_path / "set.tar", files)
    content = path.read_bytes()
    options = {"data_dir": f"local://{path}"} if form == "data_dir" else {}
    if not options:
        mirror(f"local://{path}")
    for mode in ("prepared", "arrays"):
        with pytest.raises(IdxError):
            read_all(mode, "mnist_idx", cache_dir=str(tmp_path / "cache"), **options)
        assert path.read_bytes() == content


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"label_names": ["a"]}, id="label-outside-the-classes"),
        pytest.param({"prefix": "nosuch"}, id="no-such-prefix"),
        pytest.param({"features": WRONG_FEATURES}, id="other-features"),
    ],
)
@pytest.mark.parametrize("option", ["data_dir", "data_files"])
def test_a_wrong_argument_costs_no_second_download(
    option: str, options: Any, serve: Callable[..., Any], tmp_path: Path
) -> None:
    server = serve({"/set.tar": make_tar(GOOD)})
    given: Any = {option: server.url("/set.tar"), "cache_dir": str(tmp_path)}
    with pytest.raises(IdxError):
        read_all("prepared", "idxfolder", **given, **options)
    assert server.count(method="GET")
    with server.counting():
        found = read_all("prepared", "idxfolder", **given)
    np.testing.assert_array_equal(found["train"][0], PAIR[0])
    # To find out whether a file of `data_files` exists, `datasets` itself asks for it once.
    assert server.count(method="GET") == {"data_dir": 0, "data_files": 1}[option]


@pytest.mark.slow
def test_what_other_libraries_have_downloaded_is_kept(hf_home: Path) -> None:
    with HubServer() as hub:
        repo = hub.create("alice/idx")
        repo.commit("main", {"set.tar": make_tar(GOOD)}, "add")
        download = "import huggingface_hub as hub\n"
        download += "hub.hf_hub_download('alice/idx', 'set.tar', repo_type='dataset')"
        run_snippet(download, home=hf_home, env=hub.environment())
        before = {name: size for name, size in tree(hf_home / "hub").items() if "/blobs/" in name}
        assert before
        options = {"data_dir": "hf://datasets/alice/idx/set.tar", "label_names": ["a"]}
        args = {"mode": "prepared", "options": options}
        outcome = run_client("load_or_refuse", home=hf_home, env=hub.environment(), args=args)
        assert outcome.result != "loaded"
    assert before.items() <= tree(hf_home / "hub").items()


# Folders are filled, not replaced


def broken(count: int) -> datasets.IterableDataset:
    """A stream that fails after `count` records."""

    def rows() -> Any:
        for number in range(count):
            yield {"image": PAIR[0][0], "label": number}
        raise IdxError("the data broke off")

    features = {
        "image": datasets.Array2D((5, 5), "uint8"),
        "label": datasets.ClassLabel(names=list("abc")),
    }
    return datasets.IterableDataset.from_generator(rows, features=datasets.Features(features))


def write(target: Any, overwrite: bool = False) -> None:
    write_idx(PAIR, target, overwrite=overwrite)


def convert(target: Any, overwrite: bool = False) -> None:
    line = ["convert", "mnist_idx", str(target), "--name", "tiny", "--split", "test[:7]"]
    assert main([*line, *["--overwrite"] * overwrite]) == 0


def export_tiny(target: Any, overwrite: bool = False) -> None:
    export(target, ["tiny"], overwrite=overwrite)


def export_by_command(target: Any, overwrite: bool = False) -> None:
    assert main(["export", str(target), "--config", "tiny", *["--overwrite"] * overwrite]) == 0


def is_loadable(folder: Path, cache: Path) -> bool:
    """Whether a folder of one of the writers has what it wrote."""
    is_export = (folder / "README.md").exists()
    given = {"path": str(folder)} if is_export else {"path": "idxfolder", "data_dir": str(folder)}
    data = datasets.load_dataset(**given, cache_dir=str(cache))
    return "train" in data or data["test"].num_rows == 7


@pytest.mark.parametrize("writer", [write, convert, export_tiny, export_by_command])
def test_the_working_folder_is_filled(writer: Any, tmp_path: Path, monkeypatch: Patch) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for overwrite in (False, True):
        before = os.stat(folder).st_ino
        writer(".", overwrite)
        assert os.stat(folder).st_ino == before
        assert os.stat(".").st_ino == before
        assert os.getcwd() == str(folder)
        assert os.listdir(".")
        assert is_loadable(folder, tmp_path / "cache")
        assert {path.name for path in tmp_path.iterdir()} == {"digits", "cache"}


@pytest.mark.parametrize("writer", [write, export_tiny])
@pytest.mark.parametrize("form", ["folder", "link"])
def test_an_empty_folder_stays_the_same_folder(writer: Any, form: str, tmp_path: Path) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    folder.chmod(0o750)
    (tmp_path / "link").symlink_to("real")
    before = folder.stat()
    writer(folder if form == "folder" else tmp_path / "link")
    after = folder.stat()
    assert (after.st_ino, stat.S_IMODE(after.st_mode)) == (before.st_ino, 0o750)
    assert (tmp_path / "link").is_symlink()
    assert is_loadable(folder, tmp_path / "cache")


def test_a_fault_leaves_the_working_folder_as_it_was(tmp_path: Path, monkeypatch: Patch) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for overwrite in (False, True):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        with pytest.raises(IdxError, match="the data broke off"):
            write_idx(broken(3), ".", overwrite=overwrite)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        write_idx(PAIR, ".", overwrite=overwrite)
        assert os.path.samefile(".", folder)
    assert os.listdir(tmp_path) == ["digits"]


# Writers that die, and several at once


def start_writer(home: Path, target: Path, program: str, **options: Any) -> Client:
    """Start a program that writes, and wait until it has written some files."""
    reached = home.parent / f"reached-{target.name}-{options.get('value')}"
    args = {"target": str(target), "reached": str(reached), **options}
    client = start_client(program, home=home, args=args)
    until = time.monotonic() + 60
    while not (reached.exists() and any(target.parent.iterdir())):
        assert client.process.poll() is None and time.monotonic() < until
        time.sleep(0.01)
    return client


def start_pieces(
    home: Path, target: Path, value: int = 1, overwrite: bool = False, go: Path | None = None
) -> Client:
    """Start to write images of one value. The second half follows when `go` or "go" exists."""
    if go is None:
        go = home.parent / "go"
    return start_writer(
        home, target, "write_in_pieces", value=value, overwrite=overwrite, go=str(go)
    )


def start_export(home: Path, target: Path) -> Client:
    return start_writer(home, target, "export_tiny")


def wait_for(client: Client) -> None:
    """Wait for the end of a process, however it ends."""
    client.process.wait(60)
    client.temporary.cleanup()


SLOW = pytest.mark.slow


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills by signals")
@pytest.mark.parametrize(
    ("start", "name", "signal_name"),
    [
        pytest.param(start_pieces, "digits", "SIGTERM", id="folder-terminated", marks=SLOW),
        pytest.param(start_pieces, "digits", "SIGKILL", id="folder-killed", marks=SLOW),
        pytest.param(start_pieces, "digits.tar", "SIGTERM", id="tar-terminated", marks=SLOW),
        pytest.param(start_pieces, "digits.tar", "SIGHUP", id="tar-whose-terminal-closed"),
        pytest.param(start_export, "digits", "SIGTERM", id="export-terminated", marks=SLOW),
        pytest.param(start_export, "digits", "SIGKILL", id="export-killed", marks=SLOW),
    ],
)
def test_nothing_is_left_of_a_killed_writer(
    start: Callable[[Path, Path], Client],
    name: str,
    signal_name: str,
    hf_home: Path,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    client = start(hf_home, folder / name)
    os.kill(client.process.pid, getattr(signal, signal_name))
    wait_for(client)
    assert not (folder / name).exists()
    write_idx(PAIR, folder / name)
    assert os.listdir(folder) == [name]


@pytest.mark.slow
def test_only_what_is_left_of_dead_writers_is_removed(hf_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    start_pieces(hf_home, folder / "digits", value=1).kill()
    alive = start_pieces(hf_home, folder / "digits", value=2, overwrite=True)
    other = start_pieces(hf_home, folder / "others.tar", value=3)
    late = start_pieces(hf_home, folder / "digits", value=4, overwrite=True, go=tmp_path)
    with contextlib.suppress(subprocess.TimeoutExpired):
        late.process.wait(5)  # it may also wait for the other writer of its target
    (tmp_path / "go").touch()
    outcomes = {2: alive.wait().result, 3: other.wait().result, 4: late.wait().result}
    assert None in (outcomes[2], outcomes[4]) and outcomes[3] is None
    assert all("digits" in message for message in outcomes.values() if message)
    assert sorted(os.listdir(folder)) == ["digits", "others.tar"]
    for name, values in (("digits", (2, 4)), ("others.tar", (3,))):
        images, labels = mnist_idx.load_arrays("idxfolder", data_dir=str(folder / name))
        assert (len(images), labels.tolist()) == (4, [0, 1, 2, 3])
        assert np.unique(images).tolist() in [[value] for value in values]


def test_a_writer_within_a_writer(tmp_path: Path) -> None:
    def rows() -> Any:
        for number in range(3):
            write_idx(PAIR, tmp_path / "folder" / f"part{number}")
            yield {"image": PAIR[0][number], "label": number}

    features = {"image": datasets.Array2D((5, 5), "uint8"), "label": datasets.Value("int32")}
    stream = datasets.IterableDataset.from_generator(rows, features=datasets.Features(features))
    stream_target = tmp_path / "folder" / "whole"
    write_idx(stream, stream_target)
    for name, count in (("whole", 3), ("part0", 7), ("part1", 7), ("part2", 7)):
        images, _ = mnist_idx.load_arrays("idxfolder", data_dir=str(tmp_path / "folder" / name))
        np.testing.assert_array_equal(images, PAIR[0][:count])
    assert sorted(os.listdir(tmp_path / "folder")) == ["part0", "part1", "part2", "whole"]


@pytest.mark.slow
def test_two_writers_of_one_target(hf_home: Path, tmp_path: Path) -> None:
    ready, target = tmp_path / "ready", tmp_path / "folder" / "digits"
    ready.mkdir()
    target.parent.mkdir()
    clients = []
    for value in (1, 2):
        args = {"value": value, "ready": str(ready), "target": str(target)}
        clients.append(start_client("write_many_times", home=hf_home, args=args))
    outcomes = [client.wait() for client in clients]  # an error that is no IdxError ends a client
    for outcome in outcomes:
        assert None in outcome.result
        assert all("digits" in message for message in outcome.result if message)
    images, labels = mnist_idx.load_arrays("idxfolder", data_dir=str(target))
    assert labels is not None and len(set(labels.tolist())) == 1
    np.testing.assert_array_equal(images, np.full((3, 4, 4), labels[0]))
    assert os.listdir(target.parent) == ["digits"]


# Long names


@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "overwrite"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a" * 238, id="238-letters"),
        pytest.param("a" * 250, id="250-letters"),
        pytest.param("a" * 255, id="255-letters"),
        pytest.param("a" * 246 + ".tar", id="tar-of-250-letters"),
        pytest.param("ä" * 127, id="254-bytes-of-umlauts"),
        pytest.param("a" * 256, id="256-letters"),
        pytest.param("a" * 300, id="300-letters"),
        pytest.param("ä" * 130 + ".tar", id="tar-of-264-bytes"),
        pytest.param("/".join(["a" * 200] * 25), id="path-of-5,000-letters"),
    ],
)
def test_long_names_of_targets(name: str, overwrite: bool, tmp_path: Path) -> None:
    target = tmp_path / name
    try:
        write_idx(PAIR, target, overwrite=overwrite)
    except IdxError as error:
        assert name[:20] in str(error)
        assert os.listdir(tmp_path) == []
        return
    assert len(os.fsencode(name)) <= 255
    images, _ = mnist_idx.load_arrays("idxfolder", data_dir=str(target))
    np.testing.assert_array_equal(images, PAIR[0])
    assert os.listdir(tmp_path) == [name]


# What is replaced is replaced whole, or not at all

OLD_PAIR = np.full((3, 2, 2), 1, np.uint8), np.array([0, 1, 2], np.uint8)
NEW_PAIR = np.full((3, 2, 2), 2, np.uint8), np.array([2, 1, 0], np.uint8)
RENAMES = range(1, 8)  # four old files, two new ones, and the end


@pytest.fixture
def replaced(tmp_path: Path) -> Path:
    """A folder with two splits, of which `NEW_PAIR` replaces one and removes the other."""
    write_idx({"train": OLD_PAIR, "test": OLD_PAIR}, tmp_path / "data")
    return tmp_path / "data"


def assert_old(folder: Path) -> None:
    for split in ("train", "test"):
        images, labels = mnist_idx.load_arrays("idxfolder", data_dir=str(folder), split=split)
        np.testing.assert_array_equal(images, OLD_PAIR[0])
        np.testing.assert_array_equal(labels, OLD_PAIR[1])


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(PermissionError(1, "not permitted"), id="not-permitted"),
        pytest.param(KeyboardInterrupt(), id="interrupted"),
        pytest.param(SystemExit(143), id="terminated"),
    ],
)
@pytest.mark.parametrize("number", RENAMES, ids=lambda number: f"rename-{number}")
def test_a_rename_that_fails_leaves_the_old_files(
    number: int, error: BaseException, replaced: Path, monkeypatch: Patch
) -> None:
    rename, calls = Path.rename, itertools.count(0)

    def fail(self: Path, target: Any) -> Path:
        if self.name.endswith(".new"):  # not a part of the exchange
            return rename(self, target)
        if next(calls) + 1 == number:
            raise error
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises((IdxError, KeyboardInterrupt, SystemExit)):
            write_idx(NEW_PAIR, replaced, overwrite=True)
    assert_old(replaced)
    assert len(list(replaced.iterdir())) == 4


@pytest.mark.slow  # a process each
@pytest.mark.skipif(os.name != "posix", reason="kills by a signal")
@pytest.mark.parametrize("number", RENAMES, ids=lambda number: f"rename-{number}")
def test_files_of_a_writer_that_was_killed_are_old_again(
    number: int, replaced: Path, hf_home: Path
) -> None:
    args = {"folder": str(replaced), "number": number}
    outcome = run_client("die_at_a_rename", home=hf_home, args=args, check=False)
    assert outcome.returncode == -9
    with pytest.raises(IdxError):  # the next writer fails, too
        write_idx((NEW_PAIR[0], [0, 1, None]), replaced, overwrite=True)
    assert_old(replaced)
    write_idx(NEW_PAIR, replaced, overwrite=True)
    np.testing.assert_array_equal(
        mnist_idx.load_arrays("idxfolder", data_dir=str(replaced))[1], NEW_PAIR[1]
    )


@pytest.mark.parametrize(
    "name", ["README.md", "preview.png", "my-thesis-images-idx3-draft", "a-images-idx3-ubyte"]
)
def test_a_file_that_is_only_named_like_ours_is_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    for write in (
        lambda: write_idx(NEW_PAIR, tmp_path, overwrite=True),
        lambda: mnist_idx.export(tmp_path, "tiny", overwrite=True),
    ):
        with pytest.raises(IdxError, match="not replaced"):
            write()
    assert (tmp_path / name).read_text() == "mine"


def test_a_picture_that_cannot_be_written_keeps_the_old_one(tmp_path: Path) -> None:
    for name in ("old.xbm", "old.unknown"):
        (tmp_path / name).write_text("precious")
        assert main(["preview", "tiny", "--output", str(tmp_path / name), "--overwrite"]) == 1
        assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize(
    "target",
    [
        pytest.param("a\0b", id="with-a-null"),
        pytest.param("~nosuchuser/x", id="home-of-nobody"),
        pytest.param("s3://bucket/x", id="URL"),
        pytest.param("\ud800/x", id="no-unicode"),
        pytest.param(None, id="None"),
        pytest.param(3, id="number"),
    ],
)
def test_targets_that_are_no_paths_are_refused(target: Any) -> None:
    with pytest.raises(IdxError):
        write_idx(NEW_PAIR, target)


@pytest.mark.parametrize("size", [28, (28,), "28", (0, 28), (28.0, 28)], ids=repr)
def test_sizes_that_are_no_pair_are_refused(size: Any, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="size="):
        write_idx(NEW_PAIR, tmp_path / "x", size=size)


@pytest.mark.parametrize("name", ["notes.txt", "train-images-idx3-ubyte.gz"])
def test_a_file_that_appears_while_a_folder_is_replaced_is_kept(
    name: str, replaced: Path, monkeypatch: Patch
) -> None:
    """Another program writes into the folder at any moment."""
    rename = Path.rename
    for number in RENAMES:
        calls = itertools.count(1)

        def appear(self: Path, target: Any, number: int = number, calls: Any = calls) -> Path:
            if not self.name.endswith(".new") and next(calls) == number:
                (replaced / name).write_text("mine")
            return rename(self, target)

        write_idx({"train": OLD_PAIR, "test": OLD_PAIR}, replaced, overwrite=True)
        with monkeypatch.context() as patch:
            patch.setattr(Path, "rename", appear)
            with contextlib.suppress(IdxError):
                write_idx(NEW_PAIR, replaced, overwrite=True)
        found = [path for path in replaced.rglob(name) if path.read_bytes() == b"mine"]
        # From the fifth on, it appears right between the last look and the rename of a new file.
        assert found or (number >= 5 and name != "notes.txt"), f"lost at rename {number}"
        shutil.rmtree(replaced)


def test_a_tar_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    def records() -> Iterator[dict[str, Any]]:
        yield {"image": np.zeros((2, 2), np.uint8), "label": 0}
        (tmp_path / "x.tar").write_text("mine")

    data = datasets.IterableDataset.from_generator(records)
    with pytest.raises(IdxError, match="exists already"):
        write_idx(data, tmp_path / "x.tar")
    assert (tmp_path / "x.tar").read_text() == "mine"
