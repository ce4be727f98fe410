"""What a page of the tour shows, run when it is asked for: code, verdicts, reasons, a run.

Each search has a budget of time (``_SEARCH``), and what did not fit in is said; so does the search
for a run to show. Nothing waits without bound: schedules have the limits of any exploration.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Final

from rich.text import Text

from tracelock.cli.learning.chapter import CONCEPTS, Concept
from tracelock.cli.learning.shipped import MARK, file_of
from tracelock.compare.why import why
from tracelock.engine.limits import RunLimits
from tracelock.errors import TracelockError, UnsupportedError
from tracelock.report.terminal import COLOURS, Style, verdict_block
from tracelock.report.timeline import Timeline, timeline
from tracelock.scenario.documents.reading import read_text
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.loading import load_scenario_text
from tracelock.session import check_supported, explore, replay, run
from tracelock.session.explored import Explored
from tracelock.session.exporting import export
from tracelock.session.story import steps
from tracelock.trace import Trace

#: Backends as a reader says them, in the order of the columns.
BACKENDS: Final = {
    "threading": "threads", "multiprocessing": "processes", "asyncio": "asyncio", "trio": "trio",
}  # fmt: skip
#: Seconds for all searches of a page together, and for the choice of a run that passes: of so many
#: runs on each of these backends, in this order.
_SEARCH: Final = 1.0
_CHOICE: Final = 0.15
_SEEDS: Final = 12
_CHEAP: Final = ("threading", "trio", "asyncio", "multiprocessing")
#: Seconds, and events, that a schedule may take; rows of a run that are shown.
_LIMITS: Final = RunLimits(steps=2_000, seconds=5.0, stall=5.0)
_ROWS: Final = 24
#: Columns that a backend takes in the table of verdicts.
_COLUMN: Final = 11


@dataclass(slots=True)
class OnBackends:
    """A scenario on all backends. ``found``: what a search came to; ``refused``: why there was
    none, by backend."""

    name: str
    scenario: Scenario
    found: dict[str, Explored] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def failing(self) -> dict[str, Trace]:
        """The smallest failing trace of each backend that has one."""
        return {
            backend: one.trace
            for backend, one in self.found.items()
            if one.failed and one.trace is not None
        }


def page(concept: Concept, style: Style) -> Iterator[Text]:
    """All lines of a page, in the order in which they come to be known."""
    number = CONCEPTS.index(concept) + 1
    title = f"{number}/{len(CONCEPTS)}  {concept.title}"
    yield from wrapped(title, style.width, style="bold")
    yield Text(style.line * min(style.width, max(len(title), 20)), "dim")
    for paragraph in concept.text:
        yield from wrapped(paragraph, style.width)
        yield Text()
    scenarios = {name: _loaded(name, concept) for name in concept.scenarios}
    for name, scenario in scenarios.items():
        yield from _code(name, scenario, style.width)
    budget = _SEARCH / (len(scenarios) * len(BACKENDS))
    tried = [_tried(name, scenario, budget) for name, scenario in scenarios.items()]
    yield from verdicts(tried, style)
    for one in tried:
        if one.name in concept.runs:
            yield from _run(one, style)
    yield Text("Go on with", "bold")
    for line in concept.go_on:
        yield Text(f"  {line}", "green")


def _loaded(name: str, concept: Concept) -> Scenario:
    path = str(file_of(name))
    text = read_text(path)
    for long, short in concept.fewer:
        text = text.replace(long, short)
    return load_scenario_text(text, path)


# --- the code ----------------------------------------------------------------------------------
def _code(name: str, scenario: Scenario, width: int) -> Iterator[Text]:
    backend = next(one for one in BACKENDS if _refused(scenario, one) is None)
    yield from wrapped(f"{MARK}{name} on {BACKENDS[backend]}, as Python", width, style="bold")
    for line in workers_of(export(scenario, backend), set(scenario.workers)):
        yield Text(f"    {line}".rstrip(), "cyan")
    yield Text()


def workers_of(program: str, names: set[str]) -> Iterator[str]:
    """The lines of the workers' functions of an exported program, without their decorators."""
    lines = program.splitlines()
    first = True
    for node in ast.parse(program).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in names:
            if not first:
                yield ""
            first = False
            yield from lines[node.lineno - 1 : node.end_lineno]


# --- what can happen ---------------------------------------------------------------------------
def _refused(scenario: Scenario, backend: str) -> str | None:
    try:
        check_supported(scenario, backend)
    except UnsupportedError as error:
        return error.problems[0].message.partition(" (can be run on")[0]
    return None


def _tried(name: str, scenario: Scenario, seconds: float) -> OnBackends:
    one = OnBackends(name, scenario)
    for backend in BACKENDS:
        if (refused := _refused(scenario, backend)) is not None:
            one.refused[backend] = refused
            continue
        try:
            one.found[backend] = explore(
                scenario, backend=backend, seconds=seconds, confirm=1, limits=_LIMITS
            )
        except TracelockError as error:  # the backend is not installed
            one.refused[backend] = str(error)
    return one


def verdicts(tried: list[OnBackends], style: Style) -> Iterator[Text]:
    """What can happen on each backend: a table, or lists where there is no room for one."""
    yield Text("What can happen", "bold")
    first = max(len(one.name) for one in tried) + 3
    if first + _COLUMN * len(BACKENDS) <= style.width:
        heads = "".join(f"  {label:<{_COLUMN - 2}}" for label in BACKENDS.values())
        yield Text(f"  {'':{first - 2}}{heads}".rstrip(), "dim")
        for one in tried:
            line = Text(f"  {MARK + one.name:{first - 2}}")
            for backend in BACKENDS:
                word, colour = _word(one, backend)
                line.append("  ")
                line.append(f"{word:<{_COLUMN - 2}}", colour)
            line.rstrip()
            yield line
    else:
        for one in tried:
            yield Text(f"  {MARK}{one.name}")
            said = [f"{label} {_word(one, backend)[0]}" for backend, label in BACKENDS.items()]
            yield from wrapped(", ".join(said), style.width, 4)
    notes = []
    if any(not found.exhaustive and not found.failed for one in tried
           for found in one.found.values()):  # fmt: skip
        notes.append("(passes): none of the schedules tried fails; there was no time for all")
    for backend in BACKENDS:
        reasons = {one.refused[backend] for one in tried if backend in one.refused}
        notes += [f"-: {reason}" for reason in sorted(reasons)]
    for note in dict.fromkeys(notes):
        yield from wrapped(note, style.width, 2)
    for one in tried:
        if reason := _why(one):
            yield from wrapped(reason, style.width, 2)
    yield Text()


def _word(one: OnBackends, backend: str) -> tuple[str, str]:
    """How it can end, in a word, and the colour of that."""
    found = one.found.get(backend)
    if found is None:
        return "-", "dim"
    if found.failed and found.trace is not None:
        kind = found.trace.verdict.kind
        return {"failed": "fails"}.get(kind, kind), COLOURS.get(kind, "")
    if found.exhaustive:
        return "passes", COLOURS["passed"]
    return ("(passes)", "green") if found.schedules else ("?", "")


def _why(one: OnBackends) -> str | None:
    """Why it can go wrong on one backend and not on another, from the rules of both."""
    for backend, trace in one.failing.items():
        others = {}
        for other, found in one.found.items():
            if found.exhaustive:
                try:
                    others[other] = replay(trace, backend=other, limits=_LIMITS).diverged
                except TracelockError:
                    others[other] = None
        return why(trace, backend, others) if others else None
    return None


# --- a run -------------------------------------------------------------------------------------
def _run(one: OnBackends, style: Style) -> Iterator[Text]:
    failing = one.failing
    if failing:
        backend, trace = next(iter(failing.items()))
        about = "the smallest run that goes wrong"
    else:
        chosen = _telling(one.scenario, one.found)
        if chosen is None:
            return
        backend, trace = chosen
        about = "a run that passes"
    label = BACKENDS[backend]
    yield from wrapped(f"{MARK}{one.name} on {label}: {about}", style.width, style="bold")
    select = [range(min(len(trace.events), _ROWS))]
    yield from steps(trace, style, select)
    if len(trace.events) > _ROWS:
        yield Text(f"({len(trace.events) - _ROWS} more events)", "dim")
    yield Text()
    for line in verdict_block(trace.verdict, trace.workers):
        text = line.plain.lstrip()
        colour = str(line.spans[0].style) if line.spans else ""
        yield from wrapped(text, style.width, len(line.plain) - len(text), colour)
    yield Text()


def _telling(scenario: Scenario, backends: Iterable[str]) -> tuple[str, Trace] | None:
    """Of some runs with other seeds that which shows most, and its backend: somebody was turned
    away or gave up, then somebody waited, then the most switches; of these the shortest.

    Threads do not say that they wait for a lock, tasks queue for it: other backends than the first
    are looked at where nobody is seen to wait on that one."""
    best: tuple[tuple[bool, bool, int, int], str, Trace] | None = None
    for backend in sorted(backends, key=_CHEAP.index):
        end = monotonic() + _CHOICE
        for seed in range(_SEEDS):
            trace = run(scenario, backend=backend, strategy="random", seed=seed, limits=_LIMITS)
            line = timeline(trace)
            refused = any(event.result is False for event in trace.events)
            short = len(line.rows) <= _ROWS
            rank = (refused, short and _waits(line), line.switches if short else 0, -len(line.rows))
            if best is None or rank > best[0]:
                best = rank, backend, trace
            if monotonic() > end:
                break
        if best is not None and (best[0][0] or best[0][1]):
            break
    return None if best is None else best[1:]


def _waits(line: Timeline) -> bool:
    """Whether it is seen that somebody has to wait for somebody else."""
    return any(
        (row.switch is not None and row.switch.kind == "blocked")
        or (row.event.op == "request" and row.event.result is not True)
        for row in line.rows
    )


def wrapped(text: str, width: int, indent: int = 0, style: str = "") -> Iterator[Text]:
    """A paragraph as lines of at most ``width`` columns."""
    from textwrap import wrap

    for line in wrap(text, max(20, width - indent), break_on_hyphens=False):
        yield Text(" " * indent + line, style)
