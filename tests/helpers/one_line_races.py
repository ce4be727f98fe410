"""Programs of two workers, one of which reads and one of which writes, in one line each.

A row is ``name | what setup does with o | what is read | what is written | what is put back``.
Each program is wrong by construction: what its reader gets depends on whether the writer was there,
which ``never_verified`` finds out by running both orders first, without control.
"""

from __future__ import annotations

import importlib.util
import sys
import textwrap
from pathlib import Path
from types import ModuleType
from typing import Any

import tracelock


def rows_of(table: str) -> list[list[str]]:
    return [[part.strip() for part in row.split(" | ")] for row in table.strip().split("\n")]


def module_of(head: str, rows: list[list[str]], path: Path) -> ModuleType:
    """The programs, as a module in this file, which the caller takes out of ``sys.modules``."""
    lines = [head]
    for number, (_, setup, read, write, *back) in enumerate(rows):
        for name, body in (
            (f"setup{number}()", f"o = types.SimpleNamespace(got=None)\n{setup}\nreturn o"),
            (f"read{number}(o)", f"o.got = {read}"),
            (f"write{number}(o)", write),
            (f"back{number}()", "; ".join(back) or "pass"),
        ):
            lines.append(f"def {name}:\n{textwrap.indent(body, '    ')}")
    path.write_text("\n".join(lines), encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def never_verified(programs: ModuleType, number: int) -> Any:
    """Explore a program: the race is found, or the account says what was not seen."""
    setup, reads, writes, back = (
        getattr(programs, f"{part}{number}") for part in ("setup", "read", "write", "back")
    )
    try:
        alone = setup()
        reads(alone)
        expected = alone.got
        after = setup()
        writes(after)
        reads(after)
        assert after.got != expected
    finally:
        back()

    def check(o: object) -> bool:
        back()
        return bool(o.got == expected)  # type: ignore[attr-defined]

    found = tracelock.explore(
        setup=setup, workers=[reads, writes], check=check, strategy="dpor",
        instrument=[programs.__name__], shrink=False, confirm=1,
    )  # fmt: skip
    assert found.verdict in ("failed", "passed")
    if found.verdict == "passed":
        assert found.account.not_seen
    return found
