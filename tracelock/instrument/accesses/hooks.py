"""What rewritten code calls, right before each access that another worker might see.

A hook makes the scheduling point and gives its operand back; the access itself stays in the
user's own frame, so results, exceptions, tracebacks and ``sys._getframe`` are Python's. Only
where the point must come later than the expression that the hook can wrap (a container's
method, which is looked up before its arguments are evaluated) is a stand-in handed out, and
only to a worker under control. With no context for the thread every hook gives its operand
back at once.
"""

from __future__ import annotations

import functools
import operator
from _thread import get_ident
from collections import defaultdict, deque
from types import BuiltinFunctionType, FunctionType, MethodWrapperType
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses import callbacks, getters
from tracelock.instrument.accesses.calls import called, plan_method
from tracelock.instrument.accesses.containers import STEPS, access_of, is_walker, owners, reads
from tracelock.instrument.accesses.functions import controlled
from tracelock.instrument.accesses.implied import written
from tracelock.instrument.accesses.known_calls import READ_ONCE
from tracelock.instrument.accesses.looks import (
    combined,
    compared,
    looked,
    looks,
    plan_look,
    searched,
)
from tracelock.instrument.accesses.matching import read_for
from tracelock.instrument.accesses.places import Home, cache_named, place_of
from tracelock.instrument.accesses.plans import (
    LOCKS,
    data_read,
    instance_data,
    instance_write,
    method_plans,
    plan_read,
    plan_write,
    read_plans,
    write_plans,
)
from tracelock.instrument.accesses.reach import keyed
from tracelock.instrument.accesses.rows import row, taken_apart
from tracelock.instrument.accesses.stand_ins import ItemRead, Walk
from tracelock.instrument.accesses.stepping import StepWalk
from tracelock.instrument.accesses.unordered import CONTEXTS, in_order, is_hashed, show_order
from tracelock.instrument.contexts import Context, contexts, identity
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import NoneType, is_plain

getters.register()
callbacks.register()
_NOTHING: Final = object()
#: Factories that run no code but the interpreter's, by type, and themselves.
_AT_ONCE: Final = (BuiltinFunctionType, MethodWrapperType)
_MADE_AT_ONCE: Final = (list, dict, set, int, float, str, tuple, bytes, bool, deque, object)


# --- attributes ------------------------------------------------------------------------------


def attribute(obj: Any, name: str, site: Site) -> Any:
    """Before ``obj.name`` is loaded; returns what to load it from."""
    if not contexts:
        return obj
    context = contexts.get(get_ident())
    if context is None:
        return obj
    type_ = type(obj)
    try:
        plan = read_plans[identity(type_)][name]
    except KeyError:
        plan = plan_read(type_, name)
    if plan is None:
        return obj
    if plan is instance_data and context.reads_at_once:  # in one call less
        done = context.read_at_once(obj, name, site)  # type: ignore[attr-defined]
        return obj if done is True else data_read(done, obj, name, site, context)
    return plan(obj, name, site, context)


def method(obj: Any, name: str, site: Site) -> Any:
    """The same before ``obj.name(...)``, where what is loaded is called at once."""
    if not contexts:
        return obj
    context = contexts.get(get_ident())
    if context is None:
        return obj
    type_ = type(obj)
    try:
        plan = method_plans[identity(type_)][name]
    except KeyError:
        plan = plan_method(type_, name)
    if plan is None:
        return obj
    return plan(obj, name, site, context)


def storing(obj: Any, name: str, site: Site, value: object = None) -> Any:
    """Before ``obj.name`` is stored or deleted; returns ``obj``."""
    if not contexts:
        return obj
    context = contexts.get(get_ident())
    if context is None:
        return obj
    type_ = type(obj)
    try:
        plan = write_plans[identity(type_)][name]
    except KeyError:
        plan = plan_write(type_, name)
    if plan is instance_write:
        context.access(ops.WRITE, obj, name, site, value)  # in one call less
    elif plan is not None:
        plan(obj, name, site, context, value)
    return obj


# --- items -----------------------------------------------------------------------------------

#: Keys whose look-up runs no code but the interpreter's.
_PLAIN_KEYS: Final = frozenset({str, int, bool, float, bytes, complex, type(None), type})


def _plain(key: object) -> bool:
    type_ = type(key)
    if type_ in _PLAIN_KEYS:
        return True
    if type_ is tuple:
        return all(type(each) in _PLAIN_KEYS for each in key)  # type: ignore[attr-defined]
    return type_.__hash__ is object.__hash__ and type_.__eq__ is object.__eq__


def _item_point(obj: Any, key: object, site: Site, context: Context) -> bool | None:
    """Make the point of ``obj[key]``: None for no container, else whether it was shown."""
    kind = access_of(type(obj), "__getitem__")
    if kind is None:
        if is_walker(type(obj)):  # a proxy of a dictionary
            looked(obj, "__iter__", site, context)
        return None
    place, name = place_of(obj, key)
    context.access(kind, place, name, site)
    if issubclass(type(obj), dict):
        if kind == ops.WRITE and _makes(obj):
            _make(obj, key, site, context)
        if not _plain(key):
            keyed(obj, key, site, context)
            return False
        value = dict.get(obj, key, _NOTHING)
    elif type(key) is int and kind == ops.READ:
        try:
            value = obj[key]
        except IndexError:
            return True
    else:
        return type(key) is slice
    if value is not _NOTHING:
        context.saw(value)
    return True


def _makes(obj: Any) -> bool:
    """Whether the factory of a ``defaultdict`` is code that others may run in between."""
    return issubclass(type(obj), defaultdict) and not (
        obj.default_factory is None or type(obj.default_factory) in _AT_ONCE
        or obj.default_factory in _MADE_AT_ONCE
    )  # fmt: skip


def _make(obj: Any, key: object, site: Site, context: Context) -> None:
    """As ``defaultdict.__missing__`` does: the value is made, then stored."""
    if not dict.__contains__(obj, key):
        value = obj.default_factory()
        context.access(ops.WRITE, obj, None, site, value)
        dict.__setitem__(obj, key, value)


def item(obj: Any, site: Site, key: object) -> Any:
    """Before ``obj[key]`` is loaded with a key that costs nothing to evaluate twice."""
    if not contexts:
        return obj
    context = contexts.get(get_ident())
    if context is None or _item_point(obj, key, site, context) is not False:
        return obj
    return ItemRead(obj, context)


def item_key(obj: Any, key: Any, site: Site) -> Any:
    """The same where the object is the cheap one; returns the key."""
    if contexts:
        context = contexts.get(get_ident())
        if context is not None:
            _item_point(obj, key, site, context)
    return key


def item_late(obj: Any, key: Any, site: Site) -> Any:
    """The same where neither is cheap: returns a callable that gets the item, from C."""
    item_key(obj, key, site)
    return functools.partial(operator.getitem, obj, key)


def storing_item(obj: Any, site: Site, key: object, value: object = None) -> Any:
    """Before ``obj[key]`` is stored or deleted; returns ``obj``."""
    if contexts:
        context = contexts.get(get_ident())
        if context is not None and access_of(type(obj), "__setitem__") is not None:
            place, name = place_of(obj, key)
            if type(key) is not str and not is_plain(key):
                keyed(obj, key, site, context)
            if name is not None:
                written(place, name, site, context, value)
            context.access(ops.WRITE, place, name, site, value)
    return obj


def storing_key(obj: Any, key: Any, site: Site, value: object = None) -> Any:
    """The same, wrapped around the key."""
    if contexts:
        storing_item(obj, site, key, value)
    return key


# --- a container as a whole ------------------------------------------------------------------


def reading(obj: Any, operation: str, site: Site) -> Any:
    """Before a container is counted, tested, searched, printed or copied; returns ``obj``."""
    if not contexts:
        return obj
    type_ = type(obj)
    if type_ is bool or type_ is int or type_ is str or type_ is NoneType:
        return obj
    context = contexts.get(get_ident())
    if context is None:
        return obj
    try:
        look = looks[identity(type_)][operation]
    except KeyError:
        look = plan_look(type_, operation)
    return obj if look is None else look(obj, operation, site, context)


def iterating(obj: Any, site: Site) -> Any:
    """Before ``iter(obj)`` of a loop: a point there, and one before each step."""
    if not contexts:
        return obj
    context = contexts.get(get_ident())
    type_ = type(obj)
    if context is None:
        return obj
    found = reads(type_, "__iter__")
    if identity(type_) in CONTEXTS:
        return in_order(obj, context)
    if is_hashed(type_):
        show_order(obj, context)
    if not found:
        return obj
    if found is STEPS:
        return StepWalk(obj, site)
    held = owners(obj)
    if not held:
        return obj
    if not hasattr(type_, "__next__"):  # making the iterator looks at the container already
        for owner in held:
            context.access(ops.READ, owner, None, site)
    return Walk(iter(obj), held, site)


def rows(obj: Any, site: Site, nested: int = 0) -> Any:
    """What a loop goes over that takes each item apart: a point before that, too."""
    if not contexts or contexts.get(get_ident()) is None:
        return obj
    return taken_apart(obj, site, nested)


def matching(obj: Any, site: Site, pattern: Any) -> Any:
    """Before ``match obj`` compares it with patterns that name attributes."""
    context = contexts.get(get_ident()) if contexts else None
    if context is not None:
        read_for(obj, pattern, site, context)
    return obj


def matching_on(obj: Any, site: Site, pattern: Any) -> bool:
    """The same where a guard has said no, which this says as well."""
    matching(obj, site, pattern)
    return False


def unpacking(obj: Any, site: Site, nested: int) -> Any:
    """Before ``(a, b), c = obj``, which takes apart what is in it, ``nested`` times."""
    context = contexts.get(get_ident()) if contexts else None
    return obj if context is None else row(obj, site, context, nested)


def delegating(obj: Any, site: Site) -> Any:
    """Before ``yield from obj``, which hands what is sent on to a generator."""
    return obj if hasattr(type(obj), "send") else iterating(obj, site)


def contained(left: Any, right: Any) -> bool:
    """``left in right``."""
    return left in right


def left_out(left: Any, right: Any) -> bool:
    """``left not in right``."""
    return left not in right


def operands(left: Any, right: Any, operation: str, site: Site) -> Any:
    """Before ``left + right`` and its like, comparisons too; returns ``right``."""
    if contexts:
        type_ = type(right)
        if type_ is int or type_ is str or type_ is NoneType:
            type_ = type(left)
            if type_ is int or type_ is str or type_ is NoneType or operation == "__contains__":
                return right
        context = contexts.get(get_ident())
        if context is not None:
            if operation == "__contains__":
                searched(left, right, site, context)
            else:
                compared(left, right, operation, site, context)
    return right


def operands_left(left: Any, right: Any, operation: str, site: Site) -> Any:
    """The same; returns ``left``."""
    if contexts:
        operands(left, right, operation, site)
    return left


def operands_late(function: Any, left: Any, right: Any, operation: str, site: Site) -> Any:
    """The same; returns a callable that computes the result, from C."""
    if contexts:
        operands(left, right, operation, site)
    return functools.partial(function, left, right)


def in_place(obj: Any, operand: Any, operation: str, site: Site) -> Any:
    """Before ``obj += operand`` and its like change a container; returns ``operand``."""
    if contexts:
        context = contexts.get(get_ident())
        if context is not None and access_of(type(obj), operation) == ops.WRITE:
            return combined(obj, operand, operation, site, context)
    return operand


def calling(function: Any, site: Site) -> Any:
    """What to call for a built-in function that reads or writes what it is given."""
    if not contexts:
        return function
    context = contexts.get(get_ident())
    if context is None:
        return function
    return controlled(function, site)


def calling_any(function: Any, site: Site) -> Any:
    """What to call where nothing is known of the function."""
    if type(function) is FunctionType and identity(function) not in READ_ONCE:
        return function
    if not contexts or contexts.get(get_ident()) is None:
        return function
    return called(function, site)


def handing(function: Any, site: Site) -> Any:
    """What to pass on as an argument to what calls it, or has it called later."""
    if not contexts or contexts.get(get_ident()) is None:
        return function
    return callbacks.handed(function, site)


def mentioning(function: Any, site: Site) -> Any:
    """The same for what may be a function in C that writes, as an argument of anything."""
    if not contexts or contexts.get(get_ident()) is None:
        return function
    return callbacks.mentioned(function, site)


def computed(module: str, function: str, site: Site) -> None:
    """At the end of a function with ``functools.lru_cache``, before its result is kept."""
    if contexts:
        context = contexts.get(get_ident())
        if context is not None:
            context.access(ops.WRITE, cache_named(module, function), None, site)


# --- variables -------------------------------------------------------------------------------


def variable(place: Any, name: str, site: Site) -> None:
    """Before a global or a closure's variable is loaded."""
    if contexts:
        context = contexts.get(get_ident())
        if context is not None:
            context.access(ops.READ, place.module if type(place) is Home else place, name, site)


def seen(value: Any) -> Any:
    """After it was: returns ``value``."""
    if contexts:
        context = contexts.get(get_ident())
        if context is not None:
            context.saw(value)
    return value


def rebinding(place: Any, name: str, site: Site, value: Any = None) -> Any:
    """Before it is bound to ``value``, which is returned, or deleted."""
    if contexts:
        context = contexts.get(get_ident())
        if context is not None:
            context.access(
                ops.WRITE, place.module if type(place) is Home else place, name, site, value
            )
    return value


# --- locks -----------------------------------------------------------------------------------


def entering(manager: Any, site: Site) -> Any:
    """What ``with manager`` is to enter: the stand-in of a raw lock, or ``manager``."""
    if contexts and type(manager) in LOCKS:
        context = contexts.get(get_ident())
        if context is not None:
            return context.lock(manager)
    return manager
