"""Traces of real code as programs that force them, tried before they are handed out."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from tracelock.backends.calls import check_calls
from tracelock.errors import UsageError
from tracelock.export.forced.program import ForcedSubject, check_names, forced_program
from tracelock.export.forced.schedule import forced_schedule
from tracelock.instrument.callers import digest
from tracelock.report.code import lines_of as split_lines
from tracelock.session.named_functions import instances
from tracelock.session.targets import python_of, test_of
from tracelock.trace import Trace

#: How often a program is run before it is handed out.
TRIES: Final = 3
_SECONDS: Final = 120.0
_SHOWN: Final = 12
_LIB: Final = os.path.dirname(os.path.abspath(os.__file__))


@dataclass(frozen=True, slots=True)
class ForcedExport:
    """A program, and how often it was run and failed (0 where it was not tried)."""

    source: str
    tried: int


def export_forced(
    trace: Trace, *, pytest: bool, origin: str | None = None, allow_call: bool = False,
    tries: int = TRIES,
) -> ForcedExport:  # fmt: skip
    """A trace of real code as a program that forces its interleaving, at the code's own lines.

    ``allow_call``: the program is run ``tries`` times, each time in a process of its own, and is
    handed out only where it fails every time.

    Raises UsageError, with the reason, where the interleaving cannot be forced: see
    ``forced_schedule``; functions that have no name; a program that does not fail every time.
    """
    python = python_of(trace)
    assert python is not None
    node = test_of(trace)
    schedule = forced_schedule(trace, *lines_of(trace))
    subject = ForcedSubject(node) if node is not None else _functions(trace)
    source = forced_program(trace, schedule, subject, origin=origin, pytest=pytest)
    if not allow_call:
        return ForcedExport(source, 0)
    check_calls(allow_call)
    _try(source, tries)
    return ForcedExport(source, tries)


def _functions(trace: Trace) -> ForcedSubject:
    """The functions that a trace is of, by their names."""
    from tracelock.scenario.language.python import document_keys
    from tracelock.scenario.loading import scenario_from_data
    from tracelock.scenario.program import Program

    python: dict[str, Any] = trace.scenario["python"]
    setup, check = (python.get(key) for key in ("setup", "check"))
    entries: dict[str, Any] = trace.scenario["workers"]
    calls = {name: worker["steps"][0]["call"] for name, worker in entries.items()}
    check_names([one for one in (setup, check, *calls.values()) if isinstance(one, str)])
    renamed = {f"w{place}": worker for place, worker in enumerate(entries.values())}
    document = document_keys(dict(python))
    document.pop("cancellable", None)
    scenario = scenario_from_data(
        {**trace.scenario, "workers": renamed, "python": document}, "the trace's scenario"
    )
    # the language's own machines say what the arguments of each instance are
    program = Program(scenario.model_copy(update={"python": None}))
    names = [(one, calls[name]) for name in entries for one in instances({name: entries[name]})]
    workers: dict[str, tuple[str, list[Any]]] = {}
    for number, (name, call) in enumerate(names):
        op = program.machine(number).begin()
        workers[name] = call, [] if op is None else list(op.value)
    ordered = {name: workers[name] for name in trace.workers if name in workers}
    if len(ordered) != len(workers):
        raise UsageError("the trace's workers are not those of its scenario")
    expected = python.get("expected_errors")
    return ForcedSubject(
        "", setup, ordered, check, list(expected) if isinstance(expected, list) else []
    )


# --- source lines ------------------------------------------------------------------------------
def lines_of(trace: Trace) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """What gives the source line of a place of a trace, and what its function, "" where its file is
    not here as it was.

    Files are looked for below the current folder, beside the test, and on ``sys.path``, by their
    labels and digests; nothing is imported.
    """
    python = python_of(trace) or {}
    digests = python.get("sources") or {}
    beside = os.path.dirname((test_of(trace) or "").partition("::")[0])
    known: dict[str, tuple[list[str], dict[int, str]]] = {}

    def of(at: str) -> tuple[list[str], dict[int, str], int]:
        label, _, number = at.rpartition(":")
        if label not in known:
            text = _read(label, digests.get(label), beside)
            known[label] = split_lines(text), functions_by_line(text)
        return *known[label], int(number)

    def line(at: str) -> str:
        rows, _, place = of(at)
        return rows[place - 1].strip() if 0 < place <= len(rows) else ""

    def function(at: str) -> str:
        _, functions, place = of(at)
        return functions.get(place, "")

    return line, function


def functions_by_line(source: str) -> dict[int, str]:
    """The qualified name of the innermost function at each line, as CPython names it; no entry
    where there is none, or a lambda or comprehension may be it."""
    found: dict[int, str] = {}

    def walk(node: ast.AST, above: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{above}{child.name}"
                if not isinstance(child, ast.ClassDef):
                    for line in range(child.lineno, (child.end_lineno or child.lineno) + 1):
                        found[line] = name
                    name += ".<locals>"
                walk(child, f"{name}.")
            elif isinstance(child, ast.Lambda | ast.GeneratorExp):
                walk(child, above)
                for line in range(child.lineno, (child.end_lineno or child.lineno) + 1):
                    found.pop(line, None)
            else:
                walk(child, above)

    try:
        walk(ast.parse(source), "")
    except (SyntaxError, ValueError, RecursionError):
        return {}
    return found


def _read(label: str, wanted: object, beside: str) -> str:
    """The text of a file, "" where it is not here as it was."""
    # a stranger's trace must not choose which file is read
    if os.path.isabs(label) or ".." in label.split("/") or not isinstance(wanted, str):
        return ""
    for path in _candidates(label, beside):
        try:
            if os.path.isfile(path) and digest(path) == wanted:
                with open(path, encoding="utf-8", errors="replace") as file:
                    return file.read()
        except OSError:
            continue
    return ""


def _candidates(label: str, beside: str) -> Iterator[str]:
    for folder in ("", beside, *sys.path, _LIB):
        yield os.path.join(folder or os.getcwd(), label)


# --- trying ------------------------------------------------------------------------------------
def _try(source: str, tries: int) -> None:
    """Run a program so often. Raises UsageError where it does not fail each time, as it should."""
    with tempfile.TemporaryDirectory(prefix="tracelock-") as folder:
        path = os.path.join(folder, "forced.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        for number in range(tries):
            status, said = _run(path)
            if status != 1:
                raise UsageError(_not_forced(number, status, said))


def _run(path: str) -> tuple[int | None, str]:
    try:
        done = subprocess.run(
            [sys.executable, path], capture_output=True, text=True, errors="replace", check=False,
            timeout=_SECONDS, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, f"it had not ended after {_SECONDS:g} s"
    return done.returncode, done.stdout + done.stderr


def _not_forced(number: int, status: int | None, said: str) -> str:
    last = "\n".join(f"  {line}" for line in said.rstrip().splitlines()[-_SHOWN:])
    why = "it passed" if status == 0 else f"it ended with status {status}"
    if status is None:
        why = "it did not end"
    return (
        f"the interleaving cannot be forced at source lines: run {number + 1} of the program did "
        f"not fail, {why}. What it said:\n{last}\n"
        "(tracelock replay runs the code under full control and needs no such program)"
    )
