"""The steps that the workers go through, line by line: a scenario's, or lines of Python code.

The scenario inside a trace is a stranger's data: whatever is no step is shown as it is.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from tracelock.report.wording import clean, shown
from tracelock.trace import Trace

__all__ = ["CodeLine", "is_code", "lines_of", "listing", "place_of", "places_of", "syntax_tree"]

#: Keys of a step that hold steps.
_BLOCKS: Final = ("do", "then", "else", "atomic", "try", "finally")
_DEEPEST: Final = 100
_LONGEST: Final = 2_000  # lines of one worker
_AROUND: Final = 2  # source lines shown on either side of one that was executed


class CodeLine(NamedTuple):
    """``at``: the step's path, or ``file:line``; "" for what is no step of its own."""

    at: str
    indent: int
    text: str


def listing(trace: Trace, sources: Mapping[str, str] | None = None) -> list[list[CodeLine]]:
    """The lines of each worker. ``sources``: text of Python files by the name the trace has."""
    seen: list[dict[str, None]] = [{} for _ in trace.workers]
    table, events = trace.events.table, trace.events
    for worker, shape in set(zip(events.workers, events.shapes, strict=True)):
        seen[worker].setdefault(table[shape].at)
    for one in trace.verdict.blocked:
        if one.worker in trace.workers:
            seen[trace.workers.index(one.worker)].setdefault(one.at)
    groups = trace.scenario.get("workers")
    found: list[list[CodeLine]] = []
    alike: dict[str, list[CodeLine]] = {}  # instances of one worker have the same steps
    for name, places in zip(trace.workers, seen, strict=True):
        group = name.partition("[")[0]
        declared = groups.get(group) if isinstance(groups, Mapping) else None
        steps = declared.get("steps") if isinstance(declared, Mapping) else None
        if isinstance(steps, list) and not any(place_of(at) for at in places):
            if group not in alike:
                alike[group] = list(islice(_steps(steps, f"workers.{group}.steps", 0), _LONGEST))
            found.append(alike[group])
        else:
            found.append(list(_places(places, places_of(trace), sources or {})))
    return found


def is_code(trace: Trace) -> bool:
    """Whether a trace is of Python code, whose steps are lines and not those of a scenario."""
    return isinstance(trace.scenario.get("python"), Mapping)


def lines_of(text: str) -> list[str]:
    """The lines of a Python file as Python counts them: a form feed ends none."""
    return re.split(r"\r\n|\n|\r", text.removesuffix("\n"))


def syntax_tree(text: str) -> ast.Module | None:
    """The syntax tree of a file, None where it is none of this version of Python."""
    try:
        with warnings.catch_warnings():  # whoever wrote it has seen them
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def places_of(trace: Trace) -> Mapping[str, Any]:
    """For a trace of Python code the function of each ``file:line``."""
    python = trace.scenario.get("python")
    places = python.get("places") if isinstance(python, Mapping) else None
    return places if isinstance(places, Mapping) else {}


def _steps(steps: list[Any], path: str, indent: int) -> Iterator[CodeLine]:
    for number, step in enumerate(steps):
        at = f"{path}[{number}]"
        if not isinstance(step, Mapping) or not step or indent > _DEEPEST:
            yield CodeLine(at, indent, clean(step) if isinstance(step, str) else shown(step))
            continue
        blocks = [key for key in _BLOCKS if isinstance(step.get(key), list)]
        words = [
            f"{clean(str(key))}: {_said(value)}" for key, value in step.items() if key not in blocks
        ]
        first = blocks.pop(0) if blocks and not words else ""
        if first:  # the verb itself holds the steps: atomic, try
            yield CodeLine(at, indent, f"{first}:")
            yield from _steps(step[first], f"{at}.{first}", indent + 1)
        else:
            yield CodeLine(at, indent, ", ".join(words))
        for key in blocks:
            if key != "do":
                yield CodeLine("", indent, f"{key}:")
            yield from _steps(step[key], f"{at}.{key}", indent + 1)


def _said(value: Any) -> str:
    """A key's value: an expression as it was written, anything else as JSON."""
    if isinstance(value, str):
        return clean(value) if len(value) <= 200 else clean(value[:200]) + "..."
    if isinstance(value, Mapping):  # let
        return ", ".join(f"{clean(str(key))} = {_said(one)}" for key, one in value.items())
    return shown(value)


# --- Python code ---------------------------------------------------------------------------------
def place_of(at: str) -> tuple[str, int] | None:
    """The file and the line of a place (``bank.py:31``), None for what is none."""
    name, colon, number = at.rpartition(":")
    return (name, int(number)) if colon and number.isascii() and number.isdecimal() else None


def _places(
    places: Iterable[str], functions: Mapping[str, Any], sources: Mapping[str, str]
) -> Iterator[CodeLine]:
    by_file: dict[str, set[int]] = {}
    others = []
    for at in places:
        position = place_of(at)
        if position is None or len(at) > 1_000:
            others.append(at)
        else:
            by_file.setdefault(position[0], set()).add(position[1])
    for name in sorted(by_file):
        text = sources.get(name)
        lines = lines_of(text) if text is not None else []
        yield CodeLine("", 0, clean(name) + (":" if lines else ":  (its source is not at hand)"))
        wanted = sorted(by_file[name])
        near = wanted
        if lines:
            near = sorted(
                {n for line in wanted for n in range(line - _AROUND, line + _AROUND + 1)}
                & set(range(1, len(lines) + 1)) | set(wanted)
            )  # fmt: skip
        width = len(str(near[-1]))
        previous = near[0] - 1
        function = ""
        for number in near:
            at = f"{name}:{number}"
            if number != previous + 1:
                yield CodeLine("", 0, "...")
            previous = number
            if 0 < number <= len(lines):
                said = clean(lines[number - 1].replace("\t", "    ").rstrip())
            else:
                now = str(functions.get(at, ""))
                said = f"in {clean(now)}" if now and now != function else '"'
                function = now
                if not now:
                    said = ""
            yield CodeLine(at if number in by_file[name] else "", 0, f"{number:>{width}}  {said}")
    for at in others:
        yield CodeLine(at, 0, clean(at))
