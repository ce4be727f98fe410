"""``pytest --pdb`` on a failing schedule, and the replay of a test under the debugger.

The test's own frames are where it stops, in a replay of its smallest failing schedule: pytest's own
debugger would stop in the plugin, after everything is over.
"""

from __future__ import annotations

import bdb
import contextlib
import os
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tracelock.pytest_plugin.failure_text import ScheduleFailed

if TYPE_CHECKING:
    from tracelock.session.target import Target
    from tracelock.trace import Trace

#: What debugs a target: called with what calls the debugger, once everything is as in a replay.
Debugs = Callable[[Callable[["Target"], None]], None]


class ScheduleStopped(ScheduleFailed, bdb.BdbQuit):
    """The same where pytest was given ``--pdb``. ``debug`` replays it under the debugger.

    It is one of those that pytest does not start its own debugger for.
    """

    __module__ = "builtins"
    __qualname__ = "ScheduleFailed"
    trace: Trace
    debug: Debugs


ScheduleStopped.__name__ = "ScheduleFailed"  # as pytest's summary shows it


def failed(item: pytest.Item, text: str, trace: Trace | None, debug: Debugs) -> ScheduleFailed:
    """The exception of a test of which a schedule has failed."""
    if not item.config.getoption("usepdb", False) or trace is None:
        return ScheduleFailed(text)
    found = ScheduleStopped(text)
    found.trace, found.debug = trace, debug
    return found


class Debugging:
    """Enters the debugger for schedules that have failed; a plugin of a run with ``--pdb``."""

    def __init__(self) -> None:
        self._item: pytest.Item | None = None
        self._error: ScheduleStopped | None = None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        error = None if call.excinfo is None else call.excinfo.value
        if isinstance(error, ScheduleStopped) and report.failed:
            self._item, self._error = item, error
        return report

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        item, error = self._item, self._error
        self._item = self._error = None
        if item is None or error is None or item.nodeid != report.nodeid:
            return

        def show(writer: Any) -> None:
            writer.sep(">", "failing schedule")
            report.toterminal(writer)
            writer.sep(">", "tracelock replays it (help, workers, back, q)")

        trace, failure = error.trace, error

        def enter(target: Target) -> None:
            run_debugger(item, target, trace, "pdb", None, show)

        failure.debug(enter)
        pytest.exit("Quitting debugger")


def run_debugger(
    item: pytest.Item, target: Target, trace: Trace, how: str, at: str | None,
    show: Callable[[Any], None] = lambda writer: None,
) -> None:  # fmt: skip
    """Debug a replay on the terminal (``pdb``), or for an editor (``dap:PORT``). ``show`` is called
    with pytest's writer first."""
    config = item.config
    with _terminal(config) as writer:
        show(writer)
        if how == "pdb":
            from tracelock.debugger.console import debug

            debug(target, trace, at)
        else:
            from tracelock.debugger.dap.serving import serve

            serve(target, trace, int(how.partition(":")[2]), at, writer.line)


def on_terminal(config: pytest.Config) -> bool:
    """Whether there is somebody to ask: pytest's own streams are terminals."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend(in_=True)
    try:
        return all(map(os.isatty, (0, 1)))
    except OSError:
        return False
    finally:
        if capture is not None:
            capture.resume()


@contextlib.contextmanager
def _terminal(config: pytest.Config) -> Iterator[Any]:
    """While this is entered the terminal is the user's: nothing is captured, and plugins that
    watch the time are told."""
    capture = config.pluginmanager.getplugin("capturemanager")
    none: Any = None
    if capture is not None:
        capture.suspend(in_=True)
    config.hook.pytest_enter_pdb(config=config, pdb=none)
    writer = config.get_terminal_writer()
    writer.line()
    try:
        yield writer
    finally:
        config.hook.pytest_leave_pdb(config=config, pdb=none)
        if capture is not None:
            capture.resume()
