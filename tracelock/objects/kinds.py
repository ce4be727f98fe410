"""Every kind of object: one entry each, with its model in each family or the reason for none.

To add one, write its :class:`~tracelock.objects.base.Model` and give it an entry here. What is not
listed raises.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType
from typing import Any, Final, NamedTuple

from tracelock.errors import InternalError
from tracelock.objects.base import Model, Rules
from tracelock.objects.files import FileLockModel
from tracelock.objects.locks import (
    ConditionModel,
    LockModel,
    ProcessLockModel,
    RLockModel,
    SemaphoreModel,
)
from tracelock.objects.queues import QueueModel, RoomModel
from tracelock.objects.streams import CAPACITY, AddressModel, StreamModel
from tracelock.objects.waits import AwaitedModel, BarrierModel, EventModel
from tracelock.ops import Layout, ObjectSpec

#: Makes the model of the object that a specification describes; what it refers to is in the list.
Maker = Callable[[Rules, ObjectSpec, Sequence[Model | None]], Model]

PLAIN: Final = "plain"  # threads and processes
ASYNCIO: Final = "asyncio"
ANYIO: Final = "anyio"
FAMILIES: Final = (PLAIN, ASYNCIO, ANYIO)
#: Type of the specification of a shared variable of real code, which has no model.
VARIABLE: Final = "variable"


# Most programs need the models of one family: those of the others are imported when one is made.
@cache
def _asyncio_locks() -> ModuleType:
    from tracelock.objects import asyncio_locks

    return asyncio_locks


@cache
def _asyncio_waits() -> ModuleType:
    from tracelock.objects import asyncio_waits

    return asyncio_waits


@cache
def _anyio_locks() -> ModuleType:
    from tracelock.objects import anyio_locks

    return anyio_locks


def _anyio_stream(rules: Rules, spec: ObjectSpec, models: Sequence[Model | None]) -> Model:
    from tracelock.objects.anyio_streams import AnyioStreamModel

    return AnyioStreamModel(spec.maxsize)


class Kind(NamedTuple):
    """One kind of object.

    ``models``: by family, what makes its model, or why there is none. ``options``: the fields of
    ``ObjectSpec`` that say what it is like. ``declared``: a scenario can declare one. ``refers``:
    to another object (``ObjectSpec.lock``), which is made before it.
    """

    models: Mapping[str, Maker | str]
    options: tuple[str, ...] = ()
    declared: bool = True
    refers: bool = False


def _lock(rules: Rules, spec: ObjectSpec, models: Sequence[Model | None]) -> Model:
    return ProcessLockModel(rules) if rules.backend == "multiprocessing" else LockModel(rules)


def _semaphore(bounded: bool) -> Kind:
    return Kind(
        {
            PLAIN: lambda rules, spec, _: SemaphoreModel(spec.value, bounded, spec.maxsize),
            ASYNCIO: lambda rules, spec, _: _asyncio_locks().AsyncioSemaphoreModel(
                rules, spec.value, bounded
            ),
            ANYIO: lambda rules, spec, _: _anyio_locks().AnyioSemaphoreModel(spec.value, bounded),
        },
        ("value",),
    )


def _condition(of: Callable[[], type[Model]], make: Callable[[Rules, Any], Model]) -> Maker:
    def condition(rules: Rules, spec: ObjectSpec, models: Sequence[Model | None]) -> Model:
        lock = models[spec.lock]
        assert isinstance(lock, of())
        return make(rules, lock)

    return condition


def _of_real_code(make: Maker, options: tuple[str, ...] = ()) -> Kind:
    """A kind that only real Python code has, whose tasks wait in their real loop."""
    why = "real code has no models of its loop"
    return Kind({PLAIN: make, ASYNCIO: why, ANYIO: why}, options, declared=False)


KINDS: Final[dict[str, Kind]] = {
    "lock": Kind(
        {
            PLAIN: _lock,
            ASYNCIO: lambda *_: _asyncio_locks().AsyncioLockModel(),
            ANYIO: lambda *_: _anyio_locks().AnyioLockModel(),
        }
    ),
    "rlock": Kind(
        {
            PLAIN: lambda rules, *_: RLockModel(rules),
            ASYNCIO: "asyncio has no reentrant lock",
            ANYIO: "anyio has no reentrant lock",
        }
    ),
    # the lock of a condition that names none
    "condition_lock": Kind(
        {
            PLAIN: lambda rules, *_: RLockModel(rules),
            ASYNCIO: lambda *_: _asyncio_locks().AsyncioLockModel(),
            ANYIO: lambda *_: _anyio_locks().AnyioLockModel(),
        },
        declared=False,
    ),
    "semaphore": _semaphore(bounded=False),
    "bounded_semaphore": _semaphore(bounded=True),
    "condition": Kind(
        {
            PLAIN: _condition(lambda: LockModel, ConditionModel),
            ASYNCIO: _condition(
                lambda: _asyncio_locks().AsyncioLockModel,
                lambda *made: _asyncio_locks().AsyncioConditionModel(*made),
            ),
            ANYIO: _condition(
                lambda: _anyio_locks().AnyioLockModel,
                lambda rules, lock: _anyio_locks().AnyioConditionModel(lock),
            ),
        },
        ("lock",),
        refers=True,
    ),
    "event": Kind(
        {
            PLAIN: lambda rules, *_: EventModel(rules),
            ASYNCIO: lambda *_: _asyncio_waits().AsyncioEventModel(),
            ANYIO: lambda *_: _anyio_locks().AnyioEventModel(),
        }
    ),
    "barrier": Kind(
        {
            PLAIN: lambda rules, spec, _: BarrierModel(spec.parties),
            ASYNCIO: lambda rules, spec, _: _asyncio_waits().AsyncioBarrierModel(
                rules, spec.parties
            ),
            ANYIO: "anyio has no barrier",
        },
        ("parties",),
    ),
    "queue": Kind(
        {
            PLAIN: lambda rules, spec, _: QueueModel(spec),
            ASYNCIO: lambda rules, spec, _: _asyncio_waits().AsyncioQueueModel(spec),
            ANYIO: _anyio_stream,
        },
        ("maxsize", "order"),
    ),
    # an event that may be set from the start
    "flag": _of_real_code(lambda rules, spec, _: EventModel(rules, bool(spec.value)), ("value",)),
    # what tasks wait for, known to their loop
    "awaited": _of_real_code(lambda *_: AwaitedModel()),
    # a queue whose items the real one keeps
    "room": _of_real_code(lambda rules, spec, _: RoomModel(spec), ("value", "maxsize")),
    "file_lock": _of_real_code(lambda *_: FileLockModel()),
    # of a network in memory: a direction of a connection, and where connections arrive
    "stream": _of_real_code(
        lambda rules, spec, _: StreamModel(spec.maxsize or CAPACITY), ("maxsize",)
    ),
    "address": _of_real_code(lambda *_: AddressModel()),
}


def make_model(rules: Rules, spec: ObjectSpec, models: Sequence[Model | None]) -> Model:
    """The model of one object; ``models`` has those of the objects it refers to.

    Raises InternalError for a kind that is not in the table, or has no model in this family.
    """
    kind = KINDS.get(spec.type)
    if kind is None:
        raise InternalError(f"{spec.name}: {spec.type!r} is not a kind of object")
    make = kind.models[rules.family]
    if isinstance(make, str):
        raise InternalError(f"{spec.name}: {rules.backend} has no model of a {spec.type}: {make}")
    return make(rules, spec, models)


def make_models(layout: Layout, rules: Rules) -> list[Model | None]:
    """The models of all objects by number; None stands for variables."""
    models: list[Model | None] = [None] * len(layout.names)
    later: list[tuple[int, ObjectSpec]] = []
    for number, spec in enumerate(layout.objects, layout.variables):
        if spec.type == VARIABLE:
            continue
        if spec.type in KINDS and KINDS[spec.type].refers:
            later.append((number, spec))  # to a lock that may be declared after it
        else:
            models[number] = make_model(rules, spec, models)
    for number, spec in later:
        models[number] = make_model(rules, spec, models)
    return models
