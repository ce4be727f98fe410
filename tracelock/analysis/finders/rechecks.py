"""What was checked and is not so any more: before a wait, or before the lock was taken.

*Not re-checked after a wait*: a worker looks at the state, waits at a condition and goes on without
another look. A notify says that something has changed, not that it is still so when the waiter has
its lock back: another may have come first (Mesa semantics: Lampson and Redell, *Experience with
processes and monitors in Mesa*, CACM 23, 1980), and a wait may end by its timeout.

*Checked outside the lock*: a worker looks at a variable without the lock that guards it, takes the
lock and changes it without another look.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.finders.signals import between
from tracelock.analysis.findings import ERROR, NOTE, WARNING, Finding, sort_key
from tracelock.ops import ACQUIRE, ON_VARIABLE, READ, RELEASE, WAIT, WAKE, WRITE

__all__ = ["checked_outside", "unchecked_waits"]

#: Own events of a worker that are looked through before a wait, and after it.
BACK: Final = 30
#: Findings of one kind in one trace, and waits that are looked into.
MOST: Final = 20
LOOKED: Final = 5_000


def unchecked_waits(facts: Facts) -> list[Finding]:
    """A finding (``unchecked-wait``) for each wait at a condition before which a variable was
    looked at, and after which it is used without that look.

    An error where another changed it after the notify, a warning where another than the notifier
    could, else a note.
    """
    steps = facts.steps
    found: dict[tuple[str, int], Finding] = {}  # the gravest of those that are alike
    writes = _writes(facts) if WAKE in steps.kinds else {}
    looked = 0
    for seq, kind in enumerate(steps.kinds):
        target = steps.targets[seq]
        if kind != WAKE or target is None:
            continue
        looked += 1
        if looked > LOOKED:
            break
        own = steps.by_worker[steps.workers[seq]]
        place = bisect_left(own, seq)
        known = steps.type_of(target) == "condition"
        wait = _wait(facts, own, place, target) if known else -1
        wait = wait if wait >= 0 else _awaited(facts, own, place)
        looks = _looks(facts, own, wait) if wait >= 0 else {}
        act = _act(facts, own[place + 1 : place + 1 + BACK], looks) if looks else -1
        name = steps.targets[act] or "" if act >= 0 else ""
        key = (name, steps.shapes[act])
        if act < 0 or (key not in found and len(found) >= MOST):
            continue
        one = _unchecked(facts, (looks[name], own[wait], seq, act), writes.get(name, {}))
        if key not in found or sort_key(one)[0] < sort_key(found[key])[0]:
            found[key] = one
    return list(found.values())


def _wait(facts: Facts, own: Sequence[int], place: int, target: str) -> int:
    """Where among its own events a worker began the wait that ends there; -1: not found."""
    steps = facts.steps
    for before in range(place - 1, max(-1, place - BACK), -1):
        seq = own[before]
        if steps.targets[seq] == target and steps.kinds[seq] == WAIT:
            return before
    return -1


def _awaited(facts: Facts, own: Sequence[int], place: int) -> int:
    """The same for a task, of whose conditions a trace knows no more than that they are awaited:
    the line of the wait has released a lock, and has it back just before."""
    steps = facts.steps
    back = own[place - 1] if place else -1
    at = steps.at(own[place])
    if back < 0 or steps.kinds[back] != ACQUIRE or steps.at(back) != at:
        return -1
    for before in range(place - 2, max(-1, place - BACK), -1):
        seq = own[before]
        if steps.kinds[seq] == RELEASE and steps.targets[seq] == steps.targets[back]:
            return before if steps.at(seq) == at else -1
    return -1


def _looks(facts: Facts, own: Sequence[int], wait: int) -> dict[str, int]:
    """The last look at each variable since the lock was taken, or another wait was over."""
    steps = facts.steps
    at = steps.at(own[wait])
    looks: dict[str, int] = {}
    for place in range(wait - 1, max(-1, wait - BACK), -1):
        seq = own[place]
        kind, name = steps.kinds[seq], steps.targets[seq]
        if kind in (ACQUIRE, WAKE) or (kind == RELEASE and steps.at(seq) != at):
            break
        if kind == READ and name is not None:
            looks.setdefault(name, seq)
    return looks


def _act(facts: Facts, after: Sequence[int], looks: dict[str, int]) -> int:
    """The first use, after the wait, of something that was looked at; -1 where the look is
    repeated, or nothing of it is used before the lock is released."""
    steps = facts.steps
    again = {steps.shapes[look] for look in looks.values()}
    for seq in after:
        kind = steps.kinds[seq]
        if kind == READ and steps.shapes[seq] in again:
            return -1
        if kind in (RELEASE, WAIT):
            return -1
        name = steps.targets[seq]
        if kind in ON_VARIABLE and name in looks and (kind != READ or f"{name}[]" not in looks):
            return seq  # and not only of the attribute that holds the container
    return -1


def _writes(facts: Facts) -> dict[str, dict[int, list[int]]]:
    """The changes of each variable, by worker."""
    steps = facts.steps
    found: dict[str, dict[int, list[int]]] = {}
    for seq, kind in enumerate(steps.kinds):
        if kind != READ:
            for name in steps.written(seq):
                found.setdefault(name, {}).setdefault(steps.workers[seq], []).append(seq)
    return found


def _unchecked(
    facts: Facts, four: tuple[int, int, int, int], writes: dict[int, list[int]]
) -> Finding:
    steps = facts.steps
    look, wait, wake, act = four
    worker, name = steps.workers[act], steps.targets[act] or ""
    others = {other: seqs for other, seqs in writes.items() if other != worker}
    changes = sorted(one for seqs in others.values() for one in between(seqs, wait, act))
    timed_out = steps.results[wake] is False
    stolen = changes[-1] if changes and (len(changes) > 1 or timed_out) else -1
    more = sum(map(len, others.values())) > 1
    severity = ERROR if stolen >= 0 else WARNING if more else NOTE
    mine, what = steps.names[worker], facts.say(look)
    story = (
        f"{steps.name(stolen)} changed it last, {facts.cite(stolen)[1:-1]}, before {mine} had the "
        "lock back"
        if stolen >= 0
        else "another worker may change it between the notify and the moment at which the lock "
        "is had back"
    )
    return facts.finding(
        "unchecked-wait", severity, f"{name} is not checked again after the wait",
        f"{mine} looks at {name} {facts.cite(look)}, waits {facts.cite(wait)} and uses it "
        f"{facts.cite(act)} without another look. A notify says that something has changed, not "
        f"that it is still so: {story}. Wait in a loop, 'while' instead of 'if', or with "
        "wait_for.",
        (look, wait, stolen, wake, act), (name, steps.targets[wait] or ""), (worker,),
        diagnosis=f"{what} was checked before `wait` and not again after it",
        cure="use `while` instead of `if` around the `wait`, or `wait_for`",
    )  # fmt: skip


# --- outside of the lock ---------------------------------------------------------------------
def checked_outside(facts: Facts) -> Iterator[Finding]:
    """A finding (``check-outside-lock``) for each look at a variable before the lock is taken under
    which it is then changed without another look.

    Only where others change it with that lock held, too. An error where one did in between.
    """
    steps, locks = facts.steps, facts.locks
    if not locks.taken:
        return
    guarded = _guards(facts)
    outermost = set(locks.taken)
    done: set[tuple[int, int]] = set()
    for own in steps.by_worker:
        # by variable: the last look before the lock that is held now was taken, the last of all
        looks: dict[str, tuple[int, int]] = {}
        acquired = -1
        for seq in own:
            kind, name = steps.kinds[seq], steps.targets[seq]
            if kind == ACQUIRE and seq in outermost:
                acquired = seq
            if kind not in ON_VARIABLE or name is None:
                continue
            look, inside = looks.get(name, (-1, -1))
            if inside < acquired:
                look = inside
            if kind == READ:
                looks[name] = look, seq
                continue
            looks.pop(name, None)
            # a read on the line of the write is part of the update, no look
            if look < 0 or (inside != look and steps.at(inside) != steps.at(seq)):
                continue
            lock = _taken_between(facts, look, seq, guarded.get(name, {}))
            if inside != look and facts.trace.verdict.kind == "passed":
                continue  # a whole update, and nothing says that it relies on the look
            key = (steps.shapes[look], steps.shapes[seq])
            if kind == WRITE and lock and key not in done and len(done) < MOST:
                done.add(key)
                yield _outside(facts, look, seq, lock, guarded[name][lock])


#: Events that change a variable with a lock held, by worker.
_Guarded = dict[int, list[int]]


def _guards(facts: Facts) -> dict[str, dict[str, _Guarded]]:
    """For each variable the locks that are held at writes of it, with these."""
    steps = facts.steps
    found: dict[str, dict[str, _Guarded]] = {}
    for seq, kind in enumerate(steps.kinds):
        name = steps.targets[seq]
        if kind == WRITE and name is not None:
            for hold in facts.locks.holds[seq]:
                by_worker = found.setdefault(name, {}).setdefault(hold.lock, {})
                by_worker.setdefault(steps.workers[seq], []).append(seq)
    return found


def _taken_between(facts: Facts, look: int, act: int, guards: dict[str, _Guarded]) -> str:
    """A lock that was taken after the look, is held at the act and at another worker's writes."""
    if not facts.locks.at(look).isdisjoint(facts.locks.at(act)):
        return ""
    for hold in facts.locks.holds[act]:
        others = guards.get(hold.lock, {}).keys() - {facts.steps.workers[act]}
        if hold.taken > look and others:
            return hold.lock
    return ""


def _outside(facts: Facts, look: int, act: int, lock: str, writes: _Guarded) -> Finding:
    steps = facts.steps
    worker, name = steps.workers[act], steps.targets[act] or ""
    others = [seqs[-1] for other, seqs in writes.items() if other != worker]
    inside = sorted(
        seq for other, seqs in writes.items() if other != worker for seq in between(seqs, look, act)
    )
    taken = facts.held_at(worker, lock, act)
    mine, what = steps.names[worker], facts.say(look)
    other = steps.name((inside or others)[-1])
    story = (
        f"{other} changed it in between {facts.cite(inside[-1])}"
        if inside
        else f"{other}, which takes the lock to change it, can do so in between"
    )
    return facts.finding(
        "check-outside-lock", ERROR if inside else WARNING,
        f"{name} is checked outside of {lock}, and changed inside",
        f"{mine} looks at {name} {facts.cite(look)}, takes {lock} {facts.cite(taken)} and changes "
        f"it {facts.cite(act)} without another look. {story[0].upper()}{story[1:]}. Look at it "
        "with the lock held, or once more after the lock is taken.",
        (look, *inside[-1:], taken, act), (name, lock), (worker,),
        diagnosis=f"{what} was checked before {facts.said(lock, taken)} was taken, and changed "
        "under it without another look",
        cure=f"check {what} inside the `with` block, or once more there",
    )  # fmt: skip
