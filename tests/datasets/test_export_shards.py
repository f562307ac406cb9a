"""`mnist-idx export SOURCE FOLDER`: Parquet files of anyone's records, which `load_dataset` gives
back; who writes them makes no difference, and who is killed goes on.
"""

import fcntl
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest
from clients import Client, run_client, start_client
from dying_writer import DyingWriter
from exports import contents, contents_without_name
from http_server import Server
from hub_client import log_in
from hub_server import HubServer
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    numbered_images,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)

from mnist_idx import IdxError, export, load_dataset, push_to_hub
from mnist_idx.tools import parquet_shards
from mnist_idx.tools.cli import main
from mnist_idx.tools.exported import ExportedSplits, open_exported
from mnist_idx.tools.parquet_folder import ParquetOptions, write_parquet_folder
from mnist_idx.tools.parquet_shards import plan_shards
from mnist_idx.tools.shard_workers import Workers

Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
TRAIN = random_images(30, 5, 4), random_labels(30)
TEST = random_images(20, 5, 4, seed=1), random_labels(20, seed=1)
NAMES = [str(number) for number in range(10)]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: Patch) -> Path:
    """An empty working folder, and a cache of its own."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def run(line: str, capsys: Capsys) -> Any:
    """Run the command, then the line that it says what was written is loaded with."""
    capsys.readouterr()
    assert main(["export", *line.split()]) == 0
    *_, last = capsys.readouterr().out.splitlines()
    variables: dict[str, Any] = {}
    exec(last.removeprefix("Load with: "), variables)
    return variables["ds"]


def refused(line: str, capsys: Capsys) -> str:
    """The error of a command that writes nothing."""
    before = contents(Path())
    capsys.readouterr()
    assert main(["export", *line.split()]) == 1
    assert contents(Path()) == before
    return capsys.readouterr().err


def assert_same_export(folder: str, source: str, capsys: Capsys) -> None:
    """A folder holds what the same export writes at once."""
    run(f"{source} elsewhere/{folder} --num-shards 20", capsys)
    assert_same_content(folder, f"elsewhere/{folder}")


def assert_same_content(*folders: str) -> None:
    """Exports hold the same, but for their names."""
    first, *others = [contents_without_name(Path(folder), folder) for folder in folders]
    for other in others:
        assert other == first


def pixels(split: datasets.Dataset) -> np.ndarray:
    return np.stack([np.asarray(image) for image in split["image"]])


# What is written


@pytest.mark.parametrize("shape", [(5, 4), (5, 4, 3), (5, 4, 1)], ids=["gray", "RGB", "channel"])
@pytest.mark.parametrize("source", ["set", "set.tar", "deflated.zip"])
def test_what_is_exported_loads_as_the_idx_files_do(
    source: str, shape: tuple[int, ...], capsys: Capsys
) -> None:
    train, test = random_images(30, *shape), random_images(20, *shape, seed=1)
    write_archive(Path(source), four_files((train, TRAIN[1]), (test, TEST[1])))
    loaded = run(f"{source} out --num-shards 3", capsys)
    expected = load_dataset("idxfolder", data_dir=source)
    assert list(loaded) == list(expected) == ["train", "test"]
    for split, images, labels in (("train", train, TRAIN[1]), ("test", test, TEST[1])):
        assert loaded[split].features == expected[split].features
        np.testing.assert_array_equal(pixels(loaded[split]).reshape(images.shape), images)
        assert loaded[split]["label"] == labels.tolist()


def test_the_files_are_named_as_on_the_hub(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    run("set out --num-shards 3", capsys)
    sizes = {}
    for path in sorted(Path("out").rglob("*.parquet")):
        sizes[path.relative_to("out").as_posix()] = pq.read_metadata(path).num_rows
    assert sizes == {
        "data/test-00000-of-00002.parquet": 10,
        "data/test-00001-of-00002.parquet": 10,
        "data/train-00000-of-00003.parquet": 10,
        "data/train-00001-of-00003.parquet": 10,
        "data/train-00002-of-00003.parquet": 10,
    }
    assert set(contents(Path("out"))) == {*sizes, "README.md", "preview.png"}
    assert sorted(os.listdir()) == ["out", "set"]


def test_the_features_are_in_each_file_and_in_the_card(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    run("set out", capsys)
    schema = pq.read_schema("out/data/test-00000-of-00001.parquet")
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"]["_type"] == "Image"
    assert features["label"] == {"names": NAMES, "_type": "ClassLabel"}
    builder = datasets.load_dataset_builder("out")  # knows what the card says
    assert builder.info.features["label"].names == NAMES
    sizes = {name: split.num_examples for name, split in builder.info.splits.items()}
    assert sizes == {"train": 30, "test": 20}
    assert builder.info.download_size == sum(
        path.stat().st_size for path in Path("out/data").iterdir()
    )
    text = Path("out/README.md").read_text()
    for label, count in enumerate(np.bincount(TRAIN[1])):
        assert f"| {label} | {label} | {count} | " in text


@pytest.mark.parametrize(
    ("labels", "features"),
    [
        pytest.param(
            np.arange(30, dtype=np.int32) * 1_000_000 - 5, {"label": "int64"}, id="no classes"
        ),
        pytest.param(np.linspace(0, 1, 30, dtype=np.float32), {"label": "float32"}, id="measured"),
        pytest.param(None, {}, id="none"),
    ],
)
def test_labels_that_are_no_classes(
    labels: np.ndarray | None, features: dict[str, str], capsys: Capsys
) -> None:
    files = {TRAIN_IMAGES: to_idx(TRAIN[0])}
    if labels is not None:
        files[TRAIN_LABELS] = to_idx(labels)
    write_archive(Path("set"), files)
    loaded = run("set out --num-shards 2", capsys)["train"]
    assert {name: loaded.features[name].dtype for name in features} == features
    assert set(loaded.features) == {"image", *features}
    np.testing.assert_array_equal(pixels(loaded), TRAIN[0])
    if labels is not None:
        np.testing.assert_array_equal(loaded["label"], labels)


@pytest.mark.parametrize("offset", [0, -3], ids=["classes", "no classes"])
def test_labels_of_several_parts(offset: int, capsys: Capsys) -> None:
    parts = np.stack([TRAIN[1].astype(np.int32) + offset, np.arange(30), np.arange(30)], axis=1)
    parts = parts.astype(np.int32)
    write_archive(Path("set"), {TRAIN_IMAGES: to_idx(TRAIN[0]), TRAIN_LABELS: to_idx(parts)})
    loaded = run("set out", capsys)["train"]
    assert loaded["label"] == parts[:, 0].tolist()
    assert loaded["label_details"] == parts[:, 1:].tolist()


@pytest.mark.parametrize(
    ("dtype", "shape"),
    [
        pytest.param("float32", (5, 4), id="float"),
        pytest.param("uint8", (5, 4, 4), id="RGBA"),
        pytest.param("int16", (7,), id="vectors"),
    ],
)
def test_arrays(dtype: str, shape: tuple[int, ...], capsys: Capsys) -> None:
    images = random_images(20, *shape).astype(dtype)
    write_archive(Path("set"), {TEST_IMAGES: to_idx(images), TEST_LABELS: to_idx(TEST[1])})
    assert "--as npz" in refused("set out", capsys)
    loaded = run("set out --as-array --num-shards 2", capsys)["test"]
    expected = load_dataset("idxfolder", data_dir="set", as_array=True)["test"]
    assert loaded.features == expected.features
    np.testing.assert_array_equal(loaded.with_format("numpy")[:]["image"], images)
    assert not Path("out/preview.png").exists()


CLASS_NAMES = [f"shape {number}" for number in range(10)]


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param(["--label-names", ",".join(CLASS_NAMES)], id="separated by commas"),
        pytest.param(
            [word for name in CLASS_NAMES for word in ("--label-names", name)], id="one by one"
        ),
    ],
)
def test_names_of_classes_that_idx_files_do_not_have(typed: list[str], capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    assert main(["export", "set", "out", *typed]) == 0
    assert datasets.load_dataset("./out", split="test").features["label"].names == CLASS_NAMES
    assert "shape 3" in Path("out/README.md").read_text(encoding="utf-8")
    assert main(["export", "set", "png", "--as", "png", *typed]) == 0
    assert set(os.listdir("png/train")) <= set(CLASS_NAMES)
    assert main(["export", "set", "set.npz", "--as", "npz", *typed]) == 0
    assert np.load("set.npz")["class_names"].tolist() == CLASS_NAMES


def test_selected_records(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    loaded = run("set parts --split test[:5]+train[-4:]+test[-2:] --num-shards 3", capsys)
    np.testing.assert_array_equal(pixels(loaded["test"]), TEST[0][[0, 1, 2, 3, 4, 18, 19]])
    np.testing.assert_array_equal(pixels(loaded["train"]), TRAIN[0][-4:])
    drawn = run("set drawn --num-samples 7 --seed 3 --sampling uniform --num-shards 2", capsys)
    expected = load_dataset("idxfolder", data_dir="set", num_samples=7, seed=3, sampling="uniform")
    for split in ("train", "test"):
        np.testing.assert_array_equal(pixels(drawn[split]), pixels(expected[split]))
    named = run("named --data-files extra=set/train-*", capsys)
    assert named["extra"]["label"] == TRAIN[1].tolist()


@pytest.mark.parametrize(
    ("sizes", "num_shards", "counts"),
    [
        pytest.param({"train": 60, "test": 20}, 6, {"train": 6, "test": 2}, id="in proportion"),
        pytest.param({"train": 60, "test": 1}, 6, {"train": 6, "test": 1}, id="at least one"),
        pytest.param({"train": 5}, 9, {"train": 5}, id="no empty ones"),
    ],
)
def test_shards_are_of_one_size(
    sizes: dict[str, int], num_shards: int, counts: dict[str, int]
) -> None:
    shards = plan_shards(sizes, "data", num_shards, 784)
    found: dict[str, list[tuple[int, int]]] = {}
    for shard in shards:
        found.setdefault(shard.split, []).append((shard.start, shard.stop))
    assert {split: len(ranges) for split, ranges in found.items()} == counts
    for split, ranges in found.items():
        lengths = [stop - start for start, stop in ranges]
        assert max(lengths) - min(lengths) <= 1
        assert [0, *(stop for _, stop in ranges)] == [*(start for start, _ in ranges), sizes[split]]


def test_files_are_about_as_large_as_they_should_be(capsys: Capsys, monkeypatch: Patch) -> None:
    monkeypatch.setattr(parquet_shards, "SHARD_BYTES", 100_000)
    many = random_images(4000, 10, 10), random_labels(4000)
    write_archive(Path("set"), {TRAIN_IMAGES: to_idx(many[0]), TRAIN_LABELS: to_idx(many[1])})
    run("set out", capsys)
    sizes = [path.stat().st_size for path in Path("out/data").iterdir()]
    assert len(sizes) > 4
    assert 70_000 < min(sizes) <= max(sizes) < 140_000


@pytest.mark.parametrize(
    ("size", "record_bytes", "expected"),
    [
        pytest.param(60_000, 784, 1000, id="small files: a thousand records"),
        pytest.param(2_000_000, 784, 20_000, id="large files: a hundredth"),
        pytest.param(1000, 4 << 20, 4, id="large pictures: 16 MB"),
        pytest.param(10, 1 << 30, 1, id="huge pictures: one"),
    ],
)
def test_row_groups_are_of_a_sensible_size(size: int, record_bytes: int, expected: int) -> None:
    (shard,) = plan_shards({"train": size}, "data", 1, record_bytes)
    assert shard.group_size == expected


def test_a_file_has_groups_of_the_planned_size(capsys: Capsys) -> None:
    many = random_images(2500, 5, 4), random_labels(2500)
    write_archive(Path("set"), {TRAIN_IMAGES: to_idx(many[0]), TRAIN_LABELS: to_idx(many[1])})
    run("set out", capsys)
    metadata = pq.read_metadata("out/data/train-00000-of-00001.parquet")
    groups = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert groups == [1000, 1000, 500]


def test_the_command_says_how_to_load_published_configs(
    mirror: Callable[[Any], None], mnist_tar: Path, capsys: Capsys
) -> None:
    mirror(mnist_tar)
    assert len(run("tiny one", capsys)["test"]) == 200
    assert len(run("out --config tiny --config subset", capsys)["test"]) == 200
    assert main(["export", "both", "--config", "tiny", "--config", "subset"]) == 0
    loads = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Load")]
    assert len(loads) == 2
    assert 'load_dataset("both", "subset")' in loads[0]


def test_a_config_is_exported_as_it_is_published(capsys: Capsys) -> None:
    assert main(["export", "tiny", "a", "--num-shards", "3"]) == 0
    assert main(["export", "b", "--config", "tiny", "--num-shards", "3", "--num-proc", "2"]) == 0
    export("c", "tiny", num_shards=3)
    assert_same_content("a", "b", "c")
    assert "a/tiny/train-00002-of-00003.parquet" in contents(Path())
    expected = load_dataset("mnist_idx", "tiny")
    loaded = datasets.load_dataset("a")
    for split in ("train", "test"):
        np.testing.assert_array_equal(pixels(loaded[split]), pixels(expected[split]))
        assert loaded[split].features == expected[split].features


# Who writes


@pytest.mark.slow
def test_processes_write_the_same_bytes(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    run("set one --num-shards 5", capsys)
    run("set two --num-shards 5 --num-proc 2", capsys)
    assert_same_content("one", "two")


def test_a_compressed_source_gives_the_same_bytes(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    write_archive(Path("set.tar.gz"), four_files(TRAIN, TEST))
    run("set one --num-shards 5", capsys)
    run("set.tar.gz two --num-shards 5 --num-proc 2", capsys)
    assert_same_content("one", "two")


@pytest.mark.slow
def test_tasks_read_their_own_ranges_of_a_url(serve: Callable[..., Server], capsys: Capsys) -> None:
    images, labels = numbered_images(20_000, 28), random_labels(20_000)
    files = {f"/{TRAIN_IMAGES}": to_idx(images), f"/{TRAIN_LABELS}": to_idx(labels)}
    server = serve(files)
    urls = [f"train={server.url(path)}" for path in files]
    with server.counting():
        loaded = run(f"out --data-files {urls[0]} --data-files {urls[1]} --num-shards 4", capsys)
    assert loaded["train"]["label"] == labels.tolist()
    np.testing.assert_array_equal(pixels(loaded["train"]), images)
    of_images = [request for request in server.requests if request.path == f"/{TRAIN_IMAGES}"]
    ranges = sum(request.sent for request in of_images if request.range)
    assert images.nbytes <= ranges <= 1.2 * images.nbytes


def open_set() -> ExportedSplits:
    return open_exported("idxfolder", None, None, False, streaming=True, data_dir="set")


@pytest.fixture
def set_of_shards() -> Any:
    """What writes shards of records, and those shards."""
    write_archive(Path("set"), four_files(TRAIN, TEST))
    splits = open_set()
    shards = plan_shards(splits.sizes, "data", 3, 20)

    def make(is_always: bool) -> DyingWriter:
        return DyingWriter(splits, Path("new"), Path("notes"), False, is_always=is_always)

    return make, shards


@pytest.mark.slow
def test_a_process_that_dies_costs_its_shard_only(set_of_shards: Any, capsys: Capsys) -> None:
    make, shards = set_of_shards
    Path("new").mkdir()
    advanced: list[int] = []
    written = Workers(num_proc=2).write(make(is_always=False), shards, advanced.append)
    assert Path("new/has_died").exists()
    assert set(written) == set(shards)
    assert sum(advanced) == sum(facts.num_rows for facts in written.values()) == 50
    run("set out --num-shards 3", capsys)
    assert contents(Path("new/data")) == contents(Path("out/data"))


@pytest.mark.slow
def test_a_shard_on_which_processes_die_is_an_error(set_of_shards: Any) -> None:
    make, shards = set_of_shards
    Path("new").mkdir()
    with pytest.raises(
        IdxError, match=r"data/train-00001-of-00003.parquet.*-9.*num_proc="
    ) as error:
        Workers(num_proc=2).write(make(is_always=True), shards, lambda count: None)
    assert "--num-proc to fewer" in error.value.for_command_line()


@pytest.mark.slow
def test_an_error_in_a_process_is_the_error(capsys: Capsys) -> None:
    labels = TEST[1].copy()
    labels[-1] = 255  # found when it is read
    write_archive(Path("set"), four_files(TRAIN, (TEST[0], labels)))
    options = {"data_dir": "set", "label_names": NAMES}
    splits = open_exported("idxfolder", None, None, False, streaming=True, **options)
    in_two = ParquetOptions(num_shards=1, workers=Workers(num_proc=2))
    with pytest.raises(IdxError, match="record 19 has the label 255"):
        write_parquet_folder(splits, "out", False, options=in_two)


# Killed, and gone on


def start_export(line: list[str], home: Path) -> Client:
    return start_client("run_commands", home=home, args={"lines": [line]}, cwd=Path.cwd())


def kill_in_the_middle(line: list[str], home: Path, name: str, finished: int = 2) -> Path:
    """Kill an export once some shards are finished. Returns where those are."""
    client = start_export(line, home)
    kept = Path(f".mnist_idx-{line[2]}.unfinished")
    until = time.monotonic() + 60
    while len(list(kept.glob("notes/data/*.json"))) < finished:
        assert client.process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    os.kill(client.process.pid, getattr(signal, name))
    client.process.wait(60)
    client.temporary.cleanup()
    assert not Path(line[2]).exists()
    return kept


@pytest.fixture
def large_set() -> str:
    """A folder of records that take a while."""
    images, labels = random_images(60_000, 28, 28), random_labels(60_000)
    write_archive(Path("large"), {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(labels)})
    return "large"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param("SIGKILL", [], id="killed"),
        pytest.param("SIGTERM", [], id="terminated"),
        pytest.param("SIGINT", ["--num-proc", "2"], id="interrupted processes"),
        pytest.param("SIGKILL", ["--num-proc", "2"], id="killed processes"),
    ],
)
def test_a_killed_export_goes_on(
    name: str, options: list[str], large_set: str, hf_home: Path, capsys: Capsys
) -> None:
    line = ["export", large_set, "out", "--num-shards", "20", *options]
    kept = kill_in_the_middle(line, hf_home, name)
    finished = {}
    for note in kept.glob("notes/data/*.json"):
        file = kept / "new" / "data" / note.stem
        finished[f"data/{note.stem}"] = file.stat().st_ino
    assert 2 <= len(finished) < 20
    run(" ".join(line[1:]), capsys)
    for path, inode in finished.items():
        assert Path("out", path).stat().st_ino == inode, "it was not written again"
    assert sorted(os.listdir()) == ["large", "out"]
    assert {path.partition("/")[0] for path in contents(Path("out"))} == {
        "README.md",
        "preview.png",
        "data",
    }
    assert_same_export("out", large_set, capsys)


@pytest.mark.slow
def test_a_damaged_shard_is_written_again(large_set: str, hf_home: Path, capsys: Capsys) -> None:
    line = ["export", large_set, "out", "--num-shards", "20"]
    kept = kill_in_the_middle(line, hf_home, "SIGKILL", finished=3)
    first, second, *_ = sorted(kept.glob("notes/data/*.json"))
    damaged = kept / "new" / "data" / first.stem
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (kept / "new" / "data" / second.stem).unlink()
    run(" ".join(line[1:]), capsys)
    assert_same_export("out", large_set, capsys)


@pytest.mark.slow
def test_what_is_unfinished_is_of_one_source_and_one_plan(
    large_set: str, hf_home: Path, capsys: Capsys
) -> None:
    line = ["export", large_set, "out", "--num-shards", "20"]
    kept = kill_in_the_middle(line, hf_home, "SIGKILL")
    for other in (
        "large out --num-shards 19",
        "large out --num-shards 20 --split train[:59999]",
        "large out --num-shards 20 --num-samples 60000 --seed 3",
    ):
        said = refused(other, capsys)
        assert f"{kept}: what is unfinished there is of other files or other options" in said
    os.utime(f"large/{TRAIN_IMAGES}", ns=(0, 0))
    said = refused("large out --num-shards 20", capsys)
    advised = re.search(r"(/\S+unfinished): .* or remove this folder\.$", said, re.MULTILINE)
    assert advised is not None
    shutil.rmtree(advised[1])
    assert len(run("large out --num-shards 20", capsys)["train"]) == 60_000


def test_only_one_process_writes_a_folder(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    kept = Path(".mnist_idx-out.unfinished")
    kept.mkdir()
    descriptor = os.open(kept, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    assert "out: another process is writing it" in refused("set out", capsys)
    os.close(descriptor)
    assert set(run("set out", capsys)) == {"train", "test"}
    assert not kept.exists()


def test_nothing_is_left_of_an_export_that_fails_early(capsys: Capsys) -> None:
    labels = TRAIN[1].copy()
    labels[0] = 255
    write_archive(Path("set"), four_files((TRAIN[0], labels), TEST))
    options = {"data_dir": "set", "label_names": NAMES}
    splits = open_exported("idxfolder", None, None, False, streaming=True, **options)
    with pytest.raises(IdxError, match="record 0 has the label 255"):
        write_parquet_folder(splits, "out", False)
    assert os.listdir() == ["set"]


# What belongs to the user


def test_an_empty_folder_is_filled(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    Path("out").mkdir()
    inode = os.stat("out").st_ino
    run("set out", capsys)
    assert os.stat("out").st_ino == inode
    assert sorted(os.listdir("out")) == ["README.md", "data", "preview.png"]


def test_an_earlier_export_is_replaced_whole(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    run("set out --num-shards 5", capsys)
    assert "--overwrite" in refused("set out --num-shards 2", capsys)
    run("set out --num-shards 2 --overwrite", capsys)
    assert len(list(Path("out/data").glob("train-*"))) == 2
    export("out", "tiny", overwrite=True)
    assert not Path("out/data").exists()
    run("set out --overwrite", capsys)
    assert sorted(os.listdir("out")) == ["README.md", "data", "preview.png"]


@pytest.mark.parametrize(
    "name", ["notes.txt", "data/notes.txt", "data/train-00009-of-00010.parquet", ".hidden"]
)
def test_files_of_the_user_are_kept(name: str, capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    run("set out", capsys)
    if name.endswith(".parquet"):
        datasets.Dataset.from_dict({"mine": [1]}).to_parquet(f"out/{name}")
    else:
        Path("out", name).write_text("mine")
    said = refused("set out --overwrite", capsys)
    assert f"it holds {name}" in said
    said = refused("set out", capsys)
    assert f"exists already, and holds {name}" in said
    assert "--overwrite" not in said


def test_words_of_the_user_among_pictures_are_kept(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    assert main(["export", "set", "png", "--as", "png"]) == 0
    assert main(["export", "set", "png", "--as", "png", "--overwrite"]) == 0
    with open("png/README.md", "a", encoding="utf-8") as readme:
        readme.write("Mine.\n")
    said = refused("set png --as png --overwrite", capsys)
    assert "holds README.md, which somebody has written or changed. Choose another target." in said


def test_a_folder_that_only_looks_unfinished_is_kept(capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    mine = Path(".mnist_idx-out.unfinished/mine.txt")
    mine.parent.mkdir()
    mine.write_text("mine")
    assert "without a plan.json" in refused("set out", capsys)


# What is refused


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("set out --num-shards 0", "--num-shards 0: expected an integer, at least 1"),
        ("set out --num-proc 0", "--num-proc 0: expected an integer, at least 1"),
        ("set out --ray nonsense", "--ray nonsense: expected auto, local, HOST:PORT"),
        ("set out --ray auto --num-proc 2", "Leave out --num-proc"),
        ("set out --split test[:0]", "'test' has no records"),
        ("set out[1]", "for a pattern"),
        ("set out --config tiny", "mnist-idx export out --config tiny"),
        ("tiny out --split test", "--split: tiny is exported whole"),
        ("tiny out --prefix x", "--prefix: tiny is exported whole"),
        ("tiny out --num-samples 0", "--num-samples 0: expected an integer, at least 1"),
        ("set out --as png --num-shards 2", "Leave out --num-shards"),
        ("set out.npz --as npz --num-proc 2", "Leave out --num-proc"),
        ("nowhere out", "nowhere: no such file"),
        ("set", "set: holds IDX files, and a TARGET is missing: mnist-idx export set TARGET"),
        ("set --as png", "mnist-idx export set TARGET --as png"),
        ("set --overwrite", "mnist-idx export set TARGET"),
        ("tiny", "a TARGET is missing: mnist-idx export tiny TARGET"),
        ("https://example.org/a.tar", "mnist-idx export https://example.org/a.tar TARGET"),
        ("set set", "set: exists already, and holds "),
        ("out[1] --config tiny", "for a pattern"),
        ("set out --label-names a,b,a", "--label-names a,b,a: expected a name of its own"),
        ("set out --label-names a,b", "Name each class with --label-names, from 0 on."),
        ("tiny out --label-names a,b", "tiny has the names of its classes"),
        ("tiny out --as png --label-names a,b", "tiny has the names of its classes"),
        ("out --config tiny --label-names a,b", "Leave out --label-names"),
    ],
)
def test_wrong_use_is_refused_with_advice(line: str, said: str, capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    assert said in refused(line, capsys)


@pytest.mark.slow
def test_ray_is_imported_only_when_it_is_asked_for(hf_home: Path) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    args = {
        "function": "mnist_idx.tools.cli:main",
        "arguments": [["export", "set", "out"]],
        "options": {},
        "modules": ["ray", "torch"],
        "sources": None,
    }
    answer = run_client("use_local_files", home=hf_home, args=args, cwd=Path.cwd()).result
    assert answer == {"result": 0, "imported": []}


def test_ray_is_asked_for_where_it_is_missing(monkeypatch: Patch, capsys: Capsys) -> None:
    write_archive(Path("set"), four_files(TRAIN, TEST))
    monkeypatch.setitem(sys.modules, "ray", None)
    assert 'pip install "mnist-idx[ray]"' in refused("set out --ray", capsys)


def test_a_machine_that_does_not_see_the_folder_writes_nothing(set_of_shards: Any) -> None:
    make, shards = set_of_shards
    with pytest.raises(IdxError, match=r"new: the machine .* no such folder.*all machines"):
        make(is_always=False).write(shards[0], lambda count: None)
    assert os.listdir() == ["set"]


# Memory


@pytest.mark.slow
@pytest.mark.measures
def test_memory_does_not_depend_on_the_number_of_records(hf_home: Path) -> None:
    peaks = []
    for count in (50_000, 500_000):
        images, labels = np.zeros((count, 28, 28), np.uint8), random_labels(count)
        files = {TRAIN_IMAGES: to_idx(images), TRAIN_LABELS: to_idx(labels)}
        write_archive(Path(f"set{count}"), files)
        line = ["export", f"set{count}", f"out{count}"]
        outcome = run_client("run_commands", home=hf_home, args={"lines": [line]}, cwd=Path.cwd())
        assert outcome.result == [0]
        peaks.append(outcome.peak)
    assert peaks[1] - peaks[0] < 64 << 20


# The Hub


@pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")
class TestPush:
    @pytest.fixture(autouse=True)
    def hub(self, monkeypatch: Patch) -> Any:
        with HubServer() as hub:
            log_in(hub, monkeypatch)
            write_archive(Path("set"), four_files(TRAIN, TEST))
            assert main(["export", "set", "digits", "--num-shards", "3"]) == 0
            yield hub

    def test_a_folder_is_published(self, hub: HubServer, capsys: Capsys) -> None:
        assert main(["push", "digits", "--folder", "digits"]) == 0
        files = hub.repos["alice/digits"].files()
        assert b'load_dataset("alice/digits")' in files["README.md"]
        for path, content in contents(Path("digits")).items():
            assert files[path] == content or path == "README.md"
        assert not push_to_hub("digits", folder="digits").changed

    def test_what_it_replaces_is_deleted(self, hub: HubServer) -> None:
        push_to_hub("digits", folder="digits")
        repo = hub.repos["alice/digits"]
        other = {"data/extra-00000-of-00001.parquet": b"of somebody", "notes.txt": b"mine"}
        repo.commit("main", {**repo.files(), **other}, "files of others")
        assert main(["export", "set", "digits", "--num-shards", "2", "--overwrite"]) == 0
        push_to_hub("digits", folder="digits")
        assert set(repo.files()) == {*contents(Path("digits")), *other, ".gitattributes"}

    def test_a_forgotten_folder_does_not_replace_it(self, hub: HubServer, capsys: Capsys) -> None:
        push_to_hub("digits", folder="digits")
        before = hub.repos["alice/digits"].files()
        assert main(["push", "digits", "--config", "tiny"]) == 1
        said = capsys.readouterr().err
        assert "holds data/test-00000-of-00002.parquet, which is not of tiny" in said
        assert "--folder FOLDER" in said
        assert hub.repos["alice/digits"].files() == before

    def test_a_folder_is_looked_for_before_a_token_is(
        self, hub: HubServer, monkeypatch: Patch, capsys: Capsys
    ) -> None:
        monkeypatch.delenv("HF_TOKEN")
        assert main(["push", "digits", "--folder", "nothere"]) == 1
        assert "nothere: no such folder" in capsys.readouterr().err
        assert hub.log == []

    def test_a_dry_run_lists_the_files(self, hub: HubServer) -> None:
        dry = push_to_hub("digits", folder="digits", dry_run=True)
        assert dry.files == {path: len(data) for path, data in contents(Path("digits")).items()}
        assert hub.log == []

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            pytest.param(
                lambda: Path("digits/notes.txt").touch(),
                r"found notes\.txt, .*hf upload",
                id="a file of the user",
            ),
            pytest.param(lambda: Path("digits/README.md").unlink(), r"no README\.md", id="no card"),
            pytest.param(
                lambda: Path("digits/data/train-00001-of-00003.parquet").unlink(),
                r"data/train-00001-of-00003\.parquet is missing",
                id="a missing file",
            ),
            pytest.param(
                lambda: shutil.rmtree("digits"), "no such folder.*export SOURCE", id="no folder"
            ),
        ],
    )
    def test_what_is_no_whole_export_is_not_published(
        self, change: Callable[[], None], said: str, hub: HubServer
    ) -> None:
        change()
        with pytest.raises(IdxError, match=said):
            push_to_hub("alice/digits", folder="digits")
        assert hub.repos == {}
