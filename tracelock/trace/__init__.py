"""The record of a run: model, events, files. Knows no backend, no scheduler, no scenario."""

from tracelock.trace.event import MISSING, Event, Missing, Shape, frozen
from tracelock.trace.events import Events
from tracelock.trace.files import TraceWriter
from tracelock.trace.header import FORMAT, environment
from tracelock.trace.model import Trace
from tracelock.trace.reading import Limits, load_trace, load_trace_text
from tracelock.trace.recovery import Recovered, recover, recovered_name
from tracelock.trace.verdict import Blocked, Verdict, story

__all__ = [
    "FORMAT", "MISSING", "Blocked", "Event", "Events", "Limits", "Missing", "Recovered", "Shape",
    "Trace", "TraceWriter", "Verdict", "environment", "frozen", "load_trace", "load_trace_text",
    "recover", "recovered_name", "story",
]  # fmt: skip
