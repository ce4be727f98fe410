"""Explorations of one process, between which random objects get originals and locks, or lose them.

    python -m tests.helpers.holders SEED EXPLORATIONS

After each change an exploration is made. In it each holder that is alive is asked for what it has;
in the last one, what it should have reached and did not is looked for among all objects of the
process (``between.left_out``). What is wrong is printed, and in the end how many holders were asked
in explorations that had only looked at what was new.
"""

from __future__ import annotations

import collections
import functools
import gc
import itertools
import operator
import random
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import tracelock
from tests.helpers.between import left_out
from tracelock.instrument import contexts
from tracelock.instrument.scanning.marks import AgeMark

#: Functions and classes that are replaced, whoever has them.
ORIGINALS: list[Any] = [
    threading.Lock, threading.RLock, time.sleep, time.monotonic, time.time,
    SimpleQueue,
]  # fmt: skip
MODULE = types.ModuleType("tests_helpers_of_holders")


class Plain:
    """Its attributes are no dictionary until somebody asks."""


class Slots:
    __slots__ = ("thing",)


class Rigid(tuple):  # type: ignore[type-arg]
    """Nobody can refer to it weakly."""


#: Have been there since this was imported.
OLD = [Plain() for _ in range(6)]
NAMES: dict[str, Any] = {}
LISTS: list[Any] = []
#: What is made in between and stays: a holder each, with what gives its value, or None where only
#: code in C knows that.
HELD: list[tuple[str, Any, Callable[[], Any] | None, bool]] = []
_number = itertools.count()


def _attribute(thing: Any, owner: Any) -> tuple[Any, Callable[[], Any]]:
    name = f"thing_{next(_number)}"
    setattr(owner, name, thing)
    return (owner, name), lambda: getattr(owner, name)


def in_old_object(thing: Any) -> Any:
    return _attribute(thing, random.choice(OLD))


def in_new_object(thing: Any) -> Any:
    return _attribute(thing, Plain())


def in_object_that_was_asked_for_its_attributes(thing: Any) -> Any:
    held, get = _attribute(thing, Plain())
    vars(held[0])
    return held, get


def in_object_that_is_asked_later(thing: Any) -> Any:
    held, get = _attribute(thing, Plain())
    LATER.append(held[0])
    return held, get


def in_module(thing: Any) -> Any:
    return _attribute(thing, MODULE)


def in_class(thing: Any) -> Any:
    cls = type("Made", (), {"thing": thing})
    return cls, lambda: vars(cls)["thing"]


def in_object_without_weak_references(thing: Any) -> Any:
    rigid: Any = Rigid((1,))
    held, get = _attribute(thing, rigid)
    random.choice(OLD).rigid = rigid  # type: ignore[attr-defined]
    return held, get


def in_attributes_that_two_have(thing: Any) -> Any:
    one, two = Plain(), Plain()
    two.__dict__ = one.__dict__
    held, get = _attribute(thing, one)
    return (held, two), get


def in_slot(thing: Any) -> Any:
    one = Slots()
    one.thing = thing
    return one, None


def in_dictionary(thing: Any) -> Any:
    name = f"thing_{next(_number)}"
    NAMES[name] = thing
    return name, lambda: NAMES[name]


def in_new_dictionary(thing: Any) -> Any:
    made = {"thing": thing}
    return made, lambda: made["thing"]


def in_default_dictionary(thing: Any) -> Any:
    made = collections.defaultdict(thing)
    return made, lambda: made.default_factory


def in_default_argument(thing: Any) -> Any:
    def made(value: Any = thing) -> Any:
        return value

    return made, made


def in_default_argument_of_a_keyword(thing: Any) -> Any:
    def made(*, value: Any = thing) -> Any:
        return value

    return made, made


def in_closure(thing: Any) -> Any:
    def made() -> Any:
        return thing

    return made, made


def in_partial(thing: Any) -> Any:
    return functools.partial(print, thing), None


def in_list(thing: Any) -> Any:
    LISTS.append([thing, (thing,)])
    return LISTS[-1], None


def in_deque(thing: Any) -> Any:
    return collections.deque([thing]), None


def in_cache(thing: Any) -> Any:
    @functools.lru_cache
    def made(value: int) -> Any:
        return thing

    made(1)
    return made, None


def in_iterator(thing: Any) -> Any:
    return itertools.repeat(thing), None


def in_caller(thing: Any) -> Any:
    return operator.methodcaller("append", thing), None


def in_generator(thing: Any) -> Any:
    def made() -> Iterator[Any]:
        mine = thing
        yield
        yield mine

    running = made()
    next(running)
    return running, None


def in_frame_of_an_error(thing: Any) -> Any:
    def made(mine: Any) -> Any:
        raise ValueError

    try:
        made(thing)
    except ValueError as error:
        return error, None


def in_thread_that_waits(thing: Any) -> Any:
    go = threading.Event()

    def waits(mine: Any) -> None:
        go.wait(60)

    thread = threading.Thread(target=waits, args=(thing,), daemon=True)
    thread.start()
    GO.append((go, thread))
    return None, None


def in_thread_that_waits_for_a_lock(thing: Any) -> Any:
    lock = threading.Lock()
    lock.acquire()
    begun = threading.Event()

    def waits() -> None:
        begun.set()
        with lock:
            pass

    thread = threading.Thread(target=waits, daemon=True)
    thread.start()
    begun.wait(60)
    GO.append((lock, thread))
    return None, None


LATER: list[Any] = []
GO: list[tuple[Any, threading.Thread]] = []
#: Where what is there is replaced; a lock is so in attributes alone.
ATTRIBUTES = (
    in_old_object, in_new_object, in_object_that_was_asked_for_its_attributes,
    in_object_that_is_asked_later, in_module, in_class, in_object_without_weak_references,
    in_attributes_that_two_have,
)  # fmt: skip
HOLDERS = (
    *ATTRIBUTES, in_slot, in_dictionary, in_new_dictionary, in_default_dictionary,
    in_default_argument, in_default_argument_of_a_keyword, in_closure, in_partial, in_list,
    in_deque, in_cache, in_iterator, in_caller, in_generator, in_frame_of_an_error,
    in_thread_that_waits, in_thread_that_waits_for_a_lock,
)  # fmt: skip


def _let_go() -> None:
    """One that was there lets go, in one of the ways in which it can."""
    kind, held, _, _ = HELD.pop(random.randrange(len(HELD)))
    if kind == "in_dictionary":
        del NAMES[held]
    elif type(held) is tuple and type(held[-1]) is str:
        delattr(*held)
    elif kind == "in_list":
        LISTS.remove(held)


def _end_a_thread() -> None:
    go, thread = GO.pop()
    go.set() if isinstance(go, threading.Event) else go.release()
    thread.join()


def change() -> None:
    """Something that a program does between two explorations."""
    if HELD and random.random() < 0.35:
        _let_go()
    if GO and random.random() < 0.3:
        _end_a_thread()
    if LATER and random.random() < 0.5:
        vars(LATER.pop())
    for _ in range(random.randrange(3)):
        make = random.choice(HOLDERS)
        if random.random() < 0.4:
            lock = threading.Lock() if random.random() < 0.5 else threading.RLock()
            if random.random() < 0.2:
                lock.acquire()
            some = make, random.choice(HOLDERS), random.choice(ATTRIBUTES)
            for each in dict.fromkeys(some):
                if each is not in_default_dictionary:
                    held, get = each(lock)
                    HELD.append((each.__name__, held, get if each in ATTRIBUTES else None, True))
        else:
            held, get = make(random.choice(ORIGINALS))
            HELD.append((make.__name__, held, get, False))
    if random.random() < 0.1:
        # what one has and nobody sees goes, and in its place comes one who is to be seen
        moved = [index for index, one in enumerate(HELD) if one[0] == "in_frame_of_an_error"]
        if moved:
            error = HELD.pop(moved[0])[1]
            *_, thing = gc.get_referents(error.__traceback__.tb_next.tb_frame)
            held, get = in_new_object(thing)
            HELD.append(("in_new_object", held, get, type(thing) in RAW))
    if random.random() < 0.2:
        gc.collect(random.randrange(2))  # after one of all, what is new cannot be told


RAW = (type(threading.Lock()), type(threading.RLock()))


def main() -> None:
    seed, count = map(int, sys.argv[1:])
    random.seed(seed)
    sys.modules[MODULE.__name__] = MODULE
    asked = 0
    wrong: list[str] = []
    looked: list[bool] = []
    told: list[bool] = []
    new = AgeMark.new

    def tells(self: AgeMark) -> Any:
        found = new(self)
        told.append(found is not None)
        return found

    AgeMark.new = tells  # type: ignore[method-assign]

    def look() -> None:
        nonlocal asked
        if looked:  # by an earlier schedule of this exploration
            return
        looked.append(True)
        with contexts.out_of_control():
            if number == count - 1:  # after which what is new cannot be told
                # ``mine`` is a variable of a function that runs: who asks for those gets a copy
                found = [one for one in left_out() if one != "dict.mine"]
                wrong.extend(f"left out: {one}" for one in found)
            for kind, _, get, _ in HELD:
                if get is not None:
                    asked += any(told)
                    thing = get()
                    if any(thing is one for one in ORIGINALS) or type(thing) in RAW:
                        wrong.append(f"{kind} has {thing!r}")

    for number in range(count):
        change()
        wrong.clear()
        looked.clear()
        told.clear()
        tracelock.explore(setup=look, workers=[lambda _: None], schedules=1)
        for one in sorted({*wrong}):
            print(f"exploration {number}: {one}")
    while GO:
        _end_a_thread()
    print(f"asked {asked}")


if __name__ == "__main__":
    main()
