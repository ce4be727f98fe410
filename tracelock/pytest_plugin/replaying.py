"""``pytest NODE --tracelock-replay TRACE``: the test follows a trace instead of being explored."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, Final, NoReturn

import pytest

from tracelock.pytest_plugin.failure_text import ScheduleFailed, failure_lines
from tracelock.pytest_plugin.kept import node_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracelock.session.explored import Explored
    from tracelock.session.replaying import ReplayResult
    from tracelock.session.target import Target
    from tracelock.trace import Trace
    from tracelock.trace.token import ScheduleToken

#: As ``tracelock replay`` ends, which takes this off: pytest has statuses of its own.
FINISHED: Final = 100
REPRODUCED, DIFFERENT, UNUSABLE, DIVERGED, INTERNAL = 0, 1, 2, 3, 4
_INTERRUPTED: Final = 130


class Replaying:
    """The replay that a run of pytest is, a plugin of it. ``result``: what it came to, None
    before; ``debugged``: it was looked at instead."""

    @classmethod
    def of(cls, config: pytest.Config) -> Replaying | None:
        """The replay that this run is, None where it is none."""
        found = config.pluginmanager.get_plugin(cls.__name__)
        return found if isinstance(found, cls) else None

    def __init__(self, config: pytest.Config) -> None:
        from tracelock.errors import TracelockError
        from tracelock.session.targets import python_of, test_of
        from tracelock.trace import Verdict, load_trace
        from tracelock.trace.token import parse_token

        self.trace: Trace | None = None
        self.token: ScheduleToken | None = None
        self.result: ReplayResult | None = None
        self.debugged = False
        path, token = config.getoption("--tracelock-replay"), config.getoption("--tracelock-token")
        if path and token:
            raise pytest.UsageError("--tracelock-replay and --tracelock-token: give one of them")
        try:
            if token:
                self.token = parse_token(str(token))
            else:
                self.trace = load_trace(str(path))
        except TracelockError as error:
            option = "--tracelock-token" if token else "--tracelock-replay"
            raise pytest.UsageError(f"{option}: {error}") from error
        if self.token is not None:
            self.node: str | None = None  # known by its digest
            self.number = self.token.exploration
            self.recorded = Verdict(self.token.kind, self.token.failure or None)
            return
        assert self.trace is not None
        self.recorded = self.trace.verdict
        self.node = test_of(self.trace)
        if self.node is None:
            raise pytest.UsageError(
                f"--tracelock-replay: {path} is not of a test: see tracelock replay"
            )
        exploration = (python_of(self.trace) or {}).get("exploration", 0)
        self.number = exploration if isinstance(exploration, int) else 0

    @property
    def network(self) -> Mapping[str, str]:
        """What the network may do in the schedule that is replayed; nothing where that is what it
        always may."""
        from tracelock.session.targets import python_of

        if self.token is not None:
            return self.token.network
        assert self.trace is not None
        return (python_of(self.trace) or {}).get("network") or {}

    def is_of(self, node: str) -> bool:
        """Whether this test is the one that is replayed."""
        if self.token is None:
            return node == self.node
        from tracelock.trace.token import target_digest

        return target_digest({"python": {"pytest": node}}) == self.token.target

    def follow(
        self, item: pytest.Item, number: int, target: Target, isolation: str = "auto"
    ) -> None:
        """Let ``target`` follow the trace, if it is that of this exploration. Fails the test as it
        fails in the trace, or where it loses the way; skips any other test."""
        self._only(item)
        if number != self.number:
            return
        how = item.config.getoption("--tracelock-debug")
        if how:
            self._debug(item, target, how, item.config.getoption("--tracelock-at"))
        from tracelock.session.plan import Settings
        from tracelock.session.replaying import replay_target

        settings = Settings(isolation=isolation)
        if self.token is not None:
            from tracelock.session.forcing.following import follow_token

            self.node = node_id(item)
            result = follow_token(target, self.token, settings)
        else:
            assert self.trace is not None
            result = replay_target(target, self.trace, settings)
            if result.passed_over:
                from tracelock.pytest_plugin.debugging import on_terminal

                if on_terminal(item.config):
                    self._debug(item, target, "pdb", "breakpoint")
        self.result = result
        notes = [f"note: {note}" for note in result.notes]
        notes += [result.needs] if result.needs else []
        if result.diverged is not None:
            lines = failure_lines(result.trace) if len(result.trace.events) else []
            text = f"the replay diverged: {result.diverged}\n{self.summary()}"
            raise ScheduleFailed("\n".join([text, "", *lines, *notes]))
        if result.verdict.kind != "passed":
            raise ScheduleFailed(
                "\n".join([*failure_lines(result.trace), "", *notes, self.summary()])
            )

    def _debug(self, item: pytest.Item, target: Target, how: str, at: str | None) -> NoReturn:
        """Let the user look at the replay; the test has no outcome then."""
        from tracelock.pytest_plugin.debugging import run_debugger

        self.debugged = True
        if self.trace is None:
            raise pytest.UsageError("--tracelock-token: the debugger needs the trace")
        run_debugger(item, target, self.trace, how, at)
        pytest.skip("the debugger was left")

    def _only(self, item: pytest.Item) -> None:
        if not self.is_of(node_id(item)):
            of = "token is of another test" if self.node is None else f"trace is of {self.node}"
            pytest.skip(f"tracelock replays: the {of}")

    def explore(
        self, item: pytest.Item, number: int, scenario: Any, arguments: dict[str, Any]
    ) -> Explored:
        """What ``tracelock_explore`` does in a replay."""
        from dataclasses import fields

        from tracelock.session.code import PythonCode
        from tracelock.session.explored import Explored
        from tracelock.session.targets import target_for

        passed = Explored("passed", "replay", 0, 0, 0, 0.0, [], summary="passed: a replay")
        self._only(item)
        if scenario is not None or number != self.number:
            return passed
        names = {field.name for field in fields(PythonCode)}
        code = PythonCode(**{name: value for name, value in arguments.items() if name in names})
        isolation = arguments.get("isolation", "auto")
        self.follow(item, number, target_for(code=code), isolation)
        return passed

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("tracelock")
        terminalreporter.write_line(self.summary())

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if session.config.getoption("--tracelock-replay-status"):
            session.exitstatus = self.status(int(session.exitstatus))

    def summary(self) -> str:
        """How the replay ended, in a line."""
        result = self.result
        if self.debugged:
            return "the replay was debugged"
        if result is None:
            what = self.node or "the test that the token is of"
            return f"nothing was replayed: {what} was not run, or is not explored any more"
        from tracelock.session.replaying import conclusion

        return conclusion(result, self.recorded, f"pytest {shlex.quote(self.node or '')}")[1]

    def status(self, exit_status: int) -> int:
        """The exit status of ``tracelock replay``, where pytest's own is ``exit_status``."""
        return FINISHED + self._status(exit_status)

    def _status(self, exit_status: int) -> int:
        if exit_status == pytest.ExitCode.INTERRUPTED:
            return _INTERRUPTED
        if exit_status == pytest.ExitCode.INTERNAL_ERROR:
            return INTERNAL
        if self.debugged:
            return REPRODUCED
        if self.result is None:
            return UNUSABLE
        if self.result.diverged is not None:
            return DIVERGED
        return REPRODUCED if self.result.reproduced else DIFFERENT
