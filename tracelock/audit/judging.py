"""Is what came back from a client what its calls come to in some order, one after the other?"""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import Any, Final, Protocol, Self

from tracelock.audit.bench import WAITS, Bench, ClientRun
from tracelock.audit.clients import ClientOf, Contracts, kept_orders, orders, shown_as
from tracelock.audit.clocks import CallTimes, in_vain, others
from tracelock.audit.overlaps import Pair
from tracelock.audit.results import CANCELLED
from tracelock.history.contracts import CANCELS, NO_CRASH, RENDEZVOUS
from tracelock.history.values import told

_CANCELLED: Final = (("raises", "CancelledError"), CANCELLED)
_ITEMS: Final = ("items", "list", "mapping", "set", "tuple")


@dataclass(frozen=True)
class Anomaly:
    """``kind``: in two words; ``detail``: a sentence."""

    kind: str
    detail: str


@dataclass
class LegalOrder:
    """What the calls came to in an order in which all of them end: ``results`` by their numbers,
    then those of the calls after them. ``before``: pairs of calls of which the first had ended when
    the second began; ``cancelled``: the one that was cancelled meanwhile;
    ``effects``: those that took effect, where others wait or were not made."""

    before: set[tuple[int, int]]
    results: tuple[Any, ...]
    whole: tuple[Any, ...]
    cancelled: int | None = None
    effects: frozenset[int] = frozenset()


class Oracle(Protocol):
    """What says what calls come to one after the other."""

    def begin(self, client: ClientOf) -> None:
        """What comes next is of this client."""

    def in_orders(self, order: Sequence[int], open: bool = False) -> list[ClientRun]:
        """All that the calls with these numbers may come to; see ``Bench.in_order``."""


#: Why nothing is claimed of a client in which time passes.
_BESIDE: Final = (
    "what came of calls that take time beside each other may be for want of it: not judged there"
)
#: Exceptions that no want of time makes right.
_CRASHES: Final = ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError


@dataclass
class Judge:
    """Judges the schedules of one client. ``legal``: what its calls come to in each order that
    ends; ``anomaly``: what was found; ``unjudged``: why some schedules could not be judged;
    ``suspected``: schedules, each with pairs of calls, that would go wrong if of each pair the
    first one had ended before the second began, which is possible in an equivalent one.
    ``beside``: schedules that no order explains may be explained by time. ``given``: what each call
    is given of it (``clocks``); what needs others is judged by another judge, ``_others``.

    ``late``: orders of the calls are made only once they are needed, after the search: a serial
    schedule (``overlaps``) is explained by an order that was not run. ``asked``: the others."""

    oracle: Oracle
    client: ClientOf
    contracts: Contracts
    numbered: Callable[[Sequence[Any]], tuple[Any, ...]]
    legal: list[LegalOrder] = field(default_factory=list)
    anomaly: Anomaly | None = None
    run: ClientRun | None = None
    unjudged: str = ""
    pending: list[ClientRun] = field(default_factory=list)
    by_contract: set[str] = field(default_factory=set)
    suspected: list[tuple[ClientRun, list[Pair]]] = field(default_factory=list)
    late: bool = False
    asked: dict[Any, ClientRun] = field(default_factory=dict)
    serial: dict[Any, ClientRun] = field(default_factory=dict)
    beside: bool = False
    given: CallTimes = ()
    spread: list[LegalOrder] = field(default_factory=list)
    _others: dict[CallTimes, Self] = field(default_factory=dict)
    _timely: set[Any] = field(default_factory=set)
    _runs: dict[tuple[tuple[int, ...], bool], list[ClientRun]] = field(default_factory=dict)

    def learn(self) -> None:
        """Make the calls in every order that keeps those of each worker."""
        self.oracle.begin(self.client)
        for order in orders(self.client.numbers):
            self._learn(order)

    def _learn(self, order: tuple[int, ...]) -> None:
        """Others come in where a call waits for them: where it waits for ever, or for some time.
        Not where it sleeps, since what it has begun it may spoil by that as by any other switch:
        what then comes of them only says that time may be the reason (``spread``)."""
        count = len(self.client.calls)
        found = self.orders_of(order, False)
        self._learn_of(found, self.legal)
        waits = any(len(run.results) < count for run in found)
        if waits or any(run.timeouts for run in found):
            meeting = self.orders_of(order, True)
            late = [run for run in meeting if run.let_in and not waits]
            self._learn_of([run for run in meeting if run not in late], self.legal)
            self._learn_of(late, self.spread)

    def _learn_of(self, runs: Sequence[ClientRun], legal: list[LegalOrder]) -> None:
        for run in runs:
            if run.died:
                self.unjudged = f"one after the other, {run.died}"
            if len(run.results) == len(self.client.calls):
                legal.append(LegalOrder(run.before(), self.results(run), self.whole(run)))

    def orders_of(self, order: tuple[int, ...], open: bool) -> list[ClientRun]:
        """What the oracle says, which is asked once. A call that waits, while no other is made,
        does so whatever would come after it."""
        begins = range(1, len(order) + 1)
        known = [self._runs.get((order[:length], open)) for length in begins]
        for runs in known[-1:] if open else known:
            if runs is not None and (runs is known[-1] or all(run.waiting for run in runs)):
                return runs
        runs = self._runs[order, open] = self.oracle.in_orders(order, open)
        if len(runs) == 1 and runs[0].waiting and not open:
            self._runs[order[: len(runs[0].begun)], False] = runs
        return runs

    # --- what depends on the time ------------------------------------------------------------
    def _other(self, times: CallTimes) -> Self:
        """The judge of schedules in which calls have seen these times."""
        if times not in self._others:
            parts = self.oracle, self.client, self.contracts, self.numbered
            known = self._others[times] = type(self)(*parts, given=times)
            with known.giving():
                known.learn()
        return self._others[times]

    def giving(self) -> AbstractContextManager[None]:
        """While this is entered the oracle gives calls the times of this judge."""
        return self.oracle.given(self.given) if isinstance(self.oracle, Bench) else nullcontext()

    def _timed(self, run: ClientRun, judged: Callable[[Judge], Anomaly | None]) -> Anomaly | None:
        """What a judge says of a schedule: the one for what its calls have seen of time. Nothing is
        said of one that may go as it does for want of time."""
        judge = self
        if run.given and isinstance(self.oracle, Bench):
            judge = self._other(run.given)
        anomaly = self._said(judge, judged)
        if anomaly is None:
            return None
        if not self._crashed(run):
            more = judge.instead(run)
            if more is None:
                with judge.giving():
                    wrong = in_vain(judge, run)
                self.beside = self.beside or wrong is None
                if not wrong:
                    return None
            elif any(self._said(self._other(one), judged) is None for one in more):
                return None
        if judge is not self:  # which its program is to allow
            self.legal += judge.legal
        return anomaly

    def _said(self, judge: Self, judged: Callable[[Judge], Anomaly | None]) -> Anomaly | None:
        with judge.giving():
            anomaly = judged(judge)
        if judge is not self:
            self.suspected += judge.suspected
            judge.suspected = []
            self.unjudged = self.unjudged or judge.unjudged
        return anomaly

    def instead(self, run: ClientRun) -> list[CallTimes] | None:
        """What may be given to the calls of a schedule that this judge does not explain; None where
        it may be explained by times that cannot be given in an order as they were."""
        if run.expired or (run.given and not isinstance(self.oracle, Bench)):
            return None
        complete = self.spread and len(run.results) == len(self.client.calls)  # else one waits
        if complete and self.whole(run) in [one.whole for one in self.spread]:
            return None
        return others(run.times, [made.times for made in self.made() if made.times])

    def made(self) -> Iterator[ClientRun]:
        """What the oracle has said so far."""
        for runs in self._runs.values():
            yield from runs

    def _crashed(self, run: ClientRun) -> bool:
        """Whether a call raises what no want of time makes right."""
        names = {result[1] for result in run.results.values() if result[0] == "raises"}
        known = [getattr(builtins, name, None) for name in names if isinstance(name, str)]
        return any(isinstance(one, type) and issubclass(one, _CRASHES) for one in known)

    def reasons(self) -> list[str]:
        """Why no more than ``passed`` is claimed, besides what the search says."""
        return [_BESIDE] * self.beside + [
            f"{call} was cancelled by another call, which its contract allows: what else came of "
            "such a schedule was not judged"
            for call in sorted(self.by_contract)
        ]

    def cancelled_by_contract(self, results: Sequence[Any]) -> bool:
        """Whether a call was cancelled by another one that may be, which is noted."""
        found = [
            str(call) for call, result in zip(self.client.calls, results, strict=True)
            if result in _CANCELLED and self.contracts.of(call.method) == CANCELS
        ]  # fmt: skip
        self.by_contract.update(found)
        return bool(found)

    def results(self, run: ClientRun) -> tuple[Any, ...]:
        """The results of the workers' calls, as far as they are compared."""
        calls = self.client.calls
        shown = [self.contracts.view(one, run.results[n]) for n, one in enumerate(calls)]
        return self.numbered(shown)

    def whole(self, run: ClientRun) -> tuple[Any, ...]:
        """The same with those of the calls after them."""
        calls = self.client.calls
        shown = [self.contracts.view(one, run.results[n]) for n, one in enumerate(calls)]
        # one of them that waits is the last one
        after = list(zip(self.client.after, run.after, strict=False))
        shown += [self.contracts.view(one, result) for one, result in after]
        return self.numbered(shown)

    def __call__(self, run: ClientRun) -> bool:
        """Whether the search is to end: this schedule is explained by no order. What waits is
        judged later, for which other schedules have to be run."""
        if run.died:
            return self._found(run, Anomaly("worker dies", told(run.died.splitlines()[0], 200)))
        if run.waiting or len(run.results) < len(self.client.calls):
            key = (sorted(run.results.items(), key=repr), run.waiting)
            if all(
                (sorted(one.results.items(), key=repr), one.waiting) != key for one in self.pending
            ):
                self.pending.append(run)
            return False
        if self.late or run.given:
            overlaps = run.overlaps
            serial = overlaps is not None and overlaps.serial
            real = overlaps.key if overlaps is not None else frozenset(run.before())
            (self.serial if serial else self.asked).setdefault(
                (self.whole(run), real, run.given, run.timeouts), run
            )
            return False
        return self._explained(run)

    def _explained(self, run: ClientRun) -> bool:
        anomaly = self._timed(run, lambda judge: judge.judged(run))
        return anomaly is not None and self._found(run, anomaly)

    def judged(self, run: ClientRun) -> Anomaly | None:
        """What is wrong with a schedule whose calls were given what those of this judge are."""
        return self._ended(run)

    def ask(self, all_of_them: bool = False) -> None:
        """Judge the schedules that were put off: those that are not serial, or ``all_of_them``,
        where not all that calls do is known; and those for which calls have to be given times."""
        left = [*self.asked.values(), *(self.serial.values() if all_of_them else ())]
        if not left or self.anomaly is not None:
            return
        # an order that explains a schedule is mostly the one in which its calls have ended
        plain = [run for run in left if not run.given]
        others = [run for run in left if run.given]
        ended = [tuple(n for starts, n in run.events if not starts) for run in plain]
        for order in dict.fromkeys([*ended, *orders(self.client.numbers)]) if plain else ():
            self._learn(order)
            plain = [run for run in plain if not self._is_explained(run)]
            if not plain:
                break
        any(map(self._explained, [*plain, *others]))

    def _is_explained(self, run: ClientRun) -> bool:
        """Whether an order that is known explains a schedule, and all equivalent ones."""
        whole, before = self.whole(run), run.before()
        found = [one.before for one in self.legal if one.whole == whole]
        explained = any(before <= one for one in found)
        return explained and (run.overlaps is None or run.overlaps.against(found) is None)

    def show(self, bench: Bench) -> str:
        """Run what is suspected. Why nothing is claimed where it could not be had, or ""."""
        lost = ""
        for run, pairs in self.suspected:
            if self.anomaly is not None:
                return ""
            assert run.overlaps is not None
            seen = bench.in_real_time(run.overlaps, pairs)
            if seen is None or len(seen.results) < len(self.client.calls):
                lost = "calls may come one after the other in a way that could not be had again"
            else:
                self._explained(seen)
        return lost

    def _found(self, run: ClientRun, anomaly: Anomaly) -> bool:
        self.anomaly, self.run = anomaly, run
        return True

    def _ended(self, run: ClientRun) -> Anomaly | None:
        calls, legal = self.client.calls, self.legal
        if not legal:
            if any(self.contracts.of(one.method) == RENDEZVOUS for one in calls):
                return None
            self.unjudged = (
                "calls that wait for each other: they end in no order without a switch inside of "
                "one, so that there is nothing to compare with (contract rendezvous)"
            )
            return None
        results = self.results(run)
        if self.cancelled_by_contract(results):
            return None
        for number, call in enumerate(calls):
            result = results[number]
            if result[0] == "raises" and all(one.results[number] != result for one in legal):
                return Anomaly(f"raises {result[1]}", f"{call} raises {result[1]}, in no order")
        if all(self.contracts.of(one.method) == NO_CRASH for one in calls):
            return None
        fitting = [one for one in legal if one.results == results]
        if not fitting:
            return self._wrong(results, legal)
        before = run.before()
        timely = [one for one in fitting if before <= one.before]
        if not timely:
            return Anomaly("wrong order", "calls took effect before those that had ended earlier")
        whole = self.whole(run)
        if all(one.whole != whole for one in timely):
            return self._state(whole, timely)
        overlaps = run.overlaps
        if overlaps is not None and (whole, overlaps.key) not in self._timely:
            self._timely.add((whole, overlaps.key))
            pairs = overlaps.against([one.before for one in fitting if one.whole == whole])
            if pairs is not None:
                self.suspected.append((run, pairs))
        return None

    def _wrong(self, results: tuple[Any, ...], legal: Sequence[LegalOrder]) -> Anomaly:
        calls = self.client.calls
        alone = [
            n for n, result in enumerate(results)
            if all(one.results[n] != result for one in legal)
        ]  # fmt: skip
        shown = alone or list(range(len(calls)))
        items = any(
            results[n][0] == "returns" and isinstance(results[n][1], tuple)
            and results[n][1][:1] and results[n][1][0] in _ITEMS for n in shown
        )  # fmt: skip
        got = ", ".join(f"{calls[n]} {shown_as(results[n])}" for n in shown)
        orders_ = sorted({
            ", ".join(f"{calls[n]} {shown_as(one.results[n])}" for n in shown) for one in legal
        })  # fmt: skip
        kind = "wrong iteration" if items else "wrong result"
        return Anomaly(kind, f"{got}; one after the other: {' or '.join(orders_)}")

    def _state(self, whole: tuple[Any, ...], fitting: list[LegalOrder]) -> Anomaly:
        count = len(self.client.calls)
        after = self.client.after
        for place in range(count, max(len(whole), *(len(one.whole) for one in fitting))):
            got = whole[place] if place < len(whole) else WAITS
            wanted = {
                one.whole[place] if place < len(one.whole) else WAITS for one in fitting
            }  # fmt: skip
            if got not in wanted:
                call = after[place - count]
                kind = "never ends" if got == WAITS else "wrong state"
                should = " or ".join(sorted(map(shown_as, wanted)))
                return Anomaly(
                    kind, f"afterwards {call} {shown_as(got)}; one after the other it {should}"
                )
        return Anomaly("wrong state", "what calls come to afterwards is of no one order")

    def settle(self) -> None:
        """Judge the schedules that ended with calls that wait: that is right where some order of
        those that have ended leaves each of them waiting."""
        for run in self.pending:
            if self.anomaly is not None:
                return
            self._waits(run)

    def _waits(self, run: ClientRun) -> None:
        anomaly = self._timed(run, lambda judge: judge._waiting(run))
        if anomaly is not None:
            self._found(run, anomaly)

    def _waiting(self, run: ClientRun) -> Anomaly | None:
        if self._may_wait(run):
            return None
        calls = self.client.calls
        waiting = " and ".join(str(calls[number]) for number in run.waiting)
        return Anomaly("never ends", f"{waiting}: waits for ever, in no order")

    def _may_wait(self, run: ClientRun) -> bool:
        """Whether calls that wait do so rightly: they wait when they are made after those that have
        ended, one after the other, and some order of all that have begun, in which the
        next ones are made where one waits, leaves the same ones waiting, with the same results."""
        done = sorted(run.results)
        if not run.waiting:
            return False
        before, wanted = run.before(), self._seen(run)
        if not any(
            made.waiting == run.waiting and afterwards(made, run.waiting)
            for order in kept_orders(done, before)
            for more in permutations(run.waiting)
            for made in self.orders_of((*order, *more), True)
        ):  # fmt: skip
            return False
        begun = {pair for one in self._begun(run) for pair in pairwise(one)}
        for order in kept_orders((*done, *run.waiting), before | begun):
            for other in self.orders_of(order, True):
                if other.waiting == run.waiting and self._seen(other) == wanted:
                    return True
        return False

    def _seen(self, run: ClientRun) -> tuple[Any, ...]:
        calls = self.client.calls
        done = sorted(run.results)
        return (
            *done,
            *self.numbered([self.contracts.view(calls[n], run.results[n]) for n in done]),
        )

    def _begun(self, run: ClientRun) -> list[list[int]]:
        """The calls that each worker has begun, in its order."""
        return [[n for n in one if n in run.begun] for one in self.client.numbers]


def afterwards(run: ClientRun, waiting: Sequence[int]) -> bool:
    """Whether all other calls of a run had ended before these began: then these were not left
    behind by one that had to let them go on."""
    before = run.before()
    return all((one, other) in before for one in run.results for other in waiting)
