"""How each backend makes each kind of synchronisation object, as source."""

from __future__ import annotations

from typing import Final

from tracelock.scenario.language.models import ObjectDecl
from tracelock.scenario.language.objects import OBJECTS

_PLAIN: Final = {
    "lock": "Lock()", "rlock": "RLock()", "semaphore": "Semaphore({value})",
    "bounded_semaphore": "BoundedSemaphore({value})", "condition": "Condition({lock})",
    "event": "Event()", "barrier": "Barrier({parties})",
}  # fmt: skip
_QUEUES: Final = {
    "queue": "Queue({maxsize})", "queue:lifo": "LifoQueue({maxsize})",
    "queue:priority": "PriorityQueue({maxsize})",
}  # fmt: skip


def _of(module: str, rows: dict[str, str], *without: str) -> dict[str, str]:
    return {kind: f"{module}.{row}" for kind, row in rows.items() if kind not in without}


#: backend -> kind of object -> its constructor; what is not listed the backend does not have.
CONSTRUCTORS: Final[dict[str, dict[str, str]]] = {
    "threading": {**_of("threading", _PLAIN), **_of("queue", _QUEUES)},
    "multiprocessing": {**_of("ctx", _PLAIN), "queue": "ctx.Queue({maxsize})"},
    "asyncio": {**_of("asyncio", _PLAIN, "rlock"), **_of("asyncio", _QUEUES)},
    "trio": {
        **_of("trio", _PLAIN, "rlock", "barrier"),
        "bounded_semaphore": "trio.Semaphore({value}, max_value={value})",
        "queue": "trio.open_memory_channel({room})",
    },
}
for _backend, _rows in CONSTRUCTORS.items():
    for _name, _kind in OBJECTS.items():
        if _name not in _rows and not _kind.feature:
            raise TypeError(f"no constructor for {_name} on {_backend}")


def constructor(backend: str, decl: ObjectDecl, lock: str | None) -> str:
    """The source that makes an object; ``lock``: the source of a condition's lock, if any."""
    kind = decl.type if decl.order in (None, "fifo") else f"{decl.type}:{decl.order}"
    return CONSTRUCTORS[backend][kind].format(
        value=1 if decl.value is None else decl.value,
        parties=decl.parties, maxsize=decl.maxsize or "", room=decl.maxsize or "math.inf",
        lock=lock or "",
    )  # fmt: skip
