"""What a class may promise of its methods that is less than linearizability, each by a word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tracelock.errors import UsageError, unknown
from tracelock.history.operations import CANCELLED, RAISED, RETURNED, Operation

LINEARIZABLE: Final = "linearizable"
NO_CRASH: Final = "no-crash"
WEAK_ITERATION: Final = "weak-iteration"
DIRTY_READ: Final = "dirty-read"
RENDEZVOUS: Final = "rendezvous"
CANCELS: Final = "cancels"
LOSES: Final = "loses"
UNSAFE: Final = "unsafe"

#: Each word, and what is still asked of a call with it.
CONTRACTS: Final = {
    LINEARIZABLE: "some order of the calls, one after the other, explains every result",
    NO_CRASH: "only exceptions are looked at: each comes in some order of some of the calls too",
    WEAK_ITERATION: "what an iteration or a copy gives is not compared; the rest is",
    DIRTY_READ: "what a call returns that changes nothing is not compared; the rest is",
    RENDEZVOUS: "a call that waits for another one may return where it overlaps one",
    CANCELS: "a call that ends with a CancelledError of another one's making was cancelled",
    LOSES: "a call that is cancelled may keep what it has taken; the rest is compared",
    UNSAFE: "nothing is promised of this call beside others: such a history is not judged",
}
#: Methods that go through all there is.
ITERATIONS: Final = frozenset({
    "__iter__", "__reversed__", "__copy__", "keys", "values", "items", "copy", "snapshot", "iter",
    "list", "to_list", "tolist",
})  # fmt: skip
_CANCELLED_NAMES: Final = frozenset({"CancelledError", "Cancelled"})


def check_contract(contract: str | Mapping[str, str]) -> Mapping[str, str] | str:
    """``contract``, if all of its words are known. Raises UsageError for others."""
    for word in [contract] if isinstance(contract, str) else contract.values():
        if word not in CONTRACTS:
            raise unknown("contract", word, CONTRACTS)
    if not isinstance(contract, str) and not contract:
        raise UsageError("a contract by methods names at least one; or it is one word for all")
    return contract


class Contract:
    """A contract for every method. ``contract``: one word, or words by the name of the method; what
    is not named is linearizable."""

    def __init__(self, contract: str | Mapping[str, str]) -> None:
        self._given = check_contract(contract)

    def of(self, name: str) -> str:
        """The word for a method."""
        if isinstance(self._given, str):
            return self._given
        return self._given.get(name, LINEARIZABLE)

    def optional(self, operation: Operation) -> bool:
        """Whether a call that has ended may have had no effect, its result not being looked at."""
        word = self.of(operation.name)
        if operation.ending == CANCELLED:
            return True
        if word == CANCELS and operation.ending == RAISED:
            return operation.error in _CANCELLED_NAMES
        return word == NO_CRASH and operation.ending == RETURNED

    def compared(self, operation: Operation, changes: bool) -> bool:
        """Whether the value that a call has returned is compared; ``changes``: the state."""
        word = self.of(operation.name)
        if word == WEAK_ITERATION:
            return operation.name not in ITERATIONS
        return not (word == DIRTY_READ and not changes)

    def not_judged(self, operations: list[Operation]) -> str:
        """Why a history is not judged: a call that promises nothing overlaps another; else ""."""
        for one in operations:
            if self.of(one.name) == UNSAFE and any(
                other is not one and overlap(one, other) for other in operations
            ):
                return f"{one.call} is unsafe beside others, as its contract says: not judged"
        return ""


def overlap(one: Operation, other: Operation) -> bool:
    """Whether neither of two calls ended before the other one began."""
    return not (
        (one.end is not None and one.end < other.start)
        or (other.end is not None and other.end < one.start)
    )
