"""What the standard library makes callable: ``partial``, ``attrgetter`` and its kin."""

from __future__ import annotations

import functools
import operator
from _thread import get_ident
from typing import Any

from tracelock import ops
from tracelock.instrument.accesses import functions
from tracelock.instrument.accesses.calls import PLANS, behalf, called
from tracelock.instrument.accesses.plans import plan_read
from tracelock.instrument.contexts import contexts, identity
from tracelock.instrument.rewrite.sites import Site


def _partial(function: Any, site: Site) -> Any:
    context = contexts.get(get_ident())
    if context is not None and function.keywords:
        context.access(ops.READ, function.keywords, None, site)
    inner = called(function.func, site)
    if inner is function.func:
        return function
    return functools.partial(inner, *function.args, **function.keywords)


def _attributes(function: Any, site: Site) -> Any:
    return functools.partial(_get_attributes, function, site)


def _get_attributes(function: Any, site: Site, /, *args: Any) -> Any:
    context = contexts.get(get_ident())
    if context is None or len(args) != 1:
        return function(*args)
    found = []
    for path in function.__reduce__()[1]:
        obj = args[0]
        for name in path.split("."):
            plan = plan_read(type(obj), name)
            obj = getattr(obj if plan is None else plan(obj, name, site, context), name)
        found.append(obj)
    return found[0] if len(found) == 1 else tuple(found)


def _items(function: Any, site: Site) -> Any:
    return functools.partial(_get_items, function, site)


def _get_items(function: Any, site: Site, /, *args: Any) -> Any:
    if len(args) != 1:
        return function(*args)
    get = functions.controlled(operator.getitem, site)
    found = [get(args[0], key) for key in function.__reduce__()[1]]
    return found[0] if len(found) == 1 else tuple(found)


def _call_method(function: Any, site: Site) -> Any:
    return functools.partial(_called_method, function, site)


def _called_method(function: Any, site: Site, /, *args: Any) -> Any:
    context = contexts.get(get_ident())
    if context is None or len(args) != 1:
        return function(*args)
    made, rest = function.__reduce__()
    keywords = {}
    if type(made) is functools.partial:  # with keywords
        rest, keywords = (*made.args, *rest), made.keywords
    name, *rest = rest
    obj = args[0]
    plan = plan_read(type(obj), name)
    method = getattr(obj if plan is None else plan(obj, name, site, context), name)
    return called(method, site)(*rest, **keywords)


def register() -> None:
    """Calls of these are known from now on."""
    plans = {
        functools.partial: _partial,
        operator.attrgetter: _attributes,
        operator.itemgetter: _items,
        operator.methodcaller: _call_method,
    }
    PLANS.update(plans)
    functions.appliers.update((identity(type_), plan) for type_, plan in plans.items())
    behalf(globals())
