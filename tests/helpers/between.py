"""Programs for an exploration that is not the first of its process, and what is done before it.

    python -m tests.helpers.between fresh|later|grown|listed CASE...

Of each case the result is printed, as JSON: the same whether the process has explored before
(``later``; ``grown``: and what was made since has grown old; ``listed``: as where the collector has
no lists by age) or not (``fresh``). What control should have reached and did not is looked for from
inside, among all objects of the process, and is a part of that.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import json
import queue
import sys
import tempfile
import threading
import time
import types
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tracelock
from tracelock.instrument import contexts
from tracelock.instrument.live_objects import LiveObjects
from tracelock.instrument.patch_targets import _Later, replace_names
from tracelock.instrument.patches import COMMON, LOOPING, Patches, table
from tracelock.instrument.scanning import process
from tracelock.instrument.scanning.adopting import adopt
from tracelock.instrument.scanning.marks import AgeMark

Case = tuple[Callable[[], Any], list[Callable[..., Any]]]
ORIGINALS = {
    "Lock": threading.Lock, "RLock": threading.RLock, "time.sleep": time.sleep,
    "asyncio.sleep": asyncio.sleep, "start": threading.Thread.start, "get": queue.Queue.get,
    "monotonic": time.monotonic,
}  # fmt: skip


#: Whether what a case has made grows old before the exploration.
GROWN: list[str] = []


class Holder:
    """Has been there since this was imported."""

    def __init__(self) -> None:
        self.value = 0


class Rigid(namedtuple("Rigid", "number")):
    """Nobody can refer to it weakly."""


class Text(str):
    """Nor to this, which has attributes from the beginning."""

    lock: Any


OLD, OLDER, HELD = Holder(), Holder(), [threading.Lock()]
RIGID, TEXT = Rigid(1), Text("text")
TEXT.value = 0  # type: ignore[attr-defined]
NAMES: dict[str, Any] = {}


def old_function(sleep: Any = None) -> Any:
    return sleep


def other_function(sleep: Any = None) -> Any:
    return sleep


def under(lock: Any, holder: Any = OLD) -> None:
    with lock:
        value = holder.value
        holder.value = value + 1


def same(holder: Any) -> Any:
    """A setup that gives this, with its value as it was."""

    def setup() -> Any:
        holder.value = 0
        return holder

    return setup


# --- locks ------------------------------------------------------------------------------------
def a_lock_in_a_module() -> Case:
    globals()["LOCK"] = threading.Lock()
    return same(OLD), [lambda old: under(LOCK)] * 2  # type: ignore[name-defined]  # noqa: F821


def a_lock_in_an_old_object() -> Case:
    OLD.lock = threading.Lock()  # type: ignore[attr-defined]
    return same(OLD), [lambda old: under(old.lock)] * 2


def a_reentrant_lock_in_a_new_object() -> Case:
    new = Holder()
    new.lock = threading.RLock()  # type: ignore[attr-defined]
    return same(new), [lambda new: under(new.lock, new)] * 2


def a_lock_that_was_in_a_list() -> Case:
    OLDER.lock = HELD[0]  # type: ignore[attr-defined]
    return same(OLDER), [lambda older: under(older.lock, older)] * 2


def a_lock_that_changes_its_holder() -> Case:
    OLD.first, other = threading.Lock(), Holder()  # type: ignore[attr-defined]
    once(lambda: None)
    other.second = OLD.first  # type: ignore[attr-defined]
    del OLD.first  # type: ignore[attr-defined]
    return same(other), [lambda other: under(other.second, other)] * 2


def a_lock_in_a_class() -> Case:
    Holder.shared = threading.Lock()  # type: ignore[attr-defined]
    return same(OLD), [lambda old: under(Holder.shared)] * 2  # type: ignore[attr-defined]


def a_lock_in_a_new_subclass() -> Case:
    class Sub(Holder):
        lock = threading.Lock()

    return same(Sub()), [lambda sub: under(sub.lock, sub)] * 2


def a_lock_in_a_tuple_with_attributes() -> Case:
    RIGID.lock = threading.Lock()  # type: ignore[attr-defined]
    return same(OLD), [lambda old: under(RIGID.lock)] * 2  # type: ignore[attr-defined]


def a_lock_in_a_text_with_attributes() -> Case:
    TEXT.lock = threading.Lock()
    return same(OLD), [lambda old: under(TEXT.lock)] * 2


def a_lock_in_other_attributes() -> Case:
    OLD.__dict__ = {"value": 0, "lock": threading.Lock()}
    return same(OLD), [lambda old: under(old.lock)] * 2


def locks_of_two_objects_of_a_class() -> Case:
    OLD.twin, OLDER.twin = threading.Lock(), threading.Lock()  # type: ignore[attr-defined]

    def both(old: Any) -> None:
        with old.twin, OLDER.twin:  # type: ignore[attr-defined]
            old.value += 1

    return same(OLD), [both, both]


def an_object_that_gets_another_class() -> Case:
    event = threading.Event()
    event.mine = threading.Lock()  # type: ignore[attr-defined]
    event.value = 0  # type: ignore[attr-defined]
    once(lambda: None)

    class Mine(threading.Event):
        pass

    event.__class__ = Mine
    return same(event), [lambda event: under(event.mine, event)] * 2


def a_condition_and_a_queue() -> Case:
    OLD.changed, OLD.items = threading.Condition(), queue.Queue()  # type: ignore[attr-defined]

    def puts(old: Any) -> None:
        with old.changed:
            old.items.put(1)
            old.changed.notify_all()

    def gets(old: Any) -> None:
        with old.changed:
            while old.items.empty():
                old.changed.wait()
            old.value = old.items.get()

    return same(OLD), [puts, gets]


def two_locks_the_wrong_way_round() -> Case:
    OLD.one, OLD.two = threading.Lock(), threading.Lock()  # type: ignore[attr-defined]

    def there(old: Any) -> None:
        with old.one, old.two:
            pass

    def back(old: Any) -> None:
        with old.two, old.one:
            pass

    return same(OLD), [there, back]


# --- names of originals -------------------------------------------------------------------------
def making(make: Callable[[], Any]) -> Case:
    """Workers for whom ``make`` gives a lock."""

    def setup() -> Any:
        OLD.value, OLD.made = 0, make()  # type: ignore[attr-defined]
        return OLD

    return setup, [lambda old: under(old.made)] * 2


def a_lock_by_default() -> Case:
    def make(lock: Any = threading.Lock) -> Any:
        return lock()

    return making(make)


def a_lock_by_a_keyword() -> Case:
    def make(*, lock: Any = threading.Lock) -> Any:
        return lock()

    return making(make)


def a_lock_in_a_closure() -> Case:
    lock = threading.Lock

    def make() -> Any:
        return lock()

    return making(make)


def a_lock_in_a_partial() -> Case:
    return making(functools.partial(threading.Lock))


def a_lock_in_a_dictionary() -> Case:
    NAMES["lock"] = threading.Lock
    return making(lambda: NAMES["lock"]())


def a_lock_in_a_class_attribute() -> Case:
    class Makes:
        lock = threading.Lock

    return making(lambda: Makes.lock())


def a_lock_in_an_object() -> Case:
    OLDER.make = threading.Lock  # type: ignore[attr-defined]
    return making(lambda: OLDER.make())  # type: ignore[attr-defined]


def a_lock_in_a_dataclass() -> Case:
    @dataclass
    class Has:
        lock: Any = field(default_factory=threading.Lock)

    return making(lambda: Has().lock)


def a_lock_that_an_old_function_gets() -> Case:
    old_function.__defaults__ = (threading.Lock,)
    return making(lambda: old_function()())


def defaults_that_two_functions_have() -> Case:
    old_function.__defaults__ = (threading.Lock,)
    once(lambda: None)
    once(lambda: None)
    other_function.__defaults__ = old_function.__defaults__
    return making(lambda: other_function()())


def a_name_that_changes_its_holder() -> Case:
    NAMES["moves"] = threading.Lock
    once(lambda: None)
    once(lambda: None)
    OLDER.moved = NAMES.pop("moves")  # type: ignore[attr-defined]
    return making(lambda: OLDER.moved())  # type: ignore[attr-defined]


def imported(text: str) -> types.ModuleType:
    """A module that has not been imported before."""
    folder = tempfile.mkdtemp()
    name = f"between_{len([name for name in sys.modules if name.startswith('between_')])}"
    Path(folder, f"{name}.py").write_text(text)
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(folder)


MODULE = """
from threading import Lock
from time import sleep
import threading
LOCK = threading.Lock()
class Has:
    make = Lock
def make(lock=Lock):
    return lock()
"""


def a_module_that_is_imported() -> Case:
    module = imported(MODULE)
    return same(OLD), [lambda old: under(module.LOCK)] * 2


def names_in_a_module_that_is_imported() -> Case:
    module = imported(MODULE)
    return making(lambda: (module.Lock(), module.Has.make(), module.make())[1])


def a_module_that_is_loaded_again() -> Case:
    module = imported(MODULE)
    once(lambda: None)
    loader: Any = module.__spec__ and module.__spec__.loader
    loader.exec_module(module)
    return making(lambda: (module.Lock(), module.Has.make(), module.make())[2])


def sleeping_that_was_replaced() -> Case:
    slept: list[float] = []
    time.sleep = slept.append  # type: ignore[assignment]

    def sleeps(old: Any) -> None:
        time.sleep(1)
        old.value += 1

    return same(OLD), [sleeps, sleeps]


def sleeping_by_another_name() -> Case:
    OLDER.nap = time.sleep  # type: ignore[attr-defined]

    def sleeps(old: Any) -> None:
        value = old.value
        OLDER.nap(1000)  # type: ignore[attr-defined]
        old.value = value + 1

    return same(OLD), [sleeps, sleeps]


def tasks_that_sleep_by_another_name() -> Case:
    OLDER.nap = asyncio.sleep  # type: ignore[attr-defined]

    async def sleeps(old: Any) -> None:
        value = old.value
        await OLDER.nap(1000)  # type: ignore[attr-defined]
        old.value = value + 1

    return same(OLD), [sleeps, sleeps]


def a_queue_with_a_method_of_its_own() -> Case:
    class Counts(queue.Queue):  # type: ignore[type-arg]
        def put(self, item: Any, block: bool = True, timeout: Any = None) -> None:
            super().put(item, block, timeout)

    def setup() -> Any:
        return Counts()

    return setup, [lambda items: items.put(1), lambda items: items.get()]


# --- the rest -----------------------------------------------------------------------------------
def after_one_that_raises() -> Case:
    def raises() -> Any:
        raise ValueError("no")

    OLD.lock = threading.Lock()  # type: ignore[attr-defined]
    with contextlib.suppress(tracelock.UsageError):
        tracelock.explore(setup=raises, workers=[lambda state: None])
    return same(OLD), [lambda old: under(old.lock)] * 2


def after_a_collection() -> Case:
    OLD.lock = threading.Lock()  # type: ignore[attr-defined]
    gc.collect()
    return same(OLD), [lambda old: under(old.lock)] * 2


def after_all_was_frozen_for_a_while() -> Case:
    OLD.lock = threading.Lock()  # type: ignore[attr-defined]
    NAMES["frozen"] = threading.Lock
    gc.freeze()
    gc.unfreeze()
    return making(lambda: (OLD.lock, NAMES["frozen"]())[1])  # type: ignore[attr-defined]


def while_all_is_frozen() -> Case:
    OLD.lock = threading.Lock()  # type: ignore[attr-defined]
    gc.freeze()
    return same(OLD), [lambda old: under(old.lock)] * 2


def a_thread_that_lives_on() -> Case:
    go = threading.Event()
    threading.Thread(target=lambda make=threading.Lock: go.wait(60), daemon=True).start()
    OLD.go, OLD.lock = go, threading.Lock()  # type: ignore[attr-defined]
    return same(OLD), [lambda old: under(old.lock)] * 2


def what_each_thread_has_for_itself() -> Case:
    OLD.own = threading.local()  # type: ignore[attr-defined]

    @functools.lru_cache
    def computed(number: int) -> int:
        return number

    def counts(old: Any) -> None:
        old.own.value = getattr(old.own, "value", 0) + computed(1)
        assert old.own.value == 1

    return same(OLD), [counts, counts]


CASES: dict[str, Callable[[], Case]] = {
    name: made for name, made in list(globals().items())
    if isinstance(made, types.FunctionType)
    and getattr(made, "__annotations__", {}) == {"return": "Case"}
}  # fmt: skip
#: After these the process has to be looked at anew.
ANEW = {"after_a_collection", "while_all_is_frozen"}
#: After this all has grown old, which is told where nobody was asked for in the last exploration.
OLD_NOW = "after_all_was_frozen_for_a_while"


class _NoHub:
    """Stands for the hub where locks are only looked for."""

    def __init__(self) -> None:
        self.pool = None

    def stand_in(self, raw: Any, name: str = "") -> str:
        return name

    def mark(self, value: Any, name: str) -> None:
        pass


def left_out() -> list[str]:
    """What is not under control though it should be: all objects are looked at."""
    active = Patches.active
    assert active is not None
    later: Any = _Later()
    live = LiveObjects()
    gc.freeze()
    names = [row for row in active._rows if row.owner is None]
    replace_names(later, names, live)
    adopt(later, _NoHub(), live)  # type: ignore[arg-type]
    # what is known to tracelock by numbers is its own
    return sorted(
        f"{type(owner).__name__}.{name}"
        for owner, name, _, _ in later.noted
        if type(name) is not int
    )


def once(worker: Callable[[], Any]) -> None:
    """Another exploration, where there were any before."""
    if EXPLORED:
        tracelock.explore(workers=[worker], schedules=4)


EXPLORED: list[bool] = []


def run(name: str, later: bool) -> dict[str, Any]:
    """The result of a case."""
    table(*COMMON, *LOOPING, loaded=True)  # what is an original is what it is by now
    if later:
        EXPLORED[:] = [True]
        for _ in range(6 if GROWN else 2):  # until nobody is asked any more
            once(lambda: None)
    setup, workers = CASES[name]()
    if GROWN:
        gc.collect(1)
    left: list[str] = []
    new: list[bool] = []
    asked = AgeMark.new

    def asks(self: AgeMark) -> Any:
        found = asked(self)
        new.append(found is not None)
        return found

    AgeMark.new = asks  # type: ignore[method-assign]

    def looks() -> Any:
        if not left:
            with contexts.out_of_control():
                left.extend(left_out() or ["nothing"])
        return setup()

    try:
        found = tracelock.explore(
            setup=looks, workers=workers, schedules=60, every=True, shrink=False, confirm=0,
        )  # fmt: skip
    finally:
        AgeMark.new = asked  # type: ignore[method-assign]
        time.sleep = ORIGINALS["time.sleep"]
        gc.unfreeze()
    # where somebody was asked for, what has grown old is not told: of one case only that it is
    told = name == "a_lock_in_an_old_object" if GROWN else name != OLD_NOW
    if later and process.BY_AGE and told:
        assert any(new) == (name not in ANEW), (name, new)
    account: Any = found.account
    now = {
        "Lock": threading.Lock, "RLock": threading.RLock, "time.sleep": time.sleep,
        "asyncio.sleep": asyncio.sleep, "start": threading.Thread.start, "get": queue.Queue.get,
        "monotonic": time.monotonic,
    }  # fmt: skip
    return {
        "verdict": found.verdict, "left": left, "locks": sorted(account.locks),
        "variables": dict(account.variables), "unseen": sorted(account.not_seen),
        "outcomes": sorted(f"{one.kind}: {one.failure}" for one in found.ways),
        "events": [
            f"{event.worker} {event.op} {event.target}" for event in found.trace.events
        ] if found.trace is not None else [],
        "changed": sorted(one for one in ORIGINALS if now[one] is not ORIGINALS[one]),
        "frozen": gc.get_freeze_count(), "collects": gc.isenabled(),
    }  # fmt: skip


def main() -> None:
    how, *names = sys.argv[1:]
    if how == "listed":
        process.BY_AGE = False
    GROWN.extend(["grown"] * (how == "grown"))
    for name in names:
        print(json.dumps([name, run(name, how != "fresh")]), flush=True)


if __name__ == "__main__":
    main()
