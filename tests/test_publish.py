"""Publishing through the real client to a Hub on this machine, and loading from there without the package."""

import fnmatch
import json
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from clients import ROOT, Client, digest_arrays, run_client, start_client, tree
from hub_client import log_in
from hub_server import Blob, HubServer, Repo
from huggingface_hub import DatasetCard

from mnist_idx import IdxError, catalog, load_arrays
from mnist_idx.idx import TransferError
from mnist_idx.tools.cli import main
from mnist_idx.tools.publish import export, push_to_hub

# An export is what a push uploads; the Hub itself adds its list of large files.
TINY = {"README.md", "preview.png", "tiny/train-00000-of-00001.parquet", "tiny/test-00000-of-00001.parquet"}
SUBSET = {path.replace("tiny", "subset") for path in TINY}
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")  # of the client
TINY_COUNTS = {"train": 1000, "test": 200}
OF_THE_HUB = ".gitattributes"
MNIST_CONFIGS = ("mnist", "subset", "tiny")


Patch, Capsys = pytest.MonkeyPatch, pytest.CaptureFixture[str]


@pytest.fixture
def hub(monkeypatch: Patch, mirror: Callable[[Any], None], mnist_tar: Path) -> Iterator[HubServer]:
    """A Hub, and this process as a client of it, logged in as alice."""
    with HubServer(page_size=2) as server:  # no listing fits into one page
        log_in(server, monkeypatch)
        mirror(mnist_tar)
        yield server
        for repo in server.repos.values():
            check_history(repo)


def check_history(repo: Repo) -> None:
    """At each commit of each branch and pull request, the card describes exactly the data that is there."""
    for commit in (commit for ref in repo.refs for commit in repo.history(ref)):
        if set(commit.tree) != {OF_THE_HUB}:
            check_card({path: repo.read(blob) for path, blob in commit.tree.items()})


def check_card(files: dict[str, bytes]) -> None:
    text = files["README.md"].decode()
    metadata = yaml.safe_load(text.split("---\n")[1])
    infos = metadata["dataset_info"]
    infos = {info["config_name"]: info for info in (infos if isinstance(infos, list) else [infos])}
    assert [config["config_name"] for config in metadata["configs"]] == list(infos)
    assert [bool(config.get("default")) for config in metadata["configs"]] == [True] + [False] * (len(infos) - 1)
    described = set()
    for config in metadata["configs"]:
        info = infos[config["config_name"]]
        paths = {part["split"]: fnmatch.filter(files, part["path"]) for part in config["data_files"]}
        rows = {split: pq.read_metadata(pa.BufferReader(files[path])).num_rows for split, (path,) in paths.items()}
        assert rows == {split["name"]: split["num_examples"] for split in info["splits"]}
        assert info["download_size"] == sum(len(files[path]) for (path,) in paths.values())
        described |= {path for (path,) in paths.values()}
    assert {path for path in files if path.endswith(".parquet") and not path.startswith("other/")} == described
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert files[picture].startswith(b"\x89PNG")


def published(repo: Repo, revision: str = "main") -> set[str]:
    return set(repo.files(revision)) - {OF_THE_HUB}


LOAD = """
import sys
from clients import digest_table
from datasets import Image, get_dataset_config_names, load_dataset
default = load_dataset("alice/digits")
result = {
    "configs": get_dataset_config_names("alice/digits"),
    "default": default.num_rows,
    "features": str(default["train"].features),
    "digests": {},
    "streams": [],
}
for config in args["configs"]:
    for split, table in load_dataset("alice/digits", config).items():
        result["digests"][f"{config}/{split}"] = digest_table(table)
        table = table.cast_column("image", Image(decode=False))
        stream = load_dataset("alice/digits", config, split=split, streaming=True)
        stream = stream.cast_column("image", Image(decode=False))
        result["streams"].append(all(a == b for a, b in zip(table, stream, strict=True)))
result["alone"] = not any(name.partition(".")[0] == "mnist_idx" for name in sys.modules)
"""


@pytest.mark.compat
@pytest.mark.parametrize("configs", [("subset", "tiny"), pytest.param(MNIST_CONFIGS, marks=pytest.mark.slow)], ids=str)
def test_what_is_pushed_loads_without_the_package(configs: Any, python: str, hub: HubServer, hf_home: Path) -> None:
    push_to_hub("digits", configs)
    env = hub.environment()
    found = run_client(LOAD, home=hf_home, args={"configs": configs}, env=env, python=python, installed=True).result
    assert found["configs"] == list(configs)
    assert found["default"] == ({"train": 60000, "test": 10000} if "mnist" in configs else {"train": 100, "test": 100})
    assert re.match(r"{'image': Image\(.*decode=True.*'label': ClassLabel\(", found["features"])
    assert found["digests"] == {
        f"{config}/{split}": digest_arrays(*load_arrays("mnist_idx", config, split=split))
        for config in configs
        for split in ("train", "test")
    }
    assert set(found["streams"]) == {True}
    assert found["alone"]


@pytest.mark.usefixtures("hub")
def test_the_published_card_is_ours(tmp_path: Path) -> None:
    folder = export(tmp_path / "digits", ["tiny", "subset"])
    ours, pushed = (path.read_text().split("---\n", 2) for path in (ROOT / "dataset_card.md", folder / "README.md"))
    assert pushed[2] == ours[2].replace("mnist_idx/data/digits.png", "preview.png")
    metadata = yaml.safe_load(pushed[1])
    assert [config["config_name"] for config in metadata.pop("configs")] == ["subset", "tiny"]
    assert [info["config_name"] for info in metadata.pop("dataset_info")] == ["subset", "tiny"]
    assert metadata == yaml.safe_load(ours[1])


def test_parquet_files(tmp_path: Path) -> None:
    folder = export(tmp_path / "digits", "tiny")
    for path in folder.rglob("*.parquet"):
        file = pq.ParquetFile(path)
        features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
        assert features["image"]["_type"] == "Image"
        assert features["label"] == {"names": list("0123456789"), "_type": "ClassLabel"}
        sizes = [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)]
        assert max(sizes) <= 1000, "the first records of a stream take no more than a group of 1,000"
        assert file.metadata.row_group(0).column(0).has_column_index
        images = file.read_row_group(0).column("image").to_pylist()
        assert all(image["bytes"].startswith(b"\x89PNG") for image in images)


def test_a_second_push_changes_nothing(hub: HubServer, capsys: Capsys, hf_home: Path, mnist_tar: Path) -> None:
    assert main(["push", "alice/digits", "--config", "tiny", "--config", "subset"]) == 0
    assert f"Published at {hub.url}/datasets/alice/digits\n" in capsys.readouterr().out
    repo = hub.repo("alice/digits")
    assert published(repo) == TINY | SUBSET
    head, uploads = repo.refs["refs/heads/main"], hub.requests("PUT", "")
    assert [commit.title for commit in repo.history()] == ["Publish subset, tiny", "initial commit"]
    # Another process with another hash seed and another cache: the files must be the same to the byte.
    code = "from mnist_idx.tools.cli import main\nresult = main(['push', 'digits', '--config=subset', '--config=tiny'])"
    env = {**hub.environment("writer"), "PYTHONHASHSEED": "7", "MNIST_IDX_MIRROR": str(mnist_tar)}
    outcome = run_client(code, home=hf_home, env=env)
    assert f"Nothing to change at {hub.url}/datasets/alice/digits\n" in outcome.stdout
    assert repo.refs["refs/heads/main"] == head
    assert hub.requests("PUT", "") == uploads


def test_push_deletes_only_its_own_stale_files(hub: HubServer) -> None:
    push_to_hub("digits", "tiny")
    repo = hub.repo("alice/digits")
    foreign = {"notes.txt": b"keep me", "other/train-00000-of-00001.parquet": b"and me"}
    tree = repo.commits[repo.refs["refs/heads/main"]].tree
    tree = {**tree, **{path: Blob.regular(content) for path, content in foreign.items()}}
    repo.commit("refs/heads/main", tree, "files of another kind")
    push_to_hub("digits", {"subset": {"num_samples": 20, "seed": 3}})
    assert published(repo) == SUBSET | set(foreign)
    assert [commit.title for commit in repo.history()][:2] == ["Publish subset", "files of another kind"]
    file = pq.ParquetFile(pa.BufferReader(repo.files()["subset/train-00000-of-00001.parquet"]))
    assert file.metadata.num_rows == 20


def test_dry_run(hub: HubServer, monkeypatch: Patch, capsys: Capsys) -> None:
    monkeypatch.delenv("HF_TOKEN")
    dry = push_to_hub("digits", "tiny", dry_run=True)
    assert dry[:3] == (f"{hub.url}/datasets/digits", None, True)
    assert main(["push", "alice/digits", "--config", "tiny", "--dry-run"]) == 0
    assert hub.log == []
    printed = capsys.readouterr().out
    assert "Nothing was uploaded" in printed
    result = push_to_hub("alice/digits", "tiny", token="hf_writer")
    repo = hub.repo("alice/digits")
    assert result[:3] == (f"{hub.url}/datasets/alice/digits", repo.refs["refs/heads/main"], True)
    sizes = {path: len(content) for path, content in repo.files().items() if path != OF_THE_HUB}
    assert dry.files == result.files == sizes
    listed = {
        path: int(size.replace(",", "")) for path, size in re.findall(r"^(\S.*\S) +([\d,]+) bytes$", printed, re.M)
    }
    assert listed == {**sizes, "in all": sum(sizes.values())}
    again = push_to_hub("alice/digits", "tiny", token="hf_writer")
    assert again == result._replace(changed=False)


def test_private(hub: HubServer) -> None:
    push_to_hub("team/digits", "tiny", private=True)
    assert hub.repo("team/digits").private
    push_to_hub("team/digits", "subset", private=True)
    with pytest.raises(IdxError, match=r"exists and is private.*/settings"):
        push_to_hub("team/digits", "tiny", private=False)
    assert published(hub.repo("team/digits")) == SUBSET
    push_to_hub("team/public", "tiny", private=False)
    assert not hub.repo("team/public").private
    with pytest.raises(IdxError, match="exists and is public"):
        push_to_hub("team/public", "subset", private=True)


def test_branch(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    said = {"commit_message": "The miniature", "commit_description": "A thousand\nto train on."}
    for _ in range(2):  # the branch is there the second time
        push_to_hub("digits", "tiny", revision="small/1", **said)
    repo = hub.repo("alice/digits")
    assert published(repo) == SUBSET
    assert published(repo, "small/1") == TINY
    commit = repo.history("small/1")[0]
    assert (commit.title, commit.message, commit.author) == (*said.values(), "alice")
    assert len(repo.history("small/1")) == 3


def test_pull_request(hub: HubServer) -> None:
    push_to_hub("digits", "subset")
    # Who may read may propose.
    result = push_to_hub("alice/digits", "tiny", create_pr=True, token="hf_stranger")
    repo = hub.repo("alice/digits")
    assert result.url == f"{hub.url}/datasets/alice/digits/discussions/1"
    assert published(repo) == SUBSET
    assert published(repo, "refs/pr/1") == TINY
    # A correction goes to the same pull request; one that proposes nothing is not opened.
    push_to_hub("alice/digits", ["tiny", "subset"], revision="refs/pr/1")
    assert published(repo, "refs/pr/1") == TINY | SUBSET
    assert not push_to_hub("alice/digits", "subset", create_pr=True).changed
    assert len(repo.pulls) == 1
    with pytest.raises(IdxError, match=r"revision='v2': a pull request goes to main"):
        push_to_hub("alice/digits", "tiny", create_pr=True, revision="v2")


def test_an_export_is_what_a_push_uploads(hub: HubServer, tmp_path: Path, capsys: Capsys) -> None:
    folder = tmp_path / "deep" / "digits"
    assert main(["export", str(folder), "--config", "tiny"]) == 0
    assert f"Exported to {folder}\n" in capsys.readouterr().out
    push_to_hub("digits", "tiny")
    files = {path: (folder / path).read_bytes() for path in tree(folder)}
    assert files == {path: content for path, content in hub.repo("alice/digits").files().items() if path != OF_THE_HUB}
    assert datasets.load_dataset(str(folder), cache_dir=str(tmp_path)).num_rows == TINY_COUNTS


def test_export_replaces_only_an_export_and_only_when_asked(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    assert export(folder, "tiny") == folder
    assert set(tree(folder)) == TINY
    with pytest.raises(IdxError, match=r"exists already.*overwrite=True"):
        export(folder, "tiny")
    export(str(folder), {"tiny": {"num_samples": 10}}, overwrite=True)
    assert pq.read_metadata(folder / "tiny/train-00000-of-00001.parquet").num_rows == 10
    (folder / "thesis.txt").write_text("irreplaceable")
    (tmp_path / "no_card" / "tiny").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    before = tree(tmp_path)
    for name, said in (
        ("digits", r"not an earlier export: it holds thesis\.txt"),
        ("no_card", "not an earlier export"),
        ("file", "is not a folder"),
    ):
        with pytest.raises(IdxError, match=said):
            export(tmp_path / name, "tiny", overwrite=True)
    assert tree(tmp_path) == before


@pytest.mark.slow
def test_an_export_gives_the_literal_name_to_a_folder(tmp_path: Path, hf_home: Path) -> None:
    export(tmp_path / "mnist_idx", "tiny")
    code = "from datasets import load_dataset\nresult = load_dataset('mnist_idx').num_rows"
    assert run_client(code, home=hf_home, cwd=tmp_path, installed=True).result == TINY_COUNTS


@pytest.mark.parametrize("name", ["fashion_mnist", "emnist_letters"])
def test_other_datasets_have_cards_of_their_own(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    published = catalog.DATASETS[name]
    small = published._replace(splits=catalog.TINY.splits, sources=catalog.TINY.sources)
    monkeypatch.setitem(catalog.DATASETS, name, small)
    folder = export(tmp_path / "folder", name)
    files = {path: (folder / path).read_bytes() for path in tree(folder)}
    assert set(files) == {path.replace("tiny", name) for path in TINY}
    check_card(files)
    card = DatasetCard.load(folder / "README.md")
    assert card.data.license == published.license
    assert card.data.pretty_name == published.description.partition(":")[0]
    for said in (published.homepage, published.citation, published.description, published.license):
        assert said in card.text
    train, test = (np.bincount(load_arrays("mnist_idx", "tiny", split=split)[1], minlength=62) for split in TINY_COUNTS)  # type: ignore[arg-type]
    for label, class_name in enumerate(published.class_names):
        assert f"| `{class_name}` | {train[label]} | {test[label]} |" in card.text
    assert "| all | 1,000 | 200 |" in card.text
    assert f'load_dataset("user/mnist_idx", "{name}")' in card.text


@pytest.mark.parametrize("configs", [[], ["cifar"], ["tiny", "mnits"], ""])
def test_unknown_configs(configs: Any, tmp_path: Path) -> None:
    for publish in (export, push_to_hub):
        with pytest.raises(IdxError, match=r"expected one or more of mnist, subset, tiny.*idxfolder"):
            publish(str(tmp_path / "digits"), configs)
    assert not any(tmp_path.iterdir())


def test_different_datasets_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(IdxError, match="kmnist, tiny: different datasets"):
        export(tmp_path / "digits", ["kmnist", "tiny"])


@pytest.mark.parametrize("name", ["", "a/b/c", "a b", "alice/mn--ist", "alice/.x", "alice/x.git", "datasets/alice/x"])
def test_names_that_are_not_allowed(name: str, hub: HubServer) -> None:
    with pytest.raises(IdxError, match=f"^{name}: "):
        push_to_hub(name, "tiny")
    assert hub.log == []


REFUSED = [
    (None, "alice/digits", "(?i)token.*`hf auth login`"),
    ("bogus", "alice/digits", "401.*token.*`hf auth login`.*HF_TOKEN"),
    ("reader", "alice/digits", "403.*required permissions.*create_pr=True"),
    ("stranger", "alice/digits", "403.*required permissions.*create_pr=True"),
    ("stranger", "alice/new", '403.*under the namespace "alice".*create_pr=True'),
    ("writer", "nobody/digits", '403.*under the namespace "nobody".*create_pr=True'),
]


@pytest.mark.parametrize(("token", "name", "message"), REFUSED)
def test_no_right_to_write(token: str | None, name: str, message: str, hub: HubServer, monkeypatch: Patch) -> None:
    hub.create("alice/digits")
    monkeypatch.setenv("HF_TOKEN", f"hf_{token}") if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(IdxError) as caught:
        push_to_hub(name, "tiny")
    assert str(caught.value).startswith(f"{name}: {hub.url}")
    assert re.search(message, str(caught.value))
    assert published(hub.repo("alice/digits")) == set()
    assert set(hub.repos) == {"alice/digits"}


def test_what_only_the_hub_refuses(hub: HubServer) -> None:
    hub.fault("POST", "/repos/create", 400)
    with pytest.raises(IdxError, match=rf"^alice/digits: {hub.url}: the server answered 400: fault\.$"):
        push_to_hub("alice/digits", "tiny")


# What a push asks of the Hub, step by step.
STEPS = [
    ("GET", "/whoami-v2", 500),
    ("POST", "/repos/create", 429),
    ("POST", "/branch/", 503),
    ("GET", "/revision/", 503),
    ("GET", "/tree/", 503),
    ("POST", "/preupload/", "cut"),
    ("POST", "/objects/batch", 503),
    ("PUT", "/upload/", "cut"),
    ("POST", "/objects/verify", 503),
    ("POST", "/validate-yaml", 503),
    ("POST", "/commit/", 503),
    ("POST", "/commit/", "cut"),
]


@pytest.mark.parametrize(("method", "step", "kind"), STEPS)
def test_a_failing_hub_keeps_what_it_had(method: str, step: str, kind: int | str, hub: HubServer) -> None:
    hub.fault(method, step, kind, times=100)
    with pytest.raises(TransferError) as caught:
        push_to_hub("alice/digits", "tiny", revision="v1")
    assert str(caught.value).startswith(f"alice/digits: {hub.url}: ")
    assert str(caught.value).endswith("Try again.")
    assert (str(kind) in str(caught.value)) == (kind != "cut")
    assert all(published(repo, ref) == set() for repo in hub.repos.values() for ref in repo.refs)


def test_a_push_whose_last_answer_is_lost_can_be_repeated(hub: HubServer) -> None:
    hub.fault("POST", "/commit/", "lost")
    with pytest.raises(TransferError):
        push_to_hub("digits", "tiny")
    assert not push_to_hub("digits", "tiny").changed
    assert len(hub.repo("alice/digits").history()) == 2


def test_a_push_that_was_overtaken_changes_nothing(hub: HubServer) -> None:
    held = hub.fault("POST", "/commit/", "hold")
    with ThreadPoolExecutor() as threads:
        first = threads.submit(push_to_hub, "digits", "tiny")
        assert held.reached.wait(60)
        push_to_hub("digits", "subset")
        held.release.set()
        with pytest.raises(IdxError, match=r"The repository has changed meanwhile\. Push again\.$"):
            first.result()
    assert published(hub.repo("alice/digits")) == SUBSET


COMMAND = "from mnist_idx.tools.cli import main\nraise SystemExit(main(args['argv']))"
Start = Callable[..., Client]


@pytest.fixture
def start(hub: HubServer, hf_home: Path, mnist_tar: Path, tmp_path: Path) -> Start:
    """Start `mnist-idx ARGUMENTS` as alice, with `tmp_path / "temporary"` for temporary files."""
    (tmp_path / "temporary").mkdir()

    def started(*argv: str, xet: bool = False, code: str = COMMAND, **env: str) -> Client:
        env |= {"MNIST_IDX_MIRROR": str(mnist_tar), "TMPDIR": str(tmp_path / "temporary")}
        return start_client(code, home=hf_home, args={"argv": argv}, env={**hub.environment("writer", xet=xet), **env})

    return started


@pytest.mark.slow
def test_push_by_xet(hub: HubServer, start: Start) -> None:
    """By the protocol that the client takes where its package for that is installed."""
    passing = [hub.fault("POST", "/v1/xorbs", "cut"), hub.fault("POST", "/v1/shards", 503)]
    start("push", "digits", "--config", "tiny", xet=True).wait()
    assert all(fault.reached.is_set() for fault in passing)
    repo = hub.repo("alice/digits")
    assert published(repo) == TINY
    assert hub.requests("POST", "/v1/shards") > 0
    assert hub.requests("PUT", "/upload/") == 0
    assert not push_to_hub("digits", "tiny").changed, "its files are those that the older protocol would have sent"
    hub.fault("POST", "/v1/xorbs", "cut", times=100)
    once = {"HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1"}
    failed = start("push", "digits", "--config", "subset", xet=True, **once).wait(check=False)
    assert (failed.returncode, "Try again." in failed.stderr, "Traceback" in failed.stderr) == (1, True, False)
    assert published(repo) == TINY


def interrupt(client: Client) -> None:
    client.process.send_signal(signal.SIGINT)
    outcome = client.wait(timeout=10, check=False)
    assert (outcome.returncode, "interrupted" in outcome.stderr, "Traceback" in outcome.stderr) == (130, True, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "step", ["GET /whoami-v2", "POST /repos/create", "PUT /upload/", "POST /v1/xorbs", "POST /commit/"]
)
def test_an_interrupted_push(step: str, hub: HubServer, start: Start, tmp_path: Path) -> None:
    held = hub.fault(*step.split(), "hold")
    client = start("push", "digits", "--config", "tiny", xet="/v1/xorbs" in step)
    assert held.reached.wait(60)
    interrupt(client)
    held.release.set()
    assert not [path for path in (tmp_path / "temporary").iterdir() if path.name.startswith("mnist_idx")]
    assert all(published(repo) == set() for repo in hub.repos.values())


SLOW_BUILD = """
import os, pathlib, threading
from mnist_idx.tools import publish
write = publish._write_parquet
def wait(*args):
    write(*args)
    pathlib.Path(os.environ["WRITTEN"]).touch()
    threading.Event().wait(60)
publish._write_parquet = wait
"""


@pytest.mark.slow
def test_an_interrupted_export(start: Start, tmp_path: Path) -> None:
    written, place = tmp_path / "written", tmp_path / "place"
    place.mkdir()
    client = start("export", str(place / "digits"), "--config=tiny", code=SLOW_BUILD + COMMAND, WRITTEN=str(written))
    while not written.exists():
        assert client.process.poll() is None
    interrupt(client)
    assert list(place.iterdir()) == []
