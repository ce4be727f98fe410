"""The Debug Adapter Protocol on a replay, spoken by a client on a raw socket."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.debugged import LONG, POOL, Client, eventually, failing, served

LAST = POOL.splitlines().index("            return self._idle.pop()") + 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a failing trace of the pool."""
    folder = tmp_path_factory.mktemp("served")
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(str(folder))
        failing(folder, "dap_pool", POOL)
        yield folder
    sys.modules.pop("dap_pool", None)


@pytest.fixture(scope="module")
def session(folder: Path) -> Iterator[tuple[Client, Any]]:
    """A client of a server that stands at the failure, and its process."""
    with served(folder, "dap_pool.json", "--allow-call") as (process, port):
        client = Client(port)
        capabilities = client.begin()
        assert capabilities["supportsStepBack"] is True
        assert client.event("stopped")["reason"] == "exception"
        yield client, process
        client.ask("disconnect")
        client.close()
        assert process.wait(LONG) == 0


@pytest.fixture
def client(session: tuple[Client, Any]) -> Client:
    """At the failure, whatever came before."""
    client, _ = session
    client.events.clear()
    client.ask("setBreakpoints", source={"path": "dap_pool.py"}, breakpoints=[])
    client.ask("restart")
    client.event("stopped")
    client.ask("continue", threadId=1)
    return client


def test_it_stands_at_the_failure_in_the_users_frame(client: Client, folder: Path) -> None:
    stopped = client.event("stopped")
    assert stopped["reason"] == "exception" and "IndexError" in stopped["text"]
    assert stopped["allThreadsStopped"] is True
    thread = stopped["threadId"]
    frames = client.ask("stackTrace", threadId=thread)
    top = frames["stackFrames"][0]
    assert (top["name"], top["line"]) == ("Pool.take", LAST)
    assert top["source"]["path"] == str(folder / "dap_pool.py")
    assert frames["totalFrames"] == len(frames["stackFrames"]) >= 2
    assert client.ask("exceptionInfo", threadId=thread)["exceptionId"] == "IndexError"
    names = {one["id"]: one["name"] for one in client.ask("threads")["threads"]}
    assert len(names) == 3 and "fails: IndexError" in names[thread]
    assert [name.partition(" ")[0] for name in names.values()] == ["user", "two", "three"]


def test_variables_of_any_thread(client: Client) -> None:
    thread = client.event("stopped")["threadId"]
    frame = client.ask("stackTrace", threadId=thread, startFrame=0, levels=1)["stackFrames"][0]
    local, other = client.ask("scopes", frameId=frame["id"])["scopes"]
    assert (local["name"], other["name"]) == ("Locals", "Globals")
    (pool,) = client.ask("variables", variablesReference=local["variablesReference"])["variables"]
    assert (pool["name"], pool["type"]) == ("self", "Pool")
    parts = client.ask("variables", variablesReference=pool["variablesReference"])["variables"]
    assert {one["name"]: one["value"] for one in parts}["_idle"] == "[]"
    assert client.ask("variables", variablesReference=9_999)["variables"] == []
    result = client.ask("evaluate", expression="len(self._idle) + 1", frameId=frame["id"])
    assert (result["result"], result["type"], result["variablesReference"]) == ("1", "int", 0)
    assert "ZeroDivisionError" in client.refused("evaluate", expression="1/0", frameId=frame["id"])
    waiting = [one for one in client.ask("threads")["threads"] if "acquire" in one["name"]]
    (mine,) = waiting
    stack = client.ask("stackTrace", threadId=mine["id"])["stackFrames"]
    assert stack[0]["name"] == "Pool.give"
    caller = next(one for one in stack if one["name"] == "user")
    name = client.ask("evaluate", expression="mine", frameId=caller["id"])["result"]
    assert name in ("'one'", "'two'", "'three'")


def test_forward_and_back(client: Client) -> None:
    client.event("stopped")
    client.ask("stepBack", threadId=1)
    text = client.event("stopped")["text"]
    last = int(text.split("event ")[1].split(" ")[0])
    client.ask("stepBack", threadId=1)
    assert f"event {last - 1} of {last}" in client.event("stopped")["text"]
    client.ask("stepIn", threadId=1)
    assert f"event {last} of {last}" in client.event("stopped")["text"]
    client.ask("continue", threadId=1)
    assert client.event("stopped")["reason"] == "exception"
    client.ask("continue", threadId=1)
    assert "as the trace says" in client.event("output")["output"]
    assert f"event {last} of {last}" in client.event("stopped")["text"]


def test_breakpoints_and_the_way_back_to_them(client: Client, folder: Path) -> None:
    client.event("stopped")
    source = {"path": str(folder / "dap_pool.py")}
    told = client.ask("setBreakpoints", source=source, breakpoints=[{"line": LAST}])
    assert told["breakpoints"] == [{"verified": True, "line": LAST}]
    client.ask("reverseContinue", threadId=1)
    assert client.where()[:2] == ("Pool.take", LAST)
    client.ask("reverseContinue", threadId=1)
    assert client.where()[:2] == ("Pool.take", LAST)
    client.ask("restart")
    client.event("stopped")
    hits = 0
    while True:
        client.ask("continue", threadId=1)
        if client.event("stopped")["reason"] != "breakpoint":
            break
        hits += 1
    assert hits == 3
    condition = [{"line": LAST, "condition": "not self._idle"}]
    client.ask("setBreakpoints", source=source, breakpoints=condition)
    client.ask("restart")
    client.event("stopped")
    client.ask("continue", threadId=1)
    stopped = client.event("stopped")
    frame = client.ask("stackTrace", threadId=stopped["threadId"])["stackFrames"][0]
    assert client.ask("evaluate", expression="self._idle", frameId=frame["id"])["result"] == "[]"


def test_what_makes_no_sense_is_refused_and_nothing_else(client: Client) -> None:
    client.event("stopped")
    assert "not supported" in client.refused("gotoTargets")
    assert "no such thread" in client.refused("stackTrace", threadId=77)
    assert "no such frame" in client.refused("scopes", frameId=12_345)
    assert "has to be a number" in client.refused("stackTrace", threadId="x")
    assert "a text of" in client.refused("evaluate", expression="1" * 20_000)
    assert "a path" in client.refused("setBreakpoints", source={}, breakpoints=[])
    many = [{"line": 1}] * 1_001
    assert "1000 breakpoints" in client.refused(
        "setBreakpoints", source={"path": "x.py"}, breakpoints=many
    )
    assert client.ask("threads")["threads"]


@pytest.mark.parametrize("sent", [
    b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
    b"Content-Length: 9999999\r\n\r\n",
    b"Content-Length: 5\r\n\r\nhello",
    b"Content-Length: 2\r\n\r\n[]",
    b"x" * 4_000,
    b"",
], ids=["browser", "too long", "no JSON", "no object", "no header", "gone"])  # fmt: skip
def test_whatever_a_client_sends_the_process_ends(folder: Path, sent: bytes) -> None:
    with served(folder, "dap_pool.json", "--allow-call") as (process, port):
        with socket.create_connection(("127.0.0.1", port), LONG) as client:
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            client.settimeout(LONG)
            answer = b""
            while data := client.recv(65_536):
                answer += data
            assert not answer
        assert process.wait(LONG) == 0


def test_a_client_that_goes_while_it_stands(folder: Path) -> None:
    with served(folder, "dap_pool.json", "--allow-call") as (process, port):
        client = Client(port)
        client.begin()
        client.event("stopped")
        client.send("stepBack", threadId=1)
        client.close()
        assert eventually(lambda: process.poll() is not None)
        assert process.returncode == 0


def test_nobody_else_can_connect(folder: Path) -> None:
    """Neither a second client, nor another machine."""
    with served(folder, "dap_pool.json", "--allow-call") as (_, port):
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split()[1] for line in table if f":{port:04X} " in line]
        assert rows and all(row.startswith("0100007F") for row in rows)
        client = Client(port)
        client.begin()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", port), 5)
        client.close()
