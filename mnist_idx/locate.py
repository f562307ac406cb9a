"""Finds the members of each split of a published data set, in the first of its sources that works."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets

from .archive import list_members
from .idx import IdxError
from .names import is_same_name
from .records import SplitFiles, SplitReader
from .sources import DATA_SETS, DataSet, File, Source
from .stream import Locator, verify_member
from .transfer import download, is_remote

logger = datasets.utils.logging.get_logger(__name__)

MIRROR_VARIABLE = "MNIST_IDX_MIRROR"
MAKE_ROOM = "Make room there, or set cache_dir= or the environment variable HF_HOME to another disk."


class Published:
    """The splits of a published data set.

    Args:
        title: what messages call the data set.
        data_set: what is known about it.
        sources: where it can be had, in the order in which they are tried.
        download_config: token and storage options for remote files.
        verify_first: whether downloads are verified before they are used; else whoever reads them verifies them.
    """

    def __init__(
        self,
        title: str,
        data_set: DataSet,
        sources: list[Source],
        download_config: datasets.DownloadConfig,
        verify_first: bool = True,
    ) -> None:
        self.verify_first = verify_first
        self.title = title
        self.data_set = data_set
        self.sources = sources
        self.download_config = download_config

    def locate(self, dl_manager: Any, first: int = 0, failures: Iterable[str] = ()) -> dict[str, SplitFiles]:
        """Locate the splits in the first source, from number `first` on, in which all is as it should be.

        Args:
            dl_manager: downloads what is located, and has it verified; None or a streaming one leaves it where it is.
            first: number of the source to begin with.
            failures: why those before it cannot be used.

        Raises:
            IdxError: no source can be used; the message tells why for each.
        """
        failures = list(failures)
        for number, source in enumerate(self.sources[first:], first):
            try:
                if dl_manager is None or dl_manager.is_streaming:
                    return self._match(self._addresses(source), number)
                return self._download(dl_manager, source, number)
            except IdxError as error:
                failures.append(str(error) if source.url in str(error) else f"{source.url}: {error}")
                if number + 1 < len(self.sources):
                    logger.warning(f"{source.url} cannot be used: {error} Going on to {self.sources[number + 1].url}.")
            except OSError as error:  # of the local disk, so that no other source would help
                place = dl_manager.download_config.cache_dir
                raise IdxError(f"{place}: cannot be written to keep {source.url}: {error}. {MAKE_ROOM}") from error
        listed = "\n".join(f"- {failure}" for failure in failures)
        has_mirror = self.data_set is DATA_SETS["mnist"]
        mirror = f"set {MIRROR_VARIABLE} to a URL or path of the archive, " if has_mirror else ""
        raise IdxError(
            f"None of the sources of {self.title} can be used:\n{listed}\n"
            f"Ways out: {mirror}pass data_dir= with a folder or archive of the IDX files, or load the miniature "
            '"tiny", which needs no network.'
        )

    def _download(self, dl_manager: Any, source: Source, number: int) -> dict[str, SplitFiles]:
        """Download and verify; what was downloaded earlier and turns out wrong is downloaded once again."""
        addresses = self._addresses(source)
        for last in (False, True):
            fetched = download(dl_manager, addresses, source.url)
            try:
                splits = self._match(fetched, number)
                if not self.verify_first:
                    return splits
                return {name: _verified(files) for name, files in splits.items()}
            except IdxError:
                # `datasets` reuses a download by its address for ever, be it wrong or cut short.
                if not _evict(addresses, fetched) or last:
                    raise
        raise AssertionError("unreachable")

    def _addresses(self, source: Source) -> str | dict[str, str]:
        """What to fetch from a source: an archive, or by published name the single files."""
        if not (is_remote(source.url) and source.url.endswith("/")):
            return source.url
        files = [file for split in self.data_set.splits.values() for file in (split.images, split.labels)]
        return {file.name: f"{source.url}{file.name}{source.ending}" for file in files}

    def _match(self, fetched: str | dict[str, str], number: int) -> dict[str, SplitFiles]:
        """Find the published files among those of a source."""
        if isinstance(fetched, str):
            members = list_members(fetched, self.download_config)
        else:
            members = [Locator(path, name) for name, path in fetched.items()]

        def find(file: File) -> Locator:
            found = _find(members, file.name, self.title)
            if is_remote(found.path) and not isinstance(fetched, str):
                found = found._replace(size=file.packed_size)  # tells a wrong file before the first record
            return found._replace(packed_size=file.packed_size, packed=file.packed, unpacked=file.unpacked)

        return {
            name: SplitFiles(find(split.images), find(split.labels), split.num_records, number)
            for name, split in self.data_set.splits.items()
        }


def _find(members: list[Locator], published: str, title: str) -> Locator:
    found = [member for member in members if is_same_name(member.name, published)]
    if not found:
        names = ", ".join(member.name for member in members[:20]) or "nothing"
        raise IdxError(f"there is no member {published!r} of {title}, packed or not. Found: {names}.")
    return found[-1]


def _verified(files: SplitFiles) -> SplitFiles:
    """Compare the members with their digests once, so that the generation need not do it again."""
    images, labels = (_verify(member) for member in (files.images, files.labels) if member is not None)
    verified = files._replace(images=images, labels=labels)
    SplitReader(verified).close()
    return verified


def _verify(member: Locator) -> Locator:
    verify_member(member)
    return member._replace(packed=None, unpacked=None)


def _evict(addresses: str | dict[str, str], fetched: Any) -> bool:
    """Remove downloads from the cache; False where nothing had been downloaded."""
    pairs = (
        [(addresses, fetched)] if isinstance(addresses, str) else [(addresses[name], fetched[name]) for name in fetched]
    )
    downloads = [str(path) for address, path in pairs if is_remote(address) and os.path.exists(path)]
    for path in downloads:
        Path(path).unlink(missing_ok=True)
        Path(f"{path}.json").unlink(missing_ok=True)
    return bool(downloads)
