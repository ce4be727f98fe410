"""How the events of a trace tell of databases: who writes them, and who reads them, use this."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

__all__ = [
    "CONNECTION", "DATABASE", "DIVIDED", "WAITS", "WRITE_LOCK", "DatabaseStep", "database_of",
    "part_name", "step_of", "told",
]  # fmt: skip

#: What the names of variables begin with: of a database in memory that several connections have,
#: of a connection. A database in a file is called as the file.
DATABASE: Final = "database:"
CONNECTION: Final = "connection:"
#: What the name of the right to write ends with, and of what somebody waits for.
WRITE_LOCK: Final = " write lock"
WAITS: Final = " let go"
#: What the name of the variable ends with that says that parts of a database are told apart.
DIVIDED: Final = " is divided"
#: The longest text of a statement, in characters.
LONGEST: Final = 200
#: A longer value of an event is no statement: a bound against traces from strangers.
MOST: Final = 1_000
#: What a connection holds after a statement, in words; the last: it was refused.
_HOLDS: Final = ("", " (in a read)", " (holds the write lock)")
_REFUSED: Final = " (database is locked)"
_TOLD: Final = re.compile(
    r"(?P<connection>.+?#\d+): (?P<text>.*?)"
    r"(?P<read> \(in a read\))?(?P<write> \(holds the write lock\))?"
    r"(?P<refused> \(database is locked\))?",
    re.DOTALL,
)
_PART: Final = re.compile(r" part \d+$")
_WAITED: Final = re.compile(rf"(.*?){WAITS}#\d+@.*", re.DOTALL)


class DatabaseStep(NamedTuple):
    """What one event says of a database. ``connection``: whose statement ``text`` is; ``reads``,
    ``writes``: what it holds afterwards; ``refused``: another connection was in the way."""

    connection: str
    text: str
    reads: bool
    writes: bool
    refused: bool


def told(connection: str, text: str, holds: int = 0, refused: bool = False) -> str:
    """A statement, as the value of an event. ``holds``: 0 nothing, 1 a read, 2 the write lock."""
    plain = " ".join(text.split())
    short = plain if len(plain) <= LONGEST else plain[: LONGEST - 3] + "..."
    return f"{connection}: {short}{_HOLDS[holds]}{_REFUSED if refused else ''}"


def step_of(value: Any) -> DatabaseStep | None:
    """What ``told`` has said; None where a value is something else."""
    if not isinstance(value, str) or len(value) > MOST:
        return None
    found = _TOLD.fullmatch(value)
    if found is None:
        return None
    return DatabaseStep(
        found["connection"], found["text"], found["read"] is not None,
        found["write"] is not None, found["refused"] is not None,
    )  # fmt: skip


def database_of(target: str | None) -> str:
    """The variable of the database that the target of an event about one belongs to; "" for the
    connection's own."""
    if target is None or target.startswith(CONNECTION):
        return ""
    waited = _WAITED.fullmatch(target)
    if waited is not None:
        return waited[1]
    return _PART.sub("", target).removesuffix(WRITE_LOCK).removesuffix(DIVIDED)


def part_name(database: str, number: int) -> str:
    """The variable of one part of a database: some of the rows of some of its tables."""
    return f"{database} part {number}"
