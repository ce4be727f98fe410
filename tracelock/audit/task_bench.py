"""Clients of one class under control whose workers are tasks of asyncio.

The calls are awaited. All orders of the tasks' steps are tried, whatever those touch: the order of
calls and returns in real time counts, too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from tracelock.audit.bench import WORKERS, Bench, Judgement
from tracelock.audit.clients import ClientOf, named
from tracelock.audit.clocks import AFTER, CallClocks
from tracelock.audit.reading import LIMIT, MethodCall
from tracelock.audit.results import CANCELLED, WAITS
from tracelock.instrument.hub import Phase
from tracelock.instrument.loops.own_order import OwnOrder
from tracelock.schedulers.base import WORKER, Choice, Scheduler
from tracelock.session.code import PythonCode

#: The clock with which timers may fire at any time.
EARLY: Final = "adversarial"
#: The place of a task, of those that are no workers of the client.
_BACKGROUND: Final = -1


class TaskBench(Bench):
    """Of tasks, of which the first one may be cancelled, once, at each of its awaits."""

    backend = "asyncio"
    may_force = False

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.host.program.aim.plain = True
        self.host.program.aim.budget = 0

    @contextmanager
    def cancelled(self, wanted: bool) -> Iterator[None]:
        self.host.program.aim.budget = int(wanted)
        try:
            yield
        finally:
            self.host.program.aim.budget = 0

    @contextmanager
    def deadlines(self) -> Iterator[None]:
        # timers fire when the search says so: between any two steps the time may be up
        host, runner, settings = self.host, self.host.runner, self.host.settings
        host.runner = runner.with_clock(EARLY)
        host.settings = replace(settings, clock=EARLY)
        try:
            yield
        finally:
            host.runner, host.settings = runner, settings

    # --- the program -------------------------------------------------------------------------
    def _code(self, instrument: list[str]) -> PythonCode:
        workers = [*map(self._worker, range(self.width))]
        return PythonCode(
            workers, self._setup, self._afterwards, instrument, cancellations=1, cancellable=[0]
        )

    async def _setup(self) -> Any:
        self._begin_run()
        it = await self._made()
        for call in self._client.before:
            await self._attempt(call, it)
        self._gates = [self._gate() for _ in self._order or ()]
        self._let_on(-1)
        return it

    async def _made(self) -> Any:
        it = self._module.make()
        if inspect.iscoroutine(it):
            it = await it
        return self._known(it)

    def _attempt(self, call: MethodCall, it: Any) -> Any:
        return self._module.awaited(self._functions[call], it)

    def _worker(self, place: int) -> Callable[[Any], Any]:
        async def work(it: Any) -> None:
            run, order, gates = self.run, self._order, self._gates
            for number in self._client.numbers[place]:
                turn = 0
                if order is not None:
                    if number not in order:
                        break
                    turn = order.index(number)
                    await self._pass(gates[turn])
                    if self._open:
                        self._let_on(turn)
                run.events.append((True, number))
                self._clocks.begins(place, number, self._now)
                result = await self._made_call(place, number, it)
                if self._wound_up():
                    return  # the call waited for ever
                self._clocks.ends(place)
                run.results[number] = result
                run.events.append((False, number))
                if order is not None and not self._open:
                    self._let_on(turn)
                if run.cancelled is None and run.ignored is None and self._struck(place):
                    if result == CANCELLED:
                        run.cancelled = number
                        raise asyncio.CancelledError
                    run.ignored, run.late = number, self._was_late()

        return named(work, WORKERS[place])

    async def _made_call(self, place: int, number: int, it: Any) -> Any:
        """What a call of a worker comes to."""
        return await self._attempt(self._client.calls[number], it)

    def _gate(self) -> Any:
        """What one waits for and another opens, once."""
        return asyncio.get_running_loop().create_future()

    async def _pass(self, gate: Any) -> None:
        await gate

    def _open_gate(self, gate: Any) -> None:
        if not gate.done():
            gate.set_result(None)

    def _let_on(self, turn: int) -> None:
        if turn + 1 < len(self._gates):
            self._open_gate(self._gates[turn + 1])

    async def _afterwards(self, it: Any) -> None:
        """The calls in the end, each of which may wait for ever."""
        run = self.run
        run.timed = self._now > 0
        if run.waiting:
            return  # tasks that wait have been ended, and so has what they waited for
        self._clocks.begins(_BACKGROUND, AFTER, self._now)
        for call in self._client.after:
            run.after.append(WAITS)
            run.after[-1] = await self._attempt(call, it)
        run.checked = True

    @property
    def _now(self) -> float:
        """Virtual seconds."""
        return float(self.host.backend.hub.controller.now)

    def _wound_up(self) -> bool:
        """Whether the schedule has ended already: tasks that still wait are being ended."""
        return self.host.backend.hub.phase is not Phase.RUN

    def _struck(self, place: int) -> bool:
        """Whether a cancellation from outside has reached a worker."""
        # after the one from outside come those that the code makes itself, as timeouts do
        struck = self.host.backend.hub.injections.struck
        return bool(struck) and bool(struck[0].worker.number == place)

    def _was_late(self) -> bool:
        """Whether the library lets a call go on that is cancelled as what it waits for is there."""
        return False

    # --- runs --------------------------------------------------------------------------------
    def begin(self, client: ClientOf) -> None:
        super().begin(client)
        # a task without a call has a step all the same, whose order would be tried
        self.host.program.workers = self._all[: len(client.threads)]

    def own_order(self) -> Scheduler:
        if not self._open:
            return OwnOrder(once=True)
        calls = [
            next(place for place, mine in enumerate(self._client.numbers) if number in mine)
            for number in self._order or ()
        ]
        return _InTurn(list(dict.fromkeys(calls)), self.width)

    def _timing(self, controller: Any) -> None:
        run, clocks = self.run, self._clocks
        if not run.after:
            run.timed = controller.now > 0
        if run.timed or self._given:
            run.times = clocks.times()
            run.expired = self._may_have_expired(clocks)
        run.let_in = self._open and self._order is not None and run.timed

    def _may_have_expired(self, clocks: CallClocks) -> bool:
        """Whether a timeout has ended something, or may have, or what depends on the clock may be
        unknown."""
        return clocks.fired or clocks.looked

    def look(self, controller: Any, judge: Judgement) -> bool:
        timers = {gate.timers for gate in controller.loops.values()}
        fired = [event[5] for event in controller.log if event[0] in timers]
        self.run.other_timer = any(now != LIMIT for now in fired)
        return super().look(controller, judge)


class _InTurn(OwnOrder):
    """What the loop itself has to do comes first, then tasks of the class's own, then the workers
    in the order of their calls: one goes on as long as it can. ``width``: workers of the client."""

    def __init__(self, turns: list[int], width: int) -> None:
        super().__init__(once=True)
        self._turns, self._width = turns, width

    def pick(self, choice: Choice) -> int:
        if choice.kind != WORKER or len(choice.options) == 1:
            return super().pick(choice)
        return min(choice.options, key=self._rank)

    def _rank(self, worker: int) -> tuple[int, int]:
        gate = self._run.loops.get(worker)
        if gate is None or gate.timers == worker:
            return len(self._turns) + 2, worker
        if gate.callbacks == worker or gate.inside == worker:
            return _BACKGROUND - 1, worker
        if worker in self._turns:
            return self._turns.index(worker), worker
        return (_BACKGROUND if worker >= self._width else len(self._turns)), worker
