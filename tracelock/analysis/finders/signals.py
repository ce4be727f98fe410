"""Signals that were lost: a notify, a set or a permit that did not reach the one who needed it.

A notify is not remembered: it wakes those who wait at that moment, or nobody. So it is lost where
a worker looks at the state, is overtaken by the change and its notify, and only then begins to
wait; and it is as good as lost where it wakes a worker that cannot use it. An event remembers its
set until it is cleared. What a timeout hides of this is in ``timeouts``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Final

from tracelock.analysis.derived.ending import Pending
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.objects import by_kind, is_direction, is_listener
from tracelock.analysis.findings import ERROR, Finding
from tracelock.ops import (
    ACQUIRE,
    CANCEL,
    CANCELLED,
    CLEAR,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    REQUEST,
    SET,
    WAIT,
    WAKE,
    WRITE,
)
from tracelock.trace import MISSING

__all__ = ["BACK", "FEW", "LOOP", "between", "missed", "on", "wrote_between"]

#: Events quoted of each sort, so that a long run's finding can still be read.
FEW: Final = 3
#: Signals, and events after one, that are looked into.
LATEST: Final = 200
#: How far back a worker's last look is searched for, in its own events.
BACK: Final = 12


def missed(facts: Facts, one: Pending) -> Finding:
    """Why ``one`` waits for ever for a signal, an item or a party."""
    if one.op in (PUT, GET):
        return _queue(facts, one)
    gone = _cancelled_waiter(facts, one) if one.op != JOIN else None
    if gone is not None:
        return gone
    return _MISSED.get(facts.steps.type_of(one.target), _no_sender)(facts, one)


def _no_sender(facts: Facts, one: Pending) -> Finding:
    name = facts.steps.names[one.worker]
    if one.op == JOIN:
        cure = "See what that one does last, or join it with a timeout."
        return _never(facts, one, f"{name} waits for {one.target}, which never ends", cure, [])
    return _never(
        facts, one, f"{name} waits for {one.target}, and nobody is left who could let it go on",
        "Something else than the workers of this trace must have it.", [],
    )  # fmt: skip


def _cancelled_waiter(facts: Facts, one: Pending) -> Finding | None:
    """A task that was cancelled where it waited at the same place in the code as ``one`` does."""
    steps = facts.steps
    if not steps.cooperative or not facts.real_code:
        return None
    place = steps.at(one.since) if one.since >= 0 else one.at
    here = {one.at, place} | {f for f in map(facts.function, (one.at, place)) if f}
    for seq in range(len(steps) - 1, -1, -1):
        kind = steps.kinds[seq]
        if kind not in (CANCEL, CANCELLED):
            continue
        task = steps.workers[seq] if kind == CANCELLED else steps.number(steps.targets[seq])
        if task is None or task == one.worker:
            continue
        own = steps.by_worker[task]
        before = own[bisect_left(own, seq) - 1] if bisect_left(own, seq) else -1
        if before < 0 or here.isdisjoint({steps.at(before), facts.function(steps.at(before))}):
            continue
        name, mine = steps.names[task], steps.names[one.worker]
        title = f"Lost wake-up: {name} was cancelled where {mine} waits for ever"
        return _lost(
            facts, one, title,
            f"{name} waits {facts.cite(before)} and is cancelled there {facts.cite(seq)}; {mine} "
            f"waits at the same place for ever. A waiter that is cancelled may have been woken "
            "already, or stand in the queue before others: it has to pass the wake-up on. In the "
            "'except CancelledError' of that wait wake the next waiter before it is raised again.",
            [before, seq, one.since],
            diagnosis=f"{name} was cancelled where {mine} waits for ever, and did not pass on the "
            "wake-up that it had, or stood in the way of",
            cure="where a wait is cancelled, wake the next waiter before `CancelledError` is "
            "raised again",
        )  # fmt: skip
    return None


def on(facts: Facts, target: str, kind: int) -> list[int]:
    """The events of this kind on an object, in order."""
    key = (target, kind)
    found = facts.of_kind.get(key)
    if found is None:
        kinds = facts.steps.kinds
        found = [seq for seq in facts.steps.by_object.get(target, ()) if kinds[seq] == kind]
        facts.of_kind[key] = found
    return found


def _waiting_since(facts: Facts, one: Pending) -> int:
    """The event with which it began to wait; past the trace's end where none was recorded."""
    steps = facts.steps
    seq = one.since
    if seq >= 0 and steps.targets[seq] == one.target and steps.kinds[seq] in (WAIT, REQUEST):
        return seq
    return len(steps)


def _never(facts: Facts, one: Pending, title: str, cure: str, events: list[int]) -> Finding:
    last = "" if one.since < 0 else f" (its last event is {one.since})"
    story = f"{title}, at {facts.place(one.at)}{last}. {cure}"
    return facts.finding(
        "missing-signal",
        ERROR,
        title,
        story,
        [*events, one.since],
        (one.target,),
        (one.worker,),
        places=(one.at,),
    )


def _lost(
    facts: Facts, one: Pending, title: str, story: str, events: list[int], diagnosis: str = "",
    cure: str = "",
) -> Finding:  # fmt: skip
    return facts.finding(
        "lost-wakeup",
        ERROR,
        title,
        story,
        events,
        (one.target,),
        (one.worker,),
        places=(one.at,),
        diagnosis=diagnosis,
        cure=cure,
    )


# --- for ever --------------------------------------------------------------------------------
LOOP: Final = (
    "Look at the state under the condition's lock and wait in a loop (wait_for), and change it "
    "under the same lock: then the signal cannot fall between the look and the wait."
)


def _condition(facts: Facts, one: Pending) -> Finding:
    steps = facts.steps
    name = steps.names[one.worker]
    start = _waiting_since(facts, one)
    notifies = [s for s in on(facts, one.target, NOTIFY) if steps.workers[s] != one.worker]
    wrong = _wrong_waiter(facts, one, start, notifies)
    if wrong is not None:
        return wrong
    notify, look = _too_early(facts, one, start, notifies)
    if notify >= 0:
        seen = f" It had looked at {steps.targets[look]} {facts.cite(look)} before that." if (
            look >= 0
        ) else ""  # fmt: skip
        return _lost(
            facts, one, f"Lost wake-up: {name} waits at {one.target} after the notify",
            f"{steps.name(notify)} notifies {one.target} {facts.cite(notify)} when {name} does not "
            f"wait there yet; {name} begins to wait afterwards{_cite(facts, start)} and sleeps for "
            f"ever: a notify is not remembered.{seen} {LOOP}",
            [look, notify, one.since],
        )  # fmt: skip
    more = " any more" if notifies else ""
    title = f"Missing notify: {name} waits at {one.target}, which nobody notifies{more}"
    changed = _changed_meanwhile(facts, one, start)
    if changed >= 0:
        return _never(
            facts, one, title,
            f"{steps.name(changed)} writes {steps.targets[changed]} {facts.cite(changed)}, which "
            f"{name} had looked at before it waited, and does not notify {one.target} afterwards. "
            "Notify after every change that a waiter may wait for, with the lock still held.",
            [changed],
        )  # fmt: skip
    return _never(
        facts, one, title,
        "Whoever changes what it waits for must notify the condition, and nobody is left who "
        "could.", [],
    )  # fmt: skip


def _wrong_waiter(facts: Facts, one: Pending, start: int, notifies: list[int]) -> Finding | None:
    """A notify that came while ``one`` waited and went to one who could not use it."""
    steps = facts.steps
    name = steps.names[one.worker]
    for notify in reversed(notifies[bisect_left(notifies, start) :][-LATEST:]):
        result = steps.results[notify]
        if not isinstance(result, list) or one.worker in result:
            continue
        for other in result:
            if type(other) is not int or not 0 <= other < len(steps.names):
                continue
            own = steps.by_worker[other]
            after = bisect_right(own, notify)
            later = own[after : after + LATEST]
            there = [seq for seq in later if steps.targets[seq] == one.target]
            again = next((seq for seq in there if steps.kinds[seq] == WAIT), -1)
            changed = [
                seq for seq in later
                if steps.kinds[seq] in (WRITE, NOTIFY) and (again < 0 or seq < again)
            ]  # fmt: skip
            if changed:
                continue  # it could use the signal
            woken = next((seq for seq in there if steps.kinds[seq] == WAKE), -1)
            gone = next((seq for seq in later if steps.kinds[seq] == CANCELLED), -1)
            if woken >= 0 and steps.results[woken] is False:
                what, again = "had run out of time already", woken
            elif again >= 0:
                what = "finds nothing to do and waits again"
            elif gone >= 0:
                what, again = "is cancelled before it does anything with it", gone
            else:
                what = "does nothing with it"
            return _lost(
                facts, one, f"Lost wake-up: the notify of {one.target} went to the wrong waiter",
                f"{name} waits at {one.target}{_cite(facts, start)}. {steps.name(notify)} notifies "
                f"it {facts.cite(notify)} and wakes {steps.names[other]}, which {what}"
                f"{_cite(facts, again if again >= 0 else woken)}; {name} sleeps on. Where waiters "
                "wait for different things use a condition for each, or notify all of them.",
                [start if start < len(steps) else one.since, notify, woken, again],
            )  # fmt: skip
    return None


def _cite(facts: Facts, seq: int) -> str:
    return f" {facts.cite(seq)}" if 0 <= seq < len(facts.steps) else ""


def _too_early(facts: Facts, one: Pending, start: int, notifies: Sequence[int]) -> tuple[int, int]:
    """The notify that woke nobody and that ``one`` needed, and its last look before; or (-1, -1).

    It needed it if it had looked at what the notifier then changed, or at nothing at all: a look
    after the change would have shown it.
    """
    steps = facts.steps
    own = steps.by_worker[one.worker]
    before = own[: bisect_left(own, min(start, one.since + 1))]
    looks = [seq for seq in before[-BACK:] if steps.kinds[seq] == READ]
    for notify in reversed(notifies):
        if notify >= start or steps.results[notify] not in ([], MISSING):
            continue
        if not looks:
            return notify, -1
        if looks[-1] < notify and wrote_between(facts, looks[-1], notify):
            return notify, looks[-1]
    return -1, -1


def wrote_between(facts: Facts, look: int, signal: int) -> bool:
    """Whether who signals has changed, since that look, what was looked at."""
    steps = facts.steps
    name, other = steps.targets[look], steps.workers[signal]
    return any(name in steps.written(seq) for seq in between(steps.by_worker[other], look, signal))


def between(seqs: Sequence[int], first: int, last: int) -> Sequence[int]:
    """Those of sorted numbers that lie between two others."""
    return seqs[bisect_right(seqs, first) : bisect_left(seqs, last)]


def _changed_meanwhile(facts: Facts, one: Pending, start: int) -> int:
    """A write by another, after the wait began, of what the waiter had looked at last; -1."""
    steps = facts.steps
    own = steps.by_worker[one.worker]
    looked = {steps.targets[seq] for seq in own[-10:] if steps.kinds[seq] == READ}
    return next(
        (
            seq for seq in range(start + 1, len(steps))
            if steps.kinds[seq] == WRITE and steps.targets[seq] in looked
            and steps.workers[seq] != one.worker
        ), -1,
    )  # fmt: skip


def _event(facts: Facts, one: Pending) -> Finding:
    steps = facts.steps
    name = steps.names[one.worker]
    start = _waiting_since(facts, one)
    sets = [seq for seq in on(facts, one.target, SET) if seq < start]
    clears = [seq for seq in on(facts, one.target, CLEAR) if seq < start]
    if sets and clears:
        return _lost(
            facts, one, f"Lost wake-up: {one.target} was set and cleared before {name} waited",
            f"{steps.name(sets[-1])} sets {one.target} {facts.cite(sets[-1])}, and "
            f"{steps.name(clears[-1])} clears it {facts.cite(clears[-1])} before {name} begins to "
            f"wait{_cite(facts, start)}. A pulse reaches only those who wait at that very moment. "
            "Leave the event set, or use a semaphore or a queue, which count what was given.",
            [sets[-1], clears[-1], one.since],
        )  # fmt: skip
    return _never(
        facts, one, f"{name} waits at {one.target}, which nobody sets",
        "Every way through the program that ends the waited-for work must set it, failures too "
        "(in a 'finally').", [],
    )  # fmt: skip


def _barrier(facts: Facts, one: Pending) -> Finding:
    steps = facts.steps
    info = steps.objects[one.target]
    name = steps.names[one.worker]
    waits = on(facts, one.target, WAIT)
    left = [s for s in on(facts, one.target, WAKE) if steps.results[s] is not True]
    inside = {steps.workers[s] for s in waits} - {steps.workers[s] for s in left}
    here = max(1, len(inside))
    why = f"{here} of its {info.parties} parties came" if info.parties else "a party is missing"
    gone = ""
    if left:
        gone = f"{steps.name(left[-1])} came and left again {facts.cite(left[-1])}. "
    return _never(
        facts, one, f"{name} waits at the barrier {one.target} for a party that never comes",
        f"Only {why}. {gone}The number of parties must be the number of workers that come, in "
        "every case; give the wait a timeout where one may fail to.",
        [*waits[-FEW:], *left[-1:]],
    )  # fmt: skip


def _permit(facts: Facts, one: Pending) -> Finding:
    steps = facts.steps
    name = steps.names[one.worker]
    gives = on(facts, one.target, RELEASE)
    start = _waiting_since(facts, one)
    asked = start if start < len(steps) else one.since
    taken = [
        seq for seq in on(facts, one.target, ACQUIRE)
        if seq > asked and steps.results[seq] is True and steps.workers[seq] != one.worker
    ]  # fmt: skip
    if gives and taken:
        take = taken[-1]
        give = max((seq for seq in gives if seq < take), default=gives[-1])
        return _lost(
            facts, one, f"Lost wake-up: the permit of {one.target} went to another waiter",
            f"{name} waits for a permit of {one.target}{_cite(facts, start)}. {steps.name(give)} "
            f"gives one {facts.cite(give)}, and {steps.name(take)} takes it {facts.cite(take)}; "
            f"none is left for {name}. Give as many permits as there are takers, or use an event, "
            "which lets all of them through.",
            [asked, give, take],
        )  # fmt: skip
    return _never(
        facts, one, f"{name} waits for a permit of {one.target} that nobody gives",
        f"It was released {len(gives)} times in all. Each release lets one taker through: "
        "release it once for each, in every case.", gives[-FEW:],
    )  # fmt: skip


def _queue(facts: Facts, one: Pending) -> Finding:
    name = facts.steps.names[one.worker]
    if is_direction(one.target):
        return _connection(facts, one)
    if one.op == GET:
        puts = on(facts, one.target, PUT)
        if is_listener(one.target):
            return _never(
                facts, one, f"{name} waits for a connection to {one.target}, and nobody connects",
                f"{len(puts)} connections were made in all. A server is ended by whoever started "
                "it: by closing the socket that it listens on, or a flag and a timeout.",
                puts[-FEW:],
            )  # fmt: skip
        return _never(
            facts, one, f"{name} waits for an item of {one.target}, and no producer is left",
            f"{len(puts)} items were put in all. Put a last item that says that it is the end, one "
            "for each consumer, also when the producer fails.", puts[-FEW:],
        )  # fmt: skip
    return _never(
        facts, one, f"{name} waits for room in {one.target}, and no consumer is left",
        "A bounded queue needs somebody who takes from it until the last producer has ended.",
        on(facts, one.target, GET)[-FEW:],
    )  # fmt: skip


def _connection(facts: Facts, one: Pending) -> Finding:
    """Bytes of a connection, or room for them, that the other end does not give."""
    steps = facts.steps
    name, wanted = steps.names[one.worker], PUT if one.op == GET else GET
    others = sorted({
        steps.names[steps.workers[seq]] for seq in on(facts, one.target, wanted)
        if steps.workers[seq] != one.worker
    })  # fmt: skip
    what, does = ("bytes", "sends") if one.op == GET else ("room for bytes", "reads")
    whose = f" (so far {', '.join(others)})" if others else ""
    return _never(
        facts, one, f"{name} waits for {what} of {one.target}, and nobody {does} there any more",
        f"What the other end{whose} has to do next it waits to do, or has forgotten: each end of a "
        "connection has to know when the other's turn comes, how long a message is, and to close "
        "it, or to give the wait a timeout.", on(facts, one.target, wanted)[-FEW:],
    )  # fmt: skip


#: By the kind of object that is waited for.
_MISSED: Final = by_kind(
    lock=_no_sender, rlock=_no_sender, condition=_condition, semaphore=_permit,
    bounded_semaphore=_permit, event=_event, barrier=_barrier, queue=_no_sender,
)  # fmt: skip
