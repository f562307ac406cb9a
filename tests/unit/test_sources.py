"""What asks, on a schedule, whether the sources of the catalog are still there."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from clients import ROOT
from http_server import Server

from mnist_idx.catalog import DATASETS, MNIST, File, PublishedDataset, Split

FILES = {"/folder/images.gz": bytes(100), "/folder/labels.gz": bytes(10), "/all.tar": bytes(120)}


@pytest.fixture
def ask_sources(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, which does not wait between its tries."""
    spec = importlib.util.spec_from_file_location("ask_sources", ROOT / ".ci" / "ask_sources.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "RETRY_DELAYS", (0.0, 0.0))
    return script


def dataset_at(server: Server) -> PublishedDataset:
    """A dataset with a folder and an archive as its sources."""
    images, labels = File("images", 100, "00"), File("labels", 10, "11")
    return MNIST._replace(
        splits={"train": Split(images, labels, num_records=1)},
        sources=(server.url("/folder/"), server.url("/all.tar"), "data/in_the_package.tar"),
    )


def test_all_sources_are_there(ask_sources: ModuleType, capsys: Any) -> None:
    with Server(FILES) as server:
        dataset = dataset_at(server)
        assert ask_sources.ask([dataset, dataset]) == 0
        server.settle()
        assert {request.method for request in server.requests} == {"HEAD"}
        assert sorted(request.path for request in server.requests) == sorted(FILES)
    assert capsys.readouterr().out.count("- there: ") == 3


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        pytest.param("/folder/labels.gz", None, "HTTP Error 404", id="single-file-is-gone"),
        pytest.param("/all.tar", None, "HTTP Error 404", id="archive-is-gone"),
        pytest.param("/folder/images.gz", bytes(99), "99 bytes, expected 100", id="other-file"),
        pytest.param("/all.tar", bytes(109), "expected at least 110", id="archive-too-small"),
    ],
)
def test_what_is_gone_is_named(
    path: str, content: bytes | None, said: str, ask_sources: ModuleType, capsys: Any
) -> None:
    files = {**FILES, path: content}
    with Server({name: data for name, data in files.items() if data is not None}) as server:
        assert ask_sources.ask([dataset_at(server)]) == 1
        url = server.url(path)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "gone" in line]
    assert line.startswith(f"- **gone**: {url}: ")
    assert said in line


def test_a_server_that_does_not_tell_a_size(ask_sources: ModuleType, capsys: Any) -> None:
    with Server(FILES) as server:
        server.behave("/all.tar", length=False)
        assert ask_sources.ask([dataset_at(server)]) == 1
    assert "does not tell its size" in capsys.readouterr().out


def test_a_source_that_fails_once_is_asked_again(ask_sources: ModuleType) -> None:
    with Server(FILES) as server:
        server.behave("/all.tar", status=503, times=1)
        assert ask_sources.ask([dataset_at(server)]) == 0
        server.settle()
        assert server.count("/all.tar") == 2


def test_each_source_of_the_catalog_is_asked(ask_sources: ModuleType) -> None:
    asked = [file.url for file in ask_sources.files_of_sources(DATASETS.values())]
    assert len(set(asked)) == len(asked)
    for dataset in DATASETS.values():
        for source in dataset.sources:
            is_asked = any(url.startswith(source) for url in asked)
            assert is_asked == ("://" in source), source


# The issue

# Stands in for the command line of GitHub: lists the title of an open issue, and notes what it is
# asked to do.
GH = """\
#!/usr/bin/env bash
if [ "$2" = list ]; then echo "Gone already"; else printf '%s\\n' "$@" >asked; fi
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the script runs on Linux only")
@pytest.mark.parametrize(("title", "is_opened"), [("Gone already", False), ("Gone", True)])
def test_an_issue_is_opened_unless_it_is_open(title: str, is_opened: bool, tmp_path: Path) -> None:
    (tmp_path / "gh").write_text(GH)
    (tmp_path / "gh").chmod(0o700)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    command = [str(ROOT / ".ci" / "open_issue"), title, "report.md"]
    subprocess.run(command, env=environment, cwd=tmp_path, check=True)
    asked = tmp_path / "asked"
    assert asked.exists() == is_opened
    if is_opened:
        expected = ["issue", "create", "--title", title, "--body-file", "report.md"]
        assert asked.read_text().splitlines() == expected
