"""Tests marked with ``tracelock``: the body of the function is the one worker of a program."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest

import tracelock.pytest_plugin.kept as kept
from tracelock.errors import InternalError, TracelockError
from tracelock.pytest_plugin.failure_text import ScheduleFailed, TracelockWarning, failure_text
from tracelock.pytest_plugin.replaying import Replaying
from tracelock.scenario.language.expressions import suggest

if TYPE_CHECKING:
    from tracelock.session.explored import Explored
    from tracelock.session.target import Target

#: Keywords of the marker that go to the search, and those that make the program.
_SEARCH: Final = ("schedules", "seconds", "strategy", "seed", "clock", "backend")
_PROGRAM: Final = ("cancellations", "gc", "instrument", "expected_errors")
KEYWORDS: Final = (*_SEARCH, *_PROGRAM)
#: How a test may end that neither passes nor fails.
_OTHERWISE: Final = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)


def take_over(item: pytest.Item) -> None:
    """Let a marked test be explored when it is run. Fails the test where that makes no sense."""
    if not isinstance(item, pytest.Function):
        return
    trouble = _trouble(item)
    if trouble:
        pytest.fail(trouble, pytrace=False)
    marked = _Marked(item)
    here: Any = item
    here.runtest = marked.run
    plain = item.repr_failure

    def repr_failure(excinfo: pytest.ExceptionInfo[BaseException], *more: Any, **named: Any) -> Any:
        if isinstance(excinfo.value, ScheduleFailed):
            return excinfo.getrepr(style="value")
        return plain(excinfo, *more, **named)

    here.repr_failure = repr_failure


def _trouble(item: pytest.Function) -> str:
    """Why a marked test cannot be explored, "" if it can."""
    for mark in item.iter_markers("tracelock"):
        if mark.args:
            return "@pytest.mark.tracelock takes keywords only: schedules=..., strategy=..., ..."
        for name in mark.kwargs:
            if name not in KEYWORDS:
                hint = suggest(name, KEYWORDS) or f" (there are {', '.join(KEYWORDS)})"
                return f"@pytest.mark.tracelock has no keyword {name!r}{hint}"
    if getattr(item.obj, "is_hypothesis_test", False):
        return (
            "@pytest.mark.tracelock does not go with @given: draw the data in @pytest.mark."
            "parametrize, or call tracelock.explore in the body"
        )
    if type(item).__name__ == "TestCaseFunction":
        return (
            "@pytest.mark.tracelock is for functions and classes of pytest, not for methods of "
            "unittest.TestCase"
        )
    return ""


@dataclass(slots=True)
class _Marked:
    """One marked test. ``otherwise``: the skip, xfail or exit that a schedule ended with."""

    item: pytest.Function
    otherwise: BaseException | None = field(default=None, init=False)

    def run(self) -> None:
        item = self.item
        options: dict[str, Any] = {}
        for mark in item.iter_markers("tracelock"):  # the closest first
            options = {**mark.kwargs, **options}
        search: dict[str, Any] = {name: options[name] for name in _SEARCH if name in options}
        if search.get("backend") is None:
            search["backend"] = self._backend()
        try:
            self._explore(options, search)
        except InternalError:
            raise
        except TracelockError as error:
            pytest.fail(f"tracelock: {error}", pytrace=False)

    def _explore(self, options: dict[str, Any], search: dict[str, Any]) -> None:
        from tracelock.session.exploring import explore_target
        from tracelock.session.plan import Plan

        item = self.item
        replaying = Replaying.of(item.config)
        if replaying is not None:
            replaying.follow(item, 0, self._target(options))
            return
        first = kept.earlier(kept.path_for(item))
        target = self._target(options)
        search.setdefault("schedules", target.schedules)
        explored = explore_target(target, Plan(**search), first)
        self._conclude(explored, options, search, bool(first))

    def _conclude(
        self, explored: Explored, options: dict[str, Any], search: dict[str, Any], known: bool
    ) -> None:
        item = self.item
        if explored.failed:
            if not known and explored.schedules > 1 and self._left_over(options, search):
                pytest.fail(
                    "tracelock: the schedule that passed when it ran first fails when it is run "
                    f"again: the test is not deterministic. {self._suspects()}", pytrace=False,
                )  # fmt: skip
            text = failure_text(explored)
            if any("not deterministic" in line for line in explored.notes):
                text += f"\n{self._suspects()}"
            kept.note(item, 0, explored.trace)
            raise ScheduleFailed(text)
        self._doubts(explored)
        kept.note(item, 0, None)
        if self.otherwise is not None:
            raise self.otherwise

    def _doubts(self, explored: Explored) -> None:
        """What is not settled: fails the test where nothing was shown, and warns otherwise."""
        if explored.stopped == "interrupted":
            raise KeyboardInterrupt
        if explored.verdict == "unfinished":
            whole = sum(way.count for way in explored.ways if way.kind == "passed")
            if explored.stopped == "stuck" or not whole:
                notes = [way.message for way in explored.ways if way.kind == "unfinished"]
                pytest.fail(
                    "\n".join(["tracelock: " + explored.summary, *explored.notes, *notes]),
                    pytrace=False,
                )
            self._warn(explored.summary)
        for line in explored.notes:
            suspects = f" {self._suspects()}" if "not deterministic" in line else ""
            self._warn(f"{line}{suspects}")

    def _warn(self, text: str) -> None:
        warnings.warn_explicit(
            TracelockWarning(text), None, str(self.item.path), (self.item.location[1] or 0) + 1
        )

    def _suspects(self) -> str:
        """What schedules of this test share, by name."""
        shared = [f"the fixture {name}" for name in _arguments(self.item)]
        if self.item.instance is not None:
            shared.append("self")
        what = f" ({', '.join(shared)})" if shared else ""
        return (
            f"Fixtures are made once, and all schedules of a test share them{what}, and what is in "
            "modules: make what a schedule changes in the body of the test."
        )

    def _left_over(self, options: dict[str, Any], search: dict[str, Any]) -> bool:
        """Whether the first schedule of all, which passed, fails now that others have run."""
        from tracelock.instrument.in_order import InOrder
        from tracelock.session.host import run_once
        from tracelock.session.plan import Plan

        target = self._target(options)
        plan = Plan(search["backend"], "random", clock=search.get("clock", "virtual"))
        with target.open(plan.completed(target)) as host:
            verdict = run_once(host, InOrder(backwards=False))
        return verdict.kind not in ("passed", "unfinished")

    # --- the program -------------------------------------------------------------------------
    def _backend(self) -> str:
        """The backend of the test: anyio's, where its plugin says which, else by its kind."""
        given = self.item.funcargs.get("anyio_backend")
        name = given[0] if isinstance(given, tuple) and given else given
        asynchronous = inspect.iscoroutinefunction(self.item.obj)
        if asynchronous and isinstance(name, str):
            return name
        return "asyncio" if asynchronous else "threading"

    def _target(self, options: dict[str, Any]) -> Target:
        """The program whose one worker is the body of the test."""
        from tracelock.session.code import PythonCode
        from tracelock.session.first_party import first_party
        from tracelock.session.python import PythonTarget

        item, node = self.item, kept.node_id(self.item)
        code = PythonCode([self._body()], **{k: v for k, v in options.items() if k in _PROGRAM})
        if not isinstance(code.instrument, str):  # that is refused below
            given = [type(value).__module__ for value in item.funcargs.values()]
            own = first_party([item.module.__name__], str(item.config.rootpath), given)
            code.instrument = list(dict.fromkeys([*own, *(code.instrument or ())]))
        program = code.program(
            node, source={"pytest": node}, names=[item.originalname or item.name]
        )
        return PythonTarget(lambda: program, node)

    def _body(self) -> Callable[[], Any]:
        function, arguments = self.item.obj, _arguments(self.item)
        begin = _forget_output(self.item)
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def body_async() -> None:
                begin()
                try:
                    await function(**arguments)
                except _OTHERWISE as error:
                    self.otherwise = error

            return body_async

        @functools.wraps(function)
        def body() -> None:
            begin()
            try:
                function(**arguments)
            except _OTHERWISE as error:
                self.otherwise = error

        return body


def _arguments(item: pytest.Function) -> dict[str, Any]:
    """The fixtures that the test asks for, by their names."""
    return {name: item.funcargs[name] for name in item._fixtureinfo.argnames}


def _forget_output(item: pytest.Item) -> Callable[[], None]:
    """What drops the output of the schedules before: that of the last one is what is shown."""
    capture = item.config.pluginmanager.getplugin("capturemanager")
    if capture is None or capture.is_capturing() not in ("global", True):
        return lambda: None

    def forget() -> None:
        capture.read_global_capture()

    return forget
