"""The pytest plugin: tests run under control, scenario files and traces as tests.

``@pytest.mark.tracelock`` on a test function, plain or async, or on a method of a
``unittest.TestCase``, explores its schedules: the body of the test runs once for each, with every
thread or task that it starts. Fixtures of function scope, ``setup_method`` and ``setUp``, and the
instance of the class are *made anew for each schedule* and torn down after it, which is part of
it. What wider scopes have made is shared by all schedules, as between tests; a test whose first
schedule fails when it is run again is told so, with the names of these fixtures.

A test that fails keeps its smallest failing schedule in ``.tracelock/`` and begins with it the next
time. Everything of substance is imported when the first such test runs: a run of pytest without
one costs nothing more.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tracelock.session.explored import Explored

_MARKER: Final = (
    "tracelock(schedules, seconds, strategy, seed, clock, cancellations, cancellable, gc, "
    "instrument, backend, expected_errors): run the test under tracelock's control, in many "
    "schedules of its threads or tasks"
)
_SCENARIOS: Final = "collect *.tracelock.yaml files, and the traces in traces/, as tests"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tracelock", "reproducible concurrency bugs (tracelock)")
    group.addoption("--tracelock-scenarios", action="store_true", help=_SCENARIOS)
    group.addoption(
        "--tracelock-allow-call", action="store_true",
        help="let those scenarios and traces run the Python code that they name",
    )  # fmt: skip
    group.addoption(
        "--tracelock-replay", metavar="TRACE",
        help="replay this trace of a test, which has to be the one that is run",
    )  # fmt: skip
    group.addoption("--tracelock-replay-status", action="store_true", help="(tracelock replay)")
    parser.addini("tracelock_scenarios", _SCENARIOS, type="bool", default=False)
    parser.addini(
        "tracelock_allow_call", "let them run the Python code that they name", type="bool",
        default=False,
    )  # fmt: skip
    parser.addini(
        "tracelock_strict", "fail tests under control in which nothing ran concurrently",
        type="bool", default=False,
    )  # fmt: skip


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("--tracelock-replay"):
        from tracelock.pytest_plugin.replaying import Replaying

        config.pluginmanager.register(Replaying(config), Replaying.__name__)


# --- tests under control ---------------------------------------------------------------------
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    # Its ``runtest`` is replaced, and not the call of the function, because other plugins (for
    # async tests) replace either, and none of them is to run this one.
    if item.get_closest_marker("tracelock") is not None:
        from tracelock.pytest_plugin.marked import take_over

        take_over(item)
    return (yield)


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
    lines = [
        f"{report.nodeid}\n  replay it: {command}"
        for report in terminalreporter.getreports("failed")
        for command in getattr(report, "tracelock_replay", ())
    ]
    if lines:
        terminalreporter.section("failing schedules (tracelock)")
        for line in lines:
            terminalreporter.write_line(line)
