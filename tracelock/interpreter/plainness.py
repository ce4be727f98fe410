"""Whether an operation on given values runs Python code, or lets the GIL go: yes, no or unknown.

What counts are the values, not only their types: ``1 in {Key(): 0}`` calls a Python ``__eq__``
where the hashes collide. Nothing here runs any code of the values' classes.
"""

from __future__ import annotations

import _thread
import collections
import types
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

#: Classes in C whose special methods run no Python code but that of what they hold.
_C_MODULES = frozenset(
    {"builtins", "collections", "itertools", "array", "math", "types", "_thread"}
)
_SCALARS: tuple[type, ...] = (
    int, float, complex, bool, str, bytes, bytearray, range, type(None), type(...),
    type(NotImplemented), types.ModuleType, types.BuiltinFunctionType,
)  # fmt: skip
_SCALAR_SET = frozenset(_SCALARS)
_HOLDERS: tuple[type, ...] = (tuple, list, set, frozenset, collections.deque)
_SIZED: Any = (*_HOLDERS, dict)
_MOST_ITEMS = 1_000
_DEEPEST = 6
_C_CALLABLES = (
    types.WrapperDescriptorType, types.MethodDescriptorType, types.ClassMethodDescriptorType,
    types.BuiltinFunctionType, types.MethodWrapperType, type(None), staticmethod,
)  # fmt: skip
LOCKS = (type(_thread.allocate_lock()), _thread.RLock)


class _Nothing:
    """What stands for the value of a place that had none before it was written to."""


NOTHING = _Nothing()


def is_new(values: Sequence[Any]) -> bool:
    """Whether one of them stands for no value."""
    return any(value is NOTHING for value in values)


Verdict = bool | None  # True: silent; False: runs Python code; None: unknown


def _module_of(kind: type) -> str:
    """The module of a class, asked of no metaclass."""
    module = type.__getattribute__(kind, "__module__")
    return module if type(module) is str else ""


def _one_of(value: Any, functions: Iterable[Any]) -> bool:
    """Whether it is one of them; neither hashed nor compared."""
    return any(value is one for one in functions)


def all_of(verdicts: Sequence[Verdict]) -> Verdict:
    """The worst of several."""
    if any(one is False for one in verdicts):
        return False
    return None if any(one is None for one in verdicts) else True


def found_in(kind: type, name: str) -> tuple[type, Any] | None:
    """The class of the MRO that has ``name``, and what it has; no descriptor is called."""
    for owner in type.__dict__["__mro__"].__get__(kind):
        space = type.__dict__["__dict__"].__get__(owner)
        if name in space:
            return owner, space[name]
    return None


def _method(kind: type, name: str) -> Verdict:
    found = found_in(kind, name)
    if found is None:
        return True
    owner, what = found
    if type(what) is staticmethod:
        what = what.__func__
    if not issubclass(type(what), _C_CALLABLES):
        return False
    return True if _module_of(owner) in _C_MODULES else None


def silent(value: Any, methods: Sequence[str], deep: bool = True, depth: int = 0) -> Verdict:
    """Whether these special methods of ``value``, and of all it holds, are silent."""
    kind = type(value)
    verdicts = [_method(kind, name) for name in methods]
    if kind in _SCALAR_SET or not deep:
        return all_of(verdicts)
    if depth >= _DEEPEST:
        return None
    if issubclass(type(value), _SIZED):
        if kind.__len__ is not _len_of(value) or len(value) > _MOST_ITEMS:
            return None
        try:
            inside = list(_iterate(value))
        except RuntimeError:  # changed by another thread meanwhile
            return None
        verdicts += [silent(item, methods, True, depth + 1) for item in inside]
    return all_of(verdicts)


def _len_of(value: Any) -> Any:
    held: tuple[Any, ...] = (*_HOLDERS, dict)
    return next(base.__len__ for base in held if issubclass(type(value), base))


def _iterate(value: Any) -> list[Any]:
    if issubclass(type(value), dict):
        return [*dict.keys(value), *dict.values(value)]
    held: tuple[Any, ...] = _HOLDERS
    base = next(base for base in held if issubclass(type(value), base))
    return list(base.__iter__(value))


def drops_silently(value: Any, depth: int = 0) -> Verdict:
    """Whether nothing runs when the last reference to ``value`` goes."""
    kind = type(value)
    if kind in _SCALAR_SET or kind is type or value is NOTHING:
        return True
    if found_in(kind, "__del__") is not None:
        return False
    if depth >= _DEEPEST:
        return None
    try:
        if any(ref.__callback__ is not None for ref in weakref.getweakrefs(value)):
            return False
    except TypeError:
        pass
    if issubclass(type(value), _SIZED):
        if _len_of(value)(value) > _MOST_ITEMS:
            return None
        return all_of([drops_silently(item, depth + 1) for item in _iterate(value)])
    if issubclass(
        type(value), types.FunctionType | types.MethodType | types.CodeType | weakref.ref
    ):
        return True
    if _module_of(kind) in _C_MODULES and not kind.__flags__ & 1 << 9:
        return None if issubclass(type(value), types.GeneratorType | types.CoroutineType) else True
    return _instance_drops(value, depth)


def _instance_drops(value: Any, depth: int) -> Verdict:
    bases = type.__dict__["__mro__"].__get__(type(value))
    if any(_module_of(b) in _C_MODULES and b is not object for b in bases):
        return None
    space = _dict_of(value)
    if space is None:
        return None
    return all_of([drops_silently(item, depth + 1) for item in list(space.values())])


def _dict_of(value: Any) -> dict[Any, Any] | None:
    try:
        space = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return space if type(space) is dict else None


# --- the operations --------------------------------------------------------------------------
_READERS = (object, type, types.ModuleType)
_SILENT_DESCRIPTORS = (
    types.FunctionType, types.MemberDescriptorType, types.GetSetDescriptorType,
    types.MethodDescriptorType, types.WrapperDescriptorType, types.BuiltinFunctionType,
    types.ClassMethodDescriptorType, staticmethod, classmethod,
)  # fmt: skip


def attribute(value: Any, name: str, writing: bool) -> Verdict:
    """``value.name``, read or written (or deleted)."""
    kind = type(value)
    how = found_in(kind, "__setattr__" if writing else "__getattribute__")
    if how is None or (how[0] not in _READERS and not _reads_as_object(*how)):
        return _method(kind, "__setattr__" if writing else "__getattribute__") and None
    if writing and found_in(kind, "__delattr__") is None:
        return None
    found = found_in(kind, name)
    space = _dict_of(value)
    if space is not None and any(type(key) is not str for key in list(space)):
        return None
    if issubclass(type(value), type):  # the metaclass, then the class itself
        own = found_in(value, name)
        if own is not None and hasattr(type(own[1]), "__get__"):
            return _descriptor(own[1], False)
    if found is not None:
        verdict = _descriptor(found[1], writing)
        if verdict is not True:
            return verdict
    elif not writing and (space is None or name not in space) and not issubclass(type(value), type):
        return _method(kind, "__getattr__")
    return True


def _reads_as_object(owner: type, what: Any) -> bool:
    """Whether it is ``PyObject_GenericGetAttr`` under another name, as classes in C have it."""
    plain = _module_of(owner) in ("builtins", "collections", "types") and not issubclass(
        owner, type
    )
    return plain and owner is not super and issubclass(type(what), types.WrapperDescriptorType)


def _descriptor(what: Any, writing: bool) -> Verdict:
    if issubclass(type(what), _SILENT_DESCRIPTORS):
        return True
    if issubclass(type(what), property):
        return False
    kind = type(what)
    names = ("__set__", "__delete__") if writing else ("__get__",)
    return all_of([_method(kind, name) for name in names])


_KEYED = ("__hash__", "__eq__")


def item(values: Sequence[Any], writing: bool) -> Verdict:
    """``container[key]``, read, written or deleted."""
    container, keys = values[0], values[1:]
    names = ("__setitem__", "__delitem__") if writing else ("__getitem__", "__missing__")
    if issubclass(type(container), type):
        return None
    verdicts = [_method(type(container), name) for name in names]
    if type(container) is collections.defaultdict:
        factory = container.default_factory
        verdicts.append(
            True if factory is None or _one_of(factory, (*_SCALARS, *_HOLDERS)) else None
        )
    if issubclass(type(container), dict):
        kinds = {type(key) for key in dict.keys(container)}
        if not kinds <= _SCALAR_SET:
            verdicts.append(_keys_silent(container))
        verdicts += [silent(key, _KEYED) for key in keys]
    elif issubclass(type(container), (*_HOLDERS, str, bytes, bytearray, range)):
        verdicts += [silent(key, ("__index__",), deep=False) for key in keys]
    else:
        verdicts += [silent(one, (*_KEYED, "__index__")) for one in keys]
        verdicts.append(None if type(container).__module__ not in _C_MODULES else True)
    return all_of(verdicts)


def _keys_silent(container: dict[Any, Any]) -> Verdict:
    if len(container) > _MOST_ITEMS:
        return None
    return all_of([silent(key, _KEYED) for key in dict.keys(container)])


_OPERATORS = "add sub mul matmul truediv floordiv mod pow lshift rshift and or xor".split()  # noqa: SIM905
_ARITHMETIC = (
    *(f"__{prefix}{name}__" for name in _OPERATORS for prefix in ("", "r", "i")),
    "__hash__", "__eq__", "__iter__", "__next__", "__index__", "__str__", "__repr__", "__format__",
)  # fmt: skip
_COMPARING = (
    "__eq__",
    "__ne__",
    "__lt__",
    "__le__",
    "__gt__",
    "__ge__",
    "__hash__",
    "__contains__",
)
_LOOKING = (*_COMPARING, "__iter__", "__next__", "__len__", "__getitem__", "__length_hint__")
_WHOLE = tuple(dict.fromkeys((
    *_ARITHMETIC, *_LOOKING, "__bool__", "__int__", "__float__", "__abs__", "__neg__", "__round__",
    "__call__", "__missing__", "__setitem__", "__delitem__", "__reversed__", "__instancecheck__",
    "__bytes__", "__trunc__", "__ceil__", "__floor__", "__init__", "__new__",
)))  # fmt: skip
METHODS: dict[str, tuple[str, ...]] = {
    "operator": _ARITHMETIC,
    "unary": ("__neg__", "__pos__", "__invert__"),
    "compare": _COMPARING,
    "contains": _LOOKING,
    "truth": ("__bool__", "__len__"),
    "iterate": ("__iter__", "__next__", "__getitem__"),
    "next": ("__iter__", "__next__", "__getitem__"),
    "unpack": ("__iter__", "__next__", "__getitem__", "__len__", "__length_hint__"),
    "spread": ("__iter__", "__next__", "__getitem__", "keys", "__hash__", "__eq__", "__len__"),
    "format": ("__format__", "__str__", "__repr__"),
    "build": _KEYED,
}  # fmt: skip
_SHALLOW = frozenset({"truth", "iterate", "next", "unpack", "unary"})
_ITERATED = (
    str,
    bytes,
    bytearray,
    range,
    *_HOLDERS,
    dict,
    type({}.keys()),
    type({}.values()),
    type({}.items()),
)


def operation(what: str, values: Sequence[Any]) -> Verdict:
    """An operator, comparison, ``in``, iteration, unpacking, formatting, on its operands."""
    names = METHODS.get(what)
    if names is None or not values:
        return None
    verdicts = [silent(value, names, what not in _SHALLOW) for value in values]
    if what in ("iterate", "next", "unpack", "spread", "contains"):
        last = values[-1]
        verdicts.append(True if issubclass(type(last), _ITERATED) else None)
    return all_of(verdicts)


_SILENT_FUNCTIONS: tuple[Any, ...] = (
    len, abs, min, max, ord, chr, id, isinstance, callable, hash, bool, int, float, str, tuple,
    list, dict, set, frozenset, type, object, divmod, round, repr, sum, sorted, range, iter, next,
    getattr, setattr, hasattr,
)  # fmt: skip


def call(function: Any, values: Sequence[Any]) -> Verdict:
    """A call: whether the callee is in C and runs no Python code before it returns."""
    if issubclass(type(function), types.FunctionType | types.MethodType):
        return False
    if issubclass(type(function), type):
        if any(not isinstance(found_in(function, n)[1], _C_CALLABLES)  # type: ignore[index]
               for n in ("__new__", "__init__")):  # fmt: skip
            return False
        if not _one_of(function, _SILENT_FUNCTIONS):
            return None
    elif issubclass(type(function), types.BuiltinFunctionType | types.MethodWrapperType):
        owner = function.__self__
        if issubclass(type(owner), types.ModuleType):
            if owner.__name__ != "math" and not _one_of(function, _SILENT_FUNCTIONS):
                return None
            if _one_of(function, (getattr, setattr, hasattr)):
                return _by_name(function, values)
        elif not issubclass(type(owner), (*_SCALARS, *_HOLDERS, dict)):
            return None
        else:
            values = [owner, *values]
    elif _method(type(function), "__call__") is False:
        return False
    else:
        return None
    if any(callable(value) and not issubclass(type(value), type) for value in values):
        return None  # a key function, for one
    return all_of([silent(value, _WHOLE) for value in values])


def _by_name(function: Any, values: Sequence[Any]) -> Verdict:
    if len(values) < 2 or type(values[1]) is not str:
        return None
    return attribute(values[0], values[1], function is setattr)
