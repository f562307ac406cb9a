"""What people hold as a dataset can be written. NumPy's arrays are what was meant."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Array3D, Dataset, Features, IterableDataset
from datasets import Image as ImageFeature
from idx_files import random_images, random_labels
from pictures import pictures
from PIL import Image
from written import read

from mnist_idx import IdxError, contact_sheet, load_dataset, write_idx
from mnist_idx.tools.cli import main

TRAIN = (random_images(6, 4, 5), random_labels(6))
TEST = (random_images(3, 4, 5, seed=1), random_labels(3, seed=1))
X, Y = TRAIN
FILES = {"train": "train", "test": "t10k", "validation": "validation"}
FORMS = "expected a Dataset, a pair of arrays .*, or the path of an .npz"
Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch


def assert_written(target: Path, **splits: tuple[np.ndarray, np.ndarray | None]) -> None:
    """Check the files of a target: images and labels of each split."""
    expected = {}
    for split, (images, labels) in splits.items():
        expected[f"{FILES[split]}-images-idx{images.ndim}-ubyte"] = images
        if labels is not None:
            expected[f"{FILES[split]}-labels-idx1-ubyte"] = labels
    found = read(target)
    assert set(found) == set(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


# Forms


class TorchvisionDataset:
    """As torchvision's MNIST: what it has, without what it can do."""

    def __init__(self, pair: tuple[np.ndarray, Any], train: bool | None = None) -> None:
        self.data, self.targets = pair
        if train is not None:
            self.train = train

    def __getitem__(self, index: int) -> object:
        raise AssertionError("records are not asked for one by one")

    def __len__(self) -> int:
        return len(self.data)


class Tensor:
    """What NumPy makes an array of, as tensors of PyTorch and others."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.ndim = array.ndim

    def split(self, size: int) -> list["Tensor"]:
        raise AssertionError("this is no name of a split")

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.array


BOTH = {"train": TRAIN, "test": TEST}
FORMS_OF_BOTH = [
    pytest.param((TRAIN, TEST), id="keras"),
    pytest.param([list(TRAIN), list(TEST)], id="keras as lists"),
    pytest.param((tuple(map(list, TRAIN)), TEST), id="keras with lists of arrays"),
    pytest.param({"train": list(TRAIN), "test": TEST}, id="lists in place of tuples"),
    pytest.param({"train": (X.tolist(), Y.tolist()), "test": TEST}, id="lists of numbers"),
    pytest.param({"train": TRAIN, "test": TorchvisionDataset(TEST)}, id="torchvision of a mapping"),
    pytest.param(
        {"x_train": X, "y_train": Y, "x_test": TEST[0], "y_test": TEST[1]}, id="keras' names"
    ),
    pytest.param(
        {split: dict(zip(("image", "label"), pair, strict=True)) for split, pair in BOTH.items()},
        id="mappings in a mapping",
    ),
]


@pytest.mark.parametrize("source", FORMS_OF_BOTH)
def test_two_splits_in_any_form(source: Any, tmp_path: Path) -> None:
    write_idx(source, tmp_path / "idx")
    assert_written(tmp_path / "idx", train=TRAIN, test=TEST)


FORMS_OF_ONE = [
    pytest.param(TRAIN, id="pair"),
    pytest.param(list(TRAIN), id="list"),
    pytest.param({"train": TRAIN}, id="mapping"),
    pytest.param({"images": X, "labels": Y}, id="names"),
    pytest.param({"x": X, "y": Y.tolist()}, id="short names"),
    pytest.param(TorchvisionDataset(TRAIN), id="torchvision"),
    pytest.param(TorchvisionDataset((X, Y.tolist()), train=True), id="torchvision with a list"),
    pytest.param(tuple(map(Tensor, TRAIN)), id="tensors"),
    pytest.param((X, Y[:, None]), id="labels as a column"),
    pytest.param((X.astype(np.int64), Y.astype(np.int64)), id="numbers of 64 bits"),
    pytest.param(([Image.fromarray(image) for image in X], Y), id="pictures"),
    pytest.param(Dataset.from_dict({"image": X, "label": Y}), id="array in a dataset"),
    pytest.param(Dataset.from_dict({"image": X.tolist(), "label": Y}), id="lists in a dataset"),
]


@pytest.mark.parametrize("source", FORMS_OF_ONE)
def test_one_split_in_any_form(source: Any, tmp_path: Path) -> None:
    write_idx(source, tmp_path / "idx")
    assert_written(tmp_path / "idx", train=TRAIN)


FORMS_WITHOUT_LABELS = [
    pytest.param(X, id="array"),
    pytest.param(list(X), id="list of images"),
    pytest.param(Tensor(X), id="tensor"),
    pytest.param(list(X[:2]), id="list of two images"),
    pytest.param({"train": X}, id="mapping"),
    pytest.param({"images": X}, id="name"),
    pytest.param({"train": (X, None)}, id="no labels"),
    pytest.param(Dataset.from_dict({"image": X}), id="dataset"),
]


@pytest.mark.parametrize("source", FORMS_WITHOUT_LABELS)
def test_images_alone_in_any_form(source: Any, tmp_path: Path) -> None:
    write_idx(source, tmp_path / "idx")
    count = 2 if isinstance(source, list) and len(source) == 2 else len(X)
    assert_written(tmp_path / "idx", train=(X[:count], None))


class TensorOfGpu(Tensor):
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu()")


def test_a_tensor_says_itself_why_it_is_no_array(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=r"^split 'train': the TensorOfGpu is .* Use Tensor\.cpu"):
        write_idx(TensorOfGpu(X), tmp_path / "idx")


def test_torchvision_tells_its_split(tmp_path: Path) -> None:
    write_idx(TorchvisionDataset(TEST, train=False), tmp_path / "idx")
    assert_written(tmp_path / "idx", test=TEST)


def test_joined_splits_are_train(tmp_path: Path) -> None:
    write_idx(pictures(*TRAIN, split="train+test"), tmp_path / "idx")
    assert_written(tmp_path / "idx", train=TRAIN)


def test_a_single_form_takes_the_name_of_a_split(tmp_path: Path) -> None:
    for source in (TEST, {"images": TEST[0], "labels": TEST[1]}, TorchvisionDataset(TEST)):
        write_idx(source, tmp_path / "idx", split="test", overwrite=True)
        assert_written(tmp_path / "idx", test=TEST)
    with pytest.raises(IdxError, match=r"split='test': expected none, since .*: train, test"):
        write_idx((TRAIN, TEST), tmp_path / "idx", split="test")


NPZ = {
    "keras": {"x_train": X, "y_train": Y, "x_test": TEST[0], "y_test": TEST[1]},
    "medmnist": {
        "train_images": X,
        "train_labels": Y[:, None],
        "test_images": TEST[0],
        "test_labels": TEST[1][:, None],
    },
}


@pytest.mark.parametrize("names", NPZ)
def test_npz(names: str, tmp_path: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("set.npz", **NPZ[names])
    with np.load("set.npz") as arrays:
        for source in ("set.npz", Path("set.npz"), arrays):
            write_idx(source, "idx", overwrite=True)
            assert_written(tmp_path / "idx", train=TRAIN, test=TEST)
    assert main(["convert", "set.npz", "converted"]) == 0
    assert_written(tmp_path / "converted", train=TRAIN, test=TEST)


def test_npz_of_one_split_and_of_three(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", images=X, labels=Y)
    write_idx(tmp_path / "one.npz", tmp_path / "one")
    assert_written(tmp_path / "one", train=TRAIN)
    np.savez_compressed(
        tmp_path / "three.npz", train_images=X, train_labels=Y, val_images=X, val_labels=Y, test_x=X
    )
    write_idx(tmp_path / "three.npz", tmp_path / "three")
    assert_written(tmp_path / "three", train=TRAIN, validation=TRAIN, test=(X, None))


NPZ_REFUSED = [
    pytest.param({"arr_0": X, "arr_1": Y}, "found arr_0, arr_1, expected names such", id="unnamed"),
    pytest.param(
        {"x_train": X, "y_train": Y, "y_test": Y}, "found x_train, y_train, y_test,", id="y"
    ),
    pytest.param({"x_train": X, "train_images": X}, "found x_train, train_images", id="twice"),
    pytest.param({"images": np.array([X, None], object)}, "cannot be read", id="objects"),
    pytest.param({}, "found nothing", id="empty"),
]


@pytest.mark.parametrize(("arrays", "said"), NPZ_REFUSED)
def test_npz_that_does_not_tell_its_arrays(
    arrays: dict[str, np.ndarray], said: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "set.npz", **arrays)
    with pytest.raises(IdxError, match=said):
        write_idx(tmp_path / "set.npz", tmp_path / "idx")
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_a_file_that_is_no_npz(tmp_path: Path) -> None:
    (tmp_path / "bad.npz").write_bytes(b"no zip")
    for name, said in (("bad.npz", "cannot be read"), ("none.npz", "No such file")):
        with pytest.raises(IdxError, match=f"{name}: .*{said}"):
            write_idx(tmp_path / name, tmp_path / "idx")


NOT_UNDERSTOOD = [
    pytest.param(3, id="number"),
    pytest.param(None, id="nothing"),
    pytest.param("folder", id="path"),
    pytest.param(Path("x.csv"), id="path of csv"),
    pytest.param({"train": None}, id="nothing as a split"),
    pytest.param({"train": "x.npz"}, id="path as a split"),
    pytest.param({"train": {"a": X}}, id="mapping of unknown names"),
    pytest.param((X, Y, X, Y), id="four arrays"),
    pytest.param((None, Y), id="labels alone"),
    pytest.param(["a", "b"], id="texts"),
    pytest.param([(X[0], 1), (X[1], 2), (X[2], 0)], id="list of records"),
    pytest.param([X[0], X[1][:2], X[2]], id="images of several sizes"),
    pytest.param(iter(X), id="iterator"),
    pytest.param((X.astype(complex), Y), id="complex"),
    pytest.param((X.astype(object), Y), id="objects"),
]


@pytest.mark.parametrize("source", NOT_UNDERSTOOD)
def test_what_is_not_understood_is_an_error_that_shows_the_forms(
    source: Any, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=FORMS) as caught:
        write_idx(source, tmp_path / "idx")
    assert len(str(caught.value)) < 400
    assert not any(tmp_path.iterdir())


def test_a_table_of_pandas_becomes_a_dataset_first(tmp_path: Path) -> None:
    table = Dataset.from_dict({"label": Y, **{f"pixel{n}": X[:, 0, n % 5] for n in range(4)}})
    with pytest.raises(IdxError, match=r"table of pandas.*Dataset\.from_pandas"):
        write_idx(table.to_pandas(), tmp_path / "idx")
    write_idx(Dataset.from_pandas(table.to_pandas()), tmp_path / "idx")
    assert_written(tmp_path / "idx", train=(X[:, 0, :4].reshape(-1, 2, 2), Y))


def test_too_large_numbers_of_64_bits_are_named(tmp_path: Path) -> None:
    large = X.astype(np.int64)
    large[4, 1, 1] = 256
    write_idx((large, None), tmp_path / "idx")
    assert read(tmp_path / "idx")["train-images-idx3-short"][4, 1, 1] == 256
    with pytest.raises(IdxError, match=r"record 4 has a pixel of 256, expected 0 to 255.*int32"):
        write_idx(Dataset.from_dict({"image": large.tolist()}), tmp_path / "other")
    write_idx((np.array(large.tolist(), "int32"), None), tmp_path / "other")  # as advised
    large[0, 0, 0] = 1 << 40
    with pytest.raises(IdxError, match="split 'train': integers from 0 to 1099511627776"):
        write_idx((large, None), tmp_path / "more")


# Channels

COLOR = random_images(3, 6, 5, 3)
GRAY = COLOR[..., 0]
CHANNELS = [
    pytest.param(GRAY[..., None], GRAY, id="gray last"),
    pytest.param(GRAY[:, None], GRAY, id="gray first"),
    pytest.param(COLOR, COLOR, id="RGB last"),
    pytest.param(COLOR.transpose(0, 3, 1, 2), COLOR, id="RGB first"),
    pytest.param(COLOR[:, :3], COLOR[:, :3], id="three rows of RGB"),
    pytest.param(COLOR[:, :1], COLOR[:, :1], id="a row of RGB"),
    pytest.param(COLOR[:, :3, :, :1], COLOR[:, :3, :, 0], id="three rows of gray"),
]


@pytest.mark.parametrize(("given", "meant"), CHANNELS)
def test_channels_are_where_pictures_have_them(
    given: np.ndarray, meant: np.ndarray, tmp_path: Path
) -> None:
    name = f"train-images-idx{meant.ndim}-ubyte"
    features = Features({"image": Array3D(given.shape[1:], "uint8")})
    for source in (given, Dataset.from_dict({"image": given}, features=features)):
        written = write_idx(source, tmp_path / "idx", overwrite=True)
        np.testing.assert_array_equal(read(tmp_path / "idx")[name], meant)
        names: dict[str, Any] = {}
        exec(written.loading_code, names)
        loaded = [np.asarray(image) for image in names["ds"]["train"]["image"]]
        np.testing.assert_array_equal(loaded, meant)
    assert contact_sheet(given).tobytes() == contact_sheet(meant).tobytes()


# Columns


def test_the_only_integers_are_labels(tmp_path: Path) -> None:
    for name in ("target", "digit", "class", "y"):
        data = pictures(X).add_column(name, Y.tolist())
        for source in (data, data.to_iterable_dataset()):
            write_idx(source, tmp_path / "idx", overwrite=True)
            assert_written(tmp_path / "idx", train=TRAIN)
    undeclared = IterableDataset.from_generator(
        lambda: iter([{"picture": Image.fromarray(X[0]), "digit": 3}])
    )
    write_idx(undeclared, tmp_path / "stream")
    assert_written(tmp_path / "stream", train=(X[:1], np.array([3])))


def test_several_columns_of_integers_are_listed(tmp_path: Path) -> None:
    data = pictures(X).add_column("width", [5] * 6).add_column("digit", Y.tolist())
    with pytest.raises(IdxError, match=r"columns image, width, digit, .*label_column="):
        write_idx(data, tmp_path / "idx")
    with pytest.warns(UserWarning, match=r"^Left out: width\. .*label_column="):
        write_idx(data, tmp_path / "idx", label_column="digit")
    assert_written(tmp_path / "idx", train=TRAIN)
    with pytest.warns(UserWarning, match=r"^Left out: width, digit\."):
        write_idx(data, tmp_path / "no labels", label_column=[])
    assert_written(tmp_path / "no labels", train=(X, None))


def test_what_is_left_out_is_said(tmp_path: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.chdir(tmp_path)
    data = pictures(X).add_column("name", list("abcdef")).add_column("digit", Y.tolist())
    data.add_column("writer", Y.tolist()).to_parquet("set.parquet")
    convert = ["convert", "parquet", "idx", "--data-files", "set.parquet"]
    assert main(convert) == 1
    assert "image, name, digit, writer, expected one" in capsys.readouterr().err
    assert main([*convert, "--label-column", "digit"]) == 0
    printed = capsys.readouterr()
    assert printed.err == (
        "mnist-idx: left out: name, writer. Other columns are chosen with --image-column and "
        "--label-column.\n"
    )
    parts = ["--label-column", "digit", "--label-column", "writer", "--overwrite"]
    assert main([*convert, *parts]) == 0
    assert "train-labels-idx2-ubyte" in read(tmp_path / "idx")
    assert main([*convert, "--label-column", "", "--overwrite"]) == 0
    assert_written(tmp_path / "idx", train=(X, None))


def test_nothing_is_said_where_nothing_is_left_out(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    write_idx(pictures(X, Y.tolist()), tmp_path / "idx")
    write_idx(TRAIN, tmp_path / "arrays")
    assert [str(warning.message) for warning in recwarn if warning.category is UserWarning] == []


def test_arrays_that_are_left_out_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "set.npz", x_train=X, y_train=Y, writer=Y)
    with pytest.warns(UserWarning, match=r"^Left out: writer\."):
        write_idx(tmp_path / "set.npz", tmp_path / "idx")


# Tables of pixels


def write_csv(path: Path, header: list[str] | None, rows: np.ndarray) -> None:
    lines = [] if header is None else [",".join(header)]
    lines += [",".join(map(str, row)) for row in rows]
    path.write_text("\n".join(lines) + "\n")


SQUARE = random_images(6, 4, 4)
KAGGLE = ["label", *[f"pixel{n}" for n in range(16)]]
TABLES = [
    pytest.param(KAGGLE, id="kaggle"),
    pytest.param(["label", *[f"pixel{n}" for n in range(1, 17)]], id="from one"),
    pytest.param(
        ["label", *[f"{n // 4 + 1}x{n % 4 + 1}" for n in range(16)]], id="rows and columns"
    ),
    pytest.param(["digit", *KAGGLE[1:]], id="other name of labels"),
]


@pytest.mark.parametrize("header", TABLES)
def test_a_csv_of_pixels(header: list[str], tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    rows = np.column_stack([Y, SQUARE.reshape(6, -1)])
    write_csv(Path("train.csv"), header, rows)
    write_csv(Path("last.csv"), [*header[1:], header[0]], np.roll(rows, -1, axis=1))
    for name in ("train.csv", "last.csv"):
        for more in ([], ["--streaming"]):
            convert = ["convert", "csv", "idx", "--data-files", name, "--overwrite"]
            assert main([*convert, *more]) == 0
            assert_written(tmp_path / "idx", train=(SQUARE, Y))


def test_a_csv_of_pixels_without_labels(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.chdir(tmp_path)
    write_csv(Path("test.csv"), KAGGLE[1:], SQUARE.reshape(6, -1))
    assert main(["convert", "csv", "idx", "--data-files", "test=test.csv"]) == 0
    assert_written(tmp_path / "idx", test=(SQUARE, None))


def test_size_says_rows_and_columns_of_pixels(
    tmp_path: Path, monkeypatch: Patch, capsys: Capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    header = ["label", *[f"pixel{n}" for n in range(20)]]
    write_csv(Path("train.csv"), header, np.column_stack([Y, X.reshape(6, -1)]))
    convert = ["convert", "csv", "idx", "--data-files", "train.csv"]
    assert main(convert) == 1
    assert "20 columns of pixels, which make no square. Say rows" in capsys.readouterr().err
    assert main([*convert, "--size", "4x6"]) == 1
    assert "found 20 columns of pixels, expected 4 x 6 = 24" in capsys.readouterr().err
    assert main([*convert, "--size", "4x5"]) == 0
    assert_written(tmp_path / "idx", train=TRAIN)


def test_pixels_of_color(tmp_path: Path) -> None:
    flat = COLOR.reshape(3, -1)
    table = Dataset.from_dict({f"pixel{n:04}": flat[:, n] for n in range(90)})
    write_idx(table, tmp_path / "idx", size=(6, 5))
    assert_written(tmp_path / "idx", train=(COLOR, None))


def test_pixels_that_are_no_integers_stay_floats(tmp_path: Path) -> None:
    values = SQUARE.reshape(6, -1) / 255
    table = Dataset.from_dict({f"pixel{n}": values[:, n] for n in range(16)})
    write_idx(table, tmp_path / "idx")
    found = read(tmp_path / "idx")["train-images-idx3-double"]
    np.testing.assert_array_equal(found, SQUARE / 255)


TABLES_REFUSED = [
    pytest.param(
        "label,pixel0\n1,300\n", "record 0 has a pixel of 300, expected 0 to 255", id="300"
    ),
    pytest.param("label,pixel0\n1,2\n1,-1\n", "record 1 has a pixel of -1", id="negative"),
    pytest.param("label,pixel0\n1,a\n", "string in the column pixel0, expected pixels", id="text"),
    pytest.param("label,pixel0\n1,1\n1,\n", "record 1 has no pixel0", id="missing"),
    pytest.param("label,pixel0\n,1\n1,1\n", "record 0 has the label None", id="no label"),
    pytest.param(
        "a,b,pixel0\n1,1,1\n", "columns a, b, pixel0 to pixel0, expected", id="two labels"
    ),
    pytest.param(
        "7,0,12\n3,1,2\n", r"no line of names[^\n]*\n\(printf label; .*train-1.csv", id="header"
    ),
]


@pytest.mark.parametrize(("content", "said"), TABLES_REFUSED)
def test_a_wrong_csv_of_pixels_is_refused(
    content: str, said: str, tmp_path: Path, monkeypatch: Patch, capsys: Capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("train.csv").write_text(content)
    assert main(["convert", "csv", "idx", "--data-files", "train.csv"]) == 1
    assert re.search(said, capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["train.csv"]


@pytest.mark.slow
def test_a_csv_without_header_loads_as_advised(tmp_path: Path) -> None:
    images = random_images(4, 28, 28)
    write_csv(tmp_path / "train.csv", None, np.column_stack([Y[:4], images.reshape(4, -1)]))
    path = str(tmp_path / "train.csv")
    with pytest.raises(IdxError, match="numbers") as caught:
        write_idx(load_dataset("csv", data_files=path), tmp_path / "idx")
    advised = re.search(r"column_names=(.*)\)\.$", str(caught.value))
    assert advised is not None
    names = eval(advised[1])
    write_idx(load_dataset("csv", data_files=path, column_names=names), tmp_path / "idx")
    assert_written(tmp_path / "idx", train=(images, Y[:4]))


# Transparency


def black_ink(mode: str) -> Image.Image:
    """A black stroke on a ground that is transparent, and black where it cannot be seen."""
    alpha = np.zeros((4, 4), np.uint8)
    alpha[1:3] = 255
    alpha[3] = 51  # a fifth
    picture = Image.new("RGB", (4, 4))
    picture.putalpha(Image.fromarray(alpha))
    if mode == "P":
        indices = Image.fromarray((alpha > 51).astype(np.uint8))
        indices.putpalette([0, 0, 0, 0, 0, 0])
        indices.info["transparency"] = 0
        return indices
    return picture.convert(mode)


ON_WHITE = np.array([[255] * 4, [0] * 4, [0] * 4, [204] * 4], np.uint8)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_black_ink_on_a_transparent_ground_is_on_white(mode: str, tmp_path: Path) -> None:
    data = pictures([black_ink(mode)], [0])
    write_idx(data, tmp_path / "gray", mode="L")
    np.testing.assert_array_equal(read(tmp_path / "gray")["train-images-idx3-ubyte"][0], ON_WHITE)
    write_idx(data, tmp_path / "color", mode="RGB")
    color = read(tmp_path / "color")["train-images-idx4-ubyte"][0]
    np.testing.assert_array_equal(color, np.stack([ON_WHITE] * 3, axis=-1))
    write_idx(data, tmp_path / "black", mode="L", background=0)
    assert not read(tmp_path / "black")["train-images-idx3-ubyte"].any()
    sheet = np.asarray(contact_sheet(data, cell=4))
    on_white = np.asarray(contact_sheet(ON_WHITE[None], cell=4))
    assert (sheet == 0).sum() == (on_white == 0).sum() > 0


def test_a_palette_with_transparency(tmp_path: Path) -> None:
    black_ink("P").save(tmp_path / "ink.png", transparency=0)
    with Image.open(tmp_path / "ink.png") as picture:
        write_idx(pictures([picture]), tmp_path / "idx", mode="L")
    found = read(tmp_path / "idx")["train-images-idx3-ubyte"][0]
    assert found[:, 0].tolist() == [255, 0, 0, 255]


def test_gray_pictures_with_a_transparent_level(tmp_path: Path) -> None:
    gray = Image.fromarray(np.array([[0, 128]], np.uint8))
    gray.save(tmp_path / "gray.png", transparency=0)
    rows = {"image": [str(tmp_path / "gray.png")]}
    data = Dataset.from_dict(rows, features=Features({"image": ImageFeature()}))
    write_idx(data, tmp_path / "idx")
    assert read(tmp_path / "idx")["train-images-idx3-ubyte"].tolist() == [[[255, 128]]]


def test_background_on_the_command_line(tmp_path: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "a").mkdir(parents=True)
    black_ink("RGBA").save("photos/a/ink.png")
    convert = ["convert", "imagefolder", "idx", "--data-dir", "photos", "--mode", "L"]
    for level, corner in (("255", 255), ("0", 0), ("100", 100)):
        assert main([*convert, "--background", level, "--overwrite"]) == 0
        assert read(tmp_path / "idx")["train-images-idx3-ubyte"][0, 0, 0] == corner
    assert main([*convert, "--background", "256"]) == 1
    assert "--background 256: expected a gray level, 0 (black) to" in capsys.readouterr().err


# Names of classes


@pytest.mark.parametrize("load", [load_dataset], ids=["load_dataset"])
def test_names_of_classes_differ(load: Callable[..., Any], tmp_path: Path) -> None:
    write_idx(TRAIN, tmp_path / "idx")
    with pytest.raises(IdxError, match=r"label_names=\['a', 'a'\]: .* a name of its own"):
        load("idxfolder", data_dir=str(tmp_path / "idx"), label_names=["a", "a"])
