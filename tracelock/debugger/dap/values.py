"""Values as an editor shows them: a text, a type, and what is in them, each part when it is asked
for. All of it is bounded, since it runs code of the program's (``__repr__``)."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from tracelock.debugger.evaluating import bounded

#: Characters of one value, and parts of one that are listed.
LONGEST: Final = 2_000
MOST_PARTS: Final = 1_000
#: Seconds that the parts of one value may take.
SECONDS: Final = 2.0

_shortened: Final = reprlib.Repr()
_shortened.maxother = _shortened.maxstring = _shortened.maxlong = LONGEST
_shortened.maxlist = _shortened.maxtuple = _shortened.maxset = _shortened.maxfrozenset = 50
_shortened.maxdict = _shortened.maxdeque = _shortened.maxarray = 50
_SEQUENCES: Final = (list, tuple, set, frozenset)


class ShownValues:
    """The values that an editor has seen since the replay stands where it does, by number."""

    def __init__(self) -> None:
        self._known: list[Any] = []

    def clear(self) -> None:
        """The replay goes on: the numbers mean nothing any more."""
        self._known.clear()

    def keep(self, value: Any) -> int:
        """The number of a value with parts."""
        self._known.append(value)
        return len(self._known)

    def parts(self, number: int, start: int = 0, count: int = 0) -> list[dict[str, Any]]:
        """The parts of a value as the protocol describes them; none of a number not known."""
        if not 1 <= number <= len(self._known):
            return []
        value = self._known[number - 1]
        stop = start + min(count or MOST_PARTS, MOST_PARTS)
        with bounded(SECONDS):
            return [
                {"name": name, **self.shown(part)}
                for name, part in islice(_parts(value), start, stop)
            ]

    def shown(self, value: Any) -> dict[str, Any]:
        """A value as the protocol describes it."""
        return {
            "value": text_of(value), "type": type(value).__name__,
            "variablesReference": self.keep(value) if _has_parts(value) else 0,
        }  # fmt: skip


def text_of(value: Any) -> str:
    """A value as text, whatever its own code makes of that."""
    try:
        text = _shortened.repr(value)
    except Exception as error:
        text = f"<{type(value).__name__}, whose repr raises {type(error).__name__}>"
    return text if len(text) <= LONGEST else text[:LONGEST] + "..."


def _has_parts(value: Any) -> bool:
    if isinstance(value, (Mapping, *_SEQUENCES)):
        return True
    return not isinstance(value, type) and bool(getattr(value, "__dict__", None))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key in list(value):
            yield (key if isinstance(key, str) else text_of(key)), value[key]
    elif isinstance(value, _SEQUENCES):
        for number, part in enumerate(list(value)):
            yield f"[{number}]", part
    names = getattr(value, "__dict__", None)
    if isinstance(names, dict):
        yield from list(names.items())
