"""Who looks at the objects of the program while an invariant is evaluated: no worker of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from tracelock.errors import UsageError
from tracelock.instrument.hub import Hub
from tracelock.instrument.naming import Variable
from tracelock.instrument.steps import PLAIN
from tracelock.instrument.worker import Worker
from tracelock.ops import READ, Op, Value

#: What the account calls it, as a user of what it reads.
INVARIANTS: Final = "invariants"


class InvariantReader(Worker):
    """Stands for the thread on which an invariant is evaluated. What that reads is noted, and is no
    step; what it would change is refused.

    ``reads``: numbers of what the invariant has read that is shared; ``names``: the same by name.
    """

    __slots__ = ("names", "reads")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, hub.layout.worker(INVARIANTS))
        self.own_thread = False
        self.reads: set[int] = set()
        self.names: dict[str, None] = {}

    # --- reading -----------------------------------------------------------------------------
    def _reads(self, obj: object, name: str | None) -> Variable:
        names = self.hub.names
        variable = names.variable(obj, name, self)
        if variable.shared:
            self.reads.add(variable.number)
            self.names[variable.name] = None
        else:
            names.used(variable, self.number, READ)
        return variable

    def access(
        self, kind: int, obj: object, name: str | None, site: Any, value: object = None,
        also: Sequence[tuple[object, str | None]] = (),
    ) -> None:  # fmt: skip
        self.last = None
        if self.uncontrolled:
            return
        if kind == READ:
            self.last = self._reads(obj, name)
            self.answered = False
        else:
            self._changes(obj, site.at)
            for part in value if type(value) is tuple else (value,):
                if type(part) not in PLAIN and self.hub.names.knows(part):
                    self._reads(part, None)
        for other, part_name in also:
            self._reads(other, part_name)

    def saw(self, value: object) -> None:
        if self.last is not None and not self.answered:
            self.answered = True
            if type(value) not in PLAIN:
                self.hub.names.name_contents(self.last, value, self)

    def together(
        self, reads: Iterable[tuple[object, str | None]],
        writes: Iterable[tuple[object, str | None]], site: Any,
    ) -> None:  # fmt: skip
        if not self.uncontrolled:
            for obj, _ in writes:
                self._changes(obj, site.at)
            for obj, name in reads:
                self._reads(obj, name)

    def unsure(self, parts: Iterable[tuple[object, str | None]], what: str, why: str) -> None:
        super().unsure(parts, what, why)
        for obj, name in parts:
            self._reads(obj, name)

    def everything(self, obj: object, what: str, site: Any) -> tuple[object, str]:
        self.whole(obj, what, site)
        return super().everything(obj, what, site)

    def whole(self, obj: object, what: str, site: Any) -> None:
        self.hub.names.whole = True
        self._reads(*super().everything(obj, what, site))
        self.doubt(f"{what} at {site.at}", "an invariant reads all attributes of an object at once")

    def look(self, reference: Any, site: Any) -> None:
        self.last = None
        self.doubt(f"a weak reference at {site.at}", "an invariant asks when an object dies")

    def shares(self, objects: Iterable[object]) -> bool:
        for obj in objects:
            self._changes(obj, "")
        return False

    # --- what it must not do -----------------------------------------------------------------
    def _changes(self, obj: object, at: str) -> None:
        """Raises UsageError where ``obj`` is one of the program's, and not the invariant's own."""
        if not self.uncontrolled and self.hub.names.knows(obj):
            where = f" at {at}" if at else ""
            self._refuse(f"it changes a {type(obj).__name__} of the program{where}")

    def _refuse(self, what: str) -> None:
        error = UsageError(f"an invariant only looks, and is no step of the program: {what}")
        self.hub.error = self.hub.error or error
        raise error

    def step(self, op: Op, parked: Callable[[], None] | None = None) -> Value:
        if op.kind != READ:
            self._refuse(f"at {op.at} it does what only a worker may do ({op!r})")
        if op.target >= 0:
            self.reads.add(op.target)
            self.names[self.hub.layout.names[op.target]] = None
        return self.hub.controller.values[op.target]

    def record(self, value: Value) -> None:
        """Nothing is."""

    def collect(self, at: str) -> None:
        """Nothing is."""

    def used_by_name(self, label: str, kind: int) -> None:
        self.doubt(label, "an invariant looks at it, and is not evaluated when it changes")

    def launch(self, child: Worker, start: Callable[[], object]) -> None:
        self._refuse("it starts a thread, task or process")
