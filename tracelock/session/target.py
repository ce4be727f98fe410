"""What is run and searched: a target. A scenario is one, and so is a Python program.

``Target`` says what it is and what it can do; ``Host`` (in ``host``) is a target opened on a
backend. Nothing else asks which kind of target there is: it asks for a capability, and where that
is missing the target's own reason is the message.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tracelock.engine.limits import RunLimits
from tracelock.errors import UsageError
from tracelock.trace import Trace, Verdict

if TYPE_CHECKING:
    from tracelock.explore.shrink.scenario import Reduced
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.host import Host
    from tracelock.session.plan import Settings


class Capability(StrEnum):
    """What a target may be unable to do."""

    FREE_RUNS = "be run without a strategy, in the order of the operating system"
    SIMULATED_BACKEND = "run on models of its objects alone"
    SIMULATED_ENGINE = "be searched on models of its objects"
    STATES = "be searched by states: its workers can be copied"
    PREFIX = "have a search begun at a prefix"
    ISOLATION = "have its schedules run in forked processes"
    INTERPRETER = "be explored as one interpreter runs it"
    INJECTIONS = "have cancellations and garbage collections injected"
    OTHER_BACKEND = "have a trace replayed on another backend than its own"
    REDUCE = "be made smaller itself"
    PREDICT = "have failures predicted from a passing trace"
    STEPS = "be read: its workers are steps of the scenario language"


class Target(ABC):
    """Something whose schedules can be run.

    ``noun``: what messages call it. ``schedules``: how many are tried unless told otherwise (None:
    no bound). ``engine``: what searches it unless told otherwise. ``run_limits``,
    ``search_limits``: the default bounds of a single run, and of each schedule of a search.
    ``interpreter``: the one that it is explored for unless told otherwise. ``lacks``: for each
    capability that it has not, the reason. ``unchecked``: what nobody has said must hold of it, ""
    where somebody has or where it cannot be told. ``travels``: how others that share a search get
    it, as ``data`` or by ``names`` (see ``targets``).
    """

    name: str
    noun: str
    schedules: int | None
    interpreter = "any"
    engine: str
    run_limits: RunLimits
    search_limits: RunLimits
    lacks: Mapping[Capability, str]
    unchecked = ""
    travels = "data"

    @property
    @abstractmethod
    def workers(self) -> list[str]:
        """The names of the workers that there are from the start."""

    @abstractmethod
    def natural_backend(self) -> str:
        """The backend that runs it unless told otherwise."""

    @abstractmethod
    def open(self, settings: Settings) -> Host:
        """A host for its schedules, as ``settings`` (completed for this target) say."""

    @abstractmethod
    def replaying(self, trace: Trace, settings: Settings) -> AbstractContextManager[Host]:
        """A host on which ``trace`` can be followed. Raises TraceError where its workers are not
        those of the target."""

    def places(self, verdict: Verdict) -> dict[str, str]:
        """File and line of the steps that a verdict names, by their path, where that is not yet
        such a place."""
        return {}

    def scenario(self) -> Scenario:
        """The scenario that its workers' steps are written in. Raises UsageError without one."""
        raise UsageError(refusal(self, Capability.STEPS))

    def reduced(self, trace: Trace, host: Host) -> tuple[Target, Reduced]:
        """The target with everything left out that the failure of ``trace`` does not need.
        ``host``: this target's own."""
        raise UsageError(refusal(self, Capability.REDUCE))


def refusal(target: Target, capability: Capability, **named: Any) -> str:
    """Why a target cannot do something, "" where it can. ``named`` fills in the message."""
    reason = target.lacks.get(capability)
    return "" if reason is None else reason.format(**named)


def require(target: Target, capability: Capability, **named: Any) -> None:
    """Raises UsageError, with the target's reason, where it lacks a capability."""
    reason = refusal(target, capability, **named)
    if reason:
        raise UsageError(reason)
