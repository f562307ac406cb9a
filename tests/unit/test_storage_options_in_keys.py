"""Storage options that lead to another file are part of the cache key, secrets are not."""

from typing import Any

import pytest

from mnist_idx.fetching import location_hash

ENDPOINT: dict[str, Any] = {"client_kwargs": {"endpoint_url": "https://one.example"}}


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({}, id="none"),
        pytest.param({"client_kwargs": {"endpoint_url": "https://two.example"}}, id="endpoint"),
        pytest.param({**ENDPOINT, "anon": True}, id="one-more"),
        pytest.param({"endpoint_url": "https://one.example"}, id="elsewhere"),
    ],
)
def test_options_for_another_place_have_another_key(others: dict[str, Any]) -> None:
    assert location_hash(others) != location_hash(ENDPOINT)


@pytest.mark.parametrize(
    "others",
    [
        pytest.param({**ENDPOINT, "secret": "s3cr3t"}, id="secret"),
        pytest.param({"password": "s3cr3t", **ENDPOINT}, id="password"),
        pytest.param(
            {"client_kwargs": {**ENDPOINT["client_kwargs"], "aws_session_token": "s3cr3t"}},
            id="token-inside",
        ),
    ],
)
def test_secrets_are_no_part_of_the_key(others: dict[str, Any]) -> None:
    assert location_hash(others) == location_hash(ENDPOINT)


@pytest.mark.parametrize("options", [None, {}, {"token": "s3cr3t"}, {"client_kwargs": {}}])
def test_without_options_there_is_no_key(options: dict[str, Any] | None) -> None:
    assert location_hash(options) == ""


def test_the_order_of_options_does_not_matter() -> None:
    one = {"anon": True, "region": "eu"}
    assert location_hash(one) == location_hash(dict(reversed(one.items())))
