"""A controller whose objects and workers come into being while it runs: for real Python code.

A scenario declares everything beforehand. Python code makes locks, threads and objects as it goes,
so that here the layout grows. What a name stands for never changes: the same name has the same
number in every schedule, whether or not it comes up in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tracelock.engine.controller import Controller
from tracelock.errors import LimitReached, StepFailure
from tracelock.objects import Model, make_model
from tracelock.ops import CHECKPOINT, Layout, ObjectSpec, Op, Value, WorkerSpec

#: Type of the specification of a shared variable, which has no model.
VARIABLE = "variable"


class OpenLayout(Layout):
    """A layout that grows. Variables and objects share one numbering, in the order of their coming.

    ``objects`` has an entry for each, of type ``VARIABLE`` for a variable; ``initial`` is empty.
    ``workers`` has a fixed length, ``capacity``: schedulers keep lists by worker. Places that
    nobody has taken yet have no name.
    """

    names: list[str]  # type: ignore[assignment]
    objects: list[ObjectSpec]  # type: ignore[assignment]
    workers: list[WorkerSpec]  # type: ignore[assignment]

    def __init__(self, workers: Sequence[str], capacity: int) -> None:
        super().__init__((), (), (), (), {})
        put = object.__setattr__
        put(self, "names", [])
        put(self, "objects", [])
        specs = [WorkerSpec(name, name, 0, 1) for name in workers]
        free = [WorkerSpec("", "", 0, 1, manual=True) for _ in range(capacity - len(specs))]
        put(self, "workers", specs + free)
        self._numbers: dict[str, int] = {}
        self._places = {spec.name: number for number, spec in enumerate(specs)}

    def add(self, spec: ObjectSpec) -> int:
        """The number of the thing called ``spec.name``, which is new or known."""
        number = self._numbers.get(spec.name)
        if number is None:
            number = self._numbers[spec.name] = len(self.names)
            self.names.append(spec.name)
            self.objects.append(spec)
        elif self.objects[number] != spec:
            self.objects[number] = spec
        return number

    def number_of(self, name: str) -> int | None:
        """The number of a thing, None for one that is not known."""
        return self._numbers.get(name)

    def worker(self, name: str, group: str = "") -> int:
        """The number of the worker of this name, which is new or known. Raises LimitReached."""
        number = self._places.get(name)
        if number is None:
            number = len(self._places)
            if number >= len(self.workers):
                raise LimitReached(f"more than {len(self.workers)} threads and tasks were started")
            self._places[name] = number
            self.workers[number] = WorkerSpec(name, group or name, 0, 1, manual=True)
        return number

    def known(self) -> list[str]:
        """The names of all workers that there have been, by number."""
        return list(self._places)


class OpenController(Controller):
    """A controller on an :class:`OpenLayout`.

    ``essential``: the workers that a schedule waits for. When they have ended so has the schedule,
    as a process ends whatever its daemon threads do; ``cut_daemons`` says that some of those could
    have gone on, so that not every order was looked at.
    """

    layout: OpenLayout

    def _fresh(self) -> None:
        self.sync()
        super()._fresh()
        self.values: list[Value] = [None] * len(self.layout.names)
        self.essential: set[int] = set()
        self.cut_daemons = False
        #: The ready task that a loop is inside of shuts out the others of its loop: worker -> loop.
        self.loops: dict[int, int] = {}
        self.inside: dict[int, int] = {}

    def sync(self) -> None:
        """Make models for what the layout has got since the last time."""
        models, objects = self.models, self.layout.objects
        for number, model in enumerate(models):
            if model is not None and model.__dict__.get("spec") is not objects[number]:
                fresh = self._model(number)
                self._objects[self._objects.index(model)] = fresh
                models[number] = fresh
        while len(models) < len(objects):
            spec = objects[len(models)]
            model = None if spec.type == VARIABLE else self._model(len(models))
            models.append(model)
            if model is not None:
                self._objects.append(model)
            if hasattr(self, "values"):
                self.values.append(None)

    def _model(self, number: int) -> Model:
        return make_model(self.rules, self.layout.objects[number], self.models)

    def next(self) -> int:
        if not self.essential:
            self.cut_daemons = bool(self.active)
            self.active.clear()
            return -1
        return super().next()

    def _end(self, worker: int) -> None:
        super()._end(worker)
        self.essential.discard(worker)

    def _options(self) -> list[int]:
        options = super()._options()
        if self.inside:
            loops, inside = self.loops, self.inside
            options = [
                worker
                for worker in options
                if (loop := loops.get(worker)) is None or inside.get(loop, worker) == worker
            ]
        return options

    def error(self, worker: int, error: BaseException, at: str, message: str) -> None:
        """``worker`` has ended with an exception that nobody expected."""
        failure = "assert" if isinstance(error, AssertionError) else "error"
        self.fail(worker, StepFailure(failure, message, at))


def pass_through(at: str) -> Op:
    """The op of a worker that only lets others come in."""
    return Op(CHECKPOINT, -1, at)


__all__ = ["VARIABLE", "OpenController", "OpenLayout", "pass_through"]
_ = Any
