"""Idioms of everyday code with their known truth, in the list of ``interpreter_cases``.

What CPython does in one go (a method of a built-in container, one load, one store) is right; what
takes two loads or a load and a store is wrong without a lock.
"""

from __future__ import annotations

import array
import atexit
import bisect
import collections
import contextlib
import contextvars
import datetime
import enum
import functools
import heapq
import itertools
import operator
import queue
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

from tests.conformance.interpreter_cases import RIGHT, WRONG, State, Thing, case, equal, values


def space(**given: Any) -> Any:
    """A ``setup`` that makes a namespace of these, copied where they can change."""
    return lambda: SimpleNamespace(
        **{name: value.copy() if hasattr(value, "copy") else value for name, value in given.items()}
    )


# --- stores and what looks like one --------------------------------------------------------
@case(RIGHT, "both extend the same list, and store it where it was")
def list_attribute_added_to() -> Any:
    def add(s: State) -> None:
        s.items += [1]

    return space(items=[]), [add, add], lambda s: len(s.items) == 2


@case(WRONG, "a tuple is made anew from the one that was read")
def tuple_attribute_added_to() -> Any:
    def add(s: State) -> None:
        s.items += (1,)

    return space(items=()), [add, add], lambda s: len(s.items) == 2


@case(WRONG, "a text is made anew from the one that was read")
def text_added_to() -> Any:
    def add(s: State) -> None:
        s.text += "x"

    return space(text=""), [add, add], lambda s: len(s.text) == 2


@case(WRONG, "two attributes are swapped in four steps")
def attributes_swapped() -> Any:
    def swap(s: State) -> None:
        s.a, s.b = s.b, s.a

    return space(a=1, b=2), [swap, swap], lambda s: {s.a, s.b} == {1, 2}


@case(RIGHT, "each pair is published as one tuple")
def pair_published_at_once() -> Any:
    def swap(s: State) -> None:
        s.pair = (2, 1)

    def look(s: State) -> None:
        a, b = s.pair
        assert a != b

    return space(pair=(1, 2)), [swap, look], None


@case(WRONG, "a pair that is changed in two stores is seen half changed")
def pair_in_two_stores() -> Any:
    def swap(s: State) -> None:
        s.a = 2
        s.b = 1

    def look(s: State) -> None:
        assert s.a != s.b

    return space(a=1, b=2), [swap, look], None


def count_up() -> Any:
    total = 0

    def add(_: State) -> None:
        nonlocal total
        total += 1

    def setup() -> None:
        nonlocal total
        total = 0

    return setup, [add, add], lambda _: total == 2


case(WRONG, "a variable of a closure is read and then bound")(count_up)


@case(WRONG, "a default argument is one list for all calls")
def default_argument_shared() -> Any:
    kept: list[int] = []

    def setup() -> State:
        kept.clear()
        return SimpleNamespace(got=[])

    def take(seen: list[int] = kept) -> int:
        number = len(seen)
        seen.append(number)
        return number

    def work(s: State) -> None:
        s.got.append(take())

    return setup, [work, work], lambda s: sorted(s.got) == [0, 1]


class Registry:
    known: ClassVar[dict[str, int]] = {}
    made: ClassVar[int] = 0

    @classmethod
    def get(cls, name: str) -> int:
        if name not in cls.known:
            cls.made += 1
            cls.known[name] = cls.made
        return cls.known[name]


@case(WRONG, "a registry of the class is filled twice")
def registry_of_a_class() -> Any:
    def setup() -> State:
        Registry.known, Registry.made = {}, 0
        return SimpleNamespace()

    def work(s: State) -> None:
        Registry.get("a")

    return setup, [work, work], lambda s: Registry.made == 1


# --- dictionaries ----------------------------------------------------------------------------
@case(RIGHT, "setdefault keeps the first of the two, and gives it to both")
def setdefault_of_a_dict() -> Any:
    def work(s: State) -> None:
        s.got.append(s.table.setdefault("a", object()))

    return space(table={}, got=[]), [work, work], lambda s: s.got[0] is s.got[1]


@case(WRONG, "get and then store makes two")
def get_and_store() -> Any:
    def work(s: State) -> None:
        found = s.table.get("a")
        if found is None:
            found = s.table["a"] = object()
        s.got.append(found)

    return space(table={}, got=[]), [work, work], lambda s: s.got[0] is s.got[1]


@case(RIGHT, "pop with a default gives the value to one of them")
def pop_with_a_default() -> Any:
    def work(s: State) -> None:
        s.got.append(s.table.pop("a", None))

    return space(table={"a": 1}, got=[]), [work, work], lambda s: s.got.count(1) == 1


@case(WRONG, "the key goes between the look and the deletion")
def look_and_delete() -> Any:
    def work(s: State) -> None:
        if "a" in s.table:
            del s.table["a"]

    return space(table={"a": 1}), [work, work], None


@case(WRONG, "a key that is put in while others walk changes the size")
def dict_walked_while_it_grows() -> Any:
    def walk(s: State) -> None:
        for _ in s.table:
            pass

    def put(s: State) -> None:
        s.table["b"] = 1

    return space(table={"a": 1}), [walk, put], None


@case(RIGHT, "the keys are copied in one go")
def dict_copied_and_walked() -> Any:
    def walk(s: State) -> None:
        for _ in list(s.table):
            pass

    def put(s: State) -> None:
        s.table["b"] = 1

    return space(table={"a": 1}), [walk, put], None


@case(WRONG, "the newest is moved, and may be gone")
def ordered_dict_as_a_cache() -> Any:
    def use(s: State) -> None:
        if "a" in s.table:
            s.table.move_to_end("a")

    def evict(s: State) -> None:
        s.table.popitem(last=False)

    return space(table=collections.OrderedDict(a=1)), [use, evict], None


@case(WRONG, "a count is read and stored")
def counter_of_words() -> Any:
    def work(s: State) -> None:
        s.words["a"] += 1

    return space(words=collections.Counter()), [work, work], lambda s: s.words["a"] == 2


@case(RIGHT, "the factory is the interpreter's own, the append is one step")
def defaultdict_of_lists() -> Any:
    def work(s: State) -> None:
        s.table["a"].append(1)

    return (
        values(table=lambda: collections.defaultdict(list)),
        [work, work],
        (lambda s: s.table["a"] == [1, 1]),
    )


# --- lists, sets, deques, heaps ----------------------------------------------------------------
@case(RIGHT, "append is one step")
def list_appended_to() -> Any:
    def work(s: State) -> None:
        s.items.append(1)

    return space(items=[]), [work, work], lambda s: len(s.items) == 2


@case(WRONG, "the last one goes between the test and the pop")
def pop_if_there_is_one() -> Any:
    def work(s: State) -> None:
        if s.items:
            s.items.pop()

    return space(items=[1]), [work, work], None


@case(RIGHT, "an empty deque says so by an exception")
def pop_and_see() -> Any:
    def work(s: State) -> None:
        with contextlib.suppress(IndexError):
            s.got.append(s.items.popleft())

    return space(items=collections.deque([1]), got=[]), [work, work], lambda s: s.got == [1]


@case(WRONG, "an index is found, and used when others have moved on")
def index_found_and_used() -> Any:
    def work(s: State) -> None:
        place = s.items.index(2)
        s.got.append(s.items[place])

    def shift(s: State) -> None:
        s.items.insert(0, 0)

    return space(items=[1, 2], got=[]), [work, shift], lambda s: s.got == [2]


@case(WRONG, "it is looked for, then removed by both")
def looked_for_and_removed() -> Any:
    def work(s: State) -> None:
        if 1 in s.items:
            s.items.remove(1)

    return space(items={1}), [work, work], None


@case(RIGHT, "discard does not mind")
def discarded() -> Any:
    def work(s: State) -> None:
        s.items.discard(1)

    return space(items={1}), [work, work], lambda s: not s.items


@case(WRONG, "a deque that changes while it is walked")
def deque_walked_while_it_changes() -> Any:
    def walk(s: State) -> None:
        for _ in s.items:
            pass

    def put(s: State) -> None:
        s.items.append(3)

    return space(items=collections.deque([1, 2])), [walk, put], None


@case(RIGHT, "each push and pop is one step")
def heap_pushed_and_popped() -> Any:
    def work(s: State) -> None:
        heapq.heappush(s.heap, 1)
        s.got.append(heapq.heappop(s.heap))

    return space(heap=[], got=[]), [work, work], lambda s: s.got == [1, 1]


@case(WRONG, "the smallest is looked at, and another one popped")
def heap_looked_at_and_popped() -> Any:
    def work(s: State) -> None:
        first = s.heap[0]
        assert heapq.heappop(s.heap) == first

    return space(heap=[1, 2]), [work, work], None


@case(RIGHT, "insort is one step")
def kept_in_order() -> Any:
    def low(s: State) -> None:
        bisect.insort(s.items, 1)

    def high(s: State) -> None:
        bisect.insort(s.items, 9)

    return space(items=[5]), [low, high], lambda s: s.items == [1, 5, 9]


@case(WRONG, "the place is found before another one comes in")
def place_found_then_inserted() -> Any:
    def low(s: State) -> None:
        s.items.insert(0, 1)

    def high(s: State) -> None:
        s.items.insert(bisect.bisect(s.items, 9), 9)

    return space(items=[5]), [low, high], lambda s: s.items == [1, 5, 9]


@case(WRONG, "an element of an array is read and stored")
def array_element() -> Any:
    def work(s: State) -> None:
        s.items[0] += 1

    return values(items=lambda: array.array("i", [0])), [work, work], lambda s: s.items[0] == 2


@case(WRONG, "two views of one piece of memory")
def two_views_of_memory() -> Any:
    def setup() -> State:
        data = bytearray(4)
        return SimpleNamespace(data=data, a=memoryview(data)[:2], b=memoryview(data)[1:])

    def one(s: State) -> None:
        s.a[1] += 1

    def other(s: State) -> None:
        s.b[0] += 1

    return setup, [one, other], lambda s: s.data[1] == 2


@case(RIGHT, "two views of different memory")
def views_of_different_memory() -> Any:
    def setup() -> State:
        data = bytearray(4)
        return SimpleNamespace(data=data, a=memoryview(data)[:2], b=memoryview(data)[2:])

    def one(s: State) -> None:
        s.a[1] += 1

    def other(s: State) -> None:
        s.b[0] += 1

    return setup, [one, other], lambda s: s.data[1:3] == b"\1\1"


# --- iterators -------------------------------------------------------------------------------
@case(RIGHT, "each number is given once")
def numbers_from_a_count() -> Any:
    def work(s: State) -> None:
        s.got.append(next(s.numbers))

    return (
        values(numbers=itertools.count, got=list),
        [work, work],
        (lambda s: sorted(s.got) == [0, 1]),
    )


@case(WRONG, "who gets the first one is not known")
def first_of_a_count() -> Any:
    def one(s: State) -> None:
        s.first = next(s.numbers)

    def other(s: State) -> None:
        next(s.numbers)

    return values(numbers=itertools.count, first=int), [one, other], lambda s: s.first == 0


@case(WRONG, "a cycle goes on for both")
def turns_of_a_cycle() -> Any:
    def one(s: State) -> None:
        s.got = next(s.turns)

    def other(s: State) -> None:
        next(s.turns)

    return (
        values(turns=lambda: itertools.cycle("ab"), got=str),
        [one, other],
        (lambda s: s.got == "a"),
    )


def lines() -> Iterator[int]:
    yield 1
    yield 2


@case(WRONG, "two ends of a tee run one generator")
def tee_of_a_generator() -> Any:
    def setup() -> State:
        a, b = itertools.tee(lines())
        return SimpleNamespace(a=a, b=b)

    return setup, [lambda s: next(s.a), lambda s: next(s.b)], None


@case(RIGHT, "two ends of a tee of a list are each one's own")
def tee_of_a_list() -> Any:
    def setup() -> State:
        a, b = itertools.tee([1, 2])
        return SimpleNamespace(a=a, b=b, got=[])

    def one(s: State) -> None:
        s.got.extend(s.a)

    def other(s: State) -> None:
        s.got.extend(s.b)

    return setup, [one, other], lambda s: sorted(s.got) == [1, 1, 2, 2]


@case(WRONG, "a bound __next__ is the iterator all the same")
def bound_next() -> Any:
    def one(s: State) -> None:
        s.first = s.take()

    return values(take=lambda: itertools.count().__next__, first=int), [
        one, lambda s: s.take()
    ], lambda s: s.first == 0  # fmt: skip


# --- classes ---------------------------------------------------------------------------------
@dataclass(slots=True)
class Slotted:
    n: int = 0
    items: list[int] = field(default_factory=list)


@case(WRONG, "a field in a slot is read and stored")
def dataclass_with_slots() -> Any:
    def work(s: Slotted) -> None:
        s.n += 1

    return Slotted, [work, work], equal(2)


@case(RIGHT, "a list that each object makes for itself, appended to")
def dataclass_with_a_list() -> Any:
    def work(s: Slotted) -> None:
        s.items.append(1)

    return Slotted, [work, work], lambda s: len(s.items) == 2


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


@case(RIGHT, "members of an enumeration do not change")
def members_looked_up() -> Any:
    def work(s: State) -> None:
        assert Level(1) is Level.LOW and Level["HIGH"] is Level.HIGH

    return space(), [work, work], None


class Computed:
    def __init__(self) -> None:
        self.calls = 0

    @property
    def n(self) -> int:
        return self.calls

    @n.setter
    def n(self, value: int) -> None:
        self.calls = value


@case(WRONG, "a property is a read and a store too")
def property_added_to() -> Any:
    def work(s: Computed) -> None:
        s.n += 1

    return Computed, [work, work], equal(2)


class Lazy:
    def __init__(self) -> None:
        self.made = 0

    def __getattr__(self, name: str) -> Any:
        if name != "value":
            raise AttributeError(name)
        self.made += 1
        self.value = [self.made]
        return self.value


@case(WRONG, "two see that it is missing, and make it")
def made_by_getattr() -> Any:
    def work(s: Lazy) -> None:
        s.value.append(0)

    return Lazy, [work, work], lambda s: s.made == 1


class Guarded:
    def __init__(self) -> None:
        object.__setattr__(self, "lock", threading.Lock())
        object.__setattr__(self, "n", 0)

    def __setattr__(self, name: str, value: Any) -> None:
        with self.lock:
            object.__setattr__(self, name, value)


@case(WRONG, "a lock around the store does not cover the read")
def store_with_a_lock() -> Any:
    def work(s: Guarded) -> None:
        s.n += 1

    return Guarded, [work, work], equal(2)


@case(WRONG, "vars() is the same attribute as the name")
def vars_against_the_name() -> Any:
    def one(s: Thing) -> None:
        vars(s)["value"] += 1

    def other(s: Thing) -> None:
        s.value += 1

    return Thing, [one, other], lambda s: s.value == 2


@case(WRONG, "it is there for hasattr, and gone for delattr")
def attribute_looked_for_and_deleted() -> Any:
    def work(s: Thing) -> None:
        name = "val" + "ue"
        if hasattr(s, name):
            delattr(s, name)

    return Thing, [work, work], None


@case(RIGHT, "getattr with a default")
def attribute_with_a_default() -> Any:
    def look(s: Thing) -> None:
        assert getattr(s, "value", 0) == 0

    def delete(s: Thing) -> None:
        del s.value

    return Thing, [look, delete], None


@case(WRONG, "a function is registered for a type while others dispatch")
def single_dispatch() -> Any:
    def setup() -> State:
        @functools.singledispatch
        def kind(_: object) -> str:
            return "any"

        return SimpleNamespace(kind=kind)

    def register(s: State) -> None:
        s.kind.register(int, lambda _: "int")

    def use(s: State) -> None:
        assert s.kind(1) == "any"

    return setup, [register, use], None


# --- locks and what wakes -----------------------------------------------------------------------
@case(RIGHT, "looked at again with the lock held")
def double_checked() -> Any:
    def work(s: State) -> None:
        if s.thing is None:
            with s.lock:
                if s.thing is None:
                    s.made += 1
                    s.thing = object()
        assert s.thing is not None

    return (
        values(lock=threading.Lock, thing=lambda: None, made=int),
        [work, work],
        (lambda s: s.made == 1),
    )


@case(WRONG, "not looked at again")
def checked_once() -> Any:
    def work(s: State) -> None:
        if s.thing is None:
            with s.lock:
                s.made += 1
                s.thing = object()

    return (
        values(lock=threading.Lock, thing=lambda: None, made=int),
        [work, work],
        (lambda s: s.made == 1),
    )


@case(WRONG, "published before it is filled")
def published_too_early() -> Any:
    def make(s: State) -> None:
        s.thing = thing = SimpleNamespace()
        thing.value = 1

    def use(s: State) -> None:
        thing = s.thing
        if thing is not None:
            assert thing.value == 1

    return space(thing=None), [make, use], None


@case(WRONG, "a condition that is waited for with if: the item may be gone again")
def condition_with_if() -> Any:
    def take(s: State) -> None:
        with s.ready:
            if not s.items:
                s.ready.wait()
            s.items.pop()

    def take_if_any(s: State) -> None:
        with s.ready:
            if s.items:
                s.items.pop()

    def put(s: State) -> None:
        with s.ready:
            s.items.append(1)
            s.ready.notify_all()

    return values(ready=threading.Condition, items=list), [take, take_if_any, put], None


@case(RIGHT, "with while, and one item for each")
def condition_with_while() -> Any:
    def take(s: State) -> None:
        with s.ready:
            while not s.items:
                s.ready.wait()
            s.items.pop()

    def put(s: State) -> None:
        with s.ready:
            s.items.append(1)
            s.ready.notify_all()

    return values(ready=threading.Condition, items=lambda: [1]), [take, take, put], None


@case(WRONG, "a notification before the wait is lost")
def notified_too_early() -> Any:
    def wait(s: State) -> None:
        with s.ready:
            s.ready.wait()

    def tell(s: State) -> None:
        with s.ready:
            s.ready.notify()

    return values(ready=threading.Condition), [wait, tell], None


@case(RIGHT, "an event stays set")
def event_set_early() -> Any:
    def wait(s: State) -> None:
        s.ready.wait()
        assert s.value == 1

    def tell(s: State) -> None:
        s.value = 1
        s.ready.set()

    return values(ready=threading.Event, value=int), [wait, tell], None


@case(WRONG, "the event is set before the value is")
def event_set_before_the_value() -> Any:
    def wait(s: State) -> None:
        s.ready.wait()
        assert s.value == 1

    def tell(s: State) -> None:
        s.ready.set()
        s.value = 1

    return values(ready=threading.Event, value=int), [wait, tell], None


@case(WRONG, "a semaphore of two lets two in")
def semaphore_of_two() -> Any:
    def work(s: State) -> None:
        with s.room:
            s.n += 1

    return values(room=lambda: threading.Semaphore(2), n=int), [work, work], equal(2)


@case(RIGHT, "a semaphore of one does not")
def semaphore_of_one() -> Any:
    def work(s: State) -> None:
        with s.room:
            s.n += 1

    return values(room=threading.Semaphore, n=int), [work, work], equal(2)


@case(RIGHT, "all have come when anybody goes on")
def barrier() -> Any:
    def work(s: State) -> None:
        s.come.append(1)
        s.barrier.wait()
        assert len(s.come) == 2

    return values(barrier=lambda: threading.Barrier(2), come=list), [work, work], None


@case(WRONG, "who does not get the lock gives up the work")
def lock_that_is_tried() -> Any:
    def work(s: State) -> None:
        if s.lock.acquire(blocking=False):
            s.n += 1
            s.lock.release()

    return values(lock=threading.Lock, n=int), [work, work], equal(2)


@case(WRONG, "it is not empty, and then it is")
def queue_asked_whether_it_is_empty() -> Any:
    def setup() -> State:
        s = SimpleNamespace(queue=queue.Queue())
        s.queue.put(1)
        return s

    def work(s: State) -> None:
        if not s.queue.empty():
            s.queue.get_nowait()

    return setup, [work, work], None


@case(RIGHT, "each item goes to one of them")
def queue_of_two() -> Any:
    def setup() -> State:
        s = SimpleNamespace(queue=queue.Queue(), got=[])
        s.queue.put(1)
        s.queue.put(2)
        return s

    def work(s: State) -> None:
        s.got.append(s.queue.get())

    return setup, [work, work], lambda s: sorted(s.got) == [1, 2]


# --- threads, time and the rest ------------------------------------------------------------------
@case(WRONG, "the jobs of a pool are threads")
def jobs_of_a_pool() -> Any:
    def add(s: State) -> None:
        s.n += 1

    def work(s: State) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(add, [s, s]))

    return values(n=int), [work], equal(2)


@case(RIGHT, "the results of a pool come in order")
def results_of_a_pool() -> Any:
    def work(s: State) -> None:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(abs, [-1, -2])) == [1, 2]

    return space(), [work], None


class PerThread(threading.local):
    def __init__(self) -> None:
        self.n = 0


@case(RIGHT, "each thread has its own")
def subclass_of_a_local() -> Any:
    def work(s: PerThread) -> None:
        s.n += 1
        assert s.n == 1

    return PerThread, [work, work], None


@case(WRONG, "one context can be entered by one at a time")
def context_shared() -> Any:
    def setup() -> State:
        return SimpleNamespace(context=contextvars.copy_context(), n=0)

    def inside(s: State) -> None:
        s.n += 1

    def work(s: State) -> None:
        s.context.run(inside, s)

    return setup, [work, work], None


@case(RIGHT, "each has a copy of it")
def context_copied() -> Any:
    def setup() -> State:
        return SimpleNamespace(context=contextvars.copy_context(), lock=threading.Lock(), n=0)

    def inside(s: State) -> None:
        with s.lock:
            s.n += 1

    def work(s: State) -> None:
        s.context.copy().run(inside, s)

    return setup, [work, work], equal(2)


@case(WRONG, "the finalizer may have been called")
def finalizer_alive() -> Any:
    def setup() -> State:
        thing = Thing(1)
        s = SimpleNamespace(thing=thing, end=weakref.finalize(thing, int))
        s.end.atexit = False
        return s

    def drop(s: State) -> None:
        s.thing = None

    def use(s: State) -> None:
        if s.end.alive:
            assert s.end.peek() is not None

    return setup, [drop, use], None


@case(RIGHT, "a time that is asked for twice does not go back")
def time_does_not_go_back() -> Any:
    def work(s: State) -> None:
        before = datetime.datetime.now()
        time.sleep(1)
        assert (datetime.datetime.now() - before).total_seconds() >= 1

    return space(), [work, work], None


@case(WRONG, "an entry expires between the look and the use")
def entry_that_expires() -> Any:
    def setup() -> State:
        return SimpleNamespace(entries={"a": time.monotonic() + 1})

    def use(s: State) -> None:
        time.sleep(1)
        if "a" in s.entries:
            s.entries["a"]

    def expire(s: State) -> None:
        time.sleep(1)
        for key, end in list(s.entries.items()):
            if end <= time.monotonic():
                del s.entries[key]

    return setup, [use, expire], None


@case(WRONG, "what threads raise is told by a hook that counts without a lock")
def hook_of_threads_that_counts() -> Any:
    def setup() -> State:
        s = SimpleNamespace(n=0)
        threading.excepthook = lambda args: setattr(s, "n", s.n + 1)
        return s

    def fail() -> None:
        raise ValueError

    def work(s: State) -> None:
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()

    return setup, [work, work], equal(2)


@case(RIGHT, "what is done at the exit is done after the check")
def done_at_the_exit() -> Any:
    def work(s: State) -> None:
        atexit.register(s.items.clear)
        s.items.append(1)

    return space(items=[]), [work, work], lambda s: len(s.items) == 2


@case(WRONG, "setitem by operator is a store, and getitem a read")
def by_operator() -> Any:
    def work(s: State) -> None:
        operator.setitem(s.items, 0, operator.getitem(s.items, 0) + 1)

    return space(items=[0]), [work, work], lambda s: s.items == [2]


@contextlib.contextmanager
def borrowed(s: State) -> Iterator[None]:
    was, s.depth = s.depth, s.depth + 1
    try:
        yield
    finally:
        s.depth = was


@case(WRONG, "what a context manager puts back is another one's")
def context_manager_of_two() -> Any:
    def work(s: State) -> None:
        with borrowed(s):
            pass

    return space(depth=0), [work, work], lambda s: s.depth == 0


@case(RIGHT, "one after the other")
def context_manager_with_a_lock() -> Any:
    def work(s: State) -> None:
        with s.lock, borrowed(s):
            pass

    return values(lock=threading.Lock, depth=int), [work, work], lambda s: s.depth == 0
