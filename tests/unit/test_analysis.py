"""Each finding in a trace that has it and in one, as like as can be, that has not."""

from __future__ import annotations

import re

import pytest

from tests.helpers.tracing import trace_of
from tracelock.analysis.derived.facts import Facts
from tracelock.analysis.finders.atomicity import atomicity
from tracelock.analysis.finders.lock_order import lock_order
from tracelock.analysis.finders.races import races
from tracelock.analysis.finders.reversible import reversible
from tracelock.analysis.findings import ERROR, NOTE, WARNING, sort_key

OBJECTS = {
    "a": "lock", "b": "lock", "c": "lock", "r": "rlock", "g": "lock", "m": "lock", "e": "event",
    "s": "semaphore", "news": {"type": "condition", "lock": "m"}, "q": "queue",
}  # fmt: skip


def facts_of(text, **options):
    return Facts(trace_of(text, OBJECTS, **options))


def nested(worker, *locks):
    """``worker`` takes the locks, one inside the other, and gives them back."""
    lines = [f"{worker} acquire {lock}" for lock in locks]
    return "\n".join(lines + [f"{worker} release {lock}" for lock in reversed(locks)]) + "\n"


# --- locksets --------------------------------------------------------------------------------
def test_locksets_follow_waits_reentry_and_tries():
    facts = facts_of("""
        w acquire r
        w acquire r
        w release r
        w read x -> 0
        w release r
        w acquire m
        w acquire a timeout=0 -> false
        w wait news
        v acquire m
        v notify news -> [0]
        v release m
        w wake news
        w read x -> 0
        w release m
        v release m -> {"error":"RuntimeError"}
    """)
    locks = facts.locks
    held = [sorted(locks.at(seq)) for seq in range(len(facts.steps))]
    assert held == [
        [], ["r"], ["r"], ["r"], ["r"], [], ["m"], ["m"], [], ["m"], ["m"], [], ["m"], ["m"], [],
    ]  # fmt: skip
    assert locks.taken == [0, 5, 8, 11]
    assert locks.releases == {0: 4, 1: 2, 5: 7, 8: 10, 11: 13}
    # the lock was given up in between: not one critical section
    assert locks.throughout(6, 7) == {"m"}
    assert locks.throughout(7, 12) == set()


def test_a_release_by_another_is_kept_apart():
    facts = facts_of("w acquire a\nv release a\nw read x -> 0")
    assert facts.locks.strangers == [(1, 0)]
    assert facts.locks.at(2) == set()


# --- lock order ------------------------------------------------------------------------------
def test_a_circle_of_two_is_found_with_its_events():
    facts = facts_of(nested("v", "a", "b") + nested("w", "b", "a"))
    (finding,) = lock_order(facts)
    assert finding.kind == "lock-order"
    assert finding.events == (0, 1, 4, 5)
    assert finding.targets == ("a", "b")
    assert finding.severity == WARNING
    # each has its first lock before the other takes its second
    assert set(finding.shows[0]) == {(0, 5), (4, 1)}
    told = "v takes b (event 1, at v.acquire.b) while it holds a (since event 0)"
    assert told in finding.explanation
    assert "Take these locks in the same order" in finding.explanation


def test_a_circle_of_three():
    text = nested("u", "a", "b") + nested("v", "b", "c") + nested("w", "c", "a")
    (finding,) = lock_order(facts_of(text))
    assert finding.workers == (0, 1, 2)
    assert "all 3 wait" in finding.explanation


@pytest.mark.parametrize(
    "text",
    [
        nested("v", "a", "b") + nested("w", "a", "b"),  # one order
        nested("v", "a", "b") + nested("v", "b", "a"),  # one worker
        nested("v", "g", "a", "b") + nested("w", "g", "b", "a"),  # a gate lock
        # one begins when the other has ended
        "v spawn w\n" + nested("w", "b", "a") + "v join w\n" + nested("v", "a", "b"),
        nested("v", "a", "b") + "v set e\nw wait e -> true\n" + nested("w", "b", "a"),
        # who asks with a timeout does not wait for ever
        nested("v", "a", "b") + "w acquire b\nw acquire a timeout=0.1\nw release a\nw release b",
        nested("v", "a", "b") + "w acquire b\nw acquire a timeout=0 -> false\nw release b",
        nested("v", "r", "r"),
    ],
)
def test_no_circle(text):
    assert lock_order(facts_of(text)) == []


def test_a_spawn_after_the_section_rules_out_but_not_one_inside():
    after = nested("v", "a", "b") + "v spawn w\n" + nested("w", "b", "a")
    assert lock_order(facts_of(after)) == []
    inside = "v acquire a\nv spawn w\nv acquire b\nv release b\nv release a\n" + nested(
        "w", "b", "a"
    )
    assert len(lock_order(facts_of(inside))) == 1


def test_taking_a_lock_back_after_a_wait_counts():
    text = """
        v acquire a
        v acquire m
        v wait news
        w acquire m
        w notify news -> [0]
        w release m
        v wake news
        v release m
        v release a
        w acquire m
        w acquire a
        w release a
        w release m
    """
    messages = [finding.explanation for finding in lock_order(facts_of(text))]
    assert any("takes back m" in message for message in messages)


def test_a_circle_with_a_semaphore_is_only_a_note():
    (finding,) = lock_order(facts_of(nested("v", "a", "s") + nested("w", "s", "a")))
    assert finding.severity == NOTE


def test_tasks_need_a_place_to_suspend_between_the_two_locks():
    text = nested("v", "a", "b") + nested("w", "b", "a")
    assert lock_order(facts_of(text, backend="asyncio")) == []
    broken = text.replace("v acquire b", "v checkpoint .\nv acquire b")
    assert len(lock_order(facts_of(broken, backend="asyncio"))) == 1
    # trio lets others run after every acquire
    assert len(lock_order(facts_of(text, backend="trio"))) == 1
    # that the inner lock had to be waited for is no such place
    queued = text.replace("v acquire b", "v request b\nv acquire b")
    assert lock_order(facts_of(queued, backend="asyncio")) == []


# --- data races ------------------------------------------------------------------------------
RACE = "v write x = 1\nw read x -> 1"


def test_a_data_race_and_its_other_order():
    (finding,) = races(facts_of(RACE))
    assert finding.events == (0, 1)
    assert finding.shows == (((1, 0),),)
    assert finding.severity == WARNING
    assert "Neither holds a lock" in finding.explanation


def test_a_lock_that_only_one_takes_does_not_help():
    text = "v acquire a\nv write x = 1\nv release a\nw acquire b\nw write x = 2\nw release b"
    (finding,) = races(facts_of(text))
    assert "v holds a, w holds b" in finding.explanation


@pytest.mark.parametrize(
    "text",
    [
        "v read x -> 0\nw read x -> 0",
        "v write x = 1\nv read x -> 1",
        "v write x = 1\nw read y -> 0",
        "v acquire a\nv write x = 1\nv release a\nw acquire a\nw read x -> 1\nw release a",
        "v acquire s\nv write x = 1\nv release s\nw acquire s\nw read x -> 1\nw release s",
        "v write x = 1\nv spawn w\nw read x -> 1",
        "v spawn w\nw write x = 1\nv join w\nv read x -> 1",
        "v write x = 1\nv set e\nw wait e -> true\nw read x -> 1",
        "v write x = 1\nv put q = 1\nw get q -> 1\nw read x -> 1",
        # the variable, or one that orders, is changed indivisibly
        "v fetch_add x = 1 -> 0\nw read x -> 1",
        "v write x = 1\nv fetch_add t = 1 -> 0\nw read t -> 1\nw read x -> 1",
    ],
)
def test_no_data_race(text):
    assert races(facts_of(text)) == []


def test_a_race_that_locks_hid_in_this_run_is_a_note():
    text = "v write x = 1\nv acquire a\nv release a\nw acquire a\nw release a\nw read x -> 1"
    (finding,) = races(facts_of(text))
    assert finding.severity == NOTE
    assert "happened to order them" in finding.explanation


def test_tasks_have_no_data_races():
    assert races(facts_of(RACE, backend="asyncio")) == []


def test_a_loop_makes_one_race_not_a_thousand():
    text = "\n".join("v write x = 1\nw read x -> 1" for _ in range(50))
    assert len(races(facts_of(text))) == 1


# --- lost updates and stale checks -----------------------------------------------------------
LOST = "v read x -> 0 @ s\nw write x = 5\nv write x = 1 @ s"
SERIAL = "v read x -> 0 @ s\nv write x = 1 @ s\nw write x = 5"


def test_a_lost_update_that_happened_is_an_error():
    (finding,) = atomicity(facts_of(LOST))
    assert (finding.kind, finding.severity) == ("lost-update", ERROR)
    assert finding.events == (0, 1, 2)
    assert "writes it in between (event 1" in finding.explanation


def test_one_that_could_happen_is_a_warning_with_the_order_that_shows_it():
    (finding,) = atomicity(facts_of(SERIAL))
    assert (finding.kind, finding.severity) == ("lost-update", WARNING)
    assert finding.events == (0, 2, 1)
    assert finding.shows == (((0, 2), (2, 1)),)
    assert "can write it in between" in finding.explanation
    earlier = "w write x = 5\nv read x -> 5 @ s\nv write x = 1 @ s"
    assert [one.events for one in atomicity(facts_of(earlier))] == [(1, 0, 2)]


@pytest.mark.parametrize(
    "text",
    [
        "v read x -> 0\nw write y = 5\nv write x = 1",
        "v read x -> 0\nw read x -> 0\nv write x = 1",
        # both hold one lock, from the read to the write
        "v acquire a\nv read x -> 0\nv write x = 1\nv release a\n"
        "w acquire a\nw write x = 5\nw release a",
        # it writes blindly
        "v write x = 1\nw write x = 5\nv write x = 2",
        # it looks again when the other has ended
        "v read x -> 0\nv spawn w\nw write x = 5\nv join w\nv read x -> 5\nv write x = 6",
        "v fetch_add x = 1 -> 0\nw fetch_add x = 1 -> 1",
        "v read x -> 0\nv compare_exchange x = 1 -> true\nw compare_exchange x = 1 -> false",
    ],
)
def test_no_lost_update(text):
    assert atomicity(facts_of(text)) == []


def test_a_lock_given_up_in_between_does_not_protect():
    text = """
        v acquire a
        v read x -> 0
        v release a
        v acquire a
        v write x = 1
        v release a
        w acquire a
        w write x = 5
        w release a
    """
    (finding,) = atomicity(facts_of(text))
    assert finding.events == (1, 7, 4)


def test_an_indivisible_step_does_not_protect_from_who_takes_two():
    (finding,) = atomicity(facts_of("v read x -> 0\nv write x = 1\nw fetch_add x = 1 -> 1"))
    assert finding.kind == "lost-update"


def test_tasks_lose_updates_only_across_a_suspension():
    assert atomicity(facts_of(SERIAL, backend="asyncio")) == []
    slept = SERIAL.replace("v write", "v sleep .\nv write")
    assert len(atomicity(facts_of(slept, backend="asyncio"))) == 1
    # a controlled trace says itself where others could come in
    chosen = "v read x -> 0 ! @ s\nv write x = 1 {} @ s\nw write x = 5 !"
    assert atomicity(facts_of(chosen.format(""), enabled=True)) == []
    assert len(atomicity(facts_of(chosen.format("!"), enabled=True))) == 1


def test_check_then_act():
    text = "v read free -> 1 @ s\nv write sold = 1 @ s.then[0]\nw write free = 0"
    (finding,) = atomicity(facts_of(text))
    assert finding.kind == "check-then-act"
    assert finding.targets == ("free",)
    assert finding.shows == (((0, 2), (2, 1)),)
    # a step behind the block does not rely on the check
    assert atomicity(facts_of(text.replace("s.then[0]", "t"))) == []
    # nor does one after it was looked at again under the lock that the other holds
    again = """
        v read free -> 1 @ s
        v acquire a @ s.then[0]
        v read free -> 1 @ s.then[0].do[0]
        v write sold = 1 @ s.then[0].do[0].then[0]
        v release a @ s.then[0]
        w acquire a
        w write free = 0
        w release a
    """
    assert atomicity(facts_of(again)) == []
    assert (
        len(atomicity(facts_of(again.replace("s.then[0].do[0].then[0]", "s.then[0].do[1]")))) == 1
    )


def test_a_wait_that_relies_on_a_check_outside_the_lock():
    text = """
        v read ready -> false @ s
        v acquire m @ s.then[0]
        v wait news @ s.then[0].do[0]
        w acquire m
        w write ready = true
        w notify news -> [0]
        w release m
        v wake news @ s.then[0].do[0]
        v release m @ s.then[0]
    """
    (finding,) = atomicity(facts_of(text))
    assert "waits at news" in finding.explanation
    inside = text.replace("v read ready -> false @ s\n", "").replace(
        "v wait news @ s.then[0].do[0]",
        "v read ready -> false @ s.then[0].do[0]\n v wait news @ s.then[0].do[0].do[0]",
    )
    assert atomicity(facts_of(inside)) == []


# --- orders to try ---------------------------------------------------------------------------
def test_what_could_come_the_other_way_round():
    pairs = [one.events for one in reversible(facts_of(nested("v", "a") + nested("w", "a")))]
    assert pairs == [(0, 2)]
    assert reversible(facts_of("v spawn w\nw wait e -> true\nv set e")) != []
    assert reversible(facts_of("v acquire a\nv release a\nv spawn w\nw acquire a")) == []
    # only a try can come before the release
    tried = "v acquire a\nv release a\nw acquire a timeout=0"
    assert (1, 2) in [one.events for one in reversible(facts_of(tried))]
    assert (1, 2) not in [one.events for one in reversible(facts_of(tried[: -len(" timeout=0")]))]


# --- findings --------------------------------------------------------------------------------
ALL = nested("v", "a", "b") + nested("w", "b", "a") + LOST


def everything(facts):
    return [*lock_order(facts), *atomicity(facts), *races(facts), *reversible(facts)]


def test_findings_are_data_and_name_their_events():
    facts = facts_of(ALL)
    found = everything(facts)
    assert {one.kind for one in found} == {"lock-order", "lost-update", "data-race", "order"}
    for finding in found:
        data = finding.to_data()
        assert list(data) == [
            "kind", "severity", "title", "explanation", "events", "workers", "targets",
            "diagnosis", "cure", "places", "rank", "root",
        ]  # fmt: skip
        assert all(0 <= seq < len(facts.steps) for seq in finding.events)
        assert finding.workers == tuple(dict.fromkeys(finding.workers))
        told = {int(seq) for seq in re.findall(r"event (\d+)", finding.explanation)}
        assert told <= set(finding.events)
    assert sorted(found, key=sort_key)[0].severity == ERROR


def test_findings_that_are_alike_are_told_once():
    text = "\n".join(f"{w} read x -> 0 @ s\n{w} write x = 1 @ s" for w in "uvwz")
    facts = facts_of(text)
    assert len(atomicity(facts)) == 12
    assert len(facts.distinct(atomicity(facts))) == 1
    assert len(facts.distinct(races(facts))) == 1  # it is one step that reads and writes


def test_an_empty_trace_has_no_findings():
    facts = facts_of("")
    assert everything(facts) == []
