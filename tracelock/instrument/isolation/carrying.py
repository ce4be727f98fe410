"""What a forked process sends back: data by value, what its parent has as well by its address.

A fork has the same objects at the same addresses, and its parent waits meanwhile. So of functions,
classes and objects of the program's that what is sent leads to, the address is sent, if it led to
them at the fork; what has come into being since then means nothing to the parent and is left out.
"""

from __future__ import annotations

import ctypes
import io
import pickle
import random
import sys
from collections.abc import Iterable
from dataclasses import fields
from functools import partial
from itertools import islice
from types import (
    BuiltinFunctionType,
    CodeType,
    FrameType,
    FunctionType,
    MethodType,
    ModuleType,
    TracebackType,
)
from typing import TYPE_CHECKING, Any, Final
from weakref import ReferenceType

from tracelock.instrument import callers
from tracelock.instrument.gil import originals
from tracelock.schedulers.base import Scheduler

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend
    from tracelock.instrument.rewrite.loading import Sources

_ATOMS: Final = frozenset({int, str, bool, float, bytes, type(None), tuple, list, dict, set})
#: What is never sent by value.
_REFERRED: Final = (
    FunctionType, MethodType, ModuleType, CodeType, FrameType, TracebackType, ReferenceType,
    partial,
)  # fmt: skip
#: Packages whose objects are sent by value, their own or derived from them.
_BY_VALUE: Final = frozenset(
    {"builtins", "tracelock", "collections", "array", "enum", "datetime", "copyreg"}
)
_GONE: Final = 0
_OF_BACKEND: Final = (
    "heard", "ended_by_timeout", "cut_daemons", "own_loops", "own_name", "ran", "starved",
)  # fmt: skip


def _remade(cls: Any, text: str, args: Any, state: dict[str, Any]) -> BaseException:
    """An exception, without calling its own constructor."""
    if cls is None:
        return RuntimeError(text)
    error: BaseException = cls.__new__(cls)
    error.args = args
    vars(error).update(state)
    return error


class _Sender(pickle.Pickler):
    """``known``: the identities of objects that are sent by address. ``all_new``: there are none
    that came into being since the fork, so that all may be."""

    def __init__(self, file: Any, known: set[int], all_new: bool = False) -> None:
        super().__init__(file, 5)
        self._known = known
        self._learns = all_new

    def persistent_id(self, obj: Any) -> int | None:
        cls = type(obj)
        if cls in _ATOMS:
            return None
        if id(obj) in self._known:
            return id(obj)
        if issubclass(cls, type) or cls is FunctionType:
            return None if _has_name(obj) else self._address(obj)
        if cls is BuiltinFunctionType:
            return None if issubclass(type(obj.__self__), ModuleType) else _GONE
        if issubclass(cls, _REFERRED):
            return self._address(obj)
        if issubclass(cls, (BaseException, Scheduler, random.Random)):
            return None
        if cls.__module__.partition(".")[0] in _BY_VALUE:
            return None
        return self._address(obj)

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            return _remade, (type(obj), str(obj), obj.args, dict(vars(obj)))
        return NotImplemented

    def _address(self, obj: object) -> int:
        if not self._learns:
            return _GONE
        self._known.add(id(obj))
        return id(obj)


def _has_name(obj: type | FunctionType) -> bool:
    """Whether a class or function of tracelock's, or a built-in one, can be had by its name."""
    module = vars(type)["__module__"].__get__(obj) if isinstance(obj, type) else obj.__module__
    if type(module) is not str or module.partition(".")[0] not in _BY_VALUE:
        return False
    found: Any = sys.modules.get(module)
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


class _Receiver(pickle.Unpickler):
    def persistent_load(self, address: int) -> Any:
        return None if address == _GONE else ctypes.cast(address, ctypes.py_object).value


def addresses(what: Any, shared: Iterable[object]) -> set[int]:
    """In the child, as it begins: of what ``what`` leads to, and of ``shared``, which are sent by
    address whatever they are."""
    known = set(map(id, shared))
    _Sender(io.BytesIO(), known, all_new=True).dump(what)
    return known


def packed(what: Any, known: set[int]) -> bytes:
    """In the child: ``what`` as bytes for its parent, with the addresses that were known."""
    file = io.BytesIO()
    _Sender(file, known).dump(what)
    return file.getvalue()


def unpacked(data: bytes) -> Any:
    """In the parent, which has run nothing since the fork."""
    return _Receiver(io.BytesIO(data)).load()


# --- schedulers ------------------------------------------------------------------------------
def schedulers_in(scheduler: Scheduler) -> list[Scheduler]:
    """A scheduler and those that it is made of."""
    found: list[Scheduler] = []
    todo: list[Any] = [scheduler]
    while todo:
        one = todo.pop()
        if isinstance(one, dict):
            todo += one.values()
        elif isinstance(one, (list, tuple)):
            todo += one
        elif isinstance(one, Scheduler) and not any(one is known for known in found):
            found.append(one)
            todo += vars(one).values()
    return found


def innermost(scheduler: Scheduler) -> Scheduler:
    """What a scheduler that wraps another one leads to."""
    while isinstance(inner := vars(scheduler).get("inner"), Scheduler):
        scheduler = inner
    return scheduler


# --- what is learnt from schedules -----------------------------------------------------------
class Learnt:
    """What schedules teach of a program: names, what is shared, what was seen and heard.

    Made before the fork; ``taken`` in the child, ``give`` in the parent. Tables that only grow are
    sent from where they were.
    """

    def __init__(self, backend: PythonBackend, sources: Sources) -> None:
        self._backend = backend
        self._sources = sources
        self._begun = [len(table) for table in self._tables()]
        self._functions = len(originals.functions())

    def _tables(self) -> Iterable[dict[Any, Any]]:
        sources = self._sources
        return (
            callers.functions, callers._paths, callers.created, callers.called, callers.held,
            sources.digests, sources.sites._functions,
            self._backend.kept.lasting, self._backend.kept.changed,
            self._backend.kept.callers.lost, self._backend.names.doubts,
            self._backend.names.unsure, self._backend.names.exposed,
            self._backend.hub.onlooker.passed_over, *self._backend.hub.invariants.tables,
        )  # fmt: skip

    def taken(self) -> dict[str, Any]:
        """All of it, as data."""
        backend = self._backend
        names, hub, keeper = backend.names, backend.hub, backend.account
        layout, mortals = names.layout, names.mortals
        theirs = backend.kept.for_the_caller()
        return {
            "theirs": theirs,
            "tables": [
                list(islice(table.items(), begun, None))
                for table, begun in zip(self._tables(), self._begun, strict=True)
            ],
            "layout": (layout.names, layout.objects, layout.workers, layout._numbers,
                       layout._places, layout.short),
            "variables": [(v.name, v.number, v.shared) for v in names.variables.values()],
            "pending": ([variable.name for variable in names._pending], names.waiting),
            "mortal": names.mortal,
            "causes": {
                name: [(pair.name, cause.name, stores) for pair, cause, stores in causes]
                for name, causes in mortals._causes.items()
            },
            "hub": (hub.numbered, hub.fork_copies, hub.imported, hub.gaps),
            "account": (keeper.account, keeper._schedules, keeper._next),
            "backend": [getattr(backend, name) for name in _OF_BACKEND],
            "drew": backend.afresh.drew,
            "aim": vars(hub.aim),
            "blind": self._sources.blind,
            "modules": self._sources.modules,
            "functions": list(islice(originals.functions(), self._functions, None)),
        }  # fmt: skip

    def give(self, taken: dict[str, Any]) -> None:
        """Let what another process has learnt be known here."""
        backend = self._backend
        names, hub, keeper = backend.names, backend.hub, backend.account
        layout, mortals = names.layout, names.mortals
        backend.kept.from_apart(taken["theirs"])
        for table, more in zip(self._tables(), taken["tables"], strict=True):
            for key, value in more:
                table.setdefault(key, value)
        known = (layout.names, layout.objects, layout.workers)
        for mine, theirs in zip(known, taken["layout"], strict=False):
            mine[:] = theirs  # type: ignore[index]
        layout._numbers.update(taken["layout"][3])
        layout._places.update(taken["layout"][4])
        object.__setattr__(layout, "short", taken["layout"][5])
        for name, number, shared in taken["variables"]:
            variable = names.named(name)
            names.number(variable, number, shared)
        names._pending[:] = [names.named(name) for name in taken["pending"][0]]
        names.waiting = taken["pending"][1]
        names.mortal = names.mortal or taken["mortal"]
        for name, causes in taken["causes"].items():
            mortals._causes[name] = [
                (names.named(pair), names.named(cause), stores) for pair, cause, stores in causes
            ]
        hub.numbered, hub.fork_copies, hub.imported, hub.gaps = taken["hub"]
        account, keeper._schedules, keeper._next = taken["account"]
        for field in fields(account):
            setattr(keeper.account, field.name, getattr(account, field.name))
        for name, value in zip(_OF_BACKEND, taken["backend"], strict=True):
            setattr(backend, name, value)
        backend.afresh.drew = taken["drew"]
        vars(hub.aim).update(taken["aim"])
        self._sources.blind |= taken["blind"]
        if self._sources.modules != taken["modules"]:
            self._sources.modules[:] = taken["modules"]
            self._sources._looked.clear()
        originals.learn(taken["functions"])
