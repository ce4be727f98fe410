"""The instrumented modules of one exploration: rewritten while it lasts, with their digests."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence

from tracelock.errors import UsageError
from tracelock.instrument import callers
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.rewrite.loading import Instrumentation


class Sources:
    """What is instrumented, and what a trace says of it."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)
        self._rewritten = Instrumentation(self.modules)

    def load(self) -> None:
        """Import the modules. Raises UsageError for one that cannot be imported."""
        callers.clear()
        callers.shown.clear()
        for name in self.modules:
            if name == "__main__":
                continue
            try:
                importlib.import_module(name)
            except ImportError as error:
                raise UsageError(f"instrument: {name} cannot be imported: {error}") from error
        callers.shown.update(self.modules)

    def rewrite(self, live: LiveObjects) -> None:
        """Rewrite them, until ``close``; the functions that there are, in place."""
        self._rewritten.install(live)

    def close(self) -> None:
        """Undo everything. Safe to call twice."""
        self._rewritten.uninstall()
        callers.shown.clear()
        callers.clear()

    @property
    def notes(self) -> list[str]:
        """What could not be rewritten, and why."""
        return self._rewritten.notes

    def of(self, ats: set[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The digests of the files and the functions of these places."""
        functions = {at: name for at in sorted(ats) if (name := self.function(at)) is not None}
        files = {at.rpartition(":")[0] for at in ats}
        return {file: digest for file in sorted(files) if (digest := self.digest(file))}, functions

    def digest(self, label: str) -> str | None:
        """The digest of a file as it is now, by the name that it has in traces."""
        known = self._rewritten.digests().get(label)
        if known is not None:
            return known
        path = callers.path_of(label)
        return None if path is None else callers.digest(path)

    def changed(self, recorded: Mapping[str, str]) -> list[str]:
        """The files of a trace that are not what they were."""
        return [
            file
            for file, digest in recorded.items()
            if (now := self.digest(file)) is not None and now != digest
        ]

    def function(self, at: str) -> str | None:
        """The function that is at a place now."""
        return callers.functions.get(at) or self._rewritten.sites.function(at)
