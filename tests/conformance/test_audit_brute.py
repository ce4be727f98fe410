"""Audits of random classes without locks, against brute force: every interleaving of the accesses
of two calls, by an interpreter of its own.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import tracelock
from tests.helpers.amount import amount

#: An access: ("read", to, variable) or ("write", variable, from, amount added).
Access = tuple[str, ...]
State = tuple[int, int]
VARIABLES = ("x", "y")


def random_method(chance: random.Random) -> tuple[list[str], list[Access]]:
    """The lines of a method, and its accesses."""
    lines, accesses = ["t = 0"], []
    for _ in range(chance.randint(1, 3)):
        variable, other = chance.choice(VARIABLES), chance.choice(VARIABLES)
        by = str(chance.randint(1, 2))
        form = chance.choice(["read", "write", "add", "copy"])
        if form == "read":
            lines.append(f"t = self.{variable}")
            accesses.append(("read", "t", variable))
        elif form == "write":
            lines.append(f"self.{variable} = t + {by}")
            accesses.append(("write", variable, "t", by))
        elif form == "add":
            lines.append(f"self.{variable} = self.{variable} + {by}")
            accesses += [("read", "u", variable), ("write", variable, "u", by)]
        else:
            lines.append(f"self.{variable} = self.{other}")
            accesses += [("read", "u", other), ("write", variable, "u", "0")]
    return [*lines, "return t"], accesses


def run(state: State, steps: list[tuple[int, Access]]) -> tuple[State, int, int]:
    """The state after these accesses of two calls, and what the calls return."""
    values = dict(zip(VARIABLES, state, strict=True))
    locals_ = [{"t": 0, "u": 0}, {"t": 0, "u": 0}]
    for call, access in steps:
        if access[0] == "read":
            locals_[call][access[1]] = values[access[2]]
        else:
            values[access[1]] = locals_[call][access[2]] + int(access[3])
    return (values["x"], values["y"]), locals_[0]["t"], locals_[1]["t"]


def merged(one: list[Access], other: list[Access]) -> Iterator[list[tuple[int, Access]]]:
    """Every interleaving."""
    if not one or not other:
        yield [(0, access) for access in one] + [(1, access) for access in other]
        return
    for rest in merged(one[1:], other):
        yield [(0, one[0]), *rest]
    for rest in merged(one, other[1:]):
        yield [(1, other[0]), *rest]


def goes_wrong(state: State, one: list[Access], other: list[Access]) -> bool:
    """Whether some interleaving comes to what no order of the two calls does."""
    first = run(state, [(0, access) for access in one] + [(1, access) for access in other])
    second = run(state, [(1, access) for access in other] + [(0, access) for access in one])
    return any(run(state, steps) not in (first, second) for steps in merged(one, other))


#: 129 and 162 have a method that only puts back what is there at first.
SEEDS = (*range(amount(1, 40)), 129, 162)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cell_fails_where_some_interleaving_does_and_is_verified_elsewhere(
    seed: int, tmp_path: Path
) -> None:
    chance = random.Random(f"audited class {seed}")
    methods = {name: random_method(chance) for name in ("one", "two")}
    text = "class Made:\n    def __init__(self):\n        self.x, self.y = 1, 5\n"
    for name, (lines, _) in methods.items():
        body = "".join(f"        {line}\n" for line in lines)
        text += f"\n    def {name}(self):\n{body}"
    text += "\n    def state(self):\n        return self.x, self.y\n"
    (tmp_path / f"made_{seed}.py").write_text(text)
    sys.path.insert(0, str(tmp_path))
    try:
        found = tracelock.audit(
            f"made_{seed}:Made", methods=["one", "two"], before=["state"], calls=1
        )
    finally:
        sys.path.remove(str(tmp_path))
        sys.modules.pop(f"made_{seed}", None)
    states = []
    for before in found.states:
        state: State = (1, 5)
        for call in filter(None, before.split("; ")):
            accesses = methods[call.removesuffix("()")][1]
            state = run(state, [(0, access) for access in accesses])[0]
        states.append(state)
    for cell in found.cells:
        one, other = (methods[name][1] for name in cell.methods)
        wrong = any(goes_wrong(state, one, other) for state in states)
        assert cell.verdict == ("failed" if wrong else "verified"), (text, cell.to_data())
