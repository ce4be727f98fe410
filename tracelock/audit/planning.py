"""What to begin in and what to ask in the end: found by making calls one after the other."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from tracelock.audit.bench import WAITS, Bench
from tracelock.audit.clients import ClientOf
from tracelock.audit.reading import MethodCall, taken

#: Methods that change something, though they take no argument, by their names.
_MUTATING: Final = re.compile(
    r"^(pop|clear|close|reset|get|acquire|release|put|set|add|remove|delete|del|next|update|open|"
    r"half_open|flush|wait|join|shutdown|evict|leak|start|stop|cancel|task_done|notify|append|push|"
    r"reverse|rotate|sort|expire|x\(\)|with|async with)"
)
#: Calls that lead to a state, at most; states that are looked at; states that are begun in.
_DEPTH: Final = 3
_KNOWN: Final = 12
_STATES: Final = 4
_CANDIDATES: Final = 24
#: Calls that are made after one, to see whether it changes something.
_OTHERS: Final = 8
#: Calls in the end: that change nothing, and others.
_READS: Final = 6
_PROBES: Final = 5

Calls = tuple[MethodCall, ...]


@dataclass
class AuditPlan:
    """``states``: the calls that lead to each state to begin in, the empty one first; ``reads``:
    calls that change nothing; ``after``: the calls in the end of each client."""

    states: list[Calls]
    reads: list[MethodCall]
    after: Calls


class Planner:
    """``until``: on the monotonic clock."""

    def __init__(self, bench: Bench, until: float, numbered: Any) -> None:
        self.bench, self.until, self.numbered = bench, until, numbered
        self._known: dict[Calls, tuple[Any, ...]] = {}
        self._timed: dict[Calls, bool] = {}

    def sequence(self, calls: Calls) -> tuple[Any, ...]:
        """What calls come to one after the other; the last one ``WAITS`` where one never ends."""
        if calls not in self._known:
            for length in range(1, len(calls)):  # what waits, waits whatever would come next
                begun = self._known.get(calls[:length])
                if begun and begun[-1] == WAITS:
                    return begun
            client = ClientOf((), (calls,))
            self.bench.begin(client)
            run = self.bench.in_order(range(len(calls)))
            found = [run.results[n] for n in sorted(run.results)]
            if len(found) < len(calls):
                found.append(WAITS)
            self._known[calls] = self.numbered(tuple(found))
        return self._known[calls]

    def passes_time(self, state: Calls, call: MethodCall) -> bool:
        """Whether a call ends in a state, after some time that it has waited."""
        calls = (*state, call)
        if calls not in self._timed:
            self.bench.begin(ClientOf((), (calls,)))
            run = self.bench.in_order(range(len(calls)))
            self._timed[calls] = run.timed and len(run.results) == len(calls)
        return self._timed[calls]

    def plan(self, calls: dict[str, list[MethodCall]], waits: bool = False) -> AuditPlan:
        """See ``AuditPlan``. Of ``calls`` those are left that the class takes. ``waits``: the last
        call in the end may be one that waits."""
        every = [
            one for listed in calls.values() for one in self._taken(listed, [()])
            if not one.closing
        ]  # fmt: skip
        reads = self._reads(every)
        states = self._states(every, reads)
        for name, listed in calls.items():
            calls[name] = self._taken(listed, states)
        probes = [one for one in every if one not in reads and not one.reads]
        ends: list[MethodCall] = []
        for one in probes:
            if len(ends) < _PROBES and all(
                self.sequence((*state, one))[-1] != WAITS for state in states
            ):
                ends.append(one)
        after = (*reads[:_READS], *ends, *reads[:3])
        if waits:
            counts = Counter({
                one: sum(self.sequence((*state, one))[-1] == WAITS for state in states)
                for one in probes if one not in ends
            })  # fmt: skip
            after += tuple(one for one, count in counts.most_common(1) if count)
        return AuditPlan(states, reads, after)

    def _taken(self, listed: list[MethodCall], states: list[Calls]) -> list[MethodCall]:
        """Those of the calls of a method that do not raise a TypeError in each of these states."""

        def refused(one: MethodCall) -> bool:
            ends = {self.sequence((*state, one))[-1] for state in states}
            return ends == {("raises", "TypeError")}

        return taken(listed, refused)

    def _reads(self, every: list[MethodCall]) -> list[MethodCall]:
        """Calls that change nothing: the same twice, and whatever comes after comes to the same."""
        found = []
        for one in every:
            bare = (
                one.reads
                or one.method in ("len", "iter", "async for")
                or (
                    one.source.endswith("()")
                    and not _MUTATING.match(one.method.removeprefix("async "))
                )
            )
            if not bare or one.method in ("next", "anext"):
                continue
            twice = self.sequence((one, one))
            same = len(twice) == 2 and twice[0] == twice[1] and WAITS not in twice
            if same and "'object'" not in repr(twice) and self._harmless(one, every):
                found.append(one)
        return found

    def _harmless(self, one: MethodCall, every: list[MethodCall]) -> bool:
        """Whether nothing that comes after a call is another thing than without it, as it is made
        and after each call: one that only puts back what was there at first would hide what is
        wrong. Where there is no time to find that out it counts as one that changes something."""
        for state in ((), *((call,) for call in every if call != one)):
            if state and self.sequence(state)[-1] == WAITS:
                continue
            for other in every[:_OTHERS]:
                if monotonic() > self.until:
                    return False
                with_it = self.sequence((*state, one, other))
                if with_it[-1] != self.sequence((*state, other))[-1]:
                    return False
        return True

    def _states(self, every: list[MethodCall], reads: list[MethodCall]) -> list[Calls]:
        """Sequences that lead to states that differ in what calls come to there; of all that were
        found those that differ most from one another."""
        changing = [one for one in every if one not in reads and not one.reads]
        known: dict[Calls, tuple[Any, ...]] = {(): self._signature((), every)}
        layer: list[Calls] = [()]
        for _ in range(_DEPTH):
            new: list[Calls] = []
            tried = [(*state, one) for state in layer for one in changing]
            for calls in tried[:_CANDIDATES]:
                if monotonic() > self.until or len(known) >= _KNOWN:
                    break
                if self.sequence(calls)[-1] == WAITS:
                    continue
                signature = self._signature(calls, every)
                if signature not in known.values():
                    known[calls] = signature
                    new.append(calls)
            layer = new[:4]
        chosen: list[Calls] = [()]
        # the state after one call before those that differ more: of the last item, say
        chosen += [calls for calls in known if len(calls) == 1][:1]
        while len(chosen) < min(_STATES, len(known)):
            rest = [one for one in known if one not in chosen]

            def distance(calls: Calls) -> tuple[int, int]:
                near = min(
                    sum(a != b for a, b in zip(known[calls], known[other], strict=True))
                    for other in chosen
                )
                return near, len(calls)

            chosen.append(max(rest, key=distance))
        return chosen

    def _signature(self, state: Calls, every: list[MethodCall]) -> tuple[Any, ...]:
        return tuple(self.sequence((*state, one))[-1] for one in every)
