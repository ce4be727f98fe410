"""The pytest plugin: tests run under control, scenario files and traces as tests.

``@pytest.mark.tracelock`` on a test function, plain or async, or on a method of a
``unittest.TestCase``, explores its schedules: the body of the test runs once for each, with every
thread or task that it starts. Fixtures of function scope, ``setup_method`` and ``setUp``, and the
instance of the class are *made anew for each schedule* and torn down after it, which is part of
it. What wider scopes have made is shared by all schedules, as between tests, and put back for each
where that can be done. ``pytest --tracelock`` explores the tests of a suite as they are.

A test that fails keeps its smallest failing schedule in ``.tracelock/`` and begins with it the next
time. Everything of substance is imported when the first such test runs: a run of pytest without
one costs nothing more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from tracelock.session.explored import Explored

_MARKER: Final = (
    "tracelock(schedules, seconds, strategy, seed, clock, cancellations, cancellable, gc, "
    "faults, network, crash_consistency, outside, instrument, backend, expected_errors): run the "
    "test under "
    "tracelock's control, in many schedules of its threads or tasks"
)
_AUDIT: Final = (
    "tracelock_audit(cls, ...): audit this class, as tracelock.audit does, before the test runs"
)
_SCENARIOS: Final = "collect *.tracelock.yaml files, and the traces in traces/, as tests"


def _positive(kind: type[Any]) -> Callable[[str], Any]:
    """An option that is a number above 0."""

    def number(text: str) -> Any:
        value = kind(text)
        if value <= 0:
            raise ValueError
        return value

    number.__name__ = "number above 0"  # as pytest's message calls it
    return number


def _counted(text: str) -> int:
    """An option that is a number, 0 or more."""
    if int(text) < 0:
        raise ValueError
    return int(text)


_counted.__name__ = "number, 0 or more,"


#: What is written of an option that ``tracelock replay`` gives, and nobody else.
INTERNAL: Final = "(tracelock replay)"
#: The options: what stands for the value, "" for a flag, and what it is for.
OPTIONS: Final = {
    "--tracelock": ("", "explore the schedules of every test in which something is concurrent"),
    "--tracelock-schedules": ("N", "of each test that --tracelock explores (100)"),
    "--tracelock-seconds": ("S", "for each test that --tracelock explores (3)"),
    "--tracelock-faults":
        ("N", "how many faults of the network may come in, in tests whose marker does not say (0)"),
    "--tracelock-fault-kinds": ("KIND,...", "which ones, as 'reset,delay' (all)"),
    "--tracelock-statistics":
        ("", "show what was seen of each test under control, and what was not"),
    "--tracelock-all-events":
        ("", "show every event of a failing schedule, and not only the source lines that matter"),
    "--tracelock-json": ("FILE", "write these statistics as JSON"),
    "--tracelock-scenarios": ("", _SCENARIOS),
    "--tracelock-allow-call":
        ("", "let those scenarios and traces run the Python code that they name"),
    "--tracelock-replay":
        ("TRACE", "replay this trace of a test, which has to be the one that is run"),
    "--tracelock-debug": ("HOW", INTERNAL),
    "--tracelock-at": ("HOW", INTERNAL),
    "--tracelock-token":
        ("TOKEN", "make the schedule of this token (tl1-...) again, of the test that it is of"),
    "--tracelock-report":
        ("DIR", "write of each failing test the trace, a page and Markdown for an issue into DIR"),
    "--tracelock-replay-status": ("", INTERNAL),
}  # fmt: skip
#: Those whose value is no text.
_NUMBERS: Final = {
    "--tracelock-schedules": _positive(int), "--tracelock-seconds": _positive(float),
    "--tracelock-faults": _counted,
}  # fmt: skip
#: What stands in the configuration: what it is for, and whether it is yes or no.
SETTINGS: Final = {
    "tracelock_schedules": ("of each test that --tracelock explores (100)", False),
    "tracelock_seconds": ("for each test that --tracelock explores (3)", False),
    "tracelock_scenarios": (_SCENARIOS, True),
    "tracelock_allow_call": ("let them run the Python code that they name", True),
    "tracelock_strict": ("fail tests under control in which nothing ran concurrently", True),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tracelock", "reproducible concurrency bugs (tracelock)")
    for name, (value, about) in OPTIONS.items():
        how: dict[str, Any] = {"metavar": value} if value else {"action": "store_true"}
        if name in _NUMBERS:
            how["type"] = _NUMBERS[name]
        group.addoption(name, help=about, **how)
    for name, (about, decides) in SETTINGS.items():
        how = {"type": "bool", "default": False} if decides else {}
        parser.addini(name, about, **how)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    config.addinivalue_line("markers", _AUDIT)
    if config.getoption("--tracelock-fault-kinds") is not None:
        from tracelock.pytest_plugin.network_faults import check_kinds

        check_kinds(config)
    if config.getoption("usepdb", False):
        from tracelock.pytest_plugin.debugging import Debugging

        config.pluginmanager.register(Debugging(), Debugging.__name__)
    if config.getoption("--tracelock-all-events"):
        from tracelock.pytest_plugin.failure_text import show_all_events

        show_all_events(True)
    if _replays(config):
        from tracelock.pytest_plugin.replaying import Replaying

        config.pluginmanager.register(Replaying(config), Replaying.__name__)
    elif config.getoption("--tracelock"):
        from tracelock.pytest_plugin.suite import Suite

        config.pluginmanager.register(Suite(config), Suite.__name__)


def _replays(config: pytest.Config) -> bool:
    """Whether this run of pytest is a replay."""
    return bool(config.getoption("--tracelock-replay") or config.getoption("--tracelock-token"))


# --- tests under control ---------------------------------------------------------------------
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    # Its ``runtest`` is replaced, and not the call of the function, because other plugins (for
    # async tests) replace either, and none of them is to run this one.
    if item.get_closest_marker("tracelock") is not None or _is_replayed(item):
        from tracelock.pytest_plugin.marked import take_over

        take_over(item)
    elif (marker := item.get_closest_marker("tracelock_audit")) is not None:
        from tracelock.pytest_plugin.auditing import run_audit

        run_audit(item, marker)
    return (yield)


def _is_replayed(item: pytest.Item) -> bool:
    """Whether the trace that is replayed is that of this test, explored by ``--tracelock``."""
    if not _replays(item.config):
        return False
    from tracelock.pytest_plugin.kept import node_id
    from tracelock.pytest_plugin.replaying import Replaying

    replaying = Replaying.of(item.config)
    called = "tracelock_explore" in getattr(item, "fixturenames", ())
    return replaying is not None and replaying.is_of(node_id(item)) and not called


@pytest.fixture
def tracelock_explore(request: pytest.FixtureRequest) -> Callable[..., Explored]:
    """``tracelock.explore``, whose failing schedule is kept with the test and is tried first.

    Takes the same arguments. A failing schedule is kept when the test fails, so that a test may
    also assert that one is found.
    """
    from tracelock.pytest_plugin.exploring import explorer

    return explorer(request.node)


# --- files -----------------------------------------------------------------------------------
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    name = file_path.name
    scenario = name.endswith((".tracelock.yaml", ".tracelock.yml", ".tracelock.json"))
    trace = file_path.parent.name == "traces" and name.endswith((".json", ".json.gz"))
    config = parent.config
    if not (scenario or trace) or not (
        config.getoption("--tracelock-scenarios") or config.getini("tracelock_scenarios")
    ):
        return None
    from tracelock.pytest_plugin.files import ScenarioFile, TraceFile

    kind = ScenarioFile if scenario else TraceFile
    collector: pytest.Collector = kind.from_parent(parent, path=file_path)
    return collector


# --- at the end ------------------------------------------------------------------------------
def pytest_terminal_summary(terminalreporter: Any) -> None:
    results = sys.modules.get("tracelock.pytest_plugin.results")
    if results is not None or terminalreporter.config.getoption("--tracelock-json"):
        from tracelock.pytest_plugin.results import summarise

        summarise(terminalreporter)
    lines = [
        f"{report.nodeid}\n  replay it: {command}"
        for report in terminalreporter.getreports("failed")
        for command in getattr(report, "tracelock_replay", ())
    ]
    if lines:
        terminalreporter.section("failing schedules (tracelock)")
        for line in lines:
            terminalreporter.write_line(line)
