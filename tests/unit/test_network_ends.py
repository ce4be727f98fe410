"""The ends of connections in memory do what real ones do: the same bytes, the same errors.

The oracle is a pair of real sockets, for Unix sockets and for TCP over the loopback device, on
which the system delivers what is sent before the call that sends it returns.
"""

from __future__ import annotations

import errno
import select
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tracelock.instrument.network.ends import READABLE, End, pair
from tracelock.instrument.network.rules import KINDS, NetworkRules
from tracelock.objects.base import Rules
from tracelock.objects.kinds import make_model
from tracelock.ops import CLEAR, EMPTY, GET, PUT, SET, ObjectSpec, Op

#: An operation: which end, what, and how much.
Step = tuple[int, str, int]
STEPS = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["send", "recv", "recv", "peek", "end", "deaf", "both", "close", "ready"]),
        st.integers(1, 6),
    ),
    max_size=12,
)


def real_pair(tcp: bool) -> tuple[socket.socket, socket.socket]:
    if not tcp:
        return socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        other, _ = server.accept()
    for sock in (one, other):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, other


def of_real(sock: socket.socket, what: str, size: int, data: bytes) -> Any:
    how = {"end": socket.SHUT_WR, "deaf": socket.SHUT_RD, "both": socket.SHUT_RDWR}
    try:
        if what == "send":
            return sock.send(data)
        if what == "recv":
            return sock.recv(size)
        if what == "peek":
            return sock.recv(size, socket.MSG_PEEK)
        if what == "ready":
            return bool(select.select([sock], [], [], 0)[0])
        if what == "close":
            sock.close()
        else:
            sock.shutdown(how[what])
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return None


def of_ours(end: End, what: str, size: int, data: bytes) -> Any:
    try:
        if what == "send":
            return end.put(data)
        if what in ("recv", "peek"):
            return end.take(size, what == "peek")
        if what == "ready":
            return bool(end.ready() & READABLE)
        if what == "close":
            if end.leave():
                assert end.peer is not None
                end.peer.reset()
            end.end_sending()
        if what in ("end", "both"):
            end.end_sending()
        if what in ("deaf", "both"):
            end.end_reading()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return None


def compare(steps: list[Step], tcp: bool) -> None:
    real = real_pair(tcp)
    ours = pair(socket.AF_INET if tcp else socket.AF_UNIX, ("there", "back"))
    closed: set[int] = set()
    try:
        for sock in real:
            sock.setblocking(False)
        for number, (which, what, size) in enumerate(steps):
            if which in closed:
                continue
            if tcp and what in ("deaf", "both"):
                continue  # what TCP does with what comes then differs from system to system
            if closed and what in ("end", "both"):
                continue  # to say so again to who has gone is an error for some
            data = bytes([65 + number]) * size
            got = of_ours(ours[which], what, size, data)
            expected = of_real(real[which], what, size, data)
            assert got == expected, (number, which, what, got, expected)
            if what == "close":
                closed.add(which)
    finally:
        for sock in real:
            sock.close()


@settings(max_examples=150, deadline=None)
@given(STEPS)
@example([(0, "send", 3), (1, "recv", 2), (1, "close", 1), (0, "recv", 1), (0, "recv", 1)])
@example([(0, "send", 3), (0, "close", 1), (1, "recv", 2), (1, "recv", 2), (1, "recv", 2)])
@example([(1, "close", 1), (0, "send", 1), (0, "recv", 1), (0, "send", 1)])
def test_unix_sockets(steps: list[Step]) -> None:
    compare(steps, tcp=False)


@pytest.mark.parametrize(
    "steps",
    [
        [(0, "send", 5), (0, "send", 2), (1, "recv", 3), (1, "peek", 6), (1, "recv", 6)],
        [
            (0, "send", 3), (0, "end", 1), (1, "recv", 6), (1, "recv", 6), (1, "send", 1),
            (0, "recv", 1),
        ],
        [(0, "end", 1), (0, "send", 1), (1, "ready", 1), (1, "recv", 1)],
        [(0, "close", 1), (1, "ready", 1), (1, "recv", 1), (1, "recv", 1)],
    ],
)  # fmt: skip
def test_tcp(steps: list[Step]) -> None:
    compare(steps, tcp=True)


def test_a_connection_that_is_closed_before_all_was_read_is_reset() -> None:
    """RFC 2525, 2.17, and RFC 9293: what comes then is a reset, once; after that it is at its end.
    Of real TCP this cannot be asked without waiting for it."""
    one, other = pair(socket.AF_INET, ("there", "back"))
    assert one.put(b"abc") == 3 and other.put(b"x") == 1
    assert other.leave()
    one.reset()
    other.end_sending()
    assert one.take(9) == b"x"
    with pytest.raises(ConnectionResetError):
        one.take(9)
    assert one.take(9) == b""
    with pytest.raises(BrokenPipeError):
        one.put(b"abc")


def test_the_first_send_to_a_closed_end_succeeds() -> None:
    one, other = pair(socket.AF_INET, ("there", "back"))
    assert not other.leave()
    other.end_sending()
    assert one.put(b"abc") == 3
    for _ in range(2):
        with pytest.raises(BrokenPipeError):
            one.put(b"abc")
    assert one.take(1) == b""


def test_what_does_not_fit_in_waits() -> None:
    one, other = pair(socket.AF_UNIX, ("there", "back"))
    assert one.outgoing is not None
    one.outgoing.capacity = 4
    assert one.put(b"abcdef") == 4
    with pytest.raises(BlockingIOError):
        one.put(b"e")
    assert other.take(1) == b"a" and one.put(b"ef") == 1 and other.take(9) == b"bcde"


# --- the models ------------------------------------------------------------------------------
def model(kind: str, size: int = 0) -> Any:
    return make_model(Rules("threading"), ObjectSpec("it", kind, maxsize=size), [])


@given(st.lists(st.tuples(st.sampled_from([PUT, GET, SET]), st.integers(1, 5)), max_size=15))
@settings(max_examples=60, deadline=None)
def test_the_model_of_a_direction_counts_its_bytes(steps: list[tuple[int, int]]) -> None:
    one, other = pair(socket.AF_UNIX, ("there", "back"))
    way = one.outgoing
    assert way is not None
    way.capacity = 6
    direction = model("stream", 6)
    for kind, size in steps:
        op = Op(kind, 0, "here", size)
        can = direction.enabled(op, 0)
        before = direction.snapshot()
        gave = direction.apply(op, 0)
        if kind == SET:
            one.end_sending()
        elif kind == PUT:
            try:
                one.put(b"x" * size)
                assert gave is True and can
            except BlockingIOError:
                assert gave is False and not can
            except BrokenPipeError:
                assert gave is False and can
        else:
            try:
                data = other.take(size)
                assert can and (gave is None) == bool(data) and (data or gave is EMPTY)
            except BlockingIOError:
                assert gave is EMPTY and not can
        assert direction.held == len(way.buffer)
        direction.restore(before)
        assert direction.snapshot() == before
        direction.apply(op, 0)


def test_the_model_of_an_address() -> None:
    address = model("address")
    put, get = Op(PUT, 0, "here"), Op(GET, 0, "here")
    assert address.enabled(put, 0) and address.apply(put, 0) is False, "nobody listens"
    address.apply(Op(SET, 0, "here"), 0)
    assert address.apply(put, 0) is False, "somebody has it, and does not listen"
    address.apply(Op(SET, 0, "here", 1), 0)
    assert not address.enabled(get, 0) and address.apply(put, 0) is True
    assert (
        not address.enabled(put, 0)
        and address.apply(Op(PUT, 0, "here", blocking=False), 0) is False
    )
    assert address.enabled(get, 0) and address.apply(get, 0) is None
    address.apply(Op(CLEAR, 0, "here"), 0)
    assert address.enabled(get, 0) and address.apply(get, 0) is EMPTY


def test_nothing_fits_into_a_window_that_has_shrunk_below_what_is_there() -> None:
    one, other = pair(socket.AF_INET, ("there", "back"))
    assert one.put(b"zz") == 2 and one.outgoing is not None
    one.outgoing.capacity = 1
    with pytest.raises(BlockingIOError):
        one.put(b"zz")
    assert other.take(9) == b"zz" and one.put(b"zz") == 1


# --- rules -----------------------------------------------------------------------------------
def test_rules_come_back_from_a_trace_and_are_in_the_documentation() -> None:
    plain = NetworkRules()
    assert plain.to_table() == {} and NetworkRules.of_table({}) == plain
    for rules in (NetworkRules(0), NetworkRules(2, 3, ("lost", "reset")), NetworkRules(1, 1, ())):
        assert NetworkRules.of_table(rules.to_table()) == rules
    page = Path(__file__).parents[2] / "docs" / "pages" / "how-to" / "network.md"
    text = page.read_text(encoding="utf-8")
    for kind, (where, why) in KINDS.items():
        assert f"| `{kind}` | {where} | {why} |" in text
