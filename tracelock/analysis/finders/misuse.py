"""Locks used in a way that they do not allow, or that the next reader does not expect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tracelock.analysis.derived.ending import last_words, pending
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.objects import SEMAPHORES
from tracelock.analysis.derived.steps import failed
from tracelock.analysis.findings import ERROR, NOTE, Finding
from tracelock.ops import ACQUIRE, CRASH, RELEASE, WAIT, WAKE

__all__ = ["misuse"]

#: Events told of in one trace.
MOST: Final = 300


def misuse(facts: Facts) -> list[Finding]:
    """Releases by others or of what is free, locks taken twice, broken barriers, locks kept."""
    steps = facts.steps
    found: list[Finding] = []
    strangers = dict(facts.locks.strangers)
    for seq, kind in enumerate(steps.kinds):
        if len(found) >= MOST:
            break
        if kind == RELEASE:
            if seq in strangers and strangers[seq] >= 0:
                found.append(_stranger(facts, seq, strangers[seq]))
            elif failed(steps.results[seq]):
                found.append(_bad_release(facts, seq))
        elif kind in (ACQUIRE, WAIT, WAKE) and failed(steps.results[seq]):
            one = _failing(facts, seq)
            if one is not None:
                found.append(one)
    return [*found, *_kept(facts)]


def _error(facts: Facts, seq: int) -> str:
    return str(facts.steps.results[seq]["error"])


def _owner(facts: Facts, lock: str, seq: int) -> tuple[int, int]:
    """Who holds ``lock`` at event ``seq``, and since which event; (-1, -1): nobody."""
    for worker in range(len(facts.steps.names)):
        taken = facts.held_at(worker, lock, seq)
        if taken >= 0:
            return worker, taken
    return -1, -1


def _stranger(facts: Facts, seq: int, taken: int) -> Finding:
    steps = facts.steps
    lock = steps.targets[seq] or ""
    owner, other = steps.name(taken), steps.name(seq)
    raised = failed(steps.results[seq])
    allowed = (
        f"It is refused ({_error(facts, seq)})."
        if raised
        else "A plain lock allows that, yet whoever reads the code takes the section for "
        "protected, and an rlock, or trio's lock, refuses it."
    )
    return facts.finding(
        "release-by-another", ERROR if raised else NOTE,
        f"{other} releases {lock}, which {owner} holds",
        f"{owner} takes {lock} {facts.cite(taken)} and {other} releases it {facts.cite(seq)}. "
        f"{allowed} To tell another worker something use an event or a semaphore; else let the "
        "worker that took the lock release it, in a 'with' block.",
        (taken, seq), (lock,),
    )  # fmt: skip


def _bad_release(facts: Facts, seq: int) -> Finding:
    steps = facts.steps
    lock = steps.targets[seq] or ""
    name = steps.name(seq)
    owner, taken = _owner(facts, steps.lock_of(lock), seq)
    if owner >= 0 and owner != steps.workers[seq]:
        return _stranger(facts, seq, taken)
    before = [
        one for one in steps.by_worker[steps.workers[seq]]
        if one < seq and steps.targets[one] == lock and steps.kinds[one] in (ACQUIRE, RELEASE)
    ]  # fmt: skip
    last = before[-1:] if before and steps.kinds[before[-1]] == RELEASE else []
    once = f" It had released it already {facts.cite(last[0])}." if last else ""
    permits = steps.type_of(lock) in SEMAPHORES
    what = f"more permits of {lock} than it took" if permits else f"{lock}, which is not held"
    return facts.finding(
        "bad-release", ERROR, f"{name} releases {what}",
        f"{name} releases {lock} {facts.cite(seq)} and gets {_error(facts, seq)}: it is released "
        f"once more than it was taken.{once} Release it in one place only, best by a 'with' block, "
        "which does it by itself.",
        (*last, seq), (lock,),
    )  # fmt: skip


def _failing(facts: Facts, seq: int) -> Finding | None:
    """An acquire or a wait that raised an error: why."""
    steps = facts.steps
    target = steps.targets[seq] or ""
    worker, name = steps.workers[seq], steps.name(seq)
    if steps.type_of(target) == "barrier":
        left = next(
            (
                one for one in facts.steps.by_object.get(target, ())
                if one <= seq and steps.kinds[one] in (WAIT, WAKE)
                and steps.results[one] is False
            ), -1,
        )  # fmt: skip
        why = (
            f"{steps.name(left)} ran out of time there {facts.cite(left)}, and that"
            if left >= 0
            else "A party that leaves early"
        )
        return facts.finding(
            "broken-barrier", ERROR,
            f"Broken barrier: {name} gets {_error(facts, seq)} at {target}",
            f"{why} breaks the barrier for all who wait: {name} gets {_error(facts, seq)} "
            f"{facts.cite(seq)}. A barrier is only as patient as its least patient party. Let "
            "as many come as it has parties, and handle the broken barrier where one may not.",
            (left, seq), (target,),
        )  # fmt: skip
    if steps.kinds[seq] != ACQUIRE:
        return None
    owner, taken = _owner(facts, steps.lock_of(target), seq)
    if owner == worker:
        return facts.finding(
            "self-deadlock", ERROR,
            f"Self-deadlock: {name} takes {target} again, which it holds itself",
            f"{name} took {target} {facts.cite(taken)} and asks for it again {facts.cite(seq)}: "
            f"{_error(facts, seq)}. This lock is not re-entrant. Use an rlock where there is one, "
            "or split the function so that the inner part expects the lock to be held already.",
            (taken, seq), (target,),
        )  # fmt: skip
    if owner >= 0:
        last, how = last_words(facts, owner)
        if (last < seq and how != "ended") or last <= taken:
            return _abandoned(facts, target, owner, taken, seq)
    return None


def _abandoned(facts: Facts, lock: str, owner: int, taken: int, seq: int) -> Finding:
    steps = facts.steps
    last, how = last_words(facts, owner)
    return facts.finding(
        "abandoned-lock", ERROR,
        f"Abandoned lock: {steps.names[owner]} {how} while it held {lock}",
        f"{steps.names[owner]} takes {lock} {facts.cite(taken)} and {how} without releasing it "
        f"{facts.cite(last)}; {steps.name(seq)} asks for it {facts.cite(seq)} and gets "
        f"{_error(facts, seq)}. Take it in a 'with' block, which releases it however it ends.",
        (taken, last, seq), (lock,),
    )  # fmt: skip


def _ended(facts: Facts) -> set[int]:
    """The workers that surely have ended by the end of the trace, if they do not wait."""
    verdict, steps = facts.trace.verdict, facts.steps
    if verdict.kind == "unfinished" or verdict.failure == "always":
        return set()  # the run was stopped where it was
    if verdict.failure in ("assert", "error"):
        return set() if verdict.worker is None else {verdict.worker}
    if verdict.kind == "crashed":
        return {steps.workers[seq] for seq, kind in enumerate(steps.kinds) if kind == CRASH}
    return set(range(len(steps.names)))


def _kept(facts: Facts) -> Iterator[Finding]:
    """Locks that a worker still held when it ended and for which nobody waits: a note."""
    steps = facts.steps
    ended = _ended(facts)
    waits = pending(facts)
    waiting = {one.worker for one in waits}
    wanted = {steps.lock_of(one.target) for one in waits}
    for worker, holds in enumerate(facts.locks.ends):
        for hold in holds:
            if worker not in ended or worker in waiting or hold.lock in wanted:
                continue
            last, how = last_words(facts, worker)
            yield facts.finding(
                "abandoned-lock", NOTE,
                f"{steps.names[worker]} {how} while it held {hold.lock}",
                f"{steps.names[worker]} takes {hold.lock} {facts.cite(hold.taken)} and {how} "
                f"{facts.cite(last)} without releasing it. Nobody asked for it afterwards in "
                "this run; who does will wait for ever. Take it in a 'with' block.",
                (hold.taken, last), (hold.lock,),
            )  # fmt: skip
