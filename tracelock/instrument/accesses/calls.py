"""Callables that are no functions in Python: what a call of one reads and writes.

A weak reference that is called, a function with a cache, ``operator.attrgetter("x")``, a method of
a container or a generator that was stored somewhere, ``partial(setattr, obj)``.
"""

from __future__ import annotations

import functools
import re
from _thread import get_ident
from _weakref import ref
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    ClassMethodDescriptorType,
    FunctionType,
    GeneratorType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    SimpleNamespace,
    WrapperDescriptorType,
)
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses import functions, setting_up
from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.accesses.containers import (
    access_of,
    generated,
    holder_of,
    steps,
    table_of,
)
from tracelock.instrument.accesses.functions import (
    SLOT,
    applied,
    controlled,
    formatting,
    reading_all,
    replaced,
    slot,
)
from tracelock.instrument.accesses.implied import changing_method
from tracelock.instrument.accesses.known_calls import (
    APPLYING,
    ASKING,
    BARE_METHODS,
    KEEPING,
    OF_OBJECT,
    OF_TEXT,
    READ_ONCE,
    TEXT,
)
from tracelock.instrument.accesses.looks import given, stepped
from tracelock.instrument.accesses.places import DESCRIPTORS, cache_of, namespace_of
from tracelock.instrument.accesses.plans import (
    BARE,
    Plan,
    is_changing,
    is_direct,
    method_plans,
    plan_read,
    read_plans,
)
from tracelock.instrument.accesses.reach import OBJECT, kind_of
from tracelock.instrument.accesses.stand_ins import (
    ItemRead,
    Later,
    Method,
    Unbound,
    Walk,
    method_class,
)
from tracelock.instrument.accesses.stepping import StepWalk, enter
from tracelock.instrument.contexts import Context, contexts, identity, on_behalf
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import all_plain

CallPlan = Callable[[Any, Site], Any]
CACHED: Final[type] = type(functools.lru_cache(len))

call_plans: Final = by_type()
#: Of classes, whether their objects are set up by code in C (see ``_in_c``).
_made_in_c: Final = by_type()
#: What methods in C are in the dictionary of their class.
_IN_C: Final = (MethodDescriptorType, WrapperDescriptorType, BuiltinFunctionType)


def called(function: Any, site: Site) -> Any:
    """What to call for ``function``, by a worker under control: itself, or what makes its points
    and then calls it."""
    type_ = type(function)
    if type_ is FunctionType:
        if identity(function) in READ_ONCE:
            return functools.partial(_given, function, site)
        return function
    if type_ is MethodType:
        inner = function.__func__
        return function if type(inner) is FunctionType else _method(function, site)
    try:
        plan = call_plans[identity(type_)][""]
    except KeyError:
        plan = entry(call_plans, type_)[""] = _plan(type_)
    return function if plan is None else plan(function, site)


def _plan(type_: type) -> CallPlan | None:
    if issubclass(type_, ref):
        return _reference  # also one with a ``__call__`` of its own, as ``WeakMethod``
    if issubclass(type_, type):
        return _class
    return PLANS.get(type_) or setting_up.plan(type_)


def plan_method(type_: type, name: str) -> Plan | None:
    """The plan for loading ``name`` from an instance of ``type_`` to call it, remembered."""
    plan = entry(method_plans, type_)[name] = _plan_method(type_, name)
    return plan


def _plan_method(type_: type, name: str) -> Plan | None:
    if name in ("format", "format_map") and holder_of(type_, name) is str:
        return formatting
    if type_ in TEXT and name not in OF_TEXT:
        return None
    changing = changing_method(type_, name)
    if changing is None and name == "__init__" and generated(type_, name):
        changing = _making_again
    if changing is not None:
        return functools.partial(_changing, changing)
    known = entry(read_plans, type_)
    read = known[name] if name in known else plan_read(type_, name)
    if is_direct(read):
        return read
    if not issubclass(type_, type | ModuleType) and (read is None or not is_changing(type_)):
        holder = holder_of(type_, name)
        value = None if holder is None else holder.__dict__[name]
        if type(value) is CACHED:
            return _cached_method
        if read is not None:
            return functools.partial(_loaded, read)
        loaded = (*_IN_C, ClassMethodDescriptorType, MemberDescriptorType, staticmethod)
        if holder is None or type(value) not in loaded:
            return None
    return functools.partial(_loaded, read)


def _changing(change: Plan, obj: Any, name: str, site: Site, context: Context) -> Any:
    return Later(functools.partial(_changed, change, obj, getattr(obj, name), name, site))


def _changed(
    change: Plan, obj: Any, real: Any, name: str, site: Site, /, *args: Any, **keywords: Any
) -> Any:
    """After the arguments were evaluated, which may read what is changed."""
    context = _context()
    if context is not None:
        change(obj, name, site, context)
    return real(*args, **keywords)


def _making_again(obj: Any, name: str, site: Site, context: Context) -> Any:
    """``obj.__init__(...)`` of a dataclass, for an object that there is already."""
    fields = getattr(type(obj), "__dataclass_fields__", ())
    context.together((), [(obj, each) for each in fields], site)
    return obj


def _loaded(read: Plan | None, obj: Any, name: str, site: Site, context: Context) -> Any:
    """What is loaded without running code of the program, and called at once."""
    base = obj if read is None else read(obj, name, site, context)
    if base is not obj:
        return base
    value = _value(obj, name)
    new = called(value, site)
    return obj if new is value else Later(new)


def _value(obj: Any, name: str) -> Any:
    """What ``obj.name`` is, None where code of the program may be asked."""
    if issubclass(type(obj), type):
        holder = holder_of(obj, name)
        value = None if holder is None else holder.__dict__[name]
        if type(value) in (ClassMethodDescriptorType, staticmethod, classmethod):
            found = type.__getattribute__(obj, name)
            return found if type(found) is BuiltinFunctionType else None
        if type(value) in (MethodDescriptorType, WrapperDescriptorType):
            return value
        return value if type(value) is CACHED or not hasattr(type(value), "__get__") else None
    if type(type(obj).__getattribute__) is not WrapperDescriptorType:
        return None
    holder = holder_of(type(obj), name)
    kept = None if holder is None else holder.__dict__[name]
    plain = (*_IN_C, MemberDescriptorType, ClassMethodDescriptorType, staticmethod)
    described = hasattr(type(kept), "__get__") and type(kept) not in plain
    if described:
        held = namespace_of(obj)
        return held.get(name) if type(held) is dict else None
    try:
        return object.__getattribute__(obj, name)
    except (AttributeError, TypeError):
        return None


def _cached_method(obj: Any, name: str, site: Site, context: Context) -> Any:
    return Later(called(getattr(obj, name), site))


def _context() -> Context | None:
    return contexts.get(get_ident())


# --- weak references -------------------------------------------------------------------------
def _reference(function: Any, site: Site) -> Any:
    return functools.partial(_look, function, site)


def _look(reference: Any, site: Site, /, *args: Any, **keywords: Any) -> Any:
    context = _context()
    if context is not None:
        context.look(reference, site)
    found = reference(*args, **keywords)
    if context is not None:
        context.saw(found)
    return found


def _class(function: Any, site: Site) -> Any:
    if not issubclass(function, ref):
        if identity(function) in replaced:
            return replaced[identity(function)]
        if function is SimpleNamespace:
            return controlled(function, site)
        try:
            in_c = _made_in_c[identity(function)][""]
        except KeyError:
            in_c = entry(_made_in_c, function)[""] = _in_c(function)
        return functools.partial(_given, function, site) if in_c else function
    return functools.partial(_refer, function)


def _in_c(cls: type) -> bool:
    """Whether objects of a class are set up by code in C that may look at what it is given."""
    if identity(cls) in ASKING or cls.__module__ in KEEPING or issubclass(cls, BaseException):
        return False
    if type(holder_of(type(cls), "__call__").__dict__["__call__"]) is not WrapperDescriptorType:
        return False
    sets, makes = holder_of(cls, "__init__"), holder_of(cls, "__new__")
    if sets is None or makes is None or sets is makes is object:
        return False
    if type(sets.__dict__["__init__"]) is FunctionType:
        return False
    return type(makes.__dict__["__new__"]) not in (FunctionType, staticmethod)


def _refer(cls: Any, /, *args: Any, **keywords: Any) -> Any:
    made = cls(*args, **keywords)
    context = _context()
    if context is not None and isinstance(made, ref):
        context.referred(made)
    return made


# --- caches ----------------------------------------------------------------------------------
def _cached(function: Any, site: Site) -> Any:
    return functools.partial(_look_up, function, function, site)


def _method(function: Any, site: Site) -> Any:
    if type(function.__func__) is not CACHED:
        return function
    return functools.partial(_look_up, function, function.__func__, site)


def _look_up(function: Any, cached: Any, site: Site, /, *args: Any, **keywords: Any) -> Any:
    context = _context()
    if context is not None:
        context.access(ops.WRITE, cache_of(cached), None, site)
    return function(*args, **keywords)


#: By identity, functions of modules of which nothing else is known.
_of_modules: Final[dict[int, Any]] = {}


# --- methods of what is written in C ---------------------------------------------------------
def _builtin(function: Any, site: Site) -> Any:
    number = identity(function)
    if number in _of_modules and number not in functions.replaced:
        return functools.partial(_given, function, site)
    new = controlled(function, site)
    if new is not function:
        return new
    setting_up.called(function, site)
    owner, name = function.__self__, function.__name__
    type_ = type(owner)
    if type_ is CACHED:
        if name in ("cache_clear", "cache_info"):
            return functools.partial(_manage, function, site)
        return function
    if name in BARE and type(function) is MethodWrapperType and not issubclass(type_, type):
        unbound = Unbound(getattr(holder_of(type_, name), name), BARE[name], True, site)
        return functools.partial(unbound, owner)
    if type_ in DESCRIPTORS and name in SLOT:
        return functools.partial(slot, function, SLOT[name], site)
    if type_ is GeneratorType:
        return functools.partial(_resume, function, site)
    if name == "__next__":
        return functools.partial(_resume, function, site) if steps(type_) else function
    if name in ("__reduce_ex__", "__reduce__", "__getstate__"):
        return functools.partial(_state, function, site)
    kind = access_of(type_, name)
    if kind is not None:
        return method_class(name)(function, kind, owner, site)
    if type_ is ModuleType:
        if owner.__name__ in KEEPING or number in ASKING:
            return function
        _of_modules[number] = function
        return functools.partial(_given, function, site)
    if issubclass(type_, type):
        keeps = owner.__module__ in KEEPING or name[:2] == "__"
        return function if keeps else functools.partial(_given, function, site)
    keeps = type_.__module__ in KEEPING and kind_of(type_) == OBJECT
    if keeps or type_ is super or _does_nothing(type_, name):
        return function
    return functools.partial(_given_to, function, site)


def _does_nothing(type_: type, name: str) -> bool:
    """Whether a method of a container is known to look at nothing: making a view, say."""
    holder = holder_of(type_, name)
    if holder is object:
        return name not in OF_OBJECT
    return holder is not None and table_of(holder) is not None


def _given(function: Any, site: Site, /, *args: Any, **keywords: Any) -> Any:
    """A function in C, of which nothing else is known, reads what it is given."""
    if not keywords and all_plain(args):
        return function(*args)
    context = _context()
    if context is not None:
        if getattr(function, "__module__", None) in APPLYING:
            args = tuple([applied(each, site) for each in args])
        args = tuple(stepped(args, site, context))
        given(function, [*args, *keywords.values()], site, context)
    return function(*args, **keywords)


def _given_to(function: Any, site: Site, /, *args: Any, **keywords: Any) -> Any:
    """The same for a method: of what leads to containers, and is none."""
    context = _context()
    if context is not None:
        args = tuple(stepped(args, site, context))
        owner = function.__self__
        roots = [*args, *keywords.values()]
        if kind_of(type(owner)) != OBJECT:
            roots.append(owner)
        given(function, roots, site, context)
    return function(*args, **keywords)


def _manage(function: Any, site: Site, /, *args: Any) -> Any:
    context = _context()
    if context is not None:
        kind = ops.WRITE if function.__name__ == "cache_clear" else ops.READ
        context.access(kind, cache_of(function.__self__), None, site)
    return function(*args)


def _resume(function: Any, site: Site, /, *args: Any, **keywords: Any) -> Any:
    context = _context()
    if context is not None:
        enter(function.__self__, site, context)
    return function(*args, **keywords)


def _state(function: Any, site: Site, /, *args: Any) -> Any:
    context = _context()
    if context is not None:
        reading_all(function.__self__, site, context)
    return function(*args)


def _unbound(function: Any, site: Site) -> Any:
    """A method of a container, called with that in front: ``list.copy``."""
    setting_up.called(function, site)
    kind = access_of(function.__objclass__, function.__name__)
    if kind is not None:
        return Unbound(function, kind, False, site)
    owner, name = function.__objclass__, function.__name__
    if name in BARE:
        return Unbound(function, BARE[name], True, site)
    keeps = owner.__module__ in KEEPING and kind_of(owner) == OBJECT
    if keeps or name in BARE_METHODS or _does_nothing(owner, name):
        return function
    return functools.partial(_given, function, site)


#: The type of bound methods in C that are told the class which defines them.
WITH_CLASS: Final = type(re.compile("").sub)
#: What makes the points of callables of exactly this type; ``getters`` adds to it.
PLANS: Final[dict[type, CallPlan]] = {
    CACHED: _cached,
    BuiltinFunctionType: _builtin,
    WITH_CLASS: _builtin,
    MethodWrapperType: _builtin,
    MethodDescriptorType: _unbound,
    WrapperDescriptorType: _unbound,
}


def behalf(*namespaces: dict[str, Any]) -> None:
    """The functions there call what the code of the program would call itself."""
    on_behalf.update(
        identity(value.__code__)
        for names in namespaces
        for value in names.values()
        if type(value) is FunctionType
    )


behalf(globals(), *map(dict, map(vars, (functions, Method, Unbound, ItemRead, Walk, StepWalk))))
