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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import crafted
import numpy as np
import oracle
import patterns
import pytest
from bounded import Result, as_lists, read_bounded
from checks import check
from clients import run_client
from http_server import Server
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from idx_files import make_tar, random_images, random_labels, to_idx, write_archive
from loading import MODES, assert_same, read_all
from packers import PACKINGS

import mnist_idx

Serve = Callable[..., Server]
ENDS = ("read", "refused")
WAYS = (*MODES, "verify", "preview")
IMAGES, LABELS = random_images(4, 3, 3), random_labels(4)
EXPECTED = {"train": (IMAGES, LABELS)}
NAMES = (b"train-images-idx3-ubyte", b"train-labels-idx1-ubyte")
FILES = {"train-images-idx3-ubyte": to_idx(IMAGES), "train-labels-idx1-ubyte": to_idx(LABELS)}
PAIR = [*zip(NAMES, FILES.values(), strict=True)]
GOOD = make_tar(FILES)
TEST_FILES = {
    b"t10k-images-idx3-ubyte": to_idx(random_images(2, 6, 6, seed=1)),
    b"t10k-labels-idx1-ubyte": to_idx(random_labels(2, seed=1)),
}


# A name, the content of a file, the way to read it, and the seconds of processor time for it.
Case = tuple[str, bytes, str, float]


@pytest.fixture
def read(tmp_path: Path, hf_home: Path) -> Callable[[list[Case]], dict[str, Result]]:
    """Read many contents with one client."""

    def read(cases: list[Case]) -> dict[str, Result]:
        reads = []
        for number, (_, content, way, seconds) in enumerate(cases):
            path = tmp_path / f"set-{number}"
            path.write_bytes(content)
            reads.append((way, str(path), seconds))
        titles = [f"{title}, {way}" for title, _, way, _ in cases]
        return dict(zip(titles, read_bounded(reads, hf_home), strict=True))

    return read


def assert_read_or_refused(results: dict[str, Result]) -> None:
    """Everything ended in time: with exactly the data, or with a refusal."""
    wrong = {title: state for title, (state, _) in results.items() if state not in ENDS}
    assert not wrong, str(wrong)
    for title, (state, found) in results.items():
        assert state == "refused" or isinstance(found, str) or found == as_lists(EXPECTED), title


def assert_refused(results: dict[str, Result]) -> None:
    wrong = {title: state for title, (state, _) in results.items() if state != "refused"}
    assert not wrong, str(wrong)


# Names

LONG = 1_900_000  # bytes of a name that a compressed tar of less than 4 kB can hold
# What the names of IDX files consist of, what makes one unusable, and what messages consist of.
WORDS = (
    "train-images-",
    "train-labels ",
    "images-idx3-",
    "labels-idx1-ubyte-",
    "t10k-",
    "-",
    "idx3-",
)
WORDS += (
    "ubyte",
    "(1)",
    "train-images(1",
    "copy-",
    "images copy ",
    "zip-",
    "train-images.zip-",
    "A",
    "a=",
)
WORDS += ('load_dataset("idxfolder", ', "B: data_files={", "[")
TAILS = {"a file": (b"!", b"\n"), "a folder": (b"/train-images-idx3-ubyte",)}


def with_long_names(form: str, word: str, tails: tuple[bytes, ...]) -> bytes:
    """An archive of a good pair, behind other files."""
    start = (word * (LONG // len(word))).encode()[: LONG if form == "one GNU name" else 65_000]
    names = [start + tails[0]] if form == "one GNU name" else []
    for number in range(0 if names else 8):
        names.append(b"%d-%s%s" % (number, start, tails[number % len(tails)]))
    if form == "one GNU name":
        return lzma.compress(crafted.extended(b"L", names[0]) + GOOD, preset=0)
    kind = {"GNU names": b"L", "pax paths": b"x"}.get(form)
    if kind is not None:
        bodies = [crafted.pax_record(b"path", name) if kind == b"x" else name for name in names]
        return b"".join(crafted.extended(kind, body) for body in bodies) + GOOD
    return crafted.make_zip([*((name, b"") for name in names), *PAIR])


@pytest.mark.slow
@pytest.mark.measures
@pytest.mark.parametrize("form", ["one GNU name", "GNU names", "pax paths", "zip"])
def test_long_names_take_no_time(form: str, read: Any) -> None:
    cases = []
    for word in WORDS:
        for what, tails in TAILS.items():
            content = with_long_names(form, word, tails)
            assert form != "one GNU name" or len(content) < 4096
            for way in ("arrays", "verify") if form == "one GNU name" else ("verify",):
                cases.append((f"{what} {word!r}", content, way, 2))
    assert_read_or_refused(read(cases))


def test_a_kilobyte_with_a_long_name_takes_no_time(read: Any) -> None:
    content = with_long_names("one GNU name", "train-images-", (b"!",))
    assert len(content) < 1024
    assert_read_or_refused(read([("train-images-", content, way, 2) for way in WAYS]))


@pytest.mark.slow
@pytest.mark.measures
def test_long_names_in_a_folder_take_no_time(tmp_path: Path, hf_home: Path) -> None:
    cases = []
    for number, word in enumerate(WORDS[:16]):
        folder = write_archive(tmp_path / f"folder {number}", FILES)
        for end in range(200):
            (folder / f"{(word * 250)[:245]} {end}!").touch()
        cases.append(("verify", str(folder), 2))
    results = read_bounded(cases, hf_home)
    assert_read_or_refused(dict(zip(WORDS, results, strict=False)))


@pytest.mark.measures
@pytest.mark.slow
def test_drawn_names_take_no_time(hf_home: Path) -> None:
    args = {"words": WORDS, "names": list(FILES), "length": 65_000}
    outcome = run_client("read_drawn_names", home=hf_home, args=args, processor_time=30)
    assert outcome.result >= 100


def test_no_pattern_of_the_package_is_ambiguous() -> None:
    problems = {}
    for used in patterns.collect(mnist_idx):
        if problem := patterns.ambiguity(used):
            problems[f"{used.place}: {used.pattern}"] = problem
    assert not problems, str(problems)


@pytest.mark.parametrize(
    ("pattern", "method", "is_ambiguous"),
    [
        pytest.param(r"(a*)*b", "fullmatch", True, id="a loop in a loop"),
        pytest.param(r"(ab|a|b)*c", "fullmatch", True, id="a loop of choices that overlap"),
        pytest.param(r"(\w+\s?)*$", "match", True, id="a loop of words"),
        pytest.param(r"a*a*b", "fullmatch", True, id="a loop behind the same"),
        pytest.param(r".*-images.*copy", "fullmatch", True, id="a word anywhere, and another"),
        pytest.param(r"a+b", "search", True, id="a loop that a search starts anywhere"),
        pytest.param(r"a+b", "fullmatch", False, id="a loop"),
        pytest.param(r"^a+b", "search", False, id="a loop at the start"),
        pytest.param(r"(?<![a-z])([a-z]+)=", "sub", False, id="a loop at the start of a word"),
        pytest.param(r"[^/]*/[^/]*", "fullmatch", False, id="loops that a character separates"),
        pytest.param(r"(-(idx\d*|ubyte))*", "fullmatch", False, id="a loop of choices"),
        pytest.param(r"\?.*", "sub", False, id="all the rest"),
    ],
)
def test_ambiguous_patterns_are_found(pattern: str, method: str, is_ambiguous: bool) -> None:
    used = patterns.Used("", pattern, 0, frozenset({method}))
    assert bool(patterns.ambiguity(used)) == is_ambiguous


# Extended headers

DIGITS = b"1" * LONG
SECONDS_OF_MANY = 4
SMALL = crafted.tar_member(b"notes.txt", b"")


@pytest.mark.slow
@pytest.mark.measures
def test_an_extended_header_of_digits_takes_no_time(read: Any) -> None:
    cases = []
    for kind in (b"x", b"g"):
        for size in (200_000, LONG):
            content = lzma.compress(crafted.extended(kind, DIGITS[:size]) + GOOD, preset=0)
            cases += [(f"{size} digits in {kind!r}", content, way, 2) for way in WAYS]
    assert_refused(read(cases))


LARGE_HEADERS = {
    "the name": (b"L", DIGITS),
    "the target of a link": (b"K", DIGITS),
    "a path": (b"x", crafted.pax_record(b"path", DIGITS)),
    "a comment": (b"x", crafted.pax_record(b"comment", DIGITS)),
    "a comment for all": (b"g", crafted.pax_record(b"comment", DIGITS)),
    "a size": (b"x", crafted.pax_record(b"size", b"0" * LONG)),
    "a time": (b"x", crafted.pax_record(b"mtime", DIGITS)),
    "the map of a sparse file": (b"x", crafted.pax_record(b"GNU.sparse.map", DIGITS)),
    "a map of many": (b"x", crafted.pax_record(b"GNU.sparse.map", b"1," * (LONG // 2))),
    "many records": (b"x", crafted.pax_record(b"a", b"1") * (LONG // 9)),
    "many broken records": (b"x", b"8 a=1 " * (LONG // 6)),
    "a word that is looked for": (b"x", b"1 hdrcharset" * (LONG // 12)),
}


@pytest.mark.slow
@pytest.mark.measures
def test_a_large_extended_header_takes_no_time(read: Any) -> None:
    cases = []
    for what, (kind, body) in LARGE_HEADERS.items():
        content = lzma.compress(crafted.extended(kind, body) + GOOD, preset=0)
        cases += [(what, content, way, 2) for way in ("arrays", "verify")]
    assert_read_or_refused(read(cases))


@pytest.mark.slow
@pytest.mark.measures
def test_many_extended_headers_of_digits_take_no_time(read: Any) -> None:
    cases = []
    for kind in (b"x", b"g", b"L", b"K"):
        digits = crafted.tar_member(b"header", DIGITS[:4000], kind)
        # A directory of 2 MB holds 400 of them.
        for what, content in {
            "400, each of a member": (digits + SMALL) * 400,
            "400 of one member": digits * 400 + SMALL,
            "900, each of a member": (digits + SMALL) * 900,
        }.items():
            cases.append((f"{what}, {kind!r}", content + GOOD, "arrays", SECONDS_OF_MANY))
    assert_read_or_refused(read(cases))


def pax_tar(names: dict[str, bytes], **options: Any) -> bytes:
    buffer = io.BytesIO()
    headers = options.pop("headers", {})
    with tarfile.open(fileobj=buffer, mode="w", **options) as tar:
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(content), headers
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def placed(folder: str) -> dict[str, bytes]:
    return {f"{folder}/{name}": content for name, content in FILES.items()}


TIMES = {"mtime": "1700000000.123456789", "atime": "1700000000.5", "ctime": "1700000000.25"}
XATTR = {"SCHILY.xattr.user.note": "x" * 3000, "LIBARCHIVE.xattr.user.note": "eHh4" * 1000}


@pytest.mark.parametrize("way", MODES)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(pax_tar(placed("f" * 200 + "/" + "g" * 260)), id="pax, long names"),
        pytest.param(pax_tar(placed("f" * 90), format=tarfile.USTAR_FORMAT), id="a prefix"),
        pytest.param(pax_tar(placed("f" * 480), format=tarfile.GNU_FORMAT), id="GNU, long names"),
        pytest.param(pax_tar(placed("d\u00e4ten/\u6570\u636e")), id="names in other scripts"),
        pytest.param(pax_tar(FILES, headers=TIMES), id="times"),
        pytest.param(pax_tar(FILES, headers=XATTR), id="attributes of several kilobytes"),
        pytest.param(pax_tar(FILES, pax_headers={"comment": "a" * 40}), id="a header for all"),
        pytest.param(pax_tar(FILES, headers={"uid": "3000000", "uname": "\u00e9"}), id="owners"),
        pytest.param(pax_tar(placed("1" * 250)), id="a folder of digits"),
    ],
)
def test_ordinary_extended_headers_are_read(content: bytes, way: str, tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    path.write_bytes(content)
    options = {"splits": ("train",), "data_dir": str(path), "as_array": True}
    assert_same(read_all(way, "idxfolder", **options), EXPECTED)


@pytest.mark.skipif(shutil.which("tar") is None, reason="needs the program tar")
@pytest.mark.parametrize("way", MODES)
@pytest.mark.parametrize("form", ["posix", "gnu", "ustar"])
def test_what_the_program_tar_writes_is_read(form: str, way: str, tmp_path: Path) -> None:
    write_archive(tmp_path / "d\u00e4ten", FILES)
    path = tmp_path / "set.tar"
    command = ["tar", f"--format={form}", "-cf", str(path), "-C", str(tmp_path), "d\u00e4ten"]
    subprocess.run(command, check=True)
    options = {"splits": ("train",), "data_dir": str(path), "as_array": True}
    assert_same(read_all(way, "idxfolder", **options), EXPECTED)


# Members of a zip that overlap

MANY_NAMES = [b"%d-train-images-idx3-ubyte" % number for number in range(200)]
LARGE = to_idx(np.zeros((50_000, 10, 10), np.uint8))


def same_range(count: int) -> bytes:
    """A dataset, and a member that the directory lists many times."""
    members = [(b"notes.txt", LARGE), *PAIR]
    return crafted.make_zip(members, lambda entries: [*[entries[0]] * count, *entries])


def listed_twice() -> bytes:
    """Each file is listed twice, at the same place."""
    return crafted.make_zip(PAIR, lambda entries: entries * 2)


def one_inside_another() -> bytes:
    """Images whose pixels are a member as well: the images of another split."""
    name = b"t10k-images-idx3-ubyte"
    inner = crafted.zip_header(name, TEST_FILES[name]) + TEST_FILES[name]
    images = to_idx(np.frombuffer(inner.ljust(144, b"\0"), np.uint8).reshape(4, 6, 6))
    start = len(crafted.zip_header(NAMES[0], images)) + images.index(inner)
    content = TEST_FILES[name]
    entry = crafted.Entry(name, start, len(content), zlib.crc32(content))
    return crafted.make_zip([(NAMES[0], images)], lambda entries: [*entries, entry])


def end_in_the_next() -> bytes:
    """Images that end within the header of the labels, which are their last pixels."""
    header = crafted.zip_header(NAMES[1], FILES["train-labels-idx1-ubyte"])
    pixels = bytes(4 * 36 - len(header)) + header
    images = to_idx(np.frombuffer(pixels, np.uint8).reshape(4, 6, 6))
    first = crafted.zip_header(NAMES[0], images)
    labels = FILES["train-labels-idx1-ubyte"]
    data = first + images + labels
    entries = [
        crafted.Entry(NAMES[0], 0, len(images), zlib.crc32(images)),
        crafted.Entry(NAMES[1], len(first + images) - len(header), len(labels), zlib.crc32(labels)),
    ]
    return data + crafted.zip_directory(entries, len(data))


def in_an_extra_field() -> bytes:
    """The labels stand in the extra field of the header of the images."""
    labels = FILES["train-labels-idx1-ubyte"]
    hidden = crafted.zip_header(NAMES[1], labels) + labels
    extra = struct.pack("<HH", 0xCAFE, len(hidden)) + hidden
    images = FILES["train-images-idx3-ubyte"]
    data = crafted.zip_header(NAMES[0], images, extra) + images
    entries = [
        crafted.Entry(NAMES[0], 0, len(images), zlib.crc32(images)),
        crafted.Entry(NAMES[1], data.index(hidden), len(labels), zlib.crc32(labels)),
    ]
    return data + crafted.zip_directory(entries, len(data))


def reach_into_the_directory() -> bytes:
    """Images whose last pixels are the start of the directory."""
    labels = FILES["train-labels-idx1-ubyte"]
    data = crafted.zip_header(NAMES[1], labels) + labels
    start = len(data)
    entry = crafted.Entry(NAMES[1], 0, len(labels), zlib.crc32(labels))
    directory = crafted.zip_directory([entry], 0)[:46]
    images = to_idx(np.frombuffer(directory.rjust(144, b"\0"), np.uint8).reshape(4, 6, 6))
    data += crafted.zip_header(NAMES[0], images) + images[:-46]
    end = len(data)
    entries = [entry, crafted.Entry(NAMES[0], start, len(images), zlib.crc32(images))]
    return data + crafted.zip_directory(entries, end)


OVERLAPPING = {
    "900 of one range": same_range(900),
    "two of one range": same_range(1),
    "the whole dataset twice": listed_twice(),
    "one inside another": one_inside_another(),
    "one ends in the header of the next": end_in_the_next(),
    "one in the extra field of another": in_an_extra_field(),
    "one reaches into the directory": reach_into_the_directory(),
    "200 headers of one range": crafted.zip_of_one_range(MANY_NAMES, LARGE),
}


@pytest.mark.parametrize(
    "ways", [["arrays"], pytest.param(WAYS, marks=pytest.mark.slow)], ids=["arrays", "all"]
)
def test_members_of_a_zip_that_overlap_are_refused(ways: Sequence[str], read: Any) -> None:
    cases = []
    for what, content in OVERLAPPING.items():
        cases += [(what, content, way, 2) for way in ways]
    results = read(cases)
    assert_refused(results)
    for _, message in results.values():
        assert "set-" in message


def make_zip(method: int, streamed: bool = False, **members: bytes) -> bytes:
    """A zip of the standard library. A streamed one has the sizes behind each member."""
    kind = type("Pipe", (io.BytesIO,), {"seekable": lambda self: False}) if streamed else io.BytesIO
    buffer = kind()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.comment = b"a comment"
        for name, content in {**members, **FILES}.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def gap_between() -> bytes:
    """What is left where a program that keeps the rest has deleted a member."""
    members = [(b"deleted", b"x" * 99), *PAIR]
    return crafted.make_zip(members, lambda entries: entries[1:])


@pytest.mark.parametrize("way", MODES)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(make_zip(zipfile.ZIP_STORED), id="stored"),
        pytest.param(make_zip(zipfile.ZIP_DEFLATED), id="deflated"),
        pytest.param(make_zip(zipfile.ZIP_STORED, streamed=True), id="stored in a stream"),
        pytest.param(make_zip(zipfile.ZIP_DEFLATED, streamed=True), id="deflated in a stream"),
        pytest.param(make_zip(zipfile.ZIP_STORED, a=b"", b=b""), id="empty members"),
        pytest.param(gap_between(), id="a gap"),
        pytest.param(crafted.make_zip(PAIR, lambda entries: entries[::-1]), id="another order"),
    ],
)
def test_members_of_a_zip_that_do_not_overlap_are_read(
    content: bytes,
    way: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / "set.zip"
    path.write_bytes(content)
    options = {"splits": ("train",), "data_dir": str(path), "as_array": True}
    assert_same(read_all(way, "idxfolder", **options), EXPECTED)


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("form", ["set.tar", "stored.zip"])
def test_an_archive_of_many_datasets_is_verified_soon(
    form: str,
    tmp_path: Path,
    hf_home: Path,
) -> None:
    files = {}
    for number in range(900):
        files[f"set{number}-train-images-idx3-ubyte"] = FILES["train-images-idx3-ubyte"]
    path = write_archive(tmp_path / form, files)
    ((state, found),) = read_bounded([("verify", str(path), 10)], hf_home)
    assert state == "read" and "900 files, all valid" in found


# A compressed tar is read once, or little more

SHAPES = {"train-images-idx3-ubyte": (30, 1000, 1000), "t10k-images-idx3-ubyte": (10, 1000, 1000)}


@pytest.fixture(scope="module", params=["set.tar.xz", "set.tar.bz2"])
def large(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tar of four members, 40 MB that compress to half."""
    files: dict[str, bytes] = {}
    for name, shape in SHAPES.items():
        files[name] = to_idx(random_images(*shape) & 15)
        labels = name.replace("images-idx3", "labels-idx1")
        files[labels] = to_idx(random_labels(shape[0]))
    path = tmp_path_factory.mktemp("large") / request.param
    tar = make_tar(files)
    path.write_bytes(lzma.compress(tar, preset=0) if path.suffix == ".xz" else bz2.compress(tar, 1))
    return path


@pytest.mark.measures
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS[:4])
def test_a_compressed_tar_is_decompressed_a_few_times_at_most(
    way: str,
    large: Path,
    hf_home: Path,
) -> None:
    args = {"path": str(large), "way": way}
    once, took = run_client(
        "compare_with_decompression", home=hf_home, args=args, timeout=600
    ).result
    # `load_arrays` is called twice.
    assert took < (8 if way == "arrays" else 6) * once


@pytest.mark.slow
def test_a_streamed_compressed_tar_is_fetched_a_few_times_at_most(
    large: Path,
    hf_home: Path,
    serve: Serve,
) -> None:
    server = serve({f"/{large.name}": large})
    args = {"url": server.url(f"/{large.name}")}
    assert run_client("count_streamed", home=hf_home, args=args, timeout=600).result == 40
    server.settle()
    assert server.sent() < 3 * large.stat().st_size


# Drawn archives

FORMS = ("folder", "set.tar", "set.tar.gz", "set.tar.xz", "stored.zip", "deflated.zip")
PARTS = st.sampled_from([(), (), (1,), (2,), (10,)])  # of a label


@st.composite
def datasets_drawn(draw: st.DrawFn) -> dict[str, bytes]:
    """The files of one split or two, each compressed in some way."""
    files = {}
    parts, dtype = draw(PARTS), draw(st.sampled_from(["uint8", "int16", "float32"]))
    for stem in draw(st.sampled_from([("train",), ("t10k",), ("train", "t10k")])):
        count = draw(st.integers(1, 4))
        pixels = draw(arrays(dtype, (count, 2, 3)))
        classes = draw(arrays("uint8", (count, *parts)))
        for role, array in (("images-idx3", pixels), ("labels-idx1", classes)):
            packing = draw(st.sampled_from(sorted(PACKINGS)))
            files[f"{stem}-{role}-ubyte{packing}"] = PACKINGS[packing](to_idx(array))
    return files


@given(files=datasets_drawn(), form=st.sampled_from(FORMS))
def test_drawn_archives_are_read_as_they_are(
    tmp_path_factory: pytest.TempPathFactory,
    files: dict[str, bytes],
    form: str,
) -> None:
    path = write_archive(tmp_path_factory.mktemp("drawn") / form, files)
    check(path)
    for split, (images, labels) in oracle.read_splits(path).items():
        found = mnist_idx.load_arrays("idxfolder", data_dir=str(path), split=split)
        np.testing.assert_array_equal(found[0], images)
        np.testing.assert_array_equal(found[1], labels)


@given(
    drawn=st.lists(st.tuples(datasets_drawn(), st.sampled_from(FORMS[1:])), min_size=2, max_size=3),
    zeros=st.sampled_from([0, 1, 512, 1024, 10240]),
    packing=st.sampled_from(sorted(PACKINGS)),
)
def test_drawn_archives_one_behind_another_are_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: list[tuple[dict[str, bytes], str]],
    zeros: int,
    packing: str,
) -> None:
    folder = tmp_path_factory.mktemp("drawn")
    parts = [write_archive(folder / form, files).read_bytes() for files, form in drawn]
    path = folder / "several"
    path.write_bytes(PACKINGS[packing](bytes(zeros).join(parts)))
    check(path)
