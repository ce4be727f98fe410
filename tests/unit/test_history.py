"""Calls and returns of a run, judged: by brute force, by known histories, by the words of
contracts."""

from __future__ import annotations

import asyncio
import queue
import random
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tracelock
from tests.helpers.amount import amount
from tests.helpers.histories import KINDS, as_operations, random_history
from tests.oracles.orders import explained
from tracelock.errors import LimitReached, UsageError
from tracelock.history import models
from tracelock.history.contracts import CONTRACTS
from tracelock.history.operations import Operation
from tracelock.history.recording import History

R, X, C, P = "returned", "raised", "cancelled", "pending"


def op(
    worker: str, name: str, args: tuple[Any, ...], ending: str, value: Any, start: int,
    end: int | None,
) -> Operation:  # fmt: skip
    return Operation(worker, name, args, {}, ending, value, start, end)


def verdict(operations: list[Operation], model: models.Sequential, **how: Any) -> str:
    return History.of(operations).check(model, **how).verdict


# --- against brute force -----------------------------------------------------------------------
@pytest.mark.parametrize("name", KINDS)
def test_the_verdict_is_that_of_trying_every_order(name: str) -> None:
    """10,000 random histories in the full amount, over all kinds; both verdicts come up."""
    kind, seen = KINDS[name], {True: 0, False: 0}
    chance = random.Random(f"histories of {name}")
    for _ in range(amount(40, 10_000 // len(KINDS) + 1)):
        calls = random_history(kind, chance)
        expected = explained(calls, kind.make)
        result = History.of(as_operations(calls)).check(kind.model)
        assert (result.verdict == "linearizable") is expected, (calls, str(result))
        seen[expected] += 1
    assert min(seen.values()) >= 3


@given(st.sampled_from(sorted(KINDS)), st.integers(0, 2**32))
def test_the_object_itself_is_a_model_like_the_written_one(name: str, seed: int) -> None:
    kind = KINDS[name]
    calls = [one for one in random_history(kind, random.Random(seed), 4) if one[3] in (R, X, C)]
    operations = as_operations(calls)
    try:
        itself = models.OfObject(kind.make)
        result = History.of(operations).check(itself, seconds=None)
    except UsageError:
        raise
    expected = History.of(as_operations(calls)).check(kind.model)
    if not any(name in ("acquire", "put", "get") for _, name, *_ in calls):
        assert result.verdict == expected.verdict


@given(st.integers(0, 2**32))
def test_an_order_that_is_given_explains_the_history(seed: int) -> None:
    """What comes back as the order is one: its results are those of the real object, and no call is
    before one that had ended when it began."""
    name = sorted(KINDS)[seed % len(KINDS)]
    kind = KINDS[name]
    result = History.of(as_operations(random_history(kind, random.Random(seed)))).check(kind.model)
    target = kind.make()
    if name == "keys":
        return  # its order is by key
    for place, one in enumerate(result.order):
        try:
            got: Any = (R, getattr(target, one.name)(*one.args))
        except Exception as error:
            got = (X, type(error).__name__)
        if one.ending in (R, X):
            assert got == (one.ending, one.value)
        later = result.order[place + 1 :]
        assert not any(two.end is not None and two.end < one.start for two in later)
    if result.verdict == "linearizable":
        ended = {one for one in result.operations if one.ending in (R, X)}
        assert ended <= set(result.order)


# --- known histories ---------------------------------------------------------------------------
def test_the_histories_of_herlihy_and_wing() -> None:
    """Figure 1 of the paper of 1990: H1 and H3 of a queue are right, H2 and H4 are not. There the
    bars overlap as they do here."""
    h1 = [
        op("A", "put", ("x",), R, None, 0, 2), op("B", "put", ("y",), R, None, 1, 4),
        op("B", "get", (), R, "x", 5, 8), op("A", "get", (), R, "y", 6, 9),
        op("A", "put", ("z",), P, None, 10, None),
    ]  # fmt: skip
    h2 = [
        op("A", "put", ("x",), R, None, 0, 1), op("B", "put", ("y",), R, None, 2, 4),
        op("A", "get", (), R, "y", 5, 6),
    ]  # fmt: skip
    h3 = [op("A", "put", ("x",), P, None, 0, None), op("B", "get", (), R, "x", 1, 2)]
    h4 = [
        op("A", "put", ("x",), R, None, 0, 3), op("B", "put", ("y",), R, None, 1, 4),
        op("A", "get", (), R, "y", 5, 8), op("C", "get", (), R, "y", 6, 9),
    ]  # fmt: skip
    wanted = ("linearizable", "not linearizable", "linearizable", "not linearizable")
    for history, expected in zip((h1, h2, h3, h4), wanted, strict=True):
        assert verdict(history, models.QueueSpec()) == expected


def test_a_stale_read_of_a_register() -> None:
    """A read that overlaps a write may give either value; one after another that gave the new one
    may not give the old one."""
    write = op("w", "write", (1,), R, None, 0, 9)
    new, old = op("r", "read", (), R, 1, 1, 2), op("r", "read", (), R, 0, 3, 4)
    assert verdict([write, new, old], models.RegisterSpec(0)) == "not linearizable"
    first, second = op("r", "read", (), R, 0, 1, 2), op("r", "read", (), R, 1, 3, 4)
    assert verdict([write, first, second], models.RegisterSpec(0)) == "linearizable"


def test_the_registers_of_porcupine() -> None:
    """The histories of ``TestRegisterModel`` and ``TestZeroDuration`` of Porcupine's tests, which
    has them from a quiz (MIT 6.824, 2017, question VII)."""

    def read(worker: str, value: int, start: int, end: int) -> Operation:
        return op(worker, "read", (), R, value, start, end)

    right, wrong = ("linearizable", "not linearizable")
    first, second = (op("0", "write", (n,), R, None, 0, 100) for n in (100, 200))
    cases = [
        ([first, read("1", 100, 25, 75), read("2", 0, 30, 60)], right),
        ([second, read("1", 200, 10, 30), read("2", 0, 40, 90)], wrong),
        ([first, read("1", 100, 25, 75), read("2", 0, 30, 30), read("3", 0, 30, 30)], right),
        ([second, read("1", 200, 10, 10), read("2", 200, 10, 10), read("3", 0, 40, 90)], wrong),
    ]
    for history, expected in cases:
        assert verdict(history, models.RegisterSpec(0)) == expected


# --- calls that do not end as others do --------------------------------------------------------
def test_pending_and_cancelled_calls_took_effect_or_did_not() -> None:
    for ending, end in ((P, None), (C, 2)):
        put = op("a", "put", (1,), ending, None, 0, end)
        assert verdict([put], models.QueueSpec()) == "linearizable"
        assert verdict([put, op("b", "get", (), R, 1, 3, 4)], models.QueueSpec()) == "linearizable"
        size = op("b", "qsize", (), R, 0, 3, 4)
        assert verdict([put, size], models.QueueSpec()) == "linearizable"
        twice = [put, op("b", "get", (), R, 1, 3, 4), op("b", "get", (), R, 1, 5, 6)]
        assert verdict(twice, models.QueueSpec()) == "not linearizable"


def test_a_cancelled_call_has_no_effect_after_its_end() -> None:
    put = op("a", "put", (1,), C, None, 0, 1)
    before, after = op("b", "qsize", (), R, 0, 2, 3), op("b", "qsize", (), R, 1, 4, 5)
    assert verdict([put, before, after], models.QueueSpec()) == "not linearizable"
    late = op("a", "put", (1,), P, None, 0, None)
    assert verdict([late, before, after], models.QueueSpec()) == "linearizable"


def test_an_exception_is_a_result() -> None:
    get = op("a", "get_nowait", (), X, queue.Empty(), 0, 1)
    assert verdict([get], models.QueueSpec()) == "linearizable"
    put = op("b", "put", (1,), R, None, 0, 1)
    assert verdict([put, op("a", "get_nowait", (), X, "Empty", 2, 3)], models.QueueSpec()) == (
        "not linearizable"
    )


# --- contracts ---------------------------------------------------------------------------------
def test_each_word_lets_through_what_it_says_and_nothing_else() -> None:
    written = op("a", "__setitem__", ("k", 1), R, None, 0, 1)
    wrong_read = op("b", "get", ("k",), R, 2, 2, 3)
    wrong_list = op("b", "items", (), R, [("k", 2)], 2, 3)
    wrong_error = op("b", "__getitem__", ("k",), X, "KeyError", 2, 3)
    crash = op("b", "get", ("k",), X, "TypeError", 2, 3)
    meets = op("a", "acquire", (), R, True, 0, 5)
    met = op("b", "acquire", (), R, True, 1, 4)
    stopped = op("b", "__getitem__", ("k",), X, "CancelledError", 2, 3)
    taken, gone = op("b", "pop", ("k",), C, None, 2, 3), op("b", "get", ("k",), R, None, 4, 5)
    apart = op("b", "clear", (), R, None, 2, 3)
    beside = op("b", "clear", (), R, None, 0, 1)
    words = {
        "linearizable": ([written, apart], [written, wrong_read]),
        "no-crash": ([written, wrong_read, wrong_error], [written, crash]),
        "weak-iteration": ([written, wrong_list], [written, wrong_read]),
        "dirty-read": ([written, wrong_read], [written, wrong_error]),
        "cancels": ([written, stopped], [written, wrong_error]),
        # a history never knows what a cancelled call has kept; an audit does
        "loses": ([written, taken, gone], [written, taken, wrong_read]),
    }
    for word, (right, wrong) in words.items():
        assert verdict(right, models.DictSpec(), contract=word) == "linearizable", word
        assert verdict(wrong, models.DictSpec(), contract=word) == "not linearizable", word
    assert verdict([meets, met], models.MutexSpec()) == "not linearizable"
    assert verdict([meets, met], models.MutexSpec(), contract="rendezvous") == "linearizable"
    alone = [op("a", "acquire", (), R, True, 0, 1), op("b", "acquire", (), R, True, 2, 3)]
    assert verdict(alone, models.MutexSpec(), contract="rendezvous") == "not linearizable"
    unsafe = {"clear": "unsafe"}
    assert verdict([written, beside], models.DictSpec(), contract=unsafe) == "unfinished"
    assert verdict([written, apart], models.DictSpec(), contract=unsafe) == "linearizable"
    assert {*words, "rendezvous", "unsafe"} == set(CONTRACTS)


def test_a_contract_of_one_method_is_not_that_of_another() -> None:
    history = [op("a", "qsize", (), R, 5, 0, 1), op("a", "empty", (), R, False, 2, 3)]
    spec = models.QueueSpec()
    assert verdict(history[:1], spec, contract={"qsize": "dirty-read"}) == "linearizable"
    assert verdict(history, spec, contract={"qsize": "dirty-read"}) == "not linearizable"


def test_fields_that_are_ignored() -> None:
    info = op("a", "get", ("k",), R, {"hits": 3, "size": 0}, 0, 1)
    spec = models.DictSpec({"k": {"hits": 0, "size": 0}})
    assert verdict([info], spec) == "not linearizable"
    with pytest.raises(AssertionError):
        History.of([info]).check(spec, ignore=["size"]).require()
    assert verdict([info], models.OfObject(lambda: {"k": {"hits": 0, "size": 0}}),
                   ignore=["hits"]) == "linearizable"  # fmt: skip


def test_the_bound_on_the_cost_is_no_verdict() -> None:
    same = [op(f"w{n}", "put", (n,), R, None, 0, 100) for n in range(9)]
    history = History.of([*same, op("r", "get", (), R, 77, 200, 201)])
    result = history.check(models.QueueSpec(), most=500)
    assert result.verdict == "unfinished" and result.cost == 501
    with pytest.raises(LimitReached, match="not decided"):
        result.require()


def test_keys_are_taken_apart() -> None:
    """Twelve keys with four overlapping writes each: together there is no end of orders."""
    calls = [
        op(f"w{key}{n}", "__setitem__", (key, n), R, None, 0, 50) for key in range(12)
        for n in range(4)
    ]  # fmt: skip
    reads = [op(f"r{key}", "__getitem__", (key,), R, key % 4, 60, 61) for key in range(12)]
    result = History.of([*calls, *reads]).check(models.DictSpec(), most=2_000)
    assert result.verdict == "linearizable"
    wrong = op("r", "__getitem__", (3,), R, 9, 70, 71)
    found = History.of([*calls, *reads, wrong]).check(models.DictSpec(), most=2_000)
    assert found.verdict == "not linearizable" and str(found.stuck) == str(wrong)
    assert {one.args[0] for one in found.operations} == {3}


# --- what is told ------------------------------------------------------------------------------
def test_a_failure_tells_the_longest_explained_beginning_and_a_timeline() -> None:
    history = History.of([
        op("first", "put", (1,), R, None, 0, 3), op("second", "put", (2,), R, None, 1, 2),
        op("first", "get", (), R, 2, 4, 5), op("second", "get", (), R, 2, 6, 7),
    ])  # fmt: skip
    result = history.check(models.QueueSpec())
    assert str(result).splitlines() == [
        "not linearizable: no order of the calls explains get() -> 2 by second",
        "  explained in this order: put(2) [second]; put(1) [first]; get() -> 2 [first]",
        "  after that get(): it returns 1",
        "  first   | put(1)     | | get() -> 2 |",
        "  second    | put(2) |                  | get() -> 2 (?) |",
    ]
    assert max(map(len, result.timeline(40).splitlines())) <= 40


# --- recording ---------------------------------------------------------------------------------
def test_a_watched_object_is_used_as_it_is_and_each_call_is_recorded() -> None:
    history = tracelock.History()
    watched = history.watch({"a": [1]})
    watched["b"] = 2
    assert watched["b"] == 2 and "a" in watched and len(watched) == 2
    assert sum(1 for _ in watched) == 2 and sorted(watched.keys()) == ["a", "b"]
    watched["a"].append(9)  # what was returned before is kept as it was
    with pytest.raises(KeyError):
        watched["c"]
    assert [str(one) for one in history.operations] == [
        "__setitem__('b', 2)", "__getitem__('b') -> 2", "__contains__('a') -> True",
        "__len__() -> 2", "__iter__() -> ['a', 'b']", "keys() -> ['a', 'b']",
        "__getitem__('a') -> [1]", "__getitem__('c') raises KeyError",
    ]  # fmt: skip
    spec = models.OfObject(lambda: {"a": [1]})
    assert history.check(spec).verdict == "linearizable"
    history.clear()
    assert history.operations == []
    assert not hasattr(watched, "missing") and repr(watched).startswith("<recorded {")


def test_threads_are_recorded_with_their_names() -> None:
    history = tracelock.History()
    line = history.watch(queue.Queue(1))

    def put(item: int) -> None:
        line.put(item)

    threads = [threading.Thread(target=put, args=(n,), name=f"putter {n}") for n in range(3)]
    for one in threads:
        one.start()
    got = {line.get() for _ in threads}
    for one in threads:
        one.join()
    assert got == {0, 1, 2}
    assert {one.worker for one in history.operations} == {
        "putter 0", "putter 1", "putter 2", threading.current_thread().name,
    }  # fmt: skip
    assert history.check(models.QueueSpec(maxsize=1)).verdict == "linearizable"


def test_tasks_are_recorded_until_they_are_awaited_or_cancelled() -> None:
    async def main() -> History:
        history = tracelock.History()
        line = history.watch(asyncio.Queue(1))
        await line.put(1)
        waiting = asyncio.create_task(line.put(2), name="putter")
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        assert await line.get() == 1
        with pytest.raises(asyncio.QueueEmpty):
            line.get_nowait()
        return history

    history = asyncio.run(main())
    endings = [(one.worker == "putter", one.name, one.ending) for one in history.operations]
    # the coroutine is made by whoever calls put
    assert [(name, ending) for _, name, ending in endings] == [
        ("put", R), ("put", C), ("get", R), ("get_nowait", X),
    ]  # fmt: skip
    spec = models.QueueSpec(maxsize=1, empty="QueueEmpty", full="QueueFull")
    assert history.check(spec).verdict == "linearizable"


def test_calls_by_hand() -> None:
    history = tracelock.History()
    one = history.begin("acquire", worker="a")
    two = history.begin("acquire", worker="b")
    history.returned(one, True)
    history.raised(two, RuntimeError("no"))
    with pytest.raises(UsageError, match="ended already"):
        history.cancelled(two)
    assert history.call([3, 1], "index", 1) == 1
    assert [one.ending for one in history.operations] == [R, X, R]


def test_a_lock_that_may_be_taken_again_belongs_to_a_worker() -> None:
    again = [op("a", "acquire", (), R, True, 0, 1), op("a", "acquire", (), R, True, 2, 3)]
    other = [again[0], op("b", "acquire", (), R, True, 2, 3)]
    assert verdict(again, models.MutexSpec(reentrant=True)) == "linearizable"
    assert verdict(other, models.MutexSpec(reentrant=True)) == "not linearizable"


def test_an_object_that_waits_has_no_such_order() -> None:
    """One call of the object itself does not return, in a thread of its own: it waits."""
    spec = models.OfObject(lambda: queue.Queue(), patience=0.05)
    history = History.of([op("a", "get", (), R, 1, 0, 1), op("b", "put", (1,), R, None, 2, 3)])
    result = history.check(spec)
    assert result.verdict == "not linearizable" and result.expected == ["it would wait"]


# --- wrong use ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("do", "why"),
    [
        (lambda: History().check({}), "a model of tracelock.history.models"),  # type: ignore[arg-type]
        (lambda: History().check(models.QueueSpec(), contract="strict"), "unknown contract"),
        (lambda: History().check(models.QueueSpec(), contract={}), "names at least one"),
        (lambda: History().check(models.QueueSpec(), most=0), "more than nothing"),
        (lambda: verdict([op("a", "peek", (), R, 1, 0, 1)], models.QueueSpec()), "knows no peek"),
        (lambda: verdict([op("a", "put", (), R, 1, 0, 1)], models.QueueSpec()), "cannot make put"),
        (lambda: History.of([op("a", "put", (1,), R, 1, 3, 1)]), "before it begins"),
        (lambda: History.of([op("a", "put", (1,), R, 1, 3, None)]), "ends at None"),
        (lambda: History.of([op("a", "put", (1,), "done", 1, 3, 4)]), "ends as 'done'"),
        (lambda: models.CounterSpec(gives="sum"), "one of none, old, new"),
        (lambda: models.LRUSpec(0), "at least one item"),
        (lambda: models.TTLSpec(0), "more than no time"),
        (lambda: models.SemaphoreSpec(-1), "0 or more"),
        (lambda: models.OfObject({}), "a function that gives"),  # type: ignore[arg-type]
        (lambda: tracelock.linearizable(queue.Queue), "takes a model"),  # type: ignore[arg-type]
        (lambda: tracelock.linearizable(models.QueueSpec())(lambda: None), "no argument history"),
    ],
)  # fmt: skip
def test_wrong_use_says_what_is_wrong(do: Any, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        do()


# --- around a test -----------------------------------------------------------------------------
def test_a_test_is_judged_when_it_has_ended() -> None:
    @tracelock.linearizable(models.QueueSpec())
    def good(history: History, items: int) -> int:
        line = history.watch(queue.Queue())
        for item in range(items):
            line.put(item)
        return int(line.get())

    @tracelock.linearizable(models.QueueSpec(last_in=True))
    def bad(history: History) -> None:
        good.__wrapped__(history, 2)  # type: ignore[attr-defined]

    @tracelock.linearizable(models.QueueSpec(), most=1)
    def long(history: History) -> None:
        good.__wrapped__(history, 2)  # type: ignore[attr-defined]

    @tracelock.linearizable(models.QueueSpec(last_in=True))
    async def later(history: History) -> None:
        good.__wrapped__(history, 2)  # type: ignore[attr-defined]

    assert good(items=2) == 0  # type: ignore[call-arg]
    with pytest.raises(AssertionError, match=r"no order of the calls explains get\(\) -> 0"):
        bad()  # type: ignore[call-arg]
    with pytest.raises(LimitReached):
        long()  # type: ignore[call-arg]
    with pytest.raises(AssertionError, match="no order"):
        asyncio.run(later())  # type: ignore[call-arg]
