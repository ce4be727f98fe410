"""The points of operations in C on objects that may have others below them."""

from __future__ import annotations

import functools
from _thread import get_ident
from collections.abc import Callable, Iterable, Iterator
from types import GeneratorType
from typing import Any, Final

from tracelock import ops
from tracelock.instrument.accesses import elsewhere
from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.accesses.containers import (
    BELOW,
    EXPORT,
    EXTREME,
    FILLING,
    GIVEN,
    HASH,
    ORDER,
    STEPS,
    SUM,
    TRUTH,
    access_of,
    is_walker,
    owners,
    reads,
)
from tracelock.instrument.accesses.places import namespaces, place_of
from tracelock.instrument.accesses.reach import (
    CODE,
    FLAT,
    MAPPING,
    all_inert,
    below,
    inert,
    keyed,
    kind_of,
    namespace_owner,
    others,
    point,
)
from tracelock.instrument.accesses.stand_ins import Walk
from tracelock.instrument.accesses.stepping import StepWalk, enter
from tracelock.instrument.accesses.unordered import (
    SHOWING_ORDER,
    TAKING_ORDER,
    WALKS,
    in_order,
    is_hashed,
    show_order,
)
from tracelock.instrument.contexts import Context, contexts, identity, on_behalf
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import is_plain

#: Operations that take one item after the other, and call code for each that has some.
_ONE_BY_ONE: Final = frozenset({EXTREME, SUM, TRUTH, HASH})
#: Operations to which it is all the same what gives the items.
_ITERATING: Final = _ONE_BY_ONE | {"__iter__", ORDER}


#: What is done with each item.
_WITHIN: Final = {
    TRUTH: "__bool__", SUM: "__iter__", HASH: "__iter__", EXTREME: "__lt__", ORDER: "__lt__",
}  # fmt: skip
#: Operations that make a text of an object, each with the method by which most do it.
_SHOWN: Final = dict.fromkeys(("__repr__", "__str__", "__format__"), "__repr__")
Look = Callable[[Any, str, Site, Context], Any]

#: ``id`` of a type -> operation -> what makes its points, None where there are none.
looks: Final = by_type()


def plan_look(type_: type, operation: str) -> Look | None:
    """What makes the points of an operation on objects of a type, remembered."""
    plan = entry(looks, type_)[operation] = _plan_look(type_, operation)
    return plan


def _plan_look(type_: type, operation: str) -> Look | None:
    if operation == "__missing__":  # keys are looked up, and what is found is shown
        if access_of(type_, "__getitem__") == ops.WRITE:
            return _filled
        shown = plan_look(type_, "__repr__")
        return None if shown is None else functools.partial(_shown, shown)
    if operation in _SHOWN and elsewhere.shows(type_, _SHOWN[operation]):
        return _state_shown
    plan = _plan_of(type_, operation)
    # ``looked`` tells itself
    if operation in SHOWING_ORDER and is_hashed(type_) and plan is not looked:
        return functools.partial(_in_order, plan)
    return plan


def _state_shown(obj: Any, operation: str, site: Site, context: Context) -> Any:
    elsewhere.read(obj, _SHOWN[operation], site, context)
    return obj


def _shown(plan: Look, obj: Any, _: str, site: Site, context: Context) -> Any:
    return plan(obj, "__repr__", site, context)


def _filled(obj: Any, operation: str, site: Site, context: Context) -> Any:
    context.access(ops.WRITE, obj, None, site)
    return looked(obj, "__repr__", site, context)


def _in_order(plan: Look | None, obj: Any, operation: str, site: Site, context: Context) -> Any:
    """A set, or a context, whose items are taken one after the other."""
    if identity(type(obj)) in WALKS:
        return looked(obj, operation, site, context)
    show_order(obj, context)
    return obj if plan is None else plan(obj, operation, site, context)


def _plan_of(type_: type, operation: str) -> Look | None:
    found = reads(type_, operation)
    if not found:
        return None
    if found is STEPS or operation == EXPORT or is_walker(type_):
        return looked
    if found is BELOW:
        return _list if type_ is list else _tuple if type_ is tuple else looked
    return _dict if issubclass(type_, dict) else _itself


def look_of(type_: type, operation: str) -> Look | None:
    """The same from the table, if it is there."""
    try:
        plan: Look | None = looks[identity(type_)][operation]
    except KeyError:
        plan = plan_look(type_, operation)
    return plan


def _itself(obj: Any, operation: str, site: Site, context: Context) -> Any:
    context.access(ops.READ, obj, None, site)
    return obj


def _dict(obj: Any, operation: str, site: Site, context: Context) -> Any:
    """Which may be the namespace of an object."""
    if namespaces and type(obj) is dict:
        return looked(obj, operation, site, context)
    context.access(ops.READ, obj, None, site)
    return obj


def _list(obj: Any, operation: str, site: Site, context: Context) -> Any:
    if all_inert(obj, operation):
        context.access(ops.READ, obj, None, site)
        return obj
    return _below(obj, operation, site, context, False)


def _tuple(obj: Any, operation: str, site: Site, context: Context) -> Any:
    return obj if all_inert(obj, operation) else _below(obj, operation, site, context, False)


def looked(obj: Any, operation: str, site: Site, context: Context, code: bool = False) -> Any:
    """Before an operation looks at ``obj``. Returns what it is to get: where code of Python is
    called for each item (``code``: by the operation itself), what makes a point before each."""
    if identity(type(obj)) in WALKS and operation in _ITERATING:
        return in_order(obj, context)
    if is_hashed(type(obj)) and (code or operation in SHOWING_ORDER):
        show_order(obj, context)
    found = reads(type(obj), operation)
    if not found:
        return obj
    if found is STEPS:
        if operation in _ITERATING and _calls_between(obj, code):
            return _items(StepWalk(obj, site), obj, operation, site)
        enter(obj, site, context)
        return _items(obj, obj, operation, site)
    if type(obj) is list and not code and all_inert(obj, operation):
        context.access(ops.READ, obj, None, site)
        return obj
    if found is BELOW or code:
        return _below(obj, operation, site, context, code)
    for owner in owners(obj):
        if namespace_owner(owner) is not None:
            point(below(operation, owner), operation, site, context)
            continue
        if operation == EXPORT:
            why = f"{site.at} makes one; when it ends, so that others may grow, is not seen"
            context.unsure([(owner, None)], "memoryview", why)
        context.access(ops.READ, owner, None, site)
    return obj


def _items(walk: Any, obj: Any, operation: str, site: Site) -> Any:
    """``walk``; where a generator gives items that the operation looks into, what does that too."""
    within = _WITHIN.get(operation)
    return walk if within is None or type(obj) is not GeneratorType else _each(walk, within, site)


def _each(walk: Any, operation: str, site: Site) -> Iterator[Any]:
    for one in walk:
        context = contexts.get(get_ident())
        yield one if context is None or is_plain(one) else looked(one, operation, site, context)


on_behalf.add(identity(_each.__code__))


def _calls_between(obj: Any, code: bool) -> bool:
    """Whether code of Python is called between two steps of an iterator over containers."""
    found = below("__iter__", obj)
    return (code or found.code) and bool(found.parts)


def _below(obj: Any, operation: str, site: Site, context: Context, code: bool) -> Any:
    found = below(operation, obj)
    top = bool(found.parts) and found.parts[0][0] is obj
    if operation == HASH and top and kind_of(type(obj)) == MAPPING:
        found.code = False  # hashes are known
    if (found.code or code) and top and operation in _ONE_BY_ONE:
        held = owners(obj)
        del found.parts[:1]
        point(found, operation, site, context)
        for owner in held:
            context.access(ops.READ, owner, None, site)
        return Walk(iter(obj), held, site)
    if operation == ORDER and top:
        found.copied = 1  # the items are taken first, and compared then
    point(found, operation, site, context)
    return obj


def compared(left: Any, right: Any, operation: str, site: Site, context: Context) -> None:
    """Before an operator looks at both of its operands."""
    deep: list[Any] = []
    flat: list[tuple[Any, str | None]] = []
    for each in (left, right):
        if is_plain(each):
            continue
        plan = look_of(type(each), operation)
        if plan is None:
            if kind_of(type(each)) == FLAT:  # bytes look into it: ``b"" + view``
                looked(each, "__iter__", site, context)
            continue
        if plan is _tuple or plan is _list:
            if all_inert(each, operation):
                if plan is _list:
                    flat.append((each, None))
            else:
                deep.append(each)
        elif reads(type(each), operation) is BELOW:
            deep.append(each)
        else:
            for owner in owners(each):
                context.access(ops.READ, owner, None, site)
    if deep:
        flat += others(below(operation, *deep), operation, site, context)
    if flat:
        obj, name = flat[0]
        context.access(ops.READ, obj, name, site, None, flat[1:])


def searched(item: Any, obj: Any, site: Site, context: Context) -> None:
    """Before ``item in obj``."""
    plan = look_of(type(obj), "__contains__")
    plain = is_plain(item)
    if not plain and kind_of(type(item)) == FLAT:  # bytes are searched for
        looked(item, "__iter__", site, context)
    if plan is _tuple or plan is _list:
        inner = "__contains__"
        if not (plain or inert(type(item), inner)) or not all_inert(obj, inner):
            point(below("__contains__", obj, item), "in", site, context)
        elif plan is _list:
            context.access(ops.READ, obj, None, site)
        return
    if plan is looked and reads(type(obj), "__contains__") is BELOW:
        point(below("__contains__", obj, item), "in", site, context)
        return
    if not plain:
        keyed(obj, item, site, context)
    if plan is _dict and namespaces:
        place, name = place_of(obj, item)
        if name is not None:
            context.access(ops.READ, place, name, site)
            return
    if plan is not None:
        plan(obj, "__contains__", site, context)


def combined(obj: Any, operand: Any, operation: str, site: Site, context: Context) -> Any:
    """Before ``obj += operand`` and its like change a container; returns the operand."""
    if is_hashed(type(operand)) and not is_hashed(type(obj)):
        show_order(operand, context)
    if not is_plain(operand) and access_of(type(operand), "__len__") is None:
        new = looked(operand, "__iter__", site, context)
        if new is not operand:
            context.access(ops.WRITE, obj, None, site)
            return new
        found = below("__iter__", operand)
        also = others(found, operation, site, context)
        context.access(ops.WRITE, obj, None, site, operand, also)
        return operand
    context.access(ops.WRITE, obj, None, site, operand)
    return operand


def stepped(args: Iterable[Any], site: Site, context: Context) -> list[Any]:
    """Arguments of a function in C that takes what iterators give."""
    new = []
    for each in args:
        if not is_plain(each) and reads(type(each), "__iter__") is STEPS:
            if _calls_between(each, False):
                each = StepWalk(each, site)
            else:
                enter(each, site, context)
        new.append(each)
    return new


def given(function: Any, roots: list[Any], site: Site, context: Context) -> None:
    """Before a function in C, of which nothing else is known, looks at what it is given."""
    roots = [each for each in roots if not is_plain(each)]
    if not roots:
        return
    name = getattr(function, "__name__", GIVEN)
    if name in TAKING_ORDER:
        for each in roots:
            if is_hashed(type(each)):
                show_order(each, context)
    found = below(GIVEN, *roots)
    if name in FILLING:
        filled = [each for each in roots if kind_of(type(each)) == FLAT]
        reading = [part[:2] for part in found.parts if part[0] not in filled]
        context.together(reading, [(each, None) for each in filled], site)
    elif found.parts or found.cut:
        point(found, name, site, context)


def filling(values: Iterable[Any], site: Site, context: Context) -> None:
    """Before keys are looked up in these, by code in C: some put in what they have not."""
    for each in values:
        if not is_plain(each) and access_of(type(each), "__getitem__") == ops.WRITE:
            context.access(ops.WRITE, each, None, site)


def calls_code(function: Any) -> bool:
    """Whether a function that code in C is given is one of Python."""
    return function is not None and kind_of(type(function)) == CODE
