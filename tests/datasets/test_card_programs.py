"""What a published card says is true of what is published with it, and its programs print it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from cards import Card, check_programs, parse_card, read_card
from clients import ROOT
from http_server import Server
from hub_client import log_in
from hub_server import HubServer
from idx_files import (
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from stand_in import read_archive, to_arrays
from stand_ins import COUNTS, as_loaded, stand_in_dataset, stand_in_files

from mnist_idx import export, push_to_hub
from mnist_idx.catalog import DATASETS
from mnist_idx.tools.cli import main
from mnist_idx.tools.exported import open_exported
from mnist_idx.tools.parquet_folder import write_parquet_folder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")
Patch = pytest.MonkeyPatch
slow = pytest.mark.slow
TRAIN = random_images(30, 9, 7), random_labels(30)
TEST = random_images(20, 9, 7, seed=1), random_labels(20, seed=1)
RELATIVES = ["fashion_mnist", "kmnist", "qmnist", "qmnist_nist", "emnist_letters", "emnist_bymerge"]


@pytest.fixture
def hub(monkeypatch: Patch) -> Iterator[HubServer]:
    """A Hub, and this process as a client of it, logged in as alice."""
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        yield hub


@pytest.fixture
def serve_stand_in(serve: Callable[..., Server], monkeypatch: Patch) -> Callable[[str], None]:
    """Let a small stand-in take the place of a published dataset."""

    def serve_stand_in(name: str) -> None:
        files = stand_in_files(name)
        server = serve({f"/set/{one}": content for one, content in files.items()})
        replaced = stand_in_dataset(name, sources=(server.url("/set/"),))
        monkeypatch.setitem(DATASETS, name, replaced)

    return serve_stand_in


def published_card(hub: HubServer, revision: str = "main") -> Card:
    return parse_card(hub.repos["alice/digits"].files(revision)["README.md"].decode())


CONFIGS = [
    pytest.param(["mnist", "subset", "tiny"], "10K<n<100K", id="all of MNIST", marks=slow),
    pytest.param(["tiny"], "1K<n<10K", id="tiny alone"),
    pytest.param(["subset"], "n<1K", id="subset alone", marks=slow),
    pytest.param(
        {"mnist": {}, "subset": {"num_samples": 30, "seed": 5, "sampling": "uniform"}},
        "10K<n<100K",
        id="a subset that is drawn",
        marks=slow,
    ),
    pytest.param(
        {"mnist": {}, "subset": {"num_samples": 10500, "seed": 5}},
        "10K<n<100K",
        id="a subset larger than the test split",
        marks=slow,
    ),
    pytest.param({"tiny": {"seed": 4}}, "1K<n<10K", id="a shuffled miniature", marks=slow),
    pytest.param(
        {"tiny": {"num_samples": 12, "sampling": "uniform"}},
        "n<1K",
        id="a few of the miniature",
        marks=slow,
    ),
    pytest.param({"tiny": {"as_array": True}}, "1K<n<10K", id="arrays", marks=slow),
]


@pytest.mark.parametrize(("configs", "size"), CONFIGS)
def test_the_programs_of_a_push(
    configs: Any, size: str, hub: HubServer, hf_home: Path, mnist_tar: Path, mirror: Any
) -> None:
    mirror(mnist_tar)
    push_to_hub("digits", configs)
    card = published_card(hub)
    assert card.metadata["size_categories"] == [size]
    assert 'load_dataset("alice/digits"' in card.text
    check_programs(card, hf_home, hub.environment())


@pytest.mark.parametrize(
    "configs",
    [
        pytest.param("tiny", id="tiny alone"),
        pytest.param("subset", id="subset alone", marks=slow),
    ],
)
def test_the_programs_of_an_export(
    configs: str, tmp_path: Path, hf_home: Path, mnist_tar: Path, mirror: Any
) -> None:
    mirror(mnist_tar)
    check_programs(read_card(export(tmp_path / 'it\'s "mine"', configs)), hf_home)


@pytest.mark.slow
def test_the_programs_of_a_branch_load_from_it(hub: HubServer, hf_home: Path) -> None:
    push_to_hub("digits", "tiny", revision="small/1")
    card = published_card(hub, "small/1")
    assert 'revision="small/1")' in card.text
    check_programs(card, hf_home, hub.environment())


@pytest.mark.slow
def test_what_is_proposed_loads_from_where_it_will_be(hub: HubServer) -> None:
    hub.create("alice/digits")
    push_to_hub("alice/digits", "tiny", create_pr=True)
    push_to_hub("alice/digits", {"tiny": {"seed": 3}}, revision="refs/pr/1")
    assert "revision=" not in published_card(hub, "refs/pr/1").text


@pytest.mark.slow
@pytest.mark.parametrize("name", RELATIVES)
def test_the_programs_of_a_relative(
    name: str, serve_stand_in: Callable[[str], None], hub: HubServer, hf_home: Path
) -> None:
    serve_stand_in(name)
    push_to_hub("digits", name)
    check_programs(published_card(hub), hf_home, hub.environment())


@pytest.mark.slow
def test_the_programs_of_two_relatives(
    serve_stand_in: Callable[[str], None], tmp_path: Path, hf_home: Path
) -> None:
    for name in ("emnist_letters", "emnist_digits"):
        serve_stand_in(name)
    card = read_card(export(tmp_path / "both", ["emnist_digits", "emnist_letters"]))
    assert len([rows for rows in card.tables if rows[0][:2] == ["label", "name"]]) == 2
    check_programs(card, hf_home)


# A user's own files


def write_set(folder: Path, train: Any, test: Any = None) -> None:
    """Write pairs of images and labels, or images without labels."""
    files = {TRAIN_IMAGES: to_idx(train[0])}
    if train[1] is not None:
        files[TRAIN_LABELS] = to_idx(train[1])
    if test is not None:
        files |= {TEST_IMAGES: to_idx(test[0]), TEST_LABELS: to_idx(test[1])}
    write_archive(folder, files)


NUMBERS = np.arange(30, dtype=np.int32)
PARTS = np.stack([TRAIN[1].astype(np.int32), NUMBERS, NUMBERS], axis=1)
OWN_FILES = [
    pytest.param(TRAIN, TEST, "", "`ClassLabel`", id="gray pictures"),
    pytest.param(
        (random_images(30, 5, 4, 3), TRAIN[1]), None, "", "`ClassLabel`", id="color", marks=slow
    ),
    pytest.param(
        (TRAIN[0], np.linspace(0, 1, 30, dtype=np.float32)),
        None,
        "",
        "`float32`",
        id="floats",
        marks=slow,
    ),
    pytest.param(
        (TRAIN[0], np.linspace(0, 1, 60).reshape(30, 2)),
        None,
        "",
        "2 × `float64`",
        id="two floats",
        marks=slow,
    ),
    pytest.param((TRAIN[0], NUMBERS * 10**6 - 5), None, "", "`int64`", id="integers", marks=slow),
    pytest.param((TRAIN[0], PARTS), None, "", "`ClassLabel`", id="parts", marks=slow),
    pytest.param((TRAIN[0], None), None, "", None, id="no labels", marks=slow),
    pytest.param(
        (random_images(30, 7).astype(np.int16), TRAIN[1]),
        None,
        "--as-array",
        "`ClassLabel`",
        id="vectors",
    ),
    pytest.param(
        (random_images(30, 3, 4).astype(np.float32), None),
        None,
        "--as-array",
        None,
        id="tables of floats",
        marks=slow,
    ),
    pytest.param(
        TRAIN, TEST, "--num-samples 25 --seed 3", "`ClassLabel`", id="a selection", marks=slow
    ),
    pytest.param(
        TRAIN,
        TEST,
        "--split test[:5]+train[-4:]+test[-2:]",
        "`ClassLabel`",
        id="parts of splits",
        marks=slow,
    ),
]


@pytest.mark.parametrize(("train", "test", "options", "label"), OWN_FILES)
def test_the_programs_of_own_files(
    train: Any, test: Any, options: str, label: str | None, tmp_path: Path, hf_home: Path
) -> None:
    write_set(tmp_path / "set", train, test)
    line = ["export", str(tmp_path / "set"), str(tmp_path / "out"), *options.split()]
    assert main(line) == 0
    card = read_card(tmp_path / "out")
    fields = {name: kind for name, kind, _ in card.table("field", "type")}
    assert fields.get("`label`") == label
    assert card.metadata["pretty_name"] == "out"
    check_programs(card, hf_home)


@pytest.mark.slow
def test_the_programs_of_own_files_on_the_hub(
    hub: HubServer, tmp_path: Path, hf_home: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "set", TRAIN, TEST)
    assert main(["export", "set", "out"]) == 0
    before = (tmp_path / "out" / "README.md").read_bytes()
    push_to_hub("digits", folder="out")
    assert (tmp_path / "out" / "README.md").read_bytes() == before
    card = published_card(hub)
    assert 'load_dataset("out"' not in card.text
    check_programs(card, hf_home, hub.environment())


# What a card says


def count_table(card: Card, first: str) -> dict[str, list[str]]:
    """The counts of each class, by its name, of the table whose first class has a name."""
    for rows in card.tables:
        if rows[0][:2] == ["label", "name"] and rows[1][1] == first:
            return {row[1]: row[2:] for row in rows[1:]}
    raise AssertionError(f"no table of classes begins with {first}")


def test_classes_of_the_miniature_are_counted(tmp_path: Path) -> None:
    arrays = to_arrays(read_archive(ROOT / "mnist_idx" / "data" / "mnist_tiny.tar"))
    counts = count_table(read_card(export(tmp_path / "digits", "tiny")), "0")
    assert counts.pop("all") == ["1,000", "200"]
    for split, column in (("train", 0), ("test", 1)):
        expected = np.bincount(arrays[split][1]).tolist()
        assert [int(row[column]) for row in counts.values()] == expected


@pytest.mark.parametrize("name", RELATIVES)
def test_classes_of_a_relative_are_counted(
    name: str, serve_stand_in: Callable[[str], None], tmp_path: Path
) -> None:
    serve_stand_in(name)
    names = DATASETS[name].class_names
    counts = count_table(read_card(export(tmp_path / "folder", name)), names[0])
    arrays = as_loaded(name)
    assert counts.pop("all") == [str(COUNTS[split]) for split in arrays]
    assert list(counts) == list(names)
    for column, split in enumerate(arrays):
        expected = np.bincount(arrays[split][1], minlength=len(names)).tolist()
        assert [int(row[column]) for row in counts.values()] == expected


@pytest.mark.parametrize("name", RELATIVES)
def test_the_card_of_a_relative_says_what_people_ask(
    name: str, serve_stand_in: Callable[[str], None], tmp_path: Path
) -> None:
    serve_stand_in(name)
    known = DATASETS[name]
    metadata, text = card = read_card(export(tmp_path / "folder", name))
    assert known.about is not None
    assert metadata["license"] == known.license
    assert metadata["pretty_name"] == known.about.name
    assert metadata["task_categories"] == ["image-classification"]
    assert metadata["task_ids"] == ["multi-class-image-classification"]
    assert metadata["size_categories"] == ["n<1K"]  # of the stand-in
    assert "idx" in metadata["tags"]
    for said in (known.homepage, known.about.paper_url, known.citation.strip()):
        assert said in text
    fields = [name for name, *_ in card.table("field", "type")]
    details = ["`label_details`"] if name.startswith("qmnist") else []
    assert fields == ["`image`", "`label`", *details]
    assert ("Here they stand upright" in text) == name.startswith("emnist")
    assert ("**License:** not stated by its authors" in text) == name.startswith("emnist")
    for split in known.splits.values():
        assert split.images.sha256 in text


def test_the_files_of_the_whole_are_not_those_of_a_part(
    tmp_path: Path, mnist_tar: Path, mirror: Any
) -> None:
    mirror(mnist_tar)
    for name in ("tiny", "subset"):
        card = read_card(export(tmp_path / name, name))
        assert not card.has_table("IDX file")
        assert "**Here is a part of it:**" in card.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(
            {}, "the first records of each split, in the order of the IDX files", id="all"
        ),
        pytest.param(
            {"seed": 4}, "the first records of each split, shuffled with the seed 4", id="shuffled"
        ),
        pytest.param(
            {"num_samples": 7},
            "the first 7 records of each split, shuffled with the seed 1",
            id="the first",
        ),
        pytest.param(
            {"num_samples": 300, "seed": 2},
            "the first 300 records of each split, or all if it has fewer, shuffled with the seed 2",
            id="more than a split has",
        ),
        pytest.param(
            {"num_samples": 7, "sampling": "uniform"},
            "7 records of each split, drawn with the seed 1 from the first records of each split",
            id="drawn",
        ),
    ],
)
def test_it_says_which_records_there_are(
    options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    card = read_card(export(tmp_path / "digits", {"tiny": options}))
    ((name, _, _, content),) = card.table("configuration", "`train`", "`test`")
    assert (name, content) == ("`tiny` (default)", said)


def test_it_says_which_parts_of_own_files_there_are(tmp_path: Path) -> None:
    write_set(tmp_path / "set", TRAIN, TEST)
    split = "test[:5]+train+test[-2:]"
    assert main(["export", str(tmp_path / "set"), str(tmp_path / "out"), "--split", split]) == 0
    text = read_card(tmp_path / "out").text
    assert "`test` has of these 20 records those numbered 0 to 4, then 18 to 19." in text
    assert "`train` has of these" not in text
    assert "; of `test` only [a part](#how-this-copy-was-made)." in text


@pytest.mark.parametrize(
    ("number", "size"),
    [
        pytest.param(999, "n<1K", id="fewer than a thousand"),
        pytest.param(1000, "1K<n<10K", id="a thousand"),
    ],
)
def test_the_size_is_that_of_what_is_published(number: int, size: str, tmp_path: Path) -> None:
    images, labels = np.zeros((number, 2, 2), np.uint8), random_labels(number)
    write_set(tmp_path / "set", (images, labels))
    assert main(["export", str(tmp_path / "set"), str(tmp_path / "out")]) == 0
    assert read_card(tmp_path / "out").metadata["size_categories"] == [size]


def test_names_of_classes_cannot_break_a_table(tmp_path: Path) -> None:
    write_set(tmp_path / "set", (TRAIN[0], TRAIN[1] % 3))
    names = ["a|b", "two\nlines", "*`_<b>"]
    options = {"data_dir": str(tmp_path / "set"), "label_names": names}
    splits = open_exported("idxfolder", None, None, False, **options)
    write_parquet_folder(splits, tmp_path / "out", False)
    shown = [name for _, name, _ in read_card(tmp_path / "out").table("label", "name")]
    assert shown == [r"a\|b", "two lines", r"\*\`\_\<b\>", "all"]


@pytest.mark.parametrize(
    ("labels", "tasks"),
    [
        pytest.param(TRAIN[1], ["image-classification"], id="classes"),
        pytest.param(np.linspace(0, 1, 30, dtype=np.float32), None, id="floats"),
        pytest.param(None, None, id="none"),
    ],
)
def test_only_classes_are_classified(labels: Any, tasks: list[str] | None, tmp_path: Path) -> None:
    write_set(tmp_path / "set", (TRAIN[0], labels))
    assert main(["export", str(tmp_path / "set"), str(tmp_path / "out")]) == 0
    metadata, text = read_card(tmp_path / "out")
    assert metadata.get("task_categories") == tasks
    assert ("### Classes" in text) == (tasks is not None)


def test_many_classes_are_not_listed(tmp_path: Path) -> None:
    labels = np.arange(300) % 150
    write_set(tmp_path / "set", (random_images(300, 3, 3), labels.astype(np.uint8)))
    assert main(["export", str(tmp_path / "set"), str(tmp_path / "out")]) == 0
    text = read_card(tmp_path / "out").text
    assert "There are 150 classes" in text
    assert "`train` has 2 to 2 records of each." in text


@pytest.mark.parametrize("source", ["tiny", "set"])
def test_the_hub_reads_it(source: str, tmp_path: Path, monkeypatch: Patch) -> None:
    """By the client's own class, as `load_dataset` does. What it shows exists beside it."""
    monkeypatch.chdir(tmp_path)
    write_set(tmp_path / "set", TRAIN, TEST)
    assert main(["export", source, "out"]) == 0
    content = Path("out/README.md").read_text(encoding="utf-8")
    card = huggingface_hub.DatasetCard(content)
    assert str(card) == content
    assert {"configs", "dataset_info", "size_categories"} <= card.data.to_dict().keys()
    assert "](preview.png)" in card.text
    assert Path("out/preview.png").read_bytes().startswith(b"\x89PNG")
    assert "user/mnist_idx" not in content
