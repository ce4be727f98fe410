"""``tracelock explore``: search the schedules for one that goes wrong."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tracelock import __version__
from tracelock.cli.keeping import Keeper, keeper_for, replay_line, token_line
from tracelock.cli.output import Output
from tracelock.cli.progress import search_progress
from tracelock.cli.run import find_modules, limits_of
from tracelock.cli.show import say, steps, told
from tracelock.errors import UsageError
from tracelock.explore.running import Executed
from tracelock.names import display_names, for_display
from tracelock.report.ci import BuildResult, ci_text
from tracelock.report.code import place_of
from tracelock.report.plumbing import of_the_loop
from tracelock.report.wording import clean, outcome_name
from tracelock.scenario.loading import load_scenario
from tracelock.session.explored import Explored, confirmations, preemptive
from tracelock.session.exploring import Exploration
from tracelock.session.plan import SECONDS, Plan, Prefix, Spreading
from tracelock.session.target import Capability, Target, require
from tracelock.session.targets import python_of, target_for
from tracelock.trace import Trace, load_trace
from tracelock.trace.token import token_of
from tracelock.trace.verdict import FAILED

if TYPE_CHECKING:
    from tracelock.explore.shrink.twin import NoTwin, Twin

_FRAME: Final = re.compile(r"^\s+(\S+\.py):([0-9]+) in ", re.M)
STATUS: Final = {"passed": 0, "verified": 0, "failed": 1, "unfinished": 5}


def plan_of(options: argparse.Namespace, target: Target) -> Plan:
    """The plan that the options describe."""
    seconds = options.seconds
    if seconds is None and options.schedules is None:
        seconds = SECONDS
    return Plan(
        options.backend or "", options.strategy, options.seed, options.clock or "virtual",
        options.start_method, options.allow_call,
        limits_of(target.search_limits, options.max_steps), options.engine or "",
        schedules=options.schedules, seconds=seconds, every=options.all,
        shrink=not options.no_shrink, confirm=0 if options.no_confirm else 3,
        depth=options.depth, spreading=spreading_of(options), isolation=options.isolation,
        interpreter=options.interpreter,
    )  # fmt: skip


def spreading_of(options: argparse.Namespace) -> Spreading:
    """How the options spread the search, keep it, or begin it at a prefix."""
    prefix = None
    if options.prefix is not None:
        path, events = parse_prefix(options.prefix)
        prefix = Prefix(load_trace(path), events, path)
    return Spreading(options.jobs, options.dask, checkpoint=options.checkpoint, prefix=prefix)


def explore_command(options: argparse.Namespace, out: Output) -> int:
    """Search as ``options`` say, keep the failing trace, and print what is known."""
    scenario = load_scenario(options.scenario)
    first = [load_trace(path) for path in options.first or ()]
    find_modules(options)
    target = target_for(scenario, allow_call=options.allow_call)
    given = (
        options.cancellations, options.cancellable, options.instrument, options.faults,
        options.fault_kinds, options.crash_consistency or None,
    )  # fmt: skip
    if options.gc or any(one is not None for one in given):
        require(target, Capability.INJECTIONS)
        from tracelock.session.code import PythonCode

        code = PythonCode(
            instrument=options.instrument, cancellations=options.cancellations,
            gc=options.gc or None, cancellable=options.cancellable, faults=options.faults,
            network=None if options.fault_kinds is None else {"kinds": options.fault_kinds},
            crash_consistency=options.crash_consistency or None,
        )  # fmt: skip
        target = target_for(scenario, code, allow_call=options.allow_call)
    if options.forecast:
        return forecast_command(options, target, first, out)
    exploration = Exploration(target, plan_of(options, target))
    plan = exploration.plan
    keeper = keeper_for(options, scenario, plan.backend)
    with exploration:
        with search_progress(out, plan) as progress:
            explored = exploration.run(first, progress)
        paths = keep(explored, keeper, options.all)
        if options.output_format is not None:
            out.text(built(options, explored, paths, target))
        elif options.json:
            out.json(explored_object(explored, paths))
        else:
            show(explored, paths, exploration, out, plumbing=options.all_events)
    return STATUS[explored.verdict]


def forecast_command(
    options: argparse.Namespace, target: Target, first: Sequence[Trace], out: Output
) -> int:
    """Say what passes here and fails without the GIL; 1 where there is something."""
    from tracelock.session.interpreters.forecasting import forecast_target

    require(target, Capability.INTERPRETER)
    plan = plan_of(options, target).completed(target)
    keeper = keeper_for(options, load_scenario(options.scenario), plan.backend)
    with search_progress(out, plan) as progress:
        explored = forecast_target(target, replace(plan, interpreter=""), first, progress)
    paths = keep(explored, keeper, options.all)
    found = explored.forecast or []
    if keeper is not None:
        paths.update((number, keeper.keep(one.trace)) for number, one in enumerate(found))
    if options.json:
        data = explored_object(explored, paths)
        data["forecast"] = [
            {
                "kind": one.kind, "message": one.message, "needs": one.needs,
                "confirmed": one.confirmed, "trace": paths.get(number),
            }
            for number, one in enumerate(found)
        ]  # fmt: skip
        out.json(data)
    else:
        show_forecast(explored, paths, out)
    return 1 if found else STATUS[explored.verdict]


def show_forecast(explored: Explored, paths: dict[int, str], out: Output) -> None:
    """Each way to fail without the GIL: its steps, and the switch that it takes."""
    for number, one in enumerate(explored.forecast or ()):
        out.line(f"{number + 1}. {clean(one.message.partition(chr(10))[0]) or one.kind}")
        out.lines(steps(one.trace, out, sources=True))
        out.line(f"  {one.needs}")
        out.lines(confirmations(one.confirmed))
        if number in paths:
            out.line(f"  trace: {clean(paths[number])}")
        out.line()
    out.line(clean(explored.summary))
    out.lines(f"  note: {clean(note)}" for note in explored.notes)


def keep(explored: Explored, keeper: Keeper | None, every: bool) -> dict[int, str]:
    """Save the minimal failing trace (under -1), and with ``every`` one of each failure."""
    paths: dict[int, str] = {}
    if keeper is None:
        return paths
    if explored.trace is not None:
        paths[-1] = keeper.keep(explored.trace)
    if every:
        for number, way in enumerate(explored.ways):
            if way.kind in FAILED:
                paths[number] = keeper.keep(way.trace())
    return paths


def explored_object(explored: Explored, paths: dict[int, str]) -> dict[str, Any]:
    """The JSON object of ``explore``."""
    return {
        "verdict": explored.verdict,
        "strategy": explored.strategy,
        "schedules": explored.schedules,
        "redundant": explored.redundant,
        "states": explored.states,
        "seconds": round(explored.seconds, 6),
        "outcomes": [
            {
                "kind": way.kind, "failure": way.failure, "message": way.message,
                "count": way.count,
                "trace": paths.get(number), "state": way.state,
            }
            for number, way in enumerate(explored.ways)
        ],
        "trace": paths.get(-1),
        "token": (explored.trace is not None and token_of(explored.trace)) or None,
        "switches": explored.switches,
        "interpreter": explored.interpreter or "any",
        "needs": explored.needs or None,
        "minimum": explored.minimum or None,
        "confirmed": explored.confirmed,
        "summary": explored.summary,
        "estimate": None if explored.estimate is None else explored.estimate.to_data(),
        "notes": explored.notes,
        "account": None if explored.account is None else explored.account.to_data(),
    }  # fmt: skip


def show(
    explored: Explored, paths: dict[int, str], exploration: Exploration, out: Output, *,
    plumbing: bool = False,
) -> None:  # fmt: skip
    """Print what was found, the interleaving first."""
    from tracelock.report.terminal import verdict_block

    trace = explored.trace
    if trace is not None:
        out.lines(told(trace, out, plumbing=plumbing))
        out.line()
        places = exploration.target.places(trace.verdict)
        about = f"{len(trace.events):,} events, {preemptive(explored.switches)}"
        seen = for_display(trace)
        out.lines(verdict_block(seen.verdict, seen.workers, about, places))
        out.lines(confirmations(explored.confirmed))
        if explored.needs and explored.needs not in explored.summary:
            say(f"  {explored.needs}", out)
        if explored.twin is not None:
            show_twin(explored.twin, trace, exploration.trace_of, out, every=plumbing)
        out.line()
    code = trace is not None and python_of(trace) is not None
    for text in (clean(explored.summary), *(f"  note: {clean(one)}" for one in explored.notes)):
        if code:
            say(text, out)
        else:
            out.line(text)
    speed = explored.schedules / explored.seconds if explored.seconds else 0.0
    cut = f", {explored.redundant:,} redundant" if explored.redundant else ""
    out.line(
        f"  {clean(explored.strategy)}: {explored.schedules:,} schedules{cut} in "
        f"{explored.seconds:.2f} s ({speed:,.0f} a second)"
    )
    if explored.estimate is not None:
        out.line(f"  estimate: {explored.estimate.line}")
    if len(explored.ways) > 1 and exploration.plan.every:
        _tally(explored, paths, out)
    if -1 in paths:
        out.line(f"\ntrace: {clean(paths[-1])}")
        out.line(replay_line(paths[-1], exploration.plan.allow_call))
    if trace is not None:
        out.lines(token_line(trace))


def show_twin(
    twin: Twin | NoTwin, trace: Trace, trace_of: Callable[[Executed], Trace], out: Output, *,
    every: bool = False,
) -> None:  # fmt: skip
    """The passing schedule nearest to ``trace``, and the one switch that makes the difference; of
    Python code only with ``every`` with all of its steps."""
    from tracelock.explore.shrink.twin import Twin

    if isinstance(twin, Twin):
        passing = trace_of(twin.passing)
        names = display_names(trace, passing)
        if not of_the_loop(twin.explanation):
            say(f"  {clean(names.text(twin.explanation))}", out)
        if python_of(trace) is not None and not every:
            return
        out.line()
        out.line(f"its passing twin, the same up to event {twin.switch}:")
        out.lines(steps(names.of(passing), out))
    elif twin.proved:
        out.line("  No schedule passes: it is not the order of the steps that is wrong.")


def _tally(explored: Explored, paths: dict[int, str], out: Output) -> None:
    out.line("\n  outcomes:")
    for number, way in enumerate(explored.ways):
        state = ", ".join(f"{name} = {value}" for name, value in way.state.items())
        where = f"  {clean(paths[number])}" if number in paths else ""
        name = outcome_name(way.kind, way.failure)
        out.line(f"  {way.count:>8,}  {name:18} {clean(state)}{where}")


def parse_prefix(text: str) -> tuple[str, int]:
    """``TRACE:K`` as a path and a number of events. Raises UsageError."""
    path, _, number = text.rpartition(":")
    if not path or not number.isdecimal():
        raise UsageError(f"--prefix takes TRACE:K, a trace and a number of events, not {text!r}")
    return path, int(number)


# --- for build servers ---------------------------------------------------------------------------
def built(
    options: argparse.Namespace, explored: Explored, paths: dict[int, str], target: Target
) -> str:
    """The result of an exploration in the form for build servers that ``--output-format`` names:
    the smallest failing schedule, and with ``--all`` one of each other way to fail."""
    name, allow_call, results = clean(target.name), options.allow_call, []
    if explored.trace is not None:
        results.append(_failed(name, explored.trace, explored, paths.get(-1), target, allow_call))
    for number, way in enumerate(explored.ways):
        if number in paths and way.kind in FAILED:
            results.append(_failed(name, way.trace(), explored, paths[number], target, allow_call))
    if not results:
        kind = "unfinished" if explored.verdict == "unfinished" else "passed"
        notes = "\n".join(explored.notes)
        file, seconds = options.scenario, explored.seconds
        results = [BuildResult(name, kind, explored.summary, file, 0, notes, seconds)]
    return ci_text(results, options.output_format, __version__)


def _failed(
    name: str, trace: Trace, explored: Explored, path: str | None, target: Target, allow_call: bool
) -> BuildResult:
    verdict = trace.verdict
    at = verdict.at or next((one.at for one in verdict.blocked), "")
    place = place_of(target.places(verdict).get(at, at))
    if place is None:  # of real code the last frame of an exception
        frames = _FRAME.findall(verdict.message)
        place = (frames[-1][0], int(frames[-1][1])) if frames else ("", 0)
    lines = [] if path is None else [replay_line(path, allow_call)]
    lines += [*token_line(trace), explored.summary]
    return BuildResult(
        name, verdict.kind, verdict.message, *place, "\n".join(lines), explored.seconds
    )  # fmt: skip
