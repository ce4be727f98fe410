"""The record of a run: model, events, files. Knows no backend, no scheduler, no scenario."""

from tracelock.trace.events import MISSING, Event, Events, Missing, Shape, frozen
from tracelock.trace.files import TraceWriter
from tracelock.trace.model import FORMAT, Blocked, Trace, Verdict, environment
from tracelock.trace.reading import Limits, load_trace, load_trace_text
from tracelock.trace.recovery import Recovered, recover, recovered_name

__all__ = [
    "FORMAT", "MISSING", "Blocked", "Event", "Events", "Limits", "Missing", "Recovered", "Shape",
    "Trace", "TraceWriter", "Verdict", "environment", "frozen", "load_trace", "load_trace_text",
    "recover", "recovered_name",
]  # fmt: skip
