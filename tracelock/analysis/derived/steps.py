"""A trace in the form that the analyses read: columns of numbers, and what each object is.

What an object is (a lock, a semaphore of two) stands in the scenario inside the trace; where there
is none, as in a trace of instrumented code, it is inferred from its use.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from functools import cached_property
from typing import Final

from tracelock.analysis.derived.columns import Columns, failed
from tracelock.analysis.derived.objects import objects_of
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CANCELLED,
    CHECKPOINT,
    COMPARE_EXCHANGE,
    EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    ON_VARIABLE,
    PUT,
    REQUEST,
    SLEEP,
    TIMEOUT,
    WAIT,
    WAKE,
    WRITE,
)
from tracelock.trace import MISSING, Trace

__all__ = ["INDIVISIBLE", "Steps", "failed"]

#: Kinds that read and change a variable in one indivisible step.
INDIVISIBLE: Final = frozenset({COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD, ATOMIC})
COOPERATIVE: Final = frozenset({"asyncio", "trio"})
#: A task that comes to one of these lets others run before it, in any case or when it must.
_SUSPENDS: Final = frozenset({CHECKPOINT, SLEEP, JOIN, WAKE, TIMEOUT, CANCELLED})


class Steps(Columns):
    """The columns of one trace, and its ``objects`` by name.

    ``cooperative``: the workers are tasks, which switch only where they suspend.
    """

    def __init__(self, trace: Trace) -> None:
        super().__init__(trace)
        events = trace.events
        controlled = events.choices is not None
        self.cooperative = trace.backend in COOPERATIVE or (
            controlled and 0 in (events.choices or ())
        )
        self.objects = objects_of(self)

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: worker for worker, name in enumerate(self.names)}

    def number(self, name: str | None) -> int | None:
        """The worker of a name; None where it is none's."""
        return self._numbers.get(name or "")

    def name(self, seq: int) -> str:
        """The name of the worker of an event."""
        return self.names[self.workers[seq]]

    def at(self, seq: int) -> str:
        """The step of an event: a path in the scenario, or ``file:line``."""
        return self.events.table[self.shapes[seq]].at

    def timed(self, seq: int) -> bool:
        """Whether the step would not have waited for ever: a try, or a wait with a timeout."""
        timeout = self.events.table[self.shapes[seq]].timeout
        return timeout is not MISSING and timeout is not None

    def lock_of(self, target: str) -> str:
        """The name of the lock that is meant: that of the condition ``target``, or itself."""
        info = self.objects.get(target)
        return target if info is None or info.type != "condition" else info.lock

    def type_of(self, target: str) -> str:
        """The kind of an object; "" where the trace tells nothing of it."""
        info = self.objects.get(target)
        return "" if info is None else info.type

    def before(self, seq: int) -> int:
        """The event of the same worker before this one; -1 where it is the first."""
        number = self.locals[seq]  # from 1
        return self.by_worker[self.workers[seq]][number - 2] if number > 1 else -1

    def last(self, worker: int) -> int:
        """The last event of a worker; -1 where it has none."""
        own = self.by_worker[worker]
        return own[-1] if own else -1

    def written(self, seq: int) -> tuple[str, ...]:
        """The variables that an event changed."""
        kind, target = self.kinds[seq], self.targets[seq]
        if kind in (WRITE, EXCHANGE) or (kind == FETCH_ADD and not failed(self.results[seq])):
            return (target,) if target is not None else ()
        if kind == COMPARE_EXCHANGE and self.results[seq] is True:
            return (target,) if target is not None else ()
        if kind == ATOMIC:
            value = self.events.values[seq]
            return tuple(value) if isinstance(value, dict) else ()
        return ()

    def read(self, seq: int) -> tuple[str, ...]:
        """The variables that an event looked at."""
        kind, target = self.kinds[seq], self.targets[seq]
        if kind == ATOMIC:
            result = self.results[seq]
            return tuple(result) if isinstance(result, dict) else ()
        return (target,) if kind in ON_VARIABLE and kind != WRITE and target is not None else ()

    @cached_property
    def atomics(self) -> frozenset[str]:
        """Variables that some event changed indivisibly: they are there to synchronise."""
        found: set[str] = set()
        for seq, kind in enumerate(self.kinds):
            if kind in INDIVISIBLE:
                found.update(self.read(seq))
                found.update(self.written(seq))
        return frozenset(found)

    def together(self, first: int, last: int) -> bool:
        """Whether nobody could come between these two events of one worker.

        Only tasks have that, from one suspension to the next.
        """
        if not self.cooperative:
            return False
        return self._segments[first] == self._segments[last]

    @cached_property
    def _segments(self) -> array[int]:
        """For each event which part of its worker, between two suspensions, it belongs to."""
        segments = array("I", bytes(4 * len(self)))
        choices = self.events.choices
        python = "python" in self.trace.scenario
        trio = self.trace.backend == "trio"
        for seqs in self.by_worker:
            number = 0
            # threads beside the loop have no such step
            task = any(self.kinds[seq] == CHECKPOINT for seq in seqs)
            left = False  # the event before was the last of its segment
            for seq in seqs:
                kind = self.kinds[seq]
                if choices is not None and python:  # every event has a choice there
                    number += kind in _SUSPENDS or not task
                elif choices is not None:
                    number += choices[seq] != 0
                else:
                    number += left or kind in _SUSPENDS or (trio and kind in (PUT, GET))
                    parked = kind == REQUEST or (kind == WAIT and self.results[seq] is MISSING)
                    left = parked or (trio and kind in (ACQUIRE, WAKE))
                segments[seq] = number
        return segments

    @cached_property
    def by_object(self) -> dict[str, list[int]]:
        """The events of each object in their order; those of a condition count for its lock too."""
        found: dict[str, list[int]] = defaultdict(list)
        for seq, kind in enumerate(self.kinds):
            target = self.targets[seq]
            if ACQUIRE <= kind <= GET and target is not None:
                found[target].append(seq)
                lock = self.lock_of(target)
                if lock != target:
                    found[lock].append(seq)
        return found
