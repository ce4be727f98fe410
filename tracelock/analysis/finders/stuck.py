"""Who waits for ever, and why: circles of waiting, locks left behind, signals that never come.

The wait-for graph has an edge from each worker that waits to those who hold what it waits for
(Holt, *Some deadlock properties of computer systems*, ACM Computing Surveys 4, 1972). A worker that
waits for a signal waits for all who could still give it; where those all wait for a lock that it
holds itself, that is a circle too (*nested monitor lockout*).
"""

from __future__ import annotations

from dataclasses import replace

from tracelock.analysis.derived.ending import FINAL, Pending, last_words, pending
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.finders import connections
from tracelock.analysis.finders.signals import missed
from tracelock.analysis.findings import ERROR, WARNING, Finding
from tracelock.ops import ACQUIRE, CHECKPOINT, JOIN

__all__ = ["stuck"]


def stuck(facts: Facts) -> list[Finding]:
    """A finding for each cause of waiting at the end, none for those who wait behind another."""
    waits = {one.worker: one for one in pending(facts)}
    final = facts.trace.verdict.kind in FINAL
    if not waits or (not final and facts.trace.verdict.kind != "unfinished"):
        return []
    found: list[Finding] = []
    explained: set[int] = set()
    talking = connections.with_peers(facts, waits)
    for circle in _circles(talking):
        told = [talking[one] for one in circle]
        if connections.across(told):
            explained.update(circle)
            found.append(connections.deadlock(facts, told, final))
    for circle in _circles(waits):
        if not explained.isdisjoint(circle):
            continue
        explained.update(circle)
        found.append(_deadlock(facts, [waits[one] for one in circle], final))
    if not final:
        return found  # cut off: only a circle is certain to last
    for one in waits.values():
        left = [holder for holder in one.holders if holder not in waits]
        if left and one.worker not in explained and one.op != JOIN:
            explained.add(one.worker)
            found.append(_abandoned(facts, one, left))
    for one in waits.values():
        if one.worker not in explained and not one.holders:
            behind = _behind(waits, one)
            alive = set(waits) - {one.worker}
            explained.add(one.worker)
            held = [waits[other] for other in sorted(behind)]
            direct = any(other.op == ACQUIRE and one.worker in other.holders for other in held)
            if one.op == CHECKPOINT and direct:
                found.append(_awaiting(facts, one, held))
            elif direct and alive <= behind:
                found.append(_lockout(facts, one, held))
            else:
                found.append(missed(facts, one))
    # where one signal is lost, who waits for the next one at the same object waits behind that
    lost = {one.targets for one in found if one.kind == "lost-wakeup"}
    found = [one for one in found if one.kind != "missing-signal" or one.targets not in lost]
    if facts.trace.verdict.kind == "failed":  # who failed may have been the one to signal
        found = [
            replace(one, severity=WARNING) if one.kind == "missing-signal" else one
            for one in found
        ]  # fmt: skip
    return found


def _circles(waits: dict[int, Pending]) -> list[list[int]]:
    """The circles of the wait-for graph, each once, by following the first holder that waits.

    A worker that waits for one of several holders (of a semaphore) is in a circle only if all of
    them wait: else one may yet give back.
    """
    hopeless: set[int] = set()
    left = set(waits)
    while left != hopeless:
        hopeless = left
        left = {one for one in hopeless if not hopeless.isdisjoint(waits[one].holders)}
    circles: list[list[int]] = []
    seen: set[int] = set()
    for start in sorted(hopeless):
        path: list[int] = []
        one = start
        while one not in seen and one not in path:
            path.append(one)
            one = next(h for h in waits[one].holders if h in hopeless)
        if one in path:
            circle = path[path.index(one) :]
            first = circle.index(min(circle))
            circles.append(circle[first:] + circle[:first])
        seen.update(path)
    return circles


def _behind(waits: dict[int, Pending], one: Pending) -> set[int]:
    """Who waits, through others perhaps, for something that ``one`` holds."""
    behind: set[int] = set()
    grown = {one.worker}
    while grown != behind:
        behind = grown
        grown = behind | {w for w, other in waits.items() if not behind.isdisjoint(other.holders)}
    return behind - {one.worker}


def _taken(facts: Facts, worker: int, target: str) -> int:
    """The event with which a worker took what it still holds; -1 where the trace has none."""
    lock = facts.steps.lock_of(target)
    for hold in facts.locks.ends[worker]:
        if hold.lock == lock:
            return hold.taken
    steps = facts.steps
    for seq in reversed(steps.by_worker[worker]):  # a permit: the last that it took
        if steps.kinds[seq] == ACQUIRE and steps.targets[seq] == target:
            return seq
    return -1


def _since(facts: Facts, worker: int, target: str) -> str:
    seq = _taken(facts, worker, target)
    return "" if seq < 0 else f" (since event {seq}, at {facts.place(facts.steps.at(seq))})"


def _asks(facts: Facts, one: Pending) -> str:
    """``w waits for b (at ...)``."""
    name = facts.steps.names[one.worker]
    if one.op == JOIN:
        return f"{name} waits for {one.target} to end (at {facts.place(one.at)})"
    verb = "waits for" if one.op == ACQUIRE else "waits at"
    return f"{name} {verb} {one.target} (at {facts.place(one.at)})"


def _deadlock(facts: Facts, circle: list[Pending], final: bool) -> Finding:
    names, severity = facts.steps.names, ERROR if final else WARNING
    if len(circle) == 1:
        (one,) = circle
        taken = _taken(facts, one.worker, one.target)
        return facts.finding(
            "self-deadlock", severity,
            f"Self-deadlock: {names[one.worker]} waits for {one.target}, which it holds itself",
            f"{names[one.worker]} took {one.target}{_since(facts, one.worker, one.target)} and "
            f"asks for it again (at {facts.place(one.at)}). This lock is not re-entrant: it waits "
            "for itself, for ever. Use an rlock, or split the function so that the inner part "
            "expects the lock to be held already.",
            (taken, one.since), (one.target,), (one.worker,), places=(one.at,),
            diagnosis=f"{names[one.worker]} asks for {facts.said(one.target, one.since)}, which it "
            "holds already and which is not re-entrant",
        )  # fmt: skip
    parts, events = [], []
    told = []
    for place, one in enumerate(circle):
        nxt = circle[(place + 1) % len(circle)]
        holder = ""
        if one.op != JOIN:
            holder = f", which {names[nxt.worker]} holds{_since(facts, nxt.worker, one.target)}"
        parts.append(_asks(facts, one) + holder)
        before = circle[place - 1]
        has = "" if before.op == JOIN else f"holds {facts.said(before.target, one.since)} and "
        what = one.target if one.op == JOIN else facts.said(one.target, one.since)
        told.append(f"{names[one.worker]} {has}waits for {what}")
        if before.op != JOIN:
            events.append(_taken(facts, one.worker, before.target))
        events.append(one.since)
    ring = " -> ".join([names[one.worker] for one in circle] + [names[circle[0].worker]])
    joins = any(one.op == JOIN for one in circle)
    cure = (
        "Do not wait for a worker to end while you hold what it needs"
        if joins
        else "Take these locks in the same order everywhere, or ask for the second one with a "
        "timeout and give the first one back when it fails"
    )
    when = "No one of them can go on" if final else "When the trace was cut off none could go on"
    return facts.finding(
        "deadlock", severity, f"Deadlock: {ring}",
        f"{'; '.join(parts)}. {when}: each waits for what the next one has. {cure}.",
        events, [one.target for one in circle], [one.worker for one in circle],
        diagnosis=", ".join(told), cure=cure[:1].lower() + cure[1:],
        places=[one.at for one in circle],
    )  # fmt: skip


def _lockout(facts: Facts, one: Pending, behind: list[Pending]) -> Finding:
    names = facts.steps.names
    direct = [other for other in behind if one.worker in other.holders]
    locks = list(dict.fromkeys(other.target for other in direct))
    holds = " and ".join(f"{lock}{_since(facts, one.worker, lock)}" for lock in locks)
    events = [_taken(facts, one.worker, lock) for lock in locks]
    return facts.finding(
        "deadlock", ERROR,
        f"Deadlock: {names[one.worker]} waits at {one.target} while it holds {', '.join(locks)}",
        f"{_asks(facts, one)} for a signal, and holds {holds} all the while. "
        f"{'; '.join(_asks(facts, other) for other in behind)}. So everybody who could give the "
        "signal waits for the one that waits for it (nested monitor lockout). Do not wait for "
        "a signal with a lock held that its sender needs: release it first, or use a condition "
        "made of that lock, whose wait gives it up.",
        [*events, one.since, *(other.since for other in behind)], (one.target, *locks),
        (one.worker, *(other.worker for other in behind)),
        diagnosis=f"{names[one.worker]} waits at {facts.said(one.target)} and holds "
        f"{', '.join(map(facts.said, locks))}, which whoever could signal needs first",
        cure="release the lock before the wait, or use a condition made of it",
        places=(one.at, *(other.at for other in behind)),
    )  # fmt: skip


def _awaiting(facts: Facts, one: Pending, behind: list[Pending]) -> Finding:
    """A task that waits for its loop, whose thread stands still at a lock that the task holds."""
    names = facts.steps.names
    other = next(o for o in behind if o.op == ACQUIRE and one.worker in o.holders)
    taken = _taken(facts, one.worker, other.target)
    mine, theirs, lock = names[one.worker], names[other.worker], facts.said(other.target, taken)
    return facts.finding(
        "await-with-lock", ERROR,
        f"{mine} awaits while it holds {other.target}, which stops the loop",
        f"{mine} holds {other.target}{_since(facts, one.worker, other.target)} across its await "
        f"(at {facts.place(one.at)}). {_asks(facts, other)}: that is a lock of threads, so the "
        f"whole loop stands still with it, and {mine} can never go on to release it. Use the lock "
        "of the loop's library, or release this one before the await.",
        (taken, one.since, other.since), (other.target,), (one.worker, other.worker),
        diagnosis=f"{mine} awaits while it holds {lock}, a lock of threads: where {theirs} "
        "asks for it the whole loop stands still",
        places=(facts.steps.at(taken) if taken >= 0 else one.at, one.at, other.at),
    )  # fmt: skip


def _abandoned(facts: Facts, one: Pending, left: list[int]) -> Finding:
    names = facts.steps.names
    parts, events = [], []
    for holder in left:
        last, how = last_words(facts, holder)
        events += [_taken(facts, holder, one.target), last]
        where = "" if last < 0 else f" (event {last}, at {facts.place(facts.steps.at(last))})"
        parts.append(
            f"{names[holder]} took {one.target}{_since(facts, holder, one.target)} and {how} "
            f"without releasing it{where}"
        )
    return facts.finding(
        "abandoned-lock", ERROR,
        f"Abandoned lock: {one.target} was left held by {', '.join(names[h] for h in left)}",
        f"{'; '.join(parts)}. {_asks(facts, one)}, which nobody can release any more. Take it in a "
        "'with' block, which releases it however the block ends; against a killed process only "
        "a lock that the system releases helps (a file lock, or a new lock and a new worker).",
        [*events, one.since], (one.target,), (*left, one.worker),
        diagnosis=f"{names[left[0]]} {how} while it held {facts.said(one.target, one.since)}",
        cure="take it with `with`, or in a `try` whose `finally` releases it on every way out",
    )  # fmt: skip
