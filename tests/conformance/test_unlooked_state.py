"""What a library that is not looked into keeps for all who call it: nothing is ``verified`` where
one worker changes that and another one has it."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tracelock

LIBRARY = Path(__file__).parents[1] / "data" / "unlooked"
unlooked: Any = None
unlooked_state: Any = None


@pytest.fixture(autouse=True, scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The library where no project of ours is."""
    global unlooked, unlooked_state
    folder = tmp_path_factory.mktemp("libraries") / "lib"
    shutil.copytree(LIBRARY, folder)
    sys.path.insert(0, str(folder))
    try:
        unlooked = importlib.import_module("keeping_lib")
        unlooked_state = importlib.import_module("keeping_lib_state")
        yield
    finally:
        sys.path.remove(str(folder))
        for name in ("keeping_lib", "keeping_lib_state"):
            sys.modules.pop(name, None)


def _fresh() -> Any:
    unlooked.reset()
    return unlooked.Kept(), unlooked.Kept()


def _counter() -> Any:
    return unlooked.counter()


def _decorated() -> Any:
    return unlooked.counting(lambda: None)


def _set(obj: Any, name: str) -> None:
    setattr(obj, name, 5)


#: What ``setup`` returns, what one worker does, what another one reads.
CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], Any], Callable[[Any], Any]]] = {
    "a global": (_fresh, lambda _: unlooked.increment(), lambda _: unlooked.counted()),
    "a global, read here": (_fresh, lambda _: unlooked.increment(), lambda _: unlooked.count),
    "a global, set here": (_fresh, lambda _: _set(unlooked, "count"), lambda _: unlooked.counted()),
    "a global by its text": (_fresh, lambda _: unlooked.by_name(), lambda _: unlooked.counted()),
    "of another module": (_fresh, lambda _: unlooked.raised(), lambda _: unlooked.current()),
    "of that module": (_fresh, lambda _: unlooked.raised(), lambda _: unlooked_state.current()),
    "by that module": (_fresh, lambda _: unlooked_state.raised(), lambda _: unlooked.current()),
    "a closure": (_counter, lambda it: it[0](), lambda it: it[1]()),
    "a function": (_fresh, lambda _: unlooked.noted(), lambda _: unlooked.times()),
    "a decorated function": (_decorated, lambda it: it(), lambda it: it.calls),
    "a metaclass": (_fresh, lambda _: unlooked.Made(), lambda _: unlooked.Meta.made),
    "by a class": (_fresh, lambda _: unlooked.Kept.by_class(), lambda it: it[1].get()),
    "by type()": (_fresh, lambda it: it[0].by_type(), lambda it: it[1].get()),
    "by __class__": (_fresh, lambda it: it[0].by_own_class(), lambda it: it[1].get()),
    "by setattr": (_fresh, lambda it: it[0].by_setattr(), lambda it: it[1].get()),
    "of a class, read here": (_fresh, lambda it: it[0].by_type(), lambda _: unlooked.Kept.total),
    "of an object, read here": (_fresh, lambda it: it[0].by_type(), lambda it: it[1].total),
    "of a class, set here": (
        _fresh,
        lambda _: _set(unlooked.Kept, "total"),
        lambda it: it[0].get(),
    ),
    "of a class below": (
        lambda: (_fresh(), unlooked.Below(), unlooked.Below())[1:],
        lambda it: it[0].by_type(),
        lambda it: it[1].get(),
    ),
    "a list of a class": (_fresh, lambda it: it[0].add(), lambda it: it[1].size()),
    "that list, read here": (_fresh, lambda it: it[0].add(), lambda _: len(unlooked.Kept.names)),
}


def _explored(setup: Any, change: Any, read: Any) -> Any:
    def reading(state: Any) -> None:
        one, other = read(state), read(state)
        assert one == other

    return tracelock.explore(workers=[change, reading], setup=setup, strategy="dpor")


@pytest.mark.parametrize("how", CASES)
def test_what_a_library_keeps_for_all_is_not_verified(how: str) -> None:
    setup, change, read = CASES[how]
    state = setup()
    before = read(state)
    change(state)
    assert read(state) != before  # so that an order makes a difference
    found = _explored(setup, change, read)
    assert found.verdict == "passed"
    assert any("keeping_lib" in one for one in found.account.unseen)


def test_objects_of_their_own_are_verified() -> None:
    found = _explored(_fresh, lambda it: it[0].own(), lambda it: it[1].own())
    assert found.verdict == "verified"


def test_what_nobody_assigns_is_verified() -> None:
    found = _explored(_fresh, lambda _: unlooked.counted(), lambda _: unlooked.counted())
    assert found.verdict == "verified"
