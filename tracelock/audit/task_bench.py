"""Clients of one class under control whose workers are tasks of asyncio.

The calls are awaited. All orders of the tasks' steps are tried, whatever those touch: the order of
calls and returns in real time counts, too.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from tracelock.audit.bench import WORKERS, Bench, ClientRun, Judgement, named
from tracelock.audit.clients import ClientOf
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

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._known_runs: dict[Any, ClientRun] = {}
        self.host.program.aim.plain = True
        self.host.program.aim.budget = 0
        self._all = list(self.host.program.workers)

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
                result = await self._made_call(place, number, it)
                if self._wound_up():
                    return  # the call waited for ever
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
        run.timed = self.host.backend.hub.controller.now > 0
        if run.waiting:
            return  # tasks that wait have been ended, and so has what they waited for
        for call in self._client.after:
            run.after.append(WAITS)
            run.after[-1] = await self._attempt(call, it)
        run.checked = True

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

    def in_orders(self, order: Sequence[int], open: bool = False) -> list[ClientRun]:
        """What was made for another client already is not made again: of two calls beside each
        other there are many, and of each of them alone few."""
        client = self._client
        worker = {n: place for place, mine in enumerate(client.numbers) for n in mine}
        made = tuple([(worker[number], client.calls[number]) for number in order])
        key = (client.before, made, client.after, open)
        known = self._known_runs.get(key)
        if known is None:
            run = self.in_order(order, open)
            if not _is_plain([*run.results.values(), *run.after]):
                return [run]
            known = self._known_runs[key] = _renumbered(run, list(order).index)
        return [_renumbered(known, lambda place: order[place])]

    def look(self, controller: Any, judge: Judgement) -> bool:
        if not self.run.after:
            self.run.timed = controller.now > 0
        timers = {gate.timers for gate in controller.loops.values()}
        fired = [event[5] for event in controller.log if event[0] in timers]
        self.run.other_timer = any(now != LIMIT for now in fired)
        return super().look(controller, judge)


def _renumbered(run: ClientRun, number: Callable[[int], int]) -> ClientRun:
    """The same run with other numbers of the calls."""
    results = {number(one): result for one, result in run.results.items()}
    events = [(starts, number(one)) for starts, one in run.events]
    return ClientRun(results, events, [*run.after], run.checked, died=run.died, timed=run.timed)


def _is_plain(results: Any) -> bool:
    """Whether there is no object in some results that would live on with them."""
    return all(
        _is_plain(one) if isinstance(one, (tuple, list)) else type(one).__name__ != "Unequal"
        for one in results
    )


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
