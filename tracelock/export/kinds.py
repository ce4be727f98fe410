"""Which kinds of values a shared variable can hold: shared memory needs to know beforehand."""

from __future__ import annotations

import ast
from typing import Any, Final

from tracelock.scenario.language import verbs
from tracelock.scenario.language.expressions import tree_of
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.usage import base_name, steps_of
from tracelock.scenario.language.verbs import VERBS

INT, FLOAT, BOOL, OTHER = "int", "float", "bool", "other"
Kinds = frozenset[str]
_NUMBERS: Final = frozenset({INT, FLOAT, BOOL})
#: function -> the kind of what it returns; that of the others is the kind of what they are given.
_RESULTS: Final = {"len": INT, "int": INT, "bool": BOOL, "float": FLOAT, "sqrt": FLOAT}


def kinds_of(scenario: Scenario) -> dict[str, Kinds]:
    """For each shared variable the kinds of values it may come to hold: ``int``, ``float``,
    ``bool`` and ``other``. The least solution that all assignments agree with.
    """
    known: dict[str, set[str]] = {
        name: {of_value(item) for item in (value if isinstance(value, list) else [value])}
        for name, value in scenario.shared.items()
    }
    local: dict[tuple[str, str], set[str]] = {}
    steps = [(at.split(".")[1], step) for at, step in steps_of(scenario)]
    queues: dict[str, set[str]] = {}
    changed = True

    def add(to: set[str], kinds: set[str]) -> None:
        nonlocal changed
        if not kinds <= to:
            to |= kinds
            changed = True

    while changed:
        changed = False
        for group, step in steps:

            def kind(expr: Any, group: str = group) -> set[str]:
                return _kind(tree_of(expr), group, known, local)

            target = base_name(step.reference)
            match step:
                case verbs.Write() | verbs.CompareExchange() | verbs.Exchange():
                    add(known[target], kind(step.value))
                case verbs.FetchAdd():
                    add(known[target], _sum(known[target], kind(step.by)))
                case verbs.Put():
                    add(queues.setdefault(target, set()), kind(step.value))
            for name, kinds in _assigned(step, kind, known, queues):
                add(local.setdefault((group, name), set()), kinds)
    return {name: frozenset(kinds) for name, kinds in known.items()}


def of_value(value: Any) -> str:
    """The kind of one value."""
    if isinstance(value, bool):
        return BOOL
    if isinstance(value, int):
        return INT if -(2**62) < value < 2**62 else OTHER
    return FLOAT if isinstance(value, float) else OTHER


def _assigned(
    step: Any, kind: Any, known: dict[str, set[str]], queues: dict[str, set[str]]
) -> list[tuple[str, set[str]]]:
    if isinstance(step, verbs.Let):
        return [(name, kind(expr)) for name, expr in step.let.items()]
    target = base_name(step.reference)
    found: list[tuple[str, set[str]]] = []
    for key, name in step.of_kind("local"):
        kinds = {INT} if key == "index" else {BOOL}
        if key == "into" and not VERBS[step.verb].truth:
            if isinstance(step, verbs.Get):
                kinds = set(queues.get(target, set())) | ({OTHER} if step.got else set())
            else:
                kinds = set(known.get(target, {OTHER}))  # of a call: anything
        if name:
            found.append((name, kinds))
    return found


def _sum(a: set[str], b: set[str]) -> set[str]:
    if not (a | b) <= _NUMBERS:
        return {OTHER}
    return {FLOAT, INT} if FLOAT in a | b else {INT}


def _kind(
    node: ast.expr, group: str, known: dict[str, set[str]], local: dict[tuple[str, str], set[str]]
) -> set[str]:
    def kind(child: ast.expr) -> set[str]:
        return _kind(child, group, known, local)

    match node:
        case ast.Constant(value=value):
            return {of_value(value)}
        case ast.Name(id=name) | ast.Subscript(value=ast.Name(id=name)):
            if (group, name) in local:
                return local[group, name]
            return known.get(name, {INT} if name in ("index", "count") else set())
        case ast.BoolOp(values=parts):
            return set().union(*map(kind, parts))
        case ast.IfExp(body=body, orelse=orelse):
            return kind(body) | kind(orelse)
        case ast.Compare() | ast.UnaryOp(op=ast.Not()):
            return {BOOL}
        case ast.UnaryOp(operand=operand):
            return _sum(kind(operand), set())
        case ast.BinOp(op=ast.Div()):
            return {FLOAT}
        case ast.BinOp(left=left, right=right):
            return _sum(kind(left), kind(right))
        case ast.Call(func=ast.Name(id=name)) if name in _RESULTS:
            return {_RESULTS[name]}
        case ast.Call(args=args):
            found: set[str] = set().union(*map(kind, args))
            return found if found <= _NUMBERS else {OTHER}
    return {OTHER}
