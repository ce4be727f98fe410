"""The instrumented modules of one exploration: rewritten while it lasts, with their digests."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Self

from tracelock.errors import UsageError
from tracelock.instrument import callers
from tracelock.instrument.rewrite.loading import Instrumentation


class Sources(Instrumentation):
    """What is instrumented, and what a trace says of it.

    Entering imports the modules and rewrites them; raises UsageError for one that cannot be
    imported.
    """

    def __enter__(self) -> Self:
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
        return super().__enter__()

    def __exit__(self, *exc: object) -> None:
        super().__exit__()
        callers.shown.clear()
        callers.clear()

    def of(self, ats: set[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The digests of the files and the functions of these places."""
        functions = {at: name for at in sorted(ats) if (name := self.function(at)) is not None}
        files = {at.rpartition(":")[0] for at in ats}
        return {file: digest for file in sorted(files) if (digest := self.digest(file))}, functions

    def digest(self, label: str) -> str | None:
        """The digest of a file as it is now, by the name that it has in traces."""
        known = self.digests.get(label)
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
        return callers.functions.get(at) or self.sites.function(at)
