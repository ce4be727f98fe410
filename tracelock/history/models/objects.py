"""The object itself, run sequentially, as its own model."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Final

from tracelock.errors import UsageError
from tracelock.history.models.base import WAITS, CallResult, RaisedError, Sequential
from tracelock.history.operations import Operation
from tracelock.history.values import freeze, snapshot

#: Seconds after which a call that has not returned waits for another one.
PATIENCE: Final = 2.0
#: Sequences of calls whose end is kept.
_KEPT: Final = 20_000


class OfObject(Sequential):
    """What a class does when its calls are made one after the other, by making them.

    ``make()`` gives a new object in the state in which the history begins. A state is the sequence
    of calls that lead there, and each is reached by making them again, so that they have to depend
    on nothing else: no time, no chance. ``state(object)``, if given, tells the states apart by a
    value; then the calls that lead to equal states are searched once, and ``dirty-read`` knows
    which calls change something (else those not named in ``reads`` do). ``patience``: seconds after
    which a call that has not returned is one that waits for another call; its thread is left
    behind. An object in a result that has no equality of its own is compared by its class.

    Coroutine functions are not run: use a model for those.
    """

    slow: ClassVar[bool] = True

    def __init__(
        self, make: Callable[[], Any], *, state: Callable[[Any], Any] | None = None,
        reads: Iterable[str] = (), patience: float = PATIENCE,
    ) -> None:  # fmt: skip
        if not callable(make):
            raise UsageError(f"make is a function that gives a new object, not {make!r}")
        self.make, self.state, self.patience = make, state, patience
        self.reads = frozenset(reads)
        self._ends: dict[tuple[Operation, ...], CallResult | None] = {}

    def initial(self) -> Any:
        return _Sequence((), self._value(self.make()) if self.state else None)

    def known(self, operation: Operation) -> None:
        return  # whatever the object answers is the answer

    def differ(self, before: Any, after: Any) -> bool:
        if self.state is not None:
            return bool(before.value != after.value)
        return not (after.calls and after.calls[-1].name in self.reads)

    def apply(self, state: Any, operation: Operation) -> Sequence[CallResult]:
        calls = (*state.calls, operation)
        if calls not in self._ends:
            if len(self._ends) >= _KEPT:
                self._ends.clear()
            self._ends[calls] = self._run(calls)
        end = self._ends[calls]
        return WAITS if end is None else (end,)

    def comparable(self, value: Any, ignore: frozenset[str]) -> Any:
        return freeze(value, ignore, by_class=True)

    def _value(self, target: Any) -> Any:
        assert self.state is not None
        return freeze(self.state(target))

    def _run(self, calls: tuple[Operation, ...]) -> CallResult | None:
        """The end of a sequence of calls, in a thread that is left behind where one waits."""
        done: SimpleQueue[tuple[str, Any]] = SimpleQueue()

        def run() -> None:
            try:
                target = self.make()
                for one in calls:
                    result = _call(target, one)
                    done.put(("call", None))
                value = self._value(target) if self.state else None
                done.put(("end", CallResult(result, _Sequence(calls, value))))
            except BaseException as error:
                done.put(("error", error))

        threading.Thread(target=run, daemon=True, name="a sequential run").start()
        while True:
            try:
                kind, what = done.get(timeout=self.patience)
            except Empty:
                return None
            if kind == "end":
                assert isinstance(what, CallResult)
                return what
            if kind == "error":
                raise what


class _Sequence:
    """A state: calls, and the value that tells states apart, if there is one."""

    __slots__ = ("calls", "value")

    def __init__(self, calls: tuple[Operation, ...], value: Any) -> None:
        self.calls, self.value = calls, value

    def _same(self) -> Any:
        return self.calls if self.value is None else self.value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Sequence) and bool(self._same() == other._same())

    def __hash__(self) -> int:
        return hash(self._same())


def _call(target: Any, operation: Operation) -> Any:
    try:
        value = getattr(target, operation.name)(*operation.args, **operation.kwargs)
    except Exception as error:
        return RaisedError(type(error).__name__)
    if inspect.iscoroutine(value):
        value.close()
        raise UsageError(
            f"{operation.call} is a coroutine: the object itself is no model of those; give a "
            "model of tracelock.history.models"
        )
    if isinstance(value, Iterator):
        try:
            value = list(value)
        except Exception as error:
            return RaisedError(type(error).__name__)
    return snapshot(value)
