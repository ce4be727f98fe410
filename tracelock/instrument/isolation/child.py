"""The forked process: it runs a batch of schedules, tells each as it ends, and then the rest."""

from __future__ import annotations

import contextlib
import gc
import os
import struct
import traceback
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelock.engine.open import OpenController
from tracelock.engine.verdicts import STUCK, EndOfProcess, verdict_of
from tracelock.errors import InternalError, TracelockError, UsageError
from tracelock.instrument.contexts import contexts
from tracelock.instrument.hub import Phase
from tracelock.instrument.isolation.carrying import (
    Learnt,
    addresses,
    innermost,
    packed,
    schedulers_in,
)
from tracelock.instrument.isolation.marks import Mark, SharedMark
from tracelock.instrument.processes.remote import die_with_parent, flush
from tracelock.schedulers.base import Scheduler

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend

#: Schedules of one child, and seconds after which it takes no further one.
BATCH: Final = 100
LONG: Final = 2.0
#: What is sent: one schedule, the end of the batch, or what went wrong in tracelock itself.
SCHEDULE: Final = b"S"
REST: Final = b"R"
ERROR: Final = b"E"
HEAD: Final = struct.Struct("<cI")
_FIELDS: Final = ("failure", "active", "crashed", "limit", "values", "ended", "current", "log")
_write: Final = os.write


class Death(NamedTuple):
    """``how`` the process died that ran this batch before, and where that was."""

    mark: Mark
    how: str


class ForkedBatch:
    """A batch of schedules for a forked process. Made in the parent, before the fork.

    ``done`` is the search's own, of which the child has a copy; ``claims``: that a worker is stuck
    in C is a failure; ``most``: schedules of it; ``death``: what ended the child that ran this
    batch before.
    """

    def __init__(
        self, backend: PythonBackend, controller: OpenController, done: Callable[[Any], bool],
        learnt: Learnt, journal: SharedMark, claims: bool, most: int = BATCH,
    ) -> None:  # fmt: skip
        self.backend = backend
        self.controller = controller
        self.done = done
        self.learnt = learnt
        self.journal = journal
        self.claims = claims
        self.most = most
        self.death: Death | None = None
        self.schedulers: list[Scheduler] = schedulers_in(controller.scheduler)
        hub, names = backend.hub, backend.names
        self._shared: tuple[object, ...] = (
            backend, hub, names, names.layout, backend.program, backend.rules, backend.kept,
            backend.account, hub.aim, controller, controller.rules, *self.schedulers,
        )  # fmt: skip
        self._parent = os.getpid()
        self._known: set[int]
        self._schedule = 0
        self._events = 0
        self._more = True
        self._until = 0.0
        self._observer: Any = None

    # --- in the child --------------------------------------------------------------------------
    def run(self, pipe: int, skip: int) -> None:
        """Run the batch; the first ``skip`` schedules have been told before."""
        backend, controller = self.backend, self.controller
        gc.freeze()
        contexts.clear()
        die_with_parent(self._parent)
        backend.begin_apart(self.claims)
        backend.kept.begin_apart()
        backend.sees_to_it = self.journal.beat
        controller.models.clear()  # of what an object was taken for when they were made
        controller._objects.clear()
        self._known = addresses([vars(each) for each in self.schedulers], self._shared)
        self._pipe, self._skip = pipe, skip
        self._until = monotonic() + LONG
        self._observer, controller.observer = controller.observer, self._observe
        self._watch_phases()
        self._expect_death()
        over, error = False, None
        try:
            backend.controlled(controller, self._ended)
            over = self._more and not backend.stuck
        except BaseException as raised:
            error = raised
        controller.observer = self._observer
        flush()  # when it has sent the rest, it is ended
        self._send(REST, {
            "learnt": self.learnt.taken(),
            "schedulers": [vars(scheduler) for scheduler in self.schedulers],
            "over": over,
            "error": _told(error),
            "last": None if error is None else self._record(),
        })  # fmt: skip

    def _observe(self, seq: int, worker: int, *event: Any) -> None:
        if self._observer is not None:
            self._observer(seq, worker, *event)
        self._events = seq + 1
        self.journal.write(self._schedule, seq + 1, worker, Phase.RUN)

    def _watch_phases(self) -> None:
        """Note in the journal when ``setup`` and ``check`` begin and end."""
        backend: Any = self.backend
        plain = backend._aside

        @contextlib.contextmanager
        def aside(controller: OpenController, phase: int) -> Iterator[Any]:
            with plain(controller, phase) as main:
                self.journal.write(self._schedule, self._events, -1, phase)
                yield main
            self.journal.write(self._schedule, self._events, -1, Phase.RUN)

        backend._aside = aside

    def _ended(self, controller: OpenController) -> bool:
        """A schedule has ended: tell of it. Whether it is the last one here."""
        hangs = self.backend.given_up
        if hangs is not None and controller.limit is not None and hangs.for_good and self.claims:
            how = EndOfProcess(f"{STUCK} at {hangs.at}, and nobody is left to end that")
            controller.crashed.append((hangs.worker, how))
            controller.limit = None
        if any(type(how) is EndOfProcess for _, how in controller.crashed):
            for worker in controller.active:
                controller.shut_out[worker] = controller.pending[worker]  # type: ignore[assignment]
            controller.active.clear()  # nobody is left to wait for anything
        if self._schedule >= self._skip:
            self._send(SCHEDULE, self._record())
        self._schedule += 1
        self._events = 0
        self.journal.write(self._schedule, 0, -1, Phase.IDLE)
        self._forget_death()
        disorder = controller.failure or controller.active or controller.crashed
        last = bool(disorder) or controller.limit is not None or self._schedule >= self.most
        last = last or bool(self.backend.kept.leaking())
        if self.done(controller) or last or monotonic() > self._until:
            self._more = False
            return True
        self._expect_death()
        return False

    def _record(self) -> dict[str, Any]:
        controller, program = self.controller, self.backend.program
        record = {name: getattr(controller, name, None) for name in _FIELDS}
        return {
            "fields": record,
            "verdict": verdict_of(controller, program.finally_),
            "check": program.outcome.failure,
            "cut": innermost(controller.scheduler).cut,
            "picks": self._picks(),
            "stuck": controller.limit if self.backend.given_up else "",
        }

    def _picks(self) -> list[tuple[int, Any]]:
        """What schedulers keep of the schedule that has just ended."""
        return [
            (place, vars(scheduler)["picks"])
            for place, scheduler in enumerate(self.schedulers)
            if "picks" in vars(scheduler)
        ]

    def _send(self, kind: bytes, what: Any) -> None:
        send(self._pipe, kind, packed(what, self._known))

    # --- where the process died before ---------------------------------------------------------
    def _expect_death(self) -> None:
        """If it is in this schedule that the process died, end the schedule right before that."""
        death = self.death
        if death is None or death.mark.schedule != self._schedule:
            return
        backend: Any = self.backend
        hub, mark = backend.hub, death.mark
        where = ", in the check" if mark.phase == Phase.CHECK else ""
        how = EndOfProcess(death.how + where)

        def end(worker: int) -> None:
            if how.startswith(STUCK) and not self.claims:
                hub.controller.limit = how
            else:
                hub.controller.crashed.append((worker, how))
            hub.over = True

        if mark.phase == Phase.SETUP:

            def set_up(controller: OpenController) -> Any:
                raise UsageError(f"setup failed: {how}")

            backend._set_up = set_up
        elif mark.phase == Phase.CHECK:

            def last(controller: OpenController, what: str, *call: Any) -> None:
                if not controller.crashed:
                    end(-1)

            backend._finally = last
        elif not mark.events:

            def schedule(controller: OpenController) -> None:
                hub.begin(controller)
                end(-1)

            backend._schedule = schedule
        else:

            def until_then(pick: Callable[[], int]) -> Callable[[], int]:
                def decide() -> int:
                    to = pick()
                    if to < 0 or self._events < mark.events or hub.phase is not Phase.RUN:
                        return to
                    end(mark.worker)
                    return -1

                return decide

            # threads that ask nothing else ask the controller itself
            hub.decide = until_then(hub.decide)
            controller: Any = self.controller
            controller.plain_step = until_then(controller.plain_step)

    def _forget_death(self) -> None:
        for name in ("_set_up", "_finally", "_schedule"):
            vars(self.backend).pop(name, None)
        vars(self.backend.hub).pop("decide", None)
        vars(self.controller).pop("plain_step", None)


def _told(error: BaseException | None) -> BaseException | None:
    """The error, which says where in this process it came from, unless that is of no interest."""
    if error is not None and (
        isinstance(error, InternalError) or not isinstance(error, TracelockError)
    ):
        where = "".join(traceback.format_exception(error)).rstrip()
        error.add_note(f"In the forked process that ran the schedule:\n{where}")
    return error


def send(pipe: int, kind: bytes, body: bytes) -> None:
    """In the child: tell the parent."""
    data = memoryview(HEAD.pack(kind, len(body)) + body)
    while data:
        data = data[_write(pipe, data) :]
