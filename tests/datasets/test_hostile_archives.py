"""Archives that are made to take time: they end soon, in an `IdxError` or in their data."""

import bz2
import io
import lzma
import shutil
import struct
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import crafted
import numpy as np
import oracle
import pytest
from bounded import Result, as_lists, read_bounded
from checks import check
from clients import run_client
from http_server import Server
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from loading import MODES, assert_same, read_all, refusal
from packers import PACKINGS

import mnist_idx

# The good dataset that hostile parts are added to: four images and their labels.
IMAGES, LABELS = random_images(4, 3, 3), random_labels(4)
FILES = {TRAIN_IMAGES: to_idx(IMAGES), TRAIN_LABELS: to_idx(LABELS)}
EXPECTED = {"train": (IMAGES, LABELS)}
GOOD_TAR = make_tar(FILES)
# The same files as members for `crafted`, which takes names as bytes.
IMAGES_MEMBER = (TRAIN_IMAGES.encode(), FILES[TRAIN_IMAGES])
LABELS_MEMBER = (TRAIN_LABELS.encode(), FILES[TRAIN_LABELS])

ALL_WAYS = (*MODES, "verify", "preview")
LONG = 1_900_000  # bytes of a name that a compressed tar of less than 4 kB can hold

# Title and way -> how the read ended, and what was read or said.
Results = Mapping[str, Result]
# Reads contents by their titles, in some ways, in at most so many seconds of processor time each.
ReadInTime = Callable[[Mapping[str, bytes], Sequence[str], float], Results]


@pytest.fixture
def read_in_time(tmp_path: Path, hf_home: Path) -> ReadInTime:
    """Reads contents in several ways. A read has a process, and seconds of processor time."""

    def read(contents: Mapping[str, bytes], ways: Sequence[str], seconds: float) -> Results:
        titles = []
        cases = []
        for number, (title, content) in enumerate(contents.items()):
            path = tmp_path / f"set-{number}"
            path.write_bytes(content)
            for way in ways:
                titles.append(f"{title}, {way}")
                cases.append((way, str(path), seconds))
        return dict(zip(titles, read_bounded(cases, hf_home), strict=True))

    return read


def assert_read_or_refused(results: Results) -> None:
    """Each read ended in time: with exactly the good dataset, or with a refusal."""
    for title, (state, found) in results.items():
        assert state in ("read", "refused"), f"{title}: {state} {found}"
        is_output_of_a_command = isinstance(found, str)
        if state == "read" and not is_output_of_a_command:
            assert found == as_lists(EXPECTED), title


def assert_refused(results: Results) -> None:
    """Each read ended in time, with a refusal."""
    for title, (state, found) in results.items():
        assert state == "refused", f"{title}: {state} {found}"


# Long names

# What the names of IDX files consist of, what makes one unusable, and what messages consist of.
WORDS = (
    "train-images-",
    "train-labels ",
    "images-idx3-",
    "labels-idx1-ubyte-",
    "t10k-",
    "-",
    "idx3-",
    "ubyte",
    "(1)",
    "train-images(1",
    "copy-",
    "images copy ",
    "zip-",
    "train-images.zip-",
    "A",
    "a=",
    'load_dataset("idxfolder", ',
    "B: data_files={",
    "[",
)


def repeat(word: str, most: int) -> bytes:
    """A word again and again, in at most so many bytes."""
    return (word * (LONG // len(word))).encode()[:most]


def tar_with_one_gnu_name(word: str, tail: bytes) -> bytes:
    """A compressed tar of a good pair, behind a file with a name of almost two megabytes."""
    header = crafted.extended(b"L", repeat(word, LONG) + tail)
    return lzma.compress(header + GOOD_TAR, preset=0)


def eight_names(word: str, tails: Sequence[bytes]) -> list[bytes]:
    """Names of 65,000 bytes, with the tails in turn."""
    names = []
    for number in range(8):
        tail = tails[number % len(tails)]
        names.append(b"%d-%s%s" % (number, repeat(word, 65_000), tail))
    return names


def tar_with_gnu_names(names: Iterable[bytes]) -> bytes:
    headers = [crafted.extended(b"L", name) for name in names]
    return b"".join(headers) + GOOD_TAR


def tar_with_pax_paths(names: Iterable[bytes]) -> bytes:
    headers = [crafted.extended(b"x", crafted.pax_record(b"path", name)) for name in names]
    return b"".join(headers) + GOOD_TAR


def zip_with_names(names: Iterable[bytes]) -> bytes:
    empty = [(name, b"") for name in names]
    return crafted.make_zip([*empty, IMAGES_MEMBER, LABELS_MEMBER])


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.parametrize(
    "tail",
    [
        pytest.param(b"!", id="of-a-file"),
        pytest.param(b"/train-images-idx3-ubyte", id="of-a-folder"),
    ],
)
def test_a_name_of_megabytes_takes_no_time(tail: bytes, read_in_time: ReadInTime) -> None:
    contents = {word: tar_with_one_gnu_name(word, tail) for word in WORDS}
    assert max(map(len, contents.values())) < 4096
    assert_read_or_refused(read_in_time(contents, ("arrays", "verify"), 2))


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.parametrize(
    "tails",
    [
        pytest.param((b"!", b"\n"), id="of-files"),
        pytest.param((b"/train-images-idx3-ubyte",), id="of-folders"),
    ],
)
@pytest.mark.parametrize(
    "make_archive",
    [
        pytest.param(tar_with_gnu_names, id="GNU-names-in-a-tar"),
        pytest.param(tar_with_pax_paths, id="pax-paths-in-a-tar"),
        pytest.param(zip_with_names, id="names-in-a-zip"),
    ],
)
def test_long_names_take_no_time(
    make_archive: Callable[[Iterable[bytes]], bytes],
    tails: Sequence[bytes],
    read_in_time: ReadInTime,
) -> None:
    contents = {word: make_archive(eight_names(word, tails)) for word in WORDS}
    assert_read_or_refused(read_in_time(contents, ("verify",), 2))


@pytest.mark.slow
def test_a_kilobyte_with_a_long_name_takes_no_time(read_in_time: ReadInTime) -> None:
    content = tar_with_one_gnu_name("train-images-", b"!")
    assert len(content) < 1024
    assert_read_or_refused(read_in_time({"train-images-": content}, ALL_WAYS, 2))


@pytest.mark.slow
@pytest.mark.measures
def test_long_names_in_a_folder_take_no_time(tmp_path: Path, hf_home: Path) -> None:
    cases = []
    for number, word in enumerate(WORDS):
        folder = write_archive(tmp_path / f"folder {number}", FILES)
        # File systems take names of up to 255 bytes.
        start = repeat(word, 245).decode()
        for end in range(200):
            (folder / f"{start} {end}!").touch()
        cases.append(("verify", str(folder), 2))
    results = read_bounded(cases, hf_home)
    assert_read_or_refused(dict(zip(WORDS, results, strict=True)))


@pytest.mark.measures
@pytest.mark.slow
def test_drawn_names_take_no_time(hf_home: Path) -> None:
    args = {"words": WORDS, "names": list(FILES), "length": 65_000}
    outcome = run_client("read_drawn_names", home=hf_home, args=args, processor_time=30)
    assert outcome.result >= 100


# Extended headers of a tar

DIGITS = b"1" * LONG


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.parametrize("size", [200_000, LONG])
@pytest.mark.parametrize(
    "kind", [pytest.param(b"x", id="of-a-member"), pytest.param(b"g", id="of-all-members")]
)
def test_a_pax_header_of_digits_is_refused_in_no_time(
    kind: bytes, size: int, read_in_time: ReadInTime
) -> None:
    content = lzma.compress(crafted.extended(kind, DIGITS[:size]) + GOOD_TAR, preset=0)
    assert_refused(read_in_time({"digits": content}, ALL_WAYS, 2))


def pax(key: bytes, value: bytes) -> bytes:
    """The body of a pax header that says one thing."""
    return crafted.pax_record(key, value)


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        pytest.param(b"L", DIGITS, id="a-GNU-name"),
        pytest.param(b"K", DIGITS, id="a-GNU-target-of-a-link"),
        pytest.param(b"x", pax(b"path", DIGITS), id="a-path"),
        pytest.param(b"x", pax(b"comment", DIGITS), id="a-comment"),
        pytest.param(b"g", pax(b"comment", DIGITS), id="a-comment-for-all-members"),
        pytest.param(b"x", pax(b"size", b"0" * LONG), id="a-size-of-zeros"),
        pytest.param(b"x", pax(b"mtime", DIGITS), id="a-time"),
        pytest.param(b"x", pax(b"GNU.sparse.map", DIGITS), id="a-sparse-map-of-one-number"),
        pytest.param(b"x", pax(b"GNU.sparse.map", b"1," * (LONG // 2)), id="a-sparse-map-of-many"),
        pytest.param(b"x", pax(b"a", b"1") * (LONG // 9), id="many-records"),
        pytest.param(b"x", b"8 a=1 " * (LONG // 6), id="many-broken-records"),
        pytest.param(b"x", b"1 hdrcharset" * (LONG // 12), id="a-word-that-is-looked-for"),
    ],
)
def test_a_large_extended_header_takes_no_time(
    kind: bytes, body: bytes, read_in_time: ReadInTime
) -> None:
    content = lzma.compress(crafted.extended(kind, body) + GOOD_TAR, preset=0)
    assert_read_or_refused(read_in_time({"header": content}, ("arrays", "verify"), 2))


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(b"x", id="pax-headers-of-a-member"),
        pytest.param(b"g", id="pax-headers-of-all-members"),
        pytest.param(b"L", id="GNU-names"),
        pytest.param(b"K", id="GNU-targets-of-links"),
    ],
)
def test_many_extended_headers_of_digits_take_no_time(
    kind: bytes, read_in_time: ReadInTime
) -> None:
    header = crafted.tar_member(b"header", DIGITS[:4000], kind)
    member = crafted.tar_member(b"notes.txt", b"")
    contents = {
        # A directory of 2 MB holds 400 of them.
        "400 headers, each of a member": (header + member) * 400 + GOOD_TAR,
        "400 headers of one member": header * 400 + member + GOOD_TAR,
        "900 headers, each of a member": (header + member) * 900 + GOOD_TAR,
    }
    assert_read_or_refused(read_in_time(contents, ("arrays",), 4))


def write_tar(
    files: Mapping[str, bytes], member_headers: Mapping[str, str] | None = None, **options: Any
) -> bytes:
    """A tar of the standard library, with pax headers for each member, and other options."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            info.pax_headers = dict(member_headers or {})
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def files_in(folder: str) -> dict[str, bytes]:
    """The files of the good dataset in a folder."""
    return {f"{folder}/{name}": content for name, content in FILES.items()}


TIMES = {"mtime": "1700000000.123456789", "atime": "1700000000.5", "ctime": "1700000000.25"}
OWNERS = {"uid": "3000000", "uname": "\u00e9"}
ATTRIBUTES = {"SCHILY.xattr.user.note": "x" * 3000, "LIBARCHIVE.xattr.user.note": "eHh4" * 1000}
LONG_FOLDER = "f" * 200 + "/" + "g" * 260


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(write_tar(files_in(LONG_FOLDER)), id="long-pax-names"),
        pytest.param(write_tar(files_in("f" * 90), format=tarfile.USTAR_FORMAT), id="ustar-prefix"),
        pytest.param(
            write_tar(files_in("f" * 480), format=tarfile.GNU_FORMAT), id="long-GNU-names"
        ),
        pytest.param(write_tar(files_in("d\u00e4ten/\u6570\u636e")), id="names-in-other-scripts"),
        pytest.param(write_tar(FILES, TIMES), id="times"),
        pytest.param(write_tar(FILES, ATTRIBUTES), id="attributes-of-several-kilobytes"),
        pytest.param(write_tar(FILES, pax_headers={"comment": "a" * 40}), id="comment-for-all"),
        pytest.param(write_tar(FILES, OWNERS), id="owners"),
        pytest.param(write_tar(files_in("1" * 250)), id="a-folder-named-by-digits"),
    ],
)
def test_ordinary_extended_headers_are_read(content: bytes, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(content)
    found = read_all(mode, "idxfolder", splits=("train",), data_dir=str(path), as_array=True)
    assert_same(found, EXPECTED)


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs the program tar")
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("form", ["posix", "gnu", "ustar"])
def test_what_the_program_tar_writes_is_read(form: str, mode: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "d\u00e4ten", FILES)
    path = tmp_path / "set.tar"
    command = ["tar", f"--format={form}", "-cf", str(path), "-C", str(tmp_path), "d\u00e4ten"]
    subprocess.run(command, check=True)
    found = read_all(mode, "idxfolder", splits=("train",), data_dir=str(path), as_array=True)
    assert_same(found, EXPECTED)


# Members of a zip that overlap


def five_megabytes() -> bytes:
    """The content of an IDX file that many members claim."""
    return to_idx(np.zeros((50_000, 10, 10), np.uint8))


def one_member_listed(times: int) -> bytes:
    """A good pair, and a large member that the directory lists again and again."""
    members = [(b"notes.txt", five_megabytes()), IMAGES_MEMBER, LABELS_MEMBER]
    return crafted.make_zip(members, lambda entries: [entries[0]] * (times - 1) + entries)


def each_file_listed_twice() -> bytes:
    """Each file is listed twice, at the same place."""
    return crafted.make_zip([IMAGES_MEMBER, LABELS_MEMBER], lambda entries: entries * 2)


def member_inside_another() -> bytes:
    """Images whose pixels are a member as well: the images of another split."""
    name, content = b"t10k-images-idx3-ubyte", to_idx(random_images(2, 6, 6, seed=1))
    inner = crafted.zip_header(name, content) + content
    images = to_idx(np.frombuffer(inner.ljust(144, b"\0"), np.uint8).reshape(4, 6, 6))
    start = len(crafted.zip_header(IMAGES_MEMBER[0], images)) + images.index(inner)
    entry = crafted.Entry(name, start, len(content), zlib.crc32(content))
    return crafted.make_zip([(IMAGES_MEMBER[0], images)], lambda entries: [*entries, entry])


def member_that_ends_in_the_next_header() -> bytes:
    """Images that end within the header of the labels, which are their last pixels."""
    labels_name, labels = LABELS_MEMBER
    header = crafted.zip_header(labels_name, labels)
    pixels = bytes(4 * 36 - len(header)) + header
    images_name, images = IMAGES_MEMBER[0], to_idx(np.frombuffer(pixels, np.uint8).reshape(4, 6, 6))
    before = crafted.zip_header(images_name, images) + images
    data = before + labels
    labels_start = len(before) - len(header)
    entries = [
        crafted.Entry(images_name, 0, len(images), zlib.crc32(images)),
        crafted.Entry(labels_name, labels_start, len(labels), zlib.crc32(labels)),
    ]
    return data + crafted.zip_directory(entries, len(data))


def member_in_the_extra_field_of_another() -> bytes:
    """The labels stand in the extra field of the header of the images."""
    images_name, images = IMAGES_MEMBER
    labels_name, labels = LABELS_MEMBER
    hidden = crafted.zip_header(labels_name, labels) + labels
    extra = struct.pack("<HH", 0xCAFE, len(hidden)) + hidden
    data = crafted.zip_header(images_name, images, extra) + images
    entries = [
        crafted.Entry(images_name, 0, len(images), zlib.crc32(images)),
        crafted.Entry(labels_name, data.index(hidden), len(labels), zlib.crc32(labels)),
    ]
    return data + crafted.zip_directory(entries, len(data))


def member_that_reaches_into_the_directory() -> bytes:
    """Images whose last pixels are the start of the directory."""
    labels_name, labels = LABELS_MEMBER
    data = crafted.zip_header(labels_name, labels) + labels
    start = len(data)
    labels_entry = crafted.Entry(labels_name, 0, len(labels), zlib.crc32(labels))
    directory = crafted.zip_directory([labels_entry], 0)[:46]
    images_name = IMAGES_MEMBER[0]
    images = to_idx(np.frombuffer(directory.rjust(144, b"\0"), np.uint8).reshape(4, 6, 6))
    data += crafted.zip_header(images_name, images) + images[:-46]
    images_entry = crafted.Entry(images_name, start, len(images), zlib.crc32(images))
    return data + crafted.zip_directory([labels_entry, images_entry], len(data))


def headers_that_share_one_content() -> bytes:
    """200 members with headers of their own, and extra fields up to the same content."""
    names = [b"%d-train-images-idx3-ubyte" % number for number in range(200)]
    return crafted.zip_of_one_range(names, five_megabytes())


# What makes the zip.
OVERLAPPING_ZIPS = [
    pytest.param(lambda: one_member_listed(times=901), id="one-member-listed-901-times"),
    pytest.param(lambda: one_member_listed(times=2), id="one-member-listed-twice"),
    pytest.param(each_file_listed_twice, id="each-file-listed-twice"),
    pytest.param(member_inside_another, id="one-member-inside-another"),
    pytest.param(member_that_ends_in_the_next_header, id="one-ends-in-the-next-header"),
    pytest.param(member_in_the_extra_field_of_another, id="one-in-the-extra-field-of-another"),
    pytest.param(member_that_reaches_into_the_directory, id="one-reaches-into-the-directory"),
    pytest.param(headers_that_share_one_content, id="200-headers-that-share-one-content"),
]


@pytest.mark.parametrize("make_zip", OVERLAPPING_ZIPS)
def test_members_of_a_zip_that_overlap_are_refused(
    make_zip: Callable[[], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(make_zip())
    message = refusal("arrays", "idxfolder", splits=("train",), data_dir=str(path))
    assert str(path) in message


@pytest.mark.slow
@pytest.mark.parametrize("make_zip", OVERLAPPING_ZIPS)
def test_members_of_a_zip_that_overlap_are_refused_in_no_time(
    make_zip: Callable[[], bytes], read_in_time: ReadInTime
) -> None:
    results = read_in_time({"zip": make_zip()}, ALL_WAYS, 2)
    assert_refused(results)
    for _, message in results.values():
        assert "set-0" in message


class Pipe(io.BytesIO):
    """What cannot go back: `zipfile` writes sizes behind each member."""

    def seekable(self) -> bool:
        return False


def write_zip(
    method: int, buffer: io.BytesIO | None = None, files: Mapping[str, bytes] = FILES
) -> bytes:
    """A zip of the standard library, with a comment."""
    buffer = buffer or io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = b"a comment"
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def zip_with_a_gap() -> bytes:
    """What is left where a program that keeps the rest has deleted a member."""
    members = [(b"deleted", b"x" * 99), IMAGES_MEMBER, LABELS_MEMBER]
    return crafted.make_zip(members, lambda entries: entries[1:])


def zip_listed_backwards() -> bytes:
    return crafted.make_zip([IMAGES_MEMBER, LABELS_MEMBER], lambda entries: entries[::-1])


EMPTY_FIRST = {"a": b"", "b": b"", **FILES}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(write_zip(zipfile.ZIP_STORED), id="stored"),
        pytest.param(write_zip(zipfile.ZIP_DEFLATED), id="deflated"),
        pytest.param(write_zip(zipfile.ZIP_STORED, Pipe()), id="stored-through-a-pipe"),
        pytest.param(write_zip(zipfile.ZIP_DEFLATED, Pipe()), id="deflated-through-a-pipe"),
        pytest.param(write_zip(zipfile.ZIP_STORED, files=EMPTY_FIRST), id="empty-members"),
        pytest.param(zip_with_a_gap(), id="a-gap-between-members"),
        pytest.param(zip_listed_backwards(), id="members-listed-backwards"),
    ],
)
def test_members_of_a_zip_that_do_not_overlap_are_read(
    content: bytes, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(content)
    found = read_all(mode, "idxfolder", splits=("train",), data_dir=str(path), as_array=True)
    assert_same(found, EXPECTED)


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_an_archive_of_many_datasets_is_verified_soon(
    form: str, tmp_path: Path, hf_home: Path
) -> None:
    files = {f"set{number}-{TRAIN_IMAGES}": FILES[TRAIN_IMAGES] for number in range(900)}
    path = write_archive(tmp_path / form, files)
    ((state, found),) = read_bounded([("verify", str(path), 10)], hf_home)
    assert state == "read"
    assert "900 files, all valid" in found


# A compressed tar is read once, or little more


@pytest.fixture(
    scope="module",
    params=[pytest.param("set.tar.xz", id="tar.xz"), pytest.param("set.tar.bz2", id="tar.bz2")],
)
def large_tar(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A compressed tar of four members, 40 MB that compress to half: 30 images, and 10 to test."""
    tar = make_tar(
        {
            "train-images-idx3-ubyte": to_idx(random_images(30, 1000, 1000) & 15),
            "train-labels-idx1-ubyte": to_idx(random_labels(30)),
            "t10k-images-idx3-ubyte": to_idx(random_images(10, 1000, 1000) & 15),
            "t10k-labels-idx1-ubyte": to_idx(random_labels(10)),
        }
    )
    path = tmp_path_factory.mktemp("large") / request.param
    path.write_bytes(lzma.compress(tar, preset=0) if path.suffix == ".xz" else bz2.compress(tar, 1))
    return path


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "times"),
    [
        pytest.param("prepared", 6, id="prepared"),
        pytest.param("streamed", 6, id="streamed"),
        pytest.param("arrays", 8, id="arrays"),  # two calls, one for each split
        pytest.param("verify", 6, id="verify"),
    ],
)
def test_a_compressed_tar_is_decompressed_a_few_times_at_most(
    way: str, times: int, large_tar: Path, hf_home: Path
) -> None:
    args = {"path": str(large_tar), "way": way}
    outcome = run_client("compare_with_decompression", home=hf_home, args=args, timeout=600)
    seconds_to_decompress, seconds_to_read = outcome.result
    assert seconds_to_read < times * seconds_to_decompress


@pytest.mark.slow
def test_a_streamed_compressed_tar_is_fetched_a_few_times_at_most(
    large_tar: Path, hf_home: Path, serve: Callable[..., Server]
) -> None:
    server = serve({f"/{large_tar.name}": large_tar})
    args = {"url": server.url(f"/{large_tar.name}")}
    assert run_client("count_streamed", home=hf_home, args=args, timeout=600).result == 40
    server.settle()
    assert server.sent() < 3 * large_tar.stat().st_size


# Drawn archives

ARCHIVE_FORMS = ["set.tar", "set.tar.gz", "set.tar.xz", "stored.zip", "deflated.zip"]


@st.composite
def drawn_files(draw: st.DrawFn) -> dict[str, bytes]:
    """The files of one split or two, each compressed in some way."""
    files = {}
    dtype = draw(st.sampled_from(["uint8", "int16", "float32"]))
    parts_of_a_label = draw(st.sampled_from([(), (), (1,), (2,), (10,)]))
    for split in draw(st.sampled_from([("train",), ("t10k",), ("train", "t10k")])):
        count = draw(st.integers(1, 4))
        images = draw(arrays(dtype, (count, 2, 3)))
        labels = draw(arrays("uint8", (count, *parts_of_a_label)))
        for role, array in (("images-idx3", images), ("labels-idx1", labels)):
            suffix = draw(st.sampled_from(sorted(PACKINGS)))
            files[f"{split}-{role}-ubyte{suffix}"] = PACKINGS[suffix](to_idx(array))
    return files


@given(files=drawn_files(), form=st.sampled_from(["folder", *ARCHIVE_FORMS]))
def test_drawn_archives_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory, files: dict[str, bytes], form: str
) -> None:
    path = write_archive(tmp_path_factory.mktemp("drawn") / form, files)
    check(path)
    for split, (images, labels) in oracle.read_splits(path).items():
        found = mnist_idx.load_arrays("idxfolder", data_dir=str(path), split=split)
        np.testing.assert_array_equal(found[0], images)
        np.testing.assert_array_equal(found[1], labels)


@given(
    drawn=st.lists(
        st.tuples(drawn_files(), st.sampled_from(ARCHIVE_FORMS)), min_size=2, max_size=3
    ),
    zeros=st.sampled_from([0, 1, 512, 1024, 10240]),
    suffix=st.sampled_from(sorted(PACKINGS)),
)
def test_drawn_archives_one_behind_another_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[dict[str, bytes], str]],
    zeros: int,
    suffix: str,
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    parts = [write_archive(folder / form, files).read_bytes() for files, form in drawn]
    path = folder / "several"
    path.write_bytes(PACKINGS[suffix](bytes(zeros).join(parts)))
    check(path)
