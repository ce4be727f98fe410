"""Objects that are kept in mind between explorations, weakly: the program alone says how long they
live."""

from __future__ import annotations

import gc
import itertools
from _weakref import ref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from operator import attrgetter
from types import FunctionType, GetSetDescriptorType
from typing import Any, Final

from tracelock.instrument.accesses.places import namespace_of
from tracelock.instrument.contexts import class_line, class_names, identity
from tracelock.instrument.live_objects import LiveObjects, foreign_classes, functions_with, weak
from tracelock.instrument.rewrite.sites import globals_of, loaded

_GLOBALS: Final = attrgetter("__globals__")
#: Where a class of an enumeration has its objects.
_MEMBERS: Final = ("_member_map_", "_value2member_map_")
#: Modules that have the objects of a class of another one in their ``_cache``.
_ELSEWHERE: Final = {"codecs": "encodings"}
_dictionary_at: Final[Any] = vars(type)["__dictoffset__"].__get__
_Known = Callable[[], Any]


class LastingObjects:
    """Classes, objects of classes that are written in Python, caches, thread-local objects, locks
    and the like, and functions of the modules that were asked for.

    ``complete``: whether all that there are can be kept in mind. ``referrers``: who refers to some
    objects.
    """

    def __init__(self, referrers: Callable[..., list[Any]]) -> None:
        self._referrers = referrers
        self.forget()

    def forget(self) -> None:
        """Begin anew: everything will be taken in again."""
        self._classes: list[_Known] = []
        self._instances: list[_Known] = []
        self._caches: list[_Known] = []
        self._locals: list[_Known] = []
        self._special: list[_Known] = []
        self._young = 0, 0  # classes and objects that are new since the last look
        #: By the identity of their globals.
        self._functions: dict[int, list[_Known]] = {}
        #: Objects of the classes that were asked for, by the identity of these.
        self._of_classes: dict[int, tuple[ref[type], list[_Known]]] = {}
        #: Classes of objects to which there can be no weak references, with the identities of
        #: those that have attributes of their own.
        self._rigid: dict[int, tuple[ref[type], set[int]]] = {}
        self.complete = True

    def take(self, live: LiveObjects) -> None:
        """These have come into being."""
        # the youngest come first, as they do where all are listed
        self._classes[:0] = map(ref, live.classes)
        self._caches[:0] = map(ref, live.caches)
        self._locals[:0] = map(ref, live.locals)
        self._special[:0] = [each for each in map(weak, live.special) if each is not None]
        instances: list[_Known] = []
        for obj in itertools.chain(live.others, live.standard):
            try:
                instances.append(ref(obj))
            except TypeError:
                self._take_rigid(obj)
        self._instances[:0] = instances
        for reference, known in self._of_classes.values():
            if (cls := reference()) is not None:
                for each in (live.others, live.standard):
                    known += map(ref, of_class(each, cls))
        classes, objects = self._young
        self._young = classes + len(live.classes), objects + len(instances)
        if self._functions:
            self._take_functions(live.functions)

    def _drop_young(self) -> None:
        """Of what has come into being since the last look but one, those that are gone: what was
        there for one exploration alone. Of what is older the next ``give_all`` tells."""
        for known, young in zip((self._classes, self._instances), self._young, strict=True):
            known[:young] = [each for each in known[:young] if each() is not None]
        self._young = 0, 0

    def _take_rigid(self, obj: Any) -> None:
        """An object to which there can be no weak reference: a number, text or tuple with a class,
        a member of an enumeration. Where it has no dictionary of attributes so far, that will be
        new if it is given one."""
        cls = type(obj)
        if not _dictionary_at(cls):
            return
        parts = gc.get_referents(obj)
        if not any(type(part) is dict for part in parts):
            return
        names = namespace_of(obj)
        if not any(part is names for part in parts):
            return
        if not any(part is cls for part in parts):
            self.complete = False  # it could not be found through its class
        known = self._rigid.get(identity(cls))
        if known is None or known[0]() is not cls:
            known = self._rigid[identity(cls)] = ref(cls), set()
        known[1].add(identity(obj))

    def _take_functions(self, functions: Iterable[FunctionType]) -> None:
        each = list(functions)
        numbers = [*map(identity, map(_GLOBALS, each))]
        wanted = [*map(self._functions.__contains__, numbers)]
        for number, function in zip(compress(numbers, wanted), compress(each, wanted), strict=True):
            self._functions[number].append(ref(function))

    def give(self, live: LiveObjects) -> None:
        """Put those that there were before into ``live``, which is new, and take that in: caches,
        thread-local objects, locks and the like."""
        self._drop_young()
        caches, locals_, special = map(_alive, (self._caches, self._locals, self._special))
        self.take(live)
        live.caches += caches
        live.locals += locals_
        live.special += special

    def give_all(self, live: LiveObjects) -> None:
        """The same of classes and of objects of classes that are written in Python."""
        live.classes += foreign_classes(_alive(self._classes))
        live.take_instances(_alive(self._instances) + self._rigid_ones())

    def in_order(self, objects: Iterable[Any]) -> list[Any]:
        """These classes or objects in the order in which they would be given."""
        left = {identity(obj): obj for obj in objects}
        known = _alive(self._classes) + _alive(self._instances)
        first = compress(known, map(left.__contains__, map(identity, known)))
        found = {identity(obj): obj for obj in first}
        return [*found.values(), *(obj for number, obj in left.items() if number not in found)]

    def _rigid_ones(self) -> list[Any]:
        """Those to which there are no weak references. They are looked for where such objects
        mostly are; for those that are not there all objects are asked."""
        pending: list[Any] = []
        names_of: dict[int, Callable[[Any], Any]] = {}
        for number, (reference, _) in list(self._rigid.items()):
            cls = reference()
            if cls is None:
                del self._rigid[number]
            else:
                names_of[number] = _getter_of_names(cls)
                pending += _homes(cls)
        found: dict[int, Any] = {}
        while pending:
            kinds = [*map(identity, map(type, pending))]
            rigid = [*map(names_of.__contains__, kinds)]
            further: list[dict[str, Any]] = []
            for kind, obj in zip(compress(kinds, rigid), compress(pending, rigid), strict=True):
                if identity(obj) not in found:
                    found[identity(obj)] = obj
                    further.append(names_of[kind](obj))
            pending = gc.get_referents(*(names for names in further if type(names) is dict))
        asked = [
            cls for reference, numbers in self._rigid.values()
            if not numbers <= found.keys() and (cls := reference()) is not None
        ]  # fmt: skip
        if asked:
            for cls in asked:
                self._rigid[identity(cls)][1].clear()
            wanted = {*map(identity, asked)}
            for obj in self._referrers(*asked):
                if identity(type(obj)) in wanted:
                    found[identity(obj)] = obj
                    self._rigid[identity(type(obj))][1].add(identity(obj))
        return [*found.values()]

    def instances_of(self, cls: type) -> list[Any]:
        """Those that are exactly of this class, to which there can be weak references."""
        reference, known = self._of_classes.get(identity(cls), (None, []))
        if reference is None or reference() is not cls:
            known = [*map(ref, of_class(_alive(self._instances), cls))]
            self._of_classes[identity(cls)] = ref(cls), known
        return _alive(known)

    def functions_of(
        self, names: Sequence[dict[str, Any]], every: Sequence[FunctionType] | None
    ) -> list[FunctionType]:
        """The functions that have these globals. ``every``: all functions that there are, where
        these were listed."""
        new = [each for each in names if identity(each) not in self._functions]
        if new:
            wanted = {*map(identity, new)}
            self._functions.update((number, []) for number in wanted)
            if every is None:
                every = [one for one in self._referrers(*new) if type(one) is FunctionType]
            self._take_functions(functions_with(every, wanted))
        known = [self._functions[identity(each)] for each in names]
        return [function for each in known for function in _alive(each)]


def of_class(objects: Sequence[Any], cls: type) -> Iterator[Any]:
    """Those of them that are exactly of this class."""
    return compress(objects, map(identity(cls).__eq__, map(identity, map(type, objects))))


def _alive(known: list[_Known]) -> list[Any]:
    """Those that are alive; the others are dropped."""
    found = [obj for reference in known if (obj := reference()) is not None]
    if len(found) < len(known):
        known[:] = [reference for reference in known if reference() is not None]
    return found


def _getter_of_names(cls: type) -> Callable[[Any], Any]:
    """What gives the attributes of objects of this class, see ``namespace_of``."""
    for one in class_line(cls):
        found = class_names(one).get("__dict__")
        if type(found) is GetSetDescriptorType:
            get: Callable[[Any], Any] = found.__get__
            return get
    return namespace_of


def _homes(cls: type) -> list[Any]:
    """Where objects of this class mostly are: among the members of an enumeration, those too that
    came up as combinations of others, or else in the module of the class."""
    maps: list[Any] = [class_names(cls).get(name) for name in _MEMBERS]
    if maps[0] is None:
        module = cls.__module__
        home = loaded(_ELSEWHERE.get(module, module)) if type(module) is str else None
        maps = [None if home is None else globals_of(home)]
        if home is not None and module in _ELSEWHERE:
            maps.append(maps[0].get("_cache"))
    return [each for one in maps if type(one) is dict for each in one.values()]
