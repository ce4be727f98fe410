"""Is there an order of the calls that explains a history?

The search goes through the events of the history and puts a call into the order as late as it can:
when an event comes that only the call's effect explains, its return (just-in-time linearization,
Lowe 2017, "Testing for linearizability"; the question and the first algorithm are of Wing and Gong
1993, "Testing and verifying concurrent objects"). Before the call that returns, any of the others
that have begun and have no place yet may come. What was reached by the same calls with the same
state of the model is not searched again. Where a model says that calls with different keys have
nothing to do with one another, the calls of each key are searched on their own (P-compositionality,
Horn and Kroening 2015, after locality, Herlihy and Wing 1990).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from tracelock.errors import LimitReached, UsageError
from tracelock.history.contracts import NO_CRASH, RENDEZVOUS, Contract, overlap
from tracelock.history.models.base import CallResult, RaisedError, Sequential
from tracelock.history.operations import PENDING, RAISED, RETURNED, Operation

YES: Final = "linearizable"
NO: Final = "not linearizable"
UNFINISHED: Final = "unfinished"
#: A part of the bound on the cost: what each key gets before the rest is spent.
_SHARE: Final = 100
#: Between two looks at the clock so many calls are made on the model.
_CLOCK: Final = 256


class _CostReached(Exception):
    """The search has cost what it may."""


@dataclass(slots=True)
class Linearized:
    """What a check came to.

    ``verdict``: ``linearizable``, ``not linearizable`` or ``unfinished``. ``order``: an order that
    explains the history, calls without effect left out; of one that has none, the longest one that
    explains a beginning of it. With a model that takes keys apart it is that of the calls of each
    key, one key after the other. ``stuck``: the call whose return that order, and every other one,
    does not explain. ``expected``: what the model says that it would come to. ``reason``: a
    sentence. ``cost``: calls that were made on the model. ``operations``: the calls that were
    looked at (of one key, where the fault is there).
    """

    verdict: str
    order: list[Operation] = field(default_factory=list)
    stuck: Operation | None = None
    expected: list[str] = field(default_factory=list)
    reason: str = ""
    cost: int = 0
    operations: list[Operation] = field(default_factory=list)

    def __str__(self) -> str:
        from tracelock.history.telling import tell

        return tell(self)

    def timeline(self, width: int = 100) -> str:
        """The calls around the one that is not explained, by worker, from left to right."""
        from tracelock.history.telling import timeline

        return timeline(self.operations, self.stuck, width)

    def require(self) -> None:
        """Raises AssertionError where it is not linearizable, LimitReached where that is not known:
        what was not decided has not passed."""
        if self.verdict == NO:
            raise AssertionError(str(self))
        if self.verdict == UNFINISHED:
            raise LimitReached(f"linearizability was not decided: {self.reason}")


def check_operations(
    operations: Sequence[Operation], model: Sequential, contract: str | Mapping[str, str],
    ignore: Iterable[str], most: int, seconds: float | None,
) -> Linearized:  # fmt: skip
    """See ``History.check``."""
    if not isinstance(model, Sequential):
        raise UsageError(
            "check takes a model of tracelock.history.models, such as QueueSpec(maxsize=1), or "
            f"OfObject(make), not {type(model).__name__}"
        )
    if most < 1 or (seconds is not None and seconds <= 0):
        raise UsageError("a bound on the search has to be more than nothing")
    ignored = frozenset([ignore] if isinstance(ignore, str) else ignore)
    rules, every = Contract(contract), list(operations)
    for one in every:
        model.known(one)
    why = rules.not_judged(every)
    if why:
        return Linearized(UNFINISHED, reason=why, operations=every)
    parts = _parts(every, model)
    end = None if seconds is None else monotonic() + seconds
    ended: dict[int, Linearized] = {}
    cost = 0
    # one key may be wrong at once where another one takes all there is: each gets a little first
    for share in (most // _SHARE, most) if len(parts) > 1 else (most,):
        for number, part in enumerate(parts):
            if number in ended and ended[number].verdict != UNFINISHED:
                continue
            found = _OrderSearch(part, model, rules, ignored, min(share, most - cost), end).run()
            cost += found.cost
            ended[number] = found
            if found.verdict == NO:
                found.cost = cost
                return found
    result = Linearized(YES, cost=cost, operations=every)
    for _, found in sorted(ended.items()):
        if found.verdict == UNFINISHED:
            found.cost = cost
            return found
        result.order += found.order
    return result


def _parts(operations: list[Operation], model: Sequential) -> list[list[Operation]]:
    """The calls by their keys; all together where one of them has none."""
    parts: dict[Hashable, list[Operation]] = {}
    for one in operations:
        key = model.key(one)
        if key is None:
            return [operations]
        parts.setdefault(key, []).append(one)
    return list(parts.values())


@dataclass(slots=True)
class _PartialOrder:
    """Where the search is: before the return number ``at``; ``taken`` (bits, by the slots of the
    calls that are open there) are those that have a place or were left out."""

    at: int
    taken: int
    state: Any
    order: _Placed | None
    children: Iterator[_PartialOrder] | None = None


@dataclass(slots=True, frozen=True)
class _Placed:
    """The last call of an order, and those before."""

    number: int
    before: _Placed | None


class _OrderSearch:
    def __init__(
        self, operations: list[Operation], model: Sequential, contract: Contract,
        ignore: frozenset[str], most: int, end: float | None,
    ) -> None:  # fmt: skip
        self.operations = operations
        self.model, self.contract, self.ignore = model, contract, ignore
        self.most, self.end = most, end
        self.cost = 0
        self.optional = [one.ending == PENDING or contract.optional(one) for one in operations]
        self.values = [
            model.comparable(one.value, ignore) if one.ending == RETURNED else None
            for one in operations
        ]
        #: The calls that have ended, in the order of their ends; the calls that are open when each
        #: does; and a bit for each call, which no other has that is open at the same time.
        self.returns: list[int] = []
        self.open: list[list[int]] = []
        self.bits = [0] * len(operations)
        self._sweep()
        self.best = _PartialOrder(-1, 0, None, None)

    def _sweep(self) -> None:
        events = [(one.start, True, number) for number, one in enumerate(self.operations)]
        events += [
            (one.end, False, number) for number, one in enumerate(self.operations)
            if one.end is not None
        ]  # fmt: skip
        now: list[int] = []
        free: list[int] = []
        used = 0
        for _, begins, number in sorted(events):
            if begins:
                if not free:
                    free.append(1 << used)
                    used += 1
                self.bits[number] = free.pop()
                now.append(number)
            else:
                self.returns.append(number)
                self.open.append(list(now))
                now.remove(number)
                free.append(self.bits[number])

    def run(self) -> Linearized:
        try:
            found = self._search()
        except _CostReached as bound:
            return self._told(UNFINISHED, str(bound))
        if found is not None:
            return Linearized(
                YES, self._order(found.order), cost=self.cost, operations=self.operations
            )
        return self._told(NO, "")

    def _search(self) -> _PartialOrder | None:
        """Depth first, with what was seen in mind; None where there is no order."""
        stack = [_PartialOrder(0, 0, self.model.initial(), None)]
        seen: set[tuple[int, int, Any]] = set()
        while stack:
            node = stack[-1]
            if node.children is None:
                if node.at == len(self.returns):
                    return node
                if node.at > self.best.at:
                    self.best = node
                node.children = self._children(node)
            for child in node.children:
                key = (child.at, child.taken, child.state)
                if key not in seen:
                    seen.add(key)
                    stack.append(child)
                    break
            else:
                stack.pop()
        return None

    def _children(self, node: _PartialOrder) -> Iterator[_PartialOrder]:
        """The ways to go on: the call that returns, then others that are open; or, where it may
        have had no effect, without it."""
        wanted = self.returns[node.at]
        yield from self._placed(node, wanted)
        if self.optional[wanted]:
            yield self._after(node, wanted, node.state, node.order)
        for number in self.open[node.at]:
            if number != wanted and not node.taken & self.bits[number]:
                yield from self._placed(node, number)

    def _placed(self, node: _PartialOrder, number: int) -> Iterator[_PartialOrder]:
        for reached in self._reached(node.state, number):
            if self._explains(number, node.state, reached):
                yield self._after(node, number, reached.state, _Placed(number, node.order))

    def _after(
        self, node: _PartialOrder, number: int, state: Any, order: _Placed | None
    ) -> _PartialOrder:
        """``node`` with one more call taken, before the next return that is not explained."""
        at, taken = node.at, node.taken | self.bits[number]
        while at < len(self.returns) and taken & self.bits[self.returns[at]]:
            taken &= ~self.bits[self.returns[at]]
            at += 1
        return _PartialOrder(at, taken, state, order)

    def _reached(self, state: Any, number: int) -> Sequence[CallResult]:
        """What the model says that a call comes to."""
        self.cost += 1
        if self.cost > self.most:
            raise _CostReached("the bound on the calls that it makes on the model is reached")
        looks = self.model.slow or not self.cost % _CLOCK
        if self.end is not None and looks and monotonic() > self.end:
            raise _CostReached("the time for the search is up")
        operation = self.operations[number]
        found = self.model.apply(state, operation)
        if (
            not found
            and self.contract.of(operation.name) == RENDEZVOUS
            and any(one is not operation and overlap(operation, one) for one in self.operations)
        ):
            return [CallResult(operation.value, state)]
        return found

    def _explains(self, number: int, before: Any, reached: CallResult) -> bool:
        operation = self.operations[number]
        if self.optional[number]:
            return True
        result = reached.result
        if operation.ending == RAISED:
            return isinstance(result, RaisedError) and result.error == operation.error
        if isinstance(result, RaisedError):
            return False
        if not self.contract.compared(operation, self.model.differ(before, reached.state)):
            return True
        return bool(self.model.comparable(result, self.ignore) == self.values[number])

    # --- what is told ------------------------------------------------------------------------
    def _order(self, placed: _Placed | None) -> list[Operation]:
        found = []
        while placed is not None:
            found.append(self.operations[placed.number])
            placed = placed.before
        return found[::-1]

    def _told(self, verdict: str, reason: str) -> Linearized:
        best, operations = self.best, self.operations
        order = self._order(best.order)
        if verdict == UNFINISHED:
            return Linearized(verdict, order, None, [], reason, self.cost, operations)
        stuck = operations[self.returns[best.at]]
        found = self.model.apply(best.state, stuck)
        expected = [str(one) for one in found] or ["it would wait"]
        word = self.contract.of(stuck.name)
        asked = " (only exceptions were compared)" if word == NO_CRASH else ""
        reason = f"no order of the calls explains {stuck} by {stuck.worker}{asked}"
        return Linearized(verdict, order, stuck, expected, reason, self.cost, operations)
