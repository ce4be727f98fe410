"""What is left of a search of tasks by their steps: stopped, kept as plain data, gone on with.

``StepScheduler`` walks over its tree depth first, so that all it has left to do hangs on the last
execution: who was chosen at each of its points, who has been tried there and what those steps have
touched, who sleeps, and whose steps are wanted. That is a ``StepPart``. Keys of what was touched
mean the same in all executions that agree up to there, in another process too, which goes the same
way again: where its steps touch anything else the program depends on more than its schedule.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.errors import InternalError
from tracelock.schedulers.base import INTERRUPTED, Choice
from tracelock.schedulers.dpor.task_steps import TaskStep
from tracelock.schedulers.dpor.tasks import StepScheduler, TaskPoint
from tracelock.schedulers.dpor.wakeup import Step

#: What a key may be made of besides tuples of such.
_PLAIN: Final = (str, int, type(None))


@dataclass(slots=True)
class StepPart:
    """What is left to explore. Plain data: it can be pickled and written as JSON.

    ``steps``: each once; ``points``: of the last execution, in order, with the numbers of their
    steps. With no points everything is still to be explored.
    """

    steps: list[Any] = field(default_factory=list)
    points: list[Any] = field(default_factory=list)

    def to_data(self) -> dict[str, Any]:
        """For JSON."""
        return {"steps": self.steps, "points": self.points}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> StepPart:
        """What ``to_data`` gave, from JSON."""
        part = cls(list(data["steps"]), list(data["points"]))
        part.made()  # or it is not what was written
        return part

    @classmethod
    def of(cls, points: Sequence[TaskPoint]) -> StepPart:
        """What these points stand for."""
        part = cls()
        numbers: dict[int, int] = {}

        def listed(steps: Mapping[int, TaskStep]) -> list[list[int]]:
            found = []
            for worker, step in steps.items():
                number = numbers.get(id(step))
                if number is None:
                    number = numbers[id(step)] = len(part.steps)
                    part.steps.append(_as_data(step))
                found.append([worker, number])
            return found

        for one in points:
            part.points.append([
                list(one.enabled), listed(one.asleep), one.chosen, sorted(one.wanted),
                listed(one.tried),
            ])  # fmt: skip
        return part

    def made(self) -> list[TaskPoint]:
        """The points again."""
        steps = [_as_step(data) for data in self.steps]
        return [
            TaskPoint(
                tuple(map(int, enabled)), {worker: steps[number] for worker, number in asleep},
                int(chosen), set(map(int, wanted)),
                {worker: steps[number] for worker, number in tried},
            )
            for enabled, asleep, chosen, wanted, tried in self.points
        ]  # fmt: skip


def _as_data(step: TaskStep) -> list[Any]:
    tables = (step.touched, step.met, step.kinds)
    written = [[[_key_as_data(key), write] for key, write in table.items()] for table in tables]
    return [step.worker, step.posted, step.behind, step.last, *written]


def _as_step(data: Sequence[Any]) -> TaskStep:
    worker, posted, behind, last, *tables = data
    touched, met, kinds = ({_key(key): bool(write) for key, write in each} for each in tables)
    return TaskStep(int(worker), int(posted), int(behind), bool(last), touched, met, kinds)


def _key_as_data(key: Hashable) -> Any:
    if isinstance(key, tuple):
        return [_key_as_data(part) for part in key]
    if not isinstance(key, _PLAIN):
        raise InternalError(f"a step has touched what cannot be written down: {key!r}")
    return key


def _key(data: Any) -> Hashable:
    return tuple(map(_key, data)) if isinstance(data, (list, tuple)) else data


class StepPartScheduler(StepScheduler):
    """Explores a part. ``rest`` says what is left of it after any number of executions.

    It ends where it turns out to be ``unknown`` what steps have touched: then it is nothing that
    could be left. ``strayed``: the way to the part could not be gone again as it was.
    """

    #: As of ``SubtreeScheduler``: nothing of a part is up to others.
    outside: Sequence[tuple[int, tuple[Step, ...]]] = ()

    def __init__(self, part: StepPart) -> None:
        super().__init__()
        self._part = part
        self._points = part.made()
        self._begun = bool(self._points)
        self._ran = False  # an execution was made
        self._cut_short = False
        self.strayed = False

    @property
    def by_steps(self) -> bool:  # type: ignore[override]
        return not self.unknown

    def begin(self) -> bool:
        return not (self.unknown or self.strayed) and super().begin()

    def pick(self, choice: Choice) -> int:
        picked = super().pick(choice)
        if picked not in choice.options and not self._ran:
            self.strayed = True
        return picked

    def end(self, steps: int) -> None:
        self._cut_short = self._run.limit == INTERRUPTED
        if self._cut_short:
            return
        if not self._ran and not self._goes_as_before():
            self.strayed = True
        self._ran = True
        if not self.strayed:
            super().end(steps)

    def _goes_as_before(self) -> bool:
        """Whether the first execution has touched, on the way to what is left, what it had."""
        made = self._run.steps
        if made is None:
            return True  # it is not known
        points = self._points[: self._fixed]
        return len(made) >= len(points) and all(
            _same(point.tried.get(point.chosen), step)
            for point, step in zip(points, made, strict=False)
        )

    def rest(self) -> StepPart | None:
        """What is left to explore, None where nothing is. Not while an execution runs, and not
        after one that was cut short."""
        if not self._ran or self._cut_short:
            return self._part
        if self.finished or self.unknown or not self._next():
            return None
        return StepPart.of(self._points)

    def head(self) -> tuple[list[Step], list[list[Step]]]:
        """As of ``SubtreeScheduler``: there is no way to tell others."""
        return [], []


def _same(one: TaskStep | None, other: TaskStep) -> bool:
    return one is not None and one.worker == other.worker and one.touched == other.touched
