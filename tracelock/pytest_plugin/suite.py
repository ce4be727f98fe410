"""``pytest --tracelock``: the tests of a suite as they are, explored where something is concurrent.

Each test runs first as pytest runs it. What came of that stands, and is all there is to a test that
starts no thread and no task. The others are explored afterwards, their fixtures made anew, in a
forked process where there is such a thing, so that no test notices the exploration of another.

A failure is reported only if it comes again and depends on the schedule: of a test that passes by
itself and fails in each controlled schedule it is the control that is wrong. That test, and one
that does what cannot be controlled, counts as *not explored*, and is named at the end.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

import pytest

import tracelock.pytest_plugin.kept as kept
from tracelock.pytest_plugin import apart, results
from tracelock.pytest_plugin.debugging import failed
from tracelock.pytest_plugin.failure_text import ScheduleFailed, show_as_text
from tracelock.pytest_plugin.fixtures import FixturesAnew
from tracelock.pytest_plugin.output import ItemOutput
from tracelock.pytest_plugin.program import OTHERWISE
from tracelock.pytest_plugin.watching import MODULES, PROCESSES, Watch

if TYPE_CHECKING:
    from tracelock.pytest_plugin.unmarked import Found

#: What is tried of one test, unless told otherwise.
SCHEDULES: Final = 100
SECONDS: Final = 3.0
#: An exploration that takes so much longer than it should is ended.
_GRACE: Final = (2.0, 10.0)
#: What part of the time that pytest-timeout gives a test its exploration may take.
_PART: Final = 0.5


class Suite:
    """The plugin that ``--tracelock`` adds. ``schedules``, ``seconds``: the bounds of one test."""

    def __init__(self, config: pytest.Config) -> None:
        self.schedules = _number(config, "tracelock_schedules", int, SCHEDULES)
        self.seconds = _number(config, "tracelock_seconds", float, SECONDS)
        self.watch = Watch()
        #: Fixtures of wider scope that have started a thread or a task, with their scope.
        self.standing: dict[str, str] = {}
        self._teardown: dict[str, BaseException] = {}

    def pytest_sessionstart(self) -> None:
        self.watch.__enter__()

    def pytest_unconfigure(self) -> None:
        self.watch.__exit__()

    # --- a test --------------------------------------------------------------------------------
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        self.watch.begin()
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: Any, request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        watch, before = self.watch, self.watch.started
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function" and watch.started > before:
                self.standing[fixturedef.argname] = fixturedef.scope
                watch.threads, watch.tasks = before, 0

    @pytest.hookimpl(wrapper=True, trylast=True)  # inside of what captures its output
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        if item.get_closest_marker("tracelock") is not None:
            self.watch.end()
            return (yield)
        error: BaseException | None = None
        result: object = None
        try:
            result = yield
        except OTHERWISE:
            raise
        except (Exception, pytest.fail.Exception) as raised:
            error = raised
        finally:
            self.watch.end()
        kept_apart = item.__dict__.get("_excinfo")  # unittest's way
        if kept_apart and error is None:
            error = kept_apart[0].value
            if isinstance(error, OTHERWISE):
                return result
        try:
            self._after(item, error)
        except ScheduleFailed:
            show_as_text(item)
            item.__dict__.pop("_excinfo", None)
            raise
        if kept_apart:
            return result
        if error is not None:
            raise error
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        result = yield
        error = self._teardown.pop(item.nodeid, None)
        if error is not None:
            raise error
        return result

    def _after(self, item: pytest.Item, error: BaseException | None) -> None:
        """pytest has run the test, which has passed or failed with ``error``."""
        why = self._reason(item, error)
        if why is None:
            results.note(item, {"verdict": results.ALONE})
        elif why:
            results.note(item, results.left(why))
        else:
            assert isinstance(item, pytest.Function)
            self._explore(item, error)

    def _reason(self, item: pytest.Item, error: BaseException | None) -> str | None:
        """Why a test is not explored; None where nothing is concurrent in it, "" if it is."""
        standing = [
            f"{name} ({scope})"
            for name, scope in self.standing.items()
            if name in getattr(item, "fixturenames", ())
        ]
        processes = PROCESSES in self.watch.outside
        if not self.watch.started and not standing and not processes:
            return None
        if self.watch.outside:
            return ", ".join(self.watch.outside)
        if sys.modules is not MODULES:
            return "it puts something else in the place of sys.modules"
        if standing:
            return f"something that a fixture has started runs meanwhile: {', '.join(standing)}"
        if not isinstance(item, pytest.Function):
            return f"it is no function, but a {type(item).__name__}"
        if error is not None and item.get_closest_marker("xfail") is not None:
            return "it fails as it is expected to, by itself"
        return ""

    # --- its exploration -----------------------------------------------------------------------
    def _explore(self, item: pytest.Function, error: BaseException | None) -> None:
        from tracelock.pytest_plugin.unmarked import Unmarked, load_all

        load_all()
        fixtures = FixturesAnew(item)
        if fixtures.fixed:
            named = ", ".join(fixtures.fixed)
            results.note(item, results.left(f"fixtures that cannot be made anew: {named}"))
            return
        try:
            fixtures.end()
        except (Exception, *OTHERWISE, pytest.fail.Exception) as raised:
            self._teardown[item.nodeid] = raised
        most = _PART * _time_limit(item)
        unmarked = Unmarked(item, self.schedules, min(self.seconds, most), alone=error is None)
        found = self._found(item, unmarked, most)
        result = found.result
        if result["verdict"] in (results.LEFT, results.ALONE):
            if result["verdict"] == results.ALONE:
                result = results.left("what it starts is not under control")
            results.note(item, result)
            return
        results.note(item, result)
        if not found.text:
            kept.note(item, 0, None)
            return
        found.output.show(item)
        kept.note(item, 0, found.trace)
        raise failed(
            item, found.text, found.trace, lambda enter: enter(unmarked.program.target({}))
        ) from error

    def _found(self, item: pytest.Item, unmarked: Any, most: float) -> Found:
        from tracelock.pytest_plugin.unmarked import Found

        if not apart.POSSIBLE:
            here: Found = unmarked.explore(lambda tried: None)
            return here
        tried = 0

        def progress(number: int) -> None:
            nonlocal tried
            tried = number

        def job(tell: Any) -> Found:
            self.watch.__exit__()
            output = ItemOutput.begin(item)
            found: Found = unmarked.explore(tell)
            found.output = output.end() if found.text else ItemOutput()
            return found

        begun = time.monotonic()
        factor, more = _GRACE
        try:
            other: Found = apart.apart(job, min(self.seconds * factor + more, most), progress)
            return other
        except apart.ApartFailed as failed:
            return Found(results.left(f"{failed}"))
        except pytest.fail.Exception as ended:  # as pytest-timeout does; the test itself has passed
            spent = time.monotonic() - begun
            text = results.tried_text(tried, spent)
            if not unmarked.alone:
                item.add_report_section("call", "tracelock", text)
                raise
            return Found(results.left(f"it was ended ({ended}): {text}"))


def _time_limit(item: pytest.Item) -> float:
    """The seconds that pytest-timeout gives a test."""
    config = item.config
    if not config.pluginmanager.has_plugin("timeout"):
        return float("inf")
    mark = item.get_closest_marker("timeout")
    given = None if mark is None else mark.kwargs.get("timeout", next(iter(mark.args), None))
    if given is None:
        given = config.getoption("timeout", None)
    if given is None:
        with contextlib.suppress(ValueError, KeyError):
            given = config.getini("timeout")
    try:
        return float(given) if given and float(given) > 0 else float("inf")
    except (TypeError, ValueError):
        return float("inf")


def _number(config: pytest.Config, name: str, kind: type[Any], default: Any) -> Any:
    given = config.getoption(f"--{name.replace('_', '-')}")
    if given is not None:
        return given
    written = config.getini(name)
    if not written:
        return default
    try:
        value = kind(written)
    except ValueError:
        value = 0
    if value <= 0:
        raise pytest.UsageError(f"{name} in the ini file: {written!r} is no number above 0")
    return value
