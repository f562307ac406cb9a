"""The contact sheet, judged by its pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from idx_files import random_images, random_labels, to_idx, write_archive
from PIL import Image

from mnist_idx.cli import main
from mnist_idx.idx import IdxError
from mnist_idx.preview import GAP, MARGIN, contact_sheet, displayable


def tile(sheet, row, column, size, pitch):
    top, left = MARGIN + row * pitch[0], MARGIN + column * pitch[1]
    return np.asarray(sheet)[top : top + size[0], left : left + size[1]]


def caption_area(sheet, index, columns):
    """The pixels under image `index` of a sheet of 28 x 28 images with captions."""
    row, column = divmod(index, columns)
    top = MARGIN + row * (112 + 26 + GAP) + 112 + 1
    left = MARGIN + column * (112 + GAP)
    return np.asarray(sheet)[top : top + 25, left - GAP // 2 : left + 112 + GAP // 2]


def test_every_pixel_becomes_a_sharp_square():
    images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    sheet = contact_sheet(images, columns=3)
    for index, image in enumerate(images):
        drawn = tile(sheet, *divmod(index, 3), (112, 112), (112 + GAP, 112 + GAP))
        expected = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1)
        assert (drawn == expected[..., None]).all()


def test_colour_is_kept():
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 14, 3), dtype=np.uint8)
    sheet = contact_sheet(images, columns=2)
    drawn = tile(sheet, 0, 1, (64, 112), (64 + GAP, 112 + GAP))
    assert (drawn == np.repeat(np.repeat(images[1], 8, axis=0), 8, axis=1)).all()


def test_labels_are_written_under_their_images():
    images = np.zeros((4, 28, 28), dtype=np.uint8)
    sheet = contact_sheet(images, [3, 8, 3, 1], columns=2)
    three, eight, again, one = (caption_area(sheet, index, 2) for index in range(4))
    assert (three == again).all()
    assert (three != eight).any()
    assert (eight != one).any()
    # Legible: dark ink on white, in letters of a readable height.
    inked = np.flatnonzero((three < 100).all(axis=2).any(axis=1))
    assert np.ptp(inked) + 1 >= 10
    without = contact_sheet(images, columns=2)
    assert without.height < sheet.height


def test_names_replace_numbers():
    images = np.zeros((1, 28, 28), dtype=np.uint8)

    def captioned(label, names=None):
        return np.asarray(contact_sheet(images, [label], names)).tobytes()

    assert captioned(1, ["Coat", "Bag"]) != captioned(1)
    assert captioned(5, ["Coat", "Bag"]) == captioned(5), "a class without a name is written as its number"
    assert captioned(-1, ["Coat", "Bag"]) == captioned(-1)
    assert captioned(0, ["é"]) == captioned(0, ["e"])
    assert captioned(0, ["\N{HIRAGANA LETTER A} - a"]) == captioned(0, ["a"])
    assert captioned(0, ["\N{HIRAGANA LETTER A}"]) == captioned(0, None), "nothing to draw: the number"
    assert captioned(0, ["two\nlines"]) == captioned(0, ["two lines"])


def test_long_names_stay_within_their_column():
    images = np.zeros((4, 28, 28), dtype=np.uint8)
    sheet = contact_sheet(images, [0, 0, 0, 0], ["W" * 300], columns=2)
    pixels = np.asarray(sheet)
    gap = MARGIN + 112 + GAP // 2
    assert (pixels[:, gap - 1 : gap + 1] == 255).all()
    assert (caption_area(sheet, 0, 2) < 100).any()


def test_labels_of_several_numbers_show_the_first():
    images = np.zeros((2, 28, 28), dtype=np.uint8)
    wide = contact_sheet(images, np.array([[7, 4, 2349], [2, 1, 30]]))
    assert wide.tobytes() == contact_sheet(images, [7, 2]).tobytes()


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (3, 50, 50), (3, 28, 1), (2, 513, 3), (2, 3, 513), (1, 600, 400, 3), (26, 28, 28)]
)
def test_odd_shapes(shape):
    sheet = contact_sheet(np.full(shape, 90, dtype=np.uint8), np.arange(shape[0]))
    assert (np.asarray(sheet) == 90).all(axis=2).any()
    assert max(sheet.size) < 1000


def test_columns_and_cell():
    images = np.zeros((25, 28, 28), dtype=np.uint8)
    square = contact_sheet(images)
    assert square.width == square.height == 2 * MARGIN + 5 * 112 + 4 * GAP
    assert contact_sheet(images, columns=25).height == 2 * MARGIN + 112
    assert contact_sheet(images, columns=100).width == contact_sheet(images, columns=25).width
    assert contact_sheet(images, cell=28 * 7 + 5, columns=1).width == 2 * MARGIN + 28 * 7


def test_no_records():
    assert contact_sheet(np.zeros((0, 28, 28), dtype=np.uint8), []).size > (0, 0)


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (np.array([[[0.0, 0.5, 1.0]]]), [0, 128, 255]),
        (np.array([[[0, 5, 10]]], dtype=np.int32), [0, 128, 255]),
        (np.array([[[-1.0, 0.0, 1.0]]], dtype=np.float32), [0, 128, 255]),
        (np.array([[[False, True, True]]]), [0, 255, 255]),
        (np.array([[[np.nan, np.inf, -np.inf, 2.0, 4.0]]]), [0, 255, 0, 0, 255]),
        (np.array([[[7, 7, 7]]], dtype=np.int16), [0, 0, 0]),
        (np.array([[[-1.7e308, 1.7e308]]]), [0, 255]),
    ],
)
def test_other_types_are_scaled(images, expected):
    assert displayable(images).ravel().tolist() == expected


@settings(max_examples=60, deadline=None)
@given(
    npst.arrays(
        dtype=st.sampled_from(["uint8", "int8", "int16", "int32", "float32", "float64", "bool", "int64", "uint64"]),
        shape=st.one_of(
            st.tuples(st.integers(0, 4), st.integers(1, 40), st.integers(1, 40)),
            st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
        ),
    ),
    st.lists(st.text(max_size=30), max_size=3),
)
def test_anything_is_drawn(images, names):
    sheet = contact_sheet(images, np.arange(len(images)), names)
    assert sheet.mode == "RGB"


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        (np.zeros((2, 28, 28)), [1], {}, "2 images, 1 labels"),
        (np.zeros((2, 28)), None, {}, r"\(N, rows, cols\).*not \(2, 28\)"),
        (np.zeros((2, 28, 28, 4)), None, {}, r"not \(2, 28, 28, 4\)"),
        (np.zeros((2, 0, 28)), None, {}, "no pixels"),
        (np.zeros((2, 8, 8), dtype="S1"), None, {}, "hold numbers"),
        (np.zeros((2, 8, 8)), None, {"columns": 0}, "at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_said(images, labels, options, message):
    with pytest.raises(IdxError, match=message):
        contact_sheet(images, labels, **options)


# --- the command line ----------------------------------------------------------------------------------------------

FILES = {
    "digits": {"train-images-idx3-ubyte": random_images(40, 28, 28), "train-labels-idx1-ubyte": random_labels(40)},
    "colour": {"train-images-idx4-ubyte": random_images(7, 20, 30, 3), "train-labels-idx1-ubyte": random_labels(7)},
    "numbers": {"train-images-idx3-float": np.random.default_rng(0).normal(size=(7, 8, 9)).astype(np.float32)},
    "thin": {"test-images-idx3-ubyte": random_images(5, 513, 3), "test-labels-idx1-ubyte": random_labels(5)},
    "nothing": {"train-images-idx3-ubyte": random_images(0, 28, 28), "train-labels-idx1-ubyte": random_labels(0)},
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("form", ["folder", "set.tar"])
def test_any_source_is_drawn(tmp_path, monkeypatch, capsys, name, form):
    monkeypatch.chdir(tmp_path)
    source = write_archive(tmp_path / form, {file: to_idx(array) for file, array in FILES[name].items()})
    split = "test" if name == "thin" else "train"
    assert main(["preview", str(source), "--split", split, "--output", "sheet.png"]) == 0
    images, *labels = FILES[name].values()
    with Image.open(tmp_path / "sheet.png") as sheet:
        expected = contact_sheet(images[:25], labels[0][:25] if labels else None)
        assert sheet.tobytes() == expected.tobytes()
    printed = capsys.readouterr().out
    assert f"{split}: {len(images)} records" in printed


def test_one_of_several_data_sets_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    files = {f"{name}-{file}": to_idx(array) for name in ("one", "two") for file, array in FILES["digits"].items()}
    source = str(write_archive(tmp_path / "set.tar", files))
    assert main(["preview", source]) == 1
    assert 'data_set="one"' in capsys.readouterr().err
    assert main(["preview", source, "--data-set", "two", "--num", "3"]) == 0
    assert (tmp_path / "digits.png").exists()
    assert main(["preview", source, "--data-set", "two", "--split", "test"]) == 1
    assert "expected one of train" in capsys.readouterr().err
