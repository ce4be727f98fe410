"""Make ``traces/``: the smallest failing trace of every file in ``scenarios/`` that can fail.

    python -m tests.make_traces

Each is found by ``explore`` under the rules of the first backend on which the file fails, shrunk,
and confirmed on that backend. Only what differs is written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tracelock.scenario.loading import load_scenario
from tracelock.session.api import explore
from tracelock.trace import Trace, load_trace

ROOT = Path(__file__).resolve().parents[1]
SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
TRACES = ROOT / "traces"
BACKENDS = ("threading", "multiprocessing", "asyncio", "trio")


def failing_backend(path: Path) -> str | None:
    """The first backend on which the file is expected to fail."""
    expect = load_scenario(path).expect
    for backend in BACKENDS:
        if backend in expect and expect[backend].verdict != "passes":
            return backend
    return None


def make(path: Path, backend: str) -> Trace:
    """The smallest failing trace of a scenario."""
    explored = explore(load_scenario(path), backend=backend)
    if explored.trace is None:
        raise SystemExit(f"{path.name}: nothing was found on {backend}: {explored.summary}")
    return explored.trace


def main() -> int:
    TRACES.mkdir(exist_ok=True)
    for path in SCENARIOS:
        backend = failing_backend(path)
        target = TRACES / f"{path.stem}.json"
        if backend is None:
            continue
        trace = make(path, backend)
        if target.exists() and load_trace(target).digest() == trace.digest():
            continue
        trace.save(target)
        print(target.name, backend, trace.verdict.kind, len(trace.events), "events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
