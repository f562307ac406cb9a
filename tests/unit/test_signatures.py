"""What a file is that is no IDX file, by its first bytes."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from idx_files import make_tar, to_idx
from PIL import Image

from mnist_idx.signatures import find_foreign, is_idx


def numpy_file(save: object, **arrays: object) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)  # type: ignore[operator]
    return buffer.getvalue()


def picture(form: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("L", (3, 3)).save(buffer, form)
    return buffer.getvalue()


def plain_zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("train-images", b"x")
    return buffer.getvalue()


def old_tar() -> bytes:
    """A tar of the format before POSIX, which has no magic number."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("train-images"))
    block = bytearray(buffer.getvalue()[:512])
    block[257:265] = bytes(8)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize(
    ("head", "what", "advice"),
    [
        pytest.param(b"", "an empty file", "again", id="nothing"),
        pytest.param(b"<!DOCTYPE html><p>", "HTML", "download the file again", id="html"),
        pytest.param(b"\n  <HTML>", "HTML", "download the file again", id="html-after-spaces"),
        pytest.param(b"<?xml version='1.0'?>", "XML", "download the file again", id="xml"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1", "LFS", "pull", id="lfs"),
        pytest.param(numpy_file(np.save, arr=np.zeros(3)), "NumPy", "numpy.load", id="npy"),
        pytest.param(numpy_file(np.savez, x=np.zeros(3)), "npz", "write_idx", id="npz"),
        pytest.param(plain_zip(), "a zip", "unpack it", id="zip"),
        pytest.param(make_tar({"a": b"b"}), "a tar", "unpack it", id="tar"),
        pytest.param(old_tar(), "a tar", "unpack it", id="old-tar"),
        pytest.param(gzip.compress(b"x"), "gzip data", "Decompress", id="gzip-again"),
        pytest.param(bz2.compress(b"x"), "bzip2 data", "Decompress", id="bzip2-again"),
        pytest.param(lzma.compress(b"x"), "xz data", "Decompress", id="xz-again"),
        pytest.param(
            lzma.compress(b"x", lzma.FORMAT_ALONE), "LZMA", "unlzma", id="old-format-of-lzma"
        ),
        pytest.param(b"\x28\xb5\x2f\xfd1234", "Zstandard", "unzstd", id="zstandard"),
        pytest.param(b"7z\xbc\xaf\x27\x1c", "7z", "7z x", id="7z"),
        pytest.param(b"Rar!\x1a\x07", "RAR", "unrar", id="rar"),
        pytest.param(
            b"\xef\xbb\xbf\0\0\x08\x03", "byte-order mark", "binary mode", id="utf-8-mark"
        ),
        pytest.param("text".encode("utf-16"), "UTF-16", "binary mode", id="utf-16-mark"),
        pytest.param(picture("PNG"), "a picture", "imagefolder", id="png"),
        pytest.param(picture("JPEG"), "a picture", "imagefolder", id="jpeg"),
        pytest.param(picture("GIF"), "a picture", "imagefolder", id="gif"),
        pytest.param(b"\x89HDF\r\n\x1a\n", "HDF5", "h5py", id="hdf5"),
        pytest.param(b"PAR1\x15\x04", "Parquet", "load_dataset", id="parquet"),
        pytest.param(b"MATLAB 5.0 MAT-file", "MATLAB", "loadmat", id="matlab"),
        pytest.param(b"\x80\x04\x95", "pickle", "pickle.load", id="pickle"),
        pytest.param(b"label,pixel0\n5,0,0\n", "text", "convert csv", id="csv"),
        pytest.param(
            to_idx(np.zeros((2, 3), np.uint8))[3::-1], "little-endian", "again", id="little-endian"
        ),
        pytest.param(bytes(784), "starts with zeros", "numpy.fromfile", id="pixels"),
        pytest.param(b"\x05\x00\xff\x81", r"b'\x05", "numpy.fromfile", id="anything-else"),
    ],
)
def test_what_a_file_is_and_what_to_do_is_said(head: bytes, what: str, advice: str) -> None:
    foreign = find_foreign(head[:512])
    assert what in foreign.what
    assert advice in foreign.advice
    message = foreign.explain("file")
    assert message.startswith("file: found ")
    assert ", expected an IDX file. " in message


@given(st.binary(max_size=600))
def test_any_first_bytes_are_idx_or_described(head: bytes) -> None:
    if not is_idx(head):
        foreign = find_foreign(head)
        assert foreign.what
        assert not foreign.advice.endswith(".")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "float32", "float64"])
def test_an_idx_file_is_known(dtype: str) -> None:
    assert is_idx(to_idx(np.zeros((2, 3), dtype)))
