"""Downloads through the download manager of `datasets`, which keeps and reuses them by URL."""

import contextlib
import os
from collections.abc import Mapping
from typing import Any

import datasets
from datasets import DownloadConfig

from .errors import IdxError, TransferError
from .places import is_downloaded, is_http, place_hash
from .remote import ask, file_system, is_transfer_failure, retry, with_http_options, without_options


def downloads_folder(config: DownloadConfig) -> str:
    """Where downloads are kept. The same URL may mean another file for other storage options.

    Not for those of the Hub, which `datasets` adds itself: the Hub's own cache has the files of the
    Hub.
    """
    folder = str(config.cache_dir or datasets.config.DOWNLOADED_DATASETS_PATH)
    place = place_hash(
        {name: value for name, value in config.storage_options.items() if name != "hf"}
    )
    return os.path.join(folder, place) if place else folder


def download(
    dl_manager: Any, urls: dict[str, str], title: str, is_named: bool = True, force: bool = False
) -> dict[str, str]:
    """Download URLs by `datasets`' download manager, and return their local paths.

    Local paths stay as they are.

    Args:
        is_named: whether the user named the source. Other sources do not get the user's options.
        force: download even what was downloaded earlier.
    """
    remote = {name: url for name, url in urls.items() if is_downloaded(url)}
    if not remote:
        return urls
    for url in remote.values():
        if is_http(url) and "[" in url.partition("://")[2].partition("/")[0]:
            way_out = "Use the name of the host, or streaming=True."
            raise TransferError(
                f"{url}: `datasets` cannot download from an IPv6 address. {way_out}"
            )
    usual = dl_manager.download_config
    config = with_http_options(
        usual if is_named else without_options(usual), next(iter(remote.values()))
    )
    config.force_download = usual.force_download or force
    config.cache_dir = downloads_folder(usual)
    dl_manager.download_config = config
    try:
        return {**urls, **retry(lambda: dl_manager.download(remote), title)}
    finally:
        dl_manager.download_config = usual


def download_together(
    dl_manager: Any, urls: Mapping[str, str], config: DownloadConfig | None, force: bool
) -> dict[str, str]:
    """Download files that belong together, as `download` does. All are of the same time.

    A file that was downloaded earlier does not go with one that is new: all are downloaded again
    then.

    Raises:
        TransferError: a file has been replaced while the others were downloaded.
    """
    remote = {name: url for name, url in urls.items() if is_downloaded(url)}
    if len(remote) < 2:
        return download(dl_manager, dict(urls), next(iter(remote.values()), ""), force=force)
    title = next(iter(remote.values()))
    folder = downloads_folder(dl_manager.download_config)
    for must_download in (force, True):
        before = {url: _ask_version(url, config) for url in remote.values()}
        kept = _stamps(folder)
        copies = download(dl_manager, dict(urls), title, force=must_download)
        now = _stamps(folder)
        are_new = [
            copies[name] not in kept or kept[copies[name]] != now.get(copies[name])
            for name in remote
        ]
        if not any(are_new):
            return copies
        changed = [url for url, version in before.items() if _ask_version(url, config) != version]
        if all(are_new) and not changed:
            return copies
    way_out = 'Load again with download_mode="force_redownload".'
    raise TransferError(
        f"{(*changed, title)[0]}: the file was replaced while others were downloaded. {way_out}"
    )


def _stamps(folder: str) -> dict[str, tuple[int, int]]:
    """What tells each file in the folder of downloads from one that takes its place."""
    stamps = {}
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            facts = entry.stat()
            stamps[entry.path] = (facts.st_ino, facts.st_mtime_ns)
    return stamps


def _ask_version(url: str, config: DownloadConfig | None) -> str:
    """What the server says of a file that tells it from another one; "" if it says nothing."""
    try:
        fs, path = file_system(url, config)
        size, version = ask(fs, path)
    except Exception as error:  # A download that was made earlier may do without the server.
        if not isinstance(error, IdxError) and not is_transfer_failure(error):
            raise
        return ""
    return f"{version.validator} {size}"
