"""Parts of splits, as `datasets` writes them: `train`, `test[:10%]`, `train[-5:]+test`."""

import math
import re
from typing import NamedTuple

from .errors import IdxError

# A split, a range of records or of percents in brackets, and a rounding in parentheses.
PART = re.compile(
    r"(?P<split>\w+(?:\.\w+)*)"
    r"(?:\[(?:(?P<start>-?[\d_]+)(?P<start_percent>%)?)?"
    r":(?:(?P<stop>-?[\d_]+)(?P<stop_percent>%)?)?\])?"
    r"(?:\((?P<rounding>[^)]*)\))?"
)
ROUNDINGS = ("closest", "pct1_dropremainder")


class Part(NamedTuple):
    """Adjacent records of a split."""

    split: str
    start: int
    stop: int


def parse_parts(spec: object, sizes: dict[str, int]) -> list[Part]:
    """The parts of splits that a text asks for, in this order.

    >>> parse_parts("test[:10%]+train[-5:]", {"train": 60, "test": 20})
    [Part(split='test', start=0, stop=2), Part(split='train', start=55, stop=60)]

    Args:
        spec: text, or what becomes such a text: a `NamedSplit` or a `ReadInstruction`.
        sizes: the number of records of each split.

    Raises:
        IdxError: the text is no such list, or names a split that is not there.
    """
    names = ", ".join(repr(name) for name in sizes)
    expected = f"expected one of {names}, or a part of one"
    refused = IdxError(f"split={spec!r}: {expected}.")
    parts = []
    for text in str(spec).split("+"):
        match = PART.fullmatch(text.strip())
        if match is None or match["split"] not in sizes:
            raise refused
        try:
            parts.append(_parse_part(match, sizes[match["split"]]))
        except ValueError as error:
            raise refused from error
    return parts


def _parse_part(match: "re.Match[str]", size: int) -> Part:
    """The part that a match of `PART` means in a split of `size` records.

    Raises:
        ValueError: there is no such part.
    """
    is_percent = bool(match["start_percent"] or match["stop_percent"])
    rounding = match["rounding"]
    if rounding is not None and not (is_percent and rounding in ROUNDINGS):
        raise ValueError(f"the rounding {rounding!r}")
    bounds = []
    for text, default in ((match["start"], 0), (match["stop"], size)):
        if text is None:
            bound = default
        elif is_percent:
            bound = _of_percent(int(text), size, rounding or "closest")
        else:
            bound = int(text)
        if bound < 0:  # counted from the end
            bound = max(0, size + bound)
        bounds.append(min(bound, size))
    start, stop = bounds
    return Part(match["split"], start, max(start, stop))


def _of_percent(percent: int, size: int, rounding: str) -> int:
    """The number of records that a percentage of `size` is, rounded as `datasets` does."""
    if not -100 <= percent <= 100:
        raise ValueError(f"{percent} %")
    if rounding == "closest":
        return round(percent * size / 100)
    if size < 100:  # It would always be nothing.
        raise ValueError("a part in steps of one percent of fewer than 100 records")
    return percent * math.trunc(size / 100)
