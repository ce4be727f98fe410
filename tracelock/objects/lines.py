"""What the objects of ``asyncio`` have in common: a line of tasks, first come, first served."""

from __future__ import annotations

from typing import Final

from tracelock.objects.base import Model
from tracelock.ops import Op, Value

#: The states of a waiting task's future: it waits; it has its result, and has not run yet; it is
#: cancelled, and has not run yet.
PENDING: Final = 0
WOKEN: Final = 1
STRUCK: Final = 2


def tries(op: Op) -> bool:
    """Whether ``op`` does not wait: a try, or a wait that may take no time."""
    return not op.blocking or (op.timeout is not None and op.timeout <= 0)


class WaiterLine:
    """Tasks that wait, first in line first, each with the state of its future."""

    __slots__ = ("states",)

    def __init__(self) -> None:
        self.states: dict[int, int] = {}

    def join(self, worker: int) -> None:
        """Go to the end of the line."""
        self.states[worker] = PENDING

    def leave(self, worker: int) -> int:
        """Out of the line, wherever in it; returns the state."""
        return self.states.pop(worker)

    def strike(self, worker: int) -> None:
        """The future is cancelled, unless it has its result already."""
        if self.states.get(worker) == PENDING:
            self.states[worker] = STRUCK

    def ready(self, worker: int) -> bool:
        """Whether the task has been woken."""
        return self.states.get(worker) == WOKEN

    def wake(self, count: int) -> list[int]:
        """Give the first ``count`` pending futures their results; returns whose they were."""
        woken = [worker for worker, state in self.states.items() if state == PENDING][:count]
        for worker in woken:
            self.states[worker] = WOKEN
        return woken

    def freeze(self) -> tuple[tuple[int, int], ...]:
        """The line as a value that ``thaw`` takes back."""
        return tuple(self.states.items())

    def thaw(self, state: tuple[tuple[int, int], ...]) -> None:
        """Back to what ``freeze`` gave."""
        self.states = dict(state)


class TaskModel(Model):
    """An object of asyncio's tasks: an op can always begin, a try never parks."""

    __slots__ = ()

    def may_expire(self, op: Op, worker: int, parked: bool) -> bool:
        # the timer of an op runs from when its task comes to it, and that never suspends
        # before it parks; once parked, running out of time beats having been woken
        return parked


class LineModel(TaskModel):
    """One with a single line."""

    __slots__ = ("line",)

    def __init__(self) -> None:
        self.line = WaiterLine()
        super().__init__()

    def finish(self, op: Op, worker: int) -> Value:
        self.line.leave(worker)
        return True

    def interrupt(self, op: Op, worker: int, parked: bool) -> Value:
        self.line.leave(worker)
        return None

    def ready(self, op: Op, worker: int) -> bool:
        return self.line.ready(worker)

    def strike(self, op: Op, worker: int) -> bool:
        self.line.strike(worker)
        return True

    def waiters(self) -> tuple[int, ...]:
        return tuple(self.line.states)
