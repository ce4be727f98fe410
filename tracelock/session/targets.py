"""Which target there is: the one place that tells scenarios and Python programs apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from tracelock.backends.calls import check_calls, may_import
from tracelock.errors import InternalError, UsageError
from tracelock.session.interpreters.which import ANY
from tracelock.session.target import Capability, Target, require
from tracelock.trace import Trace

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.code import PythonCode
    from tracelock.session.host import Host
    from tracelock.session.plan import Plan
    from tracelock.session.spreading import Spreader

#: What a trace of real code is refused with.
NOT_ALLOWED: Final = (
    "this trace is of Python code, which a replay runs: that has to be allowed "
    "(--allow-call, allow_call=True)"
)
_GIVE: Final = (
    "this trace is of Python code: give its setup=, workers= and check= again, or "
    "allow_call=True to import them by the names that the trace has"
)


def target_for(
    subject: Scenario | Target | None = None,
    code: PythonCode | None = None,
    *,
    allow_call: bool = False,
) -> Target:
    """The target that a caller gives: a scenario, or the workers of ``code``.

    Where a scenario names Python code, what else ``code`` says counts instead of what it says, and
    the code is imported when it is needed: not before, and only with ``allow_call``. Raises
    UsageError for what does not go together.
    """
    check_calls(allow_call)
    if subject is not None and not isinstance(subject, Target):
        _check_scenario(subject)
    if (
        subject is not None
        and code is not None
        and (code.workers or code.setup or code.check or code.always)
    ):
        raise UsageError("a scenario has workers of its own: give the one or the other")
    if isinstance(subject, Target):
        return subject
    if subject is not None:
        return _of_scenario(subject, code, allow_call)
    from tracelock.session.code import PythonCode
    from tracelock.session.python import PythonTarget

    program = (code or PythonCode()).program()
    return PythonTarget(lambda: program, program.name)


def _check_scenario(given: Any) -> None:
    """Raises UsageError for what is no scenario, as workers that were not given by name."""
    from tracelock.scenario.language.models import Scenario

    if isinstance(given, Scenario):
        return
    several = isinstance(given, Iterable) and not isinstance(given, (str, Mapping))
    workers = list(given) if several else [given]
    if all(map(callable, workers)):
        told = ", ".join(getattr(one, "__name__", "...") for one in workers)
        raise UsageError(
            "the first argument is a scenario: workers are given by name, as in "
            f"explore(workers=[{told}])"
        )
    raise UsageError(
        f"the first argument is a scenario, as load_scenario() gives it, not {given!r:.80}"
    )


def _of_scenario(scenario: Scenario, code: PythonCode | None, allow_call: bool) -> Target:
    if scenario.python is None:
        from tracelock.session.scenarios import ScenarioTarget

        target = ScenarioTarget(scenario)
        if code is not None and (
            code.cancellations or code.cancellable or code.gc or code.faults or code.network
            or code.crash_consistency or code.outside
        ):  # fmt: skip
            require(target, Capability.INJECTIONS)
        return target
    from tracelock.session.code import PythonCode
    from tracelock.session.named_functions import program_of
    from tracelock.session.python import PythonTarget

    given = code or PythonCode()
    return PythonTarget(
        lambda: program_of(scenario, allow_call=allow_call, given=given), scenario.name,
        scenario.python.interpreter or ANY,
    )  # fmt: skip


def target_of(trace: Trace, *, code: PythonCode | None = None, allow_call: bool = False) -> Target:
    """The target that a trace is of.

    ``code``: the workers, setup and check of a trace of Python code, where the caller may give them
    again; without, they are imported by the names in the trace, when they are needed, and only with
    ``allow_call``.
    """
    check_calls(allow_call)
    python = python_of(trace)
    if python is None and (code is None or not code.workers):
        from tracelock.scenario.loading import scenario_from_data
        from tracelock.session.scenarios import ScenarioTarget

        return ScenarioTarget(scenario_from_data(trace.scenario, "the trace's scenario"))
    from tracelock.instrument.crashes.rules import CrashRules
    from tracelock.instrument.network.rules import NetworkRules
    from tracelock.instrument.outside.calls import recorded_in
    from tracelock.instrument.outside.kinds import RECORDED
    from tracelock.instrument.program import PythonProgram
    from tracelock.session.first_party import exactly
    from tracelock.session.named_functions import program_of_trace
    from tracelock.session.python import PythonTarget

    def load() -> PythonProgram:
        program = loaded()
        if program.outside:
            program.answers = recorded_in(trace.events, trace.workers)
        return program

    def loaded() -> PythonProgram:
        recorded = python or {}
        if code is not None and code.workers:
            modules: Any = code.instrument
            if modules is None and (known := exactly(recorded)) is not None:
                modules = [*known[:1], *may_import(known[1:])]
            return replace(
                code, instrument=modules, cancellations=int(recorded.get("cancellations", 0)),
                cancellable=recorded.get("cancellable"),
                gc=int(recorded.get("collections", 0)), faults=None,
                network=NetworkRules.of_table(recorded.get("network") or {}),
                crash_consistency=CrashRules.of_table(recorded.get("crash_consistency") or {}),
                outside=code.outside or (RECORDED if recorded.get("outside") else None),
            ).program()  # fmt: skip
        if not allow_call:
            raise UsageError(NOT_ALLOWED if code is None else _GIVE)
        program = program_of_trace(trace)
        if recorded.get("outside"):
            program.outside = RECORDED if code is None else code.outside or RECORDED
        return program

    return PythonTarget(load, str(trace.scenario.get("name", "python")))


def python_of(trace: Trace) -> Mapping[str, Any] | None:
    """What a trace says of the Python code that it is of; None where it is of a scenario's own
    steps."""
    python = trace.scenario.get("python")
    return python if isinstance(python, Mapping) else None


def test_of(trace: Trace) -> str | None:
    """The pytest node id of the test that a trace is of, None where it is of none."""
    node = (python_of(trace) or {}).get("pytest")
    return node if isinstance(node, str) and node else None


def spreader_for(host: Host, plan: Plan) -> Spreader:
    """What spreads and keeps the searches of an exploration, by how its target travels. Raises
    UsageError for what does not go together."""
    if host.target.travels == "data":
        from tracelock.session.spreading import Spreader

        return Spreader(host, plan)
    from tracelock.session.elsewhere.spreading import CodeSpreader
    from tracelock.session.python_host import PythonHost

    if not isinstance(host, PythonHost):
        raise InternalError(f"what travels by {host.target.travels} is no Python program")
    return CodeSpreader(host, plan)
