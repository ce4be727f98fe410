"""One call of a history: who called what, what came back, and when, by the order of the events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from tracelock.history.values import told

#: How a call ended: ``PENDING`` has not.
RETURNED: Final = "returned"
RAISED: Final = "raised"
CANCELLED: Final = "cancelled"
PENDING: Final = "pending"
ENDINGS: Final = (RETURNED, RAISED, CANCELLED, PENDING)


@dataclass(slots=True, eq=False)
class Operation:
    """One call.

    ``worker``: who made it, any text. ``name``: of the method; ``args``, ``kwargs``: what it was
    given. ``ending``: ``returned`` (``value`` is what), ``raised`` (``value`` is the exception, or
    the name of its type), ``cancelled``, or ``pending`` where it has not ended. ``start``, ``end``:
    the places of the call and of the return among all events of the history; a call whose end is
    before the start of another one came before it. ``end`` of a pending call is None.
    """

    worker: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    ending: str = PENDING
    value: Any = None
    start: int = 0
    end: int | None = None

    @property
    def error(self) -> str:
        """The name of the type of what was raised."""
        if isinstance(self.value, BaseException):
            return type(self.value).__name__
        if isinstance(self.value, type):
            return self.value.__name__
        return str(self.value)

    @property
    def call(self) -> str:
        """``put('a', timeout=1)``."""
        given = [told(one) for one in self.args]
        given += [f"{name}={told(one)}" for name, one in self.kwargs.items()]
        return f"{self.name}({', '.join(given)})"

    def __str__(self) -> str:
        if self.ending == RETURNED:
            return self.call if self.value is None else f"{self.call} -> {told(self.value)}"
        if self.ending == RAISED:
            return f"{self.call} raises {self.error}"
        return f"{self.call} {'is cancelled' if self.ending == CANCELLED else 'never returns'}"
