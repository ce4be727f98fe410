"""The kinds of synchronisation objects that a scenario may declare."""

from __future__ import annotations

from typing import Final, NamedTuple


class ObjectKind(NamedTuple):
    """A kind of object: the verbs that apply to it, its options besides ``type`` and ``count``
    and those it cannot do without. ``feature``: a backend may refuse it.
    """

    verbs: tuple[str, ...]
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    feature: bool = False


_LOCK: Final = ("acquire", "release", "with")

#: All kinds; what is not listed here is no object of the language.
OBJECTS: Final[dict[str, ObjectKind]] = {
    "lock": ObjectKind(_LOCK),
    "rlock": ObjectKind(_LOCK, feature=True),
    "semaphore": ObjectKind(_LOCK, ("value",)),
    "bounded_semaphore": ObjectKind(_LOCK, ("value",)),
    "condition": ObjectKind((*_LOCK, "wait", "notify"), ("lock",)),
    "event": ObjectKind(("wait", "set", "clear")),
    "barrier": ObjectKind(("wait",), ("parties",), required=("parties",), feature=True),
    "queue": ObjectKind(("put", "get"), ("maxsize", "order")),
}
#: verb -> the kinds of objects that it applies to.
APPLIES_TO: Final[dict[str, tuple[str, ...]]] = {
    verb: tuple(name for name, kind in OBJECTS.items() if verb in kind.verbs)
    for verb in dict.fromkeys(verb for kind in OBJECTS.values() for verb in kind.verbs)
}
