"""The contract of a scheduler: it decides, and does nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from tracelock.ops import Layout, Op, Value

if TYPE_CHECKING:
    from tracelock.objects import Model, Rules

#: What a choice is about.
WORKER: Final = "worker"  # which worker goes next; options are worker numbers
WAITER: Final = "waiter"  # which waiter a notify wakes; options are worker numbers
INJECT: Final = "inject"  # whether a collection, or a cancellation, comes in here (1) or not (0)
TIMER: Final = "timer"  # whether a pending timer fires now (1) or the op goes on (0)


class Choice:
    """One point at which the run could go on in more than one way.

    ``options``: what may be picked, in a fixed order, never empty. ``current``: the worker that
    made the last step (-1 at the start), ``seq``: the number of events so far. ``pending``: for
    each worker the op it has asked for (None: ended or not started). ``at``: of a timer, the
    path of the step or ``timeout`` block whose it is. ``about``: of a cancellation, whom it
    would reach (``worker`` is whose step it comes after). The object is reused from
    one point to the next: do not keep it.
    """

    __slots__ = ("about", "at", "current", "kind", "options", "pending", "seq", "worker")

    def __init__(self) -> None:
        self.kind = WORKER
        self.options: Sequence[int] = ()
        self.current = -1
        self.worker = -1  # whose timer, or who notifies
        self.about = -1
        self.at = ""
        self.seq = 0
        self.pending: Sequence[Op | None] = ()


class Run(Protocol):
    """What a scheduler may read of the run that it decides for; see ``Scheduler.attach``.

    ``log``: the events so far, each (worker, kind, op, result, options, virtual seconds).
    ``waiting``: per worker, whether its pending op is parked. ``fired``: whether a timer made the
    last event, ``forced``: that it did because nothing else could happen. ``limit``: what cut the
    schedule short, if anything did.
    """

    @property
    def layout(self) -> Layout: ...
    @property
    def rules(self) -> Rules: ...
    @property
    def models(self) -> Sequence[Model | None]: ...
    @property
    def adversarial(self) -> bool: ...
    @property
    def log(self) -> Sequence[tuple[int, int, Op, Value, Sequence[int] | None, float]]: ...
    @property
    def pending(self) -> Sequence[Op | None]: ...
    @property
    def waiting(self) -> Sequence[bool]: ...
    @property
    def active(self) -> Sequence[int]: ...
    @property
    def ended(self) -> Sequence[bool]: ...
    @property
    def fired(self) -> bool: ...
    @property
    def forced(self) -> bool: ...
    @property
    def limit(self) -> str | None: ...


class Scheduler:
    """A strategy. One object serves many schedules, one after the other."""

    def attach(self, run: Run) -> None:
        """Called once, before the first schedule, with the run that will ask. For strategies
        that look at more than the choice; wrappers hand it on."""

    def begin(self) -> bool:
        """A schedule begins. False: there is nothing left to try."""
        return True

    def pick(self, choice: Choice) -> int:
        """One of ``choice.options``. Called at every scheduling point, a single option too."""
        raise NotImplementedError

    def end(self, steps: int) -> None:
        """The schedule ended after ``steps`` events."""

    def describe(self) -> dict[str, Any]:
        """Name, seed and parameters, as the trace keeps them."""
        raise NotImplementedError
