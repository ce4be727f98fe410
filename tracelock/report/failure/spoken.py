"""What workers did over a network, in words: who has sent what to whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from tracelock.report.arrows import Message, messages
from tracelock.report.delivered import receivers
from tracelock.report.wording import clean
from tracelock.trace import Event, Trace
from tracelock.trace.network import DIRECTIONS

__all__ = ["Conversation"]


class Conversation:
    """The messages of a trace, by the events in which they were sent and received."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        self.sent: defaultdict[int, list[Message]] = defaultdict(list)
        self.came: defaultdict[int, list[Message]] = defaultdict(list)
        found = messages(trace)
        self._owners = receivers(trace, found)
        for one in found:
            self.sent[one.source].append(one)
            if one.dest >= 0:
                self.came[one.dest].append(one)

    def source(self, seq: int) -> int:
        """The worker of which a message came in this event, -1 for none."""
        last = self.came.get(seq, ())[-1:]
        return self.trace.events.workers[last[0].source] if last else -1

    def words(self, event: Event) -> str:
        """``sends 6 bytes to server``; "" for what is nothing of the kind."""
        came, sent = self.came.get(event.seq), self.sent.get(event.seq)
        if came:
            return self._received(came)
        if sent and sent[0].dest >= 0:
            return self._sent(event, sent)
        of_bytes = event.op == "put" and (event.target or "").endswith(DIRECTIONS)
        if of_bytes and event.result is True and type(event.value) is int:
            return f"sends {_bytes(event.value)}, which nobody has received"
        return ""

    def _received(self, came: list[Message]) -> str:
        names = self._names(self.trace.events.workers[one.source] for one in came)
        what = came[0].what
        if what == "end":
            return f"sees that {names} has ended the connection"
        if what in ("connection", "datagram"):
            return f"{'accepts' if what == 'connection' else 'receives'} the {what} of {names}"
        size = sum(_size(one.what) for one in came)
        return f"receives {_bytes(size)} of {names}"

    def _sent(self, event: Event, sent: list[Message]) -> str:
        names = self._names(self._owners[one.dest] for one in sent)
        what = sent[0].what
        if what == "end":
            return f"ends the connection with {names}"
        if what == "connection":
            return f"connects to {names}"
        if what == "datagram":
            return f"sends a datagram to {names}"
        size = event.value if type(event.value) is int else sum(_size(one.what) for one in sent)
        return f"sends {_bytes(size)} to {names}"

    def _names(self, workers: Iterable[int]) -> str:
        names = [clean(self.trace.workers[one]) for one in workers]
        return " and ".join(dict.fromkeys(names))


def _size(what: str) -> int:
    return int(what.split()[0].replace(",", ""))


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{size:,} bytes"
