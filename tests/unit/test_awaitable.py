"""Whether something can be awaited, as it is told by its class."""

from __future__ import annotations

import inspect
import types
from collections.abc import Awaitable, Generator
from typing import Any

import pytest

from tracelock.instrument.program import is_awaitable


class Plain:
    """Nothing to await."""


class Awaited:
    """What can be awaited."""

    def __await__(self) -> Generator[Any, None, None]:
        yield


class Lying:
    """Says that it is another class's."""

    __class__ = property(lambda self: Awaited)  # type: ignore[assignment]


@Awaitable.register
class Registered:
    """Is said to be one."""


async def coroutine() -> None:
    """Does nothing."""


@types.coroutine
def by_generator() -> Generator[None, None, None]:
    yield


def generator() -> Generator[None, None, None]:
    yield


MAKERS = (
    Plain, Awaited, Lying, Registered, generator, by_generator, coroutine, dict, object,
    lambda: None, lambda: 1, lambda: Plain, lambda: coroutine,
)  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_it_is_what_inspect_says(make: Any) -> None:
    for _ in range(2):  # the second time the class is known
        made = make()
        assert is_awaitable(made) is inspect.isawaitable(made)
        if inspect.iscoroutine(made):
            made.close()
