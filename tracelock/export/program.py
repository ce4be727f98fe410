"""Whole programs: a scenario, or a scenario forced through a trace, as plain Python."""

from __future__ import annotations

import ast
import copy
import re
import textwrap
from dataclasses import dataclass
from typing import Any, Final

from tracelock.errors import TraceError
from tracelock.export import mains
from tracelock.export.body import Body
from tracelock.export.constructors import constructor
from tracelock.export.context import ExportContext
from tracelock.export.ending import EVENT, Ending
from tracelock.export.kinds import BOOL, FLOAT, INT, Kinds, kinds_of
from tracelock.export.naming import Naming
from tracelock.export.points import Points, points_of
from tracelock.export.tasks import AsyncioBody, TrioBody
from tracelock.export.threads import ProcessBody, ThreadBody
from tracelock.export.writing import WIDTH, Lines, docstring
from tracelock.scenario.compile.layout import build_layout
from tracelock.scenario.language import verbs
from tracelock.scenario.language.expressions import parse
from tracelock.scenario.language.models import ObjectDecl, Scenario
from tracelock.scenario.language.usage import base_name, guarded_names, steps_in, steps_of
from tracelock.scenario.language.verbs import VERBS
from tracelock.trace import Trace

BODIES: Final[dict[str, type[Body]]] = {
    body.backend: body for body in (ThreadBody, ProcessBody, AsyncioBody, TrioBody)
}
#: backend -> verb -> how it is written; a verb that every backend can do and that has no method
#: raises.
WRITERS: Final = {
    backend: {
        verb: getattr(body, f"on_{verb}")
        for verb, row in VERBS.items()
        if not row.feature or hasattr(body, f"on_{verb}")
    }
    for backend, body in BODIES.items()
}
for _backend, _body in BODIES.items():
    _body.writers = WRITERS[_backend]
#: kinds of values -> what of shared memory holds all of them as they are.
_TYPECODES: Final[dict[Kinds, str]] = {
    frozenset({INT}): '"q"', frozenset({FLOAT}): '"d"', frozenset({BOOL}): "ctypes.c_bool",
}  # fmt: skip
#: Seconds after which a program that still waits counts as deadlocked, beyond its own sleeps.
PATIENCE: Final = 10.0
FORCED_PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class PlainProgram:
    """A program. ``variables``, ``objects``, ``workers``: name in the scenario -> in the program;
    ``cells``: variables whose value is their ``.value`` (shared memory)."""

    source: str
    variables: dict[str, str]
    objects: dict[str, str]
    workers: dict[str, str]
    cells: frozenset[str]


def plain_program(
    scenario: Scenario,
    backend: str,
    trace: Trace | None = None,
    *,
    origin: str | None = None,
    pytest: bool = False,
    marked: bool = False,
) -> PlainProgram:
    """A scenario as a program for ``backend``; with a trace, forced through its events.

    ``origin``: the command line that made it, for the docstring. ``pytest``: the program is a test
    module. ``marked``: each line of a worker ends with a comment that names its step. The scenario
    must be one that the backend can do.
    """
    writer = _ProgramWriter(scenario, backend, trace, origin, pytest)
    writer.context.marked = marked
    return writer.build()


class _ProgramWriter:
    def __init__(
        self, scenario: Scenario, backend: str, trace: Trace | None, origin: str | None, test: bool
    ) -> None:
        self.scenario = scenario
        self.backend = backend
        self.trace = trace
        self.origin = origin
        self.body = BODIES[backend]
        self.tasks = backend in ("asyncio", "trio")
        layout = build_layout(scenario)
        naming = Naming()
        kinds = kinds_of(scenario)
        cells = set()
        if backend == "multiprocessing":
            cells = {n for n, value in scenario.shared.items() if not isinstance(value, list)}
        points: Points | None = None
        always = None
        if trace is not None:
            points = points_of(trace)
            failure = trace.verdict.failure
            if failure == "always":
                expr = _broken_condition(scenario, trace)
                always = expr if isinstance(expr, str) else repr(expr)
        self.context = ExportContext(
            scenario, layout, naming, naming.all(scenario.shared), naming.all(scenario.objects),
            naming.all(scenario.workers), cells, kinds, points,
            [worker.name for worker in layout.workers], test, always,
        )  # fmt: skip
        self._guard()

    def _guard(self) -> None:
        """Find the variables whose plain accesses must not fall into another worker's step."""
        if self.body.guard is None:
            return
        self.context.guarded = guarded_names(self.scenario)
        for _, step in steps_of(self.scenario):
            if isinstance(step, verbs.Atomic):
                inside = [inner for _, inner in steps_in(step.atomic)]
                writes = [base_name(s.write) for s in inside if isinstance(s, verbs.Write)]
                if len(writes) > 1:
                    self.context.watched |= set(writes)

    # --- the parts ---------------------------------------------------------------------------
    def build(self) -> PlainProgram:
        context = self.context
        functions = [self._function(group) for group in self.scenario.workers]
        lines = Lines()
        lines.put(*self._docstring())
        body = Lines()
        self._declarations(body)
        for function in functions:
            body.put("", "", *function)
        ending = Ending(self.backend, self.trace, context).text()
        text = "\n".join([*body.text, ending])
        imports = self._imports(text)
        lines.put("", *imports, "", *body.text)
        source = "\n".join(lines.text) + "\n" + ending
        source = re.sub(r"\n{4,}", "\n\n\n", source).rstrip() + "\n"
        return PlainProgram(
            source, context.variables, context.objects, context.workers, frozenset(context.cells)
        )

    def _docstring(self) -> list[str]:
        scenario = self.scenario
        about = " ".join(scenario.description.split())
        title = " ".join(scenario.name.split()) + "."
        paragraphs = [title]
        if about:
            paragraphs += ["", *textwrap.wrap(about, WIDTH - 1)]
        if self.trace is not None:
            verdict = self.trace.verdict
            kind = verdict.kind if verdict.failure is None else f"failed ({verdict.failure})"
            told = f"Forced through one interleaving by events at the switches. It ends: {kind}"
            told += f", {verdict.message}." if verdict.message else "."
            paragraphs += ["", *textwrap.wrap(told, WIDTH - 1)]
        if self.context.calls:
            named = ", ".join(dict.fromkeys(self.context.calls))
            told = f"It runs Python code that the scenario names; read that first: {named}"
            paragraphs += ["", *textwrap.wrap(told, WIDTH - 1)]
        if self.origin:
            paragraphs += ["", *textwrap.wrap(f"Written by: {self.origin}", WIDTH - 1)]
        return docstring(paragraphs)

    def _function(self, group: str) -> list[str]:
        naming = copy.deepcopy(self.context.naming)  # names of locals are free again elsewhere
        naming.used.discard("index")
        body: Body = self.body(self.context, group, naming)
        index = "index" if body.decl.count > 1 else ""
        word = "async def" if self.tasks else "def"
        return body.function(f"{word} {self.context.workers[group]}({index}):")

    def _imports(self, text: str) -> list[str]:
        modules = {
            name
            for name in (
                "anyio", "asyncio", "ctypes", "faulthandler", "linecache", "math",
                "multiprocessing", "os", "queue",
                "signal", "sys", "threading", "time", "traceback", "trio", "pytest",
            )
            if re.search(rf"(?<![\w.]){name}\.", text)
        }  # fmt: skip
        modules |= {need[7:] for need in self.context.needs if need.startswith("import ")}
        others = modules & {"anyio", "trio", "pytest"}
        lines = [f"import {name}" for name in sorted(modules - others)]
        if others:
            lines += ["", *[f"import {name}" for name in sorted(others)]]
        return lines

    def _declarations(self, lines: Lines) -> None:
        context = self.context
        bound = FORCED_PATIENCE if self.trace is not None else PATIENCE
        sleeps = sum(_seconds(step) for _, step in steps_of(self.scenario))
        rounds = sum(
            step.repeat * self.scenario.workers[at.split(".")[1]].count
            for at, step in steps_of(self.scenario)
            if isinstance(step, verbs.Repeat) and isinstance(step.repeat, int)
        )
        bound += rounds // 20_000
        if context.lenient and context.points is not None:
            bound += context.points.turns
        bound = min(bound + sleeps, 3600.0)
        lines.put(f"PATIENCE = {bound:g}  # seconds; who still waits then waits for ever")
        if self.backend == "multiprocessing":
            lines.put('ctx = multiprocessing.get_context("fork")')
        relocks = context.points is not None and context.points.relocks
        if relocks:
            lines.put(*mains.HELD[self.backend].rstrip("\n").split("\n"), "")
        lines.put("")
        for name, value in self.scenario.shared.items():
            lines.put(f"{context.variables[name]} = {self._variable(name, value)}")
        for name, decl in sorted(
            self.scenario.objects.items(), key=lambda item: item[1].type == "condition"
        ):
            self._object(lines, name, decl)
        if context.points is not None and context.points.turns > 0:
            event = constructor(self.backend, EVENT, None)
            lines.put(
                "",
                f"turn = [{event} for _ in range({context.points.turns})]"
                "  # turn[k]: the k-th switch may happen",
            )
            if context.lenient:
                lines.put("", "", *mains.TAKE[self.backend].rstrip("\n").split("\n"))
        if "atomic" in context.needs:
            kind = "threading" if self.backend == "threading" else "ctx"
            lines.put(f"atomic = {kind}.Lock()  # around what is one indivisible step")

    def _variable(self, name: str, value: Any) -> str:
        if self.backend != "multiprocessing":
            return repr(value)
        code = _TYPECODES.get(self.context.kinds[name])
        array = isinstance(value, list)
        if code is None:  # it may hold anything: a manager's process keeps it
            source = f"list({value!r})" if array else f'Value("any", {value!r})'
            return f"multiprocessing.Manager().{source}"
        if array:
            return f"ctx.RawArray({code}, {value!r})"
        return f"ctx.RawValue({code}, {value!r})"

    def _constructor(self, decl: ObjectDecl, lock: str | None) -> str:
        source = constructor(self.backend, decl, lock)
        if self.context.points is None or not self.context.points.relocks:
            return source
        if decl.type == "condition":
            return f"Condition({lock or ''})"
        # the locks of trio go with conditions of its own only
        return "anyio.Lock()" if source == "trio.Lock()" else source

    def _object(self, lines: Lines, name: str, decl: ObjectDecl) -> None:
        lock, place = None if decl.lock is None else self.context.objects[decl.lock], "_"
        if decl.lock is not None and decl.count is not None:
            place = "place"
            if self.scenario.objects[decl.lock].count is not None:
                lock = f"{lock}[place]"
        source = self._constructor(decl, lock)
        if decl.count is not None:
            source = f"[{source} for {place} in range({decl.count})]"
        lines.put(f"{self.context.objects[name]} = {source}")


def _broken_condition(scenario: Scenario, trace: Trace) -> Any:
    """The condition of ``always`` that the trace ends with breaking."""
    at = trace.verdict.at or "always[0]"
    found = re.fullmatch(r"always\[([0-9]{1,9})\]", at)
    number = int(found[1]) if found is not None else len(scenario.always)
    if number >= len(scenario.always):
        raise TraceError(f"verdict: the scenario has no condition {at}")
    return scenario.always[number]


def _seconds(step: Any) -> float:
    """How long a step may take by the clock, as far as that can be read off it."""
    total = 0.0
    for key in ("sleep", "timeout"):
        value = getattr(step, key, None)
        if isinstance(value, str):
            numbers = [
                abs(float(node.value))
                for node in ast.walk(parse(value))
                if isinstance(node, ast.Constant) and isinstance(node.value, int | float)
            ]
            total += sum(numbers)
        elif isinstance(value, int | float):
            total += float(value)
    return total
