"""The statements of a trace on databases, and the transactions that they make up.

What a statement reads and writes is taken from its text, as far as that tells: the names of tables
after ``FROM``, ``JOIN``, ``INTO`` and ``UPDATE``. Which transactions were committed, and who holds
what, is told by the events themselves (see ``tracelock.trace.databases``).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from tracelock.analysis.derived.steps import Steps
from tracelock.ops import CHECKPOINT, SLEEP, WAIT, WAKE
from tracelock.trace.databases import CONNECTION, WAITS, WRITE_LOCK, database_of, step_of

__all__ = ["Commit", "SqlStatement", "Transactions", "same_rows"]

_NAME: Final = r"(\"[^\"]+\"|`[^`]+`|\[[^\]]+\]|[\w.]+)"
_READ: Final = re.compile(rf"\b(?:from|join)\s+{_NAME}", re.IGNORECASE)
_WRITTEN: Final = re.compile(
    rf"\b(?:(?:insert|replace)\s+(?:or\s+\w+\s+)?into|update(?:\s+or\s+\w+)?|delete\s+from)\s+{_NAME}",
    re.IGNORECASE,
)
_VERB: Final = re.compile(r"\W*(\w+)")
#: ``SET n = n + 1``: what is written does not depend on what was read before.
_OF_ITSELF: Final = re.compile(r"[\"`\[]?(\w+)[\"`\]]?\s*=\s*\(*\s*[\"`\[]?\1\b", re.IGNORECASE)
_PARAMETERS: Final = re.compile(r"(.*?) ([(\[].*[)\]])", re.DOTALL)
#: Of each so many of its last reads are looked through.
FAR: Final = 1_000
_ROWS: Final = ("rows of ", "end of ")
#: Events by which a task lets others go on.
_SUSPENDS: Final = frozenset({CHECKPOINT, SLEEP, WAKE})


class SqlStatement(NamedTuple):
    """One statement. ``holds_read``, ``holds_write``: what its connection holds afterwards."""

    seq: int
    worker: int
    connection: str
    database: str
    text: str
    verb: str
    holds_read: bool
    holds_write: bool
    refused: bool
    reads: frozenset[str]
    writes: frozenset[str]

    @property
    def blind(self) -> bool:
        """Whether what it writes does not depend on what its program has read."""
        _, _, assigned = self.text.lower().partition(" set ")
        return _OF_ITSELF.search(assigned.partition(" where ")[0]) is not None


@dataclass(slots=True)
class Commit:
    """A transaction that was committed by event ``seq``. ``writes``: its changing statements."""

    seq: int
    worker: int
    connection: str
    database: str
    writes: list[SqlStatement] = field(default_factory=list)


class Transactions:
    """``statements`` and ``commits`` in their order; ``names``: all variables that belong to
    databases; ``waits``: of a refused statement that waited, where the wait ended and whether in
    vain, -1 where the trace ends first."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.statements: list[SqlStatement] = []
        self.commits: list[Commit] = []
        self.names: set[str] = set()
        self.waits: dict[int, tuple[int, bool]] = {}
        for seq in range(len(steps)):
            self._look(seq)
        self._reads: dict[str, list[SqlStatement]] = {}
        for one in self.statements:
            if one.reads and not one.refused:
                self._reads.setdefault(self.actor(one.worker), []).append(one)
        self._find_commits()
        self._find_waits()

    def _look(self, seq: int) -> None:
        events = self.steps.events
        target, value, result = self.steps.targets[seq], events.values[seq], events.results[seq]
        named: list[tuple[str, Any]] = []
        for part in (value, result):
            if isinstance(part, dict):
                named += [(name, one) for name, one in part.items() if isinstance(name, str)]
            elif target is not None:
                named.append((target, part))
        told = [(name, step) for name, one in named if (step := step_of(one)) is not None]
        if not told:
            return
        database = next((found for name, _ in told if (found := database_of(name))), "")
        self.names.update(name for name, _ in named)
        if database:
            self.names.update((database, database + WRITE_LOCK))
        step = told[0][1]
        text = step.text
        rows = text.startswith(_ROWS)
        first = _VERB.match(text)
        verb = "" if rows or first is None else first[1].lower()
        changing = frozenset() if rows else _tables(_WRITTEN, text)
        looking = _tables(_READ, text) if verb in ("select", "with") else frozenset()
        self.statements.append(
            SqlStatement(
                seq, self.steps.workers[seq], step.connection, database, text, verb, step.reads,
                step.writes, step.refused, looking, changing,
            )
        )  # fmt: skip

    def _find_commits(self) -> None:
        pending: dict[str, list[SqlStatement]] = {}
        for one in self.statements:
            if one.refused:
                continue
            wrote = pending.setdefault(one.connection, [])
            if one.writes:
                wrote.append(one)
            if wrote and not one.holds_write:
                if one.verb not in ("rollback", "close"):
                    self.commits.append(
                        Commit(one.seq, one.worker, one.connection, one.database, wrote[:])
                    )
                wrote.clear()

    def _find_waits(self) -> None:
        steps = self.steps
        for one in self.statements:
            if not one.refused:
                continue
            own = steps.by_worker[one.worker]
            place = steps.locals[one.seq]  # of the next one
            if place >= len(own) or steps.kinds[own[place]] != WAIT:
                continue
            if WAITS not in (steps.targets[own[place]] or ""):
                continue
            after = own[place + 1] if place + 1 < len(own) else -1
            if after < 0:
                in_vain = steps.results[own[place]] is False
                self.waits[one.seq] = (own[place] if in_vain else -1, in_vain)
            else:
                ended = steps.kinds[after] in (WAKE, WAIT)
                self.waits[one.seq] = (after, ended and steps.results[after] is False)

    def is_task(self, worker: int) -> bool:
        """Whether a worker of a run with a loop is one of its tasks, as far as the trace tells."""
        steps = self.steps
        own = steps.by_worker[worker]
        return "/" not in steps.names[worker] or any(steps.kinds[seq] in _SUSPENDS for seq in own)

    def actor(self, worker: int) -> str:
        """The name of who has a statement made: of a thread that makes them for a task, the task.
        It may have each made by another thread."""
        name = self.steps.names[worker]
        if self.steps.cooperative and not self.is_task(worker):
            return name.rpartition("/")[0]
        return name

    def is_of_database(self, target: str) -> bool:
        """Whether a variable or an object belongs to a database or a connection."""
        return target in self.names or target.startswith(CONNECTION) or WAITS + "#" in target

    def holding(self, seq: int, database: str, but: str) -> list[SqlStatement]:
        """The connections, but that one, that hold something of a database before event ``seq``,
        each by the statement with which it began."""
        began: dict[str, SqlStatement] = {}
        for one in self.statements:
            if one.seq >= seq:
                break
            if one.connection == but or one.database not in (database, ""):
                continue
            if not (one.holds_read or one.holds_write):
                began.pop(one.connection, None)
            elif one.connection not in began or (
                one.holds_write and not began[one.connection].holds_write
            ):
                began[one.connection] = one
        return sorted(began.values(), key=lambda one: (not one.holds_write, one.seq))

    def read_before(self, actor: str, tables: frozenset[str], seq: int) -> SqlStatement | None:
        """The last statement with which ``actor`` has read of these tables before an event."""
        for one in reversed(self._reads.get(actor, ())[-FAR:]):
            if one.seq < seq and one.reads & tables and not one.writes:
                return one
        return None


def _tables(pattern: re.Pattern[str], text: str) -> frozenset[str]:
    return frozenset(found.strip('"`[]').lower() for found in pattern.findall(text))


def _which(one: SqlStatement) -> tuple[str, tuple[Any, ...]] | None:
    """Which rows a statement changes, as its condition says; None where that is not known."""
    found = _PARAMETERS.fullmatch(one.text)
    sql, given = (found[1], found[2]) if found is not None else (one.text, "()")
    condition = re.split(r"\bwhere\b", sql, maxsplit=1, flags=re.IGNORECASE)[1:]
    if not condition:
        return None
    try:
        values = ast.literal_eval(given)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    count = condition[0].count("?")
    return condition[0].strip(), tuple(map(repr, list(values)[-count:] if count else ()))


def same_rows(one: SqlStatement, other: SqlStatement) -> bool:
    """Whether two changing statements may be about the same rows: not if both say which, and say
    so differently."""
    mine, others = _which(one), _which(other)
    return mine is None or others is None or mine == others
