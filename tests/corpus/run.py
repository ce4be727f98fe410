"""Explore or replay one case in this process: ``python -m tests.corpus.run CASE [--trace FILE]``.

Without ``--replay`` the case is explored (by the default strategy unless told otherwise), and its
failing trace, if there is one, is saved to FILE; with it, the trace is executed again. Either way
the last line printed is JSON that says what came of it.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

import tracelock
from tests.corpus.cases import BY_NAME, Case

SCHEDULES = 1_000


def explore(
    case: Case, trace: str | None, seed: int = 0, strategy: str = "auto", interpreter: str = "any"
) -> dict[str, Any]:
    """Explore a case; what was found, as plain data."""
    found = tracelock.explore(
        **case.arguments(), gc=case.gc, schedules=SCHEDULES, seed=seed, seconds=None,
        strategy=strategy, clock=case.clock, interpreter=interpreter,
    )  # fmt: skip
    result = {
        "verdict": found.verdict, "strategy": found.strategy, "schedules": found.schedules,
        "seconds": found.seconds, "summary": found.summary, "notes": found.notes,
        "confirmed": found.confirmed, "needs": found.needs,
    }  # fmt: skip
    if found.trace is not None:
        verdict = found.trace.verdict
        result |= {"failure": verdict.failure, "message": verdict.message}
        result["events"] = len(found.trace.events)
        if trace is not None:
            found.trace.save(trace)
    return result


def replay(case: Case, trace: str) -> dict[str, Any]:
    """Execute a saved trace again; whether it ended as it says, as plain data."""
    result = tracelock.replay(tracelock.load_trace(trace), **case.arguments())
    return {
        "reproduced": result.reproduced,
        "diverged": str(result.diverged) if result.diverged else None,
        "message": result.verdict.message,
        "notes": result.notes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=sorted(BY_NAME))
    parser.add_argument("--trace")
    parser.add_argument("--replay", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--strategy", default="auto")
    parser.add_argument("--interpreter", default="any")
    options = parser.parse_args()
    case = BY_NAME[options.case]
    missing = case.missing()
    result: dict[str, Any]
    if missing:
        result = {"missing": missing}
    elif options.replay:
        result = replay(case, options.trace)
    else:
        result = explore(case, options.trace, options.seed, options.strategy, options.interpreter)
    # the programs may have put something else in the place of ``sys.stdout``
    print(json.dumps(result), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main()
