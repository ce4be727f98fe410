"""The order of sets of text is that of hashes, which each process draws or PYTHONHASHSEED sets.

A trace of a program that goes through such a set can be replayed where hashes are the same. Its
``environment`` says so in ``hash_seed``: the number that was set, or ``random``.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

#: What is set where nothing is.
DRAWN: Final = "random"
_LARGEST: Final = 2**32 - 1


def seed_here() -> str:
    """The seed of this process's hashes of text, a number, or ``random``."""
    value = DRAWN if sys.flags.ignore_environment else os.environ.get("PYTHONHASHSEED", DRAWN)
    return value if _is_seed(value) else DRAWN


def seed_needed(environment: dict[str, Any]) -> str:
    """The seed under which a trace with this environment was recorded; empty where this process
    has the same or the trace depends on none."""
    seed = environment.get("hash_seed")
    if not isinstance(seed, str) or not (seed == DRAWN or _is_seed(seed)):
        return ""
    return "" if seed == seed_here() != DRAWN else seed


def hash_remark(environment: dict[str, Any]) -> list[str]:
    """Why a trace with this environment may not be reproduced in this process, and what to do."""
    seed = seed_needed(environment)
    if not seed:
        return []
    why = "the program goes through a set of text, whose order is that of hashes"
    if seed == DRAWN:
        return [f"{why}, other ones in each process: record it again with PYTHONHASHSEED=0"]
    return [f"{why}: set PYTHONHASHSEED={seed} for the replay, as it was for the recording"]


def _is_seed(value: str) -> bool:
    return value.isascii() and value.isdigit() and len(value) < 11 and int(value) <= _LARGEST
