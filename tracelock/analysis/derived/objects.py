"""What each synchronisation object of a trace is: as declared, or as far as its use tells.

The kinds are listed once, here. Whatever depends on the kind of an object is a table made by
`by_kind`, which refuses to be made without an entry for each: a kind that is added here is an
error at import wherever it is not considered yet.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from tracelock.analysis.derived.columns import Columns, failed
from tracelock.ops import (
    ACQUIRE,
    CLEAR,
    GET,
    KIND_OF,
    NOTIFY,
    PUT,
    RELEASE,
    REQUEST,
    SET,
    WAIT,
    WAKE,
)
from tracelock.trace import MISSING, Trace
from tracelock.trace.databases import WAITS
from tracelock.trace.network import DIRECTIONS

__all__ = [
    "BYTES",
    "KINDS",
    "MUTEXES",
    "SEMAPHORES",
    "ObjectInfo",
    "by_kind",
    "is_direction",
    "is_listener",
    "objects_of",
]

_Entry = TypeVar("_Entry")
#: Every kind of object, as scenarios name them.
KINDS: Final = (
    "lock", "rlock", "condition", "semaphore", "bounded_semaphore", "event", "barrier", "queue",
)  # fmt: skip
SEMAPHORES: Final = frozenset({"semaphore", "bounded_semaphore"})
#: Kinds that are held by one worker at a time.
MUTEXES: Final = frozenset({"lock", "rlock", "condition"})
#: The order of what is a queue of bytes, of which an item is any number: a direction of a
#: connection, in a trace of real code.
BYTES: Final = "bytes"
#: Elements of one declared array that are told apart: a bound against traces from strangers.
MOST_ELEMENTS: Final = 100_000


def is_direction(name: str) -> bool:
    """Whether an object of this name, to which something is put, is a direction of a connection."""
    return name.endswith(DIRECTIONS)


def is_listener(name: str) -> bool:
    """Whether an object of this name is where a server in memory takes connections."""
    return name.partition(" port ")[0] in ("tcp", "tcp6", "unix", "unix6")


def by_kind(**entries: _Entry) -> Mapping[str, _Entry]:
    """A table with one entry for each of `KINDS`. Raises LookupError for any other set of keys."""
    wrong = set(KINDS) ^ set(entries)
    if wrong:
        raise LookupError(f"the table lacks, or should not list: {', '.join(sorted(wrong))}")
    return entries


@dataclass(slots=True)
class ObjectInfo:
    """One synchronisation object: ``type`` is one of `KINDS`, its options are at their defaults.

    ``lock``: of a condition, the name under which its lock is held. ``array``: the declared array
    that it is an element of, or "". ``declared``: False where the type is inferred from use.
    """

    name: str
    type: str
    value: int = 1
    lock: str = ""
    parties: int = 0
    maxsize: int = 0
    order: str = "fifo"
    array: str = ""
    declared: bool = True


def objects_of(columns: Columns) -> dict[str, ObjectInfo]:
    """The objects by name: those that the scenario declares, then those that are only used."""
    objects = _declared(columns.trace)
    _infer(columns, objects)
    return objects


# --- as declared -----------------------------------------------------------------------------
def _declared(trace: Trace) -> dict[str, ObjectInfo]:
    """What the trace's scenario declares. A stranger's data may be anything: what is no
    declaration of a known kind is left out."""
    declared = trace.scenario.get("objects")
    if not isinstance(declared, dict):
        return {}
    objects: dict[str, ObjectInfo] = {}
    for name, given in declared.items():
        options = {"type": given} if isinstance(given, str) else given
        if not isinstance(options, dict) or options.get("type") not in KINDS:
            continue
        count = options.get("count")
        places = range(min(count, MOST_ELEMENTS)) if isinstance(count, int) else None
        lock = options.get("lock")
        shared = declared.get(lock) if isinstance(lock, str) else None
        array_of_locks = isinstance(shared, dict) and "count" in shared
        for place in (0,) if places is None else places:
            own = name if places is None else f"{name}[{place}]"
            held = own
            if isinstance(lock, str):
                held = f"{lock}[{place}]" if array_of_locks else lock
            objects[own] = ObjectInfo(
                own, options["type"], _whole(options, "value", 1), held,
                _whole(options, "parties", 0), _whole(options, "maxsize", 0),
                str(options.get("order", "fifo")), "" if places is None else name,
            )  # fmt: skip
    for one in list(objects.values()):  # the lock of a condition exists in any case
        objects.setdefault(one.lock, ObjectInfo(one.lock, "lock", lock=one.lock, declared=False))
    return objects


def _whole(options: dict[str, Any], key: str, default: int) -> int:
    value = options.get(key)
    return value if type(value) is int else default


# --- as inferred -----------------------------------------------------------------------------
#: What the name of a class in a trace of Python code says that an object is.
_NAMED: Final = {
    "lock": "lock", "rlock": "rlock", "condition": "condition", "semaphore": "semaphore",
    "boundedsemaphore": "bounded_semaphore", "event": "event", "barrier": "barrier",
    "queue": "queue", "lifoqueue": "queue", "priorityqueue": "queue", "simplequeue": "queue",
}  # fmt: skip
_TAKES: Final = frozenset({ACQUIRE, RELEASE, REQUEST})
#: ... unless an operation was applied to it that the kind does not have.
_OPERATIONS: Final = by_kind(
    lock=_TAKES, rlock=_TAKES, semaphore=_TAKES, bounded_semaphore=_TAKES,
    condition=_TAKES | {WAIT, WAKE, NOTIFY}, event=frozenset({WAIT, WAKE, SET, CLEAR}),
    barrier=frozenset({WAIT, WAKE}), queue=frozenset({PUT, GET, REQUEST}),
)  # fmt: skip


def _infer(columns: Columns, objects: dict[str, ObjectInfo]) -> None:
    """Add the objects that no scenario declares.

    The name may say what one is (``Semaphore#1``, ``lock@bank.py:12``); else its use does.
    """
    used: dict[str, set[int]] = defaultdict(set)
    named: set[str] = set()
    for shape in columns.events.table:
        kind = KIND_OF[shape.op]
        if ACQUIRE <= kind <= GET and shape.target is not None and shape.target not in objects:
            used[shape.target].add(kind)
    for name, kinds in used.items():
        word = re.split("[#@]", name)[0].rpartition(".")[2].lower()
        if f"{WAITS}#" in name:  # a wait for a database, which gives no lock up
            what = "event"
            named.add(name)
        elif word in _NAMED and kinds <= _OPERATIONS[_NAMED[word]]:
            what = _NAMED[word]
            named.add(name)
        elif NOTIFY in kinds:
            what = "condition"
        elif kinds & {PUT, GET}:
            what = "queue"
        elif kinds & {ACQUIRE, RELEASE}:
            what = "condition" if WAIT in kinds else "lock"
        elif "cond" in word and kinds <= _OPERATIONS["condition"]:
            what = "condition"
        else:
            what = "event"
        order = {"lifoqueue": "lifo", "priorityqueue": "priority"}.get(word, "fifo")
        if what == "queue" and is_direction(name):
            order = BYTES
        objects[name] = ObjectInfo(name, what, lock=name, order=order, declared=False)
        if what == "event" and not kinds & {SET, CLEAR} and name not in named:
            lock = _lock_around(columns, name)
            if lock is not None and not _kept(columns, lock):
                # waited for with a lock held that the wait gives up
                objects[name].type, objects[name].lock = "condition", lock
        elif what == "condition" and not kinds & {ACQUIRE, RELEASE}:
            objects[name].lock = _lock_around(columns, name) or name
    most, given = _most_held(columns, objects, used)
    users = set(zip(columns.workers, columns.targets, strict=True))
    for name in used:
        info = objects[name]
        if info.type in MUTEXES and (most[name] > 1 or name in given):
            info.type = "semaphore"
        if info.type in SEMAPHORES:
            # released before anybody took it: it is a signal, which begins with no permit
            info.value = 0 if name in given else most[name]
        elif info.type == "barrier":
            info.parties = len({w for w, target in users if target == name})


def _lock_around(columns: Columns, condition: str) -> str | None:
    """The lock that is held at every wait and notify of a condition made of another's lock."""
    held: list[list[str]] = [[] for _ in columns.names]
    common: set[str] | None = None
    for seq, worker in enumerate(columns.workers):
        kind, target = columns.kinds[seq], columns.targets[seq]
        if target is None:
            continue
        if kind == ACQUIRE and columns.results[seq] in (True, MISSING):
            held[worker].append(target)
        elif kind == RELEASE and target in held[worker]:
            held[worker].remove(target)
        elif target == condition and kind in (WAIT, NOTIFY):
            common = set(held[worker]) if common is None else common & set(held[worker])
    return min(common) if common else None


def _kept(columns: Columns, lock: str) -> bool:
    """Whether somebody waits at the end for ``lock``, held by a worker that waits too."""
    blocked = columns.trace.verdict.blocked
    waiting = {one.worker for one in blocked if one.op == "wait"}
    return any(one.target == lock and waiting & set(one.holder) for one in blocked)


def _most_held(
    columns: Columns, objects: Mapping[str, ObjectInfo], names: Collection[str]
) -> tuple[dict[str, int], set[str]]:
    """How many workers held each of ``names`` at once, at most; and which of them were released
    before anybody had taken them."""
    taken: set[str] = set()
    given: set[str] = set()
    held: dict[str, dict[int, int]] = {name: defaultdict(int) for name in names}
    inside: dict[str, int] = dict.fromkeys(names, 0)
    most = dict(inside)
    if not names:
        return most, given
    lock_of = {name: info.lock for name, info in objects.items() if info.type == "condition"}
    for seq, target in enumerate(columns.targets):
        if target is None:
            continue
        kind, worker, result = columns.kinds[seq], columns.workers[seq], columns.results[seq]
        name = lock_of.get(target, target)
        if name not in held:
            continue
        takes = kind == ACQUIRE and (result is True or result is MISSING)
        gives = kind == RELEASE and not failed(result)
        if takes or (kind == WAKE and target in lock_of):
            taken.add(name)
            held[name][worker] += 1
            if held[name][worker] == 1:
                inside[name] += 1
                most[name] = max(most[name], inside[name])
        elif (gives or (kind == WAIT and target in lock_of)) and held[name][worker]:
            held[name][worker] -= 1
            inside[name] -= not held[name][worker]
        elif gives and name not in taken:
            given.add(name)
    return most, given
