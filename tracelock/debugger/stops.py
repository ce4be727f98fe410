"""Where a replay stands still: at an event that is about to happen, at a line, or at a failure.

The onlooker of the schedules is asked in the threads of workers, which have the baton then:
it holds that one, and all others wait as ever. Whoever looks is told, and says how far to go on.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from tracelock.debugger.frames import stack_of
from tracelock.debugger.places import LinePlace
from tracelock.instrument.account.breakpoints import Onlooker
from tracelock.instrument.contexts import contexts
from tracelock.instrument.hub import Phase, ScheduleOver, get_ident, new_baton

if TYPE_CHECKING:
    from tracelock.engine.controller import Controller
    from tracelock.engine.replaying import Replay
    from tracelock.session.replaying import ReplayResult

EVENT: Final = "event"
LINE: Final = "line"
BREAKPOINT: Final = "breakpoint"
FAILURE: Final = "failure"
END: Final = "end"
LEFT: Final = "left"
#: What is said of a deadlock.
DEADLOCK: Final = "deadlock: no worker can go on"

#: What a trace function is, and gives.
Tracing = Callable[[FrameType, str, Any], Any]
_RUNNING: Final = (Phase.SETUP, Phase.RUN, Phase.CHECK)


class Away(BaseException):
    """The replay is left where it stands: it is wanted somewhere else, or not any more."""


@dataclass(slots=True)
class Standstill:
    """Where a replay stands still.

    ``kind``: ``event`` (event ``seq`` is about to happen), ``line``, ``breakpoint``, ``failure``,
    ``end`` (it is over) or ``left``. ``seq``: how many events have happened. ``hit``: how many
    lines and breakpoints it had come to by then. ``worker``: whose step it is, None where it is
    nobody's. ``error``: of a failure, the exception. ``text``: what there is to say of it.
    ``result``, ``problem``: of an end, what the replay came to, or what has kept it from it.
    """

    kind: str
    seq: int
    hit: int = 0
    worker: Any = None
    error: BaseException | None = None
    text: str = ""
    frame: FrameType | None = None
    result: ReplayResult | None = None
    problem: BaseException | None = None

    @property
    def order(self) -> tuple[int, int]:
        """What comes later in the replay is greater."""
        return self.seq, self.hit


@dataclass(frozen=True, slots=True)
class Goal:
    """How far a replay goes on: ``seq``: to the first event from this one on in which some code of
    the user's stands, None to none; ``worker``: to one of this worker alone. ``lines``: it stops at
    breakpoints, too; ``failure``: at a failure. ``hit``: at this line or breakpoint. ``place``: at
    this line."""

    seq: int | None = None
    worker: int | None = None
    lines: bool = True
    failure: bool = True
    hit: int | None = None
    place: LinePlace | None = None


class ReplayOnlooker(Onlooker):
    """Looks at the replays of one host.

    ``goal``: how far it goes on. ``lines``: at which lines of which files, by their real paths,
    there are breakpoints.
    """

    def __init__(self) -> None:
        super().__init__()
        self.goal = Goal()
        self._told: deque[Standstill] = deque()
        self.seq = 0
        self.hit = 0
        self.leaving = False
        #: The last event of a trace that ends with the death of the process: no further than that.
        self.dies_after = -1
        self.hub: Any = None
        self.controller: Any = None
        self.lines: dict[str, frozenset[int]] = {}
        self._of_file: dict[str, frozenset[int]] = {}
        # raw locks, which are nobody's to control
        self._arrived: Any = new_baton()
        self._arrived.acquire()
        self._go: Any = new_baton()
        self._go.acquire()

    # --- asked by who looks --------------------------------------------------------------------
    def go_on(self, goal: Goal) -> None:
        """Let the replay go on to ``goal``."""
        self.set_goal(goal)
        for worker in list(self.hub.workers.values()):
            for frame, _ in stack_of(worker):
                if self._lines_of(frame.f_code.co_filename):
                    frame.f_trace = self._each_line
        self._go.release()

    def leave(self) -> None:
        """Let the schedule end where it stands."""
        self.leaving = True
        with suppress(RuntimeError):  # it has been told to go on, and has not begun to
            self._go.release()

    def told(self, seconds: float) -> Standstill | None:
        """Where the replay stands, what it has told first; None where that takes longer."""
        if not self._told:
            self._arrived.acquire(timeout=seconds)
        return self._told.popleft() if self._told else None

    def set_goal(self, goal: Goal) -> None:
        self.goal = goal
        self._of_file.clear()

    def set_lines(self, lines: dict[str, Iterable[int]]) -> None:
        """There are breakpoints at these lines, and no others."""
        self.lines = {path: frozenset(numbers) for path, numbers in lines.items() if numbers}
        self._of_file.clear()

    # --- the replay ----------------------------------------------------------------------------
    def attach(self, host: Any, controller: Controller, follower: Replay) -> None:
        """A replay begins. In its thread."""
        self.hub = host.backend.hub
        self.hub.onlooker = self
        self.controller = controller
        self.seq = self.hit = 0
        self.leaving = False
        self._go.acquire(False)  # it was left as it ran
        compare, before = controller.observer, controller.before
        deadlock = follower.verdict.kind == "deadlock"

        def observed(seq: int, worker: int, kind: int, op: Any, result: Any) -> None:
            if compare is not None:
                compare(seq, worker, kind, op, result)
            self.seq = seq
            self._at_event(seq, worker)
            self.seq = seq + 1

        def step(controller: Controller) -> None:
            if before is not None:
                before(controller)
            over = deadlock and follower.position >= len(follower.events)
            if over and self.hub.phase is Phase.RUN and not controller.can_go_on():
                self._at_deadlock(follower)

        controller.observer, controller.before = observed, step

    @contextmanager
    def tracing(self) -> Iterator[None]:
        """While this is entered, threads that are started run under the trace function. Entered
        before the process is under control, whose state is put back for each schedule."""
        earlier = threading.gettrace()
        threading.settrace(self._each_call)
        try:
            yield
        finally:
            threading.settrace(earlier)

    @contextmanager
    def wrapping(self, host: Any) -> Iterator[None]:
        """While this is entered, the code of the program runs under a trace function, which sees
        lines with a breakpoint, and a failing check is seen."""
        program, backend = host.program, host.backend
        kept = program.workers, program.setup, program.check
        make = getattr(backend, "make_tasks", None)
        if make is None:
            program.workers = [self._traced(work) for work in program.workers]
        else:  # tasks are begun by the library: what is traced is the thread of the loop

            def made() -> Any:
                sys.settrace(self._each_call)
                return make()

            backend.make_tasks = made
        program.setup = program.setup and self._traced(program.setup)
        program.check = program.check and self._checked(program.check)
        try:
            yield
        finally:
            program.workers, program.setup, program.check = kept
            vars(backend).pop("make_tasks", None)

    def _traced(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def traced(*arguments: Any) -> Any:
            earlier = sys.gettrace()
            sys.settrace(self._each_call)
            try:
                return function(*arguments)
            finally:
                sys.settrace(earlier)

        return traced

    def _checked(self, check: Callable[..., Any]) -> Callable[..., Any]:
        traced = self._traced(check)

        def failed(error: Exception) -> None:
            self.failing(contexts.get(get_ident()), error)

        async def awaited(result: Any) -> Any:
            try:
                return await result
            except Exception as error:
                failed(error)
                raise

        @functools.wraps(check)
        def checked(*arguments: Any) -> Any:
            try:
                result = traced(*arguments)
            except Exception as error:
                failed(error)
                raise
            return awaited(result) if inspect.isawaitable(result) else result

        return checked

    # --- where it stops ------------------------------------------------------------------------
    def _at_event(self, seq: int, number: int) -> None:
        if self.leaving:
            raise Away
        goal = self.goal
        wanted = goal.seq is not None and seq >= goal.seq and goal.worker in (None, number)
        if not wanted and seq != self.dies_after:
            return
        worker = self.hub.workers.get(number)
        if worker is None or not stack_of(worker):
            return
        self._stand(Standstill(EVENT, seq, self.hit, worker))
        if self.leaving:
            raise Away

    def _at_deadlock(self, follower: Replay) -> None:
        if not self.goal.failure:
            return
        blocked = {one.worker for one in follower.verdict.blocked}
        workers = self.hub.workers.values()
        who = [worker for worker in workers if worker.label in blocked and stack_of(worker)]
        if who:
            self._stand(Standstill(FAILURE, self.seq, self.hit, who[0], text=DEADLOCK))
            if self.leaving:
                raise Away

    def failing(self, worker: Any, error: BaseException) -> None:
        if not self.goal.failure or self.leaving or worker is None:
            return
        text = f"{type(error).__name__}: {error}".strip(": ")
        self._stand(Standstill(FAILURE, self.seq, self.hit, worker, error, text))
        self._cut()

    def breakpoint(self, worker: Any, frame: FrameType) -> None:
        self._hit(BREAKPOINT, worker, frame)

    def _hit(self, kind: str, worker: Any, frame: FrameType) -> None:
        goal = self.goal
        if self.leaving or self.hub.phase not in _RUNNING:
            return
        self.hit += 1
        here = kind == LINE and goal.place is not None and self._is_at(goal.place, frame)
        if here or (goal.lines and goal.hit is None) or goal.hit == self.hit:
            self._stand(Standstill(kind, self.seq, self.hit, worker, frame=frame))
            self._cut()
            if self.leaving and self.hub.phase == Phase.RUN:
                raise ScheduleOver  # no line further

    @staticmethod
    def _is_at(place: LinePlace, frame: FrameType) -> bool:
        return frame.f_lineno == place.line and place.is_in(frame.f_code.co_filename)

    def _cut(self) -> None:
        """In the middle of the user's code: the schedule ends at its next step."""
        if self.leaving:
            self.hub.error = self.hub.error or Away()

    def _stand(self, stop: Standstill) -> None:
        """Stand still until who looks says how to go on."""
        if self.leaving:
            return
        self.paused = True
        self.arrive(stop)
        self._go.acquire()
        self.paused = False

    def arrive(self, stop: Standstill) -> None:
        """Tell who looks that the replay stands here, or is over."""
        self._told.append(stop)
        with suppress(RuntimeError):  # nobody has looked since the last time
            self._arrived.release()

    # --- lines ---------------------------------------------------------------------------------
    def _each_call(self, frame: FrameType, event: str, argument: Any) -> Tracing | None:
        return self._each_line if self._lines_of(frame.f_code.co_filename) else None

    def _each_line(self, frame: FrameType, event: str, argument: Any) -> Tracing | None:
        if event == "line" and frame.f_lineno in self._lines_of(frame.f_code.co_filename):
            worker: Any = contexts.get(get_ident())
            if worker is not None and not worker.uncontrolled and worker.hub is self.hub:
                worker.uncontrolled += 1
                try:
                    self._hit(LINE, worker, frame)
                finally:
                    worker.uncontrolled -= 1
        return self._each_line

    def _lines_of(self, filename: str) -> frozenset[int]:
        known = self._of_file.get(filename)
        if known is None:
            worker: Any = contexts.get(get_ident())
            if worker is not None:
                worker.uncontrolled += 1  # the program does not look at these files
            found = self.lines.get(os.path.realpath(filename), frozenset())
            place = self.goal.place
            if place is not None and place.is_in(filename):
                found |= {place.line}
            if worker is not None:
                worker.uncontrolled -= 1
            known = self._of_file[filename] = found
        return known


def silent(goal: Goal) -> Goal:
    """The same goal, with no stop on the way to it."""
    return replace(goal, lines=False, failure=False)
