"""What every backend offers: how to wait, and how to do an operation on the real object."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracelock.engine.controller import Controller
from tracelock.engine.limits import RunLimits
from tracelock.engine.linearise.history import Entry, Record
from tracelock.errors import ModelMismatch, StepFailure
from tracelock.objects import Rules
from tracelock.ops import EMPTY, NAMES, Layout, Op, Raised, Value, same

if TYPE_CHECKING:
    from tracelock.scenario.program import Program


@dataclass(slots=True)
class Options:
    """What a caller may set for a backend: see the command line's options of the same names."""

    limits: RunLimits = field(default_factory=RunLimits)
    start_method: str | None = None
    allow_call: bool = False


@dataclass(slots=True)
class FreeRun:
    """What one free run left behind.

    ``logs``: the records of each worker, by its number. ``cells``: the versions of each
    variable. ``order``: the (worker, number in its log) of every event where the backend knows the
    whole order already (tasks), else None. ``failures``: (worker, events it had recorded,
    failure). ``blocked``: the op each live worker waits for, at the end. ``crashed``: (worker,
    how). ``limit``: the bound that ended the run. ``start``: ns stamp of its start. ``waits``: for
    each worker, the ns between asking and getting by number in its log, where it had to wait.
    ``recorded``: False when nothing but ``failures`` and the final versions was kept.
    """

    logs: Sequence[Sequence[Record]]
    cells: list[list[Entry]]
    start: int
    order: list[tuple[int, int]] | None = None
    failures: list[tuple[int, int, StepFailure]] = field(default_factory=list)
    blocked: dict[int, Op] = field(default_factory=dict)
    crashed: list[tuple[int, str]] = field(default_factory=list)
    limit: str | None = None
    recorded: bool = True
    waits: list[dict[int, int]] = field(default_factory=list)


class Backend(ABC):
    """One backend, set up for one program. Use as a context manager: ``close`` ends its workers."""

    rules: Rules

    def __init__(self, program: Program, options: Options) -> None:
        self.program = program
        self.layout: Layout = program.layout
        self.options = options

    @abstractmethod
    def controlled(self, controller: Controller, done: Callable[[Controller], bool]) -> None:
        """Run schedules until ``controller.begin()`` is False or ``done(controller)`` is True.

        ``done`` is called after each schedule, in the caller's thread. Raises ModelMismatch
        where a real object and its model disagree.
        """

    @abstractmethod
    def free(self, record: bool = True) -> FreeRun:
        """Let the workers run as they like, once."""

    def close(self) -> None:  # noqa: B027 - there may be nothing to end
        """End every worker that is left. Safe to call twice."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def agree(real: Value, model: Value) -> bool:
    """Whether a real result is the one that the model gave."""
    if real.__class__ is Raised or model.__class__ is Raised:
        return bool(real == model)
    if real is EMPTY or model is EMPTY:
        return real is model
    return same(real, model)


def mismatch(layout: Layout, worker: int, op: Op, model: Value, real: Value) -> ModelMismatch:
    """The error for a real object that did not do as its model said."""
    target = layout.names[op.target] if 0 <= op.target < len(layout.names) else ""
    return ModelMismatch(
        f"{layout.workers[worker].name} at {op.at}: {NAMES[op.kind]} {target}: "
        f"the model says {model!r}, the real object did {real!r}"
    )


def stuck(layout: Layout, worker: int, stack: str = "") -> str:
    """The limit of a run in which ``worker`` neither waits nor gets on."""
    where = f":\n{stack}" if stack else ""
    return f"{layout.workers[worker].name} is stuck outside tracelock's control{where}"
