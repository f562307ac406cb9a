"""What users read when something is wrong: true, complete, with a way out that works.

And what is refused at once.
"""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
from clients import run_client, run_snippet
from conftest import ARCHIVE
from http_server import Server
from idx_files import (
    four_files,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import MODES, assert_same, read_all, refusal
from pictures import pictures

import mnist_idx
from mnist_idx import catalog
from mnist_idx.tools import cli

TRAIN = random_images(7, 5, 4), random_labels(7)
TEST = random_images(6, 5, 4, seed=1), random_labels(6, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
FILES = four_files(TRAIN, TEST)
IMAGES, LABELS, *_ = NAMES = list(FILES)
DAMAGED = FILES | {IMAGES: gzip.compress(FILES[IMAGES])[:-4]}  # which shows at the end of the file

each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])
# How Python spells options, which the command line spells otherwise.
PYTHON_OPTION = re.compile(
    r"\b(overwrite|image_column|label_column|data_files|data_dir|prefix|data_set|as_array)="
)


def use_sources(monkeypatch: pytest.MonkeyPatch, urls: list[str]) -> None:
    monkeypatch.setenv("MNIST_IDX_MIRROR", urls[0])
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.MNIST._replace(sources=tuple(urls[1:])))


@pytest.fixture
def dead(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> tuple[Server, list[str]]:
    """A server that has nothing, and the sources on it: a mirror, a tar, two folders of files."""
    server = serve()
    server.behave(status=404)
    server.behave("/mnist_database.tar", status=403)
    urls = [
        server.url(path) for path in ("/mirror.tar", "/mnist_database.tar", "/first/", "/second/")
    ]
    use_sources(monkeypatch, urls)
    return server, urls


@each_way
def test_the_final_error_lists_every_source_once_with_its_reason(
    way: str,
    dead: tuple[Server, list[str]],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = refusal(way, "mnist_idx")
    assert "set MNIST_IDX_MIRROR" not in message, "the mirror is set, and is what failed"
    assert way != "verify" or not PYTHON_OPTION.search(message)
    bullets, reasons = zip(
        *re.findall(r"^- (.* answered (\d+).*)", message, re.MULTILINE), strict=True
    )
    assert reasons == ("404", "403", "404", "404")
    assert [message.count(url) for url in dead[1]] == [1] * 4
    warnings = [record.getMessage() for record in caplog.records]
    for lines, urls in (
        (bullets, dead[1]),
        (warnings, dead[1][:3]),
    ):  # all but the last one go on to the next
        assert [line.startswith(url) for line, url in zip(lines, urls, strict=True)] == [
            True
        ] * len(urls)
    for line in [*warnings, *message.splitlines()]:
        assert not re.search(r"[^.:?!] (Trying|Set|Load) ", line), "a sentence has no end"
    monkeypatch.delenv("MNIST_IDX_MIRROR")
    assert "set MNIST_IDX_MIRROR" in refusal(way, "mnist_idx")


@pytest.mark.slow
def test_the_final_error_in_the_middle_of_a_stream_lists_every_source_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [server.url(path) for path in ("/mirror.tar", ARCHIVE, "/folder/")]
    server.behave(ARCHIVE, skip=16, status=404)
    use_sources(monkeypatch, urls)
    rows = iter(datasets.load_dataset("mnist_idx", split="train", streaming=True))
    assert next(rows)
    with pytest.raises(mnist_idx.IdxError) as caught:
        list(rows)
    assert [str(caught.value).count(url) for url in urls] == [1, 1, 1]


def test_a_bad_download_is_replaced(tmp_path: Path, serve: Callable[..., Server]) -> None:
    whole, damaged = make_tar(FILES), make_tar(DAMAGED)
    server = serve()
    options = {"data_dir": server.url("/set.tar"), "cache_dir": str(tmp_path / "cache")}
    server.put("/set.tar", whole[:-9000])
    assert options["data_dir"] in refusal("prepared", "idxfolder", **options)
    server.put("/set.tar", damaged)  # which shows at the end of a file only
    message = refusal("prepared", "idxfolder", **options)
    assert options["data_dir"] in message
    server.put("/set.tar", whole)
    advised = re.search(r'pass download_mode="(\w+)"', message)
    assert advised is not None
    assert_same(read_all("prepared", "idxfolder", **options, download_mode=advised[1]), BOTH)


@pytest.mark.parametrize(
    ("mode", "options"), [*((mode, {}) for mode in MODES), ("prepared", {"num_proc": 2})]
)
def test_no_chain_of_errors_is_circular(
    mode: str, options: Any, tmp_path: Path, dead: tuple[Server, list[str]]
) -> None:
    folder = str(write_archive(tmp_path / "folder", DAMAGED))
    for path, place in (("idxfolder", {"data_dir": folder}), ("mnist_idx", {})):
        with pytest.raises(mnist_idx.IdxError) as caught:
            read_all(mode, path, **place, **options)
        chain: list[Any] = [caught.value]
        while (
            error := chain[-1].__cause__ or chain[-1].__context__
        ) is not None:  # as error reporters follow it
            assert all(error is not earlier for earlier in chain)
            chain.append(error)


BAD_VALUES: list[tuple[str, Any]] = [("as_array", "no"), ("transpose", "no"), ("num_shards", "2")]
BAD_OPTIONS = [(path, *option) for path in ("mnist_idx", "idxfolder") for option in BAD_VALUES]
BAD_OPTIONS += [("idxfolder", "label_names", names) for names in ("zero", range(10), ["a", 3], [])]
BAD_OPTIONS += [("idxfolder", "prefix", 3)]


@each_mode
@pytest.mark.parametrize(("path", "name", "value"), BAD_OPTIONS, ids=str)
def test_options_of_the_wrong_type_are_refused_before_anything_is_fetched(
    path: str, name: str, value: Any, mode: str, dead: tuple[Server, list[str]]
) -> None:
    server, urls = dead
    place = {"data_dir": urls[0]} if path == "idxfolder" else {}
    assert name in refusal(mode, path, **{name: value}, **place)
    assert server.count() == 0


def test_other_arguments_are_checked_before_anything_is_fetched(
    dead: tuple[Server, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(mnist_idx.IdxError, match=r"'validation'.*'train'.*'test'"):
        mnist_idx.load_arrays("mnist_idx", split="validation")
    for number in ("0", "60001"):
        assert cli.main(["export", str(tmp_path / "out"), "--num-samples", number]) == 1
        assert re.search("num.samples", capsys.readouterr().err)
    assert dead[0].count() == 0


def test_load_arrays_where_hf_home_cannot_be_created(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE), "HF_HOME": str(tmp_path / "file" / "home")}
    code = "import mnist_idx\nmnist_idx.load_arrays('mnist_idx')"
    error = run_snippet(code, home=tmp_path / "other", env=env, check=False).error
    assert re.search(rf"IdxError: .*{env['HF_HOME']}.*HF_HOME", error)


# Command line, and the option that it advises.
COMMANDS = dict.fromkeys(
    ["preview unclear", "verify unclear", "preview vectors", "verify lacking"], ""
) | {
    "export full": "--overwrite",
    "convert imagefolder --data-dir pictures full": "--overwrite",
    "convert parquet --data-files two.parquet out": "--image-column",
    "preview several": "--prefix one",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_speaks_of_its_own_options(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_archive(Path("full"), {"README.md": b"---\n---\n", "tiny/x": b""})
    write_archive(Path("unclear"), {"one.idx": FILES[IMAGES], "two.idx": b""})
    write_archive(
        Path("several"),
        {f"{name}/{file}": FILES[file] for name in ("one", "two") for file in FILES},
    )
    write_archive(Path("vectors"), {"train-images-idx2-ubyte": to_idx(random_images(7, 5))})
    write_archive(Path("lacking"), {LABELS: FILES[LABELS]})
    picture = datasets.Image().encode_example(TRAIN[0][0])["bytes"]
    write_archive(Path("pictures"), {f"{label}/0.png": picture for label in "ab"})
    pictures(TRAIN[0]).map(lambda row: {"again": row["image"]}).to_parquet("two.parquet")
    assert cli.main(command.split()) == 1
    printed = capsys.readouterr().err
    assert not PYTHON_OPTION.search(printed), printed
    assert COMMANDS[command] in printed


@each_mode
@pytest.mark.parametrize("locate", [str, Path.as_uri])
@pytest.mark.parametrize("form", ["set.tar", "folder"])
def test_only_changed_files_are_loaded_anew(
    form: str, locate: Any, mode: str, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / form, FILES)
    options = {"data_dir": locate(path), "cache_dir": str(tmp_path / "cache")}
    for _ in range(2):
        assert_same(read_all(mode, "idxfolder", **options), BOTH)
    assert len([*(tmp_path / "cache").rglob("idxfolder-train.arrow")]) == (mode == "prepared")
    write_archive(path, dict(zip([*NAMES[2:], *NAMES[:2]], FILES.values(), strict=True)))
    os.utime(path / IMAGES if form == "folder" else path, (0, 0))
    assert_same(read_all(mode, "idxfolder", **options), {"train": TEST, "test": TRAIN})


@pytest.mark.slow
@pytest.mark.compat
def test_no_file_is_left_open(python: str, tmp_path: Path, hf_home: Path) -> None:
    args = {
        "paths": [
            str(write_archive(tmp_path / form, FILES))
            for form in ("folder", "set.tar.gz", "deflated.zip")
        ]
    }
    env = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error::ResourceWarning"}
    outcome = run_client("read_and_collect", home=hf_home, args=args, env=env, python=python)
    assert outcome.result == [7, 6]
    assert "ResourceWarning" not in outcome.stderr
