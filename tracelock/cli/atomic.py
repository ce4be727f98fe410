"""``tracelock atomic``: whether a statement can be interrupted, here and elsewhere."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import TYPE_CHECKING, Any

from tracelock.atomicity.asked import Atomicity, InterpreterAnswer, atomic
from tracelock.atomicity.common import CommonOperation, common_operations
from tracelock.cli.keeping import FOLDER, Keeper
from tracelock.cli.output import Output
from tracelock.cli.show import steps
from tracelock.errors import UsageError
from tracelock.report.wording import clean

if TYPE_CHECKING:
    from tracelock.trace import Trace


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
    if found.samples:
        values = ", ".join(f"{name} = {value}" for name, value in found.samples.items())
        out.line(f"  where {clean(values)}")
    out.line()
    for number, answer in enumerate(found.answers):
        out.line(_answer(answer, number))
        if answer.stress is not None:
            out.line(f"       {_stress(answer.stress)}")
    if found.answers[0].atomic and found.fragile:
        out.line("\n  with the GIL it stays so as long as")
        out.lines(f"  - {clean(text)}" for text in found.fragile)
    out.line("\n  what others can see of it, in order:")
    for access in found.accesses:
        then = {"can": "   <- a switch can come here", "cannot-tell": "   <- it may come here"}
        out.line(f"  {clean(access['text'])}{then.get(access['then'] or '', '')}")
    if not found.accesses:
        out.line("  nothing: it changes nothing that they have")
    out.line("\n  bytecode:")
    for one in found.bytecode:
        mark = f"   <- {one['switch']}" if one["switch"] else ""
        place = f"  {one['offset']:>5} {one['opcode']:22}"
        text = f"{place} {clean(one['argument'])}{mark}"
        out.line(text.rstrip())
    if found.trace is not None:
        _interleaving(found, found.trace, out)
    if found.cure is not None:
        out.line("\n  what helps:")
        out.lines(f"    {clean(line)}" for line in found.cure.splitlines())
    if path is not None:
        place = f"PYTHONPATH={shlex.quote(os.path.dirname(path) or '.')}"
        out.line(f"\ntrace: {clean(path)}")
        out.line(f"replay it: {place} tracelock replay {shlex.quote(clean(path))} --allow-call")


def _answer(answer: InterpreterAnswer, number: int) -> str:
    name = answer.interpreter
    if answer.gil:
        name += ", with its GIL"
    here = " (this one)" if number == 0 else ""
    return f"  {'yes' if answer.atomic else 'NO':4} {clean(name)}{here}: {clean(answer.why)}"


def _stress(stress: dict[str, Any]) -> str:
    if stress["anomalies"] is None:
        return f"not run for real: {stress['why']}"
    wrong = f"{stress['anomalies']:,} of {stress['chunks']:,} comparisons went wrong"
    return f"run for real, {stress['rounds']:,} times on each of two threads: {wrong}"


def _interleaving(found: Atomicity, trace: Trace, out: Output) -> None:
    if found.answers[0].atomic:
        out.line("\n  an interleaving that a build without the GIL can do:\n")
    else:
        out.line("\n  an interleaving that shows it:\n")
    out.lines(steps(trace, out, sources=True))
    out.line(f"  {clean(trace.verdict.message.splitlines()[0] if trace.verdict.message else '')}")


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
