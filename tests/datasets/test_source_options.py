"""Options of storage, as headers and passwords, go to the sources that the user named, and to no
others.
"""

import base64
import functools
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clients import run_client
from http_server import Reply, Server
from remote_sets import WAYS, make_set, publish, read, read_or_refuse, which

Serve = Callable[..., Server]
SECRET = "s3cr3t"
RECORDS = make_set()
HOSTS = {
    "synthase.s3.us-west-2.amazonaws.com",
    "ossci-datasets.s3.amazonaws.com",
    "storage.googleapis.com",
}

LOGIN = base64.b64encode(f"user:{SECRET}".encode()).decode()  # as it is sent
# Each of them makes requests carry the secret.
OPTIONS: dict[str, dict[str, Any]] = {
    "headers": {"headers": {"X-Secret": SECRET}},
    "authorization": {"headers": {"Authorization": f"Bearer {SECRET}"}},
    "cookies": {"cookies": {"session": SECRET}},
    "parameters of the URL": {"params": {"key": SECRET}},
    "headers of the client": {"client_kwargs": {"headers": {"X-Secret": SECRET}}},
    "cookies of the client": {"client_kwargs": {"cookies": {"session": SECRET}}},
    "by protocol": {name: {"headers": {"X-Secret": SECRET}} for name in ("http", "https")},
}
each_option = pytest.mark.parametrize("storage_options", OPTIONS.values(), ids=OPTIONS)


def carries_secret(request: Any) -> bool:
    sent = " ".join([request.target, *request.headers.values()])
    return SECRET in sent or LOGIN in sent


def secrets(server: Server) -> list[bool]:
    """Of each request, whether it carried the secret."""
    server.settle()
    return [carries_secret(request) for request in server.requests]


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


def test_a_password_reaches_the_source_that_was_named(serve: Serve, tmp_path: Path) -> None:
    import aiohttp

    server = serve()
    options = publish(server, "tar", RECORDS)
    login = {"client_kwargs": {"auth": aiohttp.BasicAuth("user", SECRET)}}
    for way in WAYS:
        found = read(way, **options, storage_options=login, cache_dir=str(tmp_path))
        assert which(found, RECORDS) == 0
    assert secrets(server) and all(secrets(server))


def redirect(reply: Reply) -> None:
    """To the same path, at an address that the test sets."""
    reply.status, reply.body = 302, b""
    reply.headers.pop("Content-Range", None)


@each_option
@pytest.mark.parametrize("way", ["streamed", "prepared"])
@pytest.mark.parametrize("elsewhere", ["port", "host"])
@pytest.mark.parametrize("form", ["tar", "files"])
def test_options_do_not_follow_a_redirect_to_another_host(
    form: str,
    storage_options: dict[str, Any],
    way: str,
    elsewhere: str,
    serve: Serve,
    tmp_path: Path,
) -> None:
    """Another port is another server as well."""
    named, other = serve(), serve()
    options = publish(named, form, RECORDS)
    publish(other, form, RECORDS)

    def change(reply: Reply, path: str) -> None:
        redirect(reply)
        reply.headers["Location"] = other.url(
            path, host="localhost" if elsewhere == "host" else None
        )

    for path in list(named.content):
        named.behave(path, change=functools.partial(change, path=path))
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

    def change(reply: Reply) -> None:
        redirect(reply)
        reply.headers["Location"] = "/elsewhere.tar"

    named.behave("/set.tar", change=change)
    found = read(way, **options, storage_options=storage_options, cache_dir=str(tmp_path))
    assert which(found, RECORDS) == 0
    if "params" not in storage_options:  # a redirect names the whole URL, its parameters included
        assert all(secrets(named))
    assert named.count("/elsewhere.tar", "GET") > 0


def assert_all_failed(messages: list[str]) -> None:
    assert len(messages) == 2 * len(OPTIONS)
    for message in messages:
        assert "None of the sources" in message


@pytest.mark.slow  # starts a process
@pytest.mark.parametrize("config", ["kmnist", "fashion_mnist"])
def test_options_do_not_reach_the_built_in_sources(
    config: str, serve: Serve, hf_home: Path
) -> None:
    proxy = serve()  # it has none of their files
    env = {"HTTP_PROXY": proxy.url(), "HTTPS_PROXY": proxy.url()}
    args = {"config": config, "storage_options": list(OPTIONS.values())}
    assert_all_failed(
        run_client("load_with_storage_options", home=hf_home, args=args, env=env).result
    )
    asked = [request for request in proxy.requests if request.method != "CONNECT"]
    assert len({request.target.split("/")[2] for request in asked}) == 1, (
        "the source over http was asked"
    )
    assert not any(secrets(proxy))


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate, and its key, by which a server may pass for the built-in sources."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not installed here")
    path, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = ",".join(f"DNS:{host}" for host in HOSTS)
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test",
    ]
    command += ["-addext", f"subjectAltName={names}", "-keyout", str(key), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    path.write_text(path.read_text() + key.read_text())
    return path


@pytest.mark.slow
@pytest.mark.parametrize("status", [403, 404])
def test_options_for_a_mirror_do_not_reach_the_sources_after_it(
    status: int, serve: Serve, hf_home: Path, certificate: Path
) -> None:
    mirror, proxy = serve(), serve()
    mirror.behave(status=status)
    proxy.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    proxy.tls.load_cert_chain(certificate)
    env = {
        "MNIST_IDX_MIRROR": mirror.url("/mnist.tar"),
        "HTTPS_PROXY": proxy.url(),
        "SSL_CERT_FILE": str(certificate),
    }
    args = {"config": "mnist", "storage_options": list(OPTIONS.values())}
    assert_all_failed(
        run_client("load_with_storage_options", home=hf_home, args=args, env=env).result
    )
    assert secrets(mirror) and all(secrets(mirror))
    asked = [request for request in proxy.requests if request.method != "CONNECT"]
    assert {request.headers["host"] for request in asked} == HOSTS
    assert not any(secrets(proxy))
