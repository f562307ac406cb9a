"""The regular expressions of a package, and whether their time grows faster than what they read.

A pattern becomes an automaton with a state for each of its characters (Glushkov's). Its time grows
with the square of a name, or faster, if two of its loops can share what they read: two states p and
q, and a word that leads from p to p, from p to q, and from q to q. If one loop can read a word in
two ways, time doubles with each character.
"""

import ast
import contextlib
import importlib
import itertools
import pkgutil
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

try:
    from re import _parser as parser  # type: ignore[attr-defined]
except ImportError:  # Python 3.10
    import sre_parse as parser

FUNCTIONS = {
    "compile",
    "match",
    "fullmatch",
    "search",
    "sub",
    "subn",
    "split",
    "findall",
    "finditer",
}
SAMPLES = "aZ0_-./ ()=\"':\n\t\u00e9\u4e00"  # of each kind that a pattern can tell apart
LONG, SHORT = 65_535, 20_000  # a zip can have names as long
EXAMPLES = 10  # of texts that a pattern matches
COPIES = 3  # of what is repeated a bounded number of times

T = TypeVar("T")


class Used(NamedTuple):
    place: str
    pattern: Any
    flags: int
    methods: frozenset[str]  # that are called with it; none if the code does not tell


def collect(package: ModuleType) -> list[Used]:
    """The patterns that the modules of a package hold, and those that its code passes to `re`."""
    names = [package.__name__]
    names += [info.name for info in pkgutil.walk_packages(package.__path__, f"{names[0]}.")]
    modules = [importlib.import_module(name) for name in names]
    found: list[Used] = []
    methods: dict[str, set[str]] = {}  # by the names of patterns
    for module in modules:
        tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for scope in (tree, *functions):
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                    _note_call(node, node.func, scope, module, found, methods)
    for module in modules:
        for name, value in vars(module).items():
            for pattern in _flat(value):
                if isinstance(pattern, re.Pattern):
                    place, known = f"{module.__name__}.{name}", frozenset(methods.get(name, ()))
                    found.append(Used(place, pattern.pattern, pattern.flags, known))
    known_patterns = {one.pattern for one in found if one.methods}
    unique = {(one.pattern, one.methods): one for one in found if one.pattern}
    return [one for one in unique.values() if one.methods or one.pattern not in known_patterns]


def _note_call(
    call: ast.Call,
    function: ast.Attribute,
    scope: ast.AST,
    module: ModuleType,
    found: list[Used],
    methods: dict[str, set[str]],
) -> None:
    if function.attr not in FUNCTIONS:
        return
    owner = getattr(function.value, "id", getattr(function.value, "attr", ""))
    if owner != "re":
        methods.setdefault(owner, set()).add(function.attr)
        return
    known = frozenset({function.attr} - {"compile"})
    with contextlib.suppress(ValueError, IndexError):
        pattern = ast.literal_eval(call.args[0])
        found.append(Used(f"{module.__name__}, line {call.lineno}", pattern, 0, known))
        return
    # A variable: any text that the function takes from the module's constants may be a pattern.
    for name in {node.id for node in ast.walk(scope) if isinstance(node, ast.Name)}:
        for pattern in _flat(vars(module).get(name)):
            if isinstance(pattern, str) and not isinstance(scope, ast.Module):
                found.append(Used(f"{module.__name__}.{name}", pattern, 0, known))


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value
        yield from value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        yield from value
    else:
        yield value


# Literals


def literals(used: Used) -> list[str]:
    """The words of a pattern: its longest runs of characters, and an example of each set."""
    words: set[str] = set()
    run = ""

    def walk(items: Iterable[Any]) -> None:
        nonlocal run
        for operation, argument in items:
            name = str(operation)
            if name == "LITERAL":
                run += chr(argument)
                continue
            words.add(run)
            run = ""
            if name == "IN":
                words.update([char for char in SAMPLES if _in_set(argument, char)][:2])
            for body in _bodies(name, argument):
                walk(body)
                words.add(run)
                run = ""

    walk(parser.parse(_text(used.pattern), used.flags & ~re.DEBUG))
    words.add(run)
    return sorted(words - {""})


def _text(pattern: Any) -> str:
    return pattern.decode("latin-1") if isinstance(pattern, bytes) else pattern


def _bodies(name: str, argument: Any) -> list[Any]:
    if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return [argument[2]]
    if name == "BRANCH":
        return list(argument[1])
    if name == "SUBPATTERN":
        return [argument[3]]
    return [argument] if name == "ATOMIC_GROUP" else []


def _in_set(items: Any, char: str) -> bool:
    kinds: dict[str, Callable[[str], Any]] = {
        "DIGIT": str.isdigit,
        "SPACE": str.isspace,
        "WORD": lambda char: char.isalnum() or char == "_",
    }
    negated = inside = False
    for operation, argument in items:
        name = str(operation)
        if name == "NEGATE":
            negated = True
        elif name == "LITERAL":
            inside |= ord(char) == argument
        elif name == "RANGE":
            inside |= argument[0] <= ord(char) <= argument[1]
        elif name == "CATEGORY":
            kind = str(argument).removeprefix("CATEGORY_")
            inside |= bool(kinds[kind.removeprefix("NOT_")](char)) != kind.startswith("NOT_")
    return inside != negated


# The automaton

# The first states, the last states, and whether there may be none.
Part = tuple[frozenset[int], frozenset[int], bool]
EMPTY: Part = (frozenset(), frozenset(), True)


class Automaton:
    """The states of a pattern, with what each reads (as bits) and what follows it."""

    def __init__(self, pattern: str, flags: int, searching: bool) -> None:
        self.alphabet = sorted({*SAMPLES, *pattern, *pattern.swapcase()})
        self.reads: list[int] = []
        self.edges: Counter[tuple[int, int]] = Counter()
        self.needs_end = not searching
        parsed = parser.parse(pattern, flags)
        self.flags = parsed.state.flags  # with those that the pattern itself sets
        tree = list(parsed)
        whole = self._sequence(tree)
        if searching:
            whole = self._join(self._before(tree), whole)
        self.last = whole[1]
        self.follow: list[list[int]] = [[] for _ in self.reads]
        for (state, following), _ in self.edges.items():
            self.follow[state].append(following)

    def _before(self, tree: list[Any]) -> Part:
        """What a search skips. A lookbehind in front tells what its last character is not."""
        name, argument = str(tree[0][0]), tree[0][1]
        if name == "AT" and str(argument) in ("AT_BEGINNING", "AT_BEGINNING_STRING"):
            return EMPTY
        skipped = self._loop(self._state(lambda char: True))
        if name == "ASSERT_NOT" and argument[0] < 0 and str(argument[1][0][0]) == "IN":
            items = argument[1][0][1]
            last = self._state(lambda char: not _in_set(items, char))
            first, end, _ = self._join(skipped, last)
            return first, end, True
        return skipped

    def _state(self, accepts: Callable[[str], bool]) -> Part:
        bits = 0
        for number, char in enumerate(self.alphabet):
            forms = {char, char.swapcase()} if self.flags & re.IGNORECASE else {char}
            bits |= any(map(accepts, forms)) << number
        self.reads.append(bits)
        state = frozenset({len(self.reads) - 1})
        return state, state, False

    def _join(self, left: Part, right: Part) -> Part:
        self.edges.update((last, first) for last in left[1] for first in right[0])
        first = left[0] | right[0] if left[2] else left[0]
        last = left[1] | right[1] if right[2] else right[1]
        return first, last, left[2] and right[2]

    def _loop(self, part: Part) -> Part:
        self.edges.update((last, first) for last in part[1] for first in part[0])
        return part[0], part[1], True

    def _sequence(self, items: Iterable[Any]) -> Part:
        whole = EMPTY
        for operation, argument in items:
            whole = self._join(whole, self._part(str(operation), argument))
        return whole

    def _part(self, name: str, argument: Any) -> Part:
        if name in ("LITERAL", "NOT_LITERAL"):
            return self._state(lambda char: (ord(char) == argument) == (name == "LITERAL"))
        if name == "IN":
            return self._state(lambda char: _in_set(argument, char))
        if name == "ANY":
            return self._state(lambda char: char != "\n" or bool(self.flags & re.DOTALL))
        if name in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            return self._repeat(*argument)
        self.needs_end |= name == "AT" and "END" in str(argument)
        whole: Part | None = None
        for body in _bodies(name, argument):
            part = self._sequence(body)
            first, last, may_be_empty = whole or (frozenset(), frozenset(), False)
            whole = first | part[0], last | part[1], may_be_empty or part[2]
        return whole or EMPTY  # an anchor, or what looks around

    def _repeat(self, least: int, most: int, body: Any) -> Part:
        whole = EMPTY
        unbounded = str(most) == "MAXREPEAT"
        for copy in range(min(COPIES, most) if not unbounded else max(1, min(COPIES, least))):
            part = self._sequence(body)
            optional = copy >= least
            whole = self._join(whole, (part[0], part[1], part[2] or optional))
            if unbounded and copy + 1 >= min(COPIES, least):
                self._loop(part)
        return whole

    def ambiguity(self) -> str:
        """What is wrong with the pattern, "" if nothing."""
        reached = [reach([state], self.follow.__getitem__) for state in range(len(self.reads))]
        loops: set[frozenset[int]] = set()
        for state, found in enumerate(reached):
            if state in found:
                loops.add(frozenset(other for other in found if state in reached[other]))
        for loop in loops:
            if any(self.edges[p, q] > 1 for p in loop for q in loop) or self._is_ambiguous(loop):
                return "a loop reads the same in two ways: time may double with each character"
        for loop in loops:
            for other in loops - {loop}:
                if not self._cannot_fail(other) and self._share(loop, other):
                    return "two loops share what they read: time grows with the square"
        return ""

    def _is_ambiguous(self, loop: frozenset[int]) -> bool:
        """Whether two ways through the loop read the same, and meet again."""
        backward: dict[tuple[int, int], list[tuple[int, int]]] = {}

        def following(pair: tuple[int, int]) -> list[tuple[int, int]]:
            found = []
            for left in loop.intersection(self.follow[pair[0]]):
                for right in loop.intersection(self.follow[pair[1]]):
                    if self.reads[left] & self.reads[right]:
                        found.append((left, right))
                        backward.setdefault((left, right), []).append(pair)
            return found

        same = [(state, state) for state in loop]
        apart = {pair for pair in reach(same, following) if pair[0] != pair[1]}
        return bool(apart & reach(same, lambda pair: backward.get(pair, [])))

    def _cannot_fail(self, loop: set[int]) -> bool:
        """Whether the match has succeeded once the loop is reached, whatever comes."""
        everything = all(self.reads[state] == (1 << len(self.alphabet)) - 1 for state in loop)
        return loop <= self.last and (everything or not self.needs_end)

    def _share(self, loop: frozenset[int], other: frozenset[int]) -> bool:
        def following(states: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
            for first in loop.intersection(self.follow[states[0]]):
                for last in other.intersection(self.follow[states[2]]):
                    both = self.reads[first] & self.reads[last]
                    for middle in self.follow[states[1]] if both else ():
                        if both & self.reads[middle]:
                            yield first, middle, last

        pairs = [(p, q) for p in loop for q in other]
        return any((p, q, q) in reach([(p, p, q)], following) for p, q in pairs)


def reach(starts: Iterable[T], following: Callable[[T], Iterable[T]]) -> set[T]:
    """The nodes of a graph that at least one step leads to."""
    found: set[T] = set()
    queue = list(starts)
    while queue:
        new = set(following(queue.pop())) - found
        found |= new
        queue += new
    return found


def ambiguity(used: Used) -> str:
    """Why a pattern may take long, "" if it cannot."""
    known = {method not in ("fullmatch", "match") for method in used.methods} or {False, True}
    text = _text(used.pattern)
    problems = [Automaton(text, used.flags, searching).ambiguity() for searching in sorted(known)]
    return next(filter(None, problems), "")


# Time


def example(items: Iterable[Any], draw: random.Random) -> str:
    """A text that a pattern matches, but for what looks around."""
    text = ""
    for operation, argument in items:
        name = str(operation)
        if name == "LITERAL":
            text += chr(argument)
        elif name == "IN":
            text += draw.choice([char for char in SAMPLES if _in_set(argument, char)] or [""])
        elif name in ("ANY", "NOT_LITERAL"):
            text += draw.choice("a-")
        elif bodies := _bodies(name, argument):
            least, most = argument[:2] if name.endswith("REPEAT") else (1, 1)
            for _ in range(draw.randint(least, max(least, min(most, COPIES)))):
                text += example(draw.choice(bodies), draw)
    return text


def adversarial(used: Used) -> Iterator[str]:
    """Long texts of the words of a pattern, most of which it almost matches."""
    words, draw = literals(used), random.Random(0)
    tree = parser.parse(_text(used.pattern), used.flags)
    drawn = [example(tree, draw) for _ in range(EXAMPLES)]
    for word in filter(None, [*words, *drawn, *(text[:-1] for text in drawn)]):
        for tail in ("", "!", "\n"):
            yield word * (LONG // len(word)) + tail
    for one, two in itertools.permutations(words, 2):
        yield (one + two) * (SHORT // len(one + two)) + "!"
        yield one + two * (SHORT // len(two)) + "!"


def slowest(used: Used) -> tuple[float, str]:
    """The most processor time that the pattern takes, up to a second, and for what."""
    pattern = re.compile(used.pattern, used.flags)
    slow = (0.0, "")
    for text in adversarial(used):
        content = text.encode() if isinstance(used.pattern, bytes) else text
        for name in used.methods or ("fullmatch", "search"):
            method: Any = getattr(pattern, name)
            start = time.process_time()
            # An alarm ends a match.
            signal.setitimer(signal.ITIMER_VIRTUAL, 1)
            try:
                method("", content) if name.startswith("sub") else method(content)
            except Late:
                return 1.0, text[:40]
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            slow = max(slow, (time.process_time() - start, text[:40]))
    return slow


class Late(BaseException):
    """A second is over."""


def measure(package: str) -> list[tuple[str, float, str]]:
    """The pattern, the time and the text of all patterns of a package. For a process of its own."""

    def late(*_: Any) -> None:
        raise Late

    signal.signal(signal.SIGVTALRM, late)
    all_patterns = collect(importlib.import_module(package))
    return [(str(used.pattern), *slowest(used)) for used in all_patterns]
