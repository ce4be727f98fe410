"""Models of caches: the least recently used item goes, and items that are too old."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from tracelock.errors import UsageError
from tracelock.history.models.base import CallResult, raises, returns
from tracelock.history.models.keyed import MappingSpec
from tracelock.history.values import InAnyOrder, freeze


class LRUSpec(MappingSpec):
    """A mapping of at most ``maxsize`` items, of which the least recently used one goes: ``x[k]``,
    ``get``, ``x[k] = v``, ``del``, ``pop``, ``in`` (is no use), ``len``, ``clear``, ``keys``,
    iteration (in any order)."""

    def __init__(self, maxsize: int) -> None:
        if maxsize < 1:
            raise UsageError(f"an LRU cache holds at least one item, not {maxsize}")
        self.maxsize = maxsize

    def initial(self) -> Any:
        return ()  # of (key, value), the least recently used first

    def made(self, state: Any, found: dict[Any, Any]) -> Any:
        return tuple(found.items())

    def on___getitem__(self, state: Any, key: Any) -> Sequence[CallResult]:
        found = dict(state)
        if key not in found:
            return raises(KeyError, state)
        value = found.pop(key)
        return returns(value, (*found.items(), (key, value)))

    def on_get(self, state: Any, key: Any, default: Any = None) -> Sequence[CallResult]:
        if key not in dict(state):
            return returns(freeze(default), state)
        return self.on___getitem__(state, key)

    def on___setitem__(self, state: Any, key: Any, value: Any) -> Sequence[CallResult]:
        found = dict(state)
        found.pop(key, None)
        items = (*found.items(), (key, freeze(value)))
        return returns(None, items[max(0, len(items) - self.maxsize) :])

    def on_keys(self, state: Any) -> Sequence[CallResult]:
        return returns(InAnyOrder(key for key, _ in state), state)

    on___iter__ = on_keys


class TTLSpec(MappingSpec):
    """A mapping whose items are gone ``ttl`` seconds after they were set: ``x[k]``, ``get``,
    ``x[k] = v``, ``del``, ``pop``, ``in``, ``len``, ``clear``. Time is virtual: it passes only by
    calls of ``advance(seconds)``, which the test makes where it lets its clock go on."""

    aliases: ClassVar[Mapping[str, str]] = {
        **MappingSpec.aliases, "sleep": "advance", "tick": "advance",
    }  # fmt: skip

    def __init__(self, ttl: float) -> None:
        if ttl <= 0:
            raise UsageError(f"items live for more than no time, not {ttl}")
        self.ttl = ttl

    def initial(self) -> Any:
        return 0.0, frozenset()  # now, and (key, value, when it is gone)

    def found(self, state: Any) -> dict[Any, Any]:
        now, items = state
        return {key: (value, gone) for key, value, gone in items if now < gone}

    def made(self, state: Any, found: dict[Any, Any]) -> Any:
        return state[0], frozenset((key, value, gone) for key, (value, gone) in found.items())

    def value(self, held: Any) -> Any:
        return held[0]

    def on_advance(self, state: Any, seconds: float) -> Sequence[CallResult]:
        now = state[0] + seconds
        live = self.found((now, state[1]))
        return returns(None, self.made((now, None), live))

    def on___getitem__(self, state: Any, key: Any) -> Sequence[CallResult]:
        live = self.found(state)
        return returns(live[key][0], state) if key in live else raises(KeyError, state)

    def on_get(self, state: Any, key: Any, default: Any = None) -> Sequence[CallResult]:
        live = self.found(state)
        return returns(live[key][0] if key in live else freeze(default), state)

    def on___setitem__(self, state: Any, key: Any, value: Any) -> Sequence[CallResult]:
        live = self.found(state)
        live[key] = freeze(value), state[0] + self.ttl
        return returns(None, self.made(state, live))
