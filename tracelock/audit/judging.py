"""Is what came back from a client what its calls come to in some order, one after the other?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations
from typing import Any, Final, Protocol

from tracelock.audit.bench import WAITS, Bench, ClientRun
from tracelock.audit.clients import ClientOf, orders
from tracelock.audit.overlaps import Pair
from tracelock.audit.reading import MethodCall
from tracelock.audit.results import CANCELLED, evenly
from tracelock.history.contracts import (
    CANCELS,
    DIRTY_READ,
    ITERATIONS,
    LINEARIZABLE,
    NO_CRASH,
    RENDEZVOUS,
    WEAK_ITERATION,
)
from tracelock.history.values import told

#: What is put in the place of a result that is not compared.
ANY: Final = ("returns", "anything")
_ITERATING: Final = ITERATIONS | {"iter"}
_CANCELLED: Final = (("raises", "CancelledError"), CANCELLED)
#: Results that go through a container.
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


class Contracts:
    """The words of the methods, by what they are called in the matrix or in Python. ``any_order``:
    judged by a model, the methods of which it says that items come in any order."""

    def __init__(
        self, given: str | Mapping[str, str], reads: Sequence[MethodCall] = (),
        any_order: Collection[str] | None = None,
    ) -> None:  # fmt: skip
        self._given = given
        self._reads = frozenset(reads)
        self.any_order = any_order
        #: Methods that take nothing for their caller, whatever they are called.
        self.take_nothing: set[str] = set()

    def knowing(self, reads: Sequence[MethodCall]) -> Contracts:
        """The same, with the calls that change nothing."""
        return Contracts(self._given, reads, self.any_order)

    def of(self, method: str) -> str:
        """The word of a method."""
        if isinstance(self._given, str):
            return self._given
        return self._given.get(method, LINEARIZABLE)

    def view(self, call: MethodCall, result: Any) -> Any:
        """A result as far as it is compared."""
        word = self.of(call.method)
        hidden = (
            word == NO_CRASH
            or (word == WEAK_ITERATION and call.method in _ITERATING)
            or (
                word == DIRTY_READ and (call in self._reads or call.method in ("in", "x[k]", "get"))
            )
        )
        if hidden and result[0] == "returns":
            return ANY
        if self.any_order is None:
            return result
        return evenly(result, call.method in self.any_order)


#: Why nothing is claimed of a client in which time passes.
_BESIDE: Final = (
    "calls that wait beside each other take less time than in any order: what then comes of them "
    "was not judged"
)


@dataclass
class Judge:
    """Judges the schedules of one client. ``legal``: what its calls come to in each order that
    ends; ``anomaly``: what was found; ``unjudged``: why some schedules could not be judged;
    ``suspected``: schedules, each with pairs of calls, that would go wrong if of each pair the
    first one had ended before the second began, which is possible in an equivalent one.
    ``beside``: time passed in schedules that no order explains.

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
    _timely: set[Any] = field(default_factory=set)
    _runs: dict[tuple[tuple[int, ...], bool], list[ClientRun]] = field(default_factory=dict)

    def learn(self) -> None:
        """Make the calls in every order that keeps those of each worker."""
        self.oracle.begin(self.client)
        for order in orders(self.client.numbers):
            self._learn(order)

    def _learn(self, order: tuple[int, ...]) -> None:
        count = len(self.client.calls)
        for one in (False, True):
            found = self._in_orders(order, one)
            for run in found:
                if run.died:
                    self.unjudged = f"one after the other, {run.died}"
                if len(run.results) == count:
                    self.legal.append(LegalOrder(run.before(), self.results(run), self.whole(run)))
            if all(len(run.results) == count and not run.timed for run in found):
                break

    def _in_orders(self, order: tuple[int, ...], open: bool) -> list[ClientRun]:
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
        if self.late:
            overlaps = run.overlaps
            serial = overlaps is not None and overlaps.serial
            real = overlaps.key if overlaps is not None else frozenset(run.before())
            (self.serial if serial else self.asked).setdefault((self.whole(run), real), run)
            return False
        return self._explained(run)

    def _explained(self, run: ClientRun) -> bool:
        anomaly = self._ended(run)
        if anomaly is not None and self.late and run.beside:
            self.beside, anomaly = True, None
        return anomaly is not None and self._found(run, anomaly)

    def ask(self, all_of_them: bool) -> None:
        """Judge the schedules that were put off: those that are not serial, or ``all_of_them``,
        where not all that calls do is known."""
        left = [*self.asked.values(), *(self.serial.values() if all_of_them else ())]
        if not left or self.anomaly is not None:
            return
        self.oracle.begin(self.client)
        # an order that explains a schedule is mostly the one in which its calls have ended
        ended = [tuple(n for starts, n in run.events if not starts) for run in left]
        for order in dict.fromkeys([*ended, *orders(self.client.numbers)]):
            self._learn(order)
            left = [run for run in left if not self._is_explained(run)]
            if not left:
                return
        any(map(self._explained, left))

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

    # --- calls that wait ---------------------------------------------------------------------
    def settle(self) -> None:
        """Judge the schedules that ended with calls that wait: that is right where some order of
        those that have ended leaves each of them waiting."""
        for run in self.pending:
            if self.anomaly is not None:
                return
            if not self._may_wait(run):
                calls = self.client.calls
                waiting = " and ".join(str(calls[number]) for number in run.waiting)
                self.anomaly, self.run = (
                    Anomaly("never ends", f"{waiting}: waits for ever, in no order"),
                    run,
                )

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
            for made in self._in_orders((*order, *more), True)
        ):  # fmt: skip
            return False
        begun = {pair for one in self._begun(run) for pair in pairwise(one)}
        for order in kept_orders((*done, *run.waiting), before | begun):
            for other in self._in_orders(order, True):
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


def kept_orders(numbers: Sequence[int], before: set[tuple[int, int]]) -> Iterator[tuple[int, ...]]:
    """Every order that has the first of each pair before the second, where it has both."""
    if not numbers:
        yield ()
    for number in numbers:
        rest = [one for one in numbers if one != number]
        if all((one, number) not in before for one in rest):
            for order in kept_orders(rest, before):
                yield (number, *order)


def shown_as(result: Any) -> str:
    """A result as text: ``returns 1``, ``raises KeyError``, ``waits``."""
    if result[0] == "returns":
        return f"returns {told(_plain(result[1]), 60)}"
    return " ".join(map(str, result))


def _plain(value: Any) -> Any:
    """What ``results.told`` made of a value, as it is read best."""
    if not isinstance(value, tuple) or not value:
        return value
    kind, rest = value[0], value[1:]
    if kind in ("list", "items"):
        return [_plain(one) for one in rest]
    if kind == "mapping":
        return _Text("{" + ", ".join(f"{_plain(k)!r}: {_plain(v)!r}" for k, v in rest) + "}")
    if kind in ("itself", "named", "enum", "object", "value", "exception", "set"):
        return _Text(" ".join(str(_plain(one)) for one in value))
    return tuple(_plain(one) for one in rest)


class _Text(str):
    """A text whose repr is itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
