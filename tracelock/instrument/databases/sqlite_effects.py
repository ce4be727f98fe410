"""What a statement of SQLite reads and writes, as SQLite itself has compiled it.

``EXPLAIN`` gives the program of the virtual machine with all that triggers, foreign keys, views and
indexes add. Nothing is concluded from the text of a statement. A program that has an instruction
which is not listed here has an effect that is not known.

A part of a database is a number below ``PARTS``: some of the rows of some of its tables. Two parts
are never about the same row; two rows may be of the same part, which only costs schedules.

Rows are told apart where each cursor on a table comes to a row by its number alone (``SeekRowid``,
``NotExists``), which a parameter or a literal gives, and no index is kept. Departures from that
would be seen by whoever looks at pages (``dbstat``), or reads the file past SQLite.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
import zlib
from typing import Any, Final, NamedTuple

from tracelock.instrument.databases.registry import PARTS
from tracelock.ops import READ, WRITE

#: In so many parts a table is divided.
ROWS: Final = 4
_TABLES: Final = PARTS // ROWS
#: The number of the connection's own database among those that it has attached; of temporary ones.
_MAIN: Final = 0
_TEMPORARY: Final = 1
#: Of ``OpenRead`` and ``OpenWrite``: the page is in a register.
_IN_REGISTER: Final = 0x10
#: What ``Halt`` does to the transaction on an error: it is rolled back as a whole.
_ROLLS_BACK: Final = 1
#: Instructions that come to a row by its number, which is in the register of this operand.
_BY_NUMBER: Final = {"SeekRowid": 3, "NotExists": 3, "Insert": 3}
#: What is done with the row that a cursor is at.
_AT_ROW: Final = frozenset(
    {"Column", "Rowid", "RowData", "Delete", "Close", "Offset", "ColumnsUsed"}
)
#: How cursors on tables are opened.
_OPENS: Final = {"OpenRead": READ, "OpenWrite": WRITE, "ReopenIdx": READ}
#: Instructions that touch nothing but registers, the program, or what a cursor is at.
_LISTED: Final = """
    Add AddImm Affinity AggFinal AggInverse AggStep AggStep1 AggValue And BeginSubrtn BitAnd
    BitNot BitOr Blob Cast Clear Close ClrSubtype CollSeq Column ColumnsUsed Compare Concat Copy
    Count CursorHint CursorLock CursorUnlock DecrJumpZero DeferredSeek Delete Divide ElseEq
    EndCoroutine Eq Explain Filter FilterAdd FinishSeek FkCheck FkCounter FkIfZero Found
    Function Ge GetSubtype Gosub Goto Gt Halt HaltIfNull IdxDelete IdxGE IdxGT IdxInsert IdxLE
    IdxLT IdxRowid If IfEmpty IfNoHope IfNot IfNotOpen IfNotZero IfNullRow IfPos IfSizeBetween
    Init InitCoroutine Insert Int64 IntCopy Integer IsNull IsTrue IsType Jump Last Le Lt
    MakeRecord MemMax Move Multiply MustBeInt Ne NewRowid Next NoConflict Noop Not NotExists
    NotFound NotNull Null NullRow Offset OffsetLimit Once OpenAutoindex OpenDup OpenEphemeral
    OpenPseudo OpenRead OpenWrite Or Param Permutation Prev Program PureFunc Real RealAffinity
    ReleaseReg Remainder ReopenIdx ResetCount ResetSorter ResultRow Return Rewind RowCell
    RowData RowSetAdd RowSetRead RowSetTest Rowid SCopy SeekEnd SeekGE SeekGT SeekHit SeekLE
    SeekLT SeekRowid SeekScan Sequence SequenceTest SetSubtype ShiftLeft ShiftRight SoftNull
    Sort SorterCompare SorterData SorterInsert SorterNext SorterOpen SorterSort String String8
    Subtract TableLock Trace Transaction TypeCheck Variable Yield ZeroOrNull
"""
_KNOWN: Final = frozenset(_LISTED.split())
#: Instructions of programs whose rows may be told apart: the operand with the register that they
#: write, 0 for none. Those that convert a number in its place leave it the number that it is.
_WRITTEN: Final = {
    **dict.fromkeys(
        (
            "Add", "And", "BitAnd", "BitOr", "Column", "Concat", "Divide", "Function", "MakeRecord",
            "Multiply", "Or", "PureFunc", "Remainder", "ShiftLeft", "ShiftRight", "Subtract",
        ),
        3,
    ),
    **dict.fromkeys(
        (
            "BitNot", "Blob", "Copy", "Eq", "Ge", "Gt", "Int64", "IntCopy", "Integer", "IsTrue",
            "Le", "Lt", "Ne", "Not", "Null", "Real", "Rowid", "SCopy", "String8", "Variable",
            "ZeroOrNull",
        ),
        2,
    ),
    **dict.fromkeys(("Cast", "CollSeq", "SoftNull"), 1),
    **dict.fromkeys(
        (
            "Affinity", "Close", "ColumnsUsed", "Delete", "ElseEq", "Explain", "FinishSeek", "Goto",
            "Halt", "HaltIfNull", "If", "IfNot", "Init", "Insert", "IsNull", "MustBeInt", "Noop",
            "NotExists", "NotNull", "OpenRead", "OpenWrite", "RealAffinity", "ReleaseReg",
            "SeekRowid", "TableLock", "Transaction", "TypeCheck",
        ),
        0,
    ),
}  # fmt: skip
#: Of these, those whose first operand is a cursor.
_OF_CURSOR: Final = frozenset({*_BY_NUMBER, *_AT_ROW, "FinishSeek"})
_NAMED: Final = re.compile(r"\?\d|[:@$]\w")
_numbered: Final = itertools.count()
_Row = tuple[int, str, int, int, int, Any, int]


class SqlEffect(NamedTuple):
    """``tables``: table -> READ or WRITE. ``rows``: of those whose rows are told apart, for each of
    their numbers what gives it: a parameter (its number, from 1) or a literal. ``rolls_back``:
    an error in it may end the whole transaction. ``yields``: it gives rows."""

    tables: dict[str, int]
    rows: dict[str, list[tuple[bool, int]]]
    rolls_back: bool
    yields: bool

    def parts(self, values: Any) -> tuple[tuple[int, int], ...]:
        """The parts that it touches with these parameters, each with READ or WRITE."""
        found: dict[int, int] = {}
        for table, kind in self.tables.items():
            for number in self._rows_of(table, values):
                found[number] = max(kind, found.get(number, READ))
        return tuple(sorted(found.items()))

    def _rows_of(self, table: str, values: Any) -> list[int]:
        first = zlib.crc32(table.encode()) % _TABLES * ROWS
        every = [*range(first, first + ROWS)]
        if table not in self.rows:
            return every
        numbers = set()
        for given, number in self.rows[table]:
            value: Any = number
            if given:
                value = values[number - 1] if type(values) in (tuple, list) else None
                if type(value) is not int:
                    return every
            numbers.add(first + value % ROWS)
        return sorted(numbers)


def tables_of(connection: sqlite3.Connection) -> dict[int, str] | None:
    """The tables of the connection's own database by the first page of each, and of each of their
    indexes; None where it cannot be read now."""
    if connection.text_factory is not str:
        return None
    sql = "SELECT rootpage + 0, lower(tbl_name) FROM main.sqlite_master WHERE rootpage > 0"
    rows = _ask(connection, sql, ())
    return None if rows is None else {1: "sqlite_master", **dict(rows)}


def effect_of(
    connection: sqlite3.Connection, tables: dict[int, str], sql: str, values: Any
) -> SqlEffect | None:
    """The effect of a statement, None where it is not known. ``tables``: see ``tables_of``."""
    if type(values) in (tuple, list):
        if values and _NAMED.search(sql):
            return None  # a sequence for parameters with names: Python warns of that
        empty: Any = (None,) * len(values)
    elif type(values) is dict:
        empty = dict.fromkeys(values)
    else:
        return None
    # each has a text of its own: the module keeps compiled statements by their texts, and SQLite
    # compiles none of these again where the tables have changed
    program = _ask(connection, f"EXPLAIN /* {next(_numbered)} */ {sql}", empty)
    return None if not program else _read(program, tables)


def _ask(connection: sqlite3.Connection, sql: str, values: Any) -> list[Any] | None:
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    try:
        return cursor.execute(sql, values).fetchall()
    except (sqlite3.Error, sqlite3.Warning, TypeError, ValueError, OverflowError):
        return None


def _read(program: list[_Row], tables: dict[int, str]) -> SqlEffect | None:
    touched: dict[str, int] = {}
    cursors: dict[int, str] = {}
    whole: set[str] = set()  # tables whose rows are not told apart
    rolls_back = yields = False
    seen: set[str] = set()
    for row in program:
        _, code, one, two, three, _, flags, *_ = row
        kind = _OPENS.get(code)
        if code not in _KNOWN:
            return None
        if kind is not None and three == _MAIN:
            table = tables.get(two)
            if table is None or int(flags or 0) & _IN_REGISTER:
                return None
            if table in seen or one in cursors:  # an index, another cursor, a program of a trigger
                whole |= {table, cursors.get(one, table)}
            seen.add(table)
            cursors[one] = table
            touched[table] = max(kind, touched.get(table, READ))
        elif kind is not None and three != _TEMPORARY:
            return None
        elif code == "Clear" and two == _MAIN:
            if one not in tables:
                return None
            touched[tables[one]] = WRITE
            whole.add(tables[one])
        elif code in ("Halt", "HaltIfNull") and one and two == _ROLLS_BACK:
            rolls_back = True
        elif code == "Program":
            whole.update(tables.values())
        yields = yields or code == "ResultRow"
    rows = {
        table: found
        for cursor, table in cursors.items()
        if table not in whole and (found := _numbers(program, cursor))
    }
    return SqlEffect(touched, rows, rolls_back, yields)


def _numbers(program: list[_Row], cursor: int) -> list[tuple[bool, int]]:
    """What gives the numbers of all rows that a cursor comes to; nothing where it is not known."""
    found: list[tuple[bool, int]] = []
    if any(row[1] not in _WRITTEN for row in program):
        return found
    for row in program:
        code, operands = row[1], row[2:5]
        if operands[0] != cursor or code in _OPENS or code not in _OF_CURSOR:
            continue
        if code in _BY_NUMBER:
            sources = _sources(program, operands[2], cursor)
            if sources is None:
                return []
            found += sources
        elif code not in _AT_ROW:
            return []
    return found


def _sources(program: list[_Row], register: int, cursor: int) -> list[tuple[bool, int]] | None:
    """All that is ever put into a register: parameters and literals. The number of the row that
    the cursor is at anyway, and no value, come to no other row. None for anything else."""
    found = []
    for row in program:
        code, operands = row[1], row[2:5]
        place = _WRITTEN[code]
        if not place or not operands[place - 1] <= register <= _last(code, operands, place):
            continue
        if code in ("Variable", "Integer"):
            found.append((code == "Variable", operands[0]))
        elif code not in ("Null", "SoftNull") and (code, operands[0]) != ("Rowid", cursor):
            return None
    return found


def _last(code: str, operands: tuple[int, ...], place: int) -> int:
    """The last register that an instruction writes."""
    first = operands[place - 1]
    if code == "Null":
        return max(first, operands[2])
    return first + operands[2] if code == "Copy" else first
