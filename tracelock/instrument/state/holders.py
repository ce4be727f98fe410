"""Things that hold state, each as it was: seen to have changed, and put back.

What holds what is compared by identity, with the methods of the base types alone: nothing here
calls the program's own code (``__eq__``, ``__hash__``, ``items``, ``__setattr__``).
"""

from __future__ import annotations

import contextlib
import itertools
from collections import OrderedDict, deque
from collections.abc import Iterable
from operator import is_
from types import CellType, ModuleType
from typing import Any, Final

from tracelock.instrument.contexts import class_names
from tracelock.instrument.state.versions import COUNTED, version_of
from tracelock.instrument.steps import PLAIN

#: Names that the interpreter and the tools set as they need them: no state of the program.
INTERNAL: Final = frozenset({
    "__warningregistry__", "__annotations__", "__annotations_cache__", "__annotate__",
    "__builtins__", "__abstractmethods__", "_abc_impl", "__dict__", "__weakref__", "__doc__",
})  # fmt: skip
_OURS: Final = "_tracelock_"
MISSING: Final = object()


def _same(now: Iterable[Any], then: Iterable[Any]) -> bool:
    return all(map(is_, now, then))


def _counts(name: object) -> bool:
    return not (name in INTERNAL or name.startswith(_OURS)) if type(name) is str else True


class Holder:
    """One thing that holds state. ``label``: how it is called; ``size``: how many parts it has;
    ``place``: its number among those of a snapshot."""

    size = 1
    place = -1
    #: Whether it can be made what it was; else it is only seen to have changed.
    whole = True
    #: Whether the changes of the first schedules may be what is set up at first use.
    settles = False
    #: The object itself, of what cannot always be put back.
    thing: Any = None

    def __init__(self, label: str) -> None:
        self.label = label

    def changed(self) -> bool:
        """Whether it is not what it was."""
        raise NotImplementedError

    def put_back(self) -> None:
        """Make it what it was."""
        raise NotImplementedError

    def accept(self) -> None:
        """What it is now is what it is to be made again."""
        raise NotImplementedError

    def exchange(self, old: object, new: object) -> None:
        """Hold ``new`` where ``old`` was held."""

    def was_held(self) -> Iterable[Any]:
        """What it held."""
        return ()

    def is_held(self) -> Iterable[Any]:
        """What it holds."""
        return ()

    def lost(self) -> bool:
        """Whether it has let go of an object, which lives on for being put back."""
        kept = {id(one) for one in self.is_held()}
        return any(
            id(one) not in kept and not any(type(one) is each for each in PLAIN)
            for one in self.was_held()
        )


class NamesHeld(Holder):
    """The names of a module, or the attributes of an object: changed name by name, since other
    threads may be looking at it."""

    def __init__(self, names: dict[Any, Any], label: str) -> None:
        super().__init__(label)
        self.names = names
        self.then = dict.copy(names)
        self.size = len(names)
        self._noted: list[str] | None = None
        #: What there was when it was seen that this makes no difference: names that are not state.
        self._equal: dict[Any, Any] | None = None

    def _seen(self) -> None:
        self._equal = dict.copy(self.names)

    def accept(self) -> None:
        self.then = dict.copy(self.names)
        self._equal = None

    def was_held(self) -> Iterable[Any]:
        return self.then.values()

    def is_held(self) -> Iterable[Any]:
        return list(dict.values(self.names))

    def note(self) -> None:
        """From here on others change it: only the names that differ now are put back."""
        self._noted = self._differences()

    def accept_others(self) -> None:
        """All but the names that are to be put back: what they are now is what they are to be."""
        for name in self._differences():
            if name not in (self._noted or ()):
                if name in self.names:
                    self.then[name] = self.names[name]
                else:
                    del self.then[name]

    def _to_put_back(self) -> list[str]:
        noted, self._noted = self._noted, None
        return self._differences() if noted is None else noted

    def _differences(self) -> list[str]:
        now, then = dict.copy(self.names), self.then
        found = [
            name for name, value in dict.items(now)
            if then.get(name, MISSING) is not value and _counts(name)
        ]  # fmt: skip
        return found + [name for name in then if name not in now and _counts(name)]

    def changed(self) -> bool:
        now = dict.copy(self.names)
        equal = self.then if self._equal is None else self._equal
        if len(now) == len(equal) and _same(now, equal) and _same(now.values(), equal.values()):
            return False
        different = [name for name in self._differences() if not self._imported(name)]
        if not different:
            self._seen()
        return bool(different)

    def _imported(self, name: str) -> bool:
        """A module that an import has put there stays: it would not do so again."""
        value = self.names.get(name, MISSING)
        if type(value) is ModuleType and name not in self.then:
            self.then[name] = value
            return True
        return False

    def put_back(self) -> None:
        for name in self._to_put_back():
            value = self.then.get(name, MISSING)
            if value is MISSING:
                self.names.pop(name, None)
            else:
                self.names[name] = value
        self.accept()

    def exchange(self, old: object, new: object) -> None:
        for name, value in list(self.then.items()):
            if value is old:
                self.then[name] = self.names[name] = new
        self._seen()


class ModuleNames(NamesHeld):
    """The names of a module. ``version``: what is another number when they have changed, in an
    interpreter that has it."""

    def __init__(self, names: dict[Any, Any], label: str) -> None:
        super().__init__(names, label)
        self.version = version_of(names) if COUNTED else None


class ClassNames(NamesHeld):
    """The attributes of a class, set as ``type`` sets them."""

    def __init__(self, cls: type, label: str) -> None:
        self.cls = cls
        super().__init__(dict(class_names(cls)), label)

    def changed(self) -> bool:
        self.names = dict(class_names(self.cls))
        return super().changed()

    def put_back(self) -> None:
        self.names = dict(class_names(self.cls))
        for name in self._to_put_back():
            value = self.then.get(name, MISSING)
            with contextlib.suppress(AttributeError, TypeError):
                if value is MISSING:
                    type.__delattr__(self.cls, name)
                else:
                    type.__setattr__(self.cls, name, value)
        self.accept()

    def accept(self) -> None:
        self.names = dict(class_names(self.cls))
        super().accept()

    def note(self) -> None:
        self.names = dict(class_names(self.cls))
        super().note()

    def accept_others(self) -> None:
        self.names = dict(class_names(self.cls))
        super().accept_others()

    def exchange(self, old: object, new: object) -> None:
        for name, value in list(self.then.items()):
            if value is old:
                self.then[name] = new
                type.__setattr__(self.cls, name, new)
        self.names = dict(class_names(self.cls))
        self._seen()


class Slots(Holder):
    """The attributes of an object that are kept in slots."""

    def __init__(self, obj: object, members: list[Any], label: str) -> None:
        super().__init__(label)
        self.obj = obj
        self.members = members
        self.then = self.now()

    def now(self) -> list[Any]:
        return [_slot(self.obj, member) for member in self.members]

    def changed(self) -> bool:
        return not _same(self.now(), self.then)

    def accept(self) -> None:
        self.then = self.now()

    def was_held(self) -> Iterable[Any]:
        return self.then

    def is_held(self) -> Iterable[Any]:
        return self.now()

    def put_back(self) -> None:
        for member, now, value in zip(self.members, self.now(), self.then, strict=True):
            if now is value:
                continue
            try:
                if value is MISSING:
                    member.__delete__(self.obj)
                else:
                    member.__set__(self.obj, value)
            except (AttributeError, TypeError):
                self.whole = False  # a type written in C lets nobody set it


def _slot(obj: object, member: Any) -> Any:
    try:
        return member.__get__(obj)
    except AttributeError:
        return MISSING


class CellHeld(Holder):
    """A variable of a closure."""

    def __init__(self, cell: CellType, label: str) -> None:
        super().__init__(label)
        self.cell = cell
        self.then = self._now()

    def _now(self) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return MISSING

    def changed(self) -> bool:
        return self._now() is not self.then

    def accept(self) -> None:
        self.then = self._now()

    def was_held(self) -> Iterable[Any]:
        return (self.then,)

    def is_held(self) -> Iterable[Any]:
        return (self._now(),)

    def put_back(self) -> None:
        if self.then is MISSING:
            del self.cell.cell_contents
        else:
            self.cell.cell_contents = self.then

    def exchange(self, old: object, new: object) -> None:
        if self.then is old:
            self.then = self.cell.cell_contents = new


class Contents(Holder):
    """What a container holds. ``base``: the built-in type whose methods are used."""

    def __init__(self, box: Any, base: type, label: str) -> None:
        super().__init__(label)
        self.box = box
        self.base: Any = base
        self.then = self._now()
        self.size = len(self.then)

    def _now(self) -> Any:
        base, box = self.base, self.box
        if issubclass(base, dict):
            return dict(base.items(box))
        return list(base.__iter__(box)) if base is not bytearray else bytes(box)

    def changed(self) -> bool:
        now, then = self._now(), self.then
        if len(now) != len(then):
            return True
        if self.base is bytearray:
            return bool(now != then)
        if self.base is set:
            return {*map(id, now)} != {*map(id, then)}
        if not _same(now, then):
            return True
        return isinstance(then, dict) and not _same(now.values(), then.values())

    def accept(self) -> None:
        self.then = self._now()

    def was_held(self) -> Iterable[Any]:
        return self.then.values() if isinstance(self.then, dict) else self.then

    def is_held(self) -> Iterable[Any]:
        now = self._now()
        return now.values() if isinstance(now, dict) else now

    def put_back(self) -> None:
        base, box, then = self.base, self.box, self.then
        if issubclass(base, dict):
            base.clear(box)
            for key, value in then.items():
                base.__setitem__(box, key, value)
        elif base is set:
            set.clear(box)
            set.update(box, then)
        elif base is deque:
            deque.clear(box)
            deque.extend(box, then)
        else:
            base.__setitem__(box, slice(None), then)

    def added(self) -> Any:
        """What has been added since; None where something else happened to it too."""
        now, then = self._now(), self.then
        if self.base is list and len(now) > len(then) and _same(now, then):
            return now[len(then) :]
        if self.base is dict and len(now) > len(then):
            if _same(now, then) and _same(now.values(), then.values()):
                return dict(itertools.islice(now.items(), len(then), None))
        elif self.base is set and len(now) > len(then):
            known = {*map(id, then)}
            if known <= {*map(id, now)}:
                return [one for one in now if id(one) not in known]
        return None

    def give(self, parts: list[Any]) -> None:
        """Put in what earlier schedules had added, before what the last one has."""
        box, last = self.box, self.added()
        if self.base is list:
            if last is None and not self.changed():
                last = []
            if last is not None:
                list.__setitem__(box, slice(None), [*self.then, *itertools.chain(*parts), *last])
            return
        for part in parts:
            if self.base is set:
                set.update(box, part)
            else:
                dict.update(box, {**part, **box})

    def exchange(self, old: object, new: object) -> None:
        items = self.then.items() if isinstance(self.then, dict) else enumerate(self.then)
        if self.base in (bytearray, set, deque):
            return
        for key, value in list(items):
            if value is old:
                self.then[key] = new
                self.base.__setitem__(self.box, key, new)


#: The built-in containers, by what is the base of their subclasses too.
BOXES: Final[tuple[type, ...]] = (OrderedDict, dict, list, set, deque, bytearray)
