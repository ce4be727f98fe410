"""How a run ended: the verdict of a trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.errors import TraceError
from tracelock.trace.header import json_object, one_of, shown, typed

KINDS: Final = ("passed", "failed", "deadlock", "crashed", "unfinished")
#: Those that say that something went wrong.
FAILED: Final = ("failed", "deadlock", "crashed")
FAILURES: Final = ("assert", "always", "finally", "error")


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
        data = json_object(data, where)
        worker, op, target, at = (
            typed(data, key, (str,), f"{where}: ") for key in ("worker", "op", "target", "at")
        )
        holder = typed(data, "holder", (list,), f"{where}: ")
        if not all(type(name) is str for name in holder):
            raise TraceError(f"{where}: holder is {shown(holder)}, not an array of strings")
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
        data = dict(json_object(data, "verdict"))
        kind = typed(data, "kind", (str,), "verdict: ")
        one_of(kind, KINDS, "verdict: kind")
        failure = data.get("failure")
        if kind == "failed":
            one_of(failure, FAILURES, "verdict: failure")
        elif failure is not None:
            raise TraceError(f"verdict: failure is {shown(failure)} though kind is {kind!r}")
        defaults: dict[str, Any] = {"message": "", "state": {}, "blocked": []}
        whole = {**defaults, **data}
        message = typed(whole, "message", (str,), "verdict: ")
        state = typed(whole, "state", (dict,), "verdict: ")
        blocked = typed(whole, "blocked", (list,), "verdict: ")
        at, worker = data.get("at"), data.get("worker")
        if at is not None:
            typed(data, "at", (str,), "verdict: ")
        if worker is not None:
            typed(data, "worker", (int,), "verdict: ")
        known = ("kind", "failure", "message", "state", "blocked", "at", "worker")
        return cls(
            kind, failure, message, state,
            [Blocked.from_data(one, f"verdict: blocked[{i}]") for i, one in enumerate(blocked)],
            at, worker, {key: value for key, value in data.items() if key not in known},
        )  # fmt: skip


def story(blocked: Sequence[Blocked]) -> str:
    """One sentence for each worker that waits."""
    parts = []
    for one in blocked:
        held = ""
        if one.holder and one.op != "join":
            held = f" (held by {', '.join('itself' if h == one.worker else h for h in one.holder)})"
        verb = "waits at" if one.op == "wait" else "waits for"
        parts.append(f"{one.worker} {verb} {one.target}{held}")
    return "; ".join(parts)
