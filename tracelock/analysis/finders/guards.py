"""Which locks guard what: variables under different locks, locks that guard nothing, and what is
done while one is held.

Eraser's lockset algorithm: the locks that were held at *every* access of a variable (Savage and
others, SOSP 1997). A variable that workers change in turn and for which none is left has no guard.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.findings import NOTE, WARNING, Finding
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CALL,
    CHECKPOINT,
    GET,
    JOIN,
    NOTIFY,
    ON_VARIABLE,
    PUT,
    RELEASE,
    SET,
    SLEEP,
    SPAWN,
    WAIT,
    WAKE,
    WRITE,
)

__all__ = ["guards", "held_while_waiting", "useless"]

#: Findings of a kind in one trace.
MOST: Final = 20
#: Pairs of accesses compared for one variable: a bound against traces from strangers.
PAIRS: Final = 5_000


@dataclass(slots=True)
class _Use:
    """Accesses of a variable with one set of locks: the last by each worker."""

    by_worker: dict[int, int] = field(default_factory=dict)
    writes: dict[int, int] = field(default_factory=dict)


def guards(facts: Facts) -> Iterator[Finding]:
    """A finding (``inconsistent-locks``) for each variable whose accesses have no lock in common,
    though two workers hold one each. A warning where they can come in either order."""
    steps, locks = facts.steps, facts.locks
    if not locks.taken:
        return
    uses: dict[str, dict[frozenset[str], _Use]] = defaultdict(lambda: defaultdict(_Use))
    for seq, kind in enumerate(steps.kinds):
        name = steps.targets[seq]
        if kind > WRITE or name is None:
            continue
        use = uses[name][locks.at(seq)]
        use.by_worker[steps.workers[seq]] = seq
        if kind == WRITE:
            use.writes[steps.workers[seq]] = seq
    found = 0
    for name, sets in uses.items():
        if name in steps.atomics or len(sets) < 2 or frozenset.intersection(*sets):
            continue
        pair = _apart(facts, {held: use for held, use in sets.items() if held})
        if pair is not None and found < MOST:
            found += 1
            yield _inconsistent(facts, name, *pair)


def _apart(facts: Facts, sets: dict[frozenset[str], _Use]) -> tuple[int, int] | None:
    """Two accesses, one a write, by workers that hold different locks; unordered if there are."""
    ordered = None
    budget = PAIRS
    for held, use in sets.items():
        for others, other in sets.items():
            if held & others:
                continue
            for worker, write in use.writes.items():
                for second, access in other.by_worker.items():
                    if second == worker:
                        continue
                    budget -= 1
                    if budget < 0:
                        return ordered
                    pair = (min(write, access), max(write, access))
                    if not facts.must.before(*pair) and not facts.steps.cooperative:
                        return pair
                    ordered = ordered or pair
    return ordered


def _inconsistent(facts: Facts, name: str, first: int, second: int) -> Finding:
    steps = facts.steps
    locks = [", ".join(sorted(facts.locks.at(seq))) for seq in (first, second)]
    free = not facts.must.before(first, second) and not steps.cooperative
    but = (
        "So both can be at it at once"
        if free
        else "In this run something else kept them apart; the next change of the program may not"
    )
    return facts.finding(
        "inconsistent-locks", WARNING if free else NOTE,
        f"{name} is guarded by different locks: {locks[0]} and {locks[1]}",
        f"{steps.name(first)} {facts.verb(first)} {name} {facts.cite(first)} with {locks[0]} held, "
        f"{steps.name(second)} {facts.verb(second)} it {facts.cite(second)} with {locks[1]}. "
        f"Different locks do not keep each other out. {but}. Choose one lock for {name} and hold "
        "it at every access.",
        (first, second), (name, *", ".join(locks).split(", ")),
    )  # fmt: skip


# --- locks that guard nothing ----------------------------------------------------------------
_OTHER_PURPOSE: Final = frozenset({SET, NOTIFY, PUT, GET, CALL, SPAWN, JOIN, WAIT, WAKE})


def useless(facts: Facts) -> list[Finding]:
    """A note (``useless-lock``) for each lock that keeps nobody from anything.

    Nothing that two workers use, one of them to change it, is touched while it is held, nor
    another object; or one worker alone takes it. Not told of traces that see no variable.
    """
    steps, locks = facts.steps, facts.locks
    if not locks.taken or facts.trace.verdict.kind not in ("passed", "failed"):
        return []
    users: dict[str, set[int]] = defaultdict(set)
    changed: set[str] = set()
    inside: dict[str, set[str]] = defaultdict(set)
    busy: set[str] = set()
    for seq, kind in enumerate(steps.kinds):
        holds = locks.holds[seq]
        target = steps.targets[seq]
        if kind in ON_VARIABLE or kind == ATOMIC:
            names = {*steps.read(seq), *steps.written(seq)} if kind == ATOMIC else {target or ""}
            for name in names:
                users[name].add(steps.workers[seq])
            changed.update(steps.written(seq))
            for hold in holds:
                inside[hold.lock] |= names
        elif kind in _OTHER_PURPOSE:
            busy.update(hold.lock for hold in holds)
        elif holds and kind in (ACQUIRE, RELEASE):
            busy.update(hold.lock for hold in holds if hold.lock != steps.lock_of(target or ""))
    shared = {name for name, who in users.items() if len(who) > 1 and name in changed}
    takers: dict[str, list[int]] = defaultdict(list)
    for seq in locks.taken:
        takers[steps.lock_of(steps.targets[seq] or "")].append(seq)
    found: list[Finding] = []
    for lock, taken in takers.items():
        alone = len({steps.workers[seq] for seq in taken}) == 1
        if not users or lock in busy or inside[lock] & shared or len(found) >= MOST:
            continue
        if alone and len(steps.names) == 1:
            continue  # one worker shares nothing with anybody
        what = ", ".join(sorted(inside[lock])[:3])
        story = (
            f"Only {steps.name(taken[0])} ever takes {lock}"
            if alone
            else f"While {lock} is held "
            + (f"only {what} is used, which" if what else "no variable is used that")
            + " no two workers share and change"
        )
        found.append(
            facts.finding(
                "useless-lock", NOTE, f"{lock} protects nothing in this run",
                f"{story} (taken {len(taken)} times, first {facts.cite(taken[0])[1:-1]}). Either "
                "it can go, or what it should guard is used elsewhere without it.",
                taken[:2], (lock,), [steps.workers[seq] for seq in taken],
            )
        )  # fmt: skip
    return found


# --- what is done while a lock is held -------------------------------------------------------
def held_while_waiting(facts: Facts) -> list[Finding]:
    """A finding (``held-while-waiting``) for each lock held across a wait, sleep, join or await.

    A note, since it is often meant; a warning where whoever could end the wait needs that lock
    first, in every case that the trace shows: then the wait lasts for ever in another schedule.
    """
    steps, locks = facts.steps, facts.locks
    places: dict[tuple[str, int], list[int]] = defaultdict(list)
    for seq, kind in enumerate(steps.kinds):
        holds = locks.holds[seq]
        if not holds:
            continue
        waits = kind in (SLEEP, JOIN, WAIT, CALL) or (kind == CHECKPOINT and steps.cooperative)
        if kind in (PUT, GET):
            waits = not steps.timed(seq) and _blocked(facts, seq)
        if not waits or (kind == SLEEP and steps.events.values[seq] in (0, 0.0)):
            continue
        target = steps.targets[seq]
        own = steps.lock_of(target) if target is not None else ""
        for hold in holds:
            if hold.lock != own:
                places[hold.lock, steps.shapes[seq]].append(seq)
    return [_held(facts, lock, seqs) for (lock, _), seqs in list(places.items())[: 2 * MOST]]


def _blocked(facts: Facts, seq: int) -> bool:
    waits = facts.steps.events.waits
    return waits is not None and waits[seq] > 0


def _held(facts: Facts, lock: str, seqs: list[int]) -> Finding:
    steps = facts.steps
    first = seqs[0]
    kind, target, name = steps.kinds[first], steps.targets[first], steps.name(first)
    taken = facts.held_at(steps.workers[first], lock, first)
    what, across = {
        SLEEP: ("sleeps", "a sleep"), JOIN: (f"waits for {target} to end", "a join"),
        CALL: ("calls code outside", "a blocking call"), CHECKPOINT: ("awaits", "an await"),
        PUT: (f"waits for room in {target}", "a blocking call"),
        GET: (f"waits for an item of {target}", "a blocking call"),
        WAIT: (f"waits at {target}", "a blocking call"),
    }[kind]  # fmt: skip
    blocker = -1 if steps.timed(first) else _needs(facts, lock, first)
    behind = _waited_for(facts, lock, seqs)
    story = f"{name} takes {lock} (event {taken}) and {what} {facts.cite(first)} with it held"
    times = f", {len(seqs)} times in this run" if len(seqs) > 1 else ""
    cost = (
        f" {', '.join(steps.names[w] for w in sorted(behind))} had to wait for {lock} meanwhile."
        if behind
        else " Whoever needs it meanwhile has to wait as long."
    )
    if blocker >= 0:
        cost = (
            f" {steps.name(blocker)} ends that wait {facts.cite(blocker)}, and needs {lock} first: "
            f"where {name} takes {lock} before it, neither can go on."
        )
    if kind == CHECKPOINT and lock in blocking(facts):
        return _stops_the_loop(facts, lock, taken, first)
    return facts.finding(
        "held-while-waiting", WARNING if blocker >= 0 else NOTE,
        f"{lock} is held across {across}: {name} {what}",
        f"{story}{times}.{cost} Do the waiting before the lock is taken or after it is released, "
        "and keep the section short.",
        (taken, first, blocker), (lock, target) if target else (lock,),
        [steps.workers[first], *behind],
    )  # fmt: skip


def blocking(facts: Facts) -> frozenset[str]:
    """The locks of threads in a trace of tasks of real code, which stop the whole loop."""
    python = facts.trace.scenario.get("python")
    names = python.get("blocking") if isinstance(python, dict) else None
    return frozenset(n for n in names if type(n) is str) if isinstance(names, list) else frozenset()


def _stops_the_loop(facts: Facts, lock: str, taken: int, await_: int) -> Finding:
    steps = facts.steps
    name, what = steps.name(await_), facts.said(lock, taken)
    return facts.finding(
        "await-with-lock", WARNING, f"{name} awaits while it holds {lock}, a lock of threads",
        f"{name} takes {lock} {facts.cite(taken)} and awaits {facts.cite(await_)} with it held. A "
        "task that asks for it meanwhile stops the thread of the loop, and with it the one that "
        "would release it: a deadlock. Use the lock of the loop's library (asyncio.Lock), or "
        "release this one before the await.",
        (taken, await_), (lock,),
        diagnosis=f"{name} awaits while it holds {what}, a lock of threads: another task that "
        "asks for it stops the whole loop",
    )  # fmt: skip


def _needs(facts: Facts, lock: str, seq: int) -> int:
    """Where every event that could end the wait ``seq`` comes after its worker took ``lock`` in
    this trace, and could come before it: the first of them; else -1."""
    steps = facts.steps
    kind, target, worker = steps.kinds[seq], steps.targets[seq], steps.workers[seq]
    if target is None or kind not in (WAIT, JOIN):
        return -1
    if kind == JOIN:
        names = list(steps.names)
        other = names.index(target) if target in names else -1
        enders = [
            one for one in facts.locks.taken
            if steps.workers[one] == other and steps.lock_of(steps.targets[one] or "") == lock
        ]  # fmt: skip
    else:
        gives = {"event": SET, "condition": NOTIFY}.get(steps.type_of(target))
        enders = [one for one in facts.steps.by_object.get(target, ()) if steps.kinds[one] == gives]
        if not all(lock in facts.locks.at(one) for one in enders):
            return -1
    if not enders or any(steps.workers[one] == worker for one in enders):
        return -1
    first = enders[0]
    taken = facts.held_at(worker, lock, seq)
    section = facts.held_at(steps.workers[first], lock, first) if kind != JOIN else first
    # it must be possible that the waiter has the lock before the other one has had it
    return first if not facts.must.before(section, taken) else -1


def _waited_for(facts: Facts, lock: str, seqs: list[int]) -> set[int]:
    """Who asked for ``lock`` during one of these events and had to wait for it."""
    steps = facts.steps
    behind = set()
    for seq in seqs[:MOST]:
        taken = facts.held_at(steps.workers[seq], lock, seq)
        given = facts.locks.releases.get(taken)
        following = facts.usage.after(lock, given) if given is not None else None
        if following is not None and 0 <= following.asked < (given or 0):
            behind.add(following.worker)
    return behind
