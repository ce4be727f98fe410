"""A test as a program: its body is the one worker, its fixtures are ``setup``, their teardown is
``check``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

import tracelock.pytest_plugin.kept as kept
from tracelock.pytest_plugin.fixtures import is_async
from tracelock.pytest_plugin.output import forget_output
from tracelock.pytest_plugin.test_cases import is_isolated, run_isolated, run_test_case

if TYPE_CHECKING:
    from tracelock.pytest_plugin.fixtures import FixturesAnew
    from tracelock.pytest_plugin.given import GivenInput
    from tracelock.session.target import Target

#: Keywords of the marker that make the program.
PROGRAM: Final = (
    "cancellations", "cancellable", "gc", "faults", "network", "crash_consistency", "outside",
    "instrument",
    "expected_errors",
)  # fmt: skip
#: Those of them by which something may come in anywhere.
INJECTING: Final = ("cancellations", "gc", "faults", "crash_consistency")
#: How a test may end that neither passes nor fails.
OTHERWISE: Final = (pytest.skip.Exception, pytest.xfail.Exception, pytest.exit.Exception)


class ItemProgram:
    """One test. ``otherwise``: the skip, xfail or exit that a schedule ended with, in its body or
    in a fixture."""

    def __init__(self, item: pytest.Function, fixtures: FixturesAnew) -> None:
        self.item = item
        self.fixtures = fixtures
        self.isolated = is_isolated(item)
        self.asynchronous = is_async(item)
        self.otherwise: BaseException | None = None
        #: Of a test with ``@given``: what it is called with.
        self.input: GivenInput | None = None
        self.inputs = 0
        #: What a trace has in it besides, to have the same program again.
        self.more: dict[str, Any] = {}
        self._ended = False  # the fixtures of this schedule have skipped the test

    def backend(self) -> str:
        """The backend of the test: anyio's, where its plugin says which, else by its kind."""
        given = self.item.funcargs.get("anyio_backend")
        name = given[0] if isinstance(given, tuple) and given else given
        asynchronous = self.asynchronous
        if asynchronous and isinstance(name, str):
            return name
        return "asyncio" if asynchronous else "threading"

    def target(self, options: dict[str, Any]) -> Target:
        """The program whose one worker is the body of the test."""
        from tracelock.session.code import PythonCode
        from tracelock.session.python import PythonTarget

        item, node, fixtures = self.item, kept.node_id(self.item), self.fixtures
        code = PythonCode([self._body()], **{k: v for k, v in options.items() if k in PROGRAM})
        if fixtures.needed:
            code = replace(code, setup=self._setup(), check=self._check())
        given = [type(value).__module__ for value in item.funcargs.values()]
        code.instrument = code.instrument or None  # an empty list names no further modules
        program = code.program(
            node, source={"pytest": node, **self.more},
            names=[item.originalname or item.name],
            root=str(item.config.rootpath), leads=[item.module.__name__, *given],
        )  # fmt: skip
        program.listens = "caplog" in item.fixturenames
        return PythonTarget(lambda: program, node)

    def _setup(self) -> Callable[[], Any]:
        """The setup of a schedule: its fixtures, which may skip the test."""

        def fixtures_of_the_test() -> Any:
            self._ended = False
            made = self.fixtures.setup()
            return waited_for(made) if inspect.isawaitable(made) else made

        async def waited_for(made: Any) -> Any:
            try:
                return await made
            except OTHERWISE as error:
                return self._end(error)

        @functools.wraps(self.fixtures.setup)
        def setup() -> Any:
            try:
                return fixtures_of_the_test()
            except OTHERWISE as error:
                return self._end(error)
            except pytest.fail.Exception as error:  # which is no Exception
                raise AssertionError(str(error)) from error

        return setup

    def _end(self, error: BaseException) -> None:
        self.otherwise, self._ended = error, True

    def _check(self) -> Callable[[Any], Any]:
        """The check of a schedule: what the fixtures find when they are torn down."""

        def teardown_of_the_fixtures(arguments: Any) -> Any:
            try:
                return self.fixtures.teardown()
            except OTHERWISE as error:
                self.otherwise = error
            except pytest.fail.Exception as error:
                raise AssertionError(str(error)) from error

        return teardown_of_the_fixtures

    def _body(self) -> Callable[..., Any]:
        """The worker: what a schedule runs, with the fixtures that its setup has made."""
        item, begin = self.item, forget_output(self.item)
        fixed = {} if self.fixtures.needed else self.fixtures.arguments()
        wider = self.fixtures.wider()
        run = run_test_case if type(item).__name__ == "TestCaseFunction" else None

        def call(arguments: dict[str, Any]) -> Any:
            if self.input is not None:
                return self._given(self.input, run is not None, arguments)
            if self.isolated:
                return run_isolated(item)
            return run(item) if run is not None else item.obj(**arguments)

        def begins() -> bool:
            begin()
            return not self._ended and (self.input is None or self.input.rejected is None)

        if self.asynchronous:

            @functools.wraps(item.obj)
            async def body_async(arguments: dict[str, Any] = fixed) -> None:
                try:
                    if begins():
                        await call(arguments)
                except OTHERWISE as error:
                    self.otherwise = error

            body_async.__dict__.update(wider)  # looked after like all that the test leads to
            return body_async

        @functools.wraps(item.obj)
        def body(arguments: dict[str, Any] = fixed) -> None:
            try:
                if begins():
                    call(arguments)
            except OTHERWISE as error:
                self.otherwise = error

        body.__dict__.update(wider)
        return body

    def _given(self, given: GivenInput, test_case: bool, fixtures: dict[str, Any]) -> Any:
        """Call a test with an input of Hypothesis."""
        if self.asynchronous:
            return self._given_async(given, fixtures)
        with given.entered():
            if not test_case:
                return given.begin(fixtures)()
            case: Any = self.item.instance
            try:
                case.setUp()
                try:
                    given.begin({})()
                finally:
                    case.tearDown()
            finally:
                case.doCleanups()
        return None

    async def _given_async(self, given: GivenInput, fixtures: dict[str, Any]) -> None:
        with given.entered():
            await given.begin(fixtures)()
