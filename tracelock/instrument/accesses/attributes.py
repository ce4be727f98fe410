"""All attributes of an object, read or changed at once by way of its namespace.

``vars(obj).items()`` reads every attribute, and which there are: that is a variable of its own,
which is written where an attribute is added or deleted. Most programs have nobody who asks for it,
and pay nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from tracelock.instrument.accesses import places
from tracelock.ops import WRITE

if TYPE_CHECKING:
    from tracelock.instrument.naming import ObjectNames, Variable
    from tracelock.instrument.worker import Worker

#: The part of an object that is which attributes it has.
WHOLE: Final = "__dict__"
ENDING: Final = f".{WHOLE}"


def spread(
    names: ObjectNames, parts: Iterable[tuple[object, str | None]], worker: Worker
) -> Iterable[tuple[object, str | None]]:
    """``parts``, with all attributes of an object in place of what its namespace contains."""
    if not places.namespaces:
        return parts
    found: list[tuple[object, str | None]] = []
    for obj, name in parts:
        owner = places.owner_of(obj) if name is None and type(obj) is dict else None
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
    held = places.namespace_of(obj) or ()
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
    if value is not None and name in (places.namespace_of(obj) or ()):
        return None
    names.guarded(which, worker)
    if which.shared:
        return which
    names.used(which, worker.number, WRITE)
    return None
