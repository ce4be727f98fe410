"""Locks that exist when control begins get stand-ins, and other objects of ``threading``, ``queue``
and ``multiprocessing`` names: where modules, classes and the attributes of objects have them."""

from __future__ import annotations

import functools
import gc
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

from tracelock.instrument.accesses.places import namespace_of
from tracelock.instrument.contexts import class_names, identity
from tracelock.instrument.hub import Hub
from tracelock.instrument.live_objects import (
    NAMED,
    RAW,
    SHARED,
    UNTOUCHED,
    LiveObjects,
    foreign_classes,
    is_foreign,
    is_other,
)
from tracelock.instrument.patch_targets import EXEMPT, Changes, class_values
from tracelock.instrument.rewrite.sites import all_loaded, globals_of

#: How many things are looked at together, then how many of these.
_SIZES: Final = (64, 8, 1)
_T = TypeVar("_T")


def adopt(
    changes: Changes, hub: Hub, live: LiveObjects, modules: Sequence[str] | None = None
) -> None:
    """Put stand-ins in the places of locks that exist already: in modules (``modules``: in these
    alone), in classes, and in objects of classes that are not the standard library's. Other objects
    get names."""
    adoption = _Adoption(changes, hub)
    untouched = EXEMPT | UNTOUCHED | {"tracelock"}
    named = [
        (name, globals_of(module)) for name, module in all_loaded()
        if (modules is None or name in modules) and not untouched & {name, name.partition(".")[0]}
    ]  # fmt: skip
    if live.having is not None:
        adoption.look_at_those(named, live)
        return
    live.complete()
    for name, names in adoption.special(named, _of_modules):
        adoption.look(names, names, name)
    for cls in adoption.special(foreign_classes(live.classes), class_values):
        if type(cls.__dict__) is MappingProxyType:
            adoption.look(cls, cls.__dict__, f"{cls.__module__}.{cls.__qualname__}")
    for obj in adoption.special(live.others, _attributes):
        held = namespace_of(obj)
        if type(held) is dict:
            adoption.look(held, held, _label(obj, type(obj)))
    if live.partial:
        adoption.look_at_owners(adoption.special(live.dicts, _parts), live)


def _parts(dictionaries: list[Any]) -> list[Any]:
    return gc.get_referents(*dictionaries)


def _of_modules(named: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    return gc.get_referents(*(names for _, names in named))


def _attributes(objects: list[Any]) -> list[Any]:
    """What objects hold, directly or in a dictionary."""
    held = gc.get_referents(*objects)
    return held + gc.get_referents(*(one for one in held if type(one) is dict))


class _Adoption:
    """Puts what some attributes hold under control."""

    def __init__(self, changes: Changes, hub: Hub) -> None:
        self.changes = changes
        self.hub = hub
        #: The classes of which nothing is ever put under control, by identity, and those of them
        #: that are plain classes themselves: to ask for these runs no code of others.
        self._plain: set[int] = set()
        self._plain_classes: set[type] = set()

    def special(
        self, things: list[_T], parts: Callable[[list[_T]], list[Any]],
        sizes: Sequence[int] = _SIZES,
    ) -> Iterator[_T]:  # fmt: skip
        """Those things that have an attribute that is put under control."""
        many, *fewer = sizes
        for at in range(0, len(things), many):
            some = things[at : at + many]
            if not self._all_plain(parts(some)):
                yield from self.special(some, parts, fewer) if fewer else some

    def _all_plain(self, values: list[Any]) -> bool:
        classes = [*map(type, values)]
        try:
            others = [*itertools.filterfalse(self._plain_classes.__contains__, classes)]
        except TypeError:  # a metaclass whose classes cannot be hashed
            others = classes
        each = dict(zip(map(identity, others), others, strict=True))
        special = [cls for cls in each.values() if not self._is_plain(cls)]
        return not special

    def _is_plain(self, cls: type) -> bool:
        if identity(cls) in self._plain:
            return True
        special = issubclass(cls, NAMED) or str(cls.__module__).startswith(SHARED)
        if special or identity(cls) in RAW:
            return False
        self._plain.add(identity(cls))
        if type(cls) is type:
            self._plain_classes.add(cls)
        return True

    def look_at_those(self, named: list[tuple[str, dict[str, Any]]], live: LiveObjects) -> None:
        """Look at those that are known to have any, in the order in which all are looked at."""
        numbers = {*map(identity, live.special)}
        known: dict[str, set[str]] = {}
        for slot in live.having.slots:
            if slot.value in numbers:
                known.setdefault(slot.module, set()).add(slot.name)
        for name, names in named:
            if name in known:
                self.look(names, {one: names[one] for one in names if one in known[name]}, name)
        found: dict[int, tuple[Any, Any, dict[str, Any], str]] = {}
        for cls, name in live.having.classes:
            value = class_names(cls)[name]
            if is_foreign(cls.__module__) and identity(value) in numbers:
                label = f"{cls.__module__}.{cls.__qualname__}"
                found.setdefault(identity(cls), (cls, cls, {}, label))[2][name] = value
        owners = [(obj, namespace_of(obj)) for obj in live.having.objects if is_other(type(obj))]
        owners += [(obj, held) for obj, held in live.having.owned if namespace_of(obj) is held]
        for obj, held in owners:
            if type(held) is dict and is_other(type(obj)):
                some = {one: held[one] for one in held if identity(held[one]) in numbers}
                found[identity(obj)] = obj, held, some, _label(obj, type(obj))
        labels = [f"{label}.{one}" for _, _, some, label in found.values() for one in some]
        values = [identity(one) for _, _, some, _ in found.values() for one in some.values()]
        order = [obj for obj, *_ in found.values()]
        if len({*labels}) < len(labels) or len({*values}) < len(values):
            order = live.in_order(order)  # which one is the first tells what they are called
        for obj in order:
            _, owner, some, label = found[identity(obj)]
            self.look(owner, some, label)

    def look_at_owners(self, new: Iterable[dict[Any, Any]], live: LiveObjects) -> None:
        """Look at the objects that have these dictionaries, which are new, for their attributes:
        ``live.others`` has no old ones to which there are no weak references."""
        left = {identity(held): held for held in new if not self._all_plain([*held.values()])}
        if not left:
            return
        for _, module in all_loaded():
            left.pop(identity(globals_of(module)), None)
        for obj in live.new_instances:  # these are looked at anyway, or need not be
            parts = [*map(identity, gc.get_referents(obj))]
            if not left.keys().isdisjoint(parts):
                left.pop(identity(namespace_of(obj)), None)
        for obj in live.ask(*left.values()) if left else ():
            held = namespace_of(obj)
            if identity(held) in left and is_foreign(type(obj).__module__):
                self.look(held, held, _label(obj, type(obj)))

    def look(self, owner: Any, names: Any, label: str) -> None:
        """Look at all that ``owner`` has by these names."""
        for name, value in list(names.items()):
            cls = type(value)
            if self._is_plain(cls):
                continue
            if identity(cls) in RAW:
                self.changes.set(owner, name, self.hub.stand_in(value, f"{label}.{name}"))
            elif issubclass(cls, NAMED):
                self.hub.mark(value, f"{label}.{name}")
            else:
                from tracelock.instrument.processes.sync import adopt as adopt_shared

                undo = adopt_shared(value, self.hub, f"{label}.{name}")
                if undo is not None:
                    self.changes.then(undo)


def _label(obj: Any, cls: type) -> str:
    """What an object that exists already is called: the same in every process."""
    if cls is functools.cached_property:  # of which there are many
        return f"{obj.func.__module__}.{obj.func.__qualname__}"
    return cls.__qualname__
