"""Publish datasets as Parquet files with a card: in a folder, or on the Hugging Face Hub."""

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

from huggingface_hub import CommitInfo, CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
from huggingface_hub.utils import validate_repo_id

from ..catalog import DATASETS
from ..errors import IdxError, TransferError, without_secrets
from ..fetching import clean_token
from ..mnist_idx import MnistIdx
from ..paths import quoted
from ..remote import explain
from ..suggestions import closest_names, did_you_mean
from .card_facts import ConfigFacts, Options, gather_facts
from .card_owner import Renewed, moved, renew
from .card_place import Place
from .card_sections import CardFacts
from .dataset_types import is_dataset
from .exported import ExportedSplits, whole_splits
from .image_folder import check_no_pattern
from .opening import open_builder
from .parquet_card import CardConfig, make_card, set_sizes
from .parquet_folder import (
    DATA,
    DATA_PATH,
    PREVIEW,
    PUBLISHED_PATH,
    README,
    ParquetOptions,
    draw_preview,
    is_exported,
    is_replaceable,
    read_card,
    write_card,
)
from .parquet_shards import ShardWriter
from .shard_workers import Workers
from .staged import staged

REPO_TYPE = "dataset"
# How the client ends what it says of the name of a repository, which stands in front here.
REPEATED_NAME = re.compile(r": '[^']*'\.?(?: Use `repo_type` argument if needed\.)?$")
SHARD_NUMBER = re.compile(r"-\d{5}-of-(?P<count>\d{5})\.parquet$")

# The bases of the client's own error include that of its HTTP library, which differs between
# versions.
CLIENT_ERRORS: tuple[type[BaseException], ...] = (
    OSError,
    RuntimeError,
    ValueError,
    *HfHubHTTPError.__bases__,
)
NO_RIGHT = (
    "Name a repository that you may write to, check what the token may do, "
    "or propose it with create_pr=True."
)
TYPED_NO_RIGHT = NO_RIGHT.replace("create_pr=True", "--create-pr")
OVERTAKEN = "The repository has changed meanwhile. Push again."
NO_TOKEN = "Make a token in the settings there, then run `hf auth login` or set HF_TOKEN."
NO_LOGIN = "no access token was found. Run `hf auth login`, set HF_TOKEN, or pass"
TRY_AGAIN = "The repository is as it was, or complete. Try again."
WAYS_OUT = {401: NO_TOKEN, 403: NO_RIGHT, 404: NO_RIGHT, 409: OVERTAKEN, 412: OVERTAKEN}

# Names of configs, or a mapping of them to their options.
Configs = Iterable[str] | Mapping[str, Mapping[str, object]]


class PushResult(NamedTuple):
    """What `push_to_hub` did."""

    url: str  # of the repository, or of the pull request
    commit: str | None  # that holds the data; None after a dry run
    changed: bool  # whether the push made a commit; True of a dry run, which does not ask
    files: dict[str, int]  # path in the repository → bytes
    keeps_card: bool = False  # the text of the card there is its owner's, and was kept


def export(
    folder: str | os.PathLike[str],
    configs: Configs = ("mnist", "subset"),
    *,
    overwrite: bool = False,
    num_shards: int | None = None,
    num_proc: int = 1,
    ray: str | None = None,
) -> Path:
    """Write a published dataset to a folder, as `push_to_hub` publishes it. Returns the folder.

    `load_dataset(folder)` loads it without this package. The folder appears whole or not at all.

    >>> import datasets
    >>> from mnist_idx import export
    >>> folder = export("digits", ["tiny"])
    >>> datasets.load_dataset("digits", split="test").num_rows
    200

    Args:
        configs: names of configs of one dataset, or a mapping of them to their options:
            `{"subset": {"num_samples": 750}}`. The default config is `mnist`, else the first.
        overwrite: replace an earlier export. A folder that holds anything else is never replaced,
            nor is a `README.md` that somebody has changed.
        num_shards: files to divide the largest split into; by default files of about 500 MB.
        num_proc: processes that write them.
        ray: write them in the tasks of a Ray cluster, by its address: "auto", "host:port"; "" for
            that of the environment, or one on this machine.

    Raises:
        IdxError: a config is unknown, the data is invalid or unavailable, or the folder cannot be
            written.
    """
    _refuse_dataset(folder, 'dataset.to_parquet("train.parquet")')
    options = ParquetOptions(num_shards, Workers(num_proc, ray))
    options.check()
    check_no_pattern(folder)
    place = Place.of_folder(folder)
    with staged(folder, overwrite, is_replaceable) as path:
        _build(path, _create_builders(configs, path), options, place)
    return Path(folder).expanduser().absolute()


def push_to_hub(
    repo_id: str,
    configs: Configs = ("mnist", "subset"),
    *,
    folder: str | os.PathLike[str] | None = None,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    create_pr: bool = False,
    dry_run: bool = False,
) -> PushResult:
    """Publish a dataset on the Hugging Face Hub: `load_dataset(repo_id)` needs no package then.

    Data, card and picture arrive in one commit: a push that fails leaves the repository as it was.
    Parquet files of earlier pushes that are not part of this one are deleted, nothing else. Configs
    are not published where the records of a `folder` are. Without changes there is no commit.
    Returns where it is, and the bytes of each file by its path.

    >>> from mnist_idx import push_to_hub
    >>> result = push_to_hub("user/digits", ["tiny"], dry_run=True)
    >>> result.url, "README.md" in result.files
    ('https://huggingface.co/datasets/user/digits', True)

    A card that somebody has written, or changed, keeps its text: only what its metadata tells of
    the data is updated. Delete `README.md` there to have the card written anew.

    Args:
        repo_id: "name", "user/name" or "organization/name". The repository is created if it does
            not exist.
        configs: as for `export`.
        folder: what `mnist-idx export SOURCE FOLDER` has written, to publish it in place of
            configs.
        private: whether to create a private repository; by default what its owner has set. An
            existing one must agree.
        token: an access token; by default that of `hf auth login` or of the environment variable
            `HF_TOKEN`.
        revision: branch to publish on, created if it does not exist. By default `main`.
        commit_message: first line of the commit message. `commit_description` is the rest of it.
        create_pr: open a pull request instead of changing the branch.
        dry_run: only find out what would be uploaded. Needs no token and asks nothing of the Hub,
            so that a card which is there already is not known.

    Raises:
        IdxError: an argument is wrong, the data is invalid or unavailable, or the Hub refuses the
            push.
        TransferError: the Hub cannot be reached, or fails.
    """
    _refuse_dataset(repo_id, 'dataset.push_to_hub("user/name")')
    if create_pr and revision not in (None, "main"):
        raise _pull_request_of_a_branch(revision)
    api = HfApi(token=None if token is None else clean_token(token), library_name="mnist_idx")
    with _open_content(configs, folder) as content:
        with translate_errors(repo_id, api):
            validate_repo_id(repo_id)
            if not dry_run:
                repo_id = _full_name(api, repo_id)
        files = content.make(Place.of_repository(repo_id, revision))
        url = f"{api.endpoint}/datasets/{repo_id}"
        if dry_run:
            return PushResult(url, None, changed=True, files=files.sizes)
        with translate_errors(repo_id, api):
            _prepare_repository(api, repo_id, private, revision)
            head = api.dataset_info(repo_id, revision=revision).sha
            destination = _Destination(repo_id, revision, create_pr, head)
            message = commit_message or f"Publish {content.name}"
            present = api.list_repo_files(repo_id, repo_type=REPO_TYPE, revision=head)
            content.check_present(repo_id, present)
            card = _renew_card(api, destination, present, files.card)
            files = files._replace(card=card.card)
            changes = _upload(api, destination, files, present)
            commit = _commit(api, destination, changes, message, commit_description)
    changed = commit.oid != head
    return PushResult(commit.pr_url or url, commit.oid, changed, files.sizes, card.keeps_text)


def _refuse_dataset(value: object, call: str) -> None:
    """Refuse a dataset in place of a name.

    Args:
        call: what does with a dataset what is wanted, in code.
    """
    if is_dataset(value) or isinstance(value, dict):
        found = f"Expected a name, found a {type(value).__name__}"
        raise IdxError(f"{found}. This publishes configs of mnist_idx. Of others call {call}.")


def _pull_request_of_a_branch(revision: str | None) -> IdxError:
    found = "a pull request goes to main. Leave out"
    return IdxError(
        f"revision={revision!r}: {found} revision=… or create_pr=True.",
        command_line=f"--revision {revision}: {found} --revision or --create-pr.",
    )


# What is published


class _Files(NamedTuple):
    """The files of a folder, and the card that is published in place of the one there."""

    folder: Path
    sizes_in_folder: dict[str, int]  # bytes by the path in the folder
    card: str

    @property
    def sizes(self) -> dict[str, int]:
        return {**self.sizes_in_folder, README: len(self.card.encode("utf-8"))}


class _Content(Protocol):
    """What is published."""

    @property
    def name(self) -> str: ...

    def make(self, place: Place) -> _Files:
        """Make the files, with a card whose programs load from a place."""

    def check_present(self, repo_id: str, present: Iterable[str]) -> None:
        """Refuse a repository with records in whose place these would be loaded."""


@contextmanager
def _open_content(configs: Configs, folder: str | os.PathLike[str] | None) -> Iterator[_Content]:
    """What is published, checked as far as that takes no time."""
    if folder is not None:
        exported = _ExportedFolder(Path(folder).expanduser().absolute())
        exported.check()
        yield exported
        return
    with (
        # Windows removes no files that are mapped, as those of `datasets` may still be.
        TemporaryDirectory(prefix="mnist_idx-", ignore_cleanup_errors=True) as temporary,
        staged(f"{temporary}/content", overwrite=False) as content,
    ):
        yield _Configs(content, _create_builders(configs, content))


class _Configs(NamedTuple):
    """Published datasets, whose files are made in a new folder."""

    folder: Path
    builders: dict[str, MnistIdx]

    @property
    def name(self) -> str:
        return ", ".join(self.builders)

    def make(self, place: Place) -> _Files:
        _build(self.folder, self.builders, ParquetOptions(), place)
        return _Files(self.folder, _sizes_of_files(self.folder), read_card(self.folder))

    def check_present(self, repo_id: str, present: Iterable[str]) -> None:
        """Refuse a repository with records of an exported folder: these are not in this push."""
        others = [path for path in present if DATA_PATH.fullmatch(path)]
        if not others:
            return
        found = f"{repo_id}: holds {others[0]}, which is not of {self.name}"
        advice = f"To publish {self.name} in its place, delete the folder {DATA} there"
        folder = "To publish a folder of yours, pass"
        raise IdxError(
            f"{found}. {folder} folder=…. {advice}.",
            command_line=f"{found}. {folder} --folder FOLDER. {advice}.",
        )


class _ExportedFolder(NamedTuple):
    """A folder that an export has written."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def way_out(self) -> str:
        return f"Write it with: mnist-idx export SOURCE {self.folder}"

    def check(self) -> None:
        """Refuse what is no folder, before the Hub is asked for anything."""
        if not self.folder.is_dir():
            is_file = self.folder.exists()
            found = "expected a folder, found a file" if is_file else "no such folder"
            raise IdxError(f"{self.folder}: {found}. {self.way_out}")

    def make(self, place: Place) -> _Files:
        """Check that all files are there, and no others. The folder stays as it is."""
        way_out = self.way_out
        if not (self.folder / README).is_file():
            raise IdxError(f"{self.folder}: found no {README} of an export. {way_out}")
        files = _sizes_of_files(self.folder)
        for path in files:
            if not is_exported(self.folder, path):
                found = f"{self.folder}: found {path}, which no export has written"
                upload = f"hf upload REPOSITORY {self.folder} --repo-type dataset"
                raise IdxError(f"{found}. Move it away, or upload all of the folder: {upload}")
            missing = [name for name in _all_shards(path) if name not in files]
            if missing:
                raise IdxError(f"{self.folder}: {missing[0]} is missing. {way_out} --overwrite")
        return _Files(self.folder, files, moved(read_card(self.folder), place))

    def check_present(self, repo_id: str, present: Iterable[str]) -> None:
        """Take any repository: the user has named the folder."""


def _all_shards(path: str) -> list[str]:
    """The paths of all files among which one is, by its name.

    >>> _all_shards("data/test-00001-of-00002.parquet")
    ['data/test-00000-of-00002.parquet', 'data/test-00001-of-00002.parquet']
    """
    match = SHARD_NUMBER.search(path)
    if match is None:
        return [path]
    count = int(match["count"])
    return [f"{path[: match.start()]}-{n:05d}-of-{count:05d}.parquet" for n in range(count)]


def _create_builders(configs: Configs, folder: Path) -> dict[str, MnistIdx]:
    """Check the configs. Returns their builders, the default one first."""
    names = [configs] if isinstance(configs, str) else list(configs)
    if not names or not set(names) <= set(DATASETS):
        unknown = [name for name in names if name not in DATASETS]
        meant = [quoted(name) for wrong in unknown for name in closest_names(str(wrong), DATASETS)]
        expected = f"expected one or more of {', '.join(DATASETS)}.{did_you_mean(meant)}"
        way_out = 'For others: load_dataset("idxfolder", …).push_to_hub(…).'
        raise IdxError(f"configs={names}: {expected} {way_out}")
    families = {DATASETS[name].family for name in names}
    if len(families) > 1:
        found = f"{', '.join(names)}: different datasets, with licenses of their own"
        raise IdxError(f"{found}. Publish them one by one.")
    options = configs if isinstance(configs, Mapping) else {}
    cache = str(folder.with_name("cache"))  # A new one: all data is verified now.
    builders: dict[str, MnistIdx] = {}
    for name in DATASETS:
        if name in names:
            given = options.get(name, {})
            builders[name] = MnistIdx(config_name=name, cache_dir=cache, **given)
    return builders


def _build(
    folder: Path, builders: Mapping[str, MnistIdx], options: ParquetOptions, place: Place
) -> None:
    """Write all that is published to a new folder, with a card whose programs load from `place`."""
    folder.mkdir()
    opened: list[ExportedSplits] = []
    facts: list[ConfigFacts] = []
    for name, builder in builders.items():
        as_array = builder.config.as_array
        # Downloaded, and verified: what is published is the published data.
        splits = whole_splits(open_builder(builder, builder.make_fetcher(streaming=False)))
        writer = ShardWriter(splits, folder, folder.with_name("notes"), as_array)
        written = options.write(splits, writer, options.plan(splits, name, as_array))
        set_sizes(builder.info, written)
        config = builder.config
        selected = Options(as_array, config.selection, config.transpose)
        facts.append(gather_facts(splits, written, selected, name, DATASETS[name]))
        opened.append(splits)
    draw_preview(opened[0], folder / PREVIEW)
    title = DATASETS[next(iter(builders))].title
    configs = [CardConfig(builders[name].info, name) for name in builders]
    write_card(folder, make_card(CardFacts(title, facts, PREVIEW), configs, place))


def _sizes_of_files(folder: Path) -> dict[str, int]:
    """The bytes of each file below a folder, by its path in it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


# The Hub


class _Destination(NamedTuple):
    """Where a commit goes."""

    repo_id: str
    revision: str | None  # branch; None for `main`
    create_pr: bool
    head: str | None  # the commit to build on


def _full_name(api: HfApi, repo_id: str) -> str:
    """The name of a repository with its owner, by default the user. Fails without a valid token."""
    user = api.whoami()["name"]
    return repo_id if "/" in repo_id else f"{user}/{repo_id}"


def _prepare_repository(
    api: HfApi, repo_id: str, private: bool | None, revision: str | None
) -> None:
    """Create the repository and its branch, as far as they do not exist."""
    api.create_repo(repo_id, repo_type=REPO_TYPE, private=private, exist_ok=True)
    if private is not None:
        _check_visibility(api, repo_id, private)
    if revision is not None and not revision.startswith("refs/"):
        api.create_branch(repo_id, repo_type=REPO_TYPE, branch=revision, exist_ok=True)


def _check_visibility(api: HfApi, repo_id: str, private: bool) -> None:
    """Refuse a repository that existed already, and is private or public unlike what is asked."""
    if api.dataset_info(repo_id).private is private:
        return
    found = f"{repo_id}: exists and is {'public' if private else 'private'}"
    settings = f"{api.endpoint}/datasets/{repo_id}/settings"
    advice = f"{found}. Change that at {settings}, or leave out"
    typed = "--private" if private else "--no-private"
    raise IdxError(f"{advice} private={private}.", command_line=f"{advice} {typed}.")


def _renew_card(
    api: HfApi, destination: _Destination, present: Collection[str], card: str
) -> Renewed:
    """The card to publish: where people have written one, with their text."""
    if README not in present:
        return Renewed(card, keeps_text=False)
    repo_id = destination.repo_id
    with TemporaryDirectory(prefix="mnist_idx-", ignore_cleanup_errors=True) as temporary:
        downloaded = api.hf_hub_download(
            repo_id,
            README,
            repo_type=REPO_TYPE,
            revision=destination.head,
            local_dir=temporary,
        )
        content = Path(downloaded).read_bytes()
    try:
        return renew(content.decode("utf-8"), card)
    except ValueError as error:
        found = f"{repo_id}: {README} there cannot be read: {error}"
        raise IdxError(f"{found}. Correct or delete it there, then push again.") from error


def _upload(
    api: HfApi, destination: _Destination, files: _Files, present: Iterable[str]
) -> list[CommitOperationAdd | CommitOperationDelete]:
    """Upload the content of files. Returns what a commit has to add and to delete.

    Args:
        present: the paths of the files in the repository.
    """
    changes: list[CommitOperationAdd | CommitOperationDelete] = []
    paths = files.sizes
    for path in paths:
        content: str | bytes = str(files.folder / path)
        if path == README:
            content = files.card.encode("utf-8")
        addition = CommitOperationAdd(path, content)
        # One by one: several are uploaded in threads, which Ctrl-C waits for.
        api.preupload_lfs_files(
            destination.repo_id,
            [addition],
            repo_type=REPO_TYPE,
            revision=destination.revision,
            create_pr=destination.create_pr,
            free_memory=False,
        )
        changes.append(addition)
    for path in present:
        if path not in paths and _is_of_earlier_push(path, paths):
            changes.append(CommitOperationDelete(path, is_folder=False))
    return changes


def _is_of_earlier_push(path: str, files: Collection[str]) -> bool:
    """Whether a file in a repository is from an earlier push, and has no place beside these."""
    if PUBLISHED_PATH.fullmatch(path):
        return True
    # Other datasets have such names, too: only what would be loaded as a part of these.
    splits = {SHARD_NUMBER.sub("", file) for file in files if DATA_PATH.fullmatch(file)}
    return DATA_PATH.fullmatch(path) is not None and SHARD_NUMBER.sub("", path) in splits


def _commit(
    api: HfApi,
    destination: _Destination,
    changes: Iterable[CommitOperationAdd | CommitOperationDelete],
    message: str,
    description: str | None,
) -> CommitInfo:
    """Make one commit of all changes, unless somebody has made another one meanwhile."""
    return api.create_commit(
        destination.repo_id,
        changes,
        commit_message=message,
        commit_description=description,
        repo_type=REPO_TYPE,
        revision=destination.revision,
        create_pr=destination.create_pr,
        parent_commit=destination.head,
    )


# Errors of the Hub


@contextmanager
def translate_errors(repo_id: str, api: HfApi) -> Iterator[None]:
    """Turn errors of `huggingface_hub` into an `IdxError` that says what to do."""
    try:
        yield
    except IdxError:
        raise
    except CLIENT_ERRORS as error:
        title = f"{repo_id}: {api.endpoint}"
        raise _in_our_words(error, title) from without_secrets(error)


def _in_our_words(error: BaseException, title: str) -> IdxError:
    """The error of the client as one that says what to do."""
    if isinstance(error, LocalTokenNotFoundError):
        found = f"{title}: {NO_LOGIN}"
        return IdxError(f"{found} token=….", command_line=f"{found} --token.")
    if isinstance(error, HFValidationError):
        reason = REPEATED_NAME.sub("", str(error)).rstrip(".")
        return IdxError(f"{title}: {reason}.")
    reason, may_pass = explain(error)
    refusal = _refusal(error)
    said = getattr(refusal, "server_message", None)
    if said:
        reason += f": {said}"
    found = f"{title}: {reason.rstrip('.')}."
    if may_pass:
        return TransferError(f"{found} {TRY_AGAIN}")
    response = getattr(refusal, "response", None)
    if response is None or response.status_code not in WAYS_OUT:
        return IdxError(found)
    way_out = WAYS_OUT[response.status_code]
    typed = TYPED_NO_RIGHT if way_out == NO_RIGHT else way_out
    return IdxError(f"{found} {way_out}", command_line=f"{found} {typed}")


def _refusal(error: BaseException) -> BaseException | None:
    """The error that has the answer of the Hub: of an upload, it is the cause."""
    has_answer = getattr(error, "response", None) is not None
    return error if has_answer else error.__cause__
