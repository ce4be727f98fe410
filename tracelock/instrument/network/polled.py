"""What a loop of asyncio has for a selector: sockets in memory, and real ones beside them.

A loop looks at it before each of its steps. That an end is ready for something it knows at once if
one of its own tasks has brought it about; another thread tells it, in a step that the loop's own
depend on, as by ``call_soon_threadsafe``.
"""

from __future__ import annotations

import math
import selectors
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from selectors import EVENT_READ, EVENT_WRITE, SelectorKey
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.hub import Phase
from tracelock.instrument.network import operations
from tracelock.instrument.network.ends import End
from tracelock.instrument.network.table import Network, used_outside
from tracelock.instrument.outside.pausing import LATENCY, pauses
from tracelock.instrument.worker import here
from tracelock.ops import NOTIFY, Op

_Found = list[tuple[SelectorKey, int]]
_HALVES: Final = ((EVENT_READ, 0), (EVENT_WRITE, 1))


class Polling:
    """``selectors.DefaultSelector``, which costs a system call, only where it is needed; it never
    waits.

    ``tasks``: of the loop. ``kept``: what is registered of sockets in memory, by descriptor;
    ``hot``: those that are ready for something; ``queued``: handles that are in the line of the
    loop, which are not put there again.
    """

    def __init__(self, tasks: Any = None) -> None:
        self.tasks = tasks
        self.kept: dict[int, SelectorKey] = {}
        self.hot: dict[int, int] = {}
        self.queued: set[Any] = set()
        self._real: selectors.BaseSelector | None = None
        self._begun = False  # that real ones are
        self._ends: dict[int, End] = {}
        self._descriptors: dict[End, int] = {}
        #: Ends of which what comes next is asked for, and the timers by which.
        self._expected: set[End] = set()
        self._timers: set[Any] = set()

    @property
    def real(self) -> selectors.BaseSelector:
        # no cached property: before 3.12 that takes a lock, which would be a step of the program's
        if self._real is None:
            self._real, self._begun = selectors.DefaultSelector(), True
        return self._real

    def take(self, selector: selectors.BaseSelector) -> None:
        """What a loop that exists already waits for."""
        self._real, self._begun = selector, True

    @property
    def outside(self) -> bool:
        """Whether real sockets are waited for."""
        return self._begun and bool(self.real.get_map())

    @property
    def used(self) -> bool:
        """Whether anything is, or was, waited for."""
        return bool(self.kept) or self._begun

    @property
    def listens(self) -> bool:
        """Whether somebody might connect."""
        return any(end.listens for end in self._ends.values())

    # --- as a selector -----------------------------------------------------------------------
    def _end(self, fileobj: Any) -> tuple[int, End | None]:
        descriptor = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        network = self.tasks.hub.known(Network)
        return descriptor, None if network is None else network.ends.get(descriptor)

    def register(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        descriptor, end = self._end(fileobj)
        if end is None:
            self._forget(descriptor)
            self._outside(data)
            return self.real.register(fileobj, events, data)
        known = self._ends.get(descriptor)
        if known is end:
            raise KeyError(f"{fileobj!r} (FD {descriptor}) is already registered")
        self._forget(descriptor)
        key = self.kept[descriptor] = SelectorKey(fileobj, descriptor, events, data)
        self._ends[descriptor] = end
        self._descriptors[end] = descriptor
        end.watchers.append(self)
        self._look(descriptor, end, events)
        return key

    def _outside(self, data: Any) -> None:
        """A real descriptor is waited for: when it is ready no schedule decides."""
        worker = here()
        handle = (data[0] or data[1]) if isinstance(data, tuple) else data
        asks = getattr(getattr(handle, "_callback", None), "__name__", "")
        if worker is not None and self.tasks.hub.phase is Phase.RUN:
            used_outside(worker, "add_reader, add_writer", asks)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        key = self.kept.get(descriptor)
        if key is None:
            return self._others(fileobj).modify(fileobj, events, data)
        new = self.kept[descriptor] = key._replace(events=events, data=data)
        self._look(descriptor, self._ends[descriptor], events)
        return new

    def unregister(self, fileobj: Any) -> SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        key = self.kept.get(descriptor)
        if key is None:
            return self._others(fileobj).unregister(fileobj)
        self._forget(descriptor)
        return key

    def _forget(self, descriptor: int) -> None:
        self.kept.pop(descriptor, None)
        self.hot.pop(descriptor, None)
        end = self._ends.pop(descriptor, None)
        if end is not None:
            self._descriptors.pop(end, None)
            end.watchers = [one for one in end.watchers if one is not self]

    def drop(self, end: End) -> Any:
        """The host of ``end`` has crashed: nobody waits for it any more. What was to be called."""
        descriptor = self._descriptors.get(end, -1)
        key = self.kept.get(descriptor)
        self._forget(descriptor)
        return key

    def get_key(self, fileobj: Any) -> SelectorKey:
        descriptor = fileobj if isinstance(fileobj, int) else int(fileobj.fileno())
        key = self.kept.get(descriptor)
        return self._others(fileobj).get_key(fileobj) if key is None else key

    def _others(self, fileobj: Any) -> selectors.BaseSelector:
        """The selector of real sockets. Raises KeyError as it would where there is none so far."""
        if not self._begun:
            raise KeyError(f"{fileobj!r} is not registered")
        return self.real

    def get_map(self) -> Mapping[Any, SelectorKey]:
        if not self._begun:
            return self.kept
        return ChainMap(self.kept, dict(self.real.get_map()))

    def select(self, timeout: float | None = None) -> _Found:
        found: _Found = []
        for descriptor, bits in self.hot.items():
            key = self.kept[descriptor]
            ready = 0
            for bit, half in _HALVES:
                if bits & bit & key.events and self._fresh(key.data, half):
                    ready |= bit
            if ready:
                found.append((key, ready))
        if self.outside:
            found += self.real.select(0)
        return found

    def _fresh(self, data: Any, half: int) -> bool:
        """Whether the handle for this is not in the line already."""
        handle = data[half] if isinstance(data, tuple) else data
        if handle is None or handle in self.queued:
            return False
        self.queued.add(handle)
        return True

    def close(self) -> None:
        for descriptor in list(self.kept):
            self._forget(descriptor)
        self.queued.clear()
        if self._begun:
            self.real.close()
            self._real = None
            self._begun = False

    def direction(self, descriptor: int) -> int:
        """The number of the direction in which something comes there, -1 for none."""
        end = self._ends.get(descriptor)
        return -1 if end is None or end.incoming is None else end.incoming.number

    # --- what becomes ready ------------------------------------------------------------------
    def _look(self, descriptor: int, end: End, events: int) -> None:
        worker, hub = here(), self.tasks.hub
        controller = hub.controller
        alone = not controller.threads and len(hub.own_loops) < 2
        if alone or worker is None or hub.phase is not Phase.RUN:
            self._set(descriptor, end.ready())
        else:  # what others do there comes before, or after
            self._set(descriptor, operations.look(worker, end, events))

    def _set(self, descriptor: int, bits: int) -> None:
        end = self._ends[descriptor]
        if end.link is not None and self.kept[descriptor].events & EVENT_READ and end.link.empty:
            self._expect(descriptor, end)
        if bits & self.kept[descriptor].events:
            self.hot[descriptor] = bits
        else:
            self.hot.pop(descriptor, None)

    def _expect(self, descriptor: int, end: End) -> None:
        """Somebody waits for what comes from outside of the run: it is asked for when a moment has
        gone by, in which all others may go on."""
        worker = here()
        if worker is None or end in self._expected or self.tasks.hub.phase is not Phase.RUN:
            return
        self._expected.add(end)
        self._ask(descriptor, end, pauses(worker))

    def _ask(self, descriptor: int, end: End, times: Iterator[tuple[float, float]]) -> None:
        later = None if self._awaited(descriptor) else self._next_timer()
        if later is not None:
            # nobody waits for it, and a timer of the program comes next: then it is seen again
            self._later(later + LATENCY, lambda: self._ask_again(descriptor, end))
            return
        found = next(times, None)
        if found is None:
            end.link.give_up(here())
            return
        virtual, real = found

        def asked() -> None:
            worker = here()
            if worker is None or not self._wanted(descriptor, end):
                self._expected.discard(end)
            elif end.link.receive(worker, real):
                self._expected.discard(end)
                if self._wanted(descriptor, end):
                    self._expect(descriptor, end)
            else:
                self._ask(descriptor, end, times)

        self._later(virtual, asked)

    def _ask_again(self, descriptor: int, end: End) -> None:
        worker = here()
        if worker is None or not self._wanted(descriptor, end):
            self._expected.discard(end)
        else:
            self._ask(descriptor, end, pauses(worker))

    def _wanted(self, descriptor: int, end: End) -> bool:
        """Whether more is waited for there, in the selector."""
        key = self.kept.get(descriptor)
        known = key is not None and self._ends.get(descriptor) is end
        return bool(known and key.events & EVENT_READ and end.link.empty)  # type: ignore[union-attr]

    def _awaited(self, descriptor: int) -> bool:
        """Whether somebody waits for it in the program: of streams that is known."""
        key = self.kept.get(descriptor)
        handle = key.data[0] if key is not None and isinstance(key.data, tuple) else None
        transport = getattr(getattr(handle, "_callback", None), "__self__", None)
        reader = getattr(getattr(transport, "_protocol", None), "_stream_reader", None)
        return reader is None or getattr(reader, "_waiter", reader) is not None

    def _later(self, seconds: float, function: Callable[[], None]) -> None:
        self._timers = {one for one in self._timers if one.when() > self.tasks.loop.time()}
        self._timers.add(self.tasks.loop.call_later(seconds, function))

    def _next_timer(self) -> float | None:
        """In how many seconds a timer of the program fires; None without one."""
        loop = self.tasks.loop
        times = [
            one._when for one in loop._scheduled
            if not one._cancelled and one not in self._timers and one._when != math.inf
        ]  # fmt: skip
        return max(0.0, min(times) - loop.time()) if times else None

    def changed(self, worker: Any, end: End) -> None:
        descriptor, tasks = self._descriptors[end], self.tasks
        bits = end.ready()
        if worker.number in tasks.members or tasks.hub.phase is not Phase.RUN:
            self._set(descriptor, bits)
            return
        fresh = bits & self.kept[descriptor].events & ~self.hot.get(descriptor, 0)
        if fresh:
            worker.step(Op(NOTIFY, tasks.gate.number, caller(worker), 1))
            if self._descriptors.get(end) != descriptor:
                return  # the loop has left it meanwhile
            bits = end.ready()  # or has taken what there was
        self._set(descriptor, bits)
        if fresh and tasks.open:
            tasks.loop.heard()
