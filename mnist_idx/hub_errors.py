"""What the Hub's client raises: which of it passes, and what it means to whoever publishes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from datasets.utils.logging import get_logger
from huggingface_hub import HfApi
from huggingface_hub.errors import OfflineModeIsEnabled

from .idx import IdxError, TransferError

# What the client does for most of its requests, but not for those that create a repository or a commit.
WAITS = (1.0, 2.0, 4.0, 8.0, 8.0)
PASSING = frozenset({408, 429, 500, 502, 503, 504})
# A request that was refused with one of these has not been carried out.
REFUSED = frozenset({429, 503})
OVERTAKEN = frozenset({409, 412})

T = TypeVar("T")

logger = get_logger(__name__)


def patiently(action: Callable[..., T], *args: Any, **options: Any) -> T:
    """Do what can be repeated without harm, again after a while where it fails for a reason that passes."""
    for wait in WAITS:
        try:
            return action(*args, **options)
        except client_errors() as error:
            status = status_of(error)
            if isinstance(error, OfflineModeIsEnabled) or not (status is None or status in PASSING):
                raise
            pause(error, wait)
    return action(*args, **options)


def pause(error: BaseException, wait: float) -> None:
    """Wait for as long as the server asks, within reason, else for `wait` seconds."""
    response = getattr(error, "response", None)
    asked = "" if response is None else response.headers.get("Retry-After", "")
    seconds = min(float(asked), 60.0) if asked.isdecimal() else wait
    logger.warning("The Hub failed: %s. Trying again in %.0f seconds.", _said(error), seconds)
    time.sleep(seconds)


def client_errors(*others: type[Exception]) -> tuple[type[Exception], ...]:
    """What the client raises when the Hub refuses or a connection fails, and `others`.

    For the latter, that is what its HTTP library raises, which it has changed twice.
    """
    names = {"httpx2": "HTTPError", "httpx": "HTTPError", "requests": "RequestException"}
    transport = [getattr(sys.modules[name], error) for name, error in names.items() if name in sys.modules]
    return OSError, *transport, *others


def _refusal(error: BaseException | None) -> BaseException | None:
    """The error, or the one that caused it, that has the Hub's answer: the client wraps errors of uploads in others."""
    while error is not None and getattr(error, "response", None) is None:
        error = error.__cause__
    return error


def status_of(error: BaseException) -> int | None:
    """The status that the Hub answered with, if it did."""
    refusal: Any = _refusal(error)
    return None if refusal is None else int(refusal.response.status_code)


def _said(error: BaseException) -> str:
    """What the Hub or the connection had to say, in one line."""
    refusal = _refusal(error)
    if refusal is None:
        while error.__cause__ is not None:
            error = error.__cause__
        text = str(error) or type(error).__name__
    else:
        text = getattr(refusal, "server_message", None) or str(refusal)
    return text.strip().partition("\n")[0].rstrip(".:")


@contextmanager
def explained(repo_id: str, api: HfApi) -> Iterator[None]:
    """Errors of the client with what they mean for the push, and the way out."""
    try:
        yield
    except IdxError:
        raise
    # The client raises ValueError where the Hub's answer is malformed and RuntimeError around a failed upload.
    except client_errors(RuntimeError, ValueError) as error:
        status = status_of(error)
        tokens = f"{api.endpoint}/settings/tokens"
        again = "What is on the Hub is as it was or complete; the same command again goes on."
        if status is None:
            reason = "HF_HUB_OFFLINE is set" if isinstance(error, OfflineModeIsEnabled) else _said(error)
            raise TransferError(f"{repo_id}: the exchange with {api.endpoint} failed: {reason}. {again}") from error
        if status in PASSING:
            why = "there were too many requests" if status == 429 else "it has trouble"
            raise TransferError(
                f"{repo_id}: {api.endpoint} keeps answering {status}: {why}. Try later. {again}"
            ) from error
        if status == 401:
            message = f"the Hub does not accept the token. Make one at {tokens}, then `hf auth login` or HF_TOKEN"
        elif status in (403, 404):
            message = (
                "the token has no right to write there, or there is no such repository or revision. Name one of your "
                f"own or of your organization, check what the token may do at {tokens}, or propose the change with "
                "create_pr=True (--create-pr)"
            )
        elif status in OVERTAKEN:
            message = "others keep changing the repository. Try again when they have finished"
        else:
            message = "the Hub refuses it"
        raise IdxError(f"{repo_id}: {message}. The Hub's answer: {status} {_said(error)}.") from error
