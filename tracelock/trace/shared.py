"""What a trace says is shared, by its names; what these are called for people is ``names``."""

from __future__ import annotations

from tracelock.trace.model import Trace


def shared_in(trace: Trace) -> list[str]:
    """The shared parts of objects that a trace has accesses to, or that invariants looked at, by
    their names."""
    targets = {event.target for event in trace.events if event.op in ("read", "write")}
    for event in trace.events:
        if event.op == "atomic":  # one operation on several files
            targets.update(*(part for part in (event.value, event.result) if part))
    known = {event.target for event in trace.events}
    for target in known:  # a queue whose mutex was used is the library's own code
        queue, _, part = (target or "").rpartition(".")
        if part == "mutex" and queue not in known:
            targets.add(f"{queue} from outside")
    python = trace.scenario.get("python")
    watched = python.get("watched") if isinstance(python, dict) else None
    targets.update(watched if isinstance(watched, list) else ())
    return sorted(target for target in targets if target is not None)


def sets_in(trace: Trace) -> frozenset[tuple[str, str]]:
    """Who has set what: pairs of a worker and the name of an object."""
    return frozenset(
        (trace.workers[event.worker], event.target)
        for event in trace.events
        if event.op == "set" and event.target is not None
    )
