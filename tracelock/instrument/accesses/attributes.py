"""All attributes of an object, read or changed at once by way of its namespace.

``vars(obj).items()`` reads every attribute, and which there are: that is a variable of its own,
which is written where an attribute is added or deleted. Most programs have nobody who asks for it,
and pay nothing.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable, Iterator
from types import CodeType
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.accesses import places
from tracelock.instrument.accesses.by_type import by_type, entry
from tracelock.instrument.accesses.containers import is_opaque
from tracelock.instrument.accesses.elsewhere import codes_of
from tracelock.instrument.accesses.walking import OTHER, shape_of
from tracelock.instrument.contexts import class_line, class_names, identity
from tracelock.ops import WRITE

if TYPE_CHECKING:
    from tracelock.instrument.naming import ObjectNames, Variable
    from tracelock.instrument.worker import Worker

#: The part of an object that is which attributes it has.
WHOLE: Final = "__dict__"
ENDING: Final = f".{WHOLE}"
#: What has names in it, or pairs of names and values.
_NONE: Final[dict[str, object]] = {}
_ROWS: Final = (list, tuple, type(_NONE.items()))
_replacing: Final = by_type()
#: What ``is_alone`` says of classes; read it directly.
alone: Final = by_type()
_weak_references: Final[Any] = vars(type)["__weakrefoffset__"].__get__


def spread(
    names: ObjectNames, parts: Iterable[tuple[object, str | None]], worker: Worker
) -> Iterable[tuple[object, str | None]]:
    """``parts``, with all attributes of an object in place of what its namespace contains."""
    if not places.namespaces:
        return parts
    found: list[tuple[object, str | None]] = []
    for obj, name in parts:
        is_whole = name is None and issubclass(type(obj), dict)
        owner = places.owner_of(obj) if is_whole else None  # type: ignore[arg-type]
        found += [(obj, name)] if owner is None else all_of(names, owner, worker)
    return found


def all_of(names: ObjectNames, obj: object, worker: Worker) -> list[tuple[object, str | None]]:
    """All attributes of ``obj``, which are read at once: those it has, and which these are."""
    names.whole = True
    which = names.variable(obj, WHOLE, worker)
    if not which.shared:  # others may have added some before anyone could know of this
        others = ~(1 << worker.number)
        known = names.identify(obj, worker).parts
        if any(
            one.shared or (one.stamp == names.schedule and one.writers & others)
            for one in known.values()
        ):
            names.used(which, worker.number + 1, WRITE)
    held = places.attributes_of(obj) or ()
    return [(obj, name) for name in [*held, WHOLE] if type(name) is str]


def added(
    names: ObjectNames, obj: object, name: str, value: object, worker: Worker
) -> Variable | None:
    """An attribute is written, or deleted (``value`` None): if that changes which there are,
    and others read them all at once, the variable that this writes, too."""
    known = names.identify(obj, worker)
    which = names.variables.get(known.label + ENDING)
    if which is None or name == WHOLE:
        return None
    if value is not None and name in (places.attributes_of(obj) or ()):
        return None
    names.guarded(which, worker)
    if which.shared:
        return which
    names.used(which, worker.number, WRITE)
    return None


def share(names: ObjectNames, obj: object, namespace: Any, worker: Worker | None) -> None:
    """``namespace`` is the ``__dict__`` of ``obj``, and may be that of others or a dictionary with
    a name of its own (``self.__dict__ = self``): its items and their attributes are the same."""
    if not issubclass(type(namespace), dict):
        return
    first = places.owner_of(namespace)
    places.learn_shared(namespace)
    if namespace is obj:
        return
    if first is None or first is namespace:
        first = namespace if names.knows(namespace) else obj
    known = names.identify(first, worker)
    if first is not namespace:
        names.identify(namespace, worker, known.label).parts = known.parts
    if first is not obj:
        names.same(obj, known)


def replaces(type_: type) -> bool:
    """Whether a method of a class assigns ``__dict__``: who has one may share it with others."""
    try:
        found: bool = _replacing[identity(type_)][WHOLE]
    except KeyError:
        found = entry(_replacing, type_)[WHOLE] = any(
            _assigns_it(code)
            for cls in class_line(type_)
            for value in list(class_names(cls).values())
            for code in codes_of(value)
        )
    return found


def is_alone(type_: type) -> bool:
    """Whether an object of a class is named for itself, and by a weak reference: it is no class,
    module or container, no view of another object, and shares its attributes with none."""
    found = bool(
        shape_of(type_)[0] == OTHER and _weak_references(type_)
        and not issubclass(type_, (memoryview, places.Closure))
        and not is_opaque(type_) and not replaces(type_)
    )  # fmt: skip
    entry(alone, type_)[""] = found
    return found


def _assigns_it(code: CodeType) -> bool:
    return WHOLE in code.co_names and any(
        one.opname == "STORE_ATTR" and one.argval == WHOLE for one in dis.get_instructions(code)
    )


def names_in(value: object, deep: int = 3) -> Iterator[str]:
    """What a namespace may be given: the texts in what it is changed with, keys and pairs."""
    if type(value) is str:
        yield value
    elif deep and (type(value) in _ROWS or issubclass(type(value), dict)):
        for each in dict.keys(value) if issubclass(type(value), dict) else value:  # type: ignore[arg-type, attr-defined]
            yield from names_in(each, deep - 1)
