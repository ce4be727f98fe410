"""Tests as ``tracelock teeth`` runs them, in a process of its own: with a lock region of the code
under test changed, or with none.

Each test is explored, marked or not, within the time that was given and as exhaustively as that
allows; what else its marker says holds. Nothing that is kept of the user's own runs is looked at or
written.
"""

from __future__ import annotations

from collections.abc import Generator
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import pytest

import tracelock.pytest_plugin.kept as kept
from tracelock.errors import TracelockError
from tracelock.pytest_plugin.fixtures import FixturesAnew
from tracelock.pytest_plugin.ordinary import run_plainly
from tracelock.pytest_plugin.program import ItemProgram
from tracelock.pytest_plugin.searching import explore_item
from tracelock.pytest_plugin.unmarked import load_all
from tracelock.teeth.child import Trial

if TYPE_CHECKING:
    from tracelock.session.explored import Explored

#: Keywords of the marker that are a budget, or choose the search.
_BUDGET: Final = ("schedules", "seconds", "strategy", "seed")
#: What an exploration is refused with that a test makes itself, under control.
_INSIDE: Final = "an exploration inside of another one"
#: Plugins that would run the tests elsewhere, or watch them, and how they are told not to.
_OTHERS: Final = {"xdist": ["-n0"], "pytest_cov": ["--no-cov"]}


def main() -> None:
    """Run the trial of this process."""
    trial = Trial.begin()
    trial.answer["kind"] = "test"
    load_all()  # before pytest, which would rewrite the assertions of a package with a plugin
    for name, instead in (("note", _nothing_noted), ("earlier", _nothing_earlier)):
        setattr(kept, name, instead)
    installed = any(
        one.value == "tracelock.pytest_plugin" for one in entry_points(group="pytest11")
    )
    plugin = [] if installed else ["-p", "tracelock.pytest_plugin"]
    others = [word for name, words in _OTHERS.items() if find_spec(name) for word in words]
    run = TeethRun(trial)
    try:
        status = pytest.main(
            ["-q", "--no-header", "-p", "no:cacheprovider", *plugin, *others, "--",
             trial.request["subject"]], plugins=[run],
        )  # fmt: skip
    except Exception as error:
        trial.refuse(error)
    else:
        run.finish(int(status))
    trial.end()


def _with_modules(instrument: Any, more: list[str]) -> Any:
    """What a marker says is to be looked into, and these modules."""
    if isinstance(instrument, str):
        return instrument
    return [*(instrument or ()), *more]


def _nothing_noted(*_: object) -> None:
    """Nothing is kept of these runs."""


def _nothing_earlier(_: object) -> list[Any]:
    """They begin with no schedule of an earlier run."""
    return []


class TeethRun:
    """The plugin of one such run of pytest."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.share = 1.0
        self.trouble = ""
        self.plain: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self) -> None:
        self.trial.finder.install()  # pytest has put one of its own before it

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.share = 1.0 / max(1, len(session.items))
        self.trial.load()

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        # The innermost of all: a marked test has been taken over, and is taken over from that.
        explores = "tracelock_explore" in getattr(item, "fixturenames", ())
        if not isinstance(item, pytest.Function) or explores:
            self.plain.append(item.nodeid)
        else:
            here: Any = item
            here.runtest = lambda: self._explore(item)
        return (yield)

    def _explore(self, item: pytest.Function) -> None:
        fixtures = FixturesAnew(item)
        program = ItemProgram(item, fixtures)
        options: dict[str, Any] = {}
        for mark in item.iter_markers("tracelock"):  # the closest first
            options = {**mark.kwargs, **options}
        search = {
            name: value for name, value in options.items()
            if name in ("clock", "backend", "isolation", "interpreter")
        }  # fmt: skip
        if search.get("backend") is None:
            search["backend"] = program.backend()
        if self.trial.request["options"].get("interpreter"):
            search["interpreter"] = self.trial.request["options"]["interpreter"]
        options = {name: value for name, value in options.items() if name not in _BUDGET}
        if more := self.trial.looked_into:
            options["instrument"] = _with_modules(options.get("instrument"), more)

        def explore(strategy: str, seconds: float) -> Explored:
            plan = {
                **search, "strategy": strategy, "seed": 0, "seconds": seconds, "schedules": None,
                "confirm": 1,
            }  # fmt: skip
            return explore_item(program, options, plan, ())

        try:
            fixtures.let_go()
            explored = self.trial.search(explore, self.share)
        except TracelockError as error:
            if _INSIDE not in str(error):
                self.trial.refuse(error)
                return
            self.plain.append(item.nodeid)
            run_plainly(item, program)
            return
        if program.otherwise is not None and not explored.failed:
            self.trouble = f"{item.nodeid} is not run: {program.otherwise!r:.200}"
            return
        self.trial.note(explored)
        if explored.failed:
            item.session.shouldstop = "killed"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # What fails outside of a schedule, or in a test that explores by itself.
        if report.failed:
            answer = self.trial.answer
            if answer.get("verdict") not in ("failed", "error"):
                answer["verdict"], answer["summary"] = "failed", "the test fails"
                lines = [line for line in report.longreprtext.splitlines() if line.strip()]
                told = [line[1:].strip() for line in lines if line.startswith("E")]
                answer["failure"] = (told or lines or [report.when])[0]
        elif report.skipped and report.when == "setup":
            self.trouble = f"{report.nodeid} is skipped"

    def finish(self, status: int) -> None:
        """Pytest has ended with this status."""
        answer = self.trial.answer
        if status == pytest.ExitCode.NO_TESTS_COLLECTED or (
            "verdict" not in answer and not self.plain
        ):
            none = status in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED)
            why = "there is no such test" if none else f"pytest ended with status {status}"
            named = f"{self.trial.request['subject']}: {why}"
            self.trial.refuse(TracelockError(self.trouble or named))
        elif self.plain and answer.get("verdict") in (None, "verified", "passed"):
            # They passed, in schedules of which nothing is known here.
            answer["verdict"] = "passed"
            answer["summary"] = (
                f"passed: {self.plain[0]} explores by itself; what it tried is not known"
            )
