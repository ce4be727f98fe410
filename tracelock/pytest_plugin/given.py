"""Tests with Hypothesis' ``@given``: it draws an input, and the schedules are explored under that.

Hypothesis goes on as it does, with an exploration in the place of each call of the test: it shrinks
the input, whose schedule is shrunk at the end. What is drawn is copied for each schedule. Its
deadlines and the health checks on speed are for tests that run once, and are off; ``assume``,
``note`` and ``data()`` work in the body of the test. The trace has Hypothesis' own code of the
input in it, so that a replay begins with the same one.

Hypothesis is not imported here before a test has done so.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import sys
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import pytest

from tracelock.errors import UsageError
from tracelock.pytest_plugin.failure_text import ScheduleFailed
from tracelock.pytest_plugin.program import OTHERWISE, ItemProgram

if TYPE_CHECKING:
    from tracelock.explore.search import Progress
    from tracelock.instrument.account.account import Account
    from tracelock.session.explored import Explored
    from tracelock.session.target import Target
    from tracelock.trace import Trace

#: Schedules of one input, at least, and the part of the whole time that it may take.
_LEAST: Final = 20
_PART_OF_TIME: Final = 10
#: What part of the time is left at least to make the failing input small.
_TO_SHRINK: Final = 3
_LONGEST: Final = 300


def is_given(item: pytest.Item) -> bool:
    """Whether a test has ``@given``."""
    test = getattr(item, "obj", None)
    return bool(getattr(test, "is_hypothesis_test", False)) and hasattr(test, "hypothesis")


class _Over(BaseException):
    """The time is up: Hypothesis is to draw no more."""


class GivenInput:
    """What one call of the test is given. ``rejected``: what ``assume`` has raised in it;
    ``interactive``: whether the test draws more as it runs."""

    def __init__(
        self, test: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any],
        given: dict[str, Any], instance: Any, item: Any,
    ) -> None:  # fmt: skip
        self.test = test
        self.rejected: BaseException | None = None
        self._item = item
        self._instance = instance
        self._fixtures = given
        self._context = _build_context()
        self.interactive = any(map(_is_data, (*arguments, *named.values())))
        self._drawn: list[Any] = []  # by ``data.draw``, in the order of the first schedule
        self._arguments = tuple(self._copied(value) for value in arguments)
        self._named = {
            name: value if name in given else self._copied(value) for name, value in named.items()
        }

    def _copied(self, value: Any) -> Any:
        if value is self._instance or _is_data(value):
            return value
        try:
            return copy.deepcopy(value)
        except Exception:
            return value  # shared by all schedules, as between the calls of a test

    def begin(self, fixtures: dict[str, Any]) -> Callable[[], Any]:
        """For one schedule: what calls the test, with copies and with these fixtures."""
        draws = 0

        def draw(data: Any, strategy: Any, label: Any = None) -> Any:
            from tracelock.instrument.contexts import out_of_control

            nonlocal draws
            place, draws = draws, draws + 1
            if place == len(self._drawn):
                with out_of_control():
                    self._drawn.append(data.draw(strategy, label))
            return self._copied(self._drawn[place])

        def fresh(value: Any) -> Any:
            if value is self._instance and value is not None:
                return self._item.instance
            if _is_data(value):
                return _Drawing(functools.partial(draw, value))
            return self._copied(value)

        arguments = [fresh(value) for value in self._arguments]
        named = {
            name: fixtures[name] if name in fixtures else fresh(value)
            for name, value in self._named.items()
        }
        return functools.partial(self.test, *arguments, **named)

    @contextlib.contextmanager
    def entered(self) -> Generator[None]:
        """While this is entered Hypothesis knows that its test runs, in whatever thread it is;
        what rejects the input ends it."""
        errors: Any = sys.modules["hypothesis.errors"]
        try:
            with self._context():
                yield
        except (errors.UnsatisfiedAssumption, errors.StopTest) as error:
            self.rejected = error

    def __str__(self) -> str:
        shown = [
            _shown(value)
            for value in self._arguments
            if value is not self._instance and not _is_data(value)
        ]
        shown += [
            f"{name}={_shown(value)}"
            for name, value in self._named.items()
            if name not in self._fixtures and value is not self._instance and not _is_data(value)
        ]
        shown += [f"draw {number} = {_shown(one)}" for number, one in enumerate(self._drawn, 1)]
        text = ", ".join(shown)
        return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _is_data(value: object) -> bool:
    return type(value).__name__ == "DataObject" and type(value).__module__.startswith("hypothesis")


class _Drawing:
    """What stands for ``data`` in a schedule: it draws in each what the first one has drawn."""

    def __init__(self, draw: Callable[..., Any]) -> None:
        self.draw = draw

    def __repr__(self) -> str:
        return "data(...)"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"


def _build_context() -> Callable[[], Any]:
    """What makes the build of the present input known in another thread."""
    variable = getattr(sys.modules.get("hypothesis.control"), "_current_build_context", None)
    if variable is None:
        return contextlib.nullcontext
    value = variable.value
    return lambda: variable.with_value(value)


class GivenTest:
    """One such test. ``inputs``: how many were explored."""

    def __init__(self, item: pytest.Function, program: ItemProgram) -> None:
        self.item = item
        self.program = program
        self.inputs = 0
        self._call: Any = item.obj
        self._wrapper: Any = getattr(item.obj, "__func__", item.obj)
        self._handle = self._wrapper.hypothesis
        self._test = self._handle.inner_test
        if type(item).__name__ == "TestCaseFunction" and inspect.iscoroutinefunction(self._test):
            raise UsageError("an asynchronous method of a TestCase with @given cannot be explored")
        self._given = program.fixtures.arguments()
        self._explicit = 0
        self._failing: tuple[GivenInput, dict[str, Any], Explored] | None = None
        self._kinds: dict[tuple[Any, ...], type[ScheduleFailed]] = {}
        self._known: dict[str, BaseException] = {}
        self._first: Sequence[Trace] = ()
        self._account: Account | None = None
        self._last: Explored | None = None
        self._schedules = 0
        self._notes: dict[str, None] = {}
        self._whole = 0

    # --- a search ------------------------------------------------------------------------------
    def explore(
        self, options: dict[str, Any], plan: dict[str, Any], first: Sequence[Trace],
        progress: Callable[[Progress], None] | None = None,
    ) -> Explored:  # fmt: skip
        """Explore all inputs; the failing one again, whose schedule is made small. Raises what
        Hypothesis raises that is no failure of a schedule."""
        begun = monotonic()
        seconds = plan.get("seconds") or 60.0
        self._end = begun + seconds
        self._first = first
        settings = self._wrapper._hypothesis_internal_use_settings
        schedules = plan.get("schedules") or 1_000
        small = {
            **plan, "schedules": max(min(_LEAST, schedules), schedules // settings.max_examples),
            "shrink": False, "confirm": 0,
        }  # fmt: skip

        def one(given: GivenInput) -> None:
            self._one(given, options, small, seconds, progress)

        with self._instead(one), contextlib.suppress(*OTHERWISE):
            try:
                self._call(**self._given)
            except (*OTHERWISE, KeyboardInterrupt):
                raise
            except _Over:
                pass
            except BaseException:
                if self._failing is None:
                    raise
        if self._failing is None:
            return self._passed(monotonic() - begun)
        return self._shown_small(options, plan)

    def _one(
        self, given: GivenInput, options: dict[str, Any], plan: dict[str, Any], seconds: float,
        progress: Callable[[Progress], None] | None,
    ) -> None:  # fmt: skip
        """Explore one input. Raises the failure of a schedule for Hypothesis to see."""
        from tracelock.session.exploring import explore_target
        from tracelock.session.plan import Plan

        key = "" if given.interactive else str(given)
        if key in self._known:
            raise self._known[key]
        left = self._end - monotonic()
        if left <= 0:
            raise _Over
        plan = {**plan, "seconds": min(left, max(0.5, seconds / _PART_OF_TIME))}
        self.program.input = given
        explored = explore_target(
            self.program.target(options), Plan(**plan, estimate=False), self._first, progress
        )
        if given.rejected is not None:
            raise given.rejected
        self._count(explored)
        if self.program.otherwise is not None:
            raise self.program.otherwise
        if not explored.failed:
            return
        if self._failing is None:
            self._end = max(self._end, monotonic() + seconds / _TO_SHRINK)
            self._end = min(self._end, monotonic() + max(2.0, seconds / _TO_SHRINK))
        trace = explored.trace
        assert trace is not None
        self._first = [trace]
        self._failing = given, self._code(), explored
        error = self._kind(trace)(trace.verdict.message)
        if key:
            self._known[key] = error
        raise error

    def _count(self, explored: Explored) -> None:
        if explored.account is not None:  # what Hypothesis makes is of the tool
            explored.account.unlooked = {
                name for name in explored.account.unlooked if not name.startswith("hypothesis")
            }
        self.inputs += 1
        self._last = explored
        self._schedules += explored.schedules
        self._whole += sum(way.count for way in explored.ways if way.kind == "passed")
        self._notes.update(dict.fromkeys(explored.notes))
        if self._account is None:
            self._account = explored.account
        elif explored.account is not None:
            self._account.add(explored.account)

    def _kind(self, trace: Trace) -> type[ScheduleFailed]:
        """A class for each way to fail: Hypothesis tells failures apart by their classes."""
        verdict = trace.verdict
        key = (verdict.kind, verdict.failure, verdict.message.split(":")[0].split("\n")[0][:80])
        if key not in self._kinds:
            self._kinds[key] = type("ScheduleFailed", (ScheduleFailed,), {})
        return self._kinds[key]

    def _code(self) -> dict[str, Any]:
        """How the present input is had again."""
        hypothesis: Any = sys.modules["hypothesis"]
        if self._explicit:
            return {"example": self._explicit}
        found: dict[str, Any] = {"version": hypothesis.__version__}
        with contextlib.suppress(Exception):  # its own matter: without it there is no replay
            core: Any = sys.modules["hypothesis.core"]
            control: Any = sys.modules["hypothesis.control"]
            choices = control.current_build_context().data.choices
            found["blob"] = core.encode_failure(choices).decode("ascii")
        return found

    def _passed(self, seconds: float) -> Explored:
        """What it came to where no input fails."""
        from tracelock.session.explored import Explored

        last = self._last
        if last is None:
            return Explored("passed", "auto", 0, 0, 0, seconds, [], summary="no input was drawn")
        verdict = "passed" if self._whole else last.verdict
        account = self._account
        seen = "" if account is None else f"; {account.line}"
        return replace(
            last, verdict=verdict, schedules=self._schedules, executions=0, seconds=seconds,
            notes=list(self._notes), account=account, whole=False,
            summary=f"{verdict}: {self.inputs:,} inputs, {self._schedules:,} schedules, none "
            f"failed; others were not tried{seen}" if verdict == "passed" else last.summary,
        )  # fmt: skip

    def _shown_small(self, options: dict[str, Any], plan: dict[str, Any]) -> Explored:
        """The failing input once more, whose schedule is made small."""
        from tracelock.session.exploring import explore_target
        from tracelock.session.plan import Plan

        assert self._failing is not None
        given, code, found = self._failing
        self.program.input = given
        self.program.more = {"hypothesis": {**code, "input": str(given)}}
        explored = explore_target(
            self.program.target(options), Plan(**plan, estimate=False), self._first
        )
        if not explored.failed:
            explored = found
        explored.notes.insert(0, f"the input is {given} ({self.inputs:,} were explored)")
        return explored

    # --- a replay ------------------------------------------------------------------------------
    def follow(
        self, trace: Trace | None, options: dict[str, Any], follow: Callable[[Target], None]
    ) -> None:
        """Let ``follow`` replay a trace, with the input that it was recorded with."""
        from tracelock.session.targets import python_of

        hypothesis: Any = sys.modules["hypothesis"]
        if trace is None:
            raise UsageError("a token has no input of Hypothesis: replay the trace of this test")
        code = (python_of(trace) or {}).get("hypothesis")
        if not isinstance(code, dict):
            code = {}
        failed: list[ScheduleFailed] = []
        wrapper, explicit = self._wrapper, code.get("example")
        blob, version = code.get("blob"), code.get("version")
        if not explicit and (not isinstance(blob, str) or not isinstance(version, str)):
            raise UsageError("the trace does not say which input of Hypothesis it was made with")
        if not explicit and version != hypothesis.__version__:
            raise UsageError(
                f"the input of this trace was drawn by Hypothesis {version}, and this is "
                f"{hypothesis.__version__}, which may draw another one"
            )

        def one(given: GivenInput) -> None:
            if explicit and explicit != self._explicit:
                return
            self.program.input = given
            try:
                follow(self.program.target(options))
            except ScheduleFailed as error:
                failed.append(error)
                raise

        with self._instead(one):
            if explicit:
                settings = wrapper._hypothesis_internal_use_settings
                wrapper._hypothesis_internal_use_settings = hypothesis.settings(
                    settings, phases=[hypothesis.Phase.explicit]
                )
            else:
                hypothesis.reproduce_failure(version, str(blob).encode("ascii"))(wrapper)
            try:
                self._call(**self._given)
            except Exception:
                if not failed:
                    raise
            finally:
                wrapper._hypothesis_internal_use_reproduce_failure = None
        if failed:
            raise failed[0]

    # --- Hypothesis' side ----------------------------------------------------------------------
    @contextlib.contextmanager
    def _instead(self, one: Callable[[GivenInput], None]) -> Generator[None]:
        """Let Hypothesis call ``one`` where it would call the test."""
        hypothesis: Any = sys.modules["hypothesis"]
        instance = getattr(self._call, "__self__", None)
        examples = len(getattr(self._wrapper, "hypothesis_explicit_examples", ()))
        calls = 0

        @functools.wraps(self._test)
        def called(*arguments: Any, **named: Any) -> None:
            nonlocal calls
            calls += 1
            self._explicit = calls if calls <= examples and _explicit() else 0
            one(GivenInput(self._test, arguments, named, self._given, instance, self.item))

        wrapper, kept = self._wrapper, self._wrapper._hypothesis_internal_use_settings
        checks = hypothesis.HealthCheck
        off = [
            getattr(checks, name)
            for name in ("too_slow", "differing_executors", "nested_given")
            if hasattr(checks, name)
        ]
        explain = getattr(hypothesis.Phase, "explain", None)
        wrapper._hypothesis_internal_use_settings = hypothesis.settings(
            kept, deadline=None, report_multiple_bugs=False,
            phases=[phase for phase in kept.phases if phase is not explain],
            suppress_health_check=[*kept.suppress_health_check, *off],
        )  # fmt: skip
        self._handle.inner_test = called
        try:
            yield
        finally:
            self._handle.inner_test = self._test
            wrapper._hypothesis_internal_use_settings = kept


def _explicit() -> bool:
    """Whether the present input is one of ``@example``."""
    control: Any = sys.modules["hypothesis.control"]
    data = control.current_build_context().data
    return not len(getattr(data, "choices", ()))
