"""Models of a register, a counter, a dictionary and a set."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from tracelock.errors import UsageError
from tracelock.history.models.base import CallResult, Sequential, raises, returns
from tracelock.history.operations import Operation
from tracelock.history.values import InAnyOrder, freeze

_RETURNED: Final = ("none", "old", "new")
_MISSING: Final = object()


class RegisterSpec(Sequential):
    """One value: ``read()``, ``write(value)``, ``exchange(value)`` (returns the old one),
    ``compare_exchange(expected, value)`` (returns whether it was written)."""

    aliases: ClassVar[Mapping[str, str]] = {
        "get": "read", "load": "read", "set": "write", "store": "write", "swap": "exchange",
        "compare_and_set": "compare_exchange", "cas": "compare_exchange",
    }  # fmt: skip

    def __init__(self, value: Any = None) -> None:
        self.value = freeze(value)

    def initial(self) -> Any:
        return self.value

    def on_read(self, state: Any) -> Sequence[CallResult]:
        return returns(state, state)

    def on_write(self, state: Any, value: Any) -> Sequence[CallResult]:
        return returns(None, freeze(value))

    def on_exchange(self, state: Any, value: Any) -> Sequence[CallResult]:
        return returns(state, freeze(value))

    def on_compare_exchange(self, state: Any, expected: Any, value: Any) -> Sequence[CallResult]:
        if state == freeze(expected):
            return returns(True, freeze(value))
        return returns(False, state)


class CounterSpec(Sequential):
    """A number: ``increment(n=1)``, ``decrement(n=1)``, ``fetch_add(n=1)`` (returns the old one),
    ``value()``, ``reset()``. ``gives``: what increment and decrement return, ``none``, the ``old``
    or the ``new`` number."""

    aliases: ClassVar[Mapping[str, str]] = {
        "inc": "increment", "incr": "increment", "add": "increment", "dec": "decrement",
        "decr": "decrement", "get": "value", "read": "value",
    }  # fmt: skip

    def __init__(self, value: float = 0, gives: str = "none") -> None:
        if gives not in _RETURNED:
            raise UsageError(f"gives is one of {', '.join(_RETURNED)}, not {gives!r}")
        self.start, self.gives = value, gives

    def initial(self) -> float:
        return self.start

    def _changed(self, state: float, after: float) -> Sequence[CallResult]:
        return returns({"none": None, "old": state, "new": after}[self.gives], after)

    def on_increment(self, state: float, amount: float = 1) -> Sequence[CallResult]:
        return self._changed(state, state + amount)

    def on_decrement(self, state: float, amount: float = 1) -> Sequence[CallResult]:
        return self._changed(state, state - amount)

    def on_fetch_add(self, state: float, amount: float = 1) -> Sequence[CallResult]:
        return returns(state, state + amount)

    def on_value(self, state: float) -> Sequence[CallResult]:
        return returns(state, state)

    def on_reset(self, state: float) -> Sequence[CallResult]:
        return returns(None, self.start)


class MappingSpec(Sequential):
    """What models of mappings have in common. ``found`` gives the items of a state, by key, and
    ``made`` the state that has these; ``value`` is what calls get of what there is by a key."""

    aliases: ClassVar[Mapping[str, str]] = {
        "put": "__setitem__", "set": "__setitem__", "delete": "__delitem__",
        "contains": "__contains__", "has": "__contains__", "size": "__len__", "len": "__len__",
    }  # fmt: skip

    def found(self, state: Any) -> dict[Any, Any]:
        return dict(state)

    def made(self, state: Any, found: dict[Any, Any]) -> Any:
        raise NotImplementedError

    def value(self, held: Any) -> Any:
        return held

    def on___delitem__(self, state: Any, key: Any) -> Sequence[CallResult]:
        found = self.found(state)
        if key not in found:
            return raises(KeyError, state)
        del found[key]
        return returns(None, self.made(state, found))

    def on_pop(self, state: Any, key: Any, default: Any = _MISSING) -> Sequence[CallResult]:
        found = self.found(state)
        if key not in found:
            if default is _MISSING:
                return raises(KeyError, state)
            return returns(freeze(default), state)
        value = self.value(found.pop(key))
        return returns(value, self.made(state, found))

    def on___contains__(self, state: Any, key: Any) -> Sequence[CallResult]:
        return returns(key in self.found(state), state)

    def on___len__(self, state: Any) -> Sequence[CallResult]:
        return returns(len(self.found(state)), state)

    def on_clear(self, state: Any) -> Sequence[CallResult]:
        return returns(None, self.made(state, {}))


class DictSpec(MappingSpec):
    """A ``dict``: ``x[k]``, ``get``, ``x[k] = v``, ``del``, ``pop``, ``setdefault``, ``in``,
    ``len``, ``clear``, ``update``, ``popitem`` (any item), ``keys``, ``values``, ``items``,
    ``copy``, iteration (in any order). Where all calls are about one key each, the keys are taken
    apart."""

    _whole: ClassVar = frozenset({
        "__len__", "__iter__", "clear", "update", "popitem", "keys", "values", "items", "copy",
    })  # fmt: skip

    def __init__(self, items: Mapping[Any, Any] | None = None) -> None:
        self.items = {key: freeze(value) for key, value in (items or {}).items()}

    def initial(self) -> frozenset[tuple[Any, Any]]:
        return frozenset(self.items.items())

    def key(self, operation: Operation) -> Hashable | None:
        name = self.aliases.get(operation.name, operation.name)
        if name in self._whole:
            return None
        given = operation.args[0] if operation.args else operation.kwargs.get("key", _MISSING)
        return None if given is _MISSING else ("key", given)

    def made(self, state: Any, found: dict[Any, Any]) -> Any:
        return frozenset(found.items())

    def on___getitem__(self, state: Any, key: Any) -> Sequence[CallResult]:
        found = dict(state)
        return returns(found[key], state) if key in found else raises(KeyError, state)

    def on_get(self, state: Any, key: Any, default: Any = None) -> Sequence[CallResult]:
        return returns(dict(state).get(key, freeze(default)), state)

    def on___setitem__(self, state: Any, key: Any, value: Any) -> Sequence[CallResult]:
        return returns(None, frozenset({**dict(state), key: freeze(value)}.items()))

    def on_setdefault(self, state: Any, key: Any, default: Any = None) -> Sequence[CallResult]:
        found = dict(state)
        value = found.setdefault(key, freeze(default))
        return returns(value, frozenset(found.items()))

    def on_update(self, state: Any, other: Any = (), **more: Any) -> Sequence[CallResult]:
        new = {key: freeze(value) for key, value in dict(other, **more).items()}
        return returns(None, frozenset({**dict(state), **new}.items()))

    def on_popitem(self, state: Any) -> Sequence[CallResult]:
        if not state:
            return raises(KeyError, state)
        return [CallResult(item, state - {item}) for item in state]

    def on_copy(self, state: Any) -> Sequence[CallResult]:
        return returns(dict(state), state)

    def on_items(self, state: Any) -> Sequence[CallResult]:
        return returns(InAnyOrder(state), state)

    def on_keys(self, state: Any) -> Sequence[CallResult]:
        return returns(InAnyOrder(key for key, _ in state), state)

    def on_values(self, state: Any) -> Sequence[CallResult]:
        return returns(InAnyOrder(value for _, value in state), state)

    on___iter__ = on_keys


class SetSpec(Sequential):
    """A ``set``: ``add``, ``discard``, ``remove``, ``in``, ``len``, ``pop`` (any item), ``clear``,
    ``update``, ``copy``, iteration. ``tells``: whether ``add`` and ``discard`` return whether they
    changed anything, as those of some classes do. Where all calls are about one item each, the
    items are taken apart."""

    aliases: ClassVar[Mapping[str, str]] = {
        "contains": "__contains__", "has": "__contains__", "size": "__len__", "len": "__len__",
    }  # fmt: skip

    def __init__(self, items: Iterable[Hashable] = (), tells: bool = False) -> None:
        self.items, self.tells = frozenset(items), tells

    def initial(self) -> frozenset[Any]:
        return self.items

    def key(self, operation: Operation) -> Hashable | None:
        name = self.aliases.get(operation.name, operation.name)
        if name in ("add", "discard", "remove", "__contains__") and operation.args:
            return ("item", operation.args[0])
        return None

    def on_add(self, state: Any, item: Any) -> Sequence[CallResult]:
        return returns(item not in state if self.tells else None, state | {item})

    def on_discard(self, state: Any, item: Any) -> Sequence[CallResult]:
        return returns(item in state if self.tells else None, state - {item})

    def on_remove(self, state: Any, item: Any) -> Sequence[CallResult]:
        return returns(None, state - {item}) if item in state else raises(KeyError, state)

    def on___contains__(self, state: Any, item: Any) -> Sequence[CallResult]:
        return returns(item in state, state)

    def on___len__(self, state: Any) -> Sequence[CallResult]:
        return returns(len(state), state)

    def on_pop(self, state: Any) -> Sequence[CallResult]:
        if not state:
            return raises(KeyError, state)
        return [CallResult(item, state - {item}) for item in state]

    def on_clear(self, state: Any) -> Sequence[CallResult]:
        return returns(None, frozenset())

    def on_update(self, state: Any, *others: Iterable[Any]) -> Sequence[CallResult]:
        return returns(None, state.union(*others))

    def on_copy(self, state: Any) -> Sequence[CallResult]:
        return returns(set(state), state)

    def on___iter__(self, state: Any) -> Sequence[CallResult]:
        return returns(InAnyOrder(state), state)
