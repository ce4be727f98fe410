"""What comes of calls to what is outside of a run: by default, and where they are recorded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
import trio

import tracelock
from tests.helpers.tls import CLIENT, SERVER
from tracelock.engine.limits import RunLimits
from tracelock.instrument.network import secured_outside
from tracelock.instrument.outside import answers
from tracelock.instrument.outside.calls import recorded_in
from tracelock.instrument.patches import table
from tracelock.trace.token import token_of

PRINTS = [sys.executable, "-c", "print('a line')"]


def popen() -> Any:
    return subprocess.Popen(PRINTS, stdout=subprocess.PIPE, text=True)


def communicates() -> Any:
    return popen().communicate()


def waits() -> Any:
    process = popen()
    assert process.stdout is not None
    with process.stdout:
        return process.stdout.read(), process.wait()


def polls() -> Any:
    process = popen()
    while process.poll() is None:
        time.sleep(0.01)
    return process.returncode, process.communicate()


def signals() -> Any:
    process = subprocess.Popen(["sleep", "100"])
    process.terminate()
    return process.wait()


async def executes() -> Any:
    process = await asyncio.create_subprocess_exec(*PRINTS, stdout=subprocess.PIPE)
    return await process.communicate()


async def by_shell() -> Any:
    process = await asyncio.create_subprocess_shell("exit 3")
    return await process.wait()


async def by_protocol() -> Any:
    loop = asyncio.get_running_loop()
    await loop.subprocess_exec(asyncio.SubprocessProtocol, *PRINTS)


async def by_protocol_and_shell() -> Any:
    loop = asyncio.get_running_loop()
    await loop.subprocess_shell(asyncio.SubprocessProtocol, "exit 3")


async def of_anyio() -> Any:
    return (await anyio.run_process(PRINTS)).stdout


async def of_trio() -> Any:
    process = await trio.lowlevel.open_process(PRINTS, stdout=subprocess.PIPE)
    return b"".join([data async for data in process.stdout])


async def run_by_trio() -> Any:
    return (await trio.run_process(["cat"], stdin=b"a line\n", capture_stdout=True)).stdout


async def waits_in_trio() -> Any:
    process = await trio.lowlevel.open_process(["sleep", "100"])
    process.terminate()
    return await process.wait()


#: Which of these are tasks, and on which backend.
TASKS: dict[Any, str] = {
    executes: "asyncio", by_shell: "asyncio", of_anyio: "asyncio", of_trio: "trio",
    run_by_trio: "trio", waits_in_trio: "trio",
}  # fmt: skip
#: A use of each row, and what it comes to, recorded and replayed.
USES: dict[str, tuple[Callable[[], Any], Any]] = {
    "subprocess.Popen.__init__": (popen, None),
    "subprocess.Popen.communicate": (communicates, ("a line\n", None)),
    "subprocess.Popen.wait": (waits, ("a line\n", 0)),
    "subprocess.Popen.poll": (polls, (0, ("a line\n", None))),
    "subprocess.Popen.send_signal": (signals, -15),
    "os._Environ.__getitem__": (lambda: os.environ["PATH"], os.environ["PATH"]),
    "os._Environ.__iter__": (lambda: "PATH" in list(os.environ), True),
    "asyncio.subprocess.create_subprocess_exec": (executes, (b"a line\n", None)),
    "asyncio.subprocess.create_subprocess_shell": (by_shell, 3),
    "anyio.open_process": (of_anyio, b"a line\n"),
    "trio.lowlevel.open_process": (of_trio, b"a line\n"),
    "trio.Process.wait_child_exiting": (waits_in_trio, -15),
    "trio.run_process": (run_by_trio, b"a line\n"),
}
#: Rows that only refuse.
REFUSED: dict[str, Any] = {
    "asyncio.BaseEventLoop.subprocess_exec": by_protocol,
    "asyncio.BaseEventLoop.subprocess_shell": by_protocol_and_shell,
}


def test_there_is_a_use_for_each_row() -> None:
    groups = "calls_outside", "asyncio_outside", "anyio_outside", "trio_outside"
    rows = [row.name for row in table(*groups)]
    assert {*rows, "trio.run_process"} == {*USES, *REFUSED} and len(rows) == len(set(rows))


@pytest.mark.parametrize("name", USES)
def test_recorded_and_replayed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use, wanted = USES[name]
    got: list[Any] = []

    def worker() -> None:
        found: Any = use()
        got.append(found if wanted is not None else wanted)
        raise ValueError(f"got {got[-1]!r}")

    async def task() -> None:
        got.append(await use())
        raise ValueError(f"got {got[-1]!r}")

    program: Any = {"workers": [task if use in TASKS else worker], "instrument": []}
    program["backend"] = TASKS.get(use)
    found = tracelock.explore(
        **program, outside="real", schedules=1, shrink=False, confirm=1, isolation="never"
    )
    assert found.verdict == "failed" and found.trace is not None, str(found)
    assert set(map(repr, got)) == {repr(wanted)}
    calls = recorded_in(found.trace.events, found.trace.workers)
    assert calls and found.trace.scenario["python"]["outside"] == "real"
    got.clear()
    # now nothing of that is there any more
    monkeypatch.setattr(subprocess.Popen, "_execute_child", None)
    monkeypatch.setattr(os.environ, "_data", {})
    result = tracelock.replay(found.trace, **program)
    assert result.reproduced and set(map(repr, got)) == {repr(wanted)}, result


@pytest.mark.parametrize("use", [*TASKS, *REFUSED.values()], ids=lambda use: use.__name__)
def test_a_process_of_a_loop_is_refused_with_its_command(use: Any) -> None:
    asks_for = "real" if use in REFUSED.values() else None
    found = tracelock.explore(
        workers=[use], backend=TASKS.get(use, "asyncio"), instrument=[], schedules=2,
        outside=asks_for,
    )  # fmt: skip
    told = "create_subprocess_exec" if asks_for else 'outside="real"'
    assert found.verdict == "unfinished" and told in str(found), str(found)
    assert any(
        f"subprocess: {word}" in str(found) for word in ("python -c", "cat", "sleep", "exit")
    )


def test_a_process_of_trio_that_is_fed_more_than_a_pipe_has_room_for() -> None:
    """And others that fail, are cancelled, and talk to a task."""
    fed = b"x" * 300_000

    async def feeds() -> None:
        result = await trio.run_process(["cat"], stdin=fed, capture_stdout=True)
        assert result.stdout == fed

    async def fails() -> None:
        with pytest.raises(subprocess.CalledProcessError, match="exit status 3"):
            await trio.run_process("exit 3", shell=True)

    async def cancels() -> None:
        with trio.move_on_after(0.01) as scope:
            await trio.run_process(["sleep", "100"])
        assert scope.cancelled_caught

    async def starts() -> None:
        async with trio.open_nursery() as nursery:
            run: Any = trio.run_process
            process = await nursery.start(partial(run, ["cat"], stdin=subprocess.PIPE))
            await process.stdin.send_all(b"")
            await process.stdin.aclose()
            with pytest.raises(trio.ClosedResourceError):
                await process.stdin.send_all(b"x")

    found = real(feeds, fails, cancels, starts, backend="trio")
    assert found.verdict == "passed" and "subprocess" in found.account.outside, str(found)


def both(work: Callable[[], Any], **more: Any) -> Any:
    return tracelock.explore(
        workers=[work, work], instrument=[], schedules=more.pop("schedules", 5), **more
    )


def test_nothing_is_verified_where_something_outside_was_asked() -> None:
    def asks() -> None:
        os.environ.get("PATH")

    assert both(asks, strategy="dpor").verdict == "verified"
    found = both(asks, strategy="dpor", outside="real")
    assert found.verdict == "passed" and "os.environ" in str(found)


def test_a_name_is_refused_with_what_to_do() -> None:
    found = both(lambda: socket.getaddrinfo("service.example", 80))
    assert found.verdict == "unfinished"
    assert "service.example port 80" in str(found) and 'outside="real"' in str(found)


def test_where_nobody_listens_at_all_a_connection_is_refused_as_ever() -> None:
    def tries() -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", 1))

    assert both(tries).verdict == "passed"


def test_answers_that_are_too_large_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "LARGEST", 40)
    found = both(lambda: subprocess.check_output(["echo", "x" * 100]), outside="real")
    assert found.verdict == "unfinished" and "40 of one answer" in str(found)


def test_what_goes_by_a_file_is_refused() -> None:
    def runs() -> None:
        with open(os.devnull, "w") as file:
            subprocess.run(PRINTS, stdout=file)

    found = both(runs, outside="real")
    assert found.verdict == "unfinished" and "give it a pipe" in str(found)


def test_the_check_asks_nothing() -> None:
    found = tracelock.explore(
        workers=[threading.Event], check=lambda: subprocess.run(PRINTS), instrument=[],
        outside="real", schedules=2,
    )  # fmt: skip
    assert found.verdict == "unfinished" and "in the check" in str(found)


def test_a_call_that_was_not_recorded_is_told_with_its_place() -> None:
    words = ["one"]

    def work() -> None:
        subprocess.check_output(["echo", words[0]])
        raise ValueError

    found = both(work, outside="real", shrink=False, confirm=1, isolation="never")
    assert found.trace is not None
    assert token_of(found.trace) == ""  # it has no room for answers
    words[0] = "other"
    result = tracelock.replay(found.trace, workers=[work, work], instrument=[])
    told = str(result.diverged)
    assert not result.reproduced and "(echo, other)" in told and "(echo, one)" in told
    assert "test_outside.py" in told
    calls = found.trace
    del calls.events.extras[0]
    assert not tracelock.replay(calls, workers=[work, work], instrument=[]).reproduced


def test_recorded_is_what_a_replay_does() -> None:
    found = both(lambda: os.environ.get("PATH"), outside="recorded")
    assert found.verdict == "unfinished" and "no answer was recorded" in str(found)
    with pytest.raises(tracelock.UsageError, match="none of refused"):
        both(lambda: None, outside="maybe")


def test_a_process_that_takes_too_long() -> None:
    def runs() -> None:
        with pytest.raises(subprocess.TimeoutExpired, match="timed out"):
            subprocess.run(["sleep", "100"], timeout=0.01)
        raise ValueError

    found = both(runs, outside="real", shrink=False, confirm=1)
    assert found.verdict == "failed" and "ValueError" in str(found), str(found)


# --- connections -----------------------------------------------------------------------------
@contextlib.contextmanager
def listening() -> Iterator[tuple[str, int]]:
    """Somebody listens, and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


@contextlib.contextmanager
def echoing() -> Iterator[tuple[str, int]]:
    """Gives back what comes, connection by connection, until one says ``end``."""

    def serve() -> None:
        while True:
            sock, _ = server.accept()
            with sock:
                while data := sock.recv(65_536):
                    if data == b"end":
                        return
                    sock.sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()
        with socket.create_connection(server.getsockname()) as sock:
            sock.sendall(b"end")
        thread.join()


def real(*workers: Callable[..., Any], stall: float = 20.0, **more: Any) -> Any:
    given = {"schedules": 2, "shrink": False, "confirm": 1, **more}
    limits = RunLimits(steps=10_000, stall=stall)
    return tracelock.explore(workers=workers, instrument=[], outside="real", limits=limits, **given)


@pytest.mark.parametrize("kind", ["recv", "select", "streams"])
def test_who_waits_for_what_never_comes_is_no_failure(kind: str) -> None:
    with listening() as address:

        def receives() -> None:
            socket.create_connection(address).recv(10)

        def selects() -> None:
            select.select([socket.create_connection(address)], [], [])

        async def reads() -> None:
            reader, _ = await asyncio.open_connection(*address)
            await reader.read()

        works = {"recv": receives, "select": selects, "streams": reads}
        found = real(works[kind], stall=0.5)
        assert found.verdict == "unfinished", str(found)
        # where the machine is busy, the worker may seem to be stuck before it gives up
        told = f"nothing came from 127.0.0.1:{address[1]}"
        assert told in str(found) or "stuck" in str(found)


def test_tls_is_refused() -> None:
    with listening() as address:
        found = real(lambda: socket.create_connection(address).sendall(b"\x16\x03\x01\0\x05\x01"))
    assert found.verdict == "unfinished" and "TLS to 127.0.0.1" in str(found)


@contextlib.contextmanager
def echoing_in_secret() -> Iterator[tuple[str, int]]:
    """Gives back what comes by TLS, connection by connection, until one says ``end``."""

    def serve() -> None:
        while True:
            sock, _ = server.accept()
            with contextlib.suppress(OSError), SERVER.wrap_socket(sock, server_side=True) as tls:
                while data := tls.recv(65_536):
                    if data == b"end":
                        return
                    tls.sendall(data)

    with socket.create_server(("localhost", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        address = server.getsockname()[:2]
        try:
            yield address
        finally:
            sock = socket.create_connection(address)
            with CLIENT.wrap_socket(sock, server_hostname="localhost") as tls:
                tls.sendall(b"end")
            thread.join()


def test_tls_of_threads_is_recorded_as_the_program_has_it() -> None:
    with echoing_in_secret() as (host, port):

        def talks() -> None:
            sock = socket.create_connection((host, port))
            with CLIENT.wrap_socket(sock, server_hostname="localhost") as tls:
                tls.sendall(b"\x16\x03\x01 in plain words\x01")
                with tls.makefile("rb") as file:
                    got = file.read(19)
                certificate: Any = tls.getpeercert()
                assert (tls.version(), tls.pending()) == ("TLSv1.3", 0)
                assert tls.getpeercert(True) and tls.cipher() and tls.session is None
            raise ValueError((got, certificate["subject"], certificate["version"]))

        def is_not_trusted() -> None:
            context = ssl.create_default_context()
            with pytest.raises(ssl.SSLCertVerificationError, match="certificate") as caught:
                context.wrap_socket(
                    socket.create_connection((host, port)), server_hostname="localhost"
                )
            raise ValueError(caught.value.verify_code, caught.value.reason)

        def does_not_wait() -> None:
            tls = CLIENT.wrap_socket(socket.socket(), server_hostname="localhost")
            tls.connect((host, port))
            tls.setblocking(False)
            tls.sendall(b"x")
            got = b""
            while not got:
                try:
                    got = tls.recv(10)
                except ssl.SSLWantReadError:
                    select.select([tls], [], [])
            tls.close()
            raise ValueError(got)

        told = ["in plain words", "CERTIFICATE_VERIFY_FAILED", "b'x'"]
        traces = []
        for work in (talks, is_not_trusted, does_not_wait):
            found = real(work, isolation="never")
            assert found.verdict == "failed" and told[len(traces)] in str(found.ways), str(found)
            traces.append((work, found.trace))
    for work, trace in traces:  # nobody is there any more
        assert tracelock.replay(trace, workers=[work], instrument=[]).reproduced


def test_of_a_trace_no_more_than_an_error_of_tls_is_made() -> None:
    made = secured_outside._error("SSLCertVerificationError", (1, "why"), (None, None, 18, "who"))
    assert type(made) is ssl.SSLCertVerificationError and made.args == (1, "why")
    assert made.verify_code == 18 and made.verify_message == "who"
    for other in ("get_server_certificate", "SSLContext", "os", "nothing"):
        assert type(secured_outside._error(other, (1, "why"), (None,) * 4)) is ssl.SSLError


def test_a_time_out_comes_as_it_would() -> None:
    with listening() as address:

        def receives() -> None:
            with pytest.raises(TimeoutError):
                socket.create_connection(address, timeout=0.01).recv(10)

        def looks() -> None:
            sock = socket.create_connection(address)
            assert select.select([sock], [], [], 0.01) == ([], [], [])
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(10)

        async def reads() -> None:
            reader, _ = await asyncio.open_connection(*address)
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(reader.read(), 0.01)

        assert real(receives, looks).verdict == "passed"
        assert real(reads).verdict == "passed"


def test_one_thread_sends_what_another_one_waits_for() -> None:
    with echoing() as address:

        def reads(sock: socket.socket) -> None:
            assert sock.recv(5, socket.MSG_WAITALL) == b"hello"

        def writes(sock: socket.socket) -> None:
            time.sleep(0.00001)
            sock.sendall(b"he")
            sock.sendall(b"llo")

        found = real(reads, writes, setup=lambda: socket.create_connection(address), schedules=10)
        assert found.verdict == "passed" and "socket" in found.account.outside, str(found)


def test_tasks_and_what_comes_in_between() -> None:
    with echoing() as address:
        got = []

        async def asks() -> None:
            reader, writer = await asyncio.open_connection(*address)
            for _ in range(3):
                writer.write(b"x" * 1_000)
                got.append(await reader.readexactly(1_000))
                await asyncio.sleep(30)
            writer.close()

        found = real(asks)
        assert found.verdict == "passed" and set(got) == {b"x" * 1_000}, str(found)
