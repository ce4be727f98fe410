"""Modules that workers import: whoever comes second waits until the first has done it.

A worker that imports a module has the module's own lock meanwhile. Nobody notices, as long as
nobody else wants it: there is no step. A worker that does waits under control, as at a lock that
the other one holds; where they would wait for each other it goes on with the module half done, as
Python lets it.

What a module makes as it is imported lives on when the exploration is over: its locks are real
ones. When the import is done they get stand-ins, which are taken away at the end.
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.contexts import identity
from tracelock.instrument.hub import Hub, Phase
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Worker
from tracelock.ops import ACQUIRE, RELEASE, WRITE, ObjectSpec, Op

bootstrap: Final = importlib.import_module("importlib._bootstrap")
#: Where modules are found, half-done ones too.
LOADED: Final = sys.modules


@dataclass(slots=True, eq=False)
class Importing:
    """The lock of a module that somebody imports: ``ident`` is the thread that has it, ``worker``
    who imports there, so ``deep``; ``number``: its model's, where somebody has waited."""

    lock: Any
    worker: Worker
    deep: int = 1
    number: int = -1


@dataclass(slots=True, frozen=True)
class Here:
    """Where an access is that no source has."""

    at: str
    library: bool = False


class Imports(Wing):
    """Who imports what in one schedule."""

    key = "imports"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.held: dict[int, Importing] = {}
        #: What each thread that imports waits for.
        self.waits: dict[int, Importing] = {}
        #: Models of locks that somebody has waited for, by the name of the module.
        self.numbers: dict[str, int] = {}

    def goes_round(self, mine: int, wanted: Importing) -> bool:
        """Whether the one that holds what is ``wanted`` waits for what this thread holds."""
        next_: Importing | None = wanted
        while next_ is not None:
            ident = next_.worker.ident
            if ident == mine:
                return True
            next_ = self.waits.get(ident)
        return False


@patch("importlib._bootstrap._ModuleLock.acquire", SEEN, of=bootstrap._ModuleLock)
def acquire(worker: Worker, real: Any, lock: Any) -> Any:
    name: str = lock.name
    if name.partition(".")[0] == "tracelock":
        return real(lock)
    imports, key = worker.hub.wing(Imports), identity(lock)
    there = imports.held.get(key)
    if there is not None and there.worker.ident == worker.ident:
        there.deep += 1
        return real(lock)
    if name not in sys.modules and worker.running:  # whoever looks for it there depends on this
        worker.access(WRITE, LOADED, None, Here(caller(worker)))
    number = imports.numbers.get(name, -1)
    if there is not None:
        if imports.goes_round(worker.ident, there):
            raise bootstrap._DeadlockError(f"deadlock detected by {lock!r}")
        if number < 0:
            number = _modelled(worker.hub, name, there)
    if number >= 0:
        if there is not None:
            imports.waits[worker.ident] = there
        try:
            worker.do(Op(ACQUIRE, number, caller(worker)))
        finally:
            imports.waits.pop(worker.ident, None)
    got = real(lock)
    imports.held[key] = Importing(lock, worker, number=number)
    worker.importing += 1
    return got


def _modelled(hub: Hub, name: str, held: Importing) -> int:
    """The number of a lock that is held, and that somebody wants to have."""
    number = hub.number_for(ObjectSpec(hub.bind(held.lock, f"import of {name}"), "rlock"))
    model: Any = hub.controller.models[number]
    model.take_back(held.worker.number, 1)
    hub.imports_waited_for.add(name)
    held.number = hub.wing(Imports).numbers[name] = number
    return number


@patch("importlib._bootstrap._ModuleLock.release", SEEN, of=bootstrap._ModuleLock)
def release(worker: Worker, real: Any, lock: Any) -> Any:
    hub = worker.hub
    there = hub.wing(Imports).held.get(identity(lock))
    if there is None:
        return real(lock)
    there.deep -= 1
    if there.deep:
        return real(lock)
    del hub.wing(Imports).held[identity(lock)]
    real(lock)
    worker.importing -= 1
    name: str = lock.name
    if name in sys.modules:
        hub.new_modules[name] = None
    if not worker.importing and hub.new_modules:
        names, hub.new_modules = list(hub.new_modules), {}
        hub.take_in(names)
        if worker.hub.phase is Phase.RUN:
            hub.imported.update(names)
    if there.number >= 0:
        worker.step(Op(RELEASE, there.number, caller(worker)))
    return None
