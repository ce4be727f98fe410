"""When the calls of an execution begin and end, in all executions that are equivalent to it.

Partial-order reduction runs one execution of those that differ only in the order of steps which do
not touch the same. Each call returns the same in all of them, but not all of them have the same
calls one after the other in real time, which is what linearizability looks at (Herlihy and Wing
1990). Executions that differ only in that need not be run: which of them there are follows from
happens-before.

A call begins after the last step of its worker before it, and ends before the next step after it.
That some calls end before some others begin is possible in some equivalent execution exactly if
happens-before, with these pairs added, has no circle. Where time passes because nobody can go on,
what can begin or end by then has done so.

An execution is *serial* if each equivalent one is explained by an order of its calls that follows
from it alone: steps that touch the same leave an order of the calls (Papadimitriou 1979, "The
serializability of concurrent database updates": conflict graphs), and no call can end before
another one begins that is earlier there. Moving steps that do not touch the same then leads to an
execution in which the calls are made one after the other, in that order, with the same results.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: (earlier, later): the first of two calls has ended when the second begins.
Pair = tuple[int, int]
#: A call: its worker, the number of events before it began, and before it ended.
Span = tuple[int, int, int]


class Past(Protocol):
    """What is asked of ``schedulers.dpor.happens.HappensBefore``, in which each transition is one
    event."""

    lines: list[list[int]]
    before: list[int]
    timers: list[int]


@dataclass
class Overlaps:
    """Of an execution whose calls have all ended, with numbers from 0.

    ``workers``: of each call; ``first``: of each call those that cannot end before it begins, in
    any equivalent execution, itself among them; ``serial``: see the module. Neither changes.
    """

    workers: tuple[int, ...]
    first: tuple[frozenset[int], ...]
    serial: bool
    _spans: Sequence[Span] = field(default=(), repr=False)
    _before: Sequence[int] = field(default=(), repr=False)
    _lines: Sequence[Sequence[int]] = field(default=(), repr=False)
    _timers: Sequence[int] = field(default=(), repr=False)

    @property
    def key(self) -> tuple[frozenset[int], ...]:
        """Executions with the same one have the same orders in real time."""
        return self.first

    def against(self, orders: Sequence[set[Pair]]) -> list[Pair] | None:
        """Pairs that some equivalent execution has, such that each of ``orders`` lacks one of them;
        None where there is no such execution. ``orders``: their pairs."""
        return self._against(orders, [])

    def _against(self, orders: Sequence[set[Pair]], chosen: list[Pair]) -> list[Pair] | None:
        open_ = next((one for one in orders if one.issuperset(chosen)), None)
        if open_ is None:
            return chosen
        count = len(self.workers)
        for i in range(count):
            for j in range(count):
                pair = (i, j)
                if self.workers[i] == self.workers[j] or pair in open_ or i in self.first[j]:
                    continue
                more = [*chosen, pair]
                if self.possible(more):
                    found = self._against(orders, more)
                    if found is not None:
                        return found
        return None

    def possible(self, pairs: Iterable[Pair]) -> bool:
        """Whether some equivalent execution has all of these pairs."""
        # from the end of one call to the beginning of another, and by happens-before to an end
        onward: dict[int, set[int]] = {}
        for i, j in pairs:
            onward.setdefault(i, set()).update(self.first[j])
        for start in onward:
            seen, left = set(), list(onward[start])
            while left:
                one = left.pop()
                if one == start:
                    return False
                if one not in seen:
                    seen.add(one)
                    left += onward.get(one, ())
        return True

    def sequence(self, pairs: Iterable[Pair]) -> list[int]:
        """The workers whose steps come one after the other in such an execution, where the
        beginning and the end of each call are steps, too. Empty where that cannot be."""
        spans, before = self._spans, self._before
        own = {w: [("step", t) for t in line] for w, line in enumerate(self._lines)}
        places: dict[tuple[str, int], int] = {}
        for number, (worker, begun, ended) in enumerate(spans):
            places["begin", number] = bisect_left(self._lines[worker], begun)
            places["end", number] = bisect_left(self._lines[worker], ended)
        for worker in own:
            mine = sorted(
                (places[kind, n], n, kind == "end", kind)
                for n in range(len(spans)) if spans[n][0] == worker for kind in ("begin", "end")
            )  # fmt: skip
            for shift, (place, number, _, kind) in enumerate(mine):
                own[worker].insert(place + shift, (kind, number))
        needs: dict[tuple[str, int], set[tuple[str, int]]] = {}
        for line_ in own.values():
            for place, node in enumerate(line_):
                needs[node] = {line_[place - 1]} if place else set()
        for t in range(len(before)):
            needs[("step", t)] |= {("step", e) for e in range(t) if before[t] >> e & 1}
        for timer in self._timers:
            for line_ in own.values():
                for place, node in enumerate(line_):
                    # the last step before it, if there is one: whatever stands there can be done
                    steps = [at for kind, at in line_[:place] if kind == "step"]
                    if node[0] != "step" and (not steps or steps[-1] < timer):
                        needs[("step", timer)].add(node)
        for i, j in pairs:
            needs[("begin", j)].add(("end", i))
        return _in_turn(own, needs)


def _in_turn(
    own: Mapping[int, Sequence[tuple[str, int]]],
    needs: Mapping[tuple[str, int], set[tuple[str, int]]],
) -> list[int]:
    """The workers of all nodes in an order in which each comes after what it needs."""
    found: list[int] = []
    done: set[tuple[str, int]] = set()
    places = dict.fromkeys(own, 0)
    while len(found) < sum(map(len, own.values())):
        for worker, line in own.items():
            place = places[worker]
            if place < len(line) and needs[line[place]] <= done:
                done.add(line[place])
                places[worker] += 1
                found.append(worker)
                break
        else:
            return []
    return found


def overlaps_of(past: Past, spans: Sequence[Span], known: Sequence[int]) -> Overlaps:
    """Of the execution that ``past`` has; ``spans``: its calls; ``known``: workers besides those of
    calls whose steps come before or after all of them. Others may have done what calls did."""
    before, lines = past.before, past.lines
    count = len(spans)
    first: list[frozenset[int]] = []
    for j, (worker, begun, _) in enumerate(spans):
        line = lines[worker]
        place = bisect_left(line, begun)
        next_ = line[place] if place < len(line) else -1
        begun_after = line[place - 1] if place else -1
        found = set()
        for i, (other, _, ended) in enumerate(spans):
            if other == worker:
                if j <= i:
                    found.add(i)
                continue
            there = bisect_left(lines[other], ended)
            last = lines[other][there - 1] if there else -1
            known_ = next_ >= 0 and last >= 0 and before[last] >> next_ & 1
            if known_ or any(begun_after < timer <= last for timer in past.timers):
                found.add(i)
        first.append(frozenset(found))
    serial = not past.timers and _is_serial(past, spans, known, first, count)
    return Overlaps(
        tuple(one[0] for one in spans), tuple(first), serial,
        spans, [*before], [[*line] for line in lines], [*past.timers],
    )  # fmt: skip


def _is_serial(
    past: Past, spans: Sequence[Span], known: Sequence[int], first: Sequence[frozenset[int]],
    count: int,
) -> bool:  # fmt: skip
    before, lines = past.before, past.lines
    theirs = {one[0] for one in spans} | set(known)
    if any(line for worker, line in enumerate(lines) if worker not in theirs):
        return False
    steps, pasts = [], []
    for worker, begun, ended in spans:
        line = lines[worker]
        mine = line[bisect_left(line, begun) : bisect_left(line, ended)]
        steps.append(sum(1 << t for t in mine))
        past_ = 0
        for t in mine:
            past_ |= before[t]
        pasts.append(past_)
    later = [
        {
            j for j in range(count)
            if j != i and (pasts[j] & steps[i] or (spans[i][0] == spans[j][0] and i < j))
        } for i in range(count)
    ]  # fmt: skip
    for through in range(count):
        for i in range(count):
            if through in later[i]:
                later[i] |= later[through]
    if any(i in later[i] for i in range(count)):
        return False
    # what is earlier in that order must not be able to begin after the end of what is later
    return all(j in first[i] for i in range(count) for j in later[i])
