"""What a scenario uses: the steps it has, the features it needs, the variables it guards."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tracelock.ops import Layout

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario

#: Fields of steps that hold steps, with the name they have in a path.
INNER = (
    ("do", "do"), ("then", "then"), ("else_", "else"), ("try_", "try"), ("finally_", "finally"),
    ("atomic", "atomic"),
)  # fmt: skip


def steps_of(scenario: Scenario) -> Iterator[tuple[str, Any]]:
    """Every step with its path, in the order of the document."""
    for name, worker in scenario.workers.items():
        yield from _below(f"workers.{name}.steps", worker.steps)


def _below(path: str, steps: Any) -> Iterator[tuple[str, Any]]:
    for number, step in enumerate(steps):
        here = f"{path}[{number}]"
        yield here, step
        for field, key in INNER:
            inner = getattr(step, field, None)
            if isinstance(inner, (list, tuple)):
                yield from _below(f"{here}.{key}", inner)


def features_of(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Each feature that not every backend has, with the path where the document asks for it."""
    if scenario.python is not None:
        yield "call", "python"
    for name, decl in scenario.objects.items():
        at = f"objects.{name}"
        if decl.type in ("rlock", "barrier"):
            yield decl.type, at
        if decl.type == "queue" and decl.order not in (None, "fifo"):
            yield f"queue:{decl.order}", at
    for at, step in steps_of(scenario):
        verb = type(step).__name__.lower()
        if verb in ("crash", "cancel", "clear", "timeout"):
            yield verb, at
        elif verb == "release" and step.n != 1:
            yield "release:n", at
        elif (
            verb == "wait" and step.timeout is not None and _type(scenario, step.wait) == "barrier"
        ):
            yield "barrier:timeout", at
        elif verb == "call":
            yield "call", at


def _type(scenario: Scenario, reference: str) -> str | None:
    decl = scenario.objects.get(base_name(reference))
    return decl.type if decl is not None else None


def base_name(reference: str) -> str:
    """``account`` of ``account[1 - index]``."""
    return reference.partition("[")[0].strip()


def guarded(scenario: Scenario, layout: Layout) -> frozenset[int]:
    """The variables that some step changes indivisibly, or whose block reads them so.

    Python has no lock-free read-modify-write: in free runs these variables are kept behind one
    hidden lock, plain reads and writes of them included.
    """
    names: set[str] = set()
    for _, step in steps_of(scenario):
        for field in ("compare_exchange", "exchange", "fetch_add"):
            reference = getattr(step, field, None)
            if isinstance(reference, str):
                names.add(base_name(reference))
        if isinstance(getattr(step, "atomic", None), (list, tuple)):
            for _, inner in _below("", step.atomic):
                names.update(_mentioned(inner))
    numbers: set[int] = set()
    for name in names & layout.arrays.keys():
        first, length = layout.arrays[name]
        numbers.update(range(first, first + (1 if length is None else length)))
    return frozenset(number for number in numbers if number < layout.variables)


def _mentioned(step: Any) -> Iterator[str]:
    for field in type(step).model_fields:
        value = getattr(step, field)
        for text in value.values() if isinstance(value, dict) else (value,):
            if isinstance(text, str):
                try:
                    tree = ast.parse(text.strip(), mode="eval")
                except SyntaxError:
                    continue
                yield from (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
