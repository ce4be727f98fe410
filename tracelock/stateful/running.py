"""A state machine of Hypothesis run by several workers at once.

Hypothesis draws the calls of each worker, and the schedules of these calls are explored. It makes a
failing client small first, in which fewer calls are smaller; then its schedule is made small.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import UsageError
from tracelock.stateful.calls import Client, MachineRules

if TYPE_CHECKING:
    from tracelock.session.explored import Explored

#: Clients that are explored unless told otherwise, and schedules of each.
CLIENTS: Final = 50
SCHEDULES: Final = 60
#: What part of the time one client may take, and at least is left to make a failing one small.
_PART: Final = 10
_TO_SHRINK: Final = 3


class _TimeSpent(BaseException):
    """Hypothesis is to draw no more."""


class ClientFailed(AssertionError):
    """A schedule of this client fails."""


def run_state_machine_concurrently(
    machine: type,
    *,
    workers: int = 2,
    calls: int = 3,
    clients: int = CLIENTS,
    schedules: int = SCHEDULES,
    seconds: float = 60.0,
    **options: Any,
) -> Explored:
    """Run the rules of a ``RuleBasedStateMachine`` of Hypothesis on one machine by several workers
    at once, and explore their schedules.

    ``workers``: how many; threads, or tasks of asyncio where some rule is a coroutine function.
    ``calls``: of each, at the most. ``clients``: so many sets of calls are drawn, ``schedules``:
    so many are run of each. ``seconds``: of all. ``options``: as for ``explore``.

    The initializers run before the workers, the invariants when all calls are over, then
    ``teardown``. A precondition is asked right before the call, by the worker, and a call is passed
    over where it does not hold. The values that a worker takes from a bundle are those that the
    initializers and it itself have put there: a call whose bundle is empty is passed over.

    Returns what the exploration came to: ``passed``, since clients are drawn. Raises SearchFailed
    where a schedule fails, with the smallest client that was found (fewest calls, then fewest
    switches); UsageError for what is no such machine, or has what cannot be done at once (bundles
    that are consumed, filtered or mapped).
    """
    if workers < 1 or calls < 1 or clients < 1:
        raise UsageError("there is at least one worker, one call and one client")
    try:
        hypothesis: Any = import_module("hypothesis")
    except ImportError:
        raise UsageError("state machines need Hypothesis: pip install hypothesis") from None
    search = _MachineSearch(MachineRules(machine), options, seconds)

    def explored(client: Client) -> None:
        search.one(client, schedules)

    settings = hypothesis.settings(
        max_examples=clients, deadline=None, database=None, derandomize=True, print_blob=False,
        report_multiple_bugs=False, suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )  # fmt: skip
    drawn = hypothesis.given(search.rules.strategy(workers, calls))
    with contextlib.suppress(ClientFailed, _TimeSpent):
        settings(drawn(explored))()
    return search.result()


class _MachineSearch:
    """The clients of one machine so far. ``failing``: the last that failed, with its trace."""

    def __init__(self, rules: MachineRules, options: dict[str, Any], seconds: float) -> None:
        self.rules = rules
        self.options = options
        self.seconds = seconds
        self.end = monotonic() + seconds
        self.begun = monotonic()
        self.failing: tuple[Client, Explored] | None = None
        self.clients = self.schedules = 0
        self.last: Explored | None = None
        self._known: dict[str, bool] = {}

    def one(self, client: Client, schedules: int) -> None:
        """Explore the schedules of one client. Raises ClientFailed, or _TimeSpent."""
        key = str(client)
        if key not in self._known:
            left = self.end - monotonic()
            if left <= 0:
                raise _TimeSpent
            found = self._explore(
                client, schedules=schedules, seconds=min(left, max(0.5, self.seconds / _PART)),
                shrink=False, confirm=0,
            )  # fmt: skip
            self.clients += 1
            self.schedules += found.schedules
            self.last = found
            self._known[key] = found.failed
            if found.failed:
                if self.failing is None:
                    self.end = monotonic() + max(2.0, self.seconds / _TO_SHRINK)
                self.failing = client, found
        elif self._known[key] and self.failing is not None:
            self.failing = client, self.failing[1]
        if self._known[key]:
            raise ClientFailed(key)

    def _explore(self, client: Client, **more: Any) -> Explored:
        from tracelock.session.api import explore

        rules = self.rules
        first = () if self.failing is None else (self.failing[1].trace,)
        return explore(
            setup=lambda: rules.begin(client),
            workers=[rules.worker(client, number) for number in range(len(client.workers))],
            check=rules.check, first=[one for one in first if one is not None],
            **{**self.options, **more},
        )  # fmt: skip

    def result(self) -> Explored:
        """What it came to. Raises SearchFailed with the smallest failing client."""
        __tracebackhide__ = True
        from tracelock.session.explored import Explored, SearchFailed

        tried = f"{self.clients:,} clients, {self.schedules:,} schedules"
        if self.failing is None:
            last = self.last
            if last is None:
                return Explored("passed", "auto", 0, 0, 0, 0.0, [], summary="no client was drawn")
            seen = "" if last.account is None else f"; {last.account.line}"
            return replace(
                last, verdict="passed", schedules=self.schedules, executions=0, whole=False,
                seconds=monotonic() - self.begun,
                summary=f"passed: {tried}, none failed; others were not tried{seen}",
            )  # fmt: skip
        client, found = self.failing
        again = self._explore(client, seconds=max(5.0, self.seconds / _TO_SHRINK))
        if again.failed:
            found = again
        raise SearchFailed(f"{found.summary} ({tried})\n\n{client}\n\n{found.story()}")
