"""How a direction is counted that carries TLS: compared with a list that has each byte's record."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from tracelock.instrument.network.ends import Direction
from tracelock.instrument.network.records import RECORDS, Records, begins
from tracelock.objects.streams import CAPACITY

HELLO = b"\x16\x03\x01\x00\x04\x01abc"


def record(size: int) -> bytes:
    return b"\x17\x03\x03" + size.to_bytes(2, "big") + b"x" * size


def test_a_hello_begins_it() -> None:
    assert begins(HELLO) and begins(memoryview(HELLO.replace(b"\x01abc", b"\x02abc")))
    for other in (b"", HELLO[:5], b"GET / HTTP/1.1", record(4), b"\x16\x03\x01\x00\x04\x0babc"):
        assert not begins(other)
    way = Direction("a")
    assert way.size_of(b"hello") == 5 and way.size_of(HELLO) == 1
    assert way.add(b"hello") == way.held == 5 and way.capacity == CAPACITY
    assert way.add(HELLO) == len(HELLO) and way.held == 2 and way.capacity == RECORDS


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8), st.integers(0, 2**32))
def test_each_record_counts_once_however_it_is_cut(sizes: list[int], seed: int) -> None:
    drawn = random.Random(seed)
    stream = HELLO + b"".join(map(record, sizes))
    of = [0] * len(HELLO)
    for number, size in enumerate(sizes, 1):
        of += [number] * (size + 5)
    way = Direction("a")
    way.add(stream[: len(HELLO)])
    sent, read = len(HELLO), 0
    while read < len(stream):
        if sent < len(stream) and drawn.random() < 0.5:
            size = drawn.randint(1, len(stream) - sent)
            began = [n for n in dict.fromkeys(of[sent : sent + size]) if of.index(n) >= sent]
            assert way.size_of(stream[sent : sent + size]) == len(began)
            sent += way.add(stream[sent : sent + size])
        elif sent > read:
            size = drawn.randint(1, sent - read)
            taken = way.remove(size)
            assert taken == stream[read : read + size]
            read += size
        assert way.held == len(set(of[read:sent]))
        assert way.unseen == 0 and bytes(way.buffer) == stream[read:sent]


def test_what_is_put_back_begins_with_a_record() -> None:
    way = Direction("a")
    for one in (HELLO, record(3), record(4)):
        way.add(one)
    taken = way.remove(len(way.buffer))
    way.put_back(taken[len(HELLO) :])
    assert way.held == 2 and way.remove(8) == record(3) and way.held == 1


def test_there_is_room_for_so_many_records_and_for_none_of_which_a_part_would_not_fit() -> None:
    way = Direction("a")
    way.add(HELLO)
    many = record(10) * (RECORDS + 3)
    assert way.add(many) == len(record(10)) * (RECORDS - 1)
    assert way.held == RECORDS and way.room == 0
    way.remove(len(HELLO) + 1)  # a part of the next one, which counts until all of it is read
    assert way.room == 1


def test_what_is_hidden_is_counted_in_records_too() -> None:
    way = Direction("a")
    way.add(HELLO)
    way.cuts = 1
    way.add(record(3) + record(5))
    assert (way.held, way.unseen, way.arrived) == (3, 2, len(HELLO))
    way.heal()
    assert (way.held, way.unseen) == (3, 0)


def test_what_is_no_tls_any_more_is_counted_in_bytes_again() -> None:
    way = Direction("a")
    way.add(HELLO)
    way.add(b"in plain words")
    assert way.records is None and way.held == len(way.buffer) and way.capacity == CAPACITY
    assert Records(0).count(b"in plain words") == 1
