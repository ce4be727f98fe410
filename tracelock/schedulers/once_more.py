"""A schedule that was run, once more with steps that it had not shown then."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tracelock.ops import ATOMIC, READ, WRITE, Op
from tracelock.schedulers.base import WORKER, Choice, OneSchedule


class OnceMore(OneSchedule):
    """Makes the choices of a schedule again, where accesses of some variables were no steps in it
    and are now.

    ``picks``: what was chosen in that schedule, in order; ``new``: the numbers of the variables. An
    access that was no step was made together with what its worker did before. So a worker that
    comes to one goes on, which is no choice of the schedule, and the order of all accesses is that
    of then. Where a choice cannot be had, and behind the last one, the same worker goes on, or the
    first that can: whoever asks for this compares how it ends.
    """

    name = "once more"

    def __init__(self, picks: Sequence[int], new: Collection[int]) -> None:
        self._wanted = picks
        self._new = frozenset(new)
        self._next = 0

    def pick(self, choice: Choice) -> int:
        options = choice.options
        if choice.kind == WORKER:
            pending = choice.pending
            first = (choice.current, *options)
            for worker in first:
                if worker in options and self._is_new(pending[worker]):
                    return worker
        if self._next < len(self._wanted):
            picked = self._wanted[self._next]
            self._next += 1
            if picked in options:
                return picked
        if choice.kind == WORKER and choice.current in options:
            return choice.current
        return options[0]

    def _is_new(self, op: Op | None) -> bool:
        """Whether nothing of an op was a step then."""
        if op is None:
            return False
        if op.kind == ATOMIC:
            return bool(op.body.touches) and self._new.issuperset(op.body.touches)
        return op.kind in (READ, WRITE) and op.target in self._new
