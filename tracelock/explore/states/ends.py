"""What a state comes to: whether it breaks what must hold always, and how a run ends in it."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from tracelock.engine.verdicts import first_failure
from tracelock.errors import StepFailure
from tracelock.explore.search import FAILED
from tracelock.explore.states.space import StateSpace
from tracelock.explore.states.stepping import ACTIVE, CRASHED
from tracelock.scenario.program import Program


@dataclass(slots=True)
class EndKind:
    """One way in which runs end: ``count`` final states, the nearest at ``place``."""

    kind: str
    failure: str | None
    count: int
    place: int


class Ends:
    """The ends that a search has met. ``every``: tell passing ones apart by their values."""

    def __init__(self, space: StateSpace, program: Program, every: bool) -> None:
        self._space = space
        self._program = program
        self._every = every
        self._known: dict[Hashable, EndKind] = {}
        self._finally: dict[tuple[int, ...], StepFailure | None] = {}
        #: The variables that decide what must hold always.
        self.watched: frozenset[int] = frozenset().union(
            *(_mentioned(program, check.text) for check in program.always)
        )

    def broken(self, state: int) -> StepFailure | None:
        """What of ``always`` does not hold in ``state``."""
        if not self._program.always:
            return None
        return first_failure(self._program.always, "always", self._values(state))

    def _values(self, state: int) -> list[Any]:
        space = self._space
        return [field.values[field.of(state)] for field in space.fields[: space.layout.variables]]

    def add(self, state: int, place: int) -> str:
        """``state``, the one at ``place``, is final. Returns the kind of its verdict."""
        space = self._space
        numbers = tuple(field.of(state) for field in space.fields[: space.layout.variables])
        kind, failure, where = self._kind(state, numbers)
        key = (kind, failure, where, numbers if self._every or kind != "passed" else ())
        end = self._known.get(key)
        if end is None:
            end = self._known[key] = EndKind(kind, failure, 0, place)
        end.count += 1
        return kind

    def _kind(self, state: int, numbers: tuple[int, ...]) -> tuple[str, str | None, Hashable]:
        """As ``engine.verdicts.judge`` decides."""
        space = self._space
        failed = space.failure.values[space.failure.of(state)]
        if failed is not None:
            if isinstance(failed, str):
                return "unfinished", None, failed
            return "failed", failed[1].failure, failed[1].at
        workers = [field.values[field.of(state)] for field in space.workers]
        if any(worker.status == CRASHED for worker in workers):
            return "crashed", None, None
        blocked = [(n, worker.op.at) for n, worker in enumerate(workers) if worker.status == ACTIVE]
        if blocked:
            return "deadlock", None, tuple(blocked)
        if numbers not in self._finally:
            self._finally[numbers] = first_failure(
                self._program.finally_, "finally", self._values(state)
            )
        wrong = self._finally[numbers]
        return ("passed", None, None) if wrong is None else ("failed", "finally", wrong.at)

    def all(self) -> list[EndKind]:
        """Every end, the nearest first."""
        return sorted(self._known.values(), key=lambda end: end.place)

    def failures(self) -> int:
        """How many of them are failures."""
        return sum(end.kind in FAILED for end in self._known.values())


def _mentioned(program: Program, text: str) -> frozenset[int]:
    """The variables that an expression could mention: more, if a text in it has such a word."""
    found: set[int] = set()
    for word in re.findall(r"\w+", text):
        first, length = program.layout.arrays.get(word, (0, 0))
        found.update(range(first, first + (1 if length is None else length)))
    return frozenset(number for number in found if number < program.layout.variables)
