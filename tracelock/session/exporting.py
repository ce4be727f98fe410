"""Export: a scenario or a trace as a plain Python program, or as a regression test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from tracelock.backends.calls import check_calls
from tracelock.errors import Divergence, TracelockError, UsageError
from tracelock.session.backends import REAL, check_supported
from tracelock.session.plan import Settings
from tracelock.session.replaying import replay_target
from tracelock.session.scenarios import compile_program
from tracelock.session.target import Capability, require
from tracelock.session.targets import python_of, target_for, target_of
from tracelock.trace import Trace, load_trace

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.forcing.exporting import ForcedExport

__all__ = ["TARGETS", "export", "read_source"]

#: What a scenario or trace can be exported as.
TARGETS: Final = (*REAL, "python", "pytest")
#: Switches of a trace above which it is made smaller first: each is a line or two of the program.
MANY: Final = 24


def read_source(path: str | os.PathLike[str]) -> Scenario | Trace:
    """A scenario or a trace, whichever the file is. Raises ScenarioError or TraceError."""
    from tracelock.scenario.loading import load_scenario

    name = os.fspath(path)
    plain = name[:-3] if name.endswith(".gz") else name
    if plain.endswith((".yaml", ".yml")):
        return load_scenario(name)
    try:
        return load_trace(name)
    except TracelockError as error:
        if not plain.endswith(".json") or name.endswith(".gz"):
            raise
        try:
            return load_scenario(name)
        except TracelockError:
            raise error from None


def export(
    source: Scenario | Trace | str | os.PathLike[str],
    target: str = "threading",
    *,
    backend: str | None = None,
    origin: str | None = None,
    allow_call: bool = False,
) -> str:
    """The source of a Python program that does what ``source`` does, and needs no tracelock.

    ``source``: a scenario, a trace, or the path of one. ``target``: one of ``TARGETS``. A trace
    that failed becomes a program forced through the same interleaving, which fails every time; a
    long one is shrunk first. It may be exported for another backend if its interleaving is possible
    there. ``pytest``: of a trace a test that forces it, on the trace's backend or ``backend``; of
    a scenario a test that explores it with tracelock on the rules of ``backend`` (threading).
    ``python``: on the trace's backend, or on threads. ``origin``: the command that made it, for
    the docstring. Nothing is run but models (and, for another backend, a replay).

    A trace of real code becomes a program that runs this code and forces it at its own source
    lines, as ``python``, ``pytest`` or its own backend; with ``allow_call`` it is run first and
    handed out only where it fails each time (``session.forcing``).

    Raises ScenarioError, UnsupportedError where the backend cannot do a step, ImpossibleHere or
    another Divergence where the interleaving is impossible there, UsageError for what makes no
    sense, as an unknown target, and for a trace of real code that cannot be forced.
    """
    from tracelock.export.program import plain_program
    from tracelock.export.testing import searching_test

    check_calls(allow_call)
    if target not in TARGETS:
        raise UsageError(f"cannot export as {target!r}: it is one of {', '.join(TARGETS)}")
    if backend is not None and (target != "pytest" or backend not in REAL):
        raise UsageError("a backend (of the four real ones) can be chosen for a pytest test only")
    if isinstance(source, str | os.PathLike):
        source = read_source(source)
    test = target == "pytest"
    if isinstance(source, Trace) and python_of(source) is not None:
        return forced(source, target, backend, origin, allow_call).source
    if target == "python":
        own = source.backend if isinstance(source, Trace) else "threading"
        target = own if own in REAL else "threading"
    if isinstance(source, Trace):
        where = source.backend if source.backend in REAL else "threading"
        where = (backend or where) if test else target
        trace, scenario = _prepared(source, where, allow_call)
        return plain_program(scenario, where, trace, origin=origin, pytest=test).source
    source = target_for(source).scenario()
    compile_program(source)
    where = (backend or "threading") if test else target
    check_supported(source, where, allow_call=True)
    if test:
        return searching_test(source, where, origin)
    return plain_program(source, target, origin=origin).source


def forced(
    trace: Trace, target: str, backend: str | None, origin: str | None, allow_call: bool
) -> ForcedExport:
    """A trace of real code as a program, and how often that was tried. Raises as ``export``."""
    from tracelock.session.forcing.exporting import export_forced

    subject = target_of(trace)
    if target not in ("python", "pytest", trace.backend) or backend not in (None, trace.backend):
        require(subject, Capability.OTHER_BACKEND, backend=trace.backend)
    return export_forced(trace, pytest=target == "pytest", origin=origin, allow_call=allow_call)


def _prepared(trace: Trace, backend: str, allow_call: bool) -> tuple[Trace, Scenario]:
    """The trace as it is to be forced on a backend, and its scenario."""
    from tracelock.session.shrinking import shrink

    subject = target_of(trace)
    scenario = subject.scenario()
    check_supported(scenario, backend, allow_call=True)
    if trace.verdict.kind == "unfinished":
        raise UsageError("the trace is unfinished: there is no end to force the program to")
    if trace.verdict.kind != "passed" and (trace.mode == "recorded" or _switches(trace) > MANY):
        trace = shrink(trace, confirm=0, allow_call=allow_call).trace
    if _switches(trace) > 40 * MANY:
        raise UsageError(f"the trace has {_switches(trace):,} switches: too many to write out")
    if backend != trace.backend:
        settings = Settings(backend, allow_call=allow_call)
        result = replay_target(subject, trace, settings)
        if result.diverged is not None:
            raise result.diverged
        if not result.reproduced:
            last = len(trace.events)
            raise Divergence(
                last, f"the end {trace.verdict.kind}", result.verdict.kind,
                f"on {backend} the same steps end otherwise: {result.verdict.message}",
            )  # fmt: skip
        trace = result.trace
    return trace, scenario


def _switches(trace: Trace) -> int:
    before, found = -1, 0
    for event in trace.events:
        found += event.worker != before
        before = event.worker
    return found
