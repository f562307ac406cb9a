"""Tokens, passwords and signatures are used, and never shown: not in errors, warnings, names of
files or folders.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients import Outcome, run_client
from http_server import Server
from hub_client import log_in
from hub_server import HubServer
from idx_files import make_tar, random_images, random_labels, to_idx, write_archive
from representatives import slow_but_first

from mnist_idx import IdxError, push_to_hub
from mnist_idx.tools.cli import main

FILES = {
    "train-images-idx3-ubyte": to_idx(random_images(5, 4, 4)),
    "train-labels-idx1-ubyte": to_idx(random_labels(5, 3)),
}
SECRETS = ("passw0rd", "s1gn4ture")
QUERY = "X-Amz-Date=20260101&X-Amz-Signature=s1gn4ture&x=1"
Patch, Capfd = pytest.MonkeyPatch, pytest.CaptureFixture[str]
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")  # of the client


@pytest.fixture
def hub(monkeypatch: Patch) -> Iterator[HubServer]:
    with HubServer() as server:
        log_in(server, monkeypatch)
        monkeypatch.delenv("HF_TOKEN")
        yield server


# Tokens

TOKENS = ["hf_writer\n", "hf_writer\r\n", " hf_writer", "hf_writer \t"]
BROKEN = [
    pytest.param("hf_s3cr\net", id="line break"),
    pytest.param("hf_s3cr\0et", id="null"),
    pytest.param("hf_s3cr et\n", id="space"),
]


@pytest.mark.parametrize("token", TOKENS, ids=repr)
def test_a_token_with_space_around_it_works(token: str, hub: HubServer, capfd: Capfd) -> None:
    assert push_to_hub("alice/one", ["tiny"], token=token).changed
    assert main(["push", "alice/two", "--config", "tiny", "--token", token]) == 0
    assert "hf_writer" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("token", BROKEN)
def test_a_token_that_cannot_be_one_is_not_shown(token: str, hub: HubServer, capfd: Capfd) -> None:
    with pytest.raises(IdxError) as caught:
        push_to_hub("alice/one", ["tiny"], token=token)
    assert main(["push", "alice/one", "--config", "tiny", "--token", token]) == 1
    printed = str(caught.value) + "".join(capfd.readouterr())
    assert "s3cr" not in str(caught.getrepr(style="native")) + printed
    assert not hub.repos


# The program makes calls, each with the error that it ends in. Its whole output is examined.


def assert_nothing_shown(
    outcome: Outcome, *folders: Path, secrets: tuple[str, ...] = SECRETS
) -> None:
    lines = [
        line
        for line in (outcome.stdout + outcome.stderr).splitlines()
        if any(s in line for s in secrets)
    ]
    assert lines == []
    for folder in folders:
        names = [path.name for path in folder.rglob("*")]
        assert [name for name in names if any(secret in name for secret in secrets)] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "works"),
    [
        pytest.param("hf_writer\n", True, id="line break at the end"),
        pytest.param("hf_s3cr\net", False, id="line break within"),
    ],
)
def test_a_token_for_loading_from_the_hub(
    token: str, works: bool, hub: HubServer, hf_home: Path
) -> None:
    hub.create("alice/idx").commit("main", {"set.tar": make_tar(FILES)}, "add")
    options = {"data_dir": "hf://datasets/alice/idx/set.tar", "token": token}
    calls = [("token", mode, options) for mode in ("prepared", "streamed", "arrays")]
    args = {"calls": calls, "escape": not works}
    outcome = run_client("make_calls", home=hf_home, args=args, env=hub.environment(), check=False)
    assert outcome.result == [0 if works else 1] * 3
    assert_nothing_shown(outcome, hf_home, secrets=("hf_writer", "s3cr"))


# URLs


def with_password(url: str, query: str = QUERY) -> str:
    return url.replace("://", "://user:passw0rd@") + (f"?{query}" if query else "")


@pytest.fixture
def faulty(serve: Callable[..., Server]) -> dict[str, str]:
    """What can be wrong with a URL -> one with a password and a signature."""
    server = serve({"/good.tar": make_tar(FILES)})
    broken = {**FILES, "train-labels-idx1-ubyte": to_idx(random_labels(5, 3))[:-1]}
    contents = {
        "damaged": make_tar(FILES)[:900],
        "other": b"no archive",
        "broken": make_tar(broken),
        "empty": b"",
    }
    urls = {name: server.put(f"/{name}.tar", data) for name, data in contents.items()}
    for status in (401, 403, 404):
        urls[str(status)] = server.put(f"/{status}.tar", b"")
        server.behave(f"/{status}.tar", status=status)
    urls["page"] = server.put("/page.tar", b"")
    server.behave("/page.tar", html=True)
    urls["host not found"] = "http://nosuch.invalid/x.tar"
    urls["refused"] = "http://127.0.0.1:9/x.tar"
    urls["no port"] = "http://127.0.0.1:99999/x.tar"
    urls["scheme"] = "nosuch://127.0.0.1/x.tar"
    return {name: with_password(url) for name, url in urls.items()}


@pytest.mark.parametrize(
    "mode", slow_but_first(["prepared", "streamed", "arrays", "verify", "preview"])
)
def test_no_error_shows_a_password_or_a_signature(
    mode: str, faulty: dict[str, str], hf_home: Path
) -> None:
    place = hf_home.parent / "place"
    place.mkdir()
    calls: list[Any] = [(name, mode, {"data_dir": url}) for name, url in faulty.items()]
    if mode in ("prepared", "streamed", "arrays"):
        calls += [
            (f"files, {n}", mode, {"data_files": {"train": [faulty[n]]}})
            for n in ("404", "damaged")
        ]
        calls += [("MNIST", mode, {"path": "mnist_idx", "data_dir": faulty["other"]})]
    calls += [
        ("chain", mode, {"data_dir": f"zip://a.tar::{faulty[name]}"}) for name in ("other", "404")
    ]
    args = {"calls": calls, "escape": mode == "prepared"}
    outcome = run_client("make_calls", home=hf_home, cwd=place, args=args, check=False)
    assert outcome.result == [1] * len(calls)
    assert_nothing_shown(outcome, hf_home, place)


@pytest.mark.slow
def test_nothing_that_works_shows_a_password_or_a_signature(
    serve: Callable[..., Server], hf_home: Path
) -> None:
    place = hf_home.parent / "place"
    place.mkdir()
    archive = write_archive(hf_home.parent / "stored.zip", {"in.tar": make_tar(FILES)})
    server = serve({f"/{name}": content for name, content in FILES.items()})
    server.put("/digits.tar", make_tar(FILES))
    server.put("/a.zip", archive)
    url = with_password(server.url("/digits.tar"))
    modes = ("prepared", "streamed", "arrays", "verify", "preview")
    calls: list[Any] = [("tar", mode, {"data_dir": url}) for mode in modes]
    inside = f"zip://in.tar::{with_password(server.url('/a.zip'))}"
    calls += [("chain", mode, {"data_dir": inside}) for mode in modes[:4]]
    images = with_password(server.url("/train-images-idx3-ubyte"))
    calls += [("files", mode, {"data_files": {"train": [images]}}) for mode in modes[:3]]
    outcome = run_client(
        "make_calls", home=hf_home, cwd=place, args={"calls": calls, "escape": False}
    )
    assert outcome.result == [0] * len(calls)
    assert [path.name for path in place.iterdir()] == ["digits.png"]
    assert_nothing_shown(outcome, hf_home, place)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["other", "404", "host not found"])
def test_no_warning_of_a_mirror_shows_a_password_or_a_signature(
    name: str, faulty: dict[str, str], hf_home: Path
) -> None:
    calls = [(name, mode, {"path": "mnist_idx"}) for mode in ("prepared", "streamed", "arrays")]
    env = {"MNIST_IDX_MIRROR": faulty[name], "HTTPS_PROXY": "http://user:passw0rd@127.0.0.1:9"}
    args = {"calls": calls, "escape": True}
    outcome = run_client("make_calls", home=hf_home, args=args, env=env, check=False)
    assert outcome.result == [1] * 3
    assert "Trying" in outcome.stderr
    assert_nothing_shown(outcome, hf_home)


def test_what_is_no_secret_is_shown(
    serve: Callable[..., Server], tmp_path: Path, capfd: Capfd
) -> None:
    server = serve()
    for url in (server.url("/nosuch.tar"), with_password(server.url("/nosuch.tar"))):
        assert main(["verify", url]) == 1
        printed = capfd.readouterr().err
        assert re.search(r"127\.0\.0\.1:\d+/nosuch\.tar", printed)
        assert "404" in printed or "not found" in printed
        assert not any(secret in printed for secret in SECRETS)
