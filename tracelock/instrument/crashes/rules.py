"""Whether a crash may come, and how much of the disk is looked at then, as a caller says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tracelock.engine.choosing import MOST
from tracelock.errors import UsageError

#: What a disk is taken to write at once, in bytes: a sector.
BLOCK: Final = 512
#: A larger block makes no sense: no file may be larger either.
LARGEST_BLOCK: Final = 1 << 20
_KEYS: Final = ("states", "block", "machine")


@dataclass(frozen=True, slots=True)
class CrashRules:
    """``on``: whether a schedule may end in a crash; ``states``: how many states of the disk are
    tried at each point where one may come, at most; ``block``: how many bytes of a file reach the
    disk together, at multiples of this number; ``machine``: whether the machine as a whole may
    crash, with all workers, or only hosts with a disk of their own do."""

    on: bool = False
    states: int = MOST
    block: int = BLOCK
    machine: bool = True

    def to_table(self) -> dict[str, str]:
        """As the trace keeps it; nothing where no crash may come."""
        told = {"states": str(self.states), "block": str(self.block)} if self.on else {}
        return told if self.machine else {**told, "machine": "0"}

    @classmethod
    def of_table(cls, table: Mapping[str, str]) -> CrashRules:
        """What ``to_table`` gave. Raises UsageError for anything else."""
        if not table:
            return cls()
        try:
            numbers: dict[str, Any] = {key: int(value) for key, value in table.items()}
            if "machine" in numbers:
                numbers["machine"] = bool(numbers["machine"])
            return rules_of(numbers)
        except ValueError as error:
            raise UsageError(f"crash_consistency: {error}") from None


def rules_of(given: bool | Mapping[str, Any] | CrashRules | None) -> CrashRules:
    """The rules that a caller gives. Raises UsageError for what is none."""
    if isinstance(given, CrashRules):
        return given
    if given is None or isinstance(given, bool):
        return CrashRules(bool(given))
    if not isinstance(given, Mapping):
        raise UsageError(
            f"crash_consistency is True, or a table of {', '.join(_KEYS)}, not {given!r:.80}"
        )
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise UsageError(
            f"crash_consistency: there is no {unknown[0]!r}; there are {', '.join(_KEYS)}"
        )
    machine = given.get("machine", True)
    if not isinstance(machine, bool):
        raise UsageError(
            "crash_consistency: machine is True, or False where only hosts with a disk of their "
            f"own crash, not {machine!r:.80}"
        )
    found = CrashRules(True, given.get("states", MOST), given.get("block", BLOCK), machine)
    for name, number, most in (
        ("states", found.states, MOST), ("block", found.block, LARGEST_BLOCK),
    ):  # fmt: skip
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            raise UsageError(
                f"crash_consistency: {name} is a number from 1 to {most:,}, not {number!r}"
            )
    return found
