"""Names and addresses of this machine are answered here; others are asked for as ever."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

from tracelock.instrument.network.faults import fault
from tracelock.instrument.network.table import NAMES, Network, network_of, used_outside
from tracelock.instrument.outside.calls import ask, asks, refuse
from tracelock.instrument.outside.kinds import WAY_OUT
from tracelock.instrument.patching import SEEN, patch
from tracelock.instrument.worker import Uncontrolled, Worker, here

_PROTOCOLS: Final = {
    int(socket.SOCK_STREAM): int(socket.IPPROTO_TCP),
    int(socket.SOCK_DGRAM): int(socket.IPPROTO_UDP),
}
#: Services that have a number by name.
_SERVICES: Final = {"http": 80, "https": 443, "ftp": 21, "ssh": 22, "smtp": 25, "redis": 6379}


def known(host: Any) -> str | None:
    """The address of a name of this machine, or of an address; None for any other name."""
    if isinstance(host, (bytes, bytearray)):
        host = bytes(host).decode("ascii", "replace")
    if host is None:
        return ""
    if host.lower() in NAMES or host == socket.gethostname():
        return "127.0.0.1"
    if host == "" or _numeric(host):
        return str(host)
    return _of_host(str(host))


def _of_host(name: str) -> str | None:
    """The address of a host of the run, see ``tracelock.host``."""
    worker = here()
    if worker is None or worker.elsewhere:
        return None
    network: Network = network_of(worker.hub)
    return network.hosts.ask(name)


def _numeric(host: str) -> bool:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return True
    return False


def answer(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any] | None:  # fmt: skip
    """What ``getaddrinfo`` gives for this machine and for addresses; None for other names.

    Raises socket.gaierror, as that does, where there is no such address.
    """
    found = known(host)
    if isinstance(port, (bytes, bytearray)):
        port = bytes(port).decode("ascii", "replace")
    if isinstance(port, str):
        port = _SERVICES.get(port, port)
        if isinstance(port, str) and not port.isdigit() and port:
            return None
    if found is None or (host is None and port is None):
        return None
    six = ":" in found or (not found and family == socket.AF_INET6)
    if not found:
        passive = flags & socket.AI_PASSIVE
        found = ("::" if passive else "::1") if six else "0.0.0.0" if passive else "127.0.0.1"
    elif found == "127.0.0.1" and family == socket.AF_INET6 and not _numeric(str(host)):
        found, six = "::1", True
    own = socket.AF_INET6 if six else socket.AF_INET
    if family not in (0, own):
        raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")
    address: Any = (found, int(port or 0), 0, 0) if six else (found, int(port or 0))
    kinds = [(type, proto or _PROTOCOLS.get(int(type), 0))] if type else [*_PROTOCOLS.items()]
    return [
        (own, socket.SocketKind(kind), number, "", address)
        for kind, number in kinds
        if not proto or number == proto
    ]


def resolved(worker: Worker | None, host: Any, found: list[Any]) -> list[Any]:
    """What was found, unless the resolver fails: of a name it may. Raises socket.gaierror."""
    name = host not in (None, "") and not _numeric(str(host))
    if name and worker is not None and fault(worker, "unresolved"):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return found


@patch("socket.getaddrinfo", SEEN)
def getaddrinfo(
    worker: Worker, real: Any, host: Any, port: Any, family: int = 0, type: int = 0,
    proto: int = 0, flags: int = 0,
) -> Any:  # fmt: skip
    found = answer(host, port, family, type, proto, flags)
    if found is not None:
        return resolved(worker, host, found)
    return elsewhere(
        worker, host, f"addresses of {_text(host)} port {_text(port)}",
        lambda: [tuple(one) for one in real(host, port, family, type, proto, flags)],
        [int(family), int(type), int(proto), int(flags)],
    )  # fmt: skip


def _text(given: Any) -> str:
    return given.decode("ascii", "replace") if isinstance(given, bytes) else str(given)


def elsewhere(
    worker: Worker, host: Any, what: str, live: Callable[[], Any], value: list[int]
) -> Any:  # fmt: skip
    """A name that nobody in the run knows: it is asked for outside, or the schedule ends."""
    if asks(worker) and not worker.elsewhere:
        return made_whole(ask(worker, "name", what, live, value))
    used_outside(worker, "socket", "")
    if worker.running:
        worker.doubt(
            f"the address of {host!r}, which nobody in the run has",
            "what answers that is not controlled",
        )
        if not worker.elsewhere:
            refuse(worker, f"{what} were asked for, which nobody in the run knows: {WAY_OUT}")
    with Uncontrolled(worker):
        return live()


def made_whole(found: Any) -> Any:
    """Rows of ``getaddrinfo`` with their enumerations, where it is these."""
    if not isinstance(found, list):
        return found
    return [
        (socket.AddressFamily(one[0]), socket.SocketKind(one[1]), *one[2:])
        if len(one) == 5 else one
        for one in found
    ]  # fmt: skip


def _by_name(name: str, give: Any) -> None:
    @patch(f"socket.{name}", SEEN)
    def of(worker: Worker, real: Any, host: Any) -> Any:
        address = known(host)
        if not address:
            return elsewhere(worker, host, f"{name} of {_text(host)}", lambda: real(host), [])
        return give(address)


_by_name("gethostbyname", lambda address: address)
_by_name("gethostbyaddr", lambda address: (_name_at(address), [], [address]))


def _name_at(address: str) -> str:
    worker = here()
    return (worker and network_of(worker.hub).hosts.at(address)) or "localhost"
