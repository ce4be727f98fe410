"""What every backend offers: how to wait, and how to do an operation on the real object."""

from __future__ import annotations

import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tracelock.engine.controller import Controller
from tracelock.engine.limits import RunLimits
from tracelock.engine.linearise.history import FreeRun
from tracelock.errors import ModelMismatch
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


class FreeRecord(Protocol):
    """A free run under way, to be looked at in a copy of its process.

    ``in_files``: what is recorded is in files that the process has open.
    """

    in_files: bool

    def recorded(self) -> int:
        """How many events have been recorded, as far as is known here."""

    def so_far(self) -> FreeRun:
        """What has been recorded. Only for a process that has no part in the run any more."""


#: What is told of a free run when it has begun.
Begun = Callable[[FreeRecord], None]


def nobody(record: FreeRecord) -> None:
    """Nobody looks at a run that goes on."""


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
    def free(self, record: bool = True, begun: Begun = nobody) -> FreeRun:
        """Let the workers run as they like, once. ``begun`` is told of it as soon as it goes on."""

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


def stuck(layout: Layout, worker: int) -> str:
    """The limit of a run in which ``worker`` neither waits nor gets on."""
    return f"{layout.workers[worker].name} is stuck outside tracelock's control"


def stuck_thread(layout: Layout, worker: int, thread: int | None) -> str:
    """The same, with the innermost frames of its thread; those of tracelock left out."""
    frame = sys._current_frames().get(thread) if thread is not None else None
    if frame is None:
        return f"{stuck(layout, worker)}:\n  (its stack is not to be had)"
    lines = traceback.extract_stack(frame)
    own = [line for line in lines if "tracelock" not in line.filename.replace("\\", "/").split("/")]
    stack = [f"  {line.filename}:{line.lineno} in {line.name}" for line in (own or lines)[-5:]]
    return "\n".join([f"{stuck(layout, worker)}:", *stack])
