"""Schedules of which no record is kept, and which of them are run again with one.

A search wants to know of nearly every schedule only that all went well, and in which state. So it
is run with its choices alone (``unrecorded``); where it ended in any other way, or in a state that
was not seen so far, it is run once more by the same choices, with all that belongs to a record.
What the search sees is that run alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from tracelock.engine.open import OpenController
from tracelock.errors import InternalError
from tracelock.schedulers.base import OPTION, Choice, Scheduler, Wrapper

if TYPE_CHECKING:
    from tracelock.instrument.loops.backend import LoopBackend

#: Whether every schedule is run again and compared.
CHECK: Final = os.environ.get("TRACELOCK_CHECK", "") not in ("", "0")
#: Schedules after which it is looked at whether so few are run again that this is worth while.
_LOOK: Final = 32
#: So many one after the other that were run again: where sockets are used, which cost more, each is
#: run again then as soon as it comes to one.
_VAIN: Final = 4


class Again(Wrapper):
    """Makes the choices of an unrecorded schedule again, then goes on as the scheduler does.

    The steps within a step of a task are no choices, and have not been made by the scheduler.
    ``lost``: a choice could not be had.
    """

    def __init__(self, inner: Scheduler, picks: Sequence[int], controller: Any) -> None:
        super().__init__(inner)
        self._picks = picks
        self._controller = controller
        self._next = 0
        self.lost = False

    def begin(self) -> bool:
        return True  # the scheduler has begun it

    def pick(self, choice: Choice) -> int:
        if self.lost or self._next == len(self._picks):
            return self.inner.pick(choice)
        gate = self._controller.gate
        if gate is not None and gate.inside >= 0 and choice.kind != OPTION:
            return choice.options[0]
        picked = self._picks[self._next]
        self._next += 1
        if picked not in choice.options:
            self.lost = True
            return self.inner.pick(choice)
        return picked

    @property
    def left(self) -> int:
        """How many of the choices were not come to."""
        return len(self._picks) - self._next


class Retelling:
    """Decides which schedules of one search are run without a record."""

    def __init__(self) -> None:
        self.off = False
        #: Whether what tasks do to sockets in memory goes without a record, too.
        self.sockets = True
        self._in_vain = 0
        self._tried = self._again = 0
        self._states: set[Any] = set()

    def tries(self) -> bool:
        """Whether the next schedule is to be run without a record."""
        if self._tried >= _LOOK and not CHECK:
            # as long as half of them have to be run twice, nothing is won
            if self._again * 2 > self._tried:
                self.off = True
            self._tried = self._again = 0
        return not self.off

    def run(self, backend: LoopBackend[Any], controller: OpenController) -> Any:
        """Run a schedule without a record, and again with one where that is needed. The tasks that
        it had without."""
        self._tried += 1
        tasks = backend.unrecorded(controller)
        state = state_of(controller)
        known = tasks.well and state in self._states
        self._in_vain = 0 if known else self._in_vain + 1
        if self._in_vain >= _VAIN:
            self.sockets = False
        if known and not CHECK:
            backend.ran += backend.counted
            return tasks
        self._again += 1
        again = self._run_again(backend, controller, tasks.picks)
        if not backend.well(controller) and backend.names.learning:
            # with the accesses that are known now, for the story
            again = self._run_again(backend, controller, tasks.picks)
        controller.unrecorded = len(tasks.picks)
        other = tasks.well
        if backend.well(controller):
            self._states.add(state_of(controller))
            backend.unlike = backend.unlike or tasks.failed
            other = tasks.failed
        self._compare(state if tasks.well else None, again, controller, other, tasks.beyond)
        return tasks

    def _run_again(
        self, backend: LoopBackend[Any], controller: OpenController, picks: Sequence[int]
    ) -> Again:
        """Run the schedule of these choices with its record."""
        outer = controller.scheduler
        while isinstance(inner := getattr(outer, "inner", None), Wrapper):
            outer = inner
        assert isinstance(outer, Wrapper)
        again = Again(outer.inner, picks, controller)
        outer.inner = again
        try:
            backend.begin_again(controller)
            backend.recorded(controller)
        finally:
            outer.inner = again.inner
        return again

    def _compare(
        self, state: Any, again: Again, controller: OpenController, other: bool, beyond: bool
    ) -> None:
        """A schedule has been run again. ``other``: one failed and the other did not; ``beyond``:
        it was given up before; ``state``: it was not, and ended well in that one. Raises
        InternalError where that is to be the same and is not (``CHECK``)."""
        other = other or again.lost or (not beyond and again.left > 0)
        if state is not None and not other:
            now = state_of(controller)  # of more, where something was found to be shared meanwhile
            other = any(one[: len(two)] != two for one, two in zip(now, state, strict=True))
        if other:
            self.off = True
            if CHECK:
                raise InternalError(
                    f"a schedule went another way with a record: {again.left} choices left, "
                    f"{state_of(controller)} in place of {state}"
                )


class StepRetelling(Retelling):
    """The same for a search that goes by what steps touch: it needs that of each schedule, or does
    without from then on."""

    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__()
        self._scheduler = scheduler

    def tries(self) -> bool:
        return not self.off and self._scheduler.by_steps

    def run(self, backend: LoopBackend[Any], controller: OpenController) -> Any:
        tasks = super().run(backend, controller)
        known = tasks.complete and backend.account.account.apart
        controller.steps = tasks.collector.steps if known else None
        self.off = self.off or not known
        return tasks


def state_of(controller: OpenController) -> Any:
    """The state in which a schedule has ended, as searches tell one from another."""
    values = [*controller.values]
    while values and values[-1] is None:
        values.pop()
    return tuple(values), tuple(map(type, values))
