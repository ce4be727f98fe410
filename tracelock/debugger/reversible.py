"""The replay of one trace, which goes on and back as it is told, in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from tracelock.debugger.frames import Stack, let_go, stack_of, stack_of_error
from tracelock.debugger.places import CALL, START, LinePlace
from tracelock.debugger.places import FAILURE as AT_FAILURE
from tracelock.debugger.stops import (
    BREAKPOINT,
    END,
    FAILURE,
    LEFT,
    LINE,
    Away,
    Goal,
    ReplayOnlooker,
    Standstill,
    silent,
)
from tracelock.debugger.workers import WorkerState, is_beside, states
from tracelock.errors import InternalError, UsageError
from tracelock.instrument.hub import new_baton

if TYPE_CHECKING:
    from tracelock.session.target import Target
    from tracelock.trace import Event, Trace

#: Seconds between two looks whether whoever waits is to be told something.
LOOK: Final = 0.1
#: Seconds that the end of a replay may take, whose workers are unwound.
PATIENCE: Final = 15.0
#: Seconds of a whole session: a replay that stands still is no replay that takes long.
_SESSION: Final = 1e7
#: Events before the one where it stands that are tried until one has code of the user's.
_TRIES: Final = 50


class Reversible:
    """Replays ``trace`` of ``target``, and stands still where it is told to. A context manager.

    ``stop``: where it stands. ``idle`` is called ten times a second while it runs, and may raise.
    All methods are called from the thread that has created it. Those that move return the new
    ``stop``, whose kind is ``end`` where the replay is over. Raises UsageError for a trace in
    which nothing can be stopped.
    """

    def __init__(
        self, target: Target, trace: Trace, idle: Callable[[], None] = lambda: None
    ) -> None:
        check_trace(trace)
        self.target = target
        self.trace = trace
        self.idle = idle
        self.watch = ReplayOnlooker()
        self.dies = trace.verdict.kind == "crashed"
        if self.dies:
            self.watch.dies_after = self.last
        self.stop = Standstill(END, 0)
        self.left_behind: list[str] = []
        self._begin: Any = new_baton()
        self._begin.acquire()
        self._closing = False
        self._runs = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Reversible:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def last(self) -> int:
        """The number of the last event of the trace."""
        return len(self.trace.events) - 1

    # --- moving ----------------------------------------------------------------------------------
    def start(self, place: int | LinePlace | str) -> Standstill:
        """Replay from the beginning to ``place``, see ``places``."""
        if isinstance(place, LinePlace):
            return self._afresh(Goal(None, lines=False, failure=False, place=place))
        if place == AT_FAILURE and self.dies:
            return self.goto(self.last)
        if place in (AT_FAILURE, CALL):
            return self._afresh(Goal(None, lines=place == CALL))
        return self.goto(0 if place == START else int(place))

    def goto(self, seq: int) -> Standstill:
        """Stand before event ``seq``, or the first after it in which code of the user's stands."""
        if not 0 <= seq <= self.last:
            raise UsageError(f"there is no event {seq} in the trace: it has 0 to {self.last}")
        goal = silent(Goal(seq))
        ahead = self.stop.kind not in (END, FAILURE) and seq > self.stop.seq
        return self._on(goal) if ahead and self._runs else self._afresh(goal)

    def step(self, worker: int | None = None) -> Standstill:
        """Go on to the next event: of ``worker``, or of any. It stops at breakpoints, too."""
        after = self.stop.seq + (self.stop.kind not in (LINE, BREAKPOINT))
        return self._on(Goal(after, worker))

    def proceed(self) -> Standstill:
        """Go on to the next breakpoint, to the failure, or to the end."""
        return self._on(Goal(None))

    def back(self) -> Standstill:
        """Stand before the event that came before this point."""
        now = self.stop.seq
        for seq in range(now - 1, max(-1, now - 1 - _TRIES), -1):
            if not is_beside(self.trace.workers[self.trace.events.workers[seq]]):
                stop = self.goto(seq)
                if stop.kind == END or stop.seq < now:
                    return stop
        raise UsageError("this is the first event with code of yours: there is nothing before it")

    def back_to_breakpoint(self) -> Standstill:
        """Stand at the last breakpoint before this point, or at the first event without one."""
        limit = self.stop.order
        last = 0
        stop = self._afresh(Goal(None, failure=False))
        while stop.kind in (LINE, BREAKPOINT) and stop.order < limit:
            last = stop.hit
            stop = self._on(Goal(None, failure=False))
        if not last:
            return self.goto(0)
        return self._afresh(Goal(None, lines=False, failure=False, hit=last))

    def last_stop(self, end: Standstill) -> Standstill:
        """Stand where it is best to when the replay is over, which ``end`` says: before its last
        event in which code of the user's stands. The same as ``end`` where there is none."""
        seq = min(self.last, max(0, end.seq - 1))
        stop = self.goto(seq)
        while stop.kind == END and seq > 0 and end.seq - seq < _TRIES:
            seq -= 1
            stop = self.goto(seq)
        return stop

    def set_lines(self, lines: dict[str, Any]) -> None:
        """There are breakpoints at these lines of files (real paths), and no others."""
        self.watch.set_lines(lines)

    # --- looking ---------------------------------------------------------------------------------
    def stack(self) -> Stack:
        """The user's frames where it stands, the outermost first; of a failure those that the
        exception came through."""
        stop = self.stop
        if stop.error is not None:
            found = stack_of_error(stop.error)
            if found:
                return found
        return [] if stop.worker is None else stack_of(stop.worker)

    def workers(self) -> list[WorkerState]:
        """All threads and tasks where it stands."""
        return [] if self.watch.hub is None or not self._runs else states(self.watch.hub, self.stop)

    def event(self) -> Event | None:
        """The event that is about to happen."""
        seq = self.stop.seq
        return self.trace.events[seq] if seq <= self.last else None

    # --- the thread of the replay ----------------------------------------------------------------
    def _on(self, goal: Goal) -> Standstill:
        if not self._runs:
            raise UsageError("the replay is over: back, or goto an event")
        if self.dies and self.stop.seq >= self.last:
            told = self.trace.verdict.message.splitlines()[:1] or ["its process dies"]
            raise UsageError(f"no further than this: {told[0]}")
        for one in self.workers():
            let_go(one.stack)
        self.watch.go_on(goal)
        return self._wait()

    def _afresh(self, goal: Goal) -> Standstill:
        self._leave()
        self.watch.set_goal(goal)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._serve, name="tracelock replay", daemon=True
            )
            self._thread._tracelock_own = True  # type: ignore[attr-defined]
            self._thread.start()
        self._runs = True
        self._begin.release()
        return self._wait()

    def _leave(self) -> None:
        """Let the replay end where it stands."""
        if not self._runs:
            return
        self.watch.leave()
        try:
            self._wait(PATIENCE)
        finally:
            self._runs = False

    def _wait(self, seconds: float | None = None) -> Standstill:
        """Wait until the replay stands; a bound on how long the replay itself may take is kept by
        its backend."""
        left = seconds
        while (stop := self.watch.told(LOOK)) is None or (
            left is not None and stop.kind not in (END, LEFT)  # it stood before it was told
        ):
            if stop is not None:
                continue
            if left is None:
                self.idle()
                continue
            left -= LOOK
            if left <= 0:
                raise InternalError("the replay does not end: a worker cannot be unwound")
        self.stop = stop
        if stop.kind in (END, LEFT):
            self._runs = False
        if stop.problem is not None:
            self._thread = None
            raise stop.problem
        return stop

    def close(self) -> None:
        """End the replay and undo all patches. Safe to call twice."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        try:
            self._leave()
        finally:
            self._closing = True
            self._begin.release()
            thread.join(PATIENCE)

    def _serve(self) -> None:
        """In the thread of the replay: one after the other, on one host as long as that lasts."""
        from tracelock.session.plan import Settings

        limits = replace(self.target.run_limits, seconds=_SESSION)
        settings = Settings(isolation="never", limits=limits)
        self._begin.acquire()
        try:
            while not self._closing:
                with (
                    self.watch.tracing(), self.target.replaying(self.trace, settings) as host
                ):  # fmt: skip
                    host_: Any = host
                    with self.watch.wrapping(host_):
                        while not (self._closing or host.stuck):
                            self._replay(host_)
                            self._begin.acquire()
        except BaseException as problem:
            self.watch.arrive(Standstill(END, self.watch.seq, self.watch.hit, problem=problem))

    def _replay(self, host: Any) -> None:
        from tracelock.session.replaying import follow

        watch = self.watch
        result = None
        try:
            result = follow(host, self.trace, watch=partial(watch.attach, host))
        except BaseException:
            if not watch.leaving:
                raise
        self.left_behind = list(host.lasting)
        kind = LEFT if watch.leaving or result is None else END
        watch.arrive(Standstill(kind, watch.seq, watch.hit, result=result))


def check_trace(trace: Trace) -> None:
    """Raises UsageError for a trace in whose replay nothing of the user's can be stopped."""
    from tracelock.session.targets import python_of

    if python_of(trace) is None:
        raise UsageError(
            "this trace is of a scenario, whose steps are no Python code to stop in: "
            "tracelock show --step TRACE steps through it, forward and back"
        )
    if trace.backend == "multiprocessing":
        raise UsageError(
            "this trace is of processes, and a debugger sees the frames of its own process alone: "
            "tracelock show --step TRACE steps through it, or explore the code on threads"
        )
    if not len(trace.events):
        raise UsageError("this trace has no events to stop at")


__all__ = ["Away", "Reversible", "check_trace"]
