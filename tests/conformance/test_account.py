"""The account: what was seen of a program, and ``verified`` only where that is all of it."""

from __future__ import annotations

import array
import asyncio
import collections
import copy
import dataclasses
import functools
import hashlib
import io
import itertools
import json
import math
import mmap
import os
import random
import socket
import sqlite3
import sys
import textwrap
import threading
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import tracelock
from tracelock.cli.explore import explored_object


def explore(*workers: Callable[..., Any], **more: Any) -> tracelock.Explored:
    more.setdefault("instrument", [__name__])
    return tracelock.explore(workers=workers, schedules=more.pop("schedules", 200), **more)


class Counter:
    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()

    def add(self) -> None:
        with self.lock:
            self.count += 1


def add(counter: Counter) -> None:
    counter.add()


def test_the_account_counts_what_there_was() -> None:
    found = explore(add, add, add, setup=Counter, check=lambda counter: counter.count == 3)
    account = found.account
    assert found.verdict == "verified" and account is not None and account.clean
    assert (account.workers, account.concurrent, account.noun) == (3, 3, "thread")
    assert len(account.locks) == 1 and account.variables == {"Counter#1.count": 3}
    assert account.looked == {__name__} and not account.not_looked_into
    assert found.summary.endswith("passes; 3 threads, 1 lock, 1 shared variable")
    told = explored_object(found, {})["account"]
    assert told["variables"] == {"Counter#1.count": 3} and told["clean"] and told["recorded"]


def test_threads_that_a_worker_starts_count_and_one_after_the_other_is_not_at_a_time() -> None:
    def both() -> None:
        for _ in range(2):
            thread = threading.Thread(target=print)
            thread.start()
            thread.join()

    account = explore(both).account
    assert account is not None and (account.workers, account.concurrent) == (3, 2)


def test_tasks_count_too() -> None:
    async def sleeps() -> None:
        await asyncio.sleep(1)

    found = explore(sleeps, sleeps)
    account = found.account
    assert found.verdict == "verified" and account is not None
    assert (account.noun, account.workers, account.concurrent) == ("task", 2, 2)


# --- what is not seen -------------------------------------------------------------------------
def writes(shared: Any) -> None:
    shared.write("x")


def draws_next(shared: Any) -> None:
    next(shared)


class Holder:
    """Something that is kept in an attribute."""

    def __init__(self, held: Any) -> None:
        self.held = held


def next_of_held(holder: Holder) -> None:
    next(holder.held)


def numbers() -> Any:
    yield from range(100)


def hashes(shared: Any) -> None:
    shared.update(b"x")


def loads(shared: Any) -> None:
    json.dumps(shared)


def copies(shared: Any) -> None:
    copy.deepcopy(shared)


def sets(shared: Any) -> None:
    shared["a"] = 1


def repr_of(shared: Any) -> None:
    repr(shared) == shared.__repr__()  # noqa: B015


@dataclasses.dataclass
class Pair:
    left: int = 0


def connects() -> None:
    connection = sqlite3.Connection(":memory:")  # which is not what ``connect`` gives
    connection.execute("select 1")
    connection.close()


#: Sockets that were there before: those that workers make are under control.
_CONNECTED = socket.socketpair()


def talks() -> None:
    one, other = _CONNECTED
    one.send(b"x")
    other.recv(1)


def reads_through_c() -> None:
    with open(__file__, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as seen:
        seen.read(1)


def draws() -> None:
    random.random()


def draws_indirectly() -> None:
    random.randint(1, 6)


def asks_the_system() -> None:
    os.urandom(1)


@functools.lru_cache
def cached(key: int) -> int:
    return key


def uses_cache() -> None:
    cached(1)


class Cached:
    @functools.lru_cache  # noqa: B019
    def of(self, key: int) -> int:
        return key

    @classmethod
    def use(cls) -> None:
        SHARED.of(1)


SHARED = Cached()


def uses_method_cache() -> None:
    Cached.of.cache_clear()
    SHARED.of(1)


UNSEEN: dict[str, tuple[Any, Callable[[], Any] | None, str]] = {
    "StringIO": (writes, io.StringIO, "StringIO"),
    "BytesIO": (lambda shared: shared.write(b"x"), io.BytesIO, "BytesIO"),
    "itertools.count": (draws_next, itertools.count, "count"),
    "a counter in an attribute": (next_of_held, lambda: Holder(itertools.count()), "count"),
    "a hash": (hashes, hashlib.sha256, "HASH"),
    "json of a shared dict": (loads, dict, "json"),
    "a shared generator of random numbers":
        (lambda shared: shared.random(), lambda: random.Random(1), "Random"),
    "a database": (connects, None, "sqlite3"),
    "sockets": (talks, None, "socket"),
    "files through C": (reads_through_c, None, "mmap"),
    "random": (draws, None, "random"),
    "random, in Python": (draws_indirectly, None, "random"),
    "os.urandom": (asks_the_system, None, "os.urandom"),
    "lru_cache": (uses_cache, None, "functools.lru_cache of cached"),
    "lru_cache of a method": (uses_method_cache, None, "functools.lru_cache of Cached.of"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNSEEN)
def test_what_is_not_seen_is_not_verified(case: str) -> None:
    work, setup, named = UNSEEN[case]
    if work is uses_cache:
        cached.cache_clear()
    found = explore(work, work, setup=setup)
    assert found.account is not None
    assert found.verdict == "passed", found.summary
    assert named in found.account.not_seen, found.account
    assert f"of what was seen; not seen: {named}" in found.summary
    assert not found.exhaustive


SEEN: dict[str, tuple[Any, Callable[[], Any] | None]] = {
    "pure functions": (lambda: math.sqrt(2) + len("x".upper()) + int("3"), None),
    "what each has of its own": (lambda: io.StringIO().write(json.dumps({"a": [1]})), None),
    "a generator of its own": (lambda: list(numbers()), None),
    "a copy of a shared list": (copies, list),
    "UserDict": (sets, collections.UserDict),
    "arrays": (lambda shared: shared.append(1), lambda: array.array("i")),
    "a dataclass": (lambda shared: shared.left, Pair),
    "a cache of the standard library": (lambda: textwrap.dedent("  x"), None),
}  # fmt: skip


@pytest.mark.parametrize("case", SEEN)
def test_what_is_seen_is_verified(case: str) -> None:
    work, setup = SEEN[case]
    found = explore(work, work, setup=setup)
    assert found.verdict == "verified", found.summary


def test_a_context_manager_and_a_stack_of_them_are_seen() -> None:
    @contextmanager
    def held(counter: Counter) -> Any:
        with counter.lock:
            yield counter

    def work(counter: Counter) -> None:
        with ExitStack() as stack:
            stack.enter_context(held(counter)).count += 1

    assert explore(work, work, setup=Counter).verdict == "verified"


def test_random_numbers_that_a_program_seeds_are_one_sequence_all_the_same() -> None:
    def seeds() -> None:
        random.seed(1)

    def draws_one(_: object) -> None:
        random.random()

    assert explore(draws_one, draws_one, setup=lambda: random.seed(1)).verdict == "passed"
    assert explore(lambda: (seeds(), draws())).verdict == "passed"


def test_a_module_that_is_not_looked_into_may_hold_what_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "held_elsewhere.py").write_text(
        "SEEN = []\ncount = 0\n\n\ndef put(x):\n    SEEN.append(x)\n\n\ndef bump():\n"
        "    global count\n    count += 1\n\n\ndef pure(x):\n    return x + 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import held_elsewhere  # type: ignore[import-not-found]

    for work, verdict in (
        (lambda: held_elsewhere.put(1), "passed"), (lambda: held_elsewhere.bump(), "passed"),
        (lambda: held_elsewhere.pure(1), "verified"),
    ):  # fmt: skip
        found = explore(work, work)
        assert found.verdict == verdict and found.account is not None, found.summary
        assert "held_elsewhere" in found.account.not_looked_into
        assert ("held_elsewhere" in found.account.not_seen) == (verdict == "passed")
    looked = explore(held_elsewhere.bump, held_elsewhere.bump, instrument=["held_elsewhere"])
    assert looked.account is not None and "held_elsewhere" in looked.account.looked
    assert looked.account.variables == {"held_elsewhere.count": 2}
    sys.modules.pop("held_elsewhere")


def test_an_error_of_a_task_that_nobody_received_is_told() -> None:
    async def fails() -> None:
        raise ValueError("nobody hears this")

    async def work() -> None:
        task = asyncio.create_task(fails())
        await asyncio.sleep(1)
        del task

    found = explore(work)
    assert found.verdict != "verified" and found.account is not None
    assert "errors that nobody received" in found.account.not_seen or found.failed


def test_a_loop_of_a_library_that_is_not_under_control_is_not_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uvloop.py").write_text(
        "import _socket\n\n\ndef run(coro):\n    one, other = _socket.socketpair()\n"
        "    one.send(b'x')\n    try:\n        coro.send(None)\n    except StopIteration:\n"
        "        pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import uvloop

    async def nothing() -> None:
        pass

    def work() -> None:
        uvloop.run(nothing())

    found = explore(work, work)
    assert found.verdict == "passed" and "socket" in found.summary
    sys.modules.pop("uvloop")


def test_what_else_keeps_verified_away_is_told() -> None:
    async def pause() -> None:
        await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(pause(), pause())

    found = tracelock.explore(workers=[lambda: asyncio.run(both())], schedules=2_000)
    assert found.summary.startswith("passed (explored all "), found.summary
    assert "some orders of loops that the code starts itself" in found.summary
    found = tracelock.explore(workers=[lambda: None, lambda: None], gc=True, schedules=500)
    assert "not seen: where collections come in)" in found.summary, found.summary


def goes_deep(level: int, most: int) -> int:
    return goes_deep(level + 1, most) + 1 if level < most else 0


def goes_deep_through_c(level: int, most: int) -> list[int]:
    return sorted([level], key=lambda _: len(goes_deep_through_c(level + 1, most)))


@pytest.mark.parametrize("deep", [goes_deep, goes_deep_through_c])
@pytest.mark.parametrize("strategy", ["random", "dpor"])
def test_a_recursion_that_never_ends_is_the_programs_own(
    deep: Callable[[int, int], object], strategy: str
) -> None:
    def work(counter: Counter) -> None:
        with pytest.raises(RecursionError):
            deep(0, 1_000_000)
        counter.add()

    found = explore(
        work, work, setup=Counter, check=lambda counter: counter.count == 2, strategy=strategy,
        schedules=3,
    )  # fmt: skip
    assert found.verdict == "passed", found.summary
    assert found.account is not None
    assert found.account.unseen["calls"] == "a recursion goes deeper than they are recorded"


def test_a_recursion_that_ends_is_recorded() -> None:
    def work(counter: Counter) -> None:
        assert goes_deep(0, 200) == 200
        counter.add()

    assert explore(work, work, setup=Counter, strategy="dpor").verdict == "verified"
