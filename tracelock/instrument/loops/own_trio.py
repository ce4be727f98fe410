"""Runs of trio that the code under test starts itself (see ``own``)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import sniffio
from trio import testing
from trio._core import _run

from tracelock.instrument.hub import Hub
from tracelock.instrument.loops import awaits
from tracelock.instrument.loops.own import OwnLoopTasks, may_run, refuse
from tracelock.instrument.loops.trio_patches import WAITING, sends_to
from tracelock.instrument.loops.trio_tasks import TrioTasks, VirtualTrioClock, forget_threads
from tracelock.instrument.patching import NOT_CONTROLLED, patch
from tracelock.instrument.worker import Worker


class OwnTrioTasks(OwnLoopTasks, TrioTasks):
    """The tasks of one such run, of which the first is its main task. ``mock``: the clock that the
    program has given it; its time goes on when nothing else is left to do, if at all."""

    def __init__(self, hub: Hub, worker: Worker, main: Any, arguments: Any, options: Any) -> None:
        self.main, self.arguments, self.options = main, arguments, options
        self.mock: Any = options.get("clock")
        super().__init__(hub, worker)
        awaits.learn(WAITING, keep=True)

    def begin(self) -> None:
        if not any(isinstance(loop, OwnTrioTasks) for loop in self.hub.own_loops):
            forget_threads()
        options = dict(self.options)
        clock = options.pop("clock", None) or VirtualTrioClock(self)
        instruments = options.pop("instruments", ())
        options.setdefault("restrict_keyboard_interrupt_to_checkpoints", False)
        self._start(clock, instruments, options, self.main, *self.arguments)
        runner = self.runner
        runner.clock_autojump_threshold = math.inf
        while self.running and runner.main_task is None and runner.main_task_outcome is None:
            self._system_steps()

    @contextlib.contextmanager
    def entered(self, ident: int) -> Iterator[None]:
        library: Any = sniffio.thread_local
        before, library.name = library.name, "trio"
        try:
            with sends_to(self):
                yield
        finally:
            library.name = before
            if self.running:  # the schedule is over
                self.close()

    def close(self) -> None:
        if self.running:
            super().close()
            self.running = False
        else:
            self.close_lost()

    def finished(self) -> bool:
        return not self.running

    def counts(self, task: Any) -> bool:
        return True

    # --- a clock of the program's own ------------------------------------------------------------
    def next_deadline(self) -> tuple[float, str] | None:
        if self.mock is None:
            return super().next_deadline()
        left = self._left()
        if left == math.inf or (left and self.mock.autojump_threshold == math.inf):
            return None
        return self.hub.controller.now + left, "(deadline):0"

    def _left(self) -> float:
        """How long it is to the next deadline, by the clock of the program."""
        deadline: float = self.runner.deadlines.next_deadline()
        now: float = self.mock.current_time()
        return max(0.0, deadline - now)

    def fire_timers(self) -> None:
        if self.mock is not None:
            self.mock.jump(self._left())
        self._pass()


@patch("trio.run")
def run(worker: Worker, real: Any, async_fn: Any, *arguments: Any, **options: Any) -> Any:
    if not may_run(worker) or _run.in_trio_run():
        return real(async_fn, *arguments, **options)  # raises: another run is under way
    clock = options.get("clock")
    if clock is not None and (type(clock) is not testing.MockClock or clock.rate):
        refuse(worker, "a trio run with a clock that goes on by itself is not under control")
    tasks = OwnTrioTasks(worker.hub, worker, async_fn, arguments, options)
    tasks.drive()
    return tasks.runner.main_task_outcome.unwrap()


@patch("trio.lowlevel.start_guest_run", NOT_CONTROLLED)
def start_guest_run(worker: Worker, real: Any, *args: Any, **kwargs: Any) -> Any:
    refuse(worker, "a trio run that is the guest of another loop is not under control")
