"""The state along a trace as reports show it: objects in words, and the values of variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracelock.analysis.derived.objects import ObjectInfo, by_kind
from tracelock.analysis.derived.state import HANDLERS, Handlers, ObjectState
from tracelock.analysis.derived.steps import Steps, failed
from tracelock.ops import (
    ATOMIC,
    COMPARE_EXCHANGE,
    EXCHANGE,
    FETCH_ADD,
    READ,
    WRITE,
)
from tracelock.report.wording import clean, shown
from tracelock.trace import MISSING, Trace

__all__ = ["UNSEEN", "State"]

#: The value of a variable that no event has shown yet.
UNSEEN: Final = "?"
_SHOWN_ITEMS: Final = 5


class State(ObjectState):
    """An `ObjectState` that also follows ``variables`` where ``values`` was asked for.

    Keys are names as the trace has them.
    """

    def __init__(self, trace: Trace, *, values: bool = False) -> None:
        super().__init__(Steps(trace))
        self.names = [clean(name) for name in trace.workers]
        self.variables: dict[str, Any] = _initial(trace) if values else {}
        if values:
            self.handlers = _WITH_VARIABLES

    def describe(self, name: str) -> str:
        """An object in words: ``held by transfer[0]``, ``free``, ``1 of 2 permits left``."""
        info = self.info(name)
        return _DESCRIBED[info.type](self, info)

    def listed(self, lock: str) -> str:
        """The holders of a lock: ``a, b (2 times)``."""
        return ", ".join(
            self.names[worker] + (f" ({count} times)" if count > 1 else "")
            for worker, count in self.holders(lock).items()
        )

    # --- variables ---------------------------------------------------------------------------
    def _read(self, seq: int) -> None:
        result = self.steps.results[seq]
        if result is not MISSING and not failed(result):
            self.variables[self._name(seq)] = result

    def _write(self, seq: int) -> None:
        value, result = self.steps.events.values[seq], self.steps.results[seq]
        if value is not MISSING and not failed(result):
            self.variables[self._name(seq)] = value

    def _compare_exchange(self, seq: int) -> None:
        if self.steps.results[seq] is True:
            self._write(seq)

    def _fetch_add(self, seq: int) -> None:
        value, result = self.steps.events.values[seq], self.steps.results[seq]
        if failed(result):
            return
        # not a number: a trace from somewhere else, of which nothing is known
        try:
            numbers = isinstance(result, int | float) and isinstance(value, int | float)
            self.variables[self._name(seq)] = result + value if numbers else UNSEEN
        except OverflowError:
            self.variables[self._name(seq)] = UNSEEN

    def _atomic(self, seq: int) -> None:
        for part in (self.steps.results[seq], self.steps.events.values[seq]):
            if isinstance(part, dict) and not failed(part):
                self.variables.update((str(name), one) for name, one in part.items())

    def _name(self, seq: int) -> str:
        return self.steps.targets[seq] or ""


_WITH_VARIABLES: Final[Handlers] = {
    **HANDLERS, READ: State._read, WRITE: State._write, EXCHANGE: State._write,
    COMPARE_EXCHANGE: State._compare_exchange, FETCH_ADD: State._fetch_add, ATOMIC: State._atomic,
}  # fmt: skip


def _initial(trace: Trace) -> dict[str, Any]:
    """The shared variables as the scenario declares them, arrays as their elements."""
    shared = trace.scenario.get("shared")
    found: dict[str, Any] = {}
    if isinstance(shared, Mapping):
        for name, value in shared.items():
            if isinstance(value, list):
                found.update((f"{name}[{i}]", one) for i, one in enumerate(value))
            else:
                found[str(name)] = value
    return found


# --- objects in words ------------------------------------------------------------------------
def _mutex(state: State, info: ObjectInfo) -> str:
    holders = state.listed(info.name)
    return f"held by {holders}" if holders else "free"


def _condition(state: State, info: ObjectInfo) -> str:
    return f"its lock is {clean(info.lock)}" if info.lock != info.name else _mutex(state, info)


def _semaphore(state: State, info: ObjectInfo) -> str:
    holders = state.listed(info.name)
    left = f"{info.value - state.permits.get(info.name, 0)} of {info.value} permits left"
    return f"{left}, taken by {holders}" if holders else left


def _event(state: State, info: ObjectInfo) -> str:
    return "set" if state.flags.get(info.name) else "not set"


def _barrier(state: State, info: ObjectInfo) -> str:
    of = f" of {info.parties}" if info.parties else ""
    return f"{len(state.waiting.get(info.name, []))}{of} have arrived"


def _queue(state: State, info: ObjectInfo) -> str:
    items = state.inside.get(info.name, [])
    if not items:
        return "empty"
    more = f", ... ({len(items)} in all)" if len(items) > _SHOWN_ITEMS else ""
    full = ", full" if state.full(info.name) else ""
    return ", ".join(map(shown, items[:_SHOWN_ITEMS])) + more + full


_DESCRIBED: Final = by_kind(
    lock=_mutex, rlock=_mutex, condition=_condition, semaphore=_semaphore,
    bounded_semaphore=_semaphore, event=_event, barrier=_barrier, queue=_queue,
)  # fmt: skip
