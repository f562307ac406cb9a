"""Mistakes that a new user makes, and whether the answer says what works instead."""

import errno
import re
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from idx_files import random_images, random_labels
from PIL import Image, PngImagePlugin

import mnist_idx
from mnist_idx import (
    IdxError,
    IdxFolder,
    MnistIdx,
    contact_sheet,
    export,
    load_arrays,
    load_dataset,
    push_to_hub,
    write_idx,
)
from mnist_idx.hf import disk_error
from mnist_idx.tools.cli import main

Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
SIX_OF_EMNIST = (
    '"emnist_byclass", "emnist_bymerge", "emnist_balanced", "emnist_letters", "emnist_digits" '
    'or "emnist_mnist"?'
)


@pytest.fixture(autouse=True)
def offline_in_an_empty_folder(tmp_path: Path, monkeypatch: Patch) -> None:
    """A wrong call never reaches the network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def tiny(**options: Any) -> Any:
    return load_dataset("mnist_idx", "tiny", **options)


def tiny_arrays(**options: Any) -> Any:
    return load_arrays("mnist_idx", "tiny", **options)


# Names of the package


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("load", "Did you mean load_arrays or load_dataset?", id="the start of a name"),
        pytest.param("load_dataste", "Did you mean load_dataset?", id="letters exchanged"),
        pytest.param("load_mnist", "Did you mean load_dataset?", id="a function of others"),
        pytest.param("loadarrays", "Did you mean load_arrays?", id="no underscore"),
        pytest.param("ContactSheet", "Did you mean contact_sheet?", id="as a class is written"),
        pytest.param("MNIST", "Did you mean MnistIdx?", id="the class of torchvision"),
        pytest.param("push", "Did you mean push_to_hub?", id="a command"),
        pytest.param("preview", "Did you mean contact_sheet?", id="a command of another name"),
        pytest.param("convert", "Did you mean write_idx?", id="another such command"),
        pytest.param("verify", "It is a command: mnist-idx verify", id="only a command"),
        pytest.param("zebra", "It has IdxError, ", id="nothing like it"),
    ],
)
def test_a_name_that_the_package_has_not(name: str, meant: str) -> None:
    with pytest.raises(AttributeError, match=re.escape(f"no attribute '{name}'. {meant}")):
        getattr(mnist_idx, name)


# Configs


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("fashion", 'Did you mean "fashion_mnist"?', id="a part of the name"),
        pytest.param("Tiny", 'Did you mean "tiny"?', id="a capital"),
        pytest.param("mnsit", 'Did you mean "mnist"?', id="letters exchanged"),
        pytest.param("MNIST", 'Did you mean "mnist"?', id="all capitals"),
        pytest.param("Fashion-MNIST", 'Did you mean "fashion_mnist"?', id="as papers write it"),
        pytest.param("emnist", f"Did you mean {SIX_OF_EMNIST}", id="one of six"),
        pytest.param("letters", 'Did you mean "emnist_letters"?', id="the end of the name"),
        pytest.param("train", 'Did you mean split="train"?', id="a split"),
        pytest.param("cifar10", "The configs are mnist, subset, tiny, ", id="nothing like it"),
    ],
)
@pytest.mark.parametrize(
    "load",
    [
        pytest.param(load_dataset, id="load_dataset"),
        pytest.param(load_arrays, id="load_arrays"),
    ],
)
def test_a_config_that_there_is_not(load: Callable[..., Any], name: str, meant: str) -> None:
    with pytest.raises(IdxError, match=re.escape(f'mnist_idx has no config "{name}". {meant}')):
        load("mnist_idx", name)


def test_an_error_of_a_config_is_what_other_builders_raise() -> None:
    with pytest.raises(ValueError, match="fashion_mnist"):
        load_dataset("mnist_idx", "fashion")


# Calls


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        pytest.param(
            lambda: load_arrays("tiny"),
            'expected "mnist_idx" or "idxfolder". Did you mean load_arrays("mnist_idx", "tiny")?',
            id="a config in place of the builder",
        ),
        pytest.param(
            lambda: load_arrays("mnist-idx"),
            'Did you mean load_arrays("mnist_idx")?',
            id="a hyphen",
        ),
        pytest.param(
            lambda: load_arrays("mnist_idx/tiny"),
            'Did you mean load_arrays("mnist_idx", "tiny")?',
            id="builder and config in one",
        ),
        pytest.param(
            lambda: load_arrays("idx_folder", data_dir="."),
            'Did you mean load_arrays("idxfolder")?',
            id="an underscore too many",
        ),
        pytest.param(
            lambda: load_arrays("."),
            'Did you mean load_arrays("idxfolder", data_dir=".")?',
            id="a folder",
        ),
        pytest.param(lambda: load_arrays("mnist_idx", 5), "Found 5 as the name", id="a number"),
        pytest.param(
            lambda: load_dataset("mnist_idx", "tiny", "train"),
            'Did you mean split="train"?',
            id="a split in place of the folder",
        ),
        pytest.param(
            lambda: load_dataset("idxfolder", "tiny"),
            'Did you mean load_dataset("mnist_idx", "tiny")?',
            id="the other builder",
        ),
        pytest.param(
            lambda: MnistIdx("tiny"), "Use MnistIdx(config_name='tiny')", id="a builder of a config"
        ),
        pytest.param(lambda: IdxFolder(), "data_dir=…", id="a builder without files"),
        pytest.param(
            lambda: load_dataset("idxfolder", data_dir="nowhere"),
            "no such file or folder",
            id="a folder that is not there",
        ),
        pytest.param(
            lambda: write_idx("tiny", "folder"),
            'Did you mean load_dataset("mnist_idx", "tiny")?',
            id="writing a config",
        ),
        pytest.param(
            lambda: push_to_hub({"train": 1}, "user/x"),  # type: ignore[arg-type]
            'Of others call dataset.push_to_hub("user/name").',
            id="pushing a dataset",
        ),
        pytest.param(
            lambda: export(tiny(), "folder"),
            "Expected a name, found a DatasetDict.",
            id="exporting a dataset",
        ),
        pytest.param(
            lambda: export("folder", ["tinny"]), 'Did you mean "tiny"?', id="exporting a mistyped"
        ),
    ],
)
def test_a_call_with_the_wrong_words(call: Callable[[], Any], meant: str) -> None:
    with pytest.raises(IdxError, match=re.escape(meant)):
        call()


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        pytest.param("tiny", 'load_dataset("mnist_idx", "tiny")', id="a config"),
        pytest.param("mnist-idx", 'load_dataset("mnist_idx")', id="a hyphen"),
        pytest.param("mnist_idx/kmnist", 'load_dataset("mnist_idx", "kmnist")', id="both in one"),
    ],
)
def test_a_name_that_the_hub_has_not_may_be_one_of_ours(path: str, meant: str) -> None:
    with pytest.raises(ConnectionError, match=re.escape(f"Did you mean {meant}?")):
        load_dataset(path)


def test_of_other_names_the_error_is_that_of_datasets() -> None:
    with pytest.raises(ConnectionError) as caught:
        load_dataset("squad")
    assert "Did you mean" not in str(caught.value)


# Splits


@pytest.mark.parametrize(
    ("load", "split", "meant"),
    [
        pytest.param(
            tiny,
            "validation",
            'Take one from train: split=["train[:916]", "train[916:]"].',
            id="load_dataset, validation",
        ),
        pytest.param(
            tiny_arrays,
            "val",
            'Take one from train: split=["train[:916]", "train[916:]"].',
            id="load_arrays, val",
        ),
        pytest.param(tiny, "tset", 'Did you mean "test"?', id="load_dataset, letters exchanged"),
        pytest.param(tiny_arrays, "Train", 'Did you mean "train"?', id="load_arrays, a capital"),
        pytest.param(
            tiny_arrays, "train[:100", 'for example "train[:100]"', id="load_arrays, no bracket"
        ),
        pytest.param(
            tiny_arrays, ["train", "tset"], 'Did you mean "test"?', id="load_arrays, in a list"
        ),
        pytest.param(
            tiny_arrays, ("train", "test"), "or a list of texts", id="load_arrays, a tuple"
        ),
        pytest.param(tiny_arrays, None, 'expected "train" or "test"', id="load_arrays, none"),
    ],
)
def test_a_split_that_there_is_not(load: Callable[..., Any], split: Any, meant: str) -> None:
    with pytest.raises(IdxError, match=re.escape(meant)):
        load(split=split)


def test_the_advice_for_a_validation_split_works() -> None:
    training, validation = tiny(split=["train[:916]", "train[916:]"])
    assert (len(training), len(validation)) == (916, 84)
    _, (images, _) = tiny_arrays(split=["train[:916]", "train[916:]"])
    assert len(images) == 84


@pytest.mark.parametrize(
    ("split", "meant"),
    [
        pytest.param("tset", 'Did you mean "test"?', id="letters exchanged"),
        pytest.param("validation", "with take, the others with skip.", id="validation"),
        pytest.param("train[:10]", "Use take or skip of the stream", id="a part of a split"),
    ],
)
def test_a_split_that_a_stream_has_not(split: str, meant: str) -> None:
    with pytest.raises(IdxError, match=re.escape(meant)):
        tiny(split=split, streaming=True)


# Options


@pytest.mark.parametrize(
    ("options", "meant"),
    [
        pytest.param({"shuffle": True}, "Pass seed=", id="shuffle"),
        pytest.param({"nsamples": 3}, "Did you mean num_samples=?", id="an abbreviation"),
        pytest.param({"as_arrays": True}, "Did you mean as_array=?", id="a letter too many"),
        pytest.param({"train": True}, 'Pass split="train" or', id="as torchvision has it"),
        pytest.param({"download": True}, "what is missing is downloaded", id="download"),
        pytest.param({"transform": len}, "Use with_transform", id="transform"),
        pytest.param({"label_names": ["a"]}, "an option of idxfolder", id="of the other builder"),
        pytest.param({"zebra": 1}, "Its own options are num_samples, seed, ", id="nothing like it"),
        pytest.param({"sampling": "unifrom"}, 'Did you mean "uniform"?', id="a mistyped value"),
        pytest.param({"num_samples": "5"}, "expected an integer, at least 1", id="a text"),
        pytest.param({"seed": 1.5}, "seed=1.5: expected an integer", id="half a seed"),
    ],
)
@pytest.mark.parametrize(
    "load",
    [pytest.param(tiny, id="load_dataset"), pytest.param(tiny_arrays, id="load_arrays")],
)
def test_a_wrong_option(load: Callable[..., Any], options: dict[str, Any], meant: str) -> None:
    with pytest.raises(IdxError, match=re.escape(meant)):
        load(**options)


def test_a_wrong_option_of_own_files() -> None:
    with pytest.raises(IdxError, match=r"Did you mean label_names=\?.*data_dir, data_files;"):
        load_dataset("idxfolder", data_dir=".", labelnames=["a"])


# Contact sheets

IMAGES, LABELS = random_images(40, 28, 28), random_labels(40)
EXPECTED = contact_sheet(IMAGES[:5], LABELS[:5])


class Tensor:
    """What a tensor of PyTorch has that matters here: it is copied from its device first."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self.ndim = array.ndim
        self.is_here = False

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, item: Any) -> "Tensor":
        return Tensor(self._array[item])

    def detach(self) -> "Tensor":
        return self

    def cpu(self) -> "Tensor":
        self.is_here = True
        return self

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        if not self.is_here:
            raise TypeError("cannot convert a tensor of a device")
        return self._array


@pytest.mark.parametrize(
    "source",
    [
        pytest.param((IMAGES, LABELS), id="a pair"),
        pytest.param([IMAGES, LABELS], id="a list of two, as a DataLoader has it"),
        pytest.param({"image": IMAGES, "label": LABELS}, id="arrays by their names"),
        pytest.param({"image": [*IMAGES], "label": [*LABELS]}, id="lists by their names"),
        pytest.param({"train": (IMAGES, LABELS)}, id="a single split by its name"),
        pytest.param((IMAGES[:, None], LABELS), id="channels first"),
        pytest.param((IMAGES[..., None], LABELS), id="channels last"),
        pytest.param((Tensor(IMAGES), Tensor(LABELS)), id="tensors"),
        pytest.param([Tensor(IMAGES[:, None]), Tensor(LABELS)], id="a batch of tensors"),
        pytest.param(([Image.fromarray(image) for image in IMAGES], LABELS), id="pictures"),
    ],
)
def test_a_contact_sheet_of_what_people_hold(source: Any) -> None:
    assert contact_sheet(source, num=5).tobytes() == EXPECTED.tobytes()


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({"num": 5}, id="by name"),
        pytest.param({"labels": 5}, id="in the place of the labels"),
    ],
)
def test_the_number_of_images_may_come_second(rest: dict[str, Any]) -> None:
    assert contact_sheet((IMAGES, LABELS), **rest).tobytes() == EXPECTED.tobytes()


def test_some_records_and_one_record_of_a_dataset_are_drawn() -> None:
    train = tiny(split="train")
    five = contact_sheet(train, 5)
    assert contact_sheet(train[:5]).tobytes() == five.tobytes()
    assert contact_sheet(train["image"][:5], train["label"][:5]).tobytes() == five.tobytes()
    assert contact_sheet(train[0]).tobytes() == contact_sheet(train, 1).tobytes()
    assert contact_sheet(train[0]["image"]).size == contact_sheet(IMAGES[:1]).size


def test_of_a_whole_split_25_are_drawn() -> None:
    images, labels = np.zeros((60_000, 28, 28), np.uint8), np.zeros(60_000, np.uint8)
    assert contact_sheet(images, labels).size == contact_sheet(images[:25], labels[:25]).size


@pytest.mark.parametrize(
    ("source", "meant"),
    [
        pytest.param({"train": IMAGES, "test": IMAGES}, 'dataset["train"]', id="several splits"),
        pytest.param("tiny", 'load_dataset("mnist_idx", "tiny", split="train")', id="a name"),
        pytest.param(None, "expected a split such as", id="nothing"),
        pytest.param(5, "found int, expected a split such as", id="a number"),
        pytest.param(iter([]), "expected a split such as", id="an iterator"),
        pytest.param(IMAGES[0], "(28, 28). Of a single image, pass image[None].", id="an image"),
        pytest.param(
            IMAGES.reshape(40, -1), "images.reshape(-1, 28, 28)", id="images in one row each"
        ),
        pytest.param((IMAGES, LABELS[:30]), "40 images and 30 labels", id="too few labels"),
        pytest.param([np.zeros((2, 2)), np.zeros((3, 3))], "cannot be made", id="two sizes"),
    ],
)
def test_what_cannot_be_drawn_is_answered_with_what_can(source: Any, meant: str) -> None:
    with pytest.raises(IdxError, match=re.escape(meant)):
        contact_sheet(source)


# The command line


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        pytest.param("preview fashion", "Did you mean fashion_mnist?", id="a part of a config"),
        pytest.param("verify Tiny", "Did you mean tiny?", id="a capital"),
        pytest.param("export mnsit out", "Did you mean mnist?", id="letters exchanged"),
        pytest.param(
            "preview emnist", "emnist_digits or emnist_mnist?", id="one of the six of emnist"
        ),
        pytest.param("preview tiny -s tset", "Did you mean test?", id="a mistyped split"),
        pytest.param("preview tiny --split val", "expected train or test", id="no such split"),
        pytest.param("preview tiny -n 0", "--num 0: expected at least 1", id="no pictures"),
        pytest.param("preview tiny -o x.foo", "ends in .png", id="an unknown format"),
        pytest.param(
            "convert tiny out",
            "Did you mean mnist-idx convert mnist_idx out --name tiny?",
            id="converting a config",
        ),
        pytest.param(
            "convert mnist_idx out --name fashion",
            'Did you mean "fashion_mnist"?',
            id="converting a mistyped config",
        ),
        pytest.param(
            "push user/digits --folder out --num-samples 5",
            "Leave out --num-samples, or select them with mnist-idx export SOURCE out",
            id="selecting from a folder",
        ),
        pytest.param(
            "export tiny", "a TARGET is missing: mnist-idx export tiny TARGET", id="no target"
        ),
        pytest.param(
            "export tiny out.npz --as npz --split val",
            "Take one from train: train[:916] and train[916:].",
            id="exporting a validation split",
        ),
    ],
)
def test_a_command_with_wrong_words(line: str, meant: str, capsys: Capsys) -> None:
    assert main(line.split()) == 1
    printed = capsys.readouterr()
    assert meant in printed.err
    assert printed.out == "", "it is refused before anything is done"


@pytest.mark.parametrize(
    ("line", "command", "meant"),
    [
        pytest.param("previw tiny", "", "Did you mean mnist-idx preview?", id="mistyped command"),
        pytest.param("show tiny", "", "Did you mean mnist-idx preview?", id="word of others"),
        pytest.param("train", "", "Did you mean mnist-idx example train?", id="a program"),
        pytest.param("tiny", "", "Did you mean mnist-idx preview tiny?", id="no command"),
        pytest.param("-s test preview", "", "Options follow it.", id="options first"),
        pytest.param("preview tiny --nmu 5", "preview", "Did you mean --num?", id="letters"),
        pytest.param("preview tiny --zebra", "preview", "The options are --", id="unknown option"),
        pytest.param("export a b --format png", "export", "Did you mean --as?", id="of others"),
        pytest.param("push a --dryrun", "push", "Did you mean --dry-run?", id="no hyphen"),
        pytest.param("preview tiny test", "preview", "Did you mean --split test?", id="a split"),
        pytest.param("convert a b --mode rgb", "convert", "Did you mean RGB?", id="small letters"),
        pytest.param("export o -c tinny", "export", "Did you mean tiny?", id="mistyped config"),
    ],
)
def test_wrong_usage_shows_that_of_the_command(
    line: str, command: str, meant: str, capsys: Capsys
) -> None:
    with pytest.raises(SystemExit, match=r"^2$"):
        main(line.split())
    printed = capsys.readouterr().err
    program = f"mnist-idx {command}".rstrip()
    assert printed.startswith(f"usage: {program} [-h]")
    assert meant in printed
    assert printed.endswith(f"All options, and examples: {program} --help\n")


@pytest.mark.parametrize("line", ["help", ""])
def test_the_help_is_printed(line: str, capsys: Capsys) -> None:
    assert main(line.split()) == 0
    printed = capsys.readouterr().out
    assert "examples:\n  mnist-idx preview tiny" in printed


def test_the_help_of_a_command_may_be_asked_for_by_a_word(capsys: Capsys) -> None:
    with pytest.raises(SystemExit, match=r"^0$"):
        main(["help", "verify"])
    assert capsys.readouterr().out.startswith("usage: mnist-idx verify")


# Pictures that preview may replace


def test_preview_replaces_its_own_picture(capsys: Capsys) -> None:
    assert main(["preview", "tiny"]) == 0
    assert main(["preview", "tiny", "-n", "3"]) == 0
    images, labels = load_arrays("mnist_idx", "tiny")
    with Image.open("tiny.png") as picture:
        assert picture.tobytes() == contact_sheet(images, labels, num=3).tobytes()


def write_other_picture(path: Path) -> None:
    Image.new("L", (4, 4)).save(path)


def write_picture_of_another_program(path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "other")
    Image.new("L", (4, 4)).save(path, "PNG", pnginfo=info)


def write_text(path: Path) -> None:
    path.write_text("no picture")


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(write_other_picture, id="a picture"),
        pytest.param(write_picture_of_another_program, id="a picture of another program"),
        pytest.param(write_text, id="a text"),
        pytest.param(Path.mkdir, id="a folder"),
    ],
)
def test_preview_replaces_nothing_else(write: Callable[[Path], None], capsys: Capsys) -> None:
    path = Path("tiny.png")
    write(path)
    before = path.read_bytes() if path.is_file() else None
    assert main(["preview", "tiny"]) == 1
    said = capsys.readouterr().err
    assert "tiny.png: exists already, and is no PNG file of a preview." in said
    assert "--output" in said and "--overwrite" in said
    assert path.is_dir() or path.read_bytes() == before


# The environment


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        pytest.param(errno.ENOSPC, "Make room there, or set cache_dir= or ", id="full"),
        pytest.param(errno.EROFS, "The disk is read-only. Set cache_dir= or ", id="read-only"),
        pytest.param(errno.EACCES, "You may not write there. Set cache_dir= or ", id="no right"),
        pytest.param(errno.EMFILE, "raise `ulimit -n`. Else set cache_dir= or ", id="open files"),
        pytest.param(errno.ENXIO, ": broken. Set cache_dir= or ", id="anything else"),
    ],
)
def test_each_failure_of_the_disk_has_its_own_advice(number: int, advice: str) -> None:
    error = disk_error("/cache: broken.", OSError(number, "broken"))
    assert f"{advice}the environment variable HF_HOME to a folder on another disk." in str(error)
    assert "cache_dir" not in error.for_command_line()


@pytest.mark.parametrize("variable", ["HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"])
def test_the_variable_that_keeps_offline_is_named(variable: str, monkeypatch: Patch) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "1")
    with pytest.raises(IdxError, match=f"\nUnset {variable}, which keeps this offline. Ways out:"):
        load_arrays("mnist_idx", "kmnist", streaming=True)


# Folders by their plain names


@pytest.fixture
def own_folders() -> None:
    """Folders of IDX files whose names resemble those of published datasets."""
    for name in ("letters", "my_idx", "tiny"):
        write_idx((random_images(3, 5, 4), random_labels(3)), name)


@pytest.mark.usefixtures("own_folders")
@pytest.mark.parametrize("name", ["letters", "my_idx", "tiny"])
def test_a_folder_of_ones_own_is_meant_before_what_resembles_it(name: str) -> None:
    advice = f'load_arrays("idxfolder", data_dir="{name}")'
    with pytest.raises(IdxError, match=re.escape(f"Did you mean {advice}")):
        load_arrays(name)
    images, _ = eval(advice, {"load_arrays": load_arrays})
    assert images.shape == (3, 5, 4)


@pytest.mark.usefixtures("own_folders")
def test_load_dataset_tells_of_idxfolder_for_a_folder() -> None:
    advice = 'load_dataset("idxfolder", data_dir="letters")'
    with pytest.raises(FileNotFoundError, match=re.escape(f"If it holds IDX files: {advice}.")):
        load_dataset("letters")
    assert eval(advice, {"load_dataset": load_dataset}).num_rows == {"train": 3}


@pytest.mark.usefixtures("own_folders")
@pytest.mark.parametrize("load", [load_dataset, load_arrays])
def test_a_folder_in_place_of_a_config(load: Callable[..., Any]) -> None:
    with pytest.raises(IdxError, match=re.escape('Did you mean data_dir="letters"?')):
        load("idxfolder", "letters")


def test_python_adds_no_second_question() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = mnist_idx.load_array
    printed = "".join(traceback.format_exception(caught.value))
    assert printed.count("Did you mean") == 1


def test_arrays_in_place_of_a_name_are_not_printed() -> None:
    with pytest.raises(IdxError, match=r"^ndarray of the shape \(60000, 28, 28\): expected"):
        load_arrays(np.zeros((60_000, 28, 28), np.uint8))
