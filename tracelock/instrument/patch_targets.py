"""Where patches apply: what holds the originals by name, and objects that exist already.

Methods that were patched need no search. A function that others have taken by name is searched for
in modules, classes, defaults of parameters, closures and dictionaries; locks that exist when
control begins are searched for in modules, classes and the attributes of objects.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import itertools
import queue
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from types import CellType, FunctionType, MappingProxyType, ModuleType
from typing import Any, Final

from tracelock.instrument.accesses.places import namespace_of
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Hub
from tracelock.instrument.patching import MISSING, Patch, declared
from tracelock.instrument.threads import locks
from tracelock.instrument.threads.pool import LOCAL as THREAD_LOCAL

#: Modules whose own names stay: they are how threads come to be and end, or are ours.
EXEMPT: Final = frozenset({
    "_thread", "_threading_local", "_queue", "posix", "nt", "_io", "_pyio",
    "importlib._bootstrap", "_frozen_importlib", "_frozen_importlib_external", "zipimport",
    "linecache", "tokenize", "traceback", "inspect",
})  # fmt: skip
#: Names of ``threading`` that its own working needs as they are.
_KEPT: Final = {"threading": {"_CRLock", "_PyRLock", "_start_new_thread"}}


class Changes:
    """What has been changed, and how to undo it, last first."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []

    def set(self, owner: Any, name: Any, value: Any) -> None:
        """Set an item of a dictionary, or an attribute of anything else."""
        if type(owner) is dict:
            self._undo.append(functools.partial(owner.__setitem__, name, owner[name]))
            owner[name] = value
            return
        before = vars(owner).get(name, MISSING) if isinstance(owner, type) else getattr(owner, name)
        if before is MISSING:
            self._undo.append(functools.partial(delattr, owner, name))
        else:
            self._undo.append(functools.partial(setattr, owner, name, before))
        setattr(owner, name, value)

    def then(self, undo: Callable[[], object]) -> None:
        """Call ``undo`` when all is undone."""
        self._undo.append(undo)

    def undo(self) -> None:
        """Make everything what it was."""
        while self._undo:
            self._undo.pop()()


# --- names of the originals ------------------------------------------------------------------
def replace_names(changes: Changes, rows: Sequence[Patch]) -> dict[int, Callable[..., Any]]:
    """Replace the originals of these rows wherever they are held by name: in modules under
    whatever name, as defaults of parameters, in closures, as attributes of classes, in
    dictionaries. The replacements by the identity of the originals."""
    by = {identity(row.what): row.by for row in rows}
    skipped = _ours()
    holders = [
        one for one in gc.get_referrers(*(row.what for row in rows))
        if identity(one) not in skipped
    ]  # fmt: skip
    # the owners of all are asked for at once: each search visits all objects that there are
    unclear = [
        one for one in holders
        if type(one) is tuple or (type(one) is dict and "__module__" in one)
    ]  # fmt: skip
    owners = gc.get_referrers(*unclear) if unclear else []
    classes = [one for one in owners if isinstance(one, type)]
    namespaces = {identity(space) for space in unclear if _of_class(space, classes)}
    for cls in classes:
        _in_class(changes, cls, by)
    for function in owners:
        if type(function) is FunctionType:
            _in_defaults(changes, function, by)
    for holder in holders:
        kind = type(holder)
        if kind is dict and identity(holder) not in namespaces:
            _in_names(changes, holder, by)
        elif kind is CellType:
            with contextlib.suppress(ValueError):
                if identity(holder.cell_contents) in by:
                    changes.set(holder, "cell_contents", by[identity(holder.cell_contents)])
        elif kind is defaultdict:
            factory = holder.default_factory
            changes.set(holder, "default_factory", by.get(identity(factory), factory))
    return by


def _ours() -> set[int]:
    """What holds the originals for us: it is known by identity, and left alone."""
    ours: set[int] = set()
    for row in itertools.chain.from_iterable(declared.values()):
        if type(row.by) is FunctionType:
            ours.add(identity(row.by.__dict__))
            ours.update(map(identity, row.by.__closure__ or ()))
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and (
            name in EXEMPT or name == "tracelock" or name.startswith("tracelock.")
        ):
            pending: list[Any] = [module.__dict__]
            while pending:
                held = pending.pop()
                if identity(held) in ours:
                    continue
                if type(held) is dict:
                    ours.add(identity(held))
                    pending += [
                        value
                        for key, value in held.items()
                        if type(value) in (dict, FunctionType)
                        and key != "__builtins__"
                        and getattr(value, "__module__", name) == name
                    ]
                elif held.__closure__:
                    ours.update(map(identity, held.__closure__))
    return ours


def _in_class(changes: Changes, cls: type, by: dict[int, Callable[..., Any]]) -> None:
    """Replace the attributes of a class; a function of ours must not become a method."""
    if _foreign(cls.__module__):
        for name, value in list(cls.__dict__.items()):
            if identity(value) in by:
                changes.set(cls, name, staticmethod(by[identity(value)]))


def _in_names(changes: Changes, names: dict[Any, Any], by: dict[int, Callable[..., Any]]) -> None:
    kept = _KEPT.get(names.get("__name__", ""), ()) if "__spec__" in names else ()
    for name, value in list(names.items()):
        new = by.get(identity(value))
        if new is not None and name not in kept:
            changes.set(names, name, new)


def _in_defaults(
    changes: Changes, function: FunctionType, by: dict[int, Callable[..., Any]]
) -> None:
    defaults = function.__defaults__
    if defaults is None or str(function.__module__).startswith("tracelock."):
        return
    new = tuple(by.get(identity(value), value) for value in defaults)
    if any(one is not other for one, other in zip(new, defaults, strict=True)):
        changes.set(function, "__defaults__", new)


# --- objects that exist already --------------------------------------------------------------
def adopt(changes: Changes, hub: Hub) -> list[Any]:
    """Put stand-ins in the places of locks that exist already: in modules, in classes, and in
    objects of classes that are not the standard library's. Other objects get names. The
    thread-local objects that there are."""
    locals_: list[Any] = []
    adoption = _Adoption(changes, hub)
    untouched = EXEMPT | _UNTOUCHED | {"tracelock"}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and not untouched & {name, name.partition(".")[0]}:
            adoption.look(module.__dict__, module.__dict__, name)
    looks: dict[type, int] = {}
    for obj in gc.get_objects():
        cls = type(obj)
        look = looks.get(cls)
        if look is None:
            look = looks[cls] = _look(cls)
        if not look:
            continue
        if look == CLASS:
            if _foreign(obj.__module__) and type(obj.__dict__) is MappingProxyType:
                adoption.look(obj, obj.__dict__, f"{obj.__module__}.{obj.__qualname__}")
        elif look == LOCAL:
            locals_.append(obj)
        else:
            held = namespace_of(obj)
            if type(held) is dict:
                adoption.look(held, held, _label(obj, type(obj)))
    return locals_


class _Adoption:
    """Puts what some attributes hold under control."""

    def __init__(self, changes: Changes, hub: Hub) -> None:
        self.changes = changes
        self.hub = hub
        #: The classes, by identity, of which nothing is ever put under control.
        self._plain: set[int] = set()

    def look(self, owner: Any, names: Any, label: str) -> None:
        """Look at all that ``owner`` has by these names."""
        if self._plain.issuperset(map(identity, map(type, list(names.values())))):
            return
        for name, value in list(names.items()):
            cls = type(value)
            if cls in _RAW:
                self.changes.set(owner, name, self.hub.stand_in(value, f"{label}.{name}"))
            elif issubclass(cls, _NAMED):
                self.hub.mark(value, f"{label}.{name}")
            elif str(cls.__module__).startswith("multiprocessing."):
                from tracelock.instrument.processes.sync import adopt as adopt_shared

                undo = adopt_shared(value, self.hub, f"{label}.{name}")
                if undo is not None:
                    self.changes.then(undo)
            else:
                self._plain.add(identity(cls))


_RAW: Final = (locks.RAW_LOCK, locks.RAW_RLOCK)
_NAMED: Final = (threading.Condition, threading.Semaphore, threading.Event, queue.Queue)
#: What looks after threads, imports and tests itself.
_UNTOUCHED: Final = frozenset(
    {
        "threading", "importlib", "_pytest", "pytest", "pluggy", "_frozen_importlib", "asyncio",
        "trio",
    }
)  # fmt: skip
_STANDARD: Final = sys.stdlib_module_names | _UNTOUCHED | {"tracelock", "execnet", "xdist"}


def _of_class(space: Any, classes: list[type]) -> bool:
    """Whether this is the namespace of one of these classes: not to be changed directly."""
    return type(space) is dict and any(
        cls.__module__ == space.get("__module__")
        and all(cls.__dict__.get(name) is value for name, value in space.items())
        for cls in classes
    )


CLASS, LOCAL, OTHER = 1, 2, 3


def _look(cls: type) -> int:
    """What objects of a class are searched for: 0 for nothing."""
    if issubclass(cls, type):
        return CLASS
    if issubclass(cls, THREAD_LOCAL):
        return LOCAL
    return OTHER if _foreign(cls.__module__) or cls is functools.cached_property else 0


def _foreign(module: object) -> bool:
    """Whether objects of this module's classes are searched for locks."""
    return type(module) is str and _not_standard(module)


@functools.cache
def _not_standard(module: str) -> bool:
    return module.partition(".")[0] not in _STANDARD


def _label(obj: Any, cls: type) -> str:
    """What an object that exists already is called: the same in every process."""
    if cls is functools.cached_property:  # of which there are many
        return f"{obj.func.__module__}.{obj.func.__qualname__}"
    return cls.__qualname__
