"""The workers of a schedule of which nothing is wanted but its end.

The same as of any schedule without a record (``unrecorded``), whose accesses change the values of
what is shared and give names to containers, in one function each.
"""

from __future__ import annotations

from types import BuiltinFunctionType
from typing import Any, Final

from tracelock.instrument.contexts import identity
from tracelock.instrument.loops.unrecorded import UnrecordedLoop, UnrecordedTask
from tracelock.instrument.network.unrecorded import BEYOND, at_once, known
from tracelock.instrument.steps import PLAIN, shown
from tracelock.instrument.worker import RUN
from tracelock.ops import ATOMIC, READ, WRITE, Op

_peek: Final = object.__getattribute__


class Sampled:
    """What a worker does in such a schedule, before its class.

    Which variable has an object of synchronisation is not told: that is for the record, which
    another run of the schedule has.
    """

    hub: Any
    last: Any
    answered: bool
    uncontrolled: int
    number: int

    def step(self, op: Op, parked: Any = None) -> Any:
        hub = self.hub
        if op.kind > ATOMIC and known(hub):
            result = at_once(self, op)
            if result is not BEYOND:
                return result
        return super().step(op, parked)  # type: ignore[misc]

    def record(self, value: Any) -> None:
        if self.hub.phase is not RUN:
            super().record(value)  # type: ignore[misc]

    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Any = (),
    ) -> None:  # fmt: skip
        hub = self.hub
        names = hub.names
        if (
            hub.phase is not RUN or name is None or self.uncontrolled or also
            or names.unsure or names.whole
        ):  # fmt: skip
            super().access(kind, obj, name, site, value, also)  # type: ignore[misc]
            return
        known = names.objects.get(identity(obj))
        variable = None if known is None else known.parts.get(name)
        if variable is None:
            variable = names.variable(obj, name, self)
        self.last = variable
        if kind == READ:
            self.answered = False
            return
        self.answered = kind == WRITE
        if variable.shared:
            hub.controller.values[variable.number] = shown(value)
        elif variable.stamp != names.schedule or not variable.writers & 1 << self.number:
            names.used(variable, self.number, kind)
        if type(value) not in PLAIN:
            names.name_container(variable, value, self)

    reads_at_once = True

    def read_at_once(self, obj: object, name: str, site: Any) -> bool:
        """See ``Context``. What is met here first, or is no plain matter, is left to ``access``."""
        hub = self.hub
        names = hub.names
        if hub.phase is not RUN or self.uncontrolled or names.unsure or names.whole:
            return False
        known = names.objects.get(identity(obj))
        variable = None if known is None else known.parts.get(name)
        if variable is None:
            return False
        try:
            value = _peek(obj, name)
        except AttributeError:
            return False
        kind = type(value)
        if kind not in PLAIN:
            if kind is BuiltinFunctionType:  # it may be a lock's method
                return False
            names.name_container(variable, value, self)
        self.last, self.answered = variable, True
        return True

    def saw(self, value: object) -> None:
        if self.answered or self.hub.phase is not RUN:
            super().saw(value)  # type: ignore[misc]
        elif self.last is not None:
            self.answered = True
            if type(value) not in PLAIN:
                self.hub.names.name_container(self.last, value, self)


class SampledTask(Sampled, UnrecordedTask):
    """A task in such a schedule."""


class SampledCallbacks(Sampled, UnrecordedLoop):
    """What a loop does beside its tasks, in such a schedule."""
