"""Clients of two calls on each of two workers, of random classes with and without locks, against
brute force: every interleaving of their accesses, by an interpreter of its own, each judged by
every order of the calls that keeps those which had ended before others began.
"""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.conformance.test_audit_brute import VARIABLES, Access, random_method
from tests.helpers.amount import FULL, amount
from tracelock.audit.bench import Bench
from tracelock.audit.clients import ClientOf, Contracts
from tracelock.audit.judging import Judge
from tracelock.audit.reading import MethodCall
from tracelock.audit.source import imported, module_text
from tracelock.audit.subjects import subject_of


class Place(NamedTuple):
    """Where an execution stands. ``own``: of each worker the next of its steps, and its locals;
    ``ended``: pairs of calls of which the first had ended when the second began."""

    values: tuple[int, ...]
    own: tuple[tuple[int, int, int], tuple[int, int, int]]
    results: tuple[tuple[int, int], ...]
    over: frozenset[int]
    ended: frozenset[tuple[int, int]]
    holder: int


#: What a worker does: accesses, and ("begin" | "end", number), ("lock" | "free",).
Steps = list[tuple[Any, ...]]


def moved(place: Place, worker: int, step: tuple[Any, ...], other: Steps) -> Place | None:
    """After one step of a worker; None where it waits for the lock."""
    values, own, results, over, ended, holder = place
    at, t, u = own[worker]
    if step[0] == "lock":
        if holder >= 0:
            return None
        holder = worker
    elif step[0] == "free":
        holder = -1
    elif step[0] == "begin":
        ended |= {(one, step[1]) for one in over}
        t = u = 0
    elif step[0] == "end":
        over |= {step[1]}
        results = tuple(sorted((*results, (step[1], t))))
    elif step[0] == "read":
        value = values[VARIABLES.index(step[2])]
        t, u = (value, u) if step[1] == "t" else (t, value)
    else:
        value = (t if step[2] == "t" else u) + int(step[3])
        values = tuple(
            value if name == step[1] else old for name, old in zip(VARIABLES, values, strict=True)
        )
    mine = (at + 1, t, u)
    return Place(
        values, (mine, own[1]) if worker == 0 else (own[0], mine), results, over, ended, holder
    )


def ends(lines: tuple[Steps, Steps]) -> set[tuple[Any, ...]]:
    """What executions come to: results, the state, and which calls came after which others."""
    found, seen = set(), set()
    left = [Place((1, 5), ((0, 0, 0), (0, 0, 0)), (), frozenset(), frozenset(), -1)]
    while left:
        place = left.pop()
        if place in seen:
            continue
        seen.add(place)
        over = True
        for worker in (0, 1):
            at = place.own[worker][0]
            if at < len(lines[worker]):
                over = False
                further = moved(place, worker, lines[worker][at], lines[1 - worker])
                if further is not None:
                    left.append(further)
        if over:
            found.add((place.results, place.values, place.ended))
    return found


def goes_wrong(threads: tuple[list[Steps], list[Steps]]) -> bool:
    """Whether some execution is explained by no order. ``threads``: of each worker its calls."""
    calls = [step for thread in threads for step in thread]
    numbers = [list(range(len(threads[0]))), list(range(len(threads[0]), len(calls)))]
    whole: list[Steps] = [
        [("begin", number), *calls[number], ("end", number)] for number in range(len(calls))
    ]
    legal = []
    for order in permutations(range(len(calls))):
        if all([n for n in order if n in mine] == mine for mine in numbers):
            [end] = ends(([step for n in order for step in whole[n]], []))
            legal.append(end)
    lines = tuple([step for n in mine for step in whole[n]] for mine in numbers)
    assert len(lines) == 2
    return any(
        not any(one[:2] == end[:2] and end[2] <= one[2] for one in legal) for end in ends(lines)
    )


def random_class(chance: random.Random) -> tuple[str, dict[str, Steps]]:
    """The text of a class, and of each method its accesses, some of them under a lock."""
    text = (
        "import threading\n\n\nclass Made:\n    def __init__(self):\n"
        "        self.x, self.y = 1, 5\n        self.lock = threading.Lock()\n"
        "\n    def state(self):\n        return self.x, self.y\n"
    )
    methods: dict[str, Steps] = {}
    locked = chance.random() < 0.6
    for name in ("one", "two", "three"):
        lines, accesses = random_method(chance)
        steps: list[Access] = accesses
        if locked and chance.random() < 0.8:
            *inside, last = lines
            lines = ["with self.lock:", *(f"    {line}" for line in inside), last]
            methods[name] = [("lock",), *steps, ("free",)]
        else:
            methods[name] = [*steps]
        text += f"\n    def {name}(self):\n" + "".join(f"        {line}\n" for line in lines)
    return text, methods


@pytest.mark.parametrize("seed", range(amount(2, 20)))
def test_a_longer_client_fails_where_some_execution_is_of_no_order(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(f"longer clients {seed}")
    text, methods = random_class(chance)
    (tmp_path / f"longer_{seed}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    subject = subject_of(f"longer_{seed}:Made", None, {})
    subject.init = "Made()"
    calls = {name: MethodCall(name, f"it.{name}()") for name in (*methods, "state")}
    listed = list(calls.values())
    name = f"longer_calls_{seed}"
    with (
        imported(str(tmp_path), name, module_text(subject, listed)) as module,
        Bench(subject.cls, module, listed, 2, [name, f"longer_{seed}"]) as bench,
    ):
        for _ in range(amount(2, 3)):
            names = [[chance.choice(list(methods)) for _ in range(2)] for _ in range(2)]
            threads = tuple(tuple(calls[one] for one in line) for line in names)
            client = ClientOf((), threads, (calls["state"],))
            first, second = ([methods[one] for one in line] for line in names)
            wrong = goes_wrong((first, second))
            bare = Judge(bench, ClientOf((), threads), Contracts("linearizable"), module.numbered)
            bare.late = True
            bench.begin(bare.client)
            searched = bench.explore(bare, 100_000, 200.0)
            serial = not (bare.anomaly or bare.pending or bare.asked)
            assert searched.exhaustive and bare.serial.keys() | bare.asked.keys()
            assert not (serial and wrong), (text, names)  # nothing is asked afterwards then
            for how in ("at once", "late", *(["marked"] if FULL else [])):
                judge = Judge(bench, client, Contracts("linearizable"), module.numbered)
                judge.late = how == "late"
                judge.oracle.begin(client)
                if how != "late":
                    judge.learn()
                searched = bench.explore(judge, 100_000, 200.0, marked=how == "marked")
                judge.ask(False)
                judge.settle()
                assert not judge.show(bench)
                assert searched.exhaustive or judge.anomaly
                assert (judge.anomaly is not None) == wrong, (text, names, how, judge.anomaly)
