"""A context's order is that of the addresses of its variables: loops take them by name instead, so
that a schedule does the same again; what else goes through one is told, and is not verified."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

import tracelock


class Cell:
    def __init__(self, name: str) -> None:
        self.name = name


class State:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: list[str] = []


def filled() -> Context:
    """One of nine variables that are made anew, at other addresses, each time."""
    context = Context()
    context.run(fill)
    return context


def fill() -> None:
    for number in range(9):
        ContextVar[Cell](f"v{8 - number}").set(Cell(f"c{number}"))


NAMES = [f"v{number}" for number in range(9)]
VALUES = [f"c{number}" for number in range(9)]


def variables(context: Context) -> list[str]:
    return [variable.name for variable in context]


def keys(context: Context) -> list[str]:
    found = []
    for variable in context.keys():  # noqa: SIM118
        found.append(variable.name)
    return found


def pairs(context: Context) -> list[str]:
    return [variable.name for variable, cell in context.items() if context[variable] is cell]


def pairs_as_list(context: Context) -> list[str]:
    return [variable.name for variable, _ in list(context.items())]


def display(context: Context) -> list[str]:
    return [variable.name for variable, _ in [*context.items()]]


def values(context: Context) -> list[str]:
    """By the names that the objects have."""
    return [cell.name for cell in context.values()]


def locked(walk: Callable[[Context], list[str]]) -> Callable[[State], None]:
    def worker(s: State) -> None:
        with s.lock:
            s.seen += walk(filled())

    return worker


@pytest.mark.parametrize("walk", [variables, keys, pairs, pairs_as_list, display, values])
def test_a_loop_takes_variables_by_name(walk: Callable[[Context], list[str]]) -> None:
    def check(s: State) -> None:
        assert s.seen == (VALUES if walk is values else NAMES) * 2, s.seen

    found = tracelock.explore(
        setup=State, workers=[locked(walk)] * 2, check=check, schedules=50, instrument=[__name__]
    )
    assert found.verdict == "verified", found.summary


def as_list(context: Context) -> list[str]:
    return [variable.name for variable in list(context)]


def shown(context: Context) -> list[str]:
    return ["".join(map(str, context))]


def namesakes(_: Context) -> list[str]:
    context = Context()
    for _ in range(3):
        context.run(ContextVar[Context]("same").set, Context())
    return [variable.name for variable in context]


@pytest.mark.parametrize("walk", [as_list, shown, namesakes])
def test_what_no_name_decides_is_told(walk: Callable[[Context], list[str]]) -> None:
    found = tracelock.explore(
        setup=State, workers=[locked(walk)] * 2, schedules=50, instrument=[__name__]
    )
    assert found.verdict == "passed" and "the order of a context" in found.summary, found.summary


class Outer:
    """As libraries do that carry a context to another thread and back."""

    def __init__(self) -> None:
        self.first: ContextVar[Any] = ContextVar("local")
        self.second: ContextVar[Any] = ContextVar("local")
        self.total = 0


def restores(context: Context) -> None:
    for variable in context:
        variable.set(Cell(variable.get().name))


def carries(s: Outer) -> None:
    s.first.set(Cell("first"))
    s.second.set(Cell("second"))
    copy_context().run(restores, copy_context())
    total = s.total
    s.total = total + 1


def both(s: Outer) -> None:
    assert s.total == 2


def test_namesakes_go_by_what_they_are_set_to() -> None:
    found = tracelock.explore(
        setup=Outer, workers=[carries, carries], check=both, schedules=60, strategy="random"
    )
    assert found.verdict == "failed", found.summary
    assert not any("not deterministic" in note for note in found.notes), found.notes
