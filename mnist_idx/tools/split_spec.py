"""Parts of splits, as `datasets` writes them: `train`, `test[:10%]`, `train[-5:]+test`."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..errors import IdxError, shown_value
from ..paths import quoted
from ..suggestions import alternatives, unknown_split

# A split, a range of records or of percents in brackets, and a rounding in parentheses. A line
# break may follow, as for `datasets`.
PART = re.compile(
    r"(?P<split>\w+(?:\.\w+)*)"
    r"(?:\[(?:(?P<start>-?[\d_]+)(?P<start_percent>%)?)?"
    r":(?:(?P<stop>-?[\d_]+)(?P<stop_percent>%)?)?\])?"
    r"(?:\((?P<rounding>[^)]*)\))?\n?"
)
ALL = "all"  # means all splits, one after the other
ROUNDINGS = ("closest", "pct1_dropremainder")


class Part(NamedTuple):
    """Adjacent records of a split."""

    split: str
    start: int
    stop: int


def split_names(spec: object) -> set[str] | None:
    """The splits that a text may ask for; None if it may ask for any.

    >>> sorted(split_names("test[:10%]+train")), split_names("all")
    (['test', 'train'], None)
    """
    names = set()
    for text in _texts_of_parts(str(spec)):
        match = PART.fullmatch(text)
        if match is None:
            return None
        names.add(match["split"])
    return None if ALL in names else names


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
    refused = _not_understood(spec, sizes)
    if spec is None:
        raise refused
    if str(spec) == ALL and sizes:
        return [Part(name, 0, size) for name, size in sizes.items()]
    parts = []
    roundings = []
    for text in _texts_of_parts(str(spec)):
        match = PART.fullmatch(text)
        if match is None:
            raise refused
        if match["split"] not in sizes:
            raise unknown_split(spec, match["split"], sizes)
        try:
            rounding = _parse_rounding(match)
            parts.append(_parse_part(match, rounding, sizes[match["split"]]))
        except ValueError as error:
            raise refused from error
        roundings.append(rounding)
    if not _go_together(roundings):
        raise refused
    return parts


def _not_understood(spec: object, sizes: Mapping[str, int]) -> IdxError:
    """The error of what is no list of parts."""
    name = next(iter(sizes), "train")
    example = f'"{name}[:100]"'
    if isinstance(spec, list | tuple):
        example = f'"{name}", or a list of texts'
    expected = f"expected {alternatives([quoted(known) for known in sizes])}, or a part of one"
    typed = f"expected {alternatives(list(sizes))}, or a part of one"
    return IdxError(
        f"split={shown_value(spec)}: {expected}, for example {example}.",
        command_line=f"--split {spec}: {typed}, for example {example}.",
    )


def _texts_of_parts(spec: str) -> list[str]:
    """The text of each part. Spaces may stand around "+", not around the whole text."""
    first, *others = spec.split("+")
    texts = [first]
    for text in others:
        texts[-1] = texts[-1].rstrip()
        texts.append(text.lstrip())
    return texts


def _parse_rounding(match: "re.Match[str]") -> str | None:
    """How the percents of a part are rounded; None if it has none."""
    is_percent = bool(match["start_percent"] or match["stop_percent"])
    rounding: str | None = match["rounding"]
    if rounding is None:
        return "closest" if is_percent else None
    if not is_percent or rounding not in ROUNDINGS:
        raise ValueError(f"the rounding {rounding!r}")
    return rounding


def _go_together(roundings: Sequence[str | None]) -> bool:
    """Whether parts are rounded alike. `datasets` compares the first part with each other one."""
    first, *others = roundings
    return first is None or all(rounding in (None, first) for rounding in others)


def _parse_part(match: "re.Match[str]", rounding: str | None, size: int) -> Part:
    """The part that a match of `PART` means in a split of `size` records.

    Args:
        rounding: of percents; None if the bounds are records.

    Raises:
        ValueError: there is no such part.
    """
    bounds = []
    for text, default in ((match["start"], 0), (match["stop"], size)):
        if text is None:
            bound = default
        elif rounding is not None:
            bound = _of_percent(int(text), size, rounding)
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
    # Divided by a float, large sizes are rounded as `datasets` rounds them.
    if rounding == "closest":
        return round(percent * size / 100.0)
    if size < 100:  # It would always be nothing.
        raise ValueError("a part in steps of one percent of fewer than 100 records")
    return percent * math.trunc(size / 100.0)
