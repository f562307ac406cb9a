"""No traceback shows a secret of the errors that one of ours was raised from."""

import traceback
from collections.abc import Callable

import pytest

from mnist_idx.errors import without_secrets

SECRET = "https://me:password@host/set.tar"
HARMLESS = "https://host/set.tar"


def refused(url: str) -> OSError:
    return OSError(f"{url}: refused")


def raised_from_it(url: str) -> ValueError:
    error = ValueError("cannot be read")
    error.__cause__ = refused(url)
    return error


def raised_while_it_was_handled(url: str) -> ValueError:
    error = ValueError("cannot be read")
    error.__context__ = refused(url)
    return error


def raised_at_last(url: str) -> RuntimeError:
    error = RuntimeError("cannot be opened")
    error.__cause__ = raised_while_it_was_handled(url)
    return error


each_chain = pytest.mark.parametrize(
    "make", [refused, raised_from_it, raised_while_it_was_handled, raised_at_last]
)


def traceback_from(error: Exception) -> str:
    """What is printed of an error of ours that is raised from `error`."""
    ours = LookupError("our own words")
    ours.__cause__ = without_secrets(error)
    return "".join(traceback.format_exception(ours))


@each_chain
def test_a_traceback_shows_no_secret(make: Callable[[str], Exception]) -> None:
    shown = traceback_from(make(SECRET))
    assert "our own words" in shown
    assert "password" not in shown


@each_chain
def test_a_traceback_shows_what_is_no_secret(make: Callable[[str], Exception]) -> None:
    assert f"{HARMLESS}: refused" in traceback_from(make(HARMLESS))


def test_causes_that_go_round_in_a_circle_end() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__context__, second.__context__ = second, first
    assert without_secrets(first) is first
