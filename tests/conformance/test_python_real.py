"""What code as people write it does with threads: no false alarm, no stop, no code run by us."""

from __future__ import annotations

import queue
import threading
import time
from typing import Any

import tracelock


def explore(**options: Any) -> tracelock.Explored:
    options.setdefault("instrument", [__name__])
    options.setdefault("schedules", 120)
    return tracelock.explore(**options)


def proved(**options: Any) -> tracelock.Explored:
    explored = explore(**options)
    assert explored.verdict == "verified", (explored.summary, explored.notes)
    return explored


# --- classes like threading.Condition --------------------------------------------------------
class OwnCondition:
    """As many libraries have it: what it needs of an RLock are the names that Condition uses."""

    def __init__(self) -> None:
        self.lock: Any = threading.RLock()
        self.waiters: list[Any] = []
        self.ready = False

    def __enter__(self) -> None:
        self.lock.acquire()

    def __exit__(self, *exc: object) -> None:
        self.lock.release()

    def wait(self) -> None:
        if not self.lock._is_owned():
            raise RuntimeError("not owned")
        waiter = threading.Lock()
        waiter.acquire()
        self.waiters.append(waiter)
        saved = self.lock._release_save()
        try:
            waiter.acquire()
        finally:
            self.lock._acquire_restore(saved)

    def notify(self) -> None:
        if self.waiters:
            self.waiters.pop(0).release()


def awaits(own: OwnCondition) -> None:
    with own, own:  # held twice: both are given up
        while not own.ready:
            own.wait()
        assert own.lock._is_owned()


def signals(own: OwnCondition) -> None:
    with own:
        own.ready = True
        own.notify()


def forgets(own: OwnCondition) -> None:
    with own:
        own.ready = True


def test_a_condition_like_class_gives_its_lock_up_and_takes_it_back() -> None:
    assert proved(setup=OwnCondition, workers=[awaits, signals]).schedules > 1


def test_a_condition_like_class_whose_notify_is_forgotten_is_a_deadlock() -> None:
    explored = explore(setup=OwnCondition, workers=[awaits, forgets])
    assert explored.trace is not None and explored.trace.verdict.kind == "deadlock"
    assert explored.confirmed == {"threading": "3/3"}


def test_a_lock_that_is_not_held_cannot_be_given_up() -> None:
    def gives_up(lock: Any) -> None:
        try:
            lock._release_save()
        except RuntimeError:
            return
        raise AssertionError("it could")

    proved(setup=threading.RLock, workers=[gives_up])


# --- objects that answer for others ----------------------------------------------------------
class Proxy:
    """As lazy objects are: what it is asked for, its class too, it gets from somewhere."""

    def __init__(self, get: Any) -> None:
        object.__setattr__(self, "get", get)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self.own())

    def own(self) -> Any:
        return object.__getattribute__(self, "get")()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.own(), name)


class Counter:
    def __init__(self) -> None:
        self.n = 0
        self.proxy = Proxy(lambda: self)
        self.kept: Any = None


def adds_through(counter: Counter) -> None:
    counter.kept = counter.proxy
    n = counter.proxy.n
    counter.n = n + 1


def test_a_proxy_whose_class_is_a_property_is_no_recursion() -> None:
    explored = explore(
        setup=Counter, workers=[adds_through, adds_through], check=lambda c: c.n == 2
    )
    assert explored.failed and "returned False" in explored.summary + str(explored.ways)


called: list[str] = []


class Expiring(dict[Any, Any]):
    """A dictionary that forgets what is asked for too late: asking changes it."""

    def items(self) -> Any:
        called.append("items")
        self.clear()
        return super().items()

    def __iter__(self) -> Any:
        called.append("iter")
        return super().__iter__()

    @property
    def __dict__(self) -> Any:  # type: ignore[override]
        called.append("namespace")
        return {}


class OwnList(list[Any]):
    def __iter__(self) -> Any:
        called.append("iter of a list")
        return super().__iter__()


class OwnTuple(tuple[Any, ...]):
    def __iter__(self) -> Any:
        called.append("iter of a tuple")
        return super().__iter__()


class Key(str):
    def __repr__(self) -> str:
        called.append("repr")
        return "key"


class Slotted:
    __slots__ = ("x",)

    def __getattr__(self, name: str) -> Any:
        called.append(f"attribute {name}")
        raise AttributeError(name)


class Kept:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.things = [Expiring(a=1), OwnList([1]), OwnTuple((1,)), {Key("k"): 1}, Slotted()]
        self.n = 0


def adds_locked(kept: Kept) -> None:
    with kept.lock:
        kept.n += 1


def test_naming_runs_no_code_of_the_objects_that_it_names() -> None:
    called.clear()
    seen: list[list[str]] = []

    def check(kept: Kept) -> None:
        seen.append(called.copy())
        assert kept.n == 2 and dict.__len__(kept.things[0]) == 1  # type: ignore[arg-type]

    proved(setup=Kept, workers=[adds_locked, adds_locked], check=check)
    assert seen and not any(seen)


# --- the end of a schedule -------------------------------------------------------------------
class Pool:
    """A pool with one background thread, which returns things in its own time."""

    def __init__(self) -> None:
        self.jobs: Any = queue.SimpleQueue()
        self.done: list[int] = []
        self.lock = threading.Lock()
        self.thread: Any = None

    def start(self) -> None:
        self.thread = threading.Thread(target=self.serve, daemon=True, name="background")
        self.thread.start()

    def serve(self) -> None:
        while (job := self.jobs.get()) is not None:
            with self.lock:
                self.done.append(job)
                time.sleep(0.01)

    def stop(self) -> None:
        self.jobs.put(None)
        self.thread.join()


def hands_in(pool: Pool) -> None:
    pool.start()
    pool.jobs.put(1)
    pool.jobs.put(2)


def test_check_sees_background_threads_at_rest_and_may_end_and_join_them() -> None:
    def stops(pool: Pool) -> None:
        pool.stop()
        assert pool.done == [1, 2]

    explored = explore(setup=Pool, workers=[hands_in], check=stops)
    assert not explored.failed, explored.summary


def test_check_gets_a_lock_that_a_background_thread_holds_for_a_while() -> None:
    def looks(pool: Pool) -> None:
        with pool.lock:
            assert pool.done

    assert not explore(setup=Pool, workers=[hands_in], check=looks).failed


def test_a_daemon_that_only_waits_for_others_hinders_no_proof_and_one_with_a_timer_does() -> None:
    def waits(pool: Pool) -> None:
        threading.Thread(target=pool.jobs.get, daemon=True).start()

    proved(setup=Pool, workers=[waits])

    def ticks(pool: Pool) -> None:
        threading.Thread(target=time.sleep, args=(1,), daemon=True).start()

    explored = explore(setup=Pool, workers=[ticks])
    assert explored.verdict == "passed" and "daemon" in " ".join(explored.notes)


def test_a_daemon_that_never_rests_is_cut_off() -> None:
    def spins(pool: Pool) -> None:
        def spin() -> None:
            while not pool.done:
                pool.lock.acquire()
                pool.lock.release()

        threading.Thread(target=spin, daemon=True).start()

    explored = explore(setup=Pool, workers=[spins], check=lambda pool: True, schedules=5)
    assert explored.verdict == "passed", explored.summary


def test_what_a_background_thread_does_wrong_after_the_workers_have_ended_is_a_failure() -> None:
    def breaks(pool: Pool) -> None:
        def serve() -> None:
            assert pool.jobs.get() == 2

        threading.Thread(target=serve, daemon=True, name="background").start()
        pool.jobs.put(1)

    explored = explore(setup=Pool, workers=[breaks])
    assert explored.failed and explored.confirmed == {"threading": "3/3"}


def test_what_dies_as_a_schedule_is_wound_up_is_no_failure() -> None:
    def dies(pool: Pool) -> None:
        def serve() -> None:
            try:
                pool.jobs.get()
            finally:
                raise ValueError("on my way out")

        threading.Thread(target=serve, daemon=True).start()

    proved(setup=Pool, workers=[dies], check=lambda pool: True)


class Dying:
    def __del__(self) -> None:
        raise ValueError("in a finalizer")


def test_what_a_finalizer_raises_fails_the_run_unless_it_is_expected() -> None:
    explored = explore(workers=[lambda: Dying() and None])
    assert explored.failed and explored.trace is not None
    assert "in a finalizer" in explored.trace.verdict.message
    assert explored.confirmed == {"threading": "3/3"}
    assert not explore(workers=[lambda: Dying() and None], expected_errors=[ValueError]).failed


# --- what one schedule leaves to the next ----------------------------------------------------
FIRST = threading.Lock()
SECOND = threading.RLock()


def first_then_second() -> None:
    FIRST.acquire()
    SECOND.acquire()
    SECOND.release()
    FIRST.release()


def second_then_first() -> None:
    SECOND.acquire()
    FIRST.acquire()
    FIRST.release()
    SECOND.release()


def test_locks_of_a_module_that_a_deadlock_leaves_locked_are_free_in_the_next_schedule() -> None:
    for _ in range(2):
        explored = explore(workers=[first_then_second, second_then_first])
        assert explored.trace is not None and explored.trace.verdict.kind == "deadlock"
        assert explored.shrunk is not None and explored.shrunk.executed.switches == 1
        assert explored.confirmed == {"threading": "3/3"}
        assert not FIRST.locked() and SECOND.acquire(blocking=False)
        SECOND.release()


def test_a_lock_of_a_module_that_a_worker_keeps_is_kept_in_its_schedule_alone() -> None:
    proved(workers=[FIRST.acquire])
    assert explore(workers=[FIRST.acquire, FIRST.acquire]).failed
    assert not FIRST.locked()
