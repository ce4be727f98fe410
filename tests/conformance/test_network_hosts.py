"""Hosts of a network in memory, and partitions between them: from tests, and as faults."""

from __future__ import annotations

import errno
import select
import socket
import threading
from typing import Any

import pytest

import tracelock
from tests.helpers import host_programs as programs
from tracelock.analysis.analyze import analyze
from tracelock.names.display import for_display

LOOPS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


def endings(workers: list[Any], setup: Any = programs.Store, **more: Any) -> set[tuple[Any, ...]]:
    """What all schedules together tell; each of them passes."""
    seen: set[tuple[Any, ...]] = set()
    found = tracelock.explore(
        workers=workers, setup=setup, check=lambda store: seen.add(tuple(store.told)),
        instrument=[], shrink=False, network={"splits": 0, **more.pop("network", {})}, **more,
    )  # fmt: skip
    assert found.verdict == "passed", (found, [way.message for way in found.ways])
    return seen


GOOD = (b"go", b"<go")


# --- names and addresses ---------------------------------------------------------------------
def test_each_host_has_its_own_ports_its_own_localhost_and_a_name() -> None:
    class Told:
        def __init__(self) -> None:
            self.told: list[Any] = []
            self.servers = {}
            for name in ("a", "b"):
                with tracelock.host(name):
                    self.servers[name] = socket.create_server(("127.0.0.1", 80))

    def looks(state: Any) -> None:
        with tracelock.host("a"):
            socket.create_connection(("localhost", 80)).close()
            state.told.append(state.servers["a"].accept()[1][0])
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("b", 80))
            with socket.socket() as one, pytest.raises(OSError, match="assign"):
                one.bind(("b", 81))
            with tracelock.host("b"):
                socket.create_connection(("127.0.0.1", 80)).close()
            with socket.create_server(("a", 82)) as server:
                with tracelock.host("b"):
                    other = socket.create_connection(("A", 82))
                assert server.accept()[1] == other.getsockname()
                assert other.getpeername() == (socket.gethostbyname("a"), 82)
                assert socket.gethostbyaddr(other.getpeername()[0])[0] == "a"
        assert socket.gethostbyname("a") != socket.gethostbyname("b")

    assert endings([looks], Told, schedules=3) == {("127.0.0.1",)}


@pytest.mark.parametrize("wrong", ["", "a b", "-a", "10.0.0.1", "localhost", "x" * 64, "ä", 7])
def test_what_is_no_name_of_a_host_is_refused(wrong: Any) -> None:
    with pytest.raises(tracelock.UsageError, match="host"):
        tracelock.host(wrong)


def test_partitions_are_of_two_hosts_and_under_control() -> None:
    with pytest.raises(tracelock.UsageError, match="exploration"):
        tracelock.partition("db", "web")

    def wrong(store: Any) -> None:
        for pair in (("db", "nowhere"), ("db", "db")):
            for function in (tracelock.partition, tracelock.heal):
                with pytest.raises(tracelock.UsageError, match=r"no host 'nowhere'|two hosts"):
                    function(*pair)

    assert endings([wrong], schedules=2) == {()}


def test_what_a_worker_of_a_host_starts_belongs_to_it() -> None:
    def starts(store: Any) -> None:
        def connects() -> None:
            with socket.create_connection(("localhost", 5432)) as one:
                store.told.append(one.getpeername()[0])

        with tracelock.host("db"):
            thread = threading.Thread(target=connects)
            thread.start()
        store.server.accept()
        thread.join()

    assert endings([starts], schedules=3) == {("127.0.0.1",)}


# --- partitions of the test --------------------------------------------------------------------
def test_a_partition_in_every_order_of_steps() -> None:
    """The client waits for five seconds: of a partition of a second it learns nothing, one of an
    hour comes before the connection, before the request, before the answer, or after all that."""

    def asks(store: programs.Store) -> None:
        try:
            programs.asks(store)
        except TimeoutError:
            store.told.append("never connected")

    def answers(store: programs.Store) -> None:
        store.server.settimeout(8_000.0)
        try:
            programs.answers(store)
        except TimeoutError:
            store.told.append("alone")

    short, long = ([answers, asks, programs.parts(seconds)] for seconds in (1.0, 3_600.0))
    every = {GOOD, ("never connected", "alone"), ("late", b"go"), (b"go", "late")}
    assert endings(short, strategy="dpor", schedules=2_000) == {GOOD}
    assert endings(long, strategy="dpor", schedules=2_000) == every
    assert endings(long, schedules=60, seed=1) <= every


def test_ends_and_resets_come_when_it_is_healed() -> None:
    class Pair:
        def __init__(self) -> None:
            self.told: list[Any] = []
            with tracelock.host("a"):
                server = socket.create_server(("", 80))
            with tracelock.host("b"):
                self.one = socket.create_connection(("a", 80))
            self.other = server.accept()[0]

    def goes_through(pair: Any) -> None:
        tracelock.partition("a", "b")
        for sock in (pair.one, pair.other):
            sock.settimeout(1.0)
            sock.sendall(b"x")
            with pytest.raises(TimeoutError):
                sock.recv(1)
        pair.one.shutdown(socket.SHUT_WR)
        with pytest.raises(TimeoutError):
            pair.other.recv(1)
        tracelock.partition("a", "b")
        tracelock.heal("a", "b")
        assert (pair.other.recv(9), pair.other.recv(9)) == (b"x", b"")
        assert pair.one.recv(9) == b"x"
        tracelock.partition("b", "a")
        pair.other.sendall(b"y")
        pair.one.close()  # the answer to what comes then is a reset
        pair.other.sendall(b"z")
        tracelock.heal("b", "a")
        tracelock.heal("b", "a")
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            pair.other.sendall(b"!")
            pair.other.sendall(b"!")

    assert endings([goes_through], Pair, schedules=2) == {()}


def test_datagrams_across_a_partition_are_lost() -> None:
    def sends(store: Any) -> None:
        with tracelock.host("a"):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            one.bind(("", 53))
            one.settimeout(1.0)
        with tracelock.host("b"):
            other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for parted in (True, False):
            (tracelock.partition if parted else tracelock.heal)("a", "b")
            other.sendto(b"?", ("a", 53))
            try:
                store.told.append(one.recvfrom(9)[0])
            except TimeoutError:
                store.told.append("lost")

    assert endings([sends], schedules=2) == {("lost", b"?")}


@LOOPS
def test_loops_across_a_partition(backend: str) -> None:
    def ends(**when: Any) -> tuple[Any, ...]:
        main, seen = programs.loop_program(backend, **when)
        found = tracelock.explore(workers=[main], backend=backend, instrument=[], schedules=3)
        assert found.verdict == "passed", [way.message for way in found.ways]
        (told,) = {*seen}
        return told  # type: ignore[no-any-return]

    async def parts(sleep: Any) -> None:
        tracelock.partition("db", "web")

    async def heals(sleep: Any) -> None:
        tracelock.heal("db", "web")
        await sleep(1.0)

    assert ends() == GOOD
    assert ends(listens=parts, asked=heals) == ("never connected",)
    assert ends(connected=parts, asked=heals) == ("late", b"go")
    assert ends(listens=parts, connected=heals) == ("never connected",)


@LOOPS
def test_who_waits_for_a_connection_has_it_when_it_is_healed(backend: str) -> None:
    def heals() -> None:
        import time

        time.sleep(1.0)
        tracelock.heal("db", "web")

    async def parts(sleep: Any) -> None:
        import threading

        tracelock.partition("db", "web")
        threading.Thread(target=heals).start()

    main, seen = programs.loop_program(backend, listens=parts)
    found = tracelock.explore(workers=[main], backend=backend, instrument=[], schedules=40, seed=1)
    assert found.verdict == "passed", [way.message for way in found.ways]
    assert {*seen} == {GOOD}


def test_who_does_not_wait_is_ready_when_it_is_connected_and_not_before() -> None:
    class Parted(programs.Store):
        def __init__(self) -> None:
            super().__init__()
            tracelock.host("web")
            tracelock.partition("db", "web")

    def heals(store: Any) -> None:
        tracelock.heal("db", "web")

    @tracelock.host("web")
    def connects(store: Any) -> None:
        one = socket.socket()
        one.setblocking(False)
        begun = one.connect_ex(("db", 5432))
        assert begun in (0, errno.EINPROGRESS)
        while not select.select([], [one], [], 1.0)[1]:
            pass
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert one.getpeername()[1] == 5432
        store.told.append(begun)

    seen = endings([connects, heals], Parted, strategy="dpor", schedules=2_000)
    assert seen == {(0,), (errno.EINPROGRESS,)}
    assert endings([connects, heals], Parted, strategy="random", schedules=100, seed=1) == seen


def test_nobody_answers_to_who_sets_no_limit_for_two_minutes() -> None:
    def connects(store: Any) -> None:
        import time

        tracelock.partition("db", "web")
        with tracelock.host("web"), socket.socket() as one:
            begun = time.monotonic()
            with pytest.raises(TimeoutError, match=r"110|60"):
                one.connect(("db", 5432))
            store.told.append(round(time.monotonic() - begun))

    assert endings([connects], schedules=2) == {(127,)}


def test_whether_other_modules_have_a_host_of_that_name_makes_no_difference_to_a_trace() -> None:
    class Made:
        def __init__(self) -> None:
            self.told: list[Any] = []
            with tracelock.host("made-in-setup"):
                self.server = socket.create_server(("", 80))

    def connects(state: Made) -> None:
        socket.create_connection(("made-in-setup", 80)).close()
        state.told.append("connected")

    program: dict[str, Any] = {
        "workers": [connects, connects], "setup": Made, "check": lambda state: not state.told
    }  # fmt: skip
    found = tracelock.explore(**program, instrument=[], network={"splits": 0})
    assert found.failed and found.trace is not None
    assert tracelock.replay(found.trace, **program).reproduced
    there = tracelock.host("made-in-setup")
    assert tracelock.replay(found.trace, **program).reproduced
    del there


# --- as faults -------------------------------------------------------------------------------
PARTED: dict[str, Any] = {"faults": 1, "network": {"kinds": ["partition"], "splits": 0}}


def test_a_partition_is_found_replayed_and_made_small() -> None:
    program: dict[str, Any] = {
        "workers": [programs.answers, programs.asks], "setup": programs.Store,
        "check": programs.nobody_was_late,
    }  # fmt: skip
    assert tracelock.explore(**program, instrument=[], schedules=20).verdict == "passed"
    found = tracelock.explore(**program, **PARTED, instrument=[], schedules=300, seed=1)
    assert found.failed, found
    events = found.trace.events
    chosen = [event.extra["chosen"] for event in events if event.op == "choose"]
    assert chosen in (["partition", "for 10 seconds"], ["partition", "for an hour"]), chosen
    assert any(event.op == "set" and event.extra.get("to") == "cut" for event in events)
    for _ in range(2):
        assert tracelock.replay(found.trace, **program).reproduced


@LOOPS
def test_partitions_come_into_loops(backend: str) -> None:
    async def main() -> None:
        told: list[Any] = []

        async def nothing(word: str) -> None: ...

        await programs.MAINS[backend](told, nothing)
        assert told == [b"go", b"<go"], told

    found = tracelock.explore(
        workers=[main],
        backend=backend,
        **PARTED,
        instrument=[],
        schedules=300,
        seed=1,
        shrink=False,
    )
    assert found.failed, found
    chosen = [event.extra["chosen"] for event in found.trace.events if event.op == "choose"]
    assert chosen[0] == "partition", chosen
    for _ in range(2):
        assert tracelock.replay(found.trace, workers=[main]).reproduced


# --- who waits for whom ------------------------------------------------------------------------
class Ring:
    """Hosts of which each asks the next, and answers nobody before it has its own answer."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.servers: dict[str, socket.socket] = {}
        for name in ("a", "b", "c"):
            with tracelock.host(name):
                self.servers[name] = socket.create_server(("", 80))


def node(name: str, after: str) -> Any:
    @tracelock.host(name)
    def work(ring: Ring) -> None:
        asks = socket.create_connection((after, 80))
        asked, _ = ring.servers[name].accept()
        asks.sendall(b"?")
        assert asks.recv(1) == b"!"
        asked.recv(1)
        asked.sendall(b"!")

    work.__name__ = work.__qualname__ = name
    return work


def test_a_circle_of_hosts_that_wait_for_each_other_is_named() -> None:
    workers = [node("a", "b"), node("b", "c"), node("c", "a")]
    found = tracelock.explore(workers=workers, setup=Ring, schedules=5, instrument=[], shrink=False)
    for trace in (found.trace, for_display(found.trace)):
        (one,) = (one for one in analyze(trace).findings if one.severity == "error")
        assert one.kind == "deadlock" and one.root
        assert one.title == "Deadlock across connections: a -> b -> c -> a"
        assert "a waits for b to send bytes" in one.explanation
    assert tracelock.replay(found.trace, workers=workers, setup=Ring).reproduced


def test_a_circle_of_a_connection_and_a_lock_is_named() -> None:
    @tracelock.host("a")
    def serves(ring: Ring) -> None:
        connection, _ = ring.servers["a"].accept()
        connection.recv(1)
        with ring.lock:
            connection.sendall(b"!")

    @tracelock.host("b")
    def asks(ring: Ring) -> None:
        with ring.lock, socket.create_connection(("a", 80)) as connection:
            connection.sendall(b"?")
            connection.recv(1)

    found = tracelock.explore(
        workers=[serves, asks], setup=Ring, schedules=5, instrument=[], shrink=False
    )
    titles = [one.title for one in analyze(found.trace).findings if one.severity == "error"]
    assert titles == ["Deadlock across connections: serves -> asks -> serves"]
