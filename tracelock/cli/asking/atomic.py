"""``tracelock atomic``: whether a statement can be interrupted, here and elsewhere."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tracelock.atomicity.asked import Atomicity, InterpreterAnswer, TasksAnswer, atomic
from tracelock.atomicity.common import CommonOperation, common_operations
from tracelock.cli.asking.given import wrapped
from tracelock.cli.keeping import Keeper
from tracelock.cli.output import Output
from tracelock.cli.show import steps
from tracelock.errors import UsageError
from tracelock.report.wording import clean
from tracelock.trace.folder import FOLDER

if TYPE_CHECKING:
    from tracelock.trace import Trace


#: Of a function with more instructions only the lines that matter are shown.
_LONG = 60


def atomic_command(options: argparse.Namespace, out: Output) -> int:
    """Ask as ``options`` say. 0: it is atomic on each interpreter that was asked, with its GIL;
    1: it is not; 4: a run for real contradicts the table. Of a statement with ``await`` the tasks
    of one loop decide."""
    if options.list:
        if options.statement is not None:
            raise UsageError("--list prints the table of common operations: it takes no statement")
        return _list(out, options.json)
    if options.statement is None:
        raise UsageError("tracelock atomic needs a STATEMENT, such as 'd[k] += 1', or --list")
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())  # a function is found as ``python -m`` would
    keeper = None if options.no_trace else Keeper(None, "atomic", "threading")
    found = atomic(
        options.statement, options.together, setup=options.setup, python=options.python,
        stress=options.stress or 0, folder=None if keeper is None else FOLDER,
    )  # fmt: skip
    path = keeper.keep(found.trace) if keeper is not None and found.trace is not None else None
    if options.json:
        out.json(found.to_data(path))
    else:
        _show(found, path, out)
    for fault in found.faults:
        out.problem(fault)
    if found.faults:
        return 4
    if found.tasks is not None:
        return 0 if found.tasks.atomic else 1
    asked = [answer for number, answer in enumerate(found.answers) if number != 1]
    return 0 if all(answer.atomic for answer in asked) else 1


def _show(found: Atomicity, path: str | None, out: Output) -> None:
    together = f"   with   {clean(found.other)}" if found.other else ""
    out.line(f"{clean(found.statement)}{together}")
    width = max(40, min(out.style.width, 110))
    if found.samples:
        values = ", ".join(
            value if value.startswith("async def") else f"{name} = {value}"
            for name, value in found.samples.items()
        )
        out.lines(wrapped(f"  where {clean(values)}", width, 8))
    out.line()
    if found.tasks is not None:
        _tasks(found.tasks, out, width)
    for number, answer in enumerate(found.answers):
        out.lines(wrapped(_answer(answer, number), width, 7))
        if answer.stress is not None:
            out.lines(wrapped(f"       {_stress(answer.stress)}", width, 7))
    if found.answers[0].atomic and found.fragile:
        out.line("\n  with the GIL it stays so as long as")
        for text in found.fragile:
            out.lines(wrapped(f"  - {clean(text)}", width, 4))
    out.line("\n  what others can see of it, in order:")
    for access in found.accesses:
        then = {"can": "   <- a switch can come here", "cannot-tell": "   <- it may come here"}
        line = f"line {access['line']}: " if found.is_function else ""
        text = f"  {line}{clean(access['text'])}{then.get(access['then'] or '', '')}"
        out.lines(wrapped(text, width, 6))
    if not found.accesses:
        out.line("  nothing: it changes nothing that they have")
    out.line("\n  bytecode:")
    out.lines(_bytecode(found, width))
    if found.trace is not None:
        _interleaving(found, found.trace, out)
    if found.cure is not None:
        out.line("\n  what helps:")
        out.lines(f"    {clean(line)}" for line in found.cure.splitlines())
    if path is not None:
        place = f"PYTHONPATH={shlex.quote(os.path.dirname(path) or '.')}"
        out.line(f"\ntrace: {clean(path)}")
        out.line(f"replay it: {place} tracelock replay {shlex.quote(clean(path))} --allow-call")


def _bytecode(found: Atomicity, width: int) -> Iterator[str]:
    """The instructions, with marks; of a long function those lines alone that have one."""
    marked = {one["line"] for one in found.bytecode if one["switch"]}
    marked |= {access["line"] for access in found.accesses}
    short = found.is_function and len(found.bytecode) > _LONG
    line = None
    for one in found.bytecode:
        if short and one["line"] not in marked:
            continue
        if found.is_function and one["line"] != line:
            line = one["line"]
            yield f"    line {line}"
        mark = f"   <- {one['switch']}" if one["switch"] else ""
        place = f"  {one['offset']:>5} {one['opcode']:22}"
        text = f"{place} {clean(one['argument'])}"
        if mark and len(text + mark) > width:
            yield text.rstrip()
            yield from wrapped(f"        {mark.strip()}", width, 11)
        else:
            yield f"{text}{mark}".rstrip()
    if short:
        yield "  (lines of which others see nothing are left away)"


def _tasks(tasks: TasksAnswer, out: Output, width: int) -> None:
    yes = "yes" if tasks.atomic else "NO"
    out.lines(wrapped(f"  {yes:4} tasks of one event loop: {clean(tasks.why)}", width, 7))
    words = {"suspends": "suspends", "may": "may suspend", "never": "never suspends"}
    for one in tasks.suspends:
        when = f" ({one['when']})" if one["when"] else ""
        out.lines(wrapped(f"       {clean(one['at'])!r} {words[one['how']]}{when}", width, 9))
    if tasks.stress is not None:
        out.lines(wrapped(f"       {_stress(tasks.stress, 'tasks')}", width, 7))
    out.line("\n  and of threads, each with a loop of its own:")


def _answer(answer: InterpreterAnswer, number: int) -> str:
    name = answer.interpreter
    if answer.gil:
        name += ", with its GIL"
    here = " (this one)" if number == 0 else ""
    return f"  {'yes' if answer.atomic else 'NO':4} {clean(name)}{here}: {clean(answer.why)}"


def _stress(stress: dict[str, Any], workers: str = "threads") -> str:
    if stress["anomalies"] is None:
        return f"not run for real: {stress['why']}"
    wrong = f"{stress['anomalies']:,} of {stress['chunks']:,} comparisons went wrong"
    return f"run for real, {stress['rounds']:,} times on each of two {workers}: {wrong}"


def _interleaving(found: Atomicity, trace: Trace, out: Output) -> None:
    if found.answers[0].atomic:
        out.line("\n  an interleaving that a build without the GIL can do:\n")
    else:
        out.line("\n  an interleaving that shows it:\n")
    out.lines(steps(found.readable(trace), out, sources=True))
    message = clean(trace.verdict.message.splitlines()[0] if trace.verdict.message else "")
    out.lines(wrapped(f"  {message}", max(40, min(out.style.width, 110)), 4))


def _list(out: Output, as_json: bool) -> int:
    rows = common_operations()
    wrong = [row for row in rows if row.contradicted]
    if as_json:
        out.json({"operations": [_row(row) for row in rows]})
    else:
        out.line("  GIL   none  run for real")
        for row in rows:
            if row is rows[0]:
                out.line("\n  CPython's FAQ:")
            elif not row.faq and rows[rows.index(row) - 1].faq:
                out.line("\n  others:")
            anomalies = row.stress["anomalies"]
            real = "-" if anomalies is None else f"{anomalies} of {row.stress['chunks']}"
            gil, free = ("yes" if one else "NO" for one in (row.gil, row.free))
            out.line(f"  {gil:5} {free:5} {real:9} {row.statement}")
        out.line(
            "\n  GIL: this interpreter; none: without the GIL; run for real: comparisons that\n"
            "  went wrong ('-': its end state does not tell)"
        )
    for row in wrong:
        out.problem(f"a fault of the table: {row.statement} went wrong; please report it")
    return 4 if wrong else 0


def _row(row: CommonOperation) -> dict[str, Any]:
    return {
        "statement": row.statement, "faq": row.faq, "gil": row.gil, "without_gil": row.free,
        "why": row.why, "stress": row.stress,
    }  # fmt: skip
