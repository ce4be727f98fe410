"""dpor with connections of two hosts misses no ending: by sets written by hand, by brute force, and
by samples."""

from __future__ import annotations

from typing import Any

import pytest

import tracelock
from tests.helpers import peer_programs as programs
from tests.helpers.peer_fuzz import compared, draw
from tests.helpers.peer_programs import PROGRAMS, endings
from tests.oracles.every import Every
from tracelock.instrument.network.ends import Direction
from tracelock.objects.streams import CUT, HEALED, StreamModel
from tracelock.ops import SET, Op

RUNTIMES = ("threading", "asyncio", "trio")


def told(*received: Any, by: str = "w1") -> str:
    return repr([(by, list(received))])


def test_a_reset_comes_before_or_after_each_step_at_the_other_direction() -> None:
    """A reset of what ``a`` has not read reaches ``b`` at both directions at once."""
    seen, found = endings(
        "threading", [("a", [("lock",), ("close", 1)]), ("b", [("lock",), ("try", 1)])], faults=0
    )
    assert seen == {told("BlockingIOError"), told("ConnectionResetError")}
    assert found.whole


def test_whether_a_fault_can_come_in_is_a_part_of_the_step_of_its_choice() -> None:
    """Its partition comes before the one of ``b``, or not at all, for who has made a step that is
    nobody else's business; that of the program is not over when the other one is."""
    for name in ("a partition of its own", "an end behind a partition"):
        program, right = PROGRAMS[name]
        seen, found = endings("threading", program)
        assert seen == {told(*one, by="w2") for one in right}
        assert found.whole and found.schedules > 20  # with the fault, not without it alone


def test_a_heal_that_comes_before_its_cut_leaves_nothing_cut() -> None:
    """Each direction is cut, and healed, in a step of its own, by different workers."""
    model, way = StreamModel(), Direction("one")
    for value in (HEALED, CUT):
        model.apply(Op(SET, 0, "", value), 0)
    way.heal()
    way.cuts += 1
    assert not model.cut and not way.cut
    model.apply(Op(SET, 0, "", CUT), 0)
    assert model.cut and model.snapshot()[2] == 1


def test_a_loop_is_not_ready_for_what_it_has_read_already() -> None:
    """The network tells of bytes that a task has taken before that: the loop does not go round for
    ever, which a bound would end."""
    program, right = PROGRAMS["later"]
    seen, found = endings("asyncio", program, limits=tracelock.RunLimits(steps=2_000))
    assert seen == {told(*one) for one in right}
    assert found.stopped == ""


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("name", PROGRAMS)
def test_partitions_that_come_in_have_the_endings_that_they_have_by_hand(
    name: str, runtime: str
) -> None:
    program, right = PROGRAMS[name]
    by = f"w{len(program) - 1}"
    more = programs.OF_THREADS.get(name, set()) if runtime == "threading" else set()
    wanted = {told(*one, by=by) for one in right | more}
    seen, _ = endings(runtime, program, schedules=4_000)
    assert seen == wanted
    drawn, _ = endings(runtime, program, schedules=150, strategy="random", seed=1)
    assert drawn <= wanted


@pytest.mark.parametrize("name", ["one way", "an end"])
def test_every_order_of_every_choice_has_no_more_endings(name: str) -> None:
    program, right = PROGRAMS[name]
    seen, found = endings("threading", program, strategy=Every())
    assert seen == {told(*one) for one in right}
    assert found.whole or found.stopped == ""


#: Programs at random, of those that have several endings and not too many orders.
DRAWN = (("threading", 1174), ("asyncio", 12), ("trio", 7))
MORE = [
    *(
        ("threading", seed)
        for seed in (2, 4, 8, 14, 22, 25, 31, 1014, 1017, 1018, 1058, 1067, 1073)
    ),
    *(("threading", seed) for seed in (9, 1072, 1073, 1079, 1085, 1169, 1183)),
    *(("asyncio", seed) for seed in (2, 4, 9, 14, 25, 31, 34, 38, 2001, 2003, 2007, 2014)),
    *(("trio", seed) for seed in (2, 9, 12, 20, 31, 34, 38, 2002)),
]


@pytest.mark.parametrize(("runtime", "seed"), DRAWN)
def test_programs_at_random_have_the_endings_of_every_order(runtime: str, seed: int) -> None:
    compared(runtime, seed)


@pytest.mark.parametrize(("runtime", "seed"), MORE)
def test_more_programs_at_random(runtime: str, seed: int) -> None:
    compared(runtime, seed)


def test_who_has_ended_a_direction_sends_nothing_whatever_is_cut() -> None:
    """The model of a direction that is cut does not end before it is healed."""
    program = [
        ("a", [("part",), ("shut", 0), ("send", 0, b"x"), ("heal",)]), ("b", [("receive", 0, 5.0)]),
    ]  # fmt: skip
    seen, _ = endings("threading", program, faults=0)
    assert seen == {repr([("w0", ["BrokenPipeError"]), ("w1", [b""])])}


@pytest.mark.parametrize("seed", [105, 163])
def test_a_reset_or_an_early_end_of_what_is_late_is_one_at_once(seed: int) -> None:
    """A model that ends when a delay is over, and not before, does not agree with the socket."""
    drawn = draw(seed)
    seen, found = endings(
        "threading", drawn.program, faults=2, kinds=drawn.kinds, splits=0, unread=False,
        strategy="random", schedules=600, seed=1,
    )  # fmt: skip
    assert len(seen) > 1 and found.schedules == 600
