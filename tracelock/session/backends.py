"""The backends by their names: whose rules hold, what runs scenarios, what runs Python code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelock.backends.base import Backend, Options
from tracelock.backends.rules import RULES, rules_name
from tracelock.engine.limits import RunLimits
from tracelock.errors import Problem, UnsupportedError, UsageError, unknown
from tracelock.objects import Rules

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend
    from tracelock.instrument.program import PythonProgram
    from tracelock.scenario.language.models import Scenario
    from tracelock.scenario.program import Program


class _Entry(NamedTuple):
    """One backend: ``module:class`` of what runs scenarios on it and of what runs Python code
    (None: nothing does), each imported when it is wanted; the name of the rules of the objects of
    the latter. ``note``: what there is to say of it on this machine. ``needs``: what has to be
    installed."""

    kind: str
    python: str | None
    python_rules: str = "threading"
    note: Callable[[], str] = lambda: ""
    needs: str | None = None

    @property
    def here(self) -> bool:
        """Whether it can be used on this machine."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def _gil() -> str:
    enabled = getattr(sys, "_is_gil_enabled", lambda: True)()
    return "with the GIL" if enabled else "free-threaded"


def _start_methods() -> str:
    import multiprocessing

    return "start methods: " + ", ".join(multiprocessing.get_all_start_methods())


_TABLE: Final = {
    "threading": _Entry(
        "tracelock.backends.threads.backend:ThreadingBackend",
        "tracelock.instrument.threads.backend:ThreadBackend", note=_gil,
    ),
    "multiprocessing": _Entry(
        "tracelock.backends.processes.backend:MultiprocessingBackend",
        "tracelock.instrument.processes.backend:ProcessBackend", "multiprocessing",
        note=_start_methods,
    ),
    "asyncio": _Entry(
        "tracelock.backends.tasks.asyncio_backend:AsyncioBackend",
        "tracelock.instrument.loops.asyncio_backend:AsyncioLoopBackend",
    ),
    "trio": _Entry(
        "tracelock.backends.tasks.trio_backend:TrioBackend",
        "tracelock.instrument.loops.trio_backend:TrioLoopBackend", needs="trio",
    ),
    "simulated": _Entry(
        "tracelock.backends.simulated:SimulatedBackend", None,
        note=lambda: "no concurrency: the models alone, under the rules of threading",
    ),
}  # fmt: skip
BACKENDS: Final = tuple(_TABLE)
#: Those on which something really runs.
REAL: Final = tuple(name for name, entry in _TABLE.items() if entry.python is not None)


def _entry(backend: str) -> _Entry:
    if backend not in _TABLE:
        raise unknown("backend", backend, BACKENDS)
    return _TABLE[backend]


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def rules_of(backend: str) -> Rules:
    """The rules of a backend by name; the simulated one follows those of threading.

    Raises UsageError for a name that is not in ``BACKENDS``.
    """
    _entry(backend)
    return RULES[rules_name(backend)]


def make_backend(backend: str, program: Program, options: Options, rules: Rules) -> Backend:
    """A backend by name, set up for ``program``. Raises UsageError where it is not installed."""
    entry = _entry(backend)
    if not entry.here:
        raise UsageError(
            f"the {backend} backend needs {entry.needs}: pip install 'tracelock[{entry.needs}]'"
        )
    # models follow whatever rules they are given
    more = (rules,) if entry.python is None else ()
    made: Backend = _load(entry.kind)(program, options, *more)
    return made


def make_python_backend(backend: str, program: PythonProgram, limits: RunLimits) -> PythonBackend:
    """The backend of that name for Python code. Raises UsageError for one that there is not."""
    entry = _TABLE.get(backend)
    if entry is None or entry.python is None:
        raise unknown("backend", backend, REAL)
    made: PythonBackend = _load(entry.python)(program, limits)
    made.rules = RULES[entry.python_rules]
    return made


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
                problems.append(scenario.problem(at, message))
            continue
        reason = refuses.get(feature)
        if reason is None:
            continue
        able = [name for name in REAL if feature not in rules_of(name).refuses]
        where = f"can be run on: {', '.join(able)}" if able else "no backend can do this"
        problems.append(scenario.problem(at, f"{backend}: {reason} ({where})"))
    if problems:
        raise UnsupportedError(problems)
