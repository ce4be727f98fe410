"""tracelock makes concurrency bugs reproducible: it records, searches and replays interleavings.

::

    import tracelock

    scenario = tracelock.load_scenario("scenarios/unlocked_counter.yaml")
    trace = tracelock.run(scenario, backend="threading", strategy="random", seed=7)
    print(trace.verdict.kind)               # "passed", "failed", "deadlock", ...
    trace.save("lost-update.json")

    again = tracelock.replay(tracelock.load_trace("lost-update.json"))
    assert again.reproduced

Everything here is imported when it is first used: ``import tracelock`` itself costs nothing.
All that tracelock raises of its own is a :class:`TracelockError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

__version__: Final = "0.1.0"

if TYPE_CHECKING:
    from tracelock.analysis.analyze import Analysis, analyze
    from tracelock.analysis.findings import Finding
    from tracelock.compare import Comparison, compare
    from tracelock.engine.limits import RunLimits
    from tracelock.errors import (
        Divergence,
        ImpossibleHere,
        InternalError,
        LimitReached,
        ModelMismatch,
        Problem,
        ScenarioError,
        TraceError,
        TracelockError,
        UnsupportedError,
        UsageError,
    )
    from tracelock.report.render import render_report
    from tracelock.scenario.language.jsonschema import scenario_schema
    from tracelock.scenario.language.models import Expectation, ObjectDecl, Scenario, WorkerDecl
    from tracelock.scenario.language.python import PythonDecl
    from tracelock.scenario.language.verbs import (
        Acquire,
        Assert,
        Atomic,
        Break,
        Call,
        Cancel,
        Checkpoint,
        Clear,
        CompareExchange,
        Continue,
        Crash,
        Exchange,
        Fail,
        FetchAdd,
        Get,
        If,
        Join,
        Let,
        Notify,
        Put,
        Read,
        Release,
        Repeat,
        Set,
        Sleep,
        Spawn,
        Step,
        Stop,
        Timeout,
        Try,
        Wait,
        While,
        With,
        Work,
        Write,
    )
    from tracelock.scenario.loading import (
        load_scenario,
        load_scenario_text,
        scenario_from_data,
    )
    from tracelock.session import ReplayResult, backends_here, run
    from tracelock.session.after_fix import Checked, check_fix
    from tracelock.session.api import explore, replay
    from tracelock.session.exploring import Explored, SearchFailed
    from tracelock.session.exporting import export
    from tracelock.session.shrinking import ShrunkTrace, predict, shrink
    from tracelock.trace import (
        MISSING,
        Blocked,
        Event,
        Events,
        Trace,
        Verdict,
        load_trace,
        load_trace_text,
        recover,
    )

_HOMES: Final[dict[str, tuple[str, ...]]] = {
    "tracelock.analysis.analyze": ("Analysis", "analyze"),
    "tracelock.analysis.findings": ("Finding",),
    "tracelock.engine.limits": ("RunLimits",),
    "tracelock.errors": (
        "Divergence", "ImpossibleHere", "InternalError", "LimitReached", "ModelMismatch",
        "Problem", "ScenarioError", "TraceError", "TracelockError", "UnsupportedError",
        "UsageError",
    ),
    "tracelock.report.render": ("render_report",),
    "tracelock.scenario.language.jsonschema": ("scenario_schema",),
    "tracelock.scenario.loading": ("load_scenario", "load_scenario_text", "scenario_from_data"),
    "tracelock.scenario.language.models": (
        "Expectation", "ObjectDecl", "Scenario", "WorkerDecl",
    ),
    "tracelock.scenario.language.python": ("PythonDecl",),
    "tracelock.scenario.language.verbs": (
        "Acquire", "Assert", "Atomic", "Break", "Call", "Cancel", "Checkpoint", "Clear",
        "CompareExchange", "Continue", "Crash", "Exchange", "Fail", "FetchAdd", "Get", "If",
        "Join", "Let", "Notify", "Put", "Read", "Release", "Repeat", "Set", "Sleep", "Spawn",
        "Step", "Stop", "Timeout", "Try", "Wait", "While", "With", "Work", "Write",
    ),
    "tracelock.session": ("ReplayResult", "backends_here", "run"),
    "tracelock.session.after_fix": ("Checked", "check_fix"),
    "tracelock.compare": ("Comparison", "compare"),
    "tracelock.session.api": ("explore", "replay"),
    "tracelock.session.exploring": ("Explored", "SearchFailed"),
    "tracelock.session.exporting": ("export",),
    "tracelock.session.shrinking": ("ShrunkTrace", "predict", "shrink"),
    "tracelock.trace": (
        "MISSING", "Blocked", "Event", "Events", "Trace", "Verdict", "load_trace",
        "load_trace_text", "recover",
    ),
}  # fmt: skip
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "MISSING", "Acquire", "Analysis", "Assert", "Atomic", "Blocked", "Break", "Call", "Cancel",
    "Checked", "Checkpoint", "Clear", "CompareExchange", "Comparison", "Continue", "Crash",
    "Divergence", "Event", "Events", "Exchange", "Expectation", "Explored", "Fail", "FetchAdd",
    "Finding", "Get", "If", "ImpossibleHere", "InternalError", "Join", "Let", "LimitReached",
    "ModelMismatch", "Notify", "ObjectDecl", "Problem", "Put", "PythonDecl", "Read", "Release",
    "Repeat", "ReplayResult", "RunLimits", "Scenario", "ScenarioError", "SearchFailed", "Set",
    "ShrunkTrace", "Sleep", "Spawn", "Step", "Stop", "Timeout", "Trace", "TraceError",
    "TracelockError", "Try", "UnsupportedError", "UsageError", "Verdict", "Wait", "While", "With",
    "Work", "WorkerDecl",
    "Write", "__version__", "analyze", "backends_here", "check_fix", "compare", "explore",
    "export", "load_scenario", "load_scenario_text", "load_trace", "load_trace_text", "predict",
    "recover", "render_report", "replay", "run", "scenario_from_data", "scenario_schema", "shrink",
]  # fmt: skip

#: Functions that are called like a room of the package: importing something from the room must not
#: put the room in the function's place.
_CALLED_LIKE_ROOMS: Final = frozenset({"explore", "compare", "export", "report"} & _HOME_OF.keys())

if not TYPE_CHECKING:  # a type checker shall know every name, and complain about all others
    import sys
    from types import ModuleType

    def __getattr__(name: str) -> Any:
        module = _HOME_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        value = getattr(importlib.import_module(module), name)
        if name not in _CALLED_LIKE_ROOMS:
            globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})

    class _Package(ModuleType):
        """The package: what the import system sets for a room is not seen from outside."""

    def _function(name: str) -> property:
        def get(self: ModuleType) -> Any:
            return __getattr__(name)

        def ignore(self: ModuleType, value: Any) -> None:
            if not isinstance(value, ModuleType):
                raise AttributeError(f"{name} of {__name__!r} cannot be set")

        return property(get, ignore)

    for _name in _CALLED_LIKE_ROOMS:
        setattr(_Package, _name, _function(_name))
    sys.modules[__name__].__class__ = _Package
