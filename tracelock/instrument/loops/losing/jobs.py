"""Jobs that a host leaves to others: the threads that trio keeps for everybody, and what threads
send to a run of trio. What a host has begun ends with it, and is not begun after its crash.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tracelock.instrument.hub import Hub, contexts, get_ident
from tracelock.instrument.network.membership import HOST
from tracelock.instrument.network.table import Network, network_of


class HostedJob:
    """What a host has somebody else call. ``host``: its name; ``life``: how often it had crashed
    by then."""

    def __init__(self, hub: Hub, host: str, call: Callable[..., Any]) -> None:
        self.hub, self.host, self.call = hub, host, call
        self.life = network_of(hub).hosts.crashes[host]

    def over(self) -> bool:
        """Whether the host has crashed since."""
        return network_of(self.hub).hosts.crashes[self.host] != self.life

    def __call__(self, *arguments: Any) -> Any:
        return None if self.over() else self.call(*arguments)


class ThreadJob(HostedJob):
    """One for a thread that works for everybody: meanwhile it is on this host."""

    def __call__(self, *arguments: Any) -> Any:
        worker: Any = contexts.get(get_ident())
        if self.over():
            return None
        if worker is None:  # it is not under control
            return self.call(*arguments)
        members = network_of(self.hub).hosts.members
        members[worker.number] = self.host
        try:
            return self.call(*arguments)
        finally:
            if self.host == members.get(worker.number):
                del members[worker.number]


def of_host(hub: Hub, kind: type[HostedJob], call: Callable[..., Any]) -> Callable[..., Any]:
    """What is called in the place of this: itself, where no host has asked for it."""
    host = HOST.get()
    return kind(hub, host, call) if host and hub.known(Network) is not None else call
