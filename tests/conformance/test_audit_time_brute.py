"""Clients whose calls sleep, look at the clock and give up waiting, of random classes, against
brute force: every interleaving of their steps, by an interpreter of its own, each judged by every
order of the calls in which each of them, alone, is shown the times and has the timeouts it had.
"""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.helpers.amount import amount
from tracelock.audit.bench import Bench
from tracelock.audit.clients import ClientOf, Contracts
from tracelock.audit.judging import Judge
from tracelock.audit.reading import MethodCall
from tracelock.audit.source import imported, module_text
from tracelock.audit.subjects import subject_of

#: A step of a method: its kind and a number.
Step = tuple[str, int]
#: What a call has seen of time: what the clock has shown, and whether its wait was in vain.
Seen = tuple[tuple[int, ...], bool]


class Call(NamedTuple):
    """A call at work. ``deadline``: of what it sleeps or waits for, -1: of nothing."""

    number: int
    at: int = 0
    local: int = 0
    shown: tuple[int, ...] = ()
    gave_up: bool = False
    deadline: int = -1


class Place(NamedTuple):
    """Where an execution stands. ``calls``: of each worker the one at work; ``left``: those that it
    has not begun."""

    now: int
    x: int
    holder: int
    calls: tuple[Call | None, ...]
    left: tuple[tuple[int, ...], ...]
    results: frozenset[tuple[int, Any, Seen]]
    ended: frozenset[tuple[int, int]]


def stepped(
    place: Place, worker: int, steps: list[Step], given: dict[int, Seen] | None
) -> list[Place]:
    """What the next step of a call may lead to; nothing where it cannot be made now."""
    call = place.calls[worker]
    assert call is not None

    def with_(new: Call, **changes: Any) -> Place:
        calls = tuple(new if n == worker else one for n, one in enumerate(place.calls))
        return place._replace(calls=calls, **changes)

    kind, number = steps[call.at]
    on = call._replace(at=call.at + 1, deadline=-1)
    if kind == "read":
        return [with_(on._replace(local=place.x))]
    if kind == "write":
        return [with_(on, x=call.local + number)]
    if kind == "clock":
        now = place.now
        if given is not None:
            now = given[call.number][0][len(call.shown)]
        return [with_(on._replace(shown=(*call.shown, now)))]
    if kind == "free":
        return [with_(on, holder=-1)]
    if kind == "sleep":
        if call.deadline < 0:
            return [with_(call._replace(deadline=place.now + number))]
        return [with_(on)] if call.deadline <= place.now or given is not None else []
    if kind == "lock":
        return [with_(on, holder=worker)] if place.holder < 0 else []
    assert kind == "wait"
    gives_up = with_(on._replace(gave_up=True, at=len(steps)))
    if given is not None:
        return [gives_up if given[call.number][1] else with_(on, holder=worker)]
    found = [with_(on, holder=worker)] if place.holder < 0 else []
    if call.deadline < 0:
        return found or [with_(call._replace(deadline=place.now + number))]
    return [*found, gives_up] if call.deadline <= place.now else found


def moves(place: Place, methods: list[list[Step]], given: dict[int, Seen] | None) -> list[Place]:
    """All that may come next while no time passes."""
    found = []
    for worker, call in enumerate(place.calls):
        if call is None and not place.left[worker]:
            continue
        calls, left = [*place.calls], [*place.left]
        if call is None:
            number, *rest = place.left[worker]
            calls[worker], left[worker] = Call(number), tuple(rest)
            over = {(one[0], number) for one in place.results}
            found.append(
                place._replace(
                    calls=tuple(calls), left=tuple(left), ended=place.ended | over
                )
            )  # fmt: skip
        elif call.at == len(methods[call.number]):
            calls[worker] = None
            result = (-1, ()) if call.gave_up else (call.local, call.shown)
            one = (call.number, result, (call.shown, call.gave_up))
            found.append(place._replace(calls=tuple(calls), results=place.results | {one}))
        else:
            found += stepped(place, worker, methods[call.number], given)
    return found


def ends(
    left: tuple[tuple[int, ...], ...], methods: list[list[Step]],
    given: dict[int, Seen] | None = None,
) -> set[Place]:  # fmt: skip
    """All ends of the calls of some workers. Time passes where nobody can go on."""
    found, known = set(), set()
    todo = [Place(0, 0, -1, (None,) * len(left), left, frozenset(), frozenset())]
    while todo:
        place = todo.pop()
        if place in known:
            continue
        known.add(place)
        further = moves(place, methods, given)
        if not further:
            due = [one.deadline for one in place.calls if one is not None and one.deadline >= 0]
            if due:
                further = [place._replace(now=min(due))]
            else:
                assert not any(place.calls) and not any(place.left)
                found.add(place)
        todo += further
    return found


def goes_wrong(numbers: tuple[tuple[int, ...], ...], methods: list[list[Step]]) -> bool:
    """Whether some execution is of no order of the calls."""
    orders = [
        order for order in permutations(range(len(methods)))
        if all([n for n in order if n in mine] == [*mine] for mine in numbers)
    ]  # fmt: skip
    for end in ends(numbers, methods):
        given = {number: seen for number, _, seen in end.results}
        for order in orders:
            if any(order.index(i) > order.index(j) for i, j in end.ended):
                continue
            [alone] = ends((order,), methods, given)
            if (alone.x, alone.results) == (end.x, end.results):
                break
        else:
            return True
    return False


def random_class(chance: random.Random) -> tuple[str, dict[str, list[Step]]]:
    """The text of a class, and of each method its steps."""
    text = (
        "import threading\nimport time\n\n\nclass Made:\n    def __init__(self):\n"
        "        self.x = 0\n        self.lock = threading.Lock()\n"
        "\n    def state(self):\n        return self.x\n"
    )
    methods: dict[str, list[Step]] = {}
    form = {
        "read": "local = self.x", "write": "self.x = local + {}", "sleep": "time.sleep({})",
        "clock": "shown.append(int(time.monotonic()) - 1000)",
    }  # fmt: skip
    for name in ("one", "two"):
        inner: list[Step] = [("read", 0)]
        inner += [
            (chance.choice(["sleep", "clock", "read"]), chance.randint(1, 3))
            for _ in range(chance.randint(1, 2))
        ]
        inner.append(("write", chance.randint(1, 2)))
        before = [("clock", 0)] if chance.random() < 0.4 else []
        after = [("clock", 0)] if chance.random() < 0.4 else []
        how = chance.choice(["lock", "wait", "wait", "none", "some"])
        patience = chance.randint(1, 3)
        steps: list[Step] = []
        taking: Step = ("wait", patience) if how == "wait" else ("lock", 0)
        if how == "none":
            steps = inner
        elif how == "some":  # what it has read may be old
            steps = [inner[0], taking, *inner[1:], ("free", 0)]
        else:
            steps = [taking, *inner, ("free", 0)]
        methods[name] = [*before, *steps, *after]
        lines = ["local, shown = 0, []"]
        for kind, number in methods[name]:
            if kind == "lock":
                lines.append("self.lock.acquire()")
            elif kind == "free":
                lines.append("self.lock.release()")
            elif kind == "wait":
                lines += [f"if not self.lock.acquire(timeout={number}):", "    return -1, []"]
            else:
                lines.append(form[kind].format(number))
        lines.append("return local, shown")
        text += f"\n    def {name}(self):\n" + "".join(f"        {line}\n" for line in lines)
    return text, methods


@pytest.mark.parametrize("seed", range(amount(1, 12)))
def test_calls_that_take_time_fail_where_some_execution_is_of_no_order(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"classes that take time {seed}")
    text, methods = random_class(chance)
    (tmp_path / f"takes_time_{seed}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    subject = subject_of(f"takes_time_{seed}:Made", None, {})
    subject.init = "Made()"
    calls = {name: MethodCall(name, f"it.{name}()") for name in (*methods, "state")}
    name = f"time_calls_{seed}"
    with (
        imported(str(tmp_path), name, module_text(subject, list(calls.values()))) as module,
        Bench(
            subject.cls, module, list(calls.values()), 2, [name, f"takes_time_{seed}"]
        ) as bench,
    ):  # fmt: skip
        for shape in ((1, 1), (2, 1), (2, 1)):
            names = [[chance.choice(list(methods)) for _ in range(count)] for count in shape]
            threads = tuple(tuple(calls[one] for one in line) for line in names)
            client = ClientOf((), threads, (calls["state"],))
            wrong = goes_wrong(client.numbers, [methods[one] for line in names for one in line])
            for late in (False, True):
                judge = Judge(bench, client, Contracts("linearizable"), module.numbered, late=late)
                bench.begin(client)
                if not late:
                    judge.learn()
                searched = bench.explore(judge, 100_000, 200.0)
                judge.ask()
                judge.settle()
                assert not judge.show(bench) and not judge.beside
                assert searched.exhaustive or judge.anomaly
                assert (judge.anomaly is not None) == wrong, (text, names, late, judge.anomaly)
