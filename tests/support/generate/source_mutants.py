"""Mutants of a module's source: each differs in one place, as a slip of its author would.

In: the path of a module.  Out: `SourceMutant` values, always the same ones in the same order.
Nothing of ours is imported here, so that a process can put a mutant in the place of a module.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NUMBER = re.compile(r"-?\d+")
OTHER_COMPARISON: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE,
    ast.GtE: ast.Gt, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OTHER_OPERATOR: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
    ast.Mult: ast.Add,
}  # fmt: skip
OTHER_NAMES = {
    "V4": "V6", "V6": "V4", "LOOKUP": "PROHIBIT", "PROHIBIT": "BLACKHOLE",
    "BLACKHOLE": "PROHIBIT", "NOP": "BLACKHOLE", "UNICAST": "LOCAL", "LOCAL": "UNICAST",
    "THROW": "BLACKHOLE", "INPUT": "OUTPUT", "OUTPUT": "INPUT", "FORWARD": "INPUT",
    "ALLOW": "DENY", "DENY": "ALLOW", "TCP": "UDP", "UDP": "TCP", "SOURCE": "DESTINATION",
    "DESTINATION": "SOURCE",
}  # fmt: skip
"""Names of enumerations that one takes for another."""

UNTOUCHED = ("annotation", "returns", "decorator_list", "bases", "msg")
"""Fields that say nothing of what the code does."""


@dataclass(frozen=True)
class SourceMutant:
    """A module with one place changed."""

    path: Path
    number: int
    line: int
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line} (mutant {self.number}): {self.what}"


@dataclass(frozen=True)
class _Place:
    """A field of a node, and where in it, if it is a list."""

    parent: ast.AST
    field: str
    at: int | None

    def get(self) -> ast.AST:
        value = getattr(self.parent, self.field)
        found: ast.AST = value if self.at is None else value[self.at]
        return found

    def put(self, node: ast.AST) -> None:
        if self.at is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.at] = node


def count(path: Path) -> int:
    """How many mutants a module has."""
    return sum(1 for place in _places(ast.parse(path.read_text())) for _ in _variants(place.get()))


def mutant(path: Path, number: int) -> SourceMutant:
    """One mutant of a module."""
    tree = ast.parse(path.read_text())
    every = ((place, *variant) for place in _places(tree) for variant in _variants(place.get()))
    for at, (place, what, other) in enumerate(every):
        if at == number:
            line = getattr(place.get(), "lineno", getattr(place.parent, "lineno", 0))
            place.put(other)
            text = ast.unparse(ast.fix_missing_locations(tree))
            return SourceMutant(path, number, line, what, text)
    raise IndexError(f"{path} has no mutant {number}")


def _places(tree: ast.AST) -> Iterator[_Place]:
    """Every place of what does something, in an order that a copy of the tree has too."""
    waiting = [tree]
    while waiting:
        parent = waiting.pop()
        for field, value in ast.iter_fields(parent):
            if field in UNTOUCHED or isinstance(parent, (ast.Raise, ast.Assert, ast.JoinedStr)):
                continue
            children = value if isinstance(value, list) else [value]
            for at, child in enumerate(children):
                if isinstance(child, ast.AST):
                    yield _Place(parent, field, at if isinstance(value, list) else None)
                    waiting.append(child)


def _variants(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """What else could stand in the place of a node, each with what it is."""
    if isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.BinOp)):
        yield from _operators(node)
    elif isinstance(node, ast.comprehension):
        yield from _conditions(node)
    elif isinstance(node, (ast.Tuple, ast.List)):
        yield from _elements(node)
    elif isinstance(node, (ast.Expr, ast.If, ast.IfExp)):
        yield from _branches(node)
    elif isinstance(node, ast.Attribute):
        yield from _names(node)


def _text(node: ast.AST) -> str:
    return ast.unparse(node)[:60].replace("\n", " ")


def _constants(node: ast.Constant) -> Iterator[tuple[str, ast.AST]]:
    value = node.value
    others: list[int] = []
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, *([value - 1] if value > 0 else [])]
    elif isinstance(value, str) and NUMBER.fullmatch(value):
        other = "1" if value == "0" else "0"
        yield f"{_text(node)} is {other!r}", ast.Constant(other)
    for number in others:
        yield f"{_text(node)} is {number!r}", ast.Constant(number)


def _operators(
    node: ast.Compare | ast.BoolOp | ast.UnaryOp | ast.BinOp,
) -> Iterator[tuple[str, ast.AST]]:
    was = _text(node)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        other = OTHER_COMPARISON[type(node.ops[0])]()
        yield f"{was} is turned over", ast.Compare(node.left, [other], node.comparators)
    elif isinstance(node, ast.BoolOp):
        op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield f"{was}: and is or", ast.BoolOp(op, node.values)
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield f"{was}: without not", node.operand
    elif isinstance(node, ast.BinOp) and type(node.op) in OTHER_OPERATOR:
        operator = OTHER_OPERATOR[type(node.op)]()
        yield f"{was}: another operator", ast.BinOp(node.left, operator, node.right)


def _conditions(node: ast.comprehension) -> Iterator[tuple[str, ast.AST]]:
    for at, condition in enumerate(node.ifs):
        kept = [*node.ifs[:at], *node.ifs[at + 1 :]]
        yield (
            f"without if {ast.unparse(condition)}",
            ast.comprehension(node.target, node.iter, kept, node.is_async),
        )


def _elements(node: ast.Tuple | ast.List) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node.ctx, ast.Load):
        for word, kept in (("first", node.elts[1:]), ("last", node.elts[:-1])):
            if node.elts and (word == "first" or len(node.elts) > 1):
                yield f"{_text(node)} without its {word}", type(node)(kept, ast.Load())


def _branches(node: ast.Expr | ast.If | ast.IfExp) -> Iterator[tuple[str, ast.AST]]:
    if isinstance(node, ast.IfExp):
        yield f"{_text(node)}: always the first", node.body
        yield f"{_text(node)}: always the other", node.orelse
    elif isinstance(node, ast.If):
        for value in (True, False):
            yield (
                f"if {ast.unparse(node.test)} is {value}",
                ast.If(ast.Constant(value), node.body, node.orelse),
            )
    elif not isinstance(node.value, ast.Constant):
        yield f"{_text(node)} is left out", ast.Pass()


def _names(node: ast.Attribute) -> Iterator[tuple[str, ast.AST]]:
    if node.attr in OTHER_NAMES:
        other = OTHER_NAMES[node.attr]
        yield f"{_text(node)} is {other}", ast.Attribute(node.value, other, node.ctx)
