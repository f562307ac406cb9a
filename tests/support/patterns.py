"""The regular expressions of a package, and whether one takes long on a hostile text.

A pattern that reads the same in two ways takes a time that grows with the square of the text, or
doubles with each character. It shows on a word that is repeated and does not match at last.
"""

import ast
import importlib
import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from package_classes import module_names

METHODS = {"match", "fullmatch", "search", "sub", "subn", "split", "findall", "finditer"}
SAMPLES = "aZ0_-./ ()=\"':\n\t\u00e9\u4e00"  # of each kind that a pattern can tell apart
TAILS = ("", "!", "\n")
LONG = 65_535  # characters that a name in a zip can have
SHORT = 2000  # characters of a text of pairs, of which there are many
LIMIT = 0.1  # seconds of processor time; a pattern that is well made takes a tenth of it


class Used(NamedTuple):
    """A pattern, and the methods that are called with it."""

    place: str
    pattern: Any
    flags: int
    methods: frozenset[str]


def collect(package: ModuleType) -> list[Used]:
    """The patterns that are constants of a package's modules, or literals in calls of `re`."""
    found: dict[tuple[Any, frozenset[str]], Used] = {}
    for name in module_names(package):
        module = importlib.import_module(name)
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                used = _used_by(call, call.func, module)
                if used is not None:
                    found.setdefault((used.pattern, used.methods), used)
    return list(found.values())


def _used_by(call: ast.Call, function: ast.Attribute, module: ModuleType) -> Used | None:
    """The pattern that a call of a method uses, as in `re.match(PATTERN, …)` or `PATTERN.match(…)`.

    None if it uses none.
    """
    if function.attr not in METHODS:
        return None
    is_of_re = isinstance(function.value, ast.Name) and function.value.id == "re"
    pattern = _value(call.args[0] if is_of_re else function.value, module)
    flags = 0
    if isinstance(pattern, re.Pattern):
        pattern, flags = pattern.pattern, pattern.flags
    elif not is_of_re:
        return None  # a method of something else, such as `str.split`
    assert pattern is not None, f"{module.__name__}, line {call.lineno}: which pattern is it?"
    place = f"{module.__name__}, line {call.lineno}"
    return Used(place, pattern, flags, frozenset({function.attr}))


def _value(node: ast.expr, module: ModuleType) -> Any:
    """The value of a literal or of a constant of a module, also one that it imports."""
    if isinstance(node, ast.Constant):
        return node.value
    return vars(module).get(node.id) if isinstance(node, ast.Name) else None


def hostile_texts(pattern: str) -> Iterator[Iterator[str]]:
    """Series of texts that become longer, each of a word of the pattern or of two characters."""
    lengths = dict.fromkeys(map("".join, itertools.permutations(set(pattern), 2)), SHORT)
    lengths |= dict.fromkeys([*re.findall(r"[\w-]+", pattern), *pattern, *SAMPLES], LONG)
    for word, length in lengths.items():
        for tail in TAILS:
            yield (word * count + tail for count in _repetitions(length // len(word)))


def _repetitions(most: int) -> Iterator[int]:
    """Numbers in small steps at first: time may double with each repetition."""
    yield from range(8, 40, 2)
    count = 40
    while count < most:
        yield count
        count *= 4
    yield most


def ambiguity(used: Used) -> str:
    """What a pattern takes long for, "" if nothing."""
    pattern = re.compile(used.pattern, used.flags)
    is_text = isinstance(used.pattern, str)
    source = used.pattern if is_text else used.pattern.decode("latin-1")
    for texts in hostile_texts(source):
        for text in texts:
            content = text if is_text else text.encode()
            for name in used.methods:
                seconds = _time(pattern, name, content)
                if seconds > LIMIT:
                    return f"{name} takes {seconds:.2f} s for {len(text)} characters: {text[:40]!r}"
    return ""


def _time(pattern: re.Pattern[Any], name: str, content: Any) -> float:
    """The processor time of a method, in seconds."""
    method = getattr(pattern, name)
    start = time.process_time()
    if name in ("sub", "subn"):
        method(content[:0], content)
    else:
        found = method(content)
        if name == "finditer":
            list(found)
    return time.process_time() - start
