"""Real Python code in real processes: what is controlled, what ends them, and what is left."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing as mp
import os
import queue
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import heap, shared_memory, sharedctypes, synchronize, util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.oracles.python_ends import ends_of
from tracelock.engine.limits import RunLimits
from tracelock.instrument.live_objects import SHARED, LiveObjects
from tracelock.instrument.processes.memory import touching
from tracelock.instrument.processes.sync import _QUEUES
from tracelock.session import api
from tracelock.session.explored import Explored

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
State = SimpleNamespace
PROCESSES = "multiprocessing"
limits = RunLimits(steps=2_000, stall=10.0)


def children() -> set[int]:
    """The children of this process, dead ones that nobody has waited for included."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parts = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(parts[1]) == os.getpid():
            found.add(int(status.parent.name))
    return found


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    before = children() if os.path.isdir("/proc/self") else set()
    threads = threading.active_count()
    yield
    if os.path.isdir("/proc/self"):
        # what multiprocessing keeps for itself, once it is needed, is none of ours
        left = {pid for pid in children() - before if not tracker(pid)}
        assert not left
    assert threading.active_count() == threads


def tracker(pid: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return True


def explore(*workers: Callable[..., Any], **more: Any) -> Explored:
    more = {"strategy": "dpor", "backend": PROCESSES, "instrument": [], "seconds": None,
            "limits": limits, "confirm": 1, "shrink": False, **more}  # fmt: skip
    return api.explore(workers=workers, **more)


def verdict(found: Explored) -> Any:
    assert found.trace is not None, found.summary
    return found.trace.verdict


# --- memory and locks ---------------------------------------------------------------------
def counter() -> State:
    return State(lock=mp.Lock(), raw=mp.RawValue("i", 0), n=mp.Value("i", 0))


def locked(s: State) -> None:
    with s.lock:
        s.raw.value += 1


def unlocked(s: State) -> None:
    s.n.value += 1


def test_each_worker_is_a_process_of_its_own() -> None:
    def setup() -> State:
        return State(pids=mp.Array("i", 3), local=[])

    def work(s: State) -> None:
        process = mp.current_process()
        s.local.append(1)
        assert s.local == [1], "memory is shared"
        assert process.pid == os.getpid()
        parent = mp.parent_process()
        assert parent is not None and parent.pid == os.getppid()
        s.pids[int(process.name[5])] = os.getpid()

    seen: list[list[int]] = []
    found = explore(work, work, setup=setup, check=lambda s: seen.append([*s.pids]))
    assert found.verdict == "verified"
    assert all(len({os.getpid(), a, b}) == 3 and not c for a, b, c in seen)


def test_a_locked_increment_is_verified_and_an_unlocked_one_is_not() -> None:
    fine = explore(locked, locked, setup=counter, check=lambda s: s.raw.value == 2)
    assert fine.verdict == "verified"
    found = explore(unlocked, unlocked, setup=counter, check=lambda s: s.n.value == 2, shrink=True)
    assert found.failed and found.switches == 1
    assert found.confirmed == {PROCESSES: "1/1"}
    assert found.trace is not None
    targets = {event.target for event in found.trace.events if event.op in ("read", "write")}
    assert len(targets) == 1 and next(iter(targets)).startswith("shared:")  # type: ignore[union-attr]
    again = api.replay(
        found.trace, workers=[unlocked, unlocked], setup=counter,
        check=lambda s: s.n.value == 2, instrument=[], limits=limits,
    )  # fmt: skip
    assert again.reproduced


class Pair(ctypes.Structure):
    _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_int)]


def test_arrays_and_structures_are_shared_by_their_parts() -> None:
    def setup() -> State:
        return State(array=mp.RawArray("i", 4), pair=mp.RawValue(Pair, 0, 0), text=mp.Array("c", 8))

    def left(s: State) -> None:
        s.array[0] += 1
        s.pair.a += 1

    def right(s: State) -> None:
        s.array[-1] += 1
        s.pair.b += 1

    def check(s: State) -> None:
        assert [*s.array] == [1, 0, 0, 1]
        assert (s.pair.a, s.pair.b) == (1, 1)

    found = explore(left, right, setup=setup, check=check)
    assert (found.verdict, found.schedules) == ("verified", 3)
    assert explore(left, left, setup=setup, check=lambda s: s.array[0] == 2).failed
    assert explore(left, left, setup=setup, check=lambda s: s.pair.a == 2).failed

    def write(s: State) -> None:
        s.text.value = b"ab"

    def read(s: State) -> None:
        assert s.text.value in (b"", b"ab")
        assert s.array[1:3] == [0, 0]

    assert explore(write, read, setup=setup).verdict == "verified"


def test_shared_memory() -> None:
    made: list[shared_memory.SharedMemory] = []

    def setup() -> State:
        discard()
        made.append(shared_memory.SharedMemory(create=True, size=16))
        return State(memory=made[0])

    def discard() -> None:
        while made:
            memory = made.pop()
            memory.close()
            memory.unlink()

    def indexed(s: State) -> None:
        s.memory.buf[0] += 1

    def told(s: State) -> None:
        touching(s.memory, 0)
        value = bytes(s.memory.buf)[0]
        touching(s.memory, 0, write=True)
        s.memory.buf[:1] = bytes([value + 1])

    def check(s: State) -> bool:
        return bool(s.memory.buf[0] == 2)

    try:
        seen = explore(indexed, indexed, setup=setup, check=check, instrument=[__name__])
        assert seen.failed
        assert explore(told, told, setup=setup, check=check).failed
    finally:
        discard()


def test_locks_of_a_module_are_controlled_where_they_are_used() -> None:
    def work() -> None:
        with module_lock:
            module_value.value += 1

    found = explore(work, work, check=lambda: True)
    assert found.verdict == "verified"
    assert type(module_lock._semlock).__module__ == "_multiprocessing"  # type: ignore[attr-defined]
    assert explore(deadly(module_lock, module_value), deadly(module_value, module_lock)).failed


module_lock = mp.Lock()
module_value = mp.Value("i", 0)


def deadly(first: Any, second: Any) -> Callable[[], None]:
    def work() -> None:
        with (
            getattr(first, "get_lock", lambda: first)(),
            getattr(second, "get_lock", lambda: second)(),
        ):
            pass

    return work


def test_reentrant_locks_and_semaphores() -> None:
    def setup() -> State:
        return State(rlock=mp.RLock(), two=mp.Semaphore(2), one=mp.BoundedSemaphore(1),
                     inside=mp.RawValue("i", 0), most=mp.RawValue("i", 0))  # fmt: skip

    def reenter(s: State) -> None:
        with s.rlock, s.rlock:
            s.inside.value += 1
            assert s.inside.value == 1
            s.inside.value -= 1
        with pytest.raises(AssertionError):
            s.rlock.release()

    assert explore(reenter, reenter, setup=setup).verdict == "verified"

    def enter(s: State) -> None:
        assert s.two.acquire(timeout=5)
        with pytest.raises(ValueError):
            s.one.release()
        s.two.release()
        assert s.two.get_value() <= 2

    assert explore(enter, enter, enter, setup=setup, strategy="random", schedules=5).failed is False


# --- waiting ------------------------------------------------------------------------------
def test_a_condition_waits_for_a_predicate_and_not_for_a_signal_alone() -> None:
    def setup() -> State:
        return State(condition=mp.Condition(), ready=mp.RawValue("b", 0))

    def right(s: State) -> None:
        with s.condition:
            while not s.ready.value:
                s.condition.wait()

    def signal_it(s: State) -> None:
        with s.condition:
            s.ready.value = 1
            s.condition.notify()

    assert explore(right, signal_it, setup=setup).verdict == "verified"

    def wrong(s: State) -> None:
        with s.condition:
            s.condition.wait()

    found = explore(wrong, signal_it, setup=setup)
    assert verdict(found).kind == "deadlock"
    timed: set[bool] = set()

    def patient(s: State) -> None:
        with s.condition:
            s.ready.value = 2 if s.condition.wait(timeout=3600) else 1

    explore(patient, lambda s: None, setup=setup, check=lambda s: timed.add(s.ready.value))
    assert timed == {1}, "time is virtual: an hour costs nothing"


def test_events_and_barriers() -> None:
    def setup() -> State:
        return State(event=mp.Event(), barrier=mp.Barrier(2), n=mp.RawValue("i", 0))

    def wait(s: State) -> None:
        assert s.event.wait()
        assert s.n.value == 1

    def set_it(s: State) -> None:
        s.n.value = 1
        assert not s.event.is_set()
        s.event.set()

    assert explore(wait, set_it, setup=setup).verdict == "verified"
    assert verdict(explore(wait, lambda s: s.event.clear(), setup=setup)).kind == "deadlock"

    def meet(s: State) -> None:
        s.barrier.wait()

    met = explore(meet, meet, setup=setup, strategy="random", schedules=3)
    assert met.verdict == "passed"
    assert verdict(explore(meet, setup=setup)).kind == "deadlock"


@pytest.mark.parametrize("kind", ["Queue", "SimpleQueue", "JoinableQueue"])
def test_queues(kind: str) -> None:
    def setup() -> State:
        made = State(queue=getattr(mp, kind)())
        made.queue.put("first")
        return made

    def put(s: State) -> None:
        s.queue.put({"a": [1, 2]})

    def get(s: State) -> None:
        assert s.queue.get() == "first"
        assert s.queue.get() == {"a": [1, 2]}
        assert s.queue.empty()

    found = explore(get, put, setup=setup, check=lambda s: s.queue.empty())
    assert found.verdict == "verified"
    assert verdict(explore(get, setup=setup)).kind == "deadlock"


def test_bounded_and_joined_queues() -> None:
    def setup() -> State:
        return State(small=mp.Queue(1), jobs=mp.JoinableQueue(), done=mp.RawValue("i", 0))

    def full(s: State) -> None:
        s.small.put(1)
        with pytest.raises(queue.Full):
            s.small.put_nowait(2)
        assert s.small.full() and s.small.qsize() == 1
        assert s.small.get_nowait() == 1
        with pytest.raises(queue.Empty):
            s.small.get(timeout=60)

    assert explore(full, setup=setup).verdict == "verified"

    def boss(s: State) -> None:
        s.jobs.put("job")
        s.jobs.join()
        assert s.done.value == 1

    def hand(s: State) -> None:
        s.jobs.get()
        s.done.value += 1
        s.jobs.task_done()

    assert explore(boss, hand, setup=setup).verdict == "verified"


# --- how they end -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("end", "how"),
    [
        (lambda: os._exit(3), "exit status 3"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: signal.raise_signal(signal.SIGTERM), "SIGTERM"),
    ],
    ids=["exit", "kill", "term"],
)
def test_a_crash_is_told_with_what_was_held(end: Callable[[], None], how: str) -> None:
    def crash(s: State) -> None:
        s.lock.acquire()
        end()

    found = verdict(explore(crash, locked, setup=counter))
    assert found.kind == "crashed"
    assert f"crash died ({how}) holding lock@" in found.message
    assert "locked waits for" in found.message


def test_an_error_comes_back_with_its_traceback() -> None:
    def inner() -> None:
        raise KeyError("gone")

    def work(s: State) -> None:
        inner()

    found = verdict(explore(work, locked, setup=counter))
    assert (found.kind, found.failure) == ("failed", "error")
    assert "KeyError: 'gone'" in found.message and "in test_an_error" in found.message
    assert explore(work, setup=counter, expected_errors=(KeyError,)).verdict == "verified"

    def leave(s: State) -> None:
        raise SystemExit(2)

    assert explore(leave, setup=counter).verdict == "verified"


def test_a_process_that_does_not_come_back_is_named() -> None:
    def spin(s: State) -> None:
        while True:
            pass

    def block(s: State) -> None:
        os.read(os.pipe()[0], 1)

    for work in (spin, block):
        found = explore(work, locked, setup=counter, limits=RunLimits(steps=100, stall=0.4),
                        schedules=1)  # fmt: skip
        (way,) = found.ways
        assert way.kind == "unfinished"
        assert f"in {work.__name__}" in way.message


@pytest.mark.parametrize("caught", [False, True])
def test_of_what_a_process_starts_by_spawn_nothing_is_claimed(caught: bool) -> None:
    def spawned(s: State) -> None:
        with contextlib.suppress(*([Exception] if caught else [])):
            mp.get_context("spawn").Process(target=print).start()

    found = explore(spawned, setup=counter)
    assert found.verdict == "unfinished" and "a process by spawn at" in found.summary


# --- what they start ----------------------------------------------------------------------
def test_processes_that_workers_start_are_workers() -> None:
    def child(s: State, times: int) -> None:
        for _ in range(times):
            s.raw.value += 1

    def work(s: State) -> None:
        process = mp.Process(target=child, args=(s, 1))
        assert process.exitcode is None
        process.start()
        child(s, 1)
        process.join()
        assert not process.is_alive()
        assert process.exitcode == 0

    found = explore(work, setup=counter, check=lambda s: s.raw.value == 2)
    assert found.failed and found.trace is not None
    assert "work/child" in found.trace.workers

    def kill(s: State) -> None:
        process = mp.Process(target=locked_for_ever, args=(s,))
        process.start()
        process.terminate()
        process.join()

    def locked_for_ever(s: State) -> None:
        with s.lock:
            s.raw.value = 1
            time.sleep(3600)

    states: set[tuple[int, bool]] = set()
    explore(
        kill, setup=counter,
        check=lambda s: states.add((s.raw.value, s.lock.acquire(block=False))),
    )  # fmt: skip
    assert states >= {(0, True), (1, False)}, "killed before, and inside"


def test_threads_of_a_process_are_workers() -> None:
    def setup() -> State:
        return State(raw=mp.RawValue("i", 0), plain=threading.Lock())

    def add(s: State) -> None:
        s.raw.value += 1

    def locked_add(s: State) -> None:
        with s.plain:
            add(s)

    def work(run: Callable[[State], None]) -> Callable[[State], None]:
        def start(s: State) -> None:
            thread = threading.Thread(target=run, args=(s,))
            thread.start()
            run(s)
            thread.join()

        return start

    def both(s: State) -> bool:
        return bool(s.raw.value == 2)

    assert explore(work(add), setup=setup, check=both).failed
    seen = {"instrument": [__name__]}
    assert explore(work(locked_add), setup=setup, check=both, **seen).verdict == "verified"
    # a lock in ordinary memory is another one in each process
    assert explore(locked_add, locked_add, setup=setup, check=both).failed


# --- a fork in a thread -------------------------------------------------------------------
def threaded() -> State:
    return State(lock=threading.Lock(), done=mp.RawValue("i", 0))


def holder(s: State) -> None:
    with s.lock:
        pass


def forker(s: State) -> None:
    pid = os.fork()
    if not pid:
        with s.lock:
            s.done.value += 1
        os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7


def starter(s: State) -> None:
    process = mp.Process(target=holder, args=(s,))
    process.start()
    process.join()


@pytest.mark.parametrize("fork", [forker, starter], ids=["fork", "Process"])
def test_a_fork_while_another_thread_holds_a_lock(fork: Callable[[State], None]) -> None:
    found = explore(holder, fork, setup=threaded, backend="threading")
    assert verdict(found).kind == "deadlock"
    assert "holder held the lock then, and does not exist in" in verdict(found).message
    assert found.confirmed == {"threading": "1/1"}
    alone = explore(
        lambda s: None, fork, setup=threaded, backend="threading", instrument=[__name__]
    )
    assert alone.verdict == "verified"


def test_a_child_that_never_leaves_ends_with_the_worker() -> None:
    ends: set[int] = set()

    def work(s: State) -> None:
        pid = os.fork()
        s.done.value += 1  # by both
        if pid:
            os.waitpid(pid, 0)

    found = explore(
        work, setup=threaded, backend="threading", check=lambda s: ends.add(s.done.value),
    )  # fmt: skip
    assert found.verdict == "verified"
    assert ends == {1, 2}


def test_a_forked_child_that_is_killed_is_a_crash() -> None:
    def work(s: State) -> None:
        pid = os.fork()
        if not pid:
            os.kill(os.getpid(), signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL

    found = verdict(explore(work, setup=threaded, backend="threading"))
    assert found.kind == "crashed"
    assert found.message == "work/fork died (SIGKILL) holding nothing"

    def kill(s: State) -> None:
        pid = os.fork()
        if not pid:
            with s.lock:
                s.done.value = 1
            os._exit(0)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)

    killed = explore(kill, setup=threaded, backend="threading")
    assert "kill/fork died (SIGKILL from kill)" in verdict(killed).message


# --- files --------------------------------------------------------------------------------
made: list[Path] = []


def folder() -> Path:
    while made:
        shutil.rmtree(made.pop(), ignore_errors=True)
    made.append(Path(tempfile.mkdtemp()))
    (made[0] / "counter").write_text("0")
    return made[0]


@pytest.fixture(scope="module", autouse=True)
def tidy() -> Iterator[None]:
    yield
    while made:
        shutil.rmtree(made.pop(), ignore_errors=True)


def count(d: Path) -> None:
    number = int((d / "counter").read_text() or 0)
    (d / "counter").write_text(str(number + 1))


def count_locked(d: Path) -> None:
    import fcntl

    with open(d / "lock", "w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # which does shut out processes
        count(d)


def create(d: Path) -> None:
    if not (d / "x").exists():
        with open(d / "x", "a") as file:
            file.write("x")


def files_of(d: Path) -> Any:
    return tuple(sorted((p.name, p.read_text()) for p in d.iterdir()))


def test_a_lock_file_between_processes() -> None:
    def counted(d: Path) -> bool:
        return (d / "counter").read_text() == "2"

    assert explore(count, count, setup=folder, check=counted).failed
    assert explore(count_locked, count_locked, setup=folder, check=counted).verdict == "verified"


def test_what_a_process_held_of_a_file_ends_with_it() -> None:
    import fcntl

    def forgets(d: Path) -> None:
        descriptor = os.open(d / "lock", os.O_CREAT | os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX)

    assert explore(forgets, forgets, setup=folder).verdict == "verified"


# --- the same as every order --------------------------------------------------------------
def put_get(s: State) -> None:
    s.queue.put(1)
    s.raw.value = s.queue.get()


def objects() -> State:
    return State(raw=mp.RawValue("i", 0), lock=mp.Lock(), queue=mp.SimpleQueue(), event=mp.Event())


def add(s: State) -> None:
    s.raw.value += 1


def double(s: State) -> None:
    s.raw.value *= 2


def try_lock(s: State) -> None:
    if s.lock.acquire(block=False):
        s.raw.value += 10


def look(s: State) -> None:
    s.raw.value = 5 if s.event.is_set() else 6


PROGRAMS: dict[str, tuple[Callable[[], Any], list[Any], Callable[[Any], Any]]] = {
    "add": (objects, [add, double], lambda s: s.raw.value),
    "locked": (counter, [locked, locked], lambda s: s.raw.value),
    "try": (objects, [try_lock, try_lock], lambda s: s.raw.value),
    "queue": (objects, [lambda s: s.queue.put(1), lambda s: s.queue.get()], lambda s: 0),
    "event": (objects, [look, lambda s: s.event.set()], lambda s: s.raw.value),
    "create": (folder, [create, create], files_of),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_dpor_finds_every_end_in_processes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, workers, final = PROGRAMS[name]
    reduced, few = ends_of(setup, workers, final, PROCESSES)
    everything, many = ends_of(setup, workers, final, PROCESSES, monkeypatch)
    assert reduced == everything
    assert few <= many


@pytest.mark.parametrize("fork", [forker, starter], ids=["fork", "Process"])
def test_dpor_finds_every_end_of_a_fork(
    fork: Callable[[State], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = [holder, fork]
    reduced, few = ends_of(threaded, workers, lambda s: s.done.value, "threading")
    everything, many = ends_of(threaded, workers, lambda s: s.done.value, "threading", monkeypatch)
    assert reduced == everything
    assert len(reduced) == 2, "it is held at the fork, or not"
    assert few < many


def test_all_that_is_put_under_control_of_what_processes_share_counts_as_special() -> None:
    """And what holds memory and ends processes does not: there is much of it, in sets and heaps."""
    those = (
        synchronize.SemLock, synchronize.Condition, synchronize.Event, synchronize.Barrier,
        sharedctypes.SynchronizedBase, *_QUEUES,
    )  # fmt: skip
    pending, found = [*those], set()
    while pending:
        cls = pending.pop()
        found.add(cls)
        pending += cls.__subclasses__()
    of_python = {cls for cls in found if cls.__module__.startswith("multiprocessing.")}
    assert of_python >= {*those, sharedctypes.Synchronized, synchronize.BoundedSemaphore}
    assert all(cls.__module__.startswith(SHARED) for cls in of_python)
    held = mp.Value("i", 0)
    live = LiveObjects(
        objects=[held, held.get_lock(), heap.BufferWrapper(8), util.Finalize(held, int)]
    )
    assert [*map(type, live.special)] == [sharedctypes.Synchronized, synchronize.RLock]
