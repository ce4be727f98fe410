"""``tracelock.atomic``: what the interpreters are asked, and the search for an interleaving."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tracelock.atomicity.cures import cure_of
from tracelock.atomicity.program import imported, module_text, workers_of
from tracelock.errors import UsageError
from tracelock.interpreter.asking import AskingProblem, ask, this_python
from tracelock.interpreter.statement import Statement

if TYPE_CHECKING:
    from tracelock.session.explored import Explored
    from tracelock.trace import Trace

#: The search for an interleaving ends after so many seconds.
_SEARCH = 10.0


@dataclass(slots=True)
class InterpreterAnswer:
    """Of one interpreter: atomic or not, and why. ``stress``: what a stress showed, if asked."""

    interpreter: str
    gil: bool
    atomic: bool
    why: str
    stress: dict[str, Any] | None = None

    def to_data(self) -> dict[str, Any]:
        """As it stands in the JSON."""
        data: dict[str, Any] = {
            "interpreter": self.interpreter, "gil": self.gil, "atomic": self.atomic,
            "why": self.why,
        }  # fmt: skip
        return data if self.stress is None else {**data, "stress": self.stress}


@dataclass(slots=True)
class TasksAnswer:
    """Of the tasks of one event loop: whether others come between the accesses of a statement with
    ``await``. ``suspends``: each await, ``{"at", "how", "when"}``; ``how`` is ``suspends``, ``may``
    or ``never``."""

    atomic: bool
    why: str
    suspends: list[dict[str, str]]
    stress: dict[str, Any] | None = None

    def to_data(self) -> dict[str, Any]:
        """As it stands in the JSON."""
        data = {"atomic": self.atomic, "why": self.why, "suspends": self.suspends}
        return data if self.stress is None else {**data, "stress": self.stress}


@dataclass(slots=True)
class Atomicity:
    """What ``tracelock.atomic`` came to.

    ``answers``: of the running interpreter, of one without a GIL, of each other one that was asked.
    ``accesses``: those that others can see, in order. ``explored``: the search for an interleaving
    that neither order of the two statements explains; ``trace``: one that was found. ``cure``: the
    smallest change that helps. ``samples``: what the free names stood for. ``fragile``: what has to
    stay as it is for "atomic" to stay true. ``faults``: contradictions of stress and table.
    ``tasks``: of a statement with ``await``, what the tasks of one loop do to each other; the
    answers are then of threads, each with a loop of its own.
    """

    statement: str
    other: str | None
    answers: list[InterpreterAnswer]
    accesses: list[dict[str, Any]]
    cure: str | None
    samples: dict[str, str]
    fragile: list[str]
    bytecode: list[dict[str, Any]]
    explored: Explored | None = None
    program: str | None = None
    faults: list[str] = field(default_factory=list)
    tasks: TasksAnswer | None = None
    #: Whether it is a function, not a statement.
    is_function: bool = False
    #: The name of the module that was written for the search.
    module: str = ""

    def readable(self, trace: Trace) -> Trace:
        """A copy of the trace, in which the names are those of the statement."""
        events = trace.events.copy()
        own = f"{self.module}."
        events.table = [
            shape._replace(target=shape.target.removeprefix(own)) if shape.target else shape
            for shape in events.table
        ]
        return replace(trace, events=events)

    @property
    def atomic(self) -> bool:
        """Whether it is on the running interpreter; with ``await``, among the tasks of a loop."""
        return self.answers[0].atomic if self.tasks is None else self.tasks.atomic

    @property
    def trace(self) -> Trace | None:
        """The interleaving that shows that it is not atomic."""
        return None if self.explored is None else self.explored.trace

    def to_data(self, path: str | None = None) -> dict[str, Any]:
        """The JSON object; ``path``: where the trace was saved."""
        return {
            "statement": self.statement,
            "with": self.other,
            "answers": [answer.to_data() for answer in self.answers],
            "accesses": self.accesses,
            "cure": self.cure,
            "trace": path,
            **({} if self.tasks is None else {"tasks": self.tasks.to_data()}),
        }


def atomic(
    statement: str,
    with_: str | None = None,
    *,
    setup: str = "",
    python: Sequence[str] = (),
    stress: int = 0,
    folder: str | None = None,
) -> Atomicity:
    """Whether another thread can come between the accesses of a statement, or of the body of a
    function, ``module:function`` or ``module:Class.method``.

    ``with_``: what the other thread runs (the same statement). ``setup``: code that makes what the
    names of the statement stand for; common names have a value without it. ``python``: paths of
    other interpreters to ask. ``stress``: also run both for real, so often, on each interpreter.
    ``folder``: where the program of the two statements is kept for replays (nowhere).

    The statements run in processes of their own and under tracelock's schedules, nowhere else.
    Raises UsageError for a statement or an interpreter that cannot be asked.
    """
    question = {
        "statement": statement, "with": with_, "setup": setup, "stress": stress, "seconds": 60.0,
        "path": _own_path(),
    }  # fmt: skip
    here = _asked(this_python_or_usage(), question, stress)
    others = [_asked(path, question, stress) for path in python]
    locked = bool(here["locked"])
    result = Atomicity(
        statement, with_, [with_gil(here), without_gil(here), *map(with_gil, others)],
        here["judged"][0]["accesses"], None, here["samples"], here["judged"][0]["fragile"],
        here["judged"][0]["bytecode"],
    )  # fmt: skip
    result.is_function = bool(here["calls"][0])
    if "tasks" in here:
        result.tasks = TasksAnswer(**here["tasks"])
        result.cure = None if result.tasks.atomic else cure_of(statement, tasks=True)
        if here["serial"]:
            _search(result, here, folder)
        _judge_tasks(result, result.tasks)
    elif not all(answer.atomic for answer in result.answers):
        result.cure = cure_of(here["calls"][0] or statement)
        if not locked and here["serial"]:
            _search(result, here, folder)
            _add_unseen(result)
    for answer in result.answers:
        found = answer.stress or {}
        if answer.atomic and found.get("anomalies"):
            result.faults.append(
                f"a fault of the table: on {answer.interpreter} it says atomic, and "
                f"{found['anomalies']} of {found['chunks']} comparisons went wrong: report it"
            )
    return result


def _own_path() -> list[str]:
    """Where modules are found that do not belong to the interpreter."""
    prefixes = {os.path.realpath(one) for one in (sys.prefix, sys.base_prefix)}
    places = [os.path.realpath(one) for one in sys.path if not one.endswith(".zip")]
    return [one for one in places if not any(one.startswith(prefix) for prefix in prefixes)]


def this_python_or_usage() -> str:
    """The running interpreter. Raises UsageError where its path is not known."""
    try:
        return this_python()
    except AskingProblem as problem:
        raise UsageError(str(problem)) from None


def _asked(path: str, question: dict[str, Any], stress: int) -> dict[str, Any]:
    try:
        (found,) = ask(path, [question], 20.0 + (200.0 if stress else 0.0))
    except AskingProblem as problem:
        raise UsageError(str(problem)) from None
    if "problem" in found:
        raise UsageError(str(found["problem"]))
    return found


def with_gil(found: dict[str, Any]) -> InterpreterAnswer:
    """What the table says of an interpreter as it is."""
    if not found["gil"]:
        return without_gil(found, found["interpreter"])
    name, stressed = found["interpreter"], found.get("stress")
    if found["locked"]:
        return InterpreterAnswer(name, True, True, _held(found), stressed)
    for judged in found["judged"]:
        if judged["can"]:
            return InterpreterAnswer(name, True, False, judged["why"], stressed)
    if any(judged["several"] for judged in found["judged"]):
        why = "nothing between its accesses lets another thread go on while the GIL is held"
    else:
        why = "others can see one step of it alone"
    return InterpreterAnswer(name, True, True, why, stressed)


def without_gil(found: dict[str, Any], name: str = "without the GIL") -> InterpreterAnswer:
    """What holds on a free-threaded build, by the accesses."""
    stressed = None if found["gil"] else found.get("stress")
    if found["locked"]:
        return InterpreterAnswer(name, False, True, _held(found), stressed)
    for judged in found["judged"]:
        texts = [access["text"] for access in judged["accesses"]]
        if judged["own_code"]:
            return InterpreterAnswer(name, False, False, judged["own_code"], stressed)
        if judged["several"]:
            why = f"others can come between {texts[0]} and {texts[-1]}"
            return InterpreterAnswer(name, False, False, why, stressed)
        if not judged["own_lock"]:
            why = f"{texts[0]} may be several steps: nothing is known of locks in it"
            return InterpreterAnswer(name, False, False, why, stressed)
    why = "it is one step of one object, which has a lock of its own there"
    return InterpreterAnswer(name, False, True, why, stressed)


def _held(found: dict[str, Any]) -> str:
    return f"{found['locked']} is held from its beginning to its end"


def _search(result: Atomicity, here: dict[str, Any], folder: str | None) -> None:
    """Look for an interleaving that neither order explains."""
    from tracelock.session.api import explore

    calls, modules = here["calls"], here["modules"]
    first = Statement(calls[0] or result.statement)
    second = Statement(calls[1] or result.other) if result.other else first
    text = module_text(first, second, here["source"], here["serial"], calls, modules)
    expected = (Exception,) if here["raises"] else ()
    with tempfile.TemporaryDirectory() as spare:
        if folder is not None:
            os.makedirs(folder, exist_ok=True)
        with imported(folder or spare, text) as (module, path):
            found = explore(
                **workers_of(module, modules), seconds=_SEARCH, schedules=1_000,
                expected_errors=expected, backend="asyncio" if result.tasks else "threading",
            )  # fmt: skip
        result.explored, result.module = found, module.__name__
        if folder is not None and found.trace is not None:
            result.program = path
        elif folder is not None:
            os.unlink(path)


_UNSEEN = "; no interleaving was found that shows in what the two leave"


def _add_unseen(result: Atomicity) -> None:
    if result.explored is None or not result.explored.failed:
        for answer in result.answers:
            answer.why += "" if answer.atomic else _UNSEEN


def _judge_tasks(result: Atomicity, tasks: TasksAnswer) -> None:
    found = result.explored is not None and result.explored.failed
    if not tasks.atomic and result.explored is not None and not found:
        tasks.why += _UNSEEN
    anomalies = (tasks.stress or {}).get("anomalies")
    if tasks.atomic and (found or anomalies):
        what = "an interleaving shows it" if found else f"{anomalies} runs of tasks went wrong"
        result.faults.append(f"a fault of tracelock: it says that no task comes in, and {what}")
