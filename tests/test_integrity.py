"""Damaged, odd and hostile files: every record is right, or there is an `IdxError`, soon and with little memory."""

from __future__ import annotations

import bz2
import functools
import gzip
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
from idx_files import ARCHIVES, PACKINGS, make_tar, random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal

import mnist_idx

TRAIN = random_images(7, 5, 4), random_labels(7)
TEST = random_images(6, 5, 4, seed=1), random_labels(6, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
TRAIN_FILES = {"train-images-idx3-ubyte": to_idx(TRAIN[0]), "train-labels-idx1-ubyte": to_idx(TRAIN[1])}
FILES = TRAIN_FILES | {IMAGES: to_idx(TEST[0]), LABELS: to_idx(TEST[1])}
TAR_BLOCK = 512

each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


def flipped(data: bytes, position: int, change: int = 0xFF) -> bytes:
    return data[:position] + bytes([data[position] ^ change]) + data[position + 1 :]


def flipped_pixel(data: bytes) -> bytes:
    """What random pixels are compressed to holds them as they are."""
    return flipped(data, data.index(TEST[0].tobytes()))


def spoiled(form: str, spoil: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    """Write an archive with a fault to a path."""
    return lambda path: path.write_bytes(spoil(write_archive(path.with_name(form), FILES).read_bytes()))


def folder(changed: dict[str, np.ndarray | None]) -> Callable[[Path], Any]:
    """Write a folder in which some files are others, or missing."""
    files = FILES | {name: b"" if array is None else to_idx(array) for name, array in changed.items()}
    return lambda path: write_archive(path, {name: content for name, content in files.items() if content})


SPECIAL = {
    "symbolic link": (tarfile.SYMTYPE, "train-images-idx3-ubyte"),
    "dangling hard link": (tarfile.LNKTYPE, "nowhere"),
    "device": (tarfile.CHRTYPE, ""),
    "pipe": (tarfile.FIFOTYPE, ""),
    "sparse file": (tarfile.GNUTYPE_SPARSE, ""),
}


def add_special(path: Path, kind: str, names: Iterable[str], files: dict[str, bytes]) -> None:
    """Write a tar of files, and of members of some kind."""
    path.write_bytes(make_tar(files))
    with tarfile.open(path, "a") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = SPECIAL[kind]
            tar.addfile(info)


# In a folder, in place of a file of which others remain.
UNUSABLE: dict[str, Callable[[Path], Any]] = {
    "broken link": lambda path: path.symlink_to("nowhere"),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "copy": lambda path: path.with_name(f"{path.name} (1)").touch(),
    "compressed copy": lambda path: path.with_name(f"{path.name}(1).gz").touch(),
    "zip": lambda path: path.with_name(f"{path.name}.zip").touch(),
    "zst": lambda path: path.with_name(f"{path.name}.zst").touch(),
}


def replace_files(path: Path, kind: str, names: Iterable[str]) -> None:
    write_archive(path, {name: FILES[name] for name in FILES if name not in names})
    for name in names:
        UNUSABLE[kind](path / name)


WHOLE = make_tar(FILES)
# Where the training files end, and what follows them is the header of a test file.
BOUNDARY = -(-len(make_tar(TRAIN_FILES).rstrip(b"\0")) // TAR_BLOCK) * TAR_BLOCK
ENDS = {
    "cut in the padding": WHOLE[: BOUNDARY - 1],
    "cut in a header": WHOLE[: BOUNDARY + 100],
    "lone zero block": WHOLE[:BOUNDARY] + bytes(TAR_BLOCK) + WHOLE[BOUNDARY:],
    "header overwritten with zeros": WHOLE[:BOUNDARY] + bytes(TAR_BLOCK) + WHOLE[BOUNDARY + TAR_BLOCK :],
    "lone zero block at the end": WHOLE[:BOUNDARY] + bytes(TAR_BLOCK),
    "garbage for a header": WHOLE[:BOUNDARY] + b"x" * TAR_BLOCK + WHOLE[BOUNDARY + TAR_BLOCK :],
}
LOST = {"labels": ["train-labels-idx1-ubyte", LABELS], "test": [IMAGES, LABELS]}
# Writes something to a path, and what the message names.
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "stored zip, flipped pixel": (spoiled("stored.zip", flipped_pixel), IMAGES),
    "deflated zip, flipped pixel": (spoiled("deflated.zip", flipped_pixel), IMAGES),
    "tar.gz, flipped pixel": (spoiled("set.tar", lambda tar: flipped_pixel(gzip.compress(tar, 0))), ""),
    "tar.gz, zeroed checksum": (spoiled("set.tar.gz", lambda data: data[:-8] + bytes(8)), ""),
    "tar.bz2, zeroed end mark": (spoiled("set.tar.bz2", lambda data: data[:-6] + bytes(6)), ""),
    "tar.xz, flipped checksum": (spoiled("set.tar.xz", lambda data: flipped(data, len(data) - 32)), ""),
    "tar.xz, zeroed footer": (spoiled("set.tar.xz", lambda data: data[:-12] + bytes(12)), ""),
    **{
        f"tar{ending}, {kind}": (functools.partial(Path.write_bytes, data=compress(tar)), "")
        for kind, tar in ENDS.items()
        for ending, compress in (("", bytes), (".gz", gzip.compress))
    },
    **{
        f"tar, {kind}": (functools.partial(add_special, kind=kind, names=[IMAGES, LABELS], files=TRAIN_FILES), IMAGES)
        for kind in SPECIAL
    },
    **{
        f"folder, {kind} for {lost}": (functools.partial(replace_files, kind=kind, names=names), "|".join(names))
        for kind in UNUSABLE
        for lost, names in LOST.items()
    },
    "empty folder": (Path.mkdir, ""),
    "negative labels": (folder({LABELS: np.array([0, 1, 2, -1, 1, 2], np.int8)}), "label"),
    "labels that are no classes": (folder({LABELS: np.array([0, 1, 2, 3, 1, 100_000], np.int32)}), "label"),
    "labels in one split only": (folder({LABELS: None}), "label"),
    "labels of other parts": (folder({LABELS: None, "t10k-labels-idx2-int": np.zeros((6, 8), np.int32)}), "label"),
}


@each_way
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, way: str, tmp_path: Path) -> None:
    write, named = REFUSED[case]
    write(tmp_path / "data")
    message = refusal(way, "idxfolder", data_dir=str(tmp_path / "data"), splits=["train"])
    assert str(tmp_path / "data") in message and re.search(named, message)


MUTATIONS: dict[str, Callable[[bytes, int, bytes], bytes]] = {
    "flip": lambda data, at, new: flipped(data, at, new[0] or 1),
    "cut": lambda data, at, new: data[:at],
    "insert": lambda data, at, new: data[:at] + new + data[at:],
    "zero the tail": lambda data, at, new: data[:at] + bytes(len(data) - at),
}


@functools.cache
def stored(form: str, packing: str) -> dict[str, bytes]:
    """The compressed files, or an archive of them. It differs from one second to the next."""
    files = {f"{name}{packing}": PACKINGS[packing](content) for name, content in FILES.items()}
    with tempfile.TemporaryDirectory() as place:
        path = write_archive(Path(place) / form, files)
        return files if path.is_dir() else {form: path.read_bytes()}


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
    damaged = MUTATIONS[mutation](files[name], position, data.draw(st.binary(min_size=1, max_size=600)))
    with tempfile.TemporaryDirectory() as place:
        path = write_archive(Path(place), files | {name: damaged})
        check_against_oracle(path if form == "folder" else path / form)


@pytest.mark.parametrize("change", [0x80, 0xFF, 0], ids=["highest bit", "all bits", "zero"])
@pytest.mark.parametrize("form", ["stored.zip", "deflated.zip"])
def test_every_changed_byte_of_a_zip_directory_is_refused_or_harmless(form: str, change: int, tmp_path: Path) -> None:
    content = write_archive(tmp_path / form, FILES).read_bytes()
    for position in range(content.index(b"PK\x01\x02"), len(content)):
        (tmp_path / form).write_bytes(flipped(content, position, change or content[position]))
        check_against_oracle(tmp_path / form)


def check_against_oracle(path: Path) -> None:
    """The package refuses an archive, or finds the splits and records that the standard library finds."""
    try:
        splits = datasets.load_dataset("idxfolder", data_dir=str(path), streaming=True)
        found = read_all("arrays", "idxfolder", splits=splits, data_dir=str(path))
    except mnist_idx.IdxError:
        return
    assert_same(found, oracle.read_splits(path))


@each_mode
@pytest.mark.parametrize("compression", ["", "gz"])
@pytest.mark.parametrize("linked", ["train", "test"])
def test_hard_links_in_a_tar_are_resolved(linked: str, compression: str, mode: str, tmp_path: Path) -> None:
    folder = write_archive(tmp_path / "folder", TRAIN_FILES)
    os.link(folder / "train-images-idx3-ubyte", folder / IMAGES)
    os.link(folder / "train-labels-idx1-ubyte", folder / LABELS)
    with tarfile.open(tmp_path / "set.tar", f"w:{compression}") as tar:
        for name in sorted(FILES, reverse=linked == "test"):  # what comes second is a link to the first
            tar.add(folder / name, f"data/{name}")
    with tarfile.open(tmp_path / "set.tar") as tar:
        assert sum(info.islnk() for info in tar) == 2
    found = read_all(mode, "idxfolder", data_dir=str(tmp_path / "set.tar"))
    assert_same(found, {"train": TRAIN, "test": TRAIN})


@each_mode
@pytest.mark.parametrize("kind", SPECIAL)
def test_other_tar_members_are_ignored(kind: str, mode: str, tmp_path: Path) -> None:
    add_special(tmp_path / "set.tar", kind, ["README"], FILES)
    assert_same(read_all(mode, "idxfolder", data_dir=str(tmp_path / "set.tar")), BOTH)


@each_mode
def test_links_to_folders_are_followed_and_loops_end(mode: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "data", {f"train/{name[6:]}": content for name, content in TRAIN_FILES.items()})
    write_archive(tmp_path / "elsewhere", {name[5:]: FILES[name] for name in (IMAGES, LABELS)})
    (tmp_path / "data" / "test").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "train" / "loop").symlink_to(tmp_path / "data")
    assert_same(read_all(mode, "idxfolder", data_dir=str(tmp_path / "data")), BOTH)


# Headers that promise too much, bombs


def header(*shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


MOST = (1 << 32) - 1
# Content, and options of loading.
LYING: dict[str, tuple[bytes, dict[str, Any]]] = {
    "records of no pixels": (header(MOST, 0, 0), {"as_array": True}),
    "records of no rows": (header(3 * 10**8, 0, 5), {"as_array": True}),
    "all records shuffled": (header(MOST, 28, 28) + bytes(100), {"seed": 1}),
    "the same, compressed": (gzip.compress(header(MOST, 28, 28) + bytes(1 << 20)), {"seed": 1}),
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
        assert "train-images" in refusal(mode, "idxfolder", splits=["train"], data_dir=folder, **options)


LOAD_ALL = """
from loading import MODES, refusal
result = [refusal(mode, "idxfolder", splits=["train"], data_dir=args["path"], seed=1) for mode in MODES]
"""


def test_more_records_than_memory(tmp_path: Path, hf_home: Path) -> None:
    folder = write_archive(tmp_path / "folder", {"train-images-idx3-ubyte": header(10**5, 250, 250)})
    os.truncate(folder / "train-images-idx3-ubyte", 16 + 10**5 * 250 * 250)
    outcome = run_client(LOAD_ALL, home=hf_home, args={"path": str(folder)}, memory=4 << 30)
    assert ["memory" in message for message in outcome.result] == [True] * 3
    assert outcome.peak < 600 << 20


BOMBS = ["one member", pytest.param("many members", marks=pytest.mark.slow)]
BOMBS += [pytest.param("zeros after the end mark", marks=pytest.mark.slow)]
LOAD_BOMB = "import mnist_idx\nmnist_idx.load_arrays('idxfolder', data_dir='bomb.tar.bz2')"


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_decompressed_only_to_be_skipped_is_bounded(kind: str, tmp_path: Path, hf_home: Path) -> None:
    """Some 50 kB that decompress to 50 GiB of something that is not an IDX file."""
    quarter, files = bz2.compress(bytes(1 << 28)), bz2.compress(WHOLE)
    junk = tarfile.TarInfo("junk")
    junk.size = (50 if kind == "one member" else 1) << 30
    start = bz2.compress(junk.tobuf(tarfile.GNU_FORMAT))
    content = {
        "one member": start + 200 * quarter + files,
        "many members": 50 * (start + 4 * quarter) + files,
        "zeros after the end mark": files + 200 * quarter,
    }[kind]
    (tmp_path / "bomb.tar.bz2").write_bytes(content)
    seconds = 15 if kind == "one member" else 60
    outcome = run_client(LOAD_BOMB, home=hf_home, cwd=tmp_path, check=False, timeout=seconds, memory=4 << 30)
    assert re.search(r"IdxError: .*bomb\.tar\.bz2" + ("" if "end mark" in kind else ".*junk"), outcome.error)
    assert outcome.peak < 400 << 20
