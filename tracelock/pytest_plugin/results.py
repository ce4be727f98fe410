"""What became of each test under control, from wherever it ran to the end of pytest's run.

It goes along with the report of the test as simple data, so that it comes from other processes too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from tracelock.session.explored import Explored

#: The attribute of a report.
RESULT: Final = "tracelock_result"
_KEY: pytest.StashKey[dict[str, Any]] = pytest.StashKey()
#: Verdicts of tests that were not explored: nothing in them was concurrent, or they could not be.
ALONE: Final = "alone"
LEFT: Final = "not explored"
_ORDER: Final = ("verified", "passed", "unfinished", "failed")
#: A test may put something else in the place of ``sys.modules``.
_THIS: Final = sys.modules[__name__]


def result_of(explored: Explored, inputs: int = 0) -> dict[str, Any]:
    """What an exploration came to. ``inputs``: of Hypothesis, where it drew any."""
    account = explored.account
    more = f" ({inputs:,} input{'' if inputs == 1 else 's'})" if inputs else ""
    return {
        "verdict": explored.verdict, "line": explored.line + more, "summary": explored.summary,
        "schedules": explored.schedules, "seconds": round(explored.seconds, 3),
        "notes": list(explored.notes), "account": None if account is None else account.to_data(),
    }  # fmt: skip


def left(why: str) -> dict[str, Any]:
    """That a test could not be explored."""
    return {"verdict": LEFT, "line": f"not explored: {why}", "why": why}


def note(item: pytest.Item, result: dict[str, Any]) -> None:
    """This is what became of a test."""
    plugins = item.config.pluginmanager
    if not plugins.is_registered(_THIS):
        plugins.register(_THIS)  # to be asked when the test is over
    item.stash[_KEY] = result


def tried_text(tried: int, seconds: float) -> str:
    """What was tried before something ended an exploration from outside."""
    return f"{tried:,} schedules were tried in {seconds:.1f} s, none failed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call" and _KEY in item.stash:
        setattr(report, RESULT, item.stash[_KEY])
        del item.stash[_KEY]
    return report


# --- at the end --------------------------------------------------------------------------------
def summarise(terminal: Any) -> None:
    """Write what became of the tests, if there are any."""
    config = terminal.config
    results = [
        (report.nodeid, getattr(report, RESULT))
        for reports in list(terminal.stats.values())
        for report in reports
        if getattr(report, RESULT, None)
    ]
    path = config.getoption("--tracelock-json")
    if path:
        trouble = _write(path, results)
        if trouble:
            terminal.write_line(trouble, red=True)
    every = bool(config.getoption("--tracelock"))
    statistics = bool(config.getoption("--tracelock-statistics"))
    told = terminal.verbosity > 0 or statistics
    explored = [one for one in results if one[1]["verdict"] in _ORDER]
    if not results or not (every or statistics or (told and explored)):
        return
    terminal.section("tracelock")
    for line in _lines(results, told, statistics):
        terminal.write_line(line)


def _lines(
    results: list[tuple[str, dict[str, Any]]], told: bool, statistics: bool
) -> Iterator[str]:
    explored = [one for one in results if one[1]["verdict"] in _ORDER]
    unexplored = [one for one in results if one[1]["verdict"] == LEFT]
    alone = len(results) - len(explored) - len(unexplored)
    if told:
        for node, result in explored:
            yield f"{node}  {result['line']}"
            if statistics:
                yield from (f"  {line}" for line in _account(result))
    for node, result in unexplored:
        yield f"{node}  {result['line']}"
    counts = [
        f"{count} {verdict}"
        for verdict in _ORDER
        if (count := sum(result["verdict"] == verdict for _, result in explored))
    ]
    parts = [f"{_tests(len(explored))} explored" + (f": {', '.join(counts)}" if counts else "")]
    if alone:
        parts.append(f"{alone} had nothing concurrent")
    parts.append(f"{len(unexplored)} not explored")
    yield "; ".join(parts)


def _tests(count: int) -> str:
    return f"{count} test{'' if count == 1 else 's'}"


def _account(result: dict[str, Any]) -> Iterator[str]:
    """The account of a test as ``--tracelock-statistics`` tells it."""
    yield f"schedules: {result['schedules']:,} in {result['seconds']:.2f} s"
    account = result.get("account")
    if not account:
        return
    yield f"{account['kind']}s: {account['workers']}, at most {account['concurrent']} at a time"
    told = (
        ("locks", account["locks"]),
        ("shared variables", [f"{k} (by {n})" for k, n in account["variables"].items()]),
        ("looked into", account["modules"]),
        ("not looked into", account["not_looked_into"]),
        ("not seen", [f"{name} ({why})" for name, why in account["not_seen"].items()]),
        ("not controlled", account["outside"]),
        ("not deterministic", account["nondeterministic"]),
    )
    for name, values in told:
        if values:
            yield f"{name}: {', '.join(values)}"
    yield from (f"note: {text}" for text in result.get("notes", ()))


def _write(path: str, results: list[tuple[str, dict[str, Any]]]) -> str:
    """Write the results as JSON; what went wrong with that."""
    data = {"tests": dict(sorted(results))}
    from tracelock.errors import UsageError
    from tracelock.trace.outputs import write_whole

    try:
        write_whole(path, [json.dumps(data, indent=2, sort_keys=True), "\n"])
    except UsageError as error:
        return f"--tracelock-json: {error}"
    return ""
