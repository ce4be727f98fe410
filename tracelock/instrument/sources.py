"""The instrumented modules of one exploration: rewritten while it lasts, with their digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tracelock.instrument import places


class Sources:
    """What is instrumented, and what a trace says of it. A context manager."""

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)
        self._inner: Any = None

    def __enter__(self) -> Sources:
        places.clear()
        places.shown.clear()
        places.shown.update(self.modules)
        return self

    def __exit__(self, *exc: object) -> None:
        places.shown.clear()
        places.clear()

    def of(self, ats: set[str]) -> tuple[dict[str, str], dict[str, str]]:
        """The digests of the files and the functions of these places."""
        functions = {at: places.functions[at] for at in sorted(ats) if at in places.functions}
        files = {at.rpartition(":")[0] for at in ats}
        return {file: digest for file in sorted(files) if (digest := self.digest(file))}, functions

    def digest(self, label: str) -> str | None:
        """The digest of a file as it is now, by the name that it has in traces."""
        path = places.path_of(label)
        return None if path is None else places.digest(path)

    def changed(self, recorded: Mapping[str, str]) -> list[str]:
        """The files of a trace that are not what they were."""
        return [
            file
            for file, digest in recorded.items()
            if (now := self.digest(file)) is not None and now != digest
        ]

    def function(self, at: str) -> str | None:
        """The function that is at a place now."""
        return places.functions.get(at)
