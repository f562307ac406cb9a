"""The regular expressions of the package: none of them takes long on any text."""

import patterns
import pytest

import mnist_idx


@pytest.mark.slow
def test_no_pattern_of_the_package_is_ambiguous() -> None:
    problems = {}
    for used in patterns.collect(mnist_idx):
        problem = patterns.ambiguity(used)
        if problem:
            problems[f"{used.place}: {used.pattern}"] = problem
    assert problems == {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        pytest.param(r"(a*)*b", "fullmatch", id="a-loop-in-a-loop"),
        pytest.param(r"(ab|a|b)*c", "fullmatch", id="a-loop-of-choices-that-overlap"),
        pytest.param(r"(\w+\s?)*$", "match", id="a-loop-of-words"),
        pytest.param(r"a*a*b", "fullmatch", id="a-loop-behind-the-same-loop"),
        pytest.param(r".*-images.*copy", "fullmatch", id="a-word-anywhere-and-another-behind-it"),
        pytest.param(r"a+b", "search", id="a-loop-that-a-search-starts-anywhere"),
    ],
)
def test_an_ambiguous_pattern_is_found(pattern: str, method: str) -> None:
    used = patterns.Used("", pattern, 0, frozenset({method}))
    assert patterns.ambiguity(used) != ""


@pytest.mark.parametrize(
    ("pattern", "method"),
    [
        pytest.param(r"a+b", "fullmatch", id="a-loop"),
        pytest.param(r"^a+b", "search", id="a-loop-at-the-start"),
        pytest.param(r"(?<![a-z])([a-z]+)=", "sub", id="a-loop-at-the-start-of-a-word"),
        pytest.param(r"[^/]*/[^/]*", "fullmatch", id="loops-that-a-character-separates"),
        pytest.param(r"(-(idx\d*|ubyte))*", "fullmatch", id="a-loop-of-choices"),
        pytest.param(r"\?.*", "sub", id="all-the-rest"),
    ],
)
def test_an_unambiguous_pattern_is_not_called_ambiguous(pattern: str, method: str) -> None:
    used = patterns.Used("", pattern, 0, frozenset({method}))
    assert patterns.ambiguity(used) == ""
