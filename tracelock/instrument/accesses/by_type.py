"""Tables of what was decided about types, which neither keep a type alive nor ask its hash.

A class that a worker creates must be freed when it would be without control, and a metaclass may
define ``__eq__`` and ``__hash__`` as it likes. So types are known by ``id``, and a weak reference
drops the entry before the number can be used again.
"""

from __future__ import annotations

from _weakref import ref
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.contexts import identity

Table = dict[int, dict[str, Any]]

_tables: Final[list[Table]] = []
_watched: Final[dict[int, ref[type]]] = {}


def by_type() -> Table:
    """A new table: ``id`` of a type -> name -> what was decided; read it directly."""
    table: Table = {}
    _tables.append(table)
    return table


def entry(table: Table, type_: type) -> dict[str, Any]:
    """What ``table`` holds for ``type_``, to be filled."""
    number = identity(type_)
    if number not in _watched:
        _watched[number] = ref(type_, _dropping(number))
    return table.setdefault(number, {})


def _dropping(number: int) -> Callable[[ref[type]], None]:
    def drop(_: ref[type]) -> None:
        _watched.pop(number, None)
        for table in _tables:
            table.pop(number, None)

    return drop


def forget() -> None:
    """Empty all tables: a class was changed, or the watching ended."""
    for table in _tables:
        table.clear()
    _watched.clear()
