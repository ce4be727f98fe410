"""Replay of a trace of real code, also where that code has changed a little since.

Events are matched by worker, op, target and place. Where the sources are the recorded ones anything
else is a divergence at once. Where a file has changed, places have moved: there events are matched
by function and access, new accesses are passed over and missing ones skipped, as long as their
worker comes to a later event of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tracelock.engine.controller import Controller
from tracelock.engine.open import OpenController
from tracelock.engine.open_layout import OpenLayout
from tracelock.engine.recording import result_of
from tracelock.engine.replaying import Replay
from tracelock.errors import Divergence
from tracelock.instrument.files.access import FILE
from tracelock.instrument.outside.calls import recorded_in
from tracelock.instrument.worker import COLLECT
from tracelock.objects import Rules
from tracelock.ops import (
    ACQUIRE,
    CALL,
    CANCELLED,
    CHECKPOINT,
    CHOOSE,
    NAMES,
    READ,
    RELEASE,
    WRITE,
    Op,
    Value,
)
from tracelock.schedulers.base import INJECT, WORKER, Choice
from tracelock.trace import Event, Verdict, frozen
from tracelock.trace.crashes import CRASH, DISK
from tracelock.trace.network import FAULT

#: New steps of one worker in a row that are passed over before the replay gives up.
NEW: Final = 500
#: Events of a worker that may be missing between two that are matched.
MISSING: Final = 50
#: What may appear or disappear as a function is edited; all other events must be matched.
_ACCESSES: Final = frozenset({NAMES[READ], NAMES[WRITE], NAMES[ACQUIRE], NAMES[RELEASE]})

_INJECTED: Final = frozenset({NAMES[CALL], NAMES[CANCELLED]})


class PythonReplay(Replay):
    """Follows the trace of real code.

    ``changed``: files that are not what they were (their labels). ``function(at)`` gives the
    function at a place now, ``places`` that of the trace. ``passed`` counts new steps, ``skipped``
    has the numbers of missing events.
    """

    def __init__(
        self,
        events: Sequence[Event],
        verdict: Verdict,
        layout: OpenLayout,
        rules: Rules,
        *,
        changed: Sequence[str] = (),
        places: Mapping[str, str] | None = None,
        function: Callable[[str], str | None] = lambda at: None,
    ) -> None:
        super().__init__(events, verdict, layout, rules)
        self.changed = frozenset(changed)
        self.places = dict(places or {})
        self.function = function
        self.passed = 0
        self.skipped: set[int] = set()
        self._row = 0

    def remarks(self) -> list[str]:
        if not self.changed:
            return []
        return [
            f"changed since the recording: {', '.join(sorted(self.changed))}; "
            f"{self.passed} new steps were passed over, {len(self.skipped)} are gone"
        ]

    def follow(self, controller: Controller) -> None:
        super().follow(controller)
        if isinstance(controller, OpenController):
            controller.replaced = self._replaced
            controller.given = recorded_in(
                self.events, [worker.name for worker in self.layout.workers]
            )
            controller.at_end = lambda: self.position >= len(self.events)

    def pick(self, choice: Choice) -> int:
        self._skip()
        if choice.kind == INJECT:
            return int(self._injected(choice))
        if choice.kind == WORKER and self.changed and self.position < len(self.events):
            event = self.events[self.position]
            if event.worker not in choice.options:
                # it cannot go on: its events up to its pending op are missing
                self.skipped.update(self._missing(event.worker, choice.pending[event.worker])[0])
                self._skip()
        return super().pick(choice)

    def _injected(self, choice: Choice) -> bool:
        """Whether the next event of that worker is one that was injected there."""
        if choice.about >= 0:
            event = self.events[self.position] if self.position < len(self.events) else None
            return (
                event is not None
                and event.worker == choice.about
                and event.op == NAMES[CANCELLED]
                and event.target == (self.layout.names[choice.way] if choice.way >= 0 else None)
                and self._same_place(event.at, choice.at)
            )
        for event in self.events[self.position :]:
            if event.worker == choice.worker and choice.way >= 0:  # a fault, or a crash
                if self.layout.names[choice.way] != DISK:
                    return event.op == NAMES[CHOOSE] and event.target == FAULT
                crashes = event.op == NAMES[CHOOSE] and event.target == CRASH
                return crashes and self._same_place(event.at, choice.at)
            if event.worker == choice.worker:
                collected = event.op != NAMES[CALL] or event.target == COLLECT
                return event.op in _INJECTED and collected and self._same_place(event.at, choice.at)
        return False

    def _option(self, event: Event, choice: Choice) -> int:
        if self.changed and (event.op != NAMES[CHOOSE] or event.worker != choice.worker):
            return 0  # of a line that is new
        return super()._option(event, choice)

    def _skip(self) -> None:
        while self.position in self.skipped:
            self.position += 1

    def _missing(
        self, worker: int, op: Op | None, kind: int | None = None
    ) -> tuple[list[int], bool]:
        """The events of ``worker`` up to that of ``op``, and whether there is one. No events where
        they are not all such as an edit may remove."""
        gone: list[int] = []
        for number in range(self.position, len(self.events)):
            event = self.events[number]
            if event.worker != worker or number in self.skipped:
                continue
            if op is not None and self._is(event, op.kind if kind is None else kind, op):
                return gone, True
            if event.op not in _ACCESSES or len(gone) >= MISSING:
                return [], False
            gone.append(number)
        return gone, False

    def _is(self, event: Event, kind: int, op: Op) -> bool:
        """Whether ``op`` is the op of ``event``, wherever its line is now."""
        if event.op != NAMES[kind]:
            return False
        target = self.layout.names[op.target] if 0 <= op.target < len(self.layout.names) else None
        if _without_line(event.target) != _without_line(target) and kind != CHECKPOINT:
            return False
        return self._same_place(event.at, op.at)

    def _same_place(self, then: str, now: str) -> bool:
        if then == now:
            return True
        if then.rpartition(":")[0] not in self.changed:
            return self._in_one_library(then, now)
        return self.places.get(then) == self.function(now)

    def _in_one_library(self, then: str, now: str) -> bool:
        """Whether both are in one function of a library, which is told without its file
        (``serve_tcp:246``): another version of the library has it at another line."""
        name = then.rpartition(":")[0]
        if not name.isidentifier() or name != now.rpartition(":")[0]:
            return False
        return then not in self.places and self.function(now) is None

    def observe(self, seq: int, worker: int, kind: int, op: Op, result: Value) -> None:
        self._skip()
        if self.changed and self.position >= len(self.events):
            self.passed += 1  # new lines after all that the trace is about
            return
        if self.changed:
            got = self._event(seq, worker, kind, op, result)
            event = self.events[self.position]
            if self._difference(event, got):
                gone, found = self._missing(worker, op, kind)
                found = found and event.worker == worker
                if not found and op.at.rpartition(":")[0] in self.changed and self._row < NEW:
                    self._row += 1
                    self.passed += 1
                    return
                if found:
                    self.skipped.update(gone)
                    self._skip()
        self._row = 0
        try:
            super().observe(seq, worker, kind, op, result)
        except Divergence as error:
            if self.changed:
                error.args = (f"{error}; changed since: {', '.join(sorted(self.changed))}",)
            raise

    def _difference(self, event: Event, got: Event) -> str:
        if event.worker != got.worker:
            return "worker"
        if event.op != got.op:
            return "op"
        if not self._same_place(event.at, got.at):
            return "place"
        then, now = event.target, got.target
        same = _without_line(then) == _without_line(now) if self.changed else then == now
        return "" if same else "target"

    def _replaced(self, kind: int, value: Value) -> None:
        """The real result of a step is known now: compare it with that in the trace."""
        if not self.position or self.changed:
            return
        event = self.events[self.position - 1]
        if (event.target or "").startswith(FILE):
            return  # process numbers and paths in a file differ from run to run
        if event.op == NAMES[READ] and frozen(event.result) != frozen(
            result_of(self.layout, kind, value)
        ):
            raise Divergence(
                event.seq, self._shown(event), f"{value!r}",
                "the same step gives another value: the program is not deterministic, or what it "
                "is run with is not what was recorded",
            )  # fmt: skip

    def _beyond(self, choice: Choice) -> int:
        if self.changed and self.verdict.kind in ("deadlock", "passed", "failed"):
            # new lines after the last event: they change nothing that the trace is about
            if choice.kind == WORKER and choice.current in choice.options:
                return choice.current
            return choice.options[0]
        return super()._beyond(choice)

    def _shown(self, event: Event) -> str:
        return f"{super()._shown(event)} at {event.at}"

    def describe(self) -> dict[str, Any]:
        return {"name": "replay"}


def _without_line(name: str | None) -> str | None:
    """A name without the line in it, if it was named after its place (``lock@bank.py:12``)."""
    return name and re.sub(r"^([^@]*@[^:]*:)[0-9]+", r"\1", name)
