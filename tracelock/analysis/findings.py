"""What an analysis has to say: one :class:`Finding`, whatever it is about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

__all__ = ["ERROR", "NOTE", "SEVERITIES", "WARNING", "Finding", "sort_key"]

#: An order of events that is asked for: of each pair the first comes before the second.
Pairs = tuple[tuple[int, int], ...]

#: It happened in this very trace.
ERROR: Final = "error"
#: It did not happen here, and nothing in the trace keeps it from happening in another schedule.
WARNING: Final = "warning"
#: Worth knowing; often harmless.
NOTE: Final = "note"
SEVERITIES: Final = (ERROR, WARNING, NOTE)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in a trace.

    ``kind``: a word for programs (``lock-order``, ``data-race``, ``lost-update``, ...; all of them
    in ``tracelock.analysis.kinds``); ``severity``: ``error``, ``warning`` or ``note``; ``title``:
    the field's term and what it is about, in one line; ``explanation``: whole sentences for
    somebody who sees such a thing for the first time, with what to change. ``events``: the ``seq``
    of each event that proves it, in the order in which the explanation tells of them (none for
    what is about the whole run); ``workers``: their indices in the trace; ``targets``: variables
    and objects by name.

    ``shows``: where another schedule would show it, the orders that would, the likeliest first:
    each is pairs (a, b) of ``seq``, event a before event b. Empty where there is nothing to try.

    ``switch``: of real code, the class of the switch that it takes, see ``derived.switches``; ""
    where the trace does not say it.

    ``diagnosis``, ``cure``: one sentence each, without a full stop, in the terms of the user's
    source: what is wrong, and what to change. ``places``: the steps concerned, each once, in the
    order in which the diagnosis tells of them: ``file:line`` in real code, else a path in the
    scenario. ``rank``: its place among the findings of its trace, from 0. ``root``: it is what the
    failure of the run depends on; one finding of a run that failed, none of another.
    ``analyze`` fills in whatever of these is empty.
    """

    kind: str
    title: str
    explanation: str
    events: tuple[int, ...]
    workers: tuple[int, ...]
    targets: tuple[str, ...]
    severity: str = WARNING
    shows: tuple[Pairs, ...] = ()
    switch: str = ""
    diagnosis: str = ""
    cure: str = ""
    places: tuple[str, ...] = ()
    rank: int = 0
    root: bool = False

    def to_data(self) -> dict[str, Any]:
        """The finding as JSON data. ``shows`` is for the search and stays out."""
        return {
            "kind": self.kind, "severity": self.severity, "title": self.title,
            "explanation": self.explanation, "events": list(self.events),
            "workers": list(self.workers), "targets": list(self.targets),
            "diagnosis": self.diagnosis, "cure": self.cure, "places": list(self.places),
            "rank": self.rank, "root": self.root,
            **({"switch": self.switch} if self.switch else {}),
        }  # fmt: skip


def sort_key(finding: Finding) -> tuple[int, int, str]:
    """What happened first, then what may happen; among equals the earliest event first."""
    first = min(finding.events, default=0)
    return (SEVERITIES.index(finding.severity), first, finding.kind)
