"""What calls come to, in a form that can be compared, written down and read again.

This file imports the standard library alone: its text is a part of the programs that an audit
writes, which are to need nothing else.
"""

import asyncio
import collections
import collections.abc as containers
import enum
import inspect
import re
import time
import types
from typing import Any

#: Items of an iterator that are looked at, and containers within containers.
MOST_ITEMS, MOST_DEPTH = 50, 6
#: Names of keys and fields of results that are not compared.
IGNORED: frozenset[str] = frozenset()
#: What a coroutine comes to that is cancelled, a call that waits for ever, one that was not made.
CANCELLED, WAITS, NOT_MADE = ("cancelled",), ("waits",), ("not made",)


class Thing:
    """An argument: an object that weak references may lead to."""

    def __init__(self, name: str) -> None:
        self.name = name


THING, OTHER = Thing("thing"), Thing("other")


class Unequal:
    """An object that has no equality of its own: which one it is counts, not what it is."""

    def __init__(self, value: Any) -> None:
        self.value = value


def told(value: Any, own: Any, depth: int = 0) -> Any:
    """A result as plain data. ``own``: the object itself, which calls may return."""
    if value is own:
        return ("itself",)
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if isinstance(value, Thing):
        return ("thing", value.name)
    if isinstance(value, enum.Enum):
        return ("enum", str(value))
    if isinstance(value, (type, types.FunctionType, types.BuiltinFunctionType)):
        return ("named", getattr(value, "__qualname__", "?"))
    if depth > MOST_DEPTH:
        return ("deep", type(value).__name__)

    def inner(one: Any) -> Any:
        return told(one, own, depth + 1)

    if isinstance(value, containers.Mapping):
        items = [(inner(key), inner(one)) for key, one in value.items()]
        return ("mapping", *sorted([one for one in items if one[0] not in IGNORED], key=repr))
    if isinstance(value, (set, frozenset)):
        return ("set", *sorted([inner(one) for one in value], key=repr))
    fields: Any = getattr(value, "_fields", None)
    if isinstance(value, tuple) and fields:
        pairs = zip(fields, value, strict=True)
        return (type(value).__name__, *[inner(one) for name, one in pairs if name not in IGNORED])
    if isinstance(value, (list, tuple, collections.deque)):
        return (type(value).__name__, *[inner(one) for one in value])
    if isinstance(value, (containers.KeysView, containers.ValuesView, containers.ItemsView)):
        return ("items", *[inner(one) for one in list(value)])
    if isinstance(value, containers.Iterator):
        found: list[Any] = []
        for one in value:
            found.append(inner(one))
            if len(found) >= MOST_ITEMS:
                break
        return ("items", *found)
    if isinstance(value, BaseException):
        return ("exception", type(value).__name__)
    equality: Any = type(value).__eq__
    if equality is object.__eq__:
        return Unequal(value)
    return ("value", type(value).__name__, re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value)))


def attempt(call: Any, own: Any) -> Any:
    """Make a call and tell what it comes to: what it returns, or the exception that it raises."""
    try:
        return ("returns", told(call(own), own))
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "tracelock":
            raise
        return ("raises", type(error).__name__)


async def awaited(call: Any, own: Any) -> Any:
    """The same of a call that may give a coroutine, which is awaited, or an asynchronous iterator,
    which is gone through; ``CANCELLED`` where that ends with a CancelledError."""
    try:
        value = call(own)
        if value is not own and inspect.isawaitable(value):
            value = await value
        if value is not own and hasattr(type(value), "__anext__"):
            return ("returns", await _gone_through(value, own))
        return ("returns", told(value, own))
    except asyncio.CancelledError:
        return CANCELLED
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "tracelock":
            raise
        return ("raises", type(error).__name__)


async def within(seconds: float, awaitable: Any) -> Any:
    """What an awaitable gives. It is cancelled when its time is up, which raises."""
    if _on_asyncio():
        async with asyncio.timeout(seconds):
            return await awaitable
    import trio

    with trio.fail_after(seconds):
        return await awaitable


async def rest(seconds: float) -> None:
    """Let time pass for other tasks."""
    if _on_asyncio():
        await asyncio.sleep(seconds)
        return
    import trio

    await trio.sleep(seconds)


def _on_asyncio() -> bool:
    """Whether asyncio runs the task that asks; trio does otherwise."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def pause(seconds: float) -> None:
    """Let time pass for other threads."""
    time.sleep(seconds)


async def _gone_through(iterator: Any, own: Any) -> Any:
    """The items of an asynchronous iterator, which is closed where it can be."""
    found: list[Any] = []
    try:
        async for one in iterator:
            found.append(told(one, own, 1))
            if len(found) >= MOST_ITEMS:
                break
    finally:
        if hasattr(iterator, "aclose"):
            await iterator.aclose()
    return ("items", *found)


def evened(results: Any, places: Any) -> Any:
    """Results in which lists, tuples and the like count by their items alone; at these places the
    items come in any order."""
    return [evenly(one, place in places) for place, one in enumerate(results)]


def evenly(result: Any, in_any_order: bool) -> Any:
    """The same of one result."""
    value = result[1] if result[0] == "returns" else None
    rows = ("list", "tuple", "deque", "items", *(("set",) if in_any_order else ()))
    if not isinstance(value, tuple) or not value or value[0] not in rows:
        return result
    items = sorted(value[1:], key=repr) if in_any_order else value[1:]
    return ("returns", ("items", *items))


def unseen(results: Any, places: Any) -> Any:
    """Results without what calls at these places have returned, which is not compared."""
    return [
        ("returns", "anything") if place in places and one[0] == "returns" else one
        for place, one in enumerate(results)
    ]


async def items_of(it: Any) -> Any:
    """The items of an object, by ``async for``."""
    async for one in it:
        yield one


def numbered(results: Any) -> tuple[Any, ...]:
    """Results in which objects without an equality have numbers, in the order of their coming."""
    seen: list[Any] = []

    def number(one: Any) -> Any:
        if isinstance(one, Unequal):
            for place, known in enumerate(seen):
                if known is one.value:
                    return ("object", place, type(known).__name__)
            seen.append(one.value)
            return ("object", len(seen) - 1, type(one.value).__name__)
        return tuple([number(inner) for inner in one]) if isinstance(one, tuple) else one

    return tuple([number(one) for one in results])


def give_seven(*_: Any, **__: Any) -> int:
    """An argument: a function that returns 7."""
    return 7
