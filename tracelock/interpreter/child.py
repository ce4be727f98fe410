"""What is asked of an interpreter, as one JSON object in and one out: see ``asking``."""

from __future__ import annotations

import json
import platform
import sys
from typing import Any

from tracelock.interpreter.statement import Statement, StatementProblem, setup_source
from tracelock.interpreter.stress import serial, stress
from tracelock.interpreter.switches import SwitchClass
from tracelock.interpreter.tables import table_for
from tracelock.interpreter.verdicts import Judged, judge_all


def this_interpreter() -> dict[str, Any]:
    """Its name, and whether it has a GIL."""
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    name = platform.python_implementation().lower()
    return {"interpreter": f"{name}-{platform.python_version()}", "gil": bool(gil)}


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """The answer of the running interpreter. ``{"problem": ...}`` where there is none."""
    here = this_interpreter()
    if sys.implementation.name != "cpython":
        return {**here, "problem": f"there is no table of {here['interpreter']}, only of CPython"}
    try:
        table_for(sys.version_info[:2])
    except LookupError as problem:
        return {**here, "problem": str(problem.args[0])}
    try:
        first = Statement(question["statement"])
        second = Statement(question["with"]) if question.get("with") else first
        source, samples = setup_source([first, second], question.get("setup", ""))
        judged = judge_all([first, second], source)
        found: dict[str, Any] = {**here, "samples": samples, "source": source}
        found["judged"] = [_data(one) for one in judged]
        found["locked"] = judged[0].locked if _same_lock(judged) else ""
        if not question.get("quick"):
            found["serial"], found["raises"] = serial([first, second], source)
        if question.get("stress"):
            seconds = question.get("seconds", 60.0)
            stressed = stress([first, second], source, question["stress"], seconds)
            found["stress"] = vars(stressed)
    except StatementProblem as problem:
        return {**here, "problem": str(problem.args[0])}
    return found


def _same_lock(judged: list[Judged]) -> bool:
    return bool(judged[0].locked) and judged[0].locked == judged[1].locked


def _data(judged: Judged) -> dict[str, Any]:
    return {
        **vars(judged),
        "switch": judged.switch.name.lower().replace("_", "-"),
        "can": judged.switch > SwitchClass.ONLY_WITHOUT_GIL,
    }


def main() -> None:
    """Answer the questions on standard input, a line each."""
    out, sys.stdout = sys.stdout, sys.stderr  # what the statement prints is no answer
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line))) + "\n")
        out.flush()
