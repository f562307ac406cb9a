"""Two faults that cosmic-ray does not know: a check that is gone, and a statement that is gone."""

import re
from collections.abc import Iterator, Sequence

import cosmic_ray.plugins
from cosmic_ray.operators.operator import Example, Operator
from parso.python.tree import Keyword
from parso.tree import BaseNode, NodeOrLeaf

Span = tuple[tuple[int, int], tuple[int, int]]

# No result depends on these calls.
WITHOUT_EFFECT = re.compile(r"(logger|\S*bar)\.|\S+\.(close|flush|join|shutdown)\(")


class DropCheck(Operator):
    """Never raise what an `if` or `elif` raises."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Span]:
        for place in conditions_of_checks(node):
            condition = node.children[place]
            yield condition.start_pos, condition.end_pos

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        place = conditions_of_checks(node)[index]
        node.children[place] = Keyword("False", node.children[place].start_pos, prefix=" ")
        return node

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [Example("if x:\n    raise y\n", "if False:\n    raise y\n")]


class DropStatement(Operator):
    """Leave out a call whose result nobody uses, or an assignment such as `x += 1`."""

    def mutation_positions(self, node: NodeOrLeaf) -> Iterator[Span]:
        if node.type == "simple_stmt" and has_effect(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: BaseNode, index: int) -> BaseNode:
        first = node.children[0].get_first_leaf()
        node.children[0] = Keyword("pass", first.start_pos, first.prefix)
        return node

    @classmethod
    def examples(cls) -> Sequence[Example]:
        return [Example("f(x)\n", "pass\n"), Example("x += 1\n", "pass\n")]


def conditions_of_checks(node: NodeOrLeaf) -> list[int]:
    """The places, among the children of an `if`, of conditions whose block ends in `raise`."""
    if node.type != "if_stmt":
        return []
    places = []
    for place, child in enumerate(node.children):
        if child.type == "keyword" and child.value in ("if", "elif"):
            block = node.children[place + 3]
            if ends_in_raise(block):
                places.append(place + 1)
    return places


def ends_in_raise(block: NodeOrLeaf) -> bool:
    last = block.children[-1]
    return last.type == "simple_stmt" and last.children[0].type == "raise_stmt"


def has_effect(statement: NodeOrLeaf) -> bool:
    if statement.type == "expr_stmt":
        operator = statement.children[1]
        return operator.type == "operator" and operator.value != "="
    if statement.type == "atom_expr":
        is_call = statement.children[-1].get_code().startswith("(")
        return is_call and not WITHOUT_EFFECT.match(statement.get_code(include_prefix=False))
    return False


def register() -> None:
    """Let this process find them as `own/DropCheck` and `own/DropStatement`."""
    cosmic_ray.plugins.OPERATOR_PROVIDERS["own"] = {
        "DropCheck": DropCheck,
        "DropStatement": DropStatement,
    }
