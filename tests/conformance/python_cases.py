"""Threaded programs whose outcome depends on the schedule: what other tools get wrong."""

from __future__ import annotations

import os
import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from tests.conformance.python_locks import a, b

State = Any
Work = Callable[[State], None]


# --- who is first ----------------------------------------------------------------------------
def race_for_a_lock() -> State:
    return SimpleNamespace(lock=threading.Lock(), winner=None)


def take_it(name: str) -> Work:
    def take(state: State) -> None:
        with state.lock:
            if state.winner is None:
                state.winner = name

    return take


# --- check, then act -------------------------------------------------------------------------
def empty_dict() -> State:
    return SimpleNamespace(made={}, count=[])


def make_once(state: State) -> None:
    if "key" not in state.made:
        state.made["key"] = 1
        state.count.append(1)


# --- conditions ------------------------------------------------------------------------------
def mailbox() -> State:
    return SimpleNamespace(condition=threading.Condition(), full=False, got=0, waited=0)


def wait_if_empty(state: State) -> None:
    """Looks before it has the lock: the notification may come in between."""
    if not state.full:
        with state.condition:
            state.condition.wait()
    state.got += 1


def wait_while_empty(state: State) -> None:
    with state.condition:
        while not state.full:
            state.condition.wait()
        state.got += 1


def wait_while_empty_for_a_time(state: State) -> None:
    deadline = time.monotonic() + 60
    with state.condition:
        while not state.full:
            if not state.condition.wait(deadline - time.monotonic()):
                raise TimeoutError
        state.got += 1
        state.waited = time.monotonic() + 60 - deadline


def wait_if_empty_for_a_time(state: State) -> None:
    if not state.full:
        with state.condition:
            state.condition.wait(30)
    state.got += 1


def fill(state: State) -> None:
    with state.condition:
        state.full = True
        state.condition.notify()


# --- threads of threads ----------------------------------------------------------------------
def counter() -> State:
    return SimpleNamespace(value=0, lock=threading.Lock())


def add(state: State) -> None:
    state.value += 1


def add_locked(state: State) -> None:
    with state.lock:
        state.value += 1


def two_threads(work: Work) -> Work:
    def start_two(state: State) -> None:
        threads = [threading.Thread(target=work, args=(state,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return start_two


def two_jobs(state: State) -> None:
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(add, state), pool.submit(add, state)]:
            future.result()


def two_timers(state: State) -> None:
    timers = [threading.Timer(1, add, (state,)) for _ in range(2)]
    for timer in timers:
        timer.start()
    for timer in timers:
        timer.join()


class Adder(threading.Thread):
    def __init__(self, state: State) -> None:
        super().__init__()
        self.state = state

    def run(self) -> None:
        add(self.state)


def two_of_a_subclass(state: State) -> None:
    threads = [Adder(state), Adder(state)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- locks of another module -----------------------------------------------------------------
def a_then_b(state: State) -> None:
    with a, b:
        state.value += 1


def b_then_a(state: State) -> None:
    with b, a:
        state.value += 1


# --- consumer first --------------------------------------------------------------------------
def channel() -> State:
    return SimpleNamespace(
        queue=queue.Queue(1), condition=threading.Condition(), items=[], got=[],
        barrier=threading.Barrier(2),
    )  # fmt: skip


def get_from_queue(state: State) -> None:
    state.got.append(state.queue.get())


def put_into_queue(state: State) -> None:
    state.queue.put(7)


def get_by_condition(state: State) -> None:
    with state.condition:
        state.condition.wait_for(lambda: state.items)
        state.got.append(state.items.pop())


def put_by_condition(state: State) -> None:
    with state.condition:
        state.items.append(7)
        state.condition.notify()


def meet(state: State) -> None:
    state.barrier.wait()
    state.got.append(7)


# --- finalizers ------------------------------------------------------------------------------
class Noted:
    """Its end is noted under a lock."""

    def __init__(self, state: State) -> None:
        self.state = state

    def __del__(self) -> None:
        with self.state.lock:
            self.state.value += 1


def drop_one(state: State) -> None:
    noted = Noted(state)
    del noted


def drop_one_in_the_lock(state: State) -> None:
    noted = Noted(state)
    with state.lock:
        del noted


# --- no end ----------------------------------------------------------------------------------
def flag() -> State:
    return SimpleNamespace(up=False, never=False, count=0)


def raise_flag(state: State) -> None:
    state.up = True


def spin_for_flag(state: State) -> None:
    while not state.up:
        pass
    state.count += 1


def spin_for_ever(state: State) -> None:
    while not state.never:
        state.count += 1


def pipe() -> State:
    ends = os.pipe()
    return SimpleNamespace(read=ends[0], write=ends[1], value=0)


def read_from_pipe(state: State) -> None:
    state.value += 1
    os.read(state.read, 1)
    state.value += 1


# --- not by the schedule alone ---------------------------------------------------------------
def draw(state: State) -> None:
    with open("/dev/urandom", "rb") as file:  # what no schedule decides
        chance = random.Random(file.read(8))
    for _ in range(8):
        with state.lock:
            state.value += 1
        if chance.random() < 0.5:
            with state.lock:
                state.value += 1


class Key:
    """Compared and ordered by where it is in memory."""


def by_address(state: State) -> None:
    state.keep = getattr(state, "keep", [])
    state.keep.append([bytearray(random.SystemRandom().randrange(1, 4000)) for _ in range(64)])
    keys = [Key() for _ in range(16)]
    state.keep.append(keys)
    for place in sorted(range(16), key=lambda place: hash(id(keys[place]) * 2654435761 % 4093)):
        if place % 2:
            with state.lock:
                state.value += 1
        else:
            add(state)


# --- errors ----------------------------------------------------------------------------------
def fail(state: State) -> None:
    raise LookupError("nothing here")


def fail_in_a_thread(state: State) -> None:
    thread = threading.Thread(target=fail, args=(state,), name="failing")
    thread.start()
    thread.join()


def exit_quietly(state: State) -> None:
    raise SystemExit(3)


def leave_a_daemon(state: State) -> None:
    threading.Thread(target=threading.Event().wait, daemon=True, name="demon").start()
    state.value += 1


def leave_a_thread(state: State) -> None:
    threading.Thread(target=threading.Event().wait, name="forgotten").start()
