"""The same of coroutines, one of whose calls may be cancelled.

A call that was cancelled has not happened, or it has happened wholly: each other result, what goes
on waiting and what is asked afterwards have to be those of an order of the other calls without it,
or of one with it, whose own result is not looked at. Calls that its worker would have made later
are not made. A call that takes something for its caller (a lock, a permit, an item) must not have
happened, as nobody has what it took; one that leaves a block must have happened wholly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import permutations, product
from typing import Any, Final

from tracelock.audit.bench import ClientRun
from tracelock.audit.clients import orders, shown_as
from tracelock.audit.judging import Anomaly, Judge, LegalOrder, afterwards
from tracelock.audit.reading import MethodCall
from tracelock.audit.results import CANCELLED, NOT_MADE, WAITS
from tracelock.history.contracts import LOSES, NO_CRASH, RENDEZVOUS

Order = tuple[int, ...]
#: Methods that take something for their caller, by their names; without arguments, the second ones.
_TAKES: Final = re.compile(
    r"^(try_?)?(acquire|pop|take|recv|receive|dequeue|checkout|borrow|lease|claim|reserve)(_\w+)?$"
)
_BARE: Final = re.compile(r"\((\w*timeout\w*=1)?\)$")
_TAKES_BARE: Final = frozenset({"get", "lock", "next", "anext", "async with", "with"})


def takes(call: MethodCall) -> bool:
    """Whether a call takes something for its caller, by what it is called."""
    source = call.source
    if source.startswith("within("):
        source = source.removesuffix(")")
    bare = _BARE.search(source) and call.method in _TAKES_BARE
    return not _leaves(call) and bool(bare or _TAKES.match(call.method))


def _leaves(call: MethodCall) -> bool:
    """Whether a call leaves a block."""
    return call.source.endswith((".__aexit__(None, None, None)", ".__exit__(None, None, None)"))


@dataclass
class TaskJudge(Judge):
    """``cancelling``: only schedules in which a call of the first worker was cancelled are judged;
    ``cancelled``: how many those were, ``ignored``: calls that went on all the same;
    ``meeting``: schedules that the contract ``rendezvous`` leaves unjudged;
    ``not_compared``: those in which time passed while a call waited that was cancelled;
    ``expired``: what the first call comes to when its time is up, None where it has no limit;
    ``other_timers``: schedules in which time was up for something else;
    ``lost``: what would be seen where a cancelled call has kept what it must not keep."""

    cancelling: bool = False
    cancelled: int = 0
    expired: Any = None
    other_timers: int = 0
    ignored: set[str] = field(default_factory=set)
    not_compared: int = 0
    meeting: int = 0
    lost: list[LegalOrder] = field(default_factory=list)
    _made: dict[tuple[Order, bool], list[ClientRun]] = field(default_factory=dict)
    _right: set[Any] = field(default_factory=set)

    def learn(self) -> None:
        """Make the calls, and the first ones of each worker, in every order."""
        self.oracle.begin(self.client)
        for order in self._orders():
            closed = self._made[order, False] = self.oracle.in_orders(order)
            if any(run.waiting or self._lets_in(run) for run in closed):
                self._made[order, True] = self.oracle.in_orders(order, True)
        for runs in self._made.values():
            for run in runs:
                if run.died:
                    self.unjudged = f"one after the other, {run.died}"
        for (order, opened), runs in self._made.items():
            waits = any(run.waiting for run in self._made[order, False])
            for run in runs:
                if run.begun == set(order):
                    # see ``Judge._learn``; of a cancelled call it is another question
                    late = opened and run.let_in and not waits and not self._one_ends
                    legal = self.spread if late else self.legal
                    for one in self._legal(order, run):
                        (self.lost if self._loses(one) else legal).append(one)

    @property
    def _one_ends(self) -> bool:
        """Whether it is asked what comes of a call that is cancelled, or whose time is up."""
        return self.cancelling or self.expired is not None

    def _lets_in(self, run: ClientRun) -> bool:
        """Whether a call may have waited for others as long as its timeout lets it. Where one is
        cancelled, what others have seen meanwhile has to be known of each that takes time."""
        return run.timed if self._one_ends else run.timeouts

    def _sees_time(self) -> bool:
        """Whether time passes in some order, and calls look at it: made wholly, a call would have
        taken time that one that is cancelled does not take."""
        return any(
            run.timed and (run.expired or any(one.readings for _, one in run.times))
            for run in self.made()
        )

    def made(self) -> Iterator[ClientRun]:
        for runs in self._made.values():
            yield from runs

    @property
    def timed(self) -> bool:
        """Whether time passes in some order."""
        return any(run.timed for runs in self._made.values() for run in runs)

    def _orders(self) -> Iterator[Order]:
        """Orders of the first calls of each worker."""
        numbers = self.client.numbers
        for lengths in product(*(range(len(one) + 1) for one in numbers)):
            begun = [one[:length] for one, length in zip(numbers, lengths, strict=True)]
            yield from orders(begun)

    def _legal(self, order: Order, run: ClientRun) -> Iterator[LegalOrder]:
        """What may be seen where these calls were made, some of which may wait: of each worker
        they are all, or the last of them waits, or it is cancelled, or the next one is."""
        first = [number for number in self.client.numbers[0] if number in order]
        cancelled: list[int | None] = [None]
        if self._one_ends:
            cancelled += first[-1:]
            if not (first and first[-1] in run.waiting):
                cancelled += self.client.numbers[0][len(first) : len(first) + 1]
        for one in cancelled:
            waiting = [number for number in run.waiting if number != one]
            if not self._stops(order, waiting, one):
                continue
            # who has waited until its time was up has done nothing
            done = frozenset(
                number for number, result in run.results.items()
                if number or self.expired is None or result != self.expired
            )  # fmt: skip
            if waiting and not self._wait(done, waiting):
                continue
            after: list[Any] | None = run.after
            if one in run.waiting:  # others may have seen that it waited
                after = self._after([number for number in order if number != one])
            if after is None:
                continue
            made = ClientRun(run.results, run.events, [] if waiting else after, cancelled=one)
            yield LegalOrder(run.before(), self.results(made), self.whole(made), one, done)

    def _loses(self, legal: LegalOrder) -> bool:
        """Whether a cancelled call has happened that must not, or the other way round."""
        if legal.cancelled is None:
            return False
        call = self.client.calls[legal.cancelled]
        contracts = self.contracts
        if contracts.of(call.method) == LOSES or call.method in contracts.take_nothing:
            return False
        happened = legal.cancelled in legal.effects
        if self._own_limit:
            return happened  # it says itself that it has not
        return takes(call) if happened else _leaves(call)

    def _stops(self, order: Order, waiting: Sequence[int], cancelled: int | None) -> bool:
        """Whether no worker makes a further call after those of an order."""
        for place, numbers in enumerate(self.client.numbers):
            mine = [number for number in numbers if number in order]
            over = len(mine) == len(numbers) or (mine and mine[-1] in waiting)
            if not over and (place or cancelled is None):
                return False
        return True

    def _wait(self, done: frozenset[int], waiting: Sequence[int]) -> bool:
        """Whether these calls wait when they are made, one after the other, after all of the
        others have ended: then none of them waits for what it was not told of."""
        count = len(done)
        return any(
            run.waiting == sorted(waiting) and afterwards(run, waiting)
            for (order, _), runs in self._made.items()
            if done == set(order[:count]) and sorted(order[count:]) == sorted(waiting)
            for run in runs
        )

    def _after(self, order: Sequence[int]) -> list[Any] | None:
        """What calls come to in the end, after those of an order; None where one of those waits."""
        for opened in (False, True):
            for run in self._made.get((tuple(order), opened), ()):
                if not run.waiting:
                    return run.after
        return None

    def shown_legal(self) -> list[tuple[Any, ...]]:
        """What may be seen; where a call may run out of time it is what that comes to."""
        if self.expired is None:
            return [one.whole for one in self.legal]
        return [
            (self.expired, *one.whole[1:]) if one.cancelled == 0 else one.whole
            for one in self.legal
        ]

    # --- what is seen of a schedule ----------------------------------------------------------
    def results(self, run: ClientRun) -> tuple[Any, ...]:
        return self.numbered(self._shown(run))

    def whole(self, run: ClientRun) -> tuple[Any, ...]:
        after = zip(self.client.after, run.after, strict=False)
        return self.numbered([
            *self._shown(run), *(self.contracts.view(one, result) for one, result in after)
        ])  # fmt: skip

    def _shown(self, run: ClientRun) -> list[Any]:
        begun, found = run.begun, []
        for number, call in enumerate(self.client.calls):
            if number == run.cancelled:
                found.append(CANCELLED)
            elif number in run.results:
                found.append(self.contracts.view(call, run.results[number]))
            else:
                found.append(WAITS if number in begun else NOT_MADE)
        return found

    # --- judging -----------------------------------------------------------------------------
    def __call__(self, run: ClientRun) -> bool:
        if run.died:
            return self._found(run, Anomaly("worker dies", run.died.splitlines()[0][:200]))
        if self.expired is not None:
            expires = run.results.get(0) == self.expired
            # what goes wrong beside it is told elsewhere: of two calls in their own cell
            if not (expires or (run.timed and len(self.client.threads) == 2)):
                return False
            if run.other_timer:
                self.other_timers += 1
                return False
            if expires:
                run.cancelled, run.results[0] = 0, CANCELLED
                self.cancelled += 1
        if self.cancelling:
            if run.cancelled is None and run.ignored is None:
                return False
            self.cancelled += 1
        if run.ignored is not None and not run.late:
            self.ignored.add(str(self.client.calls[run.ignored]))
        key = (run.cancelled, self.whole(run), frozenset(run.before()), run.given, run.timeouts)
        if key in self._right:
            return False
        if run.given and not self._one_ends:
            self.asked.setdefault(key, run)
            return False
        if self._one_ends:
            anomaly = self.judged(run)
        else:
            anomaly = self._timed(run, lambda judge: judge.judged(run))
        if anomaly is not None:
            return self._found(run, anomaly)
        self._right.add(key)
        return False

    def reasons(self) -> list[str]:
        found = super().reasons()
        if self.meeting:
            found.append(
                "calls that wait for each other came to what no order explains, which the contract "
                "rendezvous allows: that was not judged"
            )
        if self.not_compared:
            found.append(
                "time passed while a call waited that was then cancelled: what depends on the time "
                "was not compared there"
            )
        if self.other_timers:
            found.append(
                "the class has timers of its own: what comes of a deadline was not judged where "
                "one of those had fired"
            )
        return found + [f"{one} goes on when it is cancelled" for one in sorted(self.ignored)]

    def settle(self) -> None:
        return  # what waits is judged at once

    def judged(self, run: ClientRun) -> Anomaly | None:
        calls, cancelled = self.client.calls, run.cancelled
        words = [self.contracts.of(one.method) for one in calls]
        legal = [one for one in self.legal if one.cancelled == cancelled]
        results = self.results(run)
        how = "was cancelled" if self.expired is None else "has run out of time"
        lead = "" if cancelled is None else f"after {calls[cancelled]} {how}, "
        if run.ignored is not None:
            lead = f"{calls[run.ignored]} being cancelled, "
        others = [NOT_MADE if n == cancelled else one for n, one in enumerate(results)]
        if self.cancelled_by_contract(others):
            return None
        for number, call in enumerate(calls):
            result = results[number]
            error = _error(result) if number != cancelled else ""
            if error and all(one.results[number] != result for one in legal):
                return Anomaly(f"raises {error}", f"{lead}{call} raises {error}, in no order")
        if all(word == NO_CRASH for word in words):
            return None
        fitting = [one for one in legal if one.results == results]
        whole, before = self.whole(run), run.before()
        if cancelled is not None and not any(one.whole == whole for one in fitting):
            loss = [one for one in self.lost if one.cancelled == cancelled and one.whole == whole]
            if loss:
                return self._loss(lead, whole, legal)
        timed = cancelled is not None and self.expired is None
        timed = timed and (run.timed or self._sees_time())
        if timed and not any(one.whole == whole for one in fitting):
            self.not_compared += not run.waiting
            if not run.waiting:
                return None  # without the call less time would have passed
        if not fitting:
            if RENDEZVOUS in words:
                self.meeting += 1
                return None
            if run.waiting:
                told = " and ".join(str(calls[number]) for number in run.waiting)
                return Anomaly("never ends", f"{lead}{told}: waits for ever, in no order")
            return self._half(self._wrong(results, legal), lead)
        timely = [
            one for one in fitting if before & set(permutations(one.effects, 2)) <= one.before
        ]
        if not timely and RENDEZVOUS in words:
            self.meeting += 1
            return None
        if not timely and timed:
            self.not_compared += 1
            return None
        if not timely:
            return Anomaly(
                "wrong order", f"{lead}calls took effect before those that had ended earlier"
            )
        if any(one.whole == whole for one in timely):
            return None
        return self._half(self._state(whole, timely), lead)

    @property
    def _own_limit(self) -> bool:
        """Whether the first call ends by itself when its time is up."""
        return self.expired is not None and not self.client.calls[0].source.startswith("within(")

    def _loss(self, lead: str, whole: tuple[Any, ...], legal: list[LegalOrder]) -> Anomaly:
        """What shows that a cancelled call has kept what nobody has got from it."""
        calls = [*self.client.calls, *self.client.after]
        kind, without = "lost in cancel", "nothing were lost"
        if self.expired is not None:
            kind = "lost in timeout"
            if not takes(calls[0]):
                kind, without = "done in timeout", "it had not been done"
        for place, call in enumerate(calls):
            got = whole[place] if place < len(whole) else WAITS
            wanted = {one.whole[place] if place < len(one.whole) else WAITS for one in legal}
            if wanted and got not in wanted:
                should = " or ".join(sorted(map(shown_as, wanted)))
                return Anomaly(
                    kind,
                    f"{lead}{call} {shown_as(got)}; if {without} it {should}",
                )
        return Anomaly(kind, f"{lead}what it took is nobody's")

    @staticmethod
    def _half(anomaly: Anomaly, lead: str) -> Anomaly:
        """The same of a call that was cancelled, which has neither happened nor not happened."""
        if not lead:
            return anomaly
        kind = anomaly.kind if anomaly.kind == "never ends" else "half done"
        return Anomaly(kind, lead + anomaly.detail)


def _error(result: Any) -> str:
    """The exception that a result is, "" where it is none."""
    if result == CANCELLED:
        return "CancelledError"
    return str(result[1]) if result[0] == "raises" else ""
