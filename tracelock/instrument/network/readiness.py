"""``select``, ``poll`` and ``selectors`` under control, for sockets in memory.

Who waits for several looks at each first, in a step of its own, and then waits for somebody to tell
it that one of them is ready, at an object that is its own: so whatever it learns, it learns in
steps that others' steps depend on.
"""

from __future__ import annotations

import select
import selectors
import sys
from collections.abc import Callable, Iterable
from typing import Any, Final

from tracelock.instrument.callers import caller
from tracelock.instrument.network import links, operations
from tracelock.instrument.network.ends import READABLE, WRITABLE, End
from tracelock.instrument.network.table import Network, network_of, used_outside
from tracelock.instrument.patching import CONTROLLED, SEEN, patch, replace
from tracelock.instrument.worker import Uncontrolled, Worker, here
from tracelock.ops import GET, PUT, SLEEP, ObjectSpec, Op

_IN: Final = int(getattr(select, "POLLIN", 1))
_PRI: Final = int(getattr(select, "POLLPRI", 2))
_OUT: Final = int(getattr(select, "POLLOUT", 4))


class Waiting:
    """A worker that waits for one of several ends. ``told``: of each that it was told of, when, and
    what it is ready for."""

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        spec = ObjectSpec(f"sockets that {worker.label} waits for", "room")
        self.number = worker.hub.number_for(spec)
        self.wanted: dict[End, int] = {}
        self.told: dict[End, tuple[int, int]] = {}

    def changed(self, worker: Any, end: End) -> None:
        version, bits = end.version, end.ready() & self.wanted[end]
        if worker is self.worker or not (bits or end in self.told):
            return
        worker.step(Op(PUT, self.number, caller(worker)))
        if end in self.wanted and self.told.get(end, (0, 0))[0] <= version:
            self.told[end] = version, bits

    def look(self, ends: Iterable[tuple[End, int]]) -> dict[End, int]:
        """What they are ready for now."""
        found = {}
        for end, bits in ends:
            self.wanted[end] = self.wanted.get(end, 0) | bits
            end.watchers.append(self)
            ready = operations.look(self.worker, end, bits)
            if ready:
                found[end] = ready
        return found

    def wait(self, seconds: float | None) -> dict[End, int]:
        """What they are ready for when somebody has told of it; nothing where time is up."""
        worker, controller = self.worker, self.worker.hub.controller
        until = None if seconds is None else controller.now + seconds
        while True:
            left = None if until is None else max(0.0, until - controller.now)
            op = Op(GET, self.number, caller(worker), None, left or None, left != 0.0)
            network_of(worker.hub).waiting[worker.number] = self.wanted.keys()
            if worker.step(op) is not None:
                return {}  # its time is up
            worker.record(None)
            found = {end: bits for end, (_, bits) in self.told.items() if bits}
            if found:
                return found
            if left == 0.0:
                return {}

    def leave(self) -> None:
        """It waits no longer."""
        for end in self.wanted:
            end.watchers = [one for one in end.watchers if one is not self]
        self.wanted = {}
        network_of(self.worker.hub).waiting.pop(self.worker.number, None)


def wait_for(
    worker: Worker, ends: Iterable[tuple[End, int]], seconds: float | None
) -> dict[End, int]:  # fmt: skip
    """What of ``ends`` is ready, within so many ``seconds`` (None: for ever). Each is asked for
    with the bits of what it is to be ready for."""
    ends = list(ends)
    links.fetch_any(worker, [end for end, bits in ends if bits & READABLE], seconds)
    waiting = Waiting(worker)
    try:
        found = waiting.look(ends)
        if not found and (seconds is None or seconds > 0):
            found = waiting.wait(seconds)
        return found
    finally:
        waiting.leave()


def _split(
    worker: Worker, wanted: dict[int, int]
) -> tuple[list[tuple[int, End, int]], dict[int, int]]:
    """Descriptors with their ends, of those that have one, and the others."""
    network = worker.hub.known(Network)
    ends = {} if network is None else network.ends
    inside = [(fd, ends[fd], bits) for fd, bits in wanted.items() if fd in ends]
    return inside, {fd: bits for fd, bits in wanted.items() if fd not in ends}


def _ready(
    worker: Worker, wanted: dict[int, int], seconds: float | None,
    real: Callable[[float | None], dict[int, int]], asks: str,
) -> dict[int, int]:  # fmt: skip
    """By descriptor what is ready. ``real`` asks the system, of those that are not in memory;
    ``asks``: the module that does."""
    inside, outside = _split(worker, wanted)
    if outside:
        used_outside(worker, "select", asks)
    if not inside and outside:
        with Uncontrolled(worker):
            return real(seconds)
    if not inside:
        if seconds is not None and seconds > 0:
            worker.step(Op(SLEEP, -1, caller(worker), float(seconds)))
            return {}
        if seconds is None:  # for ever: there is nothing that could come
            wait_for(worker, (), None)
        return {}
    found: dict[int, int] = {}
    if outside:
        worker.doubt(
            "a wait for sockets of which some are outside of the run",
            "what is ready outside is looked at once, and not waited for",
        )
        with Uncontrolled(worker):
            found.update(real(0))
        if found:
            seconds = 0
    ready = wait_for(worker, [(end, bits) for _, end, bits in inside], seconds)
    found.update({fd: ready[end] for fd, end, _ in inside if end in ready})
    return found


def _asks(depth: int) -> str:
    """The module of the code that has called so many frames ago."""
    return str(sys._getframe(depth).f_globals.get("__name__"))


# --- select.select ---------------------------------------------------------------------------
class _Replacement:
    """A function that is no method of the class that has it as an attribute."""

    #: Without a namespace, in which the original would be looked for.
    __slots__ = ("__name__", "__qualname__", "body", "real")

    def __init__(self, name: str, how: str, real: Any, body: Callable[..., Any]) -> None:
        self.real, self.body = real, body
        self.__name__ = self.__qualname__ = real.__name__
        replace(name, self, how, module=__name__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        worker = here()
        if worker is None or worker.elsewhere:
            if worker is not None:
                used_outside(worker, "select", _asks(2))
            return self.real(*args, **kwargs)
        return self.body(worker, self.real, *args, **kwargs)


def _descriptor(file: Any) -> int:
    found = file if isinstance(file, int) else file.fileno()
    if not isinstance(found, int):
        raise TypeError("argument must be an int, or have a fileno() method.")
    if found < 0:
        raise ValueError(f"file descriptor cannot be a negative integer ({found})")
    return found


def _select(
    worker: Worker, real: Any, rlist: Any, wlist: Any, xlist: Any, timeout: float | None = None
) -> tuple[list[Any], list[Any], list[Any]]:  # fmt: skip
    if timeout is not None and timeout < 0:
        raise ValueError("timeout must be non-negative")
    lists = [list(one) for one in (rlist, wlist, xlist)]
    wanted: dict[int, int] = {}
    for one, bit in zip(lists, (READABLE, WRITABLE, 0), strict=True):
        for file in one:
            wanted[_descriptor(file)] = wanted.get(_descriptor(file), 0) | bit

    def of_system(seconds: float | None) -> dict[int, int]:
        inside = {fd for fd, _, _ in _split(worker, wanted)[0]}
        left = [[file for file in one if _descriptor(file) not in inside] for one in lists]
        found: dict[int, int] = {}
        for files, bit in zip(real(*left, seconds), (READABLE, WRITABLE, 4), strict=True):
            for file in files:
                found[_descriptor(file)] = found.get(_descriptor(file), 0) | bit
        return found

    ready = _ready(worker, wanted, timeout, of_system, _asks(3))
    found = [
        [file for file in one if ready.get(_descriptor(file), 0) & bit]
        for one, bit in zip(lists, (READABLE, WRITABLE, 4), strict=True)
    ]
    return found[0], found[1], found[2]


_Replacement("select.select", CONTROLLED, select.select, _select)


# --- select.poll -----------------------------------------------------------------------------
class ControlledPoll:
    """An object of ``select.poll()``, which a worker has made."""

    def __init__(self, real: Any) -> None:
        self._real = real
        self._masks: dict[int, int] = {}

    def register(self, fd: Any, eventmask: int = _IN | _PRI | _OUT) -> None:
        self._real.register(fd, eventmask)
        self._masks[_descriptor(fd)] = eventmask

    def modify(self, fd: Any, eventmask: int) -> None:
        self._real.modify(fd, eventmask)
        self._masks[_descriptor(fd)] = eventmask

    def unregister(self, fd: Any) -> None:
        self._real.unregister(fd)
        del self._masks[_descriptor(fd)]

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        worker = here()
        if worker is None:
            found: list[tuple[int, int]] = self._real.poll(timeout)
            return found
        wanted = {fd: _bits(mask) for fd, mask in self._masks.items()}
        inside = {fd for fd, _, _ in _split(worker, wanted)[0]}
        seconds = None if timeout is None or timeout < 0 else timeout / 1_000
        real: dict[int, int] = {}

        def of_system(seconds: float | None) -> dict[int, int]:
            asked = self._real.poll(None if seconds is None else seconds * 1_000)
            real.update({fd: mask for fd, mask in asked if fd not in inside})
            return dict.fromkeys(real, READABLE)

        ready = _ready(worker, wanted, seconds, of_system, _asks(2))
        return [
            (fd, real.get(fd) or (_IN if bits & READABLE else 0) | (_OUT if bits & WRITABLE else 0))
            for fd, bits in ready.items()
        ]


def _bits(mask: int) -> int:
    return (READABLE if mask & (_IN | _PRI) else 0) | (WRITABLE if mask & _OUT else 0)


if hasattr(select, "poll"):
    _Replacement("select.poll", SEEN, select.poll, lambda worker, real, *_: ControlledPoll(real()))


# --- selectors -------------------------------------------------------------------------------
def _of_selector(name: str, cls: Any) -> None:
    @patch(f"selectors.{name}.select", of=cls, attribute="select")
    def controlled(worker: Worker, real: Any, self: Any, timeout: float | None = None) -> Any:
        keys: dict[int, selectors.SelectorKey] = self._fd_to_key
        wanted = {fd: key.events for fd, key in keys.items()}
        inside = {fd for fd, _, _ in _split(worker, wanted)[0]}

        def of_system(seconds: float | None) -> dict[int, int]:
            return {key.fd: bits for key, bits in real(self, seconds) if key.fd not in inside}

        if worker.elsewhere:
            used_outside(worker, "select", _asks(3))
            return real(self, timeout)
        seconds = timeout if timeout is None or timeout > 0 else 0
        ready = _ready(worker, wanted, seconds, of_system, _asks(3))
        return [
            (keys[fd], bits & keys[fd].events)
            for fd, bits in ready.items()
            if fd in keys and bits & keys[fd].events
        ]


for _name in ("SelectSelector", "_PollLikeSelector", "EpollSelector", "KqueueSelector"):
    if hasattr(selectors, _name):
        _of_selector(_name, getattr(selectors, _name))
