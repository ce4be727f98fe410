"""What the running interpreter's GIL makes of a scenario on threads.

The rules of ``threading`` let another worker in before every visible step: what Python promises,
and what a build without the GIL does. The plain program of the same scenario, on CPython with its
GIL, is interrupted only where its bytecode lets others in. Steps between which it does not are put
into one ``atomic`` step, and that scenario is searched.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tracelock.compare.outcomes import OutcomeTable
from tracelock.errors import TracelockError
from tracelock.export.program import plain_program
from tracelock.interpreter.child import this_interpreter
from tracelock.interpreter.expressions import Span, span_of
from tracelock.interpreter.instructions import Access
from tracelock.interpreter.switches import CodeFlow, SwitchClass
from tracelock.interpreter.tables import TABLES
from tracelock.scenario.loading import scenario_from_data

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario
    from tracelock.trace import Trace

#: Outcome, by its key in the table -> whether it can happen; "": one that was not found.
Searched = dict[str, str]
#: Steps that an ``atomic`` step may hold.
_SIMPLE: Final = ("read", "write", "let", "assert", "if")
_BLOCKS: Final = ("do", "then", "else", "try", "finally", "timeout")
_MARK: Final = re.compile(r"  # (workers\.\S+)$")


def told(name: str, can: str) -> str:
    """In a sentence, what the GIL of an interpreter makes of a failure on threads."""
    version = name.partition("-")[2]
    gil = f"CPython {version} with its GIL"
    return {
        "possible": f"{gil} ends so too: it makes the switches of the schedule that was found.",
        "impossible": f"{gil} never ends so: it makes no switch where this needs one. "
        "Builds without the GIL do.",
        "not found": f"Whether {gil} can end so was not decided: not every schedule was tried.",
        "cannot tell": f"Whether {gil} can end so cannot be told: the schedule that was found "
        "needs a switch that it may never make.",
    }[can]


class UnderGil:
    """A scenario on threads of the running interpreter.

    ``name``: of the interpreter. ``merged``: the scenario with steps put into one where nobody can
    come between them; None where that cannot be told: no table, no GIL, code that is called.
    """

    def __init__(self, scenario: Scenario) -> None:
        here = this_interpreter()
        self.name = here["interpreter"]
        self.merged: Scenario | None = None
        self._codes: dict[str, _Code] = {}
        #: Where a step of the merged scenario stands in the one that was given: all that are in it.
        self._old: dict[str, list[str]] = {}
        data = scenario.to_data()
        known = sys.implementation.name == "cpython" and sys.version_info[:2] in TABLES
        if not here["gil"] or not known or "python" in data:
            return
        try:
            program = plain_program(scenario, "threading", marked=True)
        except (TracelockError, KeyError):  # a step that threads cannot do
            return
        space: dict[str, Any] = {"__name__": "program"}
        tree = ast.parse(program.source)
        exec(compile(tree, "<program>", "exec"), space)
        marks = _marks(program.source)
        variables = {program.variables[name] for name in data.get("shared") or {}}
        for group, worker in data["workers"].items():
            function = space[program.workers[group]]
            self._codes[group] = _Code(CodeFlow(function.__code__, tree), marks, space, variables)
            path = f"workers.{group}.steps"
            worker["steps"] = self._block(worker["steps"], path, path, self._codes[group])
        data.pop("expect", None)
        self.merged = scenario_from_data(data)

    def _block(self, steps: list[Any], old: str, new: str, code: _Code) -> list[Any]:
        """The steps of a block, those in one of which nobody can come between."""
        found: list[Any] = []
        at = 0
        while at < len(steps):
            end = at
            while end < len(steps) and _simple(steps[end]):
                if not code.quiet([f"{old}[{one}]" for one in range(at, end + 1)]):
                    break
                end += 1
            here = f"{new}[{len(found)}]"
            run = [f"{old}[{one}]" for one in range(at, end)]
            if code.variables_in(run) > 1:
                found.append({"atomic": steps[at:end]})
                self._old[here] = run
                at = end
                continue
            step = steps[at]
            self._old[here] = [f"{old}[{at}]"]
            if isinstance(step, dict):
                inner = {
                    key: self._block(step[key], f"{old}[{at}].{key}", f"{here}.{key}", code)
                    for key in _BLOCKS
                    if isinstance(step.get(key), list)
                }
                step = {**step, **inner}
            found.append(step)
            at += 1
        return found

    def search(self, seconds: float, allow_call: bool = False) -> Searched | None:
        """What can happen there, as far as the time goes; None where that cannot be told."""
        if self.merged is None:
            return None
        table = OutcomeTable(["threading"], allow_call)
        table.search(self.merged, "threading", seconds)
        found: Searched = {}
        for row in table.finished(lambda: True):
            key, can = row["key"], row["cells"]["threading"]["can"]
            trace = table.traces.get((key, "threading"))
            if can == "possible" and (trace is None or not self.allows(trace)):
                can = "cannot tell"
            found[key] = can
        found[""] = "impossible" if table.searched["threading"]["exhaustive"] else "not found"
        return found

    def allows(self, trace: Trace) -> bool:
        """Whether the interpreter certainly makes all the switches of a trace of ``merged``."""
        events = list(trace.events)
        names = list(trace.workers)
        waiting = {names.index(one.worker): one.at for one in trace.verdict.blocked}
        for place, event in enumerate(events[:-1]):
            if events[place + 1].worker == event.worker:
                continue
            after = (one for one in events[place + 1 :] if one.worker == event.worker)
            then = next(after, None)
            if then is not None:
                op, at = then.op, then.at
            elif event.worker in waiting:  # in the end: what it asks for may have been free still
                op, at = "acquire", waiting[event.worker]
            else:
                continue  # it had ended
            if op in ("wake", "timeout", "cancelled"):
                continue  # it had to wait
            first, second = self._old.get(event.at), self._old.get(at)
            if first is None or second is None:
                return False
            code = self._codes[first[0].split(".")[1]]
            if code.between(first, event.op, second, op) is not SwitchClass.CAN:
                return False
        return True


class _Code:
    """The function of a worker: which accesses belong to which step, and what is between them."""

    def __init__(
        self, flow: CodeFlow, marks: Mapping[int, str], space: Mapping[str, Any],
        variables: set[str],
    ) -> None:  # fmt: skip
        self.flow = flow
        self._known = _Known(flow, space)
        self._effects: dict[int, Any] = {}
        self._at = {one.offset: marks.get(one.span[0], "") for one in flow.accesses if one.span}
        self._seen = [one for one in flow.accesses if self._visible(one, variables)]
        self._stops = [one.offset for one in self._seen]

    def _visible(self, one: Access, variables: set[str]) -> bool:
        if one.what == "global":
            name = self.flow.instructions[one.offset].argval
            return name in variables and not isinstance(self._known.space[name], list)
        if one.what == "item":
            nodes = self.flow.operands("item", one.span)
            return bool(nodes) and isinstance(nodes[0], ast.Name) and nodes[0].id in variables  # type: ignore[index]
        if one.what == "call":  # of a function that computes: no step of the scenario
            nodes = self.flow.operands("call", one.span)
            values = self._known(span_of(nodes[0])) if nodes else None
            return not values or getattr(values[0], "__module__", "") not in ("builtins", "math")
        return one.what == "enter"

    def _in(self, paths: Sequence[str]) -> list[Access]:
        """The accesses of some steps, and of the steps in them."""
        inside = tuple(f"{path}." for path in paths)
        return [
            one
            for one in self._seen
            if self._at[one.offset] in paths or self._at[one.offset].startswith(inside)
        ]

    def _of(self, paths: Sequence[str], op: str) -> set[int]:
        """Where an event of a step is in the code."""
        if op == "atomic":
            return {one.offset for one in self._in(paths)}
        here = [
            one
            for one in self._seen
            if self._at[one.offset] in paths
            and self.flow.instructions[one.offset].opname != "WITH_EXCEPT_START"
        ]
        if op in ("read", "write"):
            here = [one for one in here if one.what in ("global", "item") and one.how == op]
        elif any(one.what == "enter" for one in here):  # of ``with``: its two ends
            here = [one for one in here if (one.what == "enter") == (op != "release")]
        return {one.offset for one in here}

    def variables_in(self, paths: Sequence[str]) -> int:
        """How many accesses of variables there are in some steps."""
        return sum(one.what in ("global", "item") for one in self._in(paths))

    def quiet(self, paths: Sequence[str]) -> bool:
        """Whether nobody can come between the accesses of steps that follow each other."""
        accesses = self._in(paths)
        if any(one.what in ("call", "enter") for one in accesses):
            return False
        stops = [one.offset for one in accesses]
        return all(
            level is SwitchClass.ONLY_WITHOUT_GIL
            for one in accesses
            for to, (level, _, _) in self._ways(one.offset).items()
            if to in stops and to > one.offset
        )

    def between(
        self, first: Sequence[str], op: str, second: Sequence[str], then: str
    ) -> SwitchClass:
        """The least class on a way from an event of a step to the next.

        That a lock which is asked for may be held does not count: where nobody has it, nobody is
        let in.
        """
        ends = self._of(second, then)
        found = [
            SwitchClass.CANNOT_TELL if where == to else level
            for start in self._of(first, op)
            for to, (level, _, where) in self._ways(start).items()
            if to in ends
        ]
        return min(found, default=SwitchClass.CANNOT_TELL)

    def _ways(self, start: int) -> dict[int, tuple[SwitchClass, str, int]]:
        return self.flow.ways(start, self._stops, self._known, self._effects)


class _Known:
    """What values expressions of the program have: locals and results are plain values."""

    def __init__(self, flow: CodeFlow, space: Mapping[str, Any]) -> None:
        self.space = space
        self._nodes: dict[Span, ast.expr] = {}
        for node in flow.expressions.nodes() if flow.expressions is not None else ():
            if isinstance(node, ast.expr):
                self._nodes.setdefault(span_of(node), node)

    def __call__(self, span: Span) -> Sequence[Any] | None:
        node = self._nodes.get(span)
        if node is None:
            return None
        if isinstance(node, ast.Name):
            return [self.space.get(node.id, 1)]
        if isinstance(node, ast.Attribute):
            owner = self(span_of(node.value))
            found = owner and hasattr(owner[0], node.attr)
            return [getattr(owner[0], node.attr)] if owner and found else None
        if isinstance(node, ast.Subscript):
            owner = self(span_of(node.value))
            plain = not owner or not isinstance(owner[0], list) or not owner[0]
            return [1] if plain else [owner[0][0]]  # type: ignore[index]
        return [1]


def _simple(step: Any) -> bool:
    if not isinstance(step, dict) or not any(verb in step for verb in _SIMPLE):
        return False
    blocks: Iterator[list[Any]] = (step[key] for key in _BLOCKS if isinstance(step.get(key), list))
    return all(_simple(inner) for block in blocks for inner in block)


def _marks(source: str) -> dict[int, str]:
    found = ((number, _MARK.search(line)) for number, line in enumerate(source.split("\n"), 1))
    return {number: mark[1] for number, mark in found if mark is not None}
