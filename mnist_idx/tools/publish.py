"""Publish datasets as Parquet files with a card: in a folder, or on the Hugging Face Hub."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from datasets import DatasetDict
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, DatasetCard, HfApi
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError

# type: ignore[attr-defined]  # re-exported, but not by __all__
from huggingface_hub.utils import validate_repo_id

from ..catalog import DATASETS, MNIST
from ..errors import IdxError, TransferError, without_secrets
from ..mnist_idx import MnistIdx
from ..places import clean_token
from ..remote import explain
from .preview import contact_sheet, summarize
from .staged import staged

README, PREVIEW = "README.md", "preview.png"
# Row groups of this size: the first records of a stream arrive soon, and all of them take few
# requests. No image occurs twice: a dictionary of them would save nothing.
PARQUET_OPTIONS = {"row_group_size": 1000, "use_dictionary": ["label"], "write_page_index": True}
# The Parquet files of this package, whichever push they are from.
OWN_FILE = rf"({'|'.join(DATASETS)})/\w+-\d{{5}}-of-\d{{5}}\.parquet"
CARD_START, PNG_START, PARQUET_START = b"---\n", b"\x89PNG", b"PAR1"
# The bases of the client's own error include that of its HTTP library, which differs between
# versions.
CLIENT_ERRORS: tuple[Any, ...] = (OSError, RuntimeError, ValueError, *HfHubHTTPError.__bases__)
NO_RIGHT = "Name a repository that you may write to, check what the token may do, or propose it with create_pr=True."
TYPED_NO_RIGHT = NO_RIGHT.replace("create_pr=True", "--create-pr")
OVERTAKEN = "The repository has changed meanwhile. Push again."
NO_TOKEN = "Make a token in the settings there, then run `hf auth login` or set HF_TOKEN."
WAYS_OUT = {401: NO_TOKEN, 403: NO_RIGHT, 404: NO_RIGHT, 409: OVERTAKEN, 412: OVERTAKEN}

Configs = Iterable[str] | Mapping[str, Mapping[str, Any]]


class PushResult(NamedTuple):
    """What `push_to_hub` did."""

    url: str  # of the repository, or of the pull request
    commit: str | None  # that holds the data; None after a dry run
    changed: bool  # whether the push made a commit
    files: dict[str, int]  # path in the repository → bytes


def export(
    folder: str | os.PathLike[str],
    configs: Configs = ("mnist", "subset"),
    *,
    overwrite: bool = False,
) -> Path:
    """Write a published dataset to a folder, as `push_to_hub` publishes it. Returns the folder.

    `load_dataset(folder)` loads it without this package. The folder appears whole or not at all.

    Args:
        configs: names of configs of one dataset, or a mapping of them to their options:
            `{"subset": {"num_samples": 750}}`. The default config is `mnist`, else the first.
        overwrite: replace an earlier export. A folder that holds anything else is never replaced.

    Raises:
        IdxError: a config is unknown, the data is invalid or unavailable, or the folder cannot be
            written.
    """
    with staged(folder, overwrite, is_exported) as path:
        _build(path, _create_builders(configs, path))
    return Path(folder).expanduser().absolute()


def is_exported(folder: Path, name: str) -> bool:
    """Whether a file in a folder is from an earlier export: by its name, and by how it starts."""
    if name == README:
        starts = CARD_START
    elif name == PREVIEW:
        starts = PNG_START
    elif re.fullmatch(OWN_FILE, name):
        starts = PARQUET_START
    else:
        return False
    with open(folder / name, "rb") as file:
        return file.read(len(starts)) == starts


def push_to_hub(
    repo_id: str,
    configs: Configs = ("mnist", "subset"),
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    commit_description: str | None = None,
    create_pr: bool = False,
    dry_run: bool = False,
) -> PushResult:
    """Publish a dataset on the Hugging Face Hub, from where `load_dataset(repo_id)` loads it
    without this package.

    Data, card and picture arrive in one commit: a push that fails leaves the repository as it was.
    Parquet files of earlier pushes that are not part of this one are deleted, nothing else. Without
    changes there is no commit.

    Args:
        repo_id: "name", "user/name" or "organization/name". The repository is created if it does
            not exist.
        configs: as for `export`.
        private: whether to create a private repository; by default what its owner has set. An
            existing one must agree.
        token: an access token; by default that of `hf auth login` or of the environment variable
            `HF_TOKEN`.
        revision: branch to publish on, created if it does not exist. By default `main`.
        commit_message: first line of the commit message. `commit_description` is the rest of it.
        create_pr: open a pull request instead of changing the branch.
        dry_run: only find out what would be uploaded. Needs no token and asks nothing of the Hub.

    Raises:
        IdxError: an argument is wrong, the data is invalid or unavailable, or the Hub refuses the
            push.
        TransferError: the Hub cannot be reached, or fails.
    """
    if create_pr and revision not in (None, "main"):
        raise IdxError(
            f"revision={revision!r}: a pull request goes to main. Leave out revision=… or create_pr=True.",
            command_line=f"--revision {revision}: a pull request goes to main. Leave out --revision or --create-pr.",
        )
    api = HfApi(token=None if token is None else clean_token(token), library_name="mnist_idx")
    with (
        TemporaryDirectory(prefix="mnist_idx-") as temporary,
        staged(f"{temporary}/content", False) as folder,
    ):
        builders = _create_builders(configs, folder)
        with translate_errors(repo_id, api):
            validate_repo_id(repo_id)
            if not dry_run:
                user = api.whoami()["name"]  # fails early without a valid token
                repo_id = repo_id if "/" in repo_id else f"{user}/{repo_id}"
        files = _build(folder, builders)
        url = f"{api.endpoint}/datasets/{repo_id}"
        if dry_run:
            return PushResult(url, None, True, files)
        with translate_errors(repo_id, api):
            api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
            if private is not None and api.dataset_info(repo_id).private is not private:
                found = f"exists and is {'public' if private else 'private'}"
                advice = f"{repo_id}: {found}. Change that at {url}/settings, or leave out"
                typed = "--private" if private else "--no-private"
                raise IdxError(f"{advice} private={private}.", command_line=f"{advice} {typed}.")
            if revision is not None and not revision.startswith("refs/"):
                api.create_branch(repo_id, repo_type="dataset", branch=revision, exist_ok=True)
            head = api.dataset_info(repo_id, revision=revision).sha
            present = api.list_repo_files(repo_id, repo_type="dataset", revision=head)
            stale = [path for path in present if re.fullmatch(OWN_FILE, path) and path not in files]
            place: dict[str, Any] = {
                "repo_type": "dataset",
                "revision": revision,
                "create_pr": create_pr,
            }
            changes: list[Any] = [CommitOperationAdd(path, str(folder / path)) for path in files]
            for (
                addition
            ) in changes:  # One by one: several are uploaded in threads, which Ctrl-C waits for.
                api.preupload_lfs_files(repo_id, [addition], free_memory=False, **place)
            changes += [CommitOperationDelete(path, is_folder=False) for path in stale]
            place |= {
                "commit_message": commit_message or f"Publish {', '.join(builders)}",
                "parent_commit": head,
            }
            commit = api.create_commit(
                repo_id, changes, commit_description=commit_description, **place
            )
    return PushResult(commit.pr_url or url, commit.oid, commit.oid != head, files)


def _create_builders(configs: Configs, folder: Path) -> dict[str, MnistIdx]:
    """Check the configs. Returns their builders, the default one first."""
    names = [configs] if isinstance(configs, str) else list(configs)
    if not names or not set(names) <= set(DATASETS):
        expected = f"expected one or more of {', '.join(DATASETS)}"
        raise IdxError(
            f'configs={names}: {expected}. For others: load_dataset("idxfolder", …).push_to_hub(…).'
        )
    if len({DATASETS[name].homepage for name in names}) > 1:
        raise IdxError(
            f"{', '.join(names)}: different datasets, with licenses of their own. Publish them one by one."
        )
    options = configs if isinstance(configs, Mapping) else {}
    cache = str(folder.with_name("cache"))  # A new one: all data is verified now.
    return {
        n: MnistIdx(config_name=n, cache_dir=cache, **options.get(n, {}))
        for n in DATASETS
        if n in names
    }


def _build(folder: Path, builders: Mapping[str, MnistIdx]) -> dict[str, int]:
    """Write all that is published to a new folder. Returns the size of each file by its path."""
    infos, layout = DatasetInfosDict(), MetadataConfigs()
    prepared: dict[str, DatasetDict] = {}
    for name, builder in builders.items():
        builder.download_and_prepare()
        prepared[name] = builder.as_dataset()
        (folder / name).mkdir(parents=True)
        for split, dataset in prepared[name].items():
            table = dataset.with_format("arrow")[:].cast(dataset.features.arrow_schema)
            pq.write_table(
                table, folder / name / f"{split}-00000-of-00001.parquet", **PARQUET_OPTIONS
            )
        layout[name] = {
            "data_files": [
                {"split": split, "path": f"{name}/{split}-*"} for split in prepared[name]
            ]
        }
        builder.info.download_size = sum(path.stat().st_size for path in (folder / name).iterdir())
        infos[name] = builder.info
    first = next(iter(builders))
    layout[first]["default"] = True
    contact_sheet(prepared[first]["train"], columns=12, cell=56, num=48).save(
        folder / PREVIEW, optimize=True
    )
    card = DatasetCard(_card(prepared))
    layout.to_dataset_card_data(card.data)
    infos.to_dataset_card_data(card.data)
    (folder / README).write_text(str(card), encoding="utf-8", newline="\n")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.stat().st_size for path in files}


def _card(prepared: Mapping[str, DatasetDict]) -> str:
    first, info = next((name, splits["train"].info) for name, splits in prepared.items())
    if info.homepage == MNIST.homepage:
        package = Path(__file__).resolve().parents[1]
        # The card is in the package once that is installed, beside it in a checkout.
        paths = [folder / "dataset_card.md" for folder in (package, package.parent)]
        card = (paths[0] if paths[0].is_file() else paths[1]).read_text(encoding="utf-8")
        return card.replace("mnist_idx/data/digits.png", PREVIEW)  # the picture of the checkout
    template = Path(__file__).with_name("card_template.md").read_text(encoding="utf-8")
    summaries = [
        f"## {name}\n\n```text\n{summarize(splits, 100)}\n```\n\n"
        for name, splits in prepared.items()
    ]
    title = info.description.partition(":")[0]
    return template.format(**vars(info), title=title, first=first, summaries="".join(summaries))


@contextmanager
def translate_errors(repo_id: str, api: HfApi) -> Iterator[None]:
    """Turn errors of `huggingface_hub` into an `IdxError` that says what to do."""
    try:
        yield
    except IdxError:
        raise
    except CLIENT_ERRORS as error:
        reason, may_pass = explain(error)
        refusal = (
            error if getattr(error, "response", None) is not None else error.__cause__
        )  # that of an upload
        way_out = WAYS_OUT.get(getattr(getattr(refusal, "response", None), "status_code", 0), "")
        if said := getattr(refusal, "server_message", None):
            reason += f": {said}"
        if isinstance(error, LocalTokenNotFoundError | HFValidationError):
            reason, may_pass = str(error), False
        if may_pass:
            way_out = "The repository is as it was, or complete. Try again."
        found = f"{repo_id}: {api.endpoint}: {reason.rstrip('.')}."
        typed = TYPED_NO_RIGHT if way_out == NO_RIGHT else way_out
        kind = TransferError if may_pass else IdxError
        raise kind(
            f"{found} {way_out}".rstrip(), command_line=f"{found} {typed}".rstrip()
        ) from without_secrets(error)
