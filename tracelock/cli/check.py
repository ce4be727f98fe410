"""``tracelock check``: is the failure of an old trace gone from the mended scenario?"""

from __future__ import annotations

import argparse
from dataclasses import replace

from tracelock.backends.rules import rules_name
from tracelock.cli.explore import STATUS, built, explored_object, keep, plan_of, show
from tracelock.cli.keeping import keeper_for
from tracelock.cli.output import Output
from tracelock.cli.progress import search_progress
from tracelock.cli.run import find_modules
from tracelock.scenario.loading import load_scenario
from tracelock.session.after_fix import check_fix
from tracelock.session.exploring import Exploration
from tracelock.session.plan import Spreading
from tracelock.session.targets import target_for
from tracelock.trace import load_trace


def check_command(options: argparse.Namespace, out: Output) -> int:
    """Try the old schedule, its neighbours and the whole search on the mended scenario."""
    trace = load_trace(options.old)
    if options.backend is None:
        options.backend = rules_name(trace.backend)
    scenario = load_scenario(options.scenario)
    find_modules(options)
    target = target_for(scenario, allow_call=options.allow_call)
    plan = plan_of(options, target)
    keeper = keeper_for(options, scenario, plan.backend)
    with search_progress(out, plan) as progress:
        checked = check_fix(trace, target, plan=plan, progress=progress)
    explored = checked.explored
    paths = keep(explored, keeper, options.all)
    if options.output_format is not None:
        out.text(built(options, explored, paths, target))
        return STATUS[explored.verdict]
    if options.json:
        out.json(
            {
                **explored_object(explored, paths),
                "old": {"verdict": checked.old, "followed": checked.followed,
                        "events": checked.events},
                "neighbours": checked.neighbours,
            }
        )  # fmt: skip
        return STATUS[explored.verdict]
    out.line(
        f"the old schedule: {checked.followed:,} of its {checked.events:,} events still happen in "
        f"that order; it ends {checked.old}"
    )
    if checked.neighbours:
        out.line(f"its neighbours: {checked.neighbours:,} schedules that leave it somewhere")
    out.line()
    with Exploration(target, replace(plan, spreading=Spreading())) as exploration:
        show(explored, paths, exploration, out, plumbing=options.all_events)
    return STATUS[explored.verdict]
