"""Arrows of messages in pictures, of traces written by hand."""

from __future__ import annotations

from tests.helpers.tracing import trace_of
from tracelock.analysis.derived.steps import Steps
from tracelock.report.arrows import Message, arrows, messages
from tracelock.report.mermaid import mermaid
from tracelock.report.plumbing import plumbing_of
from tracelock.report.timeline import timeline


def test_bytes_go_from_each_send_to_each_receive_that_got_some_of_them() -> None:
    trace = trace_of("""
        client put one.sent = 3
        client put one.sent = 4
        server get one.sent -> 5
        server get one.sent -> 2
        server put one.answered = 1
        client get one.answered -> 1
    """)
    assert messages(trace) == [
        Message(0, 2, "3 bytes"), Message(1, 2, "2 bytes"), Message(1, 3, "2 bytes"),
        Message(4, 5, "1 byte"),
    ]  # fmt: skip


def test_an_end_goes_to_who_sees_it_first_and_to_nobody_else() -> None:
    trace = trace_of("""
        client put one.sent = 1
        client set one.answered
        client set one.sent
        server get one.sent -> 1
        server get one.sent -> 0
        server get one.sent -> 0
        server put one.answered = 1 -> false
    """)
    assert messages(trace) == [
        Message(0, 3, "1 byte"), Message(2, 4, "end"), Message(1, 6, "end"),
    ]  # fmt: skip


def test_connections_and_datagrams_arrive_in_their_order() -> None:
    trace = trace_of("""
        client put "tcp\\u0020port\\u002080"
        server get "tcp\\u0020port\\u002080" -> null
        client put "udp\\u0020port\\u002053"
        client put "udp\\u0020port\\u002053"
        server get "udp\\u0020port\\u002053" -> {"error":"Empty"}
        server get "udp\\u0020port\\u002053" -> 4
    """)
    assert messages(trace) == [Message(0, 1, "connection"), Message(2, 5, "datagram")]


def test_a_lost_datagram_ends_nowhere() -> None:
    trace = trace_of("""
        client choose "fault\\u0020of\\u0020the\\u0020network" chosen="lost" -> 0
        client choose "fault\\u0020of\\u0020the\\u0020network" chosen="doubled" -> 1
    """)
    assert messages(trace) == [Message(0, -1, "datagram")]
    shown = arrows(trace, Steps(trace), (), {0, 1})
    assert shown == [[0, -1, "datagram"]]
    assert arrows(trace, Steps(trace), (), {1}) == []
    assert "w0-xw0: datagram lost" in mermaid(trace, timeline(trace))


def test_a_picture_has_a_message_once_and_only_where_both_ends_are_shown() -> None:
    trace = trace_of("""
        client put one.sent = 3
        server get one.sent -> 3
        server acquire lock
        server release lock
        client acquire lock
    """)
    shown = arrows(trace, Steps(trace), {"lock", "item"}, range(5))
    assert shown == [[0, 1, "3 bytes"], [3, 4, "lock"]]
    assert arrows(trace, Steps(trace), {"lock", "item"}, range(1, 4)) == []
    drawn = mermaid(trace, timeline(trace))
    assert "w0-)w1: 3 bytes of 0" in drawn


def test_what_one_looks_at_and_another_puts_into_is_no_name_of_an_object() -> None:
    trace = trace_of("""
        client read "tcp\\u0020port\\u002080" -> "<tuple>"
        client put "tcp\\u0020port\\u002080"
        server get "tcp\\u0020port\\u002080" -> null
    """)
    assert plumbing_of(trace) == frozenset()
