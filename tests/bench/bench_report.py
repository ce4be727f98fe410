"""Write reports of traces of a thousand and a hundred thousand events: seconds and bytes.

Run as a script: ``python tests/bench/bench_report.py [--events N]``. Each figure is the best of
three. ``whole`` is what the command does: load the trace, analyze it, render it. The aim is less
than 3 s for a hundred thousand events and less than 400 kB of HTML for a thousand. Nothing here is
asserted: machines differ.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import tracelock
from tracelock.analysis.analyze import analyze
from tracelock.report.about import Subject
from tracelock.report.attach import attachment
from tracelock.report.render import FORMS, render


def scenario(rounds: int, workers: int, locked: bool) -> dict[str, Any]:
    """Workers that increment a counter, inside a lock or without one."""
    step: list[Any] = [{"write": "counter", "value": "counter + 1"}]
    if locked:
        step = [{"with": "guard", "do": step}]
    return {
        "format": "tracelock-scenario/1", "name": "bench", "shared": {"counter": 0},
        "objects": {"guard": "lock"},
        "workers": {"w": {"count": workers, "steps": [{"repeat": rounds, "do": step}]}},
        "finally": [f"counter == {rounds * workers}"],
    }  # fmt: skip


def traces(events: int) -> list[tuple[str, tracelock.Trace]]:
    """A controlled run that passes, one that loses updates, and a free one."""
    found = []
    for name, locked, workers, strategy in (
        ("locked", True, 2, "random"), ("locked, 8 workers", True, 8, "random"),
        ("unlocked", False, 2, "random"), ("free", True, 2, None),
    ):  # fmt: skip
        rounds = events // (workers * (4 if locked else 2))
        document = tracelock.scenario_from_data(scenario(rounds, workers, locked), "bench")
        limits = tracelock.RunLimits(steps=events + 1)
        seed = None if strategy is None else 1
        trace = tracelock.run(
            document, backend="threading", strategy=strategy, seed=seed, limits=limits
        )
        found.append((name, trace))
    return found


def best(call: Callable[[], Any], times: int = 3) -> tuple[float, Any]:
    spent, result = [], None
    for _ in range(times):
        start = time.perf_counter()
        result = call()
        spent.append(time.perf_counter() - start)
    return min(spent), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    for events in (1_000, options.events):
        for name, trace in traces(events):
            print(f"{name}, {len(trace.events):,} events, {trace.verdict.kind}")
            seconds, analysis = best(lambda trace=trace: analyze(trace))
            print(f"  analyze     {seconds:7.3f} s  {len(analysis):,} findings")
            subject = Subject.of(trace, analysis)
            for form in FORMS:
                seconds, text = best(lambda form=form, subject=subject: render(subject, form))
                print(f"  {form:10}  {seconds:7.3f} s  {len(text.encode()) / 1_000:10,.0f} kB")
            seconds, text = best(lambda subject=subject: attachment(subject))
            print(f"  attach      {seconds:7.3f} s  {len(text.encode()) / 1_000:10,.0f} kB")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "trace.json")
                trace.save(path)
                seconds, _ = best(
                    lambda path=path: tracelock.render_report(tracelock.load_trace(path))
                )
            print(f"  html, whole {seconds:7.3f} s")


if __name__ == "__main__":
    main()
