"""What a scenario uses: the steps it has, the features it needs, the variables it guards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from tracelock.ops import Layout
from tracelock.scenario.language.base import BaseStep
from tracelock.scenario.language.expressions import ExpressionError, names, parse
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.objects import OBJECTS
from tracelock.scenario.language.verbs import VERBS, Atomic, Release, Wait


def steps_of(scenario: Scenario) -> Iterator[tuple[str, Any]]:
    """Every step with its path, in the order of the document."""
    for name, worker in scenario.workers.items():
        yield from steps_in(worker.steps, f"workers.{name}.steps")


def steps_in(steps: Sequence[BaseStep], path: str = "") -> Iterator[tuple[str, Any]]:
    """These steps and all inside them, each with its path."""
    for number, step in enumerate(steps):
        here = f"{path}[{number}]"
        yield here, step
        for key, inner in step.blocks():
            yield from steps_in(inner, f"{here}.{key}")


def features_of(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Each feature that not every backend has, with the path where the document asks for it."""
    if scenario.python is not None:
        yield "call", "python"
    for name, decl in scenario.objects.items():
        at = f"objects.{name}"
        if OBJECTS[decl.type].feature:
            yield decl.type, at
        if decl.type == "queue" and decl.order not in (None, "fifo"):
            yield f"queue:{decl.order}", at
    for at, step in steps_of(scenario):
        if VERBS[step.verb].feature:
            yield step.verb, at
        elif isinstance(step, Release) and step.n != 1:
            yield "release:n", at
        elif isinstance(step, Wait) and step.timeout is not None:
            decl_ = scenario.objects.get(base_name(step.wait))
            if decl_ is not None and decl_.type == "barrier":
                yield "barrier:timeout", at


def base_name(reference: str) -> str:
    """``account`` of ``account[1 - index]``."""
    return reference.partition("[")[0].strip()


def guarded_names(scenario: Scenario) -> set[str]:
    """The names of the variables that some step changes indivisibly, or whose block mentions
    them.

    Python has no lock-free read-modify-write: where nothing controls the run these variables are
    kept behind one hidden lock, plain reads and writes of them included.
    """
    found: set[str] = set()
    for _, step in steps_of(scenario):
        if step.verb in ("compare_exchange", "exchange", "fetch_add"):
            found.add(base_name(step.reference))
        elif isinstance(step, Atomic):
            found.update(mentioned(inner for _, inner in steps_in(step.atomic)))
    return found & scenario.shared.keys()


def guarded(scenario: Scenario, layout: Layout) -> frozenset[int]:
    """The numbers of the variables in :func:`guarded_names`."""
    numbers: set[int] = set()
    for name in guarded_names(scenario):
        first, length = layout.arrays[name]
        numbers.update(range(first, first + (1 if length is None else length)))
    return frozenset(numbers)


def mentioned(steps: Iterable[BaseStep]) -> Iterator[str]:
    """The names in the references and expressions of these steps."""
    for step in steps:
        for text in (step.reference, *step.expressions()):
            if isinstance(text, str) and text:
                try:
                    yield from names(parse(text))
                except ExpressionError:
                    continue
