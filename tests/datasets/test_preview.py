"""The contact sheet, judged by its pixels, and the same as text."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Array2D, Dataset, Features, Value
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from pictures import pictures
from PIL import Image

from mnist_idx import IdxError, contact_sheet
from mnist_idx.tools.cli import main
from mnist_idx.tools.pixels import displayable
from mnist_idx.tools.preview import CAPTION_HEIGHT, GAP, MARGIN, summarize, text_sheet

Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
BLACK = np.zeros((4, 28, 28), np.uint8)
IMAGES, LABELS = random_images(40, 28, 28), random_labels(40)
NAMES = [f"class {number}" for number in range(10)]
TILE = 112  # pixels of an image of 28 x 28 on a sheet


def caption(sheet: Image.Image, index: int) -> np.ndarray:
    """The pixels under one image on a sheet of 28 x 28 images in two columns, with captions."""
    row, column = divmod(index, 2)
    top = MARGIN + row * (TILE + CAPTION_HEIGHT + GAP) + TILE + 1
    left = MARGIN + column * (TILE + GAP)
    bottom, right = top + CAPTION_HEIGHT - 1, left + TILE + GAP // 2
    return np.asarray(sheet)[top:bottom, left - GAP // 2 : right]


# Pixels


@pytest.mark.parametrize(
    ("images", "factor"),
    [
        pytest.param(random_images(6, 28, 28), 4, id="gray-4-times-as-large"),
        pytest.param(random_images(6, 8, 14, 3), 8, id="color-8-times-as-large"),
    ],
)
def test_every_pixel_becomes_a_sharp_square(images: np.ndarray, factor: int) -> None:
    sheet = np.asarray(contact_sheet(images, columns=3))
    is_gray = images.ndim == 3
    for index, image in enumerate(images[..., None] if is_gray else images):
        expected = image.repeat(factor, 0).repeat(factor, 1)
        height, width = expected.shape[:2]
        row, column = divmod(index, 3)
        top, left = MARGIN + row * (height + GAP), MARGIN + column * (width + GAP)
        assert (sheet[top : top + height, left : left + width] == expected).all()


def test_a_frame_shows_where_a_white_image_ends() -> None:
    white = np.full((1, 28, 28), 255, np.uint8)
    pixels = np.asarray(contact_sheet(white, cell=28))
    frame = np.argwhere((pixels != 255).any(axis=2))
    assert len(frame) == 4 * 29
    assert (frame.max(axis=0) - frame.min(axis=0)).tolist() == [29, 29]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param((1, 1, 1), id="one-pixel"),
        pytest.param((3, 50, 50), id="larger-than-mnist"),
        pytest.param((3, 28, 1), id="one-column"),
        pytest.param((2, 513, 3), id="tall"),
        pytest.param((2, 3, 513), id="wide"),
        pytest.param((1, 600, 400, 3), id="large-in-color"),
        pytest.param((26, 28, 28), id="one-more-than-25"),
    ],
)
def test_a_sheet_of_odd_shapes_shows_them_and_stays_small(shape: tuple[int, ...]) -> None:
    images = np.full(shape, 90, dtype=np.uint8)
    sheet = contact_sheet(images, np.arange(len(images)))
    assert (np.asarray(sheet) == 90).all(axis=2).any()
    assert max(sheet.size) < 1000


@pytest.mark.parametrize(
    ("pixels", "dtype", "expected"),
    [
        pytest.param([0.0, 0.5], "float64", [0, 128], id="floats-from-0-to-1"),
        pytest.param([0, 5, 10], "int32", [0, 128, 255], id="integers"),
        pytest.param([-1.0, 0.0, 1.0], "float32", [0, 128, 255], id="floats-from-minus-1"),
        pytest.param([False, True, True], "bool", [0, 255, 255], id="booleans"),
        pytest.param(
            [np.nan, np.inf, -np.inf, 2.0, 4.0], "float64", [0, 255, 0, 0, 255], id="no-numbers"
        ),
        pytest.param([7, 7, 7], "int16", [0, 0, 0], id="all-the-same"),
        pytest.param([-1.7e308, 1.7e308], "float64", [0, 255], id="difference-that-overflows"),
        pytest.param([3, 200], "uint8", [3, 200], id="bytes-as-they-are"),
    ],
)
def test_other_types_are_scaled(pixels: list[Any], dtype: str, expected: list[int]) -> None:
    assert displayable(np.array([[pixels]], dtype)).ravel().tolist() == expected


# Captions


def test_labels_are_written_under_their_images() -> None:
    sheet = contact_sheet(BLACK, [3, 8, 3, 1], columns=2)
    three, eight, again, one = (caption(sheet, index) for index in range(4))
    assert (three == again).all()
    assert (three != eight).any()
    assert (eight != one).any()


def test_a_sheet_without_labels_has_no_captions() -> None:
    with_labels = contact_sheet(BLACK, [3, 8, 3, 1], columns=2)
    without = contact_sheet(BLACK, columns=2)
    assert without.height == with_labels.height - 2 * CAPTION_HEIGHT


def captioned(label: Any, names: list[str] | None = None) -> bytes:
    """The pixels of a sheet of one image."""
    return contact_sheet(BLACK[:1], [label], names).tobytes()


def test_a_name_replaces_the_number() -> None:
    assert captioned(1, ["Coat", "Bag"]) != captioned(1)


@pytest.mark.parametrize(
    ("label", "names"),
    [
        pytest.param(2, ["Coat", "Bag"], id="no-such-class"),
        pytest.param(-1, ["Coat", "Bag"], id="negative-class"),
        pytest.param(0, ["é"], id="letter-that-the-font-has-not"),
        pytest.param(0, [" "], id="space"),
        pytest.param(0, ["\0"], id="control-character"),
    ],
)
def test_a_class_without_a_name_that_can_be_drawn_is_its_number(
    label: int, names: list[str]
) -> None:
    assert captioned(label, names) == captioned(label)


def test_a_line_break_in_a_name_is_a_space() -> None:
    assert captioned(0, ["two\nlines"]) == captioned(0, ["two lines"])


def test_of_a_label_of_several_parts_the_class_is_drawn() -> None:
    parts = np.array([[7, 4, 2349], [2, 1, 30]])
    assert contact_sheet(BLACK[:2], parts).tobytes() == contact_sheet(BLACK[:2], [7, 2]).tobytes()


@pytest.mark.parametrize("length", [14, 300])
def test_a_long_name_stays_within_its_column(length: int) -> None:
    sheet = contact_sheet(BLACK, [0] * 4, ["W" * length], columns=2)
    gap = MARGIN + TILE + GAP // 2
    assert (np.asarray(sheet)[:, gap - 1 : gap + 1] == 255).all()
    assert (caption(sheet, 0) < 100).any()


# Columns and cells

TWENTY_FIVE = np.zeros((25, 28, 28), np.uint8)


def test_a_sheet_is_a_square_of_columns_and_rows() -> None:
    square = contact_sheet(TWENTY_FIVE)
    assert square.width == square.height == 2 * MARGIN + 5 * TILE + 4 * GAP


def test_as_many_columns_as_images_are_one_row() -> None:
    assert contact_sheet(TWENTY_FIVE, columns=25).height == 2 * MARGIN + TILE


def test_more_columns_than_images_are_as_many_as_images() -> None:
    wide = contact_sheet(TWENTY_FIVE, columns=100)
    assert wide.width == contact_sheet(TWENTY_FIVE, columns=25).width


def test_a_cell_has_as_many_whole_pixels_as_fit() -> None:
    sheet = contact_sheet(TWENTY_FIVE, cell=28 * 7 + 5, columns=1)
    assert sheet.width == 2 * MARGIN + 28 * 7


def test_num_images_are_drawn() -> None:
    three = contact_sheet(IMAGES, num=3, columns=3)
    assert three.tobytes() == contact_sheet(IMAGES[:3], columns=3).tobytes()


def test_no_images_are_a_sheet_as_well() -> None:
    assert contact_sheet(BLACK[:0], []).size > (0, 0)


def test_a_notebook_shows_a_sheet() -> None:
    assert contact_sheet(TWENTY_FIVE)._repr_png_().startswith(b"\x89PNG")


# Sources

DATASET = pictures(IMAGES, LABELS, NAMES)
OTHER_COLUMNS = DATASET.rename_columns({"image": "picture", "label": "digit"})


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(DATASET, id="dataset"),
        pytest.param(DATASET.to_iterable_dataset(), id="stream"),
        pytest.param(DATASET.with_format("numpy"), id="dataset-as-numpy"),
        pytest.param(OTHER_COLUMNS, id="columns-of-other-names"),
    ],
)
def test_a_dataset_is_drawn_with_the_names_of_its_classes(source: Any) -> None:
    expected = contact_sheet(IMAGES[:25], LABELS[:25], NAMES)
    assert contact_sheet(source).tobytes() == expected.tobytes()


def test_a_pair_of_arrays_is_drawn() -> None:
    expected = contact_sheet(IMAGES[:25], LABELS[:25], NAMES)
    assert contact_sheet((IMAGES, LABELS), names=NAMES, num=25).tobytes() == expected.tobytes()


def test_a_dataset_of_arrays_is_drawn() -> None:
    features = Features({"image": Array2D((28, 28), "int16"), "label": Value("int64")})
    integers = IMAGES.astype("int16")
    source = Dataset.from_dict({"image": integers, "label": LABELS}, features=features)
    expected = contact_sheet(integers[:5], LABELS[:5])
    assert contact_sheet(source, num=5).tobytes() == expected.tobytes()


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_pictures_of_any_mode_are_drawn(mode: str) -> None:
    source = pictures([Image.fromarray(IMAGES[0]).convert(mode)])
    assert contact_sheet(source).tobytes() == contact_sheet(IMAGES[:1]).tobytes()


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        pytest.param(BLACK, {"labels": [1]}, "4 images and 1 labels", id="labels-too-few"),
        pytest.param(BLACK[0], {}, r"\(N, rows, cols\).*\(28, 28\)", id="a-single-image"),
        pytest.param(np.zeros((2, 28, 28, 4)), {}, r"\(2, 28, 28, 4\)", id="four-channels"),
        pytest.param(np.zeros((2, 0, 28)), {}, "numbers", id="images-without-rows"),
        pytest.param(np.zeros((2, 8, 8), "S1"), {}, "numbers", id="images-of-texts"),
        pytest.param(BLACK, {"columns": 0}, "columns=0", id="no-columns"),
        pytest.param(BLACK, {"cell": 0.5}, r"cell=0\.5", id="half-a-pixel"),
        pytest.param(BLACK, {"num": -1}, "num=-1", id="negative-number"),
        pytest.param(None, {}, r"found NoneType, expected a split", id="nothing"),
        pytest.param("digits.png", {}, r"found the text 'digits.png'", id="a-path"),
        pytest.param(
            {"train": BLACK, "test": BLACK},
            {},
            r'train, test.*dataset\["train"\]',
            id="several-splits",
        ),
        pytest.param(
            pictures([Image.fromarray(random_images(2, 2)), Image.fromarray(random_images(2, 3))]),
            {},
            "size",
            id="images-of-two-sizes",
        ),
    ],
)
def test_what_cannot_be_drawn(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(IdxError, match=message):
        contact_sheet(source, **options)


# Text

DRAWN = np.array([[0, 25, 26, 255], [0, 0, 0, 0], [130, 0, 0, 0]], np.uint8)


def test_an_image_as_text_has_a_line_for_two_rows() -> None:
    source = (np.stack([DRAWN] * 3), [5, 6, 7])
    assert text_sheet(source, 2) == "5\n  .@\n+\n\n6\n  .@\n+"


def test_a_color_image_as_text_is_gray() -> None:
    color = np.repeat(DRAWN[None, ..., None], 3, axis=3)
    assert text_sheet(color, 1) == "\n  .@\n+"


def test_a_wide_image_as_text_fits_a_line() -> None:
    source = (np.full((1, 2, 200), 255, np.uint8), [0])
    lines = text_sheet(source, 1).splitlines()
    assert 60 < len(lines[1]) <= 80


def test_no_images_as_text_are_said_to_be_none() -> None:
    assert text_sheet(BLACK[:0], 3) == "no records"


def test_the_summary_counts_the_records_of_each_class() -> None:
    names = ["unused", *(f"letter {number}" for number in range(7))]
    split = pictures(BLACK, [1, 1, 7, 3], names)
    split.info.description = "Letters."
    lines = summarize({"train": split, "test": split.select([])}, 30).splitlines()
    assert lines[:4] == [
        "Letters.",
        "train: 4 records of 28x28",
        "  letter 0: 2, letter 2: 1,",
        "  letter 6: 1",
    ]
    (last,) = lines[4:]
    assert last.startswith("test: 0 records")


# The command

FLOATS = np.random.default_rng(0).normal(size=(7, 8, 9)).astype(np.float32)
each_source = pytest.mark.parametrize(
    ("name", "split", "images", "labels"),
    [
        pytest.param("digits.tar.gz", "train", IMAGES, LABELS, id="compressed-tar"),
        pytest.param("numbers", "train", FLOATS, None, id="folder-of-floats-without-labels"),
        pytest.param(
            "thin", "test", random_images(5, 513, 3), random_labels(5), id="folder-of-thin-images"
        ),
        pytest.param("nothing", "train", BLACK[:0], random_labels(0), id="folder-of-no-records"),
    ],
)


def write_source(path: Path, split: str, images: np.ndarray, labels: np.ndarray | None) -> None:
    """Write the files of one split as a folder or an archive."""
    files = {f"{split}-images-idx": to_idx(images)}
    if labels is not None:
        files[f"{split}-labels-idx"] = to_idx(labels)
    write_archive(path, files)


@each_source
def test_any_source_is_drawn(
    name: str,
    split: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    tmp_path: Path,
    monkeypatch: Patch,
    capsys: Capsys,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_source(Path(name), split, images, labels)
    assert main(["preview", name, "--split", split]) == 0
    with Image.open(f"{name.partition('.')[0]}.png") as sheet:
        assert sheet.tobytes() == contact_sheet(images, labels, num=25).tobytes()
    printed = capsys.readouterr().out
    assert printed.startswith(name)
    assert f"{split}: {len(images)} records" in printed


@each_source
def test_any_source_is_drawn_as_text(
    name: str,
    split: str,
    images: np.ndarray,
    labels: np.ndarray | None,
    tmp_path: Path,
    monkeypatch: Patch,
    capsys: Capsys,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_source(Path(name), split, images, labels)
    assert main(["preview", name, "--split", split, "--num", "2", "--ascii"]) == 0
    expected = text_sheet(images if labels is None else (images, labels), 2)
    assert capsys.readouterr().out.endswith(f"\n\n{expected}\n")
    assert [path.name for path in tmp_path.iterdir()] == [name], "no picture is written"


@pytest.fixture
def tar_of_two_datasets(tmp_path: Path, monkeypatch: Patch) -> Path:
    """A tar of two datasets, "one" and "two", in the working folder."""
    monkeypatch.chdir(tmp_path)
    files = {
        f"one-{TRAIN_IMAGES}": to_idx(IMAGES),
        f"one-{TRAIN_LABELS}": to_idx(LABELS),
        f"two-{TRAIN_IMAGES}": to_idx(IMAGES),
        f"two-{TRAIN_LABELS}": to_idx(LABELS),
    }
    return write_archive(Path("set.tar"), files)


@pytest.mark.usefixtures("tar_of_two_datasets")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("set.tar", "--prefix one", id="several-datasets-without-prefix"),
        pytest.param(
            "set.tar --prefix two --split test", "--split test: .*train", id="split-that-is-missing"
        ),
        pytest.param(  # before anything is fetched
            "mnist --split validation",
            "--split validation: .*train.*test",
            id="split-that-mnist-has-not",
        ),
        pytest.param("tiny --prefix two", "--prefix two: ", id="prefix-of-a-config"),
        pytest.param("nowhere", "nowhere: no such", id="source-that-is-missing"),
        pytest.param("tiny --num 0", "--num 0: ", id="no-records"),
        pytest.param(
            "tiny --output no/such/folder.png",
            "{tmp_path}/no/such/folder.png: .*--output",
            id="output-in-a-missing-folder",
        ),
    ],
)
def test_wrong_options_of_preview(line: str, said: str, tmp_path: Path, capsys: Capsys) -> None:
    assert main(["preview", *line.split()]) == 1
    assert re.search(said.format(tmp_path=tmp_path), capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["set.tar"]


@pytest.mark.usefixtures("tar_of_two_datasets")
def test_options_of_preview_choose_dataset_records_and_picture() -> None:
    line = "preview set.tar --prefix two --num 3 --output x.png"
    assert main(line.split()) == 0
    with Image.open("x.png") as sheet:
        assert sheet.tobytes() == contact_sheet(IMAGES, LABELS, num=3).tobytes()


def test_a_picture_is_replaced_only_if_the_user_says_so(
    tmp_path: Path, monkeypatch: Patch, capsys: Capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("x.png").write_bytes(b"a picture")
    assert main(["preview", "tiny", "--output", "x.png"]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert Path("x.png").read_bytes() == b"a picture"
    assert main(["preview", "tiny", "--output", "x.png", "--overwrite"]) == 0
    assert Path("x.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
