"""Published files → members, from the first source that works."""

from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import datasets

from .archive import Place, list_members
from .catalog import File, PublishedDataset
from .downloads import download
from .errors import IdxError, TransferError, printable
from .filenames import base_name, is_same_name
from .places import is_remote
from .records import SplitReader, pin
from .remote import disk_error
from .storage import Access, Member, SplitFiles, verify_member

logger = datasets.utils.logging.get_logger(__name__)

MIRROR_VARIABLE = "MNIST_IDX_MIRROR"


class Source(NamedTuple):
    """A place that has the files of a published dataset."""

    url: str  # or path, of an archive or a folder; the URL of a folder of single files ends in "/"
    is_named: (
        bool  # whether the user named it: options and tokens are meant for it, and for no other
    )


@dataclass
class Mirrors:
    """The sources of a published dataset. One that fails is replaced by the next."""

    title: str  # what error messages call the dataset
    dataset: PublishedDataset
    sources: list[Source]
    access: Access = field(default_factory=Access)
    way_out: str = ""  # what error messages advise when no source works
    typed_way_out: str = ""  # the same in the words of the command line

    def locate(
        self, dl_manager: Any = None, first: int = 0, failures: tuple[str, ...] = ()
    ) -> dict[str, SplitFiles]:
        """Locate the splits in the first usable source from `first` on, and verify them unless
        streamed.
        """
        streaming = dl_manager is None or dl_manager.is_streaming
        for number, source in enumerate(self.sources[first:], first):
            try:
                splits = (
                    self._match(self._urls(source), source)
                    if streaming
                    else self._download(dl_manager, source)
                )
                return {
                    name: files._replace(source=number, failures=failures)
                    for name, files in splits.items()
                }
            except IdxError as error:
                failures = self._add_failure(failures, number, error)
            except OSError as error:  # of the local disk: no other source would help
                if streaming:
                    raise IdxError(f"{source.url}: cannot be read: {error}.") from error
                folder = dl_manager.download_config.cache_dir
                raise disk_error(f"{folder}: cannot write {source.url} there: {error}.") from error
        if len(self.sources) == 1:
            raise IdxError(
                f"{failures[0]} {self.way_out}", command_line=f"{failures[0]} {self.typed_way_out}"
            )
        title = f"None of the sources of {self.title} can be used:"
        listed = [f"- {failure}" for failure in failures]
        raise IdxError(title, *listed, self.way_out, command_line=self.typed_way_out)

    def has_next(self, files: SplitFiles) -> bool:
        """Whether there is a source after that of `files`."""
        return files.source + 1 < len(self.sources)

    def next_source(self, split: str, files: SplitFiles, error: IdxError) -> SplitFiles:
        """Locate a split in the next source, after `error` in the one of `files`."""
        failures = self._add_failure(files.failures, files.source, error)
        return self.locate(None, files.source + 1, failures)[split]

    def _add_failure(
        self, failures: tuple[str, ...], number: int, error: IdxError
    ) -> tuple[str, ...]:
        url = printable(self.sources[number].url)
        failure = str(error) if url in str(error) else f"{url}: {error}"
        if number + 1 < len(self.sources):
            logger.warning(f"{failure} Trying {printable(self.sources[number + 1].url)} next.")
        return (*failures, failure)

    def _download(self, dl_manager: Any, source: Source) -> dict[str, SplitFiles]:
        """Download and verify a source.

        An invalid file that was downloaded earlier is downloaded once more.
        """
        try:
            return self._fetch(dl_manager, source, force=False)
        except TransferError:
            raise
        except IdxError:
            if not is_remote(source.url):
                raise
        return self._fetch(dl_manager, source, force=True)

    def _fetch(self, dl_manager: Any, source: Source, force: bool) -> dict[str, SplitFiles]:
        urls = self._urls(source)
        paths = download(dl_manager, urls, source.url, source.is_named, force)
        splits = self._match(paths, source)
        for name, files in splits.items():
            labels = files.labels and verify_member(files.labels, self.access)
            verified = files._replace(
                images=verify_member(files.images, self.access), labels=labels
            )
            with closing(SplitReader(verified, self.access)) as reader:
                splits[name] = pin(verified, reader.identities)
        return splits

    def _urls(self, source: Source) -> dict[str, str]:
        """What to fetch from a source: single files by their published names, or "" for an archive."""
        if not (is_remote(source.url) and source.url.endswith("/")):
            return {"": source.url}
        files = [
            file for split in self.dataset.splits.values() for file in (split.images, split.labels)
        ]
        return {file.name: f"{source.url}{file.name}{file.suffix}" for file in files}

    def _match(self, paths: dict[str, str], source: Source) -> dict[str, SplitFiles]:
        """Find the published files in what was fetched from a source, or is to be streamed from it."""
        urls = self._urls(source)
        if "" in paths:
            members = list_members(Place(paths[""], urls[""], source.is_named), self.access)
        else:
            members = [Member(path, name, url=urls[name]) for name, path in paths.items()]

        def find(file: File) -> Member:
            found = [member for member in members if is_same_name(member.name, file.name)]
            if not found:
                names = (
                    ", ".join(sorted(base_name(member.name) for member in members[:20]))
                    or "nothing"
                )
                raise IdxError(
                    f"{source.url}: found {names}, expected {file.name} of {self.title}."
                )
            # The size of a remote single file tells another file apart before the first record.
            size = file.size if "" not in paths and is_remote(found[-1].path) else found[-1].size
            known = found[-1]._replace(sha256=file.sha256, content_sha256=file.content_sha256 or "")
            return known._replace(size=size, published_size=file.size, is_named=source.is_named)

        splits = self.dataset.splits.items()
        return {
            name: SplitFiles(find(split.images), find(split.labels), split.num_records)
            for name, split in splits
        }
