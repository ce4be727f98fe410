"""The header of a trace, and the checks of data that claims to be one."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from typing import Any, Final

from tracelock.errors import TraceError
from tracelock.trace.events import Events

FORMAT: Final = "tracelock-trace/1"
MODES: Final = ("recorded", "controlled")
CLOCKS: Final = ("real", "virtual", "adversarial")

#: The header's keys in their order, with the types each may have.
HEADER: Final[dict[str, tuple[type, ...]]] = {
    "format": (str,),
    "tracelock": (str,),
    "scenario": (dict,),
    "backend": (str,),
    "mode": (str,),
    "strategy": (dict, type(None)),
    "clock": (str,),
    "environment": (dict,),
    "workers": (list,),
}
_JSON_NAMES: Final = {
    str: "a string", dict: "an object", list: "an array", int: "a whole number",
    type(None): "null",
}  # fmt: skip


def typed(data: Mapping[str, Any], key: str, kinds: tuple[type, ...], where: str) -> Any:
    """The value of a key that must be there, of one of these types."""
    if key not in data:
        raise TraceError(f"{where}key {key!r} is missing")
    value = data[key]
    if type(value) not in kinds:
        wanted = " or ".join(_JSON_NAMES[kind] for kind in kinds)
        raise TraceError(f"{where}{key} is {shown(value)}, not {wanted}")
    return value


def one_of(value: Any, allowed: tuple[str, ...], what: str) -> None:
    """Raises :class:`TraceError` unless ``value`` is one of ``allowed``."""
    if value not in allowed:
        raise TraceError(f"{what} is {shown(value)}, not one of {', '.join(allowed)}")


def shown(value: Any) -> str:
    """``value`` for a message, cut short."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of too many digits, or depth
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def json_object(data: Any, where: str) -> dict[str, Any]:
    """``data`` if it is an object of JSON."""
    if not isinstance(data, dict):
        raise TraceError(f"{where} is {shown(data)}, not an object")
    return data


def check_format(value: Any) -> None:
    """Raises :class:`TraceError` unless ``value`` is the format that this module reads."""
    if value == FORMAT:
        return
    name, _, version = str(value).partition("/")
    if name == "tracelock-trace" and version.isdigit() and int(version) > 1:
        raise TraceError(
            f"format {value} is newer than this tracelock, which reads {FORMAT}: upgrade it"
        )
    raise TraceError(f"format is {shown(value)}, not {FORMAT!r}: this is not a tracelock trace")


def check_header(header: dict[str, Any]) -> None:
    """Raises :class:`TraceError` for a header that does not follow the format."""
    for key in ("events", "verdict"):
        if key in header:
            raise TraceError(f"key {key!r} is no part of the header")
    if "format" not in header:
        raise TraceError("key 'format' is missing: this is not a tracelock trace")
    check_format(header["format"])
    for key, kinds in HEADER.items():
        typed(header, key, kinds, "")
    one_of(header["mode"], MODES, "mode")
    one_of(header["clock"], CLOCKS, "clock")
    workers = header["workers"]
    for name in workers:
        if type(name) is not str:
            raise TraceError(f"workers holds {shown(name)}, not a string")
    if len(set(workers)) != len(workers):
        twice = next(name for i, name in enumerate(workers) if name in workers[:i])
        raise TraceError(f"workers holds {twice!r} twice")


def wrong_worker(events: Events, count: int, start: int = 0) -> tuple[int, str] | None:
    """The first event from ``start`` on that names a worker beyond ``count``, and what is wrong."""
    workers = events.workers[start:]
    seq, message = len(events), ""
    if workers and max(workers) >= count:
        seq = start + next(i for i, worker in enumerate(workers) if worker >= count)
        message = f"worker is {events.workers[seq]}, of {count} workers"
    wrong = {i for i, one in enumerate(events.choice_table) if one and max(one) >= count}
    if wrong and events.choices is not None:
        for i in range(start, seq):
            if events.choices[i] in wrong:
                chosen = list(events.choice_table[events.choices[i]] or ())
                return i, f"enabled is {shown(chosen)}, of {count} workers"
    return (seq, message) if message else None


def check_workers(events: Events, count: int, start: int = 0) -> None:
    """Raises :class:`TraceError` where an event's worker is not one of ``count``."""
    wrong = wrong_worker(events, count, start)
    if wrong is not None:
        raise TraceError(f"event {wrong[0]}: {wrong[1]}")


def environment(start_method: str | None = None) -> dict[str, Any]:
    """Where this process runs, for the trace's header; ``start_method`` of multiprocessing."""
    enabled = getattr(sys, "_is_gil_enabled", None)
    machine = platform.machine().lower()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "gil": True if enabled is None else bool(enabled()),
        "platform": f"{sys.platform}-{machine}" if machine else sys.platform,
        "cpus": os.cpu_count(),
        "start_method": start_method,
    }
