"""Names of a scenario as names of a Python module."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable
from typing import Final

_WORDS: Final = """
a alive anyio args asyncio atomic b back begin Condition condition ctx ctypes end ended ending
error f failed failure failures faulthandler frame index InTurn item left line linecache main
manual math mine multiprocessing name news number nursery one os p patience PATIENCE process
processes queue requests run run_all running same scope scopes signal spawn stack start started
starting sys t take task tasks thread threading threads time traceback trio turn verdict
waiting waits_at work worker workers wrong x
"""
#: What the programs use themselves.
TAKEN: Final = frozenset([*_WORDS.split(), *keyword.kwlist, *keyword.softkwlist, *dir(builtins)])


def plain_name(wanted: str) -> str:
    """The name of a scenario as a part of a name in Python."""
    return re.sub(r"\W", "_", wanted, flags=re.ASCII).strip("_").lower() or "it"


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
