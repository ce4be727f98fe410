"""What an exploration of real code has of its own: a runner, a session, and two schedulers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from tracelock.backends.rules import THREADING_RULES
from tracelock.engine.limits import RunLimits
from tracelock.engine.open import OpenController, OpenLayout
from tracelock.engine.recording import target_name
from tracelock.explore.running import Runner
from tracelock.instrument.program import PythonProgram
from tracelock.instrument.rewrite.sources import Sources
from tracelock.ops import CHECKPOINT, NAMES, ON_WORKER, SLEEP
from tracelock.schedulers.base import Choice, Run, Scheduler, Wrapper
from tracelock.session.exploring import Plan

if TYPE_CHECKING:
    from tracelock.instrument.naming import Names
    from tracelock.trace import Trace, Verdict


class PythonRunner(Runner):
    """Runs schedules of real code."""

    copies = False

    def __init__(self, program: PythonProgram, backend: Any, clock: str, limits: RunLimits) -> None:
        self.program = program  # type: ignore[assignment]
        self.rules = getattr(backend, "rules", THREADING_RULES)
        self.clock = clock
        self.limits = limits
        self.backend = backend
        self.call = None

    def controller(self, scheduler: Scheduler) -> OpenController:
        assert isinstance(self.program, PythonProgram)
        return OpenController(
            self.program.layout,
            self.rules,
            scheduler,
            clock=self.clock,
            max_steps=self.limits.steps,
            max_seconds=self.limits.seconds,
        )

    def with_clock(self, clock: str) -> Runner:
        if clock == self.clock:
            return self
        return PythonRunner(self.program, self.backend, clock, self.limits)  # type: ignore[arg-type]


class Restarting(Wrapper):
    """A systematic search that begins again when something turned out to be shared.

    What it has explored before then is explored once more, with the new scheduling points; the
    counts are those of the last time.
    """

    def __init__(self, make: Callable[[], Scheduler], names: Names) -> None:
        self.make = make
        self.names = names
        super().__init__(make())
        self.restarts = 0
        #: A worker that was to go on could not: the program does not depend on the schedule alone.
        self.lost = False
        self._run: Run

    def attach(self, run: Run) -> None:
        self._run = run
        self.inner.attach(run)

    def begin(self) -> bool:
        if self.lost:
            return False
        if self.names.news:
            self.names.settle()
            self.restarts += 1
            self.inner = self.make()
            self.inner.attach(self._run)
        return self.inner.begin()

    def pick(self, choice: Choice) -> int:
        if not self.lost:
            picked = self.inner.pick(choice)
            if picked in choice.options:
                return picked
            self.lost = True
        return choice.options[0]

    def end(self, steps: int) -> None:
        if not self.lost:
            self.inner.end(steps)

    @property
    def exhaustive(self) -> bool:
        return not self.lost and self.inner.exhaustive


class PythonSession:
    """What an exploration needs of a session: the backend, and traces."""

    def __init__(self, program: PythonProgram, backend: Any, plan: Plan, sources: Sources) -> None:
        self.program = program
        self.backend = backend
        self.plan = plan
        self.rules = getattr(backend, "rules", THREADING_RULES)
        self.sources = sources

    def __exit__(self, *exc: object) -> None:
        self.backend.close()

    def trace(self, log: Any, strategy: dict[str, Any] | None, verdict: Verdict) -> Trace:
        """The trace of a schedule whose log this is."""
        from tracelock.engine.recording import record_log
        from tracelock.trace import Trace, environment

        program = self.program
        events = record_log(program.layout, log)
        known = program.layout.known()
        named = {name for one in verdict.blocked for name in (one.worker, *one.holder)}
        last = max(
            len(program.workers) - 1,
            *(entry[0] for entry in log),
            *(entry[4][-1] for entry in log if entry[4]),
            *(entry[2].target for entry in log if entry[1] in ON_WORKER),
            *(place for place, name in enumerate(known) if name in named),
            -1,
        )
        sources, places = self.sources.of({entry[2].at for entry in log})
        return Trace(
            program.to_data(sources, places), self.plan.backend, "controlled", strategy,
            self.plan.clock, environment(None), known[: last + 1], events, verdict,
        )  # fmt: skip


class InOrder(Scheduler):
    """Whoever runs goes on; else the first, or the last, that can."""

    def __init__(self, backwards: bool) -> None:
        self.backwards = backwards
        self._done = False

    def begin(self) -> bool:
        done, self._done = self._done, True
        return not done

    def pick(self, choice: Choice) -> int:
        if choice.kind != "worker":
            return choice.options[0]
        options = choice.options
        pending = choice.pending
        busy = [w for w in options if pending[w].kind != SLEEP] or options  # type: ignore
        if choice.current in busy:
            if pending[choice.current].kind != CHECKPOINT:  # type: ignore[union-attr]
                return choice.current
            # a task that may go on at once: who spins should let others on
            others = [w for w in busy if w > choice.current] or busy
            return others[0]
        return busy[-1 if self.backwards else 0]

    def describe(self) -> dict[str, Any]:
        return {"name": "in-order"}


class Keeping(Wrapper):
    """Any scheduler, with the log of the last schedule kept in ``log``."""

    def __init__(self, inner: Scheduler) -> None:
        super().__init__(inner)
        self.log: Any = []
        self._run: Run

    def attach(self, run: Run) -> None:
        self._run = run
        self.inner.attach(run)

    def end(self, steps: int) -> None:
        self.log = self._run.log


def steps_of(layout: OpenLayout, log: Any) -> list[tuple[Any, ...]]:
    """What a schedule did, as it would be told in a trace."""
    return [
        (layout.workers[worker].name, NAMES[kind], target_name(layout, kind, op), op.at, result)
        for worker, kind, op, result, _, _ in log
    ]


def differ(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> str:
    """Where two runs of one schedule differ, "" where they do not."""

    def told(step: tuple[Any, ...] | None) -> str:
        if step is None:
            return "nothing more"
        worker, op, target, at, result = step
        shown = "" if result is None else f" -> {result!r}"
        return f"{worker} {op} {target or ''}{shown} at {at}"

    for number, (a, b) in enumerate(zip_longest(one, other)):
        if a != b:
            return (
                f"run twice, the same schedule did two things at event {number}: {told(a)}; "
                f"{told(b)}. Look for unseeded random numbers, the wall clock, the order of a set "
                "or of ids, or state that setup does not make anew"
            )
    return ""
