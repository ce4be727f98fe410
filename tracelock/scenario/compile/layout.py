"""Numbers everything that is shared: one small integer per variable and object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tracelock.ops import Layout, ObjectSpec, WorkerSpec

if TYPE_CHECKING:
    from tracelock.scenario.language.models import ObjectDecl, Scenario


def build_layout(scenario: Scenario) -> Layout:
    """The layout of a scenario that :func:`check_scenario` accepts.

    Shared variables in order of declaration (a list gives one number per element), then objects
    in order of declaration (``count`` gives one per element). A condition without ``lock`` has
    a hidden lock of its own, of type ``condition_lock`` and with the condition's name, numbered
    right before it; those of an array of conditions all come before its first element, so that
    elements stay together. ``arrays`` gives the number of the condition, not of its lock.
    """
    names: list[str] = []
    initial: list[Any] = []
    arrays: dict[str, tuple[int, int | None]] = {}
    for name, value in scenario.shared.items():
        if isinstance(value, list):
            arrays[name] = (len(names), len(value))
            names += elements(name, len(value))
            initial += value
        else:
            arrays[name] = (len(names), None)
            names.append(name)
            initial.append(value)

    for name, decl in scenario.objects.items():
        own = elements(name, decl.count)
        if decl.type == "condition" and decl.lock is None:
            names += own
        arrays[name] = (len(names), decl.count)
        names += own
    objects: list[ObjectSpec] = []
    for name, decl in scenario.objects.items():
        own = elements(name, decl.count)
        if decl.type == "condition" and decl.lock is None:
            objects += [ObjectSpec(element, "condition_lock") for element in own]
        first = arrays[name][0]
        for place, element in enumerate(own):
            objects.append(_spec(element, decl, _lock(decl, place, first - len(own), arrays)))

    workers = tuple(
        WorkerSpec(element, name, place, worker.count, worker.start == "manual")
        for name, worker in scenario.workers.items()
        for place, element in enumerate(elements(name, worker.count if worker.count > 1 else None))
    )
    return Layout(tuple(names), tuple(initial), tuple(objects), workers, arrays)


def elements(name: str, count: int | None) -> list[str]:
    """``["name"]``, or ``["name[0]", ...]`` for an array of ``count``."""
    return [name] if count is None else [f"{name}[{place}]" for place in range(count)]


def _lock(decl: ObjectDecl, place: int, hidden: int, arrays: dict[str, tuple[int, Any]]) -> int:
    if decl.type != "condition":
        return -1
    if decl.lock is None:
        return hidden + place
    first, length = arrays[decl.lock]
    return first if length is None else first + place


def _spec(name: str, decl: ObjectDecl, lock: int) -> ObjectSpec:
    return ObjectSpec(
        name=name,
        type=decl.type,
        value=1 if decl.value is None else decl.value,
        lock=lock,
        parties=decl.parties or 0,
        maxsize=decl.maxsize or 0,
        order=decl.order or "fifo",
    )
