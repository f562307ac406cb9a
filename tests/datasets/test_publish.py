"""Publishing through the real client to a Hub on this machine, and loading from there without the
package.
"""

import fnmatch
import hashlib
import json
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from clients import Client, digest_arrays, run_client, run_snippet, start_snippet, tree
from conftest import ARCHIVE
from http_server import Server
from hub_client import log_in
from hub_server import Commit, HubServer, Repo
from idx_files import write_archive

from mnist_idx import IdxError, load_arrays
from mnist_idx.errors import TransferError
from mnist_idx.tools.cli import main
from mnist_idx.tools.publish import export, push_to_hub

TINY = {
    "README.md",
    "preview.png",
    "tiny/train-00000-of-00001.parquet",
    "tiny/test-00000-of-00001.parquet",
}
SUBSET = {
    "README.md",
    "preview.png",
    "subset/train-00000-of-00001.parquet",
    "subset/test-00000-of-00001.parquet",
}
OF_THE_HUB = ".gitattributes"
Patch, Capsys = pytest.MonkeyPatch, pytest.CaptureFixture[str]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")  # of the client


@pytest.fixture
def hub(monkeypatch: Patch, mirror: Callable[[Any], None], mnist_tar: Path) -> Iterator[HubServer]:
    """A Hub, and this process as a client of it, logged in as alice.

    In the end, at each commit of each branch and pull request, the card describes exactly the data
    that is there.
    """
    with HubServer() as hub:
        log_in(hub, monkeypatch)
        mirror(mnist_tar)
        yield hub
        for commit in all_commits(hub):
            if set(commit.files) != {OF_THE_HUB}:
                check_card(commit.files)


def all_commits(hub: HubServer) -> Iterator[Commit]:
    """The commits of all branches and pull requests of all repositories."""
    for repo in hub.repos.values():
        for history in repo.refs.values():
            yield from history


class Card(NamedTuple):
    """A card, which describes what it should."""

    metadata: dict[str, Any]
    text: str


def check_card(files: dict[str, bytes]) -> Card:
    """Check the card among the files of a repository against the others. Returns it."""
    _, head, text = files["README.md"].decode().split("---\n", 2)
    metadata = yaml.safe_load(head)
    infos = infos_by_config(metadata["dataset_info"])
    configs = metadata["configs"]
    assert [config["config_name"] for config in configs] == list(infos)
    first, *others = [bool(config.get("default")) for config in configs]
    assert first, "the first config is the default"
    assert not any(others)
    described: set[str] = set()
    for config in configs:
        described |= check_config(files, config, infos[config["config_name"]])
    parquet = {path for path in files if path.endswith(".parquet")}
    assert {path for path in parquet if not path.startswith("other/")} == described
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert files[picture].startswith(b"\x89PNG")
    return Card(metadata, text)


def infos_by_config(listed: Any) -> dict[str, Any]:
    """What a card says of each config; it does without a list for a single one."""
    infos = listed if isinstance(listed, list) else [listed]
    return {info["config_name"]: info for info in infos}


def check_config(files: dict[str, bytes], config: Any, info: Any) -> set[str]:
    """Check what a card says of a config against its files. Returns their paths."""
    paths, rows = set(), {}
    for part in config["data_files"]:
        (path,) = fnmatch.filter(files, part["path"])
        paths.add(path)
        rows[part["split"]] = num_rows(files[path])
    assert rows == {split["name"]: split["num_examples"] for split in info["splits"]}
    assert info["download_size"] == sum(len(files[path]) for path in paths)
    return paths


def num_rows(parquet: bytes) -> int:
    """The number of rows in a Parquet file."""
    return pq.read_metadata(pa.BufferReader(parquet)).num_rows


def files_of(folder: Path) -> dict[str, bytes]:
    """Path -> content of each file below a folder."""
    return {path: (folder / path).read_bytes() for path in tree(folder)}


def published(repo: Repo, revision: str = "main") -> set[str]:
    """The paths of all files in a repository but those that the Hub has put there."""
    return set(repo.files(revision)) - {OF_THE_HUB}


def published_anywhere(hub: HubServer) -> set[str]:
    """The paths of all files on any branch of any repository."""
    paths = set()
    for repo in hub.repos.values():
        for ref in repo.refs:
            paths |= published(repo, ref)
    return paths


# Push and export


@pytest.mark.compat
@pytest.mark.parametrize(
    ("configs", "default_counts"),
    [
        pytest.param(("subset", "tiny"), {"train": 100, "test": 100}, id="subset-and-tiny"),
        pytest.param(
            ("mnist", "subset", "tiny"),
            {"train": 60000, "test": 10000},
            id="all-of-mnist",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_is_pushed_loads_without_the_package(
    configs: Any, default_counts: dict[str, int], python: str, hub: HubServer, hf_home: Path
) -> None:
    push_to_hub("digits", configs)
    outcome = run_client(
        "load_pushed",
        args={"configs": configs},
        home=hf_home,
        env=hub.environment(),
        python=python,
        installed=True,
    )
    found, counts, features, digests = outcome.result
    assert found == list(configs)
    assert counts == default_counts
    assert re.match(r"{'image': Image\(.*decode=True.*'label': ClassLabel\(", features)
    expected = {}
    for config in configs:
        for split in ("train", "test"):
            digest = digest_arrays(*load_arrays("mnist_idx", config, split=split))
            expected[f"{config}/{split}"] = [digest, digest]  # prepared and streamed
    assert digests == expected


@pytest.mark.slow
def test_an_export_is_what_a_push_uploads(
    hub: HubServer, tmp_path: Path, monkeypatch: Patch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = export("alice/digits", ["tiny", "subset"])
    result = push_to_hub("digits", ["subset", "tiny"])
    repo = hub.repos["alice/digits"]
    files = files_of(folder)
    assert files.keys() == TINY | SUBSET == published(repo)
    assert {path: repo.files()[path] for path in files} == files
    assert result.url == f"{hub.url}/datasets/alice/digits"
    assert result.commit == repo.history()[0].oid
    assert result.changed
    assert result.files == {path: len(content) for path, content in files.items()}


@pytest.fixture
def exported(mirror: Callable[[Any], None], mnist_tar: Path, tmp_path: Path) -> Path:
    """An export of two configs, to a folder with the name that loads the package."""
    mirror(mnist_tar)
    return export(tmp_path / "deep" / "mnist_idx", ["tiny", "subset"])


@pytest.mark.slow
def test_an_export_is_loaded_by_the_name_of_its_folder(exported: Path, hf_home: Path) -> None:
    code = "from datasets import load_dataset\nresult = load_dataset('mnist_idx').num_rows"
    outcome = run_snippet(code, home=hf_home, cwd=exported.parent, installed=True)
    assert outcome.result == {"train": 100, "test": 100}


@pytest.mark.slow
@pytest.mark.parametrize("config", ["tiny", "subset"])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_parquet_files_of_an_export_have_features_and_small_groups(
    config: str, split: str, exported: Path
) -> None:
    file = pq.ParquetFile(exported / config / f"{split}-00000-of-00001.parquet")
    features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert features["image"]["_type"] == "Image"
    assert features["label"] == {"names": list("0123456789"), "_type": "ClassLabel"}
    # The first records of a stream take no more than a group.
    assert file.metadata.row_group(0).num_rows <= 1000
    assert file.metadata.row_group(0).column(0).has_column_index
    for image in file.read()["image"].to_pylist():
        assert image["bytes"].startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_second_push_changes_nothing(hub: HubServer, hf_home: Path, mnist_tar: Path) -> None:
    push_to_hub("digits", ["tiny", "subset"])
    history = hub.repos["alice/digits"].history()
    assert [commit.title for commit in history] == ["Publish subset, tiny", "initial commit"]
    # Another process with another hash seed and another cache makes the same files, to the byte.
    lines = [["push", "digits", "--config=subset", "--config=tiny"]]
    env = {**hub.environment("writer"), "PYTHONHASHSEED": "7", "MNIST_IDX_MIRROR": str(mnist_tar)}
    printed = run_client("run_commands", home=hf_home, env=env, args={"lines": lines}).stdout
    assert f"Nothing to change at {hub.url}/datasets/alice/digits\n" in printed
    assert hub.repos["alice/digits"].history() == history


def test_push_deletes_only_its_own_stale_files(hub: HubServer) -> None:
    push_to_hub("digits", "tiny")
    repo = hub.repos["alice/digits"]
    foreign = {"notes.txt": b"keep me", "other/train-00000-of-00001.parquet": b"and me"}
    repo.commit("main", {**repo.files(), **foreign}, "files of another kind")
    push_to_hub("digits", {"subset": {"num_samples": 20, "seed": 3}})
    assert published(repo) == SUBSET | set(foreign)
    assert repo.history()[1].title == "files of another kind"
    assert num_rows(repo.files()["subset/train-00000-of-00001.parquet"]) == 20


def test_a_dry_run_lists_what_would_be_uploaded(
    hub: HubServer, monkeypatch: Patch, capsys: Capsys
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert push_to_hub("digits", "tiny", dry_run=True).url == f"{hub.url}/datasets/digits"
    dry = push_to_hub("alice/digits", "tiny", dry_run=True)
    assert dry.url == f"{hub.url}/datasets/alice/digits"
    assert dry.commit is None
    assert dry.changed
    assert main(["push", "alice/digits", "--config", "tiny", "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "Nothing was uploaded" in printed
    listed = re.findall(r"^(\S.*\S) +([\d,]+) bytes$", printed, re.MULTILINE)
    sizes = {path: int(size.replace(",", "")) for path, size in listed}
    assert sizes == {**dry.files, "in all": sum(dry.files.values())}
    assert hub.log == [], "nothing was requested"
    assert push_to_hub("alice/digits", "tiny", token="hf_writer").files == dry.files


@pytest.mark.slow
@pytest.mark.parametrize(
    ("private", "found"),
    [pytest.param(True, "private", id="private"), pytest.param(False, "public", id="public")],
)
def test_a_repository_is_as_private_as_the_user_says(
    private: bool, found: str, hub: HubServer
) -> None:
    push_to_hub("team/digits", "tiny", private=private)
    push_to_hub("team/digits", "subset", private=private)
    with pytest.raises(IdxError, match=rf"exists and is {found}.*/settings"):
        push_to_hub("team/digits", "tiny", private=not private)
    repo = hub.repos["team/digits"]
    assert repo.private == private
    assert published(repo) == SUBSET


@pytest.mark.slow
def test_a_branch_is_created_and_pushed_to_again(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    title, message = "The miniature", "A thousand\nto train on."
    for _ in range(2):
        push_to_hub(
            "digits",
            "tiny",
            revision="small/1",
            commit_message=title,
            commit_description=message,
        )
    repo = hub.repos["alice/digits"]
    assert published(repo) == SUBSET
    assert published(repo, "small/1") == TINY
    commits = repo.history("small/1")
    assert (commits[0].title, commits[0].message) == (title, message)
    assert len(commits) == 3


@pytest.mark.slow
def test_who_may_read_may_propose(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    result = push_to_hub("alice/digits", "tiny", create_pr=True, token="hf_stranger")
    repo = hub.repos["alice/digits"]
    assert result.url == f"{hub.url}/datasets/alice/digits/discussions/1"
    assert published(repo) == SUBSET
    assert published(repo, "refs/pr/1") == TINY


@pytest.mark.slow
def test_a_correction_goes_to_the_same_pull_request(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    push_to_hub("alice/digits", "tiny", create_pr=True)
    push_to_hub("alice/digits", ["tiny", "subset"], revision="refs/pr/1")
    repo = hub.repos["alice/digits"]
    assert published(repo, "refs/pr/1") == TINY | SUBSET
    assert set(repo.refs) == {"main", "refs/pr/1"}


def test_a_pull_request_that_proposes_nothing_is_not_opened(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    assert not push_to_hub("alice/digits", "subset", create_pr=True).changed
    assert set(hub.repos["alice/digits"].refs) == {"main"}


def test_a_pull_request_is_for_the_main_branch(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    with pytest.raises(IdxError, match=r"revision='v2'.*main"):
        push_to_hub("alice/digits", "tiny", create_pr=True, revision="v2")


def test_an_empty_folder_is_filled_by_an_export(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    assert export(folder, "tiny") == folder
    assert set(tree(folder)) == TINY


def test_an_export_is_replaced_only_if_the_user_says_so(tmp_path: Path) -> None:
    folder = export(tmp_path / "digits", "tiny")
    with pytest.raises(IdxError, match=r"exists already.*overwrite=True"):
        export(folder, "tiny")
    export(str(folder), {"tiny": {"num_samples": 10}}, overwrite=True)
    assert set(tree(folder)) == TINY
    assert num_rows((folder / "tiny/train-00000-of-00001.parquet").read_bytes()) == 10


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        pytest.param(
            "digits/thesis.txt", "digits", r"thesis\.txt", id="folder-with-a-file-of-another-kind"
        ),
        pytest.param(
            "no_card/tiny/train.parquet",
            "no_card",
            r"tiny/train\.parquet",
            id="folder-with-other-parquet-files",
        ),
        pytest.param("file", "file", "is a file", id="file"),
    ],
)
def test_what_is_no_export_is_not_replaced(path: str, name: str, said: str, tmp_path: Path) -> None:
    export(tmp_path / "digits", "tiny")
    write_archive(tmp_path, {path: b"irreplaceable"})
    before = files_of(tmp_path)
    with pytest.raises(IdxError, match=said):
        export(tmp_path / name, "tiny", overwrite=True)
    assert files_of(tmp_path) == before


# What is refused


@pytest.mark.parametrize("publish", [export, push_to_hub])
@pytest.mark.parametrize(
    ("configs", "said"),
    [
        pytest.param([], r"expected.* mnist, subset, tiny.*idxfolder", id="none"),
        pytest.param(["cifar"], r"expected.* mnist, subset, tiny.*idxfolder", id="unknown"),
        pytest.param(
            ["tiny", "mnits"], r"expected.* mnist, subset, tiny.*idxfolder", id="one-unknown"
        ),
        pytest.param("", r"expected.* mnist, subset, tiny.*idxfolder", id="empty-text"),
        pytest.param(["kmnist", "tiny"], "kmnist, tiny.*different", id="of-different-datasets"),
    ],
)
def test_configs_that_cannot_be_published(
    configs: Any, said: str, publish: Callable[..., Any], hub: HubServer, tmp_path: Path
) -> None:
    with pytest.raises(IdxError, match=said):
        publish(str(tmp_path / "digits"), configs)
    assert hub.log == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("", id="empty"),
        pytest.param("a/b/c", id="two-slashes"),
        pytest.param("a b", id="space"),
        pytest.param("alice/mn--ist", id="two-hyphens"),
        pytest.param("alice/x.git", id="git"),
    ],
)
def test_names_that_the_hub_does_not_allow(name: str, hub: HubServer) -> None:
    with pytest.raises(IdxError, match=f"^{name}: ") as caught:
        push_to_hub(name, "tiny")
    assert not name or str(caught.value).count(name) == 1
    assert hub.log == []


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        pytest.param(None, "alice/digits", "[Tt]oken.*`hf auth login`", id="no-token"),
        pytest.param(
            "hf_bogus", "alice/digits", "401.*token.*`hf auth login`.*HF_TOKEN", id="unknown-token"
        ),
        pytest.param(
            "hf_stranger",
            "alice/digits",
            "403.*permissions to write to alice.*create_pr=True",
            id="repository-of-another-user",
        ),
        pytest.param(
            "hf_stranger",
            "alice/new",
            "403.*permissions to write to alice.*create_pr=True",
            id="new-repository-of-another-user",
        ),
        pytest.param(
            "hf_writer",
            "nobody/digits",
            "403.*permissions to write to nobody.*create_pr=True",
            id="unknown-user",
        ),
    ],
)
def test_no_right_to_write(
    token: str | None, name: str, message: str, hub: HubServer, monkeypatch: Patch
) -> None:
    hub.create("alice/digits")
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(IdxError, match=f"^{name}: {hub.url}.*{message}"):
        push_to_hub(name, "tiny")
    assert hub.repos.keys() == {"alice/digits"}
    assert published_anywhere(hub) == set()


@pytest.mark.parametrize(
    ("token", "typed"),
    [
        pytest.param("hf_stranger", "or propose it with --create-pr.", id="no-right"),
        pytest.param("hf_bogus", "then run `hf auth login` or set HF_TOKEN.", id="unknown-token"),
        pytest.param(
            None, "Run `hf auth login`, set HF_TOKEN, or pass --token.", id="not-logged-in"
        ),
    ],
)
def test_the_command_line_says_in_its_own_words_what_to_do(
    token: str | None, typed: str, hub: HubServer, monkeypatch: Patch, capsys: Capsys
) -> None:
    hub.create("alice/digits")
    monkeypatch.delenv("HF_TOKEN")
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    assert main(["push", "alice/digits", "--config", "tiny"]) == 1
    said = capsys.readouterr().err
    assert said.endswith(f"{typed}\n")
    assert "whoami" not in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("", "mnist and subset, which are MNIST's own images", id="the default"),
        pytest.param("--config tiny", "tiny of MNIST", id="a config"),
        pytest.param("--folder digits", "the folder digits", id="a folder"),
    ],
)
def test_a_push_says_first_what_it_publishes(
    line: str, said: str, hub: HubServer, tmp_path: Path, monkeypatch: Patch, capsys: Capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    export("digits", "tiny")
    assert main(["push", "alice/digits", "--dry-run", *line.split()]) == 0
    assert capsys.readouterr().out.startswith(f"Publishing {said}")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/whoami-v2", 500),
        ("POST", "/repos/create", 429),
        ("POST", "/branch/", 503),
        ("GET", "/revision/", 503),
        ("GET", "/tree/", 503),
        ("POST", "/objects/batch", 503),
        ("POST", "/objects/verify", 503),
        ("POST", "/validate-yaml", 503),
        ("POST", "/commit/", 503),
    ],
)
def test_a_hub_that_fails_for_now_keeps_what_it_had(
    method: str, path: str, status: int, hub: HubServer
) -> None:
    hub.fault(method, path, status, times=100)
    with pytest.raises(TransferError) as caught:
        push_to_hub("alice/digits", "tiny", revision="v1")
    said = str(caught.value)
    assert said.startswith(f"alice/digits: {hub.url}: ")
    assert f"{status}: fault." in said
    assert said.endswith("Try again.")
    assert published_anywhere(hub) == set()


def test_a_hub_that_refuses_keeps_what_it_had(hub: HubServer) -> None:
    hub.fault("POST", "/repos/create", 400, times=100)
    with pytest.raises(IdxError) as caught:
        push_to_hub("alice/digits", "tiny", revision="v1")
    said = str(caught.value)
    assert said.startswith(f"alice/digits: {hub.url}: ")
    assert "400: fault." in said
    assert not said.endswith("Try again.")
    assert not isinstance(caught.value, TransferError)
    assert published_anywhere(hub) == set()


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/preupload/"), ("PUT", "/upload/"), ("POST", "/commit/")]
)
def test_a_hub_that_breaks_off_keeps_what_it_had(method: str, path: str, hub: HubServer) -> None:
    hub.fault(method, path, "cut", times=100)
    with pytest.raises(TransferError) as caught:
        push_to_hub("alice/digits", "tiny", revision="v1")
    said = str(caught.value)
    assert said.startswith(f"alice/digits: {hub.url}: ")
    assert said.endswith("Try again.")
    assert published_anywhere(hub) == set()


def test_a_push_whose_last_answer_is_lost_can_be_repeated(hub: HubServer) -> None:
    hub.fault("POST", "/commit/", "lost")
    with pytest.raises(TransferError):
        push_to_hub("digits", "tiny")
    assert not push_to_hub("digits", "tiny").changed
    assert len(hub.repos["alice/digits"].history()) == 2


def test_a_push_that_was_overtaken_changes_nothing(hub: HubServer) -> None:
    held = hub.fault("POST", "/commit/", "hold")
    with ThreadPoolExecutor() as threads:
        first = threads.submit(push_to_hub, "digits", "tiny")
        assert held.reached.wait(60)
        push_to_hub("digits", "subset")
        held.release.set()
        with pytest.raises(IdxError, match=r"Push again\.$"):
            first.result()
    assert published(hub.repos["alice/digits"]) == SUBSET


@pytest.mark.slow
def test_push_by_xet(hub: HubServer, tmp_path: Path, monkeypatch: Patch) -> None:
    """By the protocol that the client takes where its package for that is installed."""
    # A setting of the environment, which `huggingface_hub` has read when it was imported.
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "1")
    contents = [path.read_bytes() for path in export(tmp_path / "digits", "tiny").rglob("*.p*")]
    hub.store = {hashlib.sha256(content).hexdigest(): content for content in contents}
    push_to_hub("digits", "tiny")
    paths = " ".join(path for _, path in hub.log)
    assert "/v1/shards" in paths
    assert "/upload/" not in paths
    hub.fault("POST", "/v1/xorbs", "cut", times=100)
    with pytest.raises(TransferError, match=r"Try again\.$"):
        push_to_hub("digits", "subset")
    assert published(hub.repos["alice/digits"]) == TINY


# What is interrupted


def start_command(home: Path, line: str, **options: Any) -> Client:
    """Start `mnist-idx` with the words of a line, in a process of its own."""
    code = f"from mnist_idx.tools.cli import main\nraise SystemExit(main({line.split()!r}))"
    return start_snippet(code, home=home, **options)


def assert_ends_when_interrupted(client: Client) -> None:
    """Ctrl-C ends a command with one line and its exit code."""
    if sys.platform == "win32":
        pytest.skip("this system sends Ctrl-C to all processes of a console")
    client.process.send_signal(signal.SIGINT)
    outcome = client.wait(timeout=10, check=False)
    assert outcome.returncode == 130
    assert "interrupted" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "xet"),
    [
        pytest.param("GET", "/whoami", False, id="asking-who-it-is"),
        pytest.param("POST", "/repos", False, id="creating-the-repository"),
        pytest.param("PUT", "/upload/", False, id="uploading"),
        pytest.param("POST", "/v1/xorbs", True, id="uploading-by-xet"),
        pytest.param("POST", "/commit/", False, id="committing"),
    ],
)
def test_an_interrupted_push_publishes_nothing(
    method: str, path: str, xet: bool, hub: HubServer, hf_home: Path, tmp_path: Path
) -> None:
    held = hub.fault(method, path, "hold")
    env = {**hub.environment("writer", xet=xet), "TMPDIR": str(tmp_path)}
    client = start_command(hf_home, "push digits --config=tiny", env=env)
    assert held.reached.wait(60)
    assert_ends_when_interrupted(client)
    assert list(tmp_path.glob("mnist_idx*")) == []
    assert published_anywhere(hub) == set()


@pytest.mark.slow
def test_an_interrupted_export_leaves_nothing(
    server: Server, hf_home: Path, tmp_path: Path
) -> None:
    server.behave(silent=True)
    (tmp_path / "here").mkdir()
    env = {"MNIST_IDX_MIRROR": server.url(ARCHIVE)}
    line = f"export {tmp_path / 'here' / 'digits'} --config=subset"
    client = start_command(hf_home, line, env=env)
    wait_until(lambda: len(server.handlers) > 0)
    assert any((tmp_path / "here").iterdir()), "it has begun"
    assert_ends_when_interrupted(client)
    assert list((tmp_path / "here").iterdir()) == []


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for what another process does, a minute at most."""
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)
