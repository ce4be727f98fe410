"""What a crash of the machine has lost because nothing had synced it (see ``trace.crashes``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.findings import ERROR, NOTE, Finding
from tracelock.trace.crashes import CRASH, DISK, crash_of, cures

__all__ = ["not_synced"]

#: How many operations are listed in one sentence.
MOST: Final = 4


def not_synced(facts: Facts) -> Iterator[Finding]:
    """An error (``not-synced``) where the run failed on what a crash has left, and that lacks
    operations that were made; a note where it did not fail."""
    severity = ERROR if facts.trace.verdict.kind == "failed" else NOTE
    for seq, chosen in facts.chosen(CRASH):
        told = crash_of(chosen)
        if told is None or not told.lost:
            continue
        lost, there = _listed(told.lost), _listed(told.durable)
        kept = f", and kept {there}" if there else ""
        cure = ", and ".join(cures(told.lost)[:MOST]) or "call os.fsync on what is relied on"
        yield facts.finding(
            "not-synced", severity, f"lost in a crash: {lost}",
            f"The machine crashed, which lost {lost}{kept}. To write, to close and to rename "
            "promise nothing about a crash: a system puts on the disk what it likes, when it "
            "likes, in any order. What relies on an operation has to come after a sync of it: "
            f"{cure}.",
            [seq], [DISK],
            diagnosis=f"a crash loses {lost}, which nothing had synced"
            f"{', and keeps ' + there if there else ''}",
            cure=cure,
        )  # fmt: skip


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
    return ", ".join(found[:MOST]) + more
