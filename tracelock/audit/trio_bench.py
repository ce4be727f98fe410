"""The same with tasks of trio: a call that is cancelled does not return."""

from __future__ import annotations

from typing import Any

import trio

from tracelock.audit.clocks import CallClocks
from tracelock.audit.results import CANCELLED
from tracelock.audit.task_bench import TaskBench


class TrioBench(TaskBench):
    """Of tasks of trio, of which the first one may be cancelled by the scope around it."""

    backend = "trio"

    async def _made_call(self, place: int, number: int, it: Any) -> Any:
        try:
            return await self._attempt(self._client.calls[number], it)
        except BaseException as error:
            run = self.run
            first = run.cancelled is None and run.ignored is None
            if first and _cancelled(error) and not self._wound_up() and self._struck(place):
                run.cancelled, run.results[number] = number, CANCELLED
                run.events.append((False, number))
            raise

    def _was_late(self) -> bool:
        # trio wakes a task once: who is cancelled after that finds out where it next waits
        return bool(self.host.backend.hub.injections.struck[0].ready)

    def _may_have_expired(self, clocks: CallClocks) -> bool:
        # a sleep of trio is a deadline like any other, and its clock is read for each of them
        return self.run.timed

    def _gate(self) -> Any:
        return trio.Event()

    async def _pass(self, gate: Any) -> None:
        await gate.wait()

    def _open_gate(self, gate: Any) -> None:
        gate.set()


def _cancelled(error: BaseException) -> bool:
    """Whether an exception is that something was cancelled, or a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(_cancelled, error.exceptions))
    return isinstance(error, trio.Cancelled)
