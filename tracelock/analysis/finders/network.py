"""What a network did that it may do, where the run then failed: a read that gave less than was
sent, and faults. A trace that was made small has only those without which it does not fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.findings import ERROR, NOTE, Finding
from tracelock.trace.network import BYTES_READ, FAULT, READ_SIZES

__all__ = ["network_faults", "short_reads"]

#: What a read may give that is less than all that has come -> in words.
_LESS: Final = dict(zip(READ_SIZES[1:], (
    "what one write had sent, and not the next", "one byte of what had been sent",
    "all but the last byte of what had been sent",
), strict=True))  # fmt: skip
#: A fault -> what it is in words, and what to do about it.
FAULTS: Final = {
    "refused": ("a connection is refused", "try again after a while, and end it in the end"),
    "timed out": (
        "a connection is not answered", "give it a time-out; undo what was begun when that strikes"
    ),
    "reset": (
        "a connection is reset, after which nobody knows what the other end has carried out",
        "give each request a number by which the other end knows it again, or ask before it is "
        "sent again; close what is left of the connection",
    ),
    "unresolved": ("a name is not resolved", "try again after a while, and end it in the end"),
    "half-closed": (
        "a connection ends in one direction", "take the end of what is read for the end of it all"
    ),
    "slow reader": ("the other end reads slowly", "bound what waits to be sent"),
    "delay": (
        "what was sent first comes after what was sent later by another connection",
        "number the messages, or wait for the answer before the next one is sent",
    ),
    "partition": (
        "two hosts do not reach each other for a while",
        "let only a majority, or who holds a lease, decide; read from there",
    ),
    "crash": ("a host crashes", "write down what was promised before it is promised"),
    "lost": ("a datagram is lost", "send it again until it is acknowledged"),
    "doubled": ("a datagram comes twice", "number the datagrams, and pass over what has come"),
    "reordered": ("datagrams come in another order", "number the datagrams, and put them in order"),
}  # fmt: skip


def short_reads(facts: Facts) -> Iterator[Finding]:
    """An error (``short-read``) where the run failed after a read gave less than had been sent; a
    note where it did not fail."""
    for seq, chosen in facts.chosen(BYTES_READ):
        less = _LESS.get(chosen)
        if less is None:
            continue
        name = _name(facts, seq)
        yield _finding(
            facts, "short-read", seq, f"a read gave {less}",
            f"A read of {name} gave {less}. TCP carries bytes in order and keeps no borders "
            "between writes: what one read gives may be a part of a message, or several. "
            "On one machine that is rare; it is common over a real network.",
            f"{name} reads {less}, and takes that for a whole message", "",
        )  # fmt: skip


def network_faults(facts: Facts) -> Iterator[Finding]:
    """An error (``network-fault``) where the run failed after a fault that was asked for; a note
    where it did not fail."""
    for seq, chosen in facts.chosen(FAULT):
        if chosen not in FAULTS:
            continue
        what, cure = FAULTS[chosen]
        name = _name(facts, seq)
        yield _finding(
            facts, "network-fault", seq, f"{chosen}: {what}",
            f"While {name} used the network, {what}. A network may do that at any time; the run "
            "was asked to show what comes of it.",
            f"{what} ({name}), and the program does not stand it", cure,
        )  # fmt: skip


def _name(facts: Facts, seq: int) -> str:
    """Who did it; on a loop of asyncio the callbacks of the loop do it for its tasks."""
    name = facts.steps.names[facts.steps.workers[seq]]
    return "a task of the loop" if name.endswith("loop:callbacks") else name


def _finding(
    facts: Facts, kind: str, seq: int, title: str, why: str, diagnosis: str, cure: str
) -> Finding:
    severity = ERROR if facts.trace.verdict.kind in ("failed", "deadlock") else NOTE
    target = facts.steps.targets[seq] or ""
    return facts.finding(
        kind, severity, title, why, [seq], [target], diagnosis=diagnosis, cure=cure
    )  # fmt: skip
