"""``tracelock shrink`` and ``tracelock predict``: from a trace to a smaller one, or to others."""

from __future__ import annotations

import argparse
import os
from typing import Any

from tracelock.cli.explore import show_twin
from tracelock.cli.keeping import Keeper, save_new
from tracelock.cli.output import Output
from tracelock.cli.run import find_modules
from tracelock.cli.show import told
from tracelock.errors import UsageError
from tracelock.names import for_display
from tracelock.report.wording import clean
from tracelock.session.explored import confirmations, preemptive
from tracelock.session.shrinking import ShrunkTrace, predict, shrink
from tracelock.trace import load_trace
from tracelock.trace.outputs import write_whole


def shrink_command(options: argparse.Namespace, out: Output) -> int:
    """Shrink a failing trace, save the small one, and print it."""
    trace = load_trace(options.trace)
    find_modules(options)
    target = options.output or _path_with(options.trace, "min")
    if os.path.lexists(target) and options.output is None:
        raise UsageError(f"{target} is there already: name another file with -o")
    keeper = Keeper(target, "", "")
    small = shrink(
        trace, reduce=options.scenario is not None, confirm=0 if options.no_confirm else 3,
        allow_call=options.allow_call, start_method=options.start_method,
        isolation=options.isolation,
    )  # fmt: skip
    path = target
    if options.output is None:
        save_new(small.trace, [target])
    else:
        keeper.keep(small.trace)
    if options.scenario is not None and small.reduced is not None:
        write_whole(options.scenario, [small.reduced.scenario.to_yaml()], make_folder=True)
    if options.json:
        out.json(shrunk_object(small, path, len(trace.events)))
    else:
        _show(small, path, len(trace.events), options, out)
    return 0


def _path_with(path: str, word: str) -> str:
    for end in (".json.gz", ".json"):
        if path.endswith(end):
            return f"{path[: -len(end)]}.{word}{end}"
    return f"{path}.{word}.json"


def shrunk_object(small: ShrunkTrace, path: str, before: int) -> dict[str, Any]:
    """The JSON object of ``shrink``."""
    shrunk = small.shrunk
    return {
        "trace": path, "events": len(small.trace.events), "before": before,
        "switches": shrunk.executed.switches, "certified": shrunk.certified,
        "minimum": shrunk.minimum, "runs": shrunk.runs, "confirmed": small.confirmed,
        "verdict": small.trace.verdict.to_data(),
    }  # fmt: skip


def _show(
    small: ShrunkTrace, path: str, before: int, options: argparse.Namespace, out: Output
) -> None:
    from tracelock.report.terminal import verdict_block

    shrunk = small.shrunk
    out.lines(told(small.trace, out, plumbing=options.all_events))
    out.line()
    switches = preemptive(shrunk.executed.switches)
    seen = for_display(small.trace)
    out.lines(verdict_block(seen.verdict, seen.workers, switches))
    out.lines(confirmations(small.confirmed))
    show_twin(small.twin, small.trace, small.trace_of, out, every=options.all_events)
    proof = {
        "proved": "no schedule with fewer preemptive switches fails so",
        "1-minimal": "no single switch can be removed",
    }.get(shrunk.minimum, "the effort was spent before it could be certified")
    out.line(f"\n{before:,} events before, {len(small.trace.events):,} now: {proof}")
    if small.reduced is not None:
        out.line(f"scenario: {clean(options.scenario)} ({len(small.reduced.history)} reductions)")
    out.line(f"trace: {clean(path)}")


def predict_command(options: argparse.Namespace, out: Output) -> int:
    """Say what could have gone wrong near a passing trace; 1 if any of it is confirmed."""
    trace = load_trace(options.trace)
    find_modules(options)
    keeper = None if options.no_trace else Keeper(None, "predicted", trace.backend)
    rows = []
    for prediction, failing in predict(trace, allow_call=options.allow_call):
        path = keeper.keep(failing) if keeper is not None and failing is not None else None
        rows.append((prediction, failing, path))
    confirmed = any(failing is not None for _, failing, _ in rows)
    if options.json:
        out.json(
            {
                "predictions": [
                    {
                        "kind": one.finding.kind, "title": one.finding.title,
                        "message": one.finding.explanation, "events": list(one.finding.events),
                        "status": one.status, "trace": path,
                        "verdict": None if failing is None else failing.verdict.to_data(),
                    }
                    for one, failing, path in rows
                ]
            }
        )  # fmt: skip
        return int(confirmed)
    if not rows:
        out.line("nothing is predicted from this trace; that is no proof: see tracelock explore")
    for one, failing, path in rows:
        out.line(f"{one.status}: {clean(one.finding.title)}")
        out.line(f"  {clean(one.finding.explanation)}")
        if failing is not None:
            out.line(f"  {failing.verdict.kind}: {clean(failing.verdict.message)}")
        if path is not None:
            out.line(f"  replay it: tracelock replay {clean(path)}")
    return int(confirmed)
