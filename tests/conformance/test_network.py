"""A network in memory: real clients and servers in one run, under every schedule, and replayed."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import selectors
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest
import trio

import tracelock
from tests.helpers import network_programs as programs
from tracelock.analysis.analyze import analyze


def failure(found: Any) -> str:
    return "\n".join(f"{way.kind} {way.message}" for way in found.ways if way.kind != "passed")


def replays(found: Any, times: int = 1, **program: Any) -> None:
    """The failure that was found comes again."""
    assert found.failed and found.trace is not None
    for _ in range(times):
        again = tracelock.replay(found.trace, **program)
        assert again.reproduced, again


# --- threads ---------------------------------------------------------------------------------
def test_a_lost_update_of_an_unmodified_server_and_client() -> None:
    program: dict[str, Any] = {
        "workers": [programs.posts, programs.posts], "setup": programs.unlocked,
        "check": programs.two_posts,
    }  # fmt: skip
    found = tracelock.explore(**program, schedules=300, seed=1, shrink=False)
    assert "AssertionError: 1" in failure(found)
    assert not found.account.outside
    replays(found, **program)


def test_the_server_with_a_lock_passes() -> None:
    found = tracelock.explore(
        workers=[programs.posts, programs.posts], setup=programs.locked, check=programs.two_posts,
        schedules=8, strategy="pct", seed=2,
    )  # fmt: skip
    assert found.verdict == "passed", found
    assert not found.account.outside


def test_all_orders_of_a_small_exchange_are_right() -> None:
    found = tracelock.explore(
        workers=[programs.serves, programs.asks], setup=programs.Meeting, strategy="dpor",
        schedules=2_000,
    )  # fmt: skip
    assert found.verdict == "verified", (found, found.withheld)


def test_who_connects_before_anybody_listens_is_refused() -> None:
    program: dict[str, Any] = {
        "workers": [programs.serves, programs.asks_at_once], "setup": programs.Meeting,
    }  # fmt: skip
    found = tracelock.explore(**program, strategy="dpor", schedules=2_000, shrink=False)
    assert "ConnectionRefusedError" in failure(found)
    replays(found, **program)


def test_a_deadlock_across_a_connection_is_named() -> None:
    program: dict[str, Any] = {
        "workers": [programs.serves, programs.forgets_the_end], "setup": programs.Meeting,
    }  # fmt: skip
    found = tracelock.explore(**program, schedules=5, shrink=False)
    assert "deadlock" in failure(found)
    findings = [one.title for one in analyze(found.trace).findings]
    assert any("waits for bytes of" in one and "nobody sends there" in one for one in findings)
    replays(found, **program)


def test_to_close_a_socket_wakes_nobody_who_waits_at_it_and_to_shut_it_down_does() -> None:
    def program(end: Callable[[socket.socket], None]) -> tracelock.Explored:
        class Waiters:
            def __init__(self) -> None:
                self.server = socket.create_server(("127.0.0.1", 7002))

        def accepts(state: Any) -> None:
            with pytest.raises(OSError):
                state.server.accept()

        def ends(state: Any) -> None:
            end(state.server)

        return tracelock.explore(
            workers=[accepts, ends], setup=Waiters, schedules=20, instrument=[], shrink=False
        )

    assert program(lambda server: server.shutdown(socket.SHUT_RDWR)).verdict == "passed"
    found = program(lambda server: server.close())
    assert any(way.kind == "deadlock" for way in found.ways), found


def test_a_full_buffer_makes_the_sender_wait_for_the_reader() -> None:
    sizes: list[int] = []

    def sends(pair: Any) -> None:
        pair[0].sendall(b"x" * 150_000)
        pair[0].close()

    def receives(pair: Any) -> None:
        size = 0
        while data := pair[1].recv(40_000):
            size += len(data)
        sizes.append(size)

    found = tracelock.explore(
        workers=[sends, receives], setup=socket.socketpair, instrument=[], schedules=5
    )
    assert found.verdict == "passed", found
    assert set(sizes) == {150_000}


def test_time_limits_are_in_virtual_time() -> None:
    def waits(pair: Any) -> None:
        one, _ = pair
        one.settimeout(3_600.0)
        with pytest.raises(TimeoutError):
            one.recv(1)
        with selectors.DefaultSelector() as selector:
            selector.register(one, selectors.EVENT_READ)
            assert selector.select(3_600.0) == []
            assert selector.select(0) == []

    found = tracelock.explore(workers=[waits], setup=socket.socketpair, instrument=[], schedules=2)
    assert found.verdict == "passed", found


def outcomes(strategy: str, schedules: int, workers: list[Any], setup: Any, told: Any) -> set[Any]:
    seen: set[Any] = set()
    found = tracelock.explore(
        workers=workers, setup=setup, check=lambda state: seen.add(told(state)), instrument=[],
        strategy=strategy, schedules=schedules, shrink=False,
    )  # fmt: skip
    assert not found.failed, found
    return seen


def test_reduction_by_partial_orders_misses_nothing() -> None:
    """Against a random walk: two senders, a reader by ``select`` and one that takes in turn."""

    class Ends:
        def __init__(self) -> None:
            self.pairs = [socket.socketpair() for _ in range(2)]
            self.log: list[Any] = []

    def sends(number: int) -> Callable[[Any], None]:
        def work(ends: Any) -> None:
            ends.pairs[number][0].send(b"a")
            if number:
                ends.pairs[number][0].close()

        return work

    def selects(ends: Any) -> None:
        with selectors.SelectSelector() as selector:
            for number, (_, one) in enumerate(ends.pairs):
                selector.register(one, selectors.EVENT_READ, number)
            while len(ends.log) < 3:
                for key, _ in selector.select():
                    data = key.fileobj.recv(9)  # type: ignore[union-attr]
                    ends.log.append((key.data, data))
                    if not data:
                        selector.unregister(key.fileobj)

    workers = [sends(0), sends(1), selects]
    everything = outcomes("dpor", 60_000, workers, Ends, lambda ends: tuple(ends.log))
    drawn = outcomes("random", 400, workers, Ends, lambda ends: tuple(ends.log))
    assert drawn <= everything and len(everything) == 3


# --- loops -----------------------------------------------------------------------------------
def test_a_protocol_that_forgets_that_reads_are_split() -> None:
    main = programs.talks(programs.by_reads)
    found = tracelock.explore(
        workers=[main], backend="asyncio", schedules=50, seed=1, instrument=[], shrink=False
    )
    assert "deadlock" in failure(found) or "AssertionError" in failure(found)
    replays(found, workers=[main])
    chosen = [event for event in found.trace.events if event.op == "choose"]
    assert any(event.result for event in chosen) and chosen[0].target == "bytes of a read"


def test_one_that_reads_lines_passes() -> None:
    found = tracelock.explore(
        workers=[programs.talks(programs.by_lines)], backend="asyncio", schedules=12, instrument=[]
    )
    assert found.verdict == "passed", found
    assert not found.account.outside


def test_a_loop_and_threads_talk_to_each_other() -> None:
    def asks(served: programs.Served) -> None:
        async def main() -> bytes:
            reader, writer = await asyncio.open_connection(*served.server.server_address)
            writer.write(b"POST / HTTP/1.0\r\ncontent-length: 1\r\n\r\nx")
            answer = await reader.read()
            writer.close()
            return answer

        assert asyncio.run(main()).endswith((b"\r\n1", b"\r\n2"))

    found = tracelock.explore(
        workers=[asks, programs.posts], setup=programs.locked, check=programs.two_posts,
        schedules=6, instrument=[],
    )  # fmt: skip
    assert found.verdict == "passed", found


def test_a_run_of_trio_talks_to_a_thread() -> None:
    """Which it waits for, and which tells it."""

    class Pair:
        def __init__(self) -> None:
            self.ends = socket.socketpair()

    def answers(pair: Pair) -> None:
        assert pair.ends[0].recv(9) == b"?"
        pair.ends[0].sendall(b"!")

    def asks(pair: Pair) -> None:
        async def main() -> None:
            stream = trio.SocketStream(trio.socket.from_stdlib_socket(pair.ends[1]))
            await stream.send_all(b"?")
            assert await stream.receive_some() == b"!"

        trio.run(main)

    found = tracelock.explore(
        workers=[answers, asks], setup=Pair, schedules=20, instrument=[], shrink=False
    )
    assert found.verdict == "passed", failure(found)


def accepts(server: socket.socket) -> None:
    server.accept()


def selects(server: socket.socket) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(server, selectors.EVENT_READ)
        selector.select()


@pytest.mark.parametrize("waits", [accepts, selects])
def test_who_waits_for_somebody_to_connect_is_in_no_deadlock(waits: Any) -> None:
    """Somebody from outside might do so."""
    found = tracelock.explore(
        workers=[waits], setup=lambda: socket.create_server(("127.0.0.1", 0)), instrument=[],
        schedules=3,
    )  # fmt: skip
    assert found.verdict == "unfinished", found
    assert "connects from outside" in failure(found) and waits.__name__ in failure(found)


def test_a_run_of_trio_that_serves_is_in_no_deadlock() -> None:
    async def serves() -> None:
        await trio.serve_tcp(trio.aclose_forcefully, 0, host="127.0.0.1")  # type: ignore[arg-type]

    found = tracelock.explore(workers=[serves], backend="trio", instrument=[], schedules=3)
    assert found.verdict == "unfinished" and "only real input" in failure(found), found


# --- outside ---------------------------------------------------------------------------------
def test_what_no_worker_serves_is_refused_with_its_address() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]

    def connects() -> None:
        socket.create_connection(("127.0.0.1", port)).close()

    def waits() -> None:
        threading.Event()

    with server:
        found = tracelock.explore(workers=[connects, waits], strategy="dpor", instrument=[])
    assert found.verdict == "unfinished" and not found.exhaustive
    told = str(found)
    assert f"127.0.0.1:{port}" in told and 'outside="real"' in told


def connects(port: int) -> None:
    socket.create_connection(("127.0.0.1", port)).close()


def starts(server: socket.socket) -> None:
    process = multiprocessing.get_context("fork").Process(
        target=connects, args=server.getsockname()[1:]
    )
    process.start()
    process.join()
    assert process.exitcode == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_socket_between_processes_is_refused() -> None:
    found = tracelock.explore(
        workers=[starts, accepts], setup=lambda: socket.create_server(("127.0.0.1", 0)),
        instrument=[], schedules=2,
    )  # fmt: skip
    assert found.verdict == "unfinished", found
    assert "between processes of one run" in failure(found)


# --- faults ----------------------------------------------------------------------------------
RETRIED: dict[str, Any] = {
    "workers": [programs.applies, programs.retries], "setup": programs.Tries,
    "check": programs.once, "instrument": [],
}  # fmt: skip


def test_without_faults_nothing_is_applied_twice() -> None:
    found = tracelock.explore(**RETRIED, schedules=60, seed=3)
    assert found.verdict == "passed", failure(found)


def test_a_retry_after_a_reset_applies_twice() -> None:
    found = tracelock.explore(**RETRIED, faults=1, schedules=400, seed=3)
    assert "pay" in failure(found), found
    chosen = [event for event in found.trace.events if event.target == "fault of the network"]
    assert [event.extra["chosen"] for event in chosen] == ["reset"]
    program = {key: value for key, value in RETRIED.items() if key != "instrument"}
    replays(found, **program)
    assert found.trace.scenario["python"]["network"]["faults"] == "1"


def mailed(**more: Any) -> set[tuple[bytes, ...]]:
    seen: set[tuple[bytes, ...]] = set()
    found = tracelock.explore(
        workers=[programs.writes, programs.reads], setup=lambda: programs.Mail(5.0),
        check=lambda mail: seen.add(tuple(mail.got)), instrument=[], strategy="dpor", **more,
    )  # fmt: skip
    assert found.verdict == "passed" and found.whole, (found, failure(found))
    return seen


def test_datagrams_are_lost_doubled_and_reordered_as_often_as_they_may() -> None:
    both = b"first", b"second"
    assert mailed() == {both}
    one = {both, both[:1], both[1:], both[:1] * 2}
    assert mailed(faults=1, network={"kinds": ["lost", "doubled"]}) == one
    assert mailed(faults=1, network={"kinds": ["reordered"]}) == {both, both[::-1]}
    assert () in mailed(faults=2, network={"kinds": ["lost"]})


@pytest.mark.parametrize(
    "wrong",
    [
        {"faults": -1}, {"network": {"kinds": ["flooded"]}}, {"network": {"kind": []}},
        {"network": {"splits": True}}, {"network": {"kinds": "lost"}},
    ],
)  # fmt: skip
def test_what_is_no_fault_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(tracelock.UsageError, match=r"fault|splits|kind"):
        tracelock.explore(workers=[lambda: None], **wrong)
