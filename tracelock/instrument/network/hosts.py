"""The hosts of one schedule: their addresses, and which of them a partition lies between."""

from __future__ import annotations

import os
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tracelock.errors import UsageError
from tracelock.instrument.callers import caller
from tracelock.instrument.network.membership import NetworkHost, made
from tracelock.instrument.worker import Worker, here
from tracelock.ops import READ, SET, ObjectSpec, Op

if TYPE_CHECKING:
    from tracelock.instrument.network.ends import Direction, End
    from tracelock.instrument.network.table import Network

#: Where the addresses of hosts begin: 10.0.0.0/8 (RFC 1918).
_FIRST: Final = 10 << 24
_SIZE: Final = (1 << 24) - 2


@dataclass(slots=True, eq=False)
class Partition:
    """One partition. ``ways``: the directions that it cuts, of connections that there were when it
    began, each with the end that made the connection; ``asked``: for by the program."""

    ways: list[tuple[End, Direction]]
    asked: bool


class Hosts:
    """``members``: on which host a thread is, by the number of its worker. ``down``: which have
    crashed; ``crashes``: how often each has. ``parted``: by pair of hosts, what lies between them.
    ``restarts``, ``disks``: by host what starts it again, and the directory of its files."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.members: dict[int, str] = {}
        self.down: set[str] = set()
        self.crashes: Counter[str] = Counter()
        self.parted: dict[frozenset[str], Partition] = {}
        self._links: dict[frozenset[str], int] = {}
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self.restarts: dict[str, Callable[[], object]] = {}
        self.disks: dict[str, str] = {}
        for one in sorted(made, key=lambda one: one.name):
            self.add(one.name)
            self._knows(one)
        #: Those that there are before the workers begin, as modules or ``setup`` have made them.
        self._first = {*self._addresses}

    # --- which there are ---------------------------------------------------------------------
    def __bool__(self) -> bool:
        return bool(self._addresses)

    def __contains__(self, name: object) -> bool:
        return name in self._addresses

    def names(self) -> list[str]:
        return sorted(self._addresses)

    def add(self, name: str) -> None:
        """There is a host of this name. Its address is by the name alone, so that it is the same in
        every schedule and process."""
        if name in self._addresses:
            return
        start = zlib.crc32(name.encode())
        for k in range(_SIZE):
            number = _FIRST + 1 + (start + k) % _SIZE
            address = ".".join(str(number >> shift & 255) for shift in (24, 16, 8, 0))
            if address not in self._names:
                self._addresses[name], self._names[address] = address, name
                return

    def make(self, worker: Worker, host: NetworkHost) -> None:
        """``worker`` makes a host, if it is not there: others may have asked for it before."""
        name = host.name
        self._knows(host)
        if name not in self._addresses:
            if worker.hub.running:
                worker.step(Op(SET, self.number(name), caller(worker)))
            else:
                self._first.add(name)
            self.add(name)

    def _knows(self, host: NetworkHost) -> None:
        """What is said of a host: each is told once, where it is made or later. Raises UsageError
        where two of them would have the same files."""
        if host.restarts is not None:
            self.restarts[host.name] = host.restarts
        for name, disk in self.disks.items() if host.disk else ():
            if name != host.name and os.path.commonpath((disk, host.disk)) in (disk, host.disk):
                raise UsageError(
                    f"host: the disk of {host.name}, {host.disk}, and that of {name}, {disk}, have "
                    "files in common: give each a directory of its own"
                )
        if host.disk:
            self.disks[host.name] = host.disk

    def number(self, name: str) -> int:
        """The host as an object of the schedule."""
        return self.network.number(f"host {name}", "flag")

    # --- addresses ---------------------------------------------------------------------------
    def address(self, name: str) -> str:
        return self._addresses[name]

    def at(self, told: str) -> str | None:
        """Which host has this name or address; None for any other."""
        told = told.lower().removesuffix(".")
        return told if told in self._addresses else self._names.get(told)

    def ask(self, told: str) -> str | None:
        """The address of a host of this name, None where there is none; it may be made later."""
        worker, name = here(), told.lower().removesuffix(".")
        if worker is not None and worker.hub.running and name not in self._first:
            worker.step(Op(READ, self.number(name), caller(worker)))
        return self._addresses.get(name)

    # --- partitions --------------------------------------------------------------------------
    def link(self, a: str, b: str) -> int:
        """What is between two hosts, as an object: an address where nobody connects while a
        partition lies there."""
        key = frozenset((a, b))
        number = self._links.get(key)
        if number is None:
            number = self._links[key] = self.network.hub.number_for(
                ObjectSpec(f"link {' - '.join(sorted(key))}", "address")
            )
        return number

    def apart(self, a: str, b: str) -> bool:
        """Whether a partition lies between two hosts."""
        return frozenset((a, b)) in self.parted

    def pair(self, a: object, b: object, what: str) -> tuple[str, str]:
        """The names of two hosts that a program gives. Raises UsageError for what are none."""
        names = self.one(a, what), self.one(b, what)
        if names[0] == names[1]:
            raise UsageError(f"{what}: {names[0]!r} twice; it takes two hosts")
        return names

    def one(self, told: object, what: str) -> str:
        """The name of a host that a program gives. Raises UsageError for what is none."""
        name = str(told).lower()
        if name not in self._addresses:
            there = ", ".join(self.names()) or "none"
            raise UsageError(f"{what}: there is no host {name!r}; there are {there}")
        return name
