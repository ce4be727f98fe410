"""Executors of threads that exist before control begins, as those of a module; and those that a
module makes which a worker is the first to import.

Their own queue is written in C and their threads wait on it outside of control. While control lasts
they have a queue that is under control, and each schedule finds them as new: without threads, and
with nothing to do. Afterwards they are what they were.
"""

from __future__ import annotations

import queue
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from tracelock.instrument.contexts import class_names, identity, module_names
from tracelock.instrument.wings import Wing

if TYPE_CHECKING:
    from tracelock.instrument.hub import Hub
    from tracelock.instrument.live_objects import LiveObjects
    from tracelock.instrument.patch_targets import Changes

#: Attributes that a schedule may change.
_CHANGED: Final = ("_work_queue", "_idle_semaphore", "_threads", "_broken", "_shutdown")
_LOCK: Final = "_shutdown_lock"
#: What one has, unless it is of another library, or of a version that is not known.
_EVERY: Final = frozenset({*_CHANGED, _LOCK})
_QUEUE_IN_C: Final = queue.SimpleQueue
_QUEUE: Final[Any] = queue._PySimpleQueue  # type: ignore[attr-defined]


class _NameInModule(NamedTuple):
    """Where a module has one; no name where none has. ``modules``: how many there were."""

    module: str = ""
    name: str = ""
    modules: int = 0


#: All that were met so far, in any exploration.
_known: Final[weakref.WeakKeyDictionary[Any, _NameInModule]] = weakref.WeakKeyDictionary()


class Executors(Wing):
    """Those that are under control. ``labels``: what each is called."""

    key = "executors"
    lasts = True

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.labels: list[tuple[dict[str, Any], str]] = []

    def begin(self) -> None:
        """Each has what a new one has. What it had may still be used by threads of others."""
        for held, label in self.labels:
            waiting = held["_work_queue"]
            as_new = type(waiting) is _QUEUE and not (waiting._queue or held["_threads"])
            if as_new and not (held["_broken"] or held["_shutdown"]):
                continue  # no schedule has used it since
            waiting, idle = _QUEUE(), threading.Semaphore(0)
            waiting._tracelock_name = f"{label}._work_queue"
            idle._tracelock_name = f"{label}._idle_semaphore"  # type: ignore[attr-defined]
            held.update(_work_queue=waiting, _idle_semaphore=idle, _threads=set())
            held.update(_broken=False, _shutdown=False)


def renew(
    changes: Changes, hub: Hub, live: LiveObjects,
    named: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]],
) -> None:  # fmt: skip
    """Put those under control that there are. ``named``: gives modules and what they hold, by which
    they are called."""
    _meet((live.new_instances,) if live.partial else (live.others, live.standard))
    those = {identity(one): one for one in _known if not one._shutdown and not one._broken}
    if not those:
        return
    _find(those, named)
    wing = hub.wing(Executors)
    for one in those.values():
        held, label = vars(one), _label(one)
        if not held.keys() >= _EVERY:
            continue
        for name in _CHANGED:
            changes.set(held, name, held[name])
        changes.set(held, _LOCK, hub.stand_in(held[_LOCK], f"{label}.{_LOCK}"))
        wing.labels.append((held, label))
    wing.begin()


def imported(changes: Changes, hub: Hub, modules: Iterable[str]) -> None:
    """Workers have imported these modules: what they and their classes hold is new from the next
    schedule on, and when control is over."""
    kind: Any = getattr(sys.modules.get("concurrent.futures.thread"), "ThreadPoolExecutor", None)
    if kind is None:
        return
    wing = hub.wing(Executors)
    met = {identity(held) for held, _ in wing.labels} | {identity(vars(one)) for one in _known}
    for module in modules:
        for label, one in _held_by(module):
            held = vars(one) if issubclass(type(one), kind) else {}
            if held.keys() >= _EVERY and identity(held) not in met:
                met.add(identity(held))
                wing.labels.append((held, f"{module}.{label}"))
                changes.then(partial(_make_new, held))


def _held_by(module: str) -> Iterator[tuple[str, Any]]:
    """What a module holds, and each class of its own, by name."""
    home = sys.modules.get(module)
    held = module_names(home) if issubclass(type(home), ModuleType) else {}
    for name, value in list(held.items()):
        yield name, value
        inside = class_names(value) if issubclass(type(value), type) else {}
        if inside.get("__module__") == module:
            yield from inside.items()


def _make_new(held: dict[str, Any]) -> None:
    """Control is over: what was made under control is of no use now."""
    held.update(_work_queue=_QUEUE_IN_C(), _idle_semaphore=threading.Semaphore(0), _threads=set())
    held.update({"_broken": False, "_shutdown": False, _LOCK: threading.Lock()})


def _meet(instances: Iterable[Sequence[Any]]) -> None:
    module: Any = sys.modules.get("concurrent.futures.thread")
    if module is None:
        return
    base = module.ThreadPoolExecutor
    for some in instances:
        kinds = {identity(cls): cls for cls in map(type, some)}
        wanted = {number for number, cls in kinds.items() if issubclass(cls, base)}
        if wanted:
            for one in some:
                if identity(type(one)) in wanted:
                    _known.setdefault(one, _NameInModule())


def _find(
    those: Mapping[int, Any], named: Callable[[], Iterable[tuple[str, Mapping[str, Any]]]]
) -> None:
    """See where each of them is. All names of all modules, of which there are very many, are looked
    at only where one is no longer where it was, or may have got a name."""
    if all(map(_is_there, those.values())):
        return
    count = len(sys.modules)
    _known.update(dict.fromkeys(those.values(), _NameInModule(modules=count)))
    for module, names in named():
        for name, value in list(names.items()):
            if identity(value) in those:
                _known[those[identity(value)]] = _NameInModule(module, name, count)


def _is_there(one: Any) -> bool:
    place = _known[one]
    if not place.name:
        return place.modules == len(sys.modules)
    home = sys.modules.get(place.module)
    # of another type it may run code of its own to be looked into
    return type(home) is ModuleType and vars(home).get(place.name) is one


def _label(one: Any) -> str:
    place = _known[one]
    return f"{place.module}.{place.name}" if place.name else type(one).__qualname__
