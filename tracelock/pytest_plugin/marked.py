"""Tests marked with ``tracelock``: the body of the function is the one worker of a program."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import pytest
from _pytest.logging import caplog_handler_key, caplog_records_key

import tracelock.pytest_plugin.kept as kept
from tracelock.errors import InternalError, TracelockError
from tracelock.pytest_plugin.failure_text import ScheduleFailed, TracelockWarning, failure_text
from tracelock.pytest_plugin.fixtures import FixturesAnew
from tracelock.pytest_plugin.replaying import Replaying
from tracelock.scenario.language.expressions import suggest

if TYPE_CHECKING:
    from tracelock.session.explored import Explored
    from tracelock.session.target import Target

#: Keywords of the marker that go to the search, and those that make the program.
_SEARCH: Final = ("schedules", "seconds", "strategy", "seed", "clock", "backend")
_PROGRAM: Final = ("cancellations", "cancellable", "gc", "instrument", "expected_errors")
KEYWORDS: Final = (*_SEARCH, *_PROGRAM)
#: How a test may end that neither passes nor fails.
_OTHERWISE: Final = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)

_IDLE: Final = (
    "nothing ran concurrently: the test started no thread or task that tracelock controls, so that "
    "its schedules are all the same"
)


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
    fixtures: FixturesAnew = field(init=False)
    otherwise: BaseException | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.fixtures = FixturesAnew(self.item)

    def run(self) -> None:
        item = self.item
        options: dict[str, Any] = {}
        for mark in item.iter_markers("tracelock"):  # the closest first
            options = {**mark.kwargs, **options}
        search: dict[str, Any] = {name: options[name] for name in _SEARCH if name in options}
        if search.get("backend") is None:
            search["backend"] = self._backend()
        try:
            self.fixtures.let_go()
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
        if self.fixtures.fixed:
            self._warn(
                f"fixtures that cannot be made anew for each schedule: "
                f"{', '.join(self.fixtures.fixed)}; all schedules shared what pytest made"
            )
        account = explored.account
        alone = account is not None and account.recorded and account.workers < 2
        idle = _IDLE if alone and self.otherwise is None else ""
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
        definitions = self.item._fixtureinfo.name2fixturedefs
        shared = [
            f"the fixture {name}"
            for name in self.item._fixtureinfo.argnames
            if not self.fixtures.needed
            or (definitions.get(name) and definitions[name][-1].scope != "function")
        ]
        what = f" ({', '.join(shared)})" if shared else ""
        return (
            f"Fixtures of a class, a module or the session are made once, and all schedules of a "
            f"test share them{what}, and what is in modules: make what a schedule changes in the "
            "body of the test, or in a fixture of the function."
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

        item, node, fixtures = self.item, kept.node_id(self.item), self.fixtures
        code = PythonCode([self._body()], **{k: v for k, v in options.items() if k in _PROGRAM})
        if fixtures.needed:
            code = replace(code, setup=fixtures.setup, check=_torn_down(fixtures))
        if not isinstance(code.instrument, str):  # that is refused below
            given = [type(value).__module__ for value in item.funcargs.values()]
            own = first_party([item.module.__name__], str(item.config.rootpath), given)
            code.instrument = list(dict.fromkeys([*own, *(code.instrument or ())]))
        program = code.program(
            node, source={"pytest": node}, names=[item.originalname or item.name]
        )
        return PythonTarget(lambda: program, node)

    def _body(self) -> Callable[..., Any]:
        """The worker: what a schedule runs, with the fixtures that its setup has made."""
        item, begin = self.item, _forget_output(self.item)
        fixed = {} if self.fixtures.needed else self.fixtures.arguments()
        run = _run_test_case if type(item).__name__ == "TestCaseFunction" else None

        def call(arguments: dict[str, Any]) -> Any:
            return run(item) if run is not None else item.obj(**arguments)

        if run is None and inspect.iscoroutinefunction(item.obj):

            @functools.wraps(item.obj)
            async def body_async(arguments: dict[str, Any] = fixed) -> None:
                begin()
                try:
                    await call(arguments)
                except _OTHERWISE as error:
                    self.otherwise = error

            return body_async

        @functools.wraps(item.obj)
        def body(arguments: dict[str, Any] = fixed) -> None:
            begin()
            try:
                call(arguments)
            except _OTHERWISE as error:
                self.otherwise = error

        return body


def _torn_down(fixtures: FixturesAnew) -> Callable[[Any], Any]:
    """The check of a schedule: what the fixtures find when they are torn down."""

    def teardown_of_the_fixtures(arguments: Any) -> Any:
        return fixtures.teardown()

    return teardown_of_the_fixtures


def _run_test_case(item: Any) -> None:
    """Run a method of a ``unittest.TestCase``, with its ``setUp`` and ``tearDown``; raises what it,
    or one of its sub-tests, has failed with."""
    failed: list[BaseException] = []

    def sub_test(case: Any, test: Any, error: Any) -> None:
        if error is not None:
            failed.append(error[1])

    item.addSubTest = sub_test  # which would report each of each schedule
    item.__dict__.pop("_excinfo", None)
    try:
        type(item).runtest(item)
    finally:
        del item.addSubTest
    failed += [one.value for one in item.__dict__.pop("_excinfo", None) or ()]
    if failed:
        raise failed[0]


def _forget_output(item: pytest.Item) -> Callable[[], None]:
    """What drops the output of the schedules before: that of the last one is what is shown."""
    plugins = item.config.pluginmanager
    capture, logging = plugins.getplugin("capturemanager"), plugins.getplugin("logging-plugin")
    capturing = capture is not None and capture.is_capturing() in ("global", True)

    def forget() -> None:
        if capturing:
            capture.read_global_capture()
        handler = item.stash.get(caplog_handler_key, None)
        if handler is not None:
            handler.reset()
            item.stash[caplog_records_key]["call"] = handler.records
        if logging is not None:
            logging.report_handler.reset()

    return forget
