"""A target opened on a backend: what runs its schedules, and makes and follows its traces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tracelock.schedulers.base import Scheduler
from tracelock.session.plan import Plan, Settings, make_scheduler
from tracelock.session.target import Target
from tracelock.trace import Trace, Verdict

if TYPE_CHECKING:
    from tracelock.engine.replaying import Replay
    from tracelock.explore.running import Executed, Runner
    from tracelock.explore.search import Budget, Progress, Searched
    from tracelock.explore.spread.shards import Job
    from tracelock.instrument.account.account import Account
    from tracelock.instrument.loops.own_order import OwnOrder
    from tracelock.session.interpreters.which import Switched
    from tracelock.trace.rescue import Rescue

OnProgress = Callable[["Progress"], None]


@dataclass(slots=True)
class RunOutcome:
    """How one run ended: its verdict, the number of its events, and its trace on request."""

    verdict: Verdict
    events: int
    trace: Callable[[], Trace]
    log: Any = None


class Host(ABC):
    """A target on one backend, under control. A context manager.

    ``settings``: completed ones. ``runner``: what runs the schedules of a search; ``models``: what
    shrinks a failing one, on models of the objects wherever there are some. ``stuck``: why no
    further schedule can be run, "" as long as one can. ``notes``: what there is to say of the
    search besides its outcomes. ``executions``: complete ones of the last search by ``dpor``.
    ``searched``: the scheduler of the last search.
    ``states``: those that were searched. ``batch``: runs that the backend may make in one go.
    """

    target: Target
    settings: Settings
    runner: Runner
    models: Runner
    batch = 100
    #: Whether all that the workers do depends on one another, as with the tasks of one loop.
    entangled = False
    #: Whether some schedule had tasks of loops, whose orders an exhaustive search may be long in
    #: going through.
    has_loops = False
    #: Whether schedules depend on what is asked for real: no search can go by what it has seen.
    chancy = False
    #: Whether it is known, after ``warm_up``, that all schedules are the one that was run.
    one_schedule = False
    #: Why no more than ``passed`` is claimed of a search that has tried everything it could.
    withheld: Sequence[str] = ()
    #: Where ``breakpoint()`` was called, and nothing has stopped.
    passed_over: Collection[str] = ()
    #: How the schedules of ``own_orders`` are called.
    own_name = ""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.executions = 0
        self.states = 0
        self.searched: Scheduler | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
        self.searched = None  # it leads back to here

    @abstractmethod
    def close(self) -> None:
        """End the workers, undo all patches."""

    @property
    def stuck(self) -> str:
        return ""

    @property
    def workers(self) -> list[str]:
        """The names of the workers so far: Python code starts threads as it goes."""
        return [worker.name for worker in self.runner.program.layout.workers]

    # --- traces ------------------------------------------------------------------------------
    @abstractmethod
    def trace(self, log: Any, strategy: dict[str, Any] | None, verdict: Verdict) -> Trace:
        """The trace of a controlled schedule whose log this is."""

    @abstractmethod
    def follower(self, trace: Trace) -> Replay:
        """What follows a trace event by event."""

    @abstractmethod
    def retrace(self, trace: Trace) -> Executed | None:
        """The schedule of a trace, executed by its picks; None where it cannot be followed."""

    def share(self, wanted: Callable[[str], bool]) -> bool:
        """Let what was used so far and has a wanted name be shared; whether there is more now."""
        return False

    def lasts(self, verdict: Verdict) -> bool:
        """Whether each schedule that ends like this takes long: such a one is not made smaller."""
        return False

    @abstractmethod
    def shrinkable(self, trace: Trace) -> Executed | Trace:
        """What a shrink of ``trace`` begins with. Raises UsageError where it fails no more."""

    @abstractmethod
    def confirming(self, trace: Trace) -> AbstractContextManager[Host]:
        """The host on which a failure that was found is replayed: that of the real backend."""

    @abstractmethod
    def not_confirmed(self, why: str, number: int, times: int) -> str:
        """What it means that replay ``number`` of ``times`` ended otherwise, in a sentence.

        Raises InternalError where that is a contradiction.
        """

    # --- runs --------------------------------------------------------------------------------
    def free_run(self, record: bool, rescue: Rescue | None = None) -> RunOutcome:
        """A run in whatever order the system chooses. Only of targets with that capability."""
        raise NotImplementedError

    def injecting(self, scheduler: Scheduler, seed: int) -> Scheduler:
        """A sampler that also decides where collections and cancellations come in, if any may."""
        return scheduler

    # --- searches ----------------------------------------------------------------------------
    def warm_up(self, every: bool) -> Searched:
        """The schedules that have to be run before a search begins, if there are any."""
        from tracelock.explore.search import Searched

        return Searched("warm-up")

    def settle(self) -> None:
        """Let what the schedules so far have shown of the target count from now on."""
        return

    #: For each condition that is checked between steps, what it reads, by number.
    watched: Sequence[Sequence[int]] = ()

    def scheduler(self, strategy: str | Scheduler, seed: int, depth: int | None) -> Scheduler:
        """The scheduler of a strategy for a search of this target."""
        return make_scheduler(strategy, seed, depth=depth, watched=self.watched)

    def search(
        self, strategy: str | Scheduler, seed: int, depth: int | None, budget: Budget,
        every: bool, progress: OnProgress | None,
    ) -> Searched:  # fmt: skip
        """Run the schedules of one strategy."""
        from tracelock.explore.search import search

        self.searched = scheduler = self.scheduler(strategy, seed, depth)
        found = search(self.runner, scheduler, budget, every=every, progress=progress)
        self.executions = found.schedules
        return found

    def search_states(self, budget: Budget, every: bool, progress: OnProgress | None) -> Searched:
        """Search the states. Only of targets with that capability."""
        raise NotImplementedError

    def job(self, plan: Plan, strategy: str) -> Job:
        """A search by ``strategy`` as plain data. Only of targets that can be spread or kept."""
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """What a checkpoint of a search knows its target by."""
        raise NotImplementedError

    def qualify(self, found: Searched) -> None:
        """Take back what a search may not claim: that it was exhaustive."""
        return

    def claim(self, verdict: str, found: Searched) -> str:
        """The verdict that may be claimed, where the search itself comes to ``verdict``."""
        return verdict

    @property
    def account(self) -> Account | None:
        """What was seen of real code, and what was not."""
        return None

    @property
    def lasting(self) -> list[str]:
        """State that lives on from schedule to schedule, by name."""
        return []

    def remarks(self, schedules: int) -> list[str]:
        """What was noticed in the schedules so far, in sentences."""
        return []

    def until(self, deadline: float | None) -> None:
        """No run goes on beyond this, on the monotonic clock: see ``engine.limits.TimeUp``."""
        return

    def held(self) -> AbstractContextManager[None]:
        """While this is entered, what is learnt of the target does not change its schedules."""
        return nullcontext()

    @property
    def settled(self) -> bool:
        """Whether all that was learnt of the target counts already."""
        return True

    def noticing(self) -> AbstractContextManager[Callable[[Any], list[Switched] | None]]:
        """While this is entered, what gives the same for the schedule that has run, by its log."""
        return nullcontext(lambda log: None)

    def switched(self, executed: Executed) -> list[Switched] | None:
        """The preemptive switches of a schedule of real code on threads, each with what the running
        interpreter can do; None where that is not known."""
        return None

    def close_gaps(self, between: Collection[tuple[str, str]]) -> bool:
        """Let nobody come in between these steps of real code. Only of targets with that."""
        raise NotImplementedError

    def holding(self) -> AbstractContextManager[None]:
        """While this is entered, schedules are those that the running interpreter can make."""
        return nullcontext()

    def own_orders(self, cancellations: int) -> Iterable[OwnOrder]:
        """Schedules that event loops make by themselves, where they have an order of their own;
        with so many cancellations."""
        if not self.own_name:
            return ()
        from tracelock.instrument.loops.own_order import own_orders

        return own_orders(self.own_name, cancellations)


class Opened:
    """What works on a host, and closes it when it is left."""

    host: Host

    def __enter__(self) -> Self:
        self.host.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self.host.__exit__(*exc)


def run_once(host: Host, scheduler: Scheduler, clock: str | None = None) -> Verdict:
    """How the next schedule of ``scheduler`` ends."""
    runner = host.runner if clock is None else host.runner.with_clock(clock)
    return runner.verdict(runner.run(scheduler, lambda _: True))


def own_order(host: Host, trace: Trace) -> list[str]:
    """Whether a loop that goes on in its own order fails like that too, in one sentence;
    nothing where threads have a choice besides, for which it has no order."""
    from tracelock.session.python_schedulers import chosen_in

    injected = sum(event.op == "cancelled" for event in trace.events)
    for scheduler in host.own_orders(injected):
        scheduler.values = chosen_in(trace)
        verdict = run_once(host, scheduler, clock="virtual")
        if (verdict.kind, verdict.failure) == (trace.verdict.kind, trace.verdict.failure):
            return [f"{host.own_name} reaches this too"]
        if scheduler.threads:
            return []
    more = " with the same cancellations elsewhere" if injected else ""
    return [
        f"{host.own_name}{more} does not reach this: it takes other timing, a task that "
        "goes on later than it could (after input or output, or slow work of another)"
    ]
