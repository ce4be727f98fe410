"""The recorded bad interleavings in ``traces/`` happen again, wherever they can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.make_traces import BACKENDS, SCENARIOS, TRACES, failing_backend
from tracelock.errors import ImpossibleHere, UnsupportedError
from tracelock.scenario.loading import load_scenario, scenario_from_data
from tracelock.session import replay
from tracelock.trace import load_trace

PATHS = sorted(TRACES.glob("*.json"))


def test_there_is_one_for_each_scenario_that_can_fail() -> None:
    can_fail = {path.stem for path in SCENARIOS if failing_backend(path) is not None}
    assert {path.stem for path in PATHS} == can_fail


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_trace_is_of_the_scenario_as_it_is(path: Path) -> None:
    scenario = load_scenario(TRACES.parent / "scenarios" / f"{path.stem}.yaml")
    assert scenario_from_data(load_trace(path).scenario) == scenario


@pytest.mark.parametrize("backend", [*BACKENDS, "simulated"])
@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_is_replayed_on_every_backend_where_it_is_possible(path: Path, backend: str) -> None:
    trace = load_trace(path)
    try:
        result = replay(trace, backend=backend)
    except UnsupportedError as refused:
        assert backend != trace.backend
        assert "can be run on" in str(refused)
        return
    if backend in (trace.backend, "simulated"):
        assert result.reproduced, result.diverged or result.verdict
    elif not result.reproduced:
        # another backend's objects may not do this; it is told at which step, and why
        assert result.diverged is not None or result.verdict.kind != trace.verdict.kind
        if isinstance(result.diverged, ImpossibleHere):
            assert result.diverged.why.startswith(f"{backend}: ")
