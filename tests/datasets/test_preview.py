"""The contact sheet, judged by its pixels, and the same as text."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Array2D, Dataset, Features, Value
from idx_files import random_images, random_labels, to_idx, write_archive
from pictures import pictures
from PIL import Image

from mnist_idx import IdxError, contact_sheet
from mnist_idx.tools.cli import main
from mnist_idx.tools.pixels import displayable
from mnist_idx.tools.preview import CAPTION_HEIGHT, GAP, MARGIN, summarize, text_sheet

BLACK = np.zeros((4, 28, 28), np.uint8)


def caption(sheet: Image.Image, index: int, columns: int = 2) -> np.ndarray:
    """The pixels under one image on a sheet of 28 x 28 images with captions."""
    row, column = divmod(index, columns)
    top = MARGIN + row * (112 + CAPTION_HEIGHT + GAP) + 112 + 1
    left = MARGIN + column * (112 + GAP)
    return np.asarray(sheet)[
        top : top + CAPTION_HEIGHT - 1, left - GAP // 2 : left + 112 + GAP // 2
    ]


@pytest.mark.parametrize(("shape", "factor"), [((28, 28), 4), ((8, 14, 3), 8)])
def test_every_pixel_becomes_a_sharp_square(shape: tuple[int, ...], factor: int) -> None:
    images = random_images(6, *shape)
    sheet = np.asarray(contact_sheet(images, columns=3))
    for index, image in enumerate(images if len(shape) == 3 else images[..., None]):
        expected = image.repeat(factor, 0).repeat(factor, 1)
        top, left = (
            MARGIN + n * (side + GAP)
            for n, side in zip(divmod(index, 3), expected.shape[:2], strict=True)
        )
        assert (
            sheet[top : top + expected.shape[0], left : left + expected.shape[1]] == expected
        ).all()


def test_labels_are_written_under_their_images() -> None:
    sheet = contact_sheet(BLACK, [3, 8, 3, 1], columns=2)
    three, eight, again, one = (caption(sheet, index) for index in range(4))
    assert (three == again).all()
    assert (three != eight).any() and (eight != one).any()
    assert contact_sheet(BLACK, columns=2).height == sheet.height - 2 * CAPTION_HEIGHT


def test_names_replace_numbers_where_the_font_has_them() -> None:
    def captioned(label: Any, names: list[str] | None = None) -> bytes:
        return contact_sheet(BLACK[:1], [label], names).tobytes()

    assert captioned(1, ["Coat", "Bag"]) != captioned(1)
    for label, names in (
        (2, ["Coat", "Bag"]),
        (-1, ["Coat", "Bag"]),
        (0, ["é"]),
        (0, [" "]),
        (0, ["\0"]),
    ):
        assert captioned(label, names) == captioned(label), (
            "a class without a name is written as its number"
        )
    assert captioned(0, ["two\nlines"]) == captioned(0, ["two lines"])
    parts = np.array([[7, 4, 2349], [2, 1, 30]])
    assert contact_sheet(BLACK[:2], parts).tobytes() == contact_sheet(BLACK[:2], [7, 2]).tobytes()


@pytest.mark.parametrize("length", [14, 300])
def test_long_names_stay_within_their_column(length: int) -> None:
    sheet = contact_sheet(BLACK, [0] * 4, ["W" * length], columns=2)
    gap = MARGIN + 112 + GAP // 2
    assert (np.asarray(sheet)[:, gap - 1 : gap + 1] == 255).all()
    assert (caption(sheet, 0) < 100).any()


def test_a_frame_shows_where_a_white_image_ends() -> None:
    pixels = np.asarray(contact_sheet(np.full((1, 28, 28), 255, np.uint8), cell=28))
    frame = np.argwhere((pixels != 255).any(axis=2))
    assert len(frame) == 4 * 29
    assert (frame.max(axis=0) - frame.min(axis=0)).tolist() == [29, 29]


def test_odd_shapes() -> None:
    for shape in (
        (1, 1, 1),
        (3, 50, 50),
        (3, 28, 1),
        (2, 513, 3),
        (2, 3, 513),
        (1, 600, 400, 3),
        (26, 28, 28),
    ):
        sheet = contact_sheet(np.full(shape, 90, dtype=np.uint8), np.arange(shape[0]))
        assert (np.asarray(sheet) == 90).all(axis=2).any()
        assert max(sheet.size) < 1000


def test_columns_and_cell() -> None:
    images = np.zeros((25, 28, 28), dtype=np.uint8)
    square = contact_sheet(images)
    assert square.width == square.height == 2 * MARGIN + 5 * 112 + 4 * GAP
    assert contact_sheet(images, columns=25).height == 2 * MARGIN + 112
    assert contact_sheet(images, columns=100).width == contact_sheet(images, columns=25).width
    assert contact_sheet(images, cell=28 * 7 + 5, columns=1).width == 2 * MARGIN + 28 * 7
    assert (
        contact_sheet(images, num=3, columns=3).tobytes()
        == contact_sheet(images[:3], columns=3).tobytes()
    )
    assert contact_sheet(images[:0], []).size > (0, 0)
    assert contact_sheet(images)._repr_png_().startswith(b"\x89PNG")  # what a notebook shows


def test_datasets_and_pairs() -> None:
    images, labels = random_images(40, 28, 28), random_labels(40)
    names = [f"class {number}" for number in range(10)]
    data = pictures(images, labels, names)
    expected = contact_sheet(images[:25], labels[:25], names).tobytes()
    renamed = data.rename_columns({"image": "picture", "label": "digit"})
    for source in (data, data.to_iterable_dataset(), data.with_format("numpy"), renamed):
        assert contact_sheet(source).tobytes() == expected
    assert contact_sheet((images, labels), names=names, num=25).tobytes() == expected
    features = Features({"image": Array2D((28, 28), "int16"), "label": Value("int64")})
    arrays = Dataset.from_dict(
        {"image": images.astype("int16"), "label": labels}, features=features
    )
    assert (
        contact_sheet(arrays, num=5).tobytes()
        == contact_sheet(images[:5].astype("int16"), labels[:5]).tobytes()
    )
    modes = pictures([Image.fromarray(images[0]).convert(mode) for mode in ("RGBA", "P")])
    assert contact_sheet(modes).tobytes() == contact_sheet(np.stack([images[0]] * 2)).tobytes()


SCALED: list[tuple[Any, str, list[int]]] = [
    ([0.0, 0.5], "float64", [0, 128]),
    ([0, 5, 10], "int32", [0, 128, 255]),
    ([-1.0, 0.0, 1.0], "float32", [0, 128, 255]),
    ([False, True, True], "bool", [0, 255, 255]),
    ([np.nan, np.inf, -np.inf, 2.0, 4.0], "float64", [0, 255, 0, 0, 255]),
    ([7, 7, 7], "int16", [0, 0, 0]),
    ([-1.7e308, 1.7e308], "float64", [0, 255]),
    ([3, 200], "uint8", [3, 200]),
]


@pytest.mark.parametrize(("pixels", "dtype", "expected"), SCALED)
def test_other_types_are_scaled(pixels: list[Any], dtype: str, expected: list[int]) -> None:
    assert displayable(np.array([[pixels]], dtype)).ravel().tolist() == expected


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (np.zeros((2, 28, 28)), {"labels": [1]}, "2 images and 1 labels"),
    (np.zeros((2, 28)), {}, r"\(N, rows, cols\).*\(2, 28\)"),
    (np.zeros((2, 28, 28, 4)), {}, r"\(2, 28, 28, 4\)"),
    (np.zeros((2, 0, 28)), {}, "numbers"),
    (np.zeros((2, 8, 8), "S1"), {}, "numbers"),
    *(
        (np.zeros((2, 8, 8)), {name: n}, f"{name}={n}")
        for name, n in (("columns", 0), ("cell", 0.5), ("num", -1))
    ),
    *((source, {}, r"found \(1,\)") for source in (None, "digits.png")),
    ({"train": BLACK, "test": BLACK}, {}, r'train, test.*dataset\["train"\]'),
    (pictures([Image.fromarray(random_images(2, side)) for side in (2, 3)]), {}, "size"),
]


@pytest.mark.parametrize(("source", "options", "message"), REFUSED)
def test_what_cannot_be_drawn(source: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(IdxError, match=message):
        contact_sheet(source, **options)


def test_text_sheet() -> None:
    image = np.array([[0, 25, 26, 255], [0, 0, 0, 0], [130, 0, 0, 0]], np.uint8)
    assert text_sheet((np.stack([image] * 3), [5, 6, 7]), 2) == "5\n  .@\n+\n\n6\n  .@\n+"
    assert text_sheet(np.repeat(image[None, ..., None], 3, axis=3), 1) == "\n  .@\n+"
    wide = text_sheet((np.full((1, 2, 200), 255, np.uint8), [0]), 1).splitlines()
    assert 60 < len(wide[1]) <= 80
    assert text_sheet(BLACK[:0], 3) == "no records"


def test_summarize() -> None:
    names = ["unused", *(f"letter {number}" for number in range(7))]
    split = pictures(BLACK, [1, 1, 7, 3], names)
    split.info.description = "Letters."
    lines = summarize({"train": split, "test": split.select([])}, 30).splitlines()
    assert lines[:2] == ["Letters.", "train: 4 records of 28x28"]
    assert lines[2:4] == ["  letter 0: 2, letter 2: 1,", "  letter 6: 1"]
    assert [line.partition(" records")[0] for line in lines[4:]] == ["test: 0"]


Capsys, Patch = pytest.CaptureFixture[str], pytest.MonkeyPatch
DIGITS = {
    "train-images-idx3-ubyte": random_images(40, 28, 28),
    "train-labels-idx1-ubyte": random_labels(40),
}
SOURCES: dict[str, dict[str, np.ndarray]] = {
    "digits.tar.gz": DIGITS,
    "numbers": {
        "train-images-idx3-float": np.random.default_rng(0)
        .normal(size=(7, 8, 9))
        .astype(np.float32)
    },
    "thin": {
        "test-images-idx3-ubyte": random_images(5, 513, 3),
        "test-labels-idx1-ubyte": random_labels(5),
    },
    "nothing": {
        "train-images-idx3-ubyte": random_images(0, 28, 28),
        "train-labels-idx1-ubyte": random_labels(0),
    },
}


@pytest.mark.parametrize("name", SOURCES)
def test_any_source_is_drawn(name: str, tmp_path: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.chdir(tmp_path)
    write_archive(Path(name), {file: to_idx(array) for file, array in SOURCES[name].items()})
    split = next(iter(SOURCES[name])).partition("-")[0]
    assert main(["preview", name, "--split", split]) == 0
    images, *labels = SOURCES[name].values()
    with Image.open(f"{name.partition('.')[0]}.png") as sheet:
        assert sheet.tobytes() == contact_sheet(images, *labels, num=25).tobytes()
    printed = capsys.readouterr().out
    assert printed.startswith(name) and f"{split}: {len(images)} records" in printed
    assert main(["preview", name, "--split", split, "--num", "2", "--ascii"]) == 0
    expected = text_sheet((images, *labels) if labels else images, 2)
    assert capsys.readouterr().out.endswith(f"\n\n{expected}\n")


def test_options_of_preview(tmp_path: Path, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.chdir(tmp_path)
    files = {
        f"{prefix}-{name}": to_idx(DIGITS[name]) for prefix in ("one", "two") for name in DIGITS
    }
    write_archive(Path("set.tar"), files)
    for line, said in (
        ("set.tar", "--prefix one"),
        ("set.tar --prefix two --split test", "--split test: .*train"),
        (
            "mnist --split validation",
            "--split validation: .*train.*test",
        ),  # before anything is fetched
        ("tiny --prefix two", "--prefix two: "),
        ("nowhere", "nowhere: no such"),
        ("tiny --num 0", "--num 0: "),
        ("tiny --output no/such/folder.png", f"{tmp_path}/no/such/folder.png: .*--output"),
        ("set.tar --prefix two --num 3 --output x.png", ""),
        ("tiny --output x.png", "--overwrite"),
    ):
        assert main(["preview", *line.split()]) == (said != "")
        assert re.search(said, capsys.readouterr().err)
    with Image.open("x.png") as sheet:
        assert sheet.tobytes() == contact_sheet(*DIGITS.values(), num=3).tobytes()
    assert main(["preview", "tiny", "--output", "x.png", "--overwrite"]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.tar", "x.png"]
