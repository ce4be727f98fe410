"""What each kind of shared object means: pure state machines, one family per kind of backend."""

from __future__ import annotations

from collections.abc import Callable

from tracelock.objects import files, queues, waits
from tracelock.objects import locks as plain
from tracelock.objects.base import PARKED, Model, Rules, frozen
from tracelock.ops import Layout, ObjectSpec

__all__ = ["PARKED", "Model", "Rules", "frozen", "make_model", "make_models"]

Maker = Callable[[Rules, ObjectSpec, list["Model | None"]], Model]


def _plain(rules: Rules, spec: ObjectSpec, models: list[Model | None]) -> Model:
    kind = spec.type
    if kind == "lock":
        processes = rules.backend == "multiprocessing"
        return plain.ProcessLock(rules) if processes else plain.Lock(rules)
    if kind in ("rlock", "condition_lock"):
        return plain.RLock(rules)
    if kind in ("semaphore", "bounded_semaphore"):
        return plain.Semaphore(spec.value, kind == "bounded_semaphore", spec.maxsize)
    if kind == "condition":
        lock = models[spec.lock]
        assert isinstance(lock, plain.Lock)
        return plain.Condition(rules, lock)
    if kind in ("event", "flag"):
        return waits.Event(rules, kind == "flag" and bool(spec.value))
    if kind == "barrier":
        return waits.Barrier(spec.parties)
    if kind == "awaited":
        return waits.Awaited()
    if kind == "room":
        return queues.Room(spec)
    if kind == "file_lock":
        return files.FileLock()
    return queues.Queue(spec)


def _family(name: str) -> Maker:
    if name == "plain":
        return _plain
    if name == "asyncio":
        from tracelock.objects import asyncio_locks as aio

        return aio.make
    from tracelock.objects import anyio_locks as anyio

    return anyio.make


def make_model(rules: Rules, spec: ObjectSpec, models: list[Model | None]) -> Model:
    """The model of one object; ``models`` has those of the objects it refers to."""
    return _family(rules.family)(rules, spec, models)


def make_models(layout: Layout, rules: Rules) -> list[Model | None]:
    """The models of all objects by number; None stands for the variables before them."""
    make = _family(rules.family)
    models: list[Model | None] = [None] * len(layout.names)
    # conditions last: each needs the model of its lock, which may be declared after it
    for late in (False, True):
        for number, spec in enumerate(layout.objects, layout.variables):
            if (spec.type == "condition") is late and spec.type != "variable":
                models[number] = make(rules, spec, models)
    return models
