"""What calls see of time: what the clock shows to them, and which of their waits end by a timeout.
And the orders in which they are made, where these are not searched.

Time passes in a schedule where nobody can go on. Calls that sleep or wait beside each other share
that time, which in no order of the calls they do: one after the other the same calls take longer,
and what depends on the clock is another thing. So the clock and timeouts count as what is *given*
to a call, like its arguments: a schedule is compared with orders in which each call, made alone, is
shown the times that it was shown there, and in which those of its waits end by their timeout that
ended so there. A call whose own sleeping takes it further than that is shown the later time.

What is left, once both are given, is what other calls do, which has to be that of an order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from math import prod
from typing import TYPE_CHECKING, Any, Final

from tracelock.audit.clients import ClientOf, orders
from tracelock.ops import EMPTY, SLEEP, TIMEOUT
from tracelock.schedulers.base import TIMER, WORKER, Choice, OneSchedule, Run, Wrapper

if TYPE_CHECKING:
    from tracelock.audit.bench import ClientRun
    from tracelock.audit.judging import Judge

#: The number of the calls that are made afterwards, which count as one.
AFTER: Final = -1
#: Other times that are given to the calls of one schedule, at most.
MOST_OTHERS: Final = 24


@dataclass(frozen=True)
class CallTime:
    """What a call has seen of time. ``begun``: ns of virtual time before it; ``readings``: what the
    clock has shown it; ``waits``: of each wait with a timeout whether that has ended it."""

    begun: int
    readings: tuple[int, ...] = ()
    waits: tuple[bool, ...] = ()


#: Of each call by its number, in their order.
CallTimes = tuple[tuple[int, CallTime], ...]


class CallClocks:
    """The clocks of the calls of one schedule. ``given``: what is shown to them, where it is not
    the time that has passed; ``fired``, ``looked``: of tasks, whether timers fired that were not
    those of a sleep, and whether the clock of the loop was read, which cannot be given."""

    def __init__(self, given: CallTimes = ()) -> None:
        self.given = dict(given)
        self.readings: dict[int, list[int]] = {}
        self.begun: dict[int, int] = {}
        #: Of each call its worker, and the steps before it began and ended.
        self.places: dict[int, tuple[int, int, int | None]] = {}
        self.fired = self.looked = False
        self._ahead: dict[int, int] = {}
        self._current: dict[int, int] = {}
        self._default: int | None = None

    def begins(self, worker: int, number: int, now: float, place: int = 0) -> None:
        """A call of a worker begins, or the calls afterwards. ``now``: virtual seconds; ``place``:
        steps so far."""
        if number == AFTER:
            self._default = AFTER
        else:
            self._current[worker] = number
        self.begun[number], self.readings[number] = round(now * 1e9), []
        self.places[number] = (worker, place, None)

    def ends(self, worker: int, place: int = 0) -> None:
        number = self._current.pop(worker)
        self.places[number] = (*self.places[number][:2], place)

    def call_of(self, worker: int) -> int | None:
        """The number of the call that a worker is making."""
        return self._current.get(worker, self._default)

    def show(self, worker: int, passed: int) -> int:
        """The ns of virtual time that a worker is shown when so many have passed."""
        number = self.call_of(worker)
        if number is None:
            return passed
        readings, given = self.readings[number], self.given.get(number)
        if given is not None:
            ahead = self._ahead.get(number, 0)
            own = given.begun + passed - self.begun[number] + ahead
            known = given.readings[len(readings) : len(readings) + 1]
            passed = max(own, *known) if known else own
            self._ahead[number] = ahead + passed - own
        readings.append(passed)
        return passed

    def beside(self, what: str) -> None:
        """See ``ShownClock``."""
        self.fired = self.fired or what == "fired"
        self.looked = self.looked or what == "read"

    def times(self, log: Sequence[Any] = ()) -> CallTimes:
        """What the calls have seen of time. ``log``: of a run of threads, "" of tasks."""
        return tuple(
            (
                number,
                CallTime(
                    self.begun[number], tuple(self.readings[number]),
                    tuple(waits_of(log, *self.places[number])) if number != AFTER else (),
                ),
            )
            for number in sorted(self.begun)
        )  # fmt: skip


def waits_of(log: Sequence[Any], worker: int, begun: int, ended: int | None) -> list[bool]:
    """Of each wait with a timeout of a worker, in a part of the log, whether it has ended by
    that."""
    return [
        seen is False or seen is EMPTY
        for who, kind, op, seen, _, _ in log[begun:ended]
        if who == worker and kind != TIMEOUT and seen is not None and (op.timeout or 0) > 0
    ]


def matter(times: CallTimes) -> bool:
    """Whether calls have seen anything of time but that it stands still."""
    waits = any(any(one.waits) for _, one in times)
    reads = any(one.readings for _, one in times)
    return waits or (reads and any(one.begun or any(one.readings) for _, one in times))


def others(seen: CallTimes, made: Iterable[CallTimes]) -> list[CallTimes] | None:
    """What else may be given to calls which have seen these times. ``made``: what they asked for
    where they were given them. A call that looks at the clock less often there may look at any of
    its times. Empty where all asked as often; None where some asked more often, or waited more or
    less often, or where that is too much: then what they would have seen is not known."""
    fewer: set[int] = set()
    for times in made:
        found = dict(times)
        for number, one in seen:
            other = found.get(number)
            if other is None:
                continue
            if any((*one.waits, *other.waits)) and len(one.waits) != len(other.waits):
                return None
            if len({one.begun, *one.readings, *other.readings}) == 1:
                continue
            if len(other.readings) > len(one.readings):
                return None
            if len(other.readings) < len(one.readings):
                fewer.add(number)
    known = [_some_of(one) if number in fewer else [one] for number, one in seen]
    if prod(map(len, known)) > MOST_OTHERS:
        return None
    numbers = [number for number, _ in seen]
    return [tuple(zip(numbers, one, strict=True)) for one in product(*known)] if fewer else []


def _some_of(seen: CallTime) -> list[CallTime]:
    """The same with some of the readings, in their order."""
    every = seen.readings
    kept = [some for count in range(1, len(every) + 1) for some in combinations(every, count)]
    return [CallTime(seen.begun, some, seen.waits) for some in dict.fromkeys(kept)]


def in_vain(judge: Judge, run: ClientRun) -> bool | None:
    """Of a schedule that a judge does not explain, one of whose calls has waited in vain until its
    time was up: whether it is wrong all the same. It is if that call comes to something else than
    where it waits in vain one after the other, or if the others do not come to what they do where
    it is not made. None where that is not known."""
    client = judge.client
    late = [number for number, one in run.times if number != AFTER and any(one.waits)]
    if len(late) != 1 or run.waiting or all(one[-1:] != (late[0],) for one in client.numbers):
        return None
    [number] = late
    waits = dict(run.times)[number].waits
    alone = [
        made.results[number] for made in judge.made()
        if number in made.results and made.times and dict(made.times)[number].waits == waits
    ]  # fmt: skip
    if not alone:
        return None

    def seen(one: ClientRun) -> Any:
        kept = [(n, call) for n, call in enumerate(client.calls) if n != number]
        found = [judge.contracts.view(call, one.results[n]) for n, call in kept]
        after = zip(client.after, one.after, strict=False)
        return judge.numbered([*found, *(judge.contracts.view(*pair) for pair in after)])

    if run.results[number] not in alone:
        return True
    before = {pair for pair in run.before() if number not in pair}
    rest = [tuple(n for n in one if n != number) for one in client.numbers]
    for order in orders(rest):
        for made in judge.orders_of(order, False):
            if not made.waiting and before <= made.before() and seen(made) == seen(run):
                return False
    return True


#: Orders of calls that are kept, at most.
_MOST: Final = 50_000


class KnownOrders:
    """What calls came to one after the other, for all clients: of two calls beside each other there
    are many clients, and of each of them alone few; calls that lead to one that waits are the
    beginning of many.

    What an order comes to depends on nothing but the calls that were made before, those in it, who
    makes each and what it is given of time, and those afterwards: a worker makes no call that is
    not in it. What waits, while no other call is made, waits whatever would come after it.
    """

    def __init__(self) -> None:
        self._known: dict[Any, ClientRun] = {}

    def look(
        self, client: ClientOf, order: Sequence[int], open: bool, given: Mapping[int, Any]
    ) -> ClientRun | None:
        """What an order comes to, None where that is not known. ``given``: of time, to calls."""
        for length in range(1 if not open else len(order), len(order) + 1):
            known = self._known.get(_key(client, order[:length], open, given))
            if known is not None and (length == len(order) or known.waiting):
                return _renumbered(known, lambda place: order[place])
        return None

    def note(
        self, client: ClientOf, order: Sequence[int], open: bool, given: Mapping[int, Any],
        run: ClientRun,
    ) -> None:  # fmt: skip
        if len(self._known) >= _MOST or not _is_plain([*run.results.values(), *run.after]):
            return
        made = order[: len(run.begun)] if run.waiting and not open else order
        key = _key(client, made, open, given)
        self._known[key] = _renumbered(run, list(order).index)


def _key(client: ClientOf, order: Sequence[int], open: bool, given: Mapping[int, Any]) -> Any:
    worker = {n: place for place, mine in enumerate(client.numbers) for n in mine}
    made = tuple([(worker[number], client.calls[number]) for number in order])
    return client.before, made, client.after, open, tuple(map(given.get, (*order, AFTER)))


def _renumbered(run: ClientRun, number: Callable[[int], int]) -> ClientRun:
    """The same run with other numbers of the calls."""
    return replace(
        run,
        results={number(one): result for one, result in run.results.items()},
        events=[(starts, number(one)) for starts, one in run.events],
        after=[*run.after],
        times=tuple(
            sorted((one if one == AFTER else number(one), seen) for one, seen in run.times)
        ),
    )


def _is_plain(results: Any) -> bool:
    """Whether there is no object in some results that would live on with them."""
    return all(
        _is_plain(one) if isinstance(one, (tuple, list)) else type(one).__name__ != "Unequal"
        for one in results
    )


class Following(OneSchedule):
    """The workers in a given order, as long as that can be."""

    name = "in real time"

    def __init__(self, workers: Sequence[int]) -> None:
        self._left = deque(workers)

    def pick(self, choice: Choice) -> int:
        if choice.kind != WORKER:
            return choice.options[0]
        wanted = self._left.popleft() if self._left else -1
        return wanted if wanted in choice.options else choice.options[0]


class Noting(Wrapper):
    """Any scheduler, with the run that it decides for kept."""

    controller: Any = None

    def attach(self, run: Run) -> None:
        self.controller = run
        self.inner.attach(run)


class TimedOrder(OneSchedule):
    """Under a clock whose timers may fire at any time: whoever goes on goes on as long as it can,
    sleeps meanwhile, too, and a wait ends by its timeout where that is given, and where nobody can
    go on otherwise."""

    name = "in turn"

    def __init__(self, clocks: Callable[[], CallClocks]) -> None:
        #: Gives the clocks of the schedule, once it has begun.
        self._clocks = clocks
        self._run: Any = None

    def attach(self, run: Run) -> None:
        self._run = run

    def pick(self, choice: Choice) -> int:
        if choice.kind == TIMER:
            return int(self._expires(choice.worker))
        if choice.kind != WORKER:
            return choice.options[0]
        able = [one for one in choice.options if self._goes_on(one)]
        able = able or [one for one in self._run._due() if one in choice.options]
        able = able or [*choice.options]
        return choice.current if choice.current in able else able[0]

    def _goes_on(self, worker: int) -> bool:
        run = self._run
        op = run.pending[worker]
        if op.kind == SLEEP:
            return bool(worker == run.current)
        return bool(run._could(worker, op)) or self._expires(worker)

    def _expires(self, worker: int) -> bool:
        clocks = self._clocks()
        number = clocks.call_of(worker)
        given = None if number is None else clocks.given.get(number)
        if number is None or number == AFTER or given is None:
            return False
        done = len(waits_of(self._run.log, *clocks.places[number]))
        return bool(given.waits[done : done + 1] == (True,))
