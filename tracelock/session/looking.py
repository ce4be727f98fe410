"""Which modules an exploration looks into, as it goes on: what schedules turn out to run."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tracelock.backends.calls import may_import
from tracelock.instrument.rewrite.sites import source_of
from tracelock.instrument.rewrite.standard import BESIDE, never, stood_on
from tracelock.session.first_party import exactly, named
from tracelock.trace.shared import sets_in, shared_in

if TYPE_CHECKING:
    from tracelock.instrument.backend import PythonBackend
    from tracelock.instrument.program import PythonProgram
    from tracelock.instrument.rewrite.loading import Sources
    from tracelock.trace import Trace

_LATE: Final = (
    "a worker was the first to import it, which is done once in a process: what others do in the "
    "middle of that was not tried in every order"
)


class Looking:
    """What is looked into of a program. ``fixed``: that is what a trace says, and no more."""

    def __init__(self, program: PythonProgram, sources: Sources, backend: PythonBackend) -> None:
        self.program = program
        self.sources = sources
        self.backend = backend
        self.fixed = False

    def further(self) -> bool:
        """Look into what the schedules so far have run without being looked into, if it is the
        user's own, or all is to be. Whether there is anything new."""
        found = self._further()
        self.backend.names.mortal = self.backend.names.mortal or self.sources.mortal
        return found

    def _further(self) -> bool:
        program, sources = self.program, self.sources
        if self.fixed or not (program.owns or program.every):
            return False
        own, others = [], []
        for name in sorted(self.backend.account.account.unlooked):
            path = source_of(name)
            if path is None or sources.covers(name) or never(name):
                continue
            if name in BESIDE or self._owns(name, path):
                own.append(name)
            elif program.every and not stood_on(name):
                others.append(name)
        program.found += others
        sources.look_into([*own, *others])
        if own or others:
            self.backend.account.restart()
        return bool(own or others)

    def as_in(self, trace: Trace) -> None:
        """Look into what was looked into when the trace was recorded, as well."""
        recorded = exactly(trace.scenario.get("python", {}))
        if self.program.owns is None or not recorded:
            return
        names = [name for name in named(recorded).names if not self.sources.covers(name)]
        names = may_import(names)
        for name in names:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        self.sources.look_into(names)

    def preset(self, trace: Trace | None) -> None:
        """Let what a trace has accesses to be shared, and nothing else; of none, learn that."""
        if trace is not None:
            self.backend.names.preset(shared_in(trace))
            self.backend.names.recorded_sets = sets_in(trace)

    def share(self, wanted: Callable[[str], bool]) -> bool:
        """As ``Host.share``."""
        names = self.backend.names
        known = list(names.variables.items())
        new = [name for name, variable in known if not variable.shared and wanted(name)]
        names.preset(new)
        return bool(new)

    def modules(self) -> list[str]:
        """All that are looked into, but for those that were found for ``all``."""
        found = frozenset(self.program.found)
        return [name for name in self.sources.modules if name not in found]

    def note_late(self) -> None:
        """Of modules that workers were the first to import nothing is proved: the account says
        so."""
        names = sorted(self.backend.hub.imported)
        looked_up = any(
            one.shared
            for name, one in self.backend.names.variables.items()
            if name.startswith("sys.modules")
        )
        if not looked_up:
            names = [
                name for name in names
                if self.sources.covers(name) or self._owns(name, source_of(name))
            ]  # fmt: skip
        for name in names:
            self.backend.account.account.unseen.setdefault(name, _LATE)

    def _owns(self, name: str, path: str | None) -> bool:
        owns = self.program.owns
        return owns is not None and owns(name, path)
