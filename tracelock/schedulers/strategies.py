"""Every strategy by its name: one entry each, and nothing elsewhere that lists them.

To add one, write a :class:`~tracelock.schedulers.base.Scheduler` and give it an entry here. The
command line, ``run``, ``explore`` and a search that is spread over processes read this table; what
is not in it raises. Imports nothing of substance: the command line reads it for its help page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from tracelock.schedulers.base import Scheduler

#: How a search by a strategy can be split into shards that others run:
NUMBERED: Final = "numbered"  # schedule k depends on the seed and k alone: any range of schedules
SEEDED: Final = "seeded"  # it learns from its earlier schedules: each shard has its own seed
LEVELS: Final = "levels"  # by cost: its scheduler is a ``BoundedScheduler``
TREE: Final = "tree"  # parts of the tree of DPOR
WHOLE: Final = "whole"  # not at all

#: What ``explore`` does unless told otherwise.
DEFAULT: Final = "auto"
#: The bug depth of pct, and its name where a trace or a command does not say.
DEPTH: Final = 3


class Parameters(NamedTuple):
    """What a scheduler is made from; each strategy takes what concerns it.

    ``first``: the number of the first schedule (``NUMBERED`` ones). ``depth``: of pct. ``bound``:
    the highest that bounded searches go to. ``watched``: see ``DporScheduler``.
    """

    seed: int = 0
    first: int = 0
    depth: int = DEPTH
    bound: int | None = None
    watched: Sequence[Sequence[int]] = ()


class Strategy(NamedTuple):
    """One strategy.

    ``make``: its scheduler; None for one that does not go schedule by schedule. ``meaning``: one
    line. ``systematic``: its search tries everything, if nothing cuts it short (``auto``: with the
    exhaustive searches that follow its samples). ``shards``: how it can be split, see above.
    ``machines``: it needs workers that can be copied. ``run``, ``explore``: which commands have it.
    """

    make: Callable[[Parameters], Scheduler] | None
    meaning: str
    shards: str
    systematic: bool = False
    machines: bool = False
    run: bool = True
    explore: bool = True


def _maker(module: str, name: str, *takes: str) -> Callable[[Parameters], Scheduler]:
    """What makes the scheduler ``name`` from these parameters, and imports its module only then."""

    def make(given: Parameters) -> Scheduler:
        kind = getattr(import_module(f"tracelock.schedulers.{module}"), name)
        scheduler: Scheduler = kind(*(getattr(given, parameter) for parameter in takes))
        return scheduler

    return make


STRATEGIES: Final[dict[str, Strategy]] = {
    "random": Strategy(
        _maker("simple", "RandomScheduler", "seed", "first"),
        "every option equally likely at every point", NUMBERED,
    ),
    "round-robin": Strategy(
        _maker("simple", "RoundRobinScheduler"), "each worker one step, in turn", SEEDED
    ),
    "pct": Strategy(
        _maker("pct", "PctScheduler", "seed", "depth"),
        "random priorities, lowered at a few random steps", SEEDED,
    ),
    "pos": Strategy(
        _maker("pos", "PosScheduler", "seed", "first"),
        "a random priority for each step, drawn anew where steps race", NUMBERED,
    ),
    "surw": Strategy(
        _maker("surw", "SurwScheduler", "seed"),
        "orders of the steps of interest, uniformly", SEEDED,
    ),
    "directed": Strategy(
        _maker("directed", "DirectedScheduler", "seed"),
        "preempts where earlier schedules showed races", SEEDED, explore=False,
    ),
    "delay": Strategy(
        _maker("bounded", "DelayBoundedScheduler", "bound"),
        "all schedules, fewest delays first", LEVELS, systematic=True,
    ),
    "preemption": Strategy(
        _maker("bounded", "PreemptionBoundedScheduler", "bound"),
        "all schedules, fewest preemptions first", LEVELS, systematic=True,
    ),
    "dpor": Strategy(
        _maker("dpor.parsimonious", "ParsimoniousScheduler", "watched"),
        "one execution of each inequivalent kind", TREE, systematic=True,
    ),
    "auto": Strategy(
        _maker("portfolio", "PortfolioScheduler", "seed"),
        "samplers in turn; explore goes on with exhaustive searches", SEEDED, systematic=True,
    ),
    "states": Strategy(
        None, "every state of the models, each once", WHOLE, systematic=True, machines=True,
        run=False,
    ),
}  # fmt: skip


def run_names() -> tuple[str, ...]:
    """The strategies of ``run``."""
    return tuple(name for name, one in STRATEGIES.items() if one.run)


def explore_names() -> tuple[str, ...]:
    """The strategies of ``explore``, the default first."""
    names = [name for name, one in STRATEGIES.items() if one.explore]
    return tuple(sorted(names, key=lambda name: name != DEFAULT))


def strategy_named(name: str, names: Sequence[str] | None = None) -> Strategy:
    """The entry of a strategy. Raises UsageError where it is none of ``names`` (all)."""
    from tracelock.errors import unknown

    if name not in (STRATEGIES if names is None else names):
        raise unknown("strategy", name, names or STRATEGIES)
    return STRATEGIES[name]


def make_scheduler(name: str, given: Parameters) -> Scheduler:
    """The scheduler of a strategy. Raises UsageError for one that is unknown or has none."""
    entry = strategy_named(name, run_names())
    assert entry.make is not None
    return entry.make(given)
