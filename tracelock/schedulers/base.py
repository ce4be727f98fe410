"""The contract of a scheduler: it decides, and does nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, Protocol

from tracelock.ops import SLEEP, Layout, Op, Value

if TYPE_CHECKING:
    from tracelock.objects import Model, Rules
    from tracelock.schedulers.pct import Drawn

#: What a choice is about.
WORKER: Final = "worker"  # which worker goes next; options are worker numbers
WAITER: Final = "waiter"  # which waiter a notify wakes; options are worker numbers
INJECT: Final = "inject"  # whether a collection, or a cancellation, comes in here (1) or not (0)
OPTION: Final = "option"  # which value the program gets; options are numbers of values
TIMER: Final = "timer"  # whether a pending timer fires now (1) or the op goes on (0)

#: One event, as the hot path keeps it: worker, kind, op, result, the options there were (None:
#: no choice was made), virtual seconds.
Entry = tuple[int, int, Op, Value, Sequence[int] | None, float]
#: The limit of a run that Ctrl-C has cut short.
INTERRUPTED: Final = "interrupted"
#: A place behind all others in the line of a loop.
LAST: Final = 1 << 62


@dataclass(slots=True, eq=False)
class Choice:
    """One point at which the run could go on in more than one way.

    ``options``: what may be picked, in a fixed order, never empty. ``current``: the worker that
    made the last step (-1 at the start), ``seq``: the number of events so far. ``pending``: for
    each worker the op it has asked for (None: ended or not started). ``at``: of a timer, the
    path of the step or ``timeout`` block whose it is. ``about``: of a cancellation, whom it
    would reach (``worker`` is whose step it comes after), and ``way`` the thing that is cancelled
    or runs out, -1 for the task itself. The object is reused from
    one point to the next: do not keep it.
    """

    kind: str = WORKER
    options: Sequence[int] = ()
    current: int = -1
    worker: int = -1  # whose timer, or who notifies
    about: int = -1
    way: int = -1
    at: str = ""
    seq: int = 0
    pending: Sequence[Op | None] = ()


@dataclass(slots=True, eq=False)
class Gate:
    """Which of the tasks that share one thread can go on.

    ``number``: of the loop, a thing in the layout. ``inside``: the one whose code runs, which
    shuts out the others until it is suspended; -1: none. ``ready``: the place in the line of each
    that could be next; ``first``: the place of the first one that lets nobody pass. ``timers``,
    ``callbacks``: the pseudo-workers whose steps are that timers fire, and what is no task's step.
    ``void``: that the next of ``callbacks`` would have done nothing at any time since it came.
    """

    number: int
    inside: int = -1
    ready: dict[int, int] = field(default_factory=dict)
    first: int = LAST
    timers: int = -1
    callbacks: int = -1
    void: bool = False

    def admits(self, worker: int) -> bool:
        """Whether ``worker`` can go on now."""
        if self.inside >= 0:
            return worker == self.inside
        place = self.ready.get(worker)
        return place is not None and place <= self.first


class Run(Protocol):
    """What a scheduler may read of the run that it decides for; see ``Scheduler.attach``.

    ``log``: the events so far.
    ``waiting``: per worker, whether its pending op is parked. ``fired``: whether a timer made the
    last event, ``forced``: that it did because nothing else could happen. ``limit``: what cut the
    schedule short, if anything did (``INTERRUPTED``: Ctrl-C). ``loops``: of workers that are tasks
    of real code, the gate of their loop. ``shut_out``: what those would have done next whose loop,
    or the schedule, has ended before that. ``goes_on``: the number of the event that has to be of
    the worker that made the last one, if that can go on; -1 where anybody's may be the next.
    ``prelude``: so many events came before any worker began: what ``setup`` of real code chose.
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
    def log(self) -> Sequence[Entry]: ...
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
    @property
    def loops(self) -> Mapping[int, Gate]: ...
    @property
    def shut_out(self) -> Mapping[int, Op]: ...
    @property
    def goes_on(self) -> int: ...
    @property
    def prelude(self) -> int: ...
    @property
    def steps(self) -> Sequence[Any] | None: ...


def _of_inner(name: str) -> Any:
    """An attribute of a wrapper that is always that of what it wraps."""
    return property(attrgetter(f"inner.{name}"))


class Scheduler:
    """A strategy: everything that the rest of tracelock asks of one is declared here.

    One object serves many schedules of one program, one after the other, in this rhythm::

        attach(run)                   # once
        while begin():
            pick(choice)              # at each scheduling point, any number of times
            end(steps)

    Its picks may depend on its seed, on what it is shown, and on nothing else (no clock, no hash,
    no ``random`` of the process), so that the same seed gives the same schedules. A subclass has
    ``pick`` and a ``name``, or ``describe``; a systematic one sets the attributes below as well.
    To see whether one keeps to all this, give it to :func:`tracelock.testing.check_scheduler`.
    """

    #: What ``describe`` says unless there is more to say.
    name: str = ""
    #: Tries everything, in an order of its own: it needs a program that depends on the schedule
    #: alone, and nobody may make choices in its place.
    systematic: bool = False
    #: It goes by what the steps of tasks touch (``Run.steps``), where that can be known.
    by_steps: bool = False
    #: The schedule that has just ended only repeats others: it does not count.
    cut: bool = False
    #: So many schedules were like that.
    redundant: int = 0
    #: So many schedules of a systematic strategy were made that do count.
    executions: int = 0
    #: So many of these were ended by a limit of the run (``Run.limit``): what would have come
    #: after it was not tried.
    bounded: int = 0
    #: It keeps lists by worker, so that no more of them may come in a schedule than there were
    #: places for when it was made.
    sized: bool = True
    #: Everything was tried that there is for the strategy; ``begin`` returns False from then on.
    finished: bool = False

    @property
    def exhaustive(self) -> bool:
        """Whether nothing is left to try, under the strategy's own terms."""
        return self.finished and not self.bounded

    def attach(self, run: Run) -> None:
        """Called once, before the first schedule, with the run that will ask. For strategies
        that look at more than the choice; wrappers hand it on."""

    def begin(self) -> bool:
        """A schedule begins. False: there is nothing left to try."""
        return True

    def pick(self, choice: Choice) -> int:
        """One of ``choice.options``. Called at every scheduling point, a single option too."""
        raise NotImplementedError

    def taking(self) -> tuple[Callable[[Choice], int], list[int]]:
        """What picks, for who keeps a list of it, and that list."""
        return self.pick, []

    def end(self, steps: int) -> None:
        """The schedule ended after ``steps`` events."""

    def estimate(self) -> float | None:
        """How much of everything has been tried, from 0 to 1; None: that cannot be said."""
        return None

    def drawn(self) -> Drawn | None:
        """What its schedules were drawn for, where that guarantees a chance to find bugs."""
        return None

    def describe(self) -> dict[str, Any]:
        """``name``, ``seed`` if it has one, and parameters, as JSON: the trace keeps them."""
        if not self.name:
            raise NotImplementedError
        return {"name": self.name}


class OneSchedule(Scheduler):
    """One that decides for a single schedule."""

    _begun = False

    def begin(self) -> bool:
        begun, self._begun = self._begun, True
        return not begun


class Wrapper(Scheduler):
    """Any scheduler, with something added: all that it does not override is that of ``inner``."""

    def __init__(self, inner: Scheduler) -> None:
        self.inner = inner

    systematic = _of_inner("systematic")
    by_steps = _of_inner("by_steps")
    cut = _of_inner("cut")
    redundant = _of_inner("redundant")
    executions = _of_inner("executions")
    bounded = _of_inner("bounded")
    finished = _of_inner("finished")
    sized = _of_inner("sized")
    exhaustive = _of_inner("exhaustive")
    attach = _of_inner("attach")
    begin = _of_inner("begin")
    pick = _of_inner("pick")
    end = _of_inner("end")
    estimate = _of_inner("estimate")
    drawn = _of_inner("drawn")
    describe = _of_inner("describe")


def busy(choice: Choice) -> int:
    """The first that does not only let time pass: a loop's timers may do that for ever."""
    for worker in choice.options:
        if choice.pending[worker].kind != SLEEP:  # type: ignore[union-attr]
            return worker
    return choice.options[0]
