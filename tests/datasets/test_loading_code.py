"""What `write_idx` has written loads with the code that it gives, and else it writes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from idx_files import CODES, random_images

from mnist_idx import IdxError, write_idx
from mnist_idx.tools.cli import main
from mnist_idx.tools.columns import element_type

SPLIT_NAMES = ["train", "test", "validation", "dev", "t10k", "extra", "unlabeled", "holdout"]
SPLIT_NAMES += ["Train", "images", "labels", "train.test", "données", "1", "x" * 60]
SHAPES = [(4, 5), (1, 1), (3, 3), (4, 5, 3), (6,), (2, 3, 4, 5), (2, 1, 2, 1, 2)]
CLASS_RANGES = [(0, 9), (0, 300), (-1, -1), (-1, 9), (-(2**31), 2**31 - 1), (100_000, 100_000)]
Pair = tuple[np.ndarray, np.ndarray | None]


def run_code(code: str) -> Any:
    """The datasets that the code loads."""
    names: dict[str, Any] = {}
    exec(code, names)
    return names["ds"]


@st.composite
def pairs(draw: st.DrawFn) -> Pair:
    """Images and labels of a split."""
    count = draw(st.integers(0, 3))
    dtype = draw(st.sampled_from(["uint8", "uint8", *CODES]))
    images = draw(npst.arrays(dtype, (count, *draw(st.sampled_from(SHAPES)))))
    if draw(st.booleans()):
        return images, None
    low, high = draw(st.sampled_from(CLASS_RANGES))
    labels = np.array(draw(st.lists(st.integers(low, high), min_size=count, max_size=count)), int)
    parts = draw(st.sampled_from([0, 1, 3]))
    if parts > 0:
        labels = np.column_stack([labels, *[np.full(count, 7)] * (parts - 1)])
    return images, labels


def assert_holds(data: Dataset, images: np.ndarray, labels: np.ndarray | None) -> None:
    """Check that a split holds these records. NumPy's values are the oracle."""
    assert len(data) == len(images)
    columns = {"image"}
    if isinstance(data.features["image"], Image):
        for picture, image in zip(data["image"], images, strict=True):
            np.testing.assert_array_equal(np.asarray(picture), image)
    else:
        assert element_type(data.features["image"]) == str(images.dtype)
        found = np.array(data["image"][:], images.dtype)
        np.testing.assert_array_equal(found.reshape(images.shape), images)
    if labels is not None:
        parts = labels.reshape(len(labels), -1) if len(labels) else labels.reshape(0, 1)
        assert data["label"][:] == parts[:, 0].tolist()
        columns.add("label")
        if parts.shape[1] > 1:
            assert data["label_details"][:] == parts[:, 1:].tolist()
        columns |= set(data.features) & {"label_details"}
    assert set(data.features) == columns


@pytest.mark.slow
@settings(max_examples=2 * settings().max_examples)
@given(
    st.dictionaries(st.sampled_from(SPLIT_NAMES), pairs(), min_size=1, max_size=3),
    st.sampled_from(["my idx", "set.tar", "SET.TAR"]),
    st.booleans(),
)
def test_what_is_written_loads_with_the_code_that_is_printed(
    tmp_path_factory: pytest.TempPathFactory, splits: dict[str, Pair], name: str, compress: bool
) -> None:
    target = tmp_path_factory.mktemp("idx") / name
    if {"test", "t10k"} <= set(splits):  # one file
        del splits["t10k"]
    written = write_idx(splits, target, compress=compress)
    assert target.is_file() == (target.suffix.lower() == ".tar")
    data = run_code(written.loading_code)
    assert set(data) == set(splits)
    for split, (images, labels) in splits.items():
        assert_holds(data[split], images, labels)


NAMES = ["it's", 'a "b"', "back\\slash", "two\nlines", "\u202eright", "hf://user:word@host?x"]


@pytest.mark.parametrize("target", ["folder", "set.tar"])
def test_classes_have_their_names(target: str, tmp_path: Path) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=NAMES)})
    content = {"image": list(random_images(6, 4, 4)), "label": [0, 1, 2, 3, 4, 5]}
    data = Dataset.from_dict(content, features=features)
    code = write_idx(DatasetDict(train=data, test=data), tmp_path / target).loading_code
    assert "\u202e" not in code and "two\nlines" not in code
    loaded = run_code(code)
    assert loaded["test"].features["label"].names == NAMES
    assert loaded["train"]["label"][:] == [0, 1, 2, 3, 4, 5]


def test_unknown_test_labels_load_as_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    features = Features({"image": Image(), "label": ClassLabel(names=["cat", "dog"])})
    monkeypatch.chdir(tmp_path)
    for split, labels in (("train", [0, 1]), ("test", [-1, -1])):
        content = {"image": list(random_images(2, 4, 4)), "label": labels}
        Dataset.from_dict(content, features=features).to_parquet(f"{split}.parquet")
    files = ["--data-files", "train=train.parquet", "--data-files", "test=test.parquet"]
    assert main(["convert", "parquet", "idx", *files]) == 0
    code = capsys.readouterr().out.partition("Load with\n")[2]
    assert code.splitlines() == [
        "from mnist_idx import load_dataset",
        "from datasets import Features, Image, Value",
        'ds = load_dataset("idxfolder", data_dir="idx", '
        'features=Features({"image": Image(), "label": Value("int64")}))',
    ]
    data = run_code(code)
    assert (data["train"]["label"][:], data["test"]["label"][:]) == ([0, 1], [-1, -1])


def test_a_split_without_labels_is_loaded_beside_the_others(tmp_path: Path) -> None:
    train, test = (random_images(3, 4, 4), [0, 1, 2]), (random_images(2, 4, 4, seed=1), None)
    code = write_idx({"train": train, "test": test}, tmp_path / "idx").loading_code
    data = run_code(code)
    assert data["train"].features["label"].names == ["0", "1", "2"]
    assert list(data["test"].features) == ["image"]
    np.testing.assert_array_equal([np.asarray(row["image"]) for row in data["test"]], test[0])


NOT_LOADABLE = [
    pytest.param(np.zeros(5, np.uint8), None, r"\(5,\), expected images", id="no dimensions"),
    pytest.param(np.zeros((5, 0, 3), np.uint8), None, r"\(5, 0, 3\), .* at least 1", id="no rows"),
    pytest.param(
        np.zeros((5, 3, 0), np.uint8), None, r"\(5, 3, 0\), .* at least 1", id="no columns"
    ),
    pytest.param(np.zeros((2,) * 7, np.uint8), None, "at most 5 dimensions", id="six dimensions"),
    pytest.param(
        np.zeros((1, (1 << 25) + 1, 1), np.uint8), None, "rows in an image", id="many rows"
    ),
    pytest.param(random_images(2, 3, 3), np.zeros((2, 0), int), "the label", id="empty labels"),
    pytest.param(
        random_images(2, 3, 3), np.zeros((2, 2, 2), int), "the label", id="label matrices"
    ),
]


@pytest.mark.parametrize(("images", "labels", "said"), NOT_LOADABLE)
def test_what_could_not_be_loaded_is_not_written(
    images: np.ndarray, labels: np.ndarray | None, said: str, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=f"^split 'train'.*{said}"):
        write_idx((images, labels), tmp_path / "idx")
    assert not any(tmp_path.iterdir())


def test_no_split_is_called_all(tmp_path: Path) -> None:
    with pytest.raises(
        IdxError, match=r'means all splits to load_dataset\. Rename it: split="train"'
    ):
        write_idx((random_images(2, 3, 3), None), tmp_path / "idx", split="all")
    assert not any(tmp_path.iterdir())


ENDINGS = [".tzst", ".tbz2", ".tbz", ".txz", ".tgz", ".tar.gz", ".TAR.GZ", ".xz", ".gz", ".bz2"]
ENDINGS += [".zst", ".lzma", ".zip", ".ZIP", ".7z", ".rar", ".npz", ".csv", ".parquet", ".idx3"]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_target_that_says_to_be_something_else_is_refused(ending: str, tmp_path: Path) -> None:
    with pytest.raises(IdxError, match=r"expected a folder or a \.tar\."):
        write_idx((random_images(2, 3, 3), None), tmp_path / f"x{ending}")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["v1.2", "my.digits", "tar", "letters.bin.d", "a.tab"])
def test_other_targets_are_folders(name: str, tmp_path: Path) -> None:
    write_idx((random_images(2, 3, 3), None), tmp_path / name)
    assert (tmp_path / name).is_dir()
