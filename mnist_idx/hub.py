"""Publish on the Hugging Face Hub."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]  # re-exported, but not by __all__

from .folder import CONFIGS, DEFAULT_CONFIGS, Configs, build, checked_configs, explained_build, files_in
from .hub_errors import OVERTAKEN, PASSING, REFUSED, WAITS, client_errors, explained, patiently, pause, status_of
from .idx import IdxError

# Files of this kind are ours, whichever push they came from.
PARQUET = re.compile(rf"({'|'.join(CONFIGS)})/\w+-\d{{5}}-of-\d{{5}}\.parquet")


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
    options = checked_configs(configs)
    _check_repository(repo_id, revision, create_pr)
    api = HfApi(token=token, library_name="mnist_idx")
    message = commit_message or f"Publish {', '.join(options)} of MNIST"
    if not dry_run:
        repo_id = _authorized(api, repo_id)
    with TemporaryDirectory(prefix="mnist_idx-") as staging:
        folder = Path(staging) / "content"
        with explained_build(Path(staging)):
            build(folder, options)
        files = files_in(folder)
        sizes = {path: file.stat().st_size for path, file in files.items()}
        if dry_run:
            return Published(f"{api.endpoint}/datasets/{repo_id}", None, True, sizes)
        with explained(repo_id, api):
            patiently(api.create_repo, repo_id, repo_type="dataset", private=private, exist_ok=True)
            if private is not None and patiently(api.dataset_info, repo_id).private is not private:
                raise IdxError(
                    f"{repo_id}: private={private} is asked for, but the repository exists and is not. Change that at "
                    f"{api.endpoint}/datasets/{repo_id}/settings, or do not ask for it. Nothing was uploaded."
                )
            if revision is not None and not revision.startswith("refs/"):
                patiently(api.create_branch, repo_id, repo_type="dataset", branch=revision, exist_ok=True)
            url, commit, changed = _commit(api, repo_id, files, revision, message, commit_description, create_pr)
    return Published(url, commit, changed, sizes)


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
    with explained(repo_id, api):
        user = patiently(api.whoami)
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
        head = patiently(api.dataset_info, repo_id, revision=revision).sha
        outdated, superfluous = patiently(_compare, api, repo_id, head, files)
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
        except client_errors() as error:
            status = status_of(error)
            repeatable = status in REFUSED if create_pr else status is None or status in PASSING | OVERTAKEN
            if wait is None or not repeatable:
                raise
            changed = status not in OVERTAKEN
            pause(error, wait)
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
