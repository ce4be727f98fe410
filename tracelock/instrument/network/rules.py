"""What a network in memory may do, as a caller says it.

Each fault is what TCP, UDP or the resolver may do at any time (``KINDS`` has the RFC).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from tracelock.errors import UsageError

#: Each fault, where it comes in, and by what it is legal.
KINDS: Final[dict[str, tuple[str, str]]] = {
    "refused": ("connect", "RFC 9293, 3.10.7.1: a reset answers where nobody listens"),
    "timed out": ("connect", "RFC 9293, 3.8.3 and RFC 1122, 4.2.3.5: nobody answers for too long"),
    "reset": ("send and receive", "RFC 9293, 3.5.2 and 3.5.3: a reset may come at any time"),
    "unresolved": ("getaddrinfo", "RFC 1035, 4.1.1 and RFC 3493, 6.1: the server fails, try again"),
    "half-closed": ("receive", "RFC 9293, 3.6: one direction may end, and the other go on"),
    "slow reader": ("send", "RFC 9293, 3.8.6: how much a receiver has room for is its own affair"),
    "delay": ("send", "RFC 9293, 3.8.1: what is lost comes later, and other connections go on"),
    "partition": ("two hosts", "RFC 1122, 1.1.2 and 4.2.3.5: a path may fail, and TCP sends again"),
    "crash": ("a host", "RFC 9293, 3.5.1: one end may crash, and know nothing of the connection"),
    "lost": ("a datagram", "RFC 768, RFC 1122, 4.1.1: delivery is not promised"),
    "doubled": ("a datagram", "RFC 768: neither is protection against duplicates"),
    "reordered": ("a datagram", "RFC 1122, 4.1.1: nor is the order"),
}
_KEYS: Final = ("splits", "kinds")


@dataclass(frozen=True, slots=True)
class NetworkRules:
    """``splits``: how many reads of one direction of a connection give less than has come;
    ``faults``: how many faults a schedule may have; ``kinds``: of which kinds."""

    splits: int = 1
    faults: int = 0
    kinds: tuple[str, ...] = tuple(KINDS)

    def to_table(self) -> dict[str, str]:
        """As the trace keeps it; nothing where all is as it is without being asked for."""
        if self == NetworkRules():
            return {}
        return {
            "splits": str(self.splits), "faults": str(self.faults), "kinds": ", ".join(self.kinds)
        }  # fmt: skip

    @classmethod
    def of_table(cls, table: Mapping[str, str]) -> NetworkRules:
        """What ``to_table`` gave. Raises UsageError for anything else."""
        plain = cls()
        given = [one for one in table.get("kinds", ", ".join(plain.kinds)).split(", ") if one]
        try:
            splits = int(table.get("splits", plain.splits))
            faults = int(table.get("faults", plain.faults))
        except ValueError as error:
            raise UsageError(f"network: {error}") from None
        return rules_of(faults, {"splits": splits, "kinds": given})


def rules_of(faults: int | None, network: Mapping[str, Any] | None) -> NetworkRules:
    """The rules that a caller gives. Raises UsageError for what is none."""
    plain, given = NetworkRules(), dict(network or {})
    unknown = [key for key in given if key not in _KEYS]
    if unknown:
        raise UsageError(f"network: there is no {unknown[0]!r}; there are {', '.join(_KEYS)}")
    numbers = {"faults": faults or 0, "network: splits": given.get("splits", plain.splits)}
    for what, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int) or number < 0:
            raise UsageError(f"{what} is how many a schedule may have: 0 or more, not {number!r}")
    kinds = given.get("kinds", plain.kinds)
    if isinstance(kinds, str) or not all(isinstance(kind, str) for kind in kinds):
        raise UsageError("network: kinds is a list of names of faults")
    wrong = [kind for kind in kinds if kind not in KINDS]
    if wrong:
        raise UsageError(f"network: {wrong[0]!r} is no fault; there are {', '.join(KINDS)}")
    return NetworkRules(numbers["network: splits"], numbers["faults"], tuple(kinds))
