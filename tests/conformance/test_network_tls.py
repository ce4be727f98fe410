"""TLS between workers of one run: of threads, and by the protocols of loops."""

from __future__ import annotations

import asyncio
import http.client
import json
import select
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from http.server import ThreadingHTTPServer
from typing import Any

import pytest
import trio

import tracelock
from tests.helpers.network_programs import Handler
from tests.helpers.tls import CERTIFICATE, CLIENT, SERVER, client_context, server_context

#: What one end does, and the other: each gets its socket, and says what it saw.
Work = Callable[[socket.socket], Any]


def ends_of(client: Work, server: Work) -> tuple[Any, Any]:
    """What both come to: what they return, or the class of the error they end by."""
    told: list[Any] = [None, None]

    def run(place: int, work: Work, sock: socket.socket) -> None:
        try:
            told[place] = work(sock)
        except OSError as error:
            told[place] = type(error).__name__
        finally:
            sock.close()

    one, other = socket.socketpair()
    thread = threading.Thread(target=run, args=(1, server, other))
    thread.start()
    run(0, client, one)
    thread.join()
    return told[0], told[1]


def to_server(sock: socket.socket, context: ssl.SSLContext = CLIENT, **more: Any) -> ssl.SSLSocket:
    return context.wrap_socket(sock, server_hostname="localhost", **more)


def to_client(sock: socket.socket, context: ssl.SSLContext = SERVER, **more: Any) -> ssl.SSLSocket:
    return context.wrap_socket(sock, server_side=True, **more)


def echoes(sock: socket.socket) -> Any:
    with to_client(sock) as tls:
        size = 0
        while data := tls.recv(50_000):
            size += len(data)
            tls.sendall(data.upper())
        return size


def asks(sock: socket.socket) -> Any:
    with to_server(sock) as tls:
        tls.sendall(b"hello")
        seen: list[Any] = [tls.recv(2), tls.pending(), tls.read(10), tls.pending()]
        seen += [tls.version(), tls.cipher() is not None, tls.selected_alpn_protocol()]
        certificate = tls.getpeercert()
        assert certificate is not None
        seen += [
            certificate["subject"],
            tls.server_hostname,
            tls.session_reused,
            tls.context is CLIENT,
        ]
        seen += [len(tls.getpeercert(True) or b"") > 100, tls.server_side, tls.compression()]
        return seen


def sends_much(sock: socket.socket) -> Any:
    with to_server(sock) as tls:
        sent = bytes(range(97, 107)) * 5_000
        tls.sendall(sent)
        with tls.makefile("rb") as file:
            return file.read(len(sent)) == sent.upper()


def unwraps(sock: socket.socket) -> Any:
    tls = to_server(sock)
    tls.sendall(b"x")
    plain = tls.unwrap()
    plain.sendall(b"plain")
    got = plain.recv(5, socket.MSG_WAITALL)
    plain.close()
    return got


def unwraps_too(sock: socket.socket) -> Any:
    tls = to_client(sock)
    got = [tls.recv(10), tls.recv(10)]
    plain = tls.unwrap()
    got.append(plain.recv(5, socket.MSG_WAITALL))
    plain.sendall(b"words")
    plain.close()
    return got


def trusts_nobody(sock: socket.socket) -> Any:
    to_server(sock, ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


def wants_another_name(sock: socket.socket) -> Any:
    CLIENT.wrap_socket(sock, server_hostname="other.example")


def talks_plainly(sock: socket.socket) -> Any:
    sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
    return len(sock.recv(1_000)) > 0


def hangs_up(sock: socket.socket) -> Any:
    with to_client(sock) as tls:
        tls.recv(10)
    return "gone"


def is_left(sock: socket.socket) -> Any:
    with to_server(sock) as tls:
        tls.sendall(b"x")
        return tls.recv(10)


def is_left_and_told(sock: socket.socket) -> Any:
    with to_server(sock, suppress_ragged_eofs=False) as tls:
        tls.sendall(b"x")
        return tls.recv(10)


def waits_in_vain(sock: socket.socket) -> Any:
    with to_server(sock) as tls:
        tls.settimeout(0.05)
        try:
            tls.recv(10)
        except TimeoutError as error:
            return str(error)


def waits(sock: socket.socket) -> Any:
    with to_client(sock) as tls:
        return tls.recv(10)


def does_not_wait(sock: socket.socket) -> Any:
    sock.setblocking(False)
    tls = to_server(sock, do_handshake_on_connect=False)
    wanted = set()

    def goes_on(call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except ssl.SSLWantReadError:
                wanted.add("read")
                select.select([tls], [], [])
            except ssl.SSLWantWriteError:
                wanted.add("write")
                select.select([], [tls], [])

    goes_on(tls.do_handshake)
    left = memoryview(b"y" * 400_000)
    while len(left):
        left = left[goes_on(partial(tls.send, left)) :]
    got = goes_on(lambda: tls.recv(3))
    tls.close()
    return got, sorted(wanted)


def reads_when_ready(sock: socket.socket) -> Any:
    """What is not taken in is told by ``select``, record by record."""
    size = 0
    with to_client(sock) as tls:
        while size < 400_000:
            if not tls.pending():
                select.select([tls], [], [])
            size += len(tls.recv(100_000))
        tls.sendall(b"got")
        return tls.recv(1)


def says_who(sock: socket.socket) -> Any:
    context = server_context()
    context.set_alpn_protocols(["b", "a"])
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(CERTIFICATE)
    named: list[Any] = []
    context.sni_callback = lambda tls, name, _: named.append((name, isinstance(tls, ssl.SSLSocket)))
    with to_client(sock, context) as tls:
        return named, tls.selected_alpn_protocol(), tls.getpeercert()["subject"]  # type: ignore[index]


def is_known(sock: socket.socket) -> Any:
    context = client_context()
    context.set_alpn_protocols(["a", "b"])
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.replace("certificate", "key"))
    with to_server(sock, context) as tls:
        return tls.selected_alpn_protocol(), tls.recv(10)


def is_older(sock: socket.socket) -> Any:
    context = client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with to_server(sock, context) as tls:
        tls.sendall(b"old")
        return tls.version(), tls.recv(10), len(tls.get_channel_binding() or b"") > 0


TALKS: dict[str, tuple[Work, Work]] = {
    "a question": (asks, echoes),
    "more than there is room for": (sends_much, echoes),
    "unwrapped": (unwraps, unwraps_too),
    "nobody is trusted": (trusts_nobody, echoes),
    "another name": (wants_another_name, echoes),
    "no TLS": (talks_plainly, echoes),
    "hung up": (is_left, hangs_up),
    "hung up, and told": (is_left_and_told, hangs_up),
    "a time limit": (waits_in_vain, waits),
    "not waiting": (does_not_wait, reads_when_ready),
    "both are known": (is_known, says_who),
    "TLS 1.2": (is_older, echoes),
}


@pytest.mark.parametrize("name", TALKS)
def test_it_does_what_it_does_over_real_sockets(name: str) -> None:
    wanted = ends_of(*TALKS[name])

    def talks() -> None:
        found = ends_of(*TALKS[name])
        if name == "not waiting":  # whether there is room at the moment is the schedule's
            found = (found[0][0], wanted[0][1]), found[1]
        assert found == wanted, f"{found} is not {wanted}"

    found = tracelock.explore(
        workers=[talks], instrument=[], schedules=3, strategy="random", isolation="never"
    )
    assert found.verdict == "passed", str(found.ways)


class Secure(Handler):
    """Answers on one connection after the other."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(b"hi")


def https() -> None:
    with ThreadingHTTPServer(("localhost", 8443), Secure) as server:
        server.socket = SERVER.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()

        def gets() -> None:
            connection = http.client.HTTPSConnection("localhost", 8443, context=CLIENT)
            for _ in range(2):
                connection.request("GET", "/")
                assert connection.getresponse().read() == b"hi"
            connection.close()

        threads = [threading.Thread(target=gets) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        server.shutdown()
        serving.join()


async def streams() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            writer.write(line.upper())
        writer.close()

    async def gets() -> None:
        reader, writer = await asyncio.open_connection("localhost", 8443, ssl=CLIENT)
        writer.write(b"hello\n")
        assert await reader.readline() == b"HELLO\n"
        writer.close()

    async with await asyncio.start_server(serve, "localhost", 8443, ssl=SERVER):
        await asyncio.gather(gets(), gets())


async def nurseries() -> None:
    async def serve(stream: Any) -> None:
        async with stream:
            await stream.send_all((await stream.receive_some(100)).upper())

    async def gets() -> None:
        stream = await trio.open_ssl_over_tcp_stream("localhost", 8443, ssl_context=CLIENT)
        async with stream:
            await stream.send_all(b"hello")
            assert await stream.receive_some(100) == b"HELLO"

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_ssl_over_tcp, serve, 8443, SERVER)
        async with trio.open_nursery() as inside:
            inside.start_soon(gets)
            inside.start_soon(gets)
        nursery.cancel_scope.cancel()


PROGRAMS: dict[str, Any] = {"threading": https, "asyncio": streams, "trio": nurseries}


def ends_badly(program: Any, backend: str) -> Any:
    """The same, with a failure at its end, so that there is a trace."""
    if backend == "threading":

        def fails() -> None:
            program()
            raise ValueError("the end")

        return fails

    async def fails_too() -> None:
        await program()
        raise ValueError("the end")

    return fails_too


@pytest.mark.parametrize("backend", PROGRAMS)
def test_traces_are_the_same_in_each_run_though_the_bytes_are_not(backend: str) -> None:
    given: dict[str, Any] = {"workers": [ends_badly(PROGRAMS[backend], backend)], "instrument": []}
    given["backend"] = backend
    traces = [
        tracelock.explore(
            **given, schedules=1, strategy="random", seed=1, shrink=False, confirm=0,
            isolation="never",
        ).trace
        for _ in range(3)
    ]  # fmt: skip
    told = {json.dumps([event.to_data() for event in trace.events]) for trace in traces}  # type: ignore[union-attr]
    assert len(told) == 1
    assert all(tracelock.replay(trace, **given).reproduced for trace in traces)  # type: ignore[arg-type]


@pytest.mark.parametrize("backend", PROGRAMS)
def test_client_and_server_in_every_order_that_is_drawn(backend: str) -> None:
    found = tracelock.explore(
        workers=[PROGRAMS[backend]], backend=backend, instrument=[], schedules=15, strategy="random"
    )
    assert found.verdict == "passed", str(found)


def test_a_deadlock_across_a_secure_connection_is_found() -> None:
    def one(sock: socket.socket) -> None:
        with to_server(sock) as tls:
            tls.recv(1)

    def other(sock: socket.socket) -> None:
        with to_client(sock) as tls:
            tls.recv(1)

    found = tracelock.explore(
        workers=[lambda: ends_of(one, other)], instrument=[], schedules=5, shrink=False
    )
    assert found.verdict == "failed" and "deadlock" in str(found.summary + str(found.ways)), found


def test_a_reset_comes_as_an_error_of_the_connection() -> None:
    def talks() -> None:
        assert "ConnectionResetError" not in ends_of(is_left, echoes)

    found = tracelock.explore(
        workers=[talks], instrument=[], schedules=60, strategy="random", faults=1, shrink=False,
        network={"kinds": ["reset"]}, isolation="never", confirm=1,
    )  # fmt: skip
    assert found.verdict == "failed" and "ConnectionResetError" in str(found.ways), str(found)
