"""One call to the outside: a step of its worker, whose answer is recorded, or given back.

Under ``outside="real"`` the worker makes a step, then the call for real, while all others stand
still; what comes of it stands with the step's event in the trace. A replay makes the same step and
gives the recorded answer. What is asked there has to be what was recorded, call by call of each
worker; anything else is a divergence, which names the call and the place.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tracelock.engine.recording import OUTSIDE
from tracelock.errors import Divergence, LimitReached
from tracelock.instrument.callers import caller, user_of_library
from tracelock.instrument.hub import Hub, Phase, ScheduleOver
from tracelock.instrument.outside import answers
from tracelock.instrument.outside.kinds import KINDS, RECORDED, AllRecorded, Recorded
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Uncontrolled, Worker
from tracelock.ops import CALL, CHECKPOINT, NAMES, Op
from tracelock.trace import Event, frozen

#: What a call is counted by, of a worker.
_COUNT: Final = "calls to the outside"


class Outside(Wing):
    """What is outside of one program. ``to_end``: what is to be called as the schedule ends: it
    ends what that has begun outside."""

    key = "outside"
    lasts = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.to_end: list[Callable[[], object]] = []
        #: What the wall clock showed as the schedule began, in ns: None as long as nobody asked.
        self.clock: int | None = None
        self._kept = 0

    @property
    def mode(self) -> str:
        """What comes of calls to the outside, see ``kinds``."""
        program = self.hub.program
        return "" if program is None else str(program.outside)

    def begin(self) -> None:
        self._kept, self.clock = 0, None

    def ended(self) -> None:
        while self.to_end:
            with contextlib.suppress(OSError):
                self.to_end.pop()()

    def keep(self, what: str, data: Any) -> None:
        """An answer is to be kept. Raises LimitReached where that is too much."""
        size = answers.size_of(data)
        answers.check_size(what, size, self._kept)
        self._kept += size


def outside_of(hub: Hub) -> Outside:
    """What is outside of the program of this hub."""
    return hub.wing(Outside)


def recorded_in(events: Iterable[Event], workers: Sequence[str]) -> dict[str, list[Recorded]]:
    """The calls of a trace's events, by the names of ``workers``."""
    found: dict[str, list[Recorded]] = {}
    for event in events:
        if event.op == NAMES[CALL] and OUTSIDE in event.extra:
            one = Recorded(str(event.target), event.value, event.at, event.extra[OUTSIDE])
            found.setdefault(workers[event.worker], []).append(one)
    return found


def asks(worker: Worker) -> bool:
    """Whether what this worker asks of the outside is recorded, or was."""
    return bool(outside_of(worker.hub).mode) and worker.hub.phase is not Phase.IDLE


def recorded_here(worker: Worker) -> bool:
    """Whether what has an answer of its own elsewhere (the clock, chance, files, variables of the
    environment) is asked of the outside here: not while modules are imported, not in the check."""
    if worker.elsewhere or worker.importing:
        return False
    return worker.hub.phase in (Phase.RUN, Phase.SETUP) and asks(worker)


def named(worker: Worker, kind: str) -> None:
    """Something outside was asked: the account says so, and nothing is proved."""
    account = worker.hub.account
    if account is not None and not worker.importing:
        account.account.outside.add(KINDS[kind].account)


def refuse(worker: Worker, why: str) -> None:
    """End the schedule, which is unfinished, for this reason, whatever the program catches. Raises
    ScheduleOver, or LimitReached where no worker runs."""
    hub = worker.hub
    if not worker.elsewhere and hub.phase is not Phase.IDLE:
        hub.controller.limit = hub.controller.limit or f"{worker.label}: {why}"
    if hub.phase is not Phase.RUN or worker.elsewhere:
        raise LimitReached(why)
    worker.step(Op(CHECKPOINT, -1, caller(worker, 3)))


def ask(
    worker: Worker, kind: str, what: str, live: Callable[[], Any], value: Sequence[Any] = ()
) -> Any:  # fmt: skip
    """Ask the outside: a step, and then what ``live()`` gives, or what was recorded for it.

    ``what`` is asked, with ``value`` (plain data), in words that are the same on another machine.
    Raises what ``live`` raises, where that is an answer, and Divergence where the trace has another
    call, or none. The schedule is unfinished where an answer is too large, or none at all, and
    where none can be recorded: in another process and in the check.
    """
    named(worker, kind)
    try:
        data = _asked(worker, f"{kind}: {what}", live, value)
    except LimitReached as why:
        refuse(worker, str(why))
        raise
    return answers.given_back(data)


def _asked(worker: Worker, target: str, live: Callable[[], Any], value: Sequence[Any]) -> Any:
    hub = worker.hub
    state = outside_of(hub)
    at = user_of_library()
    if worker.elsewhere:
        raise LimitReached(f"{target}: calls of other processes to the outside are not recorded")
    if hub.phase is Phase.CHECK:
        raise LimitReached(
            f"{target} in the check, at {at}: what is asked of the outside there is in no trace; "
            "ask in setup or in a worker"
        )
    op = Op(CALL, -1, at, answers.to_data(list(value)), body=target)
    given = hub.controller.given
    known: Recorded | None = None
    if given is not None:
        known = _known(worker, given, op)
    elif state.mode == RECORDED:
        known = _like(worker, hub.program.answers, op)
    _step(worker, op)
    if known is None:
        op.expect = _live(worker, target, live)
        state.keep(target, op.expect)
    else:
        op.expect = known.answer
    return op.expect


def _step(worker: Worker, op: Op) -> None:
    hub = worker.hub
    if hub.phase is not Phase.SETUP:
        worker.step(op)
        return
    if hub.unrecorded is not None:  # with a record it is a step
        hub.unrecorded.beyond = True
        raise ScheduleOver
    hub.controller.step_before(worker.number, op)


def _live(worker: Worker, target: str, live: Callable[[], Any]) -> Any:
    try:
        with Uncontrolled(worker):
            found = live()
    except LimitReached:
        raise
    except Exception as error:
        try:
            return answers.error_data(error)
        except TypeError as why:
            raise LimitReached(f"{target}: {why}") from error
    try:
        return answers.answer_data(found)
    except TypeError as why:
        raise LimitReached(f"{target}: {why}") from None


# --- what was recorded -----------------------------------------------------------------------
def _same(one: Recorded, op: Op) -> bool:
    return one.what == op.body and bool(frozen(one.value) == frozen(op.value))


def _known(worker: Worker, given: AllRecorded, op: Op) -> Recorded:
    """The next call of this worker in the trace. Raises Divergence where that is another one."""
    calls = given.get(worker.label, ())
    place = worker.count(_COUNT) - 1
    if place < len(calls) and _same(calls[place], op):
        return calls[place]
    hub = worker.hub
    wanted = "no further call to the outside"
    if place < len(calls):
        wanted = f"{calls[place].what} {_shown(calls[place].value)}at {calls[place].at}"
    error = Divergence(
        len(hub.controller.log), f"{worker.label}: {wanted}",
        f"{worker.label}: {op.body} {_shown(op.value)}at {op.at}",
        "this call to the outside is not the one that was recorded, so that there is no answer "
        "to it",
    )  # fmt: skip
    hub.error = hub.error or error
    raise error


def _like(worker: Worker, recorded: AllRecorded, op: Op) -> Recorded:
    """The answer to the same call, in another schedule than that of the trace. Raises LimitReached
    where there is none."""
    same = [one for one in recorded.get(worker.label, ()) if _same(one, op)]
    place = worker.count((_COUNT, op.body)) - 1
    if place >= len(same):
        raise LimitReached(f"no answer was recorded to {op.body} at {op.at}")
    return same[place]


def _shown(value: Any) -> str:
    return f"({', '.join(map(str, value))}) " if isinstance(value, (list, tuple)) and value else ""
