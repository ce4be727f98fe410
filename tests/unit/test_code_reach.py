"""What a program names is found in the code of the given functions and of what these name."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import pytest
from pydantic_core import to_json

from tracelock.instrument.isolation.reach import CodeReach


def calls_c(*_: Any) -> None:
    to_json(1)


def plain(*_: Any) -> None:
    len("")


class Base:
    def inherited(self) -> None:
        calls_c()


class Thing(Base):
    inner = calls_c

    def __init__(self) -> None:
        self.number = 0

    def method(self) -> None:
        to_json(self.number)

    def other(self) -> None:
        ctypes.string_at(0)

    @property
    def computed(self) -> int:
        return len(to_json(1))

    @functools.cached_property
    def computed_once(self) -> int:
        return len(to_json(1))

    @classmethod
    def of_class(cls) -> None:
        calls_c()

    @staticmethod
    def of_none() -> None:
        calls_c()


class Entered:
    def __enter__(self) -> None:
        calls_c()

    def __exit__(self, *_: Any) -> None:
        pass

    def __call__(self) -> None:
        calls_c()


@functools.lru_cache
def cached() -> bytes:
    return to_json(1)


THING = Thing()
ENTERED = Entered()


def closing_over(function: Callable[..., Any]) -> Callable[..., None]:
    def calls() -> None:
        function()

    return calls


def wrapped_plain(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper() -> None:
        plain()

    return wrapper


def enters() -> None:
    with ENTERED:
        pass


def has_another_inside() -> Any:
    def inside() -> None:
        calls_c()

    return inside


def by_default(function: Callable[..., Any] = calls_c) -> None:
    function()


REACH: dict[str, Any] = {
    "itself": calls_c,
    "one that it names": lambda: calls_c(),
    "one inside it": has_another_inside,
    "its closure": closing_over(calls_c),
    "a default": by_default,
    "what it wraps": wrapped_plain(calls_c),
    "part of it is given": functools.partial(plain, calls_c),
    "a method": lambda thing=None: Thing().method(),
    "a method of a global's": lambda: THING.method(),
    "one that is bound": THING.method,
    "a method of its base": lambda: THING.inherited(),
    "a property": lambda: THING.computed,
    "one that is kept": lambda: THING.computed_once,
    "a class method": lambda: Thing.of_class(),
    "a static method": lambda: Thing.of_none(),
    "an attribute of a class": lambda: Thing.inner(),
    "what the interpreter calls": enters,
    "an object that is called": ENTERED,
    "behind a cache": lambda: cached(),
}
NOTHING: dict[str, Any] = {
    "plain code": plain,
    "a class of which other methods are called": lambda: THING.number,
    "a library that is given": lambda: pytest.raises(ValueError),
    "an object that is built in": len,
    "nothing": functools.partial(plain, None),
}


def owns(module: str) -> bool:
    return module == __name__


@pytest.mark.parametrize("name", REACH)
def test_what_is_named_somewhere_is_found(name: str) -> None:
    assert list(CodeReach([REACH[name]], owns).in_c) == ["pydantic_core"]


@pytest.mark.parametrize("name", NOTHING)
def test_what_nobody_names_is_not(name: str) -> None:
    assert not CodeReach([NOTHING[name]], owns).in_c


def test_code_that_is_not_the_programs_is_not_asked() -> None:
    assert not CodeReach([lambda: calls_c()], lambda module: False).in_c


def test_objects_that_are_named_are_known() -> None:
    def worker() -> None:
        THING.method()

    found = CodeReach([worker], owns).objects
    assert any(one is THING for one in found) and not any(one is ENTERED for one in found)
