"""Audits of random classes of coroutines, against brute force: every interleaving of the parts of
two calls between their awaits, and every await at which the first may be cancelled.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracelock
from tests.helpers.amount import amount

#: A method as parts between awaits; a part is statements: (to, from, amount added), where names are
#: x and y, which all calls share, and t, which each has for itself.
Statement = tuple[str, str, int]
Part = list[Statement]
State = tuple[int, int]
START: State = (1, 5)


def random_method(chance: random.Random) -> list[Part]:
    names = ("x", "y", "t")
    return [
        [
            (chance.choice(names), chance.choice(names), chance.randint(0, 2))
            for _ in range(chance.randint(1, 2))
        ]
        for _ in range(chance.randint(1, 3))
    ]


def text_of(methods: dict[str, list[Part]]) -> str:
    def named(name: str) -> str:
        return "t" if name == "t" else f"self.{name}"

    text = (
        "import asyncio\n\n\nclass Made:\n    def __init__(self):\n        self.x, self.y = 1, 5\n"
    )
    for name, parts in methods.items():
        text += f"\n    async def {name}(self):\n        t = 0\n"
        for number, part in enumerate(parts):
            text += "        await asyncio.sleep(0)\n" if number else ""
            for to, source, more in part:
                text += f"        {named(to)} = {named(source)} + {more}\n"
        text += "        return t\n"
    return text + "\n    def state(self):\n        return self.x, self.y\n"


def run(state: State, steps: list[tuple[int, Part]]) -> tuple[State, tuple[int, int]]:
    """The state after these parts of two calls, and what the calls return."""
    shared = {"x": state[0], "y": state[1]}
    own = [0, 0]
    for call, part in steps:
        for to, source, more in part:
            value = (own[call] if source == "t" else shared[source]) + more
            if to == "t":
                own[call] = value
            else:
                shared[to] = value
    return (shared["x"], shared["y"]), (own[0], own[1])


def merged(one: list[Part], other: list[Part]) -> Iterator[list[tuple[int, Part]]]:
    """Every interleaving."""
    if not one or not other:
        yield [(0, part) for part in one] + [(1, part) for part in other]
        return
    for rest in merged(one[1:], other):
        yield [(0, one[0]), *rest]
    for rest in merged(one, other[1:]):
        yield [(1, other[0]), *rest]


def orders(state: State, one: list[Part], other: list[Part]) -> list[tuple[State, tuple[int, int]]]:
    first, second = [(0, part) for part in one], [(1, part) for part in other]
    return [run(state, first + second), run(state, second + first)]


def goes_wrong(state: State, one: list[Part], other: list[Part]) -> bool:
    right = orders(state, one, other)
    return any(run(state, steps) not in right for steps in merged(one, other))


def goes_wrong_cancelled(state: State, one: list[Part], other: list[Part]) -> bool:
    """Whether something comes of a call that is cancelled at one of its awaits, beside another one,
    that comes neither of the other one alone nor of both in an order."""
    right = [
        (reached, results[1])
        for reached, results in [*orders(state, one, other), *orders(state, [], other)]
    ]
    for made in range(1, len(one)):
        for steps in merged(one[:made], other):
            reached, results = run(state, steps)
            if (reached, results[1]) not in right:
                return True
    return False


def changes(part_lists: dict[str, list[Part]], name: str) -> bool:
    """Whether a method changes something, as the object is made or after a call of the other."""

    def after(state: State, one: str) -> State:
        return run(state, [(0, part) for part in part_lists[one]])[0]

    states = [START, *(after(START, one) for one in part_lists if one != name)]
    return any(after(state, name) != state for state in states)


SEEDS = range(amount(1, 8))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cell_fails_where_something_goes_wrong_and_is_verified_elsewhere(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(f"audited class of coroutines {seed}")
    methods = {name: random_method(chance) for name in ("one", "two")}
    text = text_of(methods)
    (tmp_path / f"made_tasks_{seed}.py").write_text(text)
    sys.path.insert(0, str(tmp_path))
    try:
        found = tracelock.audit(
            f"made_tasks_{seed}:Made", methods=["one", "two"], before=["state"], calls=1,
            seconds=240,
        )  # fmt: skip
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop(f"made_tasks_{seed}", None)
    states = []
    for before in found.states:
        state = START
        for call in filter(None, before.split("; ")):
            parts = methods.get(call.removesuffix("()"), [])
            state = run(state, [(0, part) for part in parts])[0]
        states.append(state)
    for cell in found.cells:
        one, other = (methods[name] for name in cell.methods)
        wrong = any(goes_wrong(state, one, other) for state in states)
        assert cell.verdict == ("failed" if wrong else "verified"), (text, cell.to_data())
    cancelled = {cell.methods[0]: cell for cell in found.columns.get("cancelled", ())}
    assert cancelled.keys() == {name for name, parts in methods.items() if len(parts) > 1}
    changing = [one for one in methods if changes(methods, one)] or list(methods)
    for name, cell in cancelled.items():
        wrong = any(
            goes_wrong_cancelled(state, methods[name], methods[other])
            for state in states for other in changing
        )  # fmt: skip
        assert cell.verdict == ("failed" if wrong else "verified"), (text, cell.to_data())
