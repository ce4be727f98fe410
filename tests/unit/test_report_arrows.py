"""Arrows of messages in pictures, of traces written by hand."""

from __future__ import annotations

from tests.helpers.tracing import trace_of
from tracelock.analysis.derived.steps import Steps
from tracelock.report.arrows import Message, arrows, messages
from tracelock.report.failure.drawing import drawn
from tracelock.report.failure.spoken import Conversation
from tracelock.report.failure.telling import StoryLine
from tracelock.report.mermaid import mermaid
from tracelock.report.plumbing import plumbing_of
from tracelock.report.terminal import Style
from tracelock.report.timeline import timeline
from tracelock.session.story import steps
from tracelock.trace import Trace


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
    assert "w0-)w1: 3 bytes of 0" in mermaid(trace, timeline(trace))


def test_what_one_looks_at_and_another_puts_into_is_no_name_of_an_object() -> None:
    trace = trace_of("""
        client read "tcp\\u0020port\\u002080" -> "<tuple>"
        client put "tcp\\u0020port\\u002080"
        server get "tcp\\u0020port\\u002080" -> null
    """)
    assert plumbing_of(trace) == frozenset()


#: A client sends to a server, which answers; a third one looks on, and is drawn between them.
EXCHANGE = """
    client put one.sent = 3 @ c.py:1
    looker write x = 1 @ l.py:1
    server get one.sent -> 3 @ s.py:1
    server put one.answered = 65536 @ s.py:2
    client get one.answered -> 65536 @ c.py:2
"""


def drawn_rows(trace: Trace, style: Style, *, plumbing: bool = False) -> list[str]:
    return [line.plain for line in steps(trace, style, plumbing=plumbing)]


def test_a_read_that_gives_less_has_less_of_the_message() -> None:
    sizes = '"bytes\\u0020of\\u0020a\\u0020read"'
    trace = trace_of(f"""
        client put one.sent = 3
        client put one.sent = 4
        server get one.sent -> 7
        server choose {sizes} chosen="one\\u0020byte" -> 2
        server get one.sent -> 6
        server choose {sizes} chosen="the\\u0020first\\u0020write" -> 1
        server get one.sent -> 4
        server choose {sizes} chosen="all\\u0020that\\u0020has\\u0020come" -> 0
    """)
    assert messages(trace) == [
        Message(0, 2, "1 byte"), Message(0, 4, "2 bytes"), Message(1, 6, "4 bytes")
    ]  # fmt: skip


def test_in_a_terminal_an_arrow_goes_from_column_to_column() -> None:
    rows = drawn_rows(trace_of(EXCHANGE), Style(90))
    there = next(row for row in rows if "3 bytes of 0" in row)
    back = next(row for row in rows if "65,536 bytes of 3" in row)
    left, right = rows[0].index("client"), rows[0].index("server")
    assert [place for place in range(len(there)) if there[place] in "●→"] == [left, right]
    assert (there[left], there[right]) == ("●", "→")
    assert (back[left], back[right]) == ("←", "●")
    assert rows.index(there) + 1 == next(
        place for place, row in enumerate(rows) if row.split()[0] == "2"
    )  # above the event that receives it


def test_a_narrow_terminal_without_unicode_has_them_in_words() -> None:
    for width in (20, 40, 57, 60, 61, 80):
        rows = drawn_rows(trace_of(EXCHANGE), Style(width, unicode=False))
        assert all(len(row) <= width and row.isascii() for row in rows), width
        whole = " ".join(" ".join(rows).split())
        assert "3 bytes" in whole and "65,536 bytes" in whole, (width, rows)
    rows = drawn_rows(trace_of(EXCHANGE), Style(50, unicode=False))
    assert any("client -> server: 3 bytes of 0" in row for row in rows)


def test_a_lost_datagram_is_at_who_has_sent_it() -> None:
    trace = trace_of("""
        client choose "fault\\u0020of\\u0020the\\u0020network" chosen="lost" -> 0
        server write x = 1
    """)
    for style in (Style(80), Style(80, unicode=False)):
        assert any("x datagram lost" in row for row in drawn_rows(trace, style))
    assert any("x client: datagram lost" in row for row in drawn_rows(trace, Style(30, False)))


#: On a loop of asyncio callbacks receive, in the name of the loop.
ON_A_LOOP = """
    server put one.answered = 9
    client put one.sent = 3
    loop:callbacks get one.sent -> 3
    server read x -> 1
    loop:callbacks get one.answered -> 9
    client read x -> 1
"""


def test_what_callbacks_receive_is_of_who_answers_in_that_connection() -> None:
    code = {"name": "x", "python": {"places": {}}}
    trace = trace_of(ON_A_LOOP, scenario=code, backend="asyncio")
    rows = drawn_rows(trace, Style(90))
    assert "loop:callbacks" not in rows[0]
    left, right = rows[0].index("server"), rows[0].index("client")
    there = next(row for row in rows if "3 bytes of 1" in row)
    assert (there[left], there[right]) == ("←", "●")
    rows = drawn_rows(trace, Style(90), plumbing=True)
    there = next(row for row in rows if "3 bytes of 1" in row)
    assert there[rows[0].index("loop:callbacks")] == "→"


def test_a_story_says_who_has_sent_what_to_whom() -> None:
    trace = trace_of(
        """
        client put "tcp\\u0020port\\u002080"
        server get "tcp\\u0020port\\u002080" -> null
        client put one.sent = 3
        client set one.sent
        server get one.sent -> 3
        server get one.sent -> 0
        server put one.answered = 1
        """
    )
    said = Conversation(trace)
    assert [said.words(event) for event in trace.events] == [
        "connects to server", "accepts the connection of client", "sends 3 bytes to server",
        "ends the connection with server", "receives 3 bytes of client",
        "sees that client has ended the connection", "sends 1 byte, which nobody has received",
    ]  # fmt: skip
    assert [said.source(seq) for seq in range(7)] == [-1, 0, -1, -1, 0, 0, -1]


def test_a_story_draws_a_line_from_who_has_sent_it() -> None:
    lines = [
        StoryLine(0, "a.py:1", "sends", (0, 0)), StoryLine(1, "b.py:1", "looks", (1, 1)),
        StoryLine(2, "c.py:1", "receives", (2, 2), source=0),
        StoryLine(0, "a.py:2", "receives", (3, 3), source=2),
    ]  # fmt: skip
    for style, marks in ((Style(60), ("├─┼─●", "●─┼─┤")), (Style(60, False), ("|-|-*", "*-|-|"))):
        rows = [
            row.plain for row in drawn(lines, ["a", "b", "c"], style, lambda _: "", lambda _: "")
        ]
        assert any(row.startswith(f" {marks[0]} c.py:1") for row in rows), rows
        assert any(row.startswith(f" {marks[1]} a.py:2") for row in rows), rows
