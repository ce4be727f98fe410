"""The columns behave as a sequence of events; values are compared as JSON values."""

import copy
import pickle
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.amount import amount
from tracelock.errors import TraceError
from tracelock.trace import MISSING, Event, Events, Missing, frozen
from tracelock.trace.events import LARGEST

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
ENTRY = st.tuples(
    st.integers(0, 3),  # worker
    st.sampled_from([("read", "x", "a"), ("write", "x", "b"), ("checkpoint", None, "c")]),
    st.sampled_from([MISSING, None, 1, 1.0, 0]),  # timeout
    st.integers(0, 10**12),
    st.just(MISSING) | SCALARS,
    st.just(MISSING) | SCALARS,
    st.just(MISSING) | SCALARS,
    st.integers(-1, 3),
    st.none() | st.lists(st.integers(0, 3), max_size=2),
)


def one_by_one(entries):
    events = Events()
    for worker, shape, timeout, t, value, result, expect, waited, enabled in entries:
        number = events.shape(*shape, timeout=timeout)
        events.append(worker, number, t, value, result, expect, waited, enabled)
    return events


def test_missing_is_false_alone_and_survives_pickling():
    assert not MISSING
    assert MISSING is not None
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert copy.deepcopy(MISSING) is MISSING
    assert repr(MISSING) == "MISSING"
    assert isinstance(MISSING, Missing)


def test_an_event_says_what_was_appended():
    events = Events()
    shape = events.shape("acquire", "lock", "workers.w.steps[0]", timeout=0.5)
    events.append(1, shape, 1200, result=True, waited=17, enabled=[0, 1])
    events.append(0, events.shape("checkpoint", None, "here"), 1300)
    first, second = events
    assert first == Event(
        0, 1, "acquire", "lock", "workers.w.steps[0]", 1200,
        timeout=0.5, result=True, waited=17, enabled=(0, 1),
    )  # fmt: skip
    assert list(first.to_data()) == [
        "seq", "worker", "op", "target", "timeout", "result", "at", "enabled", "t", "waited",
    ]  # fmt: skip
    assert second.target is None
    assert second.enabled is MISSING
    assert second.to_data() == {"seq": 1, "worker": 0, "op": "checkpoint", "at": "here", "t": 1300}
    with pytest.raises(AttributeError):
        first.seq = 3


def test_indexing_slicing_and_parts():
    events = one_by_one(
        [(0, ("read", "x", "a"), MISSING, i, MISSING, i, MISSING, -1, None) for i in range(10)]
    )
    assert events[-1].seq == 9
    assert [event.seq for event in events[2:5]] == [2, 3, 4]
    assert [event.seq for event in events[::-4]] == [9, 5, 1]
    part = events.part(2, 5)
    assert [(event.seq, event.result) for event in part] == [(0, 2), (1, 3), (2, 4)]
    part.append(0, part.shape("write", "x", "b"), 0)
    assert len(events) == 10
    assert len(events.part(7, 3)) == 0
    for index in (10, -11):
        with pytest.raises(IndexError):
            events[index]


@settings(derandomize=True, deadline=None, max_examples=amount(40, 150))
@given(st.lists(ENTRY, max_size=12), st.integers(0, 12))
def test_columns_and_single_events_give_the_same(entries, split):
    whole = one_by_one(entries)
    assert len(whole) == len(entries) == len(list(whole))
    assert all(whole[i] == event for i, event in enumerate(whole))
    bulk = one_by_one(entries[:split])
    rest = entries[split:]
    shapes = [bulk.shape(*entry[1], timeout=entry[2]) for entry in rest]
    bulk.extend_columns(
        [entry[0] for entry in rest],
        shapes,
        [entry[3] for entry in rest],
        [entry[4] for entry in rest],
        [entry[5] for entry in rest],
        [entry[7] for entry in rest],
        {i: entry[6] for i, entry in enumerate(rest) if entry[6] is not MISSING},
        [entry[8] for entry in rest],
    )
    assert bulk == whole
    assert bulk.same(whole)
    assert bulk.digest() == whole.digest()
    assert whole.copy() == whole
    assert pickle.loads(pickle.dumps(whole)) == whole
    stop = max(split, len(entries) // 2)
    assert [e.signature() for e in whole.part(split, stop)] == [
        e.signature() for e in whole[split:stop]
    ]


def test_columns_of_different_lengths_add_nothing():
    events = Events()
    shape = events.shape("read", "x", "a")
    with pytest.raises(ValueError, match="columns of 2 and 1 events"):
        events.extend_columns([0, 0], [shape], [1, 2])
    assert len(events) == len(events.workers) == len(events.shapes) == 0


@pytest.mark.parametrize(
    ("left", "right"),
    [(1, True), (1, 1.0), (0.0, -0.0), (None, False), ([1], [True]), ({"x": 1}, {"x": 1.0}),
     (0, MISSING), (None, MISSING), ("1", 1), ([], {})],
)  # fmt: skip
def test_values_that_python_confuses_are_kept_apart(left, right):
    assert frozen(left) != frozen(right)
    pair = []
    for value in (left, right):
        events = Events()
        events.append(0, events.shape("read", "x", "a"), 1, result=value)
        pair.append(events)
    assert pair[0] != pair[1]
    assert not pair[0][0].same(pair[1][0])
    assert pair[0].digest() != pair[1].digest()


def test_what_does_not_count():
    pair = []
    for t, value in ((1, {"x": 1, "y": [2]}), (2, {"y": (2,), "x": 1})):
        events = Events()
        events.shape("write", "x", f"unused {t}")
        events.append(0, events.shape("atomic", None, "a"), t, value=value, waited=t)
        pair.append(events)
    assert pair[0].same(pair[1])
    assert pair[0].digest() == pair[1].digest()
    assert pair[0] != pair[1]  # the times do count in equality


def test_equal_timeouts_of_different_types_are_different_shapes():
    events = Events()
    numbers = {events.shape("acquire", "l", "a", timeout=t) for t in (1, 1.0, None, MISSING)}
    assert len(numbers) == 4
    assert events.shape("acquire", "l", "a", timeout=1.0) == events.shape("acquire", "l", "a", 1.0)


@pytest.mark.parametrize(
    ("shape", "message"),
    [(("reed", "x", "a"), "unknown op 'reed'"),
     ((3, "x", "a"), "op is 3"),
     (("read", 1, "a"), "target is 1"),
     (("read", "x", None), "at is None"),
     (("wait", "x", "a", "soon"), "timeout is 'soon'"),
     (("wait", "x", "a", True), "timeout is True"),
     (("wait", "x", "a", float("inf")), "timeout is inf"),
     (("notify", "x", "a", MISSING, 1.5), "n is 1.5")],
)  # fmt: skip
def test_a_shape_that_the_format_does_not_allow(shape, message):
    events = Events()
    with pytest.raises(TraceError, match=message):
        events.shape(*shape)
    assert events.table == []


def test_virtual_ages_are_clamped():
    events = Events()
    events.append(0, events.shape("sleep", None, "a"), 10**30)
    assert events[0].t == LARGEST


def test_a_typical_event_takes_less_than_100_bytes():
    events = Events()
    shapes = [events.shape(op, "x", "a") for op in ("acquire", "read", "write", "release")]
    for i in range(20_000):
        events.append(i % 2, shapes[i % 4], 1000 * i, value=1000 + i, waited=i)
    held = [events.workers, events.shapes, events.times, events.waits, events.values]
    size = sum(map(sys.getsizeof, [*held, events.results, *events.values]))
    assert size / len(events) < 100
