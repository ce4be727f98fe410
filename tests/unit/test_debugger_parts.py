"""Parts of the debugger: places, messages of the protocol, values, bounds, and ``breakpoint()``."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import tracelock
from tracelock.debugger.dap.framing import MOST_BODY, ClientGone, Connection
from tracelock.debugger.dap.values import LONGEST, MOST_PARTS, ShownValues, text_of
from tracelock.debugger.evaluating import EvaluationTooLong, bounded
from tracelock.debugger.places import LinePlace, place_from
from tracelock.errors import UsageError


def test_places() -> None:
    assert place_from("0", 3) == 0
    assert place_from(" 2 ", 3) == 2
    assert [place_from(word, 0) for word in ("start", "failure", "breakpoint")] == [
        "start", "failure", "breakpoint",
    ]  # fmt: skip
    assert place_from("a:b/pool.py:12", 3) == LinePlace("a:b/pool.py", 12)
    for text in ("3", "-1", "", "pool.py", "pool.py:", ":3", "pool.py:x", "1" * 30, "٣"):
        with pytest.raises(UsageError, match="--at"):
            place_from(text, 3)


@pytest.mark.parametrize(("given", "file", "same"), [
    ("pool.py", "/a/b/pool.py", True), ("b/pool.py", "/a/b/pool.py", True),
    ("ool.py", "/a/b/pool.py", False), ("c/pool.py", "/a/b/pool.py", False),
    ("/a/b/pool.py", "/a/b/pool.py", True), ("pool.py", "<string>", False),
    ("./b/../b/pool.py", "/a/b/pool.py", True),
])  # fmt: skip
def test_files_of_places(given: str, file: str, same: bool) -> None:
    assert LinePlace(given, 1).is_in(file) is same


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Connection]]:
    """A client's end, and the connection at the other one."""
    theirs, ours = socket.socketpair()
    connection = Connection(ours)
    yield theirs, connection
    theirs.close()
    connection.close()


def test_messages_come_in_any_pieces(pair: tuple[socket.socket, Connection]) -> None:
    theirs, connection = pair
    bodies = [json.dumps({"seq": n, "text": "é" * n}).encode() for n in range(3)]
    data = b"".join(b"Content-Length: %d\r\n\r\n%s" % (len(body), body) for body in bodies)

    def send() -> None:
        for place in range(len(data)):
            theirs.sendall(data[place : place + 1])

    sender = threading.Thread(target=send)
    sender.start()
    assert [connection.read()["text"] for _ in range(3)] == ["", "é", "éé"]
    sender.join()
    connection.check()  # it is still there
    connection.send("event", event="stopped")
    head, _, body = theirs.recv(1_000).partition(b"\r\n\r\n")
    assert head == b"Content-Length: %d" % len(body)
    assert json.loads(body) == {"seq": 1, "type": "event", "event": "stopped"}
    theirs.close()
    with pytest.raises(ClientGone):
        connection.check()
    with pytest.raises(ClientGone):
        connection.read()


@pytest.mark.parametrize("sent", [
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"Content-Length: 2\r\nOrigin: http://evil\r\n\r\n{}",
    b"Content-Length: %d\r\n\r\n" % (MOST_BODY + 1),
    b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    b"\r\n\r\n", b"Content-Length: 1\r\n\r\n1", b"Content-Length: 3\r\n\r\n{x}",
    b"Content-Length: 100000\r\n\r\n" + b"[" * 100_000,
    b"Content-Length: 4\r\n\r\n\"\xff\xfe\"", b"y" * 2_000,
])  # fmt: skip
def test_what_is_no_message_ends_the_connection(
    pair: tuple[socket.socket, Connection], sent: bytes
) -> None:
    theirs, connection = pair
    theirs.sendall(sent)
    with pytest.raises(ClientGone):
        connection.read()


class Hostile:
    def __repr__(self) -> str:
        raise ValueError("no")


class Endless:
    def __repr__(self) -> str:
        while True:
            try:
                while True:
                    pass
            except Exception:
                return "caught"

    @property
    def value(self) -> int:
        while True:
            pass


def test_values_are_bounded_whatever_they_are() -> None:
    assert text_of(Hostile()).startswith("<Hostile instance at ")
    assert len(text_of("x" * 100_000)) <= LONGEST + 3
    values = ShownValues()
    number = values.keep({"a": [1, 2], 3: Hostile(), "b": None})
    parts = values.parts(number)
    assert [(one["name"], one["type"]) for one in parts] == [
        ("a", "list"), ("3", "Hostile"), ("b", "NoneType"),
    ]  # fmt: skip
    assert [one["value"] for one in values.parts(parts[0]["variablesReference"])] == ["1", "2"]
    assert parts[2]["variablesReference"] == 0
    many = values.keep(list(range(10 * MOST_PARTS)))
    assert len(values.parts(many)) == MOST_PARTS
    assert [one["name"] for one in values.parts(many, 2_500, 2)] == ["[2500]", "[2501]"]
    values.clear()
    assert values.parts(many) == []


def test_an_evaluation_is_bounded_and_leaves_the_timer_of_others_as_it_was() -> None:
    def other(number: int, frame: Any) -> None:
        raise AssertionError("it is not its time")

    before = signal.signal(signal.SIGALRM, other)
    signal.setitimer(signal.ITIMER_REAL, 300)
    try:
        with pytest.raises(EvaluationTooLong, match=r"0\.05 s"), bounded(0.05):
            Endless().value  # noqa: B018
        with pytest.raises(EvaluationTooLong), bounded(0.05):
            text_of([Endless(), Endless()])
        lock = threading.Lock()
        lock.acquire()
        with pytest.raises(EvaluationTooLong), bounded(0.05):
            lock.acquire()
        assert signal.getsignal(signal.SIGALRM) is other
        assert 0 < signal.setitimer(signal.ITIMER_REAL, 0)[0] <= 300
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# --- breakpoint() ------------------------------------------------------------------------------
def _calls(shared: list[int]) -> None:
    shared.append(len(shared))
    breakpoint()


def _explored() -> Any:
    return tracelock.explore(setup=list, workers=[_calls, _calls], schedules=20)


def test_breakpoint_is_passed_over_in_a_search_with_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def asks(*arguments: Any, **named: Any) -> None:
        raise AssertionError("a search asks nobody")

    monkeypatch.setattr(sys, "breakpointhook", asks)
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    explored = _explored()
    told = [note for note in explored.notes if "breakpoint()" in note]
    assert len(told) == 1 and "test_debugger_parts.py:" in told[0] and "passed over" in told[0]
    assert not explored.failed and explored.schedules > 1
    assert sys.breakpointhook is asks, "and afterwards all is as before"


def test_breakpoint_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    assert not [note for note in _explored().notes if "breakpoint()" in note]
    assert os.environ["PYTHONBREAKPOINT"] == "0"
