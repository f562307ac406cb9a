"""Texts of strangers in messages: what a terminal obeys is escaped, secrets of URLs are hidden."""

import pickle

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mnist_idx import IdxError, TransferError

SECRET = st.text("abcdefghijklmnopqrstuvwxyzABC0123456789/?:+=%!$&'()*,;~-_.", min_size=8).filter(
    lambda secret: not secret.split("/")[0].isdecimal()
)
HOST = st.sampled_from(["host", "host.example:8080", "127.0.0.1:80", "[::1]:80", "bucket"])
SCHEME = st.sampled_from(["https", "http", "s3", "ftp", "hf", "zip://a::https"])


@given(SCHEME, SECRET, HOST)
def test_passwords_are_hidden_whatever_is_in_them(scheme: str, secret: str, host: str) -> None:
    assume(secret not in f"{scheme}://")  # which is shown
    shown = str(IdxError(f"before {scheme}://user:{secret}@{host}/a.tar: not found."))
    assert secret not in shown
    assert f"***@{host}/a.tar: not found." in shown


@given(SCHEME, SECRET, HOST, st.sampled_from(["", ".", ": not found.", '").', ", expected"]))
def test_signatures_are_hidden_and_what_follows_is_not(
    scheme: str, secret: str, host: str, rest: str
) -> None:
    assume(not secret.endswith(tuple(".,:;)]}'\"")))
    shown = str(IdxError(f"{scheme}://{host}/a.tar?signature={secret}{rest}"))
    assert secret not in shown
    assert shown == f"{scheme}://{host}/a.tar?***{rest}"


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("https://host:80/@me/a.tar", id="a-folder-that-starts-with-an-at-sign"),
        pytest.param("hf://datasets/me/digits@main/a.tar", id="a-revision"),
        pytest.param("https://host/a@b.tar", id="a-name-with-an-at-sign"),
        pytest.param("http://[::1]:80/a.tar", id="an-IPv6-address"),
        pytest.param("zip://a/b::s3://bucket/c.zip", id="a-chain"),
        pytest.param("https://host/a#1.tar", id="a-number-sign"),
    ],
)
def test_what_is_no_secret_is_shown_as_it_is(url: str) -> None:
    assert str(IdxError(f"{url}: not found.")) == f"{url}: not found."


@given(st.text())
def test_a_line_stays_a_line_of_printable_letters(text: str) -> None:
    assert str(IdxError(text)).isprintable()


@given(st.lists(st.text(), min_size=1))
def test_errors_are_the_same_after_pickling(lines: list[str]) -> None:
    error = TransferError(*lines)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (TransferError, str(error))
    assert str(error).count("\n") == len(lines) - 1
