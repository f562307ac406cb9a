"""Publishing through the real clients to a Hub on this machine, and loading from there without the package."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from clients import ROOT, Client, Outcome, digest_arrays, run_client, start_client, tree
from hub_server import Blob, HubServer, Repo

from mnist_idx import IdxError
from mnist_idx.cli import build_parser
from mnist_idx.folder import CONFIGS, export
from mnist_idx.hub import push_to_hub

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]
Push = Callable[..., Outcome]

COMMAND = "from mnist_idx.cli import main\nraise SystemExit(main(args['argv']))"
# An export is what a push uploads; the Hub itself adds its list of large files.
TINY = {
    "README.md",
    "preview.png",
    "tiny/train-00000-of-00001.parquet",
    "tiny/test-00000-of-00001.parquet",
}
SUBSET = {path.replace("tiny", "subset") for path in TINY}
HUBS_OWN = ".gitattributes"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    # Pages of two entries: no listing fits in one.
    with HubServer(page_size=2) as server:
        yield server
        for repo in server.repos.values():
            check_history(repo)


@pytest.fixture
def start(hub: HubServer, hf_home: Path, mnist_tar: Path) -> Callable[..., Client]:
    """Start `mnist-idx ARGUMENTS` as a user of the test Hub."""

    def started(*argv: str, token: str | None = "writer", env: dict[str, str] | None = None, **options: Any) -> Client:
        environment = {"MNIST_IDX_MIRROR": str(mnist_tar), **hub.environment(token), **(env or {})}
        return start_client(COMMAND, home=hf_home, args={"argv": argv}, env=environment, **options)

    return started


@pytest.fixture
def run(start: Callable[..., Client]) -> Push:
    """Run `mnist-idx ARGUMENTS` to its end, which is one without a traceback, whatever happens."""

    def finished(*argv: str, code: int = 0, **options: Any) -> Outcome:
        outcome = start(*argv, **options).wait(check=False)
        assert outcome.returncode == code, outcome.stderr
        assert "Traceback" not in outcome.stderr
        return outcome

    return finished


def check_history(repo: Repo) -> None:
    """At each commit of each branch and pull request, the card describes exactly the data that is there."""
    for ref in repo.refs:
        for commit in repo.history(ref):
            if "README.md" in commit.tree:
                check_card({path: repo.read(blob) for path, blob in commit.tree.items()})
            else:
                assert set(commit.tree) == {HUBS_OWN}


def check_card(files: dict[str, bytes]) -> None:
    text = files["README.md"].decode()
    metadata = yaml.safe_load(text.split("---\n")[1])
    infos = metadata["dataset_info"]
    infos = {info["config_name"]: info for info in (infos if isinstance(infos, list) else [infos])}
    described = set()
    for config in metadata["configs"]:
        info = infos.pop(config["config_name"])
        counts = {split["name"]: split["num_examples"] for split in info["splits"]}
        size = 0
        for part in config["data_files"]:
            (path,) = (path for path in files if fnmatch(path, part["path"]))
            assert pq.ParquetFile(pa.BufferReader(files[path])).metadata.num_rows == counts.pop(part["split"])
            size += len(files[path])
            described.add(path)
        assert not counts
        assert info["download_size"] == size
    assert not infos
    assert {path for path in files if re.match(rf"({'|'.join(CONFIGS)})/", path)} == described
    for picture in re.findall(r"!\[.*?\]\((.*?)\)", text):
        assert files[picture].startswith(b"\x89PNG")


def published(repo: Repo, revision: str = "main") -> set[str]:
    return set(repo.files(revision)) - {HUBS_OWN}


def expected(arrays: Arrays, config: str, split: str) -> list[Any]:
    """The digest that a split must have, from the archive read independently."""
    images, labels = arrays[split]
    if config == "subset":
        order = list(range(100))
        random.Random(1).shuffle(order)
        return digest_arrays(images[order], labels[order])
    count = {"mnist": len(labels), "tiny": {"train": 1000, "test": 200}[split]}[config]
    return digest_arrays(images[:count], labels[:count])


# What arrives, and who can load it.


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, mnist_tar: Path) -> Iterator[HubServer]:
    """A Hub that has everything in alice/mnist_idx, uploaded in parts."""
    with HubServer(part_size=5 << 20) as server:
        home = tmp_path_factory.mktemp("whole") / "hf_home"
        home.mkdir()
        argv = ["push", "mnist_idx", *(f"--config={name}" for name in CONFIGS)]
        environment = {"MNIST_IDX_MIRROR": str(mnist_tar), **server.environment("writer")}
        outcome = run_client(COMMAND, home=home, args={"argv": argv}, env=environment, check=False)
        assert outcome.returncode == 0, outcome.stderr
        yield server


LOAD = """
import sys
from clients import digest_table
from datasets import Image, get_dataset_config_names, load_dataset

source = args["source"]
default = load_dataset(source)
result = {
    "configs": get_dataset_config_names(source),
    "features": str(default["train"].features),
    "first": str(default["train"][0]),
    "default": {split: default[split]._fingerprint == load_dataset(source, "mnist")[split]._fingerprint
                for split in default} if args["all"] else None,
    "digests": {},
    "streams": {},
}
for config in args["configs"]:
    for split, table in load_dataset(source, config).items():
        result["digests"][f"{config}/{split}"] = digest_table(table)
        table = table.cast_column("image", Image(decode=False))
        stream = load_dataset(source, config, split=split, streaming=True).cast_column("image", Image(decode=False))
        result["streams"][f"{config}/{split}"] = all(a == b for a, b in zip(table, stream, strict=True))
result["alone"] = not any(name.partition(".")[0] == "mnist_idx" for name in sys.modules)
"""


@pytest.mark.compat
def test_load_everything_without_the_package(
    whole: HubServer, python: str, hf_home: Path, mnist_arrays: Arrays
) -> None:
    arguments = {"source": "alice/mnist_idx", "configs": CONFIGS, "all": True}
    found = run_client(
        LOAD, home=hf_home, args=arguments, env=whole.environment(), python=python, installed=True
    ).result
    keys = [(config, split) for config in CONFIGS for split in ("train", "test")]
    assert found["configs"] == list(CONFIGS)
    assert found["default"] == {"train": True, "test": True}
    assert "Image(mode=None, decode=True" in found["features"]
    assert "ClassLabel(" in found["features"]
    assert "mode=L size=28x28" in found["first"]
    assert "'label': 5" in found["first"]
    assert found["digests"] == {f"{c}/{s}": expected(mnist_arrays, c, s) for c, s in keys}
    assert found["streams"] == {f"{c}/{s}": True for c, s in keys}
    assert found["alone"]


def test_what_the_card_says_to_run(whole: HubServer, hf_home: Path) -> None:
    """The Python of the published card runs, and prints what the card says it does."""
    repo = whole.repo("alice/mnist_idx")
    check_history(repo)
    card = repo.files()["README.md"].decode()
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    programs = [block for block in blocks if "import" in block]
    assert len(programs) == 3
    code = "\n".join(programs).replace("user/mnist_idx", "alice/mnist_idx")
    code += "\nresult = [str(digits['train'][0]), subset.to_dict() == small['train'].to_dict()]"
    outcome = run_client(code, home=hf_home, env=whole.environment(), installed=True)
    first, same_subset = outcome.result
    shown = re.sub(r" at 0x[0-9A-F]+", "", first)
    assert shown in card
    assert same_subset
    digest = outcome.stdout.split()[-1]
    assert f"| `test` | `{digest}` |" in card


def test_card_is_ours_with_what_was_pushed(whole: HubServer) -> None:
    ours = (ROOT / "dataset_card.md").read_text()
    pushed = whole.repo("alice/mnist_idx").files()["README.md"].decode()
    _, our_head, our_prose = ours.split("---\n", 2)
    _, head, prose = pushed.split("---\n", 2)
    assert prose == our_prose
    metadata = yaml.safe_load(head)
    assert [config["config_name"] for config in metadata["configs"]] == list(CONFIGS)
    assert [config["config_name"] for config in metadata["configs"] if config.get("default")] == ["mnist"]
    assert [info["config_name"] for info in metadata["dataset_info"]] == list(CONFIGS)
    rest = {key: value for key, value in metadata.items() if key not in ("configs", "dataset_info")}
    assert rest == yaml.safe_load(our_head)


def test_parquet_files(whole: HubServer) -> None:
    for path, content in whole.repo("alice/mnist_idx").files().items():
        if path.endswith(".parquet"):
            file = pq.ParquetFile(pa.BufferReader(content))
            features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
            assert features["image"]["_type"] == "Image"
            assert features["label"] == {"names": list("0123456789"), "_type": "ClassLabel"}
            sizes = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            assert max(sizes) <= 1000, "the first records of a stream take no more than a group of 1,000"
            images = file.read_row_group(0).column("image").to_pylist()
            assert all(image["bytes"].startswith(b"\x89PNG") for image in images)


def test_push_by_xet(hub: HubServer, run: Push) -> None:
    """As most do it: by the protocol that the client takes where its package for that is installed."""
    run("push", "digits", "--config", "tiny", "--config", "subset", env=hub.environment("writer", xet=True))
    repo = hub.repo("alice/digits")
    assert published(repo) == TINY | SUBSET
    assert hub.requests("POST", "/v1/shards") > 0
    assert hub.requests("PUT", "/upload/") == 0
    # Its files are those that the older protocol would have sent.
    assert "Nothing to change" in run("push", "digits", "--config", "tiny", "--config", "subset").stdout


def test_second_push_changes_nothing(hub: HubServer, run: Push) -> None:
    first = run("push", "alice/digits", "--config", "tiny", "--config", "subset")
    repo = hub.repo("alice/digits")
    assert published(repo) == TINY | SUBSET
    assert f"Published at {hub.url}/datasets/alice/digits" in first.stdout
    head, uploads = repo.refs["refs/heads/main"], hub.requests("PUT", "")
    # Another process with another hash seed and another cache: the files must be the same to the byte.
    with tempfile.TemporaryDirectory() as other:
        second = run(
            "push", "digits", "--config", "subset", "--config", "tiny", env={"PYTHONHASHSEED": "7", "HF_HOME": other}
        )
    assert f"Nothing to change at {hub.url}/datasets/alice/digits" in second.stdout
    assert repo.refs["refs/heads/main"] == head
    assert hub.requests("PUT", "") == uploads


def test_another_push_leaves_nothing_behind_but_what_is_not_ours(hub: HubServer, run: Push) -> None:
    run("push", "digits", "--config", "tiny")
    repo = hub.repo("alice/digits")
    foreign = {"notes.txt": b"keep me", "tiny/notes.txt": b"me, too", "other/train-00000-of-00001.parquet": b"and me"}
    tree = dict(repo.commits[repo.refs["refs/heads/main"]].tree)
    tree |= {path: Blob.regular(content) for path, content in foreign.items() if not path.startswith("tiny/")}
    repo.commit("refs/heads/main", tree, "files of another kind")
    run("push", "digits", "--config", "subset", "--num-samples", "20", "--seed", "3")
    assert published(repo) == SUBSET | {"notes.txt", "other/train-00000-of-00001.parquet"}
    assert [commit.title for commit in repo.history()] == [
        "Publish subset of MNIST",
        "files of another kind",
        "Publish tiny of MNIST",
        "initial commit",
    ]
    file = pq.ParquetFile(pa.BufferReader(repo.files()["subset/train-00000-of-00001.parquet"]))
    assert file.metadata.num_rows == 20


# The options.


def test_private(hub: HubServer, run: Push, hf_home: Path) -> None:
    run("push", "team/digits", "--config", "tiny", "--private")
    assert hub.repo("team/digits").private
    code = "from datasets import load_dataset\nresult = load_dataset('team/digits', split='test').num_rows"
    read = {"home": hf_home, "installed": True}
    assert run_client(code, env=hub.environment("reader"), **read).result == 200
    for stranger in (None, "stranger"):
        refused = run_client(
            code, env={**hub.environment(stranger), "HF_HOME": str(hf_home / "x")}, check=False, **read
        )
        assert "DatasetNotFoundError" in refused.stderr
    run("push", "team/digits", "--config", "subset", "--private")
    outcome = run("push", "team/digits", "--config", "tiny", "--no-private", code=1)
    assert "private=False is asked for, but the repository exists and is not" in outcome.stderr
    assert published(hub.repo("team/digits")) == SUBSET


def test_branch(hub: HubServer, run: Push, hf_home: Path) -> None:
    run("push", "digits", "--config", "subset")
    said = ("--commit-message", "The miniature", "--commit-description", "A thousand\nto train on.")
    run("push", "digits", "--config", "tiny", "--revision", "small/1", *said)
    repo = hub.repo("alice/digits")
    assert published(repo) == SUBSET
    assert published(repo, "small/1") == TINY
    commit = repo.history("small/1")[0]
    assert (commit.title, commit.message, commit.author) == ("The miniature", "A thousand\nto train on.", "alice")
    code = (
        "from datasets import load_dataset\nresult = load_dataset('alice/digits', revision='small/1')['train'].num_rows"
    )
    assert run_client(code, home=hf_home, env=hub.environment(), installed=True).result == 1000


def test_pull_request(hub: HubServer, run: Push, hf_home: Path) -> None:
    run("push", "digits", "--config", "subset")
    # Whoever may read may propose.
    outcome = run("push", "alice/digits", "--config", "tiny", "--create-pr", token="stranger")
    repo = hub.repo("alice/digits")
    assert f"Published at {hub.url}/datasets/alice/digits/discussions/1" in outcome.stdout
    assert published(repo) == SUBSET
    assert published(repo, "refs/pr/1") == TINY
    code = "from datasets import load_dataset\nresult = load_dataset('alice/digits', revision='refs/pr/1').num_rows"
    assert run_client(code, home=hf_home, env=hub.environment(), installed=True).result == {"train": 1000, "test": 200}
    # A correction goes to the same pull request; one that proposes nothing is not opened.
    run("push", "alice/digits", "--config", "tiny", "--config", "subset", "--revision", "refs/pr/1")
    assert published(repo, "refs/pr/1") == TINY | SUBSET
    run("push", "alice/digits", "--config", "subset", "--create-pr")
    assert len(repo.pulls) == 1


@pytest.mark.parametrize("where", ["argument", "environment", "login"])
def test_token_from_the_usual_places(hub: HubServer, run: Push, hf_home: Path, where: str) -> None:
    if where == "login":
        (hf_home / "token").write_text("hf_writer\n")
    argument = ("--token", "hf_writer") if where == "argument" else ()
    run("push", "digits", "--config", "tiny", *argument, token="writer" if where == "environment" else None)
    assert published(hub.repo("alice/digits")) == TINY


def test_function(hub: HubServer, hf_home: Path, mnist_tar: Path) -> None:
    code = """
from mnist_idx import push_to_hub
options = {"subset": {"num_samples": 50, "seed": 2, "sampling": "uniform"}}
pushed = [push_to_hub("digits", options, private=True, token="hf_writer", dry_run=dry) for dry in (True, False, False)]
result = [[*done] for done in pushed]
"""
    environment = {"MNIST_IDX_MIRROR": str(mnist_tar), **hub.environment()}
    dry, first, second = run_client(code, home=hf_home, env=environment).result
    repo = hub.repo("alice/digits")
    assert repo.private
    sizes = {path: len(content) for path, content in repo.files().items() if path != HUBS_OWN}
    head = repo.refs["refs/heads/main"]
    assert dry == [f"{hub.url}/datasets/digits", None, True, sizes]
    assert first == [f"{hub.url}/datasets/alice/digits", head, True, sizes]
    assert second == [f"{hub.url}/datasets/alice/digits", head, False, sizes]


def test_dry_run(hub: HubServer, run: Push) -> None:
    dry = run("push", "alice/digits", "--config", "tiny", "--dry-run", token=None)
    assert hub.log == []
    run("push", "alice/digits", "--config", "tiny")
    listed = dict(re.findall(r"^(\S+) +([\d,]+) bytes$", dry.stdout, re.MULTILINE))
    files = hub.repo("alice/digits").files()
    assert listed == {path: f"{len(files[path]):,}" for path in TINY}
    assert f"{sum(len(files[path]) for path in TINY):,} bytes" in dry.stdout
    assert "Nothing was uploaded" in dry.stdout


def test_help_is_enough() -> None:
    """Every option of `push_to_hub` is in the help, and every example in it is a command that the parser takes."""
    shown = subprocess.run(
        [sys.executable, "-m", "mnist_idx", "push", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    options = set(push_to_hub.__kwdefaults__)
    assert {option for option in options if f"--{option.replace('_', '-')}" not in shown} == set()
    examples = re.findall(r"^  mnist-idx (push .*?)(?:  .*)?$", shown, re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        build_parser().parse_args(example.split())
    for word in ("HF_TOKEN", "hf auth login", "HF_ENDPOINT", "load_dataset", "exit codes"):
        assert word in shown


# A folder.


@pytest.mark.compat
def test_export_loads(python: str, hf_home: Path, tmp_path: Path, mnist_arrays: Arrays) -> None:
    folder = export(tmp_path / "deep" / "digits", ["tiny"])
    assert set(tree(folder)) == TINY
    check_card({path: (folder / path).read_bytes() for path in TINY})
    arguments = {"source": str(folder), "configs": ["tiny"], "all": False}
    found = run_client(LOAD, home=hf_home, args=arguments, python=python, installed=True).result
    assert found["digests"] == {f"tiny/{split}": expected(mnist_arrays, "tiny", split) for split in ("train", "test")}
    assert all(found["streams"].values())
    assert found["alone"]


def test_export_can_be_uploaded_with_hf(hub: HubServer, run: Push, hf_home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    listed = run("export", str(folder), "--config", "tiny").stdout
    assert f"Exported to {folder}" in listed
    environment = {**os.environ, **hub.environment("writer"), "HF_HOME": str(hf_home)}
    hf = Path(sys.executable).with_name("hf")
    command = [hf, "upload", "digits", str(folder), "--repo-type", "dataset"]
    subprocess.run(command, env=environment, capture_output=True, check=True)
    assert published(hub.repo("alice/digits")) == TINY
    assert "Nothing to change" in run("push", "digits", "--config", "tiny").stdout


def test_export_replaces_only_an_export_and_only_when_asked(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    folder.mkdir()
    export(folder, "tiny")
    assert set(tree(folder)) == TINY
    with pytest.raises(IdxError, match=r"not empty.*--overwrite"):
        export(folder, "tiny")
    export(str(folder), {"tiny": {"num_samples": 10}}, overwrite=True)
    assert pq.read_metadata(folder / "tiny/train-00000-of-00001.parquet").num_rows == 10
    (folder / "thesis.txt").write_text("irreplaceable")
    before = tree(folder)
    with pytest.raises(IdxError, match=r"not an earlier export: it holds 'thesis.txt'"):
        export(folder, "tiny", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(IdxError, match="is not a folder"):
        export(tmp_path / "file", "tiny", overwrite=True)
    assert tree(folder) == before
    assert {path.name for path in tmp_path.iterdir()} == {"digits", "file"}


@pytest.mark.parametrize("configs", [[], ["cifar"], ["tiny", "mnits"], ""])
def test_unknown_config(tmp_path: Path, configs: Any) -> None:
    with pytest.raises(IdxError, match="expected one or more of mnist, subset, tiny"):
        export(tmp_path / "digits", configs)
    assert not (tmp_path / "digits").exists()


# When it goes wrong.


def test_no_token(hub: HubServer, run: Push) -> None:
    outcome = run("push", "alice/digits", "--config", "tiny", token=None, code=1)
    assert "none was found. Run `hf auth login`, set the environment variable HF_TOKEN" in outcome.stderr
    assert hub.log == []


def test_wrong_token(hub: HubServer, run: Push) -> None:
    outcome = run("push", "alice/digits", "--config", "tiny", token="bogus", code=1)
    assert "does not accept the token" in outcome.stderr
    assert f"{hub.url}/settings/tokens" in outcome.stderr
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("token", "name", "message"),
    [
        ("reader", "alice/digits", "may only read. Make one with the role 'write'"),
        ("stranger", "alice/digits", "no right to write there"),
        ("stranger", "alice/new", "no right to write there"),
        ("writer", "nobody/digits", "no right to write there"),
    ],
)
def test_no_right_to_write(hub: HubServer, run: Push, token: str, name: str, message: str) -> None:
    hub.create("alice/digits")
    outcome = run("push", name, "--config", "tiny", token=token, code=1)
    assert message in outcome.stderr
    assert published(hub.repo("alice/digits")) == set()
    assert set(hub.repos) == {"alice/digits"}


@pytest.mark.parametrize("name", ["", "a/b/c", "a b", "alice/mn--ist", "alice/.x", "alice/x.git", "datasets/alice/x"])
def test_name_that_is_not_allowed(name: str) -> None:
    with pytest.raises(
        IdxError, match=r"cannot name a repository.*Expected 'name', 'user/name' or 'organization/name'"
    ):
        push_to_hub(name, "tiny")


def test_name_that_only_the_hub_refuses(hub: HubServer, run: Push) -> None:
    hub.fault("POST", "/repos/create", 400)
    outcome = run("push", "alice/digits", "--config", "tiny", code=1)
    assert "alice/digits: the Hub refuses it. The Hub's answer: 400" in outcome.stderr


def test_pull_request_to_a_branch() -> None:
    with pytest.raises(IdxError, match="a pull request goes to main"):
        push_to_hub("alice/digits", "tiny", create_pr=True, revision="v2")


def test_options_for_what_is_not_pushed(run: Push) -> None:
    assert "add --config subset" in run("push", "digits", "--config", "tiny", "--seed", "2", code=1).stderr


def test_offline(run: Push) -> None:
    outcome = run("push", "alice/digits", "--config", "tiny", env={"HF_HUB_OFFLINE": "1"}, code=1)
    assert "HF_HUB_OFFLINE is set" in outcome.stderr


# Everything that a push asks of the Hub.
STEPS = [
    ("GET", "/whoami-v2"),
    ("POST", "/repos/create"),
    ("POST", "/branch/"),
    ("GET", "/revision/"),
    ("GET", "/tree/"),
    ("POST", "/preupload/"),
    ("POST", "/objects/batch"),
    ("PUT", "/upload/"),
    ("POST", "/objects/verify"),
    ("POST", "/validate-yaml"),
    ("POST", "/commit/"),
]


@pytest.mark.parametrize("kinds", [(429, 500, 503), ("cut",)])
def test_failures_that_pass(hub: HubServer, run: Push, kinds: tuple[int | str, ...]) -> None:
    """Each step of the push fails once in each way."""
    soon = {} if "cut" in kinds else {"Retry_After": "0"}
    faults = [hub.fault(method, path, kind, **soon) for method, path in STEPS for kind in kinds]
    # The client does these two in one, which is tried five times again.
    faults = [fault for fault in faults if fault.path.pattern != "/validate-yaml" or fault.kind == kinds[0]]
    hub.faults = faults
    run("push", "digits", "--config", "tiny", "--revision", "v1")
    assert all(fault.reached.is_set() for fault in faults)
    repo = hub.repo("alice/digits")
    assert published(repo, "v1") == TINY
    assert len(repo.history("v1")) == 2


def test_failures_by_xet(hub: HubServer, run: Push) -> None:
    """Those that pass, then one that stays, with the client told to give up soon."""
    xet = hub.environment("writer", xet=True)
    passing = [hub.fault("POST", "/v1/xorbs", "cut"), hub.fault("POST", "/v1/shards", 503)]
    run("push", "digits", "--config", "subset", env=xet)
    assert all(fault.reached.is_set() for fault in passing)
    hub.fault("POST", "/v1/xorbs", "cut", times=100)
    outcome = run("push", "digits", "--config", "tiny", env={**xet, "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "1"}, code=1)
    assert f"the exchange with {hub.url} failed" in outcome.stderr
    assert published(hub.repo("alice/digits")) == SUBSET


@pytest.mark.parametrize(
    ("status", "method", "step"),
    [(429, "POST", "/repos/create"), (500, "PUT", "/upload/"), (503, "POST", "/commit/")],
)
def test_failures_that_stay(hub: HubServer, run: Push, status: int, method: str, step: str) -> None:
    hub.fault(method, step, status, times=100, Retry_After="0")
    outcome = run("push", "digits", "--config", "tiny", code=1)
    assert f"{hub.url} keeps answering {status}" in outcome.stderr
    assert "Try later" in outcome.stderr
    assert all(published(repo) == set() for repo in hub.repos.values())


def test_answer_to_the_commit_lost(hub: HubServer, run: Push) -> None:
    hub.fault("POST", "/commit/", "lost")
    assert "Published at" in run("push", "digits", "--config", "tiny").stdout
    assert len(hub.repo("alice/digits").history()) == 2


def test_answer_to_a_pull_request_lost(hub: HubServer, run: Push) -> None:
    run("push", "digits", "--config", "subset")
    hub.fault("POST", "/commit/", "lost")
    run("push", "digits", "--config", "tiny", "--create-pr", code=1)
    assert len(hub.repo("alice/digits").pulls) == 1, "opened once, and not again"


@pytest.mark.parametrize("other", ["subset", "tiny"])
def test_second_push_while_the_first_is_half_done(
    hub: HubServer, start: Callable[..., Client], run: Push, other: str
) -> None:
    """The second is done first; the first then takes it into account, and history holds no mixture of the two."""
    held = hub.fault("POST", "/commit/", "hold")
    first = start("push", "digits", "--config", "tiny")
    assert held.reached.wait(60)
    run("push", "digits", "--config", other)
    held.release.set()
    assert first.wait(check=False).returncode == 0
    repo = hub.repo("alice/digits")
    assert published(repo) == TINY
    assert len(repo.history()) == (3 if other == "subset" else 2)


def test_others_never_stop(hub: HubServer, run: Push) -> None:
    hub.fault("POST", "/commit/", 412, times=100, Retry_After="0")
    outcome = run("push", "digits", "--config", "tiny", code=1)
    assert "others keep changing the repository" in outcome.stderr


@pytest.mark.parametrize(
    ("method", "step"),
    [
        ("GET", "/whoami-v2"),
        ("POST", "/repos/create"),
        ("PUT", "/upload/"),
        ("POST", "/v1/xorbs"),
        ("POST", "/commit/"),
    ],
)
def test_interrupted(hub: HubServer, start: Callable[..., Client], run: Push, method: str, step: str) -> None:
    held = hub.fault(method, step, "hold")
    client = start("push", "digits", "--config", "tiny", env=hub.environment("writer", xet=step == "/v1/xorbs"))
    assert held.reached.wait(60)
    client.process.send_signal(signal.SIGINT)
    outcome = client.wait(timeout=10, check=False)
    held.release.set()
    assert outcome.returncode == 130
    assert "interrupted" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not [path for path in client.folder.iterdir() if path.name.startswith("mnist_idx-")], "no litter"
    assert all(published(repo) == set() for repo in hub.repos.values())
    run("push", "digits", "--config", "tiny")
    assert published(hub.repo("alice/digits")) == TINY


SLOW_BUILD = """
import threading
from mnist_idx import folder
from mnist_idx.cli import main
write = folder._write_parquet
def wait(dataset, path):
    write(dataset, path)
    print("written", flush=True)
    threading.Event().wait(60)
folder._write_parquet = wait
raise SystemExit(main(args["argv"]))
"""


def test_export_interrupted(hf_home: Path, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    client = start_client(SLOW_BUILD, home=hf_home, args={"argv": ["export", str(place / "digits"), "--config=tiny"]})
    while "written" not in (client.folder / "stdout").read_text():
        assert client.process.poll() is None
    client.process.send_signal(signal.SIGINT)
    outcome = client.wait(timeout=10, check=False)
    assert outcome.returncode == 130
    assert "Traceback" not in outcome.stderr
    assert list(place.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("only an administrator can mount a file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_disk_full(hub: HubServer, run: Push, small_disk: Path) -> None:
    exported = run("export", str(small_disk / "digits"), "--config", "mnist", code=1)
    pushed = run("push", "digits", "--config", "mnist", env={"TMPDIR": str(small_disk)}, code=1)
    for outcome in (exported, pushed):
        assert "no space is left" in outcome.stderr
        assert "TMPDIR" in outcome.stderr
    assert list(small_disk.iterdir()) == []
    assert hub.repos == {}


def test_writing_fails(hub: HubServer, run: Push, tmp_path: Path) -> None:
    """The same where no file system can be mounted: files of more than 100 kB cannot be written."""
    place = tmp_path / "place"
    place.mkdir()
    exported = run("export", str(place / "digits"), "--config", "tiny", file_size=100_000, code=1)
    pushed = run("push", "digits", "--config", "tiny", file_size=100_000, code=1)
    for outcome in (exported, pushed):
        assert "writing files failed" in outcome.stderr
        assert "Nothing was published" in outcome.stderr
    assert list(place.iterdir()) == []
    assert hub.repos == {}
