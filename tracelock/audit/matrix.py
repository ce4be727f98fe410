"""The answer of an audit: methods against methods, as data and as Markdown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from tracelock.trace import Trace

VERIFIED: Final = "verified"
PASSED: Final = "passed"
FAILED: Final = "failed"
UNFINISHED: Final = "unfinished"
SKIPPED: Final = "skipped"
#: How a cell is drawn where there is little room.
SIGNS: Final = {VERIFIED: "✓", PASSED: "·", FAILED: "✗", UNFINISHED: "?", SKIPPED: " "}


@dataclass
class AuditCell:
    """What is known of two methods side by side.

    ``methods``: the two, the same one twice for a method beside itself, and also in a column,
    where ``about`` says what it is about. ``verdict``: ``verified``
    (every inequivalent interleaving of each client was tried and explained, and nothing of them was
    unseen), ``passed`` (none of those that were tried went wrong; ``reason`` says what was not, or
    was not seen), ``failed``, ``unfinished`` (a bound cut schedules, or there is nothing to compare
    with), ``skipped``. ``kind``: the anomaly in two words, ``detail`` a sentence; ``client``: the
    smallest client with it, what came before and then the calls of each worker. ``clients``: that
    were explored, ``executions``: their interleavings,
    ``cancelled``: those in which a call was cancelled. ``program``: the path of the client as a
    program; ``trace``: where its trace was kept; ``recorded``: the trace itself.
    """

    methods: tuple[str, str]
    verdict: str = SKIPPED
    kind: str = ""
    detail: str = ""
    client: str = ""
    reason: str = ""
    clients: int = 0
    executions: int = 0
    cancelled: int = 0
    seconds: float = 0.0
    program: str | None = None
    trace: str | None = None
    recorded: Trace | None = None
    about: str = ""

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "methods": list(self.methods), "about": self.about or None, "verdict": self.verdict,
            "kind": self.kind or None, "client": self.client or None,
            "executions": self.executions, "trace": self.trace,
            "detail": self.detail or None, "reason": self.reason or None,
            "clients": self.clients, "cancelled": self.cancelled, "program": self.program,
            "seconds": round(self.seconds, 3),
        }  # fmt: skip


@dataclass
class EveryClient:
    """How far the clients of ``calls`` calls on each of ``workers`` workers were tried, which
    begin with an object as it is made: ``clients`` of them, with those of fewer calls in them.
    ``tried``, ``verified``: so many of them, ``executions``: their interleavings, ``reason``: why
    the first one that went well is not verified. ``sequences``: where none was explored, the calls
    one after the other of which it follows (``audit.atomic``)."""

    workers: int
    calls: int
    clients: int
    tried: int = 0
    verified: int = 0
    executions: int = 0
    sequences: int = 0
    reason: str = ""

    def __str__(self) -> str:
        share = "all" if self.tried == self.clients else f"{self.tried:,} of"
        told = f"{share} {self.clients:,} clients of {self.workers} workers with {self.calls} calls"
        if not self.tried:
            return f"{told}: none was tried"
        if self.sequences:
            return (
                f"{told}: verified; each call is a single step by the locks that it holds, in "
                f"{self.sequences:,} sequences of calls"
            )
        if self.verified == self.tried:
            return f"{told}: verified, {self.executions:,} interleavings"
        more = f": {self.reason}" if self.reason else ""
        return f"{told}: {self.verified:,} of them verified{more}"

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return {**vars(self), "reason": self.reason or None}


@dataclass
class Audited:
    """The answer of an audit.

    ``name``: of the class; ``init``: how objects were made; ``workers``: ``threads`` or ``tasks``;
    ``backend``: ``threading``, ``asyncio`` or ``trio``;
    ``model``: what it was judged by, where that is not the class itself; ``methods``: the rows of
    the matrix; ``cells``: each pair of methods once; ``columns``: what else was asked, of each
    method (``closed``: closed twice, or used when it is closed; ``cancelled``: at each of its
    awaits; ``deadline``: with a limit of time that is over);
    ``longer``: clients of more calls that went wrong where all pairs went well;
    ``every_client``: how far all clients of some number of calls were tried, of threads;
    ``missing``: methods without arguments, with the reason; ``states``: what was called before;
    ``schedules``, ``clients``, ``seconds``: what it took; ``notes``: sentences.
    """

    name: str
    init: str
    workers: str = "threads"
    model: str | None = None
    backend: str = "threading"
    methods: list[str] = field(default_factory=list)
    cells: list[AuditCell] = field(default_factory=list)
    columns: dict[str, list[AuditCell]] = field(default_factory=dict)
    longer: list[AuditCell] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    states: list[str] = field(default_factory=list)
    schedules: int = 0
    clients: int = 0
    longer_clients: int = 0
    every_client: EveryClient | None = None
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """``failed`` where any cell is, ``verified`` only where all cells and all longer clients
        that were tried are, and no method was left out; ``unfinished`` where nothing was tried, or
        a bound cut something."""
        found = {one.verdict for one in self.every}
        if FAILED in found:
            return FAILED
        if UNFINISHED in found or not found & {VERIFIED, PASSED}:
            return UNFINISHED
        longer = self.every_client
        unproved = bool(self.missing) or (longer is not None and longer.verified < longer.tried)
        return VERIFIED if found == {VERIFIED} and not unproved else PASSED

    @property
    def anomalies(self) -> list[AuditCell]:
        """The cells that went wrong."""
        return [one for one in self.every if one.verdict == FAILED]

    @property
    def every(self) -> list[AuditCell]:
        """All cells."""
        columns = [one for cells in self.columns.values() for one in cells]
        return [*self.cells, *columns, *self.longer]

    def cell(self, one: str, other: str) -> AuditCell | None:
        """The cell of two methods, in whichever order."""
        for cell in self.cells:
            if set(cell.methods) == {one, other}:
                return cell
        return None

    def column(self, about: str, method: str) -> AuditCell | None:
        """The cell of a method in a column."""
        cells = self.columns.get(about, ())
        return next((one for one in cells if one.methods[0] == method), None)

    @property
    def summary(self) -> str:
        """The verdict in a sentence."""
        count = {
            word: sum(one.verdict == word for one in self.cells)
            for word in (VERIFIED, PASSED, FAILED, UNFINISHED, SKIPPED)
        }
        told = ", ".join(f"{number} {word}" for word, number in count.items() if number)
        more = []
        for about, cells in self.columns.items():
            wrong = sum(one.verdict == FAILED for one in cells)
            more.append(f"; {about}: {wrong or 'none'} of {len(cells)} methods failed")
        return (
            f"{self.verdict}: {len(self.cells)} pairs of methods: {told or 'none'}{''.join(more)}"
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.summary}"

    def to_data(self) -> dict[str, Any]:
        """As JSON: ``{"class", "verdict", "cells": [...]}`` and what else is known."""
        return {
            "class": self.name, "verdict": self.verdict, "summary": self.summary,
            "cells": [one.to_data() for one in self.cells],
            "columns": {
                about: [one.to_data() for one in cells] for about, cells in self.columns.items()
            },
            "workers": self.workers, "backend": self.backend, "model": self.model,
            "every_client": None if self.every_client is None else self.every_client.to_data(),
            "longer": [one.to_data() for one in self.longer],
            "init": self.init, "methods": self.methods, "missing": self.missing,
            "states": self.states, "clients": self.clients, "longer_clients": self.longer_clients,
            "schedules": self.schedules, "seconds": round(self.seconds, 3), "notes": self.notes,
        }  # fmt: skip

    def to_markdown(self) -> str:
        """A table for the documentation of a library."""
        lines = [
            f"### Thread safety of `{self.name}`", "", self.summary + ".", "",
            "| | " + " | ".join([
                *(f"`{_escaped(one)}`" for one in self.methods), *self.columns
            ]) + " |",
            "|---|" + "---|" * (len(self.methods) + len(self.columns)),
        ]  # fmt: skip
        for row, one in enumerate(self.methods):
            cells = []
            for other in self.methods[: row + 1]:
                cell = self.cell(other, one)
                cells.append("" if cell is None else cell.kind or SIGNS[cell.verdict].strip())
            cells += [""] * (len(self.methods) - row - 1)
            for about in self.columns:
                cell = self.column(about, one)
                cells.append("" if cell is None else cell.kind or SIGNS[cell.verdict].strip())
            lines.append(f"| `{_escaped(one)}` | " + " | ".join(map(_escaped, cells)) + " |")
        lines += [
            "",
            f"{SIGNS[VERIFIED]} verified, {SIGNS[PASSED]} none of the interleavings that "
            f"were tried went wrong, {SIGNS[UNFINISHED]} not decided, empty: not tried.",
            "",
        ]
        for cell in self.anomalies:
            lines.append(f"- **{_escaped(cell.kind)}**: `{cell.client}`: {_escaped(cell.detail)}")
        lines += [f"- not tried: `{name}`: {_escaped(why)}" for name, why in self.missing.items()]
        return "\n".join(lines).rstrip() + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
