"""What a trace is: a header, the events, a verdict. See the trace format, tracelock-trace/1."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.errors import TraceError
from tracelock.trace.events import Events
from tracelock.trace.files import check_parts, parts_of, save
from tracelock.trace.header import FORMAT, HEADER
from tracelock.trace.text import dumps, encode
from tracelock.trace.verdict import Verdict

__all__ = ["FILES", "NAMES", "Trace"]

#: Keys of the header of real code: what people call workers and objects, by their stable names, and
#: where source files lie below the project's folder, by the names that places have.
NAMES: Final = "names"
FILES: Final = "files"


@dataclass(slots=True)
class Trace:
    """One run, self-contained: see TRACE.md. ``extra`` holds unknown keys of the header.

    The scenario is opaque data here. ``workers`` are the workers' names; an event holds an
    index into them. Equality counts times; :meth:`digest` does not.
    """

    scenario: dict[str, Any]
    backend: str
    mode: str
    strategy: dict[str, Any] | None
    clock: str
    environment: dict[str, Any]
    workers: list[str]
    events: Events
    verdict: Verdict
    tracelock: str = "0.1.0"
    extra: dict[str, Any] = field(default_factory=dict)

    def header(self) -> dict[str, Any]:
        """The header as data, in the file's order: all but events and verdict."""
        return {
            "format": FORMAT, "tracelock": self.tracelock, "scenario": self.scenario,
            "backend": self.backend, "mode": self.mode, "strategy": self.strategy,
            "clock": self.clock, "environment": self.environment, "workers": self.workers,
            **self.extra,
        }  # fmt: skip

    @classmethod
    def from_parts(cls, header: dict[str, Any], events: Events, verdict: Verdict) -> Trace:
        """Put a trace together from data, checked. Raises :class:`TraceError`."""
        check_parts(header, events, verdict)
        extra = {key: value for key, value in header.items() if key not in HEADER}
        return cls(
            header["scenario"], header["backend"], header["mode"], header["strategy"],
            header["clock"], header["environment"], header["workers"], events, verdict,
            header["tracelock"], extra,
        )  # fmt: skip

    def check_workers(self, names: list[str]) -> None:
        """Raises :class:`TraceError` where these are not the workers that the run had."""
        if list(self.workers) != names:
            raise TraceError(
                f"the trace's workers ({', '.join(self.workers)}) are not those of its scenario "
                f"({', '.join(names)})"
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the file, whole or not at all; ``.gz`` at the end of the name compresses.

        Raises :class:`UsageError` where it cannot be written, :class:`TraceError` where the
        trace holds what the format does not allow (NaN, an unknown mode, ...).
        """
        save(path, self.header(), self.events, self.verdict)

    def to_text(self) -> str:
        """The file's text. For a long trace :meth:`save` needs far less memory."""
        return "".join(parts_of(self.header(), self.events, self.verdict))

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything but the times, the environment, the version and
        what the header has for people alone (``names``, ``files``).

        Two runs of one seed have the same digest, on whatever machine and Python.
        """
        rest = {**self.header(), "verdict": self.verdict.to_data()}
        for key in ("environment", "tracelock", NAMES, FILES):
            rest.pop(key, None)
        digest = hashlib.sha256(encode(dumps(rest, "the header", canonical=True)))
        digest.update(self.events.digest().encode())
        return digest.hexdigest()
