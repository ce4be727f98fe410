"""Which attributes hold shared data: decided once for each type and name.

A plan is a function that a hook calls for a worker under control: it makes the scheduling
point, if the attribute holds data of the object, and returns what the attribute is then taken
from. None: methods, properties and the like, where the access, if there is one, is inside.
"""

from __future__ import annotations

import functools
from _thread import RLock, _local, allocate_lock
from collections.abc import Callable
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    ModuleType,
    WrapperDescriptorType,
)
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses import containers, elsewhere, implied, setting_up
from tracelock.instrument.accesses.by_type import by_type, entry, forget
from tracelock.instrument.accesses.containers import access_of, holder_of, order_of, table_of
from tracelock.instrument.accesses.places import DESCRIPTORS, learn, namespace_of
from tracelock.instrument.accesses.stand_ins import DeepMethod, Later, Method, Unbound, method_class
from tracelock.instrument.accesses.unordered import is_hashed, show_order
from tracelock.instrument.contexts import Context, class_names, identity
from tracelock.instrument.rewrite.sites import Site

Plan = Callable[[Any, str, Site, Context], Any]
WritePlan = Callable[[Any, str, Site, Context, object], None]

LOCKS: Final = (type(allocate_lock()), type(RLock()))
_LOCK_METHODS: Final = frozenset(
    {
        "acquire", "release", "locked", "acquire_lock", "release_lock", "locked_lock",
        "__enter__", "__exit__", "_release_save", "_acquire_restore", "_is_owned",
        "_recursion_count",
    }
)  # fmt: skip
_ABSENT: Final = object()
_peek = object.__getattribute__
#: Named accesses through ``object`` itself, as frozen dataclasses do them.
BARE: Final = {"__setattr__": ops.WRITE, "__delattr__": ops.WRITE, "__getattribute__": ops.READ}

#: ``id`` of a type -> name -> plan.
read_plans: Final = by_type()
write_plans: Final = by_type()
#: The same for what is called at once, see ``calls``.
method_plans: Final = by_type()


def plan_read(type_: type, name: str) -> Plan | None:
    """The plan for loading ``name`` from an instance of ``type_``, remembered."""
    plan = entry(read_plans, type_)[name] = _read_plan(type_, name)
    return plan


def plan_write(type_: type, name: str) -> WritePlan | None:
    """The plan for storing or deleting ``name``, remembered."""
    plan = entry(write_plans, type_)[name] = _write_plan(type_, name)
    return plan


#: Types from or to which ``__class__`` was assigned: what their instances have depends on that.
_changing: Final[dict[int, type]] = {}


def is_changing(type_: type) -> bool:
    """Whether instances of this type were seen to become ones of another, or the reverse."""
    return identity(type_) in _changing


def forget_changes() -> None:
    """The watching has ended."""
    _changing.clear()


def _read_plan(type_: type, name: str) -> Plan | None:
    if identity(type_) in _changing and name != "__class__":
        return _of_changing
    return _plan_of(type_, name)


def _of_changing(obj: Any, name: str, site: Site, context: Context) -> Any:
    context.access(ops.READ, obj, "__class__", site)
    plan = _plan_of(type(obj), name)
    return obj if plan is None else plan(obj, name, site, context)


def _plan_of(type_: type, name: str) -> Plan | None:
    if _is_lock(type_):
        return _lock if name in _LOCK_METHODS else None
    if type_ is super:
        return _super
    if issubclass(type_, type):
        return _class_data
    if issubclass(type_, ModuleType):
        return _namespace if name == "__dict__" else _module_data
    if name == "__dict__" and type_.__dictoffset__:
        return _namespace
    if issubclass(type_, _local):
        return None
    holder = holder_of(type_, name)
    if holder is None:
        return _of_instance(type_, name) if type_.__dictoffset__ else None
    kind = access_of(type_, name)
    value = holder.__dict__[name]
    if kind is not None:
        if type(value) in DESCRIPTORS:
            return _contents
        return _pop if name == "pop" and is_hashed(type_) else _CONTAINER[kind, method_class(name)]
    if table_of(holder) is not None or holder is object:
        return None
    if (reader := implied.reads_in_c(type_, name)) is not None:
        return reader
    if implied.keeps_in_c(type_, holder, name, value):
        return _read_in_c if name[:2] == "__" or type(value) is property else _instance_data
    if isinstance(value, MemberDescriptorType):
        return _of_instance(type_, name) if "__slots__" in holder.__dict__ else None
    if type(value) is property and elsewhere.tells(type_, value):
        return elsewhere.read
    if isinstance(value, FunctionType | classmethod | staticmethod | GetSetDescriptorType):
        return None
    described = type(value)
    if holder_of(described, "__get__") is None:
        return _class_default if holder.__module__ != "builtins" else None
    if _keeps_out(described):
        return _contents if containers.is_opaque(type_) else None
    if not type_.__dictoffset__:
        return None
    # functools.cached_property and its like: data once the instance has it
    return None if isinstance(value, BuiltinFunctionType) else _cached


def _of_instance(type_: type, name: str) -> Plan:
    if elsewhere.is_changed(type_, name):
        return _changed
    return _table if elsewhere.is_read(type_, name) else _instance_data


def _is_lock(type_: type) -> bool:
    return type_ is LOCKS[0] or type_ is LOCKS[1]


def _keeps_out(type_: type) -> bool:
    """Whether descriptors of this type stand before what the instance itself holds."""
    return holder_of(type_, "__set__") is not None or holder_of(type_, "__delete__") is not None


def _write_plan(type_: type, name: str) -> WritePlan | None:
    if name == "__class__" and holder_of(type_, name) is object:
        return _write_kind
    if name == "__dict__" and type_.__dictoffset__ and not issubclass(type_, type):
        return _write_namespace
    if issubclass(type_, type):
        return _write_class
    if issubclass(type_, _local) or _is_lock(type_):
        return None
    holder = holder_of(type_, name)
    if holder is not None:
        value = holder.__dict__[name]
        if implied.keeps_in_c(type_, holder, name, value):
            return _write_in_c
        field = containers.is_opaque(type_) and _keeps_out(type(value))
        if field or (type(value) in DESCRIPTORS and access_of(type_, name) is not None):
            return _write_contents
        if isinstance(value, MemberDescriptorType) and "__slots__" in holder.__dict__:
            return _write_elsewhere if elsewhere.is_read(type_, name) else _write
        if type(value) in DESCRIPTORS:
            return setting_up.state_written if type_ in implied.CHANGING_CALLS else None
        return _write_over if type_.__dictoffset__ and not _keeps_out(type(value)) else None
    if issubclass(type_, ModuleType):
        return _write_module
    if not type_.__dictoffset__:
        return None
    return _write_elsewhere if elsewhere.is_read(type_, name) else _write


def is_direct(plan: Plan | None) -> bool:
    """Whether what such a plan leads to is under control when it is called."""
    return plan in _DIRECT


# --- reads -----------------------------------------------------------------------------------


def _instance_data(obj: Any, name: str, site: Site, context: Context) -> Any:
    value = context.reads_at_once and context.read_at_once(obj, name, site)  # type: ignore[attr-defined]
    if value is True:
        return obj
    if value is False:
        context.access(ops.READ, obj, name, site)
        try:  # nothing else runs until the real load: it gets this same value
            value = _peek(obj, name)
        except AttributeError:
            context.access(ops.READ, object, name, site)  # nor has any class: one may be given it
            return obj
        context.saw(value)
    if type(value) is BuiltinFunctionType and _is_lock(type(value.__self__)):
        return Later(getattr(context.lock(value.__self__), value.__name__))  # as Condition has it
    return obj


def _table(obj: Any, name: str, site: Site, context: Context) -> Any:
    """What code that is not looked into reads too."""
    plan = _instance_data(obj, name, site, context)
    elsewhere.table(_peek_at(obj, name), obj, name, context)
    return plan


def _changed(obj: Any, name: str, site: Site, context: Context) -> Any:
    """What code that is not looked into changes."""
    elsewhere.read(obj, name, site, context)
    return _table(obj, name, site, context)


def _peek_at(obj: Any, name: str) -> object:
    try:
        return _peek(obj, name)
    except AttributeError:
        return None


def _contents(obj: Any, name: str, site: Site, context: Context) -> Any:
    """An attribute of a container that depends on what is in it, or whether it is closed."""
    context.access(ops.READ, obj, None, site)
    return obj


def _class_default(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Plain data in the class: an instance without its own depends on both places."""
    holder = holder_of(type(obj), name)
    if holder is not None and _own(obj, name) is _ABSENT:
        context.access(ops.READ, holder, name, site)
        elsewhere.of_class(holder, name, class_names(holder).get(name), context)
    return _instance_data(obj, name, site, context)


def _own(obj: Any, name: str) -> object:
    held = namespace_of(obj)
    return dict.get(held, name, _ABSENT) if issubclass(type(held), dict) else _ABSENT


def _cached(obj: Any, name: str, site: Site, context: Context) -> Any:
    """What the instance holds hides a descriptor; without it, that one's code will run."""
    context.access(ops.READ, obj, name, site)
    value = _own(obj, name)
    if value is not _ABSENT:
        context.saw(value)
    return obj


def _read_in_c(obj: Any, name: str, site: Site, context: Context) -> Any:
    """An attribute that an object has in C, or behind a property."""
    implied.read_in_c(obj, name, site, context)
    context.access(ops.READ, obj, name, site)
    return obj


def _namespace(obj: Any, name: str, site: Site, context: Context) -> Any:
    """Which namespace it is; what is done with that will be an access of its own."""
    context.access(ops.READ, obj, name, site)
    learn(obj, namespace_of(obj))
    return obj


def _overridden(obj: Any, name: str, site: Site, context: Context) -> Any:
    """A method or cached value that some instance was seen to replace."""
    if _own(obj, name) is _ABSENT:
        return obj
    return _instance_data(obj, name, site, context)


def _class_data(obj: Any, name: str, site: Site, context: Context) -> Any:
    meta = holder_of(type(obj), name)
    if meta is not None and _keeps_out(type(meta.__dict__[name])):
        if name == "__dict__":
            implied.names_of_class(obj, site, context)
        elif name == "__annotations__":
            elsewhere.hints(obj, context)
        return obj  # __name__, a property of the metaclass
    holder = holder_of(obj, name)
    if holder is None:
        if meta is type and name == "__subclasses__":
            context.doubt(name, f"{site.at} asks for it: which classes there are is no access")
        if meta is None:
            context.access(ops.READ, object, name, site)  # a class may be given it
        elif type(meta.__dict__[name]) is not FunctionType:
            context.access(ops.READ, meta, name, site)
        return obj
    if name in BARE and type(holder.__dict__[name]) is WrapperDescriptorType:
        return Later(Unbound(getattr(obj, name), BARE[name], True, site))
    table = table_of(holder)
    if table is not None:
        kind = table.get(name)
        if kind is None:
            return obj
        return Later(Unbound(getattr(obj, name), kind, False, site))
    value = holder.__dict__[name]
    if holder_of(type(value), "__get__") is not None or holder.__module__ == "builtins":
        return obj
    if holder is not obj:
        context.access(ops.READ, holder, name, site)
    context.access(ops.READ, obj, name, site)
    # The point may have let a writer in: what is there now is what will be loaded.
    now = holder_of(obj, name)
    if now is not None:
        context.saw(now.__dict__[name])
        elsewhere.of_class(obj, name, now.__dict__[name], context)
    return obj


def _module_data(obj: Any, name: str, site: Site, context: Context) -> Any:
    value = _own(obj, name)
    if value is _ABSENT:
        # that it is not there may be what another worker, or its own __getattr__, is to change
        if holder_of(type(obj), name) is not None:
            return obj
    elif issubclass(type(value), implied.CALLABLE):
        return obj
    elif elsewhere.is_for_tools(name):
        elsewhere.table(value, obj, name, context)
    return _instance_data(obj, name, site, context)


def _pop(obj: Any, name: str, site: Site, context: Context) -> Any:
    """A set gives an item: whichever comes first."""
    show_order(obj, context)
    return _CONTAINER[ops.WRITE, Method](obj, name, site, context)


def _container(kind: int, cls: type[Method]) -> Plan:
    return lambda obj, name, site, context: Later(cls(getattr(obj, name), kind, obj, site))


_CONTAINER: Final = {
    (kind, cls): _container(kind, cls)
    for kind in (ops.READ, ops.WRITE)
    for cls in (Method, DeepMethod)
}


def _super(obj: Any, name: str, site: Site, context: Context) -> Any:
    """``super().append`` in a subclass of a container, ``super().__setattr__``."""
    real = obj.__self__
    if real is None or issubclass(type(real), type):
        return obj
    past = False
    for holder in order_of(type(real)):
        if past and name in holder.__dict__:
            break
        past = past or holder is obj.__thisclass__
    else:
        return obj
    if name in BARE and type(holder.__dict__[name]) is WrapperDescriptorType:
        unbound = Unbound(getattr(holder, name), BARE[name], True, site)
        return Later(functools.partial(unbound, real))
    table = table_of(holder)
    kind = None if table is None else table.get(name)
    if kind is None:
        return obj
    return Later(method_class(name)(getattr(obj, name), kind, real, site))


def _lock(obj: Any, name: str, site: Site, context: Context) -> Any:
    return context.lock(obj)


_DIRECT: Final = (*_CONTAINER.values(), _super, _lock)


# --- writes ----------------------------------------------------------------------------------


def _write(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    context.access(ops.WRITE, obj, name, site, value)


def _write_elsewhere(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    elsewhere.write(obj, name, site, context)
    context.access(ops.WRITE, obj, name, site, value)


def _write_contents(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    context.access(ops.WRITE, obj, None, site)


def _write_namespace(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    """All attributes are other ones from here on."""
    named = [name]
    for each in (namespace_of(obj), value):
        if type(each) is dict:
            named += [one for one in each if type(one) is str]
    context.together((), [(obj, one) for one in dict.fromkeys(named)], site)
    context.replaced(obj, value)


def _write_over(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    """Over something in the class: from now on reads of this name look at the instance."""
    plans = entry(read_plans, type(obj))
    if plans.get(name, _read_plan(type(obj), name)) is None:
        plans[name] = _overridden
        entry(method_plans, type(obj)).pop(name, None)
    context.access(ops.WRITE, obj, name, site, value)


def _write_kind(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    """``obj.__class__ = value``."""
    for each in (type(obj), value):
        if isinstance(each, type) and identity(each) not in _changing:
            _changing[identity(each)] = each
            forget()  # what is taken from instances is decided anew
    context.doubt(
        "__class__",
        f"{site.at} assigns it: what isinstance() and type() then say is no access that is seen",
    )
    context.access(ops.WRITE, obj, name, site, value)


def _write_in_c(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    implied.written_in_c(obj, name, site, context)
    context.access(ops.WRITE, obj, name, site, value)


def _write_module(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    implied.written_in_module(obj, name, site, context, value)
    context.access(ops.WRITE, obj, name, site, value)


def _write_class(obj: Any, name: str, site: Site, context: Context, value: object) -> None:
    implied.written_in_class(obj, name, site, context, value)
    meta = holder_of(type(obj), name)
    if meta is not None and _keeps_out(type(meta.__dict__[name])):
        return
    forget()  # what instances of the class hold under this name may be decided anew
    implied.given_to_class(obj, name, value, site, context)
