"""What is printed: names and reasons of others are escaped, letters are kept, and every terminal
can show it.
"""

import pickle
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from clients import run_client
from idx_files import random_images, random_labels, to_idx, write_archive
from loading import read_all

import mnist_idx
from mnist_idx import IdxError, write_idx
from mnist_idx.tools.cli import main

IMAGES, LABELS = to_idx(random_images(5, 4, 4)), to_idx(random_labels(5, 3))
FORGED = ("4 files, all valid", "ok", "mnist-idx: forged")
Capfd, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch

# Parts of names that others have made.
HOSTILE = [
    pytest.param("\x1b[2J\x1b[H", id="clears-the-screen"),
    pytest.param("\x1b]0;title\x07\x7f\x08", id="sets-the-title-and-deletes"),
    pytest.param("\x9b2J", id="control-sequence-of-one-character"),
    pytest.param("x\rok", id="carriage-return"),
    pytest.param("x\n4 files, all valid", id="forged-line"),
    pytest.param("x\u2028mnist-idx: forged", id="line-separator"),
    pytest.param("a\u202etxt.exe", id="right-to-left"),
    pytest.param("a\u2066b\u2069\u200b", id="isolates-and-zero-width"),
]
UNDECODABLE = pytest.param("\udcff\udcfe", id="undecodable-bytes")  # in names of files


def assert_harmless(printed: str) -> None:
    """Only printable characters, in lines that are the package's own."""
    assert [char for char in printed if not (char.isprintable() or char == "\n")] == []
    assert [line for line in printed.splitlines() if line.startswith(FORGED)] == []


def assert_harmless_error(error: IdxError) -> None:
    """The message is harmless, also after the error has come from another process."""
    assert_harmless(str(error))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


# Names of files


def good_set(name: str) -> dict[str, bytes]:
    """Files that can be loaded."""
    return {f"{name}-train-images-idx3-ubyte": IMAGES, f"{name}-train-labels-idx1-ubyte": LABELS}


def damaged_set(name: str) -> dict[str, bytes]:
    """Files of which the images are cut short."""
    return {**good_set(name), f"{name}-train-images-idx3-ubyte": IMAGES[:-1]}


def set_with_a_leftover(name: str) -> dict[str, bytes]:
    """Files of which the labels are compressed in a way that is not read."""
    return {f"{name}-images-idx3-ubyte": IMAGES, f"{name}-labels-idx1-ubyte.zst": LABELS}


def ambiguous_set(name: str) -> dict[str, bytes]:
    """Files that cannot be told apart, and a text."""
    return {f"{name}.txt": b"text", f"images-{name}": IMAGES, f"img-{name}": IMAGES}


@pytest.mark.parametrize("command", ["verify", "preview"])
@pytest.mark.parametrize("make", [good_set, damaged_set, set_with_a_leftover, ambiguous_set])
@pytest.mark.parametrize("form", ["folder", "set.tar", "stored.zip"])
@pytest.mark.parametrize("name", [*HOSTILE, UNDECODABLE])
def test_names_of_files_are_escaped(
    name: str,
    form: str,
    make: Callable[[str], dict[str, bytes]],
    command: str,
    tmp_path: Path,
    capfd: Capfd,
    monkeypatch: Patch,
) -> None:
    if "\udcff" in name and form == "stored.zip":
        pytest.skip("a zip has no such names")
    monkeypatch.chdir(tmp_path)
    path = write_archive(tmp_path / form, make(name))
    assert main([command, str(path)]) in (0, 1)
    assert_harmless("".join(capfd.readouterr()))


@pytest.mark.parametrize("make", [good_set, damaged_set, set_with_a_leftover, ambiguous_set])
@pytest.mark.parametrize("form", ["folder", "set.tar", "stored.zip"])
@pytest.mark.parametrize("name", [*HOSTILE, UNDECODABLE])
def test_names_of_files_are_escaped_in_errors(
    name: str, form: str, make: Callable[[str], dict[str, bytes]], tmp_path: Path
) -> None:
    if "\udcff" in name and form == "stored.zip":
        pytest.skip("a zip has no such names")
    path = write_archive(tmp_path / form, make(name))
    try:
        read_all("streamed", "idxfolder", data_dir=str(path))
    except IdxError as error:
        assert "codec" not in str(error)
        assert_harmless_error(error)


@pytest.mark.parametrize("command", ["verify", "preview"])
@pytest.mark.parametrize("ending", ["", ".tar"], ids=["folder", "tar"])
@pytest.mark.parametrize(
    "images", [pytest.param(IMAGES, id="good"), pytest.param(IMAGES[:-1], id="cut-one-byte")]
)
@pytest.mark.parametrize("name", [*HOSTILE, UNDECODABLE])
def test_names_of_folders_and_archives_are_escaped(
    name: str,
    images: bytes,
    ending: str,
    command: str,
    tmp_path: Path,
    capfd: Capfd,
    monkeypatch: Patch,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"train-images-idx3-ubyte": images, "train-labels-idx1-ubyte": LABELS}
    write_archive(Path(f"0{name}{ending}"), files)
    assert main([command, f"0{name}{ending}"]) in (0, 1)
    assert_harmless("".join(capfd.readouterr()))


@pytest.mark.parametrize("command", ["verify", "preview"])
@pytest.mark.parametrize("name", [*HOSTILE, UNDECODABLE])
def test_names_of_what_is_missing_are_escaped(name: str, command: str, capfd: Capfd) -> None:
    assert main([command, f"nosuch{name}"]) == 1
    assert_harmless("".join(capfd.readouterr()))


# Arguments and columns


def empty_dataset(column: str, split: str = "train") -> datasets.Dataset:
    """A dataset of two columns of images, the first of which has the given name."""
    features = {column: datasets.Image(), f"{column}2": datasets.Image()}
    rows: dict[str, list[Any]] = {column: [], f"{column}2": []}
    return datasets.Dataset.from_dict(rows, datasets.Features(features), split=split)


PIXELS = np.zeros((1, 2, 2))


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda name: write_idx(empty_dataset(name), "new"), id="column"),
        pytest.param(lambda name: write_idx({name: (PIXELS, [0])}, "new"), id="split-to-write"),
        pytest.param(lambda name: write_idx((PIXELS, [name]), "new"), id="label"),
        pytest.param(
            lambda name: write_idx(empty_dataset("image"), "new", image_column=name),
            id="image_column",
        ),
        pytest.param(lambda name: mnist_idx.load_arrays(name), id="path"),
        pytest.param(
            lambda name: mnist_idx.load_arrays("mnist_idx", "tiny", split=name), id="split"
        ),
        pytest.param(
            lambda name: mnist_idx.load_arrays("idxfolder", data_dir="set.tar", prefix=name),
            id="prefix",
        ),
        pytest.param(lambda name: mnist_idx.export("new", [name]), id="config"),
        pytest.param(
            lambda name: mnist_idx.push_to_hub(name, ["tiny"], dry_run=True), id="repository"
        ),
    ],
)
@pytest.mark.parametrize("name", HOSTILE)
def test_arguments_and_columns_are_escaped_in_errors(
    name: str, use: Callable[[str], Any], tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_archive(Path("set.tar"), {"one-train-images-idx3-ubyte": IMAGES})
    with pytest.raises(IdxError) as caught:
        use(name)
    assert_harmless_error(caught.value)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(["preview", "set.tar", "--prefix"], id="prefix"),
        pytest.param(["preview", "tiny", "--split"], id="split"),
        pytest.param(["run"], id="program"),
    ],
)
@pytest.mark.parametrize("name", HOSTILE)
def test_arguments_of_commands_are_escaped(
    name: str, line: list[str], tmp_path: Path, capfd: Capfd, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_archive(Path("set.tar"), {"one-train-images-idx3-ubyte": IMAGES})
    assert main([*line, name]) == 1
    assert_harmless("".join(capfd.readouterr()))


def test_what_convert_prints_is_escaped(tmp_path: Path, capfd: Capfd) -> None:
    target = tmp_path / "new\x1b[2J\n4 files, all valid"
    assert main(["convert", "mnist_idx", str(target), "--name", "tiny", "--split", "test[:3]"]) == 0
    assert_harmless(capfd.readouterr().out)
    assert target.is_dir()


# Reasons of servers


@pytest.fixture
def rude_server() -> Iterator[str]:
    """The URL of a server that answers with escape sequences."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404, "Gone\x1b[2J\x9b2J\x08")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/set.tar"
        server.shutdown()


@pytest.mark.slow
def test_reasons_of_servers_and_warnings_are_escaped(
    rude_server: str, hf_home: Path, tmp_path: Path
) -> None:
    mirrors = [rude_server]
    for number, case in enumerate([*HOSTILE, UNDECODABLE]):
        (name,) = case.values
        path = write_archive(tmp_path / f"{number}.tar", {f"{name}-images": IMAGES})
        mirrors.append(str(path))
    env = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # no other source answers
    outcome = run_client("load_from_mirrors", home=hf_home, args={"mirrors": mirrors}, env=env)
    assert outcome.result == [1] * len(mirrors)
    assert "Trying" in outcome.stderr
    assert_harmless(outcome.stdout + outcome.stderr)


@pytest.mark.parametrize("mode", ["prepared", "streamed", "arrays"])
def test_a_reason_of_a_server_is_escaped_in_an_error(mode: str, rude_server: str) -> None:
    with pytest.raises(IdxError) as caught:
        read_all(mode, "idxfolder", splits=["train"], data_dir=rude_server)
    assert_harmless_error(caught.value)


def test_a_reason_of_a_server_is_escaped_by_a_command(rude_server: str, capfd: Capfd) -> None:
    assert main(["verify", rude_server]) == 1
    assert_harmless(capfd.readouterr().err)


# Letters, and terminals that cannot show them

LETTERS = "Größe-日本-ελ"
UTF_8 = {"PYTHONIOENCODING": "utf-8"}
HELPS = [
    ["preview", "--help"],
    ["verify", "--help"],
    ["convert", "--help"],
    ["push", "--help"],
    ["export", "--help"],
    ["run", "--help"],
]


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"PYTHONIOENCODING": "ascii"}, id="ascii"),
        pytest.param(
            {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            id="locale-c",
            marks=pytest.mark.slow,
        ),
        pytest.param(UTF_8, id="utf-8", marks=pytest.mark.slow),
    ],
)
def test_any_encoding_of_the_terminal_will_do(
    env: dict[str, str], hf_home: Path, tmp_path: Path
) -> None:
    letters = {f"{LETTERS}-images-idx": IMAGES, f"{LETTERS}-labels-idx": LABELS}
    no_letters = {"\udcff\udcfe-images-idx": IMAGES, "\udcff\udcfe-labels-idx": LABELS}
    with_letters = str(write_archive(tmp_path / "letters.tar", letters))
    without_letters = str(write_archive(tmp_path / "none.tar", no_letters))
    lines = [
        *HELPS,
        ["preview", "tiny"],
        ["preview", "tiny", "--ascii", "--overwrite"],
        ["verify", with_letters],
        ["preview", with_letters],
        ["verify", without_letters],
        ["preview", without_letters],
    ]
    outcome = run_client("run_commands", home=hf_home, args={"lines": lines}, env=env)
    *codes, last_code = outcome.result
    assert codes == [0] * (len(lines) - 1)
    assert last_code in (0, 1), "what has no name in any encoding may be refused"
    assert "codec" not in outcome.stdout + outcome.stderr
    if env == UTF_8:
        assert LETTERS in outcome.stdout


def test_letters_are_printed_as_they_are(tmp_path: Path, capfd: Capfd) -> None:
    files = {f"{LETTERS}\x1b-train-images-idx3-ubyte": IMAGES[:-1]}
    path = write_archive(tmp_path / "set.tar", files)
    assert main(["verify", str(path)]) == 1
    out, err = capfd.readouterr()
    assert LETTERS in out
    assert LETTERS in err
    assert_harmless(out + err)


def test_letters_are_in_errors_as_they_are(tmp_path: Path) -> None:
    files = {f"{LETTERS}\x1b-train-images-idx3-ubyte": IMAGES[:-1]}
    path = write_archive(tmp_path / "set.tar", files)
    with pytest.raises(IdxError, match=LETTERS):
        mnist_idx.load_arrays("idxfolder", data_dir=str(path))
