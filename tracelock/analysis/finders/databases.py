"""Databases: who was refused and why, what was overwritten, what was relied on and had changed.

A transaction keeps others away from what it reads only as long as it lasts. *Lost update* and
*write skew* are those of Berenson and others, *A critique of ANSI SQL isolation levels* (SIGMOD
1995): here they happen where a program reads in one transaction and writes in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.derived.transactions import Commit, SqlStatement, Transactions, same_rows
from tracelock.analysis.findings import ERROR, WARNING, Finding
from tracelock.ops import ACQUIRE, WAIT

__all__ = ["databases"]

#: What SQLite says to who is refused.
_LOCKED: Final = "database is locked"
_ENDING: Final = frozenset({"commit", "rollback", "end", "close", "release"})
_IMMEDIATE: Final = "begin the transaction with `BEGIN IMMEDIATE`, which waits for its turn"
#: Of a long trace, so many commits are compared, the last ones; so many changes of each; and so
#: many statements that were refused are told.
MOST: Final = 60
CHANGES: Final = 20
REFUSED: Final = 50


def databases(facts: Facts) -> list[Finding]:
    """A finding for each statement that was refused for good, each transaction that was left open
    across an await, and each one that wrote what it had concluded from a state that was no more."""
    about = facts.transactions
    if not about.statements:
        return []
    return [*_refused(facts, about), *_open(facts, about), *_stale(facts, about)]


def _failed_so(facts: Facts) -> bool:
    """Whether the run failed because a database was locked."""
    verdict = facts.trace.verdict
    return verdict.kind == "failed" and _LOCKED in (verdict.message or "")


# --- refused -----------------------------------------------------------------------------------
def _refused(facts: Facts, about: Transactions) -> list[Finding]:
    found = []
    for one in [one for one in about.statements if one.refused][-REFUSED:]:
        ended, in_vain = about.waits.get(one.seq, (one.seq, True))
        if in_vain:
            found.append(_locked(facts, about, one, ended))
    return found


def _locked(facts: Facts, about: Transactions, one: SqlStatement, ended: int) -> Finding:
    """``one`` was refused at once, or after a wait that ended with event ``ended``."""
    names, steps = facts.steps.names, facts.steps
    waited = one.seq in about.waits
    last = ended if waited and ended >= 0 else one.seq
    holders = about.holding(last, one.database, one.connection)
    mine = next(
        (
            mine for mine in about.holding(one.seq, one.database, "")
            if mine.connection == one.connection
        ),
        None,
    )  # fmt: skip
    name = names[one.worker]
    events = [mine.seq if mine is not None else -1, *(each.seq for each in holders[:2]), one.seq]
    verdict = facts.trace.verdict
    own = verdict.worker in (one.worker, None)
    if verdict.worker is not None and 0 <= verdict.worker < len(names):
        own = own or names[verdict.worker] == about.actor(one.worker)
    severity = ERROR if _failed_so(facts) and own else WARNING
    if not _failed_so(facts) and verdict.kind != "failed":
        severity = WARNING
    parts, circle = [], False
    for holder in holders[:2]:
        what = "the write lock" if holder.holds_write else "a read"
        began = f"{names[holder.worker]} holds {what} by {_cite(facts, holder)}"
        doing, closes, more = _doing(facts, about, holder, one, last)
        circle = circle or closes
        events += more
        parts.append(f"{began}, and {doing}")
    if waited:
        events.append(last)
        how = f"waits in vain with {_cite(facts, one)}"
        end = "Its time is up, and SQLite says that the database is locked."
        cure = (
            "keep transactions short, and end them (`with connection`) before anything is awaited"
        )
        if circle:
            cure = "take the database and what else is waited for in the same order everywhere"
    else:
        how = f"is refused at once with {_cite(facts, one)}"
        end = ""
        cure = "give the connection a `timeout`, or catch the error and try again"
    if mine is not None and not mine.holds_write and one.verb not in _ENDING:
        since = f"It reads since {_cite(facts, mine)}"
        end = (
            f"{since}, in a transaction that began without the right to write: SQLite does not "
            "wait then, since neither of the two could ever go on."
            if holders
            else f"{since}, and what it reads has been changed since: SQLite lets nobody write on "
            "the ground of an old state."
        )
        cure = _IMMEDIATE
    who = "; ".join(parts)
    title = f"{name} finds the database locked"
    if circle:
        title = f"{name} and {names[holders[0].worker]} wait for each other at a database"
    text = f"{name} {how}. {who + '. ' if who else ''}{end}"
    workers = [one.worker, *(holder.worker for holder in holders)]
    return facts.finding(
        "database-locked", severity, title, text.strip(), sorted({*events} - {-1}),
        (one.database,), workers, cure=cure,
        diagnosis=f"{title[:1].lower()}{title[1:]}: `{_short(one)}`"
        + (f" while {names[holders[0].worker]} is in `{_short(holders[0])}`" if holders else ""),
        places=[steps.at(one.seq)],
    )  # fmt: skip


def _doing(
    facts: Facts, about: Transactions, holder: SqlStatement, one: SqlStatement, seq: int
) -> tuple[str, bool, list[int]]:
    """What the worker of ``holder`` does when ``one`` gives up at event ``seq``; whether that is
    to wait for the worker of ``one``; the events that say so."""
    steps, name = facts.steps, facts.steps.names[one.worker]
    if holder.worker == one.worker:
        return "it is the same worker, by another connection", True, []
    own = steps.by_worker[holder.worker]
    before = [each for each in own if each < seq]
    after = next((each for each in own if each > seq), -1)
    last = before[-1] if before else -1
    refused = next((s for s in about.statements if s.seq in before[-2:] and s.refused), None)
    if last >= 0 and steps.kinds[last] == WAIT and refused is not None:
        return f"waits for {name} with {_cite(facts, refused)}", True, [refused.seq]
    if after >= 0 and steps.kinds[after] == ACQUIRE:
        lock = steps.targets[after] or ""
        taken = facts.held_at(one.worker, steps.lock_of(lock), seq)
        if taken >= 0:
            return f"waits for {facts.said(lock, after)}, which {name} holds", True, [taken]
    held = facts.locks.holds[seq] if one.seq in about.waits and 0 <= seq < len(steps) else ()
    if after < 0 and held and not steps.cooperative:  # time passes when nobody else can go on
        locks = ", ".join(dict.fromkeys(facts.said(hold.lock) for hold in held))
        return f"waits too when nobody can go on, and {name} holds {locks}", True, [held[0].taken]
    if after < 0:
        return "has not ended it when the run ends", False, []
    if steps.cooperative and last >= 0:
        return f"is suspended {facts.cite(last)}", False, [last]
    return f"has not ended it {facts.cite(last)}", False, []


# --- left open across an await -----------------------------------------------------------------
def _open(facts: Facts, about: Transactions) -> list[Finding]:
    """Transactions during which their task has let others go on: another one has made a step."""
    steps = facts.steps
    found: list[Finding] = []
    if not steps.cooperative:
        return found
    began: dict[str, SqlStatement] = {}
    left: dict[tuple[str, str], Finding] = {}
    for one in [*about.statements, None]:
        for connection, first in list(began.items()):
            if one is not None and (one.connection != connection or one.refused):
                continue
            until = len(steps) if one is None else one.seq
            during = _other(about, first, until)
            if during >= 0 and (connection, first.text) not in left:
                left[connection, first.text] = _left_open(facts, about, first, during, one)
            began.pop(connection)
        if one is None or one.refused or not about.is_task(one.worker):
            continue
        if one.holds_read or one.holds_write:
            began[one.connection] = one
    return [*left.values()]


def _other(about: Transactions, first: SqlStatement, until: int) -> int:
    """The first event of another task of the same connection's databases after ``first``."""
    steps = about.steps
    return next(
        (
            seq for seq in range(first.seq + 1, until)
            if steps.workers[seq] != first.worker and about.is_task(steps.workers[seq])
        ),
        -1,
    )  # fmt: skip


def _left_open(
    facts: Facts, about: Transactions, first: SqlStatement, during: int, then: SqlStatement | None
) -> Finding:
    name = facts.steps.names[first.worker]
    until = len(facts.steps) if then is None else then.seq
    refused = next(
        (
            one for one in about.statements
            if one.refused and during <= one.seq < until and one.connection != first.connection
        ),
        None,
    )  # fmt: skip
    held = ""
    if refused is not None:
        held = f" Meanwhile {facts.steps.names[refused.worker]} is refused with "
        held += f"{_cite(facts, refused)}."
    ends = "" if then is None else f", before it goes on with {_cite(facts, then)}"
    severity = ERROR if refused is not None and _failed_so(facts) else WARNING
    return facts.finding(
        "open-transaction", severity, f"{name} awaits in the middle of a transaction",
        f"{name} is in a transaction after {_cite(facts, first)}, and awaits: "
        f"{facts.steps.name(during)} goes on {facts.cite(during)}{ends}. For as long as that takes "
        "others cannot write, and a task that waits for the database stops the whole loop, so that "
        f"nobody can end the transaction.{held}",
        (first.seq, during, -1 if refused is None else refused.seq), (first.database,),
        (first.worker,), places=[facts.steps.at(first.seq)],
    )  # fmt: skip


# --- what had changed by then -------------------------------------------------------------------
def _stale(facts: Facts, about: Transactions) -> list[Finding]:
    found: list[Finding] = []
    severity = WARNING
    if facts.trace.verdict.kind == "failed" and not _failed_so(facts):
        severity = ERROR
    commits = about.commits[-MOST:]
    for mine in commits:
        one = next(
            (
                one for write in mine.writes[:CHANGES] for other in commits
                if (one := _changed(facts, about, mine, write, other, severity)) is not None
            ),
            None,
        )  # fmt: skip
        if one is not None:
            found.append(one)
    return found


def _changed(
    facts: Facts,
    about: Transactions,
    mine: Commit,
    write: SqlStatement,
    other: Commit,
    severity: str,
) -> Finding | None:
    """Whether ``other`` has changed what the worker of ``mine`` had read before ``write``."""
    if other.connection == mine.connection or other.seq >= mine.seq:
        return None
    name, by = about.actor(mine.worker), about.actor(other.worker)
    if other.database != mine.database or name == by:
        return None
    changed = frozenset().union(*(one.writes for one in other.writes[:CHANGES]))
    read = about.read_before(name, changed, write.seq)
    if read is None or not read.seq < other.seq:
        return None
    again = [one for one in other.writes if one.writes & write.writes]
    events = [read.seq, other.writes[0].seq, other.seq, write.seq, mine.seq]
    begin = (
        f"{name} reads with {_cite(facts, read)}. Then {by} commits {_cite(facts, other.writes[0])}"
    )
    if again and write.verb == "update" and any(same_rows(one, write) for one in again):
        if write.blind:
            return None
        return _of(
            facts, "database-lost-update", severity,
            f"Lost update: {name} overwrites what {by} has written",
            f"{begin}, and {name} writes {_cite(facts, write)} on the ground of what it had read: "
            f"what {by} has written is lost.", events, mine.database, (read, write),
        )  # fmt: skip
    theirs = about.read_before(by, write.writes, other.writes[0].seq)
    if theirs is not None and not write.blind:
        return _of(
            facts, "write-skew", severity,
            f"Write skew: {name} and {by} each change what the other has read",
            f"{name} reads with {_cite(facts, read)}, {by} with {_cite(facts, theirs)}. {by} "
            f"commits {_cite(facts, other.writes[0])}, {name} {_cite(facts, write)}: each of the "
            "two is right after what it has read, and one after the other they would not both have "
            "been made.", [theirs.seq, *events], mine.database, (read, write),
        )  # fmt: skip
    if write.blind:
        return None
    return _of(
        facts, "stale-read", severity,
        f"{name} writes on the ground of what {by} has changed",
        f"{begin}, and {name} writes {_cite(facts, write)}: what it had read is not so any more.",
        events, mine.database, (read, write),
    )  # fmt: skip


def _of(
    facts: Facts, kind: str, severity: str, title: str, text: str, events: Sequence[int],
    database: str, about: tuple[SqlStatement, SqlStatement],
) -> Finding:  # fmt: skip
    return facts.finding(
        kind, severity, title, text, sorted({*events}), (database,),
        diagnosis=f"{title[:1].lower()}{title[1:]}: `{_short(about[0])}`, then "
        f"`{_short(about[1])}`",
        places=[facts.steps.at(about[1].seq)],
    )  # fmt: skip


# --- words -------------------------------------------------------------------------------------
def _short(one: SqlStatement) -> str:
    return one.text if len(one.text) <= 70 else one.text[:67] + "..."


def _cite(facts: Facts, one: SqlStatement) -> str:
    return f"`{_short(one)}` {facts.cite(one.seq)}"
