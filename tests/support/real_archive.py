"""The real MNIST archive, which is not part of the repository: where it is, and how to get it."""

import os
from pathlib import Path

import pytest
from clients import ROOT
from idx_files import make_tar
from stand_in import MEMBERS

VARIABLE = "MNIST_IDX_TEST_ARCHIVE"
DOWNLOAD = "download"  # the value that asks for a download, which the cache of pytest keeps
NAME = "mnist_database.tar"


def find(config: pytest.Config) -> Path | None:
    """The archive: the one that the variable names, or one beside the checkout or in the cache.

    None if there is none. One that is named must be there.
    """
    named = os.environ.get(VARIABLE, "")
    if named not in ("", DOWNLOAD):
        if not Path(named).is_file():
            raise pytest.UsageError(f"{VARIABLE}: found no file {named}")
        return Path(named)
    for path in (ROOT.parent / "shared" / "data" / NAME, cached(config)):
        if path is not None and path.is_file():
            return path
    return None


def cached(config: pytest.Config) -> Path | None:
    """Where a download is kept for the next run; None if pytest has no cache."""
    if config.pluginmanager.has_plugin("cacheprovider"):
        return config.cache.mkdir("mnist_idx") / NAME
    return None


def download_if_asked(config: pytest.Config) -> None:
    """Download the archive if the variable asks for it, and there is none."""
    if os.environ.get(VARIABLE) != DOWNLOAD or find(config) is not None:
        return
    target = cached(config)
    if target is None:
        raise pytest.UsageError(f"{VARIABLE}={DOWNLOAD} needs the cache of pytest, which is off")
    download(target)


def download(target: Path) -> None:
    """Let the package download and verify the published files, and keep them as a tar."""
    from mnist_idx import MnistIdx
    from mnist_idx.members import Access, open_stored

    builder = MnistIdx()
    splits = builder.locate(builder.make_fetcher(streaming=False)).splits
    files = {}
    for split, names in MEMBERS.items():
        members = (splits[split].images, splits[split].labels)
        for name, member in zip(names, members, strict=True):
            with open_stored(member, Access()) as stored:
                files[name] = stored.readall()
    part = target.with_suffix(".part")
    part.write_bytes(make_tar(files))
    part.replace(target)
