"""Workers' processes that go on to the next schedule: they do what forked ones would do."""

from __future__ import annotations

import contextlib
import contextvars
import decimal
import gc
import multiprocessing as mp
import os
import random
import signal
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from tracelock.engine.limits import RunLimits
from tracelock.instrument.processes import team
from tracelock.instrument.processes.backend import ProcessBackend
from tracelock.session import api
from tracelock.session.explored import Explored
from tracelock.session.exploring import Exploration

pytestmark = pytest.mark.skipif(
    not os.path.isdir("/proc/self/fd"),
    reason="where they can, processes go on to the next schedule",
)
State = SimpleNamespace
limits = RunLimits(steps=2_000, stall=10.0)
Logs = list[tuple[bool, list[Any]]]


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    def there() -> tuple[Any, ...]:
        gc.collect()
        found = []
        for name in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # that of the list itself
                found.append(os.readlink(f"/proc/self/fd/{name}"))
        memory = Path("/proc/self/maps").read_text().count("/dev/shm/sem.mp-")
        arenas = ("pym-", "/proc/")  # of multiprocessing, which keeps them
        return sorted(one for one in found if not any(map(one.count, arenas))), memory

    def children() -> set[str]:
        found = set()
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                if int(status.read_text().rpartition(")")[2].split()[1]) == os.getpid():
                    found.add(status.parent.name)
        return found

    before, threads, processes = there(), threading.active_count(), children()
    yield
    # others that were there before may go: tests of other files have left them
    files, memory = there()
    assert not Counter(files) - Counter(before[0]) and memory <= before[1]
    assert threading.active_count() == threads
    assert children() <= processes, "dead ones that nobody has waited for included"


@pytest.fixture
def logs(monkeypatch: pytest.MonkeyPatch) -> Logs:
    """Of each schedule: whether it was run by processes that had stayed, and its steps."""
    found: Logs = []
    # how many probes an estimate makes depends on the clock
    monkeypatch.setattr(Exploration, "estimate", lambda self, found: None)
    plain = ProcessBackend._schedule
    look = team.Team.look
    ready = [False]

    def looking(self: Any, state: object) -> Any:
        result = look(self, state)
        ready[0] = self.ready
        return result

    def schedule(self: Any, controller: Any) -> None:
        ready[0] = False
        plain(self, controller)
        names = self.hub.layout.names
        steps = [
            (entry[0], entry[1], entry[2].target >= 0 and names[entry[2].target], entry[2].at,
             repr(entry[2].value), repr(entry[3]), entry[4], entry[5])
            for entry in controller.log
        ]  # fmt: skip
        found.append((ready[0], steps))

    monkeypatch.setattr(team.Team, "look", looking)
    monkeypatch.setattr(ProcessBackend, "_schedule", schedule)
    return found


def explore(*workers: Callable[..., Any], **more: Any) -> Explored:
    more = {"strategy": "random", "backend": "multiprocessing", "instrument": [], "seconds": None,
            "schedules": 12, "limits": limits, "confirm": 1, "shrink": False, **more}  # fmt: skip
    return api.explore(workers=workers, **more)


def stayed(logs: Logs) -> int:
    return sum(1 for staying, _ in logs if staying)


# --- the same as with processes that are forked for each -----------------------------------------
class Account:
    def __init__(self) -> None:
        self.log: list[Any] = []
        self.names = {"a": 1}


def everything() -> State:
    return State(
        lock=mp.Lock(), rlock=mp.RLock(), two=mp.Semaphore(2), event=mp.Event(),
        condition=mp.Condition(), raw=mp.RawValue("i", 3), n=mp.Value("i", 0), queue=mp.Queue(),
        simple=mp.SimpleQueue(), array=mp.Array("i", [1, 2, 3]), own=Account(), plain=[1, (2, {3})],
    )  # fmt: skip


def locked(s: State) -> None:
    with s.lock, s.rlock:
        s.raw.value += 1
    s.own.log.append(s.raw.value)
    assert len(s.own.log) == 1 and len(s.own.names) == 1, "it is that of another schedule"
    s.own.names["b"] = 2
    s.plain.clear()


def counted(s: State) -> None:
    with s.two:
        s.array[1] += 1
        s.n.value += 1


def sets(s: State) -> None:
    s.raw.value = 7
    s.event.set()


def waits(s: State) -> None:
    s.event.wait()
    assert s.raw.value >= 7


def puts(s: State) -> None:
    s.queue.put({"a": [1]})
    s.simple.put(2)


def gets(s: State) -> None:
    assert s.queue.get() == {"a": [1]}
    assert s.simple.get() == 2


def signals(s: State) -> None:
    with s.condition:
        s.raw.value = 9
        s.condition.notify()


def awaits(s: State) -> None:
    with s.condition:
        while s.raw.value != 9:
            s.condition.wait()


def unlocked(s: State) -> None:
    s.raw.value += 1


PAIRS: dict[str, tuple[list[Callable[..., Any]], Any]] = {
    "locks": ([locked, locked], lambda s: s.raw.value == 5),
    "semaphores": ([counted, counted, counted], None),
    "events": ([sets, waits], None),
    "queues": ([puts, gets], lambda s: s.queue.empty()),
    "conditions": ([awaits, signals], None),
    "unlocked": ([unlocked, unlocked], lambda s: s.raw.value == 5),
}


@pytest.mark.parametrize("strategy", ["random", "dpor"])
@pytest.mark.parametrize("name", PAIRS)
def test_the_same_steps_as_by_processes_that_are_forked_for_each(
    name: str, strategy: str, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, check = PAIRS[name]
    options = {"setup": everything, "check": check, "strategy": strategy, "seed": 3}
    kept = explore(*workers, **options)
    with_staying = [steps for _, steps in logs]
    assert stayed(logs) or kept.failed or len(logs) < 8
    logs.clear()
    monkeypatch.setattr(team, "TRIES", 0)
    fresh = explore(*workers, **options)
    assert not stayed(logs)
    assert with_staying == [steps for _, steps in logs]
    assert (kept.summary, kept.verdict, kept.schedules) == (
        fresh.summary, fresh.verdict, fresh.schedules,
    )  # fmt: skip


# --- what a process would keep --------------------------------------------------------------------
SEEN: list[int] = []
COUNTS = {"calls": 0}
VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE", default=0)
LOCAL = threading.local()
ERRORS = os.fstat(2).st_ino
PRIORITY = os.getpriority(os.PRIO_PROCESS, 0)
number = 0


class Registry:
    instances: ClassVar[list[int]] = []
    last = 0


def names_a_global() -> None:
    global number
    assert not SEEN and not COUNTS["calls"] and not number, "left from another schedule"
    SEEN.append(1)
    COUNTS["calls"] += 1
    number = 7


def changes_a_class() -> None:
    assert not Registry.instances and not Registry.last
    Registry.instances.append(1)
    Registry.last = 3


def changes_its_context() -> None:
    assert VARIABLE.get() == 0
    VARIABLE.set(1)
    assert decimal.getcontext().prec == 28
    decimal.getcontext().prec = 5


def changes_what_its_context_has() -> None:
    default, was_set = (globals()[name].get() for name in ("DEFAULT", "WAS_SET"))
    assert not default.log and not was_set.log, "left from another schedule"
    default.log.append(1)
    was_set.log.append(1)


def changes_a_local() -> None:
    assert not hasattr(LOCAL, "value")
    LOCAL.value = 1


def changes_the_environment() -> None:
    assert "TRACELOCK_STAYED" not in os.environ
    os.environ["TRACELOCK_STAYED"] = "1"


def changes_a_handler() -> None:
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)


def changes_the_mask() -> None:
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})


def leaves_a_descriptor() -> None:
    assert not os.path.exists("/proc/self/fd/900")
    os.dup2(0, 900)


def replaces_a_function() -> None:
    import time

    assert time.gmtime is GMTIME and textwrap.dedent is not print
    time.gmtime = textwrap.dedent = print  # type: ignore[assignment]


def names_its_process() -> None:
    assert mp.current_process().name != "other"
    mp.current_process().name = threading.current_thread().name = "other"


def registers_a_class() -> None:
    assert not issubclass(Registry, Iterator)
    Iterator.register(Registry)


GMTIME = time.gmtime


def turns_its_output_aside() -> None:
    before = os.fstat(0)
    assert os.fstat(2).st_ino == ERRORS
    os.dup2(os.pipe()[1] if before.st_ino == ERRORS else 0, 2)


def leaves_its_priority() -> None:
    assert os.getpriority(os.PRIO_PROCESS, 0) == PRIORITY
    os.nice(1)


def leaves_a_thread() -> None:
    assert threading.active_count() == 1
    threading.Thread(target=threading.Event().wait, daemon=True).start()


def turns_collections_on() -> None:
    assert not gc.isenabled()
    gc.enable()


def draws() -> None:
    first = random.random()
    assert DRAWN.setdefault(mp.current_process().name, first) == first
    assert not list(DRAWN)[1:]


DRAWN: dict[str, float] = {}
LEFT = [
    names_a_global, changes_a_class, changes_its_context, changes_what_its_context_has,
    changes_a_local, changes_the_environment,
    changes_a_handler, changes_the_mask, leaves_a_descriptor, leaves_its_priority, leaves_a_thread,
    turns_collections_on, draws, turns_its_output_aside,
    replaces_a_function, names_its_process, registers_a_class,
]  # fmt: skip


@pytest.mark.parametrize("leaves", LEFT)
def test_nothing_is_left_for_the_next_schedule(
    leaves: Callable[[], None], logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    if leaves is changes_what_its_context_has:
        names = globals()
        default = Account()
        variables = [contextvars.ContextVar("D", default=default), contextvars.ContextVar("S")]
        monkeypatch.setitem(names, "DEFAULT", variables[0])
        monkeypatch.setitem(names, "WAS_SET", variables[1])
        token = variables[1].set(Account())

    def work(s: State) -> None:
        leaves()
        with s.lock:
            s.raw.value += 1

    found = explore(work, work, setup=everything, check=lambda s: s.raw.value == 5)
    assert found.verdict == "passed", found.summary
    if leaves is changes_what_its_context_has:
        variables[1].reset(token)
    if leaves in (names_a_global, changes_a_class):
        assert stayed(logs) >= 2, "what these change is put back"


# --- what setup makes -----------------------------------------------------------------------------
made = 0


def test_what_setup_makes_is_what_workers_have(logs: Logs) -> None:
    """Where it differs from schedule to schedule, in its parts or elsewhere."""

    def elsewhere() -> State:
        global made
        made += 1
        return State(n=mp.RawValue("i", made), lock=mp.Lock())

    def sees(s: State) -> None:
        with s.lock:
            assert s.n.value == made

    assert explore(sees, sees, setup=elsewhere).verdict == "passed"
    assert not stayed(logs)
    logs.clear()
    turn = 0

    def differs() -> State:
        nonlocal turn
        turn += 1
        return State(n=mp.RawValue("i", turn % 3), lock=mp.Lock(), plain=[turn % 3])

    def compares(s: State) -> None:
        with s.lock:
            assert [s.n.value] == s.plain

    assert explore(compares, compares, setup=differs, schedules=8).verdict == "passed"
    assert not stayed(logs)


def test_shared_memory_and_semaphores_begin_as_setup_leaves_them(logs: Logs) -> None:
    values = iter(range(1_000))

    def setup() -> State:
        s = State(n=mp.RawValue("i", next(values)), seen=mp.RawArray("i", 2), two=mp.Semaphore(2))
        if s.n.value % 2:
            s.two.acquire()
        return s

    def work(s: State) -> None:
        s.two.acquire(block=False)
        s.seen[0] += s.n.value
        s.seen[1] += 1

    def check(s: State) -> bool:
        assert s.seen[1] <= 2
        return bool(s.two.get_value() == 0 or s.n.value % 2 == 0)

    found = explore(work, setup=setup, check=check)
    assert found.verdict == "passed", found.summary


@pytest.mark.parametrize(
    "part",
    [partial(open, os.devnull), lambda: lambda: 1, os.pipe, threading.local, lambda: iter([1])],
    ids=["file", "lambda", "pipe", "local", "iterator"],
)
def test_what_has_no_likeness_is_inherited(part: Callable[[], Any], logs: Logs) -> None:
    made: list[Any] = []

    def setup() -> State:
        return State(lock=mp.Lock(), n=mp.RawValue("i", 0), part=part())

    def work(s: State) -> None:
        with s.lock:
            s.n.value += 1

    def tidy(s: State) -> None:
        if isinstance(s.part, tuple):
            for one in s.part:
                os.close(one)
        elif hasattr(s.part, "close"):
            s.part.close()

    found = explore(work, work, setup=setup, check=tidy, schedules=6)
    assert found.verdict == "passed", found.summary
    assert not stayed(logs) and not made


# --- how they end ---------------------------------------------------------------------------------
@pytest.mark.parametrize("when", ["waiting", "working"])
def test_one_that_is_killed_from_outside_is_noticed(
    when: str, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it waits for the next schedule, others are forked; in the middle of a step the search
    ends, and says so."""
    look, grant = team.Team.look, team.Relay.grant
    killed = []

    def before(self: Any, state: object) -> Any:
        if when == "waiting" and len(self.relays) == 2 and not killed:
            killed.append(self.relays[1].pid)
            os.kill(killed[0], signal.SIGKILL)
            os.waitid(os.P_PID, killed[0], os.WEXITED | os.WNOWAIT)
        return look(self, state)

    def granting(self: Any) -> None:
        if when == "working" and len(logs) > 8 and not killed:
            killed.append(self.pid)
            os.kill(self.pid, signal.SIGKILL)
        grant(self)

    monkeypatch.setattr(team.Team, "look", before)
    monkeypatch.setattr(team.Relay, "grant", granting)
    found = explore(counted, counted, setup=everything)
    assert killed
    if when == "waiting":
        assert found.verdict == "passed" and found.schedules == 12
    else:
        assert "was ended from outside (SIGKILL)" in found.summary


def test_a_failure_is_confirmed_by_forked_processes(logs: Logs) -> None:
    found = explore(unlocked, unlocked, setup=everything, check=lambda s: s.raw.value == 5,
                    confirm=3, schedules=100)  # fmt: skip
    assert found.failed and found.confirmed == {"multiprocessing": "3/3"}
    assert [staying for staying, _ in logs[-3:]] == [False] * 3


def test_ones_that_get_stuck_are_ended(logs: Logs) -> None:
    def spins(s: State) -> None:
        with s.lock:
            s.raw.value += 1
        while s.raw.value == 5 and len(s.plain):
            s.plain.append(os.getpid())
            del s.plain[2:]

    found = explore(spins, spins, setup=everything, limits=RunLimits(steps=60, stall=0.5),
                    schedules=4)  # fmt: skip
    assert found.verdict in ("unfinished", "failed"), found.summary
