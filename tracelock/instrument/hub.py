"""The hub: which worker has the baton, and the state of one schedule of real Python code.

One thread runs at a time. A worker that comes to a scheduling point asks the controller, which
runs right there, in its thread; if it picks another worker, that is handed the baton directly. The
thread that called ``explore`` (the *main* thread) has the baton before and after a schedule: it
runs ``setup``, lets each worker run up to its first op, and gets the baton back at the end.
"""

from __future__ import annotations

import _thread
import itertools
import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, TypeVar

from tracelock.engine.open import OpenController
from tracelock.errors import InternalError, LimitReached, TracelockError
from tracelock.instrument.account.breakpoints import Onlooker
from tracelock.instrument.contexts import contexts as _contexts
from tracelock.instrument.failures import failure_of
from tracelock.instrument.loops.aim import Aim
from tracelock.instrument.naming import ObjectNames
from tracelock.instrument.wings import Wing, Wings
from tracelock.ops import GET, PUT, ObjectSpec, Op, Value

if TYPE_CHECKING:
    from tracelock.instrument.worker import Worker

_Wing = TypeVar("_Wing", bound=Wing)
new_baton: Final = _thread.allocate_lock
get_ident: Final = _thread.get_ident

#: The context of the worker on each thread that has one, by thread identifier. Code that runs on
#: another thread is not under control: what is patched calls the original there.
contexts: Final[dict[int, Any]] = _contexts
#: What the names of threads may differ in that are numbered as they are created.
DIGITS: Final = re.compile("[0-9]+")
_schedules: Final = itertools.count(1)
#: What follows the name of an object that is left from an earlier schedule.
EARLIER: Final = " of an earlier schedule"
#: How often the code of a worker may catch the end of its schedule.
STUBBORN: Final = 1_000
#: How long a worker may take to unwind, in seconds.
PATIENCE: Final = 1.0
#: The same where another one could not be unwound.
LESS: Final = 0.1


class Phase:
    """What the hub is doing. In ``SETUP`` and ``CHECK`` nothing is chosen and nothing recorded.

    No enumeration: it is asked several times in each step, and that of an ``Enum`` takes longer.
    """

    IDLE: Final = 0
    SETUP: Final = 1
    RUN: Final = 2
    CHECK: Final = 3
    UNWIND: Final = 4


class ScheduleOver(BaseException):
    """Unwinds a worker that is in the middle of its code when its schedule is over."""


class Batons(dict[int, Any]):
    """The batons by number: no dictionary in which locks of the program may be."""

    __slots__ = ("__weakref__",)


class Hub:
    """What the workers of one program share; reused from schedule to schedule.

    ``error``: what ended a schedule that is not the program's fault (a divergence of a replay,
    an error of tracelock's own); raised in the main thread. ``schedule``: the number of the
    current one, which no schedule of another hub has. ``over``: no worker can go on.
    """

    #: The thread of the pool that runs a worker, by its number.
    pool: Callable[[int], Any]
    #: The controlled lock for a real one, which is called ``name``; anything else as it is.
    stand_in: Callable[..., Any]
    controller: OpenController

    def __init__(self, names: ObjectNames) -> None:
        self.names = names
        self.layout = names.layout
        self.phase: int = Phase.IDLE
        self.schedule = 0
        self.main: Any = new_baton()
        self.main.acquire()
        #: The holder, to the models, of a lock that code outside of control holds, for ever then.
        self.outside = self.layout.worker("outside")
        self.expected: tuple[type[BaseException], ...] = ()
        self.listens = False
        self.collections = 0  # garbage collections that a schedule may have
        self.aim = Aim()  # of the cancellations of tasks
        self._marked: list[Any] = []
        #: By who starts them and what they have in common: the names of threads, in order.
        self.numbered: dict[tuple[str, str], list[str]] = {}
        # --- of processes, see ``relay``: ends of channels; children by process number, with
        # their workers; what forked copies of locks are called, in any schedule; how long a
        # process may take to its next op, in seconds
        self.relays: list[Any] = []
        self.pids: dict[int, int] = {}
        self.fork_copies: set[str] = set()
        self.stall = 5.0
        self.wings = Wings()
        self.program: Any = None  # with what it asks of them
        #: What records the calls of this schedule, if it is recorded; asked as one begins.
        self.recorder: Any = None
        self.account: Any = None
        #: Who looks at the schedules as they run.
        self.onlooker = Onlooker()
        #: What has to hold between steps, see ``invariants``; whether there is anything now.
        self.invariants: Any = None
        self.looks = False
        #: Whether a worker has asked how many threads there are: see ``threads.lives``.
        self.counts_threads = False
        # --- of imports by workers, see ``threads.imports``: modules that are there now, and those
        # that another one waited for; those whose import has not ended yet; what puts the locks of
        # new ones under control
        self.imported: set[str] = set()
        self.imports_waited_for: set[str] = set()
        self.new_modules: dict[str, None] = {}
        self.take_in: Callable[[list[str]], None]
        #: What is called for the errors of threads where the program sets nothing else.
        self.thread_hook: Any = None
        #: Of threads: where the interpreter lets others in; what lies between their steps, where
        #: that is asked for (see ``gil``); whether any could not be ended, or was left to itself.
        self.gil: Any = None
        self.gaps: list[Any] | None = None
        self.left_behind = False
        self._clear()

    def let_go(self, given_up: object) -> None:
        """All is over: this may be there until it is collected, its threads and locks need not.
        Unless one was ``given_up``, whose thread may still go on."""
        if given_up is not None:
            return
        self.workers.clear()
        self.batons.clear()
        self.main = None
        if not self.left_behind and self.account is not None:
            self.account.close()  # which a thread that goes on may still be told of calls by

    def _clear(self) -> None:
        """Forget the previous schedule."""
        self.over = False
        #: The tasks of this schedule, if no record is kept of it; see ``loops.unrecorded``.
        self.unrecorded: Any = None
        #: What they touch, where that is collected; see ``loops.footprints``.
        self.collector: Any = None
        if self.gaps is not None:
            self.gaps = []
        self.error: BaseException | None = None
        self.launching: Worker | None = None
        self.to_launch: deque[tuple[Worker, Callable[[], object]]] = deque()
        #: The batons and the workers of this schedule, by number; -1 is the main thread.
        self.batons: dict[int, Any] = Batons({-1: self.main})
        self.workers: dict[int, Worker] = {}
        #: Which object has which name in this schedule.
        self.bound: dict[str, object] = {}
        #: Objects that have a number for a hash in this schedule, by id.
        self.hashed: dict[int, tuple[int, object]] = {}
        #: Functions that the program has registered to be called when its process exits.
        self.at_exit: list[tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]] = []
        self.collected = 0  # garbage collections so far
        self.wings.begin()
        #: What is freed as it ends: locks that were free when it first used them, and threads.
        self.to_free: list[Any] = []
        # --- of processes: the names of objects that they share, and of those that a process has
        # described; what is in queues; how each worker was killed that was; processes whose own
        # worker has ended, and with it all of their threads
        self.interprocess: set[str] = set()
        self.described: set[str] = set()
        self.stores: dict[str, deque[bytes]] = {}
        self.killed: dict[int, str] = {}
        self.gone: set[int] = set()
        #: Loops that the program has started itself, in this schedule.
        self.own_loops: list[Any] = []
        #: The cancellations of this schedule, where it has tasks; the cancel scopes of groups of
        #: tasks of anyio, by identity.
        self.injections: Any = None
        self.group_scopes: dict[int, object] = {}

    # --- one schedule ------------------------------------------------------------------------
    def by_chance(self, what: str) -> None:
        """What comes next depends on this, which no schedule decides: the account says so."""
        if self.account is not None:
            self.account.account.chance.add(what)

    def by_hash(self) -> None:
        """What comes next depends on hashes of text."""
        if self.account is not None:
            self.account.account.hashed.add("text")

    def begin(self, controller: OpenController) -> None:
        """A schedule begins, in the main thread; ``controller.begin`` has been called."""
        self._clear()
        if self.aim.pending and not self.names.deferring:
            self.aim.apply()
        self.controller = controller
        self.schedule = next(_schedules)
        self.recorder = None if self.account is None else self.account.begin()
        if self.invariants is not None:
            self.invariants.begin()
        controller.sync()

    def through(self, schedule: Callable[[Any], None], controller: Any) -> None:
        """Run one schedule; then what it has changed outside of the process is put back."""
        try:
            schedule(controller)
        finally:
            self.wings.ended()

    def wing(self, kind: type[_Wing]) -> _Wing:
        """What this part of the instrumentation keeps here."""
        found = self.known(kind)
        if found is None:
            found = self.wings[kind.key] = kind(self)
        return found

    def known(self, kind: type[_Wing]) -> _Wing | None:
        """The same, None where nobody has asked for it yet."""
        return self.wings.get(kind.key)

    def enter(self, number: int, worker: Worker) -> None:
        """``worker`` is one of this schedule from now on."""
        self.workers[number] = worker
        self.batons[number] = worker.baton

    def hand_over(self, to: int) -> None:
        """Give the baton to a worker, or to the main thread (-1)."""
        baton = self.batons.get(to)
        if baton is None:
            self.error = InternalError(f"worker {to} was picked but is not here")
            baton = self.main
        baton.release()

    def decide(self) -> int:
        """The worker that the controller picks; -1 where the schedule is over or broken."""
        if self.phase is Phase.UNWIND:
            return -1
        if self.error is not None:
            self.over = True
            return -1
        try:
            if self.looks:
                self.invariants.look()
                if self.error is not None:
                    self.over = True
                    return -1
            worker = self.controller.next()
        except BaseException as error:
            self.error = error
            worker = -1
        if worker < 0:
            self.over = True
        return worker

    def launch(self, child: Worker, launcher: Any, run: Callable[[], object]) -> None:
        """``run`` starts the thread of ``child``, which gives the baton back to ``launcher`` when
        it has come to its first op (``launched``)."""
        child.launcher = launcher
        self.enter(child.number, child)
        self.controller.threads = True
        if not child.daemon:
            self.controller.essential.add(child.number)
        self.launching = child
        run()

    def launch_all(self, children: Iterable[tuple[Worker, Callable[[], object]]]) -> None:
        """Start these from the main thread: each starts the next, and the last one decides who
        begins, so that the baton need not come back in between."""
        self.to_launch.extend(children)
        child, run = self.to_launch.popleft()
        self.launch(child, self.main, run)

    def launched(self, launcher: Any) -> int:
        """Called by a worker that has come to its first op. The worker that has the baton now; -2
        where that is another thread's decision."""
        self.launching = None
        if launcher is not self.main or self.phase is not Phase.RUN:
            launcher.release()
            return -2
        if self.to_launch:
            child, run = self.to_launch.popleft()
            self.launch(child, launcher, run)
            return -2
        to = self.decide()
        me = contexts.get(get_ident())
        if me is None or to != me.number:
            self.hand_over(to)
        return to

    def ended(self, worker: Worker) -> None:
        """The code of ``worker`` has ended, by an error if it has one."""
        controller, error = self.controller, worker.error
        if isinstance(error, LimitReached):
            controller.stop(worker.number, error)
        elif self.excuses(error):
            controller.ask(worker.number, None)
        elif isinstance(error, (TracelockError, KeyboardInterrupt)):
            self.error = self.error or error
            controller.ask(worker.number, None)
        else:
            self.onlooker.failing(worker, error)  # type: ignore[arg-type]
            controller.fail(worker.number, failure_of(error))  # type: ignore[arg-type]

    def excuses(self, error: BaseException | None) -> bool:
        """Whether to end by ``error`` is no failure: it is expected, or that of a cancellation
        that came in."""
        if error is None or isinstance(error, (*self.expected, SystemExit)):
            return True
        return self.injections is not None and self.injections.excuses(error)

    def unwind(self) -> list[Worker]:
        """The schedule is over: unwind the workers that are in the middle of their code, one after
        the other. In the main thread. Returns those that cannot be unwound."""
        self.phase = Phase.UNWIND
        if self.controller.gone:
            self.controller.closed = True
        stuck: list[Worker] = []
        for worker in list(self.workers.values()):
            found = contexts.get(worker.ident)
            if worker.own_thread and (found is worker or getattr(found, "host", None) is worker):
                worker.baton.release()
                if not self.main.acquire(timeout=LESS if stuck else PATIENCE):
                    stuck.append(worker)
        if not stuck:
            for lock in self.to_free:
                lock.free()
        self.left_behind = self.left_behind or bool(stuck)
        self.to_free.clear()
        self.phase = Phase.IDLE
        return stuck

    def cut(self, worker: Worker) -> None:
        """The schedule is over, and so is the code of ``worker``. Where that catches it again and
        again, and goes on, it is left to itself: it may wait for something then, or end."""
        if worker.count(ScheduleOver) <= STUBBORN:
            raise ScheduleOver
        worker.uncontrolled += 1
        self.left_behind = True

    def block_loops(self) -> None:
        """Nobody can go on: those that wait for loops of the program's own are shown as such."""
        if self.controller.essential and self.controller.limit is None:
            for loop in self.own_loops:
                loop.blocked()
            self.wings.blocked()

    def abandon_loops(self) -> None:
        """The schedule is over: end the coroutines that are left on such loops."""
        self.phase = Phase.UNWIND
        for loop in self.own_loops:
            loop.abandon()

    def in_order(self, parent: str, pattern: str, number: int, name: str) -> str:
        """What a thread is called that is the ``number``-th of those that ``parent`` starts whose
        names differ by a number alone: as the one that was so in the first schedule."""
        known = self.numbered.setdefault((parent, pattern), [])
        while len(known) < number:
            known.append(name if name not in known else f"{name}'")
        return known[number - 1]

    def named(self, label: str) -> None:
        """In a replay: a thread has this label in the trace."""
        parent, slash, name = label.rpartition("/")
        pattern = DIGITS.sub("#", name)
        if pattern != name and "#" not in name:
            self.numbered.setdefault((parent + slash, pattern), []).append(name)

    # --- objects -----------------------------------------------------------------------------
    @property
    def running(self) -> bool:
        """Whether the workers of a schedule run."""
        return self.phase is Phase.RUN

    @property
    def unwinding(self) -> bool:
        """Whether the schedule is over, and workers in the middle of their code are ended."""
        return self.phase is Phase.UNWIND

    def mark(self, obj: Any, name: str) -> None:
        """Name an object that existed before control began, until control ends."""
        if "_tracelock_name" not in obj.__dict__:
            obj._tracelock_name = name
            self._marked.append(obj)

    def unmark(self) -> None:
        """Control is over: remove our attributes from all objects that ``mark`` gave them to, and
        keep none that has a name."""
        for obj in self._marked:
            for name in ("_tracelock_name", "_tracelock_bound", "_tracelock_number"):
                obj.__dict__.pop(name, None)
        self._marked.clear()
        self.bound = {}

    def bind(self, obj: object, name: str, born: int = 0) -> str:
        """The name of ``obj`` in this schedule: ``name``, unless another object has it.

        ``born``: the schedule that created it, 0 for none. An object left from an earlier schedule
        takes no name from one that this schedule creates.
        """
        if born and born != self.schedule:
            name += EARLIER
        while self.bound.setdefault(name, obj) is not obj:
            name += "'"
        return name

    def number_for(self, spec: ObjectSpec) -> int:
        """The number of the object of this specification, which gets a model where it is new."""
        layout = self.layout
        number = layout.number_of(spec.name)
        if number is None:
            number = layout.add(spec)
            self.controller.sync()
        elif (known := layout.objects[number]) is not spec and known != spec:
            layout.objects[number] = spec
            self.controller.remake(number)
        return number

    def exchanged(self, op: Op, result: Value, data: Any) -> Any:
        """Move an item of a queue between processes, after its put or get: the item that a get
        has got, or how many there are; None for any other object."""
        store = self.stores.get(self.layout.names[op.target])
        if store is None:
            return None
        if op.kind == PUT:
            if result is True:
                store.append(data)
            return None
        if op.kind == GET:
            return store.popleft() if result is None else None
        return len(store)
