"""What only a started thread has dies when ``threading`` has done with it, in its worker's life:
before anybody else goes on, and not at some time after."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

import tracelock


class Shared:
    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.died = 0
        self.lock = threading.Lock()
        self.daemons: list[bool] = []


class Client(threading.Thread):
    """Nobody closes its connection but its end."""

    def __init__(self, address: Any) -> None:
        super().__init__()
        self.connection = socket.create_connection(address)

    def run(self) -> None:
        self.connection.sendall(b"hello")


def serve(s: Shared) -> None:
    connection, _ = s.server.accept()
    got = b""
    while some := connection.recv(10):
        got += some
    assert got == b"hello"


def by_subclass(s: Shared) -> None:
    Client(s.server.getsockname()).start()


def by_timer(s: Shared) -> None:
    connection = socket.create_connection(s.server.getsockname())
    threading.Timer(0.1, connection.sendall, (b"hello",)).start()


@pytest.mark.parametrize("client", [by_subclass, by_timer])
def test_a_connection_that_only_a_thread_has_is_closed_by_its_end(client: Any) -> None:
    found = tracelock.explore(setup=Shared, workers=[serve, client], schedules=40)
    assert found.verdict == "passed", found.summary


class Dying:
    def __init__(self, s: Shared) -> None:
        self.s = s

    def __del__(self) -> None:
        with self.s.lock:
            self.s.died += 1


class Holder(threading.Thread):
    def __init__(self, s: Shared) -> None:
        super().__init__()
        self.s = s
        self.only = Dying(s)

    def run(self) -> None:
        self.s.daemons.append(threading.current_thread().daemon)


def starts(s: Shared) -> None:
    Holder(s).start()


def all_have_died(s: Shared) -> None:
    assert s.died == 2 and s.daemons == [False, False], (s.died, s.daemons)


def test_what_dies_with_a_thread_is_part_of_what_its_worker_does() -> None:
    """Its ``__del__`` takes a controlled lock, and all have died when the workers are over."""
    found = tracelock.explore(
        setup=Shared, workers=[starts, starts], check=all_have_died, schedules=60
    )
    assert found.verdict in ("passed", "verified"), found.summary


def none_has_died(s: Shared) -> None:
    with s.lock:
        assert s.died == 0


def test_a_failure_by_what_dies_with_a_thread_replays() -> None:
    found = tracelock.explore(setup=Shared, workers=[starts, none_has_died], schedules=60)
    assert found.verdict == "failed" and found.trace is not None, found.summary
    for _ in range(5):
        again = tracelock.replay(found.trace, setup=Shared, workers=[starts, none_has_died])
        assert again.reproduced, again
