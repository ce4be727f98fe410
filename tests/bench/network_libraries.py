"""Programs with a client and a server in one run, each driven by nothing but the public API of its
library, which is unmodified. Two clients each, where not said otherwise."""

from __future__ import annotations

import asyncio
import http.client
import os
import socketserver
import tempfile
import threading
import urllib.request
from collections.abc import Awaitable, Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """Answers with what it got."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        body = b"got " + self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.count += 1
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


class Redis(socketserver.StreamRequestHandler):
    """As much of a server of Redis as a client needs that increments."""

    server: Any

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                size = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(size + 2)[:size])
            with self.server.lock:
                self.wfile.write(answer(words, self.server.data))


def answer(words: list[bytes], data: dict[bytes, int]) -> bytes:
    if words[0].upper() in (b"INCR", b"INCRBY"):
        data[words[1]] = data.get(words[1], 0) + 1
        return b":%d\r\n" % data[words[1]]
    return b"+OK\r\n"


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


class Served:
    """A server in a thread of its own."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.server = make()
        self.server.lock = threading.Lock()
        self.server.count = 0
        self.server.data = {}
        self.address = self.server.server_address
        self.url = f"http://127.0.0.1:{self.address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def over_http(client: Callable[[Served], bytes]) -> dict[str, Any]:
    def work(served: Served) -> None:
        assert client(served) == b"got x"

    def check(served: Served) -> None:
        assert served.server.count == 2

    setup = partial(Served, lambda: ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    return {"workers": [work, work], "setup": setup, "check": check}


def http_client() -> dict[str, Any]:
    def client(served: Served) -> bytes:
        connection = http.client.HTTPConnection(*served.address)
        connection.request("POST", "/", b"x")
        with connection.getresponse() as got:
            return got.read()

    return over_http(client)


def urllib_request() -> dict[str, Any]:
    def client(served: Served) -> bytes:
        with urllib.request.urlopen(served.url, b"x", timeout=9.0) as got:
            return bytes(got.read())

    return over_http(client)


def urllib3() -> dict[str, Any]:
    library = import_module("urllib3")
    return over_http(lambda served: bytes(library.request("POST", served.url, body=b"x").data))


def requests() -> dict[str, Any]:
    library = import_module("requests")
    return over_http(lambda served: bytes(library.post(served.url, b"x", timeout=9.0).content))


def httpx() -> dict[str, Any]:
    library = import_module("httpx")
    return over_http(lambda served: bytes(library.post(served.url, content=b"x").content))


def redis() -> dict[str, Any]:
    library = import_module("redis")

    def work(served: Served) -> None:
        with library.Redis(*served.address, protocol=2) as client:
            client.incr("k")

    def check(served: Served) -> None:
        assert served.server.data == {b"k": 2}

    setup = partial(Served, lambda: TcpServer(("127.0.0.1", 0), Redis))
    return {"workers": [work, work], "setup": setup, "check": check}


def websockets_sync() -> dict[str, Any]:
    serve, connect = (
        getattr(import_module(f"websockets.sync.{part}"), name)
        for part, name in (("server", "serve"), ("client", "connect"))
    )

    def echo(socket: Any) -> None:
        for message in socket:
            socket.send(message)

    class Echo:
        def __init__(self) -> None:
            self.server = serve(echo, "127.0.0.1", 8766)
            threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def work(state: Echo) -> None:
        with connect("ws://127.0.0.1:8766", proxy=None) as client:
            client.send("hi")
            assert client.recv() == "hi"

    return {"workers": [work, work], "setup": Echo}


def loop_and_thread() -> dict[str, Any]:
    """Streams of asyncio, of a loop that the client runs itself, against the server in threads."""

    def client(served: Served) -> bytes:
        async def main() -> bytes:
            reader, writer = await asyncio.open_connection(*served.address)
            writer.write(b"POST / HTTP/1.1\r\ncontent-length: 1\r\nconnection: close\r\n\r\nx")
            got = await reader.read()
            writer.close()
            return got.rpartition(b"\r\n")[2]

        return asyncio.run(main())

    return over_http(client)


# --- on a loop of asyncio ------------------------------------------------------------------------
def on_asyncio(main: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    return {"workers": [main], "backend": "asyncio"}


async def lines(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def talk(connection: Awaitable[Any]) -> None:
    reader, writer = await connection
    writer.write(b"hi\n")
    await writer.drain()
    assert await reader.readline() == b"hi\n"
    writer.close()
    await writer.wait_closed()


def streams() -> dict[str, Any]:
    async def main() -> None:
        async with await asyncio.start_server(lines, "localhost", 8000):
            await asyncio.gather(
                *(talk(asyncio.open_connection("localhost", 8000)) for _ in range(2))
            )

    return on_asyncio(main)


def unix_streams() -> dict[str, Any]:
    async def main() -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "socket")
            async with await asyncio.start_unix_server(lines, path):
                await asyncio.gather(*(talk(asyncio.open_unix_connection(path)) for _ in range(2)))

    return on_asyncio(main)


def datagrams() -> dict[str, Any]:
    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(data, addr)

    class Client(asyncio.DatagramProtocol):
        def __init__(self) -> None:
            self.got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

        def connection_made(self, transport: Any) -> None:
            transport.sendto(b"ping")

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if not self.got.done():
                self.got.set_result(data)

    async def main() -> None:
        loop, address = asyncio.get_running_loop(), ("127.0.0.1", 9999)
        server, _ = await loop.create_datagram_endpoint(Echo, local_addr=address)
        transport, client = await loop.create_datagram_endpoint(Client, remote_addr=address)
        assert await client.got == b"ping"
        transport.close()
        server.close()

    return on_asyncio(main)


def redis_asyncio() -> dict[str, Any]:
    library = import_module("redis.asyncio")

    async def main() -> None:
        data: dict[bytes, int] = {}

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while line := await reader.readline():
                words = []
                for _ in range(int(line[1:])):
                    size = int((await reader.readline())[1:])
                    words.append((await reader.readexactly(size + 2))[:size])
                writer.write(answer(words, data))
                await writer.drain()
            writer.close()

        async def client() -> None:
            async with library.Redis(host="localhost", port=6379, protocol=2) as one:
                await one.incr("k")

        async with await asyncio.start_server(serve, "localhost", 6379):
            await asyncio.gather(client(), client())
        assert data == {b"k": 2}

    return on_asyncio(main)


def aiohttp() -> dict[str, Any]:
    library, web = import_module("aiohttp"), import_module("aiohttp.web")

    async def main() -> None:
        async def got(request: Any) -> Any:
            return web.Response(text="got " + await request.text())

        app = web.Application()
        app.router.add_post("/", got)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 8080).start()

        async def client() -> None:
            async with (
                library.ClientSession() as session,
                session.post("http://127.0.0.1:8080/", data=b"x") as response,
            ):
                assert await response.text() == "got x"

        await asyncio.gather(client(), client())
        await runner.cleanup()

    return on_asyncio(main)


def httpx_uvicorn() -> dict[str, Any]:
    library, uvicorn = import_module("httpx"), import_module("uvicorn")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async def main() -> None:
        server = uvicorn.Server(
            uvicorn.Config(
                app, "127.0.0.1", 8081, log_level="error", lifespan="off", loop="asyncio",
                http="h11",
            )
        )  # fmt: skip
        task = asyncio.create_task(server._serve())
        while not server.started:
            await asyncio.sleep(0.01)

        async def client() -> None:
            async with library.AsyncClient() as one:
                assert (await one.get("http://127.0.0.1:8081/")).text == "ok"

        await asyncio.gather(client(), client())
        server.should_exit = True
        await task

    return on_asyncio(main)


def websockets() -> dict[str, Any]:
    serve = import_module("websockets.asyncio.server").serve
    connect = import_module("websockets.asyncio.client").connect

    async def echo(socket: Any) -> None:
        async for message in socket:
            await socket.send(message)

    async def client() -> None:
        async with connect("ws://127.0.0.1:8765", proxy=None) as socket:
            await socket.send("hi")
            assert await socket.recv() == "hi"

    async def main() -> None:
        async with serve(echo, "127.0.0.1", 8765):
            await asyncio.gather(client(), client())

    return on_asyncio(main)


def anyio_tcp() -> dict[str, Any]:
    library = import_module("anyio")

    async def handle(stream: Any) -> None:
        async with stream:
            async for data in stream:
                await stream.send(data)

    async def main() -> None:
        listener = await library.create_tcp_listener(local_host="127.0.0.1", local_port=8001)
        async with library.create_task_group() as group:
            group.start_soon(listener.serve, handle)
            async with await library.connect_tcp("127.0.0.1", 8001) as client:
                await client.send(b"hi")
                got = b""
                while len(got) < 2:
                    got += await client.receive()
                assert got == b"hi"
            group.cancel_scope.cancel()

    return on_asyncio(main)


def anyio_on_trio() -> dict[str, Any]:
    return {**anyio_tcp(), "backend": "trio"}


def trio_streams() -> dict[str, Any]:
    library = import_module("trio")

    async def echo(stream: Any) -> None:
        async for data in stream:
            await stream.send_all(data)

    async def client(port: int) -> None:
        async with await library.open_tcp_stream("localhost", port) as stream:
            await stream.send_all(b"hi")
            got = b""
            while len(got) < 2:
                got += await stream.receive_some()
            assert got == b"hi"

    async def main() -> None:
        async with library.open_nursery() as servers:
            serve = partial(library.serve_tcp, echo, 0, host="127.0.0.1")
            (listener,) = await servers.start(serve)
            port = listener.socket.getsockname()[1]
            async with library.open_nursery() as clients:
                clients.start_soon(client, port)
                clients.start_soon(client, port)
            servers.cancel_scope.cancel()

    return {"workers": [main], "backend": "trio"}


#: By name: the packages that are needed, and what makes the program.
PROGRAMS: dict[str, tuple[tuple[str, ...], Callable[[], dict[str, Any]]]] = {
    "http.client": ((), http_client),
    "urllib.request": ((), urllib_request),
    "urllib3": (("urllib3",), urllib3),
    "requests": (("requests",), requests),
    "httpx": (("httpx",), httpx),
    "redis": (("redis",), redis),
    "websockets.sync": (("websockets",), websockets_sync),
    "loop and threads": ((), loop_and_thread),
    "asyncio streams": ((), streams),
    "asyncio unix": ((), unix_streams),
    "asyncio datagrams": ((), datagrams),
    "redis.asyncio": (("redis",), redis_asyncio),
    "aiohttp": (("aiohttp",), aiohttp),
    "httpx, uvicorn": (("httpx", "uvicorn"), httpx_uvicorn),
    "websockets": (("websockets",), websockets),
    "anyio": (("anyio",), anyio_tcp),
    "anyio on trio": (("anyio", "trio"), anyio_on_trio),
    "trio": (("trio",), trio_streams),
}
