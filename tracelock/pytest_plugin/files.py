"""Scenario files and recorded traces as tests, where ``--tracelock-scenarios`` asks for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import pytest

import tracelock.pytest_plugin.kept as kept
from tracelock.errors import InternalError, TracelockError
from tracelock.pytest_plugin.failure_text import ScheduleFailed, failure_lines, failure_text
from tracelock.report.wording import clean, clean_lines

if TYPE_CHECKING:
    from tracelock.scenario.language.models import Scenario
    from tracelock.session.explored import Explored

#: What each word of ``expect`` means: how some schedule ends.
_KINDS: Final = {"passes": (), "fails": ("failed", "crashed"), "deadlock": ("deadlock",)}


def _allowed(config: pytest.Config) -> bool:
    from tracelock.backends.calls import check_calls

    allowed = config.getoption("--tracelock-allow-call") or config.getini("tracelock_allow_call")
    check_calls(bool(allowed))
    return bool(allowed)


class _Item(pytest.Item):
    """A test that is a file. Its failures are texts, not tracebacks."""

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], *more: Any, **named: Any
    ) -> Any:
        if isinstance(excinfo.value, TracelockError) and not isinstance(
            excinfo.value, InternalError
        ):
            return clean_lines(str(excinfo.value))
        if isinstance(excinfo.value, ScheduleFailed):
            return excinfo.getrepr(style="value")
        return super().repr_failure(excinfo, *more, **named)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        return self.path, None, f"{self.path.name}: {self.name}"


class ScenarioFile(pytest.File):
    """A scenario: a test for each backend that ``expect`` knows something of, else one."""

    def collect(self) -> Iterable[pytest.Item]:
        from tracelock.scenario.loading import load_scenario

        try:
            scenario = load_scenario(self.path)
        except TracelockError as error:
            raise self.CollectError(clean_lines(str(error))) from error
        backends: Iterable[str] = scenario.expect
        if not scenario.expect:
            backends = ["python" if scenario.python is not None else "threading"]
        for backend in backends:
            yield ScenarioItem.from_parent(self, name=backend, scenario=scenario)


class ScenarioItem(_Item):
    """A scenario on one backend: what ``expect`` says, and without it that no schedule fails."""

    def __init__(self, *, scenario: Scenario, **more: Any) -> None:
        super().__init__(**more)
        self.scenario = scenario

    def runtest(self) -> None:
        expected = self.scenario.expect.get(self.name)
        verdict = "passes" if expected is None else expected.verdict
        explored = self._explore(every=False)
        failing = explored.trace if explored.failed else None
        kept.note(self, 0, failing, failure_text(explored) if failing is not None else "")
        wanted = _KINDS[verdict]
        if not wanted:
            if explored.failed:
                raise ScheduleFailed(failure_text(explored))
            if explored.verdict == "unfinished":
                pytest.fail(f"{clean(explored.summary)}, and it should pass", pytrace=False)
            return
        kind = explored.trace.verdict.kind if explored.trace is not None else None
        if kind not in wanted:
            # something else goes wrong too, and was found first
            found = {way.kind for way in self._explore(every=True).ways} if explored.failed else ()
            if not set(wanted) & set(found):
                pytest.fail(f"expected: {verdict}; {clean(explored.summary)}", pytrace=False)
            return
        self._switches(explored)

    def _switches(self, explored: Explored) -> None:
        expected = self.scenario.expect[self.name].switches
        found = explored.switches
        if expected is None or found is None:
            return
        wrong = found != expected if explored.minimum == "proved" else found < expected
        if wrong:
            pytest.fail(
                f"expected: {expected} preemptive switches at the fewest; "
                f"{clean(explored.summary)}",
                pytrace=False,
            )

    def _explore(self, every: bool) -> Explored:
        from tracelock.session.api import explore

        backend = None if self.name == "python" else self.name
        return explore(
            self.scenario, backend=backend, every=every, allow_call=_allowed(self.config),
            first=() if every else kept.earlier(kept.path_for(self)),
        )  # fmt: skip


class TraceFile(pytest.File):
    """A recorded trace."""

    def collect(self) -> Iterable[pytest.Item]:
        yield TraceItem.from_parent(self, name="replay")


class TraceItem(_Item):
    """A trace, replayed: it has to end as it says."""

    def runtest(self) -> None:
        from tracelock.session.api import replay
        from tracelock.session.targets import test_of
        from tracelock.trace import load_trace

        trace = load_trace(self.path)
        allowed = _allowed(self.config)
        if test_of(trace) is not None and allowed:
            self._as_test()
            return
        result = replay(trace, allow_call=allowed)
        if result.reproduced:
            return
        why = f"the replay diverged: {clean_lines(str(result.diverged))}"
        if result.diverged is None:
            why = f"not reproduced: it ended {result.verdict.kind}, not {trace.verdict.kind}"
        lines = failure_lines(result.trace) if len(result.trace.events) else []
        raise ScheduleFailed("\n".join([why, "", *lines]))

    def _as_test(self) -> None:
        """The trace is of a test: that runs in a process of its own, since this one is a test."""
        command = [sys.executable, "-m", "tracelock", "replay", str(self.path), "--allow-call"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ScheduleFailed(f"not reproduced:\n{done.stdout}{done.stderr}")
