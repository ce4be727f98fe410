"""What each step of a task touches, of schedules of which no record is kept.

A step touches the variables that its code reads and writes, as hooks see them, and of the loop:

- ``pc`` of a task, which is where it stands: its own steps write it, and so do a cancellation and
  whoever wakes it;
- ``done`` of a task: its last step writes it, whoever asks or awaits reads it;
- a future, a lock or any other object of asyncio: see ``rows``;
- ``line``: whoever posts a callback or starts a task writes it (these come first come, first
  served), whoever wakes a task reads it (that may go on at any time, but not before a callback that
  stood in the line then);
- a moment: of two timers for the same one, the callbacks come in the order of their making. Those
  that only wake a task write nothing that this could be seen by.

What is not known by this is *beyond* it, and the search goes on without (``UnrecordedTasks``).
"""

from __future__ import annotations

from _weakref import ref
from collections.abc import Callable, Hashable
from math import inf, isfinite
from typing import Any, Final

from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Hub, Phase
from tracelock.ops import ATOMIC, READ, WRITE, Op, Value, accesses
from tracelock.schedulers.dpor.task_steps import NOBODY, Line, TaskStep

#: The line of the loop, as a key.
LINE: Final = "line"
#: The end of the schedule, which is when the last task has ended: callbacks that stand in the line
#: then do not come any more. So each callback writes this, and the last step of each task reads it.
END: Final = "end"
#: So many moments there are in a second: timers whose times are closer may be due together.
MOMENTS: Final = 1e6


def cancels_none(handle: object) -> bool:
    """No handle stands in a line."""
    return False


class Ours:
    """While this is entered (``inside``), futures and handles are made that are known."""

    __slots__ = ("inside",)

    def __init__(self) -> None:
        self.inside = 0

    def __enter__(self) -> None:
        self.inside += 1

    def __exit__(self, *exc: object) -> None:
        self.inside -= 1


class Collector:
    """What has been touched in one schedule. ``steps``: by step; ``now``: of the step that is made.

    Before the first step, and between two, that is one that nobody looks at.
    """

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.steps: list[TaskStep] = []
        self.line = Line()
        self._aside = TaskStep(NOBODY)
        self.now = self._aside
        self._met: set[int] = set()  # objects that got their names in this step
        self._new: set[str] = set()  # their variables
        self._kinds: dict[str, Hashable] = {}  # by variable
        self._labels: dict[int, tuple[object, Hashable]] = {}
        self.beyond = False
        self.ours = Ours()
        #: Whether another than the callbacks themselves cancels what stands in the line.
        self.lined: Callable[[object], bool] = cancels_none

    def begin(self, worker: int, place: int, *, lines: bool = False, last: bool = False) -> None:
        """A step begins that has this place in the line. ``lines``: it lets nobody pass."""
        line = self.line
        number = len(self.steps)
        posted = line.posted.pop(place, NOBODY)
        self.now = TaskStep(worker, posted, line.behind(place), last)
        self.steps.append(self.now)
        self._met.clear()
        self._new.clear()
        if lines:
            line.made(place, number)

    def end(self) -> None:
        """It is over."""
        self.now = self._aside

    def touch(self, key: Hashable, write: bool) -> None:
        """The step reads or writes ``key``."""
        touched = self.now.touched
        if write or key not in touched:
            touched[key] = write

    def posted(self, place: int) -> None:
        """This step takes a place in the line."""
        if self.now is not self._aside:
            self.line.posted[place] = len(self.steps) - 1

    def wakes(self, place: int, worker: int) -> None:
        """This step takes a place in the line for the next step of ``worker``, whom it wakes."""
        now = self.now
        if now is not self._aside:
            self.line.posted[place] = len(self.steps) - 1
        now.touched["pc", worker] = True
        now.touched.setdefault(LINE, False)

    # --- objects of the loop's library -------------------------------------------------------
    def made(self, obj: object) -> None:
        """An object is made: its key is by whom, and which of its kind of that worker."""
        kind = type(obj).__name__
        worker = self.hub.workers.get(self.now.worker)
        number = len(self._labels) if worker is None else worker.count((kind, "made"))
        address, labels = identity(obj), self._labels
        # it lives no longer than it would: an error that nobody receives is told as it dies
        keep = ref(obj, lambda _: labels.pop(address, None))
        labels[address] = keep, (kind, self.now.worker, number)

    def thing(self, obj: object, write: bool) -> None:
        """An object is read or written. One that was there before the schedule is beyond this: it
        may have kept methods that do not tell."""
        known = self._labels.get(identity(obj))
        if known is None:
            self.beyond = True
            return
        key, touched = known[1], self.now.touched
        if write or key not in touched:
            touched[key] = write

    def outcome(self, obj: Any, write: bool) -> None:
        """Whether a task or a future has ended is read or written."""
        worker = getattr(obj, "worker", None)
        if worker is None:
            self.thing(obj, write)
        else:
            self.now.touch(("done", worker.number), write)

    def handle(self, handle: Any, write: bool) -> None:
        """A callback or a timer is cancelled, or asked whether it is."""
        known = self._labels.get(identity(handle))
        self.thing(handle, write)
        if write and known is not None and self.lined(handle):
            self.beyond = True  # who stands behind it need no longer wait

    # --- variables ---------------------------------------------------------------------------
    def used(self, label: str, kind: int) -> None:
        """A variable is read or written."""
        step, write = self.now, kind != READ
        key, touched = ("variable", label), step.touched
        if write or key not in touched:
            touched[key] = write
        about = self._kinds.get(label)
        if about is not None:  # it has no name of its own, as a path has
            step.kinds[about] = write or step.kinds.get(about, False)
            if label in self._new:
                step.met[about] = write or step.met.get(about, False)

    def named(self, obj: object, name: str | None, label: str) -> None:
        """The attribute ``name`` of ``obj`` (None: its contents) is this variable."""
        self._kinds[label] = type(obj).__name__, name
        if identity(obj) in self._met:
            self._new.add(label)

    def meets(self, obj: object) -> None:
        """An object gets its name."""
        self._met.add(identity(obj))

    def did(self, op: Op) -> None:
        """A step on variables that are known to be shared."""
        names = self.hub.layout.names
        if op.kind == ATOMIC:
            body: Any = op.body
            wrote = {*getattr(body, "writes", body.touches)}
            for number in body.touches:
                self.used(names[number], WRITE if number in wrote else READ)
            return
        reads, writes = accesses(op)
        for _, number in reads:
            self.used(names[number], READ)
        for _, number in writes:
            self.used(names[number], WRITE)

    # --- time --------------------------------------------------------------------------------
    def timer(self, when: float, wakes: bool) -> None:
        """A timer is set. ``wakes``: all that it does is to wake a task."""
        if not isfinite(when):  # it never comes; or at once, before all others
            self.beyond = self.beyond or when != inf
            return
        moment = int(when * MOMENTS)
        for near in (moment, moment + 1):
            self.touch(("moment", near), not wakes)


class NamesTold:
    """While this is entered, a collector hears of the names that objects get."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def __enter__(self) -> None:
        names: Any = self.hub.names
        hub: Any = self.hub
        kind = type(names)

        def identify(obj: object, worker: Any, label: str = "") -> Any:
            new = not kind.knows(names, obj)
            known = kind.identify(names, obj, worker, label)
            if new and hub.collector is not None:
                hub.collector.meets(obj)
            return known

        def variable(obj: object, name: str | None, worker: Any) -> Any:
            known = kind.variable(names, obj, name, worker)
            if hub.collector is not None:
                hub.collector.named(obj, name, known.name)
            return known

        def used(known: Any, worker: int, of: int) -> None:
            if hub.collector is not None:
                hub.collector.used(known.name, of)
            kind.used(names, known, worker, of)

        names.identify, names.variable, names.used = identify, variable, used

    def __exit__(self, *exc: object) -> None:
        names: Any = self.hub.names
        for name in ("identify", "variable", "used"):
            vars(names).pop(name, None)


class Collecting:
    """What a worker's accesses touch, before its class without a record."""

    hub: Any
    last: Any
    uncontrolled: int

    def step(self, op: Op, parked: Any = None) -> Value:
        if self.hub.phase is Phase.RUN and op.kind <= ATOMIC:
            self.hub.collector.did(op)
        return super().step(op, parked)  # type: ignore[misc]

    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Any = (),
    ) -> None:  # fmt: skip
        super().access(kind, obj, name, site, value, also)  # type: ignore[misc]
        if self.hub.phase is Phase.RUN and not self.uncontrolled and self.last is not None:
            self.hub.collector.used(self.last.name, kind)

    def used_by_name(self, label: str, kind: int) -> None:
        if self.hub.phase is Phase.RUN:
            self.hub.collector.used(label, kind)
        super().used_by_name(label, kind)  # type: ignore[misc]
