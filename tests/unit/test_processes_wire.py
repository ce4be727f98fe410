"""Messages between a worker's process and the controller's, with both ends in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracelock.instrument.processes.wire import Channel, handover

Ends = tuple[Channel, Channel]
HALF = 1 << 15


def ends(shared: bool) -> Ends:
    ours, theirs = socket.socketpair()
    given = handover() if shared else None
    if shared and given is None:
        pytest.skip("this system has no such semaphores")
    return Channel(ours, given), Channel(theirs, None if given is None else given.swap())


@pytest.fixture(params=[False, True], ids=["socket", "shared"])
def pair(request: pytest.FixtureRequest) -> Iterator[Ends]:
    both = ends(request.param)
    yield both
    for end in both:
        end.close()


def test_each_message_is_received_once_and_in_order(pair: Ends) -> None:
    ours, theirs = pair
    for number in range(5):
        theirs.send("ask", number)
        assert ours.receive() == ("ask", number)
        ours.send("grant", [number])
        assert theirs.receive() == ("grant", [number])
    ours.bound(0.01)
    with pytest.raises(TimeoutError):
        ours.receive()
    theirs.send("late")
    assert ours.receive() == ("late",)


def test_one_that_comes_aside_overtakes_none_and_takes_no_place(pair: Ends) -> None:
    ours, theirs = pair
    ours.bound(0.2)
    theirs.send("end")
    theirs.send_aside("dies")
    assert {ours.receive(), ours.receive()} == {("end",), ("dies",)}
    theirs.send_aside("dies")
    theirs.send("ask")
    assert {ours.receive(), ours.receive()} == {("ask",), ("dies",)}
    with pytest.raises(TimeoutError):
        ours.receive()
    theirs.send("more")
    assert ours.receive() == ("more",)


def test_what_was_sent_before_the_end_is_received(pair: Ends) -> None:
    ours, theirs = pair
    theirs.send("last")
    theirs.close()
    assert ours.receive() == ("last",)
    for _ in range(2):
        with pytest.raises(EOFError):
            ours.receive()


def test_an_end_that_is_expected_is_noticed(pair: Ends) -> None:
    ours, theirs = pair
    ours.bound(0.25)
    theirs.send_aside("dies")
    assert ours.receive() == ("dies",)
    ours.expect_end()
    theirs.close()
    with pytest.raises(EOFError):
        ours.receive()


@pytest.mark.parametrize("size", [HALF - 60, HALF - 8, HALF, 100_000])
def test_a_message_of_any_length(pair: Ends, size: int) -> None:
    ours, theirs = pair
    sent = "x" * size
    for _ in range(2):
        theirs.send("ask", sent)
        assert ours.receive() == ("ask", sent)
        ours.send("grant", 1)
        assert theirs.receive() == ("grant", 1)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 2 * HALF)), max_size=12))
def test_a_conversation_is_the_same_by_shared_memory(steps: list[tuple[bool, int]]) -> None:
    both = ends(True)
    try:
        for number, (there, size) in enumerate(steps):
            sender, receiver = both if there else both[::-1]
            sent: Any = (number, "y" * size)
            sender.send(*sent)
            assert receiver.receive() == sent
    finally:
        for end in both:
            end.close()
