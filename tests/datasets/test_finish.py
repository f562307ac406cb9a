"""What users load is refused if a checksum is wrong, once it has been read to its end."""

from collections.abc import Callable
from pathlib import Path

import pytest
from damage import falsify_crc32, flip_bits
from idx_files import TEST_IMAGES, four_files, random_images, random_labels, write_archive
from loading import MODES, refusal
from packers import PACKERS

from mnist_idx import load_arrays
from mnist_idx.catalog import DATASETS

FILES = four_files(
    (random_images(7, 5, 4), random_labels(7)),
    (random_images(6, 5, 4, seed=1), random_labels(6, seed=1)),
)
WRONG_SHA256 = "0" * 64
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


def zip_with_wrong_crc32(form: str) -> Callable[[Path], Path]:
    """Writes a zip of a form into a folder, with a wrong checksum of the test images."""

    def write(folder: Path) -> Path:
        path = write_archive(folder / form, FILES)
        falsify_crc32(path, TEST_IMAGES)
        return path

    return write


def flipped_file(compression: str, position: int, form: str = "folder") -> Callable[[Path], Path]:
    """Writes an archive into a folder, in which the test images are compressed, and flipped."""

    def write(folder: Path) -> Path:
        name = TEST_IMAGES + PACKERS[compression].suffixes[0]
        packed = PACKERS[compression].pack(FILES[TEST_IMAGES])
        others = {file: content for file, content in FILES.items() if file != TEST_IMAGES}
        return write_archive(folder / form, {**others, name: flip_bits(packed, position)})

    return write


def flipped_tar(compression: str, position: int) -> Callable[[Path], Path]:
    """Writes a compressed tar into a folder, and flips a byte of it."""

    def write(folder: Path) -> Path:
        path = write_archive(folder / f"set.tar{PACKERS[compression].suffixes[0]}", FILES)
        path.write_bytes(flip_bits(path.read_bytes(), position))
        return path

    return write


# What writes test images that are damaged near their end, into a folder.
DAMAGED_TEST_IMAGES = [
    pytest.param(zip_with_wrong_crc32("stored.zip"), id="crc32-in-a-stored-zip"),
    pytest.param(zip_with_wrong_crc32("deflated.zip"), id="crc32-in-a-deflated-zip"),
    pytest.param(flipped_file("gzip", -5), id="checksum-of-a-gzip-file"),
    pytest.param(flipped_file("gzip", -1), id="length-in-a-gzip-file"),
    pytest.param(flipped_file("gzip", -5, "set.tar"), id="checksum-of-gzip-in-a-tar"),
    pytest.param(flipped_file("gzip", -5, "set.tar.xz"), id="checksum-of-gzip-in-a-tar.xz"),
    pytest.param(flipped_file("bzip2", -3), id="checksum-of-a-bzip2-file"),
    pytest.param(flipped_file("xz", -16), id="index-of-an-xz-file"),
    pytest.param(flipped_file("xz", -1), id="footer-of-an-xz-file"),
]
# What writes a tar that is damaged near its end, into a folder.
DAMAGED_TARS = [
    pytest.param(flipped_tar("gzip", -5), id="checksum-of-a-tar.gz"),
    pytest.param(flipped_tar("gzip", -1), id="length-in-a-tar.gz"),
    pytest.param(flipped_tar("xz", -1), id="footer-of-a-tar.xz"),
    pytest.param(flipped_tar("bzip2", -3), id="checksum-of-a-tar.bz2"),
]


@each_way
@pytest.mark.parametrize("write_damaged", [*DAMAGED_TEST_IMAGES, *DAMAGED_TARS])
def test_a_wrong_checksum_is_refused(
    write_damaged: Callable[[Path], Path], way: str, tmp_path: Path
) -> None:
    path = write_damaged(tmp_path)
    message = refusal(way, "idxfolder", data_dir=str(path), splits=["test"])
    assert str(path) in message
    assert "fetch it again" in message.lower()


@pytest.mark.parametrize("write_damaged", DAMAGED_TEST_IMAGES)
def test_what_is_streamed_in_part_is_not_checked(
    write_damaged: Callable[[Path], Path], tmp_path: Path
) -> None:
    path = write_damaged(tmp_path)
    images, _ = load_arrays("idxfolder", data_dir=str(path), split="test[:2]", streaming=True)
    assert images.tobytes() == FILES[TEST_IMAGES][16 : 16 + images.nbytes]


@pytest.fixture(
    params=[
        pytest.param({"sha256": WRONG_SHA256}, id="wrong-sha256-of-the-file"),
        pytest.param({"content_sha256": WRONG_SHA256, "size": 1}, id="wrong-sha256-of-its-content"),
    ]
)
def wrong_digest(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The catalog has another digest of the test images of "tiny".

    Digests are facts of the catalog: no file can be made that has the same digest, but is another.
    """
    tiny = DATASETS["tiny"]
    images = tiny.splits["test"].images._replace(**request.param)
    test = tiny.splits["test"]._replace(images=images)
    monkeypatch.setitem(DATASETS, "tiny", tiny._replace(splits={**tiny.splits, "test": test}))


@each_way
@pytest.mark.usefixtures("wrong_digest")
def test_another_file_than_the_published_one_is_refused(way: str, tmp_path: Path) -> None:
    options = {"cache_dir": str(tmp_path)} if way == "prepared" else {}
    message = refusal(way, "mnist_idx", "tiny", splits=["test"], **options)
    assert f"expected {WRONG_SHA256}" in message
    assert "not the published file" in message
    assert TEST_IMAGES in message


@pytest.mark.usefixtures("wrong_digest")
def test_a_part_of_another_file_than_the_published_one_is_not_checked() -> None:
    images, _ = load_arrays("mnist_idx", "tiny", split="test[:100]", streaming=True)
    assert len(images) == 100
