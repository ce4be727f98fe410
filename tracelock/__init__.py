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
    from tracelock.scenario.jsonschema import scenario_schema
    from tracelock.scenario.loading import (
        load_scenario,
        load_scenario_text,
        scenario_from_data,
    )
    from tracelock.scenario.models import (
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
        Expectation,
        Fail,
        FetchAdd,
        Get,
        If,
        Join,
        Let,
        Notify,
        ObjectDecl,
        Put,
        Read,
        Release,
        Repeat,
        Scenario,
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
        WorkerDecl,
        Write,
    )
    from tracelock.session import ReplayResult, backends_here, replay, run
    from tracelock.session.after_fix import Checked, check_fix
    from tracelock.session.exploring import Explored, SearchFailed, explore
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
    "tracelock.engine.limits": ("RunLimits",),
    "tracelock.errors": (
        "Divergence", "ImpossibleHere", "InternalError", "LimitReached", "ModelMismatch",
        "Problem", "ScenarioError", "TraceError", "TracelockError", "UnsupportedError",
        "UsageError",
    ),
    "tracelock.scenario.jsonschema": ("scenario_schema",),
    "tracelock.scenario.loading": ("load_scenario", "load_scenario_text", "scenario_from_data"),
    "tracelock.scenario.models": (
        "Acquire", "Assert", "Atomic", "Break", "Call", "Cancel", "Checkpoint", "Clear",
        "CompareExchange", "Continue", "Crash", "Exchange", "Expectation", "Fail", "FetchAdd",
        "Get", "If", "Join", "Let", "Notify", "ObjectDecl", "Put", "Read", "Release", "Repeat",
        "Scenario", "Set", "Sleep", "Spawn", "Step", "Stop", "Timeout", "Try", "Wait", "While",
        "With", "Work", "WorkerDecl", "Write",
    ),
    "tracelock.session": ("ReplayResult", "backends_here", "replay", "run"),
    "tracelock.session.after_fix": ("Checked", "check_fix"),
    "tracelock.compare": ("Comparison", "compare"),
    "tracelock.session.exporting": ("export",),
    "tracelock.session.exploring": ("Explored", "SearchFailed", "explore"),
    "tracelock.session.shrinking": ("ShrunkTrace", "predict", "shrink"),
    "tracelock.trace": (
        "MISSING", "Blocked", "Event", "Events", "Trace", "Verdict", "load_trace",
        "load_trace_text", "recover",
    ),
}  # fmt: skip
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "MISSING", "Acquire", "Assert", "Atomic", "Blocked", "Break", "Call", "Cancel", "Checked",
    "Checkpoint", "Clear", "CompareExchange", "Comparison", "Continue", "Crash", "Divergence",
    "Event",
    "Events", "Exchange", "Expectation", "Explored", "Fail", "FetchAdd", "Get", "If",
    "ImpossibleHere", "InternalError", "Join", "Let", "LimitReached", "ModelMismatch", "Notify",
    "ObjectDecl", "Problem", "Put", "Read", "Release", "Repeat", "ReplayResult", "RunLimits",
    "Scenario", "ScenarioError", "SearchFailed", "Set", "ShrunkTrace", "Sleep", "Spawn", "Step",
    "Stop", "Timeout", "Trace", "TraceError", "TracelockError", "Try", "UnsupportedError",
    "UsageError", "Verdict", "Wait", "While", "With", "Work", "WorkerDecl", "Write",
    "__version__", "backends_here", "check_fix", "compare", "explore", "export", "load_scenario",
    "load_scenario_text", "load_trace", "load_trace_text", "predict", "recover", "replay",
    "run", "scenario_from_data", "scenario_schema", "shrink",
]  # fmt: skip

if not TYPE_CHECKING:  # a type checker shall know every name, and complain about all others
    import sys
    from types import ModuleType

    class _Package(ModuleType):
        """The package itself. Importing the room ``compare`` must not hide the function of that
        name, as the import system, which sets the room as an attribute, otherwise would."""

        def __setattr__(self, name: str, value: object) -> None:
            if not (name in _HOME_OF and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

    sys.modules[__name__].__class__ = _Package

    def __getattr__(name: str) -> Any:
        module = _HOME_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import importlib

        value = getattr(importlib.import_module(module), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
