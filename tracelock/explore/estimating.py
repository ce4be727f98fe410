"""How much an unfinished search has seen: which part of it can be asked, and its probes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tracelock.explore.search import FAILED, Budget, Searched
from tracelock.schedulers.strategies import DEFAULT, DEPTH, NUMBERED, STRATEGIES

if TYPE_CHECKING:
    from tracelock.explore.estimate import Estimate
    from tracelock.schedulers.base import Scheduler

#: Probes of a search: one for so many of its executions, between these bounds.
ONE_IN: Final = 10
LEAST: Final = 1000
MOST: Final = 2000
#: So many are worth the time that they take.
FEW: Final = 50
#: How long they may take: a share of the search, between these bounds in seconds.
SHARE: Final = 0.15
SHORTEST: Final = 0.25
LONGEST: Final = 1.5
#: The depth of bugs that is told of the samplers of ``auto``.
DEPTH_OF_AUTO: Final = 2
#: How a search has ended that still tells something.
_SPENT: Final = ("schedules", "seconds")

Search = Callable[["Scheduler", Budget], Searched]


def estimate_of(
    found: Searched, strategy: str, depth: int | None, workers: int, *,
    seed: int, tree: Scheduler | None, executions: int, search: Search,
) -> Estimate | None:  # fmt: skip
    """What can be said of a search that did not finish and found no failure. Its probes are
    schedules like others: a failure that one of them meets is added to ``found``.

    ``depth``: that ``pct`` was given. ``workers``: of the program. ``tree``: the search by DPOR
    that was a part of it, if there was one, with its ``executions``. ``search`` runs probes.
    """
    ended = any(one.kind in (*FAILED, "unfinished") for one in found.outcomes.values())
    if ended or found.exhaustive or found.stopped not in _SPENT:
        return None
    from tracelock.explore.estimate import Estimate, failing_share, missed_depth, seen_classes

    classes = missed = failing = None
    if tree is not None and executions and not tree.finished:
        from tracelock.schedulers.dpor.probing import probes_of

        probes = probes_of(tree, seed)
        if probes is not None:
            count = min(max(LEAST, executions // ONE_IN), MOST)
            few = FEW * found.seconds / max(found.schedules, 1)  # what these are to take
            seconds = min(max(SHORTEST, SHARE * found.seconds, few), LONGEST)
            more = search(probes, Budget(count, seconds))
            if more.failures():
                found.merge(more)
                return None
            classes = seen_classes(probes, executions)
    if found.drawn is not None:
        wanted = DEPTH_OF_AUTO if strategy == DEFAULT else depth or DEPTH
        missed = missed_depth(found.drawn, wanted, workers)
    if strategy in STRATEGIES and STRATEGIES[strategy].shards == NUMBERED:
        failing = failing_share(found.schedules)
    estimate = Estimate(classes, missed, failing)
    return estimate if estimate.line else None
