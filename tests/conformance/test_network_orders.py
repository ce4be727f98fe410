"""dpor with connections of two hosts misses no ending: by sets written by hand, by brute force, and
by samples."""

from __future__ import annotations

from typing import Any

import pytest

import tracelock
from tests.helpers import peer_programs as programs
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
