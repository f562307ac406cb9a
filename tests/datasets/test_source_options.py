"""Options of storage, as headers and passwords, go to the sources that the user named, and to no
others.
"""

import base64
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from clients import run_client
from http_server import Reply, Request, Server
from remote_sets import WAYS, make_set, publish, read, read_or_refuse, which

from mnist_idx import IdxError

Serve = Callable[..., Server]
SECRET = "s3cr3t"
RECORDS = make_set()
# Of the sources of MNIST after the mirror.
HOSTS = {
    "synthase.s3.us-west-2.amazonaws.com",
    "ossci-datasets.s3.amazonaws.com",
    "storage.googleapis.com",
}

LOGIN = base64.b64encode(f"user:{SECRET}".encode()).decode()  # as it is sent
# Each of them makes requests carry the secret.
SECRET_OPTIONS = [
    pytest.param({"headers": {"X-Secret": SECRET}}, id="headers"),
    pytest.param({"headers": {"Authorization": f"Bearer {SECRET}"}}, id="authorization"),
    pytest.param({"cookies": {"session": SECRET}}, id="cookies"),
    pytest.param({"params": {"key": SECRET}}, id="parameters-of-the-URL"),
    pytest.param({"client_kwargs": {"headers": {"X-Secret": SECRET}}}, id="client-headers"),
    pytest.param({"client_kwargs": {"cookies": {"session": SECRET}}}, id="client-cookies"),
    pytest.param(
        {"http": {"headers": {"X-Secret": SECRET}}, "https": {"headers": {"X-Secret": SECRET}}},
        id="headers-by-protocol",
    ),
]
each_option = pytest.mark.parametrize("storage_options", SECRET_OPTIONS)


def carries_secret(request: Request) -> bool:
    sent = " ".join([request.target, *request.headers.values()])
    return SECRET in sent or LOGIN in sent


def secrets(server: Server) -> list[bool]:
    """Of each request, whether it carried the secret."""
    server.settle()
    return [carries_secret(request) for request in server.requests]


def requests_for_files(proxy: Server) -> list[Request]:
    """The requests that a proxy got, without those that only connect to a host."""
    proxy.settle()
    return [request for request in proxy.requests if request.method != "CONNECT"]


@each_option
@pytest.mark.parametrize("way", ["streamed", "prepared"])
def test_options_reach_the_source_that_was_named(
    storage_options: dict[str, Any], way: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    options = publish(server, "tar", RECORDS)
    found = read(way, **options, storage_options=storage_options, cache_dir=str(tmp_path))
    assert which(found, RECORDS) == 0
    assert secrets(server) and all(secrets(server))


@pytest.mark.parametrize("way", WAYS)
def test_a_password_reaches_the_source_that_was_named(
    way: str, serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    options = publish(server, "tar", RECORDS)
    login = {"client_kwargs": {"auth": aiohttp.BasicAuth("user", SECRET)}}
    found = read(way, **options, storage_options=login, cache_dir=str(tmp_path))
    assert which(found, RECORDS) == 0
    assert secrets(server) and all(secrets(server))


def redirect_to(url: str) -> Callable[[Reply], None]:
    """What makes an answer a redirect to a URL, or to a path of the same server."""

    def change(reply: Reply) -> None:
        reply.status = 302
        reply.body = b""
        reply.headers.pop("Content-Range", None)
        reply.headers["Location"] = url

    return change


def test_a_redirect_to_what_is_no_url_is_an_error_that_names_the_file(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve()
    options = publish(server, "tar", RECORDS)
    for path in server.content:
        server.behave(path, change=redirect_to("http://["))
    with pytest.raises(IdxError, match=r"^http.*/set.tar: not a URL that can be fetched\.$"):
        read("streamed", **options, cache_dir=str(tmp_path))


@each_option
@pytest.mark.parametrize("way", ["streamed", "prepared"])
@pytest.mark.parametrize(
    "other_host",
    [
        pytest.param(None, id="to-another-port"),  # another server as well
        pytest.param("localhost", id="to-another-host"),
    ],
)
@pytest.mark.parametrize("form", ["tar", "files"])
def test_options_do_not_follow_a_redirect_to_another_host(
    form: str,
    storage_options: dict[str, Any],
    way: str,
    other_host: str | None,
    serve: Serve,
    tmp_path: Path,
) -> None:
    named, other = serve(), serve()
    options = publish(named, form, RECORDS)
    publish(other, form, RECORDS)
    for path in named.content:
        named.behave(path, change=redirect_to(other.url(path, host=other_host)))
    found = read_or_refuse(way, **options, storage_options=storage_options, cache_dir=str(tmp_path))
    assert found is None or which(found, RECORDS) == 0
    assert secrets(named) and all(secrets(named))
    assert not any(secrets(other))


@each_option
@pytest.mark.parametrize("way", ["streamed", "prepared"])
def test_options_follow_a_redirect_on_the_same_host(
    storage_options: dict[str, Any], way: str, serve: Serve, tmp_path: Path
) -> None:
    named = serve()
    options = publish(named, "tar", RECORDS)
    named.put("/elsewhere.tar", named.content["/set.tar"])
    named.behave("/set.tar", change=redirect_to("/elsewhere.tar"))
    found = read(way, **options, storage_options=storage_options, cache_dir=str(tmp_path))
    assert which(found, RECORDS) == 0
    assert named.count("/elsewhere.tar", "GET") > 0
    if "params" not in storage_options:  # a redirect names the whole URL, its parameters included
        assert all(secrets(named))


def load_with_each_option(config: str, env: dict[str, str], home: Path) -> list[str]:
    """Stream and prepare a published dataset with each of the options, in another process.

    Returns the messages of the errors.
    """
    each = [case.values[0] for case in SECRET_OPTIONS]
    args = {"config": config, "storage_options": each}
    messages = run_client("load_with_storage_options", home=home, args=args, env=env).result
    assert len(messages) == 2 * len(each)
    return messages


@pytest.mark.slow  # starts a process
@pytest.mark.parametrize("config", ["kmnist", "fashion_mnist"])
def test_options_do_not_reach_the_built_in_sources(
    config: str, serve: Serve, hf_home: Path
) -> None:
    proxy = serve()  # it has none of their files
    env = {"HTTP_PROXY": proxy.url(), "HTTPS_PROXY": proxy.url()}
    for message in load_with_each_option(config, env, hf_home):
        assert "None of the sources" in message
    hosts = {urlsplit(request.target).netloc for request in requests_for_files(proxy)}
    assert len(hosts) == 1, "the source over http was asked"
    assert not any(secrets(proxy))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate, and its key, by which a server may pass for the built-in sources."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed here")
    path, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=test", "-addext", f"subjectAltName={names}"]
    command += ["-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


@pytest.mark.slow  # starts a process
@pytest.mark.parametrize("status", [403, 404])
def test_options_for_a_mirror_do_not_reach_the_sources_after_it(
    status: int, serve: Serve, hf_home: Path, certificate: Path
) -> None:
    own_mirror, proxy = serve(), serve()
    own_mirror.behave(status=status)
    proxy.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    proxy.tls.load_cert_chain(certificate)
    env = {
        "MNIST_IDX_MIRROR": own_mirror.url("/mnist.tar"),
        "HTTPS_PROXY": proxy.url(),
        "SSL_CERT_FILE": str(certificate),
    }
    for message in load_with_each_option("mnist", env, hf_home):
        assert "None of the sources" in message
    assert secrets(own_mirror) and all(secrets(own_mirror))
    assert {request.headers["host"] for request in requests_for_files(proxy)} == HOSTS
    assert not any(secrets(proxy))
