"""Short names for people: what the workers and objects of a trace are called in every view."""

from tracelock.names.display import DisplayNames, display_names, for_display

__all__ = ["DisplayNames", "display_names", "for_display"]
