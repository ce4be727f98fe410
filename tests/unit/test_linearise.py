from __future__ import annotations

import random
from typing import Any

import pytest

from tests.helpers.free_histories import Run, accept, layout_of, random_layout
from tracelock.engine.linearise.free import events_so_far
from tracelock.engine.linearise.history import FreeRun, Log
from tracelock.engine.linearise.order import Linear, linearise
from tracelock.engine.linearise.survey import OrderSurvey
from tracelock.errors import InternalError
from tracelock.objects import Rules
from tracelock.ops import (
    ACQUIRE,
    ATOMIC,
    CHECKPOINT,
    CLEAR,
    COMPARE_EXCHANGE,
    EMPTY,
    EXCHANGE,
    FETCH_ADD,
    GET,
    JOIN,
    NOTIFY,
    PUT,
    READ,
    RELEASE,
    SET,
    SPAWN,
    TIMEOUT,
    WAIT,
    WAKE,
    WRITE,
    ObjectSpec,
    Op,
    Raised,
)

THREADS = Rules("threading")
PROCESSES = Rules("multiprocessing", notify_any=True, event_rechecks=True)

# Objects are numbered after one variable: the first is 1.
LOCK = [ObjectSpec("lock", "lock")]
RLOCK = [ObjectSpec("rlock", "rlock")]
CONDITION = [ObjectSpec("c", "condition_lock"), ObjectSpec("c", "condition", lock=1)]


def op(kind: int, target: int, value: Any = None, **more: Any) -> Op:
    return Op(kind, target, "here", value, **more)


def put_in_order(
    objects: list[ObjectSpec],
    logs: list[list[Any]],
    rules: Rules = THREADS,
    versions: tuple[tuple[Any, int, int], ...] = (),
    manual: int = 0,
) -> Linear:
    """The order, once models and variables have accepted it."""
    layout = layout_of(objects, len(logs), 1, manual)
    linear = linearise(logs, [[(0, -1, -1), *versions]], layout, rules)
    accept(linear, logs, layout, rules)
    return linear


def impossible(objects: list[ObjectSpec], logs: list[list[Any]], **more: Any) -> str:
    with pytest.raises(InternalError) as caught:
        put_in_order(objects, logs, **more)
    return str(caught.value)


def took(t: int, target: int = 1) -> Any:
    return (ACQUIRE, op(ACQUIRE, target), True, t, 0)


def gave(t: int, target: int = 1, n: int = 1) -> Any:
    return (RELEASE, op(RELEASE, target, n), None, t, 0)


def within(kind: int, start: int, end: int, result: Any, *value: Any, **more: Any) -> Any:
    return (kind, op(kind, more.pop("target", 1), *value, **more), result, end, start)


def tried(start: int, end: int, target: int = 1) -> Any:
    return within(ACQUIRE, start, end, False, target=target, blocking=False)


# --- columns and variables -------------------------------------------------------------------
def test_no_events() -> None:
    linear = put_in_order(LOCK, [[], []])
    assert len(linear) == 0


def test_events_without_a_target_go_by_their_stamps() -> None:
    here = op(CHECKPOINT, -1)
    logs = [[(CHECKPOINT, here, None, t, 0) for t in (5, 9)], [(CHECKPOINT, here, None, 7, 0)]]
    linear = put_in_order([], logs)
    assert list(linear.worker) == [0, 1, 0]
    assert list(linear.t) == [5, 7, 9]


def test_columns_can_be_filled_by_hand() -> None:
    linear = Linear()
    linear.add(1, READ, op(READ, 0), 7, 30)
    assert (list(linear.worker), list(linear.kind), linear.result) == ([1], [READ], [7])
    assert list(linear.t) == [30]


def test_a_read_stamped_late_comes_before_the_write_that_it_did_not_see() -> None:
    logs = [[(READ, op(READ, 0), (0, -1, -1), 20, 0)], [(WRITE, op(WRITE, 0, 5), (5, 1, 0), 10, 0)]]
    linear = put_in_order([], logs, versions=((5, 1, 0),))
    assert list(linear.kind) == [READ, WRITE]
    assert linear.result == [0, None]
    assert list(linear.t) == [20, 20]


def test_a_read_stamped_early_comes_after_the_write_that_it_saw() -> None:
    logs = [[(READ, op(READ, 0), (5, 1, 0), 10, 0)], [(WRITE, op(WRITE, 0, 5), (5, 1, 0), 20, 0)]]
    linear = put_in_order([], logs, versions=((5, 1, 0),))
    assert linear.result == [None, 5]


def test_entries_are_compared_by_writer_and_place_where_they_are_copies() -> None:
    big = 10**6
    logs = [
        [(WRITE, op(WRITE, 0, big), (big, 0, 0), 10, 0)],
        [(READ, op(READ, 0), (int("1000000"), 0, 0), 20, 0)],
    ]
    assert put_in_order([], logs, versions=((big, 0, 0),)).result == [None, big]


def test_writes_have_the_order_of_their_versions() -> None:
    logs = [[(WRITE, op(WRITE, 0, w), (w, w, 0), 10 - w, 0)] for w in range(3)]
    linear = put_in_order([], logs, versions=((1, 1, 0), (2, 2, 0), (0, 0, 0)))
    assert list(linear.worker) == [1, 2, 0]


def test_read_modify_writes() -> None:
    add, swap = op(FETCH_ADD, 0, 2), op(EXCHANGE, 0, 9)
    cas = op(COMPARE_EXCHANGE, 0, 4, expect=2)
    logs = [
        [(FETCH_ADD, add, (2, 0, 0), 10, 0), (COMPARE_EXCHANGE, cas, (4, 0, 1), 11, 0)],
        # the same op again and again: what it saw is its own version, but of another time
        [(EXCHANGE, swap, (9, 1, 0), 30, 0), (COMPARE_EXCHANGE, cas, (9, 1, 0), 31, 0)],
        [(COMPARE_EXCHANGE, cas, (4, 0, 1), 29, 0)],
    ]
    linear = put_in_order([], logs, versions=((2, 0, 0), (4, 0, 1), (9, 1, 0)))
    assert linear.result == [0, True, False, 4, False]


def test_the_same_compare_exchange_succeeds_then_fails() -> None:
    cas = op(COMPARE_EXCHANGE, 0, 1, expect=0)
    log = [(COMPARE_EXCHANGE, cas, (1, 0, 0), 10, 0), (COMPARE_EXCHANGE, cas, (1, 0, 0), 20, 0)]
    assert put_in_order([], [log], versions=((1, 0, 0),)).result == [True, False]


def test_a_fetch_add_on_a_text_is_a_type_error() -> None:
    layout = layout_of([], 1, 1)
    logs = [[(FETCH_ADD, op(FETCH_ADD, 0, 1), ("text", -1, -1), 10, 0)]]
    linear = linearise(logs, [[("text", -1, -1)]], layout, THREADS)
    assert linear.result == [Raised("TypeError", "")]


def test_an_atomic_step_touches_several_variables_at_once() -> None:
    layout = layout_of([], 2, 2)
    both = op(ATOMIC, -1)
    x, y = (1, 0, 0), (2, 0, 0)
    logs = [
        [(ATOMIC, both, ({0: (0, -1, -1)}, {0: x, 1: y}), 20, 0)],
        [(READ, op(READ, 0), (0, -1, -1), 30, 0), (READ, op(READ, 1), y, 31, 0)],
    ]
    linear = linearise(logs, [[(0, -1, -1), x], [(0, -1, -1), y]], layout, THREADS)
    accept(linear, logs, layout, THREADS)
    assert linear.result == [0, {"reads": {0: 0}, "writes": {0: 1, 1: 2}}, 2]


def test_a_version_cut_off_before_its_record_is_as_if_it_never_was() -> None:
    logs = [[(READ, op(READ, 0), (0, -1, -1), 10, 0)], []]
    assert put_in_order([], logs, versions=((5, 1, 0),)).result == [0]


def test_of_a_run_that_was_stopped_anywhere_the_last_moments_may_be_left_out() -> None:
    """One worker got what another had put and not recorded yet."""
    layout = layout_of([ObjectSpec("q", "queue")], 2, 1, 0)
    logs = [Log(), Log()]
    ms = 1_000_000
    for n in range(10):
        logs[0].add(PUT, op(PUT, 1, n), True, (2 * n + 1) * ms, 2 * n * ms + 1)
        logs[1].add(GET, op(GET, 1), n, (2 * n + 2) * ms, (2 * n + 1) * ms + 1)
    logs[1].add(GET, op(GET, 1), 10, 21 * ms, 20 * ms + 1)
    events = events_so_far(layout, THREADS, FreeRun(logs, [[(0, -1, -1)]], 1))
    assert [event.worker for event in events] == [0, 1] * 10


def test_a_version_that_was_never_recorded() -> None:
    logs = [[(READ, op(READ, 0), (5, 1, 0), 10, 0)], []]
    assert "v0: a version was read" in impossible([], logs, versions=((5, 1, 0),))


def test_reads_that_go_back_are_impossible() -> None:
    new, old = (1, 1, 0), (0, -1, -1)
    logs = [
        [(READ, op(READ, 0), new, 10, 0), (READ, op(READ, 0), old, 20, 0)],
        [(WRITE, op(WRITE, 0, 1), new, 5, 0)],
    ]
    text = impossible([], logs, versions=(new,))
    assert "contradict" in text
    assert "w0: read v0" in text
    assert "w1: write v0" in text


# --- locks -------------------------------------------------------------------------------------
def test_locks_go_by_their_stamps() -> None:
    logs = [[took(10), gave(20), took(40), gave(50)], [took(30), gave(35)]]
    assert list(put_in_order(LOCK, logs).worker) == [0, 0, 1, 1, 0, 0]


def test_what_is_done_under_a_lock_follows_it() -> None:
    # worker 1 was slow to stamp what it wrote: the lock's stamps still say who was first
    one, two = (1, 0, 1), (2, 1, 2)
    logs = [
        [took(10), (WRITE, op(WRITE, 0, 1), one, 12, 0), gave(20)],
        [took(30), (READ, op(READ, 0), one, 31, 0), (WRITE, op(WRITE, 0, 2), two, 90, 0), gave(91)],
        [took(95), (READ, op(READ, 0), two, 96, 0), gave(97)],
    ]
    linear = put_in_order(LOCK, logs, versions=(one, two))
    assert list(linear.worker) == [0] * 3 + [1] * 4 + [2] * 3


def test_two_holders_are_impossible() -> None:
    text = impossible(LOCK, [[took(10), gave(30)], [took(15), gave(20)]])
    assert "no order of the events of lock (lock)" in text
    assert "w0: acquire lock -> True at 10" in text
    assert "w1" in text


def test_a_lock_with_equal_stamps() -> None:
    logs = [[took(20), gave(30)], [took(10), gave(20)]]
    assert list(put_in_order(LOCK, logs).worker) == [1, 1, 0, 0]


def test_a_failed_try_is_where_the_lock_is_held() -> None:
    pause = (CHECKPOINT, op(CHECKPOINT, -1), None, 21, 0)
    logs = [[took(10), gave(20), pause, took(30), gave(40)], [tried(22, 35)]]
    assert list(put_in_order(LOCK, logs).worker) == [0, 0, 0, 0, 1, 0]


def test_a_failed_try_on_a_lock_that_was_stamped_later() -> None:
    # it was taken before 15, though its owner read the clock only at 30
    logs = [[(CHECKPOINT, op(CHECKPOINT, -1), None, 5, 0), took(30), gave(40)], [tried(14, 15)]]
    linear = put_in_order(LOCK, logs)
    assert list(linear.worker) == [0, 0, 1, 0]
    assert all(a <= b for a, b in zip(linear.t, list(linear.t)[1:], strict=False))


def test_a_failed_try_on_a_free_lock_is_impossible() -> None:
    checkpoint = (CHECKPOINT, op(CHECKPOINT, -1), None, 9, 0)
    text = impossible(LOCK, [[checkpoint, took(10), gave(20)], [tried(5, 8)]])
    assert "w1: acquire lock -> False at [5, 8]" in text


def test_a_timed_acquire_that_fails() -> None:
    logs = [
        [took(10), gave(100)],
        [within(ACQUIRE, 5, 90, False, timeout=1.0, soft=True)],
    ]
    assert list(put_in_order(LOCK, logs).worker) == [0, 1, 0]


def test_releasing_a_free_lock_raises() -> None:
    raised = within(RELEASE, 25, 28, Raised("RuntimeError", ""), 1)
    logs = [[took(10), gave(20), took(30)], [raised]]
    assert list(put_in_order(LOCK, logs).worker) == [0, 0, 1, 0]


def test_a_lock_released_by_another_worker() -> None:
    logs = [[took(10), took(30)], [gave(20)]]
    assert list(put_in_order(LOCK, logs).worker) == [0, 1, 0]


def test_a_lock_released_by_another_worker_before_its_owner_read_the_clock() -> None:
    logs = [[took(30)], [gave(20), took(40)]]
    assert list(put_in_order(LOCK, logs).worker) == [0, 1, 1]


def test_rlock_levels() -> None:
    logs = [[took(10), took(11), gave(12), gave(30)], [tried(15, 20), took(40), gave(41)]]
    assert list(put_in_order(RLOCK, logs).worker)[-3:] == [0, 1, 1]
    assert "rlock" in impossible(RLOCK, [[took(10), took(11), gave(12)], [took(40)]])


def test_semaphore() -> None:
    two = [ObjectSpec("s", "semaphore", value=2)]
    logs = [[took(10), gave(40)], [took(20), gave(50)], [tried(25, 30)]]
    assert list(put_in_order(two, logs).worker) == [0, 1, 2, 0, 1]
    impossible(two, [[took(10)], [took(20)], [took(30)]])
    impossible(two, [[took(10)], [tried(20, 30)]])


def test_bounded_semaphore() -> None:
    one = [ObjectSpec("s", "bounded_semaphore", value=1)]
    # the stamps alone would have it released before it was taken
    logs = [[took(30)], [gave(20)]]
    assert list(put_in_order(one, logs).worker) == [0, 1]
    too_much = within(RELEASE, 5, 9, Raised("ValueError", ""), 1)
    assert list(put_in_order(one, [[too_much, took(20)]]).worker) == [0, 0]
    impossible(one, [[gave(10)]])


# --- waits ---------------------------------------------------------------------------------------
def waits(t: int, **more: Any) -> Any:
    return (WAIT, op(WAIT, 2, **more), None, t, 0)


def wakes(t: int, result: bool = True, **more: Any) -> Any:
    return (WAKE, op(WAIT, 2, **more), result, t, 0)


def notifies(start: int, end: int, n: int = 1, woken: Any = None) -> Any:
    return within(NOTIFY, start, end, woken, n, target=2)


def woken_by(linear: Linear) -> list[Any]:
    return [r for kind, r in zip(linear.kind, linear.result, strict=True) if kind == NOTIFY]


def test_notify_is_told_whom_it_woke() -> None:
    logs = [
        [took(10), waits(20), wakes(100), gave(110)],
        [took(30), waits(40), wakes(120), gave(130)],
        [took(50), notifies(51, 55), notifies(56, 60), notifies(61, 62), gave(70)],
    ]
    assert woken_by(put_in_order(CONDITION, logs)) == [[0], [1], []]


def test_notify_all() -> None:
    logs = [
        [took(10), waits(20), wakes(100), gave(110)],
        [took(30), waits(40), wakes(120), gave(130)],
        [took(50), notifies(51, 55, -1), gave(70)],
    ]
    assert woken_by(put_in_order(CONDITION, logs)) == [[0, 1]]


def test_waiters_wake_in_order_on_threads_and_in_any_order_on_processes() -> None:
    logs = [
        [took(10), waits(20)],
        [took(30), waits(40), wakes(120), gave(130)],
        [took(50), notifies(51, 55), gave(70)],
    ]
    assert "c, c (condition_lock, condition)" in impossible(CONDITION, logs)
    assert woken_by(put_in_order(CONDITION, logs, rules=PROCESSES)) == [[1]]


def test_a_notify_whose_result_was_recorded() -> None:
    logs = [[took(10), waits(20), wakes(100)], [took(50), notifies(51, 55, 1, [0]), gave(70)]]
    for rules in (THREADS, PROCESSES):
        assert woken_by(put_in_order(CONDITION, logs, rules=rules)) == [[0]]
    logs[1][1] = notifies(51, 55, 1, [])
    impossible(CONDITION, logs)


def test_a_waiter_that_is_never_seen_again_may_have_been_woken() -> None:
    logs = [[took(10), waits(20)], [took(50), notifies(51, 55), took(60)]]
    assert woken_by(put_in_order(CONDITION, logs)) == [[0]]


@pytest.mark.parametrize(
    ("rules", "woken", "result"), [(THREADS, [0], False), (PROCESSES, [1], True)]
)
def test_a_notify_after_a_waiter_ran_out_of_time(
    rules: Rules, woken: list[int], result: bool
) -> None:
    # threads waste it on that waiter while it has not got the lock back; processes do not
    short = {"timeout": 1.0}
    logs = [
        [
            took(10), waits(20, **short), within(TIMEOUT, 25, 100, None, target=2, **short),
            wakes(100, False, **short), gave(110),
        ],
        [
            took(30), waits(40, **short),
            *([] if result else [within(TIMEOUT, 115, 120, None, target=2, **short)]),
            wakes(120, result, **short), gave(130),
        ],
        [took(50), notifies(51, 55), gave(70)],
    ]  # fmt: skip
    linear = put_in_order(CONDITION, logs, rules=rules)
    assert woken_by(linear) == [woken]
    assert list(linear.kind).index(TIMEOUT) < list(linear.kind).index(NOTIFY)


def test_a_wake_that_nobody_notified_is_impossible() -> None:
    text = impossible(CONDITION, [[took(10), waits(20), wakes(30)], [took(50), notifies(51, 55)]])
    assert "w0: wake c -> True at 30" in text


def test_waiting_without_the_lock_raises() -> None:
    raised = within(WAIT, 5, 8, Raised("RuntimeError", ""), target=2)
    assert len(put_in_order(CONDITION, [[raised], [took(10), gave(20)]])) == 3
    assert "condition" in impossible(CONDITION, [[waits(20)], []])


EVENT = [ObjectSpec("e", "event")]


def test_event() -> None:
    logs = [
        [within(WAIT, 10, 100, None), within(WAKE, 10, 100, True)],
        [within(SET, 20, 30, None), within(CLEAR, 20, 40, None)],
        [within(WAIT, 22, 38, True)],
    ]
    linear = put_in_order(EVENT, logs)
    kinds = list(linear.kind)
    assert kinds.index(SET) < kinds.index(CLEAR)
    assert linear.result[kinds.index(SET) :].index(True) < len(kinds)


def test_event_that_is_not_set() -> None:
    wait = (within(WAIT, 10, 50, None, timeout=1.0), within(WAKE, 10, 50, False, timeout=1.0))
    linear = put_in_order(EVENT, [list(wait), [within(SET, 40, 60, None)]])
    assert list(linear.kind).index(WAKE) < list(linear.kind).index(SET)
    impossible(EVENT, [[within(WAIT, 10, 20, True)], [within(SET, 30, 40, None)]])
    impossible(EVENT, [[within(SET, 1, 5, None), *wait]])


def test_barrier() -> None:
    barrier = [ObjectSpec("b", "barrier", parties=2)]
    logs = [
        [within(WAIT, 10, 50, None), within(WAKE, 10, 50, True)],
        [within(WAIT, 20, 40, True)],
        [within(WAIT, 45, 60, None)],
    ]
    linear = put_in_order(barrier, logs)
    assert list(linear.worker)[:3] == [0, 1, 0]
    impossible(barrier, [[within(WAIT, 10, 20, True)], []])


def test_broken_barrier() -> None:
    barrier = [ObjectSpec("b", "barrier", parties=2)]
    broken = Raised("BrokenBarrierError", "")
    logs = [
        [within(WAIT, 10, 50, None, timeout=1.0), within(WAKE, 10, 50, broken, timeout=1.0)],
        [within(WAIT, 60, 70, broken)],
    ]
    assert list(put_in_order(barrier, logs).worker) == [0, 0, 1]


# --- queues --------------------------------------------------------------------------------------
def queue(order: str = "fifo", maxsize: int = 0) -> list[ObjectSpec]:
    return [ObjectSpec("q", "queue", order=order, maxsize=maxsize)]


def puts(value: Any, start: int, end: int, result: Any = True) -> Any:
    return within(PUT, start, end, result, value, blocking=result)


def gets(value: Any, start: int, end: int) -> Any:
    return within(GET, start, end, value, blocking=value is not EMPTY)


@pytest.mark.parametrize(("order", "first"), [("fifo", "b"), ("lifo", "a")])
def test_what_comes_out_tells_what_was_put_first(order: str, first: str) -> None:
    logs = [
        [puts("a", 10, 20)],
        [puts("b", 10, 20)],
        [gets("b", 30, 40), gets("a", 41, 50), gets(EMPTY, 51, 52)],
    ]
    linear = put_in_order(queue(order), logs)
    assert linear.op[0].value == first


def test_a_long_queue_is_told_by_what_comes_out_much_later() -> None:
    rng = random.Random(1)
    items = list(range(300))
    logs: list[list[Any]] = [[], [], []]
    for pair in range(150):
        swap = rng.random() < 0.5
        for worker in (0, 1):
            logs[worker].append(
                puts(items[2 * pair + (worker ^ swap)], 10 + pair * 5, 14 + pair * 5)
            )
    logs[2] = [gets(item, 2000 + 2 * item, 2001 + 2 * item) for item in items]
    linear = put_in_order(queue(), logs)
    assert [o.value for o in linear.op[:300]] == items


def test_priority_queue() -> None:
    logs = [[puts(3, 10, 20), puts(1, 21, 30)], [gets(1, 40, 50), gets(3, 51, 60)]]
    put_in_order(queue("priority"), logs)
    impossible(queue("priority"), [logs[0], [gets(3, 40, 50), gets(1, 51, 60)]])


def test_bounded_queue() -> None:
    logs = [[puts(1, 10, 20), puts(2, 25, 28, False), puts(2, 29, 60)], [gets(1, 40, 50)]]
    assert list(put_in_order(queue(maxsize=1), logs).worker) == [0, 0, 1, 0]
    impossible(queue(maxsize=1), [[puts(1, 10, 20), puts(2, 25, 28)]])


def test_results_of_another_type_are_not_the_same() -> None:
    text = impossible(queue(), [[puts(1, 10, 20)], [gets(True, 30, 40)]])
    assert "get q -> True" in text
    nan = float("nan")
    linear = put_in_order(queue(), [[puts([nan], 10, 20)]])
    assert len(linear) == 1


def test_an_item_got_before_it_was_put() -> None:
    impossible(queue(), [[puts(1, 30, 40)], [gets(1, 10, 20)]])
    impossible(queue(), [[puts(1, 10, 20)], [gets(EMPTY, 30, 40)]])


# --- workers ---------------------------------------------------------------------------------
def test_spawn_comes_first_and_join_last() -> None:
    here = op(CHECKPOINT, -1)
    logs = [
        [(SPAWN, op(SPAWN, 1), None, 20, 0), (JOIN, op(JOIN, 1), True, 30, 0)],
        [(CHECKPOINT, here, None, 10, 0), (CHECKPOINT, here, None, 40, 0)],
    ]
    assert list(put_in_order([], logs, manual=1).worker) == [0, 1, 1, 0]


def test_join_of_a_worker_that_does_nothing() -> None:
    logs = [[(SPAWN, op(SPAWN, 1), None, 20, 0), (JOIN, op(JOIN, 1), True, 30, 0)], []]
    assert len(put_in_order([], logs, manual=1)) == 2


def test_a_join_that_gave_up_is_before_the_last_event() -> None:
    here = op(CHECKPOINT, -1)
    give_up = within(JOIN, 10, 100, False, timeout=1.0)
    logs = [[give_up], [(CHECKPOINT, here, None, 5, 0), (CHECKPOINT, here, None, 50, 0)]]
    assert list(put_in_order([], logs).worker) == [1, 0, 1]
    # where it cannot be, the worker had not ended though it did nothing more
    logs[1].pop()
    assert list(put_in_order([], logs).worker) == [1, 0]


def test_workers_that_join_each_other_are_impossible() -> None:
    logs = [[(JOIN, op(JOIN, 1 - w), True, 10, 0)] for w in range(2)]
    assert "w0: join w1 -> True" in impossible([], logs)


# --- everything ----------------------------------------------------------------------------------
def test_objects_that_do_not_fit_together_are_looked_at_as_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Worker 1 saw what worker 0 wrote after it released the lock, so its failed try is due to
    # worker 2; clocks alone allow that it was due to worker 0, who was slow to read them.
    asked = []
    place_all = OrderSurvey.place_all

    def spy(self: OrderSurvey) -> Any:
        asked.append(1)
        return place_all(self)

    monkeypatch.setattr(OrderSurvey, "place_all", spy)
    entry = (1, 0, 2)
    logs = [
        [took(10), gave(20), (WRITE, op(WRITE, 0, 1), entry, 90, 0)],
        [(READ, op(READ, 0), entry, 40, 0), tried(50, 60)],
        [took(80), gave(85)],
    ]
    linear = put_in_order(LOCK, logs, versions=(entry,))
    assert asked == [1]
    assert [(w, k) for w, k in zip(linear.worker, linear.kind, strict=True)][-3:] == [
        (2, ACQUIRE),
        (1, ACQUIRE),
        (2, RELEASE),
    ]


@pytest.mark.parametrize("start", range(0, 900, 100))
def test_any_execution_can_be_put_in_order(start: int) -> None:
    for seed in range(start, start + 100):
        rng = random.Random(seed)
        layout = random_layout(rng)
        rules = PROCESSES if seed % 3 == 0 else THREADS
        run = Run(seed, layout, rules, rng.choice((8, 15, 40)), rng.choice((0, 3, 20, 60)))
        linear = linearise(run.logs, run.cells, layout, rules)
        accept(linear, run.logs, layout, rules)


def test_random_histories_hold_every_kind_of_event() -> None:
    kinds = set()
    for seed in range(150):
        rng = random.Random(seed)
        run = Run(seed, random_layout(rng), THREADS, 15, 20)
        kinds |= {record[0] for log in run.logs for record in log}
    assert kinds == {
        READ, WRITE, COMPARE_EXCHANGE, EXCHANGE, FETCH_ADD, ATOMIC, ACQUIRE, RELEASE, WAIT, WAKE,
        NOTIFY, SET, CLEAR, PUT, GET, SPAWN, JOIN, TIMEOUT,
    }  # fmt: skip


def test_the_same_logs_give_the_same_order() -> None:
    for seed in range(30):
        layout = random_layout(random.Random(seed))
        run = Run(seed, layout, THREADS, 20, 30)
        one = linearise(run.logs, run.cells, layout, THREADS)
        two = linearise(run.logs, run.cells, layout, THREADS)
        assert (one.worker, one.result, one.t) == (two.worker, two.result, two.t)


def test_a_long_run() -> None:
    objects = [*LOCK, ObjectSpec("s", "semaphore", value=2), *queue(maxsize=3)]
    layout = layout_of(objects, 4, 2)
    run = Run(7, layout, THREADS, 1500, 20)
    linear = linearise(run.logs, run.cells, layout, THREADS)
    accept(linear, run.logs, layout, THREADS)
    assert len(linear) > 1000
