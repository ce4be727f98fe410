"""Programs that ask what is outside of the run; the check of each fails with all that they got."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trio

#: Where the server of the test listens, and a file that is none of the project's.
PORT = 0
FILE = ""
#: A program that is there when it is recorded, and gone when it is replayed.
TOOL = ""


class Got:
    """What each worker has got, in order."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.count = 0


def tells(got: Got) -> None:
    """The check."""
    raise AssertionError(f"got {sorted(map(repr, got.values))}")


# --- threads ---------------------------------------------------------------------------------
def by_http_client(got: Got) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    for number in range(2):  # one connection for both
        connection.request("POST", f"/{number}", body=b"x" * 70_000)
        got.values.append(connection.getresponse().read())
    connection.close()


def by_urllib(got: Got) -> None:
    with urllib.request.urlopen(f"http://localhost:{PORT}/by-urllib") as answer:
        got.values.append((answer.status, answer.read()))
    try:
        urllib.request.urlopen(f"http://localhost:{PORT}/missing")
    except urllib.error.HTTPError as error:
        got.values.append(error.code)


def by_name(got: Got) -> None:
    with socket.create_connection(("service.example", PORT), timeout=30) as sock:
        sock.sendall(b"GET /by-name HTTP/1.0\r\n\r\n")
        got.values.append(sock.makefile("rb").read()[-8:])
    try:
        socket.getaddrinfo("missing.example", 80)
    except socket.gaierror as error:
        got.values.append(error.args)


def refused(got: Got) -> None:
    try:
        socket.create_connection(("127.0.0.1", 1), timeout=30)
    except ConnectionRefusedError as error:
        got.values.append(error.errno)


def runs(got: Got) -> None:
    done = subprocess.run([TOOL, "one"], capture_output=True, text=True)
    got.values.append((done.returncode, done.stdout, done.stderr))
    got.values.append(subprocess.check_output(f"{TOOL} two | cat", shell=True))
    try:
        subprocess.run([f"{TOOL}-missing"])
    except FileNotFoundError as error:
        got.values.append(error.errno)
    try:
        subprocess.run([TOOL], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        got.values.append(error.returncode)


def talks(got: Got) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "for line in iter(input, 'end'): print(line.upper(), flush=True)"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
    ) as process:  # fmt: skip
        for word in ("some", "words"):
            print(word, file=process.stdin, flush=True)
            assert process.stdout is not None
            got.values.append(process.stdout.readline())
        process.kill()
        assert process.poll() in (None, -9)
    got.values.append(process.returncode)


def asks_around(got: Got) -> None:
    got.values += [
        os.urandom(4), secrets.token_hex(4), str(uuid.uuid4()), time.time(),
        datetime.datetime.now(datetime.UTC).isoformat(), os.environ["PATH"], os.getenv("NO_SUCH"),
        sorted(os.environ),
    ]  # fmt: skip
    with open(FILE) as file:
        got.values.append(file.read())
    with contextlib.suppress(FileNotFoundError):
        Path(FILE + "-missing").read_text()
    before = time.time()
    time.sleep(60)
    assert 59 < time.time() - before < 61  # virtual time goes on from there


def made() -> Got:
    got = Got()
    got.values.append(os.environ["PATH"])
    got.values.append(subprocess.check_output([sys.executable, "-c", "print(1)"]))
    return got


# --- loops -----------------------------------------------------------------------------------
async def by_streams(got: Got) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    writer.write(b"GET /by-streams HTTP/1.0\r\n\r\n")
    await writer.drain()
    got.values.append((await reader.read())[-11:])
    writer.close()
    await writer.wait_closed()


async def by_name_on_a_loop(got: Got) -> None:
    found = await asyncio.get_running_loop().getaddrinfo("service.example", PORT)
    got.values.append(found)


async def runs_on_a_loop(got: Got) -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(TOOL, "one", stdout=pipe, stderr=pipe)
    got.values.append((await process.communicate(), process.returncode))
    process = await asyncio.create_subprocess_shell("cat", stdin=pipe, stdout=pipe)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"a line\nand another")
    process.stdin.close()
    got.values.append([line async for line in process.stdout])
    got.values.append(await process.wait())


async def by_trio(got: Got) -> None:
    stream = await trio.open_tcp_stream("127.0.0.1", PORT)
    await stream.send_all(b"GET /by-trio HTTP/1.0\r\n\r\n")
    data = b""
    while more := await stream.receive_some():
        data += more
    got.values.append(data[-8:])
    await stream.aclose()


Program = dict[str, Any]


def program(*workers: Callable[..., Any], setup: Any = Got, backend: str | None = None) -> Program:
    found = {"workers": list(workers), "setup": setup, "check": tells, "instrument": []}
    return found if backend is None else {**found, "backend": backend}


#: The programs, by name.
PROGRAMS: dict[str, Program] = {
    "connections": program(by_http_client, by_urllib, refused),
    "names": program(by_name),
    "subprocesses": program(runs, talks),
    "surroundings": program(asks_around, setup=made),
    "asyncio connections": program(by_streams, by_streams),
    "asyncio names": program(by_name_on_a_loop),
    "asyncio subprocesses": program(runs_on_a_loop, runs_on_a_loop),
    "trio connections": program(by_trio, backend="trio"),
}
