"""Partial-order reduction for the tasks of one loop, by what their steps have touched.

To the search of real code as a whole (``scheduler``) everything that the tasks of one loop do
depends on everything else there. Where it is known what each of their steps has touched
(``Run.steps``), steps that touch nothing in common commute: three tasks that share nothing are one
execution. This is *Source-DPOR* with sleep sets, of Abdulla, Aronis, Jonsson and Sagonas, "Source
Sets: A Foundation for Optimal Dynamic Partial Order Reduction" (JACM 64(4), 2017), algorithm 1. It
may begin executions that turn out to repeat others, which are cut; which it has to, as what a step
will touch in another place is not known before it is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tracelock.schedulers.base import WORKER, Choice, Run, Scheduler, Wrapper
from tracelock.schedulers.dpor.scheduler import DporScheduler
from tracelock.schedulers.dpor.task_steps import TaskHistory, TaskStep, commute
from tracelock.schedulers.dpor.wakeup import share_done


@dataclass(slots=True, eq=False)
class TaskPoint:
    """A point of the execution. ``asleep``: by worker, steps that need not be made from here.
    ``wanted``: workers whose steps are to be tried, of which ``tried`` have been."""

    enabled: Sequence[int]
    asleep: dict[int, TaskStep]
    chosen: int
    wanted: set[int]
    tried: dict[int, TaskStep] = field(default_factory=dict)


class StepScheduler(Scheduler):
    """Explores the executions of the tasks of one loop that differ in more than the order of steps
    that commute. ``unknown``: what the steps of an execution have touched was not known."""

    name = "dpor"
    systematic = True
    by_steps = True

    def __init__(self) -> None:
        self.unknown = False
        self._points: list[TaskPoint] = []
        self._begun = False
        self._depth = 0  # how many choices this execution has made
        self._fixed = 0  # how many of them are as they were in the one before
        self._blocked = -1  # the depth from which this execution repeats others
        self._history = TaskHistory()
        self._run: Run

    def attach(self, run: Run) -> None:
        self._run = run

    def begin(self) -> bool:
        if self._begun and not self._next():
            self.finished = True
        self._begun = True
        self.cut = False
        self._depth, self._blocked = 0, -1
        return not self.finished

    def pick(self, choice: Choice) -> int:
        steps, options = self._run.steps, choice.options
        depth = self._depth
        if choice.kind is not WORKER:
            self.unknown = True
        if steps is None or self.unknown or self._blocked >= 0:
            # what comes after the choices of this schedule as it is recorded, or does not count
            return _next(options, choice.current)
        self._depth += 1
        points = self._points
        if depth < len(points):
            return points[depth].chosen
        asleep: dict[int, TaskStep] = {}
        if points:
            last, made = points[-1], steps[depth - 1]
            for known in (last.asleep, last.tried):
                for worker, step in known.items():
                    if worker != last.chosen and commute(step, made):
                        asleep[worker] = step
        awake = [worker for worker in options if worker not in asleep]
        if not awake:
            self._blocked = depth
            return options[0]
        chosen = _next(awake, choice.current)
        points.append(TaskPoint(tuple(options), asleep, chosen, {chosen}))
        return chosen

    def end(self, steps: int) -> None:
        made = self._run.steps
        if made is None:
            self.unknown = True
        elif self._blocked < 0 and not 0 <= len(made) - self._depth <= 1:
            self.unknown = True  # these are not the steps that were chosen
        if self.unknown:
            return
        assert made is not None
        if self._blocked >= 0:
            self.cut = True
            self.redundant += 1
        else:
            self.executions += 1
        points = self._points
        history = self._history
        history.cut(self._fixed)  # up to there it is what it was
        # what comes after the last choice would have come if the schedule had not ended
        upto = len(made) if self._blocked < 0 else min(len(made), len(points))
        for number in range(len(history.before), upto):
            for e in history.add(made[number]):
                if number >= self._fixed:
                    self._reverse(points[e], history.initials(made, e, number))
        for point, step in zip(points[self._fixed :], made[self._fixed :], strict=False):
            point.tried[point.chosen] = step

    @staticmethod
    def _reverse(point: TaskPoint, initials: Iterable[int]) -> None:
        """One of these has to be tried at ``point``."""
        if any(worker in point.wanted or worker in point.asleep for worker in initials):
            return
        able = [worker for worker in initials if worker in point.enabled]
        point.wanted.update(able[:1] or point.enabled)

    def _next(self) -> bool:
        """Go back to the last point where something is left to try, and plan that."""
        points = self._points
        while points:
            point = points[-1]
            for worker in point.enabled:
                wanted = worker in point.wanted and worker not in point.tried
                if wanted and worker not in point.asleep:
                    point.chosen = worker
                    self._fixed = len(points) - 1
                    return True
            points.pop()
        return False

    def tried(self) -> tuple[list[int], list[set[int]]]:
        """Who was chosen at each point of the last execution, and whose steps need not be made
        there any more. Not while an execution runs."""
        points = self._points
        asleep = [{*one.asleep, *one.tried} - {one.chosen} for one in points]
        return [one.chosen for one in points], asleep

    def estimate(self) -> float:
        """As ``DporScheduler.estimate`` has it."""
        points = [(max(0, len(one.tried) - 1), max(1, len(one.wanted))) for one in self._points]
        return 1.0 if self.finished else share_done(points)


def _next(workers: Sequence[int], current: int) -> int:
    """The one that comes after ``current`` in turn: who spins lets all others on."""
    return next((worker for worker in workers if worker > current), workers[0])


class DporOfTasks(Wrapper):
    """``StepScheduler`` while it is known what steps have touched, else ``DporScheduler``, which
    begins from the start, with ``watched``."""

    def __init__(self, watched: Iterable[Iterable[int]] = ()) -> None:
        self._steps = StepScheduler()
        # there from the start: a forked process can go over to it, and its parent then has it too
        self._whole = DporScheduler(watched)
        self._run: Run
        super().__init__(self._steps)

    def attach(self, run: Run) -> None:
        self._run = run
        self._steps.attach(run)
        self._whole.attach(run)

    def begin(self) -> bool:
        if self._steps.unknown:
            self.inner = self._whole
        return self.inner.begin()

    def pick(self, choice: Choice) -> int:
        if self._run.steps is None and not choice.seq and self.inner is self._steps:
            # a schedule that is recorded from its first step
            self._steps.unknown = True
            self.begin()
        return self.inner.pick(choice)
