"""The options of both builders: what is accepted, what is refused."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from datasets import load_dataset
from idx_files import numbered_images, numbers, to_idx, write_archive

from mnist_idx import IdxError, MnistIdxConfig, load_arrays


def test_what_is_accepted() -> None:
    MnistIdxConfig(num_samples=np.int64(5), seed=np.uint8(3)).validate()  # type: ignore[arg-type]
    lengths = [
        len(load_arrays("mnist_idx", "tiny", split="test", num_samples=n)[0])
        for n in (None, 1, 200, 1000)
    ]
    assert lengths == [200, 1, 200, 200]  # a split may have fewer, if another one has as many


def test_errors_say_what_was_found() -> None:
    for name, values, expected in (
        ("num_samples", (0, 1.0, True), "an integer, at least 1"),
        ("num_shards", (0, None), "an integer, at least 1"),
        ("seed", ("1",), "an integer"),
        ("sampling", ("last",), '"first" or "uniform"'),
        ("as_array", ("no",), "True or False"),
        ("transpose", (1,), "True or False"),
    ):
        for value in values:
            with pytest.raises(IdxError) as caught:
                MnistIdxConfig(**{name: value}).validate()  # type: ignore[arg-type]
            assert str(caught.value) == f"{name}={value!r}: expected {expected}."
    with pytest.raises(IdxError, match=r"num_samples=1001: .*train 1,000, test 200"):
        load_arrays("mnist_idx", "tiny", num_samples=1001)


LARGE = 200  # images of 96 KB
SMALL = 2_500  # images of 100 bytes


@pytest.fixture
def images_of(tmp_path: Path) -> dict[str, str]:
    """Folders of large and of small images, numbered."""
    sizes = {"large": (LARGE, 310), "small": (SMALL, 10)}
    folders = {}
    for name, (count, side) in sizes.items():
        files = {"train-images": to_idx(numbered_images(count, side))}
        folders[name] = str(write_archive(tmp_path / name, files))
    return folders


@pytest.mark.parametrize(
    ("given", "written"),
    [
        pytest.param(None, 1_000, id="by default"),
        pytest.param(600, 600, id="as the user says"),
    ],
)
def test_records_that_are_written_at_once(
    given: int | None, written: int, images_of: dict[str, str], tmp_path: Path
) -> None:
    options = {} if given is None else {"writer_batch_size": given}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        data = load_dataset(
            "idxfolder",
            split="train",
            data_dir=images_of["small"],
            as_array=True,
            cache_dir=str(tmp_path / "cache"),
            **options,
        )
    chunks = data.data.column("image").chunks
    assert len(chunks[0]) == written


@pytest.mark.parametrize("name", ["small", "large"])
def test_more_records_at_once_than_arrow_can_hold(
    name: str, images_of: dict[str, str], tmp_path: Path
) -> None:
    options = {"data_dir": images_of[name], "cache_dir": str(tmp_path / "cache")}
    with pytest.warns(UserWarning, match=r"writer_batch_size=100,000,000: .* Writing [\d,]+ at"):
        data = load_dataset(
            "idxfolder", split="train", as_array=True, writer_batch_size=100_000_000, **options
        )
    assert numbers(data.with_format("numpy")) == list(range(len(data)))
    stream = load_dataset(
        "idxfolder", split="train", streaming=True, writer_batch_size=100_000_000, **options
    )
    assert numbers(stream.take(3)) == [0, 1, 2]
