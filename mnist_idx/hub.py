"""Publish: the data set as Parquet with its card, to a folder (`export`) or to the Hugging Face Hub (`push_to_hub`)."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, TypeVar

import numpy as np
import pyarrow.parquet as pq
from datasets import Dataset, DatasetInfo
from datasets.exceptions import DatasetGenerationError
from datasets.info import DatasetInfosDict
from datasets.utils.logging import get_logger
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi, get_token
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # re-exported, but not by __all__

from .idx import IdxError, TransferError
from .mnist_idx import MnistIdx
from .preview import contact_sheet

# The card speaks of these; data that it does not describe is not published under it.
CONFIGS = ("mnist", "subset", "tiny")
DEFAULT_CONFIGS = ("mnist", "subset")
CARD, README, PREVIEW = "dataset_card.md", "README.md", "preview.png"
PARQUET = re.compile(rf"({'|'.join(CONFIGS)})/\w+-\d{{5}}-of-\d{{5}}\.parquet")
# Small enough that the first records of a stream arrive at once, large enough that the whole is read in few requests.
ROW_GROUP = 1000
PREVIEW_RECORDS, PREVIEW_COLUMNS, PREVIEW_CELL = 48, 12, 56

# What the client library does for most of its requests, but not for those that create a repository or a commit.
WAITS = (1.0, 2.0, 4.0, 8.0, 8.0)
PASSING = frozenset({408, 429, 500, 502, 503, 504})
# A request that was refused with one of these has not been carried out.
REFUSED = frozenset({429, 503})
OVERTAKEN = frozenset({409, 412})

Configs = Iterable[str] | Mapping[str, Mapping[str, Any]]
T = TypeVar("T")

logger = get_logger(__name__)


class Published(NamedTuple):
    """What `push_to_hub` did.

    Attributes:
        url: where to look at it: the repository, or the pull request.
        commit: the commit that holds it; None after a dry run.
        changed: whether anything had to be changed there.
        files: path in the repository -> bytes, of all that makes up the data set.
    """

    url: str
    commit: str | None
    changed: bool
    files: dict[str, int]


def export(folder: str | os.PathLike[str], configs: Configs = DEFAULT_CONFIGS, *, overwrite: bool = False) -> Path:
    """Write the data set to a folder as Parquet files with a card, as `push_to_hub` publishes it.

    `load_dataset(folder)` loads it, with or without this package; `hf upload` publishes it. The folder appears whole or
    not at all.

    Args:
        folder: the folder to create. It must be empty or not exist.
        configs: names of configurations, or a mapping of them to their options, `{"subset": {"num_samples": 750}}`.
            The default configuration is `mnist`, where it is among them, else the first.
        overwrite: replace an earlier export. A folder that holds anything else is never replaced.

    Returns:
        The folder.

    Raises:
        IdxError: a configuration is unknown, the data is not what it should be, the folder cannot be written.
    """
    options = _checked_configs(configs)
    target = Path(folder).expanduser().absolute()
    _check_target(target, overwrite)
    with _explained_build(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as staging:
            content = Path(staging) / "content"
            _build(content, options)
            _move(content, target, Path(staging) / "replaced")
    return target


def push_to_hub(
    repo_id: str,
    configs: Configs = DEFAULT_CONFIGS,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    create_pr: bool = False,
    dry_run: bool = False,
) -> Published:
    """Publish the data set on the Hugging Face Hub, from where `load_dataset(repo_id)` loads it without this package.

    Data, card and preview picture arrive in one commit, so that the repository is never half done: interrupted or
    refused, the push leaves it as it was, and the same call finishes it. Of what earlier pushes left, only Parquet
    files that do not belong to `configs` are deleted. A push that would change nothing makes no commit.

    Args:
        repo_id: "name", "user/name" or "organization/name". The repository is created if there is none.
        configs: names of configurations, or a mapping of them to their options, `{"subset": {"num_samples": 750}}`.
            The default configuration is `mnist`, where it is among them, else the first.
        private: whether the repository is created private or public; by default, what its owner has set. One that
            exists must be what is asked for.
        token: an access token; by default that of `hf auth login` or of the environment variable `HF_TOKEN`.
        revision: branch to publish on; created if there is none. By default `main`.
        commit_message: first line of the commit's message.
        commit_description: the rest of it.
        create_pr: open a pull request instead of changing the branch.
        dry_run: only find out what would be uploaded. Needs no token and asks nothing of the Hub.

    Returns:
        Where it is, and what it consists of.

    Raises:
        IdxError: an argument is wrong, the data is not what it should be, or the Hub refuses.
        TransferError: the Hub cannot be reached, or keeps failing.
    """
    options = _checked_configs(configs)
    _check_repository(repo_id, revision, create_pr)
    api = HfApi(token=token, library_name="mnist_idx")
    message = commit_message or f"Publish {', '.join(options)} of MNIST"
    if not dry_run:
        repo_id = _authorized(api, repo_id)
    with TemporaryDirectory(prefix="mnist_idx-") as staging:
        folder = Path(staging) / "content"
        with _explained_build(Path(staging)):
            _build(folder, options)
        files = _files(folder)
        sizes = {path: file.stat().st_size for path, file in files.items()}
        if dry_run:
            return Published(f"{api.endpoint}/datasets/{repo_id}", None, True, sizes)
        with _explained(repo_id, api):
            _patiently(api.create_repo, repo_id, repo_type="dataset", private=private, exist_ok=True)
            if private is not None and _patiently(api.dataset_info, repo_id).private is not private:
                raise IdxError(
                    f"{repo_id}: private={private} is asked for, but the repository exists and is not. Change that at "
                    f"{api.endpoint}/datasets/{repo_id}/settings, or do not ask for it. Nothing was uploaded."
                )
            if revision is not None and not revision.startswith("refs/"):
                _patiently(api.create_branch, repo_id, repo_type="dataset", branch=revision, exist_ok=True)
            url, commit, changed = _commit(api, repo_id, files, revision, message, commit_description, create_pr)
    return Published(url, commit, changed, sizes)


# What is published.


def _checked_configs(configs: Configs) -> dict[str, dict[str, Any]]:
    """Each configuration with its options, in the order of the card."""
    if isinstance(configs, str):
        configs = (configs,)
    named = configs if isinstance(configs, Mapping) else {name: {} for name in configs}
    unknown = [name for name in named if name not in CONFIGS]
    if unknown or not named:
        raise IdxError(
            f"configs={list(named)!r}: expected one or more of {', '.join(CONFIGS)}. To publish other IDX files, load "
            "them with load_dataset and call push_to_hub of what it returns: the card here describes MNIST."
        )
    return {name: dict(named[name]) for name in CONFIGS if name in named}


def _build(folder: Path, configs: Mapping[str, Mapping[str, Any]]) -> None:
    """Everything that is published, in a new folder: Parquet files, preview picture, card."""
    folder.mkdir()
    infos, layout = DatasetInfosDict(), MetadataConfigs()
    for name, options in configs.items():
        # A cache of its own: what is published has been read and verified now.
        with TemporaryDirectory(prefix="cache-", dir=folder.parent) as cache:
            builder = MnistIdx(config_name=name, cache_dir=cache, **options)
            builder.download_and_prepare()
            splits = builder.as_dataset()
            (folder / name).mkdir()
            paths = {split: folder / name / f"{split}-00000-of-00001.parquet" for split in splits}
            for split, path in paths.items():
                _write_parquet(splits[split], path)
            if not infos:
                _draw_preview(splits["train"], folder / PREVIEW)
            infos[name] = DatasetInfo(
                features=builder.info.features,
                splits=builder.info.splits,
                download_size=sum(path.stat().st_size for path in paths.values()),
                dataset_size=builder.info.dataset_size,
            )
        layout[name] = {"data_files": [{"split": split, "path": f"{name}/{split}-*"} for split in paths]}
        if len(infos) == 1:
            layout[name]["default"] = True
    card = DatasetCard(_card_text())
    layout.to_dataset_card_data(card.data)
    infos.to_dataset_card_data(card.data)
    (folder / README).write_text(str(card), encoding="utf-8", newline="\n")


def _card_text() -> str:
    """The card as it is kept: beside the package in a checkout, in it once installed."""
    package = Path(__file__).resolve().parent
    for folder in (package, package.parent):
        if (folder / CARD).is_file():
            return (folder / CARD).read_text(encoding="utf-8")
    raise IdxError(f"{CARD} is in neither {package} nor {package.parent}: install the package anew.")


def _write_parquet(dataset: Dataset, path: Path) -> None:
    """The records with their images inside and, in the schema, what `datasets` needs to know of their features."""
    schema = dataset.features.arrow_schema
    # No image occurs twice, so that a dictionary of them would only be searched in vain.
    with pq.ParquetWriter(
        path, schema, compression="snappy", use_dictionary=["label"], write_page_index=True
    ) as writer:
        for table in dataset.with_format("arrow").iter(ROW_GROUP):
            writer.write_table(table.cast(schema), row_group_size=ROW_GROUP)


def _draw_preview(dataset: Dataset, path: Path) -> None:
    head = dataset.select(range(min(PREVIEW_RECORDS, len(dataset))))
    images = np.stack([np.asarray(image) for image in head["image"]])
    names = dataset.features["label"].names
    sheet = contact_sheet(images, list(head["label"]), names, columns=PREVIEW_COLUMNS, cell=PREVIEW_CELL)
    sheet.save(path, optimize=True)


def _files(folder: Path) -> dict[str, Path]:
    """Path in the repository -> file."""
    return {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}


# Folders.


def _check_target(target: Path, overwrite: bool) -> None:
    if target.is_symlink() or (target.exists() and not target.is_dir()):
        raise IdxError(f"{target}: is not a folder. Name one that does not exist yet.")
    found = {path.name for path in target.iterdir()} if target.is_dir() else set()
    if not found:
        return
    if not overwrite:
        raise IdxError(
            f"{target}: the folder is not empty. Name another one, or replace it with overwrite=True (--overwrite)."
        )
    foreign = sorted(found - {README, PREVIEW, *CONFIGS})
    if foreign or README not in found:
        held = f"{foreign[0]!r}" if foreign else "no card"
        raise IdxError(f"{target}: not replaced, since it is not an earlier export: it holds {held}. Name another.")


def _move(content: Path, target: Path, aside: Path) -> None:
    """Put a finished folder in its place, what was there aside."""
    replaced = target.exists()
    if replaced:
        target.rename(aside)
    try:
        content.rename(target)
    except BaseException:
        if replaced:
            aside.rename(target)
        raise


@contextmanager
def _explained_build(folder: Path) -> Iterator[None]:
    """Errors while files are made, freed of what `datasets` wraps around them, those of the disk with the way out."""
    try:
        yield
    except (OSError, DatasetGenerationError) as error:
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, (IdxError, OSError)):
            cause = cause.__cause__
        if cause is None:
            raise
        if isinstance(cause, IdxError):
            raise cause from None
        full = cause.errno in (errno.ENOSPC, errno.EDQUOT) or "disk space" in str(cause)
        reason, way_out = ("no space is left", "Free some") if full else (str(cause), "Make it writable")
        raise IdxError(
            f"{folder}: writing files failed: {reason}. Nothing was published. {way_out}, or choose another place (the "
            "environment variable TMPDIR says where temporary files go, HF_HOME where downloads go)."
        ) from error


# The Hub.


def _check_repository(repo_id: str, revision: str | None, create_pr: bool) -> None:
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise IdxError(
            f"{repo_id!r} cannot name a repository: {error} Expected 'name', 'user/name' or 'organization/name'."
        ) from error
    if create_pr and revision not in (None, "main"):
        raise IdxError(
            f"create_pr=True with revision={revision!r}: a pull request goes to main. Leave out one of the two."
        )


def _authorized(api: HfApi, repo_id: str) -> str:
    """The full name of the repository, once it is known that there is a token, that it is valid and may write."""
    if api.token is False or (not isinstance(api.token, str) and get_token() is None):
        raise IdxError(
            f"{repo_id}: publishing takes an access token, and none was found. Run `hf auth login`, set the "
            f"environment variable HF_TOKEN, or pass token=. Tokens are made at {api.endpoint}/settings/tokens."
        )
    with _explained(repo_id, api):
        user = _patiently(api.whoami)
    access = user.get("auth", {}).get("accessToken", {})
    if access.get("role") == "read":
        raise IdxError(
            f"{repo_id}: the token {access.get('displayName', '')!r} of {user['name']!r} may only read. Make one with "
            f"the role 'write' at {api.endpoint}/settings/tokens."
        )
    return repo_id if "/" in repo_id else f"{user['name']}/{repo_id}"


def _commit(
    api: HfApi,
    repo_id: str,
    files: Mapping[str, Path],
    revision: str | None,
    message: str,
    description: str | None,
    create_pr: bool,
) -> tuple[str, str | None, bool]:
    """Bring the repository to hold exactly these files of ours, by one commit or none: address, commit, changed or not.

    Each attempt begins with a look at what is there. A commit names the one that it has seen, so that of two pushes at
    a time the second takes the first into account; and where an answer got lost, the next look shows whether the commit
    was made. That does not go for a pull request, which could be opened twice: it is tried again only if refused.
    """
    common: dict[str, Any] = {"repo_type": "dataset", "revision": revision}
    changed = False
    for wait in (*WAITS, None):
        head = _patiently(api.dataset_info, repo_id, revision=revision).sha
        outdated, superfluous = _patiently(_compare, api, repo_id, head, files)
        if not outdated and not superfluous:
            return f"{api.endpoint}/datasets/{repo_id}", head, changed
        additions = [CommitOperationAdd(path, str(files[path])) for path in outdated]
        # The large files first: the commit then is one short request, which can be repeated. And one at a time: several
        # would be uploaded in threads, which Ctrl-C has to wait for.
        for addition in additions:
            api.preupload_lfs_files(repo_id, [addition], create_pr=create_pr, free_memory=False, **common)
        try:
            made = api.create_commit(
                repo_id,
                [*additions, *(CommitOperationDelete(path, is_folder=False) for path in superfluous)],
                commit_message=message,
                commit_description=description,
                create_pr=create_pr,
                parent_commit=head,
                **common,
            )
            return made.pr_url or f"{api.endpoint}/datasets/{repo_id}", made.oid, True
        except _client_errors() as error:
            status = _status(error)
            repeatable = status in REFUSED if create_pr else status is None or status in PASSING | OVERTAKEN
            if wait is None or not repeatable:
                raise
            changed = status not in OVERTAKEN
            _sleep(error, wait)
    raise AssertionError("unreachable")


def _compare(api: HfApi, repo_id: str, revision: str | None, files: Mapping[str, Path]) -> tuple[list[str], list[str]]:
    """Our files that a revision lacks or has otherwise, and those it has left over from other pushes."""
    found = {}
    for entry in api.list_repo_tree(repo_id, recursive=True, revision=revision, repo_type="dataset"):
        blob = getattr(entry, "blob_id", None)
        if blob is not None:
            lfs = getattr(entry, "lfs", None)
            found[entry.path] = lfs.sha256 if lfs else blob
    outdated = [path for path, file in files.items() if found.get(path) not in _digests(file)]
    superfluous = [path for path in found if PARQUET.fullmatch(path) and path not in files]
    return outdated, superfluous


def _digests(file: Path) -> tuple[str, str]:
    """What a file is called in a repository: as a large file, and as git itself names it."""
    content = file.read_bytes()
    return hashlib.sha256(content).hexdigest(), hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _patiently(action: Callable[..., T], *args: Any, **options: Any) -> T:
    """Do what can be repeated without harm, again after a while where it fails for a reason that passes."""
    for wait in WAITS:
        try:
            return action(*args, **options)
        except _client_errors() as error:
            status = _status(error)
            if isinstance(error, OfflineModeIsEnabled) or not (status is None or status in PASSING):
                raise
            _sleep(error, wait)
    return action(*args, **options)


def _sleep(error: BaseException, wait: float) -> None:
    """Wait for as long as the server asks, within reason, else for `wait` seconds."""
    response = getattr(error, "response", None)
    asked = "" if response is None else response.headers.get("Retry-After", "")
    seconds = min(float(asked), 60.0) if asked.isdecimal() else wait
    logger.warning("The Hub failed: %s. Trying again in %.0f seconds.", _said(error), seconds)
    time.sleep(seconds)


def _client_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What the client raises when the Hub refuses or a connection fails, and `others`.

    For the latter, that is what its HTTP library raises, which it has changed twice.
    """
    names = {"httpx2": "HTTPError", "httpx": "HTTPError", "requests": "RequestException"}
    transport = [getattr(sys.modules[name], error) for name, error in names.items() if name in sys.modules]
    return OSError, *transport, *others


def _refusal(error: BaseException | None) -> BaseException | None:
    """The error, or the one that caused it, that has the Hub's answer: the client wraps errors of uploads in others."""
    while error is not None and getattr(error, "response", None) is None:
        error = error.__cause__
    return error


def _status(error: BaseException) -> int | None:
    """The status that the Hub answered with, if it did."""
    refusal: Any = _refusal(error)
    return None if refusal is None else int(refusal.response.status_code)


def _said(error: BaseException) -> str:
    """What the Hub or the connection had to say, in one line."""
    refusal = _refusal(error)
    if refusal is None:
        while error.__cause__ is not None:
            error = error.__cause__
        text = str(error) or type(error).__name__
    else:
        text = getattr(refusal, "server_message", None) or str(refusal)
    return text.strip().partition("\n")[0].rstrip(".:")


@contextmanager
def _explained(repo_id: str, api: HfApi) -> Iterator[None]:
    """Errors of the client with what they mean for the push, and the way out."""
    try:
        yield
    except IdxError:
        raise
    # The client raises ValueError where the Hub's answer is malformed and RuntimeError around a failed upload.
    except _client_errors(RuntimeError, ValueError) as error:
        status = _status(error)
        tokens = f"{api.endpoint}/settings/tokens"
        again = "What is on the Hub is as it was or complete; the same command again goes on."
        if status is None:
            reason = "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else _said(error)
            raise TransferError(f"{repo_id}: the exchange with {api.endpoint} failed: {reason}. {again}") from error
        if status in PASSING:
            why = "there were too many requests" if status == 429 else "it has trouble"
            raise TransferError(
                f"{repo_id}: {api.endpoint} keeps answering {status}: {why}. Try later. {again}"
            ) from error
        if status == 401:
            message = f"the Hub does not accept the token. Make one at {tokens}, then `hf auth login` or HF_TOKEN"
        elif status in (403, 404):
            message = (
                "the token has no right to write there, or there is no such repository or revision. Name one of your "
                f"own or of your organization, check what the token may do at {tokens}, or propose the change with "
                "create_pr=True (--create-pr)"
            )
        elif status in OVERTAKEN:
            message = "others keep changing the repository. Try again when they have finished"
        else:
            message = "the Hub refuses it"
        raise IdxError(f"{repo_id}: {message}. The Hub's answer: {status} {_said(error)}.") from error
