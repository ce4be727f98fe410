"""What is outside of the run is recorded, and replayed where none of it is there any more."""

from __future__ import annotations

import _socket
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tests.helpers.outside_programs as programs
import tracelock

ROOT = Path(__file__).resolve().parents[2]
TOOL = "#!/bin/sh\necho out $1\necho err >&2\nexit 4\n"
_real = _socket.getaddrinfo


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(404 if "missing" in self.path else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def log_message(self, *args: Any) -> None:
        pass


def resolved(host: Any, port: Any, *more: Any) -> Any:
    """A resolver of the test's own: no name is asked for in the network."""
    if str(host).startswith("missing"):
        raise _socket.gaierror(_socket.EAI_NONAME, "Name or service not known")
    return _real("127.0.0.1" if host == "service.example" else host, port, *more)


class World:
    """What is outside: a server, a program, and a file. ``given``: what a replay needs of that."""

    def __init__(self, folder: Path) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()
        self.folder = folder
        self.tool = folder / "tool"
        self.tool.write_text(TOOL)
        self.tool.chmod(0o755)
        self.file = "/etc/hostname"
        self.given = [str(self.server.server_address[1]), self.file, str(self.tool)]

    def end(self) -> None:
        """Nothing of it is there any more."""
        if self.thread.is_alive():
            self.server.shutdown()
            self.server.server_close()
            self.thread.join()
            self.tool.unlink()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(tmp_path)
    monkeypatch.setattr(_socket, "getaddrinfo", resolved)
    monkeypatch.setattr(programs, "PORT", world.server.server_address[1])
    monkeypatch.setattr(programs, "TOOL", str(world.tool))
    monkeypatch.setattr(programs, "FILE", world.file)
    yield world
    world.end()


def recorded(name: str, path: Path) -> tracelock.Trace:
    """The trace of this program, written to ``path``."""
    found = tracelock.explore(
        **programs.PROGRAMS[name], outside="real", schedules=3, shrink=False, confirm=1,
        strategy="random",
    )  # fmt: skip
    assert found.verdict == "failed", str(found)
    assert found.trace is not None and found.account.outside
    found.trace.save(path)
    return found.trace


def replayed(given: list[str], paths: dict[str, Path]) -> dict[str, tuple[bool, str]]:
    """What a process of its own says of each trace."""
    traces = [one for name, path in paths.items() for one in (name, str(path))]
    command = [sys.executable, "-m", "tests.helpers.outside_replayed", *given, *traces]
    environment = {"PATH": "/nowhere", "PYTHONPATH": str(ROOT), "HOME": "/nowhere"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, cwd=os.getcwd(), env=environment
    )
    assert done.returncode == 0, done.stderr
    return {name: (same, told) for name, same, told in map(json.loads, done.stdout.splitlines())}


def check(world: World, names: list[str], times: int) -> dict[str, Path]:
    """Record, then replay so often in fresh processes where nothing outside is there."""
    paths = {name: world.folder / f"{number}.json" for number, name in enumerate(names)}
    wanted = {name: (True, recorded(name, path).verdict.message) for name, path in paths.items()}
    world.end()
    for _ in range(times):
        assert replayed(world.given, paths) == wanted
    return paths


def test_replayed_where_nothing_outside_is_there(world: World) -> None:
    check(world, ["connections"], 1)


def test_each_program_is_replayed(world: World) -> None:
    check(world, list(programs.PROGRAMS), 1)


def test_replayed_again_and_again(world: World) -> None:
    check(world, ["connections", "asyncio subprocesses"], 6)
