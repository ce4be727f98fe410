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
from tracelock.pytest_plugin.remade import Remade, can_be_remade, is_unittest
from tracelock.pytest_plugin.replaying import Replaying
from tracelock.pytest_plugin.worth import nothing_shown
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
    return ""


@dataclass(slots=True)
class _Marked:
    """One marked test. ``otherwise``: the skip, xfail or exit that a schedule ended with."""

    item: pytest.Function
    otherwise: BaseException | None = field(default=None, init=False)
    remade: Remade | None = field(default=None, init=False)

    def run(self) -> None:
        """Explore it. What pytest has made for it was made outside a schedule, its locks with it:
        each schedule makes its own, and pytest has one to tear down at the end as always."""
        if not can_be_remade(self.item):
            self._run()
            return
        self.remade = remade = Remade(self.item)
        remade.teardown()
        try:
            self._run()
        finally:
            remade.abandon()
            self.item._initrequest()

    def _run(self) -> None:
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
        idle = "" if self.otherwise is not None else nothing_shown(explored)
        if idle and item.config.getini("tracelock_strict"):
            pytest.fail(f"tracelock: {idle} (tracelock_strict is set)", pytrace=False)
        if idle:
            self._warn(idle)
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
        item, once = self.item, self.remade is None
        shared = [
            f"the fixture {name}"
            for name, definitions in item._fixtureinfo.name2fixturedefs.items()
            if name in item.fixturenames
            and (definitions[-1].scope != "function" or (once and name in item.funcargs))
        ]
        if once and item.instance is not None:
            shared.append("self")
        what = f"fixtures of a wider scope than the function ({', '.join(shared)}), and "
        return (
            f"All schedules of a test share {what if shared else ''}what is in modules and "
            "classes: make what a schedule changes in the body of the test or in a fixture of "
            "function scope."
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
        from tracelock.session.python import PythonTarget

        item, node = self.item, kept.node_id(self.item)
        code = PythonCode(
            [self._body()], *self._around(), **{k: v for k, v in options.items() if k in _PROGRAM}
        )
        if not isinstance(code.instrument, str):  # that is refused below
            code.instrument = [item.module.__name__, *(code.instrument or ())]
        program = code.program(
            node, source={"pytest": node}, names=[item.originalname or item.name]
        )
        return PythonTarget(lambda: program, node)

    def _around(self) -> tuple[Callable[[], Any] | None, Callable[..., Any] | None]:
        """What makes the fixtures before a schedule, and what tears them down after it."""
        remade, begin = self.remade, _forget_output(self.item)
        if remade is None:
            return None, None

        def fixtures() -> None:
            begin()
            remade.setup()

        def teardown(_: None) -> None:
            remade.teardown()

        return fixtures, teardown

    def _body(self) -> Callable[..., Any]:
        item, begin = self.item, _forget_output(self.item)
        if self.remade is not None:
            begin = _nothing
        # the method of a TestCase is run with its own set-up, by the TestCase
        function: Any = item.obj
        wrapped = functools.wraps(function, updated=())
        if inspect.iscoroutinefunction(function) and not is_unittest(item):

            @wrapped
            async def body_async(*_: None) -> None:
                begin()
                try:
                    await item.obj(**_arguments(item))
                except _OTHERWISE as error:
                    self.otherwise = error

            return body_async

        @wrapped
        def body(*_: None) -> None:
            begin()
            try:
                if is_unittest(item):
                    _run_case(item)
                else:
                    item.obj(**_arguments(item))
            except _OTHERWISE as error:
                self.otherwise = error

        return body


def _nothing() -> None:
    pass


def _run_case(item: Any) -> None:
    """Run a method of a TestCase, and raise what it tells pytest of instead of raising it."""
    item.__dict__.pop("_excinfo", None)
    type(item).runtest(item)
    told = item.__dict__.pop("_excinfo", None)
    if told:
        raise told[0].value


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
