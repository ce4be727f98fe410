"""One event of a trace, and the shape that the events of one step share."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final, NamedTuple

from tracelock import ops
from tracelock.errors import TraceError

__all__ = ["MISSING", "Event", "Missing", "Shape", "check_shape", "frozen"]


class Missing:
    """The type of :data:`MISSING`, which stands for "no such key" (``None`` is JSON's null)."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"  # pickled and copied by name: there is one, in every process


MISSING: Final = Missing()

NO_EXTRA: Final[Mapping[str, Any]] = {}


def frozen(value: Any) -> Any:
    """A hashable stand-in for a JSON value, equal exactly where the values are.

    Python says ``1 == 1.0 == True``; a replay must not. The order of a mapping's keys and the
    difference between a list and a tuple do not count, as JSON knows neither.
    """
    kind = type(value)
    if kind is int or kind is str or value is None or value is MISSING:
        return value
    if kind is list or kind is tuple:
        return ("list", *map(frozen, value))
    if isinstance(value, dict):
        return ("dict", *sorted((str(key), frozen(inner)) for key, inner in value.items()))
    return (kind.__name__, repr(value))  # bool and float: 0.0 and -0.0 differ too


class Shape(NamedTuple):
    """What is the same for all events that one step makes on one target."""

    op: str
    target: str | None
    at: str
    timeout: Any = MISSING
    n: Any = MISSING


class Event(NamedTuple):
    """One visible step of one worker, as it was. ``MISSING`` where the trace has no such key.

    ``target`` is None where there is none. ``t`` and ``waited`` are nanoseconds. ``timeout`` is
    in seconds. ``extra`` holds keys that a later version of the format added.
    """

    seq: int
    worker: int
    op: str
    target: str | None
    at: str
    t: int
    value: Any = MISSING
    timeout: Any = MISSING
    n: Any = MISSING
    expect: Any = MISSING
    result: Any = MISSING
    waited: Any = MISSING
    enabled: Any = MISSING
    extra: Mapping[str, Any] = NO_EXTRA

    def to_data(self) -> dict[str, Any]:
        """The event as it stands in the file, keys in the format's order."""
        data: dict[str, Any] = {"seq": self.seq, "worker": self.worker, "op": self.op}
        if self.target is not None:
            data["target"] = self.target
        for key in ("value", "expect", "timeout", "n", "result"):
            held = getattr(self, key)
            if held is not MISSING:
                data[key] = held
        data["at"] = self.at
        if self.enabled is not MISSING:
            data["enabled"] = list(self.enabled)
        data["t"] = self.t
        if self.waited is not MISSING:
            data["waited"] = self.waited
        data.update(self.extra)
        return data

    def signature(self) -> tuple[Any, ...]:
        """What must be the same in a replay: everything but ``seq``, the times and ``enabled``.

        Hashable; distinguishes ``1``, ``1.0`` and ``true``.
        """
        held = (self.value, self.expect, self.timeout, self.n, self.result)
        return (self.worker, self.op, self.target, self.at, *map(frozen, held))

    def same(self, other: Event) -> bool:
        """Whether two events are the same step with the same outcome, at whatever time."""
        return self.signature() == other.signature()


def check_shape(shape: Shape) -> None:
    """Raises :class:`TraceError` for a shape that the format does not allow."""
    op, target, at, timeout, n = shape
    if type(op) is not str:
        raise TraceError(f"op is {op!r}, not a string")
    if op not in ops.KIND_OF:
        raise TraceError(f"unknown op {op!r}")
    if target is not None and type(target) is not str:
        raise TraceError(f"target is {target!r}, not a string")
    if type(at) is not str:
        raise TraceError(f"at is {at!r}, not a string")
    timed = timeout is MISSING or timeout is None or type(timeout) in (int, float)
    if not timed or (type(timeout) is float and not isfinite(timeout)):
        raise TraceError(f"timeout is {timeout!r}, not a number of seconds")
    if n is not MISSING and type(n) is not int:
        raise TraceError(f"n is {n!r}, not a whole number")
