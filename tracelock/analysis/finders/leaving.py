"""Ways out that were not thought of: an exception in a locked section, a swallowed cancellation,
a task for whose end nobody waits.

The first two are told by traces of real code only (the optional keys ``raised`` of a release and
``swallowed`` of a cancel): what happens between two steps is no event.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.finders.signals import between
from tracelock.analysis.findings import NOTE, WARNING, Finding
from tracelock.ops import CANCEL, JOIN, RELEASE, SPAWN, WAIT

__all__ = ["left_by_exception", "never_awaited", "swallowed"]

#: Findings of one kind in one trace; sections and tasks that are looked into, and events after one.
MOST: Final = 20
LOOKED: Final = 200
AFTER: Final = 5_000


def left_by_exception(facts: Facts) -> Iterator[Finding]:
    """A note (``exception-in-section``) for each section that an exception left after it had
    changed something, which another then uses."""
    steps, locks = facts.steps, facts.locks
    found = 0
    looked = 0
    for seq, extra in sorted(facts.trace.events.extras.items()):
        if looked >= LOOKED:
            break
        looked += "raised" in extra
        error, lock = extra.get("raised"), steps.targets[seq]
        if steps.kinds[seq] != RELEASE or type(error) is not str or lock is None or found >= MOST:
            continue
        worker = steps.workers[seq]
        taken = next((hold.taken for hold in locks.holds[seq] if hold.lock == lock), -1)
        inside = between(steps.by_worker[worker], taken, seq) if taken >= 0 else ()
        if inside and _failed(facts, inside[-1]):
            inside = inside[:-1]  # it is what has raised the exception
        changed = {name: one for one in inside for name in steps.written(one)}
        used = next(
            (
                later for later in range(seq + 1, min(len(steps), seq + AFTER))
                if steps.workers[later] != worker
                and not changed.keys().isdisjoint((*steps.read(later), *steps.written(later)))
            ), -1,
        )  # fmt: skip
        if used >= 0:
            found += 1
            name = next(iter({*steps.read(used), *steps.written(used)} & changed.keys()))
            yield _left(facts, error, lock, (taken, changed[name], seq, used), name)


def _failed(facts: Facts, seq: int) -> bool:
    """Whether a write of a container's contents may have raised, in place of changing anything: the
    event comes before it. As far as the next one tells there were as many items after it."""
    extras, steps = facts.trace.events.extras, facts.steps
    size = extras.get(seq, {}).get("size")
    if size is None:
        return False
    name = steps.targets[seq]
    later = (one for one in range(seq + 1, min(len(steps), seq + AFTER)))
    sizes = (extras.get(one, {}).get("size") for one in later if steps.targets[one] == name)
    return bool(next(sizes, size) == size)


def _left(facts: Facts, error: str, lock: str, four: tuple[int, ...], name: str) -> Finding:
    steps = facts.steps
    _, change, release, used = four
    mine, other, what = steps.name(change), steps.name(used), facts.said(name, change)
    return facts.finding(
        "exception-in-section", NOTE,
        f"{error} leaves a section of {lock} after {name} was changed",
        f"{mine} changes {name} {facts.cite(change)} with {lock} held, and {error} leaves the "
        f"section, which releases the lock {facts.cite(release)}. {other} then finds {name} as "
        f"far as it came {facts.cite(used)}. A lock keeps others out, it undoes nothing. Put the "
        "change back where the section fails, or do what may fail before the first change.",
        four, (name, lock),
        diagnosis=f"an exception ({error}) left the locked section when {what} was changed and "
        "the rest was not done",
        cure="undo the change in an `except`, or do what may fail before the first change",
    )  # fmt: skip


def swallowed(facts: Facts) -> Iterator[Finding]:
    """A note (``swallowed-cancellation``) for each task that was cancelled and ended as if it had
    not been."""
    steps = facts.steps
    for seq, extra in sorted(facts.trace.events.extras.items())[: 50 * MOST]:
        task = steps.number(steps.targets[seq])
        if steps.kinds[seq] != CANCEL or not extra.get("swallowed") or task is None:
            continue
        own = steps.by_worker[task]
        after = own[bisect_right(own, seq) :]
        if not after:
            continue
        name, arrives = steps.names[task], after[0]
        yield facts.finding(
            "swallowed-cancellation", NOTE, f"{name} was cancelled and went on",
            f"{steps.name(seq)} cancels {name} {facts.cite(seq)}. {name} goes on "
            f"{facts.cite(arrives)}, where the cancellation reaches it, and ends as if nothing had "
            f"been, last {facts.cite(after[-1])}. Whoever cancels a task takes it for stopped. Let "
            "CancelledError through: catch it only to clean up, and raise it again.",
            (seq, arrives, after[-1]), (name,),
            diagnosis=f"{name} was cancelled, caught that and went on",
            cure="raise `CancelledError` again after the clean-up (a bare `raise`)",
            places=(facts.own_place(arrives),),
        )  # fmt: skip


def never_awaited(facts: Facts) -> Iterator[Finding]:
    """A warning (``never-awaited``) for each task for whose end nobody waited, and that could still
    have gone on when the run was over, or failed in the worker that had started it."""
    steps, verdict = facts.steps, facts.trace.verdict
    choices = steps.events.choices
    if not steps.cooperative or choices is None or verdict.kind not in ("passed", "failed"):
        return
    joined = {steps.targets[seq] for seq, kind in enumerate(steps.kinds) if kind == JOIN}
    found = looked = 0
    for seq, kind in enumerate(steps.kinds):
        if kind != SPAWN or looked >= LOOKED:
            continue
        looked += 1
        target, parent = steps.targets[seq], steps.workers[seq]
        task = steps.number(target)
        if target in joined or task is None or found >= MOST:
            continue
        if verdict.failure in ("assert", "error") and verdict.worker != parent:
            continue  # the parent may wait for it still
        last = steps.last(task)
        ready = any(
            task in (steps.events.choice_table[choices[one]] or ())
            for one in range(max(last, seq) + 1, len(steps))
        )
        before = steps.last(parent)
        if not ready or steps.kinds[before] == WAIT:
            continue
        found += 1
        name, mine = steps.names[task], steps.names[parent]
        yield facts.finding(
            "never-awaited", WARNING, f"Nobody waits for {name}",
            f"{mine} starts {name} {facts.cite(seq)} and never waits for its end; it could still "
            f"go on when {mine} did its last step {facts.cite(before)}. What it was to do may come "
            "too late or not at all, and an error of it is heard by nobody. Await it (or a group "
            "that has it) before its result is needed.",
            (seq, before), (name,), (task,),
            diagnosis=f"{name} was started and nobody waited for its end",
            cure="`await` the task, or start it in a `TaskGroup`, before its result is needed",
        )  # fmt: skip
