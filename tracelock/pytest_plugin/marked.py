"""Tests marked with ``tracelock``: the body of the function is the one worker of a program."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import pytest

import tracelock.pytest_plugin.kept as kept
import tracelock.pytest_plugin.results as results
from tracelock.errors import InternalError, TracelockError
from tracelock.instrument.account.account import listed
from tracelock.pytest_plugin.debugging import failed
from tracelock.pytest_plugin.failure_text import (
    ScheduleFailed,
    TracelockWarning,
    failure_text,
    show_as_text,
)
from tracelock.pytest_plugin.fixtures import WIDER, FixturesAnew
from tracelock.pytest_plugin.given import GivenTest, is_given
from tracelock.pytest_plugin.network_faults import with_faults
from tracelock.pytest_plugin.ordinary import is_ordinary, run_plainly
from tracelock.pytest_plugin.program import INJECTING, PROGRAM, ItemProgram
from tracelock.pytest_plugin.replaying import Replaying
from tracelock.pytest_plugin.searching import explore_item
from tracelock.scenario.language.expressions import suggest

if TYPE_CHECKING:
    from tracelock.explore.search import Progress
    from tracelock.session.explored import Explored
    from tracelock.session.target import Target
    from tracelock.trace import Trace

#: Keywords of the marker that go to the search.
_SEARCH: Final = (
    "schedules", "seconds", "strategy", "seed", "clock", "backend", "isolation", "interpreter",
)  # fmt: skip
KEYWORDS: Final = (*_SEARCH, *PROGRAM)

_IDLE: Final = (
    "nothing ran concurrently: the test started no thread or task that tracelock controls, so that "
    "its schedules are all the same"
)
_UNSHARED: Final = (
    "nothing that they share was seen to be used, so that all orders of their steps are the same: "
    "name the modules that they share something of in instrument=[...]"
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
    show_as_text(item)


def _trouble(item: pytest.Function) -> str:
    """Why a marked test cannot be explored, "" if it can."""
    for mark in item.iter_markers("tracelock"):
        if mark.args:
            return "@pytest.mark.tracelock takes keywords only: schedules=..., strategy=..., ..."
        for name in mark.kwargs:
            if name not in KEYWORDS:
                hint = suggest(name, KEYWORDS) or f" (there are {', '.join(KEYWORDS)})"
                return f"@pytest.mark.tracelock has no keyword {name!r}{hint}"
    if getattr(item.obj, "is_hypothesis_test", False) and not is_given(item):
        return "@pytest.mark.tracelock does not go with the state machines of Hypothesis"
    return ""


@dataclass(slots=True)
class _Marked:
    """One marked test."""

    item: pytest.Function
    fixtures: FixturesAnew = field(init=False)
    program: ItemProgram = field(init=False)
    injects: bool = False  # cancellations or collections may come in anywhere

    def __post_init__(self) -> None:
        self.fixtures = FixturesAnew(self.item)
        self.program = ItemProgram(self.item, self.fixtures)

    def run(self) -> None:
        item = self.item
        options: dict[str, Any] = {}
        for mark in item.iter_markers("tracelock"):  # the closest first
            options = {**mark.kwargs, **options}
        options = with_faults(item.config, options, Replaying.of(item.config))
        self.injects = any(options.get(one) for one in INJECTING)
        search: dict[str, Any] = {name: options[name] for name in _SEARCH if name in options}
        if search.get("backend") is None:
            search["backend"] = self.program.backend()
        try:
            self.fixtures.let_go()
            self._explore(options, search)
        except InternalError:
            raise
        except TracelockError as error:
            pytest.fail(f"tracelock: {error}", pytrace=False)

    def _explore(self, options: dict[str, Any], search: dict[str, Any]) -> None:
        item = self.item
        replaying = Replaying.of(item.config)
        if replaying is not None:
            isolation = options.get("isolation", "auto")
            if is_given(item):
                GivenTest(item, self.program).follow(
                    replaying.trace, options, partial(replaying.follow, item, 0)
                )
            else:
                replaying.follow(item, 0, self.program.target(options), isolation)
            return
        first = kept.earlier(kept.path_for(item))
        tried, begun = 0, time.monotonic()

        def progress(now: Progress) -> None:
            nonlocal tried
            tried = now.schedules

        try:
            explored = explore_item(self.program, options, search, first, progress)
        except TracelockError:
            raise
        except BaseException:  # such as the end of the time that pytest-timeout allows
            text = results.tried_text(tried, time.monotonic() - begun)
            item.add_report_section("call", "tracelock", text)
            raise
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
            if not known and is_ordinary(self.program, options, explored):
                results.note(item, results.result_of(explored, self.program.inputs))
                kept.note(item, 0, None)
                run_plainly(item, self.program)
            text = failure_text(explored)
            if any("not deterministic" in line for line in explored.notes):
                text += f"\n{self._suspects()}"
            kept.note(item, 0, explored.trace)
            results.note(item, results.result_of(explored, self.program.inputs))
            raise failed(item, text, explored.trace, partial(self._debug, explored.trace, options))
        results.note(item, results.result_of(explored, self.program.inputs))
        self._doubts(explored)
        if self.fixtures.fixed:
            self._warn(
                f"fixtures that cannot be made anew for each schedule: "
                f"{', '.join(self.fixtures.fixed)}; all schedules shared what pytest made"
            )
        shown = self._written_to(explored) or self._shows_nothing(explored)
        if shown and item.config.getini("tracelock_strict"):
            pytest.fail(f"tracelock: {shown} (tracelock_strict is set)", pytrace=False)
        if shown:
            self._warn(shown)
        kept.note(item, 0, None)
        if self.program.otherwise is not None:
            raise self.program.otherwise

    def _debug(
        self, trace: Trace | None, options: dict[str, Any], enter: Callable[[Target], None]
    ) -> None:
        """Replay the failing schedule under the debugger, which ``enter`` calls."""
        if not is_given(self.item):
            enter(self.program.target(options))
            return

        def entered(target: Target) -> None:
            enter(target)
            raise ScheduleFailed  # to Hypothesis an input that does not fail is another one

        assert trace is not None
        with suppress(ScheduleFailed):
            GivenTest(self.item, self.program).follow(trace, options, entered)

    @staticmethod
    def _written_to(explored: Explored) -> str:
        """Which fixtures of wider scope the schedules have changed for one another, in a sentence,
        "" for none."""
        written = [one.partition(WIDER)[2] for one in explored.lasting if WIDER in one]
        if not written:
            return ""
        return (
            f"schedules write to what wider fixtures have made, and it cannot be put back: "
            f"{listed(written)}; make it in a fixture of the function"
        )

    def _shows_nothing(self, explored: Explored) -> str:
        """Why that the test passes says nothing, "" if it does."""
        account = explored.account
        if account is None or not account.recorded or self.program.otherwise is not None:
            return ""
        if account.workers < 2:
            return "" if self.injects and explored.executions != 1 else _IDLE
        if account.variables or account.locks:
            return ""
        left = account.not_looked_into
        what = f" (not looked into: {listed(left)})" if left else ""
        return f"{account.counts}: {_UNSHARED}{what}"

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
        from tracelock.schedulers.in_order import InOrder
        from tracelock.session.host import run_once
        from tracelock.session.plan import Plan

        target = self.program.target(options)
        plan = Plan(
            search["backend"], "random", clock=search.get("clock", "virtual"),
            isolation=search.get("isolation", "auto"),
        )  # fmt: skip
        with target.open(plan.completed(target)) as host:
            verdict = run_once(host, InOrder(backwards=False))
        return verdict.kind not in ("passed", "unfinished")
