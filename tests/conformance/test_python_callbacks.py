"""What is written in C and called by others (a thread, a loop, an executor, code in C) is seen."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import heapq
import itertools
import operator
import pickle
import sched
import threading
import types
import weakref
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

import tracelock
from tests.helpers.amount import FULL
from tracelock.instrument.accesses.callbacks import Callback


class Thing:
    x = 0


def state() -> Any:
    return SimpleNamespace(thing=Thing(), items=[], table={}, heap=[3])


# --- what is called: functions in C that change the state --------------------------------------
#: Kept where nothing is looked into: as modules are imported.
RAW: dict[str, Any] = {
    "setattr": setattr, "append": list.append, "heappush": heapq.heappush,
    "partial": functools.partial(setattr),
}  # fmt: skip


def _setattr(s: Any) -> Any:
    return setattr, s.thing, "x", 1


def _append(s: Any) -> Any:
    return s.items.append, 1


def _unbound(s: Any) -> Any:
    return list.append, s.items, 1


def _update(s: Any) -> Any:
    return s.table.update, {1: 2}


def _setitem(s: Any) -> Any:
    return operator.setitem, s.table, 1, 2


def _heappush(s: Any) -> Any:
    return heapq.heappush, s.heap, 1


def _partial(s: Any) -> Any:
    return functools.partial(setattr, s.thing, "x"), 1


def _own_setattr(s: Any) -> Any:
    return s.thing.__setattr__, "x", 1


def _bare_setattr(s: Any) -> Any:
    return object.__setattr__, s.thing, "x", 1


def _raw_setattr(s: Any) -> Any:
    return RAW["setattr"], s.thing, "x", 1


def _raw_append(s: Any) -> Any:
    return RAW["append"], s.items, 1


def _raw_heappush(s: Any) -> Any:
    return RAW["heappush"], s.heap, 1


def _raw_partial(s: Any) -> Any:
    return RAW["partial"], s.thing, "x", 1


CALLS = [
    _setattr, _append, _unbound, _update, _setitem, _heappush, _partial, _own_setattr,
    _bare_setattr, _raw_setattr, _raw_append, _raw_heappush, _raw_partial,
]  # fmt: skip


# --- by whom -----------------------------------------------------------------------------------
def in_an_assertion(f: Any, *args: Any) -> None:
    assert contextvars.copy_context().run(f, *args) is None


def directly(f: Any, *args: Any) -> None:
    f(*args)


def thread(f: Any, *args: Any) -> None:
    made = threading.Thread(target=f, args=args)
    made.start()
    made.join()


def timer(f: Any, *args: Any) -> None:
    made = threading.Timer(0, f, args)
    made.start()
    made.join()


def submit(f: Any, *args: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(f, *args).result()


def mapped_by_executor(f: Any, *args: Any) -> None:
    with ThreadPoolExecutor(1) as pool:
        list(pool.map(f, *[[each] for each in args]))


def initializer(f: Any, *args: Any) -> None:
    with ThreadPoolExecutor(1, initializer=f, initargs=args) as pool:
        pool.submit(int).result()


def done_callback(f: Any, *args: Any) -> None:
    future: Any = Future()
    future.add_done_callback(_ignoring(functools.partial(f, *args)))
    future.set_result(1)


def _ignoring(call: Any) -> Callable[[Any], None]:
    return lambda future: call()


def in_context(f: Any, *args: Any) -> None:
    contextvars.copy_context().run(f, *args)


def mapped(f: Any, *args: Any) -> None:
    list(map(f, *[[each] for each in args]))


def starred(f: Any, *args: Any) -> None:
    list(itertools.starmap(f, [args]))


def until(f: Any, *args: Any) -> None:
    next(iter(functools.partial(f, *args), 7))


def factory(f: Any, *args: Any) -> None:
    table: Any = defaultdict(functools.partial(f, *args))
    table[1]


def stack(f: Any, *args: Any) -> None:
    with contextlib.ExitStack() as made:
        made.callback(f, *args)


def finalizer(f: Any, *args: Any) -> None:
    weakref.finalize(Thing(), f, *args)()


def reference(f: Any, *args: Any) -> None:
    thing = Thing()
    kept = weakref.ref(thing, _ignoring(functools.partial(f, *args)))
    del thing
    assert kept() is None


def barrier(f: Any, *args: Any) -> None:
    threading.Barrier(1, action=functools.partial(f, *args)).wait()


def planned(f: Any, *args: Any) -> None:
    plan = sched.scheduler()
    plan.enter(0, 1, f, args)
    plan.run()


def call_soon(f: Any, *args: Any) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(f, *args)
        await asyncio.sleep(0)

    asyncio.run(main())


def call_soon_threadsafe(f: Any, *args: Any) -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon_threadsafe(f, *args)
        await asyncio.sleep(0)

    asyncio.run(main())


def to_thread(f: Any, *args: Any) -> None:
    async def main() -> None:
        await asyncio.to_thread(f, *args)

    asyncio.run(main())


def run_in_executor(f: Any, *args: Any) -> None:
    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, f, *args)

    asyncio.run(main())


WAYS = [
    in_an_assertion, directly, thread, timer, submit, mapped_by_executor, initializer,
    done_callback, in_context, mapped, starred, until, factory, stack, finalizer, reference,
    barrier, planned, call_soon,
    call_soon_threadsafe, to_thread, run_in_executor,
]  # fmt: skip


def look(s: Any) -> Any:
    return s.thing.x, len(s.items), len(s.table), len(s.heap)


def reads(s: Any) -> None:
    assert look(s) == look(s)


PAIRS = [
    (way, call) for way in WAYS for call in CALLS
    if FULL or way is thread or call is _setattr or call is _raw_append
]  # fmt: skip


@pytest.mark.parametrize(("way", "call"), PAIRS)
def test_it_is_seen(way: Any, call: Any) -> None:
    def changes(s: Any) -> None:
        way(*call(s))

    found = tracelock.explore(
        setup=state, workers=[changes, reads], instrument=[__name__], strategy="dpor",
        schedules=200, shrink=False, confirm=0,
    )  # fmt: skip
    assert found.verdict == "failed", found.summary


def alone(s: Any) -> None:
    own = state()
    thread(setattr, own.thing, "x", 1)
    submit(own.items.append, 1)
    in_context(RAW["heappush"], own.heap, 1)
    assert look(own) == (1, 1, 0, 2)


def test_what_only_one_worker_has_is_verified() -> None:
    found = tracelock.explore(
        setup=state, workers=[alone, reads], instrument=[__name__], strategy="dpor", schedules=2_000
    )
    assert found.verdict == "verified", (found.summary, found.account)


def same(s: Any) -> None:
    """What is handed on looks like what it stands for."""
    kept = functools.partial(setattr).func
    assert kept == setattr and hash(kept) == hash(setattr) and repr(kept) == repr(setattr)
    assert isinstance(kept, types.BuiltinFunctionType) and kept.__name__ == "setattr"
    kept = weakref.ref(setattr)()
    assert kept is setattr
    made = threading.Thread(target=setattr, args=(s.thing, "x", 1))
    assert "setattr" in made.name
    made.start()
    made.join()


def test_it_looks_like_what_it_stands_for() -> None:
    found = tracelock.explore(
        setup=state, workers=[same], instrument=[__name__], strategy="dpor", schedules=10
    )
    assert found.verdict == "verified", found.summary


def test_what_is_sent_to_a_process_or_copied_is_the_real_one() -> None:
    made: Any = Callback(setattr, None)  # type: ignore[arg-type]
    assert pickle.loads(pickle.dumps(made)) is setattr
    assert copy.copy(made) is setattr and copy.deepcopy([made]) == [setattr]


def finalizers(s: Any) -> None:
    kept = weakref.finalize(s.thing, print)
    weakref.finalize(s.thing, s.items.append, 1)()
    assert s.items == [1] and kept.alive


def test_finalizers_are_called_in_every_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though each ends as a process does, and calls all that there are for the last time then."""
    monkeypatch.setattr(weakref.finalize, "_registered_with_atexit", False)
    found = tracelock.explore(
        setup=state, workers=[finalizers], instrument=[__name__], strategy="random", schedules=5,
        isolation="never",
    )  # fmt: skip
    assert not found.failed, found.story()
