"""Recording of calls and returns, on threads and in tasks, under control or not."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import queue
import threading
from collections.abc import Awaitable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

from tracelock.errors import UsageError
from tracelock.history.operations import (
    CANCELLED,
    ENDINGS,
    PENDING,
    RAISED,
    RETURNED,
    Operation,
)
from tracelock.history.values import snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracelock.history.checking import Linearized
    from tracelock.history.models.base import Sequential


#: The class of queues under control.
_PYTHONS: Final[Any] = queue._PySimpleQueue  # type: ignore[attr-defined]


class History:
    """The calls of a run and what came back, in the order of these events.

    ::

        history = tracelock.History()
        queue = history.watch(queue.Queue(1))   # each call of a method is recorded
        ...                                     # threads or tasks use it
        result = history.check(models.QueueSpec(maxsize=1))
        assert result.verdict == "linearizable", result

    An event is put into a queue before a call is made, and after it has returned, so that what is
    recorded as one after the other was. It may be used by any number of threads and tasks, with and
    without control of their schedule. Under control the queue is too, and a search that is
    exhaustive tries every order of calls and returns, not only those in which the calls meet in
    what they share. Make a history where the object is made, in the test or its setup, or ``clear``
    it there.
    """

    def __init__(self) -> None:
        #: Calls and returns: (True, operation) and (False, operation). They come by way of a queue
        #: and not of a list, whose appends no search of real code would see: of two calls that
        #: share nothing it would try one order only, and there may be none that explains the other.
        self._line: queue.SimpleQueue[tuple[bool, Operation]] = queue.SimpleQueue()
        self._events: list[tuple[bool, Operation]] = []

    # --- recording ---------------------------------------------------------------------------
    def begin(self, name: str, *args: Any, worker: str | None = None, **kwargs: Any) -> Operation:
        """A call begins. ``worker``: who makes it (None: the task or thread that runs)."""
        given = {key: snapshot(one) for key, one in kwargs.items()}
        operation = Operation(worker or current_worker(), name, snapshot(args), given)
        self._put((True, operation))
        return operation

    def returned(self, operation: Operation, value: Any = None) -> None:
        """The call has returned ``value``."""
        self._end(operation, RETURNED, value)

    def raised(self, operation: Operation, error: BaseException) -> None:
        """The call has raised ``error``."""
        self._end(operation, RAISED, error)

    def cancelled(self, operation: Operation) -> None:
        """The call was cancelled: whether it took effect is not known."""
        self._end(operation, CANCELLED, None)

    def _end(self, operation: Operation, ending: str, value: Any) -> None:
        if operation.ending != PENDING:
            raise UsageError(f"{operation.call} has ended already: it {operation.ending}")
        operation.ending, operation.value = ending, snapshot(value)
        self._put((False, operation))

    def call(self, target: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the method ``name`` of ``target``, and record it. What is returned by a coroutine
        function has to be awaited; the call ends when that does."""
        operation = self.begin(name, *args, **kwargs)
        return self._run(operation, getattr(target, name), args, kwargs)

    def _run(
        self, operation: Operation, function: Any, args: Iterable[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            self._failed(operation, error)
            raise
        if inspect.isawaitable(value):
            return self._awaited(operation, value)
        if isinstance(value, Iterator):  # it is gone through inside of the call
            try:
                items = list(value)
            except BaseException as error:
                self._failed(operation, error)
                raise
            self.returned(operation, items)
            return iter(items)
        self.returned(operation, value)
        return value

    async def _awaited(self, operation: Operation, value: Awaitable[Any]) -> Any:
        try:
            result = await value
        except BaseException as error:
            self._failed(operation, error)
            raise
        self.returned(operation, result)
        return result

    def _failed(self, operation: Operation, error: BaseException) -> None:
        """Cancellations, and what ends a worker, leave it open whether the call took effect."""
        if isinstance(error, (asyncio.CancelledError, KeyboardInterrupt, SystemExit)) or not (
            isinstance(error, Exception)
        ):
            self.cancelled(operation)
        else:
            self.raised(operation, error)

    def watch(self, target: Any) -> Any:
        """Something that is used like ``target`` and records each call of a method, of an operator
        of containers (``x[k]``, ``in``, ``len``, iteration) and of ``with``. Private names and
        attributes that are no methods are those of ``target``."""
        return _watching(type(target))(self, target)

    def clear(self) -> None:
        """Forget all that was recorded."""
        self._line = queue.SimpleQueue()
        self._events = []

    def _put(self, event: tuple[bool, Operation]) -> None:
        """Keep an event. A history that was made before control began goes on with a queue of now:
        under control that is one written in Python, and what makes it is no class."""
        if not isinstance(queue.SimpleQueue, type) and not isinstance(self._line, _PYTHONS):
            self._received()
            self._line = queue.SimpleQueue()
        self._line.put(event)

    def _received(self) -> list[tuple[bool, Operation]]:
        """The events so far."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.append(self._line.get_nowait())
        return self._events

    # --- what was recorded -------------------------------------------------------------------
    @property
    def operations(self) -> list[Operation]:
        """The calls in the order of their beginning, with the places of both of their events."""
        found: list[Operation] = []
        for place, (begins, operation) in enumerate(self._received()):
            if begins:
                operation.start, operation.end = place, None
                found.append(operation)
            else:
                operation.end = place
        return found

    @classmethod
    def of(cls, operations: Iterable[Operation]) -> History:
        """A history of given calls, put in order by their ``start`` and ``end``; of equal ones
        calls come before returns. Raises UsageError where they make no sense."""
        history = cls()
        events: list[tuple[float, bool, int, Operation]] = []
        for number, one in enumerate(map(replace, operations)):  # copies, with their own places
            if one.ending not in ENDINGS:
                raise UsageError(f"{one.call} ends as {one.ending!r}: one of {', '.join(ENDINGS)}")
            if (one.end is None) != (one.ending == PENDING):
                raise UsageError(f"{one.call} is {one.ending} and ends at {one.end}")
            if one.end is not None and one.end < one.start:
                raise UsageError(f"{one.call} ends at {one.end}, before it begins at {one.start}")
            events.append((one.start, False, number, one))
            if one.end is not None:
                events.append((one.end, True, number, one))
        history._events = [(not ends, one) for _, ends, _, one in sorted(events, key=_order)]
        return history

    # --- the question ------------------------------------------------------------------------
    def check(
        self,
        model: Sequential,
        *,
        contract: str | Mapping[str, str] = "linearizable",
        ignore: Iterable[str] = (),
        most: int = 200_000,
        seconds: float | None = 10.0,
    ) -> Linearized:
        """Look for an order of the calls, one after the other, that explains what came back.

        ``model``: what a call comes to when it is made alone; one of
        ``tracelock.history.models``, or ``OfObject(make)``, the object itself. ``contract``: what
        is promised, for all calls or by the name of the method: ``linearizable``, or a weaker word
        of ``tracelock.history.contracts``. ``ignore``: names of fields of results that are not
        compared, wherever they are (hit counts, times). ``most``, ``seconds``: the bound on the
        search, in calls made on the model and in time (None: none); where it is reached the verdict
        is ``unfinished``.

        The verdict is ``linearizable``, ``not linearizable`` or ``unfinished``. Calls that are
        pending or were cancelled may have taken effect or not.

        Raises UsageError for unknown words, and for calls that the model does not know.
        """
        from tracelock.history.checking import check_operations

        return check_operations(self.operations, model, contract, ignore, most, seconds)


def _order(event: tuple[float, bool, int, Operation]) -> tuple[float, bool, int]:
    return event[:3]


def current_worker() -> str:
    """The name of the task that runs, else of the thread."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        task = None
    return task.get_name() if task is not None else threading.current_thread().name


#: Methods that Python finds on the class alone; how each is called on a target.
_OPERATORS: Final = (
    "__getitem__", "__setitem__", "__delitem__", "__len__", "__contains__", "__iter__",
    "__reversed__", "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__bool__",
    "__next__",
)  # fmt: skip
_kinds: dict[type, type] = {}


class RecordingProxy:
    """What ``History.watch`` gives; classes of it have the operators that the target has."""

    __slots__ = ("_history", "_target")

    def __init__(self, history: History, target: Any) -> None:
        object.__setattr__(self, "_history", history)
        object.__setattr__(self, "_target", target)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if name.startswith("_") or not callable(value) or isinstance(value, type):
            return value
        history: History = self._history

        def record(*args: Any, **kwargs: Any) -> Any:
            return history._run(history.begin(name, *args, **kwargs), value, args, kwargs)

        return record

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)

    def __repr__(self) -> str:
        return f"<recorded {self._target!r}>"


def _operator(name: str) -> Any:
    def call(self: RecordingProxy, *args: Any) -> Any:
        history: History = self._history
        function = getattr(type(self._target), name)
        return history._run(history.begin(name, *args), function, chain((self._target,), args), {})

    call.__name__ = name
    return call


def _watching(kind: type) -> type:
    """The class of proxies for targets of a class. ``__bool__`` only where there is one: what has a
    length alone is asked for that."""
    known = _kinds.get(kind)
    if known is None:
        own = {name: _operator(name) for name in _OPERATORS if hasattr(kind, name)}
        known = _kinds[kind] = type("RecordingProxy", (RecordingProxy,), {"__slots__": (), **own})
    return known
