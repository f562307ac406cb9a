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
from idx_files import (
    TRAIN_IMAGES,
    TRAIN_LABELS,
    make_tar,
    random_images,
    random_labels,
    to_idx,
    write_archive,
)
from representatives import slow_but_first

from mnist_idx import IdxError, push_to_hub
from mnist_idx.tools.cli import main

IMAGES, LABELS = to_idx(random_images(5, 4, 4)), to_idx(random_labels(5, 3))
FILES = {TRAIN_IMAGES: IMAGES, TRAIN_LABELS: LABELS}
# Of `with_password`.
URL_SECRETS = ("passw0rd", "s1gn4ture")

# What a program is asked to do: title -> mode or command, and its options.
Calls = dict[str, tuple[str, dict[str, Any]]]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:httpx")  # of the client


def run_calls(calls: Calls, home: Path, escape: bool = False, **options: Any) -> Outcome:
    """Run calls in a program, which prints their errors as the interpreter does.

    With `escape`, nobody catches the error of the last one. The result is title -> 0 for what
    worked, 1 for an `IdxError`.
    """
    listed = [(title, mode, given) for title, (mode, given) in calls.items()]
    args = {"calls": listed, "escape": escape}
    outcome = run_client("make_calls", home=home, args=args, check=False, **options)
    outcome.result = dict(zip(calls, outcome.result, strict=True))
    return outcome


def assert_nothing_shown(
    outcome: Outcome, *folders: Path, secrets: tuple[str, ...] = URL_SECRETS
) -> None:
    """No secret is in what a program printed, nor in a name of a file in the folders."""
    lines = (outcome.stdout + outcome.stderr).splitlines()
    names = [path.name for folder in folders for path in folder.rglob("*")]
    for secret in secrets:
        assert [line for line in lines if secret in line] == []
        assert [name for name in names if secret in name] == []


# Tokens


@pytest.fixture
def hub_without_token(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """A Hub, and this process as a client of it that has no token."""
    with HubServer() as server:
        log_in(server, monkeypatch)
        monkeypatch.delenv("HF_TOKEN")
        yield server


@pytest.mark.slow
@pytest.mark.parametrize(
    "token",
    [
        pytest.param("hf_writer\n", id="line-break-behind-it"),
        pytest.param("hf_writer\r\n", id="line-break-of-Windows-behind-it"),
        pytest.param(" hf_writer", id="space-before-it"),
        pytest.param("hf_writer \t", id="space-and-tab-behind-it"),
    ],
)
@pytest.mark.usefixtures("hub_without_token")
def test_a_token_with_space_around_it_works(token: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert push_to_hub("alice/one", ["tiny"], token=token).changed
    assert main(["push", "alice/two", "--config", "tiny", "--token", token]) == 0
    assert "hf_writer" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("hf_s3cr\net", id="line-break-within"),
        pytest.param("hf_s3cr\0et", id="null-within"),
        pytest.param("hf_s3cr et\n", id="space-within"),
    ],
)
def test_a_token_that_cannot_be_one_is_not_shown(
    token: str, hub_without_token: HubServer, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(IdxError) as caught:
        push_to_hub("alice/one", ["tiny"], token=token)
    assert main(["push", "alice/one", "--config", "tiny", "--token", token]) == 1
    traceback = str(caught.getrepr(style="native"))
    assert "s3cr" not in str(caught.value)
    assert "s3cr" not in traceback
    assert "s3cr" not in "".join(capfd.readouterr())
    assert not hub_without_token.repos


@pytest.mark.slow
@pytest.mark.parametrize(
    ("token", "code"),
    [
        pytest.param("hf_writer\n", 0, id="line-break-behind-it-works"),
        pytest.param("hf_s3cr\net", 1, id="line-break-within-is-refused"),
    ],
)
def test_a_token_for_loading_from_the_hub_is_not_shown(
    token: str, code: int, hub_without_token: HubServer, hf_home: Path
) -> None:
    hub_without_token.create("alice/idx").commit("main", {"set.tar": make_tar(FILES)}, "add")
    options = {"data_dir": "hf://datasets/alice/idx/set.tar", "token": token}
    calls: Calls = {
        "prepared": ("prepared", options),
        "streamed": ("streamed", options),
        "arrays": ("arrays", options),
    }
    env = hub_without_token.environment()
    outcome = run_calls(calls, hf_home, escape=code != 0, env=env)
    assert outcome.result == {"prepared": code, "streamed": code, "arrays": code}
    assert_nothing_shown(outcome, hf_home, secrets=("hf_writer", "s3cr"))


# URLs with a password and a signature


def with_password(url: str) -> str:
    """A URL with a password before its host, and a signature in its query."""
    query = "X-Amz-Date=20260101&X-Amz-Signature=s1gn4ture&x=1"
    return url.replace("://", "://user:passw0rd@") + f"?{query}"


@pytest.fixture
def faulty_urls(serve: Callable[..., Server]) -> dict[str, str]:
    """What is wrong with a URL -> one with a password and a signature."""
    server = serve()
    urls = {
        "damaged": server.put("/damaged.tar", make_tar(FILES)[:900]),
        "other": server.put("/other.tar", b"no archive"),
        "broken": server.put("/broken.tar", make_tar({**FILES, TRAIN_LABELS: LABELS[:-1]})),
        "empty": server.put("/empty.tar", b""),
        "401": server.put("/401.tar", b""),
        "403": server.put("/403.tar", b""),
        "404": server.put("/404.tar", b""),
        "page": server.put("/page.tar", b""),
        "host not found": "http://nosuch.invalid/x.tar",
        "refused": "http://127.0.0.1:9/x.tar",
        "no port": "http://127.0.0.1:99999/x.tar",
        "scheme": "nosuch://127.0.0.1/x.tar",
    }
    server.behave("/401.tar", status=401)
    server.behave("/403.tar", status=403)
    server.behave("/404.tar", status=404)
    server.behave("/page.tar", html=True)
    return {fault: with_password(url) for fault, url in urls.items()}


@pytest.fixture
def working_folder(tmp_path: Path) -> Path:
    """An empty folder, for the client of a test to work in."""
    folder = tmp_path / "working"
    folder.mkdir()
    return folder


def calls_that_fail(mode: str, faulty_urls: dict[str, str]) -> Calls:
    """Each faulty URL as a folder or an archive, and within a chain of URLs."""
    calls: Calls = {}
    for fault, url in faulty_urls.items():
        calls[fault] = (mode, {"data_dir": url})
    for fault in ("other", "404"):
        url = faulty_urls[fault]
        calls[f"chain, {fault}"] = (mode, {"data_dir": f"zip://a.tar::{url}"})
    return calls


@pytest.mark.slow
@pytest.mark.parametrize("mode", slow_but_first(["prepared", "streamed", "arrays"]))
def test_no_error_shows_a_password_or_a_signature(
    mode: str, faulty_urls: dict[str, str], hf_home: Path, working_folder: Path
) -> None:
    calls: Calls = {
        "files, 404": (mode, {"data_files": {"train": [faulty_urls["404"]]}}),
        "files, damaged": (mode, {"data_files": {"train": [faulty_urls["damaged"]]}}),
        "MNIST": (mode, {"path": "mnist_idx", "data_dir": faulty_urls["other"]}),
        **calls_that_fail(mode, faulty_urls),
    }
    outcome = run_calls(calls, hf_home, escape=mode == "prepared", cwd=working_folder)
    assert outcome.result == dict.fromkeys(calls, 1)
    assert_nothing_shown(outcome, hf_home, working_folder)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["verify", "preview"])
def test_no_error_of_a_command_shows_a_password_or_a_signature(
    command: str, faulty_urls: dict[str, str], hf_home: Path, working_folder: Path
) -> None:
    calls = calls_that_fail(command, faulty_urls)
    outcome = run_calls(calls, hf_home, cwd=working_folder)
    assert outcome.result == dict.fromkeys(calls, 1)
    assert_nothing_shown(outcome, hf_home, working_folder)


@pytest.mark.slow
def test_nothing_that_works_shows_a_password_or_a_signature(
    serve: Callable[..., Server], hf_home: Path, working_folder: Path, tmp_path: Path
) -> None:
    tar_in_a_zip = write_archive(tmp_path / "stored.zip", {"in.tar": make_tar(FILES)})
    server = serve(
        {"/digits.tar": make_tar(FILES), "/a.zip": tar_in_a_zip, f"/{TRAIN_IMAGES}": IMAGES}
    )
    archive = {"data_dir": with_password(server.url("/digits.tar"))}
    chain = {"data_dir": f"zip://in.tar::{with_password(server.url('/a.zip'))}"}
    files = {"data_files": {"train": [with_password(server.url(f"/{TRAIN_IMAGES}"))]}}
    calls: Calls = {
        "prepared archive": ("prepared", archive),
        "streamed archive": ("streamed", archive),
        "arrays of an archive": ("arrays", archive),
        "verified archive": ("verify", archive),
        "preview of an archive": ("preview", archive),
        "prepared chain": ("prepared", chain),
        "streamed chain": ("streamed", chain),
        "arrays of a chain": ("arrays", chain),
        "verified chain": ("verify", chain),
        "prepared files": ("prepared", files),
        "streamed files": ("streamed", files),
        "arrays of files": ("arrays", files),
    }
    outcome = run_calls(calls, hf_home, cwd=working_folder)
    assert outcome.result == dict.fromkeys(calls, 0)
    assert [path.name for path in working_folder.iterdir()] == ["digits.png"]
    assert_nothing_shown(outcome, hf_home, working_folder)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["other", "404", "host not found"])
def test_no_warning_of_a_mirror_shows_a_password_or_a_signature(
    fault: str, faulty_urls: dict[str, str], hf_home: Path
) -> None:
    options = {"path": "mnist_idx"}
    calls: Calls = {
        "prepared": ("prepared", options),
        "streamed": ("streamed", options),
        "arrays": ("arrays", options),
    }
    # The proxy is one that refuses connections, so that no other source is reached.
    proxy = "http://user:passw0rd@127.0.0.1:9"
    env = {"MNIST_IDX_MIRROR": faulty_urls[fault], "HTTPS_PROXY": proxy}
    outcome = run_calls(calls, hf_home, escape=True, env=env)
    assert outcome.result == {"prepared": 1, "streamed": 1, "arrays": 1}
    assert "Trying" in outcome.stderr
    assert_nothing_shown(outcome, hf_home)


@pytest.mark.parametrize(
    "add_secrets",
    [pytest.param(str, id="URL-without-secrets"), pytest.param(with_password, id="with-secrets")],
)
def test_what_is_no_secret_is_shown(
    add_secrets: Callable[[str], str],
    serve: Callable[..., Server],
    capfd: pytest.CaptureFixture[str],
) -> None:
    url = add_secrets(serve().url("/nosuch.tar"))
    assert main(["verify", url]) == 1
    printed = capfd.readouterr().err
    assert re.search(r"127\.0\.0\.1:\d+/nosuch\.tar", printed)
    assert "404" in printed or "not found" in printed
    for secret in URL_SECRETS:
        assert secret not in printed
