"""Calls that are atomic by their locks, against brute force: random programs with two variables and
two locks, whose paths depend on what they read, in every interleaving of two workers.

What is derived from calls one after the other is right if no interleaving comes to what no order
does, and none gets stuck.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations_with_replacement, product
from math import inf
from typing import Any, NamedTuple

import pytest

from tests.helpers.amount import amount
from tracelock.audit.atomic.footprints import CallFootprints, Footprint, acquires, releases, touches
from tracelock.audit.atomic.sequences import NotAtomic, try_all
from tracelock.audit.reading import MethodCall

#: ("read", place), ("write", place, added), ("jump", where to go if what was read is even),
#: ("lock", name), ("free", name).
Code = list[tuple[Any, ...]]


class Standing(NamedTuple):
    """``values``: of x, y; ``own``: of each worker (call, next step, what was read last, sum of
    what was read); ``holders``: of the locks a, b; ``over``: (call, what it returned)."""

    values: tuple[int, int]
    own: tuple[tuple[int, int, int, int], ...]
    holders: tuple[int, int]
    results: tuple[tuple[int, ...], ...]


def random_code(chance: random.Random) -> Code:
    """What a method does."""
    code: Code = []

    def block(depth: int, held: tuple[str, ...]) -> None:
        for _ in range(chance.randint(1, 2)):
            form = chance.choice(
                ("read", "write", "lock", "lock", "if") if depth else ("read", "write")
            )
            if form == "read":
                code.append(("read", chance.choice("xxy")))
            elif form == "write":
                code.append(("write", chance.choice("xxy"), chance.randint(1, 2)))
            elif form == "if":
                place = len(code)
                code.append(("jump", 0))
                block(depth - 1, held)
                code[place] = ("jump", len(code))
            else:
                free = [one for one in "aab" if one not in held]
                if free:
                    name = chance.choice(free)
                    code.append(("lock", name))
                    block(depth - 1, (*held, name))
                    code.append(("free", name))

    if chance.random() < 0.7:  # mostly all of it is under a lock
        name = chance.choice("aaab")
        code.append(("lock", name))
        block(2, (name,))
        code.append(("free", name))
        if chance.random() < 0.2:
            code.append(("read", chance.choice("xy")))
    else:
        block(2, ())
    return code


def stepped(now: Standing, worker: int, code: Code) -> tuple[Standing, tuple[Any, ...]] | None:
    """After the next step of a worker, and which it was; None where it waits for a lock."""
    values, holders = [*now.values], [*now.holders]
    call, at, last, total = now.own[worker]
    step = code[at]
    at += 1
    if step[0] == "read":
        last = values["xy".index(step[1])]
        total = total * 4 + last + 1
    elif step[0] == "write":
        values["xy".index(step[1])] = (last + step[2]) % 3
    elif step[0] == "jump":
        at = at if last % 2 else step[1]
    elif step[0] == "lock":
        if holders["ab".index(step[1])] >= 0:
            return None
        holders["ab".index(step[1])] = worker
    else:
        holders["ab".index(step[1])] = -1
    results = now.results
    mine: tuple[int, int, int, int] = (call, at, last, total)
    if at == len(code):
        results = tuple(
            (*line, total) if place == worker else line for place, line in enumerate(results)
        )
        mine = (call + 1, 0, 0, 0)
    own = tuple(mine if place == worker else one for place, one in enumerate(now.own))
    return Standing((values[0], values[1]), own, (holders[0], holders[1]), results), step


def begun(workers: int) -> Standing:
    return Standing((0, 1), ((0, 0, 0, 0),) * workers, (-1, -1), ((),) * workers)


def ends(lines: Sequence[Sequence[Code]], whole: bool) -> set[Any]:
    """What all interleavings come to: results and values, or "stuck". ``whole``: only those in
    which a call that has begun is ended before the next one begins."""
    found: set[Any] = set()
    seen = {begun(len(lines))}
    left = [*seen]
    while left:
        now = left.pop()
        moved = over = False
        going = [w for w, (call, *_) in enumerate(now.own) if call < len(lines[w])]
        inside = [w for w in going if now.own[w][1]]
        for worker in inside if whole and inside else going:
            over = True
            further = stepped(now, worker, lines[worker][now.own[worker][0]])
            if further is None:
                continue
            moved = True
            if further[0] not in seen:
                seen.add(further[0])
                left.append(further[0])
        if not over:
            found.add((now.results, now.values))
        elif not moved:
            found.add("stuck")
    return found


class InTurn:
    """What calls do one after the other."""

    def __init__(self, codes: dict[str, Code]) -> None:
        self.codes = codes
        self.known = CallFootprints()
        self.made = 0

    def footprints(self, calls: Sequence[MethodCall]) -> list[Footprint]:
        self.made += 1
        now, found = begun(1), []
        for number, call in enumerate(calls):
            held: list[str] = []
            steps = []
            while now.own[0][0] == number:
                further = stepped(now, 0, self.codes[call.method])
                assert further is not None
                now, (kind, *what) = further
                if kind == "lock":
                    steps.append(acquires(what[0], held))
                    held.append(what[0])
                elif kind == "free":
                    held.remove(what[0])
                    steps.append(releases(what[0], held))
                elif kind == "read":
                    steps.append(touches(what, (), held))
                elif kind == "write":
                    steps.append(touches((), what[:1], held))
            self.known.add(tuple(steps), str(call))
            found.append(tuple(steps))
            now = now._replace(own=((number + 1, 0, 0, 0),))
        return found

    def unseen(self) -> str:
        return ""


def is_atomic(codes: dict[str, Code], length: int) -> bool:
    calls = [MethodCall(name, f"it.{name}()") for name in codes]
    try:
        try_all(InTurn(codes), calls, length, inf)
    except NotAtomic:
        return False
    return True


def some_client_goes_wrong(codes: dict[str, Code], each: int) -> bool:
    """Of two workers with so many calls each."""
    lines = list(product(codes.values(), repeat=each))
    for client in combinations_with_replacement(lines, 2):
        legal = ends(client, True)
        if not ends(client, False) <= legal - {"stuck"}:
            return True
    return False


def checked(seed: int) -> tuple[bool, bool]:
    """Whether the calls of a random class are found to be atomic, and whether they go wrong."""
    chance = random.Random(f"atomic calls {seed}")
    codes = {name: random_code(chance) for name in ("one", "two", "three")[: chance.randint(2, 3)]}
    each = 2 if len(codes) == 2 else chance.choice((1, 1, 1, 2))
    atomic, wrong = is_atomic(codes, 2 * each), some_client_goes_wrong(codes, each)
    assert not (atomic and wrong), codes
    return atomic, wrong


@pytest.mark.parametrize("part", range(4))
def test_calls_that_are_atomic_one_after_the_other_go_wrong_in_no_interleaving(part: int) -> None:
    number = amount(10, 150)
    found = [checked(seed) for seed in range(part * number, (part + 1) * number)]
    assert any(atomic for atomic, _ in found) and any(wrong for _, wrong in found)
