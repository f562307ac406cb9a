"""What users read when something is wrong: true, complete, with a way out that works.

And what is refused at once.
"""

import gzip
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pytest
from clients import run_client, run_snippet
from conftest import ARCHIVE
from http_server import Server
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
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
# Training images that are damaged, which shows at the end of the file.
DAMAGED_FILES = {**FILES, TRAIN_IMAGES: gzip.compress(FILES[TRAIN_IMAGES])[:-4]}

each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


def use_mirror_and_sources(monkeypatch: pytest.MonkeyPatch, mirror: str, *sources: str) -> None:
    """Have MNIST be at the mirror, then at the given URLs.

    They are facts of the catalog, which no option changes.
    """
    monkeypatch.setenv("MNIST_IDX_MIRROR", mirror)
    monkeypatch.setitem(catalog.DATASETS, "mnist", catalog.MNIST._replace(sources=sources))


class DeadSources(NamedTuple):
    """Sources of MNIST that all fail."""

    server: Server
    urls: list[str]  # of a mirror, a tar, and two folders of files


@pytest.fixture
def dead_sources(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> DeadSources:
    """The sources of MNIST, on a server that answers 404, but for the tar, which is forbidden."""
    server = serve()
    server.behave(status=404)
    server.behave("/mnist_database.tar", status=403)
    paths = ("/mirror.tar", "/mnist_database.tar", "/first/", "/second/")
    urls = [server.url(path) for path in paths]
    use_mirror_and_sources(monkeypatch, *urls)
    return DeadSources(server, urls)


# The last error, when all sources have failed


@each_way
def test_the_final_error_lists_every_source_once_with_its_reason(
    way: str, dead_sources: DeadSources
) -> None:
    message = refusal(way, "mnist_idx")
    lines = re.findall(r"^- .* answered .*", message, re.MULTILINE)
    answers = ["404", "403", "404", "404"]
    for line, url, answer in zip(lines, dead_sources.urls, answers, strict=True):
        assert line.startswith(f"- {url}")
        assert f" answered {answer}" in line
        assert message.count(url) == 1
    assert_sentences_end(message.splitlines())


def assert_sentences_end(lines: list[str]) -> None:
    """Each sentence begins behind the end of another one."""
    for line in lines:
        assert not re.search(r"[^.:?!] (Trying|Set|Load) ", line), line


@each_way
def test_a_warning_names_each_source_that_fails_but_the_last(
    way: str, dead_sources: DeadSources, caplog: pytest.LogCaptureFixture
) -> None:
    refusal(way, "mnist_idx")
    warnings = [record.getMessage() for record in caplog.records]
    for warning, url in zip(warnings, dead_sources.urls[:3], strict=True):
        assert warning.startswith(url)
    assert_sentences_end(warnings)


@each_way
@pytest.mark.usefixtures("dead_sources")
def test_the_final_error_advises_a_mirror_unless_that_is_what_failed(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "set MNIST_IDX_MIRROR" not in refusal(way, "mnist_idx")
    monkeypatch.delenv("MNIST_IDX_MIRROR")
    assert "set MNIST_IDX_MIRROR" in refusal(way, "mnist_idx")


@pytest.mark.slow
def test_the_final_error_in_the_middle_of_a_stream_lists_every_source_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    urls = [server.url(path) for path in ("/mirror.tar", ARCHIVE, "/folder/")]
    server.behave(ARCHIVE, skip=16, status=404)
    use_mirror_and_sources(monkeypatch, *urls)
    rows = iter(datasets.load_dataset("mnist_idx", split="train", streaming=True))
    assert next(rows)
    with pytest.raises(mnist_idx.IdxError) as caught:
        list(rows)
    for url in urls:
        assert str(caught.value).count(url) == 1


def test_the_advice_about_a_bad_download_replaces_it(
    tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve()
    url = server.url("/set.tar")
    options = {"data_dir": url, "cache_dir": str(tmp_path / "cache")}
    server.put("/set.tar", make_tar(FILES)[:-9000])
    assert url in refusal("prepared", "idxfolder", **options)
    server.put("/set.tar", make_tar(DAMAGED_FILES))
    message = refusal("prepared", "idxfolder", **options)
    assert url in message
    server.put("/set.tar", make_tar(FILES))
    advised = re.search(r'pass download_mode="(\w+)"', message)
    assert advised is not None
    assert_same(read_all("prepared", "idxfolder", **options, download_mode=advised[1]), BOTH)


# Chains of errors

each_kind_of_load = pytest.mark.parametrize(
    ("mode", "options"),
    [
        pytest.param("prepared", {}, id="prepared"),
        pytest.param("prepared", {"num_proc": 2}, id="prepared-by-two-processes"),
        pytest.param("streamed", {}, id="streamed"),
        pytest.param("arrays", {}, id="arrays"),
    ],
)


def assert_chain_ends(error: BaseException) -> None:
    """Whoever follows causes and contexts, as error reporters do, meets no error twice."""
    seen = set()
    following: BaseException | None = error
    while following is not None:
        assert id(following) not in seen
        seen.add(id(following))
        following = following.__cause__ or following.__context__


@each_kind_of_load
def test_no_chain_of_errors_about_a_damaged_file_is_circular(
    mode: str, options: dict[str, Any], tmp_path: Path
) -> None:
    folder = str(write_archive(tmp_path / "folder", DAMAGED_FILES))
    with pytest.raises(mnist_idx.IdxError) as caught:
        read_all(mode, "idxfolder", data_dir=folder, **options)
    assert_chain_ends(caught.value)


@each_kind_of_load
@pytest.mark.usefixtures("dead_sources")
def test_no_chain_of_errors_about_dead_sources_is_circular(
    mode: str, options: dict[str, Any]
) -> None:
    with pytest.raises(mnist_idx.IdxError) as caught:
        read_all(mode, "mnist_idx", **options)
    assert_chain_ends(caught.value)


# What is refused before anything is fetched

options_of_both_builders = pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("as_array", "no", id="as_array-text"),
        pytest.param("transpose", "no", id="transpose-text"),
        pytest.param("num_shards", "2", id="num_shards-text"),
    ],
)


@each_mode
@options_of_both_builders
def test_options_of_mnist_of_the_wrong_type_are_refused_before_anything_is_fetched(
    name: str, value: Any, mode: str, dead_sources: DeadSources
) -> None:
    assert name in refusal(mode, "mnist_idx", **{name: value})
    assert dead_sources.server.count() == 0


@each_mode
@options_of_both_builders
def test_options_of_own_files_of_the_wrong_type_are_refused_before_anything_is_fetched(
    name: str, value: Any, mode: str, dead_sources: DeadSources
) -> None:
    assert name in refusal(mode, "idxfolder", data_dir=dead_sources.urls[0], **{name: value})
    assert dead_sources.server.count() == 0


@each_mode
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("label_names", "zero", id="label_names-text"),
        pytest.param("label_names", range(10), id="label_names-range"),
        pytest.param("label_names", ["a", 3], id="label_names-with-a-number"),
        pytest.param("label_names", [], id="label_names-empty"),
        pytest.param("prefix", 3, id="prefix-number"),
    ],
)
def test_options_of_own_files_alone_are_refused_before_anything_is_fetched(
    name: str, value: Any, mode: str, dead_sources: DeadSources
) -> None:
    assert name in refusal(mode, "idxfolder", data_dir=dead_sources.urls[0], **{name: value})
    assert dead_sources.server.count() == 0


def test_an_unknown_split_is_refused_before_anything_is_fetched(
    dead_sources: DeadSources,
) -> None:
    with pytest.raises(mnist_idx.IdxError, match=r'validation.*"train".*"test"'):
        mnist_idx.load_arrays("mnist_idx", split="validation")
    assert dead_sources.server.count() == 0


@pytest.mark.parametrize("number", ["0", "60001"])
def test_an_impossible_number_of_samples_is_refused_before_anything_is_fetched(
    number: str,
    dead_sources: DeadSources,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["export", str(tmp_path / "out"), "--num-samples", number]) == 1
    assert re.search("num.samples", capsys.readouterr().err)
    assert dead_sources.server.count() == 0


@pytest.mark.slow
def test_load_arrays_where_hf_home_cannot_be_created(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE), "HF_HOME": str(tmp_path / "file" / "home")}
    code = "import mnist_idx\nmnist_idx.load_arrays('mnist_idx')"
    error = run_snippet(code, home=tmp_path / "other", env=env, check=False).error
    assert re.search(rf"IdxError: .*{env['HF_HOME']}.*HF_HOME", error)


# The words of the command line

# How Python spells options, which the command line spells otherwise.
PYTHON_OPTION = re.compile(
    r"\b(overwrite|image_column|label_column|data_files|data_dir|prefix|data_set|as_array)="
)


@pytest.mark.usefixtures("dead_sources")
def test_the_final_error_of_verify_speaks_of_no_option_of_python() -> None:
    assert not PYTHON_OPTION.search(refusal("verify", "mnist_idx"))


@pytest.fixture
def files_to_refuse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The working folder, with what commands refuse, or need an option for."""
    monkeypatch.chdir(tmp_path)
    write_archive(Path("full"), {"README.md": b"---\n---\n", "tiny/x": b""})
    write_archive(Path("unclear"), {"one.idx": FILES[TRAIN_IMAGES], "two.idx": b""})
    one = {f"one/{name}": content for name, content in FILES.items()}
    two = {f"two/{name}": content for name, content in FILES.items()}
    write_archive(Path("several"), {**one, **two})
    write_archive(Path("vectors"), {"train-images-idx2-ubyte": to_idx(random_images(7, 5))})
    write_archive(Path("lacking"), {TRAIN_LABELS: FILES[TRAIN_LABELS]})
    picture = datasets.Image().encode_example(TRAIN[0][0])["bytes"]
    write_archive(Path("pictures"), {"a/0.png": picture, "b/0.png": picture})
    pictures(TRAIN[0]).map(lambda row: {"again": row["image"]}).to_parquet("two.parquet")


@pytest.mark.parametrize(
    ("command", "advised"),
    [
        pytest.param("preview unclear", "", id="preview-of-files-of-unclear-roles"),
        pytest.param("verify unclear", "", id="verify-files-of-unclear-roles"),
        pytest.param("preview vectors", "", id="preview-of-vectors"),
        pytest.param("verify lacking", "", id="verify-labels-without-images"),
        pytest.param("export full", "Choose another target", id="export-to-a-full-folder"),
        pytest.param(
            "convert imagefolder --data-dir pictures full",
            "Choose another target",
            id="convert-to-a-full-folder",
        ),
        pytest.param(
            "convert parquet --data-files two.parquet out",
            "--image-column",
            id="convert-two-columns-of-images",
        ),
        pytest.param("preview several", "--prefix one", id="preview-of-several-datasets"),
    ],
)
@pytest.mark.usefixtures("files_to_refuse")
def test_the_command_line_speaks_of_its_own_options(
    command: str, advised: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command.split()) == 1
    printed = capsys.readouterr().err
    assert not PYTHON_OPTION.search(printed), printed
    assert advised in printed


# What is kept, and what is left open


@each_mode
@pytest.mark.parametrize(
    "locate", [pytest.param(str, id="by-path"), pytest.param(Path.as_uri, id="by-file-URL")]
)
@pytest.mark.parametrize("form", ["set.tar", "folder"])
def test_only_changed_files_are_loaded_anew(
    form: str, locate: Callable[[Path], str], mode: str, tmp_path: Path
) -> None:
    path = write_archive(tmp_path / form, FILES)
    options = {"data_dir": locate(path), "cache_dir": str(tmp_path / "cache")}
    assert_same(read_all(mode, "idxfolder", **options), BOTH)
    assert_same(read_all(mode, "idxfolder", **options), BOTH)
    kept = list((tmp_path / "cache").rglob("idxfolder-train.arrow"))
    assert len(kept) == (1 if mode == "prepared" else 0)
    write_archive(path, four_files(TEST, TRAIN))
    # An old time does not hide the change.
    os.utime(path / TRAIN_IMAGES if form == "folder" else path, (0, 0))
    assert_same(read_all(mode, "idxfolder", **options), {"train": TEST, "test": TRAIN})


@pytest.mark.slow
@pytest.mark.compat
def test_no_file_is_left_open(python: str, tmp_path: Path, hf_home: Path) -> None:
    forms = ("folder", "set.tar.gz", "deflated.zip")
    paths = [str(write_archive(tmp_path / form, FILES)) for form in forms]
    env = {"PYTHONDEVMODE": "1", "PYTHONWARNINGS": "error::ResourceWarning"}
    outcome = run_client(
        "read_and_collect", home=hf_home, args={"paths": paths}, env=env, python=python
    )
    assert outcome.result == [7, 6]
    assert "ResourceWarning" not in outcome.stderr
