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
from representatives import slow_but_first

import mnist_idx
from mnist_idx import IdxError, write_idx
from mnist_idx.tools.cli import main

IMAGES, LABELS = to_idx(random_images(5, 4, 4)), to_idx(random_labels(5, 3))
FORGED = ("4 files, all valid", "ok", "mnist-idx: forged")
Capfd, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch

# Parts of names of files that others have made.
HOSTILE = [
    pytest.param("\x1b[2J\x1b[H", id="clears the screen"),
    pytest.param("\x1b]0;title\x07\x7f\x08", id="sets the title, deletes"),
    pytest.param("\x9b2J", id="control sequence of one character"),
    pytest.param("x\rok", id="carriage return"),
    pytest.param("x\n4 files, all valid", id="forged line"),
    pytest.param("x\u2028mnist-idx: forged", id="line separator"),
    pytest.param("a\u202etxt.exe", id="right to left"),
    pytest.param("a\u2066b\u2069\u200b", id="isolates, zero width"),
    pytest.param("\udcff\udcfe", id="undecodable bytes"),
]


def assert_harmless(printed: str) -> None:
    """Only printable characters, in lines that are the package's own."""
    assert [char for char in printed if not (char.isprintable() or char == "\n")] == []
    assert [line for line in printed.splitlines() if line.startswith(FORGED)] == []


def assert_harmless_error(error: IdxError) -> None:
    assert_harmless(str(error))
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))


def contents(name: str) -> Iterator[dict[str, bytes]]:
    """A good set of files and bad ones, with a part of a name in various places."""
    images, labels = f"{name}-train-images-idx3-ubyte", f"{name}-train-labels-idx1-ubyte"
    yield {images: IMAGES, labels: LABELS}
    yield {images: IMAGES[:-1], labels: LABELS}
    yield {f"{name}-images-idx3-ubyte": IMAGES, f"{name}-labels-idx1-ubyte.zst": LABELS}
    yield {f"{name}.txt": b"text", f"images-{name}": IMAGES, f"img-{name}": IMAGES}


@pytest.mark.parametrize("form", ["folder", "set.tar", "stored.zip"])
@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_files_are_escaped(
    name: str, form: str, tmp_path: Path, capfd: Capfd, monkeypatch: Patch
) -> None:
    if "\udcff" in name and form == "stored.zip":
        pytest.skip("a zip has no such names")
    monkeypatch.chdir(tmp_path)
    for number, files in enumerate(contents(name)):
        (tmp_path / str(number)).mkdir()
        path = write_archive(tmp_path / str(number) / form, files)
        for command in ("verify", "preview"):
            assert main([command, str(path)]) in (0, 1)
        assert_harmless("".join(capfd.readouterr()))
        try:
            read_all("streamed", "idxfolder", data_dir=str(path))
        except IdxError as error:
            assert "codec" not in str(error)
            assert_harmless_error(error)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_of_folders_and_archives_are_escaped(
    name: str, tmp_path: Path, capfd: Capfd, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    good = {"train-images-idx3-ubyte": IMAGES, "train-labels-idx1-ubyte": LABELS}
    for number, files in enumerate((good, {"train-images-idx3-ubyte": IMAGES[:-1]})):
        for path in (f"{number}{name}", f"{number}{name}.tar"):
            write_archive(Path(path), files)
            for command in ("verify", "preview"):
                assert main([command, path]) in (0, 1)
    for command in ("verify", "preview"):
        assert main([command, f"nosuch{name}"]) == 1
    assert_harmless("".join(capfd.readouterr()))


def pictures(column: str, split: str = "train") -> datasets.Dataset:
    features = {column: datasets.Image(), f"{column}2": datasets.Image()}
    empty: list[Any] = []
    return datasets.Dataset.from_dict(
        dict.fromkeys(features, empty), datasets.Features(features), split=split
    )


@pytest.mark.parametrize("name", HOSTILE[:-1])  # columns have names that can be encoded
def test_arguments_and_columns_are_escaped(name: str, tmp_path: Path, capfd: Capfd) -> None:
    path = write_archive(tmp_path / "set.tar", {"one-train-images-idx3-ubyte": IMAGES})
    calls: list[Callable[[], Any]] = [
        lambda: write_idx(pictures(name), tmp_path / "new"),
        lambda: write_idx({name: (np.zeros((1, 2, 2)), [0])}, tmp_path / "new"),
        lambda: write_idx((np.zeros((1, 2, 2)), [name]), tmp_path / "new"),
        lambda: write_idx(pictures("image"), tmp_path / "new", image_column=name),
        lambda: mnist_idx.load_arrays(name),
        lambda: mnist_idx.load_arrays("mnist_idx", "tiny", split=name),
        lambda: mnist_idx.load_arrays("idxfolder", data_dir=str(path), prefix=name),
        lambda: mnist_idx.export(tmp_path / "new", [name]),
        lambda: mnist_idx.push_to_hub(name, ["tiny"], dry_run=True),
    ]
    for call in calls:
        with pytest.raises(IdxError) as caught:
            call()
        assert_harmless_error(caught.value)
    for line in (
        ["preview", str(path), "--prefix", name],
        ["preview", "tiny", "--split", name],
        ["run", name],
    ):
        assert main(line) == 1
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
    names = [str(p.values[0]) for p in HOSTILE]
    mirrors = [rude_server]
    for number, name in enumerate(names):
        mirrors.append(str(write_archive(tmp_path / f"{number}.tar", {f"{name}-images": IMAGES})))
    env = {"HTTPS_PROXY": "http://127.0.0.1:9"}  # no other source answers
    outcome = run_client("load_from_mirrors", home=hf_home, args={"mirrors": mirrors}, env=env)
    assert outcome.result == [1] * len(mirrors)
    assert "Trying" in outcome.stderr
    assert_harmless(outcome.stdout + outcome.stderr)


def test_a_reason_of_a_server_is_escaped_in_an_error(rude_server: str, capfd: Capfd) -> None:
    for mode in ("prepared", "streamed", "arrays"):
        with pytest.raises(IdxError) as caught:
            read_all(mode, "idxfolder", splits=["train"], data_dir=rude_server)
        assert_harmless_error(caught.value)
    assert main(["verify", rude_server]) == 1
    assert_harmless(capfd.readouterr().err)


# Letters, and terminals that cannot show them

LETTERS = "Größe-日本-ελ"
ASCII = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"PYTHONIOENCODING": "utf-8"},
]


@pytest.mark.parametrize("env", slow_but_first(ASCII), ids=str)
def test_any_encoding_of_the_terminal_will_do(
    env: dict[str, str], hf_home: Path, tmp_path: Path
) -> None:
    lines = [
        [command, "--help"] for command in ("preview", "verify", "convert", "push", "export", "run")
    ]
    lines += [["preview", "tiny"], ["preview", "tiny", "--ascii", "--overwrite"]]
    for name in (LETTERS, "\udcff\udcfe"):
        files = {f"{name}-images-idx3-ubyte": IMAGES, f"{name}-labels-idx1-ubyte": LABELS}
        path = str(
            write_archive(tmp_path / "set.tar", files).rename(tmp_path / f"{len(lines)}.tar")
        )
        lines += [["verify", path], ["preview", path]]
    outcome = run_client("run_commands", home=hf_home, args={"lines": lines}, env=env)
    assert outcome.result[:-1] == [0] * (len(lines) - 1)
    assert outcome.result[-1] in (0, 1), "what has no name in any encoding may be refused"
    assert "codec" not in outcome.stdout + outcome.stderr
    if env == {"PYTHONIOENCODING": "utf-8"}:
        assert LETTERS in outcome.stdout


def test_letters_are_printed_as_they_are(tmp_path: Path, capfd: Capfd) -> None:
    name = f"{LETTERS}\x1b-train-images-idx3-ubyte"
    path = write_archive(tmp_path / "set.tar", {name: IMAGES[:-1]})
    assert main(["verify", str(path)]) == 1
    out, err = capfd.readouterr()
    assert LETTERS in out and LETTERS in err
    assert_harmless(out + err)
    with pytest.raises(IdxError, match=LETTERS):
        mnist_idx.load_arrays("idxfolder", data_dir=str(path))
