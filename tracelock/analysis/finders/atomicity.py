"""Lost updates and stale checks: steps of one worker that another can come between.

A worker reads a variable and then writes it. If another writes it in between, that write is
overwritten by a value that knows nothing of it: a *lost update*, the unserialisable pattern
read-write-write of Lu and others (*AVIO*, ASPLOS 2006). Where the first read was the condition of
an ``if`` or ``while`` around the write, or around another step with an effect, it is
*check-then-act*: what was checked need not be so any more. Whether the other can come in between
is judged as in ``races``: it need not come before or after by the must order, and no lock is held
from the read to the end that it holds as well (Flanagan and Freund, *Atomizer*, POPL 2004).

A compare-and-exchange or a fetch-and-add brings its own check and is no such write.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from tracelock.analysis.derived.facts import Facts, base_of
from tracelock.analysis.derived.happens_before import Order
from tracelock.analysis.derived.spoken import is_container
from tracelock.analysis.findings import ERROR, WARNING, Finding
from tracelock.ops import ATOMIC, READ, WAIT, WRITE
from tracelock.trace import MISSING

__all__ = ["MOST", "AtomicRegion", "atomicity", "regions"]

_Any = TypeVar("_Any")
#: Findings reported for one variable.
MOST: Final = 20
#: A step is governed by the condition of a step whose path this continues.
_BLOCKS: Final = (".then", ".else", ".do")


@dataclass(frozen=True, slots=True)
class AtomicRegion:
    """``worker`` reads ``name`` (event ``read``) and acts on it (event ``act``).

    ``kind``: ``lost-update`` or ``check-then-act``. ``locks``: held all the time.
    """

    kind: str
    worker: int
    name: str
    read: int
    act: int
    locks: frozenset[str]


class _Alike(NamedTuple):
    """Writes of one worker, or regions, that differ only in when they were."""

    worker: int
    shapes: tuple[int, ...]
    locks: frozenset[str]


_ByLocks = dict[str, dict[frozenset[str], dict[_Alike, _Any]]]


def regions(facts: Facts) -> list[AtomicRegion]:
    """Every read with what the same worker does in reliance on it, in order of the latter."""
    steps, locks = facts.steps, facts.locks
    kinds, targets, shapes = steps.kinds, steps.targets, steps.shapes
    paths = [shape.at for shape in steps.events.table]
    governs: dict[tuple[int, int], bool] = {}

    def governed(read: int, act: int) -> bool:
        key = (shapes[read], shapes[act])
        if key not in governs:
            check, inside = paths[key[0]], paths[key[1]]
            governs[key] = inside.startswith(tuple(check + block for block in _BLOCKS))
        return governs[key]

    found = []
    for worker, seqs in enumerate(steps.by_worker):
        latest: dict[str, int] = {}  # by variable: the last read since this worker's last write
        checks: list[int] = []  # reads that the steps since may be governed by
        for seq in seqs:
            kind, name = kinds[seq], targets[seq]
            if checks:
                checks = [read for read in checks if governed(read, seq)]
            if name is None:
                continue
            if kind == READ:
                latest[name] = seq
                checks.append(seq)
            elif kind == WRITE or (kind == WAIT and checks):
                # of several checks of one variable the last counts: it was looked at again
                relied = {targets[read]: ("check-then-act", read) for read in checks}
                if kind == WRITE and name in latest:
                    # a check of the variable that is written takes in all of its update
                    read = latest.pop(name)
                    relied.setdefault(name, (_of_update(facts, name, read, seq), read))
                for var, (what, read) in relied.items():
                    if var is not None and not steps.together(read, seq):
                        held = locks.throughout(read, seq)
                        found.append(AtomicRegion(what, worker, var, read, seq, held))
                if kind == WRITE:
                    # from its own write on a worker relies on that, not on what it read before
                    latest.pop(name, None)
                    checks = [read for read in checks if targets[read] != name]
    found.sort(key=lambda region: region.act)
    return found


def _of_update(facts: Facts, name: str, read: int, write: int) -> str:
    """What a read and a later write of one variable are, where another writes it in between. What a
    container contains is changed by a write, not replaced: nothing of it is lost, unless the write
    puts in what was made of the read (``counts[key] += 1``)."""
    steps = facts.steps
    values = steps.results[read], steps.events.values[write]
    made_of_it = steps.at(read) == steps.at(write) and None not in values and MISSING not in values
    whole = not facts.real_code or not is_container(name) or made_of_it
    return "lost-update" if whole else "check-then-act"


def _nothing_lost(facts: Facts, region: AtomicRegion, write: int) -> bool:
    """Whether the write that is overwritten had changed nothing, or to the same yes or no."""
    if region.kind != "lost-update" or not region.read < write < region.act:
        return False
    events, seen = facts.steps.events, facts.steps.results[region.read]
    value, instead = events.values[write], events.values[region.act]
    if value is MISSING or isinstance(value, list | dict):
        return False
    if isinstance(value, str) and value.startswith("<"):
        return False  # the name of a type: which object it is the trace does not say
    same = type(value) is type(seen) and bool(value == seen)
    return same or ((value is None or type(value) is bool) and value is instead)


def atomicity(facts: Facts, *, tolerant: bool = False, merged: bool = False) -> list[Finding]:
    """A finding (``lost-update``, ``check-then-act``) for each region another can come into.

    ``tolerant``: who follows a flag has waited for it, see ``races``; and a flag is never written
    with what was read of it, so that no update of it can be lost, nor is it a stale check where
    flags decide about flags, as in Dekker's and Peterson's locks. ``merged``: see ``races``.
    """
    steps, locks = facts.steps, facts.locks
    by_act: dict[int, list[AtomicRegion]] = defaultdict(list)
    wanted = set()
    for region in regions(facts):
        if tolerant and _protocol(facts, region):
            continue
        by_act[region.act].append(region)
        wanted.add(region.name)
    found: list[Finding] = []
    if not wanted:
        return found
    # by locks held, so that all that one lock keeps apart is passed over at once
    writes: _ByLocks[int] = defaultdict(lambda: defaultdict(dict))
    past: _ByLocks[AtomicRegion] = defaultdict(lambda: defaultdict(dict))
    done: set[tuple[_Alike, _Alike]] = set()
    worded: dict[Hashable, Finding] = {}
    counts: dict[str, int] = defaultdict(int)

    def consider(region: AtomicRegion, own: _Alike, write: int, other: _Alike) -> None:
        if other.worker == own.worker or (own, other) in done:
            return
        order = _order(facts, region, tolerant)
        if order.before(write, region.read) or order.before(region.act, write):
            return
        if _nothing_lost(facts, region, write):
            return
        done.add((own, other))
        counts[region.name] += 1
        if counts[region.name] <= MOST:
            key: Hashable = (region, write)
            if merged:  # findings that are merged in the end are worded once
                at, happened = steps.at, region.read < write < region.act
                places = at(region.read), at(write), at(region.act)
                key = (region.kind, base_of(region.name), places, happened)
            if key not in worded:
                worded[key] = _finding(facts, region, write)
            found.append(worded[key])

    for seq, kind in enumerate(steps.kinds):
        for region in by_act.get(seq, ()):
            name = region.name
            if counts[name] >= MOST:
                continue
            shapes = (steps.shapes[region.read], steps.shapes[seq])
            own = _Alike(region.worker, shapes, region.locks)
            for held, alike in writes[name].items():
                if not held & region.locks:
                    for other, write in alike.items():
                        consider(region, own, write, other)
            past[name][region.locks][own] = region
        if kind > ATOMIC or kind == READ:
            continue
        for name in steps.written(seq):
            if name not in wanted or counts[name] >= MOST:
                continue
            mine = locks.at(seq)
            other = _Alike(steps.workers[seq], (steps.shapes[seq],), mine)
            for held, those in past[name].items():
                if not held & mine:
                    for own, region in those.items():
                        consider(region, own, seq, other)
            writes[name][mine][other] = seq
    return found


def _protocol(facts: Facts, region: AtomicRegion) -> bool:
    flags = facts.flags
    return region.name in flags and (
        region.kind == "lost-update" or facts.steps.targets[region.act] in flags
    )


def _order(facts: Facts, region: AtomicRegion, tolerant: bool) -> Order:
    # for a variable that others change indivisibly, its own values do not protect it
    if region.name in facts.steps.atomics:
        return facts.definite
    return facts.tolerant if tolerant and region.name not in facts.flags else facts.must


def _finding(facts: Facts, region: AtomicRegion, write: int) -> Finding:
    steps = facts.steps
    name, read, act = region.name, region.read, region.act
    mine, other = steps.names[region.worker], steps.name(write)
    happened = read < write < act
    can = "writes it" if happened else "can write it"
    if region.kind == "lost-update":
        title = f"Lost update of {name}"
        story = (
            f"{mine} reads {name} {facts.cite(read)} and later writes it {facts.cite(act)}; "
            f"{other} {can} in between {facts.cite(write)}, and that write is lost."
        )
    else:
        title = f"Check-then-act on {name}"
        target = steps.targets[act] or "something"
        verb = "waits at" if steps.kinds[act] == WAIT else "writes"
        story = (
            f"{mine} checks {name} {facts.cite(read)} and then {verb} {target} {facts.cite(act)}; "
            f"{other} {can} in between {facts.cite(write)}, and what was checked is then out of "
            "date."
        )
    what = facts.say(read)
    update = region.kind == "lost-update"
    if not happened:
        steps_told = "reads and writes back" if update else "checks and acts on"
        diagnosis = f"{mine} {steps_told} {what} in two steps, and {other} can change it in between"
    elif update:
        diagnosis = f"{mine} wrote {what} back after {other} had changed it: that change is lost"
    else:
        diagnosis = f"{mine} acted on its check of {what} after {other} had changed it"
    both = f"{mine} from the read to the end, {other} around its write"
    explanation = f"{story} Hold one lock, {both}, or make it one indivisible step."
    failed = facts.trace.verdict.kind == "failed"
    severity = ERROR if happened and (region.kind == "lost-update" or failed) else WARNING
    return facts.finding(
        region.kind, severity, title, explanation, (read, write, act), (name,),
        shows=(((read, write), (write, act)),), diagnosis=diagnosis,
    )  # fmt: skip
