"""What code in C may read of an object that it is given: of the object, and of what is below it.

``repr(x)``, ``x == y``, ``sorted(x)`` or ``json.dumps(x)`` go through nested objects in one step,
which no other thread comes into as long as no code of Python is called. So all mutable objects that
are below are read by that same step. Where code of Python is called in between (an ``__eq__`` of
the program, a ``key``), what is read after it is not known exactly: see ``Context.unsure``.
"""

from __future__ import annotations

import functools
import gc
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import (
    BuiltinFunctionType,
    FunctionType,
    GeneratorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
)
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.accesses.containers import (
    EXTREME,
    GIVEN,
    HASH,
    ORDER,
    SHALLOW,
    SUM,
    TRUTH,
    access_of,
    applies,
    generated,
    holder_of,
    is_walker,
    order_of,
    steps,
    table_of,
)
from tracelock.instrument.accesses.places import attributes_of, owner_of
from tracelock.instrument.contexts import Context, identity
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import PLAIN, all_plain, is_plain

#: So many objects below one are looked at; where there are more, nothing is proved.
MOST: Final = 2_000
_ATOMS: Final[tuple[Any, ...]] = (*PLAIN, type, ModuleType, type(Ellipsis), range)
_SHOW: Final = ("__repr__", "__str__", "__format__")
_COMPARE: Final = ("__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
_HASH: Final = ("__hash__", "__eq__")
_ALL: Final = (
    *_SHOW, *_COMPARE, "__hash__", "__add__", "__radd__", "__mul__", "__rmul__", "__sub__",
    "__rsub__", "__bool__", "__len__", "__iter__", "__next__", "__getitem__", "__contains__",
    "__index__", "__int__", "__float__", "__complex__", "__abs__", "__call__",
)  # fmt: skip
#: The code of Python that an operation calls, if an object has it.
_CALLS: Final = {
    **dict.fromkeys(_SHOW, _SHOW),
    **dict.fromkeys((*_COMPARE, "__contains__", ORDER, EXTREME), _COMPARE),
    HASH: _HASH, "__hash__": _HASH, SUM: ("__add__", "__radd__"), TRUTH: ("__bool__", "__len__"),
    GIVEN: _ALL,
}  # fmt: skip
#: Kinds of objects, by what is below them.
ATOM, TUPLE, SEQUENCE, FLAT, HASHED, MAPPING, PASSES, FIELDS, CODE, ERROR, OBJECT = range(11)
_OWN: Final = frozenset({SEQUENCE, FLAT, HASHED, MAPPING})
_ROWS: Final = frozenset({SEQUENCE, TUPLE})
_kinds: Final = by_type()
_codes: Final = by_type()
_inert: Final = by_type()


class StandIn:
    """What stands for a function, and makes points of its own when it is called."""

    __slots__ = ()


def kind_of(type_: type) -> int:
    """What there is below objects of a type."""
    try:
        kind: int = _kinds[identity(type_)][""]
    except KeyError:
        kind = entry(_kinds, type_)[""] = _kind_of(type_)
    return kind


def _kind_of(type_: type) -> int:
    if issubclass(type_, (FunctionType, MethodType, GeneratorType, StandIn)):
        return CODE
    if issubclass(type_, (BuiltinFunctionType, MethodWrapperType, *_ATOMS)):
        return ATOM
    if is_walker(type_) or issubclass(type_, (slice, functools.partial, re.Match)) or steps(type_):
        return PASSES
    for base in order_of(type_):
        if table_of(base) is not None:
            if issubclass(base, dict):
                return MAPPING
            if issubclass(base, list | deque):
                return SEQUENCE
            return HASHED if issubclass(base, set) else FLAT
    for base, kind in _BASES:
        if issubclass(type_, base):
            return kind
    return FIELDS if any(generated(type_, name) for name in _COMPARE + _SHOW) else OBJECT


_BASES: Final = (
    (tuple, TUPLE), (frozenset, HASHED), (SimpleNamespace, FIELDS), (BaseException, ERROR),
)  # fmt: skip


def runs_code(type_: type, operation: str) -> bool:
    """Whether an operation in C on an object of a type calls code of Python."""
    try:
        found: bool = _codes[identity(type_)][operation]
    except KeyError:
        found = entry(_codes, type_)[operation] = any(
            (holder := holder_of(type_, name)) is not None
            and type(holder.__dict__[name]) is FunctionType
            and not generated(type_, name)
            for name in _CALLS.get(operation, ())
        )
    return found


def inert(type_: type, operation: str) -> bool:
    """Whether an operation in C on an object of a type reads nothing, and calls no code."""
    try:
        found: bool = _inert[identity(type_)][operation]
    except KeyError:
        kind = kind_of(type_)
        found = kind == ATOM or (kind == OBJECT and not runs_code(type_, operation))
        entry(_inert, type_)[operation] = found
    return found


def all_inert(values: Iterable[Any], operation: str) -> bool:
    """The same of each: of a list or tuple itself, whose iterator is C's."""
    last: type = int
    for of in map(type, values):
        if of is not last and of is not str:
            if not inert(of, operation):
                return False
            last = of
    return True


@dataclass(slots=True)
class Reach:
    """What an operation reads. ``parts``: objects, each with the attribute that is read (None: its
    contents), and the part of another one in which it was found. ``code``: whether code of Python
    is called on the way. ``cut``: whether there is more than was looked at."""

    operation: str
    parts: list[tuple[Any, str | None, Any]] = field(default_factory=list)
    code: bool = False
    cut: bool = False
    whole: list[Any] = field(default_factory=list)  # objects of which all attributes are read
    copied: int = 0  # of the parts, so many are read before any code is called
    seen: set[int] = field(default_factory=set)

    def add(self, root: Any) -> None:
        """``root`` is looked at."""
        shallow = self.operation in SHALLOW
        pending: deque[tuple[Any, Any]] = deque([(root, None)])
        while pending:
            obj, where = pending.popleft()
            number = identity(obj)
            if number in self.seen:
                continue
            if len(self.seen) >= MOST:
                self.cut = True
                return
            self.seen.add(number)
            type_ = type(obj)
            kind = kind_of(type_)
            if kind == ATOM:
                continue
            if kind == CODE:
                self.code = True
                continue
            shallow = shallow and not applies(type_)
            if kind in _OWN and not issubclass(type_, frozenset):
                self.parts.append((obj, None, where))
                if (shallow or kind == FLAT) and namespace_owner(obj) is None:
                    continue
                where = obj, None
            elif not self.code and kind not in (PASSES, TUPLE):
                self.code = runs_code(type_, self.operation)
            if kind == ERROR:
                self.parts.append((obj, "args", where))
            if kind == MAPPING and (owner := namespace_owner(obj)) is not None:
                del self.parts[-1]  # these are the attributes of an object
                obj, kind = owner, FIELDS
                self.whole.append(owner)
            if kind == FIELDS:
                if issubclass(type(obj), SimpleNamespace):
                    self.whole.append(obj)
                for name, value in _fields_of(obj):
                    self.parts.append((obj, name, where))
                    if not is_plain(value) and not shallow:
                        pending.append((value, (obj, name)))
            elif kind not in _ROWS or not all_plain(self._below(obj, kind)):
                for each in self._below(obj, kind):
                    if not (is_plain(each) or inert(type(each), self.operation)):
                        pending.append((each, where))

    def _below(self, obj: Any, kind: int) -> Iterable[Any]:
        if kind == SEQUENCE:
            return (list if issubclass(type(obj), list) else deque).__iter__(obj)
        if kind == TUPLE:
            return tuple.__iter__(obj)
        if kind == MAPPING:
            self._hashed(dict.keys(obj))
            return [*dict.keys(obj), *dict.values(obj)]
        if kind == HASHED:
            found = [*(set if issubclass(type(obj), set) else frozenset).__iter__(obj)]
            self._hashed(found)
            return found
        if kind == PASSES:
            if type(obj) is re.Match:
                return (obj.string,)
            return [each for each in gc.get_referents(obj) if not issubclass(type(each), type)]
        if kind == ERROR:
            return BaseException.args.__get__(obj)  # type: ignore[attr-defined, no-any-return]
        return ()

    def _hashed(self, found: Iterable[Any]) -> None:
        """What is hashed does not change; but it may have code."""
        if not self.code and self.operation != HASH:  # a hash is asked for once
            self.code = any(
                not is_plain(each) and runs_code(type(each), self.operation) for each in found
            )


def namespace_owner(obj: Any) -> Any:
    """The object whose attributes a dictionary has, None for others."""
    return owner_of(obj) if issubclass(type(obj), dict) else None


def _fields_of(obj: Any) -> list[tuple[str, Any]]:
    held = attributes_of(obj)
    found = []
    if issubclass(type(held), dict):
        found = [(name, value) for name, value in held.items() if type(name) is str]
    for base in order_of(type(obj)):
        slots = base.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            try:
                found.append((name, base.__dict__[name].__get__(obj)))
            except (AttributeError, KeyError):
                continue
    return found


def below(operation: str, *roots: Any) -> Reach:
    """What is read where an operation looks at these."""
    found = Reach(operation)
    for root in roots:
        if not is_plain(root):
            found.add(root)
    return found


def others(found: Reach, what: str, site: Site, context: Context) -> list[tuple[Any, str | None]]:
    """The parts that were found, named by where; told if they are not all, or not exact."""
    if found.cut:
        context.doubt(what, f"{site.at} gives it more objects than are looked at")
    parts: list[tuple[Any, str | None]] = []
    for obj, name, where in found.parts:
        if name is None and where is not None:
            context.found(obj, *where)
        parts.append((obj, name))
    which = [context.everything(obj, what, site) for obj in found.whole]
    if found.code and parts[found.copied :]:
        context.unsure(
            parts[found.copied :],
            what,
            f"at {site.at} code of Python is called while it looks at what is shared",
        )
    return parts + which


def point(found: Reach, what: str, site: Site, context: Context) -> None:
    """The step that reads all that was found."""
    parts = others(found, what, site, context)
    if parts:
        obj, name = parts[0]
        context.access(ops.READ, obj, name, site, None, parts[1:])


def keyed(obj: Any, key: Any, site: Site, context: Context) -> None:
    """Before a key with code of its own is looked up: that runs before the look-up does."""
    if (
        not is_plain(key)
        and runs_code(type(key), HASH)
        and access_of(type(obj), "__len__") is not None
    ):
        context.unsure(
            [(obj, None)], "keys with __hash__ or __eq__", f"they are called at {site.at}"
        )
