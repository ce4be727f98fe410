"""``tracelock run``: one run, or many and a tally."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from tracelock.cli.keeping import Keeper, keeper_for, replay_line, token_line
from tracelock.cli.output import Output
from tracelock.cli.progress import runs_progress
from tracelock.cli.show import told
from tracelock.engine.limits import INTERRUPTED, RunLimits
from tracelock.errors import UsageError
from tracelock.names import for_display
from tracelock.report.wording import clean, outcome_name
from tracelock.scenario.loading import load_scenario
from tracelock.session.host import RunOutcome
from tracelock.session.plan import Settings
from tracelock.session.running import Session
from tracelock.session.target import Capability, Target, refusal
from tracelock.session.targets import target_for
from tracelock.trace import Verdict
from tracelock.trace.outputs import descriptor_of
from tracelock.trace.verdict import FAILED, KINDS

if TYPE_CHECKING:
    from tracelock.trace.rescue import Rescue

UNFINISHED: Final = 5


def run_command(options: argparse.Namespace, out: Output) -> int:
    """Run a scenario as ``options`` say, and print how it ended."""
    scenario = load_scenario(options.scenario)
    find_modules(options)
    target = target_for(scenario, allow_call=options.allow_call)
    settings = _settings(options, target)
    with Session(target, settings) as session:
        keeper = keeper_for(options, scenario, session.settings.backend)
        command = _Run(options, out, session, keeper)
        if options.json and settings.seed is None and session.settings.strategy == "random":
            out.note(f"seed {session.settings.seed}")
        return command.once() if options.runs is None else command.often(options.runs)


def _settings(options: argparse.Namespace, target: Target) -> Settings:
    free = options.strategy is None and options.backend != "simulated"
    if free and not refusal(target, Capability.FREE_RUNS):
        if options.clock is not None:
            raise UsageError("--clock needs a --strategy: in a free run time is real")
        if options.seed is not None:
            raise UsageError("--seed needs a --strategy: in a free run the system chooses")
    return Settings(
        options.backend or "", options.strategy, options.seed, options.clock or "virtual",
        options.start_method, options.allow_call,
        limits_of(target.run_limits, options.max_steps, options.max_seconds),
        isolation=options.isolation,
    )  # fmt: skip


def limits_of(limits: RunLimits, steps: int | None, seconds: float | None = None) -> RunLimits:
    """A target's own limits, but for those that the command line gives."""
    return replace(limits, steps=steps or limits.steps, seconds=seconds or limits.seconds)


def find_modules(options: argparse.Namespace) -> None:
    """Let ``call`` steps find modules in the current folder, as ``python -m`` would."""
    if options.allow_call and os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())


@dataclass(slots=True)
class _Kind:
    """All runs that ended in one way. ``verdict``: of the first; ``trace``: where it is kept."""

    verdict: Verdict
    events: int
    count: int = 0
    trace: str | None = None


@dataclass(slots=True)
class _Run:
    """One ``run`` command, its session ready."""

    options: argparse.Namespace
    out: Output
    session: Session
    keeper: Keeper | None

    # --- one run -------------------------------------------------------------------------------
    def once(self) -> int:
        started = perf_counter()
        outcome: RunOutcome | None = None
        try:
            with (
                self._rescue() as rescue,
                closing(
                    self.session.each(1, record=self.keeper is not None, rescue=rescue)
                ) as outcomes,
            ):
                outcome = next(outcomes, None)
                seconds = perf_counter() - started
                path = self._keep(outcome) if outcome is not None else None
        except KeyboardInterrupt:
            self.out.note("interrupted: nothing was recorded" if outcome is None else "interrupted")
            return UNFINISHED
        if outcome is None:
            raise UsageError("the strategy has no schedule to run")
        verdict = outcome.verdict
        if self.options.json:
            self.out.json(run_object(verdict, path, outcome.events, seconds))
        else:
            self._print_one(outcome, path, seconds)
        return _status({verdict.kind})

    def _rescue(self) -> AbstractContextManager[Rescue | None]:
        """What keeps the record of a long run if this process is killed."""
        if self.keeper is None or descriptor_of(self.keeper.unsaved()) is not None:
            return nullcontext()
        if refusal(self.session.target, Capability.FREE_RUNS):
            return nullcontext()  # Python code may not be copied while it runs
        from tracelock.trace.rescue import Rescue

        return Rescue(self.keeper.unsaved())

    def _keep(self, outcome: RunOutcome) -> str | None:
        keeper = self.keeper
        if keeper is None or not keeper.wants(outcome.verdict):
            return None
        return keeper.keep(outcome.trace())

    def _print_one(self, outcome: RunOutcome, path: str | None, seconds: float) -> None:
        verdict, workers = outcome.verdict, self.session.host.workers
        # what is never recorded freely is Python code, whose steps say more than the verdict
        controlled = refusal(self.session.target, Capability.FREE_RUNS)
        if controlled and verdict.kind != "passed":
            trace = for_display(outcome.trace())
            verdict, workers = trace.verdict, trace.workers
            self.out.lines(told(trace, self.out, plumbing=self.options.all_events))
            self.out.line()
        events = "1 event" if outcome.events == 1 else f"{outcome.events:,} events"
        self._verdict(verdict, f"{self._what()}: {events} in {_duration(seconds)}", workers)
        if controlled and self.options.strategy is None:
            self.out.line(f"  {controlled}")
        self._advice(verdict)
        if path is not None:
            self.out.line(f"\ntrace: {clean(path)}")
            self.out.line(replay_line(path, self.options.allow_call))
        if verdict.kind in FAILED:
            self.out.lines(token_line(outcome.trace()))

    def _verdict(self, verdict: Verdict, about: str, workers: Sequence[str] | None = None) -> None:
        from tracelock.report.terminal import verdict_block

        places = self.session.target.places(verdict)
        names = self.session.host.workers if workers is None else workers
        self.out.lines(verdict_block(verdict, names, about, places))

    def _what(self) -> str:
        """What was run and who decided: enough to do it again."""
        settings = self.session.settings
        how = "free run"
        if settings.strategy is not None:
            seed = f", seed {settings.seed}" if settings.strategy == "random" else ""
            how = f"{settings.strategy}{seed}"
            if refusal(self.session.target, Capability.FREE_RUNS):
                how = f"controlled: {how}"
            if settings.clock != "virtual":
                how += f", {settings.clock} clock"
        return f"{clean(self.session.target.name)} on {settings.backend} ({how})"

    def _advice(self, verdict: Verdict) -> None:
        if verdict.kind == "passed" and self.session.target.unchecked:
            self.out.line(f"  note: {self.session.target.unchecked}")
        if verdict.kind == "passed" and self.options.strategy != "round-robin":
            random = "" if self.session.settings.strategy else " --strategy random"
            self.out.line(f"  one run says little of the others: try --runs 1000{random}")
        elif verdict.kind == "unfinished":
            self.out.line(
                "  nothing is claimed about this scenario; see --max-steps and --max-seconds"
            )

    # --- many runs -----------------------------------------------------------------------------
    def often(self, runs: int) -> int:
        kinds: dict[tuple[str, str | None], _Kind] = {}
        started = perf_counter()
        done = failures = events = 0
        interrupted = False
        with runs_progress(self.out, runs) as advance:
            try:
                with closing(self.session.each(runs, record=self.keeper is not None)) as outcomes:
                    for outcome in outcomes:
                        verdict = outcome.verdict
                        key = (verdict.kind, verdict.failure)
                        kind = kinds.get(key)
                        if kind is None:
                            kind = kinds[key] = _Kind(verdict, outcome.events)
                            if verdict.kind != "passed":
                                kind.trace = self._keep(outcome)
                        kind.count += 1
                        done += 1
                        events += outcome.events
                        failures += verdict.kind in FAILED
                        if verdict.kind == "unfinished" and verdict.message == INTERRUPTED:
                            interrupted = True
                            break
                        advance(done, failures)
            except KeyboardInterrupt:
                interrupted = True
        seconds = perf_counter() - started
        if interrupted:
            self.out.note(f"interrupted after {done:,} of {runs:,} runs")
        ordered = dict(sorted(kinds.items(), key=lambda item: _rank(item[0])))
        if self.options.json:
            self._json(ordered, done, events, seconds)
        else:
            self._print_many(ordered, done, seconds)
        status = _status({kind for kind, _ in ordered})
        return UNFINISHED if interrupted and status == 0 else status

    def _json(
        self, kinds: dict[tuple[str, str | None], _Kind], done: int, events: int, seconds: float
    ) -> None:
        if kinds:
            worst = min(kinds.values(), key=lambda kind: _gravity(kind.verdict.kind))
            first = run_object(worst.verdict, worst.trace, events, seconds)
        else:
            none = Verdict("unfinished", None, INTERRUPTED)
            first = run_object(none, None, 0, seconds)
        rows = [(*key, kind.count, kind.trace) for key, kind in kinds.items()]
        self.out.json(runs_object(first, done, rows))

    def _print_many(
        self, kinds: dict[tuple[str, str | None], _Kind], done: int, seconds: float
    ) -> None:
        times = "1 run" if done == 1 else f"{done:,} runs"
        rate = f", {done / seconds:,.0f} a second" if done > 1 and seconds > 0 else ""
        self.out.line(f"{times} of {self._what()} in {_duration(seconds)}{rate}")
        if not kinds:
            return
        self.out.line()
        names = {key: outcome_name(*key) for key in kinds}
        width = max(len("outcome"), *(len(name) for name in names.values()))
        counts = max(len("runs"), len(f"{max(kind.count for kind in kinds.values()):,}"))
        self.out.lines(_tally(kinds, names, width, counts, done))
        for key, kind in kinds.items():
            if key[0] == "passed":
                continue
            self.out.line()
            self._verdict(kind.verdict, f"the first of {kind.count:,}" if kind.count > 1 else "")
            if kind.trace is not None:
                self.out.line(f"  {replay_line(kind.trace, self.options.allow_call)}")


def run_object(verdict: Verdict, trace: str | None, events: int, seconds: float) -> dict[str, Any]:
    """``{"verdict", "trace", "events", "seconds"}``: path or None; seconds of real time."""
    return {
        "verdict": verdict.to_data(), "trace": trace, "events": events,
        "seconds": round(seconds, 6),
    }  # fmt: skip


def runs_object(
    first: dict[str, Any], runs: int, outcomes: Sequence[tuple[str, str | None, int, str | None]]
) -> dict[str, Any]:
    """The same for the run that tells most, and all outcomes: kind, failure, count, trace."""
    keys = ("kind", "failure", "count", "trace")
    return {
        **first, "runs": runs,
        "outcomes": [dict(zip(keys, outcome, strict=True)) for outcome in outcomes],
    }  # fmt: skip


def _tally(
    kinds: dict[tuple[str, str | None], _Kind],
    names: dict[tuple[str, str | None], str],
    width: int,
    counts: int,
    done: int,
) -> Any:
    from rich.text import Text

    from tracelock.report.terminal import COLOURS

    yield Text(f"  {'outcome'.ljust(width)}  {'runs'.rjust(counts)}    share  first trace", "dim")
    for key, kind in kinds.items():
        line = Text("  ")
        line.append(names[key].ljust(width), COLOURS.get(key[0], ""))
        line.append(f"  {kind.count:>{counts},}  {100 * kind.count / done:5.1f} %")
        if kind.trace is not None:
            line.append(f"  {clean(kind.trace)}")
        yield line


def _status(kinds: set[str]) -> int:
    if kinds & set(FAILED):
        return 1
    return UNFINISHED if "unfinished" in kinds else 0


def _rank(key: tuple[str, str | None]) -> tuple[int, str]:
    kind, failure = key
    return (KINDS.index(kind), failure or "")


def _gravity(kind: str) -> int:
    """Failures first, then what is unfinished, then what passed."""
    return 0 if kind in FAILED else 1 if kind == "unfinished" else 2


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 0.1 else f"{seconds:.2f} s"
