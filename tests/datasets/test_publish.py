"""Publishing through the real client to a Hub on this machine, and loading from there without the
package.
"""

import fnmatch
import hashlib
import itertools
import json
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import huggingface_hub
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from clients import ROOT, digest_arrays, run_client, run_snippet, start_snippet, tree
from hub_client import log_in
from hub_server import HubServer, Repo
from idx_files import write_archive

from mnist_idx import IdxError, catalog, load_arrays
from mnist_idx.errors import TransferError
from mnist_idx.tools.cli import main
from mnist_idx.tools.publish import export, push_to_hub

TINY = {
    "README.md",
    "preview.png",
    "tiny/train-00000-of-00001.parquet",
    "tiny/test-00000-of-00001.parquet",
}
SUBSET = {path.replace("tiny", "subset") for path in TINY}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")  # of the client
OF_THE_HUB = ".gitattributes"
EVERY = pytest.param(("mnist", "subset", "tiny"), marks=pytest.mark.slow)
Patch, Capsys = pytest.MonkeyPatch, pytest.CaptureFixture[str]


@pytest.fixture
def hub(monkeypatch: Patch, mirror: Callable[[Any], None], mnist_tar: Path) -> Iterator[HubServer]:
    """A Hub, and this process as a client of it, logged in as alice."""
    with HubServer() as server:
        log_in(server, monkeypatch)
        mirror(mnist_tar)
        yield server
        # At each commit of each branch and pull request, the card describes exactly the data that
        # is there.
        for commit in itertools.chain(
            *(history for repo in server.repos.values() for history in repo.refs.values())
        ):
            if set(commit.files) != {OF_THE_HUB}:
                check_card(commit.files)


def check_card(files: dict[str, bytes]) -> tuple[dict[str, Any], str]:
    """Returns its metadata and its text."""
    _, head, text = files["README.md"].decode().split("---\n", 2)
    metadata = yaml.safe_load(head)
    listed = metadata["dataset_info"]
    infos = {
        info["config_name"]: info for info in (listed if isinstance(listed, list) else [listed])
    }
    assert [config["config_name"] for config in metadata["configs"]] == list(infos)
    assert [bool(config.get("default")) for config in metadata["configs"]] == [True] + [False] * (
        len(infos) - 1
    )
    described = set()
    for config in metadata["configs"]:
        info = infos[config["config_name"]]
        paths = {
            part["split"]: fnmatch.filter(files, part["path"]) for part in config["data_files"]
        }
        rows = {
            split: pq.read_metadata(pa.BufferReader(files[path])).num_rows
            for split, (path,) in paths.items()
        }
        assert rows == {split["name"]: split["num_examples"] for split in info["splits"]}
        assert info["download_size"] == sum(len(files[path]) for (path,) in paths.values())
        described |= {path for (path,) in paths.values()}
    assert {
        path for path in files if path.endswith(".parquet") and not path.startswith("other/")
    } == described
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert files[picture].startswith(b"\x89PNG")
    return metadata, text


def published(repo: Repo, revision: str = "main") -> set[str]:
    return set(repo.files(revision)) - {OF_THE_HUB}


@pytest.mark.compat
@pytest.mark.parametrize("configs", [("subset", "tiny"), EVERY], ids=str)
def test_what_is_pushed_loads_without_the_package(
    configs: Any, python: str, hub: HubServer, hf_home: Path
) -> None:
    push_to_hub("digits", configs)
    options = {"home": hf_home, "env": hub.environment(), "python": python, "installed": True}
    found, default, features, digests = run_client(
        "load_pushed", args={"configs": configs}, **options
    ).result
    assert found == list(configs)
    assert default == (
        {"train": 60000, "test": 10000} if "mnist" in configs else {"train": 100, "test": 100}
    )
    assert re.match(r"{'image': Image\(.*decode=True.*'label': ClassLabel\(", features)
    assert digests == {
        f"{config}/{split}": [digest_arrays(*load_arrays("mnist_idx", config, split=split))] * 2
        for config in configs
        for split in ("train", "test")
    }


@pytest.mark.slow
def test_an_export_is_what_a_push_uploads(hub: HubServer, tmp_path: Path, hf_home: Path) -> None:
    folder = export(tmp_path / "deep" / "mnist_idx", ["tiny", "subset"])
    result = push_to_hub("digits", ["subset", "tiny"])
    repo = hub.repos["alice/digits"]
    files = {path: (folder / path).read_bytes() for path in tree(folder)}
    assert files.keys() == TINY | SUBSET == published(repo)
    assert files | repo.files() == repo.files()
    assert result[:3] == (f"{hub.url}/datasets/alice/digits", repo.history()[0].oid, True)
    assert result.files == {path: len(content) for path, content in files.items()}
    # The folder has the name that loads the package where that is imported.
    code = "from datasets import load_dataset\nresult = load_dataset('mnist_idx').num_rows"
    assert run_snippet(code, home=hf_home, cwd=folder.parent, installed=True).result == {
        "train": 100,
        "test": 100,
    }

    ours, pushed = (
        path.read_text().split("---\n", 2)
        for path in (ROOT / "dataset_card.md", folder / "README.md")
    )
    assert pushed[2] == ours[2].replace("mnist_idx/data/digits.png", "preview.png")
    metadata = yaml.safe_load(pushed[1])
    for part in ("configs", "dataset_info"):
        assert [config["config_name"] for config in metadata.pop(part)] == ["subset", "tiny"]
    assert metadata == yaml.safe_load(ours[1])
    for path in folder.rglob("*.parquet"):
        file = pq.ParquetFile(path)
        features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
        assert features["image"]["_type"] == "Image"
        assert features["label"] == {"names": list("0123456789"), "_type": "ClassLabel"}
        group = file.metadata.row_group(0)
        assert group.num_rows <= 1000, (
            "the first records of a stream take no more than a group of 1,000"
        )
        assert group.column(0).has_column_index
        assert all(
            image["bytes"].startswith(b"\x89PNG") for image in file.read()["image"].to_pylist()
        )


def test_a_second_push_changes_nothing(hub: HubServer, hf_home: Path, mnist_tar: Path) -> None:
    push_to_hub("digits", ["tiny", "subset"])
    history = hub.repos["alice/digits"].history()
    assert [commit.title for commit in history] == ["Publish subset, tiny", "initial commit"]
    # Another process with another hash seed and another cache: the files must be the same to the
    # byte.
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
    assert (
        pq.read_metadata(
            pa.BufferReader(repo.files()["subset/train-00000-of-00001.parquet"])
        ).num_rows
        == 20
    )


def test_dry_run(hub: HubServer, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.delenv("HF_TOKEN")
    dry = push_to_hub("digits", "tiny", dry_run=True)
    assert dry[:3] == (f"{hub.url}/datasets/digits", None, True)
    assert main(["push", "alice/digits", "--config", "tiny", "--dry-run"]) == 0
    assert hub.log == []
    printed = capsys.readouterr().out
    assert "Nothing was uploaded" in printed
    listed = re.findall(r"^(\S.*\S) +([\d,]+) bytes$", printed, re.MULTILINE)
    sizes = {path: int(size.replace(",", "")) for path, size in listed}
    assert sizes == {**dry.files, "in all": sum(dry.files.values())}
    assert push_to_hub("alice/digits", "tiny", token="hf_writer").files == dry.files


def test_private(hub: HubServer) -> None:
    for private, found in ((True, "private"), (False, "public")):
        push_to_hub(f"team/{found}", "tiny", private=private)
        push_to_hub(f"team/{found}", "subset", private=private)
        with pytest.raises(IdxError, match=rf"exists and is {found}.*/settings"):
            push_to_hub(f"team/{found}", "tiny", private=not private)
        repo = hub.repos[f"team/{found}"]
        assert (repo.private, published(repo)) == (private, SUBSET)


def test_branch(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    said = {"commit_message": "The miniature", "commit_description": "A thousand\nto train on."}
    for _ in range(2):  # the branch is there the second time
        push_to_hub("digits", "tiny", revision="small/1", **said)
    repo = hub.repos["alice/digits"]
    assert (published(repo), published(repo, "small/1")) == (SUBSET, TINY)
    commits = repo.history("small/1")
    assert (commits[0].title, commits[0].message, len(commits)) == (*said.values(), 3)


def test_pull_request(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    # Who may read may propose.
    result = push_to_hub("alice/digits", "tiny", create_pr=True, token="hf_stranger")
    repo = hub.repos["alice/digits"]
    assert result.url == f"{hub.url}/datasets/alice/digits/discussions/1"
    assert (published(repo), published(repo, "refs/pr/1")) == (SUBSET, TINY)
    # A correction goes to the same pull request; one that proposes nothing is not opened.
    push_to_hub("alice/digits", ["tiny", "subset"], revision="refs/pr/1")
    assert published(repo, "refs/pr/1") == TINY | SUBSET
    assert not push_to_hub("alice/digits", "subset", create_pr=True).changed
    assert set(repo.refs) == {"main", "refs/pr/1"}
    with pytest.raises(IdxError, match=r"revision='v2'.*main"):
        push_to_hub("alice/digits", "tiny", create_pr=True, revision="v2")


def test_export_replaces_only_an_export_and_only_when_asked(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    assert export(folder, "tiny") == folder
    with pytest.raises(IdxError, match=r"exists already.*overwrite=True"):
        export(folder, "tiny")
    export(str(folder), {"tiny": {"num_samples": 10}}, overwrite=True)
    assert set(tree(folder)) == TINY
    assert pq.read_metadata(folder / "tiny/train-00000-of-00001.parquet").num_rows == 10
    write_archive(
        tmp_path,
        {"digits/thesis.txt": b"irreplaceable", "no_card/tiny/train.parquet": b"", "file": b""},
    )
    before = tree(tmp_path)
    for name, said in {
        "digits": r"thesis\.txt",
        "no_card": r"tiny/train\.parquet",
        "file": "is a file",
    }.items():
        with pytest.raises(IdxError, match=said):
            export(tmp_path / name, "tiny", overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["fashion_mnist", "emnist_letters"])
def test_other_datasets_have_cards_of_their_own(
    name: str, tmp_path: Path, monkeypatch: Patch
) -> None:
    published = catalog.DATASETS[name]
    small = published._replace(splits=catalog.TINY.splits, sources=catalog.TINY.sources)
    monkeypatch.setitem(catalog.DATASETS, name, small)
    folder = export(tmp_path / "folder", name)
    metadata, text = check_card({path: (folder / path).read_bytes() for path in tree(folder)})
    title = published.description.partition(":")[0]
    assert (metadata["license"], metadata["pretty_name"]) == (published.license, title)
    said = [
        published.homepage,
        published.citation,
        published.description,
        published.license,
        "train: 1,000 records",
    ]
    said.append(f'load_dataset("user/mnist_idx", "{name}")')
    # type: ignore[arg-type]
    counts = np.bincount(load_arrays("mnist_idx", "tiny", split="test")[1])
    said += [
        f"{name}: {count}"
        for name, count in zip(published.class_names[:10], counts, strict=True)
        if count
    ]
    assert [
        missing
        for missing in said
        if missing not in text and missing not in text.replace("\n ", "")
    ] == []


def test_wrong_arguments(hub: HubServer, tmp_path: Path) -> None:
    for configs in ([], ["cifar"], ["tiny", "mnits"], "", ["kmnist", "tiny"]):
        said = (
            "kmnist, tiny.*different"
            if "kmnist" in configs
            else r"expected.* mnist, subset, tiny.*idxfolder"
        )
        for publish in (export, push_to_hub):
            with pytest.raises(IdxError, match=said):
                publish(str(tmp_path / "digits"), configs)
    for name in ("", "a/b/c", "a b", "alice/mn--ist", "alice/x.git"):
        with pytest.raises(IdxError, match=f"^{name}: "):
            push_to_hub(name, "tiny")
    assert (hub.log, list(tmp_path.iterdir())) == ([], [])


REFUSED = [
    (None, "alice/digits", "[Tt]oken.*`hf auth login`"),
    ("bogus", "alice/digits", "401.*token.*`hf auth login`.*HF_TOKEN"),
    ("stranger", "alice/digits", "403.*permissions to write to alice.*create_pr=True"),
    ("stranger", "alice/new", "403.*permissions to write to alice.*create_pr=True"),
    ("writer", "nobody/digits", "403.*permissions to write to nobody.*create_pr=True"),
]


@pytest.mark.parametrize(("token", "name", "message"), REFUSED)
def test_no_right_to_write(
    token: str | None, name: str, message: str, hub: HubServer, monkeypatch: Patch
) -> None:
    hub.create("alice/digits")
    monkeypatch.setenv("HF_TOKEN", f"hf_{token}") if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(IdxError, match=f"^{name}: {hub.url}.*{message}"):
        push_to_hub(name, "tiny")
    assert {name: published(repo) for name, repo in hub.repos.items()} == {"alice/digits": set()}


FAILING = [
    "GET /whoami-v2 500",
    "POST /repos/create 400",
    "POST /repos/create 429",
    "POST /branch/ 503",
]
FAILING += [
    "GET /revision/ 503",
    "GET /tree/ 503",
    "POST /preupload/ cut",
    "POST /objects/batch 503",
]
FAILING += ["PUT /upload/ cut", "POST /objects/verify 503", "POST /validate-yaml 503"]
FAILING += ["POST /commit/ 503", "POST /commit/ cut"]


@pytest.mark.parametrize("step", FAILING)
def test_a_failing_hub_keeps_what_it_had(step: str, hub: HubServer) -> None:
    method, path, kind = step.split()
    hub.fault(method, path, kind if kind == "cut" else int(kind), times=100)
    with pytest.raises(IdxError) as caught:
        push_to_hub("alice/digits", "tiny", revision="v1")
    said = str(caught.value)
    assert said.startswith(f"alice/digits: {hub.url}: ")
    assert isinstance(caught.value, TransferError) == said.endswith("Try again.") == (kind != "400")
    assert (f"{kind}: fault." in said) == (kind != "cut")
    assert all(published(repo, ref) == set() for repo in hub.repos.values() for ref in repo.refs)


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
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_MAX_ATTEMPTS", "1")
    contents = [path.read_bytes() for path in export(tmp_path / "digits", "tiny").rglob("*.p*")]
    hub.store = {hashlib.sha256(content).hexdigest(): content for content in contents}
    push_to_hub("digits", "tiny")
    paths = " ".join(path for _, path in hub.log)
    assert "/v1/shards" in paths and "/upload/" not in paths
    hub.fault("POST", "/v1/xorbs", "cut", times=100)
    with pytest.raises(TransferError, match=r"Try again\.$"):
        push_to_hub("digits", "subset")
    assert published(hub.repos["alice/digits"]) == TINY


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["GET /whoami", "POST /repos", "PUT /upload/", "POST /v1/xorbs", "POST /commit/"]
)
def test_an_interrupted_push(step: str, hub: HubServer, hf_home: Path, tmp_path: Path) -> None:
    held = hub.fault(*step.split(), "hold")
    code = "from mnist_idx.tools.cli import main\n"
    code += "raise SystemExit(main(['push', 'digits', '--config=tiny']))"
    env = hub.environment("writer", xet="xorbs" in step) | {"TMPDIR": str(tmp_path)}
    client = start_snippet(code, home=hf_home, env=env)
    assert held.reached.wait(60)
    client.process.send_signal(signal.SIGINT)
    outcome = client.wait(timeout=10, check=False)
    assert (outcome.returncode, "interrupted" in outcome.stderr, "Traceback" in outcome.stderr) == (
        130,
        True,
        False,
    )
    assert list(tmp_path.glob("mnist_idx*")) == []
    assert all(published(repo) == set() for repo in hub.repos.values())


def test_an_interrupted_export(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setattr(
        "mnist_idx.tools.publish.contact_sheet", Mock(side_effect=KeyboardInterrupt)
    )
    assert main(["export", str(tmp_path / "digits"), "--config=tiny"]) == 130
    assert list(tmp_path.iterdir()) == []
