"""What a trace is: a header, the events, a verdict. See the trace format, tracelock-trace/1."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.errors import TraceError
from tracelock.trace.events import Events

__all__ = [
    "CLOCKS", "FAILURES", "FORMAT", "HEADER", "KINDS", "MODES", "Blocked", "Trace", "Verdict",
    "check_format", "check_header", "check_workers", "environment", "wrong_worker",
]  # fmt: skip

FORMAT: Final = "tracelock-trace/1"
MODES: Final = ("recorded", "controlled")
CLOCKS: Final = ("real", "virtual", "adversarial")
KINDS: Final = ("passed", "failed", "deadlock", "crashed", "unfinished")
FAILURES: Final = ("assert", "always", "finally", "error")

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


def _typed(data: Mapping[str, Any], key: str, kinds: tuple[type, ...], where: str) -> Any:
    if key not in data:
        raise TraceError(f"{where}key {key!r} is missing")
    value = data[key]
    if type(value) not in kinds:
        wanted = " or ".join(_JSON_NAMES[kind] for kind in kinds)
        raise TraceError(f"{where}{key} is {_shown(value)}, not {wanted}")
    return value


def _one_of(value: Any, allowed: tuple[str, ...], what: str) -> None:
    if value not in allowed:
        raise TraceError(f"{what} is {_shown(value)}, not one of {', '.join(allowed)}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _object(data: Any, where: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise TraceError(f"{where} is {_shown(data)}, not an object")
    return data


@dataclass(slots=True)
class Blocked:
    """One worker that waits at the end: for what, at which step, and who holds it."""

    worker: str
    op: str
    target: str
    at: str
    holder: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        return {
            "worker": self.worker, "op": self.op, "target": self.target, "at": self.at,
            "holder": list(self.holder), **self.extra,
        }  # fmt: skip

    @classmethod
    def from_data(cls, data: Any, where: str = "blocked") -> Blocked:
        """Raises :class:`TraceError` for data that is no such thing."""
        data = _object(data, where)
        worker, op, target, at = (
            _typed(data, key, (str,), f"{where}: ") for key in ("worker", "op", "target", "at")
        )
        holder = _typed(data, "holder", (list,), f"{where}: ")
        if not all(type(name) is str for name in holder):
            raise TraceError(f"{where}: holder is {_shown(holder)}, not an array of strings")
        known = ("worker", "op", "target", "at", "holder")
        extra = {key: value for key, value in data.items() if key not in known}
        return cls(worker, op, target, at, holder, extra)


@dataclass(slots=True)
class Verdict:
    """How the run ended. ``failure`` is set exactly where ``kind`` is ``failed``.

    ``state``: the shared variables at the end. ``at`` (a step's path) and ``worker`` (an index)
    say where the failure was, if it was anywhere.
    """

    kind: str
    failure: str | None = None
    message: str = ""
    state: dict[str, Any] = field(default_factory=dict)
    blocked: list[Blocked] = field(default_factory=list)
    at: str | None = None
    worker: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def to_data(self) -> dict[str, Any]:
        data: dict[str, Any] = {
            "kind": self.kind, "failure": self.failure, "message": self.message,
            "state": self.state, "blocked": [one.to_data() for one in self.blocked],
        }  # fmt: skip
        if self.at is not None:
            data["at"] = self.at
        if self.worker is not None:
            data["worker"] = self.worker
        return {**data, **self.extra}

    @classmethod
    def from_data(cls, data: Any) -> Verdict:
        """Raises :class:`TraceError` for data that is no verdict."""
        data = dict(_object(data, "verdict"))
        kind = _typed(data, "kind", (str,), "verdict: ")
        _one_of(kind, KINDS, "verdict: kind")
        failure = data.get("failure")
        if kind == "failed":
            _one_of(failure, FAILURES, "verdict: failure")
        elif failure is not None:
            raise TraceError(f"verdict: failure is {_shown(failure)} though kind is {kind!r}")
        defaults: dict[str, Any] = {"message": "", "state": {}, "blocked": []}
        whole = {**defaults, **data}
        message = _typed(whole, "message", (str,), "verdict: ")
        state = _typed(whole, "state", (dict,), "verdict: ")
        blocked = _typed(whole, "blocked", (list,), "verdict: ")
        at, worker = data.get("at"), data.get("worker")
        if at is not None:
            _typed(data, "at", (str,), "verdict: ")
        if worker is not None:
            _typed(data, "worker", (int,), "verdict: ")
        known = ("kind", "failure", "message", "state", "blocked", "at", "worker")
        return cls(
            kind, failure, message, state,
            [Blocked.from_data(one, f"verdict: blocked[{i}]") for i, one in enumerate(blocked)],
            at, worker, {key: value for key, value in data.items() if key not in known},
        )  # fmt: skip


@dataclass(slots=True)
class Trace:
    """One run, self-contained: see TRACE.md. ``extra`` holds unknown keys of the header.

    The scenario is opaque data here. ``workers`` are the workers' names; an event holds an
    index into them. Equality counts times; :meth:`digest` does not.
    """

    scenario: dict[str, Any]
    backend: str
    mode: str
    strategy: dict[str, Any] | None
    clock: str
    environment: dict[str, Any]
    workers: list[str]
    events: Events
    verdict: Verdict
    tracelock: str = "0.1.0"
    extra: dict[str, Any] = field(default_factory=dict)

    def header(self) -> dict[str, Any]:
        """The header as data, in the file's order: all but events and verdict."""
        return {
            "format": FORMAT, "tracelock": self.tracelock, "scenario": self.scenario,
            "backend": self.backend, "mode": self.mode, "strategy": self.strategy,
            "clock": self.clock, "environment": self.environment, "workers": self.workers,
            **self.extra,
        }  # fmt: skip

    @classmethod
    def from_parts(cls, header: dict[str, Any], events: Events, verdict: Verdict) -> Trace:
        """Put a trace together from data, checked. Raises :class:`TraceError`."""
        check_header(header)
        check_workers(events, len(header["workers"]))
        if verdict.worker is not None and not 0 <= verdict.worker < len(header["workers"]):
            raise TraceError(f"verdict: worker is {verdict.worker}, of {len(header['workers'])}")
        extra = {key: value for key, value in header.items() if key not in HEADER}
        return cls(
            header["scenario"], header["backend"], header["mode"], header["strategy"],
            header["clock"], header["environment"], header["workers"], events, verdict,
            header["tracelock"], extra,
        )  # fmt: skip

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all; ``.gz`` at the end of the name compresses.

        Raises :class:`UsageError` where it cannot be written, :class:`TraceError` where the
        trace holds what the format does not allow (NaN, an unknown mode, ...).
        """
        from tracelock.trace.files import save_trace

        save_trace(self, path)

    def to_text(self) -> str:
        """The file's text. For a long trace :meth:`save` needs far less memory."""
        from tracelock.trace.files import parts_of

        return "".join(parts_of(self))

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything but the times, the environment and the version.

        Two runs of one seed have the same digest, on whatever machine and Python.
        """
        from tracelock.trace.text import dumps, encode

        rest = {**self.header(), "verdict": self.verdict.to_data()}
        for key in ("environment", "tracelock"):
            del rest[key]
        digest = hashlib.sha256(encode(dumps(rest, "the header", canonical=True)))
        digest.update(self.events.digest().encode())
        return digest.hexdigest()


def check_format(value: Any) -> None:
    """Raises :class:`TraceError` unless ``value`` is the format that this module reads."""
    if value == FORMAT:
        return
    name, _, version = str(value).partition("/")
    if name == "tracelock-trace" and version.isdigit() and int(version) > 1:
        raise TraceError(
            f"format {value} is newer than this tracelock, which reads {FORMAT}: upgrade it"
        )
    raise TraceError(f"format is {_shown(value)}, not {FORMAT!r}: this is not a tracelock trace")


def check_header(header: dict[str, Any]) -> None:
    """Raises :class:`TraceError` for a header that does not follow the format."""
    for key in ("events", "verdict"):
        if key in header:
            raise TraceError(f"key {key!r} is no part of the header")
    if "format" not in header:
        raise TraceError("key 'format' is missing: this is not a tracelock trace")
    check_format(header["format"])
    for key, kinds in HEADER.items():
        _typed(header, key, kinds, "")
    _one_of(header["mode"], MODES, "mode")
    _one_of(header["clock"], CLOCKS, "clock")
    workers = header["workers"]
    for name in workers:
        if type(name) is not str:
            raise TraceError(f"workers holds {_shown(name)}, not a string")
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
                return i, f"enabled is {_shown(chosen)}, of {count} workers"
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
