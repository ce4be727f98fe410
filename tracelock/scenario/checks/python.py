"""What must hold of a scenario whose workers are real Python code."""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Iterator
from typing import Final

from tracelock.scenario.checks.names import least_of
from tracelock.scenario.checks.steps import FUNCTION
from tracelock.scenario.faults import Damage, Fault
from tracelock.scenario.language.expressions import quote, suggest
from tracelock.scenario.language.models import Scenario
from tracelock.scenario.language.python import PythonDecl
from tracelock.scenario.language.verbs import Call

_MODULE: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
#: Exceptions of Python itself, which need no module.
BUILTIN_ERRORS: Final = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)
#: What state a scenario of real code does not declare: its code has it.
_STATE: Final = ("shared", "objects", "always", "finally")


def check_python(scenario: Scenario, damage: Damage) -> Iterator[Fault]:
    """All that is wrong with the ``python`` part, and with workers that do not go with it."""
    python = scenario.python
    if python is None:
        return
    yield from _functions(python)
    for key in ("cancellations", "gc", "collections"):
        yield from least_of(("python", key), getattr(python, key), 0)
    yield from _cancellable(python, scenario)
    for section in _STATE:
        field = "finally_" if section == "finally" else section
        if getattr(scenario, field):
            instead = "python.check" if section in ("always", "finally") else "python.setup"
            message = f"a scenario of Python code has no {section}: that is up to {instead}"
            yield Fault((section,), message, on_key=True)
    for name, worker in scenario.workers.items():
        path = ("workers", name)
        if worker.start != "auto":
            message = "every worker of Python code starts by itself; threads that it starts follow"
            yield Fault((*path, "start"), message)
        if name in damage.workers:
            continue
        if len(worker.steps) != 1 or not isinstance(worker.steps[0], Call):
            message = 'with python, a worker is one call step: [{call: "module:function"}]'
            yield Fault((*path, "steps"), message)
        elif worker.steps[0].into is not None:
            message = "with python, nobody could read what a worker's function returns"
            yield Fault((*path, "steps", 0, "into"), message, on_key=True)


def _cancellable(python: PythonDecl, scenario: Scenario) -> Iterable[Fault]:
    """Names of workers that are none. What was recorded may have others."""
    for place, name in enumerate(python.cancellable or ()):
        if name.partition("[")[0] not in scenario.workers and not python.sources:
            hint = suggest(name, scenario.workers)
            message = f"there is no worker {quote(name)}{hint}"
            yield Fault(("python", "cancellable", place), message)


def _functions(python: PythonDecl) -> Iterable[Fault]:
    for key in ("setup", "check"):
        name = getattr(python, key)
        # what was recorded may have no name to call it by: a lambda, a function in a function
        if name is not None and not FUNCTION.fullmatch(name) and not python.sources:
            yield Fault(("python", key), f'"module:function" belongs here, not {quote(name)}')
    for place, name in enumerate(python.instrument or ()):
        if not _MODULE.fullmatch(name):
            path = ("python", "instrument", place)
            yield Fault(path, f"the name of a module belongs here, not {quote(name)}")
    for place, name in enumerate(python.expected_errors or ()):
        path = ("python", "expected_errors", place)
        if ":" in name:
            if not FUNCTION.fullmatch(name):
                yield Fault(path, f'"module:Class" belongs here, not {quote(name)}')
        elif name not in BUILTIN_ERRORS:
            hint = suggest(name, BUILTIN_ERRORS) or ' (others are written "module:Class")'
            yield Fault(path, f"unknown exception {quote(name)}{hint}")
