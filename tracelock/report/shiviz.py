"""A trace as a log for ShiViz, with vector clocks.

ShiViz (Beschastnikh and others, *Debugging distributed systems*, CACM 59, 2016) draws the
happens-before of a log. A file for it begins with the expression that takes a record apart and an
empty line (there is one execution); then come two lines an event: what, and who with which clock.
"""

from __future__ import annotations

import json
import re
from typing import Final

from tracelock.analysis.derived.edges import observed_edges
from tracelock.analysis.derived.happens_before import order_of
from tracelock.analysis.derived.steps import Steps
from tracelock.report.wording import clean, describe
from tracelock.trace import Trace

__all__ = ["PARSER", "shiviz"]

#: What ShiViz is to take a record apart with: named groups ``event``, ``host`` and ``clock``.
PARSER: Final = r"(?<event>.*)\n(?<host>\S*) (?<clock>{.*})"


def shiviz(trace: Trace) -> str:
    """The whole trace as such a log. A clock holds for each worker how many of its events the
    worker knows of, this one included; workers that it knows nothing of are left out.
    """
    steps = Steps(trace)
    order = order_of(steps, observed_edges(steps))
    hosts = _hosts(trace.workers)
    keys = [json.dumps(host) for host in hosts]
    lines = [PARSER, ""]
    for event in trace.events:
        clock = list(order.past[event.seq])
        clock[event.worker] = steps.locals[event.seq]
        known = ", ".join(f"{keys[w]}: {n}" for w, n in enumerate(clock) if n)
        lines.append(f"{event.seq} {describe(event, trace.workers)}  at {clean(event.at)}")
        lines.append(f"{hosts[event.worker]} {{{known}}}")
    return "\n".join(lines) + "\n"


def _hosts(names: list[str]) -> list[str]:
    """The workers' names, no two alike, without blanks, which would end a name."""
    found: list[str] = []
    for name in names:
        host = re.sub(r"[\s{}\"\\]+", "_", clean(name)) or "worker"
        while host in found:
            host += "_"
        found.append(host)
    return found
