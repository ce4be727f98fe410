"""Where patches apply: what holds the originals by name, and objects that exist already.

Methods that were patched need no search. A function that others have taken by name is searched for
in modules, classes, defaults of parameters, closures, dictionaries and the attributes of objects;
locks that exist when control begins in modules, classes and the attributes of objects.
"""

from __future__ import annotations

import builtins
import contextlib
import ctypes
import functools
import gc
import itertools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from types import CellType, FunctionType
from typing import Any, Final, TypeVar

from tracelock.instrument.accesses.class_stand_in import ClassStandIn
from tracelock.instrument.accesses.places import namespace_of
from tracelock.instrument.contexts import class_names, identity
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.live_objects import is_foreign as _foreign
from tracelock.instrument.patching import MISSING, Patch, declared
from tracelock.instrument.rewrite.sites import globals_of, loaded

#: Modules whose own names stay: they are how threads come to be and end, or are ours.
EXEMPT: Final = frozenset({
    "_thread", "_threading_local", "_queue", "posix", "nt", "_io", "_pyio",
    "importlib._bootstrap", "_frozen_importlib", "_frozen_importlib_external", "zipimport",
    "linecache", "tokenize", "traceback", "inspect",
})  # fmt: skip
#: How many objects are looked at together.
_MANY: Final = 64
_FEW: Final = 8
_T = TypeVar("_T")
_flat: Final = itertools.chain.from_iterable
_DEFAULTS: Final = attrgetter("__defaults__")
#: Types of what leads to more of ours; what no module has for itself.
_LEADING_ON: Final = frozenset(map(identity, (dict, FunctionType, tuple)))
_BUILTINS: Final = vars(builtins)
#: Names of ``threading`` that its own working needs as they are.
_KEPT: Final = {"threading": {"_CRLock", "_PyRLock", "_start_new_thread"}}


#: Classes of the standard library that have originals as static methods: module, and name.
_STATIC: Final = (("glob", "_StringGlobber"),)  # of ``pathlib``, from 3.13 on
#: The flag of classes whose attributes cannot be set.
_IMMUTABLE: Final = 1 << 8


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
        if isinstance(owner, type) and owner.__flags__ & _IMMUTABLE:
            self._undo.append(functools.partial(_set_in_c, owner, name, before))
            _set_in_c(owner, name, value)
            return
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


def _set_in_c(cls: type, name: str, value: Any) -> None:
    """Set an attribute of a class that is written in C, which Python code may not."""
    modified = getattr(ctypes.pythonapi, "PyType_Modified", None)
    (names,) = gc.get_referents(cls.__dict__)
    if modified is None or type(names) is not dict:
        return  # the account tells when it is used
    names[name] = value
    modified(ctypes.py_object(cls))


# --- names of the originals ------------------------------------------------------------------
def replace_names(
    changes: Changes, rows: Sequence[Patch], live: LiveObjects
) -> dict[int, Callable[..., Any]]:
    """Replace the originals of these rows wherever they are held by name: in modules under
    whatever name, as defaults of parameters, in closures, as attributes of classes and objects, in
    dictionaries. The replacements by the identity of the originals."""
    by = {identity(row.what): row.by for row in rows}
    wanted = frozenset(by)
    known = live.originals(rows)
    left = ours()
    if known is not None:
        for slot in known.slots:
            if identity(slot.names) not in left:
                _in_names(changes, slot.names, by, (slot.name,))
        live = known.live()
    holding = _replace(changes, by, live)
    # the names of a class are set through the class
    left_alone = {*left, *map(identity, gc.get_referents(*holding))}
    for names in _holding(live.dicts, wanted, _referents):
        if _holds(names, wanted) and identity(names) not in left_alone:
            _in_names(changes, names, by)
    for cell in _holding(live.cells, wanted, _contents):
        try:
            held = cell.cell_contents
        except ValueError:  # it is empty
            continue
        if identity(held) in by and identity(cell) not in left_alone:
            changes.set(cell, "cell_contents", by[identity(held)])
    for module, name in _STATIC:
        of = loaded(module)
        cls: Any = None if of is None else globals_of(of).get(name)
        if issubclass(type(cls), type):
            _in_static_methods(changes, cls, by)
    return by


def _replace(changes: Changes, by: dict[int, Callable[..., Any]], live: LiveObjects) -> list[type]:
    """Replace what classes, defaults, factories and the attributes of objects hold; the classes
    that hold any of it, those of the standard library too, which are left as they are."""
    wanted = frozenset(by)
    holding = [
        cls
        for cls in _holding(live.classes, wanted, class_values)
        if _holds(class_names(cls), wanted)
    ]
    for cls in holding:
        if _foreign(cls.__module__):
            _in_class(changes, cls, by)
    with_defaults = [*itertools.compress(live.functions, map(_DEFAULTS, live.functions))]
    for function in _holding(with_defaults, wanted, _defaults):
        _in_defaults(changes, function, by)
    for factories in live.factories:
        if identity(factories.default_factory) in by:
            factory = by[identity(factories.default_factory)]
            changes.set(factories, "default_factory", factory)
    # of most, the attributes are no dictionary before somebody asks
    for obj in _holding(live.others, wanted, _referents):
        held = namespace_of(obj)
        if type(held) is dict and _holds(held, wanted):
            _in_names(changes, held, by)
    return holding


def class_values(classes: list[type]) -> list[Any]:
    names = gc.get_referents(*map(class_names, classes))  # the dictionaries of their attributes
    return gc.get_referents(*names)


def _defaults(functions: list[FunctionType]) -> Iterator[Any]:
    return _flat(filter(None, map(_DEFAULTS, functions)))


def _contents(cells: list[CellType]) -> Iterator[Any]:
    return map(attrgetter("cell_contents"), cells)


def _referents(things: list[Any]) -> list[Any]:
    """What dictionaries hold, or objects."""
    return gc.get_referents(*things)


def _holding(
    things: list[_T],
    wanted: frozenset[int],
    parts: Callable[[list[_T]], Iterable[Any]],
    many: int = _MANY,
) -> Iterator[_T]:
    """Those things that may hold an original: of a hundred thousand a few hundred do, so that
    many are asked at a time, without a step of Python's for each."""
    for at in range(0, len(things), many):
        some = things[at : at + many]
        # another thread may change one meanwhile; a cell may be empty
        with contextlib.suppress(RuntimeError, ValueError):
            if wanted.isdisjoint(map(identity, parts(some))):
                continue
        yield from some if many <= _FEW else _holding(some, wanted, parts, _FEW)


def _holds(names: Mapping[Any, Any], wanted: frozenset[int]) -> bool:
    """Whether one of these values is wanted, by its identity."""
    return not wanted.isdisjoint(map(identity, list(names.values())))


class _Later(Changes):
    """Notes changes instead of making them."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[tuple[Any, Any, Any, Any]] = []

    def set(self, owner: Any, name: Any, value: Any) -> None:
        self.noted.append((owner, name, _attribute(owner, name), value))

    def make(self) -> None:
        """Make those where there is still what there was."""
        for owner, name, before, value in self.noted:
            if _attribute(owner, name) is before:
                Changes().set(owner, name, value)


def _attribute(owner: Any, name: Any) -> Any:
    if type(owner) is dict:
        return owner.get(name)
    return vars(owner).get(name) if isinstance(owner, type) else getattr(owner, name, None)


def give_back(
    changes: Changes, rows: Sequence[Patch], live: LiveObjects | None, modules: Sequence[str]
) -> None:
    """When ``changes`` are undone, these modules, which were imported meanwhile, and what came into
    being with them have the originals again that they took by name."""
    later, by = _Later(), {identity(row.by): row.what for row in rows}
    for name in modules:
        module = loaded(name)
        if module is not None and name.partition(".")[0] != "tracelock":
            _in_names(later, globals_of(module), by)
    if live is not None:
        _replace(later, by, live)
    if later.noted:
        changes.then(later.make)


def ours() -> dict[int, Any]:
    """What holds the originals for us: it is known by identity, and left alone. It is looked for
    again when there are other modules of ours, or more rows; until then it is kept."""
    names = [name for name in list(sys.modules) if name.startswith("tracelock")]
    names = [name for name in names if name == "tracelock" or name[9] == "."]
    modules = [
        (name, module) for name in (*sorted(EXEMPT), *names)
        if (module := loaded(name)) is not None
    ]  # fmt: skip
    of = [identity(module) for _, module in modules], sum(map(len, declared.values()))
    if of != _found.of:
        _found.held, _found.modules, _found.of = _our_own(modules), modules, of
    return _found.held


class _OurOwn:
    """What was found, and of what: the modules, which are kept, and how many rows."""

    def __init__(self) -> None:
        self.of: tuple[list[int], int] = [], 0
        self.modules: list[Any] = []
        self.held: dict[int, Any] = {}


_found: Final = _OurOwn()


def _our_own(modules: Sequence[tuple[str, Any]]) -> dict[int, Any]:
    own: dict[int, Any] = {}

    def add(*held: Any) -> None:
        own.update(zip(map(identity, held), held, strict=True))

    for row in itertools.chain.from_iterable(declared.values()):
        by = row.by.function if type(row.by) is ClassStandIn else row.by
        if type(by) is FunctionType:
            add(by.__dict__, *(by.__closure__ or ()))
        elif by is not None:  # it may have the original as an attribute
            add(by)
    for name, module in modules:
        pending: list[Any] = [globals_of(module)]
        while pending:
            held = pending.pop()
            if type(held) is FunctionType:
                if held.__closure__ is not None:
                    add(*held.__closure__)
            elif type(held) is tuple:
                own[identity(held)] = held
            elif identity(held) not in own:
                own[identity(held)] = held
                values = [*held.values()]
                telling = map(_LEADING_ON.__contains__, map(identity, map(type, values)))
                pending += [
                    value
                    for value in itertools.compress(values, telling)
                    if value is not _BUILTINS and getattr(value, "__module__", name) == name
                ]
    return own


def _in_class(changes: Changes, cls: type, by: dict[int, Callable[..., Any]]) -> None:
    """Replace the attributes of a class; a function of ours must not become a method."""
    for name, value in list(class_names(cls).items()):
        if identity(value) in by:
            new = by[identity(value)]
            changes.set(cls, name, staticmethod(new) if type(new) is FunctionType else new)


def _in_static_methods(changes: Changes, cls: type, by: dict[int, Callable[..., Any]]) -> None:
    for name, value in list(class_names(cls).items()):
        if type(value) is staticmethod and identity(value.__func__) in by:
            changes.set(cls, name, staticmethod(by[identity(value.__func__)]))


def _in_names(
    changes: Changes, names: dict[Any, Any], by: dict[int, Callable[..., Any]],
    among: Sequence[Any] | None = None,
) -> None:  # fmt: skip
    """Replace what a dictionary holds, ``among`` these of its names."""
    kept = _KEPT.get(names.get("__name__", ""), ()) if "__spec__" in names else ()
    for name in list(names) if among is None else among:
        new = by.get(identity(names[name]))
        if new is not None and name not in kept:
            changes.set(names, name, new)


def _in_defaults(
    changes: Changes, function: FunctionType, by: dict[int, Callable[..., Any]]
) -> None:
    defaults = function.__defaults__
    if defaults is None or by.keys().isdisjoint(map(identity, defaults)):
        return
    if not str(function.__module__).startswith("tracelock."):
        new = tuple(by.get(identity(value), value) for value in defaults)
        changes.set(function, "__defaults__", new)
