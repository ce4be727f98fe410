"""What the network does by itself, at its own time: a thread that does one thing after the other.

It is a worker like any daemon thread of the program, so that when it comes to something is chosen,
recorded and replayed. It is started by whoever first leaves something to it.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.network.membership import HOST
from tracelock.instrument.worker import Worker, here
from tracelock.ops import GET, PUT, ObjectSpec, Op

if TYPE_CHECKING:
    from tracelock.instrument.network.table import Network

#: What the thread is called; and where its steps are, which no line of the program makes.
NAME: Final = "network"
_PLACE: Final = "(network):0"

Action = Callable[[Worker], object]


class Background:
    """``due``: what is to be done, by when."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.due: list[tuple[float, int, Action]] = []
        self.number = -1
        self._count = 0
        self._begun = False

    def after(self, worker: Worker, seconds: float, action: Action) -> None:
        """Have ``action`` done in so many seconds of virtual time, or as soon after that as the
        search likes. It is called with the worker of the network."""
        self._add(seconds, action)
        if self._begun:
            worker.step(Op(PUT, self.number, caller(worker)))
        else:
            self.begin(worker)

    def add(self, seconds: float, action: Action) -> None:
        """The same as a part of a step that everything depends on; it has begun."""
        self._add(seconds, action)
        self.network.hub.controller.models[self.number].size += 1  # type: ignore[union-attr]

    def _add(self, seconds: float, action: Action) -> None:
        self._count += 1
        heapq.heappush(self.due, (self.network.hub.controller.now + seconds, self._count, action))

    def begin(self, worker: Worker) -> None:
        """Start the thread, if it is not there."""
        if self._begun:
            return
        self._begun = True
        self.number = worker.hub.number_for(ObjectSpec("what the network has to do", "room"))
        token = HOST.set("")
        try:
            thread = threading.Thread(target=self._run, name=NAME, daemon=True)
            thread._tracelock_own = True  # type: ignore[attr-defined]
            thread.start()
        finally:
            HOST.reset(token)

    def _run(self) -> None:
        worker: Any = here()
        controller = worker.hub.controller
        controller.unseen.add(worker.number)
        while True:
            left = self.due[0][0] - controller.now if self.due else None
            if left is not None and left <= 0:
                # a step of its own, before which others may come
                worker.step(Op(PUT, self.number, _PLACE))
                worker.step(Op(GET, self.number, _PLACE))
                worker.record(None)
                _, _, action = heapq.heappop(self.due)
                action(worker)
                continue
            if worker.step(Op(GET, self.number, _PLACE, None, left, True)) is None:
                worker.record(None)
