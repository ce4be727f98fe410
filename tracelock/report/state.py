"""Who holds what, what is in the queues, which value a variable has: the state along a trace.

It is worked out from the events' own results, never from a model of the objects, so that it can be
told of any trace, one of instrumented code too, where nothing is declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tracelock.report.wording import clean, shown
from tracelock.trace import MISSING, Events, Shape, Trace

__all__ = ["UNSEEN", "State"]

#: Steps that change who holds what.
_ON_OBJECTS: Final = frozenset(
    {"acquire", "release", "wait", "wake", "put", "get", "set", "clear", "cancelled", "timeout"}
)
_ON_VARIABLES: Final = frozenset(
    {"read", "write", "compare_exchange", "exchange", "fetch_add", "atomic"}
)
#: The value of a variable that no event has shown yet.
UNSEEN: Final = "?"
_SHOWN_ITEMS: Final = 5


class State:
    """The state after the first ``position`` events; ``advance`` goes forward only.

    ``holders``: the workers (indices) that hold a lock, once for each level; ``inside``: the
    items of each queue, in the order in which they were put; ``permits``: taken from a semaphore;
    ``waiting``: who waits at a condition, event or barrier; ``flags``: of events; ``variables``
    where ``values`` was asked for. Keys are names as the trace has them.
    """

    def __init__(self, trace: Trace, *, values: bool = False) -> None:
        self.trace = trace
        self.events: Events = trace.events
        self.names = [clean(name) for name in trace.workers]
        self.objects = _objects(trace)
        self.holders: dict[str, list[int]] = {}
        self.inside: dict[str, list[Any]] = {}
        self.permits: dict[str, int] = {}
        self.waiting: dict[str, list[int]] = {}
        self.flags: dict[str, bool] = {}
        self.variables: dict[str, Any] = _initial(trace) if values else {}
        self.position = 0
        self._kept: dict[tuple[int, str], int] = {}  # levels of a lock given up by a wait
        tracked = _ON_OBJECTS | _ON_VARIABLES if values else _ON_OBJECTS
        self._tracked = [shape.op in tracked for shape in self.events.table]

    # --- declarations ------------------------------------------------------------------------
    def declared(self, target: str) -> Mapping[str, Any]:
        """What is known of an object: its ``type`` and options."""
        return self.objects.get(target) or self.objects.get(target.partition("[")[0], {})

    def type(self, target: str) -> str:
        """The type of an object, as in a scenario; ``mutex`` for a lock of either kind."""
        return str(self.declared(target).get("type", "lock"))

    def lock_of(self, target: str) -> str:
        """The lock that a condition shares; anything else is itself."""
        lock = self.declared(target).get("lock")
        if not isinstance(lock, str):
            return target
        own = self.objects.get(lock, {}).get("count")
        return lock + target[target.index("[") :] if own is not None and "[" in target else lock

    # --- moving ------------------------------------------------------------------------------
    def advance(self, stop: int) -> None:
        """Apply the events up to number ``stop``, which itself is not applied."""
        events, tracked, table = self.events, self._tracked, self.events.table
        shapes, workers, results = events.shapes, events.workers, events.results
        for seq in range(self.position, stop):
            number = shapes[seq]
            if tracked[number]:
                shape = table[number]
                if shape.op in _ON_VARIABLES:
                    self._vary(shape, seq, results[seq])
                else:
                    self._follow(shape, seq, workers[seq], results[seq])
        self.position = max(self.position, stop)

    def _follow(self, shape: Shape, seq: int, worker: int, result: Any) -> None:
        op, target = shape.op, shape.target or ""
        failed = isinstance(result, dict) or result is False
        key = self.lock_of(target)
        if op in ("acquire", "release") and not failed and "semaphore" in self.type(key):
            n = shape.n if isinstance(shape.n, int) else 1
            self.permits[key] = self.permits.get(key, 0) + (1 if op == "acquire" else -n)
        if op == "acquire" and not failed:
            self.holders.setdefault(key, []).append(worker)
        elif op == "release" and not failed:
            self._release(key, worker)
        elif op == "wait":
            self._wait(target, key, worker, result)
        elif op == "wake":
            waiting = self.waiting.get(target, [])
            if worker in waiting:
                waiting.remove(worker)
            again = self._kept.pop((worker, target), 0)
            if again and not isinstance(result, dict):
                self.holders.setdefault(key, []).extend([worker] * again)
        elif op == "put" and not failed:
            self.inside.setdefault(target, []).append(self.events.values[seq])
        elif op == "get" and not (isinstance(result, dict) and "error" in result):
            self._get(target, result)
        elif op in ("set", "clear") and not failed:
            self.flags[target] = op == "set"
        elif op in ("cancelled", "timeout"):
            self._leave(worker)

    def _release(self, key: str, worker: int) -> None:
        held = self.holders.get(key, [])
        if worker in held:
            held.remove(worker)
        elif held and self.type(key) in ("lock", "mutex"):
            held.pop()  # anybody may release a plain lock
        if not held:
            self.holders.pop(key, None)  # so that to walk over the holders is to see what is held

    def _wait(self, target: str, key: str, worker: int, result: Any) -> None:
        if result is not MISSING:  # it went through at once, and the others with it
            if self.type(target) == "barrier":
                self.waiting.pop(target, None)
            return
        self.waiting.setdefault(target, []).append(worker)
        if self.type(target) == "condition":
            held = self.holders.get(key, [])
            self._kept[worker, target] = held.count(worker)
            rest = [other for other in held if other != worker]
            if rest:
                self.holders[key] = rest
            else:
                self.holders.pop(key, None)

    def _get(self, target: str, result: Any) -> None:
        items = self.inside.get(target, [])
        if not items:
            return
        place = -1 if self.declared(target).get("order") == "lifo" else 0
        if items[place] != result:
            place = next((i for i, item in enumerate(items) if item == result), place)
        del items[place]

    def _leave(self, worker: int) -> None:
        """A cancelled wait has ended; a condition's took its lock again."""
        for target, waiting in self.waiting.items():
            if worker in waiting:
                waiting.remove(worker)
                again = self._kept.pop((worker, target), 0)
                if again:
                    self.holders.setdefault(self.lock_of(target), []).extend([worker] * again)

    def _vary(self, shape: Shape, seq: int, result: Any) -> None:
        op, target = shape.op, shape.target or ""
        value = self.events.values[seq]
        if isinstance(result, dict) and "error" in result and op != "atomic":
            return
        if op == "read":
            if result is not MISSING:
                self.variables[target] = result
        elif op == "write" or op == "exchange" or (op == "compare_exchange" and result is True):
            if value is not MISSING:
                self.variables[target] = value
        elif op == "fetch_add":
            # not a number: a trace from somewhere else, of which nothing is known
            try:
                numbers = isinstance(result, int | float) and isinstance(value, int | float)
                self.variables[target] = result + value if numbers else UNSEEN
            except OverflowError:
                self.variables[target] = UNSEEN
        elif op == "atomic":
            for part in (result, value):
                if isinstance(part, dict) and "error" not in part:
                    self.variables.update((str(name), one) for name, one in part.items())

    # --- asking ------------------------------------------------------------------------------
    def full(self, queue: str) -> bool:
        """Whether a bounded queue has no room."""
        room = self.declared(queue).get("maxsize")
        return isinstance(room, int) and 0 < room <= len(self.inside.get(queue, ()))

    def taken(self, target: str, worker: int) -> bool:
        """Whether ``worker`` would have to wait for this lock or semaphore."""
        key = self.lock_of(target)
        kind = self.type(key)
        if "semaphore" in kind:
            value = self.declared(key).get("value", 1)
            return isinstance(value, int) and self.permits.get(key, 0) >= value
        holders = self.holders.get(key, [])
        return bool(holders) and (kind == "lock" or worker not in holders)

    def told(self, target: str) -> str:
        """An object in words: ``held by transfer[0]``, ``free``, ``1 of 2 permits left``."""
        kind = self.type(target)
        names = self.names
        holders = self.holders.get(target, [])
        if "semaphore" in kind:
            value = self.declared(target).get("value", 1)
            who = f", taken by {_listed(holders, names)}" if holders else ""
            if not isinstance(value, int):
                return f"permits not known{who}"
            return f"{value - self.permits.get(target, 0)} of {value} permits left{who}"
        if kind == "queue":
            items = self.inside.get(target, [])
            more = f", ... ({len(items)} in all)" if len(items) > _SHOWN_ITEMS else ""
            inside = ", ".join(map(shown, items[:_SHOWN_ITEMS])) + more
            full = ", full" if self.full(target) else ""
            return f"{inside}{full}" if items else "empty"
        if kind == "event":
            return "set" if self.flags.get(target) else "not set"
        if kind == "barrier":
            parties = self.declared(target).get("parties")
            of = f" of {parties}" if isinstance(parties, int) else ""
            return f"{len(self.waiting.get(target, []))}{of} have arrived"
        if kind == "condition" and self.lock_of(target) != target:
            return f"its lock is {clean(self.lock_of(target))}"
        return f"held by {_listed(holders, names)}" if holders else "free"


def _listed(workers: list[int], names: list[str]) -> str:
    levels = {worker: workers.count(worker) for worker in workers}
    return ", ".join(
        names[worker] + (f" ({count} times)" if count > 1 else "")
        for worker, count in levels.items()
    )


def _objects(trace: Trace) -> dict[str, Mapping[str, Any]]:
    """What the scenario declares of its objects; it is a stranger's data and may be anything.

    What nobody declares is told from what was done with it.
    """
    declared = trace.scenario.get("objects")
    found: dict[str, Mapping[str, Any]] = {}
    if isinstance(declared, Mapping):
        for name, one in declared.items():
            found[str(name)] = one if isinstance(one, Mapping) else {"type": one}
    used: dict[str, set[str]] = {}
    for shape in trace.events.table:
        target = shape.target
        if target is None or shape.op not in _ON_OBJECTS | {"notify", "request"}:
            continue
        if target not in found and target.partition("[")[0] not in found:
            used.setdefault(target, set()).add(shape.op)
    for name, ops in used.items():
        kind = "event"
        if ops & {"put", "get"}:
            kind = "queue"
        elif "notify" in ops or ("wait" in ops and ops & {"acquire", "release"}):
            kind = "condition"
        elif ops & {"acquire", "release", "request"}:
            kind = "mutex"
        found[name] = {"type": kind}
    return found


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
