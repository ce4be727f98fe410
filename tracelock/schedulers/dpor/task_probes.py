"""Probes of the orders in which the tasks of one loop go on, by what their steps have touched."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tracelock.schedulers.base import WORKER, Choice, Run
from tracelock.schedulers.dpor.probes import Move, Probes, TriedPart
from tracelock.schedulers.dpor.task_steps import TaskHistory
from tracelock.schedulers.dpor.tasks import StepScheduler

#: The walks, as ``probes.STAYS``: tasks make few steps each, and schedules in which one goes on for
#: long are drawn often enough.
STAYS_OF_TASKS: Final = (0.0, 0.3)


class StepProbes(Probes):
    """Probes of the tree of a ``StepScheduler``."""

    by_steps = True

    def __init__(self, searched: StepScheduler, seed: int) -> None:
        super().__init__(seed, STAYS_OF_TASKS)
        self.known = searched.executions > 0
        chosen, asleep = searched.tried()
        self._tried = TriedPart(
            _moves(chosen), [_moves(workers) for workers in asleep], whole=False
        )
        self._run: Run

    def attach(self, run: Run) -> None:
        self._run = run

    def begin(self) -> bool:
        self.walk.begin()
        return not self.spoilt

    def pick(self, choice: Choice) -> int:
        if self._run.steps is None and not choice.seq:
            self.spoilt = "it is not known what the steps of tasks touch"
        if choice.kind is not WORKER:
            self.spoilt = "schedules have other choices than whose turn it is"
            return choice.options[0]
        return self.walk.worker(choice.options)

    def end(self, steps: int) -> None:
        made = self._run.steps
        if made is None:
            self.spoilt = "it is not known what the steps of tasks touch"
        if self.spoilt or made is None or self.cut_off(self._run.limit):
            return
        history = TaskHistory()
        for step in made:
            history.add(step)
        self.count(_moves([step.worker for step in made]), history.before, self._tried)


def _moves(workers: Iterable[int]) -> list[Move]:
    return [(worker, ()) for worker in workers]
