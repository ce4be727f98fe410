"""Workers on threads where nothing is asked of a step but who makes the next one.

A search makes nearly all of its steps so: no garbage is collected at will, no read is inexact. What
``Worker`` does for one, and ``Hub`` and the controller between two, is done here in one function
each, without the questions of which the answer is known. Everything else is left to ``Worker``:
``test_plain_steps`` compares the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import BuiltinFunctionType
from typing import Any, Final

from tracelock.instrument.callers import held, outside_of_library
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import ScheduleOver
from tracelock.instrument.naming import AT_ONCE
from tracelock.instrument.steps import PLAIN, shown
from tracelock.instrument.threads.locks import ControlledLock
from tracelock.instrument.threads.owning import APART
from tracelock.instrument.worker import RUN, Worker
from tracelock.ops import READ, SLEEP, WRITE, Op, Value

_peek: Final = object.__getattribute__


class PlainThread(Worker):
    """A worker on a thread."""

    __slots__ = ()
    reads_at_once = True

    def thread_of(self, number: int, thread: Any) -> Worker:
        return PlainThread(self.hub, number)

    def _come(self, op: Op, parked: Callable[[], None] | None) -> Value:
        hub = self.hub
        controller = hub.controller
        me = self.number
        pending = controller.pending
        if (
            self.launcher is not None or hub.phase is not RUN or hub.collections or hub.looks
            or hub.error is not None
            # and of the controller, see ``PlainSteps``
            or not controller.plain or controller.timers or controller.loops
            or controller.before is not None or controller.gone or not controller.essential
            or op.timeout is not None or op.kind == SLEEP or pending[me] is None
        ):  # fmt: skip
            return super()._come(op, parked)
        pending[me] = op
        try:
            to = controller.plain_step()
        except BaseException as error:
            hub.error = error
            to = -1
        if to != me:
            if to < 0:
                hub.over = True
            hub.hand_over(to)
            self.baton.acquire()
            if hub.unwinding:
                raise ScheduleOver
        return self._parked(parked) if controller.parked else controller.result

    def _after_access(self, op: Op) -> None:
        """``step`` of an access, which has looked already who has died, if that is noticed: of all
        that may have, unless they are very many."""
        names = self.hub.names
        if not names.mortal:
            if self.fresh:
                names.let_go(self.fresh)
        elif len(names._kept) > AT_ONCE:
            names.let_die(self.fresh)
        self._come(op, None)

    def _parked(self, parked: Callable[[], None] | None) -> Value:
        """Its step waits for others: the result when it has ended."""
        hub = self.hub
        controller = hub.controller
        while controller.parked:
            if parked is not None:
                parked()
                parked = None
            to = hub.decide()
            if to != self.number:
                hub.hand_over(to)
                self.wait()
        return controller.result

    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Sequence[tuple[object, str | None]] = (),
    ) -> None:  # fmt: skip
        hub = self.hub
        names = hub.names
        if (
            kind != WRITE or name is None or also or hub.phase is not RUN or self.uncontrolled
            or hub.collections or names.unsure or names.whole or APART
        ):  # fmt: skip
            super().access(kind, obj, name, site, value, also)
            return
        if names.mortal:
            names.let_die(self.fresh)
        known = names.objects.get(identity(obj))
        variable = None if known is None else known.parts.get(name)
        if variable is None:
            variable = names.variable(obj, name, self)
        self.last = variable
        self.answered = False
        cls = type(value)
        if variable.shared:
            by = "" if site.library is False else outside_of_library(site)
            seen = value if cls is int else shown(value)
            op = Op(WRITE, variable.number, site.at, seen, remark=by)
            if cls not in PLAIN:
                names.name_contents(variable, value, self)
            self._after_access(op)
            return
        if not variable.writers & 1 << self.number or variable.stamp != names.schedule:
            names.used(variable, self.number, WRITE)
        if cls not in PLAIN:
            names.name_contents(variable, value, self)

    def read_at_once(self, obj: object, name: str, site: Any) -> Any:
        """See ``Context``."""
        hub = self.hub
        names = hub.names
        if (
            hub.phase is not RUN or self.uncontrolled or hub.collections or names.unsure or APART
        ):  # fmt: skip
            return False
        if names.mortal:
            names.let_die(self.fresh)
        known = names.objects.get(identity(obj))
        variable = None if known is None else known.parts.get(name)
        if variable is None:
            variable = names.variable(obj, name, self)
        self.last, self.answered = variable, False
        shared = variable.shared
        if shared:
            by = "" if site.library is False else outside_of_library(site)
            op = None if by else variable.reads.get(site)
            if op is None:
                op = Op(READ, variable.number, site.at, remark=by)
                if not by:
                    variable.reads[site] = op
            self._after_access(op)
        elif not variable.users & 1 << self.number or variable.stamp != names.schedule:
            names.used(variable, self.number, READ)
        try:  # nothing else runs until the real load: it gets this same value
            value = _peek(obj, name)
        except AttributeError:
            self.access(READ, object, name, site)  # nor has any class: one may be given it
            return True
        self.answered = True
        cls = type(value)
        if cls not in PLAIN and (
            cls is not ControlledLock or (value.name, variable.name) not in held
        ):
            names.name_contents(variable, value, self)
        if shared and hub.phase is RUN:
            controller = hub.controller
            controller.result = seen = value if cls is int else shown(value)
            if controller.replaced is not None:
                controller.replace(seen)
            else:
                log = controller.log
                worker, done, op, before, options, now = log[-1]
                if before is not seen:
                    log[-1] = (worker, done, op, seen, options, now)
        return value if cls is BuiltinFunctionType else True
