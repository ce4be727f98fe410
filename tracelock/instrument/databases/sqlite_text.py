"""What a statement of SQLite does to its database, as far as its text says."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from typing import Final

from tracelock.instrument.databases.resource import (
    CHANGES,
    COMMITS,
    ENDS,
    NOTHING,
    OWN,
    READS,
    Touches,
)

_SKIPPED: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*.*?(?:\*/|$)|;)*", re.DOTALL)
_WORD: Final = re.compile(r"[A-Za-z_]+")
#: What may stand in place of text in a statement: it is not looked for words of the language.
_QUOTED: Final = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\[[^\]]*\]", re.DOTALL)
_PRAGMA: Final = re.compile(r"pragma\s+(?:\w+\s*\.\s*)?(\w+)\s*(.*)", re.IGNORECASE | re.DOTALL)
_BUSY: Final = re.compile(r"(?:=\s*|\(\s*)([+-]?\d+)\s*\)?\s*;?\s*", re.DOTALL)
_CHANGING: Final = re.compile(r"\b(?:insert|update|delete|replace)\b", re.IGNORECASE)
_READING: Final = frozenset({"select", "values", "explain"})
_ROWS: Final = frozenset({"insert", "update", "delete", "replace"})
#: Statements that change rows, or what a transaction is.
_KNOWN: Final = _READING | _ROWS | {
    "with", "begin", "commit", "end", "rollback", "savepoint", "release",
}  # fmt: skip
#: Settings of the connection alone.
_SETTINGS: Final = frozenset(
    {
        "automatic_index", "busy_timeout", "cache_size", "cache_spill", "case_sensitive_like",
        "cell_size_check", "checkpoint_fullfsync", "compile_options", "defer_foreign_keys",
        "foreign_keys", "fullfsync", "function_list", "hard_heap_limit", "ignore_check_constraints",
        "legacy_alter_table", "mmap_size", "query_only", "read_uncommitted", "recursive_triggers",
        "reverse_unordered_selects", "soft_heap_limit", "synchronous", "temp_store", "threads",
        "trusted_schema",
    }
)  # fmt: skip
#: What only looks where no value is given.
_LOOKING: Final = frozenset(
    {
        "application_id", "auto_vacuum", "collation_list", "data_version", "database_list",
        "encoding", "foreign_key_check", "foreign_key_list", "freelist_count", "index_info",
        "index_list", "index_xinfo", "integrity_check", "journal_mode", "max_page_count",
        "page_count", "page_size", "quick_check", "schema_version", "table_info", "table_list",
        "table_xinfo", "user_version", "wal_autocheckpoint",
    }
)  # fmt: skip
#: Of these, those that look also with something in parentheses.
_LOOKING_AT: Final = frozenset(
    name for name in _LOOKING if name.endswith(("_info", "_list", "_check", "_xinfo"))
)


def words(sql: str) -> str:
    """The statement from its first word on."""
    found = _SKIPPED.match(sql)
    return sql[found.end() :] if found is not None else sql


def verb(sql: str) -> str:
    """The first word of a statement, in lower case; "" for none."""
    found = _WORD.match(words(sql))
    return found[0].lower() if found is not None else ""


def changes_rows(sql: str) -> bool:
    """Whether a statement inserts, updates or deletes."""
    first = verb(sql)
    return first in _ROWS or (
        first == "with" and _CHANGING.search(_QUOTED.sub("", sql)) is not None
    )


def alters(sql: str) -> bool:
    """Whether a statement may change more than rows: tables, triggers, settings."""
    first = verb(sql)
    return bool(first) and first not in _KNOWN and not (first == "pragma" and not sets_more(sql))


def sets_more(sql: str) -> bool:
    """Whether a statement sets what is not known to leave it as it is how others take effect."""
    found = _PRAGMA.match(words(sql))
    return found is not None and found[1].lower() not in _SETTINGS | _LOOKING


def busy_timeout(sql: str) -> tuple[bool, int | None]:
    """Whether a statement is about the time that a connection waits, and which it sets, in ms."""
    found = _PRAGMA.match(words(sql))
    if found is None or found[1].lower() != "busy_timeout":
        return False, None
    value = _BUSY.fullmatch(found[2])
    return True, None if value is None else max(0, int(value[1]))


def touches_of(sql: str, in_transaction: bool, begins: bool, state: int) -> Touches:
    """How a statement touches the database. ``begins``: the module begins a transaction before one
    that changes rows; ``state``: what the connection holds now."""
    first = verb(sql)
    if first in _READING or (first == "with" and not changes_rows(sql)):
        # what a transaction that writes has not read yet, it may read at any time
        return READS
    if changes_rows(sql):
        return CHANGES if in_transaction or begins else COMMITS
    if first == "begin":
        kind = _WORD.findall(words(sql))[1:2]
        kinds = {"immediate": CHANGES, "exclusive": COMMITS}
        return kinds.get(kind[0].lower(), OWN) if kind else OWN
    if first in ("commit", "end"):
        return ENDS[state]
    if first == "rollback":
        return ENDS[state]
    if first == "savepoint":
        return OWN
    if first == "release":
        return ENDS[state]
    if first == "pragma":
        return _of_pragma(sql)
    return COMMITS if first else OWN


def _of_pragma(sql: str) -> Touches:
    found = _PRAGMA.match(words(sql))
    if found is None:
        return COMMITS
    name, rest = found[1].lower(), found[2].strip().rstrip(";").strip()
    if name in _SETTINGS:
        return OWN
    if name in _LOOKING and (not rest or (rest.startswith("(") and name in _LOOKING_AT)):
        return READS
    return COMMITS


def statements(script: str) -> Iterator[str]:
    """The statements of a script, one after the other; what is not complete is the last one."""
    begin = 0
    end = script.find(";")
    while end >= 0:
        piece = script[begin : end + 1]
        if sqlite3.complete_statement(piece):
            if verb(piece):
                yield piece
            begin = end + 1
        end = script.find(";", end + 1)
    rest = script[begin:]
    if verb(rest):
        yield rest


__all__ = [
    "NOTHING", "busy_timeout", "changes_rows", "statements", "touches_of", "verb", "words",
]  # fmt: skip
