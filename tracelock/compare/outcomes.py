"""What can happen on each backend, and what did in free runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from tracelock.compare.stats import wilson
from tracelock.compare.why import why
from tracelock.engine.limits import RunLimits
from tracelock.errors import Divergence, TracelockError
from tracelock.report.comparison.words import listed
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Plan, Settings
from tracelock.session.running import Session

if TYPE_CHECKING:
    from tracelock.explore.search import Outcome, Searched
    from tracelock.scenario.language.models import Scenario
    from tracelock.trace import Trace

STATES: Final = 5  # final states that are kept of each outcome
FAILED: Final = frozenset({"failed", "deadlock", "crashed", "livelock"})


def key_of(kind: str, failure: str | None, at: str | None) -> str:
    """What makes two ends the same row: ``passed``, ``deadlock``, ``failed/finally/finally[0]``."""
    return "/".join([kind, failure or "", (at or "") if kind == "failed" else ""]).rstrip("/")


def label_of(kind: str, failure: str | None, message: str, state: dict[str, Any]) -> str:
    """An outcome in words, without the values that differ from run to run."""
    if kind == "failed":
        text = message.partition(" is false: ")[0]
        return f"failed: {text} is false" if " is false: " in message else f"failed: {text}"
    return "a worker died" if kind == "crashed" else kind


class OutcomeTable:
    """Gathers rows of outcomes, with a cell for each backend."""

    def __init__(self, backends: Sequence[str], allow_call: bool = False) -> None:
        self.backends = list(backends)
        self.allow_call = allow_call
        self.rows: dict[str, dict[str, Any]] = {}
        self.searched: dict[str, dict[str, Any]] = {}
        self.runs: dict[str, int] = dict.fromkeys(backends, 0)
        self.traces: dict[tuple[str, str], Trace] = {}

    def row(self, kind: str, failure: str | None, at: str | None, label: str) -> dict[str, Any]:
        key = key_of(kind, failure, at)
        return self.rows.setdefault(
            key, {"key": key, "outcome": label, "kind": kind, "failure": failure, "cells": {}}
        )

    def cell(self, row: dict[str, Any], backend: str) -> dict[str, Any]:
        cell: dict[str, Any] = row["cells"].setdefault(
            backend, {"can": None, "switches": None, "states": [], "seen": 0}
        )
        return cell

    def search(self, scenario: Scenario, backend: str, seconds: float) -> None:
        """Try every schedule on the rules of a backend, as far as the time goes."""
        plan = Plan(
            backend, seconds=seconds, every=True, shrink=False, confirm=0,
            allow_call=self.allow_call,
        )  # fmt: skip
        with Exploration(scenario, plan) as exploration:
            found = exploration.search(None)
            bounded = any(one.kind == "unfinished" for one in found.outcomes.values())
            whole = found.exhaustive and not bounded
            self.searched[backend] = {
                "exhaustive": whole, "schedules": found.schedules, "states": exploration.states,
                "seconds": round(found.seconds, 3), "stopped": found.stopped,
            }  # fmt: skip
            for outcome in found.outcomes.values():
                if outcome.kind == "unfinished":
                    continue
                self._found(exploration, found, outcome, backend)

    def _found(
        self, exploration: Exploration, found: Searched, outcome: Outcome, backend: str
    ) -> None:
        label = label_of(outcome.kind, outcome.failure, outcome.message, outcome.state)
        row = self.row(outcome.kind, outcome.failure, outcome.at, label)
        cell = self.cell(row, backend)
        if outcome.state not in cell["states"] and len(cell["states"]) < STATES:
            cell["states"].append(outcome.state)
        known = self.traces.get((row["key"], backend))
        if cell["can"] is not None and known is not None:
            return
        cell["can"] = "possible"
        executed = outcome.first
        if outcome.kind in FAILED - {"livelock"}:
            from tracelock.explore.shrink.schedule import shrink

            executed = shrink(exploration.host.models, executed).executed
            cell["switches"] = executed.switches
        if outcome.kind != "livelock":
            self.traces[row["key"], backend] = exploration.trace_of(executed)

    def free(self, scenario: Scenario, backend: str, runs: int, seconds: float) -> None:
        """Run freely, and count how it ends."""
        end = monotonic() + seconds
        settings = Settings(
            backend, allow_call=self.allow_call,
            limits=RunLimits(seconds=max(1.0, min(10.0, seconds))),
        )  # fmt: skip
        with Session(scenario, settings) as session:
            for outcome in session.each(runs, record=False):
                verdict = outcome.verdict
                self.count(
                    backend, verdict.kind, verdict.failure, verdict.at,
                    label_of(verdict.kind, verdict.failure, verdict.message, verdict.state),
                    verdict.state,
                )  # fmt: skip
                if monotonic() > end:
                    return

    def count(
        self, backend: str, kind: str, failure: str | None, at: str | None, label: str,
        state: dict[str, Any] | None, times: int = 1,
    ) -> None:  # fmt: skip
        """Count runs that ended like this."""
        cell = self.cell(self.row(kind, failure, at, label), backend)
        cell["seen"] += times
        self.runs[backend] += times
        if state and state not in cell["states"] and len(cell["states"]) < STATES:
            cell["states"].append(state)

    # --- the result --------------------------------------------------------------------------
    def finished(self, expired: Callable[[], bool]) -> list[dict[str, Any]]:
        """The rows, those first in which backends differ."""
        rows = list(self.rows.values())
        for row in rows:
            for backend in self.backends:
                self._settle(row, backend)
            verdicts = {cell["can"] for cell in row["cells"].values()}
            row["differs"] = {"possible", "impossible"} <= verdicts
            row["why"] = None
            if row["differs"] and not expired():
                row["why"] = self._why(row)
        rows.sort(key=lambda row: (not row["differs"], row["kind"] == "passed", row["key"]))
        return rows

    def _settle(self, row: dict[str, Any], backend: str) -> None:
        cell = self.cell(row, backend)
        searched = self.searched.get(backend)
        runs, seen = self.runs[backend], cell["seen"]
        if seen and cell["can"] is None:
            cell["can"] = "possible"  # it happened
        if cell["can"] is None:
            whole = searched is not None and searched["exhaustive"]
            cell["can"] = "impossible" if whole else "not found"
        tried = searched["schedules"] if searched is not None else 0
        low, high = wilson(seen, runs)
        cell.update(
            tried=tried + runs, runs=runs, share=seen / runs if runs else None,
            low=low if runs else None, high=high if runs else None, trace=None,
        )  # fmt: skip
        trace = self.traces.get((row["key"], backend))
        if trace is not None and row["kind"] != "passed" and len(trace.events) <= 200:
            cell["trace"] = _trace_data(trace)

    def _why(self, row: dict[str, Any]) -> str | None:
        can = {backend: row["cells"][backend]["can"] for backend in self.backends}
        possible = [backend for backend in self.backends if can[backend] == "possible"]
        impossible = [backend for backend in self.backends if can[backend] == "impossible"]
        if row["kind"] == "passed":
            return (
                f"On {listed(impossible)} every schedule goes wrong: it is not the order of the "
                f"steps that decides there."
            )
        with_trace = [one for one in possible if (row["key"], one) in self.traces]
        if not with_trace:
            return None
        trace = self.traces[row["key"], with_trace[0]]
        divergences: dict[str, Divergence | None] = {}
        for backend in impossible:
            try:
                from tracelock.session import replay

                divergences[backend] = replay(
                    trace, backend=backend, allow_call=self.allow_call
                ).diverged
            except TracelockError:
                divergences[backend] = None
        return why(trace, with_trace[0], divergences)


def _trace_data(trace: Trace) -> dict[str, Any]:
    return {
        "workers": list(trace.workers),
        "events": [event.to_data() for event in trace.events],
        "verdict": trace.verdict.to_data(),
    }
