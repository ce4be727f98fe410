"""The passing twin of a failing schedule: the nearest one that passes, and where the two part.

Of the schedules that differ from the failing one in a single choice those are tried first that
take back a switch, the latest first: the twin then has the longest common part, and what differs is
the last moment at which all could still have gone well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Final

from tracelock.engine.controller import Entry
from tracelock.engine.recording import target_name
from tracelock.errors import UsageError
from tracelock.explore.running import Executed, Runner
from tracelock.explore.shrink.commuting import TIME, accesses_of
from tracelock.explore.shrink.fewest import fewest
from tracelock.explore.shrink.known import KnownSchedules
from tracelock.explore.shrink.trials import FAR, Block, BlockPlan, Trials, Tried, blocks_of
from tracelock.ops import CHOOSE, NAMES, NOTIFY, Layout
from tracelock.trace import Verdict
from tracelock.trace.crashes import CRASH

#: By the event's name: what goes after "goes on to", and after "before somebody", with the
#: preposition of its target.
_VERBS: Final = {
    "read": ("read", "reads"), "write": ("write", "writes"),
    "compare_exchange": ("exchange", "exchanges"), "exchange": ("exchange", "exchanges"),
    "fetch_add": ("add to", "adds to"), "atomic": ("take its atomic step", "takes its atomic step"),
    "acquire": ("acquire", "acquires"), "release": ("release", "releases"),
    "request": ("queue for", "queues for"), "wait": ("wait at", "waits at"),
    "wake": ("wake at", "wakes at"), "notify": ("notify", "notifies"), "set": ("set", "sets"),
    "clear": ("clear", "clears"), "put": ("put into", "puts into"),
    "get": ("get from", "gets from"), "sleep": ("end its sleep", "ends its sleep"),
    "choose": ("choose", "chooses"), "checkpoint": ("pass its checkpoint", "passes its checkpoint"),
    "spawn": ("start", "starts"), "join": ("join", "joins"), "cancel": ("cancel", "cancels"),
    "cancelled": ("be cancelled", "is cancelled"), "timeout": ("time out", "times out"),
    "crash": ("crash", "crashes"), "call": ("call", "calls"),
}  # fmt: skip


@dataclass(slots=True)
class Twin:
    """``passing``: the schedule, run to its end. ``switch``: the number of the event, in both,
    where they part. ``instead``: the worker that goes there in the failing schedule, and the one
    that does in the passing one. ``explanation``: one sentence. ``runs``: what it cost."""

    passing: Executed
    switch: int
    instead: tuple[int, int]
    explanation: str
    runs: int


@dataclass(slots=True)
class NoTwin:
    """No passing schedule was found. ``proved``: every state was looked at, so there is none:
    it is not the order of the steps that is wrong."""

    proved: bool
    runs: int


def passing_twin(
    runner: Runner,
    failing: Executed,
    *,
    runs: int = 2_000,
    states: int = 50_000,
    seconds: float | None = None,
    known: KnownSchedules[Tried] | None = None,
) -> Twin | NoTwin:
    """The passing schedule nearest to ``failing``, which is best a shrunk one.

    ``runs`` bounds the schedules that are run, ``states`` the search that comes when none of them
    passes (as where every schedule fails), ``seconds`` the time of both. ``known``: schedules of
    ``runner`` that were cut at their failure, and need not be run. Raises UsageError where
    ``failing`` is no schedule of this program.
    """
    known = known or KnownSchedules()
    trials = Trials(runner, cut=False, steps=4 * len(failing.log) + 10_000, known=known)
    own = Trials(runner, known=known).play(failing.picks)
    if own is None:
        raise UsageError("these picks are not those of a schedule of this program")
    end = None if seconds is None else monotonic() + seconds
    found = _nearest(trials, runner.program.layout, own, runs, end)
    if found is None:
        left = None if end is None else max(0.0, end - monotonic())
        passed: Callable[[Verdict], bool] = lambda verdict: verdict.kind == "passed"  # noqa: E731
        search = fewest(runner, passed, states=states, seconds=left)
        played = None if search.picks is None else trials.play(search.picks)
        if played is None:
            return NoTwin(search.complete, trials.runs)
        found = played.executed
    log = own.executed.log
    switch = _parting(log, found.log)
    instead = (log[switch][0], found.log[switch][0])
    sentence = _sentence(runner.program.layout, log, found.log, switch)
    return Twin(found, switch, instead, sentence, trials.runs)


def _nearest(
    trials: Trials, layout: Layout, own: Tried, runs: int, end: float | None
) -> Executed | None:
    """The first schedule that passes of those with one other choice; at one place the one with
    the fewest preemptive switches."""
    log = own.executed.log
    edges = [n for n, (a, b) in enumerate(pairwise(log), 1) if a[0] != b[0]]
    inside = [n for n, (a, b) in enumerate(pairwise(log), 1) if a[0] == b[0]]
    # what wakes or times out is a choice as well, though no switch
    for places in ([0, *edges], inside):
        for place in reversed(places):
            best: Executed | None = None
            if end is not None and monotonic() > end:
                return None  # to look for what else could be had there takes time too
            for plan in (*_odd(layout, own, place), *_others(own, place)):
                if trials.runs >= runs or (end is not None and monotonic() > end):
                    return best
                executed = trials.follow(plan).executed
                if executed.verdict.kind == "passed" and (
                    best is None or executed.switches < best.switches
                ):
                    best = executed
            if best is not None:
                return best
    return None


def _others(own: Tried, place: int) -> Iterator[BlockPlan]:
    """Another worker makes event ``place``: it goes on, or the rest comes as it was."""
    log, extra = own.executed.log, own.plan.extra
    if place >= len(log):
        return
    worker, _, _, _, options, _ = log[place]
    if not options or (len(options) == 1 and options[0] == worker):
        return
    before = blocks_of(log[:place])
    counts = dict(before)  # the last block of each worker says how many events it has had
    rest = tuple((w, upto) for w, upto in own.plan.blocks if upto > counts.get(w, 0))
    running = log[place - 1][0] if place else -1
    for other in sorted(options, key=lambda option: option != running):
        if other == worker:
            continue
        yield BlockPlan((*before, (other, FAR)), extra)
        yield BlockPlan((*before, (other, counts.get(other, 0) + 1), *rest), extra)
        upto = next((upto for w, upto in rest if w == other), None)
        if upto is not None:
            yield BlockPlan((*before, (other, upto), *rest), extra)


def _odd(layout: Layout, own: Tried, place: int) -> Iterator[BlockPlan]:
    """Event ``place`` with the usual choices of timers and waiters, or with other waiters."""
    log, (blocks, extra) = own.executed.log, own.plan
    if place >= len(log):
        return
    worker, kind = log[place][0], log[place][1]
    if not extra and kind != NOTIFY:
        return
    event: Block = (worker, sum(entry[0] == worker for entry in log[:place]))
    left = tuple(one for one in extra if one[0] != event)
    if len(left) < len(extra):
        yield BlockPlan(blocks, left)
    if kind == NOTIFY:
        for other in range(len(layout.workers)):
            yield BlockPlan(blocks, tuple(sorted((*left, (event, (other,))))))


def _parting(a: Sequence[Entry], b: Sequence[Entry]) -> int:
    for place, (one, other) in enumerate(zip(a, b, strict=False)):
        if one[:2] != other[:2] or one[2].at != other[2].at or one[3] != other[3]:
            return place
    return min(len(a), len(b)) - 1


# --- in words --------------------------------------------------------------------------------
def _sentence(
    layout: Layout, failing: Sequence[Entry], passing: Sequence[Entry], switch: int
) -> str:
    bad, good = failing[switch], passing[switch]
    if bad[0] == good[0]:
        return _other_choice(layout, bad, good)
    a, b = _decisive(layout, failing, passing, switch)
    name, other = layout.workers[good[0]].name, layout.workers[bad[0]].name
    running = failing[switch - 1][0] if switch else -1
    does = f"goes on to {_phrase(layout, a, 0)}" if running == good[0] else _phrase(layout, a, 1)
    return f"If {name} {does} before {other} {_phrase(layout, b, 1)}, it passes."


def _other_choice(layout: Layout, bad: Entry, good: Entry) -> str:
    name = layout.workers[bad[0]].name
    if bad[1] == NOTIFY and isinstance(bad[3], list) and isinstance(good[3], list):
        woken, instead = (
            " and ".join(layout.workers[w].name for w in entry[3]) or "nobody"
            for entry in (bad, good)
        )
        return f"If {name} wakes {instead} and not {woken}, it passes."
    if bad[1] == good[1] == CHOOSE:
        taken, instead = (entry[2].remark or f"value {entry[3]}" for entry in (bad, good))
        if bad[2].body.name == CRASH:
            return f"With {instead} in its place it passes."
        return f"If {name} chooses {instead} and not {taken}, it passes."
    return f"If {name} {_phrase(layout, good, 1)} and does not run out of time there, it passes."


def _decisive(
    layout: Layout, failing: Sequence[Entry], passing: Sequence[Entry], switch: int
) -> tuple[Entry, Entry]:
    """An event of who goes on in the passing schedule, and one of who does in the failing one,
    that depend on each other and come in the other order; else the two at the parting."""
    p, f = passing[switch][0], failing[switch][0]
    in_failing, in_passing = _places(failing), _places(passing)
    end = max(len(failing), len(passing))
    for (worker, number), b in in_failing.items():
        if worker != f or b < switch:
            continue
        for (other, ordinal), a in in_passing.items():
            if other != p or a < switch or a > in_passing.get((worker, number), end):
                continue
            if b < in_failing.get((other, ordinal), end) and _depend(
                layout, passing[a], failing[b]
            ):
                return passing[a], failing[b]
    return passing[switch], failing[switch]


def _places(log: Sequence[Entry]) -> dict[Block, int]:
    """Where event number k of each worker is."""
    counts: dict[int, int] = {}
    places: dict[Block, int] = {}
    for place, entry in enumerate(log):
        number = counts.get(entry[0], 0)
        counts[entry[0]] = number + 1
        places[entry[0], number] = place
    return places


def _depend(layout: Layout, a: Entry, b: Entry) -> bool:
    mine, theirs = (
        {thing: changes for thing, changes in accesses_of(layout, *entry[:3]) if thing != TIME}
        for entry in (a, b)
    )
    return any(thing in theirs and (changes or theirs[thing]) for thing, changes in mine.items())


def _phrase(layout: Layout, entry: Entry, person: int) -> str:
    _, kind, op, _, _, _ = entry
    target = target_name(layout, kind, op)
    verb = _VERBS[NAMES[kind]][person]
    return f"{verb} {target}" if target else verb
