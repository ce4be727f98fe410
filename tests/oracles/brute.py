"""Brute force over all choices of a program: slow, simple, and independent of what it checks.

``all_runs`` walks over the sequences of choices, ``all_states`` over the states, each once.
``all_traces`` counts runs that differ in more than the order of independent steps (Mazurkiewicz
traces). None of them leaves anything out; all raise :class:`TooMany` where there is more than the
caller is ready to wait for.

What a step does, who may go on and how a run ends is in ``world`` and below it, written from the
description of the language: nothing of the package runs here but its readers of documents and
expressions.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from tests.oracles.language import frozen
from tests.oracles.world import Endless, Event, Plan, World

MAX_STEPS = 300  # events of one run; more than that is a loop that need not end


class TooMany(Exception):
    """The program has more runs or states than the caller allowed."""


class Program(Protocol):
    """All that is used of a program: its scenario, for the document it stands for."""

    @property
    def scenario(self) -> Any: ...


class Rules(Protocol):
    """All that is used of a backend's rules: which backend it is."""

    @property
    def backend(self) -> str: ...


class Outcome(NamedTuple):
    """How a run can end. ``verdict``: ``passed``, ``deadlock``, ``crashed``, or ``failed:`` and
    the kind of failure; ``values``: of all shared variables, by number, made hashable."""

    verdict: str
    values: Hashable


@dataclass
class Found:
    """All outcomes of a program, and the fewest preemptive switches to each verdict.

    A switch is preemptive where the worker that is left could have gone on without its timer.
    ``count``: runs, states or traces, whatever was enumerated.
    """

    outcomes: set[Outcome] = field(default_factory=set)
    fewest: dict[str, int] = field(default_factory=dict)
    count: int = 0

    @property
    def verdicts(self) -> set[str]:
        """The kinds of verdict alone: ``failed`` without what failed."""
        return {outcome.verdict.partition(":")[0] for outcome in self.outcomes}

    def switches(self, *kinds: str) -> int:
        """The fewest preemptive switches to any verdict of these kinds."""
        return min(n for verdict, n in self.fewest.items() if verdict.partition(":")[0] in kinds)

    def add(self, outcome: Outcome, switches: int) -> None:
        self.outcomes.add(outcome)
        known = self.fewest.get(outcome.verdict)
        if known is None or switches < known:
            self.fewest[outcome.verdict] = switches


def first_world(program: Program, rules: Rules, clock: str) -> World:
    plan = Plan(program.scenario.to_data(), rules.backend, clock == "adversarial")
    return World.first(plan)


def outcome_of(world: World) -> Outcome:
    return Outcome(world.verdict(), frozen(tuple(world.values)))


def ways_on(world: World) -> list[tuple[World, bool, float]]:
    """Each next moment, whether its switch is preemptive, and the chance of it."""
    try:
        return [(world.after(move), move.preemptive, move.chance) for move in world.moves()]
    except Endless:
        raise TooMany("a run did not end: a loop without visible steps") from None


def all_runs(
    program: Program, rules: Rules, clock: str = "virtual", limit: int = 20_000
) -> tuple[Found, set[Hashable]]:
    """Every run of ``program``. Also the set of their trace keys.

    ``count`` is the number of runs. Raises TooMany after ``limit`` of them, and for a program
    that has endless ones.
    """
    found = Found()
    traces: set[Hashable] = set()
    line = [(first_world(program, rules, clock), Prefix(), 0)]
    while line:
        world, prefix, switches = line.pop()
        if len(prefix.events) > MAX_STEPS:
            raise TooMany(f"a run did not end: it has more than {MAX_STEPS} steps")
        steps = ways_on(world)
        if not steps:
            if found.count == limit:
                raise TooMany(f"more than {limit} runs")
            found.count += 1
            found.add(outcome_of(world), switches)
            traces.add(prefix.key)
        for after, preemptive, _ in reversed(steps):
            line.append((after, prefix.plus(after.event), switches + preemptive))
    return found, traces


def all_states(
    program: Program, rules: Rules, clock: str = "virtual", limit: int = 50_000
) -> Found:
    """Every state of ``program``, in the order of the preemptive switches that lead there.

    A 0-1 breadth-first search: a step that costs no switch goes to the front of the line. So
    the first visit to a state has the fewest switches. ``count`` is the number of states. Raises
    TooMany after ``limit`` of them.
    """
    found = Found()
    line: deque[tuple[int, World]] = deque([(0, first_world(program, rules, clock))])
    done: set[Hashable] = set()
    while line:
        switches, world = line.popleft()
        key = world.key()
        if key in done:
            continue
        if len(done) == limit:
            raise TooMany(f"more than {limit} states")
        done.add(key)
        steps = ways_on(world)
        if not steps:
            found.add(outcome_of(world), switches)
        for after, preemptive, _ in steps:
            if preemptive:
                line.append((switches + 1, after))
            else:
                line.appendleft((switches, after))
    found.count = len(done)
    return found


def random_walk(
    program: Program, rules: Rules, clock: str = "virtual", limit: int = 50_000
) -> dict[str, float]:
    """The exact probability of each verdict in one uniform random walk.

    For programs without cycles (RecursionError otherwise). Raises TooMany after ``limit``
    states.
    """
    known: dict[Hashable, dict[str, float]] = {}

    def chances(world: World) -> dict[str, float]:
        key = world.key()
        if key in known:
            return known[key]
        if len(known) == limit:
            raise TooMany(f"more than {limit} states")
        steps = ways_on(world)
        total: dict[str, float] = {}
        for after, _, chance in steps:
            for verdict, part in chances(after).items():
                total[verdict] = total.get(verdict, 0.0) + chance * part
        known[key] = total if steps else {world.verdict(): 1.0}
        return known[key]

    return chances(first_world(program, rules, clock))


# --- runs that differ in more than the order of independent steps ------------------------------
def depend(a: Event, b: Event) -> bool:
    """Whether two steps of a run may not be swapped."""
    if a.worker == b.worker or a.other == b.worker or b.other == a.worker:
        return True  # a spawn, join or cancel depends on all that its worker does
    if a.other >= 0 and a.other == b.other:
        return True
    return not (a.writes.isdisjoint(b.writes | b.reads) and a.reads.isdisjoint(b.writes))


class Prefix:
    """A run so far, as a trace: its Foata normal form (Cartier and Foata 1969).

    An event's level is one more than the highest of the earlier events it depends on; two runs
    are equivalent if and only if they have the same events on the same levels.
    """

    __slots__ = ("events",)

    def __init__(self, events: tuple[tuple[Event, int], ...] = ()) -> None:
        self.events = events

    @property
    def key(self) -> Hashable:
        """Equal for equivalent runs of one program."""
        return frozenset((one.worker, level, one.kind, one.thing) for one, level in self.events)

    def plus(self, event: Event) -> Prefix:
        """This run and one event more."""
        level = 0
        for other, height in self.events:
            if height >= level and depend(other, event):
                level = height + 1
        return Prefix((*self.events, (event, level)))


def all_traces(program: Program, rules: Rules, limit: int = 20_000) -> Found:
    """The inequivalent runs of ``program``: ``count`` is the number of Mazurkiewicz traces.

    Walks over the traces' prefixes, each once: equivalent prefixes lead to the same state. For
    programs without sleeps and timeouts, whose steps depend on each other by time as well.
    Raises TooMany after ``limit`` prefixes.
    """
    found = Found()
    start = Prefix()
    line: list[tuple[World, Prefix]] = [(first_world(program, rules, "virtual"), start)]
    done: set[Hashable] = {start.key}
    while line:
        world, prefix = line.pop()
        steps = ways_on(world)
        if not steps:
            found.add(outcome_of(world), 0)
            found.count += 1
        for after, _, _ in steps:
            longer = prefix.plus(after.event)
            if longer.key not in done:
                if len(done) == limit:
                    raise TooMany(f"more than {limit} prefixes")
                done.add(longer.key)
                line.append((after, longer))
    return found


__all__ = ["Found", "Outcome", "TooMany", "all_runs", "all_states", "all_traces", "random_walk"]
