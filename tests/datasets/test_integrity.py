"""Damaged, odd and hostile files: every record is right, or there is an `IdxError`, soon and with
little memory.
"""

from __future__ import annotations

import bz2
import functools
import gzip
import itertools
import os
import re
import struct
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import oracle
import pytest
from clients import run_client, traced_memory
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import (
    ARCHIVES,
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
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
TRAIN_FILES = {
    "train-images-idx3-ubyte": to_idx(TRAIN[0]),
    "train-labels-idx1-ubyte": to_idx(TRAIN[1]),
}
FILES = TRAIN_FILES | {IMAGES: to_idx(TEST[0]), LABELS: to_idx(TEST[1])}
TAR_BLOCK = 512

each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


def flipped(data: bytes, position: int, change: int = 0xFF) -> bytes:
    return data[:position] + bytes([data[position] ^ change]) + data[position + 1 :]


def flipped_pixel(data: bytes) -> bytes:
    """What random pixels are compressed to holds them as they are."""
    return flipped(data, data.index(TEST[0].tobytes()))


def written(content: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(content)


def folder(changed: dict[str, np.ndarray | None]) -> Callable[[Path], Any]:
    """Write a folder in which some files are others, or missing."""
    files = FILES | {
        name: b"" if array is None else to_idx(array) for name, array in changed.items()
    }
    return lambda path: write_archive(
        path, {name: content for name, content in files.items() if content}
    )


SPECIAL = {
    "symbolic link": (tarfile.SYMTYPE, "train-images-idx3-ubyte"),
    "dangling hard link": (tarfile.LNKTYPE, "nowhere"),
    "device": (tarfile.CHRTYPE, ""),
    "pipe": (tarfile.FIFOTYPE, ""),
    "sparse file": (tarfile.GNUTYPE_SPARSE, ""),
}


def special(name: str, kind: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = SPECIAL[kind]
    return info


# In a folder, in place of a file of which others remain.
UNUSABLE: dict[str, Callable[[Path], Any]] = {
    "broken link": lambda path: path.symlink_to("nowhere"),
    "pipe": lambda path: os.mkfifo(path),  # not every system has it
    "device": lambda path: path.symlink_to("/dev/zero"),
    "copy": lambda path: path.with_name(f"{path.name} (1)").touch(),
}


def replace_files(path: Path, kind: str, names: Iterable[str]) -> None:
    write_archive(path, {name: FILES[name] for name in FILES if name not in names})
    for name in names:
        UNUSABLE[kind](path / name)


@functools.cache
def stored(form: str, packing: str) -> dict[str, bytes]:
    """The compressed files, or an archive of them. It differs from one second to the next."""
    files = {f"{name}{packing}": PACKINGS[packing](content) for name, content in FILES.items()}
    with tempfile.TemporaryDirectory() as place:
        path = write_archive(Path(place) / form, files)
        return files if path.is_dir() else {form: path.read_bytes()}


WHOLE, HALF = make_tar(FILES), make_tar(TRAIN_FILES)
GZ, BZ2, XZ = (PACKINGS[ending](WHOLE) for ending in (".gz", ".bz2", ".xz"))
# Where the training files end, and what follows them is the header of a test file.
BOUNDARY = -(-len(HALF.rstrip(b"\0")) // TAR_BLOCK) * TAR_BLOCK
ENDS = {
    "cut in the padding": WHOLE[: BOUNDARY - 1],
    "cut in a header": WHOLE[: BOUNDARY + 100],
    "lone zero block": WHOLE[:BOUNDARY] + bytes(TAR_BLOCK) + WHOLE[BOUNDARY:],
    "header overwritten with zeros": WHOLE[:BOUNDARY]
    + bytes(TAR_BLOCK)
    + WHOLE[BOUNDARY + TAR_BLOCK :],
    "lone zero block at the end": WHOLE[:BOUNDARY] + bytes(TAR_BLOCK),
    "garbage for a header": WHOLE[:BOUNDARY] + b"x" * TAR_BLOCK + WHOLE[BOUNDARY + TAR_BLOCK :],
}
LOST = {"labels": ["train-labels-idx1-ubyte", LABELS], "test": [IMAGES, LABELS]}
# Writes something to a path, and what the message names.
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    **{
        f"{zip}, flipped pixel": (written(flipped_pixel(stored(zip, "")[zip])), IMAGES)
        for zip in ARCHIVES[-2:]
    },
    "tar.gz, flipped pixel": (written(flipped_pixel(gzip.compress(WHOLE, 0))), ""),
    "tar.gz, zeroed checksum": (written(GZ[:-8] + bytes(8)), ""),
    "tar.bz2, zeroed end mark": (written(BZ2[:-6] + bytes(6)), ""),
    "tar.xz, flipped checksum": (written(flipped(XZ, len(XZ) - 32)), ""),
    "tar.xz, zeroed footer": (written(XZ[:-12] + bytes(12)), ""),
    **{
        f"tar{ending}, {kind}": (written(compress(tar)), "")
        for kind, tar in ENDS.items()
        for ending, compress in (("", bytes), (".gz", gzip.compress))
    },
    **{
        f"tar, {kind}": (
            written(special(IMAGES, kind).tobuf() + special(LABELS, kind).tobuf() + HALF),
            IMAGES,
        )
        for kind in SPECIAL
    },
    **{
        f"folder, {kind} for {lost}": (
            functools.partial(replace_files, kind=kind, names=names),
            "|".join(names),
        )
        for kind in UNUSABLE
        for lost, names in LOST.items()
    },
    "empty folder": (Path.mkdir, ""),
    "negative labels": (
        folder({LABELS: np.array([0, 1, 2, -1, 1, 2], np.int8)}),
        "labels from -1 to 2,.* 99,999",
    ),
    "no classes": (
        folder({LABELS: np.array([0, 1, 2, 3, 1, 100_000], np.int32)}),
        "to 100,000,.* 99,999",
    ),
    "labels in one split only": (folder({LABELS: None}), "1 in 'train', 0 in 'test'"),
    "labels of 8 parts": (
        folder({LABELS: None, "t10k-labels-idx2-int": np.zeros((6, 8), np.int32)}),
        "8 in 'test'",
    ),
}


@each_way
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, way: str, tmp_path: Path) -> None:
    write, named = REFUSED[case]
    write(tmp_path / "data")
    message = refusal(way, "idxfolder", data_dir=str(tmp_path / "data"), splits=["all"])
    assert str(tmp_path / "data") in message and re.search(named, message)


def test_checksums_are_checked_where_several_processes_read_a_member(tmp_path: Path) -> None:
    path = write_archive(tmp_path / "stored.zip", FILES)
    path.write_bytes(flipped_pixel(path.read_bytes()))
    assert f"{IMAGES} in {path}: found crc32" in refusal(
        "prepared", "idxfolder", data_dir=str(path), num_proc=2
    )


MUTATIONS: dict[str, Callable[[bytes, int, bytes], bytes]] = {
    "flip": lambda data, at, new: flipped(data, at, new[0] or 1),
    "cut": lambda data, at, new: data[:at],
    "insert": lambda data, at, new: data[:at] + new + data[at:],
    "zero the tail": lambda data, at, new: data[:at] + bytes(len(data) - at),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", ARCHIVES)
@settings(max_examples=settings().max_examples // 4)
@given(data=st.data())
def test_damage_is_refused_or_read_as_the_standard_library_reads_it(
    form: str, packing: str, mutation: str, data: st.DataObject
) -> None:
    files = stored(form, packing)
    name = data.draw(st.sampled_from(sorted(files)))
    near_the_end = st.integers(max(0, len(files[name]) - 64), len(files[name]) - 1)
    position = data.draw(st.integers(0, len(files[name]) - 1) | near_the_end)
    damaged = MUTATIONS[mutation](
        files[name], position, data.draw(st.binary(min_size=1, max_size=600))
    )
    with tempfile.TemporaryDirectory() as place:
        path = write_archive(Path(place), files | {name: damaged})
        check_against_oracle(path if form == "folder" else path / form)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["stored.zip", "deflated.zip"])
def test_every_changed_byte_of_a_zip_directory_is_refused_or_harmless(
    form: str, tmp_path: Path
) -> None:
    content = write_archive(tmp_path / form, FILES).read_bytes()
    directory = range(content.index(b"PK\x01\x02"), len(content))
    for position, change in itertools.product(
        directory, (0x80, 0xFF, 0)
    ):  # the highest bit, all bits, a zero
        (tmp_path / form).write_bytes(flipped(content, position, change or content[position]))
        check_against_oracle(tmp_path / form)


def check_against_oracle(path: Path) -> None:
    """The package refuses an archive, or finds the splits and records that the standard library
    finds.
    """
    try:
        splits = datasets.load_dataset("idxfolder", data_dir=str(path), streaming=True)
        found = read_all("arrays", "idxfolder", splits=splits, data_dir=str(path))
    except mnist_idx.IdxError:
        return
    assert_same(found, oracle.read_splits(path))


@each_mode
@pytest.mark.parametrize(("linked", "compression"), [("train", ""), ("test", "gz")])
def test_hard_links_in_a_tar_are_resolved(
    linked: str, compression: str, mode: str, tmp_path: Path
) -> None:
    folder = write_archive(tmp_path / "folder", TRAIN_FILES)
    os.link(folder / "train-images-idx3-ubyte", folder / IMAGES)
    os.link(folder / "train-labels-idx1-ubyte", folder / LABELS)
    with tarfile.open(tmp_path / "set.tar", f"w:{compression}") as tar:
        for name in sorted(
            FILES, reverse=linked == "test"
        ):  # what comes second is a link to the first
            tar.add(folder / name, f"data/{name}")
        for kind in SPECIAL:  # what is no IDX file is ignored
            tar.addfile(special("README", kind))
    found = read_all(mode, "idxfolder", data_dir=str(tmp_path / "set.tar"))
    assert_same(found, {"train": TRAIN, "test": TRAIN})


@each_mode
def test_links_to_folders_are_followed_and_loops_end(mode: str, tmp_path: Path) -> None:
    write_archive(
        tmp_path / "data", {f"train/{name[6:]}": content for name, content in TRAIN_FILES.items()}
    )
    write_archive(tmp_path / "elsewhere", {name[5:]: FILES[name] for name in (IMAGES, LABELS)})
    (tmp_path / "data" / "test").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "train" / "loop").symlink_to(tmp_path / "data")
    assert_same(read_all(mode, "idxfolder", data_dir=str(tmp_path / "data")), BOTH)


def header(*shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


MOST = (1 << 32) - 1
# Content, and options of loading.
LYING: dict[str, tuple[bytes, dict[str, Any]]] = {
    "records of no pixels": (header(MOST, 0, 0), {"as_array": True}),
    "all records shuffled": (header(MOST, 28, 28) + bytes(100), {"seed": 1}),
    "many batches, compressed": (gzip.compress(header(1 << 24, 1 << 12, 1 << 12) + bytes(100)), {}),
    "large records": (header(MOST, 8000, 8000), {"num_samples": 10**5}),
    "no records, but too large": (header(0, 0, MOST, MOST, MOST), {"as_array": True}),
}


@each_mode
@pytest.mark.parametrize("case", LYING)
def test_headers_that_promise_too_much_take_no_memory(case: str, mode: str, tmp_path: Path) -> None:
    content, options = LYING[case]
    folder = str(write_archive(tmp_path / "folder", {"train-images-idx3-ubyte": content}))
    with traced_memory(60 << 20):
        assert "train-images" in refusal(
            mode, "idxfolder", splits=["train"], data_dir=folder, **options
        )


def test_more_records_than_memory(tmp_path: Path, hf_home: Path) -> None:
    folder = write_archive(
        tmp_path / "folder", {"train-images-idx3-ubyte": header(10**5, 250, 250)}
    )
    os.truncate(folder / "train-images-idx3-ubyte", 16 + 10**5 * 250 * 250)
    args = {"path": str(folder), "modes": ["arrays"]}
    outcome = run_client("refuse_shuffled", home=hf_home, args=args, memory=4 << 30)
    assert "memory" in outcome.result[0]
    outcome = run_client(
        "stream_shuffled", home=hf_home, args={"path": str(folder)}, memory=4 << 30
    )
    assert outcome.result == [250, 250, 250]
    assert outcome.peak < 600 << 20


@pytest.mark.slow
@pytest.mark.measures
def test_what_is_decompressed_only_to_be_skipped_is_bounded(tmp_path: Path, hf_home: Path) -> None:
    """Some 50 kB that decompress to 50 GiB of something that is not an IDX file."""
    junk = tarfile.TarInfo("junk")
    junk.size = 50 << 30
    content = (
        bz2.compress(junk.tobuf(tarfile.GNU_FORMAT))
        + 200 * bz2.compress(bytes(1 << 28))
        + bz2.compress(WHOLE)
    )
    (tmp_path / "bomb.tar.bz2").write_bytes(content)
    args = {"path": str(tmp_path / "bomb.tar.bz2"), "modes": ["arrays"]}
    outcome = run_client("refuse_shuffled", home=hf_home, args=args, memory=4 << 30)
    assert re.search(r"bomb\.tar\.bz2.*junk", outcome.result[0])
    assert outcome.peak < 400 << 20
