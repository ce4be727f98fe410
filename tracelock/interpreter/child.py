"""What is asked of an interpreter, as one JSON object in and one out: see ``asking``."""

from __future__ import annotations

import json
import platform
import sys
import threading
from collections.abc import Callable
from typing import Any

from tracelock.interpreter.functions import statement_of
from tracelock.interpreter.samples import anew
from tracelock.interpreter.statement import Statement, StatementProblem, setup_source
from tracelock.interpreter.stress import Stressed, modules_of, serial, stress
from tracelock.interpreter.switches import SwitchClass
from tracelock.interpreter.tables import table_for
from tracelock.interpreter.tasks import judge_tasks, stress_tasks
from tracelock.interpreter.verdicts import Judged, judge_all

#: So long a statement may take to run once; what takes longer waits.
_PATIENCE = 5.0


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
        sys.path[:0] = [one for one in question.get("path", ()) if one not in sys.path]
        setup = question.get("setup", "")
        anew.clear()
        first = statement_of(question["statement"], setup)
        second = statement_of(question["with"], setup) if question.get("with") else first
        source, samples = setup_source([first, second], setup)
        anew.update(modules_of([first, second]))
        both = [first, second]
        judged = _bounded(first, lambda: judge_all(both, source))
        found: dict[str, Any] = {**here, "samples": samples, "source": source}
        found["judged"] = [_data(one) for one in judged]
        found["locked"] = judged[0].locked if _same_lock(judged) else ""
        found["kinds"] = [one.kind for one in both]
        found["calls"] = [getattr(one, "call", "") for one in both]
        found["modules"] = modules_of(both)
        if first.kind == "coroutine":
            found["tasks"] = judge_tasks(both, source)
        rounds, seconds = question.get("stress"), question.get("seconds", 60.0)
        found["serial"], found["raises"] = [], False
        try:
            if rounds or not question.get("quick"):
                found["serial"], found["raises"] = _bounded(first, lambda: serial(both, source))
        except Waits:
            # one after the other they wait for ever: there is no end to compare with
            if rounds:
                why = "one after the other, they wait for ever"
                found["stress"] = vars(Stressed(0, 0, None, why))
            return found
        if rounds:
            found["stress"] = vars(stress(both, source, rounds, seconds))
            if "tasks" in found:
                found["tasks"]["stress"] = vars(stress_tasks(both, source, rounds, seconds))
    except StatementProblem as problem:
        return {**here, "problem": str(problem.args[0])}
    return found


class Waits(StatementProblem):
    """A statement waits for something that nobody does."""


def _bounded(statement: Statement, run: Callable[[], Any]) -> Any:
    """What ``run`` returns. Raises Waits where that takes too long, and leaves it behind."""
    results: list[Any] = []
    problems: list[BaseException] = []

    def work() -> None:
        try:
            results.append(run())
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_PATIENCE)
    if problems:
        raise problems[0]
    if not results:
        raise Waits(
            f"{statement.text!r} waits for something that nobody does: --setup can do it before, "
            "as in --setup 'import queue; q = queue.Queue(); q.put(1)'"
        )
    return results[0]


def _same_lock(judged: list[Judged]) -> bool:
    return bool(judged[0].locked) and judged[0].locked == judged[1].locked


def _data(judged: Judged) -> dict[str, Any]:
    return {
        **vars(judged),
        "switch": judged.switch.word,
        "can": judged.switch > SwitchClass.ONLY_WITHOUT_GIL,
    }


def main() -> None:
    """Answer the questions on standard input, a line each."""
    out, sys.stdout = sys.stdout, sys.stderr  # what the statement prints is no answer
    for line in sys.stdin:
        out.write(json.dumps(answer(json.loads(line))) + "\n")
        out.flush()
