"""Programs of real code that are written down: in a scenario, or in a trace.

Only here are modules imported because a document names them, and only where the user has said that
they may be.
"""

from __future__ import annotations

import builtins
import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tracelock.backends.calls import check_calls, find_call
from tracelock.errors import Problem, ScenarioError, TraceError
from tracelock.instrument.crashes.rules import CrashRules
from tracelock.instrument.network.rules import NetworkRules
from tracelock.instrument.program import PythonProgram, by_name
from tracelock.session.backends import check_supported
from tracelock.session.code import PythonCode
from tracelock.session.first_party import exactly
from tracelock.trace import Trace

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario


def program_of(scenario: Scenario, *, allow_call: bool, given: PythonCode) -> PythonProgram:
    """The program of a scenario with a ``python`` part: its functions are imported.

    What ``given`` has of ``cancellations``, ``cancellable``, ``gc``, ``faults``, ``network``,
    ``instrument`` and ``expected_errors`` counts instead of what the scenario says. Raises
    UnsupportedError, with the place of each name, and imports nothing, where ``allow_call`` is
    False; ScenarioError for a name that does not lead to what it should.
    """
    python = scenario.python
    assert python is not None
    if not allow_call:
        check_supported(scenario, "threading")
    found = _Importer(scenario)
    setup = found.function("python.setup", python.setup)
    check = found.function("python.check", python.check)
    recover = found.function("python.recover", python.recover)
    expected = [
        found.error(f"python.expected_errors[{place}]", name)
        for place, name in enumerate(python.expected_errors or ())
    ]
    invariants = [
        found.function(f"python.always[{place}]", name)
        for place, name in enumerate(python.always or ())
    ]
    workers, names = _workers(scenario, found)
    if found.problems:
        raise ScenarioError(found.problems)
    collections = python.gc if python.collections is None else python.collections
    code = PythonCode(
        workers, setup, check,
        python.instrument if given.instrument is None else given.instrument,
        given.expected_errors or [error for error in expected if error is not None],
        python.how_many() if given.cancellations is None else given.cancellations,
        collections if given.gc is None else given.gc,
        python.cancellable if given.cancellable is None else given.cancellable,
        [one for one in invariants if one is not None],
        network=given.rules_beside(NetworkRules.of_table(python.network)),
        crash_consistency=given.crash_rules() if given.crash_consistency else
        CrashRules.of_table(python.crash_consistency) if isinstance(python.crash_consistency, dict)
        else python.crash_consistency,
        recover=recover,
        outside=given.outside or python.outside,
    )  # fmt: skip
    return code.program(scenario.name, document=scenario.to_data(), names=names)


def _workers(scenario: Scenario, found: _Importer) -> tuple[list[Callable[..., Any]], list[str]]:
    """The function of each instance, with its arguments if it has some, and its name."""
    from tracelock.scenario.program import Program

    assert scenario.python is not None
    # the language's own machines say which instances there are and what their arguments are
    program = Program(scenario.model_copy(update={"python": None}))
    functions: dict[str, Any] = {}
    workers, names = [], []
    for number, spec in enumerate(program.layout.workers):
        step: Any = scenario.workers[spec.group].steps[0]
        at = f"workers.{spec.group}.steps[0].call"
        if at not in functions:
            functions[at] = found.function(at, step.call)
        op = program.machine(number).begin()
        assert op is not None
        names.append(spec.name)
        function, arguments = functions[at], list(op.value)
        if arguments and function is not None:
            function = _given(function, arguments, scenario.python.setup is not None)
        workers.append(function)
    return workers, names


def _given(function: Any, arguments: list[Any], state: bool) -> Any:
    """``function`` with further arguments, after what ``setup`` returned where ``state`` is set.

    Where they can be given by name no frame of ours comes between: places are the function's own.
    """
    names = _names_of(function, int(state), len(arguments))
    if names is not None:
        named = dict(zip(names, arguments, strict=True))
        return functools.update_wrapper(functools.partial(function, **named), function)
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def call_async(*before: Any) -> Any:
            return await function(*before, *arguments)

        return call_async

    @functools.wraps(function)
    def call(*before: Any) -> Any:
        return function(*before, *arguments)

    return call


def _names_of(function: Any, skipped: int, count: int) -> list[str] | None:
    """The names of so many parameters after the first ones, None where they have none."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return None
    named = [one.name for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(named) != len(parameters) or len(named) < skipped + count:
        return None
    return named[skipped : skipped + count]


class _Importer:
    """Imports what a scenario names, and keeps what is wrong with it."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.problems: list[Problem] = []

    def function(self, at: str, name: str | None) -> Any:
        if name is None:
            return None
        function = self._find(at, name)
        if function is not None and not callable(function):
            self._wrong(at, f"{name} is no function: it is a {type(function).__name__}")
            return None
        return function

    def error(self, at: str, name: str) -> type[BaseException] | None:
        error = self._find(at, name) if ":" in name else getattr(builtins, name)
        if error is not None and not (isinstance(error, type) and issubclass(error, BaseException)):
            self._wrong(at, f"{name} is no exception")
            return None
        return error

    def _find(self, at: str, name: str) -> Any:
        check_calls()
        try:
            return find_call(name)
        except Exception as error:
            self._wrong(at, f"cannot get {name}: {type(error).__name__}: {error}")
            return None

    def _wrong(self, at: str, message: str) -> None:
        self.problems.append(self.scenario.problem(at, message))


#: Functions that a trace names besides its workers.
_GIVEN = ("setup", "check", "recover")


# --- traces ----------------------------------------------------------------------------------
def program_of_trace(trace: Trace) -> PythonProgram:
    """The program of a trace, its functions imported by their names.

    Raises TraceError, which says what to do, where they have no names to be had by.
    """
    from tracelock.scenario.language.python import document_keys
    from tracelock.scenario.loading import scenario_from_data

    python = trace.scenario["python"]
    named = _calls(trace)
    named.update((k, python[k]) for k in _GIVEN if isinstance(python.get(k), str))
    always = python.get("always")
    named.update((f"always: {one}", one) for one in (always if isinstance(always, list) else ()))
    errors = python.get("expected_errors")
    named.update((e, e) for e in (errors if isinstance(errors, list) else ()) if ":" in str(e))
    nameless = {who: name for who, name in named.items() if not by_name(name)}
    if nameless:
        raise TraceError(_how_else(nameless))
    entries = dict(trace.scenario["workers"])
    # under names that a document may have
    renamed = {f"w{place}": worker for place, worker in enumerate(entries.values())}
    document = document_keys(python)
    cancellable = document.pop("cancellable", None)  # by names that are given below
    data = {**trace.scenario, "workers": renamed, "python": document}
    scenario = scenario_from_data(data, "the trace's scenario")
    given = PythonCode(instrument=exactly(python))
    program = program_of(scenario, allow_call=True, given=given)
    works = dict(zip(instances(entries), program.workers, strict=True))
    order = trace.workers[: len(works)]
    if set(order) != works.keys():
        raise TraceError(
            f"the trace's workers ({', '.join(order)}) are not those of its scenario "
            f"({', '.join(works)})"
        )
    return replace(
        program, workers=[works[name] for name in order],
        name=str(trace.scenario.get("name", "python")),
        source={key: python[key] for key in ("pytest", "exploration") if key in python},
        document=dict(trace.scenario), names=order, cancellable=cancellable,
    )  # fmt: skip


def instances(entries: dict[str, Any]) -> list[str]:
    """The names of all workers that these entries of a scenario are."""
    names: list[str] = []
    for name, worker in entries.items():
        count = worker.get("count", 1)
        names += [name] if count == 1 else [f"{name}[{place}]" for place in range(count)]
    return names


def _calls(trace: Trace) -> dict[str, str]:
    """What each worker of the trace's scenario calls. Raises TraceError."""
    workers = trace.scenario.get("workers")
    calls = {}
    for name, worker in workers.items() if isinstance(workers, Mapping) else ():
        steps = worker.get("steps") if isinstance(worker, Mapping) else None
        step = steps[0] if isinstance(steps, list) and len(steps) == 1 else None
        call = step.get("call") if isinstance(step, Mapping) else None
        if not isinstance(call, str):
            raise TraceError(f"the trace does not say which function worker {name} is")
        calls[str(name)] = call
    return calls


def _how_else(nameless: dict[str, str]) -> str:
    """How to replay a trace whose functions cannot be imported by name."""
    parts = []
    for who, name in nameless.items():
        module, _, function = name.partition(":")
        what = f"{function} of {module}"
        if function.startswith("lambda"):
            line = function.partition(":")[2]
            what = f"a lambda in {module}" + (f", line {line.split(':')[0]}" if line else "")
        elif "<locals>" in function:
            what = f"{function.rpartition('.')[2]}, which a function of {module} defines"
        elif module == "__main__":
            what = f"{function} of a script that was run"
        parts.append(f"{who} is {what}")
    return (
        f"{'; '.join(parts)}: it cannot be imported by name. Replay the trace from Python, where "
        "they are: tracelock.replay(tracelock.load_trace(PATH), setup=..., workers=[...], "
        "check=...)"
    )
