"""The backends by their names: whose rules hold, what runs scenarios, what runs Python code."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelock.errors import Problem, UnsupportedError, UsageError

if TYPE_CHECKING:
    from tracelock.backends.base import Backend, Options
    from tracelock.engine.limits import RunLimits
    from tracelock.instrument.program import PythonProgram
    from tracelock.instrument.threads.backend import PythonBackend
    from tracelock.objects import Rules
    from tracelock.scenario.language.models import Scenario
    from tracelock.scenario.program import Program


class _Entry(NamedTuple):
    """One backend. ``rules``: the name of its rules. ``make``: what runs scenarios on it;
    ``python``: what runs Python code on it, None where nothing does. ``note``: what there is to say
    of it on this machine. ``needs``: a module that has to be installed."""

    rules: str
    make: Callable[[Program, Options, Rules], Backend]
    python: Callable[[PythonProgram, RunLimits], PythonBackend] | None
    note: Callable[[], str] = lambda: ""
    needs: str | None = None

    @property
    def here(self) -> bool:
        """Whether it can be used on this machine."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


# Each imports its backend when it is wanted: the others cost nothing.
def _threading(program: Program, options: Options, rules: Rules) -> Backend:
    from tracelock.backends.threads.backend import ThreadingBackend

    return ThreadingBackend(program, options)


def _multiprocessing(program: Program, options: Options, rules: Rules) -> Backend:
    from tracelock.backends.processes.backend import MultiprocessingBackend

    return MultiprocessingBackend(program, options)


def _asyncio(program: Program, options: Options, rules: Rules) -> Backend:
    from tracelock.backends.tasks.asyncio_backend import AsyncioBackend

    return AsyncioBackend(program, options)


def _trio(program: Program, options: Options, rules: Rules) -> Backend:
    from tracelock.backends.tasks.trio_backend import TrioBackend

    return TrioBackend(program, options)


def _simulated(program: Program, options: Options, rules: Rules) -> Backend:
    from tracelock.backends.simulated import SimulatedBackend

    return SimulatedBackend(program, options, rules)


def _python_threading(program: PythonProgram, limits: RunLimits) -> PythonBackend:
    from tracelock.instrument.threads.backend import PythonBackend

    return PythonBackend(program, limits)


def _python_multiprocessing(program: PythonProgram, limits: RunLimits) -> PythonBackend:
    from tracelock.backends.rules import MULTIPROCESSING_RULES
    from tracelock.instrument.processes.backend import ProcessBackend

    return ProcessBackend(program, limits, MULTIPROCESSING_RULES)


def _python_asyncio(program: PythonProgram, limits: RunLimits) -> PythonBackend:
    from tracelock.instrument.loops.asyncio_backend import AsyncioBackend

    return AsyncioBackend(program, limits)


def _python_trio(program: PythonProgram, limits: RunLimits) -> PythonBackend:
    from tracelock.instrument.loops.trio_backend import TrioBackend

    return TrioBackend(program, limits)


def _gil() -> str:
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    return "with the GIL" if enabled else "free-threaded"


def _start_methods() -> str:
    import multiprocessing

    return "start methods: " + ", ".join(multiprocessing.get_all_start_methods())


_TABLE: Final[dict[str, _Entry]] = {
    "threading": _Entry("threading", _threading, _python_threading, _gil),
    "multiprocessing": _Entry(
        "multiprocessing", _multiprocessing, _python_multiprocessing, _start_methods
    ),
    "asyncio": _Entry("asyncio", _asyncio, _python_asyncio),
    "trio": _Entry("trio", _trio, _python_trio, needs="trio"),
    "simulated": _Entry(
        "threading", _simulated, None,
        lambda: "no concurrency: the models alone, under the rules of threading",
    ),
}  # fmt: skip
BACKENDS: Final = tuple(_TABLE)
#: Those on which something really runs.
REAL: Final = tuple(name for name, entry in _TABLE.items() if entry.python is not None)


def _entry(backend: str) -> _Entry:
    if backend not in _TABLE:
        raise UsageError(f"unknown backend {backend!r}: it is one of {', '.join(BACKENDS)}")
    return _TABLE[backend]


def rules_of(backend: str) -> Rules:
    """The rules of a backend by name; the simulated one follows those of threading.

    Raises UsageError for a name that is not in ``BACKENDS``.
    """
    from tracelock.backends import rules

    found: Rules = getattr(rules, f"{_entry(backend).rules.upper()}_RULES")
    return found


def make_backend(backend: str, program: Program, options: Options, rules: Rules) -> Backend:
    """A backend by name, set up for ``program``. Raises UsageError where it is not installed."""
    entry = _entry(backend)
    if not entry.here:
        raise UsageError(
            f"the {backend} backend needs {entry.needs}: pip install 'tracelock[{entry.needs}]'"
        )
    return entry.make(program, options, rules)


def make_python_backend(backend: str, program: PythonProgram, limits: RunLimits) -> PythonBackend:
    """The backend of that name for Python code. Raises UsageError for one that there is not."""
    make = _TABLE[backend].python if backend in _TABLE else None
    if make is None:
        raise UsageError(
            f"unknown backend {backend!r} for Python code: it is one of {', '.join(REAL)}"
        )
    return make(program, limits)


def backends_here() -> list[dict[str, Any]]:
    """What each backend can do on this machine: name, available, refuses, notes."""
    rows = []
    for name, entry in _TABLE.items():
        note = entry.note() if entry.here else f"not installed: pip install 'tracelock[{name}]'"
        rows.append(
            {"name": name, "available": entry.here, "note": note,
             "refuses": dict(rules_of(name).refuses)}
        )  # fmt: skip
    return rows


def check_supported(scenario: Scenario, backend: str, *, allow_call: bool = False) -> None:
    """Refuse, before anything starts, what a backend cannot do.

    Raises UnsupportedError with the place of each step and the backends that can do it, and
    UsageError for a ``call`` step that the user has not allowed.
    """
    from tracelock.scenario.language.usage import features_of

    refuses = rules_of(backend).refuses
    problems: list[Problem] = []
    for feature, at in features_of(scenario):
        if feature == "call":
            if not allow_call:
                message = "runs Python code, which has to be allowed: --allow-call"
                problems.append(_problem(scenario, at, message))
            continue
        reason = refuses.get(feature)
        if reason is None:
            continue
        able = [name for name in REAL if feature not in rules_of(name).refuses]
        where = f"can be run on: {', '.join(able)}" if able else "no backend can do this"
        problems.append(_problem(scenario, at, f"{backend}: {reason} ({where})"))
    if problems:
        raise UnsupportedError(problems)


def _problem(scenario: Scenario, at: str, message: str) -> Problem:
    name, line, column = scenario.place_of(at)
    return Problem(name, line, column, at, message)
