"""How much an unfinished exploration has seen: which search can be asked, and its probes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tracelock.explore.search import FAILED, Budget, Searched
from tracelock.schedulers.strategies import DEPTH, NUMBERED
from tracelock.session.host import Host
from tracelock.session.plan import Plan

if TYPE_CHECKING:
    from tracelock.explore.estimate import Estimate
    from tracelock.schedulers.base import Scheduler
    from tracelock.schedulers.dpor.probes import Probes

#: Probes of a search: one for so many of its executions, between these bounds.
ONE_IN: Final = 10
LEAST: Final = 200
MOST: Final = 2000
#: How long they may take: a share of the search, between these bounds in seconds.
SHARE: Final = 0.15
SHORTEST: Final = 0.25
LONGEST: Final = 1.5
#: The depth of bugs that is told of the samplers of ``auto``.
DEPTH_OF_AUTO: Final = 2
#: How a search has ended that still tells something.
_SPENT: Final = ("schedules", "seconds")


def probe(
    host: Host, plan: Plan, tree: Scheduler, seconds: float
) -> tuple[Probes | None, Searched]:
    """Probes of the tree that ``tree`` has searched for so long. They are schedules like others:
    what they find is returned too."""
    from tracelock.schedulers.dpor.probing import probes_of

    seed = plan.seed or 0
    probes = probes_of(tree, seed)
    if probes is None:
        return None, Searched("probes")
    count = min(max(LEAST, tree.executions // ONE_IN), MOST)
    limit = min(max(SHORTEST, SHARE * seconds), LONGEST)
    return probes, host.search(probes, seed, None, Budget(count, limit), False, None)


def estimate_of(
    host: Host, plan: Plan, found: Searched, tree: Scheduler | None, executions: int
) -> tuple[Estimate | None, Searched | None]:
    """What can be said of a search that did not finish and found no failure, and what its probes
    found besides. ``tree``: the search by DPOR that was a part of it, with its ``executions``."""
    from tracelock.explore.estimate import Estimate, failing_share, missed_depth, seen_classes

    cut = any(one.kind in (*FAILED, "unfinished") for one in found.outcomes.values())
    if cut or found.exhaustive or found.stopped not in _SPENT or host.stuck:
        return None, None
    if plan.spreading.prefix is not None:  # it is not known how much lies elsewhere
        return None, None
    classes = more = None
    if tree is not None and executions and host.settled and not tree.finished:
        probes, more = probe(host, plan, tree, found.seconds)
        if more.failures():
            return None, more
        if probes is not None and host.settled:
            classes = seen_classes(probes, executions)
    depth = failing = None
    if found.drawn is not None:
        wanted = DEPTH_OF_AUTO if plan.strategy == "auto" else plan.depth or DEPTH
        depth = missed_depth(found.drawn, wanted, sum(map(bool, host.workers)))
    if plan.entry is not None and plan.entry.shards == NUMBERED:
        failing = failing_share(found.schedules)
    estimate = Estimate(classes, depth, failing)
    return (estimate if estimate.line else None), more
