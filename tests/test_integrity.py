"""Damaged, odd and hostile files: every record is right, or there is an `IdxError`, soon and with little memory."""

from __future__ import annotations

import bz2
import functools
import gzip
import lzma
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import oracle
import pytest
from clients import run_client
from http_server import Server
from hypothesis import given, settings
from hypothesis import strategies as st
from idx_files import ARCHIVES, PACKINGS, make_tar, random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all, refusal

import mnist_idx
from mnist_idx.tools import cli

TRAIN = random_images(7, 5, 4), random_labels(7)
TEST = random_images(6, 5, 4, seed=1), random_labels(6, seed=1)
BOTH = {"train": TRAIN, "test": TEST}
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
TRAIN_FILES = {"train-images-idx3-ubyte": to_idx(TRAIN[0]), "train-labels-idx1-ubyte": to_idx(TRAIN[1])}
FILES = TRAIN_FILES | {IMAGES: to_idx(TEST[0]), LABELS: to_idx(TEST[1])}
TAR_BLOCK = 512

each_mode = pytest.mark.parametrize("mode", MODES)
each_way = pytest.mark.parametrize("way", [*MODES, "verify"])


# Checksums and end marks


def flipped(data: bytes, position: int, change: int = 0xFF) -> bytes:
    return data[:position] + bytes([data[position] ^ change]) + data[position + 1 :]


def flipped_pixel(data: bytes) -> bytes:
    return flipped(data, data.index(TEST[0].tobytes()))


def zeroed_tail(data: bytes, size: int) -> bytes:
    return data[:-size] + bytes(size)


# What random pixels are compressed to holds them as they are.
DAMAGE: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "stored zip, flipped pixel": ("stored.zip", flipped_pixel),
    "deflated zip, flipped pixel": ("deflated.zip", flipped_pixel),
    "tar.gz, flipped pixel": ("set.tar", lambda tar: flipped_pixel(gzip.compress(tar, 0))),
    "tar.gz, zeroed checksum": ("set.tar", lambda tar: zeroed_tail(gzip.compress(tar), 8)),
    "tar.bz2, zeroed end mark": ("set.tar", lambda tar: zeroed_tail(bz2.compress(tar), 6)),
    "tar.xz, flipped checksum": ("set.tar", lambda tar: flipped(data := lzma.compress(tar), len(data) - 32)),
    "tar.xz, zeroed footer": ("set.tar", lambda tar: zeroed_tail(lzma.compress(tar), 12)),
}


@each_way
@pytest.mark.parametrize("damage", DAMAGE)
def test_checksums_and_end_marks_of_archives_are_checked(damage: str, way: str, tmp_path: Path) -> None:
    form, spoil = DAMAGE[damage]
    path = write_archive(tmp_path / form, FILES)
    path.write_bytes(spoil(path.read_bytes()))
    refusal(way, "idxfolder", data_dir=str(path))


MUTATIONS: dict[str, Callable[[bytes, int, bytes], bytes]] = {
    "flip": lambda data, at, new: flipped(data, at, new[0] or 1),
    "cut": lambda data, at, new: data[:at],
    "insert": lambda data, at, new: data[:at] + new + data[at:],
    "zero the tail": lambda data, at, new: data[:at] + bytes(len(data) - at),
}


@pytest.fixture(scope="module")
def make_archive(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """Write the files into an archive of a form, each compressed, once for all examples."""

    @functools.cache
    def make(form: str, packing: str) -> Path:
        files = {f"{name}{packing}": PACKINGS[packing](content) for name, content in FILES.items()}
        return write_archive(tmp_path_factory.mktemp("archive") / form, files)

    return make


@pytest.mark.parametrize("mutation", MUTATIONS)
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", ARCHIVES)
@settings(max_examples=settings().max_examples // 4)
@given(data=st.data())
def test_damage_is_refused_or_read_as_the_standard_library_reads_it(
    form: str, packing: str, mutation: str, make_archive: Callable[[str, str], Path], data: st.DataObject
) -> None:
    path = make_archive(form, packing)
    file = data.draw(st.sampled_from(sorted(path.iterdir()))) if path.is_dir() else path
    content = file.read_bytes()
    near_the_end = st.integers(max(0, len(content) - 64), len(content) - 1)
    position = data.draw(st.integers(0, len(content) - 1) | near_the_end)
    file.write_bytes(MUTATIONS[mutation](content, position, data.draw(st.binary(min_size=1, max_size=600))))
    try:
        check_against_oracle(path)
    finally:
        file.write_bytes(content)


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


# Splits and labels that are there but not where one looks


def spoil_between_members(kind: str) -> bytes:
    """A tar of the training files and the test files, with something between the two that ends it early."""
    train = make_tar(TRAIN_FILES).rstrip(b"\0")
    boundary = -(-len(train) // TAR_BLOCK) * TAR_BLOCK
    whole = make_tar(FILES)
    return {
        "cut in the padding": whole[: boundary - 1],
        "cut in a header": whole[: boundary + 100],
        "lone zero block": whole[:boundary] + bytes(TAR_BLOCK) + whole[boundary:],
        "header overwritten with zeros": whole[:boundary] + bytes(TAR_BLOCK) + whole[boundary + TAR_BLOCK :],
        "lone zero block at the end": whole[:boundary] + bytes(TAR_BLOCK),
        "garbage for a header": whole[:boundary] + b"x" * TAR_BLOCK + whole[boundary + TAR_BLOCK :],
    }[kind]


ENDS = ["cut in the padding", "cut in a header", "lone zero block", "header overwritten with zeros"]
ENDS += ["lone zero block at the end", "garbage for a header"]


@each_way
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
@pytest.mark.parametrize("kind", ENDS)
def test_a_tar_that_ends_early_is_refused(kind: str, compress: Any, way: str, tmp_path: Path) -> None:
    (tmp_path / "set.tar").write_bytes(compress(spoil_between_members(kind)))
    refusal(way, "idxfolder", data_dir=str(tmp_path / "set.tar"), splits=["train"])


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


SPECIAL = {
    "symbolic link": (tarfile.SYMTYPE, "train-images-idx3-ubyte"),
    "dangling hard link": (tarfile.LNKTYPE, "nowhere"),
    "device": (tarfile.CHRTYPE, ""),
    "pipe": (tarfile.FIFOTYPE, ""),
    "sparse file": (tarfile.GNUTYPE_SPARSE, ""),
}


def add_special(path: Path, kind: str, *names: str) -> Path:
    """Add members of a kind to a tar."""
    with tarfile.open(path, "a") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = SPECIAL[kind]
            tar.addfile(info)
    return path


@each_way
@pytest.mark.parametrize("kind", SPECIAL)
def test_a_tar_member_that_is_no_file_is_named(kind: str, way: str, tmp_path: Path) -> None:
    path = add_special(write_archive(tmp_path / "set.tar", TRAIN_FILES), kind, IMAGES, LABELS)
    assert IMAGES in refusal(way, "idxfolder", data_dir=str(path), splits=["train"])


@each_mode
@pytest.mark.parametrize("kind", SPECIAL)
def test_tar_members_that_are_no_idx_files_by_their_names_are_ignored(kind: str, mode: str, tmp_path: Path) -> None:
    path = add_special(write_archive(tmp_path / "set.tar", FILES), kind, "README")
    assert_same(read_all(mode, "idxfolder", data_dir=str(path)), BOTH)


@each_mode
def test_links_to_folders_are_followed_and_loops_end(mode: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "data", {f"train/{name[6:]}": content for name, content in TRAIN_FILES.items()})
    write_archive(tmp_path / "elsewhere", {name[5:]: FILES[name] for name in (IMAGES, LABELS)})
    (tmp_path / "data" / "test").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data" / "train" / "loop").symlink_to(tmp_path / "data")
    assert_same(read_all(mode, "idxfolder", data_dir=str(tmp_path / "data")), BOTH)


# What goes missing without a word where these files are ignored: all labels, or the split "test".
LOST = [["train-labels-idx1-ubyte", LABELS], [IMAGES, LABELS]]
UNREADABLE: dict[str, Callable[[Path], None]] = {
    "broken link": lambda path: path.symlink_to("nowhere"),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
}


@each_way
@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("names", LOST, ids=["labels", "test"])
def test_what_is_no_file_in_a_folder_is_named(names: list[str], kind: str, way: str, tmp_path: Path) -> None:
    files = {name: content for name, content in FILES.items() if name not in names}
    folder = write_archive(tmp_path / "folder", files)
    for name in names:
        UNREADABLE[kind](folder / name)
    message = refusal(way, "idxfolder", data_dir=str(folder), splits=["train"])
    assert any(name in message for name in names)


ODD_ENDINGS = [
    ("folder", "{}(1).gz"),
    ("folder", "{} (1)"),
    ("folder", "{}.zip"),
    ("set.tar", "{}.zst"),
    ("stored.zip", "{}(1).gz"),
]


@each_way
@pytest.mark.parametrize(("form", "ending"), ODD_ENDINGS)
@pytest.mark.parametrize("names", LOST, ids=["labels", "test"])
def test_an_idx_file_whose_name_ends_oddly_is_named(
    names: list[str], form: str, ending: str, way: str, tmp_path: Path
) -> None:
    path = write_archive(
        tmp_path / form, {ending.format(name) if name in names else name: FILES[name] for name in FILES}
    )
    message = refusal(way, "idxfolder", data_dir=str(path), splits=["train"])
    assert any(ending.format(name) in message for name in names)


# Headers that promise too much, bombs


def header(*shape: int) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


MOST = (1 << 32) - 1
# Content, options of loading, what the message says.
LYING: dict[str, tuple[bytes, dict[str, Any], str]] = {
    "records of no pixels": (header(MOST, 0, 0), {"as_array": True}, "train-images"),
    "records of no rows": (header(3 * 10**8, 0, 5), {"as_array": True}, "train-images"),
    "all records shuffled": (header(MOST, 28, 28) + bytes(100), {"seed": 1}, "train-images"),
    "the same, compressed": (gzip.compress(header(MOST, 28, 28) + bytes(1 << 20)), {"seed": 1}, "train-images"),
    "many batches, compressed": (gzip.compress(header(1 << 24, 1 << 12, 1 << 12) + bytes(100)), {}, "train-images"),
    "large records": (header(MOST, 8000, 8000), {"num_samples": 10**5}, "train-images"),
    "no records, but too large": (header(0, 0, MOST, MOST, MOST), {"as_array": True}, "train-images"),
    "more than the memory": (header(10**5, 250, 250), {"seed": 1}, "memory"),
}
LOAD_LYING = """
import time, mnist_idx
from loading import MODES, read_all
for mode in MODES:
    read_all(mode, "mnist_idx", "tiny")  # so that all is imported before memory is measured
def highest():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
result = {}
for case, (path, options) in args.items():
    for mode in MODES:
        before, began = highest(), time.monotonic()
        try:
            message = repr(read_all(mode, "idxfolder", splits=["train"], data_dir=path, **options))
        except mnist_idx.IdxError as error:
            message = f"IdxError: {error}"
        except BaseException as error:
            message = repr(error)
        result[f"{case}, {mode}"] = [message, highest() - before, time.monotonic() - began]
"""


@pytest.fixture(scope="module")
def lying(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int, float]]:
    """Case and mode -> message, growth of memory in bytes, seconds."""
    place = tmp_path_factory.mktemp("lying")
    args = {}
    for case, (content, options, _) in LYING.items():
        folder = write_archive(place / case, {"train-images-idx3-ubyte": content})
        args[case] = str(folder), options
    os.truncate(place / "more than the memory" / "train-images-idx3-ubyte", 16 + 10**5 * 250 * 250)
    (place / "hf_home").mkdir()
    result: dict[str, Any] = run_client(LOAD_LYING, home=place / "hf_home", args=args, memory=4 << 30).result
    return result


@each_mode
@pytest.mark.parametrize("case", LYING)
def test_headers_that_promise_too_much_take_neither_memory_nor_time(
    case: str, mode: str, lying: dict[str, tuple[str, int, float]]
) -> None:
    message, growth, seconds = lying[f"{case}, {mode}"]
    assert message.startswith("IdxError")
    assert LYING[case][2] in message
    assert growth < 60 << 20
    assert seconds < 5


def junk_header(size: int) -> bytes:
    info = tarfile.TarInfo("junk")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


BOMBS = ["one member", pytest.param("many members", marks=pytest.mark.slow)]
BOMBS += [pytest.param("zeros after the end mark", marks=pytest.mark.slow)]
LOAD_BOMB = "import mnist_idx\nmnist_idx.load_arrays('idxfolder', data_dir=args['path'])"


@pytest.mark.parametrize("kind", BOMBS)
def test_what_is_decompressed_only_to_be_skipped_is_bounded(kind: str, tmp_path: Path, hf_home: Path) -> None:
    """Some 50 kB that decompress to 50 GiB of something that is not an IDX file."""
    quarter, files = bz2.compress(bytes(1 << 28)), bz2.compress(make_tar(FILES))
    content = {
        "one member": bz2.compress(junk_header(50 << 30)) + 200 * quarter + files,
        "many members": 50 * (bz2.compress(junk_header(1 << 30)) + 4 * quarter) + files,
        "zeros after the end mark": files + 200 * quarter,
    }[kind]
    (tmp_path / "bomb.tar.bz2").write_bytes(content)
    args = {"path": str(tmp_path / "bomb.tar.bz2")}
    seconds = 15 if kind == "one member" else 60
    outcome = run_client(LOAD_BOMB, home=hf_home, args=args, check=False, timeout=seconds, memory=4 << 30)
    assert "IdxError" in outcome.error
    assert "bomb.tar.bz2" in outcome.error
    assert "junk" in outcome.error or "end mark" in kind
    assert outcome.peak < 400 << 20


# Servers


@each_mode
@pytest.mark.parametrize("form", ["stored.zip", "deflated.zip", "set.tar", "set.tar.gz"])
def test_archives_from_a_server_without_content_length(
    form: str, mode: str, tmp_path: Path, serve: Callable[..., Server]
) -> None:
    server = serve({f"/{form}": write_archive(tmp_path / form, FILES)})
    server.behave(ranges=False, length=False)
    assert cli.main(["verify", server.url(f"/{form}")]) == 0
    options = {"streaming": True} if mode == "arrays" else {}
    assert_same(read_all(mode, "idxfolder", data_dir=server.url(f"/{form}"), **options), BOTH)
