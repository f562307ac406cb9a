"""Damaged, odd and hostile files: every record is right, or there is an `IdxError`, soon and with
little memory.
"""

import bz2
import functools
import gzip
import os
import re
import struct
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import oracle
import pytest
from clients import run_client, traced_memory
from damage import flip_bits
from http_server import Server
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import (
    ARCHIVES,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    four_files,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import MODES, assert_same, read_all, refusal
from packers import PACKINGS

import mnist_idx

TRAIN = random_images(7, 5, 4), random_labels(7)
TEST = random_images(6, 5, 4, seed=1), random_labels(6, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
FILES = four_files(TRAIN, TEST)
TRAIN_FILES = {TRAIN_IMAGES: FILES[TRAIN_IMAGES], TRAIN_LABELS: FILES[TRAIN_LABELS]}
WHOLE_TAR = make_tar(FILES)

each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


def assert_refused(way: str, path: Path, named: str = "") -> None:
    """Reading a path is refused, with a message that has it and matches the pattern `named`."""
    message = refusal(way, "idxfolder", data_dir=str(path), splits=["all"])
    assert str(path) in message
    assert re.search(named, message)


# Damaged archives


def flip_a_test_pixel(data: bytes) -> bytes:
    """What random pixels are compressed to holds them as they are."""
    return flip_bits(data, data.index(TEST[0].tobytes()))


@each_way
@pytest.mark.parametrize("form", ["stored.zip", "deflated.zip"])
def test_a_flipped_pixel_in_a_zip_is_refused(form: str, way: str, tmp_path: Path) -> None:
    content = write_archive(tmp_path / form, FILES).read_bytes()
    path = tmp_path / "data"
    path.write_bytes(flip_a_test_pixel(content))
    assert_refused(way, path, named=TEST_IMAGES)


GZ, BZ2, XZ = gzip.compress(WHOLE_TAR), bz2.compress(WHOLE_TAR), PACKINGS[".xz"](WHOLE_TAR)


@each_way
@pytest.mark.parametrize(
    "content",
    [
        # Level 0 leaves the pixels as they are.
        pytest.param(flip_a_test_pixel(gzip.compress(WHOLE_TAR, 0)), id="pixel-flipped-in-tar.gz"),
        pytest.param(GZ[:-8] + bytes(8), id="checksum-zeroed-in-tar.gz"),
        pytest.param(BZ2[:-6] + bytes(6), id="end-mark-zeroed-in-tar.bz2"),
        pytest.param(flip_bits(XZ, -32), id="checksum-flipped-in-tar.xz"),
        pytest.param(XZ[:-12] + bytes(12), id="footer-zeroed-in-tar.xz"),
    ],
)
def test_a_damaged_compressed_tar_is_refused(content: bytes, way: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    assert_refused(way, path)


TAR_BLOCK = 512
ZERO_BLOCK = bytes(TAR_BLOCK)
# Where the padding of the training files ends, and the header of a test file follows.
BOUNDARY = WHOLE_TAR.index(TEST_IMAGES.encode())
BEFORE = WHOLE_TAR[:BOUNDARY]
HEADER = WHOLE_TAR[BOUNDARY : BOUNDARY + TAR_BLOCK]
BEHIND = WHOLE_TAR[BOUNDARY + TAR_BLOCK :]


@each_way
@pytest.mark.parametrize(
    "pack", [pytest.param(bytes, id="tar"), pytest.param(gzip.compress, id="tar.gz")]
)
@pytest.mark.parametrize(
    "tar",
    [
        pytest.param(BEFORE[:-1], id="cut-in-the-padding"),
        pytest.param(BEFORE + HEADER[:100], id="cut-in-a-header"),
        pytest.param(BEFORE + ZERO_BLOCK + HEADER + BEHIND, id="zero-block-inserted"),
        pytest.param(BEFORE + ZERO_BLOCK + BEHIND, id="header-overwritten-with-zeros"),
        pytest.param(BEFORE + ZERO_BLOCK, id="only-one-zero-block-at-the-end"),
        pytest.param(BEFORE + b"x" * TAR_BLOCK + BEHIND, id="header-overwritten-with-garbage"),
    ],
)
def test_a_tar_that_ends_too_early_is_refused(
    tar: bytes, pack: Callable[[bytes], bytes], way: str, tmp_path: Path
) -> None:
    path = tmp_path / "data"
    path.write_bytes(pack(tar))
    assert_refused(way, path)


def test_checksums_are_checked_where_several_processes_read_a_member(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "stored.zip", FILES)
    path.write_bytes(flip_a_test_pixel(path.read_bytes()))
    message = refusal("prepared", "idxfolder", data_dir=str(path), num_proc=2)
    assert f"{TEST_IMAGES} in {path}: found crc32" in message


@functools.cache
def packed_archive(form: str, suffix: str) -> dict[str, bytes]:
    """The compressed files, or an archive of them under its name.

    It is kept because it differs from one second to the next.
    """
    files = {name + suffix: PACKINGS[suffix](content) for name, content in FILES.items()}
    if form == "folder":
        return files
    with tempfile.TemporaryDirectory() as folder:
        return {form: write_archive(Path(folder) / form, files).read_bytes()}


def assert_refused_or_as_the_standard_library_reads_it(path: Path) -> None:
    """The package refuses what is at `path`, or finds the records that the oracle finds."""
    try:
        splits = datasets.load_dataset("idxfolder", data_dir=str(path), streaming=True)
        found = read_all("arrays", "idxfolder", splits=splits, data_dir=str(path))
    except mnist_idx.IdxError:
        return
    assert_same(found, oracle.read_splits(path))


def flip(data: bytes, position: int, drawn: bytes) -> bytes:
    bits = drawn[0] or 1
    return flip_bits(data, position, bits)


def cut(data: bytes, position: int, drawn: bytes) -> bytes:
    return data[:position]


def insert(data: bytes, position: int, drawn: bytes) -> bytes:
    return data[:position] + drawn + data[position:]


def zero_the_tail(data: bytes, position: int, drawn: bytes) -> bytes:
    return data[:position] + bytes(len(data) - position)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(flip, id="bits-flipped"),
        pytest.param(cut, id="cut"),
        pytest.param(insert, id="bytes-inserted"),
        pytest.param(zero_the_tail, id="tail-zeroed"),
    ],
)
@pytest.mark.parametrize("suffix", PACKINGS, ids=[f"files{suffix}" for suffix in PACKINGS])
@pytest.mark.parametrize("form", ARCHIVES)
@settings(max_examples=settings().max_examples // 4)
@given(data=st.data())
def test_damage_is_refused_or_read_as_the_standard_library_reads_it(
    form: str, suffix: str, damage: Callable[[bytes, int, bytes], bytes], data: st.DataObject
) -> None:
    files = packed_archive(form, suffix)
    name = data.draw(st.sampled_from(sorted(files)))
    size = len(files[name])
    near_the_end = st.integers(max(0, size - 64), size - 1)
    position = data.draw(st.integers(0, size - 1) | near_the_end)
    drawn = data.draw(st.binary(min_size=1, max_size=600))
    with tempfile.TemporaryDirectory() as folder:
        damaged = {**files, name: damage(files[name], position, drawn)}
        write_archive(Path(folder), damaged)
        path = Path(folder) if form == "folder" else Path(folder) / form
        assert_refused_or_as_the_standard_library_reads_it(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change_byte",
    [
        pytest.param(lambda byte: byte ^ 0x80, id="highest-bit-flipped"),
        pytest.param(lambda byte: byte ^ 0xFF, id="all-bits-flipped"),
        pytest.param(lambda byte: 0, id="zeroed"),
    ],
)
@pytest.mark.parametrize("form", ["stored.zip", "deflated.zip"])
def test_every_changed_byte_of_a_zip_directory_is_refused_or_harmless(
    form: str, change_byte: Callable[[int], int], tmp_path: Path
) -> None:
    path = write_archive(tmp_path / form, FILES)
    content = path.read_bytes()
    start_of_directory = content.index(b"PK\x01\x02")
    for position in range(start_of_directory, len(content)):
        changed = bytearray(content)
        changed[position] = change_byte(content[position])
        path.write_bytes(changed)
        assert_refused_or_as_the_standard_library_reads_it(path)


# What is there in place of an IDX file


# Type of a member of a tar, and what it links to.
MEMBERS_THAT_ARE_NO_FILES = [
    pytest.param(tarfile.SYMTYPE, TRAIN_IMAGES, id="symbolic-link"),
    pytest.param(tarfile.LNKTYPE, "nowhere", id="dangling-hard-link"),
    pytest.param(tarfile.CHRTYPE, "", id="device"),
    pytest.param(tarfile.FIFOTYPE, "", id="pipe"),
    pytest.param(tarfile.GNUTYPE_SPARSE, "", id="sparse-file"),
]


def special_member(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    """The header of a member of a tar that is no regular file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = link
    return info


@each_way
@pytest.mark.parametrize(("kind", "link"), MEMBERS_THAT_ARE_NO_FILES)
def test_what_is_no_file_in_a_tar_is_refused_in_place_of_an_idx_file(
    kind: bytes, link: str, way: str, tmp_path: Path
) -> None:
    images = special_member(TEST_IMAGES, kind, link).tobuf()
    labels = special_member(TEST_LABELS, kind, link).tobuf()
    path = tmp_path / "data"
    path.write_bytes(images + labels + make_tar(TRAIN_FILES))
    assert_refused(way, path, named=TEST_IMAGES)


def make_broken_link(path: Path) -> None:
    path.symlink_to("nowhere")


def make_pipe(path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no pipes in folders")
    os.mkfifo(path)


def make_link_to_a_device(path: Path) -> None:
    if not os.path.exists("/dev/zero"):
        pytest.skip("this system has no devices in folders")
    path.symlink_to("/dev/zero")


def make_copy(path: Path) -> None:
    path.with_name(f"{path.name} (1)").touch()


@each_way
@pytest.mark.parametrize(
    "replaced",
    [
        pytest.param((TRAIN_LABELS, TEST_LABELS), id="for-labels"),
        pytest.param((TEST_IMAGES, TEST_LABELS), id="for-a-split"),
    ],
)
@pytest.mark.parametrize(
    "replace",
    [
        pytest.param(make_broken_link, id="broken-link"),
        pytest.param(make_pipe, id="pipe"),
        pytest.param(make_link_to_a_device, id="link-to-a-device"),
        pytest.param(make_copy, id="copy-named-by-a-browser"),
    ],
)
def test_what_is_no_file_in_a_folder_is_refused_in_place_of_an_idx_file(
    replace: Callable[[Path], None], replaced: tuple[str, str], way: str, tmp_path: Path
) -> None:
    kept = {name: content for name, content in FILES.items() if name not in replaced}
    folder = write_archive(tmp_path / "data", kept)
    for name in replaced:
        replace(folder / name)
    assert_refused(way, folder, named="|".join(replaced))


@each_way
def test_an_empty_folder_is_refused(way: str, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert_refused(way, tmp_path / "data")


def write_test_labels(folder: Path, name: str, labels: np.ndarray) -> Path:
    """Write all files, with other labels of the test split."""
    test_files = {TEST_IMAGES: FILES[TEST_IMAGES], name: to_idx(labels)}
    return write_archive(folder, {**TRAIN_FILES, **test_files})


NO_CLASSES = [
    pytest.param(
        np.array([0, 1, 2, -1, 1, 2], np.int8), "from -1 to 2,.* 99,999", id="a-negative-label"
    ),
    pytest.param(
        np.array([0, 1, 2, 3, 1, 100_000], np.int32),
        "to 100,000,.* 99,999",
        id="a-label-too-large-for-a-class",
    ),
]


@pytest.mark.parametrize("way", ["prepared", "streamed", "verify"])
@pytest.mark.parametrize(("labels", "named"), NO_CLASSES)
def test_labels_that_are_no_classes_are_refused(
    labels: np.ndarray, named: str, way: str, tmp_path: Path
) -> None:
    folder = write_test_labels(tmp_path / "data", TEST_LABELS, labels)
    assert_refused(way, folder, named)


@pytest.mark.parametrize("is_remote", [False, True], ids=["local", "remote"])
@pytest.mark.parametrize(("labels", "named"), NO_CLASSES)
def test_load_arrays_takes_labels_that_are_no_classes(
    labels: np.ndarray, named: str, is_remote: bool, serve: Callable[..., Server], tmp_path: Path
) -> None:
    path = str(write_test_labels(tmp_path / "set.tar", TEST_LABELS, labels))
    if is_remote:
        path = serve({"/set.tar": Path(path)}).url("/set.tar")
    options = {"data_dir": path, "cache_dir": str(tmp_path / "cache")}
    found = read_all("arrays", "idxfolder", splits=["test"], **options)
    assert_same(found, {"test": (TEST[0], labels)})


@each_way
def test_labels_of_several_parts_in_one_split_only_are_refused(way: str, tmp_path: Path) -> None:
    labels = np.zeros((6, 8), np.int32)
    folder = write_test_labels(tmp_path / "data", "t10k-labels-idx2-int", labels)
    assert_refused(way, folder, named="8 in 'test'")


@each_way
def test_a_folder_with_labels_in_one_split_only_is_refused(way: str, tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "data", {**TRAIN_FILES, TEST_IMAGES: FILES[TEST_IMAGES]})
    assert_refused(way, folder, named="1 in 'train', 0 in 'test'")


# Links that are followed


@each_mode
@pytest.mark.parametrize("compression", [pytest.param("", id="tar"), pytest.param("gz", id="gz")])
@pytest.mark.parametrize(
    "names",
    [
        pytest.param(sorted(FILES), id="train-links-to-test"),
        pytest.param(sorted(FILES, reverse=True), id="test-links-to-train"),
    ],
)
def test_hard_links_in_a_tar_are_resolved(
    names: list[str], compression: str, mode: str, tmp_path: Path
) -> None:
    folder = write_archive(tmp_path / "folder", TRAIN_FILES)
    os.link(folder / TRAIN_IMAGES, folder / TEST_IMAGES)
    os.link(folder / TRAIN_LABELS, folder / TEST_LABELS)
    with tarfile.open(tmp_path / "set.tar", f"w:{compression}") as tar:
        for name in names:  # What comes second is written as a link to the first.
            tar.add(folder / name, f"data/{name}")
    found = read_all(mode, "idxfolder", data_dir=str(tmp_path / "set.tar"))
    assert_same(found, {"train": TRAIN, "test": TRAIN})


@each_mode
@pytest.mark.parametrize(("kind", "link"), MEMBERS_THAT_ARE_NO_FILES)
def test_what_is_no_file_in_a_tar_is_ignored_where_its_name_is_of_no_idx_file(
    kind: bytes, link: str, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(special_member("README", kind, link).tobuf() + WHOLE_TAR)
    assert_same(read_all(mode, "idxfolder", data_dir=str(path)), BOTH)


@each_mode
def test_links_to_folders_are_followed_and_loops_end(mode: str, tmp_path: Path) -> None:
    files = {
        "train/images-idx3-ubyte": FILES[TRAIN_IMAGES],
        "train/labels-idx1-ubyte": FILES[TRAIN_LABELS],
    }
    test_files = {
        "images-idx3-ubyte": FILES[TEST_IMAGES],
        "labels-idx1-ubyte": FILES[TEST_LABELS],
    }
    folder = write_archive(tmp_path / "data", files)
    elsewhere = write_archive(tmp_path / "elsewhere", test_files)
    (folder / "test").symlink_to(elsewhere)
    (folder / "train" / "loop").symlink_to(folder)
    assert_same(read_all(mode, "idxfolder", data_dir=str(folder)), BOTH)


# Bombs


def uint8_header(*shape: int) -> bytes:
    """The header of an IDX file of bytes, which may lie about what follows."""
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


MOST = (1 << 32) - 1  # of records or rows that a header can announce
LARGE_BATCHES = gzip.compress(uint8_header(1 << 24, 1 << 12, 1 << 12) + bytes(100))


@each_mode
@pytest.mark.parametrize(
    ("content", "options"),
    [
        pytest.param(uint8_header(MOST, 0, 0), {"as_array": True}, id="records-of-no-pixels"),
        pytest.param(
            uint8_header(MOST, 28, 28) + bytes(100), {"seed": 1}, id="all-records-shuffled"
        ),
        pytest.param(LARGE_BATCHES, {}, id="many-batches-compressed"),
        pytest.param(uint8_header(MOST, 8000, 8000), {"num_samples": 10**5}, id="large-records"),
        pytest.param(
            uint8_header(0, 0, MOST, MOST, MOST), {"as_array": True}, id="no-records-but-too-large"
        ),
    ],
)
def test_headers_that_promise_too_much_take_no_memory(
    content: bytes, options: dict[str, Any], mode: str, tmp_path: Path
) -> None:
    folder = str(write_archive(tmp_path / "folder", {TRAIN_IMAGES: content}))
    with traced_memory(60 << 20):
        message = refusal(mode, "idxfolder", splits=["train"], data_dir=folder, **options)
    assert "train-images" in message


@pytest.fixture
def six_gigabytes(tmp_path: Path) -> str:
    """A folder of 100,000 images of 250 by 250 pixels, all zero, which take no room on the disk."""
    folder = write_archive(tmp_path / "folder", {TRAIN_IMAGES: uint8_header(10**5, 250, 250)})
    os.truncate(folder / TRAIN_IMAGES, 16 + 10**5 * 250 * 250)
    return str(folder)


@pytest.mark.slow
def test_more_records_than_memory_are_no_arrays(six_gigabytes: str, hf_home: Path) -> None:
    args = {"path": six_gigabytes, "modes": ["arrays"]}
    outcome = run_client("refuse_shuffled", home=hf_home, args=args, memory=4 << 30)
    assert "memory" in outcome.result[0]


@pytest.mark.slow
def test_more_records_than_memory_are_streamed_shuffled(six_gigabytes: str, hf_home: Path) -> None:
    args = {"path": six_gigabytes}
    outcome = run_client("stream_shuffled", home=hf_home, args=args, memory=4 << 30)
    assert outcome.result == [250, 250, 250]
    assert outcome.peak < 600 << 20


@pytest.mark.slow
@pytest.mark.measures
def test_what_is_decompressed_only_to_be_skipped_is_bounded(tmp_path: Path, hf_home: Path) -> None:
    """Some 50 kB that decompress to 50 GiB of something that is not an IDX file."""
    junk = tarfile.TarInfo("junk")
    junk.size = 50 << 30
    header = bz2.compress(junk.tobuf(tarfile.GNU_FORMAT))
    content = 200 * bz2.compress(bytes(1 << 28))
    path = tmp_path / "bomb.tar.bz2"
    path.write_bytes(header + content + bz2.compress(WHOLE_TAR))
    args = {"path": str(path), "modes": ["arrays"]}
    outcome = run_client("refuse_shuffled", home=hf_home, args=args, memory=4 << 30)
    assert re.search(r"bomb\.tar\.bz2.*junk", outcome.result[0])
    assert outcome.peak < 400 << 20
