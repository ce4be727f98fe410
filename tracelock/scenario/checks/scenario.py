"""What must hold of a scenario beyond the kinds of its values; only what is certain is reported."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Final

from tracelock.errors import Problem
from tracelock.scenario.checks.names import Declarations, article, least_of, name_trouble
from tracelock.scenario.checks.python import check_python
from tracelock.scenario.checks.steps import check_steps
from tracelock.scenario.faults import MAX_FAULTS, Damage, Fault, path_text
from tracelock.scenario.language.expressions import quote, suggest
from tracelock.scenario.language.models import (
    BACKENDS,
    FORMAT,
    ORDERS,
    STARTS,
    VERDICTS,
    ObjectDecl,
    Scenario,
)
from tracelock.scenario.language.objects import OBJECTS

MAX_COUNT: Final = 10_000  # worker instances in all, and objects in all
LOCKS: Final = ("lock", "rlock")


def check_scenario(scenario: Scenario, name: str | None = None) -> list[Problem]:
    """All that is wrong with a scenario, however it was built.

    The problems have paths but no lines; ``name`` stands in them for the file, the scenario's
    own if it is None.
    """
    file = name or scenario.name
    return [Problem(file, 0, 0, path_text(fault.path), fault.message) for fault in check(scenario)]


def check(scenario: Scenario, damage: Damage | None = None) -> list[Fault]:
    """All that is wrong with ``scenario``; an empty list if nothing is.

    ``damage`` says what was removed before, whose absence is no fault.
    """
    return list(islice(_all(scenario, damage or Damage()), MAX_FAULTS + 1))


def _all(scenario: Scenario, damage: Damage) -> Iterable[Fault]:
    yield from _headings(scenario)
    yield from _declared_names(scenario)
    for name, decl in scenario.objects.items():
        yield from _object(scenario, name, decl, damage)
    yield from _counts(scenario)
    names = Declarations(scenario, damage)
    for name, worker in scenario.workers.items():
        yield from check_steps(names, name, worker.steps)
    for section, expressions in (("always", scenario.always), ("finally", scenario.finally_)):
        for place, expression in enumerate(expressions):
            yield from names.expression(expression, (section, place))
    yield from _expectations(scenario)
    yield from check_python(scenario, damage)


def _headings(scenario: Scenario) -> Iterable[Fault]:
    if scenario.format != FORMAT:
        message = f"unknown format {quote(scenario.format)}: this version reads {quote(FORMAT)}"
        yield Fault(("format",), message)
    if not scenario.name.strip():
        yield Fault(("name",), "a name belongs here, not an empty text")
    if not scenario.workers:
        yield Fault(("workers",), "there must be at least one worker")


def _declared_names(scenario: Scenario) -> Iterable[Fault]:
    owners: dict[str, str] = {}
    for section, what in (
        ("shared", "a shared variable"),
        ("objects", "an object"),
        ("workers", "a worker"),
    ):
        for name in getattr(scenario, section):
            reason = name_trouble(name)
            if not reason and name in owners:
                reason = f"{quote(name)} is declared twice: it is {owners[name]} already"
            if reason:
                yield Fault((section, name), reason, on_key=True)
            owners.setdefault(name, what)


def _object(scenario: Scenario, name: str, decl: ObjectDecl, damage: Damage) -> Iterable[Fault]:
    path = ("objects", name)
    kind = OBJECTS.get(decl.type)
    if kind is None:
        hint = suggest(decl.type, OBJECTS) or f" (there are {', '.join(OBJECTS)})"
        yield Fault((*path, "type"), f"unknown type {quote(decl.type)}{hint}")
        return
    for option in ("value", "lock", "parties", "maxsize", "order"):
        if getattr(decl, option) is not None and option not in kind.options:
            owners = [other for other, row in OBJECTS.items() if option in row.options]
            message = f"{article(decl.type)} has no {option}: that is for {' and '.join(owners)}"
            yield Fault((*path, option), message, on_key=True)
    yield from least_of((*path, "count"), decl.count, 1)
    for option, least in (("value", 0), ("maxsize", 0), ("parties", 1)):
        if option in kind.required and getattr(decl, option) is None:
            yield Fault(path, f'missing key "{option}": how many does the {decl.type} wait for?')
        if option in kind.options:
            yield from least_of((*path, option), getattr(decl, option), least)
    if decl.type == "queue" and decl.order is not None and decl.order not in ORDERS:
        hint = suggest(decl.order, ORDERS) or f" (there are {', '.join(ORDERS)})"
        yield Fault((*path, "order"), f"unknown order {quote(decl.order)}{hint}")
    if decl.type == "condition" and decl.lock is not None:
        yield from _condition_lock(scenario, name, decl, decl.lock, damage)


def _condition_lock(
    scenario: Scenario, name: str, decl: ObjectDecl, lock: str, damage: Damage
) -> Iterable[Fault]:
    path = ("objects", name, "lock")
    if damage.everything or lock in damage.names:
        return
    other = scenario.objects.get(lock)
    if other is None:
        known = (key for key, value in scenario.objects.items() if value.type in LOCKS)
        yield Fault(path, f"there is no lock {quote(lock)}{suggest(lock, known)}")
    elif other.type not in LOCKS:
        message = f"a condition needs a lock or rlock, and {quote(lock)} is {article(other.type)}"
        yield Fault(path, message)
    elif other.count is not None and other.count != decl.count:
        mine = "one condition" if decl.count is None else f"{decl.count} conditions"
        message = f"{quote(lock)} is an array of {other.count}, which does not fit {mine}"
        yield Fault(path, message)


def _counts(scenario: Scenario) -> Iterable[Fault]:
    workers = {name: worker.count for name, worker in scenario.workers.items()}
    objects = {
        name: decl.count if decl.count is not None else 1 for name, decl in scenario.objects.items()
    }
    for name, worker in scenario.workers.items():
        yield from least_of(("workers", name, "count"), worker.count, 1)
        if worker.start not in STARTS:
            hint = suggest(worker.start, STARTS) or " (it is auto or manual)"
            yield Fault(("workers", name, "start"), f"unknown start {quote(worker.start)}{hint}")
    for section, counts in (("workers", workers), ("objects", objects)):
        total = 0
        for name, count in counts.items():
            total += max(count, 0)
            if total > MAX_COUNT:
                message = f"more than {MAX_COUNT:,} {section} in all"
                yield Fault((section, name, "count"), message)
                break


def _expectations(scenario: Scenario) -> Iterable[Fault]:
    for backend, expected in scenario.expect.items():
        path = ("expect", backend)
        if backend not in BACKENDS:
            hint = suggest(backend, BACKENDS) or f" (there are {', '.join(BACKENDS)})"
            yield Fault(path, f"unknown backend {quote(backend)}{hint}", on_key=True)
        if expected.verdict not in VERDICTS:
            hint = suggest(expected.verdict, VERDICTS) or f" (there are {', '.join(VERDICTS)})"
            yield Fault((*path, "verdict"), f"unknown verdict {quote(expected.verdict)}{hint}")
        yield from least_of((*path, "switches"), expected.switches, 0)
