"""Names of a scenario as names of a Python module."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable
from typing import Final

#: What the programs use themselves.
TAKEN: Final = frozenset(
    {
        "anyio", "asyncio", "atomic", "back", "begin", "Condition", "InTurn", "condition", "ctx", "ctypes", "ended", "failures", "faulthandler", "index",
        "item", "main", "math", "multiprocessing", "os", "processes", "queue", "requests", "run",
        "run_all", "same", "scope", "signal", "spawn", "start", "take", "starting", "sys", "tasks",
        "threading", "threads", "time", "traceback", "trio", "turn", "verdict", "waits_at",
        "work", "workers", "PATIENCE", "nursery", "news", "scopes", "linecache", "wrong", "error",
        "name", "process", "thread", "failure", "line", "stack", "mine", "frame", "task", "running",
        "left", "end", "alive", "one", "manual", "started", "patience", "waiting", "ending",
        "failed", "worker", "args", "f", "p", "t", "x", "a", "b",
    }
) | frozenset(keyword.kwlist) | frozenset(keyword.softkwlist) | frozenset(dir(builtins))  # fmt: skip


class Naming:
    """Gives each name of a scenario one of Python's own, and no two the same."""

    def __init__(self) -> None:
        self.used: set[str] = set(TAKEN)

    def fresh(self, wanted: str) -> str:
        """``wanted``, made an identifier, or the next name like it that is free."""
        plain = re.sub(r"\W", "_", wanted, flags=re.ASCII).strip("_") or "it"
        if plain[0].isdigit():
            plain = f"n{plain}"
        name, number = plain, 1
        if name in self.used:
            name = f"{plain}_"
        while name in self.used:
            number += 1
            name = f"{plain}_{number}"
        self.used.add(name)
        return name

    def all(self, wanted: Iterable[str]) -> dict[str, str]:
        """A name for each."""
        return {name: self.fresh(name) for name in wanted}
