"""The errors of the package, and how names and messages of strangers are made fit to print.

File names come from archives, reasons from servers, URLs from users. `IdxError` escapes what a
terminal would obey, and hides what only the owner of a URL may read, so that no message anywhere
has to remember it.
"""

import errno
import os
import re
from collections.abc import Callable, Mapping, Sequence

SCHEME = r"[A-Za-z][A-Za-z0-9+.-]{0,30}://"
URL = re.compile(rf"{SCHEME}\S*")
# Links of a chain are joined by "::", which also stands in IPv6 addresses.
NEXT_LINK = re.compile(rf"::(?={SCHEME})")
PUNCTUATION = ".,:;)]}'\""  # of a message, behind a URL
HIDDEN = "***"
# Reasons of the local disk, or of this process, for which no other source of the data is better.
LOCAL_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.EFBIG}


MAX_LISTED = 5  # names in a message
MAX_SHOWN = 200  # letters of each


def listed_names(names: Sequence[str]) -> str:
    """Names for a message: not too many, and none too long.

    >>> listed_names(["a", "b", "c", "d", "e", "f", "g"]), listed_names([])
    ('a, b, c, d, e and 2 more', 'nothing')
    """
    shown = [name if len(name) <= MAX_SHOWN else f"{name[:MAX_SHOWN]}…" for name in names]
    text = ", ".join(shown[:MAX_LISTED]) or "nothing"
    if len(shown) > MAX_LISTED:
        text += f" and {len(shown) - MAX_LISTED} more"
    return text


def shown_value(value: object) -> str:
    """Any object of a user for a message, on one line and never all of an array.

    >>> shown_value(0), shown_value("tset"), shown_value([1] * 1000)
    ('0', "'tset'", '[1, 1, 1, 1, 1, ...]')
    >>> import numpy as np
    >>> shown_value(np.zeros((60000, 28, 28)))
    'ndarray of the shape (60000, 28, 28)'
    """
    text = " ".join(_parts_shown(value).split("\n"))
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _parts_shown(value: object) -> str:
    """An object of a user, with the first ones of its items. The `repr` of all may take seconds."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"{type(value).__name__} of the shape {shape}"
    if isinstance(value, Mapping):
        items = [f"{_parts_shown(key)}: {_parts_shown(item)}" for key, item in value.items()]
        opening, closing = "{", "}"
    elif isinstance(value, list | tuple):
        items = [_parts_shown(item) for item in value[: MAX_LISTED + 1]]
        opening, closing = ("[", "]") if isinstance(value, list) else ("(", ")")
    else:
        return repr(value)
    if len(items) > MAX_LISTED:
        items[MAX_LISTED:] = ["..."]
    if isinstance(value, tuple) and len(items) == 1:
        items.append("")
    return f"{opening}{', '.join(items).rstrip(' ')}{closing}"


class IdxError(ValueError):
    """Invalid or unavailable data, or an argument that is wrong.

    The message names the file, what was found, what was expected and what to do.

    >>> from mnist_idx import IdxError, load_arrays
    >>> try:
    ...     load_arrays("mnist_idx", "tiny", split="tset")
    ... except IdxError as error:
    ...     print(error)
    split='tset': expected "train" or "test", or a part of one. Did you mean "test"?

    It is a `ValueError`, not an `OSError`: `datasets` rewraps any `OSError` as "Cannot find data
    file". Secrets of URLs are hidden in it.

    >>> url = "https://me:secret@host/a.tar?signature=secret"
    >>> print(IdxError(f"{url}: not found.", "Clear: \\x1b[2J"))
    https://***@host/a.tar?***: not found.
    Clear: \\x1b[2J

    Args:
        lines: of the message. Control characters in them, line breaks included, are escaped.
        command_line: the last line in the words of the command line, where its options have other
            names.
    """

    def __init__(self, *lines: object, command_line: str | None = None) -> None:
        super().__init__(*(printable(str(line)) for line in lines))
        self._command_line = None if command_line is None else printable(command_line)

    def __str__(self) -> str:
        return "\n".join(self.args)

    def __reduce__(self) -> tuple[Callable[..., "IdxError"], tuple[object, ...]]:
        return _rebuild, (type(self), self.args, self._command_line)

    def for_command_line(self) -> str:
        """The message in the words of the command line."""
        if self._command_line is None:
            return str(self)
        return "\n".join([*self.args[:-1], self._command_line])


def _rebuild(kind: type[IdxError], lines: tuple[str, ...], command_line: str | None) -> IdxError:
    return kind(*lines, command_line=command_line)


def wrong_option(name: str, value: object, expected: str, question: str = "") -> IdxError:
    """The error of an option that has another value than expected.

    Args:
        question: which value may have been meant, with a space before it.

    >>> error = wrong_option("num_samples", 0, "an integer, at least 1")
    >>> print(error, error.for_command_line(), sep="\\n")
    num_samples=0: expected an integer, at least 1.
    --num-samples 0: expected an integer, at least 1.
    """
    typed = value if isinstance(value, str) else shown_value(value)
    return IdxError(
        f"{name}={shown_value(value)}: expected {expected}.{question}",
        command_line=f"--{name.replace('_', '-')} {typed}: expected {expected}.{question}",
    )


class DamagedError(IdxError):
    """The bytes of a file are not what they should be. Another copy of it may be right."""


class TransferError(IdxError):
    """A file cannot be reached, or its transfer broke off and cannot be resumed.

    The same call may work later, or with another source: a mirror, a copy in `data_dir`. What is
    raised if all sources of a published dataset fail is an `IdxError` that lists them.

    >>> from mnist_idx import TransferError, load_arrays
    >>> try:
    ...     load_arrays("idxfolder", data_dir="no/such/folder")
    ... except TransferError as error:
    ...     print("no such file or folder" in str(error))
    True
    """


# Each of them keeps the libraries of Hugging Face off the network.
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")


def offline_variable() -> str:
    """The environment variable that keeps Hugging Face off the network."""
    given = [name for name in OFFLINE_VARIABLES if os.environ.get(name)]
    return given[0] if given else OFFLINE_VARIABLES[0]


# What to do about an error of the local disk, by its number. What ends in a full stop is followed
# by another place to write to.
DISK_ADVICE = {
    errno.ENOSPC: "Make room there, or",
    errno.EDQUOT: "Make room there, since your quota is used up, or",
    errno.EFBIG: "The disk takes no files of that size.",
    errno.EROFS: "The disk is read-only.",
    errno.EACCES: "You may not write there.",
    errno.EPERM: "You may not write there.",
    errno.EMFILE: "This process has too many files open: close some, or raise `ulimit -n`. Else",
    errno.ENFILE: "This machine has too many files open. Else",
    errno.EIO: "The disk is damaged, or was removed.",
    errno.ENOTDIR: "A part of that path is a file.",
    errno.ENAMETOOLONG: "That path is too long.",
}


def disk_advice(error: OSError, other_place: str) -> str:
    """What to do about an error of the local disk.

    >>> disk_advice(OSError(errno.EROFS, "Read-only file system"), "choose another folder")
    'The disk is read-only. Choose another folder.'

    Args:
        other_place: how to write to another place, as the end of a sentence.
    """
    advice = DISK_ADVICE.get(error.errno or 0, "")
    if advice and not advice.endswith("."):
        return f"{advice} {other_place}."
    sentence = f"{other_place[0].upper()}{other_place[1:]}."
    return f"{advice} {sentence}".lstrip()


def is_local_failure(error: BaseException) -> bool:
    """Whether the local disk is the reason: full, read-only, no permission."""
    if isinstance(error, PermissionError):
        return error.filename is not None
    return isinstance(error, OSError) and error.errno in LOCAL_ERRORS


def is_of_disk(error: IdxError) -> bool:
    """Whether the local disk is the reason, so that no other source of the data would help."""
    is_plain = not isinstance(error, DamagedError | TransferError)
    return is_plain and isinstance(error.__cause__, OSError)


def printable(text: str) -> str:
    """Escape what a terminal would obey or could not print, and hide the secrets of URLs.

    >>> print(printable("a\\nb \\ud800 \\u202e é"))
    a\\nb \\ud800 \\u202e é
    """
    shown = URL.sub(lambda match: hide_secrets(match[0]), text)
    if shown.isprintable():
        return shown
    return "".join(char if char.isprintable() else _escape(char) for char in shown)


def hide_secrets(url: str) -> str:
    """A URL without its user, its password and its query, in each link of a chain of URLs.

    >>> hide_secrets("zip://a::s3://key:secret@host/b.zip?X-Amz-Signature=1")
    'zip://a::s3://***@host/b.zip?***'
    """
    return "::".join(_hide_secrets_of_link(link) for link in NEXT_LINK.split(url))


def _hide_secrets_of_link(link: str) -> str:
    scheme, separator, rest = link.partition("://")
    credentials, at, host_and_path = rest.rpartition("@")
    if at and _may_be_credentials(credentials):
        rest = f"{HIDDEN}@{host_and_path}"
    for mark in "?#":
        shown, separated, query = rest.partition(mark)
        may_be_secret = mark == "?" or "=" in query
        if separated and may_be_secret:
            punctuation = query[len(query.rstrip(PUNCTUATION)) :]
            rest = shown + mark + HIDDEN + punctuation
    return scheme + separator + rest


def _may_be_credentials(text: str) -> bool:
    """Whether what stands before an "@" may be a user, or a user and a password.

    There may be any character in a password. What is no user is a host and a path, as in
    `https://host:80/@me` or `hf://datasets/me/data@main`.
    """
    user, colon, password = text.partition(":")
    if "/" in user:
        return False
    port = password.partition("/")[0]
    is_port = "/" in password and port.isdecimal()
    return not (colon and is_port)


def _escape(char: str) -> str:
    """A character as Python writes it in a text, in ASCII only."""
    return char.encode("unicode_escape").decode("ascii")


def without_secrets(error: BaseException) -> BaseException | None:
    """The cause to raise an error from: `error`, or None if its traceback would show a secret."""
    seen: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in seen:
        text = str(cause)
        if URL.sub(lambda match: hide_secrets(match[0]), text) != text:
            return None
        seen.append(cause)
        cause = cause.__cause__ or cause.__context__
    return error
