"""The points of operations in C on objects that may have others below them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from tracelock import ops
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
    owners,
    reads,
)
from tracelock.instrument.accesses.places import place_of
from tracelock.instrument.accesses.reach import (
    CODE,
    FLAT,
    MAPPING,
    below,
    keyed,
    kind_of,
    namespace_owner,
    others,
    point,
)
from tracelock.instrument.accesses.stand_ins import Walk
from tracelock.instrument.accesses.stepping import StepWalk, enter
from tracelock.instrument.contexts import Context
from tracelock.instrument.rewrite.sites import Site
from tracelock.instrument.steps import all_plain, is_plain

#: Operations that take one item after the other, and call code for each that has some.
_ONE_BY_ONE: Final = frozenset({EXTREME, SUM, TRUTH, HASH})
#: Operations to which it is all the same what gives the items.
_ITERATING: Final = _ONE_BY_ONE | {"__iter__", ORDER}


def looked(obj: Any, operation: str, site: Site, context: Context, code: bool = False) -> Any:
    """Before an operation looks at ``obj``. Returns what it is to get: where code of Python is
    called for each item (``code``: by the operation itself), what makes a point before each."""
    found = reads(type(obj), operation)
    if not found:
        return obj
    if found is STEPS:
        if operation in _ITERATING and _calls_between(obj, code):
            return StepWalk(obj, site)
        enter(obj, site, context)
        return obj
    if type(obj) is list and not code and all_plain(obj):
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
    deep = []
    for each in (left, right):
        if is_plain(each):
            continue
        found = reads(type(each), operation)
        if found is BELOW:
            deep.append(each)
        elif found:
            for owner in owners(each):
                context.access(ops.READ, owner, None, site)
    if deep:
        point(below(operation, *deep), operation, site, context)


def searched(item: Any, obj: Any, site: Site, context: Context) -> None:
    """Before ``item in obj``."""
    found = reads(type(obj), "__contains__")
    if found is BELOW:
        if type(obj) is list and is_plain(item) and all_plain(obj):
            context.access(ops.READ, obj, None, site)
        else:
            point(below("__contains__", obj, item), "in", site, context)
        return
    if not is_plain(item):
        keyed(obj, item, site, context)
    place, name = place_of(obj, item)
    if name is not None:
        context.access(ops.READ, place, name, site)
        return
    looked(obj, "__contains__", site, context)


def combined(obj: Any, operand: Any, operation: str, site: Site, context: Context) -> Any:
    """Before ``obj += operand`` and its like change a container; returns the operand."""
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
    found = below(GIVEN, *roots)
    if name in FILLING:
        filled = [each for each in roots if kind_of(type(each)) == FLAT]
        reading = [part[:2] for part in found.parts if part[0] not in filled]
        context.together(reading, [(each, None) for each in filled], site)
    elif found.parts or found.cut:
        point(found, name, site, context)


def calls_code(function: Any) -> bool:
    """Whether a function that code in C is given is one of Python."""
    return function is not None and kind_of(type(function)) == CODE
