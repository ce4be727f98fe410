"""Clients of one class under control, in one session that is opened once for all of them.

A client is run one call after the other, or explored. Both are the same program under the same
control, with the same clock, threads and stand-ins: what calls come to one after the other is only
comparable if it comes from there. In an order each call waits until it is its turn. The turn of the
next one comes when a call has ended: then nobody else can go on while one is at work, a call that
waits for another one is a deadlock, and a timeout passes. Or (``open``) it comes when a call
begins, under a scheduler that lets others on only where one waits: calls that wait for one another
meet.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final, Self

from tracelock.audit.clients import ClientOf, named, shut
from tracelock.audit.clocks import (
    AFTER,
    CallClocks,
    CallTimes,
    Following,
    KnownOrders,
    Noting,
    TimedOrder,
    matter,
)
from tracelock.audit.overlaps import Overlaps, Pair, overlaps_of
from tracelock.audit.reading import MethodCall
from tracelock.audit.results import WAITS as WAITS
from tracelock.engine.limits import Interrupted, RunLimits
from tracelock.errors import UsageError
from tracelock.explore.search import Budget, Searched
from tracelock.instrument.shown_clock import ShownClock
from tracelock.schedulers.base import Run, Scheduler, Wrapper
from tracelock.session.code import PythonCode
from tracelock.session.host import run_once
from tracelock.session.plan import Plan
from tracelock.session.python_host import PythonHost
from tracelock.session.targets import target_for

#: Events of a schedule of a client.
STEPS: Final = 5_000
STALL: Final = 3.0
#: Why nothing is claimed of a client.
_NOT_DERIVED: Final = "which calls may end before others begin could not be derived"
#: What the workers are called.
WORKERS: Final = ("first", "second", "third", "fourth")


@dataclass
class ClientRun:
    """What a schedule of a client came to: the result of each call by its number, those that have
    begun, calls and returns in their order, and what the calls after them came to. ``cancelled``:
    the call that a cancellation from outside has ended, ``ignored``: that went on in spite of one.
    """

    results: dict[int, Any] = field(default_factory=dict)
    events: list[tuple[bool, int]] = field(default_factory=list)
    after: list[Any] = field(default_factory=list)
    checked: bool = False
    cancelled: int | None = None
    ignored: int | None = None
    #: What that call waited for had come when it was cancelled.
    late: bool = False
    #: What went wrong beside that: a worker that died.
    died: str = ""
    #: Time was up for something else than for the call that has a limit.
    other_timer: bool = False
    #: Time passed in it: some sleep or timeout ended.
    timed: bool = False
    #: Its calls have seen that; a wait was, or may have been, ended by a timeout that is not known.
    times: CallTimes = ()
    expired: bool = False
    #: Of an order in which others come in where a call waits: perhaps where one only let time pass.
    let_in: bool = False
    #: Of each event, how many steps of all workers came before it.
    places: list[int] = field(default_factory=list)
    #: When its calls may begin and end in executions that are equivalent to it, if that is known.
    overlaps: Overlaps | None = None

    @property
    def begun(self) -> set[int]:
        return {number for starts, number in self.events if starts}

    @property
    def waiting(self) -> list[int]:
        """The calls that have begun and not ended."""
        return sorted(self.begun - self.results.keys())

    @property
    def given(self) -> CallTimes:
        """What its calls have to be given to be compared with others; nothing where time stood
        still for them."""
        return self.times if matter(self.times) else ()

    @property
    def timeouts(self) -> bool:
        """Whether a wait of it was, or may have been, ended by a timeout."""
        return self.expired or any(any(one.waits) for _, one in self.times)

    def before(self) -> set[tuple[int, int]]:
        """The pairs of calls of which the first had ended when the second began."""
        ended: set[int] = set()
        found = set()
        for starts, number in self.events:
            if starts:
                found |= {(one, number) for one in ended}
            else:
                ended.add(number)
        return found


#: What judges a schedule: whether the search is to end.
Judgement = Callable[[ClientRun], bool]


class Judging(Wrapper):
    """A search of which each schedule is judged, until that ends it."""

    def __init__(self, inner: Scheduler, bench: Bench, judge: Judgement) -> None:
        super().__init__(inner)
        self._bench, self._judge = bench, judge
        self._over = False
        self._run: Any = None

    def attach(self, run: Run) -> None:
        self._run = run
        self.inner.attach(run)

    def begin(self) -> bool:
        return not self._over and self.inner.begin()

    def end(self, steps: int) -> None:
        self.inner.end(steps)
        if not self.inner.cut and self._run.limit is None:
            self._bench.overlapping(self.inner, len(self._run.log))
            self._over = self._bench.look(self._run, self._judge)

    @property
    def exhaustive(self) -> bool:
        return not self._over and bool(self.inner.exhaustive)


class Bench:
    """Of threads. A context manager. ``module``: one of ``source.module_text``, with the ``calls``
    that it has; ``instrument``: modules to look into, that one among them."""

    backend = "threading"
    #: Whether timers can be had to fire, and workers to sleep while nobody else goes on.
    may_force = True

    def __init__(
        self, cls: type, module: ModuleType, calls: Sequence[MethodCall], workers: int,
        instrument: Sequence[str], interpreter: str = "",
    ) -> None:  # fmt: skip
        self._cls, self._module = cls, module
        self._functions = dict(zip(calls, module.CALLS, strict=True))
        self._client = ClientOf((), ((),) * workers)
        self._order: tuple[int, ...] | None = None
        self._open = False
        self._given: CallTimes = ()
        self._clocks = CallClocks()
        self._orders = KnownOrders()
        self._marked = False
        self._gates: list[Any] = []
        self._line: Any = None
        #: The class of what takes the place of the object under control, "" where it is itself.
        self.stand_in = ""
        self.run = ClientRun()
        self.schedules = 0
        self.width = workers
        self._ended: list[Any] = []
        code = self._code(["only", *instrument])
        plan = Plan(
            self.backend, "dpor", seconds=None, every=True, shrink=False, confirm=0,
            limits=RunLimits(steps=STEPS, stall=STALL), isolation="never",
            interpreter=interpreter,
        )  # fmt: skip
        target = target_for(None, code)
        self.plan = plan.completed(target)
        host = target.open(self.plan)
        assert isinstance(host, PythonHost)
        self.host = host
        self._all = list(host.program.workers)

    def __enter__(self) -> Self:
        self.host.__enter__()
        self.host.warm_up(True)
        return self

    def __exit__(self, *exc: object) -> None:
        self.host.__exit__(*exc)

    # --- the program -------------------------------------------------------------------------
    def _code(self, instrument: list[str]) -> PythonCode:
        # the calls in the end are made by a worker of their own, which may wait for ever
        workers = [*map(self._worker, range(self.width)), self._last()]
        return PythonCode(workers, self._setup, None, instrument)

    def _setup(self) -> Any:
        self._begin_run()
        # where it does not follow from what calls touch, the order in real time has to be shared
        # for the search to try it
        self._line = queue.SimpleQueue() if self._marked and self._order is None else None
        it = self._made()
        for call in self._client.before:
            self._attempt(call, it)
        self._gates = [shut() for _ in self._order or ()]
        if self._gates:
            self._gates[0].release()
        self._ended = [shut() for _ in range(self.width)]
        return it

    def _begin_run(self) -> None:
        self.run, self._clocks = ClientRun(), CallClocks(self._given)
        clock = self.host.backend.hub.wing(ShownClock)
        clock.show, clock.beside = self._clocks.show, self._clocks.beside

    def _made(self) -> Any:
        return self._known(self._module.make())

    def _known(self, it: Any) -> Any:
        if not isinstance(it, self._cls):
            self.stand_in = type(it).__qualname__
        return it

    def _attempt(self, call: MethodCall, it: Any) -> Any:
        return self._module.attempt(self._functions[call], it)

    def _worker(self, place: int) -> Callable[[Any], None]:
        def work(it: Any) -> None:
            run, order, gates, line = self.run, self._order, self._gates, self._line
            calls = self._client.calls
            for number in self._client.numbers[place]:
                if order is not None:
                    if number not in order:
                        break
                    turn = order.index(number)
                    gates[turn].acquire()
                    if self._open and turn + 1 < len(gates):
                        gates[turn + 1].release()
                if line is not None:
                    line.put(number)
                self._note(True, number, place)
                run.results[number] = self._attempt(calls[number], it)
                self._note(False, number, place)
                if line is not None:
                    line.put(number)
                if order is not None and not self._open and turn + 1 < len(gates):
                    gates[turn + 1].release()

            if self._client.after:
                self._ended[place].release()

        return named(work, WORKERS[place])

    def _note(self, begins: bool, number: int, place: int) -> None:
        controller = self.host.backend.hub.controller
        steps = len(controller.log)
        self.run.events.append((begins, number))
        self.run.places.append(steps)
        if begins:
            self._clocks.begins(place, number, controller.now, steps)
        else:
            self._clocks.ends(place, steps)

    def _last(self) -> Callable[[Any], None]:
        def afterwards(it: Any) -> None:
            run = self.run
            for one in self._ended:
                one.acquire()
            self._clocks.begins(self.width, AFTER, self.host.backend.hub.controller.now)
            for call in self._client.after:
                run.after.append(WAITS)
                run.after[-1] = self._attempt(call, it)
            run.checked = True

        return afterwards

    # --- orders in real time -----------------------------------------------------------------
    def overlapping(self, searched: Scheduler, steps: int) -> None:
        """Note when the calls of the schedule that has just ended may begin and end in those that
        are equivalent to it. ``steps``: of all workers in it."""
        run, past = self.run, getattr(searched, "history", None)
        if past is None or past.unforeseen or self._marked or run.waiting:
            return
        if len(past.before) != steps:
            if _NOT_DERIVED not in self.host.notes:
                self.host.notes.append(_NOT_DERIVED)
            return
        at: dict[tuple[bool, int], int] = dict(zip(run.events, run.places, strict=True))
        numbers = self._client.numbers
        calls = [(n, place) for place, mine in enumerate(numbers) for n in mine]
        if len(run.results) == len(calls):
            spans = [(place, at[True, n], at[False, n]) for n, place in calls]
            run.overlaps = overlaps_of(past, spans, [self.width])

    def in_real_time(self, overlaps: Overlaps, pairs: Sequence[Pair]) -> ClientRun | None:
        """An execution like this one in which of each of these pairs of calls the first one has
        ended when the second one begins; None where it cannot be had."""
        following = Following(overlaps.sequence(pairs))
        self._marked = True
        try:
            scheduler = Noting(following)
            run_once(self.host, scheduler)
            self.schedules += 1
            self._stopped(scheduler.controller)
            self.look(scheduler.controller, lambda run: True)
        finally:
            self._marked = False
        return self.run if set(pairs) <= self.run.before() else None

    # --- runs --------------------------------------------------------------------------------
    def own_order(self) -> Scheduler:
        """The order in which calls are made one after the other."""
        return self.host.backend.own_order()

    def begin(self, client: ClientOf) -> None:
        """What comes next is of this client: what is known of the last one is not told of it."""
        idle = [()] * (self.width - len(client.threads))
        if len(client.threads) > self.width:
            raise UsageError(f"a client of {len(client.threads)} workers, not of {self.width}")
        self.take(ClientOf(client.before, (*client.threads, *idle), client.after))
        self.host.notes.clear()
        self.host.backend.account.restart()
        self.host.backend.cut_daemons = False

    def take(self, client: ClientOf) -> None:
        """The same, told together with what came before; each worker has a line of it."""
        self._client = client
        # nobody has to wait for the others where nothing is asked afterwards
        self.host.program.workers = self._all[: None if client.after else self.width]

    def in_order(self, order: Sequence[int], open: bool = False) -> ClientRun:
        """The calls with these numbers one after the other, and those after them, if all have
        ended. ``open``: where one waits the next ones are made."""
        self._order, self._open = tuple(order), open
        try:
            forced = self.may_force and any(any(one.waits) for _, one in self._given)
            if not forced:
                self.once(self.own_order())
            if forced or (self.may_force and open and self.run.timed):
                self.once(TimedOrder(lambda: self._clocks), "adversarial")
        finally:
            self._order = None
        return self.run

    def once(self, order: Scheduler, clock: str | None = None) -> Any:
        """One schedule; its controller."""
        scheduler = Noting(order)
        run_once(self.host, scheduler, clock)
        self.schedules += 1
        self._stopped(scheduler.controller)
        self.look(scheduler.controller, lambda run: True)
        return scheduler.controller

    @contextmanager
    def given(self, times: CallTimes) -> Iterator[None]:
        """While this is entered calls in an order are shown these times, and have these
        timeouts."""
        self._given = times
        try:
            yield
        finally:
            self._given = ()

    def in_orders(self, order: Sequence[int], open: bool = False) -> list[ClientRun]:
        """The one thing that they come to. What is known of other clients is not made again."""
        given = dict(self._given)
        known = self._orders.look(self._client, order, open, given)
        if known is None:
            known = self.in_order(order, open)
            self._orders.note(self._client, order, open, given, known)
        return [known]

    def cancelled(self, wanted: bool) -> AbstractContextManager[None]:
        """While this is entered the first worker may be cancelled, or not."""
        if wanted:
            raise UsageError("threads are not cancelled")
        return nullcontext()

    def deadlines(self) -> AbstractContextManager[None]:
        """While this is entered the first call of each client has a limit of time."""
        return nullcontext()

    def explore(
        self, judge: Judgement, schedules: int, seconds: float, marked: bool = False
    ) -> Searched:
        """Search the client's schedules, each of which is judged, in all inequivalent orders.
        ``marked``: schedules with other orders of calls in real time are not equivalent."""
        host = self.host
        several = any(len(one) > 1 for one in self._client.threads)
        self._marked = marked or (several and host.runner.rules.blocks)
        make = type(host).scheduler

        def judged(strategy: str | Scheduler, seed: int, depth: int | None) -> Scheduler:
            return Judging(make(host, strategy, seed, depth), self, judge)

        host.scheduler = judged  # type: ignore[method-assign]
        try:
            found = host.search("dpor", 0, None, Budget(schedules, seconds), True, None)
        finally:
            self._marked = False
            del host.scheduler
        host.qualify(found)
        self.schedules += found.schedules
        if found.stopped == "interrupted":
            raise KeyboardInterrupt
        return found

    def _stopped(self, controller: Any) -> None:
        if self.host.stuck:
            raise UsageError(f"the audit cannot go on: {self.host.stuck}")
        if controller is not None and isinstance(controller.limit, Interrupted):
            raise KeyboardInterrupt

    def look(self, controller: Any, judge: Judgement) -> bool:
        """Judge the schedule that has just ended; whether the search is to end."""
        host = self.host
        if host.runner.rules.blocks and host.backend.names.learning:
            return False  # where this interpreter lets others in is not known yet
        well = controller.failure is None and not controller.active and not controller.crashed
        if not well:
            verdict = host.runner.verdict(controller)
            if verdict.kind not in ("deadlock", "passed"):
                self.run.died = verdict.message or verdict.kind
        self._timing(controller)
        return judge(self.run)

    def _timing(self, controller: Any) -> None:
        """Note what the calls have seen of time."""
        self.run.timed = controller.now > 0
        if controller.now > 0 or self._given:
            self.run.times = self._clocks.times(controller.log)
        self.run.let_in = self._open and self._order is not None and self.run.timeouts
