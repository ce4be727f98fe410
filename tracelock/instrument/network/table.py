"""Which sockets are in memory, and who listens where, in one schedule."""

from __future__ import annotations

import _socket
import errno
import os
import socket
import zlib
from collections.abc import Collection
from typing import Any, Final

from tracelock.errors import LimitReached
from tracelock.instrument.account.known import trusted
from tracelock.instrument.hub import Hub
from tracelock.instrument.network.background import Background
from tracelock.instrument.network.ends import UNIX, Direction, End, fail
from tracelock.instrument.network.hosts import Hosts
from tracelock.instrument.network.membership import NetworkHost, makes, moves
from tracelock.instrument.wings import Wing
from tracelock.instrument.worker import Worker, here
from tracelock.ops import GET, JOIN, ObjectSpec

_fileno: Final[Any] = _socket.socket.fileno
#: Where ports are given out that nobody asks for by number, and how many there are.
FIRST_PORT: Final = 32_768
PORTS: Final = 28_000
#: So many reads of a direction are made shorter in one schedule.
SPLITS: Final = 1
FAMILIES: Final = frozenset({int(socket.AF_INET), int(socket.AF_INET6), UNIX})
KINDS: Final = frozenset({int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM)})
_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_EVERYWHERE: Final = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}
#: Names of the machine that everything runs on.
NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost"})


class Port:
    """An address, of ``host``, at which one end can listen. ``number``: as an object."""

    __slots__ = ("end", "host", "name", "number", "numbered")

    def __init__(self, name: str, host: str) -> None:
        self.name = name
        self.host = host
        self.end: End | None = None
        self.number = -1
        self.numbered = False


class Crossing:
    """A connection that ``end`` makes with a host called ``there``, from its first packet on, and
    its two ``ways``. One that has ended counts, since it may have been there at another order."""

    __slots__ = ("end", "there", "ways")

    def __init__(self, end: End, there: str, ways: tuple[Direction, Direction]) -> None:
        self.end, self.there, self.ways = end, there, ways


class Network(Wing):
    """``ends``: by file descriptor, which is what a socket is called. ``ports``: by kind, family,
    host, and number or path; all addresses of one host are one. ``crossing``: the
    connections between hosts, those that have ended too; ``waiting_for``: ends that are to connect
    with a host when a partition is healed; ``silent``: by host that has crashed those that were
    connected with it and do not know; ``shared``: by host the loop that its tasks were on with
    those of others; ``buried``: what of crashed hosts is kept until the schedule is over."""

    key = "network"

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self.ends: dict[int, End] = {}
        self.splits = SPLITS if hub.program is None else hub.program.network.splits
        self.faults = 0  # that this schedule has had
        #: By worker the ends that it waits for, where these are several.
        self.waiting: dict[int, Collection[End]] = {}
        self.ports: dict[tuple[str, int, str, Any], Port] = {}
        self.hosts = Hosts(self)
        self.crossing: list[Crossing] = []
        self.waiting_for: list[tuple[End, str]] = []
        self.silent: dict[str, list[End]] = {}
        self.buried: list[Any] = []
        self.shared: dict[str, Any] = {}
        self.background = Background(self)

    def keeps(self, sock: Any) -> bool:
        """Whether this socket is in memory."""
        return _fileno(sock) in self.ends

    def blocked(self) -> None:
        """Nobody can go on. Where all that are left wait for somebody to connect, that is no
        deadlock: in reality somebody outside of the run may do so."""
        controller = self.hub.controller
        told = []
        awaited = {
            end.incoming.number: end.link.where for end in self.ends.values()
            if end.link is not None and end.incoming is not None
        }  # fmt: skip
        for number in controller.active:
            op = controller.pending[number]
            if op is not None and op.target in awaited and op.kind == GET:
                controller.limit = f"only {awaited[op.target]} is left to wait for, outside"
                return
            if op is None or number not in controller.essential or op.kind == JOIN:
                continue
            ends = self.waiting.get(number, ())
            ports = [port for port in self.ports.values() if port.end is not None and (
                (op.kind == GET and port.number == op.target) or port.end in ends
            )]  # fmt: skip
            if not any(
                port.end is not None and port.end.listens and port.end.refs for port in ports
            ):
                return
            name = self.hub.layout.workers[number].name
            told.append(f"{name} at {op.at} ({', '.join(port.name for port in ports)})")
        if told:
            controller.limit = (
                f"only somebody who connects from outside is left to wait for: {'; '.join(told)}"
            )

    def accepting(self) -> list[Any]:
        """Those who are told when somebody connects."""
        ends = [port.end for port in self.ports.values() if port.end is not None]
        return [watcher for end in ends if end.listens for watcher in end.watchers]

    # --- names -------------------------------------------------------------------------------
    def number(self, name: str, kind: str) -> int:
        """The number of an object of this name, which is new in this schedule or known."""
        return self.hub.number_for(ObjectSpec(name, kind))

    def port(self, end: End, address: Any) -> Port:
        """The port of this address, for what kind of socket ``end`` is."""
        where = _path(address) if not end.tcp else int(address[1])
        host = (self.target(end, address[0]) or "") if end.tcp else end.host
        key = "tcp" if end.stream else "udp", end.family, host, where
        port = self.ports.get(key)
        if port is None:
            if not end.tcp:
                name = f"unix socket {os.path.basename(str(where)) or where!r}"
                name += f" of {host}" if host else ""
            else:
                told = f"{host}:{where}" if host else where
                name = f"{key[0]}{6 * (end.family == socket.AF_INET6) or ''} port {told}"
            port = self.ports[key] = Port(self.hub.bind(end, name), host)
        if not port.numbered:
            port.number = self.number(port.name, "address")
            port.numbered = True
        return port

    def free_port(self, end: End, worker: Worker) -> int:
        """A port that nobody asked for by number: by who asks, and how often it has asked, so that
        it is the same in every schedule and process."""
        count = worker.count("ports")
        start = zlib.crc32(f"{worker.label}:{count}".encode()) % PORTS
        for k in range(PORTS):
            number = FIRST_PORT + (start + k) % PORTS
            kind = "tcp" if end.stream else "udp"
            known = self.ports.get((kind, end.family, end.host, number))
            if known is None or known.end is None:
                return number
        fail(errno.EADDRINUSE)

    # --- addresses ---------------------------------------------------------------------------
    def target(self, end: End, host: str) -> str | None:
        """Which host of the run has the address, or name, ``host`` for ``end``: "" for this
        machine, to which all workers belong that are on no host. None where none has."""
        if host in ("", *_EVERYWHERE.values()) or loops_back(host) or host == _hostname():
            return end.host
        return self.hosts.at(host) if self.hosts else None

    def local(self, end: End, host: str) -> bool:
        """Whether ``host`` is the one that ``end`` is on."""
        return not end.tcp or self.target(end, host) == end.host

    def served(self, end: End, host: str) -> bool:
        """Whether workers may be there: ``host`` is one of the run."""
        return not end.tcp or self.target(end, host) is not None

    def whole(self, end: End, host: str, port: int) -> Any:
        """An address as ``getsockname`` gives it."""
        if not end.tcp:
            return ""
        if self.hosts and host in self.hosts:
            host = self.hosts.address(host)
        if host.lower() in NAMES or host == _hostname():
            host = _LOOPBACK[end.family]  # type: ignore[index]
        if not host:
            host = _EVERYWHERE[end.family]  # type: ignore[index]
        return (host, port) if end.family == socket.AF_INET else (host, port, 0, 0)

    def own_address(self, end: End, worker: Worker, to: str = "") -> None:
        """Give ``end`` an address where it has none, as sending and connecting (``to``) do."""
        if end.address is None:
            if end.tcp:
                named = end.host and end.family == socket.AF_INET and not loops_back(to)
                host = self.hosts.address(end.host) if named else _LOOPBACK[end.family]  # type: ignore[index]
                end.address = self.whole(end, host, self.free_port(end, worker))
            else:
                end.address = ""


def loops_back(host: str) -> bool:
    """Whether an address, or a name, is that of the very machine that asks, as RFC 1122, 3.2.1.3
    and RFC 4291, 2.5.3 have it."""
    return host.startswith("127.") or host == "::1" or host.lower() in NAMES


#: What a loop does with the sockets that wake itself up, and where it does.
_WAKING: Final = ("trio._core._wakeup_socketpair", "asyncio.selector_events", "asyncio.unix_events")


def used_outside(worker: Worker, what: str, asks: Any) -> None:
    """A worker uses something real, which code of a module called ``asks`` does: what comes of it
    is not controlled, so that nothing is proved."""
    account = worker.hub.account
    known = asks in _WAKING or (what == "select" and trusted(str(asks)))
    if account is not None and not known and not worker.importing:
        account.account.outside.add(what)


def refuse_elsewhere(worker: Worker, descriptor: int, address: Any) -> None:
    """A worker in another process uses a socket. Raises LimitReached where that is, or where its
    ``address`` is of, one in the memory of this process, as far as that was so when it was forked.
    """
    network = worker.hub.known(Network)
    if network is None:
        return
    told = address[0] if address else None
    number = told[1] if isinstance(told, tuple) and len(told) > 1 else told
    served = any(key[3] == number and port.end is not None for key, port in network.ports.items())
    if descriptor in network.ends or (address and served):
        raise LimitReached(
            "a socket between processes of one run is not under control: have both ends in threads "
            "or tasks of one process"
        )


def _hostname() -> str:
    return socket.gethostname()


def _path(address: Any) -> Any:
    return address if isinstance(address, bytes) else os.fspath(address)


def network_of(hub: Hub) -> Network:
    """The network of the current schedule."""
    return hub.wing(Network)


def _make(host: NetworkHost) -> bool:
    worker = here()
    if worker is None or worker.importing or worker.elsewhere:
        return False
    network_of(worker.hub).hosts.make(worker, host)
    return True


def _move(name: str) -> bool:
    worker = here()
    if worker is None or worker.importing or worker.elsewhere:
        return False
    network_of(worker.hub).hosts.members[worker.number] = name
    return True


makes.append(_make)
moves.append(_move)
