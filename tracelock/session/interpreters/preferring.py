"""Of the failing schedules of real code one that the running interpreter can make by itself."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final

from tracelock.engine.limits import Interrupted, TimeUp
from tracelock.explore.search import Budget, Outcome

if TYPE_CHECKING:
    from tracelock.session.host import Host
    from tracelock.session.interpreters.which import Switched

#: What is spent on looking for one: schedules by strategy, seconds of all.
SCHEDULES: Final = {"dpor": 40, "auto": 20}
SECONDS: Final = 1.0


@dataclass(slots=True)
class Preferred:
    """``outcome``: the failure to show; ``possible``: whether the running interpreter can make its
    schedule (None: that is not known). Where it cannot, ``tried`` schedules that it can make did
    not fail, which were ``all`` there are or not."""

    outcome: Outcome
    possible: bool | None = None
    tried: int = 0
    all: bool = False


def can_be(switches: list[Switched] | None) -> bool | None:
    """Whether a schedule with these switches is one that the interpreter can make."""
    if switches is None:
        return None
    from tracelock.analysis.derived.switches import WITHOUT_GIL

    return all(one.level != WITHOUT_GIL for one in switches)


def prefer(host: Host, outcome: Outcome, seed: int, deadline: float | None) -> Preferred:
    """Look at a failure, and for another like it if the interpreter cannot make that."""
    found = Preferred(outcome)
    try:
        with host.held():
            found.possible = can_be(host.switched(outcome.first))
        if found.possible and not host.settled:
            found.possible = None  # accesses were made that are no steps of it
        if found.possible is False and host.settled:
            with host.holding():
                _look(host, found, seed, deadline)
    except (TimeUp, Interrupted):
        pass
    return found


def _look(host: Host, found: Preferred, seed: int, deadline: float | None) -> None:
    wanted = found.outcome
    end = monotonic() + SECONDS
    if deadline is not None:
        end = min(end, (monotonic() + deadline) / 2)
    for strategy, schedules in SCHEDULES.items():
        left = end - monotonic()
        if left <= 0:
            return
        searched = host.search(strategy, seed, None, Budget(schedules, left), False, None)
        found.tried += searched.schedules
        for one in searched.failures():
            if (one.kind, one.failure) == (wanted.kind, wanted.failure):
                found.outcome, found.possible = one, True
                return
        found.all = searched.exhaustive and not searched.failures()
        if searched.exhaustive or searched.stopped in ("interrupted", "seconds"):
            return
