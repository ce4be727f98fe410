"""Programs of which client and server are in one run, with and without a bug."""

from __future__ import annotations

import asyncio
import http.client
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Counts what is posted to it, in two steps."""

    server: Any

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        counter = self.server.counter
        with self.server.lock:
            counter.count = counter.count + 1
        self.answer(str(counter.count).encode())

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Unlocked(Handler):
    """The same with nothing that keeps the two steps together."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        counter = self.server.counter
        count = counter.count
        counter.count = count + 1
        self.answer(str(count).encode())


class Counter:
    count = 0


class Served:
    """A server in a thread of its own."""

    def __init__(self, handler: type[Handler]) -> None:
        self.server: Any = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.counter = Counter()
        self.server.lock = threading.Lock()
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def locked() -> Served:
    return Served(Handler)


def unlocked() -> Served:
    return Served(Unlocked)


def posts(served: Served) -> None:
    connection = http.client.HTTPConnection(*served.server.server_address)
    connection.request("POST", "/", b"one more")
    assert connection.getresponse().status == 200
    connection.close()


def two_posts(served: Served) -> None:
    assert served.server.counter.count == 2, served.server.counter.count


# --- a protocol of lines, over streams of asyncio -----------------------------------------------
async def by_reads(reader: asyncio.StreamReader) -> bytes:
    """Takes what one read gives for a line, which TCP does not promise."""
    return await reader.read(100)


async def by_lines(reader: asyncio.StreamReader) -> bytes:
    return await reader.readline()


def talks(read: Any) -> Any:
    """Two clients of an echo server, with this way to read a line."""

    async def main() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await read(reader):
                writer.write(line)
                await writer.drain()
            writer.close()

        async def ask(port: int, line: bytes) -> None:
            reader, writer = await asyncio.open_connection("localhost", port)
            writer.write(line)
            await writer.drain()
            assert await read(reader) == line
            writer.close()
            await writer.wait_closed()

        async with await asyncio.start_server(serve, "localhost", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await asyncio.gather(ask(port, b"one\n"), ask(port, b"two\n"))

    return main


# --- threads with sockets --------------------------------------------------------------------
class Meeting:
    """A port that both sides know."""

    def __init__(self) -> None:
        self.listens = threading.Event()
        self.got = b""


def serves(meeting: Meeting) -> None:
    with socket.create_server(("127.0.0.1", 7001)) as server:
        meeting.listens.set()
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as lines:
            meeting.got = lines.readline()
            connection.sendall(b"thanks\n")


def asks(meeting: Meeting) -> None:
    meeting.listens.wait()
    asks_at_once(meeting)


def asks_at_once(meeting: Meeting) -> None:
    """Does not wait until somebody listens."""
    with socket.create_connection(("127.0.0.1", 7001)) as connection:
        connection.sendall(b"please\n")
        with connection.makefile("rb") as lines:
            assert lines.readline() == b"thanks\n"


def forgets_the_end(meeting: Meeting) -> None:
    """Sends no end of its line, and waits for an answer."""
    meeting.listens.wait()
    with socket.create_connection(("127.0.0.1", 7001)) as connection:
        connection.sendall(b"please")
        connection.recv(10)


# --- faults ----------------------------------------------------------------------------------
class Tries:
    """How often the server has done what it was asked for."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 7003))
        self.server.settimeout(1.0)
        self.done: list[bytes] = []


def applies(tries: Tries) -> None:
    """Does what each connection asks for."""
    while True:
        try:
            connection, _ = tries.server.accept()
        except TimeoutError:
            return
        try:
            with connection, connection.makefile("rb") as lines:
                line = lines.readline()
                if line.endswith(b"\n"):
                    tries.done.append(line)
                    connection.sendall(b"done\n")
        except ConnectionError:
            pass


def retries(tries: Tries) -> None:
    """Asks again where the connection broke, and so perhaps twice."""
    for _ in range(3):
        try:
            with socket.create_connection(("127.0.0.1", 7003)) as connection:
                connection.sendall(b"pay\n")
                with connection.makefile("rb") as lines:
                    if lines.readline() == b"done\n":
                        return
        except OSError:
            continue


def once(tries: Tries) -> None:
    assert len(tries.done) <= 1, tries.done


class Mail:
    """Two sockets of datagrams. The receiver waits as long as it takes for one, or for a while."""

    def __init__(self, patience: float | None = None) -> None:
        self.to = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.to.bind(("127.0.0.1", 7004))
        self.to.settimeout(patience)
        self.got: list[bytes] = []


def writes(mail: Mail) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"first", ("127.0.0.1", 7004))
        one.sendto(b"second", ("127.0.0.1", 7004))


def reads(mail: Mail) -> None:
    for _ in range(2):
        try:
            mail.got.append(mail.to.recv(99))
        except TimeoutError:
            return
