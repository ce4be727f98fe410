"""The table of all that is patched while real code runs under control; applying and undoing it.

The rows are declared by the modules of ``GROUPS`` (see ``patching``), which are imported when their
rows are asked for. To put one more function under control, decorate its replacement in one of them.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinMethodType
from typing import Any, Final, NamedTuple

from tracelock.instrument.accesses.functions import replaced
from tracelock.instrument.account.breakpoints import hear_breakpoints
from tracelock.instrument.contexts import identity
from tracelock.instrument.files.access import paths_of
from tracelock.instrument.files.patches import set_abilities
from tracelock.instrument.hub import Hub
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.patch_targets import Changes, give_back, replace_names
from tracelock.instrument.patching import CONTROLLED, NOT_CONTROLLED, SEEN, Patch, declared, guarded
from tracelock.instrument.rewrite.late import LateLibraries
from tracelock.instrument.rewrite.sites import all_loaded, globals_of
from tracelock.instrument.scanning.adopting import adopt
from tracelock.instrument.threads.executors import imported, renew
from tracelock.instrument.threads.locks import RAW_LOCK, RAW_RLOCK


class PatchGroup(NamedTuple):
    """Modules that declare rows, in the order in which these are applied. ``library``: what has to
    be installed for them, and imported when they are applied: by then, or else as soon as it is
    imported (``LateLibraries``), so that nobody pays for what he does not have. ``forks``: they
    need ``os.fork``."""

    modules: tuple[str, ...]
    library: str = ""
    forks: bool = False


GROUPS: Final[dict[str, PatchGroup]] = {
    "threads": PatchGroup(
        ("threads.starting", "threads.sync", "threads.queues", "threads.futures", "threads.locks",
         "threads.imports", "threads.lives")
    ),
    "time": PatchGroup(("clock", "chance")),
    "exits": PatchGroup(("exits",)),
    "network": PatchGroup(
        ("network.sockets", "network.dropping", "network.readiness", "network.resolving")
    ),
    "secured": PatchGroup(("network.secured",), "ssl"),
    "files": PatchGroup(("files.patches", "files.objects", "files.locks", "files.access",
         "files.durable")),
    "databases": PatchGroup(("databases.sqlite_patches",), "sqlite3"),
    "processes": PatchGroup(("processes.dying", "processes.forking"), forks=True),
    "multiprocessing": PatchGroup(
        ("processes.starting", "processes.memory", "processes.sync", "processes.queues"),
        "multiprocessing", forks=True,
    ),
    "asyncio": PatchGroup(("loops.asyncio_patches",), "asyncio"),
    "anyio": PatchGroup(("loops.anyio_patches",), "anyio"),
    "trio": PatchGroup(("loops.trio_patches",), "trio"),
    "trio_network": PatchGroup(("network.trio_sockets",), "trio"),
    "own_loops": PatchGroup(("loops.own_asyncio",), "asyncio"),
    "own_trio": PatchGroup(("loops.own_trio",), "trio"),
    "outside": PatchGroup(("outside.uncontrolled",)),
    "calls_outside": PatchGroup(("outside.subprocesses", "outside.environment")),
    "asyncio_outside": PatchGroup(("outside.asyncio_processes",), "asyncio"),
    "anyio_outside": PatchGroup(("outside.anyio_processes",), "anyio"),
    "trio_outside": PatchGroup(("outside.trio_processes",), "trio"),
}  # fmt: skip
#: Those that are applied whatever backend runs the code.
COMMON: Final = (
    "threads", "time", "exits", "network", "secured", "files", "databases", "processes",
    "multiprocessing", "calls_outside",
)  # fmt: skip
#: Those of loops: any program may start one of its own.
LOOPING: Final = (
    "own_loops", "own_trio", "asyncio", "anyio", "trio", "trio_network", "asyncio_outside",
    "anyio_outside", "trio_outside",
)  # fmt: skip
#: What loops do stays under control also where their modules are instrumented.
LOOPS: Final = frozenset({"asyncio", "anyio", "trio"})


def _usable(group: PatchGroup, loaded: bool) -> bool:
    if group.forks and not hasattr(os, "fork"):
        return False
    if loaded and group.library:
        return group.library in sys.modules
    return not group.library or importlib.util.find_spec(group.library) is not None


def table(*groups: str, loaded: bool = False) -> list[Patch]:
    """The rows of these groups, of all without any, in the order in which they are applied.

    ``loaded``: only those whose library has been imported; otherwise it is, where installed.
    """
    rows: list[Patch] = []
    for name in groups or GROUPS:
        group = GROUPS[name]
        if _usable(group, loaded):
            for module in group.modules:
                full = f"tracelock.instrument.{module}"
                importlib.import_module(full)
                rows += declared[full]
    return rows


def _names_of_modules() -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, globals_of(module)) for name, module in all_loaded())


class Patches:
    """All patches of some groups, applied and undone; only one at a time is ``active``."""

    active: Patches | None = None

    def __init__(
        self, hub: Hub, without: Iterable[str] = (), groups: Iterable[str] = COMMON
    ) -> None:
        self.hub = hub
        self.without = frozenset(without)  # modules that are instrumented: their own code runs
        self.groups = tuple(groups)
        self._changes = Changes()
        self._by: dict[int, Callable[..., Any]] = {}
        self._rows: list[Patch] = []
        self._modules: frozenset[str] = frozenset()

    def apply(self, live: LiveObjects) -> None:
        """Apply all, also to what there is already."""
        live.leave_out(self.hub.main)
        paths_of(self.hub)  # which asks for the directory of temporary files
        self._put_in(table(*self.groups, loaded=True), live)
        libraries = {GROUPS[name].library for name in self.groups} - {"", *sys.modules}
        late = LateLibraries(libraries, self._late)
        self._changes.then(late.close)
        sys.meta_path.insert(0, late)
        self._changes.then(self.hub.wings.let_go)
        set_abilities(True)
        self._changes.then(lambda: set_abilities(False))
        self._changes.then(hear_breakpoints(self.hub))
        renew(self._changes, self.hub, live, _names_of_modules)
        adopt(self._changes, self.hub, live)
        self._changes.then(replaced.clear)
        self._modules = frozenset(sys.modules)
        Patches.active = self

    def take_in(self, modules: list[str]) -> None:
        """Workers have imported these modules: the locks that they have made get stand-ins, until
        all is undone; what they have taken by name from others is what it was then."""
        live = LiveObjects(new=True)
        imported(self._changes, self.hub, modules)
        adopt(self._changes, self.hub, live, modules)
        give_back(self._changes, self._rows, live, modules)

    def _put_in(self, table: Iterable[Patch], live: LiveObjects) -> None:
        """The replacements take the places of the originals."""
        rows = [row for row in table if row.by is not None and not self._own_code(row)]
        for row in rows:
            if row.owner is not None:
                self._changes.set(row.owner, row.attribute, row.by)
                for cls, real in row.overridden():
                    with contextlib.suppress(TypeError):  # a class that is not made in Python
                        self._changes.set(cls, row.attribute, guarded(real, row.body))
        names = [row for row in rows if row.owner is None]
        self._rows += names
        self._by.update(replace_names(self._changes, names, live))
        replaced.update(self._by)

    def _late(self, library: str) -> None:
        """``library`` has been imported while this was active."""
        groups = [name for name in self.groups if GROUPS[name].library == library]
        self._put_in(table(*groups, loaded=True), LiveObjects())

    def undo(self) -> None:
        """Undo all; nothing where none is applied."""
        Patches.active = None
        self._changes.undo()
        if len(sys.modules) != len(self._modules):
            new = [name for name in list(sys.modules) if name not in self._modules]
            give_back(self._changes, self._rows, None, new)
            self._changes.undo()
        self.hub.unmark()

    def now(self, function: Any) -> Any:
        """What takes the place of ``function``, if it is one of the originals itself, or a method
        of a lock that exists already."""
        if type(function) is BuiltinMethodType:
            owner = function.__self__
            if type(owner) in (RAW_LOCK, RAW_RLOCK):
                return getattr(self.hub.stand_in(owner), function.__name__)
        return self._by.get(identity(function), function)

    def _own_code(self, row: Patch) -> bool:
        """Whether this class is left to its own code, since its module is instrumented: what it
        is made of, locks and threads, is under control all the same."""
        module = row.name.partition(".")[0]
        if module in LOOPS:
            return False
        return row.owner not in (None, threading.Thread) and module in self.without


__all__ = ["CONTROLLED", "NOT_CONTROLLED", "SEEN", "Patch", "Patches", "table"]
