"""What a worker has changed of the standard library's own objects is found where that has them."""

from __future__ import annotations

import colorsys
import linecache
import logging
from typing import Any

import pytest

from tracelock.instrument.account.library_state import LibraryState
from tracelock.instrument.contexts import identity
from tracelock.instrument.naming import NamedObject, Variable


class Names:
    """The names of one schedule, in which a worker has written to what these objects contain."""

    schedule = 7

    def __init__(self) -> None:
        self.objects: dict[int, NamedObject] = {}
        self.lasting: dict[int, NamedObject] = {}

    def written(self, obj: object, label: str) -> None:
        variable = Variable(label, stamp=self.schedule, users=1, writers=1)
        self.objects[identity(obj)] = NamedObject(label, obj, {None: variable})


def told(names: Names, state: LibraryState) -> list[str]:
    return [what for what, _ in state.changed(names, (), ())]


def nothing(module: str, filename: str) -> bool:
    return False


@pytest.mark.parametrize(
    ("owner", "name"),
    [(linecache, "cache"), (logging.root.manager, "loggerDict"), (logging.root, "handlers")],
    ids=["a module's", "an object's below an object", "an object's"],
)
def test_what_a_library_has_is_told(owner: Any, name: str) -> None:
    names = Names()
    names.written(getattr(owner, name), "met@a")
    # the same object may be reached in several ways, of which the first is told
    assert [one.rpartition(".")[2] for one in told(names, LibraryState(nothing))] == [name]


def test_what_a_class_of_a_library_has_is_told() -> None:
    names = Names()
    kept: list[int] = []
    logging.PercentStyle.kept = kept  # type: ignore[attr-defined]
    try:
        names.written(kept, "met@a")
        assert told(names, LibraryState(nothing)) == ["logging.PercentStyle.kept"]
        assert told(names, LibraryState(lambda module, filename: True)) == []  # it is looked into
    finally:
        del logging.PercentStyle.kept  # type: ignore[attr-defined]


def test_what_nobody_has_is_asked_about_again_when_somebody_does() -> None:
    state, names = LibraryState(nothing), Names()
    names.written([], "list#1@a")
    assert told(names, state) == []
    kept: list[int] = []
    colorsys.kept = kept  # type: ignore[attr-defined]
    try:
        names = Names()
        names.written(kept, "list#1@a")
        assert told(names, state) == ["colorsys.kept"]
        assert told(names, state) == ["colorsys.kept"]  # and it stays known
    finally:
        del colorsys.kept  # type: ignore[attr-defined]
