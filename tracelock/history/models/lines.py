"""Models of what keeps items in a line: queues with and without a bound, stacks, deques."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from tracelock.history.models.base import WAITS, CallResult, Sequential, raises, returns
from tracelock.history.values import freeze

Items = tuple[Any, ...]


class QueueSpec(Sequential):
    """A queue as those of ``queue`` and ``asyncio``: ``put``, ``get`` (with ``block`` and
    ``timeout``), ``put_nowait``, ``get_nowait``, ``qsize``, ``empty``, ``full``. ``maxsize``: how
    many items it holds (0: any number); a full one lets ``put`` wait. ``full``, ``empty``: the
    names of the exceptions (``queue.Full``, ``asyncio.QueueEmpty``...). ``last_in``: the last item
    comes out first, as of ``LifoQueue``."""

    aliases: ClassVar[Mapping[str, str]] = {
        "enqueue": "put", "dequeue": "get", "offer": "put", "__len__": "qsize", "size": "qsize",
    }  # fmt: skip

    def __init__(
        self, items: Iterable[Any] = (), maxsize: int = 0, full: str = "Full",
        empty: str = "Empty", last_in: bool = False,
    ) -> None:  # fmt: skip
        self.items: Items = tuple(freeze(one) for one in items)
        self.maxsize = maxsize
        self.errors = full, empty
        self.place = -1 if last_in else 0

    def initial(self) -> Items:
        return self.items

    def _is_full(self, state: Items) -> bool:
        return 0 < self.maxsize <= len(state)

    def on_put(
        self, state: Items, item: Any, block: bool = True, timeout: float | None = None
    ) -> Sequence[CallResult]:
        if not self._is_full(state):
            return returns(None, (*state, freeze(item)))
        return raises(self.errors[0], state) if not block or timeout is not None else WAITS

    def on_get(
        self, state: Items, block: bool = True, timeout: float | None = None
    ) -> Sequence[CallResult]:
        if state:
            rest = state[1:] if self.place == 0 else state[:-1]
            return returns(state[self.place], rest)
        return raises(self.errors[1], state) if not block or timeout is not None else WAITS

    def on_put_nowait(self, state: Items, item: Any) -> Sequence[CallResult]:
        return self.on_put(state, item, False)

    def on_get_nowait(self, state: Items) -> Sequence[CallResult]:
        return self.on_get(state, False)

    def on_qsize(self, state: Items) -> Sequence[CallResult]:
        return returns(len(state), state)

    def on_empty(self, state: Items) -> Sequence[CallResult]:
        return returns(not state, state)

    def on_full(self, state: Items) -> Sequence[CallResult]:
        return returns(self._is_full(state), state)


class StackSpec(Sequential):
    """A stack: ``push(item)``, ``pop()`` (IndexError where it is empty), ``peek()``, ``len``.
    ``empty``: the name of another exception, or None where ``pop`` and ``peek`` return None."""

    aliases: ClassVar[Mapping[str, str]] = {
        "append": "push", "put": "push", "get": "pop", "top": "peek", "size": "__len__",
        "qsize": "__len__", "len": "__len__",
    }  # fmt: skip

    def __init__(self, items: Iterable[Any] = (), empty: str | None = "IndexError") -> None:
        self.items: Items = tuple(freeze(one) for one in items)
        self.error = empty

    def initial(self) -> Items:
        return self.items

    def _nothing(self, state: Items) -> Sequence[CallResult]:
        return returns(None, state) if self.error is None else raises(self.error, state)

    def on_push(self, state: Items, item: Any) -> Sequence[CallResult]:
        return returns(None, (*state, freeze(item)))

    def on_pop(self, state: Items) -> Sequence[CallResult]:
        return returns(state[-1], state[:-1]) if state else self._nothing(state)

    def on_peek(self, state: Items) -> Sequence[CallResult]:
        return returns(state[-1], state) if state else self._nothing(state)

    def on_empty(self, state: Items) -> Sequence[CallResult]:
        return returns(not state, state)

    def on___len__(self, state: Items) -> Sequence[CallResult]:
        return returns(len(state), state)


class DequeSpec(Sequential):
    """A ``collections.deque``: ``append``, ``appendleft``, ``pop``, ``popleft``, ``extend``,
    ``extendleft``, ``clear``, ``copy``, ``rotate``, ``remove``, ``count``, ``in``, ``len``,
    ``x[i]``, iteration."""

    def __init__(self, items: Iterable[Any] = (), maxlen: int | None = None) -> None:
        self.items: Items = tuple(freeze(one) for one in items)
        self.maxlen = maxlen

    def initial(self) -> Items:
        return self._last(self.items)

    def _last(self, items: Items) -> Items:
        return items if self.maxlen is None else items[max(0, len(items) - self.maxlen) :]

    def _first(self, items: Items) -> Items:
        return items if self.maxlen is None else items[: self.maxlen]

    def on_append(self, state: Items, item: Any) -> Sequence[CallResult]:
        return returns(None, self._last((*state, freeze(item))))

    def on_appendleft(self, state: Items, item: Any) -> Sequence[CallResult]:
        return returns(None, self._first((freeze(item), *state)))

    def on_extend(self, state: Items, items: Iterable[Any]) -> Sequence[CallResult]:
        return returns(None, self._last((*state, *map(freeze, items))))

    def on_extendleft(self, state: Items, items: Iterable[Any]) -> Sequence[CallResult]:
        return returns(None, self._first((*map(freeze, reversed(list(items))), *state)))

    def on_pop(self, state: Items) -> Sequence[CallResult]:
        return returns(state[-1], state[:-1]) if state else raises(IndexError, state)

    def on_popleft(self, state: Items) -> Sequence[CallResult]:
        return returns(state[0], state[1:]) if state else raises(IndexError, state)

    def on_clear(self, state: Items) -> Sequence[CallResult]:
        return returns(None, ())

    def on_rotate(self, state: Items, n: int = 1) -> Sequence[CallResult]:
        by = n % len(state) if state else 0
        return returns(None, state[len(state) - by :] + state[: len(state) - by])

    def on_remove(self, state: Items, value: Any) -> Sequence[CallResult]:
        item = freeze(value)
        if item not in state:
            return raises(ValueError, state)
        place = state.index(item)
        return returns(None, state[:place] + state[place + 1 :])

    def on_count(self, state: Items, x: Any) -> Sequence[CallResult]:
        return returns(state.count(freeze(x)), state)

    def on___contains__(self, state: Items, item: Any) -> Sequence[CallResult]:
        return returns(freeze(item) in state, state)

    def on___len__(self, state: Items) -> Sequence[CallResult]:
        return returns(len(state), state)

    def on___getitem__(self, state: Items, place: int) -> Sequence[CallResult]:
        there = -len(state) <= place < len(state)
        return returns(state[place], state) if there else raises(IndexError, state)

    def on___iter__(self, state: Items) -> Sequence[CallResult]:
        return returns(list(state), state)

    def on_copy(self, state: Items) -> Sequence[CallResult]:
        # a deque is compared as one, by whoever recorded it as a list
        return returns(list(state), state)
