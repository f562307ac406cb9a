"""Downloads through the download manager of `datasets`, which keeps and reuses them by URL."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import NamedTuple

import datasets

from .errors import IdxError, TransferError
from .fetching import RemoteOptions, location_hash
from .hf import disk_error
from .paths import is_downloaded, is_http
from .remote import ask, file_system, is_transfer_failure, retry, safe_storage_options


class Downloader:
    """A fetcher that downloads through a download manager.

    Args:
        manager: the one that `datasets` gives to a builder.
        options: with which remote files are asked whether they have changed.
    """

    keeps_copies = True

    def __init__(self, manager: datasets.DownloadManager, options: RemoteOptions) -> None:
        self._manager = manager
        self._options = options
        self._usual = manager.download_config

    def fetch(
        self, urls: Mapping[str, str], is_named: bool = True, force: bool = False
    ) -> dict[str, str]:
        """Download URLs, and return their local paths. Local paths stay as they are.

        Raises:
            TransferError: a file cannot be downloaded.
            IdxError: the disk cannot be written to.
        """
        remote = {name: url for name, url in urls.items() if is_downloaded(url)}
        if not remote:
            return dict(urls)
        for url in remote.values():
            _check_host(url)
        title = next(iter(remote.values()))
        with self._configured(title, is_named, force), _disk_errors(self._folder, title):
            copies = retry(lambda: self._manager.download(remote), title)
        return {**urls, **copies}

    def fetch_together(self, urls: Mapping[str, str], force: bool = False) -> dict[str, str]:
        """Download files that belong together, as `fetch` does. All are of the same time.

        A file that was downloaded earlier does not go with one that is new: all are downloaded
        again then.

        Raises:
            TransferError: a file was replaced while the others were downloaded.
        """
        remote = {name: url for name, url in urls.items() if is_downloaded(url)}
        if len(remote) < 2:
            return self.fetch(urls, force=force)
        changed: list[str] = []
        for must_download in (force, True):
            before = {url: self._ask_version(url) for url in remote.values()}
            kept = _list_files(self._folder)
            copies = self.fetch(urls, force=must_download)
            present = _list_files(self._folder)
            paths = [copies[name] for name in remote]
            are_new = [path not in kept or kept[path] != present.get(path) for path in paths]
            if not any(are_new):
                return copies
            changed = [url for url, version in before.items() if self._ask_version(url) != version]
            if all(are_new) and not changed:
                return copies
        title = (changed or list(remote.values()))[0]
        way_out = 'Load again with download_mode="force_redownload".'
        raise TransferError(
            f"{title}: the file was replaced while others were downloaded. {way_out}"
        )

    @property
    def _folder(self) -> str:
        """Where downloads are kept. With other storage options, a URL may be another file.

        Options for the Hub do not count: `datasets` adds them, and has a cache for its files.
        """
        config = self._usual
        folder = str(config.cache_dir or datasets.config.DOWNLOADED_DATASETS_PATH)
        options = {name: value for name, value in config.storage_options.items() if name != "hf"}
        name = location_hash(options)
        return os.path.join(folder, name) if name else folder

    @contextmanager
    def _configured(self, url: str, is_named: bool, force: bool) -> Iterator[None]:
        """Give the manager the options for a source, and then its usual ones again."""
        config = self._usual.copy()
        if not is_named:
            config.token = None
            config.storage_options = {}
        config.storage_options = safe_storage_options(config.storage_options, url)
        config.force_download = self._usual.force_download or force
        config.cache_dir = self._folder
        self._manager.download_config = config
        try:
            yield
        finally:
            self._manager.download_config = self._usual

    def _ask_version(self, url: str) -> str | None:
        """What tells a file from another one, as its server says; None if that does not answer."""
        try:
            fs, path = file_system(url, self._options)
            answer = ask(fs, path)
        except Exception as error:  # What was downloaded earlier may do without the server.
            if not isinstance(error, IdxError) and not is_transfer_failure(error):
                raise
            return None
        return f"{answer.version.validator} {answer.size}"


def _check_host(url: str) -> None:
    """Refuse an IPv6 address, whose "::" `datasets` takes for a chain of URLs."""
    host = url.partition("://")[2].partition("/")[0]
    if is_http(url) and "[" in host:
        way_out = "Use the name of the host, or streaming=True."
        raise TransferError(f"{url}: `datasets` cannot download from an IPv6 address. {way_out}")


@contextmanager
def _disk_errors(folder: str, url: str) -> Iterator[None]:
    """Raise an error of the local disk in words that say what to do."""
    try:
        yield
    except OSError as error:
        raise disk_error(f"{folder}: cannot write {url} there: {error}.", error) from error


class _FileStamp(NamedTuple):
    """What tells a file from one that takes its place."""

    inode: int
    mtime_ns: int


def _list_files(folder: str) -> dict[str, _FileStamp]:
    """The stamps of the files in a folder, by their paths; none if it cannot be listed."""
    stamps = {}
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            facts = entry.stat()
            stamps[entry.path] = _FileStamp(facts.st_ino, facts.st_mtime_ns)
    return stamps
